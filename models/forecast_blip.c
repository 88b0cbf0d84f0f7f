/* forecast_blip.c - see forecast.h: blip_encode of blip_vision.c and the decoding of blip_text.c, counted. */
#include "models/forecast.h"

/* ---- the picture */

/* embed: the convolution is a product over patches that are cut out first. */
static int64_t embed_picture(struct tally *t, const struct blip_config *c, int64_t batch, int64_t patches)
{
	int64_t start = tally_here(t), d = c->vision.hidden, side = c->patch_size, x;

	tally_pixels_in(t, batch, c->image_size, c->image_size);
	x = tally_hold(t, batch * patches * 3 * side * side, t->compute);
	tally_linear(t, batch * patches, 3 * side * side, d);
	tally_drop(t, x);
	tally_cast(t, batch * patches * d, t->compute, TT_F32);
	x = tally_hold(t, batch * (patches + 1) * d, TT_F32);
	tally_keep(t, start, x);
	return x;
}

/* Both half layers write over x, which lies outside. */
static void vision_layer(struct tally *t, const struct blip_tower_config *c, int64_t batch, int64_t rows)
{
	const struct tally_attention a = {batch, c->heads, rows, rows, c->hidden / c->heads, 0};
	int64_t start = tally_here(t), all = batch * rows;

	tally_norm(t, all, c->hidden, t->compute);
	tally_linear(t, all, c->hidden, 3 * c->hidden);
	tally_attend(t, &a);
	tally_linear_add(t, all, c->hidden, c->hidden);
	tally_keep(t, start, 0);
	tally_norm(t, all, c->hidden, t->compute);
	tally_linear(t, all, c->hidden, c->intermediate);
	tally_linear_add(t, all, c->intermediate, c->hidden);
	tally_keep(t, start, 0);
}

static void encode(struct tally *t, const struct blip_config *c, int64_t batch, int64_t rows)
{
	int64_t start = tally_here(t), x = embed_picture(t, c, batch, rows - 1);

	for (int i = 0; i < c->vision.layers; i++)
		vision_layer(t, &c->vision, batch, rows);
	x = tally_norm(t, batch * rows, c->vision.hidden, t->compute);
	tally_keep(t, start, x);
}

/* ---- the words */

/* blip_decoding_create: the pictures' keys and values, as the layer gives them and by heads. */
static void see(struct tally *t, const struct blip_config *c, int64_t batch, int64_t rows)
{
	for (int i = 0; i < c->text.layers; i++) {
		int64_t start = tally_here(t);

		for (int side = 0; side < 2; side++) {
			tally_linear(t, batch * rows, c->vision.hidden, c->text.hidden);
			tally_cache(t, batch * rows * c->text.hidden, t->compute);
		}
		tally_keep(t, start, 0);
	}
}

/* LN(x + out(·)) */
static void leave(struct tally *t, const struct blip_config *c, int64_t rows, int64_t in)
{
	tally_linear_packed(t, rows, in, c->text.hidden);
	tally_add(t, rows * c->text.hidden);
	tally_norm(t, rows, c->text.hidden, TT_F32);
}

/* The caches of the step before are still there while they are gathered by parent and grow by one token. */
static void attend_tokens(struct tally *t, const struct blip_config *c, int64_t rows, int64_t tokens)
{
	int64_t d = c->text.hidden;
	const struct tally_attention a = {1, rows * c->text.heads, 1, tokens, d / c->text.heads, 0};

	tally_cast(t, rows * d, TT_F32, t->compute);
	tally_linear_packed(t, rows, d, d);
	for (int side = 0; side < 2; side++) {
		tally_linear_packed(t, rows, d, d);
		tally_hold(t, rows * (tokens - 1) * d, t->compute);
		tally_hold(t, rows * tokens * d, t->compute);
	}
	tally_attend(t, &a);
	leave(t, c, rows, d);
}

static void attend_picture(struct tally *t, const struct blip_config *c, int64_t batch, int64_t seen, int64_t rows)
{
	int64_t d = c->text.hidden;
	const struct tally_attention a = {batch, c->text.heads, rows / batch, seen, d / c->text.heads, 0};

	tally_cast(t, rows * d, TT_F32, t->compute);
	tally_linear_packed(t, rows, d, d);
	tally_attend(t, &a);
	leave(t, c, rows, d);
}

/* blip_decoding_step, the last: nothing is freed before the logits are read. */
static void last_step(struct tally *t, const struct blip_config *c, int64_t batch, int64_t seen, int64_t rows, int64_t tokens)
{
	int64_t start = tally_here(t), d = c->text.hidden;

	tally_hold(t, rows * d, t->compute);
	tally_cast(t, rows * d, t->compute, TT_F32);
	tally_hold(t, rows * d, TT_F32);
	tally_norm(t, rows, d, TT_F32);
	for (int i = 0; i < c->text.layers; i++) {
		attend_tokens(t, c, rows, tokens);
		attend_picture(t, c, batch, seen, rows);
		tally_cast(t, rows * d, TT_F32, t->compute);
		tally_linear_packed(t, rows, d, c->text.intermediate);
		leave(t, c, rows, c->text.intermediate);
	}
	tally_cast(t, rows * d, TT_F32, t->compute);
	tally_linear_packed(t, rows, d, d);
	tally_norm(t, rows, d, t->compute);
	tally_linear_packed(t, rows, d, c->vocabulary);
	tally_cast(t, rows * c->vocabulary, t->compute, TT_F32);
	tally_keep(t, start, 0);
}

void forecast_blip(const struct blip_config *c, const struct forecast_request *request, int beams, int length, struct forecast *out)
{
	int64_t batch = request->batch, grid = c->image_size / c->patch_size, seen = grid * grid + 1, rows = batch * beams;
	struct tally t;

	tally_begin(&t, request->device, request->precision);
	tally_pixels(&t, batch, c->image_size, c->image_size);
	encode(&t, c, batch, seen);
	see(&t, c, batch, seen);
	for (int i = 0; i < 2 * c->text.layers; i++)
		tally_cache(&t, rows * (length - 1) * c->text.hidden, t.compute);
	last_step(&t, c, batch, seen, rows, length);
	tally_end(&t, out);
}
