/* save.c - see save.h. */
#include "core/save.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"

static int write_all(int fd, const char *data, size_t size)
{
	while (size) {
		ssize_t n = write(fd, data, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		data += n;
		size -= (size_t)n;
	}
	return 0;
}

static int write_in_place(const char *path, const void *data, size_t size)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), rc;

	if (fd < 0)
		return -1;
	rc = write_all(fd, data, size);
	return close(fd) < 0 ? -1 : rc;
}

/* Under a name of its own; the umask decides who may read it. */
static int open_beside(const char *path, char **fresh)
{
	for (int i = 0; i < 100; i++) {
		int fd;

		*fresh = xasprintf("%s.new-%ld-%d", path, (long)getpid(), i);
		fd = open(*fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
		if (fd >= 0 || errno != EEXIST)
			return fd;
		free(*fresh);
	}
	*fresh = NULL;
	return -1;
}

/* A close that fails (a quota over NFS) is a write that failed. */
static int fill(int fd, const struct stat *old, const void *data, size_t size)
{
	int rc = write_all(fd, data, size);

	if (rc == 0 && old)
		rc = fchmod(fd, old->st_mode & 07777);
	if (rc == 0)
		rc = fsync(fd);
	return close(fd) < 0 ? -1 : rc;
}

static int replace(const char *path, const struct stat *old, const void *data, size_t size)
{
	char *fresh;
	int fd = open_beside(path, &fresh), rc = -1;

	if (fd >= 0) {
		int saved;

		rc = fill(fd, old, data, size);
		if (rc == 0)
			rc = rename(fresh, path);
		saved = errno;
		if (rc < 0)
			unlink(fresh);
		errno = saved;
	}
	free(fresh);
	return rc;
}

int save_whole(const char *path, const void *data, size_t size, struct error *err)
{
	struct stat old;
	bool exists = stat(path, &old) == 0;
	char *target = exists && S_ISREG(old.st_mode) ? realpath(path, NULL) : NULL;
	int rc;

	if (exists && S_ISDIR(old.st_mode)) {
		errno = EISDIR;
		rc = -1;
	} else if (exists && !target) {
		rc = write_in_place(path, data, size);
	} else {
		rc = replace(target ? target : path, exists ? &old : NULL, data, size);
	}
	if (rc < 0)
		fail(err, E_IO, "%s: cannot be written: %s%s", path, strerror(errno), exists && target ? "; what was there stays" : "");
	free(target);
	return rc;
}

char *save_make_folders(const char *path, mode_t mode)
{
	char *folder = xstrdup(path);

	for (char *slash = strchr(folder + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(folder, mode) < 0 && errno != EEXIST) {
			int saved = errno;

			/* Network file systems may refuse before they look whether it is there. */
			if (access(folder, F_OK) < 0) {
				errno = saved;
				return folder;
			}
		}
		*slash = '/';
	}
	free(folder);
	return NULL;
}

int save_make_parents(const char *path, struct error *err)
{
	char *folder = save_make_folders(path, 0700);
	int rc = folder ? fail(err, E_IO, "%s: the folder cannot be made: %s", folder, strerror(errno)) : 0;

	free(folder);
	return rc;
}
