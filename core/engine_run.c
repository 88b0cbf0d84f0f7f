/* engine_run.c - batches: gathering one, running it, and what happens when that fails. See engine_private.h. */
#include "core/engine_private.h"

#include <errno.h>
#include <stdlib.h>

/* ---------------------------------------------------------------- gathering */

static bool more_comes(const struct lane *l, enum line_name line)
{
	enum line_name from = line == LINE_IMAGE ? LINE_LOAD_SCORES : LINE_LOAD_CAPTION;

	return l->reserved > 0 || l->engine->line[from].count > 0;
}

bool lane_gather(struct lane *l, enum line_name name, int max)
{
	struct engine *e = l->engine;
	struct line *line = &e->line[name];
	struct timespec until = clock_after(1e-3 * GATHER_MS);

	while (!e->stop && !l->dirty && !l->swap && line->count && line->count < max && !line->first[ENGINE_SELECTED] && more_comes(l, name))
		if (pthread_cond_timedwait(&l->wake, &e->lock, &until) == ETIMEDOUT)
			break;
	return !e->stop && !l->dirty && !l->swap && line->count;
}

static void row_free(struct row *row)
{
	free(row->pixels.data);
	free(row->text);
	*row = (struct row){0};
}

/* ---------------------------------------------------------------- one call */

/* Both know then that what is measured is not theirs alone. */
static void enter(struct lane *l)
{
	struct engine *e = l->engine;

	l->running = true;
	l->beside = false;
	for (int i = 0; i < MODEL_KINDS; i++)
		if (&e->lane[i] != l && e->lane[i].running && e->lane[i].device == l->device)
			l->beside = e->lane[i].beside = true;
}

static void begin_call(struct lane *l, const struct run *run, int n)
{
	l->batch = n;
	l->largest = l->longest = 0;
	l->freed = l->engine->freed;
	l->seen = l->engine->changes;
	l->late = false;
	l->waited = 0;
	l->began = l->progress = clock_now();
	/* Labels are no picture's answer. */
	l->deadline = run->line == LINES ? 0 : l->engine->settings.deadline;
}

static int end_call(struct lane *l, int n, int rc, struct error *err)
{
	double took = clock_now() - l->began - l->waited;

	l->progress = 0;
	l->running = false;
	turn_room(l->engine);
	/* One slow picture is no reason to go on in small batches. */
	if (!rc && l->timely && n >= l->timely && 2 * took < l->deadline)
		l->timely = 2 * l->timely < l->engine->settings.batch ? 2 * l->timely : 0;
	if (rc < 0 && l->late && err->code == E_CANCELLED)
		return fail(err, E_DEADLINE, "%s: stopped after %.2f s, the deadline is %g s", lane_name[l->kind], took, l->deadline);
	return rc;
}

static int run_once(struct lane *l, const struct run *run, struct row *rows, int n, struct error *err)
{
	struct engine *e = l->engine;
	int rc;

	l->attempt = 0;
	/* While it waits for memory another may ask for its place. */
	do {
		if (lane_place(l, err) < 0)
			return -1;
		ladder_await(l, l->device);
	} while (l->evicted && !lane_dropped(l));
	enter(l);
	if (l->device == DEVICE_CPU)
		turn_wait(l);
	if (lane_dropped(l)) {
		turn_leave(l);
		l->running = false;
		turn_room(e);
		return fail(err, E_CANCELLED, "cancelled");
	}
	begin_call(l, run, n);
	pthread_mutex_unlock(&e->lock);
	meter_begin(l);
	rc = run->call(l, rows, n, err);
	meter_end(l);
	pthread_mutex_lock(&e->lock);
	turn_leave(l);
	if (!rc)
		forecast_from_run(l, run);
	return end_call(l, n, rc, err);
}

/* ---------------------------------------------------------------- failures */

static void trim(struct lane *l)
{
	struct engine *e = l->engine;
	int device = l->device;

	pthread_mutex_unlock(&e->lock);
	e->library->memory_trim(device);
	pthread_mutex_lock(&e->lock);
}

