/* test_headless.c - the subcommands without a screen: what they print, where, and their exit codes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "tests/support/data.h"
#include "tests/support/pty.h"

enum { MOST = 24 };

static char *folder, *blue, *red, *text;

static int make_pictures(void **state)
{
	folder = data_dir();
	pty_put_picture(folder, "blue.bmp", 64, 48, 0x1020c0);
	pty_put_picture(folder, "red.bmp", 48, 64, 0xc02010);
	data_put(folder, "text.jpg", "a letter", 8);
	blue = xasprintf("%s/blue.bmp", folder);
	red = xasprintf("%s/red.bmp", folder);
	text = xasprintf("%s/text.jpg", folder);
	return 0;
}

static int remove_pictures(void **state)
{
	free(blue);
	free(red);
	free(text);
	data_remove_dir(folder);
	return 0;
}

/* Runs the program with the fake models; arguments end with NULL. */
static int run(char *const *arguments, const char *const *env, int interrupt, char **out, char **err)
{
	char *argv[MOST] = {(char *)pty_program(), "--clip", "/none/clip", "--captioner", "/none/ofa", "--nli", "/none/bert"};
	int n = 7;

	while (*arguments && n + 1 < MOST)
		argv[n++] = *arguments++;
	return pty_capture(argv, env, interrupt, out, err);
}

#define RUN(env, out, err, ...) run((char *[]){__VA_ARGS__, NULL}, env, 0, out, err)

static void caption_prints_a_line_each(void **state)
{
	char *out, *err, *wanted = xasprintf("%s: a picture that is mostly blue\n%s: a picture that is mostly red\n", blue, red);

	assert_int_equal(RUN(NULL, &out, &err, "caption", blue, red), 0);
	assert_string_equal(out, wanted);
	assert_string_equal(err, "");
	free(wanted);
	free(out);
	free(err);
}

static void order_is_that_of_the_arguments(void **state)
{
	char *arguments[MOST - 8] = {"caption", "--batch", "3"}, *out, *line;
	int n = 3;

	while (n < MOST - 9) {
		arguments[n] = n % 2 ? red : blue;
		n++;
	}
	assert_int_equal(run(arguments, NULL, 0, &out, NULL), 0);
	line = out;
	for (int i = 3; i < n; i++) {
		assert_non_null(line);
		assert_int_equal(strncmp(line, arguments[i], strlen(arguments[i])), 0);
		line = strchr(line, '\n') + 1;
	}
	assert_string_equal(line, "");
	free(out);
}

static void caption_as_json(void **state)
{
	char *out;
	json_t *object;

	assert_int_equal(RUN(NULL, &out, NULL, "caption", "--json", blue), 0);
	object = json_loads(out, 0, NULL);
	assert_non_null(object);
	assert_string_equal(json_string_value(json_object_get(object, "path")), blue);
	assert_string_equal(json_string_value(json_object_get(object, "caption")), "a picture that is mostly blue");
	assert_int_equal(json_integer_value(json_array_get(json_object_get(object, "size"), 0)), 64);
	assert_true(json_real_value(json_object_get(object, "score")) == -0.5);
	assert_true(json_real_value(json_object_get(object, "ms")) >= 0);
	json_decref(object);
	free(out);
}

static void score_prints_labels_best_first(void **state)
{
	char *out, *first, *second;

	assert_int_equal(RUN(NULL, &out, NULL, "score", "--labels", "a red hat;a blue hat", blue), 0);
	first = strstr(out, "a blue hat");
	second = strstr(out, "a red hat");
	assert_non_null(first);
	assert_non_null(second);
	assert_true(first < second);
	assert_null(strstr(out, "caption"));
	free(out);
}

static void score_verified_as_json(void **state)
{
	char *out;
	json_t *object, *label;

	assert_int_equal(RUN(NULL, &out, NULL, "score", "--verify", "--json", "--labels", "a red hat;a blue hat", red), 0);
	object = json_loads(out, 0, NULL);
	assert_non_null(object);
	assert_string_equal(json_string_value(json_object_get(object, "caption")), "a picture that is mostly red");
	assert_true(json_real_value(json_object_get(object, "clipscore")) > 0);
	assert_int_equal(json_array_size(json_object_get(object, "labels")), 2);
	label = json_array_get(json_object_get(object, "labels"), 0);
	assert_string_equal(json_string_value(json_object_get(label, "label")), "a red hat");
	assert_true(json_real_value(json_object_get(label, "probability")) > 0.9);
	assert_true(json_real_value(json_object_get(json_object_get(label, "nli"), "entailment")) > 0.8);
	assert_true(json_real_value(json_object_get(label, "combined")) > 0.8);
	/* logits 2 and -2; 0.9 against 0.02 */
	assert_float_equal(json_real_value(json_object_get(json_object_get(label, "zero_shot"), "single")), 0.982014, 1e-4);
	assert_float_equal(json_real_value(json_object_get(json_object_get(label, "zero_shot"), "multi")), 0.978261, 1e-4);
	json_decref(object);
	free(out);
}

static void some_pictures_fail(void **state)
{
	char *out, *err;

	assert_int_equal(RUN(NULL, &out, &err, "caption", text, blue, "/no/such.jpg"), 1);
	assert_non_null(strstr(out, "mostly blue"));
	assert_non_null(strstr(err, "text.jpg is not a picture"));
	assert_non_null(strstr(err, "/no/such.jpg: No such file"));
	free(out);
	free(err);
	assert_int_equal(RUN(NULL, &out, NULL, "caption", "--json", text), 1);
	assert_non_null(strstr(out, "\"error\":"));
	free(out);
}

