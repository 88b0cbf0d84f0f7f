/* command_run.c - pictures through the engine without a screen: answers come in any order and leave in the order of the command line. */
#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alerts.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/runtime.h"
#include "core/utf8.h"
#include "tui/command.h"

struct run {
	struct invocation *in;
	struct engine *engine;
	struct outcome *outcomes; /* one per file */
	int n, next, failed;      /* next: the first answer not yet told */
	int submitted;            /* the engine takes so many at a time (settings.queue) */
	int live_models;          /* used models that have not failed */
	int interrupts;           /* a descriptor */
	enum exit_code verdict;
	struct stats_recent recent;
	struct alerts alerts;
	char *const *labels;
	int n_labels;
	void (*done)(void *ctx, const struct outcome *o);
	void *ctx;
};

enum { WATCH_MS = 500 };

void complain(const char *fmt, ...)
{
	va_list ap;
	char *raw, safe[2000];

	va_start(ap, fmt);
	raw = xvasprintf(fmt, ap);
	va_end(ap);
	utf8_escape(raw, strlen(raw), safe, sizeof safe);
	free(raw);
	fflush(stdout);
	fprintf(stderr, "vramble: %s\n", safe);
}

const char *command_flag(const struct invocation *in, const char *name)
{
	const char *value = NULL;

	for (int i = 0; i < in->n_flags; i++)
		if (!strcmp(in->flags[i].name, name))
			value = in->flags[i].value;
	return value;
}

enum exit_code exit_code_for(const struct error *err)
{
	switch (err->code) {
	case E_USAGE:
		return EXIT_USAGE;
	case E_MODEL:
		return EXIT_NO_MODEL;
	case E_MEMORY:
		return EXIT_NO_MEMORY;
	default:
		return EXIT_SOME_FAILED;
	}
}

/* Whatever keeps a model from being used, a missing file as well as a wrong tensor, there is no model; only memory is another matter. */
enum exit_code exit_code_for_model(const struct error *err)
{
	return err->code == E_MEMORY ? EXIT_NO_MEMORY : EXIT_NO_MODEL;
}

/* Tells what is complete, in order. */
static void tell(struct run *r)
{
	for (; r->next < r->n && r->outcomes[r->next].finished; r->next++) {
		struct outcome *o = &r->outcomes[r->next];

		if (o->answers->failure) {
			r->failed++;
			complain("%s", o->answers->failure);
		}
		r->done(r->ctx, o);
		answers_free(o->answers);
		o->answers = NULL;
	}
}

static void take_model_failure(struct run *r, const struct event *e)
{
	complain("%s", e->err->text);
	r->verdict = exit_code_for_model(e->err);
	r->live_models--;
}

static void take_answer(struct run *r, struct event *e)
{
	struct outcome *o = &r->outcomes[e->id];

	if (o->finished)
		return;
	event_log_answer(e, o->path, (const char *const *)r->labels, r->n_labels);
	stats_take(&r->recent, e);
	if (e->kind == EV_FAILED && e->err->code == E_MEMORY)
		r->verdict = EXIT_NO_MEMORY;
	answers_take(o->answers, e);
	o->finished = e->kind == EV_RANKING || e->kind == EV_FAILED;
}

static void take(struct run *r, struct event *e)
{
	if (e->kind == EV_LIBRARY && e->err) {
		complain("%s", e->err->text);
		r->verdict = EXIT_NO_MODEL;
		r->live_models = 0;
	} else if (e->kind == EV_MODEL_FAILED) {
		take_model_failure(r, e);
	} else if (e->kind == EV_NOTE) {
		complain("%s", e->note);
	} else if (event_is_answer(e->kind) && e->kind != EV_PREVIEW && e->id < (uint32_t)r->n) {
		take_answer(r, e);
	}
	event_clear(e);
	tell(r);
}

static void submit(struct run *r)
{
	while (r->submitted < r->n && engine_submit(r->engine, (uint32_t)r->submitted, r->in->files[r->submitted], ENGINE_BACKGROUND, ENGINE_ANSWERS))
		r->submitted++;
}

