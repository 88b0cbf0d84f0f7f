/* trial_bench.c - see trial_bench.h. */
#include "tests/support/trial_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

const int64_t trial_weights = 1400LL << 20;
struct bench bench;
char *trial_paths[TRIAL_PICTURES];

int trial_setup(void **state)
{
	bench_init(&bench);
	for (int i = 0; i < TRIAL_PICTURES; i++) {
		const char *path = bench_picture(&bench, (uint32_t)i, i % 2 ? 200 : 10, 0, i % 2 ? 10 : 200, false);

		trial_paths[i] = strdup(path);
	}
	return 0;
}

int trial_teardown(void **state)
{
	bench_free(&bench);
	for (int i = 0; i < TRIAL_PICTURES; i++)
		free(trial_paths[i]);
	return 0;
}

void trial_start(void)
{
	bench_start_labels(&bench);
	bench_await(&bench, EV_READY, MODEL_KINDS);
}

struct engine_trial trial_of(int batch)
{
	struct engine_trial t = {.settings = engine_get_settings(bench.engine), .passes = 1};

	t.settings.batch = batch;
	return t;
}

void trial_begin(const struct engine_trial *t)
{
	struct error err;

	if (engine_try(bench.engine, t, (const char *const *)trial_paths, TRIAL_PICTURES, &err) < 0)
		fail_msg("%s", err.text);
}

void trial_run(const struct engine_trial *t)
{
	int before = bench.count[EV_TRIAL];

	trial_begin(t);
	bench_await(&bench, EV_TRIAL, before + 1);
}

void trial_check_ordinary(void)
{
	struct fake seen;
	struct engine_settings s = engine_get_settings(bench.engine);
	struct memory_reading reading;
	int before = bench.count[EV_RANKING];

	for (uint32_t i = 0; i < TRIAL_PICTURES; i++)
		bench_submit(&bench, i, ENGINE_BACKGROUND, ENGINE_ANSWERS);
	bench_await(&bench, EV_RANKING, before + TRIAL_PICTURES);
	for (int i = 0; i < TRIAL_PICTURES; i++) {
		assert_string_equal(bench.caption[i], i % 2 ? "a picture that is mostly red" : "a picture that is mostly blue");
		assert_int_equal(bench.best[i], i % 2 ? 0 : 2);
	}
	bench_await_quiet(&bench);
	bench_check_sums(&bench);
	fake_look(&seen);
	for (int i = 0; i < MODEL_KINDS; i++) {
		assert_int_equal(seen.precision[i], s.precision[i] ? s.precision[i] : PRECISION_FP32);
		assert_int_equal(seen.device[i], s.device[i]);
	}
	if (s.device[0] != s.device[1] || s.device[1] != s.device[2])
		return;
	fake_library.memory(s.device[0], &reading);
	assert_int_equal(reading.used, trial_weights);
	assert_int_equal(reading.cap, s.cap);
}
