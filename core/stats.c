/* stats.c - see stats.h. */
#include "core/stats.h"

#include <stdarg.h>
#include <stdio.h>

static struct stage_status lane_stage(const struct lane_status *lane)
{
	if (!lane->used)
		return (struct stage_status){0};
	return (struct stage_status){lane->done, lane->p50_ms, lane->p95_ms, lane->p99_ms};
}

struct stats stats_of(const struct engine_status *status)
{
	struct stats s = {.ok = status->answered,
			  .failed = status->failed,
			  .cancelled = status->cancelled,
			  .retried = status->retried,
			  .pending = status->pending,
			  .success = -1,
			  .stage = {[STAGE_DECODE] = status->decode, [STAGE_PREPARE] = status->prepare},
			  .images_per_s = status->images_per_s,
			  .images_per_s_overall = status->images_per_s_overall,
			  .tokens_per_s = status->lane[MODEL_CAPTION].tokens_per_s};

	if (s.ok + s.failed > 0)
		s.success = (double)s.ok / (double)(s.ok + s.failed);
	for (int kind = 0; kind < MODEL_KINDS; kind++)
		s.stage[STAGE_SCORES + kind] = lane_stage(&status->lane[kind]);
	return s;
}

const char *stage_name(enum stage stage)
{
	static const char *const names[STAGES] = {"decode", "prepare", "CLIP", "caption", "NLI"};

	return names[stage];
}

/* Appends to out[*length], cutting at the end of it. */
static void __attribute__((format(printf, 4, 5))) add(char *out, size_t size, int *length, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(out + *length, size - (size_t)*length, fmt, ap);
	va_end(ap);
	*length = n < (int)size - *length ? *length + n : (int)size - 1;
}

int stats_line(const struct stats *s, char *out, size_t size)
{
	int n = 0;

	add(out, size, &n, "%lld ok, %lld failed", (long long)s->ok, (long long)s->failed);
	if (s->cancelled)
		add(out, size, &n, ", %lld cancelled", (long long)s->cancelled);
	if (s->retried)
		add(out, size, &n, ", %lld retried", (long long)s->retried);
	if (s->success >= 0)
		add(out, size, &n, " (%.1f %%)", 100 * s->success);
	if (s->images_per_s > 0)
		add(out, size, &n, "; %.1f images/s", s->images_per_s);
	if (s->images_per_s_overall > 0)
		add(out, size, &n, "%s%.1f%s overall", s->images_per_s > 0 ? ", " : "; ", s->images_per_s_overall,
		    s->images_per_s > 0 ? "" : " images/s");
	if (s->tokens_per_s > 0)
		add(out, size, &n, "; %.0f tokens/s", s->tokens_per_s);
	for (int i = 0; i < STAGES; i++)
		if (s->stage[i].done)
			add(out, size, &n, "; %s %.1f/%.1f/%.1f ms", stage_name((enum stage)i), s->stage[i].p50_ms, s->stage[i].p95_ms,
			    s->stage[i].p99_ms);
	return n;
}

void stats_take(struct stats_recent *r, const struct event *e)
{
	bool ok = e->kind == EV_RANKING;

	if (!ok && e->kind != EV_FAILED)
		return;
	if (r->count == STATS_RECENT) {
		r->good -= r->ok[r->head];
		r->head = (r->head + 1) % STATS_RECENT;
		r->count--;
	}
	r->ok[(r->head + r->count++) % STATS_RECENT] = ok;
	r->good += ok;
}

double stats_recent_success(const struct stats_recent *r)
{
	return r->count ? (double)r->good / r->count : 1;
}
