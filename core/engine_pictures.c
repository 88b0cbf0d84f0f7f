/* engine_pictures.c - the engine's pictures: who waits for what, and how each one ends. See engine_private.h. */
#include "core/engine_private.h"

#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/utf8.h"

static const unsigned line_lane[LINES] = {
	[LINE_PREVIEW] = MODEL_KINDS,  [LINE_LOAD_SCORES] = MODEL_KINDS, [LINE_LOAD_CAPTION] = MODEL_KINDS, [LINE_IMAGE] = MODEL_SCORES,
	[LINE_RESCORE] = MODEL_SCORES, [LINE_TEXT] = MODEL_SCORES,       [LINE_CAPTION] = MODEL_CAPTION,    [LINE_PREMISE] = MODEL_NLI,
};

/* ---------------------------------------------------------------- lists */

static void list_append(struct picture_list *list, struct picture *p, size_t offset)
{
	struct node *node = (struct node *)((char *)p + offset);

	*node = (struct node){list->last, NULL};
	if (list->last)
		((struct node *)((char *)list->last + offset))->next = p;
	else
		list->first = p;
	list->last = p;
}

static void list_remove(struct picture_list *list, struct picture *p, size_t offset)
{
	struct node *node = (struct node *)((char *)p + offset);

	if (node->prev)
		((struct node *)((char *)node->prev + offset))->next = node->next;
	else
		list->first = node->next;
	if (node->next)
		((struct node *)((char *)node->next + offset))->prev = node->prev;
	else
		list->last = node->prev;
	*node = (struct node){NULL, NULL};
}

static void link_in(struct line *line, struct picture *p, enum line_name name, bool front)
{
	struct node *node = &p->node[name];
	int k = p->priority;

	if (front) {
		*node = (struct node){NULL, line->first[k]};
		if (line->first[k])
			line->first[k]->node[name].prev = p;
		else
			line->last[k] = p;
		line->first[k] = p;
	} else {
		*node = (struct node){line->last[k], NULL};
		if (line->last[k])
			line->last[k]->node[name].next = p;
		else
			line->first[k] = p;
		line->last[k] = p;
	}
	line->count++;
}

static void link_out(struct line *line, struct picture *p, enum line_name name)
{
	struct node *node = &p->node[name];
	int k = p->priority;

	if (node->prev)
		node->prev->node[name].next = node->next;
	else
		line->first[k] = node->next;
	if (node->next)
		node->next->node[name].prev = node->prev;
	else
		line->last[k] = node->prev;
	*node = (struct node){NULL, NULL};
	line->count--;
}

void line_join(struct engine *e, struct picture *p, enum line_name line, bool front)
{
	if (p->standing & 1u << line)
		return;
	link_in(&e->line[line], p, line, front);
	p->standing |= 1u << line;
	if (line_lane[line] < MODEL_KINDS)
		pthread_cond_signal(&e->lane[line_lane[line]].wake);
	else
		pthread_cond_broadcast(&e->load);
}

static void line_leave(struct engine *e, struct picture *p, enum line_name line)
{
	if (!(p->standing & 1u << line))
		return;
	link_out(&e->line[line], p, line);
	p->standing &= ~(1u << line);
	/* A prepared picture left: there is room for another. */
	if (line == LINE_IMAGE || line == LINE_CAPTION)
		pthread_cond_broadcast(&e->load);
}

struct picture *line_head(const struct line *line)
{
	for (int k = PRIORITIES - 1; k >= 0; k--)
		if (line->first[k])
			return line->first[k];
	return NULL;
}

struct picture *line_next(const struct line *line, const struct picture *p, enum line_name name)
{
	if (p->node[name].next)
		return p->node[name].next;
	for (int k = (int)p->priority - 1; k >= 0; k--)
		if (line->first[k])
			return line->first[k];
	return NULL;
}

struct picture *line_tail(const struct line *line)
{
	for (int k = 0; k < PRIORITIES; k++)
		if (line->last[k])
			return line->last[k];
	return NULL;
}

/* ---------------------------------------------------------------- table */

