/* resample.c - see resample.h. */
#include "core/resample.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

enum { PRECISION_BITS = 32 - 8 - 2 }; /* an int32 sum of 8-bit pixels times weights that add up to 1, with room for overshoot */

/* The inner loops are plain C for the vectoriser; a copy for newer processors is chosen when the program is loaded. */
#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__has_attribute) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#if __has_attribute(target_clones) && !defined(__clang__)
#define HOT __attribute__((target_clones("avx2", "default"), optimize("O3")))
#endif
#endif
#ifndef HOT
#define HOT
#endif

/* For output index i: weight[i * taps ..] applies to `count[i]` inputs from start[i] on. */
struct axis {
	int taps;
	int *start, *count;
	int32_t *weight;
};

static double sinc(double x)
{
	if (x == 0.0)
		return 1.0;
	x *= M_PI;
	return sin(x) / x;
}

static double filter_lanczos(double x)
{
	return x >= -3.0 && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0;
}

static double filter_bilinear(double x)
{
	x = fabs(x);
	return x < 1.0 ? 1.0 - x : 0.0;
}

static double filter_bicubic(double x)
{
	const double a = -0.5;

	x = fabs(x);
	if (x < 1.0)
		return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
	if (x < 2.0)
		return (((x - 5) * x + 8) * x - 4) * a;
	return 0.0;
}

static double filter_box(double x)
{
	return x > -0.5 && x <= 0.5 ? 1.0 : 0.0;
}

static const struct {
	double (*at)(double x);
	double support;
} filters[RESAMPLE_FILTERS] = {
	[RESAMPLE_LANCZOS] = {filter_lanczos, 3.0},
	[RESAMPLE_BILINEAR] = {filter_bilinear, 1.0},
	[RESAMPLE_BICUBIC] = {filter_bicubic, 2.0},
	[RESAMPLE_BOX] = {filter_box, 0.5},
};

/* One output index's weights: in double first, then divided by their sum, then to fixed point, rounding half away from zero. */
static void fill_weights(enum resample_filter filter, double centre, double inverse, int start, int count, double *scratch, int32_t *weight)
{
	double sum = 0;

	for (int i = 0; i < count; i++) {
		scratch[i] = filters[filter].at((i + start - centre + 0.5) * inverse);
		sum += scratch[i];
	}
	for (int i = 0; i < count; i++) {
		double w = sum != 0.0 ? scratch[i] / sum : scratch[i];

		weight[i] = (int32_t)(w * (1 << PRECISION_BITS) + (w < 0 ? -0.5 : 0.5));
	}
}

/* The n outputs from `from` on, of `out` that stand for `in` inputs. */
static struct axis axis_create(enum resample_filter filter, int in, int out, int from, int n)
{
	double scale = (double)in / out, stretch = scale < 1.0 ? 1.0 : scale, support = filters[filter].support * stretch;
	struct axis a = {.taps = (int)ceil(support) * 2 + 1};
	double *scratch = xcalloc(a.taps, sizeof *scratch);

	a.start = xcalloc(n, sizeof *a.start);
	a.count = xcalloc(n, sizeof *a.count);
	a.weight = xcalloc((size_t)n * a.taps, sizeof *a.weight);
	for (int i = 0; i < n; i++) {
		double centre = (i + from + 0.5) * scale;
		int first = (int)(centre - support + 0.5), end = (int)(centre + support + 0.5);

		first = first < 0 ? 0 : first;
		end = end > in ? in : end;
		a.start[i] = first;
		a.count[i] = end - first;
		fill_weights(filter, centre, 1.0 / stretch, first, end - first, scratch, a.weight + (size_t)i * a.taps);
	}
	free(scratch);
	return a;
}

static void axis_free(struct axis *a)
{
	free(a->start);
	free(a->count);
	free(a->weight);
}

static inline uint8_t clip8(int32_t sum)
{
	sum >>= PRECISION_BITS;
	return sum < 0 ? 0 : sum > 255 ? 255 : (uint8_t)sum;
}

