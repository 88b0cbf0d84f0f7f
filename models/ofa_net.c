/* ofa_net.c - OFA's encoder, and its decoder over a whole prefix (training, tests). See ofa_net.h.
 *
 * Position vectors are never added to the tokens. They make a bias of the attention scores: products of position vectors, the same in all layers,
 * plus a table of relative distances per layer. The residual stream is fp32, whatever the matrices compute in; so it cannot overflow in fp16, against
 * which the published code clamps it.
 */
#include "models/ofa_net.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "core/mem.h"

static const double NORM_EPS = 1e-5;

/* ---- weights ---- */

static struct nn_linear open_linear(struct nn_source *s, const char *prefix, const char *name, int64_t in, int64_t out)
{
	char *full = xasprintf("%s.%s", prefix, name);
	struct nn_linear l = nn_linear_open(s, full, in, out, true);

	free(full);
	return l;
}

static struct nn_linear open_packed(struct nn_source *s, const char *prefix, const char *name, int64_t in, int64_t out)
{
	char *full = xasprintf("%s.%s", prefix, name);
	struct nn_linear l = nn_linear_open_packed(s, full, in, out, true);

	free(full);
	return l;
}

static struct nn_norm open_norm(struct nn_source *s, const char *prefix, const char *name, int64_t d, bool wanted)
{
	char *full = xasprintf("%s.%s", prefix, name);
	struct nn_norm n = {0};

	if (wanted)
		n = nn_norm_open(s, full, d, NORM_EPS);
	free(full);
	return n;
}

typedef struct nn_linear linear_opener(struct nn_source *s, const char *prefix, const char *name, int64_t in, int64_t out);

/* kind: "self_attn" or "cross_attn". The key and value layers of a cross attention meet whole pictures, so they are opened by open_linear. */
static struct ofa_attention open_attention(struct nn_source *s, const struct ofa_config *c, const char *layer, const char *kind, int heads,
					   bool pre_norm, linear_opener *few, linear_opener *many)
{
	char *prefix = xasprintf("%s.%s", layer, kind), *norm = xasprintf("%s_layer_norm", kind), *mid = xasprintf("%s_mid_layer_norm", kind);
	int64_t d = c->d_model;
	struct ofa_attention a = {
		.q = few(s, prefix, "q_proj", d, d),
		.k = many(s, prefix, "k_proj", d, d),
		.v = many(s, prefix, "v_proj", d, d),
		.out = few(s, prefix, "out_proj", d, d),
		.head_scale = nn_weight_f32(s, NN_ONES, TT_SHAPE(heads), "%s.c_attn", prefix),
		.norm = open_norm(s, layer, norm, d, true),
		.mid = open_norm(s, layer, mid, d, c->normformer),
		.heads = heads,
		.pre_norm = pre_norm,
	};

	free(prefix);
	free(norm);
	free(mid);
	return a;
}

static struct ofa_feed open_feed(struct nn_source *s, const struct ofa_config *c, const char *layer, int64_t ffn, bool pre_norm,
				 linear_opener *opener)
{
	return (struct ofa_feed){
		.up = opener(s, layer, "fc1", c->d_model, ffn),
		.down = opener(s, layer, "fc2", ffn, c->d_model),
		.norm = open_norm(s, layer, "final_layer_norm", c->d_model, true),
		.mid = open_norm(s, layer, "ffn_layer_norm", ffn, c->normformer),
		.pre_norm = pre_norm,
	};
}

/* stack: "encoder" or "decoder"; kind: "token" or "image". Tables start at zero: training begins without a preference for any distance. */
static void open_tables(struct nn_source *s, const struct ofa_config *c, const char *stack, const char *kind, int64_t rows, int heads,
			struct ofa_layer *layers, int n, size_t field)
{
	tt_tensor *table = NULL;

	for (int i = 0; i < n; i++) {
		if (i == 0 || !c->share_attn_bias)
			table = nn_weight_f32(s, NN_ZEROS, TT_SHAPE(rows, heads), "%s.%s_rel_pos_table_list.%d.weight", stack, kind, i);
		*(tt_tensor **)((char *)&layers[i] + field) = table;
	}
}

