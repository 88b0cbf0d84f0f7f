/* engine_lane.c - one thread per model: opening it, its settings, gathering a batch, taking turns, and smaller batches when memory runs out. What is
 * run is in engine_work.c. See engine_private.h.
 */
#include "core/engine_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/config.h"
#include "core/mem.h"

static const char *const lane_name[MODEL_KINDS] = {[MODEL_SCORES] = "scores", [MODEL_CAPTION] = "captions", [MODEL_NLI] = "verdicts"};
static bool (*const lane_work[MODEL_KINDS])(struct lane *l) = {[MODEL_SCORES] = work_scores, [MODEL_CAPTION] = work_caption, [MODEL_NLI] = work_nli};

bool lane_usable(const struct lane *l)
{
	return l->used && !l->failed;
}

/* ---------------------------------------------------------------- turns
 * On a CPU two models at once are no faster than one after the other and hold twice the activations. So one computes, and at every half layer or
 * decode step it offers its turn to whoever is more urgent: who has the selected picture, then the shorter answer. A lane that was passed over for
 * PATIENCE offers goes next, so that a long folder of CLIP scores does not hold up captions altogether.
 */
enum { PATIENCE = 4 };

static int turn_rank(const struct lane *l)
{
	static const int length[MODEL_KINDS] = {[MODEL_SCORES] = 1, [MODEL_NLI] = 2, [MODEL_CAPTION] = 3};
	const struct engine *e = l->engine;
	struct picture *p = e->has_selected ? picture_find(l->engine, e->selected) : NULL;
	bool works_on_it = false;

	/* Scores of the selected picture wait for whatever CLIP runs now, be it about others; so that is urgent, too. */
	if (p && l->kind == MODEL_SCORES)
		works_on_it = p->ticket[LINE_IMAGE] || p->ticket[LINE_TEXT] || p->ticket[LINE_RESCORE] || p->missing & ANSWER_SCORES;
	else if (p)
		works_on_it = p->ticket[l->kind == MODEL_CAPTION ? LINE_CAPTION : LINE_PREMISE];
	/* Of two that work on it the shorter: new labels are scored while a caption is being written. */
	return works_on_it ? length[l->kind] - 2 * MODEL_KINDS : l->passed_over >= PATIENCE ? 0 : length[l->kind];
}

/* Gives the turn to the best of the waiting lanes and `self` (may be NULL). */
static void turn_give(struct engine *e, struct lane *self)
{
	struct lane *best = self;

	for (int i = 0; i < MODEL_KINDS; i++)
		if (e->lane[i].waiting && (!best || turn_rank(&e->lane[i]) < turn_rank(best)))
			best = &e->lane[i];
	e->turn = best ? (int)best->kind : -1;
	if (!best)
		return;
	for (int i = 0; i < MODEL_KINDS; i++)
		if (e->lane[i].waiting && &e->lane[i] != best)
			e->lane[i].passed_over++;
	best->passed_over = 0;
	if (best != self)
		pthread_cond_signal(&best->turn);
}

static bool is_dropped(const struct lane *l)
{
	return l->engine->stop || (l->rows && l->live <= 0);
}

static void turn_wait(struct lane *l)
{
	struct engine *e = l->engine;

	l->waiting = true;
	if (e->turn < 0)
		turn_give(e, NULL);
	while (e->turn != (int)l->kind && !is_dropped(l))
		pthread_cond_wait(&l->turn, &e->lock);
	l->waiting = false;
}

static void turn_leave(struct lane *l)
{
	if (l->engine->turn == (int)l->kind)
		turn_give(l->engine, NULL);
}

int lane_check(void *ctx)
{
	struct lane *l = ctx;
	struct engine *e = l->engine;
	int dropped;

	pthread_mutex_lock(&e->lock);
	if (e->takes_turns && l->busy && !is_dropped(l)) {
		turn_give(e, l);
		if (e->turn != (int)l->kind)
			turn_wait(l);
	}
	dropped = is_dropped(l);
	pthread_mutex_unlock(&e->lock);
	return dropped;
}

/* ---------------------------------------------------------------- opening */

static void tell_loading(void *ctx, int64_t done, int64_t total)
{
	struct lane *l = ctx;
	struct event event = {.kind = EV_LOADING, .model = l->kind};
	int percent = total > 0 ? (int)(100 * done / total) : 0;

	if (percent == l->shown_percent)
		return;
	l->shown_percent = percent;
	event.loading.done = done;
	event.loading.total = total;
	engine_emit(l->engine, &event);
}

