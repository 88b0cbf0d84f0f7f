/* test_wordpiece.c - BERT's tokenizer against recorded reference ids, and small vocabularies of our own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "models/wordpiece.h"
#include "tests/support/data.h"

#include <cmocka.h> /* last: it defines fail() */

static struct wordpiece *load(void)
{
	char *path = data_vocabulary("bert/vocab.txt");
	struct error err = {0};
	struct wordpiece *w;

	if (!path)
		skip();
	w = wordpiece_load_file(path, &err);
	if (!w)
		fail_msg("%s", err.text);
	free(path);
	return w;
}

static void assert_ids(const char *what, const json_t *expected, const int32_t *ids, int n)
{
	if ((size_t)n != json_array_size(expected))
		fail_msg("%s: %d ids, not %zu", what, n, json_array_size(expected));
	for (int i = 0; i < n; i++)
		if (ids[i] != json_integer_value(json_array_get(expected, i)))
			fail_msg("%s: id %d is %d, not %d", what, i, ids[i], (int)json_integer_value(json_array_get(expected, i)));
}

static void test_single(void **state)
{
	struct wordpiece *w = load();
	json_t *golden = data_golden("bert/tokenizer.json"), *c;
	size_t i;

	json_array_foreach(json_object_get(golden, "cases"), i, c) {
		const json_t *text = json_object_get(c, "text"), *tokens = json_object_get(c, "tokens"), *ids = json_object_get(c, "ids");
		struct ids out = {0};
		struct error err;

		ids_add(&out, wordpiece_role(w, ROLE_CLS));
		assert_int_equal(wordpiece_pieces(w, json_string_value(text), json_string_length(text), true, &out, &err), 0);
		ids_add(&out, wordpiece_role(w, ROLE_SEP));
		assert_ids(json_string_value(text), ids, out.id, (int)out.n);
		for (size_t k = 0; k < json_array_size(tokens); k++)
			assert_string_equal(wordpiece_token(w, out.id[k + 1]), json_string_value(json_array_get(tokens, k)));
		free(out.id);
	}
	assert_int_equal(i, 62);
	json_decref(golden);
	wordpiece_free(w);
}

static void check_pair(const struct wordpiece *w, const json_t *c, int max)
{
	const char *how = json_string_value(json_object_get(c, "truncation"));
	struct wordpiece_text text = {.first = json_string_value(json_object_get(c, "text")),
				      .second = json_string_value(json_object_get(c, "text_pair")),
				      .specials = true,
				      .cut = how && strcmp(how, "only_first") == 0 ? WORDPIECE_ONLY_FIRST : WORDPIECE_LONGEST_FIRST};
	int32_t ids[512], types[512];
	struct error err;
	int n = wordpiece_encode(w, &text, ids, types, max, &err);

	assert_ids("ids", json_object_get(c, "input_ids"), ids, n);
	assert_ids("types", json_object_get(c, "token_type_ids"), types, n);
}

static void test_pairs(void **state)
{
	struct wordpiece *w = load();
	json_t *golden = data_golden("bert/tokenizer.json"), *c;
	size_t i;

	json_array_foreach(json_object_get(golden, "pairs"), i, c)
		check_pair(w, c, 512);
	assert_int_equal(i, 4);
	json_array_foreach(json_object_get(golden, "truncation"), i, c)
		check_pair(w, c, (int)json_integer_value(json_object_get(c, "max_length")));
	assert_int_equal(i, 4);
	json_decref(golden);
	wordpiece_free(w);
}

static void test_blip(void **state)
{
	struct wordpiece *w = load();
	json_t *golden = data_golden("bert/tokenizer.json"), *blip = json_object_get(golden, "blip"), *c;
	struct error err;
	int32_t ids[64];
	size_t i;

	assert_int_equal(wordpiece_add(w, "[DEC]", &err), 30522);
	assert_int_equal(wordpiece_add(w, "[ENC]", &err), 30523);
	assert_int_equal(wordpiece_add(w, "[DEC]", &err), 30522);
	assert_int_equal(wordpiece_size(w), 30524);
	json_array_foreach(json_object_get(blip, "prompts"), i, c) {
		struct wordpiece_text text = {.first = json_string_value(json_object_get(c, "text")), .specials = true};

		assert_ids(text.first, json_object_get(c, "ids"), ids, wordpiece_encode(w, &text, ids, NULL, 64, &err));
	}
	assert_int_equal(i, 4);
	json_array_foreach(json_object_get(golden, "blip_decode"), i, c) {
		const json_t *list = json_object_get(c, "ids");
		char *text;

		for (size_t k = 0; k < json_array_size(list); k++)
			ids[k] = (int32_t)json_integer_value(json_array_get(list, k));
		text = wordpiece_decode(w, ids, json_array_size(list), WORDPIECE_SKIP_SPECIAL | WORDPIECE_CLEAN_UP);
		assert_string_equal(text, json_string_value(json_object_get(c, "skip_special_clean")));
		free(text);
		text = wordpiece_decode(w, ids, json_array_size(list), WORDPIECE_SKIP_SPECIAL);
		assert_string_equal(text, json_string_value(json_object_get(c, "skip_special_no_clean")));
		free(text);
	}
	assert_int_equal(i, 10);
	json_decref(golden);
	wordpiece_free(w);
}

