/* test_unigram.c - SentencePiece tokenizers: the files of a folder, what texts become, damaged files. */
#include "models/unigram.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "tests/support/data.h"

#include <cmocka.h>

#define BLANK "\xe2\x96\x81"
/* "dog" as one piece is likelier than "do" and "g". */
static const char tokenizer[] = "{\"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"Strip\"}]}, \"added_tokens\": ["
				"{\"id\": 1, \"content\": \"[CLS]\", \"special\": true}, {\"id\": 2, \"content\": \"[SEP]\", \"special\": true}],"
				"\"model\": {\"type\": \"Unigram\", \"unk_id\": 3, \"vocab\": [[\"[PAD]\", 0.0], [\"[CLS]\", 0.0], [\"[SEP]\", 0.0],"
				" [\"[UNK]\", 0.0], [\"" BLANK "a\", -2.0], [\"" BLANK "\", -3.0], [\"dog\", -4.0], [\"do\", -3.0], [\"g\", -3.5],"
				" [\"s\", -3.0], [\"" BLANK "dog\", -4.5]]}}";
enum { SEP = 2, UNK = 3, A = 4, LONE = 5, DOG = 6, DO = 7, G = 8, S = 9, A_DOG = 10, PIECES = 11 };

static char *dir;

static int setup(void **state)
{
	dir = data_dir();
	data_put(dir, "tokenizer.json", tokenizer, sizeof tokenizer - 1);
	return 0;
}

static int teardown(void **state)
{
	data_remove_dir(dir);
	return 0;
}

/* Skips the test where the program is built without the library. */
static struct unigram *load(void)
{
	struct error err = {0};
	struct unigram *u = unigram_load(dir, &err);

	if (!u && strstr(err.text, "libsentencepiece-dev")) {
		print_message("%s\n", err.text);
		skip();
	}
	if (!u)
		fail_msg("%s", err.text);
	return u;
}

