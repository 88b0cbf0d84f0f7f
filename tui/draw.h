/* draw.h - text, bars, frames and graphs on the screen, clipped and in the theme's roles. UI thread.
 *
 * Text is UTF-8 that is already printable (utf8_escape); columns are counted by wcwidth. Where the locale is not UTF-8, everything has an ASCII form.
 */
#ifndef TUI_DRAW_H
#define TUI_DRAW_H

#include <stdbool.h>
#include <stdint.h>

#include "tui/layout.h"
#include "tui/theme.h"

struct canvas {
	const struct theme *theme;
	bool utf8;    /* text may hold more than ASCII */
	bool symbols; /* and the font holds our symbols */
};

/* Writes text at (y, x) in at most `width` columns, cut with … when it does not fit. Returns the columns used. */
int draw_text(const struct canvas *c, int y, int x, int width, enum theme_role role, const char *text);
/* As draw_text, then blanks up to width. */
void draw_field(const struct canvas *c, int y, int x, int width, enum theme_role role, const char *text);
int draw_format(const struct canvas *c, int y, int x, int width, enum theme_role role, const char *fmt, ...) __attribute__((format(printf, 6, 7)));
/* As draw_format, but only where all of it fits; else draws nothing and returns 0. For rows of facts that give way one by one. */
int draw_whole(const struct canvas *c, int y, int x, int width, enum theme_role role, const char *fmt, ...) __attribute__((format(printf, 6, 7)));
int draw_columns(const char *text); /* columns that text takes */
void draw_blank(const struct canvas *c, const struct rect *r, enum theme_role role);
/* A frame with a title in its upper edge; the inside is blanked unless keep is set. Returns the inside. */
struct rect draw_frame(const struct canvas *c, const struct rect *r, bool focused, bool keep, const char *title);
/* A bar of fraction 0..1 in eighths of a cell. */
void draw_bar(const struct canvas *c, int y, int x, int width, double fraction, enum theme_role role, enum theme_role back);
/* A bar of parts, told apart by colour, by their fill and by a mark in their first cell, so that they can be told apart without colours too. */
enum bar_fill { BAR_SOLID, BAR_CACHE, BAR_OTHERS, BAR_FREE };
struct bar_part {
	int64_t value;
	enum theme_role role;
	enum bar_fill fill;
	const char *mark; /* one ASCII character; NULL: none */
};
enum { BAR_PARTS = 16 };
/* The cells of `width` that each part takes: its share of total, at least one where there is anything; BAR_FREE parts take what is left. Pure. */
void draw_shares(const struct bar_part *part, int n, int64_t total, int width, int cells[BAR_PARTS]);
void draw_parts(const struct canvas *c, int y, int x, const struct bar_part *part, const int *cells, int n);
/* The newest values of a series as one line of vertical eighths, the right end newest. */
void draw_graph(const struct canvas *c, int y, int x, int width, const int64_t *value, int n, int64_t top, enum theme_role role);
/* An editable line, scrolled sideways so that byte `at` is seen; the rest is blanked. Returns the cursor's column. */
int draw_edited(const struct canvas *c, int y, int x, int width, enum theme_role role, const char *text, int at);
/* Wraps text at blanks into lines of at most width columns and draws up to max lines; returns how many. cursor: a block after the last character. */
int draw_wrapped(const struct canvas *c, int y, int x, int width, int max, enum theme_role role, const char *text, bool cursor);
/* Symbols with an ASCII form. */
enum symbol { SYM_DONE, SYM_FAILED, SYM_PENDING, SYM_WORKING, SYM_MARK, SYM_CURSOR, SYM_LEFT, SYM_RIGHT, SYM_NEUTRAL, SYM_UNSUPPORTED, SYMBOLS };
const char *draw_symbol(const struct canvas *c, enum symbol s);
/* One of the spinner's frames. */
const char *draw_spinner(const struct canvas *c, int tick);

#endif
