/* torch_kernels.cpp - loops for inference on a CPU that libtorch runs in several passes or slowly in bf16: layer norm, the scaled, biased softmax of
 * attention, the gelu family and the sum of a residual branch. Values are computed in fp32 whatever the tensors hold. Each loop is compiled for AVX-512, for
 * AVX2 with FMA and for any CPU.
 */
#include "models/torch_private.h"

#include <cmath>
#include <cstring>

#include <ATen/Parallel.h>

namespace
{

#define INLINE inline __attribute__((always_inline))
#if defined(__x86_64__)
#define WIDE __attribute__((target("avx2,fma")))
#if defined(__clang__)
#define WIDEST __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma")))
#else
#define WIDEST __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma,prefer-vector-width=512")))
#endif
#define HAS_WIDE   (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
#define HAS_WIDEST (HAS_WIDE && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
#else
#define WIDE
#define WIDEST
#define HAS_WIDE   false
#define HAS_WIDEST false
#endif

/* A loop is a struct with a static run(arguments…), always inlined, so that it is compiled here for each kind of CPU. */
template <typename Loop, typename... Args> void run_any(Args... args)
{
	Loop::run(args...);
}

template <typename Loop, typename... Args> WIDE void run_wide(Args... args)
{
	Loop::run(args...);
}

template <typename Loop, typename... Args> WIDEST void run_widest(Args... args)
{
	Loop::run(args...);
}

template <typename Loop, typename... Args> void run_loop(Args... args)
{
	static const auto best = HAS_WIDEST ? run_widest<Loop, Args...> : HAS_WIDE ? run_wide<Loop, Args...> : run_any<Loop, Args...>;
	best(args...);
}

constexpr int64_t grain = 16384; /* values per task */

/* ---- numbers ------------------------------------------------------------------------------------------------------------------------------- */

template <typename To, typename From> INLINE To bits_as(From x)
{
	To y;
	static_assert(sizeof x == sizeof y, "same bits");
	memcpy(&y, &x, sizeof y);
	return y;
}

struct bf16 {
	uint16_t bits;
};

INLINE float widen(float x)
{
	return x;
}

INLINE float widen(bf16 x)
{
	return bits_as<float>(static_cast<uint32_t>(x.bits) << 16);
}

INLINE void narrow(float x, float &out)
{
	out = x;
}

/* to nearest, ties to even; every NaN becomes the quiet one */
INLINE void narrow(float x, bf16 &out)
{
	uint32_t bits = bits_as<uint32_t>(x);
	uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
	out.bits = static_cast<uint16_t>(x == x ? rounded : 0x7fc0);
}

/* e^x for x <= 0, within 2 units in the last place: 2^n e^r with |r| <= ln(2)/2, ln 2 in two parts, e^r by its Taylor series to the 7th power. NaN stays NaN. The
 * power is multiplied in two halves, so that it underflows to 0 without a second comparison, which would keep loops from being vectorised. */
INLINE float exp_fast(float x)
{
	const float big = 12582912.0f; /* 1.5 * 2^23: adding it leaves the nearest integer in the low bits */
	float bounded = x < -104.0f ? -104.0f : x;
	float shifted = bounded * 1.44269504f + big, n = shifted - big;
	float r = (bounded - n * 0.693145752f) - n * 1.42860677e-6f;
	float series = 1.98412698e-4f;
	series = series * r + 1.38888889e-3f;
	series = series * r + 8.33333333e-3f;
	series = series * r + 4.16666667e-2f;
	series = series * r + 1.66666667e-1f;
	series = series * r + 0.5f;
	series = (series * r + 1.0f) * r + 1.0f;
	int32_t exponent = static_cast<int32_t>(bits_as<uint32_t>(shifted) - bits_as<uint32_t>(big)), half = exponent >> 1;
	uint32_t first = static_cast<uint32_t>(half + 127) << 23, second = static_cast<uint32_t>(exponent - half + 127) << 23;
	return series * bits_as<float>(first) * bits_as<float>(second);
}

INLINE float sigmoid_fast(float x)
{
	float e = exp_fast(-std::fabs(x));
	return (x < 0 ? e : 1.0f) / (1.0f + e);
}

/* ---- activations --------------------------------------------------------------------------------------------------------------------------- */

struct quick_gelu {
	static INLINE float of(float x)
	{
		return x * sigmoid_fast(1.702f * x);
	}
};

/* 0.5 (1 + tanh u) is sigmoid(2u) */
struct tanh_gelu {
	static INLINE float of(float x)
	{
		return x * sigmoid_fast(1.59576912f * (x + 0.044715f * x * x * x));
	}
};

template <typename F, typename T> struct map_loop {
	static INLINE void run(T *x, int64_t n)
	{
#pragma omp simd
		for (int64_t i = 0; i < n; i++)
			narrow(F::of(widen(x[i])), x[i]);
	}
};

template <typename F, typename T> void map_over(at::Tensor &x)
{
	T *data = static_cast<T *>(x.data_ptr());
	at::parallel_for(0, x.numel(), grain, [&](int64_t from, int64_t to) { run_loop<map_loop<F, T>>(data + from, to - from); });
}

/* ---- sums ---------------------------------------------------------------------------------------------------------------------------------- */

template <typename T> struct add_loop {
	static INLINE void run(float *x, const T *y, const T *b, int64_t rows, int64_t d)
	{
		for (int64_t r = 0; r < rows; r++, x += d, y += d) {
#pragma omp simd
			for (int64_t i = 0; i < d; i++)
				x[i] += widen(y[i]) + widen(b[i]);
		}
	}
};

/* ---- layer norm ---------------------------------------------------------------------------------------------------------------------------- */

/* wide[] takes a row in fp32; the sums run over the differences from the mean, so a large mean costs no digits. */
template <typename In, typename Out> struct norm_loop {
	static INLINE void run(const In *x, Out *y, float *wide, const float *w, const float *b, int64_t rows, int64_t d, float eps)
	{
		for (int64_t r = 0; r < rows; r++, x += d, y += d) {
			float sum = 0, square = 0;
#pragma omp simd reduction(+ : sum)
			for (int64_t i = 0; i < d; i++) {
				wide[i] = widen(x[i]);
				sum += wide[i];
			}
			float mean = sum / static_cast<float>(d);
#pragma omp simd reduction(+ : square)
			for (int64_t i = 0; i < d; i++)
				square += (wide[i] - mean) * (wide[i] - mean);
			float factor = 1.0f / std::sqrt(square / static_cast<float>(d) + eps);
#pragma omp simd
			for (int64_t i = 0; i < d; i++)
				narrow((wide[i] - mean) * factor * w[i] + b[i], y[i]);
		}
	}
};

template <typename In, typename Out> void norm_over(const at::Tensor &x, at::Tensor &y, const float *w, const float *b, double eps)
{
	const int64_t d = x.size(-1), rows = x.numel() / d;
	const In *in = static_cast<const In *>(x.data_ptr());
	Out *out = static_cast<Out *>(y.data_ptr());
	at::parallel_for(0, rows, std::max<int64_t>(1, grain / d), [&](int64_t from, int64_t to) {
		std::vector<float> wide(static_cast<size_t>(d));
		run_loop<norm_loop<In, Out>>(in + from * d, out + from * d, wide.data(), w, b, to - from, d, static_cast<float>(eps));
	});
}

/* ---- softmax ------------------------------------------------------------------------------------------------------------------------------- */

/* One row of scores in place: softmax(scale * x + bias) over the first `seen` of n keys; the others get 0. */
template <typename T, typename Bias> struct softmax_loop {
	static INLINE void run(T *x, float *wide, const Bias *bias, float scale, int64_t seen, int64_t n)
	{
		float top = -INFINITY, sum = 0;
		for (int64_t i = 0; i < seen; i++)
			wide[i] = widen(x[i]) * scale;
		if (bias) {
#pragma omp simd
			for (int64_t i = 0; i < seen; i++)
				wide[i] += widen(bias[i]);
		}
#pragma omp simd reduction(max : top)
		for (int64_t i = 0; i < seen; i++)
			top = wide[i] > top ? wide[i] : top;
#pragma omp simd reduction(+ : sum)
		for (int64_t i = 0; i < seen; i++) {
			wide[i] = exp_fast(wide[i] - top);
			sum += wide[i];
		}
		float factor = 1.0f / sum;
#pragma omp simd
		for (int64_t i = 0; i < seen; i++)
			narrow(wide[i] * factor, x[i]);
		for (int64_t i = seen; i < n; i++)
			narrow(0.0f, x[i]);
	}
};

template <typename T, typename Bias> void softmax_over(at::Tensor &scores, double scale, const at::Tensor &bias, bool causal)
{
	const int64_t rows = scores.size(1), n = scores.size(2);
	T *data = static_cast<T *>(scores.data_ptr());
	const Bias *base = bias.defined() ? static_cast<const Bias *>(bias.data_ptr()) : nullptr;
	const int64_t by_head = base ? bias.stride(0) : 0, by_row = base ? bias.stride(1) : 0;
	at::parallel_for(0, scores.size(0) * rows, std::max<int64_t>(1, grain / n), [&](int64_t from, int64_t to) {
		std::vector<float> wide(static_cast<size_t>(n));
		for (int64_t i = from; i < to; i++) {
			const int64_t row = i % rows, seen = causal ? std::max<int64_t>(0, row + n - rows + 1) : n;
			run_loop<softmax_loop<T, Bias>>(data + i * n, wide.data(), base ? base + i / rows * by_head + row * by_row : nullptr,
							static_cast<float>(scale), std::min(seen, n), n);
		}
	});
}

bool plain_cpu(const at::Tensor &x)
{
	return x.is_cpu() && x.layout() == at::kStrided && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16);
}

} // namespace

