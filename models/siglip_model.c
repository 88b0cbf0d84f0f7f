/* siglip_model.c - SigLIP as a row of the table: its directory, its tokenizer, pictures and texts to unit vectors. The network itself is siglip.c. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/mem.h"
#include "models/forecast.h"
#include "models/json.h"
#include "models/models.h"
#include "models/preprocess.h"
#include "models/siglip.h"
#include "models/text.h"
#include "models/unigram.h"
#include "models/vectors.h"

struct siglip_model {
	struct model base;
	struct siglip_config config;
	struct unigram *unigram;
	int32_t end, fill; /* end of a text, and what fills it up */
	int length;        /* of a text, filled up */
	bool lower;        /* texts become lower case */
	struct preprocess preprocess;
	float logit_scale, logit_bias;
};

static struct siglip_model *siglip_of(struct model *m)
{
	return (struct siglip_model *)m;
}

/* ---- opening */

static void describe(struct model_info *info, const struct siglip_config *c)
{
	info->image_size = info->image_max = c->image_size;
	info->embed_size = c->vision.hidden;
	info->context = c->context;
	info->vocabulary = c->vocabulary;
	info->layers[0] = c->vision.layers;
	info->layers[1] = c->text.layers;
	info->width[0] = c->vision.hidden;
	info->width[1] = c->text.hidden;
	info->sigmoid = true;
}

/* The id of a token that tokenizer_config.json may name, as a text or as an object with its content. */
static int32_t find_token(const struct siglip_model *s, struct json_reader *r, const json_t *root, const char *key)
{
	const json_t *said = json_find(root, key), *content = json_is_object(said) ? json_find(said, "content") : said;
	const char *token = json_is_string(content) ? json_string_value(content) : "</s>";
	int32_t id = unigram_find(s->unigram, token);

	if (id < 0 && !r->failed) {
		fail(r->err, E_FORMAT, "%s: \"%s\" \"%s\" is not among the tokenizer's tokens", r->file, key, token);
		r->failed = true;
	}
	return id;
}

/* How texts are filled up, by tokenizer_config.json or its class's defaults: to the model's context, which a file may only make shorter. */
static int read_tokenizer_config(struct siglip_model *s, struct error *err)
{
	char *path = xasprintf("%s/tokenizer_config.json", s->base.dir);
	json_t *root = access(path, F_OK) == 0 ? json_read(path, JSON_LIMIT, err) : json_object();
	struct json_reader r = {.file = path, .err = err, .failed = !root};
	double length = json_number(&r, root, "model_max_length", s->config.context);

	s->lower = json_flag(&r, root, "do_lower_case", true);
	s->length = length >= 1 && length < s->config.context ? (int)length : s->config.context;
	if (root) {
		s->end = find_token(s, &r, root, "eos_token");
		s->fill = find_token(s, &r, root, "pad_token");
	}
	json_decref(root);
	free(path);
	return r.failed ? -1 : 0;
}

static int load_tokenizer(struct siglip_model *s, struct error *err)
{
	s->unigram = unigram_load(s->base.dir, err);
	if (!s->unigram)
		return -1;
	if (unigram_size(s->unigram) > (size_t)s->config.vocabulary)
		return fail(err, E_MODEL, "%s: the tokenizer has %zu tokens, the model knows %d", s->base.dir, unigram_size(s->unigram),
			    s->config.vocabulary);
	if (unigram_find(s->unigram, "</s>") < 0)
		return fail(err, E_FORMAT, "%s: the tokenizer has no end token \"</s>\"", s->base.dir);
	return read_tokenizer_config(s, err);
}

static int configure(struct model *m, const json_t *config, struct error *err)
{
	struct siglip_model *s = siglip_of(m);

	if (siglip_config_read(config, m->dir, &s->config, err) < 0 || preprocess_load(m->dir, PREPROCESS_SIGLIP, &s->preprocess, err) < 0)
		return -1;
	if (preprocess_fit(&s->preprocess, m->dir, s->config.image_size, err) < 0)
		return -1;
	if (load_tokenizer(s, err) < 0)
		return -1;
	describe(&m->info, &s->config);
	return 0;
}

/* Only once: any thread may read them from then on. */
static int read_scalars(struct siglip_model *s, const struct siglip_net *net, struct error *err)
{
	if (s->base.net)
		return 0;
	if (vectors_scale(&s->base, siglip_logit_scale(net), &s->logit_scale, err) < 0)
		return -1;
	return vectors_scalar(siglip_logit_bias(net), "logit_bias", &s->logit_bias, err);
}

static void *create(const struct model *m, struct nn_source *source)
{
	return siglip_net_create(&((const struct siglip_model *)m)->config, source);
}

static void destroy(void *net)
{
	siglip_net_destroy(net);
}

