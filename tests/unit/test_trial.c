/* Trials over fake models: what runs, what is told of it, what fits, also through both searches. */
#include "core/fit.h"
#include "core/sweep.h"
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

/* ---------------------------------------------------------------- what runs */

static void test_it_runs_and_tells(void **state)
{
	struct engine_trial t;

	trial_start();
	trial_check_ordinary();
	fake_lock();
	fake.pairs = fake.images = fake.captions = 0;
	memset(fake.largest, 0, sizeof fake.largest);
	fake_unlock();
	t = trial_of(12);
	t.passes = 2;
	trial_run(&t);
	assert_null(bench.trial.err);
	assert_int_equal(bench.trial.trial.batch, 12);
	assert_int_equal(bench.trial.trial.passes, 2);
	assert_int_equal(bench.trial.trial.held, trial_weights);
	/* The captioner takes the most: 400 MiB a picture, and 4 MiB of caches for its one beam. */
	assert_int_equal(bench.trial.trial.peak, trial_weights + 12 * 404 * MIB);
	assert_int_equal(bench.trial.trial.image_size, 480);
	assert_true(bench.trial.trial.images_per_s > 0);
	for (int i = 0; i < MODEL_KINDS; i++) {
		assert_true(bench.trial.trial.ms[i] > 0);
		assert_int_equal(bench.trial.trial.precision[i], PRECISION_FP32);
	}
	fake_look(&seen);
	assert_int_equal(seen.images, 3 * 12);
	assert_int_equal(seen.captions, 3 * 12);
	assert_int_equal(seen.pairs, 3 * 12 * 3);
	assert_int_equal(seen.largest[MODEL_SCORES], 12);
	assert_int_equal(seen.largest[MODEL_CAPTION], 12);
	assert_int_equal(seen.largest[MODEL_NLI], 36);
	trial_check_ordinary();
}

static void test_speed_is_of_the_models_one_after_the_other(void **state)
{
	struct engine_trial t;
	double ms = 0;

	trial_start();
	fake_lock();
	fake.step_us = 2000;
	fake_unlock();
	t = trial_of(4);
	t.passes = 3;
	trial_run(&t);
	for (int i = 0; i < MODEL_KINDS; i++) {
		assert_true(bench.trial.trial.ms[i] >= 0.5 * 0.9); /* 2 ms for a batch of 4 */
		ms += bench.trial.trial.ms[i];
	}
	assert_float_equal(bench.trial.trial.images_per_s, 1000 / ms, 1e-6 * 1000 / ms);
	fake_look(&seen);
	assert_int_equal(seen.most_running, 1);
}

static void test_just_the_first_pass(void **state)
{
	struct engine_trial t;

	trial_start();
	t = trial_of(2);
	t.passes = 0;
	t.models = 1 << MODEL_SCORES;
	trial_run(&t);
	assert_null(bench.trial.err);
	assert_true(bench.trial.trial.images_per_s == 0);
	assert_int_equal(bench.trial.trial.peak, trial_weights + 2 * 150 * MIB);
	assert_int_equal(bench.trial.trial.image_size, 224);
	fake_look(&seen);
	assert_int_equal(seen.images, 2);
	assert_int_equal(seen.captions + seen.pairs, 0);
}

static void test_slices_hold_less(void **state)
{
	struct engine_trial t;

	trial_start();
	t = trial_of(10);
	t.settings.slice = 3;
	t.models = 1 << MODEL_CAPTION;
	trial_run(&t);
	assert_int_equal(bench.trial.trial.peak, trial_weights + 3 * 404 * MIB);
	fake_look(&seen);
	assert_int_equal(seen.largest[MODEL_CAPTION], 3);
	assert_int_equal(seen.captions, 2 * 10);
}

static void test_other_settings_really_hold(void **state)
{
	struct engine_trial t;

	trial_start();
	trial_check_ordinary();
	t = trial_of(4);
	t.settings.beams = 7;
	t.settings.image_size = 240;
	t.settings.seed = 99;
	t.settings.threads = 3;
	t.settings.deterministic = true;
	for (int i = 0; i < MODEL_KINDS; i++)
		t.settings.precision[i] = PRECISION_BF16;
	fake_hold(MODEL_NLI, true);
	trial_begin(&t);
	fake_await_held(MODEL_NLI);
	fake_look(&seen);
	assert_int_equal(seen.beams, 7);
	assert_int_equal(seen.image_size, 240);
	assert_int_equal(seen.tuning.seed, 99);
	assert_int_equal(seen.tuning.threads, 3);
	assert_true(seen.tuning.deterministic);
	fake_hold(MODEL_NLI, false);
	bench_await(&bench, EV_TRIAL, 1);
	assert_null(bench.trial.err);
	assert_int_equal(bench.trial.trial.precision[MODEL_CAPTION], PRECISION_BF16);
	assert_int_equal(bench.trial.trial.held, trial_weights / 2);
	assert_int_equal(bench.trial.trial.image_size, 240);
	/* Half of 400 MiB by the precision, a quarter of that by the size. */
	assert_int_equal(bench.trial.trial.peak, trial_weights / 2 + 4 * (50 + 7 * 4) * MIB);
	trial_check_ordinary();
	fake_look(&seen);
	assert_int_equal(seen.tuning.seed, 42);
	assert_int_equal(seen.beams, 1);
	assert_int_equal(seen.image_size, 0);
}

