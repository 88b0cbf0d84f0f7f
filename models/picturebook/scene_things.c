/* How each kind of thing looks, in the box -1..1 (y down). Silhouettes are made to differ at 20 pixels: each kind has one part that sticks out in its
 * own way (ears, handle, tail, smoke stack), and small marks stay few. */
#include "models/picturebook/pen.h"

#include <math.h>

static void eye(struct pen *p, float x, float y, float r)
{
	pen_disc(p, PAPER, x, y, r);
	pen_disc(p, INK, x + r * 0.15f, y, r * 0.6f);
}

static void draw_apple(struct pen *p)
{
	PEN_CURVE(p, TRUNK, 0.1f, 0, -0.4f, 0.03f, -0.7f, 0.16f, -0.95f);
	PEN_BLOB(p, BODY, 0, -0.42f, 0.42f, -0.58f, 0.84f, -0.2f, 0.72f, 0.45f, 0.34f, 0.9f, 0, 0.8f, -0.34f, 0.9f, -0.72f, 0.45f, -0.84f, -0.2f,
		 -0.42f, -0.58f);
	PEN_BLOB(p, LIMB, 0.12f, -0.62f, 0.4f, -0.92f, 0.75f, -0.88f, 0.5f, -0.62f);
	pen_oval(p, LIGHT, -0.42f, -0.1f, 0.12f, 0.24f, 20);
}

static void draw_ball(struct pen *p)
{
	pen_disc(p, BODY, 0, 0, 0.9f);
	PEN_BLOB(p, PALE, -0.86f, -0.1f, 0, 0.14f, 0.86f, -0.1f, 0.84f, 0.25f, 0, 0.52f, -0.84f, 0.25f);
	pen_oval(p, LIGHT, -0.35f, -0.5f, 0.24f, 0.13f, -30);
}

static void draw_balloon(struct pen *p)
{
	PEN_CURVE(p, INK, 0.07f, 0, 0.5f, -0.14f, 0.66f, 0.1f, 0.82f, -0.04f, 1);
	PEN_POLY(p, BODY, 0, 0.28f, 0.17f, 0.54f, -0.17f, 0.54f);
	PEN_BLOB(p, BODY, 0, -0.98f, 0.5f, -0.8f, 0.66f, -0.36f, 0.42f, 0.14f, 0, 0.4f, -0.42f, 0.14f, -0.66f, -0.36f, -0.5f, -0.8f);
	pen_oval(p, LIGHT, -0.3f, -0.52f, 0.1f, 0.22f, 20);
}

static void draw_bell(struct pen *p)
{
	pen_arc(p, LIMB, 0.12f, 0, -0.8f, 0.13f, 0, 360);
	pen_disc(p, LIMB, 0, 0.72f, 0.2f);
	PEN_BLOB(p, BODY, 0, -0.75f, 0.4f, -0.6f, 0.52f, -0.1f, 0.62f, 0.35f, 0.92f, 0.66f, 0, 0.68f, -0.92f, 0.66f, -0.62f, 0.35f, -0.52f, -0.1f,
		 -0.4f, -0.6f);
	PEN_CURVE(p, SHADE, 0.09f, -0.62f, 0.4f, 0, 0.46f, 0.62f, 0.4f);
	pen_oval(p, LIGHT, -0.26f, -0.24f, 0.08f, 0.22f, 8);
}

static void draw_bird(struct pen *p)
{
	PEN_BLOB(p, LIMB, 0.12f, -0.05f, -0.1f, -0.5f, 0.1f, -0.98f, 0.4f, -0.6f, 0.42f, -0.1f);
	PEN_POLY(p, BODY, -0.4f, 0.1f, -1, -0.02f, -0.86f, 0.24f, -1, 0.46f, -0.4f, 0.4f);
	PEN_POLY(p, TRIM, 0.74f, -0.1f, 1.02f, 0.06f, 0.74f, 0.18f);
	PEN_BLOB(p, BODY, -0.5f, 0.25f, -0.1f, -0.1f, 0.36f, -0.12f, 0.56f, -0.3f, 0.82f, -0.16f, 0.84f, 0.12f, 0.56f, 0.42f, 0.1f, 0.56f, -0.3f,
		 0.46f);
	PEN_BLOB(p, BODY, 0.2f, 0.16f, -0.3f, -0.34f, -0.62f, -0.92f, -0.02f, -0.8f, 0.32f, -0.34f, 0.42f, 0.1f);
	PEN_CURVE(p, SHADE, 0.06f, 0.38f, 0.12f, 0.12f, 0.2f, -0.12f, 0.02f);
	eye(p, 0.6f, -0.06f, 0.11f);
}

