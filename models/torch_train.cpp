/* torch_train.cpp - training: parameters, the loss, gradients, AdamW. */
#include "models/torch_private.h"

#include <cmath>
#include <cstdio>

#include <ATen/Parallel.h>

using namespace shim;

tt_tensor *tt_parameter(tt_pool *p, tt_tensor *x)
{
	return run(p, "parameter", {x}, [&] {
		need(p->training(), "only a TT_TRAIN pool collects gradients");
		need(x->value.scalar_type() == at::kFloat && x->value.is_contiguous(), "a parameter is contiguous fp32");
		/* a new tensor over the same storage: one made in inference mode could not require gradients */
		at::Tensor leaf = at::empty({0}, x->value.options());
		leaf.set_(x->value.storage(), x->value.storage_offset(), x->value.sizes(), x->value.strides());
		leaf.requires_grad_(true);
		return leaf;
	});
}

tt_tensor *tt_cross_entropy(tt_pool *p, tt_tensor *logits, tt_tensor *target, int64_t ignore, double smoothing)
{
	return run(p, "cross_entropy", {logits, target}, [&] {
		const at::Tensor &x = logits->value, &t = target->value;
		need(x.dim() == 2 && t.dim() == 1 && x.size(0) == t.size(0), "logits ", x.sizes(), " with targets ", t.sizes());
		return at::cross_entropy_loss(x.to(at::kFloat), t, {}, at::Reduction::Mean, ignore, smoothing);
	});
}

int tt_backward(tt_pool *p, tt_tensor *loss)
{
	return run_plain(p, "backward", {loss}, -1, [&] {
		need(loss->value.numel() == 1, "the loss is a scalar, not ", loss->value.sizes());
		need(loss->value.requires_grad(), "the loss depends on no parameter");
		loss->value.backward();
		return 0;
	});
}

/* ---- AdamW -------------------------------------------------------------------------------------------------------------------------------- */

struct tt_adamw {
	struct state {
		at::Tensor parameter, mean, square;
	};
	std::vector<state> states;
	double beta1, beta2, eps, decay;
	int64_t steps = 0;
};

namespace
{

constexpr int64_t grain = 32768;

struct step_factors {
	float beta1, beta2, eps, shrink, rate, root_correction, clip;
};

double square_sum(const at::Tensor &g)
{
	if (!g.is_cpu())
		return std::pow(at::norm(g).item<double>(), 2);
	const float *data = g.data_ptr<float>();
	return at::parallel_reduce(
		0, g.numel(), grain, 0.0,
		[&](int64_t from, int64_t to, double sum) {
			for (int64_t i = from; i < to; i++)
				sum += static_cast<double>(data[i]) * data[i];
			return sum;
		},
		[](double a, double b) { return a + b; });
}

/* Algorithm 2 of arXiv:1711.05101, in one pass over the four arrays */
void update_cpu(const tt_adamw::state &s, const at::Tensor &gradient, const step_factors &f)
{
	float *x = s.parameter.data_ptr<float>(), *m = s.mean.data_ptr<float>(), *v = s.square.data_ptr<float>();
	const float *g = gradient.data_ptr<float>();
	at::parallel_for(0, s.parameter.numel(), grain, [&](int64_t from, int64_t to) {
#pragma omp simd
		for (int64_t i = from; i < to; i++) {
			float slope = g[i] * f.clip;
			m[i] = f.beta1 * m[i] + (1 - f.beta1) * slope;
			v[i] = f.beta2 * v[i] + (1 - f.beta2) * slope * slope;
			x[i] = x[i] * f.shrink - f.rate * m[i] / (std::sqrt(v[i]) * f.root_correction + f.eps);
		}
	});
}

void update_device(tt_adamw::state &s, const at::Tensor &gradient, const step_factors &f)
{
	at::Tensor slope = gradient * f.clip, x = s.parameter.detach();
	s.mean.mul_(f.beta1).add_(slope, 1 - f.beta1);
	s.square.mul_(f.beta2).addcmul_(slope, slope, 1 - f.beta2);
	x.mul_(f.shrink).addcdiv_(s.mean, at::sqrt(s.square).mul_(f.root_correction).add_(f.eps), -f.rate);
}

/* Gradients as contiguous fp32, taken away from their parameters; undefined where a parameter played no part in the loss. */
std::vector<at::Tensor> take_gradients(tt_adamw &o)
{
	std::vector<at::Tensor> gradients;
	for (tt_adamw::state &s : o.states) {
		at::Tensor &slot = s.parameter.mutable_grad();
		gradients.push_back(slot.defined() ? slot.contiguous() : at::Tensor());
		slot.reset();
	}
	return gradients;
}

double adamw_step(tt_adamw &o, double rate, double max_norm)
{
	c10::AutoGradMode off(false);
	std::vector<at::Tensor> gradients = take_gradients(o);
	double sum = 0;
	for (const at::Tensor &g : gradients)
		sum += g.defined() ? square_sum(g) : 0;
	double norm = std::sqrt(sum);
	need(std::isfinite(norm), "the gradients are not finite; this step was left out");
	o.steps++;
	double correction1 = 1 - std::pow(o.beta1, o.steps), correction2 = 1 - std::pow(o.beta2, o.steps);
	step_factors f{};
	f.beta1 = static_cast<float>(o.beta1);
	f.beta2 = static_cast<float>(o.beta2);
	f.eps = static_cast<float>(o.eps);
	f.rate = static_cast<float>(rate / correction1);
	f.root_correction = static_cast<float>(1 / std::sqrt(correction2));
	f.clip = max_norm > 0 && norm > max_norm ? static_cast<float>(max_norm / norm) : 1.0f;
	for (size_t i = 0; i < gradients.size(); i++) {
		if (!gradients[i].defined())
			continue;
		tt_adamw::state &s = o.states[i];
		f.shrink = s.parameter.dim() < 2 ? 1.0f : static_cast<float>(1 - rate * o.decay);
		if (s.parameter.is_cpu())
			update_cpu(s, gradients[i], f);
		else
			update_device(s, gradients[i], f);
	}
	return norm;
}

} // namespace

struct tt_adamw *tt_adamw_create(tt_tensor *const *parameters, int n, double beta1, double beta2, double eps, double weight_decay)
{
	try {
		std::unique_ptr<tt_adamw> o(new tt_adamw{{}, beta1, beta2, eps, weight_decay});
		for (int i = 0; i < n; i++) {
			need(parameters[i] && parameters[i]->value.is_leaf() && parameters[i]->value.requires_grad(), "not a parameter");
			const at::Tensor x = parameters[i]->value, data = x.detach();
			o->states.push_back({x, at::zeros_like(data), at::zeros_like(data)});
		}
		return o.release();
	} catch (...) {
		return nullptr;
	}
}

double tt_adamw_step(struct tt_adamw *o, double learning_rate, double max_norm, char *message, size_t size)
{
	std::string what = "no optimizer";
	try {
		if (o)
			return adamw_step(*o, learning_rate, max_norm);
	} catch (...) {
		exception_describe(what);
	}
	snprintf(message, size, "adamw: %s", printable(what.c_str()).c_str());
	return -1;
}

void tt_adamw_destroy(struct tt_adamw *o)
{
	delete o;
}
