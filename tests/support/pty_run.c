/* pty_run.c - programs without a terminal, their environment, and pictures for them. See pty.h and pty_private.h. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/mem.h"
#include "tests/support/data.h"
#include "tests/support/pty_private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

/* ---------------------------------------------------------------- the clean environment */

static const char *build_folder(void)
{
	static char folder[4096];
	ssize_t n;

	if (folder[0])
		return folder;
	n = readlink("/proc/self/exe", folder, sizeof folder - 1);
	assert_true(n > 0);
	folder[n] = '\0';
	for (int i = 0; i < 3; i++) /* …/tests/screen/test_x */
		*strrchr(folder, '/') = '\0';
	return folder;
}

const char *pty_build_file(const char *name)
{
	static char *paths[16];
	static int n;
	char *path = xasprintf("%s/%s", build_folder(), name);

	for (int i = 0; i < n; i++)
		if (!strcmp(paths[i], path)) {
			free(path);
			return paths[i];
		}
	assert_true(n < 16);
	return paths[n++] = path;
}

const char *pty_program(void)
{
	return pty_build_file("vramble");
}

const char *pty_fake_library(void)
{
	return pty_build_file("tests/libfake-models.so");
}

static char *home;

static void remove_home(void)
{
	char *command = xasprintf("rm -rf '%s'", home);

	if (system(command))
		fprintf(stderr, "%s is left behind\n", home);
	free(command);
	free(home);
}

const char *pty_home(void)
{
	if (!home) {
		home = data_dir();
		atexit(remove_home);
	}
	return home;
}

static void set_variable(const char *assignment)
{
	char *copy = xstrdup(assignment), *equals = strchr(copy, '=');

	*equals = '\0';
	if (equals[1])
		setenv(copy, equals + 1, 1);
	else
		unsetenv(copy);
	free(copy);
}

void pty_clean_environment(const char *const *extra)
{
	static const char *const kept[] = {"PATH", "TSAN_OPTIONS", "ASAN_OPTIONS", "LSAN_OPTIONS", "UBSAN_OPTIONS", "LD_LIBRARY_PATH", "TMPDIR"};
	static const char *const folders[] = {"CONFIG", "STATE", "CACHE", "DATA"};
	char *values[sizeof kept / sizeof *kept];

	for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
		values[i] = getenv(kept[i]) ? xstrdup(getenv(kept[i])) : NULL;
	clearenv();
	for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
		if (values[i])
			setenv(kept[i], values[i], 1);
	setenv("HOME", pty_home(), 1);
	for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
		char *name = xasprintf("XDG_%s_HOME", folders[i]), *path = xasprintf("%s/%s", pty_home(), folders[i]);

		setenv(name, path, 1);
		free(name);
		free(path);
	}
	setenv("LANG", "C.UTF-8", 1);
	setenv("TERM", "xterm-256color", 1);
	setenv("VRAMBLE_LIBRARY", pty_fake_library(), 1);
	for (; extra && *extra; extra++)
		set_variable(*extra);
}

/* ---------------------------------------------------------------- without a terminal */

/* False at the end of the file. */
static bool take_pipe(int fd, struct buffer *b)
{
	char bytes[65536];
	ssize_t n = read(fd, bytes, sizeof bytes);

	if (n > 0)
		buffer_add(b, bytes, (size_t)n);
	return n > 0;
}

static int finish_capture(pid_t pid, int out, int err, int interrupt, struct buffer *text)
{
	struct pollfd fds[2] = {{out, POLLIN, 0}, {err, POLLIN, 0}};
	int64_t deadline = clock_now_ms() + PTY_SECONDS * 1000;
	int status;

	while (fds[0].fd >= 0 || fds[1].fd >= 0) {
		if (clock_now_ms() > deadline) {
			kill(pid, SIGKILL);
			fail_msg("the program did not end; it said: %s", text[1].text ? text[1].text : "nothing");
		}
		poll(fds, 2, 100);
		for (int i = 0; i < 2; i++)
			if (fds[i].fd >= 0 && fds[i].revents && !take_pipe(fds[i].fd, &text[i]))
				fds[i].fd = -1;
		if (interrupt && text[1].length) {
			kill(pid, interrupt);
			interrupt = 0;
		}
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int pty_capture(char *const *argv, const char *const *env, int interrupt, char **out, char **err)
{
	struct buffer text[2] = {{0}, {0}};
	int outs[2], errs[2], code;
	pid_t pid;

	pty_home();
	assert_int_equal(pipe2(outs, O_CLOEXEC) | pipe2(errs, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		dup2(open("/dev/null", O_RDONLY), 0);
		dup2(outs[1], 1);
		dup2(errs[1], 2);
		pty_clean_environment(env);
		execv(argv[0], argv);
		_exit(127);
	}
	close(outs[1]);
	close(errs[1]);
	code = finish_capture(pid, outs[0], errs[0], interrupt, text);
	close(outs[0]);
	close(errs[0]);
	for (int i = 0; i < 2; i++) {
		char **slot = i ? err : out;

		if (slot)
			*slot = text[i].text ? xstrdup(text[i].text) : xstrdup("");
		buffer_free(&text[i]);
	}
	return code;
}

static void put_number(struct buffer *b, uint32_t value, int bytes)
{
	for (int i = 0; i < bytes; i++, value >>= 8)
		buffer_add(b, &(char){(char)value}, 1);
}

void pty_put_picture(const char *dir, const char *name, int width, int height, int colour)
{
	uint32_t stride = (uint32_t)(width * 3 + 3) & ~3u, size = stride * (uint32_t)height;
	struct buffer b = {0};

	buffer_puts(&b, "BM");
	put_number(&b, 54 + size, 4);
	put_number(&b, 0, 4);
	put_number(&b, 54, 4);
	put_number(&b, 40, 4);
	put_number(&b, (uint32_t)width, 4);
	put_number(&b, (uint32_t)height, 4);
	put_number(&b, 1, 2);
	put_number(&b, 24, 2);
	put_number(&b, 0, 4);
	put_number(&b, size, 4);
	for (int i = 0; i < 4; i++)
		put_number(&b, 0, 4);
	for (int y = 0; y < height; y++) {
		for (int x = 0; x < width; x++)
			put_number(&b, (uint32_t)colour, 3);
		put_number(&b, 0, (int)stride - width * 3);
	}
	data_put(dir, name, b.text, b.length);
	buffer_free(&b);
}
