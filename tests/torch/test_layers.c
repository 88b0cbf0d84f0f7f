/* Every layer of the shim against a plain computation in C, in fp32 and bf16. */
#include "tests/torch/near.h"

#include <string.h>

static tt_pool *p;

static int setup(void **state)
{
	(void)state;
	p = tt_pool_create(TT_INFER);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	tt_pool_destroy(p);
	return 0;
}

static float *numbers(size_t n, float scale, uint32_t seed)
{
	float *out = malloc(n * sizeof *out);
	near_fill(out, n, scale, seed);
	return out;
}

static float *zeros(size_t n)
{
	return calloc(n, sizeof(float));
}

/* Rounds to bf16 and back, so that the plain computation starts from what the tensors hold. */
static void round_bf16(float *x, size_t n)
{
	assert_int_equal(tt_to_f32(p, tt_cast(p, tt_from_f32(p, x, TT_SHAPE((int64_t)n)), TT_BF16), x, n), 0);
}

static bool dtype_runs(enum tt_dtype dtype)
{
	return dtype == TT_F32 || tt_cpu_has_bf16();
}

/* ---- linear --------------------------------------------------------------------------------------------------------------------------------- */

/* y[r,o] = b[o] + sum x[r,i] w[o,i] */
static void plain_linear(const float *x, const float *w, const float *b, float *y, int rows, int in, int out)
{
	for (int r = 0; r < rows; r++)
		for (int o = 0; o < out; o++) {
			double sum = b ? b[o] : 0;
			for (int i = 0; i < in; i++)
				sum += (double)x[r * in + i] * w[o * in + i];
			y[r * out + o] = (float)sum;
		}
}

static void linear_case(enum tt_dtype dtype, int rows, int in, int out, bool with_bias)
{
	float *x = numbers((size_t)(rows * in), 1, 1), *w = numbers((size_t)(out * in), 0.2f, 2), *b = numbers((size_t)out, 1, 3);
	float *y = zeros((size_t)(rows * out));
	double tolerance = 1e-5;
	if (dtype == TT_BF16) {
		round_bf16(x, (size_t)(rows * in));
		round_bf16(w, (size_t)(out * in));
		round_bf16(b, (size_t)out);
		tolerance = 1e-2;
	}
	plain_linear(x, w, with_bias ? b : NULL, y, rows, in, out);
	tt_tensor *tx = tt_cast(p, tt_from_f32(p, x, TT_SHAPE(rows, in)), dtype), *tw = tt_cast(p, tt_from_f32(p, w, TT_SHAPE(out, in)), dtype);
	tt_tensor *tb = with_bias ? tt_from_f32(p, b, TT_SHAPE(out)) : NULL, *packed = tt_pack_linear(p, tw);
	tt_tensor *plain = tt_linear(p, tx, tw, tb), *fast = tt_linear_packed(p, tx, packed, tb, out);
	assert_int_equal(tt_dtype_of(plain), dtype);
	assert_int_equal(tt_dtype_of(fast), dtype);
	near_check(p, "linear", plain, y, (size_t)(rows * out), tolerance);
	near_check(p, "linear_packed", fast, y, (size_t)(rows * out), tolerance);
	tt_tensor *cube = tt_expand(p, tt_reshape(p, tx, TT_SHAPE(1, rows, in)), TT_SHAPE(1, rows, in));
	assert_int_equal(tt_ndim(tt_linear(p, cube, tw, tb)), 3);
	near_check(p, "linear 3d", tt_linear_packed(p, cube, packed, tb, out), y, (size_t)(rows * out), tolerance);
	tt_tensor *sum = tt_cast(p, tt_from_f32(p, y, TT_SHAPE(rows, out)), TT_F32);
	for (int64_t i = 0; i < rows * out; i++)
		y[i] *= 2;
	tt_tensor *added = tt_linear_add_(p, sum, tx, tw, tb);
	assert_ptr_equal(added, sum);
	near_check(p, "linear_add", added, y, (size_t)(rows * out), tolerance);
	free(x), free(w), free(b), free(y);
}

