/* engine_pictures.c - the engine's pictures: where they are found and who waits for what. How they end is in engine_endings.c. See engine_private.h. */
#include "core/engine_private.h"

#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

const unsigned line_lane[LINES] = {
	[LINE_PREVIEW] = MODEL_KINDS,  [LINE_LOAD_SCORES] = MODEL_KINDS, [LINE_LOAD_CAPTION] = MODEL_KINDS, [LINE_IMAGE] = MODEL_SCORES,
	[LINE_RESCORE] = MODEL_SCORES, [LINE_TEXT] = MODEL_SCORES,       [LINE_CAPTION] = MODEL_CAPTION,    [LINE_PREMISE] = MODEL_NLI,
};

/* ---------------------------------------------------------------- lists */

void picture_list_append(struct picture_list *list, struct picture *p, size_t offset)
{
	struct node *node = (struct node *)((char *)p + offset);

	*node = (struct node){list->last, NULL};
	if (list->last)
		((struct node *)((char *)list->last + offset))->next = p;
	else
		list->first = p;
	list->last = p;
}

void picture_list_remove(struct picture_list *list, struct picture *p, size_t offset)
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
	picture_list_append(&e->all, p, offsetof(struct picture, all));
	e->pictures++;
	return p;
}

void picture_know(struct engine *e, struct picture *p, bool known)
{
	if (p->is_known == known)
		return;
	if (known)
		picture_list_append(&e->known, p, offsetof(struct picture, known));
	else
		picture_list_remove(&e->known, p, offsetof(struct picture, known));
	e->known_count += known ? 1 : -1;
	p->is_known = known;
}

void picture_forget(struct engine *e, struct picture *p)
{
	if (p->embedding)
		e->embeddings--;
	free(p->embedding);
	free(p->caption);
	free(p->verdicts);
	free(p->failure);
	p->embedding = NULL;
	p->caption = NULL;
	p->verdicts = NULL;
	p->failure = NULL;
	p->lost = 0;
	picture_know(e, p, false);
}

void picture_free(struct engine *e, struct picture *p)
{
	struct picture **bucket = &e->buckets[bucket_of(e, p->id)];

	for (int i = 0; i < LINES; i++)
		picture_drop(e, p, (enum line_name)i);
	picture_forget(e, p);
	while (*bucket != p)
		bucket = &(*bucket)->bucket;
	*bucket = p->bucket;
	picture_list_remove(&e->all, p, offsetof(struct picture, all));
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
			picture_know(e, p, false);
			picture_know(e, p, true);
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
	/* It no longer counts. */
	pictures_room(e);
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
	if (p->later & 1u << line && !(p->later &= ~(1u << line)))
		picture_list_remove(&e->later, p, offsetof(struct picture, waiting));
	if (line == LINE_IMAGE)
		free_pixels(&p->for_scores);
	if (line == LINE_CAPTION)
		free_pixels(&p->for_caption);
}

void picture_stop(struct engine *e, struct picture *p)
{
	for (int i = 0; i < LINES; i++)
		if (i != LINE_PREVIEW)
			picture_drop(e, p, (enum line_name)i);
}
