/* engine_swap.c - another model takes a lane's place while the engine runs. See engine.h and engine_private.h.
 *
 * The new one is looked at while the old one still stands, so that a wrong folder changes nothing. Then the old one goes, before the new one comes: there
 * need not be room for both. Only when the new one stands do the old one's answers become void, all at once with the mutex held. When the new one cannot
 * be opened the old one is opened again, and nothing was lost but time.
 */
#include "core/engine_private.h"

#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

/* ---------------------------------------------------------------- asking */

int engine_swap(struct engine *e, enum model_kind kind, const char *dir, struct error *err)
{
	struct lane *l = &e->lane[kind];
	int rc = -1;

	pthread_mutex_lock(&e->lock);
	if (e->opening < MODEL_KINDS) {
		fail(err, E_USAGE, "models are still being opened: try again when they are ready");
	} else if (!e->library) {
		fail(err, E_MODEL, "no model can be opened: the model library is missing");
	} else if (e->trial) {
		fail(err, E_USAGE, "a trial is running: end it first");
	} else if (l->swap) {
		fail(err, E_USAGE, "%s is still being opened: try again when it is ready", l->swap);
	} else {
		l->swap = xstrdup(dir);
		pictures_take_back(e, kind);
		pthread_cond_signal(&l->wake);
		pthread_cond_signal(&l->turn);
		rc = 0;
	}
	pthread_mutex_unlock(&e->lock);
	return rc;
}

/* ---------------------------------------------------------------- the lane's side */

static const char *kind_word(enum model_kind kind)
{
	static const char *const words[MODEL_KINDS] = {"scores labels", "writes captions", "gives verdicts"};

	return words[kind];
}

/* That it is a model, and one for this lane. Its weights are not read. */
static int look_at(struct lane *l, struct error *err)
{
	struct engine *e = l->engine;
	const char *dir = l->swap;
	struct model_info info;
	int rc;

	pthread_mutex_unlock(&e->lock);
	rc = e->library->inspect(dir, &info, err);
	if (!rc && info.kind != l->kind)
		rc = fail(err, E_USAGE, "%s is a model that %s, not one that %s", dir, kind_word(info.kind), kind_word(l->kind));
	pthread_mutex_lock(&e->lock);
	return rc;
}

/* The model goes, and all that it holds. It is in nobody's hands then: those who prepare pictures for it are waited for. */
static void retire(struct lane *l)
{
	struct engine *e = l->engine;
	struct event event = {.kind = EV_LOADING, .model = l->kind};
	struct model *model;
	int device = l->device;

	l->ready = false;
	engine_emit(e, &event);
	turn_room(e);
	while (l->reserved && !e->stop)
		pthread_cond_wait(&l->wake, &e->lock);
	if (e->stop || !l->model)
		return;
	model = l->model;
	l->model = NULL;
	l->leave = false;
	l->weight_bytes = l->weight_held = 0;
	pthread_mutex_unlock(&e->lock);
	e->library->close(model);
	e->library->memory_trim(device);
	pthread_mutex_lock(&e->lock);
	e->freed++;
	turn_room(e);
}

/* What was learnt of the former model says nothing of the next. */
static void forget_model(struct lane *l)
{
	memset(&l->engine->learned.of[l->kind], 0, sizeof l->engine->learned.of[l->kind]);
	l->times.count = 0;
	l->speeds = 0;
	memset(l->token_count, 0, sizeof l->token_count);
	memset(l->token_seconds, 0, sizeof l->token_seconds);
	l->last_peak = 0;
	l->timely = 0;
	l->trimmed = false;
	settings_undo_ladder(l->engine);
}

static void tell_swapped(struct lane *l, const struct error *err)
{
	struct event event = {.kind = EV_SWAPPED, .model = l->kind};

	if (err) {
		event.err = xmemdup(err, sizeof *err);
	} else {
		if (l->kind == MODEL_SCORES)
			labels_forget(l->engine);
		event.swapped.again = pictures_anew(l->engine, l->kind, &event.swapped.n);
	}
	engine_emit(l->engine, &event);
}

/* The new one into the empty lane, or else the old one again. */
static void replace(struct lane *l)
{
	char *old = l->dir;
	struct error err;

	l->dir = xstrdup(l->swap);
	forget_model(l);
	if (lane_open(l, &err) == 0) {
		tell_swapped(l, NULL);
		free(old);
		return;
	}
	if (l->engine->stop) {
		free(old);
		return;
	}
	free(l->dir);
	l->dir = old;
	if (old)
		fail_prefix(&err, "the former model is opened again");
	tell_swapped(l, &err);
	forget_model(l);
	if (old)
		lane_reopen(l);
}

void lane_swap(struct lane *l)
{
	struct engine *e = l->engine;
	struct error err;

	if (look_at(l, &err) < 0) {
		tell_swapped(l, &err);
	} else {
		retire(l);
		if (!e->stop)
			replace(l);
	}
	free(l->swap);
	l->swap = NULL;
	/* Loaders held back meanwhile. */
	pthread_cond_broadcast(&e->load);
}
