/* preview.c - see preview.h.
 *
 * The worker shares two things with the UI thread, both under `lock`: the job that waits, and the cells that are done. A job borrows its picture, which
 * stays in memory while it has users; the users are counted by the UI thread alone, which gets every job back.
 */
#include "tui/preview.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/mem.h"
#include "tui/colour.h"
#include "tui/glyphs.h"

enum { MAX_PICTURES = 256, MAX_PICTURE_BYTES = 64 << 20, MAX_CELLS = 32 };

struct picture {
	uint32_t id;
	struct image image;
	int users;        /* jobs that read it, and 1 while it is in the list */
	uint64_t touched; /* for least recently used */
};

struct cells {
	uint32_t id;
	int box_columns, box_rows; /* asked for */
	struct glyphs glyphs;
	int users; /* 1 while in the list, 1 while on the screen */
	uint64_t touched;
};

struct job {
	struct picture *picture;
	int columns, rows;
	struct cells *cells; /* the result */
	struct job *next;
};

struct preview {
	struct painter *painter;
	pthread_t thread;
	int pipe[2];

	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct job *waiting, *done; /* under lock: at most one waits; done ones are a list */
	bool stop;                  /* under lock */

	/* The rest is the UI thread's. */
	struct picture *picture[MAX_PICTURES];
	int n_pictures;
	struct cells *cells[MAX_CELLS];
	int n_cells;
	uint64_t clock;
	uint32_t wanted_id;
	int wanted_columns, wanted_rows; /* 0: nothing was asked for */
	bool working;                    /* what is wanted was given to the worker */

	struct cells *shown;
	cchar_t *text; /* shown, as curses takes it */
	int *pair;     /* that text holds */
};

/* ---- the worker ------------------------------------------------------------------------------------------------------------------------------- */

static struct cells *convert(const struct preview *p, const struct job *job)
{
	struct cells *c = xcalloc(1, sizeof *c);

	*c = (struct cells){.id = job->picture->id, .box_columns = job->columns, .box_rows = job->rows};
	c->glyphs = glyphs_paint(p->painter, &job->picture->image, job->columns, job->rows);
	return c;
}

