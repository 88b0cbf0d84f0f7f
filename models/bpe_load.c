/* bpe_load.c - the files of bpe.h: vocabulary, merges, special tokens, and the patterns that cut text into pieces. */
#include "models/bpe_private.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <unistr.h>

#include "core/mem.h"
#include "models/json.h"
#include "models/text.h"
#include "models/tokenizer_json.h"

/* \s of PCRE also takes U+180E; this is Unicode's White_Space. */
#define BLANK         "\\x09-\\x0d\\x20\\x85\\xa0\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"
#define CLIP_PATTERN  "'s|'t|'re|'ve|'m|'ll|'d|\\p{L}+|\\p{N}|[^" BLANK "\\p{L}\\p{N}]+"
#define BYTES_PATTERN "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^" BLANK "\\p{L}\\p{N}]+|[" BLANK "]+(?![^" BLANK "])|[" BLANK "]+"

enum { LOST_FEW = 100 };

struct merge *bpe_find_merge(const struct bpe *b, int32_t left, int32_t right)
{
	uint64_t key = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) + 1;

	for (size_t i = (size_t)((key * 0x9e3779b97f4a7c15u) >> 32);; i++) {
		struct merge *m = &b->merge[i & (b->slots - 1)];

		if (m->key == key || m->key == 0)
			return m;
	}
}

uint32_t bpe_letter(int byte)
{
	uint32_t next = 0x100;

	for (int i = 0; i <= byte; i++) {
		bool itself = (i >= 0x21 && i <= 0x7e) || (i >= 0xa1 && i <= 0xac) || i >= 0xae;

		if (i == byte)
			return itself ? (uint32_t)i : next;
		next += !itself;
	}
	return 0;
}

static int add_merge(struct bpe *b, const char *left, size_t left_length, const char *right, size_t right_length, uint32_t rank, const char *file,
		     struct error *err)
{
	struct buffer joined = {0};
	int32_t l = vocab_find(b->vocab, left, left_length), r = vocab_find(b->vocab, right, right_length), to;
	struct merge *m;

	buffer_add(&joined, left, left_length);
	buffer_add(&joined, right, right_length);
	to = vocab_find(b->vocab, joined.text, joined.length);
	buffer_free(&joined);
	if (l < 0 || r < 0 || to < 0)
		return fail(err, E_FORMAT, "%s: merge %u, \"%.*s %.*s\": the vocabulary lacks a piece of it", file, rank + 1, (int)left_length, left,
			    (int)right_length, right);
	m = bpe_find_merge(b, l, r);
	*m = (struct merge){((uint64_t)(uint32_t)l << 32 | (uint32_t)r) + 1, rank, to};
	return 0;
}

static void reserve_merges(struct bpe *b, size_t n)
{
	for (b->slots = 64; b->slots < n * 2;)
		b->slots *= 2;
	b->merge = xcalloc(b->slots, sizeof *b->merge);
}

static int add_merge_text(struct bpe *b, const char *line, size_t length, uint32_t rank, const char *file, struct error *err)
{
	const char *blank = memchr(line, ' ', length);

	if (!blank)
		return fail(err, E_FORMAT, "%s: merge %u, \"%.*s\", is not two pieces", file, rank + 1, (int)length, line);
	return add_merge(b, line, blank - line, blank + 1, line + length - blank - 1, rank, file, err);
}

bool bpe_next_line(const char **at, const char *end, const char **line, size_t *length)
{
	while (*at < end) {
		const char *newline = memchr(*at, '\n', (size_t)(end - *at)), *stop = newline ? newline : end;

		*line = *at;
		*length = (size_t)(stop - *line);
		*at = newline ? newline + 1 : end;
		if (*length > 0 && (*line)[*length - 1] == '\r')
			--*length;
		if (*length > 0)
			return true;
	}
	return false;
}

/* Two pieces a line. */
static int add_merge_lines(struct bpe *b, const char *text, size_t size, const char *file, struct error *err)
{
	const char *at = text, *end = text + size, *line;
	size_t lines = 0, length;

	for (size_t i = 0; i < size; i++)
		lines += text[i] == '\n';
	reserve_merges(b, lines + 1);
	for (uint32_t rank = 0; bpe_next_line(&at, end, &line, &length); rank++)
		if (add_merge_text(b, line, length, rank, file, err) < 0)
			return -1;
	return 0;
}

/* merges.txt: a comment in the first line, then the merges. */
static int read_merges(struct bpe *b, const char *path, struct error *err)
{
	size_t size, comment;
	char *data = json_read_bytes(path, JSON_LIMIT, &size, err);
	int result;

	if (!data)
		return -1;
	comment = data[0] == '#' ? strcspn(data, "\n") : 0;
	result = add_merge_lines(b, data + comment, size - comment, path, err);
	free(data);
	return result;
}

