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
	int64_t now = app_now();

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

static void submit(struct app *a, uint32_t id, enum engine_priority priority, int work)
{
	char *path = catalog_path(a->catalog, id);

	engine_submit(a->engine, id, path, priority, work);
	free(path);
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

static void submit_new(struct app *a, uint32_t id)
{
	if (catalog_picture(a->catalog, id)->status != PICTURE_NEW)
		return;
	submit(a, id, ENGINE_BACKGROUND, ENGINE_ANSWERS);
	catalog_set_status(a->catalog, id, PICTURE_QUEUED);
	a->run_total++;
}

void app_run_folder(struct app *a)
{
	a->run_total = 0;
	a->undecided = false;
	if (!catalog_marked(a->catalog)) {
		a->run_all = true;
		a->submitted = 0;
		return;
	}
	for (int id = 0; id < catalog_total(a->catalog); id++)
		if (catalog_picture(a->catalog, (uint32_t)id)->marked) {
			if (catalog_picture(a->catalog, (uint32_t)id)->status == PICTURE_DONE)
				catalog_set_status(a->catalog, (uint32_t)id, PICTURE_NEW);
			submit_new(a, (uint32_t)id);
		}
	app_touch_all(a);
}

void app_feed_run(struct app *a)
{
	if (a->undecided && !catalog_scanning(a->catalog)) {
		a->undecided = false;
		a->run_all = catalog_total(a->catalog) <= AUTO_RUN_PICTURES;
	}
	if (!a->run_all || !app_has_models(a) || a->submitted >= catalog_total(a->catalog))
		return;
	for (; a->submitted < catalog_total(a->catalog); a->submitted++)
		submit_new(a, (uint32_t)a->submitted);
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

/* ---- settings -------------------------------------------------------------------------------------------------------------------------------- */

static const char *const control_names[CONTROLS] = {"batch", "precision", "image", "beams"};

enum precision app_precision(const struct app *a)
{
	for (int i = 0; i < MODEL_KINDS; i++)
		if (a->model[i].ready)
			return a->model[i].precision;
	return engine_get_settings(a->engine).precision[0];
}

const char *app_control_key(enum control c)
{
	static const char *const keys[CONTROLS] = {"b", "v", "i", "o"};

	return keys[c];
}

const char *app_control_name(enum control c)
{
	return control_names[c];
}

void app_control_text(const struct app *a, enum control c, char *out, size_t size)
{
	struct engine_settings s = engine_get_settings(a->engine);

	switch (c) {
	case CONTROL_BATCH:
		snprintf(out, size, "%d", s.batch);
		break;
	case CONTROL_PRECISION:
		if (s.precision[0] == PRECISION_AUTO && app_precision(a) != PRECISION_AUTO)
			snprintf(out, size, "auto %s", precision_name(app_precision(a)));
		else
			snprintf(out, size, "%s", precision_name(s.precision[0]));
		break;
	case CONTROL_IMAGE_SIZE:
		if (s.image_size)
			snprintf(out, size, "%d px", s.image_size);
		else
			snprintf(out, size, "auto");
		break;
	default:
		snprintf(out, size, "%d", s.beams);
		break;
	}
}

void app_apply_settings(struct app *a, const struct engine_settings *s)
{
	struct error err;

	if (engine_set_settings(a->engine, s, &err) < 0)
		app_say(a, ROLE_ERROR, "%s", err.text);
	app_touch(a, PANEL_CONTROLS);
	app_touch(a, PANEL_TITLE);
}

static int step_in(const int *steps, int n, int value, int direction)
{
	int at = 0;

	while (at + 1 < n && steps[at + 1] <= value)
		at++;
	if (direction < 0 && steps[at] < value) /* from between two steps */
		return steps[at];
	at += direction;
	return steps[at < 0 ? 0 : at >= n ? n - 1 : at];
}

static enum precision next_precision(const struct app *a, enum precision p, int step)
{
	/* fp16 exists on devices only; bf16 is offered where it is no loss. Before the device is known everything is offered. */
	for (int i = 0; i < PRECISIONS; i++) {
		p = (enum precision)(((int)p + step + PRECISIONS) % PRECISIONS);
		if (!a->library[0] || p == PRECISION_AUTO || p == PRECISION_FP32 || (p == PRECISION_BF16 && a->device.bf16) ||
		    (p == PRECISION_FP16 && a->device.fp16))
			break;
	}
	return p;
}

/* 0 (the model's own), then steps the captioner can do. */
static int next_image_size(const struct app *a, int size, int direction)
{
	static const int all[] = {0, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 480, 512, 576, 640, 672, 768, 1024};
	const struct model_info *info = &a->model[MODEL_CAPTION].info;
	int n = sizeof all / sizeof *all;

	while (n > 1 && info->image_max && all[n - 1] > info->image_max)
		n--;
	return step_in(all, n, size, direction);
}

static void set_precision(struct engine_settings *s, enum precision precision)
{
	for (int i = 0; i < MODEL_KINDS; i++)
		s->precision[i] = precision;
}

void app_change_control(struct app *a, enum control c, int step)
{
	static const int batches[] = {1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256};
	struct engine_settings s = engine_get_settings(a->engine);

	if (c == CONTROL_BATCH)
		s.batch = step_in(batches, sizeof batches / sizeof *batches, s.batch, step);
	else if (c == CONTROL_PRECISION)
		set_precision(&s, next_precision(a, s.precision[0], step));
	else if (c == CONTROL_IMAGE_SIZE)
		s.image_size = next_image_size(a, s.image_size, step);
	else
		s.beams = s.beams + step < 1 ? 1 : s.beams + step > 16 ? 16 : s.beams + step;
	app_apply_settings(a, &s);
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
	} else if (!strcmp(key, "batch") || !strcmp(key, "precision") || !strcmp(key, "image-size") || !strcmp(key, "beams") || !strcmp(key, "cap")) {
		app_apply_settings(a, &a->config->settings);
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
	} else if (*copy) {
		a->config->settings = engine_get_settings(a->engine);
		if (config_set(a->config, copy, value, &err) < 0)
			app_say(a, ROLE_ERROR, "%s", err.text);
		else
			apply_config(a, copy);
	}
	free(copy);
}
