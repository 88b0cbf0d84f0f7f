/* print.h - --help and --version. */
#ifndef TUI_PRINT_H
#define TUI_PRINT_H

#include "tui/command.h"

void print_help(const struct command *commands, int n);
void print_version(void); /* names libtorch, and with a screen chafa and ncurses */

#endif
