/* view_memory.c - what is held, by whom: one bar of the device with cap and reserve on it, the numbers, and what a pending setting would hold. */
#include <stdio.h>
#include <string.h>

#include "core/limit.h"
#include "tui/app.h"

static const char *const short_names[MODEL_KINDS] = {"clip", "caption", "nli"};
/* Of the bar's parts, so that they are told apart without colours too. */
static const char *const marks[MODEL_KINDS] = {"1", "2", "3"};
static const enum theme_role weight_roles[MODEL_KINDS] = {ROLE_WEIGHTS, ROLE_WEIGHTS_2, ROLE_WEIGHTS_3};

enum { CLOSE_UP = 3 }; /* ours have a bar of their own where they could take no more of the device's bar than one in so many cells */

const char *view_size(int64_t bytes, char out[16])
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

static struct memory_rows rows_of(const struct app *a, const struct device_status *d)
{
	int64_t bytes[MODEL_KINDS] = {0};

	for (int i = 0; i < MODEL_KINDS; i++)
		if (a->status.lane[i].ready && !a->status.lane[i].evicted && a->status.lane[i].device == d->device)
			bytes[i] = a->status.lane[i].weight_bytes;
	return memory_rows(&d->memory, bytes);
}

/* ---- bars ----------------------------------------------------------------------------------------------------------------------------------- */

/* A bar of `scale` bytes; others only where it is the whole device. Left out of `ours` is what is cached: a run finds it free. */
struct bar {
	int y, x, width;
	int64_t scale, used, reserve_at, cap;
	int used_cells;
};

static int column(const struct bar *b, int64_t bytes)
{
	int at = b->scale > 0 ? (int)((double)bytes / (double)b->scale * b->width + 0.5) : 0;

	return at < 0 ? 0 : at > b->width ? b->width : at;
}

static void draw_held(const struct app *a, const struct memory_rows *m, struct bar *b, bool others)
{
	struct bar_part part[BAR_PARTS];
	int cells[BAR_PARTS], n = 0;

	for (int i = 0; i < MODEL_KINDS; i++)
		part[n++] = (struct bar_part){m->model[i], weight_roles[i], BAR_SOLID, marks[i]};
	part[n++] = (struct bar_part){m->activations, ROLE_ACTIVATIONS, BAR_SOLID, "a"};
	part[n++] = (struct bar_part){m->kv, ROLE_KV, BAR_SOLID, "k"};
	part[n++] = (struct bar_part){m->cached, ROLE_CACHE, BAR_CACHE, NULL};
	part[n++] = (struct bar_part){m->free, ROLE_FREE, BAR_FREE, NULL};
	if (others)
		part[n++] = (struct bar_part){m->others, ROLE_OTHERS, BAR_OTHERS, NULL};
	draw_shares(part, n, b->scale, b->width, cells);
	draw_parts(&a->canvas, b->y, b->x, part, cells, n);
	b->used = m->weights + m->activations + m->kv;
	b->used_cells = 0;
	for (int i = 0; i < MODEL_KINDS + 2; i++)
		b->used_cells += cells[i];
}

/* What the pending setting would hold more (/) or less (\) than is held now. Parts too small for a cell have one all the same, so it is counted from where they
 * end. */
static void draw_ghost(const struct app *a, const struct bar *b)
{
	int64_t more = a->pending.wanted.used - b->used;
	bool grows = more >= 0;
	enum theme_role role = a->pending.wanted.fits ? ROLE_GHOST : ROLE_ALERT;
	const char *hatch = a->canvas.symbols ? (grows ? "╱" : "╲") : grows ? "/" : "\\";
	int from = b->used_cells, to = from;

	if (!a->pending.on || !a->pending.known || !more)
		return;
	if (grows)
		to += column(b, more) ? column(b, more) : 1;
	else
		from -= b->used ? (int)((double)from * (double)-more / (double)b->used + 0.5) : 0;
	for (int at = from; at < to && at < b->width; at++)
		draw_text(&a->canvas, b->y, b->x + at, 1, role, hatch);
}

