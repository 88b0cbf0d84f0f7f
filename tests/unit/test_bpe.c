/* test_bpe.c - byte-level BPE against recorded reference ids, and small vocabularies of our own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include "core/mem.h"
#include "models/bpe.h"
#include "models/clean.h"
#include "models/text.h"
#include "tests/support/data.h"

#include <cmocka.h> /* last: it defines fail() */

static struct bpe *load(enum bpe_kind kind, const char *vocab_name, const char *merges_name)
{
	char *vocab = data_vocabulary(vocab_name), *merges = data_vocabulary(merges_name);
	struct bpe_source source = {.kind = kind, .vocab = vocab, .merges = merges};
	struct error err = {0};
	struct bpe *b;

	if (!vocab || !merges) {
		free(vocab);
		free(merges);
		skip();
	}
	if (kind == BPE_BYTES) {
		source.codes = 8192;
		source.bins = 1000;
	}
	b = bpe_load(&source, &err);
	if (!b)
		fail_msg("%s", err.text);
	free(vocab);
	free(merges);
	return b;
}

static void assert_ids(const char *text, const json_t *expected, const int32_t *ids, size_t n)
{
	bool same = json_array_size(expected) == n;

	for (size_t i = 0; i < n && same; i++)
		same = json_integer_value(json_array_get(expected, i)) == ids[i];
	if (!same) {
		char *wanted = json_dumps(expected, JSON_COMPACT);

		print_error("text \"%s\"\nwanted %s\ngot   ", text, wanted);
		for (size_t i = 0; i < n; i++)
			print_error(" %d", ids[i]);
		fail_msg("other ids");
	}
}

static const char *value(const json_t *c, const char *key)
{
	return json_string_value(json_object_get(c, key));
}

static void check_clip(const struct bpe *b, const json_t *c, unsigned flags, const json_t *expected)
{
	const json_t *text = json_object_get(c, "text");
	int32_t ids[77];
	int whole, n;
	struct error err;

	n = bpe_encode(b, json_string_value(text), json_string_length(text), flags | BPE_SPECIALS, ids, 77, &whole, &err);
	assert_ids(json_string_value(text), expected, ids, n);
	if (flags & BPE_OPENAI)
		assert_int_equal(whole, json_integer_value(json_object_get(c, "untruncated_length")));
}

static void test_clip(void **state)
{
	struct bpe *b = load(BPE_CLIP, "clip/vocab.json", "clip/merges.txt");
	json_t *golden = data_golden("clip/tokenizer.json"), *c;
	size_t i, openai = 0, hf = 0;

	json_array_foreach(json_object_get(golden, "cases"), i, c) {
		json_t *ids = json_object_get(c, "ids"), *other = json_object_get(c, "ids_hf_tokenizer_json");

		check_clip(b, c, 0, other ? other : ids);
		hf++;
		if (strcmp(value(c, "tag"), "ftfy:mojibake") == 0)
			continue; /* not repaired by us; see clean.h */
		check_clip(b, c, BPE_OPENAI, ids);
		openai++;
	}
	assert_int_equal(hf, 61);
	assert_int_equal(openai, 59);
	json_decref(golden);
	bpe_free(b);
}

static void test_clean(void **state)
{
	json_t *golden = data_golden("clip/tokenizer.json"), *c;
	size_t i;

	json_array_foreach(json_object_get(golden, "cases"), i, c) {
		const json_t *text = json_object_get(c, "text"), *cleaned = json_object_get(c, "cleaned");
		struct buffer out = {0};

		if (strcmp(value(c, "tag"), "ftfy:mojibake") == 0)
			continue;
		buffer_puts(&out, "");
		clean_openai(json_string_value(text), json_string_length(text), &out);
		assert_string_equal(out.text, json_string_value(cleaned));
		assert_int_equal(out.length, json_string_length(cleaned));
		buffer_free(&out);
	}
	json_decref(golden);
}

