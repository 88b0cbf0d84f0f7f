/* checkpoint_families.c - names that differ from Hugging Face's one by one: Salesforce's of BLIP and fairseq's of OFA. See checkpoint_private.h. */
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "models/checkpoint_private.h"

struct name_rule {
	const char *from, *to;
};

static void rename_entry(struct checkpoint_entry *e, char *name)
{
	free((char *)e->tensor.name);
	e->tensor.name = name;
}

/* The name with the first rule's beginning that it has replaced, malloc'd; NULL if it has none. */
static char *with_beginning(const char *name, const struct name_rule *rules, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t length = strlen(rules[i].from);

		if (strncmp(name, rules[i].from, length) == 0)
			return xasprintf("%s%s", rules[i].to, name + length);
	}
	return NULL;
}

/* ---- BLIP (models/vit.py): the decoder's names are the same in both */

static char *blip_name(const char *name)
{
	static const struct name_rule whole[] = {
		{"visual_encoder.cls_token", "vision_model.embeddings.class_embedding"},
		{"visual_encoder.pos_embed", "vision_model.embeddings.position_embedding"},
		{"visual_encoder.patch_embed.proj.", "vision_model.embeddings.patch_embedding."},
		{"visual_encoder.norm.", "vision_model.post_layernorm."},
	};
	static const struct name_rule inner[] = {
		{"norm1.", "layer_norm1."}, {"norm2.", "layer_norm2."}, {"attn.qkv.", "self_attn.qkv."}, {"attn.proj.", "self_attn.projection."},
		{"mlp.", "mlp."},
	};
	static const char blocks[] = "visual_encoder.blocks.";
	char *found = with_beginning(name, whole, sizeof whole / sizeof whole[0]), *part;
	size_t digits;

	if (found || strncmp(name, blocks, sizeof blocks - 1) != 0)
		return found;
	name += sizeof blocks - 1;
	digits = strspn(name, "0123456789");
	part = name[digits] == '.' ? with_beginning(name + digits + 1, inner, sizeof inner / sizeof inner[0]) : NULL;
	found = part ? xasprintf("vision_model.encoder.layers.%.*s.%s", (int)digits, name, part) : NULL;
	free(part);
	return found;
}

void families_blip(struct checkpoint *c)
{
	for (int i = 0; i < c->n; i++) {
		char *name = blip_name(c->entries[i].tensor.name);

		if (name)
			rename_entry(&c->entries[i], name);
	}
}

/* ---- OFA: what the conversion of its authors replaces, in its order */

static const struct name_rule ofa_rules[] = {
	{".self_attn_ln.", ".self_attn_mid_layer_norm."},         {".ffn_layernorm.", ".ffn_layer_norm."},
	{".cross_attn_ln.", ".cross_attn_mid_layer_norm."},       {".encoder_attn.", ".cross_attn."},
	{".encoder_attn_layer_norm.", ".cross_attn_layer_norm."}, {".attn_ln.", ".self_attn_mid_layer_norm."},
};

void families_ofa(struct checkpoint *c)
{
	for (int i = 0; i < c->n; i++) {
		const char *name = c->entries[i].tensor.name, *at = NULL;

		for (size_t k = 0; k < sizeof ofa_rules / sizeof ofa_rules[0] && !at; k++)
			if ((at = strstr(name, ofa_rules[k].from)))
				rename_entry(&c->entries[i],
					     xasprintf("%.*s%s%s", (int)(at - name), name, ofa_rules[k].to, at + strlen(ofa_rules[k].from)));
	}
}
