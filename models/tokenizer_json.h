/* tokenizer_json.h - inside models/: what a tokenizer.json says of how text is treated, held against what the tokenizers here do. Plain C, any thread.
 *
 * A file whose steps are others is refused with their name, for its ids would be others. A member that is missing altogether is not asked for; null says
 * that there is no such step.
 *
 *	if (tokenizer_json_frame(root, path, TOKENIZER_ONE_END, err) < 0)
 *		return -1;
 */
#ifndef MODELS_TOKENIZER_JSON_H
#define MODELS_TOKENIZER_JSON_H

#include <jansson.h>

#include "core/error.h"

enum tokenizer_frame {
	TOKENIZER_ONE_END, /* [CLS] first [SEP] second [SEP] */
	TOKENIZER_TWO_ENDS /* <s> first </s></s> second </s> */
};

/* The type of the step `key` ("normalizer", "pre_tokenizer", ...) is one of types, a list that ends with NULL; "" in it stands for null. E_MODEL. */
int tokenizer_json_step(const json_t *root, const char *key, const char *const *types, const char *file, struct error *err);
/* The post_processor puts two texts into this frame. E_MODEL. */
int tokenizer_json_frame(const json_t *root, enum tokenizer_frame frame, const char *file, struct error *err);
/* Pieces of SentencePiece: its table of normal forms, blanks that collapse, and one before the first word; nothing else. E_MODEL. */
int tokenizer_json_unigram(const json_t *root, const char *file, struct error *err);

#endif
