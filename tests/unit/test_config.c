/* Settings: the table and its limits, layers and their order, files and variables of every bad kind. */
#include "core/config.h"
#include "core/mem.h"
#include "tests/support/data.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct config c;
static struct buffer told; /* what warn was told, one line each */
static int n_told;
static char *dir;

static void warn(void *ctx, const char *text)
{
	buffer_printf(&told, "%s\n", text);
	n_told++;
}

static int setup(void **state)
{
	config_init(&c);
	n_told = 0;
	dir = data_dir();
	return 0;
}

static int teardown(void **state)
{
	config_free(&c);
	buffer_free(&told);
	data_remove_dir(dir);
	return 0;
}

static void is_value(const char *key, const char *value)
{
	char *text = config_get(&c, key);

	assert_non_null(text);
	assert_string_equal(text, value);
	free(text);
}

static void comes_from(const char *key, const char *origin)
{
	char *text = config_origin_text(config_origin(&c, key));

	assert_string_equal(text, origin);
	free(text);
}

/* ---------------------------------------------------------------- values */

static void every_value_can_be_written_and_read_again(void **state)
{
	static const char *const example[][2] = {
		{"clip", "/models/clip"},
		{"captioner", "none"},
		{"nli", "bert"},
		{"labels", "a;b"},
		{"hypothesis", "It is {}."},
		{"profile", "limited"},
		{"device", "cuda:1"},
		{"clip-device", "cpu"},
		{"captioner-device", "auto"},
		{"nli-device", "cuda:3"},
		{"force-cuda", "on"},
		{"batch", "256"},
		{"slice", "2"},
		{"precision", "fp16"},
		{"clip-precision", "bf16"},
		{"captioner-precision", "autocast"},
		{"nli-precision", "fp32"},
		{"image-size", "512"},
		{"beams", "16"},
		{"cap", "16G"},
		{"reserve", "90"},
		{"empty-cache", "on"},
		{"threads", "3"},
		{"loaders", "2"},
		{"seed", "18446744073709551615"},
		{"deterministic", "on"},
		{"benchmark", "on"},
		{"retries", "100"},
		{"retry-delay", "1.5"},
		{"deadline", "0.25"},
		{"queue", "20"},
		{"alert-memory", "90"},
		{"alert-success", "95"},
		{"alert-stall", "30"},
		{"max-pixels", "12"},
		{"theme", "light"},
		{"colour", "256"},
		{"log", "/tmp/x.log"},
	};
	size_t n;
	const struct config_row *rows = config_rows(&n);

	for (size_t i = 0; i < sizeof example / sizeof *example; i++) {
		struct error err;

		/* Profiles of their own are another test's. */
		if (config_set_from(&c, example[i][0], example[i][1], CONFIG_FLAG, "--x", &err) < 0)
			fail_msg("%s", err.text);
		is_value(example[i][0], example[i][1]);
		comes_from(example[i][0], "flag --x");
	}
	/* cell-size keeps the ratio only. */
	assert_int_equal(sizeof example / sizeof *example + 1, n);
	for (size_t i = 0; i < n; i++)
		assert_true(strlen(rows[i].help) <= 75);
	assert_int_equal(config_set(&c, "cell-size", "9x18", NULL), 0);
	is_value("cell-size", "500x1000");
	assert_true(c.cell_aspect == 0.5);
	assert_null(config_get(&c, "nonsense"));
	assert_null(config_origin(&c, "nonsense"));
}

static void defaults(void **state)
{
	static const char *const wanted[][2] = {{"batch", "4"},         {"slice", "all"},         {"precision", "auto"}, {"device", "auto"},
						{"image-size", "auto"}, {"beams", "5"},           {"cap", "none"},       {"reserve", "15"},
						{"seed", "42"},         {"deterministic", "off"}, {"deadline", "none"},  {"queue", "none"},
						{"retries", "0"},       {"retry-delay", "0"},     {"threads", "0"},      {"force-cuda", "off"},
						{"colour", "auto"},     {"clip", "(bundled)"},    {"profile", "(none)"}};
	const struct config_row *rows;
	size_t n;

	for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
		is_value(wanted[i][0], wanted[i][1]);
		comes_from(wanted[i][0], "default");
	}
	rows = config_rows(&n);
	for (size_t i = 0; i < n; i++) {
		char *text = config_get(&c, rows[i].key);

		assert_non_null(text);
		free(text);
	}
	is_value("max-pixels", "100");
	assert_int_equal(c.settings.device[MODEL_NLI], DEVICE_AUTO);
}

