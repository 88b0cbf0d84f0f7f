/* golden_blip.c - BLIP: the forward pass, and captions by greedy and beam search with caches. See golden.h. */
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "models/blip.h"
#include "models/json.h"
#include "tests/golden/golden.h"

/* What all cases of a fixture share. */
struct setting {
	struct golden *g;
	struct blip_config config;
	struct blip_net *net;
	tt_pool *p;
};

static bool claims(const json_t *root)
{
	return golden_is_network(root, "blip");
}

/* ---- captions ---- */

static int step(void *ctx, const struct beam_step *s, struct error *err)
{
	return blip_decoding_step(ctx, s, err);
}

static double number(const json_t *settings, const char *key, double fallback)
{
	const json_t *value = json_object_get(settings, key);

	return json_is_number(value) ? json_number_value(value) : fallback;
}

/* The settings count bos, ours do not. */
static struct beam_options options_of(const struct setting *t, const json_t *settings)
{
	const struct blip_config *c = &t->config;

	return (struct beam_options){
		.rules = BEAM_TRANSFORMERS,
		.beams = (int)number(settings, "num_beams", 1),
		.max_length = (int)number(settings, "max_length", 20) - 1,
		.min_length = (int)number(settings, "min_length", 0) - 1,
		.no_repeat_ngram = (int)number(settings, "no_repeat_ngram_size", 0),
		.length_penalty = number(settings, "length_penalty", 1),
		.repetition = number(settings, "repetition_penalty", 1),
		.temperature = 1,
		.normalize = true,
		.bos = c->bos,
		.pad = c->pad,
		.eos = c->sep,
		.unk = c->pad,
		.vocabulary = c->vocabulary,
	};
}

/* A prompt comes between [CLS], which bos takes the place of, and [SEP], which is left out. */
static void read_prompt(const json_t *list, int32_t *prompt, int room, struct beam_options *o)
{
	for (size_t i = 1; i + 1 < json_array_size(list) && o->n_prompt < room; i++)
		prompt[o->n_prompt++] = (int32_t)json_integer_value(json_array_get(list, i));
	o->prompt = prompt;
}

/* Rows of a batch are as long as the longest; behind a shorter one stands pad. */
static void compare_row(const struct setting *t, struct golden_case *c, const char *what, const json_t *expected, const struct beam_hypothesis *got)
{
	size_t length = json_array_size(expected);
	int64_t *ids = xcalloc(length + (size_t)got->length + 1, sizeof *ids);

	ids[0] = t->config.bos;
	for (int i = 0; i < got->length; i++)
		ids[1 + i] = got->ids[i];
	for (size_t i = 1 + (size_t)got->length; i < length; i++)
		ids[i] = t->config.pad;
	golden_compare_ids(c, expected, what, ids, length > (size_t)got->length ? length : (size_t)got->length + 1);
	free(ids);
}

/* In half precision near ties fall either way, so there it only has to end in hypotheses. */
static void compare_captions(const struct setting *t, struct golden_case *c, const json_t *node, const struct beam_result *results, int n)
{
	const json_t *ids = json_object_get(node, "expected_ids"), *scores = json_object_get(node, "sequence_scores");

	for (int i = 0; i < n; i++) {
		if (results[i].n == 0) {
			golden_miss(c, "%s: row %d has no hypothesis", golden_name(node), i);
		} else if (t->g->precision == PRECISION_FP32) {
			json_t *score = json_is_array(scores) ? json_pack("[O]", json_array_get(scores, (size_t)i)) : NULL;

			compare_row(t, c, golden_name(node), json_array_get(ids, (size_t)i), &results[i].hypotheses[0]);
			golden_compare(c, GOLDEN_VALUES, score, golden_name(node), &results[i].hypotheses[0].score, 1);
			json_decref(score);
		}
	}
}

static void judge_captions(const struct setting *t, struct golden_case *c, const json_t *node, tt_tensor *encoded)
{
	int n = (int)tt_size(encoded, 0), rc;
	struct beam_result *results = xcalloc((size_t)n, sizeof *results);
	struct beam_options o = options_of(t, json_object_get(node, "settings"));
	struct blip_decoding *d;
	struct error err = {0};
	int32_t prompt[64];

	read_prompt(json_object_get(node, "prompt_ids"), prompt, 64, &o);
	d = blip_decoding_create(t->net, t->p, encoded);
	rc = beam_search(&o, n, step, NULL, d, results, &err);
	blip_decoding_destroy(d);
	if (rc < 0)
		golden_miss(c, "%s: %s", golden_name(node), err.text);
	else
		compare_captions(t, c, node, results, n);
	for (int i = 0; rc == 0 && i < n; i++)
		beam_result_free(&results[i]);
	free(results);
}

