/* ofa_generate.c - OFA's decoder one token at a time. See ofa.h.
 *
 * All rows of a picture share its keys, values and position biases: rows are laid out as [pictures,beams], and the cross attention takes the beams of a
 * picture as so many queries, so that nothing of the picture is copied per beam. The rows' own caches are [rows,H,tokens,hd] and are gathered by parent.
 */
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "models/ofa_net.h"

struct layer_cache {
	tt_tensor *bias;               /* [1,H,M,M] fp32, M = max_length + 1 places */
	tt_tensor *keys, *values;      /* [rows,H,tokens,hd]; NULL before the first token */
	tt_tensor *seen, *seen_values; /* of the pictures: [n,H,S,hd] */
};

enum { CACHED = sizeof(struct layer_cache) / sizeof(tt_tensor *) };

struct ofa_decoding {
	const struct ofa_net *net;
	tt_pool *p;
	tt_mark base;        /* all that follows is the decoding's */
	int n, *items;       /* pictures still searched for */
	tt_tensor *across;   /* [1,H,M,S] fp32: position bias of the cross attention */
	tt_tensor *key_bias; /* [n,1,1,S] fp32 or NULL */
	struct layer_cache *layers;
};

/* ---- beginning ---- */

/* Frees everything the decoding made but its state; also where a search is cancelled or waits for its turn. */
static void settle(struct ofa_decoding *d)
{
	int n = d->net->config.decoder_layers * CACHED;
	tt_tensor **keep = xcalloc((size_t)n + 2, sizeof *keep);

	memcpy(keep, d->layers, (size_t)n * sizeof *keep);
	keep[n] = d->across;
	keep[n + 1] = d->key_bias;
	tt_keep(d->p, d->base, keep, n + 2);
	free(keep);
}

static void open_layer(struct ofa_decoding *d, int i, tt_tensor *absolute, tt_tensor *output)
{
	const struct ofa_layer *l = &d->net->decoder.layers[i];
	struct layer_cache *c = &d->layers[i];
	tt_pool *p = d->p;

	c->bias = tt_add(p, absolute, ofa_token_bias(d->net, p, l->token_table, tt_size(absolute, 2)));
	c->seen = tt_kv(p, tt_contiguous(p, nn_heads(p, nn_linear(p, &l->cross.k, output), l->cross.heads)));
	c->seen_values = tt_kv(p, tt_contiguous(p, nn_heads(p, nn_linear(p, &l->cross.v, output), l->cross.heads)));
}

struct ofa_decoding *ofa_decoding_create(const struct ofa_net *net, tt_pool *p, const struct ofa_memory *memory, int max_length)
{
	const struct ofa_decoder *o = &net->decoder;
	struct ofa_decoding *d = xcalloc(1, sizeof *d);
	int heads = net->config.decoder_heads;
	tt_tensor *places, *absolute;

	d->net = net;
	d->p = p;
	d->base = tt_here(p);
	d->n = (int)tt_size(memory->output, 0);
	d->items = xcalloc((size_t)d->n + 1, sizeof *d->items);
	for (int i = 0; i < d->n; i++)
		d->items[i] = i;
	d->layers = xcalloc((size_t)net->config.decoder_layers, sizeof *d->layers);
	if (ofa_check_tokens(net, p, max_length + 1) < 0)
		return d;
	places = ofa_decoder_positions(net, p, max_length + 1);
	absolute = ofa_position_bias(net, p, &o->self_pos_q, &o->self_pos_k, places, places, heads);
	d->across = ofa_position_bias(net, p, &o->cross_pos_q, &o->cross_pos_k, places, memory->positions, heads);
	d->key_bias = memory->key_bias ? tt_share(p, memory->key_bias) : NULL;
	for (int i = 0; i < net->config.decoder_layers; i++)
		open_layer(d, i, absolute, memory->output);
	settle(d);
	return d;
}

void ofa_decoding_destroy(struct ofa_decoding *d)
{
	if (!d)
		return;
	free(d->layers);
	free(d->items);
	free(d);
}

/* ---- one step ---- */

/* [rows,d] of a linear layer -> [rows,H,1,hd] */
static tt_tensor *one_token(tt_pool *p, const struct nn_linear *l, tt_tensor *x, int heads)
{
	return tt_reshape(p, nn_linear(p, l, x), TT_SHAPE(tt_size(x, 0), heads, 1, tt_size(x, 1) / heads));
}

/* The cache of the rows' parents with the new token behind it. */
static tt_tensor *grow(tt_pool *p, tt_tensor *cache, tt_tensor *parent, tt_tensor *token)
{
	if (!cache)
		return tt_kv(p, token);
	if (parent)
		cache = tt_index_select(p, cache, 0, parent);
	return tt_kv(p, tt_cat(p, (tt_tensor *[]){cache, token}, 2, 2));
}