/* Written down from the rules of html.unescape and ftfy, not from our output. */
static void test_clean_more(void **state)
{
	static const struct {
		const char *text, *cleaned;
	} cases[] = {
		{"&lt", "<"},
		{"&notit;", "¬it;"},
		{"&EACUTE;", "é"},
		{"&#x41;&#65", "aa"},
		{"&#0;", "\xef\xbf\xbd"},
		{"&#x80;", "€"},
		{"&#1;x", "x"},
		{"&hellip &hellip;", "&hellip …"},
		{"1 < 2 &amp;amp;amp; 3", "1 < 2 &amp; 3"}, /* markup: only html.unescape, twice */
		{"a &amp;amp;amp; b\n<", "a & b <"},
		{"x\x1b[31", "x[31"},
		{"\xef\xac\x85", "\xc5\xbft"},
		{"\xff\xc3\xa9", "\xef\xbf\xbdé"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct buffer out = {0};

		clean_openai(cases[i].text, strlen(cases[i].text), &out);
		assert_string_equal(out.text, cases[i].cleaned);
		buffer_free(&out);
	}
}

/* As Python's bytes.decode("utf-8", "replace"). */
static void test_broken_utf8(void **state)
{
	static const struct {
		const char *text;
		int replaced;
	} cases[] = {{"\xf0\x9f\x90", 1}, {"\xed\xbf", 2}, {"\xe0\x80", 2}, {"\xf4\x90\x80\x80", 4}, {"\xc0\xaf", 2}, {"\xe2\x82", 1}, {"\xff", 1}};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct codes c = text_codes(cases[i].text, strlen(cases[i].text));

		assert_int_equal(c.n, cases[i].replaced);
		for (size_t k = 0; k < c.n; k++)
			assert_int_equal(c.code[k], 0xfffd);
		text_codes_free(&c);
	}
}

static void test_clip_literal(void **state)
{
	struct bpe *b = load(BPE_CLIP, "clip/vocab.json", "clip/merges.txt");
	const char *text = "a <|endoftext|> b";
	struct error err;

	for (unsigned openai = 0; openai <= BPE_OPENAI; openai += BPE_OPENAI) {
		struct ids ids = {0};

		assert_int_equal(bpe_pieces(b, text, strlen(text), openai, &ids, &err), 0);
		for (size_t i = 0; i < ids.n; i++)
			assert_int_not_equal(ids.id[i], bpe_role(b, ROLE_EOS));
		assert_true(ids.n > 3);
		free(ids.id);
	}
	bpe_free(b);
}

static void check_pieces(const struct bpe *b, const json_t *c)
{
	const json_t *text = json_object_get(c, "text"), *tokens = json_object_get(c, "tokens");
	struct ids ids = {0};
	int32_t framed[1000];
	struct error err;
	int n;

	assert_int_equal(bpe_pieces(b, json_string_value(text), json_string_length(text), BPE_SPECIALS, &ids, &err), 0);
	assert_ids(json_string_value(text), json_object_get(c, "ids"), ids.id, ids.n);
	for (size_t i = 0; i < json_array_size(tokens); i++)
		assert_string_equal(bpe_token(b, ids.id[i]), json_string_value(json_array_get(tokens, i)));
	if (json_object_get(c, "model_input")) {
		n = bpe_encode(b, json_string_value(text), json_string_length(text), BPE_SPECIALS, framed, 258, NULL, &err);
		assert_ids(json_string_value(text), json_object_get(c, "model_input"), framed, n);
	}
	free(ids.id);
}

static void test_ofa_encode(void **state)
{
	struct bpe *b = load(BPE_BYTES, "ofa/vocab.json", "ofa/merges.txt");
	json_t *golden = data_golden("ofa/tokenizer.json"), *c;
	size_t i;

	assert_int_equal(bpe_size(b), 59457);
	json_array_foreach(json_object_get(golden, "encode"), i, c)
		check_pieces(b, c);
	assert_int_equal(i, 54);
	json_array_foreach(json_object_get(json_object_get(golden, "encode_added_tokens_version_dependent"), "cases"), i, c)
		check_pieces(b, c);
	json_decref(golden);
	bpe_free(b);
}

