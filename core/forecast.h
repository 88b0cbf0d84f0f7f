/* forecast.h - from what each model says it would hold (model_library.forecast) to what a device will hold: sums, what measuring has taught, and the settings
 * to begin with. Pure arithmetic; a struct forecast_learned belongs to whoever calls, under their lock. Bytes throughout.
 *
 *	library->forecast(model, &request, &raw);
 *	part[n++] = forecast_corrected(&learned, kind, request.precision, &raw);
 *	used = forecast_used(part, n, device == DEVICE_CPU);
 *	fits = used <= limit_used(&reading, limit_cap(&settings, reading.device_total), settings.reserve);
 *
 * and after each batch of one model that ran alone on its device
 *
 *	library->forecast(model, &request_of_that_batch, &raw);
 *	forecast_learn(&learned, kind, precision, forecast_run(&raw), reading.peak[PEAK_BATCH] - used_before);
 */
#ifndef CORE_FORECAST_H
#define CORE_FORECAST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/model.h"

/* ---- sums */

/* What a run adds to the weights at its most loaded moment. */
int64_t forecast_run(const struct forecast *f);
/* A model by itself: its weights, be they mapped or not, and a run. */
int64_t forecast_whole(const struct forecast *f);
/* The most that tensors on a device will hold for n models that stand there: all weights, and of the runs the largest where they take turns (a CPU), or all
 * of them at once. A model that is evicted has no weights: leave it out. */
int64_t forecast_used(const struct forecast *models, int n, bool turns);

/* About how many tokens a text of so many bytes becomes, with its share of the ends; for requests about texts that were not encoded. */
int forecast_tokens(size_t bytes);

/* ---- what measuring teaches */

enum { FORECAST_KEPT = 9 };

/* The last ratios of measured to predicted runs, per model and precision. Zero-initialise: nothing is known. */
struct forecast_learned {
	struct {
		double ratio[FORECAST_KEPT];
		int count, next;
	} of[MODEL_KINDS][PRECISIONS];
};

/* predicted: forecast_run of what the batch's own request came to, uncorrected; measured: the most held during it beside what was held before. Values that are
 * not positive are ignored, ratios bounded to 1/4 .. 4: something else ran then. */
void forecast_learn(struct forecast_learned *l, enum model_kind kind, enum precision precision, int64_t predicted, int64_t measured);
/* The median of the last FORECAST_KEPT ratios in that precision, so that a few odd batches do not matter; without any, that of the model's other precisions;
 * 1 where nothing was measured. */
double forecast_correction(const struct forecast_learned *l, enum model_kind kind, enum precision precision);
/* Activations and what a run adds, times the correction. Weights are exact already, and caches of keys and values are as long as the request says. */
struct forecast forecast_corrected(const struct forecast_learned *l, enum model_kind kind, enum precision precision, const struct forecast *raw);

/* ---- what to begin with */

struct forecast_setting {
	int batch, image_size; /* pixels; 0: the model's own, which cannot be changed */
	enum precision precision;
};

struct forecast_wish {
	int64_t device_total;                 /* bytes of the device */
	int64_t limit;                        /* what cap and reserve leave: limit_used */
	bool bf16, fp16;                      /* device_info: what is worth offering there */
	int image_own, image_step, image_max; /* of the captioner's model_info; step 0: its size is fixed, or there is none */
	/* forecast_used of the models in that setting. */
	int64_t (*used)(void *ctx, const struct forecast_setting *setting);
	void *ctx;
};

struct forecast_advice {
	struct forecast_setting setting;
	int64_t used;  /* the forecast for it */
	bool fits;     /* false: not even the smallest */
	char why[320]; /* one sentence */
};

/* Begins with what is usual for a device of that size (under 6 GB: batch 1, 384 pixels, fp32; under 12: 2, 512, autocast; else 4, 768, autocast; autocast
 * only where the device is good at half precision) and gives up batch, image size and precision in this order, as the ladder does, until it fits. */
struct forecast_advice forecast_advise(const struct forecast_wish *wish);

#endif
