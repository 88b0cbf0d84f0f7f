/* checkpoint_names.c - the names that the networks here ask for, whatever the file calls its tensors.
 *
 * OpenAI's CLIP (clip/model.py) and open_clip name their tensors alike; Hugging Face's conversion (convert_clip_original_pytorch_to_hf.py) says what
 * is what: rows 0..W-1 of in_proj are q, then k, then v; the two projections are used as x @ P there and as P x here, so they are turned. Names that
 * differ one by one are in checkpoint_families.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "models/checkpoint_private.h"

enum change { AS_IS, SPLIT, TURNED };

struct rule {
	const char *from; /* a name; ending in '.': the beginning of one */
	const char *to;
	enum change change;
};

static const struct rule whole_rules[] = {
	{"visual.class_embedding", "vision_model.embeddings.class_embedding", AS_IS},
	{"visual.conv1.weight", "vision_model.embeddings.patch_embedding.weight", AS_IS},
	{"visual.positional_embedding", "vision_model.embeddings.position_embedding.weight", AS_IS},
	{"visual.ln_pre.", "vision_model.pre_layrnorm.", AS_IS},
	{"visual.ln_post.", "vision_model.post_layernorm.", AS_IS},
	{"visual.proj", "visual_projection.weight", TURNED},
	{"token_embedding.weight", "text_model.embeddings.token_embedding.weight", AS_IS},
	{"positional_embedding", "text_model.embeddings.position_embedding.weight", AS_IS},
	{"ln_final.", "text_model.final_layer_norm.", AS_IS},
	{"text_projection", "text_projection.weight", TURNED},
	{"text_projection.weight", "text_projection.weight", AS_IS},
	{"logit_scale", "logit_scale", AS_IS},
};

static const struct rule block_rules[] = {
	{"ln_1.", "layer_norm1.", AS_IS},
	{"ln_2.", "layer_norm2.", AS_IS},
	{"attn.in_proj_weight", "weight", SPLIT},
	{"attn.in_proj_bias", "bias", SPLIT},
	{"attn.out_proj.", "self_attn.out_proj.", AS_IS},
	{"mlp.c_fc.", "mlp.fc1.", AS_IS},
	{"mlp.c_proj.", "mlp.fc2.", AS_IS},
};

static bool begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

/* ---- what all names begin with */

/* Wrappers for several devices, and for compiling, put it there. */
static bool strip_prefix(struct checkpoint *c, const char *prefix)
{
	size_t n = strlen(prefix);

	for (int i = 0; i < c->n; i++)
		if (!begins(c->entries[i].tensor.name, prefix))
			return false;
	for (int i = 0; i < c->n; i++) {
		char *name = xstrdup(c->entries[i].tensor.name + n);

		free((char *)c->entries[i].tensor.name);
		c->entries[i].tensor.name = name;
	}
	return c->n > 0;
}

/* ---- OpenAI's names */

static bool has_name(const struct checkpoint *c, const char *beginning)
{
	for (int i = 0; i < c->n; i++)
		if (begins(c->entries[i].tensor.name, beginning))
			return true;
	return false;
}

/* The rule for a name and where in the name the rest begins that it keeps; NULL. */
static const struct rule *find_rule(const struct rule *rules, size_t n, const char *name, const char **rest)
{
	for (size_t i = 0; i < n; i++) {
		size_t length = strlen(rules[i].from);

		if (rules[i].from[length - 1] == '.' ? begins(name, rules[i].from) : strcmp(name, rules[i].from) == 0) {
			*rest = name + length;
			return &rules[i];
		}
	}
	return NULL;
}

/* "transformer.resblocks.7.ln_1.weight": the number and what follows; NULL if it is none. */
static const char *block_of(const char *name, int *number)
{
	static const char before[] = "transformer.resblocks.";
	char *end;
	long n;

	if (!begins(name, before))
		return NULL;
	n = strtol(name + sizeof before - 1, &end, 10);
	if (end == name + sizeof before - 1 || *end != '.' || n < 0 || n > 9999)
		return NULL;
	*number = (int)n;
	return end + 1;
}

/* A new entry for a part of e or all of it, whose index may move as the table grows. */
static struct checkpoint_entry *derive(struct checkpoint *c, int from, const char *name)
{
	struct checkpoint_entry *e = checkpoint_add(c, name);
	const struct checkpoint_entry *old = &c->entries[from];
	const char *kept = e->tensor.name;

	*e = *old;
	e->tensor.name = kept;
	e->stride = old->stride ? xmemdup(old->stride, (size_t)old->tensor.ndim * sizeof *old->stride) : NULL;
	return e;
}

static int split(struct checkpoint *c, int from, const char *layer, const char *what, struct error *err)
{
	static const char *const parts[] = {"q", "k", "v"};
	const struct checkpoint_tensor t = c->entries[from].tensor;
	int64_t rows, step;

	if (t.ndim < 1 || t.shape[0] % 3 != 0)
		return fail(err, E_MODEL, "%s: %s cannot be parted into q, k and v", c->path, t.name);
	rows = t.shape[0] / 3;
	step = t.shape[0] == 0 ? 0 : c->entries[from].stride ? c->entries[from].stride[0] : t.count / t.shape[0];
	for (int i = 0; i < 3; i++) {
		char *name = xasprintf("%s.self_attn.%s_proj.%s", layer, parts[i], what);
		struct checkpoint_entry *e = derive(c, from, name);

		e->tensor.shape[0] = rows;
		e->tensor.count = t.count / 3;
		e->tensor.bytes = t.bytes / 3;
		e->begin += i * rows * step * checkpoint_dtype_size(t.dtype);
		free(name);
	}
	return 0;
}

