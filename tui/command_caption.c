/* command_caption.c - `vramble caption FILE…`: one caption a line. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "core/utf8.h"
#include "tui/command.h"

static void print_text(const struct outcome *a)
{
	char path[4096];

	if (a->err || !a->caption)
		return;
	utf8_escape(a->path, strlen(a->path), path, sizeof path);
	printf("%s: %s\n", path, a->caption->text);
	fflush(stdout);
}

static void print_json(const struct outcome *a)
{
	json_t *object = command_json(a);

	if (a->caption)
		json_object_update_new(object, json_pack("{s:s, s:i, s:f, s:f}", "caption", a->caption->text, "tokens", a->caption->tokens, "score",
							 (double)a->caption->score, "ms", a->caption_ms));
	command_print_json(object);
}

static void done(void *ctx, const struct outcome *a)
{
	const struct invocation *in = ctx;

	(in->json ? print_json : print_text)(a);
}

int command_caption(struct invocation *in)
{
	if (!in->n_files) {
		complain("caption needs pictures: vramble caption FILE…");
		return EXIT_USAGE;
	}
	return command_run(in, 1 << MODEL_CAPTION, NULL, 0, done, in);
}
