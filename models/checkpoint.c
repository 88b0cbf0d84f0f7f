/* checkpoint.c - see checkpoint.h: which file of a folder counts, which reader a file is for, and the table that they fill. */
#include "models/checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"
#include "models/checkpoint_private.h"
#include "models/json.h"

enum { OTHERS_SHOWN = 6 };

static const struct {
	bool (*claims)(const unsigned char *bytes, size_t size);
	int (*read)(struct checkpoint *c, int file, struct error *err);
} formats[] = {
	{safetensors_claims, safetensors_read},
	{zip_claims, zip_read},
	{legacy_claims, legacy_read},
};
enum { FORMATS = sizeof formats / sizeof formats[0] };

/* ---- the file that counts */

bool checkpoint_ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	return n >= m && strcmp(text + n - m, end) == 0;
}

/* Also when it is a link to nothing: that is to be said, not passed over. */
static char *path_if_there(const char *dir, const char *name)
{
	char *path = xasprintf("%s/%s", dir, name);
	struct stat st;

	if (lstat(path, &st) == 0)
		return path;
	free(path);
	return NULL;
}

/* The names in a folder that end in .pt or .pth: how many, and the last of them. */
static int count_saved(const char *dir, char **found, struct buffer *names)
{
	DIR *d = opendir(dir);
	struct dirent *entry;
	int n = 0;

	while (d && (entry = readdir(d))) {
		if (!checkpoint_ends_with(entry->d_name, ".pt") && !checkpoint_ends_with(entry->d_name, ".pth"))
			continue;
		if (n++ < OTHERS_SHOWN)
			buffer_printf(names, "%s%s", n > 1 ? ", " : "", entry->d_name);
		free(*found);
		*found = xasprintf("%s/%s", dir, entry->d_name);
	}
	if (d)
		closedir(d);
	return n;
}

static char *find_in_folder(const char *dir, struct error *err)
{
	static const char *const ranked[] = {"model.safetensors",           "model.safetensors.index.json",
					     "pytorch_model.bin",           "pytorch_model.bin.index.json",
					     "open_clip_model.safetensors", "open_clip_pytorch_model.bin"};
	struct buffer names = {0};
	char *path = NULL;
	int n;

	for (size_t i = 0; i < sizeof ranked / sizeof ranked[0]; i++)
		if ((path = path_if_there(dir, ranked[i])))
			return path;
	n = count_saved(dir, &path, &names);
	if (n != 1) {
		if (n > 1)
			fail(err, E_MODEL, "%s: several files of weights in it (%s); give the path of the one that is meant", dir, names.text);
		else
			refuse_folder(dir, err);
		free(path);
		path = NULL;
	}
	buffer_free(&names);
	return path;
}

static char *find_weights(const char *path, struct error *err)
{
	struct stat st;

	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return find_in_folder(path, err);
	return xstrdup(path);
}

/* ---- mapping */

static int map_opened(struct checkpoint_file *f, int fd, struct error *err)
{
	struct stat st;
	void *map;

	if (fstat(fd, &st) < 0)
		return fail(err, E_IO, "%s: %s", f->path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return refuse_kind(f->path, st.st_mode, err);
	if (st.st_size == 0)
		return fail(err, E_FORMAT, "%s: the file is empty; download it again", f->path);
	map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED)
		return fail(err, E_IO, "%s: cannot be mapped: %s", f->path, strerror(errno));
	f->map = map;
	f->size = (size_t)st.st_size;
	return 0;
}

int checkpoint_map(struct checkpoint *c, const char *path, struct error *err)
{
	struct checkpoint_file *f;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), rc; /* a FIFO of that name must not hang us */

	if (fd < 0)
		return json_fail_open(path, errno, err);
	c->files = xrealloc(c->files, (size_t)c->n_files + 1, sizeof *c->files);
	f = &c->files[c->n_files];
	*f = (struct checkpoint_file){.path = xstrdup(path)};
	rc = map_opened(f, fd, err);
	close(fd);
	c->n_files++;
	if (rc < 0 || refuse_text(f, err) < 0)
		return -1;
	return c->n_files - 1;
}

int checkpoint_read_file(struct checkpoint *c, const char *path, struct error *err)
{
	int file = checkpoint_map(c, path, err);

	if (file < 0)
		return -1;
	for (int i = 0; i < FORMATS; i++)
		if (formats[i].claims(c->files[file].map, c->files[file].size))
			return formats[i].read(c, file, err);
	return refuse_format(&c->files[file], err);
}

/* ---- the table */

struct checkpoint_entry *checkpoint_add(struct checkpoint *c, const char *name)
{
	struct checkpoint_entry *e;

