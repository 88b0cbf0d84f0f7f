/* wordpiece.c - see wordpiece.h. The steps are those of BERT's BasicTokenizer, then longest match first (Devlin et al. 2019; Wu et al. 2016). */
#include "models/wordpiece.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/mem.h"
#include "models/json.h"
#include "models/text.h"
#include "models/tokenizer_json.h"

enum { WORD_MAX = 100, PREFIX_MAX = 8 };

struct wordpiece {
	struct vocab *vocab;
	int32_t roles[VOCAB_ROLES];
	char prefix[PREFIX_MAX + 1]; /* of pieces inside a word, "##" */
	size_t prefix_length;
	bool lower, strip_accents, clean, split_cjk;
	bool compose;  /* as without a tokenizer.json; the published code that reads one does not */
	long word_max; /* characters; longer words are unknown */
};

/* Are the steps BERT's? A normalizer that is null leaves text as it is. */
static int check_steps(const json_t *root, const char *path, struct error *err)
{
	static const char *const normalizers[] = {"BertNormalizer", "", NULL}, *const splits[] = {"BertPreTokenizer", NULL};

	if (tokenizer_json_step(root, "normalizer", normalizers, path, err) < 0 || tokenizer_json_step(root, "pre_tokenizer", splits, path, err) < 0)
		return -1;
	return tokenizer_json_frame(root, TOKENIZER_ONE_END, path, err);
}

static int read_tokenizer_json(struct wordpiece *w, const char *path, struct error *err)
{
	json_t *root = json_read(path, JSON_LIMIT, err);
	struct json_reader r = {.file = path, .err = err};
	const char *type = json_text(&r, root, "model.type", "WordPiece"), *prefix = json_text(&r, root, "model.continuing_subword_prefix", "##");
	int result = -1;

	if (!root)
		return -1;
	w->compose = false;
	if (json_is_null(json_object_get(root, "normalizer")))
		w->lower = w->clean = w->split_cjk = false;
	w->lower = json_flag(&r, root, "normalizer.lowercase", w->lower);
	w->strip_accents = json_flag(&r, root, "normalizer.strip_accents", w->lower);
	w->clean = json_flag(&r, root, "normalizer.clean_text", w->clean);
	w->split_cjk = json_flag(&r, root, "normalizer.handle_chinese_chars", w->split_cjk);
	w->word_max = json_int(&r, root, "model.max_input_chars_per_word", WORD_MAX, 1, 10000);
	if (!r.failed && (strcmp(type, "WordPiece") != 0 || strlen(prefix) > PREFIX_MAX))
		fail(err, E_FORMAT, "%s: this is no WordPiece tokenizer (model type %s, prefix \"%s\")", path, type, prefix);
	else if (!r.failed && check_steps(root, path, err) == 0 && vocab_add_object(w->vocab, json_find(root, "model.vocab"), path, err) == 0)
		result = vocab_add_added(w->vocab, json_find(root, "added_tokens"), path, err);
	if (result == 0)
		strcpy(w->prefix, prefix);
	json_decref(root);
	return r.failed ? -1 : result;
}

/* How text is treated stands in tokenizer_config.json, which the published code lets win over tokenizer.json; but for a class that knows no such keys. */
static int read_keys(struct wordpiece *w, const json_t *root, const char *path, struct error *err)
{
	static const struct json_plain others[] = {{"do_basic_tokenize", "true"}, {"never_split", NULL}};
	struct json_reader r = {.file = path, .err = err};
	const char *class = json_text(&r, root, "tokenizer_class", "");

	if (strcmp(class, "PreTrainedTokenizerFast") == 0 || strcmp(class, "TokenizersBackend") == 0)
		return r.failed ? -1 : 0;
	if (json_object_get(root, "do_lower_case") || json_object_get(root, "strip_accents")) {
		w->lower = json_flag(&r, root, "do_lower_case", w->lower);
		w->strip_accents = json_flag(&r, root, "strip_accents", w->lower);
	}
	w->split_cjk = json_flag(&r, root, "tokenize_chinese_chars", w->split_cjk);
	return r.failed ? -1 : json_refuse_others(&r, root, others, sizeof others / sizeof others[0]);
}

static int read_config(struct wordpiece *w, const char *dir, struct error *err)
{
	char *path = xasprintf("%s/tokenizer_config.json", dir);
	bool there = access(path, F_OK) == 0;
	json_t *root = there ? json_read(path, JSON_LIMIT, err) : NULL;
	int rc = there && (!root || read_keys(w, root, path, err) < 0) ? -1 : 0;

	json_decref(root);
	free(path);
	return rc;
}

static int read_dir(struct wordpiece *w, const char *dir, struct error *err)
{
	char *whole = xasprintf("%s/tokenizer.json", dir), *lines = xasprintf("%s/vocab.txt", dir);
	int result;

	if (access(whole, F_OK) == 0)
		result = read_tokenizer_json(w, whole, err);
	else if (access(lines, F_OK) == 0)
		result = vocab_add_lines(w->vocab, lines, err);
	else
		result = fail(err, E_IO, "%s has no tokenizer: tokenizer.json or vocab.txt is needed", dir);
	free(whole);
	free(lines);
	return result < 0 ? -1 : read_config(w, dir, err);
}

