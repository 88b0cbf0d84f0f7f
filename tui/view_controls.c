/* view_controls.c - the controls, what is pending of them, and how the run goes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tui/app.h"

enum { CONTROL_COLUMNS = 26, IN_A_LINE = 4 }; /* of a control in a frame: "v precision ‹ auto bf16 ›"; without frames so many are seen */

/* The controls that are seen, at least those that fit; the chosen one is among them. */
static int first_shown(const struct app *a)
{
	const struct rect *r = &a->layout.panel[PANEL_CONTROLS];
	int fit = r->height == 1 ? IN_A_LINE : r->height - 2, chosen = (int)a->control < CONTROLS ? (int)a->control : 0;

	return fit >= CONTROLS || chosen < fit ? 0 : chosen - fit + 1;
}

struct rect view_control_place(const struct app *a, enum control c)
{
	static const int at[IN_A_LINE + 1] = {0, 12, 34, 50, LAYOUT_MIN_COLUMNS - 1}; /* of the narrowest screen */
	const struct rect *r = &a->layout.panel[PANEL_CONTROLS];
	int row = (int)c - first_shown(a), from, to;

	if (r->height > 1 && row >= 0 && row < r->height - 2)
		return (struct rect){r->top + 1 + row, r->left + 2, 1, CONTROL_COLUMNS};
	if (r->height != 1 || row < 0 || row >= IN_A_LINE)
		return (struct rect){0};
	from = at[row] * r->width / LAYOUT_MIN_COLUMNS;
	to = at[row + 1] * r->width / LAYOUT_MIN_COLUMNS;
	return (struct rect){r->top, r->left + 1 + from, 1, to - from};
}

/* On one line there is no room for arrows. A pending value stands between them turned inwards: ›8‹. */
static void draw_control(const struct app *a, enum control c, const struct rect *r, bool arrows)
{
	bool pending;
	char *value = app_control_text(a, c, &pending), really[32];
	enum theme_role role = pending ? ROLE_PENDING_VALUE : a->focus == PANEL_CONTROLS && a->control == c ? ROLE_VALUE_FOCUS : ROLE_VALUE;
	const char *left = draw_symbol(&a->canvas, SYM_LEFT), *right = draw_symbol(&a->canvas, SYM_RIGHT);
	int x = r->left, end = r->left + r->width;

	app_control_really(a, c, really, sizeof really);
	x += draw_format(&a->canvas, r->top, x, end - x, ROLE_KEY, "%-1s ", app_control_key(c));
	x += draw_format(&a->canvas, r->top, x, end - x, ROLE_DIM, arrows ? "%-9s " : "%s ", app_control_name(c));
	if (arrows && !pending)
		x += draw_format(&a->canvas, r->top, x, end - x, ROLE_KEY, "%s ", left);
	if (pending)
		x += draw_format(&a->canvas, r->top, x, end - x, role, "%s%s%s", right, value, left);
	else
		x += draw_text(&a->canvas, r->top, x, end - x, role, value);
	if (!pending && really[0])
		x += draw_whole(&a->canvas, r->top, x, end - x - (arrows ? 2 : 0), ROLE_WARNING, " %s", really);
	if (arrows && !pending)
		draw_format(&a->canvas, r->top, x, end - x, ROLE_KEY, " %s", right);
	free(value);
}

/* ---- how the run goes ----------------------------------------------------------------------------------------------------------------------- */

/* The slowest part says where time goes: the stage with the highest median. */
static enum stage slowest(const struct stats *s)
{
	int worst = 0;

	for (int i = 1; i < STAGES; i++)
		if (s->stage[i].p50_ms > s->stage[worst].p50_ms)
			worst = i;
	return (enum stage)worst;
}

static void draw_speed(const struct app *a, const struct stats *s, int y, int x, int width)
{
	if (a->trials.running)
		draw_text(&a->canvas, y, x, width, ROLE_PENDING, "trial");
	else if (s->images_per_s <= 0)
		draw_text(&a->canvas, y, x, width, ROLE_DIM, a->status.refreshing > 0 ? "answering anew" : "idle");
	else if (!draw_whole(&a->canvas, y, x, width, ROLE_TEXT, "%.1f pictures/s, %.1f overall", s->images_per_s, s->images_per_s_overall) &&
		 !draw_whole(&a->canvas, y, x, width, ROLE_TEXT, "%.1f pictures/s", s->images_per_s))
		draw_format(&a->canvas, y, x, width, ROLE_TEXT, "%.1f/s", s->images_per_s);
}

