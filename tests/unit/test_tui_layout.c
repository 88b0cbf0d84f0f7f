/* test_tui_layout.c - panels at every size: inside the screen, never overlapping, filling it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "tui/layout.h"

enum { MOST_ROWS = 80, MOST_COLUMNS = 240 };

static char taken[MOST_ROWS][MOST_COLUMNS];

static void fill(const struct rect *r, int panel, int rows, int columns)
{
	assert_true(r->top >= 0 && r->left >= 0 && r->width > 0 && r->top + r->height <= rows && r->left + r->width <= columns);
	for (int y = r->top; y < r->top + r->height; y++)
		for (int x = r->left; x < r->left + r->width; x++) {
			assert_int_equal(taken[y][x], 0);
			taken[y][x] = (char)(1 + panel);
		}
}

static void every_size_is_covered_once(void **state)
{
	for (int rows = LAYOUT_MIN_ROWS; rows <= MOST_ROWS; rows++)
		for (int columns = LAYOUT_MIN_COLUMNS; columns <= MOST_COLUMNS; columns += 3) {
			struct layout l = layout_compute(rows, columns);

			assert_false(l.too_small);
			memset(taken, 0, sizeof taken);
			for (int i = 0; i < PANELS; i++)
				if (l.panel[i].height)
					fill(&l.panel[i], i, rows, columns);
			for (int y = 0; y < rows; y++)
				for (int x = 0; x < columns; x++) {
					assert_int_not_equal(taken[y][x], 0);
					assert_int_equal(layout_at(&l, y, x), taken[y][x] - 1);
				}
		}
}

static void small_screens_are_refused(void **state)
{
	assert_true(layout_compute(LAYOUT_MIN_ROWS - 1, 200).too_small);
	assert_true(layout_compute(200, LAYOUT_MIN_COLUMNS - 1).too_small);
	assert_true(layout_compute(0, 0).too_small);
	assert_true(layout_compute(1, 1).too_small);
}

static void panels_go_in_order(void **state)
{
	struct layout wide = layout_compute(36, 120), narrow = layout_compute(24, 70), low = layout_compute(18, 120);

	assert_true(wide.panel[PANEL_BROWSER].height > 0);
	assert_false(wide.compact);
	assert_int_equal(narrow.panel[PANEL_BROWSER].height, 0); /* the list goes where it is narrow */
	assert_true(low.compact);                                /* the frames below go where it is low */
	assert_int_equal(low.panel[PANEL_MEMORY].height, 1);
	assert_int_equal(low.panel[PANEL_CONTROLS].height, 1);
	assert_int_equal(layout_at(&wide, -1, 0), -1);
	assert_int_equal(layout_at(&wide, 36, 0), -1);
}

static void the_picture_has_the_most_room(void **state)
{
	for (int columns = 80; columns <= MOST_COLUMNS; columns++) {
		struct layout l = layout_compute(40, columns);

		assert_true(l.panel[PANEL_PICTURE].width >= 28);
		assert_true(l.panel[PANEL_PICTURE].width >= l.panel[PANEL_BROWSER].width);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_size_is_covered_once),
		cmocka_unit_test(small_screens_are_refused),
		cmocka_unit_test(panels_go_in_order),
		cmocka_unit_test(the_picture_has_the_most_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
