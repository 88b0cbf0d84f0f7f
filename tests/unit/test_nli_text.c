/* test_nli_text.c - pairs as ids by whatever a folder's tokenizer files say (models/nli_text.h), and the files that are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/mem.h"
#include "models/nli_text.h"
#include "tests/support/data.h"

#include <cmocka.h> /* last: its fail() is a macro */

enum { BOS, PAD, EOS, UNK, A, B, BLANK, BLANK_A, CLS };

#define BYTES_VOCAB    "{\"<s>\": 0, \"<pad>\": 1, \"</s>\": 2, \"<unk>\": 3, \"a\": 4, \"b\": 5, \"\\u0120\": 6, \"\\u0120a\": 7, \"<c>\": 8}"
#define BYTES(members) "{" members "\"model\": {\"type\": \"BPE\", \"vocab\": " BYTES_VOCAB ", \"merges\": [\"\\u0120 a\"]}}"
#define BLANK_FIRST    "\"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": true}, "
#define PIECE(kind)    "{\"" kind "\": {\"id\": \"x\"}}"
#define TEXT(name)     "{\"Sequence\": {\"id\": \"" name "\"}}"
#define TEMPLATE(pair) "\"post_processor\": {\"type\": \"TemplateProcessing\", \"pair\": [" pair "]}, "
#define TWO_ENDS              \
	PIECE("SpecialToken") \
	", " TEXT("A") ", " PIECE("SpecialToken") ", " PIECE("SpecialToken") ", " TEXT("B") ", " PIECE("SpecialToken")

#define WORDS_VOCAB    "{\"[PAD]\": 0, \"[UNK]\": 1, \"[CLS]\": 2, \"[SEP]\": 3, \"a\": 4, \"b\": 5, \"B\": 6}"
#define WORDS(members) "{" members "\"model\": {\"type\": \"WordPiece\", \"vocab\": " WORDS_VOCAB "}}"
#define PIECES(members)                                                                                                                             \
	"{" members "\"model\": {\"type\": \"Unigram\", \"unk_id\": 3, \"vocab\": [[\"[PAD]\", 0], [\"[CLS]\", 0], [\"[SEP]\", 0], [\"[UNK]\", 0]," \
	" [\"\xe2\x96\x81\", -3], [\"a\", -4]]}}"

static char *dir;

static int setup(void **state)
{
	dir = data_dir();
	return 0;
}

static int teardown(void **state)
{
	data_remove_dir(dir);
	return 0;
}

static void put(const char *name, const char *text)
{
	data_put(dir, name, text, strlen(text));
}

static struct nli_text load(enum nli_tokens kind)
{
	struct error err = {0};
	struct nli_text text;

	if (nli_text_load(&text, kind, dir, &err) < 0)
		fail_msg("%s", err.text);
	return text;
}

static void reads(enum nli_tokens kind, const char *premise, const char *hypothesis, const int32_t *wanted, int n)
{
	const struct text_pair pair = {premise, hypothesis};
	struct nli_text text = load(kind);
	int32_t ids[32], types[32];
	struct error err = {0};

	assert_int_equal(nli_text_encode(&text, &pair, ids, types, 32, &err), n);
	assert_memory_equal(ids, wanted, (size_t)n * sizeof *ids);
	nli_text_free(&text);
}
#define READS(kind, premise, hypothesis, ...) \
	reads(kind, premise, hypothesis, (const int32_t[]){__VA_ARGS__}, (int)(sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t)))

/* name holds content: refused, in words that contain says. */
static void refuses(enum nli_tokens kind, const char *name, const char *content, const char *says)
{
	struct error err = {0};
	struct nli_text text;

	put(name, content);
	if (nli_text_load(&text, kind, dir, &err) == 0)
		fail_msg("%s: %s is not refused", name, content);
	if (strstr(err.text, "libsentencepiece-dev"))
		return;
	if (err.code != E_MODEL || !strstr(err.text, says))
		fail_msg("wanted \"%s\", got %d \"%s\"", says, err.code, err.text);
}

