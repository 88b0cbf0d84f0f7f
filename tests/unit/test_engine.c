/* The engine over fake models: what arrives, in which order, and that nothing is lost whatever goes wrong. */
#include "core/clock.h"
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
#include <unistd.h>

enum { BOTH = ENGINE_PREVIEW | ENGINE_ANSWERS };

static struct bench bench;
static struct fake seen;

static int setup(void **state)
{
	bench_init(&bench);
	return 0;
}

static int teardown(void **state)
{
	bench_free(&bench);
	return 0;
}

static void test_one_picture_gets_every_answer_once(void **state)
{
	struct engine_status status;

	bench_picture(&bench, 7, 10, 220, 30, false);
	bench_start_labels(&bench);
	bench_submit(&bench, 7, ENGINE_SELECTED, BOTH);
	bench_await(&bench, EV_RANKING, 1);
	bench_await_quiet(&bench);
	for (int kind = EV_INFO; kind <= EV_RANKING; kind++)
		if (kind != EV_TOKENS)
			assert_in_range(bench.of[7][kind], 1, kind == EV_INFO ? 3 : 1);
	assert_int_equal(bench.of[7][EV_TOKENS], 6);
	assert_string_equal(bench.caption[7], "a picture that is mostly green");
	assert_int_equal(bench.best[7], 1);
	assert_int_equal(bench.scores_n[7], 3);
	assert_true(bench.clipscore[7] > 2.0f);
	assert_int_equal(bench.count[EV_READY], 3);
	assert_int_equal(bench.count[EV_LIBRARY], 1);
	engine_status(bench.engine, &status);
	assert_int_equal(status.answered, 1);
	assert_true(status.library && status.lane[MODEL_NLI].ready);
	assert_int_equal(status.lane[MODEL_CAPTION].weight_held, 700 << 20);
	bench_check_sums(&bench);
}

static void test_answers_with_each_subset_of_models(void **state)
{
	for (int subset = 1; subset < 8; subset++) {
		if (subset > 1) {
			teardown(state);
			setup(state);
		}
		for (int i = 0; i < MODEL_KINDS; i++)
			if (!(subset & 1 << i))
				bench.options.model_dir[i] = NULL;
		bench_picture(&bench, 0, 0, 0, 200, false);
		bench_start_labels(&bench);
		bench_submit(&bench, 0, ENGINE_BACKGROUND, ENGINE_ANSWERS);
		bench_await_quiet(&bench);
		assert_int_equal(bench.of[0][EV_RANKING], subset != 1 << MODEL_NLI);
		assert_int_equal(bench.of[0][EV_FAILED], subset == 1 << MODEL_NLI);
		assert_int_equal(bench.of[0][EV_SCORES], subset & 1);
		assert_int_equal(bench.of[0][EV_CLIPSCORE], (subset & 3) == 3);
		assert_int_equal(bench.of[0][EV_VERDICTS], (subset & 6) == 6);
		if (subset & 1 || (subset & 6) == 6)
			assert_int_equal(bench.best[0], 2);
		bench_check_sums(&bench);
	}
}

static void test_background_keeps_its_order(void **state)
{
	bench_only(&bench, MODEL_SCORES);
	bench.options.loaders = 1;
	bench_red_pictures(&bench, 100);
	bench_start_labels(&bench);
	bench_submit_all(&bench, 0, 100, ENGINE_ANSWERS);
	bench_await(&bench, EV_RANKING, 100);
	for (int i = 0; i < 100; i++)
		assert_int_equal(bench.order[EV_SCORES][i], i);
}

/* A line: a batch of 4, and one more for each loader. */
enum { FULL_LINE = 4 + 2 };

