/* app_events.c - what the background said becomes state. See app.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/mem.h"
#include "tui/app.h"

static void take_library(struct app *a, struct event *e)
{
	if (e->err) {
		free(a->library_failure);
		a->library_failure = xstrdup(e->err->text);
		app_touch_all(a);
		app_say(a, ROLE_ERROR, "%s", e->err->text);
		return;
	}
	snprintf(a->library, sizeof a->library, "%s", e->library.version);
	a->device = e->library.device;
}

static void take_model(struct app *a, struct event *e)
{
	struct model_state *m = &a->model[e->model];

	if (e->kind == EV_LOADING) {
		m->done = e->loading.done;
		m->total = e->loading.total;
		m->ready = false;
	} else if (e->kind == EV_SETTINGS) {
		m->precision = e->settings.precision;
	} else if (e->kind == EV_READY) {
		m->used = m->ready = true;
		free(m->failure);
		m->failure = NULL;
		m->info = *e->ready.info;
		m->precision = e->ready.precision;
	} else if (e->kind == EV_MODEL_FAILED) {
		free(m->failure);
		m->failure = xstrdup(e->err->text);
		app_say(a, ROLE_ERROR, "%s", e->err->text);
	}
	app_touch(a, PANEL_CONTROLS);
	app_touch(a, PANEL_MEMORY);
	app_touch(a, PANEL_TITLE);
	app_touch(a, PANEL_ANSWERS);
}

static void take_preview(struct app *a, struct event *e)
{
	preview_put(a->preview, e->id, e->preview.image);
	e->preview.image = (struct image){0};
	if ((int64_t)e->id == app_selected(a))
		app_touch(a, PANEL_PICTURE);
}

/* The engine knows no labels. */
static void log_answer(struct app *a, const struct event *e)
{
	char *path = catalog_path(a->catalog, e->id);

	event_log_answer(e, path, e->epoch == a->epoch ? (const char *const *)a->labels.line : NULL, a->labels.n);
	free(path);
}

static void take_answer(struct app *a, struct event *e)
{
	bool selected = (int64_t)e->id == app_selected(a);

	stats_take(&a->recent, e);
	log_answer(a, e);
	if (!catalog_apply(a->catalog, e, NULL))
		return;
	app_touch(a, PANEL_BROWSER);
	if (selected) {
		app_touch(a, PANEL_ANSWERS);
		if (e->kind == EV_INFO || e->kind == EV_FAILED)
			app_touch(a, PANEL_PICTURE);
	}
}

static void take_event(struct app *a, struct event *e)
{
	switch (e->kind) {
	case EV_NONE:
		break;
	case EV_LIBRARY:
		take_library(a, e);
		break;
	case EV_LOADING:
	case EV_READY:
	case EV_MODEL_FAILED:
	case EV_SETTINGS:
		take_model(a, e);
		break;
	case EV_PREVIEW:
		take_preview(a, e);
		break;
	case EV_NOTE:
		app_say(a, ROLE_WARNING, "%s", e->note);
		break;
	case EV_LADDER:
		app_say(a, e->ladder.step == LADDER_UNDONE ? ROLE_STATUS : ROLE_WARNING, "%s", e->ladder.text);
		app_touch_all(a);
		break;
	case EV_SWAPPED:
		app_swapped(a, e);
		break;
	case EV_CANDIDATE:
		app_models_take(a, e);
		break;
	case EV_TRIAL:
		app_trials_take(a, e);
		break;
	case EV_ROOM:
		a->full = false;
		break;
	default:
		take_answer(a, e);
		break;
	}
	event_clear(e);
}

static void take_names(struct app *a)
{
	int64_t selected = app_selected(a);

	if (!catalog_take(a->catalog))
		return;
	if (catalog_problem(a->catalog))
		app_say(a, ROLE_ERROR, "%s", catalog_problem(a->catalog));
	/* New names move rows. The selection stays on its picture, or at the top where nobody has chosen one. */
	if (!a->moved && catalog_selected(a->catalog) < 0)
		app_select(a, 0);
	else
		app_select(a, selected >= 0 ? catalog_picture(a->catalog, (uint32_t)selected)->row : 0);
}

void app_take_events(struct app *a)
{
	struct event e;

	take_names(a);
	while (engine_next(a->engine, &e))
		take_event(a, &e);
	if (preview_collect(a->preview))
		app_touch(a, PANEL_PICTURE);
}

static void sample_alerts(struct app *a)
{
	struct alert_change change[ALERTS];
	int n = alerts_update(&a->alerts, &a->config->alerts, &a->status, &a->recent, change);

	for (int i = 0; i < n; i++) {
		alert_log(&change[i]);
		if (!change[i].raised)
			app_say(a, ROLE_DONE, "over: %s", change[i].text);
	}
}

void app_sample(struct app *a)
{
	struct error trouble;

	a->sampled_at = clock_now_ms();
	engine_status(a->engine, &a->status);
	if (a->gauge) {
		gauge_watch(a->gauge, a->status.devices ? a->status.device[0].device : DEVICE_CPU);
		gauge_read(a->gauge, &a->gauge_now);
	}
	if (a->status.library)
		memory_history_add(&a->history, a->status.device[0].memory.used);
	sample_alerts(a);
	app_advise_once(a);
	if (a->pending.on) /* what was measured meanwhile corrects it */
		app_forecast(a);
	if (log_trouble(&trouble))
		app_say(a, ROLE_ERROR, "%s", trouble.text);
	if (a->run_all && !a->status.pending && a->submitted >= catalog_total(a->catalog) && !catalog_scanning(a->catalog) && a->status.library) {
		a->run_all = false;
		app_touch_all(a);
	}
}
