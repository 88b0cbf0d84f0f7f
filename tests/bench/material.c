/* material.c - material DIR [PICTURES]: what the benches work on, always the same: DIR/clip, DIR/captioner and DIR/nli, networks of the published sizes
 * (ViT-B/32; the distilled OFA captioner; BERT-base for three labels) with random weights, and DIR/pictures, JPEGs as heavy as photographs. What is there
 * already stays.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STBI_WRITE_NO_STDIO
#include <stb/stb_image_write.h>

#include "core/mem.h"
#include "core/runtime.h"
#include "models/bert.h"
#include "models/clip.h"
#include "models/ofa.h"
#include "models/picturebook/scene.h"

enum { PICTURES = 200, QUALITY = 90, CAPTION_WORDS = 50265, NLI_WORDS = 30522 };

static const char clip_config[] =
	"{\"model_type\":\"clip\",\"projection_dim\":512,\n"
	"\"text_config\":{\"vocab_size\":49408,\"hidden_size\":512,\"intermediate_size\":2048,\"num_hidden_layers\":12,\"num_attention_heads\":8,\n"
	"\"max_position_embeddings\":77,\"hidden_act\":\"quick_gelu\",\"layer_norm_eps\":1e-05,\"eos_token_id\":513},\n"
	"\"vision_config\":{\"hidden_size\":768,\"intermediate_size\":3072,\"num_hidden_layers\":12,\"num_attention_heads\":12,\"image_size\":224,\n"
	"\"patch_size\":32,\"hidden_act\":\"quick_gelu\",\"layer_norm_eps\":1e-05}}\n";

static const char ofa_config[] =
	"{\"model_type\":\"ofa\",\"activation_function\":\"gelu\",\"add_type_embedding\":true,\"attn_scale_factor\":2.0,\"bos_token_id\":0,\n"
	"\"d_model\":256,\"decoder_attention_heads\":4,\"decoder_ffn_dim\":1024,\"decoder_layers\":4,\"decoder_normalize_before\":true,\n"
	"\"encoder_attention_heads\":4,\"encoder_ffn_dim\":1024,\"encoder_layers\":4,\"encoder_normalize_before\":true,\"eos_token_id\":2,\n"
	"\"image_bucket_size\":42,\"layernorm_embedding\":true,\"max_position_embeddings\":1024,\"normformer\":true,\"pad_token_id\":1,\n"
	"\"patch_layernorm_embedding\":true,\"resnet_type\":\"resnet50\",\"scale_embedding\":false,\"share_decoder_input_output_embed\":true,\n"
	"\"token_bucket_size\":256,\"vocab_size\":59457}\n";

static const char bert_config[] =
	"{\"model_type\":\"bert\",\"vocab_size\":30522,\"hidden_size\":768,\"num_hidden_layers\":12,\"num_attention_heads\":12,\n"
	"\"intermediate_size\":3072,\"hidden_act\":\"gelu\",\"max_position_embeddings\":512,\"type_vocab_size\":2,\"layer_norm_eps\":1e-12,\n"
	"\"id2label\":{\"0\":\"contradiction\",\"1\":\"entailment\",\"2\":\"neutral\"}}\n";

static _Noreturn void stop(const char *what, const char *why)
{
	fprintf(stderr, "material: %s: %s\n", what, why);
	exit(1);
}

static void put_file(const char *dir, const char *name, const void *data, size_t size)
{
	char *path = xasprintf("%s/%s", dir, name);
	FILE *f = fopen(path, "wbe");

	if (!f || fwrite(data, 1, size, f) != size || fclose(f) != 0)
		stop(path, strerror(errno));
	free(path);
}

/* One that is there already is fine. */
static void make_directory(const char *path)
{
	if (mkdir(path, 0777) < 0 && errno != EEXIST)
		stop(path, strerror(errno));
}

/* ---- networks */

