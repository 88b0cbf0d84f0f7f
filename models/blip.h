/* blip.h - the BLIP captioner: a ViT, and a BERT decoder that looks at the picture in every layer (Li et al. 2022; names as in Hugging Face's
 * BlipForConditionalGeneration). Thread: the lane's.
 *
 *	struct blip_config c;
 *	if (blip_config_read(json, dir, &c, err) < 0)
 *		return -1;
 *	net = blip_net_create(&c, &source);
 *	if (nn_finish(&source, "BLIP", err) < 0) …
 *	d = blip_decoding_create(net, p, blip_encode(net, p, pixels, NULL));
 *	… beam_search with blip_decoding_step …
 */
#ifndef MODELS_BLIP_H
#define MODELS_BLIP_H

#include <jansson.h>

#include "models/beam.h"
#include "models/nn.h"
#include "models/wordpiece.h"

struct blip_tower_config {
	int hidden, intermediate, layers, heads;
	enum tt_activation activation;
	double eps;
};

/* How captions are made when nothing else is asked for; lengths count bos. */
struct blip_generation {
	int beams, max_length, min_length, no_repeat_ngram;
	double length_penalty, repetition;
	char prompt[64]; /* what every caption begins with, and is cut off it; empty: nothing */
};

struct blip_config {
	struct blip_tower_config vision, text;
	int image_size, patch_size;
	int vocabulary, positions;
	int bos, pad, sep; /* sep ends a caption; the config's eos_token_id is not used by the published code */
	struct blip_generation generation;
};

/* config: the parsed config.json; dir is for messages. What a key leaves open is the published class's default. E_MODEL names what cannot be done. */
int blip_config_read(const json_t *config, const char *dir, struct blip_config *out, struct error *err);

struct blip_net;

/* The net's struct is malloc'd; its tensors are the source's. */
struct blip_net *blip_net_create(const struct blip_config *config, struct nn_source *source);
void blip_net_destroy(struct blip_net *net); /* not the tensors; NULL is fine */

/* What a test wants to see on the way: [B,1+G*G,hidden] fp32. */
struct blip_trace {
	tt_tensor *embeddings, *layer0;
};
/* pixels [B,3,S,S] fp32 -> [B,1+G*G,hidden] in the compute dtype: the class row, then the patches row by row, all normed. trace may be NULL. */
tt_tensor *blip_encode(const struct blip_net *net, tt_pool *p, tt_tensor *pixels, struct blip_trace *trace);
/* Teacher forcing: ids [B,L] I64 with bos first, mask [B,L] I64 (0: padding) or NULL -> logits [B,L,vocabulary] fp32. For tests. */
tt_tensor *blip_decode(const struct blip_net *net, tt_pool *p, tt_tensor *encoded, tt_tensor *ids, tt_tensor *mask);

/* Decoding one token at a time for all rows of beam_search, with caches; see decode.h. */
struct blip_decoding;

struct blip_decoding *blip_decoding_create(const struct blip_net *net, tt_pool *p, tt_tensor *encoded);
void blip_decoding_destroy(struct blip_decoding *d); /* not the tensors; NULL is fine */
/* See beam_step_function. The pool's errors (also of create) come out here. */
int blip_decoding_step(struct blip_decoding *d, const struct beam_step *step, struct error *err);

/* The caption that n ids stand for, as the published processor decodes it. whole: false leaves out an apostrophe or an "n" at the end, which the next
 * tokens could join to the word before ("do n ' t" is "don't"). malloc'd. */
char *blip_caption_text(const struct wordpiece *words, const int32_t *ids, size_t n, bool whole);

#endif
