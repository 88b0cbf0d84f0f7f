/* engine_trial_run.c - what a trial does: pictures decoded and prepared, models placed and run, and what to make of it. See engine_trial.h. */
#include "core/engine_trial.h"

#include <stdlib.h>

#include "core/limit.h"
#include "core/mem.h"
#include "core/memory.h"

enum { DISTINCT = 64 }; /* pictures that are decoded at most; a larger batch repeats them */

/* What captions are checked against, and premises, where there are no labels or no captioner. */
static const char stand_in[] = "a picture of a person standing next to a table";

/* ---------------------------------------------------------------- while it runs */

static bool is_over(struct trial *t)
{
	bool over;

	pthread_mutex_lock(&t->engine->lock);
	over = t->cancelled || t->engine->stop;
	pthread_mutex_unlock(&t->engine->lock);
	return over;
}

static bool over_for_image(void *ctx)
{
	return is_over(ctx);
}

static int over_for_model(void *ctx)
{
	return is_over(ctx);
}

static struct model_control control_of(struct trial *t)
{
	return (struct model_control){.check = over_for_model, .ctx = t};
}

int trial_cancelled(struct error *err)
{
	return fail(err, E_CANCELLED, "the trial was cancelled");
}

/* ---------------------------------------------------------------- pictures */

static bool same_shape(const struct pixels *a, const struct pixels *b)
{
	return a->channels == b->channels && a->height == b->height && a->width == b->width;
}

/* Prepares one for each model that looks at pictures; all of a batch have the shape of the first. */
static int prepare(struct trial *t, const struct image *image, struct error *err)
{
	int at = t->distinct, rc = 0;
	bool fits = true;

	for (int kind = 0; kind < MODEL_NLI && !rc; kind++) {
		struct pixels *p = &t->pictures[kind][at];
		int size = kind == MODEL_CAPTION ? t->settings.image_size : 0;

		if (!trial_has(t, kind))
			continue;
		rc = t->library->prepare(t->engine->lane[kind].model, image, size, p, err);
		fits = fits && !rc && same_shape(p, &t->pictures[kind][0]);
	}
	if (fits) {
		t->distinct++;
		return 0;
	}
	for (int kind = 0; kind < MODEL_NLI; kind++) {
		free(t->pictures[kind][at].data);
		t->pictures[kind][at] = (struct pixels){0};
	}
	return rc;
}

/* As many of the paths as the batch takes. What cannot be read is left out; -1 when nothing can. */
static int load_pictures(struct trial *t, struct error *err)
{
	struct image_limits limits = t->engine->limits;
	int wanted = t->settings.batch < DISTINCT ? t->settings.batch : DISTINCT;

	for (int kind = 0; kind < MODEL_NLI; kind++)
		t->pictures[kind] = xcalloc((size_t)wanted, sizeof *t->pictures[kind]);
	limits.cancelled = over_for_image;
	limits.ctx = t;
	for (int i = 0; i < t->n && t->distinct < wanted; i++) {
		struct image image = {0};
		struct error why;

		if (image_load(t->paths[i], &limits, &image, NULL, &why) < 0 || prepare(t, &image, &why) < 0)
			*err = why;
		image_free(&image);
		if (is_over(t))
			return trial_cancelled(err);
	}
	return t->distinct ? 0 : -1;
}

static void read_labels(struct trial *t)
{
	struct engine *e = t->engine;

	pthread_mutex_lock(&e->lock);
	t->labels = e->labels_n ? e->labels_n : 1;
	t->hypotheses = xcalloc((size_t)t->labels, sizeof *t->hypotheses);
	for (int i = 0; i < t->labels; i++)
		t->hypotheses[i] = answers_hypothesis(e, e->labels_n ? e->labels[i]->text : stand_in);
	pthread_mutex_unlock(&e->lock);
}

int trial_prepare(struct trial *t, struct error *err)
{
	read_labels(t);
	t->captions = xcalloc((size_t)t->settings.batch, sizeof *t->captions);
	for (int kind = 0; kind < MODEL_KINDS; kind++)
		t->seconds[kind] = xcalloc((size_t)t->passes, sizeof *t->seconds[kind]);
	return load_pictures(t, err);
}

