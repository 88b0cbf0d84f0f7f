/* test_commands.c - config, doctor, profiles and the log, as the real program without a screen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "core/mem.h"
#include "tests/support/data.h"
#include "tests/support/pty.h"

enum { MOST = 32 };

static char *folder, *home, *blue;

static int setup(void **state)
{
	folder = data_dir();
	home = xasprintf("XDG_CONFIG_HOME=%s", folder);
	pty_put_picture(folder, "blue.bmp", 64, 48, 0x1020c0);
	blue = xasprintf("%s/blue.bmp", folder);
	return 0;
}

static int teardown(void **state)
{
	data_remove_dir(folder);
	free(home);
	free(blue);
	return 0;
}

/* Puts a file into $XDG_CONFIG_HOME/vramble. */
static void put(const char *name, const char *text, size_t size)
{
	char *dir = xasprintf("%s/vramble", folder), *profiles = xasprintf("%s/profiles", dir);

	mkdir(dir, 0700);
	mkdir(profiles, 0700);
	data_put(dir, name, text, size);
	free(profiles);
	free(dir);
}

/* The program with the fake models, the folder as its configuration, and one or two more variables (NULL: none). */
static int run(char *const *arguments, const char *variable, const char *second, char **out, char **err)
{
	const char *env[] = {home, variable ? variable : second, variable ? second : NULL, NULL};
	char *argv[MOST] = {(char *)pty_program(), "--clip", "/none/clip", "--captioner", "/none/ofa", "--nli", "/none/bert"};
	int n = 7;

	while (*arguments && n + 1 < MOST)
		argv[n++] = *arguments++;
	return pty_capture(argv, env, 0, out, err);
}

#define RUN(variable, out, err, ...) run((char *[]){__VA_ARGS__, NULL}, variable, NULL, out, err)

/* A line of text that begins with key and holds value and, behind it, origin. */
static void has_row(const char *text, const char *key, const char *value, const char *origin)
{
	for (const char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
		char *row = xstrndup(line, strcspn(line, "\n")), *at;
		bool found = !strncmp(row, key, strlen(key)) && row[strlen(key)] == ' ' && (at = strstr(row + strlen(key), value)) &&
			     strstr(at + strlen(value), origin);

		free(row);
		if (found)
			return;
	}
	fail_msg("no row \"%s … %s … %s\" in:\n%s", key, value, origin, text);
}

/* ---------------------------------------------------------------- config */

static void config_says_where_each_value_comes_from(void **state)
{
	static const char text[] = "# mine\nbatch = 8\nreserve = 20\nbeams = 2\n";
	char *out, *err, *origin;

	put("config", text, sizeof text - 1);
	assert_int_equal(RUN("VRAMBLE_BEAMS=3", &out, &err, "config", "--profile", "production", "--cap=80%", "--deterministic"), 0);
	assert_string_equal(err, "");
	origin = xasprintf("file %s/vramble/config:3", folder);
	has_row(out, "reserve", "20", origin);
	has_row(out, "batch", "4", "profile production");
	has_row(out, "beams", "3", "environment VRAMBLE_BEAMS");
	has_row(out, "cap", "80%", "flag --cap");
	has_row(out, "deterministic", "on", "flag --deterministic");
	has_row(out, "threads", "0", "default");
	has_row(out, "clip-precision", "autocast", "profile production");
	free(origin);
	free(out);
	free(err);
}

static void config_as_json(void **state)
{
	char *out, *line;
	bool seen = false;

	assert_int_equal(RUN(NULL, &out, NULL, "config", "--json", "--seed", "clock"), 0);
	for (char *rest = out; (line = strsep(&rest, "\n")) && *line;) {
		json_t *object = json_loads(line, 0, NULL);

		assert_non_null(object);
		assert_true(json_is_string(json_object_get(object, "value")));
		if (!strcmp(json_string_value(json_object_get(object, "key")), "seed")) {
			seen = true;
			assert_string_equal(json_string_value(json_object_get(object, "value")), "clock");
			assert_string_equal(json_string_value(json_object_get(object, "source")), "flag");
			assert_string_equal(json_string_value(json_object_get(object, "where")), "--seed");
			assert_true(strlen(json_string_value(json_object_get(object, "seed"))) > 0);
		}
		json_decref(object);
	}
	assert_true(seen);
	free(out);
}

