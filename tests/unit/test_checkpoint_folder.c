/* test_checkpoint_folder.c - weights split over files, what is no weights at all, and configs made of shapes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/mem.h"
#include "models/checkpoint.h"
#include "models/checkpoint_config.h"
#include "models/json.h"

#include <cmocka.h> /* last: it has a macro called fail */

static char folder[] = "/tmp/test_folder.XXXXXX";
static const float values[8192] = {1, 2, 3, 4, 5, 6};

static int setup(void **state)
{
	return mkdtemp(folder) ? 0 : -1;
}

static int clear(void **state)
{
	char *command = xasprintf("rm -rf %s/*", folder);
	int rc = system(command);

	free(command);
	return rc;
}

static int teardown(void **state)
{
	return clear(state) || rmdir(folder);
}

static char *path_of(const char *name)
{
	return xasprintf("%s/%s", folder, name);
}

static void put(const char *name, const void *data, size_t size)
{
	char *path = path_of(name);
	FILE *f = fopen(path, "wb");

	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, size, f), size);
	assert_int_equal(fclose(f), 0);
	free(path);
}

static void put_text(const char *name, const char *text)
{
	put(name, text, strlen(text));
}

static void refuses(const char *name, enum error_code code, const char *says)
{
	char *path = path_of(name);
	struct error err = {0};
	struct checkpoint *c = checkpoint_open(path, &err);

	if (c || !strstr(err.text, says) || err.code != code)
		print_error("wanted %d \"%s\", got %s %d \"%s\"\n", code, says, c ? "a checkpoint" : "NULL", err.code, err.text);
	assert_null(c);
	assert_non_null(strstr(err.text, says));
	assert_int_equal(err.code, code);
	free(path);
}

/* A safetensors file of floats; each shape ends with 0, NONE is a size of 0. */
enum { NONE = -1 };
struct shape {
	const char *name;
	int64_t size[5];
};

static void put_floats(const char *file, const struct shape *shapes, int n)
{
	struct checkpoint_tensor *list = xcalloc((size_t)n, sizeof *list);
	char *path = path_of(file);
	struct error err;

	for (int i = 0; i < n; i++) {
		struct checkpoint_tensor *t = &list[i];

		*t = (struct checkpoint_tensor){.name = shapes[i].name, .dtype = CKPT_F32, .count = 1, .data = values};
		while (shapes[i].size[t->ndim]) {
			t->shape[t->ndim] = shapes[i].size[t->ndim] == NONE ? 0 : shapes[i].size[t->ndim];
			t->count *= t->shape[t->ndim++];
		}
		t->bytes = 4 * t->count;
		assert_in_range(t->bytes, 0, sizeof values);
	}
	assert_int_equal(checkpoint_write(path, list, n, &err), 0);
	free(path);
	free(list);
}

/* ---- several files */

#define INDEX "model.safetensors.index.json"
#define TWO   "\"a\": \"one.safetensors\", \"b\": \"two.safetensors\""

static void put_two(void)
{
	put_floats("one.safetensors", (const struct shape[]){{"a", {2, 3}}, {"extra", {2}}}, 2);
	put_floats("two.safetensors", (const struct shape[]){{"b", {4}}}, 1);
}

static void test_shards(void **state)
{
	struct error err = {0};
	struct checkpoint *c;

	put_two();
	put_text(INDEX, "{\"metadata\": {\"total_size\": 40}, \"weight_map\": {" TWO "}}");
	c = checkpoint_open(folder, &err);
	assert_non_null(c);
	assert_int_equal(checkpoint_size(c), 2);
	assert_int_equal(checkpoint_bytes(c), 40);
	assert_null(checkpoint_find(c, "extra"));
	assert_memory_equal(checkpoint_data(c, checkpoint_find(c, "b"), &err), values, 16);
	assert_non_null(strstr(checkpoint_path(c), INDEX));
	checkpoint_close(c);
}

