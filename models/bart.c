/* bart.c - see bart.h. */
#include "models/bart.h"

#include <math.h>
#include <stdlib.h>

#include "models/json.h"
#include "models/postnorm.h"

enum { MAX_LAYERS = 256, MAX_WIDTH = 1 << 16, MAX_ROWS = 1 << 24, MAX_LABELS = 1024 };
enum { POSITION_OFFSET = 2 };        /* the position tables' first rows are not used */
static const double norm_eps = 1e-5; /* not in the config: torch's own */

static const struct postnorm_names self_names = {
	"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj", "self_attn_layer_norm", "fc1", "fc2", "final_layer_norm",
};
static const struct postnorm_names cross_names = {
	"encoder_attn.q_proj", "encoder_attn.k_proj", "encoder_attn.v_proj", "encoder_attn.out_proj", "encoder_attn_layer_norm", NULL, NULL, NULL,
};

struct layer {
	struct postnorm_attention self, cross; /* cross: decoder only */
	struct postnorm_feed feed;
};

struct stack {
	int layers;
	struct layer *layer;
	tt_tensor *positions; /* [positions+2,width] */
	struct nn_norm norm;
};

struct bart_net {
	struct bart_config config;
	enum tt_dtype compute;
	int device;
	tt_tensor *words; /* [vocabulary,width] */
	struct stack encoder, decoder;
	struct nn_linear dense, out; /* [width,width], [labels,width] */
};

/* ---- config ---- */

static void read_stack(struct json_reader *r, const json_t *config, const char *name, struct bart_stack_config *out)
{
	char *layers = xasprintf("%s_layers", name), *heads = xasprintf("%s_attention_heads", name), *wide = xasprintf("%s_ffn_dim", name);

	out->layers = (int)json_int(r, config, layers, JSON_NEEDED, 1, MAX_LAYERS);
	out->heads = (int)json_int(r, config, heads, JSON_NEEDED, 1, MAX_WIDTH);
	out->wide = (int)json_int(r, config, wide, JSON_NEEDED, 1, MAX_WIDTH);
	free(layers);
	free(heads);
	free(wide);
}

static int read_activation(struct json_reader *r, const json_t *config, enum tt_activation *out)
{
	const char *name = json_text(r, config, "activation_function", "gelu");
	int kind = nn_activation(name);

	if (kind < 0)
		return fail(r->err, E_MODEL, "%s: \"activation_function\" is \"%s\", which is not an activation known here", r->file, name);
	*out = (enum tt_activation)kind;
	return 0;
}

/* Networks of other kinds that share the name: norms elsewhere, positions without a table. */
static int check_kind(struct json_reader *r, const json_t *config)
{
	static const struct json_plain keys[] = {
		{"normalize_before", "false"},           {"add_final_layer_norm", "false"}, {"do_blenderbot_90_layernorm", "false"},
		{"static_position_embeddings", "false"}, {"normalize_embedding", "true"},   {"extra_pos_embeddings", "2"},
	};

	return json_refuse_others(r, config, keys, sizeof keys / sizeof keys[0]);
}

static int read_fields(struct json_reader *r, const json_t *config, struct bart_config *out)
{
	size_t named = json_object_size(json_find(config, "id2label"));

	if (check_kind(r, config) < 0)
		return -1;
	*out = (struct bart_config){
		.vocabulary = (int)json_int(r, config, "vocab_size", JSON_NEEDED, 1, MAX_ROWS),
		.width = (int)json_int(r, config, "d_model", JSON_NEEDED, 1, MAX_WIDTH),
		.positions = (int)json_int(r, config, "max_position_embeddings", JSON_NEEDED, 1, MAX_ROWS),
		.labels = (int)json_int(r, config, "num_labels", named > 0 && named <= MAX_LABELS ? (long)named : 3, 1, MAX_LABELS),
		.scale_embedding = json_flag(r, config, "scale_embedding", false),
		.end = (int)json_int(r, config, "eos_token_id", 2, 0, MAX_ROWS),
	};
	out->start = (int)json_int(r, config, "decoder_start_token_id", out->end, 0, MAX_ROWS);
	read_stack(r, config, "encoder", &out->encoder);
	read_stack(r, config, "decoder", &out->decoder);
	if (r->failed || read_activation(r, config, &out->activation) < 0)
		return -1;
	if (out->width % out->encoder.heads != 0 || out->width % out->decoder.heads != 0)
		return fail(r->err, E_MODEL, "%s: d_model %d does not divide by %d and %d attention heads", r->file, out->width, out->encoder.heads,
			    out->decoder.heads);
	if (out->start >= out->vocabulary || out->end >= out->vocabulary)
		return fail(r->err, E_MODEL, "%s: eos_token_id or decoder_start_token_id is beyond vocab_size %d", r->file, out->vocabulary);
	return 0;
}

int bart_config_read(const json_t *config, const char *dir, struct bart_config *out, struct error *err)
{
	char *file = xasprintf("%s/config.json", dir);
	struct json_reader reader = {.file = file, .err = err};
	int rc = read_fields(&reader, config, out);

	free(file);
	return rc;
}

