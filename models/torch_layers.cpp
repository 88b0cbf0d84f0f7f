/* torch_layers.cpp - the layers of the shim: products with weights, norms, activations, attention, convolution. */
#include "models/torch_private.h"

#include <algorithm>
#include <cmath>

#include <ATen/Parallel.h>
#include <dlfcn.h>
#include <omp.h>

using namespace shim;

namespace
{

at::Tensor same_kind(const at::Tensor &w, const at::Tensor &x)
{
	return w.to(x.scalar_type());
}

at::Tensor bias_or_none(const tt_tensor *b, const at::Tensor &x)
{
	return b ? same_kind(b->value, x) : at::Tensor();
}

/* OpenBLAS on threads of its own keeps them spinning for a while after each product, on the CPUs that our threads want then. So products are shared out here
 * and it computes on the calling thread, where this file has threads: built without OpenMP its loops have one. */
bool blas_single = false;

#ifdef _OPENMP
constexpr bool has_threads = true;
#else
constexpr bool has_threads = false;
#endif

/* [..., in] -> [..., out] of the same leading shape */
at::Tensor unflatten(const at::Tensor &rows, const at::Tensor &x, int64_t out)
{
	if (x.dim() == 2)
		return rows;
	std::vector<int64_t> shape = x.sizes().vec();
	shape.back() = out;
	return rows.view(shape);
}

/* How a product of [rows, in] with [out, in] is shared out to threads that each compute a block of it alone: blocks_of_rows * blocks_of_columns of them.
 * Whoever computes a block lays out its rows of x and of w anew, so the shape is the one with the least of that. */
struct sharing {
	int64_t by_rows = 1, by_columns = 1;
};

sharing share_out(int64_t rows, int64_t in, int64_t out)
{
	constexpr int64_t worthwhile = int64_t{1} << 21; /* multiplications per thread; waking one costs as much as some 10^6 */
	const int64_t threads = std::min<int64_t>(at::get_num_threads(), rows * in * out / worthwhile);
	sharing best;
	for (int64_t down = 1, least = INT64_MAX; down <= threads; down++) {
		if (threads % down != 0 || down * out + threads / down * rows >= least)
			continue;
		best = {down, threads / down};
		least = down * out + threads / down * rows;
	}
	return best;
}

/* Calls block(first row, end, first column, end) on many threads; edges lie where kernels like them. */
template <typename Block> void for_blocks(int64_t rows, int64_t in, int64_t out, const Block &block)
{
	constexpr int64_t step = 16;
	const sharing s = share_out(rows, in, out);
	auto edge = [](int64_t i, int64_t n, int64_t length) { return i == n ? length : length * i / n / step * step; };
	at::parallel_for(0, s.by_rows * s.by_columns, 1, [&](int64_t from, int64_t to) {
		c10::InferenceMode inference;
		for (int64_t i = from; i < to; i++) {
			const int64_t r = i / s.by_columns, c = i % s.by_columns;
			block(edge(r, s.by_rows, rows), edge(r + 1, s.by_rows, rows), edge(c, s.by_columns, out), edge(c + 1, s.by_columns, out));
		}
	});
}

/* Of a product that is shared out here instead of by the BLAS. */
bool shares_out(const tt_pool *p, const at::Tensor &rows)
{
	return !p->training() && blas_single && rows.is_cpu() && rows.scalar_type() == at::kFloat && rows.numel() > 0;
}

at::Tensor product(const tt_pool *p, const at::Tensor &rows, const at::Tensor &w, const tt_tensor *b)
{
	at::Tensor matrix = same_kind(w, rows).t(), bias = bias_or_none(b, rows);
	if (!shares_out(p, rows))
		return b ? at::addmm(bias, rows, matrix) : at::mm(rows, matrix);
	at::Tensor y = at::empty({rows.size(0), w.size(0)}, rows.options());
	for_blocks(rows.size(0), rows.size(1), w.size(0), [&](int64_t top, int64_t bottom, int64_t left, int64_t right) {
		at::Tensor out = y.slice(0, top, bottom).slice(1, left, right), x = rows.slice(0, top, bottom), m = matrix.slice(1, left, right);
		if (b)
			at::addmm_out(out, bias.slice(0, left, right), x, m);
		else
			at::mm_out(out, x, m);
	});
	return y;
}

/* sum += rows w^T + b, in place. */
void product_over(at::Tensor &sum, const at::Tensor &rows, const at::Tensor &w, const at::Tensor &bias)
{
	at::Tensor matrix = same_kind(w, rows).t();
	for_blocks(rows.size(0), rows.size(1), w.size(0), [&](int64_t top, int64_t bottom, int64_t left, int64_t right) {
		at::Tensor part = sum.slice(0, top, bottom).slice(1, left, right);
		part.addmm_(rows.slice(0, top, bottom), matrix.slice(1, left, right));
		if (bias.defined())
			part.add_(bias.slice(0, left, right));
	});
}

void check_linear(const at::Tensor &x, const at::Tensor &w, const tt_tensor *b)
{
	need_computable(x);
	need(w.dim() == 2 && x.dim() > 0 && x.size(-1) == w.size(1), "x ", x.sizes(), " and weight ", w.sizes(), " do not fit");
	need(!b || (b->value.dim() == 1 && b->value.size(0) == w.size(0)), "the bias must have ", w.size(0), " values");
}

at::Tensor rows_of(const at::Tensor &x)
{
	return x.dim() == 2 ? x : x.reshape({-1, x.size(-1)});
}

/* Always as one product over all rows: at::linear's own choice for more than two dims copies the weight or loops. */
at::Tensor linear(const tt_pool *p, const at::Tensor &x, const at::Tensor &w, const tt_tensor *b)
{
	check_linear(x, w, b);
	return unflatten(product(p, rows_of(x), w, b), x, w.size(0));
}

/* sum + (x w^T + b) into sum */
void linear_over(const tt_pool *p, at::Tensor &sum, const at::Tensor &x, const at::Tensor &w, const tt_tensor *b)
{
	at::Tensor rows = rows_of(x), whole = sum.view({-1, sum.size(-1)});
	if (sum.scalar_type() == at::kFloat && shares_out(p, rows)) {
		product_over(whole, rows, w, bias_or_none(b, sum));
		return;
	}
	at::Tensor y = product(p, rows, w, nullptr);
	if (!b || !kernel_add_rows(whole, y, b->value))
		whole.add_(b ? y.add_(same_kind(b->value, y)) : y);
}

} // namespace

