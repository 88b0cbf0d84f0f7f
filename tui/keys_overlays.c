/* keys_overlays.c - the keys of each overlay, and of what is typed. See keys_private.h. */
#include "tui/keys_private.h"

static bool is_enter(int key)
{
	return key == '\r' || key == KEY_ENTER;
}

static bool is_escape(int key)
{
	return key == ESCAPE || key == CTRL_C;
}

static int rows_of(int key)
{
	return key == 'j' || key == KEY_DOWN ? 1 : key == 'k' || key == KEY_UP ? -1 : 0;
}

static int columns_of(int key)
{
	return key == 'l' || key == KEY_RIGHT || key == '+' || key == '=' ? 1 : key == 'h' || key == KEY_LEFT || key == '-' ? -1 : 0;
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
		keys_close(a);
	} else if (key == CTRL_S) {
		app_apply_labels(a, e);
	} else if (key == '\r' || key == KEY_ENTER) {
		app_apply_labels(a, e);
		keys_close(a);
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
		keys_close(a);
		if (!filter)
			app_command(a, a->line.line[0]);
		return;
	}
	if (key == ESCAPE || key == CTRL_C || (empty && (key == KEY_BACKSPACE || key == (127 | TYPED) || key == 8))) {
		editor_begin(&a->line);
		if (filter)
			filter_now(a);
		keys_close(a);
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
		keys_close(a);
		return;
	}
	a->help_top += down ? 1 : -1;
	app_touch_all(a);
}

/* ---- settings ------------------------------------------------------------------------------------------------------------------------------- */

static void show_cursor(bool on)
{
	curs_set(on ? 1 : 0);
	leaveok(stdscr, !on);
}

static void begin_typing(struct app *a, int key)
{
	editor_begin(&a->line);
	if (key)
		editor_insert(&a->line, (uint32_t)key);
	a->typing = true;
	show_cursor(true);
}

static void typed_key(struct app *a, int key)
{
	if (is_escape(key) || (is_enter(key) && (!a->line.line[0][0] || app_type_control(a, a->control, a->line.line[0])))) {
		a->typing = false;
		show_cursor(false);
	} else if (!is_enter(key)) {
		edit_key(&a->line, key);
	}
}

static void settings_key(struct app *a, int key)
{
	int rows = rows_of(key), columns = columns_of(key);

	if (a->typing)
		typed_key(a, key);
	else if (rows)
		a->control = (enum control)(((int)a->control + rows + CONTROLS_ALL) % CONTROLS_ALL);
	else if (columns)
		app_change_control(a, a->control, columns);
	else if (key == 'g' || key == KEY_HOME)
		a->control = CONTROL_BATCH;
	else if (key == 'G' || key == KEY_END)
		a->control = (enum control)(CONTROLS_ALL - 1);
	else if (a->pending.on && is_enter(key))
		app_apply_pending(a);
	else if (a->pending.on && is_escape(key))
		app_drop_pending(a);
	else if (is_enter(key))
		begin_typing(a, 0);
	else if (key >= '0' && key <= '9')
		begin_typing(a, key);
	else if (key == 'p')
		app_profiles_open(a);
	else if (is_escape(key) || key == 'q' || key == 'o')
		keys_close(a);
}

/* ---- fit and sweep -------------------------------------------------------------------------------------------------------------------------- */

static void fit_key(struct app *a, int key)
{
	if (!a->trials.running)
		keys_close(a);
	else if (is_escape(key) || key == 'q')
		app_trials_cancel(a);
}

static void move_cursor(struct app *a, int rows, int columns)
{
	struct trials *t = &a->trials;
	int row = t->row + rows, column = t->column + columns;

	t->row = row < 0 ? 0 : row >= t->sweep.rows ? t->sweep.rows - 1 : row;
	t->column = column < 0 ? 0 : column >= t->sweep.columns ? t->sweep.columns - 1 : column;
	t->chosen = true;
	a->message[0] = '\0';
}

static void sweep_key(struct app *a, int key)
{
	struct trials *t = &a->trials;
	int rows = rows_of(key), columns = columns_of(key);

	if (rows || columns)
		move_cursor(a, rows, columns);
	else if (is_enter(key))
		app_sweep_take_cell(a);
	else if (key == 'w')
		app_sweep_write(a);
	else if (t->running && (is_escape(key) || key == 'q'))
		app_trials_cancel(a);
	else if (!t->running && (key == 's' || key == 'z'))
		app_sweep(a, key == 'z' ? !t->images : t->images);
	else if (is_escape(key) || key == 'q')
		keys_close(a);
}

