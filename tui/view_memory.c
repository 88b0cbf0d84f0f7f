/* view_memory.c - what tensors hold, and the controls. */
#include <stdio.h>
#include <string.h>

#include "tui/app.h"

enum { CONTROL_COLUMNS = 26 }; /* of a control in a frame: "v precision ‹ auto bf16 ›" */

static const char *const short_names[MODEL_KINDS] = {"clip", "caption", "nli"};

/* Three significant digits and a unit: "9.12G", "320M". */
static const char *size_text(int64_t bytes, char out[16])
{
	double value = (double)bytes;
	static const char units[] = "BKMGT";
	int unit = 0;

	while (value >= 1000 && unit < 4) {
		value /= 1024;
		unit++;
	}
	snprintf(out, 16, value >= 100 || unit == 0 ? "%.0f%c" : value >= 10 ? "%.1f%c" : "%.2f%c", value, units[unit]);
	return out;
}

static struct memory_rows rows_of(const struct app *a)
{
	struct model_weights weights[MODEL_KINDS];

	for (int i = 0; i < MODEL_KINDS; i++)
		weights[i] = (struct model_weights){a->status.lane[i].weight_bytes, a->status.lane[i].weight_held};
	return memory_rows(&a->status.device[0].memory, weights);
}

static void draw_held(const struct app *a, const struct memory_rows *m, int y, int x, int width)
{
	const enum theme_role roles[] = {ROLE_WEIGHTS, ROLE_ACTIVATIONS, ROLE_CACHE, ROLE_OTHERS};
	const int64_t value[] = {m->weights + m->mapped, m->activations, m->cached, m->others};
	char text[64], held[16], total[16];
	int n;

	snprintf(text, sizeof text, " %s of %s", size_text(m->ours + m->mapped, held), size_text(m->total, total));
	n = draw_columns(text);
	draw_stack(&a->canvas, y, x, width - n, value, roles, 4, m->total);
	draw_text(&a->canvas, y, x + width - n, n, ROLE_VALUE, text);
}

struct amount {
	const char *name;
	int64_t bytes;
	enum theme_role role;
};

/* "name size" for each, as many as fit. Returns the columns used. */
static int draw_amounts(const struct app *a, const struct amount *amounts, int n, int y, int x, int width)
{
	char size[16];
	int used = 0;

	for (int i = 0; i < n; i++) {
		int needs = draw_columns(amounts[i].name) + 1 + (int)strlen(size_text(amounts[i].bytes, size));

		if (used + needs > width)
			return used;
		used += draw_format(&a->canvas, y, x + used, width - used, amounts[i].role, "%s ", amounts[i].name);
		used += draw_text(&a->canvas, y, x + used, width - used, ROLE_TEXT, size) + 1;
	}
	return used;
}

/* How busy the device is, where it tells, else how many CPUs this process keeps busy. */
static void draw_load(const struct app *a, int y, int x, int width)
{
	const struct gauge_sample *g = &a->gauge_now;

	if (g->gpu && g->gpu_busy >= 0)
		draw_whole(&a->canvas, y, x, width, ROLE_OTHERS, "gpu %d%%", g->gpu_busy);
	else if (g->time > 0)
		draw_whole(&a->canvas, y, x, width, ROLE_OTHERS, "cpu %.1f", g->cpu);
}

static void draw_kinds(const struct app *a, const struct memory_rows *m, int y, int x, int width)
{
	const struct amount kinds[] = {{"weights", m->weights + m->mapped, ROLE_WEIGHTS},
				       {"act", m->activations, ROLE_ACTIVATIONS},
				       {"cache", m->cached, ROLE_CACHE},
				       {"peak", m->peak, ROLE_VALUE},
				       {"others", m->others, ROLE_OTHERS},
				       {"free", m->free, ROLE_DIM}};

	draw_amounts(a, kinds, sizeof kinds / sizeof *kinds, y, x, width);
}

static void draw_by_model(const struct app *a, const struct memory_rows *m, int y, int x, int width)
{
	struct amount amounts[MODEL_KINDS + 2];
	int n = 0, used;

	for (int i = 0; i < MODEL_KINDS; i++) {
		const struct lane_status *lane = &a->status.lane[i];
		int64_t held = lane->weight_bytes;

		if (lane->ready)
			amounts[n++] = (struct amount){short_names[i], held, lane->busy ? ROLE_PENDING : ROLE_DIM};
	}
	if (m->cap > 0)
		amounts[n++] = (struct amount){"cap", m->cap, ROLE_WARNING};
	if (a->gauge_now.rss > 0)
		amounts[n++] = (struct amount){"process", a->gauge_now.rss, ROLE_OTHERS};
	used = draw_amounts(a, amounts, n, y, x, width);
	draw_load(a, y, x + used, width - used);
}

static void draw_history(const struct app *a, int y, int x, int width)
{
	int64_t value[MEMORY_HISTORY], top = 1;

	for (int i = 0; i < a->history.count; i++) {
		value[i] = memory_history_at(&a->history, i);
		top = value[i] > top ? value[i] : top;
	}
	draw_graph(&a->canvas, y, x, width, value, a->history.count, top, ROLE_GRAPH);
}

