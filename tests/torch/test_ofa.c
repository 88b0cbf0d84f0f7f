/* test_ofa.c - OFA's row of the table on a small model made here: captions, their streaming, stopping, sizes, precision, and what is refused. */
#include "tests/torch/captioner.h"
#include "tests/torch/small_ofa.h"

enum { PICTURES = CAPTIONER_PICTURES };

static const struct model_library *lib = &vramble_models;
static char *dir;

static int setup(void **state)
{
	dir = small_ofa_dir();
	return 0;
}

static int teardown(void **state)
{
	data_remove_dir(dir);
	return 0;
}

static struct model *open_model(enum precision precision)
{
	return row_open(dir, precision, 1);
}

/* PICTURES captions, at_once of them in a batch. */
static void make_captions(struct model *m, struct caption out[PICTURES], int at_once, const struct caption_options *options)
{
	struct pixels pictures[PICTURES];

	for (int i = 0; i < PICTURES; i++)
		pictures[i] = captioner_picture(m, i, 0);
	captioner_run(m, pictures, out, at_once, options);
}

/* ---- what it says ---- */

static void test_info(void **state)
{
	struct model_info info;
	struct error err = {0};

	assert_int_equal(lib->inspect(dir, &info, &err), 0);
	assert_int_equal(info.kind, MODEL_CAPTION);
	assert_string_equal(info.architecture, "ofa");
	assert_int_equal(info.image_size, SMALL_SIZE);
	assert_int_equal(info.image_step, 16);
	assert_int_equal(info.image_max, 64);
	assert_int_equal(info.vocabulary, SMALL_WORDS);
	assert_int_equal(info.context, 30);
	assert_string_equal(info.notes, "3 beams, up to 12 tokens");
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
			assert_true(one[i].score < 0 && one[i].tokens >= 3); /* min_len 2 and eos */
		}
		assert_string_not_equal(one[0].text, one[1].text); /* or there would be little to compare */
		lib->close(m);
	}
}

static void test_lengths(void **state)
{
	struct model *m = open_model(PRECISION_FP32);
	struct caption_options options = captioner_options(2);
	struct caption got[PICTURES];

	make_captions(m, got, PICTURES, &options);
	for (int i = 0; i < PICTURES; i++)
		assert_in_range(got[i].tokens, 3, 13);
	options.max_length = options.min_length = 7;
	make_captions(m, got, PICTURES, &options);
	for (int i = 0; i < PICTURES; i++)
		assert_int_equal(got[i].tokens, 8);
	options.max_length = options.min_length = 1000; /* as far as the positions reach */
	make_captions(m, got, PICTURES, &options);
	for (int i = 0; i < PICTURES; i++)
		assert_int_equal(got[i].tokens, 30);
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
		make_captions(m, got, PICTURES, &options);
		for (int i = 0; i < PICTURES; i++) {
			assert_string_equal(s.text[i], got[i].text);
			assert_int_equal(s.tokens[i], got[i].tokens - 1);
			if (beams == 1)
				assert_true(s.calls[i] >= got[i].tokens - 1);
		}
		lib->close(m);
	}
}

/* "caf" and the two bytes of é, one token each: the half character is kept back, but told when nothing follows. */
static void test_text_of_tokens(void **state)
{
	static const int32_t cafe[] = {30, 6, 4, 9, 31, 32, 2}, dont[] = {30, 7, 18, 17, 35, 23, 33};
	struct error err = {0};
	struct bpe *bpe = bpe_load(&(struct bpe_source){.kind = BPE_BYTES, .dir = dir}, &err);
	const struct {
		const int32_t *ids;
		size_t n;
		bool english, whole;
		const char *text;
	} cases[] = {
		{cafe, 4, true, false, "caf"}, {cafe, 5, true, false, "caf"}, {cafe, 5, true, true, "caf\xef\xbf\xbd"},
		{cafe, 7, true, true, "café"}, {dont, 7, true, true, "dont"}, {dont, 7, false, true, " don't."},
		{cafe, 0, true, false, ""},
	};

	assert_non_null(bpe);
	for (size_t i = 0; i < COUNT(cases); i++) {
		char *text = ofa_caption_text(bpe, cases[i].ids, cases[i].n, cases[i].english, cases[i].whole);

		assert_string_equal(text, cases[i].text);
		free(text);
	}
	bpe_free(bpe);
}

