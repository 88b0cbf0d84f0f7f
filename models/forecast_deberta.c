/* forecast_deberta.c - see forecast.h: deberta_logits of deberta.c, counted, over one slice of nli.c. */
#include "models/forecast.h"

struct shape {
	int64_t batch, length, heads, depth, places;
	int scores; /* comparisons with places: 0 to 2 */
};

/* compare_places: [batch,heads,length,length]; its product is dropped behind place_bias. */
static int64_t compare_places(struct tally *t, const struct shape *s)
{
	tally_matmul(t, s->heads, s->batch * s->length, s->depth, s->places);
	return tally_hold(t, s->batch * s->heads * s->length * s->length, t->compute);
}

static void attend(struct tally *t, const struct shape *s)
{
	int64_t start = tally_here(t), rows = s->batch * s->length, d = s->heads * s->depth, inner, bias = 0;
	const struct tally_attention a = {s->batch, s->heads, s->length, s->length, s->depth, 0};

	tally_cast(t, rows * d, TT_F32, t->compute);
	for (int i = 0; i < 3; i++)
		tally_linear(t, rows, d, d);
	inner = tally_here(t);
	for (int i = 0; i < s->scores; i++) {
		int64_t made = compare_places(t, s);

		bias = bias ? bias : made;
		tally_keep(t, inner, bias);
	}
	tally_attend(t, &a);
	forecast_postnorm_leave(t, rows, d);
	tally_keep(t, start, 0);
}

/* The convolution beside the first layer: its neighbours side by side are the most. */
static void convolve(struct tally *t, int64_t rows, int64_t d, int kernel)
{
	int64_t start = tally_here(t);

	tally_hold(t, rows * d, t->compute);
	tally_hold(t, rows * d * kernel, t->compute);
	tally_linear(t, rows, kernel * d, d);
	tally_add(t, rows * d);
	tally_norm(t, rows, d, TT_F32);
	tally_keep(t, start, 0);
}

static void embed(struct tally *t, const struct deberta_config *c, int64_t rows)
{
	int64_t start = tally_here(t), x;

	tally_hold(t, rows * c->embedding, t->compute);
	tally_cast(t, rows * c->embedding, t->compute, TT_F32);
	for (int i = 0; i < c->biased + (c->types > 0); i++)
		tally_add(t, rows * c->embedding);
	if (c->embedding != c->hidden) {
		tally_cast(t, rows * c->embedding, TT_F32, t->compute);
		tally_linear(t, rows, c->embedding, c->hidden);
		tally_cast(t, rows * c->hidden, t->compute, TT_F32);
	}
	x = tally_norm(t, rows, c->hidden, TT_F32);
	tally_keep(t, start, x);
}

void forecast_deberta(const struct deberta_config *c, const struct forecast_request *request, struct forecast *out)
{
	int64_t length = request->tokens, batch = forecast_nli_batch(request), rows = batch * length, d = c->hidden;
	const struct shape s = {.batch = batch,
				.length = length,
				.heads = c->heads,
				.depth = d / c->heads,
				.places = deberta_place(c, length - 1) + 1 - deberta_place(c, 1 - length),
				.scores = c->relative ? c->to_places + c->from_places : 0};
	struct tally t;

	tally_begin(&t, request->device, request->precision);
	forecast_nli_inputs(&t, rows, c->types > 0);
	for (int i = 0; s.scores > 0 && i < 2; i++)
		tally_hold(&t, length * length, TT_I64); /* rows and turned */
	embed(&t, c, rows);
	for (int i = 0; i < c->layers; i++) {
		attend(&t, &s);
		forecast_postnorm_feed(&t, rows, d, c->intermediate);
		if (i == 0 && c->kernel > 0)
			convolve(&t, rows, d, c->kernel);
	}
	tally_end(&t, out);
}
