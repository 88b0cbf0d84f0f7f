/* test_conv_gradient.c - the gradient of a convolution's weights, which the shim computes in shares of the batch, against plain loops. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include "core/mem.h"
#include "models/torch_shim.h"
#include "tests/torch/near.h"

struct conv_case {
	int batch, in, out, side, kernel, stride, padding;
};

static int out_side(const struct conv_case *c)
{
	return (c->side + 2 * c->padding - c->kernel) / c->stride + 1;
}

static float *numbers(size_t n, unsigned seed)
{
	float *x = xmalloc(n * sizeof *x);
	for (size_t i = 0; i < n; i++)
		x[i] = (float)((seed = seed * 1103515245u + 12345u) >> 16 & 0xff) / 128 - 1; /* 8 bits: exact in bf16 */
	return x;
}

/* d/dw of mean(conv(x, w) * slope) */
static void plain_gradient(const struct conv_case *c, const float *x, const float *slope, float *gradient)
{
	const int n = out_side(c), values = c->batch * c->out * n * n;
	for (int i = 0; i < values; i++) {
		const int column = i % n, row = i / n % n, o = i / (n * n) % c->out, b = i / (n * n * c->out);
		for (int k = 0; k < c->in * c->kernel * c->kernel; k++) {
			const int kx = k % c->kernel, ky = k / c->kernel % c->kernel, channel = k / (c->kernel * c->kernel);
			const int y = row * c->stride + ky - c->padding, z = column * c->stride + kx - c->padding;
			if (y < 0 || z < 0 || y >= c->side || z >= c->side)
				continue;
			gradient[o * c->in * c->kernel * c->kernel + k] +=
				slope[i] * x[((b * c->in + channel) * c->side + y) * c->side + z] / (float)values;
		}
	}
}

/* With an eps that dwarfs the root of the second moment and a rate to match, a step of AdamW takes the gradient itself off the weight. */
static void check(const struct conv_case *c, enum tt_dtype dtype)
{
	const double huge = 1e6;
	const int n = out_side(c);
	const size_t nx = (size_t)(c->batch * c->in * c->side * c->side), nw = (size_t)(c->out * c->in * c->kernel * c->kernel);
	float *x = numbers(nx, 1), *w = numbers(nw, 2), *slope = numbers((size_t)(c->batch * c->out * n * n), 3), *expected = xcalloc(nw, sizeof *w);
	char message[200] = "";
	tt_pool *weights = tt_pool_create(TT_TRAIN), *p = tt_pool_create(TT_TRAIN);
	tt_tensor *parameter = tt_parameter(weights, tt_from_f32(weights, w, TT_SHAPE(c->out, c->in, c->kernel, c->kernel)));
	struct tt_adamw *optimiser = tt_adamw_create(&parameter, 1, 0, 0, huge, 0);
	tt_tensor *pixels = tt_cast(p, tt_from_f32(p, x, TT_SHAPE(c->batch, c->in, c->side, c->side)), dtype);
	tt_tensor *y = tt_cast(p, tt_conv2d(p, pixels, parameter, NULL, c->stride, c->padding), TT_F32);
	tt_tensor *loss = tt_mean(p, tt_mul(p, y, tt_from_f32(p, slope, TT_SHAPE(c->batch, c->out, n, n))));
	if (tt_backward(p, loss) < 0)
		fail_msg("%s", tt_message(p));
	if (tt_adamw_step(optimiser, huge, 0, message, sizeof message) < 0)
		fail_msg("%s", message);
	plain_gradient(c, x, slope, expected);
	for (size_t i = 0; i < nw; i++)
		expected[i] = w[i] - expected[i];
	near_check(p, "weight less gradient", parameter, expected, nw, dtype == TT_BF16 ? 1e-3 : 1e-5);
	tt_adamw_destroy(optimiser);
	tt_pool_destroy(p);
	tt_pool_destroy(weights);
	free(x);
	free(w);
	free(slope);
	free(expected);
}

static void shares_add_up(void **state)
{
	const struct conv_case cases[] = {
		{5, 4, 6, 9, 3, 1, 1},
		{4, 16, 16, 8, 3, 2, 1},
		{1, 3, 8, 12, 7, 2, 3}, /* fewer pictures than threads */
		{3, 8, 16, 6, 1, 2, 0},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		check(&cases[i], TT_F32);
		if (tt_cpu_has_bf16())
			check(&cases[i], TT_BF16);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(shares_add_up)};
	near_start(argv);
	return cmocka_run_group_tests_name("conv_gradient", tests, NULL, NULL);
}
