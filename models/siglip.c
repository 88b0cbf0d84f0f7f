/* siglip.c - see siglip.h. */
#include "models/siglip.h"

#include <math.h>
#include <stdlib.h>

#include "models/clip_tower.h"

enum { MAX_WIDTH = 1 << 16, MAX_IMAGE = 4096, MAX_ROWS = 1 << 24 };
enum { GEMMA_WORDS = 256000 }; /* the second generation's vocabulary, which comes with another tokenizer */

/* One learnt query looks at all patches. */
struct pooling {
	tt_tensor *probe;       /* [1,1,d] */
	tt_tensor *in_w, *in_b; /* [3d,d], [3d]: queries, keys, values */
	struct nn_linear out, up, down;
	struct nn_norm norm;
};

struct siglip_net {
	struct siglip_config config;
	enum tt_dtype compute;
	int device;
	struct clip_tower vision, text;
	tt_tensor *patch, *patch_bias, *vision_positions; /* [d,3,side,side], [d], [grid^2,d] */
	tt_tensor *tokens, *text_positions;               /* [vocabulary,d], [context,d] */
	struct nn_norm after, last;
	struct pooling pooling;
	struct nn_linear head; /* of texts */
	tt_tensor *logit_scale, *logit_bias;
};

/* ---- config.json */

static int check_config(const char *file, const struct siglip_config *c, struct error *err)
{
	if (clip_tower_check(file, "vision_config", &c->vision, err) < 0 || clip_tower_check(file, "text_config", &c->text, err) < 0)
		return -1;
	if (c->vision.hidden != c->projection)
		return fail(
			err, E_MODEL,
			"%s: vision_config's hidden_size %d and text_config's projection_size %d differ, so pictures and texts cannot be compared",
			file, c->vision.hidden, c->projection);
	if (clip_patch_check(file, c->image_size, c->patch_size, err) < 0)
		return -1;
	if (c->vocabulary == GEMMA_WORDS)
		return fail(err, E_MODEL, "%s: vocab_size %d is SigLIP 2's, whose tokenizer is not supported", file, c->vocabulary);
	return 0;
}

int siglip_config_read(const json_t *config, const char *dir, struct siglip_config *out, struct error *err)
{
	static const struct clip_tower_config otherwise = {768, 3072, 12, 12, TT_GELU_TANH, 1e-6};
	const json_t *vision = json_object_get(config, "vision_config"), *text = json_object_get(config, "text_config");
	char *file = xasprintf("%s/config.json", dir);
	struct json_reader r = {.file = file, .err = err};
	int rc = -1;

	*out = (struct siglip_config){0};
	if (!json_is_object(vision) || !json_is_object(text)) {
		fail(err, E_MODEL, "%s: vision_config and text_config are needed; one tower alone cannot score", file);
	} else {
		clip_tower_read(&r, vision, &otherwise, &out->vision);
		clip_tower_read(&r, text, &otherwise, &out->text);
		json_int(&r, vision, "num_channels", 3, 3, 3);
		out->image_size = (int)json_int(&r, vision, "image_size", 224, 1, MAX_IMAGE);
		out->patch_size = (int)json_int(&r, vision, "patch_size", 16, 1, MAX_IMAGE);
		out->vocabulary = (int)json_int(&r, text, "vocab_size", 32000, 1, MAX_ROWS);
		out->context = (int)json_int(&r, text, "max_position_embeddings", 64, 1, MAX_WIDTH);
		out->projection = (int)json_int(&r, text, "projection_size", out->text.hidden, 1, MAX_WIDTH);
		if (!json_flag(&r, vision, "vision_use_head", true))
			fail(err, E_MODEL, "%s: \"vision_use_head\": false: without its head the picture tower makes no vector to score with", file);
		else
			rc = r.failed ? -1 : check_config(file, out, err);
	}
	free(file);
	return rc;
}

/* ---- weights */

