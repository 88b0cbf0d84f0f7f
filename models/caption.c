/* caption.c - see caption.h. */
#include "models/caption.h"

#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/utf8.h"

/* Tokens of the prompt among n: they were given and are no part of the caption. */
static int given(const struct caption_search *c, int n)
{
	return n < c->search.n_prompt ? n : c->search.n_prompt;
}

static void put_text(const struct caption_search *c, const int32_t *ids, int n, bool whole, char *out, size_t size)
{
	char *text = c->text(c->model, ids + given(c, n), n - given(c, n), whole);

	utf8_escape(text, strlen(text), out, size);
	free(text);
}

/* The step and what is settled have one context: ours. */
static int step(void *ctx, const struct beam_step *s, struct error *err)
{
	const struct caption_search *c = ctx;

	return c->step(c->ctx, s, err);
}

static void settled(void *ctx, int item, const int32_t *ids, int n)
{
	const struct caption_search *c = ctx;
	struct caption so_far;

	put_text(c, ids, n, false, so_far.text, sizeof so_far.text);
	c->options->on_text(c->options->ctx, item, so_far.text, n - given(c, n));
}

static int deliver(const struct caption_search *c, const struct beam_result *r, int row, struct caption *out, struct error *err)
{
	const struct beam_hypothesis *h = r->hypotheses;

	if (r->n == 0)
		return fail(err, E_MODEL, "%s: the scores of the next word are not finite; try another precision", c->model->info.name);
	put_text(c, h->ids, h->length, true, out->text, sizeof out->text);
	out->tokens = h->length - given(c, h->length);
	out->score = h->score;
	if (c->options->on_text)
		c->options->on_text(c->options->ctx, row, out->text, out->tokens - (h->ids[h->length - 1] == c->search.eos));
	return 0;
}

int caption_search(const struct caption_search *c, int n, struct caption *out, struct error *err)
{
	struct beam_result *results = xcalloc((size_t)n, sizeof *results);
	int rc = beam_search(&c->search, n, step, c->options->on_text ? settled : NULL, (void *)c, results, err);

	for (int i = 0; i < n; i++) {
		if (rc == 0)
			rc = deliver(c, &results[i], i, &out[i], err);
		beam_result_free(&results[i]);
	}
	free(results);
	return rc;
}
