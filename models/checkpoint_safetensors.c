/* checkpoint_safetensors.c - https://github.com/huggingface/safetensors: 8 bytes of header length, a JSON header, the data. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "core/mem.h"
#include "models/checkpoint_private.h"

enum { HEADER_MAX = 100000000, ALIGN = 64 }; /* the header limit is the reference implementation's */

bool safetensors_claims(const unsigned char *bytes, size_t size)
{
	return size >= 10 && bytes[8] == '{';
}

static int dtype_read(const json_t *value)
{
	const char *name = json_string_value(value);

	for (int i = CKPT_F32; name && i <= CKPT_BOOL; i++)
		if (strcmp(checkpoint_dtype_name((enum checkpoint_dtype)i), name) == 0)
			return i;
	return -1;
}

/* ---- the header */

static uint64_t read_le64(const unsigned char *b)
{
	uint64_t v = 0;

	for (int i = 7; i >= 0; i--)
		v = v << 8 | b[i];
	return v;
}

static json_t *header_parse(const struct checkpoint_file *f, uint64_t length, struct error *err)
{
	json_error_t why;
	json_t *header;

	if (length > f->size - 8)
		return fail_null(err, E_FORMAT,
				 "%s: truncated: the header promises %" PRIu64 " bytes of JSON, the file has %zu bytes; download it again", f->path,
				 length, f->size);
	if (length > HEADER_MAX)
		return fail_null(err, E_LIMIT, "%s: a header of %" PRIu64 " bytes; at most %d are read", f->path, length, HEADER_MAX);
	header = json_loadb((const char *)f->map + 8, (size_t)length, JSON_REJECT_DUPLICATES, &why);
	if (!header)
		return fail_null(err, E_FORMAT, "%s: broken header: %s", f->path, why.text);
	if (!json_is_object(header)) {
		json_decref(header);
		return fail_null(err, E_FORMAT, "%s: broken header: not a JSON object", f->path);
	}
	return header;
}

static int metadata_check(const char *path, json_t *metadata, struct error *err)
{
	const char *key;
	json_t *value;

	if (!json_is_object(metadata))
		return fail(err, E_FORMAT, "%s: broken header: __metadata__ is not an object", path);
	json_object_foreach(metadata, key, value)
		if (!json_is_string(value))
			return fail(err, E_FORMAT, "%s: broken header: __metadata__.%s is not a string", path, key);
	return 0;
}

static int shape_read(const char *path, const json_t *shape, struct checkpoint_tensor *t, struct error *err)
{
	if (!json_is_array(shape))
		return fail(err, E_FORMAT, "%s: %s: shape is not a list", path, t->name);
	if (json_array_size(shape) > CKPT_MAX_DIMS)
		return fail(err, E_FORMAT, "%s: %s: %zu dimensions; at most %d are supported", path, t->name, json_array_size(shape), CKPT_MAX_DIMS);
	t->ndim = (int)json_array_size(shape);
	for (int i = 0; i < t->ndim; i++) {
		const json_t *value = json_array_get(shape, (size_t)i);

		if (!json_is_integer(value))
			return fail(err, E_FORMAT, "%s: %s: shape holds something that is not a size", path, t->name);
		t->shape[i] = json_integer_value(value);
	}
	return checkpoint_measure(path, t, err);
}

