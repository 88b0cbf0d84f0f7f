#include "models/picturebook/train.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "models/ofa.h"

enum { PAD = 1, IGNORE = -100, PROMPT_MAX = 32, TOKENS_MAX = 32, IMAGE_SIZE = 96, STRIDE = 16, FEATURES = 1024 };

static const char prompt_text[] = " what does the image describe?";

static const char configuration[] = "{\n"
				    "  \"framework\": \"pytorch\",\n"
				    "  \"task\": \"image-captioning\",\n"
				    "  \"model\": {\n"
				    "    \"type\": \"ofa\",\n"
				    "    \"language\": \"en\",\n"
				    "    \"prompt\": \"%s\",\n"
				    "    \"patch_image_size\": %d,\n"
				    "    \"imagenet_default_mean_and_std\": false,\n"
				    "    \"beam_search\": {\"beam_size\": 3, \"max_len_b\": 24, \"min_len\": 1, \"no_repeat_ngram_size\": 0}\n"
				    "  }\n"
				    "}\n";

/* Few positions, because captions are short and pictures small: the tables would otherwise outweigh the layers. 8 rows of patches are 128 pixels. */
static const char config[] = "{\n"
			     "  \"architectures\": [\"OFAModel\"],\n"
			     "  \"model_type\": \"ofa\",\n"
			     "  \"vocab_size\": %d,\n"
			     "  \"d_model\": 192,\n"
			     "  \"encoder_layers\": 2,\n"
			     "  \"encoder_attention_heads\": 4,\n"
			     "  \"encoder_ffn_dim\": 384,\n"
			     "  \"decoder_layers\": 2,\n"
			     "  \"decoder_attention_heads\": 4,\n"
			     "  \"decoder_ffn_dim\": 384,\n"
			     "  \"resnet_type\": \"resnet18\",\n"
			     "  \"max_position_embeddings\": 62,\n"
			     "  \"image_bucket_size\": 8,\n"
			     "  \"token_bucket_size\": 32,\n"
			     "  \"attn_scale_factor\": 2.0,\n"
			     "  \"activation_function\": \"gelu\",\n"
			     "  \"encoder_normalize_before\": true,\n"
			     "  \"decoder_normalize_before\": true,\n"
			     "  \"normformer\": true,\n"
			     "  \"scale_embedding\": false,\n"
			     "  \"add_type_embedding\": true,\n"
			     "  \"layernorm_embedding\": true,\n"
			     "  \"patch_layernorm_embedding\": true,\n"
			     "  \"code_layernorm_embedding\": true,\n"
			     "  \"share_attn_bias\": false,\n"
			     "  \"share_decoder_input_output_embed\": true,\n"
			     "  \"entangle_position_embedding\": false,\n"
			     "  \"code_image_size\": 128,\n"
			     "  \"bos_token_id\": 0,\n"
			     "  \"pad_token_id\": 1,\n"
			     "  \"eos_token_id\": 2,\n"
			     "  \"decoder_start_token_id\": 0\n"
			     "}\n";

struct captioner {
	struct bpe *bpe;
	struct ofa_net *net;
	struct nn_linear patch_kinds; /* see train_patch_loss */
	int64_t prompt[PROMPT_MAX];
	int n_prompt;
};

static int write_files(const char *dir, struct error *err)
{
	int vocabulary;
	if (train_write_gpt2(dir, &vocabulary, err) < 0)
		return -1;
	char *text = xasprintf(config, vocabulary);
	int status = train_write_text(dir, "config.json", text, err);
	free(text);
	if (status < 0)
		return -1;
	text = xasprintf(configuration, prompt_text, IMAGE_SIZE);
	status = train_write_text(dir, "configuration.json", text, err);
	free(text);
	return status;
}

static void close_net(void *net)
{
	struct captioner *c = net;
	ofa_net_destroy(c->net);
	bpe_free(c->bpe);
	free(c);
}

