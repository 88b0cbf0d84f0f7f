/* fuzz_wordpiece.c - the bytes are taken as one of the files of a WordPiece tokenizer, whose other files are right, or as a text to encode. */
#include "core/mem.h"
#include "models/wordpiece.h"
#include "tests/support/fuzz.h"

#include <stdlib.h>
#include <string.h>

static const char lines[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n##b\n##bc\ne\n\xe4\xb8\xad\n.\n";

static const struct fuzz_seed seeds[] = {
	FUZZ_KIND("tokenizer.json",
		  "{\"model\": {\"type\": \"WordPiece\", \"vocab\": {\"[PAD]\": 0, \"[UNK]\": 1, \"[CLS]\": 2, \"[SEP]\": 3, \"a\": 4, \"++b\": 5},"
		  " \"continuing_subword_prefix\": \"++\", \"max_input_chars_per_word\": 9}, \"normalizer\": {\"lowercase\": true, "
		  "\"strip_accents\": null},"
		  " \"added_tokens\": [{\"id\": 9, \"content\": \"[X]\", \"special\": true}]}"),
	FUZZ_KIND("vocab.txt", "[PAD]\n[UNK]\r\n[CLS]\n[SEP]\na\n##b\n\n\nb"),
	FUZZ_KIND("tokenizer_config.json",
		  "{\"do_lower_case\": true, \"strip_accents\": null, \"tokenize_chinese_chars\": true, \"unk_token\": \"[UNK]\","
		  " \"sep_token\": {\"content\": \"[SEP]\"}, \"pad_token\": \"a\"}"),
	FUZZ_KIND("special_tokens_map.json",
		  "{\"unk_token\": \"[UNK]\", \"cls_token\": {\"content\": \"[CLS]\", \"lstrip\": true}, \"mask_token\": null}"),
	FUZZ_KIND("text", "abc A\xcc\x81 \xe4\xb8\xad.\xe6\x96\x87 [SEP] \xed\x95\x9c \xc4\xb0stanbul \xe2\x80\x8b\xc2\xad\xef\xbf\xbd a.b,c"),
};

static void encode(const struct wordpiece *w, const struct wordpiece_text *text)
{
	int32_t ids[16], types[16];
	struct error err;
	int n = wordpiece_encode(w, text, ids, types, 16, &err);
	char *back;

	if (n > 16)
		abort();
	for (int i = 0; i < n; i++)
		if (ids[i] < 0 || (size_t)ids[i] >= wordpiece_size(w) || types[i] > (text->second != NULL))
			abort();
	back = wordpiece_decode(w, ids, n > 0 ? n : 0, WORDPIECE_SKIP_SPECIAL | WORDPIECE_CLEAN_UP);
	free(back);
}

static void load_and_use(const char *text)
{
	struct error err = {0};
	struct wordpiece *w = wordpiece_load(fuzz_dir(), &err);

	if (!w && (err.text[0] == '\0' || fuzz_is_seed()))
		abort();
	for (unsigned how = 0; w && how < 4; how++) {
		enum wordpiece_cut cut = how & 1 ? WORDPIECE_ONLY_FIRST : WORDPIECE_LONGEST_FIRST;

		encode(w, &(struct wordpiece_text){text, NULL, how & 2, cut});
		encode(w, &(struct wordpiece_text){text, "abc a\xc3\xa9", how & 2, cut});
		encode(w, &(struct wordpiece_text){"abc", text, how & 2, cut});
	}
	if (w && wordpiece_add(w, "[DEC]", &err) < 0)
		abort();
	wordpiece_free(w);
}

/* The files beside the one that changes. */
static void put_others(const char *name)
{
	static const char *const names[] = {"tokenizer.json", "vocab.txt", "tokenizer_config.json", "special_tokens_map.json"};

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		fuzz_remove(names[i]);
	if (strcmp(name, "tokenizer.json") != 0)
		fuzz_file("vocab.txt", lines, sizeof lines - 1);
}

static void run(const uint8_t *bytes, size_t size)
{
	static const char *last;
	char *text = xstrndup((const char *)bytes, size);

	if (fuzz_kind() != last)
		put_others(fuzz_kind());
	last = fuzz_kind();
	if (strcmp(fuzz_kind(), "text") != 0)
		fuzz_file(fuzz_kind(), bytes, size);
	load_and_use(text);
	free(text);
}

int main(int argc, char **argv)
{
	return fuzz_main(argc, argv, seeds, sizeof seeds / sizeof *seeds, run);
}
