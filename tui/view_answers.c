/* view_answers.c - what the models say of the selected picture: caption, labels with CLIP bars and NLI verdicts, what is still to come, and from whom. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tui/app.h"

static bool is_coming(const struct app *a, const struct catalog_picture *p)
{
	return p->status == PICTURE_QUEUED || p->status == PICTURE_WORKING || (p->status == PICTURE_DONE && a->status.refreshing);
}

/* ---- models --------------------------------------------------------------------------------------------------------------------------------- */

static bool is_loading(const struct app *a, enum model_kind kind)
{
	return app_can(a, kind) && !a->model[kind].ready;
}

static void draw_model(const struct app *a, enum model_kind kind, int y, int x, int width)
{
	const struct model_state *m = &a->model[kind];
	const struct lane_status *lane = &a->status.lane[kind];
	const char *symbol =
		is_loading(a, kind) ? draw_spinner(&a->canvas, a->tick) : draw_symbol(&a->canvas, app_can(a, kind) ? SYM_DONE : SYM_FAILED);
	int used;

	draw_format(&a->canvas, y, x, 12,
		    !app_can(a, kind)                   ? ROLE_FAILED
		    : is_loading(a, kind) || lane->busy ? ROLE_PENDING
							: ROLE_DIM,
		    "%s %s", symbol, app_model_name(kind));
	x += 12;
	width -= 12;
	if (!app_can(a, kind)) {
		draw_text(&a->canvas, y, x, width, ROLE_FAILED, m->failure ? m->failure : "no libtorch");
	} else if (!m->ready && m->total > 0) {
		draw_bar(&a->canvas, y, x, width, (double)m->done / (double)m->total, ROLE_BAR, ROLE_BAR_BACK);
	} else if (!m->ready) {
		draw_text(&a->canvas, y, x, width, ROLE_DIM, a->library[0] ? "waits" : "waits for libtorch");
	} else {
		used = draw_whole(&a->canvas, y, x, width, ROLE_DIM, "%s  %s", m->info.name, precision_name(m->precision));
		if (lane->p50_ms > 0)
			draw_whole(&a->canvas, y, x + used, width - used, ROLE_DIM, "  %.0f ms", lane->p50_ms);
	}
}

/* The models' lines at the foot of the panel: always while something is loading or broken, else where there is room below `free`. */
static void draw_models(const struct app *a, const struct rect *in, int free)
{
	int lines = 0, y;
	bool news = false;

	for (int i = 0; i < MODEL_KINDS; i++) {
		lines += a->model[i].used;
		news |= a->model[i].used && (!app_can(a, (enum model_kind)i) || is_loading(a, (enum model_kind)i));
	}
	y = in->top + in->height - lines;
	if (y <= free && !news)
		return;
	for (int i = 0; i < MODEL_KINDS; i++) {
		struct rect line = {y, in->left, 1, in->width};

		if (!a->model[i].used || y <= in->top)
			continue;
		draw_blank(&a->canvas, &line, ROLE_TEXT);
		draw_model(a, (enum model_kind)i, y++, in->left + 1, in->width - 2);
	}
}

/* ---- caption -------------------------------------------------------------------------------------------------------------------------------- */

static void draw_caption_facts(const struct app *a, const struct answers *w, int y, const struct rect *in)
{
	int x = in->left + 1, end = in->left + in->width - 1;

	if (!isnan(w->clipscore))
		x += draw_whole(&a->canvas, y, x, end - x, ROLE_TEXT, "CLIPScore %.2f  ", (double)w->clipscore);
	x += draw_whole(&a->canvas, y, x, end - x, ROLE_DIM, "%d tok  ", w->tokens);
	if (!w->settled)
		return;
	x += draw_whole(&a->canvas, y, x, end - x, ROLE_DIM, "%.0f ms  ", w->caption_ms);
	draw_whole(&a->canvas, y, x, end - x, ROLE_DIM, "p %.2f", exp((double)w->log_probability));
}

