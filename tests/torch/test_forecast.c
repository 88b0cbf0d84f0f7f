/* test_forecast.c - what is forecast against what is measured, on small networks of the three architectures: weights to the byte, runs closely, over
 * precisions, batches, image sizes, beams and lengths. */
#include "core/forecast.h"

#include <string.h>

#include "models/bert.h"
#include "models/clip.h"
#include "models/models.h"
#include "models/nli.h"
#include "models/tally.h"
#include "tests/torch/row.h"
#include "tests/torch/small_ofa.h"

enum { OWNER = 2, CLIP_SIZE = 96, POSITIONS = 64, WORDS = 200, MOST = 12 };

static const struct model_library *lib = &vramble_models;
static char *folder[MODEL_KINDS];

/* ---- the three models */

static const char clip_text[] = "{\"model_type\":\"clip\",\"projection_dim\":40,"
				"\"text_config\":{\"hidden_size\":48,\"intermediate_size\":96,\"num_hidden_layers\":2,\"num_attention_heads\":4,"
				"\"vocab_size\":64,\"max_position_embeddings\":64,\"eos_token_id\":55},"
				"\"vision_config\":{\"hidden_size\":80,\"intermediate_size\":300,\"num_hidden_layers\":3,\"num_attention_heads\":5,"
				"\"image_size\":96,\"patch_size\":8,\"hidden_act\":\"quick_gelu\"}}";

static const char bert_text[] = "{\"model_type\":\"bert\",\"vocab_size\":200,\"hidden_size\":72,\"num_hidden_layers\":2,\"num_attention_heads\":3,"
				"\"intermediate_size\":250,\"hidden_act\":\"gelu\",\"max_position_embeddings\":64,"
				"\"id2label\":{\"0\":\"contradiction\",\"1\":\"entailment\",\"2\":\"neutral\"}}";

static struct nn_source random_source(void)
{
	tt_seed(5);
	return (struct nn_source){.pool = tt_pool_create(TT_TRAIN), .compute = TT_F32, .device = TT_CPU, .std = 0.2};
}

static char *save(struct nn_source *source, const char *config)
{
	struct error err = {0};
	char *dir = data_dir();

	assert_int_equal(nn_finish(source, "test", &err), 0);
	small_ofa_save(dir, source, false, NULL, NULL);
	nn_source_free(source);
	tt_pool_destroy(source->pool);
	data_put(dir, "config.json", config, strlen(config));
	return dir;
}

static char *make_clip(void)
{
	struct nn_source source = random_source();
	json_t *json = json_loads(clip_text, 0, NULL);
	struct buffer vocab = {0};
	struct clip_config config;
	struct error err = {0};
	char *dir;

	assert_int_equal(clip_config_read(json, "test", &config, &err), 0);
	clip_net_destroy(clip_net_create(&config, &source));
	dir = save(&source, clip_text);
	for (int i = 0; i < 26; i++)
		buffer_printf(&vocab, "%c\"%c\":%d,\"%c</w>\":%d", i ? ',' : '{', 'a' + i, i, 'a' + i, 26 + i);
	buffer_puts(&vocab, ",\"<|startoftext|>\":54,\"<|endoftext|>\":55}");
	data_put(dir, "vocab.json", vocab.text, vocab.length);
	data_put(dir, "merges.txt", "#version: 0.2\n", 14);
	buffer_free(&vocab);
	json_decref(json);
	return dir;
}

static char *make_bert(void)
{
	struct nn_source source = random_source();
	json_t *json = json_loads(bert_text, 0, NULL);
	struct buffer words = {0};
	struct bert_config config;
	struct error err = {0};
	char *dir;

	assert_int_equal(bert_config_read(json, "test", &config, &err), 0);
	bert_net_destroy(bert_net_create(&config, &source));
	dir = save(&source, bert_text);
	buffer_puts(&words, "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nword\n");
	for (int i = 6; i < WORDS; i++)
		buffer_printf(&words, "other%d\n", i);
	data_put(dir, "vocab.txt", words.text, words.length);
	buffer_free(&words);
	json_decref(json);
	return dir;
}

static int setup(void **state)
{
	folder[MODEL_SCORES] = make_clip();
	folder[MODEL_CAPTION] = small_ofa_dir();
	folder[MODEL_NLI] = make_bert();
	return 0;
}