/* ---- stopping ---- */

struct countdown {
	int left, seen;
};

static int count_down(void *ctx)
{
	struct countdown *c = ctx;

	c->seen++;
	return c->left > 0 && --c->left == 0;
}

static void test_cancel(void **state)
{
	struct model *m = open_model(PRECISION_FP32);
	struct caption_options options = captioner_options(2);
	struct pixels picture = captioner_picture(m, 1, 0);
	const struct pixels *list[] = {&picture};
	struct caption whole, again;
	struct memory_reading before, after;
	struct countdown all = {0};
	struct model_control control = {.check = count_down, .ctx = &all};
	struct error err = {0};

	assert_int_equal(lib->caption(m, list, 1, &options, &whole, &control, &err), 0);
	assert_true(all.seen > 2 * 2 + whole.tokens); /* half layers of the encoder, and every step */
	lib->memory(DEVICE_CPU, &before);
	for (int at = 1; at <= all.seen; at += 3) {
		struct countdown some = {.left = at};

		control.ctx = &some;
		err.code = E_NONE;
		assert_int_equal(lib->caption(m, list, 1, &options, &again, &control, &err), -1);
		assert_int_equal(err.code, E_CANCELLED);
		assert_int_equal(some.seen, at); /* nothing more is done once it is stopped */
	}
	lib->memory(DEVICE_CPU, &after);
	assert_int_equal(after.used, before.used);
	assert_int_equal(lib->caption(m, list, 1, &options, &again, NULL, &err), 0);
	assert_string_equal(again.text, whole.text);
	free(picture.data);
	lib->close(m);
}

/* ---- settings ---- */

static void test_sizes(void **state)
{
	static const int sizes[][2] = {{0, 48}, {48, 48}, {50, 48}, {57, 64}, {64, 64}, {1000, 64}, {20, 16}, {1, 16}};
	struct model *m = open_model(PRECISION_FP32);
	struct caption_options options = captioner_options(1);

	for (size_t i = 0; i < COUNT(sizes); i++) {
		struct pixels picture = captioner_picture(m, 2, sizes[i][0]);
		const struct pixels *list[] = {&picture};
		struct caption got;
		struct error err = {0};

		assert_int_equal(picture.width, sizes[i][1]);
		assert_int_equal(picture.height, sizes[i][1]);
		if (lib->caption(m, list, 1, &options, &got, NULL, &err) < 0)
			fail_msg("%s", err.text);
		free(picture.data);
	}
	lib->close(m);
}

static void test_precision(void **state)
{
	struct model *m = open_model(PRECISION_FP32);
	struct caption_options options = captioner_options(1);
	struct caption before[PICTURES], now[PICTURES];
	struct error err = {0};

	make_captions(m, before, 2, &options);
	assert_int_equal(lib->place(m, DEVICE_CPU, PRECISION_BF16, NULL, &err), 0);
	make_captions(m, now, 2, &options);
	assert_int_equal(lib->place(m, DEVICE_CPU, PRECISION_FP32, NULL, &err), 0);
	make_captions(m, now, 2, &options);
	for (int i = 0; i < PICTURES; i++) {
		assert_string_equal(now[i].text, before[i].text);
		assert_float_equal(now[i].score, before[i].score, 0);
	}
	lib->close(m);
}

/* The one table of words may stand under any of its three names. */
static void test_tied_names(void **state)
{
	static const char *const names[] = {"decoder.embed_tokens.weight", "decoder.output_projection.weight"};
	struct ofa_config config = small_ofa_config(NULL);
	struct caption_options options = captioner_options(2);
	struct caption want[PICTURES], got[PICTURES];
	struct nn_source made;
	struct ofa_net *net = small_ofa_make(&config, TT_F32, &made);
	struct model *m = open_model(PRECISION_FP32);

	make_captions(m, want, PICTURES, &options);
	lib->close(m);
	for (size_t i = 0; i < COUNT(names); i++) {
		small_ofa_save(dir, &made, true, "encoder.embed_tokens.weight", names[i]);
		m = open_model(PRECISION_FP32);
		make_captions(m, got, PICTURES, &options);
		for (int k = 0; k < PICTURES; k++)
			assert_string_equal(got[k].text, want[k].text);
		lib->close(m);
	}
	small_ofa_save(dir, &made, true, NULL, NULL);
	small_ofa_free(net, &made);
}

