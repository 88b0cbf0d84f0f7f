/* beam.c - see beam.h. The rules follow fairseq's sequence generator, as OFA's published captioner uses it, and transformers' generation, as BLIP's does.
 *
 * Per step the time goes into two passes over rows x vocabulary floats: the greatest value of every block (and of the row), then the sum of exponentials.
 * The best candidates are then found by looking only into blocks whose greatest value can still win.
 */
#include "models/beam.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

enum { LANES = 16, BLOCK = 64 };

struct candidate {
	float score;
	int row; /* of its search */
	int32_t token;
};

/* One picture's search. Rows live in [row][width] arrays; the next step's are written to the other half and swapped. */
struct search {
	int rows;                      /* live now; 0: finished */
	int first;                     /* its first row in the batch */
	int32_t *tokens, *next_tokens; /* bos first */
	float *sums, *next_sums;       /* sum of log-probabilities up to each token; 0 for bos */
	int settled;                   /* tokens already reported, bos not counted */
	struct beam_result result;
};

struct batch {
	struct beam_options o;
	int n, width; /* searches; tokens a row can hold */
	struct search *searches;
	int *item, *parent; /* of the step's rows */
	int32_t *token;
	float *logits, *tops;   /* [rows][V], and an upper bound for each block of them */
	struct candidate *best; /* of one search, in rank order */
	int n_best;
	beam_settled_function *on_settled;
	void *ctx;
};

/* ---- log-softmax ---- */

/* exp(x) for -87 <= x <= 0 with a relative error of 2e-7, without branches, so that compilers turn a loop over it into vector code. */
static inline float exp_negative(float x)
{
	const float round = 12582912.0f; /* 1.5 * 2^23: adding it leaves the nearest integer in the low bits */
	float shifted, n, r, y;
	int32_t bits;

	shifted = x * 1.44269504f + round;
	n = shifted - round;
	r = x - n * 0.693359375f + n * 2.12194440e-4f; /* ln 2 in two parts */
	y = 1.9875691500e-4f;
	y = y * r + 1.3981999507e-3f;
	y = y * r + 8.3334519073e-3f;
	y = y * r + 4.1665795894e-2f;
	y = y * r + 1.6666665459e-1f;
	y = y * r + 5.0000001201e-1f;
	y = y * r * r + r + 1.0f;
	memcpy(&bits, &shifted, sizeof bits);
	bits = (int32_t)((uint32_t)bits << 23) + 0x3f800000;
	memcpy(&shifted, &bits, sizeof bits);
	return y * shifted;
}

/* The greatest of n values, or NaN when one of them is. */
static float block_top(const float *x, int n)
{
	float lane[LANES], bad = 0, top = -INFINITY;
	int i = 0;

	if (n == BLOCK) {
		float sum[LANES] = {0};

		for (int k = 0; k < LANES; k++)
			lane[k] = -INFINITY;
		for (; i < BLOCK; i += LANES) {
			for (int k = 0; k < LANES; k++) {
				lane[k] = x[i + k] > lane[k] ? x[i + k] : lane[k];
				sum[k] += x[i + k] != x[i + k] ? 1.0f : 0.0f;
			}
		}
		for (int k = 0; k < LANES; k++) {
			top = lane[k] > top ? lane[k] : top;
			bad += sum[k];
		}
	}
	for (; i < n; i++) {
		top = x[i] > top ? x[i] : top;
		bad += x[i] != x[i] ? 1.0f : 0.0f;
	}
	return bad > 0 ? NAN : top;
}

/* What is below adds nothing to a sum of at least 1, and its exponential is no normal number. */
static inline float lowered(float x, float top)
{
	float y = x - top;

	return y < -87.0f ? -87.0f : y;
}

/* The sum of exp(x - top): within a block in float, blocks in double. */
static double sum_exp(const float *x, int n, float top)
{
	double sum = 0;
	int i = 0;

	for (; n - i >= BLOCK; i += BLOCK) {
		float e[BLOCK], part = 0;

		for (int k = 0; k < BLOCK; k++)
			e[k] = lowered(x[i + k], top);
		for (int k = 0; k < BLOCK; k++)
			e[k] = exp_negative(e[k]);
		for (int k = 0; k < BLOCK; k++)
			part += e[k];
		sum += part;
	}
	for (; i < n; i++)
		sum += exp_negative(lowered(x[i], top));
	return sum;
}