static void linear_and_packed_agree(void **state)
{
	(void)state;
	for (enum tt_dtype d = TT_F32; d <= TT_BF16; d += TT_BF16 - TT_F32) {
		if (!dtype_runs(d))
			continue;
		linear_case(d, 1, 64, 96, true);
		linear_case(d, 5, 48, 33, false);
		linear_case(d, 5, 31, 17, true);
		linear_case(d, 40, 64, 128, true);
		/* large enough to be shared out, by columns and by rows */
		linear_case(d, 67, 300, 700, true);
		linear_case(d, 601, 130, 90, true);
		linear_case(d, 601, 130, 90, false);
	}
}

static void linear_reads_views(void **state)
{
	(void)state;
	enum { B = 2, L = 3, IN = 8, OUT = 4 };
	float x[B * L * IN], w[OUT * IN], turned[L * B * IN], want[L * B * OUT];
	near_fill(x, COUNT(x), 1, 1);
	near_fill(w, COUNT(w), 1, 2);
	for (int b = 0; b < B; b++)
		for (int l = 0; l < L; l++)
			memcpy(turned + (l * B + b) * IN, x + (b * L + l) * IN, IN * sizeof *x);
	plain_linear(turned, w, NULL, want, L * B, IN, OUT);
	tt_tensor *view = tt_transpose(p, tt_from_f32(p, x, TT_SHAPE(B, L, IN)), 0, 1), *tw = tt_from_f32(p, w, TT_SHAPE(OUT, IN));
	near_check(p, "transposed", tt_linear(p, view, tw, NULL), want, COUNT(want), 1e-5);
	near_check(p, "packed", tt_linear_packed(p, view, tt_pack_linear(p, tw), NULL, OUT), want, COUNT(want), 1e-5);
	near_check(p, "one row", tt_linear(p, tt_select(p, tt_select(p, view, 1, 0), 0, 1), tw, NULL), want + B * OUT, OUT, 1e-5);
	near_check(p, "weight of another dtype", tt_linear(p, view, tt_cast(p, tw, TT_F64), NULL), want, COUNT(want), 1e-5);
}

static void wrong_shapes_are_named(void **state)
{
	(void)state;
	tt_tensor *x = tt_full(p, 1, TT_F32, TT_CPU, TT_SHAPE(2, 3)), *w = tt_full(p, 1, TT_F32, TT_CPU, TT_SHAPE(5, 4));
	assert_null(tt_linear(p, x, w, NULL));
	assert_string_equal(tt_message(p), "linear: x [2, 3] and weight [5, 4] do not fit");
	tt_reset(p);
	assert_null(tt_linear_packed(p, x, tt_pack_linear(p, w), NULL, 5));
	assert_int_equal(tt_status_of(p), TT_ERROR);
	tt_reset(p);
	assert_null(tt_linear_packed(p, w, tt_pack_linear(p, w), NULL, 6));
	assert_non_null(strstr(tt_message(p), "packed for 5 outputs, not 6"));
	tt_reset(p);
	assert_null(tt_linear_add_(p, tt_full(p, 1, TT_F32, TT_CPU, TT_SHAPE(3, 5)), w, w, NULL));
	assert_non_null(strstr(tt_message(p), "the sum [3, 5] does not fit"));
	tt_reset(p);
	assert_null(tt_attention(p, x, x, x, 1, NULL, false, NULL));
	tt_reset(p);
	assert_null(tt_conv2d(p, x, w, NULL, 1, 0));
	tt_reset(p);
	assert_null(tt_layer_norm(p, x, w, w, 1e-5, TT_F32));
	assert_int_equal(tt_status_of(p), TT_ERROR);
}

