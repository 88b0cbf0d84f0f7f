/* utf8.h - text from outside (file names, messages, model output) made safe to show. Any thread. */
#ifndef CORE_UTF8_H
#define CORE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decodes one code point at s (at most n bytes, n > 0); returns its length in bytes, or 0 when the bytes are not valid UTF-8 (overlong, surrogate, > U+10FFFF). */
size_t utf8_decode(const char *s, size_t n, uint32_t *code);

/* Writes code as UTF-8 (1-4 bytes, no NUL) and returns the length. */
size_t utf8_encode(uint32_t code, char out[4]);

bool utf8_valid(const char *s, size_t n);

/* Copies at most n bytes of s into out, control characters (C0, DEL, C1), bidirectional overrides and invalid bytes as \xHH, so that the result is
 * printable UTF-8. Never splits a character; always NUL-terminates (size > 0). Returns the length written. */
size_t utf8_escape(const char *s, size_t n, char *out, size_t size);

#endif
