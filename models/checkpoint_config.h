/* checkpoint_config.h - a config.json for CLIP weights that came without: OpenAI's .pt files and open_clip's. No libtorch; any thread.
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
 * "quick_gelu"), and given (may be NULL, borrowed) over "hidden_act". The caller calls json_decref. NULL with E_MODEL when the weights are not in
 * OpenAI's names, or use what the networks here have not; or with what checkpoint_open says. */
json_t *checkpoint_config(const char *path, const json_t *given, struct error *err);

#endif
