/* view_pictures.c - the list of pictures and the picture itself. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/image_format.h"
#include "core/utf8.h"
#include "tui/app.h"

int view_browser_rows(const struct layout *l)
{
	const struct rect *r = &l->panel[PANEL_BROWSER];

	if (!r->height) /* a dropped list still pages by what the picture's height would show */
		r = &l->panel[PANEL_PICTURE];
	return r->height > 2 ? r->height - 2 : 1;
}

static const char *status_symbol(const struct app *a, const struct catalog_picture *p, enum theme_role *role)
{
	static const struct {
		enum symbol symbol;
		enum theme_role role;
	} looks[PICTURE_STATUSES] = {{SYM_PENDING, ROLE_DIM}, {SYM_PENDING, ROLE_PENDING}, {SYM_WORKING, ROLE_PENDING},
				     {SYM_DONE, ROLE_DONE},   {SYM_FAILED, ROLE_FAILED},   {SYM_UNSUPPORTED, ROLE_UNSUPPORTED}};

	*role = looks[p->status].role;
	if (p->status == PICTURE_NEW)
		return " ";
	if (p->status == PICTURE_WORKING)
		return draw_spinner(&a->canvas, a->tick);
	return draw_symbol(&a->canvas, looks[p->status].symbol);
}

static void draw_picture_row(const struct app *a, const struct catalog_picture *p, int y, int x, int width, bool selected)
{
	enum theme_role role, name_role = p->status == PICTURE_UNSUPPORTED ? ROLE_UNSUPPORTED : ROLE_TEXT;
	const char *symbol = status_symbol(a, p, &role);
	char name[1024];

	utf8_escape(p->name, strlen(p->name), name, sizeof name);
	if (selected)
		name_role = role = ROLE_SELECTION;
	draw_text(&a->canvas, y, x, 1, selected ? ROLE_SELECTION : ROLE_MARK, p->marked ? draw_symbol(&a->canvas, SYM_MARK) : " ");
	draw_field(&a->canvas, y, x + 1, width - 4, name_role, name);
	draw_field(&a->canvas, y, x + width - 3, 1, role, " ");
	draw_field(&a->canvas, y, x + width - 2, 2, role, symbol);
}

/* Why the list is empty. */
static const char *empty_reason(const struct app *a)
{
	if (catalog_scanning(a->catalog))
		return "reading the folder";
	return catalog_total(a->catalog) ? "nothing matches; Esc shows all" : "no pictures here; JPEG, PNG, BMP and GIF files are listed";
}

void view_browser(struct app *a, const struct rect *r)
{
	char title[64];
	int rows = catalog_rows(a->catalog);
	struct rect in;

	if (rows == catalog_total(a->catalog))
		snprintf(title, sizeof title, "pictures");
	else
		snprintf(title, sizeof title, "pictures %d of %d", rows, catalog_total(a->catalog));
	in = draw_frame(&a->canvas, r, a->focus == PANEL_BROWSER, false, title);
	if (!rows)
		draw_wrapped(&a->canvas, in.top, in.left + 1, in.width - 2, in.height, ROLE_DIM, empty_reason(a), false);
	for (int i = 0; i < in.height && a->top + i < rows; i++)
		draw_picture_row(a, catalog_at(a->catalog, a->top + i), in.top + i, in.left, in.width, a->top + i == a->row);
}

/* ---- the picture ---------------------------------------------------------------------------------------------------------------------------- */

static void picture_title(const struct app *a, const struct catalog_picture *p, char *out, size_t size)
{
	const struct image_info *info = p->answers ? &p->answers->info : NULL;
	size_t n = utf8_escape(p->name, strlen(p->name), out, size);

	if (!info || !info->width)
		return;
	snprintf(out + n, size - n, "  %d%s%d  %s", info->width, a->canvas.utf8 ? "×" : "x", info->height, info->format);
	if (info->orientation > 1) {
		n = strlen(out);
		snprintf(out + n, size - n, "  EXIF %d", info->orientation);
	}
}

const char *app_short_failure(const struct app *a, const char *failure)
{
	const char *folder = catalog_folder(a->catalog);
	char shown[4096];
	size_t n = utf8_escape(folder, strlen(folder), shown, sizeof shown);

	if (!n || strncmp(failure, shown, n))
		return failure;
	return failure + n + (failure[n] == '/');
}

/* Why there is no picture to show; NULL when there is, or will be. */
static const char *picture_problem(const struct app *a, const struct catalog_picture *p)
{
	if (p->status == PICTURE_UNSUPPORTED)
		return image_format_of_name(p->name)->hint;
	if (p->status == PICTURE_FAILED && p->answers && p->answers->failure)
		return app_short_failure(a, p->answers->failure);
	return NULL;
}

void view_picture(struct app *a, const struct rect *r)
{
	int64_t id = app_selected(a);
	const struct catalog_picture *p = id < 0 ? NULL : catalog_picture(a->catalog, (uint32_t)id);
	const char *problem = p ? picture_problem(a, p) : NULL;
	char title[1200] = "";
	struct rect in;

	if (p)
		picture_title(a, p, title, sizeof title);
	/* The old picture stays until the new one is ready: no blank in between. */
	in = draw_frame(&a->canvas, r, a->focus == PANEL_PICTURE, true, title);
	theme_set(a->theme, stdscr, ROLE_TEXT);
	if (p && preview_has(a->preview, (uint32_t)id)) {
		preview_request(a->preview, (uint32_t)id, in.width, in.height);
		preview_draw(a->preview, stdscr, in.top, in.left, in.width, in.height);
	} else if (!p || problem) {
		draw_blank(&a->canvas, &in, ROLE_TEXT);
		draw_wrapped(&a->canvas, in.top + in.height / 3, in.left + 2, in.width - 4, in.height / 2, problem ? ROLE_ERROR : ROLE_DIM,
			     problem ? problem : "", false);
	} else {
		preview_draw(a->preview, stdscr, in.top, in.left, in.width, in.height);
	}
}
