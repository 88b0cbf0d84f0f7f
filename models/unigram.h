/* unigram.h - SentencePiece tokenizers (Kudo and Richardson 2018), as DeBERTa-v3 and SigLIP use them, through the sentencepiece library.
 *
 * That library carries a protobuf of its own under the same names as libtorch's, so it lives in a shared object of ours beside libvramble-torch.so, which is
 * opened at the first use with its own symbols first (unigram_spm.cpp). Where it was not built, loading a tokenizer fails and says what to install.
 * Loading and freeing: one thread. A loaded tokenizer never changes: any thread may encode.
 *
 *	struct unigram *u = unigram_load(dir, err);
 *	struct ids ids = {0};
 *	if (unigram_pieces(u, text, strlen(text), &ids, err) < 0)
 *		return -1;
 *	free(ids.id);
 *	unigram_free(u);
 */
#ifndef MODELS_UNIGRAM_H
#define MODELS_UNIGRAM_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "core/error.h"
#include "models/vocab.h"

enum { UNIGRAM_TEXT_MAX = 16 * 1024 }; /* bytes of one text; longer ones are refused */

struct unigram;

/* dir holds spm.model, spiece.model or sentencepiece.bpe.model, else a tokenizer.json of type Unigram. E_IO, E_LIMIT; E_FORMAT for a damaged file; E_MODEL
 * when the library is not there. */
struct unigram *unigram_load(const char *dir, struct error *err);
void unigram_free(struct unigram *u); /* NULL is fine */

size_t unigram_size(const struct unigram *u); /* ids are below it */
/* The id of a piece ("[SEP]", "\u2581dog"), or -1. */
int32_t unigram_find(const struct unigram *u, const char *piece);

/* Appends the pieces of a text (the caller frees out->id), normalised and with the blank before the first word that the model's file asks for. Control pieces
 * such as "[SEP]" are never made of text. E_LIMIT when it is too long. */
int unigram_pieces(const struct unigram *u, const char *text, size_t length, struct ids *out, struct error *err);

/* ---- the model's file (unigram_file.c); for tests too */

/* What the library would read beyond bounds for: 0 when a model file's protobuf and its table of normal forms hold together, else E_FORMAT. */
int unigram_file_check(const char *bytes, size_t size, const char *file, struct error *err);
/* The model file that a parsed tokenizer.json stands for, malloc'd. NULL with E_FORMAT. */
char *unigram_file_make(const json_t *tokenizer, const char *file, size_t *size, struct error *err);

#endif
