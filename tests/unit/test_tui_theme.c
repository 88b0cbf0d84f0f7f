/* test_tui_theme.c - theme files and colour pairs, on a curses that writes to /dev/null. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "tests/support/data.h"
#include "tui/colour.h"
#include "tui/theme.h"

#include <cmocka.h>

static int start_curses(void **state)
{
	FILE *sink = fopen("/dev/null", "r+");

	assert_non_null(sink);
	assert_non_null(newterm("xterm-256color", sink, sink));
	start_color();
	use_default_colors();
	colour_set_range(256);
	return 0;
}

static struct theme *load(const char *text, struct error *err)
{
	char *path = data_file(text, strlen(text));
	struct theme *t = theme_load(path, err);

	data_remove(path);
	return t;
}

/* Pairs are shared: that of the same colours is the same. */
static void check_role(const struct theme *t, enum theme_role role, attr_t attr, int foreground, int background)
{
	int pair = 0, wanted = colour_pair(foreground, background);
	attr_t now = 0;
	short low = 0;

	theme_set(t, stdscr, role);
	wattr_get(stdscr, &now, &low, &pair);
	assert_int_equal(now & ~A_COLOR, attr);
	assert_true(wanted > 0);
	assert_int_equal(pair, wanted);
	colour_free(wanted);
}

static void a_theme_is_read(void **state)
{
	struct error err;
	struct theme *t =
		load("# comment\n\ntext = #ffffff on #102030\n  title=red bold underline  \nselection = default on bright-blue reverse\r\n", &err);

	assert_non_null(t);
	check_role(t, ROLE_TEXT, A_NORMAL, 0xffffff, 0x102030);
	check_role(t, ROLE_TITLE, A_BOLD | A_UNDERLINE, colour_palette[1], 0x102030); /* the text's background */
	check_role(t, ROLE_SELECTION, A_REVERSE, -1, colour_palette[12]);
	theme_free(t);
}

static void check_bad(const char *text, const char *says)
{
	struct error err;

	assert_null(load(text, &err));
	if (!strstr(err.text, says))
		fail_msg("\"%s\" does not say \"%s\"", err.text, says);
}

static void bad_lines_are_named(void **state)
{
	check_bad("text = default\ntitel = red\n", ":2: unknown role \"titel\"");
	check_bad("title red\n", ":1: \"title red\" is not");
	check_bad("title = reddish\n", "\"reddish\" is neither a colour");
	check_bad("title = #12345g\n", "\"#12345g\" is neither");
	check_bad("title = red on blue green\n", "\"green\" is neither");
}

static void missing_themes_are_named(void **state)
{
	struct error err;

	assert_null(theme_load("no-such-theme", &err));
	assert_non_null(strstr(err.text, "no theme \"no-such-theme\""));
	assert_null(theme_load("/no/such.theme", &err));
	assert_non_null(strstr(err.text, "/no/such.theme: No such file"));
}

static void bundled_themes_are_complete(void **state)
{
	static const char *const names[] = {"themes/dark.theme", "themes/ember.theme", "themes/light.theme", "themes/mono.theme",
					    "themes/phosphor.theme"};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		struct error err;
		struct theme *t = theme_load(names[i], &err);

		if (!t)
			fail_msg("%s", err.text);
		theme_free(t);
	}
}

static void pairs_are_shared_and_counted(void **state)
{
	int a = colour_pair(0xff0000, 0x0000ff), b = colour_pair(0xff0000, 0x0000ff), c = colour_pair(0x00ff00, -1);

	assert_true(a > 0 && c > 0);
	assert_int_equal(a, b);
	assert_int_not_equal(a, c);
	assert_int_equal(colour_pair(-1, -1), 0);
	colour_free(a);
	assert_int_equal(colour_pair(0xff0000, 0x0000ff), a); /* still in use */
	colour_free(a);
	colour_free(a);
	colour_free(c);
	colour_free(0);
}

/* As picture after picture does it, in direct colour: a million pairs, of which two pictures' worth are held at a time. */
static void pairs_are_never_used_up(void **state)
{
	enum { HELD = 5000, PICTURES = 200 };
	int *pair = xcalloc(2 * HELD, sizeof *pair), kept = colour_pair(0x123456, 0x654321);
	short foreground, background;

	colour_set_range(1 << 24);
	for (int picture = 0; picture < PICTURES; picture++) {
		int *mine = pair + picture % 2 * HELD;

		for (int i = 0; i < HELD; i++) {
			colour_free(mine[i]);
			mine[i] = colour_pair(picture * HELD + i, i);
			assert_true(mine[i] > 0 && mine[i] < COLOR_PAIRS);
		}
	}
	for (int i = 0; i < 2 * HELD; i++)
		colour_free(pair[i]);
	colour_set_range(256);
	assert_int_equal(colour_pair(0x123456, 0x654321), kept);
	assert_int_equal(pair_content((short)kept, &foreground, &background), OK);
	free(pair);
}

static void named_colours_stay_apart_from_the_background(void **state)
{
	int dark, light;

	colour_set_range(16);
	dark = colour_pair(0x30363d, -1);  /* a dark theme's frame */
	light = colour_pair(0xafb8c1, -1); /* a light theme's */
	assert_true(dark > 0);
	assert_int_equal(dark, light);                  /* bright black, which shows on both */
	assert_int_equal(colour_pair(0xf0f6fc, -1), 0); /* nearly white: the terminal's own */
	assert_true(colour_pair(0x111111, 0x000000) > 0);
	colour_set_range(256);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_theme_is_read),
		cmocka_unit_test(bad_lines_are_named),
		cmocka_unit_test(missing_themes_are_named),
		cmocka_unit_test(bundled_themes_are_complete),
		cmocka_unit_test(pairs_are_shared_and_counted),
		cmocka_unit_test(pairs_are_never_used_up),
		cmocka_unit_test(named_colours_stay_apart_from_the_background),
	};

	return cmocka_run_group_tests(tests, start_curses, NULL);
}
