/* nli_text.c - see nli_text.h. */
#include "models/nli_text.h"

#include <stdlib.h>
#include <string.h>

#include "models/bpe.h"
#include "models/unigram.h"
#include "models/wordpiece.h"

static int load_unigram(struct nli_text *text, const char *dir, struct error *err)
{
	static const char *const names[] = {"[CLS]", "[SEP]", "[PAD]"};
	int32_t *const ids[] = {&text->start, &text->end, &text->pad};

	text->unigram = unigram_load(dir, err);
	for (int i = 0; text->unigram && i < 3; i++) {
		*ids[i] = unigram_find(text->unigram, names[i]);
		if (*ids[i] < 0) {
			nli_text_free(text);
			return fail(err, E_FORMAT, "%s: the tokenizer has no \"%s\"", dir, names[i]);
		}
	}
	return text->unigram ? 0 : -1;
}

static int load_bytes(struct nli_text *text, const char *dir, struct error *err)
{
	text->bytes = bpe_load(&(struct bpe_source){.kind = BPE_BYTES, .dir = dir}, err);
	if (!text->bytes)
		return -1;
	text->start = bpe_role(text->bytes, ROLE_BOS);
	text->end = bpe_role(text->bytes, ROLE_EOS);
	text->pad = bpe_role(text->bytes, ROLE_PAD);
	return 0;
}

static int load_words(struct nli_text *text, const char *dir, struct error *err)
{
	text->words = wordpiece_load(dir, err);
	if (!text->words)
		return -1;
	text->start = wordpiece_role(text->words, ROLE_CLS);
	text->end = wordpiece_role(text->words, ROLE_SEP);
	text->pad = wordpiece_role(text->words, ROLE_PAD);
	return 0;
}

int nli_text_load(struct nli_text *text, enum nli_tokens kind, const char *dir, struct error *err)
{
	*text = (struct nli_text){.kind = kind};
	switch (kind) {
	case NLI_WORDPIECE:
		return load_words(text, dir, err);
	case NLI_UNIGRAM:
		return load_unigram(text, dir, err);
	default:
		return load_bytes(text, dir, err);
	}
}

void nli_text_free(struct nli_text *text)
{
	wordpiece_free(text->words);
	bpe_free(text->bytes);
	unigram_free(text->unigram);
	*text = (struct nli_text){0};
}

size_t nli_text_size(const struct nli_text *text)
{
	if (text->unigram)
		return unigram_size(text->unigram);
	return text->words ? wordpiece_size(text->words) : bpe_size(text->bytes);
}

static int put(int32_t *ids, int at, const struct ids *from)
{
	for (size_t i = 0; i < from->n; i++)
		ids[at++] = from->id[i];
	return at;
}

static int put_pair(const struct nli_text *text, struct ids *first, const struct ids *second, int32_t *ids, int max, struct error *err)
{
	int frame = text->kind == NLI_BYTES ? 4 : 3;
	size_t room = max > frame ? (size_t)(max - frame) : 0;
	int n = 0;

	if (second->n > room)
		return fail(err, E_LIMIT, "the hypothesis alone has %zu tokens; this model takes %zu", second->n, room);
	if (first->n > room - second->n)
		first->n = room - second->n;
	ids[n++] = text->start;
	n = put(ids, n, first);
	ids[n++] = text->end;
	if (text->kind == NLI_BYTES)
		ids[n++] = text->end;
	n = put(ids, n, second);
	ids[n++] = text->end;
	return n;
}

static int pieces(const struct nli_text *text, const char *of, struct ids *out, struct error *err)
{
	return text->unigram ? unigram_pieces(text->unigram, of, strlen(of), out, err) : bpe_pieces(text->bytes, of, strlen(of), 0, out, err);
}

static int encode_pieces(const struct nli_text *text, const struct text_pair *pair, int32_t *ids, int32_t *types, int max, struct error *err)
{
	struct ids first = {0}, second = {0};
	int n = -1;

	if (pieces(text, pair->premise, &first, err) == 0 && pieces(text, pair->hypothesis, &second, err) == 0)
		n = put_pair(text, &first, &second, ids, max, err);
	for (int i = 0; i < n; i++)
		types[i] = 0;
	free(first.id);
	free(second.id);
	return n;
}

int nli_text_encode(const struct nli_text *text, const struct text_pair *pair, int32_t *ids, int32_t *types, int max, struct error *err)
{
	const struct wordpiece_text words = {.first = pair->premise, .second = pair->hypothesis, .cut = WORDPIECE_ONLY_FIRST};

	if (text->kind == NLI_WORDPIECE)
		return wordpiece_encode(text->words, &words, ids, types, max, err);
	return encode_pieces(text, pair, ids, types, max, err);
}
