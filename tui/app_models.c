/* app_models.c - the models at hand, and swapping one while the engine runs. See app.h. */
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "tui/app.h"
#include "tui/paths.h"

static const char *const config_keys[MODEL_KINDS] = {"clip", "captioner", "nli"};

/* ---- the list -------------------------------------------------------------------------------------------------------------------------------- */

static void forget(struct models *m)
{
	for (int i = 0; i < m->n; i++)
		candidate_free(m->list[i]);
	free(m->list);
	m->list = NULL;
	m->n = m->row = 0;
	m->moved = false;
}

void app_models_look(struct app *a, const char *name)
{
	struct models *m = &a->models;
	char *book = name ? NULL : paths_data("picturebook");
	struct error err;

	if (engine_survey(a->engine, book, name, &err) < 0) {
		app_say(a, ROLE_WARNING, "%s", err.text);
	} else {
		if (!name)
			forget(m);
		m->looking = true;
	}
	free(book);
}

void app_models_open(struct app *a)
{
	app_drop_pending(a);
	keys_open(a, MODE_MODELS);
	a->models.typing = false;
	if (!a->models.looking)
		app_models_look(a, NULL);
}

/* < 0: a stands before b. */
static int compare(const struct candidate *a, const struct candidate *b)
{
	int kind_a = a->known ? (int)a->info.kind : MODEL_KINDS, kind_b = b->known ? (int)b->info.kind : MODEL_KINDS;

	return kind_a != kind_b ? kind_a - kind_b : catalog_compare_names(a->name, b->name);
}

/* A name that was typed may be there already. */
static void drop_same(struct models *m, const char *name)
{
	for (int i = 0; i < m->n; i++) {
		if (strcmp(m->list[i]->name, name) != 0)
			continue;
		candidate_free(m->list[i]);
		memmove(&m->list[i], &m->list[i + 1], (size_t)(m->n - i - 1) * sizeof *m->list);
		m->n--;
		m->row -= m->row > i;
		return;
	}
}

static void insert(struct models *m, struct candidate *c, bool choose)
{
	int at = 0;

	drop_same(m, c->name);
	while (at < m->n && compare(m->list[at], c) < 0)
		at++;
	m->list = xrealloc(m->list, (size_t)m->n + 1, sizeof *m->list);
	memmove(&m->list[at + 1], &m->list[at], (size_t)(m->n - at) * sizeof *m->list);
	m->list[at] = c;
	/* The cursor goes to what was asked for by name, or stays on its model once it was moved. */
	if (choose)
		m->row = at;
	else if (m->moved && at <= m->row)
		m->row++;
	m->n++;
}

void app_models_take(struct app *a, struct event *e)
{
	struct models *m = &a->models;

	if (e->candidate)
		insert(m, e->candidate, a->line.line[0][0] && !strcmp(a->line.line[0], e->candidate->name));
	else
		m->looking = false;
	e->candidate = NULL;
	app_touch_all(a);
}

/* ---- swapping --------------------------------------------------------------------------------------------------------------------------------- */

void app_swap(struct app *a, enum model_kind kind, const char *name, const char *path)
{
	struct model_state *m = &a->model[kind];
	struct error err;

	if (engine_swap(a->engine, kind, path, &err) < 0) {
		app_say(a, ROLE_WARNING, "%s", err.text);
		return;
	}
	free(m->asked);
	m->asked = xstrdup(name);
	app_say(a, ROLE_STATUS, "%s: %s is opened", app_model_name(kind), name);
}

bool app_swap_command(struct app *a, const char *key, const char *name)
{
	for (int i = 0; i < MODEL_KINDS; i++) {
		if (strcmp(key, config_keys[i]) != 0 || !*name || !strcmp(name, "none"))
			continue;
		app_swap(a, (enum model_kind)i, name, name);
		return true;
	}
	return false;
}

void app_swapped(struct app *a, const struct event *e)
{
	struct model_state *m = &a->model[e->model];

	if (e->err) {
		app_say(a, ROLE_ERROR, "%s", e->err->text);
	} else {
		catalog_swap(a->catalog, e->model, e->swapped.again, e->swapped.n);
		/* What the engine does not remember is asked for again. */
		a->asked = -1;
		app_select(a, a->row);
		a->submitted = a->run_all ? 0 : a->submitted;
		if (m->asked)
			config_set(a->config, config_keys[e->model], m->asked, NULL);
		app_say(a, ROLE_DONE, "%s: %s answers from now on", app_model_name(e->model), m->info.name);
	}
	free(m->asked);
	m->asked = NULL;
	app_touch_all(a);
}

void app_models_free(struct app *a)
{
	forget(&a->models);
	for (int i = 0; i < MODEL_KINDS; i++)
		free(a->model[i].asked);
}
