/* The ladder's arithmetic: every combination of what can be given up, the sizes, the precisions, the line that tells. */
#include "core/ladder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

/* What bit k of a combination stands for, in the order of the steps. */
enum { CACHED = 1, BATCH = 2, IMAGE = 4, LOWER = 8, EVICT = 16, CPU = 32, COMBINATIONS = 64 };

static struct ladder_state state_of(int can)
{
	struct ladder_state s = {.cached = can & CACHED ? 1 : 0, .batch = can & BATCH ? 9 : 1};

	s.image_own = s.image_size = 480;
	s.image_step = can & IMAGE ? 16 : 0;
	s.lower = can & LOWER ? PRECISION_FP16 : PRECISION_AUTO;
	s.can_evict = can & EVICT;
	s.can_cpu = can & CPU;
	return s;
}

static void test_the_first_that_can_be_given_up_is_next(void **state)
{
	static const enum ladder_step order[] = {LADDER_TRIM, LADDER_BATCH, LADDER_IMAGE, LADDER_PRECISION, LADDER_EVICT, LADDER_CPU};

	for (int can = 0; can < COMBINATIONS; can++) {
		struct ladder_state s = state_of(can);
		struct ladder_move move;
		int first = 0;

		while (first < 6 && !(can >> first & 1))
			first++;
		assert_int_equal(ladder_next(&s, &move), first < 6);
		if (first == 6)
			continue;
		assert_int_equal(move.step, order[first]);
		if (move.step == LADDER_BATCH)
			assert_int_equal(move.batch, 5);
		if (move.step == LADDER_IMAGE)
			assert_int_equal(move.image_size, 352);
		if (move.step == LADDER_PRECISION)
			assert_int_equal(move.precision, PRECISION_FP16);
	}
}

static void test_without_a_run_neither_batch_nor_image_shrink(void **state)
{
	for (int can = 0; can < COMBINATIONS; can++) {
		struct ladder_state s = state_of(can);
		struct ladder_move move;

		s.batch = 0;
		assert_int_equal(ladder_next(&s, &move), (can & ~(BATCH | IMAGE)) != 0);
		assert_false((can & ~(BATCH | IMAGE)) && (move.step == LADDER_BATCH || move.step == LADDER_IMAGE));
	}
}

/* Whatever there is at the beginning, giving it up comes to an end, and each step is taken in its order. */
static void test_the_ladder_ends(void **state)
{
	for (int can = 0; can < COMBINATIONS; can++) {
		struct ladder_state s = state_of(can);
		struct ladder_move move;
		int steps = 0, last = LADDER_TRIM;

		s.batch = can & BATCH ? 256 : 1;
		while (ladder_next(&s, &move)) {
			assert_true((int)move.step >= last);
			last = (int)move.step;
			if (move.step == LADDER_TRIM)
				s.cached = 0;
			else if (move.step == LADDER_BATCH)
				assert_in_range(move.batch, 1, (s.batch + 1) / 2), s.batch = move.batch;
			else if (move.step == LADDER_IMAGE)
				assert_in_range(move.image_size, 240, s.image_size - 1), s.image_size = move.image_size;
			else if (move.step == LADDER_PRECISION)
				s.lower = PRECISION_AUTO;
			else if (move.step == LADDER_EVICT)
				s.can_evict = false;
			else
				s.can_cpu = false;
			assert_true(++steps <= 1 + 8 + 2 + 1 + 1 + 1);
		}
	}
}

static void test_image_sizes(void **state)
{
	assert_int_equal(ladder_image(0, 480, 16), 352); /* three quarters, 360, are no multiple of 16 */
	assert_int_equal(ladder_image(352, 480, 16), 240);
	assert_int_equal(ladder_image(240, 480, 16), 0);
	assert_int_equal(ladder_image(96, 480, 16), 0);
	assert_int_equal(ladder_image(672, 480, 16), 544);
	assert_int_equal(ladder_image(480, 480, 0), 0);
	assert_int_equal(ladder_image(0, 0, 16), 0);
	assert_int_equal(ladder_image(64, 64, 64), 0); /* no size between half and whole */
	for (int own = 16; own <= 1024; own += 16)
		for (int step = 1; step <= 64; step *= 2)
			for (int size = own, next, n = 0; (next = ladder_image(size, own, step)); size = next) {
				assert_true(next < size && next % step == 0 && 2 * next >= own);
				assert_true(++n <= LADDER_PARTS);
			}
}

static void test_precisions(void **state)
{
	assert_int_equal(ladder_precision(PRECISION_FP32, true, true), PRECISION_BF16);
	assert_int_equal(ladder_precision(PRECISION_FP32, false, true), PRECISION_FP16);
	assert_int_equal(ladder_precision(PRECISION_FP32, false, false), PRECISION_AUTO);
	assert_int_equal(ladder_precision(PRECISION_AUTOCAST, true, false), PRECISION_BF16);
	assert_int_equal(ladder_precision(PRECISION_AUTO, false, true), PRECISION_FP16);
	assert_int_equal(ladder_precision(PRECISION_BF16, true, true), PRECISION_AUTO);
	assert_int_equal(ladder_precision(PRECISION_FP16, true, true), PRECISION_AUTO);
}

static void check_line(const struct ladder_line *line, const char *expected)
{
	char *text = ladder_text(line);

	assert_string_equal(text, expected);
	free(text);
}

static void test_lines_name_what_was_before_and_after(void **state)
{
	struct ladder_line line = {.who = "captions", .step = LADDER_BATCH, .batch = 8, .items = "pictures", .from = "8", .to = "4"};

	line.before = (struct memory_reading){.used = 1230000000, .cached = 100000000, .cap = 2000000000};
	line.after = (struct memory_reading){.used = 900000000};
	check_line(&line,
		   "captions: out of memory with 8 pictures: batch 8 to 4 (1.15 GiB in use, 95.4 MiB cached, cap 1.86 GiB; then 858.3 MiB in use, "
		   "0.0 MiB cached)");
	line = (struct ladder_line){.who = "verdicts", .step = LADDER_EVICT, .from = "scores"};
	line.before.used = 5000000;
	check_line(&line, "verdicts: evicted scores (4.8 MiB in use, 0.0 MiB cached; then 0.0 MiB in use, 0.0 MiB cached)");
	line.step = LADDER_TRIM;
	line.from = NULL;
	line.before = line.after;
	check_line(&line, "verdicts: the cache is emptied (0.0 MiB in use, 0.0 MiB cached; then 0.0 MiB in use, 0.0 MiB cached)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_first_that_can_be_given_up_is_next),
		cmocka_unit_test(test_without_a_run_neither_batch_nor_image_shrink),
		cmocka_unit_test(test_the_ladder_ends),
		cmocka_unit_test(test_image_sizes),
		cmocka_unit_test(test_precisions),
		cmocka_unit_test(test_lines_name_what_was_before_and_after),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