/* The start and the end token follow the last merge, so that one of a table that is cut off has the id of another piece. */
static int check_table(const struct bpe *b, const char *path, int vocabulary, struct error *err)
{
	size_t n = vocab_size(b->vocab);

	if (n >= BPE_TABLE_TOKENS || n >= (size_t)vocabulary)
		return 0;
	return fail(err, E_FORMAT, "%s: it gives %zu tokens, the model has %d: the file is cut off, or of another model; download it again", path, n,
		    vocabulary);
}

static int read_table(struct bpe *b, const char *path, int vocabulary, struct error *err)
{
	struct buffer merges = {0};
	int result = bpe_read_table(path, b->vocab, &merges, err);

	if (result == 0)
		result = check_table(b, path, vocabulary, err);
	if (result == 0)
		result = add_merge_lines(b, merges.text, merges.length, path, err);
	buffer_free(&merges);
	return result;
}

/* tokenizer.json's merges: "a b" or ["a", "b"]. */
static int add_merge_list(struct bpe *b, const json_t *list, const char *file, struct error *err)
{
	if (!json_is_array(list))
		return fail(err, E_FORMAT, "%s: \"model.merges\" must be a list", file);
	reserve_merges(b, json_array_size(list) + 1);
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *item = json_array_get(list, i), *left = json_array_get(item, 0), *right = json_array_get(item, 1);
		int result;

		if (json_is_string(item))
			result = add_merge_text(b, json_string_value(item), json_string_length(item), (uint32_t)i, file, err);
		else if (json_is_string(left) && json_is_string(right))
			result = add_merge(b, json_string_value(left), json_string_length(left), json_string_value(right), json_string_length(right),
					   (uint32_t)i, file, err);
		else
			result = fail(err, E_FORMAT, "%s: merge %zu is not two pieces", file, i + 1);
		if (result < 0)
			return -1;
	}
	return 0;
}

/* Are the steps GPT-2's, and the frame RoBERTa's? */
static int check_steps(struct json_reader *r, const json_t *root)
{
	static const char *const none[] = {"", NULL}, *const splits[] = {"ByteLevel", NULL};
	static const struct json_plain others[] = {{"pre_tokenizer.use_regex", "true"},
						   {"model.dropout", "0"},
						   {"model.ignore_merges", "false"},
						   {"model.continuing_subword_prefix", "\"\""}};

	if (tokenizer_json_step(root, "normalizer", none, r->file, r->err) < 0 ||
	    tokenizer_json_step(root, "pre_tokenizer", splits, r->file, r->err) < 0 ||
	    tokenizer_json_frame(root, TOKENIZER_TWO_ENDS, r->file, r->err) < 0)
		return -1;
	return json_refuse_others(r, root, others, sizeof others / sizeof others[0]);
}

static int read_tokenizer_json(struct bpe *b, const char *path, struct error *err)
{
	json_t *root = json_read(path, JSON_LIMIT, err);
	struct json_reader r = {.file = path, .err = err};
	const char *type = json_text(&r, root, "model.type", "BPE"), *suffix = json_text(&r, root, "model.end_of_word_suffix", "");
	int result = -1;

	if (!root)
		return -1;
	if (!r.failed && (strcmp(type, "BPE") != 0 || json_flag(&r, root, "model.byte_fallback", false)))
		fail(err, E_FORMAT, "%s: this is no byte-level BPE tokenizer (model type %s)", path, type);
	else if (!r.failed && strcmp(suffix, b->kind == BPE_CLIP ? "</w>" : "") != 0)
		fail(err, E_FORMAT, "%s: its pieces end words by \"%s\"; this model needs \"%s\"", path, suffix, b->kind == BPE_CLIP ? "</w>" : "");
	else if (!r.failed && (b->kind == BPE_CLIP || check_steps(&r, root) == 0) &&
		 vocab_add_object(b->vocab, json_find(root, "model.vocab"), path, err) == 0 &&
		 add_merge_list(b, json_find(root, "model.merges"), path, err) == 0)
		result = vocab_add_added(b->vocab, json_find(root, "added_tokens"), path, err);
	b->blank_first = json_flag(&r, root, "pre_tokenizer.add_prefix_space", false);
	json_decref(root);
	return r.failed ? -1 : result;
}

static int read_vocab_json(struct bpe *b, const char *path, struct error *err)
{
	json_t *root = json_read(path, JSON_LIMIT, err);
	int result = root ? vocab_add_object(b->vocab, root, path, err) : -1;

	json_decref(root);
	return result;
}

static int read_two(struct bpe *b, const char *vocab, const char *merges, struct error *err)
{
	return read_vocab_json(b, vocab, err) < 0 ? -1 : read_merges(b, merges, err);
}

