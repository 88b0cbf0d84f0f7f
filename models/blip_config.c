/* blip_config.c - BLIP's config.json. See blip.h. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "models/blip.h"
#include "models/json.h"

enum { MAX_WIDTH = 1 << 16, MAX_LAYERS = 256, MAX_IMAGE = 4096, MAX_ROWS = 1 << 24, MAX_BEAMS = 256 };

static enum tt_activation read_activation(struct json_reader *r, const json_t *section)
{
	const char *name = json_text(r, section, "hidden_act", "gelu");
	int kind = nn_activation(name);

	if (kind < 0 && !r->failed) {
		fail(r->err, E_MODEL, "%s: hidden_act \"%s\" is not an activation that is known here", r->file, name);
		r->failed = true;
	}
	return kind < 0 ? TT_GELU : (enum tt_activation)kind;
}

static void read_tower(struct json_reader *r, const json_t *section, const struct blip_tower_config *otherwise, struct blip_tower_config *out)
{
	out->hidden = (int)json_int(r, section, "hidden_size", otherwise->hidden, 1, MAX_WIDTH);
	out->intermediate = (int)json_int(r, section, "intermediate_size", otherwise->intermediate, 1, MAX_WIDTH);
	out->layers = (int)json_int(r, section, "num_hidden_layers", otherwise->layers, 1, MAX_LAYERS);
	out->heads = (int)json_int(r, section, "num_attention_heads", otherwise->heads, 1, MAX_WIDTH);
	out->activation = read_activation(r, section);
	out->eps = json_number(r, section, "layer_norm_eps", otherwise->eps);
}

static void read_vision(struct json_reader *r, const json_t *section, struct blip_config *out)
{
	static const struct blip_tower_config otherwise = {768, 3072, 12, 12, TT_GELU, 1e-5};

	read_tower(r, section, &otherwise, &out->vision);
	json_int(r, section, "num_channels", 3, 3, 3);
	out->image_size = (int)json_int(r, section, "image_size", 384, 1, MAX_IMAGE);
	out->patch_size = (int)json_int(r, section, "patch_size", 16, 1, MAX_IMAGE);
}

/* The published code generates by what the decoder's own part of the config says; a generation_config.json is not for the decoder. New tokens are counted
 * behind the one, bos, that a caption begins with. */
static void read_generation(struct json_reader *r, const json_t *section, struct blip_generation *g)
{
	int more = (int)json_int(r, section, "max_new_tokens", 0, 1, MAX_WIDTH), least = (int)json_int(r, section, "min_new_tokens", 0, 0, MAX_WIDTH);

	g->beams = (int)json_int(r, section, "num_beams", 1, 1, MAX_BEAMS);
	g->max_length = (int)json_int(r, section, "max_length", 20, 2, MAX_WIDTH);
	g->min_length = (int)json_int(r, section, "min_length", 0, 0, MAX_WIDTH);
	if (more > 0)
		g->max_length = more + 1;
	if (least > 0 && least + 1 > g->min_length)
		g->min_length = least + 1;
	g->no_repeat_ngram = (int)json_int(r, section, "no_repeat_ngram_size", 0, 0, MAX_WIDTH);
	g->length_penalty = json_number(r, section, "length_penalty", 1);
	g->repetition = json_number(r, section, "repetition_penalty", 1);
	snprintf(g->prompt, sizeof g->prompt, "%s", json_text(r, section, "vramble_prompt", ""));
}

