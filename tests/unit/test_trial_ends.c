/* Trials over fake models: ordinary work waits, and everything is as before afterwards, however a trial ends. */
#include "core/clock.h"
#include "tests/support/trial_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct fake seen;

/* ---------------------------------------------------------------- ordinary work */

static void test_ordinary_work_waits(void **state)
{
	struct engine_status status;
	struct engine_trial t;

	trial_start();
	t = trial_of(2);
	fake_hold(MODEL_CAPTION, true);
	trial_begin(&t);
	fake_await_held(MODEL_CAPTION);
	for (uint32_t i = 0; i < TRIAL_PICTURES; i++)
		bench_submit(&bench, i, ENGINE_BACKGROUND, ENGINE_ANSWERS | ENGINE_PREVIEW);
	bench_await(&bench, EV_PREVIEW, TRIAL_PICTURES); /* pictures are shown all the same */
	engine_status(bench.engine, &status);
	assert_true(status.trial);
	assert_int_equal(bench.count[EV_SCORES] + bench.count[EV_CAPTION], 0);
	fake_hold(MODEL_CAPTION, false);
	bench_await(&bench, EV_RANKING, TRIAL_PICTURES);
	assert_int_equal(bench.count[EV_TRIAL], 1);
	engine_status(bench.engine, &status);
	assert_false(status.trial);
	trial_check_ordinary();
}

static void test_a_running_batch_is_finished_first(void **state)
{
	struct engine_trial t;

	trial_start();
	fake_hold(MODEL_CAPTION, true);
	bench_submit(&bench, 0, ENGINE_BACKGROUND, ENGINE_ANSWERS);
	fake_await_held(MODEL_CAPTION);
	t = trial_of(3);
	trial_begin(&t);
	fake_hold(MODEL_CAPTION, false);
	bench_await(&bench, EV_TRIAL, 1);
	assert_null(bench.trial.err);
	assert_int_equal(bench.of[0][EV_CAPTION], 1);
	bench_await(&bench, EV_RANKING, 1);
	trial_check_ordinary();
}

static void test_settings_changed_meanwhile(void **state)
{
	struct engine_settings s;
	struct engine_trial t;
	struct error err;

	trial_start();
	t = trial_of(3);
	t.settings.precision[MODEL_CAPTION] = PRECISION_BF16;
	fake_hold(MODEL_NLI, true);
	trial_begin(&t);
	fake_await_held(MODEL_NLI);
	s = engine_get_settings(bench.engine);
	s.precision[MODEL_SCORES] = PRECISION_BF16;
	assert_int_equal(engine_set_settings(bench.engine, &s, &err), 0);
	fake_hold(MODEL_NLI, false);
	bench_await(&bench, EV_TRIAL, 1);
	bench_submit(&bench, 1, ENGINE_BACKGROUND, ENGINE_ANSWERS);
	bench_await(&bench, EV_RANKING, 1);
	fake_look(&seen);
	assert_int_equal(seen.precision[MODEL_SCORES], PRECISION_BF16);
	assert_int_equal(seen.precision[MODEL_CAPTION], PRECISION_FP32);
}

/* ---------------------------------------------------------------- cancelling, and what goes wrong */

static void check_cancel_is_quick(int before)
{
	double begun = clock_now(), took;

	engine_try_cancel(bench.engine);
	bench_await(&bench, EV_TRIAL, before + 1);
	took = clock_now() - begun;
	assert_int_equal(bench.trial_err.code, E_CANCELLED);
	if (took > 0.1)
		fail_msg("cancelling took %.0f ms", 1e3 * took);
}

static void test_cancel_during_a_run(void **state)
{
	struct engine_trial t;

	trial_start();
	t = trial_of(4);
	t.settings.precision[MODEL_SCORES] = PRECISION_BF16;
	fake_hold(MODEL_CAPTION, true);
	trial_begin(&t);
	fake_await_held(MODEL_CAPTION);
	check_cancel_is_quick(0);
	fake_hold(MODEL_CAPTION, false);
	trial_check_ordinary();
}

/* The batch before it may take as long as it likes: who cancels does not wait for it. */
static void test_cancel_while_a_lane_is_busy(void **state)
{
	struct engine_trial t;

	trial_start();
	fake_hold(MODEL_CAPTION, true);
	bench_submit(&bench, 0, ENGINE_BACKGROUND, ENGINE_ANSWERS);
	fake_await_held(MODEL_CAPTION);
	t = trial_of(3);
	trial_begin(&t);
	check_cancel_is_quick(0);
	fake_hold(MODEL_CAPTION, false);
	bench_await(&bench, EV_RANKING, 1);
	trial_check_ordinary();
}

