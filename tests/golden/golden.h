/* golden.h - the runner that holds our numbers against a reference's: inside it.
 *
 * A fixture is one JSON file: an architecture, a config, the rule by which its weights are made, and cases with inputs and expected results. Each kind of
 * fixture is one row of the table in golden.c: a function that recognises it by its content and one that runs it. A run opens cases, compares arrays in
 * them and closes them; a closed case is one printed line. Weights are written as a model directory and read back by the loader the program itself uses.
 *
 *	static void run_case(struct golden *g, const struct my_net *net, const json_t *node)
 *	{
 *		struct golden_case c = golden_begin(g, golden_name(node));
 *		const json_t *expected = json_object_get(node, "expected");
 *
 *		tt_tensor *logits = ...;
 *		golden_compare_tensor(&c, GOLDEN_VALUES, json_object_get(expected, "logits"), "logits", work, logits);
 *		golden_end(&c);
 *	}
 *
 * Threads: one. Ownership: json values are borrowed from the fixture, which stays open for the whole run.
 */
#ifndef TESTS_GOLDEN_H
#define TESTS_GOLDEN_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "core/error.h"
#include "core/model.h"
#include "models/nn.h"

/* ---- one fixture ---- */

struct golden {
	const char *path; /* the fixture, as given */
	char *folder;     /* the directory it lies in */
	const json_t *root;
	int device;               /* TT_CPU or a CUDA ordinal */
	enum precision precision; /* never AUTO; decides how arrays are judged */
	const char *data;         /* --data or NULL: see golden_data */
	const char *folders;      /* --folders or NULL: where the model directories are kept */
	const char *layout;       /* one of --layouts: the weights are read from there in it; NULL: they are made */
	int passed, failed, skipped;
};

struct golden_kind {
	const char *what;                   /* "BERT network" */
	bool (*claims)(const json_t *root); /* does this fixture belong here? Looks only */
	/* Runs all cases. -1 with err: the fixture itself is malformed or the model cannot be built. */
	int (*run)(struct golden *g, struct error *err);
};

extern const struct golden_kind golden_synth, golden_clip, golden_bert, golden_bart, golden_deberta, golden_siglip, golden_blip, golden_ofa,
	golden_ofa_search;
extern const struct golden_kind golden_bert_tokenizer, golden_clip_tokenizer, golden_ofa_tokenizer, golden_clip_preprocess, golden_ofa_preprocess;

/* "<folder>/<name>", malloc'd. */
char *golden_file(const struct golden *g, const char *name);
/* The path of a vocabulary file such as "bert/vocab.txt", malloc'd: from --data, $VRAMBLE_DATA, data/ two folders above the fixture, or the first data/ in a
 * folder beside the current one. NULL when it is nowhere. */
char *golden_data(const struct golden *g, const char *name);
/* Counts and prints a case that cannot be run here, and why. */
void golden_skip(struct golden *g, const char *name, const char *why);

/* The architecture, "" when the fixture has none. */
const char *golden_architecture(const json_t *root);
/* Is it that of a network with weights? */
bool golden_is_network(const json_t *root, const char *architecture);

/* ---- one case ---- */

/* How an array is judged. In fp32 both: |got - expected| <= 1e-4 * the largest |expected| of the array. In bf16 and fp16 features and embeddings are judged
 * by cosine >= 0.999 to the expected, and other values only have to be finite. */
enum golden_judge { GOLDEN_VALUES, GOLDEN_FEATURES };

struct golden_case {
	struct golden *g;
	char name[96];
	double worst;      /* largest deviation relative to the array's largest magnitude */
	char worst_of[64]; /* in that array */
	double cosine;     /* lowest of the features compared; infinite when none were */
	int compared;      /* arrays */
	bool failed;
	char why[240];  /* the first failure */
	char note[120]; /* printed behind the verdict: golden_note */
};

struct golden_case golden_begin(struct golden *g, const char *name);
void golden_end(struct golden_case *c); /* prints the line; a case that compared nothing has failed */
void golden_miss(struct golden_case *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void golden_note(struct golden_case *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* expected: nested arrays of numbers, or {"shape", "stride", "values"} for every stride-th value of got. NULL or JSON null: nothing is compared. got is
 * row-major and has `count` values; another count than expected is a miss. */
void golden_compare(struct golden_case *c, enum golden_judge judge, const json_t *expected, const char *what, const float *got, size_t count);
/* The same from a tensor of pool p; x NULL: the pool's error becomes the miss. */
void golden_compare_tensor(struct golden_case *c, enum golden_judge judge, const json_t *expected, const char *what, tt_pool *p, tt_tensor *x);
/* The norms [n] of vectors [n,d] of pool p. */
void golden_compare_norms(struct golden_case *c, const json_t *expected, const char *what, tt_pool *p, tt_tensor *vectors);
/* Nested arrays of integers; all must be equal. */
void golden_compare_ids(struct golden_case *c, const json_t *expected, const char *what, const int64_t *got, size_t count);

/* ---- reading fixtures ---- */

/* "name" of a case, "?" if it has none */
const char *golden_name(const json_t *node);
/* An array of cases under `key`, checked to be a non-empty array; NULL with err. */
const json_t *golden_array(const struct golden *g, const char *key, struct error *err);

struct golden_ids {
	int64_t *values; /* row-major; malloc'd: golden_ids_free */
	int64_t rows, columns;
};
/* [[ints], …] of equal lengths, all in 0..below-1. JSON null or NULL: values NULL and 0. */
int golden_ids_read(const json_t *node, const char *what, int64_t below, struct golden_ids *out, struct error *err);
void golden_ids_free(struct golden_ids *ids);
/* [rows,columns] I64 in p, NULL for an empty one. */
tt_tensor *golden_ids_tensor(tt_pool *p, const struct golden_ids *ids);

/* {"shape": […]} -> the shape and the element count (1 for []); -1 with err for anything odd or above 2^31 elements. */
int golden_shape(const json_t *node, int64_t shape[TT_MAX_DIMS], int *ndim, int64_t *count, struct error *err);

/* ---- the rule for a tensor (fixtures' README) ---- */

/* FNV-1a-64 of a name or of bytes */
uint64_t synth_hash(const char *name);
uint64_t synth_hash_bytes(const void *data, size_t size);
void synth_fill(float *out, int64_t count, const char *name, uint64_t seed, float scale, float offset);

/* A tensor spec {"name", "shape", "scale", "offset"} of the fixture's seed, as fp32 in p; NULL with err. */
tt_tensor *golden_input(const struct golden *g, tt_pool *p, const json_t *spec, struct error *err);

/* ---- weights through the real loader ---- */

struct golden_weights {
	json_t *config; /* config.json, read back */
	struct checkpoint *file;
	tt_pool *pool, *work;    /* weights; activations */
	struct nn_source source; /* ready for a network's _net_create; its file is `file` */
};

/* Makes every tensor of the fixture and its aliases (in its own dtype, or all in fp32), writes a model directory, opens it and removes it; with
 * `folders` it stays there as "clip-small" ("clip-small-fp32" when all are made so). With `layout` nothing is made: "clip-small-<layout>" is read, which
 * another tool has written. Close with golden_weights_close, also after -1. */
int golden_weights_open(const struct golden *g, bool own_dtypes, struct golden_weights *out, struct error *err);
void golden_weights_close(struct golden_weights *w);
/* Removes the model directory that stands at the moment, if any; for exits and signals (async-signal-safe). */
void golden_weights_remove(void);

#endif
