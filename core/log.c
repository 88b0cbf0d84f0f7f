/* log.c - see log.h. */
#include "core/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/utf8.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int fd = -1; /* the open log */
static char *path;  /* its name */
static enum log_level least = LOG_INFO;
static int held_stderr = -1; /* where fd 2 led before it was held */

/* Makes the folders above file, as far as they are missing. */
static int make_parents(const char *file, struct error *err)
{
	char *copy = xstrdup(file);

	for (char *slash = strchr(copy + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(copy, 0700) < 0 && errno != EEXIST) {
			fail(err, E_IO, "%s: no folder for the log: %s", copy, strerror(errno));
			free(copy);
			return -1;
		}
		*slash = '/';
	}
	free(copy);
	return 0;
}

static char *default_path(struct error *err)
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	time_t now = time(NULL);
	struct tm tm;
	char date[16];

	localtime_r(&now, &tm);
	strftime(date, sizeof date, "%Y-%m-%d", &tm);
	/* The XDG rules: a relative path in the variable is to be ignored. */
	if (state && state[0] == '/')
		return xasprintf("%s/vramble/log/%s.log", state, date);
	if (home && home[0] == '/')
		return xasprintf("%s/.local/state/vramble/log/%s.log", home, date);
	return fail_null(err, E_IO, "no place for the log: neither XDG_STATE_HOME nor HOME is set; give --log FILE");
}

int log_open(const char *file, struct error *err)
{
	char *name = file ? xstrdup(file) : default_path(err);
	int opened;

	if (!name || (!file && make_parents(name, err) < 0)) {
		free(name);
		return -1;
	}
	opened = open(name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (opened < 0) {
		fail(err, E_IO, "%s: cannot be written as a log: %s", name, strerror(errno));
		free(name);
		return -1;
	}
	log_close();
	pthread_mutex_lock(&lock);
	fd = opened;
	path = name;
	pthread_mutex_unlock(&lock);
	return 0;
}

void log_close(void)
{
	log_release_stderr();
	pthread_mutex_lock(&lock);
	if (fd >= 0)
		close(fd);
	free(path);
	fd = -1;
	path = NULL;
	pthread_mutex_unlock(&lock);
}

const char *log_path(void)
{
	return path;
}

void log_set_level(enum log_level level)
{
	pthread_mutex_lock(&lock);
	least = level;
	pthread_mutex_unlock(&lock);
}

static void stamp(char *out, size_t size)
{
	struct timespec now;
	struct tm tm;
	char date[32];

	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &tm);
	strftime(date, sizeof date, "%Y-%m-%d %H:%M:%S", &tm);
	snprintf(out, size, "%s.%03ld", date, now.tv_nsec / 1000000);
}

void log_write(enum log_level level, const char *fmt, ...)
{
	static const char *const names[] = {"debug", "info", "warning", "error"};
	char when[48], text[2048];
	char *raw, *line;
	va_list ap;
	bool wanted;

	pthread_mutex_lock(&lock);
	wanted = fd >= 0 && level >= least;
	pthread_mutex_unlock(&lock);
	if (!wanted)
		return;
	va_start(ap, fmt);
	raw = xvasprintf(fmt, ap);
	va_end(ap);
	utf8_escape(raw, strlen(raw), text, sizeof text);
	stamp(when, sizeof when);
	line = xasprintf("%s %s %s\n", when, names[level], text);
	pthread_mutex_lock(&lock);
	/* One write per line: with O_APPEND lines of several programs do not mix. A full disk must not stop anything. */
	if (fd >= 0 && write(fd, line, strlen(line)) < 0)
		errno = 0;
	pthread_mutex_unlock(&lock);
	free(line);
	free(raw);
}

int log_hold_stderr(struct error *err)
{
	int to, rc = 0;

	pthread_mutex_lock(&lock);
	if (held_stderr < 0) {
		to = fd >= 0 ? fd : open("/dev/null", O_WRONLY | O_CLOEXEC);
		held_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
		if (to < 0 || held_stderr < 0 || dup2(to, STDERR_FILENO) < 0)
			rc = fail(err, E_IO, "the error output cannot be held: %s", strerror(errno));
		if (rc < 0 && held_stderr >= 0) {
			close(held_stderr);
			held_stderr = -1;
		}
		if (to >= 0 && to != fd)
			close(to);
	}
	pthread_mutex_unlock(&lock);
	return rc;
}

void log_release_stderr(void)
{
	pthread_mutex_lock(&lock);
	if (held_stderr >= 0) {
		fflush(stderr);
		dup2(held_stderr, STDERR_FILENO);
		close(held_stderr);
		held_stderr = -1;
	}
	pthread_mutex_unlock(&lock);
}
