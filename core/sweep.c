/* sweep.c - see sweep.h. */
#include "core/sweep.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/config.h"
#include "core/save.h"
#include "core/utf8.h"

/* ---------------------------------------------------------------- the grid */

static int compare_ints(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	return (x > y) - (x < y);
}

/* Sorts, and leaves out what is there twice; returns how many stay. */
static int sort_axis(int *values, int n)
{
	int kept = 0;

	qsort(values, (size_t)n, sizeof *values, compare_ints);
	for (int i = 0; i < n; i++)
		if (!kept || values[kept - 1] != values[i])
			values[kept++] = values[i];
	return kept;
}

static int drop_doubles(enum precision *values, int n)
{
	bool seen[PRECISIONS] = {false};
	int kept = 0;

	for (int i = 0; i < n; i++) {
		if (!seen[values[i]])
			values[kept++] = values[i];
		seen[values[kept - 1]] = true;
	}
	return kept;
}

static int check_axes(const struct sweep_axes *a, struct error *err)
{
	if (a->batches < 1 || a->batches > SWEEP_BATCHES)
		return fail(err, E_USAGE, "a sweep needs 1 to %d batches, not %d", SWEEP_BATCHES, a->batches);
	if (a->precisions < 0 || a->precisions > PRECISIONS)
		return fail(err, E_USAGE, "a sweep takes up to %d precisions, not %d", (int)PRECISIONS, a->precisions);
	if (a->images < 0 || a->images > SWEEP_IMAGE_SIZES)
		return fail(err, E_USAGE, "a sweep takes up to %d image sizes, not %d", SWEEP_IMAGE_SIZES, a->images);
	for (int i = 0; i < a->batches; i++)
		if (a->batch[i] < 1 || a->batch[i] > ENGINE_MAX_BATCH)
			return fail(err, E_USAGE, "batch %d: 1 to %d are possible", a->batch[i], ENGINE_MAX_BATCH);
	for (int i = 0; i < a->precisions; i++)
		if ((int)a->precision[i] < 0 || a->precision[i] >= PRECISIONS)
			return fail(err, E_USAGE, "precision %d is not known", (int)a->precision[i]);
	for (int i = 0; i < a->images; i++)
		if (a->image_size[i] < 0 || a->image_size[i] > ENGINE_MAX_IMAGE)
			return fail(err, E_USAGE, "image size %d: 0 (the model's own) to %d pixels are possible", a->image_size[i], ENGINE_MAX_IMAGE);
	return 0;
}

int sweep_begin(struct sweep *s, const struct sweep_axes *axes, struct error *err)
{
	struct sweep_axes a = *axes;
	int images;

	*s = (struct sweep){0};
	if (check_axes(&a, err) < 0)
		return -1;
	s->columns = sort_axis(a.batch, a.batches);
	a.precisions = drop_doubles(a.precision, a.precisions);
	a.images = sort_axis(a.image_size, a.images);
	images = a.images ? a.images : 1;
	s->rows = (a.precisions ? a.precisions : 1) * images;
	s->cells = s->rows * s->columns;
	s->cell = xcalloc((size_t)s->cells, sizeof *s->cell);
	for (int i = 0; i < s->cells; i++) {
		int row = i / s->columns;

		s->cell[i].batch = a.batch[i % s->columns];
		s->cell[i].precision = a.precisions ? a.precision[row / images] : PRECISIONS;
		s->cell[i].image_size = a.images ? a.image_size[row % images] : -1;
	}
	return 0;
}

void sweep_free(struct sweep *s)
{
	free(s->cell);
	*s = (struct sweep){0};
}

struct sweep_cell *sweep_at(const struct sweep *s, int row, int column)
{
	return &s->cell[row * s->columns + column];
}

/* ---------------------------------------------------------------- the run */

static int find_state(const struct sweep *s, enum sweep_state state)
{
	for (int column = 0; column < s->columns; column++)
		for (int row = 0; row < s->rows; row++)
			if (sweep_at(s, row, column)->state == state)
				return row * s->columns + column;
	return -1;
}

int sweep_next(struct sweep *s)
{
	int cell = find_state(s, SWEEP_RUNNING);

	if (cell < 0 && (cell = find_state(s, SWEEP_WAITING)) >= 0)
		s->cell[cell].state = SWEEP_RUNNING;
	return cell;
}

