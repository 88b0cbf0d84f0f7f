#include "models/picturebook/pen.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

#define EDGE_WIDTH 0.07f /* of half a thing's size */

/* What the background is drawn with: local units are the shorter side, from the centre; half_x, half_y are the picture's half sides. */
struct sheet {
	struct pen *pen;
	uint64_t rng;
	float half_x, half_y;
};

static float mixed(float a, float b, float t)
{
	return a + (b - a) * t;
}

static void shade(uint8_t *out, const uint8_t *rgb, float towards, float t)
{
	for (int c = 0; c < 3; c++)
		out[c] = (uint8_t)mixed(rgb[c], towards, t);
}

/* A rectangle across the picture from y0 to y1, local units, running from colour a to colour b. Whole rows: the bands meet without a seam. */
static void band(struct sheet *s, float y0, float y1, const float *a, const float *b)
{
	struct pen *pen = s->pen;
	int from = (int)fmaxf(0, y0 * pen->yy + pen->y0 + 0.5f), to = (int)fminf((float)pen->height, y1 * pen->yy + pen->y0 + 0.5f);
	for (int y = from; y < to; y++) {
		float t = ((float)y - pen->y0) / pen->yy;
		t = fminf(fmaxf((t - y0) / (y1 - y0), 0), 1);
		uint8_t *row = pen->rgb + (size_t)y * (size_t)pen->width * 3;
		for (int c = 0; c < 3; c++)
			row[c] = (uint8_t)mixed(a[c], b[c], t);
		for (int x = 1; x < pen->width; x++)
			memcpy(row + (size_t)x * 3, row, 3);
	}
}

static void sky(struct sheet *s, const float *a, const float *b)
{
	band(s, -s->half_y - 1, s->half_y + 1, a, b);
}

/* Ground from a softly waving line at height y down to the lower edge. */
static void ground(struct sheet *s, float y, float waves, const float *rgb)
{
	enum { STEPS = 24 };
	float xy[2 * (STEPS + 3)], phase = scene_between(&s->rng, 0, 6.28f), reach = s->half_x + 0.05f;
	for (int i = 0; i <= STEPS; i++) {
		float x = -reach + 2 * reach * (float)i / STEPS;
		xy[2 * i] = x;
		xy[2 * i + 1] = y + waves * sinf(4 * x + phase);
	}
	const float corners[4] = {reach, s->half_y + 0.05f, -reach, s->half_y + 0.05f};
	memcpy(xy + 2 * (STEPS + 1), corners, sizeof corners);
	pen_colour(s->pen, rgb[0], rgb[1], rgb[2]);
	pen_poly(s->pen, CUSTOM, xy, STEPS + 3);
}

/* How many of a thing that comes `per_square` times in the central square. */
static int amount(const struct sheet *s, float per_square, float from_y)
{
	return (int)(per_square * 2 * s->half_x * fmaxf(s->half_y - from_y, 0)) + 1;
}

static void dots(struct sheet *s, float per_square, float from_y, float to_y, float small, float big)
{
	for (int i = amount(s, per_square, from_y) - amount(s, per_square, to_y); i > 0; i--) {
		float x = scene_between(&s->rng, -s->half_x, s->half_x), y = scene_between(&s->rng, from_y, to_y);
		pen_disc(s->pen, CUSTOM, x, y, scene_between(&s->rng, small, big));
	}
}

static float horizon(struct sheet *s)
{
	return s->half_y * scene_between(&s->rng, 0.1f, 0.4f);
}

static void paint_plain(struct sheet *s)
{
	static const uint8_t papers[][3] = {{240, 232, 214}, {222, 228, 234}, {226, 220, 238}, {214, 232, 226}, {236, 218, 214}};
	const uint8_t *paper = papers[scene_below(&s->rng, sizeof papers / sizeof papers[0])];
	float a[3], b[3], light = scene_between(&s->rng, -16, 8);
	for (int c = 0; c < 3; c++) {
		a[c] = (float)paper[c] + light + 5;
		b[c] = (float)paper[c] + light - 5;
	}
	sky(s, a, b);
}

