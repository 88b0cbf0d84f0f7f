/* app.c - the screen's one loop: wait, take what came, draw what changed. See app.h. */
#include "tui/app.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "core/log.h"
#include "core/mem.h"
#include "core/runtime.h"
#include "core/utf8.h"
#include "tui/command.h"
#include "tui/library.h"
#include "tui/paths.h"

enum {
	BUSY_TICK_MS = 100,  /* spinner */
	IDLE_TICK_MS = 1000, /* clock and memory */
};

void app_touch(struct app *a, enum panel panel)
{
	a->dirty[panel] = true;
}

void app_touch_all(struct app *a)
{
	for (int i = 0; i < PANELS; i++)
		a->dirty[i] = true;
}

void app_say(struct app *a, enum theme_role role, const char *fmt, ...)
{
	va_list ap;
	char *text;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	utf8_escape(text, strlen(text), a->message, sizeof a->message);
	free(text);
	a->message_role = role;
	a->message_until = clock_now_ms() + (role == ROLE_ERROR ? 15000 : 6000);
	app_touch(a, PANEL_STATUS);
}

int64_t app_selected(const struct app *a)
{
	return catalog_rows(a->catalog) ? (int64_t)catalog_id(a->catalog, a->row) : -1;
}

const char *app_model_name(enum model_kind kind)
{
	static const char *const names[MODEL_KINDS] = {"CLIP", "captioner", "NLI"};

	return names[kind];
}

bool app_has_models(const struct app *a)
{
	for (int i = 0; i < MODEL_KINDS; i++)
		if (a->model[i].used)
			return true;
	return false;
}

bool app_can(const struct app *a, enum model_kind kind)
{
	return a->model[kind].used && !a->model[kind].failure && !a->library_failure;
}

bool app_loading(const struct app *a)
{
	bool loading = !a->library[0] && !a->library_failure;

	for (int i = 0; i < MODEL_KINDS; i++)
		loading |= app_can(a, (enum model_kind)i) && !a->model[i].ready;
	return loading;
}

bool app_busy(const struct app *a)
{
	return app_loading(a) || a->status.pending > 0 || a->status.refreshing > 0 || a->trials.running || a->models.looking ||
	       catalog_scanning(a->catalog);
}

/* ---- drawing ------------------------------------------------------------------------------------------------------------------------------- */

static void draw_too_small(struct app *a)
{
	char text[120];

	erase();
	snprintf(text, sizeof text, "vramble needs %dx%d cells; this terminal has %dx%d", LAYOUT_MIN_COLUMNS, LAYOUT_MIN_ROWS, a->layout.columns,
		 a->layout.rows);
	draw_wrapped(&a->canvas, a->layout.rows > 2 ? a->layout.rows / 3 : 0, 0, a->layout.columns, a->layout.rows, ROLE_WARNING, text, false);
}

static void draw_panels(struct app *a)
{
	static void (*const draw[PANELS])(struct app *, const struct rect *) = {view_title,  view_browser,  view_picture, view_answers,
										view_memory, view_controls, view_status};
	static void (*const overlay[])(struct app *) = {
		[MODE_HELP] = view_help,   [MODE_LABELS] = view_label_editor, [MODE_SETTINGS] = view_settings, [MODE_FIT] = view_fit,
		[MODE_SWEEP] = view_sweep, [MODE_PROFILES] = view_profiles,   [MODE_STATS] = view_stats,       [MODE_MODELS] = view_models,
	};

	for (int i = 0; i < PANELS; i++)
		if (a->dirty[i] && a->layout.panel[i].height)
			draw[i](a, &a->layout.panel[i]);
	if (overlay[a->mode]) {
		theme_over(a->theme, true);
		overlay[a->mode](a);
		theme_over(a->theme, false);
	}
}