static size_t bucket_of(const struct engine *e, uint32_t id)
{
	return (id * 2654435761u) & (e->bucket_count - 1);
}

struct picture *picture_find(struct engine *e, uint32_t id)
{
	struct picture *p = e->bucket_count ? e->buckets[bucket_of(e, id)] : NULL;

	while (p && p->id != id)
		p = p->bucket;
	return p;
}

static void grow_table(struct engine *e)
{
	free(e->buckets);
	e->bucket_count = e->bucket_count ? e->bucket_count * 2 : 256;
	e->buckets = xcalloc(e->bucket_count, sizeof *e->buckets);
	for (struct picture *p = e->all.first; p; p = p->all.next) {
		struct picture **bucket = &e->buckets[bucket_of(e, p->id)];

		p->bucket = *bucket;
		*bucket = p;
	}
}

struct picture *picture_add(struct engine *e, uint32_t id, const char *path)
{
	struct picture *p = xcalloc(1, sizeof *p), **bucket;

	if (e->pictures >= e->bucket_count)
		grow_table(e);
	bucket = &e->buckets[bucket_of(e, id)];
	p->id = id;
	p->path = xstrdup(path);
	p->bucket = *bucket;
	*bucket = p;
	list_append(&e->all, p, offsetof(struct picture, all));
	e->pictures++;
	return p;
}

static void set_known(struct engine *e, struct picture *p, bool known)
{
	if (p->is_known == known)
		return;
	if (known)
		list_append(&e->known, p, offsetof(struct picture, known));
	else
		list_remove(&e->known, p, offsetof(struct picture, known));
	e->known_count += known ? 1 : -1;
	p->is_known = known;
}

/* What the models said of it, so that it can be asked anew. */
static void forget_answers(struct engine *e, struct picture *p)
{
	if (p->embedding)
		e->embeddings--;
	free(p->embedding);
	free(p->caption);
	free(p->verdicts);
	p->embedding = NULL;
	p->caption = NULL;
	p->verdicts = NULL;
	set_known(e, p, false);
}

void picture_free(struct engine *e, struct picture *p)
{
	struct picture **bucket = &e->buckets[bucket_of(e, p->id)];

	for (int i = 0; i < LINES; i++)
		picture_drop(e, p, (enum line_name)i);
	forget_answers(e, p);
	while (*bucket != p)
		bucket = &(*bucket)->bucket;
	*bucket = p->bucket;
	list_remove(&e->all, p, offsetof(struct picture, all));
	e->pictures--;
	if (e->has_selected && e->selected == p->id)
		e->has_selected = false;
	free(p->path);
	free(p);
}

void picture_release(struct engine *e, struct picture *p)
{
	if (p->phase == PHASE_IDLE && !(p->standing & 1u << LINE_PREVIEW) && !p->ticket[LINE_PREVIEW])
		picture_free(e, p);
}

void pictures_trim(struct engine *e)
{
	struct picture *p;

	while ((p = e->known.first) && (e->embeddings >= e->remember || e->known_count > e->remember)) {
		/* Rare: it is being looked at again. It is no longer the oldest then. */
		if (p->standing || p->ticket[LINE_PREVIEW]) {
			set_known(e, p, false);
			set_known(e, p, true);
			return;
		}
		picture_free(e, p);
	}
}

/* ---------------------------------------------------------------- order */

void picture_move(struct engine *e, struct picture *p, enum engine_priority priority)
{
	unsigned standing = p->standing;

	if (p->priority == priority)
		return;
	for (int i = 0; i < LINES; i++)
		if (standing & 1u << i)
			link_out(&e->line[i], p, (enum line_name)i);
	p->priority = priority;
	for (int i = 0; i < LINES; i++)
		if (standing & 1u << i)
			link_in(&e->line[i], p, (enum line_name)i, false);
	pthread_cond_broadcast(&e->load);
	for (int i = 0; i < MODEL_KINDS; i++)
		pthread_cond_signal(&e->lane[i].wake);
}

