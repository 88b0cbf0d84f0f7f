/* test_tui_preview.c - pictures to cells on the worker thread, and cells to a window, on a curses that writes to /dev/null. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "tui/colour.h"
#include "tui/glyphs.h"
#include "tui/preview.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static const struct terminal direct = {.colour = COLOUR_DIRECT, .utf8 = true, .background = -1, .cell_aspect = 0.5};

static int start_curses(void **state)
{
	FILE *sink = fopen("/dev/null", "r+");

	assert_non_null(sink);
	assert_non_null(newterm("xterm-256color", sink, sink));
	start_color();
	use_default_colors();
	colour_set_range(1 << 24);
	return 0;
}

/* Left half one colour, right half another. */
static struct image two_colours(int width, int height, int left, int right)
{
	struct image image = {width, height, xmalloc((size_t)(width * height * 3))};

	for (int i = 0; i < width * height; i++) {
		int colour = i % width < width / 2 ? left : right;

		image.rgb[i * 3] = (uint8_t)(colour >> 16);
		image.rgb[i * 3 + 1] = (uint8_t)(colour >> 8);
		image.rgb[i * 3 + 2] = (uint8_t)colour;
	}
	return image;
}

/* Fits aspect and colours: 2:1 pixels in cells of 1:2 take four times as many columns as rows. */
static void glyphs_keep_aspect_and_colour(void **state)
{
	struct painter *painter = painter_create(&direct);
	struct image image = two_colours(200, 100, 0xff0000, 0x0000ff);
	struct glyphs g = glyphs_paint(painter, &image, 80, 40);
	const struct glyph *left = &g.cell[g.columns * (g.rows / 2)], *right = left + g.columns - 1;

	assert_int_equal(g.columns, 80);
	assert_int_equal(g.rows, 20);
	assert_true(left->background == 0xff0000 || left->foreground == 0xff0000);
	assert_true(right->background == 0x0000ff || right->foreground == 0x0000ff);
	free(g.cell);
	g = glyphs_paint(painter, &image, 200, 5);
	assert_true(g.rows == 5 && g.columns == 20);
	free(g.cell);
	image_free(&image);
	painter_destroy(painter);
}

static void glyphs_of_extreme_shapes(void **state)
{
	static const int shapes[][2] = {{1, 1}, {1, 1000}, {1000, 1}};
	struct painter *painter = painter_create(&direct);

	for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
		for (int box = 1; box < 50; box += 16) {
			struct image image = two_colours(shapes[i][0], shapes[i][1], 0x102030, 0x405060);
			struct glyphs g = glyphs_paint(painter, &image, box, box);

			assert_in_range(g.columns, 1, box);
			assert_in_range(g.rows, 1, box);
			free(g.cell);
			image_free(&image);
		}
	painter_destroy(painter);
}

static void ascii_terminals_get_ascii(void **state)
{
	static const struct terminal plain = {.colour = COLOUR_MONO, .background = -1, .cell_aspect = 0.5};
	struct painter *painter = painter_create(&plain);
	struct image image = two_colours(64, 64, 0xffffff, 0x000000);
	struct glyphs g = glyphs_paint(painter, &image, 20, 20);

	for (int i = 0; i < g.columns * g.rows; i++) {
		assert_in_range(g.cell[i].code, 32, 126);
		assert_int_equal(g.cell[i].foreground, -1);
		assert_int_equal(g.cell[i].background, -1);
	}
	free(g.cell);
	image_free(&image);
	painter_destroy(painter);
}

static void collect(struct preview *p)
{
	struct pollfd fd = {preview_fd(p), POLLIN, 0};

	assert_int_equal(poll(&fd, 1, 20000), 1);
	assert_true(preview_collect(p));
}

static void the_old_picture_stays(void **state)
{
	struct error err;
	struct preview *p = preview_create(&direct, &err);

	assert_non_null(p);
	assert_int_equal(preview_draw(p, stdscr, 0, 0, 20, 10), -1);
	assert_false(preview_has(p, 7));
	preview_request(p, 7, 20, 10); /* unknown: nothing happens */
	preview_put(p, 7, two_colours(40, 40, 0xff0000, 0xff0000));
	preview_put(p, 8, two_colours(40, 40, 0x00ff00, 0x00ff00));
	assert_true(preview_has(p, 7));
	preview_request(p, 7, 20, 10);
	collect(p);
	assert_int_equal(preview_draw(p, stdscr, 0, 0, 20, 10), 7);
	preview_request(p, 8, 20, 10);
	assert_int_equal(preview_draw(p, stdscr, 0, 0, 10, 5), 7); /* until the new one is ready, in a smaller box, too */
	collect(p);
	assert_int_equal(preview_draw(p, stdscr, 0, 0, 20, 10), 8);
	preview_request(p, 7, 20, 10); /* kept: at once */
	assert_int_equal(preview_draw(p, stdscr, 0, 0, 20, 10), 7);
	/* A picture that is handed over again is converted again. */
	preview_put(p, 7, two_colours(40, 40, 0x0000ff, 0x0000ff));
	preview_request(p, 7, 20, 10);
	collect(p);
	assert_int_equal(preview_draw(p, stdscr, 0, 0, 20, 10), 7);
	preview_destroy(p);
}

/* Far more than is kept; the newest are there, and nothing leaks or is used after it was freed (the sanitizers look). */
static void old_pictures_are_forgotten(void **state)
{
	enum { SIDE = 1200, PICTURES = 60 };
	struct error err;
	struct preview *p = preview_create(&direct, &err);

	for (uint32_t id = 0; id < PICTURES; id++) {
		preview_put(p, id, two_colours(SIDE, SIDE, (int)id, 0xffffff));
		preview_request(p, id, 10 + (int)id % 3, 10);
		preview_collect(p);
		preview_draw(p, stdscr, 0, 0, 12, 10);
	}
	assert_false(preview_has(p, 0));
	assert_true(preview_has(p, PICTURES - 1));
	preview_destroy(p); /* with work on its way */
	preview_destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(glyphs_keep_aspect_and_colour), cmocka_unit_test(glyphs_of_extreme_shapes),
		cmocka_unit_test(ascii_terminals_get_ascii),     cmocka_unit_test(the_old_picture_stays),
		cmocka_unit_test(old_pictures_are_forgotten),
	};

	return cmocka_run_group_tests(tests, start_curses, NULL);
}
