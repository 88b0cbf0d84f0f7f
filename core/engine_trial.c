/* engine_trial.c - trials: the models really run as other settings would have it, while ordinary work waits. See engine.h and engine_private.h.
 *
 * A thread of the trial's own conducts: it decodes and prepares, waits until every lane has come to the end of its batch and parked in trial_serve, and
 * then hands one task after the other to the lane whose model it is about, so that only a model's own thread ever runs it. When the trial is over, however
 * it ended, its caps go at once, and each lane that was moved puts its model back before it takes up work; a next trial may come before that.
 */
#include "core/engine_private.h"

#include <stdlib.h>
#include <string.h>

#include "core/limit.h"
#include "core/mem.h"

enum {
	DISTINCT = 64, /* pictures that are decoded at most; a larger batch repeats them */
	PASSES_MAX = 1000
};

/* What captions are checked against, and premises, where there are no labels or no captioner. */
static const char stand_in[] = "a picture of a person standing next to a table";

struct trial;
typedef int trial_task(struct trial *t, struct lane *l, struct error *err);

struct trial {
	struct engine *engine;
	struct engine_settings settings;
	unsigned models;
	int passes;
	char **paths;
	int n;
	bool cancelled;         /* under the engine's mutex, as the next six */
	bool capped;            /* the caps are the trial's */
	pthread_cond_t changed; /* a lane parked, a task is done, cancelled */
	struct lane *lane;      /* is to do the task, or does it; NULL: none */
	trial_task *task;
	struct error *err; /* of the task */
	int rc;

	int device[MODEL_KINDS];            /* known once the lanes are parked */
	struct pixels *pictures[MODEL_NLI]; /* owned; [distinct], for CLIP and the captioner */
	int distinct;
	struct caption *captions; /* [batch] */
	char **hypotheses;        /* owned; [labels] */
	int labels;
	const struct model_library *library;
	struct event event;                           /* the result */
	double *seconds[MODEL_KINDS];                 /* owned; [passes], of each timed one */
	int pass;                                     /* that runs; -1: the first, which tells whether it fits */
	int64_t held[MODEL_KINDS], peak[MODEL_KINDS]; /* of the model's device before and during its run */
	int64_t limit[MODEL_KINDS];                   /* what cap and reserve leave on the model's device */
};

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

static int fail_cancelled(struct error *err)
{
	return fail(err, E_CANCELLED, "the trial was cancelled");
}

static bool takes_part(const struct trial *t, int kind)
{
	return t->models >> kind & 1;
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

		if (!takes_part(t, kind))
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
			return fail_cancelled(err);
	}
	return t->distinct ? 0 : -1;
}

/* ---------------------------------------------------------------- tasks: on the lane's thread, without the mutex */

static void tune(const struct model_library *library, const struct engine_settings *s)
{
	struct model_tuning tuning = {.seed = s->seed, .deterministic = s->deterministic, .benchmark = s->benchmark, .threads = s->threads};

	library->tune(&tuning, NULL);
}

static int place(struct trial *t, struct lane *l, struct error *err)
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
	tune(t->library, &t->settings);
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

static int run_batch(struct trial *t, struct lane *l, struct error *err)
{
	int device = t->device[l->kind], rc;
	struct memory_reading reading;
	double begin;

	t->library->memory_reset_peak(device, PEAK_BATCH);
	begin = engine_now();
	rc = (l->kind == MODEL_NLI ? run_pairs : run_pictures)(t, l, err);
	if (t->pass >= 0)
		t->seconds[l->kind][t->pass] = engine_now() - begin;
	t->library->memory(device, &reading);
	if (t->peak[l->kind] < reading.peak[PEAK_BATCH])
		t->peak[l->kind] = reading.peak[PEAK_BATCH];
	if (t->settings.empty_cache)
		t->library->memory_trim(device);
	return rc;
}

/* ---------------------------------------------------------------- the conductor */

/* What the lane has found out about a wish holds for the trial, too. */
static int device_for(const struct trial *t, const struct lane *l)
{
	int wish = t->settings.device[l->kind];

	if (wish != l->wish && wish >= DEVICE_CPU)
		return wish;
	return t->engine->device_failed ? DEVICE_CPU : l->home;
}

