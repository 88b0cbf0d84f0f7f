/* bpe.c - see bpe.h. A piece is a run of text cut out by a pattern; its bytes become symbols, and the pair of neighbours that was learned first is merged,
 * wherever it stands, until no pair is known (Sennrich et al. 2016, over bytes as in GPT-2). */
#include "models/bpe_private.h"

#include <stdlib.h>
#include <string.h>
#include <unistr.h>

#include "core/mem.h"
#include "models/clean.h"
#include "models/text.h"

#define NO_RANK UINT32_MAX
#define STALE   (UINT32_MAX - 1) /* to be looked up again */

struct symbol {
	int32_t id;
	uint32_t rank; /* of the pair with the next symbol */
};

size_t bpe_size(const struct bpe *b)
{
	return vocab_size(b->vocab);
}

int32_t bpe_role(const struct bpe *b, enum vocab_role role)
{
	return b->roles[role];
}

bool bpe_blank_first(const struct bpe *b)
{
	return b->blank_first;
}

const char *bpe_token(const struct bpe *b, int32_t id)
{
	return vocab_text(b->vocab, id, NULL);
}

static void rank_pair(const struct bpe *b, struct symbol *s, size_t i, size_t n)
{
	const struct merge *m = i + 1 < n ? bpe_find_merge(b, s[i].id, s[i + 1].id) : NULL;

	s[i].rank = m && m->key ? m->rank : NO_RANK;
}

/* Merges every occurrence of the pair with the given rank, from left to right; returns the new number of symbols. */
static size_t merge_rank(const struct bpe *b, struct symbol *s, size_t n, uint32_t rank)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; kept++) {
		if (s[i].rank != rank || i + 1 == n) {
			s[kept] = s[i++];
			continue;
		}
		s[kept] = (struct symbol){bpe_find_merge(b, s[i].id, s[i + 1].id)->to, STALE};
		if (kept > 0)
			s[kept - 1].rank = STALE;
		i += 2;
	}
	for (size_t i = 0; i < kept; i++)
		if (s[i].rank == STALE)
			rank_pair(b, s, i, kept);
	return kept;
}

static void encode_piece(const struct bpe *b, const char *piece, size_t length, struct ids *out)
{
	struct symbol few[64], *s = length <= 64 ? few : xcalloc(length, sizeof *s);
	size_t n = length;

	for (size_t i = 0; i < n; i++)
		s[i].id = i + 1 < n ? b->byte_id[(unsigned char)piece[i]] : b->last_id[(unsigned char)piece[i]];
	for (size_t i = 0; i < n; i++)
		rank_pair(b, s, i, n);
	for (;;) {
		uint32_t best = NO_RANK;

		for (size_t i = 0; i + 1 < n; i++)
			best = s[i].rank < best ? s[i].rank : best;
		if (best == NO_RANK)
			break;
		n = merge_rank(b, s, n, best);
	}
	for (size_t i = 0; i < n; i++)
		ids_add(out, s[i].id);
	if (s != few)
		free(s);
}

/* Cuts valid UTF-8 into pieces. With specials, a piece that is bos or eos becomes that one token. */
static void encode_run(const struct bpe *b, const pcre2_code *pattern, bool specials, const char *text, size_t length, struct ids *out)
{
	pcre2_match_data *match = pcre2_match_data_create(1, b->memory);
	size_t at = 0;

	while (at < length && pcre2_match(pattern, (PCRE2_SPTR)text, length, at, PCRE2_NO_UTF_CHECK, match, NULL) >= 0) {
		const PCRE2_SIZE *span = pcre2_get_ovector_pointer(match);
		int32_t whole = specials ? vocab_find(b->vocab, text + span[0], span[1] - span[0]) : -1;

		if (whole >= 0 && (whole == b->roles[ROLE_BOS] || whole == b->roles[ROLE_EOS]))
			ids_add(out, whole);
		else
			encode_piece(b, text + span[0], span[1] - span[0], out);
		at = span[1];
	}
	pcre2_match_data_free(match);
}

/* An added token may swallow the white space beside it: text[from..to) without the spaces at its end, or at its start. */
static size_t strip_end(const char *text, size_t from, size_t to)
{
	const uint8_t *first = (const uint8_t *)text + from, *end = (const uint8_t *)text + to, *before;
	ucs4_t code;

	while ((before = u8_prev(&code, end, first)) && text_is_space(code))
		end = before;
	return end - (const uint8_t *)text;
}

static size_t strip_start(const char *text, size_t from, size_t to)
{
	while (from < to) {
		ucs4_t code;
		int length = u8_mbtouc(&code, (const uint8_t *)text + from, to - from);

		if (!text_is_space(code))
			break;
		from += length;
	}
	return from;
}

