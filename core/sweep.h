/* sweep.h - a grid of batch x precision (x image size), each cell really run: what fits, how fast, what it holds; the best, the Pareto front, CSV.
 *
 * A row is a precision and an image size, a column a batch. Small batches run first, row after row, so that every row shows something soon; where a batch
 * did not fit, the larger ones of its row are not run and stand as not fitting (skipped). Pure but for sweep_write_csv; one thread at a time.
 *
 *	struct sweep sweep;
 *	struct sweep_axes axes = {.batch = {1, 2, 4, 8}, .batches = 4, .precision = {PRECISION_FP32, PRECISION_BF16}, .precisions = 2};
 *	if (sweep_begin(&sweep, &axes, err) < 0) ...
 *	while ((cell = sweep_next(&sweep)) >= 0) {
 *		trial.settings = sweep_settings(&sweep, cell, &settings);
 *		if (engine_try(engine, &trial, paths, n, &err) < 0) { sweep_cancel(&sweep); break; }
 *		... event = the EV_TRIAL that comes
 *		sweep_answer(&sweep, cell, &event);      E_CANCELLED cancels the whole
 *		... sweep_at(&sweep, row, column) to draw; sweep_finished(&sweep) of sweep.cells
 *	}
 *	best = sweep_best(&sweep, forecast.limit);
 *	settings = sweep_settings(&sweep, best, &settings);
 *	sweep_free(&sweep);
 */
#ifndef CORE_SWEEP_H
#define CORE_SWEEP_H

#include <stdbool.h>

#include "core/event.h"
#include "core/mem.h"

struct engine_settings;

enum { SWEEP_BATCHES = 12, SWEEP_IMAGE_SIZES = 8 }; /* the most of each */

enum sweep_state {
	SWEEP_WAITING,
	SWEEP_RUNNING,
	SWEEP_FITS,      /* images_per_s, peak, held, ms, precision */
	SWEEP_NO_FIT,    /* out of memory, cap or reserve (why), or skipped */
	SWEEP_FAILED,    /* another error (why); larger ones of the row are run all the same */
	SWEEP_CANCELLED, /* not run to its end */
};

struct sweep_axes {
	int batch[SWEEP_BATCHES], batches;
	enum precision precision[PRECISIONS];
	int precisions;                            /* 0: one row with every model at its own setting */
	int image_size[SWEEP_IMAGE_SIZES], images; /* pixels, 0 = the model's own; images = 0: as the settings have it */
};

struct sweep_cell {
	int batch;
	enum precision precision; /* asked for; PRECISIONS: as the settings have it */
	int image_size;           /* asked for; -1: as the settings have it */
	enum sweep_state state;
	bool skipped; /* not run, because a smaller batch of the row did not fit */
	double images_per_s;
	int64_t peak, held; /* bytes */
	double ms[MODEL_KINDS];
	enum precision ran[MODEL_KINDS]; /* after AUTO */
	int ran_image_size;
	char why[256]; /* one line; empty unless SWEEP_NO_FIT (not skipped) or SWEEP_FAILED */
};

struct sweep {
	int rows, columns, cells; /* cells = rows * columns */
	struct sweep_cell *cell;  /* owned; [rows][columns], batches ascending */
	bool cancelled;
};

/* Fills *s, all cells waiting. Axes are sorted (batches, image sizes) and freed of doubles; precisions keep their order. -1 with E_USAGE when an axis is
 * out of range or there is no batch; *s is then empty. Free with sweep_free, also before beginning anew. */
int sweep_begin(struct sweep *s, const struct sweep_axes *axes, struct error *err);
void sweep_free(struct sweep *s); /* a zeroed one is fine */

/* The cell to run now, which stands as running until answered; the same one again while it does. -1: nothing is left. */
int sweep_next(struct sweep *s);
/* `base` with the cell's batch, precision and image size. */
struct engine_settings sweep_settings(const struct sweep *s, int cell, const struct engine_settings *base);
/* What became of it: event is the EV_TRIAL (borrowed). A cell that is not running takes no answer. */
void sweep_answer(struct sweep *s, int cell, const struct event *event);
/* What has run stays; what waits or runs is cancelled, and sweep_next has nothing more. */
void sweep_cancel(struct sweep *s);

struct sweep_cell *sweep_at(const struct sweep *s, int row, int column);
int sweep_finished(const struct sweep *s); /* cells that neither wait nor run; of s->cells */

/* Of the cells that fit with a peak of at most limit bytes (0: any): the most images/s, of equals the one with the smaller peak, then the smaller
 * batch. -1: none. */
int sweep_best(const struct sweep *s, int64_t limit);
/* No other cell that fits is at least as fast with at most its peak and better in one of the two. */
bool sweep_is_pareto(const struct sweep *s, int cell);

/* "vramble caption --batch 8 --precision bf16 --image-size 384" and `rest` (may be NULL: " --beams 3 FILE…" without its blank). subcommand NULL: the
 * screen. The caller frees. */
char *sweep_command(const struct sweep *s, int cell, const char *subcommand, const char *rest);

/* "fp32 384px", for a row's head: what tells the rows apart. Returns out. */
const char *sweep_row_name(const struct sweep *s, int row, char out[32]);
const char *sweep_state_name(enum sweep_state state); /* "fits", "does not fit", … */

/* A header and a row per cell, as RFC 4180 has it (CRLF, quotes doubled), appended to out. limit: for the column "best". Numbers that a cell has not are
 * empty. */
void sweep_csv(const struct sweep *s, int64_t limit, struct buffer *out);
/* The same into a file, whole or not at all: written beside it, then renamed, so that a full disk or an unwritable folder (E_IO) leaves what was there as
 * it was. What is no regular file (a pipe, /dev/stdout) is written in place. */
int sweep_write_csv(const struct sweep *s, int64_t limit, const char *path, struct error *err);

#endif
