/* bert_nli.c - a BERT model directory as a judge of premise and hypothesis: the row of the table in models.c. The network is bert.c's. */
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "models/bert.h"
#include "models/forecast.h"
#include "models/json.h"
#include "models/labels.h"
#include "models/models.h"
#include "models/wordpiece.h"

struct bert_model {
	struct model base;
	struct bert_config config;
	struct wordpiece *words;
	struct label_order order;
	struct bert_net *net;
};

static struct bert_model *bert_of(struct model *m)
{
	return (struct bert_model *)m;
}

/* ---- opening ---- */

static void describe(struct bert_model *b)
{
	struct model_info *info = &b->base.info;

	info->context = b->config.positions;
	info->vocabulary = b->config.vocabulary;
	info->layers[1] = b->config.layers;
	info->width[1] = b->config.hidden;
	label_order_describe(&b->order, info->notes, sizeof info->notes);
}

static int configure(struct model *m, const json_t *config, struct error *err)
{
	struct bert_model *b = bert_of(m);
	const char *chosen = json_string_value(json_find(config, "vramble_label_order"));

	if (bert_config_read(config, m->dir, &b->config, err) < 0)
		return -1;
	bert_config_adopt(&b->config, m->file);
	if (label_order_find(config, m->dir, b->config.labels, chosen, &b->order, err) < 0)
		return -1;
	b->words = wordpiece_load(m->dir, err);
	if (!b->words)
		return -1;
	if (wordpiece_size(b->words) > (size_t)b->config.vocabulary)
		return fail(err, E_MODEL, "%s: the tokenizer has %zu tokens, config.json's vocab_size is %d: they belong to different models", m->dir,
			    wordpiece_size(b->words), b->config.vocabulary);
	describe(b);
	return 0;
}

static int load(struct model *m, const struct model_control *control, struct error *err)
{
	struct bert_model *b = bert_of(m);
	struct nn_source source = model_source(m, control);
	struct bert_net *net = bert_net_create(&b->config, &source);
	int rc = nn_finish(&source, "BERT", err);

	nn_source_free(&source);
	if (rc < 0) {
		bert_net_destroy(net);
		return -1;
	}
	bert_net_destroy(b->net);
	b->net = net;
	return 0;
}

static void finish(struct model *m)
{
	bert_net_destroy(bert_of(m)->net);
	wordpiece_free(bert_of(m)->words);
}

/* ---- judging ---- */

/* One pair in tokens: [CLS] premise [SEP] hypothesis [SEP]. */
struct row {
	int32_t *ids, *types;
	int length;
	int index; /* among the caller's pairs */
};

/* Longest first: rows of a slice are alike, so little is padding, and a slice that does not fit into memory is met at once. */
static int compare_rows(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	return x->length != y->length ? y->length - x->length : x->index - y->index;
}

static void rows_free(struct row *rows, int n)
{
	for (int i = 0; i < n; i++) {
		free(rows[i].ids);
		free(rows[i].types);
	}
	free(rows);
}

static int row_encode(const struct bert_model *b, const struct text_pair *pair, struct row *row, struct error *err)
{
	const struct wordpiece_text text = {.first = pair->premise, .second = pair->hypothesis, .cut = WORDPIECE_ONLY_FIRST};
	size_t room = (size_t)b->config.positions;

	row->ids = xcalloc(room, sizeof *row->ids);
	row->types = xcalloc(room, sizeof *row->types);
	row->length = wordpiece_encode(b->words, &text, row->ids, row->types, (int)room, err);
	if (row->length < 0)
		return -1;
	row->ids = xrealloc(row->ids, (size_t)row->length, sizeof *row->ids);
	row->types = xrealloc(row->types, (size_t)row->length, sizeof *row->types);
	return 0;
}

static struct row *rows_encode(const struct bert_model *b, const struct text_pair *pairs, int n, struct error *err)
{
	struct row *rows = xcalloc((size_t)n, sizeof *rows);

	for (int i = 0; i < n; i++) {
		rows[i].index = i;
		if (row_encode(b, &pairs[i], &rows[i], err) < 0) {
			rows_free(rows, n);
			return NULL;
		}
	}
	qsort(rows, (size_t)n, sizeof *rows, compare_rows);
	return rows;
}

/* n rows, padded to the first's length -> logits [n,labels]; the mask is left out where nothing is padded */
static tt_tensor *slice_logits(const struct bert_model *b, tt_pool *p, const struct row *rows, int n)
{
	int64_t length = rows[0].length, count = n * length;
	int64_t *ids = xcalloc((size_t)count, sizeof *ids), *types = xcalloc((size_t)count, sizeof *types),
		*mask = xcalloc((size_t)count, sizeof *mask);
	const int64_t shape[2] = {n, length};
	int32_t pad = wordpiece_role(b->words, ROLE_PAD);
	tt_tensor *logits;

	for (int64_t i = 0; i < count; i++) {
		const struct row *row = &rows[i / length];
		bool inside = i % length < row->length;

		ids[i] = inside ? row->ids[i % length] : pad;
		types[i] = inside ? row->types[i % length] : 0;
		mask[i] = inside;
	}
	logits = bert_logits(b->net, p, tt_from_i64(p, ids, shape, 2), b->config.types > 1 ? tt_from_i64(p, types, shape, 2) : NULL,
			     rows[n - 1].length < length ? tt_from_i64(p, mask, shape, 2) : NULL);
	free(ids);
	free(types);
	free(mask);
	return logits;
}

static int judge_slice(struct bert_model *b, const struct row *rows, int n, struct verdict *out, struct error *err)
{
	tt_pool *p = b->base.work;
	tt_mark m = tt_here(p);
	size_t labels = (size_t)b->config.labels;
	float *logits = xcalloc((size_t)n * labels, sizeof *logits);
	int rc = tt_to_f32(p, slice_logits(b, p, rows, n), logits, (size_t)n * labels);

	tt_keep(p, m, NULL, 0);
	if (rc == 0)
		for (int i = 0; i < n; i++)
			label_verdict(&b->order, logits + (size_t)i * labels, &out[rows[i].index]);
	free(logits);
	return rc == 0 ? 0 : model_check(&b->base, "classify", err);
}

static int classify(struct model *m, const struct text_pair *pairs, int n, struct verdict *out, struct error *err)
{
	struct bert_model *b = bert_of(m);
	struct row *rows = rows_encode(b, pairs, n, err);
	int rc = rows ? 0 : -1;

	for (int done = 0, take; rc == 0 && done < n; done += take) {
		take = BERT_SLICE_TOKENS / rows[done].length;
		take = take < 1 ? 1 : take > n - done ? n - done : take;
		rc = judge_slice(b, rows + done, take, out, err);
	}
	if (rows)
		rows_free(rows, n);
	return rc;
}

static void forecast(const struct model *m, const struct forecast_request *request, struct forecast *out)
{
	const struct bert_model *b = (const struct bert_model *)m;
	struct forecast_request r = *request;
	struct nn_count count;
	struct nn_source source = forecast_count_begin(m, request, &count);

	bert_net_destroy(bert_net_create(&b->config, &source));
	forecast_count_end(&source, out);
	if (r.tokens <= 0 || r.tokens > b->config.positions)
		r.tokens = b->config.positions;
	forecast_bert(&b->config, &r, out);
}

const struct model_ops bert_ops = {
	.architecture = "bert",
	.kind = MODEL_NLI,
	.size = sizeof(struct bert_model),
	.configure = configure,
	.load = load,
	.finish = finish,
	.classify = classify,
	.forecast = forecast,
};
