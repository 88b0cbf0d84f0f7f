/* The engine's limits: retries, deadlines, the queue bound, what is left of a picture on which one model fails, and leaving while libtorch is being loaded. */
#include "core/clock.h"
#include "tests/support/engine_bench.h"
#include "tests/support/fake_models.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* ---------------------------------------------------------------- one model fails */

static void test_the_others_answers_come(void **state)
{
	bench_red_pictures(&bench, 8);
	fake.no_luck[MODEL_NLI] = 1000;
	bench_start_labels(&bench);
	bench_submit_all(&bench, 0, 8, ENGINE_ANSWERS);
	bench_await_quiet(&bench);
	for (int i = 0; i < 8; i++) {
		assert_int_equal(bench.of[i][EV_SCORES], 1);
		assert_int_equal(bench.of[i][EV_CAPTION], 1);
		assert_int_equal(bench.of[i][EV_CLIPSCORE], 1);
		assert_int_equal(bench.of[i][EV_VERDICTS], 0);
		assert_int_equal(bench.of[i][EV_RANKING], 0);
		assert_int_equal(bench.of[i][EV_FAILED], 1);
	}
	assert_non_null(strstr(bench.last_error, "no luck"));
	assert_int_equal(bench_status(&bench).failed, 8);
	bench_check_sums(&bench);
	/* What is known of them stays: new labels are answered, and what failed is asked again. */
	fake_lock();
	fake.no_luck[MODEL_NLI] = 0;
	fake_unlock();
	engine_set_labels(bench.engine, bench_labels, 2, 0);
	bench_await_quiet(&bench);
	assert_int_equal(bench.count[EV_RANKING], 8);
	assert_int_equal(bench.count[EV_VERDICTS], 8);
	assert_int_equal(bench.count[EV_SCORES], 16);
}

static void test_each_model_that_fails_is_named(void **state)
{
	bench_red_pictures(&bench, 1);
	fake.bad_blue = 0;
	bench_start_labels(&bench);
	bench_submit_all(&bench, 0, 1, ENGINE_ANSWERS);
	bench_await_quiet(&bench);
	/* CLIP and the captioner; the first was told at once, as the other was still to come. */
	assert_int_equal(bench.of[0][EV_PARTIAL], 2);
	assert_int_equal(bench.of[0][EV_FAILED], 1);
	assert_int_equal(bench.count[EV_RANKING] + bench.count[EV_SCORES] + bench.count[EV_CAPTION], 0);
	bench_check_sums(&bench);
}

static void test_labels_change_under_a_failed_caption(void **state)
{
	bench_red_pictures(&bench, 2);
	fake.no_luck[MODEL_CAPTION] = 1000;
	bench_start_labels(&bench);
	bench_submit_all(&bench, 0, 2, ENGINE_ANSWERS);
	bench_await_quiet(&bench);
	assert_int_equal(bench.count[EV_FAILED], 2);
	engine_set_labels(bench.engine, bench_labels, 1, 0);
	bench_await_quiet(&bench);
	/* The caption is still missing, and that is still said. */
	assert_int_equal(bench.count[EV_SCORES], 4);
	assert_int_equal(bench.count[EV_FAILED], 4);
	assert_int_equal(bench_status(&bench).failed, 2);
	assert_int_equal(bench_status(&bench).refreshing, 0);
}

/* ---------------------------------------------------------------- retries */

static void test_retries_bring_all_answers(void **state)
{
	bench.options.settings.retries = 3;
	bench.options.settings.retry_delay = 0.02;
	bench_red_pictures(&bench, 12);
	for (int i = 0; i < MODEL_KINDS; i++)
		fake.no_luck[i] = 3;
	bench_start_labels(&bench);
	bench_submit_all(&bench, 0, 12, ENGINE_ANSWERS);
	bench_await_quiet(&bench);
	assert_int_equal(bench.count[EV_RANKING], 12);
	assert_int_equal(bench.count[EV_FAILED] + bench.count[EV_PARTIAL], 0);
	assert_true(bench_status(&bench).retried > 0);
	bench_check_sums(&bench);
}

