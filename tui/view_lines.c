/* view_lines.c - the title line and the status line. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/utf8.h"
#include "tui/app.h"

/* The folder, shortened with ~ for the home folder. */
static void folder_text(const struct app *a, char *out, size_t size)
{
	const char *folder = catalog_folder(a->catalog), *home = getenv("HOME");
	size_t n = home ? strlen(home) : 0;

	if (n > 1 && !strncmp(folder, home, n) && (!folder[n] || folder[n] == '/')) {
		out[0] = '~';
		utf8_escape(folder + n, strlen(folder + n), out + 1, size - 1);
	} else {
		utf8_escape(*folder ? folder : "files", strlen(*folder ? folder : "files"), out, size);
	}
}

static const char *model_precision(const struct app *a)
{
	for (int i = 0; i < MODEL_KINDS; i++)
		if (a->model[i].ready)
			return precision_name(a->model[i].precision);
	return precision_name(engine_get_settings(a->engine).precision);
}

void view_title(struct app *a, const struct rect *r)
{
	char folder[512], right[256], clock[16];
	time_t now = time(NULL);
	struct tm tm;
	int x, marked = catalog_marked(a->catalog), width;

	localtime_r(&now, &tm);
	strftime(clock, sizeof clock, "%H:%M:%S", &tm);
	snprintf(right, sizeof right, "%s  %s  batch %d  %s ", a->device.name[0] ? a->device.name : "libtorch is loading", model_precision(a),
		 engine_get_settings(a->engine).batch, clock);
	width = draw_columns(right);
	folder_text(a, folder, sizeof folder);
	draw_blank(&a->canvas, r, ROLE_TITLE);
	x = 1 + draw_text(&a->canvas, r->top, 1, r->width - width - 24, ROLE_TITLE, folder);
	x += draw_format(&a->canvas, r->top, x, r->width - width - x, ROLE_DIM, "  %d/%d%s", catalog_rows(a->catalog) ? a->row + 1 : 0,
			 catalog_rows(a->catalog), catalog_scanning(a->catalog) ? "…" : "");
	if (marked)
		draw_format(&a->canvas, r->top, x, r->width - width - x, ROLE_MARK, "  %s%d marked", draw_symbol(&a->canvas, SYM_MARK), marked);
	draw_text(&a->canvas, r->top, r->width - width, width, ROLE_DIM, right);
}

/* ---- status -------------------------------------------------------------------------------------------------------------------------------- */

static int draw_key(const struct app *a, int y, int x, int width, const char *key, const char *what)
{
	int used = draw_text(&a->canvas, y, x, width, ROLE_KEY, key);

	used += draw_format(&a->canvas, y, x + used, width - used, ROLE_STATUS, " %s  ", what);
	return used;
}

static void draw_hints(const struct app *a, const struct rect *r, int width)
{
	static const struct key_help hints[] = {{"?", "help"},	  {"e", "labels"}, {"Tab", "panel"}, {"b", "batch"}, {"v", "precision"}, {"Space", "mark"},
						{"/", "filter"}, {"t", "theme"},  {"x", "run"},	    {"q", "quit"}};
	int x = 1;

	for (size_t i = 0; i < sizeof hints / sizeof *hints; i++) {
		int needs = draw_columns(hints[i].keys) + draw_columns(hints[i].what) + 3;

		if (x + needs <= width)
			x += draw_key(a, r->top, x, width - x, hints[i].keys, hints[i].what);
	}
}

/* How far a run of the folder is, and what is on its way. Returns the columns taken at the right end. */
static int draw_progress(const struct app *a, const struct rect *r)
{
	int bar = r->width >= 100 ? 20 : 10, done, total, x;
	char text[80];

	if (!app_busy(a))
		return 0;
	if (a->status.pending > 0) {
		total = a->run_total > a->status.pending ? a->run_total : a->status.pending;
		done = total - a->status.pending;
		snprintf(text, sizeof text, " %d/%d %s ", done, total, draw_spinner(&a->canvas, a->tick));
	} else {
		done = 0;
		total = 0;
		snprintf(text, sizeof text, " %s %s ", catalog_scanning(a->catalog) ? "reading the folder" : "models are loading",
			 draw_spinner(&a->canvas, a->tick));
	}
	x = r->width - draw_columns(text);
	draw_text(&a->canvas, r->top, x, r->width - x, ROLE_PENDING, text);
	if (total < 2)
		return r->width - x;
	draw_bar(&a->canvas, r->top, x - bar, bar, (double)done / total, ROLE_BAR, ROLE_BAR_BACK);
	return r->width - x + bar;
}

static void draw_prompt(const struct app *a, const struct rect *r)
{
	const char *text = a->line.line[0];
	char before[EDITOR_LINE_BYTES + 4];
	int x = 1 + draw_text(&a->canvas, r->top, 0, 1, ROLE_KEY, a->mode == MODE_FILTER ? "/" : ":");

	draw_text(&a->canvas, r->top, x, r->width - x - 1, ROLE_TEXT, text);
	snprintf(before, sizeof before, "%.*s", a->line.at, text);
	x += draw_columns(before);
	move(r->top, x < r->width ? x : r->width - 1);
}

void view_status(struct app *a, const struct rect *r)
{
	int taken;

	draw_blank(&a->canvas, r, ROLE_STATUS);
	if (a->mode == MODE_FILTER || a->mode == MODE_COMMAND) {
		draw_prompt(a, r);
		return;
	}
	taken = draw_progress(a, r);
	if (a->message[0])
		draw_text(&a->canvas, r->top, 1, r->width - taken - 2, a->message_role, a->message);
	else
		draw_hints(a, r, r->width - taken - 1);
}
