/* test_beam.c - the rules of models/beam.h, one small tree of probabilities each. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "models/beam.h"

/* <cmocka.h> last: its fail() is a macro, so what calls ours stands before it. */
static int refuse(struct error *err, const char *text)
{
	return fail(err, E_CANCELLED, "%s", text);
}

#include <cmocka.h>

/* One letter a token: '^' bos, '_' pad, '!' eos, '?' unk, then a, b, c. */
static const char letters[] = "^_!?abc";
enum { BOS, PAD, EOS, UNK, A, B, C, LETTERS };

enum { WORDS_MAX = 64, ROWS_MAX = 64 };

/* What follows a text: "a" -> ".5a .4b .1!"; what is not named is impossible, and 9 stands for NaN. Texts that are not in the list end at once. */
struct branch {
	const char *text, *next;
};

struct tree {
	const struct branch *branches;
	int n, calls, fail_at; /* fail_at: the call that fails, counted from 1; 0: none */
	int prompt;            /* tokens that were not chosen */
	char rows[ROWS_MAX][WORDS_MAX];
	int n_rows, widest;
};

static int letter(char c)
{
	return (int)(strchr(letters, c) - letters);
}

static const char *follow(const struct tree *t, const char *text)
{
	for (int i = 0; i < t->n; i++) {
		if (strcmp(t->branches[i].text, text) == 0)
			return t->branches[i].next;
	}
	return "1!";
}

static void put_logits(const char *next, float *logits)
{
	for (int i = 0; i < LETTERS; i++)
		logits[i] = -INFINITY;
	while (*next) {
		char *end;
		double p = strtod(next, &end); /* "0.5a" */

		logits[letter(*end)] = p == 9 ? NAN : (float)log(p);
		next = end + 1 + strspn(end + 1, " ");
	}
}

static int tree_step(void *ctx, const struct beam_step *s, struct error *err)
{
	struct tree *t = ctx;
	char rows[ROWS_MAX][WORDS_MAX];

	if (++t->calls == t->fail_at)
		return refuse(err, "the step was stopped");
	assert_true(s->rows <= ROWS_MAX && s->step < WORDS_MAX - 1);
	assert_int_equal(s->step, t->calls - 1);
	assert_true((s->parent == NULL) == (s->step <= t->prompt));
	t->widest = s->rows > t->widest ? s->rows : t->widest;
	for (int i = 0; i < s->rows; i++) {
		if (s->step > 0) {
			int from = s->parent ? s->parent[i] : i;

			assert_in_range(from, 0, t->n_rows - 1);
			snprintf(rows[i], sizeof rows[i], "%.60s%c", t->rows[from], letters[s->token[i]]);
		} else {
			assert_int_equal(s->token[i], BOS);
			rows[i][0] = '\0';
		}
		put_logits(follow(t, rows[i]), s->logits + i * LETTERS);
	}
	memcpy(t->rows, rows, sizeof rows);
	t->n_rows = s->rows;
	return 0;
}

static struct beam_options options(int beams)
{
	return (struct beam_options){
		.beams = beams,
		.max_length = 8,
		.length_penalty = 1,
		.temperature = 1,
		.normalize = true,
		.bos = BOS,
		.pad = PAD,
		.eos = EOS,
		.unk = UNK,
		.vocabulary = LETTERS,
	};
}

static struct beam_result search(struct tree *t, const struct beam_options *o)
{
	struct beam_result r;
	struct error err = {0};

	assert_int_equal(beam_search(o, 1, tree_step, NULL, t, &r, &err), 0);
	return r;
}

static void expect(const struct beam_result *r, int i, const char *text, double score)
{
	char got[WORDS_MAX] = "";

	assert_in_range(i, 0, r->n - 1);
	for (int k = 0; k < r->hypotheses[i].length; k++)
		got[k] = letters[r->hypotheses[i].ids[k]];
	assert_string_equal(got, text);
	assert_float_equal(r->hypotheses[i].score, score, 1e-5);
}

