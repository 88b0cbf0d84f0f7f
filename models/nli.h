/* nli.h - inside models/: what all judges of premise and hypothesis share, whatever their network: label order, pairs to padded batches, logits to verdicts.
 *
 * A judge's own struct has a struct nli_model as its first member. Its configure reads the network's config, fills `labels` ... `logits` and calls
 * nli_configure; its row of the table has nli_classify and nli_finish. Threads as the members of struct model_ops.
 */
#ifndef MODELS_NLI_H
#define MODELS_NLI_H

#include "models/labels.h"
#include "models/models.h"
#include "models/nli_text.h"

enum { NLI_SLICE_TOKENS = 4096 }; /* so many are computed at once, padding included */

struct nli_model {
	struct model base;
	/* By the network's configure: */
	int labels;     /* outputs of the classifier */
	int vocabulary; /* rows of the token table */
	int longest;    /* tokens of a pair */
	int types;      /* kinds of tokens; up to 1: there are no types */
	int layers, width;
	/* ids, types, mask [n,L] I64 in host memory (types, mask may be NULL: zeros, ones) -> [n,labels] fp32; errors stick to p */
	tt_tensor *(*logits)(const struct nli_model *m, tt_pool *p, tt_tensor *ids, tt_tensor *types, tt_tensor *mask);
	/* By nli_configure: */
	struct label_order order;
	struct nli_text text;
};

/* Finds the label order, loads the tokenizer, fills m's info. E_MODEL, or what nli_text_load says. */
int nli_configure(struct nli_model *m, enum nli_tokens tokens, const json_t *config, struct error *err);
void nli_finish(struct model *m); /* model_ops.finish */
/* The request with the longest pair where it names none, or a longer one. */
struct forecast_request nli_request(const struct nli_model *m, const struct forecast_request *request);
/* model_ops.classify */
int nli_classify(struct model *m, const struct text_pair *pairs, int n, struct verdict *out, struct error *err);

#endif
