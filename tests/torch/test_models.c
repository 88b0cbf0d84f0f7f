/* test_models.c - the table of models on a small CLIP made here: opening, running, changing precision, refusing, giving everything back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include "core/image.h"
#include "core/mem.h"
#include "models/checkpoint.h"
#include "models/clip.h"
#include "models/models.h"
#include "tests/support/data.h"
#include "tests/torch/near.h"
#include "tests/torch/row.h"

enum { SIZE = 32, EMBED = 12, OWNER = 3 };

static const char config_text[] =
	"{\"model_type\":\"clip\",\"projection_dim\":12,"
	"\"text_config\":{\"hidden_size\":24,\"intermediate_size\":40,\"num_hidden_layers\":2,\"num_attention_heads\":3,\"vocab_size\":64,"
	"\"max_position_embeddings\":10,\"eos_token_id\":55},"
	"\"vision_config\":{\"hidden_size\":32,\"intermediate_size\":48,\"num_hidden_layers\":2,\"num_attention_heads\":4,\"image_size\":32,\"patch_"
	"size\":8,"
	"\"hidden_act\":\"gelu\"}}";

static const struct model_library *lib = &vramble_models;
static char *dir;

/* ---- the model */

/* a … z, a</w> … z</w>, "ca", "cat</w>", the two ends: 0 … 55 */
static void put_tokenizer(void)
{
	struct buffer vocab = {0};
	static const char merges[] = "#version: 0.2\nc a\nca t</w>\n";

	buffer_puts(&vocab, "{");
	for (int i = 0; i < 26; i++)
		buffer_printf(&vocab, "\"%c\":%d,\"%c</w>\":%d,", 'a' + i, i, 'a' + i, 26 + i);
	buffer_puts(&vocab, "\"ca\":52,\"cat</w>\":53,\"<|startoftext|>\":54,\"<|endoftext|>\":55}");
	data_put(dir, "vocab.json", vocab.text, vocab.length);
	data_put(dir, "merges.txt", merges, sizeof merges - 1);
	buffer_free(&vocab);
}

static const void *values_of(tt_pool *pool, tt_tensor *x, enum checkpoint_dtype dtype)
{
	size_t count = (size_t)tt_count(x);
	float *values = xmalloc(count * sizeof *values);
	double *wide;

	assert_int_equal(tt_to_f32(pool, x, values, count), 0);
	if (dtype == CKPT_F32)
		return values;
	wide = xmalloc(count * sizeof *wide);
	for (size_t i = 0; i < count; i++)
		wide[i] = values[i];
	free(values);
	return wide;
}

/* Writes what a new net consists of as F32 or F64; with skip, every tensor whose name contains it is left out. */
static void put_weights(const struct nn_source *made, enum checkpoint_dtype dtype, const char *skip)
{
	struct checkpoint_tensor *list = xcalloc((size_t)made->n_made, sizeof *list);
	char *path = xasprintf("%s/model.safetensors", dir);
	struct error err = {0};
	int n = 0;

	for (int i = 0; i < made->n_made; i++) {
		tt_tensor *x = made->made[i].tensor;
		struct checkpoint_tensor *t = &list[n];

		if (skip && strstr(made->made[i].name, skip))
			continue;
		*t = (struct checkpoint_tensor){
			made->made[i].name, dtype, tt_ndim(x), {0}, tt_count(x), tt_count(x) * (dtype == CKPT_F64 ? 8 : 4), NULL};
		for (int d = 0; d < t->ndim; d++)
			t->shape[d] = tt_size(x, d);
		t->data = values_of(made->pool, x, dtype);
		n++;
	}
	if (checkpoint_write(path, list, n, &err) < 0)
		fail_msg("%s", err.text);
	for (int i = 0; i < n; i++)
		free((void *)list[i].data);
	free(list);
	free(path);
}

static struct nn_source make_net(void)
{
	struct nn_source source = {.pool = tt_pool_create(TT_TRAIN), .compute = TT_F32, .device = TT_CPU, .std = 0.2};
	json_t *json = json_loads(config_text, 0, NULL);
	struct clip_config config;
	struct error err = {0};