static void open_pooling(struct pooling *h, const struct clip_tower_config *c, struct nn_source *s)
{
	int d = c->hidden;

	h->probe = nn_weight(s, NN_NORMAL, TT_SHAPE(1, 1, d), "vision_model.head.probe");
	h->in_w = nn_weight(s, NN_NORMAL, TT_SHAPE(3 * d, d), "vision_model.head.attention.in_proj_weight");
	h->in_b = nn_weight(s, NN_ZEROS, TT_SHAPE(3 * d), "vision_model.head.attention.in_proj_bias");
	h->out = nn_linear_open(s, "vision_model.head.attention.out_proj", d, d, true);
	h->norm = nn_norm_open(s, "vision_model.head.layernorm", d, c->eps);
	h->up = nn_linear_open(s, "vision_model.head.mlp.fc1", d, c->intermediate, true);
	h->down = nn_linear_open(s, "vision_model.head.mlp.fc2", c->intermediate, d, true);
}

static void open_vision(struct siglip_net *net, struct nn_source *s)
{
	const struct siglip_config *c = &net->config;
	int grid = c->image_size / c->patch_size, d = c->vision.hidden;

	net->patch = nn_weight(s, NN_NORMAL, TT_SHAPE(d, 3, c->patch_size, c->patch_size), "vision_model.embeddings.patch_embedding.weight");
	net->patch_bias = nn_weight(s, NN_ZEROS, TT_SHAPE(d), "vision_model.embeddings.patch_embedding.bias");
	net->vision_positions = nn_weight_f32(s, NN_NORMAL, TT_SHAPE(grid * grid, d), "vision_model.embeddings.position_embedding.weight");
	clip_tower_open(&net->vision, &c->vision, "vision_model", s);
	net->after = nn_norm_open(s, "vision_model.post_layernorm", d, c->vision.eps);
	open_pooling(&net->pooling, &c->vision, s);
}

static void open_text(struct siglip_net *net, struct nn_source *s)
{
	const struct siglip_config *c = &net->config;
	int d = c->text.hidden;

	net->tokens = nn_weight(s, NN_NORMAL, TT_SHAPE(c->vocabulary, d), "text_model.embeddings.token_embedding.weight");
	net->text_positions = nn_weight_f32(s, NN_NORMAL, TT_SHAPE(c->context, d), "text_model.embeddings.position_embedding.weight");
	clip_tower_open(&net->text, &c->text, "text_model", s);
	net->last = nn_norm_open(s, "text_model.final_layer_norm", d, c->text.eps);
	net->head = nn_linear_open(s, "text_model.head", d, c->projection, true);
}

struct siglip_net *siglip_net_create(const struct siglip_config *config, struct nn_source *source)
{
	struct siglip_net *net = xcalloc(1, sizeof *net);

	net->config = *config;
	net->compute = source->compute;
	net->device = source->device;
	open_text(net, source);
	open_vision(net, source);
	net->logit_scale = nn_weight_f32(source, NN_TEMPERATURE, TT_SHAPE(1), "logit_scale");
	net->logit_bias = nn_weight_f32(source, NN_ZEROS, TT_SHAPE(1), "logit_bias");
	return net;
}

void siglip_net_destroy(struct siglip_net *net)
{
	if (!net)
		return;
	clip_tower_close(&net->vision);
	clip_tower_close(&net->text);
	free(net);
}

tt_tensor *siglip_logit_scale(const struct siglip_net *net)
{
	return net->logit_scale;
}

tt_tensor *siglip_logit_bias(const struct siglip_net *net)
{
	return net->logit_bias;
}

/* ---- forward */

/* Layer `part` of the three that lie in one matrix. */
static struct nn_linear part_of(const struct pooling *h, tt_pool *p, int part, int64_t d)
{
	return (struct nn_linear){
		.w = tt_slice(p, h->in_w, 0, part * d, (part + 1) * d),
		.b = tt_slice(p, h->in_b, 0, part * d, (part + 1) * d),
		.out = d,
	};
}

/* x [B,G*G,d] in compute -> [B,d] fp32. The query itself is not added to what it sees. */
static tt_tensor *pool_patches(const struct siglip_net *net, tt_pool *p, tt_tensor *x)
{
	const struct pooling *h = &net->pooling;
	const struct clip_tower_config *c = &net->config.vision;
	int64_t batch = tt_size(x, 0), d = c->hidden;
	struct nn_linear q = part_of(h, p, 0, d), k = part_of(h, p, 1, d), v = part_of(h, p, 2, d);
	tt_tensor *probe = tt_expand(p, h->probe, TT_SHAPE(batch, 1, d));
	tt_tensor *seen = nn_attention(p, &q, &k, &v, probe, x, c->heads, 1 / sqrt((double)d / c->heads), NULL, false, NULL);
	tt_tensor *y = tt_cast(p, nn_linear(p, &h->out, seen), TT_F32);
	tt_tensor *inner = tt_activate_(p, nn_linear(p, &h->up, nn_norm(p, &h->norm, y, net->compute)), c->activation);

	return tt_reshape(p, nn_linear_add_(p, &h->down, inner, y), TT_SHAPE(batch, d));
}