struct engine_settings sweep_settings(const struct sweep *s, int cell, const struct engine_settings *base)
{
	const struct sweep_cell *c = &s->cell[cell];
	struct engine_settings settings = *base;

	settings.batch = c->batch;
	for (int i = 0; i < MODEL_KINDS && c->precision < PRECISIONS; i++)
		settings.precision[i] = c->precision;
	if (c->image_size >= 0)
		settings.image_size = c->image_size;
	return settings;
}

static void take_measures(struct sweep_cell *c, const struct event *event)
{
	c->state = SWEEP_FITS;
	c->images_per_s = event->trial.images_per_s;
	c->peak = event->trial.peak;
	c->held = event->trial.held;
	memcpy(c->ms, event->trial.ms, sizeof c->ms);
	memcpy(c->ran, event->trial.precision, sizeof c->ran);
	c->ran_image_size = event->trial.image_size;
}

/* Memory only grows with the batch. */
static void skip_larger(struct sweep *s, int cell)
{
	for (int i = cell + 1; i % s->columns; i++)
		if (s->cell[i].state == SWEEP_WAITING) {
			s->cell[i].state = SWEEP_NO_FIT;
			s->cell[i].skipped = true;
		}
}

void sweep_answer(struct sweep *s, int cell, const struct event *event)
{
	struct sweep_cell *c = cell >= 0 && cell < s->cells ? &s->cell[cell] : NULL;

	if (!c || c->state != SWEEP_RUNNING)
		return;
	if (!event->err) {
		take_measures(c, event);
		return;
	}
	if (event->err->code == E_CANCELLED) {
		sweep_cancel(s);
		return;
	}
	c->state = event->err->code == E_MEMORY ? SWEEP_NO_FIT : SWEEP_FAILED;
	utf8_escape(event->err->text, strlen(event->err->text), c->why, sizeof c->why);
	if (c->state == SWEEP_NO_FIT)
		skip_larger(s, cell);
}

void sweep_cancel(struct sweep *s)
{
	s->cancelled = true;
	for (int i = 0; i < s->cells; i++)
		if (s->cell[i].state <= SWEEP_RUNNING)
			s->cell[i].state = SWEEP_CANCELLED;
}

int sweep_finished(const struct sweep *s)
{
	int n = 0;

	for (int i = 0; i < s->cells; i++)
		n += s->cell[i].state > SWEEP_RUNNING;
	return n;
}

/* ---------------------------------------------------------------- what it says */

static bool is_better(const struct sweep_cell *a, const struct sweep_cell *b)
{
	if (a->images_per_s > b->images_per_s || a->images_per_s < b->images_per_s)
		return a->images_per_s > b->images_per_s;
	return a->peak != b->peak ? a->peak < b->peak : a->batch < b->batch;
}

int sweep_best(const struct sweep *s, int64_t limit)
{
	int best = -1;

	for (int i = 0; i < s->cells; i++) {
		const struct sweep_cell *c = &s->cell[i];

		if (c->state == SWEEP_FITS && (!limit || c->peak <= limit) && (best < 0 || is_better(c, &s->cell[best])))
			best = i;
	}
	return best;
}

bool sweep_is_pareto(const struct sweep *s, int cell)
{
	const struct sweep_cell *c = &s->cell[cell];

	if (c->state != SWEEP_FITS)
		return false;
	for (int i = 0; i < s->cells; i++) {
		const struct sweep_cell *o = &s->cell[i];

		if (o->state == SWEEP_FITS && o->images_per_s >= c->images_per_s && o->peak <= c->peak &&
		    (o->images_per_s > c->images_per_s || o->peak < c->peak))
			return false;
	}
	return true;
}

char *sweep_command(const struct sweep *s, int cell, const char *subcommand, const char *rest)
{
	const struct sweep_cell *c = &s->cell[cell];
	struct buffer out = {0};

	buffer_puts(&out, "vramble");
	if (subcommand)
		buffer_printf(&out, " %s", subcommand);
	buffer_printf(&out, " --batch %d", c->batch);
	if (c->precision < PRECISIONS)
		buffer_printf(&out, " --precision %s", precision_name(c->precision));
	if (c->image_size > 0)
		buffer_printf(&out, " --image-size %d", c->image_size);
	else if (!c->image_size)
		buffer_puts(&out, " --image-size auto");
	if (rest)
		buffer_printf(&out, " %s", rest);
	return out.text;
}