	assert_int_equal(clip_config_read(json, dir, &config, &err), 0);
	clip_net_destroy(clip_net_create(&config, &source));
	assert_int_equal(nn_finish(&source, "CLIP", &err), 0);
	json_decref(json);
	return source;
}

static void put_model(enum checkpoint_dtype dtype, const char *skip)
{
	struct nn_source made;

	tt_seed(7);
	made = make_net();
	put_weights(&made, dtype, skip);
	nn_source_free(&made);
	tt_pool_destroy(made.pool);
	data_put(dir, "config.json", config_text, sizeof config_text - 1);
	put_tokenizer();
}

static int setup(void **state)
{
	dir = data_dir();
	put_model(CKPT_F32, NULL);
	return 0;
}

static int teardown(void **state)
{
	data_remove_dir(dir);
	return 0;
}

static struct model *open_model(enum precision precision)
{
	return row_open(dir, precision, OWNER);
}

static void refuses(enum error_code code, const char *says)
{
	row_refuses(dir, OWNER, code, says);
}

/* ---- pictures */

static struct pixels make_picture(struct model *m, int seed)
{
	struct image image = {40 + seed, 50, xmalloc(3 * 50 * (40 + (size_t)seed))};
	struct pixels out = {0};
	struct error err = {0};

	for (int i = 0; i < image.width * image.height * 3; i++)
		image.rgb[i] = (uint8_t)(i * (7 + seed) + i / 97 * seed);
	if (lib->prepare(m, &image, 0, &out, &err) < 0)
		fail_msg("%s", err.text);
	image_free(&image);
	assert_int_equal(out.width, SIZE);
	assert_int_equal(out.height, SIZE);
	return out;
}

enum { PICTURES = 5 };

static void embed_pictures(struct model *m, float out[PICTURES][EMBED], int at_once)
{
	struct pixels pictures[PICTURES];
	const struct pixels *list[PICTURES];
	struct error err = {0};

	for (int i = 0; i < PICTURES; i++) {
		pictures[i] = make_picture(m, i);
		list[i] = &pictures[i];
	}
	for (int i = 0; i < PICTURES; i += at_once)
		if (lib->embed_images(m, list + i, at_once, out[i], NULL, &err) < 0)
			fail_msg("%s", err.text);
	for (int i = 0; i < PICTURES; i++)
		free(pictures[i].data);
}

static double dot(const float *a, const float *b)
{
	double sum = 0;

	for (int i = 0; i < EMBED; i++)
		sum += (double)a[i] * b[i];
	return sum;
}

static const char *const texts[] = {"a cat", "a dog on a cat", "", "cat", "a very long text that is cut at the end of the context"};

static void embed_texts(struct model *m, float out[][EMBED], const char *const *list, int n)
{
	struct error err = {0};

	if (lib->embed_texts(m, list, n, out[0], NULL, &err) < 0)
		fail_msg("%s", err.text);
}

/* ---- tests */

static void test_info(void **state)
{
	struct model_info info;
	struct error err = {0};

	assert_int_equal(lib->abi, MODEL_LIBRARY_ABI);
	assert_non_null(strstr(lib->version(), "libtorch "));
	assert_int_equal(lib->inspect(dir, &info, &err), 0);
	assert_int_equal(info.kind, MODEL_SCORES);
	assert_string_equal(info.architecture, "clip");
	assert_string_equal(info.name, strrchr(dir, '/') + 1);
	assert_string_equal(info.precision, "fp32");
	assert_int_equal(info.weight_bytes, info.parameters * 4);
	assert_int_equal(info.image_size, SIZE);
	assert_int_equal(info.embed_size, EMBED);
	assert_int_equal(info.context, 10);
	assert_int_equal(info.vocabulary, 64);
	assert_int_equal(info.layers[0], 2);
	assert_int_equal(info.width[1], 24);
}