static void test_without_labels_or_captioner(void **state)
{
	struct engine_trial t;

	bench.options.model_dir[MODEL_CAPTION] = NULL;
	bench_start(&bench);
	bench_await(&bench, EV_READY, 2);
	t = trial_of(5);
	trial_run(&t);
	assert_null(bench.trial.err);
	fake_look(&seen);
	assert_int_equal(seen.pairs, 2 * 5);
	assert_true(bench.trial.trial.ms[MODEL_CAPTION] == 0);
}

/* ---------------------------------------------------------------- what fits */

static void test_the_cap_refuses(void **state)
{
	struct engine_trial t;

	trial_start();
	trial_check_ordinary();
	t = trial_of(4);
	t.settings.cap = trial_weights + 4 * 404 * MIB - 1;
	trial_run(&t);
	assert_non_null(bench.trial.err);
	assert_int_equal(bench.trial.err->code, E_MEMORY);
	assert_int_equal(bench.count[EV_LADDER] + bench.count[EV_NOTE], 0);
	trial_check_ordinary();
	t.settings.cap++;
	trial_run(&t);
	assert_null(bench.trial.err);
	trial_check_ordinary();
}

static void test_a_cap_in_percent(void **state)
{
	struct engine_trial t;

	trial_start();
	/* Of 16 GiB 10 % are 1638 MiB: less than the weights and one picture. */
	t = trial_of(1);
	t.settings.cap_percent = 10;
	trial_run(&t);
	assert_int_equal(bench.trial_err.code, E_MEMORY);
	t.settings.cap_percent = 12;
	trial_run(&t);
	assert_null(bench.trial.err);
	trial_check_ordinary();
}

static void test_a_cap_below_the_weights(void **state)
{
	struct engine_trial t;

	trial_start();
	t = trial_of(1);
	t.settings.cap = 100 * MIB;
	t.settings.precision[MODEL_CAPTION] = PRECISION_BF16;
	trial_run(&t);
	assert_int_equal(bench.trial_err.code, E_MEMORY);
	trial_check_ordinary();
}

/* Of 16 GiB four fifths are free or ours; 15 % of all are to stay free. */
static void test_the_reserve_is_kept(void **state)
{
	struct engine_trial t;

	trial_start();
	t = trial_of(22);
	trial_run(&t);
	assert_null(bench.trial.err);
	t.settings.batch = 23;
	trial_run(&t);
	assert_int_equal(bench.trial_err.code, E_MEMORY);
	assert_non_null(strstr(bench.trial_err.text, "reserve of 15 %"));
	t.settings.reserve = 0;
	trial_run(&t);
	assert_null(bench.trial.err);
	trial_check_ordinary();
}

static bool says_forecast(void *ctx, int batch)
{
	return trial_weights + batch * 404 * MIB <= *(int64_t *)ctx;
}

static void test_fit_finds_the_largest(void **state)
{
	struct engine_trial t;
	unsigned seed = 3;

	trial_start();
	trial_check_ordinary();
	for (int round = 0; round < 12; round++) {
		int truth = round ? rand_r(&seed) % 23 : 0, max = 1 << (4 + round % 3), guess;
		int64_t cap = trial_weights + truth * 404 * MIB + rand_r(&seed) % (404 * MIB), believed = cap * (80 + rand_r(&seed) % 40) / 100;
		struct fit fit;

		t = trial_of(1);
		t.passes = 0;
		t.settings.cap = cap;
		/* What the captioner leaves over is enough for the others at any batch. */
		t.models = 1 << MODEL_CAPTION;
		guess = fit_guess(max, says_forecast, &believed);
		fit = fit_begin(max, guess);
		while ((t.settings.batch = fit_next(&fit))) {
			trial_run(&t);
			assert_true(!bench.trial.err || bench.trial.err->code == E_MEMORY);
			fit_answer(&fit, !bench.trial.err);
		}
		assert_int_equal(fit_batch(&fit), truth < max ? truth : max);
	}
	assert_int_equal(bench.count[EV_LADDER] + bench.count[EV_NOTE], 0);
	trial_check_ordinary();
}

