/* bart.h - BART for sequence classification, as NLI uses it (Lewis et al. 2020; names as in BartForSequenceClassification): a post-norm encoder and decoder
 * over the same text, judged by what the decoder says at the last end token.
 *
 * Thread: the lane's. Precision as in nn.h.
 *
 *	struct bart_config c;
 *	if (bart_config_read(json, dir, &c, err) < 0)
 *		return -1;
 *	bart_config_adopt(&c, file);
 *	net = bart_net_create(&c, &source);
 *	if (nn_finish(&source, "BART", err) < 0) ...
 *	logits = bart_logits(net, p, ids, mask);
 */
#ifndef MODELS_BART_H
#define MODELS_BART_H

#include <jansson.h>

#include "models/nn.h"

struct bart_stack_config {
	int layers, heads, wide; /* wide: of the layers between */
};

struct bart_config {
	int vocabulary, width, positions, labels;
	struct bart_stack_config encoder, decoder;
	enum tt_activation activation;
	bool scale_embedding; /* token vectors are multiplied by the root of the width */
	int start, end;       /* what the decoder begins with; what ends a text */
};

/* config: the parsed config.json; dir is for messages. E_MODEL names the key that is missing or not supported. */
int bart_config_read(const json_t *config, const char *dir, struct bart_config *out, struct error *err);
/* Takes the number of labels from the classifier of a file that has one. */
void bart_config_adopt(struct bart_config *config, const struct checkpoint *file);

struct bart_net;

/* The token table is found under any of its three names; the prefix "model." may be left away. The net's struct is malloc'd; its tensors are the
 * source's. */
struct bart_net *bart_net_create(const struct bart_config *config, struct nn_source *source);
void bart_net_destroy(struct bart_net *net); /* not the tensors; NULL is fine */

/* What a test wants to see on the way; all fp32 and in the work pool. */
struct bart_trace {
	struct {
		tt_tensor *embeddings, *layer0, *last; /* [B,L,width] */
	} encoder, decoder;
	tt_tensor *pooled; /* [B,width]: of the decoder, at the last end token */
};

/* ids, mask: [B,L] I64 (mask may be NULL: ones) -> logits [B,labels] fp32. L <= positions, every id < vocabulary, and every row holds an end token. The ids
 * are read back, so they had better lie in host memory. */
tt_tensor *bart_logits(const struct bart_net *net, tt_pool *p, tt_tensor *ids, tt_tensor *mask);
/* The same; trace may be NULL. */
tt_tensor *bart_logits_traced(const struct bart_net *net, tt_pool *p, tt_tensor *ids, tt_tensor *mask, struct bart_trace *trace);

#endif
