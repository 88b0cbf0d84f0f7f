/* test_swap.c - the models at hand on the screen, and one that takes another's place while the program runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/mem.h"
#include "tests/support/browse.h"
#include "tests/support/data.h"

#define ESCAPE "\033"

enum { ROWS = 30, COLUMNS = 110 };

static char *models; /* a folder of models */

static void make_model(const char *name)
{
	char *dir = xasprintf("%s/%s", models, name), *file = xasprintf("%s/config.json", dir);
	FILE *f;

	assert_int_equal(mkdir(dir, 0777), 0);
	f = fopen(file, "w");
	assert_non_null(f);
	fputs("{}", f);
	assert_int_equal(fclose(f), 0);
	free(dir);
	free(file);
}

static int setup(void **state)
{
	char name[] = "/tmp/vramble-models-XXXXXX";

	assert_non_null(mkdtemp(name));
	models = xstrdup(name);
	make_model("clip-one");
	make_model("ofa-large");
	make_model("ofa-one");
	make_model("ofa-unreadable");
	make_model("nli-broken");
	return 0;
}

static int teardown(void **state)
{
	char *command = xasprintf("rm -rf '%s'", models);
	int rc = system(command);

	free(command);
	free(models);
	return rc;
}

/* Over the three pictures, with the captioner of the folder. */
static void start(struct browse *b, int rows, int columns, const char *fake)
{
	char *captioner = xasprintf("--captioner=%s/ofa-one", models), *const extra[] = {captioner, NULL};

	browse_start(b, rows, columns, fake, extra, NULL);
	pty_wait_text(b->pty, "✓ 3 ");
	pty_wait_text(b->pty, "a picture that is mostly");
	free(captioner);
}

static void open_list(struct browse *b)
{
	pty_type(b->pty, "m");
	pty_wait_text(b->pty, "models at hand");
	pty_wait_text(b->pty, "ofa-unreadable"); /* the last one that is looked at */
	pty_wait_no_text(b->pty, "looking");
}

static void list_and_forecast(void **state)
{
	struct browse b;

	start(&b, ROWS, COLUMNS, NULL);
	open_list(&b);
	pty_wait_both(b.pty, "CLIP", "/clip-one");
	pty_wait_both(b.pty, "● captioner", "/ofa-one");
	pty_type(b.pty, "g");
	pty_type(b.pty, "jj");
	/* The large one weighs 700 MiB more: shown before anything is done about it. */
	pty_wait_text(b.pty, "ofa, 367.0 M parameters in fp32, 480 px, folder");
	pty_wait_text(b.pty, "with it at most 3.69G of");
	pty_wait_text(b.pty, "now 3.01G");
	pty_type(b.pty, "G");
	pty_wait_text(b.pty, "config.json is broken");
	pty_type(b.pty, "\r");
	pty_wait_text(b.pty, "nli-broken cannot be used");
	pty_type(b.pty, ESCAPE);
	pty_wait_no_text(b.pty, "models at hand");
	browse_end(&b);
}

static void what_does_not_fit_is_said(void **state)
{
	struct browse b;

	start(&b, ROWS, COLUMNS, "device_mb=5200");
	open_list(&b);
	pty_type(b.pty, "gjj");
	pty_wait_text(b.pty, "does not fit, steps down would follow");
	pty_type(b.pty, "j");
	pty_wait_no_text(b.pty, "does not fit");
	pty_type(b.pty, ESCAPE);
	pty_wait_no_text(b.pty, "models at hand");
	browse_end(&b);
}

static void swaps(void **state)
{
	struct browse b;

	start(&b, ROWS, COLUMNS, NULL);
	open_list(&b);
	pty_type(b.pty, "gjj\r");
	pty_wait_text(b.pty, "captioner: ofa-large answers from now on");
	pty_wait_text(b.pty, "a large picture");
	pty_wait_text(b.pty, "✓ 3 ");
	/* All pictures are answered anew, by it alone. */
	pty_type(b.pty, "jj");
	pty_wait_text(b.pty, "mostly red");
	open_list(&b);
	pty_wait_both(b.pty, "● captioner", "/ofa-large");
	pty_type(b.pty, "gjj\r");
	pty_wait_text(b.pty, "is in use already");
	pty_type(b.pty, "j\r");
	pty_wait_text(b.pty, "captioner: ofa-one answers from now on");
	pty_wait_text(b.pty, "a picture that is mostly red");
	browse_end(&b);
}

static void comes_back(void **state)
{
	struct browse b;

	start(&b, ROWS, COLUMNS, NULL);
	open_list(&b);
	pty_type(b.pty, "gjjjj\r");
	pty_wait_text(b.pty, "the former model is opened again");
	pty_wait_text(b.pty, "✓ 3 ");
	pty_type(b.pty, "r");
	pty_wait_text(b.pty, "a picture that is mostly");
	browse_end(&b);
}

static void named_by_hand(void **state)
{
	struct browse b;
	char *typed = xasprintf(":captioner %s/ofa-large\r", models), *name = xasprintf("%s/ofa-large\r", models);

	start(&b, ROWS, COLUMNS, NULL);
	pty_type(b.pty, typed);
	pty_wait_text(b.pty, "a large picture");
	pty_type(b.pty, ":captioner /no/such/ofa-broken\r");
	pty_wait_text(b.pty, "config.json is broken");
	pty_type(b.pty, ":captioner models/clip\r");
	pty_wait_text(b.pty, "scores labels, not one");
	open_list(&b);
	pty_type(b.pty, "n");
	pty_wait_text(b.pty, "name or folder:");
	pty_type(b.pty, "no-owner/no-model\r");
	pty_wait_both(b.pty, "-", "no-owner/no-model");
	pty_wait_no_text(b.pty, "name or folder:");
	pty_type(b.pty, "n");
	pty_wait_text(b.pty, "name or folder:");
	pty_type(b.pty, name);
	pty_wait_text(b.pty, "with it at most");
	pty_type(b.pty, ESCAPE);
	browse_end(&b);
	free(typed);
	free(name);
}

static void small_screens(void **state)
{
	struct browse b;

	start(&b, 24, 80, NULL);
	open_list(&b);
	pty_resize(b.pty, 20, 60);
	pty_wait_text(b.pty, "models at hand");
	pty_wait_text(b.pty, "Enter swaps");
	pty_type(b.pty, "gjj");
	pty_wait_text(b.pty, "with it at most");
	pty_resize(b.pty, 40, 160);
	pty_wait_text(b.pty, "Esc closes");
	pty_type(b.pty, "q");
	pty_wait_no_text(b.pty, "models at hand");
	browse_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(list_and_forecast),
		cmocka_unit_test(what_does_not_fit_is_said),
		cmocka_unit_test(swaps),
		cmocka_unit_test(comes_back),
		cmocka_unit_test(named_by_hand),
		cmocka_unit_test(small_screens),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
