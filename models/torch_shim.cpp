/* torch_shim.cpp - pools, errors, tensors in and out, shapes. Arithmetic is in torch_math.cpp, layers in torch_layers.cpp. */
#include "models/torch_private.h"

#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <fstream>

#include <ATen/Parallel.h>
#include <ATen/detail/CUDAHooksInterface.h>

extern "C" {
#include "core/error.h"
#include "core/runtime.h"
#include "core/utf8.h"
}

using namespace shim;

namespace
{

constexpr size_t message_max = 600;

const at::ScalarType scalar_types[] = {at::kFloat, at::kHalf, at::kBFloat16, at::kLong, at::kInt, at::kByte, at::kBool, at::kDouble};

} // namespace

/* ---- what the other files use ------------------------------------------------------------------------------------------------------------- */

namespace shim
{

std::string printable(const char *text)
{
	std::string line(text);
	for (char &c : line) {
		if (c == '\n' || c == '\t' || c == '\r')
			c = ' ';
	}
	while (!line.empty() && line.back() == ' ')
		line.pop_back();
	char out[message_max];
	size_t n = utf8_escape(line.data(), line.size(), out, sizeof out);
	return std::string(out, n);
}

at::ScalarType scalar_type(enum tt_dtype dtype)
{
	need(dtype >= TT_F32 && dtype <= TT_F64, "unknown dtype ", static_cast<int>(dtype));
	return scalar_types[dtype];
}

at::Device device_of(int device)
{
	if (device == TT_CPU)
		return at::Device(at::kCPU);
	need(device >= 0 && device < tt_cuda_devices(), "no CUDA device ", device, " (", tt_cuda_devices(), " usable)");
	return at::Device(at::kCUDA, static_cast<at::DeviceIndex>(device));
}

at::IntArrayRef shape_of(const int64_t *shape, int ndim)
{
	need(ndim >= 0 && ndim <= TT_MAX_DIMS && (shape || ndim == 0), "a shape has 0 to ", static_cast<int>(TT_MAX_DIMS), " dims, not ", ndim);
	return at::IntArrayRef(shape, static_cast<size_t>(ndim));
}

int64_t dim_of(const at::Tensor &x, int dim)
{
	int64_t n = x.dim();
	need(dim >= -n && dim < n, "dim ", dim, " of a tensor of shape ", x.sizes());
	return dim < 0 ? dim + n : dim;
}

bool may_overwrite(const tt_pool *p, const tt_tensor *x)
{
	/* from_blob marks its storage as not resizable: that is how borrowed memory is told from ours */
	return !p->training() && x->home == p && x->value.has_storage() && x->value.storage().resizable();
}

tt_tensor *pool_add(tt_pool *p, at::Tensor value, int64_t fresh)
{
	p->tensors.push_back(std::unique_ptr<tt_tensor>(new tt_tensor{std::move(value), p}));
	tt_tensor *x = p->tensors.back().get();
	if (p->flags & TT_WEIGHTS)
		x->booked = p->books.add(x->value, true, fresh);
	return x;
}

void pool_keep(tt_pool *p, size_t m, tt_tensor *const *keep, int n)
{
	auto kept = [&](const tt_tensor *x) {
		for (int i = 0; i < n; i++) {
			if (keep[i] == x)
				return true;
		}
		return false;
	};
	size_t end = m;
	for (size_t i = m; i < p->tensors.size(); i++) {
		if (!kept(p->tensors[i].get()))
			continue;
		if (i != end)
			p->tensors[end] = std::move(p->tensors[i]);
		end++;
	}
	if (end < p->tensors.size())
		p->tensors.resize(end);
}

void pool_fail(tt_pool *p, enum tt_status status, const char *op, const char *what)
{
	if (p->status != TT_OK)
		return;
	p->status = status;
	p->message = printable((std::string(op) + ": " + what).c_str());
}

} // namespace shim

/* ---- process ------------------------------------------------------------------------------------------------------------------------------ */

