#include "models/picturebook/pen.h"

#include <math.h>
#include <string.h>

#define MAX_POINTS 256
#define DEGREE     0.01745329252f

/* A polygon in local coordinates. */
struct outline {
	float x[MAX_POINTS], y[MAX_POINTS];
	int n;
};

static void outline_add(struct outline *o, float x, float y)
{
	if (o->n > 0 && fabsf(o->x[o->n - 1] - x) + fabsf(o->y[o->n - 1] - y) < 1e-5f)
		return;
	if (o->n == MAX_POINTS)
		return;
	o->x[o->n] = x;
	o->y[o->n++] = y;
}

static float outline_area(const struct outline *o)
{
	float twice = 0;
	for (int i = 0, j = o->n - 1; i < o->n; j = i++)
		twice += o->x[j] * o->y[i] - o->x[i] * o->y[j];
	return twice / 2;
}

static void outline_reverse(struct outline *o)
{
	for (int i = 0, j = o->n - 1; i < j; i++, j--) {
		float x = o->x[i], y = o->y[i];
		o->x[i] = o->x[j];
		o->y[i] = o->y[j];
		o->x[j] = x;
		o->y[j] = y;
	}
}

/* Moves every side outwards by `by`; corners are mitred, at sharp ones not further than 2.5 * by. Needs a positive area. */
static void outline_grow(struct outline *o, float by)
{
	struct outline old = *o;
	for (int i = 0; i < o->n; i++) {
		int before = (i + o->n - 1) % o->n, after = (i + 1) % o->n;
		float ax = old.x[i] - old.x[before], ay = old.y[i] - old.y[before], bx = old.x[after] - old.x[i], by_ = old.y[after] - old.y[i];
		float a = 1 / fmaxf(hypotf(ax, ay), 1e-6f), b = 1 / fmaxf(hypotf(bx, by_), 1e-6f);
		float nx = ay * a + by_ * b, ny = -ax * a - bx * b; /* sum of the unit normals; its square is 2 + 2 cos */
		float square = nx * nx + ny * ny, length = 2 * by / fmaxf(square, 0.64f);
		o->x[i] += nx * length;
		o->y[i] += ny * length;
	}
}

/* The coverage that one row gets from a line crossing it. With x spread evenly over [x0, x1], pixel i is covered by the mean of
 * clamp(i + 1 - x, 0, 1), which is G(i + 1) - G(i) with G(t) = mean of max(0, t - x): 0, then (t - x0)^2 / (2 (x1 - x0)), then t - (x0 + x1) / 2.
 * The row keeps differences of coverage from one pixel to the next. */
static void cover_row(float *row, float x0, float x1, float height)
{
	float scale = x1 > x0 ? 0.5f / (x1 - x0) : 0, before = 0, g = 0;
	int i = (int)x0;
	do {
		float t = (float)(i + 1);
		float next = t >= x1 ? t - (x0 + x1) / 2 : (t - x0) * (t - x0) * scale;
		row[i++] += height * (next - g - before);
		before = next - g;
		g = next;
	} while ((float)i < x1);
	row[i] += height * (1 - before);
}

static float clamp(float v, float low, float high)
{
	return v < low ? low : v > high ? high : v;
}

/* Adds one side, in pixels. What lies left of the picture counts for its first column, what lies right of it for none. */
static void cover_line(struct pen *pen, float x0, float y0, float x1, float y1, float sign)
{
	if (y0 > y1) {
		float x = x0, y = y0;
		x0 = x1;
		y0 = y1;
		x1 = x;
		y1 = y;
		sign = -sign;
	}
	float slope = y1 > y0 ? (x1 - x0) / (y1 - y0) : 0, width = (float)pen->width;
	float from = fmaxf(y0, 0), to = fminf(y1, (float)pen->height);
	for (int row = (int)from; (float)row < to; row++) {
		float top = fmaxf(from, (float)row), bottom = fminf(to, (float)row + 1);
		float a = clamp(x0 + (top - y0) * slope, 0, width), b = clamp(x0 + (bottom - y0) * slope, 0, width);
		cover_row(pen->cover + (size_t)row * (size_t)(pen->width + 2), fminf(a, b), fmaxf(a, b), (bottom - top) * sign);
	}
}

/* Adds a polygon to the shape under way. All polygons turn the same way, so overlapping ones unite. */
static void cover_outline(struct pen *pen, struct outline *o, float grow)
{
	if (o->n < 3)
		return;
	if (outline_area(o) < 0)
		outline_reverse(o);
	if (grow > 0)
		outline_grow(o, grow);
	float sign = pen->xx * pen->yy < pen->xy * pen->yx ? 1 : -1, last_x = 0, last_y = 0;
	for (int i = -1; i < o->n; i++) {
		float lx = o->x[i < 0 ? o->n - 1 : i], ly = o->y[i < 0 ? o->n - 1 : i];
		float x = pen->xx * lx + pen->xy * ly + pen->x0, y = pen->yx * lx + pen->yy * ly + pen->y0;
		if (i >= 0)
			cover_line(pen, last_x, last_y, x, y, sign);
		pen->left = fminf(pen->left, x);
		pen->right = fmaxf(pen->right, x);
		pen->top = fminf(pen->top, y);
		pen->bottom = fmaxf(pen->bottom, y);
		last_x = x;
		last_y = y;
	}
}

