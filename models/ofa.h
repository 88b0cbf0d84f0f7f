/* ofa.h - the OFA captioner: ResNet stem, encoder, decoder with caches (Wang et al. 2022; names as in the published state dicts). Thread: the lane's. */
#ifndef MODELS_OFA_H
#define MODELS_OFA_H

#include <jansson.h>

#include "models/beam.h"
#include "models/bpe.h"
#include "models/nn.h"

enum { OFA_STAGES = 3, OFA_PATCH = 16 }; /* pixels a side that one patch stands for */

struct ofa_config {
	int d_model, vocabulary, positions;
	int encoder_layers, encoder_heads, encoder_ffn;
	int decoder_layers, decoder_heads, decoder_ffn;
	int blocks[OFA_STAGES]; /* of the ResNet's stages */
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
	tt_tensor *output;                        /* [B,N+T,d] in the compute dtype, after the last norm */
	tt_tensor *positions;                     /* [B or 1,N+T,d] position vectors, already normed */
	tt_tensor *key_bias;                      /* [B,1,1,N+T] fp32: 0, or the dtype's lowest for pad; NULL when nothing is padded */
	tt_tensor *features, *embedding, *layer0; /* [B,1024,h,w], [B,N+T,d] twice: filled for tests when `trace` was set, else NULL */
};
/* pixels [B,3,H,W] fp32, ids [B,T] I64 (the prompt with bos and eos) */
int ofa_encode(const struct ofa_net *net, tt_pool *p, tt_tensor *pixels, tt_tensor *ids, bool trace, struct ofa_memory *out);
/* Teacher forcing: ids [B,L] -> logits [B,L,V] fp32. Used by training and tests. */
tt_tensor *ofa_decode(const struct ofa_net *net, tt_pool *p, const struct ofa_memory *memory, tt_tensor *ids);

/* Decoding one token at a time for all rows of beam_search, with caches: keys and values of the tokens so far per row, those of the picture once per
 * picture. Its tensors are in pool p, made after those of memory, and nothing else may be made there until the search is over. */
struct ofa_decoding;

struct ofa_decoding *ofa_decoding_create(const struct ofa_net *net, tt_pool *p, const struct ofa_memory *memory, int max_length);
void ofa_decoding_destroy(struct ofa_decoding *d); /* not the tensors; NULL is fine */
/* See beam_step_function. The pool's errors (also of create) come out here. */
int ofa_decoding_step(struct ofa_decoding *d, const struct beam_step *step, struct error *err);

/* The caption that n generated ids stand for: decoded, without blanks around it and, in English, without ASCII punctuation, as the published pipeline
 * does it. whole: false leaves out a character whose last bytes are still to come. malloc'd. */
char *ofa_caption_text(const struct bpe *bpe, const int32_t *ids, size_t n, bool english, bool whole);

#endif