static int block_count(int vocabulary)
{
	return (vocabulary + BLOCK - 1) / BLOCK;
}

/* Fills the row's tops; returns log sum exp, or a value that is not finite when the row has no distribution (a NaN, +inf, or nothing but -inf). */
static float row_normaliser(const float *x, int vocabulary, float *tops)
{
	float top = -INFINITY;

	for (int b = 0; b < block_count(vocabulary); b++) {
		int left = vocabulary - b * BLOCK;

		tops[b] = block_top(x + b * BLOCK, left < BLOCK ? left : BLOCK);
		if (isnan(tops[b]))
			return NAN;
		top = tops[b] > top ? tops[b] : top;
	}
	return isfinite(top) ? top + (float)log(sum_exp(x, vocabulary, top)) : NAN;
}

/* ---- what may not be said ---- */

static void forbid_repeats(const struct batch *b, const int32_t *row, int step, float *logits)
{
	int n = b->o.no_repeat_ngram, length = step + 1;

	if (n <= 0 || length < n - 1)
		return;
	for (int i = 0; i + n <= length; i++) {
		if (memcmp(row + i, row + length - (n - 1), (size_t)(n - 1) * sizeof *row) == 0)
			logits[row[i + n - 1]] = -INFINITY;
	}
}

static void weaken_unknown(const struct batch *b, float *logits, float *tops)
{
	float value = logits[b->o.unk] - (float)b->o.unk_penalty, *top = &tops[b->o.unk / BLOCK];

	logits[b->o.unk] = value;
	if (value > *top)
		*top = value; /* tops are upper bounds; only a negative penalty moves them */
}

/* Once for each token of the row. Values are log-probabilities behind a shift of the logits; with one beam the logits themselves (shift 0), as the
 * reference has it. */
static void weaken_repeats(const struct batch *b, const int32_t *row, int step, float shift, float *logits, float *tops)
{
	for (int i = 0; i <= step; i++) {
		float *x = &logits[row[i]], *top = tops ? &tops[row[i] / BLOCK] : NULL, score = *x - shift;
		bool seen = false;

		for (int k = 0; k < i; k++)
			seen |= row[k] == row[i];
		if (seen)
			continue;
		*x = (float)(score < 0 ? score * b->o.repetition : score / b->o.repetition) + shift;
		if (top && *x > *top)
			*top = *x;
	}
}

/* ---- candidates ---- */

static void offer(struct batch *b, int limit, float score, int row, int32_t token)
{
	int at = b->n_best;

	if (at == limit) {
		if (!(score > b->best[at - 1].score))
			return;
		at--;
	} else {
		b->n_best++;
	}
	for (; at > 0 && score > b->best[at - 1].score; at--)
		b->best[at] = b->best[at - 1];
	b->best[at] = (struct candidate){score, row, token};
}

static void offer_row(struct batch *b, int limit, const float *logits, const float *tops, float shift, float sum, int row)
{
	int vocabulary = b->o.vocabulary;

	for (int k = 0; k < block_count(vocabulary); k++) {
		int end = (k + 1) * BLOCK < vocabulary ? (k + 1) * BLOCK : vocabulary;

		if (b->n_best == limit && !(tops[k] - shift + sum > b->best[limit - 1].score))
			continue;
		for (int i = k * BLOCK; i < end; i++) {
			float score = logits[i] - shift + sum;

			if (score > -INFINITY && (b->n_best < limit || score > b->best[limit - 1].score))
				offer(b, limit, score, row, i);
		}
	}
}

/* The row's logits with all that the rules hold against them, and their tops; returns log sum exp as row_normaliser does. */
static float judge_row(struct batch *b, const int32_t *row, int step, float *logits, float *tops)
{
	const struct beam_options *o = &b->o;
	bool fairseq = o->rules == BEAM_FAIRSEQ, repeats = !fairseq && o->repetition != 0 && o->repetition != 1;
	float shift;

	if (o->temperature != 1) {
		for (int i = 0; i < o->vocabulary; i++)
			logits[i] = (float)(logits[i] / o->temperature);
	}
	if (repeats && o->beams == 1)
		weaken_repeats(b, row, step, 0, logits, NULL);
	shift = row_normaliser(logits, o->vocabulary, tops);
	if (!isfinite(shift))
		return shift;
	if (repeats && o->beams > 1)
		weaken_repeats(b, row, step, shift, logits, tops);
	if (step < o->min_length)
		logits[o->eos] = -INFINITY;
	if (fairseq) {
		logits[o->pad] = -INFINITY;
		weaken_unknown(b, logits, tops);
	}
	forbid_repeats(b, row, step, logits);
	return shift;
}

