/* checkpoint.h - a model directory's weights as named views into mapped files. No libtorch.
 *
 * Reads safetensors by mmap: nothing is copied, pages come in when touched and can be evicted. Every size in a header is checked against the file before
 * it is used. Immutable once open: any thread may look tensors up. The views live until checkpoint_close.
 */
#ifndef MODELS_CHECKPOINT_H
#define MODELS_CHECKPOINT_H

#include <stdint.h>

#include "core/error.h"

enum checkpoint_dtype { CKPT_F32, CKPT_F16, CKPT_BF16, CKPT_F64, CKPT_I64, CKPT_I32, CKPT_I16, CKPT_I8, CKPT_U8, CKPT_BOOL };
enum { CKPT_MAX_DIMS = 8 };

struct checkpoint_tensor {
	const char *name; /* borrowed from the checkpoint */
	enum checkpoint_dtype dtype;
	int ndim; /* 0 for a scalar */
	int64_t shape[CKPT_MAX_DIMS];
	int64_t count; /* elements */
	int64_t bytes;
	const void *data; /* row-major, little-endian; aligned to the dtype's size (a misaligned file is copied once) */
};

struct checkpoint;

/* dir: a folder holding model.safetensors, or the path of one .safetensors file. */
struct checkpoint *checkpoint_open(const char *path, struct error *err);
void checkpoint_close(struct checkpoint *c);                                                   /* NULL is fine */
const struct checkpoint_tensor *checkpoint_find(const struct checkpoint *c, const char *name); /* NULL if absent */
int checkpoint_size(const struct checkpoint *c);
const struct checkpoint_tensor *checkpoint_at(const struct checkpoint *c, int i); /* in file order */
int64_t checkpoint_bytes(const struct checkpoint *c);                             /* of all tensors */
const char *checkpoint_path(const struct checkpoint *c);                          /* for messages */
const char *checkpoint_dtype_name(enum checkpoint_dtype dtype);                   /* "F32", as in the file */
/* Tells the kernel that t was used up (converted): its pages leave our resident memory and are read again when touched. */
void checkpoint_forget(const struct checkpoint *c, const struct checkpoint_tensor *t);

/* Writes a safetensors file (data in the given order without gaps, starting at a multiple of 64 bytes), to a temporary name first, then renamed.
 * dtype, shape and bytes of each tensor must agree. */
int checkpoint_write(const char *path, const struct checkpoint_tensor *tensors, int n, struct error *err);

#endif
