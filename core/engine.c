/* engine.c - the engine's face: creation, threads, what the controlling thread asks for and sees. See engine.h and engine_private.h. */
#include "core/engine_private.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/hypothesis.h"
#include "core/mem.h"
#include "core/runtime.h"

/* ---------------------------------------------------------------- events */

void engine_emit(struct engine *e, struct event *event)
{
	queue_put(&e->events, event);
}

void engine_note(struct engine *e, const char *fmt, ...)
{
	struct event event = {.kind = EV_NOTE};
	va_list ap;

	va_start(ap, fmt);
	event.note = xvasprintf(fmt, ap);
	va_end(ap);
	engine_emit(e, &event);
}

int engine_fd(const struct engine *e)
{
	return queue_fd(&e->events);
}

bool engine_next(struct engine *e, struct event *out)
{
	if (!queue_take(&e->events, out))
		return false;
	event_log(out);
	return true;
}

/* ---------------------------------------------------------------- creation */

static int check_options(const struct engine_options *o, struct error *err)
{
	if (o->hypothesis && hypothesis_check(o->hypothesis, err) < 0)
		return fail_prefix(err, "hypothesis");
	if (o->loaders < 0 || o->loaders >= LOADERS_MAX)
		return fail(err, E_USAGE, "loaders %d: 0 (choose) to %d are possible", o->loaders, LOADERS_MAX - 1);
	if (o->remember < 0)
		return fail(err, E_USAGE, "%d pictures cannot be remembered: 0 (for %d) or more are possible", o->remember, REMEMBER);
	return settings_check(&o->settings, err);
}

void engine_condition(pthread_cond_t *condition)
{
	pthread_condattr_t monotonic;

	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(condition, &monotonic);
	pthread_condattr_destroy(&monotonic);
}

static void init_lane(struct engine *e, enum model_kind kind, const char *dir)
{
	struct lane *l = &e->lane[kind];

	l->engine = e;
	l->kind = kind;
	l->dir = dir ? xstrdup(dir) : NULL;
	l->used = dir;
	/* Until it stands somewhere. */
	l->device = e->settings.device[kind] < DEVICE_CPU ? DEVICE_CPU : e->settings.device[kind];
	engine_condition(&l->wake);
	engine_condition(&l->turn);
}

struct engine *engine_create(const struct engine_options *options, struct error *err)
{
	struct engine *e;
	struct queue events;

	if (check_options(options, err) < 0 || queue_init(&events, sizeof(struct event), err) < 0)
		return NULL;
	e = xcalloc(1, sizeof *e);
	e->events = events;
	pthread_mutex_init(&e->lock, NULL);
	pthread_mutex_init(&e->account, NULL);
	engine_condition(&e->opened);
	engine_condition(&e->load);
	engine_condition(&e->keep);
	opener_create(e, options);
	e->remember = options->remember ? options->remember : REMEMBER;
	e->hypothesis = xstrdup(options->hypothesis ? options->hypothesis : HYPOTHESIS_TEMPLATE);
	e->limits = options->limits;
	e->settings = options->settings;
	e->preview_width = options->preview_width;
	e->preview_height = options->preview_height;
	e->loaders = options->loaders ? options->loaders : runtime_cpus() < 8 ? runtime_cpus() : 8;
	e->force_cuda = options->force_cuda;
	e->turn = -1;
	e->opening = -1;
	for (int i = 0; i < MODEL_KINDS; i++)
		init_lane(e, (enum model_kind)i, options->model_dir[i]);
	return e;
}

/* ---------------------------------------------------------------- threads */

void engine_thread(pthread_t *thread, void *(*run)(void *), void *arg)
{
	sigset_t all, old;
	int failed;

	/* Signals are for the thread that has the terminal. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	failed = pthread_create(thread, NULL, run, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (failed) {
		/* Without its threads the program can do nothing at all, as without memory. */
		if (mem_exhausted)
			mem_exhausted();
		abort();
	}
}

void engine_start(struct engine *e)
{
	if (e->started)
		return;
	e->started = true;
	e->loaders_running = e->loaders + 1;
	for (int i = 0; i < MODEL_KINDS; i++)
		engine_thread(&e->lane[i].thread, lane_main, &e->lane[i]);
	for (int i = 0; i < e->loaders; i++)
		engine_thread(&e->loader[i], loader_main, e);
	/* One more that takes nothing from the background, so that a look at a picture never waits for the decode of another. */
	engine_thread(&e->loader[e->loaders], loader_express_main, e);
	engine_thread(&e->keeper, keeper_main, e);
	/* Last: no thread can be made while another loads a library. */
	opener_start(e);
}

