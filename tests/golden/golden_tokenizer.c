/* golden_tokenizer.c - the tokenizers of CLIP, OFA and BERT against recorded ids and texts. See golden.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "models/bpe.h"
#include "models/json.h"
#include "models/text.h"
#include "models/wordpiece.h"
#include "tests/golden/golden.h"

/* The folder that holds the tokenizer's files in the data folder; NULL (a skip was counted) when there is none. malloc'd. */
static char *vocabulary_folder(struct golden *g, const char *probe)
{
	char *path = golden_data(g, probe);

	if (!path) {
		golden_skip(g, "all cases", "no vocabulary found; name its folder with --data or VRAMBLE_DATA");
		return NULL;
	}
	*strrchr(path, '/') = '\0';
	return path;
}

/* Ids are few: as 64-bit numbers for the comparison. */
static void compare_ids(struct golden_case *c, const json_t *expected, const char *what, const int32_t *ids, size_t n)
{
	int64_t *wide = xcalloc(n + 1, sizeof *wide);

	for (size_t i = 0; i < n; i++)
		wide[i] = ids[i];
	golden_compare_ids(c, expected, what, wide, n);
	free(wide);
}

static void name_case(char *name, size_t size, size_t index, const json_t *node)
{
	const char *tag = json_string_value(json_object_get(node, "tag"));

	snprintf(name, size, "%zu %s", index, tag ? tag : "");
}

static int text_of(const json_t *node, const char **text, size_t *length, struct error *err)
{
	const json_t *value = json_object_get(node, "text");

	if (!json_is_string(value))
		return fail(err, E_FORMAT, "a case has no \"text\"");
	*text = json_string_value(value);
	*length = json_string_length(value);
	return 0;
}

static void compare_text(struct golden_case *c, const json_t *node, const char *key, const char *got)
{
	const char *expected = json_string_value(json_object_get(node, key));

	if (!expected)
		return;
	c->compared++;
	if (strcmp(expected, got) != 0)
		golden_miss(c, "%s is \"%s\", expected \"%s\"", key, got, expected);
}

/* ---- CLIP ---- */

static bool clip_claims(const json_t *root)
{
	return json_object_get(root, "start_id") && json_object_get(root, "context_length") && json_object_get(root, "cases");
}

struct clip_reader {
	struct bpe *bpe;
	int context;
};

static void clip_encode(struct golden_case *c, const struct clip_reader *r, const json_t *node, unsigned flags, const json_t *expected,
			const char *what)
{
	const json_t *text = json_object_get(node, "text"), *whole = json_object_get(node, "untruncated_length");
	int32_t *ids = xcalloc((size_t)r->context, sizeof *ids);
	struct error err = {0};
	int all = 0, n;

	n = bpe_encode(r->bpe, json_string_value(text), json_string_length(text), flags | BPE_SPECIALS, ids, r->context, &all, &err);
	if (n < 0)
		golden_miss(c, "%s: %s", what, err.text);
	else
		compare_ids(c, expected, what, ids, (size_t)n);
	if (flags & BPE_OPENAI && json_is_integer(whole) && all != json_integer_value(whole))
		golden_miss(c, "%s: %d ids before cutting, expected %lld", what, all, (long long)json_integer_value(whole));
	free(ids);
}

static int clip_case(struct golden *g, const struct clip_reader *r, size_t index, const json_t *node, struct error *err)
{
	const json_t *ids = json_object_get(node, "ids"), *plain = json_object_get(node, "ids_hf_tokenizer_json");
	const char *text, *tag = json_string_value(json_object_get(node, "tag"));
	struct golden_case c;
	char name[96];
	size_t length;

	if (text_of(node, &text, &length, err) < 0)
		return -1;
	name_case(name, sizeof name, index, node);
	c = golden_begin(g, name);
	if (tag && strcmp(tag, "ftfy:mojibake") == 0)
		golden_note(&c, "only by tokenizer.json's rule: doubly encoded text is not repaired");
	else
		clip_encode(&c, r, node, BPE_OPENAI, ids, "ids");
	clip_encode(&c, r, node, 0, plain ? plain : ids, "ids by tokenizer.json's rule");
	golden_end(&c);
	return 0;
}

static int clip_run(struct golden *g, struct error *err)
{
	const json_t *cases = golden_array(g, "cases", err), *context = json_object_get(g->root, "context_length"), *node;
	struct clip_reader r = {.context = (int)json_integer_value(context)};
	char *folder;
	int rc = 0;
	size_t i;

	if (!cases)
		return -1;
	if (!json_is_integer(context) || r.context < 2 || r.context > 1 << 16)
		return fail(err, E_FORMAT, "\"context_length\" is not a length");
	folder = vocabulary_folder(g, "clip/merges.txt");
	if (!folder)
		return 0;
	r.bpe = bpe_load_clip(folder, err);
	if (!r.bpe)
		rc = -1;
	json_array_foreach(cases, i, node)
		if (rc == 0)
			rc = clip_case(g, &r, i, node, err);
	bpe_free(r.bpe);
	free(folder);
	return rc;
}