/* ---- profiles ------------------------------------------------------------------------------------------------------------------------------- */

static void name_key(struct app *a, int key)
{
	if (is_enter(key) && a->line.line[0][0])
		app_profile_save(a, a->line.line[0]);
	if (is_enter(key) || is_escape(key)) {
		a->profiles.naming = false;
		show_cursor(false);
	} else {
		edit_key(&a->line, key);
	}
}

static void begin_delete(struct app *a)
{
	const struct profile_info *chosen = &a->profiles.list[a->profiles.row];

	a->profiles.deleting = !chosen->builtin;
	if (chosen->builtin)
		app_say(a, ROLE_WARNING, "%s is built in and stays", chosen->name);
}

static void profiles_key(struct app *a, int key)
{
	struct profiles *p = &a->profiles;
	int row = p->row + rows_of(key);

	if (p->naming) {
		name_key(a, key);
	} else if (p->deleting) {
		p->deleting = false;
		if (key == 'y')
			app_profile_delete(a);
	} else if (rows_of(key)) {
		p->row = row < 0 ? 0 : row >= p->n ? p->n - 1 : row;
	} else if (is_enter(key)) {
		app_profile_apply(a);
		keys_close(a);
	} else if (key == 'w' || key == 's') {
		editor_begin(&a->line);
		p->naming = true;
		show_cursor(true);
	} else if (key == 'd') {
		begin_delete(a);
	} else if (is_escape(key) || key == 'q' || key == 'p') {
		keys_close(a);
	}
}

/* ---- models --------------------------------------------------------------------------------------------------------------------------------- */

static void model_name_key(struct app *a, int key)
{
	if (is_enter(key) && a->line.line[0][0])
		app_models_look(a, a->line.line[0]);
	if (is_enter(key) || is_escape(key)) {
		a->models.typing = false;
		show_cursor(false);
	} else {
		edit_key(&a->line, key);
	}
}

static void swap_chosen(struct app *a)
{
	const struct candidate *c = a->models.row < a->models.n ? a->models.list[a->models.row] : NULL;

	if (!c)
		return;
	if (!c->known || !c->path) {
		app_say(a, ROLE_WARNING, "%s cannot be used", c->name);
	} else if (c->in_use) {
		app_say(a, ROLE_STATUS, "%s is in use already", c->name);
	} else {
		keys_close(a);
		app_swap(a, c->info.kind, c->name, c->path);
	}
}

static void choose_model(struct app *a, int row)
{
	struct models *m = &a->models;

	m->row = row >= m->n ? m->n - 1 : row;
	m->row = m->row < 0 ? 0 : m->row;
	m->moved = true;
	a->message[0] = '\0';
}

static void models_key(struct app *a, int key)
{
	struct models *m = &a->models;

	if (m->typing) {
		model_name_key(a, key);
	} else if (rows_of(key)) {
		choose_model(a, m->row + rows_of(key));
	} else if (key == 'g' || key == KEY_HOME) {
		choose_model(a, 0);
	} else if (key == 'G' || key == KEY_END) {
		choose_model(a, m->n - 1);
	} else if (is_enter(key)) {
		swap_chosen(a);
	} else if (key == 'n' || key == '/') {
		editor_begin(&a->line);
		if (key == '/')
			editor_insert(&a->line, '/');
		m->typing = true;
		show_cursor(true);
	} else if (key == 'r') {
		app_models_look(a, NULL);
	} else if (is_escape(key) || key == 'q' || key == 'm') {
		keys_close(a);
	}
}

/* ---- all ------------------------------------------------------------------------------------------------------------------------------------ */

static void close_key(struct app *a, int key)
{
	keys_close(a);
}

bool keys_overlay(struct app *a, int key)
{
	static void (*const take[])(struct app *, int) = {
		[MODE_HELP] = help_key,         [MODE_LABELS] = labels_key, [MODE_FILTER] = line_key, [MODE_COMMAND] = line_key,
		[MODE_SETTINGS] = settings_key, [MODE_FIT] = fit_key,       [MODE_SWEEP] = sweep_key, [MODE_PROFILES] = profiles_key,
		[MODE_STATS] = close_key,       [MODE_MODELS] = models_key,
	};

	if (!take[a->mode])
		return false;
	take[a->mode](a, key);
	app_touch_all(a);
	return true;
}
