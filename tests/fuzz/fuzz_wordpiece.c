/* fuzz_wordpiece.c - the bytes are taken as a tokenizer.json, as vocab.txt, and as texts to encode. */
#include "core/mem.h"
#include "models/wordpiece.h"
#include "tests/support/fuzz.h"

#include <stdlib.h>
#include <string.h>

static const char lines[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n##b\n##bc\ne\n\xe4\xb8\xad\n.\n";

static const struct fuzz_seed seeds[] = {
	FUZZ_TEXT("{\"model\": {\"type\": \"WordPiece\", \"vocab\": {\"[PAD]\": 0, \"[UNK]\": 1, \"[CLS]\": 2, \"[SEP]\": 3, \"a\": 4, \"++b\": 5},"
		  " \"continuing_subword_prefix\": \"++\", \"max_input_chars_per_word\": 9}, \"normalizer\": {\"lowercase\": true, "
		  "\"strip_accents\": null},"
		  " \"added_tokens\": [{\"id\": 9, \"content\": \"[X]\", \"special\": true}]}"),
	FUZZ_TEXT("[PAD]\n[UNK]\r\n[CLS]\n[SEP]\na\n##b\n\n\nb"),
	FUZZ_TEXT("abc A\xcc\x81 \xe4\xb8\xad.\xe6\x96\x87 [SEP] \xed\x95\x9c \xc4\xb0stanbul \xe2\x80\x8b\xc2\xad\xef\xbf\xbd a.b,c"),
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
	struct error err;
	struct wordpiece *w = wordpiece_load(fuzz_dir(), &err);

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

static void run(const uint8_t *bytes, size_t size)
{
	char *text = xstrndup((const char *)bytes, size);

	fuzz_file("tokenizer.json", bytes, size);
	load_and_use(text);
	fuzz_remove("tokenizer.json");
	fuzz_file("vocab.txt", bytes, size);
	load_and_use(text);
	fuzz_file("vocab.txt", lines, sizeof lines - 1);
	load_and_use(text);
	free(text);
}

int main(int argc, char **argv)
{
	return fuzz_main(argc, argv, seeds, sizeof seeds / sizeof *seeds, run);
}
