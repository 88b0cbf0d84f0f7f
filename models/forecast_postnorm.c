/* forecast_postnorm.c - see forecast.h: postnorm.c and a slice of nli.c, counted. */
#include "models/forecast.h"
#include "models/nli.h"

int64_t forecast_nli_batch(const struct forecast_request *request)
{
	int64_t most = NLI_SLICE_TOKENS / request->tokens, batch = request->batch < most ? request->batch : most;

	return batch < 1 ? 1 : batch;
}

void forecast_nli_inputs(struct tally *t, int64_t rows, bool types)
{
	for (int i = 0; i < (types ? 3 : 2); i++)
		tally_hold(t, rows, TT_I64); /* ids, types, mask */
	for (int i = 0; i < 4; i++)
		tally_hold(t, rows, t->compute); /* the mask on its way to a bias */
}

void forecast_postnorm_attend(struct tally *t, const struct tally_attention *a)
{
	int64_t start = tally_here(t), rows = a->batch * a->rows, d = a->heads * a->depth;

	tally_cast(t, rows * d, TT_F32, t->compute);
	tally_attention_layers(t, a);
	forecast_postnorm_leave(t, rows, d);
	tally_keep(t, start, 0);
}

void forecast_postnorm_leave(struct tally *t, int64_t rows, int64_t d)
{
	tally_linear(t, rows, d, d);
	tally_add(t, rows * d);
	tally_norm(t, rows, d, TT_F32);
}

void forecast_postnorm_feed(struct tally *t, int64_t rows, int64_t d, int64_t wide)
{
	int64_t start = tally_here(t);

	tally_cast(t, rows * d, TT_F32, t->compute);
	tally_linear(t, rows, d, wide);
	tally_linear(t, rows, wide, d);
	tally_add(t, rows * d);
	tally_norm(t, rows, d, TT_F32);
	tally_keep(t, start, 0);
}