static void half_on_a_cpu_is_refused_clearly(void **state)
{
	(void)state;
	tt_tensor *x = tt_full(p, 1, TT_F16, TT_CPU, TT_SHAPE(2, 4));
	assert_null(tt_linear(p, x, x, NULL));
	assert_non_null(strstr(tt_message(p), "fp16 does not compute on a CPU here; use fp32 or bf16"));
	tt_reset(p);
	assert_null(tt_activate_(p, x, TT_GELU));
	assert_non_null(strstr(tt_message(p), "fp16"));
	tt_reset(p);
	assert_null(tt_softmax(p, x, -1));
	tt_reset(p);
	assert_null(tt_matmul(p, x, tt_transpose(p, x, 0, 1)));
	assert_non_null(strstr(tt_message(p), "fp16"));
}

/* ---- norms, softmax, activations ------------------------------------------------------------------------------------------------------------ */

static void plain_layer_norm(const float *x, const float *w, const float *b, float *y, int rows, int d, double eps)
{
	for (int r = 0; r < rows; r++) {
		double mean = 0, var = 0;
		for (int i = 0; i < d; i++)
			mean += x[r * d + i] / (double)d;
		for (int i = 0; i < d; i++)
			var += (x[r * d + i] - mean) * (x[r * d + i] - mean) / d;
		for (int i = 0; i < d; i++)
			y[r * d + i] = (float)((x[r * d + i] - mean) / sqrt(var + eps) * w[i] + b[i]);
	}
}

static void layer_norm_case(int rows, int d, float offset)
{
	float *x = numbers((size_t)(rows * d), 3, 1), *w = numbers((size_t)d, 2, 2), *b = numbers((size_t)d, 1, 3), *y = zeros((size_t)(rows * d));
	for (int i = 0; i < rows * d; i++)
		x[i] += offset;
	tt_tensor *tw = tt_from_f32(p, w, TT_SHAPE(d)), *tb = tt_from_f32(p, b, TT_SHAPE(d)), *tx = tt_from_f32(p, x, TT_SHAPE(rows, 1, d));
	plain_layer_norm(x, w, b, y, rows, d, 1e-5);
	near_check(p, "layer_norm", tt_layer_norm(p, tx, tw, tb, 1e-5, TT_F32), y, (size_t)(rows * d), 1e-4);
	tt_tensor *narrow = tt_layer_norm(p, tx, tw, tb, 1e-5, TT_BF16);
	assert_int_equal(tt_dtype_of(narrow), TT_BF16);
	near_check(p, "to bf16", narrow, y, (size_t)(rows * d), 5e-3);
	round_bf16(x, (size_t)(rows * d));
	plain_layer_norm(x, w, b, y, rows, d, 1e-5);
	near_check(p, "bf16 to f32", tt_layer_norm(p, tt_cast(p, tx, TT_BF16), tw, tb, 1e-5, TT_F32), y, (size_t)(rows * d), 1e-4);
	free(x), free(w), free(b), free(y);
}

static void layer_norm_is_exact(void **state)
{
	(void)state;
	layer_norm_case(3, 16, 0);
	layer_norm_case(7, 61, 0.5f);
	layer_norm_case(50, 768, -1);
	layer_norm_case(2, 64, 100); /* a mean far from zero: sums of squares would cancel */
}

static void softmax_sums_to_one(void **state)
{
	(void)state;
	enum { R = 4, C = 9 };
	float x[R * C], soft[R * C], logs[R * C];
	near_fill(x, COUNT(x), 8, 1);
	for (int r = 0; r < R; r++) {
		double sum = 0;
		for (int c = 0; c < C; c++)
			sum += exp(x[r * C + c]);
		for (int c = 0; c < C; c++) {
			soft[r * C + c] = (float)(exp(x[r * C + c]) / sum);
			logs[r * C + c] = (float)(x[r * C + c] - log(sum));
		}
	}
	tt_tensor *t = tt_from_f32(p, x, TT_SHAPE(R, C));
	near_check(p, "softmax", tt_softmax(p, t, 1), soft, R * C, 1e-6);
	near_check(p, "log_softmax", tt_log_softmax(p, t, -1), logs, R * C, 1e-5);
	tt_tensor *columns = tt_softmax(p, tt_transpose(p, t, 0, 1), 0);
	near_check(p, "over the first dim", tt_transpose(p, columns, 0, 1), soft, R * C, 1e-6);
	assert_int_equal(tt_dtype_of(tt_log_softmax(p, tt_cast(p, t, TT_BF16), -1)), TT_F32);
}