static void *open_net(const char *dir, struct nn_source *source, struct error *err)
{
	struct captioner *c = xcalloc(1, sizeof *c);
	struct ofa_config parsed;
	json_t *json = train_read_json(dir, err);
	int status = json ? ofa_config_read(json, dir, &parsed, err) : -1;
	json_decref(json);
	if (status == 0)
		c->bpe = bpe_load(&(struct bpe_source){.kind = BPE_BYTES, .dir = dir}, err);
	if (!c->bpe) {
		free(c);
		return NULL;
	}
	c->n_prompt = train_tokens(c->bpe, prompt_text, c->prompt, PROMPT_MAX);
	c->net = ofa_net_create(&parsed, source);
	c->patch_kinds = nn_linear_open(source, TRAIN_AID "patch_kinds", FEATURES, TRAIN_PATCH_CLASSES, true);
	if (nn_finish(source, "OFA", err) < 0) {
		close_net(c);
		return NULL;
	}
	return c;
}

/* ids: bos and the caption; target: the caption and eos. */
static void put_caption(const struct captioner *c, const struct scene *scene, struct train_batch *b, int row)
{
	char caption[CAPTION_MAX + 1] = " ";
	int64_t line[TOKENS_MAX + 1], *ids = b->ids + (size_t)row * TOKENS_MAX, *target = b->target + (size_t)row * TOKENS_MAX;
	caption_write(scene, caption + 1);
	int n = train_tokens(c->bpe, caption, line, TOKENS_MAX + 1);
	for (int i = 0; i < TOKENS_MAX; i++) {
		ids[i] = i < n - 1 ? line[i] : PAD;
		target[i] = i < n - 1 ? line[i + 1] : IGNORE;
	}
	b->longest = n - 1 > b->longest ? n - 1 : b->longest;
}

static struct train_batch *draw(const void *net, const struct train_phase *phase, uint64_t seed)
{
	const struct captioner *c = net;
	struct train_batch *b = train_batch_create(phase->batch, phase->size, phase->batch, TOKENS_MAX);
	struct scene_split split = {.part = SCENE_TRAIN};
	int grid = b->size / STRIDE;
	b->patches = xcalloc((size_t)b->n * (size_t)grid * (size_t)grid, sizeof *b->patches);
	memcpy(split.weight, phase->things, sizeof split.weight);
	for (int i = 0; i < b->n; i++) {
		struct scene scene;
		scene_random(&scene, scene_next(&seed), &split);
		float aspect = train_picture(&scene, &seed, b->size, b->pixels + (size_t)i * 3 * (size_t)b->size * (size_t)b->size);
		train_patch_kinds(&scene, aspect, grid, b->patches + i * grid * grid);
		put_caption(c, &scene, b, i);
	}
	return b;
}

static tt_tensor *loss(void *net, tt_pool *p, const struct train_batch *b)
{
	struct captioner *c = net;
	struct ofa_memory memory;
	tt_tensor *pixels = tt_from_f32(p, b->pixels, TT_SHAPE(b->n, 3, b->size, b->size));
	tt_tensor *prompt = tt_from_i64(p, c->prompt, TT_SHAPE(1, c->n_prompt));
	tt_tensor *ids = tt_slice(p, tt_from_i64(p, b->ids, TT_SHAPE(b->n, b->length)), 1, 0, b->longest);
	tt_tensor *target = tt_slice(p, tt_from_i64(p, b->target, TT_SHAPE(b->n, b->length)), 1, 0, b->longest);
	if (ofa_encode(c->net, p, pixels, tt_expand(p, prompt, TT_SHAPE(b->n, c->n_prompt)), true, &memory) < 0)
		return NULL;
	tt_tensor *logits = ofa_decode(c->net, p, &memory, ids);
	logits = tt_reshape(p, logits, TT_SHAPE(-1, tt_size(logits, 2)));
	tt_tensor *words = tt_cross_entropy(p, logits, tt_reshape(p, target, TT_SHAPE(-1)), IGNORE, 0.02);
	tt_tensor *patches = train_patch_loss(p, &c->patch_kinds, tt_permute(p, memory.features, TT_SHAPE(0, 2, 3, 1)), b->patches);
	return tt_add(p, words, tt_scale(p, patches, 0.5));
}

const struct train_task train_ofa = {
	.name = "ofa",
	.plan = {.rate = 1e-3,
		 .weight_decay = 0.05,
		 .average = 0.999,
		 .warmup = 300,
		 .phases = {{80000, 64, 64, {4, 3, 2}}, {60000, 64, IMAGE_SIZE, {3, 4, 3}}}},
	.write_files = write_files,
	.open = open_net,
	.close = close_net,
	.draw = draw,
	.loss = loss,
};
