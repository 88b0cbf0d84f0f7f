/* engine_trial.c - trials: the models really run as other settings would have it, while ordinary work waits. See engine.h and engine_trial.h.
 *
 * A thread of the trial's own conducts: it decodes and prepares, waits until every lane has come to the end of its batch and parked in trial_serve, and
 * then hands one task after the other to the lane whose model it is about, so that only a model's own thread ever runs it. When the trial is over, however
 * it ended, its caps go at once, and each lane that was moved puts its model back before it takes up work; a next trial may come before that.
 */
#include "core/engine_trial.h"

#include <stdlib.h>

#include "core/mem.h"

enum { PASSES_MAX = 1000 };

/* ---------------------------------------------------------------- the conductor */

/* What the lane has found out about a wish holds for the trial, too. */
static int device_for(const struct trial *t, const struct lane *l)
{
	int wish = t->settings.device[l->kind];

	if (wish != l->wish && wish >= DEVICE_CPU)
		return wish;
	return t->engine->device_failed ? DEVICE_CPU : l->home;
}

static int wait_for_lanes(struct trial *t, struct error *err)
{
	struct engine *e = t->engine;
	bool parked = false;

	pthread_mutex_lock(&e->lock);
	while (!parked && !t->cancelled && !e->stop) {
		parked = true;
		for (int kind = 0; kind < MODEL_KINDS; kind++)
			parked = parked && (!e->lane[kind].ready || e->lane[kind].parked);
		if (!parked)
			pthread_cond_wait(&t->changed, &e->lock);
	}
	for (int kind = 0; kind < MODEL_KINDS; kind++)
		t->device[kind] = device_for(t, &e->lane[kind]);
	pthread_mutex_unlock(&e->lock);
	return parked ? 0 : trial_cancelled(err);
}

/* Has every lane that takes part do the task, one after the other. */
static int have_done(struct trial *t, trial_task *task, struct error *err)
{
	struct engine *e = t->engine;
	int rc = 0;

	for (int kind = 0; kind < MODEL_KINDS && !rc; kind++) {
		if (!trial_has(t, kind))
			continue;
		pthread_mutex_lock(&e->lock);
		if (e->stop || t->cancelled) {
			pthread_mutex_unlock(&e->lock);
			return trial_cancelled(err);
		}
		t->task = task;
		t->lane = &e->lane[kind];
		t->err = err;
		pthread_cond_signal(&t->lane->wake);
		while (t->lane)
			pthread_cond_wait(&t->changed, &e->lock);
		rc = t->rc;
		pthread_mutex_unlock(&e->lock);
	}
	return rc;
}

static int check_devices(struct trial *t, struct error *err)
{
	for (int kind = 0; kind < MODEL_KINDS; kind++)
		if (trial_has(t, kind) && t->library->usable(t->device[kind], err) < 0)
			return -1;
	return 0;
}

/* The caps of the trial's settings, or those of the engine's own again. */
static void set_caps(struct trial *t, bool ours)
{
	struct engine *e = t->engine;

	pthread_mutex_lock(&e->lock);
	t->capped = ours;
	pthread_mutex_unlock(&e->lock);
	for (int kind = 0; kind < MODEL_KINDS; kind++) {
		if (!trial_has(t, kind))
			continue;
		status_watch(e, t->device[kind]);
		settings_cap(e, t->device[kind]);
	}
}

const struct engine_settings *trial_caps(const struct engine *e)
{
	return e->trial && e->trial->capped ? &e->trial->settings : &e->settings;
}

static int conduct(struct trial *t, struct error *err)
{
	if (trial_prepare(t, err) < 0 || wait_for_lanes(t, err) < 0 || check_devices(t, err) < 0)
		return -1;
	set_caps(t, true);
	if (have_done(t, trial_place, err) < 0)
		return -1;
	trial_weigh(t);
	for (t->pass = -1; t->pass < t->passes; t->pass++)
		if (have_done(t, trial_run_batch, err) < 0 || trial_check(t, err) < 0)
			return -1;
	trial_judge(t);
	return 0;
}

/* ---------------------------------------------------------------- begin and end */

static void trial_free(struct trial *t)
{
	trial_forget(t);
	for (int i = 0; i < t->n; i++)
		free(t->paths[i]);
	free(t->paths);
	pthread_cond_destroy(&t->changed);
	free(t);
}

static void *conductor_main(void *arg)
{
	struct trial *t = arg;
	struct engine *e = t->engine;
	struct error err;

	if (conduct(t, &err) < 0)
		t->event.err = xmemdup(&err, sizeof err);
	if (t->capped)
		set_caps(t, false);
	pthread_mutex_lock(&e->lock);
	e->trial = NULL;
	for (int kind = 0; kind < MODEL_KINDS; kind++)
		pthread_cond_signal(&e->lane[kind].wake);
	pthread_cond_broadcast(&e->load);
	/* As a loader it kept lanes from closing the models that it prepared pictures for. */
	e->loaders_running--;
	pthread_cond_broadcast(&e->opened);
	engine_emit(e, &t->event);
	pthread_mutex_unlock(&e->lock);
	trial_free(t);
	return NULL;
}