static void draw_boat(struct pen *p)
{
	PEN_LINE(p, TRUNK, 0.09f, 0, 0.4f, 0, -0.95f);
	PEN_POLY(p, BODY, 0.12f, -0.9f, 0.84f, 0.2f, 0.12f, 0.2f);
	PEN_POLY(p, TRIM, -0.12f, -0.66f, -0.12f, 0.2f, -0.66f, 0.2f);
	PEN_POLY(p, BODY, -0.98f, 0.36f, 0.98f, 0.36f, 0.6f, 0.86f, -0.62f, 0.86f);
	PEN_LINE(p, PALE, 0.08f, -0.72f, 0.54f, 0.72f, 0.54f);
}

static void draw_book(struct pen *p)
{
	PEN_POLY(p, BODY, -0.98f, -0.66f, 0, -0.5f, 0.98f, -0.66f, 0.98f, 0.62f, 0, 0.82f, -0.98f, 0.62f);
	PEN_POLY(p, BODY, -0.98f, -0.66f, -0.5f, -0.8f, 0, -0.58f, 0.5f, -0.8f, 0.98f, -0.66f, 0, -0.4f);
	PEN_BLOB(p, PALE, -0.04f, -0.4f, -0.34f, -0.56f, -0.7f, -0.5f, -0.7f, 0, -0.7f, 0.32f, -0.34f, 0.3f, -0.04f, 0.44f);
	PEN_BLOB(p, PALE, 0.04f, -0.4f, 0.34f, -0.56f, 0.7f, -0.5f, 0.7f, 0, 0.7f, 0.32f, 0.34f, 0.3f, 0.04f, 0.44f);
	PEN_LINE(p, SHADE, 0.07f, 0, -0.4f, 0, 0.7f);
	for (int i = 0; i < 3; i++) {
		float y = -0.28f + 0.22f * (float)i;
		PEN_LINE(p, METAL, 0.06f, -0.52f, y, -0.2f, y + 0.05f);
		PEN_LINE(p, METAL, 0.06f, 0.52f, y, 0.2f, y + 0.05f);
	}
}

static void draw_butterfly(struct pen *p)
{
	PEN_CURVE(p, INK, 0.06f, 0, -0.4f, -0.1f, -0.75f, -0.3f, -0.9f);
	PEN_CURVE(p, INK, 0.06f, 0, -0.4f, 0.1f, -0.75f, 0.3f, -0.9f);
	for (int side = -1; side <= 1; side += 2) {
		float s = (float)side;
		PEN_BLOB(p, LIMB, s * 0.05f, 0.05f, s * 0.6f, 0.1f, s * 0.72f, 0.5f, s * 0.42f, 0.86f, s * 0.14f, 0.5f);
		PEN_BLOB(p, BODY, s * 0.05f, 0.1f, s * 0.25f, -0.5f, s * 0.72f, -0.82f, s * 0.98f, -0.5f, s * 0.8f, 0.04f, s * 0.4f, 0.2f);
		pen_disc(p, PALE, s * 0.64f, -0.4f, 0.17f);
		pen_disc(p, PALE, s * 0.44f, 0.5f, 0.1f);
	}
	pen_oval(p, INK, 0, 0.05f, 0.1f, 0.52f, 0);
}