static void test_ofa_truncation(void **state)
{
	struct bpe *b = load(BPE_BYTES, "ofa/vocab.json", "ofa/merges.txt");
	struct buffer text = {0};
	int32_t ids[258];
	struct error err;
	int whole;

	for (int i = 0; i < 400; i++)
		buffer_puts(&text, " word");
	assert_int_equal(bpe_encode(b, text.text, text.length, 0, ids, 258, &whole, &err), 258);
	assert_int_equal(whole, 402);
	assert_int_equal(ids[0], 0);
	assert_int_equal(ids[1], 2136);
	assert_int_equal(ids[256], 2136);
	assert_int_equal(ids[257], 2);
	buffer_free(&text);
	bpe_free(b);
}

static void check_decode(const struct bpe *b, const int32_t *ids, size_t n, unsigned flags, const char *expected)
{
	char *text = bpe_decode(b, ids, n, flags);

	assert_string_equal(text, expected);
	free(text);
}

static void test_ofa_decode(void **state)
{
	struct bpe *b = load(BPE_BYTES, "ofa/vocab.json", "ofa/merges.txt");
	json_t *golden = data_golden("ofa/tokenizer.json"), *c;
	size_t i;

	json_array_foreach(json_object_get(golden, "decode"), i, c) {
		const json_t *list = json_object_get(c, "ids");
		size_t n = json_array_size(list);
		int32_t *ids = xcalloc(n, sizeof *ids);
		char *text;

		for (size_t k = 0; k < n; k++)
			ids[k] = (int32_t)json_integer_value(json_array_get(list, k));
		check_decode(b, ids, n, BPE_SKIP_SPECIAL | BPE_CLEAN_UP, value(c, "decoded"));
		check_decode(b, ids, n, BPE_SKIP_SPECIAL, value(c, "decoded_no_cleanup"));
		check_decode(b, ids, n, 0, value(c, "decoded_keep_special"));
		text = bpe_decode(b, ids, n, BPE_SKIP_SPECIAL | BPE_CLEAN_UP);
		text_caption(text);
		assert_string_equal(text, value(c, "caption"));
		free(text);
		free(ids);
	}
	assert_int_equal(i, 35);
	json_decref(golden);
	bpe_free(b);
}

/* A vocabulary of our own: three letters, two merges, told in the three forms that files have. */
#define SMALL_VOCAB "\"<s>\": 0, \"<pad>\": 1, \"</s>\": 2, \"<unk>\": 3, \"a\": 4, \"b\": 5, \"c\": 6, \"ab\": 7, \"abc\": 8"
static const char small_vocab[] = "{" SMALL_VOCAB "}", small_merges[] = "#version: 0.2\na b\nab c\n";
static const char small_whole[] = "{\"model\": {\"type\": \"BPE\", \"vocab\": {" SMALL_VOCAB "}, \"merges\": [\"a b\", [\"ab\", \"c\"]]},"
				  " \"added_tokens\": [{\"id\": 9, \"content\": \"<x>\", \"special\": true, \"normalized\": true}]}";

static void check_small(const char *dir, const char *text, unsigned flags, const int32_t *expected, size_t n)
{
	struct bpe_source source = {.kind = BPE_BYTES, .dir = dir};
	struct error err = {0};
	struct bpe *b = bpe_load(&source, &err);
	int32_t ids[32];

	if (!b)
		fail_msg("%s", err.text);
	assert_int_equal(bpe_encode(b, text, strlen(text), flags, ids, 32, NULL, &err), n);
	assert_memory_equal(ids, expected, n * sizeof *ids);
	bpe_free(b);
}