/* Returns the first row below. */
static int draw_caption(const struct app *a, const struct catalog_picture *p, const struct rect *in)
{
	const struct answers *w = p->answers;
	int y = in->top, most = in->height / 3 > 1 ? in->height / 3 : 1, lines;

	if (!app_can(a, MODEL_CAPTION))
		return y;
	if (!w || !w->caption) {
		if (is_coming(a, p))
			draw_format(&a->canvas, y, in->left + 1, in->width - 2, ROLE_PENDING, "%s caption to come",
				    draw_spinner(&a->canvas, a->tick));
		else
			draw_text(&a->canvas, y, in->left + 1, in->width - 2, ROLE_DIM, "no caption yet; Enter asks for one");
		return y + 3;
	}
	lines = draw_wrapped(&a->canvas, y, in->left + 1, in->width - 2, most, ROLE_CAPTION, w->caption, !w->settled);
	draw_caption_facts(a, w, y + lines, in);
	return y + (lines < 2 ? 2 : lines + 1) + 1;
}

/* Why there are no answers at all, instead of them; false when there is no such reason. */
static bool draw_problem(const struct app *a, const struct catalog_picture *p, const struct rect *in)
{
	const char *text = a->library_failure;
	int lines;

	if (p->status == PICTURE_UNSUPPORTED)
		text = "no answers: the picture is not read";
	else if (!app_has_models(a))
		text = "no model is in use; give one with --clip, --captioner or --nli";
	else if (!text && p->status == PICTURE_FAILED && p->answers->failure) /* the picture's panel tells why there is no picture */
		text = p->answers->info.width ? app_short_failure(a, p->answers->failure) : "no answers: the picture could not be read";
	if (!text)
		return false;
	lines = draw_wrapped(&a->canvas, in->top, in->left + 1, in->width - 2, in->height - 2, ROLE_FAILED, text, false);
	if (p->status == PICTURE_FAILED && !a->library_failure)
		draw_text(&a->canvas, in->top + lines + 1, in->left + 1, in->width - 2, ROLE_DIM, "Enter tries again");
	return true;
}

/* ---- labels --------------------------------------------------------------------------------------------------------------------------------- */

static bool has_scores(const struct app *a, const struct answers *w, int label)
{
	return w && w->probability && w->scores_epoch == a->epoch && label < w->scores_n;
}

static bool has_verdict(const struct app *a, const struct answers *w, int label)
{
	return w && w->verdicts && w->verdicts_epoch == a->epoch && label < w->verdicts_n;
}

/* The order in which labels are shown: the combined ranking when it is of these labels, else by CLIP, else as typed. */
static void shown_order(const struct app *a, const struct answers *w, int *order, int n)
{
	bool ranked = w && w->order && w->ranking_epoch == a->epoch && w->ranking_n == n, scored = has_scores(a, w, n - 1);

	for (int i = 0; i < n; i++) {
		int at = i;

		if (ranked) {
			order[i] = w->order[i];
			continue;
		}
		for (; scored && at > 0 && w->probability[order[at - 1]] < w->probability[i]; at--)
			order[at] = order[at - 1];
		order[at] = i;
	}
}

static void draw_verdict(const struct app *a, const struct verdict *v, int y, int x)
{
	enum theme_role role = ROLE_NEUTRAL;
	enum symbol symbol = SYM_NEUTRAL;
	float value = v->neutral;

	if (v->entailment >= v->neutral && v->entailment >= v->contradiction) {
		role = ROLE_ENTAIL;
		symbol = SYM_DONE;
		value = v->entailment;
	} else if (v->contradiction > v->neutral) {
		role = ROLE_CONTRADICT;
		symbol = SYM_FAILED;
		value = v->contradiction;
	}
	draw_format(&a->canvas, y, x, 5, role, "%s %3.0f", draw_symbol(&a->canvas, symbol), 100 * (double)value);
}

struct columns {
	int label, bar, percent, verdict; /* widths; 0: left out */
};

