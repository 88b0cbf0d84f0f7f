/* checkpoint_config.c - see checkpoint_config.h. */
#include "models/checkpoint_config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/mem.h"
#include "models/checkpoint.h"
#include "models/json.h"

enum { HEAD_WIDTH = 64, MAX_LAYERS = 256, OPEN_CLIP_TEXT_HEADS = 8 };

struct sizes {
	int64_t hidden, intermediate, layers, heads;
	const char *activation;
	double eps;
};

struct shapes {
	struct sizes vision, text;
	int64_t patch, image, vocabulary, context, projection;
};

/* ---- from the weights */

/* Size d of a tensor; 0 if there is no such tensor or dimension, or of one without values, whose other sizes may be any number. */
static int64_t size_of(const struct checkpoint *c, const char *name, int d)
{
	const struct checkpoint_tensor *t = checkpoint_find(c, name);

	return t && t->count > 0 && d < t->ndim ? t->shape[d] : 0;
}

/* before and after: of the number in the name of each layer's first matrix of its MLP. */
static void measure_tower(const struct checkpoint *c, const char *before, const char *after, struct sizes *out)
{
	char *name = xasprintf("%s.0.%s", before, after);

	out->intermediate = size_of(c, name, 0);
	out->hidden = size_of(c, name, 1);
	while (out->layers < MAX_LAYERS && size_of(c, name, 0) > 0) {
		free(name);
		name = xasprintf("%s.%d.%s", before, (int)++out->layers, after);
	}
	free(name);
	out->heads = out->hidden / HEAD_WIDTH;
	out->eps = 1e-5;
}

/* The side of the square of positions whose class stands before them; -1 when it is no square. */
static int64_t grid_of(const struct checkpoint *c, int64_t rows, struct error *err)
{
	int64_t grid = (int64_t)sqrt(rows > 1 ? (double)(rows - 1) : 0);

	if (grid * grid + 1 == rows)
		return grid;
	return fail(err, E_MODEL, "%s: a network for pictures that are not square (%jd positions)", checkpoint_path(c), (intmax_t)rows);
}

static int measure(const struct checkpoint *c, struct shapes *out, struct error *err)
{
	int64_t grid;

	measure_tower(c, "vision_model.encoder.layers", "mlp.fc1.weight", &out->vision);
	measure_tower(c, "text_model.encoder.layers", "mlp.fc1.weight", &out->text);
	out->patch = size_of(c, "vision_model.embeddings.patch_embedding.weight", 3);
	out->vocabulary = size_of(c, "text_model.embeddings.token_embedding.weight", 0);
	out->context = size_of(c, "text_model.embeddings.position_embedding.weight", 0);
	out->projection = size_of(c, "text_projection.weight", 0);
	if (out->vision.layers == 0 || out->text.layers == 0 || out->patch == 0 || out->projection == 0 || out->vocabulary == 0)
		return fail(err, E_MODEL, "%s: not all of a CLIP: a tower or a projection is missing", checkpoint_path(c));
	grid = grid_of(c, size_of(c, "vision_model.embeddings.position_embedding.weight", 0), err);
	out->image = out->patch * grid;
	return grid < 0 ? -1 : 0;
}

/* ---- from open_clip_config.json */

