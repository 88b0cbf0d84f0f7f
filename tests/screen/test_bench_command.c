/* test_bench_command.c - `vramble bench` as it is run: the table, JSON and CSV, what fits, wrong usage, ^C, and the bundled models. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/mem.h"
#include "tests/support/data.h"
#include "tests/support/pty.h"

enum { MOST = 32, CELLS = 64 };

static char *folder, *blue, *red, *csv;

static int make_pictures(void **state)
{
	folder = data_dir();
	pty_put_picture(folder, "blue.bmp", 64, 48, 0x1020c0);
	pty_put_picture(folder, "red.bmp", 64, 48, 0xc02010);
	blue = xasprintf("%s/blue.bmp", folder);
	red = xasprintf("%s/red.bmp", folder);
	csv = xasprintf("%s/sweep.csv", folder);
	return 0;
}

static int remove_pictures(void **state)
{
	free(blue);
	free(red);
	free(csv);
	data_remove_dir(folder);
	return 0;
}

/* `vramble bench` with the fake models; arguments end with NULL. orders: VRAMBLE_FAKE's, or NULL. */
static int run(char *const *arguments, const char *orders, char **out, char **err)
{
	char *argv[MOST] = {(char *)pty_program(), "bench", "--clip",     "/none/clip", "--captioner",
			    "/none/ofa",           "--nli", "/none/bert", "--device",   "cpu"};
	char *variable = xasprintf("VRAMBLE_FAKE=%s", orders ? orders : "");
	const char *env[] = {variable, NULL};
	int n = 10, code;

	while (*arguments && n + 1 < MOST)
		argv[n++] = *arguments++;
	code = pty_capture(argv, env, 0, out, err);
	free(variable);
	return code;
}

#define RUN(orders, out, err, ...) run((char *[]){__VA_ARGS__, NULL}, orders, out, err)

/* The lines of --json; returns how many. */
static int parse(char *text, json_t *lines[CELLS])
{
	char *save, *line = strtok_r(text, "\n", &save);
	int n = 0;

	for (; line && n < CELLS; line = strtok_r(NULL, "\n", &save)) {
		lines[n] = json_loads(line, 0, NULL);
		assert_non_null(lines[n++]);
	}
	return n;
}

