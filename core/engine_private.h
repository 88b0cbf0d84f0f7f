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

#include "core/clock.h"
#include "core/device.h"
#include "core/engine.h"
#include "core/forecast.h"
#include "core/ladder.h"
#include "core/queue.h"

enum {
	PRIORITIES = ENGINE_SELECTED + 1,
	REMEMBER = 50000, /* the default of engine_options.remember */
	TEXT_BATCH = 32,  /* texts per forward pass of CLIP */
	PAIRS_MAX = 64,   /* pairs per forward pass of the NLI model */
	GATHER_MS = 20,
	TIMES = 256,     /* per lane and stage, for p50, p95 and p99 */
	SPEEDS = 8,      /* batches of which tokens_per_s is taken */
	SAMPLE_MS = 100, /* between two looks at a device's memory */
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

struct times {
	double ms[TIMES];
	int64_t count;
};

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
	unsigned lost;            /* enum answer bits that do not come, because a model failed on it */
	struct error *failure;    /* why, of the first model that failed: `failed_model` */
	enum model_kind failed_model;
	unsigned later; /* bit per line that it joins at `due`: tried again after a failure that was not its own */
	double due;
	int tries;
	struct node waiting;    /* while later is not 0 */
	struct picture *bucket; /* next with the same hash */
	struct node all;        /* in the order submitted */
	struct node known;      /* answered pictures, longest ago first */
	bool is_known;
};

struct picture_list {
	struct picture *first, *last;
};

struct label {
	char *text;
	float *embedding; /* [embed_size]; set under the mutex, then only read; freed by the lane that reads it */
	bool failed;
	struct label *bucket;
};

enum { LABEL_BUCKETS = 1024 };

/* What the ladder took from a lane; all zero: nothing. */
struct steps_down {
	int batch; /* most items per run: pictures, of the NLI model pairs; 0: as set */
	int texts; /* the same of CLIP's texts */
	int image_size;
	enum precision precision; /* AUTO: as set */
	bool cpu;
	bool evicted; /* it had to go; that was told */
	bool alone;   /* no other model runs on the device meanwhile: there is no memory for two runs at a time */
};

/* Where a model stands, as place was asked. */
struct place {
	int device;
	enum precision precision;
};

struct lane {
	struct engine *engine;
	enum model_kind kind;
	pthread_t thread;
	pthread_cond_t wake; /* work, settings, a wish to leave, or stop */
	pthread_cond_t turn; /* our turn came, the batch was dropped, or memory became free */
	struct model *model; /* set before ready; NULL again while another takes its place */
	char *dir;           /* NULL: not used */
	char *swap;          /* what is to take its place, or is about to; NULL: nothing */
	bool used, ready, failed, busy;
	bool may_come;     /* there was no memory to open it; a change of settings tries again */
	int reserved;      /* pictures that loaders are preparing for this lane */
	int rows, live;    /* of the running batch; live: whose tickets are good */
	bool waiting;      /* for its turn */
	int passed_over;   /* how often another lane went first since ours last did */
	int shown_percent; /* of opening, last told */

	bool dirty;         /* settings or the ladder changed since they were applied */
	bool applies;       /* it is at that */
	int wish;           /* settings.device as last judged, */
	int home;           /* and what it came to */
	struct place asked; /* what place was last asked for, */
	int device;         /* and where the model is */
	enum precision precision;
	struct model_tuning tuning; /* as last applied, when tuned */
	bool tuned;

	bool parked;        /* serves a trial, see engine_trial.c, as all that follows until displaced */
	bool stays_evicted; /* it was, before */
	struct place away;  /* where the trial put the model, */
	struct place back;  /* and where it goes afterwards */
	bool displaced;     /* it stands there, though asked and device say otherwise */