/* What changes the network beyond what is computed here. timm's own towers, towers of Hugging Face, CoCa, CLIPA and SigLIP are recognised by these. */
static int refuse_variants(struct json_reader *r, const json_t *config)
{
	static const struct json_plain variants[] = {
		{"multimodal_cfg", NULL},
		{"audio_cfg", NULL},
		{"init_logit_bias", NULL},
		{"vision_cfg.timm_model_name", NULL},
		{"vision_cfg.eva_model_name", NULL},
		{"vision_cfg.attentional_pool", NULL},
		{"vision_cfg.no_ln_pre", NULL},
		{"vision_cfg.ls_init_value", NULL},
		{"vision_cfg.final_ln_after_pool", NULL},
		{"vision_cfg.global_average_pool", NULL},
		{"vision_cfg.input_patchnorm", NULL},
		{"vision_cfg.block_type", "\"default\""},
		{"vision_cfg.qk_norm", NULL},
		{"vision_cfg.scaled_cosine_attn", NULL},
		{"vision_cfg.scale_heads", NULL},
		{"vision_cfg.scale_attn_inner", NULL},
		{"vision_cfg.scale_attn", NULL},
		{"vision_cfg.scale_fc", NULL},
		{"vision_cfg.pos_embed_type", "\"learnable\""},
		{"vision_cfg.pool_type", "\"tok\""},
		{"text_cfg.hf_model_name", NULL},
		{"text_cfg.embed_cls", NULL},
		{"text_cfg.ls_init_value", NULL},
		{"text_cfg.ln_post_emb", NULL},
		{"text_cfg.no_causal_mask", NULL},
		{"text_cfg.final_ln_after_pool", NULL},
		{"text_cfg.block_type", "\"default\""},
		{"text_cfg.qk_norm", NULL},
		{"text_cfg.scaled_cosine_attn", NULL},
		{"text_cfg.scale_heads", NULL},
		{"text_cfg.scale_attn_inner", NULL},
		{"text_cfg.scale_attn", NULL},
		{"text_cfg.scale_fc", NULL},
		{"text_cfg.proj_bias", NULL},
		{"text_cfg.pool_type", "\"argmax\""},
		{"text_cfg.proj_type", "\"linear\""},
		{"text_cfg.hf_tokenizer_name", NULL},
		{"text_cfg.tokenizer_mode", NULL},
		{"text_cfg.tokenizer_kwargs", "{}"},
	};

	return json_refuse_others(r, config, variants, sizeof variants / sizeof variants[0]);
}

/* A size that the file names must be that of the weights. */
static int same_size(struct json_reader *r, const json_t *config, const char *key, int64_t size)
{
	long said = json_int(r, config, key, (long)size, 0, 1 << 24);

	if (r->failed)
		return -1;
	if (said != size)
		return fail(r->err, E_MODEL, "%s: %s is %ld, but the weights are of %jd; they do not belong together", r->file, key, said,
			    (intmax_t)size);
	return 0;
}

/* Pictures may be larger than their whole patches, of which alone the weights tell. */
static int read_image(struct json_reader *r, const json_t *config, struct shapes *s)
{
	int64_t said = json_int(r, config, "vision_cfg.image_size", (long)s->image, 1, 1 << 16);

	if (r->failed || said / s->patch != s->image / s->patch)
		return same_size(r, config, "vision_cfg.image_size", s->image);
	s->image = said;
	return 0;
}

/* As same_size of a part of another size. */
static int same_ratio(struct json_reader *r, const json_t *config, const char *key, const struct sizes *tower)
{
	double said = json_number(r, config, key, (double)tower->intermediate / (double)tower->hidden);

	if (r->failed)
		return -1;
	if (!json_find(config, key) || (int64_t)((double)tower->hidden * said) == tower->intermediate)
		return 0;
	return fail(r->err, E_MODEL, "%s: %s is %g, but the weights are %jd wide inside of %jd; they do not belong together", r->file, key, said,
		    (intmax_t)tower->intermediate, (intmax_t)tower->hidden);
}

/* What a tower's norms and activation are given instead of the usual: "norm_kwargs" {"eps": 1e-6}, "act_kwargs" {"approximate": "tanh"}. */
static int read_tower(struct json_reader *r, const json_t *config, const char *name, struct sizes *tower)
{
	static const struct json_plain norm[] = {{"elementwise_affine", "true"}, {"bias", "true"}};
	const json_t *section = json_find(config, name);
	const char *approximate = json_text(r, section, "act_kwargs.approximate", "none");

	tower->eps = json_number(r, section, "norm_kwargs.eps", tower->eps);
	if (r->failed || json_refuse_others(r, json_find(section, "norm_kwargs"), norm, sizeof norm / sizeof norm[0]) < 0)
		return -1;
	if (strcmp(approximate, "none") == 0)
		return 0;
	if (strcmp(approximate, "tanh") != 0 || strcmp(tower->activation, "gelu") != 0)
		return fail(r->err, E_MODEL, "%s: %s.act_kwargs: approximate \"%s\" is not for the activation %s", r->file, name, approximate,
			    tower->activation);
	tower->activation = "gelu_pytorch_tanh";
	return 0;
}

