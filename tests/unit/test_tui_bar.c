/* test_tui_bar.c - a bar's cells: every part seen, nothing beyond the width, what is left over to what is free. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "tui/draw.h"

#include <cmocka.h>

static int sum(const int *cells, int n)
{
	int total = 0;

	for (int i = 0; i < n; i++)
		total += cells[i];
	return total;
}

static void shares_are_rounded(void **state)
{
	const struct bar_part part[] = {{50, ROLE_WEIGHTS, BAR_SOLID, "1"},
					{24, ROLE_CACHE, BAR_CACHE, NULL},
					{16, ROLE_FREE, BAR_FREE, NULL},
					{10, ROLE_OTHERS, BAR_OTHERS, NULL}};
	int cells[BAR_PARTS];

	draw_shares(part, 4, 100, 20, cells);
	assert_int_equal(cells[0], 10);
	assert_int_equal(cells[1], 5);
	assert_int_equal(cells[2], 3);
	assert_int_equal(cells[3], 2);
}

static void the_smallest_is_seen(void **state)
{
	const struct bar_part part[] = {{1, ROLE_WEIGHTS, BAR_SOLID, "1"}, {0, ROLE_KV, BAR_SOLID, "k"}, {1000000, ROLE_FREE, BAR_FREE, NULL}};
	int cells[BAR_PARTS];

	draw_shares(part, 3, 1000001, 10, cells);
	assert_int_equal(cells[0], 1);
	assert_int_equal(cells[1], 0);
	assert_int_equal(cells[2], 9);
}

static void any_values_fill_the_width(void **state)
{
	srand(11);
	for (int round = 0; round < 20000; round++) {
		struct bar_part part[6] = {{0}};
		int64_t total = rand() % 5000;
		int cells[BAR_PARTS], width = 1 + rand() % 60;

		for (int i = 0; i < 6; i++) {
			part[i].value = rand() % 3 ? rand() % 2000 - 50 : 0;
			part[i].fill = i == 4 ? BAR_FREE : BAR_SOLID;
		}
		draw_shares(part, 6, total, width, cells);
		assert_int_equal(sum(cells, 6), width);
		for (int i = 0; i < 6; i++)
			assert_true(cells[i] >= 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shares_are_rounded),
		cmocka_unit_test(the_smallest_is_seen),
		cmocka_unit_test(any_values_fill_the_width),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
