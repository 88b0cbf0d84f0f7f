/* editor.h - a small text editor: lines of UTF-8 with a cursor. Pure; no curses. The labels, the filter and the command line are typed with it. */
#ifndef TUI_EDITOR_H
#define TUI_EDITOR_H

#include <stdbool.h>
#include <stdint.h>

enum { EDITOR_LINE_BYTES = 512 };

struct editor {
	char **line; /* owned; at least one once begun */
	int n;
	int row; /* the cursor's line */
	int at;  /* the cursor's byte in it */
};

void editor_begin(struct editor *e);                                  /* one empty line */
void editor_begin_lines(struct editor *e, char *const *lines, int n); /* copies; cursor at the end */
void editor_free(struct editor *e);
void editor_insert(struct editor *e, uint32_t code); /* printable code points only; others and full lines are ignored */
void editor_newline(struct editor *e);               /* splits the line */
void editor_backspace(struct editor *e);             /* joins lines at a line's start */
void editor_delete(struct editor *e);
void editor_clear(struct editor *e);                          /* empties the cursor's line */
void editor_delete_line(struct editor *e);                    /* always leaves one */
void editor_delete_word(struct editor *e);                    /* before the cursor */
void editor_move(struct editor *e, int rows, int characters); /* clamped */
void editor_home(struct editor *e);
void editor_end(struct editor *e);
/* The lines that are not blank, trimmed, malloced with their array (library_free_labels frees both). */
char **editor_labels(const struct editor *e, int *n);

#endif