static double plain_activation(double x, enum tt_activation kind)
{
	switch (kind) {
	case TT_GELU:
		return 0.5 * x * (1 + erf(x / sqrt(2)));
	case TT_GELU_TANH:
		return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
	case TT_QUICK_GELU:
		return x / (1 + exp(-1.702 * x));
	case TT_RELU:
		return x > 0 ? x : 0;
	case TT_TANH:
		return tanh(x);
	case TT_SIGMOID:
		return 1 / (1 + exp(-x));
	case TT_SILU:
		return x / (1 + exp(-x));
	}
	return 0;
}

static void activations_follow_their_formulas(void **state)
{
	(void)state;
	enum { N = 4099 };
	static float x[N], half[N], want[N];
	near_fill(x, N, 12, 1);
	memcpy(x, (float[]){0, -0.0f, 1e-8f, -60, 60, 88.8f, -88.8f, 200, -200}, 9 * sizeof *x);
	memcpy(half, x, sizeof x);
	round_bf16(half, N);
	for (int kind = TT_GELU; kind <= TT_SILU; kind++) {
		for (int i = 0; i < N; i++)
			want[i] = (float)plain_activation(x[i], (enum tt_activation)kind);
		near_check(p, "fp32", tt_activate_(p, tt_from_f32(p, x, TT_SHAPE(N)), (enum tt_activation)kind), want, N, 2e-6);
		tt_tensor *view = tt_slice(p, tt_reshape(p, tt_from_f32(p, x, TT_SHAPE(N)), TT_SHAPE(N, 1)), 0, 1, N);
		near_check(p, "view", tt_activate_(p, view, (enum tt_activation)kind), want + 1, N - 1, 2e-6);
		for (int i = 0; i < N; i++)
			want[i] = (float)plain_activation(half[i], (enum tt_activation)kind);
		tt_tensor *t = tt_cast(p, tt_from_f32(p, half, TT_SHAPE(N)), TT_BF16);
		assert_ptr_equal(tt_activate_(p, t, (enum tt_activation)kind), t);
		near_check(p, "bf16", t, want, N, 5e-3);
	}
	assert_null(tt_activate_(p, tt_arange(p, 3, TT_CPU), (enum tt_activation)(TT_SILU + 1)));
	assert_int_equal(tt_status_of(p), TT_ERROR);
}

static void activations_keep_what_is_no_number(void **state)
{
	(void)state;
	float odd[] = {NAN, INFINITY, 1}, got[3];
	for (int kind = TT_GELU; kind <= TT_SILU; kind++) {
		for (enum tt_dtype d = TT_F32; d <= TT_BF16; d += TT_BF16 - TT_F32) {
			tt_tensor *t = tt_cast(p, tt_from_f32(p, odd, TT_SHAPE(3)), d);
			assert_int_equal(tt_to_f32(p, tt_activate_(p, t, (enum tt_activation)kind), got, 3), 0);
			assert_true(isnan(got[0]));
			assert_true(got[1] == (kind == TT_TANH || kind == TT_SIGMOID ? 1 : INFINITY));
		}
	}
}

static void dropout_rests_in_inference(void **state)
{
	(void)state;
	tt_tensor *x = tt_full(p, 1, TT_F32, TT_CPU, TT_SHAPE(1000));
	assert_ptr_equal(tt_dropout(p, x, 0.5), x);
	tt_pool *t = tt_pool_create(TT_TRAIN);
	float got[1000];
	int zero = 0;
	assert_int_equal(tt_to_f32(t, tt_dropout(t, x, 0.25), got, 1000), 0);
	for (int i = 0; i < 1000; i++) {
		zero += got[i] == 0;
		assert_true(got[i] == 0 || fabsf(got[i] - 4.0f / 3) < 1e-6f);
	}
	assert_in_range(zero, 180, 320);
	tt_pool_destroy(t);
}