static void put_weights(const struct nn_source *source, const char *dir)
{
	struct checkpoint_tensor *list = xcalloc((size_t)source->n_made, sizeof *list);
	char *path = xasprintf("%s/model.safetensors", dir);
	struct error err;

	for (int i = 0; i < source->n_made; i++) {
		tt_tensor *x = source->made[i].tensor;
		struct checkpoint_tensor *t = &list[i];
		float *values = xmalloc((size_t)tt_count(x) * sizeof *values);

		*t = (struct checkpoint_tensor){
			.name = source->made[i].name, .dtype = CKPT_F32, .ndim = tt_ndim(x), .count = tt_count(x), .bytes = tt_count(x) * 4};
		for (int d = 0; d < t->ndim; d++)
			t->shape[d] = tt_size(x, d);
		if (tt_to_f32(source->pool, x, values, (size_t)t->count) < 0)
			stop(t->name, tt_message(source->pool));
		t->data = values;
	}
	if (checkpoint_write(path, list, source->n_made, &err) < 0)
		stop(path, err.text);
	for (int i = 0; i < source->n_made; i++)
		free((void *)list[i].data);
	free(list);
	free(path);
}

/* Byte-level pieces: of the characters that stand for bytes, every one is in the vocabulary, behind `first` tokens of its own. */
static void add_bytes(struct buffer *json, int *id, const char *suffix)
{
	for (int b = 0, spare = 256; b < 256; b++) {
		bool plain = (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae;

		/* GPT-2's table: what does not print is moved behind U+00FF */
		buffer_printf(json, ",\"\\u%04x%s\":%d", plain ? b : spare++, suffix, (*id)++);
	}
}

static void put_clip_tokenizer(const char *dir)
{
	struct buffer json = {0};
	int id = 0;

	add_bytes(&json, &id, "");
	add_bytes(&json, &id, "</w>");
	buffer_printf(&json, ",\"<|startoftext|>\":%d,\"<|endoftext|>\":%d}", id, id + 1);
	json.text[0] = '{';
	put_file(dir, "vocab.json", json.text, json.length);
	put_file(dir, "merges.txt", "#version: 0.2\n", 14);
	buffer_free(&json);
}

/* Every caption token is a piece of its own that no merges are needed for. */
static void put_ofa_tokenizer(const char *dir)
{
	struct buffer json = {0};
	int id = 4;

	buffer_puts(&json, "{\"<s>\":0,\"<pad>\":1,\"</s>\":2,\"<unk>\":3");
	add_bytes(&json, &id, "");
	while (id < CAPTION_WORDS) {
		buffer_printf(&json, ",\"<word%d>\":%d", id, id);
		id++;
	}
	buffer_puts(&json, "}");
	put_file(dir, "vocab.json", json.text, json.length);
	put_file(dir, "merges.txt", "#version: 0.2\n", 14);
	buffer_free(&json);
}

/* Behind the roles, every token is a word of its own. */
static void put_bert_tokenizer(const char *dir)
{
	static const char *const roles[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
	int id = (int)(sizeof roles / sizeof roles[0]);
	struct buffer text = {0};

	for (int i = 0; i < id; i++)
		buffer_printf(&text, "%s\n", roles[i]);
	while (id < NLI_WORDS)
		buffer_printf(&text, "word%d\n", id++);
	put_file(dir, "vocab.txt", text.text, text.length);
	buffer_free(&text);
}

static void begin_network(struct nn_source *source, const char *dir, const char *config, double std)
{
	tt_seed(20);
	*source = (struct nn_source){.pool = tt_pool_create(TT_TRAIN), .compute = TT_F32, .device = TT_CPU, .std = std};
	put_file(dir, "config.json", config, strlen(config));
}

static void end_network(struct nn_source *source, const char *dir)
{
	struct error err;

	if (nn_finish(source, dir, &err) < 0)
		stop(dir, err.text);
	put_weights(source, dir);
	nn_source_free(source);
	tt_pool_destroy(source->pool);
}

static void make_clip(const char *dir)
{
	json_t *json = json_loads(clip_config, 0, NULL);
	struct clip_config config;
	struct nn_source source;
	struct error err;

	if (clip_config_read(json, dir, &config, &err) < 0)
		stop(dir, err.text);
	put_clip_tokenizer(dir);
	begin_network(&source, dir, clip_config, 0.03);
	clip_net_destroy(clip_net_create(&config, &source));
	end_network(&source, dir);
	json_decref(json);
}

static void make_ofa(const char *dir)
{
	json_t *json = json_loads(ofa_config, 0, NULL);
	struct ofa_config config;
	struct nn_source source;
	struct error err;

	if (ofa_config_read(json, dir, &config, &err) < 0)
		stop(dir, err.text);
	put_ofa_tokenizer(dir);
	begin_network(&source, dir, ofa_config, 0.05);
	ofa_net_destroy(ofa_net_create(&config, &source));
	end_network(&source, dir);
	json_decref(json);
}

static void make_bert(const char *dir)
{
	json_t *json = json_loads(bert_config, 0, NULL);
	struct bert_config config;
	struct nn_source source;
	struct error err;

	if (bert_config_read(json, dir, &config, &err) < 0)
		stop(dir, err.text);
	put_bert_tokenizer(dir);
	begin_network(&source, dir, bert_config, 0.03);
	bert_net_destroy(bert_net_create(&config, &source));
	end_network(&source, dir);
	json_decref(json);
}

/* ---- pictures */

static float corner(uint64_t seed, int x, int y)
{
	uint64_t state = seed ^ (uint64_t)x * 0x9e3779b97f4a7c15u ^ (uint64_t)y * 0xc2b2ae3d27d4eb4fu;

	return scene_between(&state, -1, 1);
}

/* Noise between the corners of squares of `side` pixels. */
static float noise(uint64_t seed, int side, int x, int y)
{
	int left = x / side, top = y / side;
	float fx = (float)(x % side) / (float)side, fy = (float)(y % side) / (float)side;
	float upper = corner(seed, left, top) * (1 - fx) + corner(seed, left + 1, top) * fx;
	float lower = corner(seed, left, top + 1) * (1 - fx) + corner(seed, left + 1, top + 1) * fx;

	return upper * (1 - fy) + lower * fy;
}

/* A painted scene is flat, and a flat JPEG is decoded in no time: a texture over three scales makes it as heavy as a photograph's. */
static void roughen(uint8_t *rgb, int width, int height, uint64_t seed)
{
	for (int y = 0; y < height; y++)
		for (int x = 0; x < width; x++) {
			float light = 24 * noise(seed, 16, x, y) + 18 * noise(seed + 1, 5, x, y) + 9 * corner(seed + 2, x, y);

			for (int c = 0; c < 3; c++) {
				uint8_t *value = &rgb[((size_t)y * (size_t)width + (size_t)x) * 3 + (size_t)c];
				float v = (float)*value + light;

				*value = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
			}
		}
}

static void collect(void *context, void *data, int size)
{
	buffer_add(context, data, (size_t)size);
}

static void make_picture(const char *dir, int i)
{
	int width = i % 4 == 3 ? 640 : 500, height = i % 4 == 3 ? 480 : 375;
	uint8_t *rgb = xmalloc((size_t)width * (size_t)height * 3);
	struct buffer bytes = {0};
	struct scene scene;
	char name[32];

	scene_random(&scene, (uint64_t)i + 1, NULL);
	scene_paint(&scene, width, height, rgb);
	roughen(rgb, width, height, (uint64_t)i * 3 + 1000);
	stbi_write_jpg_to_func(collect, &bytes, width, height, 3, rgb, QUALITY);
	snprintf(name, sizeof name, "picture%04d.jpg", i);
	put_file(dir, name, bytes.text, bytes.length);
	buffer_free(&bytes);
	free(rgb);
}

/* Made under another name first: half a folder is no folder. */
static void make_folder(const char *base, const char *name, void (*make)(const char *dir))
{
	char *path = xasprintf("%s/%s", base, name), *unfinished = xasprintf("%s.new", path);

	if (access(path, F_OK) != 0) {
		make_directory(unfinished);
		make(unfinished);
		if (rename(unfinished, path) < 0)
			stop(path, strerror(errno));
	}
	free(unfinished);
	free(path);
}

static int pictures = PICTURES;

static void make_pictures(const char *dir)
{
	for (int i = 0; i < pictures; i++)
		make_picture(dir, i);
}

int main(int argc, char **argv)
{
	char message[200];

	if (argc < 2 || argc > 3 || argv[1][0] == '-' || (argc == 3 && (pictures = atoi(argv[2])) < 1)) {
		fprintf(stderr, "usage: material DIR [PICTURES]\n");
		return 2;
	}
	if (runtime_prepare(0))
		execv("/proc/self/exe", argv);
	if (tt_start(0, message, sizeof message) < 0)
		stop("libtorch", message);
	make_directory(argv[1]);
	make_folder(argv[1], "clip", make_clip);
	make_folder(argv[1], "captioner", make_ofa);
	make_folder(argv[1], "nli", make_bert);
	make_folder(argv[1], "pictures", make_pictures);
	return 0;
}
