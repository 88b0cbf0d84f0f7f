/* test_siglip.c - SigLIP on a small one made here: what it says of itself, texts, pictures in groups, forecasts. Skips without SentencePiece. */
#include "core/forecast.h"
#include "models/models.h"
#include "models/siglip.h"
#include "tests/torch/row.h"
#include "tests/torch/small_ofa.h"

enum { SIZE = 30, WIDTH = 48, CONTEXT = 12, OWNER = 1, MOST = 9 };

#define BLANK "\xe2\x96\x81"
static const char config_text[] =
	"{\"model_type\": \"siglip\", \"text_config\": {\"vocab_size\": 40, \"hidden_size\": 48, \"intermediate_size\": 112, \"num_hidden_layers\": "
	"2,"
	" \"num_attention_heads\": 4, \"max_position_embeddings\": 12}, \"vision_config\": {\"hidden_size\": 48, \"intermediate_size\": 200,"
	" \"num_hidden_layers\": 2, \"num_attention_heads\": 3, \"image_size\": 30, \"patch_size\": 8}}";

static const struct model_library *lib = &vramble_models;
static char *dir;

static void put_tokenizer(void)
{
	struct buffer text = {0};

	buffer_puts(&text,
		    "{\"added_tokens\": [{\"content\": \"</s>\", \"special\": true}], \"model\": {\"type\": \"Unigram\", \"unk_id\": 2, \"vocab\":"
		    " [[\"<pad>\", 0], [\"</s>\", 0], [\"<unk>\", 0], [\"" BLANK "\", -3]");
	for (char c = 'a'; c <= 'z'; c++)
		buffer_printf(&text, ", [\"%c\", -4]", c);
	buffer_puts(&text, "]}}");
	data_put(dir, "tokenizer.json", text.text, text.length);
	buffer_free(&text);
}

static void put_model(void)
{
	struct nn_source source = {.pool = tt_pool_create(TT_TRAIN), .compute = TT_F32, .device = TT_CPU, .std = 0.3};
	json_t *json = json_loads(config_text, 0, NULL);
	struct siglip_config config;
	struct error err = {0};

	tt_seed(7);
	if (siglip_config_read(json, dir, &config, &err) < 0)
		fail_msg("%s", err.text);
	siglip_net_destroy(siglip_net_create(&config, &source));
	assert_int_equal(nn_finish(&source, "test", &err), 0);
	small_ofa_save(dir, &source, true, NULL, NULL);
	nn_source_free(&source);
	tt_pool_destroy(source.pool);
	json_decref(json);
}

static int setup(void **state)
{
	dir = data_dir();
	put_model();
	put_tokenizer();
	data_put(dir, "config.json", config_text, sizeof config_text - 1);
	return 0;
}

static int teardown(void **state)
{
	data_remove_dir(dir);
	return 0;
}

static struct model *open_model(enum precision precision)
{
	return row_open_unigram(dir, precision, OWNER);
}

static void probabilities_are_each_labels_own(void **state)
{
	struct model *m = open_model(PRECISION_FP32);
	const struct model_info *info = lib->info(m);

	assert_true(info->sigmoid);
	assert_int_equal(info->kind, MODEL_SCORES);
	assert_int_equal(info->embed_size, WIDTH);
	assert_int_equal(info->image_size, SIZE);
	assert_true(lib->logit_scale(m) > 1);
	assert_true(lib->logit_bias(m) >= -0.3f && lib->logit_bias(m) <= 0.3f);
	lib->close(m);
}

static void embed(struct model *m, const char *text, float out[WIDTH])
{
	struct error err = {0};

	if (lib->embed_texts(m, &text, 1, out, NULL, &err) < 0)
		fail_msg("%s", err.text);
}

static bool alike(struct model *m, const char *a, const char *b)
{
	float x[WIDTH], y[WIDTH], most = 0;

	embed(m, a, x);
	embed(m, b, y);
	for (int i = 0; i < WIDTH; i++)
		most = fmaxf(most, fabsf(x[i] - y[i]));
	return most < 1e-6f;
}