void bart_config_adopt(struct bart_config *config, const struct checkpoint *file)
{
	const struct checkpoint_tensor *rows = checkpoint_find(file, "classification_head.out_proj.weight");

	if (rows && rows->ndim == 2 && rows->shape[0] > 0 && rows->shape[0] <= MAX_LABELS)
		config->labels = (int)rows->shape[0];
}

/* ---- weights ---- */

static void open_stack(struct stack *stack, struct nn_source *s, const struct bart_config *c, const char *prefix,
		       const struct bart_stack_config *shape, bool cross)
{

	stack->positions = nn_weight(s, NN_NORMAL, TT_SHAPE(c->positions + POSITION_OFFSET, c->width), "%s.embed_positions.weight", prefix);
	stack->norm = postnorm_norm_open(s, prefix, "layernorm_embedding", c->width, norm_eps);
	stack->layers = shape->layers;
	stack->layer = xcalloc((size_t)shape->layers, sizeof *stack->layer);
	for (int i = 0; i < shape->layers; i++) {
		char *layer = xasprintf("%s.layers.%d", prefix, i);
		struct layer *l = &stack->layer[i];

		l->self = postnorm_attention_open(s, layer, &self_names, c->width, shape->heads, norm_eps);
		if (cross)
			l->cross = postnorm_attention_open(s, layer, &cross_names, c->width, shape->heads, norm_eps);
		l->feed = postnorm_feed_open(s, layer, &self_names, c->width, shape->wide, c->activation, norm_eps);
		free(layer);
	}
}

/* One table for both stacks, of which a file may hold any copy. */
static tt_tensor *open_words(struct nn_source *s, const struct bart_config *c, const char *root)
{
	static const char *const names[] = {"shared", "encoder.embed_tokens", "decoder.embed_tokens"};
	const char *found = names[0];

	for (size_t i = sizeof names / sizeof names[0]; i-- > 0;)
		if (nn_has(s, "%s%s.weight", root, names[i]))
			found = names[i];
	return nn_weight(s, NN_NORMAL, TT_SHAPE(c->vocabulary, c->width), "%s%s.weight", root, found);
}

struct bart_net *bart_net_create(const struct bart_config *config, struct nn_source *source)
{
	struct bart_net *net = xcalloc(1, sizeof *net);
	const struct bart_config *c = &net->config;
	const char *root = nn_has(source, "encoder.layernorm_embedding.weight") ? "" : "model.";
	char *encoder = xasprintf("%sencoder", root), *decoder = xasprintf("%sdecoder", root);

	net->config = *config;
	net->compute = source->compute;
	net->device = source->device;
	net->words = open_words(source, c, root);
	open_stack(&net->encoder, source, c, encoder, &c->encoder, false);
	open_stack(&net->decoder, source, c, decoder, &c->decoder, true);
	net->dense = nn_linear_open(source, "classification_head.dense", c->width, c->width, true);
	net->out = nn_linear_open(source, "classification_head.out_proj", c->width, c->labels, true);
	free(encoder);
	free(decoder);
	return net;
}

void bart_net_destroy(struct bart_net *net)
{
	if (!net)
		return;
	free(net->encoder.layer);
	free(net->decoder.layer);
	free(net);
}

/* ---- forward ---- */

/* What the ids say by themselves: the decoder's input, which is theirs moved one place to the right behind the start token, and where each row's last end
 * token stands. Tensors on the net's device. */
struct reading {
	tt_tensor *moved; /* [B,L] I64 */
	tt_tensor *ends;  /* [B,1,width] I64, for tt_gather */
};

static bool read_ids(const struct bart_net *net, tt_pool *p, const int64_t *ids, int64_t rows, int64_t length, struct reading *out)
{
	int64_t *moved = xcalloc((size_t)(rows * length), sizeof *moved), *ends = xcalloc((size_t)rows, sizeof *ends);
	bool whole = true;

	for (int64_t r = 0; r < rows; r++) {
		ends[r] = -1;
		for (int64_t i = 0; i < length; i++) {
			moved[r * length + i] = i == 0 ? net->config.start : ids[r * length + i - 1];
			if (ids[r * length + i] == net->config.end)
				ends[r] = i;
		}
		whole = whole && ends[r] >= 0;
	}
	if (whole) {
		out->moved = tt_to(p, tt_from_i64(p, moved, TT_SHAPE(rows, length)), TT_I64, net->device);
		out->ends = tt_to(p, tt_from_i64(p, ends, TT_SHAPE(rows, 1, 1)), TT_I64, net->device);
		out->ends = tt_expand(p, out->ends, TT_SHAPE(rows, 1, net->config.width));
	} else {
		tt_fail(p, "a text has no end token");
	}
	free(moved);
	free(ends);
	return whole;
}

static bool read_texts(const struct bart_net *net, tt_pool *p, tt_tensor *ids, struct reading *out)
{
	int64_t rows = tt_size(ids, 0), length = tt_size(ids, 1);
	int64_t *list;
	bool fine;

	if (length > net->config.positions) {
		tt_fail(p, "%lld tokens are more than the model's %d positions", (long long)length, net->config.positions);
		return false;
	}
	list = xcalloc((size_t)(rows * length) + 1, sizeof *list);
	fine = tt_to_i64(p, ids, list, (size_t)(rows * length)) == 0 && read_ids(net, p, list, rows, length, out);
	free(list);
	return fine;
}

