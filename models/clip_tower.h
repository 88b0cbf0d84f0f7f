/* clip_tower.h - a pre-norm transformer as CLIP and SigLIP have two of: its layers, and pictures in groups that a device takes at once. Thread: the lane's. */
#ifndef MODELS_CLIP_TOWER_H
#define MODELS_CLIP_TOWER_H

#include "models/clip.h"
#include "models/json.h"

struct clip_layer {
	struct nn_norm norm1, norm2;
	struct nn_linear q, k, v, out, up, down;
};

struct clip_tower {
	struct clip_tower_config config;
	enum tt_dtype compute;
	struct clip_layer *layer;
};

/* Reads a tower's section; what it does not say is taken from `otherwise`. Errors stay in r. */
void clip_tower_read(struct json_reader *r, const json_t *section, const struct clip_tower_config *otherwise, struct clip_tower_config *out);
/* name: of the section, for the message. */
int clip_tower_check(const char *file, const char *name, const struct clip_tower_config *c, struct error *err);

/* Pictures need at least one patch; what does not fill a patch at their right and lower edges is left out, as a convolution with that stride does. */
int clip_patch_check(const char *file, int image_size, int patch_size, struct error *err);

/* "<prefix>.encoder.layers.N..."; the layers' list is malloc'd, its tensors are the source's. */
void clip_tower_open(struct clip_tower *t, const struct clip_tower_config *c, const char *prefix, struct nn_source *s);
void clip_tower_close(struct clip_tower *t);

/* x [B,L,d] fp32 through all layers; bias NULL or as in tt_attention. row [B] I64: of the last layer only that row of each x[b] leaves, [B,1,d]; NULL: all do.
 * *rows, unless rows is NULL: what enters the last layer. */
tt_tensor *clip_tower_run(const struct clip_tower *t, tt_pool *p, tt_tensor *x, tt_tensor *bias, bool causal, tt_tensor *row, tt_tensor **rows);
/* mask [B,L] of 0 and 1 -> bias [B,1,1,L] fp32 */
tt_tensor *clip_mask_bias(tt_pool *p, tt_tensor *mask, int device);

/* features(net, p, pictures, k) of n > 0 tensors [1,3,S,S], in groups of up to clip_pictures_at_once, one after the other, joined. */
tt_tensor *clip_in_groups(tt_pool *p, int device, tt_tensor *const *pictures, int n,
			  tt_tensor *(*features)(const void *net, tt_pool *p, tt_tensor *const *pictures, int n), const void *net);

#endif
