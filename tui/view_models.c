/* view_models.c - the models at hand and what each would hold in its lane, drawn over the panels. */
#include <stdio.h>
#include <string.h>

#include "core/forecast.h"
#include "core/utf8.h"
#include "tui/app.h"

enum { BOX_COLUMNS = 96, KIND_COLUMNS = 11, SIZE_COLUMNS = 8, LIST_ROWS = 8, DETAIL_ROWS = 5 };

static const char *name_of(const struct candidate *c, char *out, size_t size)
{
	utf8_escape(c->name, strlen(c->name), out, size);
	return out;
}

/* A long name gives way at its beginning: paths differ at their end. */
static void draw_name(const struct app *a, const struct candidate *c, int y, int x, int width, enum theme_role role)
{
	char shown[1024];
	const char *text = name_of(c, shown, sizeof shown);
	int columns = draw_columns(text), cut = 0;

	draw_field(&a->canvas, y, x, width, role, columns > width ? "" : text);
	if (columns <= width)
		return;
	while (columns > width - 2 && *text) {
		do
			text++;
		while ((*text & 0xc0) == 0x80);
		columns = draw_columns(text);
	}
	cut = draw_text(&a->canvas, y, x, width, role, a->canvas.utf8 ? "…" : "<");
	draw_text(&a->canvas, y, x + cut, width - cut, role, text);
}

static void draw_row(const struct app *a, const struct candidate *c, bool chosen, int y, const struct rect *in)
{
	int sizes = in->left + in->width - 2 - 2 * SIZE_COLUMNS, x = in->left + 1, name = x + 2 + KIND_COLUMNS;
	enum theme_role role = chosen ? ROLE_SELECTION : c->known ? ROLE_OVERLAY : ROLE_DIM;
	char size[16];

	draw_text(&a->canvas, y, x, 1, ROLE_MARK, c->in_use ? draw_symbol(&a->canvas, SYM_MARK) : " ");
	draw_field(&a->canvas, y, x + 2, KIND_COLUMNS, ROLE_DIM, c->known ? app_model_name(c->info.kind) : "-");
	draw_name(a, c, y, name, sizes - name - 1, role);
	draw_format(&a->canvas, y, sizes, SIZE_COLUMNS, ROLE_DIM, "%*s", SIZE_COLUMNS, c->bytes ? view_size(c->bytes, size) : "");
	if (c->known)
		draw_format(&a->canvas, y, sizes + SIZE_COLUMNS, SIZE_COLUMNS, c->fits ? ROLE_VALUE : ROLE_ALERT, "%*s", SIZE_COLUMNS,
			    view_size(forecast_whole(&c->forecast), size));
}

static void draw_list(const struct app *a, const struct rect *in, int rows)
{
	const struct models *m = &a->models;
	int sizes = in->left + in->width - 2 - 2 * SIZE_COLUMNS, top = m->row >= rows ? m->row - rows + 1 : 0;

	draw_format(&a->canvas, in->top, in->left + 3, sizes - in->left - 3, ROLE_HEADING, "%-*s%s", KIND_COLUMNS, "answers", "model");
	draw_format(&a->canvas, in->top, sizes, 2 * SIZE_COLUMNS, ROLE_HEADING, "%*s%*s", SIZE_COLUMNS, "on disk", SIZE_COLUMNS, "needs");
	for (int i = top; i < m->n && i - top < rows; i++)
		draw_row(a, m->list[i], i == m->row, in->top + 1 + i - top, in);
	if (m->looking && m->n - top < rows)
		draw_format(&a->canvas, in->top + 1 + m->n - top, in->left + 3, in->width - 4, ROLE_PENDING, "%s looking",
			    draw_spinner(&a->canvas, a->tick));
}

/* What the model is, in a line. */
static void describe(const struct candidate *c, char *out, size_t size)
{
	const struct model_info *i = &c->info;
	char image[40] = "";

	if (i->image_size)
		snprintf(image, sizeof image, ", %d px", i->image_size);
	snprintf(out, size, "%s, %.1f M parameters in %s%s, %s", i->architecture, 1e-6 * (double)i->parameters, i->precision, image, c->source);
}

/* How memory would stand with it, against what stands now. */
static void draw_forecast(const struct app *a, const struct candidate *c, int y, int x, int width)
{
	struct engine_settings settings = engine_get_settings(a->engine);
	enum theme_role role = c->fits ? ROLE_VALUE : ROLE_ALERT;
	struct engine_forecast now;
	char would[16], is[16], limit[16];
	int used;

	if (!engine_forecast(a->engine, &settings, &now))
		now.used = 0;
	used = draw_format(&a->canvas, y, x, width, role, "with it at most %s of %s", view_size(c->used, would), view_size(c->limit, limit));
	used += draw_format(&a->canvas, y, x + used, width - used, ROLE_DIM, ", now %s%s", view_size(now.used, is),
			    c->fits ? "" : ": does not fit, steps down would follow");
	draw_bar(&a->canvas, y + 1, x, width, c->limit > 0 ? (double)c->used / (double)c->limit : 1, c->fits ? ROLE_GHOST : ROLE_ALERT,
		 ROLE_BAR_BACK);
}

static void draw_chosen(const struct app *a, const struct candidate *c, int y, int x, int width)
{
	char line[400], path[1024];
	int rows;

	if (!c->known) {
		draw_wrapped(&a->canvas, y, x, width, DETAIL_ROWS - 1, ROLE_WARNING, c->problem ? c->problem : "it cannot be used", false);
		return;
	}
	describe(c, line, sizeof line);
	draw_text(&a->canvas, y, x, width, ROLE_OVERLAY, line);
	utf8_escape(c->path, strlen(c->path), path, sizeof path);
	rows = draw_columns(path) <= width;
	if (rows)
		draw_text(&a->canvas, y + 1, x, width, ROLE_DIM, path);
	draw_forecast(a, c, y + 1 + rows, x, width);
}

void view_models(struct app *a)
{
	const struct models *m = &a->models;
	int wanted = (m->n > LIST_ROWS ? m->n : LIST_ROWS) + DETAIL_ROWS + 5;
	struct rect in = view_box(a, wanted < a->layout.rows - 4 ? wanted : a->layout.rows - 4, BOX_COLUMNS, "models at hand");
	int rows = in.height - DETAIL_ROWS - 3, x = in.left + 1, width = in.width - 2, y = in.top + in.height - 1, used;

	draw_list(a, &in, rows);
	if (a->message[0] && !m->typing)
		draw_wrapped(&a->canvas, y - DETAIL_ROWS, x, width, DETAIL_ROWS - 1, a->message_role, a->message, false);
	else if (m->row < m->n)
		draw_chosen(a, m->list[m->row], y - DETAIL_ROWS, x, width);
	if (m->typing) {
		used = draw_text(&a->canvas, y, x, width, ROLE_KEY, "name or folder: ");
		move(y, draw_edited(&a->canvas, y, x + used, width - used, ROLE_VALUE, a->line.line[0], a->line.at));
	} else {
		draw_text(&a->canvas, y, x, width, ROLE_DIM, "Enter swaps  n or / names another  r looks again  Esc closes");
	}
}
