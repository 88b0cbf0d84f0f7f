/* Pools, errors, tensors in and out, shapes and arithmetic of the shim. */
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

static tt_tensor *ramp(int64_t a, int64_t b, int64_t c)
{
	float data[256];
	for (int i = 0; i < (int)COUNT(data); i++)
		data[i] = (float)i;
	assert_true(a * b * c <= (int64_t)COUNT(data));
	return tt_from_f32(p, data, TT_SHAPE(a, b, c));
}

/* ---- process -------------------------------------------------------------------------------------------------------------------------------- */

static void process_answers(void **state)
{
	(void)state;
	assert_true(runtime_cpus() >= 1);
	assert_int_equal(runtime_prepare(0), 0); /* the second time there is nothing left to change */
	assert_non_null(getenv("OMP_WAIT_POLICY"));
	assert_non_null(strchr(tt_version(), '.'));
	assert_true(tt_blas_gflops() > 0.1);
	assert_true(tt_cuda_devices() >= 0);
}

/* ---- errors --------------------------------------------------------------------------------------------------------------------------------- */

static void first_error_sticks(void **state)
{
	(void)state;
	tt_tensor *x = ramp(2, 3, 4), *y = ramp(3, 2, 5);
	assert_int_equal(tt_status_of(p), TT_OK);
	assert_int_equal(tt_error_code(p), E_NONE);
	assert_string_equal(tt_message(p), "");
	assert_null(tt_matmul(p, x, y));
	assert_int_equal(tt_status_of(p), TT_ERROR);
	assert_int_equal(tt_error_code(p), E_MODEL);
	assert_true(strncmp(tt_message(p), "matmul: ", 8) == 0);
	char first[400];
	snprintf(first, sizeof first, "%s", tt_message(p));
	tt_mark m = tt_here(p);
	assert_null(tt_add(p, x, x));
	assert_null(tt_reshape(p, x, TT_SHAPE(7)));
	assert_null(tt_fail(p, "later"));
	assert_int_equal(tt_here(p), m); /* nothing was made */
	assert_string_equal(tt_message(p), first);
	float out[24];
	assert_int_equal(tt_to_f32(p, x, out, 24), -1);
	tt_reset(p);
	assert_int_equal(tt_to_f32(p, x, out, 24), 0);
	assert_true(out[23] == 23);
}

static void libtorch_errors_are_caught(void **state)
{
	(void)state;
	tt_tensor *x = ramp(2, 3, 4);
	assert_null(tt_add(p, x, ramp(1, 3, 5))); /* broadcasting fails inside libtorch */
	assert_int_equal(tt_status_of(p), TT_ERROR);
	assert_true(strncmp(tt_message(p), "add: ", 5) == 0);
	assert_null(strchr(tt_message(p), '\n'));
	tt_reset(p);
	int64_t far[] = {0, 99};
	assert_null(tt_embedding(p, tt_reshape(p, x, TT_SHAPE(6, 4)), tt_from_i64(p, far, TT_SHAPE(2))));
	assert_int_equal(tt_status_of(p), TT_ERROR);
}

static void messages_are_printable(void **state)
{
	(void)state;
	assert_null(tt_fail(p, "tensor %s\nis\x1b[31m odd \xff", "a\tb"));
	assert_string_equal(tt_message(p), "tensor a b is\\x1B[31m odd \\xFF");
	tt_clear(p);
	assert_string_equal(tt_message(p), "");
}

static void null_passes_through(void **state)
{
	(void)state;
	tt_tensor *x = ramp(2, 3, 4), *missing = NULL;
	tt_tensor *y = tt_softmax(p, tt_add(p, tt_linear(p, x, missing, NULL), x), -1);
	assert_null(y);
	assert_int_equal(tt_status_of(p), TT_OK);
	assert_null(tt_cat(p, (tt_tensor *[]){x, NULL}, 2, 0));
	assert_int_equal(tt_ndim(NULL), 0);
	assert_true(tt_size(NULL, 0) == 0 && tt_count(NULL) == 0 && tt_bytes(NULL) == 0);
	float out[1];
	assert_int_equal(tt_to_f32(p, y, out, 1), -1);
	assert_int_equal(tt_status_of(p), TT_ERROR);
	assert_non_null(strstr(tt_message(p), "linear was given none")); /* the op where the hole was */
}

