/* layout.c - see layout.h. */
#include "tui/layout.h"

enum {
	BOTTOM_ROWS = 6,       /* of the memory and controls panels with frames */
	BOTTOM_MOST = 11,      /* where the screen is high */
	FRAMED_MIN_ROWS = 22,  /* below this they are compact */
	LIST_MIN_COLUMNS = 76, /* below this the list goes */
};

static int clamp(int value, int low, int high)
{
	return value < low ? low : value > high ? high : value;
}

static void place_top(struct layout *l, int top, int height)
{
	int columns = l->columns, list = columns >= LIST_MIN_COLUMNS ? clamp(columns / 4 - 4, 16, 40) : 0;
	int answers = clamp((columns - list) * 2 / 5, list ? 34 : 30, 60), picture = columns - list - answers;

	if (list)
		l->panel[PANEL_BROWSER] = (struct rect){top, 0, height, list};
	l->panel[PANEL_PICTURE] = (struct rect){top, list, height, picture};
	l->panel[PANEL_ANSWERS] = (struct rect){top, list + picture, height, answers};
}

static void place_bottom(struct layout *l, int top, int height)
{
	int half = l->columns / 2;

	if (l->compact) {
		l->panel[PANEL_MEMORY] = (struct rect){top, 0, 1, l->columns};
		l->panel[PANEL_CONTROLS] = (struct rect){top + 1, 0, 1, l->columns};
		return;
	}
	l->panel[PANEL_MEMORY] = (struct rect){top, 0, height, half};
	l->panel[PANEL_CONTROLS] = (struct rect){top, half, height, l->columns - half};
}

struct layout layout_compute(int rows, int columns)
{
	struct layout l = {.rows = rows, .columns = columns, .too_small = rows < LAYOUT_MIN_ROWS || columns < LAYOUT_MIN_COLUMNS};
	int bottom;

	if (l.too_small)
		return l;
	l.compact = rows < FRAMED_MIN_ROWS;
	bottom = l.compact ? 2 : clamp(rows / 4, BOTTOM_ROWS, BOTTOM_MOST);
	l.panel[PANEL_TITLE] = (struct rect){0, 0, 1, columns};
	l.panel[PANEL_STATUS] = (struct rect){rows - 1, 0, 1, columns};
	place_top(&l, 1, rows - 2 - bottom);
	place_bottom(&l, rows - 1 - bottom, bottom);
	return l;
}

int layout_at(const struct layout *l, int y, int x)
{
	for (int i = 0; i < PANELS; i++) {
		const struct rect *r = &l->panel[i];

		if (y >= r->top && y < r->top + r->height && x >= r->left && x < r->left + r->width)
			return i;
	}
	return -1;
}