static void test_small(void **state)
{
	char *two = data_dir(), *one = data_dir();

	data_put(two, "vocab.json", small_vocab, strlen(small_vocab));
	data_put(two, "merges.txt", small_merges, strlen(small_merges));
	data_put(one, "tokenizer.json", small_whole, strlen(small_whole));
	check_small(two, "abcab", 0, (int32_t[]){0, 8, 7, 2}, 4);
	check_small(one, "abcab", 0, (int32_t[]){0, 8, 7, 2}, 4);
	check_small(two, "cz", 0, (int32_t[]){0, 6, 3, 2}, 4); /* no piece for z: unk */
	check_small(one, "a<x>b", BPE_SPECIALS, (int32_t[]){0, 4, 9, 5, 2}, 5);
	check_small(one, "a<x>b", 0, (int32_t[]){0, 4, 3, 3, 3, 5, 2}, 7);
	data_remove_dir(two);
	data_remove_dir(one);
}

static void check_refused(enum bpe_kind kind, const char *name, const char *content, const char *merges, const char *complaint)
{
	char *dir = data_dir();
	struct bpe_source source = {.kind = kind, .dir = dir};
	struct error err = {0};

	if (content)
		data_put(dir, name, content, strlen(content));
	if (merges)
		data_put(dir, "merges.txt", merges, strlen(merges));
	assert_null(bpe_load(&source, &err));
	if (!strstr(err.text, complaint))
		fail_msg("\"%s\" does not say \"%s\"", err.text, complaint);
	data_remove_dir(dir);
}

static void test_refused(void **state)
{
	check_refused(BPE_BYTES, "", NULL, NULL, "has no tokenizer");
	check_refused(BPE_BYTES, "vocab.json", small_vocab, NULL, "has no tokenizer");
	check_refused(BPE_BYTES, "vocab.json", "{\"a\": 0,\n \"b\" 1}", "", "line 2");
	check_refused(BPE_BYTES, "vocab.json", "{\"a\": 0, \"b\": 0}", "", "share id 0");
	check_refused(BPE_BYTES, "vocab.json", "{\"a\": -1}", "", "\"a\"");
	check_refused(BPE_BYTES, "vocab.json", "{\"a\": 4000000000}", "", "ids must be below");
	check_refused(BPE_BYTES, "vocab.json", "{\"a\": 0, \"b\": 1000000}", "", "where there are 2 tokens, ids must be below 1028");
	check_refused(BPE_BYTES, "vocab.json", "[]", "", "an object");
	check_refused(BPE_BYTES, "vocab.json", "{\"a\": 0}", "", "no start token (\"<s>\")");
	check_refused(BPE_BYTES, "vocab.json", "{\"<s>\": 0, \"</s>\": 1}", "", "no unknown token");
	check_refused(BPE_BYTES, "vocab.json", small_vocab, "#v\na b\nb c\n", "merge 2");
	check_refused(BPE_BYTES, "vocab.json", small_vocab, "#v\nab\n", "not two pieces");
	check_refused(BPE_BYTES, "tokenizer.json", "{\"model\": {\"type\": \"WordPiece\"}}", NULL, "WordPiece");
	check_refused(BPE_CLIP, "tokenizer.json", small_whole, NULL, "</w>");
	check_refused(BPE_CLIP, "tokenizer.json", "{\"model\": 1", NULL, "line 1");
}

/* ---- OpenAI's table */

#define PACKED "bpe_simple_vocab_16e6.txt.gz"
#define TABLE  "bpe_simple_vocab_16e6.txt"

/* Packs as gzip does. */
static struct buffer pack(const char *text, size_t length)
{
	struct buffer out = {0};
	z_stream z = {.next_in = (Bytef *)text, .avail_in = (uInt)length};
	size_t most;
	unsigned char *to;

	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	most = deflateBound(&z, length);
	z.next_out = to = xmalloc(most);
	z.avail_out = (uInt)most;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	buffer_add(&out, to, most - z.avail_out);
	deflateEnd(&z);
	free(to);
	return out;
}

static struct bpe *load_folder(const char *dir)
{
	struct error err = {0};
	struct bpe *b = bpe_load_clip(dir, &err);

	if (!b)
		fail_msg("%s", err.text);
	return b;
}

