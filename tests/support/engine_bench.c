/* engine_bench.c - see engine_bench.h. */
#include "tests/support/engine_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/fake_models.h"

const char *const bench_labels[3] = {"something red", "something green", "something blue"};
const char *const bench_colours[3] = {"red", "green", "blue"};

void bench_init(struct bench *b)
{
	fake_reset();
	memset(b, 0, sizeof *b);
	strcpy(b->dir, "/tmp/vramble-engine-XXXXXX");
	assert_non_null(mkdtemp(b->dir));
	b->options = (struct engine_options){.open_library = fake_open, .loaders = 2, .preview_width = 16, .preview_height = 16};
	b->options.model_dir[MODEL_SCORES] = "models/clip";
	b->options.model_dir[MODEL_CAPTION] = "models/ofa";
	b->options.model_dir[MODEL_NLI] = "models/bert";
	b->options.settings = engine_settings_default(DEVICE_CPU);
	b->options.settings.beams = 1;
}

void bench_only(struct bench *b, enum model_kind kind)
{
	for (int i = 0; i < MODEL_KINDS; i++)
		if (i != (int)kind)
			b->options.model_dir[i] = NULL;
}

void bench_start(struct bench *b)
{
	struct error err;

	b->engine = engine_create(&b->options, &err);
	if (!b->engine)
		fail_msg("%s", err.text);
	engine_start(b->engine);
}

void bench_start_labels(struct bench *b)
{
	bench_start(b);
	engine_set_labels(b->engine, bench_labels, 3, 0);
}

void bench_free(struct bench *b)
{
	char command[128];

	fake_lock();
	memset(fake.hold, 0, sizeof fake.hold);
	fake.hold_texts = false;
	fake_unlock();
	engine_destroy(b->engine);
	snprintf(command, sizeof command, "rm -rf '%s'", b->dir);
	assert_int_equal(system(command), 0);
}

const char *bench_path(struct bench *b, uint32_t id)
{
	static char path[128];

	snprintf(path, sizeof path, "%s/%04u.bmp", b->dir, id);
	return path;
}

static void put(unsigned char *at, unsigned value)
{
	for (int i = 0; i < 4; i++)
		at[i] = (unsigned char)(value >> 8 * i);
}

const char *bench_picture(struct bench *b, uint32_t id, int red, int green, int blue, bool tall)
{
	unsigned width = tall ? 4 : 8, height = tall ? 8 : 4;
	unsigned char bmp[54 + 8 * 4 * 3] = {'B', 'M', [26] = 1, [28] = 24};
	const char *path = bench_path(b, id);
	FILE *f = fopen(path, "wb");

	put(bmp + 2, sizeof bmp);
	put(bmp + 10, 54);
	put(bmp + 14, 40);
	put(bmp + 18, width);
	put(bmp + 22, height);
	for (size_t i = 54; i < sizeof bmp; i += 3) {
		bmp[i] = (unsigned char)blue;
		bmp[i + 1] = (unsigned char)green;
		bmp[i + 2] = (unsigned char)red;
	}
	assert_non_null(f);
	assert_int_equal(fwrite(bmp, sizeof bmp, 1, f), 1);
	assert_int_equal(fclose(f), 0);
	return path;
}

void bench_red_pictures(struct bench *b, int n)
{
	for (int i = 0; i < n; i++)
		bench_picture(b, (uint32_t)i, 255, 0, i % 200, false);
}

void bench_submit(struct bench *b, uint32_t id, enum engine_priority priority, int work)
{
	engine_submit(b->engine, id, bench_path(b, id), priority, work);
}

void bench_submit_all(struct bench *b, int from, int n, int work)
{
	for (int i = from; i < from + n; i++)
		bench_submit(b, (uint32_t)i, ENGINE_BACKGROUND, work);
}

static void tally(struct bench *b, const struct event *e)
{
	uint32_t id = e->id < BENCH_MAX ? e->id : BENCH_MAX - 1;

	if (b->count[e->kind] < BENCH_MAX * 4)
		b->order[e->kind][b->count[e->kind]] = (int)e->id;
	if (e->kind == EV_NOTE && b->count[EV_NOTE] < BENCH_NOTES)
		snprintf(b->note[b->count[EV_NOTE]], sizeof b->note[0], "%s", e->note);
	if (e->kind == EV_LADDER) {
		if (b->count[EV_LADDER] < BENCH_NOTES)
			snprintf(b->ladder[b->count[EV_LADDER]], sizeof b->ladder[0], "%s", e->ladder.text);
		b->steps[e->ladder.step]++;
	}
	b->count[e->kind]++;
	if (event_is_answer(e->kind))
		b->of[id][e->kind]++;
	if (e->err)
		snprintf(b->last_error, sizeof b->last_error, "%s", e->err->text);
	if (e->kind == EV_SETTINGS)
		b->really = e->settings;
	if (e->kind == EV_TRIAL) {
		b->trial = *e;
		b->trial_err = e->err ? *e->err : (struct error){0};
		b->trial.err = e->err ? &b->trial_err : NULL;
	}
	if (e->kind == EV_SCORES)
		b->scores_n[id] = e->scores.n;
	if ((e->kind == EV_SCORES && e->scores.batch > b->largest_batch))
		b->largest_batch = e->scores.batch;
	if (e->kind == EV_CAPTION)
		snprintf(b->caption[id], sizeof b->caption[id], "%.127s", e->caption.caption.text);
	if (e->kind == EV_CLIPSCORE)
		b->clipscore[id] = e->clipscore.score;
	if (e->kind == EV_RANKING) {
		b->best[id] = e->ranking.n ? e->ranking.order[0] : -1;
		b->epoch[id] = e->epoch;
	}
}

bool bench_take(struct bench *b)
{
	struct event event;
	bool any = false;

	for (; engine_next(b->engine, &event); any = true) {
		tally(b, &event);
		if (b->check)
			b->check(&event);
		event_clear(&event);
	}
	return any;
}

void bench_await(struct bench *b, enum event_kind kind, int n)
{
	while (bench_take(b), b->count[kind] < n) {
		struct pollfd fd = {engine_fd(b->engine), POLLIN, 0};

		if (poll(&fd, 1, 20000) <= 0)
			fail_msg("waited for %d events of kind %d, got %d; last error: %s", n, (int)kind, b->count[kind], b->last_error);
	}
}

void bench_await_quiet(struct bench *b)
{
	struct engine_status status;

	for (;;) {
		struct pollfd fd = {engine_fd(b->engine), POLLIN, 0};

		engine_status(b->engine, &status);
		if (bench_take(b))
			continue; /* the last event of a picture may have come after the look at the status */
		if (!status.pending && !status.refreshing)
			return;
		if (poll(&fd, 1, 20000) <= 0)
			fail_msg("%d pictures stay pending, %d refreshing, %d jobs", status.pending, status.refreshing, status.jobs);
	}
}

struct engine_status bench_status(struct bench *b)
{
	struct engine_status status;

	engine_status(b->engine, &status);
	return status;
}

void bench_check_sums(struct bench *b)
{
	struct engine_status s = bench_status(b);

	if (s.submitted != s.answered + s.failed + s.cancelled + s.pending)
		fail_msg("submitted %ld, answered %ld + failed %ld + cancelled %ld + pending %d", (long)s.submitted, (long)s.answered, (long)s.failed,
			 (long)s.cancelled, s.pending);
}
