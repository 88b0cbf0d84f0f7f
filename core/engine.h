/* engine.h - the background: every thread but the screen's.
 *
 *   engine_submit -> jobs (the selected picture jumps ahead) -> loaders: decode, EV_PREVIEW, prepare for each model -> each lane's ready queue
 *   lane, one thread per model: gather up to `batch` pictures or 20 ms -> run -> events
 *   engine forwards a caption to the CLIP lane (CLIPScore) and the NLI lane (premise), and combines -> EV_RANKING
 *   events + a pipe -> the one poll loop of the screen
 *
 * All functions are for one controlling thread (the screen's) unless they say otherwise; none of them waits for a lane, a loader or a file, but
 * engine_destroy, which cancels and joins. Results travel by value in events and are dropped when their epoch is stale.
 *
 *	struct engine *e = engine_create(&options, &err);
 *	engine_set_labels(e, labels, n);
 *	engine_submit(e, 0, "boat.jpg", ENGINE_SELECTED);
 *	poll(engine_fd(e)) ...
 *	while (engine_next(e, &event)) { ...; event_clear(&event); }
 *	engine_destroy(e);
 */
#ifndef CORE_ENGINE_H
#define CORE_ENGINE_H

#include <stdbool.h>

#include "core/event.h"

enum { ENGINE_MAX_BATCH = 256, ENGINE_MAX_LABELS = 1000, ENGINE_MAX_BEAMS = 16, ENGINE_MAX_IMAGE = 4096 };

/* Changed live; a lane takes a snapshot between two batches. All zero but batch and beams is a good beginning (engine_settings_default). */
struct engine_settings {
	int batch; /* pictures gathered for a run, 1..ENGINE_MAX_BATCH */
	int slice; /* pictures per forward pass within a batch; 0 = all at once */
	enum precision precision[MODEL_KINDS];
	int device[MODEL_KINDS]; /* DEVICE_CPU, a CUDA ordinal or DEVICE_AUTO (core/device.h); changed live, the model moves */
	int image_size;          /* of the captioner's input, pixels; 0 = the model's own */
	int beams;               /* 1 = greedy, up to ENGINE_MAX_BEAMS */
	int64_t cap;             /* bytes that tensors may hold on each device; 0 = none */
	int cap_percent;         /* of the device's memory, 1..100, where cap is 0; 0 = none */
	int reserve;             /* percent of the device that recommendations and fit keep free, 0..90 */
	uint64_t seed;
	bool deterministic, benchmark;
	int threads;        /* intra-op; 0 = CPUs we may use */
	int retries;        /* of a picture that failed for another reason than itself, 0..100 */
	double retry_delay; /* seconds, 0..3600 */
	double deadline;    /* seconds that decoding a picture, or one model's answer about it, may take, to 10^6; 0 = any time */
	int queue;          /* pictures that may wait for answers, the selected one apart; 0 = any number */
	bool empty_cache;   /* after each batch */
};
/* batch 4, 5 beams, reserve 15 %, seed 42, all else off; models on `device`. */
struct engine_settings engine_settings_default(int device);

struct engine_options {
	/* Opens the model library (dlopen); called on the engine's opening thread after engine_start. */
	const struct model_library *(*open_library)(void *ctx, struct error *err);
	void *ctx;
	char *model_dir[MODEL_KINDS];      /* borrowed until engine_create returns; NULL: this model is not used */
	int loaders;                       /* decoding threads; 0 = choose */
	int remember;                      /* answered pictures whose embedding and caption are kept for new labels; 0 = 50,000 */
	int preview_width, preview_height; /* pixels; previews are no larger; 0 = no previews */
	bool force_cuda;                   /* nothing may stand on the CPU: a model that cannot be on CUDA fails with the reason */
	const char *hypothesis;            /* NLI template with one {}; NULL = "This example is {}." */
	struct engine_settings settings;
	struct image_limits limits;
};

struct engine;

