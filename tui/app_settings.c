/* app_settings.c - the controls: a setting stepped through or typed, shown with its forecast before it holds, then applied. See app.h.
 *
 * What decides memory is pending at first. Each key restarts the pause after which it is applied unasked; a setting that does not fit waits for Enter however
 * long it takes. Everything else holds at once.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "tui/app.h"

enum { PAUSE_MS = 1200, WORDS = 48 };

static const struct control_row {
	const char *config; /* the key in core/config */
	const char *name;   /* in the panel */
	const char *key;    /* that raises it */
	const char *steps;  /* what stepping goes through, ascending; a word first or last is the least or the most */
	bool pends;         /* it decides memory */
} rows[CONTROLS_ALL] = {
	[CONTROL_BATCH] = {"batch", "batch", "b", "1 2 4 8 12 16 24 32 48 64 96 128 192 256", true},
	[CONTROL_PRECISION] = {"precision", "precision", "v", "auto fp32 bf16 fp16 autocast", true},
	[CONTROL_IMAGE_SIZE] = {"image-size", "image", "z", "auto 32 48 64 80 96 112 128 160 192 224 256 320 384 448 480 512 576 640 672 768 1024",
				true},
	[CONTROL_BEAMS] = {"beams", "beams", "w", "1 2 3 4 5 6 8 10 12 16", true},
	[CONTROL_CAP] = {"cap", "cap", "c",
			 "16M 32M 48M 64M 96M 128M 192M 256M 384M 512M 768M 1G 1536M 2G 3G 4G 6G 8G 10G 12G 16G 20G 24G 32G 40G 48G 64G 80G 96G 128G "
			 "160G 192G none",
			 true},
	[CONTROL_RESERVE] = {"reserve", "reserve", "", "0 5 10 15 20 25 30 40 50 60 75 90", true},
	[CONTROL_SEED] = {"seed", "seed", "", "clock 42", false},
	{"slice", "", "", "1 2 4 8 16 32 64 all", true},
	{"clip-precision", "", "", "auto fp32 bf16 fp16 autocast", true},
	{"captioner-precision", "", "", "auto fp32 bf16 fp16 autocast", true},
	{"nli-precision", "", "", "auto fp32 bf16 fp16 autocast", true},
	{"device", "", "", "auto cpu", true},
	{"clip-device", "", "", "auto cpu", true},
	{"captioner-device", "", "", "auto cpu", true},
	{"nli-device", "", "", "auto cpu", true},
	{"deterministic", "", "", "off on", false},
	{"benchmark", "", "", "off on", false},
	{"retries", "", "", "0 1 2 3 5 10 20", false},
	{"retry-delay", "", "", "0 0.5 1 2 5 10 30", false},
	{"deadline", "", "", "0.5 1 2 5 10 20 30 60 120 300 none", false},
	{"queue", "", "", "5 10 20 50 100 200 500 1000 none", false},
	{"empty-cache", "", "", "off on", false},
	{"threads", "", "", "0 1 2 3 4 6 8 12 16 24 32 48 64", false},
	{"alert-memory", "", "", "50 60 70 80 85 90 95 98 none", false},
	{"alert-success", "", "", "50 60 70 80 90 95 98 99 none", false},
	{"alert-stall", "", "", "5 10 30 60 120 300 none", false},
};

const char *app_control_key(enum control c)
{
	return rows[c].key;
}

const char *app_control_name(enum control c)
{
	return rows[c].name;
}

const char *app_control_config(enum control c)
{
	return rows[c].config;
}

enum control app_control_of(const char *config_key)
{
	int c = 0;

	while (c < CONTROLS_ALL && strcmp(rows[c].config, config_key))
		c++;
	return (enum control)c;
}

/* ---- what stands ---------------------------------------------------------------------------------------------------------------------------- */

char *app_control_text(const struct app *a, enum control c, bool *pending)
{
	char *now = config_get(a->config, rows[c].config), *wanted;

	*pending = false;
	if (!a->pending.on)
		return now;
	wanted = config_get(&a->pending.config, rows[c].config);
	*pending = strcmp(now, wanted) != 0;
	free(now);
	return wanted;
}

enum precision app_precision(const struct app *a)
{
	for (int i = 0; i < MODEL_KINDS; i++)
		if (a->model[i].ready)
			return a->model[i].precision;
	return a->config->settings.precision[0];
}

