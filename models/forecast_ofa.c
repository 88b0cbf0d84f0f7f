/* forecast_ofa.c - see forecast.h: ofa_resnet.c, ofa_encode of ofa_net.c and the decoding of ofa_generate.c, counted. */
#include "models/forecast.h"
#include "models/ofa_net.h"

/* ---- stem */

/* run_block of ofa_resnet.c: three convolutions, the identity and perhaps one more for it. */
static int64_t run_block(struct tally *t, int64_t n, int64_t in, int64_t planes, int stride, bool side, int64_t *height, int64_t *width)
{
	const struct tally_conv reduce = {in, planes, 1, 1}, middle = {planes, planes, 3, stride}, expand = {planes, 4 * planes, 1, 1},
				identity = {in, 4 * planes, 1, stride};
	int64_t start = tally_here(t), h = *height, w = *width, y;

	tally_convolve(t, &reduce, n, &h, &w);
	y = tally_convolve(t, &middle, n, &h, &w);
	tally_keep(t, start, y);
	y = tally_convolve(t, &expand, n, &h, &w);
	if (side)
		tally_convolve(t, &identity, n, height, width);
	*height = h;
	*width = w;
	return y;
}

/* ofa_stem_run: pixels to [n,1024,h,w]; returns its block. */
static int64_t run_stem(struct tally *t, const struct ofa_config *c, int64_t n, int64_t *height, int64_t *width)
{
	const struct tally_conv first = {3, 64, 7, 2};
	int64_t start = tally_here(t), x;

	tally_hold(t, n * 3 * *height * *width, t->compute); /* channels last */
	tally_convolve(t, &first, n, height, width);
	*height = (*height + 1) / 2;
	*width = (*width + 1) / 2;
	x = tally_hold(t, n * 64 * *height * *width, t->compute);
	tally_brief(t, n * 64 * *height * *width * 8); /* where each maximum was */
	tally_keep(t, start, x);
	for (int stage = 0; stage < OFA_STAGES; stage++) {
		for (int i = 0; i < c->blocks[stage]; i++) {
			int64_t planes = 64 << stage, out = 4 * planes, in = i > 0 ? out : stage > 0 ? out / 2 : 64;

			x = run_block(t, n, in, planes, stage > 0 && i == 0 ? 2 : 1, i == 0, height, width);
			tally_keep(t, start, x);
		}
	}
	return x;
}

/* ---- encoder */

/* What the layers share, as struct scene of ofa_net.c: patches, tokens, both together. */
struct scene {
	int64_t batch, patches, tokens, all, columns;
};

static int64_t embed(struct tally *t, const struct ofa_config *c, int64_t rows, bool type, bool norm)
{
	int64_t d = c->d_model;

	tally_cast(t, rows * d, t->compute, TT_F32);
	if (c->scale_embedding)
		tally_hold(t, rows * d, TT_F32);
	if (type)
		tally_hold(t, rows * d, TT_F32);
	return norm ? tally_norm(t, rows, d, TT_F32) : 0;
}

/* Patches and prompt to [batch,all,d] fp32. */
static int64_t embed_scene(struct tally *t, const struct ofa_config *c, const struct scene *s)
{
	tally_hold(t, s->batch * s->tokens * c->d_model, t->compute);
	embed(t, c, s->batch * s->tokens, c->type_embedding, c->layernorm_embedding);
	tally_linear(t, s->batch * s->patches, OFA_STEM_CHANNELS, c->d_model);
	embed(t, c, s->batch * s->patches, c->type_embedding, c->patch_layernorm_embedding);
	return tally_hold(t, s->batch * s->all * c->d_model, TT_F32);
}

/* encoder_positions: picked, normed, put together. */
static int64_t encoder_positions(struct tally *t, const struct ofa_config *c, const struct scene *s)
{
	tally_hold(t, s->patches, TT_I64);
	tally_hold(t, s->patches * c->d_model, TT_F32);
	tally_norm(t, s->patches, c->d_model, TT_F32);
	tally_norm(t, s->tokens, c->d_model, TT_F32);
	return tally_hold(t, s->all * c->d_model, TT_F32);
}

/* ofa_position_bias: [1,H,n,m] fp32. */
static int64_t position_bias(struct tally *t, const struct ofa_config *c, int64_t n, int64_t m, int heads)
{
	int64_t d = c->d_model, y;

	tally_cast(t, n * d, TT_F32, t->compute);
	tally_linear(t, n, d, d);
	tally_cast(t, m * d, TT_F32, t->compute);
	tally_linear(t, m, d, d);
	y = tally_matmul(t, heads, n, d / heads, m);
	return t->compute == TT_F32 ? y : tally_hold(t, heads * n * m, TT_F32);
}

