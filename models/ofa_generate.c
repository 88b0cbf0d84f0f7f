/* ofa_generate.c - OFA's decoder one token at a time. See ofa.h; caches and rows are those of decode.h. What all rows and pictures share beside them are
 * position biases: of the tokens among themselves per layer, of tokens and picture for all layers.
 */
#include <stdlib.h>

#include "core/mem.h"
#include "models/decode.h"
#include "models/ofa_net.h"

struct ofa_decoding {
	const struct ofa_net *net;
	struct decode d;
	/* 2 + layers tensors that outlive a step: of the cross attention its position bias [1,H,M,S] and [n,1,1,S] or NULL for padding, then each layer's
	 * [1,H,M,M]; fp32, M = max_length + 1 places */
	tt_tensor **kept;
};

enum { ACROSS, KEY_BIAS, LAYERS };

static int kept_count(const struct ofa_decoding *o)
{
	return LAYERS + o->net->config.decoder_layers;
}

struct ofa_decoding *ofa_decoding_create(const struct ofa_net *net, tt_pool *p, const struct ofa_memory *memory, int max_length)
{
	const struct ofa_decoder *decoder = &net->decoder;
	struct ofa_decoding *o = xcalloc(1, sizeof *o);
	int heads = net->config.decoder_heads, layers = net->config.decoder_layers;
	tt_tensor *places, *absolute;

	o->net = net;
	o->kept = xcalloc(LAYERS + (size_t)layers, sizeof *o->kept);
	decode_open(&o->d, p, net->device, layers, (int)tt_size(memory->output, 0));
	if (ofa_check_tokens(net, p, max_length + 1) < 0)
		return o;
	places = ofa_decoder_positions(net, p, max_length + 1);
	absolute = ofa_position_bias(net, p, &decoder->self_pos_q, &decoder->self_pos_k, places, places, heads);
	o->kept[ACROSS] = ofa_position_bias(net, p, &decoder->cross_pos_q, &decoder->cross_pos_k, places, memory->positions, heads);
	o->kept[KEY_BIAS] = memory->key_bias ? tt_share(p, memory->key_bias) : NULL;
	for (int i = 0; i < layers; i++) {
		const struct ofa_layer *l = &decoder->layers[i];

		o->kept[LAYERS + i] = tt_add(p, absolute, ofa_token_bias(net, p, l->token_table, max_length + 1));
		decode_see(&o->d, i, &l->cross.k, &l->cross.v, l->cross.heads, memory->output);
	}
	decode_settle(&o->d, o->kept, kept_count(o));
	return o;
}

void ofa_decoding_destroy(struct ofa_decoding *o)
{
	if (!o)
		return;
	decode_close(&o->d);
	free(o->kept);
	free(o);
}

static struct decode_attention attention_of(const struct ofa_net *net, const struct ofa_attention *a)
{
	return (struct decode_attention){&a->q, &a->k, &a->v, a->heads, ofa_scale(net, a->heads)};
}

/* x [rows,d] fp32 */
static tt_tensor *attend_self(struct ofa_decoding *o, int i, tt_tensor *x, int step)
{
	const struct ofa_attention *a = &o->net->decoder.layers[i].self;
	const struct decode_attention as = attention_of(o->net, a);
	tt_pool *p = o->d.p;
	tt_tensor *bias = tt_slice(p, tt_slice(p, o->kept[LAYERS + i], 2, step, step + 1), 3, 0, step + 1);
	tt_tensor *mixed = decode_attend_tokens(&o->d, i, &as, ofa_attention_enter(o->net, p, a, x), bias);

	mixed = tt_mul_(p, mixed, tt_reshape(p, a->head_scale, TT_SHAPE(a->heads, 1)));
	return ofa_attention_leave(p, a, x, tt_reshape(p, tt_cast(p, mixed, o->net->compute), TT_SHAPE(tt_size(x, 0), tt_size(x, 1))));
}

/* bias [1 or n,H,1,S] */
static tt_tensor *attend_picture(struct ofa_decoding *o, int i, tt_tensor *x, tt_tensor *bias)
{
	const struct ofa_attention *a = &o->net->decoder.layers[i].cross;
	const struct decode_attention as = attention_of(o->net, a);
	tt_tensor *h = ofa_attention_enter(o->net, o->d.p, a, x);

	return ofa_attention_leave(o->d.p, a, x, decode_attend_picture(&o->d, i, &as, h, bias, a->head_scale));
}

int ofa_decoding_step(struct ofa_decoding *o, const struct beam_step *s, struct error *err)
{
	const struct ofa_net *net = o->net;
	tt_pool *p = o->d.p;
	tt_tensor *x, *across;

	decode_begin(&o->d, s, &o->kept[KEY_BIAS]);
	across = tt_slice(p, o->kept[ACROSS], 2, s->step, s->step + 1);
	if (o->kept[KEY_BIAS])
		across = tt_add(p, across, o->kept[KEY_BIAS]);
	x = ofa_embed(net, p, o->d.tokens, NULL, &net->decoder.text_norm);
	for (int i = 0; i < net->config.decoder_layers; i++) {
		x = attend_self(o, i, x, s->step);
		x = attend_picture(o, i, x, across);
		x = ofa_feed_run(net, p, &net->decoder.layers[i].feed, x);
	}
	return decode_end(&o->d, s, ofa_logits(net, p, x), o->kept, kept_count(o), err);
}