/* Case, punctuation and blanks do not count; what is cut off does not either; an end that is written is text. */
static void texts_are_cleaned(void **state)
{
	struct model *m = open_model(PRECISION_FP32);

	assert_true(alike(m, "  Don't,\tsay T-shirt! ", "dont say tshirt"));
	assert_false(alike(m, "dont say tshirt", "dont saytshirt"));
	assert_true(alike(m, "a</s>b", "asb"));
	assert_true(alike(m, "abcdefghijklmnop", "abcdefghijk"));
	assert_true(alike(m, "abcdefghijx", "abcdefghijy")); /* ten letters and a blank before them leave the last place to the end */
	assert_false(alike(m, "abcdefghix", "abcdefghiy"));
	assert_true(alike(m, "", " .,! "));
	lib->close(m);
}

static void put_tokenizer_config(const char *text)
{
	data_put(dir, "tokenizer_config.json", text, strlen(text));
}

/* How texts are filled up, and whether they become lower case, may stand beside the tokenizer; a length beyond the model's own does not count. */
static void tokenizer_config_counts(void **state)
{
	char *path = xasprintf("%s/tokenizer_config.json", dir);
	float usual[WIDTH], other[WIDTH], most = 0;
	struct error err = {0};
	struct model *m;

	put_tokenizer_config("{\"model_max_length\": 6, \"do_lower_case\": false}");
	m = open_model(PRECISION_FP32);
	assert_true(alike(m, "abcdx", "abcdy")); /* a blank, four letters, the end */
	assert_false(alike(m, "abcx", "abcy"));
	assert_false(alike(m, "ABC", "abc"));
	lib->close(m);
	put_tokenizer_config("{\"model_max_length\": 1000000000000000019884624838656, \"pad_token\": \"</s>\"}");
	m = open_model(PRECISION_FP32);
	assert_true(alike(m, "ABC", "abc"));
	assert_false(alike(m, "abcdx", "abcdy"));
	embed(m, "abc", usual);
	lib->close(m);
	put_tokenizer_config("{\"pad_token\": {\"content\": \"<unk>\"}}");
	m = open_model(PRECISION_FP32);
	embed(m, "abc", other);
	for (int i = 0; i < WIDTH; i++)
		most = fmaxf(most, fabsf(usual[i] - other[i]));
	assert_true(most > 1e-4f);
	lib->close(m);
	put_tokenizer_config("{\"pad_token\": \"[FILL]\"}");
	assert_null(lib->open(dir, DEVICE_CPU, PRECISION_FP32, OWNER, NULL, &err));
	assert_non_null(strstr(err.text, "\"pad_token\" \"[FILL]\""));
	unlink(path);
	free(path);
}

static void texts_in_groups_equal_each_alone(void **state)
{
	enum { N = 130 };
	const char *texts[N];
	struct model *m = open_model(PRECISION_FP32);
	float *all = xcalloc((size_t)N * WIDTH, sizeof *all), one[WIDTH];
	struct error err = {0};

	for (int i = 0; i < N; i++)
		texts[i] = i % 3 ? "a red cat" : "dog";
	assert_int_equal(lib->embed_texts(m, texts, N, all, NULL, &err), 0);
	embed(m, "a red cat", one);
	near_compare("text 128", all + 128 * WIDTH, one, WIDTH, 1e-5);
	embed(m, "dog", one);
	near_compare("text 129", all + 129 * WIDTH, one, WIDTH, 1e-5);
	free(all);
	lib->close(m);
}

/* The last six rows and columns of a picture of 30 fill no patch of 8. */
static void pictures_equal_each_alone(void **state)
{
	struct model *m = open_model(PRECISION_FP32);
	float *values = xcalloc((size_t)2 * 3 * SIZE * SIZE, sizeof *values), both[2 * WIDTH], one[WIDTH];
	struct pixels pictures[2] = {{values, 3, SIZE, SIZE}, {values + 3 * SIZE * SIZE, 3, SIZE, SIZE}};
	const struct pixels *list[2] = {&pictures[0], &pictures[1]};
	struct error err = {0};

	near_fill(values, (size_t)2 * 3 * SIZE * SIZE, 1, 3);
	assert_int_equal(lib->embed_images(m, list, 2, both, NULL, &err), 0);
	for (int c = 0; c < 3; c++)
		values[c * SIZE * SIZE + 29 * SIZE + 29] += 5;
	assert_int_equal(lib->embed_images(m, list, 1, one, NULL, &err), 0);
	near_compare("first", both, one, WIDTH, 1e-5);
	values[0] += 5;
	assert_int_equal(lib->embed_images(m, list, 1, one, NULL, &err), 0);
	assert_true(fabsf(both[0] - one[0]) > 1e-5f || fabsf(both[1] - one[1]) > 1e-5f);
	free(values);
	lib->close(m);
}

