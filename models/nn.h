/* nn.h - what the networks share: where weights come from, linear and norm layers, attention heads.
 *
 * A network asks an nn_source for each of its tensors by name and shape. From a checkpoint, the source lists every tensor that is missing or has another
 * shape and reports them together in nn_finish. Without one (training) it makes the tensor by the initialiser and remembers it, so that the same
 * code that runs a network also trains it and saves it under the same names.
 *
 * Precision: matrices are kept in `compute`, norm weights in fp32. The residual stream and the norms stay fp32; a norm's output is cast to `compute`,
 * so products run in `compute` (bf16 layer norm is slow on a CPU, and fp16 sums lose bits).
 * Threads: the lane's. Ownership: tensors belong to source.pool.
 */
#ifndef MODELS_NN_H
#define MODELS_NN_H

#include <stdbool.h>

#include "core/mem.h"
#include "models/checkpoint.h"
#include "models/torch_shim.h"

/* How a tensor starts when it is made rather than read. */
enum nn_init {
	NN_NORMAL, /* normal(0, std) */
	NN_ZEROS,
	NN_ONES,
	NN_FAN_OUT,     /* convolution: normal(0, sqrt(2 / (out * kh * kw))), He et al. 2015 */
	NN_TEMPERATURE, /* ln(1/0.07): CLIP's first logit scale, Radford et al. 2021 */
};

struct nn_made {
	char *name;
	tt_tensor *tensor; /* F32; a parameter when `trained` */
	bool trained;      /* false: a running statistic */
};

struct nn_source {
	tt_pool *pool;                  /* the weights' pool */
	enum tt_dtype compute;          /* of matrices: TT_F32, TT_BF16, TT_F16 */
	int device;                     /* TT_CPU or a CUDA ordinal */
	const struct checkpoint *file;  /* NULL: initialise */
	const struct checkpoint *start; /* without a file: values to begin with, for the tensors it has; may be NULL */
	double std;                     /* for NN_NORMAL */
	struct nn_made *made;           /* what was initialised, in order */
	int n_made;
	struct buffer problems; /* "name: missing", "name: [2,3] instead of [2,4]" … */
	int n_problems;
	void (*progress)(void *ctx, int64_t done, int64_t total);
	void *ctx;
	int64_t done;           /* bytes read so far */
	int64_t values;         /* elements handed out so far */
	struct nn_count *count; /* not NULL: with a file, nothing is made and every tensor is NULL; problems are noted, and bytes added here */
};

/* What weights would hold: in tensors, as the device's allocator hands it out, and mapped from the file. */
struct nn_count {
	enum tt_dtype packing; /* in which tt_pack_linear lays weights out */
	int64_t held, mapped;
};

/* A matrix or table, in source.compute. name is printf-like after shape: nn_weight(s, NN_NORMAL, TT_SHAPE(out, in), "%s.weight", prefix). */
tt_tensor *nn_weight(struct nn_source *s, enum nn_init init, const int64_t *shape, int ndim, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
/* As nn_weight, kept in fp32: norms, scalars, running statistics, bias tables. */
tt_tensor *nn_weight_f32(struct nn_source *s, enum nn_init init, const int64_t *shape, int ndim, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
/* A running statistic: fp32, never a parameter. */
tt_tensor *nn_statistic(struct nn_source *s, enum nn_init init, const int64_t *shape, int ndim, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
bool nn_has(const struct nn_source *s, const char *fmt, ...) __attribute__((format(printf, 2, 3))); /* always false without a file */
/* For sources that count: a tensor of `count` values that is made from others; a matrix laid out by nn_pack, beside its original. False when that leaves
 * matrices as they are. */
void nn_count_made(const struct nn_source *s, enum tt_dtype dtype, int64_t count);
bool nn_count_packed(const struct nn_source *s, int64_t out, int64_t in);
/* … and one of the file's that is read to make others and then gone: a problem if it is missing or of another shape. */
void nn_count_read(struct nn_source *s, const int64_t *shape, int ndim, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* After the last nn_weight: -1 with one error that names all problems (and the pool's own error, e.g. out of memory); what: "CLIP". Frees s's lists
 * except `made`. */
int nn_finish(struct nn_source *s, const char *what, struct error *err);
void nn_source_free(struct nn_source *s); /* made and problems; not the pool */

struct nn_linear {
	tt_tensor *w;      /* [out, in] */
	tt_tensor *b;      /* [out] or NULL */
	tt_tensor *packed; /* set by nn_pack; then w is no longer used */
	int64_t out;
};
struct nn_norm {
	tt_tensor *w, *b; /* [d] fp32 */
	double eps;
};

/* "<prefix>.weight" and, with bias, "<prefix>.bias". */
struct nn_linear nn_linear_open(struct nn_source *s, const char *prefix, int64_t in, int64_t out, bool bias);
/* A decoder's matrix, which meets few rows at a time: laid out by nn_pack when it comes from a file; where that makes a copy, the original goes. */
struct nn_linear nn_linear_open_packed(struct nn_source *s, const char *prefix, int64_t in, int64_t out, bool bias);
struct nn_norm nn_norm_open(struct nn_source *s, const char *prefix, int64_t d, double eps);
/* Lays the weight out for few rows (decoders); see tt_pack_linear. */
void nn_pack(tt_pool *pool, struct nn_linear *l);

tt_tensor *nn_linear(tt_pool *p, const struct nn_linear *l, tt_tensor *x);                      /* [...,in] -> [...,out] */
tt_tensor *nn_linear_add_(tt_pool *p, const struct nn_linear *l, tt_tensor *x, tt_tensor *sum); /* sum + that, over sum; see tt_linear_add_ */
tt_tensor *nn_norm(tt_pool *p, const struct nn_norm *n, tt_tensor *x, enum tt_dtype out);       /* [...,d] */
/* [B,L,H*D] -> [B,H,L,D], a view */
tt_tensor *nn_heads(tt_pool *p, tt_tensor *x, int heads);
/* Attention with separate q, k, v layers over q-input x and kv-input y, both [B,L,d] in the compute dtype: [B,Lq,d] before the output layer. scale
 * multiplies q k^T. bias, causal and head_scale as in tt_attention. */
tt_tensor *nn_attention(tt_pool *p, const struct nn_linear *q, const struct nn_linear *k, const struct nn_linear *v, tt_tensor *x, tt_tensor *y,
			int heads, double scale, tt_tensor *bias, bool causal, tt_tensor *head_scale);
/* config.json's name of an activation: "gelu", "gelu_new", "quick_gelu", "relu", …; -1 when unknown. */
int nn_activation(const char *name);

#endif