static int find_roles(struct wordpiece *w, const char *dir, const char *file, struct error *err)
{
	static const char *const names[VOCAB_ROLES][2] = {
		[ROLE_UNK] = {"[UNK]"}, [ROLE_SEP] = {"[SEP]"}, [ROLE_PAD] = {"[PAD]"}, [ROLE_CLS] = {"[CLS]"}, [ROLE_MASK] = {"[MASK]"}};
	static const enum vocab_role needed[] = {ROLE_UNK, ROLE_SEP, ROLE_PAD, ROLE_CLS};

	if (vocab_find_roles(w->vocab, dir, names, w->roles, err) < 0)
		return -1;
	for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
		if (w->roles[needed[i]] < 0)
			return fail(err, E_FORMAT, "%s: the vocabulary has no \"%s\"", file, names[needed[i]][0]);
	return 0;
}

static struct wordpiece *load(const char *dir, const char *file, struct error *err)
{
	struct wordpiece *w = xcalloc(1, sizeof *w);

	*w = (struct wordpiece){.vocab = vocab_create(), .prefix = "##", .word_max = WORD_MAX};
	w->lower = w->strip_accents = w->clean = w->split_cjk = w->compose = true;
	if ((dir ? read_dir(w, dir, err) : vocab_add_lines(w->vocab, file, err)) < 0 || find_roles(w, dir, dir ? dir : file, err) < 0) {
		wordpiece_free(w);
		return NULL;
	}
	w->prefix_length = strlen(w->prefix);
	return w;
}

struct wordpiece *wordpiece_load(const char *dir, struct error *err)
{
	return load(dir, NULL, err);
}

struct wordpiece *wordpiece_load_file(const char *path, struct error *err)
{
	return load(NULL, path, err);
}

void wordpiece_free(struct wordpiece *w)
{
	if (!w)
		return;
	vocab_free(w->vocab);
	free(w);
}

int32_t wordpiece_add(struct wordpiece *w, const char *token, struct error *err)
{
	bool there = vocab_find(w->vocab, token, strlen(token)) >= 0;
	int32_t id = vocab_add(w->vocab, token, strlen(token), -1, "the vocabulary", err);

	vocab_mark(w->vocab, id, there ? VOCAB_SPECIAL : VOCAB_SPECIAL | VOCAB_ADDED);
	return id;
}

size_t wordpiece_size(const struct wordpiece *w)
{
	return vocab_size(w->vocab);
}

int32_t wordpiece_role(const struct wordpiece *w, enum vocab_role role)
{
	return w->roles[role];
}

const char *wordpiece_token(const struct wordpiece *w, int32_t id)
{
	return vocab_text(w->vocab, id, NULL);
}

/* Lower-cases character by character, drops controls, sets ideographs apart, composes. */
static struct codes clean(const struct wordpiece *w, const char *text, size_t length)
{
	struct codes raw = text_codes(text, length), out = {0};

	for (size_t i = 0; i < raw.n; i++) {
		uint32_t two[2] = {raw.code[i]};
		size_t n = w->lower ? text_lower(raw.code[i], two) : 1;

		if (w->clean && (two[0] == 0 || two[0] == 0xfffd || text_is_control(two[0])))
			continue;
		if (w->split_cjk && text_is_cjk(two[0])) {
			text_codes_add(&out, ' ');
			text_codes_add(&out, two[0]);
			text_codes_add(&out, ' ');
		} else {
			text_codes_append(&out, two, n);
		}
	}
	text_codes_free(&raw);
	if (w->compose)
		text_normalize(&out, TEXT_NFC);
	return out;
}

/* Decomposes and drops the accents. */
static void strip_accents(struct codes *c)
{
	size_t kept = 0;

	text_normalize(c, TEXT_NFD);
	for (size_t i = 0; i < c->n; i++)
		if (!text_is_mark(c->code[i]))
			c->code[kept++] = c->code[i];
	c->n = kept;
}

/* The longest piece of word[from..) that the vocabulary has; its end goes to *end. edge[i] is where character i starts; word is preceded by the prefix. */
static int32_t longest_piece(const struct wordpiece *w, char *word, const size_t *edge, size_t from, size_t n, size_t *end)
{
	size_t prefix = from > 0 ? w->prefix_length : 0;
	char *start = word + edge[from] - prefix, saved[PREFIX_MAX];
	int32_t id = -1;

	/* The prefix is put over the bytes before, which are needed again. */
	memcpy(saved, start, prefix);
	memcpy(start, w->prefix, prefix);
	for (*end = n; *end > from && id < 0; --*end)
		id = vocab_find(w->vocab, start, prefix + edge[*end] - edge[from]);
	++*end;
	memcpy(start, saved, prefix);
	return id;
}

