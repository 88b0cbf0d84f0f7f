/* pen.h - filled, anti-aliased shapes for scene_things.c and scene_paint.c; private to the scene drawer.
 *
 * A pen maps local coordinates (things: the box -1..1, y down) to pixels and draws shapes with exact area coverage. It belongs to one thread and to
 * one scene_paint call. A thing is drawn twice: in the EDGE pass each outlined shape is drawn a little larger in the edge's colour, in the FILL pass
 * all shapes in their own; so one outline runs around the whole thing and not through it.
 *
 *	pen_oval(pen, BODY, 0, 0, 0.9f, 0.6f, 0);
 *	PEN_POLY(pen, BODY, -0.5f, 0, -1, -0.5f, -1, 0.5f);
 *	pen_disc(pen, INK, 0.5f, -0.1f, 0.08f);
 */
#ifndef MODELS_PICTUREBOOK_PEN_H
#define MODELS_PICTUREBOOK_PEN_H

#include "models/picturebook/scene.h"

/* What a shape is coloured with. Tones before SHADE are outlined. */
enum pen_tone {
	BODY,   /* the thing's named colour */
	LIMB,   /* a darker body part */
	TRIM,   /* a white body part; light grey on a white thing */
	TRUNK,  /* a neutral grey-brown body part */
	SHADE,  /* a darker mark on the body */
	LIGHT,  /* a lighter mark on the body */
	PALE,   /* a white mark; light grey on a white thing */
	INK,    /* nearly black */
	FACE,   /* a mark seen on any body: nearly black, light on a black thing */
	METAL,  /* mid grey */
	PAPER,  /* white */
	CUSTOM, /* set by pen_colour, for backgrounds */
	TONE_COUNT
};

struct pen {
	uint8_t *rgb;
	int width, height;
	float *cover;                   /* height rows of width + 2: differences of coverage along a row; all 0 between shapes */
	float left, top, right, bottom; /* bounds of the shape under way, in pixels */
	float xx, xy, yx, yy, x0, y0;   /* pixel x = xx*x + xy*y + x0, pixel y = yx*x + yy*y + y0 */
	float scale;                    /* pixels per local unit, for curve steps and outlines */
	float edge;                     /* width of the outline, local units */
	bool edge_pass;
	uint8_t tone[TONE_COUNT][3];
	uint8_t edge_rgb[3];
};

/* Closed shapes. Angles in degrees, clockwise from the right; widths are full widths, rx, ry and r are half axes. */
void pen_disc(struct pen *pen, enum pen_tone tone, float x, float y, float r);
void pen_oval(struct pen *pen, enum pen_tone tone, float x, float y, float rx, float ry, float degrees);
void pen_box(struct pen *pen, enum pen_tone tone, float x0, float y0, float x1, float y1, float corner);
void pen_slice(struct pen *pen, enum pen_tone tone, float x, float y, float rx, float ry, float from, float to); /* cut off by its chord */
void pen_poly(struct pen *pen, enum pen_tone tone, const float *xy, int n);
void pen_blob(struct pen *pen, enum pen_tone tone, const float *xy, int n); /* a smooth closed curve through the points */

/* Strokes with round ends. A curve of many points at a large scale ends after 256 steps: at most 18 points are safe. */
void pen_line(struct pen *pen, enum pen_tone tone, float width, const float *xy, int n);
void pen_curve(struct pen *pen, enum pen_tone tone, float width, const float *xy, int n); /* smooth through the points */
void pen_arc(struct pen *pen, enum pen_tone tone, float width, float x, float y, float r, float from, float to);

/* Sets CUSTOM. */
void pen_colour(struct pen *pen, float r, float g, float b);

#define PEN_XY(...)                      (const float[]){__VA_ARGS__}, (int)(sizeof((const float[]){__VA_ARGS__}) / sizeof(float) / 2)
#define PEN_POLY(pen, tone, ...)         pen_poly(pen, tone, PEN_XY(__VA_ARGS__))
#define PEN_BLOB(pen, tone, ...)         pen_blob(pen, tone, PEN_XY(__VA_ARGS__))
#define PEN_LINE(pen, tone, width, ...)  pen_line(pen, tone, width, PEN_XY(__VA_ARGS__))
#define PEN_CURVE(pen, tone, width, ...) pen_curve(pen, tone, width, PEN_XY(__VA_ARGS__))

/* Draws a thing of this kind into the pen's box -1..1, in the current pass. */
void pen_thing(struct pen *pen, enum scene_kind kind);

#endif