/* LN(words * scale + positions) in fp32; places are counted for pads too */
static tt_tensor *embed(const struct bart_net *net, tt_pool *p, const struct stack *stack, tt_tensor *ids)
{
	tt_tensor *x = tt_cast(p, tt_embedding(p, net->words, ids), TT_F32);
	tt_tensor *places = tt_slice(p, stack->positions, 0, POSITION_OFFSET, POSITION_OFFSET + tt_size(ids, 1));

	if (net->config.scale_embedding)
		x = tt_scale(p, x, sqrt((double)net->config.width));
	return nn_norm(p, &stack->norm, tt_add(p, x, tt_cast(p, places, TT_F32)), TT_F32);
}

/* What must outlive a half layer: the stream itself, what both stacks read, what the trace holds. */
struct held {
	tt_tensor *mask, *source, *moved, *ends;
	struct bart_trace trace;
};

static void settle(tt_pool *p, tt_mark m, tt_tensor *x, const struct held *h)
{
	const struct bart_trace *t = &h->trace;
	tt_tensor *keep[] = {x,
			     h->mask,
			     h->source,
			     h->moved,
			     h->ends,
			     t->encoder.embeddings,
			     t->encoder.layer0,
			     t->encoder.last,
			     t->decoder.embeddings,
			     t->decoder.layer0,
			     t->decoder.last,
			     t->pooled};

	tt_keep(p, m, keep, (int)(sizeof keep / sizeof keep[0]));
}

static tt_tensor *encode(const struct bart_net *net, tt_pool *p, tt_mark m, tt_tensor *ids, struct held *h, bool traced)
{
	tt_tensor *x = embed(net, p, &net->encoder, ids);

	h->trace.encoder.embeddings = traced ? x : NULL;
	settle(p, m, x, h);
	for (int i = 0; i < net->encoder.layers; i++) {
		const struct layer *l = &net->encoder.layer[i];

		x = postnorm_attend(p, &l->self, net->compute, x, x, h->mask, false);
		settle(p, m, x, h);
		x = postnorm_feed(p, &l->feed, net->compute, x);
		h->trace.encoder.layer0 = traced && i == 0 ? x : h->trace.encoder.layer0;
		settle(p, m, x, h);
	}
	h->trace.encoder.last = traced ? x : NULL;
	return x;
}

/* The reference masks no pads here: they stand behind all that is read. */
static tt_tensor *decode(const struct bart_net *net, tt_pool *p, tt_mark m, struct held *h, bool traced)
{
	tt_tensor *x = embed(net, p, &net->decoder, h->moved);

	h->trace.decoder.embeddings = traced ? x : NULL;
	settle(p, m, x, h);
	for (int i = 0; i < net->decoder.layers; i++) {
		const struct layer *l = &net->decoder.layer[i];

		x = postnorm_attend(p, &l->self, net->compute, x, x, NULL, true);
		settle(p, m, x, h);
		x = postnorm_attend(p, &l->cross, net->compute, x, h->source, h->mask, false);
		settle(p, m, x, h);
		x = postnorm_feed(p, &l->feed, net->compute, x);
		h->trace.decoder.layer0 = traced && i == 0 ? x : h->trace.decoder.layer0;
		settle(p, m, x, h);
	}
	h->trace.decoder.last = traced ? x : NULL;
	return x;
}

tt_tensor *bart_logits_traced(const struct bart_net *net, tt_pool *p, tt_tensor *ids, tt_tensor *mask, struct bart_trace *trace)
{
	int64_t rows = tt_size(ids, 0), width = net->config.width;
	struct held held = {0};
	struct reading texts = {0};
	tt_mark m = tt_here(p);
	tt_tensor *pooled, *logits;

	if (!read_texts(net, p, ids, &texts))
		return NULL;
	held.moved = texts.moved;
	held.ends = texts.ends;
	held.mask = mask ? postnorm_mask(p, mask, net->compute, net->device) : NULL;
	held.source = tt_cast(p, encode(net, p, m, tt_to(p, ids, TT_I64, net->device), &held, trace), net->compute);
	settle(p, m, NULL, &held);
	pooled = tt_reshape(p, tt_gather(p, decode(net, p, m, &held, trace), 1, held.ends), TT_SHAPE(rows, width));
	held.trace.pooled = trace ? pooled : NULL;
	logits = tt_activate_(p, nn_linear(p, &net->dense, tt_cast(p, pooled, net->compute)), TT_TANH);
	logits = tt_cast(p, nn_linear(p, &net->out, logits), TT_F32);
	held.mask = held.source = held.moved = held.ends = NULL;
	settle(p, m, logits, &held);
	if (trace)
		*trace = held.trace;
	return logits;
}

tt_tensor *bart_logits(const struct bart_net *net, tt_pool *p, tt_tensor *ids, tt_tensor *mask)
{
	return bart_logits_traced(net, p, ids, mask, NULL);
}
