/* deberta.c - see deberta.h. */
#include "models/deberta.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "models/json.h"
#include "models/postnorm.h"

enum { MAX_LAYERS = 256, MAX_WIDTH = 1 << 16, MAX_ROWS = 1 << 24, MAX_LABELS = 1024 };
enum { KINDS_OF_SCORES = 3 }; /* token to token, token to place, place to token */

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
	tt_tensor *place_queries, *place_keys; /* [2*buckets,hidden] in compute */
};

struct deberta_net {
	struct deberta_config config;
	enum tt_dtype compute;
	int device;
	tt_tensor *words, *places; /* [vocabulary,hidden], [2*buckets,hidden] */
	struct nn_norm norm, place_norm;
	struct layer *layer;
	struct nn_linear pooler, classifier; /* [hidden,hidden], [labels,hidden] */
};

/* ---- config ---- */

static int read_activation(struct json_reader *r, const json_t *config, const char *key, enum tt_activation *out)
{
	const char *name = json_text(r, config, key, "gelu");
	int kind = nn_activation(name);

	if (kind < 0)
		return fail(r->err, E_MODEL, "%s: \"%s\" is \"%s\", which is not an activation known here", r->file, key, name);
	*out = (enum tt_activation)kind;
	return 0;
}

/* "p2c|c2p" or a list, in any order */
static bool has_both_kinds(const json_t *kinds)
{
	const char *text = json_string_value(kinds);
	bool from = text && strstr(text, "p2c"), to = text && strstr(text, "c2p");
	const json_t *kind;
	size_t i, n = text ? strlen(text) == strlen("p2c|c2p") ? 2 : 0 : json_array_size(kinds);

	json_array_foreach((json_t *)kinds, i, kind)
	{
		const char *name = json_string_value(kind);

		from = from || (name && strcmp(name, "p2c") == 0);
		to = to || (name && strcmp(name, "c2p") == 0);
	}
	return n == 2 && from && to;
}

static int refuse(struct json_reader *r, const char *key, const char *needed)
{
	return fail(r->err, E_MODEL, "%s: \"%s\" must be %s: of DeBERTa's many kinds only that of version 3 is supported", r->file, key, needed);
}

/* The switches as version 3 has them; where the published code's default differs, the key must be there. */
static int check_kind(struct json_reader *r, const json_t *config, int hidden)
{
	if (!json_flag(r, config, "relative_attention", false))
		return refuse(r, "relative_attention", "true");
	if (strcmp(json_text(r, config, "norm_rel_ebd", "none"), "layer_norm") != 0)
		return refuse(r, "norm_rel_ebd", "\"layer_norm\"");
	if (!json_flag(r, config, "share_att_key", false))
		return refuse(r, "share_att_key", "true");
	if (!has_both_kinds(json_object_get(config, "pos_att_type")))
		return refuse(r, "pos_att_type", "\"p2c|c2p\"");
	if (json_flag(r, config, "position_biased_input", true))
		return refuse(r, "position_biased_input", "false");
	if (json_int(r, config, "type_vocab_size", 0, 0, MAX_ROWS) > 0)
		return refuse(r, "type_vocab_size", "0");
	if (json_int(r, config, "conv_kernel_size", 0, 0, MAX_WIDTH) > 0)
		return refuse(r, "conv_kernel_size", "0");
	if (json_int(r, config, "embedding_size", hidden, 1, MAX_WIDTH) != hidden)
		return refuse(r, "embedding_size", "hidden_size");
	if (json_int(r, config, "pooler_hidden_size", hidden, 1, MAX_WIDTH) != hidden)
		return refuse(r, "pooler_hidden_size", "hidden_size");
	return r->failed ? -1 : 0;
}