/* What the model's tensors hold while it is idle are its weights; what is missing to their size is mapped from the file. */
static void weigh(struct lane *l)
{
	const struct engine *e = l->engine;
	struct memory_reading reading = {0};

	l->precision = e->library->precision(l->model);
	l->weight_bytes = l->parameters * (l->precision == PRECISION_FP32 ? 4 : 2);
	e->library->memory(e->settings.device[l->kind], &reading);
	l->weight_held = reading.weights[l->kind + 1];
	if (l->weight_bytes < l->weight_held)
		l->weight_bytes = l->weight_held;
}

static void tell_settings(struct lane *l)
{
	struct event event = {.kind = EV_SETTINGS, .model = l->kind};

	event.settings.precision = l->precision;
	event.settings.device = l->engine->settings.device[l->kind];
	event.settings.batch = lane_batch(l);
	event.settings.image_size = l->engine->settings.image_size;
	event.settings.beams = l->engine->settings.beams;
	engine_emit(l->engine, &event);
}

static void is_ready(struct lane *l, struct model *model, double seconds)
{
	struct engine *e = l->engine;
	struct event event = {.kind = EV_READY, .model = l->kind};
	const struct model_info *info = e->library->info(model);

	l->model = model;
	l->parameters = info->parameters;
	l->embed_size = info->embed_size;
	weigh(l);
	l->ready = true;
	event.ready.info = xmemdup(info, sizeof *info);
	event.ready.precision = l->precision;
	event.ready.seconds = seconds;
	engine_emit(e, &event);
	tell_settings(l);
	pthread_cond_broadcast(&e->load);
}

static void lane_fail(struct lane *l, const struct error *err)
{
	struct event event = {.kind = EV_MODEL_FAILED, .model = l->kind, .err = xmemdup(err, sizeof *err)};

	engine_emit(l->engine, &event);
	l->failed = true;
	pictures_without(l->engine, l->kind);
}

/* Models are opened one after the other, in the order of their kinds; the mutex is held. */
static void lane_open(struct lane *l)
{
	struct engine *e = l->engine;
	struct model_control control = {.check = lane_check, .progress = tell_loading, .ctx = l};
	struct error err;

	while (!e->stop && e->opening != (int)l->kind)
		pthread_cond_wait(&e->opened, &e->lock);
	if (!e->stop && l->used && !e->library) {
		fail(&err, E_MODEL, "%s: not opened, the model library is missing", l->dir);
		lane_fail(l, &err);
	} else if (!e->stop && l->used) {
		enum precision precision = e->settings.precision[l->kind];
		int device = e->settings.device[l->kind];
		double begin = engine_now();
		struct model *model;

		l->asked = precision;
		l->device = device;
		pthread_mutex_unlock(&e->lock);
		model = e->library->open(l->dir, device, precision, (int)l->kind + 1, &control, &err);
		pthread_mutex_lock(&e->lock);
		if (model)
			is_ready(l, model, engine_now() - begin);
		else if (!e->stop)
			lane_fail(l, &err);
	}
	e->opening++;
	pthread_cond_broadcast(&e->opened);
}

/* ---------------------------------------------------------------- settings */

int lane_batch(const struct lane *l)
{
	int batch = l->engine->settings.batch;

	return l->fits && l->fits < batch ? l->fits : batch;
}

static void set_precision(struct lane *l, enum precision wanted)
{
	struct engine *e = l->engine;
	struct error err;
	int failed, device = e->settings.device[l->kind];

	l->asked = wanted;
	pthread_mutex_unlock(&e->lock);
	failed = e->library->place(l->model, device, wanted, NULL, &err);
	pthread_mutex_lock(&e->lock);
	if (failed)
		engine_note(e, "%s: stays at %s, %s is not possible: %s", lane_name[l->kind], precision_name(l->precision), precision_name(wanted),
			    err.text);
	weigh(l);
}

static void apply_settings(struct lane *l)
{
	l->dirty = false;
	l->fits = 0;
	if (l->asked != l->engine->settings.precision[l->kind])
		set_precision(l, l->engine->settings.precision[l->kind]);
	tell_settings(l);
}

/* ---------------------------------------------------------------- batches */

static bool more_comes(const struct lane *l, enum line_name line)
{
	enum line_name from = line == LINE_IMAGE ? LINE_LOAD_SCORES : LINE_LOAD_CAPTION;

	return l->reserved > 0 || l->engine->line[from].count > 0;
}

