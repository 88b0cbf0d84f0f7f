/* decode.c - see decode.h. */
#include "models/decode.h"

#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

enum { CACHED = sizeof(struct decode_layer) / sizeof(tt_tensor *) };

/* ---- beginning and ending ---- */

void decode_open(struct decode *d, tt_pool *p, int device, int layers, int pictures)
{
	*d = (struct decode){.p = p, .base = tt_here(p), .device = device, .layers = layers, .n = pictures};
	d->layer = xcalloc((size_t)layers, sizeof *d->layer);
	d->items = xcalloc((size_t)pictures + 1, sizeof *d->items);
	for (int i = 0; i < pictures; i++)
		d->items[i] = i;
}

void decode_close(struct decode *d)
{
	free(d->layer);
	free(d->items);
}

void decode_see(struct decode *d, int layer, const struct nn_linear *k, const struct nn_linear *v, int heads, tt_tensor *encoded)
{
	struct decode_layer *c = &d->layer[layer];

	c->seen = tt_kv(d->p, tt_contiguous(d->p, nn_heads(d->p, nn_linear(d->p, k, encoded), heads)));
	c->seen_values = tt_kv(d->p, tt_contiguous(d->p, nn_heads(d->p, nn_linear(d->p, v, encoded), heads)));
}

void decode_settle(struct decode *d, tt_tensor *const *also, int n)
{
	int cached = d->layers * CACHED;
	tt_tensor **keep = xcalloc((size_t)(cached + n), sizeof *keep);

	memcpy(keep, d->layer, (size_t)cached * sizeof *keep);
	if (n > 0)
		memcpy(keep + cached, also, (size_t)n * sizeof *keep);
	tt_keep(d->p, d->base, keep, cached + n);
	free(keep);
}

/* ---- a step's two ends ---- */

static tt_tensor *index_tensor(struct decode *d, const int *values, int n)
{
	int64_t *wide = xcalloc((size_t)n, sizeof *wide);
	tt_tensor *x;

	for (int i = 0; i < n; i++)
		wide[i] = values[i];
	x = tt_to(d->p, tt_from_i64(d->p, wide, TT_SHAPE(n)), TT_I64, d->device);
	free(wide);
	return x;
}

/* The pictures that still have rows, all the same number of them and in order, listed by their place among the d->n before. Returns how many. */
static int find_left(struct decode *d, const struct beam_step *s, int *left)
{
	int n = 0;

	for (int i = 0, row = 0; i < d->n; i++) {
		if (row >= s->rows || s->item[row] != d->items[i])
			continue;
		d->items[n] = d->items[i];
		left[n++] = i;
		while (row < s->rows && s->item[row] == d->items[n - 1])
			row++;
	}
	return n;
}

static void drop_finished(struct decode *d, const struct beam_step *s, tt_tensor **by_picture)
{
	int *left = xcalloc((size_t)d->n, sizeof *left), n = find_left(d, s, left);

	if (n > 0 && n < d->n) {
		tt_tensor *index = index_tensor(d, left, n);

		for (int i = 0; i < d->layers; i++) {
			d->layer[i].seen = tt_kv(d->p, tt_index_select(d->p, d->layer[i].seen, 0, index));
			d->layer[i].seen_values = tt_kv(d->p, tt_index_select(d->p, d->layer[i].seen_values, 0, index));
		}
		if (by_picture && *by_picture)
			*by_picture = tt_index_select(d->p, *by_picture, 0, index);
		d->n = n;
	}
	free(left);
}

void decode_begin(struct decode *d, const struct beam_step *s, tt_tensor **by_picture)
{
	drop_finished(d, s, by_picture);
	if (s->rows % d->n != 0)
		tt_fail(d->p, "%d rows for %d pictures", s->rows, d->n);
	d->parents = s->parent ? index_tensor(d, s->parent, s->rows) : NULL;
	d->tokens = index_tensor(d, s->token, s->rows);
}

int decode_end(struct decode *d, const struct beam_step *s, tt_tensor *logits, tt_tensor *const *also, int n, struct error *err)
{
	tt_to_f32(d->p, logits, s->logits, (size_t)tt_count(logits));
	decode_settle(d, also, n);
	if (tt_status_of(d->p) != TT_OK)
		return fail(err, (enum error_code)tt_error_code(d->p), "%s", tt_message(d->p));
	return 0;
}

/* ---- attention ---- */

/* [rows,d] of a linear layer -> [rows,H,1,hd] */
static tt_tensor *one_token(tt_pool *p, const struct nn_linear *l, tt_tensor *x, int heads)
{
	return tt_reshape(p, nn_linear(p, l, x), TT_SHAPE(tt_size(x, 0), heads, 1, tt_size(x, 1) / heads));
}

/* The cache of the rows' parents with the new token behind it. */
static tt_tensor *grow(const struct decode *d, tt_tensor *cache, tt_tensor *token)
{
	if (!cache)
		return tt_kv(d->p, token);
	if (d->parents)
		cache = tt_index_select(d->p, cache, 0, d->parents);
	return tt_kv(d->p, tt_cat(d->p, (tt_tensor *[]){cache, token}, 2, 2));
}

/* Every row and head is a small problem of its own: they are handed over as the heads of one. */
tt_tensor *decode_attend_tokens(struct decode *d, int layer, const struct decode_attention *a, tt_tensor *x, tt_tensor *bias)
{
	struct decode_layer *c = &d->layer[layer];
	tt_pool *p = d->p;
	int64_t rows = tt_size(x, 0), hd = tt_size(x, 1) / a->heads, all = rows * a->heads, tokens;
	tt_tensor *query = tt_reshape(p, one_token(p, a->q, x, a->heads), TT_SHAPE(1, all, 1, hd)), *mixed;

	c->keys = grow(d, c->keys, one_token(p, a->k, x, a->heads));
	c->values = grow(d, c->values, one_token(p, a->v, x, a->heads));
	tokens = tt_size(c->keys, 2);
	if (bias)
		bias = tt_reshape(p, tt_expand(p, bias, TT_SHAPE(rows, a->heads, 1, tokens)), TT_SHAPE(1, all, 1, tokens));
	mixed = tt_attention(p, query, tt_reshape(p, c->keys, TT_SHAPE(1, all, tokens, hd)), tt_reshape(p, c->values, TT_SHAPE(1, all, tokens, hd)),
			     a->scale, bias, false, NULL);
	return tt_reshape(p, mixed, TT_SHAPE(rows, a->heads, hd));
}

tt_tensor *decode_attend_picture(struct decode *d, int layer, const struct decode_attention *a, tt_tensor *x, tt_tensor *bias, tt_tensor *head_scale)
{
	const struct decode_layer *c = &d->layer[layer];
	int64_t rows = tt_size(x, 0), width = tt_size(x, 1);
	tt_tensor *query = tt_reshape(d->p, nn_linear(d->p, a->q, x), TT_SHAPE(d->n, rows / d->n, width));

	query = tt_attention(d->p, nn_heads(d->p, query, a->heads), c->seen, c->seen_values, a->scale, bias, false, head_scale);
	return tt_reshape(d->p, query, TT_SHAPE(rows, width));
}