void view_memory(struct app *a, const struct rect *r)
{
	struct memory_rows m = rows_of(a);
	struct rect in = *r;

	if (r->height == 1) {
		draw_blank(&a->canvas, r, ROLE_TEXT);
		draw_text(&a->canvas, r->top, r->left + 1, 7, ROLE_HEADING, "memory");
		draw_held(a, &m, r->top, r->left + 8, r->width / 2 - 8);
		draw_kinds(a, &m, r->top, r->left + r->width / 2 + 1, r->width / 2 - 2);
		return;
	}
	in = draw_frame(&a->canvas, r, a->focus == PANEL_MEMORY, false, "memory held by tensors");
	if (!a->status.library) {
		draw_text(&a->canvas, in.top, in.left + 1, in.width - 2, ROLE_DIM, "nothing yet: libtorch is not loaded");
		return;
	}
	draw_held(a, &m, in.top, in.left + 1, in.width - 2);
	draw_kinds(a, &m, in.top + 1, in.left + 1, in.width - 2);
	draw_by_model(a, &m, in.top + 2, in.left + 1, in.width - 2);
	draw_history(a, in.top + 3, in.left + 1, in.width - 2);
}

/* ---- controls ------------------------------------------------------------------------------------------------------------------------------- */

/* On one line there is no room for arrows. */
static void draw_control(const struct app *a, enum control c, const struct rect *r, bool arrows)
{
	bool focused = a->focus == PANEL_CONTROLS && a->control == c;
	int x = r->left, end = r->left + r->width;
	char value[32];

	app_control_text(a, c, value, sizeof value);
	x += draw_format(&a->canvas, r->top, x, end - x, ROLE_KEY, "%s ", app_control_key(c));
	x += draw_format(&a->canvas, r->top, x, end - x, ROLE_DIM, arrows ? "%-9s " : "%s ", app_control_name(c));
	if (arrows)
		x += draw_format(&a->canvas, r->top, x, end - x, ROLE_KEY, "%s ", draw_symbol(&a->canvas, SYM_LEFT));
	x += draw_text(&a->canvas, r->top, x, end - x, focused ? ROLE_VALUE_FOCUS : ROLE_VALUE, value);
	if (arrows)
		draw_format(&a->canvas, r->top, x, end - x, ROLE_KEY, " %s", draw_symbol(&a->canvas, SYM_RIGHT));
}

struct rect view_control_place(const struct layout *l, enum control c)
{
	static const int at[CONTROLS + 1] = {0, 12, 34, 50, LAYOUT_MIN_COLUMNS - 1}; /* of the narrowest screen */
	const struct rect *r = &l->panel[PANEL_CONTROLS];
	int from = at[c] * r->width / LAYOUT_MIN_COLUMNS, to = at[c + 1] * r->width / LAYOUT_MIN_COLUMNS;

	if (r->height == 1)
		return (struct rect){r->top, r->left + 1 + from, 1, to - from};
	return (struct rect){r->top + 1 + (int)c, r->left + 2, 1, CONTROL_COLUMNS};
}

/* The slowest part says where time goes: the lane with the highest median. */
static const struct lane_status *slowest(const struct app *a)
{
	const struct lane_status *worst = &a->status.lane[0];

	for (int i = 1; i < MODEL_KINDS; i++)
		if (a->status.lane[i].p50_ms > worst->p50_ms)
			worst = &a->status.lane[i];
	return worst;
}

static void draw_speed(const struct app *a, int y, int x, int width)
{
	const struct lane_status *lane = slowest(a);

	if (a->status.images_per_s <= 0)
		draw_text(&a->canvas, y, x, width, ROLE_DIM, "idle");
	else if (!draw_whole(&a->canvas, y, x, width, ROLE_TEXT, "%.1f pictures/s", a->status.images_per_s))
		draw_format(&a->canvas, y, x, width, ROLE_TEXT, "%.1f/s", a->status.images_per_s);
	if (lane->done && !draw_whole(&a->canvas, y + 1, x, width, ROLE_DIM, "p50 %.0f ms  p95 %.0f ms", lane->p50_ms, lane->p95_ms))
		draw_format(&a->canvas, y + 1, x, width, ROLE_DIM, "%.0f ms", lane->p50_ms);
}

static void draw_counts(const struct app *a, int y, int x, int width)
{
	int failed = catalog_count(a->catalog, PICTURE_FAILED);
	int used = draw_format(&a->canvas, y, x, width, ROLE_DONE, "%s %d  ", draw_symbol(&a->canvas, SYM_DONE),
			       catalog_count(a->catalog, PICTURE_DONE));
	enum theme_role role = a->status.pending ? ROLE_PENDING : ROLE_DIM;

	draw_format(&a->canvas, y, x + used, width - used, failed ? ROLE_FAILED : ROLE_DIM, "%s %d", draw_symbol(&a->canvas, SYM_FAILED), failed);
	if (!draw_whole(&a->canvas, y + 1, x, width, role, "%s %d waiting", draw_symbol(&a->canvas, SYM_WORKING), a->status.pending))
		draw_format(&a->canvas, y + 1, x, width, role, "%s %d", draw_symbol(&a->canvas, SYM_WORKING), a->status.pending);
}

void view_controls(struct app *a, const struct rect *r)
{
	struct rect in = *r;

	if (r->height == 1)
		draw_blank(&a->canvas, r, ROLE_TEXT);
	else
		in = draw_frame(&a->canvas, r, a->focus == PANEL_CONTROLS, false, "controls");
	for (int c = 0; c < CONTROLS; c++) {
		struct rect place = view_control_place(&a->layout, (enum control)c);

		draw_control(a, (enum control)c, &place, r->height > 1);
	}
	if (r->height == 1)
		return;
	draw_speed(a, in.top, in.left + CONTROL_COLUMNS + 2, in.width - CONTROL_COLUMNS - 2);
	draw_counts(a, in.top + 2, in.left + CONTROL_COLUMNS + 2, in.width - CONTROL_COLUMNS - 2);
}