/* Ranks the best 2K continuations of one search into b->best. Those of probability 0 are left out: they can neither end nor win. */
static void rank(struct batch *b, const struct search *s, int step)
{
	const struct beam_options *o = &b->o;
	int limit = 2 * o->beams;

	b->n_best = 0;
	for (int r = 0; r < s->rows; r++) {
		size_t at = (size_t)(s->first + r);
		float *logits = b->logits + at * (size_t)o->vocabulary, *tops = b->tops + at * (size_t)block_count(o->vocabulary);
		float sum = s->sums[r * b->width + step], shift = judge_row(b, s->tokens + r * b->width, step, logits, tops);

		if (!isfinite(shift))
			continue;
		if (o->rules == BEAM_TRANSFORMERS || step < o->max_length)
			offer_row(b, limit, logits, tops, shift, sum, r);
		else if (logits[o->eos] > -INFINITY)
			offer(b, limit, logits[o->eos] - shift + sum, r, o->eos);
	}
}

/* ---- rows that end, rows that go on ---- */

static void hypothesis_free(struct beam_hypothesis *h)
{
	free(h->ids);
	free(h->scores);
}

/* What a sum of log-probabilities is worth with so many tokens behind bos. */
static float worth(const struct batch *b, float sum, int length)
{
	return b->o.normalize ? (float)(sum / pow(length - b->o.n_prompt, b->o.length_penalty)) : sum;
}

/* Keeps a row of `length` tokens behind bos, the K best and the best first; the last of them is c's. */
static void finish(struct batch *b, struct search *s, const struct candidate *c, int length)
{
	const int32_t *tokens = s->tokens + c->row * b->width;
	const float *sums = s->sums + c->row * b->width;
	struct beam_hypothesis h = {.length = length, .score = worth(b, c->score, length)}, *list = s->result.hypotheses;
	int at;

	if (s->result.n == b->o.beams) {
		if (!(h.score > list[s->result.n - 1].score))
			return;
		hypothesis_free(&list[--s->result.n]);
	}
	at = s->result.n++;
	h.ids = xcalloc((size_t)h.length, sizeof *h.ids);
	h.scores = xcalloc((size_t)h.length, sizeof *h.scores);
	memcpy(h.ids, tokens + 1, (size_t)(length - 1) * sizeof *h.ids);
	h.ids[length - 1] = c->token;
	for (int i = 0; i < length - 1; i++)
		h.scores[i] = sums[i + 1] - sums[i];
	h.scores[length - 1] = c->score - sums[length - 1];
	for (; at > 0 && h.score > list[at - 1].score; at--)
		list[at] = list[at - 1];
	list[at] = h;
}

static void extend(struct batch *b, struct search *s, const struct candidate *c, int step)
{
	size_t from = (size_t)(c->row * b->width), to = (size_t)(s->rows * b->width), n = (size_t)step + 1;

	memcpy(s->next_tokens + to, s->tokens + from, n * sizeof *s->tokens);
	memcpy(s->next_sums + to, s->sums + from, n * sizeof *s->sums);
	s->next_tokens[to + n] = c->token;
	s->next_sums[to + n] = c->score;
	s->rows++;
}

/* The first K candidates that do not end become the rows of the next step; first: where those begin in the batch. */
static void continue_rows(struct batch *b, struct search *s, int step, int first)
{
	int beams = b->o.beams, old_first = s->first;
	struct candidate last = {.score = -INFINITY};
	int32_t *tokens = s->tokens;
	float *sums = s->sums;

	s->rows = 0;
	for (int i = 0; i < b->n_best && s->rows < beams; i++) {
		if (b->best[i].token == b->o.eos)
			continue;
		last = b->best[i];
		b->parent[first + s->rows] = old_first + last.row;
		extend(b, s, &last, step);
	}
	/* A search that goes on always has K rows, so that a step function may lay them out as a rectangle: rows of probability 0 fill it. */
	last.score = -INFINITY;
	while (s->rows > 0 && s->rows < beams) {
		b->parent[first + s->rows] = old_first + last.row;
		extend(b, s, &last, step);
	}
	s->tokens = s->next_tokens, s->sums = s->next_sums;
	s->next_tokens = tokens, s->next_sums = sums;
	s->first = first;
}