static int entry_read(struct checkpoint *c, int file, int64_t data, const char *name, const json_t *value, struct error *err)
{
	const json_t *offsets = json_object_get(value, "data_offsets"), *dtype = json_object_get(value, "dtype");
	const json_t *first = json_array_get(offsets, 0), *last = json_array_get(offsets, 1);
	struct checkpoint_entry *e = checkpoint_add(c, name);
	const char *path = c->files[file].path;
	int64_t begin = json_integer_value(first), end = json_integer_value(last);
	int code = dtype_read(dtype);

	e->file = file;
	if (!json_is_object(value))
		return fail(err, E_FORMAT, "%s: %s: the header's entry is not an object", path, name);
	if (code < 0)
		return fail(err, E_FORMAT, "%s: %s: dtype %s is not supported", path, name,
			    json_is_string(dtype) ? json_string_value(dtype) : "(missing)");
	e->tensor.dtype = (enum checkpoint_dtype)code;
	if (shape_read(path, json_object_get(value, "shape"), &e->tensor, err) < 0)
		return -1;
	if (json_array_size(offsets) != 2 || !json_is_integer(first) || !json_is_integer(last))
		return fail(err, E_FORMAT, "%s: %s: data_offsets is not a pair of integers", path, name);
	if (begin < 0 || end < begin || end > INT64_MAX - data)
		return fail(err, E_FORMAT, "%s: %s: data_offsets [%jd, %jd] make no sense", path, name, (intmax_t)begin, (intmax_t)end);
	if (end - begin != e->tensor.bytes)
		return fail(err, E_FORMAT, "%s: %s: data_offsets span %jd bytes, dtype and shape make %jd", path, name, (intmax_t)(end - begin),
			    (intmax_t)e->tensor.bytes);
	e->begin = data + begin;
	return 0;
}

static int entries_read(struct checkpoint *c, int file, int64_t data, json_t *header, struct error *err)
{
	const char *name;
	json_t *value;

	json_object_foreach(header, name, value) {
		if (strcmp(name, "__metadata__") == 0) {
			if (metadata_check(c->files[file].path, value, err) < 0)
				return -1;
		} else if (entry_read(c, file, data, name, value, err) < 0) {
			return -1;
		}
	}
	return 0;
}

static int compare_place(const void *a, const void *b)
{
	const struct checkpoint_entry *x = a, *y = b;

	if (x->begin != y->begin)
		return x->begin < y->begin ? -1 : 1;
	return x->tensor.bytes < y->tensor.bytes ? -1 : x->tensor.bytes > y->tensor.bytes;
}

/* The tensors, n from e on, must cover the buffer exactly: no overlap, no hole, nothing after. */
static int layout_check(const struct checkpoint_file *f, struct checkpoint_entry *e, int n, int64_t data, struct error *err)
{
	int64_t at = data, have = (int64_t)f->size;

	if (n > 0)
		qsort(e, (size_t)n, sizeof *e, compare_place);
	for (int i = 0; i < n; i++) {
		if (e[i].begin < at)
			return fail(err, E_FORMAT, "%s: %s overlaps %s", f->path, e[i].tensor.name, e[i - 1].tensor.name);
		if (e[i].begin > at)
			return fail(err, E_FORMAT, "%s: a hole of %jd bytes before %s", f->path, (intmax_t)(e[i].begin - at), e[i].tensor.name);
		at += e[i].tensor.bytes;
	}
	if (at > have)
		return fail(err, E_FORMAT, "%s: truncated: the header promises %jd bytes, the file has %zu; download it again", f->path, (intmax_t)at,
			    f->size);
	if (at < have)
		return fail(err, E_FORMAT, "%s: %jd bytes after the last tensor that belong to none", f->path, (intmax_t)(have - at));
	return 0;
}

int safetensors_read(struct checkpoint *c, int file, struct error *err)
{
	const struct checkpoint_file *f = &c->files[file];
	uint64_t length = read_le64(f->map);
	json_t *header = header_parse(f, length, err);
	int first = c->n, rc;

	if (!header)
		return -1;
	rc = entries_read(c, file, 8 + (int64_t)length, header, err);
	json_decref(header);
	if (rc == 0)
		rc = layout_check(f, c->entries + first, c->n - first, 8 + (int64_t)length, err);
	return rc;
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
				    json_pack("{s:s, s:o, s:[I,I]}", "dtype", checkpoint_dtype_name(t->dtype), "shape", shape, "data_offsets",
					      (json_int_t)at, (json_int_t)(at + t->bytes)));
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
