/* Training: gradients against finite differences, AdamW against a plain one, a small problem that must be learned. */
#include "tests/torch/near.h"

#include <string.h>

static tt_pool *p;

static int setup(void **state)
{
	(void)state;
	p = tt_pool_create(TT_TRAIN);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	tt_pool_destroy(p);
	return 0;
}

/* ---- gradients ------------------------------------------------------------------------------------------------------------------------------ */

enum { N = 3, L = 4, D = 8, H = 2, CLASSES = 5 };

/* All parameters of the small network in one array, so that each number can be moved. */
enum {
	EMBED = 0,
	QKV = EMBED + 6 * D,
	QKV_BIAS = QKV + 3 * D * D,
	NORM_W = QKV_BIAS + 3 * D,
	NORM_B = NORM_W + D,
	HEADS = NORM_B + D,
	BIAS = HEADS + H,
	OUT = BIAS + H * L * L,
	COUNT_ALL = OUT + CLASSES * D
};

static const int64_t ids[N * L] = {0, 1, 2, 3, 5, 4, 3, 2, 1, 1, 0, 5}, targets[N] = {1, 4, 0};

static tt_tensor *part(tt_pool *pool, tt_tensor *all, int64_t from, const int64_t *shape, int ndim)
{
	int64_t n = 1;
	for (int i = 0; i < ndim; i++)
		n *= shape[i];
	return tt_reshape(pool, tt_slice(pool, all, 0, from, from + n), shape, ndim);
}

static tt_tensor *heads_of(tt_pool *pool, tt_tensor *qkv, int64_t which)
{
	tt_tensor *x = tt_slice(pool, qkv, 2, which * D, (which + 1) * D);
	return tt_transpose(pool, tt_reshape(pool, x, TT_SHAPE(N, L, H, D / H)), 1, 2);
}

/* embedding, layer norm, linear, attention with everything, gelu, quick gelu, softmax loss */
static tt_tensor *loss_of(tt_pool *pool, tt_tensor *all)
{
	tt_tensor *x = tt_embedding(pool, part(pool, all, EMBED, TT_SHAPE(6, D)), tt_from_i64(pool, ids, TT_SHAPE(N, L)));
	tt_tensor *y = tt_layer_norm(pool, x, part(pool, all, NORM_W, TT_SHAPE(D)), part(pool, all, NORM_B, TT_SHAPE(D)), 1e-5, TT_F32);
	tt_tensor *qkv = tt_linear(pool, y, part(pool, all, QKV, TT_SHAPE(3 * D, D)), part(pool, all, QKV_BIAS, TT_SHAPE(3 * D)));
	y = tt_attention(pool, heads_of(pool, qkv, 0), heads_of(pool, qkv, 1), heads_of(pool, qkv, 2), 0.5,
			 part(pool, all, BIAS, TT_SHAPE(1, H, L, L)), true, part(pool, all, HEADS, TT_SHAPE(H)));
	x = tt_add_(pool, x, tt_activate_(pool, y, TT_GELU));
	x = tt_normalize(pool, tt_activate_(pool, tt_select(pool, x, 1, -1), TT_QUICK_GELU));
	tt_tensor *logits = tt_scale_(pool, tt_linear(pool, x, part(pool, all, OUT, TT_SHAPE(CLASSES, D)), NULL), 3);
	return tt_cross_entropy(pool, logits, tt_from_i64(pool, targets, TT_SHAPE(N)), -100, 0.1);
}

static double loss_at(float *values)
{
	float loss;
	assert_int_equal(tt_to_f32(p, loss_of(p, tt_from_f32(p, values, TT_SHAPE(COUNT_ALL))), &loss, 1), 0);
	return (double)loss;
}

