/* tally.h - counts what a forward pass holds, without computing: sizes instead of tensors.
 *
 * A walk over a network (forecast_clip.c, forecast_ofa.c, forecast_bert.c) is written as its forward pass is: what an op makes is held, tally_keep ends a
 * scope as tt_keep does, what lives only inside an op is brief. Sizes are rounded as the allocators round them. What is known exactly is the shim's way on a
 * CPU; on CUDA the workspaces of cuBLAS and cuDNN are not known here and left to what is measured (core/forecast.h).
 * Pure arithmetic; any thread. Shapes are those of the ops in torch_shim.h; counts are elements, sizes bytes.
 *
 *	struct tally t;
 *	tally_begin(&t, device, PRECISION_BF16);
 *	int64_t start = tally_here(&t), x = tally_hold(&t, rows * d, TT_F32);
 *	tally_linear(&t, rows, d, 4 * d);
 *	tally_keep(&t, start, x);
 *	tally_end(&t, &forecast);
 */
#ifndef MODELS_TALLY_H
#define MODELS_TALLY_H

#include <stdbool.h>
#include <stdint.h>

#include "core/model.h"
#include "models/torch_shim.h"

struct tally {
	int device;            /* DEVICE_CPU or a CUDA ordinal */
	int threads;           /* that share an op on a CPU; each has its own scratch */
	enum tt_dtype compute; /* of what flows between products */
	enum tt_dtype product; /* in which products run; differs from compute under autocast */
	int64_t alive, kv;     /* bytes held now: caches of keys and values apart from all else */
	int64_t most, together;
};

/* precision: never AUTO. Threads are the CPUs that we may use. */
void tally_begin(struct tally *t, int device, enum precision precision);
/* Fills all but the weights. */
void tally_end(const struct tally *t, struct forecast *out);

/* The dtype that matrices are kept in and that flows between them, for a precision that is not AUTO. */
enum tt_dtype tally_compute(enum precision precision);
/* The dtype in which products run: another one under autocast. */
enum tt_dtype tally_product(int device, enum precision precision);
int64_t tally_size(enum tt_dtype dtype); /* bytes of one value */
/* What the allocator of a device hands out for a tensor of that many bytes; 0 for 0. */
int64_t tally_block(int device, int64_t bytes);
/* The bytes of a weight [out,in] that tt_pack_linear laid out anew for few rows, or 0 where it leaves weights as they are. */
int64_t tally_packed(int device, enum tt_dtype dtype, int64_t out, int64_t in);

/* Holds a tensor; returns its block's bytes, for tally_drop and tally_keep. */
int64_t tally_hold(struct tally *t, int64_t count, enum tt_dtype dtype);
void tally_drop(struct tally *t, int64_t block);
/* Held and dropped within an op, beside what is alive. */
void tally_brief(struct tally *t, int64_t bytes);
/* Keys and values; they stay until the end. */
void tally_cache(struct tally *t, int64_t count, enum tt_dtype dtype);

int64_t tally_here(const struct tally *t);
/* Drops all since mark but `kept` bytes, the sum of their blocks. */
void tally_keep(struct tally *t, int64_t mark, int64_t kept);

/* ---- ops; each returns the block of its result */

/* Between devices or dtypes: nothing is held and 0 returned where neither changes. */
int64_t tally_cast(struct tally *t, int64_t count, enum tt_dtype from, enum tt_dtype to);
/* Pictures [n,3,height,width] fp32 as a batch in host memory; a single one is used where it lies. */
int64_t tally_pixels(struct tally *t, int64_t n, int64_t height, int64_t width);
/* The same in `compute` on the device: what a network begins with. */
int64_t tally_pixels_in(struct tally *t, int64_t n, int64_t height, int64_t width);
/* [rows,in] to [rows,out] in `compute`; packed: a weight laid out by tt_pack_linear. */
int64_t tally_linear(struct tally *t, int64_t rows, int64_t in, int64_t out);
int64_t tally_linear_packed(struct tally *t, int64_t rows, int64_t in, int64_t out);
/* tt_linear_add_ into an fp32 sum: nothing new is held when it is done. */
void tally_linear_add(struct tally *t, int64_t rows, int64_t in, int64_t out);
/* [rows,d] fp32, or `compute` on its way into another, to dtype */
int64_t tally_norm(struct tally *t, int64_t rows, int64_t d, enum tt_dtype dtype);
/* fp32 x + `compute` y of count values, a new tensor. */
int64_t tally_add(struct tally *t, int64_t count);
/* The same into x: only what y is cast to is held, briefly. */
void tally_add_over(struct tally *t, int64_t count);
/* Products of [batch,rows,depth] and [batch,depth,columns], in `compute`. */
int64_t tally_matmul(struct tally *t, int64_t batch, int64_t rows, int64_t depth, int64_t columns);

struct tally_attention {
	int64_t batch, heads, rows, keys, depth; /* depth: of one head */
	int64_t bias;                            /* values of the bias as it lies in memory, fp32; 0: none */
};
/* tt_attention: [batch,rows,heads*depth] in `compute`. */
int64_t tally_attend(struct tally *t, const struct tally_attention *a);
/* nn_attention: keys and values from layers of their own over [batch,keys,·]; all but the result is dropped. */
int64_t tally_attention_layers(struct tally *t, const struct tally_attention *a);

/* A convolution of [n,in,height,width] by kernel x kernel, `padding` = kernel / 2, with a bias: [n,out,h,w] in `compute`. */
struct tally_conv {
	int64_t in, out;
	int kernel, stride;
};
/* height and width become the result's. */
int64_t tally_convolve(struct tally *t, const struct tally_conv *c, int64_t n, int64_t *height, int64_t *width);

#endif
