/* engine_settings.c - what can be set: defaults, what is refused and why, and how a change reaches the lanes. See engine.h and engine_private.h. */
#include "core/engine_private.h"

#include <string.h>

#include "core/limit.h"
#include "core/mem.h"

struct engine_settings engine_settings_default(int device)
{
	struct engine_settings s = {.batch = 4, .beams = 5, .reserve = 15, .seed = 42};

	for (int i = 0; i < MODEL_KINDS; i++)
		s.device[i] = device;
	return s;
}

/* ---------------------------------------------------------------- what is refused */

static int check_range(const char *name, int value, int least, int most, struct error *err)
{
	return value >= least && value <= most ? 0 : fail(err, E_USAGE, "%s %d: %d to %d are possible", name, value, least, most);
}

static int check_seconds(const char *name, double value, double most, struct error *err)
{
	/* Also what is not a number compares as false. */
	return value >= 0 && value <= most ? 0 : fail(err, E_USAGE, "%s %g: 0 to %g seconds are possible", name, value, most);
}

static int check_models(const struct engine_settings *s, struct error *err)
{
	for (int i = 0; i < MODEL_KINDS; i++) {
		if ((int)s->precision[i] < 0 || s->precision[i] >= PRECISIONS)
			return fail(err, E_USAGE, "precision %d is not known", (int)s->precision[i]);
		if (s->device[i] < DEVICE_AUTO || s->device[i] >= DEVICE_MOST)
			return fail(err, E_USAGE, "device %d: auto, cpu and cuda:0 to cuda:%d are possible", s->device[i], DEVICE_MOST - 1);
	}
	return 0;
}

static int check_memory(const struct engine_settings *s, struct error *err)
{
	if (s->cap < 0)
		return fail(err, E_USAGE, "the memory cap cannot be negative; 0 is none");
	if (s->cap_percent < 0 || s->cap_percent > 100)
		return fail(err, E_USAGE, "a memory cap of %d %%: 1 to 100 %% of the device are possible, 0 is none", s->cap_percent);
	if (s->reserve < 0 || s->reserve > 90)
		return fail(err, E_USAGE, "a reserve of %d %%: 0 to 90 %% of the device are possible", s->reserve);
	return 0;
}

int settings_check(const struct engine_settings *s, struct error *err)
{
	if (check_range("batch", s->batch, 1, ENGINE_MAX_BATCH, err) < 0 || check_range("slice", s->slice, 0, ENGINE_MAX_BATCH, err) < 0 ||
	    check_range("beams", s->beams, 1, ENGINE_MAX_BEAMS, err) < 0 || check_range("retries", s->retries, 0, 100, err) < 0 ||
	    check_range("threads", s->threads, 0, 4096, err) < 0)
		return -1;
	if (s->image_size < 0 || s->image_size > ENGINE_MAX_IMAGE)
		return fail(err, E_USAGE, "image size %d: 0 (the model's own) to %d pixels are possible", s->image_size, ENGINE_MAX_IMAGE);
	if (s->queue < 0)
		return fail(err, E_USAGE, "a queue of %d pictures: 1 or more are possible, 0 is any number", s->queue);
	if (check_seconds("retry delay", s->retry_delay, 3600, err) < 0 || check_seconds("deadline", s->deadline, 1e6, err) < 0)
		return -1;
	return check_models(s, err) < 0 ? -1 : check_memory(s, err);
}

/* ---------------------------------------------------------------- caps */

int64_t settings_cap_of(const struct engine *e, int device)
{
	return limit_cap(trial_caps(e), e->watch[device + 1].info.total);
}

/* A model on the device has yet to make itself as small as the settings want it. */
static bool is_settling(const struct engine *e, int device)
{
	bool any = false;

	for (int i = 0; i < MODEL_KINDS; i++)
		any = any || (e->lane[i].ready && e->lane[i].device == device && (e->lane[i].dirty || e->lane[i].applies));
	return any;
}

