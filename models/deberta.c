/* deberta.c - see deberta.h. */
#include "models/deberta.h"

#include <math.h>
#include <stdlib.h>

#include "models/postnorm.h"

static const struct postnorm_names names = {
	"attention.self.query_proj",
	"attention.self.key_proj",
	"attention.self.value_proj",
	"attention.output.dense",
	"attention.output.LayerNorm",
	"intermediate.dense",
	"output.dense",
	"output.LayerNorm",
};

struct layer {
	struct postnorm_attention attention;
	struct postnorm_feed feed;
	struct nn_linear place_query, place_key; /* where places do not share the tokens' */
	tt_tensor *place_queries, *place_keys;   /* [2*span,hidden] in compute; NULL where that score is not asked for */
};

struct deberta_net {
	struct deberta_config config;
	enum tt_dtype compute;
	int device;
	tt_tensor *words, *positions, *types; /* [vocabulary,embedding], and such of positions and types or NULL */
	struct nn_linear widen;               /* [hidden,embedding], where they differ */
	struct nn_norm norm;
	tt_tensor *places; /* [2*span,hidden], or NULL */
	struct nn_norm place_norm;
	tt_tensor *kernel, *kernel_bias; /* [hidden,kernel*hidden], [hidden]; NULL without a convolution */
	struct nn_norm kernel_norm;
	struct layer *layer;
	struct nn_linear pooler, classifier; /* [hidden,hidden], [labels,hidden] */
};

/* ---- weights ---- */

static bool scores_places(const struct deberta_config *c)
{
	return c->relative && (c->to_places || c->from_places);
}

/* Keeps what `of` makes of the places, [2*span,hidden]; NULL in a source that only counts. */
static tt_tensor *ask_places(const struct deberta_net *net, struct nn_source *s, const struct nn_linear *of)
{
	tt_mark start = tt_here(s->pool);
	tt_tensor *places;

	if (s->count) {
		nn_count_made(s, s->compute, 2 * (int64_t)deberta_span(&net->config) * net->config.hidden);
		return NULL;
	}
	places = net->config.norm_places ? nn_norm(s->pool, &net->place_norm, net->places, s->compute) : net->places;
	places = nn_linear(s->pool, of, places);
	tt_keep(s->pool, start, &places, 1);
	return places;
}

/* What the layer's queries and keys make of the places, which is the same for every text. */
static void open_places(const struct deberta_net *net, struct layer *l, struct nn_source *s, const char *name)
{
	const struct deberta_config *c = &net->config;

	if (!c->share_keys && c->to_places)
		l->place_key = postnorm_linear_open(s, name, "attention.self.pos_key_proj", c->hidden, c->hidden);
	if (!c->share_keys && c->from_places)
		l->place_query = postnorm_linear_open(s, name, "attention.self.pos_query_proj", c->hidden, c->hidden);
	if (c->to_places)
		l->place_keys = ask_places(net, s, c->share_keys ? &l->attention.key : &l->place_key);
	if (c->from_places)
		l->place_queries = ask_places(net, s, c->share_keys ? &l->attention.query : &l->place_query);
}

static void open_layer(const struct deberta_net *net, struct layer *l, struct nn_source *s, const char *root, int index)
{
	const struct deberta_config *c = &net->config;
	char *name = xasprintf("%sencoder.layer.%d", root, index);

	l->attention = postnorm_attention_open(s, name, &names, c->hidden, c->heads, c->eps);
	l->feed = postnorm_feed_open(s, name, &names, c->hidden, c->intermediate, c->activation, c->eps);
	if (scores_places(c))
		open_places(net, l, s, name);
	free(name);
}

static void open_embeddings(struct deberta_net *net, struct nn_source *s, const char *root)
{
	const struct deberta_config *c = &net->config;
	char *name = xasprintf("%sembeddings", root), *widen = xasprintf("%s.embed_proj", name);

	net->words = nn_weight(s, NN_NORMAL, TT_SHAPE(c->vocabulary, c->embedding), "%s.word_embeddings.weight", name);
	if (c->biased)
		net->positions = nn_weight(s, NN_NORMAL, TT_SHAPE(c->positions, c->embedding), "%s.position_embeddings.weight", name);
	if (c->types > 0)
		net->types = nn_weight(s, NN_NORMAL, TT_SHAPE(c->types, c->embedding), "%s.token_type_embeddings.weight", name);
	if (c->embedding != c->hidden)
		net->widen = nn_linear_open(s, widen, c->embedding, c->hidden, false);
	net->norm = postnorm_norm_open(s, name, "LayerNorm", c->hidden, c->eps);
	free(widen);
	free(name);
}

