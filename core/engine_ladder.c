/* engine_ladder.c - running out of memory, step by step: what core/ladder.h decides is done here. See engine_private.h.
 *
 * Weights are freed by the lane that owns the model, never by another: who needs the room sets `leave` and waits until that lane has ended its batch. A lane
 * that waits for anything here serves such wishes itself, so two that need each other's room do not wait for ever. And as long as one is hungry, needing
 * the device for itself, no evicted model comes back and none begins to run: so each step brings it nearer to its run or to the end of the ladder.
 */
#include "core/engine_private.h"

#include <stdio.h>

#include "core/config.h"
#include "core/memory.h"

/* ---------------------------------------------------------------- waiting for others */

/* Until something changed. It holds no turn, and nothing of the model is in use. */
static void wait_here(struct lane *l)
{
	if (l->leave && l->model)
		ladder_leave(l);
	else
		pthread_cond_wait(&l->turn, &l->engine->lock);
}

void ladder_leave(struct lane *l)
{
	struct engine *e = l->engine;

	pthread_mutex_unlock(&e->lock);
	e->library->evict(l->model);
	pthread_mutex_lock(&e->lock);
	l->leave = false;
	l->evicted = true;
	e->freed++;
	lane_weigh(l);
	turn_room(e);
}

/* Another model is inside a run on the device. */
static bool is_crowded(const struct lane *l, int device)
{
	bool any = false;

	for (int i = 0; i < MODEL_KINDS; i++) {
		const struct lane *other = &l->engine->lane[i];

		any = any || (other != l && other->running && other->device == device);
	}
	return any;
}

static bool others_need(const struct lane *l, int device)
{
	const struct engine *e = l->engine;

	return e->hungry && e->hungry != l && e->hungry_on == device;
}

static bool others_wait(const struct lane *l)
{
	bool any = false;

	for (int i = 0; i < MODEL_KINDS; i++)
		any = any || (&l->engine->lane[i] != l && l->engine->lane[i].awaits);
	return any;
}

/* Who had it last lets others go first. False: the lane's work was dropped. */
static bool become_hungry(struct lane *l, int device)
{
	struct engine *e = l->engine;

	if (e->hungry == l)
		return true;
	l->awaits = true;
	while ((e->hungry || (e->last_hungry == l && others_wait(l))) && !lane_dropped(l))
		wait_here(l);
	l->awaits = false;
	turn_room(e);
	if (lane_dropped(l))
		return false;
	e->hungry = e->last_hungry = l;
	e->hungry_on = device;
	return true;
}

void ladder_await(struct lane *l, int device)
{
	struct engine *e = l->engine;

	if (l->down.alone && become_hungry(l, device))
		while (is_crowded(l, device) && !lane_dropped(l))
			wait_here(l);
	if (!others_need(l, device))
		return;
	l->awaits = true;
	while (others_need(l, device) && !lane_dropped(l))
		wait_here(l);
	l->awaits = false;
	e->last_hungry = NULL;
	turn_room(e);
}

void ladder_rest(struct lane *l)
{
	if (l->engine->hungry != l)
		return;
	l->engine->hungry = NULL;
	turn_room(l->engine);
}

/* ---------------------------------------------------------------- eviction */

/* Has weights there that can go, now or as soon as they are read. */
static bool holds(const struct lane *l, int device)
{
	if (l->moves)
		return l->asked.device == device;
	return l->ready && !l->evicted && l->device == device && l->weight_held > 0;
}

/* Of the other models on the device the one that is missed least; NULL: none holds anything. busy_too: also those that have work. */
static struct lane *victim(const struct lane *l, int device, bool busy_too)
{
	struct engine *e = l->engine;
	struct lane *best = NULL;
	int least = 3;

	for (int i = 0; i < MODEL_KINDS; i++) {
		struct lane *other = &e->lane[i];
		int missed = other->busy || other->moves ? 2 : lane_has_work(other) ? 1 : 0;

		if (other == l || !holds(other, device))
			continue;
		if (missed >= least || (missed && !busy_too))
			continue;
		best = other;
		least = missed;
	}
	return best;
}

static void evict(struct lane *l, struct lane *other)
{
	other->leave = true;
	pthread_cond_signal(&other->wake);
	pthread_cond_signal(&other->turn);
	while (other->leave && (other->ready || other->moves) && !lane_dropped(l))
		wait_here(l);
	other->leave = false;
}

/* ---------------------------------------------------------------- one step */

