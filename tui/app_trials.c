/* app_trials.c - fit and sweep: one trial after the other in the engine, what became of each on the screen, the old setting back when given up. See app.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/mem.h"
#include "tui/app.h"

enum { TRIAL_PICTURES = 64, SWEEP_PASSES = 2 };

/* Paths of pictures that can be read, from the selected one on; returns how many. The caller frees each. */
static int pictures(const struct app *a, char *paths[TRIAL_PICTURES])
{
	int rows = catalog_rows(a->catalog), n = 0;

	for (int i = 0; i < rows && n < TRIAL_PICTURES; i++) {
		uint32_t id = catalog_id(a->catalog, (a->row + i) % rows);
		enum picture_status status = catalog_picture(a->catalog, id)->status;

		if (status != PICTURE_UNSUPPORTED && status != PICTURE_FAILED)
			paths[n++] = catalog_path(a->catalog, id);
	}
	return n;
}

static int start_trial(struct app *a, const struct engine_settings *settings, int passes, struct error *err)
{
	struct engine_trial trial = {.settings = *settings, .passes = passes};
	char *paths[TRIAL_PICTURES];
	int n = pictures(a, paths), result;

	if (n)
		result = engine_try(a->engine, &trial, (const char *const *)paths, n, err);
	else
		result = fail(err, E_USAGE, "there is no picture here to try with");
	for (int i = 0; i < n; i++)
		free(paths[i]);
	return result;
}

/* What both begin with. False when they cannot. */
static bool begin(struct app *a)
{
	struct trials *t = &a->trials;
	struct engine_forecast forecast;

	if (t->running) {
		app_say(a, ROLE_WARNING, "a trial is running; Esc cancels it");
		return false;
	}
	app_drop_pending(a);
	t->base = a->config->settings;
	t->limit = engine_forecast(a->engine, &t->base, &forecast) ? forecast.limit : 0;
	t->began = clock_now_ms();
	t->lines = 0;
	t->result[0] = '\0';
	return true;
}

/* ---- fit ------------------------------------------------------------------------------------------------------------------------------------ */

struct guess {
	struct app *a;
	struct engine_settings settings;
};

static bool says_forecast(void *ctx, int batch)
{
	struct guess *g = ctx;
	struct engine_forecast forecast;

	g->settings.batch = batch;
	return engine_forecast(g->a->engine, &g->settings, &forecast) && forecast.fits;
}

static void __attribute__((format(printf, 3, 4))) fit_line(struct trials *t, bool good, const char *fmt, ...)
{
	va_list ap;

	if (t->lines == FIT_LINES) {
		memmove(t->line[0], t->line[1], sizeof t->line - sizeof t->line[0]);
		memmove(t->good, t->good + 1, sizeof t->good - sizeof t->good[0]);
		t->lines--;
	}
	t->good[t->lines] = good;
	va_start(ap, fmt);
	vsnprintf(t->line[t->lines++], sizeof t->line[0], fmt, ap);
	va_end(ap);
}

/* The end, whatever it is: the setting, and the line that says so. */
static void end_fit(struct app *a, const char *why)
{
	struct trials *t = &a->trials;
	int found = fit_setting(&t->fit, t->base.batch);
	char text[16];

	t->running = TRIALS_NONE;
	if (t->fit.state == FIT_DONE && fit_batch(&t->fit)) {
		snprintf(text, sizeof text, "%d", found);
		config_set(a->config, "batch", text, NULL);
		snprintf(t->result, sizeof t->result, "batch %d is the largest that ran under cap and reserve (was %d)", found, t->base.batch);
	} else if (t->fit.state == FIT_DONE) {
		snprintf(t->result, sizeof t->result, "not even a batch of 1 fits; batch %d stays: raise the cap, or lower image size or precision",
			 t->base.batch);
	} else {
		snprintf(t->result, sizeof t->result, "%.160s; batch %d stays", why, t->base.batch);
	}
	app_apply_config(a);
	app_say(a, t->fit.state == FIT_DONE && fit_batch(&t->fit) ? ROLE_DONE : ROLE_WARNING, "%s", t->result);
}

static void next_try(struct app *a)
{
	struct trials *t = &a->trials;
	struct engine_settings settings = t->base;
	struct error err;

	settings.batch = fit_next(&t->fit);
	if (!settings.batch) {
		end_fit(a, "");
	} else if (start_trial(a, &settings, 0, &err) < 0) {
		fit_cancel(&t->fit);
		end_fit(a, err.text);
	}
}

void app_fit(struct app *a)
{
	struct guess guess = {.a = a};

	if (!begin(a))
		return;
	guess.settings = a->trials.base;
	a->trials.fit = fit_begin(ENGINE_MAX_BATCH, fit_guess(ENGINE_MAX_BATCH, says_forecast, &guess));
	a->trials.running = TRIALS_FIT;
	keys_open(a, MODE_FIT);
	next_try(a);
}

static void take_try(struct app *a, const struct event *e)
{
	struct trials *t = &a->trials;
	int batch = fit_next(&t->fit);
	char peak[16], name[32];

	snprintf(name, sizeof name, "batch %-4d ", batch);
	if (e->err && e->err->code != E_MEMORY) {
		fit_cancel(&t->fit);
		end_fit(a, e->err->code == E_CANCELLED ? "cancelled" : e->err->text);
		return;
	}
	if (e->err)
		fit_line(t, false, "%s%s", strstr(e->err->text, "batch ") ? "" : name, e->err->text);
	else
		fit_line(t, true, "%sran, peak %s", name, view_size(e->trial.peak, peak));
	fit_answer(&t->fit, !e->err);
	next_try(a);
}