int tt_start(int threads, char *message, size_t size)
{
	try {
		memory_install();
		blas_make_single();
		at::set_num_threads(threads > 0 ? threads : runtime_cpus());
		at::globalContext().setFlushDenormal(true);
		at::empty({1}, at::kFloat).fill_(1.0);
		return 0;
	} catch (...) {
		std::string what;
		exception_describe(what);
		snprintf(message, size, "libtorch does not start: %s", printable(what.c_str()).c_str());
		return -1;
	}
}

const char *tt_version(void)
{
	static const std::string version = [] {
		std::string text = TORCH_VERSION;
		try {
			if (at::globalContext().hasCUDA()) {
				long runtime = at::detail::getCUDAHooks().versionCUDART(); /* 12010 is 12.1 */
				text += "+cu" + std::to_string(runtime / 1000) + std::to_string(runtime % 1000 / 10);
			}
		} catch (...) {
			text += "+cuda";
		}
		return text;
	}();
	return version.c_str();
}

bool tt_cpu_has_bf16(void)
{
	static const bool has = [] {
		std::ifstream info("/proc/cpuinfo");
		for (std::string line; std::getline(info, line);) {
			if (line.compare(0, 5, "flags") == 0)
				return line.find("avx512_bf16") != std::string::npos || line.find("amx_bf16") != std::string::npos;
		}
		return false;
	}();
	return has;
}

/* ---- pools -------------------------------------------------------------------------------------------------------------------------------- */

tt_pool *tt_pool_create(int flags)
{
	tt_pool *p = new tt_pool;
	p->flags = flags;
	return p;
}

void tt_pool_destroy(tt_pool *p)
{
	delete p;
}

void tt_set_owner(tt_pool *p, int owner)
{
	p->books.owner = owner > 0 && owner < TT_OWNERS ? owner : 0;
}

tt_tensor *tt_kv(tt_pool *p, tt_tensor *x)
{
	if (x && x->home == p && !x->booked)
		x->booked = p->books.add(x->value, false, 0);
	return x;
}

tt_mark tt_here(tt_pool *p)
{
	return p->tensors.size();
}

void tt_keep(tt_pool *p, tt_mark m, tt_tensor *const *keep, int n)
{
	pool_keep(p, m, keep, n);
	if (p->status == TT_OK && p->check && p->check(p->check_ctx))
		pool_fail(p, TT_CANCELLED, "stopped", "on request");
}

void tt_clear(tt_pool *p)
{
	p->tensors.clear();
	tt_reset(p);
}

void tt_reset(tt_pool *p)
{
	p->status = TT_OK;
	p->message.clear();
	p->starved = nullptr;
}

enum tt_status tt_status_of(const tt_pool *p)
{
	return p->status;
}

const char *tt_message(const tt_pool *p)
{
	return p->message.c_str();
}

int tt_error_code(const tt_pool *p)
{
	switch (p->status) {
	case TT_OK:
		return E_NONE;
	case TT_OUT_OF_MEMORY:
		return E_MEMORY;
	case TT_CANCELLED:
		return E_CANCELLED;
	case TT_DEVICE:
		return E_DEVICE;
	case TT_ERROR:
		break;
	}
	return E_MODEL;
}

void tt_set_check(tt_pool *p, int (*check)(void *ctx), void *ctx)
{
	p->check = check;
	p->check_ctx = ctx;
}

tt_tensor *tt_fail(tt_pool *p, const char *fmt, ...)
{
	char text[message_max];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (p->status == TT_OK) {
		p->status = TT_ERROR;
		p->message = printable(text);
	}
	return nullptr;
}

/* ---- in and out --------------------------------------------------------------------------------------------------------------------------- */

namespace
{

template <typename T> at::Tensor copy_in(const T *data, const int64_t *shape, int ndim, at::ScalarType type)
{
	at::Tensor x = at::empty(shape_of(shape, ndim), type);
	need(data || x.numel() == 0, "no data");
	if (x.numel() > 0)
		memcpy(x.data_ptr(), data, x.nbytes());
	return x;
}

template <typename T> int copy_out(tt_pool *p, const char *op, tt_tensor *x, T *out, size_t count, at::ScalarType type)
{
	if (p->status == TT_OK && !x) {
		std::string what = "there is no tensor to read";
		if (p->starved)
			what += std::string("; ") + p->starved + " was given none (a missing weight?)";
		pool_fail(p, TT_ERROR, op, what.c_str());
	}
	return run_plain(p, op, {x}, -1, [&] {
		need(static_cast<size_t>(x->value.numel()) == count, count, " elements asked from a tensor of shape ", x->value.sizes());
		at::Tensor y = x->value.detach().to(at::kCPU, type).contiguous();
		if (count > 0)
			memcpy(out, y.data_ptr(), count * sizeof *out);
		return 0;
	});
}

} // namespace

