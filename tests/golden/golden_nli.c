/* golden_nli.c - see golden_nli.h. */
#include "tests/golden/golden_nli.h"

#include <stdlib.h>

#include "core/mem.h"
#include "core/scores.h"
#include "models/json.h"
#include "models/labels.h"

static bool same_shape(const struct golden_ids *a, const struct golden_ids *b)
{
	return !b->values || (a->rows == b->rows && a->columns == b->columns);
}

int golden_pairs_read(const json_t *node, int vocabulary, int types, struct golden_pairs *out, struct error *err)
{
	const json_t *kinds = types > 0 ? json_object_get(node, "token_type_ids") : NULL;

	*out = (struct golden_pairs){0};
	if (golden_ids_read(json_object_get(node, "input_ids"), "input_ids", vocabulary, &out->ids, err) < 0 ||
	    golden_ids_read(kinds, "token_type_ids", types, &out->types, err) < 0 ||
	    golden_ids_read(json_object_get(node, "attention_mask"), "attention_mask", 2, &out->mask, err) < 0)
		return -1;
	if (!out->ids.values)
		return fail(err, E_FORMAT, "\"input_ids\" is missing");
	if (!same_shape(&out->ids, &out->types) || !same_shape(&out->ids, &out->mask))
		return fail(err, E_FORMAT, "input_ids, token_type_ids and attention_mask have different shapes");
	return 0;
}

void golden_pairs_free(struct golden_pairs *pairs)
{
	golden_ids_free(&pairs->ids);
	golden_ids_free(&pairs->types);
	golden_ids_free(&pairs->mask);
}

/* The rows of the case as candidate labels. */
static void compare_zero_shot(struct golden_case *c, const json_t *node, int labels, const float *logits, int rows)
{
	const json_t *expected = json_object_get(node, "expected"), *entailment = json_object_get(node, "entailment_index");
	const json_t *contradiction = json_object_get(node, "contradiction_index");
	struct label_order order = {.labels = labels,
				    .entailment = (int)json_integer_value(entailment),
				    .neutral = -1,
				    .contradiction = (int)json_integer_value(contradiction)};
	struct verdict *verdicts;
	float *scores;

	if (!json_is_integer(entailment) || !json_is_integer(contradiction))
		return;
	if (order.entailment < 0 || order.entailment >= order.labels || order.contradiction < 0 || order.contradiction >= order.labels) {
		golden_miss(c, "entailment_index or contradiction_index is not one of %d outputs", order.labels);
		return;
	}
	scores = xcalloc((size_t)rows, sizeof *scores);
	verdicts = xcalloc((size_t)rows, sizeof *verdicts);
	for (int i = 0; i < rows; i++)
		label_verdict(&order, logits + (size_t)i * (size_t)labels, &verdicts[i]);
	scores_zero_shot(verdicts, rows, false, scores);
	golden_compare(c, GOLDEN_VALUES, json_object_get(expected, "zero_shot_single"), "zero_shot_single", scores, (size_t)rows);
	scores_zero_shot(verdicts, rows, true, scores);
	golden_compare(c, GOLDEN_VALUES, json_object_get(expected, "zero_shot_multi"), "zero_shot_multi", scores, (size_t)rows);
	free(verdicts);
	free(scores);
}

void golden_compare_logits(struct golden_case *c, const json_t *node, int labels, tt_pool *p, tt_tensor *logits)
{
	const json_t *expected = json_object_get(node, "expected");
	size_t count = (size_t)tt_count(logits);
	float *got = xcalloc(count + 1, sizeof *got);

	golden_compare_tensor(c, GOLDEN_FEATURES, json_object_get(expected, "logits"), "logits", p, logits);
	golden_compare_tensor(c, GOLDEN_VALUES, json_object_get(expected, "probs"), "probs", p, tt_softmax(p, logits, -1));
	if (tt_to_f32(p, logits, got, count) == 0)
		compare_zero_shot(c, node, labels, got, (int)tt_size(logits, 0));
	else
		golden_miss(c, "%s", tt_message(p));
	free(got);
}

int golden_network_run(struct golden *g, int (*cases)(struct golden *g, struct golden_weights *w, const json_t *cases, struct error *err),
		       struct error *err)
{
	const json_t *list = golden_array(g, "cases", err);
	struct golden_weights w = {0};
	int rc = -1;

	if (list && golden_weights_open(g, true, &w, err) == 0)
		rc = cases(g, &w, list, err);
	golden_weights_close(&w);
	return rc;
}
