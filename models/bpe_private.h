/* bpe_private.h - what bpe_load.c, bpe_table.c and bpe.c share. */
#ifndef MODELS_BPE_PRIVATE_H
#define MODELS_BPE_PRIVATE_H

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "core/mem.h"
#include "models/bpe.h"

struct merge {
	uint64_t key; /* left id << 32 | right id, plus 1; 0 = free slot */
	uint32_t rank;
	int32_t to;
};

struct bpe {
	enum bpe_kind kind;
	struct vocab *vocab;
	int32_t roles[VOCAB_ROLES];
	int32_t byte_id[256], last_id[256]; /* of a byte, and of a piece's last byte (with "</w>") */
	int16_t letter_byte[512];           /* the byte that a letter of the byte alphabet stands for, -1: none */
	struct merge *merge;                /* open addressing, a power of two of slots */
	size_t slots;
	bool blank_first;              /* what tokenizer.json says */
	pcre2_general_context *memory; /* ends the program when memory is gone, as xmalloc does */
	pcre2_code *pattern;
	pcre2_code *openai[2]; /* any case; [1] with the special tokens in front */
};

/* The slot of a pair: its merge, or (key 0) the free slot where it belongs. */
struct merge *bpe_find_merge(const struct bpe *b, int32_t left, int32_t right);

/* The letter (code point) of a byte, 0 to 255, in GPT-2's alphabet: printable Latin-1 stands for itself, the other 68 bytes for U+0100 on. */
uint32_t bpe_letter(int byte);

/* Moves *at behind the next line that is not empty and gives that line without its end; false: there is none before end. */
bool bpe_next_line(const char **at, const char *end, const char **line, size_t *length);

enum { BPE_TABLE_TOKENS = 49408 }; /* of CLIP */

/* OpenAI's table at path (a name that ends in ".gz": packed) into an empty vocabulary: 256 letters, the same as word ends, what each merge gives, start
 * and end token. *merges, empty before, gets the merges, a line each, and is the caller's to free, after -1 too. E_IO; E_LIMIT, packed or unpacked;
 * E_FORMAT: broken gzip, a line that is not two pieces, a piece twice. */
int bpe_read_table(const char *path, struct vocab *vocab, struct buffer *merges, struct error *err);

#endif