static void test_broken_shards(void **state)
{
	put_two();
	put_text(INDEX, "{\"metadata\": {\"total_size\": 44}, \"weight_map\": {" TWO "}}");
	refuses("", E_FORMAT, "promises 44 bytes of tensors, the files hold 40");
	put_text(INDEX, "{\"weight_map\": {" TWO ", \"c\": \"two.safetensors\"}}");
	refuses("", E_FORMAT, "c should be in two.safetensors and is not");
	put_text(INDEX, "{\"weight_map\": {" TWO ", \"extra\": \"two.safetensors\"}}");
	refuses("", E_FORMAT, "extra should be in two.safetensors and is not");
	put_text(INDEX, "{\"weight_map\": {" TWO ", \"c\": \"three.safetensors\"}}");
	refuses("", E_MODEL, "three.safetensors: missing: one of the files");
	put_text(INDEX, "{\"weight_map\": {\"a\": \"../one.safetensors\"}}");
	refuses("", E_FORMAT, "says of a no file of the same folder");
	put_text(INDEX, "{\"weight_map\": {\"a\": 3}}");
	refuses("", E_FORMAT, "says of a no file");
	put_text(INDEX, "{\"weight_map\": {}}");
	refuses("", E_FORMAT, "no \"weight_map\"");
	put_text(INDEX, "[]");
	refuses("", E_FORMAT, "no \"weight_map\"");
	put_text(INDEX, "{");
	refuses("", E_FORMAT, INDEX);
	put_text(INDEX, "version https://git-lfs.github.com/spec/v1\n");
	refuses("", E_FORMAT, "git lfs pull");
}

/* ---- what is no weights */

static void test_no_weights(void **state)
{
	static const char page[] = "\n <!DOCTYPE html>\n<html><title>Sign in</title></html>";
	char *tar = xcalloc(600, 1), *link = path_of("pytorch_model.bin");

	put("pytorch_model.bin", "", 0);
	refuses("", E_FORMAT, "pytorch_model.bin: the file is empty; download it again");
	put_text("pytorch_model.bin", "version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 3\n");
	refuses("", E_FORMAT, "git lfs pull");
	put_text("pytorch_model.bin", page);
	refuses("", E_FORMAT, "a web page saved as weights");
	put_text("pytorch_model.bin", "<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code></Error>");
	refuses("", E_FORMAT, "a web page saved as weights");
	put_text("pytorch_model.bin", "Entry not found");
	refuses("", E_FORMAT, "It begins: \"Entry not found\"");
	put_text("pytorch_model.bin", "{\"error\":\"Repository not found\"}");
	refuses("", E_FORMAT, "a text, not weights");
	memcpy(tar + 257, "ustar", 5);
	put("pytorch_model.bin", tar, 600);
	refuses("", E_FORMAT, "a tar archive");
	unlink(link);
	assert_int_equal(symlink("../blobs/1234", link), 0);
	refuses("", E_IO, "a link to ../blobs/1234, which is not there");
	free(tar);
	free(link);
}

/* ---- configs */

#define BLOCK(tower, hidden)                                                                                                                 \
	{tower "transformer.resblocks.0.attn.in_proj_weight", {3, hidden}}, {tower "transformer.resblocks.0.mlp.c_fc.weight", {96, hidden}}, \
	{                                                                                                                                    \
		tower "transformer.resblocks.1.mlp.c_fc.weight",                                                                             \
		{                                                                                                                            \
			96, hidden                                                                                                           \
		}                                                                                                                            \
	}

static const struct shape clip[] = {
	{"visual.conv1.weight", {64, 3, 4, 4}},
	{"visual.positional_embedding", {10, 64}},
	{"visual.proj", {64, 16}},
	{"visual.class_embedding", {64}},
	{"positional_embedding", {9, 64}},
	{"token_embedding.weight", {50, 64}},
	{"text_projection", {64, 16}},
	BLOCK("visual.", 64),
	BLOCK("", 64),
};
enum { CLIP = sizeof clip / sizeof clip[0] };

