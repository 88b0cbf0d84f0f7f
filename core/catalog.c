/* catalog.c - see catalog.h. Sorting and filtering are in catalog_order.c, the thread that reads names in catalog_scan.c. */
#include "core/catalog_private.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/image_format.h"
#include "core/mem.h"

int catalog_kind(const char *name)
{
	const struct image_format *format = image_format_of_name(name);

	return !format ? -1 : format->read ? 1 : 0;
}

uint32_t catalog_add(struct catalog *c, char *name)
{
	struct catalog_picture *p;

	if (c->total == c->capacity) {
		c->capacity = c->capacity ? c->capacity * 2 : 256;
		c->pictures = xrealloc(c->pictures, (size_t)c->capacity, sizeof *c->pictures);
		c->prefix = xrealloc(c->prefix, (size_t)c->capacity, sizeof *c->prefix);
	}
	p = &c->pictures[c->total];
	/* A file that was named on the command line is tried whatever its extension. */
	*p = (struct catalog_picture){.name = name, .status = catalog_kind(name) == 0 ? PICTURE_UNSUPPORTED : PICTURE_NEW, .row = -1};
	c->prefix[c->total] = catalog_prefix(name);
	c->count[p->status]++;
	return (uint32_t)c->total++;
}

/* ---------------------------------------------------------------- opening */

static struct catalog *open_folder(const char *folder, const char *selected, struct error *err)
{
	struct catalog_scan *scan = catalog_scan_start(folder, err);
	struct catalog *c;

	if (!scan)
		return NULL;
	c = xcalloc(1, sizeof *c);
	c->scan = scan;
	c->folder = xstrdup(folder);
	c->selected = -1;
	if (selected) {
		c->selected = catalog_add(c, xstrdup(selected));
		catalog_show_new(c, 0);
	}
	return c;
}

static struct catalog *open_file(const char *path, struct error *err)
{
	const char *slash = strrchr(path, '/');
	char *folder = !slash ? xstrdup(".") : slash == path ? xstrdup("/") : xstrndup(path, (size_t)(slash - path));
	struct catalog *c = open_folder(folder, slash ? slash + 1 : path, err);

	free(folder);
	return c;
}

static struct catalog *open_list(const char *const *paths, int n, struct error *err)
{
	struct catalog *c = xcalloc(1, sizeof *c);
	struct stat st;

	c->folder = xstrdup("");
	c->selected = -1;
	for (int i = 0; i < n; i++) {
		if (stat(paths[i], &st) < 0)
			fail(err, E_IO, "%s: %s", paths[i], strerror(errno));
		else if (S_ISDIR(st.st_mode))
			fail(err, E_USAGE, "%s: is a folder; name one folder, or files", paths[i]);
		else {
			catalog_add(c, xstrdup(paths[i]));
			continue;
		}
		catalog_close(c);
		return NULL;
	}
	catalog_show_new(c, 0);
	return c;
}

struct catalog *catalog_open(const char *const *paths, int n, struct error *err)
{
	struct stat st;

	if (n < 1)
		return fail_null(err, E_USAGE, "no folder and no picture is named");
	if (n > 1)
		return open_list(paths, n, err);
	if (stat(paths[0], &st) < 0)
		return fail_null(err, E_IO, "%s: %s", paths[0], strerror(errno));
	return S_ISDIR(st.st_mode) ? open_folder(paths[0], NULL, err) : open_file(paths[0], err);
}

struct answers *answers_create(void)
{
	struct answers *a = xcalloc(1, sizeof *a);

	a->clipscore = NAN;
	return a;
}

void answers_free(struct answers *a)
{
	if (!a)
		return;
	free(a->caption);
	free(a->probability);
	free(a->cosine);
	free(a->verdicts);
	free(a->order);
	free(a->combined);
	free(a->failure);
	free(a);
}

void catalog_close(struct catalog *c)
{
	if (!c)
		return;
	catalog_scan_stop(c->scan);
	for (int i = 0; i < c->total; i++) {
		free(c->pictures[i].name);
		answers_free(c->pictures[i].answers);
	}
	free(c->pictures);
	free(c->prefix);
	free(c->rows);
	free(c->folder);
	free(c->filter);
	free(c);
}

int catalog_fd(const struct catalog *c)
{
	return c->scan ? catalog_scan_fd(c->scan) : -1;
}

