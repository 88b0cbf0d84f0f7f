/* model_folders.c - see model_folders.h. */
#include "tests/support/model_folders.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "models/checkpoint.h"

enum tokens { LETTERS, BYTES, WORDS, PIECES };

static const char open_clip[] =
	"{\"model_cfg\": {\"embed_dim\": 48, \"quick_gelu\": true, \"vision_cfg\": {\"image_size\": 32, \"layers\": 2, \"width\": 128, "
	"\"patch_size\": 8,"
	" \"head_width\": 64}, \"text_cfg\": {\"context_length\": 77, \"vocab_size\": 96, \"width\": 64, \"heads\": 1, \"layers\": 3}},"
	" \"preprocess_cfg\": {\"mean\": [0.48, 0.46, 0.41], \"std\": [0.27, 0.26, 0.28], \"interpolation\": \"bicubic\", \"resize_mode\": "
	"\"shortest\"}}";
static const char preprocessor[] =
	"{\"do_resize\": true, \"size\": {\"shortest_edge\": 32}, \"do_center_crop\": true, \"crop_size\": {\"height\": 32, \"width\": 32}, "
	"\"resample\": 3,"
	" \"do_rescale\": true, \"rescale_factor\": 0.00392156862745098, \"do_normalize\": true, \"image_mean\": [0.48, 0.46, 0.41],"
	" \"image_std\": [0.27, 0.26, 0.28]}";
static const char task[] =
	"{\"task\": \"image-captioning\", \"model\": {\"type\": \"ofa\", \"patch_image_size\": 64, \"imagenet_default_mean_and_std\": false,"
	" \"max_src_length\": 20, \"prompt\": \" a dog\", \"language\": \"en\", \"gen_type\": \"generation\", \"beam_search\": {\"beam_size\": 2,"
	" \"max_len_a\": 0, \"max_len_b\": 5, \"min_len\": 1, \"no_repeat_ngram_size\": 3, \"len_penalty\": 1.0, \"temperature\": 1.0,"
	" \"unk_penalty\": 0, \"normalize_scores\": true}}}";

/* changed: another file than config.json is the one that mutates */
static const struct folder {
	const char *kind, *fixture;
	enum tokens tokens;
	const char *changed;
} folders[MODEL_FOLDERS] = {
	{"clip/config.json", "clip/small", LETTERS, NULL},
	{"open-clip/open_clip_config.json", "clip/small-openai", LETTERS, open_clip},
	{"pictures/preprocessor_config.json", "clip/small", LETTERS, preprocessor},
	{"ofa/config.json", "ofa/small", BYTES, NULL},
	{"ofa-task/configuration.json", "ofa/small", BYTES, task},
	{"blip/config.json", "blip/small", WORDS, NULL},
	{"bert/config.json", "bert/small", WORDS, NULL},
	{"roberta/config.json", "roberta/small", BYTES, NULL},
	{"bart/config.json", "bart/small", BYTES, NULL},
	{"deberta/config.json", "deberta/small", PIECES, NULL},
	{"siglip/config.json", "siglip/small", PIECES, NULL},
};

static char *name_in(const struct folder *f, const char *name)
{
	return xasprintf("%.*s/%s", (int)strcspn(f->kind, "/"), f->kind, name);
}

static void put(const struct folder *f, const char *name, const char *text, size_t size)
{
	char *path = name_in(f, name);

	fuzz_file(path, text, size);
	free(path);
}

/* ---- tokenizers: few pieces, with what the networks ask for */

static void put_letters(const struct folder *f)
{
	static const char merges[] = "#version: 0.2\nc a\nca t</w>\n";
	struct buffer vocab = {0};

	buffer_puts(&vocab, "{");
	for (int i = 0; i < 26; i++)
		buffer_printf(&vocab, "\"%c\":%d,\"%c</w>\":%d,", 'a' + i, i, 'a' + i, 26 + i);
	buffer_puts(&vocab, "\"ca\":52,\"cat</w>\":53,\"<|startoftext|>\":54,\"<|endoftext|>\":55}");
	put(f, "vocab.json", vocab.text, vocab.length);
	put(f, "merges.txt", merges, sizeof merges - 1);
	buffer_free(&vocab);
}

static void put_bytes(const struct folder *f)
{
	static const char merges[] = "#version: 0.2\nd o\ndo g\n\xc4\xa0 dog\n";
	struct buffer vocab = {0};

	buffer_puts(&vocab, "{\"<s>\":0,\"<pad>\":1,\"</s>\":2,\"<unk>\":3");
	for (int i = 0; i < 26; i++)
		buffer_printf(&vocab, ",\"%c\":%d", 'a' + i, 4 + i);
	buffer_puts(&vocab, ",\"\\u0120\":30,\"do\":31,\"dog\":32,\"\\u0120dog\":33}");
	put(f, "vocab.json", vocab.text, vocab.length);
	put(f, "merges.txt", merges, sizeof merges - 1);
	buffer_free(&vocab);
}

static void put_words(const struct folder *f)
{
	static const char lines[] = "[PAD]\n[UNK]\n[CLS]\n[MASK]\na\ndog\nb\n##b\nc\n[SEP]\nd\n##d\n.\n";

	put(f, "vocab.txt", lines, sizeof lines - 1);
}

