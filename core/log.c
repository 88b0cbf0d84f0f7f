/* log.c - see log.h. */
#include "core/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/save.h"
#include "core/utf8.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int fd = -1;    /* the open log */
static char *path;     /* its name */
static int64_t length; /* of it, as far as this process knows */
static bool torn;      /* the last line in it has no end */
static int lost;       /* errno of the write that failed last; 0: the last one worked */
static bool told;      /* that lines are lost */
static enum log_level least = LOG_INFO;
static int held_stderr = -1; /* where fd 2 led before it was held */

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

static int open_file(const char *name)
{
	return open(name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
}

static int64_t length_of(int file)
{
	struct stat st;

	return fstat(file, &st) == 0 && S_ISREG(st.st_mode) ? st.st_size : 0;
}

int log_open(const char *file, struct error *err)
{
	char *name = file ? xstrdup(file) : default_path(err);
	int opened;

	if (!name || (!file && save_make_parents(name, err) < 0)) {
		free(name);
		return -1;
	}
	opened = open_file(name);
	if (opened < 0) {
		fail(err, E_IO, "%s: cannot be written as a log: %s", name, strerror(errno));
		free(name);
		return -1;
	}
	log_close();
	pthread_mutex_lock(&lock);
	fd = opened;
	path = name;
	length = length_of(fd);
	torn = told = false;
	lost = 0;
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

/* FILE.3 becomes FILE.4, …, FILE becomes FILE.1. */
static void shift_files(void)
{
	for (int i = LOG_FILES - 1; i > 0; i--) {
		char *from = i > 1 ? xasprintf("%s.%d", path, i - 1) : xstrdup(path), *to = xasprintf("%s.%d", path, i);

		if (rename(from, to) < 0 && errno != ENOENT)
			i = 1; /* nothing that stands in the way is written over */
		free(from);
		free(to);
	}
}

static bool is_same_file(void)
{
	struct stat ours, named;

	return fstat(fd, &ours) == 0 && stat(path, &named) == 0 && ours.st_dev == named.st_dev && ours.st_ino == named.st_ino;
}

/* Begins a new file when this one has no room for so many bytes. Whatever fails on the way, the old one is still open and takes the line. With the lock held. */
static void rotate(size_t size)
{
	int fresh;

	length = length_of(fd);
	/* Another program that writes to it may be doing the same: one of them moves the files, the other then only follows. */
	if (length + (int64_t)size <= LOG_BYTES || flock(fd, LOCK_EX | LOCK_NB) < 0)
		return;
	if (is_same_file())
		shift_files();
	fresh = open_file(path);
	flock(fd, LOCK_UN);
	if (fresh < 0)
		return;
	if (held_stderr >= 0)
		dup2(fresh, STDERR_FILENO);
	close(fd);
	fd = fresh;
	length = length_of(fd);
	torn = false;
}

/* One write per line: with O_APPEND lines of several programs do not mix. With the lock held. */
static void put_line(const char *line, size_t size)
{
	ssize_t n;

	if (length + (int64_t)size > LOG_BYTES)
		rotate(size);
	if (torn && write(fd, "\n", 1) == 1)
		torn = false;
	do
		n = write(fd, line, size);
	while (n < 0 && errno == EINTR);
	if (n == (ssize_t)size) {
		lost = 0;
		told = false;
	} else {
		lost = n < 0 ? errno : ENOSPC;
		torn = torn || n > 0;
	}
	length += n > 0 ? n : 0;
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
	if (fd >= 0)
		put_line(line, strlen(line));
	pthread_mutex_unlock(&lock);
	free(line);
	free(raw);
}

bool log_trouble(struct error *err)
{
	bool trouble;

	pthread_mutex_lock(&lock);
	trouble = lost && !told;
	if (trouble) {
		told = true;
		fail(err, E_IO, "%s: cannot be written: %s; going on without a log", path, strerror(lost));
	}
	pthread_mutex_unlock(&lock);
	return trouble;
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
