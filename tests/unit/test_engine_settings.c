/* Every setting changed thousands of times while pictures are answered: nothing stalls, nothing is lost, and no answer is wrong. For TSan, too. */
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

#include "core/device.h"

enum { MB = 1000000, PICTURES = 120, CHANGES = 10000 };

static struct bench bench;
static int ranked, failed, cancelled, wrong;
static bool all_labels; /* in order, so that the first is known */

static void fail_wrong(const struct event *e, const char *what)
{
	wrong++;
	fprintf(stderr, "picture %u: wrong %s\n", e->id, what);
}

/* Picture i is mostly of colour i % 3, and the answers have to say so, whatever the settings are. */
static void check_event(const struct event *e)
{
	char expected[64];
	int colour = (int)(e->id % 3);

	snprintf(expected, sizeof expected, "a picture that is mostly %s", bench_colours[colour]);
	if (e->kind == EV_CAPTION && strcmp(e->caption.caption.text, expected) != 0)
		fail_wrong(e, "caption");
	if (e->kind == EV_TOKENS && strncmp(expected, e->tokens.text, strlen(e->tokens.text)) != 0)
		fail_wrong(e, "tokens");
	if (e->kind == EV_SCORES && all_labels && !(e->scores.n == 3 && e->scores.probability[colour] > 0.9f))
		fail_wrong(e, "scores");
	if (e->kind == EV_VERDICTS && all_labels)
		for (int i = 0; i < 3; i++)
			if ((e->verdicts.verdicts[i].entailment > 0.5f) != (i == colour))
				fail_wrong(e, "verdict");
	if (e->kind == EV_RANKING && all_labels && e->ranking.order[0] != colour)
		fail_wrong(e, "ranking");
	ranked += e->kind == EV_RANKING;
	failed += e->kind == EV_FAILED;
	cancelled += e->kind == EV_CANCELLED;
}

static int setup(void **state)
{
	bench_init(&bench);
	bench.check = check_event;
	ranked = failed = cancelled = wrong = 0;
	all_labels = true;
	fake.weights[MODEL_SCORES] = 20 * MB;
	fake.weights[MODEL_CAPTION] = 40 * MB;
	fake.weights[MODEL_NLI] = 30 * MB;
	fake.activation[MODEL_SCORES] = 2 * MB;
	fake.activation[MODEL_CAPTION] = 5 * MB;
	fake.activation[MODEL_NLI] = MB / 8;
	fake.cuda_devices = 2;
	fake.steps = 2;
	for (int i = 0; i < PICTURES; i++)
		bench_picture(&bench, (uint32_t)i, i % 3 == 0 ? 255 : 0, i % 3 == 1 ? 255 : 0, i % 3 == 2 ? 255 : 0, i % 5 == 0);
	bench_start_labels(&bench);
	return 0;
}

static int teardown(void **state)
{
	bench_free(&bench);
	return 0;
}

static int one_of(unsigned *seed, const int *values, int n)
{
	return values[rand_r(seed) % n];
}

static void change_one(struct engine_settings *s, unsigned *seed)
{
	static const int devices[] = {DEVICE_AUTO, DEVICE_CPU, DEVICE_CPU, 0, 1, 5}, caps[] = {0, 0, 300, 150, 80, 40, 8};
	int kind = rand_r(seed) % MODEL_KINDS;

	switch (rand_r(seed) % 16) {
	case 0:
		s->batch = 1 + rand_r(seed) % 9;
		break;
	case 1:
		s->slice = rand_r(seed) % 4;
		break;
	case 2:
		s->precision[kind] = (enum precision)(rand_r(seed) % PRECISIONS);
		break;
	case 3:
		s->device[kind] = one_of(seed, devices, 6);
		break;
	case 4:
		s->image_size = rand_r(seed) % 3 * 160;
		break;
	case 5:
		s->beams = 1 + rand_r(seed) % 5;
		break;
	case 6:
		s->cap = (int64_t)one_of(seed, caps, 7) * MB;
		break;
	case 7:
		s->cap_percent = rand_r(seed) % 2 * 50;
		break;
	case 8:
		s->seed = (uint64_t)rand_r(seed);
		break;
	case 9:
		s->deterministic = !s->deterministic;
		break;
	case 10:
		s->benchmark = !s->benchmark;
		break;
	case 11:
		s->threads = rand_r(seed) % 3;
		break;
	case 12:
		s->retries = rand_r(seed) % 3;
		break;
	case 13:
		s->queue = rand_r(seed) % 2 * 40;
		break;
	case 14:
		s->empty_cache = !s->empty_cache;
		break;
	default:
		s->deadline = rand_r(seed) % 2 * 30.0;
	}
}

static void submit_one(unsigned *seed)
{
	uint32_t id = (uint32_t)rand_r(seed) % PICTURES;

	engine_submit(bench.engine, id, bench_path(&bench, id), (enum engine_priority)(rand_r(seed) % 3), ENGINE_ANSWERS);
}

