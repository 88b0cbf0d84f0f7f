/* command_info.c - `vramble info MODEL…` and `vramble models info NAME…`: what a model holds, from config.json and the weights' headers alone. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "core/memory.h"
#include "core/runtime.h"
#include "core/utf8.h"
#include "tui/command.h"
#include "tui/library.h"

static const char *const kind_names[MODEL_KINDS] = {"scores", "caption", "nli"};

static void print_text(const char *path, const struct model_info *m)
{
	char shown[4096], weights[24];

	utf8_escape(path, strlen(path), shown, sizeof shown);
	printf("%s\n", shown);
	printf("  architecture  %s (%s)\n", m->architecture, kind_names[m->kind]);
	printf("  parameters    %.1f M in %d tensors\n", (double)m->parameters / 1e6, m->tensors);
	printf("  weights       %s, %s\n", memory_text(m->weight_bytes, weights), m->precision);
	printf("  layers        %d + %d, width %d + %d\n", m->layers[0], m->layers[1], m->width[0], m->width[1]);
	if (m->image_size)
		printf("  image         %d px%s\n", m->image_size, m->image_step ? ", may be changed" : "");
	if (m->embed_size)
		printf("  embedding     %d\n", m->embed_size);
	printf("  text          up to %d tokens, vocabulary %d\n", m->context, m->vocabulary);
	if (m->notes[0])
		printf("  notes         %s\n", m->notes);
}

static void print_json(const char *path, const struct model_info *m)
{
	struct outcome shell = {.path = path};
	json_t *object = command_json(&shell);

	json_object_update_new(object, json_pack("{s:s, s:s, s:I, s:I, s:s, s:i, s:[ii], s:[ii], s:i, s:i, s:i, s:i, s:s}", "architecture",
						 m->architecture, "kind", kind_names[m->kind], "parameters", (json_int_t)m->parameters,
						 "weight_bytes", (json_int_t)m->weight_bytes, "precision", m->precision, "tensors", m->tensors,
						 "layers", m->layers[0], m->layers[1], "width", m->width[0], m->width[1], "image_size", m->image_size,
						 "embed_size", m->embed_size, "context", m->context, "vocabulary", m->vocabulary, "notes", m->notes));
	command_print_json(object);
}

int command_info(struct invocation *in)
{
	const struct model_library *library;
	struct error err;
	int code = EXIT_OK;

	if (!in->n_files) {
		complain("info needs a model: vramble info MODEL_DIR, or a name that vramble models list shows");
		return EXIT_USAGE;
	}
	runtime_prepare(in->config.settings.threads);
	library = library_open(NULL, &err);
	if (!library) {
		complain("%s", err.text);
		return EXIT_NO_MODEL;
	}
	for (int i = 0; i < in->n_files; i++) {
		struct model_info info;

		if (library->inspect(in->files[i], &info, &err) == 0)
			(in->json ? print_json : print_text)(in->files[i], &info);
		else {
			complain("%s", err.text);
			code = exit_code_for_model(&err);
		}
	}
	return code;
}