void app_control_really(const struct app *a, enum control c, char *out, size_t size)
{
	const struct engine_settings *s = &a->config->settings;
	const struct ladder_status *l = &a->status.ladder;
	enum precision precision = app_precision(a);

	*out = '\0';
	if (c == CONTROL_BATCH && l->steps && l->batch != s->batch)
		snprintf(out, size, "now %d", l->batch);
	else if (c == CONTROL_IMAGE_SIZE && l->steps && l->image_size && l->image_size != s->image_size)
		snprintf(out, size, "now %d", l->image_size);
	else if (c == CONTROL_PRECISION && precision != s->precision[0] && precision != PRECISION_AUTO)
		snprintf(out, size, "%s", precision_name(precision));
	else if (c == CONTROL_SEED && a->config->seed_from_clock)
		snprintf(out, size, "%llu", (unsigned long long)s->seed);
}

int64_t app_total_memory(const struct app *a)
{
	return a->status.devices ? a->status.device[0].memory.device_total : 0;
}

bool app_offers(const struct app *a, enum precision p)
{
	/* fp16 exists on devices only; bf16 is offered where it is no loss. Before the device is known everything is offered. */
	return !a->library[0] || (p != PRECISION_BF16 && p != PRECISION_FP16) || (p == PRECISION_BF16 ? a->device.bf16 : a->device.fp16);
}

/* ---- stepping ------------------------------------------------------------------------------------------------------------------------------- */

/* What a step's word says as a number, for finding the place of a typed value; NaN for a word. */
static double number(const char *word)
{
	int64_t bytes;
	char *end;
	double value = strtod(word, &end);

	if (end == word)
		return NAN;
	return *end && config_bytes(word, &bytes, NULL) == 0 ? (double)bytes : value;
}

static bool is_offered(const struct app *a, enum control c, const char *word)
{
	enum precision precision;
	int64_t bytes, total = app_total_memory(a);
	int most = a->model[MODEL_CAPTION].info.image_max;

	if (c == CONTROL_CAP)
		return !total || config_bytes(word, &bytes, NULL) < 0 || bytes < total;
	if (c == CONTROL_IMAGE_SIZE)
		return !most || atoi(word) <= most;
	return !strstr(rows[c].config, "precision") || precision_parse(word, &precision) < 0 || app_offers(a, precision);
}

/* The words of the steps that make sense here, in text[]; returns how many. copy is cut into them. */
static int words_of(const struct app *a, enum control c, char *copy, const char *words[WORDS])
{
	static const char *const cuda[] = {"cuda:0", "cuda:1", "cuda:2", "cuda:3", "cuda:4", "cuda:5", "cuda:6", "cuda:7"};
	const struct model_library *library = engine_library(a->engine);
	int n = 0, devices = library && strstr(rows[c].config, "device") ? library->devices() : 0;
	char *save;

	for (char *word = strtok_r(copy, " ", &save); word && n < WORDS; word = strtok_r(NULL, " ", &save))
		if (is_offered(a, c, word))
			words[n++] = word;
	for (int i = 0; i < devices && i < 8 && n < WORDS; i++)
		words[n++] = cuda[i];
	return n;
}

/* The index of text among the words, or of the last word before it (-1: none); *between says that it is the latter. */
static int place_of(const struct app *a, const char *text, const char *const *words, int n, bool *between)
{
	double value = strchr(text, '%') ? strtod(text, NULL) / 100 * (double)app_total_memory(a) : number(text);
	int at = -1;

	*between = false;
	for (int i = 0; i < n; i++)
		if (!strcmp(words[i], text))
			return i;
	*between = true;
	for (int i = 0; i < n && !isnan(value); i++)
		if (number(words[i]) <= value || (i == 0 && isnan(number(words[0]))))
			at = i;
	return at;
}

/* ---- pending -------------------------------------------------------------------------------------------------------------------------------- */

static void touch_settings(struct app *a)
{
	app_touch(a, PANEL_CONTROLS);
	app_touch(a, PANEL_MEMORY);
	app_touch(a, PANEL_TITLE);
	app_touch(a, PANEL_STATUS);
}

