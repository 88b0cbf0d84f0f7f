/* catalog.h - the folder: its pictures, what became of each, and the order in which they are shown.
 *
 * Opening reads the first names only; a thread of the catalog reads on, and catalog_take puts what it found into the list. Nothing is stat'ed or
 * decoded: a picture is a name with a known extension. Names are bytes; whoever shows them escapes them (utf8_escape). All functions are for one
 * controlling thread; pointers to pictures hold until catalog_close or the next catalog_take.
 *
 *	struct catalog *c = catalog_open(paths, n, &err);
 *	poll(catalog_fd(c)) → if (catalog_take(c)) repaint;
 *	for (int row = top; row < catalog_rows(c); row++) show(catalog_at(c, row));
 *	if (catalog_apply(c, &event, &row) && row >= 0) repaint(row);
 */
#ifndef CORE_CATALOG_H
#define CORE_CATALOG_H

#include <stdbool.h>

#include "core/event.h"

enum picture_status {
	PICTURE_NEW, /* nothing was asked */
	PICTURE_QUEUED,
	PICTURE_WORKING, /* some of its answers are there */
	PICTURE_DONE,
	PICTURE_FAILED,      /* answers->failure says why */
	PICTURE_UNSUPPORTED, /* a picture that we cannot read, by its extension */
	PICTURE_STATUSES
};

/* What is known of one picture. Arrays are by label; an epoch says which labels, so that old ones can be dimmed. */
struct answers {
	struct image_info info; /* width 0: not known yet */
	char *caption;          /* NULL: none; grows while settled is false */
	bool settled;
	int tokens;
	float log_probability; /* mean per token of the caption */
	double caption_ms;
	int caption_batch;
	float clipscore; /* NaN: none */
	float *probability, *cosine;
	int scores_n;
	uint32_t scores_epoch;
	double scores_ms;
	int scores_batch;
	struct verdict *verdicts;
	int verdicts_n;
	uint32_t verdicts_epoch;
	double verdicts_ms;
	int *order; /* label indices, best first */
	float *combined;
	int ranking_n;
	uint32_t ranking_epoch;
	bool ranked;   /* the last answer came */
	char *failure; /* why it failed; NULL */
};

struct answers *answers_create(void);
void answers_free(struct answers *a); /* NULL is fine */
/* Takes over what an event about the picture says, with the arrays it owns (the event keeps none of them); for whoever keeps answers without a
 * catalog. Says nothing about epochs: see catalog_apply. */
void answers_take(struct answers *a, struct event *e);

struct catalog_picture {
	char *name;              /* bytes; relative to the folder, or as given in a list of files */
	struct answers *answers; /* NULL before anything is known */
	enum picture_status status;
	bool marked;
	int row; /* where it is shown; -1: filtered away */
};

enum catalog_order { CATALOG_BY_NAME, CATALOG_BY_CAPTION, CATALOG_BY_MARGIN, CATALOG_BY_DISAGREEMENT, CATALOG_ORDERS };

struct catalog;

/* One folder; or one file, whose folder is opened with that file selected; or several files as a list (then folders among them are refused). Fails
 * with E_IO (not there, no permission). */
struct catalog *catalog_open(const char *const *paths, int n, struct error *err);
void catalog_close(struct catalog *c); /* joins the scan; NULL is fine */

int catalog_fd(const struct catalog *c); /* readable when catalog_take has something to do */
bool catalog_take(struct catalog *c);    /* puts some of the found names into the list; true when rows changed or the scan ended */
bool catalog_scanning(const struct catalog *c);
const char *catalog_problem(const struct catalog *c); /* why the scan broke off; NULL when it did not */
const char *catalog_folder(const struct catalog *c);  /* bytes; "" for a list of files */
int64_t catalog_selected(const struct catalog *c);    /* id of the file that was named to open the folder, or -1 */

int catalog_rows(const struct catalog *c);  /* shown */
int catalog_total(const struct catalog *c); /* known: ids are 0 .. total - 1 and stay */
int catalog_count(const struct catalog *c, enum picture_status status);
int catalog_marked(const struct catalog *c);
uint32_t catalog_id(const struct catalog *c, int row);
const struct catalog_picture *catalog_at(const struct catalog *c, int row);
const struct catalog_picture *catalog_picture(const struct catalog *c, uint32_t id);
char *catalog_path(const struct catalog *c, uint32_t id); /* to open the file; the caller frees it */

void catalog_mark(struct catalog *c, uint32_t id, bool marked);
void catalog_set_status(struct catalog *c, uint32_t id, enum picture_status status); /* e.g. PICTURE_QUEUED when submitted */

/* Takes over what an event says about a picture, with the arrays it owns (the event keeps none of them); EV_PREVIEW's pixels are left alone. Answers
 * for labels older than the newest seen are dropped. True when something changed; *row (may be NULL) is then the row it is shown in, or -1. Rows do
 * not move: sort again to have new results counted. */
bool catalog_apply(struct catalog *c, struct event *e, int *row);

/* Another model answers (EV_SWAPPED): what the former one of that kind said goes, and the orders that followed from it. The pictures in again[n] are queued;
 * others that were done or failed at a model are new, and have to be asked again. */
void catalog_swap(struct catalog *c, enum model_kind kind, const uint32_t *again, int n);

/* Pictures without the answer in question come last, in the order of their names. Names compare naturally: "a2" before "a10". Captions
 * alphabetically, CLIP margin ascending (the undecided first), disagreement descending (the quarrels first); reverse turns that, not the place of the
 * unanswered. */
void catalog_sort(struct catalog *c, enum catalog_order order, bool reverse);
/* Shows only pictures whose name or caption contains text; ASCII case counts only when text holds a capital. NULL or "" shows all. */
void catalog_filter(struct catalog *c, const char *text);
/* The next row after `row` (before, with step -1) that is marked; wraps; -1 when there is none. */
int catalog_next_marked(const struct catalog *c, int row, int step);

int catalog_compare_names(const char *a, const char *b); /* natural order, by bytes; < 0, 0 only when equal, > 0 */
/* By extension: 1 a picture we read, 0 a picture we do not, -1 something else. */
int catalog_kind(const char *name);

#endif