/* A convolution over [B,L,hidden] is a linear layer over each token between its neighbours: [out,in,kernel] becomes [out,kernel*in]. */
static void open_kernel(struct deberta_net *net, struct nn_source *s, const char *root)
{
	int64_t d = net->config.hidden, k = net->config.kernel;
	char *name = xasprintf("%sencoder.conv", root);
	tt_tensor *turned;
	tt_mark start;

	net->kernel = nn_weight(s, NN_NORMAL, TT_SHAPE(d, d, k), "%s.conv.weight", name);
	net->kernel_bias = nn_weight(s, NN_ZEROS, TT_SHAPE(d), "%s.conv.bias", name);
	net->kernel_norm = postnorm_norm_open(s, name, "LayerNorm", d, net->config.eps);
	free(name);
	if (s->count) {
		nn_count_made(s, s->compute, d * d * k);
		return;
	}
	start = tt_here(s->pool);
	turned = tt_contiguous(s->pool, tt_permute(s->pool, net->kernel, TT_SHAPE(0, 2, 1)));
	net->kernel = tt_reshape(s->pool, turned, TT_SHAPE(d, k * d));
	tt_keep(s->pool, start, &net->kernel, 1);
}

struct deberta_net *deberta_net_create(const struct deberta_config *config, struct nn_source *source)
{
	struct deberta_net *net = xcalloc(1, sizeof *net);
	const struct deberta_config *c = &net->config;
	const char *root = nn_has(source, "embeddings.word_embeddings.weight") ? "" : "deberta.";
	char *encoder = xasprintf("%sencoder", root);

	net->config = *config;
	net->compute = source->compute;
	net->device = source->device;
	open_embeddings(net, source, root);
	if (scores_places(c))
		net->places = nn_weight(source, NN_NORMAL, TT_SHAPE(2 * deberta_span(c), c->hidden), "%s.rel_embeddings.weight", encoder);
	if (scores_places(c) && c->norm_places)
		net->place_norm = postnorm_norm_open(source, encoder, "LayerNorm", c->hidden, c->eps);
	if (c->kernel > 0)
		open_kernel(net, source, root);
	net->layer = xcalloc((size_t)c->layers, sizeof *net->layer);
	for (int i = 0; i < c->layers; i++)
		open_layer(net, &net->layer[i], source, root, i);
	net->pooler = nn_linear_open(source, "pooler.dense", c->hidden, c->hidden, true);
	net->classifier = nn_linear_open(source, "classifier", c->hidden, c->labels, true);
	free(encoder);
	return net;
}

void deberta_net_destroy(struct deberta_net *net)
{
	if (!net)
		return;
	free(net->layer);
	free(net);
}

/* ---- forward ---- */

/* What all layers of one run share. */
struct run {
	tt_tensor *inside, *bias; /* mask [B,L,1] in compute and as what is added to scores [B,1,1,L]; NULL without a mask */
	tt_tensor *rows, *turned; /* [1,1,L,L] I64: the place of i seen from j, less `first`; the same with i and j exchanged */
	int64_t first, behind;    /* rows of the table of places that distances of this length can have */
	tt_tensor *words;         /* [B,L,hidden] in compute: what the first layer reads, where a convolution reads it too */
};

static void find_places(const struct deberta_net *net, tt_pool *p, int64_t length, struct run *run)
{
	int64_t *list = xcalloc((size_t)(length * length) + 1, sizeof *list);
	const struct deberta_config *c = &net->config;

	run->first = deberta_place(c, 1 - length);
	run->behind = deberta_place(c, length - 1) + 1;
	for (int64_t i = 0; i < length; i++)
		for (int64_t j = 0; j < length; j++)
			list[i * length + j] = deberta_place(c, i - j) - run->first;
	run->rows = tt_to(p, tt_from_i64(p, list, TT_SHAPE(1, 1, length, length)), TT_I64, net->device);
	run->turned = tt_contiguous(p, tt_transpose(p, run->rows, 2, 3));
	free(list);
}