void settings_cap(struct engine *e, int device)
{
	const struct model_library *library;
	struct memory_reading reading = {0};
	int64_t cap, held = 0;
	bool settling;

	pthread_mutex_lock(&e->account);
	pthread_mutex_lock(&e->lock);
	library = e->library;
	cap = settings_cap_of(e, device);
	settling = trial_caps(e) == &e->settings && is_settling(e, device);
	pthread_mutex_unlock(&e->lock);
	library->memory(device, &reading);
	for (int i = 0; i < MODEL_OWNERS; i++)
		held += reading.weights[i];
	/* Under a cap that is exceeded already nothing can be read in lower precision: that comes first. */
	if (!cap || held <= cap || !settling)
		library->memory_set_cap(device, cap);
	pthread_mutex_unlock(&e->account);
}

/* ---------------------------------------------------------------- changes */

int settings_image_size(const struct engine *e)
{
	int down = e->lane[MODEL_CAPTION].down.image_size;

	return down ? down : e->settings.image_size;
}

void settings_dirty(struct engine *e, int kind)
{
	for (int i = 0; i < MODEL_KINDS; i++) {
		if (kind != MODEL_KINDS && kind != i)
			continue;
		e->lane[i].dirty = true;
		pthread_cond_signal(&e->lane[i].wake);
	}
}

void settings_prepare_anew(struct engine *e)
{
	struct picture *p;

	while ((p = line_tail(&e->line[LINE_CAPTION]))) {
		picture_drop(e, p, LINE_CAPTION);
		line_join(e, p, LINE_LOAD_CAPTION, true);
	}
}

/* What decides how much memory is taken, but for the cap. */
static bool same_need(const struct engine_settings *a, const struct engine_settings *b)
{
	return a->batch == b->batch && a->slice == b->slice && !memcmp(a->precision, b->precision, sizeof a->precision) &&
	       !memcmp(a->device, b->device, sizeof a->device) && a->image_size == b->image_size && a->beams == b->beams;
}

/* Less memory is allowed than before, or as much: what the ladder gave up would only be given up again. */
static bool no_more_room(const struct engine *e, const struct engine_settings *old, const struct engine_settings *new)
{
	bool less = true;

	for (int i = 0; i < MODEL_KINDS; i++) {
		int64_t total = e->watch[e->lane[i].device + 1].info.total, was = limit_cap(old, total), is = limit_cap(new, total);

		less = less && (is == was || (is && (!was || is < was)));
	}
	return less;
}

int engine_set_settings(struct engine *e, const struct engine_settings *settings, struct error *err)
{
	struct engine_settings old;
	int before;

	if (settings_check(settings, err) < 0)
		return -1;
	pthread_mutex_lock(&e->lock);
	old = e->settings;
	e->changes++;
	before = settings_image_size(e);
	e->settings = *settings;
	if (!same_need(&old, settings) || !no_more_room(e, &old, settings))
		ladder_reset(e);
	if (before != settings_image_size(e))
		settings_prepare_anew(e);
	settings_dirty(e, MODEL_KINDS);
	e->peaks_begin = true;
	pthread_cond_signal(&e->keep);
	pthread_cond_broadcast(&e->load);
	pictures_room(e);
	pthread_mutex_unlock(&e->lock);
	return 0;
}

struct engine_settings engine_get_settings(const struct engine *e)
{
	struct engine *shared = (struct engine *)e; /* for the mutex only */
	struct engine_settings settings;

	pthread_mutex_lock(&shared->lock);
	settings = e->settings;
	pthread_mutex_unlock(&shared->lock);
	return settings;
}

void settings_undo_ladder(struct engine *e)
{
	int before = settings_image_size(e);

	e->changes++;
	ladder_reset(e);
	if (before != settings_image_size(e))
		settings_prepare_anew(e);
	settings_dirty(e, MODEL_KINDS);
	pthread_cond_broadcast(&e->load);
}

bool engine_undo_ladder(struct engine *e)
{
	struct event event = {.kind = EV_LADDER};
	int steps;

	pthread_mutex_lock(&e->lock);
	steps = e->steps;
	if (steps) {
		settings_undo_ladder(e);
		event.ladder.step = LADDER_UNDONE;
		event.ladder.text = xasprintf("memory: %d step%s down undone: what was set is tried again", steps, steps == 1 ? "" : "s");
		engine_emit(e, &event);
	}
	pthread_mutex_unlock(&e->lock);
	return steps;
}