/* Every row and head is a small problem of its own: they are handed over as the heads of one. x [rows,d] fp32 */
static tt_tensor *attend_self(struct ofa_decoding *d, int i, tt_tensor *x, tt_tensor *parent, int step)
{
	const struct ofa_attention *a = &d->net->decoder.layers[i].self;
	struct layer_cache *c = &d->layers[i];
	tt_pool *p = d->p;
	int64_t rows = tt_size(x, 0), width = tt_size(x, 1), hd = width / a->heads, all = rows * a->heads, places = step + 1;
	tt_tensor *h = ofa_attention_enter(d->net, p, a, x), *query, *bias, *mixed;

	query = tt_reshape(p, one_token(p, &a->q, h, a->heads), TT_SHAPE(1, all, 1, hd));
	c->keys = grow(p, c->keys, parent, one_token(p, &a->k, h, a->heads));
	c->values = grow(p, c->values, parent, one_token(p, &a->v, h, a->heads));
	bias = tt_slice(p, tt_slice(p, c->bias, 2, step, places), 3, 0, places);
	bias = tt_reshape(p, tt_expand(p, bias, TT_SHAPE(rows, a->heads, 1, places)), TT_SHAPE(1, all, 1, places));
	mixed = tt_attention(p, query, tt_reshape(p, c->keys, TT_SHAPE(1, all, places, hd)), tt_reshape(p, c->values, TT_SHAPE(1, all, places, hd)),
			     ofa_scale(d->net, a->heads), bias, false, NULL);
	mixed = tt_mul_(p, tt_reshape(p, mixed, TT_SHAPE(rows, a->heads, hd)), tt_reshape(p, a->head_scale, TT_SHAPE(a->heads, 1)));
	return ofa_attention_leave(p, a, x, tt_reshape(p, tt_cast(p, mixed, d->net->compute), TT_SHAPE(rows, width)));
}

/* bias [1 or n,H,1,S] */
static tt_tensor *attend_picture(struct ofa_decoding *d, int i, tt_tensor *x, tt_tensor *bias)
{
	const struct ofa_attention *a = &d->net->decoder.layers[i].cross;
	const struct layer_cache *c = &d->layers[i];
	tt_pool *p = d->p;
	int64_t rows = tt_size(x, 0), width = tt_size(x, 1);
	tt_tensor *query = nn_linear(p, &a->q, ofa_attention_enter(d->net, p, a, x)), *mixed;

	query = nn_heads(p, tt_reshape(p, query, TT_SHAPE(d->n, rows / d->n, width)), a->heads);
	mixed = tt_attention(p, query, c->seen, c->seen_values, ofa_scale(d->net, a->heads), bias, false, a->head_scale);
	return ofa_attention_leave(p, a, x, tt_reshape(p, mixed, TT_SHAPE(rows, width)));
}

static tt_tensor *ids_tensor(struct ofa_decoding *d, const int *values, int n)
{
	int64_t *wide = xcalloc((size_t)n, sizeof *wide);
	tt_tensor *x;

	for (int i = 0; i < n; i++)
		wide[i] = values[i];
	x = tt_to(d->p, tt_from_i64(d->p, wide, TT_SHAPE(n)), TT_I64, d->net->device);
	free(wide);
	return x;
}

/* Pictures whose search is over leave the caches. The others all have the same number of rows, in order. */
static void drop_finished(struct ofa_decoding *d, const struct beam_step *s)
{
	int *left = xcalloc((size_t)d->n, sizeof *left), n = 0;
	tt_tensor *index;

	for (int i = 0, row = 0; i < d->n; i++) {
		if (row >= s->rows || s->item[row] != d->items[i])
			continue;
		d->items[n] = d->items[i];
		left[n++] = i;
		while (row < s->rows && s->item[row] == d->items[n - 1])
			row++;
	}
	if (n > 0 && n < d->n) {
		index = ids_tensor(d, left, n);
		for (int i = 0; i < d->net->config.decoder_layers; i++) {
			d->layers[i].seen = tt_kv(d->p, tt_index_select(d->p, d->layers[i].seen, 0, index));
			d->layers[i].seen_values = tt_kv(d->p, tt_index_select(d->p, d->layers[i].seen_values, 0, index));
		}
		if (d->key_bias)
			d->key_bias = tt_index_select(d->p, d->key_bias, 0, index);
		d->n = n;
	}
	free(left);
}

int ofa_decoding_step(struct ofa_decoding *d, const struct beam_step *s, struct error *err)
{
	const struct ofa_net *net = d->net;
	tt_pool *p = d->p;
	tt_tensor *x, *parent, *across;

	drop_finished(d, s);
	if (s->rows % d->n != 0)
		tt_fail(p, "%d rows for %d pictures", s->rows, d->n);
	parent = s->parent ? ids_tensor(d, s->parent, s->rows) : NULL;
	across = tt_slice(p, d->across, 2, s->step, s->step + 1);
	if (d->key_bias)
		across = tt_add(p, across, d->key_bias);
	x = ofa_embed(net, p, ids_tensor(d, s->token, s->rows), NULL, &net->decoder.text_norm);
	for (int i = 0; i < net->config.decoder_layers; i++) {
		x = attend_self(d, i, x, parent, s->step);
		x = attend_picture(d, i, x, across);
		x = ofa_feed_run(net, p, &net->decoder.layers[i].feed, x);
	}
	tt_to_f32(p, ofa_logits(net, p, x), s->logits, (size_t)s->rows * (size_t)net->config.vocabulary);
	settle(d);
	if (tt_status_of(p) != TT_OK)
		return fail(err, (enum error_code)tt_error_code(p), "%s", tt_message(p));
	return 0;
}
