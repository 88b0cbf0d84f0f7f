/* command_bench_print.c - what `vramble bench` found, as a table, as JSON, and as the command line to take. See command_bench.h. */
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/memory.h"
#include "core/utf8.h"
#include "tui/command_bench.h"

static const char *const model_name[MODEL_KINDS] = {"clip", "ofa", "nli"};

/* ---------------------------------------------------------------- progress */

void bench_progress(const char *fmt, ...)
{
	va_list ap;

	if (!isatty(STDERR_FILENO))
		return;
	fputs("\r\033[K", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fflush(stderr);
}

void bench_progress_end(void)
{
	if (isatty(STDERR_FILENO))
		fputs("\r\033[K", stderr);
}

/* ---------------------------------------------------------------- the command line to take */

/* What a shell reads as that word, if anything in it means something to one. */
static void add_word(struct buffer *out, const char *word)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=:,./%@";

	if (*word && word[strspn(word, plain)] == '\0') {
		buffer_puts(out, word);
		return;
	}
	buffer_puts(out, "'");
	for (; *word; word++)
		buffer_add(out, *word == '\'' ? "'\\''" : word, *word == '\'' ? 4 : 1);
	buffer_puts(out, "'");
}

/* --device also sets what stands in rows of its own. */
static bool is_given(const struct config *config, const char *key)
{
	const struct config_origin *origin = config_origin(config, key);

	return origin->source == CONFIG_FLAG && origin->where && !strncmp(origin->where, "--", 2) && !strcmp(origin->where + 2, key);
}

/* What the sweep itself decides is not repeated. */
static bool is_swept(const struct sweep_cell *c, const char *key)
{
	const char *tail = strstr(key, "precision");

	return !strcmp(key, "batch") || (c->precision < PRECISIONS && tail && !strcmp(tail, "precision")) ||
	       (c->image_size >= 0 && !strcmp(key, "image-size"));
}

/* The flags that this run was given, and the pictures. The caller frees. */
static char *rest_of(const struct bench *b, const struct sweep_cell *c)
{
	const struct config *config = &b->in->config;
	struct buffer out = {0};
	size_t n;
	const struct config_row *rows = config_rows(&n);

	for (size_t i = 0; i < n; i++) {
		char *value;

		if (!is_given(config, rows[i].key) || is_swept(c, rows[i].key))
			continue;
		value = config_get(config, rows[i].key);
		buffer_printf(&out, "--%s ", rows[i].key);
		add_word(&out, value);
		buffer_puts(&out, " ");
		free(value);
	}
	if (b->from_folder && b->in->n_files)
		add_word(&out, b->in->files[0]);
	else
		buffer_puts(&out, b->from_folder ? "FOLDER" : "FILE…");
	return out.text;
}

/* A folder is opened on the screen; files are answered by the subcommand that runs these models. */
static const char *subcommand_of(const struct bench *b)
{
	if (b->from_folder)
		return NULL;
	if (b->kinds == 1 << MODEL_SCORES)
		return "score";
	return b->kinds == 1 << MODEL_CAPTION ? "caption" : "score --verify";
}

static char *command_of(const struct bench *b, int cell)
{
	char *rest = rest_of(b, &b->sweep.cell[cell]), *command = sweep_command(&b->sweep, cell, subcommand_of(b), rest);

	free(rest);
	return command;
}

static void print_command(const struct bench *b, int cell)
{
	char *command = command_of(b, cell), *safe = xmalloc(4 * strlen(command) + 1);

	utf8_escape(command, strlen(command), safe, 4 * strlen(command) + 1);
	printf("  %s\n", safe);
	free(safe);
	free(command);
}

/* ---------------------------------------------------------------- text */

static void print_head(const struct bench *b)
{
	char limit[24];

	printf("%s, %s, %d picture%s", b->device, b->version, b->n_paths, b->n_paths == 1 ? "" : "s");
	if (b->limit)
		printf(", cap and reserve leave %s", memory_text(b->limit, limit));
	puts("");
}

static void print_cell(const struct bench *b, int cell, bool best)
{
	const struct sweep_cell *c = &b->sweep.cell[cell];
	char name[32], peak[24], held[24];

	printf("%5d  %-15s", c->batch, sweep_row_name(&b->sweep, cell / b->sweep.columns, name));
	if (c->state != SWEEP_FITS) {
		printf("  %s%s%s\n", sweep_state_name(c->state), c->skipped ? ", as a smaller batch did not" : c->why[0] ? ": " : "", c->why);
		return;
	}
	printf("  %8.2f  %10s  %10s", c->images_per_s, memory_text(c->peak, peak), memory_text(c->held, held));
	for (int kind = 0; kind < MODEL_KINDS; kind++)
		if (b->kinds >> kind & 1)
			printf("  %8.2f", c->ms[kind]);
	printf("%s%s\n", best ? "  best" : "", sweep_is_pareto(&b->sweep, cell) ? "  pareto" : "");
}

