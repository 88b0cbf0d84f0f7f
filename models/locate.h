/* locate.h - from what a user calls a model to where its files are. No libtorch, no network; any thread.
 *
 * A name is a path (a folder, or one file of weights), or a model's name in one of the caches that other tools fill:
 *  - Hugging Face's: $HF_HUB_CACHE, else $HUGGINGFACE_HUB_CACHE, else $HF_HOME/hub, else $XDG_CACHE_HOME/huggingface/hub, else
 *    ~/.cache/huggingface/hub; and $TRANSFORMERS_CACHE. In it models--OWNER--NAME/refs/main names the commit whose snapshots/COMMIT holds the files,
 *    as links into blobs/.
 *  - ModelScope's: $MODELSCOPE_CACHE, else ~/.cache/modelscope/hub; in it [models/]OWNER/NAME, where each dot of the name is written "___".
 *  - OpenAI's: ~/.cache/clip, as NAME.pt ("ViT-B/32" is ViT-B-32.pt).
 *
 *	char *path;
 *	if (locate_model("openai/clip-vit-base-patch32", &path, &err) < 0)
 *		return -1;
 *	…
 *	free(path);
 */
#ifndef MODELS_LOCATE_H
#define MODELS_LOCATE_H

#include <stdint.h>

#include "core/error.h"

/* *path: the folder or file, malloc'd. Something on disk under that very name wins. E_IO: a path that is not there; E_MODEL: in no cache (the text
 * lists where was looked), or in one with files missing: a download that was cut short. */
int locate_model(const char *name, char **path, struct error *err);

/* The folder that is path, or that the file path is in; malloc'd. */
char *locate_folder(const char *path);

struct located {
	char *name;         /* as locate_model takes it */
	char *path;         /* NULL: something is wrong with it */
	char *problem;      /* what; NULL if nothing */
	const char *source; /* "Hugging Face", "ModelScope", "OpenAI"; static */
	int64_t bytes;      /* of its files */
};

/* All models in the caches, sorted by name; free with locate_free. Returns how many. */
int locate_list(struct located **list);
void locate_free(struct located *list, int n);

#endif
