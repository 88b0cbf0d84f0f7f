/* engine_work.c - what the lanes do: CLIP's pictures, labels and captions, the captioner's sentences, the NLI model's verdicts. See
 * engine_private.h. */
#include "core/engine_private.h"

#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

/* The control with which n items are run next. */
static struct model_control control_of(struct lane *l, int n)
{
	l->attempt = n;
	l->largest = n > l->largest ? n : l->largest;
	return (struct model_control){.check = lane_check, .ctx = l};
}

static void record(struct lane *l, double seconds, int n)
{
	for (int i = 0; i < n; i++)
		times_add(&l->times, 1e3 * seconds / n);
}

static const struct pixels **pixels_of(const struct row *rows, int n)
{
	const struct pixels **pixels = xcalloc((size_t)n, sizeof *pixels);

	for (int i = 0; i < n; i++)
		pixels[i] = &rows[i].pixels;
	return pixels;
}

static const char **texts_of(const struct row *rows, int n)
{
	const char **texts = xcalloc((size_t)n, sizeof *texts);

	for (int i = 0; i < n; i++)
		texts[i] = rows[i].text;
	return texts;
}

static bool same_shape(const struct pixels *a, const struct pixels *b)
{
	return a->channels == b->channels && a->height == b->height && a->width == b->width;
}

static struct pixels *pixels_in(struct picture *p, enum line_name line)
{
	return line == LINE_IMAGE ? &p->for_scores : &p->for_caption;
}

/* Takes up to max prepared pictures of the first one's shape, in order, into rows. */
static int take_pictures(struct lane *l, enum line_name name, struct row *rows, int max)
{
	struct engine *e = l->engine;
	struct line *line = &e->line[name];
	int n = 0;

	for (struct picture *p = line_head(line), *next; p && n < max; p = next) {
		struct pixels *pixels = pixels_in(p, name);

		next = line_next(line, p, name);
		if (n && !same_shape(pixels, &rows[0].pixels))
			continue;
		rows[n] = (struct row){.id = p->id, .pixels = *pixels};
		*pixels = (struct pixels){0};
		rows[n++].ticket = picture_take(e, p, name);
	}
	l->rows = l->live = n;
	return n;
}

/* The same for pictures with captions; text makes a row's text. */
static int take_captioned(struct lane *l, enum line_name name, struct row *rows, int max, char *(*text)(const char *caption))
{
	struct engine *e = l->engine;
	struct line *line = &e->line[name];
	struct picture *p;
	int n = 0;

	for (; n < max && (p = line_head(line)); n++) {
		rows[n] = (struct row){.id = p->id, .text = text(p->caption)};
		rows[n].ticket = picture_take(e, p, name);
	}
	l->rows = l->live = n;
	return n;
}

/* ---------------------------------------------------------------- CLIP */

static int embed_pictures(struct lane *l, struct row *rows, int n, struct error *err)
{
	struct engine *e = l->engine;
	struct model_control control = control_of(l, n);
	const struct pixels **pixels = pixels_of(rows, n);
	float *out = xcalloc((size_t)n * (size_t)l->embed_size, sizeof *out);
	double begin = clock_now(), seconds;
	int rc = e->library->embed_images(l->model, pixels, n, out, &control, err);

	seconds = clock_now() - begin;
	free(pixels);
	pthread_mutex_lock(&e->lock);
	if (!rc)
		record(l, seconds, n);
	for (int i = 0; i < n && !rc; i++) {
		struct picture *p = picture_return(e, rows[i].id, LINE_IMAGE, rows[i].ticket);
		size_t size = (size_t)l->embed_size * sizeof *out;

		if (p)
			l->done++;
		if (p)
			answers_embedding(e, p, xmemdup(out + (size_t)i * (size_t)l->embed_size, size), 1e3 * seconds / n, n);
	}
	pthread_mutex_unlock(&e->lock);
	free(out);
	return rc;
}

static int embed_texts(struct lane *l, struct row *rows, int n, float *out, struct error *err)
{
	struct model_control control = control_of(l, n);
	const char **texts = texts_of(rows, n);
	int rc = l->engine->library->embed_texts(l->model, texts, n, out, &control, err);

	free(texts);
	return rc;
}

static int embed_captions(struct lane *l, struct row *rows, int n, struct error *err)
{
	struct engine *e = l->engine;
	float *out = xcalloc((size_t)n * (size_t)l->embed_size, sizeof *out);
	int rc = embed_texts(l, rows, n, out, err);

	pthread_mutex_lock(&e->lock);
	for (int i = 0; i < n && !rc; i++) {
		struct picture *p = picture_return(e, rows[i].id, LINE_TEXT, rows[i].ticket);

		if (p)
			answers_clipscore(e, p, out + (size_t)i * (size_t)l->embed_size);
	}
	pthread_mutex_unlock(&e->lock);
	free(out);
	return rc;
}

