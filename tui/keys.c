/* keys.c - keys and mouse to actions, from one table that the help overlay shows as well. See app.h. */
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "core/mem.h"
#include "tui/keys_private.h"

/* ---- what the keys of the browser do ------------------------------------------------------------------------------------------------------- */

static void act_rows(struct app *a, int rows)
{
	if (a->focus == PANEL_CONTROLS) {
		a->control = (enum control)(((int)a->control + (rows > 0 ? 1 : -1) + CONTROLS) % CONTROLS);
		app_touch(a, PANEL_CONTROLS);
	} else if (a->focus == PANEL_ANSWERS) {
		a->label_top += rows;
		if (a->label_top > a->labels.n - 1)
			a->label_top = a->labels.n - 1;
		if (a->label_top < 0)
			a->label_top = 0;
		app_touch(a, PANEL_ANSWERS);
	} else {
		app_select(a, a->row + rows);
	}
}

static void act_columns(struct app *a, int columns)
{
	if (a->focus == PANEL_CONTROLS)
		app_change_control(a, a->control, columns);
	else if (a->focus == PANEL_BROWSER || a->focus == PANEL_PICTURE)
		app_select(a, a->row + columns);
}

static void act_pages(struct app *a, int halves)
{
	int rows = view_browser_rows(&a->layout) / 2;

	act_rows(a, halves * (rows > 0 ? rows : 1));
}

static void act_end(struct app *a, int last)
{
	app_select(a, last ? catalog_rows(a->catalog) - 1 : 0);
}

static void act_more(struct app *a, int control)
{
	a->control = (enum control)control;
	app_change_control(a, a->control, 1);
}

static void act_less(struct app *a, int control)
{
	a->control = (enum control)control;
	app_change_control(a, a->control, -1);
}

static void act_change(struct app *a, int step)
{
	app_change_control(a, a->control, step);
}

void keys_focus(struct app *a, enum panel panel)
{
	app_touch(a, a->focus);
	a->focus = panel;
	app_touch(a, a->focus);
}

static void act_focus(struct app *a, int panel)
{
	keys_focus(a, (enum panel)panel);
}

static void act_next_focus(struct app *a, int step)
{
	static const enum panel order[] = {PANEL_BROWSER, PANEL_ANSWERS, PANEL_CONTROLS};
	enum { N = sizeof order / sizeof *order };
	int at = 0;

	while (at < N - 1 && order[at] != a->focus)
		at++;
	act_focus(a, (int)order[(at + step + N) % N]);
}

static void act_mark(struct app *a, int unused)
{
	int64_t id = app_selected(a);

	if (id < 0)
		return;
	catalog_mark(a->catalog, (uint32_t)id, !catalog_picture(a->catalog, (uint32_t)id)->marked);
	app_select(a, a->row + 1);
}

static void act_next_marked(struct app *a, int step)
{
	int row = catalog_next_marked(a->catalog, a->row, step);

	if (row >= 0)
		app_select(a, row);
	else
		app_say(a, ROLE_STATUS, "no picture is marked (Space marks)");
}

static void act_sort(struct app *a, int step)
{
	static const char *const names[CATALOG_ORDERS] = {"name", "caption", "CLIP margin, undecided first", "disagreement, quarrels first"};
	int64_t id = app_selected(a);

	a->order = (enum catalog_order)(((int)a->order + step) % CATALOG_ORDERS);
	catalog_sort(a->catalog, a->order, false);
	if (id >= 0)
		app_select(a, catalog_picture(a->catalog, (uint32_t)id)->row);
	app_say(a, ROLE_STATUS, "sorted by %s", names[a->order]);
}

static void act_cancel(struct app *a, int unused)
{
	engine_cancel_all(a->engine);
	a->run_all = a->undecided = false;
	a->asked = -1;
	app_say(a, ROLE_STATUS, "cancelled; x answers the rest");
}

void keys_open(struct app *a, enum mode mode)
{
	bool typing = mode == MODE_LABELS || mode == MODE_FILTER || mode == MODE_COMMAND;

	a->mode = mode;
	if (mode == MODE_LABELS)
		editor_begin_lines(&a->draft, a->labels.line, a->labels.n);
	else
		editor_begin(&a->line);
	a->help_top = 0;
	a->typing = false;
	a->message[0] = '\0'; /* overlays show messages too, but not those from before */
	curs_set(typing ? 1 : 0);
	leaveok(stdscr, !typing);
	app_touch_all(a);
}

