/* blip_text.c - BLIP's decoder: BERT's post-norm layers with attention to the picture in each, over a whole prefix (tests) and a token at a time with caches.
 * See blip.h. The residual stream and the norms are fp32, products run in the compute dtype. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "models/blip_net.h"
#include "models/decode.h"

static const double MASKED = -10000; /* what the published code adds to a score that is not to count */

/* ---- weights ---- */

typedef struct nn_linear linear_opener(struct nn_source *s, const char *prefix, int64_t in, int64_t out, bool bias);

static struct nn_linear open_linear(struct nn_source *s, const char *prefix, const char *name, int64_t in, int64_t out, linear_opener *opener)
{
	char *full = xasprintf("%s.%s", prefix, name);
	struct nn_linear l = opener(s, full, in, out, true);

	free(full);
	return l;
}

/* many: how key and value layers are opened, from width `from`: a cross attention's meet whole pictures instead of few rows. */
static struct postnorm_attention open_attention(struct nn_source *s, const struct blip_config *c, const char *layer, const char *kind, int64_t from,
						linear_opener *many)
{
	char *prefix = xasprintf("%s.%s", layer, kind);
	int64_t d = c->text.hidden;
	struct postnorm_attention a = {
		.query = open_linear(s, prefix, "self.query", d, d, nn_linear_open_packed),
		.key = open_linear(s, prefix, "self.key", from, d, many),
		.value = open_linear(s, prefix, "self.value", from, d, many),
		.output = open_linear(s, prefix, "output.dense", d, d, nn_linear_open_packed),
		.norm = postnorm_norm_open(s, prefix, "output.LayerNorm", d, c->text.eps),
		.heads = c->text.heads,
	};

	free(prefix);
	return a;
}

static struct blip_text_layer open_layer(struct nn_source *s, const struct blip_config *c, int i)
{
	char *layer = xasprintf("text_decoder.bert.encoder.layer.%d", i);
	int64_t d = c->text.hidden, wide = c->text.intermediate;
	struct blip_text_layer l = {
		.self = open_attention(s, c, layer, "attention", d, nn_linear_open_packed),
		.cross = open_attention(s, c, layer, "crossattention", c->vision.hidden, nn_linear_open),
		.feed =
			{
				.up = open_linear(s, layer, "intermediate.dense", d, wide, nn_linear_open_packed),
				.down = open_linear(s, layer, "output.dense", wide, d, nn_linear_open_packed),
				.norm = postnorm_norm_open(s, layer, "output.LayerNorm", d, c->text.eps),
				.activation = c->text.activation,
			},
	};

	free(layer);
	return l;
}

/* The output layer may be stored apart from the words' table or not, its bias under either of two names. */
static void open_head(struct blip_text *t, struct nn_source *s, const struct blip_config *c)
{
	static const char head[] = "text_decoder.cls.predictions";
	bool apart = !s->file || nn_has(s, "%s.decoder.weight", head);
	const char *bias = nn_has(s, "%s.bias", head) || !nn_has(s, "%s.decoder.bias", head) ? "bias" : "decoder.bias";
	int64_t d = c->text.hidden;

	t->transform = open_linear(s, head, "transform.dense", d, d, nn_linear_open_packed);
	t->transform_norm = postnorm_norm_open(s, head, "transform.LayerNorm", d, c->text.eps);
	if (apart)
		t->head = nn_linear_open_packed(s, "text_decoder.cls.predictions.decoder", d, c->vocabulary, false);
	else {
		t->head = (struct nn_linear){.w = t->words, .out = c->vocabulary};
		if (s->count)
			nn_count_packed(s, c->vocabulary, d);
		else if (t->words)
			nn_pack(s->pool, &t->head);
	}
	t->head.b = nn_weight(s, NN_ZEROS, TT_SHAPE(c->vocabulary), "%s.%s", head, bias);
}

void blip_text_open(struct blip_net *net, struct nn_source *s)
{
	static const char embeddings[] = "text_decoder.bert.embeddings";
	const struct blip_config *c = &net->config;
	struct blip_text *t = &net->text;
	int64_t d = c->text.hidden;

	t->words = nn_weight(s, NN_NORMAL, TT_SHAPE(c->vocabulary, d), "%s.word_embeddings.weight", embeddings);
	t->positions = nn_weight_f32(s, NN_NORMAL, TT_SHAPE(c->positions, d), "%s.position_embeddings.weight", embeddings);
	t->norm = postnorm_norm_open(s, embeddings, "LayerNorm", d, c->text.eps);
	t->layers = xcalloc((size_t)c->text.layers, sizeof *t->layers);
	for (int i = 0; i < c->text.layers; i++)
		t->layers[i] = open_layer(s, c, i);
	open_head(t, s, c);
}

struct blip_net *blip_net_create(const struct blip_config *config, struct nn_source *source)
{
	struct blip_net *net = xcalloc(1, sizeof *net);

	net->config = *config;
	net->compute = source->compute;
	net->device = source->device;
	blip_vision_open(net, source);
	blip_text_open(net, source);
	return net;
}

void blip_net_destroy(struct blip_net *net)
{
	if (!net)
		return;
	free(net->vision.layers);
	free(net->text.layers);
	free(net);
}

/* ---- what both ways share ---- */

/* LN(word + position) fp32; positions [L,d] or [1,d] */
static tt_tensor *embed(const struct blip_net *net, tt_pool *p, tt_tensor *ids, int64_t from, int64_t to)
{
	tt_tensor *x = tt_cast(p, tt_embedding(p, net->text.words, ids), TT_F32);

	return nn_norm(p, &net->text.norm, tt_add(p, x, tt_slice(p, net->text.positions, 0, from, to)), TT_F32);
}

