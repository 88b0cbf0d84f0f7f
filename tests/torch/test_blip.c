/* test_blip.c - BLIP's row of the table on a small model made here: captions with caches against whole prefixes, streaming, stopping, memory, names of
 * tensors, and what is refused. */
#include "core/forecast.h"
#include "models/blip.h"
#include "tests/torch/captioner.h"
#include "tests/torch/small_ofa.h"

enum { PICTURES = CAPTIONER_PICTURES, SIZE = 32, WORDS = 44, BOS = 42, SEP = 3, OWNER = 2, MOST = 12 };

static const char config_text[] =
	"{\"model_type\":\"blip\",\"architectures\":[\"BlipForConditionalGeneration\"],"
	"\"text_config\":{\"vocab_size\":44,\"hidden_size\":64,\"num_hidden_layers\":2,\"num_attention_heads\":4,\"intermediate_size\":128,"
	"\"max_position_embeddings\":30,\"bos_token_id\":42,\"sep_token_id\":3,\"num_beams\":2,\"max_length\":12},"
	"\"vision_config\":{\"hidden_size\":96,\"num_hidden_layers\":2,\"num_attention_heads\":3,\"intermediate_size\":200,\"image_size\":32,"
	"\"patch_size\":8}}";

static const struct model_library *lib = &vramble_models;
static char *dir;

/* config_text with the members of changes (a JSON object, or NULL) put over it; within text_config if `inside`. */
static json_t *config_json(const char *changes, bool inside)
{
	json_t *config = json_loads(config_text, 0, NULL), *over = changes ? json_loads(changes, 0, NULL) : NULL;

	assert_non_null(config);
	if (changes)
		assert_int_equal(json_object_update(inside ? json_object_get(config, "text_config") : config, over), 0);
	json_decref(over);
	return config;
}

static void put_config(const char *changes, bool inside)
{
	json_t *json = config_json(changes, inside);
	char *text = json_dumps(json, 0);

	data_put(dir, "config.json", text, strlen(text));
	free(text);
	json_decref(json);
}

/* [PAD] [UNK] [CLS] [SEP] [MASK], a … z, an apostrophe, a full stop, a piece, and some more: 0 … 41 */
static void put_words(int n)
{
	struct buffer words = {0};

	buffer_puts(&words, "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n");
	for (int i = 0; i < 26; i++)
		buffer_printf(&words, "%c\n", 'a' + i);
	buffer_puts(&words, "'\n.\n##ing\n");
	for (int i = 34; i < n; i++)
		buffer_printf(&words, "word%d\n", i);
	data_put(dir, "vocab.txt", words.text, words.length);
	buffer_free(&words);
}

static struct blip_net *make_net(struct blip_config *config, struct nn_source *source)
{
	json_t *json = config_json(NULL, false);
	struct blip_net *net;
	struct error err = {0};

	tt_seed(11);
	*source = (struct nn_source){.pool = tt_pool_create(TT_TRAIN), .compute = TT_F32, .device = TT_CPU, .std = 0.5};
	assert_int_equal(blip_config_read(json, "small", config, &err), 0);
	net = blip_net_create(config, source);
	assert_int_equal(nn_finish(source, "BLIP", &err), 0);
	json_decref(json);
	return net;
}

static void free_net(struct blip_net *net, struct nn_source *source)
{
	blip_net_destroy(net);
	nn_source_free(source);
	tt_pool_destroy(source->pool);
}

static int setup(void **state)
{
	struct blip_config config;
	struct nn_source source;
	struct blip_net *net = make_net(&config, &source);

	dir = data_dir();
	small_ofa_save(dir, &source, true, NULL, NULL);
	free_net(net, &source);
	put_config(NULL, false);
	put_words(WORDS - 2);
	return 0;
}

static int teardown(void **state)
{
	data_remove_dir(dir);
	return 0;
}

/* NULL where this CPU does not run that precision. */
static struct model *open_model(enum precision precision)
{
	return row_open_in(dir, precision, OWNER);
}

static struct pixels make_picture(struct model *m, int seed)
{
	struct pixels out = captioner_picture(m, seed, seed * 100); /* other sizes are not for this network */

	assert_true(out.width == SIZE && out.height == SIZE && out.channels == 3);
	return out;
}

