/* image.c - see image.h. The decoder works on a copy of the file in memory that is followed by an end-of-image marker: a decoder that reads past the file's
 * own end meets the marker instead of running on, and where it stopped tells that the file was cut short. */
#include "core/image.h"

#include <errno.h>
#include <fcntl.h>
#include <libexif/exif-data.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/image_format.h"
#include "core/image_webp.h"
#include "core/jpeg_check.h"
#include "core/mem.h"

/* The decoder may ask for no single block larger than this, set from the picture's size before decoding: a small file cannot unpack into gigabytes. */
static _Thread_local size_t block_limit;

/* Zeroed: where a file leaves something out, the decoder reads what it never wrote. */
static void *block_alloc(size_t size)
{
	return size > block_limit ? NULL : calloc(1, size ? size : 1);
}

static void *block_realloc(void *old, size_t size)
{
	return size > block_limit ? NULL : realloc(old, size ? size : 1);
}

#define STBI_MALLOC(size)       block_alloc(size)
#define STBI_REALLOC(old, size) block_realloc(old, size)
#define STBI_FREE(old)          free(old)
#define STBI_ASSERT(x)          ((void)0)
#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STBI_ONLY_BMP
#define STBI_ONLY_GIF
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#if defined(__ARM_NEON)
#define STBI_NEON
#endif
/* Not popped: gcc judges it at the end of the file. */
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wunused-but-set-variable"
#include <stb/stb_image.h>
#pragma GCC diagnostic pop

static const uint8_t end_marker[] = {0xff, 0xd9, 0xff, 0xd9};

enum { HEAD_BYTES = 64 * 1024, READ_BLOCK = 1024 * 1024, TILE = 32 };

/* A file in memory, or its first bytes; the end marker follows at data[size]. */
struct bytes {
	uint8_t *data;
	size_t size;
	bool whole;
};

static bool is_cancelled(const struct image_limits *limits)
{
	return limits && limits->cancelled && limits->cancelled(limits->ctx);
}

static int fail_cancelled(const char *name, struct error *err)
{
	return fail(err, E_CANCELLED, "%s: reading was cancelled", name);
}

