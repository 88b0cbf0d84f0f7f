/* clip.c - see clip.h. Both towers are pre-norm transformers; what differs is how they start and which row they keep. */
#include "models/clip.h"

#include <math.h>
#include <stdlib.h>

#include "models/clip_tower.h"

enum { MAX_WIDTH = 1 << 16, MAX_IMAGE = 4096, MAX_ROWS = 1 << 24 };

struct clip_net {
	struct clip_config config;
	enum tt_dtype compute;
	int device;
	struct clip_tower vision, text;
	tt_tensor *patch, *class_row, *vision_positions;
	tt_tensor *tokens, *text_positions;
	struct nn_norm before, after, last; /* vision: before the layers and of the kept row; text: of the kept row */
	struct nn_linear vision_projection, text_projection;
	tt_tensor *logit_scale;
};

/* ---- config.json */

static void read_vision(struct json_reader *r, const json_t *section, struct clip_config *out)
{
	static const struct clip_tower_config otherwise = {768, 3072, 12, 12, TT_QUICK_GELU, 1e-5};

	clip_tower_read(r, section, &otherwise, &out->vision);
	json_int(r, section, "num_channels", 3, 3, 3);
	out->image_size = (int)json_int(r, section, "image_size", 224, 1, MAX_IMAGE);
	out->patch_size = (int)json_int(r, section, "patch_size", 32, 1, MAX_IMAGE);
}

static void read_text(struct json_reader *r, const json_t *section, struct clip_config *out)
{
	static const struct clip_tower_config otherwise = {512, 2048, 12, 8, TT_QUICK_GELU, 1e-5};

	clip_tower_read(r, section, &otherwise, &out->text);
	out->vocabulary = (int)json_int(r, section, "vocab_size", 49408, 1, MAX_ROWS);
	out->context = (int)json_int(r, section, "max_position_embeddings", 77, 1, MAX_WIDTH);
	out->eos_token = (int)json_int(r, section, "eos_token_id", 49407, 0, MAX_ROWS);
}

/* A tower's part of the config. In older files a "…_config_dict" beside it takes its place as a whole: what that leaves open is the class's default there,
 * too, whatever the other says. Without either all is the default. Borrowed, or NULL. */
static const json_t *section_of(const json_t *config, const char *name, const char *over)
{
	const json_t *section = json_find(config, over);

	return section ? section : json_find(config, name);
}

static int check_config(const char *file, const struct clip_config *c, struct error *err)
{
	if (clip_tower_check(file, "vision_config", &c->vision, err) < 0 || clip_tower_check(file, "text_config", &c->text, err) < 0)
		return -1;
	return clip_patch_check(file, c->image_size, c->patch_size, err);
}

int clip_config_read(const json_t *config, const char *dir, struct clip_config *out, struct error *err)
{
	const json_t *vision = section_of(config, "vision_config", "vision_config_dict"),
		     *text = section_of(config, "text_config", "text_config_dict");
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
	free(file);
	return rc;
}

/* ---- weights */

static void open_vision(struct clip_net *net, struct nn_source *s)
{
	const struct clip_config *c = &net->config;
	int grid = c->image_size / c->patch_size, d = c->vision.hidden;

	net->class_row = nn_weight_f32(s, NN_NORMAL, TT_SHAPE(d), "vision_model.embeddings.class_embedding");
	net->patch = nn_weight(s, NN_NORMAL, TT_SHAPE(d, 3, c->patch_size, c->patch_size), "vision_model.embeddings.patch_embedding.weight");
	net->vision_positions = nn_weight_f32(s, NN_NORMAL, TT_SHAPE(grid * grid + 1, d), "vision_model.embeddings.position_embedding.weight");
	net->before = nn_norm_open(s, "vision_model.pre_layrnorm", d, c->vision.eps); /* spelled so in every published file */
	clip_tower_open(&net->vision, &c->vision, "vision_model", s);
	net->after = nn_norm_open(s, "vision_model.post_layernorm", d, c->vision.eps);
	net->vision_projection = nn_linear_open(s, "visual_projection", d, c->projection, false);
}

