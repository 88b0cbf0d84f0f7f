/* print.c - see print.h. */
#include "tui/print.h"

#include <stdio.h>

#if VRAMBLE_SCREEN
#include <chafa.h>
#include <ncurses.h>
#endif

#include "core/runtime.h"
#include "tui/library.h"

/* Characters of UTF-8 text, each one column wide. */
static int columns(const char *text)
{
	int n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

void print_help(const struct command *commands, int n)
{
	size_t n_rows;
	const struct config_row *rows = config_rows(&n_rows);

	puts("vramble - see what the models see, and what it costs\n\n"
	     "usage: vramble [OPTION]… [FOLDER | FILE…]     the screen\n"
	     "       vramble COMMAND [OPTION]… ARGUMENT…\n\ncommands:");
	for (int i = 0; i < n; i++)
		printf("  %-8s %s%*s %s\n", commands[i].name, commands[i].arguments, 38 - columns(commands[i].arguments), "", commands[i].summary);
	puts("\noptions (each also a line `name = value` in ~/.config/vramble/config, and a variable VRAMBLE_NAME):");
	for (size_t i = 0; i < n_rows; i++)
		printf("  --%-19s %-7s  %s\n", rows[i].key, rows[i].argument, rows[i].help);
	puts("  --json                         one JSON object a line\n"
	     "  --verify                       score: also caption the picture and check each label against the caption\n"
	     "  --profiles                     config: list the profiles\n"
	     "  --dir FOLDER, --from HUB       models: list: look there too; pull: from huggingface (default) or modelscope\n"
	     "  --batches, --precisions, --image-sizes A,B,C\n"
	     "                                 bench: what to try (1,2,4,8; fp32 and bf16; as set)\n"
	     "  --passes N, --models A,B       bench: timed runs of each (3); of clip, ofa, nli (all)\n"
	     "  --csv FILE                     bench: also write the table there\n"
	     "  --fit                          bench: only find the largest batch that fits\n"
	     "  --version, --help\n\n"
	     "A profile stands between the file and the environment; vramble config shows where each value comes from.\n"
	     "exit codes: 0 ok, 1 some pictures or checks failed, 2 usage or bad settings, 3 no model, 4 out of memory, 130 interrupted\n"
	     "Keys: press ? on the screen, or see man vramble.");
}

void print_version(void)
{
	const struct model_library *library;
	struct error err;

	printf("vramble %s\n", VRAMBLE_VERSION);
	runtime_prepare(0);
	library = library_open(NULL, &err);
	puts(library ? library->version() : "libtorch: not found (make builds libvramble-torch.so)");
#if VRAMBLE_SCREEN
	printf("chafa %d.%d.%d\n%s\n", CHAFA_MAJOR_VERSION, CHAFA_MINOR_VERSION, CHAFA_MICRO_VERSION, curses_version());
#endif
}