/* A step in the making. */
struct descent {
	struct lane *lane;
	int device;            /* that has no memory left */
	const struct run *run; /* NULL: the weights themselves find none */
	int items;
	bool shrinks; /* nothing failed: a cap was lowered */
	struct ladder_move move;
	int64_t changes; /* the engine's count when it began: once all steps are undone, one that was being taken is none */
	struct memory_reading before;
	char from[64], to[64]; /* in words; empty: nothing to say */
};

static void read_memory(struct engine *e, int device, struct memory_reading *out)
{
	pthread_mutex_unlock(&e->lock);
	*out = (struct memory_reading){0};
	e->library->memory(device, out);
	pthread_mutex_lock(&e->lock);
}

/* What the model and a run of one hold at that precision; only differences are looked at. */
static int64_t need(const struct lane *l, int device, enum precision precision, bool runs)
{
	const struct engine *e = l->engine;
	struct forecast_request request = {.precision = precision, .device = device, .batch = 1, .image_size = settings_image_size(e)};
	struct forecast forecast;

	request.beams = e->settings.beams;
	e->library->forecast(l->model, &request, &forecast);
	return forecast.weights + (runs ? forecast.activations + forecast.kv : 0);
}

/* In which it runs, or should be placed. */
static enum precision precision_now(const struct descent *d)
{
	return d->run || d->shrinks ? d->lane->precision : lane_target(d->lane).precision;
}

/* The precision that would take less; AUTO: none. */
static enum precision lower_precision(const struct descent *d)
{
	const struct lane *l = d->lane;
	const struct device_info *info = &l->engine->watch[d->device + 1].info;
	enum precision now = precision_now(d), lower = ladder_precision(now, info->bf16, info->fp16);

	/* Once asked for it is not asked for again, even where the model could not be brought there. */
	if (lower == PRECISION_AUTO || lower == l->down.precision ||
	    (l->model && need(l, d->device, lower, d->run) >= need(l, d->device, now, d->run)))
		return PRECISION_AUTO;
	return lower;
}

static struct ladder_state state_of(const struct descent *d)
{
	const struct lane *l = d->lane;
	const struct engine *e = l->engine;
	struct ladder_state state = {.cached = l->trimmed ? 0 : d->before.cached, .batch = d->items};

	if (l->kind == MODEL_CAPTION && d->run) {
		const struct model_info *info = e->library->info(l->model);

		state.image_own = info->image_size;
		state.image_step = info->image_step;
		state.image_size = settings_image_size(e);
	}
	state.lower = lower_precision(d);
	state.can_evict = victim(l, d->device, true);
	state.can_cpu = d->device != DEVICE_CPU && !e->force_cuda && !l->down.cpu;
	return state;
}

static void step_batch(struct descent *d)
{
	int *limit = d->run->texts ? &d->lane->down.texts : &d->lane->down.batch;

	*limit = d->move.batch;
	snprintf(d->from, sizeof d->from, "%d", d->items);
	snprintf(d->to, sizeof d->to, "%d", d->move.batch);
}

static void step_image(struct descent *d)
{
	struct engine *e = d->lane->engine;
	int size = settings_image_size(e);

	snprintf(d->from, sizeof d->from, "%d", size ? size : e->library->info(d->lane->model)->image_size);
	snprintf(d->to, sizeof d->to, "%d", d->move.image_size);
	d->lane->down.image_size = d->move.image_size;
	settings_prepare_anew(e);
}

static void step_precision(struct descent *d)
{
	struct lane *l = d->lane;

	snprintf(d->from, sizeof d->from, "%s", precision_name(precision_now(d)));
	snprintf(d->to, sizeof d->to, "%s", precision_name(d->move.precision));
	l->down.precision = d->move.precision;
}

/* Another account: what was given up on the other device is not needed here. */
static void step_cpu(struct descent *d)
{
	snprintf(d->from, sizeof d->from, "cuda:%d", d->device);
	snprintf(d->to, sizeof d->to, "the CPU");
	d->lane->down = (struct steps_down){.cpu = true, .evicted = d->lane->down.evicted, .alone = d->lane->down.alone};
	d->lane->trimmed = false;
}

static void step_trim(struct descent *d)
{
	struct engine *e = d->lane->engine;

	d->lane->trimmed = true;
	pthread_mutex_unlock(&e->lock);
	e->library->memory_trim(d->device);
	pthread_mutex_lock(&e->lock);
}