static void test_retries_end(void **state)
{
	double begin;

	bench_only(&bench, MODEL_CAPTION);
	bench.options.settings.retries = 2;
	bench.options.settings.retry_delay = 0.1;
	bench_red_pictures(&bench, 1);
	fake.no_luck[MODEL_CAPTION] = 1000;
	bench_start(&bench);
	begin = clock_now();
	bench_submit_all(&bench, 0, 1, ENGINE_ANSWERS);
	bench_await(&bench, EV_FAILED, 1);
	assert_true(clock_now() - begin >= 0.2);
	assert_int_equal(bench_status(&bench).retried, 2);
	fake_look(&seen);
	assert_int_equal(seen.caption_calls, 3);
	assert_true(seen.trims >= 2);
}

static void test_what_is_wrong_with_the_picture_is_not_tried_again(void **state)
{
	FILE *f = fopen(bench_path(&bench, 0), "wb");

	assert_non_null(f);
	fputs("this is no picture", f);
	fclose(f);
	bench.options.settings.retries = 5;
	bench_start_labels(&bench);
	bench_submit_all(&bench, 0, 1, ENGINE_ANSWERS);
	bench_await(&bench, EV_FAILED, 1);
	assert_int_equal(bench_status(&bench).retried, 0);
	/* A file that is not there may be there another time. */
	bench_submit_all(&bench, 1, 1, ENGINE_ANSWERS);
	bench_await(&bench, EV_FAILED, 2);
	assert_true(bench_status(&bench).retried >= 5);
	bench_check_sums(&bench);
}

static void test_pictures_that_wait_to_be_tried_again_can_be_cancelled(void **state)
{
	bench_only(&bench, MODEL_CAPTION);
	bench.options.settings.retries = 1;
	bench.options.settings.retry_delay = 3600;
	bench_red_pictures(&bench, 6);
	fake.no_luck[MODEL_CAPTION] = 1000;
	bench_start(&bench);
	bench_submit_all(&bench, 0, 6, ENGINE_ANSWERS);
	while (bench_status(&bench).retried < 6)
		bench_take(&bench);
	engine_cancel(bench.engine, 3);
	bench_await(&bench, EV_CANCELLED, 1);
	bench_check_sums(&bench);
	engine_forget(bench.engine);
	assert_int_equal(bench_status(&bench).pending, 0);
	bench_submit_all(&bench, 0, 1, ENGINE_ANSWERS);
	while (bench_status(&bench).retried < 7)
		bench_take(&bench);
	/* And the engine ends with one that waits. */
}

/* ---------------------------------------------------------------- deadlines */

static void test_a_slow_answer_is_stopped_and_its_mates_go_on(void **state)
{
	bench_only(&bench, MODEL_CAPTION);
	bench.options.settings.deadline = 0.15;
	bench_red_pictures(&bench, 8);
	fake.slow_blue = 5;
	bench_start(&bench);
	bench_submit_all(&bench, 0, 8, ENGINE_ANSWERS);
	bench_await_quiet(&bench);
	assert_int_equal(bench.of[5][EV_FAILED], 1);
	assert_int_equal(bench.count[EV_FAILED], 1);
	assert_int_equal(bench.count[EV_RANKING], 7);
	assert_non_null(strstr(bench.last_error, "0005.bmp: captions: stopped after 0.1"));
	assert_non_null(strstr(bench.last_error, "the deadline is 0.15 s"));
	bench_check_sums(&bench);
}

static void test_waiting_for_a_turn_does_not_count(void **state)
{
	bench.options.settings.deadline = 0.2;
	bench_red_pictures(&bench, 4);
	fake.hold_texts = true; /* CLIP computes labels, as long as it likes */
	bench_start_labels(&bench);
	bench_submit_all(&bench, 0, 4, ENGINE_ANSWERS);
	fake_await_held(MODEL_SCORES);
	usleep(500000);
	fake_lock();
	fake.hold_texts = false;
	fake_unlock();
	bench_await_quiet(&bench);
	assert_int_equal(bench.count[EV_RANKING], 4);
}

static void test_a_slow_decode_says_so(void **state)
{
	bench_only(&bench, MODEL_SCORES);
	bench.options.settings.deadline = 1e-9;
	bench_red_pictures(&bench, 2);
	bench_start(&bench);
	bench_submit_all(&bench, 0, 2, ENGINE_ANSWERS);
	bench_await(&bench, EV_FAILED, 2);
	assert_non_null(strstr(bench.last_error, "decoding was stopped after"));
	bench_check_sums(&bench);
}

