/* ofa.c - see ofa.h: OFA's model directory and its row of the table. */
#include "models/ofa.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/mem.h"
#include "models/caption.h"
#include "models/forecast.h"
#include "models/json.h"
#include "models/models.h"
#include "models/preprocess.h"
#include "models/text.h"

enum { CODES = 8192, BINS = 1000, PROMPT_MAX = 256, BEAMS_MAX = 256, LENGTH_MAX = 1024 };

static const char default_prompt[] = " what does the image describe?";

/* How captions are made when nothing else is asked for; the length depends on the prompt's. */
struct ofa_generation {
	int beams, min_length, no_repeat_ngram;
	double length_a, length_b; /* at most a * prompt tokens + b */
	double length_penalty, temperature, unk_penalty;
	bool normalize;
};

struct ofa_model {
	struct model base;
	struct ofa_config config;
	struct ofa_generation generation;
	struct preprocess preprocess;
	struct bpe *bpe;
	int64_t *prompt; /* with bos and eos */
	int n_prompt;
	bool english;
};

/* ---- configuration.json ---- */

/* The generator has modes for other tasks; a caption made without them would not be the published one. */
static int refuse_modes(struct json_reader *r, const json_t *root, struct error *err)
{
	static const char *const modes[] = {"match_source_len", "ignore_eos", "gen_code", "gen_box", "zero_shot"};
	const char *task = json_text(r, root, "task", "image-captioning"), *type = json_text(r, root, "model.gen_type", "generation");

	if (strcmp(task, "image-captioning") != 0)
		return fail(err, E_MODEL, "%s: \"task\": \"%s\" is not supported, only \"image-captioning\"", r->file, task);
	if (strcmp(type, "generation") != 0 && strcmp(type, "traverse") != 0)
		return fail(err, E_MODEL, "%s: \"gen_type\": \"%s\" is unknown; there are generation and traverse", r->file, type);
	for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
		char key[64];

		snprintf(key, sizeof key, "model.beam_search.%s", modes[i]);
		if (json_flag(r, root, key, false))
			return fail(err, E_MODEL, "%s: \"%s\": true is not supported", r->file, key);
	}
	if (json_find(root, "model.beam_search.constraint_range"))
		return fail(err, E_MODEL, "%s: \"constraint_range\" is not supported", r->file);
	return 0;
}

static void read_generation(struct json_reader *r, const json_t *root, struct ofa_generation *g)
{
	const json_t *search = json_find(root, "model.beam_search");

	g->beams = (int)json_int(r, search, "beam_size", 5, 1, BEAMS_MAX);
	g->length_a = json_number(r, search, "max_len_a", 0);
	g->length_b = json_number(r, search, "max_len_b", 16);
	/* without this file it is a folder of the family's second home, whose card generates with no minimum */
	g->min_length = (int)json_int(r, search, "min_len", root ? 1 : 0, 0, LENGTH_MAX);
	g->no_repeat_ngram = (int)json_int(r, search, "no_repeat_ngram_size", 3, 0, LENGTH_MAX);
	g->length_penalty = json_number(r, search, "len_penalty", 1);
	g->temperature = json_number(r, search, "temperature", 1);
	g->unk_penalty = json_number(r, search, "unk_penalty", 0);
	g->normalize = json_flag(r, search, "normalize_scores", true);
}

/* The prompt in the model's own tokens, between bos and eos. */
static int read_prompt(struct ofa_model *m, const char *text, int limit, struct error *err)
{
	int32_t ids[PROMPT_MAX + 2];
	int n = bpe_encode(m->bpe, text, strlen(text), BPE_SPECIALS, ids, limit + 2, NULL, err);

	if (n < 0)
		return fail_prefix(err, "%s: the prompt", m->base.dir);
	m->prompt = xcalloc((size_t)n, sizeof *m->prompt);
	m->n_prompt = n;
	for (int i = 0; i < n; i++)
		m->prompt[i] = ids[i];
	return 0;
}

static int read_options(struct ofa_model *m, struct json_reader *r, const json_t *root, struct error *err)
{
	const char *prompt = json_text(r, root, "model.prompt", default_prompt);
	int limit = (int)json_int(r, root, "model.max_src_length", PROMPT_MAX, 1, LENGTH_MAX);

	m->english = strcmp(json_text(r, root, "model.language", "en"), "en") == 0;
	read_generation(r, root, &m->generation);
	if (r->failed || refuse_modes(r, root, err) < 0 || r->failed)
		return -1;
	return read_prompt(m, prompt, limit < PROMPT_MAX ? limit : PROMPT_MAX, err);
}

