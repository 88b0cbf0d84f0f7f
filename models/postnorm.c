/* postnorm.c - see postnorm.h. */
#include "models/postnorm.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

const struct postnorm_names postnorm_bert = {
	"attention.self.query",       "attention.self.key", "attention.self.value", "attention.output.dense",
	"attention.output.LayerNorm", "intermediate.dense", "output.dense",         "output.LayerNorm",
};

/* ---- weights ---- */

struct nn_linear postnorm_linear_open(struct nn_source *s, const char *prefix, const char *name, int64_t in, int64_t out)
{
	char *whole = xasprintf("%s.%s", prefix, name);
	struct nn_linear linear = nn_linear_open(s, whole, in, out, true);

	free(whole);
	return linear;
}

struct nn_norm postnorm_norm_open(struct nn_source *s, const char *prefix, const char *name, int64_t d, double eps)
{
	bool old = nn_has(s, "%s.%s.gamma", prefix, name);

	return (struct nn_norm){
		.w = nn_weight_f32(s, NN_ONES, TT_SHAPE(d), "%s.%s.%s", prefix, name, old ? "gamma" : "weight"),
		.b = nn_weight_f32(s, NN_ZEROS, TT_SHAPE(d), "%s.%s.%s", prefix, name, old ? "beta" : "bias"),
		.eps = eps,
	};
}

struct postnorm_attention postnorm_attention_open(struct nn_source *s, const char *layer, const struct postnorm_names *names, int64_t d, int heads,
						  double eps)
{
	return (struct postnorm_attention){
		.query = postnorm_linear_open(s, layer, names->query, d, d),
		.key = postnorm_linear_open(s, layer, names->key, d, d),
		.value = postnorm_linear_open(s, layer, names->value, d, d),
		.output = postnorm_linear_open(s, layer, names->output, d, d),
		.norm = postnorm_norm_open(s, layer, names->norm, d, eps),
		.heads = heads,
	};
}

struct postnorm_feed postnorm_feed_open(struct nn_source *s, const char *layer, const struct postnorm_names *names, int64_t d, int64_t wide,
					enum tt_activation activation, double eps)
{
	return (struct postnorm_feed){
		.up = postnorm_linear_open(s, layer, names->up, d, wide),
		.down = postnorm_linear_open(s, layer, names->down, wide, d),
		.norm = postnorm_norm_open(s, layer, names->feed_norm, d, eps),
		.activation = activation,
	};
}

/* ---- forward ---- */

/* The most negative finite number of a dtype. Kept in that dtype, where -FLT_MAX would be -inf in half. */
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

tt_tensor *postnorm_mask(tt_pool *p, tt_tensor *mask, enum tt_dtype compute, int device)
{
	int64_t rows = tt_size(mask, 0), length = tt_size(mask, 1);

	mask = tt_to(p, mask, compute, device);
	mask = tt_scale(p, tt_add_scalar(p, tt_scale(p, mask, -1), 1), lowest(compute));
	return tt_reshape(p, mask, TT_SHAPE(rows, 1, 1, length));
}

tt_tensor *postnorm_attend(tt_pool *p, const struct postnorm_attention *a, enum tt_dtype compute, tt_tensor *x, tt_tensor *y, tt_tensor *bias,
			   bool causal)
{
	tt_tensor *asking = tt_cast(p, x, compute), *asked = y == x ? asking : tt_cast(p, y, compute);
	double scale = 1 / sqrt((double)tt_size(x, -1) / a->heads);

	return postnorm_leave(p, a, x, nn_attention(p, &a->query, &a->key, &a->value, asking, asked, a->heads, scale, bias, causal, NULL));
}

tt_tensor *postnorm_leave(tt_pool *p, const struct postnorm_attention *a, tt_tensor *x, tt_tensor *mixed)
{
	return nn_norm(p, &a->norm, tt_add(p, x, nn_linear(p, &a->output, mixed)), TT_F32);
}

tt_tensor *postnorm_feed(tt_pool *p, const struct postnorm_feed *f, enum tt_dtype compute, tt_tensor *x)
{
	tt_tensor *h = tt_activate_(p, nn_linear(p, &f->up, tt_cast(p, x, compute)), f->activation);

	return nn_norm(p, &f->norm, tt_add(p, x, nn_linear(p, &f->down, h)), TT_F32);
}