const struct golden_kind golden_clip_tokenizer = {"CLIP tokenizer", clip_claims, clip_run};

/* ---- OFA ---- */

static bool ofa_claims(const json_t *root)
{
	return json_object_get(root, "encode") && json_object_get(root, "decode") && strcmp(golden_architecture(root), "ofa") == 0;
}

static void ofa_compare_tokens(struct golden_case *c, const struct bpe *bpe, const json_t *tokens, const struct ids *ids)
{
	for (size_t i = 0; i < json_array_size(tokens) && i < ids->n; i++) {
		const char *token = bpe_token(bpe, ids->id[i]), *expected = json_string_value(json_array_get(tokens, i));

		if (!token || !expected || strcmp(token, expected) != 0)
			golden_miss(c, "token %zu is %s, expected %s", i, token ? token : "(none)", expected ? expected : "(not a text)");
	}
}

static int ofa_encode(struct golden *g, const struct bpe *bpe, const char *group, size_t index, const json_t *node, struct error *err)
{
	struct golden_case c;
	struct ids ids = {0};
	char name[64];
	const char *text;
	size_t length;

	if (text_of(node, &text, &length, err) < 0)
		return -1;
	snprintf(name, sizeof name, "%s %zu", group, index);
	c = golden_begin(g, name);
	if (bpe_pieces(bpe, text, length, BPE_SPECIALS, &ids, err) < 0)
		golden_miss(&c, "%s", err->text);
	compare_ids(&c, json_object_get(node, "ids"), "ids", ids.id, ids.n);
	ofa_compare_tokens(&c, bpe, json_object_get(node, "tokens"), &ids);
	free(ids.id);
	golden_end(&c);
	return 0;
}

static int ofa_decode(struct golden *g, const struct bpe *bpe, size_t index, const json_t *node, struct error *err)
{
	static const struct {
		const char *key;
		unsigned flags;
	} ways[] = {
		{"decoded", BPE_SKIP_SPECIAL | BPE_CLEAN_UP},
		{"decoded_no_cleanup", BPE_SKIP_SPECIAL},
		{"decoded_keep_special", 0},
		{"caption", BPE_SKIP_SPECIAL | BPE_CLEAN_UP},
	};
	const json_t *list = json_object_get(node, "ids"), *id;
	struct golden_case c;
	struct ids ids = {0};
	char name[64];
	size_t i;

	if (!json_is_array(list))
		return fail(err, E_FORMAT, "a case of \"decode\" has no \"ids\"");
	json_array_foreach(list, i, id)
		ids_add(&ids, (int32_t)json_integer_value(id));
	snprintf(name, sizeof name, "decode %zu", index);
	c = golden_begin(g, name);
	for (i = 0; i < sizeof ways / sizeof ways[0]; i++) {
		char *text = bpe_decode(bpe, ids.id, ids.n, ways[i].flags);

		if (strcmp(ways[i].key, "caption") == 0)
			text_caption(text);
		compare_text(&c, node, ways[i].key, text);
		free(text);
	}
	free(ids.id);
	golden_end(&c);
	return 0;
}

static int ofa_run(struct golden *g, struct error *err)
{
	const json_t *encode = golden_array(g, "encode", err), *decode = encode ? golden_array(g, "decode", err) : NULL, *node;
	const json_t *added = json_find(g->root, "encode_added_tokens_version_dependent.cases");
	struct bpe *bpe;
	char *folder;
	int rc = 0;
	size_t i;

	if (!decode)
		return -1;
	folder = vocabulary_folder(g, "ofa/vocab.json");
	if (!folder)
		return 0;
	bpe = bpe_load_bytes(folder, err);
	if (!bpe)
		rc = -1;
	json_array_foreach(encode, i, node)
		if (rc == 0)
			rc = ofa_encode(g, bpe, "encode", i, node, err);
	json_array_foreach(added, i, node)
		if (rc == 0)
			rc = ofa_encode(g, bpe, "added tokens", i, node, err);
	json_array_foreach(decode, i, node)
		if (rc == 0)
			rc = ofa_decode(g, bpe, i, node, err);
	bpe_free(bpe);
	free(folder);
	return rc;
}

const struct golden_kind golden_ofa_tokenizer = {"OFA tokenizer", ofa_claims, ofa_run};

/* ---- BERT ---- */

static bool bert_claims(const json_t *root)
{
	return json_find(root, "special.cls") && json_object_get(root, "cases");
}

/* One text: pieces between [CLS] and [SEP]. The text may hold NUL characters, which a pair's texts cannot. */
static int bert_single(struct golden *g, const struct wordpiece *w, size_t index, const json_t *node, struct error *err)
{
	struct golden_case c;
	struct ids ids = {0};
	char name[96];
	const char *text;
	size_t length;

	if (text_of(node, &text, &length, err) < 0)
		return -1;
	name_case(name, sizeof name, index, node);
	c = golden_begin(g, name);
	ids_add(&ids, wordpiece_role(w, ROLE_CLS));
	if (wordpiece_pieces(w, text, length, true, &ids, err) < 0)
		golden_miss(&c, "%s", err->text);
	ids_add(&ids, wordpiece_role(w, ROLE_SEP));
	compare_ids(&c, json_object_get(node, "ids"), "ids", ids.id, ids.n);
	free(ids.id);
	golden_end(&c);
	return 0;
}

