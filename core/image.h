/* image.h - picture files to upright RGB8, with limits. stb_image lives behind this header only, libwebp in image_webp.c. Any thread; no shared state.
 *
 * JPEG, PNG, BMP, WebP (where libwebp was there to build with) and GIF are read, of moving ones the first frame. The size is known and judged before anything is decoded. EXIF orientation is applied, alpha is
 * dropped without compositing, grey is replicated, of 16 bits the high byte is kept. File names are bytes; messages carry them escaped.
 *
 *	struct image image;
 *	if (image_load("a.jpg", NULL, &image, NULL, &err) == 0) {
 *		… image.rgb[(y * image.width + x) * 3] …
 *		image_free(&image);
 *	}
 */
#ifndef CORE_IMAGE_H
#define CORE_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/error.h"
#include "core/resample.h"

struct image {
	int width, height;
	uint8_t *rgb; /* [height][width][3], owned */
};

struct image_info {
	int width, height;  /* upright, i.e. after orientation */
	int channels, bits; /* as stored: 1..4, 8 or 16 */
	int orientation;    /* EXIF 1..8; 1 when absent */
	const char *format; /* "jpeg", "png", "bmp", "gif", "webp"; static */
};

/* What is refused, and how a load is stopped. Zero members mean the defaults. */
struct image_limits {
	int64_t bytes;                /* of the file; default IMAGE_MAX_BYTES */
	int64_t pixels;               /* default IMAGE_MAX_PIXELS */
	bool as_stored;               /* leave EXIF orientation alone */
	bool (*cancelled)(void *ctx); /* asked between the steps (each block read, decode, turn); may be NULL */
	void *ctx;
};

enum { IMAGE_MAX_BYTES = 200 * 1000 * 1000, IMAGE_MAX_PIXELS = 100 * 1000 * 1000 };

/* Reads the first 64 KiB of the file, or all of it where the size stands further back. limits may be NULL. Fails with E_IO (the system's reason), E_FORMAT (empty, not a picture, unsupported,
 * damaged) or E_LIMIT (too many bytes or pixels); a limit is judged here as in image_load. */
int image_probe(const char *path, const struct image_limits *limits, struct image_info *info, struct error *err);

/* Decodes path into *image (overwritten; image_free it). info and limits may be NULL. Fails as image_probe, and with E_CANCELLED. */
int image_load(const char *path, const struct image_limits *limits, struct image *image, struct image_info *info, struct error *err);

/* As image_load, from size bytes in memory; name is for messages. */
int image_decode(const uint8_t *data, size_t size, const char *name, const struct image_limits *limits, struct image *image, struct image_info *info,
		 struct error *err);

/* A copy that fits into max_width x max_height pixels, aspect kept, averaged over areas; never enlarged. The caller frees it. */
struct image image_scale(const struct image *image, int max_width, int max_height);

/* A copy whose longer side is at most `longest` pixels, by `filter`; never enlarged. The caller frees it. */
struct image image_fit(const struct image *image, int longest, enum resample_filter filter);

/* A deep copy. The caller frees it. */
struct image image_copy(const struct image *image);

/* Frees the pixels and zeroes the struct; NULL and zeroed structs are fine. */
void image_free(struct image *image);

#endif