/* ---------------------------------------------------------------- the queue bound */

static bool offer(uint32_t id, enum engine_priority priority)
{
	return engine_submit(bench.engine, id, bench_path(&bench, id), priority, ENGINE_ANSWERS);
}

static void test_a_full_queue_refuses_until_there_is_room(void **state)
{
	bench_only(&bench, MODEL_SCORES);
	bench.options.settings.queue = 8;
	bench_red_pictures(&bench, 40);
	fake.hold[MODEL_SCORES] = true;
	bench_start(&bench);
	for (uint32_t i = 0; i < 8; i++)
		assert_true(offer(i, ENGINE_BACKGROUND));
	assert_false(bench_status(&bench).full);
	assert_false(offer(8, ENGINE_BACKGROUND));
	assert_false(offer(9, ENGINE_NEAR));
	assert_true(bench_status(&bench).full);
	assert_int_equal(bench_status(&bench).submitted, 8);
	assert_true(offer(3, ENGINE_NEAR));      /* it waits already */
	assert_true(offer(10, ENGINE_SELECTED)); /* never refused */
	assert_true(engine_submit(bench.engine, 11, bench_path(&bench, 11), ENGINE_NEAR, ENGINE_PREVIEW));
	assert_int_equal(bench.count[EV_ROOM], 0);
	fake_hold(MODEL_SCORES, false);
	bench_await(&bench, EV_ROOM, 1);
	assert_false(bench_status(&bench).full);
	bench_await_quiet(&bench);
	assert_int_equal(bench.count[EV_RANKING], 9);
	assert_int_equal(bench.count[EV_ROOM], 1);
	bench_check_sums(&bench);
}

static void test_a_whole_folder_through_a_short_queue(void **state)
{
	int next = 0, refused = 0;

	bench.options.settings.queue = 10;
	bench_red_pictures(&bench, 150);
	bench_start_labels(&bench);
	while (next < 150) {
		int rooms = bench.count[EV_ROOM];

		while (next < 150 && offer((uint32_t)next, ENGINE_BACKGROUND))
			next++;
		if (next == 150)
			break;
		refused++;
		assert_true(bench_status(&bench).pending <= 10);
		bench_await(&bench, EV_ROOM, rooms + 1);
	}
	bench_await_quiet(&bench);
	assert_int_equal(bench.count[EV_RANKING], 150);
	/* Hysteresis: not one event for each picture. */
	assert_in_range(refused, 1, 75);
}

static void test_cancelling_and_a_longer_queue_make_room(void **state)
{
	struct engine_settings settings;

	bench_only(&bench, MODEL_SCORES);
	bench.options.settings.queue = 2;
	bench_red_pictures(&bench, 8);
	fake.hold[MODEL_SCORES] = true;
	bench_start(&bench);
	assert_true(offer(0, ENGINE_BACKGROUND) && offer(1, ENGINE_BACKGROUND));
	assert_false(offer(2, ENGINE_BACKGROUND));
	engine_cancel(bench.engine, 0);
	bench_await(&bench, EV_ROOM, 1);
	assert_true(offer(2, ENGINE_BACKGROUND));
	assert_false(offer(3, ENGINE_BACKGROUND));
	settings = engine_get_settings(bench.engine);
	settings.queue = 0;
	assert_int_equal(engine_set_settings(bench.engine, &settings, NULL), 0);
	bench_await(&bench, EV_ROOM, 2);
	for (uint32_t i = 3; i < 8; i++)
		assert_true(offer(i, ENGINE_BACKGROUND));
}

/* ---------------------------------------------------------------- what is refused, and what is counted */

