/* glyphs.h - a picture as characters with two colours each. The one place where libchafa is used.
 *
 * Threads: making and freeing a painter belongs to one thread; glyphs_paint may be called by one thread at a time.
 *
 *	struct painter *painter = painter_create(&terminal);
 *	struct glyphs g = glyphs_paint(painter, &image, 80, 24);
 *	… g.cell[y * g.columns + x] …
 *	free(g.cell);
 */
#ifndef TUI_GLYPHS_H
#define TUI_GLYPHS_H

#include "core/image.h"
#include "tui/terminal.h"

struct glyph {
	uint32_t code;
	int foreground, background; /* the terminal's numbers: 0xRRGGBB with direct colour, else of the palette; -1 = default */
};

struct glyphs {
	int columns, rows;
	struct glyph *cell; /* [rows][columns], malloced */
};

struct painter;

/* Symbols and colours by what the terminal can show. */
struct painter *painter_create(const struct terminal *terminal);
void painter_destroy(struct painter *p); /* NULL is fine */
/* The picture as large as fits into columns x rows (at least 1 x 1), its aspect kept by the terminal's cell aspect. About 10 ms. */
struct glyphs glyphs_paint(const struct painter *p, const struct image *image, int columns, int rows);

#endif
