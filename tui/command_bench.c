/* command_bench.c - `vramble bench`: a sweep over batches and precisions, or with --fit the largest batch, over given pictures. What it prints is in
 * command_bench_print.c.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/log.h"
#include "core/mem.h"
#include "core/runtime.h"
#include "tui/command_bench.h"
#include "tui/library.h"
#include "tui/paths.h"

const char *const command_bench_flags[] = {"batches=", "precisions=", "image-sizes=", "passes=", "models=", "csv=", "fit", NULL};

enum { PASSES = 3, PASSES_MAX = 1000, PATHS_MAX = 64 };

struct run {
	struct bench *bench;
	struct engine *engine;
	struct engine_settings base;
	int interrupts, models, ready;
	bool bf16;
	bool stopped; /* by something that would be wrong with every cell */
	enum exit_code code;
};

/* ---------------------------------------------------------------- the command line */

static int read_number(const char *word, int low, int high, int *out, struct error *err)
{
	char *end;
	long n;

	errno = 0;
	n = strtol(word, &end, 10);
	if (end == word || *end || errno)
		return fail(err, E_USAGE, "\"%s\" is not a whole number", word);
	if (n < low || n > high)
		return fail(err, E_USAGE, "%ld is outside %d to %d", n, low, high);
	*out = (int)n;
	return 0;
}

static int read_batch(const char *word, int *out, struct error *err)
{
	return read_number(word, 1, ENGINE_MAX_BATCH, out, err);
}

static int read_precision(const char *word, int *out, struct error *err)
{
	enum precision p;

	if (precision_parse(word, &p) < 0)
		return fail(err, E_USAGE, "\"%s\" is not one of auto, fp32, bf16, fp16, autocast", word);
	*out = (int)p;
	return 0;
}

static int read_image_size(const char *word, int *out, struct error *err)
{
	*out = 0;
	return strcmp(word, "auto") ? read_number(word, 16, ENGINE_MAX_IMAGE, out, err) : 0;
}

static int read_model(const char *word, int *out, struct error *err)
{
	static const char *const names[MODEL_KINDS] = {"clip", "ofa", "nli"};

	for (int kind = 0; kind < MODEL_KINDS; kind++)
		if (!strcmp(word, names[kind])) {
			*out = kind;
			return 0;
		}
	return fail(err, E_USAGE, "\"%s\" is not one of clip, ofa, nli", word);
}

/* "A,B,C" of a flag into out[most]; returns how many (0: the flag was not given), or -1. */
static int read_list(const struct invocation *in, const char *flag, int most, int *out, int (*read)(const char *, int *, struct error *),
		     struct error *err)
{
	const char *value = command_flag(in, flag);
	char *copy, *rest, *word;
	int n = 0;

	if (!value)
		return 0;
	copy = rest = xstrdup(value);
	while (n >= 0 && (word = strsep(&rest, ","))) {
		word += strspn(word, " ");
		if (n == most)
			n = fail(err, E_USAGE, "no more than %d are possible", most);
		else
			n = read(word, &out[n], err) < 0 ? -1 : n + 1;
	}
	free(copy);
	if (n < 0)
		fail_prefix(err, "command line: %.*s", (int)strcspn(flag, "="), flag);
	return n;
}

static int read_axes(const struct invocation *in, struct sweep_axes *axes, struct error *err)
{
	int precisions[PRECISIONS], batches;

	*axes = (struct sweep_axes){.batch = {1, 2, 4, 8}, .batches = 4};
	batches = read_list(in, "batches=", SWEEP_BATCHES, axes->batch, read_batch, err);

	axes->precisions = batches < 0 ? -1 : read_list(in, "precisions=", PRECISIONS, precisions, read_precision, err);
	axes->images = axes->precisions < 0 ? -1 : read_list(in, "image-sizes=", SWEEP_IMAGE_SIZES, axes->image_size, read_image_size, err);
	if (axes->images < 0)
		return -1;
	for (int i = 0; i < axes->precisions; i++)
		axes->precision[i] = (enum precision)precisions[i];
	if (batches)
		axes->batches = batches;
	/* A fit asks about sizes up to one. */
	if (command_flag(in, "fit")) {
		int most = ENGINE_MAX_BATCH;

		for (int i = 0; i < batches; i++)
			most = i && most > axes->batch[i] ? most : axes->batch[i];
		axes->batch[0] = most;
		axes->batches = 1;
	}
	return 0;
}