/* False: it did not come to that, or somebody else made room meanwhile. A model that has to go again and again is told of once. */
static bool step_evict(struct descent *d)
{
	struct lane *l = d->lane, *other;
	bool told;

	if (others_need(l, d->device)) {
		ladder_await(l, d->device);
		return false;
	}
	if (!become_hungry(l, d->device) || !(other = victim(l, d->device, true)))
		return false;
	told = other->down.evicted;
	evict(l, other);
	if (!other->evicted || told || d->changes != l->engine->changes)
		return false;
	other->down.evicted = true;
	snprintf(d->from, sizeof d->from, "%s", lane_name[other->kind]);
	return true;
}

static void tell(struct descent *d)
{
	struct lane *l = d->lane;
	struct engine *e = l->engine;
	struct event event = {.kind = EV_LADDER, .model = l->kind};
	struct ladder_line line = {.who = lane_name[l->kind], .step = d->move.step, .batch = d->items, .before = d->before};

	read_memory(e, d->device, &line.after);
	line.items = d->run ? d->run->what : "";
	line.from = d->from[0] ? d->from : NULL;
	line.to = d->to[0] ? d->to : NULL;
	event.ladder.step = d->move.step;
	event.ladder.used_before = line.before.used;
	event.ladder.used_after = line.after.used;
	event.ladder.cap = line.before.cap;
	event.ladder.text = ladder_text(&line);
	event.ladder.steps = e->steps;
	engine_emit(e, &event);
}

/* A change of precision or device takes effect where the lane places its model, after this; the line is told when that is done. */
static void settle(struct descent *d)
{
	struct lane *l = d->lane;
	struct error err;

	if ((d->run || d->shrinks) && (d->move.step == LADDER_PRECISION || d->move.step == LADDER_CPU))
		lane_place(l, &err);
	if (d->move.step != LADDER_TRIM && d->changes == l->engine->changes)
		l->engine->steps++;
	tell(d);
	lane_tell(l);
}

static void take_step(struct descent *d)
{
	bool told = true;

	d->changes = d->lane->engine->changes;
	switch (d->move.step) {
	case LADDER_BATCH:
		step_batch(d);
		break;
	case LADDER_IMAGE:
		step_image(d);
		break;
	case LADDER_PRECISION:
		step_precision(d);
		break;
	case LADDER_EVICT:
		told = step_evict(d);
		break;
	case LADDER_CPU:
		step_cpu(d);
		break;
	default:
		step_trim(d);
	}
	if (told)
		settle(d);
}

/* The bottom: what is needed, what there is, and what to do. */
static void explain(const struct descent *d, struct error *err)
{
	const struct lane *l = d->lane;
	char why[512], cap[24], used[24], spare[24], needs[24];

	snprintf(why, sizeof why, "%.500s", err->text);
	memory_text(d->before.cap, cap);
	memory_text(d->before.used, used);
	memory_text(d->before.device_free, spare);
	if (!l->model)
		fail(err, E_MEMORY, "%s: no memory for the weights: %s in use%s%s: %s", l->dir, used, d->before.cap > 0 ? ", raise the cap" : "",
		     d->before.cap > 0 ? "" : ", close what else uses the device, or take a smaller model", why);
	else if (d->before.cap > 0)
		fail(err, E_MEMORY, "%s: needs about %s, the cap is %s: raise it or take a smaller model: %s", lane_name[l->kind],
		     memory_text(need(l, d->device, l->precision, true), needs), cap, why);
	else
		fail(err, E_MEMORY, "%s: needs about %s, the device has %s free: close what else uses it, or take a smaller model: %s",
		     lane_name[l->kind], memory_text(need(l, d->device, l->precision, true), needs), spare, why);
}

/* Two runs at a time may be too much where each alone fits: that costs least, so it comes before all else. */
static bool step_alone(struct lane *l, const struct run *run, int n)
{
	if (l->down.alone || !is_crowded(l, l->device))
		return false;
	l->down.alone = true;
	l->engine->steps++;
	engine_note(l->engine, "%s: no memory for %d %s beside another model's run: runs alone from now on", lane_name[l->kind], n, run->what);
	return true;
}

/* There was no memory under settings that hold no longer: under those of now it is tried before anything is given up. */
static bool changed_meanwhile(struct lane *l, int device)
{
	struct engine *e = l->engine;

	if (l->seen == e->changes)
		return false;
	l->seen = e->changes;
	pthread_mutex_unlock(&e->lock);
	settings_cap(e, device);
	pthread_mutex_lock(&e->lock);
	return true;
}

