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

/* What stands at the right end of the title, as much of it as fits. */
static void title_facts(const struct app *a, int width, char *out, size_t size)
{
	const char *device = a->device.name[0] ? a->device.name : a->library_failure ? "no libtorch" : "libtorch is loading";
	const char *precision = precision_name(app_precision(a));
	int batch = engine_get_settings(a->engine).batch;
	char clock[16];
	time_t now = time(NULL);
	struct tm tm;

	localtime_r(&now, &tm);
	strftime(clock, sizeof clock, "%H:%M:%S", &tm);
	snprintf(out, size, "%s  in %s  batch %d  %s ", device, precision, batch, clock);
	if (draw_columns(out) > width)
		snprintf(out, size, "in %s  batch %d  %s ", precision, batch, clock);
}

void view_title(struct app *a, const struct rect *r)
{
	char folder[512], right[256], count[64];
	int x = 1, marked = catalog_marked(a->catalog), end, counts;

	title_facts(a, r->width / 2, right, sizeof right);
	end = r->width - draw_columns(right);
	folder_text(a, folder, sizeof folder);
	snprintf(count, sizeof count, "  %d/%d%s", catalog_rows(a->catalog) ? a->row + 1 : 0, catalog_rows(a->catalog),
		 catalog_scanning(a->catalog) ? draw_symbol(&a->canvas, SYM_WORKING) : "");
	counts = draw_columns(count) + (marked ? 14 : 0);
	draw_blank(&a->canvas, r, ROLE_TITLE);
	if (draw_columns(folder) + counts + 12 < end)
		x += draw_text(&a->canvas, r->top, x, end, ROLE_TITLE, "vramble  ");
	x += draw_text(&a->canvas, r->top, x, end - x - counts - 1, ROLE_TEXT, folder);
	x += draw_text(&a->canvas, r->top, x, end - x, ROLE_DIM, count);
	if (marked)
		draw_whole(&a->canvas, r->top, x, end - x, ROLE_MARK, "  %s %d marked", draw_symbol(&a->canvas, SYM_MARK), marked);
	draw_text(&a->canvas, r->top, end, r->width - end, ROLE_DIM, right);
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
	static const struct key_help hints[] = {{"?", "help"},     {"e", "labels"}, {"Tab", "panel"}, {"b", "batch"}, {"v", "precision"},
						{"Space", "mark"}, {"/", "filter"}, {"t", "theme"},   {"x", "run"},   {"q", "quit"}};
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
	int x;

	draw_text(&a->canvas, r->top, 0, 1, ROLE_KEY, a->mode == MODE_FILTER ? "/" : ":");
	x = draw_edited(&a->canvas, r->top, 1, r->width - 2, ROLE_TEXT, a->line.line[0], a->line.at);
	move(r->top, x);
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