static void gradients_agree_with_differences(void **state)
{
	(void)state;
	float values[COUNT_ALL], moved[COUNT_ALL], gradient[COUNT_ALL];
	near_fill(values, COUNT_ALL, 1, 1);
	memcpy(moved, values, sizeof values);
	tt_tensor *all = tt_parameter(p, tt_from_f32(p, values, TT_SHAPE(COUNT_ALL)));
	tt_tensor *loss = loss_of(p, all);
	assert_int_equal(tt_backward(p, loss), 0);
	/* the optimizer at work: with beta1 = 0 and a huge eps one step moves each number by rate * gradient / eps */
	struct tt_adamw *o = tt_adamw_create(&all, 1, 0, 0, 1e6, 0);
	char message[200];
	double norm = tt_adamw_step(o, 1e6, 0, message, sizeof message);
	tt_adamw_destroy(o);
	assert_int_equal(tt_to_f32(p, all, gradient, COUNT_ALL), 0);
	double square = 0, largest = 0;
	for (int i = 0; i < COUNT_ALL; i++) {
		gradient[i] = values[i] - gradient[i];
		square += (double)gradient[i] * gradient[i];
		largest = fmax(largest, fabs((double)gradient[i]));
	}
	assert_true(fabs(sqrt(square) - norm) < 1e-4 && largest > 0.05);
	const float step = 5e-3f;
	for (int i = 0; i < COUNT_ALL; i++) {
		moved[i] = values[i] + step;
		double up = loss_at(moved);
		moved[i] = values[i] - step;
		double down = loss_at(moved);
		moved[i] = values[i];
		double expected = (up - down) / (2 * (double)step);
		if (fabs(expected - gradient[i]) > 1e-3 + 1e-2 * fabs(expected))
			fail_msg("parameter %d: gradient %g, by differences %g", i, (double)gradient[i], expected);
		tt_keep(p, 0, (tt_tensor *[]){all}, 1);
	}
}

static void cross_entropy_matches_its_formula(void **state)
{
	(void)state;
	enum { ROWS = 4, C = 3 };
	float x[ROWS * C];
	int64_t target[ROWS] = {2, -1, 0, 1};
	near_fill(x, COUNT(x), 3, 1);
	double total = 0;
	const double smoothing = 0.2;
	for (int r = 0; r < ROWS; r++) {
		double sum = 0, mean = 0;
		for (int c = 0; c < C; c++)
			sum += exp(x[r * C + c]);
		for (int c = 0; c < C; c++)
			mean += (log(sum) - x[r * C + c]) / C;
		if (target[r] >= 0)
			total += (1 - smoothing) * (log(sum) - x[r * C + target[r]]) + smoothing * mean;
	}
	float want = (float)(total / 3); /* one row is ignored */
	tt_tensor *loss = tt_cross_entropy(p, tt_from_f32(p, x, TT_SHAPE(ROWS, C)), tt_from_i64(p, target, TT_SHAPE(ROWS)), -1, smoothing);
	near_check(p, "cross_entropy", loss, &want, 1, 1e-5);
}

static void backward_says_what_is_wrong(void **state)
{
	(void)state;
	tt_tensor *x = tt_full(p, 1, TT_F32, TT_CPU, TT_SHAPE(3));
	assert_int_equal(tt_backward(p, x), -1);
	assert_string_equal(tt_message(p), "backward: the loss is a scalar, not [3]");
	tt_reset(p);
	assert_int_equal(tt_backward(p, tt_mean(p, x)), -1);
	assert_non_null(strstr(tt_message(p), "depends on no parameter"));
	tt_reset(p);
	assert_int_equal(tt_backward(p, NULL), -1);
	tt_pool *inference = tt_pool_create(TT_INFER);
	assert_null(tt_parameter(inference, x));
	assert_int_equal(tt_status_of(inference), TT_ERROR);
	tt_pool_destroy(inference);
}

/* ---- AdamW ---------------------------------------------------------------------------------------------------------------------------------- */

struct plain_adamw {
	double x[6], m[6], v[6];
	double decay;
};

