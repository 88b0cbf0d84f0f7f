/* models.h - inside models/: what one network offers to the table in models.c.
 *
 * A network is one file and one row. `struct model` starts with this base; a network's own struct has it as its first member.
 */
#ifndef MODELS_MODELS_H
#define MODELS_MODELS_H

#include <jansson.h>

#include "core/model.h"
#include "models/nn.h"

struct model_ops;

struct model {
	const struct model_ops *ops;
	struct model_info info;
	char *dir;
	struct checkpoint *file;  /* mapped weights; the fp32 ones are used in place */
	tt_pool *weights, *work;  /* weights: NULL when evicted */
	enum precision precision; /* in use, or last in use; never AUTO. Atomic: any thread reads it */
	int device, owner;
	bool resident; /* atomic, as weights != NULL */
	void *net;     /* of the last time that weights were read; its tensors may be gone */
};

struct model_ops {
	const char *architecture; /* config.json's model_type: "clip", "ofa", "blip", … */
	const char *title;        /* for messages: "CLIP" */
	enum model_kind kind;
	size_t size; /* of the network's own struct, allocated zeroed by models.c */
	/* Reads config.json (already parsed) and tokenizer/preprocessor files into m, adds to m->info (name, parameters and the like are there already, and
	 * m->file is open). No libtorch. On failure finish is called. */
	int (*configure)(struct model *m, const json_t *config, struct error *err);
	/* Opens the net with the source, which reads or counts; errors stick to the source. destroy: not the tensors; NULL is fine. Counting needs no libtorch. */
	void *(*create)(const struct model *m, struct nn_source *source);
	void (*destroy)(void *net);
	/* Looks at a net that was opened without error before it takes m->net's place; -1: it does not. May be NULL. */
	int (*adopt)(struct model *m, void *net, struct error *err);
	void (*finish)(struct model *m); /* frees what configure made; the net is gone already */
	int (*prepare)(const struct model *m, const struct image *image, int image_size, struct pixels *out, struct error *err);
	/* pictures: n tensors [k,3,H,W] fp32 CPU, in m->work; a vector each, in order */
	int (*embed_images)(struct model *m, tt_tensor *const *pictures, int n, float *out, struct error *err);
	int (*embed_texts)(struct model *m, const char *const *texts, int n, float *out, struct error *err);
	float (*logit_scale)(const struct model *m);
	float (*logit_bias)(const struct model *m); /* of those with info.sigmoid */
	int (*caption)(struct model *m, tt_tensor *pixels, const struct caption_options *options, struct caption *out, struct error *err);
	int (*classify)(struct model *m, const struct text_pair *pairs, int n, struct verdict *out, struct error *err);
	/* Any thread. request: precision is not AUTO; out has the weights, which create counted. See forecast.h. */
	void (*forecast)(const struct model *m, const struct forecast_request *request, struct forecast *out);
};

extern const struct model_ops clip_ops, ofa_ops, blip_ops, bert_ops, roberta_ops, bart_ops, deberta_ops, siglip_ops;
extern const struct model_library vramble_models; /* the one symbol that the shared object exports */

/* Opening in the two stages that the table uses; also for the golden runner and the trainer's evaluation. */
struct model *model_configure(const char *name, struct error *err); /* a folder, a file of weights, or a name in a cache: see locate.h */
int model_load(struct model *m, int device, enum precision precision, int owner, const struct model_control *control, struct error *err);
void model_close(struct model *m); /* NULL is fine */

/* place.c: these as the members of the same names in core/model.h. */
int model_place(struct model *m, int device, enum precision precision, const struct model_control *control, struct error *err);
void model_evict(struct model *m);
bool model_resident(const struct model *m);
enum precision model_precision(const struct model *m);
/* What runs for what was asked, never AUTO. On a CPU fp16 has no kernels, and bf16 without instructions for it is slower than fp32. Any thread. */
enum precision model_precision_for(int device, enum precision wanted);

/* -1 with the work pool's error as "what: message", 0 when it has none. */
int model_check(const struct model *m, const char *what, struct error *err);

#endif