static int wait_for_lanes(struct trial *t, struct error *err)
{
	struct engine *e = t->engine;
	bool parked = false;

	pthread_mutex_lock(&e->lock);
	while (!parked && !t->cancelled && !e->stop) {
		parked = true;
		for (int kind = 0; kind < MODEL_KINDS; kind++)
			parked = parked && (!e->lane[kind].ready || e->lane[kind].parked);
		if (!parked)
			pthread_cond_wait(&t->changed, &e->lock);
	}
	for (int kind = 0; kind < MODEL_KINDS; kind++)
		t->device[kind] = device_for(t, &e->lane[kind]);
	pthread_mutex_unlock(&e->lock);
	return parked ? 0 : fail_cancelled(err);
}

/* Has every lane that takes part do the task, one after the other. */
static int have_done(struct trial *t, trial_task *task, struct error *err)
{
	struct engine *e = t->engine;
	int rc = 0;

	for (int kind = 0; kind < MODEL_KINDS && !rc; kind++) {
		if (!takes_part(t, kind))
			continue;
		pthread_mutex_lock(&e->lock);
		if (e->stop || t->cancelled) {
			pthread_mutex_unlock(&e->lock);
			return fail_cancelled(err);
		}
		t->task = task;
		t->lane = &e->lane[kind];
		t->err = err;
		pthread_cond_signal(&t->lane->wake);
		while (t->lane)
			pthread_cond_wait(&t->changed, &e->lock);
		rc = t->rc;
		pthread_mutex_unlock(&e->lock);
	}
	return rc;
}

static int check_devices(struct trial *t, struct error *err)
{
	for (int kind = 0; kind < MODEL_KINDS; kind++)
		if (takes_part(t, kind) && t->library->usable(t->device[kind], err) < 0)
			return -1;
	return 0;
}

/* The caps of the trial's settings, or those of the engine's own again. */
static void set_caps(struct trial *t, bool ours)
{
	struct engine *e = t->engine;

	pthread_mutex_lock(&e->lock);
	t->capped = ours;
	pthread_mutex_unlock(&e->lock);
	for (int kind = 0; kind < MODEL_KINDS; kind++) {
		if (!takes_part(t, kind))
			continue;
		status_watch(e, t->device[kind]);
		settings_cap(e, t->device[kind]);
	}
}

const struct engine_settings *trial_caps(const struct engine *e)
{
	return e->trial && e->trial->capped ? &e->trial->settings : &e->settings;
}

/* What is held before the runs, and what may be; nothing cached, so that no trial finds what another left. */
static void weigh(struct trial *t)
{
	for (int kind = 0; kind < MODEL_KINDS; kind++) {
		struct memory_reading reading;

		if (!takes_part(t, kind))
			continue;
		t->library->memory_trim(t->device[kind]);
		t->library->memory(t->device[kind], &reading);
		t->held[kind] = reading.used;
		t->limit[kind] = limit_used(&reading, limit_cap(&t->settings, reading.device_total), t->settings.reserve);
	}
}

/* The most that is held on a device: on a CPU models take turns, under CUDA each runs when it has work, so there what each took adds up. */
static int64_t peak_on(const struct trial *t, int device)
{
	int64_t held = 0, most = 0, sum = 0;

	for (int kind = 0; kind < MODEL_KINDS; kind++) {
		int64_t took = t->peak[kind] - t->held[kind];

		if (!takes_part(t, kind) || t->device[kind] != device)
			continue;
		held = t->held[kind];
		most = took > most ? took : most;
		sum += took > 0 ? took : 0;
	}
	return held + (device == DEVICE_CPU ? most : sum);
}

static int check_reserve(struct trial *t, struct error *err)
{
	for (int kind = 0; kind < MODEL_KINDS; kind++) {
		int64_t peak;

		if (!takes_part(t, kind))
			continue;
		peak = peak_on(t, t->device[kind]);
		if (peak > t->limit[kind])
			return fail(err, E_MEMORY,
				    "batch %d ran, but eats into the reserve: it holds %.1f MB where the reserve of %d %% leaves %.1f MB",
				    t->settings.batch, (double)peak / 1e6, t->settings.reserve, (double)t->limit[kind] / 1e6);
	}
	return 0;
}

