/* bert.h - BERT for sequence classification, as NLI uses it (Devlin et al. 2019; names as in BertForSequenceClassification). Thread: the lane's. */
#ifndef MODELS_BERT_H
#define MODELS_BERT_H

#include <jansson.h>

#include "models/nn.h"

struct bert_config {
	int vocabulary, hidden, layers, heads, intermediate, positions, types, labels;
	enum tt_activation activation;
	double eps;
};

int bert_config_read(const json_t *config, const char *dir, struct bert_config *out, struct error *err);

struct bert_net;

/* prefix "bert." or "" is found out from the source's file. */
struct bert_net *bert_net_create(const struct bert_config *config, struct nn_source *source);
void bert_net_destroy(struct bert_net *net);
/* ids, types, mask: [B,L] I64 (types and mask may be NULL: zeros, ones) -> logits [B,labels] fp32 */
tt_tensor *bert_logits(const struct bert_net *net, tt_pool *p, tt_tensor *ids, tt_tensor *types, tt_tensor *mask);

#endif