static void test_cancel_anywhere(void **state)
{
	unsigned seed = 11;
	int finished = 0, cancelled = 0;

	trial_start();
	fake_lock();
	fake.step_us = 300;
	fake_unlock();
	for (int round = 0; round < 80; round++) {
		struct engine_trial t = trial_of(1 + rand_r(&seed) % 6);
		int before = bench.count[EV_TRIAL];

		for (int i = 0; i < MODEL_KINDS; i++)
			t.settings.precision[i] = rand_r(&seed) % 2 ? PRECISION_BF16 : PRECISION_FP32;
		if (round % 4 == 0)
			bench_submit(&bench, (uint32_t)(round / 4) % TRIAL_PICTURES, ENGINE_BACKGROUND, ENGINE_ANSWERS);
		trial_begin(&t);
		usleep((useconds_t)(rand_r(&seed) % 6000));
		engine_try_cancel(bench.engine);
		bench_await(&bench, EV_TRIAL, before + 1);
		*(bench.trial.err ? &cancelled : &finished) += 1;
		assert_true(!bench.trial.err || bench.trial.err->code == E_CANCELLED);
	}
	assert_true(cancelled > 0);
	bench_await_quiet(&bench);
	assert_int_equal(bench.count[EV_TRIAL], 80);
	assert_int_equal(cancelled + finished, 80);
	trial_check_ordinary();
	engine_try_cancel(bench.engine); /* nothing runs: nothing comes */
	trial_check_ordinary();
	assert_int_equal(bench.count[EV_TRIAL], 80);
}

static void test_destroyed_in_the_midst(void **state)
{
	for (int round = 0; round < 12; round++) {
		struct engine_trial t;

		if (round) {
			trial_teardown(state);
			trial_setup(state);
		}
		trial_start();
		fake_lock();
		fake.step_us = 500;
		fake_unlock();
		t = trial_of(4);
		t.settings.precision[MODEL_CAPTION] = PRECISION_BF16;
		trial_begin(&t);
		usleep((useconds_t)(round * 400));
	}
}

static void test_it_cannot_go_back(void **state)
{
	struct engine_trial t;

	trial_start();
	t = trial_of(2);
	t.settings.precision[MODEL_SCORES] = PRECISION_BF16;
	fake_hold(MODEL_NLI, true);
	trial_begin(&t);
	fake_await_held(MODEL_NLI);
	fake_lock();
	fake.fail_place[MODEL_SCORES] = true;
	fake_unlock();
	fake_hold(MODEL_NLI, false);
	bench_await(&bench, EV_TRIAL, 1);
	bench_await(&bench, EV_NOTE, 1);
	assert_non_null(strstr(bench.note[0], "could not go back"));
	fake_lock();
	fake.fail_place[MODEL_SCORES] = false;
	fake_unlock();
	/* It goes on where it stands. */
	bench_submit(&bench, 1, ENGINE_BACKGROUND, ENGINE_ANSWERS);
	bench_await(&bench, EV_RANKING, 1);
	assert_int_equal(bench.best[1], 0);
}

/* Ordinary work was refused bf16: a trial and its end are no reason to ask again. */
static void test_what_was_refused_is_not_asked_again(void **state)
{
	struct engine_settings s;
	struct engine_trial t;
	struct error err;
	int notes;

	trial_start();
	fake_lock();
	fake.fail_place[MODEL_CAPTION] = true;
	fake_unlock();
	s = engine_get_settings(bench.engine);
	s.precision[MODEL_CAPTION] = PRECISION_BF16;
	assert_int_equal(engine_set_settings(bench.engine, &s, &err), 0);
	bench_await(&bench, EV_NOTE, 1);
	notes = bench.count[EV_NOTE];
	t = trial_of(2);
	trial_run(&t);
	assert_int_equal(bench.trial_err.code, E_MODEL);
	t.settings.precision[MODEL_CAPTION] = PRECISION_FP32; /* as it stands */
	trial_run(&t);
	assert_null(bench.trial.err);
	bench_submit(&bench, 1, ENGINE_BACKGROUND, ENGINE_ANSWERS);
	bench_await(&bench, EV_RANKING, 1);
	assert_int_equal(bench.count[EV_NOTE], notes);
}

static int64_t used(void)
{
	struct memory_reading reading;

	fake_library.memory(DEVICE_CPU, &reading);
	return reading.used;
}

