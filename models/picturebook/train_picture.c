#include "models/picturebook/train.h"

#include <math.h>
#include <stdlib.h>

#include "core/resample.h"

/* Most pictures are painted at the network's own size; the others large, then scaled down as the preprocessing does. */
enum { DETOUR_PERCENT = 25, DETOUR_LEAST = 110, DETOUR_MOST = 320 };

static void paint_scaled_down(const struct scene *scene, uint64_t *rng, float aspect, int size, uint8_t *rgb)
{
	int height = DETOUR_LEAST + (int)scene_below(rng, DETOUR_MOST - DETOUR_LEAST);
	int width = (int)lrintf((float)height * aspect);
	uint8_t *large = xmalloc((size_t)width * (size_t)height * 3);
	scene_paint(scene, width, height, large);
	resample_rgb(&(struct resample_job){large, width, height, size, size, {0, 0, size, size}, RESAMPLE_BICUBIC}, rgb);
	free(large);
}

float train_picture(const struct scene *scene, uint64_t *rng, int size, float *pixels)
{
	size_t plane = (size_t)size * (size_t)size;
	uint8_t *rgb = xmalloc(plane * 3);
	float aspect = scene_below(rng, 4) == 0 ? 1 : expf(scene_between(rng, logf(0.72f), logf(1.6f)));
	if (scene_below(rng, 100) < DETOUR_PERCENT)
		paint_scaled_down(scene, rng, aspect, size, rgb);
	else
		scene_paint_squeezed(scene, aspect, size, size, rgb);
	for (int c = 0; c < 3; c++) {
		float gain = scene_between(rng, 0.96f, 1.04f) / 127.5f;
		for (size_t i = 0; i < plane; i++)
			pixels[(size_t)c * plane + i] = (float)rgb[i * 3 + (size_t)c] * gain - 1;
	}
	free(rgb);
	return aspect;
}

/* Turns the colours around the grey axis, weakens them, and makes the picture darker or lighter. */
void train_wash(uint64_t *rng, int size, float *pixels)
{
	const size_t plane = (size_t)size * (size_t)size;
	const float turn = scene_between(rng, 0, 6.2831853f), strength = scene_between(rng, 0, 1), gain = scene_between(rng, 0.35f, 1);
	const float end = scene_below(rng, 2) ? 1 : -1, along = strength * cosf(turn), across = strength * sinf(turn) / sqrtf(3);
	for (size_t i = 0; i < plane; i++) {
		float r = pixels[i], g = pixels[plane + i], b = pixels[2 * plane + i], grey = (r + g + b) / 3;
		const float turned[3] = {grey + along * (r - grey) + across * (b - g), grey + along * (g - grey) + across * (r - b),
					 grey + along * (b - grey) + across * (g - r)};
		for (size_t c = 0; c < 3; c++)
			pixels[c * plane + i] = fminf(fmaxf(end + (turned[c] - end) * gain, -1), 1);
	}
}

static int64_t patch_kind(const struct scene *scene, float x, float y)
{
	int64_t kind = TRAIN_NOTHING;
	for (int i = 0; i < scene->n_things; i++) {
		const struct scene_thing *t = &scene->things[i];
		float away = fmaxf(fabsf(x - t->x), fabsf(y - t->y)) / (t->size / 2);
		if (away < 0.8f)
			return (int64_t)t->kind;
		if (away < 1.15f)
			kind = TRAIN_UNSURE;
	}
	return kind;
}

void train_patch_kinds(const struct scene *scene, float aspect, int grid, int64_t *out)
{
	for (int i = 0; i < grid * grid; i++) {
		float x = ((float)(i % grid) + 0.5f) / (float)grid - 0.5f, y = ((float)(i / grid) + 0.5f) / (float)grid - 0.5f;
		out[i] = patch_kind(scene, aspect > 1 ? x * aspect : x, aspect > 1 ? y : y / aspect);
	}
}

tt_tensor *train_patch_loss(tt_pool *p, const struct nn_linear *head, tt_tensor *rows, const int64_t *kinds)
{
	const int64_t width = tt_size(rows, tt_ndim(rows) - 1), patches = width > 0 ? tt_count(rows) / width : 0;
	rows = tt_cast(p, tt_reshape(p, rows, TT_SHAPE(patches, width)), tt_cpu_has_bf16() ? TT_BF16 : TT_F32);
	tt_tensor *logits = nn_linear(p, head, rows);
	return tt_cross_entropy(p, logits, tt_from_i64(p, kinds, TT_SHAPE(patches)), TRAIN_UNSURE, 0);
}