HOT static void row_horizontal(const uint8_t *in, const struct axis *a, int n, uint8_t *out)
{
	for (int i = 0; i < n; i++) {
		const int32_t *w = a->weight + (size_t)i * a->taps;
		const uint8_t *p = in + (size_t)a->start[i] * 3;
		int count = a->count[i];
		int32_t r = 1 << (PRECISION_BITS - 1), g = r, b = r;

		for (int j = 0; j < count; j++) {
			r += p[j * 3] * w[j];
			g += p[j * 3 + 1] * w[j];
			b += p[j * 3 + 2] * w[j];
		}
		out[i * 3] = clip8(r);
		out[i * 3 + 1] = clip8(g);
		out[i * 3 + 2] = clip8(b);
	}
}

/* One output row from count input rows of n bytes each; sums is scratch of n. */
HOT static void row_vertical(const uint8_t *in, size_t stride, const int32_t *w, int count, size_t n, int32_t *restrict sums, uint8_t *restrict out)
{
	for (size_t i = 0; i < n; i++)
		sums[i] = 1 << (PRECISION_BITS - 1);
	for (int j = 0; j < count; j++) {
		const uint8_t *p = in + j * stride;
		int32_t weight = w[j];

		for (size_t i = 0; i < n; i++)
			sums[i] += p[i] * weight;
	}
	for (size_t i = 0; i < n; i++)
		out[i] = clip8(sums[i]);
}

static void pass_horizontal(const struct resample_job *job, int first_row, int rows, uint8_t *out)
{
	struct axis a = axis_create(job->filter, job->width, job->out_width, job->window.left, job->window.width);

	for (int y = 0; y < rows; y++)
		row_horizontal(job->rgb + (size_t)(first_row + y) * job->width * 3, &a, job->window.width, out + (size_t)y * job->window.width * 3);
	axis_free(&a);
}

static void pass_vertical(const struct axis *a, const uint8_t *in, int first_row, const struct resample_window *window, uint8_t *out)
{
	size_t row = (size_t)window->width * 3;
	int32_t *sums = xcalloc(row, sizeof *sums);

	for (int y = 0; y < window->height; y++)
		row_vertical(in + (size_t)(a->start[y] - first_row) * row, row, a->weight + (size_t)y * a->taps, a->count[y], row, sums,
			     out + (size_t)y * row);
	free(sums);
}

static void copy_window(const struct resample_job *job, int first_row, int rows, uint8_t *out)
{
	size_t row = (size_t)job->window.width * 3;

	for (int y = 0; y < rows; y++)
		memcpy(out + y * row, job->rgb + ((size_t)(first_row + y) * job->width + job->window.left) * 3, row);
}

/* Source index of each output, by adding up the step as Pillow does, so that rounding errors agree. */
static int *nearest_map(int in, int out, int from, int n)
{
	double step = (double)in / out, at = step * 0.5;
	int *map = xcalloc(n, sizeof *map);

	for (int i = 0; i < from + n; i++, at += step)
		if (i >= from)
			map[i - from] = at >= in ? in - 1 : (int)at;
	return map;
}

static void resample_nearest(const struct resample_job *job, uint8_t *out)
{
	const struct resample_window *w = &job->window;
	int *columns = nearest_map(job->width, job->out_width, w->left, w->width),
	    *rows = nearest_map(job->height, job->out_height, w->top, w->height);

	for (int y = 0; y < w->height; y++) {
		const uint8_t *in = job->rgb + (size_t)rows[y] * job->width * 3;

		for (int x = 0; x < w->width; x++, out += 3)
			memcpy(out, in + (size_t)columns[x] * 3, 3);
	}
	free(columns);
	free(rows);
}

void resample_rgb(const struct resample_job *job, uint8_t *out)
{
	const struct resample_window *w = &job->window;
	bool horizontal = job->out_width != job->width, vertical = job->out_height != job->height;
	int first = w->top, rows = w->height;
	struct axis a = {0};
	uint8_t *middle = out;

	if (w->width <= 0 || w->height <= 0)
		return;
	if (job->filter == RESAMPLE_NEAREST) {
		resample_nearest(job, out);
		return;
	}
	if (vertical) {
		int last = w->height - 1;

		a = axis_create(job->filter, job->height, job->out_height, w->top, w->height);
		first = a.start[0];
		rows = a.start[last] + a.count[last] - first;
		middle = xmalloc((size_t)rows * w->width * 3);
	}
	if (horizontal)
		pass_horizontal(job, first, rows, middle);
	else
		copy_window(job, first, rows, middle);
	if (vertical) {
		pass_vertical(&a, middle, first, w, out);
		free(middle);
		axis_free(&a);
	}
}
