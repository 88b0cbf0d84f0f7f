/* test_terminals.c - terminals of all kinds: how many colours, which symbols, how large; and those that cannot show a screen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/browse.h"
#include "tests/support/data.h"

struct look {
	const char *const *env;
	char *const *arguments;
	const char *description;        /* in the help's last line */
	bool coloured, direct, indexed; /* colours of pictures: any, 38;2;…, 38;5;… */
};

static bool sees_picture(struct pty *p, const void *ctx)
{
	return pty_cell_is_coloured(p, 12, 50);
}

static void check_look(const struct look *look)
{
	struct browse b;

	browse_start(&b, 36, 120, NULL, look->arguments, look->env);
	pty_wait_text(b.pty, "mostly blue");
	if (look->coloured)
		pty_wait(b.pty, sees_picture, NULL, "a coloured picture");
	pty_type(b.pty, "?");
	pty_wait_text(b.pty, look->description);
	assert_int_equal(strstr(pty_output(b.pty), ";2;16;32;192") != NULL, look->direct);
	assert_int_equal(strstr(pty_output(b.pty), "8;5;") != NULL, look->indexed);
	assert_int_equal(pty_has_colour(b.pty), look->coloured);
	pty_type(b.pty, "?");
	pty_wait_no_text(b.pty, look->description);
	browse_end(&b);
}

static void true_colour_by_environment(void **state)
{
	check_look(&(struct look){(const char *[]){"COLORTERM=truecolor", NULL}, NULL, "xterm-256color, true colour", true, true, false});
}

static void true_colour_by_asking(void **state)
{
	/* The emulator repeats the colour that it was told, which proves it. */
	check_look(&(struct look){NULL, NULL, "xterm-256color, true colour", true, true, false});
}

static void colours_256(void **state)
{
	check_look(&(struct look){NULL, (char *[]){"--colour", "256", NULL}, "256 colours", true, false, true});
}

static void colours_16(void **state)
{
	check_look(&(struct look){NULL, (char *[]){"--colour", "16", NULL}, "16 colours", true, false, false});
}

static void colours_8(void **state)
{
	check_look(&(struct look){(const char *[]){"TERM=linux", NULL}, NULL, "linux, 8 colours", true, false, false});
}

static void no_colours(void **state)
{
	check_look(&(struct look){(const char *[]){"NO_COLOR=1", NULL}, NULL, "no colour", false, false, false});
	check_look(&(struct look){(const char *[]){"TERM=vt100", NULL}, NULL, "vt100, no colour", false, false, false});
}

static void no_unicode(void **state)
{
	struct browse b;

	browse_start(&b, 36, 120, NULL, NULL, (const char *[]){"LANG=C", NULL});
	pty_wait_text(b.pty, "mostly blue");
	pty_wait_text(b.pty, "+ pictures ---");
	pty_wait_text(b.pty, "#####");
	for (const char *s = pty_output(b.pty); *s; s++)
		assert_true((unsigned char)*s < 128);
	browse_end(&b);
}

static void screen_and_tmux_entries(void **state)
{
	check_look(&(struct look){(const char *[]){"TERM=screen-256color", NULL}, (char *[]){"--colour", "256", NULL}, "screen-256color", true, false,
				  true});
	check_look(&(struct look){(const char *[]){"TERM=tmux-256color", "TMUX=/tmp/x,1,0", NULL}, NULL, "256 colours, in tmux", true, false, true});
}

static void too_small(void **state)
{
	struct browse b;

	browse_start(&b, 5, 20, NULL, NULL, NULL);
	pty_wait_text(b.pty, "needs 60x16");
	pty_resize(b.pty, 24, 80);
	pty_wait_text(b.pty, "mostly blue");
	pty_resize(b.pty, 1, 1);
	pty_resize(b.pty, 4, 30);
	pty_wait_text(b.pty, "needs 60x16");
	browse_end(&b);
}

/* What the program says where it cannot run; it must not have touched the terminal. */
static void check_refusal(const char *variable, const char *says)
{
	struct browse b;

	browse_start(&b, 24, 80, NULL, NULL, (const char *[]){variable, NULL});
	pty_wait_text(b.pty, says);
	assert_null(strchr(pty_output(b.pty), '\033'));
	assert_int_equal(pty_finish(b.pty, NULL), 2);
	data_remove_dir(b.dir);
}

static void no_screen_possible(void **state)
{
	check_refusal("TERM=dumb", "TERM=dumb cannot show a screen");
	check_refusal("TERM=", "cannot show a screen");
	check_refusal("TERM=no-such-terminal", "TERM=no-such-terminal is not known");
}

static void no_terminal(void **state)
{
	char *argv[] = {(char *)pty_program(), "/", NULL}, *err;

	assert_int_equal(pty_capture(argv, NULL, 0, NULL, &err), 2);
	assert_non_null(strstr(err, "needs a terminal"));
	free(err);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(true_colour_by_environment),
		cmocka_unit_test(true_colour_by_asking),
		cmocka_unit_test(colours_256),
		cmocka_unit_test(colours_16),
		cmocka_unit_test(colours_8),
		cmocka_unit_test(no_colours),
		cmocka_unit_test(no_unicode),
		cmocka_unit_test(screen_and_tmux_entries),
		cmocka_unit_test(too_small),
		cmocka_unit_test(no_screen_possible),
		cmocka_unit_test(no_terminal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
