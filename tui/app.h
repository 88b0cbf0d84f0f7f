/* app.h - the screen's state and what its parts may ask of each other. UI thread only.
 *
 * One loop (app_run) waits for keys, signals, the catalog, the engine and the preview; each changes the state and marks panels dirty; then the dirty
 * panels are drawn and one doupdate follows. A view only reads the state; actions (app_actions.c) change it.
 */
#ifndef TUI_APP_H
#define TUI_APP_H

#include "core/catalog.h"
#include "core/clock.h"
#include "core/config.h"
#include "core/fit.h"
#include "core/gauge.h"
#include "core/memory.h"
#include "core/profile.h"
#include "core/stats.h"
#include "core/sweep.h"
#include "tui/draw.h"
#include "tui/editor.h"
#include "tui/preview.h"
#include "tui/terminal.h"

enum mode {
	MODE_BROWSE,
	MODE_HELP,
	MODE_LABELS,   /* the label editor */
	MODE_FILTER,   /* typing after / */
	MODE_COMMAND,  /* typing after : */
	MODE_SETTINGS, /* every setting */
	MODE_FIT,
	MODE_SWEEP,
	MODE_PROFILES,
	MODE_STATS,
	MODE_MODELS,
};

/* The settings that are changed while the program runs, in the order of the settings overlay; the panel shows the first CONTROLS. */
enum control {
	CONTROL_BATCH,
	CONTROL_PRECISION,
	CONTROL_IMAGE_SIZE,
	CONTROL_BEAMS,
	CONTROL_CAP,
	CONTROL_RESERVE,
	CONTROL_SEED,
	CONTROLS,
	CONTROLS_ALL = 26,
};

struct model_state {
	bool used, ready;
	char *failure; /* why it cannot be used; NULL */
	struct model_info info;
	enum precision precision; /* really in use */
	int64_t done, total;      /* bytes while loading */
	char *asked;              /* what is to take its place, as a person calls it; NULL: nothing */
};

/* What the keys have asked for and nobody has confirmed: shown with its forecast, applied by Enter or by a pause where it fits, dropped by Esc. */
struct pending {
	bool on;
	struct config config;               /* owned while on; only what controls change counts */
	int64_t due;                        /* ms when it is applied unasked, if it fits */
	bool known;                         /* the two below could be told */
	struct engine_forecast now, wanted; /* of the settings in use, and of these */
};

enum { FIT_LINES = 10 };

/* Fit and sweep: a run of trials. */
struct trials {
	enum { TRIALS_NONE, TRIALS_FIT, TRIALS_SWEEP } running; /* an EV_TRIAL is to come for it */
	struct engine_settings base;                            /* as it was when it began */
	int64_t limit;                                          /* bytes that cap and reserve leave; 0: not known */
	int64_t began;                                          /* ms */
	struct fit fit;
	char line[FIT_LINES][160]; /* what became of each try */
	bool good[FIT_LINES];
	int lines;
	char result[200];
	struct sweep sweep;
	int cell;        /* that runs */
	int row, column; /* of the sweep's cursor */
	bool images;     /* with image sizes */
	bool chosen;     /* the cursor was moved: it no longer follows the best */
	char *command;   /* owned; after w */
};

struct profiles {
	struct profile_info *list; /* owned */
	int n, row;
	bool naming;   /* a name is typed into app.line */
	bool deleting; /* the next key answers whether to delete */
};

/* The models at hand, and which may take another's place. */
struct models {
	struct candidate **list; /* owned, by kind and name; those that cannot be used last */
	int n, row;
	bool moved;   /* the cursor was */
	bool looking; /* more come */
	bool typing;  /* a name is typed into app.line */
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
	enum control control; /* the chosen one */
	bool typing;          /* a value for it is typed into line, in the settings overlay */
	struct pending pending;
	struct trials trials;
	struct profiles profiles;
	struct models models;
	int row, top;        /* the selected row, and the first shown */
	int label_top;       /* first label shown in the answers */
	int64_t asked;       /* id for which answers were asked last as the selected one; -1 */
	int64_t select_due;  /* ms when the selection is to be asked for; 0 = not due */
	bool moved;          /* the user chose the selection: it stays on its picture while names come in */
	int64_t selected_at; /* ms of the last move */
	bool run_all;        /* the whole folder is being answered, or all that is marked */
	bool run_marked;     /* the latter */
	int run_total;       /* pictures of that run that were submitted */
	bool full;           /* the queue took no more; EV_ROOM ends it */
	bool undecided;      /* whether to answer the folder unasked: known when its size is */
	int submitted;       /* ids below were submitted by the run */
	enum catalog_order order;