/* Alerts, and what keeps the log from being written, go to the error output. */
static void watch(struct run *r)
{
	struct alert_change change[ALERTS];
	struct engine_status status;
	struct error err;
	int n;

	engine_status(r->engine, &status);
	n = alerts_update(&r->alerts, &r->in->config.alerts, &status, &r->recent, change);
	for (int i = 0; i < n; i++) {
		alert_log(&change[i]);
		complain("%s: %s", change[i].raised ? "alert" : "alert over", change[i].text);
	}
	if (log_trouble(&err))
		complain("%s", err.text);
}

/* Until every file is told, an interrupt comes, or no model is left. Returns the exit code. */
static int loop(struct run *r)
{
	struct pollfd fds[2] = {{engine_fd(r->engine), POLLIN, 0}, {r->interrupts, POLLIN, 0}};
	struct event e;

	while (r->next < r->n) {
		if (poll(fds, 2, WATCH_MS) < 0 && errno != EINTR)
			return EXIT_SOME_FAILED;
		if (fds[1].revents)
			return EXIT_INTERRUPTED;
		while (engine_next(r->engine, &e))
			take(r, &e);
		if (r->live_models <= 0)
			return r->verdict;
		submit(r);
		watch(r);
	}
	if (r->verdict != EXIT_OK)
		return r->verdict;
	return r->failed ? EXIT_SOME_FAILED : EXIT_OK;
}

static void end_log(struct run *r)
{
	struct engine_status status;
	struct stats stats;
	char line[500];

	engine_status(r->engine, &status);
	stats = stats_of(&status);
	stats_line(&stats, line, sizeof line);
	log_write(LOG_INFO, "%s", line);
}

int command_run(struct invocation *in, int kinds, char *const *labels, int n_labels, void (*done)(void *ctx, const struct outcome *o), void *ctx)
{
	struct run r = {.in = in, .n = in->n_files, .done = done, .ctx = ctx, .verdict = EXIT_OK, .labels = labels, .n_labels = n_labels};
	struct error err;
	int code;

	runtime_prepare(in->config.settings.threads);
	command_log(&in->config);
	if ((r.interrupts = command_interrupts(&err)) < 0 || !(r.engine = command_engine(in, kinds, &r.live_models, &err))) {
		complain("%s", err.text);
		log_close();
		return exit_code_for(&err);
	}
	r.outcomes = xcalloc((size_t)r.n, sizeof *r.outcomes);
	engine_set_labels(r.engine, (const char *const *)labels, n_labels, 0);
	for (int i = 0; i < r.n; i++)
		r.outcomes[i] = (struct outcome){.path = in->files[i], .answers = answers_create()};
	submit(&r);
	engine_start(r.engine);
	code = loop(&r);
	end_log(&r);
	engine_destroy(r.engine);
	log_close();
	for (int i = 0; i < r.n; i++)
		answers_free(r.outcomes[i].answers);
	free(r.outcomes);
	return code;
}

static char *base64(const char *data, size_t n)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *s = (const unsigned char *)data;
	char *out = xcalloc(n / 3 + 2, 4), *end = out;

	for (size_t i = 0; i < n; i += 3) {
		unsigned v = (unsigned)s[i] << 16 | (i + 1 < n ? (unsigned)s[i + 1] << 8 : 0) | (i + 2 < n ? s[i + 2] : 0u);

		*end++ = digits[v >> 18];
		*end++ = digits[v >> 12 & 63];
		*end++ = i + 1 < n ? digits[v >> 6 & 63] : '=';
		*end++ = i + 2 < n ? digits[v & 63] : '=';
	}
	return out;
}

json_t *command_json(const struct outcome *o)
{
	const struct answers *a = o->answers;
	size_t n = strlen(o->path);
	char *shown = xmalloc(4 * n + 1);
	json_t *object = json_object();

	utf8_escape(o->path, n, shown, 4 * n + 1);
	json_object_set_new(object, "path", json_string(utf8_valid(o->path, n) ? o->path : shown));
	if (!utf8_valid(o->path, n)) {
		char *encoded = base64(o->path, n);

		json_object_set_new(object, "path_b64", json_string(encoded));
		free(encoded);
	}
	free(shown);
	if (a && a->failure)
		json_object_set_new(object, "error", json_string(a->failure));
	else if (a)
		json_object_set_new(object, "size", json_pack("[ii]", a->info.width, a->info.height));
	return object;
}

void command_print_json(json_t *object)
{
	json_dumpf(object, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
	putchar('\n');
	fflush(stdout);
	json_decref(object);
}