static int teardown(void **state)
{
	for (int k = 0; k < MODEL_KINDS; k++)
		data_remove_dir(folder[k]);
	return 0;
}

static struct memory_reading memory(void)
{
	struct memory_reading m;

	lib->memory(DEVICE_CPU, &m);
	return m;
}

/* NULL where this CPU does not run that precision. */
static struct model *open_model(int kind, enum precision precision)
{
	return row_open_in(folder[kind], precision, OWNER);
}

static struct forecast forecast_of(const struct model *m, int batch, int image_size, int beams, int tokens)
{
	const struct forecast_request request = {lib->precision(m), DEVICE_CPU, batch, image_size, beams, tokens};
	struct forecast f;

	lib->forecast(m, &request, &f);
	return f;
}

/* ---- weights */

static const enum precision precisions[] = {PRECISION_FP32, PRECISION_BF16, PRECISION_AUTOCAST};

static void test_weights_to_the_byte(void **state)
{
	int seen = 0;

	for (int k = 0; k < MODEL_KINDS; k++) {
		for (size_t i = 0; i < COUNT(precisions); i++) {
			int64_t before = memory().used;
			struct model *m = open_model(k, precisions[i]);
			struct forecast f;

			if (!m)
				continue;
			f = forecast_of(m, 1, 0, 0, 0);
			print_message("model %d, precision %d: %lld bytes\n", k, (int)precisions[i], (long long)f.weights);
			assert_int_equal(f.weights, memory().used - before);
			assert_int_equal(f.weights, memory().weights[OWNER]);
			lib->close(m);
			assert_int_equal(memory().used, before);
			seen++;
		}
	}
	assert_true(seen >= MODEL_KINDS);
}

/* On a CPU fp32 weights are used where the file is mapped; what is laid out anew or folded is not. */
static void test_mapped_weights(void **state)
{
	for (int k = 0; k < MODEL_KINDS; k++) {
		struct model *m = open_model(k, PRECISION_FP32);
		struct forecast f = forecast_of(m, 1, 0, 0, 0);

		assert_true(f.mapped > 0 && f.mapped <= lib->info(m)->weight_bytes);
		if (k != MODEL_CAPTION)
			assert_int_equal(f.weights, 0);
		if (k != MODEL_CAPTION)
			assert_int_equal(f.mapped, lib->info(m)->weight_bytes);
		lib->close(m);
	}
}

/* Matrices laid out anew for few rows are padded; sizes around the blocks they are padded to. */
static void test_packed_weights(void **state)
{
	static const int64_t sizes[][2] = {{160, 160}, {160, 72}, {40, 160}, {128, 160}, {96, 33}, {1056, 64}, {56, 17}, {192, 130}};
	tt_pool *p = tt_pool_create(TT_INFER);

	for (size_t i = 0; i < 2 * COUNT(sizes); i++) {
		enum tt_dtype dtype = i % 2 ? TT_BF16 : TT_F32;
		int64_t out = sizes[i / 2][0], in = sizes[i / 2][1], before, packed = tally_packed(DEVICE_CPU, dtype, out, in);
		tt_tensor *w = tt_full(p, 1, dtype, TT_CPU, TT_SHAPE(out, in));

		before = memory().used;
		assert_non_null(tt_pack_linear(p, w));
		print_message("%lld x %lld, dtype %d: %lld bytes\n", (long long)out, (long long)in, (int)dtype, (long long)packed);
		assert_int_equal(memory().used - before, packed);
		tt_clear(p);
	}
	tt_pool_destroy(p);
}

/* Another precision, and another device, are forecast without a change of the model. */
static void test_other_precisions(void **state)
{
	struct model *m = open_model(MODEL_SCORES, PRECISION_FP32);
	struct forecast_request request = {PRECISION_FP16, 0, 4, 0, 0, 0};
	int64_t before = memory().used, parameters = lib->info(m)->parameters;
	struct forecast half, full;

	lib->forecast(m, &request, &half);
	request.precision = PRECISION_FP32;
	lib->forecast(m, &request, &full);
	assert_int_equal(memory().used, before);
	assert_int_equal(half.mapped, 0); /* a device has its own copy of everything */
	assert_int_equal(full.mapped, 0);
	assert_true(half.weights >= 2 * parameters && full.weights >= 4 * parameters);
	assert_true(full.weights > half.weights && full.activations > half.activations);
	lib->close(m);
}

