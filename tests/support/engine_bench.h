/* engine_bench.h - what engine tests share: pictures on disk, an engine over the fake models, and a tally of its events. One thread. */
#ifndef TESTS_SUPPORT_ENGINE_BENCH_H
#define TESTS_SUPPORT_ENGINE_BENCH_H

#include "core/engine.h"

enum { BENCH_MAX = 2048, BENCH_KINDS = EV_NOTE + 1, BENCH_NOTES = 64 };

struct bench {
	struct engine *engine;
	struct engine_options options;
	char dir[64];
	int count[BENCH_KINDS];                /* events by kind */
	int of[BENCH_MAX][BENCH_KINDS];        /* by picture and kind */
	int order[BENCH_KINDS][BENCH_MAX * 4]; /* ids in the order of the events of a kind */
	char last_error[1000];
	char note[BENCH_NOTES][512];   /* the first ones */
	int steps[LADDER_UNDONE + 1];  /* EV_LADDER by step */
	char ladder[BENCH_NOTES][512]; /* the first lines */
	char caption[BENCH_MAX][128];
	int best[BENCH_MAX]; /* label ranked first; -1 none */
	int scores_n[BENCH_MAX];
	uint32_t epoch[BENCH_MAX]; /* of the last ranking */
	float clipscore[BENCH_MAX];
	int largest_batch;                    /* in answers */
	struct really really;                 /* from the last EV_SETTINGS */
	void (*check)(const struct event *e); /* sees each event; may be NULL */
	struct event trial;                   /* the last EV_TRIAL; err points to trial_err, or is NULL */
	struct error trial_err;
};

extern const char *const bench_labels[3]; /* "something red", "something green", "something blue" */
extern const char *const bench_colours[3];

/* A folder for pictures and default options: batch 4, two loaders, all three models, previews of 16 x 16. Resets the fake models. */
void bench_init(struct bench *b);
void bench_only(struct bench *b, enum model_kind kind); /* before the start: the other models are switched off */
void bench_start(struct bench *b);                      /* creates and starts */
void bench_start_labels(struct bench *b);               /* the same with bench_labels */
void bench_free(struct bench *b);                       /* lets the fake models go on, destroys the engine, removes the folder */
/* Writes a BMP of one colour (8 x 4, or 4 x 8 when tall); the path is valid until the next call. */
const char *bench_picture(struct bench *b, uint32_t id, int red, int green, int blue, bool tall);
const char *bench_path(struct bench *b, uint32_t id);
void bench_red_pictures(struct bench *b, int n); /* 0 ... n - 1, all mostly red; the blue value is the number modulo 200 */
void bench_submit(struct bench *b, uint32_t id, enum engine_priority priority, int work);
void bench_submit_all(struct bench *b, int from, int n, int work); /* n pictures in the background */
bool bench_take(struct bench *b);                                  /* all events that wait, into the tally; false: there were none */
/* Waits until `n` events of the kind came in all; fails the test after 20 s. */
void bench_await(struct bench *b, enum event_kind kind, int n);
void bench_await_quiet(struct bench *b); /* no picture is pending or refreshing, no event waits */
struct engine_status bench_status(struct bench *b);
void bench_check_sums(struct bench *b); /* submitted = answered + failed + cancelled + pending */

#endif