static int embed_labels(struct lane *l, struct row *rows, int n, struct error *err)
{
	struct engine *e = l->engine;
	float *out = xcalloc((size_t)n * (size_t)l->embed_size, sizeof *out);
	int rc = embed_texts(l, rows, n, out, err);

	pthread_mutex_lock(&e->lock);
	for (int i = 0; i < n && !rc; i++)
		rows[i].label->embedding = xmemdup(out + (size_t)i * (size_t)l->embed_size, (size_t)l->embed_size * sizeof *out);
	pthread_mutex_unlock(&e->lock);
	free(out);
	return rc;
}

static const struct run run_pictures = {LINE_IMAGE, "pictures", false, embed_pictures};
static const struct run run_captions = {LINE_TEXT, "captions", true, embed_captions};
static const struct run run_labels = {LINES, "labels", true, embed_labels};

static bool work_labels(struct lane *l)
{
	struct label *labels[TEXT_BATCH];
	struct row rows[TEXT_BATCH];
	int n = labels_missing(l->engine, labels, TEXT_BATCH);

	for (int i = 0; i < n; i++)
		rows[i] = (struct row){.label = labels[i], .text = xstrdup(labels[i]->text)};
	l->rows = l->live = 0;
	if (n)
		lane_run_rows(l, &run_labels, rows, n);
	return n > 0;
}

static bool work_rescore(struct lane *l)
{
	struct engine *e = l->engine;
	struct picture *p = line_head(&e->line[LINE_RESCORE]);

	if (p)
		answers_rescore(e, p->id, picture_take(e, p, LINE_RESCORE));
	return p;
}

static bool work_clipscores(struct lane *l)
{
	struct row rows[TEXT_BATCH];
	int n = take_captioned(l, LINE_TEXT, rows, TEXT_BATCH, answers_clip_text);

	if (n)
		lane_run_rows(l, &run_captions, rows, n);
	return n > 0;
}

static bool work_pictures(struct lane *l, enum line_name line, const struct run *run)
{
	struct row rows[ENGINE_MAX_BATCH];
	int n;

	if (!l->engine->line[line].count)
		return false;
	if (!lane_gather(l, line, lane_batch(l)))
		return true;
	n = take_pictures(l, line, rows, lane_batch(l));
	lane_run_rows(l, run, rows, n);
	return true;
}

bool work_scores(struct lane *l)
{
	/* A selected picture is embedded even before the labels are: both are needed for its scores, and the picture lights up the rest. */
	if (l->engine->line[LINE_IMAGE].first[ENGINE_SELECTED])
		return work_pictures(l, LINE_IMAGE, &run_pictures);
	return work_labels(l) || work_rescore(l) || work_clipscores(l) || work_pictures(l, LINE_IMAGE, &run_pictures);
}

/* ---------------------------------------------------------------- captioner */

struct listener {
	struct lane *lane;
	struct row *rows;
};

static void hear(void *ctx, int i, const char *text, int tokens)
{
	struct listener *listener = ctx;
	struct row *row = &listener->rows[i];
	struct engine *e = listener->lane->engine;
	struct event event = {.kind = EV_TOKENS, .id = row->id, .model = MODEL_CAPTION};

	if (row->text && !strcmp(row->text, text))
		return;
	free(row->text);
	row->text = xstrdup(text);
	pthread_mutex_lock(&e->lock);
	if (picture_wanted(e, row->id, LINE_CAPTION, row->ticket)) {
		event.epoch = e->epoch;
		event.tokens.text = xstrdup(text);
		event.tokens.tokens = tokens;
		engine_emit(e, &event);
	}
	pthread_mutex_unlock(&e->lock);
}

static void record_tokens(struct lane *l, const struct caption *captions, int n, double seconds)
{
	int *count = &l->token_count[l->speeds % SPEEDS];

	*count = l->longest = 0;
	for (int i = 0; i < n; i++) {
		*count += captions[i].tokens;
		l->longest = captions[i].tokens > l->longest ? captions[i].tokens : l->longest;
	}
	l->token_seconds[l->speeds++ % SPEEDS] = seconds;
	l->tokens += *count;
}

