/* deberta.h - DeBERTa-v2 and -v3 for sequence classification, as NLI uses it (He et al. 2021; names as in DebertaV2ForSequenceClassification).
 *
 * BERT's layers with attention that also compares each token with where the others stand: places are distances in buckets, fine near by and logarithmic
 * beyond, and have queries and keys by layers of their own or by the same as tokens. The switches of the published code are followed: which of the two
 * comparisons there are, buckets or plain distances, positions and types beside the words, version 2's convolution.
 * Thread: the lane's. Precision as in nn.h.
 *
 *	struct deberta_config c;
 *	if (deberta_config_read(json, dir, &c, err) < 0)
 *		return -1;
 *	deberta_config_adopt(&c, file);
 *	net = deberta_net_create(&c, &source);
 *	if (nn_finish(&source, "DeBERTa", err) < 0) ...
 *	logits = deberta_logits(net, p, ids, types, mask);
 */
#ifndef MODELS_DEBERTA_H
#define MODELS_DEBERTA_H

#include <jansson.h>

#include "models/nn.h"

struct deberta_config {
	int vocabulary, hidden, layers, heads, intermediate, labels;
	int embedding;               /* width of the tables of words, positions and types */
	int positions;               /* longest text */
	int types;                   /* kinds of tokens; 0: no table of them */
	bool biased;                 /* there is a table of positions, too */
	bool relative;               /* tokens are compared with places; else the next ones mean nothing, but for the scale of scores */
	bool to_places, from_places; /* "c2p": a query with the other's place, "p2c": a place with the other's key */
	bool share_keys;             /* places go through the tokens' own query and key layers */
	bool norm_places;            /* and through a norm before */
	int buckets;                 /* to either side; 0: every distance is its own */
	int reach;                   /* distance at which the last bucket begins, plus 1 */
	int kernel;                  /* of the convolution beside the first layer; 0: there is none */
	enum tt_activation activation, pooler_activation, kernel_activation;
	double eps;
};

/* config: the parsed config.json; dir is for messages. E_MODEL names the key that is missing or not supported. */
int deberta_config_read(const json_t *config, const char *dir, struct deberta_config *out, struct error *err);
/* Takes the number of labels from the classifier of a file that has one. */
void deberta_config_adopt(struct deberta_config *config, const struct checkpoint *file);

/* Rows of the table of places to either side. */
int deberta_span(const struct deberta_config *config);
/* The bucket of a distance, query minus key (make_log_bucket_position of the published code); negative for negative ones. */
int deberta_bucket(const struct deberta_config *config, int64_t distance);
/* Its row in the table of places, 0 to 2 * span - 1. */
int deberta_place(const struct deberta_config *config, int64_t distance);

struct deberta_net;

/* The prefix "deberta." may be left away. The net's struct is malloc'd; its tensors are the source's. What places are asked and answer
 * is computed here once, beside the weights. */
struct deberta_net *deberta_net_create(const struct deberta_config *config, struct nn_source *source);
void deberta_net_destroy(struct deberta_net *net); /* not the tensors; NULL is fine */

/* What a test wants to see on the way; all fp32 and in the work pool. */
struct deberta_trace {
	tt_tensor *embeddings, *layer0, *last; /* [B,L,hidden] */
	tt_tensor *pooled;                     /* [B,hidden] */
};

/* ids, types, mask: [B,L] I64 (types and mask may be NULL: zeros, ones; types are passed over without a table) -> logits [B,labels] fp32. Every id <
 * vocabulary, every type < types, and every row has a token that is not masked. Only a table of positions limits L. */
tt_tensor *deberta_logits(const struct deberta_net *net, tt_pool *p, tt_tensor *ids, tt_tensor *types, tt_tensor *mask);
/* The same; trace may be NULL. */
tt_tensor *deberta_logits_traced(const struct deberta_net *net, tt_pool *p, tt_tensor *ids, tt_tensor *types, tt_tensor *mask,
				 struct deberta_trace *trace);

#endif