/* That on which most of the models stand; of equals that of the first. */
static int main_device(const struct trial *t)
{
	int best = DEVICE_CPU, most = 0;

	for (int kind = 0; kind < MODEL_KINDS; kind++) {
		int device = t->device[kind], n = 0;

		if (!takes_part(t, kind))
			continue;
		for (int other = 0; other < MODEL_KINDS; other++)
			n += takes_part(t, other) && t->device[other] == device;
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

static void judge(struct trial *t)
{
	struct engine *e = t->engine;
	int device = main_device(t);
	double ms = 0;

	t->event.trial.batch = t->settings.batch;
	t->event.trial.passes = t->passes;
	t->event.trial.peak = peak_on(t, device);
	for (int kind = 0; kind < MODEL_KINDS; kind++) {
		const struct model_info *info;

		if (!takes_part(t, kind))
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

static int conduct(struct trial *t, struct error *err)
{
	if (load_pictures(t, err) < 0 || wait_for_lanes(t, err) < 0 || check_devices(t, err) < 0)
		return -1;
	set_caps(t, true);
	if (have_done(t, place, err) < 0)
		return -1;
	weigh(t);
	for (t->pass = -1; t->pass < t->passes; t->pass++)
		if (have_done(t, run_batch, err) < 0 || check_reserve(t, err) < 0)
			return -1;
	judge(t);
	return 0;
}

/* ---------------------------------------------------------------- begin and end */

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

static void trial_free(struct trial *t)
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
	for (int i = 0; i < t->n; i++)
		free(t->paths[i]);
	free(t->hypotheses);
	free(t->captions);
	free(t->paths);
	pthread_cond_destroy(&t->changed);
	free(t);
}

static void *conductor_main(void *arg)
{
	struct trial *t = arg;
	struct engine *e = t->engine;
	struct error err;

	read_labels(t);
	t->captions = xcalloc((size_t)t->settings.batch, sizeof *t->captions);
	for (int kind = 0; kind < MODEL_KINDS; kind++)
		t->seconds[kind] = xcalloc((size_t)t->passes, sizeof *t->seconds[kind]);
	if (conduct(t, &err) < 0)
		t->event.err = xmemdup(&err, sizeof err);
	if (t->capped)
		set_caps(t, false);
	pthread_mutex_lock(&e->lock);
	e->trial = NULL;
	for (int kind = 0; kind < MODEL_KINDS; kind++)
		pthread_cond_signal(&e->lane[kind].wake);
	pthread_cond_broadcast(&e->load);
	/* As a loader it kept lanes from closing the models that it prepared pictures for. */
	e->loaders_running--;
	pthread_cond_broadcast(&e->opened);
	engine_emit(e, &t->event);
	pthread_mutex_unlock(&e->lock);
	trial_free(t);
	return NULL;
}

static int check_trial(const struct engine_trial *ask, int n, struct error *err)
{
	if (ask->passes < 0 || ask->passes > PASSES_MAX)
		return fail(err, E_USAGE, "%d timed passes: 0 to %d are possible", ask->passes, PASSES_MAX);
	if (ask->models >> MODEL_KINDS)
		return fail(err, E_USAGE, "a trial of models that there are not");
	if (n < 1)
		return fail(err, E_USAGE, "a trial needs a picture");
	return settings_check(&ask->settings, err);
}

/* The models that are to run; the mutex is held. 0 with err. */
static unsigned choose_models(const struct engine *e, unsigned wanted, struct error *err)
{
	unsigned ready = 0, usable = 0;

	for (int kind = 0; kind < MODEL_KINDS; kind++) {
		ready |= (unsigned)(e->lane[kind].ready && lane_usable(&e->lane[kind])) << kind;
		usable |= (unsigned)lane_usable(&e->lane[kind]) << kind;
	}
	if (e->trial)
		fail(err, E_USAGE, "a trial is running");
	else if (usable & ~ready)
		fail(err, E_USAGE, "models are still being opened: try again when they are ready");
	else if (!ready || wanted & ~ready)
		fail(err, E_MODEL, ready ? "a model that the trial asks for is not there" : "no model is there to be tried");
	else
		return wanted ? wanted : ready;
	return 0;
}

int engine_try(struct engine *e, const struct engine_trial *ask, const char *const *paths, int n, struct error *err)
{
	struct trial *t;
	unsigned models;

	if (check_trial(ask, n, err) < 0)
		return -1;
	pthread_mutex_lock(&e->lock);
	models = choose_models(e, ask->models, err);
	pthread_mutex_unlock(&e->lock);
	if (!models)
		return -1;
	trial_join(e);
	t = xcalloc(1, sizeof *t);
	*t = (struct trial){.engine = e, .settings = ask->settings, .models = models, .passes = ask->passes, .n = n, .event = {.kind = EV_TRIAL}};
	t->paths = xcalloc((size_t)n, sizeof *t->paths);
	for (int i = 0; i < n; i++)
		t->paths[i] = xstrdup(paths[i]);
	pthread_cond_init(&t->changed, NULL);
	pthread_mutex_lock(&e->lock);
	t->library = e->library;
	e->trial = t;
	e->loaders_running++;
	for (int kind = 0; kind < MODEL_KINDS; kind++)
		pthread_cond_signal(&e->lane[kind].wake);
	pthread_mutex_unlock(&e->lock);
	engine_thread(&e->trial_thread, conductor_main, t);
	e->trial_joinable = true;
	return 0;
}

void engine_try_cancel(struct engine *e)
{
	pthread_mutex_lock(&e->lock);
	if (e->trial) {
		e->trial->cancelled = true;
		pthread_cond_broadcast(&e->trial->changed);
	}
	pthread_mutex_unlock(&e->lock);
}

void trial_wake(struct engine *e)
{
	if (e->trial)
		pthread_cond_broadcast(&e->trial->changed);
}

void trial_join(struct engine *e)
{
	if (e->trial_joinable)
		pthread_join(e->trial_thread, NULL);
	e->trial_joinable = false;
}

/* ---------------------------------------------------------------- the lane's side */

static void do_task(struct trial *t, struct lane *l)
{
	struct engine *e = t->engine;
	int rc;

	pthread_mutex_unlock(&e->lock);
	rc = t->task(t, l, t->err);
	pthread_mutex_lock(&e->lock);
	t->rc = rc;
	t->lane = NULL;
	pthread_cond_broadcast(&t->changed);
}

/* Back to where ordinary work has it. When that fails the lane's own way of applying settings goes on from where the model now stands. */
void trial_leave(struct lane *l)
{
	struct engine *e = l->engine;
	struct model_control control = {.check = lane_check_stop, .ctx = l};
	struct engine_settings settings = e->settings;
	struct place back = l->back, away = l->away;
	bool evict = l->stays_evicted, resident;
	struct error err;
	int rc = 0;

	l->displaced = false;
	l->tuned = false;
	pthread_mutex_unlock(&e->lock);
	tune(e->library, &settings);
	if (evict)
		e->library->evict(l->model);
	else if (away.device != back.device || away.precision != back.precision || !e->library->resident(l->model))
		rc = e->library->place(l->model, back.device, back.precision, &control, &err);
	e->library->memory_trim(away.device);
	resident = e->library->resident(l->model);
	pthread_mutex_lock(&e->lock);
	l->evicted = !resident;
	e->peaks_begin = true;
	if (rc < 0 && !e->stop) {
		engine_note(e, "%s: could not go back to where it was before the trial: %s", lane_name[l->kind], err.text);
		l->device = away.device;
		l->asked = away;
		l->dirty = true;
	}
	lane_weigh(l);
	turn_room(e);
}

void trial_serve(struct lane *l)
{
	struct engine *e = l->engine;
	struct trial *t = e->trial;

	l->parked = true;
	pthread_cond_broadcast(&t->changed);
	/* A task is served also while the engine stops: its end is waited for. */
	while (e->trial == t && (!e->stop || t->lane == l)) {
		if (t->lane == l)
			do_task(t, l);
		else if (l->leave)
			/* A lane that is still at work needs the room. */
			ladder_leave(l);
		else
			pthread_cond_wait(&l->wake, &e->lock);
	}
	l->parked = false;
}