/* What it says names the key, the value and what is accepted; nothing changes. */
static void bad_values(void **state)
{
	static const char *const bad[][3] = {
		{"batch", "0", "batch: 0 is outside 1 to 256"},
		{"batch", "1000000000", "1000000000 is outside 1 to 256"},
		{"batch", "99999999999999999999", "is outside 1 to 256"},
		{"batch", "-1", "outside"},
		{"batch", "4.5", "\"4.5\" is not a whole number: 1 to 256"},
		{"batch", "", "not a whole number"},
		{"slice", "0", "0 is outside 1 to 256, or all"},
		{"deadline", "-5", "deadline: -5 is outside 0.001 to 86400 seconds, or none"},
		{"deadline", "0", "outside"},
		{"deadline", "nan", "is not a time"},
		{"deadline", "soon", "seconds, 0.001 to 86400, or none"},
		{"retry-delay", "3601", "outside 0 to 3600"},
		{"queue", "0", "outside 1 to 1000000, or none"},
		{"reserve", "91", "outside 0 to 90"},
		{"cap", "0", "hold nothing"},
		{"cap", "0%", "1% to 100%"},
		{"cap", "101%", "1% to 100%"},
		{"cap", "nan%", "1% to 100%"},
		{"cap", "50%x", "1% to 100%"},
		{"cap", "lots", "not a size"},
		{"cap", "5Q", "the unit is K, M, G or T"},
		{"cap", "-1G", "not a size"},
		{"max-memory", "x", "max-memory: \"x\" is not a size"},
		{"seed", "-1", "or clock"},
		{"seed", "18446744073709551616", "or clock"},
		{"seed", "1e3", "or clock"},
		{"precision", "int8", "auto, fp32, bf16, fp16, autocast"},
		{"nli-precision", "", "auto, fp32"},
		{"device", "gpu", "auto, cpu, cuda or cuda:N"},
		{"clip-device", "cuda:x", "auto, cpu, cuda or cuda:N"},
		{"benchmark", "maybe", "not on or off"},
		{"image-size", "8", "outside 16 to 4096, or auto"},
		{"beams", "17", "outside 1 to 16"},
		{"alert-memory", "101", "outside 1 to 100, or none"},
		{"profile", "a/b", "not a path"},
		{"bacth", "2", "did you mean \"batch\""},
		{"clip-precison", "fp16", "did you mean \"clip-precision\""},
		{"quetzalcoatl", "2", "--help lists them"},
	};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		char *before = config_get(&c, bad[i][0]), *after;
		struct error err = {0};

		assert_int_equal(config_set_from(&c, bad[i][0], bad[i][1], CONFIG_FLAG, "--x", &err), -1);
		if (!strstr(err.text, bad[i][2]))
			fail_msg("%s = %s: \"%s\" does not say \"%s\"", bad[i][0], bad[i][1], err.text, bad[i][2]);
		after = config_get(&c, bad[i][0]);
		if (before)
			assert_string_equal(after, before);
		free(before);
		free(after);
	}
}

static void caps(void **state)
{
	assert_int_equal(config_set(&c, "cap", "80%", NULL), 0);
	assert_int_equal(c.settings.cap_percent, 80);
	assert_int_equal(c.settings.cap, 0);
	is_value("cap", "80%");
	assert_int_equal(config_set(&c, "max-memory", "1.5GiB", NULL), 0);
	assert_int_equal(c.settings.cap_percent, 0);
	assert_true(c.settings.cap == 3LL << 29);
	is_value("cap", "1536M");
	assert_int_equal(config_set(&c, "cap", "1000001", NULL), 0);
	is_value("cap", "1000001");
	assert_int_equal(config_set(&c, "cap", "none", NULL), 0);
	assert_int_equal(c.settings.cap, 0);
}

static void a_seed_from_the_clock(void **state)
{
	assert_int_equal(config_set(&c, "seed", "clock", NULL), 0);
	assert_true(c.seed_from_clock);
	assert_true(c.settings.seed != 42);
	is_value("seed", "clock");
	assert_int_equal(config_set(&c, "seed", "7", NULL), 0);
	assert_false(c.seed_from_clock);
	is_value("seed", "7");
}

static void switches(void **state)
{
	assert_true(config_is_switch("deterministic"));
	assert_true(config_is_switch("force-cuda"));
	assert_false(config_is_switch("batch"));
	assert_false(config_is_switch("nonsense"));
	assert_true(config_is_switch_value("ON"));
	assert_true(config_is_switch_value("0"));
	assert_false(config_is_switch_value("photo.jpg"));
	assert_int_equal(config_set(&c, "benchmark", "yes", NULL), 0);
	assert_true(c.settings.benchmark);
	assert_int_equal(config_set(&c, "benchmark", "False", NULL), 0);
	assert_false(c.settings.benchmark);
}

/* ---------------------------------------------------------------- layers */

