/* test_failures.c - what goes wrong is said, and the terminal is always given back: folders, files, names, models, signals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"
#include "tests/support/browse.h"
#include "tests/support/data.h"

/* ---- folders -------------------------------------------------------------------------------------------------------------------------------- */

static void check_refused(const char *path, const char *says, int code)
{
	char *argv[] = {(char *)pty_program(), (char *)path, NULL};
	struct pty *p = pty_start(&(struct pty_options){.argv = argv, .rows = 24, .columns = 80});

	pty_wait_text(p, says);
	assert_null(strchr(pty_output(p), '\033'));
	assert_int_equal(pty_finish(p, NULL), code);
}

static void folder_is_missing(void **state)
{
	check_refused("/no/such/folder", "/no/such/folder: No such file or directory", 1);
	check_refused("--colour=pink", "\"pink\" is not one of auto", 2);
	check_refused("--colours", "--colours needs a value", 2);
	check_refused("-x", "unknown option \"-x\"", 2);
}

static void folder_is_closed(void **state)
{
	char *dir = data_dir();

	if (!geteuid()) {
		data_remove_dir(dir);
		print_message("skip: root may read every folder\n");
		skip();
	}
	chmod(dir, 0);
	check_refused(dir, "Permission denied", 1);
	chmod(dir, 0700);
	data_remove_dir(dir);
}

static void folder_is_empty(void **state)
{
	char *dir = data_dir(), *argv[] = {(char *)pty_program(), dir, NULL};
	struct pty *p = pty_start(&(struct pty_options){.argv = argv, .rows = 24, .columns = 80});

	pty_wait_text(p, "no pictures");
	pty_type(p, "jkgG xe?q r\033/a\r, :labels a\r"); /* nothing to do, and nothing to fall over */
	pty_wait_no_text(p, ":labels");
	assert_int_equal(pty_finish(p, "q"), 0);
	data_remove_dir(dir);
}

/* ---- files ---------------------------------------------------------------------------------------------------------------------------------- */

static void files_are_broken(void **state)
{
	static const unsigned char head[] = {0xff, 0xd8, 0xff, 0xe0, 0, 16, 'J', 'F', 'I', 'F', 0, 1, 1};
	struct browse b;

	browse_prepare(&b);
	data_put(b.dir, "a-empty.jpg", "", 0);
	data_put(b.dir, "a-text.png", "hello, this is a letter\n", 24);
	data_put(b.dir, "a-torn.jpg", head, sizeof head);
	data_put(b.dir, "a-web.heic", "RIFF", 4);
	browse_run(&b, 36, 120, NULL, NULL, NULL, false);
	pty_wait_text(b.pty, "a-empty.jpg is empty");
	pty_wait_text(b.pty, "no answers: the picture");
	pty_type(b.pty, "j");
	pty_wait_text(b.pty, "a-text.png is not a picture");
	pty_type(b.pty, "j");
	pty_wait_text(b.pty, "a-torn.jpg");
	pty_wait_row(b.pty, 4, "✗");
	pty_type(b.pty, "j");
	pty_wait_text(b.pty, "HEIC is not read; convert it");
	pty_wait_row(b.pty, 5, "⊘");
	pty_type(b.pty, "j");
	pty_wait_text(b.pty, "mostly blue");
	pty_wait_text(b.pty, "✓ 3  ✗ 3");
	/* Trying again says the same again. */
	pty_type(b.pty, "g\r");
	pty_wait_text(b.pty, "✓ 3  ✗ 3");
	pty_wait_row(b.pty, 2, "✗");
	browse_end(&b);
}

static void a_file_disappears(void **state)
{
	struct browse b;
	char *path;

	browse_start(&b, 36, 120, NULL, NULL, NULL);
	pty_wait_text(b.pty, "mostly blue");
	pty_wait_text(b.pty, "✓ 3");
	path = xasprintf("%s/blue.bmp", b.dir);
	unlink(path);
	free(path);
	pty_type(b.pty, "r");
	pty_wait_text(b.pty, "No such file or");
	browse_end(&b);
}

