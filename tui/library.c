/* library.c - see library.h. */
#include "tui/library.h"

#include <ctype.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "tui/paths.h"

const struct model_library *library_open(void *ctx, struct error *err)
{
	char *path = paths_library();
	const struct model_library *table;
	void *handle;

	if (!path)
		return fail_null(err, E_MODEL, "libvramble-torch.so is neither beside the program nor in %s: run make, or make install",
				 VRAMBLE_LIBDIR);
	handle = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
	if (!handle) {
		fail(err, E_MODEL, "cannot load the model library: %s", dlerror());
		free(path);
		return NULL;
	}
	table = dlsym(handle, "vramble_models");
	if (!table)
		fail(err, E_MODEL, "%s: holds no vramble_models table", path);
	else if (table->abi != MODEL_LIBRARY_ABI) {
		fail(err, E_MODEL, "%s: made for another version of vramble (table %d, this program wants %d): run make again", path, table->abi,
		     MODEL_LIBRARY_ABI);
		table = NULL;
	}
	free(path);
	return table;
}

char *library_model_dir(const struct config *config, enum model_kind kind)
{
	static const char *const bundled[MODEL_KINDS] = {"clip", "ofa", "bert"};
	const char *chosen = config->model_dir[kind];
	char *book, *dir;

	if (chosen)
		return strcmp(chosen, "none") ? xstrdup(chosen) : NULL;
	book = paths_data("picturebook");
	if (!book)
		return NULL;
	dir = xasprintf("%s/%s", book, bundled[kind]);
	free(book);
	return dir;
}

int64_t library_weights(const struct model_info *info, enum precision precision)
{
	switch (precision) {
	case PRECISION_FP32:
	case PRECISION_AUTOCAST:
		return info->parameters * 4;
	case PRECISION_FP16:
	case PRECISION_BF16:
		return info->parameters * 2;
	default:
		return info->weight_bytes;
	}
}

void library_options(const struct config *config, int kinds, struct engine_options *options)
{
	*options = (struct engine_options){.open_library = library_open,
					   .loaders = config->loaders,
					   .force_cuda = config->force_cuda,
					   .hypothesis = config->hypothesis,
					   .settings = config->settings,
					   .limits = config->limits};
	for (int kind = 0; kind < MODEL_KINDS; kind++)
		if (kinds & 1 << kind)
			options->model_dir[kind] = library_model_dir(config, (enum model_kind)kind);
}

void library_options_free(struct engine_options *options)
{
	for (int kind = 0; kind < MODEL_KINDS; kind++)
		free(options->model_dir[kind]);
}

/* Trims text[0..n) and appends it, if anything is left. */
static void add_label(char ***labels, int *count, const char *text, size_t n)
{
	while (n && isspace((unsigned char)*text)) {
		text++;
		n--;
	}
	while (n && isspace((unsigned char)text[n - 1]))
		n--;
	if (!n || *count == ENGINE_MAX_LABELS)
		return;
	*labels = xrealloc(*labels, (size_t)*count + 1, sizeof **labels);
	(*labels)[(*count)++] = xstrndup(text, n);
}

int library_split_labels(const char *text, char ***labels)
{
	int count = 0;

	*labels = NULL;
	for (;;) {
		size_t n = strcspn(text, ";\n");

		add_label(labels, &count, text, n);
		if (!text[n])
			return count;
		text += n + 1;
	}
}

/* The bundled models know few words, so they come with the labels they know. */
static int bundled_labels(char ***labels)
{
	char *path = paths_data("picturebook/labels.txt");
	FILE *f = path ? fopen(path, "re") : NULL;
	struct buffer text = {0};
	char chunk[4096];
	size_t got;
	int n = 0;

	free(path);
	*labels = NULL;
	if (!f)
		return 0;
	while ((got = fread(chunk, 1, sizeof chunk, f)) > 0)
		buffer_add(&text, chunk, got);
	fclose(f);
	if (text.text)
		n = library_split_labels(text.text, labels);
	buffer_free(&text);
	return n;
}

int library_labels(const struct config *config, char ***labels)
{
	static const char general[] = "a photo of a person; a photo of an animal; a photo of a landscape; a photo of a city; a photo of food; "
				      "a photo of a vehicle; a drawing; a screenshot; a document";
	int n;

	if (config->labels)
		return library_split_labels(config->labels, labels);
	if (!config->model_dir[MODEL_SCORES] && (n = bundled_labels(labels)) > 0)
		return n;
	return library_split_labels(general, labels);
}

void library_free_labels(char **labels, int n)
{
	for (int i = 0; i < n; i++)
		free(labels[i]);
	free(labels);
}
