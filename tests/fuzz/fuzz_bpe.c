/* fuzz_bpe.c - the bytes are taken as a tokenizer.json, as merges.txt, as OpenAI's table, packed or not, and as a text to encode. */
#include "core/mem.h"
#include "models/bpe.h"
#include "tests/support/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PIECES "\"<s>\": 0, \"<pad>\": 1, \"</s>\": 2, \"<unk>\": 3, \"a\": 4, \"b\": 5, \"ab\": 6, \"\\u0120a\": 7, \"\\u0120\": 8, \"\\u00e9\": 9"
#define WORDS  "\"<|startoftext|>\": 0, \"<|endoftext|>\": 1, \"a\": 2, \"b\": 3, \"b</w>\": 4, \"ab</w>\": 5, \"a</w>\": 6, \"!\": 7, \"!</w>\": 8"
#define ADDED  "[{\"id\": 20, \"content\": \"<x>\", \"special\": true, \"lstrip\": true, \"rstrip\": true, \"normalized\": true}]"

static const char bytes_vocab[] = "{" PIECES "}", bytes_merges[] = "#version: 0.2\na b\n\xc4\xa0 a\n";
static const char clip_vocab[] = "{" WORDS "}", clip_merges[] = "#version: 0.2\na b</w>\n";

static const struct fuzz_seed seeds[] = {
	FUZZ_TEXT("{\"model\": {\"type\": \"BPE\", \"vocab\": {" PIECES "}, \"merges\": [\"a b\", [\"\\u0120\", \"a\"]]}, \"added_tokens\": " ADDED
		  "}"),
	FUZZ_TEXT("{\"model\": {\"end_of_word_suffix\": \"</w>\", \"vocab\": {" WORDS "}, \"merges\": [\"a b</w>\"]}, \"added_tokens\": " ADDED "}"),
	FUZZ_TEXT("#version: 0.2\na b\n\xc4\xa0 a\n\n"),
	FUZZ_TEXT("caf\xc3\xa9 &amp;lt; <s>ab <code_1>\xef\xac\x81 \xe2\x80\x9cq\xe2\x80\x9d\x1b[31m \r\n \xcc\x81\xf0\x9f\x90\xb1 <|endoftext|> 'S "
		  "don't 12"),
};

static void use(const struct bpe *b, const uint8_t *text, size_t size)
{
	struct error err;

	for (unsigned flags = 0; b && flags < 4; flags++) {
		struct ids ids = {0};
		int32_t framed[12];
		int n;
		char *back;

		if (bpe_pieces(b, (const char *)text, size, flags, &ids, &err) == 0)
			for (size_t i = 0; i < ids.n; i++)
				if (ids.id[i] < 0 || (size_t)ids.id[i] >= bpe_size(b))
					abort();
		n = bpe_encode(b, (const char *)text, size, flags, framed, 12, NULL, &err);
		if (n > 12)
			abort();
		back = bpe_decode(b, ids.id, ids.n, flags);
		free(back);
		free(ids.id);
	}
}

static void load_and_use(enum bpe_kind kind, const uint8_t *text, size_t size)
{
	struct error err;
	struct bpe *b = bpe_load(&(struct bpe_source){.kind = kind, .dir = fuzz_dir(), .codes = 3, .bins = 2}, &err);

	use(b, (const uint8_t *)"ab ba! <x> \xc3\xa9", 13);
	use(b, text, size);
	bpe_free(b);
}

static void run(const uint8_t *bytes, size_t size)
{
	fuzz_file("tokenizer.json", bytes, size);
	load_and_use(BPE_BYTES, bytes, size);
	load_and_use(BPE_CLIP, bytes, size);
	fuzz_remove("tokenizer.json");
	fuzz_file("bpe_simple_vocab_16e6.txt", bytes, size);
	load_and_use(BPE_CLIP, bytes, size);
	fuzz_file("bpe_simple_vocab_16e6.txt.gz", bytes, size);
	load_and_use(BPE_CLIP, bytes, size);
	fuzz_remove("bpe_simple_vocab_16e6.txt.gz");
	fuzz_remove("bpe_simple_vocab_16e6.txt");
	fuzz_file("vocab.json", bytes_vocab, sizeof bytes_vocab - 1);
	fuzz_file("merges.txt", bytes, size);
	load_and_use(BPE_BYTES, bytes, size);
	fuzz_file("merges.txt", bytes_merges, sizeof bytes_merges - 1);
	load_and_use(BPE_BYTES, bytes, size);
	fuzz_file("vocab.json", clip_vocab, sizeof clip_vocab - 1);
	fuzz_file("merges.txt", clip_merges, sizeof clip_merges - 1);
	load_and_use(BPE_CLIP, bytes, size);
}

int main(int argc, char **argv)
{
	return fuzz_main(argc, argv, seeds, sizeof seeds / sizeof *seeds, run);
}
