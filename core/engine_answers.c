/* engine_answers.c - from vectors and verdicts to events: the labels and their embeddings, scores, CLIPScore, the combined ranking. See
 * engine_private.h. */
#include "core/engine_private.h"

#include <stdlib.h>
#include <string.h>

#include "core/hypothesis.h"
#include "core/mem.h"
#include "core/scores.h"

/* ---------------------------------------------------------------- labels */

static struct label *find_label(struct engine *e, const char *text)
{
	uint32_t hash = 2166136261u; /* FNV-1a */
	struct label **bucket, *label;

	for (const char *s = text; *s; s++)
		hash = (hash ^ (unsigned char)*s) * 16777619u;
	bucket = &e->label_cache[hash % LABEL_BUCKETS];
	for (label = *bucket; label; label = label->bucket)
		if (!strcmp(label->text, text))
			return label;
	label = xcalloc(1, sizeof *label);
	label->text = xstrdup(text);
	label->bucket = *bucket;
	return *bucket = label;
}

uint32_t engine_set_labels(struct engine *e, const char *const *labels, int n, uint32_t first)
{
	struct picture *p, *next;
	uint32_t epoch;

	pthread_mutex_lock(&e->lock);
	e->labels_n = n < 0 ? 0 : n > ENGINE_MAX_LABELS ? ENGINE_MAX_LABELS : n;
	e->labels = xrealloc(e->labels, (size_t)e->labels_n, sizeof *e->labels);
	for (int i = 0; i < e->labels_n; i++) {
		e->labels[i] = find_label(e, labels[i]);
		e->labels[i]->failed = false;
	}
	epoch = ++e->epoch;
	if ((p = picture_find(e, first)))
		picture_select(e, p);
	for (p = e->all.first; p; p = next) {
		next = p->all.next;
		picture_refresh(e, p);
	}
	for (int i = 0; i < MODEL_KINDS; i++)
		pthread_cond_signal(&e->lane[i].wake);
	pthread_mutex_unlock(&e->lock);
	return epoch;
}

int labels_missing(struct engine *e, struct label **out, int max)
{
	int n = 0;

	for (int i = 0; i < e->labels_n && n < max; i++) {
		bool twice = false;

		if (e->labels[i]->embedding || e->labels[i]->failed)
			continue;
		for (int k = 0; k < n; k++)
			twice = twice || out[k] == e->labels[i];
		if (!twice)
			out[n++] = e->labels[i];
	}
	return n;
}

void labels_forget(struct engine *e)
{
	for (int i = 0; i < LABEL_BUCKETS; i++) {
		for (struct label *label = e->label_cache[i]; label; label = label->bucket) {
			free(label->embedding);
			label->embedding = NULL;
			label->failed = false;
		}
	}
}

void labels_free(struct engine *e)
{
	for (int i = 0; i < LABEL_BUCKETS; i++) {
		for (struct label *label = e->label_cache[i], *next; label; label = next) {
			next = label->bucket;
			free(label->text);
			free(label->embedding);
			free(label);
		}
	}
	free(e->labels);
}

static const float **label_vectors(const struct engine *e)
{
	const float **vectors = xcalloc((size_t)e->labels_n, sizeof *vectors);

	for (int i = 0; i < e->labels_n; i++)
		vectors[i] = e->labels[i]->embedding;
	return vectors;
}

/* ---------------------------------------------------------------- answers */

unsigned answers_possible(const struct engine *e)
{
	bool scores = lane_usable(&e->lane[MODEL_SCORES]), caption = lane_usable(&e->lane[MODEL_CAPTION]);
	unsigned answers = 0;

	if (scores)
		answers |= ANSWER_SCORES;
	if (caption)
		answers |= ANSWER_CAPTION;
	if (scores && caption)
		answers |= ANSWER_CLIPSCORE;
	if (caption && lane_usable(&e->lane[MODEL_NLI]) && e->labels_n)
		answers |= ANSWER_VERDICTS;
	return answers;
}

/* Takes over probability and cosine, [n] each. */
static void tell_scores(struct engine *e, struct picture *p, float *probability, float *cosine, int n)
{
	struct event event = {.kind = EV_SCORES, .id = p->id, .epoch = e->epoch, .model = MODEL_SCORES};

	event.scores.probability = probability;
	event.scores.cosine = cosine;
	event.scores.n = n;
	event.scores.ms = p->embed_ms;
	event.scores.batch = p->embed_batch;
	engine_emit(e, &event);
	picture_settle(e, p, ANSWER_SCORES);
}

static void compare(const struct engine *e, const float *embedding, const float *const *vectors, int n, float *probability, float *cosine)
{
	const struct lane *l = &e->lane[MODEL_SCORES];

	scores_cosines(embedding, vectors, n, l->embed_size, cosine);
	if (l->sigmoid)
		scores_sigmoid(cosine, n, l->logit_scale, l->logit_bias, probability);
	else
		scores_softmax(cosine, n, l->logit_scale, probability);
}

