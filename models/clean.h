/* clean.h - what OpenAI's and open_clip's tokenizer does to a text before BPE: repair (as ftfy does, but for mojibake), HTML entities, blanks, lower case.
 *
 * Left out: the guess at doubly encoded text ("cafÃ©"). Named entities are those of HTML 4, from libxml2. Any thread.
 */
#ifndef MODELS_CLEAN_H
#define MODELS_CLEAN_H

#include <stddef.h>

#include "core/mem.h"

/* Appends the cleaned text, valid UTF-8, to out. Source: ftfy 6.3's documentation of its fixes; Python's html.unescape. */
void clean_openai(const char *text, size_t length, struct buffer *out);

#endif