	struct steps_down down;
	bool evicted;  /* its weights are not there */
	int64_t freed; /* the engine's count when it last asked for memory */
	int64_t seen;  /* and that of changes */
	bool moves;    /* its weights are being read, to where asked says: it may hold memory already */
	bool leave;    /* another lane needs the room: to be evicted as soon as no batch runs */
	bool trimmed;  /* the cache was emptied since the last run that went well */
	bool awaits;   /* waits until another lane is no longer hungry */
	bool running;  /* inside a call of the library, also while it waits for its turn there */
	bool beside;   /* another run was on the device during this one */
	int attempt;   /* items in the running call; 0: it did not come to that */
	int largest;   /* of those calls, in the running batch */
	int longest;   /* tokens of its captions; 0: unknown */
	int timely;    /* largest batch after one that took longer than the deadline; 0: no limit known */

	double began, waited; /* the running call; seconds of it that went by waiting for a turn */
	double progress;      /* when check was last called; 0: nothing runs */
	double deadline;      /* of the running call, seconds; 0: none */
	bool late;            /* it was stopped for that */

	int batch; /* of the running or last run */
	int64_t done, tokens;
	struct times times;
	int token_count[SPEEDS]; /* of the last batches, and the seconds they took */
	double token_seconds[SPEEDS];
	int64_t speeds;
	int embed_size;
	bool sigmoid; /* as model_info and the library say of its scores, so that nobody has to ask a model that is about to go */
	float logit_scale, logit_bias;
	int64_t parameters, weight_bytes, weight_held;
	int64_t peak;                    /* so far in the running batch; guarded by `account` */
	int64_t last_peak;               /* of the last one */
	bool metered;                    /* a batch runs whose peak is kept, */
	int metered_on;                  /* on that device; both guarded by `account` */
	int64_t used_before, used_after; /* of that device; the lane's own */
};

/* A device that models stand on, or did. */
struct watched {
	bool known;
	struct device_info info;
	struct memory_reading memory; /* last sample */
};

struct opener; /* engine_opener.c */

struct engine {
	pthread_mutex_t lock;
	/* Held, instead of `lock` and never inside it, while the library is told a cap or asked for a peak, so that the last to come tells the newest. */
	pthread_mutex_t account;
	struct queue events;
	int remember;
	char *hypothesis;
	struct image_limits limits;
	bool force_cuda;

	const struct model_library *library;
	bool started, stop;
	struct opener *opener;
	pthread_t keeper, loader[LOADERS_MAX];
	pthread_cond_t keep; /* the keeper has something to do */
	int loaders, loaders_running;
	int opening;           /* the lane whose turn it is to open its model; MODEL_KINDS: all did; -1: no library yet */
	pthread_cond_t opened; /* opening changed, or stop, or the last loader left */
	pthread_cond_t load;   /* a loader may find work */
	struct lane lane[MODEL_KINDS];
	int turn; /* the lane that may compute on the CPU, or -1 */

	struct engine_settings settings;
	int preview_width, preview_height;
	bool peaks_begin;                      /* settings changed: PEAK_CHANGE is to begin anew */
	struct watched watch[DEVICE_MOST + 1]; /* [device + 1] */
	char *device_note;                     /* last told about a device that is not there */

	struct forecast_learned learned;

	int64_t freed;       /* how often weights were freed or moved: what found no memory before may find it now */
	int64_t changes;     /* how often settings changed, or steps down were undone */
	int steps;           /* down the ladder, that can be undone */
	struct lane *hungry; /* needs the memory of a device for itself, and is not done: nobody comes back or runs there meanwhile */
	struct lane *last_hungry;
	int hungry_on;      /* that device */
	bool device_failed; /* a CUDA context broke: all go to the CPU */

	struct survey *survey; /* looks at the models at hand, see engine_survey.c; of the controlling thread */

	struct trial *trial; /* runs: lanes park, loaders make previews only */
	pthread_t trial_thread;
	bool trial_joinable; /* of the controlling thread */

	struct picture **buckets;
	size_t bucket_count;
	size_t pictures;
	struct picture_list all, known, later;
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
	bool full; /* the queue bound refused a picture, and EV_ROOM is owed */
	int64_t submitted, answered, failed, cancelled, retried;
	struct times decode, prepare;
	int64_t rate[RATE_SLOTS]; /* answered, by slot of time */
	int64_t rate_slot;        /* the newest slot's number */
	double busy_since, worked;
};