tt_tensor *tt_from_f32(tt_pool *p, const float *data, const int64_t *shape, int ndim)
{
	return run(p, "from_f32", {}, [&] { return copy_in(data, shape, ndim, at::kFloat); });
}

tt_tensor *tt_from_i64(tt_pool *p, const int64_t *data, const int64_t *shape, int ndim)
{
	return run(p, "from_i64", {}, [&] { return copy_in(data, shape, ndim, at::kLong); });
}

tt_tensor *tt_borrow(tt_pool *p, const void *data, enum tt_dtype dtype, const int64_t *shape, int ndim)
{
	return run(p, "borrow", {}, [&] { return at::from_blob(const_cast<void *>(data), shape_of(shape, ndim), scalar_type(dtype)); });
}

tt_tensor *tt_full(tt_pool *p, double value, enum tt_dtype dtype, int device, const int64_t *shape, int ndim)
{
	return run(p, "full", {},
		   [&] { return at::full(shape_of(shape, ndim), value, at::TensorOptions().dtype(scalar_type(dtype)).device(device_of(device))); });
}

tt_tensor *tt_arange(tt_pool *p, int64_t n, int device)
{
	return run(p, "arange", {}, [&] { return at::arange(n, at::TensorOptions().dtype(at::kLong).device(device_of(device))); });
}

tt_tensor *tt_randn(tt_pool *p, double std, const int64_t *shape, int ndim)
{
	return run(p, "randn", {}, [&] { return at::randn(shape_of(shape, ndim), at::kFloat).mul_(std); });
}

tt_tensor *tt_to(tt_pool *p, tt_tensor *x, enum tt_dtype dtype, int device)
{
	return run_plain<tt_tensor *>(p, "to", {x}, nullptr, [&] {
		at::Tensor y = x->value.to(device_of(device), scalar_type(dtype));
		return y.is_same(x->value) ? x : pool_add(p, std::move(y));
	});
}

tt_tensor *tt_cast(tt_pool *p, tt_tensor *x, enum tt_dtype dtype)
{
	return run_plain<tt_tensor *>(p, "cast", {x}, nullptr, [&] {
		at::Tensor y = x->value.to(scalar_type(dtype));
		return y.is_same(x->value) ? x : pool_add(p, std::move(y));
	});
}

tt_tensor *tt_share(tt_pool *p, tt_tensor *x)
{
	return run(p, "share", {x}, [&] { return x->value; });
}

int tt_to_f32(tt_pool *p, tt_tensor *x, float *out, size_t count)
{
	return copy_out(p, "to_f32", x, out, count, at::kFloat);
}

int tt_to_i64(tt_pool *p, tt_tensor *x, int64_t *out, size_t count)
{
	return copy_out(p, "to_i64", x, out, count, at::kLong);
}

int tt_ndim(const tt_tensor *x)
{
	return x ? static_cast<int>(x->value.dim()) : 0;
}

int64_t tt_size(const tt_tensor *x, int dim)
{
	int n = tt_ndim(x);
	if (dim < 0)
		dim += n;
	return dim >= 0 && dim < n ? x->value.sizes()[static_cast<size_t>(dim)] : 0;
}

int64_t tt_count(const tt_tensor *x)
{
	return x ? x->value.numel() : 0;
}

int64_t tt_bytes(const tt_tensor *x)
{
	return x ? x->value.numel() * static_cast<int64_t>(x->value.element_size()) : 0;
}

