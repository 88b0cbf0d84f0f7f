/* text.c - see text.h. */
#include "models/text.h"

#include <stdlib.h>
#include <string.h>
#include <unicase.h>
#include <unictype.h>
#include <uninorm.h>
#include <unistr.h>

#include "core/utf8.h"

void text_codes_append(struct codes *c, const uint32_t *codes, size_t n)
{
	if (c->n + n > c->capacity) {
		c->capacity = c->capacity * 2 > c->n + n ? c->capacity * 2 : c->n + n + 16;
		c->code = xrealloc(c->code, c->capacity, sizeof *c->code);
	}
	if (n)
		memcpy(c->code + c->n, codes, n * sizeof *codes);
	c->n += n;
}

void text_codes_add(struct codes *c, uint32_t code)
{
	text_codes_append(c, &code, 1);
}

void text_codes_free(struct codes *c)
{
	free(c->code);
	*c = (struct codes){0};
}

/* How many bytes one U+FFFD stands for where s[0..n) begins no character: as many as could have begun one (Unicode 14, table 3-8). */
static size_t broken_length(const uint8_t *s, size_t n)
{
	size_t want = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2, have = 1;
	uint8_t low = s[0] == 0xe0 ? 0xa0 : s[0] == 0xf0 ? 0x90 : 0x80, high = s[0] == 0xed ? 0x9f : s[0] == 0xf4 ? 0x8f : 0xbf;

	if (s[0] < 0xc2 || s[0] > 0xf4)
		return 1;
	for (; have < want && have < n && s[have] >= low && s[have] <= high; have++) {
		low = 0x80;
		high = 0xbf;
	}
	return have;
}

struct codes text_codes(const char *text, size_t length)
{
	struct codes c = {0};

	for (size_t i = 0; i < length;) {
		uint32_t code = 0xfffd;
		size_t used = utf8_decode(text + i, length - i, &code);

		text_codes_add(&c, used ? code : 0xfffd);
		i += used ? used : broken_length((const uint8_t *)text + i, length - i);
	}
	return c;
}

void text_put_codes(struct buffer *out, const uint32_t *codes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint8_t bytes[4];
		int length = u8_uctomb(bytes, codes[i], sizeof bytes);

		if (length > 0)
			buffer_add(out, bytes, length);
	}
}

void text_put_repaired(struct buffer *out, const char *text, size_t length)
{
	struct codes c;

	if (!u8_check((const uint8_t *)text, length)) {
		buffer_add(out, text, length);
		return;
	}
	c = text_codes(text, length);
	text_put_codes(out, c.code, c.n);
	text_codes_free(&c);
}

/* Takes over what libunistring made; NULL means that memory is gone or the text was not valid, which text_codes rules out. */
static void replace(struct codes *c, uint32_t *made, size_t n)
{
	if (!made)
		return;
	text_codes_free(c);
	text_codes_append(c, made, n);
	free(made);
}

void text_normalize(struct codes *c, enum text_form form)
{
	uninorm_t nf = form == TEXT_NFC ? UNINORM_NFC : form == TEXT_NFD ? UNINORM_NFD : UNINORM_NFKC;
	size_t n = 0;
	uint32_t *made = u32_normalize(nf, c->code, c->n, NULL, &n);

	replace(c, made, n);
}

size_t text_lower(uint32_t code, uint32_t out[2])
{
	if (code == 0x130) { /* the one character whose lower case is two */
		out[0] = 'i';
		out[1] = 0x307;
		return 2;
	}
	out[0] = uc_tolower(code);
	return 1;
}

void text_lower_all(struct codes *c)
{
	size_t n = 0;
	uint32_t *made = u32_tolower(c->code, c->n, "", NULL, NULL, &n);

	replace(c, made, n);
}

bool text_is_blank(uint32_t c)
{
	return (c >= 0x09 && c <= 0x0d) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 ||
	       c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

bool text_is_space(uint32_t c)
{
	return text_is_blank(c) || (c >= 0x1c && c <= 0x1f);
}

bool text_is_mark(uint32_t c)
{
	return uc_is_general_category_withtable(c, UC_CATEGORY_MASK_Mn);
}

bool text_is_control(uint32_t c)
{
	return c != '\t' && c != '\n' && c != '\r' && uc_is_general_category_withtable(c, UC_CATEGORY_MASK_C);
}

bool text_is_punctuation(uint32_t c)
{
	if (c < 0x80)
		return (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) || (c >= 123 && c <= 126);
	return uc_is_general_category_withtable(c, UC_CATEGORY_MASK_P);
}

bool text_is_cjk(uint32_t c)
{
	static const struct {
		uint32_t first, last;
	} ranges[] = {
		{0x4e00, 0x9fff},   {0x3400, 0x4dbf},   {0x20000, 0x2a6df}, {0x2a700, 0x2b73f},
		{0x2b740, 0x2b81f}, {0x2b820, 0x2ceaf}, {0xf900, 0xfaff},   {0x2f800, 0x2fa1f},
	};

	for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
		if (c >= ranges[i].first && c <= ranges[i].last)
			return true;
	return false;
}

void text_strip(struct codes *c)
{
	size_t first = 0;

	while (c->n > 0 && text_is_space(c->code[c->n - 1]))
		c->n--;
	while (first < c->n && text_is_space(c->code[first]))
		first++;
	if (first > 0)
		memmove(c->code, c->code + first, (c->n - first) * sizeof *c->code);
	c->n -= first;
}

void text_collapse_blanks(struct codes *c)
{
	size_t kept = 0;
	bool blank = false;

	for (size_t i = 0; i < c->n; i++) {
		bool is_blank = text_is_blank(c->code[i]);

		if (!is_blank || !blank)
			c->code[kept++] = is_blank ? ' ' : c->code[i];
		blank = is_blank;
	}
	c->n = kept;
}

void text_clean_up(char *text)
{
	static const char *const from[] = {" .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're"};

	for (size_t i = 0; i < sizeof from / sizeof *from; i++) {
		size_t length = strlen(from[i]), kept = from[i][length - 1] == ' ' ? length - 2 : length - 1;
		char *to = text, *at = text, *hit;

		/* Every replacement is the pattern without its outer blanks. */
		while ((hit = strstr(at, from[i]))) {
			memmove(to, at, hit - at);
			to += hit - at;
			memcpy(to, from[i] + 1, kept);
			to += kept;
			at = hit + length;
		}
		memmove(to, at, strlen(at) + 1);
	}
}

static void strip_utf8(char *text)
{
	struct codes c = text_codes(text, strlen(text));
	struct buffer b = {0};

	text_strip(&c);
	text_put_codes(&b, c.code, c.n);
	memcpy(text, b.text ? b.text : "", b.length + 1);
	buffer_free(&b);
	text_codes_free(&c);
}

void text_caption(char *text)
{
	char *to = text;

	strip_utf8(text);
	for (const char *at = text; *at; at++)
		if ((unsigned char)*at >= 0x80 || !text_is_punctuation((unsigned char)*at))
			*to++ = *at;
	*to = '\0';
	strip_utf8(text);
}