/* Cuts out the special and added tokens with this "normalized" mark; what stands between them goes to plain. */
static void encode_around(const struct bpe *b, const char *text, size_t length, bool specials, bool normalized, struct ids *out,
			  void (*plain)(const struct bpe *b, const char *text, size_t length, bool specials, struct ids *out))
{
	struct vocab_match m;
	size_t at = 0;

	while (specials && vocab_match(b->vocab, text, length, at, normalized, &m)) {
		unsigned marks = vocab_marks(b->vocab, m.id);

		plain(b, text + at, (marks & VOCAB_LSTRIP ? strip_end(text, at, m.at) : m.at) - at, specials, out);
		ids_add(out, m.id);
		at = m.at + m.length;
		if (marks & VOCAB_RSTRIP)
			at = strip_start(text, at, length);
	}
	plain(b, text + at, length - at, specials, out);
}

static void plain_run(const struct bpe *b, const char *text, size_t length, bool specials, struct ids *out)
{
	encode_run(b, b->pattern, false, text, length, out);
}

/* The normaliser of CLIP's tokenizer.json. */
static void normalize_clip(const char *text, size_t length, struct buffer *out)
{
	struct codes c = text_codes(text, length);

	text_normalize(&c, TEXT_NFC);
	text_collapse_blanks(&c);
	for (size_t i = 0; i < c.n; i++) {
		uint32_t lower[2];

		text_put_codes(out, lower, text_lower(c.code[i], lower));
	}
	text_codes_free(&c);
}

/* Text between tokens found as they were written: what is left to find is found in its normal form. */
static void plain_raw(const struct bpe *b, const char *text, size_t length, bool specials, struct ids *out)
{
	struct buffer normal = {0};

	if (b->kind == BPE_CLIP)
		normalize_clip(text, length, &normal);
	else
		buffer_add(&normal, text, length);
	encode_around(b, normal.text, normal.length, specials, true, out, plain_run);
	buffer_free(&normal);
}

int bpe_pieces(const struct bpe *b, const char *text, size_t length, unsigned flags, struct ids *out, struct error *err)
{
	bool specials = flags & BPE_SPECIALS;
	struct buffer valid = {0};

	if (length > BPE_TEXT_MAX)
		return fail(err, E_LIMIT, "a text of %zu bytes is too long; at most %d are taken", length, BPE_TEXT_MAX);
	if (b->kind == BPE_CLIP && flags & BPE_OPENAI) {
		clean_openai(text, length, &valid);
		encode_run(b, b->openai[specials], specials, valid.text, valid.length, out);
	} else {
		text_put_repaired(&valid, text, length);
		encode_around(b, valid.text, valid.length, specials, false, out, plain_raw);
	}
	buffer_free(&valid);
	return 0;
}

int bpe_encode(const struct bpe *b, const char *text, size_t length, unsigned flags, int32_t *ids, int max, int *whole, struct error *err)
{
	struct ids pieces = {0};
	int n;

	if (bpe_pieces(b, text, length, flags, &pieces, err) < 0)
		return -1;
	if (whole)
		*whole = (int)pieces.n + 2;
	n = (int)pieces.n < max - 2 ? (int)pieces.n : max - 2;
	ids[0] = b->roles[ROLE_BOS];
	if (n > 0)
		memcpy(ids + 1, pieces.id, n * sizeof *ids);
	ids[n + 1] = b->roles[ROLE_EOS];
	free(pieces.id);
	return n + 2;
}

/* Letters of the byte alphabet back to bytes; other characters (of special tokens) stay. */
static void put_bytes(const struct bpe *b, const char *text, size_t length, struct buffer *out)
{
	struct codes c = text_codes(text, length);

	for (size_t i = 0; i < c.n; i++) {
		int byte = c.code[i] < 512 ? b->letter_byte[c.code[i]] : -1;
		char one = (char)byte;

		if (byte >= 0)
			buffer_add(out, &one, 1);
		else
			text_put_codes(out, &c.code[i], 1);
	}
	text_codes_free(&c);
}

/* A run of base tokens, or one added token; runs are kept apart by one blank. */
static void flush_run(struct buffer *run, size_t *runs, struct buffer *out)
{
	if (run->length == 0)
		return;
	if ((*runs)++ > 0)
		buffer_puts(out, " ");
	text_put_repaired(out, run->text, run->length);
	run->length = 0;
}

char *bpe_decode(const struct bpe *b, const int32_t *ids, size_t n, unsigned flags)
{
	struct buffer run = {0}, out = {0};
	size_t runs = 0;

	buffer_puts(&out, "");
	for (size_t i = 0; i < n; i++) {
		size_t length;
		const char *text = vocab_text(b->vocab, ids[i], &length);
		unsigned marks = vocab_marks(b->vocab, ids[i]);

		if (!text || (flags & BPE_SKIP_SPECIAL && marks & VOCAB_SPECIAL))
			continue;
		if (marks & VOCAB_ADDED) {
			flush_run(&run, &runs, &out);
			buffer_add(&run, text, length);
			flush_run(&run, &runs, &out);
		} else {
			put_bytes(b, text, length, &run);
		}
	}
	flush_run(&run, &runs, &out);
	buffer_free(&run);
	if (flags & BPE_CLEAN_UP)
		text_clean_up(out.text);
	return out.text;
}