static int read_rest(struct bench *b, struct error *err)
{
	int kinds[MODEL_KINDS], n = read_list(b->in, "models=", MODEL_KINDS, kinds, read_model, err);
	const char *passes = command_flag(b->in, "passes=");

	if (n < 0)
		return -1;
	b->kinds = n ? 0 : (1 << MODEL_KINDS) - 1;
	for (int i = 0; i < n; i++)
		b->kinds |= 1u << kinds[i];
	b->passes = PASSES;
	if (passes && read_number(passes, 1, PASSES_MAX, &b->passes, err) < 0)
		return fail_prefix(err, "command line: passes");
	if (command_flag(b->in, "fit") && command_flag(b->in, "csv="))
		return fail(err, E_USAGE, "command line: --csv writes the table of a sweep, and with --fit there is none");
	return 0;
}

/* ---------------------------------------------------------------- pictures */

static void add_path(struct bench *b, char *path)
{
	b->paths = xrealloc(b->paths, (size_t)b->n_paths + 1, sizeof *b->paths);
	b->paths[b->n_paths++] = path;
}

static int read_folder(struct bench *b, const char *folder, struct error *err)
{
	struct catalog *c = catalog_open(&folder, 1, err);

	if (!c)
		return -1;
	while (catalog_scanning(c)) {
		struct pollfd fd = {catalog_fd(c), POLLIN, 0};

		if (poll(&fd, 1, -1) > 0)
			catalog_take(c);
	}
	for (int row = 0; row < catalog_rows(c) && b->n_paths < PATHS_MAX; row++)
		if (catalog_at(c, row)->status != PICTURE_UNSUPPORTED)
			add_path(b, catalog_path(c, catalog_id(c, row)));
	if (!b->n_paths)
		fail(err, E_USAGE, "%s: there is no picture in this folder%s%s", folder, catalog_problem(c) ? ": " : "",
		     catalog_problem(c) ? catalog_problem(c) : "");
	catalog_close(c);
	b->from_folder = true;
	return b->n_paths ? 0 : -1;
}

static int find_pictures(struct bench *b, struct error *err)
{
	struct invocation *in = b->in;
	struct stat st;

	if (!in->n_files) {
		char *demo = paths_beside("demo");
		int rc = demo ? read_folder(b, demo, err)
			      : fail(err, E_USAGE, "bench needs pictures: vramble bench FOLDER (the demo's are drawn by make demo)");

		free(demo);
		return rc;
	}
	if (in->n_files == 1 && stat(in->files[0], &st) == 0 && S_ISDIR(st.st_mode))
		return read_folder(b, in->files[0], err);
	for (int i = 0; i < in->n_files; i++)
		add_path(b, xstrdup(in->files[i]));
	return 0;
}

/* ---------------------------------------------------------------- the engine */

/* True when it is the end of a trial, which *out then owns. */
static bool take(struct run *r, struct event *e, struct event *out)
{
	struct bench *b = r->bench;

	if (e->kind == EV_TRIAL) {
		*out = *e;
		return true;
	}
	if (e->kind == EV_LIBRARY && !e->err) {
		snprintf(b->version, sizeof b->version, "%s", e->library.version);
		snprintf(b->device, sizeof b->device, "%s", e->library.device.name);
		r->bf16 = e->library.device.bf16;
	} else if (e->kind == EV_LIBRARY || e->kind == EV_MODEL_FAILED) {
		bench_progress_end();
		complain("%s", e->err->text);
		r->code = exit_code_for_model(e->err);
	} else if (e->kind == EV_NOTE) {
		bench_progress_end();
		complain("%s", e->note);
	}
	r->ready += e->kind == EV_READY;
	event_clear(e);
	return false;
}