static void take_name(struct catalog *c, char *name)
{
	if (c->selected >= 0 && !strcmp(name, c->pictures[c->selected].name))
		free(name);
	else
		catalog_add(c, name);
}

bool catalog_take(struct catalog *c)
{
	uint32_t first = (uint32_t)c->total;
	bool was_running = catalog_scanning(c);
	char *names[CATALOG_PARCEL];
	int n;

	/* A few parcels at a time keep one call within a frame; the rest keeps the descriptor readable. */
	for (int parcels = 0; c->scan && parcels < 4 && (n = catalog_scan_take(c->scan, names)) >= 0; parcels++)
		for (int i = 0; i < n; i++)
			take_name(c, names[i]);
	if ((uint32_t)c->total > first)
		catalog_show_new(c, first);
	return (uint32_t)c->total > first || was_running != catalog_scanning(c);
}

/* ---------------------------------------------------------------- looking */

bool catalog_scanning(const struct catalog *c)
{
	return c->scan && catalog_scan_running(c->scan);
}

const char *catalog_problem(const struct catalog *c)
{
	return c->scan ? catalog_scan_problem(c->scan) : NULL;
}

const char *catalog_folder(const struct catalog *c)
{
	return c->folder;
}

int64_t catalog_selected(const struct catalog *c)
{
	return c->selected;
}

int catalog_rows(const struct catalog *c)
{
	return c->shown;
}

int catalog_total(const struct catalog *c)
{
	return c->total;
}

int catalog_count(const struct catalog *c, enum picture_status status)
{
	return c->count[status];
}

int catalog_marked(const struct catalog *c)
{
	return c->marked;
}

uint32_t catalog_id(const struct catalog *c, int row)
{
	return c->rows[row];
}

const struct catalog_picture *catalog_at(const struct catalog *c, int row)
{
	return &c->pictures[c->rows[row]];
}

const struct catalog_picture *catalog_picture(const struct catalog *c, uint32_t id)
{
	return id < (uint32_t)c->total ? &c->pictures[id] : NULL;
}

char *catalog_path(const struct catalog *c, uint32_t id)
{
	const char *name = c->pictures[id].name;
	size_t n = strlen(c->folder);

	if (!n)
		return xstrdup(name);
	return xasprintf("%s%s%s", c->folder, c->folder[n - 1] == '/' ? "" : "/", name);
}

/* ---------------------------------------------------------------- changing */

void catalog_mark(struct catalog *c, uint32_t id, bool marked)
{
	c->marked += marked - c->pictures[id].marked;
	c->pictures[id].marked = marked;
}

void catalog_set_status(struct catalog *c, uint32_t id, enum picture_status status)
{
	c->count[c->pictures[id].status]--;
	c->count[status]++;
	c->pictures[id].status = status;
}

int catalog_next_marked(const struct catalog *c, int row, int step)
{
	for (int i = 1; i <= c->shown; i++) {
		int at = (row + (step < 0 ? -i : i)) % c->shown;

		at = at < 0 ? at + c->shown : at;
		if (catalog_at(c, at)->marked)
			return at;
	}
	return -1;
}

/* ---------------------------------------------------------------- events */

/* *to takes over what *from points to. */
#define TAKE(to, from) (free(to), (to) = (from), (from) = NULL)

static void take_scores(struct answers *a, struct event *e)
{
	TAKE(a->probability, e->scores.probability);
	TAKE(a->cosine, e->scores.cosine);
	a->scores_n = e->scores.n;
	a->scores_epoch = e->epoch;
	a->scores_ms = e->scores.ms;
	a->scores_batch = e->scores.batch;
}

static void take_caption(struct answers *a, struct event *e)
{
	free(a->caption);
	a->caption = xstrdup(e->caption.caption.text);
	a->settled = true;
	a->tokens = e->caption.caption.tokens;
	a->log_probability = e->caption.caption.score;
	a->caption_ms = e->caption.ms;
	a->caption_batch = e->caption.batch;
}

static void take_tokens(struct answers *a, struct event *e)
{
	TAKE(a->caption, e->tokens.text);
	a->tokens = e->tokens.tokens;
	a->settled = false;
}

static void take_verdicts(struct answers *a, struct event *e)
{
	TAKE(a->verdicts, e->verdicts.verdicts);
	a->verdicts_n = e->verdicts.n;
	a->verdicts_epoch = e->epoch;
	a->verdicts_ms = e->verdicts.ms;
}

