/* clip.c - see clip.h. Both towers are pre-norm transformers; what differs is how they start and which row they keep. */
#include "models/clip.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/runtime.h"
#include "models/json.h"

enum { MAX_WIDTH = 1 << 16, MAX_LAYERS = 256, MAX_IMAGE = 4096, MAX_ROWS = 1 << 24 };
enum { PICTURES_PER_CPU = 8 }; /* more at once compute no faster, but their activations take more memory */
enum { EOS_UNKNOWN = 2 };      /* what the first published configs say instead of the true id */

struct layer {
	struct nn_norm norm1, norm2;
	struct nn_linear q, k, v, out, up, down;
};

struct tower {
	struct clip_tower_config config;
	struct layer *layer;
};

struct clip_net {
	struct clip_config config;
	enum tt_dtype compute;
	int device;
	struct tower vision, text;
	tt_tensor *patch, *class_row, *vision_positions;
	tt_tensor *tokens, *text_positions;
	struct nn_norm before, after, last; /* vision: before the layers and of the kept row; text: of the kept row */
	struct nn_linear vision_projection, text_projection;
	tt_tensor *logit_scale;
};

/* ---- config.json */

static enum tt_activation read_activation(struct json_reader *r, const json_t *section)
{
	const char *name = json_text(r, section, "hidden_act", "quick_gelu");
	int kind = nn_activation(name);

	if (kind < 0 && !r->failed) {
		fail(r->err, E_MODEL, "%s: hidden_act \"%s\" is not an activation that is known here", r->file, name);
		r->failed = true;
	}
	return kind < 0 ? TT_QUICK_GELU : (enum tt_activation)kind;
}

static void read_tower(struct json_reader *r, const json_t *section, const struct clip_tower_config *otherwise, struct clip_tower_config *out)
{
	out->hidden = (int)json_int(r, section, "hidden_size", otherwise->hidden, 1, MAX_WIDTH);
	out->intermediate = (int)json_int(r, section, "intermediate_size", otherwise->intermediate, 1, MAX_WIDTH);
	out->layers = (int)json_int(r, section, "num_hidden_layers", otherwise->layers, 1, MAX_LAYERS);
	out->heads = (int)json_int(r, section, "num_attention_heads", otherwise->heads, 1, MAX_WIDTH);
	out->activation = read_activation(r, section);
	out->eps = json_number(r, section, "layer_norm_eps", otherwise->eps);
}

static void read_vision(struct json_reader *r, const json_t *section, struct clip_config *out)
{
	static const struct clip_tower_config otherwise = {768, 3072, 12, 12, TT_QUICK_GELU, 1e-5};

	read_tower(r, section, &otherwise, &out->vision);
	json_int(r, section, "num_channels", 3, 3, 3);
	out->image_size = (int)json_int(r, section, "image_size", 224, 1, MAX_IMAGE);
	out->patch_size = (int)json_int(r, section, "patch_size", 32, 1, MAX_IMAGE);
}

static void read_text(struct json_reader *r, const json_t *section, struct clip_config *out)
{
	static const struct clip_tower_config otherwise = {512, 2048, 12, 8, TT_QUICK_GELU, 1e-5};

	read_tower(r, section, &otherwise, &out->text);
	out->vocabulary = (int)json_int(r, section, "vocab_size", 49408, 1, MAX_ROWS);
	out->context = (int)json_int(r, section, "max_position_embeddings", 77, 1, MAX_WIDTH);
	out->eos_token = (int)json_int(r, section, "eos_token_id", 49407, 0, MAX_ROWS);
}

/* A tower's part of the config; in older files a "…_config_dict" beside it wins. The caller frees it. */
static json_t *section_of(const json_t *config, const char *name, const char *over)
{
	json_t *section = json_copy(json_object_get(config, name));

	json_object_update(section, json_object_get(config, over));
	return section;
}

