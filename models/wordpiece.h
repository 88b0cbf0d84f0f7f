/* wordpiece.h - BERT's tokenizer: single texts and pairs for BERT and NLI, prompts and captions for BLIP.
 *
 * Vocabulary, special tokens and casing come from the model's files. Loading, wordpiece_add and freeing: one thread, before the tokenizer is shared; from
 * then on it never changes and any thread may use it.
 *
 *	struct wordpiece *w = wordpiece_load(dir, &err);
 *	int32_t ids[128], types[128];
 *	struct wordpiece_text t = {.first = premise, .second = hypothesis, .cut = WORDPIECE_ONLY_FIRST};
 *	int n = wordpiece_encode(w, &t, ids, types, 128, &err);       // [CLS] premise [SEP] hypothesis [SEP]
 *
 * Text is taken literally: "[SEP]" in a caption is three pieces. `specials` gives the reference's behaviour, where it becomes the separator.
 */
#ifndef MODELS_WORDPIECE_H
#define MODELS_WORDPIECE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/error.h"
#include "models/vocab.h"

enum wordpiece_cut {
	WORDPIECE_LONGEST_FIRST, /* one token at a time off the longer text's end, off the second's when they are equal */
	WORDPIECE_ONLY_FIRST     /* off the first text's end; fails when the second alone is too long */
};

struct wordpiece_text {
	const char *first, *second; /* NUL-terminated; second NULL: a single text */
	bool specials;              /* special strings in the texts count as such */
	enum wordpiece_cut cut;
};

enum wordpiece_decode_flag {
	WORDPIECE_SKIP_SPECIAL = 1,
	WORDPIECE_CLEAN_UP = 2 /* text_clean_up */
};

enum { WORDPIECE_TEXT_MAX = 64 * 1024 }; /* bytes of one text; longer ones are refused */

struct wordpiece;

/* dir holds tokenizer.json or vocab.txt; tokenizer_config.json ("do_lower_case", "strip_accents") and special_tokens_map.json are read when there. Fails
 * with E_IO, E_LIMIT, or E_FORMAT naming what is wrong; [UNK], [CLS], [SEP] and [PAD] (or what the files call them) must exist. */
struct wordpiece *wordpiece_load(const char *dir, struct error *err);
/* One vocab.txt, uncased. */
struct wordpiece *wordpiece_load_file(const char *path, struct error *err);
void wordpiece_free(struct wordpiece *w); /* NULL is fine */

/* Adds a special token behind the vocabulary unless it is there, e.g. BLIP's "[DEC]". Returns its id; -1 when the vocabulary is full. */
int32_t wordpiece_add(struct wordpiece *w, const char *token, struct error *err);

size_t wordpiece_size(const struct wordpiece *w);                        /* highest id + 1 */
int32_t wordpiece_role(const struct wordpiece *w, enum vocab_role role); /* -1 if there is none */
const char *wordpiece_token(const struct wordpiece *w, int32_t id);      /* "##ing"; NULL for an unused id; borrowed */

/* Pieces of size bytes of text, without [CLS] and [SEP], appended to *out (the caller frees out->id). NUL characters are dropped. E_LIMIT if too long. */
int wordpiece_pieces(const struct wordpiece *w, const char *text, size_t size, bool specials, struct ids *out, struct error *err);

/* [CLS] first [SEP], or [CLS] first [SEP] second [SEP], cut to max tokens. ids and types (may be NULL) hold max; a type is 0 up to the first [SEP] and 1
 * behind it. Returns how many were written, -1 with E_LIMIT. */
int wordpiece_encode(const struct wordpiece *w, const struct wordpiece_text *text, int32_t *ids, int32_t *types, int max, struct error *err);

/* The pieces joined by blanks, "##" glued to what stands before. Unused ids are skipped. The caller frees it. */
char *wordpiece_decode(const struct wordpiece *w, const int32_t *ids, size_t n, unsigned flags);

#endif