enum tt_dtype tt_dtype_of(const tt_tensor *x)
{
	for (int i = TT_F32; x && i <= TT_F64; i++) {
		if (scalar_types[i] == x->value.scalar_type())
			return static_cast<enum tt_dtype>(i);
	}
	return TT_F32;
}

int tt_device_of(const tt_tensor *x)
{
	return x && x->value.is_cuda() ? x->value.device().index() : TT_CPU;
}

/* ---- shape -------------------------------------------------------------------------------------------------------------------------------- */

tt_tensor *tt_reshape(tt_pool *p, tt_tensor *x, const int64_t *shape, int ndim)
{
	return run(p, "reshape", {x}, [&] {
		int64_t known = 1;
		bool open = false;
		for (int64_t n : shape_of(shape, ndim)) {
			open = open || n < 0;
			known *= n < 0 ? 1 : n;
		}
		int64_t count = x->value.numel();
		need(open ? known > 0 && count % known == 0 : known == count, "shape ", x->value.sizes(), " does not become ", shape_of(shape, ndim));
		return x->value.reshape(shape_of(shape, ndim));
	});
}

tt_tensor *tt_transpose(tt_pool *p, tt_tensor *x, int a, int b)
{
	return run(p, "transpose", {x}, [&] { return x->value.transpose(dim_of(x->value, a), dim_of(x->value, b)); });
}

tt_tensor *tt_permute(tt_pool *p, tt_tensor *x, const int64_t *order, int ndim)
{
	return run(p, "permute", {x}, [&] {
		need(ndim == x->value.dim(), "an order of ", ndim, " dims for shape ", x->value.sizes());
		return x->value.permute(shape_of(order, ndim));
	});
}

tt_tensor *tt_contiguous(tt_pool *p, tt_tensor *x)
{
	return run(p, "contiguous", {x}, [&] { return x->value.contiguous(); });
}

tt_tensor *tt_slice(tt_pool *p, tt_tensor *x, int dim, int64_t from, int64_t to)
{
	return run(p, "slice", {x}, [&] {
		int64_t n = x->value.size(dim_of(x->value, dim));
		need(from >= 0 && from <= to && to <= n, "[", from, ",", to, ") of ", n, " in dim ", dim, " of shape ", x->value.sizes());
		return x->value.slice(dim, from, to, 1);
	});
}

tt_tensor *tt_select(tt_pool *p, tt_tensor *x, int dim, int64_t index)
{
	return run(p, "select", {x}, [&] {
		int64_t n = x->value.size(dim_of(x->value, dim));
		need(index >= -n && index < n, "index ", index, " of ", n, " in dim ", dim, " of shape ", x->value.sizes());
		return x->value.select(dim, index);
	});
}

tt_tensor *tt_expand(tt_pool *p, tt_tensor *x, const int64_t *shape, int ndim)
{
	return run(p, "expand", {x}, [&] { return x->value.expand(shape_of(shape, ndim)); });
}

tt_tensor *tt_cat(tt_pool *p, tt_tensor *const *x, int n, int dim)
{
	for (int i = 0; i < n; i++) {
		if (!ready(p, "cat", {x[i]}))
			return nullptr;
	}
	return run(p, "cat", {}, [&] {
		need(n > 0, "of nothing");
		std::vector<at::Tensor> parts;
		for (int i = 0; i < n; i++)
			parts.push_back(x[i]->value);
		return at::cat(parts, dim);
	});
}

tt_tensor *tt_index_select(tt_pool *p, tt_tensor *x, int dim, tt_tensor *index)
{
	return run(p, "index_select", {x, index}, [&] { return x->value.index_select(dim_of(x->value, dim), index->value); });
}

tt_tensor *tt_gather(tt_pool *p, tt_tensor *x, int dim, tt_tensor *index)
{
	return run(p, "gather", {x, index}, [&] { return x->value.gather(dim_of(x->value, dim), index->value); });
}

tt_tensor *tt_embedding(tt_pool *p, tt_tensor *table, tt_tensor *ids)
{
	return run(p, "embedding", {table, ids}, [&] {
		need(table->value.dim() == 2, "a table is [rows, width], not ", table->value.sizes());
		return at::embedding(table->value, ids->value);
	});
}
