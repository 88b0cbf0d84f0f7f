/* golden_ofa.c - OFA: the forward pass, captions by greedy and beam search with caches, and the way from a picture file to a caption. See golden.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/image.h"
#include "core/mem.h"
#include "models/bpe.h"
#include "models/json.h"
#include "models/ofa_net.h"
#include "models/preprocess.h"
#include "tests/golden/golden_ofa.h"

enum { TOP = 5, CODES = 8192, BINS = 1000 };

/* What all cases of a fixture share. */
struct setting {
	struct golden *g;
	struct ofa_config config;
	struct ofa_net *net;
	tt_pool *p;
};

static bool claims(const json_t *root)
{
	return golden_is_network(root, "ofa");
}

/* ---- captions ---- */

static int step(void *ctx, const struct beam_step *s, struct error *err)
{
	return ofa_decoding_step(ctx, s, err);
}

/* results[pictures]; the pool's error becomes the case's miss. */
static int search(const struct setting *t, struct golden_case *c, const struct ofa_memory *memory, const json_t *settings,
		  struct beam_result *results)
{
	struct beam_options o = golden_beam_options(settings, t->config.vocabulary);
	struct ofa_decoding *d = ofa_decoding_create(t->net, t->p, memory, o.max_length);
	struct error err = {0};
	int rc = beam_search(&o, (int)tt_size(memory->output, 0), step, NULL, d, results, &err);

	ofa_decoding_destroy(d);
	if (rc < 0)
		golden_miss(c, "%s", err.text);
	return rc;
}

/* In half precision near ties fall either way, so there it only has to end in hypotheses. */
static void judge_search(const struct setting *t, struct golden_case *c, const struct ofa_memory *memory, const json_t *expected, const char *what)
{
	const json_t *lists = json_object_get(expected, "hypotheses"), *ids = json_object_get(expected, "ids");
	size_t rows = (size_t)tt_size(memory->output, 0);
	struct beam_result *results = xcalloc(rows, sizeof *results);

	if (!expected || search(t, c, memory, json_object_get(expected, "settings"), results) < 0) {
		free(results);
		return;
	}
	for (size_t r = 0; r < rows; r++) {
		const json_t *score = json_array_get(json_object_get(expected, "scores"), r);
		json_t *only = score ? json_pack("[{s:O,s:O}]", "ids", json_array_get(ids, r), "score", score) : NULL;

		if (results[r].n == 0)
			golden_miss(c, "%s: row %zu has no hypothesis", what, r);
		if (t->g->precision == PRECISION_FP32)
			golden_compare_hypotheses(c, lists ? json_array_get(lists, r) : only, what, &results[r], true);
		json_decref(only);
		beam_result_free(&results[r]);
	}
	free(results);
}

/* ---- the forward pass ---- */

/* The best TOP of one row, best first. */
static void top_of(const float *logits, int n, int64_t ids[TOP])
{
	int found = 0;

	for (int i = 0; i < n; i++) {
		int at = found < TOP ? found++ : TOP;

		for (; at > 0 && logits[i] > logits[ids[at - 1]]; at--) {
			if (at < TOP)
				ids[at] = ids[at - 1];
		}
		if (at < TOP)
			ids[at] = i;
	}
}

static void judge_top(struct golden_case *c, const json_t *expected, const float *logits, int64_t rows, int vocabulary)
{
	int64_t *ids = xcalloc((size_t)rows * TOP, sizeof *ids);
	float *scores = xcalloc((size_t)rows * TOP, sizeof *scores);

	for (int64_t r = 0; r < rows; r++) {
		const float *row = logits + r * vocabulary;
		double sum = 0;

		top_of(row, vocabulary, ids + r * TOP);
		for (int i = 0; i < vocabulary; i++)
			sum += exp((double)row[i] - row[ids[r * TOP]]);
		for (int i = 0; i < TOP; i++)
			scores[r * TOP + i] = (float)(row[ids[r * TOP + i]] - row[ids[r * TOP]] - log(sum));
	}
	golden_compare_ids(c, json_object_get(expected, "ids"), "decoder_top5", ids, (size_t)rows * TOP);
	golden_compare(c, GOLDEN_VALUES, json_object_get(expected, "logprobs"), "decoder_top5", scores, (size_t)rows * TOP);
	free(ids);
	free(scores);
}