/* PICTURES captions, at_once of them in a batch. */
static void make_captions(struct model *m, struct caption out[PICTURES], int at_once, const struct caption_options *options)
{
	struct pixels pictures[PICTURES];

	for (int i = 0; i < PICTURES; i++)
		pictures[i] = make_picture(m, i);
	captioner_run(m, pictures, out, at_once, options);
}

/* ---- what it says ---- */

static void test_info(void **state)
{
	struct model_info info;
	struct error err = {0};

	assert_int_equal(lib->inspect(dir, &info, &err), 0);
	assert_int_equal(info.kind, MODEL_CAPTION);
	assert_string_equal(info.architecture, "blip");
	assert_true(info.image_size == SIZE && info.image_step == 0 && info.image_max == SIZE);
	assert_true(info.vocabulary == WORDS && info.context == 30 && info.layers[0] == 2 && info.width[1] == 64);
	assert_string_equal(info.notes, "2 beams, up to 11 tokens");
}

/* The first two words with the blank behind them; 0: the caption has no such. */
static size_t first_words(const char *caption, char *out, size_t size)
{
	const char *space = strchr(caption, ' '), *end = space ? strchr(space + 1, ' ') : NULL;
	size_t n = end ? (size_t)(end - caption) + 1 : 0;

	/* What decoding puts together does not come apart the same way. */
	if (strspn(caption, "abcdefghijklmnopqrstuvwxyz0123456789 ") < n || strstr(caption, "ing"))
		n = 0;
	snprintf(out, size, "%.*s", (int)n, caption);
	return n;
}

/* Behind a prompt that is the beginning of what would be said anyway comes the rest of it. */
static void test_prompt(void **state)
{
	struct model *m = open_model(PRECISION_FP32);
	const struct caption_options options = captioner_options(1);
	struct caption plain[PICTURES], prompted[PICTURES];
	int compared = 0;

	make_captions(m, plain, PICTURES, &options);
	lib->close(m);
	for (int i = 0; i < PICTURES; i++) {
		char prompt[64], changes[128];
		size_t n = first_words(plain[i].text, prompt, sizeof prompt);

		if (n == 0)
			continue;
		snprintf(changes, sizeof changes, "{\"vramble_prompt\":\"%s\"}", prompt);
		put_config(changes, true);
		m = open_model(PRECISION_FP32);
		make_captions(m, prompted, PICTURES, &options);
		lib->close(m);
		assert_string_equal(prompted[i].text, plain[i].text + n);
		assert_int_equal(prompted[i].tokens, plain[i].tokens - 2);
		compared++;
	}
	put_config(NULL, false);
	assert_true(compared > 0);
}

static int step(void *ctx, const struct beam_step *s, struct error *err)
{
	return blip_decoding_step(ctx, s, err);
}

/* Every token of a greedy search with caches is the likeliest one after the whole prefix without. */
static void test_caches(void **state)
{
	struct blip_config config;
	struct nn_source source;
	struct blip_net *net = make_net(&config, &source);
	tt_pool *p = tt_pool_create(TT_INFER);
	struct beam_options o = {BEAM_TRANSFORMERS, 1, 20, 20, .length_penalty = 1, .temperature = 1, .bos = BOS, .eos = SEP, .vocabulary = WORDS};
	float pixels[2 * 3 * SIZE * SIZE], logits[2 * 20 * WORDS];
	struct beam_result results[2];
	struct blip_decoding *d;
	int64_t ids[2 * 20];
	tt_tensor *encoded;

	near_fill(pixels, COUNT(pixels), 1, 5);
	encoded = blip_encode(net, p, tt_from_f32(p, pixels, TT_SHAPE(2, 3, SIZE, SIZE)), NULL);
	d = blip_decoding_create(net, p, encoded);
	assert_int_equal(beam_search(&o, 2, step, NULL, d, results, NULL), 0);
	blip_decoding_destroy(d);
	for (int i = 0; i < 40; i++)
		ids[i] = i % 20 == 0 ? BOS : results[i / 20].hypotheses[0].ids[i % 20 - 1];
	tt_to_f32(p, blip_decode(net, p, encoded, tt_from_i64(p, ids, TT_SHAPE(2, 20)), NULL), logits, COUNT(logits));
	assert_string_equal(tt_message(p), "");
	for (int i = 0; i < 40; i++) {
		const float *row = logits + i * WORDS;
		int best = 0;

		for (int k = 1; k < WORDS; k++)
			best = k != SEP && row[k] > row[best] ? k : best;
		assert_int_equal(results[i / 20].hypotheses[0].ids[i % 20], best);
	}
	beam_result_free(&results[0]);
	beam_result_free(&results[1]);
	tt_pool_destroy(p);
	free_net(net, &source);
}

