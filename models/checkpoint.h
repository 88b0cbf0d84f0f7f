/* checkpoint.h - a model's weights as named views into mapped files, whatever tool wrote them. No libtorch.
 *
 * Reads safetensors, what torch.save writes (a zip since 1.6, five pickles in a row before), TorchScript archives, and each of these split over
 * several files. Nothing in a file is ever executed. The files are mapped: nothing is copied as long as it can be used where it lies, pages come in
 * when touched and can be evicted. Every size is checked against the file before it is used.
 *
 * The names are those of Hugging Face's models: a prefix that all share ("module.") is taken off, and OpenAI's and open_clip's names of CLIP's
 * tensors are replaced (q, k and v as views into in_proj; the two projections turned), as are Salesforce's of BLIP and fairseq's of OFA.
 *
 *	struct checkpoint *c = checkpoint_open(dir, &err);
 *	const struct checkpoint_tensor *t = checkpoint_find(c, "logit_scale");
 *	const float *scale = t ? checkpoint_data(c, t, &err) : NULL;
 *	…
 *	checkpoint_close(c);
 *
 * Once open, any thread may look tensors up and ask for their data. Everything handed out lives until checkpoint_close at most.
 */
#ifndef MODELS_CHECKPOINT_H
#define MODELS_CHECKPOINT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/error.h"

enum checkpoint_dtype { CKPT_F32, CKPT_F16, CKPT_BF16, CKPT_F64, CKPT_I64, CKPT_I32, CKPT_I16, CKPT_I8, CKPT_U8, CKPT_BOOL };
enum { CKPT_MAX_DIMS = 8 };

struct checkpoint_tensor {
	const char *name; /* borrowed from the checkpoint */
	enum checkpoint_dtype dtype;
	int ndim; /* 0 for a scalar */
	int64_t shape[CKPT_MAX_DIMS];
	int64_t count;    /* elements */
	int64_t bytes;    /* count times the dtype's size, of a row-major array */
	const void *data; /* for checkpoint_write: row-major, little-endian. NULL in an open checkpoint: see checkpoint_data */
};

struct checkpoint;

/* path: one file of weights, or a folder. Of the weights in a folder the first of these counts: model.safetensors, model.safetensors.index.json,
 * pytorch_model.bin, pytorch_model.bin.index.json, open_clip_model.safetensors, open_clip_pytorch_model.bin, the only *.pt or *.pth. NULL with E_IO,
 * E_MODEL (no weights there, or such as no network here can use), E_FORMAT (broken, or not weights at all) or E_LIMIT; the text says what to do
 * about it. Checksums are left to checkpoint_data. */
struct checkpoint *checkpoint_open(const char *path, struct error *err);
void checkpoint_close(struct checkpoint *c);                                                   /* NULL is fine */
const struct checkpoint_tensor *checkpoint_find(const struct checkpoint *c, const char *name); /* NULL if absent */
int checkpoint_size(const struct checkpoint *c);
const struct checkpoint_tensor *checkpoint_at(const struct checkpoint *c, int i); /* in file order */
int64_t checkpoint_bytes(const struct checkpoint *c);                             /* of all tensors */
const char *checkpoint_path(const struct checkpoint *c);                          /* of the file, or of the index of several; for messages */
const char *checkpoint_dtype_name(enum checkpoint_dtype dtype);                   /* "F32", as in a safetensors file */

/* The values of t, which is c's: row-major, little-endian, aligned to the dtype's size. Where they lie in the file if possible; else (strided,
 * turned, or at an odd address) a copy. The first call for a record of a zip reads it through to compare its CRC-32. Holds the data until a
 * checkpoint_forget. NULL with E_FORMAT (the file is damaged) or E_MEMORY. */
const void *checkpoint_data(const struct checkpoint *c, const struct checkpoint_tensor *t, struct error *err);
/* Ends what checkpoint_data of t began, for who has used it up (converted it): mapped pages leave our resident memory and are read again when
 * touched, a copy is freed unless held by another. Who goes on using the data does not call it. */
void checkpoint_forget(const struct checkpoint *c, const struct checkpoint_tensor *t);

/* Whose names were replaced, for who makes a config of the shapes. */
enum checkpoint_naming {
	CKPT_NAMED_PLAIN,     /* Hugging Face's, or fairseq's, which go with a config of Hugging Face's */
	CKPT_NAMED_OPENAI,    /* they were OpenAI's, of a CLIP */
	CKPT_NAMED_TRAINING,  /* OpenAI's too, inside a training checkpoint: open_clip writes these, whose networks differ in their activation */
	CKPT_NAMED_SALESFORCE /* of a BLIP that writes captions */
};
enum checkpoint_naming checkpoint_naming(const struct checkpoint *c);

/* Writes a safetensors file (data in the given order without gaps, starting at a multiple of 64 bytes), to a temporary name first, then renamed.
 * dtype, shape and bytes of each tensor must agree. */
int checkpoint_write(const char *path, const struct checkpoint_tensor *tensors, int n, struct error *err);

#endif