/* What is read back is what was made: the same names, the same values, and nothing besides. */
static void test_parameters(void **state)
{
	struct nn_source made;
	struct model_info info;
	struct error err = {0};
	int64_t values = 0;

	tt_seed(7);
	made = make_net();
	for (int i = 0; i < made.n_made; i++)
		values += tt_count(made.made[i].tensor);
	assert_int_equal(made.values, values);
	assert_int_equal(lib->inspect(dir, &info, &err), 0);
	assert_int_equal(info.parameters, values);
	assert_int_equal(info.tensors, made.n_made);
	nn_source_free(&made);
	tt_pool_destroy(made.pool);
}

static void test_images(void **state)
{
	struct model *m = open_model(PRECISION_FP32);
	float one[PICTURES][EMBED], all[PICTURES][EMBED];

	embed_pictures(m, one, 1);
	embed_pictures(m, all, PICTURES);
	near_compare("a batch and its pictures", all[0], one[0], PICTURES * EMBED, 1e-5);
	for (int i = 0; i < PICTURES; i++)
		assert_true(fabs(dot(one[i], one[i]) - 1) < 1e-5);
	assert_true(dot(one[0], one[1]) < 0.9999);
	assert_true(fabs((double)lib->logit_scale(m) - 1 / 0.07) < 1e-4);
	lib->close(m);
}

static void test_texts(void **state)
{
	struct model *m = open_model(PRECISION_FP32);
	float one[COUNT(texts)][EMBED], all[COUNT(texts)][EMBED];

	for (size_t i = 0; i < COUNT(texts); i++)
		embed_texts(m, &one[i], &texts[i], 1);
	embed_texts(m, all, texts, COUNT(texts));
	near_compare("a batch and its texts", all[0], one[0], COUNT(texts) * EMBED, 1e-5);
	assert_true(dot(one[0], one[1]) < 0.9999);
	lib->close(m);
}

/* More texts than go through at once. */
static void test_many_texts(void **state)
{
	enum { MANY = 150 };
	struct model *m = open_model(PRECISION_FP32);
	const char *list[MANY];
	float out[MANY][EMBED], one[COUNT(texts)][EMBED];

	for (size_t i = 0; i < MANY; i++)
		list[i] = texts[i % COUNT(texts)];
	embed_texts(m, out, list, MANY);
	embed_texts(m, one, texts, COUNT(texts));
	for (size_t i = 0; i < MANY; i++)
		near_compare("text", out[i], one[i % COUNT(texts)], EMBED, 1e-5);
	lib->close(m);
}

static void test_precision(void **state)
{
	static const enum precision others[] = {PRECISION_BF16, PRECISION_AUTOCAST};
	struct model *m = open_model(PRECISION_FP32);
	float before[PICTURES][EMBED], now[PICTURES][EMBED];
	struct error err = {0};

	assert_int_equal(lib->precision(m), PRECISION_FP32);
	embed_pictures(m, before, PICTURES);
	for (size_t k = 0; k < COUNT(others); k++) {
		assert_int_equal(lib->place(m, DEVICE_CPU, others[k], NULL, &err), 0);
		assert_int_equal(lib->precision(m), tt_cpu_has_bf16() ? others[k] : PRECISION_FP32);
		embed_pictures(m, now, PICTURES);
		for (int i = 0; i < PICTURES; i++)
			assert_true(dot(before[i], now[i]) > 0.999);
		assert_true(!tt_cpu_has_bf16() || memcmp(before, now, sizeof now) != 0);
	}
	assert_int_equal(lib->place(m, DEVICE_CPU, PRECISION_FP32, NULL, &err), 0);
	embed_pictures(m, now, PICTURES);
	assert_memory_equal(before, now, sizeof now);
	lib->close(m);
}

/* fp16 does not run on a CPU; what is used instead is said. */
static void test_precision_note(void **state)
{
	struct model *m = open_model(PRECISION_FP16);

	assert_int_equal(lib->precision(m), tt_cpu_has_bf16() ? PRECISION_BF16 : PRECISION_FP32);
	assert_non_null(strstr(lib->info(m)->notes, "fp16 is not for this CPU"));
	lib->close(m);
}

