/* The log file: where it is, what a line looks like, and that it holds what others print on stderr. */
#include "core/event.h"
#include "core/log.h"
#include "core/mem.h"
#include "tests/support/data.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64];

static int setup(void **state)
{
	strcpy(dir, "/tmp/vramble-log-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	return setenv("XDG_STATE_HOME", dir, 1);
}

static int teardown(void **state)
{
	char command[128];

	log_close();
	log_set_level(LOG_INFO);
	snprintf(command, sizeof command, "rm -rf '%s'", dir);
	return system(command);
}

static char *content(const char *path)
{
	FILE *f = fopen(path, "rb");
	struct buffer b = {0};
	char part[4096];
	size_t n;

	assert_non_null(f);
	buffer_puts(&b, "");
	while ((n = fread(part, 1, sizeof part, f)))
		buffer_add(&b, part, n);
	fclose(f);
	return b.text;
}

static int lines(const char *text)
{
	int n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

static void test_lines(void **state)
{
	char *text;

	assert_int_equal(log_open(NULL, NULL), 0);
	assert_non_null(strstr(log_path(), "/vramble/log/20"));
	log_write(LOG_DEBUG, "not shown");
	log_write(LOG_WARNING, "batch %d: \x1b[31mred\nnext \xff", 8);
	log_set_level(LOG_ERROR);
	log_write(LOG_WARNING, "neither");
	log_write(LOG_ERROR, "this is");
	text = content(log_path());
	assert_int_equal(lines(text), 2);
	assert_non_null(strstr(text, " warning batch 8: \\x1B[31mred\\x0Anext \\xFF\n"));
	assert_non_null(strstr(text, " error this is\n"));
	/* 2026-03-01 12:00:00.123 */
	assert_int_equal(text[4], '-');
	assert_int_equal(text[19], '.');
	free(text);
}

static void test_appends(void **state)
{
	char path[128], *text;

	snprintf(path, sizeof path, "%s/own.log", dir);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(log_open(path, NULL), 0);
		log_write(LOG_INFO, "start %d", i);
		log_close();
	}
	assert_null(log_path());
	log_write(LOG_ERROR, "goes nowhere");
	text = content(path);
	assert_int_equal(lines(text), 3);
	free(text);
}

static void test_a_log_that_cannot_be_opened(void **state)
{
	struct error err;

	assert_int_equal(log_open("/nonexistent/folder/x.log", &err), -1);
	assert_int_equal(err.code, E_IO);
	assert_non_null(strstr(err.text, "/nonexistent/folder/x.log"));
	log_write(LOG_ERROR, "still fine");
	setenv("XDG_STATE_HOME", "/proc/nothing", 1);
	assert_int_equal(log_open(NULL, &err), -1);
}

static void test_holds_stderr(void **state)
{
	char path[128], *text;
	int old = dup(STDERR_FILENO), file;

	snprintf(path, sizeof path, "%s/terminal", dir);
	file = open(path, O_CREAT | O_RDWR, 0600);
	assert_true(old >= 0 && file >= 0);
	dup2(file, STDERR_FILENO);
	assert_int_equal(log_open(NULL, NULL), 0);
	fputs("before\n", stderr);
	assert_int_equal(log_hold_stderr(NULL), 0);
	assert_int_equal(log_hold_stderr(NULL), 0);
	fputs("[W Context.cpp:70] Warning\n", stderr);
	log_release_stderr();
	fputs("after\n", stderr);
	text = content(path);
	assert_string_equal(text, "before\nafter\n");
	free(text);
	text = content(log_path());
	assert_string_equal(text, "[W Context.cpp:70] Warning\n");
	free(text);
	log_close();
	/* Without a log it is swallowed. */
	assert_int_equal(log_hold_stderr(NULL), 0);
	fputs("nobody sees this\n", stderr);
	log_close();
	text = content(path);
	assert_string_equal(text, "before\nafter\n");
	free(text);
	dup2(old, STDERR_FILENO);
	close(old);
	close(file);
}

static void *write_many(void *arg)
{
	for (int i = 0; i < 500; i++)
		log_write(LOG_INFO, "thread %d line %d", *(int *)arg, i);
	return NULL;
}

static void test_many_threads(void **state)
{
	pthread_t thread[4];
	int number[4];
	char *text;

	assert_int_equal(log_open(NULL, NULL), 0);
	for (int i = 0; i < 4; i++) {
		number[i] = i;
		assert_int_equal(pthread_create(&thread[i], NULL, write_many, &number[i]), 0);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	text = content(log_path());
	assert_int_equal(lines(text), 2000);
	free(text);
}

static long size_of(const char *path)
{
	struct stat st;

	return stat(path, &st) < 0 ? -1 : (long)st.st_size;
}

static void test_rotation(void **state)
{
	char path[128], older[160], *text, filler[1901];
	int n = 0, file;

	memset(filler, 'x', sizeof filler - 1);
	filler[sizeof filler - 1] = '\0';
	snprintf(path, sizeof path, "%s/own.log", dir);
	assert_int_equal(log_open(path, NULL), 0);
	assert_int_equal(log_hold_stderr(NULL), 0);
	/* Seven files' worth. */
	for (n = 0; n < 7 * LOG_BYTES / 1900; n++)
		log_write(LOG_INFO, "%d %s", n, filler);
	fputs("what others print\n", stderr);
	log_write(LOG_INFO, "last");
	text = content(path);
	assert_non_null(strstr(text, "what others print\n"));
	assert_non_null(strstr(text, "info last\n"));
	free(text);
	for (int i = 1; i < LOG_FILES; i++) {
		snprintf(older, sizeof older, "%s.%d", path, i);
		assert_in_range(size_of(older), LOG_BYTES - 3000, LOG_BYTES);
		/* No line is cut at either end. */
		text = content(older);
		assert_true(text[0] == '2' && text[strlen(text) - 1] == '\n');
		free(text);
	}
	snprintf(older, sizeof older, "%s.%d", path, LOG_FILES);
	assert_int_equal(size_of(older), -1);
	log_close();
	/* Another program moved the file: this one follows instead of moving it again. */
	file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_int_equal(ftruncate(file, LOG_BYTES), 0);
	close(file);
	assert_int_equal(log_open(path, NULL), 0);
	snprintf(older, sizeof older, "%s.moved", path);
	assert_int_equal(rename(path, older), 0);
	data_put(dir, "own.log", "the other's\n", 12);
	log_write(LOG_INFO, "ours");
	text = content(path);
	assert_int_equal(strncmp(text, "the other's\n20", 14), 0);
	assert_non_null(strstr(text, "ours"));
	free(text);
	assert_int_equal(size_of(older), LOG_BYTES);
}

static void test_full_disk(void **state)
{
	struct error err;

	assert_false(log_trouble(&err));
	assert_int_equal(log_open("/dev/full", NULL), 0);
	assert_false(log_trouble(&err));
	log_write(LOG_INFO, "is lost");
	log_write(LOG_INFO, "is lost, too");
	assert_true(log_trouble(&err));
	assert_string_equal(err.text, "/dev/full: cannot be written: No space left on device; going on without a log");
	log_write(LOG_INFO, "this as well");
	assert_false(log_trouble(&err));
	/* A new log, a new chance. */
	assert_int_equal(log_open("/dev/full", NULL), 0);
	assert_false(log_trouble(&err));
	log_write(LOG_INFO, "lost");
	assert_true(log_trouble(&err));
}

static void test_a_disk_that_fills_and_empties(void **state)
{
	struct rlimit old, tiny;
	struct error err;
	char path[128], *text;

	snprintf(path, sizeof path, "%s/own.log", dir);
	assert_int_equal(log_open(path, NULL), 0);
	log_write(LOG_INFO, "first");
	/* The file may grow by ten bytes, which is less than a line. */
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	tiny = old;
	tiny.rlim_cur = (rlim_t)size_of(path) + 10;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &tiny), 0);
	log_write(LOG_INFO, "second");
	log_write(LOG_INFO, "third");
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_true(log_trouble(&err));
	log_write(LOG_INFO, "fourth");
	log_write(LOG_INFO, "fifth");
	assert_false(log_trouble(&err));
	text = content(path);
	/* first, the torn one closed, fourth, fifth */
	assert_int_equal(lines(text), 4);
	assert_null(strstr(text, "third"));
	assert_non_null(strstr(text, " info fourth\n"));
	assert_non_null(strstr(text, " info fifth\n"));
	free(text);
}

