/* engine_lane.c - one thread per model: opening it, moving it to where settings and ladder want it, and the loop that looks for work. What is run is in
 * engine_work.c, how in engine_run.c. See engine_private.h.
 */
#include "core/engine_private.h"

#include <stdlib.h>
#include <string.h>

#include "core/config.h"
#include "core/log.h"
#include "core/mem.h"

const char *const lane_name[MODEL_KINDS] = {[MODEL_SCORES] = "scores", [MODEL_CAPTION] = "captions", [MODEL_NLI] = "verdicts"};
static bool (*const lane_work[MODEL_KINDS])(struct lane *l) = {[MODEL_SCORES] = work_scores, [MODEL_CAPTION] = work_caption, [MODEL_NLI] = work_nli};

bool lane_usable(const struct lane *l)
{
	return l->used && !l->failed;
}

bool lane_has_work(const struct lane *l)
{
	static const enum line_name lines[MODEL_KINDS][3] = {
		[MODEL_SCORES] = {LINE_IMAGE, LINE_RESCORE, LINE_TEXT},
		[MODEL_CAPTION] = {LINE_CAPTION, LINE_CAPTION, LINE_CAPTION},
		[MODEL_NLI] = {LINE_PREMISE, LINE_PREMISE, LINE_PREMISE},
	};
	bool any = l->busy || l->reserved > 0;

	for (int i = 0; i < 3; i++)
		any = any || l->engine->line[lines[l->kind][i]].count > 0;
	return any;
}

static int less(int limit, int value)
{
	return limit && limit < value ? limit : value;
}

int lane_batch(const struct lane *l)
{
	int batch = l->engine->settings.batch;

	/* The NLI model's steps down are in pairs of texts. */
	return less(l->timely, l->kind == MODEL_NLI ? batch : less(l->down.batch, batch));
}

int lane_forward(const struct lane *l)
{
	return less(l->engine->settings.slice, lane_batch(l));
}

/* ---------------------------------------------------------------- what is told */

static void tell_loading(void *ctx, int64_t done, int64_t total)
{
	struct lane *l = ctx;
	struct event event = {.kind = EV_LOADING, .model = l->kind};
	int percent = total > 0 ? (int)(100 * done / total) : 0;

	if (percent == l->shown_percent)
		return;
	l->shown_percent = percent;
	event.loading.done = done;
	event.loading.total = total;
	engine_emit(l->engine, &event);
}

void lane_tell(struct lane *l)
{
	struct event event = {.kind = EV_SETTINGS, .model = l->kind};

	event.settings.precision = l->precision;
	event.settings.device = l->device;
	event.settings.batch = lane_batch(l);
	event.settings.image_size = settings_image_size(l->engine);
	event.settings.beams = l->engine->settings.beams;
	engine_emit(l->engine, &event);
}

void lane_fail(struct lane *l, const struct error *err)
{
	struct event event = {.kind = EV_MODEL_FAILED, .model = l->kind, .err = xmemdup(err, sizeof *err)};

	engine_emit(l->engine, &event);
	l->failed = true;
	l->ready = false;
	pictures_without(l->engine, l->kind);
}

void lane_weigh(struct lane *l)
{
	struct engine *e = l->engine;
	struct memory_reading reading = {0};
	enum precision precision;
	int device = l->device;

	pthread_mutex_unlock(&e->lock);
	precision = e->library->precision(l->model);
	e->library->memory(device, &reading);
	pthread_mutex_lock(&e->lock);
	l->precision = precision;
	/* What the account does not hold is mapped from the file. */
	l->weight_held = l->evicted ? 0 : reading.weights[l->kind + 1];
	l->weight_bytes = l->parameters * (precision == PRECISION_FP32 || precision == PRECISION_AUTOCAST ? 4 : 2);
	if (l->weight_bytes < l->weight_held)
		l->weight_bytes = l->weight_held;
	e->watch[device + 1].memory = reading;
}

/* ---------------------------------------------------------------- where it stands */

/* What the device asked for comes to. Where there is none such, a model that stands already stays where it is. */
static int find_home(struct lane *l, struct error *err)
{
	struct engine *e = l->engine;
	int wish = e->settings.device[l->kind], rc;
	struct device_choice choice;

	if (l->ready && wish == l->wish)
		return 0;
	pthread_mutex_unlock(&e->lock);
	rc = device_choose(wish, e->library->devices(), e->library->usable, e->force_cuda, &choice, err);
	if (!rc)
		status_watch(e, choice.device);
	pthread_mutex_lock(&e->lock);
	l->wish = wish;
	if (rc < 0)
		return -1;
	if (choice.note[0] && (!e->device_note || strcmp(e->device_note, choice.note))) {
		if (choice.expected)
			log_write(LOG_INFO, "%s", choice.note);
		else
			engine_note(e, "%s", choice.note);
		free(e->device_note);
		e->device_note = xstrdup(choice.note);
	}
	if (!l->ready || !choice.fell_back)
		l->home = choice.device;
	return 0;
}