static void check_table(const char *dir)
{
	/* '!' is letter 0, 'a' 64, 'c' 66; U+00E9 is bytes C3 A9: letters 127 and 102; byte 1 is the second of those that follow the 188 printable ones */
	static const struct {
		const char *text;
		int32_t ids[8];
		int n;
	} cases[] = {
		{"a", {515, 320, 516}, 3},
		{"ab", {515, 512, 516}, 3},
		{"cab", {515, 514, 516}, 3},
		{"abc", {515, 513, 322, 516}, 4},
		{"!\xc3\xa9", {515, 256, 127, 358, 516}, 5},
		{"\x01", {515, 445, 516}, 3},
	};
	struct bpe *b = load_folder(dir);
	struct error err;

	assert_int_equal(bpe_size(b), 517);
	assert_string_equal(bpe_token(b, 0), "!");
	assert_string_equal(bpe_token(b, 188), "\xc4\x80");
	assert_string_equal(bpe_token(b, 255), "\xc5\x83");
	assert_string_equal(bpe_token(b, 256), "!</w>");
	assert_string_equal(bpe_token(b, 514), "cab</w>");
	assert_string_equal(bpe_token(b, bpe_role(b, ROLE_EOS)), "<|endoftext|>");
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		int32_t ids[8];

		assert_int_equal(bpe_encode(b, cases[i].text, strlen(cases[i].text), 0, ids, 8, NULL, &err), cases[i].n);
		assert_memory_equal(ids, cases[i].ids, (size_t)cases[i].n * sizeof *ids);
	}
	bpe_free(b);
}

static const char small_table[] = "\"bpe_simple_vocab_16e6.txt#version: 0.2\na b</w>\na b\nc ab</w>\n";

static void test_table(void **state)
{
	char *packed = data_dir(), *plain = data_dir();
	struct buffer gz = pack(small_table, strlen(small_table));

	data_put(packed, PACKED, gz.text, gz.length);
	data_put(plain, TABLE, small_table, strlen(small_table));
	check_table(packed);
	check_table(plain);
	buffer_free(&gz);
	data_remove_dir(packed);
	data_remove_dir(plain);
}

/* Where vocab.json and merges.txt are, the table is not even opened. */
static void test_table_last(void **state)
{
	static const char vocab[] = "{\"<|startoftext|>\": 0, \"<|endoftext|>\": 1, \"a</w>\": 2}";
	char *dir = data_dir();
	struct bpe *b;

	data_put(dir, PACKED, "broken", 6);
	data_put(dir, "vocab.json", vocab, strlen(vocab));
	data_put(dir, "merges.txt", "#v\n", 3);
	b = load_folder(dir);
	assert_int_equal(bpe_size(b), 3);
	bpe_free(b);
	data_remove_dir(dir);
}

static void check_table_refused(enum bpe_kind kind, const char *name, const void *bytes, size_t size, const char *complaint)
{
	char *dir = data_dir();
	struct error err = {0};

	data_put(dir, name, bytes, size);
	assert_null(bpe_load(&(struct bpe_source){.kind = kind, .dir = dir}, &err));
	if (!strstr(err.text, complaint))
		fail_msg("\"%s\" does not say \"%s\"", err.text, complaint);
	data_remove_dir(dir);
}

