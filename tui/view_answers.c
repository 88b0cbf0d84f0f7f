/* view_answers.c - what the models say of the selected picture: caption, labels with CLIP bars and NLI verdicts, and what is still to come. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/utf8.h"
#include "tui/app.h"

static const char *const model_names[MODEL_KINDS] = {"CLIP", "captioner", "NLI"};

/* What stands in the way of a model's answer, or NULL when it can be expected. */
static const char *model_problem(const struct app *a, enum model_kind kind)
{
	if (a->library_failed)
		return "libtorch could not be loaded";
	return a->model[kind].failure;
}

static void draw_loading(const struct app *a, int y, const struct rect *in)
{
	for (int i = 0; i < MODEL_KINDS; i++) {
		const struct model_state *m = &a->model[i];

		if (!m->used || m->ready || m->failure || y >= in->top + in->height)
			continue;
		draw_format(&a->canvas, y, in->left + 1, in->width - 2, ROLE_PENDING, "%s %s %s", draw_spinner(&a->canvas, a->tick), model_names[i],
			    a->library[0] ? m->total ? "" : "waits" : "waits for libtorch");
		if (m->total > 0)
			draw_bar(&a->canvas, y, in->left + 15, in->width - 16, (double)m->done / (double)m->total, ROLE_BAR, ROLE_BAR_BACK);
		y++;
	}
}

/* ---- caption -------------------------------------------------------------------------------------------------------------------------------- */

static void draw_caption_facts(const struct app *a, const struct answers *w, int y, const struct rect *in)
{
	char text[160];
	int n = 0;

	if (w->settled)
		n = snprintf(text, sizeof text, "%d tok  %.0f ms  p %.2f", w->tokens, w->caption_ms, exp((double)w->log_probability));
	else
		n = snprintf(text, sizeof text, "%d tok", w->tokens);
	if (!isnan(w->clipscore))
		snprintf(text + n, sizeof text - (size_t)n, "  CLIPScore %.2f", (double)w->clipscore);
	draw_text(&a->canvas, y, in->left + 1, in->width - 2, ROLE_DIM, text);
}

static bool models_wait(const struct app *a)
{
	for (int i = 0; i < MODEL_KINDS; i++)
		if (a->model[i].used && !a->model[i].ready && !a->model[i].failure)
			return !a->library_failed;
	return false;
}

/* Returns the first row below. */
static int draw_caption(const struct app *a, const struct catalog_picture *p, const struct rect *in)
{
	const struct answers *w = p->answers;
	const char *problem = model_problem(a, MODEL_CAPTION);
	int y = in->top, lines;

	if (!a->model[MODEL_CAPTION].used)
		return y;
	if (!w || !w->caption) {
		if (problem)
			return y + draw_wrapped(&a->canvas, y, in->left + 1, in->width - 2, 4, ROLE_ERROR, problem, false) + 1;
		if (p->status == PICTURE_NEW)
			draw_text(&a->canvas, y, in->left + 1, in->width - 2, ROLE_DIM, "no caption yet (Enter)");
		else
			draw_format(&a->canvas, y, in->left + 1, in->width - 2, ROLE_PENDING, "%s caption to come", draw_spinner(&a->canvas, a->tick));
		return y + 3;
	}
	lines = draw_wrapped(&a->canvas, y, in->left + 1, in->width - 2, in->height / 3 > 1 ? in->height / 3 : 1, ROLE_CAPTION, w->caption, !w->settled);
	draw_caption_facts(a, w, y + lines, in);
	return y + (lines < 2 ? 2 : lines) + 1;
}

/* ---- labels --------------------------------------------------------------------------------------------------------------------------------- */

/* The order in which labels are shown: the combined ranking when it is of these labels, else by CLIP, else as typed. */
static int shown_order(const struct app *a, const struct answers *w, int *order, int n)
{
	bool ranked = w && w->order && w->ranking_epoch == a->epoch && w->ranking_n == n;
	bool scored = w && w->probability && w->scores_epoch == a->epoch && w->scores_n == n;

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
	return n;
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
	draw_format(&a->canvas, y, x, 6, role, "%s %3.0f", draw_symbol(&a->canvas, symbol), 100 * (double)value);
}

struct columns {
	int label, bar, percent, verdict; /* widths; 0: left out */
};