void shim::blas_make_single()
{
	constexpr int on_own_threads = 1;
	auto kind = reinterpret_cast<int (*)()>(dlsym(RTLD_DEFAULT, "openblas_get_parallel"));
	auto set_threads = reinterpret_cast<void (*)(int)>(dlsym(RTLD_DEFAULT, "openblas_set_num_threads"));
	if (!has_threads || !kind || !set_threads || kind() != on_own_threads)
		return;
	set_threads(1);
	blas_single = true;
}

tt_tensor *tt_linear(tt_pool *p, tt_tensor *x, tt_tensor *w, tt_tensor *b)
{
	if (mixes(p, x))
		return mixed_linear(p, x, w, b);
	return run(p, "linear", {x, w}, [&] { return linear(p, x->value, w->value, b); });
}

tt_tensor *tt_linear_add_(tt_pool *p, tt_tensor *sum, tt_tensor *x, tt_tensor *w, tt_tensor *b)
{
	if (!ready(p, "linear_add", {sum, x, w}) || mixes(p, x) || p->training() || !may_overwrite(p, sum) || !sum->value.is_contiguous())
		return tt_add_(p, sum, tt_linear(p, x, w, b));
	return run_plain<tt_tensor *>(p, "linear_add", {sum, x, w}, nullptr, [&] {
		check_linear(x->value, w->value, b);
		const at::Tensor &y = sum->value, &in = x->value;
		bool fits =
			y.dim() == in.dim() && y.size(-1) == w->value.size(0) && y.sizes().slice(0, y.dim() - 1) == in.sizes().slice(0, y.dim() - 1);
		need(fits, "the sum ", y.sizes(), " does not fit x ", in.sizes(), " and weight ", w->value.sizes());
		linear_over(p, sum->value, in, w->value, b);
		return sum;
	});
}