bool ladder_down(struct lane *l, int device, const struct run *run, int n, struct error *err)
{
	struct engine *e = l->engine;
	struct descent d = {.lane = l, .device = device, .run = run, .items = n};
	struct ladder_state state;

	if (lane_dropped(l) || changed_meanwhile(l, device) || (run && step_alone(l, run, n)))
		return true;
	read_memory(e, device, &d.before);
	if (changed_meanwhile(l, device))
		return true;
	state = state_of(&d);
	if (ladder_next(&state, &d.move)) {
		take_step(&d);
	} else if (l->freed == e->freed) {
		explain(&d, err);
		return false;
	}
	return true;
}

/* ---------------------------------------------------------------- a lowered cap */

static int64_t weights_on(struct engine *e, int device, struct memory_reading *reading)
{
	int64_t sum = 0;

	read_memory(e, device, reading);
	for (int i = 0; i < MODEL_OWNERS; i++)
		sum += reading->weights[i];
	return sum;
}

/* Others that stand on the device have yet to look at the settings: they may lower their precision before anybody is evicted. */
static bool others_follow(const struct lane *l)
{
	bool any = false;

	for (int i = 0; i < MODEL_KINDS; i++) {
		const struct lane *other = &l->engine->lane[i];

		any = any || (other != l && other->ready && !other->evicted && (other->dirty || other->applies) && other->device == l->device);
	}
	return any;
}

/* Nothing is left but the model itself: it goes, and comes back when the cap allows it. */
static void leave_last(struct descent *d)
{
	struct lane *l = d->lane;

	d->changes = l->engine->changes;
	d->move.step = LADDER_EVICT;
	ladder_leave(l);
	step_trim(d);
	if (d->changes != l->engine->changes)
		return;
	l->down.evicted = true;
	snprintf(d->from, sizeof d->from, "%s", lane_name[l->kind]);
	settle(d);
	for (int i = 0; i < MODEL_KINDS; i++)
		if (i != (int)l->kind)
			settings_dirty(l->engine, i);
}

/* What could be given up to come under the cap; false: nothing has to. */
static bool shrink_state(struct lane *l, struct descent *d, struct ladder_state *state)
{
	struct engine *e = l->engine;
	int64_t held = weights_on(e, d->device, &d->before), cap = settings_cap_of(e, d->device);

	d->before.cap = cap;
	*state = (struct ladder_state){0};
	if (!cap || d->before.used + d->before.cached <= cap)
		return false;
	state->cached = l->trimmed ? 0 : d->before.cached;
	if (held <= cap)
		return state->cached > 0;
	state->lower = lower_precision(d);
	state->can_evict = victim(l, d->device, false) && !e->hungry;
	state->can_cpu = d->device != DEVICE_CPU && !e->force_cuda && !l->down.cpu;
	return true;
}

void ladder_shrink(struct lane *l)
{
	struct engine *e = l->engine;

	while (!e->stop && !l->evicted && !l->dirty && l->ready) {
		struct descent d = {.lane = l, .device = l->device, .shrinks = true};
		struct ladder_state state;

		if (!shrink_state(l, &d, &state) || l->dirty)
			return;
		if (!state.cached && state.lower == PRECISION_AUTO && others_follow(l))
			return;
		if (!ladder_next(&state, &d.move)) {
			leave_last(&d);
			return;
		}
		take_step(&d);
		/* What was given up is no use in the cache: that counts under the cap, too. */
		step_trim(&d);
	}
}

bool ladder_has_room(struct lane *l)
{
	struct memory_reading reading;
	struct place target = lane_target(l);
	struct forecast_request request = {.precision = target.precision, .device = target.device, .batch = 1};
	int64_t held = weights_on(l->engine, target.device, &reading), cap = settings_cap_of(l->engine, target.device);
	struct forecast forecast;

	l->engine->library->forecast(l->model, &request, &forecast);
	return !l->engine->hungry && (!cap || held + forecast.weights <= cap);
}

/* ---------------------------------------------------------------- undoing, and a broken device */

void ladder_reset(struct engine *e)
{
	for (int i = 0; i < MODEL_KINDS; i++)
		e->lane[i].down = (struct steps_down){0};
	e->steps = 0;
}

bool ladder_device_failed(struct lane *l, struct error *err)
{
	struct engine *e = l->engine;
	bool first = !e->device_failed;

	e->device_failed = true;
	if (e->force_cuda) {
		fail_prefix(err, "the CUDA device broke down, and force-cuda forbids the CPU: restart vramble");
		return false;
	}
	if (first) {
		engine_note(e, "the CUDA device broke down; all models go to the CPU: restart vramble to use the GPU again: %s", err->text);
		settings_dirty(e, MODEL_KINDS);
	}
	return true;
}