static int read_folder(struct bpe *b, const struct bpe_source *source, struct error *err)
{
	static const char *const names[] = {"tokenizer.json", "vocab.json", "merges.txt", "bpe_simple_vocab_16e6.txt.gz",
					    "bpe_simple_vocab_16e6.txt"};
	enum { WHOLE, VOCAB, MERGES, PACKED, TABLE, FILES };
	const char *dir = source->dir;
	char *path[FILES];
	bool there[FILES];
	int result;

	for (int i = 0; i < FILES; i++) {
		path[i] = xasprintf("%s/%s", dir, names[i]);
		there[i] = access(path[i], F_OK) == 0;
	}
	if (there[WHOLE])
		result = read_tokenizer_json(b, path[WHOLE], err);
	else if (there[VOCAB] && there[MERGES])
		result = read_two(b, path[VOCAB], path[MERGES], err);
	else if (b->kind == BPE_CLIP && (there[PACKED] || there[TABLE]))
		result = read_table(b, path[there[PACKED] ? PACKED : TABLE], source->vocabulary, err);
	else
		result = fail(err, E_IO, "%s has no tokenizer: tokenizer.json is needed, or vocab.json and merges.txt%s%s", dir,
			      b->kind == BPE_CLIP ? ", or OpenAI's " : "", b->kind == BPE_CLIP ? names[PACKED] : "");
	for (int i = 0; i < FILES; i++)
		free(path[i]);
	return result;
}

static int read_files(struct bpe *b, const struct bpe_source *source, struct error *err)
{
	return source->dir ? read_folder(b, source, err) : read_two(b, source->vocab, source->merges, err);
}

static int add_numbered(struct bpe *b, const char *name, int n, const char *file, struct error *err)
{
	for (int i = 0; i < n; i++) {
		char text[32];
		int length = snprintf(text, sizeof text, "<%s_%d>", name, i);
		int32_t id = vocab_add(b->vocab, text, length, -1, file, err);

		if (id < 0)
			return -1;
		vocab_mark(b->vocab, id, VOCAB_ADDED | VOCAB_LSTRIP | VOCAB_RSTRIP);
	}
	return 0;
}

static int find_roles(struct bpe *b, const struct bpe_source *source, const char *file, struct error *err)
{
	static const char *const clip[VOCAB_ROLES][2] = {
		[ROLE_BOS] = {"<|startoftext|>", "<start_of_text>"}, [ROLE_EOS] = {"<|endoftext|>", "<end_of_text>"}, [ROLE_UNK] = {"<|endoftext|>"}};
	static const char *const bytes[VOCAB_ROLES][2] = {
		[ROLE_BOS] = {"<s>"},   [ROLE_EOS] = {"</s>"}, [ROLE_UNK] = {"<unk>"},  [ROLE_SEP] = {"</s>"},
		[ROLE_PAD] = {"<pad>"}, [ROLE_CLS] = {"<s>"},  [ROLE_MASK] = {"<mask>"}};
	const char *const(*names)[2] = b->kind == BPE_CLIP ? clip : bytes;

	if (vocab_find_roles(b->vocab, source->dir, names, b->roles, err) < 0)
		return -1;
	for (int role = ROLE_BOS; role <= ROLE_EOS; role++)
		if (b->roles[role] < 0)
			return fail(err, E_FORMAT, "%s: the vocabulary has no %s token (\"%s\")", file, role == ROLE_BOS ? "start" : "end",
				    names[role][0]);
	if (b->roles[ROLE_PAD] < 0)
		b->roles[ROLE_PAD] = b->roles[ROLE_EOS];
	if (b->kind == BPE_BYTES)
		vocab_mark(b->vocab, b->roles[ROLE_MASK], VOCAB_LSTRIP);
	return 0;
}

/* A piece of several letters that is no token of its own kind: only a merge gives it. */
static bool needs_merge(const struct bpe *b, int32_t id)
{
	size_t length, letters;
	const char *text = vocab_text(b->vocab, id, &length);

	if (!text || vocab_marks(b->vocab, id) & (VOCAB_SPECIAL | VOCAB_ADDED) || (length > 2 && text[0] == '<' && text[length - 1] == '>'))
		return false;
	if (b->kind == BPE_CLIP && length > 4 && strcmp(text + length - 4, "</w>") == 0)
		length -= 4;
	letters = u8_mbsnlen((const uint8_t *)text, length);
	return letters > 1;
}

/* Merges that are cut off leave pieces that no text can come to; published vocabularies have a handful of those at most. */
static int check_merges(const struct bpe *b, const char *file, struct error *err)
{
	size_t size = vocab_size(b->vocab), lost = 0;
	bool *made = xcalloc(size, sizeof *made);

	for (size_t i = 0; i < b->slots; i++)
		if (b->merge[i].key)
			made[b->merge[i].to] = true;
	for (size_t id = 0; id < size; id++)
		lost += !made[id] && needs_merge(b, (int32_t)id);
	free(made);
	if (lost <= LOST_FEW + size / 100)
		return 0;
	return fail(err, E_FORMAT, "%s: no merge gives %zu of the %zu tokens: the merges are cut off, or of another model; download them again", file,
		    lost, size);
}