bool lane_gather(struct lane *l, enum line_name name, int max)
{
	struct engine *e = l->engine;
	struct line *line = &e->line[name];
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += GATHER_MS * 1000000L;
	until.tv_sec += until.tv_nsec / 1000000000L;
	until.tv_nsec %= 1000000000L;
	while (!e->stop && !l->dirty && line->count && line->count < max && !line->first[ENGINE_SELECTED] && more_comes(l, name))
		if (pthread_cond_timedwait(&l->wake, &e->lock, &until) == ETIMEDOUT)
			break;
	return !e->stop && !l->dirty && line->count;
}

void lane_record(struct lane *l, double seconds, int n)
{
	for (int i = 0; i < n; i++)
		l->ms[l->ms_count++ % TIMES] = 1e3 * seconds / n;
}

static void row_free(struct row *row)
{
	free(row->pixels.data);
	free(row->text);
	*row = (struct row){0};
}

static int run_once(struct lane *l, const struct run *run, struct row *rows, int n, struct error *err)
{
	struct engine *e = l->engine;
	int rc;

	l->batch = n;
	if (e->takes_turns)
		turn_wait(l);
	if (is_dropped(l)) {
		turn_leave(l);
		return fail(err, E_CANCELLED, "cancelled");
	}
	pthread_mutex_unlock(&e->lock);
	rc = run->call(l, rows, n, err);
	pthread_mutex_lock(&e->lock);
	turn_leave(l);
	return rc;
}

static void row_fail(struct lane *l, const struct run *run, struct row *row, const struct error *err)
{
	struct engine *e = l->engine;
	struct picture *p;

	if (row->label) {
		row->label->failed = true;
		engine_note(e, "label \"%s\" cannot be compared: %s", row->label->text, err->text);
	} else if ((p = picture_return(e, row->id, run->line, row->ticket))) {
		picture_fail(e, p, err);
	}
}

void lane_memory_ran_out(struct lane *l, const struct run *run, int n, int next, const struct error *err)
{
	struct engine *e = l->engine;
	struct memory_reading before = {0};

	e->library->memory(e->settings.device[l->kind], &before);
	e->library->memory_trim(e->settings.device[l->kind]);
	engine_note(e, "%s: a batch of %d %s does not fit (%.1f MB in use, %.1f MB cached, cap %.1f MB): trying %d: %s", lane_name[l->kind], n,
		    run->what, (double)before.used / 1e6, (double)before.cached / 1e6, (double)before.cap / 1e6, next, err->text);
}

void lane_run_rows(struct lane *l, const struct run *run, struct row *rows, int n)
{
	bool again = false;
	int at = 0, size = n;

	l->busy = true;
	while (at < n) {
		int k = size < n - at ? size : n - at;
		struct error err;

		if (!run_once(l, run, rows + at, k, &err)) {
			at += k;
			again = false;
		} else if (err.code == E_CANCELLED && is_dropped(l)) {
			break;
		} else if (k > 1) {
			size = (k + 1) / 2;
			if (err.code == E_MEMORY) {
				lane_memory_ran_out(l, run, k, size, &err);
				/* Remembered, or each batch would fail again; a changed setting forgets it. */
				if (run->line == LINE_IMAGE || run->line == LINE_CAPTION) {
					l->fits = size;
					tell_settings(l);
				}
			}
		} else if (err.code == E_MEMORY && !again) {
			lane_memory_ran_out(l, run, 1, 1, &err);
			again = true;
		} else {
			row_fail(l, run, &rows[at++], &err);
			again = false;
		}
	}
	l->busy = false;
	for (int i = 0; i < n; i++)
		row_free(&rows[i]);
	l->rows = l->live = 0;
}

/* ---------------------------------------------------------------- thread */

void *lane_main(void *arg)
{
	struct lane *l = arg;
	struct engine *e = l->engine;
	struct model *model;

	pthread_mutex_lock(&e->lock);
	lane_open(l);
	while (!e->stop && l->ready) {
		if (e->trial)
			trial_serve(l);
		else if (l->displaced)
			trial_leave(l);
		else if (l->dirty)
			apply_settings(l);
		else if (!lane_work[l->kind](l))
			pthread_cond_wait(&l->wake, &e->lock);
	}
	while (l->model && e->loaders_running)
		pthread_cond_wait(&e->opened, &e->lock);
	model = l->model;
	pthread_mutex_unlock(&e->lock);
	if (model)
		e->library->close(model);
	return NULL;
}
