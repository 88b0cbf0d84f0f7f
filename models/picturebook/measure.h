/* measure.h - how well the networks of this folder do on held-out scenes; for the trainer's table and for tests/torch/test_picturebook.c.
 *
 * Every scene holds a combination of kind and colour, or of two kinds and a relation, that no training picture had. The pictures are painted at
 * 320x240 and go the way that every picture goes: preprocessing, tokenizer, the weights as stored, beam search. A model is one that model_load has
 * loaded; its work pool is used. All functions: one thread at a time, the same arguments give the same scenes; 0, or -1 with err.
 */
#ifndef MODELS_PICTUREBOOK_MEASURE_H
#define MODELS_PICTUREBOOK_MEASURE_H

#include "models/models.h"

/* Shares are 0..1. */
struct measure_clip {
	float retrieval;   /* the right caption among those of 64 scenes scores highest */
	float colours;     /* the caption beats the same caption with colours swapped */
	float kinds;       /* "a photo of a cat" wins among all kinds, for pictures of one thing */
	float kinds_seen;  /* the same for new pictures of things in colours that training had */
	float relations;   /* the caption beats the same caption with another relation; chance is 0.5 */
	float cosine;      /* mean similarity of a picture with "A photo depicts" and its caption, what CLIPScore multiplies by 2.5 */
	float foil_cosine; /* the same with the swapped colours */
};
int measure_clip(struct model *m, int groups, struct measure_clip *out, struct error *err); /* groups of 64 scenes */

struct measure_captions {
	float things;    /* every thing named with its colour, and nothing else */
	float relations; /* of those with more than one thing: things and relation right */
	float backgrounds;
	float exact; /* word for word */
};
int measure_captions(struct model *m, int scenes, struct measure_captions *out, struct error *err);

struct measure_nli {
	float right;      /* of all pairs */
	float verdict[3]; /* of those with each enum nli_label */
};
int measure_nli(struct model *m, int pairs, struct measure_nli *out, struct error *err);

#endif