static int stop_now(void *ctx)
{
	++*(int *)ctx;
	return *(int *)ctx >= 3;
}

static void check_cancels(void **state)
{
	(void)state;
	int calls = 0;
	tt_set_check(p, stop_now, &calls);
	tt_tensor *x = ramp(1, 1, 8);
	tt_mark m = tt_here(p);
	int rounds = 0;
	while (tt_status_of(p) == TT_OK && rounds < 10) {
		x = tt_add_scalar(p, x, 1);
		tt_keep(p, m, &x, 1);
		rounds++;
	}
	assert_int_equal(rounds, 3);
	assert_int_equal(tt_status_of(p), TT_CANCELLED);
	assert_int_equal(tt_error_code(p), E_CANCELLED);
	tt_keep(p, m, NULL, 0);
	assert_int_equal(calls, 3); /* a failed pool is not asked again */
	tt_set_check(p, NULL, NULL);
	tt_clear(p);
	tt_keep(p, 0, NULL, 0);
	assert_int_equal(tt_status_of(p), TT_OK);
}

/* ---- lifetime ------------------------------------------------------------------------------------------------------------------------------- */

static int64_t used_now(void)
{
	struct tt_memory m;
	tt_memory_read(TT_CPU, &m);
	return m.used;
}

static void keep_frees_the_rest(void **state)
{
	(void)state;
	enum { N = 1 << 16 };
	int64_t base = used_now();
	tt_tensor *before = tt_full(p, 1, TT_F32, TT_CPU, TT_SHAPE(N));
	tt_mark m = tt_here(p);
	tt_tensor *a = tt_full(p, 2, TT_F32, TT_CPU, TT_SHAPE(N)), *b = tt_add(p, before, a), *c = tt_mul(p, a, b);
	assert_true(used_now() == base + 4 * N * 4);
	tt_keep(p, m, (tt_tensor *[]){NULL, c, before}, 3);
	assert_true(used_now() == base + 2 * N * 4);
	assert_int_equal(tt_here(p), m + 1);
	float out[N];
	assert_int_equal(tt_to_f32(p, c, out, N), 0);
	assert_true(out[0] == 6 && out[N - 1] == 6);
	tt_tensor *row = tt_slice(p, c, 0, 5, 6); /* a view keeps its storage */
	tt_keep(p, m, &row, 1);
	assert_true(used_now() == base + 2 * N * 4);
	assert_int_equal(tt_to_f32(p, row, out, 1), 0);
	assert_true(out[0] == 6);
	tt_clear(p);
	assert_true(used_now() == base);
}

static void shared_tensor_outlives_its_pool(void **state)
{
	(void)state;
	tt_pool *work = tt_pool_create(TT_INFER);
	tt_tensor *made = tt_full(work, 3, TT_F32, TT_CPU, TT_SHAPE(4)), *mine = tt_share(p, made);
	tt_pool_destroy(work);
	near_check(p, "share", mine, (float[]){3, 3, 3, 3}, 4, 0);
}

