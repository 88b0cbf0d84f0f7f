/* forecast_clip.c - see forecast.h: the two towers of clip.c, counted. */
#include "models/forecast.h"

void forecast_clip(const struct clip_config *c, const struct forecast_request *request, struct forecast *out)
{
	int64_t grid = c->image_size / c->patch_size, rows = grid * grid + 1, d = c->vision.hidden, x;
	struct tally t;
	int64_t batch = forecast_pictures_begin(&t, request, c->image_size, c->patch_size, d);

	tally_hold(&t, batch * rows * d, TT_F32);
	x = tally_norm(&t, batch * rows, d, TT_F32);
	tally_keep(&t, 0, x + tally_hold(&t, batch, TT_I64));
	for (int i = 0; i < c->vision.layers; i++)
		forecast_tower_layer(&t, &c->vision, batch, rows, i == c->vision.layers - 1 ? 1 : rows, false, x);
	tally_end(&t, out);
	if (request->tokens > 0)
		forecast_or_texts(&c->text, request, request->tokens < c->context ? request->tokens : c->context, c->projection, true, out);
}
