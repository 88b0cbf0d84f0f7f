/* keys_mouse.c - clicks and the wheel. See keys_private.h. */
#include "tui/keys_private.h"

/* A click chooses the control; on its arrows, or on its value when it was chosen already, it changes it. */
static void click_control(struct app *a, int y, int x)
{
	enum { ARROW = 12 }; /* the column of the left one, where there are arrows */

	for (int c = 0; c < CONTROLS; c++) {
		struct rect r = view_control_place(a, (enum control)c);
		bool chosen = a->focus == PANEL_CONTROLS && a->control == (enum control)c, arrows = !a->layout.compact && x >= r.left + ARROW;

		if (y != r.top || x < r.left || x >= r.left + r.width)
			continue;
		a->control = (enum control)c;
		if (arrows || chosen)
			app_change_control(a, a->control, arrows && x < r.left + ARROW + 2 ? -1 : 1);
	}
	keys_focus(a, PANEL_CONTROLS);
}

static void click(struct app *a, int y, int x)
{
	int panel = layout_at(&a->layout, y, x);
	const struct rect *r = panel < 0 ? NULL : &a->layout.panel[panel];

	if (panel == PANEL_BROWSER) {
		keys_focus(a, PANEL_BROWSER);
		if (y > r->top && y < r->top + r->height - 1 && a->top + y - r->top - 1 < catalog_rows(a->catalog))
			app_select(a, a->top + y - r->top - 1);
	} else if (panel == PANEL_ANSWERS) {
		keys_focus(a, PANEL_ANSWERS);
	} else if (panel == PANEL_CONTROLS) {
		click_control(a, y, x);
	}
}

void keys_mouse(struct app *a)
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