/* Is a search over after the step whose candidates are ranked? */
static bool decided(const struct batch *b, const struct search *s, int step)
{
	int beams = b->o.beams;

	if (b->o.rules == BEAM_FAIRSEQ)
		return s->result.n == beams || step == b->o.max_length;
	if (b->n_best == 0)
		return true;
	return s->result.n == beams && s->result.hypotheses[beams - 1].score >= worth(b, b->best[0].score, step + 1);
}

/* At max_length transformers takes rows that have not ended as they are. */
static void finish_rows(struct batch *b, struct search *s, int step)
{
	for (int r = 0; r < s->rows; r++) {
		const struct candidate c = {s->sums[r * b->width + step + 1], r, s->tokens[r * b->width + step + 1]};

		if (c.score > -INFINITY)
			finish(b, s, &c, step + 1);
	}
	s->rows = 0;
}

/* Sorts the ranked candidates into finished and next rows. An end counts only among the first K ranks. */
static void advance(struct batch *b, struct search *s, int step, int first)
{
	int beams = b->o.beams;

	for (int i = 0; i < b->n_best && i < beams && (b->o.rules == BEAM_TRANSFORMERS || s->result.n < beams); i++) {
		if (b->best[i].token == b->o.eos)
			finish(b, s, &b->best[i], step + 1);
	}
	if (decided(b, s, step)) {
		s->rows = 0;
		return;
	}
	continue_rows(b, s, step, first);
	if (b->o.rules == BEAM_TRANSFORMERS && step + 1 == b->o.max_length)
		finish_rows(b, s, step);
}

/* ---- what is settled ---- */

static int shared_length(const int32_t *a, const int32_t *b, int n)
{
	int i = 0;

	while (i < n && a[i] == b[i])
		i++;
	return i;
}

/* Whatever wins is a continuation of a live row or the best finished one, so what these share is certain, and it never shrinks. */
static void report(struct batch *b, struct search *s, int item, int step)
{
	const int32_t *lead = NULL;
	int shared = 0;

	for (int r = 0; r < s->rows; r++) {
		const int32_t *row = s->tokens + r * b->width + 1;

		if (s->sums[r * b->width + step + 1] == -INFINITY)
			continue;
		shared = lead ? shared_length(lead, row, shared) : step + 1;
		lead = lead ? lead : row;
	}
	if (s->result.n > 0) {
		const struct beam_hypothesis *h = &s->result.hypotheses[0];
		int length = h->length - (h->ids[h->length - 1] == b->o.eos); /* which is not text */

		shared = lead ? shared_length(lead, h->ids, shared < length ? shared : length) : length;
		lead = h->ids;
	}
	if (shared <= s->settled)
		return;
	s->settled = shared;
	b->on_settled(b->ctx, item, lead, shared);
}

/* ---- the search ---- */

static int check_options(const struct beam_options *o, struct error *err)
{
	int v = o->vocabulary;

	if (v < 2 || o->bos < 0 || o->bos >= v || o->pad < 0 || o->pad >= v || o->eos < 0 || o->eos >= v || o->unk < 0 || o->unk >= v)
		return fail(err, E_USAGE, "beam search: bos %d, pad %d, eos %d, unk %d must be among the %d tokens", o->bos, o->pad, o->eos, o->unk,
			    v);
	if (o->n_prompt < 0 || (o->n_prompt > 0 && o->n_prompt >= o->max_length))
		return fail(err, E_USAGE, "beam search: a prompt of %d tokens leaves no room among %d", o->n_prompt, o->max_length);
	for (int i = 0; i < o->n_prompt; i++)
		if (o->prompt[i] < 0 || o->prompt[i] >= v)
			return fail(err, E_USAGE, "beam search: token %d of the prompt is not among the %d", o->prompt[i], v);
	if (o->beams < 1 || o->max_length < 1 || !isfinite(o->repetition) || o->repetition < 0 || !(o->temperature > 0) ||
	    !isfinite(o->length_penalty) || isnan(o->unk_penalty))
		return fail(err, E_USAGE, "beam search: beams %d and length %d must be at least 1, the temperature %g positive, the penalties finite",
			    o->beams, o->max_length, o->temperature);
	return 0;
}