static int check_tower(const char *file, const char *name, const struct clip_tower_config *c, struct error *err)
{
	if (c->hidden % c->heads != 0)
		return fail(err, E_MODEL, "%s: %s: hidden_size %d does not divide by %d heads", file, name, c->hidden, c->heads);
	if (!(c->eps > 0) || !isfinite(c->eps))
		return fail(err, E_MODEL, "%s: %s: layer_norm_eps must be a positive number", file, name);
	return 0;
}

static int check_config(const char *file, const struct clip_config *c, struct error *err)
{
	if (check_tower(file, "vision_config", &c->vision, err) < 0 || check_tower(file, "text_config", &c->text, err) < 0)
		return -1;
	if (c->image_size % c->patch_size != 0)
		return fail(err, E_MODEL, "%s: image_size %d is no multiple of patch_size %d", file, c->image_size, c->patch_size);
	return 0;
}

int clip_config_read(const json_t *config, const char *dir, struct clip_config *out, struct error *err)
{
	json_t *vision = section_of(config, "vision_config", "vision_config_dict"), *text = section_of(config, "text_config", "text_config_dict");
	char *file = xasprintf("%s/config.json", dir);
	struct json_reader r = {.file = file, .err = err};
	int rc = -1;

	*out = (struct clip_config){0};
	if (!json_is_object(vision) || !json_is_object(text)) {
		fail(err, E_MODEL, "%s: vision_config and text_config are needed; one tower alone cannot score", file);
	} else {
		read_vision(&r, vision, out);
		read_text(&r, text, out);
		out->projection = (int)json_int(&r, config, "projection_dim", 512, 1, MAX_WIDTH);
		rc = r.failed ? -1 : check_config(file, out, err);
	}
	json_decref(vision);
	json_decref(text);
	free(file);
	return rc;
}

/* ---- weights */

static struct nn_linear open_linear(struct nn_source *s, const char *prefix, int i, const char *name, int in, int out)
{
	char *full = xasprintf("%s.encoder.layers.%d.%s", prefix, i, name);
	struct nn_linear l = nn_linear_open(s, full, in, out, true);

	free(full);
	return l;
}

static struct nn_norm open_norm(struct nn_source *s, const char *prefix, int i, const char *name, int d, double eps)
{
	char *full = xasprintf("%s.encoder.layers.%d.%s", prefix, i, name);
	struct nn_norm n = nn_norm_open(s, full, d, eps);

	free(full);
	return n;
}

static void open_tower(struct tower *t, const struct clip_tower_config *c, const char *prefix, struct nn_source *s)
{
	t->config = *c;
	t->layer = xcalloc((size_t)c->layers, sizeof *t->layer);
	for (int i = 0; i < c->layers; i++) {
		struct layer *l = &t->layer[i];

		l->norm1 = open_norm(s, prefix, i, "layer_norm1", c->hidden, c->eps);
		l->q = open_linear(s, prefix, i, "self_attn.q_proj", c->hidden, c->hidden);
		l->k = open_linear(s, prefix, i, "self_attn.k_proj", c->hidden, c->hidden);
		l->v = open_linear(s, prefix, i, "self_attn.v_proj", c->hidden, c->hidden);
		l->out = open_linear(s, prefix, i, "self_attn.out_proj", c->hidden, c->hidden);
		l->norm2 = open_norm(s, prefix, i, "layer_norm2", c->hidden, c->eps);
		l->up = open_linear(s, prefix, i, "mlp.fc1", c->hidden, c->intermediate);
		l->down = open_linear(s, prefix, i, "mlp.fc2", c->intermediate, c->hidden);
	}
}