static void put_pieces(const struct folder *f)
{
	static const char tokenizer[] =
		"{\"added_tokens\": [{\"content\": \"[SEP]\", \"special\": true}, {\"content\": \"</s>\", \"special\": true}],"
		" \"model\": {\"type\": \"Unigram\", \"unk_id\": 3, \"vocab\": [[\"[PAD]\", 0], [\"[CLS]\", 0], [\"[SEP]\", 0], [\"[UNK]\", 0],"
		" [\"</s>\", 0], [\"\xe2\x96\x81\", -3], [\"a\", -4], [\"d\", -4], [\"o\", -4], [\"g\", -4], [\"\xe2\x96\x81"
		"dog\", -5]]}}";

	put(f, "tokenizer.json", tokenizer, sizeof tokenizer - 1);
}

/* ---- weights */

static json_t *fixture_of(const struct folder *f)
{
	char *path = xasprintf("tests/golden/%s.json", f->fixture);
	json_t *root = json_load_file(path, 0, NULL);

	if (!root)
		fprintf(stderr, "%s cannot be read; run this in the project's folder\n", path);
	free(path);
	return root;
}

/* Its config.json. BERT's names no labels, so the order must be said. */
static char *config_of(const struct folder *f, json_t *root)
{
	json_t *config = json_object_get(root, "config");

	if (strcmp(f->fixture, "bert/small") == 0)
		json_object_set_new(config, "vramble_label_order", json_string("contradiction,entailment,neutral"));
	return json_dumps(config, 0);
}

static struct checkpoint_tensor tensor_of(const json_t *node)
{
	const json_t *shape = json_object_get(node, "shape");
	struct checkpoint_tensor t = {.name = json_string_value(json_object_get(node, "name")), .dtype = CKPT_F32, .count = 1};
	float *values;

	t.ndim = (int)json_array_size(shape);
	for (int d = 0; d < t.ndim; d++) {
		t.shape[d] = json_integer_value(json_array_get(shape, (size_t)d));
		t.count *= t.shape[d];
	}
	t.bytes = t.count * (int64_t)sizeof *values;
	values = xcalloc((size_t)t.count, sizeof *values);
	for (int64_t i = 0; i < t.count; i++)
		values[i] = (float)(i * 7919 % 201 - 100) / 1000 + (t.ndim == 1); /* a variance is positive */
	t.data = values;
	return t;
}

static void put_weights(const struct folder *f, const json_t *root)
{
	const json_t *list = json_object_get(root, "tensors"), *aliases = json_object_get(root, "aliases"), *node;
	struct checkpoint_tensor *tensors = xcalloc(json_array_size(list) + json_object_size(aliases), sizeof *tensors);
	char *name = name_in(f, "model.safetensors");
	struct error err;
	int made = 0, n;
	const char *key;
	size_t i;

	json_array_foreach(list, i, node)
		tensors[made++] = tensor_of(node);
	n = made;
	json_object_foreach((json_t *)aliases, key, node)
		for (int k = 0; k < made; k++)
			if (strcmp(tensors[k].name, json_string_value(node)) == 0) {
				tensors[n] = tensors[k];
				tensors[n++].name = key;
			}
	if (checkpoint_write(fuzz_file(name, "", 0), tensors, n, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		exit(1);
	}
	for (int k = 0; k < made; k++)
		free((void *)tensors[k].data);
	free(tensors);
	free(name);
}

/* ---- folders */

static const struct folder *find(const char *kind)
{
	for (int i = 0; i < MODEL_FOLDERS; i++)
		if (strcmp(folders[i].kind, kind) == 0)
			return &folders[i];
	fprintf(stderr, "%s: no such kind\n", kind);
	exit(1);
}

void model_folders_make(const char *kind)
{
	static void (*const put_tokenizer[])(const struct folder *f) = {
		[LETTERS] = put_letters, [BYTES] = put_bytes, [WORDS] = put_words, [PIECES] = put_pieces};
	static bool made[MODEL_FOLDERS];
	const struct folder *f = find(kind);
	json_t *root;
	char *config;

	if (made[f - folders])
		return;
	made[f - folders] = true;
	root = fixture_of(f);
	if (!root)
		exit(1);
	config = config_of(f, root);
	if (!strstr(kind, "open_clip"))
		put(f, "config.json", config, strlen(config));
	if (strcmp(f->fixture, "ofa/small") == 0)
		put(f, "configuration.json", task, sizeof task - 1);
	put_tokenizer[f->tokens](f);
	put_weights(f, root);
	free(config);
	json_decref(root);
}

static char *right[MODEL_FOLDERS];

void model_folders_end(void)
{
	for (int i = 0; i < MODEL_FOLDERS; i++)
		free(right[i]);
}

int model_folders_seeds(struct fuzz_seed out[MODEL_FOLDERS])
{
	for (int i = 0; i < MODEL_FOLDERS; i++) {
		const struct folder *f = &folders[i];
		json_t *root = f->changed ? NULL : fixture_of(f);

		if (!root && !f->changed)
			return -1;
		right[i] = root ? config_of(f, root) : xstrdup(f->changed);
		out[i] = (struct fuzz_seed){right[i], strlen(right[i]), f->kind};
		json_decref(root);
	}
	return 0;
}