static void blend(uint8_t *pixel, const uint8_t *rgb, float cover)
{
	for (int c = 0; c < 3; c++)
		pixel[c] = (uint8_t)((float)pixel[c] + ((float)rgb[c] - (float)pixel[c]) * cover + 0.5f);
}

/* Lays the colour over the picture where the shape under way covers it, and clears the shape. */
static void cover_paint(struct pen *pen, const uint8_t *rgb)
{
	int left = (int)clamp(pen->left, 0, (float)pen->width), right = (int)clamp(pen->right + 2, 0, (float)pen->width);
	int top = (int)clamp(pen->top, 0, (float)pen->height), bottom = (int)clamp(pen->bottom + 1, 0, (float)pen->height);
	for (int y = top; y < bottom; y++) {
		float *row = pen->cover + (size_t)y * (size_t)(pen->width + 2), sum = 0;
		uint8_t *pixel = pen->rgb + ((size_t)y * (size_t)pen->width + (size_t)left) * 3;
		for (int x = left; x < right; x++, pixel += 3) {
			sum += row[x];
			if (sum > 0.997f)
				memcpy(pixel, rgb, 3);
			else if (sum > 0.003f)
				blend(pixel, rgb, sum);
		}
		memset(row + left, 0, (size_t)(right - left + 2) * sizeof *row);
	}
	pen->left = pen->top = INFINITY;
	pen->right = pen->bottom = -INFINITY;
}

static bool has_edge(enum pen_tone tone)
{
	return tone < SHADE;
}

/* Whether this pass draws shapes of the tone at all. */
static bool wanted(const struct pen *pen, enum pen_tone tone)
{
	return !pen->edge_pass || has_edge(tone);
}

static float growth(const struct pen *pen)
{
	return pen->edge_pass ? pen->edge : 0;
}

static void finish(struct pen *pen, enum pen_tone tone)
{
	cover_paint(pen, pen->edge_pass ? pen->edge_rgb : pen->tone[tone]);
}

static void cover_and_finish(struct pen *pen, enum pen_tone tone, struct outline *o)
{
	cover_outline(pen, o, growth(pen));
	finish(pen, tone);
}

/* Steps for a full turn of radius r: a chord stays within about a tenth of a pixel of its arc. */
static int turn_steps(const struct pen *pen, float r)
{
	return (int)clamp(7 * sqrtf(fabsf(r) * pen->scale), 8, 160);
}

static void outline_turn(struct outline *o, float x, float y, float rx, float ry, float from, float to, int steps)
{
	for (int i = 0; i <= steps; i++) {
		float a = (from + (to - from) * (float)i / (float)steps) * DEGREE;
		outline_add(o, x + rx * cosf(a), y + ry * sinf(a));
	}
}

static void outline_ring(struct outline *o, float x, float y, float rx, float ry, int steps)
{
	outline_turn(o, x, y, rx, ry, 0, 360.0f * (float)(steps - 1) / (float)steps, steps - 1);
}

void pen_oval(struct pen *pen, enum pen_tone tone, float x, float y, float rx, float ry, float degrees)
{
	if (!wanted(pen, tone))
		return;
	struct outline o = {.n = 0};
	float grow = growth(pen), c = cosf(degrees * DEGREE), s = sinf(degrees * DEGREE);
	outline_ring(&o, 0, 0, rx + grow, ry + grow, turn_steps(pen, fmaxf(rx, ry)));
	for (int i = 0; i < o.n; i++) {
		float px = o.x[i], py = o.y[i];
		o.x[i] = x + c * px - s * py;
		o.y[i] = y + s * px + c * py;
	}
	cover_outline(pen, &o, 0);
	finish(pen, tone);
}

void pen_disc(struct pen *pen, enum pen_tone tone, float x, float y, float r)
{
	pen_oval(pen, tone, x, y, r, r, 0);
}

void pen_box(struct pen *pen, enum pen_tone tone, float x0, float y0, float x1, float y1, float corner)
{
	if (!wanted(pen, tone))
		return;
	struct outline o = {.n = 0};
	int steps = corner > 0 ? turn_steps(pen, corner) / 4 + 1 : 0;
	const float cx[4] = {x1 - corner, x0 + corner, x0 + corner, x1 - corner}, cy[4] = {y1 - corner, y1 - corner, y0 + corner, y0 + corner};
	for (int i = 0; i < 4; i++) {
		if (steps == 0)
			outline_add(&o, cx[i], cy[i]);
		else
			outline_turn(&o, cx[i], cy[i], corner, corner, 90.0f * (float)i, 90.0f * (float)(i + 1), steps);
	}
	cover_and_finish(pen, tone, &o);
}