/* oneDNN lays out the weights of a convolution ahead of time, but (in 1.13) not those of a product; so the product is written as a 1x1 convolution. */
tt_tensor *tt_pack_linear(tt_pool *p, tt_tensor *w)
{
	if (mixes(p, w) && w->value.is_cpu())
		return mixed_pack(p, w);
	return run(p, "pack_linear", {w}, [&] {
		const at::Tensor &m = w->value;
		need(m.dim() == 2, "a weight is [out, in], not ", m.sizes());
		bool packable = m.is_cpu() && at::hasMKLDNN() && !p->training() && m.numel() > 0 &&
				(m.scalar_type() == at::kFloat || (m.scalar_type() == at::kBFloat16 && tt_cpu_has_bf16()));
		if (!packable)
			return m;
		at::Tensor kernel = m.contiguous().view({m.size(0), m.size(1), 1, 1}).to_mkldnn();
		/* every argument is given: the defaults of 1.13 divide by zero */
		return at::mkldnn_reorder_conv2d_weight(kernel, {0, 0}, {1, 1}, {1, 1}, 1);
	});
}

tt_tensor *tt_linear_packed(tt_pool *p, tt_tensor *x, tt_tensor *packed, tt_tensor *b, int64_t out)
{
	if (mixes(p, x))
		return mixed_linear_packed(p, x, packed, b, out);
	return run(p, "linear_packed", {x, packed}, [&] {
		const at::Tensor &w = packed->value, &v = x->value;
		if (!w.is_mkldnn())
			return linear(p, v, w, b);
		int64_t in = w.size(1);
		need(w.size(0) == out, "the weight was packed for ", w.size(0), " outputs, not ", out);
		need(v.dim() > 0 && v.size(-1) == in && v.numel() > 0, "x ", v.sizes(), " and weight [", out, ", ", in, "] do not fit");
		need(v.scalar_type() == w.scalar_type(), "x is ", v.scalar_type(), " but the packed weight ", w.scalar_type());
		at::Tensor image = v.reshape({1, -1, 1, in}).permute({0, 3, 1, 2});
		at::Tensor y = at::mkldnn_convolution(image, w, bias_or_none(b, v), {0, 0}, {1, 1}, {1, 1}, 1);
		return unflatten(y.permute({0, 2, 3, 1}).reshape({-1, out}), v, out);
	});
}

tt_tensor *tt_layer_norm(tt_pool *p, tt_tensor *x, tt_tensor *w, tt_tensor *b, double eps, enum tt_dtype out)
{
	return run(p, "layer_norm", {x, w, b}, [&] {
		const at::Tensor &v = x->value;
		need(v.dim() > 0 && v.size(-1) == w->value.numel() && v.size(-1) == b->value.numel(), "x ", v.sizes(), " with weight ",
		     w->value.sizes());
		at::ScalarType type = scalar_type(out);
		if (!p->training()) {
			at::Tensor fast = at::empty(v.sizes(), v.options().dtype(type));
			if (kernel_layer_norm(v, w->value, b->value, eps, fast))
				return fast;
		}
		at::Tensor wide = v.to(at::kFloat);
		at::Tensor y = at::layer_norm(wide, {v.size(-1)}, same_kind(w->value, wide), same_kind(b->value, wide), eps, true);
		return y.to(type);
	});
}

tt_tensor *tt_softmax(tt_pool *p, tt_tensor *x, int dim)
{
	return run(p, "softmax", {x}, [&] {
		need_computable(x->value);
		return at::softmax(x->value, dim_of(x->value, dim));
	});
}

tt_tensor *tt_log_softmax(tt_pool *p, tt_tensor *x, int dim)
{
	return run(p, "log_softmax", {x}, [&] { return at::log_softmax(x->value, dim_of(x->value, dim), at::kFloat); });
}

namespace
{

at::Tensor activated(const at::Tensor &x, enum tt_activation kind)
{
	switch (kind) {
	case TT_GELU:
		return at::gelu(x, "none");
	case TT_GELU_TANH:
		return at::gelu(x, "tanh");
	case TT_QUICK_GELU:
		return at::mul(x, at::sigmoid(at::mul(x, 1.702)));
	case TT_RELU:
		return at::relu(x);
	case TT_TANH:
		return at::tanh(x);
	case TT_SIGMOID:
		return at::sigmoid(x);
	case TT_SILU:
		return at::silu(x);
	}
	throw op_error("unknown activation");
}

void activate_over(at::Tensor &x, enum tt_activation kind)
{
	if (kernel_activate(x, kind))
		return;
	switch (kind) {
	case TT_GELU:
		at::gelu_(x, "none");
		return;
	case TT_GELU_TANH:
		at::gelu_(x, "tanh");
		return;
	case TT_QUICK_GELU:
		x.mul_(at::mul(x, 1.702).sigmoid_());
		return;
	case TT_RELU:
		x.relu_();
		return;
	case TT_TANH:
		x.tanh_();
		return;
	case TT_SIGMOID:
		x.sigmoid_();
		return;
	case TT_SILU:
		at::silu_(x);
		return;
	}
	throw op_error("unknown activation");
}

} // namespace

