/* layout.h - which panel stands where, for any terminal size. Pure arithmetic. */
#ifndef TUI_LAYOUT_H
#define TUI_LAYOUT_H

#include <stdbool.h>

enum panel { PANEL_TITLE, PANEL_BROWSER, PANEL_PICTURE, PANEL_ANSWERS, PANEL_MEMORY, PANEL_CONTROLS, PANEL_STATUS, PANELS };

struct rect {
	int top, left, height, width; /* height 0: the panel is dropped */
};

enum { LAYOUT_MIN_COLUMNS = 60, LAYOUT_MIN_ROWS = 16 };

struct layout {
	int rows, columns;
	bool too_small; /* nothing fits: one line says what is needed */
	bool compact;   /* memory and controls are one line each, without frames */
	struct rect panel[PANELS];
};

/* Panels go in this order as the room shrinks: memory and controls get fewer rows, then lose their frames, then the list goes. Panels never overlap and
 * fill the screen. */
struct layout layout_compute(int rows, int columns);
/* The panel at a cell, or -1. */
int layout_at(const struct layout *l, int y, int x);

#endif
