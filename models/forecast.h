/* forecast.h - inside models/: what a network holds while it runs, from its architecture alone. Each function walks its network as the forward pass does
 * (tally.h) and is to be changed together with it; tests/torch/test_forecast.c compares both. Weights are counted by the code that opens them (nn.h), as
 * model_ops' count calls it.
 *
 * Pure; any thread. A request's precision is never AUTO; members that are 0 have been filled in by the model's own values before.
 */
#ifndef MODELS_FORECAST_H
#define MODELS_FORECAST_H

#include "models/bart.h"
#include "models/bert.h"
#include "models/blip.h"
#include "models/clip.h"
#include "models/deberta.h"
#include "models/models.h"
#include "models/ofa.h"
#include "models/siglip.h"
#include "models/tally.h"

/* Fills weights and mapped with what load would hold for a request, all else with 0. */
void forecast_weights(const struct model *m, const struct forecast_request *request, struct forecast *out);
/* Does the file have every tensor that the config asks for, in its shape? -1 with the error that load would end with. Reads no values; before it, nothing
 * may be allocated or forecast by the config's sizes. */
int forecast_check(const struct model *m, struct error *err);

/* A layer of clip_tower_run: x [batch,rows,d] fp32, of which `reading` rows leave it; returns the block of what does. */
int64_t forecast_tower_layer(struct tally *t, const struct clip_tower_config *c, int64_t batch, int64_t rows, int64_t reading, bool causal,
			     int64_t x);
/* Begins t with as many of the request's pictures as are computed at once, which it returns, cut into patches of side x side with d values each in fp32. */
int64_t forecast_pictures_begin(struct tally *t, const struct forecast_request *request, int64_t image, int64_t side, int64_t d);
/* Puts what CLIP_TEXTS_AT_ONCE texts of `length` tokens hold in the place of out's pictures, if it is more. */
void forecast_or_texts(const struct clip_tower_config *c, const struct forecast_request *request, int64_t length, int64_t projection, bool causal,
		       struct forecast *out);
/* clip_image_features, siglip_picture_features over `batch` pictures; with tokens > 0 what texts of so many tokens hold, if that is more. */
void forecast_clip(const struct clip_config *c, const struct forecast_request *request, struct forecast *out);
void forecast_siglip(const struct siglip_config *c, const struct forecast_request *request, struct forecast *out);
/* One slice of nli_classify: its pairs, and the ids, types and mask that it begins with for all their tokens. */
int64_t forecast_nli_batch(const struct forecast_request *request);
void forecast_nli_inputs(struct tally *t, int64_t rows, bool types);
/* Half layers of postnorm.h; x lies outside, and each ends with a new one in its place. */
void forecast_postnorm_attend(struct tally *t, const struct tally_attention *a);
void forecast_postnorm_leave(struct tally *t, int64_t rows, int64_t d);
void forecast_postnorm_feed(struct tally *t, int64_t rows, int64_t d, int64_t wide);
/* bert_logits over `batch` pairs of `tokens` tokens each. */
void forecast_bert(const struct bert_config *c, const struct forecast_request *request, struct forecast *out);
/* bart_logits over the same. */
void forecast_bart(const struct bart_config *c, const struct forecast_request *request, struct forecast *out);

/* deberta_logits over the same. */
void forecast_deberta(const struct deberta_config *c, const struct forecast_request *request, struct forecast *out);

struct forecast_captions {
	int height, width; /* pixels */
	int prompt;        /* tokens, with both ends */
	int beams, length; /* length: the longest caption, in tokens with its end */
};
/* ofa_encode and a whole search by ofa_decoding_step for `batch` pictures. */
void forecast_ofa(const struct ofa_config *c, const struct forecast_request *request, const struct forecast_captions *captions, struct forecast *out);
/* blip_encode and a whole search by blip_decoding_step for `batch` pictures, captions of up to `length` tokens. */
void forecast_blip(const struct blip_config *c, const struct forecast_request *request, int beams, int length, struct forecast *out);

#endif
