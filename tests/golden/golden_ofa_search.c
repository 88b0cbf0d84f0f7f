/* golden_ofa_search.c - the beam search by itself: the next token's logits are a hash of the tokens so far. See golden.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "tests/golden/golden_ofa.h"

/* ---- shared with golden_ofa.c ---- */

static double number(const json_t *settings, const char *key, double fallback)
{
	const json_t *value = json_object_get(settings, key);

	return json_is_number(value) ? json_number_value(value) : fallback;
}

struct beam_options golden_beam_options(const json_t *settings, int vocabulary)
{
	return (struct beam_options){
		.beams = (int)number(settings, "beam_size", 5),
		.max_length = (int)number(settings, "max_len_b", 16),
		.min_length = (int)number(settings, "min_len", 1),
		.no_repeat_ngram = (int)number(settings, "no_repeat_ngram_size", 3),
		.length_penalty = number(settings, "len_penalty", 1),
		.temperature = number(settings, "temperature", 1),
		.unk_penalty = number(settings, "unk_penalty", 0),
		.normalize = true,
		.bos = 0,
		.pad = 1,
		.eos = 2,
		.unk = 3,
		.vocabulary = vocabulary,
	};
}

void golden_compare_hypothesis(struct golden_case *c, const json_t *expected, const char *what, const struct beam_hypothesis *got)
{
	int64_t *ids = xcalloc((size_t)got->length + 1, sizeof *ids);
	const json_t *score = json_object_get(expected, "score");
	json_t *list = score ? json_pack("[O]", score) : NULL;

	for (int i = 0; i < got->length; i++)
		ids[i] = got->ids[i];
	golden_compare_ids(c, json_object_get(expected, "ids"), what, ids, (size_t)got->length);
	golden_compare(c, GOLDEN_VALUES, list, what, &got->score, 1);
	golden_compare(c, GOLDEN_VALUES, json_object_get(expected, "positional_scores"), what, got->scores, (size_t)got->length);
	json_decref(list);
	free(ids);
}

void golden_compare_hypotheses(struct golden_case *c, const json_t *expected, const char *what, const struct beam_result *got, bool exact)
{
	size_t n = json_array_size(expected), i;
	const json_t *node;

	if ((size_t)got->n < n || (exact && (size_t)got->n != n))
		golden_miss(c, "%s: %d hypotheses, expected %zu", what, got->n, n);
	json_array_foreach(expected, i, node) {
		if ((int)i < got->n)
			golden_compare_hypothesis(c, node, what, &got->hypotheses[i]);
	}
}

/* ---- search cases ---- */

struct hashed {
	uint64_t seed;
	float scale, eos_bias;
	int vocabulary, n; /* rows of the last step */
	char **names;      /* their tokens: "logits:0,20,12" */
};

static bool claims(const json_t *root)
{
	return json_object_get(root, "search_cases") && strcmp(golden_architecture(root), "ofa") == 0;
}

static void names_free(char **names, int n)
{
	for (int i = 0; i < n; i++)
		free(names[i]);
	free(names);
}

static int step(void *ctx, const struct beam_step *s, struct error *err)
{
	struct hashed *h = ctx;
	char **names = xcalloc((size_t)s->rows, sizeof *names);

	for (int i = 0; i < s->rows; i++) {
		float *logits = s->logits + (size_t)i * (size_t)h->vocabulary;

		names[i] = s->parent ? xasprintf("%s,%d", h->names[s->parent[i]], s->token[i]) : xasprintf("logits:%d", s->token[i]);
		synth_fill(logits, h->vocabulary, names[i], h->seed, h->scale, 0);
		logits[2] += h->eos_bias;
	}
	names_free(h->names, h->n);
	h->names = names;
	h->n = s->rows;
	return 0;
}

static int run_case(struct golden *g, const json_t *node, size_t index, struct error *err)
{
	const json_t *seed = json_object_get(node, "seed"), *vocabulary = json_object_get(node, "vocab");
	struct hashed h = {.scale = (float)number(node, "scale", 1), .eos_bias = (float)number(node, "eos_bias", 0)};
	struct beam_result result;
	struct beam_options o;
	struct golden_case c;
	char name[32];
	int rc;

	if (!json_is_integer(seed) || !json_is_integer(vocabulary) || json_integer_value(vocabulary) < 4 || json_integer_value(vocabulary) > 1000000)
		return fail(err, E_FORMAT, "search case %zu: \"seed\" or \"vocab\" is missing or odd", index);
	snprintf(name, sizeof name, "search %zu", index);
	c = golden_begin(g, name);
	h.seed = (uint64_t)json_integer_value(seed);
	h.vocabulary = (int)json_integer_value(vocabulary);
	o = golden_beam_options(json_object_get(node, "settings"), h.vocabulary);
	rc = beam_search(&o, 1, step, NULL, &h, &result, err);
	names_free(h.names, h.n);
	if (rc < 0)
		return fail_prefix(err, "search case %zu", index);
	golden_compare_hypotheses(&c, json_object_get(node, "hypotheses"), "hypotheses", &result, true);
	beam_result_free(&result);
	golden_end(&c);
	return 0;
}

static int run(struct golden *g, struct error *err)
{
	const json_t *cases = golden_array(g, "search_cases", err), *node;
	int rc = cases ? 0 : -1;
	size_t i;

	json_array_foreach(cases, i, node)
		if (rc == 0)
			rc = run_case(g, node, i, err);
	return rc;
}

const struct golden_kind golden_ofa_search = {"OFA beam search", claims, run};