/* Looks until the loaders have filled the captioner's line and `prepared` pictures in all, and returns how many wait for a loader. */
static int await_full_line(int prepared)
{
	struct engine_status status;
	double begin = clock_now();

	do {
		engine_status(bench.engine, &status);
		fake_look(&seen);
		if (clock_now() > begin + 120)
			fail_msg("%d are ready, %d were prepared", status.lane[MODEL_CAPTION].queued, seen.prepares);
	} while (status.lane[MODEL_CAPTION].queued != FULL_LINE || seen.prepares < prepared ||
		 status.lane[MODEL_CAPTION].batch + FULL_LINE > seen.prepares);
	return status.jobs;
}

static void test_selected_overtakes_full_lines(void **state)
{
	struct engine_status status;
	int jobs;

	bench_only(&bench, MODEL_CAPTION);
	bench_red_pictures(&bench, 61);
	fake.hold[MODEL_CAPTION] = true;
	bench_start_labels(&bench);
	bench_submit_all(&bench, 0, 60, ENGINE_ANSWERS);
	fake_await_held(MODEL_CAPTION);
	jobs = await_full_line(FULL_LINE + 1);
	bench_submit(&bench, 60, ENGINE_SELECTED, BOTH);
	bench_await(&bench, EV_PREVIEW, 1);
	/* It stands in the line as soon as the last one there was sent back. */
	await_full_line(seen.prepares + 1);
	do
		engine_status(bench.engine, &status);
	while (status.jobs != jobs + 1);
	fake_hold(MODEL_CAPTION, false);
	bench_await(&bench, EV_RANKING, 61);
	assert_int_equal(bench.order[EV_CAPTION][status.lane[MODEL_CAPTION].batch], 60);
	bench_check_sums(&bench);
}

static void test_selected_does_not_add_to_memory(void **state)
{
	struct engine_status status;

	bench_only(&bench, MODEL_CAPTION);
	bench_red_pictures(&bench, 80);
	fake.hold[MODEL_CAPTION] = true;
	bench_start_labels(&bench);
	bench_submit_all(&bench, 0, 60, ENGINE_ANSWERS);
	fake_await_held(MODEL_CAPTION);
	for (int i = 60; i < 80; i++) {
		bench_submit(&bench, (uint32_t)i, ENGINE_SELECTED, BOTH);
		bench_await(&bench, EV_PREVIEW, i - 59);
	}
	engine_status(bench.engine, &status);
	assert_in_range(status.lane[MODEL_CAPTION].queued, 1, FULL_LINE + 1);
	fake_hold(MODEL_CAPTION, false);
	bench_await(&bench, EV_RANKING, 80);
	bench_check_sums(&bench);
}

static void test_scores_do_not_wait_for_captions(void **state)
{
	bench.options.loaders = 1;
	bench_red_pictures(&bench, 64);
	fake.hold[MODEL_CAPTION] = true;
	bench_start_labels(&bench);
	bench_submit_all(&bench, 0, 64, ENGINE_ANSWERS);
	bench_await(&bench, EV_SCORES, 64);
	assert_int_equal(bench.count[EV_CAPTION], 0);
	fake_hold(MODEL_CAPTION, false);
	bench_await(&bench, EV_RANKING, 64);
	for (int i = 0; i < 64; i++)
		assert_int_equal(bench.order[EV_CAPTION][i], i);
}

static void test_previews_come_without_models(void **state)
{
	fake.fail_library = true;
	bench_red_pictures(&bench, 2);
	bench_start(&bench);
	bench_await(&bench, EV_MODEL_FAILED, 3);
	bench_submit(&bench, 0, ENGINE_SELECTED, ENGINE_PREVIEW);
	bench_submit(&bench, 1, ENGINE_NEAR, ENGINE_PREVIEW);
	bench_await(&bench, EV_PREVIEW, 2);
	bench_submit(&bench, 0, ENGINE_SELECTED, BOTH);
	bench_await(&bench, EV_FAILED, 1);
	bench_await(&bench, EV_PREVIEW, 3);
	assert_non_null(strstr(bench.last_error, "0000.bmp: no model"));
	bench_check_sums(&bench);
}

