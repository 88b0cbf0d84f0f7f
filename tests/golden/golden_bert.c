/* golden_bert.c - BERT's and RoBERTa's forward pass and what is made of its logits. See golden.h. */
#include "models/bert.h"
#include "models/json.h"
#include "tests/golden/golden_nli.h"

static bool claims(const json_t *root)
{
	return golden_is_network(root, "bert-nli") || golden_is_network(root, "bert") || golden_is_network(root, "roberta-nli");
}

static int run_case(struct golden *g, const struct bert_config *config, const struct bert_net *net, tt_pool *p, const json_t *node, struct error *err)
{
	struct golden_case c = golden_begin(g, golden_name(node));
	const json_t *expected = json_object_get(node, "expected");
	struct bert_trace t = {0};
	struct golden_pairs in;
	tt_tensor *logits;

	if (golden_pairs_read(node, config->vocabulary, config->types, &in, err) < 0) {
		golden_pairs_free(&in);
		return fail_prefix(err, "case %s", c.name);
	}
	tt_clear(p);
	logits = bert_logits_traced(net, p, golden_ids_tensor(p, &in.ids), golden_ids_tensor(p, &in.types), golden_ids_tensor(p, &in.mask), &t);
	golden_pairs_free(&in);
	golden_compare_tensor(&c, GOLDEN_FEATURES, json_find(expected, "debug.embeddings"), "embeddings", p, t.embeddings);
	golden_compare_tensor(&c, GOLDEN_FEATURES, json_find(expected, "debug.after_layer0"), "after_layer0", p, t.layer0);
	golden_compare_tensor(&c, GOLDEN_FEATURES, json_find(expected, "debug.last_hidden"), "last_hidden", p, t.last);
	golden_compare_tensor(&c, GOLDEN_FEATURES, json_object_get(expected, "pooled"), "pooled", p, t.pooled);
	golden_compare_logits(&c, node, config->labels, p, logits);
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
		json_array_foreach(cases, i, node)
			if (rc == 0)
				rc = run_case(g, &config, net, w->work, node, err);
	}
	bert_net_destroy(net);
	return rc;
}

static int run(struct golden *g, struct error *err)
{
	return golden_network_run(g, run_cases, err);
}

const struct golden_kind golden_bert = {"BERT or RoBERTa network", claims, run};