void pen_slice(struct pen *pen, enum pen_tone tone, float x, float y, float rx, float ry, float from, float to)
{
	if (!wanted(pen, tone))
		return;
	struct outline o = {.n = 0};
	outline_turn(&o, x, y, rx, ry, from, to, turn_steps(pen, fmaxf(rx, ry)));
	cover_and_finish(pen, tone, &o);
}

void pen_poly(struct pen *pen, enum pen_tone tone, const float *xy, int n)
{
	if (!wanted(pen, tone))
		return;
	struct outline o = {.n = 0};
	for (int i = 0; i < n; i++)
		outline_add(&o, xy[2 * i], xy[2 * i + 1]);
	cover_and_finish(pen, tone, &o);
}

/* Catmull and Rom's spline (A class of local interpolating splines, 1974), uniform: one coordinate at t between p1 and p2. */
static float spline(float p0, float p1, float p2, float p3, float t)
{
	return p1 + 0.5f * t * (p2 - p0 + t * (2 * p0 - 5 * p1 + 4 * p2 - p3 + t * (3 * (p1 - p2) + p3 - p0)));
}

static int wrap(int i, int n, bool closed)
{
	return closed ? (i + n) % n : i < 0 ? 0 : i >= n ? n - 1 : i;
}

static void outline_spline(struct outline *o, const float *xy, int n, bool closed, int steps)
{
	for (int i = 0; i < (closed ? n : n - 1); i++) {
		const float *p0 = xy + 2 * wrap(i - 1, n, closed), *p1 = xy + 2 * i, *p2 = xy + 2 * wrap(i + 1, n, closed),
			    *p3 = xy + 2 * wrap(i + 2, n, closed);
		for (int k = 0; k < steps; k++) {
			float t = (float)k / (float)steps;
			outline_add(o, spline(p0[0], p1[0], p2[0], p3[0], t), spline(p0[1], p1[1], p2[1], p3[1], t));
		}
	}
	if (!closed)
		outline_add(o, xy[2 * n - 2], xy[2 * n - 1]);
}

static int spline_steps(const struct pen *pen)
{
	return (int)clamp(1.2f * sqrtf(pen->scale), 3, 14);
}

void pen_blob(struct pen *pen, enum pen_tone tone, const float *xy, int n)
{
	if (!wanted(pen, tone))
		return;
	struct outline o = {.n = 0};
	outline_spline(&o, xy, n, true, spline_steps(pen));
	cover_and_finish(pen, tone, &o);
}

/* The union of a rectangle per piece and a disc per point. */
static void stroke(struct pen *pen, enum pen_tone tone, float width, const struct outline *path)
{
	float half = width / 2 + growth(pen);
	for (int i = 0; i < path->n; i++) {
		struct outline part = {.n = 0};
		outline_ring(&part, path->x[i], path->y[i], half, half, turn_steps(pen, half));
		cover_outline(pen, &part, 0);
		if (i == 0)
			continue;
		float dx = path->x[i] - path->x[i - 1], dy = path->y[i] - path->y[i - 1], k = half / hypotf(dx, dy);
		struct outline side = {.n = 0};
		outline_add(&side, path->x[i] - dy * k, path->y[i] + dx * k);
		outline_add(&side, path->x[i] + dy * k, path->y[i] - dx * k);
		outline_add(&side, path->x[i - 1] + dy * k, path->y[i - 1] - dx * k);
		outline_add(&side, path->x[i - 1] - dy * k, path->y[i - 1] + dx * k);
		cover_outline(pen, &side, 0);
	}
	finish(pen, tone);
}

void pen_line(struct pen *pen, enum pen_tone tone, float width, const float *xy, int n)
{
	if (!wanted(pen, tone))
		return;
	struct outline path = {.n = 0};
	for (int i = 0; i < n; i++)
		outline_add(&path, xy[2 * i], xy[2 * i + 1]);
	stroke(pen, tone, width, &path);
}

void pen_curve(struct pen *pen, enum pen_tone tone, float width, const float *xy, int n)
{
	if (!wanted(pen, tone))
		return;
	struct outline path = {.n = 0};
	outline_spline(&path, xy, n, false, spline_steps(pen));
	stroke(pen, tone, width, &path);
}

void pen_arc(struct pen *pen, enum pen_tone tone, float width, float x, float y, float r, float from, float to)
{
	if (!wanted(pen, tone))
		return;
	struct outline path = {.n = 0};
	outline_turn(&path, x, y, r, r, from, to, (int)fmaxf(4, (float)turn_steps(pen, r) * fabsf(to - from) / 360));
	stroke(pen, tone, width, &path);
}

void pen_colour(struct pen *pen, float r, float g, float b)
{
	const float rgb[3] = {r, g, b};
	for (int c = 0; c < 3; c++)
		pen->tone[CUSTOM][c] = (uint8_t)clamp(rgb[c], 0, 255);
}
