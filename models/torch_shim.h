/* torch_shim.h - tensors for C. The only door to libtorch: everything behind it is in torch_*.cpp.
 *
 * Conventions
 *  - A tt_pool owns its tensors. A `tt_tensor *` is borrowed from its pool and never freed alone: tt_keep, tt_clear and tt_pool_destroy free them.
 *    Weights live in one pool per model, work in one pool per lane.
 *  - Errors stick. The first failure (exception, wrong shape, out of memory, cancellation) is kept in the pool as a status and a message "op: what".
 *    From then on every op on that pool returns NULL and does nothing; NULL arguments are passed through in the same way. So a forward pass is
 *    written as mathematics, with one check at its end. tt_reset clears the error (and keeps the tensors).
 *  - A pool belongs to one thread at a time. Tensors of another pool may be read (weights), never changed.
 *  - No exception crosses. Only pointers, integers and floats do.
 *  - Inference mode is entered per op, unless the pool was made with TT_TRAIN, which records gradients.
 *  - Names that end in `_` may overwrite their first argument and return it (in a TT_TRAIN pool they return a new tensor): use the result only.
 *  - dim arguments may be negative (from the end). Shapes are int64_t arrays, row-major.
 *
 *	tt_mark m = tt_here(p);
 *	x = tt_from_f32(p, pixels, TT_SHAPE(n, 3, 224, 224));
 *	for (int i = 0; i < n_layers; i++) {
 *		x = block(p, &w->layer[i], x);
 *		tt_keep(p, m, &x, 1);                    // frees all since m except x
 *	}
 *	if (tt_to_f32(p, x, out, count) < 0)
 *		return fail(err, tt_error_code(p), "%s", tt_message(p));
 */
#ifndef MODELS_TORCH_SHIM_H
#define MODELS_TORCH_SHIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum tt_dtype { TT_F32, TT_F16, TT_BF16, TT_I64, TT_I32, TT_U8, TT_BOOL, TT_F64 };
/* TT_DEVICE: the device broke down, and nothing on it can be used any more by this process. */
enum tt_status { TT_OK, TT_ERROR, TT_OUT_OF_MEMORY, TT_CANCELLED, TT_DEVICE };
enum tt_pool_flags { TT_INFER = 0, TT_TRAIN = 1, TT_WEIGHTS = 2 /* what it holds counts as weights: see tt_set_owner */ };
enum { TT_MAX_DIMS = 8 };

typedef struct tt_tensor tt_tensor; /* opaque on purpose: the one handle type */
typedef struct tt_pool tt_pool;
typedef size_t tt_mark;

/* shape arguments: TT_SHAPE(2, 3) expands to "array, 2"; TT_SCALAR is the shape [] */
#define TT_SHAPE(...) (const int64_t[]){__VA_ARGS__}, (int)(sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))
#define TT_SCALAR     NULL, 0

/* ---- process ------------------------------------------------------------------------------------------------------------------------------ */

/* Once, on the thread that first touches libtorch: intra-op threads (0 = CPUs in the affinity mask), our counting CPU allocator, flush of denormals.
 * Before the library is loaded the environment must say OMP_WAIT_POLICY=PASSIVE (core/runtime.h). Returns 0/-1 and a message. */
int tt_start(int threads, char *message, size_t size);
const char *tt_version(void); /* "1.13.1", or with "+cu121" when CUDA kernels are present; static */
bool tt_cpu_has_bf16(void);   /* avx512_bf16 or amx_bf16: otherwise bf16 on a CPU is slower than fp32 */
double tt_blas_gflops(void);  /* measured: 192^3 fp32 product, best of 6, about 2 ms; OpenBLAS: on one thread */
void tt_seed(uint64_t seed);  /* torch's generators */

/* How numbers come about, for all that runs after it on any thread; but `threads` of an op is only what the calling thread's own ops take. */
struct tt_tuning {
	uint64_t seed;
	bool deterministic; /* an op that has no kernel of that kind fails */
	bool benchmark;     /* cuDNN tries kernels and keeps the fastest */
	int threads;        /* intra-op; 0 = CPUs in the affinity mask */
};
int tt_tune(const struct tt_tuning *tuning, char *message, size_t size); /* 0/-1 and a message */

