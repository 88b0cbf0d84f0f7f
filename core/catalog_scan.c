/* catalog_scan.c - reading a folder's names on a thread of its own: a folder may lie at the end of a slow network. See catalog_private.h. */
#include "core/catalog_private.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/queue.h"

/* Names come in parcels: one wake-up of the screen for many. */
struct parcel {
	char *name[CATALOG_PARCEL];
	int count;
	bool last;
	int error; /* errno of the last one, or 0 */
};

struct catalog_scan {
	pthread_t thread;
	struct queue parcels; /* struct parcel * */
	DIR *dir;             /* the thread's */
	atomic_bool stop;
	bool running; /* this and the rest are the controlling thread's */
	char *problem;
	char *folder;
};

static void send(struct catalog_scan *s, struct parcel **parcel)
{
	queue_put(&s->parcels, parcel);
	*parcel = NULL;
}

static void *scan_main(void *arg)
{
	struct catalog_scan *s = arg;
	struct parcel *parcel = NULL;
	struct dirent *entry;
	int problem = 0;

	while (!atomic_load(&s->stop)) {
		if (!parcel)
			parcel = xcalloc(1, sizeof *parcel);
		errno = 0;
		entry = readdir(s->dir);
		if (!entry) {
			problem = errno;
			break;
		}
		/* What a link or an unknown type leads to is found out when it is opened; asking here would cost a stat for each. */
		if (entry->d_name[0] == '.' || (entry->d_type != DT_REG && entry->d_type != DT_LNK && entry->d_type != DT_UNKNOWN) ||
		    catalog_kind(entry->d_name) < 0)
			continue;
		parcel->name[parcel->count++] = xstrdup(entry->d_name);
		if (parcel->count == CATALOG_PARCEL)
			send(s, &parcel);
	}
	if (!parcel)
		parcel = xcalloc(1, sizeof *parcel);
	parcel->last = true;
	parcel->error = problem;
	send(s, &parcel);
	return NULL;
}

struct catalog_scan *catalog_scan_start(const char *folder, struct error *err)
{
	struct catalog_scan *s = xcalloc(1, sizeof *s);
	sigset_t all, old;

	if (queue_init(&s->parcels, sizeof(struct parcel *), err) < 0) {
		free(s);
		return NULL;
	}
	s->dir = opendir(folder);
	if (!s->dir) {
		fail(err, E_IO, "%s: %s", folder, strerror(errno));
		queue_free(&s->parcels);
		free(s);
		return NULL;
	}
	s->folder = xstrdup(folder);
	s->running = true;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	if (pthread_create(&s->thread, NULL, scan_main, s))
		abort();
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return s;
}

static void parcel_free(struct parcel *parcel)
{
	for (int i = 0; i < parcel->count; i++)
		free(parcel->name[i]);
	free(parcel);
}

void catalog_scan_stop(struct catalog_scan *s)
{
	struct parcel *parcel;

	if (!s)
		return;
	atomic_store(&s->stop, true);
	pthread_join(s->thread, NULL);
	closedir(s->dir);
	while (queue_take(&s->parcels, &parcel))
		parcel_free(parcel);
	queue_free(&s->parcels);
	free(s->problem);
	free(s->folder);
	free(s);
}

int catalog_scan_fd(const struct catalog_scan *s)
{
	return queue_fd(&s->parcels);
}

static void end(struct catalog_scan *s, int problem)
{
	struct error err;

	s->running = false;
	if (!problem)
		return;
	fail(&err, E_IO, "%s: the list of pictures broke off: %s", s->folder, strerror(problem));
	s->problem = xstrdup(err.text);
}

int catalog_scan_take(struct catalog_scan *s, char *names[CATALOG_PARCEL])
{
	struct parcel *parcel;
	int n;

	if (!queue_take(&s->parcels, &parcel))
		return -1;
	n = parcel->count;
	memcpy(names, parcel->name, (size_t)n * sizeof *names);
	if (parcel->last)
		end(s, parcel->error);
	free(parcel);
	return n;
}

bool catalog_scan_running(const struct catalog_scan *s)
{
	return s->running;
}

const char *catalog_scan_problem(const struct catalog_scan *s)
{
	return s->problem;
}