static void join_threads(struct engine *e)
{
	pthread_mutex_lock(&e->lock);
	e->stop = true;
	trial_wake(e);
	pthread_cond_broadcast(&e->opened);
	pthread_cond_broadcast(&e->load);
	pthread_cond_broadcast(&e->keep);
	for (int i = 0; i < MODEL_KINDS; i++) {
		pthread_cond_broadcast(&e->lane[i].wake);
		pthread_cond_broadcast(&e->lane[i].turn);
	}
	pthread_mutex_unlock(&e->lock);
	/* First: from here on nobody hands over a library any more. */
	opener_leave(e);
	pthread_join(e->keeper, NULL);
	trial_join(e);
	survey_leave(e);
	for (int i = 0; i <= e->loaders; i++)
		pthread_join(e->loader[i], NULL);
	for (int i = 0; i < MODEL_KINDS; i++)
		pthread_join(e->lane[i].thread, NULL);
}

void engine_destroy(struct engine *e)
{
	struct event event;

	if (!e)
		return;
	if (e->started)
		join_threads(e);
	else
		opener_leave(e);
	while (e->all.first)
		picture_free(e, e->all.first);
	while (queue_take(&e->events, &event))
		event_clear(&event);
	queue_free(&e->events);
	labels_free(e);
	for (int i = 0; i < MODEL_KINDS; i++) {
		pthread_cond_destroy(&e->lane[i].wake);
		pthread_cond_destroy(&e->lane[i].turn);
		free(e->lane[i].dir);
		free(e->lane[i].swap);
	}
	pthread_cond_destroy(&e->opened);
	pthread_cond_destroy(&e->load);
	pthread_cond_destroy(&e->keep);
	pthread_mutex_destroy(&e->lock);
	pthread_mutex_destroy(&e->account);
	free(e->device_note);
	free(e->buckets);
	free(e->hypothesis);
	free(e);
}

/* ---------------------------------------------------------------- work */

static void ask_answers(struct engine *e, struct picture *p)
{
	struct error err;

	if (p->phase == PHASE_PENDING)
		return;
	picture_begin(e, p);
	if (p->missing)
		return;
	fail(&err, E_MODEL, "no model is there to answer");
	picture_fail(e, p, &err);
}

/* p: what is known of it already, or NULL. */
static bool refuse(struct engine *e, const struct picture *p, enum engine_priority priority, int work)
{
	if (!e->settings.queue || priority == ENGINE_SELECTED || !(work & ENGINE_ANSWERS) || (p && p->phase == PHASE_PENDING))
		return false;
	if (pictures_waiting(e) < e->settings.queue)
		return false;
	return e->full = true;
}

bool engine_submit(struct engine *e, uint32_t id, const char *path, enum engine_priority priority, int work)
{
	struct picture *p;

	pthread_mutex_lock(&e->lock);
	p = picture_find(e, id);
	if (refuse(e, p, priority, work)) {
		pthread_mutex_unlock(&e->lock);
		return false;
	}
	if (!p)
		p = picture_add(e, id, path);
	else if (strcmp(p->path, path)) {
		free(p->path);
		p->path = xstrdup(path);
	}
	if (priority == ENGINE_SELECTED)
		picture_select(e, p);
	else
		picture_move(e, p, priority);
	if (work & ENGINE_PREVIEW && e->preview_width > 0 && e->preview_height > 0 && !p->ticket[LINE_PREVIEW])
		line_join(e, p, LINE_PREVIEW, false);
	if (work & ENGINE_ANSWERS)
		ask_answers(e, p);
	else
		picture_release(e, p);
	pthread_mutex_unlock(&e->lock);
	return true;
}

void engine_cancel(struct engine *e, uint32_t id)
{
	struct picture *p;

	pthread_mutex_lock(&e->lock);
	if ((p = picture_find(e, id)))
		picture_cancel(e, p, false);
	pthread_mutex_unlock(&e->lock);
}

void engine_cancel_all(struct engine *e)
{
	pthread_mutex_lock(&e->lock);
	for (struct picture *p = e->all.first, *next; p; p = next) {
		next = p->all.next;
		picture_cancel(e, p, false);
	}
	pthread_mutex_unlock(&e->lock);
}

static bool keep_other(void *ctx, void *value)
{
	struct event *event = value;

	if (!event_is_answer(event->kind))
		return true;
	event_clear(event);
	return false;
}

void engine_forget(struct engine *e)
{
	pthread_mutex_lock(&e->lock);
	for (struct picture *p = e->all.first, *next; p; p = next) {
		next = p->all.next;
		picture_cancel(e, p, true);
	}
	while (e->all.first)
		picture_free(e, e->all.first);
	queue_filter(&e->events, keep_other, NULL);
	pthread_mutex_unlock(&e->lock);
}

void engine_set_preview_size(struct engine *e, int width, int height)
{
	pthread_mutex_lock(&e->lock);
	e->preview_width = width;
	e->preview_height = height;
	pthread_mutex_unlock(&e->lock);
}
