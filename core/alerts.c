/* alerts.c - see alerts.h. */
#include "core/alerts.h"

#include <stdio.h>
#include <string.h>

#include "core/log.h"

enum { MEMORY_BACK = 5, SUCCESS_BACK = 2 }; /* points by which a value must get better */

static double percent(int64_t part, int64_t whole)
{
	return whole > 0 ? 100.0 * (double)part / (double)whole : 0;
}

/* The fullest of the devices: percent in use, of the cap where that is nearer its end. */
static double fullest(const struct engine_status *s, const char **name, bool *of_cap)
{
	double most = 0;

	for (int i = 0; i < s->devices && i < MODEL_KINDS; i++) {
		const struct memory_reading *m = &s->device[i].memory;
		double capped = percent(m->used, m->cap), whole = percent(m->device_total - m->device_free, m->device_total);
		double here = capped > whole ? capped : whole;

		if (here < most)
			continue;
		most = here;
		*name = s->device[i].name;
		*of_cap = capped > whole;
	}
	return most;
}

static bool memory_alert(bool active, int threshold, const struct engine_status *s, char text[160])
{
	const char *name = "";
	bool of_cap = false;
	double value = fullest(s, &name, &of_cap);

	snprintf(text, 160, "memory %.0f %% of the %s in use (%.90s), alert at %d %%", value, of_cap ? "cap" : "device", name, threshold);
	return threshold > 0 && value >= (active ? threshold - MEMORY_BACK : threshold) && value > 0;
}

static bool success_alert(bool active, int threshold, const struct stats_recent *recent, char text[160])
{
	double value = 100 * stats_recent_success(recent);
	int back = threshold + SUCCESS_BACK < 100 ? threshold + SUCCESS_BACK : 100;

	snprintf(text, 160, "only %.0f %% of the last %d pictures were answered, alert below %d %%", value, recent->count, threshold);
	return threshold > 0 && recent->count >= ALERT_LEAST && value < (active ? back : threshold);
}

static bool stall_alert(bool active, double threshold, const struct lane_status *lane, enum stage stage, char text[160])
{
	snprintf(text, 160, "%s has shown no progress for %.0f s", stage_name(stage), lane->stalled_s);
	return threshold > 0 && lane->used && lane->stalled_s > (active ? 0 : threshold);
}

/* Whether an alert holds now, and how it reads. */
static bool holds(const struct alerts *a, int alert, const struct alert_thresholds *t, const struct engine_status *s,
		  const struct stats_recent *recent, char text[160])
{
	int kind = alert - ALERT_STALL;

	if (alert == ALERT_MEMORY)
		return memory_alert(a->active[alert], t->memory, s, text);
	if (alert == ALERT_SUCCESS)
		return success_alert(a->active[alert], t->success, recent, text);
	return stall_alert(a->active[alert], t->stall, &s->lane[kind], (enum stage)(STAGE_SCORES + kind), text);
}

int alerts_update(struct alerts *a, const struct alert_thresholds *t, const struct engine_status *s, const struct stats_recent *recent,
		  struct alert_change change[ALERTS])
{
	int n = 0;

	for (int i = 0; i < ALERTS; i++) {
		char text[160];
		bool now = holds(a, i, t, s, recent, text);

		/* What is over is told in the words in which it was last seen. */
		if (now)
			memcpy(a->text[i], text, sizeof text);
		if (now == a->active[i])
			continue;
		a->active[i] = now;
		change[n] = (struct alert_change){.alert = i, .raised = now};
		memcpy(change[n++].text, a->text[i], sizeof text);
	}
	return n;
}

int alerts_line(const struct alerts *a, char *out, size_t size)
{
	size_t length = 0;
	int n = 0;

	*out = '\0';
	for (int i = 0; i < ALERTS; i++) {
		int alert = (i + ALERT_STALL) % ALERTS;

		if (!a->active[alert])
			continue;
		if (length < size)
			length += (size_t)snprintf(out + length, size - length, "%s%s", n ? "; " : "", a->text[alert]);
		n++;
	}
	return n;
}

void alert_log(const struct alert_change *change)
{
	log_write(change->raised ? LOG_WARNING : LOG_INFO, "%s: %s", change->raised ? "alert" : "alert over", change->text);
}
