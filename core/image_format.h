/* image_format.h - which picture formats there are, told by a file's first bytes or by its name, and what to do with those that are not read. Any thread; all
 * that is handed out is static.
 *
 *	const struct image_format *f = image_format_of_name("a.heic");
 *	if (f && f->hint) … "HEIC is not read; convert it, for example with: heif-convert a.heic a.jpg" …
 */
#ifndef CORE_IMAGE_FORMAT_H
#define CORE_IMAGE_FORMAT_H

#include <stddef.h>
#include <stdint.h>

struct image_format {
	const char *extensions; /* "jpg jpeg jpe"; "" when only the content tells */
	const char *read;       /* "jpeg": what image_info calls it; NULL when it is not read */
	const char *hint;       /* when it is not read: that, and how to convert it */
};

/* By extension, whatever its case; NULL: no picture. */
const struct image_format *image_format_of_name(const char *name);
/* By content; NULL: no picture that is known. */
const struct image_format *image_format_of_bytes(const uint8_t *data, size_t size);

#endif