#define SMALL_LINES "[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n##b\n##bc\nA\ne\n\xc3\xa9\n[\n]\nse\n##p\n"
static const char small_whole[] =
	"{\"model\": {\"type\": \"WordPiece\", \"vocab\": {\"[PAD]\": 0, \"[UNK]\": 1, \"[CLS]\": 2, \"[SEP]\": 3, \"a\": 4,"
	" \"++b\": 5, \"++bc\": 6, \"A\": 7, \"e\": 8, \"\\u00e9\": 9}, \"continuing_subword_prefix\": \"++\"},"
	" \"normalizer\": {\"type\": \"BertNormalizer\", \"lowercase\": false, \"strip_accents\": null}}";

static void check_small(const char *dir, const char *text, bool specials, const int32_t *expected, int n)
{
	struct error err = {0};
	struct wordpiece *w = wordpiece_load(dir, &err);
	struct wordpiece_text t = {.first = text, .specials = specials};
	int32_t ids[32];

	if (!w)
		fail_msg("%s", err.text);
	assert_int_equal(wordpiece_encode(w, &t, ids, NULL, 32, &err), n);
	assert_memory_equal(ids, expected, n * sizeof *ids);
	wordpiece_free(w);
}

static void test_small(void **state)
{
	const char *cased = "{\"do_lower_case\": false}";
	char *dir = data_dir(), *whole = data_dir();

	data_put(dir, "vocab.txt", SMALL_LINES, strlen(SMALL_LINES));
	data_put(whole, "tokenizer.json", small_whole, strlen(small_whole));
	check_small(dir, "Abcb \xc3\xa9", false, (int32_t[]){2, 4, 6, 5, 8, 3}, 6);
	check_small(dir, "[SEP]", true, (int32_t[]){2, 3, 3}, 3);
	check_small(dir, "[SEP]", false, (int32_t[]){2, 10, 12, 13, 11, 3}, 6);
	check_small(whole, "Abb \xc3\xa9 abb", false, (int32_t[]){2, 7, 5, 5, 9, 4, 5, 5, 3}, 9);
	data_put(dir, "tokenizer_config.json", cased, strlen(cased));
	check_small(dir, "Abcb \xc3\xa9", false, (int32_t[]){2, 7, 6, 5, 9, 3}, 6);
	data_remove_dir(dir);
	data_remove_dir(whole);
}

static void check_refused(const char *name, const char *content, const char *complaint)
{
	char *dir = data_dir();
	struct error err = {0};

	data_put(dir, name, content, strlen(content));
	assert_null(wordpiece_load(dir, &err));
	if (!strstr(err.text, complaint))
		fail_msg("\"%s\" does not say \"%s\"", err.text, complaint);
	data_remove_dir(dir);
}

static void test_refused(void **state)
{
	check_refused("other", "", "has no tokenizer");
	check_refused("vocab.txt", "", "is empty");
	check_refused("vocab.txt", "[PAD]\n[CLS]\n[SEP]\n", "no \"[UNK]\"");
	check_refused("tokenizer.json", "{\"model\": {\"type\": \"BPE\"}}", "BPE");
	check_refused("tokenizer.json", "{\"model\": {\"vocab\": {\"a\": \"b\"}}}", "\"a\"");
	check_refused("tokenizer.json", "{\"model\": {\"vocab\": {\"a\": 1}}, \"normalizer\": {\"lowercase\": 3}}", "normalizer.lowercase");
}

static void test_too_long(void **state)
{
	struct wordpiece *w = load();
	struct wordpiece_text text = {.first = "a dog", .second = "a very long hypothesis about nothing", .cut = WORDPIECE_ONLY_FIRST};
	int32_t ids[8];
	struct error err;

	assert_int_equal(wordpiece_encode(w, &text, ids, NULL, 8, &err), -1);
	assert_int_equal(err.code, E_LIMIT);
	text.cut = WORDPIECE_LONGEST_FIRST;
	assert_int_equal(wordpiece_encode(w, &text, ids, NULL, 8, &err), 8);
	assert_int_equal(wordpiece_encode(w, &text, ids, NULL, 2, &err), -1);
	wordpiece_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_single), cmocka_unit_test(test_pairs),   cmocka_unit_test(test_blip),
		cmocka_unit_test(test_small),  cmocka_unit_test(test_refused), cmocka_unit_test(test_too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