/* Makes the engine; no thread runs and no library is opened before engine_start. NULL with err when a setting is out of range. */
struct engine *engine_create(const struct engine_options *options, struct error *err);
void engine_start(struct engine *e);   /* call after the first frame is painted */
void engine_destroy(struct engine *e); /* cancels, joins all threads; within 100 ms at batch 1. NULL is fine */

int engine_fd(const struct engine *e);                 /* readable when events wait */
bool engine_next(struct engine *e, struct event *out); /* takes one event; false when there is none (and then the pipe is drained) */

enum engine_priority {
	ENGINE_BACKGROUND, /* the folder, in the order submitted */
	ENGINE_NEAR,       /* a neighbour of the selection: preview soon */
	ENGINE_SELECTED,   /* now: ahead of all others, in decode and in every lane */
};
enum engine_work { ENGINE_PREVIEW = 1, ENGINE_ANSWERS = 2 };

/* Asks for work on a picture (path bytes are copied). False: refused, because settings.queue pictures wait already; nothing changed, EV_ROOM comes when
 * there is room again. A selected picture is never refused. Asking again for what is queued moves it; for what is done does it anew. There is one selected
 * picture: selecting another makes the former one ENGINE_NEAR. Answers end with exactly one of EV_RANKING, EV_FAILED and EV_CANCELLED; where no model
 * is used or none could be opened they fail. Where one model fails on a picture (EV_PARTIAL) the answers of the others come all the same, and EV_FAILED
 * is the last. Pictures whose models are still being opened wait for them; previews do not. */
bool engine_submit(struct engine *e, uint32_t id, const char *path, enum engine_priority priority, int work);
/* Drops queued and running work of one picture, or of all (EV_CANCELLED for each that had answers pending). What is known of it stays known. */
void engine_cancel(struct engine *e, uint32_t id);
void engine_cancel_all(struct engine *e);
/* Forgets all pictures, e.g. because another folder gives the ids a new meaning: work, image embeddings, waiting events. No event about a picture
 * that was submitted before comes after this. The counters of engine_status go on; what was pending counts as cancelled. */
void engine_forget(struct engine *e);
void engine_set_preview_size(struct engine *e, int width, int height);

/* New labels: text embeddings of labels that were there before are kept; pictures with known image embeddings are scored again at once without
 * touching the picture, those with captions are verified again (`first` before all others). Returns the new epoch, which the answers carry. */
uint32_t engine_set_labels(struct engine *e, const char *const *labels, int n, uint32_t first);
int engine_set_settings(struct engine *e, const struct engine_settings *settings, struct error *err); /* from the next batch on */
struct engine_settings engine_get_settings(const struct engine *e);

/* Running out of memory is answered step by step (EV_LADDER each): a smaller batch, a smaller image, a lower precision, the model not in use evicted, the
 * CPU. What the steps changed shows in engine_status; the settings asked for stay as they are. Undoing tries them again, from the next batch on; also
 * a change of a setting that memory depends on does, but for a lower cap. False: there was nothing to undo. */
bool engine_undo_ladder(struct engine *e);

/* What the settings would hold on the device on which most models stand: models used, their weights, and the most that one run holds (those of a CPU take
 * turns). Corrected by what was measured. False while no model is open. Never waits for a lane. */
struct engine_forecast {
	struct forecast model[MODEL_KINDS]; /* corrected */
	int64_t used;                       /* the most that tensors will hold at once */
	double correction[MODEL_KINDS];     /* measured by predicted activations so far; 1: nothing measured yet */
	int64_t limit;                      /* what cap and reserve leave for it */
	bool fits;
};
bool engine_forecast(struct engine *e, const struct engine_settings *settings, struct engine_forecast *out);

/* A trial: really runs the models (bits by kind) as `settings` say over pictures of the given paths (the first 64 that can be read, repeated when they are
 * fewer than the batch) and tells with EV_TRIAL what it held and how fast it went. Running out of memory, or into the reserve, is its answer (E_MEMORY): the
 * ladder has no part in it. Ordinary work waits meanwhile, previews apart; before it goes on the engine's own settings hold again, whatever happened.
 * One at a time: -1 while one runs, while a used model is being opened, or when settings are out of range. */