static void draw(struct app *a)
{
	bool any = a->repaint;

	for (int i = 0; i < PANELS; i++)
		any |= a->dirty[i];
	if (!any)
		return;
	if (a->repaint) {
		app_touch_all(a);
		erase();
	}
	if (a->layout.too_small)
		draw_too_small(a);
	else
		draw_panels(a);
	memset(a->dirty, 0, sizeof a->dirty);
	a->repaint = false;
	refresh();
}

static void lay_out(struct app *a)
{
	struct winsize size = {0};

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row && size.ws_col)
		resizeterm(size.ws_row, size.ws_col);
	a->layout = layout_compute(LINES, COLS);
	app_select(a, a->row);
	a->repaint = true;
	clearok(stdscr, TRUE);
}

/* ---- the loop ------------------------------------------------------------------------------------------------------------------------------ */

static void take_signals(struct app *a)
{
	int number;

	while ((number = terminal_next_signal())) {
		if (number == SIGINT || number == SIGTERM || number == SIGHUP) {
			a->quit = true;
			a->exit_code = 128 + number;
			return;
		}
		if (number == SIGTSTP)
			terminal_suspend();
		lay_out(a);
	}
}

static int timeout_ms(const struct app *a)
{
	int64_t now = clock_now_ms(), wait = app_busy(a) ? BUSY_TICK_MS : IDLE_TICK_MS;

	if (a->select_due && a->select_due - now < wait)
		wait = a->select_due > now ? a->select_due - now : 0;
	if (a->pending.on && a->pending.due > now && a->pending.due - now < wait)
		wait = a->pending.due - now;
	return (int)wait;
}

static void tick(struct app *a)
{
	int64_t now = clock_now_ms();

	if (a->select_due && now >= a->select_due)
		app_ask_selected(a);
	/* What does not fit waits for the user's decision. */
	if (a->pending.on && now >= a->pending.due && (!a->pending.known || a->pending.wanted.fits))
		app_apply_pending(a);
	if (a->message_until && now >= a->message_until) {
		a->message[0] = '\0';
		a->message_until = 0;
		app_touch(a, PANEL_STATUS);
	}
	if (now - a->sampled_at < (app_busy(a) ? BUSY_TICK_MS : IDLE_TICK_MS))
		return;
	app_sample(a);
	if (app_busy(a)) {
		a->tick++;
		app_touch(a, PANEL_BROWSER);
		app_touch(a, PANEL_ANSWERS);
	}
	app_touch(a, PANEL_TITLE);
	app_touch(a, PANEL_MEMORY);
	app_touch(a, PANEL_CONTROLS);
	app_touch(a, PANEL_STATUS);
}

static void loop(struct app *a)
{
	while (!a->quit) {
		struct pollfd fds[] = {{STDIN_FILENO, POLLIN, 0},
				       {terminal_signal_fd(), POLLIN, 0},
				       {engine_fd(a->engine), POLLIN, 0},
				       {catalog_fd(a->catalog), POLLIN, 0},
				       {preview_fd(a->preview), POLLIN, 0}};

		if (poll(fds, sizeof fds / sizeof *fds, timeout_ms(a)) < 0 && errno != EINTR)
			return;
		take_signals(a);
		if (fds[0].revents & (POLLHUP | POLLERR | POLLNVAL)) { /* the terminal is gone */
			a->exit_code = 128 + SIGHUP;
			return;
		}
		keys_read(a);
		app_take_events(a);
		app_feed_run(a);
		tick(a);
		draw(a);
	}
}

/* ---- start and end ------------------------------------------------------------------------------------------------------------------------- */

static void read_labels(struct app *a)
{
	char **labels;
	int n = library_labels(a->config, &labels);

	editor_begin_lines(&a->labels, labels, n);
	library_free_labels(labels, n);
}

static int create_engine(struct app *a, struct error *err)
{
	struct engine_options options;

	library_options(a->config, (1 << MODEL_KINDS) - 1, &options);
	/* Enough for the largest picture panel of a large terminal; the preview scales down from it. */
	options.preview_width = 1280;
	options.preview_height = 960;
	for (int i = 0; i < MODEL_KINDS; i++)
		a->model[i].used = options.model_dir[i] != NULL;
	a->engine = engine_create(&options, err);
	library_options_free(&options);
	return a->engine ? 0 : -1;
}

