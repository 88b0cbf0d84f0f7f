/* checkpoint.c - see checkpoint.h. The format: https://github.com/huggingface/safetensors (8 bytes of header length, a JSON header, the data). */
#include "models/checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "core/mem.h"

enum { HEADER_MAX = 100000000, ALIGN = 64 }; /* the header limit is the reference implementation's */

static const struct {
	const char *name;
	int size;
} dtypes[] = {
	[CKPT_F32] = {"F32", 4}, [CKPT_F16] = {"F16", 2}, [CKPT_BF16] = {"BF16", 2}, [CKPT_F64] = {"F64", 8}, [CKPT_I64] = {"I64", 8},
	[CKPT_I32] = {"I32", 4}, [CKPT_I16] = {"I16", 2}, [CKPT_I8] = {"I8", 1},     [CKPT_U8] = {"U8", 1},   [CKPT_BOOL] = {"BOOL", 1},
};
enum { DTYPES = sizeof dtypes / sizeof dtypes[0] };

struct entry {
	struct checkpoint_tensor tensor;
	int64_t begin, end; /* in the data buffer */
};

struct checkpoint {
	char *path;
	unsigned char *map;
	size_t size;
	int64_t data;          /* where the buffer starts in the file */
	json_t *header;        /* owns the names */
	struct entry *entries; /* in file order */
	int *by_name;
	int n;
	int64_t bytes;
	unsigned char *copy; /* the misaligned tensors, moved */
};

const char *checkpoint_dtype_name(enum checkpoint_dtype dtype)
{
	return dtypes[dtype].name;
}

static int dtype_read(const json_t *value)
{
	const char *name = json_string_value(value);

	for (int i = 0; name && i < DTYPES; i++)
		if (strcmp(dtypes[i].name, name) == 0)
			return i;
	return -1;
}

/* ---- finding and mapping the file */

static bool holds(const char *dir, const char *name)
{
	char *path = xasprintf("%s/%s", dir, name);
	bool yes = access(path, F_OK) == 0;

	free(path);
	return yes;
}

/* A folder without weights that we read: says what lies there instead. */
static int refuse_folder(const char *dir, struct error *err)
{
	if (holds(dir, "model.safetensors.index.json"))
		return fail(err, E_MODEL,
			    "%s: the weights are split over several files (model.safetensors.index.json), which is not supported: "
			    "save them as one model.safetensors",
			    dir);
	if (holds(dir, "pytorch_model.bin") || holds(dir, "pytorch_model.pt"))
		return fail(err, E_MODEL,
			    "%s: holds pytorch_model weights but no model.safetensors; pickled weights are not supported: convert them, "
			    "e.g. with save_pretrained(folder, safe_serialization=True)",
			    dir);
	return fail(err, E_MODEL, "%s: no model.safetensors in this folder", dir);
}

static int file_open(struct checkpoint *c, const char *path, struct error *err)
{
	struct stat st;
	int fd;

	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
		if (!holds(path, "model.safetensors"))
			return refuse_folder(path, err);
		c->path = xasprintf("%s/model.safetensors", path);
	} else {
		c->path = xstrdup(path);
	}
	fd = open(c->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO of that name must not hang us */
	if (fd < 0)
		return fail(err, E_IO, "%s: %s", c->path, strerror(errno));
	return fd;
}

static int map_file(struct checkpoint *c, int fd, struct error *err)
{
	struct stat st;
	void *map;

	if (fstat(fd, &st) < 0)
		return fail(err, E_IO, "%s: %s", c->path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return fail(err, E_FORMAT, "%s: not a regular file", c->path);
	if (st.st_size == 0)
		return fail(err, E_FORMAT, "%s: the file is empty; download it again", c->path);
	if (st.st_size < 10)
		return fail(err, E_FORMAT, "%s: %jd bytes are too few for a safetensors file; download it again", c->path, (intmax_t)st.st_size);
	map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED)
		return fail(err, E_IO, "%s: cannot be mapped: %s", c->path, strerror(errno));
	c->map = map;
	c->size = (size_t)st.st_size;
	return 0;
}

/* ---- the header */

static uint64_t read_le64(const unsigned char *b)
{
	uint64_t v = 0;

	for (int i = 7; i >= 0; i--)
		v = v << 8 | b[i];
	return v;
}