/* Refused memory: the model keeps the precision it has, and works. */
static void test_precision_refused(void **state)
{
	struct model *m = open_model(PRECISION_FP32);
	float before[PICTURES][EMBED], now[PICTURES][EMBED];
	struct memory_reading reading;
	struct error err = {0};

	if (!tt_cpu_has_bf16()) {
		lib->close(m);
		print_message("no bf16 on this CPU: skipped\n");
		skip();
	}
	embed_pictures(m, before, PICTURES);
	lib->memory(DEVICE_CPU, &reading);
	lib->memory_set_cap(DEVICE_CPU, reading.used + 2000);
	assert_int_equal(lib->place(m, DEVICE_CPU, PRECISION_BF16, NULL, &err), -1);
	assert_int_equal(err.code, E_MEMORY);
	assert_int_equal(lib->precision(m), PRECISION_FP32);
	lib->memory_set_cap(DEVICE_CPU, 0);
	embed_pictures(m, now, PICTURES);
	assert_memory_equal(before, now, sizeof now);
	assert_int_equal(lib->place(m, DEVICE_CPU, PRECISION_BF16, NULL, &err), 0);
	lib->close(m);
}

/* A file of which nothing can be used in place: both precisions take memory, and there is none for both at once. */
static void test_precision_swapped(void **state)
{
	struct memory_reading reading;
	struct error err = {0};
	float before[PICTURES][EMBED], now[PICTURES][EMBED];
	struct model *m;

	if (!tt_cpu_has_bf16()) {
		print_message("no bf16 on this CPU: skipped\n");
		skip();
	}
	put_model(CKPT_F64, NULL);
	m = open_model(PRECISION_FP32);
	embed_pictures(m, before, PICTURES);
	lib->memory(DEVICE_CPU, &reading);
	lib->memory_set_cap(DEVICE_CPU, reading.used + 2000);
	assert_int_equal(lib->place(m, DEVICE_CPU, PRECISION_BF16, NULL, &err), 0);
	assert_int_equal(lib->precision(m), PRECISION_BF16);
	lib->memory_set_cap(DEVICE_CPU, reading.used / 10); /* nothing fits now, not even what was there */
	assert_int_equal(lib->place(m, DEVICE_CPU, PRECISION_FP32, NULL, &err), -1);
	assert_int_equal(err.code, E_MEMORY);
	err = (struct error){0};
	assert_int_equal(lib->embed_texts(m, texts, 1, now[0], NULL, &err), -1);
	assert_int_equal(err.code, E_MEMORY);
	assert_int_equal(lib->place(m, DEVICE_CPU, PRECISION_FP32, NULL, &err), -1);
	lib->memory_set_cap(DEVICE_CPU, 0);
	assert_int_equal(lib->place(m, DEVICE_CPU, PRECISION_FP32, NULL, &err), 0);
	embed_pictures(m, now, PICTURES);
	assert_memory_equal(before, now, sizeof now);
	lib->close(m);
	put_model(CKPT_F32, NULL);
}

/* A cap that the run meets: an error, and the model works again once it is lifted. */
static void test_run_refused(void **state)
{
	struct model *m = open_model(PRECISION_FP32);
	float out[1][EMBED];
	struct memory_reading reading;
	struct error err = {0};

	lib->memory(DEVICE_CPU, &reading);
	lib->memory_set_cap(DEVICE_CPU, reading.used + 1000);
	assert_int_equal(lib->embed_texts(m, texts, 1, out[0], NULL, &err), -1);
	assert_int_equal(err.code, E_MEMORY);
	lib->memory_set_cap(DEVICE_CPU, 0);
	embed_texts(m, out, texts, 1);
	lib->close(m);
}

struct stopper {
	int calls, stop_at;
	int64_t done, total;
};

static int stop(void *ctx)
{
	struct stopper *s = ctx;

	return ++s->calls == s->stop_at;
}

