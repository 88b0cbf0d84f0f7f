/* torch_conv.cpp - convolution as training needs it: the weights' gradient without barriers.
 *
 * oneDNN's gradient of a convolution's weights in bf16 lets its threads wait for each other by spinning, several times per call. As soon as anything
 * else runs on the machine, each wait costs a time slice of the system: measured, 1 s instead of 12 ms. Here every thread takes its own share of the
 * batch and computes alone; the shares are added up. Everything else is libtorch's convolution.
 */
#include "models/torch_private.h"

#include <algorithm>

#include <ATen/Parallel.h>
#include <omp.h>
#include <torch/csrc/autograd/custom_function.h>

namespace
{

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct geometry {
	std::vector<int64_t> stride, padding, dilation{1, 1}, output_padding{0, 0};
};

/* part 0: of x, part 1: of the weight */
at::Tensor gradient(const at::Tensor &slope, const at::Tensor &x, const at::Tensor &w, const geometry &g, int part)
{
	auto all =
		at::convolution_backward(slope, x, w, {}, g.stride, g.padding, g.dilation, false, g.output_padding, 1, {part == 0, part == 1, false});
	return part == 0 ? std::get<0>(all) : std::get<1>(all);
}

at::Tensor weight_gradient(const at::Tensor &slope, const at::Tensor &x, const at::Tensor &w, const geometry &g)
{
	const int64_t batch = x.size(0), shares = std::min<int64_t>(at::get_num_threads(), batch);
	std::vector<at::Tensor> sums(static_cast<size_t>(shares));
	at::parallel_for(0, shares, 1, [&](int64_t from, int64_t to) {
		c10::AutoGradMode off(false);
		if (omp_in_parallel())
			omp_set_num_threads(1); /* for this region only: oneDNN divides its work by this number */
		for (int64_t i = from; i < to; i++) {
			const int64_t first = batch * i / shares, count = batch * (i + 1) / shares - first;
			sums[static_cast<size_t>(i)] = gradient(slope.narrow(0, first, count), x.narrow(0, first, count), w, g, 1).to(at::kFloat);
		}
	});
	for (size_t i = 1; i < sums.size(); i++)
		sums[0].add_(sums[i]);
	return sums[0].to(w.scalar_type());
}

struct convolution : torch::autograd::Function<convolution> {
	static at::Tensor forward(AutogradContext *context, const at::Tensor &x, const at::Tensor &w, int64_t stride, int64_t padding)
	{
		context->save_for_backward({x, w});
		context->saved_data["stride"] = stride;
		context->saved_data["padding"] = padding;
		return at::conv2d(x, w, {}, {stride, stride}, {padding, padding}, {1, 1}, 1);
	}

	static variable_list backward(AutogradContext *context, variable_list slopes)
	{
		const variable_list saved = context->get_saved_variables();
		const at::Tensor &x = saved[0], &w = saved[1];
		const int64_t stride = context->saved_data["stride"].toInt(), padding = context->saved_data["padding"].toInt();
		const geometry g{{stride, stride}, {padding, padding}};
		at::Tensor of_x = context->needs_input_grad(0) ? gradient(slopes[0], x, w, g, 0) : at::Tensor();
		return {of_x, weight_gradient(slopes[0], x, w, g), at::Tensor(), at::Tensor()};
	}
};

} // namespace

at::Tensor shim::conv2d_trained(const at::Tensor &x, const at::Tensor &w, int64_t stride, int64_t padding)
{
	return convolution::apply(x, w, stride, padding);
}
