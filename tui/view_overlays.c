/* view_overlays.c - help and the label editor, drawn over the panels. */
#include <stdio.h>
#include <string.h>

#include "tui/app.h"

/* A box in the middle of the screen, its inside filled in the overlay's colour. */
static struct rect open_box(const struct app *a, int height, int width, const char *title)
{
	struct rect r = {.height = height < a->layout.rows - 2 ? height : a->layout.rows - 2, .width = width < a->layout.columns - 2 ? width : a->layout.columns - 2};

	r.top = (a->layout.rows - r.height) / 2;
	r.left = (a->layout.columns - r.width) / 2;
	draw_blank(&a->canvas, &r, ROLE_OVERLAY);
	return draw_frame(&a->canvas, &r, true, true, title);
}

void view_help(struct app *a)
{
	int n, split, columns;
	const struct key_help *help = keys_help(&n);
	struct rect in;

	columns = a->layout.rows - 6 >= n ? 1 : 2;
	split = (n + columns - 1) / columns;
	in = open_box(a, split + 4, columns == 1 ? 74 : a->layout.columns - 2, "keys");
	for (int i = 0; i < n; i++) {
		int width = in.width / columns, x = in.left + 1 + i / split * width, y = in.top + i % split;

		if (y >= in.top + in.height - 1)
			continue;
		draw_field(&a->canvas, y, x, 16, ROLE_KEY, help[i].keys);
		draw_text(&a->canvas, y, x + 16, width - 17, ROLE_OVERLAY, help[i].what);
	}
	draw_format(&a->canvas, in.top + in.height - 1, in.left + 1, in.width - 2, ROLE_DIM, "%s   any key closes", a->terminal.description);
}

void view_label_editor(struct app *a)
{
	const struct editor *e = &a->draft;
	struct rect in = open_box(a, e->n + 4 > 8 ? e->n + 4 : 8, 60, "labels, one per line");
	int rows = in.height - 2, top = e->row >= rows ? e->row - rows + 1 : 0, x;
	char before[EDITOR_LINE_BYTES + 4];

	for (int i = 0; i < rows && top + i < e->n; i++)
		draw_field(&a->canvas, in.top + i, in.left + 1, in.width - 2, ROLE_OVERLAY, e->line[top + i]);
	draw_text(&a->canvas, in.top + in.height - 1, in.left + 1, in.width - 2, ROLE_DIM, "Enter apply   ; new label   ^K delete   Esc cancel");
	snprintf(before, sizeof before, "%.*s", e->at, e->line[e->row]);
	x = draw_columns(before);
	move(in.top + e->row - top, in.left + 1 + (x < in.width - 2 ? x : in.width - 3));
}
