/* checkpoint_data.c - the values of a tensor: where they lie in the file, or a copy that is aligned and row-major. See checkpoint.h. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <zlib.h>

#include "core/mem.h"
#include "models/checkpoint_private.h"

enum { ALIGN = 64 };

static const struct {
	const char *name;
	int size;
} dtypes[] = {
	[CKPT_F32] = {"F32", 4}, [CKPT_F16] = {"F16", 2}, [CKPT_BF16] = {"BF16", 2}, [CKPT_F64] = {"F64", 8}, [CKPT_I64] = {"I64", 8},
	[CKPT_I32] = {"I32", 4}, [CKPT_I16] = {"I16", 2}, [CKPT_I8] = {"I8", 1},     [CKPT_U8] = {"U8", 1},   [CKPT_BOOL] = {"BOOL", 1},
};

const char *checkpoint_dtype_name(enum checkpoint_dtype dtype)
{
	return dtypes[dtype].name;
}

int checkpoint_dtype_size(enum checkpoint_dtype dtype)
{
	return dtypes[dtype].size;
}

/* Reads a record through once. */
static int check_record(const struct checkpoint *c, int index, struct error *err)
{
	struct checkpoint_record *r = index < 0 ? NULL : &c->records[index];

	if (!r || r->sound)
		return 0;
	if (crc32_z(0, c->files[r->file].map + r->begin, (size_t)r->bytes) != r->crc)
		return fail(err, E_FORMAT, "%s: %s is damaged: its checksum is not the one that was saved with it; download the file again",
			    c->files[r->file].path, r->name);
	r->sound = true;
	return 0;
}

/* The elements of a strided tensor from dimension d on, one behind the other. */
static unsigned char *gather(const struct checkpoint_entry *e, int d, const unsigned char *from, unsigned char *to)
{
	const struct checkpoint_tensor *t = &e->tensor;
	size_t size = (size_t)checkpoint_dtype_size(t->dtype);

	if (d == t->ndim)
		return (unsigned char *)memcpy(to, from, size) + size;
	for (int64_t i = 0; i < t->shape[d]; i++)
		to = gather(e, d + 1, from + (size_t)(i * e->stride[d]) * size, to);
	return to;
}

/* A matrix that stands turned, in squares that fit the cache. */
static void turn(const struct checkpoint_entry *e, const unsigned char *from, unsigned char *to)
{
	enum { SIDE = 32 };
	int64_t rows = e->tensor.shape[0], columns = e->tensor.shape[1];
	size_t size = (size_t)checkpoint_dtype_size(e->tensor.dtype);

	for (int64_t top = 0; top < rows; top += SIDE)
		for (int64_t left = 0; left < columns; left += SIDE)
			for (int64_t r = top; r < rows && r < top + SIDE; r++)
				for (int64_t k = left; k < columns && k < left + SIDE; k++)
					memcpy(to + (size_t)(r * columns + k) * size, from + (size_t)(r * e->stride[0] + k * e->stride[1]) * size,
					       size);
}

static int copy_values(const struct checkpoint *c, struct checkpoint_entry *e, struct error *err)
{
	const struct checkpoint_file *f = &c->files[e->file];
	const unsigned char *from = f->map + e->begin;
	unsigned char *to = aligned_alloc(ALIGN, ((size_t)e->tensor.bytes + ALIGN - 1) / ALIGN * ALIGN);

	if (!to)
		return fail(err, E_MEMORY, "%s: %s: no memory for a copy of %jd bytes", f->path, e->tensor.name, (intmax_t)e->tensor.bytes);
	if (!e->stride)
		memcpy(to, from, (size_t)e->tensor.bytes);
	else if (e->tensor.ndim == 2)
		turn(e, from, to);
	else
		gather(e, 0, from, to);
	e->copy = to;
	return 0;
}

/* Lets the kernel take the pages between begin and end back. */
static void release(const struct checkpoint_file *f, int64_t begin, int64_t bytes)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = (uintptr_t)f->map + (uintptr_t)begin;

	if (bytes > 0)
		madvise((void *)(from / page * page), from % page + (size_t)bytes, MADV_DONTNEED);
}

static bool in_place(const struct checkpoint *c, const struct checkpoint_entry *e)
{
	return e->tensor.bytes == 0 || (!e->stride && (uintptr_t)(c->files[e->file].map + e->begin) % (size_t)dtypes[e->tensor.dtype].size == 0);
}

const void *checkpoint_data(const struct checkpoint *c, const struct checkpoint_tensor *t, struct error *err)
{
	struct checkpoint_entry *e = &c->entries[(const struct checkpoint_entry *)t - c->entries];
	const void *data = NULL;

	pthread_mutex_lock((pthread_mutex_t *)&c->mutex);
	if (check_record(c, e->record, err) == 0) {
		if (in_place(c, e))
			data = c->files[e->file].map + e->begin;
		else if (e->copy || copy_values(c, e, err) == 0)
			data = e->copy;
	}
	if (data) {
		e->holds++;
		if (data == e->copy && !e->stride)
			release(&c->files[e->file], e->begin, t->bytes);
	}
	pthread_mutex_unlock((pthread_mutex_t *)&c->mutex);
	return data;
}

void checkpoint_forget(const struct checkpoint *c, const struct checkpoint_tensor *t)
{
	struct checkpoint_entry *e = &c->entries[(const struct checkpoint_entry *)t - c->entries];

	pthread_mutex_lock((pthread_mutex_t *)&c->mutex);
	if (e->holds > 0)
		e->holds--;
	if (e->holds == 0) {
		free(e->copy);
		e->copy = NULL;
	}
	if (!e->stride)
		release(&c->files[e->file], e->begin, t->bytes);
	pthread_mutex_unlock((pthread_mutex_t *)&c->mutex);
}
