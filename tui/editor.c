/* editor.c - see editor.h. */
#include "tui/editor.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/utf8.h"

void editor_begin(struct editor *e)
{
	char *empty = "";

	editor_begin_lines(e, &empty, 1);
}

void editor_begin_lines(struct editor *e, char *const *lines, int n)
{
	char *const empty[] = {""};

	if (n < 1) {
		lines = empty;
		n = 1;
	}
	editor_free(e);
	e->line = xcalloc((size_t)n, sizeof *e->line);
	e->n = n;
	for (int i = 0; i < n; i++)
		e->line[i] = xstrdup(lines[i]);
	e->row = n - 1;
	editor_end(e);
}

void editor_free(struct editor *e)
{
	for (int i = 0; i < e->n; i++)
		free(e->line[i]);
	free(e->line);
	*e = (struct editor){0};
}

/* Replaces bytes [from, to) of the cursor's line with text. */
static void splice(struct editor *e, int from, int to, const char *text, size_t n)
{
	char *old = e->line[e->row];
	struct buffer b = {0};

	buffer_add(&b, old, (size_t)from);
	buffer_add(&b, text, n);
	buffer_puts(&b, old + to);
	free(old);
	e->line[e->row] = b.text;
}

static void remove_line(struct editor *e, int row)
{
	free(e->line[row]);
	memmove(e->line + row, e->line + row + 1, sizeof *e->line * (size_t)(e->n - row - 1));
	e->n--;
}

/* The start of the character before, or after, byte `at`. */
static int before(const char *text, int at)
{
	do
		at--;
	while (at > 0 && ((unsigned char)text[at] & 0xC0) == 0x80);
	return at;
}

static int after(const char *text, int at)
{
	do
		at++;
	while (((unsigned char)text[at] & 0xC0) == 0x80);
	return at;
}

void editor_insert(struct editor *e, uint32_t code)
{
	char bytes[4], shown[24];
	size_t n = utf8_encode(code, bytes);

	utf8_escape(bytes, n, shown, sizeof shown);
	if (code < 32 || strlen(shown) != n || strlen(e->line[e->row]) + n > EDITOR_LINE_BYTES)
		return;
	splice(e, e->at, e->at, bytes, n);
	e->at += (int)n;
}

void editor_newline(struct editor *e)
{
	char *rest = xstrdup(e->line[e->row] + e->at);

	e->line[e->row][e->at] = '\0';
	e->line = xrealloc(e->line, (size_t)e->n + 1, sizeof *e->line);
	memmove(e->line + e->row + 2, e->line + e->row + 1, sizeof *e->line * (size_t)(e->n - e->row - 1));
	e->line[++e->row] = rest;
	e->n++;
	e->at = 0;
}

void editor_backspace(struct editor *e)
{
	if (e->at > 0) {
		int from = before(e->line[e->row], e->at);

		splice(e, from, e->at, "", 0);
		e->at = from;
	} else if (e->row > 0) {
		char *tail = e->line[e->row];
		int end = (int)strlen(e->line[e->row - 1]);

		e->row--;
		splice(e, end, end, tail, strlen(tail));
		remove_line(e, e->row + 1);
		e->at = end;
	}
}

void editor_delete(struct editor *e)
{
	if (e->line[e->row][e->at]) {
		splice(e, e->at, after(e->line[e->row], e->at), "", 0);
	} else if (e->row + 1 < e->n) {
		e->row++;
		e->at = 0;
		editor_backspace(e);
	}
}

void editor_clear(struct editor *e)
{
	e->line[e->row][0] = '\0';
	e->at = 0;
}

void editor_delete_line(struct editor *e)
{
	if (e->n == 1) {
		editor_clear(e);
	} else {
		remove_line(e, e->row);
		if (e->row == e->n)
			e->row--;
	}
	e->at = 0;
}

void editor_delete_word(struct editor *e)
{
	const char *text = e->line[e->row];
	int from = e->at;

	while (from > 0 && text[from - 1] == ' ')
		from--;
	while (from > 0 && text[from - 1] != ' ')
		from--;
	splice(e, from, e->at, "", 0);
	e->at = from;
}

void editor_move(struct editor *e, int rows, int characters)
{
	int length;

	e->row = e->row + rows < 0 ? 0 : e->row + rows >= e->n ? e->n - 1 : e->row + rows;
	length = (int)strlen(e->line[e->row]);
	if (e->at > length)
		e->at = length;
	/* A column of another line may fall inside a character. */
	while (e->at > 0 && ((unsigned char)e->line[e->row][e->at] & 0xC0) == 0x80)
		e->at--;
	for (; characters > 0 && e->line[e->row][e->at]; characters--)
		e->at = after(e->line[e->row], e->at);
	for (; characters < 0 && e->at > 0; characters++)
		e->at = before(e->line[e->row], e->at);
}

void editor_home(struct editor *e)
{
	e->at = 0;
}

void editor_end(struct editor *e)
{
	e->at = (int)strlen(e->line[e->row]);
}

char **editor_labels(const struct editor *e, int *n)
{
	char **labels = xcalloc((size_t)e->n, sizeof *labels);

	*n = 0;
	for (int i = 0; i < e->n; i++) {
		const char *text = e->line[i];
		size_t length;

		while (isspace((unsigned char)*text))
			text++;
		length = strlen(text);
		while (length && isspace((unsigned char)text[length - 1]))
			length--;
		if (length)
			labels[(*n)++] = xstrndup(text, length);
	}
	return labels;
}
