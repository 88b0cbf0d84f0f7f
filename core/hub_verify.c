/* hub_verify.c - the files of a model read again and compared with the sums that their links name. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/hub_private.h"

enum { DEPTH_MOST = 8 };

struct walk {
	const char *folder;
	int stop_fd, wrong;
	void (*tell)(void *ctx, const struct hub_check *check);
	void *ctx;
};

/* The sum that the link at path names, malloc'd; NULL if it is no link, or to another kind of name. */
static char *named_sum(const char *path)
{
	char target[PATH_MAX];
	ssize_t n = readlink(path, target, sizeof target - 1);
	const char *name;

	if (n <= 0)
		return NULL;
	target[n] = '\0';
	name = strrchr(target, '/');
	name = name ? name + 1 : target;
	return hub_is_sum(name) ? xstrdup(name) : NULL;
}

/* What the file cannot be read for is wrong with it; other failures end the walk. */
static int check_sum(const char *path, const char *sum, const struct walk *w, char **reason, struct error *err)
{
	char found[HUB_SUM];

	if (hub_hash(path, strlen(sum), w->stop_fd, found, err) < 0) {
		if (err->code != E_IO)
			return -1;
		*reason = xstrdup(err->text);
	} else if (strcasecmp(found, sum) != 0) {
		char *blob = realpath(path, NULL);

		*reason = xasprintf("its sum is %s, not %s: it is damaged; remove %s and pull the model again", found, sum, blob ? blob : path);
		free(blob);
	}
	return 0;
}

static int check_file(struct walk *w, const char *relative, const char *path, struct error *err)
{
	char *sum = named_sum(path), *reason = NULL;
	struct hub_check check = {.file = relative, .summed = sum != NULL};
	struct stat st;
	int rc = 0;

	if (stat(path, &st) < 0)
		reason = xstrdup(errno == ENOENT ? "a link to a file that is not there; pull the model again" : strerror(errno));
	else
		check.bytes = st.st_size;
	if (!reason && sum)
		rc = check_sum(path, sum, w, &reason, err);
	else if (!reason && access(path, R_OK) < 0)
		reason = xstrdup(strerror(errno));
	check.reason = reason;
	w->wrong += reason != NULL;
	if (rc == 0)
		w->tell(w->ctx, &check);
	free(reason);
	free(sum);
	return rc;
}

static int check_folder(struct walk *w, const char *below, int depth, struct error *err);

static int check_entry(struct walk *w, const char *below, const char *name, int depth, struct error *err)
{
	char *relative = *below ? xasprintf("%s/%s", below, name) : xstrdup(name), *path = xasprintf("%s/%s", w->folder, relative);
	struct stat st;
	int rc;

	if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode))
		rc = depth < DEPTH_MOST ? check_folder(w, relative, depth + 1, err) : 0;
	else
		rc = check_file(w, relative, path, err);
	free(path);
	free(relative);
	return rc;
}

static int check_folder(struct walk *w, const char *below, int depth, struct error *err)
{
	char *path = xasprintf("%s/%s", w->folder, below);
	struct dirent **entries;
	int n = scandir(path, &entries, NULL, alphasort), rc = 0;

	if (n < 0)
		rc = fail(err, E_IO, "%s: cannot be read: %s", path, strerror(errno));
	for (int i = 0; i < n; i++) {
		if (rc == 0 && entries[i]->d_name[0] != '.')
			rc = check_entry(w, below, entries[i]->d_name, depth, err);
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
	free(path);
	return rc;
}

int hub_verify(const char *folder, int stop_fd, void (*tell)(void *ctx, const struct hub_check *check), void *ctx, struct error *err)
{
	struct walk w = {.folder = folder, .stop_fd = stop_fd, .tell = tell, .ctx = ctx};

	return check_folder(&w, "", 0, err) < 0 ? -1 : w.wrong;
}