static void take_ranking(struct answers *a, struct event *e)
{
	TAKE(a->order, e->ranking.order);
	TAKE(a->combined, e->ranking.combined);
	a->ranking_n = e->ranking.n;
	a->ranking_epoch = e->epoch;
	a->ranked = true;
}

static void take_failure(struct answers *a, struct event *e)
{
	free(a->failure);
	a->failure = xstrdup(e->err->text);
}

/* The status after the event. */
static enum picture_status next_status(const struct catalog_picture *p, enum event_kind kind)
{
	switch (kind) {
	case EV_RANKING:
		return PICTURE_DONE;
	case EV_FAILED:
		return PICTURE_FAILED;
	case EV_CANCELLED:
		return p->answers && p->answers->ranked ? PICTURE_DONE : PICTURE_NEW;
	case EV_INFO:
		return p->status;
	default:
		/* Answers to newer labels find a picture that is done. */
		return p->status == PICTURE_DONE ? PICTURE_DONE : PICTURE_WORKING;
	}
}

void answers_take(struct answers *a, struct event *e)
{
	if (e->kind != EV_FAILED && e->kind != EV_CANCELLED && e->kind != EV_INFO) {
		free(a->failure);
		a->failure = NULL;
	}
	switch (e->kind) {
	case EV_INFO:
		a->info = e->info;
		break;
	case EV_SCORES:
		take_scores(a, e);
		break;
	case EV_TOKENS:
		take_tokens(a, e);
		break;
	case EV_CAPTION:
		take_caption(a, e);
		break;
	case EV_CLIPSCORE:
		a->clipscore = e->clipscore.score;
		break;
	case EV_VERDICTS:
		take_verdicts(a, e);
		break;
	case EV_RANKING:
		take_ranking(a, e);
		break;
	case EV_FAILED:
		take_failure(a, e);
		break;
	default:
		break;
	}
}

static bool depends_on_labels(enum event_kind kind)
{
	return kind == EV_SCORES || kind == EV_VERDICTS || kind == EV_RANKING;
}

bool catalog_apply(struct catalog *c, struct event *e, int *row)
{
	struct catalog_picture *p;

	if (row)
		*row = -1;
	if (!event_is_answer(e->kind) || e->kind == EV_PREVIEW || e->id >= (uint32_t)c->total)
		return false;
	if (e->epoch > c->epoch)
		c->epoch = e->epoch;
	if (depends_on_labels(e->kind) && e->epoch < c->epoch)
		return false;
	p = &c->pictures[e->id];
	if (!p->answers)
		p->answers = answers_create();
	answers_take(p->answers, e);
	catalog_set_status(c, e->id, next_status(p, e->kind));
	if (row)
		*row = p->row;
	return true;
}

/* ---------------------------------------------------------------- another model */

static void drop_scores(struct answers *a)
{
	free(a->probability);
	free(a->cosine);
	a->probability = a->cosine = NULL;
	a->scores_n = 0;
}

static void drop_verdicts(struct answers *a)
{
	free(a->verdicts);
	a->verdicts = NULL;
	a->verdicts_n = 0;
}

static void drop_caption(struct answers *a)
{
	free(a->caption);
	a->caption = NULL;
	a->settled = false;
}

/* What follows from the model's answers goes with them. */
static void drop_answers(struct answers *a, enum model_kind kind)
{
	if (kind == MODEL_SCORES)
		drop_scores(a);
	if (kind == MODEL_CAPTION)
		drop_caption(a);
	if (kind != MODEL_SCORES)
		drop_verdicts(a);
	if (kind != MODEL_NLI)
		a->clipscore = NAN;
	free(a->order);
	free(a->combined);
	a->order = NULL;
	a->combined = NULL;
	a->ranking_n = 0;
	a->ranked = false;
}

void catalog_swap(struct catalog *c, enum model_kind kind, const uint32_t *again, int n)
{
	for (int id = 0; id < c->total; id++) {
		struct catalog_picture *p = &c->pictures[id];

		if (!p->answers)
			continue;
		drop_answers(p->answers, kind);
		/* What cannot be read fails with every model. */
		if (p->status == PICTURE_DONE || (p->status == PICTURE_FAILED && p->answers->info.width))
			catalog_set_status(c, (uint32_t)id, PICTURE_NEW);
	}
	for (int i = 0; i < n; i++)
		if (again[i] < (uint32_t)c->total)
			catalog_set_status(c, again[i], PICTURE_QUEUED);
}