struct place lane_target(const struct lane *l)
{
	const struct engine *e = l->engine;
	struct place target = {l->home, l->down.precision != PRECISION_AUTO ? l->down.precision : e->settings.precision[l->kind]};

	if (l->down.cpu || (e->device_failed && !e->force_cuda))
		target.device = DEVICE_CPU;
	return target;
}

int lane_check_stop(void *ctx)
{
	struct engine *e = ((struct lane *)ctx)->engine;
	int stop;

	pthread_mutex_lock(&e->lock);
	stop = e->stop;
	pthread_mutex_unlock(&e->lock);
	return stop;
}

static int move(struct lane *l, struct place target, struct error *err)
{
	struct model_control control = {.check = lane_check_stop, .ctx = l};
	struct engine *e = l->engine;
	bool resident;
	int rc;

	l->asked = target;
	l->moves = true;
	l->freed = e->freed;
	l->seen = e->changes;
	pthread_mutex_unlock(&e->lock);
	status_watch(e, target.device);
	settings_cap(e, target.device);
	rc = e->library->place(l->model, target.device, target.precision, &control, err);
	resident = e->library->resident(l->model);
	pthread_mutex_lock(&e->lock);
	if (!rc) {
		l->device = target.device;
		e->freed++;
	}
	l->evicted = !resident;
	lane_weigh(l);
	l->moves = false;
	turn_room(e);
	return rc;
}

/* It could not be moved. 0: it can run where it is. */
static int stay(struct lane *l, struct place target, struct error *err)
{
	struct engine *e = l->engine;
	char name[16];

	/* On a broken device nothing runs. */
	if (l->device != DEVICE_CPU && e->device_failed) {
		lane_fail(l, err);
		return -1;
	}
	if (l->evicted)
		return -1;
	engine_note(e, "%s: stays at %s on %s, %s is not possible: %s", lane_name[l->kind], precision_name(l->precision),
		    device_name(l->device, name), precision_name(target.precision), err->text);
	return 0;
}

int lane_place(struct lane *l, struct error *err)
{
	bool moved = false;

	for (;;) {
		struct place target = lane_target(l);

		if (!l->evicted && target.device == l->asked.device && target.precision == l->asked.precision)
			break;
		if (l->evicted)
			ladder_await(l, target.device);
		if (lane_dropped(l))
			return fail(err, E_CANCELLED, "cancelled");
		moved = true;
		if (!move(l, target, err))
			continue;
		if (l->engine->stop)
			return -1;
		if (err->code == E_DEVICE && target.device != DEVICE_CPU) {
			if (ladder_device_failed(l, err))
				continue;
			lane_fail(l, err);
			return -1;
		}
		if (err->code != E_MEMORY || !ladder_down(l, target.device, NULL, 0, err))
			return stay(l, target, err);
		/* A step down: tried again, even where the step changed nothing of the target. */
		l->asked.device = DEVICE_AUTO;
	}
	if (moved)
		lane_tell(l);
	return 0;
}

/* ---------------------------------------------------------------- opening */

static void is_ready(struct lane *l, struct model *model, struct place place, double seconds)
{
	struct engine *e = l->engine;
	struct event event = {.kind = EV_READY, .model = l->kind};
	const struct model_info *info = e->library->info(model);

	l->model = model;
	l->asked = place;
	l->device = place.device;
	l->evicted = false;
	l->parameters = info->parameters;
	lane_weigh(l);
	/* From here on, with the mutex held, it is this model's answers that others see. */
	l->embed_size = info->embed_size;
	l->sigmoid = info->sigmoid;
	l->logit_scale = e->library->logit_scale(model);
	l->logit_bias = e->library->logit_bias(model);
	l->failed = l->may_come = false;
	l->used = l->ready = true;
	event.ready.info = xmemdup(info, sizeof *info);
	event.ready.precision = l->precision;
	event.ready.seconds = seconds;
	engine_emit(e, &event);
	lane_tell(l);
	pthread_cond_broadcast(&e->load);
}

static void tune(struct lane *l)
{
	struct engine *e = l->engine;
	const struct engine_settings *s = &e->settings;
	struct model_tuning tuning = {.seed = s->seed, .deterministic = s->deterministic, .benchmark = s->benchmark, .threads = s->threads};
	struct error err;
	int rc;

	if (l->tuned && l->tuning.seed == tuning.seed && l->tuning.deterministic == tuning.deterministic && l->tuning.benchmark == tuning.benchmark &&
	    l->tuning.threads == tuning.threads)
		return;
	l->tuning = tuning;
	l->tuned = true;
	pthread_mutex_unlock(&e->lock);
	rc = e->library->tune(&tuning, &err);
	pthread_mutex_lock(&e->lock);
	if (rc < 0)
		engine_note(e, "%s: %s", lane_name[l->kind], err.text);
}

