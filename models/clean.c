/* clean.c - see clean.h. */
#include "models/clean.h"

#include <libxml/HTMLparser.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unicase.h>

#include "models/text.h"

enum { ENTITY_MAX = 32, REPLACEMENT = 0xfffd };

/* What the bytes 0x80..0x9f mean in windows-1252; 0 where nothing is assigned. */
static const uint16_t windows_1252[32] = {
	0x20ac, 0,      0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, 0, 0x017d, 0,
	0,      0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0, 0x017e, 0x0178,
};

static uint32_t from_c1(uint32_t c)
{
	return c >= 0x80 && c <= 0x9f && windows_1252[c - 0x80] ? windows_1252[c - 0x80] : c;
}

/* HTML 5 knows these without being in HTML 4's table, or with another meaning. */
static uint32_t html5_difference(const char *name)
{
	static const struct {
		const char *name;
		uint32_t code;
	} differences[] = {{"AMP", '&'}, {"LT", '<'}, {"GT", '>'}, {"QUOT", '"'}, {"COPY", 0xa9}, {"REG", 0xae}, {"lang", 0x27e8}, {"rang", 0x27e9}};

	for (size_t i = 0; i < sizeof differences / sizeof *differences; i++)
		if (strcmp(name, differences[i].name) == 0)
			return differences[i].code;
	return 0;
}

/* The character of a named entity, 0 if unknown. Without a semicolon only the old Latin-1 names count. */
static uint32_t named_entity(const uint32_t *name, size_t n, bool semicolon)
{
	char text[ENTITY_MAX + 1];
	const htmlEntityDesc *found;
	uint32_t code;

	if (n == 0 || n > ENTITY_MAX)
		return 0;
	for (size_t i = 0; i < n; i++) {
		if (name[i] >= 0x80 || name[i] == 0)
			return 0;
		text[i] = (char)name[i];
	}
	text[n] = '\0';
	code = html5_difference(text);
	found = code ? NULL : htmlEntityLookup((const xmlChar *)text);
	if (found)
		code = found->value;
	return !semicolon && (code > 0xff || code == '\'') ? 0 : code;
}

/* ftfy also takes &EACUTE; as the capital of &eacute;. */
static uint32_t shouted_entity(const uint32_t *name, size_t n)
{
	uint32_t lower[ENTITY_MAX], code;

	if (n > ENTITY_MAX)
		return 0;
	for (size_t i = 0; i < n; i++) {
		if (name[i] >= 'a' && name[i] <= 'z')
			return 0;
		lower[i] = name[i] >= 'A' && name[i] <= 'Z' ? name[i] + 32 : name[i];
	}
	code = named_entity(lower, n, true);
	return code ? uc_toupper(code) : 0;
}

/* The value of the digits at at[0..n), saturated; *used tells how many were digits. */
static uint32_t digits(const uint32_t *at, size_t n, unsigned base, size_t *used)
{
	uint32_t value = 0;
	size_t i;

	for (i = 0; i < n; i++) {
		uint32_t c = at[i], digit = c >= '0' && c <= '9'                             ? c - '0'
					    : (c | 32) >= 'a' && (c | 32) <= 'f' && c < 0x80 ? (c | 32) - 'a' + 10
											     : 99;

		if (digit >= base)
			break;
		value = value > 0x110000 ? value : value * base + digit;
	}
	*used = i;
	return value;
}

