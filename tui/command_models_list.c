/* command_models_list.c - `vramble models list`: the bundled models, those in the caches, and those below --dir; each with what it is and needs. */
#include "tui/command_models.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/device.h"
#include "core/forecast.h"
#include "core/mem.h"
#include "core/memory.h"
#include "core/runtime.h"
#include "core/shelf.h"
#include "core/utf8.h"
#include "tui/library.h"
#include "tui/paths.h"

struct row {
	struct located *at; /* borrowed from the shelf; a problem found here is added */
	bool known;         /* what follows holds */
	struct model_info info;
	enum precision precision; /* its weights would be in */
	struct forecast forecast; /* with the settings as they are */
};

struct listing {
	struct shelf shelf;
	struct row *rows;                    /* [shelf.n] */
	const struct model_library *library; /* NULL: cannot be opened */
	bool started;
};

/* ---------------------------------------------------------------- what they are */

/* What the weights would be in on the device that is set; "auto" as the library chooses. */
static enum precision precision_of(const struct listing *l, const struct config *config, enum model_kind kind)
{
	enum precision wish = config->settings.precision[kind];
	int device = config->settings.device[kind];
	struct device_info cpu = {0};

	if (device >= 0 || (device == DEVICE_AUTO && l->started && l->library->devices() > 0))
		return wish == PRECISION_AUTO ? PRECISION_FP16 : wish;
	if (wish == PRECISION_FP32 || wish == PRECISION_AUTOCAST)
		return wish;
	return l->started && l->library->device(DEVICE_CPU, &cpu) == 0 && cpu.bf16 ? PRECISION_BF16 : PRECISION_FP32;
}

static void inspect(const struct listing *l, const struct config *config, struct row *r)
{
	const struct engine_settings *settings = &config->settings;
	struct forecast_request request = {.batch = settings->batch, .beams = settings->beams};
	struct error err;
	struct model *m = l->library->configure(r->at->path, &err);

	if (!m) {
		r->at->problem = xstrdup(err.text);
		return;
	}
	r->known = true;
	r->info = *l->library->info(m);
	r->precision = precision_of(l, config, r->info.kind);
	request.precision = r->precision;
	request.device = settings->device[r->info.kind] > DEVICE_CPU ? settings->device[r->info.kind] : DEVICE_CPU;
	request.image_size = r->info.kind == MODEL_CAPTION ? settings->image_size : 0;
	l->library->forecast(m, &request, &r->forecast);
	l->library->close(m);
}

static void inspect_all(struct listing *l, struct invocation *in)
{
	struct error err;

	runtime_prepare(in->config.settings.threads);
	l->library = library_open(NULL, &err);
	l->started = l->library && l->library->start(in->config.settings.threads, &err) == 0;
	if (!l->started)
		complain("%s; what the models are is not told in full", err.text);
	l->rows = xcalloc((size_t)l->shelf.n, sizeof *l->rows);
	for (int i = 0; i < l->shelf.n; i++) {
		l->rows[i].at = &l->shelf.list[i];
		if (l->library && l->rows[i].at->path)
			inspect(l, &in->config, &l->rows[i]);
	}
}

/* ---------------------------------------------------------------- printing */

static void print_json(const struct row *r)
{
	char name[4096];
	json_t *object = json_pack("{s:s, s:s, s:I}", "name", models_shown(r->at->name, name, sizeof name), "source", r->at->source, "bytes",
				   (json_int_t)r->at->bytes);

	if (r->at->path)
		json_object_set_new(object, "path", json_string(models_shown(r->at->path, name, sizeof name)));
	if (r->known)
		json_object_update_new(object,
				       json_pack("{s:s, s:s, s:I, s:s, s:I, s:I}", "architecture", r->info.architecture, "precision",
						 r->info.precision, "parameters", (json_int_t)r->info.parameters, "memory_precision",
						 precision_name(r->precision), "weights", (json_int_t)(r->forecast.weights + r->forecast.mapped),
						 "memory", (json_int_t)forecast_whole(&r->forecast)));
	if (r->at->problem)
		json_object_set_new(object, "problem", json_string(r->at->problem));
	command_print_json(object);
}

static void print_row(const struct row *r, int width)
{
	char name[4096], size[16], memory[24];

	printf("%-*s  %-12s  %9s", width, models_shown(r->at->name, name, sizeof name), r->at->source, models_size(r->at->bytes, size));
	if (r->known)
		printf("  %-8s  %-6s  %10s in %s", r->info.architecture, r->info.precision, memory_text(forecast_whole(&r->forecast), memory),
		       precision_name(r->precision));
	putchar('\n');
	if (r->at->path)
		printf("    %s\n", models_shown(r->at->path, name, sizeof name));
	if (r->at->problem)
		printf("    cannot be used: %s\n", r->at->problem);
}

static void print_table(const struct listing *l, const struct config *config)
{
	char name[4096];
	int width = 4;

	for (int i = 0; i < l->shelf.n; i++) {
		int n = (int)strlen(models_shown(l->rows[i].at->name, name, sizeof name));

		width = n > width && n <= 48 ? n : width;
	}
	if (!l->shelf.n)
		puts("No models were found: vramble models pull NAME fetches one, such as openai/clip-vit-base-patch32.");
	else
		printf("%-*s  %-12s  %9s  %-8s  %-6s  %10s\n", width, "name", "where", "size", "is", "stored", "memory");
	for (int i = 0; i < l->shelf.n; i++)
		print_row(&l->rows[i], width);
	if (l->shelf.n)
		printf("Memory: weights and the most that a run of batch %d holds, as forecast; vramble bench measures it.\n",
		       config->settings.batch);
}

int models_list(struct invocation *in)
{
	struct listing l = {0};
	const char *folder = command_flag(in, "dir=");
	char *book = paths_data("picturebook");
	int code = EXIT_OK;

	if (book)
		shelf_bundled(&l.shelf, book);
	shelf_cached(&l.shelf);
	if (folder && shelf_folder(&l.shelf, folder) < 0) {
		complain("--dir %s: cannot be read", folder);
		code = EXIT_USAGE;
	}
	inspect_all(&l, in);
	for (int i = 0; in->json && i < l.shelf.n; i++)
		print_json(&l.rows[i]);
	if (!in->json)
		print_table(&l, &in->config);
	free(l.rows);
	shelf_free(&l.shelf);
	free(book);
	return code;
}
