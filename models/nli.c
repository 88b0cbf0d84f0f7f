/* nli.c - see nli.h. */
#include "models/nli.h"

#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "models/json.h"

/* ---- opening ---- */

static void describe(struct nli_model *m)
{
	struct model_info *info = &m->base.info;

	info->context = m->longest;
	info->vocabulary = m->vocabulary;
	info->layers[1] = m->layers;
	info->width[1] = m->width;
	label_order_describe(&m->order, info->notes, sizeof info->notes);
}

/* What the published code reads and no network here has. */
static int refuse_others(const struct nli_model *m, const json_t *config, struct error *err)
{
	static const struct json_plain keys[] = {
		{"is_decoder", "false"},
		{"add_cross_attention", "false"},
		{"pruned_heads", "{}"},
		{"quantization_config", NULL},
		{"auto_map.AutoModelForSequenceClassification", NULL},
		{"auto_map.AutoModel", NULL},
	};
	char *file = xasprintf("%s/config.json", m->base.dir);
	struct json_reader r = {.file = file, .err = err};
	int rc = json_refuse_others(&r, config, keys, sizeof keys / sizeof keys[0]);

	free(file);
	return rc;
}

int nli_configure(struct nli_model *m, enum nli_tokens tokens, const json_t *config, struct error *err)
{
	const char *chosen = json_string_value(json_find(config, "vramble_label_order"));

	if (refuse_others(m, config, err) < 0)
		return -1;
	if (label_order_find(config, m->base.dir, m->labels, chosen, &m->order, err) < 0)
		return -1;
	if (nli_text_load(&m->text, tokens, m->base.dir, err) < 0)
		return -1;
	if (nli_text_size(&m->text) > (size_t)m->vocabulary)
		return fail(err, E_MODEL, "%s: the tokenizer has %zu tokens, config.json's vocab_size is %d: they belong to different models",
			    m->base.dir, nli_text_size(&m->text), m->vocabulary);
	if (m->text.longest > 0 && m->text.longest < m->longest)
		m->longest = m->text.longest;
	describe(m);
	return 0;
}

void nli_finish(struct model *m)
{
	nli_text_free(&((struct nli_model *)m)->text);
}

struct forecast_request nli_request(const struct nli_model *m, const struct forecast_request *request)
{
	struct forecast_request r = *request;

	if (r.tokens <= 0 || r.tokens > m->longest)
		r.tokens = m->longest;
	return r;
}

/* ---- judging ---- */

/* One pair in tokens. */
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

static int row_encode(const struct nli_model *m, const struct text_pair *pair, struct row *row, struct error *err)
{
	size_t room = (size_t)m->longest;

	row->ids = xcalloc(room, sizeof *row->ids);
	row->types = xcalloc(room, sizeof *row->types);
	row->length = nli_text_encode(&m->text, pair, row->ids, row->types, m->longest, err);
	if (row->length < 0)
		return -1;
	row->ids = xrealloc(row->ids, (size_t)row->length, sizeof *row->ids);
	row->types = xrealloc(row->types, (size_t)row->length, sizeof *row->types);
	return 0;
}

static struct row *rows_encode(const struct nli_model *m, const struct text_pair *pairs, int n, struct error *err)
{
	struct row *rows = xcalloc((size_t)n, sizeof *rows);

	for (int i = 0; i < n; i++) {
		rows[i].index = i;
		if (row_encode(m, &pairs[i], &rows[i], err) < 0) {
			rows_free(rows, n);
			return NULL;
		}
	}
	qsort(rows, (size_t)n, sizeof *rows, compare_rows);
	return rows;
}

/* n rows, padded to the first's length -> logits [n,labels]; the mask is left out where nothing is padded */
static tt_tensor *slice_logits(const struct nli_model *m, tt_pool *p, const struct row *rows, int n)
{
	int64_t length = rows[0].length, count = n * length;
	int64_t *ids = xcalloc((size_t)count, sizeof *ids), *types = xcalloc((size_t)count, sizeof *types),
		*mask = xcalloc((size_t)count, sizeof *mask);
	const int64_t shape[2] = {n, length};
	int32_t pad = m->text.pad;
	tt_tensor *logits;

	for (int64_t i = 0; i < count; i++) {
		const struct row *row = &rows[i / length];
		bool inside = i % length < row->length;

		ids[i] = inside ? row->ids[i % length] : pad;
		types[i] = inside ? row->types[i % length] : 0;
		mask[i] = inside;
	}
	logits = m->logits(m, p, tt_from_i64(p, ids, shape, 2), m->types > 1 ? tt_from_i64(p, types, shape, 2) : NULL,
			   rows[n - 1].length < length ? tt_from_i64(p, mask, shape, 2) : NULL);
	free(ids);
	free(types);
	free(mask);
	return logits;
}

static int judge_slice(struct nli_model *m, const struct row *rows, int n, struct verdict *out, struct error *err)
{
	tt_pool *p = m->base.work;
	tt_mark start = tt_here(p);
	size_t labels = (size_t)m->labels;
	float *logits = xcalloc((size_t)n * labels, sizeof *logits);
	int rc = tt_to_f32(p, slice_logits(m, p, rows, n), logits, (size_t)n * labels);

	tt_keep(p, start, NULL, 0);
	if (rc == 0)
		for (int i = 0; i < n; i++)
			label_verdict(&m->order, logits + (size_t)i * labels, &out[rows[i].index]);
	free(logits);
	return rc == 0 ? 0 : model_check(&m->base, "classify", err);
}

int nli_classify(struct model *model, const struct text_pair *pairs, int n, struct verdict *out, struct error *err)
{
	struct nli_model *m = (struct nli_model *)model;
	struct row *rows = rows_encode(m, pairs, n, err);
	int rc = rows ? 0 : -1;

	for (int done = 0, take; rc == 0 && done < n; done += take) {
		take = NLI_SLICE_TOKENS / rows[done].length;
		take = take < 1 ? 1 : take > n - done ? n - done : take;
		rc = judge_slice(m, rows + done, take, out, err);
	}
	if (rows)
		rows_free(rows, n);
	return rc;
}