static json_t *config_of(const char *given)
{
	json_t *have = given ? json_loads(given, 0, NULL) : NULL;
	struct error err = {0};
	json_t *config = checkpoint_config(folder, have, &err);

	if (!config)
		print_error("%s\n", err.text);
	json_decref(have);
	assert_non_null(config);
	return config;
}

static void says_number(const json_t *config, const char *key, json_int_t value)
{
	assert_int_equal(json_integer_value(json_find(config, key)), value);
}

static void test_config(void **state)
{
	json_t *config;

	put_floats("model.safetensors", clip, CLIP);
	config = config_of(NULL);
	assert_string_equal(json_string_value(json_find(config, "model_type")), "clip");
	says_number(config, "projection_dim", 16);
	says_number(config, "vision_config.image_size", 12);
	says_number(config, "vision_config.patch_size", 4);
	says_number(config, "vision_config.hidden_size", 64);
	says_number(config, "vision_config.intermediate_size", 96);
	says_number(config, "vision_config.num_hidden_layers", 2);
	says_number(config, "vision_config.num_attention_heads", 1);
	says_number(config, "text_config.max_position_embeddings", 9);
	says_number(config, "text_config.vocab_size", 50);
	assert_string_equal(json_string_value(json_find(config, "text_config.hidden_act")), "quick_gelu");
	json_decref(config);
	config = config_of("{\"hidden_act\": \"gelu\"}");
	assert_string_equal(json_string_value(json_find(config, "text_config.hidden_act")), "gelu");
	json_decref(config);
}

/* ---- Salesforce's BLIP, which has no config.json */

static const struct shape blip[] = {
	{"visual_encoder.cls_token", {1, 1, 64}},
	{"visual_encoder.pos_embed", {1, 10, 64}},
	{"visual_encoder.patch_embed.proj.weight", {64, 3, 4, 4}},
	{"visual_encoder.blocks.0.mlp.fc1.weight", {96, 64}},
	{"visual_encoder.blocks.0.attn.qkv.weight", {12, 64}},
	{"visual_encoder.blocks.0.attn.proj.bias", {64}},
	{"visual_encoder.blocks.0.norm1.weight", {64}},
	{"visual_encoder.norm.weight", {64}},
	{"text_decoder.bert.embeddings.word_embeddings.weight", {60, 128}},
	{"text_decoder.bert.embeddings.position_embeddings.weight", {7, 128}},
	{"text_decoder.bert.encoder.layer.0.intermediate.dense.weight", {20, 128}},
	{"text_decoder.bert.encoder.layer.1.intermediate.dense.weight", {20, 128}},
};
enum { BLIP = sizeof blip / sizeof blip[0], BLIP_TOWER = 8 };

static void test_salesforce(void **state)
{
	struct error err = {0};
	json_t *config;

	put_floats("model.safetensors", blip, BLIP);
	config = config_of(NULL);
	assert_string_equal(json_string_value(json_find(config, "model_type")), "blip");
	says_number(config, "vision_config.image_size", 12);
	says_number(config, "vision_config.patch_size", 4);
	says_number(config, "vision_config.num_hidden_layers", 1);
	says_number(config, "vision_config.num_attention_heads", 1);
	assert_true(json_number_value(json_find(config, "vision_config.layer_norm_eps")) == 1e-6);
	says_number(config, "text_config.hidden_size", 128);
	says_number(config, "text_config.num_hidden_layers", 2);
	says_number(config, "text_config.num_attention_heads", 2);
	says_number(config, "text_config.intermediate_size", 20);
	says_number(config, "text_config.max_position_embeddings", 7);
	says_number(config, "text_config.vocab_size", 60);
	says_number(config, "text_config.bos_token_id", 58);
	assert_true(json_number_value(json_find(config, "text_config.layer_norm_eps")) == 1e-12);
	json_decref(config);
	put_floats("model.safetensors", blip, BLIP_TOWER);
	assert_null(checkpoint_config(folder, NULL, &err));
	assert_non_null(strstr(err.text, "a BLIP without text_decoder"));
	put_floats("model.safetensors", blip, BLIP - 2);
	assert_null(checkpoint_config(folder, NULL, &err));
	assert_non_null(strstr(err.text, "not all of a BLIP that writes captions"));
}

