/* Profiles: the built-in values, precedence, own files of every kind, saving that cannot tear. */
#include "core/mem.h"
#include "core/profile.h"
#include "tests/support/data.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <signal.h>
#include <unistd.h>

static struct config c;
static char *dir;
static char told[2000];
static int n_told;

static void warn(void *ctx, const char *text)
{
	snprintf(told, sizeof told, "%s", text);
	n_told++;
}

static void begin(struct config *config)
{
	config_init(config);
	config->profile_dir = xasprintf("%s/config/profiles", dir);
}

static int setup(void **state)
{
	dir = data_dir();
	begin(&c);
	n_told = 0;
	return 0;
}

static int teardown(void **state)
{
	config_free(&c);
	data_remove_dir(dir);
	return 0;
}

static void is_value(const struct config *config, const char *key, const char *value)
{
	char *text = config_get(config, key);

	assert_string_equal(text, value);
	free(text);
}

static void comes_from(const char *key, const char *origin)
{
	char *text = config_origin_text(config_origin(&c, key));

	assert_string_equal(text, origin);
	free(text);
}

static void put(const char *file, const char *text)
{
	struct error err;

	/* Saving makes the folders. */
	assert_int_equal(profile_save(&c, "makes-the-folder", &err), 0);
	data_put(c.profile_dir, file, text, strlen(text));
}

static void the_built_in_ones(void **state)
{
	static const char *const wanted[][4] = {
		/* personal, production, limited */
		{"batch", "1", "4", "1"},
		{"image-size", "512", "768", "384"},
		{"precision", "fp32", "autocast", "autocast"},
		{"slice", "all", "all", "1"},
		{"seed", "42", "clock", "42"},
		{"retries", "3", "2", "5"},
		{"deadline", "30", "10", "60"},
		{"queue", "10", "20", "10"},
		{"device", "auto", "auto", "auto"},
		{"alert-memory", "none", "90", "none"},
		{"alert-success", "none", "95", "none"},
		{"alert-stall", "none", "30", "none"},
	};
	static const char *const names[] = {"personal", "production", "limited"};

	for (int p = 0; p < 3; p++) {
		struct error err;

		if (profile_apply(&c, names[p], &err) < 0)
			fail_msg("%s", err.text);
		for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
			is_value(&c, wanted[i][0], wanted[i][p + 1]);
		is_value(&c, "profile", names[p]);
	}
	comes_from("batch", "profile limited");
	comes_from("profile", "by hand");
	/* What a profile says nothing of stays. */
	is_value(&c, "beams", "5");
}

static void between_file_and_environment(void **state)
{
	struct error err;

	assert_int_equal(config_set_from(&c, "batch", "2", CONFIG_FILE, "f:1", NULL), 0);
	assert_int_equal(config_set_from(&c, "retries", "9", CONFIG_ENVIRONMENT, "VRAMBLE_RETRIES", NULL), 0);
	assert_int_equal(config_set_from(&c, "clip-precision", "bf16", CONFIG_FLAG, "--clip-precision", NULL), 0);
	assert_int_equal(config_set_from(&c, "beams", "3", CONFIG_FILE, "f:2", NULL), 0);
	assert_int_equal(config_set_from(&c, "profile", "production", CONFIG_FILE, "f:3", NULL), 0);
	assert_int_equal(profile_begin(&c, warn, NULL, &err), 0);
	assert_int_equal(n_told, 0);
	is_value(&c, "batch", "4");
	comes_from("batch", "profile production");
	is_value(&c, "retries", "9");
	is_value(&c, "clip-precision", "bf16");
	is_value(&c, "nli-precision", "autocast");
	is_value(&c, "beams", "3");
	/* Live, it replaces flags and variables, too, and what the one before said of one model. */
	assert_int_equal(profile_apply(&c, "personal", &err), 0);
	is_value(&c, "retries", "3");
	is_value(&c, "precision", "fp32");
	assert_int_equal(config_set(&c, "profile", "limited", &err), 0);
	is_value(&c, "precision", "autocast");
	is_value(&c, "deadline", "60");
}

static void nothing_named(void **state)
{
	assert_int_equal(profile_begin(&c, warn, NULL, NULL), 0);
	is_value(&c, "batch", "4");
	comes_from("batch", "default");
}