static void draw_cake(struct pen *p)
{
	PEN_LINE(p, TRIM, 0.13f, 0, -0.2f, 0, -0.62f);
	PEN_BLOB(p, LIMB, 0, -1, 0.1f, -0.84f, 0, -0.72f, -0.1f, -0.84f);
	pen_oval(p, TRIM, 0, 0.76f, 0.98f, 0.13f, 0);
	pen_box(p, BODY, -0.8f, -0.2f, 0.8f, 0.76f, 0.12f);
	PEN_BLOB(p, PALE, -0.8f, -0.24f, 0, -0.3f, 0.8f, -0.24f, 0.78f, -0.06f, 0.56f, 0.14f, 0.38f, -0.06f, 0.14f, 0.18f, -0.12f, -0.06f, -0.34f,
		 0.14f, -0.54f, -0.06f, -0.78f, 0);
	PEN_LINE(p, SHADE, 0.08f, -0.72f, 0.44f, 0.72f, 0.44f);
}

static void draw_car(struct pen *p)
{
	PEN_BLOB(p, BODY, -0.62f, 0.05f, -0.46f, -0.4f, -0.1f, -0.5f, 0.26f, -0.42f, 0.56f, 0.06f, 0, 0.2f);
	pen_box(p, BODY, -0.98f, -0.06f, 0.98f, 0.44f, 0.2f);
	PEN_POLY(p, PALE, -0.44f, -0.04f, -0.34f, -0.32f, -0.1f, -0.36f, -0.1f, -0.04f);
	PEN_POLY(p, PALE, 0.02f, -0.04f, 0.02f, -0.36f, 0.2f, -0.32f, 0.4f, -0.04f);
	pen_disc(p, PALE, 0.86f, 0.12f, 0.08f);
	for (int side = -1; side <= 1; side += 2) {
		pen_disc(p, INK, 0.52f * (float)side, 0.44f, 0.27f);
		pen_disc(p, METAL, 0.52f * (float)side, 0.44f, 0.12f);
	}
}

static void tower(struct pen *p, float x0, float x1, float top)
{
	float tooth = (x1 - x0) / 5;
	pen_box(p, BODY, x0, top, x1, 0.86f, 0);
	for (int i = 0; i < 5; i += 2)
		pen_box(p, BODY, x0 + tooth * (float)i, top - 0.17f, x0 + tooth * (float)(i + 1), top + 0.05f, 0);
}

static void draw_castle(struct pen *p)
{
	tower(p, -0.5f, 0.5f, -0.1f);
	tower(p, -0.95f, -0.4f, -0.55f);
	tower(p, 0.4f, 0.95f, -0.55f);
	pen_slice(p, INK, 0, 0.86f, 0.22f, 0.52f, 180, 360);
	for (int side = -1; side <= 1; side += 2) {
		float x = 0.675f * (float)side;
		pen_box(p, INK, x - 0.07f, -0.32f, x + 0.07f, 0, 0.06f);
		PEN_LINE(p, SHADE, 0.04f, 0.4f * (float)side, -0.5f, 0.4f * (float)side, 0.82f);
	}
}

static void draw_cat(struct pen *p)
{
	PEN_CURVE(p, BODY, 0.2f, 0.3f, 0.8f, 0.76f, 0.72f, 0.7f, 0.3f, 0.88f, 0.02f);
	PEN_BLOB(p, BODY, 0, 0, 0.36f, 0.3f, 0.5f, 0.75f, 0.3f, 0.94f, -0.3f, 0.94f, -0.5f, 0.75f, -0.36f, 0.3f);
	PEN_POLY(p, BODY, -0.54f, -0.3f, -0.58f, -1, -0.1f, -0.66f);
	PEN_POLY(p, BODY, 0.54f, -0.3f, 0.58f, -1, 0.1f, -0.66f);
	pen_oval(p, BODY, 0, -0.3f, 0.6f, 0.46f, 0);
	PEN_POLY(p, SHADE, -0.44f, -0.6f, -0.47f, -0.82f, -0.28f, -0.66f);
	PEN_POLY(p, SHADE, 0.44f, -0.6f, 0.47f, -0.82f, 0.28f, -0.66f);
	eye(p, -0.25f, -0.36f, 0.14f);
	eye(p, 0.25f, -0.36f, 0.14f);
	PEN_POLY(p, SHADE, -0.09f, -0.18f, 0.09f, -0.18f, 0, -0.08f);
	PEN_LINE(p, PALE, 0.05f, -0.3f, -0.1f, -0.72f, -0.16f);
	PEN_LINE(p, PALE, 0.05f, 0.3f, -0.1f, 0.72f, -0.16f);
	PEN_CURVE(p, SHADE, 0.06f, -0.1f, 0.92f, -0.12f, 0.7f, -0.06f, 0.56f);
	PEN_CURVE(p, SHADE, 0.06f, 0.1f, 0.92f, 0.12f, 0.7f, 0.06f, 0.56f);
}