static void test_answers(void **state)
{
	static const char *const labels[] = {"a cat", "a dog"};
	float probability[] = {0.2f, 0.8f}, cosine[] = {0.1f, 0.3f};
	struct verdict verdicts[] = {{0.9f, 0.05f, 0.05f, 2}, {0.1f, 0.2f, 0.7f, -1}};
	struct event scores = {.kind = EV_SCORES, .scores = {probability, cosine, 2, 11.4, 4}};
	struct event caption = {.kind = EV_CAPTION, .caption = {.caption = {.text = "a dog\nruns", .tokens = 5}, .ms = 31, .batch = 2}};
	struct event nli = {.kind = EV_VERDICTS, .verdicts = {verdicts, 2, 5}};
	char *text;

	assert_int_equal(log_open(NULL, NULL), 0);
	event_log_answer(&scores, "/p/dog.jpg", labels, 2);
	event_log_answer(&scores, "/p/dog.jpg", labels, 1);
	event_log_answer(&caption, "/p/dog\xff.jpg", NULL, 0);
	event_log_answer(&nli, "/p/dog.jpg", labels, 2);
	event_log_answer(&(struct event){.kind = EV_PREVIEW}, "/p/dog.jpg", labels, 2);
	event_log(&caption);
	text = content(log_path());
	assert_int_equal(lines(text), 4);
	assert_non_null(strstr(text, " info /p/dog.jpg: CLIP 11 ms (batch 4): a dog 80.0 %\n"));
	assert_non_null(strstr(text, " info /p/dog.jpg: CLIP 11 ms (batch 4): 2 labels\n"));
	assert_non_null(strstr(text, " info /p/dog\\xFF.jpg: caption 31 ms (batch 2, 5 tokens): a dog\\x0Aruns\n"));
	assert_non_null(strstr(text, " info /p/dog.jpg: NLI 5 ms: 1 of 2 labels follow from the caption\n"));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_lines, setup, teardown),
		cmocka_unit_test_setup_teardown(test_appends, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_log_that_cannot_be_opened, setup, teardown),
		cmocka_unit_test_setup_teardown(test_holds_stderr, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_threads, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rotation, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full_disk, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_disk_that_fills_and_empties, setup, teardown),
		cmocka_unit_test_setup_teardown(test_answers, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