static void progress(void *ctx, int64_t done, int64_t total)
{
	struct stopper *s = ctx;

	assert_true(done > s->done && done <= total);
	s->done = done;
	s->total = total;
}

static void test_cancel_run(void **state)
{
	struct model *m = open_model(PRECISION_FP32);
	struct stopper s = {0};
	const struct model_control control = {stop, NULL, &s};
	float out[1][EMBED], want[1][EMBED];
	struct error err = {0};
	int checks;

	embed_texts(m, want, texts, 1);
	assert_int_equal(lib->embed_texts(m, texts, 1, out[0], &control, &err), 0);
	checks = s.calls;
	assert_true(checks >= 4); /* two per layer */
	for (int at = 1; at <= checks - 1; at++) {
		s = (struct stopper){.stop_at = at};
		assert_int_equal(lib->embed_texts(m, texts, 1, out[0], &control, &err), -1);
		assert_int_equal(err.code, E_CANCELLED);
		assert_int_equal(s.calls, at);
		embed_texts(m, out, texts, 1);
		assert_memory_equal(out, want, sizeof out);
	}
	lib->close(m);
}

static void test_cancel_open(void **state)
{
	struct stopper s = {.stop_at = 10};
	const struct model_control control = {stop, progress, &s};
	struct error err = {0};
	struct model *m;

	assert_null(lib->open(dir, DEVICE_CPU, PRECISION_FP32, OWNER, &control, &err));
	assert_int_equal(err.code, E_CANCELLED);
	s = (struct stopper){0};
	m = lib->open(dir, DEVICE_CPU, PRECISION_FP32, OWNER, &control, &err);
	assert_non_null(m);
	assert_int_equal(s.done, s.total);
	lib->close(m);
}

/* What is opened is given back, whatever happened in between. */
static void test_account(void **state)
{
	struct memory_reading before, open, ran, after;
	struct model *m;
	float out[PICTURES][EMBED];

	lib->memory(DEVICE_CPU, &before);
	m = open_model(PRECISION_AUTO);
	lib->memory(DEVICE_CPU, &open);
	embed_pictures(m, out, PICTURES);
	embed_texts(m, out, texts, 3);
	lib->memory(DEVICE_CPU, &ran);
	assert_int_equal(ran.used, open.used);
	assert_int_equal(ran.weights[OWNER] - before.weights[OWNER], open.used - before.used);
	assert_true(ran.peak[PEAK_START] > open.used);
	lib->close(m);
	lib->memory(DEVICE_CPU, &after);
	assert_int_equal(after.used, before.used);
	assert_int_equal(after.weights[OWNER], before.weights[OWNER]);
}

static void test_wrong_call(void **state)
{
	struct model *m = open_model(PRECISION_FP32);
	struct caption caption;
	struct verdict verdict;
	struct pixels a = make_picture(m, 1), b = {a.data, 3, SIZE / 2, SIZE * 2}, c = {a.data, 3, SIZE / 2, SIZE / 2};
	const struct pixels *list[] = {&a, &b}, *small[] = {&c};
	const struct caption_options options = {.beams = 1};
	float out[2][EMBED];
	struct error err = {0};

	assert_int_equal(lib->caption(m, list, 1, &options, &caption, NULL, &err), -1);
	assert_int_equal(err.code, E_USAGE);
	assert_int_equal(lib->classify(m, &(struct text_pair){"a", "b"}, 1, &verdict, NULL, &err), -1);
	assert_int_equal(err.code, E_USAGE);
	assert_int_equal(lib->embed_images(m, list, 2, out[0], NULL, &err), -1);
	assert_int_equal(err.code, E_USAGE);
	assert_int_equal(lib->embed_images(m, small, 1, out[0], NULL, &err), -1);
	assert_non_null(strstr(err.text, "16x16"));
	assert_int_equal(lib->embed_images(m, list, 0, out[0], NULL, &err), 0);
	assert_null(lib->open(dir, 99, PRECISION_FP32, OWNER, NULL, &err));
	assert_non_null(strstr(err.text, "no CUDA device 99"));
	free(a.data);
	lib->close(m);
	lib->close(NULL);
}