/* A text with or without a second one, cut or not: whatever the case states. Ids stand under `key`. */
static int bert_whole(struct golden *g, const struct wordpiece *w, const char *group, size_t index, const json_t *node, const char *key,
		      struct error *err)
{
	const char *cut = json_string_value(json_object_get(node, "truncation"));
	const json_t *most = json_object_get(node, "max_length");
	struct wordpiece_text t = {.second = json_string_value(json_object_get(node, "text_pair")), .specials = true};
	int max = json_is_integer(most) ? (int)json_integer_value(most) : 512, n;
	struct golden_case c;
	int32_t *ids, *types;
	char name[64];
	size_t length;

	if (text_of(node, &t.first, &length, err) < 0)
		return -1;
	if (max < 2 || max > 1 << 16)
		return fail(err, E_FORMAT, "\"max_length\" %d is not a length", max);
	if (cut && strcmp(cut, "only_first") == 0)
		t.cut = WORDPIECE_ONLY_FIRST;
	snprintf(name, sizeof name, "%s %zu", group, index);
	c = golden_begin(g, name);
	ids = xcalloc((size_t)max, sizeof *ids);
	types = xcalloc((size_t)max, sizeof *types);
	n = wordpiece_encode(w, &t, ids, types, max, err);
	if (n < 0)
		golden_miss(&c, "%s", err->text);
	compare_ids(&c, json_object_get(node, key), key, ids, n > 0 ? (size_t)n : 0);
	compare_ids(&c, json_object_get(node, "token_type_ids"), "token_type_ids", types, n > 0 ? (size_t)n : 0);
	free(ids);
	free(types);
	golden_end(&c);
	return 0;
}

static void bert_decode(struct golden *g, const struct wordpiece *w, size_t index, const json_t *node)
{
	const json_t *list = json_object_get(node, "ids"), *id;
	struct golden_case c;
	struct ids ids = {0};
	char name[64], *text;
	size_t i;

	snprintf(name, sizeof name, "decode %zu", index);
	c = golden_begin(g, name);
	json_array_foreach(list, i, id)
		ids_add(&ids, (int32_t)json_integer_value(id));
	text = wordpiece_decode(w, ids.id, ids.n, WORDPIECE_SKIP_SPECIAL | WORDPIECE_CLEAN_UP);
	compare_text(&c, node, "skip_special_clean", text);
	free(text);
	text = wordpiece_decode(w, ids.id, ids.n, WORDPIECE_SKIP_SPECIAL);
	compare_text(&c, node, "skip_special_no_clean", text);
	free(text);
	free(ids.id);
	golden_end(&c);
}

/* BLIP's vocabulary: BERT's and two special tokens behind it. Run last, because it changes the tokenizer. */
static int bert_blip(struct golden *g, struct wordpiece *w, struct error *err)
{
	const json_t *blip = json_object_get(g->root, "blip"), *decode = json_object_get(g->root, "blip_decode"), *node;
	const char *bos = json_string_value(json_object_get(blip, "bos_token")), *enc = json_string_value(json_object_get(blip, "enc_token"));
	int rc = 0;
	size_t i;

	if (!bos || !enc)
		return 0;
	if (wordpiece_add(w, bos, err) < 0 || wordpiece_add(w, enc, err) < 0)
		return -1;
	json_array_foreach(json_object_get(blip, "prompts"), i, node)
		if (rc == 0)
			rc = bert_whole(g, w, "prompt", i, node, "ids", err);
	json_array_foreach(decode, i, node)
		bert_decode(g, w, i, node);
	return rc;
}

static int bert_run(struct golden *g, struct error *err)
{
	const json_t *cases = golden_array(g, "cases", err), *node;
	struct wordpiece *w;
	char *folder;
	int rc = 0;
	size_t i;

	if (!cases)
		return -1;
	folder = vocabulary_folder(g, "bert/vocab.txt");
	if (!folder)
		return 0;
	w = wordpiece_load(folder, err);
	if (!w)
		rc = -1;
	json_array_foreach(cases, i, node)
		if (rc == 0)
			rc = bert_single(g, w, i, node, err);
	json_array_foreach(json_object_get(g->root, "pairs"), i, node)
		if (rc == 0)
			rc = bert_whole(g, w, "pair", i, node, "input_ids", err);
	json_array_foreach(json_object_get(g->root, "truncation"), i, node)
		if (rc == 0)
			rc = bert_whole(g, w, "cut", i, node, "input_ids", err);
	if (rc == 0)
		rc = bert_blip(g, w, err);
	wordpiece_free(w);
	free(folder);
	return rc;
}

const struct golden_kind golden_bert_tokenizer = {"BERT tokenizer", bert_claims, bert_run};
