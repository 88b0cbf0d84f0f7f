/* blip.c - BLIP as a row of the table: its directory, its tokenizer, pictures to captions. The network is in blip_vision.c and blip_text.c. */
#include "models/blip.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "models/caption.h"
#include "models/forecast.h"
#include "models/models.h"
#include "models/preprocess.h"

enum { PROMPT_MAX = 32 }; /* tokens */

struct blip_model {
	struct model base;
	struct blip_config config;
	struct preprocess preprocess;
	struct wordpiece *words;
	int32_t prompt[PROMPT_MAX];
	int n_prompt;
};

/* ---- opening ---- */

/* Folders that were downloaded before 2023 say 8 heads, with which the published weights make little sense. */
static bool heads_doubtful(const struct blip_config *c)
{
	return c->text.hidden == 768 && c->text.heads == 8;
}

static void describe(struct blip_model *m)
{
	struct model_info *info = &m->base.info;
	const struct blip_config *c = &m->config;

	info->image_size = info->image_max = c->image_size;
	info->context = c->positions;
	info->vocabulary = c->vocabulary;
	info->layers[0] = c->vision.layers;
	info->layers[1] = c->text.layers;
	info->width[0] = c->vision.hidden;
	info->width[1] = c->text.hidden;
	snprintf(info->notes, sizeof info->notes, "%d beams, up to %d tokens%s", c->generation.beams, c->generation.max_length - 1,
		 heads_doubtful(c) ? "; config.json's text_config says 8 heads, the published weights have 12: with 8 captions are poor" : "");
}

/* The tokens between [CLS], which bos takes the place of, and [SEP]. */
static int read_prompt(struct blip_model *m, struct error *err)
{
	const struct wordpiece_text text = {.first = m->config.generation.prompt};
	int32_t ids[PROMPT_MAX + 2];
	int n = *text.first ? wordpiece_encode(m->words, &text, ids, NULL, PROMPT_MAX + 2, err) : 2;

	if (n < 0)
		return -1;
	if (n > 2 && n >= m->config.generation.max_length)
		return fail(err, E_MODEL, "%s/config.json: \"vramble_prompt\" leaves no room for a caption in \"max_length\": %d", m->base.dir,
			    m->config.generation.max_length);
	m->n_prompt = n - 2;
	memcpy(m->prompt, ids + 1, (size_t)m->n_prompt * sizeof *ids);
	return 0;
}

static int configure(struct model *base, const json_t *config, struct error *err)
{
	struct blip_model *m = (struct blip_model *)base;

	if (blip_config_read(config, base->dir, &m->config, err) < 0 || preprocess_load(base->dir, PREPROCESS_BLIP, &m->preprocess, err) < 0)
		return -1;
	if (preprocess_fit(&m->preprocess, base->dir, m->config.image_size, err) < 0)
		return -1;
	m->words = wordpiece_load(base->dir, err);
	if (!m->words)
		return -1;
	if (wordpiece_size(m->words) > (size_t)m->config.vocabulary)
		return fail(err, E_MODEL, "%s: the tokenizer has %zu tokens, config.json's vocab_size is %d: they belong to different models",
			    base->dir, wordpiece_size(m->words), m->config.vocabulary);
	if (wordpiece_role(m->words, ROLE_SEP) != m->config.sep)
		return fail(err, E_MODEL, "%s: config.json says \"sep_token_id\": %d, the tokenizer %d; they must agree", base->dir, m->config.sep,
			    wordpiece_role(m->words, ROLE_SEP));
	if (read_prompt(m, err) < 0)
		return -1;
	describe(m);
	return 0;
}

static void *create(const struct model *m, struct nn_source *source)
{
	return blip_net_create(&((const struct blip_model *)m)->config, source);
}

static void destroy(void *net)
{
	blip_net_destroy(net);
}

static void finish(struct model *base)
{
	struct blip_model *m = (struct blip_model *)base;

	wordpiece_free(m->words);
}

static int prepare(const struct model *base, const struct image *image, int image_size, struct pixels *out, struct error *err)
{
	return preprocess_run(&((const struct blip_model *)base)->preprocess, image, out, err);
}

/* ---- captions ---- */

/* Cuts `end` off the text's end; false when it does not end so. */
static bool cut_end(char *text, const char *end)
{
	size_t length = strlen(text), n = strlen(end);

	if (length < n || strcmp(text + length - n, end) != 0)
		return false;
	text[length - n] = '\0';
	return true;
}

char *blip_caption_text(const struct wordpiece *words, const int32_t *ids, size_t n, bool whole)
{
	char *text = wordpiece_decode(words, ids, n, WORDPIECE_SKIP_SPECIAL | WORDPIECE_CLEAN_UP);

	while (!whole && (cut_end(text, " '") || cut_end(text, " n")))
		;
	return text;
}

static char *text_of(const struct model *base, const int32_t *ids, int n, bool whole)
{
	return blip_caption_text(((const struct blip_model *)base)->words, ids, (size_t)n, whole);
}

static int step(void *ctx, const struct beam_step *s, struct error *err)
{
	return blip_decoding_step(ctx, s, err);
}

/* What the options leave open is the model's own. */
static struct beam_options search_options(const struct blip_model *m, const struct caption_options *o)
{
	const struct blip_config *c = &m->config;
	const struct blip_generation *g = &c->generation;
	int length = o->max_length > 0 ? o->max_length : g->max_length - 1;

	return (struct beam_options){
		.rules = BEAM_TRANSFORMERS,
		.beams = o->beams > 0 ? o->beams : g->beams,
		.max_length = length < c->positions ? length : c->positions - 1,
		.min_length = o->min_length > 0 ? o->min_length : g->min_length - 1,
		.no_repeat_ngram = o->no_repeat_ngram >= 0 ? o->no_repeat_ngram : g->no_repeat_ngram,
		.length_penalty = o->length_penalty >= 0 ? o->length_penalty : g->length_penalty,
		.repetition = g->repetition,
		.temperature = 1,
		.normalize = true,
		.bos = c->bos,
		.pad = c->pad,
		.eos = c->sep,
		.unk = c->pad,
		.vocabulary = c->vocabulary,
		.prompt = m->prompt,
		.n_prompt = m->n_prompt,
	};
}

static int caption(struct model *base, tt_tensor *pixels, const struct caption_options *options, struct caption *out, struct error *err)
{
	struct blip_model *m = (struct blip_model *)base;
	struct caption_search c = {.model = base, .options = options, .search = search_options(m, options), .step = step, .text = text_of};
	int n = (int)tt_size(pixels, 0), rc;
	tt_tensor *encoded = blip_encode(base->net, base->work, pixels, NULL);

	if (!encoded)
		return model_check(base, "encoder", err);
	c.ctx = blip_decoding_create(base->net, base->work, encoded);
	rc = caption_search(&c, n, out, err);
	blip_decoding_destroy(c.ctx);
	return rc;
}

static void forecast(const struct model *base, const struct forecast_request *request, struct forecast *out)
{
	const struct blip_model *m = (const struct blip_model *)base;
	const struct caption_options options = {.beams = request->beams, .max_length = request->tokens, .no_repeat_ngram = -1};
	struct beam_options search = search_options(m, &options);

	forecast_blip(&m->config, request, search.beams, search.max_length, out);
}

const struct model_ops blip_ops = {
	.architecture = "blip",
	.title = "BLIP",
	.kind = MODEL_CAPTION,
	.size = sizeof(struct blip_model),
	.configure = configure,
	.create = create,
	.destroy = destroy,
	.finish = finish,
	.prepare = prepare,
	.caption = caption,
	.forecast = forecast,
};