static void set(const char *key, const char *value, enum config_source source, const char *where)
{
	assert_int_equal(config_set_from(&c, key, value, source, where, NULL), 0);
}

static void the_stronger_layer_wins_in_any_order(void **state)
{
	set("batch", "8", CONFIG_ENVIRONMENT, "VRAMBLE_BATCH");
	set("batch", "2", CONFIG_FILE, "/etc/x:1");
	set("batch", "3", CONFIG_PROFILE, "production");
	is_value("batch", "8");
	comes_from("batch", "environment VRAMBLE_BATCH");
	set("batch", "16", CONFIG_FLAG, "--batch");
	is_value("batch", "16");
	comes_from("batch", "flag --batch");
	assert_int_equal(config_set(&c, "batch", "1", NULL), 0);
	comes_from("batch", "by hand");
	assert_int_equal(config_set(&c, "batch", "5", NULL), 0);
	is_value("batch", "5");
	/* Within one layer the later one. */
	set("beams", "2", CONFIG_FILE, "/etc/x:2");
	set("beams", "3", CONFIG_FILE, "/etc/x:7");
	is_value("beams", "3");
	comes_from("beams", "file /etc/x:7");
	/* What is outranked must be right all the same. */
	assert_int_equal(config_set_from(&c, "batch", "0", CONFIG_FILE, "/etc/x:3", NULL), -1);
}

static void one_model_apart(void **state)
{
	/* In one layer the word about one model stands, in either order. */
	set("clip-precision", "bf16", CONFIG_FILE, "f:1");
	set("precision", "fp16", CONFIG_FILE, "f:2");
	is_value("clip-precision", "bf16");
	comes_from("clip-precision", "file f:1");
	is_value("nli-precision", "fp16");
	comes_from("nli-precision", "file f:2");
	is_value("precision", "mixed");
	set("nli-precision", "fp32", CONFIG_FILE, "f:3");
	is_value("nli-precision", "fp32");
	/* A stronger layer's word about all models covers it. */
	set("precision", "autocast", CONFIG_FLAG, "--precision");
	is_value("precision", "autocast");
	is_value("clip-precision", "autocast");
	comes_from("clip-precision", "flag --precision");
	set("clip-precision", "bf16", CONFIG_FILE, "f:4");
	is_value("clip-precision", "autocast");
	/* And a stronger one about one model stays when a weaker one about all comes. */
	set("captioner-device", "cuda:1", CONFIG_ENVIRONMENT, "VRAMBLE_CAPTIONER_DEVICE");
	set("device", "cpu", CONFIG_FILE, "f:5");
	is_value("captioner-device", "cuda:1");
	is_value("clip-device", "cpu");
	/* By hand the last word counts. */
	assert_int_equal(config_set(&c, "clip-precision", "fp32", NULL), 0);
	assert_int_equal(config_set(&c, "precision", "bf16", NULL), 0);
	is_value("precision", "bf16");
}

/* ---------------------------------------------------------------- files */

static int read_text(const char *text, size_t size)
{
	char *path = xasprintf("%s/config", dir);
	struct error err = {0};
	int result;

	data_put(dir, "config", text, size);
	result = config_read(&c, path, warn, NULL, &err);
	if (result < 0)
		warn(NULL, err.text);
	free(path);
	return result;
}

static void a_file(void **state)
{
	static const char text[] =
		"\xef\xbb\xbf# settings\n\n  batch = 8  \nbacth = 9\n\tlabels = a cat; a dog = pet \r\nbeams\nbeams = 0\nreserve=20";

	assert_int_equal(read_text(text, sizeof text - 1), 0);
	is_value("batch", "8");
	is_value("labels", "a cat; a dog = pet");
	is_value("reserve", "20");
	is_value("beams", "5");
	assert_int_equal(n_told, 3);
	assert_non_null(strstr(told.text, "/config:4: unknown setting \"bacth\"; did you mean \"batch\"?\n"));
	assert_non_null(strstr(told.text, "/config:6: \"beams\" is not \"key = value\"\n"));
	assert_non_null(strstr(told.text, "/config:7: beams: 0 is outside 1 to 16\n"));
	assert_non_null(strstr(config_origin(&c, "reserve")->where, "/config:8"));
	assert_int_equal(config_origin(&c, "reserve")->source, CONFIG_FILE);
}

