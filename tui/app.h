/* app.h - the screen's state and what its parts may ask of each other. UI thread only.
 *
 * One loop (app_run) waits for keys, signals, the catalog, the engine and the preview; each changes the state and marks panels dirty; then the dirty
 * panels are drawn and one doupdate follows. A view only reads the state; actions (app_actions.c) change it.
 */
#ifndef TUI_APP_H
#define TUI_APP_H

#include "core/catalog.h"
#include "core/config.h"
#include "core/gauge.h"
#include "core/memory.h"
#include "tui/draw.h"
#include "tui/editor.h"
#include "tui/preview.h"
#include "tui/terminal.h"

enum mode {
	MODE_BROWSE,
	MODE_HELP,
	MODE_LABELS,  /* the label editor */
	MODE_FILTER,  /* typing after / */
	MODE_COMMAND, /* typing after : */
};

enum control { CONTROL_BATCH, CONTROL_PRECISION, CONTROL_IMAGE_SIZE, CONTROL_BEAMS, CONTROLS };

struct model_state {
	bool used, ready;
	char *failure; /* why it cannot be used; NULL */
	struct model_info info;
	enum precision precision; /* really in use */
	int64_t done, total;      /* bytes while loading */
};

struct app {
	struct config *config;
	struct terminal terminal;
	struct theme *theme;
	struct canvas canvas;
	struct layout layout;
	struct catalog *catalog;
	struct engine *engine;
	struct gauge *gauge;
	struct preview *preview;

	struct editor labels; /* the labels, one per line; lines are what was applied last */
	uint32_t epoch;       /* of the labels */
	struct editor draft;  /* the label editor's text while it is open */
	struct editor line;   /* the text after / or : */

	enum mode mode;
	int help_top;      /* first row of the help that is shown */
	bool help_scrolls; /* it is longer than its box */
	enum panel focus;
	enum control control;
	int row, top;        /* the selected row, and the first shown */
	int label_top;       /* first label shown in the answers */
	int64_t asked;       /* id for which answers were asked last as the selected one; -1 */
	int64_t select_due;  /* ms when the selection is to be asked for; 0 = not due */
	bool moved;          /* the user chose the selection: it stays on its picture while names come in */
	int64_t selected_at; /* ms of the last move */
	bool run_all;        /* the whole folder is being answered */
	int run_total;       /* pictures of that run, for the progress bar */
	bool undecided;      /* whether to answer the folder unasked: known when its size is */
	int submitted;       /* ids below were submitted by the run */
	enum catalog_order order;

	struct model_state model[MODEL_KINDS];
	char library[64]; /* "libtorch 1.13.1"; empty while loading */
	struct device_info device;
	char *library_failure; /* why there is none; NULL */
	struct engine_status status;
	struct gauge_sample gauge_now;
	struct memory_history history;
	int64_t sampled_at; /* ms of the last status sample */

	char message[400]; /* the status line's note */
	enum theme_role message_role;
	int64_t message_until; /* ms; 0 = stays */
	int tick;              /* the spinner */
	bool dirty[PANELS];
	bool repaint; /* all, from scratch */
	bool quit;
	int exit_code; /* then */
};

/* Runs the screen until q; returns an exit code. paths: a folder, a file, or files. */
int app_run(struct config *config, char *const *paths, int n);

int64_t app_now(void);                           /* CLOCK_MONOTONIC, ms */
void app_touch(struct app *a, enum panel panel); /* dirty */
void app_touch_all(struct app *a);
const char *app_model_name(enum model_kind kind); /* for people: "CLIP", … */
void app_say(struct app *a, enum theme_role role, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int64_t app_selected(const struct app *a); /* id, or -1 when the list is empty */
/* The model has answered or still may; false: it is not used, or something stands in the way. */
bool app_can(const struct app *a, enum model_kind kind);
bool app_has_models(const struct app *a); /* any is used, in whatever state */
bool app_busy(const struct app *a);       /* something is on its way: the spinner turns */

/* app_events.c */
void app_take_events(struct app *a); /* drains engine, catalog and preview */
void app_sample(struct app *a);      /* the engine's status and the gauge into the history */

/* app_actions.c */
void app_select(struct app *a, int row); /* clamps, scrolls, asks for preview and answers soon */
void app_ask_selected(struct app *a);    /* now */
void app_apply_labels(struct app *a, const struct editor *labels);
void app_change_control(struct app *a, enum control c, int step);
void app_apply_settings(struct app *a, const struct engine_settings *s);
void app_run_folder(struct app *a); /* answers for all (marked ones, if any are) */
void app_feed_run(struct app *a);   /* submits what the run found since */
void app_next_theme(struct app *a);
int app_set_theme(struct app *a, const char *name, struct error *err);
void app_command(struct app *a, const char *text); /* what was typed after : */
void app_control_text(const struct app *a, enum control c, char *out, size_t size);
const char *app_control_name(enum control c);
enum precision app_precision(const struct app *a); /* really in use, once a model is there */
const char *app_control_key(enum control c);       /* that raises it; the capital lowers it */

/* keys.c */
void keys_read(struct app *a); /* all waiting keys and mouse events */
struct key_help {
	const char *keys, *what;
};
const struct key_help *keys_help(int *n);

/* The views: each draws its panel into r, from the state alone. */
void view_title(struct app *a, const struct rect *r);
void view_browser(struct app *a, const struct rect *r);
void view_picture(struct app *a, const struct rect *r);
void view_answers(struct app *a, const struct rect *r);
void view_memory(struct app *a, const struct rect *r);
void view_controls(struct app *a, const struct rect *r);
void view_status(struct app *a, const struct rect *r);
/* Overlays, drawn last. */
void view_help(struct app *a);
void view_label_editor(struct app *a);
struct rect view_control_place(const struct layout *l, enum control c); /* the cells of a control, for drawing and for clicks */
/* What stands in answers.failure without the folder, which the title shows. Points into failure. */
const char *app_short_failure(const struct app *a, const char *failure);
int view_browser_rows(const struct layout *l); /* rows of the list that fit */

#endif
