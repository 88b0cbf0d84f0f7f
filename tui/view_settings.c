/* view_settings.c - every setting with its value and where it came from, drawn over the panels. */
#include <stdlib.h>
#include <string.h>

#include "tui/app.h"

enum { NAME_COLUMNS = 20, VALUE_COLUMNS = 16, BOX_COLUMNS = 78 };

static const char *help_of(const char *key)
{
	size_t n;
	const struct config_row *rows = config_rows(&n);

	for (size_t i = 0; i < n; i++)
		if (!strcmp(rows[i].key, key))
			return rows[i].help;
	return "";
}

static void draw_value(const struct app *a, enum control c, int y, int x, int width, int *cursor)
{
	bool chosen = a->control == c, pending;
	char *value = app_control_text(a, c, &pending), really[32];
	int used;

	app_control_really(a, c, really, sizeof really);
	if (chosen && a->typing) {
		*cursor = draw_edited(&a->canvas, y, x + 2, width - 2, ROLE_VALUE, a->line.line[0], a->line.at);
	} else if (pending) {
		draw_format(&a->canvas, y, x + 1, width - 1, ROLE_PENDING_VALUE, "%s%s%s", draw_symbol(&a->canvas, SYM_RIGHT), value,
			    draw_symbol(&a->canvas, SYM_LEFT));
	} else {
		draw_text(&a->canvas, y, x, 1, ROLE_KEY, chosen ? draw_symbol(&a->canvas, SYM_LEFT) : " ");
		used = 2 + draw_text(&a->canvas, y, x + 2, width - 4, chosen ? ROLE_VALUE_FOCUS : ROLE_VALUE, value);
		used += draw_whole(&a->canvas, y, x + used, width - used - 2, ROLE_WARNING, really[0] ? " %s" : "%s", really);
		draw_text(&a->canvas, y, x + used + 1, 1, ROLE_KEY, chosen ? draw_symbol(&a->canvas, SYM_RIGHT) : " ");
	}
	free(value);
}

static void draw_row(const struct app *a, enum control c, int y, const struct rect *in, int *cursor)
{
	const char *key = app_control_config(c);
	char *origin = config_origin_text(config_origin(a->config, key));
	int x = in->left + 1, right = in->left + in->width - 1;

	draw_text(&a->canvas, y, x, 1, ROLE_KEY, app_control_key(c));
	draw_text(&a->canvas, y, x + 2, NAME_COLUMNS - 1, a->control == c ? ROLE_HEADING : ROLE_OVERLAY, key);
	x += 2 + NAME_COLUMNS;
	draw_value(a, c, y, x, VALUE_COLUMNS + 3, cursor);
	x += VALUE_COLUMNS + 4;
	draw_text(&a->canvas, y, x, right - x, ROLE_DIM, origin);
	free(origin);
}

/* The pending setting's forecast where there is one, else what the chosen setting means. */
static void draw_foot(const struct app *a, int y, const struct rect *in)
{
	const struct pending *p = &a->pending;
	int x = in->left + 1, width = in->width - 2;
	char wanted[16], limit[16];

	if (a->message[0])
		draw_text(&a->canvas, y, x, width, a->message_role, a->message);
	else if (p->on && p->known)
		draw_format(&a->canvas, y, x, width, p->wanted.fits ? ROLE_GHOST : ROLE_ALERT, "forecast peak %s: %s %s",
			    view_size(p->wanted.used, wanted), p->wanted.fits ? "fits in" : "does not fit in", view_size(p->wanted.limit, limit));
	else
		draw_text(&a->canvas, y, x, width, ROLE_DIM, help_of(app_control_config(a->control)));
	draw_text(&a->canvas, y + 1, x, width, ROLE_DIM,
		  a->typing       ? "Enter takes it, Esc keeps what was"
		  : a->pending.on ? "Enter applies, Esc drops"
				  : "h l change, Enter types a value, p profiles, Esc closes");
}

void view_settings(struct app *a)
{
	struct rect in = view_box(a, CONTROLS_ALL + 5, BOX_COLUMNS, "settings, live");
	int rows = in.height - 3, top = (int)a->control - rows / 2, cursor = 0;

	top = top > CONTROLS_ALL - rows ? CONTROLS_ALL - rows : top;
	top = top < 0 ? 0 : top;
	for (int i = 0; i < rows && top + i < CONTROLS_ALL; i++)
		draw_row(a, (enum control)(top + i), in.top + i, &in, &cursor);
	if (top + rows < CONTROLS_ALL)
		draw_format(&a->canvas, in.top + in.height - 3, in.left + 1, in.width - 2, ROLE_DIM, "%d more", CONTROLS_ALL - top - rows);
	draw_foot(a, in.top + in.height - 2, &in);
	if (a->typing)
		move(in.top + (int)a->control - top, cursor);
}