static void draw_chair(struct pen *p)
{
	PEN_LINE(p, LIMB, 0.13f, -0.4f, 0.3f, -0.4f, 0.74f);
	PEN_LINE(p, LIMB, 0.13f, 0.4f, 0.3f, 0.4f, 0.74f);
	pen_box(p, BODY, -0.5f, -0.95f, 0.5f, -0.58f, 0.14f);
	PEN_LINE(p, BODY, 0.14f, -0.43f, -0.8f, -0.43f, 0.1f);
	PEN_LINE(p, BODY, 0.14f, 0.43f, -0.8f, 0.43f, 0.1f);
	PEN_LINE(p, BODY, 0.14f, 0, -0.8f, 0, 0.1f);
	PEN_LINE(p, BODY, 0.17f, -0.62f, 0.3f, -0.66f, 0.9f);
	PEN_LINE(p, BODY, 0.17f, 0.62f, 0.3f, 0.66f, 0.9f);
	PEN_POLY(p, BODY, -0.54f, 0, 0.54f, 0, 0.78f, 0.26f, 0.78f, 0.42f, -0.78f, 0.42f, -0.78f, 0.26f);
	PEN_LINE(p, SHADE, 0.06f, -0.7f, 0.28f, 0.7f, 0.28f);
}

static void draw_clock(struct pen *p)
{
	PEN_LINE(p, LIMB, 0.16f, -0.5f, 0.6f, -0.66f, 0.92f);
	PEN_LINE(p, LIMB, 0.16f, 0.5f, 0.6f, 0.66f, 0.92f);
	pen_slice(p, LIMB, -0.5f, -0.62f, 0.34f, 0.34f, 140, 320);
	pen_slice(p, LIMB, 0.5f, -0.62f, 0.34f, 0.34f, 220, 400);
	pen_disc(p, BODY, 0, 0.12f, 0.78f);
	pen_disc(p, PALE, 0, 0.12f, 0.5f);
	PEN_LINE(p, INK, 0.1f, 0, -0.2f, 0, 0.12f, 0.24f, 0.24f);
}

static void draw_cup(struct pen *p)
{
	pen_arc(p, BODY, 0.17f, 0.52f, 0.1f, 0.34f, -100, 100);
	pen_oval(p, TRIM, -0.1f, 0.82f, 0.78f, 0.1f, 0);
	PEN_BLOB(p, BODY, -0.76f, -0.5f, -0.7f, 0.2f, -0.46f, 0.76f, -0.1f, 0.82f, 0.26f, 0.76f, 0.5f, 0.2f, 0.56f, -0.5f, -0.1f, -0.52f);
	pen_oval(p, LIMB, -0.1f, -0.5f, 0.66f, 0.14f, 0);
	pen_oval(p, INK, -0.1f, -0.47f, 0.52f, 0.08f, 0);
	PEN_CURVE(p, METAL, 0.07f, -0.3f, -0.68f, -0.22f, -0.8f, -0.34f, -0.92f);
	PEN_CURVE(p, METAL, 0.07f, 0.08f, -0.68f, 0.16f, -0.8f, 0.04f, -0.92f);
}

