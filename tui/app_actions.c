/* app_actions.c - what keys, mouse and commands do. See app.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "tui/app.h"
#include "tui/library.h"

enum {
	AUTO_RUN_PICTURES = 300, /* folders up to this size are answered without being asked */
	SETTLE_MS = 40,          /* a moving selection is asked for only when it rests this long */
};

/* ---- selection ------------------------------------------------------------------------------------------------------------------------------ */

static void scroll_to(struct app *a)
{
	int height = view_browser_rows(&a->layout), rows = catalog_rows(a->catalog);

	if (a->row < a->top)
		a->top = a->row;
	if (a->row >= a->top + height)
		a->top = a->row - height + 1;
	if (a->top > rows - height)
		a->top = rows - height;
	if (a->top < 0)
		a->top = 0;
}

void app_select(struct app *a, int row)
{
	int rows = catalog_rows(a->catalog);
	int64_t now = clock_now_ms();

	a->row = row < 0 || !rows ? 0 : row >= rows ? rows - 1 : row;
	scroll_to(a);
	app_touch(a, PANEL_BROWSER);
	app_touch(a, PANEL_TITLE);
	app_touch(a, PANEL_PICTURE);
	app_touch(a, PANEL_ANSWERS);
	if (app_selected(a) == a->asked || app_selected(a) < 0)
		return;
	a->label_top = 0;
	/* The first move is answered at once, a run of them when it ends. */
	a->select_due = now - a->selected_at > SETTLE_MS ? now : now + SETTLE_MS;
	a->selected_at = now;
}

/* False: the queue is full. */
static bool submit(struct app *a, uint32_t id, enum engine_priority priority, int work)
{
	char *path = catalog_path(a->catalog, id);
	bool taken = engine_submit(a->engine, id, path, priority, work);

	free(path);
	return taken;
}

static bool wants_answers(const struct app *a, const struct catalog_picture *p)
{
	return app_has_models(a) && (p->status == PICTURE_NEW || p->status == PICTURE_QUEUED);
}

static void ask_neighbour(struct app *a, int row)
{
	uint32_t id;

	if (row < 0 || row >= catalog_rows(a->catalog))
		return;
	id = catalog_id(a->catalog, row);
	if (catalog_picture(a->catalog, id)->status != PICTURE_UNSUPPORTED && !preview_has(a->preview, id))
		submit(a, id, ENGINE_NEAR, ENGINE_PREVIEW);
}

void app_ask_selected(struct app *a)
{
	int64_t id = app_selected(a);
	const struct catalog_picture *p;
	int work = 0;

	a->select_due = 0;
	a->asked = id;
	if (id < 0)
		return;
	p = catalog_picture(a->catalog, (uint32_t)id);
	/* What a model failed at can be shown, what could not be read cannot. */
	if (p->status == PICTURE_UNSUPPORTED || (p->status == PICTURE_FAILED && !p->answers->info.width))
		return;
	if (!preview_has(a->preview, (uint32_t)id))
		work |= ENGINE_PREVIEW;
	if (wants_answers(a, p))
		work |= ENGINE_ANSWERS;
	if (work)
		submit(a, (uint32_t)id, ENGINE_SELECTED, work);
	if (work & ENGINE_ANSWERS)
		catalog_set_status(a->catalog, (uint32_t)id, PICTURE_QUEUED);
	ask_neighbour(a, a->row + 1);
	ask_neighbour(a, a->row - 1);
}

/* ---- runs ------------------------------------------------------------------------------------------------------------------------------------ */

/* False: the queue is full, and the picture is still to be submitted. */
static bool submit_new(struct app *a, uint32_t id)
{
	const struct catalog_picture *p = catalog_picture(a->catalog, id);

	if (p->status != PICTURE_NEW || (a->run_marked && !p->marked))
		return true;
	if (!submit(a, id, ENGINE_BACKGROUND, ENGINE_ANSWERS))
		return false;
	catalog_set_status(a->catalog, id, PICTURE_QUEUED);
	a->run_total++;
	return true;
}

