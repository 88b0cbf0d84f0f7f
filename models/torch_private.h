/* torch_private.h - what the torch_*.cpp files share: the two handle types and the one place where exceptions end. C++ only, never included from C.
 *
 * Every op is one call of run() (a tensor) or run_plain() (anything else) with a lambda. Inside, a failed need() throws op_error, which costs microseconds;
 * an exception of libtorch costs 2 ms for its backtrace, so cheap checks of shapes come first.
 */
#ifndef MODELS_TORCH_PRIVATE_H
#define MODELS_TORCH_PRIVATE_H

#include <exception>
#include <initializer_list>
#include <memory>
#include <new>
#include <string>
#include <unordered_map>
#include <vector>

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>
#include <torch/version.h>

#include "models/torch_shim.h"

#define TT_TORCH_AT_LEAST(major, minor) (TORCH_VERSION_MAJOR > (major) || (TORCH_VERSION_MAJOR == (major) && TORCH_VERSION_MINOR >= (minor)))

namespace shim
{

/* torch_account.cpp: a pool's part of the account. Memory is counted once, however many tensors share it, and not at all where it is borrowed. */
class books
{
      public:
	int owner = 0;
	/* What x stands on, as `weights` or as key and value caches; fresh: bytes that making x took, for tensors that do not show theirs. False when there
	 * is nothing to count; else remove is due when x goes. */
	bool add(const at::Tensor &x, bool weights, int64_t fresh);
	void remove(const at::Tensor &x);

      private:
	struct entry {
		int tensors;
		int64_t bytes;
		bool weights;
	};
	std::unordered_map<const void *, entry> held;
};

} // namespace shim

struct tt_tensor {
	at::Tensor value;
	tt_pool *home;
	bool booked = false; /* in home's books */
	~tt_tensor();
};

struct tt_pool {
	int flags = TT_INFER;
	shim::books books; /* before the tensors, which leave it when they go */
	std::vector<std::unique_ptr<tt_tensor>> tensors;
	enum tt_status status = TT_OK;
	std::string message;
	const char *starved = nullptr; /* the first op that was given NULL while all was well */
	int (*check)(void *) = nullptr;
	void *check_ctx = nullptr;
	enum tt_dtype autocast = TT_F32; /* what products take their operands in */

	bool training() const
	{
		return flags & TT_TRAIN;
	}
};

inline tt_tensor::~tt_tensor()
{
	if (booked)
		home->books.remove(value);
}