static int adopt(struct model *m, void *net, struct error *err)
{
	return read_scalars(siglip_of(m), net, err);
}

static void finish(struct model *m)
{
	unigram_free(siglip_of(m)->unigram);
}

/* ---- pictures and texts */

static int prepare(const struct model *m, const struct image *image, int image_size, struct pixels *out, struct error *err)
{
	return preprocess_run(&((const struct siglip_model *)m)->preprocess, image, out, err);
}

static int embed_images(struct model *m, tt_tensor *const *pictures, int n, float *out, struct error *err)
{
	const struct siglip_model *s = siglip_of(m);
	size_t count = 0;

	for (int i = 0; i < n; i++)
		count += (size_t)tt_size(pictures[i], 0) * (size_t)s->config.vision.hidden;
	return vectors_take(m, siglip_picture_features(s->base.net, m->work, pictures, n), "pictures", out, count, err);
}

/* What the published tokenizer does before its pieces: lower case, ASCII punctuation deleted, each run of blanks one blank, none at the ends. */
static void clean(const char *text, bool lower, struct buffer *out)
{
	struct codes c = text_codes(text, strlen(text)), kept = {0};
	bool blank = false;

	if (lower)
		text_lower_all(&c);
	for (size_t i = 0; i < c.n; i++) {
		uint32_t code = c.code[i];

		if (text_is_space(code)) {
			blank = kept.n > 0;
		} else if (code >= 0x80 || !ispunct((int)code)) {
			if (blank)
				text_codes_add(&kept, ' ');
			text_codes_add(&kept, code);
			blank = false;
		}
	}
	text_put_codes(out, kept.code, kept.n);
	text_codes_free(&c);
	text_codes_free(&kept);
}

/* One text into row[s->length]: its pieces, the end, and filled up to the last place, which is the one that is read. */
static int encode(const struct siglip_model *s, const char *text, int64_t *row, struct error *err)
{
	size_t length = (size_t)s->length;
	struct buffer cleaned = {0};
	struct ids ids = {0};
	int rc;

	clean(text, s->lower, &cleaned);
	rc = unigram_pieces(s->unigram, cleaned.text ? cleaned.text : "", cleaned.length, &ids, err);
	for (size_t i = 0, n = ids.n < length - 1 ? ids.n : length - 1; rc == 0 && i < length; i++)
		row[i] = i < n ? ids.id[i] : i == n ? s->end : s->fill;
	free(ids.id);
	buffer_free(&cleaned);
	return rc;
}

static int embed_group(struct siglip_model *s, const char *const *texts, int n, float *out, struct error *err)
{
	size_t length = (size_t)s->length, width = (size_t)s->config.projection;
	int64_t *rows = xcalloc((size_t)n * length, sizeof *rows);
	tt_pool *p = s->base.work;
	tt_mark start = tt_here(p);
	int rc = 0;

	for (int i = 0; i < n && rc == 0; i++)
		rc = encode(s, texts[i], rows + (size_t)i * length, err);
	if (rc == 0) {
		tt_tensor *ids = tt_from_i64(p, rows, TT_SHAPE(n, (int64_t)length));

		rc = vectors_take(&s->base, siglip_text_features(s->base.net, p, ids, NULL), "texts", out, (size_t)n * width, err);
	}
	tt_keep(p, start, NULL, 0);
	free(rows);
	return rc;
}

static int embed_texts(struct model *m, const char *const *texts, int n, float *out, struct error *err)
{
	struct siglip_model *s = siglip_of(m);
	size_t width = (size_t)s->config.projection;

	for (int from = 0; from < n; from += CLIP_TEXTS_AT_ONCE) {
		int k = n - from < CLIP_TEXTS_AT_ONCE ? n - from : CLIP_TEXTS_AT_ONCE;

		if (embed_group(s, texts + from, k, out + (size_t)from * width, err) < 0)
			return -1;
	}
	return model_check(m, "texts", err);
}

static void forecast(const struct model *m, const struct forecast_request *request, struct forecast *out)
{
	const struct siglip_model *s = (const struct siglip_model *)m;

	forecast_siglip(&s->config, request, out);
}

static float logit_scale(const struct model *m)
{
	return ((const struct siglip_model *)m)->logit_scale;
}

static float logit_bias(const struct model *m)
{
	return ((const struct siglip_model *)m)->logit_bias;
}

const struct model_ops siglip_ops = {
	.architecture = "siglip",
	.title = "SigLIP",
	.kind = MODEL_SCORES,
	.size = sizeof(struct siglip_model),
	.configure = configure,
	.create = create,
	.destroy = destroy,
	.adopt = adopt,
	.finish = finish,
	.prepare = prepare,
	.embed_images = embed_images,
	.embed_texts = embed_texts,
	.logit_scale = logit_scale,
	.logit_bias = logit_bias,
	.forecast = forecast,
};
