/* image_webp.h - WebP for image.c: libwebp lives behind this header only. Without it (WEBP=0) image_format.c says that WebP is not read, and nothing here is
 * called. Any thread; no shared state. data begins with a RIFF header of WebP's; it may be the first bytes of a file only where that is said. */
#ifndef CORE_IMAGE_WEBP_H
#define CORE_IMAGE_WEBP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct webp_head {
	int width, height; /* of the canvas, as stored */
	bool alpha, animated;
	bool exif; /* a block is said to be there */
};

enum webp_result { WEBP_FINE, WEBP_MORE, WEBP_DAMAGED, WEBP_SHORT };

/* From the first bytes: FINE, MORE (than these are needed; a whole file is then cut short) or DAMAGED. */
enum webp_result webp_head_read(const uint8_t *data, size_t size, struct webp_head *out);
/* The EXIF block of a whole file, borrowed from data; NULL when there is none. */
const uint8_t *webp_exif(const uint8_t *data, size_t size, size_t *length);
/* A whole file into rgb [height][width][3] of the head's size: the picture, or the first frame of an animation in its place on a black canvas. Alpha is
 * dropped. FINE, DAMAGED or SHORT (it ends too early). */
enum webp_result webp_decode(const uint8_t *data, size_t size, const struct webp_head *head, uint8_t *rgb);

#endif
