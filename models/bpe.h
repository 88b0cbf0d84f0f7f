/* bpe.h - byte-level BPE: CLIP's (lower case, end-of-word pieces) and GPT-2's as OFA, RoBERTa and BART use it.
 *
 * Everything comes from the model's own files: pieces, merges, and which tokens are bos, eos, pad, unk. A small vocabulary loads as a large one does.
 * Loading and freeing: one thread. A loaded bpe never changes: any thread may encode and decode.
 *
 *	struct bpe *b = bpe_load_clip("clip-vit-base-patch32", &err);
 *	int32_t ids[77];
 *	int n = bpe_encode(b, text, strlen(text), 0, ids, 77, NULL, &err);       // bos, the text, eos
 *
 * Text typed by users is taken literally: "<|endoftext|>" in a label is spelled out in pieces. BPE_SPECIALS gives the reference's behaviour, where such
 * strings become the special tokens themselves.
 */
#ifndef MODELS_BPE_H
#define MODELS_BPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/error.h"
#include "models/vocab.h"

enum bpe_kind {
	BPE_CLIP, /* pieces end in "</w>", text is lower-cased */
	BPE_BYTES /* GPT-2: blanks belong to the piece that follows, case is kept */
};

enum bpe_flag {
	BPE_SPECIALS = 1, /* encode: special and added tokens written in the text count as such */
	BPE_OPENAI = 2    /* encode, BPE_CLIP: clean as OpenAI's and open_clip's tokenizer (clean.h); otherwise as a Hugging Face tokenizer.json: NFC,
			   * blanks, lower case character by character */
};

enum bpe_decode_flag {
	BPE_SKIP_SPECIAL = 1, /* leave out bos, eos, pad, unk, mask … */
	BPE_CLEAN_UP = 2      /* text_clean_up */
};

enum { BPE_TEXT_MAX = 16 * 1024 }; /* bytes of one text; longer ones are refused */

/* Where a tokenizer is. Either dir, which holds tokenizer.json, or else vocab.json and merges.txt, or else (BPE_CLIP) OpenAI's
 * bpe_simple_vocab_16e6.txt.gz, packed or not; or the two files by their paths. */
struct bpe_source {
	enum bpe_kind kind;
	const char *dir;            /* NULL: use the two paths */
	const char *vocab, *merges; /* vocab.json, merges.txt */
	int vocabulary;             /* the model's, 0: not known; a table that has fewer tokens is complete only with all those of CLIP */
	int codes, bins;            /* added after the vocabulary unless it has them: <code_0> …, <bin_0> … (OFA: 8192 and 1000) */
};

struct bpe;

/* Fails with E_IO (a file is missing), E_LIMIT, or E_FORMAT naming file, line or key: a merge of unknown pieces, no bos or eos, bytes without a piece
 * and no unk, a broken gzip file, a table or merges that are cut off. */
struct bpe *bpe_load(const struct bpe_source *source, struct error *err);
struct bpe *bpe_load_clip(const char *dir, struct error *err);
/* With OFA's <code_i> and <bin_i>. */
struct bpe *bpe_load_bytes(const char *dir, struct error *err);
void bpe_free(struct bpe *b); /* NULL is fine */

size_t bpe_size(const struct bpe *b);                        /* highest id + 1 */
int32_t bpe_role(const struct bpe *b, enum vocab_role role); /* -1 if the vocabulary has none; pad falls back to eos */
bool bpe_blank_first(const struct bpe *b);                   /* does tokenizer.json want a blank before a text that has none? Encoding adds none */
const char *bpe_token(const struct bpe *b, int32_t id);      /* as in the file ("Ġcat", "cat</w>"); NULL for an unused id; borrowed */

/* Encodes the text alone, without bos and eos, and appends to *out (the caller frees out->id). E_LIMIT if the text is longer than BPE_TEXT_MAX. */
int bpe_pieces(const struct bpe *b, const char *text, size_t length, unsigned flags, struct ids *out, struct error *err);

/* bos, the text, eos into ids[max], max >= 2; a longer text loses its end and keeps eos. Returns how many were written; *whole (may be NULL) gets how
 * many it would have been. */
int bpe_encode(const struct bpe *b, const char *text, size_t length, unsigned flags, int32_t *ids, int max, int *whole, struct error *err);

/* BPE_BYTES only. The text of n ids, valid UTF-8 (broken sequences become U+FFFD); ids that stand for nothing are skipped. The caller frees it. */
char *bpe_decode(const struct bpe *b, const int32_t *ids, size_t n, unsigned flags);

#endif