static void test_salesforce_names(void **state)
{
	static const char *const wanted[] = {
		"vision_model.embeddings.class_embedding",
		"vision_model.embeddings.position_embedding",
		"vision_model.embeddings.patch_embedding.weight",
		"vision_model.encoder.layers.0.mlp.fc1.weight",
		"vision_model.encoder.layers.0.self_attn.qkv.weight",
		"vision_model.encoder.layers.0.self_attn.projection.bias",
		"vision_model.encoder.layers.0.layer_norm1.weight",
		"vision_model.post_layernorm.weight",
	};
	struct error err = {0};
	struct checkpoint *c;

	put_floats("model.safetensors", blip, BLIP);
	c = checkpoint_open(folder, &err);
	assert_non_null(c);
	assert_int_equal(checkpoint_naming(c), CKPT_NAMED_SALESFORCE);
	assert_int_equal(checkpoint_size(c), BLIP);
	for (int i = 0; i < BLIP_TOWER; i++)
		assert_non_null(checkpoint_find(c, wanted[i]));
	checkpoint_close(c);
}

/* ---- open_clip */

#define OPEN_CLIP(more, vision, text)                                                                                                             \
	"{\"model_cfg\": {\"embed_dim\": 16" more ", \"vision_cfg\": {\"image_size\": 12, \"layers\": 2, \"width\": 64, \"patch_size\": 4" vision \
	"}, \"text_cfg\": {\"context_length\": 9, \"vocab_size\": 50, \"width\": 64, \"heads\": 8, \"layers\": 2" text "}}}"

static void refuses_config(const char *open_clip, const char *says)
{
	struct error err = {0};

	put_text("open_clip_config.json", open_clip);
	assert_null(checkpoint_config(folder, NULL, &err));
	if (!strstr(err.text, says))
		print_error("wanted \"%s\", got \"%s\"\n", says, err.text);
	assert_non_null(strstr(err.text, says));
}