#define TREE(...)                                                                                                                           \
	{                                                                                                                                   \
		.branches = (const struct branch[]){__VA_ARGS__}, .n = sizeof((const struct branch[]){__VA_ARGS__}) / sizeof(struct branch) \
	}

/* ---- what is found ---- */

static void test_greedy(void **state)
{
	struct tree t = TREE({"", ".6a .3b .1!"}, {"a", ".5! .4b .1a"});
	struct beam_options o = options(1);
	struct beam_result r = search(&t, &o);

	assert_int_equal(r.n, 1);
	expect(&r, 0, "a!", (log(.6) + log(.5)) / 2);
	assert_float_equal(r.hypotheses[0].scores[0], log(.6), 1e-5);
	assert_float_equal(r.hypotheses[0].scores[1], log(.5), 1e-5);
	assert_int_equal(t.calls, 2);
	beam_result_free(&r);
}

static void test_beam_sees_further(void **state)
{
	struct tree t = TREE({"", ".6a .4b"}, {"a", ".4! .3a .3b"}, {"b", ".9! .1a"});
	struct beam_options o = options(2);
	struct beam_result r = search(&t, &o);

	assert_int_equal(r.n, 2);
	expect(&r, 0, "b!", (log(.4) + log(.9)) / 2);
	expect(&r, 1, "a!", (log(.6) + log(.4)) / 2);
	assert_int_equal(t.widest, 2);
	beam_result_free(&r);
}

/* Logits are as good as probabilities up to a constant, which the softmax takes away. */
static void test_unnormalised_logits(void **state)
{
	struct tree t = TREE({"", "6a 3b 1!"}, {"a", "50! 40b 10a"});
	struct beam_options o = options(1);
	struct beam_result r = search(&t, &o);

	expect(&r, 0, "a!", (log(.6) + log(.5)) / 2);
	beam_result_free(&r);
}

/* ---- ends ---- */

/* With one beam the end is rank 1 of 2 and does not count; with two it does. */
static void test_end_counts_among_first_ranks_only(void **state)
{
	struct tree one = TREE({"", ".5a .4! .1b"}, {"a", ".9b .1!"}, {"ab", "1!"}), two = TREE({"", ".5a .4! .1b"}, {"a", ".9b .1!"}, {"ab", "1!"});
	struct beam_options o = options(1);
	struct beam_result r = search(&one, &o);

	assert_int_equal(r.n, 1);
	expect(&r, 0, "ab!", (log(.5) + log(.9)) / 3);
	beam_result_free(&r);
	o = options(2);
	r = search(&two, &o);
	assert_int_equal(r.n, 2);
	expect(&r, 0, "!", log(.4));
	expect(&r, 1, "b!", log(.1) / 2);
	beam_result_free(&r);
}

/* Two ends are found by the second step: the better "bcc!" is never looked at. */
static void test_stops_when_all_beams_ended(void **state)
{
	struct tree t = TREE({"", ".4! .35a .25b"}, {"a", ".8! .2a"}, {"b", "1c"}, {"bc", "1c"}, {"bcc", "1!"});
	struct beam_options o = options(2);
	struct beam_result r = search(&t, &o);

	assert_int_equal(t.calls, 2);
	assert_int_equal(r.n, 2);
	expect(&r, 0, "a!", (log(.35) + log(.8)) / 2);
	expect(&r, 1, "!", log(.4));
	beam_result_free(&r);
}

static void test_minimum_length(void **state)
{
	struct tree t = TREE({"", ".9! .1a"}, {"a", ".9! .1b"}, {"ab", ".9! .1c"});
	struct beam_options o = options(1);
	struct beam_result r;

	o.min_length = 2;
	r = search(&t, &o);
	expect(&r, 0, "ab!", (log(.1) + log(.1) + log(.9)) / 3);
	beam_result_free(&r);
}

/* The last step says nothing but the end, however unlikely. */
static void test_maximum_length(void **state)
{
	struct tree t = TREE({"", "1a"}, {"a", ".9a .1!"}, {"aa", ".99a .01!"});
	struct beam_options o = options(1);
	struct beam_result r;

	o.max_length = 2;
	r = search(&t, &o);
	assert_int_equal(t.calls, 3);
	expect(&r, 0, "aa!", (log(.9) + log(.01)) / 3);
	beam_result_free(&r);
}