static void judge_logits(const struct setting *t, struct golden_case *c, const json_t *expected, tt_tensor *logits)
{
	size_t count = (size_t)tt_count(logits);
	float *values = xmalloc((count + 1) * sizeof *values);

	golden_compare_tensor(c, GOLDEN_FEATURES, json_object_get(expected, "decoder_logits"), "decoder_logits", t->p, logits);
	if (t->g->precision == PRECISION_FP32 && tt_to_f32(t->p, logits, values, count) == 0)
		judge_top(c, json_object_get(expected, "decoder_top5"), values, tt_size(logits, 0) * tt_size(logits, 1), t->config.vocabulary);
	free(values);
}

static void judge_padding(const struct setting *t, struct golden_case *c, const json_t *expected, const struct ofa_memory *m)
{
	int64_t rows = tt_size(m->output, 0), length = tt_size(m->output, 1), *pads = xcalloc((size_t)rows, sizeof *pads);
	float *bias = xcalloc((size_t)(rows * length), sizeof *bias);

	if (m->key_bias && tt_to_f32(t->p, m->key_bias, bias, (size_t)(rows * length)) < 0)
		golden_miss(c, "%s", tt_message(t->p));
	for (int64_t i = 0; i < rows * length; i++)
		pads[i / length] += bias[i] != 0;
	golden_compare_ids(c, json_object_get(expected, "encoder_padding_mask"), "encoder_padding_mask", pads, (size_t)rows);
	free(pads);
	free(bias);
}

static void judge_encoder(const struct setting *t, struct golden_case *c, const json_t *expected, const struct ofa_memory *m)
{
	const struct {
		const char *name;
		tt_tensor *got;
	} arrays[] = {
		{"resnet_features", m->features},
		{"encoder_position_embedding",
		 tt_expand(t->p, m->positions, TT_SHAPE(tt_size(m->output, 0), tt_size(m->output, 1), t->config.d_model))},
		{"encoder_embedding_output", m->embedding},
		{"encoder_layer0_output", m->layer0},
		{"encoder_output", m->output},
	};

	for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++)
		golden_compare_tensor(c, GOLDEN_FEATURES, json_object_get(expected, arrays[i].name), arrays[i].name, t->p, arrays[i].got);
	judge_padding(t, c, expected, m);
}

struct inputs {
	tt_tensor *pixels;
	struct golden_ids ids, prefix;
};

static int inputs_read(const struct setting *t, const json_t *node, struct inputs *in, struct error *err)
{
	in->pixels = golden_input(t->g, t->p, json_object_get(node, "pixel_values"), err);
	if (!in->pixels || golden_ids_read(json_object_get(node, "input_ids"), "input_ids", t->config.vocabulary, &in->ids, err) < 0 ||
	    golden_ids_read(json_object_get(node, "decoder_prefix"), "decoder_prefix", t->config.vocabulary, &in->prefix, err) < 0)
		return -1;
	if (!in->ids.values || !in->prefix.values || in->ids.rows != in->prefix.rows || in->ids.rows != tt_size(in->pixels, 0))
		return fail(err, E_FORMAT, "pixel_values, input_ids and decoder_prefix do not have the same number of rows");
	return 0;
}

/* Every row of a batch alone gives what it gave among the others. */
static void judge_rows(const struct setting *t, struct golden_case *c, const struct inputs *in, const struct ofa_memory *batch)
{
	size_t count = (size_t)(tt_size(batch->output, 1) * tt_size(batch->output, 2));
	float *among = xcalloc(2 * count, sizeof *among), *alone = among + count;

	for (int64_t r = 0; in->ids.rows > 1 && r < in->ids.rows; r++) {
		struct ofa_memory m;
		float worst = 0, largest = 0;

		tt_to_f32(t->p, tt_select(t->p, batch->output, 0, r), among, count);
		ofa_encode(t->net, t->p, tt_slice(t->p, in->pixels, 0, r, r + 1), tt_slice(t->p, golden_ids_tensor(t->p, &in->ids), 0, r, r + 1),
			   false, &m);
		if (tt_to_f32(t->p, m.output, alone, count) < 0)
			golden_miss(c, "row %d alone: %s", (int)r, tt_message(t->p));
		for (size_t i = 0; i < count; i++) {
			worst = fmaxf(worst, fabsf(among[i] - alone[i]));
			largest = fmaxf(largest, fabsf(among[i]));
		}
		if (!(worst <= (t->g->precision == PRECISION_FP32 ? 1e-5f : 0.05f) * largest))
			golden_miss(c, "row %d differs by %g when it runs alone", (int)r, worst);
	}
	free(among);
}

