/* bert.c - see bert.h. */
#include "models/bert.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "models/json.h"

enum { MAX_LAYERS = 256, MAX_WIDTH = 1 << 16, MAX_ROWS = 1 << 24, MAX_LABELS = 1024 };

struct bert_layer {
	struct nn_linear query, key, value, output; /* [hidden, hidden] */
	struct nn_norm attention_norm;
	struct nn_linear up, down; /* [intermediate, hidden], [hidden, intermediate] */
	struct nn_norm output_norm;
};

struct bert_net {
	struct bert_config config;
	enum tt_dtype compute;
	int device;
	tt_tensor *words, *positions, *types; /* [vocabulary, hidden], [positions, hidden], [types, hidden] */
	struct nn_norm norm;
	struct bert_layer *layer;
	struct nn_linear pooler, classifier; /* [hidden, hidden], [labels, hidden] */
};

/* ---- config ---- */

static int read_activation(struct json_reader *r, const json_t *config, enum tt_activation *out)
{
	const char *name = json_text(r, config, "hidden_act", "gelu");
	int kind = nn_activation(name);

	if (kind < 0)
		return fail(r->err, E_MODEL, "%s: \"hidden_act\" is \"%s\", which is not an activation known here", r->file, name);
	*out = (enum tt_activation)kind;
	return 0;
}

static int read_fields(struct json_reader *r, const json_t *config, struct bert_config *out)
{
	size_t named = json_object_size(json_find(config, "id2label"));
	const char *kind = json_text(r, config, "position_embedding_type", "absolute");

	if (strcmp(kind, "absolute") != 0)
		return fail(r->err, E_MODEL, "%s: position_embedding_type \"%s\" is not supported, only \"absolute\"", r->file, kind);
	*out = (struct bert_config){
		.vocabulary = (int)json_int(r, config, "vocab_size", JSON_NEEDED, 1, MAX_ROWS),
		.hidden = (int)json_int(r, config, "hidden_size", JSON_NEEDED, 1, MAX_WIDTH),
		.layers = (int)json_int(r, config, "num_hidden_layers", JSON_NEEDED, 1, MAX_LAYERS),
		.heads = (int)json_int(r, config, "num_attention_heads", JSON_NEEDED, 1, MAX_WIDTH),
		.intermediate = (int)json_int(r, config, "intermediate_size", JSON_NEEDED, 1, MAX_WIDTH),
		.positions = (int)json_int(r, config, "max_position_embeddings", JSON_NEEDED, 1, MAX_ROWS),
		.types = (int)json_int(r, config, "type_vocab_size", 2, 1, MAX_WIDTH),
		.labels = (int)json_int(r, config, "num_labels", named > 0 && named <= MAX_LABELS ? (long)named : 2, 1, MAX_LABELS),
		.eps = json_number(r, config, "layer_norm_eps", 1e-12),
	};
	if (r->failed || read_activation(r, config, &out->activation) < 0)
		return -1;
	if (!(out->eps >= 0 && out->eps < 1))
		return fail(r->err, E_MODEL, "%s: \"layer_norm_eps\" must be from 0 to 1", r->file);
	if (out->hidden % out->heads != 0)
		return fail(r->err, E_MODEL, "%s: hidden_size %d does not divide by num_attention_heads %d", r->file, out->hidden, out->heads);
	return 0;
}

int bert_config_read(const json_t *config, const char *dir, struct bert_config *out, struct error *err)
{
	char *file = xasprintf("%s/config.json", dir);
	struct json_reader reader = {.file = file, .err = err};
	int rc = read_fields(&reader, config, out);

	free(file);
	return rc;
}

void bert_config_adopt(struct bert_config *config, const struct checkpoint *file)
{
	const struct checkpoint_tensor *rows = checkpoint_find(file, "classifier.weight");

	if (rows && rows->ndim == 2 && rows->shape[0] > 0 && rows->shape[0] <= MAX_LABELS)
		config->labels = (int)rows->shape[0];
}

/* ---- weights ---- */

/* Files from the first releases call a norm's weight and bias gamma and beta. */
static struct nn_norm open_norm(struct nn_source *s, const char *prefix, int64_t d, double eps)
{
	bool old = nn_has(s, "%s.gamma", prefix);

	return (struct nn_norm){
		.w = nn_weight_f32(s, NN_ONES, TT_SHAPE(d), "%s.%s", prefix, old ? "gamma" : "weight"),
		.b = nn_weight_f32(s, NN_ZEROS, TT_SHAPE(d), "%s.%s", prefix, old ? "beta" : "bias"),
		.eps = eps,
	};
}