static void names_need_not_be_text(void **state)
{
	char *path = xasprintf("%s/\xff\033[2J.bmp", folder), *out;
	json_t *object;

	pty_put_picture(folder, "\xff\033[2J.bmp", 8, 8, 0x2020c0);
	assert_int_equal(RUN(NULL, &out, NULL, "caption", path), 0);
	assert_non_null(strstr(out, "\\xFF\\x1B[2J.bmp: a picture that is mostly blue"));
	free(out);
	assert_int_equal(RUN(NULL, &out, NULL, "caption", "--json", path), 0);
	object = json_loads(out, 0, NULL);
	assert_non_null(object);
	assert_non_null(json_object_get(object, "path_b64"));
	json_decref(object);
	free(out);
	free(path);
}

static void wrong_usage(void **state)
{
	char *err;

	assert_int_equal(RUN(NULL, NULL, &err, "caption"), 2);
	assert_non_null(strstr(err, "caption needs pictures"));
	free(err);
	assert_int_equal(RUN(NULL, NULL, &err, "caption", "--batch", "many", blue), 2);
	assert_non_null(strstr(err, "command line: batch: \"many\" is not a whole number"));
	free(err);
	assert_int_equal(RUN(NULL, NULL, &err, "score", "--labels", " ; ", blue), 2);
	assert_non_null(strstr(err, "score needs labels"));
	free(err);
	assert_int_equal(RUN(NULL, NULL, &err, "caption", "--bacth", "2", blue), 2);
	assert_non_null(strstr(err, "did you mean \"batch\""));
	free(err);
}

static void no_model(void **state)
{
	char *err;

	assert_int_equal(RUN(((const char *[]){"VRAMBLE_LIBRARY=/no/such.so", NULL}), NULL, &err, "caption", blue), 3);
	assert_non_null(strstr(err, "cannot load the model library"));
	free(err);
	assert_int_equal(RUN(((const char *[]){"VRAMBLE_FAKE=fail_ofa=1", NULL}), NULL, &err, "caption", blue), 3);
	assert_non_null(strstr(err, "told to fail"));
	free(err);
	assert_int_equal(RUN(NULL, NULL, &err, "caption", "--captioner", "none", blue), 3);
	assert_non_null(strstr(err, "no model"));
	free(err);
}

static void an_interrupt_stops_it(void **state)
{
	char *err;

	/* The broken picture is complained about while the other is held for ever. */
	assert_int_equal(run((char *[]){"caption", text, blue, NULL}, (const char *[]){"VRAMBLE_FAKE=hold_ofa=1", NULL}, SIGINT, NULL, &err), 130);
	free(err);
}

static void memory_runs_out(void **state)
{
	char *out;

	assert_int_equal(RUN(((const char *[]){"VRAMBLE_FAKE=fits=1", NULL}), &out, NULL, "caption", "--batch", "8", blue, red, blue), 0);
	assert_non_null(strstr(out, "mostly red"));
	free(out);
}

static void info_tells_what_a_model_is(void **state)
{
	char *out;
	json_t *object;

	assert_int_equal(RUN(NULL, &out, NULL, "info", "/none/clip"), 0);
	assert_non_null(strstr(out, "clip (scores)"));
	assert_non_null(strstr(out, "300.0 MiB"));
	free(out);
	assert_int_equal(RUN(NULL, &out, NULL, "info", "--json", "/none/ofa"), 0);
	object = json_loads(out, 0, NULL);
	assert_non_null(object);
	assert_string_equal(json_string_value(json_object_get(object, "kind")), "caption");
	json_decref(object);
	free(out);
	assert_int_equal(RUN(NULL, &out, NULL, "info"), 2);
	free(out);
}

static void settings_come_from_the_environment(void **state)
{
	char *out, *err;

	assert_int_equal(RUN(((const char *[]){"VRAMBLE_LABELS=a blue sky", NULL}), &out, NULL, "score", blue), 0);
	assert_non_null(strstr(out, "a blue sky"));
	free(out);
	assert_int_equal(RUN(((const char *[]){"VRAMBLE_BATCH=0", NULL}), NULL, &err, "caption", blue), 0);
	assert_non_null(strstr(err, "environment VRAMBLE_BATCH: batch: 0 is outside 1 to 256"));
	free(err);
}

static void help_and_version(void **state)
{
	char *out;

	assert_int_equal(RUN(NULL, &out, NULL, "--help"), 0);
	assert_non_null(strstr(out, "usage: vramble"));
	assert_non_null(strstr(out, "--image-size"));
	assert_non_null(strstr(out, "exit codes"));
	free(out);
	assert_int_equal(RUN(NULL, &out, NULL, "--version"), 0);
	assert_non_null(strstr(out, "vramble 0."));
	assert_non_null(strstr(out, "fake 1.0"));
	assert_non_null(strstr(out, "chafa 1."));
	assert_non_null(strstr(out, "ncurses"));
	free(out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(caption_prints_a_line_each),
		cmocka_unit_test(order_is_that_of_the_arguments),
		cmocka_unit_test(caption_as_json),
		cmocka_unit_test(score_prints_labels_best_first),
		cmocka_unit_test(score_verified_as_json),
		cmocka_unit_test(some_pictures_fail),
		cmocka_unit_test(names_need_not_be_text),
		cmocka_unit_test(wrong_usage),
		cmocka_unit_test(no_model),
		cmocka_unit_test(an_interrupt_stops_it),
		cmocka_unit_test(memory_runs_out),
		cmocka_unit_test(info_tells_what_a_model_is),
		cmocka_unit_test(settings_come_from_the_environment),
		cmocka_unit_test(help_and_version),
	};

	return cmocka_run_group_tests(tests, make_pictures, remove_pictures);
}
