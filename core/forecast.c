/* forecast.c - see forecast.h. */
#include "core/forecast.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/config.h"
#include "core/ladder.h"
#include "core/memory.h"

static const double RATIO_LEAST = 0.25, RATIO_MOST = 4;

/* ---- sums */

int64_t forecast_run(const struct forecast *f)
{
	return f->together > 0 ? f->together : f->activations + f->kv;
}

int64_t forecast_whole(const struct forecast *f)
{
	return f->weights + f->mapped + forecast_run(f);
}

int64_t forecast_used(const struct forecast *models, int n, bool turns)
{
	int64_t weights = 0, all = 0, largest = 0;

	for (int i = 0; i < n; i++) {
		int64_t run = forecast_run(&models[i]);

		weights += models[i].weights;
		all += run;
		largest = run > largest ? run : largest;
	}
	return weights + (turns ? largest : all);
}

int forecast_tokens(size_t bytes)
{
	return (int)((bytes < 4096 ? bytes : 4096) / 4) + 2;
}

/* ---- what measuring teaches */

void forecast_learn(struct forecast_learned *l, enum model_kind kind, enum precision precision, int64_t predicted, int64_t measured)
{
	double ratio;

	if (predicted <= 0 || measured <= 0)
		return;
	ratio = (double)measured / (double)predicted;
	ratio = ratio < RATIO_LEAST ? RATIO_LEAST : ratio > RATIO_MOST ? RATIO_MOST : ratio;
	l->of[kind][precision].ratio[l->of[kind][precision].next] = ratio;
	l->of[kind][precision].next = (l->of[kind][precision].next + 1) % FORECAST_KEPT;
	if (l->of[kind][precision].count < FORECAST_KEPT)
		l->of[kind][precision].count++;
}

static int compare(const void *pa, const void *pb)
{
	double a = *(const double *)pa, b = *(const double *)pb;

	return (a > b) - (a < b);
}

/* Sorts the values. */
static double median(double *values, int n)
{
	qsort(values, (size_t)n, sizeof *values, compare);
	return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

double forecast_correction(const struct forecast_learned *l, enum model_kind kind, enum precision precision)
{
	double values[PRECISIONS * FORECAST_KEPT];
	int n = 0;

	for (int p = 0; p < PRECISIONS; p++) {
		int count = l->of[kind][p].count;

		if (l->of[kind][precision].count > 0 && p != (int)precision)
			continue;
		memcpy(values + n, l->of[kind][p].ratio, (size_t)count * sizeof *values);
		n += count;
	}
	return n > 0 ? median(values, n) : 1;
}

struct forecast forecast_corrected(const struct forecast_learned *l, enum model_kind kind, enum precision precision, const struct forecast *raw)
{
	double factor = forecast_correction(l, kind, precision);
	struct forecast f = *raw;

	f.activations = (int64_t)(factor * (double)raw->activations);
	f.together = (int64_t)(factor * (double)forecast_run(raw));
	return f;
}

/* ---- what to begin with */

static struct forecast_setting usual(const struct forecast_wish *w)
{
	static const struct {
		double below; /* bytes; cards of "6 GB" hold a little more than so many */
		struct forecast_setting setting;
	} rows[] = {
		{6e9, {1, 384, PRECISION_FP32}},
		{12e9, {2, 512, PRECISION_AUTOCAST}},
		{1e30, {4, 768, PRECISION_AUTOCAST}},
	};
	struct forecast_setting s;
	int row = 0;

	while ((double)w->device_total >= rows[row].below)
		row++;
	s = rows[row].setting;
	if (!w->bf16 && !w->fp16)
		s.precision = PRECISION_FP32;
	if (s.image_size > w->image_max)
		s.image_size = w->image_max;
	s.image_size = w->image_step > 0 ? s.image_size / w->image_step * w->image_step : 0;
	return s;
}

/* One step down; false: there is none. */
static bool lower(const struct forecast_wish *w, struct forecast_setting *s)
{
	int image = w->image_step > 0 ? ladder_image(s->image_size, w->image_own, w->image_step) : 0;
	enum precision precision = ladder_precision(s->precision, w->bf16, w->fp16);

	if (s->batch > 1)
		s->batch /= 2;
	else if (image > 0)
		s->image_size = image;
	else if (precision != PRECISION_AUTO)
		s->precision = precision;
	else
		return false;
	return true;
}

/* "batch 4, 480 pixels and autocast" */
static void put_setting(const struct forecast_setting *s, char *out, size_t size)
{
	char image[32] = "";

	if (s->image_size > 0)
		snprintf(image, sizeof image, ", %d pixels", s->image_size);
	snprintf(out, size, "batch %d%s and %s", s->batch, image, precision_name(s->precision));
}

static void explain(const struct forecast_wish *w, const struct forecast_setting *first, int64_t first_used, struct forecast_advice *a)
{
	char usually[80], now[80], total[24], limit[24], used[24], first_text[24];

	memory_text(w->device_total, total);
	memory_text(w->limit, limit);
	memory_text(a->used, used);

	put_setting(first, usually, sizeof usually);
	put_setting(&a->setting, now, sizeof now);
	if (!a->fits)
		snprintf(a->why, sizeof a->why,
			 "even %s would hold %s, more than the %s that cap and reserve leave: raise the cap, lower the reserve or use "
			 "fewer models",
			 now, used, limit);
	else if (memcmp(first, &a->setting, sizeof *first) == 0)
		snprintf(a->why, sizeof a->why, "%s are usual for %s and hold %s of the %s that cap and reserve leave", now, total, used, limit);
	else
		snprintf(a->why, sizeof a->why, "%s are usual for %s but would hold %s; %s hold %s of the %s that cap and reserve leave", usually,
			 total, memory_text(first_used, first_text), now, used, limit);
}

struct forecast_advice forecast_advise(const struct forecast_wish *wish)
{
	struct forecast_setting first = usual(wish);
	int64_t first_used = wish->used(wish->ctx, &first), used;
	struct forecast_advice a = {.setting = first, .used = first_used};
	struct forecast_setting next = first;

	while (a.used > wish->limit && lower(wish, &next)) {
		used = wish->used(wish->ctx, &next);
		if (used >= a.used) /* on a CPU fp32 weights cost nothing: they are mapped, those of bf16 are held */
			break;
		a.setting = next;
		a.used = used;
	}
	a.fits = a.used <= wish->limit;
	explain(wish, &first, first_used, &a);
	return a;
}