	struct model_state model[MODEL_KINDS];
	char library[64]; /* "libtorch 1.13.1"; empty while loading */
	struct device_info device;
	bool advised;          /* what is recommended here was told */
	char *library_failure; /* why there is none; NULL */
	struct engine_status status;
	struct stats_recent recent;
	struct alerts alerts;
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

void app_touch(struct app *a, enum panel panel); /* dirty */
void app_touch_all(struct app *a);
const char *app_model_name(enum model_kind kind); /* for people: "CLIP", … */
void app_say(struct app *a, enum theme_role role, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int64_t app_selected(const struct app *a); /* id, or -1 when the list is empty */
/* The model has answered or still may; false: it is not used, or something stands in the way. */
bool app_can(const struct app *a, enum model_kind kind);
bool app_has_models(const struct app *a); /* any is used, in whatever state */
bool app_loading(const struct app *a);    /* libtorch or a model that will be there */
bool app_busy(const struct app *a);       /* something is on its way: the spinner turns */

/* app_events.c */
void app_take_events(struct app *a); /* drains engine, catalog and preview */
void app_sample(struct app *a);      /* the engine's status and the gauge into the history */

/* app_actions.c */
void app_select(struct app *a, int row); /* clamps, scrolls, asks for preview and answers soon */
void app_ask_selected(struct app *a);    /* now */
void app_apply_labels(struct app *a, const struct editor *labels);
void app_run_folder(struct app *a); /* answers for all (marked ones, if any are) */
void app_feed_run(struct app *a);   /* submits what the run found since, as far as the queue takes it */
void app_undo_ladder(struct app *a);
void app_next_theme(struct app *a);
int app_set_theme(struct app *a, const char *name, struct error *err);
void app_command(struct app *a, const char *text); /* what was typed after : */

/* app_settings.c: a control is a row of core/config's table, by its key. */
const char *app_control_name(enum control c); /* as the panel calls it */
const char *app_control_key(enum control c);  /* that raises it; the capital lowers it; "" where there is none */
const char *app_control_config(enum control c);
enum control app_control_of(const char *config_key); /* CONTROLS_ALL: none */
/* Its value: as asked for (the pending one while there is one), and whether that is still to be applied. */
char *app_control_text(const struct app *a, enum control c, bool *pending); /* the caller frees */
/* What really holds where that is something else than was asked for: "bf16" for auto, "now 4" after the ladder halved the batch. Empty otherwise. */
void app_control_really(const struct app *a, enum control c, char *out, size_t size);
void app_change_control(struct app *a, enum control c, int step);
/* A typed value; false and a message on the status line when it is no value. */
bool app_type_control(struct app *a, enum control c, const char *text);
void app_forecast(struct app *a); /* of what is pending, anew */
void app_apply_pending(struct app *a);
void app_drop_pending(struct app *a);
/* What the controls change, in a configuration of its own to try things with; config_free it. */
void app_copy_config(const struct app *a, struct config *out);
/* The configuration's settings to the engine. False and a message when they cannot be. */
bool app_apply_config(struct app *a);
enum precision app_precision(const struct app *a);      /* really in use, once a model is there */
int64_t app_total_memory(const struct app *a);          /* of the device with most models; 0 not known */
bool app_offers(const struct app *a, enum precision p); /* the device does better with it, or is not known yet */

/* app_advice.c */
void app_advise_once(struct app *a); /* when all models are open: tells what is recommended on this device */
void app_take_advice(struct app *a); /* makes it pending */

/* app_trials.c */
void app_fit(struct app *a);
void app_sweep(struct app *a, bool images);
void app_trials_cancel(struct app *a);
void app_trials_take(struct app *a, struct event *e); /* EV_TRIAL */
void app_sweep_take_cell(struct app *a);              /* the cursor's cell becomes the setting */
void app_sweep_write(struct app *a);
void app_trials_free(struct app *a);

/* app_profiles.c */
void app_profiles_open(struct app *a);
void app_profile_apply(struct app *a);
void app_profile_save(struct app *a, const char *name);
void app_profile_delete(struct app *a);
void app_profiles_free(struct app *a);

/* app_models.c */
void app_models_open(struct app *a);
void app_models_look(struct app *a, const char *name); /* at this one, which a person typed, or with NULL at all again */
void app_models_take(struct app *a, struct event *e);  /* EV_CANDIDATE */
void app_swap(struct app *a, enum model_kind kind, const char *name, const char *path);
bool app_swap_command(struct app *a, const char *key, const char *name); /* ":clip NAME"; false: it is another command */
void app_swapped(struct app *a, const struct event *e);                  /* EV_SWAPPED */
void app_models_free(struct app *a);

/* keys.c */
void keys_read(struct app *a);                 /* all waiting keys and mouse events */
void keys_open(struct app *a, enum mode mode); /* an overlay, or the line below */
void keys_close(struct app *a);                /* whatever is open */
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
void view_settings(struct app *a);
void view_fit(struct app *a);
void view_sweep(struct app *a);
void view_profiles(struct app *a);
void view_stats(struct app *a);
void view_models(struct app *a);
/* A box in the middle of the screen, as large as asked for or as there is room, filled in the overlay's colour. Returns its inside. */
struct rect view_box(const struct app *a, int height, int width, const char *title);
/* "9.12G", "320M": three significant digits and a unit. Returns out. */
const char *view_size(int64_t bytes, char out[16]);
/* The cells of a control of the panel, for drawing and for clicks; height 0 where it is scrolled out of sight. */
struct rect view_control_place(const struct app *a, enum control c);
/* What stands in answers.failure without the folder, which the title shows. Points into failure. */
const char *app_short_failure(const struct app *a, const char *failure);
int view_browser_rows(const struct layout *l); /* rows of the list that fit */

#endif