namespace shim
{

/* Thrown by need(): a wrong argument, found before libtorch sees it. */
struct op_error : std::exception {
	std::string text;
	explicit op_error(std::string what) : text(std::move(what))
	{
	}
	const char *what() const noexcept override
	{
		return text.c_str();
	}
};

template <typename... Parts> void need(bool fine, const Parts &...parts)
{
	if (!fine)
		throw op_error(c10::str(parts...));
}

/* torch_memory.cpp: the CPU */
void memory_install();
int64_t memory_of_thread();                     /* bytes this thread allocated less what it freed */
int64_t memory_block_of(const at::DataPtr &at); /* what our allocator counts for it; -1 when it is not from there */
int64_t memory_total();                         /* of the machine */

/* torch_account.cpp */
void account_read(int device, struct tt_memory *out); /* weights and kv; nothing for unknown devices */

/* torch_cuda.cpp: libtorch's caching allocator and the device. None throws; device is one of tt_cuda_devices(). */
enum { CUDA_DEVICES_MAX = 64 };
bool cuda_known(int device);
void cuda_device_read(int device, struct tt_memory *out);       /* total and free; both stay 0 where this process has not used the device yet */
int64_t cuda_allocator_read(int device, struct tt_memory *out); /* used, cached, cap, refused; the peak since cuda_restart_peak */
int64_t cuda_restart_peak(int device);                          /* the peak so far; from now on it is counted from what is used now */
void cuda_set_cap(int device, int64_t bytes);
void cuda_trim();

/* torch_autocast.cpp. Ops that multiply hand over to these where mixes() is true of their first operand. */
inline bool mixes(const tt_pool *p, const tt_tensor *x)
{
	return p->autocast != TT_F32 && x && x->value.scalar_type() == at::kFloat;
}
tt_tensor *mixed_linear(tt_pool *p, tt_tensor *x, tt_tensor *w, tt_tensor *b);
tt_tensor *mixed_pack(tt_pool *p, tt_tensor *w); /* on a CPU only: elsewhere nothing is packed, and the weight stays in fp32 */
tt_tensor *mixed_linear_packed(tt_pool *p, tt_tensor *x, tt_tensor *packed, tt_tensor *b, int64_t out);
tt_tensor *mixed_attention(tt_pool *p, tt_tensor *q, tt_tensor *k, tt_tensor *v, double scale, tt_tensor *bias, bool causal, tt_tensor *head_scale);
tt_tensor *mixed_conv2d(tt_pool *p, tt_tensor *x, tt_tensor *w, tt_tensor *b, int stride, int padding);
tt_tensor *mixed_matmul(tt_pool *p, tt_tensor *a, tt_tensor *b);

/* torch_conv.cpp: conv2d whose weight gradient needs no barriers; for training pools on a CPU. */
at::Tensor conv2d_trained(const at::Tensor &x, const at::Tensor &w, int64_t stride, int64_t padding);

/* torch_layers.cpp: makes the BLAS compute on the calling thread where it would bring threads of its own. */
void blas_make_single();

/* torch_kernels.cpp; CPU, inference. Those that return bool return false when they do not serve these tensors. */
bool kernel_activate(at::Tensor &x, enum tt_activation kind);                                                     /* in place */
bool kernel_layer_norm(const at::Tensor &x, const at::Tensor &w, const at::Tensor &b, double eps, at::Tensor &y); /* y contiguous, as x */
bool kernel_add_rows(at::Tensor &x, const at::Tensor &y, const at::Tensor &b); /* x [n,d] fp32 += y [n,d] + b [d], bf16 */
/* scores [H,Lq,Lk] contiguous, fp32 or bf16, become softmax(scores * scale + bias); bias undefined or [H,Lq,Lk], last stride 1, fp32 or bf16. causal hides
 * what is above the diagonal that ends at the last row and key. */
void kernel_softmax(at::Tensor &scores, double scale, const at::Tensor &bias, bool causal);

/* torch_shim.cpp */
tt_tensor *pool_add(tt_pool *p, at::Tensor value, int64_t fresh = 0);   /* fresh: see books::add */
void pool_keep(tt_pool *p, size_t mark, tt_tensor *const *keep, int n); /* tt_keep without asking whether to stop */
void pool_fail(tt_pool *p, enum tt_status status, const char *op, const char *what);
/* To be called in a catch block only: turns the exception in flight into a status and a message. */
enum tt_status exception_describe(std::string &what);
std::string printable(const char *text);
at::ScalarType scalar_type(enum tt_dtype dtype);
at::Device device_of(int device);
at::IntArrayRef shape_of(const int64_t *shape, int ndim);
int64_t dim_of(const at::Tensor &x, int dim);

/* May x be overwritten by an op of pool p? Not in training, not what another pool owns, not foreign memory (tt_borrow). */
bool may_overwrite(const tt_pool *p, const tt_tensor *x);

/* Half precision has no kernels on a CPU in libtorch 1.13 and slow ones later. */
inline void need_computable(const at::Tensor &x)
{
	need(!(x.scalar_type() == at::kHalf && x.is_cpu()), "fp16 does not compute on a CPU here; use fp32 or bf16");
}

/* The thread's gradient recording, as the pool wants it. */
struct mode_guard {
	c10::InferenceMode inference;
	c10::AutoGradMode gradients;
	explicit mode_guard(const tt_pool *p) : inference(!p->training()), gradients(p->training())
	{
	}
};

inline bool ready(tt_pool *p, const char *op, std::initializer_list<const tt_tensor *> in)
{
	if (p->status != TT_OK)
		return false;
	for (const tt_tensor *x : in) {
		if (!x) {
			if (!p->starved)
				p->starved = op;
			return false;
		}
	}
	return true;
}

/* Runs body() -> T on behalf of op; `failed` is returned when something is wrong. The only try/catch that ops need. */
template <typename T, typename Body> T run_plain(tt_pool *p, const char *op, std::initializer_list<const tt_tensor *> in, T failed, Body body)
{
	if (!ready(p, op, in))
		return failed;
	try {
		mode_guard mode(p);
		return body();
	} catch (...) {
		std::string what;
		enum tt_status status = exception_describe(what);
		pool_fail(p, status, op, what.c_str());
		return failed;
	}
}

/* in: the arguments that must not be NULL. */
template <typename Body> tt_tensor *run(tt_pool *p, const char *op, std::initializer_list<const tt_tensor *> in, Body body)
{
	return run_plain<tt_tensor *>(p, op, in, nullptr, [&] {
		const int64_t before = memory_of_thread();
		at::Tensor value = body();
		return pool_add(p, std::move(value), memory_of_thread() - before);
	});
}

/* As run, for ops that may overwrite x: in_place(x.value) when that is allowed (then x itself is the result), else body(). */
template <typename InPlace, typename Body>
tt_tensor *run_over(tt_pool *p, const char *op, tt_tensor *x, std::initializer_list<const tt_tensor *> in, InPlace in_place, Body body)
{
	return run_plain<tt_tensor *>(p, op, in, nullptr, [&]() -> tt_tensor * {
		if (!may_overwrite(p, x))
			return pool_add(p, body());
		in_place(x->value);
		return x;
	});
}

} // namespace shim
#endif
