/* fuzz_unigram.c - the bytes are taken as a SentencePiece model's file, as a tokenizer.json, as a table of normal forms in a whole model, and as a text. */
#include "core/mem.h"
#include "models/unigram.h"
#include "tests/support/fuzz.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { UNITS = 256, TEXTS = 16, TABLE = 4 + 4 * UNITS + TEXTS };

static const char whole[] = "\x0a\x0e\x0a\x05<unk>\x15\0\0\0\0\x18\x02"
			    "\x0a\x0a\x0a\x01"
			    "a\x15\0\0\x80\xbf\x18\x01"
			    "\x0a\x0a\x0a\x01"
			    "b\x15\0\0\0\xc0\x18\x01"
			    "\x0a\x0c\x0a\x03\xe2\x96\x81\x15\0\0\x80\xbf\x18\x01";

static const struct fuzz_seed seeds[] = {
	FUZZ_KIND("spm.model", whole),
	FUZZ_KIND("tokenizer.json",
		  "{\"model\": {\"type\": \"Unigram\", \"unk_id\": 0, \"vocab\": [[\"<unk>\", 0.0], [\"a\", -1.5], [\"\xe2\x96\x81\", -2]]},"
		  " \"normalizer\": {\"normalizers\": [{\"type\": \"Strip\"}, {\"precompiled_charsmap\": \"\"}]}, \"added_tokens\": [{\"content\": "
		  "\"<unk>\", \"special\": true}]}"),
	FUZZ_KIND("table", whole),
	FUZZ_KIND("text", "ab\xc3\xa9 a\xef\xac\x81 \xe4\xb8\xad \0\x01\xff"),
};

static void use(const char *text, size_t size)
{
	struct error err = {0};
	struct unigram *u = unigram_load(fuzz_dir(), &err);
	struct ids ids = {0};

	if (!u && (err.text[0] == '\0' || (fuzz_is_seed() && !strstr(err.text, "vramble was built without"))))
		abort();
	if (u && unigram_pieces(u, text, size, &ids, &err) == 0)
		for (size_t i = 0; i < ids.n; i++)
			if (ids.id[i] < 0 || (size_t)ids.id[i] >= unigram_size(u))
				abort();
	free(ids.id);
	unigram_free(u);
}

/* A table whose units all point within it, with the bytes for labels, places and ends: the check lets it pass, the library walks it. */
static void make_table(const uint8_t *bytes, size_t size, unsigned char out[TABLE])
{
	out[0] = (4 * UNITS) & 0xff;
	out[1] = (4 * UNITS) >> 8;
	out[2] = out[3] = 0;
	for (size_t i = 0; i < UNITS; i++) {
		uint8_t label = size ? bytes[i % size] : 0, place = size ? bytes[(7 * i + 3) % size] : 0;
		uint32_t unit = label & 0x80 ? 0x80000000u | (place % TEXTS) : (uint32_t)label | (uint32_t)place << 10 | (place & 1u) << 8;

		for (int k = 0; k < 4; k++)
			out[4 + 4 * i + (size_t)k] = (unsigned char)(unit >> 8 * k);
	}
	out[7] = 0; /* a walk begins there */
	for (size_t i = 0; i < UNITS; i++)
		if (out[5 + 4 * i] & 1 && !(out[7 + 4 * (i ^ (out[5 + 4 * i] >> 2 | (size_t)(out[6 + 4 * i] & 3) << 6))] & 0x80))
			out[5 + 4 * i] &= 0xfe; /* has no end of its own */
	memset(out + 4 + 4 * UNITS, 'a', TEXTS - 1);
	out[TABLE - 1] = '\0';
}

static void use_table(const uint8_t *bytes, size_t size)
{
	unsigned char table[TABLE], head[] = {0x1a, ((TABLE + 3) & 0x7f) | 0x80, (TABLE + 3) >> 7, 0x12, (TABLE & 0x7f) | 0x80, TABLE >> 7};
	struct buffer file = {0};
	struct error err;

	make_table(bytes, size, table);
	buffer_add(&file, whole, sizeof whole - 1);
	buffer_add(&file, (char *)head, sizeof head);
	buffer_add(&file, (char *)table, sizeof table);
	if (unigram_file_check(file.text, file.length, "fuzz", &err) < 0)
		abort();
	fuzz_file("spm.model", (uint8_t *)file.text, file.length);
	use((const char *)bytes, size);
	buffer_free(&file);
}

static void run(const uint8_t *bytes, size_t size)
{
	const char *kind = fuzz_kind();
	bool text = strcmp(kind, "text") == 0, own = !text && strcmp(kind, "table") != 0;

	if (strcmp(kind, "table") == 0)
		use_table(bytes, size);
	if (own)
		fuzz_file(kind, bytes, size);
	if (text)
		fuzz_file("spm.model", whole, sizeof whole - 1);
	use(text ? (const char *)bytes : "ab a", text ? size : 4);
	fuzz_remove(own ? kind : "spm.model");
}

int main(int argc, char **argv)
{
	return fuzz_main(argc, argv, seeds, sizeof seeds / sizeof *seeds, run);
}
