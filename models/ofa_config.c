/* ofa_config.c - OFA's config.json. A missing key has the value that the published code gives it. */
#include "models/ofa.h"

#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "models/json.h"

enum { MAX_WIDTH = 1 << 15, MAX_FFN = 1 << 18, MAX_LAYERS = 512, MAX_VOCABULARY = 1 << 24, MAX_POSITIONS = 1 << 16, MAX_BUCKET = 1 << 9 };

/* Switches of other members of the family, which change the network: refused rather than ignored. */
static int refuse_others(struct json_reader *r, const json_t *config, struct error *err)
{
	static const struct {
		const char *key;
		bool usual;
		const char *meaning;
	} keys[] = {
		{"use_ofasys", false, "the 6B model with a ViT for pictures"},
		{"use_gamma_feature", false, "scaled residuals in the picture tower"},
		{"use_image_feature", true, "a network without pictures"},
		{"entangle_position_embedding", false, "positions added to the tokens"},
		{"interpolate_position", false, "interpolated picture positions"},
	};

	for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
		if (json_flag(r, config, keys[i].key, keys[i].usual) == keys[i].usual)
			continue;
		return fail(err, E_MODEL, "%s: \"%s\": %s (%s) is not supported; use a published OFA captioner (tiny to huge)", r->file, keys[i].key,
			    keys[i].usual ? "false" : "true", keys[i].meaning);
	}
	return 0;
}

static int read_stages(struct json_reader *r, const json_t *config, int blocks[OFA_STAGES], struct error *err)
{
	/* all of them are nets of bottlenecks, also the two smallest */
	static const struct {
		const char *name;
		int blocks[OFA_STAGES];
	} types[] = {
		{"resnet18", {2, 2, 2}}, {"resnet34", {3, 4, 6}}, {"resnet50", {3, 4, 6}}, {"resnet101", {3, 4, 23}}, {"resnet152", {3, 8, 36}},
	};
	const char *name = json_text(r, config, "resnet_type", "resnet101");

	for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
		if (strcmp(name, types[i].name) != 0)
			continue;
		memcpy(blocks, types[i].blocks, sizeof types[i].blocks);
		return 0;
	}
	return fail(err, E_MODEL, "%s: \"resnet_type\": \"%s\" is unknown; there are resnet18, 34, 50, 101 and 152", r->file, name);
}

static void read_numbers(struct json_reader *r, const json_t *config, struct ofa_config *c)
{
	c->d_model = (int)json_int(r, config, "d_model", 512, 1, MAX_WIDTH);
	c->vocabulary = (int)json_int(r, config, "vocab_size", 59457, 5, MAX_VOCABULARY);
	c->positions = (int)json_int(r, config, "max_position_embeddings", 1024, 1, MAX_POSITIONS);
	c->encoder_layers = (int)json_int(r, config, "encoder_layers", 4, 1, MAX_LAYERS);
	c->encoder_heads = (int)json_int(r, config, "encoder_attention_heads", 8, 1, MAX_WIDTH);
	c->encoder_ffn = (int)json_int(r, config, "encoder_ffn_dim", 2048, 1, MAX_FFN);
	c->decoder_layers = (int)json_int(r, config, "decoder_layers", 4, 1, MAX_LAYERS);
	c->decoder_heads = (int)json_int(r, config, "decoder_attention_heads", 8, 1, MAX_WIDTH);
	c->decoder_ffn = (int)json_int(r, config, "decoder_ffn_dim", 2048, 1, MAX_FFN);
	c->token_bucket = (int)json_int(r, config, "token_bucket_size", 256, 2, MAX_BUCKET);
	c->image_bucket = (int)json_int(r, config, "image_bucket_size", 42, 1, MAX_BUCKET);
	c->attn_scale_factor = json_number(r, config, "attn_scale_factor", 2.0);
	c->bos = (int)json_int(r, config, "bos_token_id", 0, 0, c->vocabulary - 1);
	c->pad = (int)json_int(r, config, "pad_token_id", 1, 0, c->vocabulary - 1);
	c->eos = (int)json_int(r, config, "eos_token_id", 2, 0, c->vocabulary - 1);
	c->unk = (int)json_int(r, config, "unk_token_id", 3, 0, c->vocabulary - 1);
}

static void read_flags(struct json_reader *r, const json_t *config, struct ofa_config *c)
{
	c->encoder_pre_norm = json_flag(r, config, "encoder_normalize_before", true);
	c->decoder_pre_norm = json_flag(r, config, "decoder_normalize_before", true);
	c->normformer = json_flag(r, config, "normformer", true);
	c->scale_embedding = json_flag(r, config, "scale_embedding", false);
	c->type_embedding = json_flag(r, config, "add_type_embedding", true);
	c->layernorm_embedding = json_flag(r, config, "layernorm_embedding", true);
	c->patch_layernorm_embedding = json_flag(r, config, "patch_layernorm_embedding", true);
	c->share_attn_bias = json_flag(r, config, "share_attn_bias", false);
	c->share_output = json_flag(r, config, "share_decoder_input_output_embed", true);
}

static int check(const struct ofa_config *c, const char *file, struct error *err)
{
	if (c->d_model % c->encoder_heads != 0 || c->d_model % c->decoder_heads != 0)
		return fail(err, E_MODEL, "%s: d_model %d does not divide by the attention heads (%d and %d)", file, c->d_model, c->encoder_heads,
			    c->decoder_heads);
	if (!(c->attn_scale_factor > 0))
		return fail(err, E_MODEL, "%s: attn_scale_factor must be greater than 0", file);
	if (c->bos == c->pad || c->bos == c->eos || c->pad == c->eos)
		return fail(err, E_MODEL, "%s: bos_token_id %d, pad_token_id %d and eos_token_id %d must differ", file, c->bos, c->pad, c->eos);
	return 0;
}

static int read_all(struct json_reader *r, const json_t *config, struct ofa_config *out, struct error *err)
{
	const char *activation = json_text(r, config, "activation_function", "gelu");
	int kind = nn_activation(activation);

	if (kind < 0)
		return fail(err, E_MODEL, "%s: \"activation_function\": \"%s\" is unknown", r->file, activation);
	out->activation = (enum tt_activation)kind;
	read_numbers(r, config, out);
	read_flags(r, config, out);
	if (r->failed || refuse_others(r, config, err) < 0 || r->failed || read_stages(r, config, out->blocks, err) < 0 || r->failed)
		return -1;
	return check(out, r->file, err);
}

int ofa_config_read(const json_t *config, const char *dir, struct ofa_config *out, struct error *err)
{
	char *file = xasprintf("%s/config.json", dir);
	struct json_reader r = {.file = file, .err = err};
	int rc;

	*out = (struct ofa_config){0};
	rc = read_all(&r, config, out, err);
	free(file);
	return rc;
}