/* A minimum beyond the maximum would forbid every caption; the maximum wins. */
static void test_minimum_beyond_maximum(void **state)
{
	struct tree t = TREE({"", ".5a .5!"}, {"a", ".5b .5!"});
	struct beam_options o = options(1);
	struct beam_result r;

	o.max_length = 1;
	o.min_length = 5;
	r = search(&t, &o);
	expect(&r, 0, "a!", (log(.5) + log(.5)) / 2);
	beam_result_free(&r);
}

/* ---- scores ---- */

static void test_length_penalty(void **state)
{
	const double shorter = log(.5) + log(.6), longer = log(.5) + log(.9) + log(.9) + log(.7);
	const struct {
		double penalty;
		const char *best;
		double score;
	} cases[] = {{0, "a!", shorter}, {1, "bcc!", longer / 4}, {2, "bcc!", longer / 16}};

	for (size_t i = 0; i < 3; i++) {
		struct tree t = TREE({"", ".5a .5b"}, {"a", ".6! .4a"}, {"aa", ".5a .5b"}, {"b", ".9c .1a"}, {"bc", ".9c .1a"}, {"bcc", ".7! .3a"});
		struct beam_options o = options(2);
		struct beam_result r;

		o.length_penalty = cases[i].penalty;
		r = search(&t, &o);
		expect(&r, 0, cases[i].best, cases[i].score);
		beam_result_free(&r);
	}
}

static void test_plain_sum(void **state)
{
	struct tree t = TREE({"", ".6a .4b"}, {"a", ".5! .5b"});
	struct beam_options o = options(1);
	struct beam_result r;

	o.normalize = false;
	r = search(&t, &o);
	expect(&r, 0, "a!", log(.6) + log(.5));
	beam_result_free(&r);
}

/* Logits divided by 0.5: probabilities squared and normalised again. */
static void test_temperature(void **state)
{
	struct tree t = TREE({"", ".6a .4b"}, {"a", "1!"});
	struct beam_options o = options(1);
	struct beam_result r;

	o.temperature = 0.5;
	r = search(&t, &o);
	expect(&r, 0, "a!", log(.36 / (.36 + .16)) / 2);
	beam_result_free(&r);
}

static void test_unknown_penalty(void **state)
{
	struct tree strict = TREE({"", ".6? .4b"}), fond = TREE({"", ".4? .6b"});
	struct beam_options o = options(1);
	struct beam_result r;

	o.unk_penalty = 1;
	r = search(&strict, &o);
	expect(&r, 0, "b!", log(.4) / 2);
	beam_result_free(&r);
	o.unk_penalty = -1;
	r = search(&fond, &o);
	expect(&r, 0, "?!", (log(.4) + 1) / 2);
	beam_result_free(&r);
}

static void test_pad_is_never_said(void **state)
{
	struct tree t = TREE({"", ".9_ .1a"});
	struct beam_options o = options(1);
	struct beam_result r = search(&t, &o);

	expect(&r, 0, "a!", log(.1) / 2);
	beam_result_free(&r);
}

/* ---- repeats ---- */

static void test_repeated_run(void **state)
{
	struct tree t = TREE({"", "1a"}, {"a", "1b"}, {"ab", "1a"}, {"aba", ".7b .3c"}, {"abac", "1!"});
	struct beam_options o = options(1);
	struct beam_result r;

	o.no_repeat_ngram = 2;
	r = search(&t, &o);
	expect(&r, 0, "abac!", log(.3) / 5);
	beam_result_free(&r);
}

/* The row is "^a^": the pair "^a" has been said, although its first token is the bos that every row begins with. */
static void test_bos_counts_in_runs(void **state)
{
	struct tree t = TREE({"", "1a"}, {"a", "1^"}, {"a^", ".7a .3b"}, {"a^b", "1!"});
	struct beam_options o = options(1);
	struct beam_result r;

	o.no_repeat_ngram = 2;
	r = search(&t, &o);
	expect(&r, 0, "a^b!", log(.3) / 4);
	beam_result_free(&r);
}