	if (c->n == c->capacity) {
		c->capacity = c->capacity ? 2 * c->capacity : 16;
		c->entries = xrealloc(c->entries, (size_t)c->capacity, sizeof *c->entries);
	}
	e = &c->entries[c->n++];
	*e = (struct checkpoint_entry){.tensor.name = xstrdup(name), .record = -1};
	return e;
}

void checkpoint_entry_free(struct checkpoint_entry *e)
{
	free((char *)e->tensor.name);
	free(e->stride);
	free(e->copy);
}

int checkpoint_measure(const char *path, struct checkpoint_tensor *t, struct error *err)
{
	t->count = 1;
	for (int i = 0; i < t->ndim; i++) {
		if (t->shape[i] < 0)
			return fail(err, E_FORMAT, "%s: %s: shape holds something that is not a size", path, t->name);
		if (__builtin_mul_overflow(t->count, t->shape[i], &t->count))
			return fail(err, E_FORMAT, "%s: %s: impossible shape: the product overflows", path, t->name);
	}
	if (__builtin_mul_overflow(t->count, (int64_t)checkpoint_dtype_size(t->dtype), &t->bytes))
		return fail(err, E_FORMAT, "%s: %s: impossible shape: the size overflows", path, t->name);
	return 0;
}

static int compare_name(const void *a, const void *b, void *entries)
{
	const struct checkpoint_entry *e = entries;

	return strcmp(e[*(const int *)a].tensor.name, e[*(const int *)b].tensor.name);
}

static int index_names(struct checkpoint *c, struct error *err)
{
	c->by_name = xcalloc((size_t)c->n + 1, sizeof *c->by_name);
	for (int i = 0; i < c->n; i++)
		c->by_name[i] = i;
	qsort_r(c->by_name, (size_t)c->n, sizeof *c->by_name, compare_name, c->entries);
	for (int i = 1; i < c->n; i++)
		if (compare_name(&c->by_name[i - 1], &c->by_name[i], c->entries) == 0)
			return fail(err, E_FORMAT, "%s: holds %s twice", c->path, c->entries[c->by_name[i]].tensor.name);
	for (int i = 0; i < c->n; i++)
		if (__builtin_add_overflow(c->bytes, c->entries[i].tensor.bytes, &c->bytes))
			return fail(err, E_FORMAT, "%s: impossible sizes: their sum overflows", c->path);
	return 0;
}

struct checkpoint *checkpoint_open(const char *path, struct error *err)
{
	struct checkpoint *c = xcalloc(1, sizeof *c);
	int rc = -1;

	pthread_mutex_init(&c->mutex, NULL);
	c->path = find_weights(path, err);
	if (c->path)
		rc = checkpoint_ends_with(c->path, ".index.json") ? shards_read(c, c->path, err) : checkpoint_read_file(c, c->path, err);
	if (rc < 0 || names_settle(c, err) < 0 || index_names(c, err) < 0) {
		checkpoint_close(c);
		return NULL;
	}
	return c;
}

void checkpoint_close(struct checkpoint *c)
{
	if (!c)
		return;
	for (int i = 0; i < c->n; i++)
		checkpoint_entry_free(&c->entries[i]);
	for (int i = 0; i < c->n_records; i++)
		free(c->records[i].name);
	for (int i = 0; i < c->n_files; i++) {
		if (c->files[i].map)
			munmap(c->files[i].map, c->files[i].size);
		free(c->files[i].path);
	}
	pthread_mutex_destroy(&c->mutex);
	free(c->entries);
	free(c->records);
	free(c->files);
	free(c->by_name);
	free(c->path);
	free(c);
}

const struct checkpoint_tensor *checkpoint_find(const struct checkpoint *c, const char *name)
{
	int low = 0, high = c->n - 1;

	while (low <= high) {
		int middle = low + (high - low) / 2;
		const struct checkpoint_tensor *t = &c->entries[c->by_name[middle]].tensor;
		int order = strcmp(name, t->name);

		if (order == 0)
			return t;
		if (order < 0)
			high = middle - 1;
		else
			low = middle + 1;
	}
	return NULL;
}

int checkpoint_size(const struct checkpoint *c)
{
	return c->n;
}

const struct checkpoint_tensor *checkpoint_at(const struct checkpoint *c, int i)
{
	return &c->entries[i].tensor;
}

int64_t checkpoint_bytes(const struct checkpoint *c)
{
	return c->bytes;
}

const char *checkpoint_path(const struct checkpoint *c)
{
	return c->path;
}

enum checkpoint_naming checkpoint_naming(const struct checkpoint *c)
{
	return c->naming;
}