/* A numeric reference at at[0] = '#': appends its character (none for those HTML forbids) and returns the length without semicolon; 0 if it is none. */
static size_t numeric_entity(const uint32_t *at, size_t n, struct codes *out)
{
	bool hex = n > 1 && (at[1] == 'x' || at[1] == 'X');
	size_t skip = hex ? 2 : 1, used;
	uint32_t value = n > skip ? digits(at + skip, n - skip, hex ? 16 : 10, &used) : 0;

	if (n <= skip || used == 0)
		return 0;
	if (value == 0 || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
		text_codes_add(out, REPLACEMENT);
	else if (value >= 0x80 && value <= 0x9f)
		text_codes_add(out, from_c1(value));
	else if (!(value < 0x20 && value != '\t' && value != '\n' && value != '\f' && value != '\r') && value != 0x7f &&
		 !(value >= 0xfdd0 && value <= 0xfdef) && (value & 0xfffe) != 0xfffe)
		text_codes_add(out, value);
	return skip + used;
}

static bool is_alphanumeric(uint32_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* An entity that ends in a semicolon, at[0] being what follows '&': returns its length with the semicolon and appends what it stands for, or 0. */
static size_t strict_entity(const uint32_t *at, size_t n, struct codes *out)
{
	size_t first = n > 0 && at[0] == '#', i = first;
	uint32_t code;

	while (i < n && i - first <= 24 && is_alphanumeric(at[i]))
		i++;
	if (i == first || i - first > 24 || i == n || at[i] != ';')
		return 0;
	if (first) {
		size_t start = out->n;

		if (numeric_entity(at, i, out) == i)
			return i + 1;
		out->n = start;
		return 0;
	}
	code = named_entity(at, i, true);
	if (!code)
		code = shouted_entity(at, i);
	if (code)
		text_codes_add(out, code);
	return code ? i + 1 : 0;
}

/* Python's html.unescape: the semicolon may be missing, and then the longest known beginning counts. */
static size_t lenient_entity(const uint32_t *at, size_t n, struct codes *out)
{
	size_t length = 0, used;
	uint32_t code;

	if (n > 0 && at[0] == '#') {
		used = numeric_entity(at, n, out);
		return used && used < n && at[used] == ';' ? used + 1 : used;
	}
	while (length < n && length < ENTITY_MAX && !strchr("\t\n\f <&#;", (int)(at[length] < 0x80 ? at[length] : 'x')))
		length++;
	if (length < n && at[length] == ';' && (code = named_entity(at, length, true))) {
		text_codes_add(out, code);
		return length + 1;
	}
	for (used = length; used > 1; used--)
		if ((code = named_entity(at, used, false))) {
			text_codes_add(out, code);
			return used;
		}
	return 0;
}

static void unescape(struct codes *c, size_t (*entity)(const uint32_t *at, size_t n, struct codes *out))
{
	struct codes out = {0};

	for (size_t i = 0; i < c->n;) {
		size_t used = c->code[i] == '&' ? entity(c->code + i + 1, c->n - i - 1, &out) : 0;

		if (used == 0)
			text_codes_add(&out, c->code[i]);
		i += used + 1;
	}
	text_codes_free(c);
	*c = out;
}

/* One character's repairs: stray C1 controls, Latin ligatures, full and half width forms, curly quotes, line ends. */
static void repair_char(uint32_t code, struct codes *out)
{
	bool ligature = (code >= 0xfb00 && code <= 0xfb06) || code == 0x132 || code == 0x133 || code == 0x149 || (code >= 0x1c4 && code <= 0x1cc) ||
			(code >= 0x1f1 && code <= 0x1f3);

	code = from_c1(code);
	if (code == 0xfb05) {
		text_codes_add(out, 0x17f);
		text_codes_add(out, 't');
	} else if (ligature || (code >= 0xff01 && code <= 0xffef)) {
		struct codes one = {0};

		text_codes_add(&one, code);
		text_normalize(&one, TEXT_NFKC);
		text_codes_append(out, one.code, one.n);
		text_codes_free(&one);
	} else if (code == 0x3000) {
		text_codes_add(out, ' ');
	} else if (code == 0x2bc || (code >= 0x2018 && code <= 0x201b)) {
		text_codes_add(out, '\'');
	} else if (code >= 0x201c && code <= 0x201f) {
		text_codes_add(out, '"');
	} else if (code == 0x2028 || code == 0x2029 || code == '\r') {
		text_codes_add(out, '\n');
	} else {
		text_codes_add(out, code);
	}
}

static bool is_removed(uint32_t c)
{
	return c <= 8 || c == 0x0b || (c >= 0x0e && c <= 0x1f) || c == 0x7f || (c >= 0x206a && c <= 0x206f) || c == 0xfeff ||
	       (c >= 0xfff9 && c <= 0xfffc);
}

/* The length of a terminal escape, ESC [ digits and semicolons, letter, at at[0]; 0 if there is none. */
static size_t terminal_escape(const uint32_t *at, size_t n)
{
	size_t i = 2;

	if (n < 3 || at[0] != 0x1b || at[1] != '[')
		return 0;
	while (i < n && ((at[i] >= '0' && at[i] <= '9') || at[i] == ';'))
		i++;
	return i < n && is_alphanumeric(at[i]) && at[i] > '9' ? i + 1 : 0;
}

static void repair_chars(struct codes *c)
{
	struct codes out = {0};
	size_t kept = 0;

	for (size_t i = 0; i < c->n; i++)
		if (c->code[i] != '\r' || i + 1 == c->n || c->code[i + 1] != '\n')
			repair_char(c->code[i], &out);
	for (size_t i = 0; i < out.n;) {
		size_t escape = terminal_escape(out.code + i, out.n - i);

		if (!escape && !is_removed(out.code[i]))
			out.code[kept++] = out.code[i];
		i += escape ? escape : 1;
	}
	out.n = kept;
	text_codes_free(c);
	*c = out;
}

/* The repairs of one line, again and again until nothing changes (each removes something or moves towards ASCII, so it ends). */
static void repair_line(struct codes *line, bool entities)
{
	struct codes before = {0};

	do {
		before.n = 0;
		text_codes_append(&before, line->code, line->n);
		if (entities)
			unescape(line, strict_entity);
		repair_chars(line);
		text_normalize(line, TEXT_NFC);
	} while (before.n != line->n || (line->n > 0 && memcmp(before.code, line->code, line->n * sizeof *line->code) != 0));
	text_codes_free(&before);
}

/* Line by line; from the first line with a '<' on the text is taken for markup and its entities are left alone. */
static struct codes repair(const struct codes *text)
{
	struct codes out = {0};
	bool entities = true;

	for (size_t i = 0; i < text->n;) {
		struct codes line = {0};

		do {
			entities = entities && text->code[i] != '<';
			text_codes_add(&line, text->code[i]);
		} while (text->code[i++] != '\n' && i < text->n);
		repair_line(&line, entities);
		text_codes_append(&out, line.code, line.n);
		text_codes_free(&line);
	}
	return out;
}

void clean_openai(const char *text, size_t length, struct buffer *out)
{
	struct codes raw = text_codes(text, length), c = repair(&raw);

	text_codes_free(&raw);
	unescape(&c, lenient_entity);
	unescape(&c, lenient_entity);
	text_strip(&c);
	text_collapse_blanks(&c);
	text_strip(&c);
	text_lower_all(&c);
	text_put_codes(out, c.code, c.n);
	text_codes_free(&c);
}
