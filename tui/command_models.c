/* command_models.c - `vramble models list|info|pull|verify`: the models on this machine, and how more of them come here. */
#include "tui/command_models.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/hub.h"
#include "core/locate.h"
#include "core/mem.h"
#include "core/runtime.h"
#include "core/utf8.h"
#include "tui/library.h"

const char *const command_models_flags[] = {"dir=", "from=", NULL};

const char *models_size(int64_t bytes, char out[16])
{
	double b = (double)bytes;

	if (bytes < 1000)
		snprintf(out, 16, "%d B", (int)bytes);
	else if (b < 999.95e3)
		snprintf(out, 16, "%.1f kB", b / 1e3);
	else if (b < 999.95e6)
		snprintf(out, 16, "%.1f MB", b / 1e6);
	else
		snprintf(out, 16, "%.2f GB", b / 1e9);
	return out;
}

const char *models_shown(const char *name, char *out, size_t size)
{
	utf8_escape(name, strlen(name), out, size);
	return out;
}

/* ---------------------------------------------------------------- verify */

struct verifying {
	const struct invocation *in;
	const char *name;
};

static void print_check(const struct verifying *v, const char *file, int64_t bytes, const char *verdict, const char *text)
{
	char shown[1024];

	if (v->in->json) {
		json_t *object = json_pack("{s:s, s:s, s:I, s:s}", "name", v->name, "file", models_shown(file, shown, sizeof shown), "bytes",
					   (json_int_t)bytes, "verdict", verdict);

		json_object_set_new(object, "text", json_string(text));
		command_print_json(object);
	} else {
		printf("%-4s  %s%s%s\n", verdict, models_shown(file, shown, sizeof shown), *text ? ": " : "", text);
	}
}

static void on_check(void *ctx, const struct hub_check *check)
{
	if (check->reason)
		print_check(ctx, check->file, check->bytes, "fail", check->reason);
	else if (check->summed)
		print_check(ctx, check->file, check->bytes, "ok", "");
	else
		print_check(ctx, check->file, check->bytes, "warn", "nothing tells its sum; only Hugging Face's cache keeps one");
}

/* That the weights' headers and the configuration are read. */
static int check_headers(const struct verifying *v, const struct model_library *library, const char *path)
{
	struct model_info info;
	struct error err;
	char text[200];

	if (library->inspect(path, &info, &err) < 0) {
		print_check(v, "headers", 0, "fail", err.text);
		return 1;
	}
	snprintf(text, sizeof text, "%s, %d tensors, %.1f M parameters, %s", info.architecture, info.tensors, (double)info.parameters / 1e6,
		 info.precision);
	print_check(v, "headers", info.weight_bytes, "ok", text);
	return 0;
}

/* A name that leads to no model is no failed check; one of a file that cannot be read is. */
static int verify(struct invocation *in, const struct model_library *library, const char *name, int stop_fd)
{
	struct verifying v = {in, name};
	struct error err;
	struct stat st;
	char *path;
	int wrong = 0;

	if (locate_parts(name, &path, &err) < 0) {
		complain("%s", err.text);
		return lstat(name, &st) == 0 ? EXIT_SOME_FAILED : exit_code_for_model(&err);
	}
	if (!in->json)
		printf("%s\n", path);
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		wrong = hub_verify(path, stop_fd, on_check, &v, &err);
	if (wrong < 0)
		complain("%s", err.text);
	else
		wrong += check_headers(&v, library, path);
	free(path);
	return wrong > 0 ? EXIT_SOME_FAILED : wrong == 0 ? EXIT_OK : err.code == E_CANCELLED ? EXIT_INTERRUPTED : exit_code_for(&err);
}

int models_verify(struct invocation *in)
{
	const struct model_library *library;
	struct error err;
	int code = EXIT_OK, stop_fd = command_interrupts(&err);

	runtime_prepare(in->config.settings.threads);
	library = library_open(NULL, &err);
	if (!library) {
		complain("%s", err.text);
		return EXIT_NO_MODEL;
	}
	for (int i = 0; i < in->n_files && code != EXIT_INTERRUPTED; i++) {
		int here = verify(in, library, in->files[i], stop_fd);

		if (here != EXIT_OK)
			code = here;
	}
	return code;
}

/* ---------------------------------------------------------------- the word that says which */

int command_models(struct invocation *in)
{
	static const struct {
		const char *word;
		int (*run)(struct invocation *in);
		bool named;
		const char *flag; /* that it alone has; NULL: none */
	} words[] = {{"list", models_list, false, "dir="},
		     {"info", command_info, true, NULL},
		     {"pull", models_pull, true, "from="},
		     {"verify", models_verify, true, NULL}};

	for (size_t i = 0; in->n_files && i < sizeof words / sizeof *words; i++) {
		if (strcmp(in->files[0], words[i].word) != 0)
			continue;
		in->files++;
		in->n_files--;
		for (int k = 0; k < in->n_flags; k++)
			if (!words[i].flag || strcmp(in->flags[k].name, words[i].flag) != 0) {
				complain("command line: --%.*s is not for models %s", (int)strcspn(in->flags[k].name, "="), in->flags[k].name,
					 words[i].word);
				return EXIT_USAGE;
			}
		if (words[i].named != (in->n_files > 0)) {
			complain(words[i].named ? "models %s needs a name, such as openai/clip-vit-base-patch32"
						: "models %s takes no names; vramble models info NAME tells of one",
				 words[i].word);
			return EXIT_USAGE;
		}
		return words[i].run(in);
	}
	complain("models: list, info NAME, pull NAME or verify NAME");
	return EXIT_USAGE;
}