static void names_are_hostile(void **state)
{
	static const char *const names[] = {"0\033[2J\033]0;title\007.bmp",
					    "1\xff\xfe latin.bmp",
					    "2\xe2\x80\xae gpj.bmp",
					    "3\nnew\tline.bmp",
					    "4 \xe7\x8c\xab \xf0\x9f\x90\xb1 wide.bmp",
					    NULL};
	struct browse b;
	char *longest = xmalloc(250);

	browse_prepare(&b);
	for (const char *const *name = names; *name; name++)
		pty_put_picture(b.dir, *name, 8, 8, 0x2020d0);
	memset(longest, 'x', 249);
	strcpy(longest + 240, "y.bmp");
	pty_put_picture(b.dir, longest, 8, 8, 0xd02020);
	browse_run(&b, 36, 120, NULL, (char *[]){"--colour", "256", NULL}, NULL, false);
	pty_wait_text(b.pty, "0\\x1B[2J\\x1B]0;title\\x07.bmp  8×8");
	pty_wait_text(b.pty, "mostly blue");
	pty_wait_text(b.pty, "1\\xFF\\xFE latin.bmp");
	pty_wait_text(b.pty, "2\\xE2\\x80\\xAE gpj.b");
	pty_wait_text(b.pty, "3\\x0Anew\\x09line.bmp");
	for (int i = 0; i < 4; i++) { /* each opens by its bytes */
		char title[16] = {(char)('1' + i), 0};

		pty_type(b.pty, "j");
		pty_wait_row(b.pty, 1, title);
		pty_wait_row(b.pty, 1, "8×8  bmp");
		pty_wait_text(b.pty, "mostly blue");
	}
	pty_wait_text(b.pty, "4 猫 🐱 wide.bmp");
	pty_wait_text(b.pty, "✓ 9");
	pty_type(b.pty, "G");
	pty_wait_text(b.pty, "mostly red");
	pty_wait_row(b.pty, 1, "xxxxxx…");
	/* Frames stand in one column, whatever is inside. */
	for (int row = 2; row < 20; row++)
		assert_true(pty_cell_is(b.pty, row, 0, "│") && pty_cell_is(b.pty, row, 25, "│") && pty_cell_is(b.pty, row, 119, "│"));
	assert_null(strstr(pty_output(b.pty), "\033]0;"));
	free(longest);
	browse_end(&b);
}

/* ---- models --------------------------------------------------------------------------------------------------------------------------------- */

static void the_library_is_missing(void **state)
{
	struct browse b;

	browse_start(&b, 36, 120, NULL, NULL, (const char *[]){"VRAMBLE_LIBRARY=/no/such/library.so", NULL});
	pty_wait_text(b.pty, "cannot load the model library");
	pty_wait_row(b.pty, 0, "no libtorch");
	/* Pictures are shown all the same. */
	pty_wait_text(b.pty, "blue.bmp");
	pty_type(b.pty, "jjee\033bv");
	pty_wait_row(b.pty, 0, "batch 8");
	browse_end(&b);
}

static void a_model_fails(void **state)
{
	struct browse b;

	browse_start(&b, 36, 120, "fail_ofa=1", NULL, NULL);
	pty_wait_text(b.pty, "✗ captioner");
	pty_wait_text(b.pty, "told to fail");
	pty_wait_text(b.pty, "100.0"); /* CLIP goes on */
	pty_wait_text(b.pty, "✓ 3");
	browse_end(&b);
}

static void all_models_fail(void **state)
{
	struct browse b;

	browse_start(&b, 36, 120, "fail_clip=1 fail_ofa=1 fail_bert=1", NULL, NULL);
	pty_wait_text(b.pty, "✗ CLIP");
	pty_wait_text(b.pty, "✗ captioner");
	pty_wait_text(b.pty, "✗ NLI");
	browse_end(&b);
}

static void no_models_at_all(void **state)
{
	struct browse b;

	browse_prepare(&b);
	browse_run(&b, 36, 120, NULL, (char *[]){"--clip", "none", "--captioner", "none", "--nli", "none", NULL}, NULL, false);
	pty_wait_text(b.pty, "blue.bmp");
	pty_wait_text(b.pty, "no model is in use");
	browse_end(&b);
}