/* What the decoder's part may ask for beyond what is computed here. */
static int refuse_others(struct json_reader *r, const json_t *section)
{
	static const struct json_plain keys[] = {
		{"is_decoder", "true"},
		{"position_embedding_type", "\"absolute\""},
		{"do_sample", NULL},
		{"early_stopping", NULL},
		{"num_beam_groups", "1"},
		{"num_return_sequences", "1"},
		{"penalty_alpha", "0"},
		{"guidance_scale", "1"},
		{"encoder_no_repeat_ngram_size", "0"},
		{"encoder_repetition_penalty", "1"},
		{"renormalize_logits", NULL},
		{"bad_words_ids", NULL},
		{"force_words_ids", NULL},
		{"constraints", NULL},
		{"forced_bos_token_id", NULL},
		{"forced_eos_token_id", NULL},
		{"suppress_tokens", NULL},
		{"begin_suppress_tokens", NULL},
		{"sequence_bias", NULL},
		{"exponential_decay_length_penalty", NULL},
		{"dola_layers", NULL},
		{"stop_strings", NULL},
		{"max_time", NULL},
		{"watermarking_config", NULL},
		{"pruned_heads", "{}"},
	};

	return json_refuse_others(r, section, keys, sizeof keys / sizeof keys[0]);
}

static void read_text(struct json_reader *r, const json_t *section, struct blip_config *out)
{
	static const struct blip_tower_config otherwise = {768, 3072, 12, 8, TT_GELU, 1e-12};

	read_tower(r, section, &otherwise, &out->text);
	out->vocabulary = (int)json_int(r, section, "vocab_size", 30524, 2, MAX_ROWS);
	out->positions = (int)json_int(r, section, "max_position_embeddings", 512, 2, MAX_ROWS);
	out->bos = (int)json_int(r, section, "bos_token_id", 30522, 0, out->vocabulary - 1);
	out->pad = (int)json_int(r, section, "pad_token_id", 0, 0, out->vocabulary - 1);
	out->sep = (int)json_int(r, section, "sep_token_id", 102, 0, out->vocabulary - 1);
	read_generation(r, section, &out->generation);
}

static int check_tower(const char *file, const char *name, const struct blip_tower_config *c, struct error *err)
{
	if (c->hidden % c->heads != 0)
		return fail(err, E_MODEL, "%s: %s: hidden_size %d does not divide by %d heads", file, name, c->hidden, c->heads);
	if (!(c->eps > 0) || !isfinite(c->eps))
		return fail(err, E_MODEL, "%s: %s: layer_norm_eps must be a positive number", file, name);
	return 0;
}

static int check_config(const char *file, const struct blip_config *c, struct error *err)
{
	const struct blip_generation *g = &c->generation;

	if (check_tower(file, "vision_config", &c->vision, err) < 0 || check_tower(file, "text_config", &c->text, err) < 0)
		return -1;
	if (c->patch_size > c->image_size) /* what does not fill a patch at the right and below is left out */
		return fail(err, E_MODEL, "%s: patch_size %d is larger than image_size %d", file, c->patch_size, c->image_size);
	if (!(g->repetition > 0) || !isfinite(g->repetition) || !isfinite(g->length_penalty))
		return fail(err, E_MODEL, "%s: repetition_penalty must be positive and length_penalty finite", file);
	return 0;
}

/* The family's other heads (questions, retrieval) have decoders of their own kind or none. */
static int check_head(const json_t *config, const char *file, struct error *err)
{
	const char *head = json_string_value(json_array_get(json_object_get(config, "architectures"), 0));

	if (!head || strcmp(head, "BlipForConditionalGeneration") == 0)
		return 0;
	return fail(err, E_MODEL, "%s: a %s does not write captions; of this family only BlipForConditionalGeneration is supported", file, head);
}

int blip_config_read(const json_t *config, const char *dir, struct blip_config *out, struct error *err)
{
	char *file = xasprintf("%s/config.json", dir);
	struct json_reader r = {.file = file, .err = err};
	int rc = check_head(config, file, err);

	*out = (struct blip_config){0};
	if (rc == 0) {
		read_vision(&r, json_find(config, "vision_config"), out);
		read_text(&r, json_find(config, "text_config"), out);
		rc = r.failed || refuse_others(&r, json_find(config, "text_config")) < 0 ? -1 : check_config(file, out, err);
	}
	free(file);
	return rc;
}
