/* forecast_bert.c - see forecast.h: bert_logits of bert.c, counted, over one slice of bert_nli.c. */
#include "models/forecast.h"

/* embed: [rows,d] fp32 from three tables. */
static int64_t embed(struct tally *t, const struct bert_config *c, int64_t rows, int64_t length)
{
	int64_t start = tally_here(t), d = c->hidden, x;

	for (int table = 0; table < (c->types > 1 ? 2 : 1); table++) {
		tally_hold(t, rows * d, t->compute);
		tally_cast(t, rows * d, t->compute, TT_F32);
	}
	tally_hold(t, rows * d, TT_F32);
	tally_cast(t, length * d, t->compute, TT_F32);
	tally_hold(t, rows * d, TT_F32);
	x = tally_norm(t, rows, d, TT_F32);
	tally_keep(t, start, x);
	return x;
}

/* x lies outside; each half layer ends with a new one in its place. */
static void attend(struct tally *t, const struct bert_config *c, const struct tally_attention *a)
{
	int64_t start = tally_here(t), rows = a->batch * a->rows;

	tally_cast(t, rows * c->hidden, TT_F32, t->compute);
	tally_attention_layers(t, a);
	tally_linear(t, rows, c->hidden, c->hidden);
	tally_add(t, rows * c->hidden);
	tally_norm(t, rows, c->hidden, TT_F32);
	tally_keep(t, start, 0);
}

static void feed(struct tally *t, const struct bert_config *c, int64_t rows)
{
	int64_t start = tally_here(t);

	tally_cast(t, rows * c->hidden, TT_F32, t->compute);
	tally_linear(t, rows, c->hidden, c->intermediate);
	tally_linear(t, rows, c->intermediate, c->hidden);
	tally_add(t, rows * c->hidden);
	tally_norm(t, rows, c->hidden, TT_F32);
	tally_keep(t, start, 0);
}

void forecast_bert(const struct bert_config *c, const struct forecast_request *request, struct forecast *out)
{
	int64_t length = request->tokens, batch = request->batch < BERT_SLICE_TOKENS / length ? request->batch : BERT_SLICE_TOKENS / length, rows;
	struct tally_attention a;
	struct tally t;

	batch = batch < 1 ? 1 : batch;
	rows = batch * length;
	a = (struct tally_attention){batch, c->heads, length, length, c->hidden / c->heads, rows};
	tally_begin(&t, request->device, request->precision);
	for (int i = 0; i < (c->types > 1 ? 3 : 2); i++)
		tally_hold(&t, rows, TT_I64); /* ids, types, mask */
	for (int i = 0; i < 4; i++)
		tally_hold(&t, rows, t.compute); /* the mask on its way to a bias */
	embed(&t, c, rows, length);
	for (int i = 0; i < c->layers; i++) {
		attend(&t, c, &a);
		feed(&t, c, rows);
	}
	tally_end(&t, out);
}
