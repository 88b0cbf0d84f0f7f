/* terminal.h - the terminal given to curses, and always given back. UI thread, but for the two signal-safe functions that say so.
 *
 * Direct colour needs nothing installed: where true colour is proven (COLORTERM, or the terminal's answer to a probe) an entry of our own is handed to
 * ncurses through TERMINFO; elsewhere the terminal's own entry is used with 256, 16, 8 or no colours.
 */
#ifndef TUI_TERMINAL_H
#define TUI_TERMINAL_H

#include <stdbool.h>

#include "core/error.h"

enum colour_mode { COLOUR_MONO, COLOUR_8, COLOUR_16, COLOUR_256, COLOUR_DIRECT };

struct terminal {
	enum colour_mode colour;
	bool utf8;     /* the locale's codeset; otherwise ASCII symbols */
	bool console;  /* of Linux: few symbols in its font */
	bool sextants; /* draws U+1FB00… itself, whatever the font holds */
	bool tmux;
	int background;        /* 0xRRGGBB as the terminal answered (OSC 11), or -1 */
	double cell_aspect;    /* width / height of a cell; 0.5 when unknown */
	char description[160]; /* one line for the status and for bug reports */
};

/* Starts curses: alternate screen, keypad, mouse, no cursor. colour: "auto" or a fixed mode; cell_aspect 0 = ask. Fails (terminal untouched) when TERM is
 * dumb or unknown, or there is no tty: the message says what to do. */
int terminal_start(const char *colour, double cell_aspect, struct terminal *out, struct error *err);
void terminal_stop(void);    /* gives it back; safe to call twice, and from mem_exhausted */
void terminal_suspend(void); /* ^Z: gives it back, stops the process group, takes it again on SIGCONT; the caller repaints all */

/* SIGWINCH, SIGCONT, SIGTSTP, SIGINT, SIGTERM and SIGHUP become bytes in a pipe that the poll loop reads. SIGSEGV, SIGABRT, SIGBUS, SIGFPE and SIGILL give the
 * terminal back before they kill. */
int terminal_signal_fd(void);
int terminal_next_signal(void); /* its number, 0 when none waits */

#endif