static int load_theme(struct app *a, struct error *err)
{
	const char *name = a->config->theme;
	int b = a->terminal.background;

	if (!name && a->terminal.colour == COLOUR_MONO)
		name = "mono";
	if (!name) /* by the luma of what the terminal says its background is */
		name = b >= 0 && 299 * (b >> 16) + 587 * (b >> 8 & 255) + 114 * (b & 255) > 128 * 1000 ? "light" : "dark";
	return app_set_theme(a, name, err);
}

static void start_log(struct app *a)
{
	struct error err;

	if (log_open(a->config->log, &err) < 0)
		app_say(a, ROLE_WARNING, "no log: %s", err.text);
	if (log_hold_stderr(&err) < 0)
		app_say(a, ROLE_WARNING, "%s", err.text);
	log_write(LOG_INFO, "vramble %s on %s", VRAMBLE_VERSION, a->terminal.description);
}

/* Everything that can fail before the terminal is touched. */
static int open_all(struct app *a, char *const *paths, int n, struct error *err)
{
	static const char *const here[] = {"."};

	a->catalog = catalog_open(n ? (const char *const *)paths : here, n ? n : 1, err);
	if (!a->catalog || create_engine(a, err) < 0)
		return -1;
	read_labels(a);
	return 0;
}

static int open_screen(struct app *a, struct error *err)
{
	struct error bad;

	if (terminal_start(a->config->colour, a->config->cell_aspect, &a->terminal, err) < 0)
		return -1;
	mem_exhausted = terminal_stop;
	a->canvas = (struct canvas){.utf8 = a->terminal.utf8, .symbols = a->terminal.utf8 && !a->terminal.console};
	if (load_theme(a, &bad) < 0) {
		a->theme = theme_plain();
		a->canvas.theme = a->theme;
		app_say(a, ROLE_ERROR, "%s", bad.text);
	}
	a->preview = preview_create(&a->terminal, err);
	a->layout = layout_compute(LINES, COLS);
	a->repaint = true;
	return a->preview ? 0 : -1;
}

static void close_all(struct app *a)
{
	engine_destroy(a->engine);
	gauge_stop(a->gauge);
	preview_destroy(a->preview);
	catalog_close(a->catalog);
	theme_free(a->theme);
	editor_free(&a->labels);
	editor_free(&a->draft);
	editor_free(&a->line);
	app_drop_pending(a);
	app_trials_free(a);
	app_profiles_free(a);
	app_models_free(a);
	for (int i = 0; i < MODEL_KINDS; i++)
		free(a->model[i].failure);
	free(a->library_failure);
	log_close();
}

static void select_first(struct app *a)
{
	int64_t wanted;

	catalog_take(a->catalog);
	wanted = catalog_selected(a->catalog);
	app_select(a, wanted >= 0 ? catalog_picture(a->catalog, (uint32_t)wanted)->row : 0);
}

int app_run(struct config *config, char *const *paths, int n)
{
	struct app a = {.config = config, .mode = MODE_BROWSE, .focus = PANEL_BROWSER, .asked = -1};
	struct error err;

	runtime_prepare(config->settings.threads);
	if (open_all(&a, paths, n, &err) < 0 || open_screen(&a, &err) < 0) {
		terminal_stop();
		complain("%s", err.text);
		close_all(&a);
		return exit_code_for(&err);
	}
	start_log(&a);
	select_first(&a);
	draw(&a);
	app_apply_labels(&a, &a.labels);
	a.gauge = gauge_start(config->settings.device[0], 2.0);
	engine_start(a.engine);
	a.undecided = true;
	loop(&a);
	terminal_stop();
	close_all(&a);
	return a.exit_code;
}
