/* engine.c - the engine's face: creation, threads, what the controlling thread asks for and sees. See engine.h and engine_private.h. */
#include "core/engine_private.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

struct engine_settings engine_settings_default(int device)
{
	struct engine_settings s = {.batch = 4, .beams = 5, .reserve = 15, .seed = 42};

	for (int i = 0; i < MODEL_KINDS; i++)
		s.device[i] = device;
	return s;
}

int settings_check(const struct engine_settings *s, struct error *err)
{
	if (s->batch < 1 || s->batch > ENGINE_MAX_BATCH)
		return fail(err, E_USAGE, "batch %d: 1 to %d are possible", s->batch, ENGINE_MAX_BATCH);
	for (int i = 0; i < MODEL_KINDS; i++)
		if ((int)s->precision[i] < 0 || s->precision[i] >= PRECISIONS)
			return fail(err, E_USAGE, "precision %d is not known", (int)s->precision[i]);
	if (s->beams < 1 || s->beams > ENGINE_MAX_BEAMS)
		return fail(err, E_USAGE, "beams %d: 1 to %d are possible", s->beams, ENGINE_MAX_BEAMS);
	if (s->image_size < 0 || s->image_size > ENGINE_MAX_IMAGE)
		return fail(err, E_USAGE, "image size %d: 0 (the model's own) to %d pixels are possible", s->image_size, ENGINE_MAX_IMAGE);
	if (s->cap < 0)
		return fail(err, E_USAGE, "the memory cap cannot be negative");
	return 0;
}

static int check_options(const struct engine_options *o, struct error *err)
{
	if (o->hypothesis && !strstr(o->hypothesis, "{}"))
		return fail(err, E_USAGE, "hypothesis \"%s\": a {} must stand where the label goes", o->hypothesis);
	if (o->loaders < 0 || o->loaders >= LOADERS_MAX)
		return fail(err, E_USAGE, "loaders %d: 0 (choose) to %d are possible", o->loaders, LOADERS_MAX - 1);
	if (o->remember < 0)
		return fail(err, E_USAGE, "%d pictures cannot be remembered: 0 (for %d) or more are possible", o->remember, REMEMBER);
	return settings_check(&o->settings, err);
}

static void init_condition(pthread_cond_t *condition)
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
	init_condition(&l->wake);
	init_condition(&l->turn);
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
	init_condition(&e->opened);
	init_condition(&e->load);
	e->open_library = options->open_library;
	e->ctx = options->ctx;
	e->remember = options->remember ? options->remember : REMEMBER;
	e->hypothesis = xstrdup(options->hypothesis ? options->hypothesis : "This example is {}.");
	e->limits = options->limits;
	e->settings = options->settings;
	e->preview_width = options->preview_width;
	e->preview_height = options->preview_height;
	e->loaders = options->loaders ? options->loaders : runtime_cpus() < 8 ? runtime_cpus() : 8;
	e->takes_turns = options->settings.device[0] == DEVICE_CPU;
	e->turn = -1;
	e->opening = -1;
	for (int i = 0; i < MODEL_KINDS; i++)
		init_lane(e, (enum model_kind)i, options->model_dir[i]);
	return e;
}

/* ---------------------------------------------------------------- threads */

static const struct model_library *open_library(struct engine *e, struct event *event, struct error *err)
{
	const struct model_library *library = e->open_library(e->ctx, err);

	if (!library)
		return NULL;
	if (library->abi != MODEL_LIBRARY_ABI)
		return fail_null(err, E_MODEL, "the model library has version %d of the table, this program needs %d: build both anew", library->abi,
				 MODEL_LIBRARY_ABI);
	if (library->start(e->settings.threads, err) < 0 || library->device(e->settings.device[0], &event->library.device) < 0)
		return NULL;
	snprintf(event->library.version, sizeof event->library.version, "%s", library->version());
	return library;
}

static void *opener_main(void *arg)
{
	struct engine *e = arg;
	struct event event = {.kind = EV_LIBRARY};
	struct error err = {0};
	const struct model_library *library;

	fail(&err, E_MODEL, "device %d does not exist here", e->settings.device[0]);
	library = open_library(e, &event, &err);
	if (!library)
		event.err = xmemdup(&err, sizeof err);
	pthread_mutex_lock(&e->lock);
	e->library = library;
	if (library && e->settings.cap)
		library->memory_set_cap(e->settings.device[0], e->settings.cap);
	engine_emit(e, &event);
	e->opening = 0;
	pthread_cond_broadcast(&e->opened);
	pthread_mutex_unlock(&e->lock);
	return NULL;
}

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
	/* Last: no thread can be made while another loads a library. */
	engine_thread(&e->opener, opener_main, e);
}

static void join_threads(struct engine *e)
{
	pthread_mutex_lock(&e->lock);
	e->stop = true;
	trial_wake(e);
	pthread_cond_broadcast(&e->opened);
	pthread_cond_broadcast(&e->load);
	for (int i = 0; i < MODEL_KINDS; i++) {
		pthread_cond_broadcast(&e->lane[i].wake);
		pthread_cond_broadcast(&e->lane[i].turn);
	}
	pthread_mutex_unlock(&e->lock);
	pthread_join(e->opener, NULL);
	trial_join(e);
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
	}
	pthread_cond_destroy(&e->opened);
	pthread_cond_destroy(&e->load);
	pthread_mutex_destroy(&e->lock);
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