static void draw_dog(struct pen *p)
{
	PEN_CURVE(p, BODY, 0.14f, -0.7f, 0.1f, -0.92f, -0.1f, -0.9f, -0.42f);
	for (int i = 0; i < 2; i++)
		pen_box(p, LIMB, -0.56f + 0.72f * (float)i, 0.3f, -0.36f + 0.72f * (float)i, 0.84f, 0.06f);
	pen_box(p, BODY, -0.8f, -0.08f, 0.5f, 0.5f, 0.24f);
	for (int i = 0; i < 2; i++)
		pen_box(p, BODY, -0.78f + 0.98f * (float)i, 0.3f, -0.56f + 0.98f * (float)i, 0.9f, 0.08f);
	PEN_BLOB(p, BODY, 0.18f, 0.1f, 0.16f, -0.4f, 0.4f, -0.66f, 0.66f, -0.54f, 0.74f, -0.36f, 0.98f, -0.26f, 0.94f, -0.02f, 0.62f, 0.06f, 0.46f,
		 0.24f);
	PEN_BLOB(p, LIMB, 0.34f, -0.62f, 0.1f, -0.52f, 0.06f, -0.1f, 0.2f, 0.06f, 0.36f, -0.18f);
	pen_disc(p, INK, 0.94f, -0.2f, 0.1f);
	eye(p, 0.56f, -0.36f, 0.11f);
}

static void draw_duck(struct pen *p)
{
	PEN_BLOB(p, TRIM, 0.7f, -0.6f, 1.02f, -0.52f, 0.98f, -0.36f, 0.66f, -0.36f);
	PEN_BLOB(p, BODY, -0.96f, -0.22f, -0.6f, 0.02f, -0.1f, -0.04f, 0.24f, -0.12f, 0.28f, -0.34f, 0.66f, -0.3f, 0.64f, 0.1f, 0.74f, 0.4f, 0.46f,
		 0.78f, -0.2f, 0.84f, -0.72f, 0.6f);
	pen_disc(p, BODY, 0.46f, -0.54f, 0.34f);
	PEN_BLOB(p, LIMB, -0.5f, 0.16f, -0.1f, 0.2f, 0.3f, 0.26f, 0.06f, 0.58f, -0.34f, 0.52f);
	eye(p, 0.54f, -0.62f, 0.11f);
}

static void draw_fish(struct pen *p)
{
	PEN_BLOB(p, BODY, -0.4f, 0, -0.7f, -0.36f, -0.98f, -0.48f, -0.86f, 0, -0.98f, 0.48f, -0.7f, 0.36f);
	PEN_BLOB(p, LIMB, -0.2f, -0.4f, -0.12f, -0.74f, 0.3f, -0.66f, 0.4f, -0.4f);
	PEN_BLOB(p, BODY, -0.52f, 0, -0.1f, -0.44f, 0.5f, -0.44f, 0.94f, 0.02f, 0.5f, 0.46f, -0.1f, 0.46f);
	PEN_CURVE(p, SHADE, 0.07f, 0.36f, -0.34f, 0.22f, 0, 0.36f, 0.34f);
	PEN_BLOB(p, SHADE, 0.08f, 0.1f, -0.3f, 0.06f, -0.22f, 0.3f);
	eye(p, 0.6f, -0.08f, 0.13f);
}

static void draw_flower(struct pen *p)
{
	PEN_CURVE(p, TRUNK, 0.12f, 0, 0, 0.04f, 0.5f, 0, 0.96f);
	PEN_BLOB(p, TRUNK, 0.04f, 0.78f, 0.2f, 0.46f, 0.56f, 0.42f, 0.4f, 0.7f);
	for (int i = 0; i < 6; i++) {
		float a = (float)i * 1.0471976f;
		pen_disc(p, BODY, 0.4f * sinf(a), -0.36f - 0.4f * cosf(a), 0.25f);
	}
	for (int i = 0; i < 6; i++) {
		float a = (float)i * 1.0471976f + 0.5235988f;
		PEN_LINE(p, SHADE, 0.05f, 0.3f * sinf(a), -0.36f - 0.3f * cosf(a), 0.44f * sinf(a), -0.36f - 0.44f * cosf(a));
	}
	pen_disc(p, INK, 0, -0.36f, 0.23f);
	pen_disc(p, PALE, 0, -0.36f, 0.17f);
}