static void test_runs_of_one(void **state)
{
	struct tree t = TREE({"", ".6a .4b"}, {"a", ".6a .4b"}, {"ab", ".8b .1a .1c"}, {"abc", ".9c .1!"});
	struct beam_options o = options(1);
	struct beam_result r;

	o.no_repeat_ngram = 1;
	r = search(&t, &o);
	expect(&r, 0, "abc!", (log(.6) + log(.4) + log(.1) + log(.1)) / 4);
	beam_result_free(&r);
}

/* ---- the rules of transformers ---- */

static struct beam_options transformers(int beams)
{
	struct beam_options o = options(beams);

	o.rules = BEAM_TRANSFORMERS;
	return o;
}

static void test_transformers_greedy(void **state)
{
	struct tree t = TREE({"", ".6a .3! .1b"}, {"a", ".5! .4_ .1a"}), pad = TREE({"", ".6_ .4!"});
	struct beam_options o = transformers(1);
	struct beam_result r = search(&t, &o);

	assert_int_equal(r.n, 1);
	expect(&r, 0, "a!", (log(.6) + log(.5)) / 2);
	assert_int_equal(t.calls, 2);
	beam_result_free(&r);
	r = search(&pad, &o); /* pad is a token like others */
	expect(&r, 0, "_!", log(.6) / 2);
	beam_result_free(&r);
}

/* What has not ended when there is no more room counts as it is, among what has. */
static void test_transformers_takes_unfinished_rows(void **state)
{
	struct tree t = TREE({"", ".7a .3!"}, {"a", ".9b .1!"}, {"ab", ".8c .2!"});
	struct beam_options o = transformers(2);
	struct beam_result r;

	o.max_length = 3;
	r = search(&t, &o);
	assert_int_equal(r.n, 2);
	expect(&r, 0, "abc", (log(.7) + log(.9) + log(.8)) / 3);
	expect(&r, 1, "ab!", (log(.7) + log(.9) + log(.2)) / 3);
	assert_int_equal(t.calls, 3);
	beam_result_free(&r);
}

/* The tree of test_stops_when_all_beams_ended: here the search goes on while a row could still become better than the worst that ended. */
static void test_transformers_goes_on_while_it_may_pay(void **state)
{
	struct tree t = TREE({"", ".4! .35a .25b"}, {"a", ".8! .2a"}, {"b", "1c"}, {"bc", "1c"}, {"bcc", "1!"});
	struct tree over = TREE({"", ".9! .08a .02b"}, {"a", ".9! .1a"}, {"b", "1c"}, {"bc", "1c"}, {"bcc", "1!"});
	struct beam_options o = transformers(2);
	struct beam_result r = search(&t, &o);

	assert_int_equal(r.n, 2);
	expect(&r, 0, "bcc!", log(.25) / 4);
	expect(&r, 1, "a!", (log(.35) + log(.8)) / 2);
	beam_result_free(&r);
	o.length_penalty = 0;
	r = search(&over, &o); /* no row is worth more than "a!", so the second step is the last */
	expect(&r, 0, "!", log(.9));
	expect(&r, 1, "a!", log(.08) + log(.9));
	assert_int_equal(over.calls, 2);
	beam_result_free(&r);
}

/* Logits are divided or multiplied by it with one beam, log-probabilities with more; each token once, however often it was said. */
static void test_repetition(void **state)
{
	struct tree one = TREE({"", "6a 2b 1!"}, {"a", "8a 5b 1!"}, {"ab", "80a 90! 50b"});
	struct tree more = TREE({"", ".7a .3b"}, {"a", ".6a .4b"}, {"b", "1c"}, {"ab", "1!"}, {"aa", ".9a .1!"});
	struct beam_options o = transformers(1);
	struct beam_result r;

	o.repetition = 1.5; /* ln 8 / 1.5 = ln 4 */
	r = search(&one, &o);
	expect(&r, 0, "ab!", r.hypotheses[0].score);
	beam_result_free(&r);
	o = transformers(2);
	o.repetition = 3;
	o.max_length = 2;
	r = search(&more, &o);
	expect(&r, 0, "bc", log(.3) / 2);
	expect(&r, 1, "ab", (log(.7) + log(.4)) / 2);
	beam_result_free(&r);
}