static void test_bad_settings_are_refused_with_what_is_possible(void **state)
{
	struct engine_settings good, s;
	struct error err;

	bench_start(&bench);
	good = engine_get_settings(bench.engine);
#define REFUSED(member, value, part)                                               \
	do {                                                                       \
		s = good;                                                          \
		s.member = (value);                                                \
		assert_int_equal(engine_set_settings(bench.engine, &s, &err), -1); \
		assert_int_equal(err.code, E_USAGE);                               \
		if (!strstr(err.text, part))                                       \
			fail_msg("%s", err.text);                                  \
	} while (0)
	REFUSED(batch, 0, "1 to 256");
	REFUSED(batch, 1000000000, "1 to 256");
	REFUSED(slice, -1, "0 to 256");
	REFUSED(beams, 17, "1 to 16");
	REFUSED(image_size, 5000, "to 4096 pixels");
	REFUSED(cap, -1, "negative");
	REFUSED(cap_percent, 101, "1 to 100");
	REFUSED(reserve, 91, "0 to 90");
	REFUSED(retries, -1, "0 to 100");
	REFUSED(retry_delay, NAN, "0 to 3600 seconds");
	REFUSED(retry_delay, INFINITY, "0 to 3600 seconds");
	REFUSED(deadline, -0.5, "seconds");
	REFUSED(deadline, NAN, "seconds");
	REFUSED(threads, -2, "0 to");
	REFUSED(queue, -1, "1 or more");
	REFUSED(device[1], -3, "auto, cpu and cuda:0");
	REFUSED(device[2], 128, "auto, cpu and cuda:0");
	REFUSED(precision[0], PRECISIONS, "not known");
	s = engine_get_settings(bench.engine);
	assert_memory_equal(&s, &good, sizeof s);
}

static void test_stages_and_tokens_are_counted(void **state)
{
	struct engine_status status;

	bench_red_pictures(&bench, 10);
	fake.step_us = 1000;
	bench_start_labels(&bench);
	bench_submit_all(&bench, 0, 10, ENGINE_ANSWERS);
	bench_await_quiet(&bench);
	status = bench_status(&bench);
	assert_in_range(status.decode.done, 10, 20);
	assert_in_range(status.prepare.done, 20, 20);
	assert_true(status.decode.p50_ms > 0 && status.decode.p99_ms >= status.decode.p95_ms && status.decode.p95_ms >= status.decode.p50_ms);
	assert_true(status.lane[MODEL_CAPTION].p50_ms > 0 && status.lane[MODEL_CAPTION].p99_ms >= status.lane[MODEL_CAPTION].p95_ms);
	assert_int_equal(status.lane[MODEL_CAPTION].tokens, 60);
	assert_true(status.lane[MODEL_CAPTION].tokens_per_s > 0);
	assert_true(status.images_per_s_overall > 0);
	for (int i = 0; i < MODEL_KINDS; i++)
		assert_true(status.lane[i].stalled_s == 0);
}

/* ---------------------------------------------------------------- leaving */

static void test_leaving_does_not_wait_for_the_library(void **state)
{
	double begin;

	fake.hold_library = true;
	bench_red_pictures(&bench, 3);
	bench_start_labels(&bench);
	bench_submit_all(&bench, 0, 3, ENGINE_ANSWERS);
	fake_hold_library(true); /* it is in there */
	begin = clock_now();
	engine_destroy(bench.engine);
	bench.engine = NULL;
	assert_true(clock_now() - begin < 1);
	/* The thread left behind ends by itself and touches nothing of the engine. */
	fake_hold_library(false);
	fake_look(&seen);
	assert_int_equal(seen.opened_library, 1);
	for (int i = 0; i < MODEL_KINDS; i++)
		assert_int_equal(seen.opened[i], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_the_others_answers_come, setup, teardown),
		cmocka_unit_test_setup_teardown(test_each_model_that_fails_is_named, setup, teardown),
		cmocka_unit_test_setup_teardown(test_labels_change_under_a_failed_caption, setup, teardown),
		cmocka_unit_test_setup_teardown(test_retries_bring_all_answers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_retries_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_is_wrong_with_the_picture_is_not_tried_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pictures_that_wait_to_be_tried_again_can_be_cancelled, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_slow_answer_is_stopped_and_its_mates_go_on, setup, teardown),
		cmocka_unit_test_setup_teardown(test_waiting_for_a_turn_does_not_count, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_slow_decode_says_so, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_full_queue_refuses_until_there_is_room, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_whole_folder_through_a_short_queue, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cancelling_and_a_longer_queue_make_room, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_settings_are_refused_with_what_is_possible, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stages_and_tokens_are_counted, setup, teardown),
		cmocka_unit_test_setup_teardown(test_leaving_does_not_wait_for_the_library, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