static void draw_limits(const struct app *a, const struct bar *b)
{
	int cap = column(b, b->cap), reserve = column(b, b->reserve_at);

	if (b->reserve_at > 0 && b->reserve_at < b->scale && reserve < b->width)
		draw_text(&a->canvas, b->y, b->x + reserve, 1, ROLE_LIMIT, a->canvas.symbols ? "┊" : "!");
	if (b->cap > 0 && b->cap <= b->scale)
		draw_text(&a->canvas, b->y, b->x + (cap < b->width ? cap : b->width - 1), 1, ROLE_LIMIT, a->canvas.symbols ? "┃" : "|");
}

static void draw_bar_of(const struct app *a, const struct memory_rows *m, struct bar *b, bool others)
{
	if (b->width < 4)
		return;
	draw_held(a, m, b, others);
	draw_ghost(a, b);
	draw_limits(a, b);
}

/* The reserve counts from the device's end; a cap or percentage on its way counts as it will be. */
static struct bar bar_at(const struct app *a, const struct device_status *d, int y, int x, int width)
{
	const struct engine_settings *s = a->pending.on ? &a->pending.config.settings : &a->config->settings;
	int64_t total = d->memory.device_total;
	struct bar b = {.y = y, .x = x, .width = width, .scale = total, .reserve_at = total / 100 * (100 - s->reserve)};

	b.cap = a->pending.on ? limit_cap(s, total) : d->memory.cap;
	return b;
}

/* " 9.1G of 140G" at the right end, the bar before it. */
static void draw_device_bar(const struct app *a, const struct device_status *d, int y, int x, int width, const char *name)
{
	struct memory_rows m = rows_of(a, d);
	char text[64], held[16], total[16];
	struct bar bar;
	int n, used = 0;

	if (name)
		used = draw_format(&a->canvas, y, x, width / 3, ROLE_DIM, "%s ", name);
	snprintf(text, sizeof text, " %s of %s", view_size(m.ours, held), view_size(m.total, total));
	n = draw_columns(text);
	bar = bar_at(a, d, y, x + used, width - n - used);
	draw_bar_of(a, &m, &bar, true);
	draw_text(&a->canvas, y, x + width - n, n, ROLE_VALUE, text);
}

/* The most that the close-up must show, what is pending left out: the panel's lines stay where they are while one steps through settings. */
static int64_t close_up_scale(const struct app *a, const struct memory_rows *m)
{
	const struct memory_reading *reading = &a->status.device[0].memory;
	int64_t most = m->ours;

	most = reading->peak[PEAK_START] > most ? reading->peak[PEAK_START] : most;
	most = reading->cap > most ? reading->cap : most;
	return most + most / 16;
}

static void draw_close_up(const struct app *a, const struct memory_rows *m, int64_t scale, int y, int x, int width)
{
	char text[32], size[16];
	struct bar bar;
	int n;

	if (a->pending.on && a->pending.known && a->pending.wanted.used > scale)
		scale = a->pending.wanted.used;
	snprintf(text, sizeof text, " of %s", view_size(scale, size));
	n = draw_columns(text);
	bar = bar_at(a, &a->status.device[0], y, x, width - n);
	bar.scale = scale;
	draw_bar_of(a, m, &bar, false);
	draw_text(&a->canvas, y, x + width - n, n, ROLE_DIM, text);
}

/* ---- numbers -------------------------------------------------------------------------------------------------------------------------------- */

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
		int needs = draw_columns(amounts[i].name) + 1 + (int)strlen(view_size(amounts[i].bytes, size));

		if (used + needs > width)
			return used;
		used += draw_format(&a->canvas, y, x + used, width - used, amounts[i].role, "%s ", amounts[i].name);
		used += draw_text(&a->canvas, y, x + used, width - used, ROLE_TEXT, size) + 1;
	}
	return used;
}