/* ---- sweep ---------------------------------------------------------------------------------------------------------------------------------- */

static void sweep_axes(const struct app *a, bool images, struct sweep_axes *axes)
{
	static const enum precision all[] = {PRECISION_FP32, PRECISION_AUTOCAST, PRECISION_BF16, PRECISION_FP16};
	const struct model_info *info = &a->model[MODEL_CAPTION].info;
	int step = info->image_step ? info->image_step : 1;

	*axes = (struct sweep_axes){.batch = {1, 2, 4, 8, 16, 32, 64}, .batches = 7};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		if (app_offers(a, all[i]))
			axes->precision[axes->precisions++] = all[i];
	if (!images || !info->image_step)
		return;
	for (int quarters = 2; quarters <= 4; quarters++)
		axes->image_size[axes->images++] = info->image_size * quarters / 4 / step * step;
}

static void end_sweep(struct app *a, const char *why)
{
	struct trials *t = &a->trials;

	t->running = TRIALS_NONE;
	if (why)
		sweep_cancel(&t->sweep);
	snprintf(t->result, sizeof t->result, "%.190s", why ? why : "");
	app_apply_config(a);
}

static void next_cell(struct app *a)
{
	struct trials *t = &a->trials;
	struct engine_settings settings;
	struct error err;

	t->cell = sweep_next(&t->sweep);
	if (t->cell < 0) {
		end_sweep(a, NULL);
		return;
	}
	settings = sweep_settings(&t->sweep, t->cell, &t->base);
	if (start_trial(a, &settings, SWEEP_PASSES, &err) < 0)
		end_sweep(a, err.text);
}

void app_sweep(struct app *a, bool images)
{
	struct trials *t = &a->trials;
	struct sweep_axes axes;
	struct error err;

	if (!begin(a))
		return;
	sweep_free(&t->sweep);
	free(t->command);
	t->command = NULL;
	sweep_axes(a, images, &axes);
	if (sweep_begin(&t->sweep, &axes, &err) < 0) {
		app_say(a, ROLE_ERROR, "%s", err.text);
		return;
	}
	t->images = images;
	t->row = t->column = 0;
	t->chosen = false;
	t->running = TRIALS_SWEEP;
	keys_open(a, MODE_SWEEP);
	next_cell(a);
}

static void follow_best(struct trials *t)
{
	int best = sweep_best(&t->sweep, t->limit);

	if (t->chosen || best < 0)
		return;
	t->row = best / t->sweep.columns;
	t->column = best % t->sweep.columns;
}

static void take_cell(struct app *a, const struct event *e)
{
	struct trials *t = &a->trials;

	sweep_answer(&t->sweep, t->cell, e);
	follow_best(t);
	if (e->err && e->err->code == E_CANCELLED)
		end_sweep(a, "cancelled; what ran stays");
	else
		next_cell(a);
}

void app_sweep_take_cell(struct app *a)
{
	struct trials *t = &a->trials;
	const struct sweep_cell *cell = sweep_at(&t->sweep, t->row, t->column);
	char text[16];

	if (cell->state != SWEEP_FITS) {
		app_say(a, ROLE_WARNING, "batch %d %s: only what ran can be taken", cell->batch, sweep_state_name(cell->state));
		return;
	}
	app_trials_cancel(a);
	snprintf(text, sizeof text, "%d", cell->batch);
	config_set(a->config, "batch", text, NULL);
	if (cell->precision != PRECISIONS)
		config_set(a->config, "precision", precision_name(cell->precision), NULL);
	if (cell->image_size >= 0) {
		snprintf(text, sizeof text, "%d", cell->image_size);
		config_set(a->config, "image-size", cell->image_size ? text : "auto", NULL);
	}
	if (app_apply_config(a))
		app_say(a, ROLE_DONE, "taken: batch %d, %s, %.1f images/s", cell->batch,
			cell->precision == PRECISIONS ? "precision as it was" : precision_name(cell->precision), cell->images_per_s);
	keys_close(a);
}

void app_sweep_write(struct app *a)
{
	struct trials *t = &a->trials;
	time_t now = time(NULL);
	struct tm tm;
	struct error err;
	char path[64];

	localtime_r(&now, &tm);
	strftime(path, sizeof path, "vramble-sweep-%Y%m%d-%H%M%S.csv", &tm);
	if (sweep_write_csv(&t->sweep, t->limit, path, &err) < 0) {
		app_say(a, ROLE_ERROR, "%s", err.text);
		return;
	}
	free(t->command);
	t->command = sweep_command(&t->sweep, t->row * t->sweep.columns + t->column, NULL, NULL);
	snprintf(t->result, sizeof t->result, "written: %s", path);
}

/* ---- both ----------------------------------------------------------------------------------------------------------------------------------- */

void app_trials_take(struct app *a, struct event *e)
{
	if (a->trials.running == TRIALS_FIT)
		take_try(a, e);
	else if (a->trials.running == TRIALS_SWEEP)
		take_cell(a, e);
	app_touch_all(a);
}

void app_trials_cancel(struct app *a)
{
	if (a->trials.running)
		engine_try_cancel(a->engine);
}

void app_trials_free(struct app *a)
{
	sweep_free(&a->trials.sweep);
	free(a->trials.command);
}
