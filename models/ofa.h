/* ofa.h - the OFA captioner: ResNet stem, encoder, decoder with caches (Wang et al. 2022; names as in the published state dicts). Thread: the lane's. */
#ifndef MODELS_OFA_H
#define MODELS_OFA_H

#include <jansson.h>

#include "models/nn.h"

enum { OFA_STAGES = 3 };

struct ofa_config {
	int d_model, vocabulary, positions;
	int encoder_layers, encoder_heads, encoder_ffn;
	int decoder_layers, decoder_heads, decoder_ffn;
	int blocks[OFA_STAGES];          /* of the ResNet's stages */
	int token_bucket, image_bucket;
	double attn_scale_factor;
	bool encoder_pre_norm, decoder_pre_norm, normformer, scale_embedding, type_embedding, layernorm_embedding, patch_layernorm_embedding,
		share_attn_bias, share_output;
	enum tt_activation activation;
	int bos, pad, eos, unk;
};

int ofa_config_read(const json_t *config, const char *dir, struct ofa_config *out, struct error *err);

struct ofa_net;

struct ofa_net *ofa_net_create(const struct ofa_config *config, struct nn_source *source);
void ofa_net_destroy(struct ofa_net *net);

/* What the encoder leaves for the decoder. */
struct ofa_memory {
	tt_tensor *output;    /* [B,N+T,d] in the compute dtype, after the last norm */
	tt_tensor *positions; /* [B or 1,N+T,d] position vectors, already normed */
	tt_tensor *key_bias;  /* [B,1,1,N+T] fp32: 0, or the dtype's lowest for pad; NULL when nothing is padded */
	tt_tensor *features, *embedding, *layer0; /* [B,1024,h,w], [B,N+T,d] twice: filled for tests when `trace` was set, else NULL */
};
/* pixels [B,3,H,W] fp32, ids [B,T] I64 (the prompt with bos and eos) */
int ofa_encode(const struct ofa_net *net, tt_pool *p, tt_tensor *pixels, tt_tensor *ids, bool trace, struct ofa_memory *out);
/* Teacher forcing: ids [B,L] -> logits [B,L,V] fp32. Used by training and tests. */
tt_tensor *ofa_decode(const struct ofa_net *net, tt_pool *p, const struct ofa_memory *memory, tt_tensor *ids);

#endif