/* ---- attention ------------------------------------------------------------------------------------------------------------------------------ */

struct attention_case {
	int b, h, lq, lk, d;
	bool causal;
	int bias; /* 0 none, 1 [B,H,Lq,Lk], 2 [1,H,Lq,Lk], 3 [B,1,1,Lk] with -inf */
	bool head_scale;
};

static float bias_at(const struct attention_case *c, const float *bias, int b, int h, int i, int j)
{
	switch (c->bias) {
	case 1:
		return bias[((b * c->h + h) * c->lq + i) * c->lk + j];
	case 2:
		return bias[(h * c->lq + i) * c->lk + j];
	case 3:
		return bias[b * c->lk + j];
	default:
		return 0;
	}
}

/* one output row: out[D] */
static void plain_attention_row(const struct attention_case *c, const float *q, const float *k, const float *v, const float *bias, int b, int h,
				int i, double scale, double head, float *out)
{
	double weight[256], sum = 0, top = -INFINITY;
	for (int j = 0; j < c->lk; j++) {
		weight[j] = bias_at(c, bias, b, h, i, j);
		for (int e = 0; e < c->d; e++)
			weight[j] += scale * q[e] * k[j * c->d + e];
		if (c->causal && j > i + c->lk - c->lq)
			weight[j] = -INFINITY;
		top = fmax(top, weight[j]);
	}
	for (int j = 0; j < c->lk; j++)
		sum += weight[j] = exp(weight[j] - top);
	for (int e = 0; e < c->d; e++) {
		double mixed = 0;
		for (int j = 0; j < c->lk; j++)
			mixed += weight[j] / sum * v[j * c->d + e];
		out[e] = (float)(mixed * head);
	}
}

static void plain_attention(const struct attention_case *c, const float *q, const float *k, const float *v, const float *bias, const float *heads,
			    double scale, float *out)
{
	for (int b = 0; b < c->b; b++)
		for (int h = 0; h < c->h; h++)
			for (int i = 0; i < c->lq; i++) {
				int qh = b * c->h + h;
				plain_attention_row(c, q + (qh * c->lq + i) * c->d, k + qh * c->lk * c->d, v + qh * c->lk * c->d, bias, b, h, i,
						    scale, c->head_scale ? heads[h] : 1, out + ((b * c->lq + i) * c->h + h) * c->d);
			}
}

static tt_tensor *bias_tensor(const struct attention_case *c, const float *bias)
{
	switch (c->bias) {
	case 1:
		return tt_from_f32(p, bias, TT_SHAPE(c->b, c->h, c->lq, c->lk));
	case 2:
		return tt_from_f32(p, bias, TT_SHAPE(1, c->h, c->lq, c->lk));
	case 3:
		return tt_from_f32(p, bias, TT_SHAPE(c->b, 1, 1, c->lk));
	default:
		return NULL;
	}
}