static void *work(void *arg)
{
	struct preview *p = arg;
	struct job *job;

	pthread_mutex_lock(&p->lock);
	while (!p->stop) {
		job = p->waiting;
		if (!job) {
			pthread_cond_wait(&p->wake, &p->lock);
			continue;
		}
		p->waiting = NULL;
		pthread_mutex_unlock(&p->lock);
		job->cells = convert(p, job);
		pthread_mutex_lock(&p->lock);
		job->next = p->done;
		p->done = job;
		if (write(p->pipe[1], "", 1) < 0) /* full: there is something to read already */
			continue;
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

/* ---- pictures and cells ----------------------------------------------------------------------------------------------------------------------- */

static void release_picture(struct picture *picture)
{
	if (--picture->users)
		return;
	image_free(&picture->image);
	free(picture);
}

static void release_cells(struct cells *c)
{
	if (!c || --c->users)
		return;
	free(c->glyphs.cell);
	free(c);
}

static struct picture *find_picture(const struct preview *p, uint32_t id)
{
	for (int i = 0; i < p->n_pictures; i++)
		if (p->picture[i]->id == id)
			return p->picture[i];
	return NULL;
}

static void remove_picture(struct preview *p, int at)
{
	release_picture(p->picture[at]);
	p->picture[at] = p->picture[--p->n_pictures];
}

static size_t picture_bytes(const struct picture *picture)
{
	return (size_t)picture->image.width * (size_t)picture->image.height * 3;
}

/* Makes room for one more picture of so many bytes. */
static void trim_pictures(struct preview *p, size_t bytes)
{
	for (;;) {
		size_t sum = bytes;
		int oldest = 0;

		for (int i = 0; i < p->n_pictures; i++) {
			sum += picture_bytes(p->picture[i]);
			if (p->picture[i]->touched < p->picture[oldest]->touched)
				oldest = i;
		}
		if (!p->n_pictures || (sum <= MAX_PICTURE_BYTES && p->n_pictures < MAX_PICTURES))
			return;
		remove_picture(p, oldest);
	}
}

static void remove_cells(struct preview *p, int at)
{
	release_cells(p->cells[at]);
	p->cells[at] = p->cells[--p->n_cells];
}

static struct cells *find_cells(struct preview *p, uint32_t id, int columns, int rows)
{
	for (int i = 0; i < p->n_cells; i++) {
		struct cells *c = p->cells[i];

		if (c->id != id || c->box_columns != columns || c->box_rows != rows)
			continue;
		c->touched = ++p->clock;
		return c;
	}
	return NULL;
}

static void add_cells(struct preview *p, struct cells *c)
{
	int oldest = 0;

	for (int i = 1; i < p->n_cells; i++)
		if (p->cells[i]->touched < p->cells[oldest]->touched)
			oldest = i;
	if (p->n_cells == MAX_CELLS)
		remove_cells(p, oldest);
	c->users = 1;
	c->touched = ++p->clock;
	p->cells[p->n_cells++] = c;
}

static void release_job(struct job *job)
{
	if (!job)
		return;
	release_picture(job->picture);
	free(job);
}

static void release_shown(struct cells *c, cchar_t *text, int *pair)
{
	for (int i = 0; i < c->glyphs.rows * c->glyphs.columns; i++)
		colour_free(pair[i]);
	free(pair);
	free(text);
	release_cells(c);
}

/* ---- the UI thread's side ---------------------------------------------------------------------------------------------------------------------- */

/* 0 or an errno. */
static int start_thread(struct preview *p)
{
	sigset_t all, before;
	int failed;

	/* Signals are the UI thread's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	failed = pthread_create(&p->thread, NULL, work, p);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return failed;
}

/* Frees what preview_create made without the thread. */
static void discard(struct preview *p)
{
	painter_destroy(p->painter);
	pthread_mutex_destroy(&p->lock);
	pthread_cond_destroy(&p->wake);
	close(p->pipe[0]);
	close(p->pipe[1]);
	free(p);
}

struct preview *preview_create(const struct terminal *terminal, struct error *err)
{
	struct preview *p = xcalloc(1, sizeof *p);
	int failed;

	p->painter = painter_create(terminal);
	p->pipe[0] = p->pipe[1] = -1;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->wake, NULL);
	failed = pipe2(p->pipe, O_CLOEXEC | O_NONBLOCK) < 0 ? errno : start_thread(p);
	if (!failed)
		return p;
	fail(err, E_IO, "no thread for the pictures: %s", strerror(failed));
	discard(p);
	return NULL;
}

/* Takes the finished jobs, newest first. */
static struct job *take_done(struct preview *p)
{
	char drained[64];
	struct job *done;

	while (read(p->pipe[0], drained, sizeof drained) == (ssize_t)sizeof drained)
		;
	pthread_mutex_lock(&p->lock);
	done = p->done;
	p->done = NULL;
	pthread_mutex_unlock(&p->lock);
	return done;
}

void preview_destroy(struct preview *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_cond_signal(&p->wake);
	pthread_mutex_unlock(&p->lock);
	pthread_join(p->thread, NULL);
	preview_collect(p);
	release_job(p->waiting);
	if (p->shown)
		release_shown(p->shown, p->text, p->pair);
	while (p->n_cells)
		remove_cells(p, 0);
	while (p->n_pictures)
		remove_picture(p, 0);
	discard(p);
}

void preview_put(struct preview *p, uint32_t id, struct image image)
{
	struct picture *picture = xcalloc(1, sizeof *picture);

	*picture = (struct picture){.id = id, .image = image, .users = 1, .touched = ++p->clock};
	for (int i = p->n_pictures - 1; i >= 0; i--)
		if (p->picture[i]->id == id)
			remove_picture(p, i);
	for (int i = p->n_cells - 1; i >= 0; i--)
		if (p->cells[i]->id == id)
			remove_cells(p, i);
	if (id == p->wanted_id)
		p->working = false;
	trim_pictures(p, picture_bytes(picture));
	p->picture[p->n_pictures++] = picture;
}

bool preview_has(const struct preview *p, uint32_t id)
{
	return find_picture(p, id) != NULL;
}

void preview_request(struct preview *p, uint32_t id, int columns, int rows)
{
	bool same = p->wanted_id == id && p->wanted_columns == columns && p->wanted_rows == rows;
	struct picture *picture = find_picture(p, id);
	struct job *job, *replaced;

	if (!same)
		p->working = false;
	p->wanted_id = id;
	p->wanted_columns = columns;
	p->wanted_rows = rows;
	if (p->working || !picture || columns < 1 || rows < 1 || find_cells(p, id, columns, rows))
		return;
	p->working = true;
	picture->touched = ++p->clock;
	picture->users++;
	job = xcalloc(1, sizeof *job);
	*job = (struct job){.picture = picture, .columns = columns, .rows = rows};
	pthread_mutex_lock(&p->lock);
	replaced = p->waiting;
	p->waiting = job;
	pthread_cond_signal(&p->wake);
	pthread_mutex_unlock(&p->lock);
	release_job(replaced);
}

int preview_fd(const struct preview *p)
{
	return p->pipe[0];
}

bool preview_collect(struct preview *p)
{
	struct job *job = take_done(p), *next;
	bool changed = false;

	for (; job; job = next) {
		next = job->next;
		/* A picture that was replaced meanwhile, or cells that are there already, are of no use. */
		if (find_picture(p, job->picture->id) != job->picture || find_cells(p, job->picture->id, job->columns, job->rows)) {
			job->cells->users = 1;
			release_cells(job->cells);
		} else {
			add_cells(p, job->cells);
			changed |= job->picture->id == p->wanted_id;
		}
		release_job(job);
	}
	return changed;
}

/* ---- painting --------------------------------------------------------------------------------------------------------------------------------- */

/* One cell for curses. Few pairs (8 or 16 colours) are stretched by letting a pair serve its mirror image too. */
static int set_cell(const struct glyph *g, cchar_t *out)
{
	wchar_t text[2] = {g->code ? (wchar_t)g->code : L' ', 0};
	int foreground = g->foreground, background = g->background, pair;
	attr_t attr = A_NORMAL;

	if (text[0] == L' ' && COLORS <= 16)
		foreground = background == 7 ? 0 : 7;
	if (foreground < background && COLORS <= 16) {
		foreground = background;
		background = g->foreground;
		attr = A_REVERSE;
	}
	pair = colour_pair_raw(foreground, background);
	setcchar(out, text, attr, 0, &pair);
	return pair;
}

static void show(struct preview *p, struct cells *c)
{
	struct cells *old = p->shown;
	cchar_t *old_text = p->text;
	int *old_pair = p->pair, n = c->glyphs.rows * c->glyphs.columns;

	c->users++;
	p->shown = c;
	p->text = xcalloc((size_t)n, sizeof *p->text);
	p->pair = xcalloc((size_t)n, sizeof *p->pair);
	for (int i = 0; i < n; i++)
		p->pair[i] = set_cell(&c->glyphs.cell[i], &p->text[i]);
	/* Only now, so that pairs both have in common stay as they are. */
	if (old)
		release_shown(old, old_text, old_pair);
}

int64_t preview_draw(struct preview *p, WINDOW *w, int top, int left, int columns, int rows)
{
	struct cells *ready = p->wanted_columns ? find_cells(p, p->wanted_id, p->wanted_columns, p->wanted_rows) : NULL;
	int width, height, x, y;

	if (ready && ready != p->shown)
		show(p, ready);
	if (!p->shown)
		return -1;
	width = p->shown->glyphs.columns < columns ? p->shown->glyphs.columns : columns;
	height = p->shown->glyphs.rows < rows ? p->shown->glyphs.rows : rows;
	x = (columns - width) / 2;
	y = (rows - height) / 2;
	for (int i = 0; i < rows; i++) {
		bool inside = i >= y && i < y + height;

		mvwhline(w, top + i, left, ' ', inside ? x : columns);
		if (!inside)
			continue;
		mvwadd_wchnstr(w, top + i, left + x, p->text + (size_t)(i - y) * (size_t)p->shown->glyphs.columns, width);
		mvwhline(w, top + i, left + x + width, ' ', columns - x - width);
	}
	return p->shown->id;
}