/* Where there is little room, what is nothing goes first. */
static void draw_kinds(const struct app *a, const struct memory_rows *m, int y, int x, int width)
{
	const struct amount all[] = {{"weights", m->weights, ROLE_WEIGHTS},
				     {"act", m->activations, ROLE_ACTIVATIONS},
				     {"kv", m->kv, ROLE_KV},
				     {"cache", m->cached, ROLE_CACHE},
				     {"free", m->free, ROLE_DIM},
				     {"others", m->others, ROLE_OTHERS},
				     {"mapped", m->mapped, ROLE_DIM}};
	enum { KINDS = sizeof all / sizeof *all, MAPPED = KINDS - 1, ROOM = 50 };
	struct amount kinds[KINDS];
	int n = 0;

	for (int i = 0; i < KINDS; i++)
		if (all[i].bytes || (width >= ROOM && i != MAPPED))
			kinds[n++] = all[i];
	draw_amounts(a, kinds, n, y, x, width);
}

static void draw_peaks(const struct app *a, int y, int x, int width)
{
	const struct memory_reading *m = &a->status.device[0].memory;
	const struct amount peaks[] = {{"peak", m->peak[PEAK_BATCH], ROLE_DIM},
				       {"change", m->peak[PEAK_CHANGE], ROLE_DIM},
				       {"start", m->peak[PEAK_START], ROLE_DIM},
				       {"cap", m->cap, ROLE_LIMIT}};

	draw_amounts(a, peaks, m->cap > 0 ? 4 : 3, y, x, width);
}

/* What the pending setting would hold: "forecast 11.8G +1.6G fits". */
static void draw_forecast(const struct app *a, int y, int x, int width)
{
	const struct pending *p = &a->pending;
	enum theme_role role = p->wanted.fits ? ROLE_GHOST : ROLE_ALERT;
	char wanted[16], change[16], limit[16];
	int64_t delta = p->wanted.used - p->now.used;

	if (!p->known) {
		draw_text(&a->canvas, y, x, width, ROLE_DIM, "no forecast before a model is open");
		return;
	}
	view_size(p->wanted.used, wanted);
	view_size(delta < 0 ? -delta : delta, change);
	view_size(p->wanted.limit, limit);
	if (!draw_whole(&a->canvas, y, x, width, role, "forecast peak %s (%c%s) %s %s", wanted, delta < 0 ? '-' : '+', change,
			p->wanted.fits ? "fits in" : "does not fit in", limit))
		draw_format(&a->canvas, y, x, width, role, "%s (%c%s) %s", wanted, delta < 0 ? '-' : '+', change,
			    p->wanted.fits ? "fits" : "does not fit");
}

static void draw_models(const struct app *a, int y, int x, int width)
{
	char size[16], device[16];
	int used = 0;

	for (int i = 0; i < MODEL_KINDS; i++) {
		const struct lane_status *l = &a->status.lane[i];

		if (!l->ready || used + draw_columns(short_names[i]) + 8 > width)
			continue;
		used += draw_whole(&a->canvas, y, x + used, width - used, weight_roles[i], "%s %s ", marks[i], short_names[i]);
		if (l->evicted) {
			used += draw_whole(&a->canvas, y, x + used, width - used, ROLE_WARNING, "evicted  ");
			continue;
		}
		used += draw_whole(&a->canvas, y, x + used, width - used, l->busy ? ROLE_PENDING : ROLE_TEXT, "%s ",
				   view_size(l->weight_bytes, size));
		if (l->device != a->status.device[0].device) /* the bar is another's */
			used += draw_whole(&a->canvas, y, x + used, width - used, ROLE_DIM, "%s ", device_name(l->device, device));
		used += 1;
	}
}