static void plain_step(struct plain_adamw *o, const double *g, int t, double rate)
{
	for (int i = 0; i < 6; i++) {
		o->m[i] = 0.9 * o->m[i] + 0.1 * g[i];
		o->v[i] = 0.98 * o->v[i] + 0.02 * g[i] * g[i];
		double m = o->m[i] / (1 - pow(0.9, t)), v = o->v[i] / (1 - pow(0.98, t));
		o->x[i] -= rate * (m / (sqrt(v) + 1e-6) + o->decay * o->x[i]);
	}
}

/* loss = sum c x^2 / 6 over both parameters, so the gradient is c x / 3; the matrix decays, the vector does not */
static void adamw_matches_a_plain_one(void **state)
{
	(void)state;
	const float start[6] = {1, -2, 3, 0.5f, -0.25f, 4}, curve[6] = {1, 2, 0.5f, 3, 1, 0.1f};
	struct plain_adamw matrix = {.decay = 0.1}, vector = {.decay = 0};
	for (int i = 0; i < 6; i++)
		matrix.x[i] = vector.x[i] = start[i];
	tt_tensor *c = tt_from_f32(p, curve, TT_SHAPE(6));
	tt_tensor *parameters[] = {tt_parameter(p, tt_from_f32(p, start, TT_SHAPE(2, 3))), tt_parameter(p, tt_from_f32(p, start, TT_SHAPE(6)))};
	struct tt_adamw *o = tt_adamw_create(parameters, 2, 0.9, 0.98, 1e-6, 0.1);
	char message[200];
	tt_mark m = tt_here(p);
	for (int t = 1; t <= 20; t++) {
		double rate = 0.05 / t, norm = 0, g[2][6];
		for (int i = 0; i < 6; i++) {
			g[0][i] = curve[i] * matrix.x[i] / 3;
			g[1][i] = curve[i] * vector.x[i] / 3;
			norm += g[0][i] * g[0][i] + g[1][i] * g[1][i];
		}
		norm = sqrt(norm);
		for (int i = 0; i < 6 && norm > 1.5; i++) {
			g[0][i] *= 1.5 / norm;
			g[1][i] *= 1.5 / norm;
		}
		plain_step(&matrix, g[0], t, rate);
		plain_step(&vector, g[1], t, rate);
		tt_tensor *a = tt_reshape(p, parameters[0], TT_SHAPE(6)), *b = parameters[1];
		tt_tensor *loss = tt_mean(p, tt_mul(p, c, tt_add(p, tt_mul(p, a, a), tt_mul(p, b, b))));
		assert_int_equal(tt_backward(p, loss), 0);
		double got = tt_adamw_step(o, rate, 1.5, message, sizeof message);
		assert_true(fabs(got - norm) < 1e-5 * (1 + norm));
		tt_keep(p, m, NULL, 0);
	}
	for (int i = 0; i < 2; i++) {
		float want[6];
		for (int j = 0; j < 6; j++)
			want[j] = (float)(i ? vector : matrix).x[j];
		near_check(p, "after 20 steps", parameters[i], want, 6, 1e-5);
	}
	tt_adamw_destroy(o);
}

static void adamw_leaves_out_what_is_not_finite(void **state)
{
	(void)state;
	tt_tensor *x = tt_parameter(p, tt_full(p, 1, TT_F32, TT_CPU, TT_SHAPE(2))),
		  *unused = tt_parameter(p, tt_full(p, 3, TT_F32, TT_CPU, TT_SHAPE(2, 2)));
	struct tt_adamw *o = tt_adamw_create((tt_tensor *[]){x, unused}, 2, 0.9, 0.99, 1e-8, 0.5);
	char message[200] = "";
	assert_int_equal(tt_backward(p, tt_mean(p, tt_scale(p, x, INFINITY))), 0);
	assert_true(tt_adamw_step(o, 0.1, 1, message, sizeof message) == -1);
	assert_non_null(strstr(message, "not finite"));
	near_check(p, "untouched", x, (float[]){1, 1}, 2, 0);
	assert_int_equal(tt_backward(p, tt_mean(p, x)), 0); /* the bad gradients are gone */
	assert_true(fabs(tt_adamw_step(o, 0.1, 0, message, sizeof message) - sqrt(0.5)) < 1e-6);
	near_check(p, "stepped", x, (float[]){0.9f, 0.9f}, 2, 1e-5);
	near_check(p, "without gradient", unused, (float[]){3, 3, 3, 3}, 4, 0);
	tt_adamw_destroy(o);
	assert_null(tt_adamw_create((tt_tensor *[]){NULL}, 1, 0.9, 0.99, 1e-8, 0));
	assert_null(tt_adamw_create((tt_tensor *[]){tt_mean(p, x)}, 1, 0.9, 0.99, 1e-8, 0)); /* no leaf: it has no gradient of its own */
}

