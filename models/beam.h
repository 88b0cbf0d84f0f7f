/* beam.h - beam search over a step function, the fairseq way that OFA uses (models/ofa.c). No libtorch: a step hands over plain logits.
 *
 * One search is one picture. Several run side by side: beam_search takes a batch of `n` and lets the step function compute all their live rows at once.
 * Thread: the caller's. The header holds the whole contract; the rules are those of the published OFA captioner's sequence generator.
 */
#ifndef MODELS_BEAM_H
#define MODELS_BEAM_H

#include <stdbool.h>
#include <stdint.h>

#include "core/error.h"

struct beam_options {
	int beams;      /* K; capped to vocabulary - 1 */
	int max_length; /* L: the last step may only say eos */
	int min_length;
	int no_repeat_ngram;   /* 0 = off; bos counts as a token of the row */
	double length_penalty; /* score = sum / length^penalty; length counts eos */
	double temperature;    /* logits are divided by it; 1 */
	double unk_penalty;
	bool normalize; /* false: the raw sum */
	int32_t bos, pad, eos, unk;
	int vocabulary;
};

struct beam_hypothesis {
	int32_t *ids;  /* without bos, with eos; owned by the result */
	float *scores; /* per token log-probability */
	int length;
	float score;
};

struct beam_result {
	struct beam_hypothesis *hypotheses; /* best first */
	int n;
};

/* Computes the logits of the next token for `rows` rows. Row r is search (batch item) item[r] and continues the row parent[r] of the previous step (its
 * caches are to be gathered by parent; at step 0 parent is NULL and row r is item r's only row); its newest token is token[r]. logits: out,
 * [rows][vocabulary] fp32. Returns -1 with err, or 0. */
struct beam_step {
	int step;
	int rows;
	const int *item, *parent;
	const int32_t *token;
	float *logits;
};
typedef int beam_step_function(void *ctx, const struct beam_step *step, struct error *err);

/* on_settled: called when the tokens shared by all live rows (and finished ones that can still win) of a search grew; NULL for none. */
typedef void beam_settled_function(void *ctx, int item, const int32_t *ids, int n);

/* Runs n searches; results[n] are filled (free each with beam_result_free) on success. */
int beam_search(const struct beam_options *o, int n, beam_step_function *step, beam_settled_function *settled, void *ctx, struct beam_result *results,
		struct error *err);
void beam_result_free(struct beam_result *r);

#endif
