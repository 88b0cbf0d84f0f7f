/* test_fit.c - the search for the largest batch: every threshold, every guess, exact and within its steps. */
#include "core/engine.h"
#include "core/fit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <limits.h>

static int log2_floor(int n)
{
	return n > 1 ? 1 + log2_floor(n / 2) : 0;
}

/* Runs a search where sizes up to truth fit. Each size is tried once, nothing is returned that did not run. */
static int search(int max, int guess, int truth)
{
	struct fit f = fit_begin(max, guess);
	bool ran[ENGINE_MAX_BATCH + 2] = {false}, tried[ENGINE_MAX_BATCH + 2] = {false};
	int batch, tries = 0;

	while ((batch = fit_next(&f))) {
		if (batch < 1 || batch > max || tried[batch])
			fail_msg("max %d, guess %d, truth %d: tries %d", max, guess, truth, batch);
		assert_int_equal(fit_next(&f), batch);
		assert_int_equal(fit_tries_done(&f), tries);
		tried[batch] = true;
		ran[batch] = batch <= truth;
		fit_answer(&f, ran[batch]);
		tries++;
	}
	assert_int_equal(f.state, FIT_DONE);
	assert_int_equal(fit_tries_done(&f), tries);
	if (tries > log2_floor(max) + 1 || fit_batch(&f) != truth)
		fail_msg("max %d, guess %d: %d tries find %d, not %d", max, guess, tries, fit_batch(&f), truth);
	if (truth)
		assert_true(ran[fit_batch(&f)]);
	return tries;
}

static void every_threshold_and_guess_of_small_ranges(void **state)
{
	for (int max = 1; max <= 70; max++)
		for (int guess = -1; guess <= max + 2; guess++)
			for (int truth = 0; truth <= max; truth++)
				search(max, guess, truth);
}

static void every_threshold_and_guess_of_the_largest(void **state)
{
	static const int maxima[] = {127, 128, 255, ENGINE_MAX_BATCH};

	for (int i = 0; i < 4; i++)
		for (int guess = 0; guess <= maxima[i] + 1; guess++)
			for (int truth = 0; truth <= maxima[i]; truth++)
				search(maxima[i], guess, truth);
}

static void absurd_guesses(void **state)
{
	for (int truth = 0; truth <= 100; truth++) {
		search(100, INT_MAX, truth);
		search(100, INT_MIN, truth);
	}
}

/* A good guess saves tries: seven and nine would be needed without. */
static void a_right_guess_is_short(void **state)
{
	assert_int_equal(search(64, 64, 64), 1);
	assert_true(search(64, 32, 32) <= 3);
	assert_true(search(ENGINE_MAX_BATCH, 128, 128) <= 3);
	assert_true(search(64, 40, 39) <= 5);
}

static void the_first_try_is_the_guess(void **state)
{
	struct fit f = fit_begin(ENGINE_MAX_BATCH, 20);

	/* 257 outcomes within 9 tries leave room for any first one. */
	assert_int_equal(fit_next(&f), 20);
	f = fit_begin(ENGINE_MAX_BATCH, 256);
	assert_int_equal(fit_next(&f), 256);
}

static void cancelling_keeps_the_old_setting(void **state)
{
	struct fit f = fit_begin(64, 8);

	fit_answer(&f, true);
	assert_int_equal(f.state, FIT_TRYING);
	assert_int_equal(fit_setting(&f, 5), 5);
	fit_cancel(&f);
	assert_int_equal(f.state, FIT_CANCELLED);
	assert_int_equal(fit_next(&f), 0);
	assert_int_equal(fit_setting(&f, 5), 5);
	assert_int_equal(fit_batch(&f), 8);
	/* An answer that comes late changes nothing. */
	fit_answer(&f, true);
	assert_int_equal(fit_tries_done(&f), 1);
	assert_int_equal(fit_setting(&f, 5), 5);
}

static void a_finished_one_is_not_cancelled(void **state)
{
	struct fit f = fit_begin(1, 1);

	fit_answer(&f, true);
	fit_cancel(&f);
	assert_int_equal(f.state, FIT_DONE);
	assert_int_equal(fit_setting(&f, 7), 1);
}

static void not_even_one(void **state)
{
	struct fit f = fit_begin(0, 12);

	assert_int_equal(fit_next(&f), 1);
	fit_answer(&f, false);
	assert_int_equal(f.state, FIT_DONE);
	assert_int_equal(fit_batch(&f), 0);
	assert_int_equal(fit_setting(&f, 4), 4);
}

struct asked {
	int truth, times;
};

static bool fits(void *ctx, int batch)
{
	struct asked *a = ctx;

	a->times++;
	return batch <= a->truth;
}

static void the_guess_is_bisected(void **state)
{
	for (int max = 1; max <= ENGINE_MAX_BATCH; max += max < 20 ? 1 : 59)
		for (int truth = 0; truth <= max; truth++) {
			struct asked a = {.truth = truth};

			assert_int_equal(fit_guess(max, fits, &a), truth);
			assert_true(a.times <= log2_floor(max) + 1);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_threshold_and_guess_of_small_ranges),
		cmocka_unit_test(every_threshold_and_guess_of_the_largest),
		cmocka_unit_test(absurd_guesses),
		cmocka_unit_test(a_right_guess_is_short),
		cmocka_unit_test(the_first_try_is_the_guess),
		cmocka_unit_test(cancelling_keeps_the_old_setting),
		cmocka_unit_test(a_finished_one_is_not_cancelled),
		cmocka_unit_test(not_even_one),
		cmocka_unit_test(the_guess_is_bisected),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
