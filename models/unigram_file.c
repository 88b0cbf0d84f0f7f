/* unigram_file.c - a SentencePiece model's file (sentencepiece_model.proto): checked before the library reads it, and made from a tokenizer.json.
 *
 * The library takes the table of normal forms as it is: a double-array trie (darts-clone) whose units say where the next ones stand, and texts that end
 * with NUL. Each place that a walk could come to is looked at here.
 */
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "models/json.h"
#include "models/unigram.h"

enum { WIRE_NUMBER, WIRE_64, WIRE_TEXT, WIRE_32 = 5 };
enum { MODEL_PIECES = 1, MODEL_NORMALIZER = 3 };
enum { PIECE_TEXT = 1, PIECE_SCORE = 2, PIECE_TYPE = 3 };
enum { NORMALIZER_NAME = 1, NORMALIZER_TABLE = 2 };
enum { NORMAL = 1, UNKNOWN = 2, CONTROL = 3 };

/* ---- reading ---- */

struct wire {
	const unsigned char *at, *end;
};

static bool read_number(struct wire *w, uint64_t *out)
{
	*out = 0;
	for (int shift = 0; shift < 64 && w->at < w->end; shift += 7) {
		*out |= (uint64_t)(*w->at & 0x7f) << shift;
		if (!(*w->at++ & 0x80))
			return true;
	}
	return false;
}

/* The next member; value: what is within, for texts. False at the end and where nothing more can be read; whole tells which. */
static bool read_member(struct wire *w, uint32_t *field, struct wire *value, bool *whole)
{
	uint64_t tag, size = 0;

	*whole = w->at == w->end;
	if (*whole || !read_number(w, &tag) || tag >> 3 > UINT32_MAX)
		return false;
	*field = (uint32_t)(tag >> 3);
	switch (tag & 7) {
	case WIRE_NUMBER:
		*value = (struct wire){w->at, w->at};
		return read_number(w, &size);
	case WIRE_64:
		size = 8;
		break;
	case WIRE_32:
		size = 4;
		break;
	case WIRE_TEXT:
		if (!read_number(w, &size))
			return false;
		break;
	default:
		return false;
	}
	if (size > (uint64_t)(w->end - w->at))
		return false;
	*value = (struct wire){w->at, w->at + size};
	w->at += size;
	return true;
}

