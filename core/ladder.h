/* ladder.h - what to try next when memory runs out: the steps in their order, as arithmetic, and the line that tells of one. Pure; any thread.
 *
 * Whoever ran out of memory says what could still be given up; the first that can be is the next step. The steps end, as each gives up something that
 * does not come back before the ladder is undone.
 *
 *	struct ladder_state state = {.batch = 8, .lower = PRECISION_BF16};
 *	struct ladder_move move;
 *	if (!ladder_next(&state, &move))
 *		... it is the picture that fails
 */
#ifndef CORE_LADDER_H
#define CORE_LADDER_H

#include <stdbool.h>

#include "core/event.h"

enum { LADDER_PARTS = 4 }; /* an image shrinks by one of so many parts of the model's own size, down to half of them */

struct ladder_state {
	int64_t cached; /* bytes that emptying the cache would give back; 0: nothing, or it was emptied since the last success */
	int batch;      /* items of the run that failed; 0: none ran: a model is being placed, or has to shrink under a cap */
	int image_size, image_own, image_step; /* in use, the model's own, changed in steps of; step 0: it cannot be changed */
	enum precision lower;                  /* takes less than the precision in use; AUTO: there is none */
	bool can_evict;                        /* another model's weights could go */
	bool can_cpu;                          /* the model stands on CUDA and may leave it */
};

struct ladder_move {
	enum ladder_step step;
	int batch;                /* LADDER_BATCH: the next to try */
	int image_size;           /* LADDER_IMAGE */
	enum precision precision; /* LADDER_PRECISION */
};

/* The next step down; false: nothing is left to give up. */
bool ladder_next(const struct ladder_state *state, struct ladder_move *out);

/* The next smaller image that a model of that own size and step can take, at least half of its own; 0: none. All in pixels. */
int ladder_image(int size, int own, int step);

/* The precision in which weights take half of what they take in `now`, on a device that offers bf16 or fp16; AUTO: none. */
enum precision ladder_precision(enum precision now, bool bf16, bool fp16);

/* What one step did, for people. */
struct ladder_line {
	const char *who; /* the lane: "captions" */
	enum ladder_step step;
	int batch;                           /* items that did not fit; 0: none ran */
	const char *items;                   /* "pictures" */
	const char *from, *to;               /* "8", "4"; NULL where the step has no such numbers */
	struct memory_reading before, after; /* of the device on which it happened */
};
/* "captions: out of memory with 8 pictures: batch 8 to 4 (1.2 GB in use, 0.1 GB cached, cap 2.0 GB; then 0.9 GB in use, 0.0 GB cached)". The caller frees. */
char *ladder_text(const struct ladder_line *line);

#endif