static void saved_and_taken_again(void **state)
{
	static const char *const set[][2] = {{"batch", "12"},        {"slice", "3"},      {"clip-precision", "bf16"}, {"cap", "80%"},
					     {"seed", "clock"},      {"deadline", "2.5"}, {"device", "cuda:1"},       {"labels", "not part of it"},
					     {"alert-stall", "none"}};
	struct config other;
	struct error err;
	struct stat st;
	char *path = xasprintf("%s/my-card_2.0.profile", c.profile_dir);

	for (size_t i = 0; i < sizeof set / sizeof *set; i++)
		assert_int_equal(config_set(&c, set[i][0], set[i][1], NULL), 0);
	if (profile_save(&c, "my-card_2.0", &err) < 0)
		fail_msg("%s", err.text);
	is_value(&c, "profile", "my-card_2.0");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	begin(&other);
	assert_int_equal(profile_apply(&other, "my-card_2.0", &err), 0);
	for (size_t i = 0; i < sizeof set / sizeof *set; i++)
		is_value(&other, set[i][0], strcmp(set[i][0], "labels") ? set[i][1] : "(the models' own)");
	is_value(&other, "nli-precision", "auto");
	is_value(&other, "precision", "mixed");
	config_free(&other);
	/* A second time it is replaced whole. */
	assert_int_equal(config_set(&c, "clip-precision", "auto", NULL), 0);
	assert_int_equal(profile_save(&c, "my-card_2.0", &err), 0);
	begin(&other);
	assert_int_equal(profile_apply(&other, "my-card_2.0", &err), 0);
	is_value(&other, "precision", "auto");
	config_free(&other);
	free(path);
}

static void lists(void **state)
{
	struct profile_info *list;
	struct error err;
	int n;

	n = profile_list(NULL, &list);
	assert_int_equal(n, 3);
	assert_true(list[2].builtin);
	assert_non_null(list[0].summary);
	free(list);
	put("zebra.profile", "batch = 1\n");
	data_put(c.profile_dir, "production.profile", "batch = 99\n", 11);
	data_put(c.profile_dir, ".hidden.profile", "", 0);
	data_put(c.profile_dir, "notes.txt", "", 0);
	data_put(c.profile_dir, "b\xff.profile", "", 0);
	data_put(c.profile_dir, ".profile", "", 0);
	assert_int_equal(profile_save(&c, "alpha", &err), 0);
	n = profile_list(c.profile_dir, &list);
	assert_int_equal(n, 6);
	assert_string_equal(list[0].name, "personal");
	assert_string_equal(list[3].name, "alpha");
	assert_string_equal(list[5].name, "zebra");
	assert_false(list[5].builtin);
	free(list);
	/* The built-in one is the one that counts. */
	assert_int_equal(profile_apply(&c, "production", &err), 0);
	is_value(&c, "batch", "4");
}

static void names(void **state)
{
	char longest[PROFILE_NAME_MOST + 2];
	const char *const bad[] = {"", "a/b", "/etc/passwd", "../up", ".hidden", "..", "two words", "caf\xc3\xa9", "tab\t", "new\nline", longest};
	struct error err;

	memset(longest, 'a', sizeof longest);
	longest[sizeof longest - 1] = '\0';
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		assert_int_equal(profile_save(&c, bad[i], &err), -1);
		assert_int_equal(err.code, E_USAGE);
		assert_non_null(strstr(err.text, "not a profile's name"));
		assert_non_null(strstr(err.text, "letters, digits"));
		assert_int_equal(profile_apply(&c, bad[i], &err), -1);
		assert_int_equal(profile_delete(&c, bad[i], &err), -1);
	}
	longest[PROFILE_NAME_MOST] = '\0';
	assert_int_equal(profile_save(&c, longest, &err), 0);
	assert_int_equal(profile_save(&c, "limited", &err), -1);
	assert_non_null(strstr(err.text, "built in"));
	assert_int_equal(profile_delete(&c, "limited", &err), -1);
}

