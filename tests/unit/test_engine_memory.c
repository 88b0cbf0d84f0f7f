/* The engine when memory runs out: caps, the ladder, models that go and come back, devices that break. Bytes are those of the fake models' accounts. */
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

enum { MB = 1000000 };

static struct bench bench;
static struct fake seen;

static int setup(void **state)
{
	bench_init(&bench);
	/* Sizes that are easy to add up: 20 + 40 + 30 MB of weights. */
	fake.weights[MODEL_SCORES] = 20 * MB;
	fake.weights[MODEL_CAPTION] = 40 * MB;
	fake.weights[MODEL_NLI] = 30 * MB;
	fake.activation[MODEL_SCORES] = 8 * MB;
	fake.activation[MODEL_CAPTION] = 20 * MB;
	fake.activation[MODEL_NLI] = MB;
	return 0;
}

static int teardown(void **state)
{
	bench_free(&bench);
	return 0;
}

/* Picture i is mostly red, green or blue by turns. */
static void make_pictures(int n)
{
	for (int i = 0; i < n; i++)
		bench_picture(&bench, (uint32_t)i, i % 3 == 0 ? 255 : 0, i % 3 == 1 ? 255 : 0, i % 3 == 2 ? 255 : i % 200, false);
}

/* Exactly one end each, and the right answers. */
static void check_answers(int n)
{
	for (int i = 0; i < n; i++) {
		char expected[64];

		snprintf(expected, sizeof expected, "a picture that is mostly %s", bench_colours[i % 3]);
		if (bench.of[i][EV_RANKING] != 1 || bench.of[i][EV_FAILED] || strcmp(bench.caption[i], expected) || bench.best[i] != i % 3)
			fail_msg("picture %d: %d ranked, %d failed, \"%s\", %d first: %s", i, bench.of[i][EV_RANKING], bench.of[i][EV_FAILED],
				 bench.caption[i], bench.best[i], bench.last_error);
	}
	bench_check_sums(&bench);
}

static struct memory_reading account(int device)
{
	struct memory_reading reading;

	fake_library.memory(device, &reading);
	return reading;
}

static int64_t weights_on(int device)
{
	struct memory_reading reading = account(device);
	int64_t sum = 0;

	for (int i = 0; i < MODEL_OWNERS; i++)
		sum += reading.weights[i];
	return sum;
}