static void a_blank_may_come_first(void **state)
{
	put("tokenizer.json", BYTES(BLANK_FIRST));
	READS(NLI_BYTES, "a", "ab", BOS, A, EOS, EOS, A, B, EOS); /* the class's own key wins, which is off */
	put("tokenizer_config.json", "{\"add_prefix_space\": true}");
	READS(NLI_BYTES, "a", "ab", BOS, BLANK_A, EOS, EOS, BLANK_A, B, EOS);
	READS(NLI_BYTES, " a", "", BOS, BLANK_A, EOS, EOS, BLANK, EOS);
	put("tokenizer_config.json", "{\"add_prefix_space\": false, \"tokenizer_class\": \"RobertaTokenizer\"}");
	READS(NLI_BYTES, "a", "a", BOS, A, EOS, EOS, A, EOS);
	put("tokenizer_config.json", "{\"tokenizer_class\": \"PreTrainedTokenizerFast\"}");
	READS(NLI_BYTES, "a", "a", BOS, BLANK_A, EOS, EOS, BLANK_A, EOS);
}

static void a_length_may_be_said(void **state)
{
	static const struct {
		const char *config;
		int longest;
	} said[] = {{"{\"model_max_length\": 128}", 128},
		    {"{\"max_len\": 512}", 512},
		    {"{\"model_max_length\": 1000000000000000019884624838656}", 0},
		    {"{\"max_len\": 128, \"other\": [1000000000000000019884624838656, 3]}", 128},
		    {"{}", 0}};

	put("tokenizer.json", BYTES(""));
	for (size_t i = 0; i < sizeof said / sizeof said[0]; i++) {
		struct nli_text text;

		put("tokenizer_config.json", said[i].config);
		text = load(NLI_BYTES);
		assert_int_equal(text.longest, said[i].longest);
		nli_text_free(&text);
	}
}

static void nothing_is_written_beyond_the_end(void **state)
{
	const struct text_pair nothing = {"", ""}, much = {"aaaa", "b"};
	int32_t ids[6] = {[4] = -7}, types[6];
	struct error err = {0};
	struct nli_text text;

	put("tokenizer.json", BYTES(""));
	text = load(NLI_BYTES);
	assert_int_equal(nli_text_encode(&text, &nothing, ids, types, 3, &err), -1);
	assert_int_equal(err.code, E_LIMIT);
	assert_int_equal(nli_text_encode(&text, &nothing, ids, types, 4, &err), 4);
	assert_int_equal(nli_text_encode(&text, &much, ids, types, 4, &err), -1);
	assert_int_equal(ids[4], -7);
	assert_int_equal(nli_text_encode(&text, &much, ids, types, 6, &err), 6);
	assert_int_equal(ids[1], A);
	assert_int_equal(ids[2], EOS);
	nli_text_free(&text);
}

static void the_frame_is_of_the_class_tokens(void **state)
{
	put("tokenizer.json", BYTES(TEMPLATE(TWO_ENDS)));
	put("special_tokens_map.json", "{\"bos_token\": \"<s>\", \"cls_token\": {\"content\": \"<c>\"}, \"sep_token\": \"</s>\"}");
	READS(NLI_BYTES, "a", "b", CLS, A, EOS, EOS, B, EOS);
}

static void other_bytes_are_refused(void **state)
{
	static const char *const steps[][2] = {
		{BYTES("\"normalizer\": {\"type\": \"Lowercase\"}, "), "\"normalizer\" of type \"Lowercase\""},
		{BYTES("\"pre_tokenizer\": {\"type\": \"Whitespace\"}, "), "\"pre_tokenizer\" of type \"Whitespace\""},
		{BYTES("\"pre_tokenizer\": null, "), "\"pre_tokenizer\" of type \"null\""},
		{BYTES("\"pre_tokenizer\": {\"type\": \"ByteLevel\", \"use_regex\": false}, "), "use_regex"},
		{BYTES("\"post_processor\": null, "), "post_processor"},
		{BYTES("\"post_processor\": {\"type\": \"BertProcessing\"}, "), "BertProcessing"},
		{BYTES(TEMPLATE(PIECE("SpecialToken") ", " TEXT("A") ", " TEXT("B"))), "as SAB; this model needs SASSBS"},
	};

	for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++)
		refuses(NLI_BYTES, "tokenizer.json", steps[i][0], steps[i][1]);
	put("tokenizer.json", BYTES("\"normalizer\": null, \"post_processor\": {\"type\": \"RobertaProcessing\"}, "));
	READS(NLI_BYTES, "a", "b", BOS, A, EOS, EOS, B, EOS);
	refuses(NLI_BYTES, "tokenizer_config.json", "{\"tokenizer_class\": \"GPT2Tokenizer\"}", "\"tokenizer_class\" is \"GPT2Tokenizer\"");
	refuses(NLI_BYTES, "tokenizer_config.json", "{\"truncation_side\": \"left\"}", "truncation_side");
}