/* A picture in a batch: by id and ticket, with what the model needs. */
struct row {
	uint32_t id;
	uint64_t ticket;
	struct pixels pixels; /* owned */
	char *text;           /* owned: premise or caption; for tokens the last text told */
	struct label *label;  /* borrowed; rows that embed labels belong to no picture */
};

/* How a batch is run by lane_run_rows. */
struct run {
	enum line_name line; /* the rows were taken from it; LINES: labels */
	const char *what;    /* what does not fit when memory runs out: "pictures" */
	bool texts;          /* CLIP's: their number has nothing to do with that of pictures */
	/* Runs the model and hands out the results; called without the mutex. Sets attempt to the number of items before each call of the library. */
	int (*call)(struct lane *l, struct row *rows, int n, struct error *err);
};

/* ---- engine.c; with or without the mutex */
void engine_emit(struct engine *e, struct event *event);
void engine_note(struct engine *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Starts a thread that no signal disturbs; ends the program when there can be none. */
void engine_thread(pthread_t *thread, void *(*run)(void *), void *arg);
void engine_condition(pthread_cond_t *condition); /* on the monotonic clock */

/* ---- engine_opener.c */
/* On a thread of its own: loads the library and hands it to the engine. Loading cannot be stopped, so the thread can be left alone with it. */
void opener_create(struct engine *e, const struct engine_options *options);
void opener_start(struct engine *e);
void opener_leave(struct engine *e); /* without the mutex, at the engine's end: joins it, or leaves it to itself */

/* ---- engine_settings.c; the mutex is held unless said otherwise */
int settings_check(const struct engine_settings *s, struct error *err); /* any thread */
int64_t settings_cap_of(const struct engine *e, int device);            /* bytes; 0: none */
/* Tells the library what the settings allow on that device, or leaves that to the last lane that comes under it. Without the mutex. */
void settings_cap(struct engine *e, int device);
/* The lane looks at settings and ladder before its next batch; MODEL_KINDS: all do. */
void settings_dirty(struct engine *e, int kind);
void settings_prepare_anew(struct engine *e);    /* the size changed: what was prepared in another goes back to the loaders, in its order */
int settings_image_size(const struct engine *e); /* of the captioner after the ladder; 0: its own */
void settings_undo_ladder(struct engine *e);     /* all steps down: lanes and loaders go back to what is set */

/* ---- engine_status.c */
void *keeper_main(void *engine);                 /* samples memory, and brings back pictures that wait to be tried again */
void status_watch(struct engine *e, int device); /* without the mutex: learns to know the device, takes a sample */
void times_add(struct times *times, double ms);  /* the mutex is held */
/* The most that is used on the lane's device from here on; without the mutex. */
void meter_begin(struct lane *l);
void meter_end(struct lane *l);

/* ---- engine_forecast.c; the mutex is held */
void forecast_from_run(struct lane *l, const struct run *run); /* a run went well: what it held teaches the forecast */
/* What the settings would hold with m in place of the model in its lane; takes forecast, used, limit, fits. */
void forecast_candidate(struct engine *e, const struct model *m, struct candidate *c);

/* ---- engine_pictures.c; the mutex is held */
extern const unsigned line_lane[LINES]; /* the kind of model that serves the line; MODEL_KINDS: loaders do */
void picture_list_append(struct picture_list *list, struct picture *p, size_t offset); /* offset: of the node within struct picture */
void picture_list_remove(struct picture_list *list, struct picture *p, size_t offset);
struct picture *picture_find(struct engine *e, uint32_t id);
struct picture *picture_add(struct engine *e, uint32_t id, const char *path);
void picture_free(struct engine *e, struct picture *p);
void picture_select(struct engine *e, struct picture *p);
void picture_move(struct engine *e, struct picture *p, enum engine_priority priority);
void picture_know(struct engine *e, struct picture *p, bool known); /* in or out of the list of answered pictures */
void picture_forget(struct engine *e, struct picture *p);           /* what the models said of it, so that it can be asked anew */
void line_join(struct engine *e, struct picture *p, enum line_name line, bool front);
struct picture *line_head(const struct line *line);
struct picture *line_next(const struct line *line, const struct picture *p, enum line_name name);
struct picture *line_tail(const struct line *line);
/* Out of the line, with a ticket. */
uint64_t picture_take(struct engine *e, struct picture *p, enum line_name line);
/* The picture if the ticket is good, which is then used up; else NULL. */
struct picture *picture_return(struct engine *e, uint32_t id, enum line_name line, uint64_t ticket);
bool picture_wanted(struct engine *e, uint32_t id, enum line_name line, uint64_t ticket);
/* Out of the line and void: neither waiting, nor to be tried again, nor wanted from whoever works on it. */
void picture_drop(struct engine *e, struct picture *p, enum line_name line);
void picture_stop(struct engine *e, struct picture *p); /* the same for all lines but the preview's */
void picture_release(struct engine *e, struct picture *p);
/* Forgets those answered longest ago, as far as more are remembered than may be. Frees pictures: call it where no pointer to one is held. */
void pictures_trim(struct engine *e);

/* ---- engine_endings.c; the mutex is held */
/* Anew: all answers that the usable models can give. */
void picture_begin(struct engine *e, struct picture *p);
/* The labels changed: what depends on them is done again from what is known. p may be gone afterwards. */
void picture_refresh(struct engine *e, struct picture *p);
/* Another model took the lane: what the former one said of all pictures is void and is asked anew. Returns the ids of those, malloc'd, [*n]. */
uint32_t *pictures_anew(struct engine *e, enum model_kind kind, int *n);
/* Stops the lane's batch: its pictures stand in line again, for when the lane goes on. */
void pictures_take_back(struct engine *e, enum model_kind kind);
/* Tries it again, from that line on, after settings.retry_delay; false: it was tried often enough, or err is its own fault. */
bool picture_retry(struct engine *e, struct picture *p, enum line_name line, const struct error *err);
/* Those whose time has come join their lines; seconds until the next one, or less than 0. */
double pictures_due(struct engine *e);
/* An answer is there (bits may be 0); the last one ranks the labels and ends the picture. p may be gone afterwards. */
void picture_settle(struct engine *e, struct picture *p, unsigned answers);
/* It ends here and now, whatever else was to come. p may be gone afterwards. */
void picture_fail(struct engine *e, struct picture *p, const struct error *err);
/* A model failed on it: those answers do not come. The others go on; with none to come it ends. p may be gone afterwards. */
void picture_lose(struct engine *e, struct picture *p, enum model_kind kind, unsigned answers, const struct error *err);
/* Drops all work; EV_CANCELLED unless quiet. p may be gone afterwards. */
void picture_cancel(struct engine *e, struct picture *p, bool quiet);
unsigned answers_of(enum model_kind kind); /* what is lost without that model */
/* The lane can answer no more: its answers are taken off all pictures. */
void pictures_without(struct engine *e, enum model_kind kind);
int pictures_waiting(struct engine *e); /* for answers, the selected one apart */
void pictures_room(struct engine *e);   /* EV_ROOM, if there is room again */
void pictures_count_rate(struct engine *e);
double pictures_rate(const struct engine *e);

/* ---- engine_answers.c; the mutex is held unless said otherwise */
unsigned answers_possible(const struct engine *e);
/* The next labels without embedding into out[max]; returns how many. */
int labels_missing(struct engine *e, struct label **out, int max);
void labels_forget(struct engine *e); /* the embeddings; on CLIP's lane */
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

/* ---- engine_lane.c; the mutex is held before and after */
extern const char *const lane_name[MODEL_KINDS];
void *lane_main(void *lane);
bool lane_usable(const struct lane *l); /* its model is used and has not failed to open */
int lane_batch(const struct lane *l);   /* pictures of a batch: the setting, or less after steps down and late answers */
int lane_forward(const struct lane *l); /* of those, in one forward pass */
bool lane_has_work(const struct lane *l);
void lane_fail(struct lane *l, const struct error *err);
void lane_tell(struct lane *l); /* EV_SETTINGS */
/* Where settings and ladder want the model. */
struct place lane_target(const struct lane *l);
/* Brings the model there, down the ladder if it must. -1: it cannot run. */
int lane_place(struct lane *l, struct error *err);
/* struct model_control.check while weights are read: nothing but the end of all is a reason to stop. Without the mutex. */
int lane_check_stop(void *lane);
/* The weights as they stand now. */
void lane_weigh(struct lane *l);
/* Opens the model in dir, down the ladder if it must, and tells that it is ready. -1: err says why. */
int lane_open(struct lane *l, struct error *err);
/* The same, and tells if it fails. */
void lane_reopen(struct lane *l);

/* ---- engine_swap.c; the mutex is held before and after */
void lane_swap(struct lane *l); /* there is a wish */

/* ---- engine_survey.c */
void survey_leave(struct engine *e); /* the controlling thread, without the mutex, at the engine's end */

/* ---- engine_turns.c; the mutex is held unless said otherwise */
int lane_check(void *lane);              /* struct model_control.check; without the mutex */
bool lane_dropped(const struct lane *l); /* nobody wants its running batch any more */
void turn_wait(struct lane *l);
void turn_leave(struct lane *l);
void turn_room(struct engine *e); /* memory became free, or who waits for it has to look again */

/* ---- engine_run.c; the mutex is held before and after */
/* Waits until max pictures are there, nothing more comes, a selected one is there, or GATHER_MS passed. False: look again. */
bool lane_gather(struct lane *l, enum line_name line, int max);
/* Runs n rows, taken as one batch, in forward passes of at most lane_forward, and in smaller ones or down the ladder when that fails; a row that fails alone
 * fails its picture. */
void lane_run_rows(struct lane *l, const struct run *run, struct row *rows, int n);

/* ---- engine_ladder.c; the mutex is held before and after */
/* One step down after the lane found no memory on the device: with n items of run (NULL, 0: while placing its weights). False: none is left, and err says
 * what is needed. */
bool ladder_down(struct lane *l, int device, const struct run *run, int n, struct error *err);
/* The weights on the lane's device come under a lowered cap. */
void ladder_shrink(struct lane *l);
/* An evicted model's weights would fit as far as can be told, and nobody else needs the room. */
bool ladder_has_room(struct lane *l);
/* Gives up the weights for another lane's sake. */
void ladder_leave(struct lane *l);
/* The lane got what it evicted others for, or gave up: they may come back. */
void ladder_rest(struct lane *l);
/* Until nobody else needs all memory of the device; if this one does, until it has it. The model may be evicted meanwhile. */
void ladder_await(struct lane *l, int device);
/* All steps are forgotten and models go back to where settings want them. */
void ladder_reset(struct engine *e);
/* A CUDA device broke under the lane; true: its model goes to the CPU, and what ran is to be run again. False: the model has to fail, err says why. */
bool ladder_device_failed(struct lane *l, struct error *err);

/* ---- engine_trial.c */
void trial_serve(struct lane *l);  /* parks until the trial is over; there is one, the mutex is held */
void trial_leave(struct lane *l);  /* puts a displaced model back; no trial runs, the mutex is held */
void trial_wake(struct engine *e); /* the engine stops; the mutex is held */
/* The settings whose caps hold now: a trial's or the engine's own; the mutex is held. */
const struct engine_settings *trial_caps(const struct engine *e);
void trial_join(struct engine *e); /* the controlling thread, without the mutex */

/* ---- engine_work.c; one step of work, the mutex held before and after; false: there is none */
bool work_scores(struct lane *l);
bool work_caption(struct lane *l);
bool work_nli(struct lane *l);

#endif
