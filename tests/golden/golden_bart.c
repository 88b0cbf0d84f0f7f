/* golden_bart.c - BART's two stacks and what is made of its logits. See golden.h. */
#include "models/bart.h"
#include "models/json.h"
#include "tests/golden/golden_nli.h"

static bool claims(const json_t *root)
{
	return golden_is_network(root, "bart-nli");
}

static int run_case(struct golden *g, const struct bart_config *config, const struct bart_net *net, tt_pool *p, const json_t *node, struct error *err)
{
	struct golden_case c = golden_begin(g, golden_name(node));
	const json_t *expected = json_object_get(node, "expected");
	struct bart_trace t = {0};
	struct golden_pairs in;
	tt_tensor *logits;

	if (golden_pairs_read(node, config->vocabulary, 0, &in, err) < 0) {
		golden_pairs_free(&in);
		return fail_prefix(err, "case %s", c.name);
	}
	tt_clear(p);
	logits = bart_logits_traced(net, p, golden_ids_tensor(p, &in.ids), golden_ids_tensor(p, &in.mask), &t);
	golden_pairs_free(&in);
	golden_compare_tensor(&c, GOLDEN_FEATURES, json_find(expected, "debug.encoder_embeddings"), "encoder_embeddings", p, t.encoder.embeddings);
	golden_compare_tensor(&c, GOLDEN_FEATURES, json_find(expected, "debug.encoder_after_layer0"), "encoder_after_layer0", p, t.encoder.layer0);
	golden_compare_tensor(&c, GOLDEN_FEATURES, json_find(expected, "debug.encoder_last_hidden"), "encoder_last_hidden", p, t.encoder.last);
	golden_compare_tensor(&c, GOLDEN_FEATURES, json_find(expected, "debug.decoder_embeddings"), "decoder_embeddings", p, t.decoder.embeddings);
	golden_compare_tensor(&c, GOLDEN_FEATURES, json_find(expected, "debug.decoder_after_layer0"), "decoder_after_layer0", p, t.decoder.layer0);
	golden_compare_tensor(&c, GOLDEN_FEATURES, json_find(expected, "debug.decoder_last_hidden"), "decoder_last_hidden", p, t.decoder.last);
	golden_compare_tensor(&c, GOLDEN_FEATURES, json_object_get(expected, "pooled"), "pooled", p, t.pooled);
	golden_compare_logits(&c, node, config->labels, p, logits);
	golden_end(&c);
	return 0;
}

static int run_cases(struct golden *g, struct golden_weights *w, const json_t *cases, struct error *err)
{
	struct bart_config config;
	struct bart_net *net;
	const json_t *node;
	int rc = -1;
	size_t i;

	if (bart_config_read(w->config, g->path, &config, err) < 0)
		return -1;
	bart_config_adopt(&config, w->file);
	net = bart_net_create(&config, &w->source);
	if (nn_finish(&w->source, "BART", err) == 0) {
		rc = 0;
		json_array_foreach(cases, i, node)
			if (rc == 0)
				rc = run_case(g, &config, net, w->work, node, err);
	}
	bart_net_destroy(net);
	return rc;
}

static int run(struct golden *g, struct error *err)
{
	return golden_network_run(g, run_cases, err);
}

const struct golden_kind golden_bart = {"BART network", claims, run};