/* Waits for what comes next. True: the end of a trial, in *out; an interrupt cancels that, and the end still comes. */
static bool step(struct run *r, struct event *out)
{
	struct pollfd fds[2] = {{engine_fd(r->engine), POLLIN, 0}, {r->bench->interrupted ? -1 : r->interrupts, POLLIN, 0}};
	struct event e;

	if (poll(fds, 2, -1) < 0)
		return false; /* a signal, which the descriptor tells of */
	if (fds[1].revents) {
		r->bench->interrupted = true;
		engine_try_cancel(r->engine);
	}
	while (engine_next(r->engine, &e))
		if (take(r, &e, out))
			return true;
	return false;
}

static bool wait_until_ready(struct run *r)
{
	struct event none;

	bench_progress("opening %d models", r->models);
	while (r->ready < r->models && r->code == EXIT_OK && !r->bench->interrupted)
		step(r, &none);
	return r->ready == r->models && !r->bench->interrupted;
}

/* Runs one trial; *out is its EV_TRIAL, to be cleared. False: it could not begin, which has been told. */
static bool try_settings(struct run *r, const struct engine_settings *settings, int passes, struct event *out)
{
	struct engine_trial trial = {.settings = *settings, .passes = passes};
	struct error err;

	if (engine_try(r->engine, &trial, (const char *const *)r->bench->paths, r->bench->n_paths, &err) < 0) {
		bench_progress_end();
		complain("%s", err.text);
		r->code = exit_code_for(&err);
		r->stopped = true;
		return false;
	}
	while (!step(r, out))
		;
	return true;
}

/* ---------------------------------------------------------------- sweep */

/* What is wrong with this cell is not wrong with all: a precision that the device has not. */
static void judge_cell(struct run *r, int cell, const struct event *e)
{
	struct sweep *s = &r->bench->sweep;
	char name[32];

	sweep_answer(s, cell, e);
	if (!e->err || e->err->code == E_MEMORY || e->err->code == E_CANCELLED)
		return;
	bench_progress_end();
	complain("batch %d %s: %s", s->cell[cell].batch, sweep_row_name(s, cell / s->columns, name), e->err->text);
	if (e->err->code != E_MODEL) {
		r->code = exit_code_for(e->err);
		r->stopped = true;
	}
}

static enum exit_code verdict(const struct sweep *s)
{
	int fits = 0, failed = 0;

	for (int i = 0; i < s->cells; i++) {
		fits += s->cell[i].state == SWEEP_FITS;
		failed += s->cell[i].state == SWEEP_FAILED;
	}
	if (failed)
		return fits ? EXIT_SOME_FAILED : EXIT_NO_MODEL;
	return fits ? EXIT_OK : EXIT_NO_MEMORY;
}

static void run_sweep(struct run *r)
{
	struct sweep *s = &r->bench->sweep;
	int cell;

	while (!r->bench->interrupted && !r->stopped && (cell = sweep_next(s)) >= 0) {
		struct engine_settings settings = sweep_settings(s, cell, &r->base);
		struct event e;
		char name[32];

		bench_progress("%d/%d  batch %d, %s", sweep_finished(s) + 1, s->cells, s->cell[cell].batch,
			       sweep_row_name(s, cell / s->columns, name));
		if (!try_settings(r, &settings, r->bench->passes, &e))
			break;
		judge_cell(r, cell, &e);
		event_clear(&e);
	}
	sweep_cancel(s);
	if (r->code == EXIT_OK && !r->bench->interrupted)
		r->code = verdict(s);
}

/* ---------------------------------------------------------------- fit */

static bool says_forecast(void *ctx, int batch)
{
	struct run *r = ctx;
	struct engine_forecast forecast;
	struct engine_settings settings = r->base;

	settings.batch = batch;
	return engine_forecast(r->engine, &settings, &forecast) && forecast.fits;
}

