/* golden_bert.c - BERT's forward pass and what is made of its logits. See golden.h. */
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "models/bert.h"
#include "models/json.h"
#include "models/labels.h"
#include "tests/golden/golden.h"

struct inputs {
	struct golden_ids ids, types, mask;
};

static bool claims(const json_t *root)
{
	return golden_is_network(root, "bert-nli") || golden_is_network(root, "bert") || golden_is_network(root, "roberta-nli");
}

static bool same_shape(const struct golden_ids *a, const struct golden_ids *b)
{
	return !b->values || (a->rows == b->rows && a->columns == b->columns);
}

static int inputs_read(const struct bert_config *config, const json_t *node, struct inputs *in, struct error *err)
{
	if (golden_ids_read(json_object_get(node, "input_ids"), "input_ids", config->vocabulary, &in->ids, err) < 0 ||
	    golden_ids_read(json_object_get(node, "token_type_ids"), "token_type_ids", config->types, &in->types, err) < 0 ||
	    golden_ids_read(json_object_get(node, "attention_mask"), "attention_mask", 2, &in->mask, err) < 0)
		return -1;
	if (!in->ids.values)
		return fail(err, E_FORMAT, "\"input_ids\" is missing");
	if (!same_shape(&in->ids, &in->types) || !same_shape(&in->ids, &in->mask))
		return fail(err, E_FORMAT, "input_ids, token_type_ids and attention_mask have different shapes");
	return 0;
}

static void inputs_free(struct inputs *in)
{
	golden_ids_free(&in->ids);
	golden_ids_free(&in->types);
	golden_ids_free(&in->mask);
}

/* The rows of the case as candidate labels. */
static void compare_zero_shot(struct golden_case *c, const json_t *node, const struct bert_config *config, const float *logits, int rows)
{
	const json_t *expected = json_object_get(node, "expected"), *entailment = json_object_get(node, "entailment_index");
	const json_t *contradiction = json_object_get(node, "contradiction_index");
	struct label_order order = {
		.labels = config->labels, .entailment = (int)json_integer_value(entailment), .contradiction = (int)json_integer_value(contradiction)};
	float *scores;

	if (!json_is_integer(entailment) || !json_is_integer(contradiction))
		return;
	if (order.entailment < 0 || order.entailment >= order.labels || order.contradiction < 0 || order.contradiction >= order.labels) {
		golden_miss(c, "entailment_index or contradiction_index is not one of %d outputs", order.labels);
		return;
	}
	scores = xcalloc((size_t)rows, sizeof *scores);
	label_zero_shot(&order, logits, rows, false, scores);
	golden_compare(c, GOLDEN_VALUES, json_object_get(expected, "zero_shot_single"), "zero_shot_single", scores, (size_t)rows);
	label_zero_shot(&order, logits, rows, true, scores);
	golden_compare(c, GOLDEN_VALUES, json_object_get(expected, "zero_shot_multi"), "zero_shot_multi", scores, (size_t)rows);
	free(scores);
}

static void compare_logits(struct golden_case *c, const json_t *node, const struct bert_config *config, tt_pool *p, tt_tensor *logits)
{
	const json_t *expected = json_object_get(node, "expected");
	size_t count = (size_t)tt_count(logits);
	float *got = xcalloc(count + 1, sizeof *got);

	golden_compare_tensor(c, GOLDEN_FEATURES, json_object_get(expected, "logits"), "logits", p, logits);
	golden_compare_tensor(c, GOLDEN_VALUES, json_object_get(expected, "probs"), "probs", p, tt_softmax(p, logits, -1));
	if (tt_to_f32(p, logits, got, count) == 0)
		compare_zero_shot(c, node, config, got, (int)tt_size(logits, 0));
	else
		golden_miss(c, "%s", tt_message(p));
	free(got);
}

static int run_case(struct golden *g, const struct bert_config *config, const struct bert_net *net, tt_pool *p, const json_t *node, struct error *err)
{
	struct golden_case c = golden_begin(g, golden_name(node));
	const json_t *expected = json_object_get(node, "expected");
	struct bert_trace t = {0};
	struct inputs in = {0};
	tt_tensor *logits;

	if (inputs_read(config, node, &in, err) < 0) {
		inputs_free(&in);
		return fail_prefix(err, "case %s", c.name);
	}
	tt_clear(p);
	logits = bert_logits_traced(net, p, golden_ids_tensor(p, &in.ids), golden_ids_tensor(p, &in.types), golden_ids_tensor(p, &in.mask), &t);
	inputs_free(&in);
	golden_compare_tensor(&c, GOLDEN_FEATURES, json_find(expected, "debug.embeddings"), "embeddings", p, t.embeddings);
	golden_compare_tensor(&c, GOLDEN_FEATURES, json_find(expected, "debug.after_layer0"), "after_layer0", p, t.layer0);
	golden_compare_tensor(&c, GOLDEN_FEATURES, json_find(expected, "debug.last_hidden"), "last_hidden", p, t.last);
	golden_compare_tensor(&c, GOLDEN_FEATURES, json_object_get(expected, "pooled"), "pooled", p, t.pooled);
	compare_logits(&c, node, config, p, logits);
	golden_end(&c);
	return 0;
}

static int run_cases(struct golden *g, struct golden_weights *w, const json_t *cases, struct error *err)
{
	struct bert_config config;
	struct bert_net *net;
	const json_t *node;
	int rc = -1;
	size_t i;

	if (bert_config_read(w->config, g->path, &config, err) < 0)
		return -1;
	bert_config_adopt(&config, w->file);
	net = bert_net_create(&config, &w->source);
	if (nn_finish(&w->source, "BERT", err) == 0) {
		rc = 0;
		json_array_foreach(cases, i, node) if (rc == 0) rc = run_case(g, &config, net, w->work, node, err);
	}
	bert_net_destroy(net);
	return rc;
}

static int run(struct golden *g, struct error *err)
{
	const json_t *cases = golden_array(g, "cases", err);
	struct golden_weights w = {0};
	int rc = -1;

	if (cases && golden_weights_open(g, true, &w, err) == 0)
		rc = run_cases(g, &w, cases, err);
	golden_weights_close(&w);
	return rc;
}

const struct golden_kind golden_bert = {"BERT network", claims, run};