static void weights_of_an_inference_pool_can_be_trained(void **state)
{
	(void)state;
	tt_pool *loaded = tt_pool_create(TT_INFER);
	tt_tensor *w = tt_full(loaded, 2, TT_F32, TT_CPU, TT_SHAPE(3)), *trained = tt_parameter(p, w);
	assert_int_equal(tt_backward(p, tt_mean(p, tt_mul(p, trained, trained))), 0);
	struct tt_adamw *o = tt_adamw_create(&trained, 1, 0.9, 0.99, 1e-8, 0);
	char message[200];
	assert_true(tt_adamw_step(o, 0.5, 0, message, sizeof message) > 0);
	near_check(loaded, "the same storage", w, (float[]){1.5f, 1.5f, 1.5f}, 3, 1e-5);
	near_check(loaded, "read by inference", tt_scale(loaded, trained, 2), (float[]){3, 3, 3}, 3, 1e-5);
	tt_adamw_destroy(o);
	tt_pool_destroy(loaded);
}

/* Two layers learn the parity of two bits; memory stays level over the steps. */
static void parity_is_learned(void **state)
{
	(void)state;
	enum { HIDDEN = 16 };
	const float in[] = {0, 0, 0, 1, 1, 0, 1, 1};
	const int64_t parity[] = {0, 1, 1, 0};
	tt_tensor *parameters[] = {tt_parameter(p, tt_randn(p, 1, TT_SHAPE(HIDDEN, 2))),
				   tt_parameter(p, tt_full(p, 0, TT_F32, TT_CPU, TT_SHAPE(HIDDEN))),
				   tt_parameter(p, tt_randn(p, 0.5, TT_SHAPE(2, HIDDEN)))};
	tt_tensor *x = tt_from_f32(p, in, TT_SHAPE(4, 2)), *target = tt_from_i64(p, parity, TT_SHAPE(4)), *logits = NULL;
	struct tt_adamw *o = tt_adamw_create(parameters, 3, 0.9, 0.99, 1e-8, 0.01);
	tt_mark m = tt_here(p);
	struct tt_memory early = {0}, late;
	char message[200];
	for (int i = 0; i < 300; i++) {
		tt_keep(p, m, NULL, 0);
		logits = tt_linear(p, tt_activate_(p, tt_linear(p, x, parameters[0], parameters[1]), TT_TANH), parameters[2], NULL);
		assert_int_equal(tt_backward(p, tt_cross_entropy(p, logits, target, -100, 0)), 0);
		assert_true(tt_adamw_step(o, 0.02, 1, message, sizeof message) >= 0);
		if (i == 10)
			tt_memory_read(TT_CPU, &early);
	}
	tt_memory_read(TT_CPU, &late);
	assert_true(late.used == early.used);
	near_check(p, "answers", tt_argmax(p, logits, 1), (float[]){0, 1, 1, 0}, 4, 0);
	tt_adamw_destroy(o);
}

int main(int argc, char **argv)
{
	(void)argc;
	near_start(argv);
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(gradients_agree_with_differences),
		T(cross_entropy_matches_its_formula),
		T(backward_says_what_is_wrong),
		T(adamw_matches_a_plain_one),
		T(adamw_leaves_out_what_is_not_finite),
		T(weights_of_an_inference_pool_can_be_trained),
		T(parity_is_learned),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