const char *sweep_row_name(const struct sweep *s, int row, char out[32])
{
	const struct sweep_cell *c = sweep_at(s, row, 0);
	bool precise = c->precision < PRECISIONS;
	char size[16] = "";

	if (c->image_size > 0)
		snprintf(size, sizeof size, "%dpx", c->image_size);
	else if (!c->image_size)
		snprintf(size, sizeof size, "own size");
	if (!precise && !size[0])
		snprintf(out, 32, "as set");
	else
		snprintf(out, 32, "%s%s%s", precise ? precision_name(c->precision) : "", precise && size[0] ? " " : "", size);
	return out;
}

const char *sweep_state_name(enum sweep_state state)
{
	static const char *const names[] = {
		[SWEEP_WAITING] = "waiting",     [SWEEP_RUNNING] = "running", [SWEEP_FITS] = "fits",
		[SWEEP_NO_FIT] = "does not fit", [SWEEP_FAILED] = "failed",   [SWEEP_CANCELLED] = "cancelled",
	};

	return names[state];
}

/* ---------------------------------------------------------------- CSV */

static const char *const csv_name[MODEL_KINDS] = {[MODEL_SCORES] = "clip", [MODEL_CAPTION] = "caption", [MODEL_NLI] = "nli"};

static void csv_header(struct buffer *out)
{
	buffer_puts(out, "batch,precision,image_size,state,skipped,images_per_s,peak_bytes,held_bytes");
	for (int i = 0; i < MODEL_KINDS; i++)
		buffer_printf(out, ",%s_ms", csv_name[i]);
	for (int i = 0; i < MODEL_KINDS; i++)
		buffer_printf(out, ",%s_precision", csv_name[i]);
	buffer_puts(out, ",ran_image_size,best,pareto,why\r\n");
}

/* RFC 4180, section 2: quotes around it, and a quote within is two. */
static void csv_text(struct buffer *out, const char *text)
{
	if (!strpbrk(text, ",\"\r\n")) {
		buffer_puts(out, text);
		return;
	}
	buffer_puts(out, "\"");
	for (; *text; text++)
		buffer_add(out, *text == '"' ? "\"\"" : text, *text == '"' ? 2 : 1);
	buffer_puts(out, "\"");
}

static void csv_measures(struct buffer *out, const struct sweep_cell *c)
{
	buffer_printf(out, ",%.4f,%lld,%lld", c->images_per_s, (long long)c->peak, (long long)c->held);
	for (int i = 0; i < MODEL_KINDS; i++) {
		buffer_puts(out, ",");
		if (c->ms[i] > 0)
			buffer_printf(out, "%.4f", c->ms[i]);
	}
	for (int i = 0; i < MODEL_KINDS; i++)
		buffer_printf(out, ",%s", c->ms[i] > 0 ? precision_name(c->ran[i]) : "");
	buffer_printf(out, ",%d", c->ran_image_size);
}

static void csv_cell(struct buffer *out, const struct sweep *s, int cell, bool best)
{
	const struct sweep_cell *c = &s->cell[cell];

	buffer_printf(out, "%d,%s,", c->batch, c->precision < PRECISIONS ? precision_name(c->precision) : "");
	if (c->image_size > 0)
		buffer_printf(out, "%d", c->image_size);
	else if (!c->image_size)
		buffer_puts(out, "auto");
	buffer_printf(out, ",%s,%s", sweep_state_name(c->state), c->skipped ? "yes" : "no");
	if (c->state == SWEEP_FITS)
		csv_measures(out, c);
	else
		buffer_puts(out, ",,,,,,,,,,");
	buffer_printf(out, ",%s,%s,", best ? "yes" : "no", sweep_is_pareto(s, cell) ? "yes" : "no");
	csv_text(out, c->why);
	buffer_puts(out, "\r\n");
}

void sweep_csv(const struct sweep *s, int64_t limit, struct buffer *out)
{
	int best = sweep_best(s, limit);

	csv_header(out);
	for (int i = 0; i < s->cells; i++)
		csv_cell(out, s, i, i == best);
}

int sweep_write_csv(const struct sweep *s, int64_t limit, const char *path, struct error *err)
{
	struct buffer out = {0};
	int rc;

	sweep_csv(s, limit, &out);
	rc = save_whole(path, out.text, out.length, err);
	buffer_free(&out);
	return rc;
}