/* ofa_token_bias: [1,H,n,n] fp32, in the table's order. */
static void token_bias(struct tally *t, int64_t n, int heads)
{
	tally_hold(t, n * n, TT_I64);
	tally_hold(t, n * n * heads, TT_F32);
}

/* encoder_bias: [1,H,all,all] fp32, put together from four parts. */
static int64_t encoder_bias(struct tally *t, const struct ofa_config *c, const struct scene *s)
{
	int64_t start = tally_here(t), heads = c->encoder_heads, span = 2 * (int64_t)c->image_bucket - 1, rows = s->patches / s->columns, bias;

	tally_hold(t, heads * span * s->columns * s->columns, TT_F32);
	tally_hold(t, s->columns * s->columns + rows * rows, TT_I64);
	tally_hold(t, heads * s->patches * s->patches, TT_F32);
	tally_hold(t, heads * s->patches * s->patches, TT_F32);
	token_bias(t, s->tokens, c->encoder_heads);
	tally_hold(t, heads * s->patches * s->all, TT_F32);
	tally_hold(t, heads * s->tokens * s->all, TT_F32);
	bias = tally_hold(t, heads * s->all * s->all, TT_F32);
	tally_keep(t, start, bias);
	return bias;
}

typedef int64_t linear_function(struct tally *t, int64_t rows, int64_t in, int64_t out);

/* ofa_attention_leave: the output layer, its norm and the residual. */
static void attention_leave(struct tally *t, const struct ofa_config *c, int64_t rows, bool pre_norm, linear_function *linear)
{
	linear(t, rows, c->d_model, c->d_model);
	if (c->normformer) {
		tally_norm(t, rows, c->d_model, TT_F32);
		tally_hold(t, rows * c->d_model, TT_F32);
	} else {
		tally_add(t, rows * c->d_model);
	}
	if (!pre_norm)
		tally_norm(t, rows, c->d_model, TT_F32);
}

/* The norm before a half layer, or only its cast. */
static void enter(struct tally *t, const struct ofa_config *c, int64_t rows, bool pre_norm)
{
	if (pre_norm)
		tally_norm(t, rows, c->d_model, t->compute);
	else
		tally_cast(t, rows * c->d_model, TT_F32, t->compute);
}

/* ofa_feed_run */
static void feed(struct tally *t, const struct ofa_config *c, int64_t rows, int64_t ffn, bool pre_norm, linear_function *linear)
{
	enter(t, c, rows, pre_norm);
	linear(t, rows, c->d_model, ffn);
	if (c->normformer)
		tally_norm(t, rows, ffn, t->compute);
	linear(t, rows, ffn, c->d_model);
	tally_add(t, rows * c->d_model);
	if (!pre_norm)
		tally_norm(t, rows, c->d_model, TT_F32);
}

/* Both half layers; x lies outside, and a new one takes its place. */
static void encoder_layer(struct tally *t, const struct ofa_config *c, const struct scene *s)
{
	const struct tally_attention a = {
		s->batch, c->encoder_heads, s->all, s->all, c->d_model / c->encoder_heads, c->encoder_heads * s->all * s->all};
	int64_t start = tally_here(t), rows = s->batch * s->all;

	encoder_bias(t, c, s);
	enter(t, c, rows, c->encoder_pre_norm);
	tally_attention_layers(t, &a);
	attention_leave(t, c, rows, c->encoder_pre_norm, tally_linear);
	tally_keep(t, start, 0);
	feed(t, c, rows, c->encoder_ffn, c->encoder_pre_norm, tally_linear);
	tally_keep(t, start, 0);
}

/* ofa_encode; what stays is the decoder's: the output and the position vectors. */
static void encode(struct tally *t, const struct ofa_config *c, struct scene *s, int64_t height, int64_t width)
{
	int64_t start = tally_here(t), x, positions, absolute;

	tally_pixels_in(t, s->batch, height, width);
	run_stem(t, c, s->batch, &height, &width);
	s->patches = height * width;
	s->columns = width;
	s->all = s->patches + s->tokens;
	x = embed_scene(t, c, s);
	positions = encoder_positions(t, c, s);
	absolute = position_bias(t, c, s->all, s->all, c->encoder_heads);
	tally_keep(t, start, x + positions + absolute);
	for (int i = 0; i < c->encoder_layers; i++)
		encoder_layer(t, c, s);
	if (c->encoder_pre_norm)
		x = tally_norm(t, s->batch * s->all, c->d_model, t->compute);
	else if (t->compute != TT_F32)
		x = tally_cast(t, s->batch * s->all * c->d_model, TT_F32, t->compute);
	tally_keep(t, start, x + positions);
}