namespace shim
{

bool kernel_activate(at::Tensor &x, enum tt_activation kind)
{
	if (!plain_cpu(x) || !x.is_contiguous() || (kind != TT_QUICK_GELU && kind != TT_GELU_TANH))
		return false;
	bool wide = x.scalar_type() == at::kFloat;
	if (kind == TT_QUICK_GELU)
		wide ? map_over<quick_gelu, float>(x) : map_over<quick_gelu, bf16>(x);
	else
		wide ? map_over<tanh_gelu, float>(x) : map_over<tanh_gelu, bf16>(x);
	return true;
}

bool kernel_add_rows(at::Tensor &x, const at::Tensor &y, const at::Tensor &b)
{
	bool fits = plain_cpu(x) && x.scalar_type() == at::kFloat && y.scalar_type() == at::kBFloat16 && b.scalar_type() == at::kBFloat16;
	if (!fits || !x.is_contiguous() || !y.is_contiguous() || !b.is_contiguous() || x.numel() == 0)
		return false;
	const int64_t d = x.size(-1);
	float *sum = x.data_ptr<float>();
	const bf16 *in = static_cast<const bf16 *>(y.data_ptr()), *offset = static_cast<const bf16 *>(b.data_ptr());
	at::parallel_for(0, x.numel() / d, std::max<int64_t>(1, grain / d),
			 [&](int64_t from, int64_t to) { run_loop<add_loop<bf16>>(sum + from * d, in + from * d, offset, to - from, d); });
	return true;
}

bool kernel_layer_norm(const at::Tensor &x, const at::Tensor &w, const at::Tensor &b, double eps, at::Tensor &y)
{
	bool fits = plain_cpu(x) && plain_cpu(y) && x.is_contiguous() && x.numel() > 0;
	fits = fits && w.scalar_type() == at::kFloat && b.scalar_type() == at::kFloat && w.is_contiguous() && b.is_contiguous();
	if (!fits)
		return false;
	const float *factor = w.data_ptr<float>(), *offset = b.data_ptr<float>();
	bool from_wide = x.scalar_type() == at::kFloat, to_wide = y.scalar_type() == at::kFloat;
	if (from_wide)
		to_wide ? norm_over<float, float>(x, y, factor, offset, eps) : norm_over<float, bf16>(x, y, factor, offset, eps);
	else
		to_wide ? norm_over<bf16, float>(x, y, factor, offset, eps) : norm_over<bf16, bf16>(x, y, factor, offset, eps);
	return true;
}

void kernel_softmax(at::Tensor &scores, double scale, const at::Tensor &bias, bool causal)
{
	bool wide = scores.scalar_type() == at::kFloat, bias_wide = !bias.defined() || bias.scalar_type() == at::kFloat;
	if (wide)
		bias_wide ? softmax_over<float, float>(scores, scale, bias, causal) : softmax_over<float, bf16>(scores, scale, bias, causal);
	else
		bias_wide ? softmax_over<bf16, float>(scores, scale, bias, causal) : softmax_over<bf16, bf16>(scores, scale, bias, causal);
}

} // namespace shim