static void test_table_refused(void **state)
{
	static const char one[] = "#\na b\nab\n", twice[] = "#\na b\na b\n", strange[] = "#\na bc\n";
	struct buffer gz = pack(small_table, strlen(small_table));
	char *huge = xcalloc(1, 64 * 1000 * 1000 + 1);
	struct buffer bomb = pack(huge, 64 * 1000 * 1000 + 1);

	check_table_refused(BPE_BYTES, PACKED, gz.text, gz.length, "has no tokenizer");
	check_table_refused(BPE_CLIP, "other.txt", "", 0, "or OpenAI's " PACKED);
	check_table_refused(BPE_CLIP, PACKED, "", 0, "ends too early");
	check_table_refused(BPE_CLIP, PACKED, "a b\n", 4, "no whole gzip file");
	check_table_refused(BPE_CLIP, PACKED, "<html>", 6, "a web page, as a server sends instead of a file");
	for (size_t cut = 1; cut < gz.length; cut++)
		check_table_refused(BPE_CLIP, PACKED, gz.text, cut, "no whole gzip file");
	gz.text[gz.length - 5] ^= 1; /* of the checksum */
	check_table_refused(BPE_CLIP, PACKED, gz.text, gz.length, "incorrect data check");
	gz.text[gz.length - 5] ^= 1;
	buffer_puts(&gz, "x");
	check_table_refused(BPE_CLIP, PACKED, gz.text, gz.length, "something follows");
	check_table_refused(BPE_CLIP, PACKED, bomb.text, bomb.length, "64 MB");
	check_table_refused(BPE_CLIP, TABLE, one, strlen(one), "not two pieces");
	check_table_refused(BPE_CLIP, TABLE, twice, strlen(twice), "\"ab\" has two ids");
	check_table_refused(BPE_CLIP, TABLE, strange, strlen(strange), "lacks a piece");
	buffer_free(&gz);
	buffer_free(&bomb);
	free(huge);
}

/* The model has more tokens than the table gives: it is cut off. */
static void test_table_cut(void **state)
{
	static const int tokens[] = {517, 516, 0};
	char *dir = data_dir();
	struct error err = {0};

	data_put(dir, TABLE, small_table, strlen(small_table));
	for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++)
		bpe_free(bpe_load(&(struct bpe_source){.kind = BPE_CLIP, .dir = dir, .vocabulary = tokens[i]}, &err));
	assert_int_equal(err.code, E_NONE);
	assert_null(bpe_load(&(struct bpe_source){.kind = BPE_CLIP, .dir = dir, .vocabulary = 518}, &err));
	assert_non_null(strstr(err.text, TABLE ": it gives 517 tokens, the model has 518: the file is cut off"));
	data_remove_dir(dir);
}

/* A vocabulary of 1000 pieces, of which the merges give so many. */
static struct bpe *load_merged(int merges, struct error *err)
{
	char *dir = data_dir();
	struct buffer vocab = {0}, text = {0};
	struct bpe *b;

	buffer_puts(&vocab, "{\"<s>\": 0, \"</s>\": 1, \"<unk>\": 2");
	for (int i = 0; i < 40; i++)
		buffer_printf(&vocab, ", \"%c\": %d", '0' + i, 3 + i);
	buffer_puts(&text, "#version\n");
	for (int i = 0; i < 1000; i++) {
		char one = (char)('0' + i / 40), two = (char)('0' + i % 40);

		buffer_printf(&vocab, ", \"%c%c\": %d", one, two, 43 + i);
		if (i < merges)
			buffer_printf(&text, "%c %c\n", one, two);
	}
	buffer_puts(&vocab, "}");
	data_put(dir, "vocab.json", vocab.text, vocab.length);
	data_put(dir, "merges.txt", text.text, text.length);
	b = bpe_load(&(struct bpe_source){.kind = BPE_BYTES, .dir = dir}, err);
	buffer_free(&vocab);
	buffer_free(&text);
	data_remove_dir(dir);
	return b;
}

static void test_merges_cut(void **state)
{
	struct error err = {0};
	struct bpe *b = load_merged(900, &err);

	if (!b)
		fail_msg("%s", err.text);
	bpe_free(b);
	assert_null(load_merged(500, &err));
	assert_non_null(strstr(err.text, "no merge gives 500 of the 1043 tokens: the merges are cut off"));
}

/* merges.txt as OpenAI packs it: with further merges behind, which CLIP does not use. */
static struct bpe *load_packed(void)
{
	char *path = data_vocabulary("clip/merges.txt"), *dir = data_dir(), line[512];
	struct buffer text = {0}, gz;
	FILE *f = path ? fopen(path, "r") : NULL;
	struct bpe *b;

