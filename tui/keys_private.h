/* keys_private.h - what the parts of keys*.c share. UI thread.
 *
 *	keys.c           the browser's keys, from one table; reading
 *	keys_overlays.c  the keys of each overlay, and typing
 *	keys_mouse.c     clicks and the wheel
 */
#ifndef TUI_KEYS_PRIVATE_H
#define TUI_KEYS_PRIVATE_H

#include "tui/app.h"

enum {
	CTRL_D = 4,
	CTRL_F = 6,
	CTRL_B = 2,
	CTRL_K = 11,
	CTRL_L = 12,
	CTRL_S = 19,
	CTRL_U = 21,
	CTRL_W = 23,
	CTRL_Z = 26,
	CTRL_C = 3,
	CTRL_A = 1,
	CTRL_E = 5,
	ESCAPE = 27
};

/* Added to a typed character beyond ASCII, since curses gives its function keys the numbers of such characters. */
enum { TYPED = 1 << 24 };

bool keys_overlay(struct app *a, int key); /* false: no overlay is open, the key is the browser's */
void keys_mouse(struct app *a);
void keys_focus(struct app *a, enum panel panel);

#endif