static void open_encoder(struct nn_source *s, const struct ofa_config *c, struct ofa_encoder *e)
{
	int64_t d = c->d_model, places = (int64_t)c->image_bucket * c->image_bucket, span = 2 * (int64_t)c->image_bucket - 1;

	e->stem = ofa_stem_create(c->blocks, s);
	e->image_proj = open_linear(s, "encoder", "image_proj", OFA_STEM_CHANNELS, d);
	if (c->type_embedding)
		e->types = nn_weight_f32(s, NN_NORMAL, TT_SHAPE(2, d), "encoder.type_embedding.weight");
	e->text_norm = open_norm(s, "encoder", "layernorm_embedding", d, c->layernorm_embedding);
	e->patch_norm = open_norm(s, "encoder", "patch_layernorm_embedding", d, c->patch_layernorm_embedding);
	e->positions = nn_weight_f32(s, NN_NORMAL, TT_SHAPE(c->positions + 2, d), "encoder.embed_positions.weight");
	e->image_positions = nn_weight_f32(s, NN_NORMAL, TT_SHAPE(places + 1, d), "encoder.embed_image_positions.weight");
	e->pos_norm = open_norm(s, "encoder", "pos_ln", d, true);
	e->image_pos_norm = open_norm(s, "encoder", "image_pos_ln", d, true);
	e->pos_q = open_linear(s, "encoder", "pos_q_linear", d, d);
	e->pos_k = open_linear(s, "encoder", "pos_k_linear", d, d);
	e->layers = xcalloc((size_t)c->encoder_layers, sizeof *e->layers);
	for (int i = 0; i < c->encoder_layers; i++) {
		char *name = xasprintf("encoder.layers.%d", i);

		e->layers[i].self = open_attention(s, c, name, "self_attn", c->encoder_heads, c->encoder_pre_norm, open_linear, open_linear);
		e->layers[i].feed = open_feed(s, c, name, c->encoder_ffn, c->encoder_pre_norm, open_linear);
		free(name);
	}
	open_tables(s, c, "encoder", "token", 2 * c->token_bucket - 1, c->encoder_heads, e->layers, c->encoder_layers,
		    offsetof(struct ofa_layer, token_table));
	open_tables(s, c, "encoder", "image", span * span + 3, c->encoder_heads, e->layers, c->encoder_layers,
		    offsetof(struct ofa_layer, image_table));
	e->last = open_norm(s, "encoder", "layer_norm", d, c->encoder_pre_norm);
}

static void open_decoder(struct nn_source *s, const struct ofa_config *c, struct ofa_decoder *o)
{
	int64_t d = c->d_model;

	o->text_norm = open_norm(s, "decoder", "layernorm_embedding", d, c->layernorm_embedding);
	o->positions = nn_weight_f32(s, NN_NORMAL, TT_SHAPE(c->positions + 2, d), "decoder.embed_positions.weight");
	o->pos_norm = open_norm(s, "decoder", "pos_ln", d, true);
	o->self_pos_q = open_linear(s, "decoder", "self_pos_q_linear", d, d);
	o->self_pos_k = open_linear(s, "decoder", "self_pos_k_linear", d, d);
	o->cross_pos_q = open_linear(s, "decoder", "cross_pos_q_linear", d, d);
	o->cross_pos_k = open_linear(s, "decoder", "cross_pos_k_linear", d, d);
	o->layers = xcalloc((size_t)c->decoder_layers, sizeof *o->layers);
	for (int i = 0; i < c->decoder_layers; i++) {
		char *name = xasprintf("decoder.layers.%d", i);

		o->layers[i].self = open_attention(s, c, name, "self_attn", c->decoder_heads, c->decoder_pre_norm, open_packed, open_packed);
		o->layers[i].cross = open_attention(s, c, name, "cross_attn", c->decoder_heads, c->decoder_pre_norm, open_packed, open_linear);
		o->layers[i].feed = open_feed(s, c, name, c->decoder_ffn, c->decoder_pre_norm, open_packed);
		free(name);
	}
	open_tables(s, c, "decoder", "token", 2 * c->token_bucket - 1, c->decoder_heads, o->layers, c->decoder_layers,
		    offsetof(struct ofa_layer, token_table));
	o->last = open_norm(s, "decoder", "layer_norm", d, c->decoder_pre_norm);
}

