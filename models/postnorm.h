/* postnorm.h - the half layers of post-norm transformers (Vaswani et al. 2017): what BERT, RoBERTa, BART and DeBERTa have in common.
 *
 * x [B,L,d] is the residual stream in fp32; products run in `compute`. Thread: the lane's. Tensors of the layers are the source's.
 *
 *	x = postnorm_attend(p, &layer->attention, TT_F32, x, x, mask, false);
 *	x = postnorm_feed(p, &layer->feed, TT_F32, x);
 */
#ifndef MODELS_POSTNORM_H
#define MODELS_POSTNORM_H

#include "models/nn.h"

/* LN(x + output(attention(x, y))) */
struct postnorm_attention {
	struct nn_linear query, key, value, output; /* [d,d] */
	struct nn_norm norm;
	int heads;
};

/* LN(x + down(act(up(x)))) */
struct postnorm_feed {
	struct nn_linear up, down; /* [wide,d], [d,wide] */
	struct nn_norm norm;
	enum tt_activation activation;
};

/* What a family of networks calls the parts of a layer, behind the layer's own name. */
struct postnorm_names {
	const char *query, *key, *value, *output, *norm;
	const char *up, *down, *feed_norm;
};
extern const struct postnorm_names postnorm_bert; /* attention.self.query, ..., as BERT and RoBERTa have them */

struct postnorm_attention postnorm_attention_open(struct nn_source *s, const char *layer, const struct postnorm_names *names, int64_t d, int heads,
						  double eps);
struct postnorm_feed postnorm_feed_open(struct nn_source *s, const char *layer, const struct postnorm_names *names, int64_t d, int64_t wide,
					enum tt_activation activation, double eps);
/* "<prefix>.<name>.weight" and so on. */
struct nn_linear postnorm_linear_open(struct nn_source *s, const char *prefix, const char *name, int64_t in, int64_t out);
/* The same of a norm; files from the first releases call its weight and bias gamma and beta. */
struct nn_norm postnorm_norm_open(struct nn_source *s, const char *prefix, const char *name, int64_t d, double eps);

/* mask [B,L] of 0 and 1 -> what is added to scores, [B,1,1,L] in compute: 0, or for 0 compute's most negative finite number, as the reference does. */
tt_tensor *postnorm_mask(tt_pool *p, tt_tensor *mask, enum tt_dtype compute, int device);
/* Queries of x, keys and values of y (x itself, or an encoder's output in fp32 or compute); bias and causal as in tt_attention. */
tt_tensor *postnorm_attend(tt_pool *p, const struct postnorm_attention *a, enum tt_dtype compute, tt_tensor *x, tt_tensor *y, tt_tensor *bias,
			   bool causal);
/* The end of that: mixed [B,L,d] in compute, before the output layer. */
tt_tensor *postnorm_leave(tt_pool *p, const struct postnorm_attention *a, tt_tensor *x, tt_tensor *mixed);
tt_tensor *postnorm_feed(tt_pool *p, const struct postnorm_feed *f, enum tt_dtype compute, tt_tensor *x);

#endif