/* The task file of the model's first home; a folder without one has the defaults. */
static int read_task(struct ofa_model *m, struct error *err)
{
	char *path = xasprintf("%s/configuration.json", m->base.dir);
	struct json_reader r = {.file = path, .err = err};
	json_t *root = NULL;
	int rc = 0;

	if (access(path, F_OK) == 0) {
		root = json_read(path, JSON_LIMIT, err);
		rc = root ? 0 : -1;
	}
	if (rc == 0)
		rc = read_options(m, &r, root, err);
	json_decref(root);
	free(path);
	return rc;
}

/* ---- vocabulary ---- */

static int check_role(const struct ofa_model *m, enum vocab_role role, const char *key, int expected, struct error *err)
{
	int32_t id = bpe_role(m->bpe, role);

	if (id == expected)
		return 0;
	return fail(err, E_MODEL, "%s: config.json says \"%s\": %d, the vocabulary %d; they must agree", m->base.dir, key, expected, id);
}

/* The published models append <code_i> and <bin_i> to what vocab.json lists; a vocabulary of another size is complete in itself. */
static int load_vocabulary(struct ofa_model *m, struct error *err)
{
	size_t size = (size_t)m->config.vocabulary;
	struct bpe_source source = {.kind = BPE_BYTES, .dir = m->base.dir, .codes = CODES, .bins = BINS};

	if (size <= CODES + BINS)
		source.codes = source.bins = 0;
	m->bpe = bpe_load(&source, err);
	if (m->bpe && bpe_size(m->bpe) > size && source.codes > 0) {
		bpe_free(m->bpe);
		source.codes = source.bins = 0;
		m->bpe = bpe_load(&source, err);
	}
	if (!m->bpe)
		return -1;
	if (bpe_size(m->bpe) > size)
		return fail(err, E_MODEL, "%s: the vocabulary has %zu tokens, config.json's vocab_size is %zu", m->base.dir, bpe_size(m->bpe), size);
	if (check_role(m, ROLE_BOS, "bos_token_id", m->config.bos, err) < 0 || check_role(m, ROLE_EOS, "eos_token_id", m->config.eos, err) < 0 ||
	    check_role(m, ROLE_PAD, "pad_token_id", m->config.pad, err) < 0)
		return -1;
	if (bpe_role(m->bpe, ROLE_UNK) >= 0)
		m->config.unk = bpe_role(m->bpe, ROLE_UNK);
	return 0;
}

/* ---- the row's functions ---- */

static int max_length(const struct ofa_model *m)
{
	double length = m->generation.length_a * m->n_prompt + m->generation.length_b;

	return length >= LENGTH_MAX ? LENGTH_MAX : length >= 1 ? (int)length : 1;
}

static void describe(struct ofa_model *m)
{
	struct model_info *info = &m->base.info;
	const struct ofa_config *c = &m->config;

	info->image_size = m->preprocess.width;
	info->image_step = OFA_PATCH;
	info->image_max = c->image_bucket * OFA_PATCH;
	info->context = c->positions;
	info->vocabulary = c->vocabulary;
	info->layers[0] = c->encoder_layers;
	info->layers[1] = c->decoder_layers;
	info->width[0] = info->width[1] = c->d_model;
	snprintf(info->notes, sizeof info->notes, "%d beams, up to %d tokens", m->generation.beams, max_length(m));
}

static int configure(struct model *base, const json_t *config, struct error *err)
{
	struct ofa_model *m = (struct ofa_model *)base;
	int largest;

	if (ofa_config_read(config, base->dir, &m->config, err) < 0 || load_vocabulary(m, err) < 0 || read_task(m, err) < 0 ||
	    preprocess_load(base->dir, PREPROCESS_OFA, &m->preprocess, err) < 0)
		return -1;
	largest = m->config.image_bucket * OFA_PATCH;
	if (m->preprocess.width > largest || m->preprocess.height > largest)
		return fail(err, E_MODEL, "%s: pictures of %dx%d pixels, but image_bucket_size %d allows %d", base->dir, m->preprocess.width,
			    m->preprocess.height, m->config.image_bucket, largest);
	if (m->n_prompt > m->config.positions)
		return fail(err, E_MODEL, "%s: the prompt has %d tokens, the model %d positions", base->dir, m->n_prompt, m->config.positions);
	describe(m);
	return 0;
}

static void *create(const struct model *m, struct nn_source *source)
{
	return ofa_net_create(&((const struct ofa_model *)m)->config, source);
}

static void destroy(void *net)
{
	ofa_net_destroy(net);
}

static void finish(struct model *base)
{
	struct ofa_model *m = (struct ofa_model *)base;

	bpe_free(m->bpe);
	free(m->prompt);
}