static int check_trial(const struct engine_trial *ask, int n, struct error *err)
{
	if (ask->passes < 0 || ask->passes > PASSES_MAX)
		return fail(err, E_USAGE, "%d timed passes: 0 to %d are possible", ask->passes, PASSES_MAX);
	if (ask->models >> MODEL_KINDS)
		return fail(err, E_USAGE, "a trial of models that there are not");
	if (n < 1)
		return fail(err, E_USAGE, "a trial needs a picture");
	return settings_check(&ask->settings, err);
}

/* The models that are to run; the mutex is held. 0 with err. */
static unsigned choose_models(const struct engine *e, unsigned wanted, struct error *err)
{
	unsigned ready = 0, usable = 0;
	bool swaps = false;

	for (int kind = 0; kind < MODEL_KINDS; kind++) {
		swaps = swaps || e->lane[kind].swap;
		ready |= (unsigned)(e->lane[kind].ready && lane_usable(&e->lane[kind])) << kind;
		usable |= (unsigned)lane_usable(&e->lane[kind]) << kind;
	}
	if (e->trial)
		fail(err, E_USAGE, "a trial is running");
	else if (usable & ~ready || swaps)
		fail(err, E_USAGE, "models are still being opened: try again when they are ready");
	else if (!ready || wanted & ~ready)
		fail(err, E_MODEL, ready ? "a model that the trial asks for is not there" : "no model is there to be tried");
	else
		return wanted ? wanted : ready;
	return 0;
}

int engine_try(struct engine *e, const struct engine_trial *ask, const char *const *paths, int n, struct error *err)
{
	struct trial *t;
	unsigned models;

	if (check_trial(ask, n, err) < 0)
		return -1;
	pthread_mutex_lock(&e->lock);
	models = choose_models(e, ask->models, err);
	pthread_mutex_unlock(&e->lock);
	if (!models)
		return -1;
	trial_join(e);
	t = xcalloc(1, sizeof *t);
	*t = (struct trial){.engine = e, .settings = ask->settings, .models = models, .passes = ask->passes, .n = n, .event = {.kind = EV_TRIAL}};
	t->paths = xcalloc((size_t)n, sizeof *t->paths);
	for (int i = 0; i < n; i++)
		t->paths[i] = xstrdup(paths[i]);
	pthread_cond_init(&t->changed, NULL);
	pthread_mutex_lock(&e->lock);
	t->library = e->library;
	e->trial = t;
	e->loaders_running++;
	for (int kind = 0; kind < MODEL_KINDS; kind++)
		pthread_cond_signal(&e->lane[kind].wake);
	pthread_mutex_unlock(&e->lock);
	engine_thread(&e->trial_thread, conductor_main, t);
	e->trial_joinable = true;
	return 0;
}

void engine_try_cancel(struct engine *e)
{
	pthread_mutex_lock(&e->lock);
	if (e->trial) {
		e->trial->cancelled = true;
		pthread_cond_broadcast(&e->trial->changed);
	}
	pthread_mutex_unlock(&e->lock);
}

void trial_wake(struct engine *e)
{
	if (e->trial)
		pthread_cond_broadcast(&e->trial->changed);
}

void trial_join(struct engine *e)
{
	if (e->trial_joinable)
		pthread_join(e->trial_thread, NULL);
	e->trial_joinable = false;
}

/* ---------------------------------------------------------------- the lane's side */

static void do_task(struct trial *t, struct lane *l)
{
	struct engine *e = t->engine;
	int rc;

	pthread_mutex_unlock(&e->lock);
	rc = t->task(t, l, t->err);
	pthread_mutex_lock(&e->lock);
	t->rc = rc;
	t->lane = NULL;
	pthread_cond_broadcast(&t->changed);
}

/* Back to where ordinary work has it. When that fails the lane's own way of applying settings goes on from where the model now stands. */
void trial_leave(struct lane *l)
{
	struct engine *e = l->engine;
	struct model_control control = {.check = lane_check_stop, .ctx = l};
	struct engine_settings settings = e->settings;
	struct place back = l->back, away = l->away;
	bool evict = l->stays_evicted, resident;
	struct error err;
	int rc = 0;

	l->displaced = false;
	l->tuned = false;
	pthread_mutex_unlock(&e->lock);
	trial_tune(e->library, &settings);
	if (evict)
		e->library->evict(l->model);
	else if (away.device != back.device || away.precision != back.precision || !e->library->resident(l->model))
		rc = e->library->place(l->model, back.device, back.precision, &control, &err);
	e->library->memory_trim(away.device);
	resident = e->library->resident(l->model);
	pthread_mutex_lock(&e->lock);
	l->evicted = !resident;
	e->peaks_begin = true;
	if (rc < 0 && !e->stop) {
		engine_note(e, "%s: could not go back to where it was before the trial: %s", lane_name[l->kind], err.text);
		l->device = away.device;
		l->asked = away;
		l->dirty = true;
	}
	lane_weigh(l);
	turn_room(e);
}

void trial_serve(struct lane *l)
{
	struct engine *e = l->engine;
	struct trial *t = e->trial;

	l->parked = true;
	pthread_cond_broadcast(&t->changed);
	/* A task is served also while the engine stops: its end is waited for. */
	while (e->trial == t && (!e->stop || t->lane == l)) {
		if (t->lane == l)
			do_task(t, l);
		else if (l->leave)
			/* A lane that is still at work needs the room. */
			ladder_leave(l);
		else
			pthread_cond_wait(&l->wake, &e->lock);
	}
	l->parked = false;
}
