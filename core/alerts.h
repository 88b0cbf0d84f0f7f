/* alerts.h - what a person at a demo, or at a long run, wants to be told: memory running full, answers failing, a model that hangs.
 *
 * A pure function from the engine's status and thresholds to the alerts that hold, with hysteresis, so that a value on the threshold does not flicker.
 * One thread (the screen's), a few times a second.
 *
 *	struct alert_change change[ALERTS];
 *	int n = alerts_update(&alerts, &thresholds, &status, &recent, change);
 *	for (int i = 0; i < n; i++)
 *		alert_log(&change[i]);
 *	alerts_line(&alerts, line, sizeof line);     for the status line
 */
#ifndef CORE_ALERTS_H
#define CORE_ALERTS_H

#include "core/stats.h"

/* ALERT_STALL + kind is a model's lane. */
enum { ALERT_MEMORY, ALERT_SUCCESS, ALERT_STALL, ALERTS = ALERT_STALL + MODEL_KINDS, ALERT_LEAST = 20 };

/* 0 = never. */
struct alert_thresholds {
	int memory;   /* percent in use, of the cap or of the whole device, whichever is nearer its end */
	int success;  /* percent of the last pictures that were answered, judged from ALERT_LEAST of them on */
	double stall; /* seconds that a batch may run without a sign of progress */
};

/* Which hold, and how each reads now. Zero-initialise. */
struct alerts {
	bool active[ALERTS];
	char text[ALERTS][160];
};

struct alert_change {
	int alert;
	bool raised; /* else it is over */
	char text[160];
};

/* Brings a up to date and writes what began and what ended to change[ALERTS]; returns how many. An alert ends only when its value is clearly better: memory 5
 * points below the threshold, success 2 points above it (100 at most), a stall with the first sign of progress. */
int alerts_update(struct alerts *a, const struct alert_thresholds *thresholds, const struct engine_status *status, const struct stats_recent *recent,
		  struct alert_change change[ALERTS]);
/* The alerts that hold, separated by "; ", worst first (a stall, memory, success). Returns how many hold; out is empty for 0. */
int alerts_line(const struct alerts *a, char *out, size_t size);
/* A line for the log: a warning where it began, information where it is over. */
void alert_log(const struct alert_change *change);

#endif