static void row_fail(struct lane *l, const struct run *run, struct row *row, const struct error *err)
{
	struct engine *e = l->engine;
	struct picture *p;

	if (row->label) {
		row->label->failed = true;
		engine_note(e, "label \"%s\" cannot be compared: %s", row->label->text, err->text);
	} else if ((p = picture_return(e, row->id, run->line, row->ticket))) {
		if (!picture_retry(e, p, run->line, err))
			picture_lose(e, p, l->kind, run->line == LINE_TEXT ? ANSWER_CLIPSCORE : answers_of(l->kind), err);
	}
}

/* What was prepared for a larger image than fits goes back to the loaders, in its order and before all others. */
static void send_back(struct engine *e, struct row *rows, int n)
{
	while (n-- > 0) {
		struct picture *p = picture_return(e, rows[n].id, LINE_CAPTION, rows[n].ticket);

		if (p)
			line_join(e, p, LINE_LOAD_CAPTION, true);
	}
}

/* Rows at a time; pairs of texts have their own measure. */
static int chunk(const struct lane *l, const struct run *run, int left)
{
	int most = run->texts ? (l->down.texts ? l->down.texts : left) : run->line == LINE_PREMISE ? left : lane_forward(l);

	return most < left ? most : left;
}

enum verdict_on_rows { AGAIN, SMALLER, GIVE_UP, SENT_BACK };

/* What follows from the failure of k rows. */
static enum verdict_on_rows judge(struct lane *l, const struct run *run, int k, struct error *err)
{
	struct engine *e = l->engine;
	int size = settings_image_size(e);

	/* Where it did not come to a run, the ladder has been gone down while the weights were placed. */
	if (err->code == E_MEMORY && l->attempt && ladder_down(l, l->device, run, l->attempt, err))
		return run->line == LINE_CAPTION && settings_image_size(e) != size ? SENT_BACK : AGAIN;
	if (err->code == E_DEVICE && l->device != DEVICE_CPU) {
		if (ladder_device_failed(l, err))
			return AGAIN;
		lane_fail(l, err);
	}
	if (err->code == E_DEADLINE && k > 1 && (run->line == LINE_IMAGE || run->line == LINE_CAPTION)) {
		if (!l->timely)
			engine_note(e, "%s: %d pictures took longer than the deadline of %g s: smaller batches are tried", lane_name[l->kind], k,
				    l->deadline);
		l->timely = (k + 1) / 2;
	}
	return k > 1 && l->attempt && err->code != E_DEVICE ? SMALLER : GIVE_UP;
}

void lane_run_rows(struct lane *l, const struct run *run, struct row *rows, int n)
{
	struct engine *e = l->engine;
	int at = 0, most = n;

	l->busy = true;
	while (at < n && !lane_dropped(l)) {
		int left = n - at < most ? n - at : most, k = chunk(l, run, left);
		enum verdict_on_rows verdict;
		struct error err;

		if (!run_once(l, run, rows + at, k, &err)) {
			at += k;
			most = n;
			l->trimmed = false;
			continue;
		}
		if (lane_dropped(l))
			break;
		verdict = judge(l, run, k, &err);
		if (verdict == SMALLER) {
			most = (k + 1) / 2;
		} else if (verdict == SENT_BACK) {
			send_back(e, rows + at, n - at);
			break;
		} else if (verdict == GIVE_UP) {
			if (e->settings.retries)
				trim(l);
			/* Without a run it is not about these pictures: none of the batch could do better. */
			k = l->attempt ? k : n - at;
			for (int i = 0; i < k; i++)
				row_fail(l, run, &rows[at + i], &err);
			at += k;
			most = n;
		}
	}
	ladder_rest(l);
	if (e->settings.empty_cache)
		trim(l);
	l->busy = false;
	for (int i = 0; i < n; i++)
		row_free(&rows[i]);
	l->rows = l->live = 0;
	/* Somebody may wait for this model to leave. */
	turn_room(e);
}