void keys_close(struct app *a)
{
	a->mode = MODE_BROWSE;
	a->typing = false;
	if ((int)a->control >= CONTROLS) /* chosen among all settings, but the panel does not show it */
		a->control = CONTROL_BATCH;
	curs_set(0);
	leaveok(stdscr, TRUE);
	a->repaint = true;
}

static void act_open(struct app *a, int mode)
{
	keys_open(a, (enum mode)mode);
}

static void act_fit(struct app *a, int unused)
{
	app_fit(a);
}

/* What a sweep found stays to be looked at until another is begun. */
static void act_sweep(struct app *a, int unused)
{
	if (a->trials.sweep.cells)
		keys_open(a, MODE_SWEEP);
	else
		app_sweep(a, false);
}

static void act_recommend(struct app *a, int unused)
{
	app_take_advice(a);
}

static void act_undo(struct app *a, int unused)
{
	app_undo_ladder(a);
}

static void act_profiles(struct app *a, int unused)
{
	app_profiles_open(a);
}

static void act_models(struct app *a, int unused)
{
	app_models_open(a);
}

static void act_run(struct app *a, int unused)
{
	app_run_folder(a);
}

static void act_theme(struct app *a, int unused)
{
	app_next_theme(a);
}

static void act_quit(struct app *a, int unused)
{
	a->quit = true;
}

static void act_again(struct app *a, int unused)
{
	int64_t id = app_selected(a);

	if (id < 0 || catalog_picture(a->catalog, (uint32_t)id)->status == PICTURE_UNSUPPORTED)
		return;
	catalog_set_status(a->catalog, (uint32_t)id, PICTURE_NEW);
	app_ask_selected(a);
}

/* Enter confirms what is pending; in the controls it opens all settings; else it answers the picture again. */
static void act_enter(struct app *a, int unused)
{
	if (a->pending.on)
		app_apply_pending(a);
	else if (a->focus == PANEL_CONTROLS)
		keys_open(a, MODE_SETTINGS);
	else
		act_again(a, 0);
}

static void act_escape(struct app *a, int unused)
{
	if (a->pending.on) {
		app_drop_pending(a);
		return;
	}
	catalog_filter(a->catalog, NULL);
	app_select(a, a->row);
}

struct binding {
	int key[3]; /* 0 ends */
	void (*act)(struct app *a, int argument);
	int argument;
	const char *keys, *what; /* for the help; NULL: shown with the row before */
};

static const struct binding bindings[] = {
	{{'j', KEY_DOWN}, act_rows, 1, "j k arrows", "next, previous"},
	{{'k', KEY_UP}, act_rows, -1, NULL, NULL},
	{{'h', KEY_LEFT}, act_columns, -1, "h l arrows", "change the chosen control"},
	{{'l', KEY_RIGHT}, act_columns, 1, NULL, NULL},
	{{'g', KEY_HOME}, act_end, 0, "g G", "first, last picture"},
	{{'G', KEY_END}, act_end, 1, NULL, NULL},
	{{CTRL_D}, act_pages, 1, "^d ^u", "half a page down, up"},
	{{CTRL_U}, act_pages, -1, NULL, NULL},
	{{KEY_NPAGE, CTRL_F}, act_pages, 2, "PgDn PgUp", "a page down, up"},
	{{KEY_PPAGE, CTRL_B}, act_pages, -2, NULL, NULL},
	{{'\t'}, act_next_focus, 1, "Tab 1 2 3", "list, answers, controls"},
	{{KEY_BTAB}, act_next_focus, -1, NULL, NULL},
	{{'1'}, act_focus, PANEL_BROWSER, NULL, NULL},
	{{'2'}, act_focus, PANEL_ANSWERS, NULL, NULL},
	{{'3'}, act_focus, PANEL_CONTROLS, NULL, NULL},
	{{'e'}, act_open, MODE_LABELS, "e", "edit the labels"},
	{{'b'}, act_more, CONTROL_BATCH, "b B", "batch up, down"},
	{{'B'}, act_less, CONTROL_BATCH, NULL, NULL},
	{{'v'}, act_more, CONTROL_PRECISION, "v V", "precision"},
	{{'V'}, act_less, CONTROL_PRECISION, NULL, NULL},
	{{'z'}, act_more, CONTROL_IMAGE_SIZE, "z Z", "image size up, down"},
	{{'Z'}, act_less, CONTROL_IMAGE_SIZE, NULL, NULL},
	{{'w'}, act_more, CONTROL_BEAMS, "w W", "beams: search width"},
	{{'W'}, act_less, CONTROL_BEAMS, NULL, NULL},
	{{'c'}, act_more, CONTROL_CAP, "c C", "memory cap up, down"},
	{{'C'}, act_less, CONTROL_CAP, NULL, NULL},
	{{'+', '='}, act_change, 1, "+ -", "chosen control up, down"},
	{{'-'}, act_change, -1, NULL, NULL},
	{{'o'}, act_open, MODE_SETTINGS, "o", "all settings"},
	{{'a'}, act_fit, 0, "a", "fit: the largest batch"},
	{{'s'}, act_sweep, 0, "s", "sweep batch x precision"},
	{{'u'}, act_undo, 0, "u", "undo steps down in memory"},
	{{'R'}, act_recommend, 0, "R", "what is recommended here"},
	{{'p'}, act_profiles, 0, "p", "profiles"},
	{{'m'}, act_models, 0, "m", "models: swap one"},
	{{'i'}, act_open, MODE_STATS, "i", "statistics"},
	{{' '}, act_mark, 0, "Space", "mark the picture"},
	{{']'}, act_next_marked, 1, "] [", "next, previous marked"},
	{{'['}, act_next_marked, -1, NULL, NULL},
	{{'x'}, act_run, 0, "x", "answer all, or the marked"},
	{{'X'}, act_cancel, 0, "X", "cancel what runs"},
	{{'r'}, act_again, 0, "r", "answer this one again"},
	{{'\r', KEY_ENTER}, act_enter, 0, "Enter", "apply a changed setting, or r"},
	{{'/'}, act_open, MODE_FILTER, "/ Esc", "filter by text; show all"},
	{{ESCAPE}, act_escape, 0, NULL, NULL},
	{{','}, act_sort, 1, ",", "sort in another way"},
	{{':'}, act_open, MODE_COMMAND, ":", "a setting, as in :batch 8"},
	{{'t'}, act_theme, 0, "t", "next theme"},
	{{0}, NULL, 0, "^L ^Z", "repaint; suspend"},
	{{'?', KEY_F(1)}, act_open, MODE_HELP, "?", "this help"},
	{{'q', CTRL_C}, act_quit, 0, "q", "quit"},
};
enum { N_BINDINGS = sizeof bindings / sizeof *bindings };