/* ---- decoder */

/* ofa_decoding_create: position biases, and the pictures' keys and values for each layer. */
static void begin_decoding(struct tally *t, const struct ofa_config *c, const struct scene *s, int64_t places)
{
	int64_t start = tally_here(t), seen = s->batch * s->all * c->d_model, heads = c->decoder_heads, kept;

	tally_norm(t, places, c->d_model, TT_F32);
	position_bias(t, c, places, places, c->decoder_heads);
	kept = position_bias(t, c, places, s->all, c->decoder_heads);
	for (int i = 0; i < c->decoder_layers; i++) {
		token_bias(t, places, c->decoder_heads);
		kept += tally_hold(t, heads * places * places, TT_F32);
		for (int side = 0; side < 2; side++) { /* keys, values: as the layer gives them, and by heads */
			tally_linear(t, s->batch * s->all, c->d_model, c->d_model);
			tally_cache(t, seen, t->compute);
		}
	}
	tally_keep(t, start, kept);
}

/* attend_self: the caches of the step before are still there while they are gathered by parent and grow by one token. */
static void attend_self(struct tally *t, const struct ofa_config *c, int64_t rows, int64_t step)
{
	int64_t d = c->d_model, heads = c->decoder_heads;
	const struct tally_attention a = {1, rows * heads, 1, step + 1, d / heads, rows * heads * (step + 1)};

	enter(t, c, rows, c->decoder_pre_norm);
	tally_linear_packed(t, rows, d, d);
	for (int side = 0; side < 2; side++) {
		tally_linear_packed(t, rows, d, d);
		tally_hold(t, rows * step * d, t->compute);
		tally_hold(t, rows * (step + 1) * d, t->compute);
	}
	tally_hold(t, rows * heads * (step + 1), TT_F32);
	tally_attend(t, &a);
	attention_leave(t, c, rows, c->decoder_pre_norm, tally_linear_packed);
}

static void attend_picture(struct tally *t, const struct ofa_config *c, const struct scene *s, int64_t rows)
{
	int64_t heads = c->decoder_heads;
	const struct tally_attention a = {s->batch, heads, rows / s->batch, s->all, c->d_model / heads, heads * s->all};

	enter(t, c, rows, c->decoder_pre_norm);
	tally_linear_packed(t, rows, c->d_model, c->d_model);
	tally_attend(t, &a);
	attention_leave(t, c, rows, c->decoder_pre_norm, tally_linear_packed);
}

/* ofa_decoding_step, the last: nothing is freed before the logits are read. */
static void last_step(struct tally *t, const struct ofa_config *c, const struct scene *s, int64_t rows, int64_t step)
{
	int64_t start = tally_here(t);

	tally_hold(t, rows * c->d_model, t->compute);
	embed(t, c, rows, false, c->layernorm_embedding);
	for (int i = 0; i < c->decoder_layers; i++) {
		attend_self(t, c, rows, step);
		attend_picture(t, c, s, rows);
		feed(t, c, rows, c->decoder_ffn, c->decoder_pre_norm, tally_linear_packed);
	}
	enter(t, c, rows, c->decoder_pre_norm);
	tally_linear_packed(t, rows, c->d_model, c->vocabulary);
	tally_cast(t, rows * c->vocabulary, t->compute, TT_F32);
	tally_keep(t, start, 0);
}

void forecast_ofa(const struct ofa_config *c, const struct forecast_request *request, const struct forecast_captions *captions, struct forecast *out)
{
	struct scene s = {.batch = request->batch, .tokens = captions->prompt};
	int64_t rows = s.batch * captions->beams;
	struct tally t;

	tally_begin(&t, request->device, request->precision);
	tally_pixels(&t, s.batch, captions->height, captions->width);
	tally_hold(&t, captions->prompt, TT_I64);
	encode(&t, c, &s, captions->height, captions->width);
	begin_decoding(&t, c, &s, captions->length + 1);
	for (int i = 0; i < 2 * c->decoder_layers; i++)
		tally_cache(&t, rows * captions->length * c->d_model, t.compute);
	last_step(&t, c, &s, rows, captions->length);
	tally_end(&t, out);
}