void trial_forget(struct trial *t)
{
	for (int kind = 0; kind < MODEL_NLI; kind++) {
		for (int i = 0; i < t->distinct; i++)
			free(t->pictures[kind][i].data);
		free(t->pictures[kind]);
	}
	for (int kind = 0; kind < MODEL_KINDS; kind++)
		free(t->seconds[kind]);
	for (int i = 0; i < t->labels; i++)
		free(t->hypotheses[i]);
	free(t->hypotheses);
	free(t->captions);
}

/* ---------------------------------------------------------------- tasks: on the lane's thread, without the mutex */

void trial_tune(const struct model_library *library, const struct engine_settings *s)
{
	struct model_tuning tuning = {.seed = s->seed, .deterministic = s->deterministic, .benchmark = s->benchmark, .threads = s->threads};

	library->tune(&tuning, NULL);
}

int trial_place(struct trial *t, struct lane *l, struct error *err)
{
	struct model_control control = control_of(t);
	struct place to = {t->device[l->kind], t->settings.precision[l->kind]};
	bool resident = t->library->resident(l->model);

	if (!l->displaced) {
		l->away = l->back = (struct place){l->device, l->asked.precision};
		/* It may have been refused what was asked. */
		if (l->asked.precision != PRECISION_AUTO)
			l->away.precision = l->back.precision = t->library->precision(l->model);
		l->stays_evicted = !resident;
		l->displaced = true;
	}
	trial_tune(t->library, &t->settings);
	if (resident && l->away.device == to.device && l->away.precision == to.precision)
		return 0;
	if (t->library->place(l->model, to.device, to.precision, &control, err) < 0)
		return -1;
	l->away = to;
	return 0;
}

static int run_pictures(struct trial *t, struct lane *l, struct error *err)
{
	struct model_control control = control_of(t);
	struct caption_options options = {.no_repeat_ngram = -1, .length_penalty = -1, .beams = t->settings.beams};
	int batch = t->settings.batch, slice = t->settings.slice ? t->settings.slice : batch, rc = 0;
	const struct pixels **pixels = xcalloc((size_t)batch, sizeof *pixels);
	float *vectors = l->kind == MODEL_SCORES ? xcalloc((size_t)batch * (size_t)l->embed_size, sizeof *vectors) : NULL;

	for (int i = 0; i < batch; i++)
		pixels[i] = &t->pictures[l->kind][i % t->distinct];
	for (int at = 0, k; at < batch && !rc; at += k) {
		k = slice < batch - at ? slice : batch - at;
		if (l->kind == MODEL_SCORES)
			rc = t->library->embed_images(l->model, pixels + at, k, vectors + (size_t)at * (size_t)l->embed_size, &control, err);
		else
			rc = t->library->caption(l->model, pixels + at, k, &options, t->captions + at, &control, err);
	}
	free(vectors);
	free(pixels);
	return rc;
}

/* The captions of the batch against the labels, as many at a time as ordinary work takes. */
static int run_pairs(struct trial *t, struct lane *l, struct error *err)
{
	struct model_control control = control_of(t);
	struct text_pair pairs[PAIRS_MAX];
	struct verdict out[PAIRS_MAX];
	int total = t->settings.batch * t->labels, size = t->labels < PAIRS_MAX ? PAIRS_MAX / t->labels * t->labels : PAIRS_MAX, rc = 0;

	for (int at = 0, k; at < total && !rc; at += k) {
		k = size < total - at ? size : total - at;
		for (int i = 0; i < k; i++) {
			const char *caption = t->captions[(at + i) / t->labels].text;

			pairs[i] = (struct text_pair){caption[0] ? caption : stand_in, t->hypotheses[(at + i) % t->labels]};
		}
		rc = t->library->classify(l->model, pairs, k, out, &control, err);
	}
	return rc;
}

int trial_run_batch(struct trial *t, struct lane *l, struct error *err)
{
	int device = t->device[l->kind], rc;
	struct memory_reading reading;
	double begin;

	t->library->memory_reset_peak(device, PEAK_BATCH);
	begin = clock_now();
	rc = (l->kind == MODEL_NLI ? run_pairs : run_pictures)(t, l, err);
	if (t->pass >= 0)
		t->seconds[l->kind][t->pass] = clock_now() - begin;
	t->library->memory(device, &reading);
	if (t->peak[l->kind] < reading.peak[PEAK_BATCH])
		t->peak[l->kind] = reading.peak[PEAK_BATCH];
	if (t->settings.empty_cache)
		t->library->memory_trim(device);
	return rc;
}