static void print_sweep(const struct bench *b)
{
	int best = sweep_best(&b->sweep, 0);

	print_head(b);
	printf("%5s  %-15s  %8s  %10s  %10s", "batch", "setting", "images/s", "peak", "held");
	for (int kind = 0; kind < MODEL_KINDS; kind++)
		if (b->kinds >> kind & 1)
			printf("  %5s ms", model_name[kind]);
	puts("");
	for (int i = 0; i < b->sweep.cells; i++)
		print_cell(b, i, i == best);
	if (best < 0)
		puts(b->interrupted ? "interrupted before anything ran"
				    : "nothing fits: raise the cap, lower the reserve, or try smaller image sizes");
	else
		print_command(b, best);
}

static void print_fits(const struct bench *b)
{
	print_head(b);
	for (int row = 0; row < b->sweep.rows; row++) {
		struct bench_fit *f = &b->fits[row];
		struct sweep_cell *c = sweep_at(&b->sweep, row, 0);
		int batch = fit_batch(&f->fit);
		char name[32];

		sweep_row_name(&b->sweep, row, name);
		if (f->fit.state != FIT_DONE)
			printf("%s: cancelled\n", name);
		else if (!batch)
			printf("%s: not even a batch of 1 fits: raise the cap, lower the reserve, or try a smaller image size\n", name);
		else
			printf("%s: batch %d is the largest that fits%s (%d of at most %d tries; the forecast said %d)\n", name, batch,
			       batch == f->fit.max ? " of those asked about" : "", fit_tries_done(&f->fit), fit_tries_most(&f->fit), f->guess);
		if (f->fit.state != FIT_DONE || !batch)
			continue;
		c->batch = batch;
		print_command(b, row);
	}
}

/* ---------------------------------------------------------------- JSON */

static json_t *cell_json(const struct bench *b, int cell, bool best)
{
	const struct sweep_cell *c = &b->sweep.cell[cell];
	json_t *object = json_pack("{s:i, s:s, s:b}", "batch", c->batch, "state", sweep_state_name(c->state), "skipped", c->skipped);
	json_t *models = json_object();

	if (c->precision < PRECISIONS)
		json_object_set_new(object, "precision", json_string(precision_name(c->precision)));
	if (c->image_size >= 0)
		json_object_set_new(object, "image_size", c->image_size ? json_integer(c->image_size) : json_string("auto"));
	if (c->why[0])
		json_object_set_new(object, "why", json_string(c->why));
	for (int kind = 0; kind < MODEL_KINDS && c->state == SWEEP_FITS; kind++)
		if (b->kinds >> kind & 1)
			json_object_set_new(models, model_name[kind],
					    json_pack("{s:f, s:s}", "ms", c->ms[kind], "precision", precision_name(c->ran[kind])));
	if (c->state == SWEEP_FITS)
		json_object_update_new(object, json_pack("{s:f, s:I, s:I, s:O, s:b, s:b}", "images_per_s", c->images_per_s, "peak",
							 (json_int_t)c->peak, "held", (json_int_t)c->held, "models", models, "best", best, "pareto",
							 sweep_is_pareto(&b->sweep, cell)));
	json_decref(models);
	return object;
}

static void set_command(const struct bench *b, json_t *object, int cell)
{
	char *command = command_of(b, cell), *safe = xmalloc(4 * strlen(command) + 1);

	utf8_escape(command, strlen(command), safe, 4 * strlen(command) + 1);
	json_object_set_new(object, "command", json_string(safe));
	free(safe);
	free(command);
}

static json_t *summary_json(const struct bench *b)
{
	json_t *object = json_pack("{s:s, s:s, s:i}", "device", b->device, "version", b->version, "pictures", b->n_paths);

	if (b->limit)
		json_object_set_new(object, "limit", json_integer(b->limit));
	return object;
}

static void print_sweep_json(const struct bench *b)
{
	int best = sweep_best(&b->sweep, 0);
	json_t *summary = summary_json(b);

	for (int i = 0; i < b->sweep.cells; i++)
		command_print_json(cell_json(b, i, i == best));
	if (best >= 0)
		set_command(b, summary, best);
	command_print_json(summary);
}

static void print_fits_json(const struct bench *b)
{
	for (int row = 0; row < b->sweep.rows; row++) {
		const struct bench_fit *f = &b->fits[row];
		struct sweep_cell *c = sweep_at(&b->sweep, row, 0);
		json_t *object = summary_json(b);
		char name[32];

		json_object_update_new(object, json_pack("{s:s, s:b, s:i, s:i, s:i, s:i}", "row", sweep_row_name(&b->sweep, row, name), "finished",
							 f->fit.state == FIT_DONE, "fits", fit_batch(&f->fit), "asked", f->fit.max, "tries",
							 fit_tries_done(&f->fit), "forecast", f->guess));
		if (f->fit.state == FIT_DONE && fit_batch(&f->fit)) {
			c->batch = fit_batch(&f->fit);
			set_command(b, object, row);
		}
		command_print_json(object);
	}
}

void bench_print(const struct bench *b)
{
	if (b->fits)
		(b->in->json ? print_fits_json : print_fits)(b);
	else
		(b->in->json ? print_sweep_json : print_sweep)(b);
	fflush(stdout);
}
