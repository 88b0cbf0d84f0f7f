/* view_overlays.c - help and the label editor, drawn over the panels. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tui/app.h"

struct rect view_box(const struct app *a, int height, int width, const char *title)
{
	struct rect r = {.height = height < a->layout.rows - 2 ? height : a->layout.rows - 2,
			 .width = width < a->layout.columns - 2 ? width : a->layout.columns - 2};

	r.top = (a->layout.rows - r.height) / 2;
	r.left = (a->layout.columns - r.width) / 2;
	draw_blank(&a->canvas, &r, ROLE_OVERLAY);
	return draw_frame(&a->canvas, &r, true, true, title);
}

enum { KEY_COLUMNS = 11, HELP_COLUMNS = KEY_COLUMNS + 27 };

void view_help(struct app *a)
{
	int n, columns, rows, split;
	const struct key_help *help = keys_help(&n);
	struct rect in;

	columns = n + 6 > a->layout.rows && a->layout.columns >= 2 * HELP_COLUMNS + 4 ? 2 : 1;
	split = (n + columns - 1) / columns;
	in = view_box(a, split + 4, columns * HELP_COLUMNS + 3, "keys");
	rows = in.height - 2;
	a->help_scrolls = rows < split;
	a->help_top = a->help_top > split - rows ? split - rows : a->help_top;
	a->help_top = a->help_top < 0 ? 0 : a->help_top;
	for (int i = 0; i < n; i++) {
		int x = in.left + 1 + i / split * HELP_COLUMNS, row = i % split - a->help_top;

		if (row < 0 || row >= rows)
			continue;
		draw_text(&a->canvas, in.top + row, x, KEY_COLUMNS - 1, ROLE_KEY, help[i].keys);
		draw_text(&a->canvas, in.top + row, x + KEY_COLUMNS, HELP_COLUMNS - KEY_COLUMNS, ROLE_OVERLAY, help[i].what);
	}
	draw_text(&a->canvas, in.top + rows, in.left + 1, in.width - 2, ROLE_DIM, a->terminal.description);
	draw_text(&a->canvas, in.top + rows + 1, in.left + 1, in.width - 2, ROLE_DIM,
		  a->help_scrolls ? "j k scroll, other keys close" : "any key closes");
}

/* The score that a line of the draft has now, if it is one of the labels in use; else NaN. */
static float draft_score(const struct app *a, const char *text)
{
	int64_t id = app_selected(a);
	const struct answers *w = id < 0 ? NULL : catalog_picture(a->catalog, (uint32_t)id)->answers;

	if (!w || !w->probability || w->scores_epoch != a->epoch)
		return NAN;
	for (int i = 0; i < a->labels.n && i < w->scores_n; i++)
		if (!strcmp(a->labels.line[i], text))
			return w->probability[i];
	return NAN;
}

/* Over the answers where they are wide enough, so that the caption and the picture stay in sight. */
static struct rect editor_box(const struct app *a)
{
	const struct rect *answers = &a->layout.panel[PANEL_ANSWERS];
	int width = answers->width > 48 ? answers->width : 48, height = a->draft.n + 4 > 9 ? a->draft.n + 4 : 9, room = answers->height - 4;
	struct rect r = {.height = height < room ? height : room, .width = width < a->layout.columns ? width : a->layout.columns};

	r.top = answers->top + 4;
	r.left = a->layout.columns - r.width;
	return r;
}

void view_label_editor(struct app *a)
{
	const struct editor *e = &a->draft;
	struct rect box = editor_box(a), in;
	int rows, top, x = 0;

	draw_blank(&a->canvas, &box, ROLE_OVERLAY);
	in = draw_frame(&a->canvas, &box, true, true, "labels, one per line");
	rows = in.height - 1;
	top = e->row >= rows ? e->row - rows + 1 : 0;
	for (int i = top; i < e->n && i - top < rows; i++) {
		float score = draft_score(a, e->line[i]);
		int cursor = draw_edited(&a->canvas, in.top + i - top, in.left + 1, in.width - 9, ROLE_OVERLAY, e->line[i], i == e->row ? e->at : 0);

		if (i == e->row)
			x = cursor;
		if (!isnan(score))
			draw_format(&a->canvas, in.top + i - top, in.left + in.width - 7, 6, ROLE_OVERLAY, "%6.1f", 100 * (double)score);
	}
	draw_text(&a->canvas, in.top + in.height - 1, in.left + 1, in.width - 2, ROLE_DIM, "Enter use  ^S try  ; new  ^K drop  Esc back");
	move(in.top + e->row - top, x);
}
