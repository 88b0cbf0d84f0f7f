/* The arithmetic of answers, against values worked out by hand. */
#include "core/scores.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

static void test_cosines(void **state)
{
	const float image[2] = {0.6f, 0.8f}, a[2] = {1, 0}, b[2] = {-0.6f, -0.8f};
	const float *labels[] = {a, b, NULL};
	float out[3];

	scores_cosines(image, labels, 3, 2, out);
	assert_float_equal(out[0], 0.6, 1e-6);
	assert_float_equal(out[1], -1, 1e-6);
	assert_float_equal(out[2], -1, 0);
}

static void test_softmax(void **state)
{
	const float cosine[3] = {0.30f, 0.28f, 0.20f};
	float out[3], one = 0.1f;

	/* exp(0), exp(-2), exp(-10) over their sum 1.135380683 */
	scores_softmax(cosine, 3, 100, out);
	assert_float_equal(out[0], 0.880762, 1e-4);
	assert_float_equal(out[1], 0.119198, 1e-4);
	assert_float_equal(out[2], 0.0000400, 1e-6);
	assert_float_equal(out[0] + out[1] + out[2], 1, 1e-6);
	scores_softmax(&one, 1, 100, &one);
	assert_float_equal(one, 1, 0);
	scores_softmax(NULL, 0, 100, NULL);
	/* A scale that would overflow without taking the largest off. */
	scores_softmax(cosine, 3, 1e4f, out);
	assert_float_equal(out[0], 1, 1e-6);
}

static void test_sigmoid(void **state)
{
	const float cosine[] = {0.1f, -1, 1};
	float out[3];

	scores_sigmoid(cosine, 3, 100, -10, out);
	assert_float_equal(out[0], 0.5, 1e-6);
	assert_true(out[1] >= 0 && out[1] < 1e-30f && out[2] == 1);
	scores_sigmoid(cosine, 1, 10, -12.5f, out);
	assert_float_equal(out[0], 1.0130e-5, 1e-8); /* exp(-11.5) / (1 + exp(-11.5)) */
	scores_sigmoid(NULL, 0, 100, 0, NULL);
}

static void test_clipscore(void **state)
{
	assert_float_equal(scores_clipscore(0.31f), 0.775, 1e-6);
	assert_float_equal(scores_clipscore(-0.2f), 0, 0);
}

static void test_combine(void **state)
{
	const float probability[3] = {0.64f, 0.25f, 0.11f};
	const struct verdict verdicts[3] = {{0, 0, 1, -9}, {0.9f, 0.1f, 0, 5}, {0, 1, 0, -9}};
	float out[3];
	int order[3];

	scores_combine(probability, verdicts, 3, out);
	assert_float_equal(out[0], 0, 0); /* contradicted, however sure CLIP is */
	assert_float_equal(out[1], sqrt(0.25 * 0.95), 1e-6);
	assert_float_equal(out[2], sqrt(0.11 * 0.5), 1e-6); /* the caption is silent */
	scores_rank(out, 3, order);
	assert_int_equal(order[0], 1);
	assert_int_equal(order[1], 2);
	assert_int_equal(order[2], 0);
	scores_combine(probability, NULL, 3, out);
	assert_float_equal(out[0], 0.64, 1e-6);
	scores_combine(NULL, verdicts, 3, out);
	assert_float_equal(out[2], 0.5, 1e-6);
}

static void test_rank(void **state)
{
	const float value[6] = {0.5f, NAN, 0.7f, 0.5f, -1, 0.5f};
	static const int expected[6] = {2, 0, 3, 5, 4, 1};
	int order[6];

	scores_rank(value, 6, order);
	for (int i = 0; i < 6; i++)
		assert_int_equal(order[i], expected[i]);
}

static void test_margin_and_disagreement(void **state)
{
	const float probability[3] = {0.2f, 0.7f, 0.1f};
	const struct verdict verdicts[3] = {{0, 0, 1, -9}, {0.1f, 0.5f, 0.4f, 0}, {0, 0, 1, -9}};

	assert_float_equal(scores_margin(probability, 3), 0.5, 1e-6);
	assert_float_equal(scores_margin(probability, 1), 0.2, 1e-6);
	assert_float_equal(scores_margin(NULL, 0), 0, 0);
	assert_float_equal(scores_disagreement(probability, verdicts, 3), 0.28, 1e-6);
	assert_float_equal(scores_disagreement(probability, NULL, 3), 0, 0);
}

/* Logits of a reference run (three pairs; contradiction, entailment, neutral): -3.720445, 0.3456225, -1.578214; -3.098601, 3.340394, -0.842559;
 * -3.930307, -0.572134, -2.069473; and what its pipeline made of them. */
static void test_zero_shot(void **state)
{
	const struct verdict verdicts[3] = {{0.8597045f, 0.1255561f, 0.01473935f, 0.3456225f},
					    {0.9834278f, 0.01500062f, 0.00157153f, 3.340394f},
					    {0.7945819f, 0.1777676f, 0.02765048f, -0.572134f}};
	const struct verdict neither = {0, 1, 0, -200};
	float out[3];

	scores_zero_shot(verdicts, 3, false, out);
	assert_float_equal(out[0], 0.04677224, 1e-6);
	assert_float_equal(out[1], 0.9345462, 1e-6);
	assert_float_equal(out[2], 0.01868149, 1e-6);
	scores_zero_shot(verdicts, 3, true, out);
	assert_float_equal(out[0], 0.9831443, 1e-6);
	assert_float_equal(out[1], 0.9984046, 1e-6);
	assert_float_equal(out[2], 0.9663715, 1e-6);
	scores_zero_shot(verdicts, 1, false, out); /* a single label is judged alone */
	assert_float_equal(out[0], 0.9831443, 1e-6);
	scores_zero_shot(&neither, 1, true, out);
	assert_float_equal(out[0], 0.5, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cosines), cmocka_unit_test(test_softmax),
		cmocka_unit_test(test_sigmoid), cmocka_unit_test(test_clipscore),
		cmocka_unit_test(test_combine), cmocka_unit_test(test_zero_shot),
		cmocka_unit_test(test_rank),    cmocka_unit_test(test_margin_and_disagreement),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