static struct nn_norm open_layer_norm(struct nn_source *s, const char *layer, const char *name, const struct bert_config *c)
{
	char *prefix = xasprintf("%s.%s", layer, name);
	struct nn_norm norm = open_norm(s, prefix, c->hidden, c->eps);

	free(prefix);
	return norm;
}

static struct nn_linear open_layer_linear(struct nn_source *s, const char *layer, const char *name, int64_t in, int64_t out)
{
	char *prefix = xasprintf("%s.%s", layer, name);
	struct nn_linear linear = nn_linear_open(s, prefix, in, out, true);

	free(prefix);
	return linear;
}

static struct bert_layer open_layer(struct nn_source *s, const struct bert_config *c, const char *root, int index)
{
	char *name = xasprintf("%sencoder.layer.%d", root, index);
	int64_t d = c->hidden, wide = c->intermediate;
	struct bert_layer layer = {
		.query = open_layer_linear(s, name, "attention.self.query", d, d),
		.key = open_layer_linear(s, name, "attention.self.key", d, d),
		.value = open_layer_linear(s, name, "attention.self.value", d, d),
		.output = open_layer_linear(s, name, "attention.output.dense", d, d),
		.attention_norm = open_layer_norm(s, name, "attention.output.LayerNorm", c),
		.up = open_layer_linear(s, name, "intermediate.dense", d, wide),
		.down = open_layer_linear(s, name, "output.dense", wide, d),
		.output_norm = open_layer_norm(s, name, "output.LayerNorm", c),
	};

	free(name);
	return layer;
}

struct bert_net *bert_net_create(const struct bert_config *config, struct nn_source *source)
{
	struct bert_net *net = xcalloc(1, sizeof *net);
	const struct bert_config *c = &net->config;
	const char *root =
		source->file && !nn_has(source, "bert.embeddings.word_embeddings.weight") && nn_has(source, "embeddings.word_embeddings.weight")
			? ""
			: "bert.";
	char *embeddings = xasprintf("%sembeddings", root);

	net->config = *config;
	net->compute = source->compute;
	net->device = source->device;
	net->words = nn_weight(source, NN_NORMAL, TT_SHAPE(c->vocabulary, c->hidden), "%s.word_embeddings.weight", embeddings);
	net->positions = nn_weight(source, NN_NORMAL, TT_SHAPE(c->positions, c->hidden), "%s.position_embeddings.weight", embeddings);
	net->types = nn_weight(source, NN_NORMAL, TT_SHAPE(c->types, c->hidden), "%s.token_type_embeddings.weight", embeddings);
	net->norm = open_layer_norm(source, embeddings, "LayerNorm", c);
	net->layer = xcalloc((size_t)c->layers, sizeof *net->layer);
	for (int i = 0; i < c->layers; i++)
		net->layer[i] = open_layer(source, c, root, i);
	net->pooler = open_layer_linear(source, *root ? "bert.pooler" : "pooler", "dense", c->hidden, c->hidden);
	net->classifier = nn_linear_open(source, "classifier", c->hidden, c->labels, true);
	free(embeddings);
	return net;
}

void bert_net_destroy(struct bert_net *net)
{
	if (!net)
		return;
	free(net->layer);
	free(net);
}

/* ---- forward ---- */

/* The most negative finite number of a dtype: what the reference adds to masked scores. Kept in the compute dtype, where -FLT_MAX would be -inf in half. */
static double lowest(enum tt_dtype dtype)
{
	switch (dtype) {
	case TT_F16:
		return -65504.0;
	case TT_BF16:
		return -0x1.fep127;
	default:
		return -(double)FLT_MAX;
	}
}

/* mask [B,L] -> (1 - mask) * lowest, [B,1,1,L] in the compute dtype */
static tt_tensor *mask_bias(const struct bert_net *net, tt_pool *p, tt_tensor *mask)
{
	int64_t rows = tt_size(mask, 0), length = tt_size(mask, 1);

	mask = tt_to(p, mask, net->compute, net->device);
	mask = tt_scale(p, tt_add_scalar(p, tt_scale(p, mask, -1), 1), lowest(net->compute));
	return tt_reshape(p, mask, TT_SHAPE(rows, 1, 1, length));
}