static void open_vision(struct clip_net *net, struct nn_source *s)
{
	const struct clip_config *c = &net->config;
	int grid = c->image_size / c->patch_size, d = c->vision.hidden;

	net->class_row = nn_weight_f32(s, NN_NORMAL, TT_SHAPE(d), "vision_model.embeddings.class_embedding");
	net->patch = nn_weight(s, NN_NORMAL, TT_SHAPE(d, 3, c->patch_size, c->patch_size), "vision_model.embeddings.patch_embedding.weight");
	net->vision_positions = nn_weight_f32(s, NN_NORMAL, TT_SHAPE(grid * grid + 1, d), "vision_model.embeddings.position_embedding.weight");
	net->before = nn_norm_open(s, "vision_model.pre_layrnorm", d, c->vision.eps); /* spelled so in every published file */
	open_tower(&net->vision, &c->vision, "vision_model", s);
	net->after = nn_norm_open(s, "vision_model.post_layernorm", d, c->vision.eps);
	net->vision_projection = nn_linear_open(s, "visual_projection", d, c->projection, false);
}

static void open_text(struct clip_net *net, struct nn_source *s)
{
	const struct clip_config *c = &net->config;
	int d = c->text.hidden;

	net->tokens = nn_weight(s, NN_NORMAL, TT_SHAPE(c->vocabulary, d), "text_model.embeddings.token_embedding.weight");
	net->text_positions = nn_weight_f32(s, NN_NORMAL, TT_SHAPE(c->context, d), "text_model.embeddings.position_embedding.weight");
	open_tower(&net->text, &c->text, "text_model", s);
	net->last = nn_norm_open(s, "text_model.final_layer_norm", d, c->text.eps);
	net->text_projection = nn_linear_open(s, "text_projection", d, c->projection, false);
}

struct clip_net *clip_net_create(const struct clip_config *config, struct nn_source *source)
{
	struct clip_net *net = xcalloc(1, sizeof *net);
	const struct checkpoint_tensor *scale = source->file ? checkpoint_find(source->file, "logit_scale") : NULL;

	net->config = *config;
	net->compute = source->compute;
	net->device = source->device;
	open_text(net, source);
	open_vision(net, source);
	/* some files hold the scalar as a list of one */
	net->logit_scale = nn_weight_f32(source, NN_TEMPERATURE, (const int64_t[]){1}, scale && scale->ndim == 1, "logit_scale");
	return net;
}

void clip_net_destroy(struct clip_net *net)
{
	if (!net)
		return;
	free(net->vision.layer);
	free(net->text.layer);
	free(net);
}

tt_tensor *clip_logit_scale(const struct clip_net *net)
{
	return net->logit_scale;
}

/* ---- forward */

/* Row index[b] of each x[b]: [B,L,d] -> [B,1,d] */
static tt_tensor *pick(tt_pool *p, tt_tensor *x, tt_tensor *index)
{
	tt_tensor *at = tt_reshape(p, index, TT_SHAPE(-1, 1, 1));

	return tt_gather(p, x, 1, tt_expand(p, at, TT_SHAPE(tt_size(x, 0), 1, tt_size(x, 2))));
}

/* x + attention(norm1(x)), then x + mlp(norm2(x)). With `only` just that row of each x[b] leaves the layer: [B,1,d]. */
static tt_tensor *run_layer(const struct clip_net *net, tt_pool *p, const struct tower *t, const struct layer *l, tt_tensor *x, tt_tensor *bias,
			    bool causal, tt_tensor *only)
{
	double scale = 1 / sqrt((double)t->config.hidden / t->config.heads);
	tt_mark start = tt_here(p);
	tt_tensor *h = nn_norm(p, &l->norm1, x, net->compute);
	tt_tensor *asking = only && !causal ? pick(p, h, only) : h; /* a causal mask is made for all rows */

	h = nn_attention(p, &l->q, &l->k, &l->v, asking, h, t->config.heads, scale, bias, causal, NULL);
	if (only) {
		x = pick(p, x, only);
		h = causal ? pick(p, h, only) : h;
	}
	x = nn_linear_add_(p, &l->out, h, x);
	tt_keep(p, start, &x, 1);
	h = nn_norm(p, &l->norm2, x, net->compute);
	h = tt_activate_(p, nn_linear(p, &l->up, h), t->config.activation);
	x = nn_linear_add_(p, &l->down, h, x);
	tt_keep(p, start, &x, 1);
	return x;
}