static void config_ends_with_2_when_something_is_wrong(void **state)
{
	static const char text[] = "batch = 0\nbacth = 2\nbeams = 4\n";
	char *out, *err, *where = xasprintf("%s/vramble/config:2: unknown setting \"bacth\"; did you mean \"batch\"?", folder);

	put("config", text, sizeof text - 1);
	assert_int_equal(RUN(NULL, &out, &err, "config"), 2);
	assert_non_null(strstr(err, "config:1: batch: 0 is outside 1 to 256; the setting is left as it was"));
	assert_non_null(strstr(err, where));
	has_row(out, "beams", "4", "file ");
	has_row(out, "batch", "4", "default");
	free(where);
	free(out);
	free(err);
	assert_int_equal(RUN(NULL, NULL, &err, "config", "batch"), 2);
	assert_non_null(strstr(err, "config takes no arguments"));
	free(err);
}

static void a_config_that_is_no_file_stops_nothing(void **state)
{
	char *path, *out, *err;

	put("x", "", 0);
	path = xasprintf("%s/vramble/config", folder);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(RUN(NULL, &out, &err, "caption", blue), 0);
	assert_non_null(strstr(out, "mostly blue"));
	assert_non_null(strstr(err, "/vramble/config is a folder: a text file of \"key = value\" lines belongs there"));
	assert_non_null(strstr(err, "going on without it"));
	free(out);
	free(err);
	free(path);
}

static void a_config_that_is_not_utf8_stops_nothing(void **state)
{
	char *out, *err;

	put("config", "theme = caf\xe9\nbatch = 2\n", 22);
	assert_int_equal(RUN(NULL, &out, &err, "caption", blue), 0);
	assert_non_null(strstr(out, "mostly blue"));
	assert_non_null(strstr(err, "/vramble/config:1: is not UTF-8: save the file as UTF-8"));
	free(out);
	free(err);
}

/* ---------------------------------------------------------------- profiles */

static void profiles_are_listed_and_taken(void **state)
{
	char *out, *err;

	put("profiles/mine.profile", "batch = 7\nbeams = 2\n", 20);
	assert_int_equal(RUN(NULL, &out, NULL, "config", "--profiles", "--profile", "mine"), 0);
	has_row(out, " ", "production", "server");
	has_row(out, "*", "mine", "own");
	free(out);
	assert_int_equal(RUN("VRAMBLE_PROFILE=mine", &out, &err, "config", "--beams", "4"), 0);
	assert_string_equal(err, "");
	has_row(out, "batch", "7", "profile mine");
	has_row(out, "beams", "4", "flag --beams");
	has_row(out, "profile", "mine", "environment VRAMBLE_PROFILE");
	free(out);
	free(err);
}

static void profiles_that_are_not_there(void **state)
{
	char *out, *err;

	assert_int_equal(RUN(NULL, NULL, &err, "caption", "--profile", "prodction", blue), 2);
	assert_non_null(strstr(err, "command line: profile: there is no profile \"prodction\"; did you mean \"production\"?"));
	free(err);
	assert_int_equal(RUN(NULL, NULL, &err, "caption", "--profile", "../x", blue), 2);
	assert_non_null(strstr(err, "not a path"));
	free(err);
	/* From anywhere else it is no reason to stop. */
	assert_int_equal(RUN("VRAMBLE_PROFILE=gone", &out, &err, "caption", blue), 0);
	assert_non_null(strstr(out, "mostly blue"));
	assert_non_null(strstr(err, "there is no profile \"gone\"; these are: personal, production, limited; going on without it"));
	free(out);
	free(err);
}

static void a_switch_needs_no_value(void **state)
{
	char *out;

	assert_int_equal(RUN(NULL, &out, NULL, "caption", "--deterministic", blue), 0);
	assert_non_null(strstr(out, "mostly blue"));
	free(out);
	assert_int_equal(RUN(NULL, &out, NULL, "config", "--benchmark", "off", "--empty-cache=yes", "--deterministic"), 0);
	has_row(out, "benchmark", "off", "flag --benchmark");
	has_row(out, "empty-cache", "on", "flag");
	has_row(out, "deterministic", "on", "flag");
	free(out);
}

/* ---------------------------------------------------------------- devices */

