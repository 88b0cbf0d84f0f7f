/* command_caption.c - `vramble caption FILE…`: one caption a line. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "core/utf8.h"
#include "tui/command.h"

static void print_text(const struct outcome *o)
{
	char path[4096];

	if (o->answers->failure || !o->answers->caption)
		return;
	utf8_escape(o->path, strlen(o->path), path, sizeof path);
	printf("%s: %s\n", path, o->answers->caption);
	fflush(stdout);
}

static void print_json(const struct outcome *o)
{
	const struct answers *a = o->answers;
	json_t *object = command_json(o);

	if (a->caption && !a->failure)
		json_object_update_new(object, json_pack("{s:s, s:i, s:f, s:f}", "caption", a->caption, "tokens", a->tokens, "score",
							 (double)a->log_probability, "ms", a->caption_ms));
	command_print_json(object);
}

static void done(void *ctx, const struct outcome *o)
{
	const struct invocation *in = ctx;

	(in->json ? print_json : print_text)(o);
}

int command_caption(struct invocation *in)
{
	if (!in->n_files) {
		complain("caption needs pictures: vramble caption FILE…");
		return EXIT_USAGE;
	}
	return command_run(in, 1 << MODEL_CAPTION, NULL, 0, done, in);
}