static void weights_are_never_overwritten(void **state)
{
	(void)state;
	static const float mapped[] = {1, 2, 3, 4}; /* read-only pages: a write would end the test */
	tt_pool *weights = tt_pool_create(TT_INFER);
	tt_tensor *w = tt_full(weights, 2, TT_F32, TT_CPU, TT_SHAPE(4)), *b = tt_borrow(p, mapped, TT_F32, TT_SHAPE(4));
	near_check(p, "foreign", tt_scale_(p, w, 10), (float[]){20, 20, 20, 20}, 4, 0);
	near_check(p, "kept", w, (float[]){2, 2, 2, 2}, 4, 0);
	near_check(p, "borrowed", tt_add_(p, b, w), (float[]){3, 4, 5, 6}, 4, 0);
	near_check(p, "view of borrowed", tt_activate_(p, tt_slice(p, b, 0, 1, 3), TT_RELU), (float[]){2, 3}, 2, 0);
	tt_tensor *own = tt_share(p, tt_add(p, w, b));
	assert_ptr_equal(tt_scale_(p, own, 2), own);
	tt_pool_destroy(weights);
}

/* ---- in and out ----------------------------------------------------------------------------------------------------------------------------- */

static void values_go_in_and_out(void **state)
{
	(void)state;
	float values[] = {0, -1.5f, 2.25f, 1e6f, -3, 0.125f};
	int64_t whole[] = {1, -5, (int64_t)1 << 40};
	tt_tensor *x = tt_from_f32(p, values, TT_SHAPE(2, 3)), *n = tt_from_i64(p, whole, TT_SHAPE(3));
	near_check(p, "f32", x, values, 6, 0);
	int64_t back[3];
	assert_int_equal(tt_to_i64(p, n, back, 3), 0);
	assert_memory_equal(back, whole, sizeof whole);
	assert_int_equal(tt_to_f32(p, x, values, 5), -1); /* a wrong count */
	assert_int_equal(tt_status_of(p), TT_ERROR);
	tt_reset(p);
	assert_int_equal(tt_ndim(x), 2);
	assert_true(tt_size(x, 1) == 3 && tt_size(x, -2) == 2 && tt_size(x, 2) == 0 && tt_count(x) == 6 && tt_bytes(n) == 24);
	assert_int_equal(tt_dtype_of(n), TT_I64);
	assert_int_equal(tt_device_of(x), TT_CPU);
	near_check(p, "scalar", tt_full(p, 7, TT_F64, TT_CPU, TT_SCALAR), (float[]){7}, 1, 0);
	near_check(p, "arange", tt_arange(p, 4, TT_CPU), (float[]){0, 1, 2, 3}, 4, 0);
	assert_int_equal(tt_count(tt_from_f32(p, NULL, TT_SHAPE(0, 5))), 0);
	assert_int_equal(tt_status_of(p), TT_OK);
}

static void dtypes_convert(void **state)
{
	(void)state;
	float values[] = {0, 1, 255, 3};
	tt_tensor *x = tt_from_f32(p, values, TT_SHAPE(4));
	for (int d = TT_F32; d <= TT_F64; d++) {
		tt_tensor *y = tt_cast(p, x, (enum tt_dtype)d);
		assert_int_equal(tt_dtype_of(y), d);
		near_check(p, "cast", y, d == TT_BOOL ? (float[]){0, 1, 1, 1} : values, 4, 0);
	}
	assert_ptr_equal(tt_cast(p, x, TT_F32), x);
	assert_ptr_equal(tt_to(p, x, TT_F32, TT_CPU), x);
	assert_null(tt_to(p, x, TT_F32, 63)); /* no such device */
	assert_non_null(strstr(tt_message(p), "no CUDA device 63"));
}

static void borrowed_data_may_be_unaligned(void **state)
{
	(void)state;
	char raw[4 + 3 * 4 + 64];
	float values[] = {1, 2, 3};
	memcpy(raw + 4, values, sizeof values); /* aligned to a float, to nothing wider */
	tt_tensor *x = tt_borrow(p, raw + 4, TT_F32, TT_SHAPE(3));
	near_check(p, "borrow", tt_add(p, x, x), (float[]){2, 4, 6}, 3, 0);
}