/* A prompt is read a token at a time, costs nothing, and stands in the result; lengths count it, scores do not. */
static void test_prompt(void **state)
{
	const int32_t prompt[] = {A, B};

	for (int rules = BEAM_FAIRSEQ; rules <= BEAM_TRANSFORMERS; rules++) {
		struct tree t = TREE({"", "1c"}, {"a", "1c"}, {"ab", ".7c .3!"}, {"abc", ".6! .4a"});
		struct beam_options o = options(2);
		struct beam_result r;

		t.prompt = o.n_prompt = 2;
		o.prompt = prompt;
		o.rules = (enum beam_rules)rules;
		o.max_length = 3;
		o.min_length = 3;
		r = search(&t, &o);
		expect(&r, 0, rules == BEAM_FAIRSEQ ? "abc!" : "abc", rules == BEAM_FAIRSEQ ? (log(.7) + log(.6)) / 2 : log(.7));
		assert_float_equal(r.hypotheses[0].scores[1], 0, 0);
		assert_float_equal(r.hypotheses[0].scores[2], log(.7), 1e-5);
		beam_result_free(&r);
	}
}

/* ---- odd input ---- */

/* A row with a NaN has no distribution: it ends, the other goes on. */
static void test_nan_ends_a_row(void **state)
{
	struct tree t = TREE({"", ".6a .4b"}, {"a", "9a .5b"}, {"b", ".5! .5c"}, {"bc", "1!"});
	struct beam_options o = options(2);
	struct beam_result r = search(&t, &o);

	expect(&r, 0, "bc!", (log(.4) + log(.5)) / 3);
	expect(&r, 1, "b!", (log(.4) + log(.5)) / 2);
	assert_int_equal(r.n, 2);
	beam_result_free(&r);
}

static void test_nothing_but_nan(void **state)
{
	struct tree t = TREE({"", "9a"});
	struct beam_options o = options(3);
	struct beam_result r = search(&t, &o);

	assert_int_equal(r.n, 0);
	beam_result_free(&r);
}

static void test_more_beams_than_words(void **state)
{
	struct tree t = TREE({"", ".5a .3b .2!"});
	struct beam_options o = options(100);
	struct beam_result r = search(&t, &o);

	assert_true(t.widest <= LETTERS - 1);
	assert_int_equal(r.n, 3);
	expect(&r, 0, "a!", log(.5) / 2);
	expect(&r, 1, "b!", log(.3) / 2);
	expect(&r, 2, "!", log(.2));
	beam_result_free(&r);
}

static void test_failing_step(void **state)
{
	for (int at = 1; at <= 3; at++) {
		struct tree t = TREE({"", ".5a .3b .2!"}, {"a", ".5a .5!"}, {"b", "1c"}, {"bc", "1c"});
		struct beam_options o = options(3);
		struct beam_result r;
		struct error err = {0};

		t.fail_at = at;
		assert_int_equal(beam_search(&o, 1, tree_step, NULL, &t, &r, &err), -1);
		assert_int_equal(err.code, E_CANCELLED);
		assert_string_equal(err.text, "the step was stopped");
		assert_int_equal(t.calls, at);
	}
}