static int map_bytes(struct bpe *b, const char *file, struct error *err)
{
	memset(b->letter_byte, 0xff, sizeof b->letter_byte);
	for (int i = 0; i < 256; i++) {
		uint32_t letter = bpe_letter(i);
		struct buffer text = {0};

		b->letter_byte[letter] = (int16_t)i;
		text_put_codes(&text, &letter, 1);
		b->byte_id[i] = b->last_id[i] = vocab_find(b->vocab, text.text, text.length);
		buffer_puts(&text, "</w>");
		if (b->kind == BPE_CLIP)
			b->last_id[i] = vocab_find(b->vocab, text.text, text.length);
		buffer_free(&text);
		if ((b->byte_id[i] < 0 || b->last_id[i] < 0) && b->roles[ROLE_UNK] < 0)
			return fail(err, E_FORMAT, "%s: byte 0x%02x has no piece and there is no unknown token", file, i);
		if (b->byte_id[i] < 0)
			b->byte_id[i] = b->roles[ROLE_UNK];
		if (b->last_id[i] < 0)
			b->last_id[i] = b->roles[ROLE_UNK];
	}
	return 0;
}

static void *pattern_alloc(size_t size, void *ctx)
{
	return xmalloc(size);
}

static void pattern_free(void *old, void *ctx)
{
	free(old);
}

static pcre2_code *compile(const struct bpe *b, const char *pattern, uint32_t options)
{
	pcre2_compile_context *context = pcre2_compile_context_create(b->memory);
	int code;
	PCRE2_SIZE at;
	pcre2_code *made = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, options | PCRE2_UTF, &code, &at, context);

	pcre2_compile_context_free(context);
	return made;
}

/* The special tokens as alternatives, each followed by '|', with ASCII quoted. */
static void put_specials(const struct bpe *b, struct buffer *out)
{
	for (int role = ROLE_BOS; role <= ROLE_EOS; role++) {
		for (const char *c = vocab_text(b->vocab, b->roles[role], NULL); *c; c++)
			buffer_printf(out, (unsigned char)*c < 0x80 ? "\\x%02x" : "%c", (unsigned char)*c);
		buffer_puts(out, "|");
	}
}

static int compile_patterns(struct bpe *b, const char *file, struct error *err)
{
	struct buffer any_case = {0};

	b->memory = pcre2_general_context_create(pattern_alloc, pattern_free, NULL);
	b->pattern = compile(b, b->kind == BPE_CLIP ? CLIP_PATTERN : BYTES_PATTERN, 0);
	if (b->pattern && b->kind == BPE_BYTES)
		return 0;
	put_specials(b, &any_case);
	buffer_puts(&any_case, CLIP_PATTERN);
	b->openai[0] = compile(b, CLIP_PATTERN, PCRE2_CASELESS);
	b->openai[1] = compile(b, any_case.text, PCRE2_CASELESS);
	buffer_free(&any_case);
	return b->pattern && b->openai[0] && b->openai[1] ? 0 : fail(err, E_FORMAT, "%s: the start and end tokens make no pattern", file);
}

struct bpe *bpe_load(const struct bpe_source *source, struct error *err)
{
	struct bpe *b = xcalloc(1, sizeof *b);
	const char *file = source->dir ? source->dir : source->vocab;

	b->kind = source->kind;
	b->vocab = vocab_create();
	if (read_files(b, source, err) < 0 || find_roles(b, source, file, err) < 0 || check_merges(b, file, err) < 0 ||
	    add_numbered(b, "code", source->codes, file, err) < 0 || add_numbered(b, "bin", source->bins, file, err) < 0 ||
	    map_bytes(b, file, err) < 0 || compile_patterns(b, file, err) < 0) {
		bpe_free(b);
		return NULL;
	}
	return b;
}

struct bpe *bpe_load_clip(const char *dir, struct error *err)
{
	return bpe_load(&(struct bpe_source){.kind = BPE_CLIP, .dir = dir}, err);
}

struct bpe *bpe_load_bytes(const char *dir, struct error *err)
{
	return bpe_load(&(struct bpe_source){.kind = BPE_BYTES, .dir = dir, .codes = 8192, .bins = 1000}, err);
}

void bpe_free(struct bpe *b)
{
	if (!b)
		return;
	pcre2_code_free(b->pattern);
	pcre2_code_free(b->openai[0]);
	pcre2_code_free(b->openai[1]);
	pcre2_general_context_free(b->memory);
	vocab_free(b->vocab);
	free(b->merge);
	free(b);
}
