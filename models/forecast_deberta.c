/* forecast_deberta.c - see forecast.h: deberta_logits of deberta.c, counted, over one slice of nli.c. */
#include "models/forecast.h"

struct shape {
	int64_t batch, length, heads, depth, places;
};

/* compare_places: [batch,heads,length,length]; its product is dropped behind place_bias. */
static int64_t compare_places(struct tally *t, const struct shape *s)
{
	tally_matmul(t, s->heads, s->batch * s->length, s->depth, s->places);
	return tally_hold(t, s->batch * s->heads * s->length * s->length, t->compute);
}

static void attend(struct tally *t, const struct shape *s)
{
	int64_t start = tally_here(t), rows = s->batch * s->length, d = s->heads * s->depth, inner, bias;
	const struct tally_attention a = {s->batch, s->heads, s->length, s->length, s->depth, 0};

	tally_cast(t, rows * d, TT_F32, t->compute);
	for (int i = 0; i < 3; i++)
		tally_linear(t, rows, d, d);
	inner = tally_here(t);
	bias = compare_places(t, s);
	tally_keep(t, inner, bias);
	compare_places(t, s);
	tally_keep(t, inner, bias);
	tally_attend(t, &a);
	forecast_postnorm_leave(t, rows, d);
	tally_keep(t, start, 0);
}

void forecast_deberta(const struct deberta_config *c, const struct forecast_request *request, struct forecast *out)
{
	int64_t length = request->tokens, batch = forecast_nli_batch(request), rows = batch * length, d = c->hidden, start, x;
	const struct shape s = {batch, length, c->heads, d / c->heads, deberta_place(c, length - 1) + 1 - deberta_place(c, 1 - length)};
	struct tally t;

	tally_begin(&t, request->device, request->precision);
	forecast_nli_inputs(&t, rows, false);
	tally_hold(&t, length * length, TT_I64); /* rows and turned */
	tally_hold(&t, length * length, TT_I64);
	start = tally_here(&t);
	tally_hold(&t, rows * d, t.compute);
	tally_cast(&t, rows * d, t.compute, TT_F32);
	x = tally_norm(&t, rows, d, TT_F32);
	tally_keep(&t, start, x);
	for (int i = 0; i < c->layers; i++) {
		attend(&t, &s);
		forecast_postnorm_feed(&t, rows, d, c->intermediate);
	}
	tally_end(&t, out);
}