/* Until the engine says so, for 20 s. */
#define await(condition)                                                                                         \
	do {                                                                                                     \
		time_t begin_ = time(NULL);                                                                      \
		while (bench_take(&bench), !(condition))                                                         \
			if (time(NULL) > begin_ + 10)                                                            \
				fail_msg("%s does not come true; last error: %s", #condition, bench.last_error); \
	} while (0)

static void change(void (*edit)(struct engine_settings *s, int64_t value), int64_t value)
{
	struct engine_settings settings = engine_get_settings(bench.engine);
	struct error err;

	edit(&settings, value);
	if (engine_set_settings(bench.engine, &settings, &err) < 0)
		fail_msg("%s", err.text);
}

static void set_cap(struct engine_settings *s, int64_t value)
{
	s->cap = value;
}

static void set_device(struct engine_settings *s, int64_t value)
{
	for (int i = 0; i < MODEL_KINDS; i++)
		s->device[i] = (int)value;
}

static void stand_on(int device)
{
	fake.cuda_devices = 2;
	set_device(&bench.options.settings, device);
}

static void test_a_cap_over_a_batch_that_needs_more(void **state)
{
	bench.options.settings.batch = 32;
	bench.options.settings.cap = 200 * MB;
	make_pictures(96);
	bench_start_labels(&bench);
	bench_await(&bench, EV_READY, 3);
	assert_int_equal(weights_on(DEVICE_CPU), 90 * MB); /* labels may already be embedded beside them */
	bench_submit_all(&bench, 0, 96, ENGINE_ANSWERS);
	bench_await_quiet(&bench);
	check_answers(96);
	assert_true(bench.steps[LADDER_BATCH] >= 3);
	assert_non_null(strstr(bench.ladder[0], "cap 190.7 MiB"));
	assert_int_equal(account(DEVICE_CPU).used, 90 * MB);
	assert_in_range(account(DEVICE_CPU).peak[PEAK_START], 91 * MB, 200 * MB);
	assert_true(bench_status(&bench).ladder.steps >= bench.count[EV_LADDER] - bench.steps[LADDER_TRIM]);
	assert_in_range(bench_status(&bench).ladder.batch, 2, 4);
}

static void test_a_thousand_failures_lose_nothing(void **state)
{
	int lost = 0;

	bench.options.settings.retries = 100;
	make_pictures(60);
	bench_start_labels(&bench);
	bench_await(&bench, EV_READY, 3);
	fake_lock();
	fake.no_memory[MODEL_CAPTION] = 1000;
	fake_unlock();
	bench_submit_all(&bench, 0, 60, ENGINE_ANSWERS);
	bench_await_quiet(&bench);
	fake_look(&seen);
	assert_int_equal(seen.provoked, 1000);
	assert_int_equal(account(DEVICE_CPU).used, weights_on(DEVICE_CPU));
	assert_true(bench_status(&bench).retried > 500);
	/* A picture gives up after a hundred retries, so ten failed at most; asked again they are answered, too. */
	for (int i = 0; i < 60; i++) {
		assert_int_equal(bench.of[i][EV_RANKING] + bench.of[i][EV_FAILED], 1);
		if (bench.of[i][EV_FAILED]) {
			lost++;
			bench.of[i][EV_FAILED] = 0;
			bench_submit_all(&bench, i, 1, ENGINE_ANSWERS);
		}
	}
	assert_in_range(lost, 0, 10);
	bench_await_quiet(&bench);
	check_answers(60);
	engine_destroy(bench.engine);
	bench.engine = NULL;
	assert_int_equal(account(DEVICE_CPU).used, 0);
}

static void test_a_thousand_failures_everywhere_without_retries(void **state)
{
	make_pictures(500);
	bench_start_labels(&bench);
	bench_await(&bench, EV_READY, 3);
	fake_lock();
	fake.no_memory[MODEL_SCORES] = 300;
	fake.no_memory[MODEL_CAPTION] = 400;
	fake.no_memory[MODEL_NLI] = 300;
	fake_unlock();
	bench_submit_all(&bench, 0, 500, ENGINE_ANSWERS);
	bench_await_quiet(&bench);
	for (int i = 0; i < 500; i++)
		assert_int_equal(bench.of[i][EV_RANKING] + bench.of[i][EV_FAILED], 1);
	bench_check_sums(&bench);
	engine_destroy(bench.engine);
	bench.engine = NULL;
	assert_int_equal(account(DEVICE_CPU).used, 0);
}

static void test_undo_tries_again_what_was_set(void **state)
{
	bench.options.settings.batch = 8;
	make_pictures(80);
	fake.fits[MODEL_CAPTION] = 1;
	fake.fits[MODEL_SCORES] = 3;
	bench_start_labels(&bench);
	assert_false(engine_undo_ladder(bench.engine));
	bench_submit_all(&bench, 0, 40, ENGINE_ANSWERS);
	bench_await_quiet(&bench);
	assert_true(bench_status(&bench).ladder.steps >= 3);
	assert_int_equal(bench_status(&bench).ladder.batch, 1);
	assert_int_equal(engine_get_settings(bench.engine).batch, 8);
	fake_lock();
	memset(fake.fits, 0, sizeof fake.fits);
	memset(fake.largest, 0, sizeof fake.largest);
	fake_unlock();
	assert_true(engine_undo_ladder(bench.engine));
	assert_int_equal(bench_status(&bench).ladder.steps, 0);
	assert_int_equal(bench_status(&bench).ladder.batch, 8);
	await(bench.steps[LADDER_UNDONE] == 1);
	/* Enough wait for a batch of more than one. */
	fake_hold(MODEL_CAPTION, true);
	bench_submit_all(&bench, 40, 40, ENGINE_ANSWERS);
	fake_await_held(MODEL_CAPTION);
	await(bench_status(&bench).lane[MODEL_CAPTION].queued > 1);
	fake_hold(MODEL_CAPTION, false);
	bench_await_quiet(&bench);
	check_answers(80);
	fake_look(&seen);
	assert_true(seen.largest[MODEL_CAPTION] > 1);
	assert_int_equal(bench_status(&bench).ladder.steps, 0);
	assert_false(engine_undo_ladder(bench.engine));
}

static void test_a_change_of_settings_undoes_too(void **state)
{
	struct engine_settings settings;

	make_pictures(12);
	fake.fits[MODEL_SCORES] = 2;
	bench_start_labels(&bench);
	bench_submit_all(&bench, 0, 12, ENGINE_ANSWERS);
	bench_await_quiet(&bench);
	assert_true(bench_status(&bench).ladder.steps > 0);
	settings = engine_get_settings(bench.engine);
	settings.retries = 2; /* has nothing to do with memory */
	assert_int_equal(engine_set_settings(bench.engine, &settings, NULL), 0);
	assert_true(bench_status(&bench).ladder.steps > 0);
	settings.batch = 3;
	assert_int_equal(engine_set_settings(bench.engine, &settings, NULL), 0);
	assert_int_equal(bench_status(&bench).ladder.steps, 0);
	assert_int_equal(bench_status(&bench).ladder.batch, 3);
}

static void test_the_image_shrinks_when_one_picture_is_too_much(void **state)
{
	make_pictures(12);
	fake.activation[MODEL_CAPTION] = 300 * MB;
	bench.options.settings.cap = 300 * MB;
	bench_start_labels(&bench);
	bench_submit_all(&bench, 0, 12, ENGINE_ANSWERS);
	bench_await_quiet(&bench);
	check_answers(12);
	assert_int_equal(bench.steps[LADDER_IMAGE], 1);
	assert_int_equal(bench_status(&bench).ladder.image_size, 352); /* 300 MB · (352/480)² + 90 MB fit */
	assert_int_equal(bench.steps[LADDER_PRECISION], 0);
	engine_undo_ladder(bench.engine);
	assert_int_equal(bench_status(&bench).ladder.image_size, 0);
}

static void test_precision_then_eviction(void **state)
{
	make_pictures(12);
	/* Half an image takes a quarter: 200 MB, in bf16 100 and 4 for the caches; beside all weights, even halved, there are 90 left. */
	fake.activation[MODEL_CAPTION] = 800 * MB;
	bench.options.settings.cap = 135 * MB;
	bench_start_labels(&bench);
	bench_submit_all(&bench, 0, 12, ENGINE_ANSWERS);
	bench_await_quiet(&bench);
	check_answers(12);
	assert_int_equal(bench.steps[LADDER_IMAGE], 2);
	assert_true(bench.steps[LADDER_PRECISION] >= 1);
	assert_true(bench.steps[LADDER_EVICT] >= 1);
	assert_true(account(DEVICE_CPU).peak[PEAK_START] <= 135 * MB);
	fake_look(&seen);
	assert_int_equal(seen.precision[MODEL_CAPTION], PRECISION_BF16);
}

static void test_what_cannot_run_at_all_says_what_it_needs(void **state)
{
	make_pictures(3);
	fake.activation[MODEL_CAPTION] = 4000LL * MB;
	bench.options.settings.cap = 200 * MB;
	bench_start_labels(&bench);
	bench_submit_all(&bench, 0, 3, ENGINE_ANSWERS);
	bench_await_quiet(&bench);
	assert_int_equal(bench.count[EV_FAILED], 3);
	assert_int_equal(bench.count[EV_SCORES], 3); /* the others' answers are there */
	assert_non_null(strstr(bench.last_error, "needs about 499.9 MiB"));
	assert_non_null(strstr(bench.last_error, "the cap is 190.7 MiB"));
	bench_check_sums(&bench);
}

static void test_a_cap_lowered_in_a_run(void **state)
{
	bench.options.settings.batch = 2;
	make_pictures(200);
	fake.steps = 3;
	fake.step_us = 200;
	bench_start_labels(&bench);
	bench_submit_all(&bench, 0, 200, ENGINE_ANSWERS);
	bench_await(&bench, EV_RANKING, 20);
	change(set_cap, 60 * MB);
	bench_await_quiet(&bench);
	check_answers(200);
	await(account(DEVICE_CPU).used <= 60 * MB && account(DEVICE_CPU).used + account(DEVICE_CPU).cached <= 60 * MB);
	assert_true(bench.steps[LADDER_PRECISION] >= 1);
	assert_true(bench_status(&bench).ladder.steps > 0);
	/* And all comes back with the cap lifted. */
	change(set_cap, 0);
	await(account(DEVICE_CPU).used == 90 * MB);
	assert_int_equal(bench_status(&bench).ladder.steps, 0);
	for (int i = 0; i < MODEL_KINDS; i++)
		assert_int_equal(bench_status(&bench).lane[i].precision, PRECISION_FP32);
}

static void test_a_cap_lowered_while_idle(void **state)
{
	make_pictures(3);
	bench_start_labels(&bench);
	bench_await(&bench, EV_READY, 3);
	change(set_cap, 50 * MB); /* the three in half precision take 45 */
	await(bench.steps[LADDER_PRECISION] == 3);
	await(account(DEVICE_CPU).used == 45 * MB);
	assert_int_equal(bench.steps[LADDER_EVICT], 0);
	change(set_cap, 30 * MB); /* 10 + 20 + 15: one has to go */
	await(account(DEVICE_CPU).used <= 30 * MB && bench.steps[LADDER_EVICT] > 0);
	change(set_cap, 5 * MB); /* less than any */
	await(account(DEVICE_CPU).used == 0);
	for (int i = 0; i < MODEL_KINDS; i++)
		assert_true(bench_status(&bench).lane[i].evicted && bench_status(&bench).lane[i].ready);
	bench_submit_all(&bench, 0, 1, ENGINE_ANSWERS);
	bench_await_quiet(&bench);
	assert_int_equal(bench.count[EV_FAILED], 1);
	assert_non_null(strstr(bench.last_error, "the cap is 4.8 MiB"));
	change(set_cap, 0);
	await(account(DEVICE_CPU).used == 90 * MB);
	bench_submit_all(&bench, 1, 2, ENGINE_ANSWERS);
	bench_await_quiet(&bench);
	assert_int_equal(bench.count[EV_RANKING], 2);
}

static void test_models_that_do_not_fit_side_by_side_take_turns(void **state)
{
	bench.options.settings.cap = 60 * MB;
	for (int i = 0; i < MODEL_KINDS; i++)
		bench.options.settings.precision[i] = PRECISION_BF16;
	fake.weights[MODEL_SCORES] = fake.weights[MODEL_CAPTION] = fake.weights[MODEL_NLI] = 80 * MB; /* 40 each in bf16 */
	fake.activation[MODEL_SCORES] = fake.activation[MODEL_CAPTION] = MB;
	make_pictures(60);
	bench_start_labels(&bench);
	bench_await(&bench, EV_READY, 3);
	bench_submit_all(&bench, 0, 60, ENGINE_ANSWERS);
	bench_await_quiet(&bench);
	check_answers(60);
	assert_true(account(DEVICE_CPU).peak[PEAK_START] <= 60 * MB);
	fake_look(&seen);
	assert_true(seen.evictions > 3);
	/* Told of once per model, not each time. */
	assert_in_range(bench.steps[LADDER_EVICT], 2, 3);
}

static void test_models_open_one_step_down_and_later(void **state)
{
	bench.options.settings.cap = 15 * MB; /* CLIP in half precision, nothing else */
	make_pictures(6);
	bench_start_labels(&bench);
	bench_await(&bench, EV_MODEL_FAILED, 1);
	await(bench.count[EV_READY] + bench.count[EV_MODEL_FAILED] == 3);
	assert_non_null(strstr(bench.last_error, "raise the cap"));
	bench_submit_all(&bench, 0, 3, ENGINE_ANSWERS);
	bench_await_quiet(&bench);
	change(set_cap, 0);
	bench_await(&bench, EV_READY, 3);
	await(account(DEVICE_CPU).used == 90 * MB);
	bench_submit_all(&bench, 3, 3, ENGINE_ANSWERS);
	bench_await_quiet(&bench);
	for (int i = 3; i < 6; i++)
		assert_int_equal(bench.of[i][EV_VERDICTS], 1);
	bench_check_sums(&bench);
}

static void test_cuda_steps_down_to_the_cpu(void **state)
{
	stand_on(0);
	fake.cuda_bytes = 120 * MB;
	fake.activation[MODEL_CAPTION] = 1000 * MB; /* even the smallest image in half precision takes 125 */
	fake.activation[MODEL_SCORES] = MB;
	make_pictures(9);
	bench_start_labels(&bench);
	bench_await(&bench, EV_READY, 3);
	bench_submit_all(&bench, 0, 9, ENGINE_ANSWERS);
	bench_await_quiet(&bench);
	check_answers(9);
	assert_int_equal(account(DEVICE_CPU).used, weights_on(DEVICE_CPU));
	assert_int_equal(account(0).used, weights_on(0));
	assert_int_equal(bench.steps[LADDER_CPU], 1);
	assert_int_equal(bench_status(&bench).lane[MODEL_CAPTION].device, DEVICE_CPU);
	assert_int_equal(bench_status(&bench).lane[MODEL_SCORES].device, 0);
	assert_int_equal(account(DEVICE_CPU).used, 40 * MB);
	/* A cap below what any of the others needs: there is the CPU left, which has its own account. */
	change(set_cap, 9 * MB);
	await(account(0).used == 0);
}

static void test_a_broken_device_sends_all_to_the_cpu(void **state)
{
	stand_on(0);
	make_pictures(60);
	fake.steps = 2;
	fake.step_us = 200;
	bench_start_labels(&bench);
	bench_submit_all(&bench, 0, 60, ENGINE_ANSWERS);
	bench_await(&bench, EV_RANKING, 5);
	fake_lock();
	fake.break_device = true;
	fake_unlock();
	bench_await_quiet(&bench);
	check_answers(60);
	await(account(0).used == 0);
	assert_true(bench_status(&bench).ladder.device_failed);
	assert_int_equal(bench.count[EV_NOTE], 1);
	assert_non_null(strstr(bench.note[0], "restart vramble"));
	for (int i = 0; i < MODEL_KINDS; i++)
		assert_int_equal(bench_status(&bench).lane[i].device, DEVICE_CPU);
	assert_int_equal(bench_status(&bench).devices, 1);
}

static void test_a_broken_device_where_the_cpu_is_forbidden(void **state)
{
	stand_on(0);
	bench.options.force_cuda = true;
	fake.break_device = true;
	make_pictures(10);
	bench_start_labels(&bench);
	bench_await(&bench, EV_READY, 3);
	bench_submit_all(&bench, 0, 10, ENGINE_ANSWERS);
	await(bench.count[EV_MODEL_FAILED] >= 2); /* the NLI model has nothing to run on */
	bench_await_quiet(&bench);
	assert_non_null(strstr(bench.last_error, "no model "));
	assert_int_equal(bench.count[EV_FAILED], 10);
	bench_check_sums(&bench);
	await(account(0).used == 30 * MB);
	assert_int_equal(account(DEVICE_CPU).used, 0);
}

static void test_force_cuda_without_cuda(void **state)
{
	stand_on(0);
	fake.cuda_devices = 0;
	bench.options.force_cuda = true;
	bench_start_labels(&bench);
	bench_await(&bench, EV_MODEL_FAILED, 3);
	assert_non_null(strstr(bench.last_error, "force-cuda forbids the CPU"));
	assert_int_equal(bench.count[EV_READY], 0);
}

static void test_models_move_live(void **state)
{
	stand_on(DEVICE_CPU);
	make_pictures(90);
	bench_start_labels(&bench);
	bench_submit_all(&bench, 0, 30, ENGINE_ANSWERS);
	bench_await(&bench, EV_READY, 3);
	change(set_device, 1);
	bench_submit_all(&bench, 30, 30, ENGINE_ANSWERS);
	await(weights_on(1) == 90 * MB);
	change(set_device, 7); /* not there: they stay */
	await(bench.count[EV_NOTE] >= 1);
	assert_non_null(strstr(bench.note[0], "there is no cuda:7"));
	bench_submit_all(&bench, 60, 30, ENGINE_ANSWERS);
	bench_await_quiet(&bench);
	check_answers(90);
	await(account(1).used == 90 * MB && account(DEVICE_CPU).used == 0);
	assert_int_equal(bench_status(&bench).devices, 1);
	assert_int_equal(bench_status(&bench).device[0].device, 1);
	assert_string_equal(bench_status(&bench).device[0].name, "cuda:1 fake");
	assert_int_equal(bench.count[EV_NOTE], 1);
}

static void test_models_on_different_devices(void **state)
{
	stand_on(0);
	bench.options.settings.device[MODEL_NLI] = DEVICE_CPU;
	bench.options.settings.cap_percent = 50;
	fake.device_bytes = 1000 * MB;
	make_pictures(30);
	bench_start_labels(&bench);
	bench_submit_all(&bench, 0, 30, ENGINE_ANSWERS);
	bench_await_quiet(&bench);
	check_answers(30);
	assert_int_equal(account(0).weights[MODEL_SCORES + 1], 20 * MB);
	assert_int_equal(account(DEVICE_CPU).weights[MODEL_NLI + 1], 30 * MB);
	assert_int_equal(account(0).cap, 500 * MB);
	assert_int_equal(account(DEVICE_CPU).cap, 500 * MB);
	await(bench_status(&bench).devices == 2 && bench_status(&bench).device[0].memory.used == 60 * MB &&
	      bench_status(&bench).device[1].memory.used == 30 * MB);
	assert_int_equal(bench_status(&bench).device[0].device, 0);
}

static void test_peaks_and_what_each_batch_held(void **state)
{
	bench.options.model_dir[MODEL_NLI] = bench.options.model_dir[MODEL_CAPTION] = NULL;
	make_pictures(8);
	bench_start(&bench);
	bench_await(&bench, EV_READY, 1);
	fake_hold(MODEL_SCORES, true);
	bench_submit_all(&bench, 0, 1, ENGINE_ANSWERS);
	fake_await_held(MODEL_SCORES);
	bench_submit_all(&bench, 1, 7, ENGINE_ANSWERS);
	fake_hold(MODEL_SCORES, false);
	bench_await_quiet(&bench);
	await(bench_status(&bench).lane[MODEL_SCORES].last_peak == 20 * MB + bench_status(&bench).lane[MODEL_SCORES].batch * 8 * MB);
	assert_true(account(DEVICE_CPU).peak[PEAK_CHANGE] >= 20 * MB + 16 * MB);
	change(set_cap, 900 * MB);
	await(account(DEVICE_CPU).peak[PEAK_CHANGE] == 20 * MB);
	await(bench_status(&bench).device[0].memory.peak[PEAK_CHANGE] == 20 * MB);
	assert_true(bench_status(&bench).device[0].memory.peak[PEAK_START] >= 36 * MB);
}

static void test_slices_tuning_and_the_cache(void **state)
{
	struct engine_settings settings;

	bench.options.settings.batch = 8;
	bench.options.settings.slice = 2;
	bench.options.settings.empty_cache = true;
	bench.options.settings.seed = 7;
	make_pictures(40);
	bench_start_labels(&bench);
	bench_submit_all(&bench, 0, 40, ENGINE_ANSWERS);
	bench_await_quiet(&bench);
	check_answers(40);
	fake_look(&seen);
	assert_int_equal(seen.largest[MODEL_CAPTION], 2);
	assert_int_equal(seen.tuning.seed, 7);
	assert_int_equal(seen.tunes, 3);
	await(account(DEVICE_CPU).cached == 0);
	settings = engine_get_settings(bench.engine);
	settings.deterministic = true;
	settings.threads = 3;
	assert_int_equal(engine_set_settings(bench.engine, &settings, NULL), 0);
	await((fake_look(&seen), seen.tunes == 6));
	assert_true(seen.tuning.deterministic);
	assert_int_equal(seen.tuning.threads, 3);
}

static void test_the_forecast_learns(void **state)
{
	struct engine_settings settings;
	struct engine_forecast forecast;

	bench.options.model_dir[MODEL_NLI] = NULL;
	bench.options.settings.batch = 1;
	make_pictures(60);
	fake.hold_library = true;
	bench_start(&bench);
	assert_false(engine_forecast(bench.engine, &bench.options.settings, &forecast));
	fake_hold_library(true);
	fake_hold_library(false);
	bench_await(&bench, EV_READY, 2);
	settings = engine_get_settings(bench.engine);
	settings.batch = 5;
	assert_true(engine_forecast(bench.engine, &settings, &forecast));
	/* On a CPU the models take turns: the larger run counts. */
	assert_int_equal(forecast.used, 60 * MB + 5 * 20 * MB + 5 * (4 << 20));
	assert_true(forecast.correction[MODEL_CAPTION] == 1 && forecast.fits);
	settings.cap = 100 * MB;
	assert_true(engine_forecast(bench.engine, &settings, &forecast));
	assert_int_equal(forecast.limit, 100 * MB);
	assert_false(forecast.fits);
	/* Runs hold half of what the architecture said. */
	fake_lock();
	fake.overestimate = 2;
	fake_unlock();
	settings.cap = 0;
	/* A caption teaches only when nothing else ran beside it. */
	for (int i = 0; i < 60 && forecast.correction[MODEL_CAPTION] == 1; i++) {
		bench_submit_all(&bench, i, 1, ENGINE_ANSWERS);
		bench_await_quiet(&bench);
		assert_true(engine_forecast(bench.engine, &settings, &forecast));
	}
	assert_true(forecast.correction[MODEL_CAPTION] > 0.45 && forecast.correction[MODEL_CAPTION] < 0.65);
	/* Within a tenth of what such a batch will hold, though the architecture says twice as much. */
	assert_in_range(forecast.used, (60 + 5 * 24) * MB * 9 / 10, (60 + 5 * 24) * MB * 11LL / 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_cap_over_a_batch_that_needs_more, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_thousand_failures_lose_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_thousand_failures_everywhere_without_retries, setup, teardown),
		cmocka_unit_test_setup_teardown(test_undo_tries_again_what_was_set, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_change_of_settings_undoes_too, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_image_shrinks_when_one_picture_is_too_much, setup, teardown),
		cmocka_unit_test_setup_teardown(test_precision_then_eviction, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_cannot_run_at_all_says_what_it_needs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_cap_lowered_in_a_run, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_cap_lowered_while_idle, setup, teardown),
		cmocka_unit_test_setup_teardown(test_models_that_do_not_fit_side_by_side_take_turns, setup, teardown),
		cmocka_unit_test_setup_teardown(test_models_open_one_step_down_and_later, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cuda_steps_down_to_the_cpu, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_broken_device_sends_all_to_the_cpu, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_broken_device_where_the_cpu_is_forbidden, setup, teardown),
		cmocka_unit_test_setup_teardown(test_force_cuda_without_cuda, setup, teardown),
		cmocka_unit_test_setup_teardown(test_models_move_live, setup, teardown),
		cmocka_unit_test_setup_teardown(test_models_on_different_devices, setup, teardown),
		cmocka_unit_test_setup_teardown(test_peaks_and_what_each_batch_held, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slices_tuning_and_the_cache, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_forecast_learns, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
