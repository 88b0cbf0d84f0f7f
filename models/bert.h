/* bert.h - BERT for sequence classification, as NLI uses it (Devlin et al. 2019; names as in BertForSequenceClassification), and RoBERTa (Liu et al. 2019;
 * RobertaForSequenceClassification), which is the same network with other names and with positions that are counted from behind the pad token's id.
 *
 * Thread: the lane's. Post-norm layers; the residual stream and the norms stay fp32, products run in the source's compute dtype, so that the same code runs
 * bf16 inference over bf16 weights and bf16 training over fp32 masters.
 *
 *	struct bert_config c;
 *	if (bert_config_read(json, dir, &c, err) < 0)
 *		return -1;
 *	net = bert_net_create(&c, &source);
 *	if (nn_finish(&source, "BERT", err) < 0) ...
 *	logits = bert_logits(net, p, ids, types, mask);
 */
#ifndef MODELS_BERT_H
#define MODELS_BERT_H

#include <jansson.h>

#include "models/nn.h"

struct bert_config {
	int vocabulary, hidden, layers, heads, intermediate, positions, types, labels;
	enum tt_activation activation;
	bool roberta; /* model_type "roberta" */
	int pad;      /* RoBERTa: the pad token's id */
	double eps;
};

/* config: the parsed config.json; dir is for messages. E_MODEL names the key that is missing or not supported. labels is num_labels, else the size of
 * id2label, else 2; the classifier's rows are the truth: see bert_config_adopt. */
int bert_config_read(const json_t *config, const char *dir, struct bert_config *out, struct error *err);
/* Takes the number of labels from the classifier of a file that has one. */
void bert_config_adopt(struct bert_config *config, const struct checkpoint *file);

/* The most tokens that a text may have. */
int bert_longest(const struct bert_config *config);

struct bert_net;

/* The prefix "bert.", "roberta." or "" and the old names gamma/beta are found out from the source's file. The net's struct is malloc'd; its tensors are the source's. */
struct bert_net *bert_net_create(const struct bert_config *config, struct nn_source *source);
void bert_net_destroy(struct bert_net *net); /* not the tensors; NULL is fine */

/* What a test wants to see on the way; filled when handed over. All fp32 and in the work pool. */
struct bert_trace {
	tt_tensor *embeddings, *layer0, *last; /* [B,L,hidden] */
	tt_tensor *pooled;                     /* [B,hidden] */
};

/* ids, types, mask: [B,L] I64 (types and mask may be NULL: zeros, ones) -> logits [B,labels] fp32. L <= bert_longest and every id < vocabulary.
 * RoBERTa's ids are read back for their positions, so they had better lie in host memory. */
tt_tensor *bert_logits(const struct bert_net *net, tt_pool *p, tt_tensor *ids, tt_tensor *types, tt_tensor *mask);
/* The same; trace may be NULL. */
tt_tensor *bert_logits_traced(const struct bert_net *net, tt_pool *p, tt_tensor *ids, tt_tensor *types, tt_tensor *mask, struct bert_trace *trace);

#endif