static void draw_hat(struct pen *p)
{
	pen_oval(p, BODY, 0, 0.56f, 0.98f, 0.24f, 0);
	PEN_POLY(p, BODY, -0.6f, -0.76f, 0.6f, -0.76f, 0.5f, 0.56f, -0.5f, 0.56f);
	pen_oval(p, BODY, 0, -0.76f, 0.6f, 0.12f, 0);
	PEN_BLOB(p, PALE, -0.54f, 0.18f, 0, 0.26f, 0.54f, 0.18f, 0.5f, 0.5f, 0, 0.6f, -0.5f, 0.5f);
	pen_oval(p, SHADE, 0, -0.76f, 0.52f, 0.07f, 0);
}

static void draw_heart(struct pen *p)
{
	float xy[2 * 32];
	for (int i = 0; i < 32; i++) {
		float a = (float)i * 0.19634954f, s = sinf(a);
		xy[2 * i] = 0.95f * s * s * s;
		xy[2 * i + 1] = -(0.8125f * cosf(a) - 0.3125f * cosf(2 * a) - 0.125f * cosf(3 * a) - 0.0625f * cosf(4 * a)) * 0.98f - 0.05f;
	}
	pen_poly(p, BODY, xy, 32);
	pen_oval(p, LIGHT, -0.46f, -0.4f, 0.13f, 0.2f, 30);
}

static void draw_house(struct pen *p)
{
	pen_box(p, LIMB, 0.36f, -0.9f, 0.6f, -0.2f, 0);
	pen_box(p, BODY, -0.72f, -0.14f, 0.72f, 0.88f, 0);
	PEN_POLY(p, LIMB, 0, -0.92f, 0.98f, -0.08f, -0.98f, -0.08f);
	pen_box(p, INK, -0.16f, 0.34f, 0.16f, 0.88f, 0);
	pen_box(p, PALE, -0.56f, 0.1f, -0.28f, 0.4f, 0);
	pen_box(p, PALE, 0.28f, 0.1f, 0.56f, 0.4f, 0);
}

static void draw_key(struct pen *p)
{
	PEN_LINE(p, BODY, 0.18f, -0.1f, 0, 0.9f, 0);
	PEN_LINE(p, BODY, 0.18f, 0.84f, 0, 0.84f, 0.36f);
	PEN_LINE(p, BODY, 0.18f, 0.5f, 0, 0.5f, 0.3f);
	pen_arc(p, BODY, 0.26f, -0.52f, 0, 0.34f, 0, 360);
}

static void draw_kite(struct pen *p)
{
	PEN_CURVE(p, INK, 0.06f, 0, 0.4f, 0.2f, 0.6f, -0.14f, 0.76f, 0.1f, 1);
	PEN_POLY(p, LIMB, 0.16f, 0.58f, 0.4f, 0.48f, 0.4f, 0.72f, 0.16f, 0.6f, -0.06f, 0.7f, -0.06f, 0.46f);
	PEN_POLY(p, LIMB, -0.1f, 0.84f, 0.12f, 0.76f, 0.12f, 1, -0.1f, 0.88f, -0.34f, 0.98f, -0.34f, 0.74f);
	PEN_POLY(p, BODY, 0, -0.98f, 0.64f, -0.36f, 0, 0.46f, -0.64f, -0.36f);
	PEN_LINE(p, SHADE, 0.07f, 0, -0.92f, 0, 0.4f);
	PEN_LINE(p, SHADE, 0.07f, -0.58f, -0.36f, 0.58f, -0.36f);
	PEN_POLY(p, PALE, 0.06f, -0.44f, 0.06f, -0.8f, 0.44f, -0.44f);
}

static void draw_moon(struct pen *p)
{
	float xy[2 * 40];
	for (int i = 0; i < 40; i++) { /* the outer arc down, the inner one back up */
		float t = (float)(i % 20) / 19, a = (i < 20 ? -1 + 2 * t : 1 - 2 * t) * (i < 20 ? 2.3f : 1.85f);
		xy[2 * i] = i < 20 ? 0.15f - 0.9f * cosf(a) : 0.48f - 0.7f * cosf(a);
		xy[2 * i + 1] = i < 20 ? 0.9f * sinf(a) : 0.7f * sinf(a);
	}
	pen_poly(p, BODY, xy, 40);
	eye(p, -0.36f, -0.2f, 0.1f);
	PEN_CURVE(p, SHADE, 0.07f, -0.4f, 0.28f, -0.26f, 0.4f, -0.14f, 0.34f);
}

