/* fake_models.h - a model library without libtorch, for tests: deterministic, fast, and as troublesome as it is told to be.
 *
 * It sees a picture's mean colour. CLIP puts pictures and texts that name "red", "green" or "blue" into one space, the captioner says "a picture that
 * is mostly red …", the NLI model compares colour words. Weights take memory on the device where a model is placed, runs take some per picture (less in
 * half precision and for smaller images, more with beams), and what goes beyond the cap or the device is refused, all to the byte. Everything is counted
 * in `fake`; its members are changed and read between fake_lock and fake_unlock, or before the engine starts.
 *
 * A model whose name has "large" in it weighs twice as much and says "a large picture …", one with "broken" is none, one with "unreadable" cannot be opened,
 * and "siglip" gives each label a probability of its own.
 *
 *	fake_reset();
 *	options.open_library = fake_open;
 */
#ifndef TESTS_SUPPORT_FAKE_MODELS_H
#define TESTS_SUPPORT_FAKE_MODELS_H

#include "core/model.h"

enum { FAKE_DIM = 8, FAKE_SEEN = 4096, FAKE_RED = 0, FAKE_GREEN = 1, FAKE_BLUE = 2 };

struct fake {
	/* orders */
	bool fail_library; /* fake_open fails */
	bool fail_open[MODEL_KINDS];
	bool hold_open[MODEL_KINDS];     /* a model is not opened until this is lifted; see fake_hold_open */
	bool hold_configure;             /* the same of models that are configured only; see fake_hold_configure */
	bool fail_place[MODEL_KINDS];    /* place fails */
	int cuda_devices;                /* that it says there are; all of device_bytes */
	bool break_device;               /* runs on a CUDA device fail with E_DEVICE until all models left it */
	int64_t device_bytes;            /* of memory; 0 = 16 GiB */
	int64_t cuda_bytes;              /* of the CUDA devices' memory; 0 = device_bytes */
	int64_t weights[MODEL_KINDS];    /* bytes in fp32; 0 = 300, 700, 400 MiB */
	int64_t activation[MODEL_KINDS]; /* bytes a run holds per picture in fp32 at the model's own size; 0 = 150, 400, 2 MiB */
	int overestimate;                /* forecasts say so many times what runs hold; 0 = once */
	bool hold[MODEL_KINDS];          /* runs stay in their first step until this is lifted, or are cancelled; see fake_release */
	bool hold_texts;                 /* the same for embed_texts alone */
	int fits[MODEL_KINDS];           /* larger batches run out of memory; 0 = all fit */
	int no_memory[MODEL_KINDS];      /* so many runs to come run out of memory, whatever they hold */
	int no_luck[MODEL_KINDS];        /* so many runs to come fail with E_MODEL */
	int slow_blue;                   /* a batch with a picture whose mean blue is this goes on until check stops it; -1 = none */
	bool hold_library;               /* fake_open does not return until this is lifted; it may be left alone with that */
	int bad_blue;                    /* a picture whose mean blue is this fails its whole batch; -1 = none */
	int steps;                       /* calls of check per run, at least 1 */
	int step_us;                     /* a step takes so long, to be looked at or to be interrupted */
	/* records */
	int opened[MODEL_KINDS], closed[MODEL_KINDS];
	int image_calls, text_calls, caption_calls, nli_calls, prepares, trims, places, evictions, tunes;
	int images, texts, captions, pairs;
	int largest[MODEL_KINDS]; /* batch */
	int smallest_failed[MODEL_KINDS];
	int provoked;                /* runs that failed because of no_memory */
	int opening, opened_library; /* calls of fake_open that wait, and that came to their end */
	int cancelled;               /* runs that check stopped */
	int holding[MODEL_KINDS];    /* runs that are held now */
	int holding_open;            /* models whose opening is */
	int holding_configure;       /* and those that wait to be configured */
	int running, most_running;   /* runs inside a step at the same time */
	int seen[FAKE_SEEN], seen_n; /* mean blue of the pictures that CLIP or the captioner took, in order */
	int64_t cap;                 /* of the CPU */
	int refused;                 /* runs and placements that found no memory */
	int image_size;              /* of the last captioner's prepare */
	struct model_tuning tuning;
	int beams;
	enum precision precision[MODEL_KINDS];
	int device[MODEL_KINDS];
};
extern struct fake fake;

extern const struct model_library fake_library;

void fake_reset(void);
void fake_lock(void);
void fake_unlock(void);
void fake_look(struct fake *out); /* a copy, to be judged without the lock: a failing assertion must not leave it locked */
const struct model_library *fake_open(void *ctx, struct error *err);
void fake_hold_library(bool hold); /* also waits until fake_open is held, or let go */
void fake_hold(enum model_kind kind, bool hold);
void fake_hold_open(enum model_kind kind, bool hold);
void fake_await_opening(void);       /* until an opening is held */
void fake_hold_configure(bool hold); /* also waits until one is held, or let go */
/* Waits until a run of that kind is held. */
void fake_await_held(enum model_kind kind);

#endif