/* pixels [B,3,S,S] -> [B,G*G,d] fp32, row by row, with their places */
static tt_tensor *embed_patches(const struct siglip_net *net, tt_pool *p, tt_tensor *pixels)
{
	int64_t batch = tt_size(pixels, 0), side = net->config.patch_size, grid = net->config.image_size / side, d = net->config.vision.hidden;
	tt_tensor *x = tt_conv2d(p, tt_to(p, pixels, net->compute, net->device), net->patch, net->patch_bias, (int)side, 0);

	x = tt_reshape(p, tt_permute(p, x, TT_SHAPE(0, 2, 3, 1)), TT_SHAPE(batch, grid * grid, d));
	return tt_add(p, tt_cast(p, x, TT_F32), net->vision_positions);
}

static bool check_pixels(const struct siglip_net *net, tt_pool *p, const tt_tensor *pixels)
{
	int64_t size = net->config.image_size;

	if (!pixels || (tt_ndim(pixels) == 4 && tt_size(pixels, 1) == 3 && tt_size(pixels, 2) == size && tt_size(pixels, 3) == size))
		return true;
	tt_fail(p, "SigLIP: pixels of %lldx%lld; this model takes %lldx%lld", (long long)tt_size(pixels, 3), (long long)tt_size(pixels, 2),
		(long long)size, (long long)size);
	return false;
}

/* One group. The pixels of several are freed as soon as their patches are cut out. */
static tt_tensor *group_features(const void *group_net, tt_pool *p, tt_tensor *const *pictures, int n)
{
	const struct siglip_net *net = group_net;
	tt_mark start = tt_here(p);
	tt_tensor *x = n == 1 ? pictures[0] : tt_cat(p, pictures, n, 0);

	if (!check_pixels(net, p, x))
		return NULL;
	x = embed_patches(net, p, x);
	tt_keep(p, start, &x, 1);
	x = clip_tower_run(&net->vision, p, x, NULL, false, NULL, NULL);
	x = pool_patches(net, p, nn_norm(p, &net->after, x, net->compute));
	tt_keep(p, start, &x, 1);
	return x;
}

tt_tensor *siglip_picture_features(const struct siglip_net *net, tt_pool *p, tt_tensor *const *pictures, int n)
{
	return clip_in_groups(p, net->device, pictures, n, group_features, net);
}

tt_tensor *siglip_text_features(const struct siglip_net *net, tt_pool *p, tt_tensor *ids, tt_tensor *mask)
{
	int64_t rows = tt_size(ids, 0), length = tt_size(ids, 1);
	tt_mark start = tt_here(p);
	tt_tensor *x, *end, *bias;

	if (ids && (tt_ndim(ids) != 2 || length < 1 || length > net->config.context))
		return tt_fail(p, "SigLIP: %lld tokens; this model takes %d", (long long)length, net->config.context);
	bias = mask ? clip_mask_bias(p, mask, net->device) : NULL;
	end = tt_full(p, (double)length - 1, TT_I64, net->device, TT_SHAPE(rows));
	x = tt_cast(p, tt_embedding(p, net->tokens, tt_to(p, ids, TT_I64, net->device)), TT_F32);
	x = tt_add(p, x, tt_slice(p, net->text_positions, 0, 0, length));
	tt_keep(p, start, (tt_tensor *[]){x, end, bias}, 3);
	x = clip_tower_run(&net->text, p, x, bias, false, end, NULL);
	x = nn_linear(p, &net->head, nn_norm(p, &net->last, x, net->compute));
	x = tt_cast(p, tt_reshape(p, x, TT_SHAPE(rows, net->config.projection)), TT_F32);
	tt_keep(p, start, &x, 1);
	return x;
}
