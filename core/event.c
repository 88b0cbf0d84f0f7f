/* event.c - see event.h. */
#include "core/event.h"

#include <stdlib.h>

#include "core/log.h"

void candidate_free(struct candidate *c)
{
	if (!c)
		return;
	free(c->name);
	free(c->path);
	free(c->problem);
	free(c);
}

void event_clear(struct event *e)
{
	switch (e->kind) {
	case EV_READY:
		free(e->ready.info);
		break;
	case EV_PREVIEW:
		image_free(&e->preview.image);
		break;
	case EV_SCORES:
		free(e->scores.probability);
		free(e->scores.cosine);
		break;
	case EV_TOKENS:
		free(e->tokens.text);
		break;
	case EV_VERDICTS:
		free(e->verdicts.verdicts);
		break;
	case EV_RANKING:
		free(e->ranking.order);
		free(e->ranking.combined);
		break;
	case EV_LADDER:
		free(e->ladder.text);
		break;
	case EV_SWAPPED:
		free(e->swapped.again);
		break;
	case EV_CANDIDATE:
		candidate_free(e->candidate);
		break;
	case EV_NOTE:
		free(e->note);
		break;
	default:
		break;
	}
	free(e->err);
	*e = (struct event){.kind = EV_NONE};
}

bool event_is_answer(enum event_kind kind)
{
	return kind >= EV_INFO && kind <= EV_CANCELLED;
}

void event_log(const struct event *e)
{
	switch (e->kind) {
	case EV_LIBRARY:
		if (e->err)
			log_write(LOG_ERROR, "%s", e->err->text);
		else
			log_write(LOG_INFO, "%s on %s", e->library.version, e->library.device.name);
		break;
	case EV_READY:
		log_write(LOG_INFO, "%s (%s) is ready after %.2f s", e->ready.info->name, e->ready.info->architecture, e->ready.seconds);
		break;
	case EV_SWAPPED:
		if (e->err)
			log_write(LOG_WARNING, "%s", e->err->text);
		break;
	case EV_MODEL_FAILED:
		log_write(LOG_ERROR, "%s", e->err->text);
		break;
	case EV_PARTIAL:
	case EV_FAILED:
		log_write(LOG_WARNING, "%s", e->err->text);
		break;
	case EV_LADDER:
		log_write(LOG_WARNING, "%s", e->ladder.text);
		break;
	case EV_NOTE:
		log_write(LOG_INFO, "%s", e->note);
		break;
	default:
		break;
	}
}

static void log_scores(const struct event *e, const char *path, const char *const *labels, int n_labels)
{
	int best = 0;

	for (int i = 1; i < e->scores.n; i++)
		if (e->scores.probability[i] > e->scores.probability[best])
			best = i;
	if (labels && n_labels == e->scores.n && best < n_labels)
		log_write(LOG_INFO, "%s: CLIP %.0f ms (batch %d): %s %.1f %%", path, e->scores.ms, e->scores.batch, labels[best],
			  100 * (double)e->scores.probability[best]);
	else
		log_write(LOG_INFO, "%s: CLIP %.0f ms (batch %d): %d labels", path, e->scores.ms, e->scores.batch, e->scores.n);
}

static void log_verdicts(const struct event *e, const char *path)
{
	int entailed = 0;

	for (int i = 0; i < e->verdicts.n; i++) {
		const struct verdict *v = &e->verdicts.verdicts[i];

		entailed += v->entailment > v->neutral && v->entailment > v->contradiction;
	}
	log_write(LOG_INFO, "%s: NLI %.0f ms: %d of %d labels follow from the caption", path, e->verdicts.ms, entailed, e->verdicts.n);
}

void event_log_answer(const struct event *e, const char *path, const char *const *labels, int n_labels)
{
	if (e->kind == EV_CAPTION)
		log_write(LOG_INFO, "%s: caption %.0f ms (batch %d, %d tokens): %s", path, e->caption.ms, e->caption.batch, e->caption.caption.tokens,
			  e->caption.caption.text);
	else if (e->kind == EV_SCORES)
		log_scores(e, path, labels, n_labels);
	else if (e->kind == EV_VERDICTS)
		log_verdicts(e, path);
}