/* ---- runs: predicted and measured, beside what is held without one */

static int64_t begin_run(void)
{
	int64_t held = memory().used;

	lib->memory_reset_peak(DEVICE_CPU, PEAK_BATCH);
	return held;
}

static void see_pictures(struct model *m, int batch, int size, int beams, int tokens)
{
	float *values = xcalloc((size_t)(3 * size * size), sizeof *values), *out = xcalloc((size_t)batch * 64, sizeof *out);
	struct pixels one = {values, 3, size, size};
	const struct pixels *list[MOST];
	const struct caption_options options = {beams, tokens, tokens, 0, -1, NULL, NULL};
	struct caption captions[MOST];
	struct error err = {0};
	int rc;

	near_fill(values, (size_t)(3 * size * size), 1, 3);
	for (int i = 0; i < batch; i++)
		list[i] = &one;
	if (lib->info(m)->kind == MODEL_SCORES)
		rc = lib->embed_images(m, list, batch, out, NULL, &err);
	else
		rc = lib->caption(m, list, batch, &options, captions, NULL, &err);
	if (rc < 0)
		fail_msg("%s", err.text);
	free(values);
	free(out);
}

/* Pairs of so many tokens, with [CLS] and two [SEP]. */
static void judge(struct model *m, int batch, int tokens)
{
	struct text_pair pairs[MOST];
	struct verdict out[MOST];
	struct buffer text = {0};
	struct error err = {0};

	for (int i = 0; i < tokens - 4; i++)
		buffer_puts(&text, "word ");
	for (int i = 0; i < batch; i++)
		pairs[i] = (struct text_pair){text.text, "word"};
	if (lib->classify(m, pairs, batch, out, NULL, &err) < 0)
		fail_msg("%s", err.text);
	buffer_free(&text);
}

struct run {
	int batch, size, beams, tokens;
};

static void compare_run(struct model *m, const struct run *r)
{
	struct forecast f = forecast_of(m, r->batch, r->size, r->beams, r->tokens);
	int64_t held = begin_run(), measured, predicted = forecast_run(&f);
	double ratio;

	if (lib->info(m)->kind == MODEL_NLI)
		judge(m, r->batch, r->tokens);
	else
		see_pictures(m, r->batch, r->size ? r->size : lib->info(m)->image_size, r->beams, r->tokens);
	measured = memory().peak[PEAK_BATCH] - held;
	ratio = (double)predicted / (double)measured;
	print_message("%s %d: batch %d, %d pixels, %d beams, %d tokens: predicted %lld, measured %lld, %.3f\n", lib->info(m)->architecture,
		      (int)lib->precision(m), r->batch, r->size, r->beams, r->tokens, (long long)predicted, (long long)measured, ratio);
	assert_true(f.activations > 0 && f.together <= f.activations + f.kv && f.together >= f.activations && f.together >= f.kv);
	assert_true(r->beams ? f.kv > 0 : f.kv == 0);
	assert_true(ratio > 0.75 && ratio < 1.25);
}

static void compare_runs(int kind, const struct run *runs, size_t n)
{
	for (size_t p = 0; p < COUNT(precisions); p++) {
		struct model *m = open_model(kind, precisions[p]);

		for (size_t i = 0; m && i < n; i++)
			compare_run(m, &runs[i]);
		lib->close(m);
	}
}

static void test_clip_runs(void **state)
{
	static const struct run runs[] = {{1, 0, 0, 0}, {2, 0, 0, 0}, {5, 0, 0, 0}, {12, 0, 0, 0}};

	compare_runs(MODEL_SCORES, runs, COUNT(runs));
}