tt_tensor *tt_activate_(tt_pool *p, tt_tensor *x, enum tt_activation kind)
{
	if (x && p->status == TT_OK && x->value.scalar_type() == at::kHalf && x->value.is_cpu())
		return tt_fail(p, "activate: fp16 does not compute on a CPU here; use fp32 or bf16");
	return run_over(
		p, "activate", x, {x}, [&](at::Tensor &y) { activate_over(y, kind); }, [&] { return activated(x->value, kind); });
}

tt_tensor *tt_dropout(tt_pool *p, tt_tensor *x, double probability)
{
	if (!p->training())
		return x;
	return run(p, "dropout", {x}, [&] { return at::dropout(x->value, probability, true); });
}

/* ---- attention ---------------------------------------------------------------------------------------------------------------------------- */

namespace
{

struct attention_in {
	const at::Tensor &q, &k, &v;
	double scale;
	at::Tensor bias; /* [B,H,Lq,Lk] by expansion, or undefined */
	bool causal;
	at::Tensor head_scale; /* [H], or undefined */
};

void check_attention(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v)
{
	need_computable(q);
	need(q.dim() == 4 && k.dim() == 4 && v.dim() == 4, "q, k, v are [B,H,L,D]; got ", q.sizes(), " ", k.sizes(), " ", v.sizes());
	bool fits = k.sizes() == v.sizes() && q.size(0) == k.size(0) && q.size(1) == k.size(1) && q.size(3) == k.size(3);
	need(fits && k.size(2) > 0, "q ", q.sizes(), " does not fit k ", k.sizes(), " and v ", v.sizes());
	need(q.scalar_type() == k.scalar_type() && k.scalar_type() == v.scalar_type(), "q, k, v have different dtypes");
}

/* bias and causality as one [..,Lq,Lk] tensor to add; undefined when there is nothing to add */
at::Tensor whole_bias(const attention_in &a)
{
	if (!a.causal)
		return a.bias;
	const int64_t rows = a.q.size(2), keys = a.k.size(2);
	at::Tensor above = at::full({rows, keys}, -INFINITY, a.q.options().dtype(at::kFloat)).triu(keys - rows + 1);
	return a.bias.defined() ? a.bias + above : above;
}

at::Tensor scale_heads(const at::Tensor &mixed, const attention_in &a)
{
	return a.head_scale.defined() ? mixed * same_kind(a.head_scale, mixed).view({1, -1, 1, 1}) : mixed;
}

/* Written as ops that autograd knows; [B,Lq,H,D]. */
at::Tensor attention_plain(const attention_in &a)
{
	at::Tensor scores = at::matmul(at::mul(a.q, a.scale), a.k.transpose(-2, -1)), bias = whole_bias(a);
	if (bias.defined())
		scores = scores.to(at::kFloat) + bias;
	at::Tensor mixed = at::matmul(at::softmax(scores, -1, at::kFloat).to(a.v.scalar_type()), a.v);
	return scale_heads(mixed, a).transpose(1, 2);
}

/* Room for the scores of a few heads and for what they mix. */
struct attention_room {
	at::Tensor scores, mixed; /* [group,Lq,Lk], [group,Lq,D] */
};

/* The heads [from, to) of all pictures, counted through, into out [B,Lq,H,D]. */
void attend_heads(const attention_in &a, const at::Tensor &bias, const attention_room &room, at::Tensor &out, int64_t from, int64_t to)
{
	const int64_t heads = a.q.size(1), group = room.scores.size(0);
	for (int64_t task = from, n; task < to; task += n) {
		const int64_t picture = task / heads, first = task % heads;
		n = std::min({group, heads - first, to - task});
		auto part = [&](const at::Tensor &x) { return x.select(0, picture).narrow(0, first, n); };
		at::Tensor scores = room.scores.narrow(0, 0, n), mixed = room.mixed.narrow(0, 0, n);
		at::bmm_out(scores, part(a.q), part(a.k).transpose(1, 2));
		kernel_softmax(scores, a.scale, bias.defined() ? part(bias) : bias, a.causal);
		at::bmm_out(mixed, scores, part(a.v));
		if (a.head_scale.defined())
			mixed.mul_(same_kind(a.head_scale, mixed).narrow(0, first, n).view({-1, 1, 1}));
		out.select(0, picture).narrow(1, first, n).copy_(mixed.transpose(0, 1));
	}
}

/* On a CPU, for inference: the scores of one picture at a time, a few heads where it has many tokens, straight into [B,Lq,H,D]. Pictures are shared out,
 * and where they are large heads, one thread each: splitting such a product costs more than it gains. */
at::Tensor attention_lean(const attention_in &a)
{
	constexpr int64_t scores_max = int64_t{8} << 20 /* bytes */, small = int64_t{1} << 16 /* scores of a head */;
	const int64_t batch = a.q.size(0), heads = a.q.size(1), rows = a.q.size(2), keys = a.k.size(2);
	const int64_t each = std::max<int64_t>(1, rows * keys * static_cast<int64_t>(a.q.element_size()));
	const int64_t unit = rows * keys <= small ? heads : 1, units = batch * heads / unit;
	const int64_t shares = std::max<int64_t>(1, std::min<int64_t>(at::get_num_threads(), units));
	const int64_t group = std::min({heads, (units + shares - 1) / shares * unit, std::max<int64_t>(1, scores_max / each)});
	at::Tensor bias = a.bias;
	if (bias.defined() && ((bias.scalar_type() != at::kFloat && bias.scalar_type() != at::kBFloat16) || bias.stride(3) != 1))
		bias = bias.to(at::kFloat).contiguous();
	at::Tensor out = at::empty({batch, rows, heads, a.q.size(3)}, a.q.options());
	at::Tensor scores = at::empty({shares, group, rows, keys}, a.q.options());
	at::Tensor mixed = at::empty({shares, group, rows, a.q.size(3)}, a.q.options());
	at::parallel_for(0, shares, 1, [&](int64_t from, int64_t to) {
		c10::InferenceMode inference;
		if (omp_in_parallel())
			omp_set_num_threads(1); /* for this region only: oneDNN divides its work by this number */
		for (int64_t i = from; i < to; i++)
			attend_heads(a, bias, {scores[i], mixed[i]}, out, units * i / shares * unit, units * (i + 1) / shares * unit);
	});
	return out;
}

#if TT_TORCH_AT_LEAST(2, 0)
/* libtorch's fused kernels. They scale by 1/sqrt(D), so q carries the difference; their own causality saves the mask where it means the same. */
at::Tensor attention_fused(const attention_in &a)
{
	const bool square = a.causal && !a.bias.defined() && a.q.size(2) == a.k.size(2);
	at::Tensor q = at::mul(a.q, a.scale * std::sqrt(static_cast<double>(a.q.size(3)))), bias = square ? at::Tensor() : whole_bias(a);
	at::Tensor mixed = bias.defined() ? at::scaled_dot_product_attention(q, a.k, a.v, same_kind(bias, q), 0.0, false)
					  : at::scaled_dot_product_attention(q, a.k, a.v, {}, 0.0, square);
	return scale_heads(mixed, a).transpose(1, 2);
}
#endif

at::Tensor attention(const tt_pool *p, const attention_in &a)
{
	bool lean = a.q.is_cpu() && (a.q.scalar_type() == at::kFloat || a.q.scalar_type() == at::kBFloat16);
	if (!p->training() && lean)
		return attention_lean(a);
#if TT_TORCH_AT_LEAST(2, 0)
	if (!p->training())
		return attention_fused(a);
#endif
	return attention_plain(a);
}

} // namespace