static tt_tensor *logits(const struct blip_net *net, tt_pool *p, tt_tensor *x)
{
	tt_tensor *h = tt_activate_(p, nn_linear(p, &net->text.transform, tt_cast(p, x, net->compute)), net->config.text.activation);

	return tt_cast(p, nn_linear(p, &net->text.head, nn_norm(p, &net->text.transform_norm, h, net->compute)), TT_F32);
}

/* ---- a whole prefix ---- */

/* [B,1,L,L] fp32: 0 where j <= i and j is no padding */
static tt_tensor *prefix_bias(const struct blip_net *net, tt_pool *p, int64_t rows, int64_t length, tt_tensor *mask)
{
	int64_t *live = xcalloc((size_t)(rows * length), sizeof *live), cells = length * length;
	float *bias = xcalloc((size_t)(rows * cells), sizeof *bias);
	tt_tensor *x;

	for (int64_t i = 0; i < rows * length; i++)
		live[i] = 1;
	if (mask)
		tt_to_i64(p, mask, live, (size_t)(rows * length));
	for (int64_t i = 0; i < rows * cells; i++) {
		int64_t key = i % length, query = i / length % length, row = i / cells;

		bias[i] = key > query || !live[row * length + key] ? (float)MASKED : 0;
	}
	x = tt_to(p, tt_from_f32(p, bias, TT_SHAPE(rows, 1, length, length)), TT_F32, net->device);
	free(live);
	free(bias);
	return x;
}

tt_tensor *blip_decode(const struct blip_net *net, tt_pool *p, tt_tensor *encoded, tt_tensor *ids, tt_tensor *mask)
{
	int64_t rows = tt_size(ids, 0), length = tt_size(ids, 1);
	tt_mark m = tt_here(p);
	tt_tensor *bias, *x;

	if (length < 1 || length > net->config.positions)
		return tt_fail(p, "%lld tokens where the model takes 1 to %d", (long long)length, net->config.positions);
	bias = prefix_bias(net, p, rows, length, mask);
	x = embed(net, p, tt_to(p, ids, TT_I64, net->device), 0, length);
	for (int i = 0; i < net->config.text.layers; i++) {
		const struct blip_text_layer *l = &net->text.layers[i];

		x = postnorm_attend(p, &l->self, net->compute, x, x, bias, false);
		x = postnorm_attend(p, &l->cross, net->compute, x, encoded, NULL, false);
		x = postnorm_feed(p, &l->feed, net->compute, x);
		tt_keep(p, m, (tt_tensor *[]){x, bias}, 2);
	}
	x = logits(net, p, x);
	tt_keep(p, m, &x, 1);
	return x;
}

/* ---- a token at a time ---- */

struct blip_decoding {
	const struct blip_net *net;
	struct decode d;
};

struct blip_decoding *blip_decoding_create(const struct blip_net *net, tt_pool *p, tt_tensor *encoded)
{
	struct blip_decoding *b = xcalloc(1, sizeof *b);

	b->net = net;
	decode_open(&b->d, p, net->device, net->config.text.layers, (int)tt_size(encoded, 0));
	for (int i = 0; i < net->config.text.layers; i++) {
		const struct postnorm_attention *a = &net->text.layers[i].cross;

		decode_see(&b->d, i, &a->key, &a->value, a->heads, encoded);
		decode_settle(&b->d, NULL, 0);
	}
	return b;
}

void blip_decoding_destroy(struct blip_decoding *b)
{
	if (!b)
		return;
	decode_close(&b->d);
	free(b);
}

static struct decode_attention attention_of(const struct blip_net *net, const struct postnorm_attention *a)
{
	return (struct decode_attention){&a->query, &a->key, &a->value, a->heads, 1 / sqrt((double)net->config.text.hidden / a->heads)};
}

/* Layer i; x [rows,d] fp32 */
static tt_tensor *run_layer(struct blip_decoding *b, int i, tt_tensor *x)
{
	const struct blip_net *net = b->net;
	const struct blip_text_layer *l = &net->text.layers[i];
	const struct decode_attention self = attention_of(net, &l->self), cross = attention_of(net, &l->cross);
	tt_pool *p = b->d.p;
	tt_tensor *mixed = decode_attend_tokens(&b->d, i, &self, tt_cast(p, x, net->compute), NULL);

	x = postnorm_leave(p, &l->self, x, tt_reshape(p, mixed, TT_SHAPE(tt_size(x, 0), tt_size(x, 1))));
	mixed = decode_attend_picture(&b->d, i, &cross, tt_cast(p, x, net->compute), NULL, NULL);
	return postnorm_feed(p, &l->feed, net->compute, postnorm_leave(p, &l->cross, x, mixed));
}

int blip_decoding_step(struct blip_decoding *b, const struct beam_step *s, struct error *err)
{
	const struct blip_net *net = b->net;
	tt_pool *p = b->d.p;
	tt_tensor *x;

	decode_begin(&b->d, s, NULL);
	if (s->step >= net->config.positions)
		tt_fail(p, "%d tokens where the model takes 1 to %d", s->step + 1, net->config.positions);
	x = embed(net, p, b->d.tokens, s->step, s->step + 1);
	for (int i = 0; i < net->config.text.layers; i++)
		x = run_layer(b, i, x);
	return decode_end(&b->d, s, logits(net, p, x), NULL, 0, err);
}