static void devices_that_are_not_there(void **state)
{
	char *out, *err;

	/* Nobody asked for a GPU: nothing to tell. */
	assert_int_equal(RUN(NULL, &out, &err, "caption", blue), 0);
	assert_string_equal(err, "");
	free(out);
	free(err);
	assert_int_equal(RUN(NULL, &out, &err, "caption", "--device", "cuda:3", blue), 0);
	assert_non_null(strstr(out, "mostly blue"));
	assert_non_null(strstr(err, "cuda:3: going on with the CPU: "));
	free(out);
	free(err);
	assert_int_equal(RUN("FORCE_CUDA=1", &out, &err, "caption", blue), 3);
	assert_string_equal(out, "");
	assert_non_null(strstr(err, "CUDA cannot be used, and force-cuda forbids the CPU: "));
	free(out);
	free(err);
	assert_int_equal(RUN(NULL, NULL, &err, "caption", "--device", "gpu", blue), 2);
	assert_non_null(strstr(err, "command line: device: \"gpu\" is not a device: auto, cpu, cuda or cuda:N"));
	free(err);
}

/* ---------------------------------------------------------------- queue and log */

static void a_full_queue_loses_nothing(void **state)
{
	char *arguments[MOST] = {"caption", "--queue", "2", "--batch", "2"}, *out, *err;
	int n = 5, lines = 0;

	while (n < MOST - 8)
		arguments[n++] = blue;
	assert_int_equal(run(arguments, NULL, NULL, &out, &err), 0);
	assert_string_equal(err, "");
	for (const char *s = out; *s; s++)
		lines += *s == '\n';
	assert_int_equal(lines, n - 5);
	free(out);
	free(err);
}

static void the_log_has_a_line_per_answer(void **state)
{
	char *path = xasprintf("%s/own.log", folder), text[8192] = "", *err;
	FILE *f;

	assert_int_equal(RUN(NULL, NULL, &err, "score", "--verify", "--log", path, "--labels", "a red hat;a blue hat", blue), 0);
	f = fopen(path, "r");
	assert_non_null(f);
	assert_true(fread(text, 1, sizeof text - 1, f) > 0);
	fclose(f);
	assert_non_null(strstr(text, "blue.bmp: CLIP "));
	assert_non_null(strstr(text, "): a blue hat "));
	assert_non_null(strstr(text, "tokens): a picture that is mostly blue\n"));
	assert_non_null(strstr(text, "1 of 2 labels follow from the caption\n"));
	assert_non_null(strstr(text, "info 1 ok, 0 failed (100.0 %)"));
	free(err);
	free(path);
}

static void a_full_disk_under_the_log_is_told_once(void **state)
{
	char *out, *err, *first;

	assert_int_equal(RUN(NULL, &out, &err, "caption", "--log", "/dev/full", blue, blue, blue), 0);
	assert_non_null(strstr(out, "mostly blue"));
	first = strstr(err, "/dev/full: cannot be written: No space left on device");
	assert_non_null(first);
	assert_null(strstr(first + 1, "/dev/full"));
	free(out);
	free(err);
}

/* ---------------------------------------------------------------- doctor */

/* The verdict of one check in JSON lines; *fix whether a fix is given. */
static char *verdict(const char *json, const char *check, bool *fix)
{
	char *copy = xstrdup(json), *rest = copy, *line, *found = NULL;

	while ((line = strsep(&rest, "\n")) && *line) {
		json_t *object = json_loads(line, 0, NULL);

		assert_non_null(object);
		if (!strcmp(json_string_value(json_object_get(object, "check")), check)) {
			found = xasprintf("%s: %s", json_string_value(json_object_get(object, "verdict")),
					  json_string_value(json_object_get(object, "text")));
			*fix = json_object_get(object, "fix");
		}
		json_decref(object);
	}
	free(copy);
	assert_non_null(found);
	return found;
}

static void check_is(const char *json, const char *check, const char *wanted)
{
	bool fix;
	char *found = verdict(json, check, &fix);

	if (strncmp(found, wanted, strlen(wanted)))
		fail_msg("%s is \"%s\", not \"%s\"", check, found, wanted);
	assert_int_equal(fix, strncmp(wanted, "ok", 2) != 0);
	free(found);
}

static void doctor_on_a_cpu(void **state)
{
	char *out;

	assert_int_equal(RUN(NULL, &out, NULL, "doctor", "--json", "--device", "cpu"), 0);
	check_is(out, "libtorch", "ok: fake 1.0, a CPU build");
	check_is(out, "device", "ok: CPU, fake, as asked for");
	check_is(out, "clip", "ok: clip, 78.6 M parameters");
	check_is(out, "nli", "ok: bert");
	check_is(out, "memory", "ok: weights 1.37 GiB");
	check_is(out, "terminal", "warn: the output is no terminal");
	check_is(out, "locale", "ok: C.UTF-8, UTF-8");
	check_is(out, "settings", "ok: all right");
	check_is(out, "log", "ok: ");
	free(out);
	assert_int_equal(RUN(NULL, &out, NULL, "doctor"), 0);
	assert_non_null(strstr(out, "ok    captioner  ofa, "));
	assert_non_null(strstr(out, " 0 failures\n"));
	free(out);
}

