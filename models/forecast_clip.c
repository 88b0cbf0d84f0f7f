/* forecast_clip.c - see forecast.h: clip_image_features of clip.c, counted. */
#include "models/forecast.h"

int64_t forecast_tower_layer(struct tally *t, const struct clip_tower_config *c, int64_t batch, int64_t rows, int64_t reading, int64_t x)
{
	const struct tally_attention a = {batch, c->heads, reading, rows, c->hidden / c->heads, 0};
	int64_t start = tally_here(t), all = batch * rows, read = batch * reading;

	tally_norm(t, all, c->hidden, t->compute);
	if (reading < rows)
		tally_hold(t, read * c->hidden, t->compute);
	tally_attention_layers(t, &a);
	if (reading < rows)
		x = tally_hold(t, read * c->hidden, TT_F32);
	tally_linear_add(t, read, c->hidden, c->hidden);
	tally_keep(t, start, reading < rows ? x : 0);
	start = tally_here(t);
	tally_norm(t, read, c->hidden, t->compute);
	tally_linear(t, read, c->hidden, c->intermediate);
	tally_linear_add(t, read, c->intermediate, c->hidden);
	tally_keep(t, start, 0);
	return x;
}

int64_t forecast_patch_rows(struct tally *t, int64_t batch, int64_t image, int64_t side, int64_t d)
{
	int64_t grid = image / side, start = tally_here(t), x;

	tally_pixels_in(t, batch, image, image);
	tally_hold(t, batch * grid * grid * 3 * side * side, t->compute);
	x = tally_linear(t, batch * grid * grid, 3 * side * side, d);
	if (t->compute != TT_F32)
		x = tally_hold(t, batch * grid * grid * d, TT_F32);
	tally_keep(t, start, x);
	return x;
}

void forecast_clip(const struct clip_config *c, const struct forecast_request *request, struct forecast *out)
{
	int64_t grid = c->image_size / c->patch_size, rows = grid * grid + 1, d = c->vision.hidden, batch = request->batch, start, x;
	struct tally t;

	if (batch > clip_pictures_at_once(request->device))
		batch = clip_pictures_at_once(request->device);
	tally_begin(&t, request->device, request->precision);
	start = tally_here(&t);
	tally_pixels(&t, batch, c->image_size, c->image_size);
	forecast_patch_rows(&t, batch, c->image_size, c->patch_size, d);
	tally_hold(&t, batch * rows * d, TT_F32);
	x = tally_norm(&t, batch * rows, d, TT_F32);
	tally_keep(&t, start, x + tally_hold(&t, batch, TT_I64));
	for (int i = 0; i < c->vision.layers; i++)
		forecast_tower_layer(&t, &c->vision, batch, rows, i == c->vision.layers - 1 ? 1 : rows, x);
	tally_end(&t, out);
}
