/* clip.h - CLIP's two towers over the shim (Radford et al. 2021; names and shapes as in Hugging Face's CLIPModel). Thread: the lane's. */
#ifndef MODELS_CLIP_H
#define MODELS_CLIP_H

#include <jansson.h>

#include "models/nn.h"

struct clip_tower_config {
	int hidden, intermediate, layers, heads;
	enum tt_activation activation;
	double eps;
};

enum { CLIP_EOS_UNKNOWN = 2 }; /* what the first published configs say instead of the true id */

struct clip_config {
	struct clip_tower_config vision, text;
	int image_size, patch_size;
	int vocabulary, context;
	int eos_token; /* CLIP_EOS_UNKNOWN: pool at the first maximum of the ids */
	int projection;
};

/* config: the parsed config.json. dir is for messages. */
int clip_config_read(const json_t *config, const char *dir, struct clip_config *out, struct error *err);

enum { CLIP_TEXTS_AT_ONCE = 32 }; /* in one forward pass; of SigLIP, too */

struct clip_net;

/* The net's struct is malloc'd; its tensors are the source's. */
struct clip_net *clip_net_create(const struct clip_config *config, struct nn_source *source);
void clip_net_destroy(struct clip_net *net); /* not the tensors */
/* pixels [B,3,S,S] fp32 -> [B,projection] fp32, not normalised */
tt_tensor *clip_image_features(const struct clip_net *net, tt_pool *p, tt_tensor *pixels);
/* The same; *rows, unless rows is NULL: what enters the last layer, [B,1+G*G,hidden] fp32, the class row and then the patches row by row. For training. */
tt_tensor *clip_image_features_rows(const struct clip_net *net, tt_pool *p, tt_tensor *pixels, tt_tensor **rows);
/* As clip_image_features, of n > 0 tensors [k,3,S,S] in order; on a CPU clip_pictures_at_once of them, one such group after the other. */
tt_tensor *clip_picture_features(const struct clip_net *net, tt_pool *p, tt_tensor *const *pictures, int n);
int clip_pictures_at_once(int device); /* any thread */
/* ids [B,L] I64, mask [B,L] I64 (0 = ignore) or NULL -> [B,projection] fp32, not normalised */
tt_tensor *clip_text_features(const struct clip_net *net, tt_pool *p, tt_tensor *ids, tt_tensor *mask);
tt_tensor *clip_logit_scale(const struct clip_net *net); /* the stored value (a logarithm), fp32, [] or [1] */

#endif
