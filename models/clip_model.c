/* clip_model.c - CLIP as a row of the table: its directory, its tokenizer, pictures and texts to unit vectors. The network itself is clip.c. */
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "models/bpe.h"
#include "models/clip.h"
#include "models/forecast.h"
#include "models/models.h"
#include "models/preprocess.h"
#include "models/vectors.h"

struct clip_model {
	struct model base;
	struct clip_config config;
	struct bpe *bpe;
	struct preprocess preprocess;
	float logit_scale;
};

static void describe(struct model_info *info, const struct clip_config *c)
{
	info->image_size = info->image_max = c->image_size;
	info->embed_size = c->projection;
	info->context = c->context;
	info->vocabulary = c->vocabulary;
	info->layers[0] = c->vision.layers;
	info->layers[1] = c->text.layers;
	info->width[0] = c->vision.hidden;
	info->width[1] = c->text.hidden;
}

/* Another end than the tokenizer's would not be found in a text, or at its padding. */
static int check_end(const struct clip_model *clip, const char *dir, struct error *err)
{
	int32_t end = bpe_role(clip->bpe, ROLE_EOS);

	if (clip->config.eos_token == CLIP_EOS_UNKNOWN || clip->config.eos_token == end)
		return 0;
	return fail(err, E_MODEL, "%s: config.json's text_config says \"eos_token_id\": %d, the tokenizer %d; they must agree", dir,
		    clip->config.eos_token, end);
}

static int configure(struct model *m, const json_t *config, struct error *err)
{
	struct clip_model *clip = (struct clip_model *)m;
	int found = clip_config_read(config, m->dir, &clip->config, err) < 0 ? -1 : preprocess_load(m->dir, PREPROCESS_CLIP, &clip->preprocess, err);

	if (found < 0)
		return -1;
	if (!found && checkpoint_naming(m->file) != CKPT_NAMED_PLAIN)
		clip->preprocess.openai_crop = true;
	if (preprocess_fit(&clip->preprocess, m->dir, clip->config.image_size, err) < 0)
		return -1;
	clip->bpe = bpe_load(&(struct bpe_source){.kind = BPE_CLIP, .dir = m->dir, .vocabulary = clip->config.vocabulary}, err);
	if (!clip->bpe)
		return -1;
	if (bpe_size(clip->bpe) > (size_t)clip->config.vocabulary)
		return fail(err, E_MODEL, "%s: the tokenizer has %zu tokens, the model knows %d", m->dir, bpe_size(clip->bpe),
			    clip->config.vocabulary);
	if (check_end(clip, m->dir, err) < 0)
		return -1;
	describe(&m->info, &clip->config);
	return 0;
}

static void *create(const struct model *m, struct nn_source *source)
{
	return clip_net_create(&((const struct clip_model *)m)->config, source);
}

static void destroy(void *net)
{
	clip_net_destroy(net);
}

static int adopt(struct model *m, void *net, struct error *err)
{
	if (m->net) /* only once: any thread may read it from then on */
		return 0;
	return vectors_scale(m, clip_logit_scale(net), &((struct clip_model *)m)->logit_scale, err);
}

static void finish(struct model *m)
{
	struct clip_model *clip = (struct clip_model *)m;

	bpe_free(clip->bpe);
}

static int prepare(const struct model *m, const struct image *image, int image_size, struct pixels *out, struct error *err)
{
	const struct clip_model *clip = (const struct clip_model *)m;

	return preprocess_run(&clip->preprocess, image, out, err);
}

static int embed_images(struct model *m, tt_tensor *const *pictures, int n, float *out, struct error *err)
{
	const struct clip_model *clip = (const struct clip_model *)m;
	size_t count = 0;

	for (int i = 0; i < n; i++)
		count += (size_t)tt_size(pictures[i], 0) * (size_t)clip->config.projection;
	return vectors_take(m, clip_picture_features(m->net, m->work, pictures, n), "pictures", out, count, err);
}

/* Ids of n texts, [n,longest]. Behind a text's end stands its end token again: the mask looks backwards only and the first end is the one that is read. */
static tt_tensor *encode(struct clip_model *clip, const char *const *texts, int n, struct error *err)
{
	int context = clip->config.context, longest = 0;
	int32_t *ids = xcalloc((size_t)n * (size_t)context, sizeof *ids);
	int *lengths = xcalloc((size_t)n, sizeof *lengths);
	int64_t *rows = NULL;
	tt_tensor *x = NULL;

	for (int i = 0; i < n && longest >= 0; i++) {
		lengths[i] = bpe_encode(clip->bpe, texts[i], strlen(texts[i]), 0, ids + (size_t)i * context, context, NULL, err);
		longest = lengths[i] < 0 ? -1 : lengths[i] > longest ? lengths[i] : longest;
	}
	if (longest > 0) {
		rows = xcalloc((size_t)n * (size_t)longest, sizeof *rows);
		for (int i = 0; i < n; i++)
			for (int k = 0; k < longest; k++)
				rows[(size_t)i * longest + k] = ids[(size_t)i * context + (k < lengths[i] ? k : lengths[i] - 1)];
		x = tt_from_i64(clip->base.work, rows, TT_SHAPE(n, longest));
	}
	free(rows);
	free(lengths);
	free(ids);
	return x;
}

static int embed_texts(struct model *m, const char *const *texts, int n, float *out, struct error *err)
{
	struct clip_model *clip = (struct clip_model *)m;
	size_t width = (size_t)clip->config.projection;

	for (int from = 0; from < n; from += CLIP_TEXTS_AT_ONCE) {
		int k = n - from < CLIP_TEXTS_AT_ONCE ? n - from : CLIP_TEXTS_AT_ONCE;
		tt_mark start = tt_here(m->work);
		tt_tensor *ids = encode(clip, texts + from, k, err);

		if (!ids && tt_status_of(m->work) == TT_OK)
			return -1;
		if (vectors_take(m, clip_text_features(m->net, m->work, ids, NULL), "texts", out + (size_t)from * width, (size_t)k * width, err) < 0)
			return -1;
		tt_keep(m->work, start, NULL, 0);
	}
	return model_check(m, "texts", err);
}

static void forecast(const struct model *m, const struct forecast_request *request, struct forecast *out)
{
	const struct clip_model *clip = (const struct clip_model *)m;

	forecast_clip(&clip->config, request, out);
}

static float logit_scale(const struct model *m)
{
	return ((const struct clip_model *)m)->logit_scale;
}

const struct model_ops clip_ops = {
	.architecture = "clip",
	.title = "CLIP",
	.kind = MODEL_SCORES,
	.size = sizeof(struct clip_model),
	.configure = configure,
	.create = create,
	.destroy = destroy,
	.adopt = adopt,
	.finish = finish,
	.prepare = prepare,
	.embed_images = embed_images,
	.embed_texts = embed_texts,
	.logit_scale = logit_scale,
	.forecast = forecast,
};
