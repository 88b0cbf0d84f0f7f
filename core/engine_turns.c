/* engine_turns.c - who computes on the CPU, and what a running model is asked between its layers. See engine_private.h. */
#include "core/engine_private.h"

/* On a CPU two models at once are no faster than one after the other and hold twice the activations. So one computes, and at every half layer or
 * decode step it offers its turn to whoever is more urgent: who has the selected picture, then the shorter answer. A lane that was passed over for
 * PATIENCE offers goes next, so that a long folder of CLIP scores does not hold up captions altogether.
 */
enum { PATIENCE = 4 };

static int turn_rank(const struct lane *l)
{
	static const int length[MODEL_KINDS] = {[MODEL_SCORES] = 1, [MODEL_NLI] = 2, [MODEL_CAPTION] = 3};
	const struct engine *e = l->engine;
	struct picture *p = e->has_selected ? picture_find(l->engine, e->selected) : NULL;
	bool works_on_it = false;

	/* Scores of the selected picture wait for whatever CLIP runs now, be it about others; so that is urgent, too. */
	if (p && l->kind == MODEL_SCORES)
		works_on_it = p->ticket[LINE_IMAGE] || p->ticket[LINE_TEXT] || p->ticket[LINE_RESCORE] || p->missing & ANSWER_SCORES;
	else if (p)
		works_on_it = p->ticket[l->kind == MODEL_CAPTION ? LINE_CAPTION : LINE_PREMISE];
	/* Of two that work on it the shorter: new labels are scored while a caption is being written. */
	return works_on_it ? length[l->kind] - 2 * MODEL_KINDS : l->passed_over >= PATIENCE ? 0 : length[l->kind];
}

/* Gives the turn to the best of the waiting lanes and `self` (may be NULL). */
static void turn_give(struct engine *e, struct lane *self)
{
	struct lane *best = self;

	for (int i = 0; i < MODEL_KINDS; i++)
		if (e->lane[i].waiting && (!best || turn_rank(&e->lane[i]) < turn_rank(best)))
			best = &e->lane[i];
	e->turn = best ? (int)best->kind : -1;
	if (!best)
		return;
	for (int i = 0; i < MODEL_KINDS; i++)
		if (e->lane[i].waiting && &e->lane[i] != best)
			e->lane[i].passed_over++;
	best->passed_over = 0;
	if (best != self)
		pthread_cond_signal(&best->turn);
}

bool lane_dropped(const struct lane *l)
{
	return l->engine->stop || (l->rows && l->live <= 0);
}

void turn_wait(struct lane *l)
{
	struct engine *e = l->engine;

	l->waiting = true;
	if (e->turn < 0)
		turn_give(e, NULL);
	while (e->turn != (int)l->kind && !lane_dropped(l))
		pthread_cond_wait(&l->turn, &e->lock);
	l->waiting = false;
}

void turn_leave(struct lane *l)
{
	if (l->engine->turn == (int)l->kind)
		turn_give(l->engine, NULL);
}

void turn_room(struct engine *e)
{
	for (int i = 0; i < MODEL_KINDS; i++)
		pthread_cond_signal(&e->lane[i].turn);
}

/* Waiting for one's turn is neither work nor a stall. */
static void offer_turn(struct lane *l, double now)
{
	struct engine *e = l->engine;

	turn_give(e, l);
	if (e->turn == (int)l->kind)
		return;
	l->progress = 0;
	turn_wait(l);
	l->progress = clock_now();
	l->waited += l->progress - now;
}

int lane_check(void *ctx)
{
	struct lane *l = ctx;
	struct engine *e = l->engine;
	double now = clock_now();
	int stop;

	pthread_mutex_lock(&e->lock);
	l->progress = now;
	if (l->device == DEVICE_CPU && l->busy && !lane_dropped(l))
		offer_turn(l, now);
	if (l->deadline > 0 && clock_now() - l->began - l->waited > l->deadline)
		l->late = true;
	stop = lane_dropped(l) || l->late;
	pthread_mutex_unlock(&e->lock);
	return stop;
}
