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
	int batch = a->status.ladder.steps ? a->status.ladder.batch : a->config->settings.batch;
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
	static const struct key_help hints[] = {{"?", "help"},   {"e", "labels"}, {"m", "models"},  {"b", "batch"},    {"v", "precision"},
						{"a", "fit"},    {"s", "sweep"},  {"p", "profile"}, {"o", "settings"}, {"x", "run"},
						{"/", "filter"}, {"q", "quit"},   {"t", "theme"}};
	int x = 1;

	for (size_t i = 0; i < sizeof hints / sizeof *hints; i++) {
		int needs = draw_columns(hints[i].keys) + draw_columns(hints[i].what) + 3;

		if (x + needs <= width)
			x += draw_key(a, r->top, x, width - x, hints[i].keys, hints[i].what);
	}
}

/* What a setting that waits for a decision would come to. */
static void draw_pending(const struct app *a, const struct rect *r, int width)
{
	const struct pending *p = &a->pending;
	char wanted[16], limit[16];

	if (!p->known)
		draw_text(&a->canvas, r->top, 1, width, ROLE_KEY, "changed: Enter applies now, Esc drops");
	else if (p->wanted.fits)
		draw_format(&a->canvas, r->top, 1, width, ROLE_GHOST, "forecast peak %s fits in %s: Enter applies now, Esc drops",
			    view_size(p->wanted.used, wanted), view_size(p->wanted.limit, limit));
	else
		draw_format(&a->canvas, r->top, 1, width, ROLE_ALERT,
			    "does not fit: forecast peak %s, room for %s; Enter applies all the same, Esc drops", view_size(p->wanted.used, wanted),
			    view_size(p->wanted.limit, limit));
}

/* What goes on while no picture is waited for. */
static void say_work(const struct app *a, char *out, size_t size)
{
	const char *what = catalog_scanning(a->catalog) ? "reading the folder" : app_loading(a) ? "models are loading" : "looking for models";
	const char *spinner = draw_spinner(&a->canvas, a->tick);

	if (a->trials.running)
		snprintf(out, size, " trial %s ", spinner);
	else if (!app_loading(a) && a->status.refreshing > 0)
		snprintf(out, size, " %d to answer anew %s ", a->status.refreshing, spinner);
	else
		snprintf(out, size, " %s %s ", what, spinner);
}

/* How far a run of the folder is, and what is on its way. Returns the columns taken at the right end. */
static int draw_progress(const struct app *a, const struct rect *r)
{
	int bar = r->width >= 100 ? 20 : 10, done, total, x;
	char text[80];

	if (!app_busy(a))
		return 0;
	if (a->status.pending > 0) {
		/* What the queue did not take yet is of the run too. */
		total = a->run_total + (a->run_all && !a->run_marked ? catalog_total(a->catalog) - a->submitted : 0);
		total = total > a->status.pending ? total : a->status.pending;
		done = a->run_total > a->status.pending ? a->run_total - a->status.pending : 0;
		snprintf(text, sizeof text, "%s %d/%d %s ", a->full ? " queue full " : "", done, total, draw_spinner(&a->canvas, a->tick));
	} else {
		done = total = 0;
		say_work(a, text, sizeof text);
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

/* The steps down that stand until they are undone, at the right end. Returns the columns taken, `taken` among them. */
static int draw_ladder(const struct app *a, const struct rect *r, int taken)
{
	const struct ladder_status *l = &a->status.ladder;
	char text[80];
	int width;

	if (!l->steps && !l->device_failed)
		return taken;
	if (l->device_failed)
		snprintf(text, sizeof text, " CUDA failed: on the CPU ");
	else
		snprintf(text, sizeof text, " %d step%s down: u undoes ", l->steps, l->steps > 1 ? "s" : "");
	width = draw_columns(text);
	if (taken + width > r->width * 2 / 3)
		return taken;
	draw_text(&a->canvas, r->top, r->width - taken - width, width, l->device_failed ? ROLE_ALERT : ROLE_WARNING, text);
	return taken + width;
}

void view_status(struct app *a, const struct rect *r)
{
	char alerts[600];
	int width;

	draw_blank(&a->canvas, r, ROLE_STATUS);
	if (a->mode == MODE_FILTER || a->mode == MODE_COMMAND) {
		draw_prompt(a, r);
		return;
	}
	width = r->width - draw_ladder(a, r, draw_progress(a, r)) - 2;
	if (a->message[0])
		draw_text(&a->canvas, r->top, 1, width, a->message_role, a->message);
	else if (a->pending.on)
		draw_pending(a, r, width);
	else if (alerts_line(&a->alerts, alerts, sizeof alerts))
		draw_text(&a->canvas, r->top, 1, width, ROLE_ALERT, alerts);
	else
		draw_hints(a, r, width + 1);
}
