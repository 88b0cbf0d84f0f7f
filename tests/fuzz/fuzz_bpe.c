/* fuzz_bpe.c - the bytes are taken as one of the files of a byte-level BPE tokenizer, whose other files are right, or as a text to encode. */
#include "core/mem.h"
#include "models/bpe.h"
#include "tests/support/fuzz.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#define PIECES "\"<s>\": 0, \"<pad>\": 1, \"</s>\": 2, \"<unk>\": 3, \"a\": 4, \"b\": 5, \"ab\": 6, \"\\u0120a\": 7, \"\\u0120\": 8, \"\\u00e9\": 9"
#define WORDS  "\"<|startoftext|>\": 0, \"<|endoftext|>\": 1, \"a\": 2, \"b\": 3, \"b</w>\": 4, \"ab</w>\": 5, \"a</w>\": 6, \"!\": 7, \"!</w>\": 8"
#define ADDED  "[{\"id\": 20, \"content\": \"<x>\", \"special\": true, \"lstrip\": true, \"rstrip\": true, \"normalized\": true}]"

#define TABLE  "bpe_simple_vocab_16e6.txt"
#define PACKED "bpe_simple_vocab_16e6.txt.gz"

static const char bytes_vocab[] = "{" PIECES "}", bytes_merges[] = "#version: 0.2\na b\n\xc4\xa0 a\n";
static const char clip_vocab[] = "{" WORDS "}", clip_merges[] = "#version: 0.2\na b</w>\n";
static const char bytes_whole[] =
	"{\"model\": {\"type\": \"BPE\", \"vocab\": {" PIECES "}, \"merges\": [\"a b\", [\"\\u0120\", \"a\"]]}, \"added_tokens\": " ADDED "}";
static const char clip_whole[] =
	"{\"model\": {\"end_of_word_suffix\": \"</w>\", \"vocab\": {" WORDS "}, \"merges\": [\"a b</w>\"]}, \"added_tokens\": " ADDED "}";
static const char roles[] =
	"{\"bos_token\": \"<s>\", \"eos_token\": {\"content\": \"</s>\", \"lstrip\": false, \"rstrip\": true}, \"unk_token\": \"<unk>\","
	" \"pad_token\": \"<pad>\", \"mask_token\": {\"content\": \"a\", \"lstrip\": true}, \"sep_token\": null, \"model_max_length\": 512}";
static const char table[] = "\"bpe_simple_vocab_16e6.txt#version: 0.2\na b</w>\na b\nc ab</w>\nt h\nth e</w>\n";

/* A packed table is added by main. */
static struct fuzz_seed seeds[] = {
	FUZZ_KIND("tokenizer.json", bytes_whole),
	FUZZ_KIND("tokenizer.json of CLIP", clip_whole),
	FUZZ_KIND("vocab.json", bytes_vocab),
	FUZZ_KIND("vocab.json of CLIP", clip_vocab),
	FUZZ_KIND("merges.txt", bytes_merges),
	FUZZ_KIND("merges.txt of CLIP", clip_merges),
	FUZZ_KIND("special_tokens_map.json", roles),
	FUZZ_KIND("tokenizer_config.json", roles),
	FUZZ_KIND(TABLE, table),
	FUZZ_KIND("text",
		  "caf\xc3\xa9 &amp;lt; <s>ab <code_1>\xef\xac\x81 \xe2\x80\x9cq\xe2\x80\x9d\x1b[31m \r\n \xcc\x81\xf0\x9f\x90\xb1 <|endoftext|> 'S "
		  "don't 12"),
	{NULL, 0, PACKED},
};
enum { SEEDS = sizeof seeds / sizeof seeds[0] };

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
	struct error err = {0};
	struct bpe *b = bpe_load(&(struct bpe_source){.kind = kind, .dir = fuzz_dir(), .codes = 3, .bins = 2}, &err);

	if (!b && (err.text[0] == '\0' || fuzz_is_seed()))
		abort();
	use(b, (const uint8_t *)"ab ba! <x> \xc3\xa9", 13);
	use(b, text, size);
	bpe_free(b);
}

/* The files beside the one that changes. */
static void put_others(bool clip, const char *name)
{
	static const char *const names[] = {"tokenizer.json",        "vocab.json", "merges.txt", "special_tokens_map.json",
					    "tokenizer_config.json", TABLE,        PACKED};
	bool alone = strcmp(name, "tokenizer.json") == 0 || strcmp(name, TABLE) == 0 || strcmp(name, PACKED) == 0;

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		fuzz_remove(names[i]);
	if (alone)
		return;
	fuzz_file("vocab.json", clip ? clip_vocab : bytes_vocab, clip ? sizeof clip_vocab - 1 : sizeof bytes_vocab - 1);
	fuzz_file("merges.txt", clip ? clip_merges : bytes_merges, clip ? sizeof clip_merges - 1 : sizeof bytes_merges - 1);
}

static void run(const uint8_t *bytes, size_t size)
{
	static const char *last;
	const char *kind = fuzz_kind(), *of = strstr(kind, " of CLIP");
	bool clip = of || strncmp(kind, TABLE, strlen(TABLE)) == 0, text = strcmp(kind, "text") == 0;
	char *name = xstrndup(kind, of ? (size_t)(of - kind) : strlen(kind));

	if (kind != last)
		put_others(clip, name);
	last = kind;
	if (!text)
		fuzz_file(name, bytes, size);
	load_and_use(clip ? BPE_CLIP : BPE_BYTES, bytes, size);
	free(name);
}

/* The table as gzip packs it. */
static size_t pack(unsigned char *out, size_t room)
{
	z_stream z = {.next_in = (Bytef *)table, .avail_in = sizeof table - 1, .next_out = out, .avail_out = (uInt)room};

	if (deflateInit2(&z, 6, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK || deflate(&z, Z_FINISH) != Z_STREAM_END)
		abort();
	deflateEnd(&z);
	return room - z.avail_out;
}

int main(int argc, char **argv)
{
	unsigned char packed[sizeof table + 64];

	seeds[SEEDS - 1].bytes = packed;
	seeds[SEEDS - 1].size = pack(packed, sizeof packed);
	return fuzz_main(argc, argv, seeds, SEEDS, run);
}
