/* judge.h - what the tests of judges of premise and hypothesis share: a small model directory made anew, questions to it, its forecasts. Header only. */
#ifndef TESTS_TORCH_JUDGE_H
#define TESTS_TORCH_JUDGE_H

#include "core/forecast.h"
#include "models/nli.h"
#include "tests/torch/row.h"
#include "tests/torch/small_ofa.h"

enum { JUDGE_OWNER = 2 };

static const struct model_library *judge_library = &vramble_models;

static inline void judge_config(const char *dir, const char *config)
{
	data_put(dir, "config.json", config, strlen(config));
}

/* dir gets config.json and random weights of the net that create makes of it. */
static inline void judge_put(const char *dir, const char *config, void (*create)(const json_t *config, struct nn_source *source))
{
	struct nn_source source = {.pool = tt_pool_create(TT_TRAIN), .compute = TT_F32, .device = TT_CPU, .std = 0.3};
	json_t *json = json_loads(config, 0, NULL);
	struct error err = {0};

	assert_non_null(json);
	tt_seed(11);
	create(json, &source);
	assert_int_equal(nn_finish(&source, "test", &err), 0);
	small_ofa_save(dir, &source, true, NULL, NULL);
	nn_source_free(&source);
	tt_pool_destroy(source.pool);
	json_decref(json);
	judge_config(dir, config);
}

/* A byte-level vocabulary: <s> 0, <pad> 1, </s> 2, <unk> 3, a..z from 4, a blank 30, "do" 31, "dog" 32, " dog" 33. */
enum { JUDGE_BOS, JUDGE_PAD, JUDGE_EOS, JUDGE_UNK, JUDGE_A, JUDGE_BLANK = 30, JUDGE_DOG = 32, JUDGE_A_DOG, JUDGE_WORDS };

static inline void judge_put_bytes(const char *dir)
{
	static const char merges[] = "#version: 0.2\nd o\ndo g\n\xc4\xa0 dog\n";
	struct buffer vocab = {0};

	buffer_puts(&vocab, "{\"<s>\":0,\"<pad>\":1,\"</s>\":2,\"<unk>\":3");
	for (int i = 0; i < 26; i++)
		buffer_printf(&vocab, ",\"%c\":%d", 'a' + i, JUDGE_A + i);
	buffer_puts(&vocab, ",\"\\u0120\":30,\"do\":31,\"dog\":32,\"\\u0120dog\":33}");
	data_put(dir, "vocab.json", vocab.text, vocab.length);
	data_put(dir, "merges.txt", merges, sizeof merges - 1);
	buffer_free(&vocab);
}

static inline struct model *judge_open(const char *dir)
{
	return row_open(dir, PRECISION_FP32, JUDGE_OWNER);
}

static inline void judge_refuses(const char *dir, const char *says)
{
	row_refuses(dir, JUDGE_OWNER, E_MODEL, says);
}

static inline struct verdict judge_pair(struct model *m, const char *premise, const char *hypothesis)
{
	const struct text_pair pair = {premise, hypothesis};
	struct verdict v = {-1, -1, -1, 0};
	struct error err = {0};

	if (judge_library->classify(m, &pair, 1, &v, NULL, &err) < 0)
		fail_msg("%s", err.text);
	return v;
}

static inline void judge_same(struct verdict a, struct verdict b)
{
	const float x[] = {a.entailment, a.neutral, a.contradiction}, y[] = {b.entailment, b.neutral, b.contradiction};

	near_compare("verdict", x, y, 3, 1e-5);
}

static inline bool judge_differ(struct verdict a, struct verdict b)
{
	return fabsf(a.entailment - b.entailment) > 1e-4f;
}

/* The pair's verdict is what the network says about these ids, spelled out by the caller. */
static inline void judge_reads(struct model *m, const char *premise, const char *hypothesis, const int64_t *ids, int64_t n)
{
	const struct nli_model *judge = (const struct nli_model *)m;
	struct verdict got = judge_pair(m, premise, hypothesis), wanted;
	tt_pool *p = tt_pool_create(TT_INFER);
	float values[3];

	if (tt_to_f32(p, judge->logits(judge, p, tt_from_i64(p, ids, TT_SHAPE(1, n)), NULL, NULL), values, 3) < 0)
		fail_msg("%s", tt_message(p));
	label_verdict(&judge->order, values, &wanted);
	judge_same(got, wanted);
	tt_pool_destroy(p);
}

