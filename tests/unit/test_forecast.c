/* The forecast's arithmetic: sums, what measuring teaches, the settings to begin with. */
#include "core/forecast.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

/* ---- sums */

static void test_sums(void **state)
{
	const struct forecast models[] = {
		{.weights = 100, .activations = 30, .kv = 0, .together = 30},
		{.weights = 200, .activations = 50, .kv = 20, .together = 60},
		{.weights = 0, .mapped = 400, .activations = 45},
	};

	assert_int_equal(forecast_run(&models[1]), 60);
	assert_int_equal(forecast_run(&models[2]), 45); /* not told apart: the sum */
	assert_int_equal(forecast_used(models, 3, true), 360);
	assert_int_equal(forecast_used(models, 3, false), 435);
	assert_int_equal(forecast_used(models, 0, true), 0);
}

static void test_tokens(void **state)
{
	int before = 0;

	for (size_t bytes = 0; bytes < 20000; bytes += 7) {
		int tokens = forecast_tokens(bytes);

		assert_true(tokens >= 1 && tokens >= before && tokens <= 1100);
		before = tokens;
	}
	assert_in_range(forecast_tokens(strlen("a red bicycle leaning against a brick wall")), 10, 14);
}

/* ---- learning */

static void test_nothing_known(void **state)
{
	struct forecast_learned l = {0};
	const struct forecast raw = {.weights = 7, .mapped = 8, .activations = 900, .kv = 100, .together = 950};
	struct forecast f = forecast_corrected(&l, MODEL_NLI, PRECISION_FP32, &raw);

	assert_float_equal(forecast_correction(&l, MODEL_NLI, PRECISION_FP32), 1, 0);
	assert_memory_equal(&f, &raw, sizeof f);
}

/* One batch is enough to correct the other batches and precisions of that model, and nothing else. */
static void test_one_batch_teaches(void **state)
{
	struct forecast_learned l = {0};
	const struct forecast raw = {.weights = 7, .mapped = 8, .activations = 1000, .kv = 100, .together = 1050};
	struct forecast f;

	forecast_learn(&l, MODEL_SCORES, PRECISION_FP32, 1000, 1200);
	assert_float_equal(forecast_correction(&l, MODEL_SCORES, PRECISION_FP32), 1.2, 1e-9);
	assert_float_equal(forecast_correction(&l, MODEL_SCORES, PRECISION_BF16), 1.2, 1e-9);
	assert_float_equal(forecast_correction(&l, MODEL_CAPTION, PRECISION_FP32), 1, 0);
	f = forecast_corrected(&l, MODEL_SCORES, PRECISION_BF16, &raw);
	assert_int_equal(f.weights, 7);
	assert_int_equal(f.mapped, 8);
	assert_int_equal(f.kv, 100);
	assert_in_range(f.activations, 1199, 1200);
	assert_in_range(f.together, 1259, 1260);
	forecast_learn(&l, MODEL_SCORES, PRECISION_BF16, 1000, 800); /* from now on bf16 knows better */
	assert_float_equal(forecast_correction(&l, MODEL_SCORES, PRECISION_BF16), 0.8, 1e-9);
	assert_float_equal(forecast_correction(&l, MODEL_SCORES, PRECISION_FP32), 1.2, 1e-9);
	assert_float_equal(forecast_correction(&l, MODEL_SCORES, PRECISION_FP16), 1.0, 1e-9); /* between the two */
}

static void test_odd_batches_do_not_matter(void **state)
{
	struct forecast_learned l = {0};

	for (int i = 0; i < 5; i++)
		forecast_learn(&l, MODEL_CAPTION, PRECISION_FP32, 1000, 1100);
	forecast_learn(&l, MODEL_CAPTION, PRECISION_FP32, 1000, 9000);
	forecast_learn(&l, MODEL_CAPTION, PRECISION_FP32, 1000, 10);
	forecast_learn(&l, MODEL_CAPTION, PRECISION_FP32, 1000, 3000);
	assert_float_equal(forecast_correction(&l, MODEL_CAPTION, PRECISION_FP32), 1.1, 1e-9);
	for (int i = 0; i < FORECAST_KEPT; i++) /* but what stays so is believed */
		forecast_learn(&l, MODEL_CAPTION, PRECISION_FP32, 1000, 2000);
	assert_float_equal(forecast_correction(&l, MODEL_CAPTION, PRECISION_FP32), 2, 1e-9);
}

static void test_bounds(void **state)
{
	struct forecast_learned l = {0};

	forecast_learn(&l, MODEL_NLI, PRECISION_FP32, 0, 100);
	forecast_learn(&l, MODEL_NLI, PRECISION_FP32, 100, 0);
	forecast_learn(&l, MODEL_NLI, PRECISION_FP32, 100, -100);
	assert_float_equal(forecast_correction(&l, MODEL_NLI, PRECISION_FP32), 1, 0);
	forecast_learn(&l, MODEL_NLI, PRECISION_FP32, 1, INT64_MAX);
	assert_float_equal(forecast_correction(&l, MODEL_NLI, PRECISION_FP32), 4, 0);
	forecast_learn(&l, MODEL_NLI, PRECISION_BF16, INT64_MAX, 1);
	assert_float_equal(forecast_correction(&l, MODEL_NLI, PRECISION_BF16), 0.25, 0);
}

/* ---- advice. A device with models of so many bytes of weights, and runs of so many a picture at 480 pixels in fp32. */

struct models {
	int64_t weights, run;
	bool mapped; /* fp32 weights cost nothing */
	int asked;
};