static int read_fields(struct json_reader *r, const json_t *config, struct deberta_config *out)
{
	size_t named = json_object_size(json_find(config, "id2label"));
	int reach = (int)json_int(r, config, "max_relative_positions", -1, -1, MAX_ROWS);

	*out = (struct deberta_config){
		.vocabulary = (int)json_int(r, config, "vocab_size", JSON_NEEDED, 1, MAX_ROWS),
		.hidden = (int)json_int(r, config, "hidden_size", JSON_NEEDED, 1, MAX_WIDTH),
		.layers = (int)json_int(r, config, "num_hidden_layers", JSON_NEEDED, 1, MAX_LAYERS),
		.heads = (int)json_int(r, config, "num_attention_heads", JSON_NEEDED, 1, MAX_WIDTH),
		.intermediate = (int)json_int(r, config, "intermediate_size", JSON_NEEDED, 1, MAX_WIDTH),
		.positions = (int)json_int(r, config, "max_position_embeddings", 512, 1, MAX_ROWS),
		.buckets = (int)json_int(r, config, "position_buckets", JSON_NEEDED, 4, MAX_WIDTH),
		.labels = (int)json_int(r, config, "num_labels", named > 0 && named <= MAX_LABELS ? (long)named : 2, 1, MAX_LABELS),
		.eps = json_number(r, config, "layer_norm_eps", 1e-7),
	};
	out->reach = reach >= 1 ? reach : out->positions;
	if (r->failed || check_kind(r, config, out->hidden) < 0 || read_activation(r, config, "hidden_act", &out->activation) < 0 ||
	    read_activation(r, config, "pooler_hidden_act", &out->pooler_activation) < 0)
		return -1;
	if (!(out->eps >= 0 && out->eps < 1))
		return fail(r->err, E_MODEL, "%s: \"layer_norm_eps\" must be from 0 to 1", r->file);
	if (out->hidden % out->heads != 0)
		return fail(r->err, E_MODEL, "%s: hidden_size %d does not divide by num_attention_heads %d", r->file, out->hidden, out->heads);
	if (out->reach - 1 <= out->buckets / 2)
		return fail(r->err, E_MODEL, "%s: position_buckets %d are too many for distances up to %d", r->file, out->buckets, out->reach);
	return 0;
}

int deberta_config_read(const json_t *config, const char *dir, struct deberta_config *out, struct error *err)
{
	char *file = xasprintf("%s/config.json", dir);
	struct json_reader reader = {.file = file, .err = err};
	int rc = read_fields(&reader, config, out);

	free(file);
	return rc;
}

void deberta_config_adopt(struct deberta_config *config, const struct checkpoint *file)
{
	const struct checkpoint_tensor *rows = checkpoint_find(file, "classifier.weight");

	if (rows && rows->ndim == 2 && rows->shape[0] > 0 && rows->shape[0] <= MAX_LABELS)
		config->labels = (int)rows->shape[0];
}

int deberta_bucket(const struct deberta_config *config, int64_t distance)
{
	int64_t far = distance < 0 ? -distance : distance;
	int middle = config->buckets / 2, bucket;

	if (far <= middle)
		return (int)distance;
	bucket = middle + (int)ceil(log((double)far / middle) / log((double)(config->reach - 1) / middle) * (middle - 1));
	return distance < 0 ? -bucket : bucket;
}

int deberta_place(const struct deberta_config *config, int64_t distance)
{
	int row = deberta_bucket(config, distance) + config->buckets, last = 2 * config->buckets - 1;

	return row < 0 ? 0 : row > last ? last : row;
}

/* ---- weights ---- */

/* What the layer's query and key make of the places, which is the same for every text. */
static void open_places(const struct deberta_net *net, struct layer *l, struct nn_source *s)
{
	int64_t rows = 2 * net->config.buckets;
	tt_mark start = tt_here(s->pool);
	tt_tensor *places;

	if (s->count) {
		nn_count_made(s, s->compute, rows * net->config.hidden);
		nn_count_made(s, s->compute, rows * net->config.hidden);
		return;
	}
	places = nn_norm(s->pool, &net->place_norm, net->places, s->compute);
	l->place_queries = nn_linear(s->pool, &l->attention.query, places);
	l->place_keys = nn_linear(s->pool, &l->attention.key, places);
	tt_keep(s->pool, start, (tt_tensor *[]){l->place_queries, l->place_keys}, 2);
}

static void open_layer(const struct deberta_net *net, struct layer *l, struct nn_source *s, int index)
{
	const struct deberta_config *c = &net->config;
	char *name = xasprintf("deberta.encoder.layer.%d", index);

	l->attention = postnorm_attention_open(s, name, &names, c->hidden, c->heads, c->eps);
	l->feed = postnorm_feed_open(s, name, &names, c->hidden, c->intermediate, c->activation, c->eps);
	open_places(net, l, s);
	free(name);
}

struct deberta_net *deberta_net_create(const struct deberta_config *config, struct nn_source *source)
{
	struct deberta_net *net = xcalloc(1, sizeof *net);
	const struct deberta_config *c = &net->config;

