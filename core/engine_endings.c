/* engine_endings.c - how a picture begins, is tried again, and ends, and what the counters say of it. See engine_private.h. */
#include "core/engine_private.h"

#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/utf8.h"

/* ---------------------------------------------------------------- counting */

static void pending_begins(struct engine *e)
{
	if (!e->pending++)
		e->busy_since = clock_now();
	e->submitted++;
}

static void pending_ends(struct engine *e)
{
	if (!--e->pending)
		e->worked += clock_now() - e->busy_since;
	pictures_room(e);
}

int pictures_waiting(struct engine *e)
{
	const struct picture *p = e->has_selected ? picture_find(e, e->selected) : NULL;

	return e->pending - (p && p->phase == PHASE_PENDING);
}

/* Only below three quarters, or each answer would let in one picture. */
void pictures_room(struct engine *e)
{
	struct event event = {.kind = EV_ROOM};

	if (!e->full || (e->settings.queue && 4LL * pictures_waiting(e) >= 3LL * e->settings.queue))
		return;
	e->full = false;
	engine_emit(e, &event);
}

void pictures_count_rate(struct engine *e)
{
	int64_t slot = (int64_t)(clock_now() * RATE_SLOTS / RATE_SECONDS);

	for (int64_t s = e->rate_slot + 1; s <= slot && s <= e->rate_slot + RATE_SLOTS; s++)
		e->rate[s % RATE_SLOTS] = 0;
	e->rate_slot = slot;
}

double pictures_rate(const struct engine *e)
{
	double now = clock_now(), span = now - e->busy_since;
	int64_t sum = 0;

	if (!e->pending)
		return 0;
	for (int i = 0; i < RATE_SLOTS; i++)
		sum += e->rate[i];
	span = span > RATE_SECONDS ? RATE_SECONDS : span < 0.25 ? 0.25 : span;
	return (double)sum / span;
}

/* ---------------------------------------------------------------- beginning */

void picture_begin(struct engine *e, struct picture *p)
{
	picture_stop(e, p);
	picture_forget(e, p);
	if (p->phase == PHASE_REFRESHING)
		e->refreshing--;
	pending_begins(e);
	p->phase = PHASE_PENDING;
	p->tries = 0;
	p->missing = answers_possible(e);
	if (p->missing & ANSWER_SCORES)
		line_join(e, p, LINE_LOAD_SCORES, false);
	if (p->missing & ANSWER_CAPTION)
		line_join(e, p, LINE_LOAD_CAPTION, false);
}

static void find_again(struct picture *p, unsigned answers)
{
	p->lost &= ~answers;
	if (p->lost)
		return;
	free(p->failure);
	p->failure = NULL;
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
	p->tries = 0;
	find_again(p, again | (possible & ANSWER_VERDICTS ? 0 : ANSWER_VERDICTS));
	/* Verdicts on a caption that is yet to come are owed exactly while there are labels. */
	p->missing = (p->missing & ~(unsigned)ANSWER_VERDICTS) | again;
	if (p->missing & ANSWER_CAPTION)
		p->missing |= possible & ANSWER_VERDICTS;
	if (p->phase != PHASE_PENDING) {
		if (p->phase == PHASE_ANSWERED)
			e->refreshing++;
		p->phase = PHASE_REFRESHING;
		picture_know(e, p, false);
		if (!e->has_selected || e->selected != p->id)
			picture_move(e, p, ENGINE_BACKGROUND);
	}
	picture_settle(e, p, 0);
}

/* ---------------------------------------------------------------- once more */

/* What may go better another time: memory, devices and file systems have their moods, pictures do not. */
static bool is_passing(enum error_code code)
{
	return code == E_MEMORY || code == E_DEVICE || code == E_MODEL || code == E_IO;
}

bool picture_retry(struct engine *e, struct picture *p, enum line_name line, const struct error *err)
{
	static const enum line_name from[LINES] = {
		[LINE_LOAD_SCORES] = LINE_LOAD_SCORES, [LINE_IMAGE] = LINE_LOAD_SCORES, [LINE_LOAD_CAPTION] = LINE_LOAD_CAPTION,
		[LINE_CAPTION] = LINE_LOAD_CAPTION,    [LINE_TEXT] = LINE_TEXT,         [LINE_PREMISE] = LINE_PREMISE,
	};

	if (!is_passing(err->code) || p->tries >= e->settings.retries || (p->phase != PHASE_PENDING && p->phase != PHASE_REFRESHING))
		return false;
	p->tries++;
	e->retried++;
	if (!p->later)
		picture_list_append(&e->later, p, offsetof(struct picture, waiting));
	p->later |= 1u << from[line];
	p->due = clock_now() + e->settings.retry_delay;
	pthread_cond_signal(&e->keep);
	return true;
}