/* What the text of an exception tells: TT_OUT_OF_MEMORY, TT_DEVICE, or TT_ERROR for all else. Pure. cuBLAS, cuDNN, oneDNN and the driver's errors have no
 * types of their own; a CUDA error that sticks to the context is told by its words. */
enum tt_status tt_status_of_text(const char *what);

/* Device numbers: -1 is the CPU, 0.. a CUDA ordinal. */
#define TT_CPU (-1)

/* ---- devices (any thread) ----------------------------------------------------------------------------------------------------------------- */

int tt_cuda_devices(void); /* visible CUDA devices; 0 on a CPU build */
/* 0 when tensors can stand there, tried by computing with a few; else -1 with the reason and the fix. May take seconds: it makes a CUDA context. */
int tt_usable(int device, char *message, size_t size);

/* What decides whether CUDA can be used, and the decision, which is pure: 0, or -1 with the reason and the fix. */
struct tt_cuda_facts {
	const char *version;                 /* of libtorch */
	bool built;                          /* libtorch has CUDA kernels */
	bool driver;                         /* libcuda.so.1 is there */
	int init;                            /* what cuInit returned; 0 is fine */
	int driver_version, runtime_version; /* CUDA's: 12040 is 12.4; 0 unknown */
	int devices;                         /* visible */
	const char *visible;                 /* CUDA_VISIBLE_DEVICES; NULL when it is not set */
};
int tt_cuda_judge(const struct tt_cuda_facts *facts, int device, char *message, size_t size);

struct tt_device {
	char name[64];   /* "NVIDIA H200"; "" on a CPU or when the driver does not say */
	char id[64];     /* PCI address, else "" */
	int64_t total;   /* bytes */
	bool bf16, fp16; /* computes well in it */
};
int tt_device_describe(int device, struct tt_device *out); /* -1: there is no such device */

/* ---- memory ------------------------------------------------------------------------------------------------------------------------------- */

/* The account. On a CPU our own allocator keeps it, on CUDA libtorch's; the owners' parts are kept by pools (tt_set_owner, tt_kv) on both. */
enum { TT_OWNERS = 8, TT_PEAKS = 3 };
struct tt_memory {
	int64_t used;                              /* bytes that tensors (and oneDNN scratch) hold now, as the allocator rounds them */
	int64_t peak[TT_PEAKS];                    /* highest used since the start or tt_memory_reset_peak of that one */
	int64_t cached;                            /* bytes kept for reuse, not in use */
	int64_t cap;                               /* 0 = none */
	int64_t weights[TT_OWNERS], kv[TT_OWNERS]; /* of used, by owner */
	int64_t device_total, device_free;         /* of the device, 0 before it was used; CPU: MemTotal and MemAvailable */
	int64_t refused;                           /* allocations the cap refused so far */
};
/* Any thread, never blocks on a lane; on CUDA it asks the driver, which may take its time. device: TT_CPU or ordinal, others read as zeros. Mapped weights
 * (tt_borrow) are not counted: see checkpoint_bytes. */
void tt_memory_read(int device, struct tt_memory *out);
void tt_memory_reset_peak(int device, int which);
/* 0 lifts it; an allocation beyond it fails with TT_OUT_OF_MEMORY. What is held already stays, but for what is cached. On CUDA it bounds what the caching
 * allocator takes from the device, and needs CUDA's headers at build time. */
void tt_memory_set_cap(int device, int64_t bytes);
void tt_memory_trim(int device); /* gives cached blocks back to the system/device */
/* For tests: the nth allocation on the CPU from now on, by whatever thread, is refused; 0 ends that. Returns how many the last order had still to wait for. */
int64_t tt_memory_refuse(int64_t nth);

/* ---- pools -------------------------------------------------------------------------------------------------------------------------------- */

tt_pool *tt_pool_create(int flags);
void tt_pool_destroy(tt_pool *p); /* NULL is fine */
/* Whose line of the account p's tensors are on, 0 (nobody, as pools begin) to TT_OWNERS - 1: in a TT_WEIGHTS pool all that own memory, else those that
 * tt_kv names. p must be empty. */