static void test_a_failed_model_does_not_stop_the_others(void **state)
{
	fake.fail_open[MODEL_CAPTION] = true;
	bench_red_pictures(&bench, 10);
	/* Submitted before anything is open: what the captioner owes is taken off when it fails. */
	bench_start_labels(&bench);
	bench_submit_all(&bench, 0, 10, ENGINE_ANSWERS);
	bench_await_quiet(&bench);
	assert_int_equal(bench.count[EV_RANKING], 10);
	assert_int_equal(bench.count[EV_MODEL_FAILED], 1);
	assert_int_equal(bench.count[EV_CAPTION], 0);
	bench_check_sums(&bench);
}

static void test_no_model_opens(void **state)
{
	for (int i = 0; i < MODEL_KINDS; i++)
		fake.fail_open[i] = true;
	bench_red_pictures(&bench, 10);
	bench_start(&bench);
	bench_submit_all(&bench, 0, 10, ENGINE_ANSWERS);
	bench_await(&bench, EV_FAILED, 10);
	bench_check_sums(&bench);
}

static void test_new_labels_embed_no_picture_again(void **state)
{
	static const char *const more[] = {"something blue", "red all over", "something green", "something red"};
	int images, texts, prepares;
	uint32_t epoch;

	bench_red_pictures(&bench, 50);
	bench_start_labels(&bench);
	bench_submit_all(&bench, 0, 50, ENGINE_ANSWERS);
	bench_await_quiet(&bench);
	fake_lock();
	images = fake.images;
	texts = fake.texts;
	prepares = fake.prepares;
	fake_unlock();
	epoch = engine_set_labels(bench.engine, more, 4, 33);
	bench_await_quiet(&bench);
	assert_int_equal(bench.count[EV_SCORES], 100);
	assert_int_equal(bench.count[EV_RANKING], 100);
	assert_int_equal(bench.order[EV_SCORES][50], 33);
	assert_int_equal(bench.order[EV_RANKING][50], 33);
	assert_int_equal(bench.scores_n[12], 4);
	assert_int_equal(bench.epoch[12], epoch);
	fake_look(&seen);
	assert_int_equal(seen.images, images);
	assert_int_equal(seen.prepares, prepares);
	assert_int_equal(seen.texts, texts + 1); /* three of the four were known */
	bench_check_sums(&bench);
}

static void test_only_so_many_are_remembered(void **state)
{
	bench.options.remember = 10;
	bench_red_pictures(&bench, 80);
	fake.hold[MODEL_NLI] = true;
	bench_start_labels(&bench);
	bench_submit_all(&bench, 0, 80, BOTH);
	/* CLIP does not run ahead of what may be held ... */
	fake_await_held(MODEL_NLI);
	bench_await(&bench, EV_CAPTION, 80);
	fake_look(&seen);
	assert_in_range(seen.images, 10, 10 + 4);
	/* ... and goes on when answered pictures are forgotten. */
	fake_hold(MODEL_NLI, false);
	bench_await_quiet(&bench);
	assert_int_equal(bench.count[EV_RANKING], 80);
	engine_set_labels(bench.engine, bench_labels, 2, 0);
	bench_await_quiet(&bench);
	assert_in_range(bench.count[EV_RANKING], 81, 80 + 11);
	bench_check_sums(&bench);
}

static void test_labels_change_while_all_runs(void **state)
{
	static const char *const sets[][3] = {{"red", "green", "blue"}, {"a", "b", "c"}, {"blue", "red", "x"}, {"green", "q", "r"}};
	uint32_t epoch = 0;

	bench_red_pictures(&bench, 40);
	fake.steps = 3;
	fake.step_us = 200;
	bench_start_labels(&bench);
	bench_submit_all(&bench, 0, 40, ENGINE_ANSWERS);
	for (int i = 0; i < 60; i++) {
		epoch = engine_set_labels(bench.engine, sets[i % 4], i % 3 + 1, (uint32_t)i % 40);
		bench_await(&bench, EV_SCORES, bench.count[EV_SCORES] + 1);
	}
	bench_await_quiet(&bench);
	for (int i = 0; i < 40; i++)
		assert_int_equal(bench.epoch[i], epoch);
	bench_check_sums(&bench);
}