/* What the ladder gave up comes back for a trial, and goes again. */
static void test_an_evicted_model_takes_part(void **state)
{
	struct engine_settings s;
	struct engine_status status;
	struct engine_trial t;
	struct error err;
	double until = clock_now() + 20;
	bool evicted = false;

	trial_start();
	trial_check_ordinary();
	s = engine_get_settings(bench.engine);
	s.cap = 500 * MIB; /* less than all of them in bf16 */
	assert_int_equal(engine_set_settings(bench.engine, &s, &err), 0);
	while (!evicted && clock_now() < until) {
		engine_status(bench.engine, &status);
		for (int i = 0; i < MODEL_KINDS; i++)
			evicted = evicted || status.lane[i].evicted;
	}
	assert_true(evicted);
	t = trial_of(2);
	t.settings.cap = 0;
	trial_run(&t);
	assert_null(bench.trial.err);
	assert_int_equal(bench.trial.trial.held, trial_weights);
	while (used() > s.cap && clock_now() < until)
		bench_take(&bench);
	assert_true(used() <= s.cap);
}

static void test_a_precision_that_is_not_possible(void **state)
{
	struct engine_trial t;

	trial_start();
	fake_lock();
	fake.fail_place[MODEL_CAPTION] = true;
	fake_unlock();
	t = trial_of(2);
	t.settings.precision[MODEL_SCORES] = PRECISION_BF16;
	t.settings.precision[MODEL_CAPTION] = PRECISION_BF16;
	trial_run(&t);
	assert_int_equal(bench.trial_err.code, E_MODEL);
	trial_check_ordinary();
}

static void test_pictures_that_cannot_be_read(void **state)
{
	struct engine_trial t;
	struct error err;
	const char *mixed[] = {"/no/such.jpg", trial_paths[1]};

	trial_start();
	t = trial_of(4);
	trial_run(&t);
	assert_int_equal(engine_try(bench.engine, &t, (const char *const[]){"/no/such.jpg"}, 1, &err), 0);
	bench_await(&bench, EV_TRIAL, 2);
	assert_int_equal(bench.trial_err.code, E_IO);
	assert_non_null(strstr(bench.trial_err.text, "/no/such.jpg"));
	assert_int_equal(engine_try(bench.engine, &t, mixed, 2, &err), 0);
	bench_await(&bench, EV_TRIAL, 3);
	assert_null(bench.trial.err);
	assert_int_equal(bench.trial.trial.batch, 4);
	trial_check_ordinary();
}

static void refuse(const struct engine_trial *t, int n, const char *why)
{
	struct error err;

	assert_int_equal(engine_try(bench.engine, t, (const char *const *)trial_paths, n, &err), -1);
	if (!strstr(err.text, why))
		fail_msg("\"%s\" does not say \"%s\"", err.text, why);
}

static void test_what_is_refused(void **state)
{
	struct engine_trial t = {.settings = engine_settings_default(DEVICE_CPU)}, bad;

	bench.options.model_dir[MODEL_NLI] = NULL;
	bench_start(&bench);
	bad = t;
	bad.settings.batch = 0;
	refuse(&bad, TRIAL_PICTURES, "batch 0");
	bad = t;
	bad.passes = -1;
	refuse(&bad, TRIAL_PICTURES, "-1 timed passes");
	bad = t;
	bad.models = 1 << 7;
	refuse(&bad, TRIAL_PICTURES, "models that there are not");
	refuse(&t, 0, "needs a picture");
	bench_await(&bench, EV_READY, 2);
	trial_run(&t);
	bad = t;
	bad.models = (1 << MODEL_KINDS) - 1;
	refuse(&bad, TRIAL_PICTURES, "not there");
	fake_hold(MODEL_CAPTION, true);
	trial_begin(&t);
	refuse(&t, TRIAL_PICTURES, "a trial is running");
	fake_hold(MODEL_CAPTION, false);
	bench_await(&bench, EV_TRIAL, 2);
	/* As soon as the event is there, the next can begin. */
	trial_run(&t);
	assert_int_equal(bench.count[EV_TRIAL], 3);
}

static void test_before_any_model_is_ready(void **state)
{
	struct engine_trial t = {.settings = engine_settings_default(DEVICE_CPU)};
	struct error err;

	bench.engine = engine_create(&bench.options, &err);
	assert_non_null(bench.engine);
	refuse(&t, TRIAL_PICTURES, "still being opened");
	engine_try_cancel(bench.engine);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, trial_setup, trial_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_ordinary_work_waits),
		TEST(test_a_running_batch_is_finished_first),
		TEST(test_settings_changed_meanwhile),
		TEST(test_cancel_during_a_run),
		TEST(test_cancel_while_a_lane_is_busy),
		TEST(test_cancel_anywhere),
		TEST(test_destroyed_in_the_midst),
		TEST(test_it_cannot_go_back),
		TEST(test_what_was_refused_is_not_asked_again),
		TEST(test_an_evicted_model_takes_part),
		TEST(test_a_precision_that_is_not_possible),
		TEST(test_pictures_that_cannot_be_read),
		TEST(test_what_is_refused),
		TEST(test_before_any_model_is_ready),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