static void test_batch_and_singles(void **state)
{
	for (int beams = 1; beams <= 4; beams++) {
		struct model *m = open_model(PRECISION_FP32);
		struct caption one[PICTURES], all[PICTURES];
		struct caption_options options = captioner_options(beams);

		make_captions(m, one, 1, &options);
		make_captions(m, all, PICTURES, &options);
		for (int i = 0; i < PICTURES; i++) {
			assert_string_equal(one[i].text, all[i].text);
			assert_int_equal(one[i].tokens, all[i].tokens);
			assert_float_equal(one[i].score, all[i].score, 1e-4);
			assert_true(one[i].score < 0 && one[i].tokens >= 1 && one[i].tokens <= 11);
		}
		lib->close(m);
	}
}

static void test_lengths(void **state)
{
	struct model *m = open_model(PRECISION_FP32);
	struct caption_options options = captioner_options(2);
	struct caption got[PICTURES];

	options.max_length = options.min_length = 7;
	make_captions(m, got, PICTURES, &options);
	for (int i = 0; i < PICTURES; i++)
		assert_int_equal(got[i].tokens, 7);
	options.max_length = options.min_length = 1000; /* as far as the positions reach */
	make_captions(m, got, PICTURES, &options);
	for (int i = 0; i < PICTURES; i++)
		assert_int_equal(got[i].tokens, 29);
	lib->close(m);
}

/* ---- streaming ---- */

/* With one beam every token settles at once; what was shown is never taken back, and the last is the caption. */
static void test_streaming(void **state)
{
	for (int beams = 1; beams <= 3; beams++) {
		struct model *m = open_model(PRECISION_FP32);
		struct captioner_stream s = {0};
		struct caption got[PICTURES];
		struct caption_options options = captioner_options(beams);

		options.on_text = captioner_on_text;
		options.ctx = &s;
		options.max_length = 20;
		options.min_length = 8;
		make_captions(m, got, PICTURES, &options);
		for (int i = 0; i < PICTURES; i++) {
			assert_string_equal(s.text[i], got[i].text);
			assert_in_range(s.tokens[i], got[i].tokens - 1, got[i].tokens);
			if (beams == 1)
				assert_true(s.calls[i] >= got[i].tokens - 1);
		}
		lib->close(m);
	}
}

/* However the words go on, what was told of them stays: all runs of four tokens out of those that clean-up joins. */
static void test_text_only_grows(void **state)
{
	static const int32_t letters[] = {31, 5 + 'n' - 'a', 5 + 't' - 'a', 5 + 's' - 'a', 32, 33, 5 + 'd' - 'a', SEP};
	struct error err = {0};
	struct wordpiece *words = wordpiece_load(dir, &err);
	int n = COUNT(letters), cut = 0;

	assert_non_null(words);
	for (int k = 0; k < n * n * n * n; k++) {
		int32_t ids[5] = {5, letters[k % n], letters[k / n % n], letters[k / n / n % n], letters[k / n / n / n]};
		char *whole = blip_caption_text(words, ids, 5, true);

		for (size_t i = 0; i <= 5; i++) {
			char *part = blip_caption_text(words, ids, i, false);

			if (strncmp(part, whole, strlen(part)) != 0)
				fail_msg("\"%s\" became \"%s\"", part, whole);
			cut += i == 5 && strlen(part) < strlen(whole);
			free(part);
		}
		free(whole);
	}
	assert_true(cut > 0);
	wordpiece_free(words);
}

