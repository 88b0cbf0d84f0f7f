/* view_trials.c - fit and sweep while they run, and what they found, drawn over the panels. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tui/app.h"

/* ---- fit ------------------------------------------------------------------------------------------------------------------------------------ */

void view_fit(struct app *a)
{
	const struct trials *t = &a->trials;
	bool running = t->running == TRIALS_FIT;
	struct rect in = view_box(a, FIT_LINES + 6, 90, "fit: the largest batch that runs");
	int x = in.left + 1, width = in.width - 2, y = in.top, room = in.height - 4, first = t->lines > room ? t->lines - room : 0;

	for (int i = first; i < t->lines; i++)
		draw_format(&a->canvas, y++, x, width, t->good[i] ? ROLE_DONE : ROLE_FAILED, "%s %s",
			    draw_symbol(&a->canvas, t->good[i] ? SYM_DONE : SYM_FAILED), t->line[i]);
	if (running)
		draw_format(&a->canvas, y, x, width, ROLE_PENDING, "%s batch %-4d trying", draw_spinner(&a->canvas, a->tick), fit_next(&t->fit));
	y = in.top + in.height - 3;
	draw_bar(&a->canvas, y, x, width, t->fit.state == FIT_DONE ? 1 : (double)fit_tries_done(&t->fit) / fit_tries_most(&t->fit), ROLE_BAR,
		 ROLE_BAR_BACK);
	if (t->result[0])
		draw_wrapped(&a->canvas, y + 1, x, width, 2, t->fit.state == FIT_DONE && fit_batch(&t->fit) ? ROLE_DONE : ROLE_WARNING, t->result,
			     false);
	if (running)
		draw_format(&a->canvas, y + 2, x, width, ROLE_DIM, "try %d of at most %d; Esc cancels and puts batch %d back",
			    fit_tries_done(&t->fit) + 1, fit_tries_most(&t->fit), t->base.batch);
	else if (draw_columns(t->result) <= width)
		draw_text(&a->canvas, y + 2, x, width, ROLE_DIM, "any key closes");
}

/* ---- sweep ---------------------------------------------------------------------------------------------------------------------------------- */

enum { HEAD_COLUMNS = 10, HEAD_IMAGES = 16, CELL_MOST = 12, CELL_LEAST = 7, HEATS = ROLE_HEAT_5 - ROLE_HEAT_1 + 1 };

/* Where between the slowest and the fastest cell so far; speeds differ by factors, so by their logarithms. */
static enum theme_role heat_of(const struct sweep *s, double images_per_s)
{
	double least = images_per_s, most = images_per_s;
	int heat;

	for (int i = 0; i < s->cells; i++)
		if (s->cell[i].state == SWEEP_FITS && s->cell[i].images_per_s > 0) {
			least = fmin(least, s->cell[i].images_per_s);
			most = fmax(most, s->cell[i].images_per_s);
		}
	if (least <= 0 || most <= least)
		return ROLE_HEAT_3;
	heat = (int)(log(images_per_s / least) / log(most / least) * HEATS);
	return (enum theme_role)(ROLE_HEAT_1 + (heat < HEATS ? heat : HEATS - 1));
}

/* "41.2": three digits, whatever their size. */
static const char *speed_text(double images_per_s, char out[16])
{
	snprintf(out, 16, images_per_s >= 100 ? "%.0f" : images_per_s >= 10 ? "%.1f" : "%.2f", images_per_s);
	return out;
}

/* Two lines: images/s and peak, in the heat of its speed; * the best, + on the Pareto front. The cursor's cell stands in brackets. */
static void draw_cell(const struct app *a, int row, int column, int y, int x, int width)
{
	const struct trials *t = &a->trials;
	const struct sweep *s = &t->sweep;
	int at = row * s->columns + column;
	const struct sweep_cell *c = &s->cell[at];
	bool cursor = row == t->row && column == t->column, best = at == sweep_best(s, t->limit);
	enum theme_role role = ROLE_DIM;
	char top[48] = "", bottom[48] = "", speed[16], peak[16];

	if (c->state == SWEEP_FITS) {
		role = heat_of(s, c->images_per_s);
		snprintf(top, sizeof top, "%s%s", speed_text(c->images_per_s, speed), best ? "*" : sweep_is_pareto(s, at) ? "+" : "");
		snprintf(bottom, sizeof bottom, "%s", view_size(c->peak, peak));
	} else if (c->state == SWEEP_NO_FIT) {
		role = ROLE_FAILED;
		snprintf(top, sizeof top, "%s", c->skipped ? "" : "full");
		snprintf(bottom, sizeof bottom, "%s", draw_symbol(&a->canvas, SYM_FAILED));
	} else if (c->state == SWEEP_FAILED) {
		role = ROLE_ALERT;
		snprintf(top, sizeof top, "error");
	} else if (c->state == SWEEP_RUNNING) {
		role = ROLE_PENDING;
		snprintf(top, sizeof top, "%s", draw_spinner(&a->canvas, a->tick));
	} else {
		snprintf(top, sizeof top, "%s", c->state == SWEEP_CANCELLED ? "-" : draw_symbol(&a->canvas, SYM_PENDING));
	}
	draw_field(&a->canvas, y, x, width - 1, role, "");
	draw_field(&a->canvas, y + 1, x, width - 1, role, "");
	draw_text(&a->canvas, y, x + (width - draw_columns(top)) / 2, width - 1, role, top);
	draw_text(&a->canvas, y + 1, x + (width - draw_columns(bottom)) / 2, width - 1, role, bottom);
	for (int line = 0; cursor && line < 2; line++) {
		draw_text(&a->canvas, y + line, x, 1, ROLE_VALUE_FOCUS, "[");
		draw_text(&a->canvas, y + line, x + width - 2, 1, ROLE_VALUE_FOCUS, "]");
	}
}