void tt_set_owner(tt_pool *p, int owner);
/* x itself (NULL passes), counted as a key and value cache of p's owner until it is freed, however that comes about. x is of p, which has no TT_WEIGHTS. */
tt_tensor *tt_kv(tt_pool *p, tt_tensor *x);
tt_mark tt_here(tt_pool *p);
/* Frees every tensor made since m except the n listed (NULLs allowed). Also the place where cancellation is looked at: see tt_set_check. */
void tt_keep(tt_pool *p, tt_mark m, tt_tensor *const *keep, int n);
void tt_clear(tt_pool *p); /* frees all tensors, clears the error */
void tt_reset(tt_pool *p); /* clears the error only */
enum tt_status tt_status_of(const tt_pool *p);
const char *tt_message(const tt_pool *p); /* "" when fine; printable; valid until the next op */
int tt_error_code(const tt_pool *p);      /* as core/error.h: E_MEMORY, E_CANCELLED, E_DEVICE or E_MODEL */
/* check is called at every tt_keep on the pool's thread; non-zero makes the status TT_CANCELLED. NULL removes it. */
void tt_set_check(tt_pool *p, int (*check)(void *ctx), void *ctx);
/* TT_BF16 or TT_F16: ops of this pool that multiply (linear, matmul, attention, convolution) take fp32 operands in that dtype and give fp32 back; all else
 * stays in fp32. TT_F32 ends that. tt_pack_linear packs in that dtype, so weights' pools are to be told too. */
