/* draw.c - see draw.h. */
#include "tui/draw.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "core/mem.h"
#include "core/utf8.h"

static const char *const symbols[SYMBOLS][2] = {
	{"✓", "+"}, {"✗", "x"}, {"·", "."}, {"…", "~"}, {"●", "*"}, {"▌", ">"}, {"‹", "<"}, {"›", ">"}, {"○", "-"}, {"⊘", "/"},
};

const char *draw_symbol(const struct canvas *c, enum symbol s)
{
	return symbols[s][c->symbols ? 0 : 1];
}

const char *draw_spinner(const struct canvas *c, int tick)
{
	static const char *const round[] = {"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧"};
	static const char *const ascii[] = {"|", "/", "-", "\\"};

	return c->symbols ? round[tick & 7] : ascii[tick & 3];
}

/* The width of a code point in cells; what cannot be shown counts as one (it is drawn as ?). */
static int code_width(uint32_t code)
{
	int n = wcwidth((wchar_t)code);

	return n < 0 ? 1 : n;
}

int draw_columns(const char *text)
{
	size_t n = strlen(text), length;
	uint32_t code;
	int columns = 0;

	for (size_t i = 0; i < n; i += length) {
		length = utf8_decode(text + i, n - i, &code);
		columns += length ? code_width(code) : 1;
		length = length ? length : 1;
	}
	return columns;
}

/* Draws the characters of text that fit into width columns at the cursor; returns the columns used. */
static int put(const struct canvas *c, const char *text, size_t n, int width)
{
	int used = 0;

	for (size_t i = 0, length; i < n; i += length) {
		uint32_t code = '?';
		int w;

		length = utf8_decode(text + i, n - i, &code);
		length = length ? length : 1;
		w = code_width(code);
		if (used + w > width)
			break;
		if (!c->utf8 && code > 126)
			addch('?');
		else
			addnstr(text + i, (int)length);
		used += w;
	}
	return used;
}

int draw_text(const struct canvas *c, int y, int x, int width, enum theme_role role, const char *text)
{
	int used;

	if (width <= 0)
		return 0;
	theme_set(c->theme, stdscr, role);
	move(y, x);
	if (draw_columns(text) <= width)
		return put(c, text, strlen(text), width);
	used = put(c, text, strlen(text), width - 1);
	addstr(c->symbols ? "…" : "~");
	return used + 1;
}

void draw_field(const struct canvas *c, int y, int x, int width, enum theme_role role, const char *text)
{
	int used = draw_text(c, y, x, width, role, text);

	if (used < width) {
		theme_set(c->theme, stdscr, role);
		mvhline(y, x + used, ' ', width - used);
	}
}

int draw_format(const struct canvas *c, int y, int x, int width, enum theme_role role, const char *fmt, ...)
{
	va_list ap;
	char *text;
	int used;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	used = draw_text(c, y, x, width, role, text);
	free(text);
	return used;
}

int draw_whole(const struct canvas *c, int y, int x, int width, enum theme_role role, const char *fmt, ...)
{
	va_list ap;
	char *text;
	int used = 0;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	if (draw_columns(text) <= width)
		used = draw_text(c, y, x, width, role, text);
	free(text);
	return used;
}

/* hline writes spaces in the window's current colour, unlike blanks left by erase. */
void draw_blank(const struct canvas *c, const struct rect *r, enum theme_role role)
{
	theme_set(c->theme, stdscr, role);
	for (int y = 0; y < r->height; y++)
		mvhline(r->top + y, r->left, ' ', r->width);
}

static void draw_edge(const struct canvas *c, int y, int x, int width, const char *left, const char *middle, const char *right)
{
	move(y, x);
	addstr(left);
	for (int i = 2; i < width; i++)
		addstr(middle);
	addstr(right);
}

struct rect draw_frame(const struct canvas *c, const struct rect *r, bool focused, bool keep, const char *title)
{
	struct rect inside = {r->top + 1, r->left + 1, r->height - 2, r->width - 2};
	const char *side = c->symbols ? "│" : "|";

	if (!keep)
		draw_blank(c, &inside, ROLE_TEXT);
	theme_set(c->theme, stdscr, focused ? ROLE_BORDER_FOCUS : ROLE_BORDER);
	if (c->symbols) {
		draw_edge(c, r->top, r->left, r->width, "╭", "─", "╮");
		draw_edge(c, r->top + r->height - 1, r->left, r->width, "╰", "─", "╯");
	} else {
		draw_edge(c, r->top, r->left, r->width, "+", "-", "+");
		draw_edge(c, r->top + r->height - 1, r->left, r->width, "+", "-", "+");
	}
	for (int y = 1; y < r->height - 1; y++) {
		mvaddstr(r->top + y, r->left, side);
		mvaddstr(r->top + y, r->left + r->width - 1, side);
	}
	if (title && *title && r->width > 6) {
		int used;

		mvaddch(r->top, r->left + 1, ' ');
		used = draw_text(c, r->top, r->left + 2, r->width - 4, ROLE_HEADING, title);
		theme_set(c->theme, stdscr, focused ? ROLE_BORDER_FOCUS : ROLE_BORDER);
		mvaddch(r->top, r->left + 2 + used, ' ');
	}
	return inside;
}

