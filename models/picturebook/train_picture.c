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

void train_picture(const struct scene *scene, uint64_t *rng, int size, float *pixels)
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
}