static void draw_mushroom(struct pen *p)
{
	PEN_BLOB(p, TRIM, -0.26f, -0.1f, 0.26f, -0.1f, 0.26f, 0.4f, 0.4f, 0.84f, 0, 0.94f, -0.4f, 0.84f, -0.26f, 0.4f);
	PEN_BLOB(p, BODY, 0, -0.92f, 0.6f, -0.7f, 0.94f, -0.1f, 0.7f, 0.14f, 0, 0.08f, -0.7f, 0.14f, -0.94f, -0.1f, -0.6f, -0.7f);
	pen_disc(p, PALE, -0.44f, -0.3f, 0.19f);
	pen_disc(p, PALE, 0.12f, -0.6f, 0.17f);
	pen_disc(p, PALE, 0.5f, -0.2f, 0.16f);
}

static void draw_rocket(struct pen *p)
{
	PEN_BLOB(p, TRIM, -0.2f, 0.5f, 0.2f, 0.5f, 0.14f, 0.78f, 0, 1, -0.14f, 0.78f);
	PEN_POLY(p, LIMB, -0.2f, 0.04f, -0.72f, 0.5f, -0.72f, 0.84f, -0.2f, 0.56f);
	PEN_POLY(p, LIMB, 0.2f, 0.04f, 0.72f, 0.5f, 0.72f, 0.84f, 0.2f, 0.56f);
	PEN_BLOB(p, BODY, 0, -1, 0.3f, -0.6f, 0.38f, -0.1f, 0.26f, 0.6f, -0.26f, 0.6f, -0.38f, -0.1f, -0.3f, -0.6f);
	pen_disc(p, INK, 0, -0.24f, 0.2f);
	pen_disc(p, PAPER, 0, -0.24f, 0.14f);
	PEN_LINE(p, SHADE, 0.07f, -0.26f, 0.34f, 0.26f, 0.34f);
}

static void draw_snail(struct pen *p)
{
	float spiral[2 * 18];
	for (int i = 0; i < 18; i++) {
		float a = (float)i * 0.74f, r = 0.03f + 0.028f * (float)i;
		spiral[2 * i] = -0.18f + r * cosf(a);
		spiral[2 * i + 1] = 0 + r * sinf(a);
	}
	PEN_LINE(p, TRIM, 0.07f, 0.74f, 0.1f, 0.6f, -0.4f);
	PEN_LINE(p, TRIM, 0.07f, 0.8f, 0.1f, 0.96f, -0.36f);
	PEN_BLOB(p, TRIM, -0.98f, 0.8f, -0.5f, 0.5f, 0.3f, 0.52f, 0.56f, 0.1f, 0.8f, -0.02f, 0.98f, 0.16f, 0.86f, 0.56f, 0.6f, 0.8f);
	pen_disc(p, BODY, -0.18f, 0, 0.68f);
	pen_curve(p, SHADE, 0.1f, spiral, 18);
	pen_disc(p, INK, 0.82f, 0.14f, 0.07f);
}

static void draw_star(struct pen *p)
{
	float xy[2 * 10];
	for (int i = 0; i < 10; i++) {
		float a = (float)i * 0.62831853f, r = i % 2 ? 0.44f : 0.98f;
		xy[2 * i] = r * sinf(a);
		xy[2 * i + 1] = 0.06f - r * cosf(a);
	}
	pen_poly(p, BODY, xy, 10);
	pen_disc(p, FACE, -0.17f, -0.02f, 0.07f);
	pen_disc(p, FACE, 0.17f, -0.02f, 0.07f);
	PEN_CURVE(p, FACE, 0.06f, -0.16f, 0.18f, 0, 0.27f, 0.16f, 0.18f);
}

