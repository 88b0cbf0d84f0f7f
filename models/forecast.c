/* forecast.c - see forecast.h: weights, counted by the code that opens them. */
#include "models/forecast.h"

static int count(const struct model *m, const struct forecast_request *request, struct forecast *out, struct error *err)
{
	struct nn_count counted = {.packing = tally_product(request->device, request->precision)};
	struct nn_source source = {
		.pool = tt_pool_create(TT_INFER),
		.compute = tally_compute(request->precision),
		.device = request->device,
		.file = m->file,
		.count = &counted,
	};
	int rc;

	m->ops->destroy(m->ops->create(m, &source));
	rc = nn_finish(&source, m->ops->title, err);
	*out = (struct forecast){.weights = counted.held, .mapped = counted.mapped};
	tt_pool_destroy(source.pool);
	nn_source_free(&source);
	return rc;
}

void forecast_weights(const struct model *m, const struct forecast_request *request, struct forecast *out)
{
	count(m, request, out, NULL);
}

int forecast_check(const struct model *m, struct error *err)
{
	const struct forecast_request request = {.device = DEVICE_CPU, .precision = PRECISION_FP32};
	struct forecast ignored;

	return count(m, &request, &ignored, err);
}