/* A text tower has 8 heads unless the file says another number, however wide it is. */
static int read_open_clip(const char *file, const json_t *config, struct shapes *s, struct error *err)
{
	struct json_reader r = {.file = file, .err = err};

	if (refuse_variants(&r, config) < 0)
		return -1;
	s->vision.activation = s->text.activation = json_flag(&r, config, "quick_gelu", false) ? "quick_gelu" : "gelu";
	s->vision.heads = s->vision.hidden / json_int(&r, config, "vision_cfg.head_width", HEAD_WIDTH, 1, 1 << 16);
	s->text.heads = json_int(&r, config, "text_cfg.heads", OPEN_CLIP_TEXT_HEADS, 1, 1 << 16);
	if (same_size(&r, config, "embed_dim", s->projection) < 0 || read_image(&r, config, s) < 0 ||
	    same_size(&r, config, "vision_cfg.patch_size", s->patch) < 0 || same_size(&r, config, "vision_cfg.layers", s->vision.layers) < 0 ||
	    same_size(&r, config, "vision_cfg.width", s->vision.hidden) < 0 || same_size(&r, config, "text_cfg.layers", s->text.layers) < 0 ||
	    same_size(&r, config, "text_cfg.width", s->text.hidden) < 0 || same_size(&r, config, "text_cfg.context_length", s->context) < 0 ||
	    same_size(&r, config, "text_cfg.vocab_size", s->vocabulary) < 0 || same_ratio(&r, config, "vision_cfg.mlp_ratio", &s->vision) < 0 ||
	    same_ratio(&r, config, "text_cfg.mlp_ratio", &s->text) < 0)
		return -1;
	return read_tower(&r, config, "vision_cfg", &s->vision) < 0 ? -1 : read_tower(&r, config, "text_cfg", &s->text);
}

/* The folder's open_clip_config.json: 1 when there is one that has been read, 0 when there is none. */
static int find_open_clip(const char *path, struct shapes *s, struct error *err)
{
	const char *slash = strrchr(path, '/');
	char *file = xasprintf("%.*sopen_clip_config.json", slash ? (int)(slash + 1 - path) : 0, path);
	struct stat st;
	json_t *root;
	int rc = 0;

	if (stat(file, &st) == 0) {
		root = json_read(file, JSON_LIMIT, err);
		rc = !root ? -1 : json_is_object(json_find(root, "model_cfg")) ? 1 : fail(err, E_FORMAT, "%s: no \"model_cfg\" in it", file);
		if (rc > 0 && read_open_clip(file, json_find(root, "model_cfg"), s, err) < 0)
			rc = -1;
		json_decref(root);
	}
	free(file);
	return rc;
}

/* ---- CLIP */

static int settle_activation(const struct checkpoint *c, const json_t *given, struct shapes *s, struct error *err)
{
	const char *said = json_string_value(json_find(given, "hidden_act"));
	int found = find_open_clip(checkpoint_path(c), s, err);

	if (found < 0)
		return -1;
	if (said)
		s->vision.activation = s->text.activation = said;
	else if (!found && checkpoint_naming(c) == CKPT_NAMED_TRAINING)
		return fail(
			err, E_MODEL,
			"%s: a training checkpoint, which does not say whether its network uses gelu or quick_gelu; put the open_clip_config.json "
			"of its model beside it",
			checkpoint_path(c));
	else if (!found)
		s->vision.activation = s->text.activation = "quick_gelu";
	return 0;
}

static json_t *tower_json(const struct sizes *t)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:s, s:f}", "hidden_size", (json_int_t)t->hidden, "intermediate_size", (json_int_t)t->intermediate,
			 "num_hidden_layers", (json_int_t)t->layers, "num_attention_heads", (json_int_t)t->heads, "hidden_act", t->activation,
			 "layer_norm_eps", t->eps);
}

