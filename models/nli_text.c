/* nli_text.c - see nli_text.h. */
#include "models/nli_text.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/mem.h"
#include "models/bpe.h"
#include "models/json.h"
#include "models/tokenizer_json.h"
#include "models/unigram.h"
#include "models/wordpiece.h"

enum { LONGEST_SAID = 1000000 }; /* more means that nothing was said */

/* ---- tokenizer_config.json ---- */

/* The classes whose ids the tokenizers here give. */
static const char *const classes[][9] = {
	[NLI_WORDPIECE] = {"BertTokenizer", "BertTokenizerFast", "DistilBertTokenizer", "DistilBertTokenizerFast", "ElectraTokenizer",
			   "ElectraTokenizerFast", "PreTrainedTokenizerFast", "TokenizersBackend"},
	[NLI_UNIGRAM] = {"DebertaV2Tokenizer", "DebertaV2TokenizerFast", "PreTrainedTokenizerFast", "TokenizersBackend"},
	[NLI_BYTES] = {"RobertaTokenizer", "RobertaTokenizerFast", "BartTokenizer", "BartTokenizerFast", "LongformerTokenizer",
		       "LongformerTokenizerFast", "PreTrainedTokenizerFast", "TokenizersBackend"},
};

static int check_class(const struct nli_text *text, const char *class, const char *file, struct error *err)
{
	struct buffer known = {0};

	for (size_t i = 0; classes[text->kind][i]; i++) {
		if (strcmp(classes[text->kind][i], class) == 0) {
			buffer_free(&known);
			return 0;
		}
		buffer_printf(&known, "%s%s", i > 0 ? ", " : "", classes[text->kind][i]);
	}
	fail(err, E_MODEL, "%s: \"tokenizer_class\" is \"%s\"; this model's text is read as by one of: %s", file, class, known.text);
	buffer_free(&known);
	return -1;
}

/* What each kind would have to do otherwise. */
static int refuse_others(const struct nli_text *text, struct json_reader *r, const json_t *root)
{
	static const struct json_plain all[] = {{"truncation_side", "\"right\""}};
	static const struct json_plain unigram[] = {{"do_lower_case", "false"}, {"split_by_punct", "false"}, {"sp_model_kwargs", "{}"}};

	if (json_refuse_others(r, root, all, sizeof all / sizeof all[0]) < 0)
		return -1;
	return text->kind == NLI_UNIGRAM ? json_refuse_others(r, root, unigram, sizeof unigram / sizeof unigram[0]) : 0;
}

static int read_keys(struct nli_text *text, struct json_reader *r, const json_t *root)
{
	const char *class = json_text(r, root, "tokenizer_class", "");
	double most = json_number(r, root, "model_max_length", json_number(r, root, "max_len", 0));

	if (*class && check_class(text, class, r->file, r->err) < 0)
		return -1;
	if (most >= 1 && most <= LONGEST_SAID)
		text->longest = (int)most;
	text->whole = strcmp(class, "PreTrainedTokenizerFast") == 0 || strcmp(class, "TokenizersBackend") == 0;
	text->blank_first = json_flag(r, root, "add_prefix_space", false);
	return r->failed ? -1 : refuse_others(text, r, root);
}

static int read_config(struct nli_text *text, const char *dir, struct error *err)
{
	char *path = xasprintf("%s/tokenizer_config.json", dir);
	struct json_reader r = {.file = path, .err = err};
	bool there = access(path, F_OK) == 0;
	json_t *root = there ? json_read(path, JSON_LIMIT, err) : NULL;
	int rc = there && (!root || read_keys(text, &r, root) < 0) ? -1 : 0;

	json_decref(root);
	free(path);
	return rc;
}

/* ---- the tokenizers ---- */

/* A folder without the library's own file has its pieces from tokenizer.json, whose other steps are looked at here. */
static int check_steps(const char *dir, struct error *err)
{
	char *path = xasprintf("%s/tokenizer.json", dir), *model = xasprintf("%s/spm.model", dir);
	json_t *root = NULL;
	int rc = 0;

	if (access(model, F_OK) != 0 && access(path, F_OK) == 0) {
		root = json_read(path, JSON_LIMIT, err);
		rc = !root || tokenizer_json_unigram(root, path, err) < 0 || tokenizer_json_frame(root, TOKENIZER_ONE_END, path, err) < 0 ? -1 : 0;
	}
	json_decref(root);
	free(model);
	free(path);
	return rc;
}

static int load_unigram(struct nli_text *text, const char *dir, struct error *err)
{
	static const char *const names[] = {"[CLS]", "[SEP]", "[PAD]"};
	int32_t *const ids[] = {&text->start, &text->end, &text->pad};

	if (check_steps(dir, err) < 0)
		return -1;
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
	if (text->whole)
		text->blank_first = bpe_blank_first(text->bytes);
	text->start = bpe_role(text->bytes, ROLE_CLS);
	text->end = bpe_role(text->bytes, ROLE_SEP);
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
	if (read_config(text, dir, err) < 0)
		return -1;
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

	if (max < frame)
		return fail(err, E_LIMIT, "%d tokens hold no pair of texts", max);
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
	char *moved;
	int rc;

	if (text->unigram)
		return unigram_pieces(text->unigram, of, strlen(of), out, err);
	if (!text->blank_first || *of == ' ')
		return bpe_pieces(text->bytes, of, strlen(of), 0, out, err);
	moved = xasprintf(" %s", of);
	rc = bpe_pieces(text->bytes, moved, strlen(moved), 0, out, err);
	free(moved);
	return rc;
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