static void test_refused_options(void **state)
{
	const struct beam_options good = options(2);
	const int32_t prompt[] = {A, LETTERS};
	struct beam_options bad[11];
	struct tree t = {0};
	struct beam_result r;

	for (size_t i = 0; i < 11; i++)
		bad[i] = good;
	bad[0].beams = 0;
	bad[1].max_length = 0;
	bad[2].temperature = 0;
	bad[3].eos = LETTERS;
	bad[4].pad = -1;
	bad[5].vocabulary = 1;
	bad[6].length_penalty = NAN;
	bad[7].temperature = NAN;
	bad[8].repetition = -1;
	bad[9].prompt = bad[10].prompt = prompt;
	bad[9].n_prompt = 2;
	bad[10].n_prompt = bad[10].max_length = 1;
	for (size_t i = 0; i < 11; i++) {
		struct error err = {0};

		assert_int_equal(beam_search(&bad[i], 1, tree_step, NULL, &t, &r, &err), -1);
		assert_int_equal(err.code, E_USAGE);
	}
	assert_int_equal(beam_search(&good, 0, tree_step, NULL, &t, &r, NULL), -1);
	assert_int_equal(t.calls, 0);
}

/* ---- random trees: many words, several pictures ---- */

struct forest {
	const uint64_t *seeds; /* of each picture */
	uint64_t rows[ROWS_MAX];
	int vocabulary;
	/* what on_settled saw */
	int32_t settled[4][WORDS_MAX];
	int n_settled[4];
};

static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

static float hashed_logit(uint64_t row, int token)
{
	return (float)(mix(row ^ (uint64_t)token << 40) >> 40) * 0x1p-24f * 6 + (token == EOS ? 1 : 0);
}

static int forest_step(void *ctx, const struct beam_step *s, struct error *err)
{
	struct forest *f = ctx;
	uint64_t rows[ROWS_MAX];

	for (int i = 0; i < s->rows; i++) {
		rows[i] = s->parent ? mix(f->rows[s->parent[i]] + (uint64_t)s->token[i]) : f->seeds[s->item[i]];
		for (int k = 0; k < f->vocabulary; k++)
			s->logits[i * f->vocabulary + k] = hashed_logit(rows[i], k);
	}
	memcpy(f->rows, rows, sizeof rows);
	return 0;
}

static void forest_settled(void *ctx, int item, const int32_t *ids, int n)
{
	struct forest *f = ctx;

	assert_true(n > f->n_settled[item] && n < WORDS_MAX);
	assert_memory_equal(ids, f->settled[item], (size_t)f->n_settled[item] * sizeof *ids);
	memcpy(f->settled[item], ids, (size_t)n * sizeof *ids);
	f->n_settled[item] = n;
}

/* What was reported as settled grows, is never taken back, and in the end is the winner. */
static void test_settled_prefix(void **state)
{
	int early = 0;

	for (uint64_t seed = 0; seed < 200; seed++) {
		struct forest f = {.seeds = &seed, .vocabulary = 9 + (int)(seed % 20)};
		struct beam_options o = options(1 + (int)(seed % 6));
		struct beam_result r;

		o.vocabulary = f.vocabulary;
		o.no_repeat_ngram = (int)(seed % 4);
		o.rules = seed / 4 % 2 ? BEAM_TRANSFORMERS : BEAM_FAIRSEQ;
		assert_int_equal(beam_search(&o, 1, forest_step, forest_settled, &f, &r, NULL), 0);
		assert_true(r.n > 0);
		assert_int_equal(f.n_settled[0], r.hypotheses[0].length - (r.hypotheses[0].ids[r.hypotheses[0].length - 1] == EOS));
		assert_memory_equal(f.settled[0], r.hypotheses[0].ids, (size_t)f.n_settled[0] * sizeof(int32_t));
		early += f.n_settled[0] > 2;
		beam_result_free(&r);
	}
	assert_true(early > 20); /* otherwise the captions were too short to show anything */
}

static void same_result(const struct beam_result *a, const struct beam_result *b)
{
	assert_int_equal(a->n, b->n);
	for (int i = 0; i < a->n; i++) {
		const struct beam_hypothesis *x = &a->hypotheses[i], *y = &b->hypotheses[i];

		assert_int_equal(x->length, y->length);
		assert_memory_equal(x->ids, y->ids, (size_t)x->length * sizeof *x->ids);
		assert_memory_equal(x->scores, y->scores, (size_t)x->length * sizeof *x->scores);
		assert_float_equal(x->score, y->score, 0);
	}
}

