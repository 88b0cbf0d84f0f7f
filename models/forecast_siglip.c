/* forecast_siglip.c - see forecast.h: the two towers of siglip.c, counted. */
#include "models/forecast.h"

/* pool_patches, over rows in compute: one query a picture. */
static void pool_patches(struct tally *t, const struct clip_tower_config *c, int64_t batch, int64_t rows)
{
	const struct tally_attention a = {batch, c->heads, 1, rows, c->hidden / c->heads, 0};

	tally_attention_layers(t, &a);
	tally_linear(t, batch, c->hidden, c->hidden);
	tally_cast(t, batch * c->hidden, t->compute, TT_F32);
	tally_norm(t, batch, c->hidden, t->compute);
	tally_linear(t, batch, c->hidden, c->intermediate);
	tally_linear_add(t, batch, c->intermediate, c->hidden);
}

void forecast_siglip(const struct siglip_config *c, const struct forecast_request *request, struct forecast *out)
{
	int64_t grid = c->image_size / c->patch_size, rows = grid * grid, d = c->vision.hidden, x;
	struct tally t;
	int64_t batch = forecast_pictures_begin(&t, request, c->image_size, c->patch_size, d);

	x = tally_hold(&t, batch * rows * d, TT_F32);
	tally_keep(&t, 0, x);
	for (int i = 0; i < c->vision.layers; i++)
		forecast_tower_layer(&t, &c->vision, batch, rows, rows, false, x);
	tally_norm(&t, batch * rows, d, t.compute);
	pool_patches(&t, &c->vision, batch, rows);
	tally_end(&t, out);
	if (request->tokens > 0) /* texts are filled up to the context */
		forecast_or_texts(&c->text, request, c->context, c->projection, false, out);
}
