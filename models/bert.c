/* bert.c - see bert.h. */
#include "models/bert.h"

#include <stdlib.h>
#include <string.h>

#include "models/json.h"
#include "models/postnorm.h"

enum { MAX_LAYERS = 256, MAX_WIDTH = 1 << 16, MAX_ROWS = 1 << 24, MAX_LABELS = 1024 };

struct bert_layer {
	struct postnorm_attention attention;
	struct postnorm_feed feed;
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
	bool roberta = strcmp(json_text(r, config, "model_type", "bert"), "roberta") == 0;

	if (strcmp(kind, "absolute") != 0)
		return fail(r->err, E_MODEL, "%s: \"position_embedding_type\" is \"%s\"; only \"absolute\" is supported", r->file, kind);
	*out = (struct bert_config){
		.vocabulary = (int)json_int(r, config, "vocab_size", JSON_NEEDED, 1, MAX_ROWS),
		.hidden = (int)json_int(r, config, "hidden_size", JSON_NEEDED, 1, MAX_WIDTH),
		.layers = (int)json_int(r, config, "num_hidden_layers", JSON_NEEDED, 1, MAX_LAYERS),
		.heads = (int)json_int(r, config, "num_attention_heads", JSON_NEEDED, 1, MAX_WIDTH),
		.intermediate = (int)json_int(r, config, "intermediate_size", JSON_NEEDED, 1, MAX_WIDTH),
		.positions = (int)json_int(r, config, "max_position_embeddings", JSON_NEEDED, 1, MAX_ROWS),
		.types = (int)json_int(r, config, "type_vocab_size", 2, 1, MAX_WIDTH),
		.labels = (int)json_int(r, config, "num_labels", named > 0 && named <= MAX_LABELS ? (long)named : 2, 1, MAX_LABELS),
		.roberta = roberta,
		.pad = roberta ? (int)json_int(r, config, "pad_token_id", 1, 0, MAX_ROWS) : 0,
		.eps = json_number(r, config, "layer_norm_eps", 1e-12),
	};
	if (r->failed || read_activation(r, config, &out->activation) < 0)
		return -1;
	if (!(out->eps >= 0 && out->eps < 1))
		return fail(r->err, E_MODEL, "%s: \"layer_norm_eps\" is %g; it must be from 0 to 1", r->file, out->eps);
	if (out->hidden % out->heads != 0)
		return fail(r->err, E_MODEL, "%s: hidden_size %d does not divide by num_attention_heads %d", r->file, out->hidden, out->heads);
	if (bert_longest(out) < 1)
		return fail(r->err, E_MODEL, "%s: max_position_embeddings %d leaves no place for a text", r->file, out->positions);
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

int bert_longest(const struct bert_config *config)
{
	return config->roberta ? config->positions - config->pad - 1 : config->positions;
}

void bert_config_adopt(struct bert_config *config, const struct checkpoint *file)
{
	const struct checkpoint_tensor *rows = checkpoint_find(file, config->roberta ? "classifier.out_proj.weight" : "classifier.weight");

	if (rows && rows->ndim == 2 && rows->shape[0] > 0 && rows->shape[0] <= MAX_LABELS)
		config->labels = (int)rows->shape[0];
}

/* ---- weights ---- */

static struct bert_layer open_layer(struct nn_source *s, const struct bert_config *c, const char *root, int index)
{
	char *name = xasprintf("%sencoder.layer.%d", root, index);
	struct bert_layer layer = {
		.attention = postnorm_attention_open(s, name, &postnorm_bert, c->hidden, c->heads, c->eps),
		.feed = postnorm_feed_open(s, name, &postnorm_bert, c->hidden, c->intermediate, c->activation, c->eps),
	};