/* An accent of its own stays so where tokenizer.json is read, and joins its letter where it is not. */
static void accents_stay_or_join(void **state)
{
	put("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n\xc3\xa9\ne\n##\xcc\x81\n");
	put("tokenizer_config.json", "{\"do_lower_case\": false}");
	READS(NLI_WORDPIECE, "e\xcc\x81", "\xc3\xa9", 2, 4, 3, 4, 3);
	put("tokenizer.json", "{\"model\": {\"type\": \"WordPiece\", \"vocab\": {\"[PAD]\": 0, \"[UNK]\": 1, \"[CLS]\": 2, \"[SEP]\": 3,"
			      " \"\\u00e9\": 4, \"e\": 5, \"##\\u0301\": 6}}}");
	READS(NLI_WORDPIECE, "e\xcc\x81", "\xc3\xa9", 2, 5, 6, 3, 4, 3);
}

static void words_keep_their_case_where_asked(void **state)
{
	put("tokenizer.json", WORDS("\"normalizer\": {\"type\": \"BertNormalizer\", \"lowercase\": true}, "));
	READS(NLI_WORDPIECE, "a B", "b", 2, 4, 5, 3, 5, 3);
	put("tokenizer_config.json", "{\"do_lower_case\": false}");
	READS(NLI_WORDPIECE, "a B", "b", 2, 4, 6, 3, 5, 3);
	put("tokenizer_config.json", "{\"do_lower_case\": false, \"tokenizer_class\": \"PreTrainedTokenizerFast\"}");
	READS(NLI_WORDPIECE, "a B", "b", 2, 4, 5, 3, 5, 3);
	put("tokenizer.json", WORDS("\"normalizer\": null, "));
	READS(NLI_WORDPIECE, "a B", "b", 2, 4, 6, 3, 5, 3);
}

static void other_words_are_refused(void **state)
{
	refuses(NLI_WORDPIECE, "tokenizer.json", WORDS("\"normalizer\": {\"type\": \"Sequence\", \"normalizers\": []}, "), "\"Sequence\"");
	refuses(NLI_WORDPIECE, "tokenizer.json", WORDS("\"pre_tokenizer\": {\"type\": \"Whitespace\"}, "), "\"Whitespace\"");
	refuses(NLI_WORDPIECE, "tokenizer.json", WORDS(TEMPLATE(TWO_ENDS)), "as SASSBS; this model needs SASBS");
	put("tokenizer.json", WORDS(""));
	refuses(NLI_WORDPIECE, "tokenizer_config.json", "{\"tokenizer_class\": \"BertJapaneseTokenizer\"}", "BertJapaneseTokenizer");
	refuses(NLI_WORDPIECE, "tokenizer_config.json", "{\"do_basic_tokenize\": false}", "do_basic_tokenize");
	refuses(NLI_WORDPIECE, "tokenizer_config.json", "{\"never_split\": [\"x\"]}", "never_split");
}

static void other_pieces_are_refused(void **state)
{
	refuses(NLI_UNIGRAM, "tokenizer.json", PIECES("\"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"Lowercase\"}]}, "),
		"\"Lowercase\"");
	refuses(NLI_UNIGRAM, "tokenizer.json", PIECES("\"pre_tokenizer\": {\"type\": \"Metaspace\", \"add_prefix_space\": false}, "), "no blank");
	refuses(NLI_UNIGRAM, "tokenizer.json", PIECES("\"pre_tokenizer\": {\"type\": \"Metaspace\", \"prepend_scheme\": \"never\"}, "), "no blank");
	refuses(NLI_UNIGRAM, "tokenizer.json", PIECES("\"pre_tokenizer\": {\"type\": \"Digits\"}, "), "\"Digits\"");
	put("tokenizer.json", PIECES(""));
	refuses(NLI_UNIGRAM, "tokenizer_config.json", "{\"do_lower_case\": true}", "do_lower_case");
	refuses(NLI_UNIGRAM, "tokenizer_config.json", "{\"split_by_punct\": true}", "split_by_punct");
	refuses(NLI_UNIGRAM, "tokenizer_config.json", "{\"tokenizer_class\": \"XLMRobertaTokenizer\"}", "XLMRobertaTokenizer");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_blank_may_come_first),   T(a_length_may_be_said), T(nothing_is_written_beyond_the_end), T(the_frame_is_of_the_class_tokens),
		T(other_bytes_are_refused),  T(accents_stay_or_join), T(words_keep_their_case_where_asked), T(other_words_are_refused),
		T(other_pieces_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
