/* ofa_resnet.c - the picture's way into OFA: conv, pool and three stages of bottlenecks (He et al. 2016, with the stride on the 3x3: "v1.5").
 *
 * For inference each batch norm is folded into its convolution in fp32 at load: w' = w f, b' = beta - mean f, with f = gamma / sqrt(var + eps).
 */
#include "models/ofa_net.h"

#include <math.h>
#include <stdlib.h>

#include "core/mem.h"

static const double NORM_EPS = 1e-5, NORM_MOMENTUM = 0.1;

struct conv {
	tt_tensor *w;                         /* [out,in,k,k] */
	tt_tensor *b;                         /* [out] when folded; else NULL, and the norm's: */
	tt_tensor *gamma, *beta, *mean, *var; /* [out] fp32 */
	int stride, padding;
};

struct bottleneck {
	struct conv reduce, middle, expand;
	struct conv side; /* for the identity where its shape changes; w NULL: none */
};

struct ofa_stem {
	struct conv first;
	struct bottleneck *blocks;
	int n_blocks;
};

/* The same values with the channels innermost in memory: convolutions over that layout are up to twice as fast in bf16, and the way to [B,h*w,C] is free. */
static tt_tensor *channels_last(tt_pool *p, tt_tensor *x)
{
	x = tt_contiguous(p, tt_permute(p, x, TT_SHAPE(0, 2, 3, 1)));
	return tt_permute(p, x, TT_SHAPE(0, 3, 1, 2));
}

/* ---- weights ---- */

static void fold(struct conv *c, struct nn_source *s, tt_mark m)
{
	tt_pool *p = s->pool;
	size_t n = (size_t)tt_size(c->w, 0);
	float *values = xcalloc(4 * n, sizeof *values), *gamma = values, *beta = values + n, *mean = values + 2 * n, *var = values + 3 * n;
	tt_tensor *factor, *offset;

	tt_to_f32(p, c->gamma, gamma, n);
	tt_to_f32(p, c->beta, beta, n);
	tt_to_f32(p, c->mean, mean, n);
	tt_to_f32(p, c->var, var, n);
	for (size_t i = 0; i < n; i++) {
		double f = gamma[i] / sqrt(var[i] + NORM_EPS);

		gamma[i] = (float)f;
		beta[i] = (float)(beta[i] - mean[i] * f);
	}
	factor = tt_to(p, tt_from_f32(p, gamma, TT_SHAPE((int64_t)n, 1, 1, 1)), TT_F32, s->device);
	offset = tt_to(p, tt_from_f32(p, beta, TT_SHAPE((int64_t)n)), TT_F32, s->device);
	free(values);
	c->w = channels_last(p, tt_cast(p, tt_mul(p, c->w, factor), s->compute));
	c->b = tt_cast(p, offset, s->compute);
	c->gamma = c->beta = c->mean = c->var = NULL;
	tt_keep(p, m, (tt_tensor *[]){c->w, c->b}, 2);
}

/* What is left of them after folding. */
static struct conv count_folded(struct nn_source *s, int64_t in, int64_t out, int kernel, const char *conv, const char *norm)
{
	static const char *const norms[] = {"weight", "bias", "running_mean", "running_var"};

	nn_count_read(s, TT_SHAPE(out, in, kernel, kernel), "%s.weight", conv);
	for (int i = 0; i < 4; i++)
		nn_count_read(s, TT_SHAPE(out), "%s.%s", norm, norms[i]);
	nn_count_made(s, s->compute, out * in * kernel * kernel);
	nn_count_made(s, s->compute, out);
	return (struct conv){0};
}

/* The weight "<conv>.weight" and its norm "<norm>.*". */
static struct conv open_conv(struct nn_source *s, int64_t in, int64_t out, int kernel, int stride, const char *conv, const char *norm)
{
	tt_mark m = tt_here(s->pool);
	struct conv c = {
		.w = nn_weight_f32(s, NN_FAN_OUT, TT_SHAPE(out, in, kernel, kernel), "%s.weight", conv),
		.gamma = nn_weight_f32(s, NN_ONES, TT_SHAPE(out), "%s.weight", norm),
		.beta = nn_weight_f32(s, NN_ZEROS, TT_SHAPE(out), "%s.bias", norm),
		.mean = nn_statistic(s, NN_ZEROS, TT_SHAPE(out), "%s.running_mean", norm),
		.var = nn_statistic(s, NN_ONES, TT_SHAPE(out), "%s.running_var", norm),
		.stride = stride,
		.padding = kernel / 2,
	};