/* Down the ladder as long as there is no memory for it. NULL: not possible, see err. */
static struct model *open_model(struct lane *l, const struct model_control *control, struct place *place, struct error *err)
{
	struct engine *e = l->engine;

	for (;;) {
		struct model *model;

		*place = l->asked = lane_target(l);
		l->moves = true;
		l->freed = e->freed;
		l->seen = e->changes;
		pthread_mutex_unlock(&e->lock);
		status_watch(e, place->device);
		settings_cap(e, place->device);
		model = e->library->open(l->dir, place->device, place->precision, (int)l->kind + 1, control, err);
		pthread_mutex_lock(&e->lock);
		l->moves = false;
		turn_room(e);
		if (model || e->stop)
			return model;
		if (err->code == E_DEVICE && place->device != DEVICE_CPU && ladder_device_failed(l, err))
			continue;
		if (err->code != E_MEMORY || !ladder_down(l, place->device, NULL, 0, err))
			return NULL;
	}
}

int lane_open(struct lane *l, struct error *err)
{
	struct model_control control = {.check = lane_check_stop, .progress = tell_loading, .ctx = l};
	struct engine *e = l->engine;
	struct model *model = NULL;
	struct place place;
	double begin = clock_now();

	l->dirty = false;
	if (!e->library)
		fail(err, E_MODEL, "%s: not opened, the model library is missing", l->dir);
	else
		tune(l);
	if (e->library && find_home(l, err) == 0)
		model = open_model(l, &control, &place, err);
	ladder_rest(l);
	if (!model)
		return -1;
	is_ready(l, model, place, clock_now() - begin);
	return 0;
}

void lane_reopen(struct lane *l)
{
	struct engine *e = l->engine;
	struct error err;

	if (lane_open(l, &err) == 0 || e->stop)
		return;
	l->may_come = e->library && err.code == E_MEMORY;
	if (l->failed)
		engine_note(e, "%s", err.text);
	else
		lane_fail(l, &err);
}

/* Models are opened one after the other, in the order of their kinds. */
static void open_in_turn(struct lane *l)
{
	struct engine *e = l->engine;

	while (!e->stop && e->opening != (int)l->kind)
		pthread_cond_wait(&e->opened, &e->lock);
	if (!e->stop && l->used)
		lane_reopen(l);
	e->opening++;
	pthread_cond_broadcast(&e->opened);
}

/* ---------------------------------------------------------------- settings */

/* Its weights come back after the steps down were undone, if there is room without another step. */
static void come_back(struct lane *l)
{
	struct error err;

	if (l->evicted && !l->down.evicted && ladder_has_room(l))
		move(l, lane_target(l), &err);
}

static void apply_cap(struct lane *l)
{
	int device = l->device;

	pthread_mutex_unlock(&l->engine->lock);
	settings_cap(l->engine, device);
	pthread_mutex_lock(&l->engine->lock);
}

static void apply_settings(struct lane *l)
{
	struct engine *e = l->engine;
	struct error err;

	l->dirty = false;
	l->applies = true;
	l->timely = 0;
	l->trimmed = false;
	for (int i = 0; l->kind == MODEL_SCORES && i < e->labels_n; i++)
		e->labels[i]->failed = false;
	tune(l);
	if (find_home(l, &err) < 0)
		engine_note(e, "%s: stays where it is: %s", lane_name[l->kind], err.text);
	apply_cap(l);
	come_back(l);
	if (!l->evicted)
		lane_place(l, &err);
	if (l->ready)
		ladder_shrink(l);
	ladder_rest(l);
	l->applies = false;
	apply_cap(l);
	if (l->ready)
		lane_tell(l);
}

/* ---------------------------------------------------------------- thread */

/* One step; false: there is nothing to do. */
static bool lane_step(struct lane *l)
{
	/* One that failed while it was at work holds nothing any more; loaders may still ask it to prepare. */
	if (l->model && (l->leave || (l->failed && !l->evicted)))
		return ladder_leave(l), true;
	if (l->ready && l->engine->trial)
		return trial_serve(l), true;
	if (l->displaced)
		return trial_leave(l), true;
	if (l->swap)
		return lane_swap(l), true;
	if (l->dirty && l->ready)
		return apply_settings(l), true;
	if (l->dirty && l->may_come && !l->engine->trial)
		return lane_reopen(l), true;
	return l->ready && lane_work[l->kind](l);
}

void *lane_main(void *arg)
{
	struct lane *l = arg;
	struct engine *e = l->engine;
	struct model *model;

	pthread_mutex_lock(&e->lock);
	open_in_turn(l);
	while (!e->stop)
		if (!lane_step(l))
			pthread_cond_wait(&l->wake, &e->lock);
	while (l->model && e->loaders_running)
		pthread_cond_wait(&e->opened, &e->lock);
	model = l->model;
	pthread_mutex_unlock(&e->lock);
	if (model)
		e->library->close(model);
	return NULL;
}