static int header_parse(struct checkpoint *c, struct error *err)
{
	static const char lfs[] = "version https://git-lfs";
	uint64_t length = read_le64(c->map);
	json_error_t why;

	if (c->size >= sizeof lfs && memcmp(c->map, lfs, sizeof lfs - 1) == 0)
		return fail(err, E_FORMAT, "%s: a Git LFS pointer, not the weights; fetch them with `git lfs pull`", c->path);
	if (c->map[8] != '{')
		return fail(err, E_FORMAT, "%s: not a safetensors file: no JSON header at byte 8", c->path);
	if (length > c->size - 8)
		return fail(err, E_FORMAT, "%s: truncated: the header promises %" PRIu64 " bytes of JSON, the file has %zu bytes; download it again",
			    c->path, length, c->size);
	if (length > HEADER_MAX)
		return fail(err, E_LIMIT, "%s: a header of %" PRIu64 " bytes; at most %d are read", c->path, length, HEADER_MAX);
	c->header = json_loadb((const char *)c->map + 8, (size_t)length, JSON_REJECT_DUPLICATES, &why);
	if (!c->header)
		return fail(err, E_FORMAT, "%s: broken header: %s", c->path, why.text);
	if (!json_is_object(c->header))
		return fail(err, E_FORMAT, "%s: broken header: not a JSON object", c->path);
	c->data = 8 + (int64_t)length;
	return 0;
}

static int metadata_check(const struct checkpoint *c, json_t *metadata, struct error *err)
{
	const char *key;
	json_t *value;

	if (!json_is_object(metadata))
		return fail(err, E_FORMAT, "%s: broken header: __metadata__ is not an object", c->path);
	json_object_foreach(metadata, key, value) if (!json_is_string(value)) return fail(
		err, E_FORMAT, "%s: broken header: __metadata__.%s is not a string", c->path, key);
	return 0;
}

static int shape_read(const struct checkpoint *c, const json_t *shape, struct checkpoint_tensor *t, struct error *err)
{
	if (!json_is_array(shape))
		return fail(err, E_FORMAT, "%s: %s: shape is not a list", c->path, t->name);
	if (json_array_size(shape) > CKPT_MAX_DIMS)
		return fail(err, E_FORMAT, "%s: %s: %zu dimensions; at most %d are supported", c->path, t->name, json_array_size(shape),
			    CKPT_MAX_DIMS);
	t->ndim = (int)json_array_size(shape);
	t->count = 1;
	for (int i = 0; i < t->ndim; i++) {
		const json_t *value = json_array_get(shape, (size_t)i);

		t->shape[i] = json_integer_value(value);
		if (!json_is_integer(value) || t->shape[i] < 0)
			return fail(err, E_FORMAT, "%s: %s: shape holds something that is not a size", c->path, t->name);
		if (__builtin_mul_overflow(t->count, t->shape[i], &t->count))
			return fail(err, E_FORMAT, "%s: %s: impossible shape: the product overflows", c->path, t->name);
	}
	if (__builtin_mul_overflow(t->count, (int64_t)dtypes[t->dtype].size, &t->bytes))
		return fail(err, E_FORMAT, "%s: %s: impossible shape: the size overflows", c->path, t->name);
	return 0;
}

static int entry_read(const struct checkpoint *c, const char *name, const json_t *value, struct entry *e, struct error *err)
{
	const json_t *offsets = json_object_get(value, "data_offsets"), *dtype = json_object_get(value, "dtype");
	const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
	int code = dtype_read(dtype);

	e->tensor.name = name;
	if (!json_is_object(value))
		return fail(err, E_FORMAT, "%s: %s: the header's entry is not an object", c->path, name);
	if (code < 0)
		return fail(err, E_FORMAT, "%s: %s: dtype %s is not supported", c->path, name,
			    json_is_string(dtype) ? json_string_value(dtype) : "(missing)");
	e->tensor.dtype = (enum checkpoint_dtype)code;
	if (shape_read(c, json_object_get(value, "shape"), &e->tensor, err) < 0)
		return -1;
	if (json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end))
		return fail(err, E_FORMAT, "%s: %s: data_offsets is not a pair of integers", c->path, name);
	e->begin = json_integer_value(begin);
	e->end = json_integer_value(end);
	if (e->begin < 0 || e->end < e->begin)
		return fail(err, E_FORMAT, "%s: %s: data_offsets [%jd, %jd] make no sense", c->path, name, (intmax_t)e->begin, (intmax_t)e->end);
	if (e->end - e->begin != e->tensor.bytes)
		return fail(err, E_FORMAT, "%s: %s: data_offsets span %jd bytes, dtype and shape make %jd", c->path, name,
			    (intmax_t)(e->end - e->begin), (intmax_t)e->tensor.bytes);
	return 0;
}