tt_tensor *tt_attention(tt_pool *p, tt_tensor *q, tt_tensor *k, tt_tensor *v, double scale, tt_tensor *bias, bool causal, tt_tensor *head_scale)
{
	if (mixes(p, q))
		return mixed_attention(p, q, k, v, scale, bias, causal, head_scale);
	return run(p, "attention", {q, k, v}, [&] {
		check_attention(q->value, k->value, v->value);
		const int64_t batch = q->value.size(0), heads = q->value.size(1), rows = q->value.size(2), keys = k->value.size(2);
		attention_in a{q->value, k->value, v->value, scale, at::Tensor(), causal, head_scale ? head_scale->value : at::Tensor()};
		need(!head_scale || a.head_scale.numel() == heads, "head_scale has ", a.head_scale.numel(), " values for ", heads, " heads");
		if (bias)
			a.bias = bias->value.expand({batch, heads, rows, keys});
		return attention(p, a).flatten(2);
	});
}

/* ---- pictures ----------------------------------------------------------------------------------------------------------------------------- */

namespace
{

/* Kernels that touch without overlap are one product over all patches: no weight to lay out anew each time. */
at::Tensor patch_conv(const tt_pool *p, const at::Tensor &x, const at::Tensor &w, const tt_tensor *b, int64_t side)
{
	const int64_t down = x.size(2) / side, across = x.size(3) / side;
	at::Tensor whole = x.narrow(2, 0, down * side).narrow(3, 0, across * side);
	at::Tensor patches = whole.reshape({x.size(0), x.size(1), down, side, across, side}).permute({0, 2, 4, 1, 3, 5});
	at::Tensor rows = patches.reshape({x.size(0), down * across, x.size(1) * side * side});
	at::Tensor y = linear(p, rows, w.reshape({w.size(0), -1}), b);
	return y.view({x.size(0), down, across, w.size(0)}).permute({0, 3, 1, 2});
}

/* oneDNN computes in this layout, 2-7 times faster in bf16 where it need not reorder, and so do pooling and all that follows. */
at::Tensor channels_last(const at::Tensor &x)
{
	return x.is_cpu() ? x.contiguous(at::MemoryFormat::ChannelsLast) : x;
}

} // namespace

