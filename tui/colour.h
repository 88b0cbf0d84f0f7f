/* colour.h - colour pairs: counted, shared, and never used up. UI thread; curses must be started.
 *
 * A picture in true colour takes thousands of pairs, and curses' own alloc_pair/free_pair are of no use for that: in ncurses 6.4 free_pair walks the whole
 * screen for each pair (80 ms a picture on a large terminal), and alloc_pair fails for good once 65,536 pairs were handed out, freed or not. So pairs are
 * numbered here. A pair that nobody uses stays defined, for whoever asks for the same colours again; when all numbers are taken, every unused one is
 * dropped in one go.
 *
 *	int pair = colour_pair(0xff8800, -1);
 *	…
 *	colour_free(pair);
 */
#ifndef TUI_COLOUR_H
#define TUI_COLOUR_H

#include <stdbool.h>

/* A colour pair for two RGB values (0xRRGGBB, -1 = the terminal's default), in the nearest colours the terminal has. Counted: colour_free once for each
 * call. Returns the extended pair number; 0, the terminal's defaults, when there are no colours or no pairs left. */
int colour_pair(int foreground, int background);
/* The same for the terminal's own colour numbers: 0xRRGGBB with direct colour, else an index into the palette. */
int colour_pair_raw(int foreground, int background);
void colour_free(int pair); /* 0 is fine */

/* The terminal's own numbers go from 0 to n - 1 (8, 16, 256), or are RGB (1 << 24). 0, and so at first: no
 * colours. To be called before any pair is asked for. */
void colour_set_range(int n);
bool colour_any(void); /* false: attributes only */

/* Of the 16 named colours, in the order of the palette (black, red, …, bright-white); xterm's defaults as 0xRRGGBB. */
extern const int colour_palette[16];

#endif