static void test_no_labels(void **state)
{
	bench_red_pictures(&bench, 3);
	bench_start(&bench);
	bench_submit_all(&bench, 0, 3, ENGINE_ANSWERS);
	bench_await_quiet(&bench);
	assert_int_equal(bench.count[EV_RANKING], 3);
	assert_int_equal(bench.count[EV_VERDICTS], 0);
	engine_set_labels(bench.engine, bench_labels, 3, 1);
	bench_await_quiet(&bench);
	assert_int_equal(bench.count[EV_VERDICTS], 3);
	engine_set_labels(bench.engine, NULL, 0, 1);
	bench_await_quiet(&bench);
	assert_int_equal(bench.best[0], -1);
}

static void test_batches_are_filled(void **state)
{
	bench_only(&bench, MODEL_SCORES);
	bench_red_pictures(&bench, 65);
	fake.hold[MODEL_SCORES] = true;
	bench_start(&bench);
	bench_submit_all(&bench, 0, 1, ENGINE_ANSWERS);
	fake_await_held(MODEL_SCORES);
	bench_submit_all(&bench, 0, 65, ENGINE_ANSWERS);
	fake_hold(MODEL_SCORES, false);
	bench_await(&bench, EV_RANKING, 65);
	fake_look(&seen);
	assert_int_equal(seen.largest[MODEL_SCORES], 4);
	assert_in_range(seen.image_calls, 17, 40);
	assert_int_equal(bench.largest_batch, 4);
}

static void test_shapes_do_not_mix(void **state)
{
	bench_only(&bench, MODEL_CAPTION);
	for (int i = 0; i < 40; i++)
		bench_picture(&bench, (uint32_t)i, 200, 0, i, i % 3 == 0);
	bench_start(&bench);
	bench_submit_all(&bench, 0, 40, ENGINE_ANSWERS);
	bench_await_quiet(&bench);
	assert_int_equal(bench.count[EV_RANKING], 40);
	assert_int_equal(bench.count[EV_FAILED], 0);
}

static void test_broken_files_fail_alone(void **state)
{
	bench_red_pictures(&bench, 30);
	for (uint32_t i = 0; i < 30; i += 5) {
		FILE *f = fopen(bench_path(&bench, i), "wb");

		assert_non_null(f);
		fputs("this is no picture", f);
		fclose(f);
	}
	unlink(bench_path(&bench, 7));
	bench_start_labels(&bench);
	bench_submit_all(&bench, 0, 30, BOTH);
	bench_await_quiet(&bench);
	assert_int_equal(bench.count[EV_FAILED], 7);
	assert_int_equal(bench.count[EV_RANKING], 23);
	assert_int_equal(bench.of[5][EV_FAILED], 1);
	assert_int_equal(bench.of[7][EV_FAILED], 1);
	assert_int_equal(bench.of[7][EV_RANKING], 0);
	assert_non_null(strstr(bench.last_error, ".bmp"));
	bench_check_sums(&bench);
}

static void test_a_picture_that_breaks_its_batch_fails_alone(void **state)
{
	struct engine_status status;

	bench_red_pictures(&bench, 32);
	fake.bad_blue = 13;
	bench_start_labels(&bench);
	bench_submit_all(&bench, 0, 32, ENGINE_ANSWERS);
	bench_await_quiet(&bench);
	assert_int_equal(bench.of[13][EV_FAILED], 1);
	assert_int_equal(bench.count[EV_FAILED], 1);
	assert_int_equal(bench.count[EV_RANKING], 31);
	assert_non_null(strstr(bench.last_error, "0013.bmp: fake: cannot look"));
	engine_status(bench.engine, &status);
	assert_int_equal(status.failed, 1);
	bench_check_sums(&bench);
}

