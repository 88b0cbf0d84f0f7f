/* locate.h - from what a user calls a model to where its files are. No libtorch, no network; any thread.
 *
 * A name is a path (a folder, or one file of weights; ~/ is the home folder), or a model's name in one of the caches that other tools fill:
 *  - Hugging Face's: $HF_HUB_CACHE, else $HUGGINGFACE_HUB_CACHE, else $HF_HOME/hub, else $XDG_CACHE_HOME/huggingface/hub, else
 *    ~/.cache/huggingface/hub; and $TRANSFORMERS_CACHE. In it models--OWNER--NAME/refs/main names the commit whose snapshots/COMMIT holds the files,
 *    as links into blobs/. OWNER/NAME@REVISION is the one that refs/REVISION or a snapshot of that name is.
 *  - ModelScope's: $MODELSCOPE_CACHE, else ~/.cache/modelscope/hub; in it [models/]OWNER/NAME, where each dot of the name is written "___".
 *  - OpenAI's: ~/.cache/clip, as NAME.pt ("ViT-B/32" is ViT-B-32.pt).
 *
 *	char *path;
 *	if (locate_model("openai/clip-vit-base-patch32", &path, &err) < 0)
 *		return -1;
 *	…
 *	free(path);
 */
#ifndef CORE_LOCATE_H
#define CORE_LOCATE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/error.h"

/* *path: the folder or file, malloc'd. Something on disk under that very name wins. E_IO: a path that is not there; E_MODEL: in no cache (the text
 * lists where was looked), or in one with files missing: a download that was cut short. */
int locate_model(const char *name, char **path, struct error *err);
/* The same, but a folder in the cache is given also when files are missing in it: for who tells of each file. */
int locate_parts(const char *name, char **path, struct error *err);

/* Where other tools put what they fetch, the first place of those above; malloc'd. NULL: the environment names none, not even a HOME. */
char *locate_hugging_face(void);
char *locate_modelscope(void); /* with models/ */
/* A file of Hugging Face's settings, such as "token": in $HF_HOME, else ~/.cache/huggingface; malloc'd, NULL as above. */
char *locate_hugging_face_file(const char *file);

/* OWNER/NAME or NAME, as both hubs allow them: cannot lead out of a folder. */
bool locate_is_name(const char *name);
/* NAME or NAME@REVISION taken apart: *plain is malloc'd, *revision points into name or is NULL. False (nothing to free): neither. */
bool locate_split(const char *name, char **plain, const char **revision);
/* A model's folder in either cache, relative to its root: models--OWNER--NAME; OWNER/NAME with dots written "___". malloc'd. */
char *locate_hugging_face_folder(const char *name);
char *locate_modelscope_folder(const char *name);

/* The folder that is path, or that the file path is in; malloc'd. */
char *locate_folder(const char *path);

/* Of the file, or of the files right in the folder; 0 if there are none. */
int64_t locate_bytes(const char *path);

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