static void batch_open(struct batch *b)
{
	size_t beams = (size_t)b->o.beams, rows = (size_t)b->n * beams, cells;

	b->width = b->o.max_length + 2;
	cells = beams * (size_t)b->width;
	b->searches = xcalloc((size_t)b->n, sizeof *b->searches);
	b->item = xcalloc(rows, sizeof *b->item);
	b->parent = xcalloc(rows, sizeof *b->parent);
	b->token = xcalloc(rows, sizeof *b->token);
	b->logits = xcalloc(rows * (size_t)b->o.vocabulary, sizeof *b->logits);
	b->tops = xcalloc(rows * (size_t)block_count(b->o.vocabulary), sizeof *b->tops);
	b->best = xcalloc(2 * beams, sizeof *b->best);
	for (int i = 0; i < b->n; i++) {
		struct search *s = &b->searches[i];

		s->rows = 1;
		s->first = i;
		s->tokens = xcalloc(cells, sizeof *s->tokens);
		s->next_tokens = xcalloc(cells, sizeof *s->next_tokens);
		s->sums = xcalloc(cells, sizeof *s->sums);
		s->next_sums = xcalloc(cells, sizeof *s->next_sums);
		s->tokens[0] = s->next_tokens[0] = b->o.bos;
		if (b->o.n_prompt > 0)
			memcpy(s->tokens + 1, b->o.prompt, (size_t)b->o.n_prompt * sizeof *s->tokens);
		s->result.hypotheses = xcalloc(beams, sizeof *s->result.hypotheses);
	}
}

/* Hands the results out, or frees them when results is NULL. */
static void batch_close(struct batch *b, struct beam_result *results)
{
	for (int i = 0; i < b->n; i++) {
		struct search *s = &b->searches[i];

		if (results)
			results[i] = s->result;
		else
			beam_result_free(&s->result);
		free(s->tokens);
		free(s->next_tokens);
		free(s->sums);
		free(s->next_sums);
	}
	free(b->searches);
	free(b->item);
	free(b->parent);
	free(b->token);
	free(b->logits);
	free(b->tops);
	free(b->best);
}

/* Lists the live rows of all searches; returns how many there are. */
static int lay_out(struct batch *b, int step)
{
	int n = 0;

	for (int i = 0; i < b->n; i++) {
		const struct search *s = &b->searches[i];

		for (int r = 0; r < s->rows; r++, n++) {
			b->item[n] = i;
			b->token[n] = s->tokens[r * b->width + step];
		}
	}
	return n;
}

static int run(struct batch *b, beam_step_function *compute, struct error *err)
{
	for (int step = 0, rows = lay_out(b, 0); rows > 0; rows = lay_out(b, ++step)) {
		struct beam_step s = {step, rows, b->item, step > b->o.n_prompt ? b->parent : NULL, b->token, b->logits};
		int next = 0;

		if (compute(b->ctx, &s, err) < 0)
			return -1;
		if (step < b->o.n_prompt)
			continue;
		for (int i = 0; i < b->n; i++) {
			struct search *search = &b->searches[i];

			if (search->rows == 0)
				continue;
			rank(b, search, step);
			advance(b, search, step, next);
			next += search->rows;
			if (b->on_settled)
				report(b, search, i, step);
		}
	}
	return 0;
}

int beam_search(const struct beam_options *o, int n, beam_step_function *step, beam_settled_function *settled, void *ctx, struct beam_result *results,
		struct error *err)
{
	struct batch b = {.o = *o, .n = n, .on_settled = settled, .ctx = ctx};
	int rc;

	if (n < 1 || check_options(o, err) < 0)
		return n < 1 ? fail(err, E_USAGE, "beam search: nothing to search for") : -1;
	if (b.o.beams > o->vocabulary - 1)
		b.o.beams = o->vocabulary - 1;
	if (b.o.min_length > o->max_length)
		b.o.min_length = o->max_length;
	batch_open(&b);
	rc = run(&b, step, err);
	batch_close(&b, rc == 0 ? results : NULL);
	return rc;
}

void beam_result_free(struct beam_result *r)
{
	for (int i = 0; i < r->n; i++)
		hypothesis_free(&r->hypotheses[i]);
	free(r->hypotheses);
	*r = (struct beam_result){0};
}
