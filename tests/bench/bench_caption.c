/* bench_caption.c - OFA's captions with cached keys and values against the same search without: there every step runs the decoder over the whole prefix.
 *
 *	bench_caption --captioner DIR --pictures DIR [--precision P] [--device D] [--threads N] [--tries N]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/image.h"
#include "core/mem.h"
#include "core/runtime.h"
#include "models/json.h"
#include "models/ofa.h"
#include "models/preprocess.h"
#include "tests/bench/measure.h"

enum { BEAMS = 5, STEPS = 16, TRIES = 5, PROMPT = 9 };

struct captioner {
	struct ofa_config config;
	struct checkpoint *file;
	tt_pool *weights, *work;
	struct ofa_net *net;
};

/* ---- opening */

static void open_captioner(struct captioner *c, const struct bench_arguments *args)
{
	static const enum tt_dtype dtypes[PRECISIONS] = {[PRECISION_FP32] = TT_F32, [PRECISION_BF16] = TT_BF16, [PRECISION_FP16] = TT_F16};
	char *path = xasprintf("%s/config.json", args->captioner);
	struct error err;
	json_t *config = json_read(path, JSON_LIMIT, &err);
	struct nn_source source = {.compute = dtypes[args->precision], .device = args->device};

	if (!config || ofa_config_read(config, args->captioner, &c->config, &err) < 0 || !(c->file = checkpoint_open(args->captioner, &err)))
		bench_stop("%s", err.text);
	source.file = c->file;
	source.pool = c->weights = tt_pool_create(TT_INFER);
	c->work = tt_pool_create(TT_INFER);
	c->net = ofa_net_create(&c->config, &source);
	if (nn_finish(&source, "OFA", &err) < 0)
		bench_stop("%s", err.text);
	nn_source_free(&source);
	json_decref(config);
	free(path);
}

static void close_captioner(struct captioner *c)
{
	ofa_net_destroy(c->net);
	tt_pool_destroy(c->work);
	tt_pool_destroy(c->weights);
	checkpoint_close(c->file);
}

static struct pixels first_picture(const struct bench_arguments *args)
{
	struct preprocess how;
	struct pixels out;
	struct image image;
	struct error err;
	int n;
	char **files = bench_files(args->pictures, &n);

	if (preprocess_load(args->captioner, PREPROCESS_OFA, &how, &err) < 0 || image_load(files[0], NULL, &image, NULL, &err) < 0 ||
	    preprocess_run(&how, &image, &out, &err) < 0)
		bench_stop("%s", err.text);
	image_free(&image);
	for (int i = 0; i < n; i++)
		free(files[i]);
	free(files);
	return out;
}

static void encode(const struct captioner *c, const struct pixels *pixels, struct ofa_memory *memory)
{
	int64_t prompt[PROMPT];
	tt_tensor *x = tt_from_f32(c->work, pixels->data, TT_SHAPE(1, 3, pixels->height, pixels->width));

	for (int i = 0; i < PROMPT; i++)
		prompt[i] = i == 0 ? c->config.bos : i == PROMPT - 1 ? c->config.eos : 100 + i;
	if (ofa_encode(c->net, c->work, x, tt_from_i64(c->work, prompt, TT_SHAPE(1, PROMPT)), false, memory) < 0)
		bench_stop("encoder: %s", tt_message(c->work));
}

/* ---- the search without caches */

struct plain_decoding {
	const struct captioner *c;
	const struct ofa_memory *memory; /* of one picture */
	int64_t prefix[BEAMS][STEPS + 1], last[BEAMS][STEPS + 1];
};

/* What the decoder sees for `rows` rows: the picture's memory under each of them. */
static struct ofa_memory memory_of_rows(const struct plain_decoding *d, int rows)
{
	tt_pool *p = d->c->work;
	struct ofa_memory m = *d->memory;

	m.output = tt_expand(p, m.output, TT_SHAPE(rows, tt_size(m.output, 1), tt_size(m.output, 2)));
	if (m.key_bias)
		m.key_bias = tt_expand(p, m.key_bias, TT_SHAPE(rows, 1, 1, tt_size(m.key_bias, 3)));
	return m;
}

static int plain_step(void *ctx, const struct beam_step *s, struct error *err)
{
	struct plain_decoding *d = ctx;
	tt_pool *p = d->c->work;
	tt_mark start = tt_here(p);
	int length = s->step + 1;
	int64_t ids[BEAMS * (STEPS + 1)];
	struct ofa_memory memory = memory_of_rows(d, s->rows);
	tt_tensor *logits;

	memcpy(d->last, d->prefix, sizeof d->last);
	for (int r = 0; r < s->rows; r++) {
		if (s->parent)
			memcpy(d->prefix[r], d->last[s->parent[r]], sizeof d->prefix[r]);
		d->prefix[r][s->step] = s->token[r];
		memcpy(ids + r * length, d->prefix[r], (size_t)length * sizeof *ids);
	}
	logits = ofa_decode(d->c->net, p, &memory, tt_from_i64(p, ids, TT_SHAPE(s->rows, length)));
	tt_to_f32(p, tt_select(p, logits, 1, s->step), s->logits, (size_t)s->rows * (size_t)d->c->config.vocabulary);
	tt_keep(p, start, NULL, 0);
	return tt_status_of(p) == TT_OK ? 0 : fail(err, E_MODEL, "%s", tt_message(p));
}