/* ---- the forward pass ---- */

struct inputs {
	tt_tensor *pixels;
	struct golden_ids ids, mask;
};

static int inputs_read(const struct setting *t, const json_t *node, struct inputs *in, struct error *err)
{
	in->pixels = golden_input(t->g, t->p, json_object_get(node, "pixel_values"), err);
	if (!in->pixels ||
	    golden_ids_read(json_object_get(node, "decoder_input_ids"), "decoder_input_ids", t->config.vocabulary, &in->ids, err) < 0 ||
	    golden_ids_read(json_object_get(node, "decoder_attention_mask"), "decoder_attention_mask", 2, &in->mask, err) < 0)
		return -1;
	if ((in->ids.values && in->ids.rows != tt_size(in->pixels, 0)) ||
	    (in->mask.values && (in->mask.rows != in->ids.rows || in->mask.columns != in->ids.columns)))
		return fail(err, E_FORMAT, "pixel_values, decoder_input_ids and decoder_attention_mask do not have the same shape");
	return 0;
}

static void judge_logits(const struct setting *t, struct golden_case *c, const struct inputs *in, const json_t *expected, tt_tensor *encoded)
{
	tt_tensor *logits = blip_decode(t->net, t->p, encoded, golden_ids_tensor(t->p, &in->ids), golden_ids_tensor(t->p, &in->mask));
	size_t count = (size_t)(in->ids.rows * in->ids.columns);
	int64_t *best = xcalloc(count + 1, sizeof *best);

	golden_compare_tensor(c, GOLDEN_FEATURES, json_object_get(expected, "decoder_logits"), "decoder_logits", t->p, logits);
	if (t->g->precision == PRECISION_FP32 && tt_to_i64(t->p, tt_argmax(t->p, logits, 2), best, count) == 0)
		golden_compare_ids(c, json_object_get(expected, "decoder_argmax"), "decoder_argmax", best, count);
	free(best);
}

static int run_case(const struct setting *t, const json_t *node, struct error *err)
{
	struct golden_case c = golden_begin(t->g, golden_name(node));
	const json_t *expected = json_object_get(node, "expected"), *captions = json_object_get(expected, "generate"), *one;
	struct blip_trace trace = {0};
	struct inputs in = {0};
	tt_tensor *encoded;
	int rc;
	size_t i;

	tt_clear(t->p);
	rc = inputs_read(t, node, &in, err);
	if (rc == 0) {
		encoded = blip_encode(t->net, t->p, in.pixels, &trace);
		golden_compare_tensor(&c, GOLDEN_FEATURES, json_find(expected, "debug.vision_embeddings"), "vision_embeddings", t->p,
				      trace.embeddings);
		golden_compare_tensor(&c, GOLDEN_FEATURES, json_find(expected, "debug.vision_after_layer0"), "vision_after_layer0", t->p,
				      trace.layer0);
		golden_compare_tensor(&c, GOLDEN_FEATURES, json_object_get(expected, "image_embeds"), "image_embeds", t->p, encoded);
		if (encoded && in.ids.values)
			judge_logits(t, &c, &in, expected, encoded);
		json_array_foreach(captions, i, one)
			if (encoded)
				judge_captions(t, &c, one, encoded);
	}
	golden_ids_free(&in.ids);
	golden_ids_free(&in.mask);
	if (rc < 0)
		return fail_prefix(err, "case %s", c.name);
	golden_end(&c);
	return 0;
}

/* ---- the fixture ---- */

static int run(struct golden *g, struct error *err)
{
	const json_t *cases = golden_array(g, "cases", err), *node;
	struct golden_weights w = {0};
	struct setting t = {.g = g};
	int rc = -1;
	size_t i;

	if (cases && golden_weights_open(g, true, &w, err) == 0 && blip_config_read(w.config, g->path, &t.config, err) == 0) {
		t.net = blip_net_create(&t.config, &w.source);
		t.p = w.work;
		rc = nn_finish(&w.source, "BLIP", err);
		json_array_foreach(cases, i, node)
			if (rc == 0)
				rc = run_case(&t, node, err);
		blip_net_destroy(t.net);
	}
	golden_weights_close(&w);
	return rc;
}

const struct golden_kind golden_blip = {"BLIP network", claims, run};
