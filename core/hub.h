/* hub.h - models fetched, when a user asks for one, from Hugging Face or ModelScope, and checked again later.
 *
 * A model goes where the hub's own tools put it (core/locate.h), so that they find it and what they fetched is found here:
 *  - Hugging Face: blobs/SUM hold the bytes, snapshots/COMMIT/FILE are links to them, refs/REVISION names the commit. SUM is a SHA-256 for files in
 *    git-lfs and git's own SHA-1 of a blob for the others. Blobs come first, links then, the reference last: what was cut short is never found by name.
 *  - ModelScope: the files themselves.
 *
 * Bytes arrive in SUM.incomplete, which a later pull goes on with; a file takes its name only when its size and its sum are right. Two processes that
 * want the same file take turns (the lock is huggingface_hub's). Fetched are the configuration, the tokenizer and one set of weights, safetensors before others.
 *
 * Environment: HF_ENDPOINT, HF_TOKEN (or its file), HF_HUB_OFFLINE, MODELSCOPE_ENDPOINT, and libcurl's proxies. The token goes to the endpoint's host
 * alone. Any thread; each call blocks it for as long as it takes.
 *
 *	struct hub_pull pull = {.name = "openai/clip-vit-base-patch32", .stop_fd = -1};
 *	char *folder;
 *	if (hub_pull(&pull, &folder, &err) < 0)
 *		return -1;
 *	…
 *	free(folder);
 */
#ifndef CORE_HUB_H
#define CORE_HUB_H

#include <stdbool.h>
#include <stdint.h>

#include "core/error.h"

enum hub_source { HUB_HUGGING_FACE, HUB_MODELSCOPE };

enum hub_step {
	HUB_PLAN,  /* it is known what is wanted: files, total, done */
	HUB_BYTES, /* done has grown; often */
	HUB_CHECK, /* the file is there whole and its sum is being computed */
	HUB_FILE,  /* the file is there and right */
	HUB_NOTE,  /* something worth a line: a retry, another process that is waited for */
};

struct hub_progress {
	enum hub_step step;
	const char *file; /* NULL in HUB_PLAN */
	const char *note; /* of HUB_NOTE */
	int files;
	int64_t done, total; /* bytes of all files; done counts what was there before */
};

struct hub_pull {
	const char *name; /* NAME or NAME@REVISION, as locate_split takes it */
	enum hub_source source;
	int stop_fd;                                            /* once readable, the pull ends with E_CANCELLED within a second; -1: never */
	int retry_ms;                                           /* pause before the first retry, doubled for each further one; 0: a second */
	void (*tell)(void *ctx, const struct hub_progress *at); /* on the calling thread; may be NULL */
	void *ctx;
};

/* *folder: where the model is now, malloc'd; NULL on failure. E_USAGE: a name or variable that cannot be; E_MODEL: no such model, gated, or no weights that
 * are read here; E_IO: network, disk or permission; E_FORMAT: what arrived is not what was announced; E_CANCELLED. What had arrived is kept. */
int hub_pull(const struct hub_pull *pull, char **folder, struct error *err);

struct hub_check {
	const char *file;   /* relative to the folder */
	int64_t bytes;      /* on disk */
	bool summed;        /* there is a sum to compare with, as in Hugging Face's cache */
	const char *reason; /* what is wrong with it; NULL: nothing was found */
};

/* Reads every file in folder, those below it too, in the order of their names, and compares with the sum that its link names. Returns how many are wrong, or
 * -1 with E_CANCELLED, or E_IO when the folder cannot be read. */
int hub_verify(const char *folder, int stop_fd, void (*tell)(void *ctx, const struct hub_check *check), void *ctx, struct error *err);

#endif