double pictures_due(struct engine *e)
{
	double now = clock_now(), next = -1;

	for (struct picture *p = e->later.first, *following; p; p = following) {
		unsigned later = p->later;

		following = p->waiting.next;
		if (p->due > now && !e->stop) {
			next = next < 0 || p->due - now < next ? p->due - now : next;
			continue;
		}
		p->later = 0;
		picture_list_remove(&e->later, p, offsetof(struct picture, waiting));
		for (int i = 0; i < LINES; i++)
			if (later & 1u << i)
				line_join(e, p, (enum line_name)i, true);
	}
	return next;
}

/* ---------------------------------------------------------------- ends */

static void tell_failure(struct engine *e, enum event_kind kind, const struct picture *p, enum model_kind model, const struct error *err)
{
	struct event event = {.kind = kind, .id = p->id, .epoch = e->epoch, .model = model, .err = xmemdup(err, sizeof *err)};
	char shown[sizeof err->text];

	utf8_escape(p->path, strlen(p->path), shown, sizeof shown);
	/* A message that does not yet name the file gets its name. */
	if (!strstr(err->text, shown))
		fail_prefix(event.err, "%s", p->path);
	engine_emit(e, &event);
}

/* It counts and is no longer awaited. */
static void count_end(struct engine *e, struct picture *p, bool good)
{
	if (p->phase == PHASE_PENDING && good) {
		e->answered++;
		pictures_count_rate(e);
		e->rate[e->rate_slot % RATE_SLOTS]++;
	} else if (p->phase == PHASE_PENDING) {
		e->failed++;
	} else if (p->phase == PHASE_REFRESHING) {
		e->refreshing--;
	}
	if (p->phase == PHASE_PENDING)
		pending_ends(e);
}

void picture_settle(struct engine *e, struct picture *p, unsigned answers)
{
	p->missing &= ~answers;
	if (p->missing || (p->phase != PHASE_PENDING && p->phase != PHASE_REFRESHING))
		return;
	if (p->failure)
		tell_failure(e, EV_FAILED, p, p->failed_model, p->failure);
	else
		answers_ranking(e, p);
	free(p->verdicts);
	p->verdicts = NULL;
	count_end(e, p, !p->failure);
	p->phase = PHASE_ANSWERED;
	pthread_cond_broadcast(&e->load);
	if (p->embedding || p->caption) {
		picture_know(e, p, true);
	} else {
		picture_forget(e, p);
		p->phase = PHASE_IDLE;
		picture_release(e, p);
	}
}

void picture_fail(struct engine *e, struct picture *p, const struct error *err)
{
	tell_failure(e, EV_FAILED, p, p->failed_model, err);
	picture_stop(e, p);
	picture_forget(e, p);
	count_end(e, p, false);
	p->phase = PHASE_IDLE;
	picture_release(e, p);
}

void picture_lose(struct engine *e, struct picture *p, enum model_kind kind, unsigned answers, const struct error *err)
{
	answers &= p->missing;
	p->lost |= answers;
	/* What others say that failed on it must not be lost where only one error can stand at the end. */
	if (p->failure || p->missing & ~answers)
		tell_failure(e, EV_PARTIAL, p, kind, err);
	if (!p->failure) {
		p->failure = xmemdup(err, sizeof *err);
		p->failed_model = kind;
	}
	picture_settle(e, p, answers);
}

void picture_cancel(struct engine *e, struct picture *p, bool quiet)
{
	struct event event = {.kind = EV_CANCELLED, .id = p->id, .epoch = e->epoch};
	bool told = p->phase == PHASE_PENDING || p->phase == PHASE_REFRESHING;

	picture_stop(e, p);
	picture_drop(e, p, LINE_PREVIEW);
	if (told && !quiet)
		engine_emit(e, &event);
	if (p->phase == PHASE_REFRESHING) {
		e->refreshing--;
		p->phase = PHASE_ANSWERED;
		p->missing = 0;
		picture_know(e, p, true);
	} else if (p->phase == PHASE_PENDING) {
		e->cancelled++;
		p->phase = PHASE_IDLE;
		pending_ends(e);
	}
	picture_release(e, p);
}

/* ---------------------------------------------------------------- a model that fails altogether */