static int64_t used(void *ctx, const struct forecast_setting *s)
{
	struct models *m = ctx;
	int side = s->image_size > 0 ? s->image_size : 224;
	bool half = s->precision == PRECISION_BF16 || s->precision == PRECISION_FP16;

	m->asked++;
	assert_true(s->batch >= 1 && s->precision != PRECISION_AUTO);
	return (half ? m->weights / 2 : m->mapped ? 0 : m->weights) + m->run * s->batch * side * side / (480 * 480) / (half ? 2 : 1);
}

static struct forecast_advice advise(struct models *m, int64_t total, int64_t limit, bool bf16)
{
	const struct forecast_wish w = {
		.device_total = total,
		.limit = limit,
		.bf16 = bf16,
		.image_own = 480,
		.image_step = 16,
		.image_max = 672,
		.used = used,
		.ctx = m,
	};
	struct forecast_advice a;

	m->asked = 0;
	a = forecast_advise(&w);
	assert_true(m->asked < 16);
	assert_true(a.used == used(m, &a.setting));
	assert_int_equal(a.fits, a.used <= limit);
	return a;
}

static void is_setting(const struct forecast_advice *a, int batch, int image_size, enum precision precision)
{
	if (a->setting.batch != batch || a->setting.image_size != image_size || a->setting.precision != precision)
		fail_msg("batch %d, %d pixels, precision %d: %s", a->setting.batch, a->setting.image_size, (int)a->setting.precision, a->why);
}

static void test_usual_settings(void **state)
{
	struct models small = {1000000, 1000000, false, 0};
	const int64_t card = (int64_t)1 << 30;
	struct forecast_advice a = advise(&small, 4 * card, card, true);

	is_setting(&a, 1, 384, PRECISION_FP32);
	a = advise(&small, 6 * card - card / 8, card, true); /* what a card of "6 GB" tells */
	is_setting(&a, 2, 512, PRECISION_AUTOCAST);
	a = advise(&small, 12 * card - card / 4, card, true);
	is_setting(&a, 4, 672, PRECISION_AUTOCAST); /* 768 is more than the model takes */
	a = advise(&small, 140 * card, card, true);
	is_setting(&a, 4, 672, PRECISION_AUTOCAST);
	assert_non_null(strstr(a.why, "usual"));
	assert_non_null(strstr(a.why, "batch 4, 672 pixels and autocast"));
	a = advise(&small, 16 * card, card, false); /* no good at half precision */
	is_setting(&a, 4, 672, PRECISION_FP32);
}

/* Batch, then image size, then precision, as the ladder does; no further than needed. */
static void test_lowered_until_it_fits(void **state)
{
	struct models m = {1000, 1000, false, 0};
	const int64_t total = (int64_t)16 << 30;
	struct forecast_advice a;

	a = advise(&m, total, 1000 + 4000, true);
	is_setting(&a, 2, 672, PRECISION_AUTOCAST);
	assert_non_null(strstr(a.why, "would hold"));
	a = advise(&m, total, 1000 + 2000, true);
	is_setting(&a, 1, 672, PRECISION_AUTOCAST);
	a = advise(&m, total, 1000 + 1000, true);
	is_setting(&a, 1, 416, PRECISION_AUTOCAST);
	a = advise(&m, total, 1000 + 250, true);
	is_setting(&a, 1, 240, PRECISION_AUTOCAST);
	a = advise(&m, total, 900, true);
	is_setting(&a, 1, 240, PRECISION_BF16);
	assert_true(a.fits);
	a = advise(&m, total, 500, true);
	is_setting(&a, 1, 240, PRECISION_BF16);
	assert_false(a.fits);
	assert_non_null(strstr(a.why, "raise the cap"));
}

/* On a CPU a lower precision may hold more: it is not taken. */
static void test_mapped_weights_are_left_alone(void **state)
{
	struct models m = {1000000, 1000, true, 0};
	struct forecast_advice a = advise(&m, (int64_t)16 << 30, 100, true);

	is_setting(&a, 1, 240, PRECISION_AUTOCAST);
	assert_false(a.fits);
}

static void test_size_that_is_fixed(void **state)
{
	struct models m = {1000, 1000, false, 0};
	const struct forecast_wish w = {.device_total = (int64_t)16 << 30, .limit = INT64_MAX, .fp16 = true, .used = used, .ctx = &m};
	struct forecast_advice a = forecast_advise(&w);

	is_setting(&a, 4, 0, PRECISION_AUTOCAST);
	assert_null(strstr(a.why, "pixels"));
}

/* Whatever the device and the models: an answer soon, never more than the usual, and no worse than what a smaller limit gets. */
static void test_any_device(void **state)
{
	srand(3);
	for (int i = 0; i < 20000; i++) {
		struct models m = {rand() % 5000000, rand() % 100000, rand() % 2, 0};
		int64_t total = (int64_t)rand() * 20, limit = rand() % 6000000;
		struct forecast_advice a = advise(&m, total, limit, rand() % 2), less = advise(&m, total, limit / 2, true);

		assert_in_range(a.setting.batch, 1, 4);
		assert_true(a.setting.image_size >= 240 && a.setting.image_size <= 672 && a.setting.image_size % 16 == 0);
		assert_true(strlen(a.why) > 20 && strlen(a.why) < sizeof a.why - 1);
		assert_true(less.setting.batch <= 4);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sums),
		cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_nothing_known),
		cmocka_unit_test(test_one_batch_teaches),
		cmocka_unit_test(test_odd_batches_do_not_matter),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_usual_settings),
		cmocka_unit_test(test_lowered_until_it_fits),
		cmocka_unit_test(test_mapped_weights_are_left_alone),
		cmocka_unit_test(test_size_that_is_fixed),
		cmocka_unit_test(test_any_device),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