static void attention_run(const struct attention_case *c, tt_pool *pool, enum tt_dtype dtype, double tolerance)
{
	size_t nq = (size_t)(c->b * c->h * c->lq * c->d), nk = (size_t)(c->b * c->h * c->lk * c->d), nb = (size_t)(c->b * c->h * c->lq * c->lk);
	float *q = numbers(nq, 2, 1), *k = numbers(nk, 2, 2), *v = numbers(nk, 1, 3), *bias = numbers(nb, 1, 4), *heads = numbers((size_t)c->h, 2, 5);
	float *want = zeros(nq);
	if (c->bias == 3)
		for (int j = 1; j < c->b * c->lk; j += 3)
			bias[j] = -INFINITY;
	if (dtype == TT_BF16) {
		round_bf16(q, nq);
		round_bf16(k, nk);
		round_bf16(v, nk);
	}
	plain_attention(c, q, k, v, bias, heads, 0.3, want);
	tt_tensor *tq = tt_cast(p, tt_from_f32(p, q, TT_SHAPE(c->b, c->h, c->lq, c->d)), dtype);
	tt_tensor *tk = tt_cast(p, tt_from_f32(p, k, TT_SHAPE(c->b, c->h, c->lk, c->d)), dtype);
	tt_tensor *tv = tt_cast(p, tt_from_f32(p, v, TT_SHAPE(c->b, c->h, c->lk, c->d)), dtype);
	/* as the networks have it: heads split off the last dim, so [B,H,L,D] is a view of [B,L,H,D] */
	tq = tt_transpose(p, tt_contiguous(p, tt_transpose(p, tq, 1, 2)), 1, 2);
	tv = tt_transpose(p, tt_contiguous(p, tt_transpose(p, tv, 1, 2)), 1, 2);
	tt_tensor *got = tt_attention(pool, tt_share(pool, tq), tk, tv, 0.3, bias_tensor(c, bias), c->causal,
				      c->head_scale ? tt_from_f32(p, heads, TT_SHAPE(c->h)) : NULL);
	near_check(pool, "attention", got, want, nq, tolerance);
	assert_int_equal(tt_ndim(got), 3);
	assert_true(tt_size(got, 1) == c->lq && tt_size(got, 2) == c->h * c->d);
	assert_int_equal(tt_dtype_of(got), dtype);
	free(q), free(k), free(v), free(bias), free(heads), free(want);
}

static void attention_mixes_values(void **state)
{
	(void)state;
	const struct attention_case cases[] = {
		{1, 1, 1, 1, 4, false, 0, false},  {2, 3, 5, 7, 8, false, 0, false},     {2, 3, 5, 5, 8, true, 0, false},
		{2, 3, 1, 9, 16, true, 1, true},   {2, 3, 4, 9, 16, true, 2, true},      {2, 2, 50, 50, 64, false, 2, false},
		{3, 2, 7, 33, 32, false, 3, true}, {1, 4, 130, 130, 16, true, 1, false}, {2, 3, 4096, 256, 4, false, 2, true},
	};
	tt_pool *training = tt_pool_create(TT_TRAIN);
	for (size_t i = 0; i < COUNT(cases); i++) {
		attention_run(&cases[i], p, TT_F32, 1e-5);
		attention_run(&cases[i], training, TT_F32, 1e-5);
		if (dtype_runs(TT_BF16))
			attention_run(&cases[i], p, TT_BF16, 2e-2);
	}
	tt_pool_destroy(training);
}

static void attention_is_lean(void **state)
{
	(void)state;
	enum { B = 8, H = 4, L = 256, D = 16 };
	tt_tensor *x = tt_randn(p, 1, TT_SHAPE(B, H, L, D));
	struct tt_memory before, after;
	tt_memory_reset_peak(TT_CPU, 0);
	tt_memory_read(TT_CPU, &before);
	assert_non_null(tt_attention(p, x, x, x, 0.25, NULL, false, NULL));
	tt_memory_read(TT_CPU, &after);
	/* all scores at once would be 8 MiB; the output is half a MiB */
	assert_true(after.peak[0] - before.used < 5 << 20);
}

/* ---- pictures ------------------------------------------------------------------------------------------------------------------------------- */

struct conv_case {
	int b, c, h, w, o, k, stride, padding;
};

static void plain_conv(const struct conv_case *s, const float *x, const float *w, const float *b, float *y, int oh, int ow)
{
	for (int n = 0; n < s->b * s->o * oh * ow; n++) {
		int col = n % ow, row = n / ow % oh, o = n / (ow * oh) % s->o, image = n / (ow * oh * s->o);
		double sum = b ? b[o] : 0;
		for (int t = 0; t < s->c * s->k * s->k; t++) {
			int kx = t % s->k, ky = t / s->k % s->k, c = t / (s->k * s->k);
			int yy = row * s->stride - s->padding + ky, xx = col * s->stride - s->padding + kx;
			if (yy >= 0 && yy < s->h && xx >= 0 && xx < s->w)
				sum += (double)x[((image * s->c + c) * s->h + yy) * s->w + xx] * w[(o * s->c + c) * s->k * s->k + ky * s->k + kx];
		}
		y[n] = (float)sum;
	}
}