static void what_does_not_fit_is_refused(void **state)
{
	static const char gemma[] = "{\"model_type\": \"siglip\", \"text_config\": {\"vocab_size\": 256000}, \"vision_config\": {}}";
	static const char widths[] = "{\"model_type\": \"siglip\", \"text_config\": {\"hidden_size\": 24}, \"vision_config\": {\"hidden_size\": 48}}";
	static const char headless[] = "{\"model_type\": \"siglip\", \"text_config\": {}, \"vision_config\": {\"vision_use_head\": false}}";
	struct error err = {0};

	data_put(dir, "config.json", headless, sizeof headless - 1);
	assert_null(lib->open(dir, DEVICE_CPU, PRECISION_FP32, OWNER, NULL, &err));
	assert_non_null(strstr(err.text, "\"vision_use_head\": false"));
	data_put(dir, "config.json", gemma, sizeof gemma - 1);
	assert_null(lib->open(dir, DEVICE_CPU, PRECISION_FP32, OWNER, NULL, &err));
	assert_non_null(strstr(err.text, "256000"));
	data_put(dir, "config.json", widths, sizeof widths - 1);
	assert_null(lib->open(dir, DEVICE_CPU, PRECISION_FP32, OWNER, NULL, &err));
	assert_non_null(strstr(err.text, "cannot be compared"));
}

static int64_t used(void)
{
	struct memory_reading now;

	lib->memory(DEVICE_CPU, &now);
	return now.used;
}

static void forecast_batch(struct model *m, int batch)
{
	const struct forecast_request request = {lib->precision(m), DEVICE_CPU, batch, 0, 0, 0};
	float *values = xcalloc((size_t)3 * SIZE * SIZE, sizeof *values), out[MOST * WIDTH];
	struct pixels one = {values, 3, SIZE, SIZE};
	const struct pixels *list[MOST];
	int64_t held = used();
	struct memory_reading after;
	struct forecast f;
	struct error err = {0};
	double ratio;

	for (int i = 0; i < batch; i++)
		list[i] = &one;
	lib->forecast(m, &request, &f);
	lib->memory_reset_peak(DEVICE_CPU, PEAK_BATCH);
	assert_int_equal(lib->embed_images(m, list, batch, out, NULL, &err), 0);
	lib->memory(DEVICE_CPU, &after);
	ratio = (double)forecast_run(&f) / (double)(after.peak[PEAK_BATCH] - held);
	print_message("precision %d, %d pictures: predicted %lld, measured %lld, %.3f\n", (int)request.precision, batch, (long long)forecast_run(&f),
		      (long long)(after.peak[PEAK_BATCH] - held), ratio);
	assert_true(ratio > 0.75 && ratio < 1.25);
	free(values);
}

static void forecasts_are_near(void **state)
{
	static const enum precision precisions[] = {PRECISION_FP32, PRECISION_BF16, PRECISION_AUTOCAST};

	for (size_t i = 0; i < COUNT(precisions); i++) {
		int64_t before = used();
		struct model *m = open_model(precisions[i]);
		const struct forecast_request request = {precisions[i], DEVICE_CPU, 1, 0, 0, 0};
		struct forecast f;

		if (lib->precision(m) == precisions[i]) {
			lib->forecast(m, &request, &f);
			assert_int_equal(f.weights, used() - before);
			for (int batch = 1; batch <= MOST; batch += 4)
				forecast_batch(m, batch);
		}
		lib->close(m);
	}
}

int main(int argc, char **argv)
{
	near_start(argv);
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(probabilities_are_each_labels_own),
		T(texts_are_cleaned),
		T(tokenizer_config_counts),
		T(texts_in_groups_equal_each_alone),
		T(pictures_equal_each_alone),
		T(what_does_not_fit_is_refused),
		T(forecasts_are_near),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
