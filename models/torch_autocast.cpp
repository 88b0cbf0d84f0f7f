/* torch_autocast.cpp - autocast: products take their operands in half precision, everything else stays in fp32.
 *
 * An op whose pool says so (tt_set_autocast) and whose first operand is fp32 comes here, is run again on copies in half precision, and its result goes back
 * to fp32; biases are added there. Weights are copied for each call, inside the op; those laid out by tt_pack_linear are laid out in half precision once.
 */
#include "models/torch_private.h"

using namespace shim;

namespace
{

tt_tensor *half(tt_pool *p, tt_tensor *x)
{
	return x ? tt_cast(p, x, p->autocast) : nullptr;
}

/* The result in fp32, plus b [C] along dim; what was made since mark goes. */
tt_tensor *finish(tt_pool *p, size_t mark, tt_tensor *result, const tt_tensor *b, int64_t dim)
{
	tt_tensor *y = tt_cast(p, result, TT_F32);
	if (y && b) {
		run_plain<int>(p, "autocast", {b}, 0, [&] {
			std::vector<int64_t> shape(static_cast<size_t>(y->value.dim()), 1);
			shape[static_cast<size_t>(dim < 0 ? dim + y->value.dim() : dim)] = -1;
			y->value.add_(b->value.to(at::kFloat).view(shape));
			return 0;
		});
	}
	pool_keep(p, mark, &y, 1);
	return p->status == TT_OK ? y : nullptr;
}

} // namespace

namespace shim
{

tt_tensor *mixed_linear(tt_pool *p, tt_tensor *x, tt_tensor *w, tt_tensor *b)
{
	size_t mark = p->tensors.size();
	return finish(p, mark, tt_linear(p, half(p, x), w, nullptr), b, -1);
}

tt_tensor *mixed_pack(tt_pool *p, tt_tensor *w)
{
	size_t mark = p->tensors.size();
	tt_tensor *packed = tt_pack_linear(p, half(p, w));
	pool_keep(p, mark, &packed, 1);
	return packed;
}

tt_tensor *mixed_linear_packed(tt_pool *p, tt_tensor *x, tt_tensor *packed, tt_tensor *b, int64_t out)
{
	size_t mark = p->tensors.size();
	return finish(p, mark, tt_linear_packed(p, half(p, x), packed, nullptr, out), b, -1);
}

tt_tensor *mixed_attention(tt_pool *p, tt_tensor *q, tt_tensor *k, tt_tensor *v, double scale, tt_tensor *bias, bool causal, tt_tensor *head_scale)
{
	size_t mark = p->tensors.size();
	return finish(p, mark, tt_attention(p, half(p, q), half(p, k), half(p, v), scale, bias, causal, head_scale), nullptr, 0);
}

tt_tensor *mixed_conv2d(tt_pool *p, tt_tensor *x, tt_tensor *w, tt_tensor *b, int stride, int padding)
{
	size_t mark = p->tensors.size();
	return finish(p, mark, tt_conv2d(p, half(p, x), w, nullptr, stride, padding), b, 1);
}

tt_tensor *mixed_matmul(tt_pool *p, tt_tensor *a, tt_tensor *b)
{
	size_t mark = p->tensors.size();
	return finish(p, mark, tt_matmul(p, half(p, a), half(p, b)), nullptr, 0);
}

} // namespace shim

void tt_set_autocast(tt_pool *p, enum tt_dtype products)
{
	p->autocast = products;
}
