/* view_profiles.c - the profiles and what each would change, drawn over the panels. */
#include <stdlib.h>
#include <string.h>

#include "tui/app.h"

enum { LIST_COLUMNS = 22, BOX_COLUMNS = 76 };

/* A model's own row says nothing that the row for all models does not say, unless they differ. */
static bool is_repetition(const struct config *then, const char *key)
{
	const char *dash = strrchr(key, '-');
	char *general = dash ? config_get(then, dash + 1) : NULL;
	bool repeats = general && strcmp(general, "mixed");

	free(general);
	return repeats;
}

/* What of the settings would be another: one line each. Returns how many there are. */
static int draw_changes(const struct app *a, const char *name, int y, int x, int width, int rows)
{
	struct config then;
	struct error err;
	int n = 0;

	app_copy_config(a, &then);
	if (profile_apply(&then, name, &err) < 0) {
		draw_wrapped(&a->canvas, y, x, width, rows, ROLE_ERROR, err.text, false);
		n = 1;
	}
	for (int c = 0; c < CONTROLS_ALL; c++) {
		const char *key = app_control_config((enum control)c);
		char *now = config_get(a->config, key), *other = config_get(&then, key);

		bool differs = strcmp(now, other) && !is_repetition(&then, key);

		if (differs && n < rows) {
			int used = draw_format(&a->canvas, y + n, x, width, ROLE_DIM, "%-19s %s %s ", key, now, a->canvas.utf8 ? "→" : "->");

			draw_text(&a->canvas, y + n, x + used, width - used, ROLE_VALUE, other);
		}
		n += differs;
		free(now);
		free(other);
	}
	config_free(&then);
	return n;
}

static void draw_chosen(const struct app *a, const struct rect *in, int x, int width)
{
	const struct profile_info *chosen = &a->profiles.list[a->profiles.row];
	int lines = chosen->summary ? draw_wrapped(&a->canvas, in->top, x, width, 2, ROLE_OVERLAY, chosen->summary, false) : 0;
	int rows = in->height - 2 - lines, n;

	n = draw_changes(a, chosen->name, in->top + lines, x, width, rows);
	if (!n)
		draw_text(&a->canvas, in->top + lines, x, width, ROLE_DIM, "as the settings are now");
	else if (n > rows)
		draw_format(&a->canvas, in->top + in->height - 2, x, width, ROLE_DIM, "and %d more", n - rows);
}

static void draw_list(const struct app *a, const struct rect *in)
{
	const struct profiles *p = &a->profiles;
	int rows = in->height - 2, top = p->row >= rows ? p->row - rows + 1 : 0;

	for (int i = top; i < p->n && i - top < rows; i++) {
		bool used = a->config->profile && !strcmp(a->config->profile, p->list[i].name);

		draw_text(&a->canvas, in->top + i - top, in->left + 1, 1, ROLE_MARK, used ? draw_symbol(&a->canvas, SYM_MARK) : " ");
		draw_field(&a->canvas, in->top + i - top, in->left + 2, LIST_COLUMNS - 3, i == p->row ? ROLE_SELECTION : ROLE_OVERLAY,
			   p->list[i].name);
	}
}

void view_profiles(struct app *a)
{
	const struct profiles *p = &a->profiles;
	struct rect in = view_box(a, (p->n > 14 ? p->n : 14) + 4, BOX_COLUMNS, "profiles");
	int y = in.top + in.height - 1, x = in.left + 1, width = in.width - 2, used;

	draw_list(a, &in);
	draw_chosen(a, &in, in.left + LIST_COLUMNS, in.width - LIST_COLUMNS - 1);
	if (a->message[0])
		draw_text(&a->canvas, y - 1, x, width, a->message_role, a->message);
	if (p->naming) {
		used = draw_text(&a->canvas, y, x, width, ROLE_KEY, "save as: ");
		move(y, draw_edited(&a->canvas, y, x + used, width - used, ROLE_VALUE, a->line.line[0], a->line.at));
	} else if (p->deleting) {
		draw_format(&a->canvas, y, x, width, ROLE_ALERT, "delete %s? y deletes, any other key keeps it", p->list[p->row].name);
	} else {
		draw_text(&a->canvas, y, x, width, ROLE_DIM, "Enter switches  w saves the present settings  d deletes  Esc closes");
	}
}