static json_t *config_json(const struct shapes *s)
{
	json_t *vision = tower_json(&s->vision), *text = tower_json(&s->text);

	json_object_set_new(vision, "image_size", json_integer(s->image));
	json_object_set_new(vision, "patch_size", json_integer(s->patch));
	json_object_set_new(text, "vocab_size", json_integer(s->vocabulary));
	json_object_set_new(text, "max_position_embeddings", json_integer(s->context));
	json_object_set_new(text, "eos_token_id", json_integer(2)); /* as in the first configs: the largest id ends a text */
	return json_pack("{s:s, s:I, s:o, s:o}", "model_type", "clip", "projection_dim", (json_int_t)s->projection, "vision_config", vision,
			 "text_config", text);
}

/* ---- BLIP */

static int measure_blip(const struct checkpoint *c, struct shapes *out, struct error *err)
{
	int64_t grid;

	measure_tower(c, "vision_model.encoder.layers", "mlp.fc1.weight", &out->vision);
	measure_tower(c, "text_decoder.bert.encoder.layer", "intermediate.dense.weight", &out->text);
	out->patch = size_of(c, "vision_model.embeddings.patch_embedding.weight", 3);
	out->vocabulary = size_of(c, "text_decoder.bert.embeddings.word_embeddings.weight", 0);
	out->context = size_of(c, "text_decoder.bert.embeddings.position_embeddings.weight", 0);
	if (out->vision.layers == 0 || out->text.layers == 0 || out->patch == 0 || out->context == 0 || out->vocabulary < 2)
		return fail(err, E_MODEL, "%s: not all of a BLIP that writes captions: a tower or its embeddings are missing", checkpoint_path(c));
	grid = grid_of(c, size_of(c, "vision_model.embeddings.position_embedding", 1), err);
	out->image = out->patch * grid;
	return grid < 0 ? -1 : 0;
}

/* What models/vit.py, configs/med_config.json and configs/caption_coco.yaml of salesforce/BLIP say; BLIP's own two tokens end the vocabulary, and the
 * first of them begins a caption. */
static json_t *config_blip(const struct checkpoint *c, struct error *err)
{
	struct shapes s = {.vision.activation = "gelu", .text.activation = "gelu"};
	json_t *vision, *text;

	if (measure_blip(c, &s, err) < 0)
		return NULL;
	s.vision.eps = 1e-6;
	s.text.eps = 1e-12;
	vision = tower_json(&s.vision);
	text = tower_json(&s.text);
	json_object_set_new(vision, "image_size", json_integer(s.image));
	json_object_set_new(vision, "patch_size", json_integer(s.patch));
	json_object_set_new(text, "vocab_size", json_integer(s.vocabulary));
	json_object_set_new(text, "max_position_embeddings", json_integer(s.context));
	json_object_set_new(text, "bos_token_id", json_integer(s.vocabulary - 2));
	json_object_set_new(text, "num_beams", json_integer(3));
	json_object_set_new(text, "max_length", json_integer(20));
	json_object_set_new(text, "min_length", json_integer(5));
	json_object_set_new(text, "vramble_prompt", json_string("a picture of "));
	return json_pack("{s:s, s:o, s:o}", "model_type", "blip", "vision_config", vision, "text_config", text);
}

/* ---- whichever it is */

/* For who gave a folder: that the config is missing is the first thing to know. */
static json_t *refuse(const char *path, const struct error *why, struct error *err)
{
	struct stat st;

	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return fail_null(err, why->code, "%s: no config.json in it, and without one: %s", path, why->text);
	if (err)
		*err = *why;
	return NULL;
}

json_t *checkpoint_config(const char *path, const json_t *given, struct error *err)
{
	struct error why = {0};
	struct checkpoint *c = checkpoint_open(path, &why);
	struct shapes shapes = {0};
	json_t *config = NULL;

	if (!c)
		return refuse(path, &why, err);
	if (checkpoint_naming(c) == CKPT_NAMED_SALESFORCE)
		config = config_blip(c, err);
	else if (checkpoint_naming(c) == CKPT_NAMED_PLAIN)
		fail(err, E_MODEL, "%s: no config.json beside it; a model directory in Hugging Face's layout is needed", checkpoint_path(c));
	else if (measure(c, &shapes, err) == 0 && settle_activation(c, given, &shapes, err) == 0)
		config = config_json(&shapes);
	checkpoint_close(c);
	return config;
}