/* ---- what is refused ---- */

static void refuses(enum error_code code, const char *says)
{
	row_refuses(dir, 1, code, says);
}

static void test_refused_configs(void **state)
{
	static const struct {
		enum error_code code;
		const char *changes, *says;
	} cases[] = {
		{E_MODEL, "{\"use_ofasys\":true}", "\"use_ofasys\": true"},
		{E_MODEL, "{\"use_gamma_feature\":true}", "\"use_gamma_feature\": true"},
		{E_MODEL, "{\"use_image_feature\":false}", "\"use_image_feature\": false"},
		{E_MODEL, "{\"entangle_position_embedding\":true}", "\"entangle_position_embedding\": true"},
		{E_MODEL, "{\"interpolate_position\":true}", "\"interpolate_position\": true"},
		{E_MODEL, "{\"resnet_type\":\"resnet20\"}", "\"resnet20\""},
		{E_MODEL, "{\"activation_function\":\"swoosh\"}", "\"swoosh\""},
		{E_MODEL, "{\"encoder_attention_heads\":5}", "does not divide"},
		{E_MODEL, "{\"attn_scale_factor\":0}", "attn_scale_factor"},
		{E_MODEL, "{\"vocab_size\":30}", "vocabulary has 36 tokens"},
		{E_MODEL, "{\"eos_token_id\":5}", "\"eos_token_id\": 5"},
		{E_MODEL, "{\"pad_token_id\":0}", "must differ"},
		{E_MODEL, "{\"image_bucket_size\":2}", "image_bucket_size 2 allows 32"},
		{E_MODEL, "{\"max_position_embeddings\":3}", "the model 3 positions"},
		{E_FORMAT, "{\"d_model\":\"wide\"}", "d_model"},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		small_ofa_put_config(dir, cases[i].changes);
		refuses(cases[i].code, cases[i].says);
	}
	small_ofa_put_config(dir, NULL);
}

static void test_refused_tasks(void **state)
{
	static const char *const cases[][2] = {
		{"{\"task\":\"ocr-recognition\"}", "\"ocr-recognition\""},
		{"{\"model\":{\"gen_type\":\"dream\"}}", "\"dream\""},
		{"{\"model\":{\"beam_search\":{\"gen_box\":true}}}", "gen_box"},
		{"{\"model\":{\"beam_search\":{\"constraint_range\":\"1,2\"}}}", "constraint_range"},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		data_put(dir, "configuration.json", cases[i][0], strlen(cases[i][0]));
		refuses(E_MODEL, cases[i][1]);
	}
	data_put(dir, "configuration.json", small_task, sizeof small_task - 1);
}

/* Every tensor that does not fit is named. */
static void test_refused_weights(void **state)
{
	small_ofa_put_config(dir, "{\"decoder_ffn_dim\":44}");
	refuses(E_MODEL, "decoder.layers.1.fc2.weight: [32,40] instead of [32,44]");
	small_ofa_put_config(dir, "{\"decoder_layers\":3}");
	refuses(E_MODEL, "decoder.layers.2.self_attn.q_proj.weight: missing");
	small_ofa_put_config(dir, NULL);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_info),           cmocka_unit_test(test_batch_and_singles),
		cmocka_unit_test(test_lengths),        cmocka_unit_test(test_streaming),
		cmocka_unit_test(test_text_of_tokens), cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_sizes),          cmocka_unit_test(test_precision),
		cmocka_unit_test(test_tied_names),     cmocka_unit_test(test_refused_configs),
		cmocka_unit_test(test_refused_tasks),  cmocka_unit_test(test_refused_weights),
	};

	near_start(argv);
	return cmocka_run_group_tests(tests, setup, teardown);
}
