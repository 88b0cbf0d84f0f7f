/* theme.h - colours by role, from themes/NAME.theme, brought down to what the terminal has. UI thread.
 *
 * A theme file holds `role = foreground [on background] [bold|dim|reverse|underline|italic]…` lines; a colour is #rrggbb, a name (red, bright-red, …) or
 * `default`; # at the start of a line is a comment. NO_COLOR or a terminal without colours leaves the attributes only.
 */
#ifndef TUI_THEME_H
#define TUI_THEME_H

#include <ncurses.h>
#include <stdbool.h>

#include "core/error.h"

enum theme_role {
	ROLE_TEXT,   /* ordinary text */
	ROLE_DIM,    /* secondary text, units, hints */
	ROLE_TITLE,  /* top line */
	ROLE_BORDER, /* frames */
	ROLE_BORDER_FOCUS,
	ROLE_HEADING,   /* panel titles */
	ROLE_SELECTION, /* the list's cursor row */
	ROLE_MARK,      /* marked pictures */
	ROLE_DONE,
	ROLE_PENDING,
	ROLE_FAILED,
	ROLE_UNSUPPORTED,
	ROLE_CAPTION,
	ROLE_BAR, /* CLIP bars */
	ROLE_BAR_BACK,
	ROLE_ENTAIL,
	ROLE_NEUTRAL,
	ROLE_CONTRADICT,
	ROLE_WEIGHTS,
	ROLE_ACTIVATIONS,
	ROLE_CACHE,
	ROLE_OTHERS,
	ROLE_FREE, /* memory bar */
	ROLE_GRAPH,
	ROLE_VALUE, /* a control's value */
	ROLE_VALUE_FOCUS,
	ROLE_KEY,    /* key names in hints */
	ROLE_STATUS, /* status line */
	ROLE_WARNING,
	ROLE_ERROR,
	ROLE_OVERLAY, /* help, editor, menus */
	/* Later additions: a theme that does not mention one has it look like another (see theme.c). */
	ROLE_WEIGHTS_2, /* of the second and third model */
	ROLE_WEIGHTS_3,
	ROLE_KV,            /* key and value caches */
	ROLE_GHOST,         /* what a setting would hold, before it is applied */
	ROLE_LIMIT,         /* cap and reserve on the bar */
	ROLE_ALERT,         /* does not fit, stalled, failing */
	ROLE_PENDING_VALUE, /* a control's value that is not applied yet */
	ROLE_HEAT_1,        /* the sweep's cells, slowest … */
	ROLE_HEAT_2,
	ROLE_HEAT_3,
	ROLE_HEAT_4,
	ROLE_HEAT_5, /* … fastest */
	ROLES
};

struct theme;

/* Reads the theme by name (searched in the user's themes folder, then ours) or by path, and makes its pairs. Curses must be started. */
struct theme *theme_load(const char *name, struct error *err);
struct theme *theme_plain(void); /* attributes only; for when no file can be read */
void theme_free(struct theme *t);
const char *theme_name(const struct theme *t);
/* All theme names found, sorted, malloc'd; for `t`. */
int theme_list(char ***names);
void theme_free_list(char **names, int n);

/* Sets the window's attributes and pair for what is written next. */
void theme_set(const struct theme *t, WINDOW *w, enum theme_role role);
/* While on, roles without a background of their own stand on the overlay's. */
void theme_over(struct theme *t, bool on);

#endif
