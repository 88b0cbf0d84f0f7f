/* blip_net.h - what the files of the BLIP captioner share: the weights in memory. blip_config.c reads config.json, blip_vision.c holds the ViT,
 * blip_text.c the decoder, blip.c the model directory and the row of the table. Thread: the lane's. Tensors belong to the pool of the nn_source that they
 * were made from. */
#ifndef MODELS_BLIP_NET_H
#define MODELS_BLIP_NET_H

#include "models/blip.h"
#include "models/postnorm.h"

struct blip_vision_layer {
	struct nn_norm norm1, norm2;
	struct nn_linear qkv, projection, up, down; /* qkv [3d,d]: the rows of q, then k, then v */
};

struct blip_vision {
	tt_tensor *class_row, *positions, *patch, *patch_bias; /* [1,1,d], [1,1+G*G,d] fp32; [d,3,P,P], [d] */
	struct blip_vision_layer *layers;
	struct nn_norm last;
};

struct blip_text_layer {
	struct postnorm_attention self, cross;
	struct postnorm_feed feed;
};

struct blip_text {
	tt_tensor *words, *positions; /* [V,d]; [positions,d] fp32 */
	struct nn_norm norm;
	struct blip_text_layer *layers;
	struct nn_linear transform, head; /* [d,d], [V,d] */
	struct nn_norm transform_norm;
};

struct blip_net {
	struct blip_config config;
	enum tt_dtype compute;
	int device;
	struct blip_vision vision;
	struct blip_text text;
};

void blip_vision_open(struct blip_net *net, struct nn_source *s);
void blip_text_open(struct blip_net *net, struct nn_source *s);

#endif