	if (!f) {
		free(path);
		data_remove_dir(dir);
		skip();
	}
	while (fgets(line, sizeof line, f))
		buffer_puts(&text, line);
	fclose(f);
	buffer_puts(&text, "catdog catdog\nunused</w> line\n");
	gz = pack(text.text, text.length);
	data_put(dir, PACKED, gz.text, gz.length);
	b = load_folder(dir);
	buffer_free(&text);
	buffer_free(&gz);
	data_remove_dir(dir);
	free(path);
	return b;
}

static void assert_same_ids(const struct bpe *a, const struct bpe *b, const char *text, size_t length)
{
	for (unsigned flags = 0; flags <= (BPE_SPECIALS | BPE_OPENAI); flags++) {
		struct ids one = {0}, other = {0};
		struct error err;

		assert_int_equal(bpe_pieces(a, text, length, flags, &one, &err), 0);
		assert_int_equal(bpe_pieces(b, text, length, flags, &other, &err), 0);
		assert_int_equal(one.n, other.n);
		if (one.n > 0)
			assert_memory_equal(one.id, other.id, one.n * sizeof *one.id);
		free(one.id);
		free(other.id);
	}
}

static void test_table_whole(void **state)
{
	struct bpe *two = load(BPE_CLIP, "clip/vocab.json", "clip/merges.txt"), *table = load_packed();
	json_t *golden = data_golden("clip/tokenizer.json"), *c;
	size_t i;
	uint64_t random = 1;

	assert_int_equal(bpe_size(table), 49408);
	for (int32_t id = 0; id < 49408; id++)
		assert_string_equal(bpe_token(table, id), bpe_token(two, id));
	for (int role = 0; role < VOCAB_ROLES; role++)
		assert_int_equal(bpe_role(table, role), bpe_role(two, role));
	json_array_foreach(json_object_get(golden, "cases"), i, c) {
		const json_t *text = json_object_get(c, "text");

		assert_same_ids(two, table, json_string_value(text), json_string_length(text));
	}
	for (i = 0; i < 500; i++) { /* half of them letters and blanks, half any bytes */
		char text[40];

		for (size_t k = 0; k < sizeof text; k++) {
			random = random * 6364136223846793005u + 1442695040888963407u;
			text[k] = i % 2 ? (char)(random >> 56) : "etaoin shrdlu"[(random >> 40) % 13];
		}
		assert_same_ids(two, table, text, sizeof text);
	}
	json_decref(golden);
	bpe_free(two);
	bpe_free(table);
}

static void test_long_text(void **state)
{
	struct bpe *b = load(BPE_BYTES, "ofa/vocab.json", "ofa/merges.txt");
	char *text = xmalloc(BPE_TEXT_MAX + 1);
	struct ids ids = {0};
	struct error err;

	memset(text, 'a', BPE_TEXT_MAX + 1);
	assert_int_equal(bpe_pieces(b, text, BPE_TEXT_MAX, 0, &ids, &err), 0);
	assert_true(ids.n > 0 && ids.n < BPE_TEXT_MAX);
	assert_int_equal(bpe_pieces(b, text, BPE_TEXT_MAX + 1, 0, &ids, &err), -1);
	assert_int_equal(err.code, E_LIMIT);
	free(ids.id);
	free(text);
	bpe_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clip),           cmocka_unit_test(test_clean),         cmocka_unit_test(test_clean_more),
		cmocka_unit_test(test_broken_utf8),    cmocka_unit_test(test_clip_literal),  cmocka_unit_test(test_ofa_encode),
		cmocka_unit_test(test_ofa_truncation), cmocka_unit_test(test_ofa_decode),    cmocka_unit_test(test_small),
		cmocka_unit_test(test_refused),        cmocka_unit_test(test_long_text),     cmocka_unit_test(test_table),
		cmocka_unit_test(test_table_last),     cmocka_unit_test(test_table_refused), cmocka_unit_test(test_table_cut),
		cmocka_unit_test(test_merges_cut),     cmocka_unit_test(test_table_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
