/* torch_math.cpp - arithmetic of the shim: element-wise ops, sums, products. */
#include "models/torch_private.h"

#include <algorithm>
#include <chrono>

using namespace shim;

tt_tensor *tt_add(tt_pool *p, tt_tensor *a, tt_tensor *b)
{
	return run(p, "add", {a, b}, [&] { return at::add(a->value, b->value); });
}

tt_tensor *tt_add_(tt_pool *p, tt_tensor *a, tt_tensor *b)
{
	return run_over(
		p, "add", a, {a, b}, [&](at::Tensor &x) { x.add_(b->value); },
		[&] { return at::add(a->value, b->value).to(a->value.scalar_type()); });
}

tt_tensor *tt_sub(tt_pool *p, tt_tensor *a, tt_tensor *b)
{
	return run(p, "sub", {a, b}, [&] { return at::sub(a->value, b->value); });
}

tt_tensor *tt_mul(tt_pool *p, tt_tensor *a, tt_tensor *b)
{
	return run(p, "mul", {a, b}, [&] { return at::mul(a->value, b->value); });
}

tt_tensor *tt_mul_(tt_pool *p, tt_tensor *a, tt_tensor *b)
{
	return run_over(
		p, "mul", a, {a, b}, [&](at::Tensor &x) { x.mul_(b->value); },
		[&] { return at::mul(a->value, b->value).to(a->value.scalar_type()); });
}

tt_tensor *tt_div(tt_pool *p, tt_tensor *a, tt_tensor *b)
{
	return run(p, "div", {a, b}, [&] { return at::div(a->value, b->value); });
}

tt_tensor *tt_scale(tt_pool *p, tt_tensor *x, double factor)
{
	return run(p, "scale", {x}, [&] { return at::mul(x->value, factor); });
}

tt_tensor *tt_scale_(tt_pool *p, tt_tensor *x, double factor)
{
	return run_over(
		p, "scale", x, {x}, [&](at::Tensor &y) { y.mul_(factor); }, [&] { return at::mul(x->value, factor); });
}

tt_tensor *tt_add_scalar(tt_pool *p, tt_tensor *x, double value)
{
	return run(p, "add_scalar", {x}, [&] { return at::add(x->value, value); });
}

tt_tensor *tt_exp(tt_pool *p, tt_tensor *x)
{
	return run(p, "exp", {x}, [&] { return at::exp(x->value); });
}

tt_tensor *tt_clamp(tt_pool *p, tt_tensor *x, double low, double high)
{
	return run(p, "clamp", {x}, [&] { return at::clamp(x->value, at::Scalar(low), at::Scalar(high)); });
}

tt_tensor *tt_clamp_(tt_pool *p, tt_tensor *x, double low, double high)
{
	return run_over(
		p, "clamp", x, {x}, [&](at::Tensor &y) { y.clamp_(at::Scalar(low), at::Scalar(high)); },
		[&] { return at::clamp(x->value, at::Scalar(low), at::Scalar(high)); });
}

tt_tensor *tt_where(tt_pool *p, tt_tensor *mask, tt_tensor *a, tt_tensor *b)
{
	return run(p, "where", {mask, a, b}, [&] {
		need(mask->value.scalar_type() == at::kBool, "the mask must be BOOL");
		return at::where(mask->value, a->value, b->value);
	});
}

tt_tensor *tt_masked_fill(tt_pool *p, tt_tensor *x, tt_tensor *mask, double value)
{
	return run(p, "masked_fill", {x, mask}, [&] {
		need(mask->value.scalar_type() == at::kBool, "the mask must be BOOL");
		return at::masked_fill(x->value, mask->value, value);
	});
}

tt_tensor *tt_eq_scalar(tt_pool *p, tt_tensor *x, double value)
{
	return run(p, "eq_scalar", {x}, [&] { return at::eq(x->value, value); });
}

tt_tensor *tt_sum(tt_pool *p, tt_tensor *x, int dim, bool keepdim)
{
	return run(p, "sum", {x}, [&] { return at::sum(x->value, at::IntArrayRef{dim_of(x->value, dim)}, keepdim); });
}

tt_tensor *tt_mean(tt_pool *p, tt_tensor *x)
{
	return run(p, "mean", {x}, [&] { return at::mean(x->value); });
}

tt_tensor *tt_argmax(tt_pool *p, tt_tensor *x, int dim)
{
	return run(p, "argmax", {x}, [&] { return at::argmax(x->value, dim_of(x->value, dim), false); });
}

tt_tensor *tt_normalize(tt_pool *p, tt_tensor *x)
{
	return run(p, "normalize", {x}, [&] {
		need(x->value.dim() > 0, "a scalar has no last dim");
		at::Tensor wide = x->value.to(at::kFloat);
		/* the floor keeps a row of zeros at zero instead of NaN */
		at::Tensor norm = at::norm(wide, at::Scalar(2), at::IntArrayRef{-1}, true).clamp_min(1e-12);
		return at::div(wide, norm).to(x->value.scalar_type());
	});
}

tt_tensor *tt_matmul(tt_pool *p, tt_tensor *a, tt_tensor *b)
{
	if (mixes(p, a))
		return mixed_matmul(p, a, b);
	return run(p, "matmul", {a, b}, [&] {
		const at::Tensor &x = a->value, &y = b->value;
		need_computable(x);
		need(x.dim() > 0 && y.dim() > 0 && x.size(-1) == y.size(y.dim() > 1 ? -2 : 0), "shapes ", x.sizes(), " and ", y.sizes(),
		     " do not multiply");
		return at::matmul(x, y);
	});
}

double tt_blas_gflops(void)
{
	using clock = std::chrono::steady_clock;
	constexpr int64_t n = 192;
	try {
		c10::InferenceMode guard;
		at::Tensor a = at::rand({n, n}, at::kFloat), b = at::rand({n, n}, at::kFloat), c = at::empty({n, n}, at::kFloat);
		double best = 1e9;
		for (int i = 0; i < 6; i++) {
			clock::time_point from = clock::now();
			at::mm_out(c, a, b);
			best = std::min(best, std::chrono::duration<double>(clock::now() - from).count());
		}
		return 2.0 * n * n * n / best / 1e9;
	} catch (...) {
		return 0;
	}
}