static uint32_t read_unit(const unsigned char *at)
{
	return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* A unit with its highest bit set is a place in the texts. Any other says where its 256 children may stand, and with bit 8 that the first of them is such a
 * place; the library does not look whether it is. */
static bool unit_holds(const unsigned char *trie, size_t units, size_t texts, size_t i)
{
	uint32_t unit = read_unit(trie + 4 * i), offset = (unit >> 10) << ((unit & 0x200) >> 6);
	size_t first = i ^ offset;

	if (unit >> 31)
		return (unit & 0x7fffffff) < texts;
	return (first | 0xff) < units && (!(unit & 0x100) || (read_unit(trie + 4 * first) & 0x7fffffff) < texts);
}

/* Bytes of the trie, the trie, the texts. */
static bool table_holds(const struct wire *table)
{
	size_t size = (size_t)(table->end - table->at), bytes, units, texts;
	const unsigned char *trie = table->at + 4;

	if (size == 0)
		return true;
	if (size <= 4)
		return false;
	bytes = read_unit(table->at);
	if (bytes >= size - 4 || bytes % 4 != 0 || bytes == 0 || table->end[-1] != '\0')
		return false;
	units = bytes / 4;
	texts = size - 4 - bytes;
	if (read_unit(trie) >> 31) /* where a walk begins */
		return false;
	for (size_t i = 0; i < units; i++)
		if (!unit_holds(trie, units, texts, i))
			return false;
	return true;
}

static bool normalizer_holds(struct wire w)
{
	struct wire value;
	uint32_t field;
	bool whole;

	while (read_member(&w, &field, &value, &whole))
		if (field == NORMALIZER_TABLE && !table_holds(&value))
			return false;
	return whole;
}

int unigram_file_check(const char *bytes, size_t size, const char *file, struct error *err)
{
	struct wire w = {(const unsigned char *)bytes, (const unsigned char *)bytes + size}, value;
	size_t pieces = 0;
	uint32_t field;
	bool whole;

	while (read_member(&w, &field, &value, &whole)) {
		pieces += field == MODEL_PIECES;
		if (field == MODEL_NORMALIZER && !normalizer_holds(value))
			return fail(err, E_FORMAT, "%s: the table of normal forms is damaged", file);
	}
	if (!whole || pieces == 0)
		return fail(err, E_FORMAT, "%s: not a SentencePiece model, or it is cut off", file);
	if (pieces > VOCAB_MAX)
		return fail(err, E_LIMIT, "%s: %zu pieces are more than a vocabulary may have", file, pieces);
	return 0;
}

/* ---- making ---- */

static void put_number(struct buffer *out, uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		buffer_add(out, &(char){(char)(value | 0x80)}, 1);
	buffer_add(out, &(char){(char)value}, 1);
}

static void put_text(struct buffer *out, int field, const char *text, size_t size)
{
	put_number(out, (uint64_t)field << 3 | WIRE_TEXT);
	put_number(out, size);
	buffer_add(out, text, size);
}

static void put_piece(struct buffer *out, const char *text, size_t length, float score, int type)
{
	struct buffer piece = {0};
	uint32_t bits;
	char bytes[4];

	memcpy(&bits, &score, sizeof bits);
	for (int i = 0; i < 4; i++)
		bytes[i] = (char)(bits >> 8 * i);
	put_text(&piece, PIECE_TEXT, text, length);
	put_number(&piece, PIECE_SCORE << 3 | WIRE_32);
	buffer_add(&piece, bytes, sizeof bytes);
	put_number(&piece, PIECE_TYPE << 3 | WIRE_NUMBER);
	put_number(&piece, (uint64_t)type);
	put_text(out, MODEL_PIECES, piece.text, piece.length);
	buffer_free(&piece);
}

static bool is_special(const json_t *added, const char *text)
{
	const json_t *item;
	size_t i;

	json_array_foreach((json_t *)added, i, item)
		if (json_is_true(json_object_get(item, "special")) && strcmp(text, json_string_value(json_object_get(item, "content")) ?: "") == 0)
			return true;
	return false;
}

static int put_pieces(struct buffer *out, const json_t *tokenizer, const char *file, struct error *err)
{
	const json_t *list = json_find(tokenizer, "model.vocab"), *added = json_object_get(tokenizer, "added_tokens"), *item;
	const json_t *unknown = json_find(tokenizer, "model.unk_id");
	size_t i;

	if (!json_is_array(list) || json_array_size(list) == 0 || !json_is_integer(unknown))
		return fail(err, E_FORMAT, "%s: \"model.vocab\" must be a list of pieces, and \"model.unk_id\" one of them", file);
	json_array_foreach(list, i, item) {
		const json_t *text = json_array_get(item, 0), *score = json_array_get(item, 1);
		int type = NORMAL;

		if (!json_is_string(text) || json_string_length(text) == 0 || !json_is_number(score))
			return fail(err, E_FORMAT, "%s: piece %zu is not a text with its score", file, i);
		if ((json_int_t)i == json_integer_value(unknown))
			type = UNKNOWN;
		else if (is_special(added, json_string_value(text)))
			type = CONTROL;
		put_piece(out, json_string_value(text), json_string_length(text), (float)json_number_value(score), type);
	}
	return 0;
}

static int base64_value(char c)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

static bool put_base64(struct buffer *out, const char *text, size_t length)
{
	uint32_t bits = 0;
	int held = 0;

	while (length > 0 && text[length - 1] == '=')
		length--;
	for (size_t i = 0; i < length; i++) {
		int value = base64_value(text[i]);

		if (value < 0)
			return false;
		bits = bits << 6 | (uint32_t)value;
		held += 6;
		if (held >= 8) {
			held -= 8;
			buffer_add(out, &(char){(char)(bits >> held)}, 1);
		}
	}
	return true;
}

/* The one table among the normalizers, which may be a sequence of several; NULL when there is none. */
static const json_t *find_table(const json_t *normalizer)
{
	const json_t *list = json_object_get(normalizer, "normalizers"), *item, *table = json_object_get(normalizer, "precompiled_charsmap");
	size_t i;

	json_array_foreach((json_t *)list, i, item)
		if (!table)
			table = json_object_get(item, "precompiled_charsmap");
	return table;
}

static int put_normalizer(struct buffer *out, const json_t *tokenizer, const char *file, struct error *err)
{
	const json_t *text = find_table(json_object_get(tokenizer, "normalizer"));
	struct buffer table = {0}, normalizer = {0};
	bool fine = !json_is_string(text) || put_base64(&table, json_string_value(text), json_string_length(text));

	put_text(&normalizer, NORMALIZER_NAME, "tokenizer.json", strlen("tokenizer.json"));
	if (table.length > 0)
		put_text(&normalizer, NORMALIZER_TABLE, table.text, table.length);
	put_text(out, MODEL_NORMALIZER, normalizer.text, normalizer.length);
	buffer_free(&normalizer);
	buffer_free(&table);
	return fine ? 0 : fail(err, E_FORMAT, "%s: \"precompiled_charsmap\" is not base64", file);
}

char *unigram_file_make(const json_t *tokenizer, const char *file, size_t *size, struct error *err)
{
	const char *type = json_string_value(json_find(tokenizer, "model.type"));
	struct buffer out = {0};

	if (!type || strcmp(type, "Unigram") != 0)
		return fail_null(err, E_FORMAT, "%s: this is no Unigram tokenizer (model type %s)", file, type ? type : "missing");
	if (put_pieces(&out, tokenizer, file, err) < 0 || put_normalizer(&out, tokenizer, file, err) < 0) {
		buffer_free(&out);
		return NULL;
	}
	*size = out.length;
	return out.text;
}