static void replace_config(const char *from, const char *to)
{
	const char *at = strstr(config_text, from);
	char *text;

	assert_non_null(at);
	text = xasprintf("%.*s%s%s", (int)(at - config_text), config_text, to, at + strlen(from));
	data_put(dir, "config.json", text, strlen(text));
	free(text);
}

static void test_config(void **state)
{
	replace_config("\"model_type\":\"clip\"", "\"model_type\":\"llama\"");
	refuses(E_MODEL, "\"llama\" is not supported; these are: clip, ofa, blip, bert");
	replace_config("\"model_type\":\"clip\",", "");
	refuses(E_MODEL, "model_type is missing");
	replace_config("\"num_attention_heads\":3", "\"num_attention_heads\":5");
	refuses(E_MODEL, "does not divide by 5 heads");
	replace_config("\"hidden_act\":\"gelu\"", "\"hidden_act\":\"sine\"");
	refuses(E_MODEL, "\"sine\"");
	replace_config("\"patch_size\":8", "\"patch_size\":33");
	refuses(E_MODEL, "patch_size 33 is larger than image_size 32");
	replace_config("\"eos_token_id\":55", "\"eos_token_id\":54");
	refuses(E_MODEL, "\"eos_token_id\": 54, the tokenizer 55");
	replace_config("\"vocab_size\":64", "\"vocab_size\":40");
	refuses(E_MODEL, "56 tokens, the model knows 40");
	replace_config("\"vision_config\"", "\"audio_config\"");
	refuses(E_MODEL, "vision_config");
	data_put(dir, "config.json", "{", 1);
	refuses(E_FORMAT, "config.json");
	put_model(CKPT_F32, NULL);
}

static void test_missing_tensors(void **state)
{
	put_model(CKPT_F32, "vision_model.post_layernorm");
	refuses(E_MODEL, "2 of the tensors");
	refuses(E_MODEL, "vision_model.post_layernorm.weight: missing; vision_model.post_layernorm.bias: missing");
	put_model(CKPT_F32, "encoder.layers.1.");
	refuses(E_MODEL, "32 of the tensors");
	refuses(E_MODEL, "; and 20 more");
	put_model(CKPT_F32, NULL);
	replace_config("\"intermediate_size\":40", "\"intermediate_size\":41");
	refuses(E_MODEL, "text_model.encoder.layers.0.mlp.fc1.weight: [40,24] instead of [41,24]");
	put_model(CKPT_F32, NULL);
}

static void test_broken_folder(void **state)
{
	char *path = xasprintf("%s/model.safetensors", dir), *nowhere = xasprintf("%s/nowhere", dir), *config = xasprintf("%s/config.json", dir);
	struct error err = {0};

	assert_int_equal(truncate(path, 30000), 0);
	refuses(E_FORMAT, "truncated");
	unlink(path);
	refuses(E_MODEL, "no model.safetensors");
	assert_null(lib->open(nowhere, DEVICE_CPU, PRECISION_FP32, OWNER, NULL, &err));
	assert_int_equal(err.code, E_IO);
	unlink(config);
	refuses(E_MODEL, "no config.json");
	free(path);
	free(nowhere);
	free(config);
	put_model(CKPT_F32, NULL);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_info),
		cmocka_unit_test(test_parameters),
		cmocka_unit_test(test_images),
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_many_texts),
		cmocka_unit_test(test_precision),
		cmocka_unit_test(test_precision_note),
		cmocka_unit_test(test_precision_refused),
		cmocka_unit_test(test_precision_swapped),
		cmocka_unit_test(test_run_refused),
		cmocka_unit_test(test_cancel_run),
		cmocka_unit_test(test_cancel_open),
		cmocka_unit_test(test_account),
		cmocka_unit_test(test_wrong_call),
		cmocka_unit_test(test_config),
		cmocka_unit_test(test_missing_tensors),
		cmocka_unit_test(test_broken_folder),
	};

	near_start(argv);
	return cmocka_run_group_tests(tests, setup, teardown);
}