/* One word without blanks and punctuation. */
static void encode_word(const struct wordpiece *w, const uint32_t *codes, size_t n, struct ids *out)
{
	struct buffer word = {0};
	size_t *edge, first = out->n;

	if (n == 0)
		return;
	if (n > (size_t)w->word_max) {
		ids_add(out, w->roles[ROLE_UNK]);
		return;
	}
	edge = xcalloc(n + 1, sizeof *edge);
	buffer_add(&word, w->prefix, w->prefix_length);
	for (size_t i = 0; i < n; i++) {
		edge[i] = word.length;
		text_put_codes(&word, codes + i, 1);
	}
	edge[n] = word.length;
	for (size_t at = 0, end; at < n; at = end) {
		int32_t id = longest_piece(w, word.text, edge, at, n, &end);

		if (id < 0) {
			out->n = first;
			ids_add(out, w->roles[ROLE_UNK]);
			break;
		}
		ids_add(out, id);
	}
	free(edge);
	buffer_free(&word);
}

/* Text without special tokens: split at white space, strip accents, split off punctuation. */
static void encode_plain(const struct wordpiece *w, const char *text, size_t length, struct ids *out)
{
	struct codes c = clean(w, text, length);
	size_t from = 0;

	if (w->strip_accents)
		strip_accents(&c);
	for (size_t i = 0; i <= c.n; i++) {
		bool space = i == c.n || text_is_space(c.code[i]), mark = !space && text_is_punctuation(c.code[i]);

		if (!space && !mark)
			continue;
		encode_word(w, c.code + from, i - from, out);
		if (mark)
			encode_word(w, c.code + i, 1, out);
		from = i + 1;
	}
	text_codes_free(&c);
}

int wordpiece_pieces(const struct wordpiece *w, const char *text, size_t size, bool specials, struct ids *out, struct error *err)
{
	struct vocab_match m;
	size_t at = 0;

	if (size > WORDPIECE_TEXT_MAX)
		return fail(err, E_LIMIT, "a text of %zu bytes is too long; at most %d are taken", size, WORDPIECE_TEXT_MAX);
	for (; specials && vocab_match(w->vocab, text, size, at, false, &m); at = m.at + m.length) {
		encode_plain(w, text + at, m.at - at, out);
		ids_add(out, m.id);
	}
	encode_plain(w, text + at, size - at, out);
	return 0;
}

/* Takes `excess` tokens away. */
static int cut(struct ids *first, struct ids *second, size_t excess, enum wordpiece_cut how, struct error *err)
{
	if (how == WORDPIECE_ONLY_FIRST && excess > first->n)
		return fail(err, E_LIMIT, "the second text alone has %zu tokens, which is too long for this model", second->n);
	if (how == WORDPIECE_ONLY_FIRST) {
		first->n -= excess;
		return 0;
	}
	for (; excess > 0; excess--)
		if (first->n > second->n)
			first->n--;
		else
			second->n--;
	return 0;
}

/* n ids and the one that ends them, from ids[at] on; returns the index behind. */
static int put(int32_t *ids, int32_t *types, int at, const int32_t *from, size_t n, int32_t end, int32_t type)
{
	for (size_t i = 0; i <= n; i++, at++) {
		ids[at] = i < n ? from[i] : end;
		if (types)
			types[at] = type;
	}
	return at;
}

int wordpiece_encode(const struct wordpiece *w, const struct wordpiece_text *text, int32_t *ids, int32_t *types, int max, struct error *err)
{
	struct ids first = {0}, second = {0};
	int frame = text->second ? 3 : 2, n = -1;
	size_t room = max > frame ? max - frame : 0;

	if (wordpiece_pieces(w, text->first, strlen(text->first), text->specials, &first, err) < 0)
		goto out;
	if (text->second && wordpiece_pieces(w, text->second, strlen(text->second), text->specials, &second, err) < 0)
		goto out;
	if (max < frame) {
		fail(err, E_LIMIT, "%d tokens hold no text", max);
		goto out;
	}
	if (first.n + second.n > room && cut(&first, &second, first.n + second.n - room, text->cut, err) < 0)
		goto out;
	ids[0] = w->roles[ROLE_CLS];
	if (types)
		types[0] = 0;
	n = put(ids, types, 1, first.id, first.n, w->roles[ROLE_SEP], 0);
	if (text->second)
		n = put(ids, types, n, second.id, second.n, w->roles[ROLE_SEP], 1);
out:
	free(first.id);
	free(second.id);
	return n;
}

char *wordpiece_decode(const struct wordpiece *w, const int32_t *ids, size_t n, unsigned flags)
{
	struct buffer out = {0};

	buffer_puts(&out, "");
	for (size_t i = 0; i < n; i++) {
		size_t length;
		const char *text = vocab_text(w->vocab, ids[i], &length);

		if (!text || (flags & WORDPIECE_SKIP_SPECIAL && vocab_marks(w->vocab, ids[i]) & VOCAB_SPECIAL))
			continue;
		if (out.length > 0 && length > w->prefix_length && memcmp(text, w->prefix, w->prefix_length) == 0) {
			text += w->prefix_length;
			length -= w->prefix_length;
		} else if (out.length > 0) {
			buffer_puts(&out, " ");
		}
		buffer_add(&out, text, length);
	}
	if (flags & WORDPIECE_CLEAN_UP)
		text_clean_up(out.text);
	return out.text;
}
