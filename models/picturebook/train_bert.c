#include "models/picturebook/train.h"

#include <stdlib.h>
#include <string.h>

#include "models/bert.h"
#include "models/picturebook/nli.h"
#include "models/wordpiece.h"

enum { TOKENS_MAX = 64 };

static const char config[] = "{\n"
			     "  \"architectures\": [\"BertForSequenceClassification\"],\n"
			     "  \"model_type\": \"bert\",\n"
			     "  \"vocab_size\": %d,\n"
			     "  \"hidden_size\": 128,\n"
			     "  \"num_hidden_layers\": 4,\n"
			     "  \"num_attention_heads\": 4,\n"
			     "  \"intermediate_size\": 256,\n"
			     "  \"hidden_act\": \"gelu\",\n"
			     "  \"max_position_embeddings\": 64,\n"
			     "  \"type_vocab_size\": 2,\n"
			     "  \"layer_norm_eps\": 1e-12,\n"
			     "  \"pad_token_id\": 0,\n"
			     "  \"num_labels\": 3,\n"
			     "  \"id2label\": {\"0\": \"contradiction\", \"1\": \"entailment\", \"2\": \"neutral\"},\n"
			     "  \"label2id\": {\"contradiction\": 0, \"entailment\": 1, \"neutral\": 2}\n"
			     "}\n";

struct verifier {
	struct wordpiece *words;
	struct bert_net *net;
};

static int write_files(const char *dir, struct error *err)
{
	int vocabulary;
	if (train_write_wordpiece(dir, &vocabulary, err) < 0)
		return -1;
	char *text = xasprintf(config, vocabulary);
	int status = train_write_text(dir, "config.json", text, err);
	free(text);
	return status < 0 ? -1 : train_write_text(dir, "tokenizer_config.json", "{\"do_lower_case\": true, \"model_max_length\": 64}\n", err);
}

static void close_net(void *net)
{
	struct verifier *v = net;
	bert_net_destroy(v->net);
	wordpiece_free(v->words);
	free(v);
}

static void *open_net(const char *dir, struct nn_source *source, struct error *err)
{
	struct verifier *v = xcalloc(1, sizeof *v);
	struct bert_config parsed;
	json_t *json = train_read_json(dir, err);
	int status = json ? bert_config_read(json, dir, &parsed, err) : -1;
	json_decref(json);
	if (status == 0)
		v->words = wordpiece_load(dir, err);
	if (!v->words) {
		free(v);
		return NULL;
	}
	v->net = bert_net_create(&parsed, source);
	if (nn_finish(source, "BERT", err) < 0) {
		close_net(v);
		return NULL;
	}
	return v;
}

/* Returns how many tokens the row has that begins at `at`. */
static int put_pair(const struct verifier *v, const char *premise, const char *hypothesis, struct train_batch *b, size_t at)
{
	const struct wordpiece_text text = {.first = premise, .second = hypothesis, .cut = WORDPIECE_LONGEST_FIRST};
	int32_t ids[TOKENS_MAX], types[TOKENS_MAX];
	int n = wordpiece_encode(v->words, &text, ids, types, TOKENS_MAX, NULL);
	for (int i = 0; i < n; i++) {
		b->ids[at + (size_t)i] = ids[i];
		b->types[at + (size_t)i] = types[i];
		b->mask[at + (size_t)i] = 1;
	}
	return n;
}

static struct train_batch *draw(const void *net, const struct train_phase *phase, uint64_t seed)
{
	const struct verifier *v = net;
	struct train_batch *b = train_batch_create(phase->batch, 0, phase->batch, TOKENS_MAX);
	struct scene_split split = {.part = SCENE_TRAIN};
	memcpy(split.weight, phase->things, sizeof split.weight);
	for (int i = 0; i < b->rows; i++) {
		char premise[NLI_TEXT_MAX], hypothesis[NLI_TEXT_MAX];
		enum nli_label label;
		size_t at = (size_t)i * TOKENS_MAX;
		nli_pair(scene_next(&seed), &split, premise, hypothesis, &label);
		int n = put_pair(v, premise, hypothesis, b, at);
		b->target[i] = (int64_t)label;
		b->longest = n > b->longest ? n : b->longest;
	}
	return b;
}

static tt_tensor *columns(tt_pool *p, const int64_t *values, const struct train_batch *b)
{
	return tt_slice(p, tt_from_i64(p, values, TT_SHAPE(b->rows, b->length)), 1, 0, b->longest);
}

static tt_tensor *loss(void *net, tt_pool *p, const struct train_batch *b)
{
	struct verifier *v = net;
	tt_tensor *logits = bert_logits(v->net, p, columns(p, b->ids, b), columns(p, b->types, b), columns(p, b->mask, b));
	return tt_cross_entropy(p, logits, tt_from_i64(p, b->target, TT_SHAPE(b->rows)), -100, 0);
}

const struct train_task train_bert = {
	.name = "bert",
	.plan = {.rate = 1e-3, .weight_decay = 0.01, .average = 0.999, .warmup = 300, .phases = {{400000, 128, 0, {1, 1, 1}}}},
	.write_files = write_files,
	.open = open_net,
	.close = close_net,
	.draw = draw,
	.loss = loss,
};