/* What the cursor stands on, in words. */
static void draw_chosen(const struct app *a, int y, int x, int width)
{
	const struct trials *t = &a->trials;
	const struct sweep_cell *c = sweep_at(&t->sweep, t->row, t->column);
	char name[32], peak[16], speed[16];
	int used = draw_format(&a->canvas, y, x, width, ROLE_HEADING, "batch %d  %s  ", c->batch, sweep_row_name(&t->sweep, t->row, name));

	if (c->state == SWEEP_FITS)
		draw_format(&a->canvas, y, x + used, width - used, ROLE_OVERLAY, "%s images/s  peak %s%s", speed_text(c->images_per_s, speed),
			    view_size(c->peak, peak), t->limit && c->peak > t->limit ? ", into the reserve" : "");
	else
		draw_format(&a->canvas, y, x + used, width - used, ROLE_OVERLAY, "%s%s%s",
			    c->skipped ? "a smaller batch did not fit" : sweep_state_name(c->state), c->why[0] ? ": " : "", c->why);
}

static void draw_sweep_foot(const struct app *a, int y, int x, int width)
{
	const struct trials *t = &a->trials;
	bool running = t->running == TRIALS_SWEEP;
	int used = 0;

	draw_chosen(a, y, x, width);
	if (t->command)
		draw_text(&a->canvas, y + 1, x, width, ROLE_KEY, t->command);
	else if (a->message[0])
		draw_text(&a->canvas, y + 1, x, width, a->message_role, a->message);
	else
		draw_text(&a->canvas, y + 1, x, width, ROLE_DIM, "* best under cap and reserve  + no other is faster with less memory");
	if (running)
		used = draw_format(&a->canvas, y + 2, x, width, ROLE_PENDING, "%s %d of %d  ", draw_spinner(&a->canvas, a->tick),
				   sweep_finished(&t->sweep), t->sweep.cells);
	else if (t->result[0])
		used = draw_format(&a->canvas, y + 2, x, width, ROLE_WARNING, "%s  ", t->result);
	draw_text(&a->canvas, y + 2, x + used, width - used, ROLE_DIM,
		  running      ? "Esc cancels  Enter takes  w writes CSV"
		  : t->command ? "Esc closes"
			       : "Esc closes  Enter takes  w writes CSV  s again  z image sizes");
}

/* The cells that are seen, scrolled to the cursor: `left` and `top` first. */
struct grid {
	struct rect in;
	int head, width; /* columns of a row's name and of a cell */
	int left, columns, top, rows;
};

static struct grid place_grid(const struct app *a, const struct rect *in)
{
	const struct trials *t = &a->trials;
	struct grid g = {.in = *in, .head = t->images ? HEAD_IMAGES : HEAD_COLUMNS};
	int room = in->width - 2 - g.head;

	g.width = room / t->sweep.columns;
	g.width = g.width < CELL_LEAST ? CELL_LEAST : g.width > CELL_MOST ? CELL_MOST : g.width;
	g.columns = room / g.width < t->sweep.columns ? room / g.width : t->sweep.columns;
	g.rows = (in->height - 4) / 2 < t->sweep.rows ? (in->height - 4) / 2 : t->sweep.rows;
	g.left = t->column >= g.columns ? t->column - g.columns + 1 : 0;
	g.top = t->row >= g.rows ? t->row - g.rows + 1 : 0;
	return g;
}

void view_sweep(struct app *a)
{
	struct trials *t = &a->trials;
	const struct sweep *s = &t->sweep;
	int head = t->images ? HEAD_IMAGES : HEAD_COLUMNS;
	struct rect in = view_box(a, 2 * s->rows + 6, head + s->columns * CELL_MOST + 4, "sweep: images/s over peak memory");
	struct grid g = place_grid(a, &in);
	int x = in.left + 1 + g.head;
	char name[32];

	draw_text(&a->canvas, in.top, in.left + 1, g.head, ROLE_DIM, "batch");
	for (int i = 0; i < g.columns; i++)
		draw_format(&a->canvas, in.top, x + i * g.width + g.width / 2 - 1, g.width / 2, ROLE_HEADING, "%d", s->cell[g.left + i].batch);
	for (int i = 0; i < g.rows; i++) {
		int y = in.top + 1 + 2 * i;

		draw_text(&a->canvas, y, in.left + 1, g.head - 1, ROLE_HEADING, sweep_row_name(s, g.top + i, name));
		for (int k = 0; k < g.columns; k++)
			draw_cell(a, g.top + i, g.left + k, y, x + k * g.width, g.width);
	}
	draw_sweep_foot(a, in.top + in.height - 3, in.left + 1, in.width - 2);
}