static int entries_read(struct checkpoint *c, struct error *err)
{
	const char *name;
	json_t *value;

	c->entries = xcalloc(json_object_size(c->header) + 1, sizeof *c->entries);
	json_object_foreach(c->header, name, value)
	{
		if (strcmp(name, "__metadata__") == 0) {
			if (metadata_check(c, value, err) < 0)
				return -1;
			continue;
		}
		if (entry_read(c, name, value, &c->entries[c->n], err) < 0)
			return -1;
		c->n++;
	}
	return 0;
}

/* ---- the data */

static int compare_place(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->begin != y->begin)
		return x->begin < y->begin ? -1 : 1;
	return x->end < y->end ? -1 : x->end > y->end;
}

/* The tensors must cover the buffer exactly: no overlap, no hole, nothing after. */
static int layout_check(struct checkpoint *c, struct error *err)
{
	int64_t at = 0, have = (int64_t)c->size - c->data;

	qsort(c->entries, (size_t)c->n, sizeof *c->entries, compare_place);
	for (int i = 0; i < c->n; i++) {
		const struct entry *e = &c->entries[i];

		if (e->begin < at)
			return fail(err, E_FORMAT, "%s: %s overlaps %s", c->path, e->tensor.name, c->entries[i - 1].tensor.name);
		if (e->begin > at)
			return fail(err, E_FORMAT, "%s: a hole of %jd bytes before %s", c->path, (intmax_t)(e->begin - at), e->tensor.name);
		at = e->end;
	}
	if (at > have)
		return fail(err, E_FORMAT, "%s: truncated: the header promises %jd bytes, the file has %zu; download it again", c->path,
			    (intmax_t)(at > INT64_MAX - c->data ? INT64_MAX : c->data + at), c->size);
	if (at < have)
		return fail(err, E_FORMAT, "%s: %jd bytes after the last tensor that belong to none", c->path, (intmax_t)(have - at));
	c->bytes = at;
	return 0;
}

static bool misaligned(const struct checkpoint *c, const struct entry *e)
{
	return (c->data + e->begin) % dtypes[e->tensor.dtype].size != 0;
}

static size_t padded(int64_t bytes)
{
	return ((size_t)bytes + ALIGN - 1) / ALIGN * ALIGN;
}

/* Points every tensor at its data; the misaligned ones at a copy. */
static int data_place(struct checkpoint *c, struct error *err)
{
	size_t need = 0, used = 0;

	for (int i = 0; i < c->n; i++)
		need += misaligned(c, &c->entries[i]) ? padded(c->entries[i].tensor.bytes) : 0;
	if (need > 0 && !(c->copy = aligned_alloc(ALIGN, need)))
		return fail(err, E_MEMORY, "%s: no memory to align %zu bytes of tensors", c->path, need);
	for (int i = 0; i < c->n; i++) {
		struct entry *e = &c->entries[i];
		const unsigned char *source = c->map + c->data + e->begin;

		e->tensor.data = source;
		if (misaligned(c, e) && e->tensor.bytes > 0) {
			e->tensor.data = memcpy(c->copy + used, source, (size_t)e->tensor.bytes);
			used += padded(e->tensor.bytes);
		}
	}
	return 0;
}

static int compare_name(const void *a, const void *b, void *entries)
{
	const struct entry *e = entries;

	return strcmp(e[*(const int *)a].tensor.name, e[*(const int *)b].tensor.name);
}

static void index_names(struct checkpoint *c)
{
	c->by_name = xcalloc((size_t)c->n + 1, sizeof *c->by_name);
	for (int i = 0; i < c->n; i++)
		c->by_name[i] = i;
	qsort_r(c->by_name, (size_t)c->n, sizeof *c->by_name, compare_name, c->entries);
}

