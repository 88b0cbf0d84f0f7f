/* engine_private.h - what the files of the engine share. Nobody else includes it.
 *
 * One mutex guards everything here but the event queue and what says otherwise; it is never held while a file is read, a picture decoded or a model
 * run.
 *
 * A picture stands in lines, one for each kind of work that it waits for (LINE_*). Whoever works on it takes it out of the line and gets a ticket.
 * Cancelling voids the ticket, so that a result whose ticket is void is dropped; nobody holds a pointer to a picture while the mutex is open. The
 * answers that a picture still owes are bits in `missing`; when the last is there, picture_settle ends it.
 */
#ifndef CORE_ENGINE_PRIVATE_H
#define CORE_ENGINE_PRIVATE_H

#include <pthread.h>
#include <time.h>

#include "core/engine.h"
#include "core/queue.h"

enum {
	PRIORITIES = ENGINE_SELECTED + 1,
	REMEMBER = 50000, /* the default of engine_options.remember */
	TEXT_BATCH = 32,  /* texts per forward pass of CLIP */
	PAIRS_MAX = 64,   /* pairs per forward pass of the NLI model */
	GATHER_MS = 20,
	TIMES = 256,     /* per lane, for p50 and p95 */
	RATE_SLOTS = 20, /* of RATE_SECONDS / RATE_SLOTS each */
	RATE_SECONDS = 5,
	LOADERS_MAX = 64
};

enum line_name {
	LINE_PREVIEW,      /* a loader: decode for the screen */
	LINE_LOAD_SCORES,  /* a loader: decode and prepare for CLIP */
	LINE_LOAD_CAPTION, /* a loader: decode and prepare for the captioner */
	LINE_IMAGE,        /* CLIP: prepared */
	LINE_RESCORE,      /* CLIP: embedded, to be compared with the labels */
	LINE_TEXT,         /* CLIP: captioned, CLIPScore to come */
	LINE_CAPTION,      /* captioner: prepared */
	LINE_PREMISE,      /* NLI: captioned, verdicts to come */
	LINES
};

enum answer { ANSWER_SCORES = 1, ANSWER_CAPTION = 2, ANSWER_CLIPSCORE = 4, ANSWER_VERDICTS = 8 };

enum phase {
	PHASE_IDLE,    /* only a preview is wanted */
	PHASE_PENDING, /* submitted for answers */
	PHASE_ANSWERED,
	PHASE_REFRESHING /* answered, and again on its way because the labels changed */
};

struct picture;

struct node {
	struct picture *prev, *next;
};

struct line {
	struct picture *first[PRIORITIES], *last[PRIORITIES];
	int count;
};

struct picture {
	uint32_t id;
	char *path;
	enum engine_priority priority;
	enum phase phase;
	unsigned missing;       /* enum answer bits */
	unsigned standing;      /* bit per line that it stands in */
	uint64_t ticket[LINES]; /* not 0: taken from that line and being worked on */
	struct node node[LINES];
	struct pixels for_scores;  /* while in LINE_IMAGE */
	struct pixels for_caption; /* while in LINE_CAPTION */
	float *embedding;          /* [embed_size], NULL until known */
	double embed_ms;           /* per picture, of the batch that embedded it */
	int embed_batch;
	char *caption;            /* NULL until known */
	struct verdict *verdicts; /* [labels_n] of the present epoch, until ranked */
	struct picture *bucket;   /* next with the same hash */
	struct node all;          /* in the order submitted */
	struct node known;        /* answered pictures, longest ago first */
	bool is_known;
};

struct picture_list {
	struct picture *first, *last;
};

struct label {
	char *text;
	float *embedding; /* [embed_size]; set once under the mutex, then only read */
	bool failed;
	struct label *bucket;
};

enum { LABEL_BUCKETS = 1024 };

/* Where a model stands, as place was asked. */
struct stand {
	int device;
	enum precision precision;
};

