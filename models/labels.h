/* labels.h - what the outputs of an NLI classifier mean. Plain C, any thread.
 *
 * Published checkpoints disagree about the order of entailment, neutral and contradiction, and some name their outputs LABEL_0, LABEL_1, LABEL_2. A wrong order
 * gives fluent nonsense, so an order is never guessed: it comes from an explicit setting, from id2label or label2id, or from a table of known models; else
 * it is an error, as it is when those two contradict each other.
 *
 *	struct label_order order;
 *	if (label_order_find(config, dir, 3, NULL, &order, err) < 0)
 *		return -1;
 *	label_verdict(&order, logits, &verdict);
 */
#ifndef MODELS_LABELS_H
#define MODELS_LABELS_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "core/error.h"
#include "core/model.h"

/* Which output is which. */
struct label_order {
	int labels; /* outputs: 2 or 3 */
	int entailment;
	int neutral;       /* -1 for two-way models */
	int contradiction; /* of a two-way model: not_entailment */
	char source[128];  /* where the order comes from: "id2label", "label2id", "known order of owner/name", "vramble_label_order" */
};

/* The order of a model with `labels` outputs. chosen: the names in the order of the outputs, e.g. "entailment,neutral,contradiction", or NULL; it wins. Then
 * config's id2label or label2id when their names say it, then the table, by dir's last folders (a plain folder owner/name or a Hugging Face cache's
 * models--owner--name) and by config's _name_or_path. E_MODEL when nothing says it or the number of labels does not fit; E_USAGE for a bad `chosen`. */
int label_order_find(const json_t *config, const char *dir, int labels, const char *chosen, struct label_order *out, struct error *err);

/* "0 contradiction, 1 entailment, 2 neutral (id2label)", cut to size. */
void label_order_describe(const struct label_order *order, char *out, size_t size);

/* logits [labels] -> softmax over all outputs, by name, and the one of entailment. What zero-shot classification makes of such: core/scores.h. */
void label_verdict(const struct label_order *order, const float *logits, struct verdict *out);

#endif
