/* forecast.c - see forecast.h: weights, counted by the code that opens them. */
#include "models/forecast.h"

struct nn_source forecast_count_begin(const struct model *m, const struct forecast_request *request, struct nn_count *count)
{
	*count = (struct nn_count){.packing = tally_product(request->device, request->precision)};
	return (struct nn_source){
		.pool = tt_pool_create(TT_INFER),
		.compute = tally_compute(request->precision),
		.device = request->device,
		.file = m->file,
		.count = count,
	};
}

void forecast_count_end(struct nn_source *source, struct forecast *out)
{
	*out = (struct forecast){.weights = source->count->held, .mapped = source->count->mapped};
	tt_pool_destroy(source->pool);
	nn_source_free(source);
}
