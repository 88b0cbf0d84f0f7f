/* blip_vision.c - BLIP's ViT: pre-norm layers, q, k and v from one matrix, all rows normed at the end. See blip.h. */
#include <math.h>
#include <stdlib.h>

#include "core/mem.h"
#include "models/blip_net.h"

/* ---- weights ---- */

static void open_layer(struct nn_source *s, const struct blip_tower_config *c, int i, struct blip_vision_layer *out)
{
	const struct {
		const char *name;
		struct nn_linear *linear;
		int in, out;
	} linears[] = {
		{"self_attn.qkv", &out->qkv, c->hidden, 3 * c->hidden},
		{"self_attn.projection", &out->projection, c->hidden, c->hidden},
		{"mlp.fc1", &out->up, c->hidden, c->intermediate},
		{"mlp.fc2", &out->down, c->intermediate, c->hidden},
	};
	const struct {
		const char *name;
		struct nn_norm *norm;
	} norms[] = {{"layer_norm1", &out->norm1}, {"layer_norm2", &out->norm2}};
	char *prefix;

	for (size_t k = 0; k < sizeof linears / sizeof *linears; k++) {
		prefix = xasprintf("vision_model.encoder.layers.%d.%s", i, linears[k].name);
		*linears[k].linear = nn_linear_open(s, prefix, linears[k].in, linears[k].out, true);
		free(prefix);
	}
	for (size_t k = 0; k < sizeof norms / sizeof *norms; k++) {
		prefix = xasprintf("vision_model.encoder.layers.%d.%s", i, norms[k].name);
		*norms[k].norm = nn_norm_open(s, prefix, c->hidden, c->eps);
		free(prefix);
	}
}

void blip_vision_open(struct blip_net *net, struct nn_source *s)
{
	const struct blip_config *c = &net->config;
	struct blip_vision *v = &net->vision;
	int grid = c->image_size / c->patch_size, d = c->vision.hidden;

	v->class_row = nn_weight_f32(s, NN_NORMAL, TT_SHAPE(1, 1, d), "vision_model.embeddings.class_embedding");
	v->positions = nn_weight_f32(s, NN_NORMAL, TT_SHAPE(1, grid * grid + 1, d), "vision_model.embeddings.position_embedding");
	v->patch = nn_weight(s, NN_NORMAL, TT_SHAPE(d, 3, c->patch_size, c->patch_size), "vision_model.embeddings.patch_embedding.weight");
	v->patch_bias = nn_weight(s, NN_ZEROS, TT_SHAPE(d), "vision_model.embeddings.patch_embedding.bias");
	v->layers = xcalloc((size_t)c->vision.layers, sizeof *v->layers);
	for (int i = 0; i < c->vision.layers; i++)
		open_layer(s, &c->vision, i, &v->layers[i]);
	v->last = nn_norm_open(s, "vision_model.post_layernorm", d, c->vision.eps);
}

/* ---- forward ---- */

/* x [B,L,d] fp32 -> x + attention(norm(x)) */
static tt_tensor *attend(const struct blip_net *net, tt_pool *p, const struct blip_vision_layer *l, tt_tensor *x)
{
	int64_t d = net->config.vision.hidden;
	int heads = net->config.vision.heads;
	tt_tensor *all = nn_linear(p, &l->qkv, nn_norm(p, &l->norm1, x, net->compute)), *part[3];

	for (int i = 0; i < 3; i++)
		part[i] = nn_heads(p, tt_slice(p, all, 2, i * d, (i + 1) * d), heads);
	all = tt_attention(p, part[0], part[1], part[2], 1 / sqrt((double)d / heads), NULL, false, NULL);
	return nn_linear_add_(p, &l->projection, all, x);
}

/* x + mlp(norm(x)) */
static tt_tensor *feed(const struct blip_net *net, tt_pool *p, const struct blip_vision_layer *l, tt_tensor *x)
{
	tt_tensor *h = nn_linear(p, &l->up, nn_norm(p, &l->norm2, x, net->compute));

	return nn_linear_add_(p, &l->down, tt_activate_(p, h, net->config.vision.activation), x);
}

/* pixels -> [B,1+G*G,d] fp32 */
static tt_tensor *embed(const struct blip_net *net, tt_pool *p, tt_tensor *pixels)
{
	const struct blip_vision *v = &net->vision;
	int64_t batch = tt_size(pixels, 0), d = net->config.vision.hidden;
	tt_mark start = tt_here(p);
	tt_tensor *x = tt_conv2d(p, tt_to(p, pixels, net->compute, net->device), v->patch, v->patch_bias, net->config.patch_size, 0);

	x = tt_cast(p, tt_transpose(p, tt_reshape(p, x, TT_SHAPE(batch, d, -1)), 1, 2), TT_F32);
	x = tt_cat(p, (tt_tensor *[]){tt_expand(p, v->class_row, TT_SHAPE(batch, 1, d)), x}, 2, 1);
	x = tt_add_(p, x, v->positions);
	tt_keep(p, start, &x, 1);
	return x;
}

/* Ends a half layer: all since m goes but x and what the trace holds. */
static void settle(tt_pool *p, tt_mark m, tt_tensor *x, const struct blip_trace *t)
{
	tt_keep(p, m, (tt_tensor *[]){x, t ? t->embeddings : NULL, t ? t->layer0 : NULL}, 3);
}

/* The layers write over what they are given. */
static tt_tensor *copy(tt_pool *p, tt_tensor *x)
{
	return tt_scale(p, x, 1);
}

tt_tensor *blip_encode(const struct blip_net *net, tt_pool *p, tt_tensor *pixels, struct blip_trace *trace)
{
	int64_t size = net->config.image_size;
	tt_mark m = tt_here(p);
	tt_tensor *x;

	if (tt_size(pixels, 2) != size || tt_size(pixels, 3) != size)
		return tt_fail(p, "BLIP: pixels of %lldx%lld; this model takes %lldx%lld", (long long)tt_size(pixels, 3),
			       (long long)tt_size(pixels, 2), (long long)size, (long long)size);
	x = embed(net, p, pixels);
	if (trace)
		*trace = (struct blip_trace){.embeddings = copy(p, x)};
	settle(p, m, x, trace);
	for (int i = 0; i < net->config.vision.layers; i++) {
		x = attend(net, p, &net->vision.layers[i], x);
		settle(p, m, x, trace);
		x = feed(net, p, &net->vision.layers[i], x);
		if (trace && i == 0)
			trace->layer0 = copy(p, x);
		settle(p, m, x, trace);
	}
	x = nn_norm(p, &net->vision.last, x, net->compute);
	settle(p, m, x, trace);
	return x;
}