static void test_memory_ladder_loses_nothing(void **state)
{
	bench.options.settings.batch = 16;
	bench_red_pictures(&bench, 100);
	fake.fits[MODEL_SCORES] = 3;
	fake.fits[MODEL_CAPTION] = 1;
	fake.fits[MODEL_NLI] = 5;
	bench_start_labels(&bench);
	bench_submit_all(&bench, 0, 100, ENGINE_ANSWERS);
	bench_await_quiet(&bench);
	assert_int_equal(bench.count[EV_RANKING], 100);
	assert_int_equal(bench.count[EV_FAILED], 0);
	assert_true(bench.steps[LADDER_BATCH] >= 3);
	assert_non_null(strstr(bench.ladder[0], ": out of memory with "));
	/* What fitted is remembered: not every batch runs out of memory again. */
	assert_in_range(bench.count[EV_LADDER], 3, 40);
	bench_check_sums(&bench);
}

static void test_a_picture_that_never_fits_fails(void **state)
{
	bench_only(&bench, MODEL_CAPTION);
	bench_red_pictures(&bench, 3);
	fake.fits[MODEL_CAPTION] = -1;
	bench_start(&bench);
	bench_submit_all(&bench, 0, 3, ENGINE_ANSWERS);
	bench_await(&bench, EV_FAILED, 3);
	bench_check_sums(&bench);
}

static void test_cancel_one_of_a_running_batch(void **state)
{
	bench_only(&bench, MODEL_CAPTION);
	bench_red_pictures(&bench, 4);
	fake.hold[MODEL_CAPTION] = true;
	bench.options.settings.batch = 2;
	bench_start(&bench);
	bench_submit_all(&bench, 0, 4, ENGINE_ANSWERS);
	fake_await_held(MODEL_CAPTION);
	engine_cancel(bench.engine, 0);
	bench_await(&bench, EV_CANCELLED, 1);
	fake_hold(MODEL_CAPTION, false);
	bench_await_quiet(&bench);
	assert_int_equal(bench.of[0][EV_CAPTION], 0);
	assert_int_equal(bench.count[EV_RANKING], 3);
	bench_check_sums(&bench);
}

static void test_cancel_all_stops_the_run(void **state)
{
	struct engine_status status;
	double begin;

	bench_red_pictures(&bench, 50);
	fake.hold[MODEL_CAPTION] = true;
	bench_start_labels(&bench);
	bench_submit_all(&bench, 0, 50, BOTH);
	fake_await_held(MODEL_CAPTION);
	begin = clock_now();
	engine_cancel_all(bench.engine);
	bench_await_quiet(&bench);
	assert_int_equal(bench.count[EV_CANCELLED] + bench.count[EV_RANKING], 50);
	/* The held run is stopped by check, not by lifting the hold. */
	do {
		engine_status(bench.engine, &status);
		fake_look(&seen);
	} while (status.lane[MODEL_CAPTION].busy && clock_now() < begin + 120);
	assert_int_equal(seen.holding[MODEL_CAPTION], 0);
	assert_true(seen.cancelled > 0 && seen.hold[MODEL_CAPTION]);
	bench_check_sums(&bench);
	/* And the lane takes new work. */
	fake_hold(MODEL_CAPTION, false);
	bench_submit(&bench, 3, ENGINE_BACKGROUND, ENGINE_ANSWERS);
	bench_await(&bench, EV_RANKING, 1);
}

static void test_submitting_again(void **state)
{
	struct engine_status status;

	bench_red_pictures(&bench, 2);
	bench_start_labels(&bench);
	bench_submit_all(&bench, 0, 2, ENGINE_ANSWERS);
	bench_submit_all(&bench, 0, 2, ENGINE_ANSWERS);
	bench_await_quiet(&bench);
	engine_status(bench.engine, &status);
	/* Whether the second round found them queued or done depends on the moment, but the books agree. */
	assert_int_equal(status.answered, status.submitted);
	bench_submit(&bench, 1, ENGINE_SELECTED, ENGINE_ANSWERS);
	bench_await_quiet(&bench);
	assert_int_equal(bench.count[EV_RANKING], status.submitted + 1);
	bench_check_sums(&bench);
}

