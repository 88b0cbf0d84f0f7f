/* The log file: where it is, what a line looks like, and that it holds what others print on stderr. */
#include "core/log.h"
#include "core/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_lines, setup, teardown),
		cmocka_unit_test_setup_teardown(test_appends, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_log_that_cannot_be_opened, setup, teardown),
		cmocka_unit_test_setup_teardown(test_holds_stderr, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_threads, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
