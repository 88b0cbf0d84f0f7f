/* saved.h - files as torch.save writes them, and such as it never would: pickles, zip archives and the older format, by hand. For tests; any thread.
 *
 *	struct buffer pickle = {0};
 *	struct saved_zip zip = {0};
 *	saved_pickle(&pickle, tensors, n, SAVED_ZIP);
 *	saved_zip_add(&zip, "archive/data.pkl", pickle.text, pickle.length);
 *	saved_zip_add(&zip, "archive/data/0", values, sizeof values);
 *	saved_zip_finish(&zip, 0);
 *	… zip.file …
 *	saved_zip_free(&zip);
 */
#ifndef TESTS_SAVED_H
#define TESTS_SAVED_H

#include <stdbool.h>
#include <stdint.h>

#include "core/mem.h"

enum { SAVED_DIMS = 9 };

struct saved_tensor {
	const char *name, *storage, *key; /* "x.weight", "FloatStorage", "0" */
	int64_t stored;                   /* elements of the storage */
	int64_t offset;
	int ndim;
	int64_t shape[SAVED_DIMS], stride[SAVED_DIMS];
};

enum saved_format { SAVED_ZIP, SAVED_LEGACY };

/* A pickle of an OrderedDict with _metadata, as a state_dict is. */
void saved_pickle(struct buffer *out, const struct saved_tensor *tensors, int n, enum saved_format format);
/* Parts of one. */
void saved_text(struct buffer *out, const char *text);
void saved_number(struct buffer *out, int64_t value);
void saved_tensor(struct buffer *out, const struct saved_tensor *t, enum saved_format format);

/* Zero-initialise. Members are stored, their data at multiples of 64, sizes and checksums in the directory only. */
struct saved_zip {
	struct buffer file, directory;
	int n;
};
void saved_zip_add(struct saved_zip *z, const char *name, const void *data, size_t size);
enum { SAVED_WIDE = 1 }; /* zip64: its end record and locator, and all sizes as 64 bits */
void saved_zip_add_wide(struct saved_zip *z, const char *name, const void *data, size_t size);
void saved_zip_finish(struct saved_zip *z, unsigned flags);
void saved_zip_free(struct saved_zip *z);

/* The older format: the head and the pickle; then the keys; then, for each key in their order, saved_storage. */
void saved_legacy(struct buffer *out, const struct buffer *pickle, const char *const *keys, int n);
void saved_storage(struct buffer *out, int64_t count, const void *data, size_t size);

#endif