static void conv_run(const struct conv_case *s, enum tt_dtype dtype, bool with_bias)
{
	int oh = (s->h + 2 * s->padding - s->k) / s->stride + 1, ow = (s->w + 2 * s->padding - s->k) / s->stride + 1;
	size_t nx = (size_t)(s->b * s->c * s->h * s->w), nw = (size_t)(s->o * s->c * s->k * s->k), ny = (size_t)(s->b * s->o * oh * ow);
	float *x = numbers(nx, 1, 1), *w = numbers(nw, 0.3f, 2), *b = numbers((size_t)s->o, 1, 3), *y = zeros(ny);
	if (dtype == TT_BF16) {
		round_bf16(x, nx);
		round_bf16(w, nw);
		round_bf16(b, (size_t)s->o);
	}
	plain_conv(s, x, w, with_bias ? b : NULL, y, oh, ow);
	tt_tensor *tx = tt_cast(p, tt_from_f32(p, x, TT_SHAPE(s->b, s->c, s->h, s->w)), dtype),
		  *tw = tt_from_f32(p, w, TT_SHAPE(s->o, s->c, s->k, s->k));
	tt_tensor *got = tt_conv2d(p, tx, tw, with_bias ? tt_from_f32(p, b, TT_SHAPE(s->o)) : NULL, s->stride, s->padding);
	assert_true(tt_size(got, 2) == oh && tt_size(got, 3) == ow);
	near_check(p, "conv2d", got, y, ny, dtype == TT_BF16 ? 1e-2 : 1e-5);
	free(x), free(w), free(b), free(y);
}

static void convolution_slides(void **state)
{
	(void)state;
	const struct conv_case cases[] = {
		{1, 3, 8, 8, 4, 3, 1, 1},     {2, 3, 17, 15, 6, 7, 2, 3},    {2, 8, 9, 9, 5, 1, 1, 0},
		{1, 16, 14, 14, 16, 3, 2, 1}, {2, 3, 32, 32, 24, 16, 16, 0},
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		conv_run(&cases[i], TT_F32, i % 2);
		if (dtype_runs(TT_BF16))
			conv_run(&cases[i], TT_BF16, i % 2);
	}
}

static void pooling_takes_the_largest(void **state)
{
	(void)state;
	enum { N = 7, K = 3, S = 2, OUT = 4 };
	float x[N * N], want[OUT * OUT];
	near_fill(x, COUNT(x), 4, 1);
	for (int i = 0; i < OUT * OUT; i++) {
		want[i] = -INFINITY;
		for (int t = 0; t < K * K; t++) {
			int row = i / OUT * S - 1 + t / K, col = i % OUT * S - 1 + t % K;
			if (row >= 0 && row < N && col >= 0 && col < N)
				want[i] = fmaxf(want[i], x[row * N + col]);
		}
	}
	tt_tensor *t = tt_from_f32(p, x, TT_SHAPE(1, 1, N, N));
	near_check(p, "max_pool2d", tt_max_pool2d(p, t, K, S, 1), want, COUNT(want), 0);
	near_check(p, "bf16", tt_max_pool2d(p, tt_cast(p, t, TT_BF16), K, S, 1), want, COUNT(want), 5e-3);
}

static void batch_norm_uses_its_statistics(void **state)
{
	(void)state;
	enum { B = 4, C = 3, HW = 6, N = B * C * HW };
	float x[N], want[N], w[C] = {1, 2, 0.5f}, b[C] = {0, -1, 3}, mean[C] = {0.5f, -2, 1}, var[C] = {1, 4, 0.25f};
	near_fill(x, N, 5, 1);
	for (int i = 0; i < N; i++) {
		int c = i / HW % C;
		want[i] = (float)((x[i] - mean[c]) / sqrt(var[c] + 1e-5) * w[c] + b[c]);
	}
	tt_tensor *tx = tt_from_f32(p, x, TT_SHAPE(B, C, 2, 3)), *tw = tt_from_f32(p, w, TT_SHAPE(C)), *tb = tt_from_f32(p, b, TT_SHAPE(C));
	tt_tensor *tm = tt_from_f32(p, mean, TT_SHAPE(C)), *tv = tt_from_f32(p, var, TT_SHAPE(C));
	near_check(p, "batch_norm", tt_batch_norm(p, tx, tw, tb, tm, tv, 1e-5, 0.1), want, N, 1e-5);
	near_check(p, "bf16", tt_batch_norm(p, tt_cast(p, tx, TT_BF16), tw, tb, tm, tv, 1e-5, 0.1), want, N, 3e-2);
}