struct engine_trial {
	struct engine_settings settings;
	unsigned models; /* 1 << kind; 0: all that are used */
	int passes;      /* timed runs after the first; 0: just the first, to see whether it fits */
};
int engine_try(struct engine *e, const struct engine_trial *trial, const char *const *paths, int n, struct error *err);
void engine_try_cancel(struct engine *e); /* EV_TRIAL with E_CANCELLED comes; nothing when none runs */

/* Another model takes the place of the one in its lane, or an empty place, between two batches: the old one is freed first, then the new one opened, and all
 * that is remembered is answered anew as far as it is about that model (EV_LOADING …, EV_READY, EV_SWAPPED). Answers of the others stay, but for what follows
 * from its own. When it cannot be used EV_SWAPPED says why, and the old one is there as before; where it had to go for that it is opened again. dir is
 * copied. -1: not now, because models are being opened or a trial runs. */
int engine_swap(struct engine *e, enum model_kind kind, const char *dir, struct error *err);

/* Looks at the models at hand without loading them: EV_CANDIDATE for each, and one without a candidate at the end. bundled: the folder of the models that come
 * with vramble, or NULL; then those in the caches, those in use, and those beside them in a folder. With a name: just that one. One at a time: -1 while one runs,
 * or before EV_LIBRARY. */
int engine_survey(struct engine *e, const char *bundled, const char *name, struct error *err);

/* One consistent look at the state, for a frame. Never waits for a lane. */
struct lane_status {
	bool used, ready, busy, failed;
	int queued;                    /* pictures waiting for this lane */
	int batch;                     /* of the running or last run */
	int64_t done;                  /* pictures answered */
	double p50_ms, p95_ms, p99_ms; /* per picture, over the last 256 */
	int64_t weight_bytes;          /* of the weights in the precision in use */
	int64_t weight_held;           /* of those, in memory that memory_reading counts as used; the rest is mapped from the file */
	enum precision precision;      /* in use */
	int device;                    /* on which it stands */
	bool evicted;                  /* its weights were freed by the ladder; they come back when it is needed */
	int64_t tokens;                /* generated by the captioner */
	double tokens_per_s;           /* over the last batches; 0 unknown */
	int64_t last_peak;             /* bytes, the most that was used during its last batch, all models together */
	double stalled_s;              /* a batch has been running without a sign of progress for so long; 0: all is well */
};
struct stage_status {
	int64_t done;
	double p50_ms, p95_ms, p99_ms; /* over the last 256 */
};
struct ladder_status {
	int steps;          /* that can be undone */
	int batch;          /* in use after them; as set when there are none */
	int image_size;     /* the same */
	bool device_failed; /* the CUDA context broke; all stand on the CPU */
};
struct device_status {
	int device;
	char name[96];
	struct memory_reading memory;
};
struct engine_status {
	struct lane_status lane[MODEL_KINDS];
	struct stage_status decode, prepare; /* loaders, per picture */
	struct ladder_status ladder;
	bool full;         /* the queue bound refuses pictures */
	bool trial;        /* one runs; ordinary work waits */
	int jobs;          /* pictures waiting for a loader */
	int pending;       /* pictures with answers to come */
	int refreshing;    /* answered pictures whose answers to newer labels are to come */
	int64_t submitted; /* = answered + failed + cancelled + pending */
	int64_t answered, failed, cancelled, retried;
	double images_per_s;                      /* over the last 5 s of work; 0 when idle */
	double images_per_s_overall;              /* answered by seconds of work since the start */
	bool library;                             /* libtorch is loaded */
	int devices;                              /* on which models stand, or will */
	struct device_status device[MODEL_KINDS]; /* [devices], that of most models first; sampled by a thread of its own, so never stale by much */
};
void engine_status(struct engine *e, struct engine_status *out);
/* The engine's library once EV_LIBRARY came, else NULL; for `info` and the trainer's kin. */
const struct model_library *engine_library(struct engine *e);

#endif
