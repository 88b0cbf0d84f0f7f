/* forecast_bert.c - see forecast.h: bert_logits of bert.c, counted, over one slice of nli.c. */
#include "models/forecast.h"

static bool has_types(const struct bert_config *c)
{
	return !c->roberta && c->types > 1;
}

/* embed: [rows,d] fp32 from three tables. */
static int64_t embed(struct tally *t, const struct bert_config *c, int64_t rows, int64_t length)
{
	int64_t start = tally_here(t), d = c->hidden, x;

	for (int table = 0; table < (has_types(c) ? 2 : 1); table++) {
		tally_hold(t, rows * d, t->compute);
		tally_cast(t, rows * d, t->compute, TT_F32);
	}
	tally_hold(t, rows * d, TT_F32);
	if (c->roberta)
		tally_hold(t, rows * d, t->compute);
	tally_cast(t, (c->roberta ? rows : length) * d, t->compute, TT_F32);
	tally_hold(t, rows * d, TT_F32);
	x = tally_norm(t, rows, d, TT_F32);
	tally_keep(t, start, x);
	return x;
}

void forecast_bert(const struct bert_config *c, const struct forecast_request *request, struct forecast *out)
{
	int64_t length = request->tokens, batch = forecast_nli_batch(request), rows = batch * length;
	const struct tally_attention a = {batch, c->heads, length, length, c->hidden / c->heads, rows};
	struct tally t;

	tally_begin(&t, request->device, request->precision);
	forecast_nli_inputs(&t, rows, has_types(c));
	embed(&t, c, rows, length);
	for (int i = 0; i < c->layers; i++) {
		forecast_postnorm_attend(&t, &a);
		forecast_postnorm_feed(&t, rows, c->hidden, c->intermediate);
	}
	tally_end(&t, out);
}