bool app_apply_config(struct app *a)
{
	struct error err;
	bool good = engine_set_settings(a->engine, &a->config->settings, &err) == 0;

	if (!good)
		app_say(a, ROLE_ERROR, "%s", err.text);
	touch_settings(a);
	return good;
}

void app_copy_config(const struct app *a, struct config *out)
{
	config_init(out);
	out->profile_dir = a->config->profile_dir ? xstrdup(a->config->profile_dir) : NULL;
	out->settings = a->config->settings;
	out->seed_from_clock = a->config->seed_from_clock;
	out->force_cuda = a->config->force_cuda;
	out->alerts = a->config->alerts;
}

void app_forecast(struct app *a)
{
	struct pending *p = &a->pending;

	p->known = engine_forecast(a->engine, &a->config->settings, &p->now) && engine_forecast(a->engine, &p->config.settings, &p->wanted);
}

void app_drop_pending(struct app *a)
{
	if (!a->pending.on)
		return;
	config_free(&a->pending.config);
	a->pending = (struct pending){0};
	touch_settings(a);
}

/* Every row that differs becomes the configuration's own, by hand. */
static void keep_values(struct app *a)
{
	struct error err;

	for (int c = 0; c < CONTROLS_ALL; c++) {
		char *now = config_get(a->config, rows[c].config), *wanted = config_get(&a->pending.config, rows[c].config);

		/* "mixed" stands for what the models' own rows say. */
		if (strcmp(now, wanted) && strcmp(wanted, "mixed") && config_set(a->config, rows[c].config, wanted, &err) < 0)
			app_say(a, ROLE_ERROR, "%s", err.text);
		free(now);
		free(wanted);
	}
}

void app_apply_pending(struct app *a)
{
	struct error err;

	if (!a->pending.on)
		return;
	if (engine_set_settings(a->engine, &a->pending.config.settings, &err) < 0)
		app_say(a, ROLE_ERROR, "%s", err.text);
	else
		keep_values(a);
	app_drop_pending(a);
}

static bool set_pending(struct app *a, enum control c, const char *text)
{
	struct pending *p = &a->pending;
	bool differs = false;
	struct error err;

	if (!p->on) {
		app_copy_config(a, &p->config);
		p->on = true;
	}
	if (config_set(&p->config, rows[c].config, text, &err) < 0)
		app_say(a, ROLE_ERROR, "%s", err.text);
	for (int i = 0; i < CONTROLS_ALL && !differs; i++)
		free(app_control_text(a, (enum control)i, &differs));
	if (!differs) {
		app_drop_pending(a);
		return true;
	}
	p->due = clock_now_ms() + PAUSE_MS;
	app_forecast(a);
	a->message[0] = '\0'; /* the forecast stands in its place */
	touch_settings(a);
	return true;
}

static bool set_now(struct app *a, enum control c, const char *text)
{
	struct error err;

	if (config_set(a->config, rows[c].config, text, &err) < 0) {
		app_say(a, ROLE_ERROR, "%s", err.text);
		return false;
	}
	if (a->pending.on)
		config_set(&a->pending.config, rows[c].config, text, &err);
	app_apply_config(a);
	return true;
}

bool app_type_control(struct app *a, enum control c, const char *text)
{
	struct config scratch;
	struct error err;
	int result;

	config_init(&scratch);
	result = config_set(&scratch, rows[c].config, text, &err);
	config_free(&scratch);
	if (result < 0) {
		app_say(a, ROLE_ERROR, "%s", err.text);
		return false;
	}
	return rows[c].pends ? set_pending(a, c, text) : set_now(a, c, text);
}

void app_change_control(struct app *a, enum control c, int step)
{
	bool pending, between;
	char *now = app_control_text(a, c, &pending), *copy = xstrdup(rows[c].steps);
	const char *words[WORDS];
	int n = words_of(a, c, copy, words), at = place_of(a, now, words, n, &between);
	bool cycles = strstr(rows[c].config, "precision") || strstr(rows[c].config, "device");

	a->control = c;
	if (!between || step > 0) /* from between two steps, down is to the lower one */
		at += step;
	if (cycles)
		at = (at + n) % n;
	if (at >= 0 && at < n && strcmp(words[at], now))
		app_type_control(a, c, words[at]);
	free(copy);
	free(now);
	touch_settings(a);
}
