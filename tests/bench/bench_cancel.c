/* bench_cancel.c - how long running work holds on after it was cancelled: captioner and CLIP at work on pictures of batch 1, stopped at random moments.
 *
 *	bench_cancel --clip DIR --captioner DIR --pictures DIR [--precision P] [--device D] [--threads N] [--tries N]
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "core/engine.h"
#include "core/mem.h"
#include "core/runtime.h"
#include "models/models.h"
#include "models/picturebook/scene.h"
#include "tests/bench/measure.h"

enum { TRIES = 50, PICTURES_AT_ONCE = 4 };

struct cancelling {
	const struct bench_arguments *args;
	char **files;
	int n;
	double caption_s; /* how long a captioner's answer takes when it is left alone */
	uint64_t chance;
	struct engine *engine;
	uint32_t next;
};

static const struct model_library *linked_library(void *ctx, struct error *err)
{
	return &vramble_models;
}

static void drain(struct engine *e, int seen[EV_NOTE + 1])
{
	struct event event;

	while (engine_next(e, &event)) {
		if (event.err && event.kind != EV_CANCELLED)
			bench_stop("%s", event.err->text);
		seen[event.kind]++;
		event_clear(&event);
	}
}

static void await(struct engine *e, enum event_kind kind, int n)
{
	struct pollfd fd = {engine_fd(e), POLLIN, 0};
	int seen[EV_NOTE + 1] = {0};

	for (drain(e, seen); seen[kind] < n; drain(e, seen))
		poll(&fd, 1, -1);
}

static void start(struct cancelling *c)
{
	struct engine_options options = {.open_library = linked_library};
	struct error err;

	options.model_dir[MODEL_SCORES] = (char *)c->args->clip;
	options.model_dir[MODEL_CAPTION] = (char *)c->args->captioner;
	options.settings = engine_settings_default(c->args->device);
	options.settings.batch = 1;
	options.settings.threads = c->args->threads;
	for (int i = 0; i < MODEL_KINDS; i++)
		options.settings.precision[i] = c->args->precision;
	c->engine = engine_create(&options, &err);
	if (!c->engine)
		bench_stop("%s", err.text);
	engine_set_labels(c->engine, (const char *const[]){"a picture", "something else"}, 2, 0);
	engine_start(c->engine);
	await(c->engine, EV_READY, 2);
}

static void submit(struct cancelling *c, int n)
{
	for (int i = 0; i < n; i++, c->next++)
		engine_submit(c->engine, c->next, c->files[c->next % (uint32_t)c->n], ENGINE_BACKGROUND, ENGINE_ANSWERS);
}

static bool is_busy(struct engine *e)
{
	struct engine_status status;
	bool busy = false;

	engine_status(e, &status);
	for (int i = 0; i < MODEL_KINDS; i++)
		busy = busy || status.lane[i].busy;
	return busy;
}

static void rest(double seconds)
{
	struct timespec t = {.tv_sec = (time_t)seconds, .tv_nsec = (long)(1e9 * (seconds - (double)(time_t)seconds))};

	nanosleep(&t, NULL);
}

/* Until some moment of the work that was just submitted. */
static void wait_a_while(struct cancelling *c)
{
	while (!is_busy(c->engine))
		rest(0.0005);
	rest((double)scene_between(&c->chance, 0, (float)c->caption_s));
}

static double time_alone(struct cancelling *c)
{
	double begin;

	submit(c, 1);
	await(c->engine, EV_RANKING, 1);
	begin = clock_now();
	submit(c, 1);
	await(c->engine, EV_RANKING, 1);
	return clock_now() - begin;
}

/* From the order to the moment when no lane computes any more. */
static double cancel_once(struct cancelling *c)
{
	int seen[EV_NOTE + 1] = {0};
	double begin;

	submit(c, PICTURES_AT_ONCE);
	wait_a_while(c);
	begin = clock_now();
	engine_cancel_all(c->engine);
	while (is_busy(c->engine))
		rest(0.0002);
	begin = clock_now() - begin;
	drain(c->engine, seen);
	return begin;
}

static double destroy_once(struct cancelling *c)
{
	double begin;

	submit(c, PICTURES_AT_ONCE);
	wait_a_while(c);
	begin = clock_now();
	engine_destroy(c->engine);
	c->engine = NULL;
	return clock_now() - begin;
}

static void tell(const char *what, struct series *s)
{
	char name[64];

	snprintf(name, sizeof name, "%s_p99_ms", what);
	bench_tell(name, 1e3 * series_quantile(s, 0.99));
	snprintf(name, sizeof name, "%s_max_ms", what);
	bench_tell(name, 1e3 * series_quantile(s, 1));
	series_free(s);
}

static void bench(const struct bench_arguments *args)
{
	struct cancelling c = {.args = args, .chance = 1};
	struct series cancels = {0}, destroys = {0};
	int tries = args->tries ? args->tries : TRIES;

	c.files = bench_files(args->pictures, &c.n);
	start(&c);
	c.caption_s = time_alone(&c);
	bench_tell("answer_ms", 1e3 * c.caption_s);
	for (int i = 0; i < tries; i++)
		series_add(&cancels, cancel_once(&c));
	for (int i = 0; i < tries; i++) {
		if (!c.engine)
			start(&c);
		series_add(&destroys, destroy_once(&c));
	}
	tell("cancel", &cancels);
	tell("destroy", &destroys);
	for (int i = 0; i < c.n; i++)
		free(c.files[i]);
	free(c.files);
}

int main(int argc, char **argv)
{
	struct bench_arguments args;

	bench_arguments_read(argc, argv, &args);
	bench_needs(args.clip, "--clip DIR is needed");
	bench_needs(args.captioner, "--captioner DIR is needed");
	bench_needs(args.pictures, "--pictures DIR is needed");
	if (runtime_prepare(args.threads))
		execv("/proc/self/exe", argv);
	bench(&args);
	fflush(stdout);
	_exit(0);
}