tt_tensor *tt_conv2d(tt_pool *p, tt_tensor *x, tt_tensor *w, tt_tensor *b, int stride, int padding)
{
	if (mixes(p, x))
		return mixed_conv2d(p, x, w, b, stride, padding);
	return run(p, "conv2d", {x, w}, [&] {
		const at::Tensor &v = x->value, &k = w->value;
		need_computable(v);
		need(v.dim() == 4 && k.dim() == 4 && v.size(1) == k.size(1), "x ", v.sizes(), " and weight ", k.sizes(), " do not fit");
		need(stride > 0 && padding >= 0, "stride ", stride, ", padding ", padding);
		need(v.size(2) + 2 * padding >= k.size(2) && v.size(3) + 2 * padding >= k.size(3), "x ", v.sizes(), " is smaller than the kernel ",
		     k.sizes());
		if (padding == 0 && stride == k.size(2) && stride == k.size(3))
			return patch_conv(p, v, k, b, stride);
		if (p->training() && !b && v.is_cpu())
			return conv2d_trained(v, same_kind(k, v), stride, padding);
		return at::conv2d(p->training() ? v : channels_last(v), same_kind(k, v), bias_or_none(b, v), {stride, stride}, {padding, padding},
				  {1, 1}, 1);
	});
}

tt_tensor *tt_max_pool2d(tt_pool *p, tt_tensor *x, int kernel, int stride, int padding)
{
	return run(p, "max_pool2d", {x}, [&] {
		need(x->value.dim() == 4, "x is [B,C,H,W], not ", x->value.sizes());
		return at::max_pool2d(p->training() ? x->value : channels_last(x->value), {kernel, kernel}, {stride, stride}, {padding, padding},
				      {1, 1}, false);
	});
}

tt_tensor *tt_batch_norm(tt_pool *p, tt_tensor *x, tt_tensor *w, tt_tensor *b, tt_tensor *mean, tt_tensor *var, double eps, double momentum)
{
	return run(p, "batch_norm", {x, w, b, mean, var}, [&] {
		const at::Tensor &v = x->value;
		need(v.dim() > 1 && v.size(1) == w->value.numel(), "x ", v.sizes(), " with weight ", w->value.sizes());
		if (p->training())
			return at::batch_norm(v, w->value, b->value, mean->value, var->value, true, momentum, eps, true);
		/* one multiplication and one addition per value, the factors in fp32 */
		at::Tensor factor = w->value.to(at::kFloat) * at::rsqrt(var->value.to(at::kFloat) + eps);
		at::Tensor offset = b->value.to(at::kFloat) - mean->value.to(at::kFloat) * factor;
		std::vector<int64_t> shape(static_cast<size_t>(v.dim()), 1);
		shape[1] = -1;
		return at::addcmul(same_kind(offset, v).view(shape), v, same_kind(factor, v).view(shape));
	});
}