/* All layers; of the last one only the row that is read: [B,L,d] -> [B,1,d]. *rows, unless NULL: what enters the last layer. */
static tt_tensor *run_tower(const struct clip_net *net, tt_pool *p, const struct tower *t, tt_tensor *x, tt_tensor *bias, bool causal, tt_tensor *row,
			    tt_tensor **rows)
{
	tt_mark start = tt_here(p);

	for (int i = 0; i < t->config.layers; i++) {
		bool last = i == t->config.layers - 1;

		if (last && rows)
			*rows = x;
		x = run_layer(net, p, t, &t->layer[i], x, bias, causal, last ? row : NULL);
		tt_keep(p, start, (tt_tensor *[]){x, last && rows ? *rows : NULL}, 2);
	}
	return x;
}

static tt_tensor *project(const struct clip_net *net, tt_pool *p, const struct nn_norm *norm, const struct nn_linear *projection, tt_tensor *x)
{
	tt_tensor *y = nn_linear(p, projection, nn_norm(p, norm, x, net->compute));

	return tt_cast(p, tt_reshape(p, y, TT_SHAPE(-1, net->config.projection)), TT_F32);
}

/* A convolution whose stride is its size is a product over cut-out patches: [B,3,S,S] -> [B,G*G,d] fp32 */
static tt_tensor *patch_rows(const struct clip_net *net, tt_pool *p, tt_tensor *pixels)
{
	int64_t side = net->config.patch_size, grid = net->config.image_size / side, d = net->config.vision.hidden, batch = tt_size(pixels, 0);
	tt_mark start = tt_here(p);
	tt_tensor *x = tt_reshape(p, tt_to(p, pixels, net->compute, net->device), TT_SHAPE(batch, 3, grid, side, grid, side));
	tt_tensor *rows = tt_reshape(p, tt_permute(p, x, TT_SHAPE(0, 2, 4, 1, 3, 5)), TT_SHAPE(batch, grid * grid, 3 * side * side));

	x = tt_cast(p, tt_linear(p, rows, tt_reshape(p, net->patch, TT_SHAPE(d, 3 * side * side)), NULL), TT_F32);
	tt_keep(p, start, &x, 1);
	return x;
}

static bool check_pixels(const struct clip_net *net, tt_pool *p, const tt_tensor *pixels)
{
	int64_t size = net->config.image_size;

	if (!pixels || (tt_ndim(pixels) == 4 && tt_size(pixels, 1) == 3 && tt_size(pixels, 2) == size && tt_size(pixels, 3) == size))
		return true;
	tt_fail(p, "CLIP: pixels of %lldx%lld; this model takes %lldx%lld", (long long)tt_size(pixels, 3), (long long)tt_size(pixels, 2),
		(long long)size, (long long)size);
	return false;
}

/* From the patches on, which were made after start. */
static tt_tensor *features(const struct clip_net *net, tt_pool *p, tt_mark start, tt_tensor *patches, tt_tensor **rows)
{
	int64_t batch = tt_size(patches, 0), d = net->config.vision.hidden;
	tt_tensor *parts[2] = {tt_expand(p, tt_reshape(p, net->class_row, TT_SHAPE(1, 1, d)), TT_SHAPE(batch, 1, d)), patches}, *first;
	tt_tensor *x = tt_add_(p, tt_cat(p, parts, 2, 1), net->vision_positions);

	x = nn_norm(p, &net->before, x, TT_F32);
	first = tt_full(p, 0, TT_I64, net->device, TT_SHAPE(batch));
	tt_keep(p, start, (tt_tensor *[]){x, first}, 2);
	x = project(net, p, &net->after, &net->vision_projection, run_tower(net, p, &net->vision, x, NULL, false, first, rows));
	tt_keep(p, start, (tt_tensor *[]){x, rows ? *rows : NULL}, 2);
	return x;
}