static void draw_sun(struct pen *p)
{
	for (int i = 0; i < 10; i++) {
		float a = (float)i * 0.62831853f, c = cosf(a), s = sinf(a);
		PEN_POLY(p, BODY, 0.98f * c, 0.98f * s, 0.66f * c - 0.17f * s, 0.66f * s + 0.17f * c, 0.66f * c + 0.17f * s, 0.66f * s - 0.17f * c);
	}
	pen_disc(p, BODY, 0, 0, 0.56f);
	pen_disc(p, FACE, -0.2f, -0.12f, 0.08f);
	pen_disc(p, FACE, 0.2f, -0.12f, 0.08f);
	PEN_CURVE(p, FACE, 0.07f, -0.26f, 0.16f, 0, 0.3f, 0.26f, 0.16f);
}

static void draw_tree(struct pen *p)
{
	PEN_POLY(p, TRUNK, -0.14f, 0.1f, 0.14f, 0.1f, 0.24f, 0.96f, -0.24f, 0.96f);
	pen_disc(p, BODY, -0.48f, 0, 0.4f);
	pen_disc(p, BODY, 0.48f, 0, 0.4f);
	pen_disc(p, BODY, 0, -0.46f, 0.52f);
	pen_disc(p, BODY, 0, 0.05f, 0.42f);
	pen_arc(p, SHADE, 0.06f, -0.34f, 0.04f, 0.22f, 30, 140);
	pen_arc(p, SHADE, 0.06f, 0.36f, 0.02f, 0.22f, 40, 150);
	pen_arc(p, SHADE, 0.06f, 0.02f, -0.42f, 0.24f, 30, 150);
}

static void draw_umbrella(struct pen *p)
{
	PEN_LINE(p, TRUNK, 0.09f, 0, -0.96f, 0, 0.7f);
	pen_arc(p, TRUNK, 0.09f, 0.17f, 0.72f, 0.17f, 0, 180);
	PEN_POLY(p, BODY, -0.96f, 0.1f, -0.88f, -0.26f, -0.66f, -0.56f, -0.36f, -0.76f, 0, -0.84f, 0.36f, -0.76f, 0.66f, -0.56f, 0.88f, -0.26f, 0.96f,
		 0.1f, 0.8f, -0.02f, 0.64f, -0.06f, 0.48f, -0.02f, 0.32f, 0.1f, 0.16f, -0.02f, 0, -0.06f, -0.16f, -0.02f, -0.32f, 0.1f, -0.48f,
		 -0.02f, -0.64f, -0.06f, -0.8f, -0.02f);
	PEN_CURVE(p, SHADE, 0.06f, -0.32f, 0.04f, -0.26f, -0.4f, 0, -0.8f);
	PEN_CURVE(p, SHADE, 0.06f, 0.32f, 0.04f, 0.26f, -0.4f, 0, -0.8f);
}

void pen_thing(struct pen *pen, enum scene_kind kind)
{
	static void (*const draw[KIND_COUNT])(struct pen *) = {
		[KIND_APPLE] = draw_apple, [KIND_BALL] = draw_ball,         [KIND_BALLOON] = draw_balloon, [KIND_BELL] = draw_bell,
		[KIND_BIRD] = draw_bird,   [KIND_BOAT] = draw_boat,         [KIND_BOOK] = draw_book,       [KIND_BUTTERFLY] = draw_butterfly,
		[KIND_CAKE] = draw_cake,   [KIND_CAR] = draw_car,           [KIND_CASTLE] = draw_castle,   [KIND_CAT] = draw_cat,
		[KIND_CHAIR] = draw_chair, [KIND_CLOCK] = draw_clock,       [KIND_CUP] = draw_cup,         [KIND_DOG] = draw_dog,
		[KIND_DUCK] = draw_duck,   [KIND_FISH] = draw_fish,         [KIND_FLOWER] = draw_flower,   [KIND_HAT] = draw_hat,
		[KIND_HEART] = draw_heart, [KIND_HOUSE] = draw_house,       [KIND_KEY] = draw_key,         [KIND_KITE] = draw_kite,
		[KIND_MOON] = draw_moon,   [KIND_MUSHROOM] = draw_mushroom, [KIND_ROCKET] = draw_rocket,   [KIND_SNAIL] = draw_snail,
		[KIND_STAR] = draw_star,   [KIND_SUN] = draw_sun,           [KIND_TREE] = draw_tree,       [KIND_UMBRELLA] = draw_umbrella,
	};
	draw[kind](pen);
}