void picture_select(struct engine *e, struct picture *p)
{
	struct picture *former = e->has_selected && e->selected != p->id ? picture_find(e, e->selected) : NULL;

	if (former)
		picture_move(e, former, ENGINE_NEAR);
	e->has_selected = true;
	e->selected = p->id;
	picture_move(e, p, ENGINE_SELECTED);
}

uint64_t picture_take(struct engine *e, struct picture *p, enum line_name line)
{
	line_leave(e, p, line);
	return p->ticket[line] = ++e->tickets;
}

bool picture_wanted(struct engine *e, uint32_t id, enum line_name line, uint64_t ticket)
{
	struct picture *p = ticket ? picture_find(e, id) : NULL;

	return p && p->ticket[line] == ticket;
}

struct picture *picture_return(struct engine *e, uint32_t id, enum line_name line, uint64_t ticket)
{
	struct picture *p;

	if (!picture_wanted(e, id, line, ticket))
		return NULL;
	p = picture_find(e, id);
	p->ticket[line] = 0;
	if (line_lane[line] < MODEL_KINDS)
		e->lane[line_lane[line]].live--;
	return p;
}

static void free_pixels(struct pixels *pixels)
{
	free(pixels->data);
	*pixels = (struct pixels){0};
}

void picture_drop(struct engine *e, struct picture *p, enum line_name line)
{
	if (p->ticket[line]) {
		p->ticket[line] = 0;
		if (line_lane[line] < MODEL_KINDS) {
			e->lane[line_lane[line]].live--;
			/* It may be waiting for its turn with nothing left to do. */
			pthread_cond_signal(&e->lane[line_lane[line]].turn);
		}
	}
	line_leave(e, p, line);
	if (line == LINE_IMAGE)
		free_pixels(&p->for_scores);
	if (line == LINE_CAPTION)
		free_pixels(&p->for_caption);
}

static void drop_answer_work(struct engine *e, struct picture *p)
{
	for (int i = 0; i < LINES; i++)
		if (i != LINE_PREVIEW)
			picture_drop(e, p, (enum line_name)i);
}

/* ---------------------------------------------------------------- beginning and end */

void picture_begin(struct engine *e, struct picture *p)
{
	drop_answer_work(e, p);
	forget_answers(e, p);
	if (p->phase == PHASE_REFRESHING)
		e->refreshing--;
	if (!e->pending++)
		e->busy_since = engine_now();
	e->submitted++;
	p->phase = PHASE_PENDING;
	p->missing = answers_possible(e);
	if (p->missing & ANSWER_SCORES)
		line_join(e, p, LINE_LOAD_SCORES, false);
	if (p->missing & ANSWER_CAPTION)
		line_join(e, p, LINE_LOAD_CAPTION, false);
}

void picture_refresh(struct engine *e, struct picture *p)
{
	unsigned possible = answers_possible(e), again = 0;

	if (p->phase == PHASE_IDLE)
		return;
	picture_drop(e, p, LINE_RESCORE);
	picture_drop(e, p, LINE_PREMISE);
	free(p->verdicts);
	p->verdicts = NULL;
	if (p->embedding && possible & ANSWER_SCORES) {
		again |= ANSWER_SCORES;
		line_join(e, p, LINE_RESCORE, false);
	}
	if (p->caption && possible & ANSWER_VERDICTS) {
		again |= ANSWER_VERDICTS;
		line_join(e, p, LINE_PREMISE, false);
	}
	if (p->phase == PHASE_PENDING) {
		/* Verdicts on a caption that is yet to come are owed exactly while there are labels. */
		p->missing = (p->missing & ~(unsigned)ANSWER_VERDICTS) | again | (p->caption ? 0 : possible & ANSWER_VERDICTS);
	} else {
		if (p->phase == PHASE_ANSWERED)
			e->refreshing++;
		p->phase = PHASE_REFRESHING;
		p->missing = again;
		set_known(e, p, false);
		if (!e->has_selected || e->selected != p->id)
			picture_move(e, p, ENGINE_BACKGROUND);
	}
	picture_settle(e, p, 0);
}