/* x [B,L,d] times each head's part of what places say: the places that `rows` names for each pair of tokens, [B,heads,L,L]. Heads lead, so that one product
 * over all texts does. */
static tt_tensor *compare_places(const struct deberta_net *net, tt_pool *p, const struct run *run, tt_tensor *x, tt_tensor *places, tt_tensor *rows)
{
	int64_t batch = tt_size(x, 0), length = tt_size(x, 1), heads = net->config.heads, depth = net->config.hidden / heads;
	tt_tensor *tokens = tt_transpose(p, tt_reshape(p, x, TT_SHAPE(batch * length, heads, depth)), 0, 1), *scores;

	places = tt_reshape(p, tt_slice(p, places, 0, run->first, run->behind), TT_SHAPE(run->behind - run->first, heads, depth));
	scores = tt_matmul(p, tokens, tt_permute(p, places, TT_SHAPE(1, 2, 0)));
	scores = tt_transpose(p, tt_reshape(p, scores, TT_SHAPE(heads, batch, length, run->behind - run->first)), 0, 1);
	return tt_gather(p, scores, 3, tt_expand(p, rows, TT_SHAPE(batch, heads, length, length)));
}

/* score(i,j) = (Q_i K_j + Q_i PK_ij + K_j PQ_ij) / sqrt(kinds * depth): its last two parts, of which there may be one, and the mask */
static tt_tensor *place_bias(const struct deberta_net *net, tt_pool *p, const struct layer *l, const struct run *run, tt_tensor *query,
			     tt_tensor *key, double scale)
{
	tt_mark start = tt_here(p);
	tt_tensor *bias = l->place_keys ? compare_places(net, p, run, query, l->place_keys, run->rows) : NULL, *back;

	tt_keep(p, start, &bias, 1);
	if (l->place_queries) {
		back = tt_transpose(p, compare_places(net, p, run, key, l->place_queries, run->turned), 2, 3);
		bias = bias ? tt_add_(p, bias, back) : tt_contiguous(p, back);
	}
	bias = tt_scale_(p, bias, scale);
	if (run->bias)
		bias = tt_add_(p, bias, run->bias);
	tt_keep(p, start, &bias, 1);
	return bias;
}

/* LN(x + output(attention(x))); x [B,L,d] fp32. Tokens outside the text see nothing, not each other. */
static tt_tensor *attend(const struct deberta_net *net, tt_pool *p, const struct layer *l, const struct run *run, tt_tensor *x)
{
	const struct postnorm_attention *a = &l->attention;
	double scale = 1 / sqrt((1.0 + net->config.to_places + net->config.from_places) * net->config.hidden / a->heads);
	tt_tensor *h = tt_cast(p, x, net->compute), *q = nn_linear(p, &a->query, h), *k = nn_linear(p, &a->key, h);
	tt_tensor *v = nn_heads(p, nn_linear(p, &a->value, h), a->heads);
	tt_tensor *bias = net->places ? place_bias(net, p, l, run, q, k, scale) : run->bias;
	tt_tensor *mixed = tt_attention(p, nn_heads(p, q, a->heads), nn_heads(p, k, a->heads), v, scale, bias, false, NULL);

	if (run->inside)
		mixed = tt_mul_(p, mixed, run->inside);
	return postnorm_leave(p, a, x, mixed);
}

/* LN(words + positions + types), nothing where the mask is 0: [B,L,d] fp32 */
static tt_tensor *embed(const struct deberta_net *net, tt_pool *p, const struct run *run, tt_tensor *ids, tt_tensor *types)
{
	tt_tensor *x = tt_cast(p, tt_embedding(p, net->words, tt_to(p, ids, TT_I64, net->device)), TT_F32), *type = NULL;

	if (net->types)
		type = types ? tt_embedding(p, net->types, tt_to(p, types, TT_I64, net->device)) : tt_slice(p, net->types, 0, 0, 1);
	if (net->positions)
		x = tt_add(p, x, tt_cast(p, tt_slice(p, net->positions, 0, 0, tt_size(ids, 1)), TT_F32));
	if (type)
		x = tt_add(p, x, tt_cast(p, type, TT_F32));
	if (net->widen.w)
		x = tt_cast(p, nn_linear(p, &net->widen, tt_cast(p, x, net->compute)), TT_F32);
	x = nn_norm(p, &net->norm, x, TT_F32);
	return run->inside ? tt_mul_(p, x, run->inside) : x;
}

