/* test_browse.c - the screen as a person uses it: pictures, answers, labels, settings, search, marks, themes, help, sizes, mouse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "tests/support/browse.h"
#include "tests/support/data.h"

#define DOWN   "\033OB"
#define UP     "\033OA"
#define ESCAPE "\033"
#define CTRL_K "\013"
#define CTRL_S "\023"
#define CTRL_U "\025"

static void start(struct browse *b)
{
	browse_start(b, 36, 120, NULL, NULL, NULL);
}

static void wait_settled(struct browse *b, const char *caption)
{
	pty_wait_text(b->pty, caption);
	pty_wait_text(b->pty, "idle");
}

static void answers_appear(void **state)
{
	struct browse b;

	start(&b);
	wait_settled(&b, "a picture that is mostly blue");
	pty_wait_text(b.pty, "CLIPScore");
	pty_wait_both(b.pty, "something blue", "100.0 ✓  90");
	pty_wait_both(b.pty, "a red thing", "0.0 ✗  90");
	/* The best label stands first. */
	assert_true(pty_find_row(b.pty, "something blue") < pty_find_row(b.pty, "a red thing"));
	pty_type(b.pty, "j");
	wait_settled(&b, "a picture that is mostly green");
	pty_type(b.pty, DOWN);
	pty_wait_text(b.pty, "a picture that is mostly red");
	pty_type(b.pty, "g");
	pty_wait_text(b.pty, "a picture that is mostly blue");
	pty_type(b.pty, "G");
	pty_wait_text(b.pty, "a picture that is mostly red");
	pty_type(b.pty, UP "k");
	pty_wait_text(b.pty, "a picture that is mostly blue");
	browse_end(&b);
}

static bool sees_picture(struct pty *p, const void *ctx)
{
	return pty_cell_is_coloured(p, 12, 50);
}

static void picture_is_painted(void **state)
{
	struct browse b;

	start(&b);
	pty_wait_text(b.pty, "blue.bmp  64×48  bmp");
	pty_wait(b.pty, sees_picture, NULL, "a coloured cell in the middle of the picture");
	browse_end(&b);
}

static void labels_are_edited(void **state)
{
	struct browse b;

	start(&b);
	wait_settled(&b, "mostly blue");
	pty_type(b.pty, "e");
	pty_wait_text(b.pty, "labels, one per line");
	assert_true(pty_cursor_visible(b.pty));
	/* The third label goes, a new one comes and is tried before the editor is left. */
	pty_type(b.pty, CTRL_U "blue bird" CTRL_S);
	pty_wait_text(b.pty, "blue bird                              100.0");
	pty_type(b.pty, ";a blue kite\r");
	pty_wait_no_text(b.pty, "labels, one per line");
	pty_wait_text(b.pty, "a blue kite");
	pty_wait_no_text(b.pty, "something blue");
	pty_wait_both(b.pty, "a blue kite", "✓  90");
	assert_false(pty_cursor_visible(b.pty));
	/* Escape keeps what was. */
	pty_type(b.pty, "e" CTRL_U "nothing of this");
	pty_wait_text(b.pty, "nothing of this");
	pty_type(b.pty, ESCAPE);
	pty_wait_no_text(b.pty, "nothing of this");
	pty_wait_text(b.pty, "a blue kite");
	browse_end(&b);
}

static void labels_do_not_wait_for_captions(void **state)
{
	struct browse b;

	browse_start(&b, 36, 120, "hold_ofa=1", NULL, NULL);
	pty_wait_text(b.pty, "caption to come");
	pty_wait_both(b.pty, "something blue", "100.0     …");
	pty_type(b.pty, "e" CTRL_U "a bird;blue\r");
	pty_wait_both(b.pty, "blue", "100.0     …");
	pty_wait_both(b.pty, "a bird", "0.0     …");
	browse_end(&b);
}

static void a_long_label_scrolls(void **state)
{
	struct browse b;

	start(&b);
	wait_settled(&b, "mostly blue");
	pty_type(b.pty, "e;a label that is much longer than the box in which it is typed, up to its end");
	pty_wait_text(b.pty, "up to its end");
	assert_false(pty_has_text(b.pty, "a label that is much"));
	pty_type(b.pty, "\001"); /* ^A */
	pty_wait_text(b.pty, "a label that is much");
	pty_type(b.pty, ESCAPE);
	browse_end(&b);
}

