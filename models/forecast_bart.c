/* forecast_bart.c - see forecast.h: bart_logits of bart.c, counted, over one slice of nli.c. */
#include "models/forecast.h"

/* embed: [rows,d] fp32 from two tables. */
static int64_t embed(struct tally *t, const struct bart_config *c, int64_t rows, int64_t length)
{
	int64_t start = tally_here(t), d = c->width, x;

	tally_hold(t, rows * d, t->compute);
	tally_cast(t, rows * d, t->compute, TT_F32);
	if (c->scale_embedding)
		tally_hold(t, rows * d, TT_F32);
	tally_cast(t, length * d, t->compute, TT_F32);
	tally_hold(t, rows * d, TT_F32);
	x = tally_norm(t, rows, d, TT_F32);
	tally_keep(t, start, x);
	return x;
}

void forecast_bart(const struct bart_config *c, const struct forecast_request *request, struct forecast *out)
{
	int64_t length = request->tokens, batch = forecast_nli_batch(request), rows = batch * length, start, source;
	const struct tally_attention encoder = {batch, c->encoder.heads, length, length, c->width / c->encoder.heads, rows};
	const struct tally_attention causal = {batch, c->decoder.heads, length, length, c->width / c->decoder.heads, 0};
	const struct tally_attention cross = {batch, c->decoder.heads, length, length, c->width / c->decoder.heads, rows};
	struct tally t;

	tally_begin(&t, request->device, request->precision);
	forecast_nli_inputs(&t, rows, false);
	tally_hold(&t, rows, TT_I64); /* moved */
	start = tally_here(&t);
	source = embed(&t, c, rows, length);
	for (int i = 0; i < c->encoder.layers; i++) {
		forecast_postnorm_attend(&t, &encoder);
		forecast_postnorm_feed(&t, rows, c->width, c->encoder.wide);
	}
	if (t.compute != TT_F32)
		source = tally_cast(&t, rows * c->width, TT_F32, t.compute);
	tally_keep(&t, start, source);
	embed(&t, c, rows, length);
	for (int i = 0; i < c->decoder.layers; i++) {
		forecast_postnorm_attend(&t, &causal);
		forecast_postnorm_attend(&t, &cross);
		forecast_postnorm_feed(&t, rows, c->width, c->decoder.wide);
	}
	tally_end(&t, out);
}