static void test_batch_equals_singles(void **state)
{
	for (uint64_t round = 0; round < 20; round++) {
		uint64_t seeds[4] = {4 * round, 4 * round + 1, 4 * round + 2, 4 * round + 3};
		struct forest f = {.seeds = seeds, .vocabulary = 100};
		struct beam_options o = options(3);
		struct beam_result batch[4], single;

		o.vocabulary = f.vocabulary;
		o.rules = round % 2 ? BEAM_TRANSFORMERS : BEAM_FAIRSEQ;
		assert_int_equal(beam_search(&o, 4, forest_step, forest_settled, &f, batch, NULL), 0);
		for (int i = 0; i < 4; i++) {
			struct forest alone = {.seeds = &seeds[i], .vocabulary = f.vocabulary};

			assert_int_equal(beam_search(&o, 1, forest_step, NULL, &alone, &single, NULL), 0);
			same_result(&batch[i], &single);
			beam_result_free(&single);
			beam_result_free(&batch[i]);
		}
	}
}

/* With one word and the end, the hypotheses are the K likeliest words: found by sorting, for vocabularies around the sizes of the search's blocks. */
static void test_many_words_are_ranked(void **state)
{
	for (int vocabulary = 60; vocabulary < 330; vocabulary += 3) {
		uint64_t seed = mix((uint64_t)vocabulary);
		struct forest f = {.seeds = &seed, .vocabulary = vocabulary};
		struct beam_options o = options(7);
		struct beam_result r;
		double sum = 0, last = INFINITY;

		o.vocabulary = vocabulary;
		o.max_length = o.min_length = 1;
		assert_int_equal(beam_search(&o, 1, forest_step, NULL, &f, &r, NULL), 0);
		assert_int_equal(r.n, 7);
		for (int k = 0; k < vocabulary; k++)
			sum += exp(hashed_logit(seed, k));
		for (int rank = 0; rank < 7; rank++) {
			int best = -1, found = 0;

			for (int k = 0; k < vocabulary; k++) {
				double logit = hashed_logit(seed, k);

				if (k != EOS && k != PAD && logit < last && (best < 0 || logit > hashed_logit(seed, best)))
					best = k;
			}
			last = hashed_logit(seed, best);
			for (int i = 0; i < r.n; i++) {
				if (r.hypotheses[i].ids[0] != best)
					continue;
				found++;
				assert_float_equal(r.hypotheses[i].scores[0], last - log(sum), 1e-5);
			}
			assert_int_equal(found, 1);
		}
		beam_result_free(&r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_greedy),
		cmocka_unit_test(test_beam_sees_further),
		cmocka_unit_test(test_unnormalised_logits),
		cmocka_unit_test(test_end_counts_among_first_ranks_only),
		cmocka_unit_test(test_stops_when_all_beams_ended),
		cmocka_unit_test(test_minimum_length),
		cmocka_unit_test(test_maximum_length),
		cmocka_unit_test(test_minimum_beyond_maximum),
		cmocka_unit_test(test_length_penalty),
		cmocka_unit_test(test_plain_sum),
		cmocka_unit_test(test_temperature),
		cmocka_unit_test(test_unknown_penalty),
		cmocka_unit_test(test_pad_is_never_said),
		cmocka_unit_test(test_repeated_run),
		cmocka_unit_test(test_bos_counts_in_runs),
		cmocka_unit_test(test_runs_of_one),
		cmocka_unit_test(test_transformers_greedy),
		cmocka_unit_test(test_transformers_takes_unfinished_rows),
		cmocka_unit_test(test_transformers_goes_on_while_it_may_pay),
		cmocka_unit_test(test_repetition),
		cmocka_unit_test(test_prompt),
		cmocka_unit_test(test_nan_ends_a_row),
		cmocka_unit_test(test_nothing_but_nan),
		cmocka_unit_test(test_more_beams_than_words),
		cmocka_unit_test(test_failing_step),
		cmocka_unit_test(test_refused_options),
		cmocka_unit_test(test_settled_prefix),
		cmocka_unit_test(test_batch_equals_singles),
		cmocka_unit_test(test_many_words_are_ranked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