void tt_set_autocast(tt_pool *p, enum tt_dtype products);
/* Makes the pool fail from C code: model code that finds a wrong value says so in the same way. Returns NULL. */
tt_tensor *tt_fail(tt_pool *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- in and out --------------------------------------------------------------------------------------------------------------------------- */

tt_tensor *tt_from_f32(tt_pool *p, const float *data, const int64_t *shape, int ndim);   /* copies, CPU */
tt_tensor *tt_from_i64(tt_pool *p, const int64_t *data, const int64_t *shape, int ndim); /* copies, CPU */
/* No copy: data must outlive the tensor and is never written. Need not be aligned beyond the dtype's size. */
tt_tensor *tt_borrow(tt_pool *p, const void *data, enum tt_dtype dtype, const int64_t *shape, int ndim);
tt_tensor *tt_full(tt_pool *p, double value, enum tt_dtype dtype, int device, const int64_t *shape, int ndim);
tt_tensor *tt_arange(tt_pool *p, int64_t n, int device);                     /* [n] I64: 0..n-1 */
tt_tensor *tt_randn(tt_pool *p, double std, const int64_t *shape, int ndim); /* F32, CPU, from tt_seed */
tt_tensor *tt_to(tt_pool *p, tt_tensor *x, enum tt_dtype dtype, int device); /* the tensor itself when nothing changes */
tt_tensor *tt_cast(tt_pool *p, tt_tensor *x, enum tt_dtype dtype);
/* A tensor in pool p that shares x's data; x may live in another pool. For what must outlive its pool's clearing. */
tt_tensor *tt_share(tt_pool *p, tt_tensor *x);
/* Copies out in row-major order, converting; count must equal the element count. Waits for the device. 0/-1 (also when x is NULL). */
int tt_to_f32(tt_pool *p, tt_tensor *x, float *out, size_t count);
int tt_to_i64(tt_pool *p, tt_tensor *x, int64_t *out, size_t count);
int tt_ndim(const tt_tensor *x);              /* 0 for NULL */
int64_t tt_size(const tt_tensor *x, int dim); /* 0 for NULL or a dim that is not there */
int64_t tt_count(const tt_tensor *x);         /* elements */
int64_t tt_bytes(const tt_tensor *x);
enum tt_dtype tt_dtype_of(const tt_tensor *x);
int tt_device_of(const tt_tensor *x);

/* ---- shape (views unless said otherwise) -------------------------------------------------------------------------------------------------- */

tt_tensor *tt_reshape(tt_pool *p, tt_tensor *x, const int64_t *shape, int ndim); /* one -1 is inferred; copies only if it must */
tt_tensor *tt_transpose(tt_pool *p, tt_tensor *x, int a, int b);
tt_tensor *tt_permute(tt_pool *p, tt_tensor *x, const int64_t *order, int ndim); /* tt_permute(p, x, TT_SHAPE(0, 2, 1, 3)) */
tt_tensor *tt_contiguous(tt_pool *p, tt_tensor *x);                              /* copies if needed */
tt_tensor *tt_slice(tt_pool *p, tt_tensor *x, int dim, int64_t from, int64_t to);
tt_tensor *tt_select(tt_pool *p, tt_tensor *x, int dim, int64_t index); /* removes dim */
tt_tensor *tt_expand(tt_pool *p, tt_tensor *x, const int64_t *shape, int ndim);
tt_tensor *tt_cat(tt_pool *p, tt_tensor *const *x, int n, int dim);              /* copies */
tt_tensor *tt_index_select(tt_pool *p, tt_tensor *x, int dim, tt_tensor *index); /* copies; index [k] I64 */
tt_tensor *tt_gather(tt_pool *p, tt_tensor *x, int dim, tt_tensor *index);
tt_tensor *tt_embedding(tt_pool *p, tt_tensor *table, tt_tensor *ids); /* table [V,d], ids [...] I64 -> [...,d] */

/* ---- arithmetic (broadcasting; mixed dtypes promote as in torch) --------------------------------------------------------------------------- */

tt_tensor *tt_add(tt_pool *p, tt_tensor *a, tt_tensor *b);
tt_tensor *tt_add_(tt_pool *p, tt_tensor *a, tt_tensor *b); /* keeps a's dtype */
tt_tensor *tt_sub(tt_pool *p, tt_tensor *a, tt_tensor *b);
tt_tensor *tt_mul(tt_pool *p, tt_tensor *a, tt_tensor *b);
tt_tensor *tt_mul_(tt_pool *p, tt_tensor *a, tt_tensor *b);
tt_tensor *tt_div(tt_pool *p, tt_tensor *a, tt_tensor *b);
tt_tensor *tt_scale(tt_pool *p, tt_tensor *x, double factor);
tt_tensor *tt_scale_(tt_pool *p, tt_tensor *x, double factor);
tt_tensor *tt_add_scalar(tt_pool *p, tt_tensor *x, double value);
tt_tensor *tt_exp(tt_pool *p, tt_tensor *x);
tt_tensor *tt_clamp(tt_pool *p, tt_tensor *x, double low, double high);
tt_tensor *tt_clamp_(tt_pool *p, tt_tensor *x, double low, double high);
tt_tensor *tt_where(tt_pool *p, tt_tensor *mask, tt_tensor *a, tt_tensor *b); /* mask BOOL */
tt_tensor *tt_masked_fill(tt_pool *p, tt_tensor *x, tt_tensor *mask, double value);
tt_tensor *tt_eq_scalar(tt_pool *p, tt_tensor *x, double value); /* BOOL */
tt_tensor *tt_sum(tt_pool *p, tt_tensor *x, int dim, bool keepdim);
tt_tensor *tt_mean(tt_pool *p, tt_tensor *x);            /* of all, a scalar */
tt_tensor *tt_argmax(tt_pool *p, tt_tensor *x, int dim); /* I64 */
tt_tensor *tt_normalize(tt_pool *p, tt_tensor *x);       /* x / its L2 norm over the last dim */
tt_tensor *tt_matmul(tt_pool *p, tt_tensor *a, tt_tensor *b);

/* ---- layers -------------------------------------------------------------------------------------------------------------------------------- */

/* x [...,in], w [out,in], b [out] or NULL -> [...,out], in x's dtype. w and b are cast to it when they differ (do it once, at load). */
tt_tensor *tt_linear(tt_pool *p, tt_tensor *x, tt_tensor *w, tt_tensor *b);
/* sum [...,out] + (x w^T + b), x as above with as many rows: over sum where tt_add_ would, in sum's dtype. The sum of a residual branch without a pass
 * of its own. */
tt_tensor *tt_linear_add_(tt_pool *p, tt_tensor *sum, tt_tensor *x, tt_tensor *w, tt_tensor *b);
/* A linear's weight laid out for few rows (M = beams): 4-6 times faster there in fp32 on a CPU; elsewhere and on CUDA the weight itself. The result goes
 * to tt_linear_packed only, together with the shape [out,in] it was made from. */
tt_tensor *tt_pack_linear(tt_pool *p, tt_tensor *w);
tt_tensor *tt_linear_packed(tt_pool *p, tt_tensor *x, tt_tensor *packed, tt_tensor *b, int64_t out);
/* Over the last dim, computed in fp32 whatever x's dtype, result in `out` dtype. w, b fp32 [d]. */
tt_tensor *tt_layer_norm(tt_pool *p, tt_tensor *x, tt_tensor *w, tt_tensor *b, double eps, enum tt_dtype out);
tt_tensor *tt_softmax(tt_pool *p, tt_tensor *x, int dim);
tt_tensor *tt_log_softmax(tt_pool *p, tt_tensor *x, int dim); /* in fp32 */
enum tt_activation { TT_GELU, TT_GELU_TANH, TT_QUICK_GELU, TT_RELU, TT_TANH, TT_SIGMOID, TT_SILU };
/* gelu: exact 0.5x(1+erf(x/sqrt 2)); gelu_tanh: the tanh form; quick_gelu: x*sigmoid(1.702x); silu: x*sigmoid(x) */
tt_tensor *tt_activate_(tt_pool *p, tt_tensor *x, enum tt_activation kind);
tt_tensor *tt_dropout(tt_pool *p, tt_tensor *x, double probability); /* TT_TRAIN pools only; else x */
/* q [B,H,Lq,D], k and v [B,H,Lk,D] -> [B,Lq,H*D]: softmax(q k^T * scale + bias) v, heads merged. bias NULL or broadcastable to [B,H,Lq,Lk]
 * (fp32 or q's dtype); causal adds -inf above the diagonal that ends at (Lq-1, Lk-1). head_scale NULL or [H]: multiplies each head's output
 * (OFA's c_attn). Large temporaries die inside. */
tt_tensor *tt_attention(tt_pool *p, tt_tensor *q, tt_tensor *k, tt_tensor *v, double scale, tt_tensor *bias, bool causal, tt_tensor *head_scale);
/* x [B,C,H,W], w [O,C,kh,kw], b [O] or NULL */
tt_tensor *tt_conv2d(tt_pool *p, tt_tensor *x, tt_tensor *w, tt_tensor *b, int stride, int padding);
tt_tensor *tt_max_pool2d(tt_pool *p, tt_tensor *x, int kernel, int stride, int padding);
/* Evaluation: (x-mean)/sqrt(var+eps)*w+b. In a TT_TRAIN pool batch statistics are used and mean/var are moved by momentum. */
tt_tensor *tt_batch_norm(tt_pool *p, tt_tensor *x, tt_tensor *w, tt_tensor *b, tt_tensor *mean, tt_tensor *var, double eps, double momentum);

/* ---- training (TT_TRAIN pools) ------------------------------------------------------------------------------------------------------------- */

/* A leaf that collects gradients; shares x's data (x must be its own storage, fp32). */
tt_tensor *tt_parameter(tt_pool *p, tt_tensor *x);
/* mean over rows whose target is not `ignore` of -log softmax(logits)[target], with label smoothing; logits [N,C], target [N] I64 */
tt_tensor *tt_cross_entropy(tt_pool *p, tt_tensor *logits, tt_tensor *target, int64_t ignore, double smoothing);
int tt_backward(tt_pool *p, tt_tensor *loss); /* scalar loss; adds to the parameters' gradients */

/* AdamW (Loshchilov and Hutter, arXiv:1711.05101) over fp32 parameters. Parameters with fewer than 2 dims get no weight decay. */
struct tt_adamw;
struct tt_adamw *tt_adamw_create(tt_tensor *const *parameters, int n, double beta1, double beta2, double eps, double weight_decay);
/* One step: clips the global gradient norm to max_norm (0 = no), updates, clears the gradients. Returns the norm before clipping, or -1 with message. */
double tt_adamw_step(struct tt_adamw *o, double learning_rate, double max_norm, char *message, size_t size);
void tt_adamw_destroy(struct tt_adamw *o);

#ifdef __cplusplus
}
#endif
#endif