static void becomes(const struct unigram *u, const char *text, const int32_t *ids, size_t n)
{
	struct ids got = {0};
	struct error err = {0};

	if (unigram_pieces(u, text, strlen(text), &got, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(got.n, n);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(got.id[i], ids[i]);
	free(got.id);
}
#define BECOMES(u, text, ...) becomes(u, text, (const int32_t[]){__VA_ARGS__}, sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t))

static void check_pieces(const struct unigram *u)
{
	assert_int_equal(unigram_size(u), PIECES);
	assert_int_equal(unigram_find(u, "[SEP]"), SEP);
	assert_int_equal(unigram_find(u, "[UNK]"), UNK);
	assert_int_equal(unigram_find(u, "cat"), -1);
	BECOMES(u, "dog", A_DOG);
	BECOMES(u, "  a   dog ", A, A_DOG);
	BECOMES(u, "adog", A, DOG);
	BECOMES(u, "dogs do", A_DOG, S, LONE, DO);
	BECOMES(u, "[SEP]", LONE, UNK); /* the characters that make it up are unknown; the control piece is not made of text */
	becomes(u, "", NULL, 0);
}

static void texts_become_pieces(void **state)
{
	struct unigram *u = load();

	check_pieces(u);
	unigram_free(u);
}

/* The same model as the library's own file. */
static void the_models_file_wins(void **state)
{
	json_t *json = json_loads(tokenizer, 0, NULL);
	struct error err = {0};
	struct unigram *u;
	size_t size;
	char *bytes = unigram_file_make(json, "test", &size, &err);

	assert_non_null(bytes);
	data_put(dir, "spm.model", bytes, size);
	data_put(dir, "tokenizer.json", "{", 1);
	u = load();
	check_pieces(u);
	unigram_free(u);
	free(bytes);
	json_decref(json);
}

static void long_texts_are_refused(void **state)
{
	struct unigram *u = load();
	char *text = xmalloc(UNIGRAM_TEXT_MAX + 2);
	struct ids out = {0};
	struct error err = {0};

	memset(text, 'a', UNIGRAM_TEXT_MAX + 1);
	assert_int_equal(unigram_pieces(u, text, UNIGRAM_TEXT_MAX + 1, &out, &err), -1);
	assert_int_equal(err.code, E_LIMIT);
	assert_int_equal(unigram_pieces(u, text, UNIGRAM_TEXT_MAX, &out, &err), 0);
	free(out.id);
	free(text);
	unigram_free(u);
}

/* ---- damaged files; the checks need no library */

static void does_not_hold(const char *bytes, size_t size, const char *says)
{
	struct error err = {0};

	assert_int_equal(unigram_file_check(bytes, size, "some.model", &err), -1);
	assert_int_equal(err.code, E_FORMAT);
	if (!strstr(err.text, says))
		fail_msg("wanted \"%s\", got \"%s\"", says, err.text);
}

/* A file with one piece and a table of normal forms: 256 units, then texts. */
enum { TABLE_UNITS = 256, TABLE_SIZE = 4 + 4 * TABLE_UNITS + 2, TABLE_FILE = 6 + 6 + TABLE_SIZE };

static void make_table_file(unsigned char out[TABLE_FILE], uint32_t unit, char last)
{
	static const unsigned char piece[] = {0x0a, 4, 0x0a, 2, 'a', 'b'};
	unsigned char *table = out + 12;

	memset(out, 0, TABLE_FILE);
	memcpy(out, piece, sizeof piece);
	out[6] = 0x1a; /* the normalizer */
	out[7] = (unsigned char)((TABLE_SIZE + 3) & 0x7f) | 0x80;
	out[8] = (TABLE_SIZE + 3) >> 7;
	out[9] = 0x12; /* its table */
	out[10] = (unsigned char)(TABLE_SIZE & 0x7f) | 0x80;
	out[11] = TABLE_SIZE >> 7;
	table[0] = (4 * TABLE_UNITS) & 0xff;
	table[1] = (4 * TABLE_UNITS) >> 8;
	for (int i = 0; i < 4; i++)
		table[4 + 4 * 7 + i] = (unsigned char)(unit >> 8 * i);
	out[TABLE_FILE - 1] = (unsigned char)last;
}

static void tables_stay_within_bounds(void **state)
{
	unsigned char file[TABLE_FILE];
	struct error err = {0};

	make_table_file(file, 0x80000001u, '\0'); /* the second of two texts */
	assert_int_equal(unigram_file_check((char *)file, sizeof file, "some.model", &err), 0);
	make_table_file(file, 0x80000002u, '\0');
	does_not_hold((char *)file, sizeof file, "normal forms");
	make_table_file(file, 1u << 10, '\0'); /* children beside it */
	assert_int_equal(unigram_file_check((char *)file, sizeof file, "some.model", &err), 0);
	make_table_file(file, 256u << 10, '\0');
	does_not_hold((char *)file, sizeof file, "normal forms");
	make_table_file(file, 1u << 10 | 0x200, '\0');
	does_not_hold((char *)file, sizeof file, "normal forms");
	make_table_file(file, 7u << 10 | 0x100, '\0'); /* its first child, unit 0, is a place in the texts */
	assert_int_equal(unigram_file_check((char *)file, sizeof file, "some.model", &err), 0);
	file[12 + 4 + 3] = 0x80; /* but a walk cannot begin at one */
	does_not_hold((char *)file, sizeof file, "normal forms");
	file[12 + 4 + 3] = 0;
	file[12 + 4] = 2;
	does_not_hold((char *)file, sizeof file, "normal forms");
	make_table_file(file, 0, 'x');
	does_not_hold((char *)file, sizeof file, "normal forms");
}

static void cut_files_are_refused(void **state)
{
	json_t *json = json_loads(tokenizer, 0, NULL);
	struct error err = {0};
	size_t size;
	char *bytes = unigram_file_make(json, "test", &size, &err);

	assert_int_equal(unigram_file_check(bytes, size, "some.model", &err), 0);
	does_not_hold(bytes, size - 1, "cut off");
	does_not_hold(bytes, 0, "cut off");
	does_not_hold("<html>\n", 7, "not a SentencePiece model");
	does_not_hold("version https://git-lfs.github.com/spec/v1\n", 43, "not a SentencePiece model");
	free(bytes);
	json_decref(json);
}

static void other_tokenizers_are_refused(void **state)
{
	static const char *const wrong[][2] = {
		{"{\"model\": {\"type\": \"BPE\"}}", "no Unigram tokenizer"},
		{"{\"model\": {\"type\": \"Unigram\", \"unk_id\": 0, \"vocab\": []}}", "model.vocab"},
		{"{\"model\": {\"type\": \"Unigram\", \"unk_id\": 0, \"vocab\": [[\"a\"]]}}", "piece 0"},
		{"{\"normalizer\": {\"precompiled_charsmap\": \"%\"}, \"model\": {\"type\": \"Unigram\", \"unk_id\": 0, \"vocab\": [[\"a\", 0]]}}",
		 "base64"},
	};

	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		json_t *json = json_loads(wrong[i][0], 0, NULL);
		struct error err = {0};
		size_t size;

		assert_null(unigram_file_make(json, "test", &size, &err));
		if (err.code != E_FORMAT || !strstr(err.text, wrong[i][1]))
			fail_msg("wanted \"%s\", got \"%s\"", wrong[i][1], err.text);
		json_decref(json);
	}
}

static void an_empty_folder_is_refused(void **state)
{
	struct unigram *u = load();
	char *empty = data_dir();
	struct error err = {0};

	unigram_free(u);
	assert_null(unigram_load(empty, &err));
	assert_int_equal(err.code, E_IO);
	assert_non_null(strstr(err.text, "spm.model"));
	data_remove_dir(empty);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(texts_become_pieces),   T(the_models_file_wins),         T(long_texts_are_refused),     T(tables_stay_within_bounds),
		T(cut_files_are_refused), T(other_tokenizers_are_refused), T(an_empty_folder_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