/* The side of the picture that is asked for with image_size pixels, not the model's own: whole patches, as far as the positions reach. */
static int side_of(const struct ofa_model *m, int image_size)
{
	int most = m->base.info.image_max / OFA_PATCH, patches = (image_size + OFA_PATCH / 2) / OFA_PATCH;

	return OFA_PATCH * (patches < 1 ? 1 : patches > most ? most : patches);
}

static int prepare(const struct model *base, const struct image *image, int image_size, struct pixels *out, struct error *err)
{
	const struct ofa_model *m = (const struct ofa_model *)base;
	struct preprocess p = m->preprocess;

	if (image_size > 0 && image_size != p.width)
		preprocess_set_size(&p, side_of(m, image_size));
	return preprocess_run(&p, image, out, err);
}

/* ---- captions ---- */

char *ofa_caption_text(const struct bpe *bpe, const int32_t *ids, size_t n, bool english, bool whole)
{
	static const char broken[] = "\xef\xbf\xbd"; /* U+FFFD stands for bytes that are no character, or not yet */
	char *text = bpe_decode(bpe, ids, n, BPE_SKIP_SPECIAL | BPE_CLEAN_UP);
	size_t length = strlen(text);

	while (!whole && length >= 3 && memcmp(text + length - 3, broken, 3) == 0)
		text[length -= 3] = '\0';
	if (english)
		text_caption(text);
	return text;
}

static char *text_of(const struct model *base, const int32_t *ids, int n, bool whole)
{
	const struct ofa_model *m = (const struct ofa_model *)base;

	return ofa_caption_text(m->bpe, ids, (size_t)n, m->english, whole);
}

static int step(void *ctx, const struct beam_step *s, struct error *err)
{
	return ofa_decoding_step(ctx, s, err);
}

/* What the options leave open is the model's own. */
static struct beam_options search_options(const struct ofa_model *m, const struct caption_options *o)
{
	const struct ofa_generation *g = &m->generation;
	int length = o->max_length > 0 ? o->max_length : max_length(m);

	return (struct beam_options){
		.beams = o->beams > 0 ? o->beams : g->beams,
		.max_length = length < m->config.positions ? length : m->config.positions - 1,
		.min_length = o->min_length > 0 ? o->min_length : g->min_length,
		.no_repeat_ngram = o->no_repeat_ngram >= 0 ? o->no_repeat_ngram : g->no_repeat_ngram,
		.length_penalty = o->length_penalty >= 0 ? o->length_penalty : g->length_penalty,
		.temperature = g->temperature,
		.unk_penalty = g->unk_penalty,
		.normalize = g->normalize,
		.bos = m->config.bos,
		.pad = m->config.pad,
		.eos = m->config.eos,
		.unk = m->config.unk,
		.vocabulary = m->config.vocabulary,
	};
}

static int caption(struct model *base, tt_tensor *pixels, const struct caption_options *options, struct caption *out, struct error *err)
{
	struct ofa_model *m = (struct ofa_model *)base;
	struct caption_search c = {.model = base, .options = options, .search = search_options(m, options), .step = step, .text = text_of};
	int n = (int)tt_size(pixels, 0), rc;
	tt_pool *p = base->work;
	struct ofa_memory memory;
	tt_tensor *prompt = tt_from_i64(p, m->prompt, TT_SHAPE(1, m->n_prompt));

	if (ofa_encode(base->net, p, pixels, tt_expand(p, prompt, TT_SHAPE(n, m->n_prompt)), false, &memory) < 0)
		return model_check(base, "encoder", err);
	c.ctx = ofa_decoding_create(base->net, p, &memory, c.search.max_length);
	rc = caption_search(&c, n, out, err);
	ofa_decoding_destroy(c.ctx);
	return rc;
}

static void forecast(const struct model *base, const struct forecast_request *request, struct forecast *out)
{
	const struct ofa_model *m = (const struct ofa_model *)base;
	const struct caption_options options = {.beams = request->beams, .max_length = request->tokens, .no_repeat_ngram = -1};
	struct beam_options search_as = search_options(m, &options);
	struct forecast_captions captions = {m->preprocess.height, m->preprocess.width, m->n_prompt, search_as.beams, search_as.max_length};

	if (request->image_size > 0 && request->image_size != m->preprocess.width)
		captions.height = captions.width = side_of(m, request->image_size);
	forecast_ofa(&m->config, request, &captions, out);
}

const struct model_ops ofa_ops = {
	.architecture = "ofa",
	.title = "OFA",
	.kind = MODEL_CAPTION,
	.size = sizeof(struct ofa_model),
	.configure = configure,
	.create = create,
	.destroy = destroy,
	.finish = finish,
	.prepare = prepare,
	.caption = caption,
	.forecast = forecast,
};
