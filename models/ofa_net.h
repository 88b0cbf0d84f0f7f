/* ofa_net.h - what the files of the OFA captioner share: the weights in memory and the pieces that teacher forcing and cached decoding both use.
 *
 * ofa_resnet.c holds the stem, ofa_net.c the encoder and the decoder over a whole prefix, ofa_generate.c the decoder one token at a time, ofa.c the
 * model directory and the row of the table. Thread: the lane's. Tensors of the net belong to the pool of the nn_source that it was made from.
 */
#ifndef MODELS_OFA_NET_H
#define MODELS_OFA_NET_H

#include "models/ofa.h"

enum {
	OFA_STEM_CHANNELS = 1024, /* of the stem's output */
	OFA_BUCKET_REACH = 1024,  /* distances of the token buckets end here, whatever the number of positions */
};

/* Norm before (or after), attention, norm in the middle (normformer), residual. */
struct ofa_attention {
	struct nn_linear q, k, v, out; /* [d,d] each, with bias */
	tt_tensor *head_scale;         /* c_attn [H] */
	struct nn_norm norm, mid;      /* mid.w NULL: none */
	int heads;
	bool pre_norm;
};

struct ofa_feed {
	struct nn_linear up, down; /* fc1 [ffn,d], fc2 [d,ffn] */
	struct nn_norm norm, mid;  /* [d], [ffn] */
	bool pre_norm;
};

struct ofa_layer {
	struct ofa_attention self, cross; /* cross: decoder only */
	struct ofa_feed feed;
	tt_tensor *token_table; /* [2*token_bucket-1,H] fp32 */
	tt_tensor *image_table; /* [(2*image_bucket-1)^2+3,H] fp32; encoder only */
};

struct ofa_stem;

struct ofa_encoder {
	struct ofa_stem *stem;
	struct nn_linear image_proj, pos_q, pos_k;
	tt_tensor *types;                                                     /* [2,d] fp32: text, image; NULL without */
	tt_tensor *positions, *image_positions;                               /* [positions+2,d], [image_bucket^2+1,d] fp32 */
	struct nn_norm text_norm, patch_norm, pos_norm, image_pos_norm, last; /* w NULL: none */
	struct ofa_layer *layers;
};

struct ofa_decoder {
	struct nn_linear self_pos_q, self_pos_k, cross_pos_q, cross_pos_k;
	tt_tensor *positions; /* [positions+2,d] fp32 */
	struct nn_norm text_norm, pos_norm, last;
	struct nn_linear head; /* [V,d], no bias */
	struct ofa_layer *layers;
};

struct ofa_net {
	struct ofa_config config;
	enum tt_dtype compute; /* of what flows through the matrices; masters may be fp32 in training */
	int device;
	tt_tensor *embed; /* [V,d] */
	struct ofa_encoder encoder;
	struct ofa_decoder decoder;
};

/* ---- the stem (ofa_resnet.c): a ResNet v1.5 without its last stage */

/* From a checkpoint the batch norms are folded into the convolutions; without one they stay, so that their statistics are trained. */
struct ofa_stem *ofa_stem_create(const int blocks[OFA_STAGES], struct nn_source *source);
void ofa_stem_destroy(struct ofa_stem *stem);
/* pixels [B,3,H,W] -> [B,1024,h,w], both in the compute dtype; every stride-2 step makes n of 2n-1 or 2n */
tt_tensor *ofa_stem_run(const struct ofa_stem *stem, tt_pool *p, tt_tensor *pixels);

/* ---- pieces (ofa_net.c) */

/* The table row of query-minus-key distance r: the distance itself up to bucket/2, logarithmic beyond (make_token_bucket_position of the published
 * code). 0..2*bucket-2. */
int64_t ofa_token_bucket(int bucket, int64_t r);
/* The table row for two image position ids (row*bucket+col+1; 0 is the id that stands for no place). */
int64_t ofa_image_bucket(int bucket, int64_t query, int64_t key);

/* Fails the pool when the position tables do not reach to n tokens. 0/-1. */
int ofa_check_tokens(const struct ofa_net *net, tt_pool *p, int64_t n);
/* Text ids [...] -> normed embeddings [...,d] fp32; type: added before the norm, or NULL. */
tt_tensor *ofa_embed(const struct ofa_net *net, tt_pool *p, tt_tensor *ids, tt_tensor *type, const struct nn_norm *norm);
/* Normed position vectors of the decoder's first n places, [1,n,d] fp32. */
tt_tensor *ofa_decoder_positions(const struct ofa_net *net, tt_pool *p, int64_t n);
/* Scaled products of position vectors a [1,n,d] and b [1,m,d]: [1,H,n,m] fp32. */
tt_tensor *ofa_position_bias(const struct ofa_net *net, tt_pool *p, const struct nn_linear *q, const struct nn_linear *k, tt_tensor *a, tt_tensor *b,
			     int heads);
/* A layer's relative bias among n tokens: [1,H,n,n] fp32. */
tt_tensor *ofa_token_bias(const struct ofa_net *net, tt_pool *p, tt_tensor *table, int64_t n);
/* What multiplies q k^T: (hd * attn_scale_factor)^-1/2. */
double ofa_scale(const struct ofa_net *net, int heads);
/* x [...,d] fp32 -> x + down(act(up(x))), with the layer's norms. */
tt_tensor *ofa_feed_run(const struct ofa_net *net, tt_pool *p, const struct ofa_feed *f, tt_tensor *x);
/* The two ends of an attention half layer: what goes into q, k, v (compute dtype), and the output layer with the residual. */
tt_tensor *ofa_attention_enter(const struct ofa_net *net, tt_pool *p, const struct ofa_attention *a, tt_tensor *x);
tt_tensor *ofa_attention_leave(tt_pool *p, const struct ofa_attention *a, tt_tensor *x, tt_tensor *mixed);
/* x [...,d] fp32 -> logits [...,V] fp32 */
tt_tensor *ofa_logits(const struct ofa_net *net, tt_pool *p, tt_tensor *x);

#endif