static void fit_row(struct run *r, int row)
{
	struct bench *b = r->bench;
	struct bench_fit *f = &b->fits[row];
	struct engine_settings base = r->base;
	char name[32];

	r->base = sweep_settings(&b->sweep, row, &base);
	f->guess = fit_guess(r->base.batch, says_forecast, r);
	f->fit = fit_begin(r->base.batch, f->guess);
	while (!b->interrupted && !r->stopped && (r->base.batch = fit_next(&f->fit))) {
		struct event e;

		bench_progress("try %d of at most %d  batch %d, %s", fit_tries_done(&f->fit) + 1, fit_tries_most(&f->fit), r->base.batch,
			       sweep_row_name(&b->sweep, row, name));
		if (!try_settings(r, &r->base, 0, &e))
			break;
		if (!e.err || e.err->code == E_MEMORY) {
			fit_answer(&f->fit, !e.err);
		} else if (e.err->code != E_CANCELLED) {
			bench_progress_end();
			complain("%s", e.err->text);
			r->code = exit_code_for(e.err);
			r->stopped = true;
		}
		event_clear(&e);
	}
	fit_cancel(&f->fit);
	r->base = base;
}

static void run_fits(struct run *r)
{
	struct bench *b = r->bench;
	bool any = false;

	b->fits = xcalloc((size_t)b->sweep.rows, sizeof *b->fits);
	for (int row = 0; row < b->sweep.rows; row++) {
		fit_row(r, row);
		any = any || fit_batch(&b->fits[row].fit);
	}
	if (r->code == EXIT_OK && !any)
		r->code = EXIT_NO_MEMORY;
}

/* ---------------------------------------------------------------- the whole */

static void measure(struct run *r, struct sweep_axes *axes)
{
	struct bench *b = r->bench;
	bool fit = command_flag(b->in, "fit");
	struct engine_forecast forecast;
	struct error err;

	if (!wait_until_ready(r))
		return;
	r->base = engine_get_settings(r->engine);
	if (!axes->precisions && !fit) {
		axes->precision[axes->precisions++] = PRECISION_FP32;
		if (r->bf16)
			axes->precision[axes->precisions++] = PRECISION_BF16;
	}
	if (sweep_begin(&b->sweep, axes, &err) < 0) {
		complain("%s", err.text);
		r->code = exit_code_for(&err);
		return;
	}
	if (engine_forecast(r->engine, &r->base, &forecast) && forecast.limit < INT64_MAX)
		b->limit = forecast.limit;
	(fit ? run_fits : run_sweep)(r);
	bench_progress_end();
	if (!r->stopped || sweep_best(&b->sweep, 0) >= 0)
		bench_print(b);
}

static int write_csv(const struct bench *b)
{
	const char *path = command_flag(b->in, "csv=");
	struct error err;

	if (!path || !b->sweep.cells || sweep_write_csv(&b->sweep, 0, path, &err) == 0)
		return EXIT_OK;
	complain("%s", err.text);
	return EXIT_SOME_FAILED;
}

static enum exit_code run_bench(struct bench *b, struct sweep_axes *axes, struct error *err)
{
	struct run r = {.bench = b};
	char **labels;
	int n;

	runtime_prepare(b->in->config.settings.threads);
	command_log(&b->in->config);
	if ((r.interrupts = command_interrupts(err)) < 0 || !(r.engine = command_engine(b->in, (int)b->kinds, &r.models, err))) {
		complain("%s", err->text);
		log_close();
		return exit_code_for(err);
	}
	n = library_labels(&b->in->config, &labels);
	engine_set_labels(r.engine, (const char *const *)labels, n, 0);
	library_free_labels(labels, n);
	engine_start(r.engine);
	measure(&r, axes);
	bench_progress_end();
	if (r.code == EXIT_OK)
		r.code = (enum exit_code)write_csv(b);
	else
		write_csv(b);
	engine_destroy(r.engine);
	log_close();
	return b->interrupted ? EXIT_INTERRUPTED : r.code;
}

int command_bench(struct invocation *in)
{
	struct bench b = {.in = in};
	struct sweep_axes axes;
	struct error err;
	enum exit_code code;

	if (read_axes(in, &axes, &err) < 0 || read_rest(&b, &err) < 0 || find_pictures(&b, &err) < 0) {
		complain("%s", err.text);
		code = exit_code_for(&err);
	} else {
		code = run_bench(&b, &axes, &err);
	}
	sweep_free(&b.sweep);
	free(b.fits);
	for (int i = 0; i < b.n_paths; i++)
		free(b.paths[i]);
	free(b.paths);
	return (int)code;
}