/* LN(word + type + position), summed in fp32 -> [B,L,hidden] fp32 */
static tt_tensor *embed(const struct bert_net *net, tt_pool *p, tt_tensor *ids, tt_tensor *types)
{
	tt_tensor *x = tt_cast(p, tt_embedding(p, net->words, ids), TT_F32);
	tt_tensor *type = types ? tt_embedding(p, net->types, types) : tt_slice(p, net->types, 0, 0, 1);

	x = tt_add(p, x, tt_cast(p, type, TT_F32));
	x = tt_add(p, x, tt_cast(p, tt_slice(p, net->positions, 0, 0, tt_size(ids, 1)), TT_F32));
	return nn_norm(p, &net->norm, x, TT_F32);
}

/* LN(x + attention(x)); x [B,L,hidden] fp32 */
static tt_tensor *attend(const struct bert_net *net, tt_pool *p, const struct bert_layer *l, tt_tensor *x, tt_tensor *bias)
{
	tt_tensor *h = tt_cast(p, x, net->compute);
	double scale = 1 / sqrt((double)net->config.hidden / net->config.heads);

	h = nn_attention(p, &l->query, &l->key, &l->value, h, h, net->config.heads, scale, bias, false, NULL);
	return nn_norm(p, &l->attention_norm, tt_add(p, x, nn_linear(p, &l->output, h)), TT_F32);
}

/* LN(x + down(act(up(x)))); x [B,L,hidden] fp32 */
static tt_tensor *feed(const struct bert_net *net, tt_pool *p, const struct bert_layer *l, tt_tensor *x)
{
	tt_tensor *h = tt_activate_(p, nn_linear(p, &l->up, tt_cast(p, x, net->compute)), net->config.activation);

	return nn_norm(p, &l->output_norm, tt_add(p, x, nn_linear(p, &l->down, h)), TT_F32);
}

/* x [B,L,hidden] fp32 -> tanh(W x[:,0] + b) [B,hidden] in the compute dtype */
static tt_tensor *pool_first(const struct bert_net *net, tt_pool *p, tt_tensor *x)
{
	tt_tensor *first = tt_contiguous(p, tt_select(p, x, 1, 0));

	return tt_activate_(p, nn_linear(p, &net->pooler, tt_cast(p, first, net->compute)), TT_TANH);
}

/* Ends a half layer: everything since m goes, but x and what the trace holds. */
static void settle(tt_pool *p, tt_mark m, tt_tensor *x, const struct bert_trace *t)
{
	tt_tensor *keep[] = {x, t->embeddings, t->layer0, t->last, t->pooled};

	tt_keep(p, m, keep, 5);
}

static tt_tensor *encode(const struct bert_net *net, tt_pool *p, tt_tensor *ids, tt_tensor *types, tt_tensor *bias, struct bert_trace *trace)
{
	struct bert_trace seen = {0};
	tt_mark m = tt_here(p);
	tt_tensor *x = embed(net, p, ids, types);

	if (trace)
		seen.embeddings = x;
	settle(p, m, x, &seen);
	for (int i = 0; i < net->config.layers; i++) {
		x = attend(net, p, &net->layer[i], x, bias);
		settle(p, m, x, &seen);
		x = feed(net, p, &net->layer[i], x);
		if (trace && i == 0)
			seen.layer0 = x;
		settle(p, m, x, &seen);
	}
	if (trace) {
		seen.last = x;
		*trace = seen;
	}
	return x;
}

tt_tensor *bert_logits_traced(const struct bert_net *net, tt_pool *p, tt_tensor *ids, tt_tensor *types, tt_tensor *mask, struct bert_trace *trace)
{
	struct bert_trace seen = {0};
	tt_mark m = tt_here(p);
	tt_tensor *bias, *x, *pooled, *logits;

	if (tt_size(ids, 1) > net->config.positions)
		return tt_fail(p, "%lld tokens are more than the model's %d positions", (long long)tt_size(ids, 1), net->config.positions);
	bias = mask ? mask_bias(net, p, mask) : NULL;
	ids = tt_to(p, ids, TT_I64, net->device);
	types = types ? tt_to(p, types, TT_I64, net->device) : NULL;
	x = encode(net, p, ids, types, bias, trace ? &seen : NULL);
	pooled = pool_first(net, p, x);
	logits = tt_cast(p, nn_linear(p, &net->classifier, pooled), TT_F32);
	if (trace) {
		seen.pooled = tt_cast(p, pooled, TT_F32);
		*trace = seen;
	}
	settle(p, m, logits, &seen);
	return logits;
}

tt_tensor *bert_logits(const struct bert_net *net, tt_pool *p, tt_tensor *ids, tt_tensor *types, tt_tensor *mask)
{
	return bert_logits_traced(net, p, ids, types, mask, NULL);
}