unsigned answers_of(enum model_kind kind)
{
	static const unsigned answers[MODEL_KINDS] = {
		[MODEL_SCORES] = ANSWER_SCORES | ANSWER_CLIPSCORE,
		[MODEL_CAPTION] = ANSWER_CAPTION | ANSWER_CLIPSCORE | ANSWER_VERDICTS,
		[MODEL_NLI] = ANSWER_VERDICTS,
	};

	return answers[kind];
}

static void leave_lines(struct engine *e, struct picture *p, enum model_kind kind)
{
	static const enum line_name lines[MODEL_KINDS][4] = {
		[MODEL_SCORES] = {LINE_LOAD_SCORES, LINE_IMAGE, LINE_RESCORE, LINE_TEXT},
		[MODEL_CAPTION] = {LINE_LOAD_CAPTION, LINE_CAPTION, LINES, LINES},
		[MODEL_NLI] = {LINE_PREMISE, LINES, LINES, LINES},
	};

	for (int i = 0; i < 4 && lines[kind][i] < LINES; i++)
		picture_drop(e, p, lines[kind][i]);
}

void pictures_without(struct engine *e, enum model_kind kind)
{
	struct error err;

	fail(&err, E_MODEL, "no model can answer: see the messages about the models");
	for (struct picture *p = e->all.first, *next; p; p = next) {
		next = p->all.next;
		leave_lines(e, p, kind);
		if (p->phase == PHASE_PENDING && !answers_possible(e))
			picture_fail(e, p, &err);
		else
			picture_settle(e, p, answers_of(kind));
	}
}

/* ---------------------------------------------------------------- another model in a lane */

void pictures_take_back(struct engine *e, enum model_kind kind)
{
	/* The pixels went with the batch. */
	static const enum line_name back[LINES] = {
		[LINE_IMAGE] = LINE_LOAD_SCORES, [LINE_CAPTION] = LINE_LOAD_CAPTION, [LINE_RESCORE] = LINE_RESCORE,
		[LINE_TEXT] = LINE_TEXT,         [LINE_PREMISE] = LINE_PREMISE,
	};

	for (struct picture *p = e->all.last; p; p = p->all.prev) {
		for (int i = LINE_IMAGE; i < LINES; i++) {
			if (line_lane[i] != kind || !p->ticket[i])
				continue;
			picture_drop(e, p, (enum line_name)i);
			line_join(e, p, back[i], true);
		}
	}
}

/* What the former model said goes, and what it was asked for with it. */
static void forget_answers(struct engine *e, struct picture *p, enum model_kind kind)
{
	leave_lines(e, p, kind);
	if (kind == MODEL_CAPTION)
		picture_drop(e, p, LINE_TEXT);
	if (kind == MODEL_SCORES && p->embedding) {
		e->embeddings--;
		free(p->embedding);
		p->embedding = NULL;
	} else if (kind == MODEL_CAPTION) {
		free(p->caption);
		p->caption = NULL;
	}
	p->missing &= ~answers_of(kind);
	p->lost &= ~answers_of(kind);
}

static void ask_anew(struct engine *e, struct picture *p, enum model_kind kind)
{
	unsigned possible = answers_possible(e);

	if (kind == MODEL_SCORES && possible & ANSWER_SCORES) {
		p->missing |= ANSWER_SCORES;
		line_join(e, p, LINE_LOAD_SCORES, false);
	} else if (kind == MODEL_CAPTION && possible & ANSWER_CAPTION) {
		p->missing |= ANSWER_CAPTION;
		line_join(e, p, LINE_LOAD_CAPTION, false);
	}
	/* It takes both, each there or still to come. */
	if (kind != MODEL_NLI && possible & ANSWER_CLIPSCORE && (p->embedding || p->missing & ANSWER_SCORES) &&
	    (p->caption || p->missing & ANSWER_CAPTION))
		p->missing |= ANSWER_CLIPSCORE;
}

uint32_t *pictures_anew(struct engine *e, enum model_kind kind, int *n)
{
	uint32_t *ids = xcalloc(e->pictures + 1, sizeof *ids);
	struct picture *p, *next;

	*n = 0;
	for (p = e->all.first; p; p = p->all.next) {
		if (p->phase == PHASE_IDLE)
			continue;
		ids[(*n)++] = p->id;
		forget_answers(e, p, kind);
		ask_anew(e, p, kind);
	}
	for (p = e->all.first; p; p = next) {
		next = p->all.next;
		picture_refresh(e, p);
	}
	return ids;
}