void app_run_folder(struct app *a)
{
	a->run_total = a->submitted = 0;
	a->undecided = a->full = false;
	a->run_all = true;
	a->run_marked = catalog_marked(a->catalog) > 0;
	for (int id = 0; a->run_marked && id < catalog_total(a->catalog); id++)
		if (catalog_picture(a->catalog, (uint32_t)id)->marked && catalog_picture(a->catalog, (uint32_t)id)->status == PICTURE_DONE)
			catalog_set_status(a->catalog, (uint32_t)id, PICTURE_NEW);
	app_touch_all(a);
}

void app_feed_run(struct app *a)
{
	int before = a->submitted;

	if (a->undecided && !catalog_scanning(a->catalog)) {
		a->undecided = false;
		a->run_all = catalog_total(a->catalog) <= AUTO_RUN_PICTURES;
		a->run_marked = false;
	}
	if (!a->run_all || a->full || !app_has_models(a))
		return;
	while (a->submitted < catalog_total(a->catalog) && !a->full) {
		a->full = !submit_new(a, (uint32_t)a->submitted);
		a->submitted += !a->full;
	}
	if (a->submitted != before)
		app_touch(a, PANEL_BROWSER);
}

/* ---- labels ---------------------------------------------------------------------------------------------------------------------------------- */

void app_apply_labels(struct app *a, const struct editor *labels)
{
	int n;
	int64_t selected = app_selected(a);
	char **text = editor_labels(labels, &n);

	a->epoch = engine_set_labels(a->engine, (const char *const *)text, n, selected < 0 ? 0 : (uint32_t)selected);
	editor_begin_lines(&a->labels, text, n);
	library_free_labels(text, n);
	a->label_top = 0;
	app_touch(a, PANEL_ANSWERS);
}

/* ---- memory ---------------------------------------------------------------------------------------------------------------------------------- */

void app_undo_ladder(struct app *a)
{
	if (engine_undo_ladder(a->engine))
		app_say(a, ROLE_STATUS, "undone: from the next batch on the settings hold as they were asked for");
	else
		app_say(a, ROLE_STATUS, "nothing to undo: no step down was taken");
	app_touch_all(a);
}

/* ---- themes and commands --------------------------------------------------------------------------------------------------------------------- */

int app_set_theme(struct app *a, const char *name, struct error *err)
{
	struct theme *next = theme_load(name, err);

	if (!next)
		return -1;
	theme_free(a->theme);
	a->theme = next;
	a->canvas.theme = next;
	theme_set(next, stdscr, ROLE_TEXT);
	a->repaint = true;
	return 0;
}

void app_next_theme(struct app *a)
{
	char **names;
	int n = theme_list(&names), at = 0;
	struct error err;

	while (at < n && strcmp(names[at], theme_name(a->theme)))
		at++;
	if (!n)
		app_say(a, ROLE_WARNING, "no themes are installed");
	else if (app_set_theme(a, names[(at + 1) % n], &err) < 0)
		app_say(a, ROLE_ERROR, "%s", err.text);
	else
		app_say(a, ROLE_STATUS, "theme %s", theme_name(a->theme));
	theme_free_list(names, n);
}

/* A setting of the configuration becomes the running one. */
static void apply_config(struct app *a, const char *key)
{
	struct error err;

	if (!strcmp(key, "theme")) {
		if (app_set_theme(a, a->config->theme, &err) < 0)
			app_say(a, ROLE_ERROR, "%s", err.text);
	} else if (!strcmp(key, "labels")) {
		char **labels;
		int n = library_labels(a->config, &labels);

		editor_begin_lines(&a->draft, labels, n);
		library_free_labels(labels, n);
		app_apply_labels(a, &a->draft);
	} else if (!strcmp(key, "profile") || app_control_of(key) != CONTROLS_ALL) {
		app_apply_config(a);
	} else {
		app_say(a, ROLE_WARNING, "%s holds from the next start on: give --%s on the command line", key, key);
	}
}

void app_command(struct app *a, const char *text)
{
	char *copy = xstrdup(text), *value = copy + strcspn(copy, " ");
	struct error err;

	if (*value)
		*value++ = '\0';
	if (!strcmp(copy, "q") || !strcmp(copy, "quit")) {
		a->quit = true;
	} else if (app_swap_command(a, copy, value)) {
		app_drop_pending(a);
	} else if (*copy) {
		app_drop_pending(a);
		if (config_set(a->config, copy, value, &err) < 0)
			app_say(a, ROLE_ERROR, "%s", err.text);
		else
			apply_config(a, copy);
	}
	free(copy);
}