static void test_open_clip(void **state)
{
	json_t *config;

	put_floats("open_clip_model.safetensors", clip, CLIP);
	put_text("open_clip_config.json", OPEN_CLIP("", ", \"head_width\": 32", ""));
	config = config_of(NULL);
	assert_string_equal(json_string_value(json_find(config, "vision_config.hidden_act")), "gelu");
	says_number(config, "vision_config.num_attention_heads", 2);
	says_number(config, "text_config.num_attention_heads", 8);
	json_decref(config);
	put_text("open_clip_config.json", OPEN_CLIP(", \"quick_gelu\": true", "", ", \"pool_type\": \"argmax\", \"embed_cls\": false"));
	config = config_of(NULL);
	assert_string_equal(json_string_value(json_find(config, "vision_config.hidden_act")), "quick_gelu");
	json_decref(config);
	put_text("open_clip_config.json", OPEN_CLIP("", ", \"norm_kwargs\": {\"eps\": 1e-3}", ", \"act_kwargs\": {\"approximate\": \"tanh\"}"));
	config = config_of(NULL);
	assert_true(json_number_value(json_find(config, "vision_config.layer_norm_eps")) == 1e-3);
	assert_true(json_number_value(json_find(config, "text_config.layer_norm_eps")) == 1e-5);
	assert_string_equal(json_string_value(json_find(config, "vision_config.hidden_act")), "gelu");
	assert_string_equal(json_string_value(json_find(config, "text_config.hidden_act")), "gelu_pytorch_tanh");
	json_decref(config);
	/* pictures of 14 have 3 whole patches of 4, as those of 12 */
	put_text("open_clip_config.json", "{\"model_cfg\": {\"vision_cfg\": {\"image_size\": 14}, \"text_cfg\": {}}}");
	config = config_of(NULL);
	says_number(config, "vision_config.image_size", 14);
	says_number(config, "text_config.num_attention_heads", 8);
	json_decref(config);
	refuses_config(OPEN_CLIP("", "", ", \"mlp_ratio\": 3"), "text_cfg.mlp_ratio is 3");
	refuses_config(OPEN_CLIP("", ", \"ls_init_value\": 0", ""), "\"vision_cfg.ls_init_value\": 0 is not supported");
	refuses_config(OPEN_CLIP(", \"quick_gelu\": true", ", \"act_kwargs\": {\"approximate\": \"tanh\"}", ""), "vision_cfg.act_kwargs");
	refuses_config(OPEN_CLIP("", "", ", \"no_causal_mask\": true"), "\"text_cfg.no_causal_mask\": true");
	refuses_config(OPEN_CLIP("", ", \"timm_model_name\": \"vit\"", ""), "vision_cfg.timm_model_name");
	refuses_config(OPEN_CLIP("", ", \"attentional_pool\": true", ""), "vision_cfg.attentional_pool");
	refuses_config(OPEN_CLIP("", "", ", \"pool_type\": \"last\""), "text_cfg.pool_type");
	refuses_config(OPEN_CLIP(", \"multimodal_cfg\": {}", "", ""), "multimodal_cfg");
	refuses_config(OPEN_CLIP("", ", \"patch_size\": 5", ""), "vision_cfg.patch_size");
	refuses_config("{\"model_cfg\": 1}", "no \"model_cfg\"");
	refuses_config("{", "open_clip_config.json");
}

static void test_no_config(void **state)
{
	struct shape training[CLIP], whole[] = {{"visual.layer1.0.conv1.weight", {4}}, {"visual.conv1.weight", {4}}};
	char names[CLIP][80];
	struct error err = {0};

	for (int i = 0; i < CLIP; i++) {
		snprintf(names[i], sizeof names[i], "module.%s", clip[i].name);
		training[i] = clip[i];
		training[i].name = names[i];
	}
	put_floats("model.safetensors", training, CLIP);
	assert_null(checkpoint_config(folder, NULL, &err));
	assert_non_null(strstr(err.text, "gelu or quick_gelu"));
	put_floats("model.safetensors", whole, 2);
	assert_null(checkpoint_config(folder, NULL, &err));
	assert_non_null(strstr(err.text, "ResNet (RN50"));
	put_floats("model.safetensors", clip, 3);
	assert_null(checkpoint_config(folder, NULL, &err));
	assert_non_null(strstr(err.text, "not all of a CLIP"));
	memcpy(training, clip, sizeof clip);
	training[0] = (struct shape){"visual.conv1.weight", {NONE, 3, 4, INT64_MAX / 2}}; /* no byte of it needs to be there */
	put_floats("model.safetensors", training, CLIP);
	assert_null(checkpoint_config(folder, NULL, &err));
	assert_non_null(strstr(err.text, "not all of a CLIP"));
	put_floats("model.safetensors", (const struct shape[]){{"bert.weight", {4}}}, 1);
	assert_null(checkpoint_config(folder, NULL, &err));
	assert_non_null(strstr(err.text, "no config.json"));
	clear(state);
	assert_null(checkpoint_config(folder, NULL, &err));
	assert_non_null(strstr(err.text, "no config.json"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_shards, clear),           cmocka_unit_test_teardown(test_broken_shards, clear),
		cmocka_unit_test_teardown(test_no_weights, clear),       cmocka_unit_test_teardown(test_config, clear),
		cmocka_unit_test_teardown(test_open_clip, clear),        cmocka_unit_test_teardown(test_salesforce, clear),
		cmocka_unit_test_teardown(test_salesforce_names, clear), cmocka_unit_test_teardown(test_no_config, clear),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
