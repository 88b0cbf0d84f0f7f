/* Trials over fake models: what runs, what fits, and that everything is as before afterwards, however a trial ends. */
#include "core/fit.h"
#include "core/sweep.h"
#include "tests/support/engine_bench.h"
#include "tests/support/fake_models.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PICTURES = 8, ALL = (1 << MODEL_KINDS) - 1 };

static const int64_t mib = 1 << 20, weights = 1400LL << 20; /* of all three fake models */
static struct bench bench;
static struct fake seen;
static const char *const labels[] = {"something red", "something green", "something blue"};
static char *paths[PICTURES];

static int setup(void **state)
{
	bench_init(&bench);
	for (int i = 0; i < PICTURES; i++) {
		const char *path = bench_picture(&bench, (uint32_t)i, i % 2 ? 200 : 10, 0, i % 2 ? 10 : 200, false);

		paths[i] = strdup(path);
	}
	return 0;
}

static int teardown(void **state)
{
	fake_lock();
	memset(fake.hold, 0, sizeof fake.hold);
	fake_unlock();
	bench_free(&bench);
	for (int i = 0; i < PICTURES; i++)
		free(paths[i]);
	return 0;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void start(void)
{
	bench_start(&bench);
	engine_set_labels(bench.engine, labels, 3, 0);
	bench_await(&bench, EV_READY, MODEL_KINDS);
}

/* The engine's settings with another batch; one timed pass. */
static struct engine_trial trial_of(int batch)
{
	struct engine_trial t = {.settings = engine_get_settings(bench.engine), .passes = 1};

	t.settings.batch = batch;
	return t;
}

static void begin(const struct engine_trial *t)
{
	struct error err;

	if (engine_try(bench.engine, t, (const char *const *)paths, PICTURES, &err) < 0)
		fail_msg("%s", err.text);
}

static void run(const struct engine_trial *t)
{
	int before = bench.count[EV_TRIAL];

	begin(t);
	bench_await(&bench, EV_TRIAL, before + 1);
}

/* All pictures, answered right, with all models where they belong, and no byte more in use than their weights. */
static void check_ordinary(void)
{
	struct engine_settings s = engine_get_settings(bench.engine);
	struct memory_reading reading;
	int before = bench.count[EV_RANKING];

	for (uint32_t i = 0; i < PICTURES; i++)
		bench_submit(&bench, i, ENGINE_BACKGROUND, ENGINE_ANSWERS);
	bench_await(&bench, EV_RANKING, before + PICTURES);
	for (int i = 0; i < PICTURES; i++) {
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
	assert_int_equal(reading.used, weights);
	assert_int_equal(reading.cap, s.cap);
}

/* ---------------------------------------------------------------- what runs */

static void test_it_runs_and_tells(void **state)
{
	struct engine_trial t;

	start();
	check_ordinary();
	fake_lock();
	fake.pairs = fake.images = fake.captions = 0;
	memset(fake.largest, 0, sizeof fake.largest);
	fake_unlock();
	t = trial_of(12);
	t.passes = 2;
	run(&t);
	assert_null(bench.trial.err);
	assert_int_equal(bench.trial.trial.batch, 12);
	assert_int_equal(bench.trial.trial.passes, 2);
	assert_int_equal(bench.trial.trial.held, weights);
	/* The captioner takes the most: 400 MiB a picture, and 4 MiB of caches for its one beam. */
	assert_int_equal(bench.trial.trial.peak, weights + 12 * 404 * mib);
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
	check_ordinary();
}

static void test_speed_is_of_the_models_one_after_the_other(void **state)
{
	struct engine_trial t;
	double ms = 0;

	start();
	fake_lock();
	fake.step_us = 2000;
	fake_unlock();
	t = trial_of(4);
	t.passes = 3;
	run(&t);
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

	start();
	t = trial_of(2);
	t.passes = 0;
	t.models = 1 << MODEL_SCORES;
	run(&t);
	assert_null(bench.trial.err);
	assert_true(bench.trial.trial.images_per_s == 0);
	assert_int_equal(bench.trial.trial.peak, weights + 2 * 150 * mib);
	assert_int_equal(bench.trial.trial.image_size, 224);
	fake_look(&seen);
	assert_int_equal(seen.images, 2);
	assert_int_equal(seen.captions + seen.pairs, 0);
}

static void test_slices_hold_less(void **state)
{
	struct engine_trial t;

	start();
	t = trial_of(10);
	t.settings.slice = 3;
	t.models = 1 << MODEL_CAPTION;
	run(&t);
	assert_int_equal(bench.trial.trial.peak, weights + 3 * 404 * mib);
	fake_look(&seen);
	assert_int_equal(seen.largest[MODEL_CAPTION], 3);
	assert_int_equal(seen.captions, 2 * 10);
}

static void test_other_settings_really_hold(void **state)
{
	struct engine_trial t;

	start();
	check_ordinary();
	t = trial_of(4);
	t.settings.beams = 7;
	t.settings.image_size = 240;
	t.settings.seed = 99;
	t.settings.threads = 3;
	t.settings.deterministic = true;
	for (int i = 0; i < MODEL_KINDS; i++)
		t.settings.precision[i] = PRECISION_BF16;
	fake_hold(MODEL_NLI, true);
	begin(&t);
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
	assert_int_equal(bench.trial.trial.held, weights / 2);
	assert_int_equal(bench.trial.trial.image_size, 240);
	/* Half of 400 MiB by the precision, a quarter of that by the size. */
	assert_int_equal(bench.trial.trial.peak, weights / 2 + 4 * (50 + 7 * 4) * mib);
	check_ordinary();
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
	run(&t);
	assert_null(bench.trial.err);
	fake_look(&seen);
	assert_int_equal(seen.pairs, 2 * 5);
	assert_true(bench.trial.trial.ms[MODEL_CAPTION] == 0);
}

/* ---------------------------------------------------------------- what fits */

static void test_the_cap_refuses(void **state)
{
	struct engine_trial t;

	start();
	check_ordinary();
	t = trial_of(4);
	t.settings.cap = weights + 4 * 404 * mib - 1;
	run(&t);
	assert_non_null(bench.trial.err);
	assert_int_equal(bench.trial.err->code, E_MEMORY);
	assert_int_equal(bench.count[EV_LADDER] + bench.count[EV_NOTE], 0);
	check_ordinary();
	t.settings.cap++;
	run(&t);
	assert_null(bench.trial.err);
	check_ordinary();
}

static void test_a_cap_in_percent(void **state)
{
	struct engine_trial t;

	start();
	/* Of 16 GiB 10 % are 1638 MiB: less than the weights and one picture. */
	t = trial_of(1);
	t.settings.cap_percent = 10;
	run(&t);
	assert_int_equal(bench.trial_err.code, E_MEMORY);
	t.settings.cap_percent = 12;
	run(&t);
	assert_null(bench.trial.err);
	check_ordinary();
}

static void test_a_cap_below_the_weights(void **state)
{
	struct engine_trial t;

	start();
	t = trial_of(1);
	t.settings.cap = 100 * mib;
	t.settings.precision[MODEL_CAPTION] = PRECISION_BF16;
	run(&t);
	assert_int_equal(bench.trial_err.code, E_MEMORY);
	check_ordinary();
}

/* Of 16 GiB four fifths are free or ours; 15 % of all are to stay free. */
static void test_the_reserve_is_kept(void **state)
{
	struct engine_trial t;

	start();
	t = trial_of(22);
	run(&t);
	assert_null(bench.trial.err);
	t.settings.batch = 23;
	run(&t);
	assert_int_equal(bench.trial_err.code, E_MEMORY);
	assert_non_null(strstr(bench.trial_err.text, "reserve of 15 %"));
	t.settings.reserve = 0;
	run(&t);
	assert_null(bench.trial.err);
	check_ordinary();
}

static bool says_forecast(void *ctx, int batch)
{
	return weights + batch * 404 * mib <= *(int64_t *)ctx;
}

static void test_fit_finds_the_largest(void **state)
{
	struct engine_trial t;
	unsigned seed = 3;

	start();
	check_ordinary();
	for (int round = 0; round < 12; round++) {
		int truth = round ? rand_r(&seed) % 23 : 0, max = 1 << (4 + round % 3), guess;
		int64_t cap = weights + truth * 404 * mib + rand_r(&seed) % (404 * mib), believed = cap * (80 + rand_r(&seed) % 40) / 100;
		struct fit fit;

		t = trial_of(1);
		t.passes = 0;
		t.settings.cap = cap;
		/* What the captioner leaves over is enough for the others at any batch. */
		t.models = 1 << MODEL_CAPTION;
		guess = fit_guess(max, says_forecast, &believed);
		fit = fit_begin(max, guess);
		while ((t.settings.batch = fit_next(&fit))) {
			run(&t);
			assert_true(!bench.trial.err || bench.trial.err->code == E_MEMORY);
			fit_answer(&fit, !bench.trial.err);
		}
		assert_int_equal(fit_batch(&fit), truth < max ? truth : max);
	}
	assert_int_equal(bench.count[EV_LADDER] + bench.count[EV_NOTE], 0);
	check_ordinary();
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

	start();
	settings = engine_get_settings(bench.engine);
	assert_int_equal(sweep_begin(&sweep, &axes, &err), 0);
	while ((cell = sweep_next(&sweep)) >= 0) {
		struct engine_trial t = {.settings = sweep_settings(&sweep, cell, &settings), .passes = 1};

		run(&t);
		sweep_answer(&sweep, cell, &bench.trial);
	}
	assert_int_equal(sweep_finished(&sweep), 16);
	for (int row = 0; row < sweep.rows; row++)
		for (int column = 0; column < sweep.columns; column++)
			assert_int_equal(sweep_at(&sweep, row, column)->state, column < fitting[row] ? SWEEP_FITS : SWEEP_NO_FIT);
	assert_true(sweep_best(&sweep, 0) >= 0);
	sweep_free(&sweep);
	check_ordinary();
}

/* ---------------------------------------------------------------- devices */

static void test_another_device_and_back(void **state)
{
	struct memory_reading reading;
	struct engine_trial t;

	fake.cuda_devices = 2;
	start();
	check_ordinary();
	t = trial_of(2);
	for (int i = 0; i < MODEL_KINDS; i++)
		t.settings.device[i] = 1;
	run(&t);
	assert_null(bench.trial.err);
	assert_int_equal(bench.trial.trial.held, weights);
	/* Under CUDA models do not take turns: what each takes adds up. Pairs: 2 pictures, 3 labels. */
	assert_int_equal(bench.trial.trial.peak, weights + 2 * (404 + 150) * mib + 6 * 2 * mib);
	check_ordinary();
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
	start();
	check_ordinary();
	t = trial_of(3);
	t.settings.cap = (700 + 3 * 404) * mib;
	run(&t);
	assert_null(bench.trial.err);
	/* Told is the device with two models. */
	assert_int_equal(bench.trial.trial.held, 700 * mib);
	t.settings.cap--;
	run(&t);
	assert_int_equal(bench.trial_err.code, E_MEMORY);
	check_ordinary();
}

static void test_no_such_device(void **state)
{
	struct engine_trial t;

	start();
	t = trial_of(2);
	t.settings.device[MODEL_CAPTION] = 5;
	run(&t);
	assert_int_equal(bench.trial_err.code, E_DEVICE);
	check_ordinary();
}

/* ---------------------------------------------------------------- ordinary work */

static void test_ordinary_work_waits(void **state)
{
	struct engine_status status;
	struct engine_trial t;

	start();
	t = trial_of(2);
	fake_hold(MODEL_CAPTION, true);
	begin(&t);
	fake_await_held(MODEL_CAPTION);
	for (uint32_t i = 0; i < PICTURES; i++)
		bench_submit(&bench, i, ENGINE_BACKGROUND, ENGINE_ANSWERS | ENGINE_PREVIEW);
	bench_await(&bench, EV_PREVIEW, PICTURES); /* pictures are shown all the same */
	engine_status(bench.engine, &status);
	assert_true(status.trial);
	assert_int_equal(bench.count[EV_SCORES] + bench.count[EV_CAPTION], 0);
	fake_hold(MODEL_CAPTION, false);
	bench_await(&bench, EV_RANKING, PICTURES);
	assert_int_equal(bench.count[EV_TRIAL], 1);
	engine_status(bench.engine, &status);
	assert_false(status.trial);
	check_ordinary();
}

static void test_a_running_batch_is_finished_first(void **state)
{
	struct engine_trial t;

	start();
	fake_hold(MODEL_CAPTION, true);
	bench_submit(&bench, 0, ENGINE_BACKGROUND, ENGINE_ANSWERS);
	fake_await_held(MODEL_CAPTION);
	t = trial_of(3);
	begin(&t);
	fake_hold(MODEL_CAPTION, false);
	bench_await(&bench, EV_TRIAL, 1);
	assert_null(bench.trial.err);
	assert_int_equal(bench.of[0][EV_CAPTION], 1);
	bench_await(&bench, EV_RANKING, 1);
	check_ordinary();
}

static void test_settings_changed_meanwhile(void **state)
{
	struct engine_settings s;
	struct engine_trial t;
	struct error err;

	start();
	t = trial_of(3);
	t.settings.precision[MODEL_CAPTION] = PRECISION_BF16;
	fake_hold(MODEL_NLI, true);
	begin(&t);
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
	double begun = now(), took;

	engine_try_cancel(bench.engine);
	bench_await(&bench, EV_TRIAL, before + 1);
	took = now() - begun;
	assert_int_equal(bench.trial_err.code, E_CANCELLED);
	if (took > 0.1)
		fail_msg("cancelling took %.0f ms", 1e3 * took);
}

static void test_cancel_during_a_run(void **state)
{
	struct engine_trial t;

	start();
	t = trial_of(4);
	t.settings.precision[MODEL_SCORES] = PRECISION_BF16;
	fake_hold(MODEL_CAPTION, true);
	begin(&t);
	fake_await_held(MODEL_CAPTION);
	check_cancel_is_quick(0);
	fake_hold(MODEL_CAPTION, false);
	check_ordinary();
}

/* The batch before it may take as long as it likes: who cancels does not wait for it. */
static void test_cancel_while_a_lane_is_busy(void **state)
{
	struct engine_trial t;

	start();
	fake_hold(MODEL_CAPTION, true);
	bench_submit(&bench, 0, ENGINE_BACKGROUND, ENGINE_ANSWERS);
	fake_await_held(MODEL_CAPTION);
	t = trial_of(3);
	begin(&t);
	check_cancel_is_quick(0);
	fake_hold(MODEL_CAPTION, false);
	bench_await(&bench, EV_RANKING, 1);
	check_ordinary();
}

static void test_cancel_anywhere(void **state)
{
	unsigned seed = 11;
	int finished = 0, cancelled = 0;

	start();
	fake_lock();
	fake.step_us = 300;
	fake_unlock();
	for (int round = 0; round < 80; round++) {
		struct engine_trial t = trial_of(1 + rand_r(&seed) % 6);
		int before = bench.count[EV_TRIAL];

		for (int i = 0; i < MODEL_KINDS; i++)
			t.settings.precision[i] = rand_r(&seed) % 2 ? PRECISION_BF16 : PRECISION_FP32;
		if (round % 4 == 0)
			bench_submit(&bench, (uint32_t)(round / 4) % PICTURES, ENGINE_BACKGROUND, ENGINE_ANSWERS);
		begin(&t);
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
	check_ordinary();
	engine_try_cancel(bench.engine); /* nothing runs: nothing comes */
	check_ordinary();
	assert_int_equal(bench.count[EV_TRIAL], 80);
}

static void test_destroyed_in_the_midst(void **state)
{
	for (int round = 0; round < 12; round++) {
		struct engine_trial t;

		if (round) {
			teardown(state);
			setup(state);
		}
		start();
		fake_lock();
		fake.step_us = 500;
		fake_unlock();
		t = trial_of(4);
		t.settings.precision[MODEL_CAPTION] = PRECISION_BF16;
		begin(&t);
		usleep((useconds_t)(round * 400));
	}
}

static void test_it_cannot_go_back(void **state)
{
	struct engine_trial t;

	start();
	t = trial_of(2);
	t.settings.precision[MODEL_SCORES] = PRECISION_BF16;
	fake_hold(MODEL_NLI, true);
	begin(&t);
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

	start();
	fake_lock();
	fake.fail_place[MODEL_CAPTION] = true;
	fake_unlock();
	s = engine_get_settings(bench.engine);
	s.precision[MODEL_CAPTION] = PRECISION_BF16;
	assert_int_equal(engine_set_settings(bench.engine, &s, &err), 0);
	bench_await(&bench, EV_NOTE, 1);
	notes = bench.count[EV_NOTE];
	t = trial_of(2);
	run(&t);
	assert_int_equal(bench.trial_err.code, E_MODEL);
	t.settings.precision[MODEL_CAPTION] = PRECISION_FP32; /* as it stands */
	run(&t);
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
	double until = now() + 20;
	bool evicted = false;

	start();
	check_ordinary();
	s = engine_get_settings(bench.engine);
	s.cap = 500 * mib; /* less than all of them in bf16 */
	assert_int_equal(engine_set_settings(bench.engine, &s, &err), 0);
	while (!evicted && now() < until) {
		engine_status(bench.engine, &status);
		for (int i = 0; i < MODEL_KINDS; i++)
			evicted = evicted || status.lane[i].evicted;
	}
	assert_true(evicted);
	t = trial_of(2);
	t.settings.cap = 0;
	run(&t);
	assert_null(bench.trial.err);
	assert_int_equal(bench.trial.trial.held, weights);
	while (used() > s.cap && now() < until)
		bench_take(&bench);
	assert_true(used() <= s.cap);
}

static void test_a_precision_that_is_not_possible(void **state)
{
	struct engine_trial t;

	start();
	fake_lock();
	fake.fail_place[MODEL_CAPTION] = true;
	fake_unlock();
	t = trial_of(2);
	t.settings.precision[MODEL_SCORES] = PRECISION_BF16;
	t.settings.precision[MODEL_CAPTION] = PRECISION_BF16;
	run(&t);
	assert_int_equal(bench.trial_err.code, E_MODEL);
	check_ordinary();
}

static void test_pictures_that_cannot_be_read(void **state)
{
	struct engine_trial t;
	struct error err;
	const char *mixed[] = {"/no/such.jpg", paths[1]};

	start();
	t = trial_of(4);
	run(&t);
	assert_int_equal(engine_try(bench.engine, &t, (const char *const[]){"/no/such.jpg"}, 1, &err), 0);
	bench_await(&bench, EV_TRIAL, 2);
	assert_int_equal(bench.trial_err.code, E_IO);
	assert_non_null(strstr(bench.trial_err.text, "/no/such.jpg"));
	assert_int_equal(engine_try(bench.engine, &t, mixed, 2, &err), 0);
	bench_await(&bench, EV_TRIAL, 3);
	assert_null(bench.trial.err);
	assert_int_equal(bench.trial.trial.batch, 4);
	check_ordinary();
}

static void refuse(const struct engine_trial *t, int n, const char *why)
{
	struct error err;

	assert_int_equal(engine_try(bench.engine, t, (const char *const *)paths, n, &err), -1);
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
	refuse(&bad, PICTURES, "batch 0");
	bad = t;
	bad.passes = -1;
	refuse(&bad, PICTURES, "-1 timed passes");
	bad = t;
	bad.models = 1 << 7;
	refuse(&bad, PICTURES, "models that there are not");
	refuse(&t, 0, "needs a picture");
	bench_await(&bench, EV_READY, 2);
	run(&t);
	bad = t;
	bad.models = ALL;
	refuse(&bad, PICTURES, "not there");
	fake_hold(MODEL_CAPTION, true);
	begin(&t);
	refuse(&t, PICTURES, "a trial is running");
	fake_hold(MODEL_CAPTION, false);
	bench_await(&bench, EV_TRIAL, 2);
	/* As soon as the event is there, the next can begin. */
	run(&t);
	assert_int_equal(bench.count[EV_TRIAL], 3);
}

static void test_before_any_model_is_ready(void **state)
{
	struct engine_trial t = {.settings = engine_settings_default(DEVICE_CPU)};
	struct error err;

	bench.engine = engine_create(&bench.options, &err);
	assert_non_null(bench.engine);
	refuse(&t, PICTURES, "still being opened");
	engine_try_cancel(bench.engine);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
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
		TEST(test_no_such_device),
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
