/* golden_nli.h - what the fixtures of judges of premise and hypothesis share: their inputs, and what is made of logits. See golden.h. */
#ifndef TESTS_GOLDEN_NLI_H
#define TESTS_GOLDEN_NLI_H

#include "tests/golden/golden.h"

struct golden_pairs {
	struct golden_ids ids, types, mask; /* types and mask may be empty; else of the shape of ids */
};

/* input_ids, token_type_ids and attention_mask of a case; types: how many kinds there are, 0: the case's are passed over. Free also after -1. */
int golden_pairs_read(const json_t *node, int vocabulary, int types, struct golden_pairs *out, struct error *err);
void golden_pairs_free(struct golden_pairs *pairs);

/* logits [n,labels] of pool p against the case's logits, probabilities and zero-shot scores, its rows taken as candidate labels. */
void golden_compare_logits(struct golden_case *c, const json_t *node, int labels, tt_pool *p, tt_tensor *logits);

/* Opens the fixture's weights and has `cases` run each case of them. */
int golden_network_run(struct golden *g, int (*cases)(struct golden *g, struct golden_weights *w, const json_t *cases, struct error *err),
		       struct error *err);

#endif
