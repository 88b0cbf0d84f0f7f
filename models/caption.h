/* caption.h - inside models/: from a beam search to captions: what all captioners do with the ids that it finds. Thread: the lane's. Header holds the contract. */
#ifndef MODELS_CAPTION_H
#define MODELS_CAPTION_H

#include "models/beam.h"
#include "models/models.h"

/* One call of a network's caption. */
struct caption_search {
	const struct model *model;
	const struct caption_options *options; /* of the call; on_text may be NULL */
	struct beam_options search;
	beam_step_function *step; /* over the pictures of the batch, with ctx */
	void *ctx;
	/* The text that n ids stand for, UTF-8, malloc'd; special tokens are no text. whole: false leaves out an end that the next token could still change, so
	 * that what is shown only grows. */
	char *(*text)(const struct model *m, const int32_t *ids, int n, bool whole);
};

/* Captions of n pictures into out[n]: the best hypothesis of each, printable and cut between characters where it is longer than its room. */
int caption_search(const struct caption_search *c, int n, struct caption *out, struct error *err);

#endif
