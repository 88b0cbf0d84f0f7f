/* event.h - what the background tells the screen: tagged values, passed by value through one queue.
 *
 * An event belongs to whoever took it from engine_next; event_clear frees what it points to. Any thread.
 */
#ifndef CORE_EVENT_H
#define CORE_EVENT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/image.h"
#include "core/model.h"

enum event_kind {
	EV_NONE,
	EV_LIBRARY,      /* libtorch is loaded (library.version), or err: it could not be */
	EV_LOADING,      /* loading: a model is being opened; done/total bytes */
	EV_READY,        /* ready: a model can be used */
	EV_MODEL_FAILED, /* err: a model cannot be opened; the others go on */
	EV_INFO,         /* info: size, format and orientation of a picture are known */
	EV_PREVIEW,      /* preview: decoded pixels for the screen */
	EV_SCORES,       /* scores: CLIP probabilities and cosines, one per label */
	EV_TOKENS,       /* tokens: the caption so far */
	EV_CAPTION,      /* caption */
	EV_CLIPSCORE,    /* clipscore of the caption */
	EV_VERDICTS,     /* verdicts: one per label */
	EV_RANKING,      /* ranking: the labels' combined order; the last answer of a picture */
	EV_PARTIAL,      /* model, err: this model's answers about the picture do not come; those of the others do, and EV_FAILED ends it */
	EV_FAILED,       /* err: this picture, or what the first model said that failed on it (model); what was answered stays; the run goes on */
	EV_CANCELLED,    /* the picture's work was dropped by a newer epoch or a cancel */
	EV_SETTINGS,     /* settings that a lane really uses now (precision after AUTO, batch) */
	EV_ROOM,         /* the queue bound let go: pictures can be submitted again */
	EV_LADDER,       /* ladder: one step down after an out-of-memory, or all undone */
	EV_SWAPPED,   /* swapped: another model stands in the lane and answers anew; or err: it does not, and what stands there is as EV_READY says */
	EV_CANDIDATE, /* candidate: a model at hand; none: those were all */
	EV_TRIAL,     /* trial, or err: E_MEMORY when it did not fit, E_CANCELLED, … */
	EV_NOTE,      /* note: one line for the status line and the log */
};

/* In this order. */
enum ladder_step { LADDER_TRIM, LADDER_BATCH, LADDER_IMAGE, LADDER_PRECISION, LADDER_EVICT, LADDER_CPU, LADDER_UNDONE };

/* A model at hand, and what the engine's settings would hold with it in place of the one that stands in its lane. */
struct candidate {
	char *name, *path;  /* as a person calls it, and what engine_swap takes; path NULL: it cannot be used */
	char *problem;      /* why; NULL */
	const char *source; /* where it was found: "Hugging Face", "folder"; static */
	int64_t bytes;      /* of its files */
	bool in_use;        /* it stands in its lane */
	bool known;         /* what follows is */
	struct model_info info;
	struct forecast forecast; /* of the model alone */
	int64_t used, limit;      /* the most that tensors on the device would hold with it, and what cap and reserve leave */
	bool fits;
};

struct event {
	enum event_kind kind;
	uint32_t id;    /* the picture (engine_submit's id); unused for models */
	uint32_t epoch; /* the labels' epoch the answer belongs to */
	enum model_kind
		model; /* EV_LOADING, EV_READY, EV_MODEL_FAILED, EV_SETTINGS, EV_LADDER, EV_SWAPPED, EV_PARTIAL; EV_FAILED unless it is the file */
	union {
		struct {
			char version[64];
			struct device_info device;
		} library;
		struct {
			int64_t done, total;
		} loading;
		struct {
			struct model_info *info; /* owned */
			enum precision precision;
			double seconds;
		} ready;
		struct image_info info;
		struct {
			struct image image; /* owned; at most the preview size asked for */
			double decode_ms;
		} preview;
		struct {
			float *probability, *cosine; /* owned, [n] by label */
			int n;
			double ms; /* of the batch, per picture */
			int batch; /* pictures in the batch that answered */
		} scores;
		struct {
			char *text; /* owned */
			int tokens;
		} tokens;
		struct {
			struct caption caption;
			double ms;
			int batch;
		} caption;
		struct {
			float score; /* 2.5 * max(cos, 0), Hessel et al. 2021 */
		} clipscore;
		struct {
			struct verdict *verdicts; /* owned, [n] by label */
			int n;
			double ms;
		} verdicts;
		struct {
			int *order;      /* owned, [n] label indices, best first */
			float *combined; /* owned, [n] by label */
			int n;
		} ranking;
		struct really {
			enum precision precision;
			int device, batch, image_size, beams;
		} settings;
		struct {
			enum ladder_step step;
			int64_t used_before, used_after, cap; /* bytes; cap 0: none, the device itself refused */
			char *text;                           /* owned; the whole line, with before and after */
			int steps;                            /* that can be undone now */
		} ladder;
		struct {
			int batch;                             /* that ran */
			enum precision precision[MODEL_KINDS]; /* that ran, after AUTO */
			int image_size;
			int64_t peak;           /* bytes, the most that tensors held */
			int64_t held;           /* before and after a run: weights and what else stays */
			double images_per_s;    /* all models one after the other, by ms; 0 without timed passes */
			double ms[MODEL_KINDS]; /* per picture, of the median pass */
			int passes;
		} trial;
		struct {
			uint32_t *again; /* owned, [n] ids of pictures whose answers by the former model are void and come anew */
			int n;
		} swapped;
		struct candidate *candidate; /* owned */
		char *note;                  /* owned */
	};
	struct error *err; /* owned; EV_LIBRARY (failed), EV_MODEL_FAILED, EV_PARTIAL, EV_FAILED, EV_SWAPPED (failed), EV_TRIAL (failed) */
};

void event_clear(struct event *e);
void candidate_free(struct candidate *c); /* NULL is fine */
/* EV_INFO .. EV_CANCELLED: it is about the picture `id`. Of a picture's answers exactly one of EV_RANKING, EV_FAILED and EV_CANCELLED is the last. */
bool event_is_answer(enum event_kind kind);
/* Writes what is worth a line into the log, answers apart; engine_next does this for every event it hands out. */
void event_log(const struct event *e);
/* An answer's line: path, model, milliseconds, text. For whoever knows the picture's name; other events are nothing. labels (may be NULL) are used where there
 * are as many as the answer has. */
void event_log_answer(const struct event *e, const char *path, const char *const *labels, int n_labels);

#endif