static struct columns label_columns(const struct app *a, int width)
{
	struct columns c = {.percent = a->model[MODEL_SCORES].used ? 6 : 0, .verdict = a->model[MODEL_NLI].used && a->model[MODEL_CAPTION].used ? 6 : 0};
	int longest = 8, left;

	for (int i = 0; i < a->labels.n; i++) {
		int n = draw_columns(a->labels.line[i]);

		longest = n > longest ? n : longest;
	}
	left = width - c.percent - c.verdict - 2;
	c.bar = a->model[MODEL_SCORES].used ? left / 3 : 0;
	c.label = left - c.bar - 1;
	if (c.label > longest) { /* what the labels do not need goes to the bars */
		c.bar += c.label - longest;
		c.label = longest;
	}
	return c;
}

static void draw_label(const struct app *a, const struct answers *w, int label, int y, const struct rect *in, const struct columns *c)
{
	bool scored = w && w->probability && label < w->scores_n && w->scores_epoch == a->epoch;
	bool judged = w && w->verdicts && label < w->verdicts_n && w->verdicts_epoch == a->epoch;
	int x = in->left + 1;

	draw_field(&a->canvas, y, x, c->label, scored || judged ? ROLE_TEXT : ROLE_DIM, a->labels.line[label]);
	x += c->label + 1;
	if (c->percent && scored) {
		draw_bar(&a->canvas, y, x, c->bar, (double)w->probability[label], ROLE_BAR, ROLE_BAR_BACK);
		draw_format(&a->canvas, y, x + c->bar, c->percent, ROLE_TEXT, " %5.1f", 100 * (double)w->probability[label]);
	}
	x += c->bar + c->percent + 1;
	if (c->verdict && judged)
		draw_verdict(a, &w->verdicts[label], y, x);
	else if (c->verdict && w && w->settled)
		draw_text(&a->canvas, y, x, c->verdict, ROLE_PENDING, draw_symbol(&a->canvas, SYM_WORKING));
}

static void draw_labels(struct app *a, const struct answers *w, int y, const struct rect *in)
{
	struct columns c = label_columns(a, in->width - 1);
	int order[ENGINE_MAX_LABELS], n = a->labels.line[0][0] ? shown_order(a, w, order, a->labels.n) : 0;
	int rows = in->top + in->height - y - 1;

	if (rows < 1)
		return;
	draw_text(&a->canvas, y, in->left + 1, c.label, ROLE_HEADING, n ? "labels" : "no labels (e)");
	if (c.percent && n)
		draw_format(&a->canvas, y, in->left + c.label + 2, c.bar + c.percent, ROLE_HEADING, "%*s", c.bar + c.percent, "CLIP %");
	if (c.verdict && n)
		draw_text(&a->canvas, y, in->left + c.label + c.bar + c.percent + 3, c.verdict, ROLE_HEADING, "NLI %");
	if (a->label_top > n - rows)
		a->label_top = n > rows ? n - rows : 0;
	for (int i = 0; i < rows && a->label_top + i < n; i++)
		draw_label(a, w, order[a->label_top + i], y + 1 + i, in, &c);
	if (a->label_top + rows < n)
		draw_format(&a->canvas, in->top + in->height, in->left + 2, in->width - 4, ROLE_DIM, " %d more ", n - rows - a->label_top);
}

void view_answers(struct app *a, const struct rect *r)
{
	int64_t id = app_selected(a);
	const struct catalog_picture *p = id < 0 ? NULL : catalog_picture(a->catalog, (uint32_t)id);
	struct rect in = draw_frame(&a->canvas, r, a->focus == PANEL_ANSWERS, false, "what it sees");
	const char *clip = a->model[MODEL_SCORES].used ? model_problem(a, MODEL_SCORES) : NULL;
	int y = in.top;

	if (!p)
		return;
	if (p->status != PICTURE_FAILED && p->status != PICTURE_UNSUPPORTED)
		y = draw_caption(a, p, &in);
	if (clip && y < in.top + in.height)
		y += draw_wrapped(&a->canvas, y, in.left + 1, in.width - 2, 3, ROLE_ERROR, clip, false) + 1;
	draw_labels(a, p->answers, y, &in);
	if (models_wait(a))
		draw_loading(a, in.top + in.height - MODEL_KINDS, &in);
}