static char *read_file(const char *path)
{
	FILE *f = fopen(path, "r");
	struct buffer b = {0};
	char bytes[4096];
	size_t n;

	assert_non_null(f);
	while ((n = fread(bytes, 1, sizeof bytes, f)) > 0)
		buffer_add(&b, bytes, n);
	fclose(f);
	return b.text;
}

static void settings_change_while_running(void **state)
{
	struct browse b;
	char *log, *text, name[32];

	browse_prepare(&b);
	log = xasprintf("%s/log", b.dir);
	for (int i = 0; i < 24; i++) {
		snprintf(name, sizeof name, "z%02d.bmp", i);
		pty_put_picture(b.dir, name, 16, 12, 0x800000 + i);
	}
	browse_run(&b, 36, 120, "steps=30 step_us=5000", (char *[]){"--log", log, NULL}, NULL, false);
	pty_wait_text(b.pty, "batch 4");
	pty_wait_text(b.pty, "waiting");
	pty_type(b.pty, "b\r");
	pty_wait_row(b.pty, 0, "batch 8");
	pty_type(b.pty, "vv\r");
	pty_wait_row(b.pty, 0, "bf16");
	pty_wait_text(b.pty, "‹ bf16 ›");
	pty_type(b.pty, "zw");
	pty_wait_text(b.pty, "‹ 32 ›");
	pty_wait_text(b.pty, "‹ 6 ›");
	pty_wait_text(b.pty, "✓ 27");
	pty_type(b.pty, "3kk-"); /* the panel of the controls: from beams up to precision, one back */
	pty_wait_row(b.pty, 0, "fp32");
	assert_int_equal(pty_finish(b.pty, "q"), 0);
	text = read_file(log);
	assert_non_null(strstr(text, "(batch 8)"));
	free(text);
	free(log);
	data_remove_dir(b.dir);
}

static void commands_set_things(void **state)
{
	struct browse b;

	start(&b);
	wait_settled(&b, "mostly blue");
	pty_type(b.pty, ":batch 16\r");
	pty_wait_row(b.pty, 0, "batch 16");
	pty_type(b.pty, ":batch 0\r");
	pty_wait_text(b.pty, "0 is outside 1 to 256");
	pty_type(b.pty, ":labels a green hat; a red hat\r");
	pty_wait_text(b.pty, "a green hat");
	pty_type(b.pty, ":bacth 2\r");
	pty_wait_text(b.pty, "did you mean \"batch\"");
	assert_int_equal(pty_finish(b.pty, ":q\r"), 0);
	data_remove_dir(b.dir);
}

static void folder_is_filtered(void **state)
{
	struct browse b;

	start(&b);
	wait_settled(&b, "mostly blue");
	pty_type(b.pty, "/gre");
	pty_wait_text(b.pty, "pictures 1 of 3");
	pty_wait_text(b.pty, "mostly green");
	pty_type(b.pty, "\r");
	pty_wait_no_text(b.pty, "red.bmp");
	pty_type(b.pty, ESCAPE);
	pty_wait_text(b.pty, "red.bmp");
	pty_type(b.pty, "/nothing like it");
	pty_wait_text(b.pty, "nothing matches");
	pty_type(b.pty, ESCAPE);
	pty_wait_text(b.pty, "blue.bmp");
	/* A caption's word finds its picture as well. */
	pty_type(b.pty, "/mostly red\r");
	pty_wait_text(b.pty, "pictures 1 of 3");
	pty_wait_text(b.pty, "red.bmp");
	browse_end(&b);
}

static void pictures_are_marked(void **state)
{
	struct browse b;

	start(&b);
	wait_settled(&b, "mostly blue");
	pty_type(b.pty, " ");
	pty_wait_row(b.pty, 0, "1 marked");
	pty_wait_text(b.pty, "mostly green"); /* marking steps on */
	pty_type(b.pty, "]");
	pty_wait_text(b.pty, "mostly blue");
	pty_type(b.pty, " ");
	pty_wait_no_text(b.pty, "1 marked");
	browse_end(&b);
}

static void order_changes(void **state)
{
	struct browse b;

	start(&b);
	wait_settled(&b, "mostly blue");
	pty_type(b.pty, ",");
	pty_wait_text(b.pty, "sorted by caption");
	pty_type(b.pty, ",,,");
	pty_wait_text(b.pty, "sorted by name");
	browse_end(&b);
}

