/* golden_deberta.c - DeBERTa's forward pass, its buckets, and what is made of its logits. See golden.h. */
#include <stdlib.h>

#include "core/mem.h"
#include "models/deberta.h"
#include "models/json.h"
#include "tests/golden/golden_nli.h"

static bool claims(const json_t *root)
{
	return golden_is_network(root, "deberta-nli");
}

static int run_case(struct golden *g, const struct deberta_config *config, const struct deberta_net *net, tt_pool *p, const json_t *node,
		    struct error *err)
{
	struct golden_case c = golden_begin(g, golden_name(node));
	const json_t *expected = json_object_get(node, "expected");
	struct deberta_trace t = {0};
	struct golden_pairs in;
	tt_tensor *logits;

	if (golden_pairs_read(node, config->vocabulary, config->types, &in, err) < 0) {
		golden_pairs_free(&in);
		return fail_prefix(err, "case %s", c.name);
	}
	tt_clear(p);
	logits = deberta_logits_traced(net, p, golden_ids_tensor(p, &in.ids), golden_ids_tensor(p, &in.types), golden_ids_tensor(p, &in.mask), &t);
	golden_pairs_free(&in);
	golden_compare_tensor(&c, GOLDEN_FEATURES, json_find(expected, "debug.embeddings"), "embeddings", p, t.embeddings);
	golden_compare_tensor(&c, GOLDEN_FEATURES, json_find(expected, "debug.after_layer0"), "after_layer0", p, t.layer0);
	golden_compare_tensor(&c, GOLDEN_FEATURES, json_find(expected, "debug.last_hidden"), "last_hidden", p, t.last);
	golden_compare_tensor(&c, GOLDEN_FEATURES, json_object_get(expected, "pooled"), "pooled", p, t.pooled);
	golden_compare_logits(&c, node, config->labels, p, logits);
	golden_end(&c);
	return 0;
}

/* The buckets of the distances 0, 1, 2 ... and of their opposites. */
static void run_buckets(struct golden *g, const struct deberta_config *config)
{
	const json_t *expected = json_find(g->root, "relative_bucket.values");
	size_t n = json_array_size(expected);
	struct golden_case c;
	int64_t *got;

	if (n == 0)
		return;
	c = golden_begin(g, "relative_bucket");
	got = xcalloc(n, sizeof *got);
	for (size_t i = 0; i < n; i++) {
		got[i] = deberta_bucket(config, (int64_t)i);
		if (deberta_bucket(config, -(int64_t)i) != -got[i])
			golden_miss(&c, "the bucket of -%zu is not the opposite of that of %zu", i, i);
	}
	golden_compare_ids(&c, expected, "values", got, n);
	golden_end(&c);
	free(got);
}

static int run_cases(struct golden *g, struct golden_weights *w, const json_t *cases, struct error *err)
{
	struct deberta_config config;
	struct deberta_net *net;
	const json_t *node;
	int rc = -1;
	size_t i;

	if (deberta_config_read(w->config, g->path, &config, err) < 0)
		return -1;
	deberta_config_adopt(&config, w->file);
	net = deberta_net_create(&config, &w->source);
	if (nn_finish(&w->source, "DeBERTa", err) == 0) {
		rc = 0;
		run_buckets(g, &config);
		json_array_foreach(cases, i, node)
			if (rc == 0)
				rc = run_case(g, &config, net, w->work, node, err);
	}
	deberta_net_destroy(net);
	return rc;
}

static int run(struct golden *g, struct error *err)
{
	return golden_network_run(g, run_cases, err);
}

const struct golden_kind golden_deberta = {"DeBERTa network", claims, run};