static void test_text_of_tokens(void **state)
{
	static const int32_t dont[] = {5 + 'd' - 'a', 5 + 'n' - 'a', 31, 5 + 't' - 'a', 32, SEP}, doing[] = {5 + 'd' - 'a', 33, BOS, 0, 2};
	struct error err = {0};
	struct wordpiece *words = wordpiece_load(dir, &err);
	char *a = blip_caption_text(words, dont, COUNT(dont), true), *b = blip_caption_text(words, doing, COUNT(doing), true);
	char *c = blip_caption_text(words, dont, 3, false);

	assert_string_equal(a, "dn't.");
	assert_string_equal(b, "ding");
	assert_string_equal(c, "d");
	free(a);
	free(b);
	free(c);
	wordpiece_free(words);
}

/* ---- stopping and memory ---- */

struct watch {
	int left, seen;
	int64_t kv; /* most of the owner's caches */
};

static int look(void *ctx)
{
	struct watch *w = ctx;
	struct memory_reading now;

	lib->memory(DEVICE_CPU, &now);
	w->kv = now.kv[OWNER] > w->kv ? now.kv[OWNER] : w->kv;
	w->seen++;
	return w->left > 0 && --w->left == 0;
}

static void test_cancel(void **state)
{
	struct model *m = open_model(PRECISION_FP32);
	struct caption_options options = captioner_options(2);
	struct pixels picture = make_picture(m, 1);
	const struct pixels *list[] = {&picture};
	struct caption whole, again;
	struct memory_reading before, after;
	struct watch all = {0};
	struct model_control control = {.check = look, .ctx = &all};
	struct error err = {0};

	lib->memory(DEVICE_CPU, &before);
	assert_int_equal(lib->caption(m, list, 1, &options, &whole, &control, &err), 0);
	assert_true(all.seen > 2 * 2 + whole.tokens); /* half layers of the ViT, and every step */
	assert_true(all.kv > 2 * 2 * 17 * 64 * 4);    /* the picture's keys and values, and the words' */
	for (int at = 1; at <= all.seen; at += 2) {
		struct watch some = {.left = at};

		control.ctx = &some;
		err.code = E_NONE;
		assert_int_equal(lib->caption(m, list, 1, &options, &again, &control, &err), -1);
		assert_int_equal(err.code, E_CANCELLED);
		assert_int_equal(some.seen, at);
	}
	lib->memory(DEVICE_CPU, &after);
	assert_int_equal(after.used, before.used);
	assert_int_equal(after.kv[OWNER], 0);
	assert_int_equal(lib->caption(m, list, 1, &options, &again, NULL, &err), 0);
	assert_string_equal(again.text, whole.text);
	free(picture.data);
	lib->close(m);
}

static const enum precision precisions[] = {PRECISION_FP32, PRECISION_BF16, PRECISION_AUTOCAST};

static void compare_run(struct model *m, int batch, int beams, int tokens)
{
	const struct forecast_request request = {lib->precision(m), DEVICE_CPU, batch, 0, beams, tokens};
	const struct caption_options options = {beams, tokens, tokens, 0, -1, NULL, NULL};
	struct pixels one = make_picture(m, 1);
	const struct pixels *list[MOST];
	struct caption captions[MOST];
	struct memory_reading before, after;
	struct forecast f;
	struct error err = {0};
	double ratio;

	for (int i = 0; i < batch; i++)
		list[i] = &one;
	lib->forecast(m, &request, &f);
	lib->memory(DEVICE_CPU, &before);
	assert_int_equal(f.weights, before.weights[OWNER]);
	lib->memory_reset_peak(DEVICE_CPU, PEAK_BATCH);
	if (lib->caption(m, list, batch, &options, captions, NULL, &err) < 0)
		fail_msg("%s", err.text);
	lib->memory(DEVICE_CPU, &after);
	ratio = (double)forecast_run(&f) / (double)(after.peak[PEAK_BATCH] - before.used);
	print_message("precision %d: batch %d, %d beams, %d tokens: predicted/measured %.3f\n", (int)lib->precision(m), batch, beams, tokens, ratio);
	assert_true(ratio > 0.75 && ratio < 1.25);
	free(one.data);
}

/* Weights to the byte, runs closely. */
static void test_forecast(void **state)
{
	static const int runs[][3] = {{1, 1, 4}, {1, 5, 12}, {3, 3, 20}, {12, 5, 28}, {12, 1, 3}};

	for (size_t p = 0; p < COUNT(precisions); p++) {
		struct model *m = open_model(precisions[p]);

		for (size_t i = 0; m && i < COUNT(runs); i++)
			compare_run(m, runs[i][0], runs[i][1], runs[i][2]);
		lib->close(m);
	}
}

