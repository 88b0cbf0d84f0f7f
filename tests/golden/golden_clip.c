/* golden_clip.c - CLIP's two towers and what is made of their vectors. See golden.h. */
#include <string.h>

#include "core/mem.h"
#include "models/clip.h"
#include "models/json.h"
#include "tests/golden/golden.h"

static const double clipscore_weight = 2.5; /* w of Hessel et al. 2021 */

static bool claims(const json_t *root)
{
	return golden_is_network(root, "clip");
}

static tt_tensor *image_features(struct golden *g, const struct clip_net *net, tt_pool *p, const json_t *node, struct error *err)
{
	const json_t *spec = json_find(node, "pixel_values");
	tt_tensor *pixels = golden_input(g, p, spec, err);

	return pixels ? clip_image_features(net, p, tt_to(p, pixels, TT_F32, g->device)) : NULL;
}

static int text_features(const struct clip_net *net, const struct clip_config *config, tt_pool *p, const json_t *node, tt_tensor **out,
			 struct error *err)
{
	struct golden_ids ids = {0}, mask = {0};
	int rc = 0;

	if (golden_ids_read(json_object_get(node, "input_ids"), "input_ids", config->vocabulary, &ids, err) < 0 ||
	    golden_ids_read(json_object_get(node, "attention_mask"), "attention_mask", 2, &mask, err) < 0)
		rc = -1;
	else if (mask.values && (mask.rows != ids.rows || mask.columns != ids.columns))
		rc = fail(err, E_FORMAT, "input_ids and attention_mask have different shapes");
	else
		*out = clip_text_features(net, p, golden_ids_tensor(p, &ids), golden_ids_tensor(p, &mask));
	golden_ids_free(&ids);
	golden_ids_free(&mask);
	return rc;
}

/* Unit vectors of both sides -> logits, probabilities, CLIPScore */
static void compare_pairs(struct golden_case *c, const json_t *expected, const struct clip_net *net, tt_pool *p, tt_tensor *images, tt_tensor *texts)
{
	tt_tensor *cosines = tt_matmul(p, images, tt_transpose(p, texts, 0, 1)); /* [images,texts] */
	tt_tensor *logits = tt_mul(p, cosines, tt_exp(p, clip_logit_scale(net)));
	tt_tensor *scores = tt_scale(p, tt_clamp(p, cosines, 0, 1), clipscore_weight);

	golden_compare_tensor(c, GOLDEN_VALUES, json_object_get(expected, "logits_per_image"), "logits_per_image", p, logits);
	golden_compare_tensor(c, GOLDEN_VALUES, json_object_get(expected, "softmax_over_texts"), "softmax_over_texts", p, tt_softmax(p, logits, -1));
	golden_compare_tensor(c, GOLDEN_VALUES, json_object_get(expected, "clipscore_w2.5"), "clipscore_w2.5", p, scores);
}

static int run_case(struct golden *g, const struct clip_config *config, const struct clip_net *net, tt_pool *p, const json_t *node,
		    const char *expecting, struct error *err)
{
	const json_t *expected = json_object_get(node, expecting);
	struct golden_case c = golden_begin(g, golden_name(node));
	tt_tensor *images = NULL, *texts = NULL;

	tt_clear(p);
	*err = (struct error){0};
	if (json_find(node, "pixel_values")) {
		images = image_features(g, net, p, node, err);
		golden_compare_norms(&c, json_object_get(expected, "image_features_norm"), "image_features_norm", p, images);
		images = tt_normalize(p, images);
		golden_compare_tensor(&c, GOLDEN_FEATURES, json_object_get(expected, "image_embeds"), "image_embeds", p, images);
	}
	if (json_find(node, "input_ids") && err->code == E_NONE) {
		text_features(net, config, p, node, &texts, err);
		golden_compare_norms(&c, json_object_get(expected, "text_features_norm"), "text_features_norm", p, texts);
		texts = tt_normalize(p, texts);
		golden_compare_tensor(&c, GOLDEN_FEATURES, json_object_get(expected, "text_embeds"), "text_embeds", p, texts);
	}
	if (err->code != E_NONE)
		return fail_prefix(err, "case %s", c.name);
	if (images && texts)
		compare_pairs(&c, expected, net, p, images, texts);
	golden_end(&c);
	return 0;
}

/* expecting: the cases' member to compare with; cases without it are passed over. */
static int run_cases(struct golden *g, struct golden_weights *w, const json_t *cases, const char *expecting, struct error *err)
{
	struct clip_config config;
	struct clip_net *net;
	const json_t *node;
	int rc = -1;
	size_t i;

	if (clip_config_read(w->config, g->path, &config, err) < 0)
		return -1;
	net = clip_net_create(&config, &w->source);
	if (nn_finish(&w->source, "CLIP", err) == 0) {
		rc = 0;
		json_array_foreach(cases, i, node)
			if (rc == 0 && json_object_get(node, expecting))
				rc = run_case(g, &config, net, w->work, node, expecting, err);
	}
	clip_net_destroy(net);
	return rc;
}

static int run_pass(struct golden *g, bool own_dtypes, const json_t *cases, const char *expecting, struct error *err)
{
	struct golden_weights w = {0};
	int rc = golden_weights_open(g, own_dtypes, &w, err);

	if (rc == 0)
		rc = run_cases(g, &w, cases, expecting, err);
	golden_weights_close(&w);
	return rc;
}

static int run(struct golden *g, struct error *err)
{
	const char *layout = json_string_value(json_object_get(g->root, "layout"));
	const json_t *cases = golden_array(g, "cases", err);

	if (!cases)
		return -1;
	if (layout && strcmp(layout, "huggingface") != 0 && strcmp(layout, "openai") != 0)
		return fail(err, E_MODEL, "layout %s is not supported yet", layout);
	if (!json_object_get(json_array_get(cases, 0), "expected_fp16_weights"))
		return run_pass(g, true, cases, "expected", err);
	if (run_pass(g, false, cases, "expected", err) < 0)
		return -1;
	return run_pass(g, true, cases, "expected_fp16_weights", err);
}

const struct golden_kind golden_clip = {"CLIP network", claims, run};
