/* engine_forecast.c - what settings would hold: core/forecast.h wired to the models that are open, and taught by each batch. See engine.h and
 * engine_private.h. */
#include "core/engine_private.h"

#include <string.h>

#include "core/limit.h"

enum { CAPTION_BYTES = 64 }; /* of a usual caption: the NLI model's premise */

/* ---------------------------------------------------------------- what one run is asked for */

/* Bytes of the longest label. */
static size_t longest_label(const struct engine *e)
{
	size_t longest = 0;

	for (int i = 0; i < e->labels_n; i++) {
		size_t bytes = strlen(e->labels[i]->text);

		longest = bytes > longest ? bytes : longest;
	}
	return longest;
}

/* Of a premise with the longest of the hypotheses, about. */
static int pair_tokens(const struct engine *e)
{
	return forecast_tokens(strlen(e->hypothesis) + longest_label(e) + CAPTION_BYTES);
}

/* Of a label or of a caption, whichever is longer: both become vectors to compare pictures with. */
static int text_tokens(const struct engine *e)
{
	size_t longest = longest_label(e);

	return forecast_tokens(longest > CAPTION_BYTES ? longest : CAPTION_BYTES);
}

/* As many premises as make one forward pass; see work_nli. */
static int pairs_of(const struct engine *e, int batch)
{
	int labels = e->labels_n > 0 ? e->labels_n : 1, premises = PAIRS_MAX / labels;
	int64_t pairs;

	premises = premises < 1 ? 1 : premises > batch ? batch : premises;
	pairs = (int64_t)premises * labels;
	return pairs < PAIRS_MAX ? (int)pairs : PAIRS_MAX;
}

static struct forecast_request request_of(const struct engine *e, enum model_kind kind, const struct engine_settings *s, int device)
{
	struct forecast_request request = {.precision = s->precision[kind], .device = device, .batch = s->batch};

	if (kind == MODEL_NLI) {
		request.batch = pairs_of(e, s->batch);
		request.tokens = pair_tokens(e);
	} else if (s->slice && s->slice < s->batch) {
		request.batch = s->slice;
	}
	if (kind == MODEL_SCORES)
		request.tokens = text_tokens(e);
	if (kind == MODEL_CAPTION) {
		request.image_size = s->image_size;
		request.beams = s->beams;
	}
	return request;
}

/* ---------------------------------------------------------------- forecast */

/* Where the model would stand; a wish that was judged already is what it came to. */
static int device_for(const struct lane *l, const struct engine_settings *s)
{
	int wish = s->device[l->kind];

	if (l->engine->device_failed)
		return DEVICE_CPU;
	return wish == l->wish || wish < DEVICE_CPU ? l->home : wish;
}

/* That of most models; of equals that of the first. */
static int main_device(const int device[MODEL_KINDS], const bool open[MODEL_KINDS])
{
	int best = DEVICE_CPU, most = 0;

	for (int i = 0; i < MODEL_KINDS; i++) {
		int n = 0;

		for (int k = 0; open[i] && k < MODEL_KINDS; k++)
			n += open[k] && device[k] == device[i];
		if (n > most) {
			most = n;
			best = device[i];
		}
	}
	return best;
}

/* instead: of which nothing is learnt yet, in its lane; may be NULL. The mutex is held. */
static bool forecast_all(struct engine *e, const struct engine_settings *settings, const struct model *instead, struct engine_forecast *out)
{
	static const struct forecast_learned nothing;
	int kind = instead ? (int)e->library->info(instead)->kind : -1;
	const struct model *model[MODEL_KINDS];
	struct forecast there[MODEL_KINDS];
	int device[MODEL_KINDS], main, n = 0;
	bool open[MODEL_KINDS], any = false;
	const struct watched *w;

	*out = (struct engine_forecast){0};
	for (int i = 0; i < MODEL_KINDS; i++) {
		model[i] = i == kind ? instead : e->lane[i].model;
		open[i] = i == kind || e->lane[i].ready;
		device[i] = device_for(&e->lane[i], settings);
		any = any || open[i];
	}
	main = main_device(device, open);
	for (int i = 0; i < MODEL_KINDS; i++) {
		struct forecast_request request = request_of(e, (enum model_kind)i, settings, device[i]);
		const struct forecast_learned *learned = i == kind ? &nothing : &e->learned;
		struct forecast raw;

		out->correction[i] = forecast_correction(learned, (enum model_kind)i, request.precision);
		if (!open[i])
			continue;
		e->library->forecast(model[i], &request, &raw);
		out->model[i] = forecast_corrected(learned, (enum model_kind)i, request.precision, &raw);
		if (device[i] == main)
			there[n++] = out->model[i];
	}
	w = &e->watch[main + 1];
	out->used = forecast_used(there, n, main == DEVICE_CPU);
	out->limit = limit_used(&w->memory, limit_cap(settings, w->info.total), settings->reserve);
	out->fits = out->used <= out->limit;
	return any;
}

bool engine_forecast(struct engine *e, const struct engine_settings *settings, struct engine_forecast *out)
{
	bool any;

	pthread_mutex_lock(&e->lock);
	any = forecast_all(e, settings, NULL, out);
	pthread_mutex_unlock(&e->lock);
	return any;
}

void forecast_candidate(struct engine *e, const struct model *m, struct candidate *c)
{
	struct engine_forecast all;

	forecast_all(e, &e->settings, m, &all);
	c->forecast = all.model[c->info.kind];
	c->used = all.used;
	c->limit = all.limit;
	c->fits = all.fits;
}

/* ---------------------------------------------------------------- learning */

void forecast_from_run(struct lane *l, const struct run *run)
{
	struct engine *e = l->engine;
	struct engine_settings as_run = e->settings;
	struct forecast_request request;
	struct forecast raw;

	/* What another run or a model that came or went adds or takes is not this one's. */
	if (l->beside || run->texts || l->used_before != l->used_after)
		return;
	as_run.image_size = settings_image_size(e);
	request = request_of(e, l->kind, &as_run, l->device);
	request.precision = l->precision;
	request.batch = l->largest;
	if (l->kind == MODEL_CAPTION)
		request.tokens = l->longest;
	else if (l->kind == MODEL_SCORES)
		request.tokens = 0; /* pictures alone */
	e->library->forecast(l->model, &request, &raw);
	/* Settings name the precision that was asked for, runs what that came to: both are taught. */
	forecast_learn(&e->learned, l->kind, l->precision, forecast_run(&raw), l->last_peak - l->used_before);
	if (l->asked.precision != l->precision)
		forecast_learn(&e->learned, l->kind, l->asked.precision, forecast_run(&raw), l->last_peak - l->used_before);
}