static void set_precision(struct engine_settings *s, enum precision precision)
{
	for (int i = 0; i < MODEL_KINDS; i++)
		s->precision[i] = precision;
}

static void test_settings_change_between_batches(void **state)
{
	struct engine_settings settings;
	struct error err;
	int n;

	bench_red_pictures(&bench, 40);
	bench_start_labels(&bench);
	bench_await(&bench, EV_SETTINGS, 3);
	assert_int_equal(bench.really.precision, PRECISION_FP32);
	bench_submit_all(&bench, 0, 20, ENGINE_ANSWERS);
	settings = engine_get_settings(bench.engine);
	set_precision(&settings, PRECISION_BF16);
	settings.batch = 7;
	settings.beams = 5;
	settings.image_size = 96;
	settings.cap = 6LL << 30;
	assert_int_equal(engine_set_settings(bench.engine, &settings, &err), 0);
	for (int i = 20; i < 40; i++)
		bench_submit(&bench, (uint32_t)i, ENGINE_BACKGROUND, ENGINE_ANSWERS);
	bench_await_quiet(&bench);
	bench_await(&bench, EV_SETTINGS, 6);
	assert_int_equal(bench.count[EV_RANKING], 40);
	assert_int_equal(bench.really.precision, PRECISION_BF16);
	assert_int_equal(bench.really.batch, 7);
	fake_look(&seen);
	assert_int_equal(seen.precision[MODEL_CAPTION], PRECISION_BF16);
	assert_int_equal(seen.beams, 5);
	assert_int_equal(seen.image_size, 96);
	assert_true(seen.cap == 6LL << 30);
	fake_lock();
	for (int i = 0; i < MODEL_KINDS; i++)
		fake.fail_place[i] = true;
	fake_unlock();
	set_precision(&settings, PRECISION_FP16);
	n = bench.count[EV_NOTE];
	assert_int_equal(engine_set_settings(bench.engine, &settings, &err), 0);
	bench_await(&bench, EV_NOTE, n + 3);
	bench_await(&bench, EV_SETTINGS, 9);
	assert_int_equal(bench.really.precision, PRECISION_BF16);
	settings.batch = 0;
	assert_int_equal(engine_set_settings(bench.engine, &settings, &err), -1);
	assert_int_equal(err.code, E_USAGE);
}

static void test_new_image_size_prepares_anew(void **state)
{
	struct engine_settings settings;

	bench_only(&bench, MODEL_CAPTION);
	bench.options.loaders = 1;
	bench_red_pictures(&bench, 9);
	fake.hold[MODEL_CAPTION] = true;
	bench_start(&bench);
	bench_submit_all(&bench, 0, 9, ENGINE_ANSWERS);
	fake_await_held(MODEL_CAPTION);
	settings = engine_get_settings(bench.engine);
	settings.image_size = 160;
	assert_int_equal(engine_set_settings(bench.engine, &settings, NULL), 0);
	fake_hold(MODEL_CAPTION, false);
	bench_await_quiet(&bench);
	assert_int_equal(bench.count[EV_RANKING], 9);
	fake_look(&seen);
	assert_int_equal(seen.image_size, 160);
	/* The eight that were ready and one in hand were prepared twice at most. */
	assert_in_range(seen.prepares, 9, 18);
}

static void test_one_model_computes_at_a_time_on_a_cpu(void **state)
{
	bench_red_pictures(&bench, 30);
	fake.steps = 4;
	fake.step_us = 100;
	bench_start_labels(&bench);
	bench_submit_all(&bench, 0, 30, ENGINE_ANSWERS);
	bench_await_quiet(&bench);
	assert_int_equal(bench.count[EV_RANKING], 30);
	fake_look(&seen);
	assert_int_equal(seen.most_running, 1);
}