static void themes_and_help(void **state)
{
	struct browse b;

	start(&b);
	wait_settled(&b, "mostly blue");
	pty_type(b.pty, "t");
	pty_wait_text(b.pty, "theme ember");
	pty_type(b.pty, "?");
	pty_wait_text(b.pty, "this help");
	pty_wait_text(b.pty, "any key closes");
	pty_type(b.pty, "x");
	pty_wait_no_text(b.pty, "this help");
	pty_resize(b.pty, 24, 80);
	pty_type(b.pty, "?");
	pty_wait_text(b.pty, "this help");
	pty_wait_text(b.pty, "any key closes");
	assert_true(pty_has_text(b.pty, "quit"));
	pty_type(b.pty, "?");
	pty_wait_no_text(b.pty, "this help");
	browse_end(&b);
}

static void every_size_is_laid_out(void **state)
{
	static const int sizes[][2] = {{24, 80}, {16, 60}, {50, 200}, {22, 76}, {36, 120}};
	struct browse b;

	start(&b);
	wait_settled(&b, "mostly blue");
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		pty_resize(b.pty, sizes[i][0], sizes[i][1]);
		pty_wait_row(b.pty, sizes[i][0] - 1, "? help");
		pty_wait_row(b.pty, 0, "batch 4");
		pty_wait_text(b.pty, "what it sees");
	}
	pty_resize(b.pty, 5, 20);
	pty_wait_text(b.pty, "needs");
	pty_type(b.pty, "b"); /* does nothing unseen */
	pty_listen(b.pty, 200);
	pty_resize(b.pty, 24, 80);
	pty_wait_row(b.pty, 0, "batch 4");
	browse_end(&b);
}

static void mouse_chooses(void **state)
{
	struct browse b;

	start(&b);
	wait_settled(&b, "mostly blue");
	pty_type(b.pty, "\033[<0;6;5M\033[<0;6;5m"); /* third row of the list */
	pty_wait_text(b.pty, "mostly red");
	pty_type(b.pty, "\033[<64;6;5M"); /* wheel up */
	pty_wait_text(b.pty, "mostly blue");
	pty_type(b.pty, "\033[<0;80;28M\033[<0;80;28m"); /* batch, right of its value */
	pty_wait_row(b.pty, 0, "batch 8");
	pty_type(b.pty, "\033[<0;75;28M\033[<0;75;28m"); /* its left arrow */
	pty_wait_row(b.pty, 0, "batch 4");
	browse_end(&b);
}

static void runs_are_cancelled_and_resumed(void **state)
{
	struct browse b;

	browse_start(&b, 36, 120, "steps=400 step_us=5000", NULL, NULL);
	pty_wait_text(b.pty, "waiting");
	pty_wait_text(b.pty, "0/3");
	pty_type(b.pty, "X");
	pty_wait_text(b.pty, "cancelled");
	pty_wait_text(b.pty, "0 waiting");
	pty_type(b.pty, "x");
	pty_wait_text(b.pty, "3 waiting");
	/* Quitting does not wait for what runs. */
	browse_end(&b);
}

static void nothing_is_written_when_nothing_happens(void **state)
{
	struct browse b;
	size_t bytes;

	start(&b);
	wait_settled(&b, "mostly blue");
	pty_listen(b.pty, 1500); /* until the last answers are on the screen */
	bytes = pty_listen(b.pty, 3000);
	/* The clock, and the memory graph as it moves. */
	assert_in_range(bytes, 1, 400);
	browse_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_appear),
		cmocka_unit_test(picture_is_painted),
		cmocka_unit_test(labels_are_edited),
		cmocka_unit_test(labels_do_not_wait_for_captions),
		cmocka_unit_test(a_long_label_scrolls),
		cmocka_unit_test(settings_change_while_running),
		cmocka_unit_test(commands_set_things),
		cmocka_unit_test(folder_is_filtered),
		cmocka_unit_test(pictures_are_marked),
		cmocka_unit_test(order_changes),
		cmocka_unit_test(themes_and_help),
		cmocka_unit_test(every_size_is_laid_out),
		cmocka_unit_test(mouse_chooses),
		cmocka_unit_test(runs_are_cancelled_and_resumed),
		cmocka_unit_test(nothing_is_written_when_nothing_happens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