/* LN(x + act(convolution(words))), nothing where the mask is 0: what leaves the first layer [B,L,d], and what went into it */
static tt_tensor *convolve(const struct deberta_net *net, tt_pool *p, const struct run *run, tt_tensor *x)
{
	int64_t batch = tt_size(x, 0), length = tt_size(x, 1), d = net->config.hidden, kernel = net->config.kernel;
	tt_tensor **beside = xcalloc((size_t)kernel, sizeof *beside), *edge, *y;

	edge = tt_full(p, 0, net->compute, net->device, TT_SHAPE(batch, kernel / 2, d));
	y = tt_cat(p, (tt_tensor *[]){edge, run->words, edge}, 3, 1);
	for (int64_t i = 0; i < kernel; i++)
		beside[i] = tt_slice(p, y, 1, i, i + length);
	y = tt_linear(p, tt_cat(p, beside, (int)kernel, 2), net->kernel, net->kernel_bias);
	free(beside);
	y = nn_norm(p, &net->kernel_norm, tt_add(p, x, tt_activate_(p, y, net->config.kernel_activation)), TT_F32);
	return run->inside ? tt_mul_(p, y, run->inside) : y;
}

static void settle(tt_pool *p, tt_mark m, tt_tensor *x, const struct run *run, const struct deberta_trace *t)
{
	tt_tensor *keep[] = {x, run->inside, run->bias, run->rows, run->turned, run->words, t->embeddings, t->layer0, t->last, t->pooled};

	tt_keep(p, m, keep, (int)(sizeof keep / sizeof keep[0]));
}

/* Through all layers: x [B,L,d] fp32, which is freed */
static tt_tensor *encode(const struct deberta_net *net, tt_pool *p, tt_mark m, struct run *run, tt_tensor *x, struct deberta_trace *seen, bool trace)
{
	for (int i = 0; i < net->config.layers; i++) {
		x = attend(net, p, &net->layer[i], run, x);
		settle(p, m, x, run, seen);
		x = postnorm_feed(p, &net->layer[i].feed, net->compute, x);
		if (run->words) {
			settle(p, m, x, run, seen);
			x = convolve(net, p, run, x);
			run->words = NULL;
		}
		seen->layer0 = trace && i == 0 ? x : seen->layer0;
		settle(p, m, x, run, seen);
	}
	return x;
}

tt_tensor *deberta_logits_traced(const struct deberta_net *net, tt_pool *p, tt_tensor *ids, tt_tensor *types, tt_tensor *mask,
				 struct deberta_trace *trace)
{
	int64_t batch = tt_size(ids, 0), length = tt_size(ids, 1);
	struct deberta_trace seen = {0};
	struct run run = {0};
	tt_mark m = tt_here(p);
	tt_tensor *x, *logits;

	if (net->positions && length > net->config.positions)
		return tt_fail(p, "%lld tokens are more than the model's %d positions", (long long)length, net->config.positions);
	if (net->places)
		find_places(net, p, length, &run);
	if (mask) {
		run.inside = tt_reshape(p, tt_to(p, mask, net->compute, net->device), TT_SHAPE(batch, length, 1));
		run.bias = postnorm_mask(p, mask, net->compute, net->device);
	}
	x = embed(net, p, &run, ids, types);
	run.words = net->kernel ? tt_cast(p, x, net->compute) : NULL;
	seen.embeddings = trace ? x : NULL;
	settle(p, m, x, &run, &seen);
	x = encode(net, p, m, &run, x, &seen, trace);
	seen.last = trace ? x : NULL;
	x = tt_cast(p, tt_contiguous(p, tt_select(p, x, 1, 0)), net->compute);
	x = tt_activate_(p, nn_linear(p, &net->pooler, x), net->config.pooler_activation);
	seen.pooled = trace ? tt_cast(p, x, TT_F32) : NULL;
	logits = tt_cast(p, nn_linear(p, &net->classifier, x), TT_F32);
	settle(p, m, logits, &(struct run){0}, &seen);
	if (trace)
		*trace = seen;
	return logits;
}

tt_tensor *deberta_logits(const struct deberta_net *net, tt_pool *p, tt_tensor *ids, tt_tensor *types, tt_tensor *mask)
{
	return deberta_logits_traced(net, p, ids, types, mask, NULL);
}