static void test_a_lane_that_waits_for_its_turn_can_be_cancelled(void **state)
{
	bench_red_pictures(&bench, 8);
	fake.hold_texts = true; /* CLIP has the turn with its labels, asked at every check, and is ahead of captions */
	bench_start_labels(&bench);
	bench_submit_all(&bench, 0, 8, ENGINE_ANSWERS);
	fake_await_held(MODEL_SCORES);
	engine_cancel_all(bench.engine);
	bench_await_quiet(&bench);
	assert_int_equal(bench.count[EV_CANCELLED], 8);
	bench_check_sums(&bench);
}

static void test_destroy_while_busy(void **state)
{
	for (int round = 0; round < 6; round++) {
		double begin;

		if (round) {
			teardown(state);
			setup(state);
		}
		bench_red_pictures(&bench, 40);
		bench.options.settings.batch = 1;
		fake.hold[round % MODEL_KINDS] = true;
		bench_start_labels(&bench);
		bench_submit_all(&bench, 0, 40, BOTH);
		if (round < 3)
			fake_await_held((enum model_kind)(round % MODEL_KINDS));
		begin = clock_now();
		engine_destroy(bench.engine);
		bench.engine = NULL;
		/* 0.1 s is the promise; sanitizers and a busy machine get more. */
		assert_true(clock_now() - begin < 2);
		fake_look(&seen);
		for (int i = 0; i < MODEL_KINDS; i++)
			assert_int_equal(seen.opened[i], seen.closed[i]);
	}
}

static void test_destroy_before_start(void **state)
{
	struct error err;

	bench.engine = engine_create(&bench.options, &err);
	assert_non_null(bench.engine);
	bench_picture(&bench, 0, 1, 2, 3, false);
	bench_submit(&bench, 0, ENGINE_SELECTED, BOTH);
	engine_set_labels(bench.engine, bench_labels, 3, 0);
	engine_destroy(NULL);
}

static void test_forget(void **state)
{
	bench_red_pictures(&bench, 20);
	bench_start_labels(&bench);
	bench_submit_all(&bench, 0, 10, BOTH);
	bench_await(&bench, EV_RANKING, 3);
	bench_submit_all(&bench, 0, 20, BOTH);
	engine_forget(bench.engine);
	memset(bench.of, 0, sizeof bench.of);
	bench_take(&bench);
	for (int i = 0; i < 20; i++)
		for (int kind = EV_INFO; kind <= EV_CANCELLED; kind++)
			assert_int_equal(bench.of[i][kind], 0);
	bench_check_sums(&bench);
	/* The same number now means another picture. */
	bench_picture(&bench, 2, 0, 250, 0, false);
	bench_submit(&bench, 2, ENGINE_SELECTED, BOTH);
	bench_await_quiet(&bench);
	assert_string_equal(bench.caption[2], "a picture that is mostly green");
	engine_set_labels(bench.engine, bench_labels, 2, 2);
	bench_await_quiet(&bench);
	assert_int_equal(bench.of[2][EV_SCORES], 2);
	assert_int_equal(bench.of[3][EV_SCORES], 0);
}

static void test_bad_options(void **state)
{
	struct error err;

	bench.options.settings.batch = ENGINE_MAX_BATCH + 1;
	assert_null(engine_create(&bench.options, &err));
	assert_int_equal(err.code, E_USAGE);
	bench.options.settings.batch = 1;
	bench.options.hypothesis = "no gap";
	assert_null(engine_create(&bench.options, &err));
	bench.options.hypothesis = NULL;
	bench.options.loaders = -1;
	assert_null(engine_create(&bench.options, &err));
}

