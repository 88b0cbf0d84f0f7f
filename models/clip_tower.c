/* clip_tower.c - see clip_tower.h. */
#include "models/clip_tower.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>

#include "core/runtime.h"

enum { MAX_WIDTH = 1 << 16, MAX_LAYERS = 256 };
enum { PICTURES_PER_CPU = 8 }; /* more at once compute no faster, but their activations take more memory */

/* ---- config.json */

static enum tt_activation read_activation(struct json_reader *r, const json_t *section, enum tt_activation otherwise)
{
	const char *name = json_text(r, section, "hidden_act", NULL);
	int kind = name ? nn_activation(name) : (int)otherwise;

	if (kind < 0 && !r->failed) {
		fail(r->err, E_MODEL, "%s: hidden_act \"%s\" is not an activation that is known here", r->file, name);
		r->failed = true;
	}
	return kind < 0 ? otherwise : (enum tt_activation)kind;
}

void clip_tower_read(struct json_reader *r, const json_t *section, const struct clip_tower_config *otherwise, struct clip_tower_config *out)
{
	out->hidden = (int)json_int(r, section, "hidden_size", otherwise->hidden, 1, MAX_WIDTH);
	out->intermediate = (int)json_int(r, section, "intermediate_size", otherwise->intermediate, 1, MAX_WIDTH);
	out->layers = (int)json_int(r, section, "num_hidden_layers", otherwise->layers, 1, MAX_LAYERS);
	out->heads = (int)json_int(r, section, "num_attention_heads", otherwise->heads, 1, MAX_WIDTH);
	out->activation = read_activation(r, section, otherwise->activation);
	out->eps = json_number(r, section, "layer_norm_eps", otherwise->eps);
}

int clip_tower_check(const char *file, const char *name, const struct clip_tower_config *c, struct error *err)
{
	if (c->hidden % c->heads != 0)
		return fail(err, E_MODEL, "%s: %s: hidden_size %d does not divide by %d heads", file, name, c->hidden, c->heads);
	if (!(c->eps > 0) || !isfinite(c->eps))
		return fail(err, E_MODEL, "%s: %s: layer_norm_eps must be a positive number", file, name);
	return 0;
}

int clip_patch_check(const char *file, int image_size, int patch_size, struct error *err)
{
	if (patch_size > image_size)
		return fail(err, E_MODEL, "%s: patch_size %d is larger than image_size %d", file, patch_size, image_size);
	return 0;
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

void clip_tower_open(struct clip_tower *t, const struct clip_tower_config *c, const char *prefix, struct nn_source *s)
{
	t->config = *c;
	t->compute = s->compute;
	t->layer = xcalloc((size_t)c->layers, sizeof *t->layer);
	for (int i = 0; i < c->layers; i++) {
		struct clip_layer *l = &t->layer[i];

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

void clip_tower_close(struct clip_tower *t)
{
	free(t->layer);
	t->layer = NULL;
}

/* ---- forward */

/* Row index[b] of each x[b]: [B,L,d] -> [B,1,d] */
static tt_tensor *pick(tt_pool *p, tt_tensor *x, tt_tensor *index)
{
	tt_tensor *at = tt_reshape(p, index, TT_SHAPE(-1, 1, 1));

	return tt_gather(p, x, 1, tt_expand(p, at, TT_SHAPE(tt_size(x, 0), 1, tt_size(x, 2))));
}

/* x + attention(norm1(x)), then x + mlp(norm2(x)). With `only` just that row of each x[b] leaves the layer: [B,1,d]. */
static tt_tensor *run_layer(const struct clip_tower *t, tt_pool *p, const struct clip_layer *l, tt_tensor *x, tt_tensor *bias, bool causal,
			    tt_tensor *only)
{
	double scale = 1 / sqrt((double)t->config.hidden / t->config.heads);
	tt_mark start = tt_here(p);
	tt_tensor *h = nn_norm(p, &l->norm1, x, t->compute);
	tt_tensor *asking = only && !causal ? pick(p, h, only) : h; /* a causal mask is made for all rows */

	h = nn_attention(p, &l->q, &l->k, &l->v, asking, h, t->config.heads, scale, bias, causal, NULL);
	if (only) {
		x = pick(p, x, only);
		h = causal ? pick(p, h, only) : h;
	}
	x = nn_linear_add_(p, &l->out, h, x);
	tt_keep(p, start, &x, 1);
	h = nn_norm(p, &l->norm2, x, t->compute);
	h = tt_activate_(p, nn_linear(p, &l->up, h), t->config.activation);
	x = nn_linear_add_(p, &l->down, h, x);
	tt_keep(p, start, &x, 1);
	return x;
}

tt_tensor *clip_tower_run(const struct clip_tower *t, tt_pool *p, tt_tensor *x, tt_tensor *bias, bool causal, tt_tensor *row, tt_tensor **rows)
{
	tt_mark start = tt_here(p);

	for (int i = 0; i < t->config.layers; i++) {
		bool last = i == t->config.layers - 1;

		if (last && rows)
			*rows = x;
		x = run_layer(t, p, &t->layer[i], x, bias, causal, last ? row : NULL);
		tt_keep(p, start, (tt_tensor *[]){x, last && rows ? *rows : NULL}, 2);
	}
	return x;
}

/* 0, or for 0 a value that no score outweighs (finite in every dtype: a row may be masked as a whole) */
tt_tensor *clip_mask_bias(tt_pool *p, tt_tensor *mask, int device)
{
	tt_tensor *m = tt_to(p, mask, TT_F32, device);

	m = tt_scale(p, tt_add_scalar(p, m, -1), 65504);
	return tt_reshape(p, m, TT_SHAPE(tt_size(mask, 0), 1, 1, tt_size(mask, 1)));
}

int clip_pictures_at_once(int device)
{
	return device == TT_CPU ? PICTURES_PER_CPU * runtime_cpus() : INT_MAX;
}

tt_tensor *clip_in_groups(tt_pool *p, int device, tt_tensor *const *pictures, int n,
			  tt_tensor *(*features)(const void *net, tt_pool *p, tt_tensor *const *pictures, int n), const void *net)
{
	int most = clip_pictures_at_once(device), parts = 0;
	tt_tensor **part = xcalloc((size_t)n, sizeof *part), *all;
	tt_mark start = tt_here(p);

	for (int i = 0, k; i < n; i += k) {
		k = n - i < most ? n - i : most;
		part[parts++] = features(net, p, pictures + i, k);
		tt_keep(p, start, part, parts);
	}
	all = parts == 1 ? part[0] : tt_cat(p, part, parts, 0);
	tt_keep(p, start, &all, 1);
	free(part);
	return all;
}