/* The token table may stand under any of its three tied names. */
static void open_embedding(struct nn_source *s, struct ofa_net *net)
{
	static const char *const names[] = {"encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "decoder.output_projection.weight"};
	const struct ofa_config *c = &net->config;
	int n = c->share_output ? 3 : 2, found = 0;

	for (int i = n - 1; i >= 0; i--) {
		if (nn_has(s, "%s", names[i]))
			found = i;
	}
	net->embed = nn_weight(s, NN_NORMAL, TT_SHAPE(c->vocabulary, c->d_model), "%s", names[found]);
	net->decoder.head = (struct nn_linear){.w = net->embed, .out = c->vocabulary};
	if (!c->share_output)
		net->decoder.head = nn_linear_open(s, "decoder.output_projection", c->d_model, c->vocabulary, false);
	if (s->count)
		nn_count_packed(s, c->vocabulary, c->d_model);
	else if (s->file && net->decoder.head.w)
		nn_pack(s->pool, &net->decoder.head);
}

struct ofa_net *ofa_net_create(const struct ofa_config *config, struct nn_source *source)
{
	struct ofa_net *net = xcalloc(1, sizeof *net);

	net->config = *config;
	net->compute = source->compute;
	net->device = source->device;
	open_embedding(source, net);
	open_encoder(source, &net->config, &net->encoder);
	open_decoder(source, &net->config, &net->decoder);
	return net;
}

void ofa_net_destroy(struct ofa_net *net)
{
	if (!net)
		return;
	ofa_stem_destroy(net->encoder.stem);
	free(net->encoder.layers);
	free(net->decoder.layers);
	free(net);
}

/* ---- position biases ---- */

int64_t ofa_token_bucket(int bucket, int64_t r)
{
	int64_t middle = bucket / 2, far = r < 0 ? -r : r;

	if (far > middle) {
		double part = log((double)far / (double)middle) / log((OFA_BUCKET_REACH - 1) / (double)middle);

		far = (int64_t)ceil(part * (double)(middle - 1)) + middle;
	}
	return (r < 0 ? -far : far) + bucket - 1;
}

int64_t ofa_image_bucket(int bucket, int64_t query, int64_t key)
{
	int64_t span = 2 * (int64_t)bucket - 1, rows, columns;

	if (query == 0 || key == 0)
		return span * span + (key != 0 ? 0 : query != 0 ? 1 : 2);
	rows = (query - 1) / bucket - (key - 1) / bucket;
	columns = (query - 1) % bucket - (key - 1) % bucket;
	return (rows + bucket - 1) * span + columns + bucket - 1;
}

double ofa_scale(const struct ofa_net *net, int heads)
{
	return 1 / sqrt((double)net->config.d_model / heads * net->config.attn_scale_factor);
}

static tt_tensor *index_tensor(const struct ofa_net *net, tt_pool *p, const int64_t *values, int64_t n)
{
	return tt_to(p, tt_from_i64(p, values, TT_SHAPE(n)), TT_I64, net->device);
}

tt_tensor *ofa_position_bias(const struct ofa_net *net, tt_pool *p, const struct nn_linear *q, const struct nn_linear *k, tt_tensor *a, tt_tensor *b,
			     int heads)
{
	tt_tensor *queries = nn_heads(p, nn_linear(p, q, tt_cast(p, a, net->compute)), heads);
	tt_tensor *keys = nn_heads(p, nn_linear(p, k, tt_cast(p, b, net->compute)), heads);
	tt_tensor *products = tt_matmul(p, queries, tt_transpose(p, keys, 2, 3));

	return tt_scale_(p, tt_cast(p, products, TT_F32), ofa_scale(net, heads));
}

tt_tensor *ofa_token_bias(const struct ofa_net *net, tt_pool *p, tt_tensor *table, int64_t n)
{
	int64_t *index = xcalloc((size_t)(n * n), sizeof *index);
	tt_tensor *rows;

	for (int64_t i = 0; i < n; i++) {
		for (int64_t j = 0; j < n; j++)
			index[i * n + j] = ofa_token_bucket(net->config.token_bucket, i - j);
	}
	rows = tt_index_select(p, table, 0, index_tensor(net, p, index, n * n));
	free(index);
	return tt_reshape(p, tt_transpose(p, rows, 0, 1), TT_SHAPE(1, tt_size(table, 1), n, n));
}

/* [n*n]: entry (i,j) is i - j + bucket - 1 */
static tt_tensor *difference_index(const struct ofa_net *net, tt_pool *p, int64_t n)
{
	int64_t *index = xcalloc((size_t)(n * n), sizeof *index);
	tt_tensor *x;

	for (int64_t i = 0; i < n; i++) {
		for (int64_t j = 0; j < n; j++)
			index[i * n + j] = i - j + net->config.image_bucket - 1;
	}
	x = index_tensor(net, p, index, n * n);
	free(index);
	return x;
}

/* A layer's relative bias among the patches of an h x w grid, [1,H,h*w,h*w]. The table is a square over (row difference, column difference), so columns
 * are chosen first and then whole runs of w*w by rows: few indices, long copies. */
static tt_tensor *image_bias(const struct ofa_net *net, tt_pool *p, tt_tensor *table, int64_t h, int64_t w)
{
	int64_t span = 2 * (int64_t)net->config.image_bucket - 1, heads = tt_size(table, 1);
	tt_tensor *square = tt_transpose(p, tt_slice(p, table, 0, 0, span * span), 0, 1);
	tt_tensor *x = tt_reshape(p, square, TT_SHAPE(heads, span, span));

	x = tt_index_select(p, x, 2, difference_index(net, p, w));
	x = tt_index_select(p, x, 1, difference_index(net, p, h));
	x = tt_permute(p, tt_reshape(p, x, TT_SHAPE(heads, h, h, w, w)), TT_SHAPE(0, 1, 3, 2, 4));
	return tt_reshape(p, x, TT_SHAPE(1, heads, h * w, h * w));
}

/* The grid and what the encoder's layers share. */
struct scene {
	int64_t h, w, tokens;
	tt_tensor *absolute; /* [1,H,S,S] fp32, S = h*w + tokens */
	tt_tensor *key_bias; /* [B,1,1,S] or NULL */
};

/* absolute + the layer's relative tables; between patches and tokens there is no relative part */
static tt_tensor *encoder_bias(const struct ofa_net *net, tt_pool *p, const struct ofa_layer *l, const struct scene *s)
{
	int64_t n = s->h * s->w, all = n + s->tokens;
	tt_mark m = tt_here(p);
	tt_tensor *upper = tt_slice(p, s->absolute, 2, 0, n), *lower = tt_slice(p, s->absolute, 2, n, all);
	tt_tensor *patches = tt_add_(p, image_bias(net, p, l->image_table, s->h, s->w), tt_slice(p, upper, 3, 0, n));
	tt_tensor *tokens = tt_add_(p, ofa_token_bias(net, p, l->token_table, s->tokens), tt_slice(p, lower, 3, n, all));
	tt_tensor *bias;

	upper = tt_cat(p, (tt_tensor *[]){patches, tt_slice(p, upper, 3, n, all)}, 2, 3);
	lower = tt_cat(p, (tt_tensor *[]){tt_slice(p, lower, 3, 0, n), tokens}, 2, 3);
	bias = tt_cat(p, (tt_tensor *[]){upper, lower}, 2, 2);
	if (s->key_bias)
		bias = tt_add(p, bias, s->key_bias);
	tt_keep(p, m, &bias, 1);
	return bias;
}

/* ---- half layers ---- */

tt_tensor *ofa_attention_enter(const struct ofa_net *net, tt_pool *p, const struct ofa_attention *a, tt_tensor *x)
{
	return a->pre_norm ? nn_norm(p, &a->norm, x, net->compute) : tt_cast(p, x, net->compute);
}

tt_tensor *ofa_attention_leave(tt_pool *p, const struct ofa_attention *a, tt_tensor *x, tt_tensor *mixed)
{
	tt_tensor *y = nn_linear(p, &a->out, mixed);

	if (a->mid.w)
		y = nn_norm(p, &a->mid, y, TT_F32);
	x = tt_add(p, x, y);
	return a->pre_norm ? x : nn_norm(p, &a->norm, x, TT_F32);
}

/* y: what keys and values come from, in the compute dtype; NULL for x itself */
static tt_tensor *attend(const struct ofa_net *net, tt_pool *p, const struct ofa_attention *a, tt_tensor *x, tt_tensor *y, tt_tensor *bias,
			 bool causal)
{
	tt_tensor *h = ofa_attention_enter(net, p, a, x);

	h = nn_attention(p, &a->q, &a->k, &a->v, h, y ? y : h, a->heads, ofa_scale(net, a->heads), bias, causal, a->head_scale);
	return ofa_attention_leave(p, a, x, h);
}

tt_tensor *ofa_feed_run(const struct ofa_net *net, tt_pool *p, const struct ofa_feed *f, tt_tensor *x)
{
	tt_tensor *h = f->pre_norm ? nn_norm(p, &f->norm, x, net->compute) : tt_cast(p, x, net->compute);

	h = tt_activate_(p, nn_linear(p, &f->up, h), net->config.activation);
	if (f->mid.w)
		h = nn_norm(p, &f->mid, h, net->compute);
	x = tt_add(p, x, nn_linear(p, &f->down, h));
	return f->pre_norm ? x : nn_norm(p, &f->norm, x, TT_F32);
}

/* ---- encoder ---- */

tt_tensor *ofa_embed(const struct ofa_net *net, tt_pool *p, tt_tensor *ids, tt_tensor *type, const struct nn_norm *norm)
{
	tt_tensor *x = tt_cast(p, tt_embedding(p, net->embed, ids), TT_F32);

	if (net->config.scale_embedding)
		x = tt_scale(p, x, sqrt(net->config.d_model));
	if (type)
		x = tt_add(p, x, type);
	return norm->w ? nn_norm(p, norm, x, TT_F32) : x;
}

/* features [B,1024,h,w] -> [B,h*w,d] fp32 */
static tt_tensor *embed_patches(const struct ofa_net *net, tt_pool *p, tt_tensor *features)
{
	const struct ofa_encoder *e = &net->encoder;
	int64_t rows = tt_size(features, 0), n = tt_size(features, 2) * tt_size(features, 3);
	tt_tensor *x = tt_reshape(p, tt_permute(p, features, TT_SHAPE(0, 2, 3, 1)), TT_SHAPE(rows, n, OFA_STEM_CHANNELS));

	x = tt_cast(p, nn_linear(p, &e->image_proj, x), TT_F32);
	if (net->config.scale_embedding)
		x = tt_scale(p, x, sqrt(net->config.d_model));
	if (e->types)
		x = tt_add(p, x, tt_select(p, e->types, 0, 1));
	return e->patch_norm.w ? nn_norm(p, &e->patch_norm, x, TT_F32) : x;
}

/* Position vectors of an h x w grid and n tokens, [1,h*w+n,d] fp32. */
static tt_tensor *encoder_positions(const struct ofa_net *net, tt_pool *p, int64_t h, int64_t w, int64_t n)
{
	const struct ofa_encoder *e = &net->encoder;
	int64_t d = net->config.d_model, *index = xcalloc((size_t)(h * w), sizeof *index);
	tt_tensor *image, *text;

	for (int64_t i = 0; i < h * w; i++)
		index[i] = i / w * net->config.image_bucket + i % w + 1;
	image = tt_index_select(p, e->image_positions, 0, index_tensor(net, p, index, h * w));
	free(index);
	image = nn_norm(p, &e->image_pos_norm, image, TT_F32);
	text = nn_norm(p, &e->pos_norm, tt_slice(p, e->positions, 0, 0, n), TT_F32);
	return tt_reshape(p, tt_cat(p, (tt_tensor *[]){image, text}, 2, 0), TT_SHAPE(1, h * w + n, d));
}

/* The most negative finite number of a dtype: what the reference adds to the scores of padding. */
static float lowest(enum tt_dtype dtype)
{
	return dtype == TT_F16 ? -65504.0f : dtype == TT_BF16 ? -0x1.fep127f : -FLT_MAX;
}

/* ids [B,T] on the host. Without padding both results are NULL; else key_bias [B,1,1,patches+T] fp32 and live [B,patches+T,1]: 0 for padding, else 1. */
static void find_padding(const struct ofa_net *net, tt_pool *p, tt_tensor *ids, int64_t patches, tt_tensor **key_bias, tt_tensor **live)
{
	int64_t rows = tt_size(ids, 0), length = tt_size(ids, 1), all = patches + length, *id = xcalloc((size_t)(rows * length + 1), sizeof *id);
	float *bias = xcalloc((size_t)(rows * all), sizeof *bias), *keep = xcalloc((size_t)(rows * all), sizeof *keep);
	bool padded = false;

	*key_bias = *live = NULL;
	tt_to_i64(p, ids, id, (size_t)(rows * length));
	for (int64_t i = 0; i < rows * all; i++) {
		bool pad = i % all >= patches && id[i / all * length + i % all - patches] == net->config.pad;

		padded |= pad;
		bias[i] = pad ? lowest(net->compute) : 0;
		keep[i] = pad ? 0 : 1;
	}
	if (padded) {
		*key_bias = tt_to(p, tt_from_f32(p, bias, TT_SHAPE(rows, 1, 1, all)), TT_F32, net->device);
		*live = tt_to(p, tt_from_f32(p, keep, TT_SHAPE(rows, all, 1)), TT_F32, net->device);
	}
	free(id);
	free(bias);
	free(keep);
}

int ofa_check_tokens(const struct ofa_net *net, tt_pool *p, int64_t n)
{
	int places = net->config.positions < OFA_BUCKET_REACH ? net->config.positions : OFA_BUCKET_REACH;

	if (n < 1 || n > places)
		tt_fail(p, "%lld tokens where the model takes 1 to %d", (long long)n, places);
	return tt_status_of(p) == TT_OK ? 0 : -1;
}

static int check_grid(const struct ofa_net *net, tt_pool *p, int64_t h, int64_t w)
{
	int side = net->config.image_bucket;

	if (h > side || w > side)
		tt_fail(p, "a grid of %lldx%lld patches is larger than the model's %dx%d; use an image size up to %d", (long long)h, (long long)w,
			side, side, side * OFA_PATCH);
	return tt_status_of(p) == TT_OK ? 0 : -1;
}

/* Ends a half layer: all since m goes but x and what out holds. */
static void settle(tt_pool *p, tt_mark m, tt_tensor *x, const struct scene *s, const struct ofa_memory *out)
{
	tt_tensor *keep[] = {x, s->absolute, s->key_bias, out->positions, out->features, out->embedding, out->layer0};

	tt_keep(p, m, keep, sizeof keep / sizeof keep[0]);
}

int ofa_encode(const struct ofa_net *net, tt_pool *p, tt_tensor *pixels, tt_tensor *ids, bool trace, struct ofa_memory *out)
{
	const struct ofa_encoder *e = &net->encoder;
	tt_mark m = tt_here(p);
	tt_tensor *features = ofa_stem_run(e->stem, p, tt_to(p, pixels, net->compute, net->device)), *x, *live;
	struct scene s = {.h = tt_size(features, 2), .w = tt_size(features, 3), .tokens = tt_size(ids, 1)};

	*out = (struct ofa_memory){0};
	if (check_grid(net, p, s.h, s.w) < 0 || ofa_check_tokens(net, p, s.tokens) < 0)
		return -1;
	find_padding(net, p, ids, s.h * s.w, &s.key_bias, &live);
	x = ofa_embed(net, p, tt_to(p, ids, TT_I64, net->device), e->types ? tt_select(p, e->types, 0, 0) : NULL, &e->text_norm);
	x = tt_cat(p, (tt_tensor *[]){embed_patches(net, p, features), x}, 2, 1);
	if (live)
		x = tt_mul(p, x, live);
	out->positions = encoder_positions(net, p, s.h, s.w, s.tokens);
	s.absolute = ofa_position_bias(net, p, &e->pos_q, &e->pos_k, out->positions, out->positions, net->config.encoder_heads);
	out->features = trace ? features : NULL;
	out->embedding = trace ? x : NULL;
	settle(p, m, x, &s, out);
	for (int i = 0; i < net->config.encoder_layers; i++) {
		x = attend(net, p, &e->layers[i].self, x, NULL, encoder_bias(net, p, &e->layers[i], &s), false);
		settle(p, m, x, &s, out);
		x = ofa_feed_run(net, p, &e->layers[i].feed, x);
		if (trace && i == 0)
			out->layer0 = x;
		settle(p, m, x, &s, out);
	}
	s.absolute = NULL;
	x = e->last.w ? nn_norm(p, &e->last, x, net->compute) : tt_cast(p, x, net->compute);
	settle(p, m, x, &s, out);
	out->output = x;
	out->key_bias = s.key_bias;
	return tt_status_of(p) == TT_OK ? 0 : -1;
}

/* ---- decoder ---- */

tt_tensor *ofa_decoder_positions(const struct ofa_net *net, tt_pool *p, int64_t n)
{
	const struct ofa_decoder *o = &net->decoder;

	return nn_norm(p, &o->pos_norm, tt_reshape(p, tt_slice(p, o->positions, 0, 0, n), TT_SHAPE(1, n, net->config.d_model)), TT_F32);
}

tt_tensor *ofa_logits(const struct ofa_net *net, tt_pool *p, tt_tensor *x)
{
	const struct ofa_decoder *o = &net->decoder;

	x = o->last.w ? nn_norm(p, &o->last, x, net->compute) : tt_cast(p, x, net->compute);
	return tt_cast(p, nn_linear(p, &o->head, x), TT_F32);
}

tt_tensor *ofa_decode(const struct ofa_net *net, tt_pool *p, const struct ofa_memory *memory, tt_tensor *ids)
{
	const struct ofa_decoder *o = &net->decoder;
	int64_t length = tt_size(ids, 1);
	int heads = net->config.decoder_heads;
	tt_tensor *places, *absolute, *across, *x, *keep[3];
	tt_mark m = tt_here(p);

	if (ofa_check_tokens(net, p, length) < 0)
		return NULL;
	places = ofa_decoder_positions(net, p, length);
	absolute = ofa_position_bias(net, p, &o->self_pos_q, &o->self_pos_k, places, places, heads);
	across = ofa_position_bias(net, p, &o->cross_pos_q, &o->cross_pos_k, places, memory->positions, heads);
	if (memory->key_bias)
		across = tt_add(p, across, memory->key_bias);
	x = ofa_embed(net, p, tt_to(p, ids, TT_I64, net->device), NULL, &o->text_norm);
	keep[0] = absolute;
	keep[1] = across;
	for (int i = 0; i < net->config.decoder_layers; i++) {
		const struct ofa_layer *l = &o->layers[i];

		x = attend(net, p, &l->self, x, NULL, tt_add(p, absolute, ofa_token_bias(net, p, l->token_table, length)), true);
		keep[2] = x;
		tt_keep(p, m, keep, 3);
		x = ofa_feed_run(net, p, &l->feed, attend(net, p, &l->cross, x, memory->output, across, false));
		keep[2] = x;
		tt_keep(p, m, keep, 3);
	}
	x = ofa_logits(net, p, x);
	tt_keep(p, m, &x, 1);
	return x;
}
