/* siglip.h - SigLIP's two towers over the shim (Zhai et al. 2023; names and shapes as in Hugging Face's SiglipModel). Thread: the lane's.
 *
 * CLIP's layers (clip_tower.h) without a class row and without projections: patches are pooled by attention of one learnt query, texts by their last place,
 * whatever stands there, so that texts are always padded to the context. A pair's probability is sigmoid(exp(scale) * cosine + bias), each label for itself.
 */
#ifndef MODELS_SIGLIP_H
#define MODELS_SIGLIP_H

#include "models/clip.h"

struct siglip_config {
	struct clip_tower_config vision, text;
	int projection;             /* the shared space: as wide as the vision tower; texts come into it from their own width */
	int image_size, patch_size; /* what is left of the picture behind the last whole patch is not looked at */
	int vocabulary, context;
};

/* config: the parsed config.json. dir is for messages. */
int siglip_config_read(const json_t *config, const char *dir, struct siglip_config *out, struct error *err);

struct siglip_net;

/* The net's struct is malloc'd; its tensors are the source's. */
struct siglip_net *siglip_net_create(const struct siglip_config *config, struct nn_source *source);
void siglip_net_destroy(struct siglip_net *net); /* not the tensors; NULL is fine */
/* n > 0 tensors [k,3,S,S] fp32 -> a vector [projection] fp32 for each picture in order, not normalised */
tt_tensor *siglip_picture_features(const struct siglip_net *net, tt_pool *p, tt_tensor *const *pictures, int n);
/* ids [B,L] I64, mask [B,L] I64 (0 = ignore) or NULL -> [B,projection] fp32, not normalised. The published models are run without a mask. */
tt_tensor *siglip_text_features(const struct siglip_net *net, tt_pool *p, tt_tensor *ids, tt_tensor *mask);
/* The stored values, fp32 [1]: the scale is a logarithm. */
tt_tensor *siglip_logit_scale(const struct siglip_net *net);
tt_tensor *siglip_logit_bias(const struct siglip_net *net);

#endif
