/* engine_status.c - what the engine tells of itself: memory sampled by a thread of its own, times, speeds. See engine.h and engine_private.h. */
#include "core/engine_private.h"

#include <stdlib.h>
#include <string.h>

enum { STALL_MS = 1000 };

/* ---------------------------------------------------------------- memory */

/* Stores a reading taken without the mutex. */
static void sample(struct engine *e, int device)
{
	struct memory_reading reading = {0};

	e->library->memory(device, &reading);
	pthread_mutex_lock(&e->lock);
	e->watch[device + 1].memory = reading;
	pthread_mutex_unlock(&e->lock);
}

void status_watch(struct engine *e, int device)
{
	struct device_info info = {0};
	bool known;

	pthread_mutex_lock(&e->lock);
	known = e->watch[device + 1].known;
	pthread_mutex_unlock(&e->lock);
	if (!known && e->library->device(device, &info) == 0) {
		pthread_mutex_lock(&e->lock);
		e->watch[device + 1].known = true;
		e->watch[device + 1].info = info;
		pthread_mutex_unlock(&e->lock);
	}
	sample(e, device);
}

/* Several lanes may run on one device at the same time. Whoever begins anew first leaves what was reached so far with those that run already. */
void meter_begin(struct lane *l)
{
	struct engine *e = l->engine;
	struct memory_reading reading = {0};
	int device;

	pthread_mutex_lock(&e->account);
	pthread_mutex_lock(&e->lock);
	device = l->device;
	pthread_mutex_unlock(&e->lock);
	e->library->memory(device, &reading);
	for (int i = 0; i < MODEL_KINDS; i++)
		if (e->lane[i].metered && e->lane[i].metered_on == device && e->lane[i].peak < reading.peak[PEAK_BATCH])
			e->lane[i].peak = reading.peak[PEAK_BATCH];
	l->peak = 0;
	l->used_before = reading.used;
	l->metered = true;
	l->metered_on = device;
	e->library->memory_reset_peak(device, PEAK_BATCH);
	pthread_mutex_unlock(&e->account);
}

void meter_end(struct lane *l)
{
	struct engine *e = l->engine;
	struct memory_reading reading = {0};
	int device;

	pthread_mutex_lock(&e->account);
	device = l->metered_on;
	e->library->memory(device, &reading);
	pthread_mutex_lock(&e->lock);
	l->last_peak = l->peak > reading.peak[PEAK_BATCH] ? l->peak : reading.peak[PEAK_BATCH];
	e->watch[device + 1].memory = reading;
	pthread_mutex_unlock(&e->lock);
	l->metered = false;
	l->used_after = reading.used;
	pthread_mutex_unlock(&e->account);
}

/* The devices on which models stand or will, that of most models first; returns how many. */
static int devices_of(const struct engine *e, int out[MODEL_KINDS])
{
	int models[MODEL_KINDS] = {0}, n = 0;

	for (int i = 0; i < MODEL_KINDS; i++) {
		int device = e->lane[i].device, at = 0;

		if (!lane_usable(&e->lane[i]) || !e->watch[device + 1].known)
			continue;
		while (at < n && out[at] != device)
			at++;
		if (at == n)
			out[n++] = device;
		models[at]++;
		for (; at > 0 && models[at - 1] < models[at]; at--) {
			int other = out[at - 1], count = models[at - 1];

			out[at - 1] = out[at];
			models[at - 1] = models[at];
			out[at] = other;
			models[at] = count;
		}
	}
	return n;
}

/* Where no model is left there is still the CPU to be seen. */
static int devices_seen(const struct engine *e, int out[MODEL_KINDS])
{
	int n = devices_of(e, out);

	if (!n && e->watch[DEVICE_CPU + 1].known)
		out[n++] = DEVICE_CPU;
	return n;
}

static void keep_accounts(struct engine *e)
{
	int device[MODEL_KINDS], n = devices_seen(e, device);
	bool peaks_begin = e->peaks_begin;

	if (!e->library)
		return;
	e->peaks_begin = false;
	pthread_mutex_unlock(&e->lock);
	for (int i = 0; i < n; i++) {
		if (peaks_begin)
			e->library->memory_reset_peak(device[i], PEAK_CHANGE);
		sample(e, device[i]);
	}
	pthread_mutex_lock(&e->lock);
}

void *keeper_main(void *arg)
{
	struct engine *e = arg;

	pthread_mutex_lock(&e->lock);
	while (!e->stop) {
		struct timespec until;
		double next = pictures_due(e), most = 1e-3 * SAMPLE_MS;

		keep_accounts(e);
		if (e->stop)
			break;
		if (next >= 0 && next < most)
			most = next;
		until = clock_after(most);
		/* Before there is a library, only pictures to be tried again are a reason to wake by the clock. */
		if (e->library || next >= 0)
			pthread_cond_timedwait(&e->keep, &e->lock, &until);
		else
			pthread_cond_wait(&e->keep, &e->lock);
	}
	pthread_mutex_unlock(&e->lock);
	return NULL;
}

/* ---------------------------------------------------------------- times */

void times_add(struct times *times, double ms)
{
	times->ms[times->count++ % TIMES] = ms;
}

static int compare_doubles(const void *pa, const void *pb)
{
	double a = *(const double *)pa, b = *(const double *)pb;

	return (a > b) - (a < b);
}