static int turn(struct checkpoint *c, int from, const char *name, struct error *err)
{
	struct checkpoint_entry *e;
	int64_t stride[2];

	if (c->entries[from].tensor.ndim != 2)
		return fail(err, E_MODEL, "%s: %s is no matrix", c->path, c->entries[from].tensor.name);
	e = derive(c, from, name);
	stride[0] = e->stride ? e->stride[1] : 1;
	stride[1] = e->stride ? e->stride[0] : e->tensor.shape[1];
	free(e->stride);
	e->stride = xmemdup(stride, sizeof stride);
	stride[0] = e->tensor.shape[0];
	e->tensor.shape[0] = e->tensor.shape[1];
	e->tensor.shape[1] = stride[0];
	return 0;
}

static int rename_block(struct checkpoint *c, int from, const char *tower, int number, const char *inner, struct error *err)
{
	char *layer = xasprintf("%s.encoder.layers.%d", tower, number), *name;
	const char *rest = "";
	const struct rule *rule = find_rule(block_rules, sizeof block_rules / sizeof block_rules[0], inner, &rest);
	int rc = 0;

	if (rule && rule->change == SPLIT) {
		rc = split(c, from, layer, rule->to, err);
	} else if (rule) {
		name = xasprintf("%s.%s%s", layer, rule->to, rest);
		derive(c, from, name);
		free(name);
	}
	free(layer);
	return rc;
}

/* Adds what tensor `from` is called here; nothing for what is no weight (masks, the numbers that stand beside them). */
static int rename_tensor(struct checkpoint *c, int from, struct error *err)
{
	char *own = xstrdup(c->entries[from].tensor.name), *name = own;
	const char *rest = "", *inner;
	const struct rule *rule;
	int number = 0, rc = 0;

	if (begins(name, "text.")) /* open_clip's CustomTextCLIP */
		name += 5;
	rule = find_rule(whole_rules, sizeof whole_rules / sizeof whole_rules[0], name, &rest);
	if (rule && rule->change == TURNED) {
		rc = turn(c, from, rule->to, err);
	} else if (rule) {
		char *full = xasprintf("%s%s", rule->to, rest);

		derive(c, from, full);
		free(full);
	} else if ((inner = block_of(name, &number))) {
		rc = rename_block(c, from, "text_model", number, inner, err);
	} else if (begins(name, "visual.") && (inner = block_of(name + 7, &number))) {
		rc = rename_block(c, from, "vision_model", number, inner, err);
	}
	free(own);
	return rc;
}

static int rename_openai(struct checkpoint *c, struct error *err)
{
	int n = c->n, rc = 0;

	for (int i = 0; i < n && rc == 0; i++)
		rc = rename_tensor(c, i, err);
	for (int i = 0; i < n; i++)
		checkpoint_entry_free(&c->entries[i]);
	memmove(c->entries, c->entries + n, (size_t)(c->n - n) * sizeof *c->entries);
	c->n -= n;
	c->naming = c->wrapped ? CKPT_NAMED_TRAINING : CKPT_NAMED_OPENAI;
	return rc;
}

static int refuse_towers(const struct checkpoint *c, struct error *err)
{
	if (has_name(c, "visual.layer1.") || has_name(c, "visual.attnpool."))
		return fail(err, E_MODEL, "%s: a CLIP whose picture tower is a ResNet (RN50 and the like); only those with a ViT are supported",
			    c->path);
	if (has_name(c, "visual.trunk."))
		return fail(err, E_MODEL,
			    "%s: a CLIP whose picture tower is of timm (visual.trunk); only open_clip's own are supported. For SigLIP take the files "
			    "with "
			    "Hugging Face's config.json",
			    c->path);
	if (has_name(c, "text_decoder."))
		return fail(err, E_MODEL, "%s: a CoCa model; only CLIP's two towers are supported", c->path);
	return 0;
}

static int settle_blip(struct checkpoint *c, struct error *err)
{
	if (!has_name(c, "text_decoder."))
		return fail(err, E_MODEL, "%s: a BLIP without text_decoder, made to compare and not to write captions; take model_*_caption*.pth",
			    c->path);
	families_blip(c);
	c->naming = CKPT_NAMED_SALESFORCE;
	return 0;
}

int names_settle(struct checkpoint *c, struct error *err)
{
	while (strip_prefix(c, "module.") || strip_prefix(c, "_orig_mod."))
		c->wrapped = true;
	if (has_name(c, "visual_encoder."))
		return settle_blip(c, err);
	if (has_name(c, "encoder.embed_images."))
		families_ofa(c);
	if (has_name(c, "vision_model.") || !has_name(c, "visual."))
		return 0;
	if (refuse_towers(c, err) < 0)
		return -1;
	return has_name(c, "visual.conv1.weight") ? rename_openai(c, err) : 0;
}