	free(name);
	return layer;
}

/* The head: the same two layers under other names. */
static void open_head(struct bert_net *net, struct nn_source *s, const char *root)
{
	const struct bert_config *c = &net->config;

	if (c->roberta) {
		net->pooler = nn_linear_open(s, "classifier.dense", c->hidden, c->hidden, true);
		net->classifier = nn_linear_open(s, "classifier.out_proj", c->hidden, c->labels, true);
	} else {
		net->pooler = nn_linear_open(s, *root ? "bert.pooler.dense" : "pooler.dense", c->hidden, c->hidden, true);
		net->classifier = nn_linear_open(s, "classifier", c->hidden, c->labels, true);
	}
}

/* What names of tensors begin with; a bare encoder's file leaves it away. */
static const char *root_of(const struct bert_config *c, const struct nn_source *s)
{
	const char *root = c->roberta ? "roberta." : "bert.";

	return nn_has(s, "embeddings.word_embeddings.weight") && !nn_has(s, "%sembeddings.word_embeddings.weight", root) ? "" : root;
}

struct bert_net *bert_net_create(const struct bert_config *config, struct nn_source *source)
{
	struct bert_net *net = xcalloc(1, sizeof *net);
	const struct bert_config *c = &net->config;
	const char *root = root_of(config, source);
	char *embeddings = xasprintf("%sembeddings", root);

	net->config = *config;
	net->compute = source->compute;
	net->device = source->device;
	net->words = nn_weight(source, NN_NORMAL, TT_SHAPE(c->vocabulary, c->hidden), "%s.word_embeddings.weight", embeddings);
	net->positions = nn_weight(source, NN_NORMAL, TT_SHAPE(c->positions, c->hidden), "%s.position_embeddings.weight", embeddings);
	net->types = nn_weight(source, NN_NORMAL, TT_SHAPE(c->types, c->hidden), "%s.token_type_embeddings.weight", embeddings);
	net->norm = postnorm_norm_open(source, embeddings, "LayerNorm", c->hidden, c->eps);
	net->layer = xcalloc((size_t)c->layers, sizeof *net->layer);
	for (int i = 0; i < c->layers; i++)
		net->layer[i] = open_layer(source, c, root, i);
	open_head(net, source, root);
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

/* RoBERTa's places: pads all stand at the place of their own id, other tokens are counted from behind it (create_position_ids_from_input_ids of the
 * published code). Of the ids, not of the mask. */
static tt_tensor *places(const struct bert_net *net, tt_pool *p, tt_tensor *ids)
{
	int64_t rows = tt_size(ids, 0), length = tt_size(ids, 1), pad = net->config.pad;
	int64_t *list = xcalloc((size_t)(rows * length) + 1, sizeof *list), last = pad;
	tt_tensor *x = NULL;

	if (tt_to_i64(p, ids, list, (size_t)(rows * length)) == 0) {
		for (int64_t i = 0; i < rows * length; i++) {
			last = i % length == 0 ? pad : last;
			list[i] = list[i] == pad ? pad : ++last;
		}
		x = tt_to(p, tt_from_i64(p, list, TT_SHAPE(rows, length)), TT_I64, net->device);
	}
	free(list);
	return x;
}

/* What stands for the places of ids [B,L]: [B,L,hidden], or [L,hidden] where all rows are alike. */
static tt_tensor *positions(const struct bert_net *net, tt_pool *p, tt_tensor *ids)
{
	if (net->config.roberta)
		return tt_embedding(p, net->positions, places(net, p, ids));
	return tt_slice(p, net->positions, 0, 0, tt_size(ids, 1));
}

/* LN(word + type + position), summed in fp32 -> [B,L,hidden] fp32 */
static tt_tensor *embed(const struct bert_net *net, tt_pool *p, tt_tensor *ids, tt_tensor *types)
{
	tt_tensor *x = tt_cast(p, tt_embedding(p, net->words, ids), TT_F32);
	tt_tensor *type = types ? tt_embedding(p, net->types, types) : tt_slice(p, net->types, 0, 0, 1);

	x = tt_add(p, x, tt_cast(p, type, TT_F32));
	x = tt_add(p, x, tt_cast(p, positions(net, p, ids), TT_F32));
	return nn_norm(p, &net->norm, x, TT_F32);
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
		x = postnorm_attend(p, &net->layer[i].attention, net->compute, x, x, bias, false);
		settle(p, m, x, &seen);
		x = postnorm_feed(p, &net->layer[i].feed, net->compute, x);
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

	if (tt_size(ids, 1) > bert_longest(&net->config))
		return tt_fail(p, "%lld tokens are more than the model's %d positions", (long long)tt_size(ids, 1), bert_longest(&net->config));
	bias = mask ? postnorm_mask(p, mask, net->compute, net->device) : NULL;
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
