/* command_models_list.c - `vramble models list`: the bundled models, those in the caches, and those below --dir; each with what it is and needs. */
#include "tui/command_models.h"

#include <dirent.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/device.h"
#include "core/locate.h"
#include "core/mem.h"
#include "core/runtime.h"
#include "core/utf8.h"
#include "tui/library.h"
#include "tui/paths.h"

struct row {
	struct located at;
	bool known; /* info holds */
	struct model_info info;
	enum precision precision; /* its weights would be in */
};

struct listing {
	struct row *rows;
	int n;
	const struct model_library *library; /* NULL: cannot be opened */
	bool started;
};

/* Takes name and path over; path NULL with problem, also taken over. */
static void add(struct listing *l, char *name, char *path, char *problem, const char *source)
{
	l->rows = xrealloc(l->rows, (size_t)l->n + 1, sizeof *l->rows);
	l->rows[l->n++] = (struct row){.at = {name, path, problem, source, path ? locate_bytes(path) : 0}};
}

/* ---------------------------------------------------------------- where models are */

static void add_bundled(struct listing *l)
{
	static const char *const names[] = {"clip", "ofa", "bert"};
	char *book = paths_data("picturebook");

	for (size_t i = 0; book && i < sizeof names / sizeof *names; i++) {
		char *path = xasprintf("%s/%s", book, names[i]);

		if (access(path, F_OK) == 0)
			add(l, xasprintf("picturebook/%s", names[i]), path, NULL, "bundled");
		else
			free(path);
	}
	free(book);
}

static void add_cached(struct listing *l)
{
	struct located *list;
	int n = locate_list(&list);

	for (int i = 0; i < n; i++)
		add(l, xstrdup(list[i].name), list[i].path ? xstrdup(list[i].path) : NULL, list[i].problem ? xstrdup(list[i].problem) : NULL,
		    list[i].source);
	locate_free(list, n);
}

/* Whether the folder is a model's, or says that it is one. */
static bool holds_model(const char *folder)
{
	static const char *const signs[] = {"config.json",       "configuration.json",   "model.safetensors", "model.safetensors.index.json",
					    "pytorch_model.bin", "open_clip_config.json"};
	bool found = false;

	for (size_t i = 0; i < sizeof signs / sizeof *signs && !found; i++) {
		char *path = xasprintf("%s/%s", folder, signs[i]);

		found = access(path, F_OK) == 0;
		free(path);
	}
	return found;
}

/* The folder itself, or those right in it. */
static int add_folder(struct listing *l, const char *folder)
{
	struct dirent **entries;
	int n;

	if (holds_model(folder)) {
		add(l, xstrdup(folder), xstrdup(folder), NULL, "folder");
		return 0;
	}
	n = scandir(folder, &entries, NULL, alphasort);
	for (int i = 0; i < n; i++) {
		char *path = xasprintf("%s/%s", folder, entries[i]->d_name);

		if (entries[i]->d_name[0] != '.' && holds_model(path))
			add(l, xstrdup(path), xstrdup(path), NULL, "folder");
		free(path);
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
	return n < 0 ? -1 : 0;
}

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

static void inspect_all(struct listing *l, struct invocation *in)
{
	struct error err;

	runtime_prepare(in->config.settings.threads);
	l->library = library_open(NULL, &err);
	l->started = l->library && l->library->start(in->config.settings.threads, &err) == 0;
	if (!l->started)
		complain("%s; what the models are is not told in full", err.text);
	for (int i = 0; l->library && i < l->n; i++) {
		struct row *r = &l->rows[i];

		if (!r->at.path)
			continue;
		r->known = l->library->inspect(r->at.path, &r->info, &err) == 0;
		if (!r->known)
			r->at.problem = xstrdup(err.text);
		else
			r->precision = precision_of(l, &in->config, r->info.kind);
	}
}

/* ---------------------------------------------------------------- printing */

static void print_json(const struct row *r)
{
	char name[4096];
	json_t *object = json_pack("{s:s, s:s, s:I}", "name", models_shown(r->at.name, name, sizeof name), "source", r->at.source, "bytes",
				   (json_int_t)r->at.bytes);

	if (r->at.path)
		json_object_set_new(object, "path", json_string(models_shown(r->at.path, name, sizeof name)));
	if (r->known)
		json_object_update_new(object,
				       json_pack("{s:s, s:s, s:I, s:s, s:I}", "architecture", r->info.architecture, "precision", r->info.precision,
						 "parameters", (json_int_t)r->info.parameters, "memory_precision", precision_name(r->precision),
						 "memory", (json_int_t)library_weights(&r->info, r->precision)));
	if (r->at.problem)
		json_object_set_new(object, "problem", json_string(r->at.problem));
	command_print_json(object);
}

static void print_row(const struct row *r, int width)
{
	char name[4096], size[16], memory[16];

	printf("%-*s  %-12s  %9s", width, models_shown(r->at.name, name, sizeof name), r->at.source, models_size(r->at.bytes, size));
	if (r->known)
		printf("  %-8s  %-6s  %9s in %s", r->info.architecture, r->info.precision,
		       models_size(library_weights(&r->info, r->precision), memory), precision_name(r->precision));
	putchar('\n');
	if (r->at.path)
		printf("    %s\n", models_shown(r->at.path, name, sizeof name));
	if (r->at.problem)
		printf("    cannot be used: %s\n", r->at.problem);
}

static void print_table(const struct listing *l)
{
	char name[4096];
	int width = 4;

	for (int i = 0; i < l->n; i++) {
		int n = (int)strlen(models_shown(l->rows[i].at.name, name, sizeof name));

		width = n > width && n <= 48 ? n : width;
	}
	if (!l->n)
		puts("No models were found: vramble models pull NAME fetches one, such as openai/clip-vit-base-patch32.");
	else
		printf("%-*s  %-12s  %9s  %-8s  %-6s  %9s\n", width, "name", "where", "size", "is", "stored", "weights");
	for (int i = 0; i < l->n; i++)
		print_row(&l->rows[i], width);
	if (l->n)
		puts("Running one takes more than its weights: the screen forecasts it, vramble bench measures it.");
}

int models_list(struct invocation *in)
{
	struct listing l = {0};
	const char *folder = command_flag(in, "dir=");
	int code = EXIT_OK;

	add_bundled(&l);
	add_cached(&l);
	if (folder && add_folder(&l, folder) < 0) {
		complain("--dir %s: cannot be read", folder);
		code = EXIT_USAGE;
	}
	inspect_all(&l, in);
	for (int i = 0; in->json && i < l.n; i++)
		print_json(&l.rows[i]);
	if (!in->json)
		print_table(&l);
	for (int i = 0; i < l.n; i++) {
		free(l.rows[i].at.name);
		free(l.rows[i].at.path);
		free(l.rows[i].at.problem);
	}
	free(l.rows);
	return code;
}
