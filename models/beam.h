/* beam.h - beam search over a step function, the fairseq way that OFA uses (models/ofa.c) or that of transformers, which BLIP uses (models/blip.c). No
 * libtorch: a step hands over plain logits.
 *
 * One search is one picture. Several run side by side: beam_search takes a batch of `n` and lets the step function compute all their live rows at once.
 * Thread: the caller's. The header holds the whole contract; the rules are those of the published captioners' sequence generators.
 */
#ifndef MODELS_BEAM_H
#define MODELS_BEAM_H

#include <stdbool.h>
#include <stdint.h>

#include "core/error.h"

/* Which of the best 2K continuations of a step go on, when a search is over, and what is held against a token.
 * FAIRSEQ (its SequenceGenerator): rows that end are kept until there are K; pad is never said, and at step max_length only eos.
 * TRANSFORMERS (GenerationMixin with BeamSearchScorer, 4.36 and later): the K best that ended are kept; the search is over when no continuation could beat
 * the worst of them, or at max_length, where the rows that have not ended count as they are. With one beam this is its greedy search. */
enum beam_rules { BEAM_FAIRSEQ, BEAM_TRANSFORMERS };

struct beam_options {
	enum beam_rules rules;
	int beams;             /* K; capped to vocabulary - 1 */
	int max_length;        /* in tokens behind bos, the prompt included; FAIRSEQ: and without eos */
	int min_length;        /* no eos before so many tokens behind bos */
	int no_repeat_ngram;   /* 0 = off; bos counts as a token of the row */
	double length_penalty; /* score = sum / length^penalty; length counts what was generated, with eos */
	double repetition;     /* TRANSFORMERS: what a token of the row is held back by (its penalty, Keskar et al. 2019); 1 or 0: not at all */
	double temperature;    /* logits are divided by it; 1 */
	double unk_penalty;
	bool normalize;             /* false: the raw sum */
	int32_t bos, pad, eos, unk; /* TRANSFORMERS: pad and unk are tokens like others */
	int vocabulary;
	const int32_t *prompt; /* n_prompt tokens behind bos that every row begins with; borrowed. Their scores are 0 */
	int n_prompt;
};

struct beam_hypothesis {
	int32_t *ids;  /* without bos, with the prompt, and with eos if it ended; owned by the result */
	float *scores; /* per token log-probability */
	int length;
	float score;
};

struct beam_result {
	struct beam_hypothesis *hypotheses; /* best first */
	int n;
};

/* Computes the logits of the next token for `rows` rows. Row r is search (batch item) item[r] and continues the row parent[r] of the previous step (its
 * caches are to be gathered by parent; at step 0 and while a prompt is read parent is NULL and row r is item r's only row); its newest token is token[r].
 * logits: out, [rows][vocabulary] fp32. Returns -1 with err, or 0. */
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