/* Pairs of several lengths together as each alone. */
static inline void judge_batches(struct model *m)
{
	static const struct text_pair pairs[] = {
		{"a dog sits on a mat", "a cat"}, {"a dog", "a red cat sits"}, {"", "no"}, {"a dog sits on a mat", "a dog"}, {"red", "red"}};
	struct verdict v[COUNT(pairs)];
	struct error err = {0};

	if (judge_library->classify(m, pairs, COUNT(pairs), v, NULL, &err) < 0)
		fail_msg("%s", err.text);
	for (size_t i = 0; i < COUNT(pairs); i++) {
		judge_same(v[i], judge_pair(m, pairs[i].premise, pairs[i].hypothesis));
		assert_true(fabsf(v[i].entailment + v[i].neutral + v[i].contradiction - 1) < 1e-5f);
	}
	assert_true(judge_differ(v[0], v[3]) && judge_differ(v[1], v[2]));
}

/* ---- forecasts */

static inline int64_t judge_used(void)
{
	struct memory_reading m;

	judge_library->memory(DEVICE_CPU, &m);
	return m.used;
}

/* n pairs "dog dog ...", "dog"; frame: tokens of a pair beside those of the premise */
static inline void judge_run(struct model *m, int n, int tokens, int frame)
{
	struct text_pair *pairs = xcalloc((size_t)n, sizeof *pairs);
	struct verdict *out = xcalloc((size_t)n, sizeof *out);
	struct buffer text = {0};
	struct error err = {0};

	for (int i = frame; i < tokens; i++)
		buffer_puts(&text, i > frame ? " dog" : "dog");
	for (int i = 0; i < n; i++)
		pairs[i] = (struct text_pair){text.text, "dog"};
	if (judge_library->classify(m, pairs, n, out, NULL, &err) < 0)
		fail_msg("%s", err.text);
	buffer_free(&text);
	free(pairs);
	free(out);
}

static inline void judge_forecast_run(struct model *m, int n, int tokens, int frame)
{
	const struct forecast_request request = {judge_library->precision(m), DEVICE_CPU, n, 0, 0, tokens};
	struct memory_reading after;
	struct forecast f;
	int64_t held = judge_used();
	double ratio;

	judge_library->forecast(m, &request, &f);
	judge_library->memory_reset_peak(DEVICE_CPU, PEAK_BATCH);
	judge_run(m, n, tokens, frame);
	judge_library->memory(DEVICE_CPU, &after);
	ratio = (double)forecast_run(&f) / (double)(after.peak[PEAK_BATCH] - held);
	print_message("precision %d: %d pairs of %d tokens: predicted %lld, measured %lld, %.3f\n", (int)request.precision, n, tokens,
		      (long long)forecast_run(&f), (long long)(after.peak[PEAK_BATCH] - held), ratio);
	assert_true(ratio > 0.75 && ratio < 1.25);
}

/* Weights to the byte, runs closely, in every precision that this CPU has. */
static inline void judge_forecasts(const char *dir, int frame)
{
	static const enum precision precisions[] = {PRECISION_FP32, PRECISION_BF16, PRECISION_AUTOCAST};

	for (size_t i = 0; i < COUNT(precisions); i++) {
		int64_t before = judge_used();
		struct error err = {0};
		struct model *m = judge_library->open(dir, DEVICE_CPU, precisions[i], JUDGE_OWNER, NULL, &err);
		const struct forecast_request request = {precisions[i], DEVICE_CPU, 1, 0, 0, 0};
		struct forecast f;

		assert_non_null(m);
		if (judge_library->precision(m) == precisions[i]) {
			judge_library->forecast(m, &request, &f);
			assert_int_equal(f.weights, judge_used() - before);
			judge_forecast_run(m, 1, judge_library->info(m)->context, frame);
			judge_forecast_run(m, 7, 14, frame);
			judge_forecast_run(m, 12, judge_library->info(m)->context, frame);
		}
		judge_library->close(m);
		assert_int_equal(judge_used(), before);
	}
}

#endif