/* Many long labels hold more than few pictures: with a length of texts the larger of both is forecast. */
static void test_clip_texts(void **state)
{
	enum { TEXTS = 100, LONGEST = 64 };
	const char *texts[TEXTS];
	struct buffer text = {0};
	float *out = xcalloc(TEXTS * 64, sizeof *out);
	struct error err = {0};

	for (int i = 0; i < LONGEST; i++)
		buffer_puts(&text, "a ");
	for (int i = 0; i < TEXTS; i++)
		texts[i] = text.text;
	for (size_t i = 0; i < COUNT(precisions); i++) {
		struct model *m = open_model(MODEL_SCORES, precisions[i]);
		struct forecast pictures, both;
		int64_t held, measured;
		double ratio;

		if (!m)
			continue;
		pictures = forecast_of(m, 1, 0, 0, 0);
		both = forecast_of(m, 1, 0, 0, LONGEST);
		held = begin_run();
		assert_int_equal(lib->embed_texts(m, texts, TEXTS, out, NULL, &err), 0);
		measured = memory().peak[PEAK_BATCH] - held;
		ratio = (double)forecast_run(&both) / (double)measured;
		print_message("precision %d: texts: predicted %lld, measured %lld, %.3f\n", (int)precisions[i], (long long)forecast_run(&both),
			      (long long)measured, ratio);
		assert_true(forecast_run(&both) > forecast_run(&pictures) && both.weights == pictures.weights);
		assert_true(ratio > 0.75 && ratio < 1.25);
		pictures = forecast_of(m, MOST, 0, 0, 0);
		both = forecast_of(m, MOST, 0, 0, 3);
		assert_memory_equal(&pictures, &both, sizeof both);
		lib->close(m);
	}
	buffer_free(&text);
	free(out);
}

static void test_bert_runs(void **state)
{
	static const struct run runs[] = {{1, 0, 0, 64}, {3, 0, 0, 20}, {8, 0, 0, 40}, {12, 0, 0, 64}};

	compare_runs(MODEL_NLI, runs, COUNT(runs));
}

static void test_captioner_runs(void **state)
{
	static const struct run runs[] = {{1, 0, 1, 4}, {1, 0, 5, 12}, {2, 48, 3, 20}, {4, 64, 2, 8}, {3, 16, 8, 28}, {12, 0, 5, 5}, {12, 64, 1, 25}};

	compare_runs(MODEL_CAPTION, runs, COUNT(runs));
}

/* What is left open is the model's own; what cannot be is taken as near as it can. */
static void test_defaults(void **state)
{
	struct model *m = open_model(MODEL_CAPTION, PRECISION_FP32);
	struct forecast own = forecast_of(m, 2, 0, 0, 0), same = forecast_of(m, 2, SMALL_SIZE, 3, 12), most = forecast_of(m, 2, 64, 3, 12),
			beyond = forecast_of(m, 2, 1000, 3, 12);

	assert_memory_equal(&own, &same, sizeof own);
	assert_memory_equal(&most, &beyond, sizeof most);
	assert_true(most.activations > own.activations);
	lib->close(m);
	m = open_model(MODEL_NLI, PRECISION_FP32);
	own = forecast_of(m, 2, 0, 0, 0);
	same = forecast_of(m, 2, 0, 0, POSITIONS);
	assert_memory_equal(&own, &same, sizeof own);
	most = forecast_of(m, NLI_SLICE_TOKENS / POSITIONS, 0, 0, 0);
	beyond = forecast_of(m, 100000, 0, 0, 0); /* more than one slice is computed in turn */
	assert_memory_equal(&most, &beyond, sizeof most);
	lib->close(m);
}

static void test_evicted(void **state)
{
	struct model *m = open_model(MODEL_CAPTION, PRECISION_FP32);
	struct forecast before = forecast_of(m, 2, 0, 0, 0), after;

	lib->evict(m);
	after = forecast_of(m, 2, 0, 0, 0);
	assert_memory_equal(&before, &after, sizeof before);
	lib->close(m);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_weights_to_the_byte),
		cmocka_unit_test(test_mapped_weights),
		cmocka_unit_test(test_other_precisions),
		cmocka_unit_test(test_packed_weights),
		cmocka_unit_test(test_clip_runs),
		cmocka_unit_test(test_clip_texts),
		cmocka_unit_test(test_bert_runs),
		cmocka_unit_test(test_captioner_runs),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_evicted),
	};

	near_start(argv);
	return cmocka_run_group_tests(tests, setup, teardown);
}