static void bad_shapes_are_refused(void **state)
{
	(void)state;
	float value = 1;
	int64_t many[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
	assert_null(tt_from_f32(p, &value, many, 9));
	tt_reset(p);
	assert_null(tt_from_f32(p, &value, TT_SHAPE(-1)));
	assert_int_equal(tt_status_of(p), TT_ERROR);
	tt_reset(p);
	assert_null(tt_full(p, 0, TT_F32, TT_CPU, TT_SHAPE((int64_t)1 << 40, (int64_t)1 << 40)));
	assert_int_not_equal(tt_status_of(p), TT_OK);
	tt_reset(p);
	tt_tensor *x = ramp(2, 3, 4);
	assert_null(tt_slice(p, x, 0, 1, 3));
	tt_reset(p);
	assert_null(tt_select(p, x, 3, 0));
	tt_reset(p);
	assert_null(tt_reshape(p, x, TT_SHAPE(5, -1)));
	tt_reset(p);
	assert_null(tt_permute(p, x, TT_SHAPE(0, 1)));
	assert_int_equal(tt_status_of(p), TT_ERROR);
}

static void random_numbers_follow_the_seed(void **state)
{
	(void)state;
	enum { N = 4096 };
	static float a[N], b[N];
	tt_seed(7);
	assert_int_equal(tt_to_f32(p, tt_randn(p, 2, TT_SHAPE(N)), a, N), 0);
	tt_seed(7);
	assert_int_equal(tt_to_f32(p, tt_randn(p, 2, TT_SHAPE(N)), b, N), 0);
	assert_memory_equal(a, b, sizeof a);
	double sum = 0, square = 0;
	for (int i = 0; i < N; i++) {
		sum += a[i];
		square += (double)a[i] * a[i];
	}
	assert_true(fabs(sum / N) < 0.15 && fabs(sqrt(square / N) - 2) < 0.15);
}

/* ---- shapes --------------------------------------------------------------------------------------------------------------------------------- */

static void shapes_move_as_told(void **state)
{
	(void)state;
	tt_tensor *x = ramp(2, 3, 4), *t = tt_transpose(p, x, 0, -1), *q = tt_permute(p, x, TT_SHAPE(1, 2, 0));
	float want_t[24], want_q[24];
	for (int i = 0; i < 2; i++)
		for (int j = 0; j < 3; j++)
			for (int k = 0; k < 4; k++) {
				want_t[(k * 3 + j) * 2 + i] = (float)((i * 3 + j) * 4 + k);
				want_q[(j * 4 + k) * 2 + i] = (float)((i * 3 + j) * 4 + k);
			}
	near_check(p, "transpose", t, want_t, 24, 0);
	near_check(p, "permute", q, want_q, 24, 0);
	near_check(p, "reshape of a view", tt_reshape(p, q, TT_SHAPE(-1, 2)), want_q, 24, 0);
	near_check(p, "contiguous", tt_contiguous(p, q), want_q, 24, 0);
	near_check(p, "slice", tt_slice(p, tt_select(p, x, 0, 1), 1, 1, 3), (float[]){13, 14, 17, 18, 21, 22}, 6, 0);
	near_check(p, "expand", tt_expand(p, tt_slice(p, tt_select(p, x, 0, -1), 1, 3, 4), TT_SHAPE(3, 2)), (float[]){15, 15, 19, 19, 23, 23}, 6, 0);
}

static void rows_are_picked(void **state)
{
	(void)state;
	tt_tensor *x = tt_reshape(p, ramp(1, 3, 2), TT_SHAPE(3, 2));
	int64_t ids[] = {2, 0, 2, 1};
	tt_tensor *index = tt_from_i64(p, ids, TT_SHAPE(4)), *pairs = tt_reshape(p, index, TT_SHAPE(2, 2));
	const float want[] = {4, 5, 0, 1, 4, 5, 2, 3};
	near_check(p, "index_select", tt_index_select(p, x, 0, index), want, 8, 0);
	tt_tensor *e = tt_embedding(p, x, pairs);
	assert_int_equal(tt_ndim(e), 3);
	near_check(p, "embedding", e, want, 8, 0);
	near_check(p, "gather", tt_gather(p, x, 0, pairs), (float[]){4, 1, 4, 3}, 4, 0);
	near_check(p, "cat", tt_cat(p, (tt_tensor *[]){x, tt_scale(p, x, -1)}, 2, 1), (float[]){0, 1, 0, -1, 2, 3, -2, -3, 4, 5, -4, -5}, 12, 0);
	assert_null(tt_cat(p, NULL, 0, 0));
	assert_int_equal(tt_status_of(p), TT_ERROR);
}

/* ---- arithmetic ----------------------------------------------------------------------------------------------------------------------------- */

enum { ROWS = 5, COLS = 7, CELLS = ROWS * COLS };
static float left[CELLS], right[CELLS], want[CELLS];

/* want[i] = expression over a = left[i], b = right[i] */
#define EXPECT(expression)                             \
	for (int i = 0; i < CELLS; i++) {              \
		const float a = left[i], b = right[i]; \
		(void)a, (void)b;                      \
		want[i] = (float)(expression);         \
	}

static void elements_compute(void **state)
{
	(void)state;
	near_fill(left, CELLS, 2, 1);
	near_fill(right, CELLS, 3, 2);
	tt_tensor *x = tt_from_f32(p, left, TT_SHAPE(ROWS, COLS)), *y = tt_from_f32(p, right, TT_SHAPE(ROWS, COLS));
	EXPECT(a + b);
	near_check(p, "add", tt_add(p, x, y), want, CELLS, 1e-6);
	near_check(p, "add_", tt_add_(p, tt_scale(p, x, 1), y), want, CELLS, 1e-6);
	EXPECT(a - b);
	near_check(p, "sub", tt_sub(p, x, y), want, CELLS, 1e-6);
	EXPECT(a * b);
	near_check(p, "mul", tt_mul(p, x, y), want, CELLS, 1e-6);
	near_check(p, "mul_", tt_mul_(p, tt_scale(p, x, 1), y), want, CELLS, 1e-6);
	EXPECT(a / b);
	near_check(p, "div", tt_div(p, x, y), want, CELLS, 1e-6);
	EXPECT(a * 2.5f);
	near_check(p, "scale", tt_scale(p, x, 2.5), want, CELLS, 1e-6);
	EXPECT(a - 0.5f);
	near_check(p, "add_scalar", tt_add_scalar(p, x, -0.5), want, CELLS, 1e-6);
	EXPECT(exp(a));
	near_check(p, "exp", tt_exp(p, x), want, CELLS, 1e-6);
	EXPECT(fmin(fmax(a, -1), 0.5));
	near_check(p, "clamp", tt_clamp(p, x, -1, 0.5), want, CELLS, 1e-6);
	near_check(p, "clamp_", tt_clamp_(p, tt_scale(p, x, 1), -1, 0.5), want, CELLS, 1e-6);
	near_check(p, "left alone", x, left, CELLS, 0);
}

static void masks_choose(void **state)
{
	(void)state;
	near_fill(left, CELLS, 2, 3);
	near_fill(right, CELLS, 3, 4);
	for (int i = 0; i < CELLS; i += 3)
		left[i] = 1;
	tt_tensor *x = tt_from_f32(p, left, TT_SHAPE(ROWS, COLS)), *y = tt_from_f32(p, right, TT_SHAPE(ROWS, COLS)), *mask = tt_eq_scalar(p, x, 1);
	assert_int_equal(tt_dtype_of(mask), TT_BOOL);
	EXPECT(a == 1 ? b : a);
	near_check(p, "where", tt_where(p, mask, y, x), want, CELLS, 0);
	EXPECT(a == 1 ? -INFINITY : a);
	float got[CELLS];
	assert_int_equal(tt_to_f32(p, tt_masked_fill(p, x, mask, -INFINITY), got, CELLS), 0);
	assert_memory_equal(got, want, sizeof got);
	assert_null(tt_where(p, x, y, x)); /* a mask that is none */
	assert_int_equal(tt_status_of(p), TT_ERROR);
}

static void rows_reduce(void **state)
{
	(void)state;
	near_fill(left, CELLS, 2, 5);
	float sums[COLS] = {0}, best[ROWS], mean = 0;
	for (int i = 0; i < ROWS; i++) {
		double norm = 0;
		int at = 0;
		for (int j = 0; j < COLS; j++) {
			float v = left[i * COLS + j];
			sums[j] += v;
			mean += v / CELLS;
			norm += (double)v * v;
			at = v > left[i * COLS + at] ? j : at;
		}
		best[i] = (float)at;
		for (int j = 0; j < COLS; j++)
			want[i * COLS + j] = (float)(left[i * COLS + j] / sqrt(norm));
	}
	tt_tensor *x = tt_from_f32(p, left, TT_SHAPE(ROWS, COLS));
	near_check(p, "sum", tt_sum(p, x, 0, false), sums, COLS, 1e-6);
	assert_int_equal(tt_ndim(tt_sum(p, x, 0, true)), 2);
	near_check(p, "mean", tt_mean(p, x), &mean, 1, 1e-6);
	near_check(p, "argmax", tt_argmax(p, x, -1), best, ROWS, 0);
	near_check(p, "normalize", tt_normalize(p, x), want, CELLS, 1e-6);
	near_check(p, "normalize zeros", tt_normalize(p, tt_full(p, 0, TT_BF16, TT_CPU, TT_SHAPE(2))), (float[]){0, 0}, 2, 0);
}

static void dtypes_promote(void **state)
{
	(void)state;
	tt_tensor *x = tt_full(p, 1.5, TT_BF16, TT_CPU, TT_SHAPE(3)), *y = tt_full(p, 0.25, TT_F32, TT_CPU, TT_SHAPE(3));
	assert_int_equal(tt_dtype_of(tt_add(p, x, y)), TT_F32);
	assert_int_equal(tt_dtype_of(tt_add_(p, x, y)), TT_BF16);
	assert_int_equal(tt_dtype_of(tt_normalize(p, x)), TT_BF16);
	near_check(p, "in place", x, (float[]){1.75f, 1.75f, 1.75f}, 3, 0);
}

static void training_pool_changes_nothing_in_place(void **state)
{
	(void)state;
	tt_pool *t = tt_pool_create(TT_TRAIN);
	tt_tensor *x = tt_full(t, 2, TT_F32, TT_CPU, TT_SHAPE(2));
	near_check(t, "scaled", tt_scale_(t, x, 3), (float[]){6, 6}, 2, 0);
	near_check(t, "as it was", x, (float[]){2, 2}, 2, 0);
	assert_int_equal(tt_dtype_of(tt_mul_(t, tt_cast(t, x, TT_BF16), x)), TT_BF16);
	tt_pool_destroy(t);
}

int main(int argc, char **argv)
{
	(void)argc;
	near_start(argv);
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(process_answers),
		T(first_error_sticks),
		T(libtorch_errors_are_caught),
		T(messages_are_printable),
		T(null_passes_through),
		T(check_cancels),
		T(keep_frees_the_rest),
		T(shared_tensor_outlives_its_pool),
		T(weights_are_never_overwritten),
		T(values_go_in_and_out),
		T(dtypes_convert),
		T(borrowed_data_may_be_unaligned),
		T(bad_shapes_are_refused),
		T(random_numbers_follow_the_seed),
		T(shapes_move_as_told),
		T(rows_are_picked),
		T(elements_compute),
		T(masks_choose),
		T(rows_reduce),
		T(dtypes_promote),
		T(training_pool_changes_nothing_in_place),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
