/* command_browse.c - no subcommand: the screen. */
#include "tui/command.h"

#if VRAMBLE_SCREEN
#include "tui/app.h"

int command_browse(struct invocation *in)
{
	return app_run(&in->config, in->files, in->n_files);
}
#else
int command_browse(struct invocation *in)
{
	complain("built without a screen; use \"vramble caption FILE…\", \"vramble score FILE…\", or build with SCREEN=1");
	return EXIT_USAGE;
}
#endif