struct lane {
	struct engine *engine;
	enum model_kind kind;
	pthread_t thread;
	pthread_cond_t wake; /* work, settings or stop */
	pthread_cond_t turn; /* our turn came, or the batch was dropped */
	struct model *model; /* set once, before ready */
	char *dir;           /* NULL: not used */
	bool used, ready, failed, busy;
	int reserved;         /* pictures that loaders are preparing for this lane */
	int rows, live;       /* of the running batch; live: whose tickets are good */
	bool waiting;         /* for its turn */
	int passed_over;      /* how often another lane went first since ours last did */
	bool dirty;           /* settings changed since they were applied */
	enum precision asked; /* what place was last asked for */
	int device;           /* on which the model stands, or where it goes next */
	bool parked;          /* serves a trial, see engine_trial.c, as all that follows until displaced */
	bool stays_evicted;   /* it was, before */
	struct stand away;    /* where the trial put the model */
	bool displaced;       /* it stands there, though asked and device say otherwise */
	int fits;             /* largest batch (of pairs in the NLI lane) after one ran out of memory; 0: no limit known */
	int shown_percent;    /* of opening, last told */
	int batch;            /* of the running or last run */
	int64_t done;
	double ms[TIMES];
	int64_t ms_count;
	int embed_size;
	int64_t parameters, weight_bytes, weight_held;
	enum precision precision;
};

struct engine {
	pthread_mutex_t lock;
	struct queue events;
	const struct model_library *(*open_library)(void *ctx, struct error *err);
	void *ctx;
	int remember;
	char *hypothesis;
	struct image_limits limits;

	const struct model_library *library;
	bool started, stop;
	pthread_t opener, loader[LOADERS_MAX];
	int loaders, loaders_running;
	int opening;           /* the lane whose turn it is to open its model; MODEL_KINDS: all did; -1: no library yet */
	pthread_cond_t opened; /* opening changed, or stop, or the last loader left */
	pthread_cond_t load;   /* a loader may find work */
	struct lane lane[MODEL_KINDS];
	bool takes_turns;
	int turn; /* the lane that may compute, or -1 */

	struct engine_settings settings;
	int preview_width, preview_height;

	struct trial *trial; /* runs: lanes park, loaders make previews only */
	pthread_t trial_thread;
	bool trial_joinable; /* of the controlling thread */

	struct picture **buckets;
	size_t bucket_count;
	size_t pictures;
	struct picture_list all, known;
	int known_count; /* length of `known` */
	int embeddings;  /* pictures that hold one, pending ones too */
	struct line line[LINES];
	bool has_selected;
	uint32_t selected;
	uint64_t tickets;

	struct label *label_cache[LABEL_BUCKETS];
	struct label **labels; /* [labels_n] */
	int labels_n;
	uint32_t epoch;

	int pending, refreshing;
	int64_t submitted, answered, failed, cancelled;
	int64_t rate[RATE_SLOTS]; /* answered, by slot of time */
	int64_t rate_slot;        /* the newest slot's number */
	double busy_since;
};

/* A picture in a batch: by id and ticket, with what the model needs. */
struct row {
	uint32_t id;
	uint64_t ticket;
	struct pixels pixels; /* owned */
	char *text;           /* owned: premise or caption; for tokens the last text told */
	struct label *label;  /* borrowed; rows that embed labels belong to no picture */
};

/* How a batch is run by lane_run_rows. All are called without the mutex. */
struct run {
	enum line_name line;                                                     /* the rows were taken from it; LINES: labels */
	const char *what;                                                        /* for notes: "pictures" */
	int (*call)(struct lane *l, struct row *rows, int n, struct error *err); /* runs the model and hands out the results */
};