static int run_case(const struct setting *t, const json_t *node, struct error *err)
{
	struct golden_case c = golden_begin(t->g, golden_name(node));
	const json_t *expected = json_object_get(node, "expected");
	struct inputs in = {0};
	struct ofa_memory memory;
	int rc;

	tt_clear(t->p);
	rc = inputs_read(t, node, &in, err);
	if (rc == 0 && ofa_encode(t->net, t->p, in.pixels, golden_ids_tensor(t->p, &in.ids), true, &memory) < 0)
		golden_miss(&c, "%s", tt_message(t->p));
	if (rc == 0 && !c.failed) {
		judge_encoder(t, &c, expected, &memory);
		judge_logits(t, &c, expected, ofa_decode(t->net, t->p, &memory, golden_ids_tensor(t->p, &in.prefix)));
		judge_rows(t, &c, &in, &memory);
		judge_search(t, &c, &memory, json_object_get(expected, "greedy"), "greedy");
		judge_search(t, &c, &memory, json_object_get(expected, "beam"), "beam");
	}
	golden_ids_free(&in.ids);
	golden_ids_free(&in.prefix);
	if (rc < 0)
		return fail_prefix(err, "case %s", c.name);
	golden_end(&c);
	return 0;
}

/* ---- index buffers ---- */

/* The reference's int64 tables of table rows, by checksum. decoder.image_position_idx belongs to pictures as output, which captions have not. */
static int64_t *buffer_make(const struct setting *t, const char *name, size_t *n)
{
	bool image = strstr(name, "image_rp_bucket");
	size_t side = image ? (size_t)t->config.image_bucket * (size_t)t->config.image_bucket + 1 : OFA_BUCKET_REACH;
	int64_t *values;

	if (!image && !strstr(name, "token_rp_bucket"))
		return NULL;
	*n = side * side;
	values = xcalloc(*n, sizeof *values);
	for (size_t i = 0; i < *n; i++) {
		int64_t row = (int64_t)(i / side), column = (int64_t)(i % side);

		values[i] = image ? ofa_image_bucket(t->config.image_bucket, row, column) : ofa_token_bucket(t->config.token_bucket, row - column);
	}
	return values;
}

static void run_buffers(const struct setting *t)
{
	const json_t *list = json_object_get(t->g->root, "buffers"), *node;
	struct golden_case c = golden_begin(t->g, "index buffers");
	size_t i, n;

	json_array_foreach(list, i, node) {
		const char *sum = json_string_value(json_object_get(node, "fnv1a64"));
		int64_t *values = buffer_make(t, golden_name(node), &n);

		if (!values)
			continue;
		c.compared++;
		if (!sum || synth_hash_bytes(values, n * sizeof *values) != strtoull(sum, NULL, 16))
			golden_miss(&c, "%s has another checksum", golden_name(node));
		free(values);
	}
	golden_end(&c);
}

/* ---- from a picture file to a caption ---- */

static tt_tensor *picture(const struct setting *t, const char *name, struct error *err)
{
	struct preprocess preprocess = preprocess_default(PREPROCESS_OFA);
	char *path = golden_file(t->g, name);
	struct image image = {0};
	struct pixels in = {0};
	tt_tensor *x = NULL;

	if (image_load(path, NULL, &image, NULL, err) == 0 && preprocess_run(&preprocess, &image, &in, err) == 0)
		x = tt_from_f32(t->p, in.data, TT_SHAPE(1, in.channels, in.height, in.width));
	free(in.data);
	image_free(&image);
	free(path);
	return x;
}

static void judge_text(struct golden_case *c, const struct bpe *bpe, const json_t *expected, const struct beam_result *r)
{
	const char *wanted = json_string_value(json_array_get(json_object_get(expected, "caption"), 0));
	const json_t *node;
	char *text = ofa_caption_text(bpe, r->hypotheses[0].ids, (size_t)r->hypotheses[0].length, true, true);
	size_t i;

	if (!wanted || strcmp(text, wanted) != 0)
		golden_miss(c, "caption \"%s\", expected \"%s\"", text, wanted ? wanted : "?");
	free(text);
	json_array_foreach(json_object_get(expected, "hypotheses"), i, node) {
		if ((int)i >= r->n)
			return;
		wanted = json_string_value(json_object_get(node, "text"));
		text = bpe_decode(bpe, r->hypotheses[i].ids, (size_t)r->hypotheses[i].length, BPE_SKIP_SPECIAL | BPE_CLEAN_UP);
		if (wanted && strcmp(text, wanted) != 0)
			golden_miss(c, "text %zu \"%s\", expected \"%s\"", i, text, wanted);
		free(text);
	}
}

