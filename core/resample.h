/* resample.h - resizing of RGB8 pictures, byte for byte as Pillow 9 does it. Any thread; no state.
 *
 * Two passes of fixed-point convolution, horizontal then vertical, each rounding to 8 bits; a pass whose size does not change is an exact copy. The support
 * grows when shrinking (antialias). Only the window asked for is computed, so a centre crop costs what the crop needs:
 *
 *	struct resample_job job = {rgb, 640, 480, 299, 224, {37, 0, 224, 224}, RESAMPLE_BICUBIC};
 *	resample_rgb(&job, out);                                 // out: uint8_t[224 * 224 * 3]
 */
#ifndef CORE_RESAMPLE_H
#define CORE_RESAMPLE_H

#include <stdint.h>

/* The numbers are Pillow's, as preprocessor_config.json's "resample" holds them. */
enum resample_filter {
	RESAMPLE_NEAREST,
	RESAMPLE_LANCZOS,
	RESAMPLE_BILINEAR,
	RESAMPLE_BICUBIC, /* a = -0.5 */
	RESAMPLE_BOX,     /* area average when shrinking */
	RESAMPLE_FILTERS
};

enum { RESAMPLE_MAX_SIDE = 1 << 24 }; /* of the resized picture; the window may be much smaller */

struct resample_window {
	int left, top, width, height; /* in pixels of the resized picture */
};

struct resample_job {
	const uint8_t *rgb; /* [height][width][3], borrowed */
	int width, height;
	int out_width, out_height;     /* of the whole resized picture, 1..RESAMPLE_MAX_SIDE */
	struct resample_window window; /* the part wanted; must lie inside the resized picture */
	enum resample_filter filter;
};

/* Fills out[window.height][window.width][3] (the caller's). Source of the formulas: Pillow's Resample.c and, for RESAMPLE_NEAREST, Geometry.c. */
void resample_rgb(const struct resample_job *job, uint8_t *out);

#endif