/* One of everything that the screen can do, at random. */
static void random_operation(unsigned *seed, int n)
{
	static const char *const words[] = {"red", "green", "blue", "a boat", "a house"};
	uint32_t id = (uint32_t)rand_r(seed) % (uint32_t)n;
	struct engine_settings settings;
	const char *some[3];

	switch (rand_r(seed) % 12) {
	case 0:
		engine_cancel(bench.engine, id);
		break;
	case 1:
		for (int i = 0; i < 3; i++)
			some[i] = words[rand_r(seed) % 5];
		engine_set_labels(bench.engine, some, rand_r(seed) % 4, id);
		break;
	case 2:
		settings = engine_get_settings(bench.engine);
		settings.batch = 1 + rand_r(seed) % 9;
		settings.precision[rand_r(seed) % MODEL_KINDS] = (enum precision)(rand_r(seed) % PRECISIONS);
		settings.image_size = rand_r(seed) % 3 * 48;
		assert_int_equal(engine_set_settings(bench.engine, &settings, NULL), 0);
		break;
	case 3:
		if (rand_r(seed) % 10 == 0)
			engine_cancel_all(bench.engine);
		break;
	case 4:
		if (rand_r(seed) % 20 == 0)
			engine_forget(bench.engine);
		break;
	case 5:
		bench_check_sums(&bench);
		/* Now and then the engine gets to its work. */
		if (rand_r(seed) % 10 == 0)
			bench_await_quiet(&bench);
		break;
	default:
		bench_submit(&bench, id, (enum engine_priority)(rand_r(seed) % 3), 1 + rand_r(seed) % 3);
	}
	if (rand_r(seed) % 4 == 0)
		bench_take(&bench);
}

static void test_random_operations(void **state)
{
	unsigned seed = 20260301;
	struct engine_status status;
	enum { N = 60 };

	for (int i = 0; i < N; i++)
		bench_picture(&bench, (uint32_t)i, rand_r(&seed) % 256, rand_r(&seed) % 256, i, i % 4 == 0);
	unlink(bench_path(&bench, 11));
	fake.bad_blue = 17;
	fake.fits[MODEL_CAPTION] = 5;
	fake.steps = 2;
	bench_start_labels(&bench);
	for (int i = 0; i < 2000; i++)
		random_operation(&seed, N);
	bench_await_quiet(&bench);
	bench_check_sums(&bench);
	engine_status(bench.engine, &status);
	assert_int_equal(status.pending, 0);
	assert_int_equal(status.refreshing, 0);
	for (int i = 0; i < MODEL_KINDS; i++)
		assert_int_equal(status.lane[i].queued, 0);
	assert_true(status.answered > 50 && status.failed > 0 && status.cancelled > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_one_picture_gets_every_answer_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_answers_with_each_subset_of_models, setup, teardown),
		cmocka_unit_test_setup_teardown(test_background_keeps_its_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_selected_overtakes_full_lines, setup, teardown),
		cmocka_unit_test_setup_teardown(test_selected_does_not_add_to_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_scores_do_not_wait_for_captions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_previews_come_without_models, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_failed_model_does_not_stop_the_others, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_model_opens, setup, teardown),
		cmocka_unit_test_setup_teardown(test_new_labels_embed_no_picture_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_only_so_many_are_remembered, setup, teardown),
		cmocka_unit_test_setup_teardown(test_labels_change_while_all_runs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_labels, setup, teardown),
		cmocka_unit_test_setup_teardown(test_batches_are_filled, setup, teardown),
		cmocka_unit_test_setup_teardown(test_shapes_do_not_mix, setup, teardown),
		cmocka_unit_test_setup_teardown(test_broken_files_fail_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_picture_that_breaks_its_batch_fails_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_memory_ladder_loses_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_picture_that_never_fits_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cancel_one_of_a_running_batch, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cancel_all_stops_the_run, setup, teardown),
		cmocka_unit_test_setup_teardown(test_submitting_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_settings_change_between_batches, setup, teardown),
		cmocka_unit_test_setup_teardown(test_new_image_size_prepares_anew, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_model_computes_at_a_time_on_a_cpu, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_lane_that_waits_for_its_turn_can_be_cancelled, setup, teardown),
		cmocka_unit_test_setup_teardown(test_destroy_while_busy, setup, teardown),
		cmocka_unit_test_setup_teardown(test_destroy_before_start, setup, teardown),
		cmocka_unit_test_setup_teardown(test_forget, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_options, setup, teardown),
		cmocka_unit_test_setup_teardown(test_random_operations, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
