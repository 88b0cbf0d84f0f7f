/* event.c - see event.h. */
#include "core/event.h"

#include <stdlib.h>

#include "core/log.h"

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
	case EV_MODEL_FAILED:
		log_write(LOG_ERROR, "%s", e->err->text);
		break;
	case EV_PARTIAL:
	case EV_FAILED:
		log_write(LOG_WARNING, "%s", e->err->text);
		break;
	case EV_CAPTION:
		log_write(LOG_DEBUG, "picture %u: %.0f ms: %s", e->id, e->caption.ms, e->caption.caption.text);
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