/* Something ends while anything is pending: the engine is alive. */
static void await_an_end(void)
{
	int before = ranked + failed + cancelled;
	struct engine_status status;
	time_t begin = time(NULL);

	do {
		bench_take(&bench);
		engine_status(bench.engine, &status);
		if (time(NULL) > begin + 120)
			fail_msg("%d pictures are pending and none ends", status.pending);
	} while (status.pending && ranked + failed + cancelled == before);
}

/* With good settings all comes right again. */
static void check_all_is_well(void)
{
	struct engine_settings good = engine_settings_default(DEVICE_CPU);
	struct memory_reading reading;
	struct engine_status status;

	good.beams = 1;
	bench_await_quiet(&bench);
	assert_int_equal(engine_set_settings(bench.engine, &good, NULL), 0);
	engine_set_labels(bench.engine, bench_labels, 3, 0);
	all_labels = true;
	bench_await_quiet(&bench);
	memset(bench.of, 0, sizeof bench.of);
	for (int i = 0; i < PICTURES; i++)
		bench_submit(&bench, (uint32_t)i, ENGINE_BACKGROUND, ENGINE_ANSWERS);
	bench_await_quiet(&bench);
	for (int i = 0; i < PICTURES; i++)
		if (bench.of[i][EV_RANKING] != 1 || bench.of[i][EV_VERDICTS] != 1)
			fail_msg("picture %d: %d rankings, %d verdicts: %s", i, bench.of[i][EV_RANKING], bench.of[i][EV_VERDICTS], bench.last_error);
	bench_check_sums(&bench);
	engine_status(bench.engine, &status);
	assert_int_equal(status.ladder.steps, 0);
	assert_int_equal(wrong, 0);
	engine_destroy(bench.engine);
	bench.engine = NULL;
	for (int device = DEVICE_CPU; device < 2; device++) {
		fake_library.memory(device, &reading);
		assert_int_equal(reading.used, 0);
	}
}

static void test_settings_change_ten_thousand_times(void **state)
{
	unsigned seed = 20261122;
	struct engine_status status;

	for (int i = 0; i < CHANGES; i++) {
		struct engine_settings settings = engine_get_settings(bench.engine);
		struct error err;

		change_one(&settings, &seed);
		if (engine_set_settings(bench.engine, &settings, &err) < 0)
			fail_msg("%s", err.text);
		submit_one(&seed);
		if (i % 16 == 0)
			await_an_end();
		bench_take(&bench);
	}
	bench_await_quiet(&bench);
	engine_status(bench.engine, &status);
	/* No labels changed, so each picture that was submitted ended exactly once. */
	assert_int_equal(status.submitted, ranked + failed + cancelled);
	assert_int_equal(cancelled, 0);
	assert_true(ranked > CHANGES / 32);
	check_all_is_well();
}

static void test_settings_change_with_cancels_labels_and_undoing(void **state)
{
	unsigned seed = 7;

	all_labels = false;
	for (int i = 0; i < CHANGES / 2; i++) {
		struct engine_settings settings = engine_get_settings(bench.engine);

		change_one(&settings, &seed);
		assert_int_equal(engine_set_settings(bench.engine, &settings, NULL), 0);
		submit_one(&seed);
		if (rand_r(&seed) % 8 == 0)
			engine_cancel(bench.engine, (uint32_t)rand_r(&seed) % PICTURES);
		if (rand_r(&seed) % 200 == 0)
			engine_cancel_all(bench.engine);
		if (rand_r(&seed) % 64 == 0)
			engine_set_labels(bench.engine, bench_labels, rand_r(&seed) % 4, (uint32_t)rand_r(&seed) % PICTURES);
		if (rand_r(&seed) % 32 == 0)
			engine_undo_ladder(bench.engine);
		if (rand_r(&seed) % 400 == 0)
			engine_forget(bench.engine);
		if (i % 16 == 0)
			await_an_end();
		bench_take(&bench);
	}
	check_all_is_well();
}

static void test_a_device_breaks_while_settings_change(void **state)
{
	unsigned seed = 3;
	struct engine_status status;

	for (int i = 0; i < 600; i++) {
		struct engine_settings settings = engine_get_settings(bench.engine);

		change_one(&settings, &seed);
		settings.cap = settings.cap_percent = 0;
		assert_int_equal(engine_set_settings(bench.engine, &settings, NULL), 0);
		submit_one(&seed);
		if (i == 300) {
			fake_lock();
			fake.break_device = true;
			fake_unlock();
		}
		if (i % 8 == 0)
			await_an_end();
		bench_take(&bench);
	}
	bench_await_quiet(&bench);
	assert_int_equal(failed, 0);
	assert_int_equal(wrong, 0);
	engine_status(bench.engine, &status);
	assert_int_equal(status.submitted, ranked);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_settings_change_ten_thousand_times, setup, teardown),
		cmocka_unit_test_setup_teardown(test_settings_change_with_cancels_labels_and_undoing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_device_breaks_while_settings_change, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
