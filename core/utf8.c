/* utf8.c - see utf8.h. */
#include "core/utf8.h"

#include <stdio.h>
#include <string.h>

size_t utf8_decode(const char *text, size_t n, uint32_t *code)
{
	static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
	const unsigned char *s = (const unsigned char *)text;
	size_t length = s[0] < 0x80 ? 1 : s[0] >= 0xF8 ? 0 : s[0] >= 0xF0 ? 4 : s[0] >= 0xE0 ? 3 : s[0] >= 0xC0 ? 2 : 0;
	uint32_t value;

	if (!length || length > n)
		return 0;
	value = length == 1 ? s[0] : s[0] & (0x7Fu >> length);
	for (size_t i = 1; i < length; i++) {
		if ((s[i] & 0xC0) != 0x80)
			return 0;
		value = value << 6 | (s[i] & 0x3F);
	}
	if (value < least[length] || value > 0x10FFFF || (value >= 0xD800 && value < 0xE000))
		return 0;
	*code = value;
	return length;
}

size_t utf8_encode(uint32_t c, char out[4])
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xC0 | c >> 6);
		out[1] = (char)(0x80 | (c & 0x3F));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xE0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 0x3F));
		out[2] = (char)(0x80 | (c & 0x3F));
		return 3;
	}
	out[0] = (char)(0xF0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 0x3F));
	out[2] = (char)(0x80 | (c >> 6 & 0x3F));
	out[3] = (char)(0x80 | (c & 0x3F));
	return 4;
}

bool utf8_valid(const char *s, size_t n)
{
	uint32_t code;

	for (size_t i = 0, length; i < n; i += length)
		if (!(length = utf8_decode(s + i, n - i, &code)))
			return false;
	return true;
}

/* Overrides and isolates can make a name read backwards. */
static bool is_hazard(uint32_t c)
{
	return c < 0x20 || (c >= 0x7F && c < 0xA0) || (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069) || c == 0x200E || c == 0x200F ||
	       c == 0x2028 || c == 0x2029;
}

size_t utf8_escape(const char *s, size_t n, char *out, size_t size)
{
	size_t used = 0;

	for (size_t i = 0; i < n;) {
		uint32_t code = 0;
		size_t length = utf8_decode(s + i, n - i, &code);
		bool escape = !length || is_hazard(code);
		char piece[20];

		if (!length)
			length = 1;
		if (escape) {
			char *end = piece;

			for (size_t k = 0; k < length; k++)
				end += snprintf(end, 5, "\\x%02X", (unsigned char)s[i + k]);
		} else {
			memcpy(piece, s + i, length);
			piece[length] = '\0';
		}
		if (used + strlen(piece) + 1 > size)
			break;
		strcpy(out + used, piece);
		used += strlen(piece);
		i += length;
	}
	out[used] = '\0';
	return used;
}
