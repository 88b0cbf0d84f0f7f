/* colour.c - see colour.h. */
#include "tui/colour.h"

#include <ncurses.h>
#include <stdint.h>
#include <string.h>

enum {
	MAX_PAIRS = 65536,
	SLOTS = 2 * MAX_PAIRS, /* of the hash table; a power of two, at most half full */
	NO_COLOUR = -1,
};

const int colour_palette[16] = {0x000000, 0xcd0000, 0x00cd00, 0xcdcd00, 0x0000ee, 0xcd00cd, 0x00cdcd, 0xe5e5e5,
				0x7f7f7f, 0xff0000, 0x00ff00, 0xffff00, 0x5c5cff, 0xff00ff, 0x00ffff, 0xffffff};

struct pair {
	int foreground, background; /* curses' numbers */
	uint32_t users;
};

static struct pair pairs[MAX_PAIRS]; /* by number; 0 is curses' own */
static uint16_t slots[SLOTS];        /* numbers by hashed colours; 0 = empty */
static uint16_t unused[MAX_PAIRS];   /* numbers that are defined for nothing, as a stack */
static int n_unused;
static int n_used;   /* pairs that have users */
static int next = 1; /* numbers from here on were never defined */

/* ---- nearest colours ------------------------------------------------------------------------------------------------------------------------ */

static int range; /* of colours; see colour_set_range */

void colour_set_range(int n)
{
	range = n;
}

bool colour_any(void)
{
	return range > 0;
}

static int red(int rgb)
{
	return rgb >> 16 & 255;
}

static int green(int rgb)
{
	return rgb >> 8 & 255;
}

static int blue(int rgb)
{
	return rgb & 255;
}

/* Squared distance, weighted roughly as the eye does. */
static int difference(int a, int b)
{
	int r = red(a) - red(b), g = green(a) - green(b), c = blue(a) - blue(b);

	return 3 * r * r + 4 * g * g + 2 * c * c;
}

static int nearest_named(int rgb, int n)
{
	int best = 0;

	for (int i = 1; i < n; i++)
		if (difference(rgb, colour_palette[i]) < difference(rgb, colour_palette[best]))
			best = i;
	return best;
}

/* Of the 6x6x6 cube and the grey ramp of the 256-colour palette. */
static int nearest_256(int rgb)
{
	static const int level[6] = {0, 95, 135, 175, 215, 255};
	int part[3] = {red(rgb), green(rgb), blue(rgb)}, step[3], grey, cube;

	for (int i = 0; i < 3; i++)
		step[i] = part[i] < 48 ? 0 : part[i] < 115 ? 1 : (part[i] - 35) / 40;
	cube = level[step[0]] << 16 | level[step[1]] << 8 | level[step[2]];
	grey = (part[0] + part[1] + part[2]) / 3;
	grey = grey < 8 ? 0 : grey > 238 ? 23 : (grey - 3) / 10;
	if (difference(rgb, (8 + 10 * grey) * 0x010101) < difference(rgb, cube))
		return 232 + grey;
	return 16 + 36 * step[0] + 6 * step[1] + step[2];
}

static int to_curses(int rgb)
{
	if (rgb < 0)
		return NO_COLOUR;
	if (range > 256)
		return rgb;
	return range == 256 ? nearest_256(rgb) : nearest_named(rgb, range >= 16 ? 16 : 8);
}

/* ---- pairs ---------------------------------------------------------------------------------------------------------------------------------- */

static uint32_t home_slot(int foreground, int background)
{
	uint64_t key = (uint64_t)(uint32_t)foreground << 32 | (uint32_t)background;

	return (uint32_t)(key * 0x9E3779B97F4A7C15u >> 40) & (SLOTS - 1);
}

/* The slot that holds these colours, or the empty one where they belong. */
static uint32_t find_slot(int foreground, int background)
{
	uint32_t slot = home_slot(foreground, background);

	while (slots[slot] && (pairs[slots[slot]].foreground != foreground || pairs[slots[slot]].background != background))
		slot = (slot + 1) & (SLOTS - 1);
	return slot;
}

/* Drops every pair that nobody uses. The others keep their numbers, so what is on the screen stays right and nothing needs to be repainted. */
static void drop_unused(void)
{
	memset(slots, 0, sizeof slots);
	n_unused = 0;
	reset_color_pairs();
	clearok(curscr, FALSE);
	for (int i = next - 1; i > 0; i--) {
		if (!pairs[i].users) {
			unused[n_unused++] = (uint16_t)i;
			continue;
		}
		slots[find_slot(pairs[i].foreground, pairs[i].background)] = (uint16_t)i;
		init_extended_pair(i, pairs[i].foreground, pairs[i].background);
	}
}

/* A number that is not defined, or 0. */
static int take_number(void)
{
	int limit = COLOR_PAIRS < MAX_PAIRS ? COLOR_PAIRS : MAX_PAIRS;

	if (!n_unused && next < limit)
		return next++;
	if (!n_unused && n_used < next - 1)
		drop_unused();
	return n_unused ? unused[--n_unused] : 0;
}

static int use_pair(int foreground, int background)
{
	int pair = slots[find_slot(foreground, background)];

	if (!pair) {
		pair = take_number();
		if (!pair)
			return 0;
		pairs[pair] = (struct pair){foreground, background, 0};
		slots[find_slot(foreground, background)] = (uint16_t)pair;
		init_extended_pair(pair, foreground, background);
	}
	n_used += !pairs[pair].users++;
	return pair;
}

int colour_pair_raw(int foreground, int background)
{
	if (!colour_any() || (foreground < 0 && background < 0))
		return 0;
	if (range > 256) { /* direct colour; the values 0 to 7 would mean the palette */
		foreground = foreground >= 0 && foreground < 8 ? 8 : foreground;
		background = background >= 0 && background < 8 ? 8 : background;
	}
	return use_pair(foreground, background);
}

/* Of 8 or 16 colours the nearest to a grey is often that of the background, whatever this is: dark greys become bright black, which is seen on black and
 * on white, others the terminal's own foreground. */
static int named_grey(int rgb)
{
	int luma = (299 * red(rgb) + 587 * green(rgb) + 114 * blue(rgb)) / 1000;

	return range >= 16 && luma > 32 && luma < 208 ? 8 : NO_COLOUR;
}

static bool is_grey(int rgb)
{
	int most = red(rgb) > green(rgb) ? red(rgb) : green(rgb), least = red(rgb) < green(rgb) ? red(rgb) : green(rgb);

	most = blue(rgb) > most ? blue(rgb) : most;
	least = blue(rgb) < least ? blue(rgb) : least;
	return most - least < 48;
}

int colour_pair(int foreground, int background)
{
	int f = to_curses(foreground), b = to_curses(background);

	if (range <= 16 && foreground >= 0 && background < 0 && is_grey(foreground))
		f = named_grey(foreground);
	else if (range <= 16 && f >= 0 && f == b)
		f = b ? 0 : 7;
	return colour_pair_raw(f, b);
}

void colour_free(int pair)
{
	if (pair > 0 && pair < MAX_PAIRS && pairs[pair].users && !--pairs[pair].users)
		n_used--;
}
