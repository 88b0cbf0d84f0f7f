/* view_memory.c - what tensors hold, and the controls. */
#include <stdio.h>
#include <string.h>

#include "tui/app.h"

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

	for (int i = 0; i < MODEL_KINDS; i++) {
		int64_t held = a->status.memory.owner[i + 1];

		weights[i].bytes = a->status.lane[i].weight_bytes;
		weights[i].held = held < weights[i].bytes ? held : weights[i].bytes;
	}
	return memory_rows(&a->status.memory, weights);
}

static void draw_held(const struct app *a, const struct memory_rows *m, int y, int x, int width)
{
	const enum theme_role roles[] = {ROLE_WEIGHTS, ROLE_ACTIVATIONS, ROLE_CACHE, ROLE_OTHERS};
	const int64_t value[] = {m->weights + m->mapped, m->activations, m->cached, m->others};
	char text[64], held[16], total[16];
	int n;

	snprintf(text, sizeof text, " %s/%s", size_text(m->ours + m->mapped, held), size_text(m->total, total));
	n = draw_columns(text);
	/* Small models on a large device would be invisible beside the rest: then the bar shows what is ours. */
	if (m->total > 0 && (m->ours + m->mapped) * 8 < m->total)
		draw_stack(&a->canvas, y, x, width - n, value, roles, 3, m->ours + m->mapped);
	else
		draw_stack(&a->canvas, y, x, width - n, value, roles, 4, m->total);
	draw_text(&a->canvas, y, x + width - n, n, ROLE_VALUE, text);
}

static void draw_kinds(const struct app *a, const struct memory_rows *m, int y, int x, int width)
{
	const struct {
		const char *name;
		int64_t bytes;
		enum theme_role role;
	} kinds[] = {{"weights", m->weights + m->mapped, ROLE_WEIGHTS}, {"act", m->activations, ROLE_ACTIVATIONS}, {"cache", m->cached, ROLE_CACHE}, {"peak", m->peak, ROLE_VALUE}};
	int used = 0;
	char size[16];

	for (size_t i = 0; i < sizeof kinds / sizeof *kinds && used < width; i++) {
		used += draw_format(&a->canvas, y, x + used, width - used, kinds[i].role, "%s ", kinds[i].name);
		used += draw_format(&a->canvas, y, x + used, width - used, ROLE_TEXT, "%s  ", size_text(kinds[i].bytes, size));
	}
}

static void draw_by_model(const struct app *a, int y, int x, int width)
{
	int used = 0;

	for (int i = 0; i < MODEL_KINDS && used < width; i++) {
		const struct lane_status *lane = &a->status.lane[i];
		char size[16];

		if (!a->model[i].used)
			continue;
		used += draw_format(&a->canvas, y, x + used, width - used, lane->busy ? ROLE_PENDING : ROLE_DIM, "%s ", short_names[i]);
		used += draw_format(&a->canvas, y, x + used, width - used, ROLE_TEXT, "%s  ",
				    lane->ready ? size_text(a->status.memory.owner[i + 1] > lane->weight_bytes ? a->status.memory.owner[i + 1] : lane->weight_bytes, size)
						: lane->failed ? "failed" : "–");
	}
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
	draw_by_model(a, in.top + 2, in.left + 1, in.width - 2);
	draw_history(a, in.top + 3, in.left + 1, in.width - 2);
}

/* ---- controls ------------------------------------------------------------------------------------------------------------------------------- */

static int draw_control(const struct app *a, enum control c, int y, int x, int width)
{
	bool focused = a->focus == PANEL_CONTROLS && a->control == c;
	char value[32];
	int used;

	app_control_text(a, c, value, sizeof value);
	used = draw_format(&a->canvas, y, x, width, ROLE_DIM, "%-9s ", app_control_name(c));
	used += draw_format(&a->canvas, y, x + used, width - used, ROLE_KEY, "%s ", draw_symbol(&a->canvas, SYM_LEFT));
	used += draw_text(&a->canvas, y, x + used, width - used, focused ? ROLE_VALUE_FOCUS : ROLE_VALUE, value);
	used += draw_format(&a->canvas, y, x + used, width - used, ROLE_KEY, " %s", draw_symbol(&a->canvas, SYM_RIGHT));
	return used;
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

	draw_format(&a->canvas, y, x, width, ROLE_TEXT, "%.1f img/s  p50 %.0f ms  p95 %.0f ms", a->status.images_per_s, lane->p50_ms, lane->p95_ms);
}

static void draw_counts(const struct app *a, int y, int x, int width)
{
	int used = draw_format(&a->canvas, y, x, width, ROLE_DONE, "%s %d  ", draw_symbol(&a->canvas, SYM_DONE), (int)a->status.answered);

	used += draw_format(&a->canvas, y, x + used, width - used, a->status.failed ? ROLE_FAILED : ROLE_DIM, "%s %d  ", draw_symbol(&a->canvas, SYM_FAILED),
			    (int)a->status.failed);
	draw_format(&a->canvas, y, x + used, width - used, a->status.pending ? ROLE_PENDING : ROLE_DIM, "%s %d waiting", draw_symbol(&a->canvas, SYM_WORKING),
		    a->status.pending);
}

void view_controls(struct app *a, const struct rect *r)
{
	struct rect in = *r;
	int half;

	if (r->height == 1) {
		int used = 1;

		draw_blank(&a->canvas, r, ROLE_TEXT);
		for (int c = 0; c < CONTROLS; c++)
			used += draw_control(a, (enum control)c, r->top, r->left + used, r->width - used) + 1;
		return;
	}
	in = draw_frame(&a->canvas, r, a->focus == PANEL_CONTROLS, false, "controls");
	half = (in.width - 1) / 2;
	for (int c = 0; c < CONTROLS; c++)
		draw_control(a, (enum control)c, in.top + c / 2, in.left + 1 + c % 2 * half, half - 1);
	draw_speed(a, in.top + 2, in.left + 1, in.width - 2);
	draw_counts(a, in.top + 3, in.left + 1, in.width - 2);
}