	if (s->file && c.w && c.gamma && c.beta && c.mean && c.var)
		fold(&c, s, m);
	return c;
}

static struct conv open_named(struct nn_source *s, int64_t in, int64_t out, int kernel, int stride, const char *block, const char *conv,
			      const char *norm)
{
	char *conv_name = xasprintf("%s.%s", block, conv), *norm_name = xasprintf("%s.%s", block, norm);
	struct conv c =
		s->count ? count_folded(s, in, out, kernel, conv_name, norm_name) : open_conv(s, in, out, kernel, stride, conv_name, norm_name);

	free(conv_name);
	free(norm_name);
	return c;
}

static struct bottleneck open_block(struct nn_source *s, int stage, int index)
{
	int64_t planes = 64 << stage, out = 4 * planes;
	int64_t in = index > 0 ? out : stage > 0 ? out / 2 : 64;
	int stride = stage > 0 && index == 0 ? 2 : 1;
	char *name = xasprintf("encoder.embed_images.layer%d.%d", stage + 1, index);
	struct bottleneck b = {
		.reduce = open_named(s, in, planes, 1, 1, name, "conv1", "bn1"),
		.middle = open_named(s, planes, planes, 3, stride, name, "conv2", "bn2"),
		.expand = open_named(s, planes, out, 1, 1, name, "conv3", "bn3"),
	};

	if (index == 0)
		b.side = open_named(s, in, out, 1, stride, name, "downsample.0", "downsample.1");
	free(name);
	return b;
}

struct ofa_stem *ofa_stem_create(const int blocks[OFA_STAGES], struct nn_source *source)
{
	struct ofa_stem *stem = xcalloc(1, sizeof *stem);

	for (int stage = 0; stage < OFA_STAGES; stage++)
		stem->n_blocks += blocks[stage];
	stem->blocks = xcalloc((size_t)stem->n_blocks, sizeof *stem->blocks);
	stem->first = open_named(source, 3, 64, 7, 2, "encoder.embed_images", "conv1", "bn1");
	for (int stage = 0, n = 0; stage < OFA_STAGES; stage++) {
		for (int i = 0; i < blocks[stage]; i++)
			stem->blocks[n++] = open_block(source, stage, i);
	}
	return stem;
}

void ofa_stem_destroy(struct ofa_stem *stem)
{
	if (!stem)
		return;
	free(stem->blocks);
	free(stem);
}

/* ---- forward ---- */

static tt_tensor *run_conv(tt_pool *p, const struct conv *c, tt_tensor *x)
{
	x = tt_conv2d(p, x, c->w, c->b, c->stride, c->padding);
	return c->gamma ? tt_batch_norm(p, x, c->gamma, c->beta, c->mean, c->var, NORM_EPS, NORM_MOMENTUM) : x;
}

static tt_tensor *run_block(tt_pool *p, const struct bottleneck *b, tt_tensor *x)
{
	tt_mark m = tt_here(p);
	tt_tensor *y = tt_activate_(p, run_conv(p, &b->reduce, x), TT_RELU);

	tt_keep(p, m, &y, 1);
	y = tt_activate_(p, run_conv(p, &b->middle, y), TT_RELU);
	tt_keep(p, m, &y, 1);
	y = run_conv(p, &b->expand, y);
	y = tt_add_(p, y, b->side.w ? run_conv(p, &b->side, x) : x);
	return tt_activate_(p, y, TT_RELU);
}

tt_tensor *ofa_stem_run(const struct ofa_stem *stem, tt_pool *p, tt_tensor *pixels)
{
	tt_mark m = tt_here(p);
	tt_tensor *x = tt_activate_(p, run_conv(p, &stem->first, channels_last(p, pixels)), TT_RELU);

	x = tt_max_pool2d(p, x, 3, 2, 1);
	tt_keep(p, m, &x, 1);
	for (int i = 0; i < stem->n_blocks; i++) {
		x = run_block(p, &stem->blocks[i], x);
		tt_keep(p, m, &x, 1);
	}
	return x;
}