const struct key_help *keys_help(int *n)
{
	static struct key_help rows[N_BINDINGS];

	*n = 0;
	for (int i = 0; i < N_BINDINGS; i++)
		if (bindings[i].keys)
			rows[(*n)++] = (struct key_help){bindings[i].keys, bindings[i].what};
	return rows;
}

static void browse_key(struct app *a, int key)
{
	for (int i = 0; i < N_BINDINGS; i++)
		for (int k = 0; k < 3 && bindings[i].key[k]; k++)
			if (bindings[i].key[k] == key) {
				bindings[i].act(a, bindings[i].argument);
				return;
			}
}

/* ---- reading ------------------------------------------------------------------------------------------------------------------------------- */

/* A late answer of the terminal (ESC ] … BEL, ESC P … ESC \, ESC [ ? … c) is not typing: swallowed up to its end. True when it was one. */
static bool swallow_answer(void)
{
	wint_t key;
	int kind = get_wch(&key);

	if (kind == ERR)
		return false;
	if (kind == KEY_CODE_YES) {
		ungetch((int)key);
		return false;
	}
	kind = (int)key;
	if (kind != ']' && kind != 'P' && kind != '[') {
		unget_wch((wchar_t)key);
		return false;
	}
	while (get_wch(&key) != ERR) {
		if (kind == '[' ? key >= '@' && key <= '~' : key == 7 || key == '\\')
			break;
	}
	return true;
}

/* Known everywhere. */
static bool common_key(struct app *a, int key)
{
	if (key == CTRL_Z)
		terminal_suspend();
	else if (key == CTRL_L)
		clearok(stdscr, TRUE);
	else
		return false;
	a->repaint = true;
	return true;
}

static void take_key(struct app *a, int key)
{
	a->moved = true;
	if (common_key(a, key))
		return;
	if (a->layout.too_small) /* nothing is seen, so nothing is done */
		a->quit = key == 'q' || key == CTRL_C;
	else if (!keys_overlay(a, key))
		browse_key(a, key);
}

void keys_read(struct app *a)
{
	wint_t key;
	int kind;

	while (!a->quit && (kind = get_wch(&key)) != ERR) {
		if (kind == OK && key == ESCAPE && swallow_answer())
			continue;
		if (kind == KEY_CODE_YES && key == KEY_MOUSE)
			keys_mouse(a);
		else if (kind != KEY_CODE_YES || key != KEY_RESIZE) /* of a resize the signal pipe tells */
			take_key(a, kind == OK && key > 126 ? (int)key | TYPED : (int)key);
	}
}