static void batch_norm_learns_its_statistics(void **state)
{
	(void)state;
	enum { B = 4, C = 2, HW = 6, N = B * C * HW, EACH = B * HW };
	float x[N], want[N], mean[C] = {0}, square[C] = {0}, moved[C], spread[C];
	near_fill(x, N, 5, 1);
	for (int i = 0; i < N; i++)
		mean[i / HW % C] += x[i] / EACH;
	for (int i = 0; i < N; i++)
		square[i / HW % C] += (x[i] - mean[i / HW % C]) * (x[i] - mean[i / HW % C]) / EACH;
	for (int i = 0; i < N; i++)
		want[i] = (x[i] - mean[i / HW % C]) / sqrtf(square[i / HW % C] + 1e-5f);
	for (int c = 0; c < C; c++) {
		moved[c] = 0.1f * mean[c];
		spread[c] = 0.9f + 0.1f * square[c] * EACH / (EACH - 1);
	}
	tt_pool *t = tt_pool_create(TT_TRAIN);
	tt_tensor *one = tt_full(t, 1, TT_F32, TT_CPU, TT_SHAPE(C)), *zero = tt_full(t, 0, TT_F32, TT_CPU, TT_SHAPE(C));
	tt_tensor *tm = tt_full(t, 0, TT_F32, TT_CPU, TT_SHAPE(C)), *tv = tt_full(t, 1, TT_F32, TT_CPU, TT_SHAPE(C));
	near_check(t, "batch", tt_batch_norm(t, tt_from_f32(t, x, TT_SHAPE(B, C, HW)), one, zero, tm, tv, 1e-5, 0.1), want, N, 1e-4);
	near_check(t, "mean", tm, moved, C, 1e-5);
	near_check(t, "var", tv, spread, C, 1e-5);
	tt_pool_destroy(t);
}

static void products_multiply(void **state)
{
	(void)state;
	enum { B = 2, M = 3, K = 5, N = 4 };
	float a[B * M * K], b[B * K * N], want[B * M * N] = {0};
	near_fill(a, COUNT(a), 1, 1);
	near_fill(b, COUNT(b), 1, 2);
	for (int i = 0; i < B * M * N; i++)
		for (int k = 0; k < K; k++)
			want[i] += a[i / N * K + k] * b[(i / (M * N) * K + k) * N + i % N];
	tt_tensor *x = tt_from_f32(p, a, TT_SHAPE(B, M, K)), *y = tt_from_f32(p, b, TT_SHAPE(B, K, N));
	near_check(p, "matmul", tt_matmul(p, x, y), want, COUNT(want), 1e-5);
	near_check(p, "2d", tt_matmul(p, tt_select(p, x, 0, 1), tt_select(p, y, 0, 1)), want + M * N, M * N, 1e-5);
}

int main(int argc, char **argv)
{
	(void)argc;
	near_start(argv);
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(linear_and_packed_agree),
		T(linear_reads_views),
		T(wrong_shapes_are_named),
		T(half_on_a_cpu_is_refused_clearly),
		T(layer_norm_is_exact),
		T(softmax_sums_to_one),
		T(activations_follow_their_formulas),
		T(activations_keep_what_is_no_number),
		T(dropout_rests_in_inference),
		T(attention_mixes_values),
		T(attention_is_lean),
		T(convolution_slides),
		T(pooling_takes_the_largest),
		T(batch_norm_uses_its_statistics),
		T(batch_norm_learns_its_statistics),
		T(products_multiply),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
