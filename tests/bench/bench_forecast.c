/* bench_forecast.c - what the forecast says a run will hold against what it held, for networks of the published sizes, over batches and precisions.
 *
 *	bench_forecast [--clip DIR] [--captioner DIR] [--nli DIR] [--device D] [--batch MOST]
 *
 * Prints a Markdown table, and the largest deviations in percent as `name value` lines. A run is what tensors hold beside the weights; weights have to be
 * right to the byte, or the bench fails. "After one batch": corrected by what batch 1 in fp32 held, all the others being unknown.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/config.h"
#include "core/forecast.h"
#include "core/mem.h"
#include "core/runtime.h"
#include "models/models.h"
#include "tests/bench/measure.h"

enum { MOST = 64, CAPTIONS_MOST = 16, PAIR_TOKENS = 40, OWNER = 1 };

static const struct model_library *lib = &vramble_models;

/* ---- one run */

static void run_pictures(struct model *m, int batch, bool captions)
{
	const struct model_info *info = lib->info(m);
	size_t values = 3 * (size_t)info->image_size * (size_t)info->image_size;
	struct pixels one = {xcalloc(values, sizeof(float)), 3, info->image_size, info->image_size};
	const struct pixels **list = xcalloc((size_t)batch, sizeof *list);
	struct caption *said = captions ? xcalloc((size_t)batch, sizeof *said) : NULL;
	float *vectors = captions ? NULL : xcalloc((size_t)batch * (size_t)info->embed_size, sizeof *vectors);
	const struct caption_options options = {.min_length = 1000, .no_repeat_ngram = -1, .length_penalty = -1}; /* never an early end */
	struct error err;

	for (int i = 0; i < batch; i++)
		list[i] = &one;
	if ((captions ? lib->caption(m, list, batch, &options, said, NULL, &err) : lib->embed_images(m, list, batch, vectors, NULL, &err)) < 0)
		bench_stop("%s", err.text);
	free(one.data);
	free(list);
	free(said);
	free(vectors);
}

/* Every word of the made vocabulary is a token; the ends make three. */
static void run_pairs(struct model *m, int batch)
{
	struct text_pair *pairs = xcalloc((size_t)batch, sizeof *pairs);
	struct verdict *out = xcalloc((size_t)batch, sizeof *out);
	struct buffer premise = {0};
	struct error err;

	for (int i = 0; i < PAIR_TOKENS - 4; i++)
		buffer_printf(&premise, "word%d ", 100 + i);
	for (int i = 0; i < batch; i++)
		pairs[i] = (struct text_pair){premise.text, "word7"};
	if (lib->classify(m, pairs, batch, out, NULL, &err) < 0)
		bench_stop("%s", err.text);
	buffer_free(&premise);
	free(pairs);
	free(out);
}

static int64_t held_by_run(struct model *m, int device, int batch)
{
	enum model_kind kind = lib->info(m)->kind;
	struct memory_reading before, after;

	lib->memory(device, &before);
	lib->memory_reset_peak(device, PEAK_BATCH);
	if (kind == MODEL_NLI)
		run_pairs(m, batch);
	else
		run_pictures(m, batch, kind == MODEL_CAPTION);
	lib->memory(device, &after);
	return after.peak[PEAK_BATCH] - before.used;
}

/* ---- the table */

struct worst {
	double before, after; /* |predicted / measured - 1| */
};

static void note(double *worst, double ratio)
{
	double off = fabs(ratio - 1);

	*worst = off > *worst ? off : *worst;
}

static void one_batch(struct model *m, int device, int batch, struct forecast_learned *learned, struct worst *worst)
{
	const struct model_info *info = lib->info(m);
	enum precision precision = lib->precision(m);
	const struct forecast_request request = {
		.precision = precision, .device = device, .batch = batch, .tokens = info->kind == MODEL_NLI ? PAIR_TOKENS : 0};
	struct forecast raw, corrected;
	int64_t measured = held_by_run(m, device, batch);
	double before, after;

	lib->forecast(m, &request, &raw);
	if (batch == 1 && precision == PRECISION_FP32)
		forecast_learn(learned, info->kind, precision, forecast_run(&raw), measured);
	corrected = forecast_corrected(learned, info->kind, precision, &raw);
	before = (double)forecast_run(&raw) / (double)measured;
	after = (double)forecast_run(&corrected) / (double)measured;
	note(&worst->before, before);
	note(&worst->after, after);
	printf("| %s | %s | %d | %.1f | %.1f | %.1f | %.1f | %.3f | %.3f |\n", info->architecture, precision_name(precision), batch,
	       (double)raw.weights / 1e6, (double)forecast_run(&raw) / 1e6, (double)forecast_run(&corrected) / 1e6, (double)measured / 1e6, before,
	       after);
	fflush(stdout);
}

/* Weights are said exactly. Returns NULL where the device does not run that precision. */
static struct model *open_exactly(const char *dir, int device, enum precision precision)
{
	struct forecast_request request = {.precision = precision, .device = device, .batch = 1};
	struct memory_reading before, after;
	struct forecast f;
	struct error err;
	struct model *m;

	lib->memory_trim(device);
	lib->memory(device, &before);
	m = lib->open(dir, device, precision, OWNER, NULL, &err);
	if (!m)
		bench_stop("%s", err.text);
	lib->memory(device, &after);
	lib->forecast(m, &request, &f);
	if (lib->precision(m) != precision) {
		lib->close(m);
		return NULL;
	}
	if (device == DEVICE_CPU && f.weights != after.used - before.used)
		bench_stop("%s, %s: %lld bytes of weights are forecast, %lld are held", dir, precision_name(precision), (long long)f.weights,
			   (long long)(after.used - before.used));
	return m;
}

static void one_model(const char *dir, int device, int most, struct worst *worst)
{
	static const enum precision precisions[] = {PRECISION_FP32, PRECISION_BF16, PRECISION_FP16, PRECISION_AUTOCAST};
	struct forecast_learned learned = {0};

	for (size_t i = 0; i < sizeof precisions / sizeof precisions[0]; i++) {
		struct model *m = open_exactly(dir, device, precisions[i]);

		for (int batch = 1; m && batch <= most; batch *= 2)
			one_batch(m, device, batch, &learned, worst);
		lib->close(m);
	}
}

int main(int argc, char **argv)
{
	struct bench_arguments args;
	struct worst worst = {0};
	struct error err;
	int most;

	bench_arguments_read(argc, argv, &args);
	most = args.batch > 1 ? args.batch : MOST;
	if (runtime_prepare(args.threads))
		execv("/proc/self/exe", argv);
	if (lib->start(args.threads, &err) < 0)
		bench_stop("%s", err.text);
	printf("| model | precision | batch | weights, MB | run, predicted, MB | after one batch | measured | predicted/measured | after one batch "
	       "|\n"
	       "|---|---|--:|--:|--:|--:|--:|--:|--:|\n");
	if (args.clip)
		one_model(args.clip, args.device, most, &worst);
	if (args.nli)
		one_model(args.nli, args.device, most, &worst);
	/* a large batch of captions takes minutes on a CPU, unless asked for */
	if (args.captioner)
		one_model(args.captioner, args.device, args.batch > 1 || args.device != DEVICE_CPU || most < CAPTIONS_MOST ? most : CAPTIONS_MOST,
			  &worst);
	bench_tell("worst_before_percent", 100 * worst.before);
	bench_tell("worst_after_percent", 100 * worst.after);
	fflush(stdout);
	_exit(0);
}