static void files_that_are_no_text(void **state)
{
	char *folder = xasprintf("%s/folder", dir), *missing = xasprintf("%s/missing/config", dir);
	struct error err;

	assert_int_equal(mkdir(folder, 0700), 0);
	assert_int_equal(config_read(&c, folder, warn, NULL, &err), -1);
	assert_non_null(strstr(err.text, "is a folder: a text file of \"key = value\" lines belongs there"));
	assert_int_equal(config_read(&c, missing, warn, NULL, &err), 0);
	assert_int_equal(config_read(&c, "/dev/null", warn, NULL, &err), -1);
	assert_non_null(strstr(err.text, "no regular file"));
	assert_int_equal(n_told, 0);
	/* One bad line leaves the others good. */
	assert_int_equal(read_text("theme = caf\xe9\nbatch = 7\n", 22), 0);
	assert_non_null(strstr(told.text, "/config:1: is not UTF-8: save the file as UTF-8\n"));
	is_value("batch", "7");
	is_value("theme", "(by the terminal)");
	/* UTF-16: told once. */
	assert_int_equal(read_text("\xff\xfe"
				   "b\0=\0"
				   "1\0\n\0b\0=\0"
				   "2\0\n\0",
				   18),
			 0);
	assert_int_equal(n_told, 2);
	assert_non_null(strstr(told.text, "/config:1: holds a zero byte: not a text file"));
	rmdir(folder);
	free(folder);
	free(missing);
}

static void files_that_cannot_be_read(void **state)
{
	char *path = xasprintf("%s/config", dir);
	struct error err;
	char *large = xcalloc(1, (1 << 20) + 1);

	memset(large, '\n', (1 << 20) + 1);
	assert_int_equal(read_text(large, (1 << 20) + 1), -1);
	assert_non_null(strstr(told.text, "too many for settings"));
	free(large);
	data_put(dir, "config", "batch = 7\n", 10);
	chmod(path, 0);
	if (access(path, R_OK) < 0) { /* root reads everything */
		assert_int_equal(config_read(&c, path, warn, NULL, &err), -1);
		assert_non_null(strstr(err.text, "chmod u+r"));
	}
	free(path);
}

static void a_flood_of_bad_lines_is_cut(void **state)
{
	struct buffer b = {0};

	for (int i = 0; i < 1000; i++)
		buffer_puts(&b, "nonsense\n");
	buffer_puts(&b, "batch = 6\n");
	assert_int_equal(read_text(b.text, b.length), 0);
	assert_int_equal(n_told, 21);
	assert_non_null(strstr(told.text, "980 more bad lines"));
	is_value("batch", "6");
	buffer_free(&b);
}

/* ---------------------------------------------------------------- environment */

static void variables(void **state)
{
	setenv("VRAMBLE_IMAGE_SIZE", "384", 1);
	setenv("VRAMBLE_BATCH", "0", 1);
	setenv("VRAMBLE_BAECH", "2", 1);
	setenv("VRAMBLE_LIBRARY", "/x.so", 1);
	setenv("VRAMBLE_MAX_MEMORY", "2G", 1);
	setenv("FORCE_CUDA", "1", 1);
	config_read_environment(&c, warn, NULL);
	is_value("image-size", "384");
	comes_from("image-size", "environment VRAMBLE_IMAGE_SIZE");
	is_value("cap", "2G");
	comes_from("cap", "environment VRAMBLE_MAX_MEMORY");
	assert_true(c.force_cuda);
	comes_from("force-cuda", "environment FORCE_CUDA");
	assert_int_equal(n_told, 2);
	assert_non_null(strstr(told.text, "environment VRAMBLE_BATCH: batch: 0 is outside 1 to 256\n"));
	assert_non_null(strstr(told.text, "environment VRAMBLE_BAECH: unknown setting; did you mean VRAMBLE_BATCH?\n"));
	unsetenv("VRAMBLE_BATCH");
	unsetenv("VRAMBLE_BAECH");
	/* Empty means unset; its own variable wins over the one shared with others. */
	config_free(&c);
	config_init(&c);
	setenv("FORCE_CUDA", "", 1);
	config_read_environment(&c, warn, NULL);
	assert_false(c.force_cuda);
	setenv("FORCE_CUDA", "1", 1);
	setenv("VRAMBLE_FORCE_CUDA", "off", 1);
	config_read_environment(&c, warn, NULL);
	assert_false(c.force_cuda);
	assert_int_equal(n_told, 2);
	unsetenv("VRAMBLE_IMAGE_SIZE");
	unsetenv("VRAMBLE_LIBRARY");
	unsetenv("VRAMBLE_MAX_MEMORY");
	unsetenv("VRAMBLE_FORCE_CUDA");
	unsetenv("FORCE_CUDA");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_value_can_be_written_and_read_again),
		TEST(defaults),
		TEST(bad_values),
		TEST(caps),
		TEST(a_seed_from_the_clock),
		TEST(switches),
		TEST(the_stronger_layer_wins_in_any_order),
		TEST(one_model_apart),
		TEST(a_file),
		TEST(files_that_are_no_text),
		TEST(files_that_cannot_be_read),
		TEST(a_flood_of_bad_lines_is_cut),
		TEST(variables),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