static void drop(json_t **lines, int n)
{
	for (int i = 0; i < n; i++)
		json_decref(lines[i]);
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static double number_of(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

static int count(const char *text, const char *word)
{
	int n = 0;

	for (; (text = strstr(text, word)); text += strlen(word))
		n++;
	return n;
}

/* ---------------------------------------------------------------- sweep */

static void prints_a_table(void **state)
{
	char *out, *err, *command = "  vramble score --verify --batch ";

	assert_int_equal(RUN("step_us=200", &out, &err, blue, red), 0);
	assert_string_equal(err, "");
	assert_non_null(strstr(out, "CPU, fake, fake 1.0, 2 pictures"));
	assert_non_null(strstr(out, "images/s"));
	assert_int_equal(count(out, "  fp32  "), 4);
	assert_int_equal(count(out, "  bf16  "), 4);
	assert_int_equal(count(out, "  best"), 1);
	assert_true(count(out, "  pareto") >= 1);
	assert_non_null(strstr(out, command));
	assert_non_null(strstr(out, "--captioner /none/ofa --nli /none/bert --device cpu FILE…\n"));
	free(out);
	free(err);
}

static void prints_json(void **state)
{
	json_t *lines[CELLS], *models;
	int n, best = 0, pareto = 0;
	char *out;

	assert_int_equal(RUN("step_us=200", &out, NULL, "--json", "--batches", "3,1", "--precisions", "bf16", "--image-sizes", "auto,384", "--passes",
			     "2", blue),
			 0);
	n = parse(out, lines);
	assert_int_equal(n, 5);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(number_of(lines[i], "batch"), i % 2 ? 3 : 1);
		assert_string_equal(text_of(lines[i], "precision"), "bf16");
		assert_string_equal(text_of(lines[i], "state"), "fits");
		assert_true(number_of(lines[i], "images_per_s") > 0);
		assert_true(number_of(lines[i], "peak") > number_of(lines[i], "held"));
		best += json_is_true(json_object_get(lines[i], "best"));
		pareto += json_is_true(json_object_get(lines[i], "pareto"));
		models = json_object_get(lines[i], "models");
		assert_int_equal(json_object_size(models), 3);
		assert_string_equal(text_of(json_object_get(models, "nli"), "precision"), "bf16");
		assert_true(number_of(json_object_get(models, "ofa"), "ms") > 0);
	}
	assert_string_equal(text_of(lines[0], "image_size"), "auto");
	assert_int_equal(number_of(lines[2], "image_size"), 384);
	assert_int_equal(best, 1);
	assert_true(pareto >= 1);
	assert_string_equal(text_of(lines[4], "device"), "CPU, fake");
	assert_non_null(strstr(text_of(lines[4], "command"), "--precision bf16"));
	drop(lines, n);
	free(out);
}

/* 4 GiB, of which 65 % may be used. Weights take 1400 MiB in fp32, a picture 420. */
static void tells_what_does_not_fit(void **state)
{
	static const char *const states[] = {"fits", "fits", "does not fit", "does not fit", "fits", "fits", "fits", "fits"};
	json_t *lines[CELLS];
	char *out;
	int n;

	assert_int_equal(RUN("device_mb=4096", &out, NULL, "--json", blue), 0);
	n = parse(out, lines);
	assert_int_equal(n, 9);
	for (int i = 0; i < 8; i++) {
		assert_string_equal(text_of(lines[i], "state"), states[i]);
		assert_int_equal(json_is_true(json_object_get(lines[i], "skipped")), i == 3);
	}
	assert_non_null(strstr(text_of(lines[2], "why"), "reserve of 15 %"));
	drop(lines, n);
	free(out);
	assert_int_equal(RUN("device_mb=4096", &out, NULL, blue), 0);
	assert_non_null(strstr(out, "    8  fp32             does not fit, as a smaller batch did not\n"));
	free(out);
}

static void nothing_fits(void **state)
{
	char *out;

	assert_int_equal(RUN("device_mb=1700", &out, NULL, "--precisions", "fp32", blue), 4);
	assert_non_null(strstr(out, "nothing fits: raise the cap"));
	assert_null(strstr(out, "  vramble "));
	free(out);
}

static void only_some_models(void **state)
{
	json_t *lines[CELLS];
	char *out;
	int n;

	/* A captioner that cannot be opened does not matter when it is not asked for. */
	assert_int_equal(RUN("fail_ofa=1", &out, NULL, "--json", "--models", "clip", "--batches", "2", "--precisions", "fp32", blue), 0);
	n = parse(out, lines);
	assert_int_equal(n, 2);
	assert_int_equal(json_object_size(json_object_get(lines[0], "models")), 1);
	assert_int_equal(number_of(lines[0], "held"), 300 << 20);
	assert_int_equal(strncmp(text_of(lines[1], "command"), "vramble score --batch 2 ", 24), 0);
	drop(lines, n);
	free(out);
}

static void a_folder_is_opened_on_the_screen(void **state)
{
	char *odd = xasprintf("%s/it's odd", folder), *out;

	assert_int_equal(RUN(NULL, &out, NULL, "--batches", "2", folder), 0);
	assert_non_null(strstr(out, "2 pictures"));
	assert_non_null(strstr(out, "  vramble --batch 2 "));
	free(out);
	assert_int_equal(symlink(folder, odd), 0);
	assert_int_equal(RUN(NULL, &out, NULL, "--batches", "2", odd), 0);
	assert_non_null(strstr(out, "/it'\\''s odd'\n"));
	free(out);
	assert_int_equal(unlink(odd), 0);
	free(odd);
}

/* ---------------------------------------------------------------- CSV */

static char *slurp(const char *path)
{
	FILE *f = fopen(path, "r");
	char *text = xcalloc(1, 65536);

	assert_non_null(f);
	assert_true(fread(text, 1, 65535, f) > 0);
	fclose(f);
	return text;
}

static void writes_csv(void **state)
{
	char *text;

	assert_int_equal(RUN("device_mb=4096", NULL, NULL, "--csv", csv, blue), 0);
	text = slurp(csv);
	assert_int_equal(strncmp(text, "batch,precision,image_size,state,", 33), 0);
	assert_int_equal(count(text, "\r\n"), 9);
	assert_non_null(strstr(text, "\r\n8,fp32,,does not fit,yes,"));
	free(text);
}

static void csv_that_cannot_be_written(void **state)
{
	char *out, *err;

	assert_int_equal(RUN(NULL, &out, &err, "--csv", "/no/such/folder/x.csv", blue), 1);
	assert_non_null(strstr(out, "  best"));
	assert_non_null(strstr(err, "/no/such/folder/x.csv: cannot be written: No such file or directory"));
	free(out);
	free(err);
	assert_int_equal(RUN(NULL, &out, &err, "--csv=/dev/full", blue), 1);
	assert_non_null(strstr(out, "  best"));
	assert_non_null(strstr(err, "No space left on device"));
	free(out);
	free(err);
}

/* ---------------------------------------------------------------- fit */

/* With the captioner alone 700 MiB are held, and 420 more for each picture: 4 of them come under 65 % of 4 GiB. */
static void finds_the_largest_batch(void **state)
{
	json_t *lines[CELLS];
	char *out;
	int n;

	assert_int_equal(RUN("device_mb=4096", &out, NULL, "--fit", "--batches", "64", "--models", "ofa", blue, red), 0);
	assert_non_null(strstr(out, "as set: batch 4 is the largest that fits ("));
	assert_non_null(strstr(out, "  vramble caption --batch 4 "));
	free(out);
	assert_int_equal(
		RUN("device_mb=4096", &out, NULL, "--fit", "--json", "--batches", "3,2", "--precisions", "fp32,bf16", "--models", "ofa", blue), 0);
	n = parse(out, lines);
	assert_int_equal(n, 2);
	assert_int_equal(number_of(lines[0], "fits"), 3);
	assert_int_equal(number_of(lines[0], "asked"), 3);
	assert_true(number_of(lines[0], "tries") <= 2);
	assert_string_equal(text_of(lines[1], "row"), "bf16");
	drop(lines, n);
	free(out);
}

static void not_even_one_fits(void **state)
{
	char *out;

	assert_int_equal(RUN("device_mb=1100", &out, NULL, "--fit", "--models", "ofa", blue), 4);
	assert_non_null(strstr(out, "not even a batch of 1 fits"));
	free(out);
}

/* ---------------------------------------------------------------- what goes wrong */

static void refuse(int code, const char *why, char *const *arguments, const char *orders)
{
	char *out, *err;
	int got = run(arguments, orders, &out, &err);

	if (got != code || !strstr(err, why))
		fail_msg("exit code %d, not %d: %s", got, code, err);
	assert_string_equal(out, "");
	free(out);
	free(err);
}

#define REFUSE(code, why, orders, ...) refuse(code, why, (char *[]){__VA_ARGS__, NULL}, orders)

static void wrong_usage(void **state)
{
	REFUSE(2, "command line: batches: \"many\" is not a whole number", NULL, "--batches", "many", blue);
	REFUSE(2, "batches: 0 is outside 1 to 256", NULL, "--batches", "1,0", blue);
	REFUSE(2, "batches: 1000000000 is outside", NULL, "--batches", "1000000000", blue);
	REFUSE(2, "no more than 12 are possible", NULL, "--batches", "1,2,3,4,5,6,7,8,9,10,11,12,13", blue);
	REFUSE(2, "precisions: \"fp64\" is not one of", NULL, "--precisions", "fp32,fp64", blue);
	REFUSE(2, "image-sizes: 5 is outside 16 to 4096", NULL, "--image-sizes", "5", blue);
	REFUSE(2, "passes: 0 is outside 1 to 1000", NULL, "--passes", "0", blue);
	REFUSE(2, "models: \"gpt\" is not one of clip, ofa, nli", NULL, "--models", "gpt", blue);
	REFUSE(2, "--csv writes the table of a sweep", NULL, "--fit", "--csv", "x", blue);
	REFUSE(2, "--csv needs a value", NULL, blue, "--csv");
	REFUSE(2, "--fit takes no value", NULL, "--fit=yes", blue);
}

static void flags_of_another_command(void **state)
{
	char *argv[] = {(char *)pty_program(), "caption", "--csv", "x", blue, NULL}, *err;

	assert_int_equal(pty_capture(argv, NULL, 0, NULL, &err), 2);
	assert_non_null(strstr(err, "--csv is not for caption"));
	free(err);
}

static void pictures_or_models_are_missing(void **state)
{
	char *empty = data_dir();

	REFUSE(1, "/no/such.jpg: No such file", NULL, "/no/such.jpg");
	REFUSE(2, "there is no picture in this folder", NULL, empty);
	REFUSE(3, "told to fail", "fail_ofa=1", blue);
	REFUSE(3, "no model", NULL, "--models", "nli", "--nli", "none", blue);
	data_remove_dir(empty);
}

static void a_precision_that_is_not_possible(void **state)
{
	char *out, *err;

	/* Where the models stand they stay: fp32 runs, bf16 does not. */
	assert_int_equal(RUN("fail_place=1", &out, &err, "--precisions", "auto,bf16", "--batches", "1", blue), 1);
	assert_non_null(strstr(out, "  best"));
	assert_non_null(strstr(out, "bf16             failed: fake: no"));
	assert_non_null(strstr(err, "batch 1 bf16: fake: no"));
	free(out);
	free(err);
}

static void an_interrupt_keeps_what_ran(void **state)
{
	char *argv[] = {
		(char *)pty_program(), "bench", "--clip", "/none/clip", "--captioner", "/none/ofa", "--nli", "none", "--device", "cpu", "--csv", csv,
		"--batches",           "1,2",   blue,     NULL};
	struct pty *p = pty_start(&(struct pty_options){
		.argv = argv, .env = (const char *[]){"VRAMBLE_FAKE=steps=100000 step_us=2000", NULL}, .rows = 24, .columns = 100});
	char *text;

	pty_wait_text(p, "1/4  batch 1, fp32");
	assert_int_equal(pty_finish(p, "\x03"), 130);
	text = slurp(csv);
	assert_int_equal(count(text, "cancelled"), 4);
	free(text);
}

/* ---------------------------------------------------------------- the real thing */

static void the_bundled_models(void **state)
{
	char *argv[] = {(char *)pty_program(), "bench", "--json",   "--device", "cpu", "--batches", "1,2",
			"--precisions",        "fp32",  "--passes", "1",        NULL};
	static const char *const need[] = {"libvramble-torch.so", "demo/brown-book.jpg"};
	static const char *const models[] = {"clip", "ofa", "nli"};
	json_t *lines[CELLS];
	char *out;
	int n;

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
	skip();
#endif
	for (int i = 0; i < 2; i++)
		if (access(pty_build_file(need[i]), R_OK)) {
			print_message("skip: %s is not there\n", need[i]);
			skip();
		}
	assert_int_equal(pty_capture(argv, (const char *[]){"VRAMBLE_LIBRARY=", NULL}, 0, &out, NULL), 0);
	n = parse(out, lines);
	assert_int_equal(n, 3);
	for (int i = 0; i < 2; i++) {
		json_t *of = json_object_get(lines[i], "models");

		assert_string_equal(text_of(lines[i], "state"), "fits");
		assert_true(number_of(lines[i], "peak") > number_of(lines[i], "held"));
		for (int k = 0; k < 3; k++)
			assert_true(number_of(json_object_get(of, models[k]), "ms") > 0);
	}
	assert_true(number_of(lines[1], "peak") > number_of(lines[0], "peak"));
	assert_non_null(strstr(text_of(lines[2], "command"), "FOLDER"));
	drop(lines, n);
	free(out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(prints_a_table),
		cmocka_unit_test(prints_json),
		cmocka_unit_test(tells_what_does_not_fit),
		cmocka_unit_test(nothing_fits),
		cmocka_unit_test(only_some_models),
		cmocka_unit_test(a_folder_is_opened_on_the_screen),
		cmocka_unit_test(writes_csv),
		cmocka_unit_test(csv_that_cannot_be_written),
		cmocka_unit_test(finds_the_largest_batch),
		cmocka_unit_test(not_even_one_fits),
		cmocka_unit_test(wrong_usage),
		cmocka_unit_test(flags_of_another_command),
		cmocka_unit_test(pictures_or_models_are_missing),
		cmocka_unit_test(a_precision_that_is_not_possible),
		cmocka_unit_test(an_interrupt_keeps_what_ran),
		cmocka_unit_test(the_bundled_models),
	};

	return cmocka_run_group_tests(tests, make_pictures, remove_pictures);
}
