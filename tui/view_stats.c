/* view_stats.c - how the run goes, in full, drawn over the panels. */
#include "tui/app.h"

static void draw_counts(const struct app *a, const struct stats *s, int y, int x, int width)
{
	int used = draw_format(&a->canvas, y, x, width, ROLE_DONE, "%lld ok  ", (long long)s->ok);

	used += draw_whole(&a->canvas, y, x + used, width - used, s->failed ? ROLE_FAILED : ROLE_DIM, "%lld failed  ", (long long)s->failed);
	used += draw_whole(&a->canvas, y, x + used, width - used, ROLE_DIM, "%lld retried  %lld cancelled  %lld waiting  ", (long long)s->retried,
			   (long long)s->cancelled, (long long)s->pending);
	if (s->success >= 0)
		draw_whole(&a->canvas, y, x + used, width - used, s->success < 1 ? ROLE_WARNING : ROLE_DONE, "%.1f %% success", 100 * s->success);
}

static void draw_stages(const struct app *a, const struct stats *s, int y, int x, int width)
{
	draw_format(&a->canvas, y, x, width, ROLE_HEADING, "%-10s%10s%10s%10s%10s", "ms each", "done", "p50", "p95", "p99");
	for (int i = 0; i < STAGES; i++) {
		const struct stage_status *t = &s->stage[i];

		if (t->done)
			draw_format(&a->canvas, y + 1 + i, x, width, ROLE_OVERLAY, "%-10s%10lld%10.1f%10.1f%10.1f", stage_name((enum stage)i),
				    (long long)t->done, t->p50_ms, t->p95_ms, t->p99_ms);
		else
			draw_format(&a->canvas, y + 1 + i, x, width, ROLE_DIM, "%-10s%10s", stage_name((enum stage)i), "-");
	}
}

static void draw_speed(const struct app *a, const struct stats *s, int y, int x, int width)
{
	draw_format(&a->canvas, y, x, width, ROLE_OVERLAY, "%.1f pictures/s now, %.1f overall", s->images_per_s, s->images_per_s_overall);
	if (s->tokens_per_s > 0)
		draw_format(&a->canvas, y + 1, x, width, ROLE_OVERLAY, "%.0f tokens/s", s->tokens_per_s);
	draw_format(&a->canvas, y + 2, x, width, stats_recent_success(&a->recent) < 1 ? ROLE_WARNING : ROLE_DIM, "of the last %d: %.0f %% ok",
		    a->recent.count, 100 * stats_recent_success(&a->recent));
}

void view_stats(struct app *a)
{
	struct stats s = stats_of(&a->status);
	struct rect in = view_box(a, 18, 72, "statistics");
	int x = in.left + 1, width = in.width - 2;
	char line[600];

	draw_counts(a, &s, in.top, x, width);
	draw_stages(a, &s, in.top + 2, x, width);
	draw_speed(a, &s, in.top + 9, x, width);
	if (alerts_line(&a->alerts, line, sizeof line))
		draw_wrapped(&a->canvas, in.top + 12, x, width, 3, ROLE_ALERT, line, false);
	draw_text(&a->canvas, in.top + in.height - 1, x, width, ROLE_DIM, "any key closes");
}