bool engine_submit(struct engine *e, uint32_t id, const char *path, enum engine_priority priority, int work)
{
	struct picture *p;

	pthread_mutex_lock(&e->lock);
	p = picture_find(e, id);
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

/* ---------------------------------------------------------------- settings */

/* What was prepared in another size goes back to the loaders, in its order. */
static void prepare_anew(struct engine *e)
{
	struct picture *p;

	while ((p = line_tail(&e->line[LINE_CAPTION]))) {
		picture_drop(e, p, LINE_CAPTION);
		line_join(e, p, LINE_LOAD_CAPTION, true);
	}
}

int engine_set_settings(struct engine *e, const struct engine_settings *settings, struct error *err)
{
	struct engine_settings old;

	if (settings_check(settings, err) < 0)
		return -1;
	pthread_mutex_lock(&e->lock);
	old = e->settings;
	e->settings = *settings;
	if (old.image_size != settings->image_size)
		prepare_anew(e);
	if (old.cap != settings->cap && e->library)
		e->library->memory_set_cap(settings->device[0], settings->cap);
	for (int i = 0; i < MODEL_KINDS; i++) {
		e->lane[i].dirty = true;
		pthread_cond_signal(&e->lane[i].wake);
	}
	pthread_cond_broadcast(&e->load);
	pthread_mutex_unlock(&e->lock);
	return 0;
}

struct engine_settings engine_get_settings(const struct engine *e)
{
	struct engine *shared = (struct engine *)e; /* for the mutex only */
	struct engine_settings settings;

	pthread_mutex_lock(&shared->lock);
	settings = e->settings;
	pthread_mutex_unlock(&shared->lock);
	return settings;
}

/* ---------------------------------------------------------------- status */

static int compare_doubles(const void *pa, const void *pb)
{
	double a = *(const double *)pa, b = *(const double *)pb;

	return (a > b) - (a < b);
}

/* By nearest rank. times[TIMES] is sorted in place. */
static void percentiles(double *times, int64_t count, double *p50, double *p95)
{
	size_t n = count < TIMES ? (size_t)count : TIMES;

	if (!n)
		return;
	qsort(times, n, sizeof *times, compare_doubles);
	*p50 = times[(n * 50 + 99) / 100 - 1];
	*p95 = times[(n * 95 + 99) / 100 - 1];
}

static void lane_look(const struct engine *e, enum model_kind kind, struct lane_status *out, double times[TIMES])
{
	static const enum line_name lines[MODEL_KINDS][3] = {
		[MODEL_SCORES] = {LINE_IMAGE, LINE_RESCORE, LINE_TEXT},
		[MODEL_CAPTION] = {LINE_CAPTION, LINES, LINES},
		[MODEL_NLI] = {LINE_PREMISE, LINES, LINES},
	};
	const struct lane *l = &e->lane[kind];

	*out = (struct lane_status){.used = l->used, .ready = l->ready, .busy = l->busy, .failed = l->failed, .batch = l->batch, .done = l->done};
	out->weight_bytes = l->weight_bytes;
	out->weight_held = l->weight_held;
	out->precision = l->precision;
	for (int i = 0; i < 3 && lines[kind][i] < LINES; i++)
		out->queued += e->line[lines[kind][i]].count;
	memcpy(times, l->ms, sizeof l->ms);
}

void engine_status(struct engine *e, struct engine_status *out)
{
	double times[MODEL_KINDS][TIMES];
	int64_t counts[MODEL_KINDS];
	const struct model_library *library;

	*out = (struct engine_status){0};
	pthread_mutex_lock(&e->lock);
	for (int i = 0; i < MODEL_KINDS; i++) {
		lane_look(e, (enum model_kind)i, &out->lane[i], times[i]);
		counts[i] = e->lane[i].ms_count;
	}
	for (int i = 0; i <= LINE_LOAD_CAPTION; i++)
		out->jobs = e->line[i].count > out->jobs ? e->line[i].count : out->jobs;
	out->pending = e->pending;
	out->refreshing = e->refreshing;
	out->trial = e->trial;
	out->submitted = e->submitted;
	out->answered = e->answered;
	out->failed = e->failed;
	out->cancelled = e->cancelled;
	pictures_count_rate(e);
	out->images_per_s = pictures_rate(e);
	library = e->library;
	out->devices = library ? 1 : 0;
	out->device[0].device = e->settings.device[0];
	pthread_mutex_unlock(&e->lock);
	/* Sorting and asking the allocator need no mutex of ours. */
	for (int i = 0; i < MODEL_KINDS; i++)
		percentiles(times[i], counts[i], &out->lane[i].p50_ms, &out->lane[i].p95_ms);
	out->library = library;
	if (library)
		library->memory(out->device[0].device, &out->device[0].memory);
}

const struct model_library *engine_library(struct engine *e)
{
	const struct model_library *library;

	pthread_mutex_lock(&e->lock);
	library = e->library;
	pthread_mutex_unlock(&e->lock);
	return library;
}