static int open_picture(const char *path, int64_t max, int64_t *size, struct error *err)
{
	/* Not to hang on a named pipe. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	int failed = 0;

	if (fd < 0)
		return fail(err, E_IO, "%s: %s", path, strerror(errno));
	if (fstat(fd, &st) < 0)
		failed = fail(err, E_IO, "%s: %s", path, strerror(errno));
	else if (S_ISDIR(st.st_mode))
		failed = fail(err, E_IO, "%s is a directory, not a picture", path);
	else if (!S_ISREG(st.st_mode))
		failed = fail(err, E_IO, "%s is not a regular file", path);
	else if (st.st_size == 0)
		failed = fail(err, E_FORMAT, "%s is empty", path);
	else if (st.st_size > max)
		failed = fail(err, E_LIMIT, "%s: %.1f MB exceed the limit of %.0f MB", path, st.st_size / 1e6, max / 1e6);
	if (failed) {
		close(fd);
		return -1;
	}
	*size = st.st_size;
	return fd;
}

/* Reads at most `most` bytes; the caller frees out->data, which is NULL after a failure. */
static int read_picture(const char *path, const struct image_limits *limits, size_t most, struct bytes *out, struct error *err)
{
	int64_t size = 0;
	int fd = open_picture(path, limits && limits->bytes > 0 ? limits->bytes : IMAGE_MAX_BYTES, &size, err);
	size_t want = fd < 0 ? 0 : (uint64_t)size < most ? (size_t)size : most;
	int result = 0;

	*out = (struct bytes){0};
	if (fd < 0)
		return -1;
	out->data = xmalloc(want + sizeof end_marker);
	while (out->size < want && result == 0) {
		ssize_t n = read(fd, out->data + out->size, want - out->size < READ_BLOCK ? want - out->size : READ_BLOCK);

		if (n > 0)
			out->size += n;
		else if (n == 0)
			want = out->size; /* it shrank meanwhile */
		else if (errno != EINTR)
			result = fail(err, E_IO, "%s: %s", path, strerror(errno));
		if (is_cancelled(limits))
			result = fail_cancelled(path, err);
	}
	close(fd);
	if (result < 0) {
		free(out->data);
		*out = (struct bytes){0};
		return -1;
	}
	memcpy(out->data + out->size, end_marker, sizeof end_marker);
	out->whole = out->size == (size_t)size;
	return 0;
}

static uint32_t big_endian(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* The orientation tag of an EXIF block or of a whole JPEG file. */
static int orientation_of(const uint8_t *data, size_t size)
{
	ExifData *exif = exif_data_new_from_data(data, size < UINT32_MAX ? (unsigned)size : UINT32_MAX);
	ExifEntry *entry = exif ? exif_content_get_entry(exif->ifd[EXIF_IFD_0], EXIF_TAG_ORIENTATION) : NULL;
	int orientation = 1;

	if (entry && entry->format == EXIF_FORMAT_SHORT && entry->size >= 2)
		orientation = exif_get_short(entry->data, exif_data_get_byte_order(exif));
	if (exif)
		exif_data_unref(exif);
	return orientation >= 1 && orientation <= 8 ? orientation : 1;
}

/* The same of a block that may lack the six bytes which JPEG puts before it, as in PNG and WebP. */
static int block_orientation(const uint8_t *data, size_t size)
{
	static const char prefix[] = "Exif\0";
	uint8_t *block;
	int orientation;

	if (size >= 65536 || size < sizeof prefix)
		return 1;
	if (memcmp(data, prefix, sizeof prefix) == 0)
		return orientation_of(data, size);
	block = xmalloc(size + sizeof prefix);
	memcpy(block, prefix, sizeof prefix);
	memcpy(block + sizeof prefix, data, size);
	orientation = orientation_of(block, size + sizeof prefix);
	free(block);
	return orientation;
}

/* In PNG it is the eXIf chunk. */
static int png_orientation(const struct bytes *b)
{
	for (size_t at = 8; at + 8 <= b->size;) {
		size_t length = big_endian(b->data + at);

		if (length > b->size - at - 8 || memcmp(b->data + at + 4, "IEND", 4) == 0)
			break;
		if (memcmp(b->data + at + 4, "eXIf", 4) == 0)
			return block_orientation(b->data + at + 8, length);
		at += length + 12;
	}
	return 1;
}

static int find_format(const struct bytes *b, const char *name, struct image_info *info, struct error *err)
{
	const struct image_format *format = image_format_of_bytes(b->data, b->size);

	if (b->size == 0)
		return fail(err, E_FORMAT, "%s is empty", name);
	if (!format)
		return fail(err, E_FORMAT, "%s is not a picture", name);
	if (!format->read)
		return fail(err, E_FORMAT, "%s: %s", name, format->hint);
	info->format = format->read;
	return 0;
}

static int judge_size(const char *name, const struct image_limits *limits, int64_t width, int64_t height, struct error *err)
{
	int64_t max = limits && limits->pixels > 0 ? limits->pixels : IMAGE_MAX_PIXELS;

	if (width <= 0 || height <= 0)
		return fail(err, E_FORMAT, "%s is damaged: its size is %lld×%lld", name, (long long)width, (long long)height);
	if (width > max || height > max || width * height > max)
		return fail(err, E_LIMIT, "%s: %lld×%lld pixels exceed the limit of %.3g MP", name, (long long)width, (long long)height, max / 1e6);
	return 0;
}

static int fail_webp(const char *name, enum webp_result result, struct error *err)
{
	return fail(err, E_FORMAT, "%s is damaged: %s", name, result == WEBP_DAMAGED ? "its WebP data cannot be decoded" : "it ends too early");
}

/* As read_header. An EXIF block stands behind the pixels. */
static int read_webp(const struct bytes *b, const char *name, const struct image_limits *limits, struct image_info *info, struct error *err)
{
	enum webp_result result;
	struct webp_head head;
	const uint8_t *block;
	size_t length;

	result = webp_head_read(b->data, b->size, &head);
	if (result != WEBP_FINE)
		return result == WEBP_MORE && !b->whole ? 1 : fail_webp(name, result, err);
	if (judge_size(name, limits, head.width, head.height, err) < 0)
		return -1;
	info->width = head.width;
	info->height = head.height;
	info->channels = head.alpha ? 4 : 3;
	if (!head.exif || (limits && limits->as_stored))
		return 0;
	if (!b->whole)
		return 1;
	block = webp_exif(b->data, b->size, &length);
	if (block)
		info->orientation = block_orientation(block, length);
	return 0;
}

/* Fills info from the head of the file and judges its size, before anything is decoded. Returns 1 if more of the file is needed. */
static int read_header(const struct bytes *b, const char *name, const struct image_limits *limits, struct image_info *info, struct error *err)
{
	bool png, jpeg;

	*info = (struct image_info){.orientation = 1, .bits = 8};
	if (find_format(b, name, info, err) < 0)
		return -1;
	if (strcmp(info->format, "webp") == 0)
		return read_webp(b, name, limits, info, err);
	png = strcmp(info->format, "png") == 0;
	jpeg = strcmp(info->format, "jpeg") == 0;
	if (jpeg && !jpeg_tables_fit(b->data, b->size + sizeof end_marker))
		return b->whole ? fail(err, E_FORMAT, "%s is damaged: a Huffman table is too large", name) : 1;
	/* Beyond 2^30 samples stb_image only says "too large"; our message names the size. */
	if (png && b->size >= 24 && memcmp(b->data + 12, "IHDR", 4) == 0 &&
	    judge_size(name, limits, big_endian(b->data + 16), big_endian(b->data + 20), err) < 0)
		return -1;
	block_limit = SIZE_MAX;
	if (!stbi_info_from_memory(b->data, (int)b->size, &info->width, &info->height, &info->channels))
		return b->whole ? fail(err, E_FORMAT, "%s is damaged: its head cannot be read", name) : 1;
	if (info->height < 0 && info->height > -INT32_MAX) /* a BMP stored top down */
		info->height = -info->height;
	if (judge_size(name, limits, info->width, info->height, err) < 0)
		return -1;
	if (png && stbi_is_16_bit_from_memory(b->data, (int)b->size))
		info->bits = 16;
	if (png)
		info->orientation = png_orientation(b);
	else if (jpeg)
		info->orientation = orientation_of(b->data, b->size);
	if (limits && limits->as_stored)
		info->orientation = 1;
	return 0;
}

/* Width and height as they are seen. */
static void turn_info(struct image_info *info)
{
	if (info->orientation >= 5) {
		int width = info->width;

		info->width = info->height;
		info->height = width;
	}
}

/* Applies EXIF orientation (TIFF 6.0, tag 0x0112) in tiles, so that reading columns stays in the cache. */
static void turn(struct image *image, int orientation)
{
	bool swap = orientation >= 5, flip_x, flip_y;
	int w = image->width, h = image->height, out_w = swap ? h : w, out_h = swap ? w : h;
	uint8_t *out;

	if (orientation == 1)
		return;
	/* Which axis of the stored picture runs backwards. */
	flip_x = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
	flip_y = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
	out = xmalloc((size_t)w * h * 3);
	for (int ty = 0; ty < out_h; ty += TILE)
		for (int tx = 0; tx < out_w; tx += TILE)
			for (int y = ty; y < out_h && y < ty + TILE; y++)
				for (int x = tx; x < out_w && x < tx + TILE; x++) {
					int sx = swap ? y : x, sy = swap ? x : y;
					size_t from = (size_t)(flip_y ? h - 1 - sy : sy) * w + (flip_x ? w - 1 - sx : sx);

					memcpy(out + ((size_t)y * out_w + x) * 3, image->rgb + from * 3, 3);
				}
	free(image->rgb);
	*image = (struct image){out_w, out_h, out};
}

static int decode_webp(const struct bytes *b, const char *name, const struct image_info *info, struct image *image, struct error *err)
{
	enum webp_result result;
	struct webp_head head;

	webp_head_read(b->data, b->size, &head); /* which read_header has done */
	*image = (struct image){info->width, info->height, xmalloc((size_t)info->width * info->height * 3)};
	result = webp_decode(b->data, b->size, &head, image->rgb);
	return result == WEBP_FINE ? 0 : fail_webp(name, result, err);
}

static int decode_stb(const struct bytes *b, const char *name, const struct image_info *info, struct image *image, struct error *err)
{
	stbi__context s;
	int channels = 0;

	/* 16-bit RGBA takes 8 bytes a pixel, beside a filter byte a row; small pictures are padded to whole blocks and need tables. */
	block_limit = (size_t)info->width * info->height * 12 + (size_t)info->height * 8 + 1024 * 1024;
	stbi__start_mem(&s, b->data, (int)(b->size + sizeof end_marker));
	image->rgb = stbi__load_and_postprocess_8bit(&s, &image->width, &image->height, &channels, 3);
	if (!image->rgb)
		return fail(err, E_FORMAT, "%s is damaged: %s", name, stbi_failure_reason());
	if ((size_t)(s.img_buffer - b->data) > b->size)
		return fail(err, E_FORMAT, "%s is damaged: it ends too early", name);
	if (image->width != info->width || image->height != info->height)
		return fail(err, E_FORMAT, "%s is damaged: two sizes are given", name);
	return 0;
}

/* b must be whole. */
static int decode(const struct bytes *b, const char *name, const struct image_limits *limits, struct image *image, struct image_info *info,
		  struct error *err)
{
	int result;

	if (read_header(b, name, limits, info, err) < 0)
		return -1;
	if (is_cancelled(limits))
		return fail_cancelled(name, err);
	result = strcmp(info->format, "webp") == 0 ? decode_webp(b, name, info, image, err) : decode_stb(b, name, info, image, err);
	if (result < 0)
		return -1;
	if (is_cancelled(limits))
		return fail_cancelled(name, err);
	turn(image, info->orientation);
	turn_info(info);
	return 0;
}

static int decode_bytes(const struct bytes *b, const char *name, const struct image_limits *limits, struct image *image, struct image_info *info,
			struct error *err)
{
	struct image_info ignored;

	*image = (struct image){0};
	if (decode(b, name, limits, image, info ? info : &ignored, err) < 0) {
		image_free(image);
		return -1;
	}
	return 0;
}

int image_decode(const uint8_t *data, size_t size, const char *name, const struct image_limits *limits, struct image *image, struct image_info *info,
		 struct error *err)
{
	int64_t max = limits && limits->bytes > 0 ? limits->bytes : IMAGE_MAX_BYTES;
	struct bytes b = {.size = size, .whole = true};
	int result;

	*image = (struct image){0};
	if (size > (uint64_t)max || size > INT32_MAX - sizeof end_marker)
		return fail(err, E_LIMIT, "%s: %.1f MB exceed the limit of %.0f MB", name, size / 1e6, max / 1e6);
	b.data = xmalloc(size + sizeof end_marker);
	memcpy(b.data, data, size);
	memcpy(b.data + size, end_marker, sizeof end_marker);
	result = decode_bytes(&b, name, limits, image, info, err);
	free(b.data);
	return result;
}

int image_load(const char *path, const struct image_limits *limits, struct image *image, struct image_info *info, struct error *err)
{
	struct bytes b;
	int result;

	*image = (struct image){0};
	if (read_picture(path, limits, INT32_MAX - sizeof end_marker, &b, err) < 0)
		return -1;
	result = decode_bytes(&b, path, limits, image, info, err);
	free(b.data);
	return result;
}

int image_probe(const char *path, const struct image_limits *limits, struct image_info *info, struct error *err)
{
	struct bytes b;
	int result = 1;

	for (size_t most = HEAD_BYTES; result > 0; most = INT32_MAX - sizeof end_marker) {
		if (read_picture(path, limits, most, &b, err) < 0)
			return -1;
		result = read_header(&b, path, limits, info, err);
		free(b.data);
	}
	if (result == 0)
		turn_info(info);
	return result;
}

struct image image_copy(const struct image *image)
{
	return (struct image){image->width, image->height, xmemdup(image->rgb, (size_t)image->width * image->height * 3)};
}

static struct image resized(const struct image *image, int width, int height, enum resample_filter filter)
{
	struct image out = {width < 1 ? 1 : width, height < 1 ? 1 : height, NULL};
	struct resample_job job = {image->rgb, image->width, image->height, out.width, out.height, {0, 0, out.width, out.height}, filter};

	out.rgb = xmalloc((size_t)out.width * out.height * 3);
	resample_rgb(&job, out.rgb);
	return out;
}

struct image image_scale(const struct image *image, int max_width, int max_height)
{
	int64_t w = image->width, h = image->height;

	if (w <= max_width && h <= max_height)
		return image_copy(image);
	if (w * max_height > h * max_width)
		return resized(image, max_width, (int)((h * max_width + w / 2) / w), RESAMPLE_BOX);
	return resized(image, (int)((w * max_height + h / 2) / h), max_height, RESAMPLE_BOX);
}

struct image image_fit(const struct image *image, int longest, enum resample_filter filter)
{
	int64_t w = image->width, h = image->height, side = w > h ? w : h;

	if (side <= longest)
		return image_copy(image);
	return resized(image, (int)((w * longest + side / 2) / side), (int)((h * longest + side / 2) / side), filter);
}

void image_free(struct image *image)
{
	if (!image)
		return;
	free(image->rgb);
	*image = (struct image){0};
}