void draw_bar(const struct canvas *c, int y, int x, int width, double fraction, enum theme_role role, enum theme_role back)
{
	static const char *const eighths[] = {" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
	int units = (int)((fraction < 0 ? 0 : fraction > 1 ? 1 : fraction) * width * 8 + 0.5), full = units / 8;

	move(y, x);
	theme_set(c->theme, stdscr, role);
	for (int i = 0; i < full; i++)
		addstr(c->symbols ? "█" : "#");
	if (full == width)
		return;
	if (c->symbols && units % 8) {
		addstr(eighths[units % 8]);
		full++;
	}
	theme_set(c->theme, stdscr, back);
	for (int i = full; i < width; i++)
		addstr(c->symbols ? "·" : ".");
}

void draw_shares(const struct bar_part *part, int n, int64_t total, int width, int cells[BAR_PARTS])
{
	int sum = 0, largest = 0;

	for (int i = 0; i < n; i++) {
		double share = total > 0 ? (double)part[i].value / (double)total * width : 0;

		cells[i] = part[i].value <= 0 || part[i].fill == BAR_FREE ? 0 : share < 1 ? 1 : share > width ? width : (int)(share + 0.5);
		sum += cells[i];
	}
	for (; sum > width && n; sum--) { /* rounding, or many small ones: the largest gives */
		for (int i = 0; i < n; i++)
			if (cells[i] > cells[largest])
				largest = i;
		cells[largest]--;
	}
	for (int i = 0; i < n; i++)
		if (part[i].fill == BAR_FREE) {
			cells[i] = width - sum;
			sum = width;
		}
}

void draw_parts(const struct canvas *c, int y, int x, const struct bar_part *part, const int *cells, int n)
{
	static const char *const fills[][2] = {{" ", " "}, {"▒", ":"}, {"░", "%"}, {"·", "."}};

	move(y, x);
	for (int i = 0; i < n; i++) {
		theme_set(c->theme, stdscr, part[i].role);
		if (part[i].fill == BAR_SOLID)
			attr_on(A_REVERSE, NULL);
		for (int k = 0; k < cells[i]; k++)
			addstr(k == 0 && part[i].mark ? part[i].mark : fills[part[i].fill][c->symbols ? 0 : 1]);
	}
	attr_off(A_REVERSE, NULL);
}

void draw_graph(const struct canvas *c, int y, int x, int width, const int64_t *value, int n, int64_t top, enum theme_role role)
{
	static const char *const steps[2][9] = {{" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"}, {" ", "_", "_", ".", ".", "-", "-", "=", "#"}};

	theme_set(c->theme, stdscr, role);
	move(y, x);
	for (int i = 0; i < width; i++) {
		int k = n - width + i, level = 0;

		if (k >= 0 && top > 0 && value[k] > 0)
			level = value[k] >= top ? 8 : 1 + (int)((double)value[k] / (double)top * 7 + 0.5);
		addstr(steps[c->symbols ? 0 : 1][level > 8 ? 8 : level]);
	}
}

int draw_edited(const struct canvas *c, int y, int x, int width, enum theme_role role, const char *text, int at)
{
	int before = 0, from = 0, cursor;
	size_t n = strlen(text), length;
	uint32_t code;

	/* The characters before the cursor that fit, and a cell for the cursor itself. */
	for (int i = 0; i < at; i += (int)length) {
		length = utf8_decode(text + i, n - (size_t)i, &code);
		length = length ? length : 1;
		before += code_width(code);
	}
	while (before >= width && from < at) {
		length = utf8_decode(text + from, n - (size_t)from, &code);
		length = length ? length : 1;
		before -= code_width(code);
		from += (int)length;
	}
	cursor = x + before;
	theme_set(c->theme, stdscr, role);
	move(y, x);
	before = put(c, text + from, n - (size_t)from, width);
	mvhline(y, x + before, ' ', width - before);
	return cursor;
}

/* The bytes of text that make one line of at most width columns: up to the last blank that fits, or a hard cut. */
static size_t line_length(const char *text, int width)
{
	size_t n = strlen(text), blank = 0, length;
	int columns = 0;

	for (size_t i = 0; i < n; i += length) {
		uint32_t code = '?';

		length = utf8_decode(text + i, n - i, &code);
		length = length ? length : 1;
		columns += code_width(code);
		if (columns > width)
			return blank ? blank : i ? i : length;
		if (text[i] == ' ')
			blank = i;
	}
	return n;
}

int draw_wrapped(const struct canvas *c, int y, int x, int width, int max, enum theme_role role, const char *text, bool cursor)
{
	int lines = 0;

	if (width < 1)
		return 0;
	do {
		size_t n = line_length(text, width);
		int used;

		theme_set(c->theme, stdscr, role);
		move(y + lines, x);
		used = put(c, text, n, width);
		text += n;
		text += strspn(text, " ");
		if (!*text && cursor && used < width)
			addstr(draw_symbol(c, SYM_CURSOR));
		lines++;
	} while (*text && lines < max);
	return lines;
}