void answers_embedding(struct engine *e, struct picture *p, float *embedding, double ms, int batch)
{
	if (!p->embedding)
		e->embeddings++;
	free(p->embedding);
	p->embedding = embedding;
	p->embed_ms = ms;
	p->embed_batch = batch;
	if (p->missing & ANSWER_CLIPSCORE && p->caption)
		line_join(e, p, LINE_TEXT, false);
	line_join(e, p, LINE_RESCORE, false);
}

void answers_rescore(struct engine *e, uint32_t id, uint64_t ticket)
{
	struct picture *p = picture_find(e, id);
	int n = e->labels_n;
	const float **vectors = label_vectors(e);
	float *embedding = xmemdup(p->embedding, (size_t)e->lane[MODEL_SCORES].embed_size * sizeof *embedding);
	float *probability = xcalloc((size_t)n, sizeof *probability), *cosine = xcalloc((size_t)n, sizeof *cosine);

	/* A thousand labels take long enough to make the screen wait for the mutex; the vectors themselves are never changed, and
	 * freed by this thread alone. */
	pthread_mutex_unlock(&e->lock);
	compare(e, embedding, vectors, n, probability, cosine);
	pthread_mutex_lock(&e->lock);
	free(vectors);
	free(embedding);
	if ((p = picture_return(e, id, LINE_RESCORE, ticket))) {
		tell_scores(e, p, probability, cosine, n);
	} else {
		free(probability);
		free(cosine);
	}
}

void answers_caption(struct engine *e, struct picture *p, const struct caption *caption, double ms, int batch)
{
	struct event event = {.kind = EV_CAPTION, .id = p->id, .epoch = e->epoch, .model = MODEL_CAPTION};

	free(p->caption);
	p->caption = xstrdup(caption->text);
	event.caption.caption = *caption;
	event.caption.ms = ms;
	event.caption.batch = batch;
	engine_emit(e, &event);
	if (p->missing & ANSWER_CLIPSCORE && p->embedding)
		line_join(e, p, LINE_TEXT, false);
	if (p->missing & ANSWER_VERDICTS)
		line_join(e, p, LINE_PREMISE, false);
	picture_settle(e, p, ANSWER_CAPTION);
}

void answers_clipscore(struct engine *e, struct picture *p, const float *text)
{
	struct event event = {.kind = EV_CLIPSCORE, .id = p->id, .epoch = e->epoch, .model = MODEL_SCORES};
	float cosine;

	scores_cosines(p->embedding, &text, 1, e->lane[MODEL_SCORES].embed_size, &cosine);
	event.clipscore.score = scores_clipscore(cosine);
	engine_emit(e, &event);
	picture_settle(e, p, ANSWER_CLIPSCORE);
}

void answers_verdicts(struct engine *e, struct picture *p, const struct verdict *verdicts, double ms)
{
	struct event event = {.kind = EV_VERDICTS, .id = p->id, .epoch = e->epoch, .model = MODEL_NLI};
	size_t size = (size_t)e->labels_n * sizeof *verdicts;

	free(p->verdicts);
	p->verdicts = xmemdup(verdicts, size);
	event.verdicts.verdicts = xmemdup(verdicts, size);
	event.verdicts.n = e->labels_n;
	event.verdicts.ms = ms;
	engine_emit(e, &event);
	picture_settle(e, p, ANSWER_VERDICTS);
}

void answers_ranking(struct engine *e, struct picture *p)
{
	struct event event = {.kind = EV_RANKING, .id = p->id, .epoch = e->epoch};
	int n = p->embedding || p->verdicts ? e->labels_n : 0;

	event.ranking.n = n;
	if (n) {
		float *probability = NULL;

		event.ranking.order = xcalloc((size_t)n, sizeof *event.ranking.order);
		event.ranking.combined = xcalloc((size_t)n, sizeof *event.ranking.combined);
		if (p->embedding) {
			const float **vectors = label_vectors(e);

			probability = xcalloc((size_t)n, sizeof *probability);
			compare(e, p->embedding, vectors, n, probability, probability);
			free(vectors);
		}
		scores_combine(probability, p->verdicts, n, event.ranking.combined);
		scores_rank(event.ranking.combined, n, event.ranking.order);
		free(probability);
	}
	free(p->verdicts);
	p->verdicts = NULL;
	engine_emit(e, &event);
}

/* ---------------------------------------------------------------- texts */

char *answers_clip_text(const char *caption)
{
	/* The prefix that CLIPScore was defined with (Hessel et al. 2021, section 3). */
	return xasprintf("A photo depicts %s", caption);
}

char *answers_hypothesis(const struct engine *e, const char *label)
{
	return hypothesis_make(e->hypothesis, label);
}