struct checkpoint *checkpoint_open(const char *path, struct error *err)
{
	struct checkpoint *c = xcalloc(1, sizeof *c);
	int fd = file_open(c, path, err);
	int rc = fd < 0 ? -1 : map_file(c, fd, err);

	if (fd >= 0)
		close(fd);
	if (rc < 0 || header_parse(c, err) < 0 || entries_read(c, err) < 0 || layout_check(c, err) < 0 || data_place(c, err) < 0) {
		checkpoint_close(c);
		return NULL;
	}
	index_names(c);
	return c;
}

void checkpoint_close(struct checkpoint *c)
{
	if (!c)
		return;
	if (c->map)
		munmap(c->map, c->size);
	json_decref(c->header);
	free(c->entries);
	free(c->by_name);
	free(c->copy);
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

void checkpoint_forget(const struct checkpoint *c, const struct checkpoint_tensor *t)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = (uintptr_t)t->data, map = (uintptr_t)c->map;

	if (begin < map || begin >= map + c->size || t->bytes == 0)
		return; /* an aligned copy */
	madvise((void *)(begin / page * page), begin % page + (size_t)t->bytes, MADV_DONTNEED);
}

/* ---- writing */

static json_t *header_build(const struct checkpoint_tensor *tensors, int n)
{
	json_t *header = json_object();
	int64_t at = 0;

	for (int i = 0; i < n; i++) {
		const struct checkpoint_tensor *t = &tensors[i];
		json_t *shape = json_array();

		for (int d = 0; d < t->ndim; d++)
			json_array_append_new(shape, json_integer(t->shape[d]));
		json_object_set_new(header, t->name,
				    json_pack("{s:s, s:o, s:[I,I]}", "dtype", dtypes[t->dtype].name, "shape", shape, "data_offsets", (json_int_t)at,
					      (json_int_t)(at + t->bytes)));
		at += t->bytes;
	}
	return header;
}

/* The header as text, padded with spaces so that the data starts at a multiple of ALIGN. */
static int header_text(const char *path, const struct checkpoint_tensor *tensors, int n, struct buffer *out, struct error *err)
{
	json_t *header = header_build(tensors, n);
	char *text = json_dumps(header, JSON_COMPACT);
	bool whole = json_object_size(header) == (size_t)n;

	json_decref(header);
	if (!text || !whole) {
		free(text);
		return fail(err, E_USAGE, "%s: tensor names must be valid, different UTF-8", path);
	}
	buffer_puts(out, text);
	free(text);
	while ((8 + out->length) % ALIGN != 0)
		buffer_puts(out, " ");
	return 0;
}

static int write_body(FILE *f, const struct buffer *header, const struct checkpoint_tensor *tensors, int n)
{
	unsigned char length[8];

	for (int i = 0; i < 8; i++)
		length[i] = (unsigned char)((uint64_t)header->length >> (8 * i));
	if (fwrite(length, 1, sizeof length, f) != sizeof length || fwrite(header->text, 1, header->length, f) != header->length)
		return -1;
	for (int i = 0; i < n; i++)
		if (tensors[i].bytes > 0 && fwrite(tensors[i].data, 1, (size_t)tensors[i].bytes, f) != (size_t)tensors[i].bytes)
			return -1;
	return fflush(f) == 0 && fsync(fileno(f)) == 0 ? 0 : -1;
}

static int write_renamed(const char *path, const struct buffer *header, const struct checkpoint_tensor *tensors, int n, struct error *err)
{
	char *temporary = xasprintf("%s.new-%ld", path, (long)getpid());
	FILE *f = fopen(temporary, "wbe");
	int rc = f ? write_body(f, header, tensors, n) : -1;

	if (f && fclose(f) != 0)
		rc = -1;
	if (rc == 0)
		rc = rename(temporary, path);
	if (rc < 0) {
		fail(err, E_IO, "%s: cannot be written: %s", path, strerror(errno));
		unlink(temporary);
	}
	free(temporary);
	return rc;
}

int checkpoint_write(const char *path, const struct checkpoint_tensor *tensors, int n, struct error *err)
{
	struct buffer header = {0};
	int rc = header_text(path, tensors, n, &header, err);

	if (rc == 0)
		rc = write_renamed(path, &header, tensors, n, err);
	buffer_free(&header);
	return rc;
}
