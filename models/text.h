/* text.h - Unicode text as the tokenizers need it: repaired UTF-8, character classes, normal forms, and what is done to a decoded caption.
 *
 * Unicode 14 by libunistring. Lengths are in bytes for char *, in characters for struct codes; a text may hold NUL characters. Any thread.
 */
#ifndef MODELS_TEXT_H
#define MODELS_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/mem.h"

/* A growing list of characters (UTF-32). Zero-initialise; free with text_codes_free. */
struct codes {
	uint32_t *code;
	size_t n, capacity;
};
void text_codes_add(struct codes *c, uint32_t code);
void text_codes_append(struct codes *c, const uint32_t *codes, size_t n);
void text_codes_free(struct codes *c);

/* Decodes UTF-8; each maximal invalid part becomes one U+FFFD, as Python's "replace" does. */
struct codes text_codes(const char *text, size_t length);
/* Appends the characters as UTF-8. */
void text_put_codes(struct buffer *out, const uint32_t *codes, size_t n);
/* Appends valid UTF-8, repaired as by text_codes. */
void text_put_repaired(struct buffer *out, const char *text, size_t length);

enum text_form { TEXT_NFC, TEXT_NFD, TEXT_NFKC };
/* Replaces the characters by their normal form. */
void text_normalize(struct codes *c, enum text_form form);

/* Lower case of one character by itself (no final sigma): one or two characters into out; returns how many. */
size_t text_lower(uint32_t code, uint32_t out[2]);
/* Lower case of a whole text, with the final sigma rule, in no particular language. */
void text_lower_all(struct codes *c);

bool text_is_blank(uint32_t code);       /* Unicode White_Space: what \s means to the tokenizers' patterns */
bool text_is_space(uint32_t code);       /* the same and U+001C..1F: what Python's strip and split take away */
bool text_is_mark(uint32_t code);        /* category Mn */
bool text_is_control(uint32_t code);     /* category C* but tab, newline and carriage return */
bool text_is_punctuation(uint32_t code); /* category P*, and the ASCII symbols */
bool text_is_cjk(uint32_t code);         /* the ideographs that BERT keeps apart; neither Hangul nor Kana */

/* Removes text_is_space characters at both ends. */
void text_strip(struct codes *c);
/* Each run of text_is_blank characters becomes one U+0020. */
void text_collapse_blanks(struct codes *c);

/* The usual clean-up of a decoded English sentence, in place: " ." -> ".", " n't" -> "n't" and the like, in transformers' order. */
void text_clean_up(char *text);
/* OFA's last step, in place: strip white space, delete ASCII punctuation, strip again. text must be valid UTF-8. */
void text_caption(char *text);

#endif