static void a_picture_fails_in_a_model(void **state)
{
	struct browse b;

	browse_start(&b, 36, 120, "bad_blue=192", NULL, NULL); /* blue.bmp */
	pty_wait_text(b.pty, "blue.bmp: fake: cannot look at");
	pty_wait_text(b.pty, "Enter tries again");
	pty_wait_text(b.pty, "✓ 2  ✗ 1");
	pty_wait_text(b.pty, "64×48"); /* and is shown */
	browse_end(&b);
}

static void memory_runs_out(void **state)
{
	struct browse b;

	browse_start(&b, 36, 120, "fits=1", (char *[]){"--batch", "8", NULL}, NULL);
	pty_wait_text(b.pty, "✓ 3  ✗ 0"); /* answered in smaller batches */
	browse_end(&b);
}

/* ---- the terminal ---------------------------------------------------------------------------------------------------------------------------- */

static void check_signal(int number, int code)
{
	struct browse b;

	browse_start(&b, 24, 80, "steps=100 step_us=2000", NULL, NULL);
	pty_wait_text(b.pty, "0/3");
	pty_signal(b.pty, number);
	assert_int_equal(pty_finish(b.pty, NULL), code);
	data_remove_dir(b.dir);
}

static void signals_give_the_terminal_back(void **state)
{
	check_signal(SIGTERM, 143);
	check_signal(SIGHUP, 129);
	check_signal(SIGINT, 130);
}

static void crashes_give_the_terminal_back(void **state)
{
	check_signal(SIGSEGV, 128 + SIGSEGV);
	check_signal(SIGABRT, 128 + SIGABRT);
	check_signal(SIGBUS, 128 + SIGBUS);
}

static void suspend_and_continue(void **state)
{
	struct browse b;

	browse_prepare(&b);
	browse_run(&b, 24, 80, NULL, NULL, NULL, true);
	pty_wait_text(b.pty, "mostly blue");
	for (int round = 0; round < 2; round++) {
		pty_type(b.pty, "\032");
		pty_wait_stopped(b.pty);
		pty_continue(b.pty);
		pty_wait_text(b.pty, "mostly");
		pty_type(b.pty, round ? "k" : "j");
		pty_wait_text(b.pty, round ? "mostly blue" : "mostly green");
	}
	/* kill -TSTP from elsewhere does the same. */
	pty_signal(b.pty, SIGTSTP);
	pty_wait_stopped(b.pty);
	pty_continue(b.pty);
	pty_wait_text(b.pty, "mostly blue");
	browse_end(&b);
}

static void the_picture_is_drawn_anew(void **state)
{
	struct browse b;
	size_t before;

	browse_start(&b, 24, 80, NULL, NULL, NULL);
	pty_wait_text(b.pty, "mostly blue");
	pty_wait_text(b.pty, "idle");
	pty_listen(b.pty, 300);
	before = pty_bytes(b.pty);
	pty_type(b.pty, "\014");
	for (int i = 0; i < PTY_SECONDS * 10 && pty_bytes(b.pty) - before <= 2000; i++)
		pty_listen(b.pty, 100);
	assert_true(pty_bytes(b.pty) - before > 2000); /* ^L sends all again */
	browse_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(folder_is_missing),
		cmocka_unit_test(folder_is_closed),
		cmocka_unit_test(folder_is_empty),
		cmocka_unit_test(files_are_broken),
		cmocka_unit_test(a_file_disappears),
		cmocka_unit_test(names_are_hostile),
		cmocka_unit_test(the_library_is_missing),
		cmocka_unit_test(a_model_fails),
		cmocka_unit_test(all_models_fail),
		cmocka_unit_test(no_models_at_all),
		cmocka_unit_test(a_picture_fails_in_a_model),
		cmocka_unit_test(memory_runs_out),
		cmocka_unit_test(signals_give_the_terminal_back),
		cmocka_unit_test(crashes_give_the_terminal_back),
		cmocka_unit_test(suspend_and_continue),
		cmocka_unit_test(the_picture_is_drawn_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