static void paint_grass(struct sheet *s)
{
	float y = horizon(s), tint = scene_between(&s->rng, -12, 12);
	sky(s, (const float[]){150 + tint, 204, 244}, (const float[]){222, 240, 248});
	ground(s, y, 0.02f, (const float[]){136, 200 + tint, 92});
	ground(s, y + 0.1f, 0.03f, (const float[]){112, 184 + tint, 74});
	pen_colour(s->pen, 82, 150 + tint, 54);
	for (int i = amount(s, 34, y + 0.12f); i > 0; i--) {
		float x = scene_between(&s->rng, -s->half_x, s->half_x), foot = scene_between(&s->rng, y + 0.14f, s->half_y + 0.04f);
		PEN_POLY(s->pen, CUSTOM, x - 0.025f, foot, x - 0.03f, foot - 0.05f, x - 0.008f, foot - 0.02f, x, foot - 0.065f, x + 0.01f,
			 foot - 0.02f, x + 0.03f, foot - 0.05f, x + 0.025f, foot);
	}
}

static void paint_sand(struct sheet *s)
{
	float y = horizon(s), tint = scene_between(&s->rng, -10, 10);
	sky(s, (const float[]){176, 220, 240}, (const float[]){244, 240, 222});
	ground(s, y, 0.025f, (const float[]){238 + tint, 214, 158});
	ground(s, y + 0.14f, 0.04f, (const float[]){228 + tint, 198, 136});
	pen_colour(s->pen, 198 + tint, 164, 104);
	dots(s, 90, y + 0.1f, s->half_y, 0.004f, 0.012f);
}

static void paint_snow(struct sheet *s)
{
	float y = horizon(s), tint = scene_between(&s->rng, -10, 10);
	sky(s, (const float[]){152, 172 + tint, 198}, (const float[]){198, 210, 226});
	ground(s, y, 0.035f, (const float[]){228, 236, 246});
	ground(s, y + 0.12f, 0.045f, (const float[]){246, 249, 252});
	pen_colour(s->pen, 255, 255, 255);
	dots(s, 60, -s->half_y, y, 0.007f, 0.016f);
}

static void paint_night(struct sheet *s)
{
	float tint = scene_between(&s->rng, -8, 8);
	sky(s, (const float[]){14, 18, 48 + tint}, (const float[]){52, 50, 104 + tint});
	pen_colour(s->pen, 235, 235, 210);
	dots(s, 60, -s->half_y, s->half_y, 0.004f, 0.009f);
	ground(s, s->half_y * scene_between(&s->rng, 0.78f, 0.88f), 0.04f, (const float[]){14, 20, 36});
}

static void paint_room(struct sheet *s)
{
	float y = s->half_y * scene_between(&s->rng, 0.4f, 0.6f), tint = scene_between(&s->rng, -12, 12);
	const float wall[] = {232, 212 + tint, 190 + tint}, wood[] = {188, 142 + tint, 100}, dark[] = {166, 122 + tint, 84};
	sky(s, wall, wall);
	pen_colour(s->pen, wall[0] - 14, wall[1] - 16, wall[2] - 16);
	for (float x = -s->half_x + scene_between(&s->rng, 0, 0.1f); x < s->half_x; x += 0.16f)
		pen_box(s->pen, CUSTOM, x, -s->half_y - 0.1f, x + 0.06f, y, 0);
	band(s, y, s->half_y + 0.1f, wood, dark);
	pen_colour(s->pen, 142, 100 + tint, 66);
	for (float x = -2 * s->half_x; x < 2 * s->half_x; x += 0.2f)
		PEN_LINE(s->pen, CUSTOM, 0.008f, x * 0.7f, y, x * 1.2f, s->half_y + 0.02f);
	pen_colour(s->pen, 250, 246, 238);
	pen_box(s->pen, CUSTOM, -s->half_x - 0.1f, y - 0.035f, s->half_x + 0.1f, y + 0.015f, 0);
}

static void paint_sea(struct sheet *s)
{
	float y = horizon(s), tint = scene_between(&s->rng, -12, 12);
	sky(s, (const float[]){184, 224, 246}, (const float[]){238, 246, 248});
	band(s, y, s->half_y + 0.1f, (const float[]){96, 180 + tint, 214}, (const float[]){30, 110 + tint, 166});
	pen_colour(s->pen, 222, 242, 248);
	for (int i = amount(s, 26, y); i > 0; i--) {
		float x = scene_between(&s->rng, -s->half_x, s->half_x), top = scene_between(&s->rng, y + 0.05f, s->half_y);
		PEN_CURVE(s->pen, CUSTOM, 0.012f, x - 0.08f, top, x - 0.04f, top + 0.02f, x, top, x + 0.04f, top + 0.02f, x + 0.08f, top);
	}
}