static void draw_slowest(const struct app *a, const struct stats *s, int y, int x, int width)
{
	enum stage stage = slowest(s);
	const struct stage_status *t = &s->stage[stage];

	if (t->done &&
	    !draw_whole(&a->canvas, y, x, width, ROLE_DIM, "%s p50 %.0f p95 %.0f p99 %.0f ms", stage_name(stage), t->p50_ms, t->p95_ms, t->p99_ms))
		draw_format(&a->canvas, y, x, width, ROLE_DIM, "p50 %.0f ms", t->p50_ms);
}

/* The folder's pictures, then what became of the run's. */
static void draw_counts(const struct app *a, const struct stats *s, int y, int x, int width)
{
	int failed = catalog_count(a->catalog, PICTURE_FAILED), used;

	used = draw_format(&a->canvas, y, x, width, ROLE_DONE, "%s %d  ", draw_symbol(&a->canvas, SYM_DONE), catalog_count(a->catalog, PICTURE_DONE));
	used += draw_whole(&a->canvas, y, x + used, width - used, failed ? ROLE_FAILED : ROLE_DIM, "%s %d  ", draw_symbol(&a->canvas, SYM_FAILED),
			   failed);
	if (s->retried)
		draw_whole(&a->canvas, y, x + used, width - used, ROLE_WARNING, "%lld retried", (long long)s->retried);
}

static void draw_waiting(const struct app *a, int y, int x, int width)
{
	enum theme_role role = a->full ? ROLE_WARNING : a->status.pending ? ROLE_PENDING : ROLE_DIM;
	const char *symbol = draw_symbol(&a->canvas, SYM_WORKING);

	if (a->full && draw_whole(&a->canvas, y, x, width, role, "%s %d waiting, queue full", symbol, a->status.pending))
		return;
	if (!draw_whole(&a->canvas, y, x, width, role, a->full ? "queue full" : "%s %d waiting", symbol, a->status.pending))
		draw_format(&a->canvas, y, x, width, role, "%s %d", symbol, a->status.pending);
}

static void draw_success(const struct app *a, const struct stats *s, int y, int x, int width)
{
	int used = 0;

	if (s->success >= 0)
		used = draw_whole(&a->canvas, y, x, width, s->success < 1 ? ROLE_WARNING : ROLE_DIM, "%.1f %% ok  ", 100 * s->success);
	if (s->cancelled)
		used += draw_whole(&a->canvas, y, x + used, width - used, ROLE_DIM, "%lld cancelled  ", (long long)s->cancelled);
	if (s->tokens_per_s > 0)
		draw_whole(&a->canvas, y, x + used, width - used, ROLE_DIM, "%.0f tokens/s", s->tokens_per_s);
}

static void draw_run(const struct app *a, const struct rect *in, int x, int width)
{
	struct stats s = stats_of(&a->status);

	draw_speed(a, &s, in->top, x, width);
	draw_slowest(a, &s, in->top + 1, x, width);
	draw_counts(a, &s, in->top + 2, x, width);
	draw_waiting(a, in->top + 3, x, width);
	if (in->height > 4)
		draw_success(a, &s, in->top + 4, x, width);
	if (in->height > 5 && a->config->profile)
		draw_format(&a->canvas, in->top + 5, x, width, ROLE_DIM, "profile %s", a->config->profile);
	if (in->height > 6)
		draw_text(&a->canvas, in->top + in->height - 1, x, width, ROLE_DIM, "o all settings  i statistics");
}

void view_controls(struct app *a, const struct rect *r)
{
	struct rect in = *r;

	if (r->height == 1)
		draw_blank(&a->canvas, r, ROLE_TEXT);
	else
		in = draw_frame(&a->canvas, r, a->focus == PANEL_CONTROLS, false, "controls");
	for (int c = 0; c < CONTROLS; c++) {
		struct rect place = view_control_place(a, (enum control)c);

		if (place.height)
			draw_control(a, (enum control)c, &place, r->height > 1);
	}
	if (r->height > 1)
		draw_run(a, &in, in.left + CONTROL_COLUMNS + 2, in.width - CONTROL_COLUMNS - 2);
}