static void doctor_finds_what_is_wrong(void **state)
{
	char *out;

	put("config", "bacth = 2\n", 10);
	assert_int_equal(
		RUN("FORCE_CUDA=1", &out, NULL, "doctor", "--json", "--cap", "900M", "--nli", "none", "--threads", "900", "--log", "/proc/no/log"),
		1);
	check_is(out, "device", "fail: CUDA cannot be used, and force-cuda forbids the CPU: ");
	check_is(out, "nli", "ok: not used");
	check_is(out, "memory", "fail: weights 1000.0 MiB");
	check_is(out, "threads", "warn: 900 per run");
	check_is(out, "settings", "fail: 1 problem: ");
	check_is(out, "log", "warn: /proc/no/log");
	free(out);
	assert_int_equal(RUN("VRAMBLE_LIBRARY=/no/such.so", &out, NULL, "doctor", "--json"), 1);
	check_is(out, "libtorch", "fail: cannot load the model library");
	check_is(out, "clip", "fail: /none/clip: cannot be read without libtorch");
	free(out);
}

static void doctor_asks_the_driver(void **state)
{
	static const char *const orders[][2] = {{"FAKE_NVML=works", "ok: NVIDIA 999.01, 2 devices: Fake GPU 0"},
						{"FAKE_NVML=fail", "warn: the NVIDIA driver fails: Driver Not Loaded"},
						{"FAKE_NVML=none", "warn: NVIDIA 999.01, but no device"},
						{"FAKE_NVML=hang", "warn: the NVIDIA driver does not answer"}};
	char *where = xstrdup(pty_build_file("tests/nvml/libnvidia-ml.so.1")), *path;
	struct timespec begin, end;

	*strrchr(where, '/') = '\0';
	path = xasprintf("LD_LIBRARY_PATH=%s", where);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (int i = 0; i < 4; i++) {
		char *out;

		assert_int_equal(run((char *[]){"doctor", "--json", NULL}, path, orders[i][0], &out, NULL), 0);
		check_is(out, "driver", orders[i][1]);
		free(out);
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	/* The one that hangs is given five seconds. */
	assert_true(end.tv_sec - begin.tv_sec < PTY_SECONDS);
	free(path);
	free(where);
}

static void doctor_looks_at_the_terminal(void **state)
{
	char *const argv[] = {(char *)pty_program(), "doctor", "--clip", "/none/clip", "--captioner", "/none/ofa", "--nli", "/none/bert", NULL};
	const char *const good[] = {home, "TERM=xterm-256color", "COLORTERM=truecolor", "TMUX=/tmp/tmux", NULL};
	const char *const bad[] = {home, "TERM=no-such-terminal", NULL};
	const char *const old[] = {home, "LANG=C", NULL};
	struct pty *p = pty_start(&(struct pty_options){.argv = argv, .env = good, .rows = 40, .columns = 140});

	pty_wait_text(p, "failures");
	pty_wait_text(p, "ok    terminal   xterm-256color in tmux, true colour");
	assert_int_equal(pty_finish(p, NULL), 0);
	p = pty_start(&(struct pty_options){.argv = argv, .env = bad, .rows = 40, .columns = 140});
	pty_wait_text(p, "fail  terminal   TERM=no-such-terminal is not known");
	assert_int_equal(pty_finish(p, NULL), 1);
	p = pty_start(&(struct pty_options){.argv = argv, .env = old, .rows = 40, .columns = 140});
	pty_wait_text(p, "fail  locale     C: ANSI_X3.4-1968, not UTF-8");
	assert_int_equal(pty_finish(p, NULL), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(config_says_where_each_value_comes_from),
		TEST(config_as_json),
		TEST(config_ends_with_2_when_something_is_wrong),
		TEST(a_config_that_is_no_file_stops_nothing),
		TEST(a_config_that_is_not_utf8_stops_nothing),
		TEST(profiles_are_listed_and_taken),
		TEST(profiles_that_are_not_there),
		TEST(a_switch_needs_no_value),
		TEST(devices_that_are_not_there),
		TEST(a_full_queue_loses_nothing),
		TEST(the_log_has_a_line_per_answer),
		TEST(a_full_disk_under_the_log_is_told_once),
		TEST(doctor_on_a_cpu),
		TEST(doctor_finds_what_is_wrong),
		TEST(doctor_asks_the_driver),
		TEST(doctor_looks_at_the_terminal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