/* The device: how busy, how hot, what it draws; else how many CPUs this process keeps busy. */
static void draw_load(const struct app *a, int y, int x, int width)
{
	const struct gauge_sample *g = &a->gauge_now;
	const struct device_status *d = &a->status.device[0];
	char size[16];
	int used = 0;

	if (d->device != DEVICE_CPU && g->time > 0 && clock_now() - g->time > 5) {
		draw_text(&a->canvas, y, x, width, ROLE_WARNING, "the driver does not answer");
		return;
	}
	if (g->gpu && g->gpu_busy >= 0)
		used += draw_whole(&a->canvas, y, x, width, ROLE_TEXT, "gpu %d%%  ", g->gpu_busy);
	if (g->gpu && g->gpu_celsius >= 0)
		used += draw_whole(&a->canvas, y, x + used, width - used, ROLE_TEXT, "%d%s  ", g->gpu_celsius, a->canvas.utf8 ? "°C" : "C");
	if (g->gpu && g->gpu_watts >= 0)
		used += draw_whole(&a->canvas, y, x + used, width - used, ROLE_TEXT, "%.0f W  ", g->gpu_watts);
	if (!g->gpu && g->time > 0)
		used += draw_whole(&a->canvas, y, x, width, ROLE_TEXT, "cpu %.1f  ", g->cpu);
	if (g->rss > 0)
		used += draw_whole(&a->canvas, y, x + used, width - used, ROLE_DIM, "process %s  ", view_size(g->rss, size));
	draw_whole(&a->canvas, y, x + used, width - used, ROLE_DIM, "%s", g->gpu ? g->gpu_name : d->name);
}

/* Over `rows` rows, the lowest at the bottom. */
static void draw_history(const struct app *a, int y, int x, int width, int rows)
{
	int64_t value[MEMORY_HISTORY], top = 1;

	for (int i = 0; i < a->history.count; i++) {
		int64_t held = memory_history_at(&a->history, i);

		top = held > top ? held : top;
	}
	for (int row = 0; row < rows; row++) {
		for (int i = 0; i < a->history.count; i++)
			value[i] = memory_history_at(&a->history, i) * rows - row * top;
		draw_graph(&a->canvas, y + rows - 1 - row, x, width, value, a->history.count, top, ROLE_GRAPH);
	}
}

/* ---- the panel ------------------------------------------------------------------------------------------------------------------------------ */

/* On one line: a short bar, then the forecast or the numbers. */
static void draw_one_line(const struct app *a, const struct memory_rows *m, const struct rect *r)
{
	int half = r->width / 2;

	draw_blank(&a->canvas, r, ROLE_TEXT);
	draw_text(&a->canvas, r->top, r->left + 1, 7, ROLE_HEADING, "memory");
	draw_device_bar(a, &a->status.device[0], r->top, r->left + 8, half - 8, NULL);
	if (a->pending.on)
		draw_forecast(a, r->top, r->left + half + 1, half - 2);
	else
		draw_kinds(a, m, r->top, r->left + half + 1, half - 2);
}

/* The lines by how much they are missed; what there is no row for is left out. */
static void draw_lines(const struct app *a, const struct memory_rows *m, const struct rect *in)
{
	int y = in->top, end = in->top + in->height, x = in->left + 1, width = in->width - 2, others = a->status.devices - 1;
	int64_t scale = close_up_scale(a, m);
	char name[16];

	draw_device_bar(a, &a->status.device[0], y++, x, width, NULL);
	if (scale < m->total / CLOSE_UP && m->ours > 0)
		draw_close_up(a, m, scale, y++, x, width);
	draw_kinds(a, m, y++, x, width);
	if (a->pending.on)
		draw_forecast(a, y++, x, width);
	else
		draw_peaks(a, y++, x, width);
	if (y < end)
		draw_models(a, y++, x, width);
	for (int i = 1; i <= others && y < end; i++)
		draw_device_bar(a, &a->status.device[i], y++, x, width, device_name(a->status.device[i].device, name));
	if (y < end)
		draw_load(a, y++, x, width);
	if (y < end)
		draw_history(a, y, x, width, end - y);
}

void view_memory(struct app *a, const struct rect *r)
{
	struct memory_rows m = rows_of(a, &a->status.device[0]);
	char title[64], name[16];
	struct rect in;

	if (r->height == 1) {
		draw_one_line(a, &m, r);
		return;
	}
	snprintf(title, sizeof title, "memory of %s", a->status.library ? device_name(a->status.device[0].device, name) : "tensors");
	in = draw_frame(&a->canvas, r, a->focus == PANEL_MEMORY, false, title);
	if (a->status.library)
		draw_lines(a, &m, &in);
	else
		draw_text(&a->canvas, in.top, in.left + 1, in.width - 2, ROLE_DIM, "nothing yet: libtorch is not loaded");
}
