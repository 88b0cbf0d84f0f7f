/* nli_text.c - see nli_text.h. */
#include "models/nli_text.h"

#include <stdlib.h>
#include <string.h>

#include "models/bpe.h"
#include "models/wordpiece.h"

int nli_text_load(struct nli_text *text, enum nli_tokens kind, const char *dir, struct error *err)
{
	*text = (struct nli_text){.kind = kind};
	if (kind == NLI_WORDPIECE)
		text->words = wordpiece_load(dir, err);
	else
		text->bytes = bpe_load(&(struct bpe_source){.kind = BPE_BYTES, .dir = dir}, err);
	return text->words || text->bytes ? 0 : -1;
}

void nli_text_free(struct nli_text *text)
{
	wordpiece_free(text->words);
	bpe_free(text->bytes);
	*text = (struct nli_text){0};
}

size_t nli_text_size(const struct nli_text *text)
{
	return text->words ? wordpiece_size(text->words) : bpe_size(text->bytes);
}

int32_t nli_text_pad(const struct nli_text *text)
{
	return text->words ? wordpiece_role(text->words, ROLE_PAD) : bpe_role(text->bytes, ROLE_PAD);
}

int32_t nli_text_end(const struct nli_text *text)
{
	return text->words ? wordpiece_role(text->words, ROLE_SEP) : bpe_role(text->bytes, ROLE_EOS);
}

static int put(int32_t *ids, int at, const struct ids *from)
{
	for (size_t i = 0; i < from->n; i++)
		ids[at++] = from->id[i];
	return at;
}

static int put_pair(const struct nli_text *text, struct ids *first, const struct ids *second, int32_t *ids, int max, struct error *err)
{
	size_t room = max > 4 ? (size_t)max - 4 : 0;
	int32_t end = nli_text_end(text);
	int n = 0;

	if (second->n > room)
		return fail(err, E_LIMIT, "the hypothesis alone has %zu tokens; this model takes %zu", second->n, room);
	if (first->n > room - second->n)
		first->n = room - second->n;
	ids[n++] = bpe_role(text->bytes, ROLE_BOS);
	n = put(ids, n, first);
	ids[n++] = end;
	ids[n++] = end;
	n = put(ids, n, second);
	ids[n++] = end;
	return n;
}

static int encode_bytes(const struct nli_text *text, const struct text_pair *pair, int32_t *ids, int32_t *types, int max, struct error *err)
{
	struct ids first = {0}, second = {0};
	int n = -1;

	if (bpe_pieces(text->bytes, pair->premise, strlen(pair->premise), 0, &first, err) == 0 &&
	    bpe_pieces(text->bytes, pair->hypothesis, strlen(pair->hypothesis), 0, &second, err) == 0)
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
	return encode_bytes(text, pair, ids, types, max, err);
}