static void test_sweep_over_trials(void **state)
{
	struct sweep_axes axes = {.batch = {1, 8, 16, 32},
				  .batches = 4,
				  .precision = {PRECISION_FP32, PRECISION_BF16},
				  .precisions = 2,
				  .image_size = {0, 240},
				  .images = 2};
	static const int fitting[] = {3, 4, 4, 4}; /* columns of each row; fp32 at its own size holds 22 */
	struct engine_settings settings;
	struct sweep sweep;
	struct error err;
	int cell;

	trial_start();
	settings = engine_get_settings(bench.engine);
	assert_int_equal(sweep_begin(&sweep, &axes, &err), 0);
	while ((cell = sweep_next(&sweep)) >= 0) {
		struct engine_trial t = {.settings = sweep_settings(&sweep, cell, &settings), .passes = 1};

		trial_run(&t);
		sweep_answer(&sweep, cell, &bench.trial);
	}
	assert_int_equal(sweep_finished(&sweep), 16);
	for (int row = 0; row < sweep.rows; row++)
		for (int column = 0; column < sweep.columns; column++)
			assert_int_equal(sweep_at(&sweep, row, column)->state, column < fitting[row] ? SWEEP_FITS : SWEEP_NO_FIT);
	assert_true(sweep_best(&sweep, 0) >= 0);
	sweep_free(&sweep);
	trial_check_ordinary();
}

/* ---------------------------------------------------------------- devices */

static void test_another_device_and_back(void **state)
{
	struct memory_reading reading;
	struct engine_trial t;

	fake.cuda_devices = 2;
	trial_start();
	trial_check_ordinary();
	t = trial_of(2);
	for (int i = 0; i < MODEL_KINDS; i++)
		t.settings.device[i] = 1;
	trial_run(&t);
	assert_null(bench.trial.err);
	assert_int_equal(bench.trial.trial.held, trial_weights);
	/* Under CUDA models do not take turns: what each takes adds up. Pairs: 2 pictures, 3 labels. */
	assert_int_equal(bench.trial.trial.peak, trial_weights + 2 * (404 + 150) * MIB + 6 * 2 * MIB);
	trial_check_ordinary();
	fake_library.memory(1, &reading);
	assert_int_equal(reading.used, 0);
	assert_int_equal(reading.cap, 0);
}

static void test_each_device_has_its_cap(void **state)
{
	struct engine_trial t;

	fake.cuda_devices = 2;
	bench.options.settings.device[MODEL_SCORES] = bench.options.settings.device[MODEL_NLI] = 0;
	bench.options.settings.device[MODEL_CAPTION] = 1;
	trial_start();
	trial_check_ordinary();
	t = trial_of(3);
	t.settings.cap = (700 + 3 * 404) * MIB;
	trial_run(&t);
	assert_null(bench.trial.err);
	/* Told is the device with two models. */
	assert_int_equal(bench.trial.trial.held, 700 * MIB);
	t.settings.cap--;
	trial_run(&t);
	assert_int_equal(bench.trial_err.code, E_MEMORY);
	trial_check_ordinary();
}

/* Each alone comes under the cap, but ordinary work runs them side by side. */
static void test_a_cap_where_models_run_side_by_side(void **state)
{
	struct engine_trial t;

	fake.cuda_devices = 1;
	trial_start();
	t = trial_of(2);
	for (int i = 0; i < MODEL_KINDS; i++)
		t.settings.device[i] = 0;
	t.settings.cap = trial_weights + 2 * (404 + 150) * MIB + 6 * 2 * MIB;
	trial_run(&t);
	assert_null(bench.trial.err);
	t.settings.cap--;
	trial_run(&t);
	assert_int_equal(bench.trial_err.code, E_MEMORY);
	assert_non_null(strstr(bench.trial_err.text, "together they hold"));
	trial_check_ordinary();
}

static void test_a_device_that_breaks_down(void **state)
{
	struct engine_trial t;

	fake.cuda_devices = 1;
	fake.break_device = true;
	trial_start();
	t = trial_of(2);
	for (int i = 0; i < MODEL_KINDS; i++)
		t.settings.device[i] = 0;
	trial_run(&t);
	assert_int_equal(bench.trial_err.code, E_DEVICE);
	trial_check_ordinary();
}

static void test_no_such_device(void **state)
{
	struct engine_trial t;

	trial_start();
	t = trial_of(2);
	t.settings.device[MODEL_CAPTION] = 5;
	trial_run(&t);
	assert_int_equal(bench.trial_err.code, E_DEVICE);
	trial_check_ordinary();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, trial_setup, trial_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_it_runs_and_tells),
		TEST(test_speed_is_of_the_models_one_after_the_other),
		TEST(test_just_the_first_pass),
		TEST(test_slices_hold_less),
		TEST(test_other_settings_really_hold),
		TEST(test_without_labels_or_captioner),
		TEST(test_the_cap_refuses),
		TEST(test_a_cap_in_percent),
		TEST(test_a_cap_below_the_weights),
		TEST(test_the_reserve_is_kept),
		TEST(test_fit_finds_the_largest),
		TEST(test_sweep_over_trials),
		TEST(test_another_device_and_back),
		TEST(test_each_device_has_its_cap),
		TEST(test_a_cap_where_models_run_side_by_side),
		TEST(test_a_device_that_breaks_down),
		TEST(test_no_such_device),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
