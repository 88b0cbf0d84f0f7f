/* glyphs.c - see glyphs.h. */
#include "tui/glyphs.h"

#include <chafa.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

struct painter {
	struct terminal terminal;
	ChafaSymbolMap *symbols;
};

static ChafaSymbolTags symbol_tags(const struct terminal *t)
{
	if (!t->utf8)
		return CHAFA_SYMBOL_TAG_ASCII;
	if (t->console) /* all that the usual fonts of Linux's console hold */
		return CHAFA_SYMBOL_TAG_SPACE | CHAFA_SYMBOL_TAG_SOLID | CHAFA_SYMBOL_TAG_HALF;
	/* Box drawing (BORDER) leaves stray lines in flat areas and doubles the time. */
	return CHAFA_SYMBOL_TAG_SPACE | CHAFA_SYMBOL_TAG_BLOCK | CHAFA_SYMBOL_TAG_QUAD | CHAFA_SYMBOL_TAG_HALF |
	       (t->sextants ? CHAFA_SYMBOL_TAG_SEXTANT : 0);
}

static ChafaCanvasMode canvas_mode(enum colour_mode colour)
{
	static const ChafaCanvasMode modes[] = {CHAFA_CANVAS_MODE_FGBG, CHAFA_CANVAS_MODE_INDEXED_8, CHAFA_CANVAS_MODE_INDEXED_16,
						CHAFA_CANVAS_MODE_INDEXED_240, CHAFA_CANVAS_MODE_TRUECOLOR};

	return modes[colour];
}

static ChafaCanvasConfig *make_config(const struct painter *p, int columns, int rows)
{
	ChafaCanvasConfig *config = chafa_canvas_config_new();
	bool light = p->terminal.colour == COLOUR_MONO && p->terminal.background >= 0 && (p->terminal.background >> 8 & 255) > 128;

	chafa_canvas_config_set_canvas_mode(config, canvas_mode(p->terminal.colour));
	chafa_canvas_config_set_symbol_map(config, p->symbols);
	chafa_canvas_config_set_geometry(config, columns, rows);
	chafa_canvas_config_set_fg_color(config, light ? 0x000000 : 0xffffff);
	chafa_canvas_config_set_bg_color(config, light ? 0xffffff : 0x000000);
	chafa_canvas_config_set_work_factor(config, 0.5f);
	/* With colours, single cells of the wrong colour disturb more than flat areas do. */
	if (p->terminal.colour == COLOUR_MONO)
		chafa_canvas_config_set_dither_mode(config, CHAFA_DITHER_MODE_DIFFUSION);
	return config;
}

static uint8_t *with_alpha(const struct image *image)
{
	size_t n = (size_t)image->width * (size_t)image->height;
	uint8_t *rgba = xmalloc(4 * n);

	for (size_t i = 0; i < n; i++) {
		memcpy(rgba + 4 * i, image->rgb + 3 * i, 3);
		rgba[4 * i + 3] = 255;
	}
	return rgba;
}

static void read_canvas(const struct painter *p, ChafaCanvas *canvas, struct glyphs *out)
{
	struct glyph *g = out->cell;

	for (int y = 0; y < out->rows; y++)
		for (int x = 0; x < out->columns; x++, g++) {
			g->code = chafa_canvas_get_char_at(canvas, x, y);
			g->foreground = g->background = -1;
			if (p->terminal.colour != COLOUR_MONO)
				chafa_canvas_get_raw_colors_at(canvas, x, y, &g->foreground, &g->background);
		}
}

struct glyphs glyphs_paint(const struct painter *p, const struct image *image, int columns, int rows)
{
	struct glyphs out = {.columns = columns, .rows = rows};
	ChafaCanvasConfig *config;
	ChafaCanvas *canvas;
	uint8_t *rgba;

	chafa_calc_canvas_geometry(image->width, image->height, &out.columns, &out.rows, (float)p->terminal.cell_aspect, TRUE, FALSE);
	out.columns = out.columns < 1 ? 1 : out.columns > columns ? columns : out.columns;
	out.rows = out.rows < 1 ? 1 : out.rows > rows ? rows : out.rows;
	out.cell = xcalloc((size_t)out.columns * (size_t)out.rows, sizeof *out.cell);
	config = make_config(p, out.columns, out.rows);
	canvas = chafa_canvas_new(config);
	rgba = with_alpha(image);
	chafa_canvas_draw_all_pixels(canvas, CHAFA_PIXEL_RGBA8_UNASSOCIATED, rgba, image->width, image->height, image->width * 4);
	read_canvas(p, canvas, &out);
	free(rgba);
	chafa_canvas_unref(canvas);
	chafa_canvas_config_unref(config);
	return out;
}

struct painter *painter_create(const struct terminal *terminal)
{
	struct painter *p = xcalloc(1, sizeof *p);

	p->terminal = *terminal;
	p->symbols = chafa_symbol_map_new();
	chafa_symbol_map_add_by_tags(p->symbols, symbol_tags(terminal));
	/* The other cores are the models'. */
	chafa_set_n_threads(1);
	return p;
}

void painter_destroy(struct painter *p)
{
	if (!p)
		return;
	chafa_symbol_map_unref(p->symbols);
	free(p);
}