/* ---- names ---- */

/* The output layer's bias has two names, and its matrix may be the table of words. */
static void test_tensor_names(void **state)
{
	struct blip_config config;
	struct caption_options options = captioner_options(2);
	struct caption want[PICTURES], got[PICTURES];
	struct nn_source made;
	struct blip_net *net = make_net(&config, &made);
	struct model *m = open_model(PRECISION_FP32);
	struct error err = {0};

	make_captions(m, want, PICTURES, &options);
	lib->close(m);
	small_ofa_save(dir, &made, true, "text_decoder.cls.predictions.bias", "text_decoder.cls.predictions.decoder.bias");
	m = open_model(PRECISION_FP32);
	make_captions(m, got, PICTURES, &options);
	for (int k = 0; k < PICTURES; k++)
		assert_string_equal(got[k].text, want[k].text);
	lib->close(m);
	small_ofa_save(dir, &made, true, "text_decoder.cls.predictions.decoder.weight", NULL);
	m = open_model(PRECISION_FP32);
	make_captions(m, got, PICTURES, &options);
	lib->close(m);
	small_ofa_save(dir, &made, true, "vision_model.post_layernorm.weight", NULL);
	assert_null(lib->open(dir, DEVICE_CPU, PRECISION_FP32, OWNER, NULL, &err));
	assert_non_null(strstr(err.text, "vision_model.post_layernorm.weight: missing"));
	small_ofa_save(dir, &made, true, NULL, NULL);
	free_net(net, &made);
}

/* ---- what is refused ---- */

static void refuses(enum error_code code, const char *says)
{
	row_refuses(dir, OWNER, code, says);
}

static void test_refused(void **state)
{
	static const struct {
		bool inside;
		const char *changes, *says;
	} cases[] = {
		{false, "{\"architectures\":[\"BlipForQuestionAnswering\"]}", "BlipForQuestionAnswering does not write captions"},
		{true, "{\"num_attention_heads\":7}", "does not divide by 7 heads"},
		{true, "{\"hidden_act\":\"mish\"}", "\"mish\""},
		{true, "{\"sep_token_id\":4}", "\"sep_token_id\": 4, the tokenizer 3"},
		{true, "{\"vocab_size\":20,\"bos_token_id\":19}", "tokenizer has 42 tokens"},
		{true, "{\"repetition_penalty\":0}", "repetition_penalty"},
		{true, "{\"intermediate_size\":129}", "[128,64] instead of [129,64]"},
		{false, "{\"vision_config\":{\"image_size\":33,\"patch_size\":34}}", "patch_size 34 is larger than image_size 33"},
		{true, "{\"is_decoder\":false}", "\"is_decoder\": false is not supported; only true is"},
		{true, "{\"position_embedding_type\":\"relative_key\"}", "\"position_embedding_type\": \"relative_key\" is not supported"},
		{true, "{\"do_sample\":true}", "\"do_sample\": true"},
		{true, "{\"num_beam_groups\":2}", "\"num_beam_groups\": 2"},
		{true, "{\"forced_eos_token_id\":0}", "\"forced_eos_token_id\": 0"},
		{true, "{\"suppress_tokens\":[4,5]}", "\"suppress_tokens\": [4,5]"},
		{true, "{\"vramble_prompt\":\"a b c d e f g h i j k l\"}", "\"vramble_prompt\" leaves no room"},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		put_config(cases[i].changes, cases[i].inside);
		refuses(E_MODEL, cases[i].says);
	}
	put_config(NULL, false);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_info),
		cmocka_unit_test(test_prompt),
		cmocka_unit_test(test_caches),
		cmocka_unit_test(test_batch_and_singles),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_streaming),
		cmocka_unit_test(test_text_only_grows),
		cmocka_unit_test(test_text_of_tokens),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_forecast),
		cmocka_unit_test(test_tensor_names),
		cmocka_unit_test(test_refused),
	};

	near_start(argv);
	return cmocka_run_group_tests(tests, setup, teardown);
}
