/* hub_place.c - where the files of a pull go: the paths of both caches, their locks, and what makes them a model that is found by name. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "core/hub_private.h"
#include "core/save.h"

enum { LOCK_LOOK_MS = 200 };

void hub_place(const struct hub *h, const struct hub_file *file, struct hub_place *out)
{
	const char *folder = h->folder + strlen(h->root) + 1;

	if (h->pull->source == HUB_MODELSCOPE) {
		out->path = xasprintf("%s/%s", h->folder, file->path);
		out->partial = xasprintf("%s/._____temp/%s/%s.incomplete", h->root, folder, file->path);
		out->lock = xasprintf("%s/.lock/%s/%s.lock", h->root, folder, file->path);
	} else {
		out->path = xasprintf("%s/blobs/%s", h->folder, file->sum);
		out->partial = xasprintf("%s.incomplete", out->path);
		out->lock = xasprintf("%s/.locks/%s/%s.lock", h->root, folder, file->sum);
	}
}

void hub_place_free(struct hub_place *place)
{
	free(place->path);
	free(place->partial);
	free(place->lock);
}

static const char *cache_variable(const struct hub *h)
{
	return h->pull->source == HUB_MODELSCOPE ? "MODELSCOPE_CACHE" : "HF_HUB_CACHE";
}

/* Bytes that root's file system gives us; -1: it does not tell. */
static int64_t room_in(const char *root)
{
	struct statvfs fs;
	int64_t bytes;

	if (statvfs(root, &fs) < 0 || fs.f_frsize == 0 || __builtin_mul_overflow(fs.f_bavail, fs.f_frsize, &bytes))
		return -1;
	return bytes;
}

int hub_fail_write(const struct hub *h, const struct hub_file *file, int64_t have, int number, struct error *err)
{
	int64_t left = h->progress.total - h->progress.done + file->counted - have, room = room_in(h->root);
	const char *why = number == EFBIG                        ? "no file may be so large here (ulimit -f, or the file system)"
			  : number == ENOSPC || number == EDQUOT ? "the disk is full"
								 : strerror(number);

	if (left < file->size - have) /* before all is planned */
		left = file->size - have;
	return fail(err, E_IO,
		    "%s: %s cannot be written: %s; %.1f MB are still to come, and %s has %.1f MB free: make room and pull again, which goes on where "
		    "this ended, or name a folder elsewhere in %s",
		    h->name, file->path, why, (double)left / 1e6, h->root, (double)(room < 0 ? 0 : room) / 1e6, cache_variable(h));
}

int hub_fail_path(const struct hub *h, const char *path, struct error *err)
{
	const char *variable = cache_variable(h);

	if (errno == ENOSPC || errno == EDQUOT)
		return fail(err, E_IO, "%s: the disk is full: make room and pull again, or name a folder elsewhere in %s", path, variable);
	return fail(err, E_IO, "%s: cannot be written: %s; name a folder that can in %s", path, strerror(errno), variable);
}

int hub_make_parents(const struct hub *h, const char *path, struct error *err)
{
	char *folder = save_make_folders(path, 0777);
	int rc = folder ? hub_fail_path(h, folder, err) : 0;

	free(folder);
	return rc;
}

/* A file system without locks is used without. */
static int wait_for_lock(struct hub *h, const struct hub_file *file, int fd, struct error *err)
{
	bool told = false;

	while (flock(fd, LOCK_EX | LOCK_NB) < 0 && errno != ENOLCK && errno != ENOSYS && errno != EOPNOTSUPP) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return fail(err, E_IO, "cannot be locked: %s", strerror(errno));
		if (!told)
			hub_note(h, file, "another process fetches it; waiting");
		told = true;
		if (hub_stopped(h->pull->stop_fd, LOCK_LOOK_MS))
			return fail(err, E_CANCELLED, "interrupted");
	}
	return 0;
}

int hub_lock(struct hub *h, const struct hub_file *file, const char *lock, struct error *err)
{
	int fd;

	if (hub_make_parents(h, lock, err) < 0)
		return -1;
	fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	if (fd < 0)
		return hub_fail_path(h, lock, err);
	if (wait_for_lock(h, file, fd, err) < 0) {
		close(fd);
		return err->code == E_CANCELLED ? -1 : fail_prefix(err, "%s", lock);
	}
	return fd;
}

int hub_check_room(const struct hub *h, int64_t bytes, struct error *err)
{
	int64_t room = room_in(h->root);

	if (room < 0 || bytes < room)
		return 0;
	return fail(err, E_IO, "%s: %.1f GB are to be fetched, and %s has %.1f GB free: make room, or name a folder elsewhere in %s", h->name,
		    (double)bytes / 1e9, h->root, (double)room / 1e9, cache_variable(h));
}

/* ---- Hugging Face's links and references */

static bool is_link_to(const char *path, const char *target)
{
	char found[PATH_MAX];
	ssize_t n = readlink(path, found, sizeof found - 1);

	return n > 0 && (size_t)n == strlen(target) && memcmp(found, target, (size_t)n) == 0;
}

/* Another link there is replaced at once. */
static int replace_link(const char *path, const char *target)
{
	char *fresh = xasprintf("%s.new-%ld", path, (long)getpid());
	int rc, saved;

	unlink(fresh); /* of a process of that number that was killed */
	rc = symlink(target, fresh) < 0 || rename(fresh, path) < 0 ? -1 : 0;
	saved = errno;
	if (rc < 0)
		unlink(fresh);
	errno = saved;
	free(fresh);
	return rc;
}

static int put_link(const struct hub *h, const char *path, const char *target, struct error *err)
{
	if (symlink(target, path) == 0 || (errno == EEXIST && (is_link_to(path, target) || replace_link(path, target) == 0)))
		return 0;
	if (errno == EPERM)
		return fail(err, E_IO, "%s: this file system has no links; name a folder on another in HF_HUB_CACHE", path);
	return hub_fail_path(h, path, err);
}

static int link_file(const struct hub *h, const struct hub_file *file, const char *snapshot, struct error *err)
{
	char *path = xasprintf("%s/%s", snapshot, file->path);
	struct buffer target = {0};
	int rc = hub_make_parents(h, path, err);

	buffer_puts(&target, "../../");
	for (const char *p = file->path; *p; p++)
		if (*p == '/')
			buffer_puts(&target, "../");
	buffer_printf(&target, "blobs/%s", file->sum);
	if (rc == 0)
		rc = put_link(h, path, target.text, err);
	buffer_free(&target);
	free(path);
	return rc;
}

/* A commit that was asked for as such needs no reference. */
static int put_reference(const struct hub *h, struct error *err)
{
	char *path;
	int rc;

	if (strcmp(h->revision, h->listing.commit) == 0)
		return 0;
	path = xasprintf("%s/refs/%s", h->folder, h->revision);
	rc = hub_make_parents(h, path, err);
	if (rc == 0)
		rc = save_whole(path, h->listing.commit, strlen(h->listing.commit), err);
	free(path);
	return rc;
}

char *hub_publish(struct hub *h, struct error *err)
{
	char *snapshot;
	int rc = 0;

	if (h->pull->source == HUB_MODELSCOPE)
		return xstrdup(h->folder);
	snapshot = xasprintf("%s/snapshots/%s", h->folder, h->listing.commit);
	for (int i = 0; i < h->listing.n && rc == 0; i++)
		if (h->listing.files[i].wanted)
			rc = link_file(h, &h->listing.files[i], snapshot, err);
	if (rc == 0)
		rc = put_reference(h, err);
	if (rc == 0)
		return snapshot;
	free(snapshot);
	return NULL;
}
