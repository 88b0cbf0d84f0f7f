/* vocab.h - a tokenizer's vocabulary: token texts and ids both ways, with the marks of special and added tokens.
 *
 * Filled once while a tokenizer loads (one thread), then only read (any thread). Token texts are bytes, owned by the vocabulary.
 */
#ifndef MODELS_VOCAB_H
#define MODELS_VOCAB_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/error.h"

enum { VOCAB_MAX = 1 << 21 }; /* ids; larger ones are taken for a broken file */

enum vocab_mark {
	VOCAB_SPECIAL = 1,    /* has a meaning of its own: bos, pad, mask …; left out when decoding */
	VOCAB_ADDED = 2,      /* not of the base vocabulary; found in raw text, kept apart by blanks when decoded */
	VOCAB_LSTRIP = 4,     /* swallows white space before it */
	VOCAB_RSTRIP = 8,     /* … after it */
	VOCAB_NORMALIZED = 16 /* looked for in the normalised text, not in the raw one */
};

/* What a special token is for. */
enum vocab_role { ROLE_BOS, ROLE_EOS, ROLE_UNK, ROLE_SEP, ROLE_PAD, ROLE_CLS, ROLE_MASK, VOCAB_ROLES };

struct vocab;

struct vocab *vocab_create(void);
void vocab_free(struct vocab *v); /* NULL is fine */

size_t vocab_size(const struct vocab *v); /* highest id + 1 */
/* The id of a token text, or -1. */
int32_t vocab_find(const struct vocab *v, const char *text, size_t length);
/* The text of an id (NUL-terminated; *length may be NULL), or NULL for an id that stands for nothing. Borrowed. */
const char *vocab_text(const struct vocab *v, int32_t id, size_t *length);
unsigned vocab_marks(const struct vocab *v, int32_t id);
void vocab_mark(struct vocab *v, int32_t id, unsigned marks); /* adds marks */

/* Adds a token; id -1 takes the next free one. A text that is there already keeps its id if id agrees or is -1. Returns the id; -1 with E_FORMAT
 * (file is for the message) for an id out of range or used twice. */
int32_t vocab_add(struct vocab *v, const char *text, size_t length, int64_t id, const char *file, struct error *err);

/* A {"text": id} object, as vocab.json and tokenizer.json's model.vocab hold it. E_FORMAT as above, and for an id far beyond the number of tokens. */
int vocab_add_object(struct vocab *v, const json_t *object, const char *file, struct error *err);
/* vocab.txt: one token a line, ids from 0, into an empty vocabulary. Only the newline is cut off; of equal lines the last one is found. */
int vocab_add_lines(struct vocab *v, const char *path, struct error *err);
/* tokenizer.json's "added_tokens" list, with their marks; may be NULL. Fails as vocab_add_object. */
int vocab_add_added(struct vocab *v, const json_t *list, const char *file, struct error *err);

/* Finds each role's token: named in dir/special_tokens_map.json or dir/tokenizer_config.json, else the first of names[role] (NULL-terminated list of
 * at most 2) that the vocabulary has. Marks them special. roles[role] is -1 where there is none. dir may be NULL. E_FORMAT if a file is broken. */
int vocab_find_roles(struct vocab *v, const char *dir, const char *const names[VOCAB_ROLES][2], int32_t roles[VOCAB_ROLES], struct error *err);

struct vocab_match {
	size_t at, length;
	int32_t id;
};
/* The leftmost, then longest special or added token in text from byte `from` on, among those whose VOCAB_NORMALIZED mark equals `normalized`. */
bool vocab_match(const struct vocab *v, const char *text, size_t length, size_t from, bool normalized, struct vocab_match *out);

/* A growing list of ids. Zero-initialise; free(ids.id). */
struct ids {
	int32_t *id;
	size_t n, capacity;
};
void ids_add(struct ids *ids, int32_t id);

#endif