static void open_text(struct clip_net *net, struct nn_source *s)
{
	const struct clip_config *c = &net->config;
	int d = c->text.hidden;

	net->tokens = nn_weight(s, NN_NORMAL, TT_SHAPE(c->vocabulary, d), "text_model.embeddings.token_embedding.weight");
	net->text_positions = nn_weight_f32(s, NN_NORMAL, TT_SHAPE(c->context, d), "text_model.embeddings.position_embedding.weight");
	clip_tower_open(&net->text, &c->text, "text_model", s);
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
	clip_tower_close(&net->vision);
	clip_tower_close(&net->text);
	free(net);
}

tt_tensor *clip_logit_scale(const struct clip_net *net)
{
	return net->logit_scale;
}

/* ---- forward */

static tt_tensor *project(const struct clip_net *net, tt_pool *p, const struct nn_norm *norm, const struct nn_linear *projection, tt_tensor *x)
{
	tt_tensor *y = nn_linear(p, projection, nn_norm(p, norm, x, net->compute));

	return tt_cast(p, tt_reshape(p, y, TT_SHAPE(-1, net->config.projection)), TT_F32);
}

/* The part of the pixels that whole patches cover: what is left at the right and below is not looked at. */
static tt_tensor *cover(tt_pool *p, tt_tensor *pixels, int64_t size)
{
	if (tt_size(pixels, 2) == size)
		return pixels;
	return tt_slice(p, tt_slice(p, pixels, 2, 0, size), 3, 0, size);
}

/* A convolution whose stride is its size is a product over cut-out patches: [B,3,S,S] -> [B,G*G,d] fp32 */
static tt_tensor *patch_rows(const struct clip_net *net, tt_pool *p, tt_tensor *pixels)
{
	int64_t side = net->config.patch_size, grid = net->config.image_size / side, d = net->config.vision.hidden, batch = tt_size(pixels, 0);
	tt_mark start = tt_here(p);
	tt_tensor *x = tt_to(p, cover(p, pixels, grid * side), net->compute, net->device);
	tt_tensor *cells = tt_permute(p, tt_reshape(p, x, TT_SHAPE(batch, 3, grid, side, grid, side)), TT_SHAPE(0, 2, 4, 1, 3, 5));
	tt_tensor *rows = tt_reshape(p, cells, TT_SHAPE(batch, grid * grid, 3 * side * side));

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
	x = project(net, p, &net->after, &net->vision_projection, clip_tower_run(&net->vision, p, x, NULL, false, first, rows));
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

/* One group. The pixels of several are freed as soon as their patches are cut out. */
static tt_tensor *group_features(const void *group_net, tt_pool *p, tt_tensor *const *pictures, int n)
{
	const struct clip_net *net = group_net;
	tt_mark start = tt_here(p);
	tt_tensor *pixels = n == 1 ? pictures[0] : tt_cat(p, pictures, n, 0);

	return check_pixels(net, p, pixels) ? features(net, p, start, patch_rows(net, p, pixels), NULL) : NULL;
}

tt_tensor *clip_picture_features(const struct clip_net *net, tt_pool *p, tt_tensor *const *pictures, int n)
{
	return clip_in_groups(p, net->device, pictures, n, group_features, net);
}

/* Where a text ends. The first maximum is the end token too, in the vocabulary whose largest id it is. */
static tt_tensor *end_index(const struct clip_net *net, tt_pool *p, tt_tensor *ids)
{
	tt_tensor *where = ids;

	if (net->config.eos_token != CLIP_EOS_UNKNOWN)
		where = tt_cast(p, tt_eq_scalar(p, ids, net->config.eos_token), TT_I64);
	return tt_argmax(p, where, 1);
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
		bias = clip_mask_bias(p, mask, net->device);
	x = tt_cast(p, tt_embedding(p, net->tokens, ids), TT_F32);
	x = tt_add(p, x, tt_slice(p, net->text_positions, 0, 0, tt_size(ids, 1)));
	tt_keep(p, start, (tt_tensor *[]){x, end, bias}, 3);
	x = project(net, p, &net->last, &net->text_projection, clip_tower_run(&net->text, p, x, bias, true, end, NULL));
	tt_keep(p, start, &x, 1);
	return x;
}