static int cached_step(void *ctx, const struct beam_step *s, struct error *err)
{
	return ofa_decoding_step(ctx, s, err);
}

/* ---- measuring */

/* Always all steps, so that both ways do the same. */
static struct beam_result search(const struct captioner *c, beam_step_function *step, void *ctx)
{
	const struct beam_options o = {
		.beams = BEAMS,
		.max_length = STEPS,
		.min_length = STEPS,
		.no_repeat_ngram = 3,
		.length_penalty = 1,
		.temperature = 1,
		.normalize = true,
		.bos = c->config.bos,
		.pad = c->config.pad,
		.eos = c->config.eos,
		.unk = c->config.unk,
		.vocabulary = c->config.vocabulary,
	};
	struct beam_result result;
	struct error err;

	if (beam_search(&o, 1, step, NULL, ctx, &result, &err) < 0)
		bench_stop("%s", err.text);
	return result;
}

static struct beam_result decode(const struct captioner *c, const struct ofa_memory *memory, bool cached)
{
	struct plain_decoding plain = {.c = c, .memory = memory};
	struct ofa_decoding *decoding = cached ? ofa_decoding_create(c->net, c->work, memory, STEPS) : NULL;
	struct beam_result result = search(c, cached ? cached_step : plain_step, cached ? (void *)decoding : &plain);

	ofa_decoding_destroy(decoding);
	return result;
}

static bool same_words(const struct beam_result *a, const struct beam_result *b)
{
	const struct beam_hypothesis *x = a->hypotheses, *y = b->hypotheses;

	return a->n > 0 && b->n > 0 && x->length == y->length && memcmp(x->ids, y->ids, (size_t)x->length * sizeof *x->ids) == 0;
}

struct times {
	struct series encoding, cached, plain;
};

static void measure(const struct captioner *c, const struct pixels *pixels, struct times *t, bool count)
{
	struct beam_result result[2];
	struct ofa_memory memory;
	double begin = clock_now(), encoded, decoded[2];
	tt_mark start;

	encode(c, pixels, &memory);
	encoded = clock_now() - begin;
	start = tt_here(c->work);
	for (int i = 0; i < 2; i++) {
		begin = clock_now();
		result[i] = decode(c, &memory, i == 0);
		decoded[i] = clock_now() - begin;
		tt_keep(c->work, start, NULL, 0);
	}
	if (!same_words(&result[0], &result[1]))
		fprintf(stderr, "the two searches found different captions\n");
	for (int i = 0; i < 2; i++)
		beam_result_free(&result[i]);
	tt_clear(c->work);
	if (!count)
		return;
	series_add(&t->encoding, encoded);
	series_add(&t->cached, decoded[0]);
	series_add(&t->plain, decoded[1]);
}

static void bench(const struct bench_arguments *args)
{
	struct captioner c = {0};
	struct times t = {{0}, {0}, {0}};
	char message[200];
	struct pixels pixels = first_picture(args);
	double encoding, cached, plain;

	if (tt_start(args->threads ? args->threads : runtime_cpus(), message, sizeof message) < 0)
		bench_stop("%s", message);
	open_captioner(&c, args);
	measure(&c, &pixels, &t, false);
	for (int i = 0, tries = args->tries ? args->tries : TRIES; i < tries; i++)
		measure(&c, &pixels, &t, true);
	encoding = 1e3 * series_quantile(&t.encoding, 0.5);
	cached = 1e3 * series_quantile(&t.cached, 0.5);
	plain = 1e3 * series_quantile(&t.plain, 0.5);
	bench_tell("encoding_ms", encoding);
	bench_tell("cached_decoding_ms", cached);
	bench_tell("plain_decoding_ms", plain);
	bench_tell("cached_caption_ms", encoding + cached);
	bench_tell("plain_caption_ms", encoding + plain);
	series_free(&t.encoding);
	series_free(&t.cached);
	series_free(&t.plain);
	free(pixels.data);
	close_captioner(&c);
}

int main(int argc, char **argv)
{
	struct bench_arguments args;

	bench_arguments_read(argc, argv, &args);
	bench_needs(args.captioner, "--captioner DIR is needed");
	bench_needs(args.pictures, "--pictures DIR is needed");
	if (runtime_prepare(args.threads))
		execv("/proc/self/exe", argv);
	bench(&args);
	fflush(stdout);
	_exit(0);
}