static void paint_background(struct pen *pen, const struct scene *scene, float half_x, float half_y)
{
	static void (*const paint[BACKGROUND_COUNT])(struct sheet *) = {
		[BACKGROUND_PLAIN] = paint_plain, [BACKGROUND_GRASS] = paint_grass, [BACKGROUND_SAND] = paint_sand, [BACKGROUND_SNOW] = paint_snow,
		[BACKGROUND_NIGHT] = paint_night, [BACKGROUND_ROOM] = paint_room,   [BACKGROUND_SEA] = paint_sea,
	};
	struct sheet sheet = {.pen = pen, .rng = scene->look, .half_x = half_x, .half_y = half_y};
	paint[scene->background](&sheet);
}

/* Darker tones of a dark thing are lighter ones, or they could not be seen. */
static void mix_tones(struct pen *pen, const struct scene_thing *t, bool night)
{
	static const uint8_t ink[3] = {36, 34, 40}, metal[3] = {150, 152, 158}, paper[3] = {252, 252, 250}, trunk[3] = {122, 104, 84},
			     grey[3] = {206, 210, 218};
	bool black = t->colour == COLOUR_BLACK, white = t->colour == COLOUR_WHITE;
	memcpy(pen->tone[BODY], t->rgb, 3);
	shade(pen->tone[LIMB], t->rgb, black ? 255 : 0, black ? 0.16f : 0.18f);
	shade(pen->tone[SHADE], t->rgb, black ? 255 : 0, black ? 0.3f : 0.34f);
	shade(pen->tone[LIGHT], t->rgb, 255, 0.45f);
	memcpy(pen->tone[TRIM], white ? grey : paper, 3);
	memcpy(pen->tone[PALE], white ? grey : paper, 3);
	memcpy(pen->tone[TRUNK], trunk, 3);
	memcpy(pen->tone[INK], ink, 3);
	memcpy(pen->tone[FACE], black ? grey : ink, 3);
	memcpy(pen->tone[METAL], metal, 3);
	memcpy(pen->tone[PAPER], paper, 3);
	shade(pen->edge_rgb, t->rgb, night ? 255 : 0, night ? 0.7f : white ? 0.62f : 0.6f);
}

/* Points the pen's box -1..1 at the thing. sheet is the pen for picture units. */
static void aim(struct pen *pen, const struct pen *sheet, const struct scene_thing *t)
{
	float half = t->size / 2, c = cosf(t->tilt) * half, s = sinf(t->tilt) * half, mirror = t->flip ? -1 : 1;
	pen->xx = sheet->xx * c * mirror;
	pen->xy = -sheet->xx * s;
	pen->yx = sheet->yy * s * mirror;
	pen->yy = sheet->yy * c;
	pen->x0 = sheet->x0 + sheet->xx * t->x;
	pen->y0 = sheet->y0 + sheet->yy * t->y;
	pen->scale = sheet->scale * half;
	pen->edge = fmaxf(EDGE_WIDTH, 0.75f / pen->scale);
}

void scene_paint_squeezed(const struct scene *scene, float aspect, int width, int height, uint8_t *rgb)
{
	float half_x = aspect > 1 ? aspect / 2 : 0.5f, half_y = aspect > 1 ? 0.5f : 0.5f / aspect;
	struct pen pen = {.rgb = rgb, .width = width, .height = height, .left = INFINITY, .top = INFINITY, .right = -INFINITY, .bottom = -INFINITY};
	pen.cover = xcalloc((size_t)height * (size_t)(width + 2), sizeof *pen.cover);
	pen.x0 = (float)width / 2;
	pen.y0 = (float)height / 2;
	pen.xx = pen.x0 / half_x;
	pen.yy = pen.y0 / half_y;
	pen.scale = fmaxf(pen.xx, pen.yy);
	paint_background(&pen, scene, half_x, half_y);
	const struct pen sheet = pen;
	for (int i = 0; i < scene->n_things; i++) {
		mix_tones(&pen, &scene->things[i], scene->background == BACKGROUND_NIGHT);
		aim(&pen, &sheet, &scene->things[i]);
		for (int pass = 0; pass < 2; pass++) {
			pen.edge_pass = pass == 0;
			pen_thing(&pen, scene->things[i].kind);
		}
	}
	free(pen.cover);
}

void scene_paint(const struct scene *scene, int width, int height, uint8_t *rgb)
{
	scene_paint_squeezed(scene, (float)width / (float)height, width, height, rgb);
}
