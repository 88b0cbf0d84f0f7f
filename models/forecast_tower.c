/* forecast_tower.c - see forecast.h: what CLIP and SigLIP have in common (clip_tower.c), counted. */
#include "models/forecast.h"

/* With a causal mask all rows ask, and what is read is picked afterwards. */
int64_t forecast_tower_layer(struct tally *t, const struct clip_tower_config *c, int64_t batch, int64_t rows, int64_t reading, bool causal, int64_t x)
{
	const struct tally_attention a = {batch, c->heads, causal ? rows : reading, rows, c->hidden / c->heads, 0};
	int64_t start = tally_here(t), all = batch * rows, read = batch * reading;

	tally_norm(t, all, c->hidden, t->compute);
	if (reading < rows && !causal)
		tally_hold(t, read * c->hidden, t->compute);
	tally_attention_layers(t, &a);
	if (reading < rows)
		x = tally_hold(t, read * c->hidden, TT_F32);
	if (reading < rows && causal)
		tally_hold(t, read * c->hidden, t->compute);
	tally_linear_add(t, read, c->hidden, c->hidden);
	tally_keep(t, start, reading < rows ? x : 0);
	start = tally_here(t);
	tally_norm(t, read, c->hidden, t->compute);
	tally_linear(t, read, c->hidden, c->intermediate);
	tally_linear_add(t, read, c->intermediate, c->hidden);
	tally_keep(t, start, 0);
	return x;
}

int64_t forecast_pictures_begin(struct tally *t, const struct forecast_request *request, int64_t image, int64_t side, int64_t d)
{
	int64_t grid = image / side, batch = request->batch, start, x;

	if (batch > clip_pictures_at_once(request->device))
		batch = clip_pictures_at_once(request->device);
	tally_begin(t, request->device, request->precision);
	tally_pixels(t, batch, image, image);
	start = tally_here(t);
	tally_pixels_in(t, batch, image, image);
	tally_hold(t, batch * grid * grid * 3 * side * side, t->compute);
	x = tally_linear(t, batch * grid * grid, 3 * side * side, d);
	if (t->compute != TT_F32)
		x = tally_hold(t, batch * grid * grid * d, TT_F32);
	tally_keep(t, start, x);
	return batch;
}

void forecast_or_texts(const struct clip_tower_config *c, const struct forecast_request *request, int64_t length, int64_t projection, bool causal,
		       struct forecast *out)
{
	int64_t batch = CLIP_TEXTS_AT_ONCE, rows = batch * length, start, ends, x;
	struct forecast texts = *out;
	struct tally t;

	tally_begin(&t, request->device, request->precision);
	tally_hold(&t, rows, TT_I64);
	start = tally_here(&t);
	ends = tally_hold(&t, batch, TT_I64);
	tally_hold(&t, rows * c->hidden, t.compute);
	tally_cast(&t, rows * c->hidden, t.compute, TT_F32);
	x = tally_hold(&t, rows * c->hidden, TT_F32);
	tally_keep(&t, start, ends + x);
	for (int i = 0; i < c->layers; i++)
		forecast_tower_layer(&t, c, batch, length, i == c->layers - 1 ? 1 : length, causal, x);
	tally_norm(&t, batch, c->hidden, t.compute);
	tally_linear(&t, batch, c->hidden, projection);
	tally_cast(&t, batch * projection, t.compute, TT_F32);
	tally_end(&t, &texts);
	if (texts.together > out->together)
		*out = texts;
}
