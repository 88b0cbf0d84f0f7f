/* decode.h - inside models/: what decoders share that go one token at a time over the rows of a beam search (ofa_generate.c, blip_generate.c): caches of keys
 * and values, and which pictures and rows they belong to.
 *
 * All rows of a picture share its keys and values: rows are laid out as [pictures,beams], and the cross attention takes the beams of a picture as so many
 * queries, so that nothing of the picture is copied per beam. The rows' own caches are gathered by parent. Both are on the pool owner's line of the
 * account. Thread: the lane's. Tensors belong to the pool; all that is made in it between decode_open and the search's end is the decoder's.
 *
 *	decode_open(&d, p, device, layers, pictures);
 *	for each layer: decode_see(&d, i, &k, &v, heads, encoded);
 *	decode_settle(&d, NULL, 0);
 *	each step of the search: decode_begin(&d, step, NULL); … decode_attend_tokens … decode_attend_picture …; decode_end(&d, step, logits, NULL, 0, err);
 *	decode_close(&d);
 */
#ifndef MODELS_DECODE_H
#define MODELS_DECODE_H

#include "models/beam.h"
#include "models/nn.h"

struct decode_layer {
	tt_tensor *keys, *values;      /* of the rows' tokens: [rows,H,tokens,hd]; NULL before the first */
	tt_tensor *seen, *seen_values; /* of the pictures: [n,H,S,hd] */
};

struct decode {
	tt_pool *p;
	tt_mark base; /* all that follows is the decoder's */
	int device, layers;
	struct decode_layer *layer;
	int n, *items;               /* pictures still searched for, in order */
	tt_tensor *tokens, *parents; /* of the step: [rows] I64 on the device; parents NULL where rows are those of the step before */
};

/* One attention: its layers, and what multiplies q k^T. */
struct decode_attention {
	const struct nn_linear *q, *k, *v; /* k and v: not used for pictures */
	int heads;
	double scale;
};

void decode_open(struct decode *d, tt_pool *p, int device, int layers, int pictures);
void decode_close(struct decode *d); /* not the tensors */
/* The layer's keys and values of what the encoder left, encoded [n,S,d] in the compute dtype. */
void decode_see(struct decode *d, int layer, const struct nn_linear *k, const struct nn_linear *v, int heads, tt_tensor *encoded);

/* Begins a step: fills tokens and parents; pictures whose search is over leave the caches, and *by_picture [n,…] (NULL, or of NULL: nothing). */
void decode_begin(struct decode *d, const struct beam_step *s, tt_tensor **by_picture);
/* Ends it: logits [rows,V] fp32 go to the search; all that the step made is freed but the caches and the n tensors of `also` (NULLs allowed). The place
 * where a search is cancelled or waits for its turn. Errors of the pool, whenever they came, come out here. */
int decode_end(struct decode *d, const struct beam_step *s, tt_tensor *logits, tt_tensor *const *also, int n, struct error *err);
/* Frees in the same way what was made before the first step. */
void decode_settle(struct decode *d, tt_tensor *const *also, int n);

/* The newest token of each row, x [rows,d] in the compute dtype, over the row's tokens with itself, whose keys and values join the caches: [rows,H,hd]. bias
 * fp32 [1,H,1,tokens] or NULL. */
tt_tensor *decode_attend_tokens(struct decode *d, int layer, const struct decode_attention *a, tt_tensor *x, tt_tensor *bias);
/* Over the row's picture: [rows,d]. bias and head_scale as in tt_attention, bias [1 or n,H,1,S]. */
tt_tensor *decode_attend_picture(struct decode *d, int layer, const struct decode_attention *a, tt_tensor *x, tt_tensor *bias, tt_tensor *head_scale);

#endif