static inline double engine_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- engine.c; with or without the mutex */
void engine_emit(struct engine *e, struct event *event);
void engine_note(struct engine *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

int settings_check(const struct engine_settings *s, struct error *err);
/* Starts a thread that no signal disturbs; ends the program when there can be none. */
void engine_thread(pthread_t *thread, void *(*run)(void *), void *arg);

/* ---- engine_pictures.c; the mutex is held */
struct picture *picture_find(struct engine *e, uint32_t id);
struct picture *picture_add(struct engine *e, uint32_t id, const char *path);
void picture_free(struct engine *e, struct picture *p);
void picture_select(struct engine *e, struct picture *p);
void picture_move(struct engine *e, struct picture *p, enum engine_priority priority);
void line_join(struct engine *e, struct picture *p, enum line_name line, bool front);
struct picture *line_head(const struct line *line);
struct picture *line_next(const struct line *line, const struct picture *p, enum line_name name);
struct picture *line_tail(const struct line *line);
/* Out of the line, with a ticket. */
uint64_t picture_take(struct engine *e, struct picture *p, enum line_name line);
/* The picture if the ticket is good, which is then used up; else NULL. */
struct picture *picture_return(struct engine *e, uint32_t id, enum line_name line, uint64_t ticket);
bool picture_wanted(struct engine *e, uint32_t id, enum line_name line, uint64_t ticket);
/* Out of the line and void: neither waiting nor wanted from whoever works on it. */
void picture_drop(struct engine *e, struct picture *p, enum line_name line);
/* Anew: all answers that the usable models can give. */
void picture_begin(struct engine *e, struct picture *p);
/* The labels changed: what depends on them is done again from what is known. p may be gone afterwards. */
void picture_refresh(struct engine *e, struct picture *p);
/* An answer is there (bits may be 0); the last one ranks the labels and ends the picture. p may be gone afterwards. */
void picture_settle(struct engine *e, struct picture *p, unsigned answers);
void picture_fail(struct engine *e, struct picture *p, const struct error *err);
/* Drops all work; EV_CANCELLED unless quiet. p may be gone afterwards. */
void picture_cancel(struct engine *e, struct picture *p, bool quiet);
void picture_release(struct engine *e, struct picture *p);
/* The lane can answer no more: its answers are taken off all pictures. */
void pictures_without(struct engine *e, enum model_kind kind);
/* Forgets those answered longest ago, as far as more are remembered than may be. Frees pictures: call it where no pointer to one is held. */
void pictures_trim(struct engine *e);
void pictures_count_rate(struct engine *e);
double pictures_rate(const struct engine *e);

/* ---- engine_answers.c; the mutex is held unless said otherwise */
unsigned answers_possible(const struct engine *e);
/* The next labels without embedding into out[max]; returns how many. */
int labels_missing(struct engine *e, struct label **out, int max);
void labels_free(struct engine *e);
/* Keeps the image embedding (taken over) and scores at once when the labels are known. */
void answers_embedding(struct engine *e, struct picture *p, float *embedding, double ms, int batch);
void answers_rescore(struct engine *e, uint32_t id, uint64_t ticket); /* opens the mutex for the arithmetic */
void answers_caption(struct engine *e, struct picture *p, const struct caption *caption, double ms, int batch);
void answers_clipscore(struct engine *e, struct picture *p, const float *text);
void answers_verdicts(struct engine *e, struct picture *p, const struct verdict *verdicts, double ms);
void answers_ranking(struct engine *e, struct picture *p); /* EV_RANKING from whatever is known */
/* "A photo depicts " + caption; label in the hypothesis. The caller frees. Any thread. */
char *answers_clip_text(const char *caption);
char *answers_hypothesis(const struct engine *e, const char *label);

/* ---- engine_loader.c */
void *loader_main(void *engine);
void *loader_express_main(void *engine);

/* ---- engine_lane.c */
void *lane_main(void *lane);
bool lane_usable(const struct lane *l); /* its model is used and has not failed to open */
int lane_check(void *lane);             /* struct model_control.check */
int lane_batch(const struct lane *l);   /* the setting, or less after an out-of-memory */
/* Waits until max pictures are there, nothing more comes, a selected one is there, or GATHER_MS passed. False: look again. */
bool lane_gather(struct lane *l, enum line_name line, int max);
/* Runs n rows as one batch or, when that fails, in smaller ones; a row that fails alone fails its picture. The mutex is held before and after. */
void lane_run_rows(struct lane *l, const struct run *run, struct row *rows, int n);
void lane_record(struct lane *l, double seconds, int n);
/* Trims the cache and notes that n of run->what did not fit and next are tried; the mutex is held. */
void lane_memory_ran_out(struct lane *l, const struct run *run, int n, int next, const struct error *err);

/* ---- engine_trial.c */
void trial_serve(struct lane *l);  /* parks until the trial is over; there is one, the mutex is held */
void trial_leave(struct lane *l);  /* puts a displaced model back; no trial runs, the mutex is held */
void trial_wake(struct engine *e); /* the engine stops; the mutex is held */
void trial_join(struct engine *e); /* the controlling thread, without the mutex */

/* ---- engine_work.c; one step of work, the mutex held before and after; false: there is none */
bool work_scores(struct lane *l);
bool work_caption(struct lane *l);
bool work_nli(struct lane *l);

#endif
