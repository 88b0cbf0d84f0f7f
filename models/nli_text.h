/* nli_text.h - pairs of texts as the ids that a judge of premise and hypothesis reads, by whichever tokenizer it has.
 *
 * Loading and freeing: one thread. A loaded tokenizer never changes: any thread may encode. Texts are taken literally: "[SEP]" or "</s>" is text.
 *
 *	struct nli_text text;
 *	if (nli_text_load(&text, NLI_BYTES, dir, err) < 0)
 *		return -1;
 *	n = nli_text_encode(&text, &pair, ids, types, 512, err);       // <s> premise </s></s> hypothesis </s>
 */
#ifndef MODELS_NLI_TEXT_H
#define MODELS_NLI_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/error.h"
#include "core/model.h"

enum nli_tokens {
	NLI_WORDPIECE, /* BERT: [CLS] premise [SEP] hypothesis [SEP], with types 0 and 1 */
	NLI_UNIGRAM,   /* DeBERTa: the same frame without types */
	NLI_BYTES /* RoBERTa and BART: <s> premise </s></s> hypothesis </s>; no text begins with a blank that it does not have, but for blank_first */
};

struct nli_text {
	enum nli_tokens kind;
	struct wordpiece *words;
	struct bpe *bytes;
	struct unigram *unigram;
	int32_t start, end, pad; /* [CLS] or <s>, [SEP] or </s>, and what fills up */
	int longest;             /* tokens of a pair, as the files say; 0: they do not */
	bool blank_first;        /* NLI_BYTES: a text that begins without a blank gets one */
	bool whole;              /* tokenizer.json alone says how text is treated */
};

/* From the files in dir, tokenizer_config.json among them; errors as those of wordpiece_load, bpe_load and unigram_load, E_MODEL naming the key for a
 * tokenizer that would give other ids. After -1 there is nothing to free. */
int nli_text_load(struct nli_text *text, enum nli_tokens kind, const char *dir, struct error *err);
void nli_text_free(struct nli_text *text); /* a zeroed one is fine */

size_t nli_text_size(const struct nli_text *text); /* highest id + 1 */

/* The pair into ids[max] and types[max]; the premise loses its end where both are too long together ("only_first", as the transformers pipeline does it).
 * Returns how many were written, -1 with E_LIMIT when the hypothesis alone is too long. */
int nli_text_encode(const struct nli_text *text, const struct text_pair *pair, int32_t *ids, int32_t *types, int max, struct error *err);

#endif