	net->config = *config;
	net->compute = source->compute;
	net->device = source->device;
	net->words = nn_weight(source, NN_NORMAL, TT_SHAPE(c->vocabulary, c->hidden), "deberta.embeddings.word_embeddings.weight");
	net->norm = postnorm_norm_open(source, "deberta.embeddings", "LayerNorm", c->hidden, c->eps);
	net->places = nn_weight(source, NN_NORMAL, TT_SHAPE(2 * c->buckets, c->hidden), "deberta.encoder.rel_embeddings.weight");
	net->place_norm = postnorm_norm_open(source, "deberta.encoder", "LayerNorm", c->hidden, c->eps);
	net->layer = xcalloc((size_t)c->layers, sizeof *net->layer);
	for (int i = 0; i < c->layers; i++)
		open_layer(net, &net->layer[i], source, i);
	net->pooler = nn_linear_open(source, "pooler.dense", c->hidden, c->hidden, true);
	net->classifier = nn_linear_open(source, "classifier", c->hidden, c->labels, true);
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

/* score(i,j) = (Q_i K_j + Q_i PK_ij + K_j PQ_ij) / sqrt(3 * depth): its last two parts, and the mask */
static tt_tensor *place_bias(const struct deberta_net *net, tt_pool *p, const struct layer *l, const struct run *run, tt_tensor *query,
			     tt_tensor *key, double scale)
{
	tt_mark start = tt_here(p);
	tt_tensor *bias = compare_places(net, p, run, query, l->place_keys, run->rows), *back;

	tt_keep(p, start, &bias, 1);
	back = compare_places(net, p, run, key, l->place_queries, run->turned);
	bias = tt_scale_(p, tt_add_(p, bias, tt_transpose(p, back, 2, 3)), scale);
	if (run->bias)
		bias = tt_add_(p, bias, run->bias);
	tt_keep(p, start, &bias, 1);
	return bias;
}

/* LN(x + output(attention(x))); x [B,L,d] fp32. Tokens outside the text see nothing, not each other. */
static tt_tensor *attend(const struct deberta_net *net, tt_pool *p, const struct layer *l, const struct run *run, tt_tensor *x)
{
	const struct postnorm_attention *a = &l->attention;
	double scale = 1 / sqrt((double)KINDS_OF_SCORES * net->config.hidden / a->heads);
	tt_tensor *h = tt_cast(p, x, net->compute), *q = nn_linear(p, &a->query, h), *k = nn_linear(p, &a->key, h);
	tt_tensor *v = nn_heads(p, nn_linear(p, &a->value, h), a->heads);
	tt_tensor *bias = place_bias(net, p, l, run, q, k, scale);
	tt_tensor *mixed = tt_attention(p, nn_heads(p, q, a->heads), nn_heads(p, k, a->heads), v, scale, bias, false, NULL);

	if (run->inside)
		mixed = tt_mul_(p, mixed, run->inside);
	return postnorm_leave(p, a, x, mixed);
}

/* LN(words), nothing where the mask is 0: [B,L,d] fp32 */
static tt_tensor *embed(const struct deberta_net *net, tt_pool *p, const struct run *run, tt_tensor *ids)
{
	tt_tensor *x = tt_embedding(p, net->words, tt_to(p, ids, TT_I64, net->device));

	x = nn_norm(p, &net->norm, tt_cast(p, x, TT_F32), TT_F32);
	return run->inside ? tt_mul_(p, x, run->inside) : x;
}

static void settle(tt_pool *p, tt_mark m, tt_tensor *x, const struct run *run, const struct deberta_trace *t)
{
	tt_tensor *keep[] = {x, run->inside, run->bias, run->rows, run->turned, t->embeddings, t->layer0, t->last, t->pooled};

	tt_keep(p, m, keep, (int)(sizeof keep / sizeof keep[0]));
}

tt_tensor *deberta_logits_traced(const struct deberta_net *net, tt_pool *p, tt_tensor *ids, tt_tensor *mask, struct deberta_trace *trace)
{
	int64_t batch = tt_size(ids, 0), length = tt_size(ids, 1);
	struct deberta_trace seen = {0};
	struct run run = {0};
	tt_mark m = tt_here(p);
	tt_tensor *x, *logits;

	find_places(net, p, length, &run);
	if (mask) {
		run.inside = tt_reshape(p, tt_to(p, mask, net->compute, net->device), TT_SHAPE(batch, length, 1));
		run.bias = postnorm_mask(p, mask, net->compute, net->device);
	}
	x = embed(net, p, &run, ids);
	seen.embeddings = trace ? x : NULL;
	settle(p, m, x, &run, &seen);
	for (int i = 0; i < net->config.layers; i++) {
		x = attend(net, p, &net->layer[i], &run, x);
		settle(p, m, x, &run, &seen);
		x = postnorm_feed(p, &net->layer[i].feed, net->compute, x);
		seen.layer0 = trace && i == 0 ? x : seen.layer0;
		settle(p, m, x, &run, &seen);
	}
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

tt_tensor *deberta_logits(const struct deberta_net *net, tt_pool *p, tt_tensor *ids, tt_tensor *mask)
{
	return deberta_logits_traced(net, p, ids, mask, NULL);
}