/* ---------------------------------------------------------------- what to make of it */

void trial_weigh(struct trial *t)
{
	for (int kind = 0; kind < MODEL_KINDS; kind++) {
		struct memory_reading reading;

		if (!trial_has(t, kind))
			continue;
		t->library->memory_trim(t->device[kind]);
		t->library->memory(t->device[kind], &reading);
		t->held[kind] = reading.used;
		t->cap[kind] = limit_cap(&t->settings, reading.device_total);
		t->limit[kind] = limit_used(&reading, t->cap[kind], t->settings.reserve);
	}
}

/* The most that is held on a device: on a CPU models take turns, under CUDA each runs when it has work, so there what each took adds up. */
static int64_t peak_on(const struct trial *t, int device)
{
	int64_t held = 0, most = 0, sum = 0;

	for (int kind = 0; kind < MODEL_KINDS; kind++) {
		int64_t took = t->peak[kind] - t->held[kind];

		if (!trial_has(t, kind) || t->device[kind] != device)
			continue;
		held = t->held[kind];
		most = took > most ? took : most;
		sum += took > 0 ? took : 0;
	}
	return held + (device == DEVICE_CPU ? most : sum);
}

static int fail_memory(const struct trial *t, int64_t peak, int64_t cap, int64_t limit, struct error *err)
{
	char holds[24], most[24];

	memory_text(peak, holds);
	if (cap && peak > cap)
		return fail(err, E_MEMORY, "batch %d ran, one model after the other; together they hold %s, and the cap is %s", t->settings.batch,
			    holds, memory_text(cap, most));
	return fail(err, E_MEMORY, "batch %d ran, but eats into the reserve: it holds %s where the reserve of %d %% leaves %s", t->settings.batch,
		    holds, t->settings.reserve, memory_text(limit, most));
}

int trial_check(const struct trial *t, struct error *err)
{
	for (int kind = 0; kind < MODEL_KINDS; kind++) {
		int64_t peak;

		if (!trial_has(t, kind))
			continue;
		peak = peak_on(t, t->device[kind]);
		if (peak > t->limit[kind])
			return fail_memory(t, peak, t->cap[kind], t->limit[kind], err);
	}
	return 0;
}

/* That on which most of the models stand; of equals that of the first. */
static int main_device(const struct trial *t)
{
	int best = DEVICE_CPU, most = 0;

	for (int kind = 0; kind < MODEL_KINDS; kind++) {
		int device = t->device[kind], n = 0;

		if (!trial_has(t, kind))
			continue;
		for (int other = 0; other < MODEL_KINDS; other++)
			n += trial_has(t, other) && t->device[other] == device;
		if (n > most) {
			most = n;
			best = device;
		}
	}
	return best;
}

static int compare(const void *pa, const void *pb)
{
	double a = *(const double *)pa, b = *(const double *)pb;

	return (a > b) - (a < b);
}

/* What else runs on the machine makes some passes longer, none shorter. */
static double median(double *seconds, int n)
{
	qsort(seconds, (size_t)n, sizeof *seconds, compare);
	return n % 2 ? seconds[n / 2] : (seconds[n / 2 - 1] + seconds[n / 2]) / 2;
}

void trial_judge(struct trial *t)
{
	struct engine *e = t->engine;
	int device = main_device(t);
	double ms = 0;

	t->event.trial.batch = t->settings.batch;
	t->event.trial.passes = t->passes;
	t->event.trial.peak = peak_on(t, device);
	for (int kind = 0; kind < MODEL_KINDS; kind++) {
		const struct model_info *info;

		if (!trial_has(t, kind))
			continue;
		info = t->library->info(e->lane[kind].model);
		t->event.trial.precision[kind] = t->library->precision(e->lane[kind].model);
		if (t->device[kind] == device)
			t->event.trial.held = t->held[kind];
		if (info->image_size)
			t->event.trial.image_size = kind == MODEL_CAPTION && t->settings.image_size ? t->settings.image_size : info->image_size;
		if (t->passes)
			t->event.trial.ms[kind] = 1e3 * median(t->seconds[kind], t->passes) / t->settings.batch;
		ms += t->event.trial.ms[kind];
	}
	t->event.trial.images_per_s = ms > 0 ? 1e3 / ms : 0;
}