void pictures_count_rate(struct engine *e)
{
	int64_t slot = (int64_t)(engine_now() * RATE_SLOTS / RATE_SECONDS);

	for (int64_t s = e->rate_slot + 1; s <= slot && s <= e->rate_slot + RATE_SLOTS; s++)
		e->rate[s % RATE_SLOTS] = 0;
	e->rate_slot = slot;
}

double pictures_rate(const struct engine *e)
{
	double now = engine_now(), span = now - e->busy_since;
	int64_t sum = 0;

	if (!e->pending)
		return 0;
	for (int i = 0; i < RATE_SLOTS; i++)
		sum += e->rate[i];
	span = span > RATE_SECONDS ? RATE_SECONDS : span < 0.25 ? 0.25 : span;
	return (double)sum / span;
}

void picture_settle(struct engine *e, struct picture *p, unsigned answers)
{
	p->missing &= ~answers;
	if (p->missing || (p->phase != PHASE_PENDING && p->phase != PHASE_REFRESHING))
		return;
	answers_ranking(e, p);
	if (p->phase == PHASE_PENDING) {
		e->pending--;
		e->answered++;
		pictures_count_rate(e);
		e->rate[e->rate_slot % RATE_SLOTS]++;
	} else {
		e->refreshing--;
	}
	p->phase = PHASE_ANSWERED;
	set_known(e, p, true);
	pthread_cond_broadcast(&e->load);
}

void picture_fail(struct engine *e, struct picture *p, const struct error *err)
{
	struct event event = {.kind = EV_FAILED, .id = p->id, .epoch = e->epoch, .err = xmemdup(err, sizeof *err)};
	char shown[sizeof err->text];

	utf8_escape(p->path, strlen(p->path), shown, sizeof shown);
	/* A message that does not yet name the file gets its name. */
	if (!strstr(err->text, shown))
		fail_prefix(event.err, "%s", p->path);
	engine_emit(e, &event);
	drop_answer_work(e, p);
	forget_answers(e, p);
	if (p->phase == PHASE_PENDING) {
		e->pending--;
		e->failed++;
	} else if (p->phase == PHASE_REFRESHING) {
		e->refreshing--;
	}
	p->phase = PHASE_IDLE;
	picture_release(e, p);
}

void picture_cancel(struct engine *e, struct picture *p, bool quiet)
{
	struct event event = {.kind = EV_CANCELLED, .id = p->id, .epoch = e->epoch};
	bool told = p->phase == PHASE_PENDING || p->phase == PHASE_REFRESHING;

	drop_answer_work(e, p);
	picture_drop(e, p, LINE_PREVIEW);
	if (told && !quiet)
		engine_emit(e, &event);
	if (p->phase == PHASE_REFRESHING) {
		e->refreshing--;
		p->phase = PHASE_ANSWERED;
		p->missing = 0;
		set_known(e, p, true);
	} else if (p->phase == PHASE_PENDING) {
		e->pending--;
		e->cancelled++;
		p->phase = PHASE_IDLE;
	}
	picture_release(e, p);
}

void pictures_without(struct engine *e, enum model_kind kind)
{
	static const unsigned lost[MODEL_KINDS] = {
		[MODEL_SCORES] = ANSWER_SCORES | ANSWER_CLIPSCORE,
		[MODEL_CAPTION] = ANSWER_CAPTION | ANSWER_CLIPSCORE | ANSWER_VERDICTS,
		[MODEL_NLI] = ANSWER_VERDICTS,
	};
	struct error err;

	fail(&err, E_MODEL, "no model can answer: see the messages about the models");
	for (struct picture *p = e->all.first, *next; p; p = next) {
		next = p->all.next;
		if (kind == MODEL_SCORES)
			picture_drop(e, p, LINE_LOAD_SCORES);
		if (kind == MODEL_CAPTION)
			picture_drop(e, p, LINE_LOAD_CAPTION);
		if (p->phase == PHASE_PENDING && !answers_possible(e))
			picture_fail(e, p, &err);
		else
			picture_settle(e, p, lost[kind]);
	}
}