static void unknown_ones(void **state)
{
	struct error err;

	assert_int_equal(profile_apply(&c, "prodction", &err), -1);
	assert_string_equal(err.text, "there is no profile \"prodction\"; did you mean \"production\"?");
	assert_int_equal(profile_apply(&c, "mine", &err), -1);
	assert_string_equal(err.text, "there is no profile \"mine\"; these are: personal, production, limited");
	is_value(&c, "profile", "(none)");
	assert_int_equal(config_set_from(&c, "profile", "mine", CONFIG_FLAG, "--profile", NULL), 0);
	assert_int_equal(profile_begin(&c, warn, NULL, &err), -1);
	assert_non_null(strstr(err.text, "there is no profile \"mine\""));
	is_value(&c, "batch", "4");
	assert_int_equal(profile_delete(&c, "mine", &err), -1);
	assert_non_null(strstr(err.text, "there is no profile"));
}

static void deletes(void **state)
{
	struct error err;

	assert_int_equal(profile_save(&c, "mine", &err), 0);
	assert_int_equal(profile_delete(&c, "mine", &err), 0);
	assert_int_equal(profile_apply(&c, "mine", &err), -1);
}

static void bad_lines(void **state)
{
	struct error err;

	put("torn.profile", "batch = 2\nbatch = 0\nprofile = personal\nbeams = 2\n");
	/* Live all or nothing, at the start what can be taken. */
	assert_int_equal(profile_apply(&c, "torn", &err), -1);
	assert_non_null(strstr(err.text, "torn.profile:2: batch: 0 is outside 1 to 256; the profile is left alone"));
	is_value(&c, "batch", "4");
	config_free(&c);
	begin(&c);
	assert_int_equal(config_set_from(&c, "profile", "torn", CONFIG_FLAG, "--profile", NULL), 0);
	assert_int_equal(profile_begin(&c, warn, NULL, &err), 0);
	assert_int_equal(n_told, 2);
	assert_non_null(strstr(told, "torn.profile:3: a profile cannot choose a profile"));
	is_value(&c, "batch", "2");
	is_value(&c, "beams", "2");
	assert_int_equal(profile_save(&c, "x", &err), 0);
	data_put(c.profile_dir, "binary.profile", "\0\0\0", 3);
	assert_int_equal(profile_apply(&c, "binary", &err), -1);
	assert_non_null(strstr(err.text, "not a text file"));
}

/* How many entries the folder has. */
static int entries(const char *path)
{
	DIR *d = opendir(path);
	int n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

static void a_disk_that_takes_nothing(void **state)
{
	struct rlimit old, tiny;
	struct config other;
	struct error err;
	int result;

	assert_int_equal(config_set(&c, "batch", "9", NULL), 0);
	assert_int_equal(profile_save(&c, "mine", &err), 0);
	assert_int_equal(config_set(&c, "batch", "10", NULL), 0);
	/* A file may grow to 16 bytes and no further, as on a full disk. */
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	tiny = old;
	tiny.rlim_cur = 16;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &tiny), 0);
	result = profile_save(&c, "mine", &err);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(result, -1);
	assert_non_null(strstr(err.text, "mine.profile: cannot be written: "));
	assert_non_null(strstr(err.text, "what was there stays"));
	assert_int_equal(entries(c.profile_dir), 1);
	begin(&other);
	assert_int_equal(profile_apply(&other, "mine", &err), 0);
	is_value(&other, "batch", "9");
	config_free(&other);
}

static void no_place(void **state)
{
	struct error err;

	data_put(dir, "config", "a file where a folder should be", 4);
	assert_int_equal(profile_save(&c, "mine", &err), -1);
	assert_non_null(strstr(err.text, "/config"));
	free(c.profile_dir);
	c.profile_dir = NULL;
	assert_int_equal(profile_save(&c, "mine", &err), -1);
	assert_non_null(strstr(err.text, "XDG_CONFIG_HOME"));
	assert_int_equal(profile_apply(&c, "limited", &err), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_built_in_ones),
		TEST(between_file_and_environment),
		TEST(nothing_named),
		TEST(saved_and_taken_again),
		TEST(lists),
		TEST(names),
		TEST(unknown_ones),
		TEST(deletes),
		TEST(bad_lines),
		TEST(a_disk_that_takes_nothing),
		TEST(no_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