static struct columns label_columns(const struct app *a, int width)
{
	struct columns c = {.percent = app_can(a, MODEL_SCORES) ? 6 : 0, .verdict = app_can(a, MODEL_NLI) && app_can(a, MODEL_CAPTION) ? 6 : 0};
	int longest = 8, left = width - c.percent - c.verdict;

	for (int i = 0; i < a->labels.n; i++) {
		int n = draw_columns(a->labels.line[i]);

		longest = n > longest ? n : longest;
	}
	c.bar = c.percent ? left / 4 : 0;
	c.label = left - c.bar - 1;
	if (c.percent && c.label > longest) { /* what the labels do not need goes to the bars */
		c.bar += c.label - longest;
		c.label = longest;
	}
	return c;
}

static void draw_label(const struct app *a, const struct catalog_picture *p, int label, int y, const struct rect *in, const struct columns *c)
{
	const struct answers *w = p->answers;
	bool scored = has_scores(a, w, label), judged = has_verdict(a, w, label);
	const char *soon = is_coming(a, p) ? draw_symbol(&a->canvas, SYM_WORKING) : "";
	int x = in->left + 1;

	draw_text(&a->canvas, y, x, c->label, scored || judged ? ROLE_TEXT : ROLE_DIM, a->labels.line[label]);
	x += c->label + 1;
	if (c->percent && scored) {
		draw_bar(&a->canvas, y, x, c->bar, (double)w->probability[label], ROLE_BAR, ROLE_BAR_BACK);
		draw_format(&a->canvas, y, x + c->bar, c->percent, ROLE_TEXT, " %5.1f", 100 * (double)w->probability[label]);
	} else if (c->percent) {
		draw_text(&a->canvas, y, x + c->bar + c->percent - 1, 1, ROLE_PENDING, soon);
	}
	x += c->bar + c->percent + 1;
	if (c->verdict && judged)
		draw_verdict(a, &w->verdicts[label], y, x);
	else if (c->verdict)
		draw_text(&a->canvas, y, x + c->verdict - 2, 1, ROLE_PENDING, soon);
}

/* Returns the first row below. */
static int draw_labels(struct app *a, const struct catalog_picture *p, int y, const struct rect *in)
{
	struct columns c = label_columns(a, in->width - 2);
	int order[ENGINE_MAX_LABELS], n = a->labels.line[0][0] ? a->labels.n : 0;
	int rows = in->top + in->height - y - 1, x = in->left + 1;

	if (rows < 1)
		return y;
	draw_text(&a->canvas, y, x, c.label, ROLE_HEADING, n ? "labels" : "no labels; e edits them");
	if (!n)
		return y + 1;
	shown_order(a, p->answers, order, n);
	x += c.label + 1 + c.bar;
	if (c.percent)
		draw_text(&a->canvas, y, x, c.percent, ROLE_HEADING, "CLIP %");
	if (c.verdict)
		draw_text(&a->canvas, y, x + c.percent + 1, c.verdict - 1, ROLE_HEADING, "NLI %");
	a->label_top = a->label_top > n - rows ? n - rows : a->label_top;
	a->label_top = a->label_top < 0 ? 0 : a->label_top;
	for (int i = 0; i < rows && a->label_top + i < n; i++)
		draw_label(a, p, order[a->label_top + i], y + 1 + i, in, &c);
	if (a->label_top + rows < n)
		draw_format(&a->canvas, in->top + in->height, in->left + 2, in->width - 4, ROLE_DIM, " %d more ", n - rows - a->label_top);
	return y + 1 + (n < rows ? n : rows);
}

void view_answers(struct app *a, const struct rect *r)
{
	int64_t id = app_selected(a);
	const struct catalog_picture *p = id < 0 ? NULL : catalog_picture(a->catalog, (uint32_t)id);
	struct rect in = draw_frame(&a->canvas, r, a->focus == PANEL_ANSWERS, false, "what it sees");
	int free = in.top;

	if (p && !draw_problem(a, p, &in)) {
		free = draw_caption(a, p, &in);
		free = draw_labels(a, p, free, &in);
	}
	if (!a->library_failure)
		draw_models(a, &in, free);
}
