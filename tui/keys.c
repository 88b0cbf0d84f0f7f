/* keys.c - keys and mouse to actions, from one table that the help overlay shows as well. See app.h. */
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "core/mem.h"
#include "tui/app.h"

enum {
	CTRL_D = 4,
	CTRL_F = 6,
	CTRL_B = 2,
	CTRL_K = 11,
	CTRL_L = 12,
	CTRL_S = 19,
	CTRL_U = 21,
	CTRL_W = 23,
	CTRL_Z = 26,
	CTRL_C = 3,
	CTRL_A = 1,
	CTRL_E = 5,
	ESCAPE = 27
};

/* Added to a typed character beyond ASCII, since curses gives its function keys the numbers of such characters. */
enum { TYPED = 1 << 24 };

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

static void act_focus(struct app *a, int panel)
{
	app_touch(a, a->focus);
	a->focus = (enum panel)panel;
	app_touch(a, a->focus);
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

static void act_open(struct app *a, int mode)
{
	a->mode = (enum mode)mode;
	if (mode == MODE_LABELS)
		editor_begin_lines(&a->draft, a->labels.line, a->labels.n);
	else if (mode == MODE_FILTER || mode == MODE_COMMAND)
		editor_begin(&a->line);
	a->help_top = 0;
	curs_set(mode == MODE_HELP ? 0 : 1);
	leaveok(stdscr, mode == MODE_HELP);
	app_touch_all(a);
}

static void close_mode(struct app *a)
{
	a->mode = MODE_BROWSE;
	curs_set(0);
	leaveok(stdscr, TRUE);
	a->repaint = true;
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

static void act_repaint(struct app *a, int unused)
{
	clearok(stdscr, TRUE);
	a->repaint = true;
}

static void act_suspend(struct app *a, int unused)
{
	terminal_suspend();
	a->repaint = true;
}

static void act_again(struct app *a, int unused)
{
	int64_t id = app_selected(a);

	if (id < 0 || catalog_picture(a->catalog, (uint32_t)id)->status == PICTURE_UNSUPPORTED)
		return;
	catalog_set_status(a->catalog, (uint32_t)id, PICTURE_NEW);
	app_ask_selected(a);
}

static void act_unfilter(struct app *a, int unused)
{
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
	{{'i'}, act_more, CONTROL_IMAGE_SIZE, "i I", "image size up, down"},
	{{'I'}, act_less, CONTROL_IMAGE_SIZE, NULL, NULL},
	{{'o'}, act_more, CONTROL_BEAMS, "o O", "beams up, down"},
	{{'O'}, act_less, CONTROL_BEAMS, NULL, NULL},
	{{'+', '='}, act_change, 1, "+ -", "chosen control up, down"},
	{{'-'}, act_change, -1, NULL, NULL},
	{{' '}, act_mark, 0, "Space", "mark the picture"},
	{{']'}, act_next_marked, 1, "] [", "next, previous marked"},
	{{'['}, act_next_marked, -1, NULL, NULL},
	{{'x'}, act_run, 0, "x", "answer all, or the marked"},
	{{'X'}, act_cancel, 0, "X", "cancel what runs"},
	{{'r', '\r', KEY_ENTER}, act_again, 0, "r Enter", "answer this one again"},
	{{'/'}, act_open, MODE_FILTER, "/ Esc", "filter by text; show all"},
	{{ESCAPE}, act_unfilter, 0, NULL, NULL},
	{{','}, act_sort, 1, ",", "sort in another way"},
	{{':'}, act_open, MODE_COMMAND, ":", "a setting, as in :batch 8"},
	{{'t'}, act_theme, 0, "t", "next theme"},
	{{CTRL_L}, act_repaint, 0, "^L", "repaint"},
	{{CTRL_Z}, act_suspend, 0, "^Z", "suspend; fg comes back"},
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

/* ---- typing -------------------------------------------------------------------------------------------------------------------------------- */

/* The keys that every text field knows; any other character is typed into it. */
static void edit_key(struct editor *e, int key)
{
	switch (key) {
	case KEY_LEFT:
	case KEY_RIGHT:
		editor_move(e, 0, key == KEY_RIGHT ? 1 : -1);
		break;
	case KEY_HOME:
	case CTRL_A:
		editor_home(e);
		break;
	case KEY_END:
	case CTRL_E:
		editor_end(e);
		break;
	case KEY_BACKSPACE:
	case 127 | TYPED: /* DEL */
	case 8:
		editor_backspace(e);
		break;
	case KEY_DC:
		editor_delete(e);
		break;
	case CTRL_W:
		editor_delete_word(e);
		break;
	case CTRL_U:
		editor_clear(e);
		break;
	default:
		if (key & TYPED || (key >= 32 && key < 127))
			editor_insert(e, (uint32_t)(key & ~TYPED));
	}
}

static void labels_key(struct app *a, int key)
{
	struct editor *e = &a->draft;

	if (key == ESCAPE || key == CTRL_C) {
		close_mode(a);
	} else if (key == CTRL_S) {
		app_apply_labels(a, e);
	} else if (key == '\r' || key == KEY_ENTER) {
		app_apply_labels(a, e);
		close_mode(a);
	} else if (key == ';' || (key == KEY_DOWN && e->row == e->n - 1 && e->line[e->row][0])) {
		editor_end(e);
		editor_newline(e);
	} else if (key == KEY_DOWN) {
		editor_move(e, 1, 0);
	} else if (key == KEY_UP) {
		editor_move(e, -1, 0);
	} else if (key == CTRL_K) {
		editor_delete_line(e);
	} else {
		edit_key(e, key);
	}
	app_touch_all(a);
}

static void filter_now(struct app *a)
{
	int64_t id = app_selected(a);
	int row;

	catalog_filter(a->catalog, a->line.line[0]);
	row = id >= 0 ? catalog_picture(a->catalog, (uint32_t)id)->row : 0;
	app_select(a, row);
}

static void line_key(struct app *a, int key)
{
	bool filter = a->mode == MODE_FILTER, empty = !a->line.line[0][0];

	if (key == '\r' || key == KEY_ENTER) {
		close_mode(a);
		if (!filter)
			app_command(a, a->line.line[0]);
		return;
	}
	if (key == ESCAPE || key == CTRL_C || (empty && (key == KEY_BACKSPACE || key == (127 | TYPED) || key == 8))) {
		editor_begin(&a->line);
		if (filter)
			filter_now(a);
		close_mode(a);
		return;
	}
	edit_key(&a->line, key);
	if (filter)
		filter_now(a);
	app_touch(a, PANEL_STATUS);
}

/* Scrolls where the help is longer than the screen; any other key closes it. */
static void help_key(struct app *a, int key)
{
	bool down = key == 'j' || key == KEY_DOWN || key == KEY_NPAGE || key == ' ', up = key == 'k' || key == KEY_UP || key == KEY_PPAGE;

	if (!a->help_scrolls || (!down && !up)) {
		close_mode(a);
		return;
	}
	a->help_top += down ? 1 : -1;
	app_touch_all(a);
}

/* ---- mouse --------------------------------------------------------------------------------------------------------------------------------- */

/* A click chooses the control; on its arrows, or on its value when it was chosen already, it changes it. */
static void click_control(struct app *a, int y, int x)
{
	enum { ARROW = 12 }; /* the column of the left one, where there are arrows */

	for (int c = 0; c < CONTROLS; c++) {
		struct rect r = view_control_place(&a->layout, (enum control)c);
		bool chosen = a->focus == PANEL_CONTROLS && a->control == (enum control)c, arrows = !a->layout.compact && x >= r.left + ARROW;

		if (y != r.top || x < r.left || x >= r.left + r.width)
			continue;
		a->control = (enum control)c;
		if (arrows || chosen)
			app_change_control(a, a->control, arrows && x < r.left + ARROW + 2 ? -1 : 1);
	}
	act_focus(a, PANEL_CONTROLS);
}

static void click(struct app *a, int y, int x)
{
	int panel = layout_at(&a->layout, y, x);
	const struct rect *r = panel < 0 ? NULL : &a->layout.panel[panel];

	if (panel == PANEL_BROWSER) {
		act_focus(a, PANEL_BROWSER);
		if (y > r->top && y < r->top + r->height - 1 && a->top + y - r->top - 1 < catalog_rows(a->catalog))
			app_select(a, a->top + y - r->top - 1);
	} else if (panel == PANEL_ANSWERS) {
		act_focus(a, PANEL_ANSWERS);
	} else if (panel == PANEL_CONTROLS) {
		click_control(a, y, x);
	}
}

static void mouse(struct app *a)
{
	MEVENT m;

	if (getmouse(&m) != OK || a->mode != MODE_BROWSE)
		return;
	a->moved = true;
	if (m.bstate & BUTTON4_PRESSED || m.bstate & BUTTON5_PRESSED) {
		int step = m.bstate & BUTTON4_PRESSED ? -1 : 1, panel = layout_at(&a->layout, m.y, m.x);

		if (panel == PANEL_CONTROLS && a->focus == PANEL_CONTROLS)
			app_change_control(a, a->control, -step);
		else if (panel == PANEL_BROWSER || panel == PANEL_PICTURE)
			app_select(a, a->row + 3 * step);
	} else if (m.bstate & (BUTTON1_PRESSED | BUTTON1_CLICKED)) {
		click(a, m.y, m.x);
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

static void take_key(struct app *a, int key)
{
	a->moved = true;
	if (a->layout.too_small) /* nothing is seen, so nothing is done */
		a->quit = key == 'q' || key == CTRL_C;
	else if (a->mode == MODE_HELP)
		help_key(a, key);
	else if (a->mode == MODE_LABELS)
		labels_key(a, key);
	else if (a->mode == MODE_FILTER || a->mode == MODE_COMMAND)
		line_key(a, key);
	else
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
			mouse(a);
		else if (kind != KEY_CODE_YES || key != KEY_RESIZE) /* of a resize the signal pipe tells */
			take_key(a, kind == OK && key > 126 ? (int)key | TYPED : (int)key);
	}
}