static int caption_pictures(struct lane *l, struct row *rows, int n, struct error *err)
{
	struct engine *e = l->engine;
	struct model_control control = control_of(l, n);
	struct listener listener = {l, rows};
	struct caption_options options = {.no_repeat_ngram = -1, .length_penalty = -1, .on_text = hear, .ctx = &listener};
	const struct pixels **pixels = pixels_of(rows, n);
	struct caption *out = xcalloc((size_t)n, sizeof *out);
	double begin = clock_now(), seconds;
	int rc;

	pthread_mutex_lock(&e->lock);
	options.beams = e->settings.beams;
	pthread_mutex_unlock(&e->lock);
	rc = e->library->caption(l->model, pixels, n, &options, out, &control, err);
	seconds = clock_now() - begin;
	free(pixels);
	pthread_mutex_lock(&e->lock);
	if (!rc)
		record(l, seconds, n);
	if (!rc)
		record_tokens(l, out, n, seconds);
	for (int i = 0; i < n && !rc; i++) {
		struct picture *p = picture_return(e, rows[i].id, LINE_CAPTION, rows[i].ticket);

		if (p)
			l->done++;
		if (p)
			answers_caption(e, p, &out[i], 1e3 * seconds / n, n);
	}
	pthread_mutex_unlock(&e->lock);
	free(out);
	return rc;
}

static const struct run run_caption = {LINE_CAPTION, "pictures", false, caption_pictures};

bool work_caption(struct lane *l)
{
	return work_pictures(l, LINE_CAPTION, &run_caption);
}

/* ---------------------------------------------------------------- NLI */

/* The hypotheses of the present labels, [*n]. */
static char **hypotheses(const struct engine *e, int *n)
{
	char **out = xcalloc((size_t)e->labels_n, sizeof *out);

	*n = e->labels_n;
	for (int i = 0; i < *n; i++)
		out[i] = answers_hypothesis(e, e->labels[i]->text);
	return out;
}

/* Pairs per forward pass. */
static int pairs_max(const struct lane *l)
{
	return l->down.batch && l->down.batch < PAIRS_MAX ? l->down.batch : PAIRS_MAX;
}

/* All pairs of n premises with all hypotheses, at most `size` at a time, to out[n][labels]. */
static int classify(struct lane *l, const struct row *rows, int n, char *const *hypothesis, int labels, int size, struct verdict *out,
		    struct error *err)
{
	struct text_pair pairs[PAIRS_MAX];
	int total = n * labels;

	for (int at = 0, k; at < total; at += k) {
		struct model_control control;

		k = total - at < size ? total - at : size;
		for (int i = 0; i < k; i++)
			pairs[i] = (struct text_pair){rows[(at + i) / labels].text, hypothesis[(at + i) % labels]};
		control = control_of(l, k);
		if (l->engine->library->classify(l->model, pairs, k, out + at, &control, err) < 0)
			return -1;
	}
	return 0;
}

static int verify(struct lane *l, struct row *rows, int n, struct error *err)
{
	struct engine *e = l->engine;
	struct verdict *out;
	char **hypothesis;
	double begin, seconds;
	int labels, size, rc;

	pthread_mutex_lock(&e->lock);
	/* When the labels change now, the tickets of these rows become void: what is handed out below always belongs to the present labels. */
	hypothesis = hypotheses(e, &labels);
	size = pairs_max(l);
	pthread_mutex_unlock(&e->lock);
	out = xcalloc((size_t)n * (size_t)labels, sizeof *out);
	begin = clock_now();
	rc = classify(l, rows, n, hypothesis, labels, size, out, err);
	seconds = clock_now() - begin;
	pthread_mutex_lock(&e->lock);
	if (!rc)
		record(l, seconds, n);
	for (int i = 0; i < n && !rc; i++) {
		struct picture *p = picture_return(e, rows[i].id, LINE_PREMISE, rows[i].ticket);

		if (p)
			l->done++;
		if (p)
			answers_verdicts(e, p, out + (size_t)i * (size_t)labels, 1e3 * seconds / n);
	}
	pthread_mutex_unlock(&e->lock);
	for (int i = 0; i < labels; i++)
		free(hypothesis[i]);
	free(hypothesis);
	free(out);
	return rc;
}

static const struct run run_premises = {LINE_PREMISE, "pairs", false, verify};

bool work_nli(struct lane *l)
{
	struct row rows[ENGINE_MAX_BATCH];
	int labels = l->engine->labels_n, max = labels ? pairs_max(l) / labels : 0, batch = lane_batch(l), n;

	/* As many premises as make one forward pass. */
	max = max < 1 ? 1 : max > batch ? batch : max;
	n = take_captioned(l, LINE_PREMISE, rows, max, xstrdup);
	if (n)
		lane_run_rows(l, &run_premises, rows, n);
	return n > 0;
}
