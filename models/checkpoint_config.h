/* checkpoint_config.h - a config.json for weights that came without: OpenAI's .pt files and open_clip's of CLIP, Salesforce's .pth of BLIP. No libtorch;
 * any thread.
 *
 *	json_t *config = checkpoint_config("ViT-B-32.pt", NULL, &err);
 *	…
 *	json_decref(config);
 */
#ifndef MODELS_CHECKPOINT_CONFIG_H
#define MODELS_CHECKPOINT_CONFIG_H

#include <jansson.h>

#include "core/error.h"

/* What Hugging Face's config.json would say of the weights in path (a folder or a file): sizes and layers from the shapes (as clip/model.py's
 * build_model does), heads 64 wide, quick_gelu. An open_clip_config.json beside them has the say over heads and activation (open_clip: gelu unless
 * "quick_gelu"), and given (may be NULL, borrowed) over "hidden_act". Of a BLIP: heads 64 wide, gelu, and Salesforce's own epsilons and settings of
 * the search. The caller calls json_decref. NULL with E_MODEL when the names are neither OpenAI's nor Salesforce's, or the weights use what the networks
 * here have not; or with what checkpoint_open says. */
json_t *checkpoint_config(const char *path, const json_t *given, struct error *err);

#endif