/* By nearest rank. times is sorted in place. */
static void percentiles(struct times *times, double *p50, double *p95, double *p99)
{
	size_t n = times->count < TIMES ? (size_t)times->count : TIMES;

	if (!n)
		return;
	qsort(times->ms, n, sizeof *times->ms, compare_doubles);
	*p50 = times->ms[(n * 50 + 99) / 100 - 1];
	*p95 = times->ms[(n * 95 + 99) / 100 - 1];
	*p99 = times->ms[(n * 99 + 99) / 100 - 1];
}

static struct stage_status stage_of(struct times *times)
{
	struct stage_status out = {.done = times->count};

	percentiles(times, &out.p50_ms, &out.p95_ms, &out.p99_ms);
	return out;
}

static double token_speed(const struct lane *l)
{
	double seconds = 0;
	int tokens = 0;

	for (int i = 0; i < SPEEDS; i++) {
		tokens += l->token_count[i];
		seconds += l->token_seconds[i];
	}
	return seconds > 0 ? tokens / seconds : 0;
}

/* ---------------------------------------------------------------- status */

static int queued(const struct engine *e, enum model_kind kind)
{
	static const enum line_name lines[MODEL_KINDS][3] = {
		[MODEL_SCORES] = {LINE_IMAGE, LINE_RESCORE, LINE_TEXT},
		[MODEL_CAPTION] = {LINE_CAPTION, LINES, LINES},
		[MODEL_NLI] = {LINE_PREMISE, LINES, LINES},
	};
	int sum = 0;

	for (int i = 0; i < 3 && lines[kind][i] < LINES; i++)
		sum += e->line[lines[kind][i]].count;
	return sum;
}

static void lane_look(const struct engine *e, enum model_kind kind, struct lane_status *out)
{
	const struct lane *l = &e->lane[kind];
	double still = l->progress > 0 ? clock_now() - l->progress : 0;

	*out = (struct lane_status){.used = l->used, .ready = l->ready, .busy = l->busy, .failed = l->failed, .batch = l->batch, .done = l->done};
	out->queued = queued(e, kind);
	out->weight_bytes = l->weight_bytes;
	out->weight_held = l->weight_held;
	out->precision = l->precision;
	out->device = l->device;
	out->evicted = l->evicted;
	out->tokens = l->tokens;
	out->tokens_per_s = token_speed(l);
	out->last_peak = l->last_peak;
	out->stalled_s = still > 1e-3 * STALL_MS ? still : 0;
}

static void ladder_look(const struct engine *e, struct ladder_status *out)
{
	int scores = lane_batch(&e->lane[MODEL_SCORES]), caption = lane_batch(&e->lane[MODEL_CAPTION]);

	out->steps = e->steps;
	out->batch = scores < caption ? scores : caption;
	out->image_size = settings_image_size(e);
	out->device_failed = e->device_failed;
}

static void devices_look(const struct engine *e, struct engine_status *out)
{
	int device[MODEL_KINDS];

	out->devices = e->library ? devices_seen(e, device) : 0;
	for (int i = 0; i < out->devices; i++) {
		const struct watched *w = &e->watch[device[i] + 1];

		out->device[i].device = device[i];
		memcpy(out->device[i].name, w->info.name, sizeof out->device[i].name);
		out->device[i].memory = w->memory;
	}
}

static void counts_look(struct engine *e, struct engine_status *out)
{
	double worked = e->worked + (e->pending ? clock_now() - e->busy_since : 0);

	for (int i = 0; i <= LINE_LOAD_CAPTION; i++)
		out->jobs = e->line[i].count > out->jobs ? e->line[i].count : out->jobs;
	out->full = e->full;
	out->trial = e->trial;
	out->pending = e->pending;
	out->refreshing = e->refreshing;
	out->submitted = e->submitted;
	out->answered = e->answered;
	out->failed = e->failed;
	out->cancelled = e->cancelled;
	out->retried = e->retried;
	pictures_count_rate(e);
	out->images_per_s = pictures_rate(e);
	out->images_per_s_overall = worked > 0 ? (double)e->answered / worked : 0;
	out->library = e->library;
}

void engine_status(struct engine *e, struct engine_status *out)
{
	struct times lane[MODEL_KINDS], decode, prepare;

	*out = (struct engine_status){0};
	pthread_mutex_lock(&e->lock);
	for (int i = 0; i < MODEL_KINDS; i++) {
		lane_look(e, (enum model_kind)i, &out->lane[i]);
		lane[i] = e->lane[i].times;
	}
	ladder_look(e, &out->ladder);
	devices_look(e, out);
	counts_look(e, out);
	decode = e->decode;
	prepare = e->prepare;
	pthread_mutex_unlock(&e->lock);
	/* Sorting needs no mutex. */
	for (int i = 0; i < MODEL_KINDS; i++)
		percentiles(&lane[i], &out->lane[i].p50_ms, &out->lane[i].p95_ms, &out->lane[i].p99_ms);
	out->decode = stage_of(&decode);
	out->prepare = stage_of(&prepare);
}

const struct model_library *engine_library(struct engine *e)
{
	const struct model_library *library;

	pthread_mutex_lock(&e->lock);
	library = e->library;
	pthread_mutex_unlock(&e->lock);
	return library;
}