tt_tensor *clip_image_features(const struct clip_net *net, tt_pool *p, tt_tensor *pixels)
{
	return clip_image_features_rows(net, p, pixels, NULL);
}

tt_tensor *clip_image_features_rows(const struct clip_net *net, tt_pool *p, tt_tensor *pixels, tt_tensor **rows)
{
	tt_mark start = tt_here(p);

	return check_pixels(net, p, pixels) ? features(net, p, start, patch_rows(net, p, pixels), rows) : NULL;
}

int clip_pictures_at_once(int device)
{
	return device == TT_CPU ? PICTURES_PER_CPU * runtime_cpus() : INT_MAX;
}

/* pictures: n, few enough */
static tt_tensor *features_of(const struct clip_net *net, tt_pool *p, tt_tensor *const *pictures, int n)
{
	tt_mark start = tt_here(p);
	tt_tensor *pixels = n == 1 ? pictures[0] : tt_cat(p, pictures, n, 0);

	return check_pixels(net, p, pixels) ? features(net, p, start, patch_rows(net, p, pixels), NULL) : NULL;
}

tt_tensor *clip_picture_features(const struct clip_net *net, tt_pool *p, tt_tensor *const *pictures, int n)
{
	int most = clip_pictures_at_once(net->device), parts = 0;
	tt_tensor **part = xcalloc((size_t)n, sizeof *part), *all;
	tt_mark start = tt_here(p);

	for (int i = 0, k; i < n; i += k) {
		k = n - i < most ? n - i : most;
		part[parts++] = features_of(net, p, pictures + i, k);
		tt_keep(p, start, part, parts);
	}
	all = parts == 1 ? part[0] : tt_cat(p, part, parts, 0);
	tt_keep(p, start, &all, 1);
	free(part);
	return all;
}

/* Where a text ends. The first maximum is the end token too, in the vocabulary whose largest id it is. */
static tt_tensor *end_index(const struct clip_net *net, tt_pool *p, tt_tensor *ids)
{
	tt_tensor *where = ids;

	if (net->config.eos_token != EOS_UNKNOWN)
		where = tt_cast(p, tt_eq_scalar(p, ids, net->config.eos_token), TT_I64);
	return tt_argmax(p, where, 1);
}

/* mask [B,L] of 0 and 1 -> [B,1,1,L]: 0, or for 0 a value that no score outweighs (finite in every dtype: a row may be masked as a whole) */
static tt_tensor *mask_bias(const struct clip_net *net, tt_pool *p, tt_tensor *mask)
{
	tt_tensor *m = tt_to(p, mask, TT_F32, net->device);

	m = tt_scale(p, tt_add_scalar(p, m, -1), 65504);
	return tt_reshape(p, m, TT_SHAPE(tt_size(mask, 0), 1, 1, tt_size(mask, 1)));
}

tt_tensor *clip_text_features(const struct clip_net *net, tt_pool *p, tt_tensor *ids, tt_tensor *mask)
{
	tt_mark start = tt_here(p);
	tt_tensor *x, *end, *bias = NULL;

	if (ids && (tt_ndim(ids) != 2 || tt_size(ids, 1) > net->config.context))
		return tt_fail(p, "CLIP: %lld tokens; this model takes %d", (long long)tt_size(ids, 1), net->config.context);
	ids = tt_to(p, ids, TT_I64, net->device);
	end = end_index(net, p, ids);
	if (mask)
		bias = mask_bias(net, p, mask);
	x = tt_cast(p, tt_embedding(p, net->tokens, ids), TT_F32);
	x = tt_add(p, x, tt_slice(p, net->text_positions, 0, 0, tt_size(ids, 1)));
	tt_keep(p, start, (tt_tensor *[]){x, end, bias}, 3);
	x = project(net, p, &net->last, &net->text_projection, run_tower(net, p, &net->text, x, bias, true, end, NULL));
	tt_keep(p, start, &x, 1);
	return x;
}
