/* golden_siglip.c - SigLIP's two towers and what is made of their vectors. See golden.h. */
#include "models/json.h"
#include "models/siglip.h"
#include "tests/golden/golden_nli.h"

static bool claims(const json_t *root)
{
	return golden_is_network(root, "siglip");
}

/* Features of both sides -> unit vectors, logits, probabilities */
static void compare(struct golden_case *c, const json_t *expected, const struct siglip_net *net, tt_pool *p, tt_tensor *images, tt_tensor *texts)
{
	tt_tensor *logits;

	golden_compare_norms(c, json_object_get(expected, "image_features_norm"), "image_features_norm", p, images);
	golden_compare_norms(c, json_object_get(expected, "text_features_norm"), "text_features_norm", p, texts);
	images = tt_normalize(p, images);
	texts = tt_normalize(p, texts);
	golden_compare_tensor(c, GOLDEN_FEATURES, json_object_get(expected, "image_embeds"), "image_embeds", p, images);
	golden_compare_tensor(c, GOLDEN_FEATURES, json_object_get(expected, "text_embeds"), "text_embeds", p, texts);
	logits = tt_mul(p, tt_matmul(p, images, tt_transpose(p, texts, 0, 1)), tt_exp(p, siglip_logit_scale(net)));
	logits = tt_add(p, logits, siglip_logit_bias(net));
	golden_compare_tensor(c, GOLDEN_VALUES, json_object_get(expected, "logits_per_image"), "logits_per_image", p, logits);
	golden_compare_tensor(c, GOLDEN_VALUES, json_object_get(expected, "sigmoid"), "sigmoid", p, tt_activate_(p, logits, TT_SIGMOID));
}

static int run_case(struct golden *g, const struct siglip_config *config, const struct siglip_net *net, tt_pool *p, const json_t *node,
		    struct error *err)
{
	struct golden_case c = golden_begin(g, golden_name(node));
	struct golden_pairs in = {0};
	tt_tensor *pixels, *images, *texts;

	tt_clear(p);
	pixels = golden_input(g, p, json_object_get(node, "pixel_values"), err);
	if (!pixels || golden_pairs_read(node, config->vocabulary, 0, &in, err) < 0) {
		golden_pairs_free(&in);
		return fail_prefix(err, "case %s", c.name);
	}
	images = siglip_picture_features(net, p, &pixels, 1);
	texts = siglip_text_features(net, p, golden_ids_tensor(p, &in.ids), golden_ids_tensor(p, &in.mask));
	golden_pairs_free(&in);
	compare(&c, json_object_get(node, "expected"), net, p, images, texts);
	golden_end(&c);
	return 0;
}

static int run_cases(struct golden *g, struct golden_weights *w, const json_t *cases, struct error *err)
{
	struct siglip_config config;
	struct siglip_net *net;
	const json_t *node;
	int rc = -1;
	size_t i;

	if (siglip_config_read(w->config, g->path, &config, err) < 0)
		return -1;
	net = siglip_net_create(&config, &w->source);
	if (nn_finish(&w->source, "SigLIP", err) == 0) {
		rc = 0;
		json_array_foreach(cases, i, node)
			if (rc == 0)
				rc = run_case(g, &config, net, w->work, node, err);
	}
	siglip_net_destroy(net);
	return rc;
}

static int run(struct golden *g, struct error *err)
{
	return golden_network_run(g, run_cases, err);
}

const struct golden_kind golden_siglip = {"SigLIP network", claims, run};
