/* stats.h - how a run goes: counts, success rate, times per stage, speed. Derived from engine_status and the events; pure, one thread (the screen's).
 *
 *	struct stats stats = stats_of(&status);
 *	stats_line(&stats, line, sizeof line);      "118 ok, 2 failed, 1 retried (98.3 %); 41.2 images/s, 38.0 overall; 310 tokens/s"
 *
 *	stats_take(&recent, &event);                for each event; what alerts judge by
 */
#ifndef CORE_STATS_H
#define CORE_STATS_H

#include "core/engine.h"

/* In the order in which a picture meets them. */
enum stage { STAGE_DECODE, STAGE_PREPARE, STAGE_SCORES, STAGE_CAPTION, STAGE_NLI, STAGES };

struct stats {
	int64_t ok, failed, cancelled, retried, pending;
	double success;                    /* ok / (ok + failed), 0..1; -1: neither yet */
	struct stage_status stage[STAGES]; /* milliseconds per picture; a model that is not used has done = 0 */
	double images_per_s, images_per_s_overall;
	double tokens_per_s; /* the captioner's; 0 unknown */
};

struct stats stats_of(const struct engine_status *status);
/* "decode", "prepare", "CLIP", "caption", "NLI". */
const char *stage_name(enum stage stage);
/* The whole of it in one line of text, without a newline; what is not known is left out. Returns the length written. */
int stats_line(const struct stats *stats, char *out, size_t size);

enum { STATS_RECENT = 100 };

/* How the last STATS_RECENT pictures ended. Zero-initialise. */
struct stats_recent {
	bool ok[STATS_RECENT];
	int count, head, good;
};
/* Counts EV_RANKING as good and EV_FAILED as bad; all else (also what was cancelled) is nothing. A picture whose labels changed is counted again. */
void stats_take(struct stats_recent *recent, const struct event *e);
/* good / count, 0..1; 1 where there is nothing. */
double stats_recent_success(const struct stats_recent *recent);

#endif