static void judge_pipeline(const struct setting *t, struct golden_case *c, const struct bpe *bpe, const json_t *node, tt_tensor *pixels)
{
	static const char prompt[] = " what does the image describe?";
	const json_t *expected = json_object_get(node, "expected");
	int32_t narrow[64];
	int64_t ids[64];
	struct beam_result result = {0};
	struct ofa_memory memory;
	int n = bpe_encode(bpe, prompt, strlen(prompt), BPE_SPECIALS, narrow, 64, NULL, NULL);

	for (int i = 0; i < n; i++)
		ids[i] = narrow[i];
	golden_compare_ids(c, json_object_get(node, "input_ids"), "input_ids", ids, n > 0 ? (size_t)n : 0);
	if (ofa_encode(t->net, t->p, pixels, tt_from_i64(t->p, ids, TT_SHAPE(1, n)), false, &memory) < 0)
		golden_miss(c, "%s", tt_message(t->p));
	else if (search(t, c, &memory, NULL, &result) == 0 && result.n > 0 && t->g->precision == PRECISION_FP32) {
		golden_compare_hypotheses(c, json_object_get(expected, "hypotheses"), "hypotheses", &result, false);
		judge_text(c, bpe, expected, &result);
	}
	beam_result_free(&result);
}

static int run_pipeline(const struct setting *t, const struct bpe *bpe, struct error *err)
{
	const json_t *node;
	size_t i;

	json_array_foreach(json_object_get(t->g->root, "pipeline_cases"), i, node) {
		const char *name = json_string_value(json_object_get(node, "image"));
		struct golden_case c = golden_begin(t->g, name ? name : "?");
		tt_tensor *pixels;

		tt_clear(t->p);
		pixels = name ? picture(t, name, err) : NULL;
		if (!pixels)
			return name ? -1 : fail(err, E_FORMAT, "pipeline case %zu has no \"image\"", i);
		judge_pipeline(t, &c, bpe, node, pixels);
		golden_end(&c);
	}
	return 0;
}

static int try_pipeline(const struct setting *t, struct error *err)
{
	char *vocab = golden_data(t->g, "ofa/vocab.json"), *merges = golden_data(t->g, "ofa/merges.txt");
	struct bpe_source source = {.kind = BPE_BYTES, .vocab = vocab, .merges = merges, .codes = CODES, .bins = BINS};
	struct bpe *bpe;
	int rc = 0;

	if (!json_object_get(t->g->root, "pipeline_cases")) {
		rc = 0;
	} else if (!vocab || !merges) {
		golden_skip(t->g, "pipeline", "ofa/vocab.json and ofa/merges.txt are needed; give their folder by --data or VRAMBLE_DATA");
	} else {
		bpe = bpe_load(&source, err);
		rc = bpe ? run_pipeline(t, bpe, err) : -1;
		bpe_free(bpe);
	}
	free(vocab);
	free(merges);
	return rc;
}

/* ---- the fixture ---- */

static int run_all(struct setting *t, struct golden_weights *w, const json_t *cases, struct error *err)
{
	const json_t *node;
	int rc = nn_finish(&w->source, "OFA", err);
	size_t i;

	if (rc == 0)
		run_buffers(t);
	json_array_foreach(cases, i, node)
		if (rc == 0)
			rc = run_case(t, node, err);
	return rc == 0 ? try_pipeline(t, err) : rc;
}

static int run(struct golden *g, struct error *err)
{
	const json_t *cases = golden_array(g, "cases", err);
	struct golden_weights w = {0};
	struct setting t = {.g = g};
	int rc = -1;

	if (cases && golden_weights_open(g, true, &w, err) == 0 && ofa_config_read(w.config, g->path, &t.config, err) == 0) {
		t.net = ofa_net_create(&t.config, &w.source);
		t.p = w.work;
		rc = run_all(&t, &w, cases, err);
		ofa_net_destroy(t.net);
	}
	golden_weights_close(&w);
	return rc;
}

const struct golden_kind golden_ofa = {"OFA network", claims, run};
