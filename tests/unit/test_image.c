/* test_image.c - reading, refusing, turning and scaling pictures. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#if VRAMBLE_WEBP
#include <webp/encode.h>
#endif

#include "core/image.h"
#include "core/mem.h"
#include "tests/support/data.h"

#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#pragma GCC diagnostic ignored "-Wunused-function"
#include <stb/stb_image_write.h>

#include <cmocka.h> /* last: it defines fail() */

static void put_bytes(void *ctx, void *data, int size)
{
	buffer_add(ctx, data, size);
}

/* A picture whose every pixel is different, in a file format. */
static struct buffer encode(const char *format, int width, int height, int channels)
{
	uint8_t *data = xmalloc((size_t)width * height * channels);
	struct buffer out = {0};

	for (int i = 0; i < width * height * channels; i++)
		data[i] = (uint8_t)(i * 7 + i / 251);
	if (strcmp(format, "png") == 0)
		stbi_write_png_to_func(put_bytes, &out, width, height, channels, data, 0);
	else
		stbi_write_bmp_to_func(put_bytes, &out, width, height, channels, data);
	free(data);
	return out;
}

/* The bytes of one of the small pictures in tests/golden. */
static struct buffer read_picture(const char *name)
{
	char *path = xasprintf("tests/golden/pictures/%s", name), block[4096];
	FILE *f = fopen(path, "rb");
	struct buffer out = {0};
	size_t n;

	assert_non_null(f);
	while ((n = fread(block, 1, sizeof block, f)) > 0)
		buffer_add(&out, block, n);
	fclose(f);
	free(path);
	return out;
}

/* Every kind of file; the mean of each channel as Pillow decodes it. */
static void test_kinds(void **state)
{
	static const struct {
		const char *name;
		int width, height;
		double mean[3];
	} kinds[] = {
		{"baseline420.jpg", 56, 40, {121.89, 127.52, 129.20}},
		{"bits.bmp", 56, 40, {125.68, 125.68, 125.68}},
		{"bits.png", 56, 40, {125.68, 125.68, 125.68}},
		{"cmyk.jpg", 56, 40, {121.75, 127.53, 129.01}},
		{"exif6_444.jpg", 40, 56, {121.64, 127.74, 129.12}},
		{"grey.jpg", 56, 40, {126.08, 126.08, 126.08}},
		{"grey16.png", 56, 40, {121.73, 121.73, 121.73}},
		{"palette.bmp", 56, 40, {120.82, 127.51, 128.82}},
		{"palette.gif", 56, 40, {120.82, 127.51, 128.82}},
		{"palette.png", 56, 40, {120.82, 127.51, 128.82}},
		{"progressive.jpg", 56, 40, {121.54, 127.72, 128.99}},
		{"rgb.bmp", 56, 40, {121.73, 127.58, 129.04}},
		{"rgba.png", 56, 40, {121.73, 127.58, 129.04}},
		{"transparent.png", 56, 40, {120.82, 127.51, 128.82}},
#if VRAMBLE_WEBP
		{"lossy.webp", 56, 40, {121.81, 127.59, 128.97}},
		{"alpha.webp", 56, 40, {121.73, 127.58, 129.04}},
		{"alpha_lossy.webp", 56, 40, {121.86, 127.72, 129.15}},
		{"moving.webp", 56, 40, {121.73, 127.58, 129.04}},
		{"exif6.webp", 40, 56, {121.81, 127.59, 128.97}},
#endif
	};

	for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
		struct buffer file = read_picture(kinds[k].name);
		double tolerance = strstr(kinds[k].name, ".jpg") || strstr(kinds[k].name, ".webp") ? 1.0 : 0.006;
		struct image image;
		struct image_info info;
		struct error err;

		if (image_decode((uint8_t *)file.text, file.length, kinds[k].name, NULL, &image, &info, &err) < 0)
			fail_msg("%s", err.text);
		assert_true(image.width == kinds[k].width && image.height == kinds[k].height);
		for (int c = 0; c < 3; c++) {
			double sum = 0;
			int n = image.width * image.height;

			for (int i = 0; i < n; i++)
				sum += image.rgb[i * 3 + c];
			if (fabs(sum / n - kinds[k].mean[c]) > tolerance)
				fail_msg("%s: channel %d has mean %g, not %g", kinds[k].name, c, sum / n, kinds[k].mean[c]);
		}
		image_free(&image);
		buffer_free(&file);
	}
}

static void test_lossless(void **state)
{
	for (int channels = 1; channels <= 4; channels++) {
		struct buffer file = encode("png", 5, 3, channels);
		struct image image;
		struct image_info info;
		struct error err;

		assert_int_equal(image_decode((uint8_t *)file.text, file.length, "x.png", NULL, &image, &info, &err), 0);
		assert_true(info.channels == channels && info.bits == 8 && info.orientation == 1 && info.width == 5 && info.height == 3);
		assert_string_equal(info.format, "png");
		for (int i = 0; i < 15; i++)
			for (int c = 0; c < 3; c++) {
				int at = channels < 3 ? i * channels : i * channels + c; /* grey is repeated, alpha is dropped */

				assert_int_equal(image.rgb[i * 3 + c], (uint8_t)(at * 7 + at / 251));
			}
		image_free(&image);
		buffer_free(&file);
	}
}

static void test_other_formats(void **state)
{
	static const char gif[] = "GIF89a\1\0\1\0\x80\0\0\0\0\0\x10\x20\x30,\0\0\0\0\1\0\1\0\0\2\2L\1\0;";
	struct buffer bmp = encode("bmp", 33, 20, 3);
	struct image image;
	struct image_info info;
	struct error err;

	assert_int_equal(image_decode((uint8_t *)bmp.text, bmp.length, "x.bmp", NULL, &image, &info, &err), 0);
	assert_string_equal(info.format, "bmp");
	assert_int_equal(image.rgb[4], 4 * 7);
	image_free(&image);
	assert_int_equal(image_decode((const uint8_t *)gif, sizeof gif - 1, "x.gif", NULL, &image, &info, &err), 0);
	assert_string_equal(info.format, "gif");
	assert_int_equal(image.rgb[2], 0x30);
	image_free(&image);
	buffer_free(&bmp);
}

static void test_16_bits(void **state)
{
	struct image grey, colour;
	struct image_info info;
	struct error err;

	assert_int_equal(image_load("tests/golden/clip/images/gray16_241x180.png", NULL, &grey, &info, &err), 0);
	assert_true(info.bits == 16 && info.channels == 1);
	assert_int_equal(image_load("tests/golden/clip/images/rgb16_103x75.png", NULL, &colour, &info, &err), 0);
	assert_true(info.bits == 16 && info.channels == 3);
	image_free(&grey);
	image_free(&colour);
}

/* An EXIF block that says orientation n, as JPEG's APP1 segment or PNG's eXIf chunk holds it. */
static const char tiff[] = "MM\0*\0\0\0\10\0\1\1\x12\0\3\0\0\0\1\0\0\0\0\0\0\0\0";

static struct buffer with_orientation(const struct buffer *file, bool png, int n)
{
	char block[sizeof tiff - 1];
	struct buffer out = {0};

	memcpy(block, tiff, sizeof block);
	block[19] = (char)n;
	if (png) {
		buffer_add(&out, file->text, 33); /* signature and IHDR */
		buffer_add(&out,
			   "\0\0\0\x1a"
			   "eXIf",
			   8);
		buffer_add(&out, block, sizeof block);
		buffer_add(&out, "crc!", 4);
		buffer_add(&out, file->text + 33, file->length - 33);
	} else {
		buffer_add(&out, file->text, 2);
		buffer_add(&out,
			   "\xff\xe1\0\x22"
			   "Exif\0\0",
			   10);
		buffer_add(&out, block, sizeof block);
		buffer_add(&out, file->text + 2, file->length - 2);
	}
	return out;
}

/* The six pixels of a 3x2 picture are numbered in reading order; how each orientation is seen is written out by hand. */
static void test_orientation(void **state)
{
	static const char seen[9][7] = {"", "012345", "210543", "543210", "345012", "031425", "304152", "524130", "251403"};
	struct buffer png = encode("png", 3, 2, 3), jpeg = read_picture("baseline420.jpg");
	struct error err;

	for (int n = 1; n <= 8; n++) {
		struct buffer file = with_orientation(&png, true, n), photo = with_orientation(&jpeg, false, n);
		struct image_limits stored = {.as_stored = true};
		struct image image;
		struct image_info info;

		assert_int_equal(image_decode((uint8_t *)file.text, file.length, "x.png", NULL, &image, &info, &err), 0);
		assert_int_equal(info.orientation, n);
		assert_int_equal(image.width, n < 5 ? 3 : 2);
		assert_true(info.width == image.width && info.height == image.height);
		for (int i = 0; i < 6; i++)
			assert_int_equal(image.rgb[i * 3], (seen[n][i] - '0') * 21);
		image_free(&image);
		assert_int_equal(image_decode((uint8_t *)photo.text, photo.length, "x.jpg", NULL, &image, &info, &err), 0);
		assert_int_equal(info.orientation, n);
		assert_int_equal(image.width, n < 5 ? 56 : 40);
		image_free(&image);
		assert_int_equal(image_decode((uint8_t *)photo.text, photo.length, "x.jpg", &stored, &image, &info, &err), 0);
		assert_int_equal(image.width, 56);
		image_free(&image);
		buffer_free(&file);
		buffer_free(&photo);
	}
	buffer_free(&png);
	buffer_free(&jpeg);
}

static void check_refused(const void *bytes, size_t size, enum error_code code, const char *complaint)
{
	char *path = data_file(bytes, size);
	struct image image;
	struct image_info info;
	struct error err = {0};

	assert_int_equal(image_load(path, NULL, &image, NULL, &err), -1);
	assert_null(image.rgb);
	if (!strstr(err.text, complaint) || !strstr(err.text, path) || err.code != code)
		fail_msg("\"%s\" (%d) does not say \"%s\"", err.text, err.code, complaint);
	/* What is wrong with the head shows without decoding. */
	if (!strstr(complaint, "damaged"))
		assert_int_equal(image_probe(path, NULL, &info, &err), -1);
	data_remove(path);
}

static void test_refused(void **state)
{
	static const char tables[] = "\xff\xd8\xff\xc4\0\x13\0\xff\xff\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
	static const char huge[] = "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\xea\x60\0\0\xea\x60\10\2\0\0\0";
	struct buffer jpeg = read_picture("baseline420.jpg"), png = encode("png", 50, 40, 3), bmp = encode("bmp", 50, 40, 3), evil = {0};

	check_refused("", 0, E_FORMAT, "is empty");
	check_refused("hello, this is text\n", 20, E_FORMAT, "is not a picture");
	check_refused("RIFF\0\0\0\0WEBPVP8 ", 16, E_FORMAT, VRAMBLE_WEBP ? "is damaged" : "WebP is not read");
	check_refused("\0\0\0\x1c"
		      "ftypavif",
		      12, E_FORMAT, "AVIF is not read; convert it");
	check_refused("\0\0\0\x1c"
		      "ftypheic",
		      12, E_FORMAT, "heif-convert");
	check_refused("\0\0\0\x1c"
		      "ftypmif1",
		      12, E_FORMAT, "HEIF is not read");
	check_refused("\xff\x0a\0\0", 4, E_FORMAT, "djxl");
	check_refused("II*\0\10\0\0\0", 8, E_FORMAT, "TIFF is not read");
	check_refused(huge, sizeof huge - 1, E_LIMIT, "60000×60000 pixels exceed the limit of 100 MP");
	check_refused(jpeg.text, jpeg.length - 100, E_FORMAT, "is damaged: it ends too early");
	check_refused(jpeg.text, 40, E_FORMAT, "is damaged");
	buffer_add(&evil, tables, sizeof tables - 1);
	buffer_add(&evil, jpeg.text + 2, jpeg.length - 2);
	check_refused(evil.text, evil.length, E_FORMAT, "is damaged");
	buffer_free(&evil);
	check_refused(png.text, png.length / 2, E_FORMAT, "is damaged");
	check_refused(png.text, 20, E_FORMAT, "is damaged");
	check_refused(bmp.text, bmp.length - 1, E_FORMAT, "is damaged: it ends too early");
	buffer_free(&jpeg);
	buffer_free(&png);
	buffer_free(&bmp);
}

#if VRAMBLE_WEBP
/* ---- WebP: containers made by hand around what libwebp's encoder makes */

/* The pixels of encode(), lossless; alpha is never 0, where the encoder may change colours. */
static struct buffer webp_encode(int width, int height, int channels)
{
	uint8_t *data = xmalloc((size_t)width * height * channels), *file = NULL;
	struct buffer out = {0};
	size_t size;

	for (int i = 0; i < width * height * channels; i++)
		data[i] = (uint8_t)(channels == 4 && i % 4 == 3 ? i | 1 : i * 7 + i / 251);
	size = channels == 4 ? WebPEncodeLosslessRGBA(data, width, height, width * 4, &file)
			     : WebPEncodeLosslessRGB(data, width, height, width * 3, &file);
	assert_true(size > 20);
	buffer_add(&out, (char *)file, size);
	WebPFree(file);
	free(data);
	return out;
}

static void put_little(struct buffer *out, uint32_t value, int bytes)
{
	for (int i = 0; i < bytes; i++) {
		char byte = (char)(value >> (8 * i));

		buffer_add(out, &byte, 1);
	}
}

static void put_chunk(struct buffer *out, const char *name, const void *data, size_t size)
{
	buffer_add(out, name, 4);
	put_little(out, (uint32_t)size, 4);
	buffer_add(out, data, size);
	if (size % 2)
		buffer_add(out, "", 1);
}

/* RIFF and VP8X around chunks; a picture's own chunk is all behind its file's first 12 bytes. */
static struct buffer webp_wrap(int flags, int width, int height, const struct buffer *chunks)
{
	struct buffer out = {0}, head = {0};

	put_little(&head, (uint32_t)flags, 4);
	put_little(&head, (uint32_t)width - 1, 3);
	put_little(&head, (uint32_t)height - 1, 3);
	buffer_add(&out, "RIFF", 4);
	put_little(&out, (uint32_t)(4 + 8 + head.length + chunks->length), 4);
	buffer_add(&out, "WEBP", 4);
	put_chunk(&out, "VP8X", head.text, head.length);
	buffer_add(&out, chunks->text, chunks->length);
	buffer_free(&head);
	return out;
}

static struct buffer webp_with_orientation(const struct buffer *file, int width, int height, int n)
{
	char block[6 + sizeof tiff - 1] = "Exif\0";
	struct buffer chunks = {0}, out;

	memcpy(block + 6, tiff, sizeof tiff - 1);
	block[6 + 19] = (char)n;
	buffer_add(&chunks, file->text + 12, file->length - 12);
	put_chunk(&chunks, "EXIF", n % 2 ? block : block + 6, sizeof block - (n % 2 ? 0 : 6)); /* both ways are seen */
	out = webp_wrap(8, width, height, &chunks);
	buffer_free(&chunks);
	return out;
}

static void test_webp(void **state)
{
	for (int channels = 3; channels <= 4; channels++) {
		struct buffer file = webp_encode(5, 3, channels);
		struct image_limits few = {.pixels = 14};
		struct image image;
		struct image_info info;
		struct error err;

		assert_int_equal(image_decode((uint8_t *)file.text, file.length, "x.webp", NULL, &image, &info, &err), 0);
		assert_true(info.channels == channels && info.bits == 8 && info.orientation == 1 && info.width == 5 && info.height == 3);
		assert_string_equal(info.format, "webp");
		for (int i = 0; i < 45; i++) {
			int at = i / 3 * channels + i % 3;

			assert_int_equal(image.rgb[i], (uint8_t)(at * 7 + at / 251));
		}
		image_free(&image);
		assert_int_equal(image_decode((uint8_t *)file.text, file.length, "x.webp", &few, &image, &info, &err), -1);
		assert_int_equal(err.code, E_LIMIT);
		buffer_free(&file);
	}
}

/* Large enough that the block stands behind what a probe reads at first. */
static void test_webp_orientation(void **state)
{
	static const char seen[9][7] = {"", "012345", "210543", "543210", "345012", "031425", "304152", "524130", "251403"};
	struct buffer small = webp_encode(3, 2, 3), noise = {0}, photo;
	uint8_t *pixels = xmalloc(200 * 150 * 3), *encoded = NULL;
	struct image_info info;
	struct error err;
	size_t size;
	char *path;

	for (int n = 1; n <= 8; n++) {
		struct buffer file = webp_with_orientation(&small, 3, 2, n);
		struct image image;

		if (image_decode((uint8_t *)file.text, file.length, "x.webp", NULL, &image, &info, &err) < 0)
			fail_msg("%s", err.text);
		assert_int_equal(info.orientation, n);
		assert_true(image.width == (n < 5 ? 3 : 2) && info.width == image.width && info.height == image.height);
		for (int i = 0; i < 6; i++)
			assert_int_equal(image.rgb[i * 3], (seen[n][i] - '0') * 21);
		image_free(&image);
		buffer_free(&file);
	}
	for (uint32_t i = 0, x = 1; i < 200 * 150 * 3; i++)
		pixels[i] = (uint8_t)((x = x * 1664525 + 1013904223) >> 24);
	size = WebPEncodeLosslessRGB(pixels, 200, 150, 600, &encoded);
	assert_true(size > 70000);
	buffer_add(&noise, (char *)encoded, size);
	WebPFree(encoded);
	free(pixels);
	photo = webp_with_orientation(&noise, 200, 150, 6);
	path = data_file(photo.text, photo.length);
	assert_int_equal(image_probe(path, NULL, &info, &err), 0);
	assert_true(info.width == 150 && info.height == 200 && info.orientation == 6);
	data_remove(path);
	buffer_free(&photo);
	buffer_free(&noise);
	buffer_free(&small);
}

/* An ANMF chunk: a frame at (x, y), both even. */
static void put_frame(struct buffer *chunks, const struct buffer *file, int x, int y, int width, int height)
{
	struct buffer frame = {0};

	put_little(&frame, (uint32_t)x / 2, 3);
	put_little(&frame, (uint32_t)y / 2, 3);
	put_little(&frame, (uint32_t)width - 1, 3);
	put_little(&frame, (uint32_t)height - 1, 3);
	put_little(&frame, 100, 4); /* milliseconds, flags */
	buffer_add(&frame, file->text + 12, file->length - 12);
	put_chunk(chunks, "ANMF", frame.text, frame.length);
	buffer_free(&frame);
}

/* The first frame in its place, black around it; nothing of the second. */
static void test_webp_animation(void **state)
{
	struct buffer first = webp_encode(2, 2, 3), second = webp_encode(5, 3, 3), chunks = {0}, file;
	struct image image;
	struct image_info info;
	struct error err;

	put_chunk(&chunks, "ANIM", "\xff\xff\xff\xff\0\0", 6);
	put_frame(&chunks, &first, 2, 0, 2, 2);
	put_frame(&chunks, &second, 0, 0, 5, 3);
	file = webp_wrap(2, 5, 3, &chunks);
	if (image_decode((uint8_t *)file.text, file.length, "x.webp", NULL, &image, &info, &err) < 0)
		fail_msg("%s", err.text);
	assert_true(image.width == 5 && image.height == 3);
	for (int y = 0; y < 3; y++)
		for (int x = 0; x < 5; x++) {
			bool inside = x >= 2 && x < 4 && y < 2;

			assert_int_equal(image.rgb[(y * 5 + x) * 3 + 1], inside ? ((y * 2 + x - 2) * 3 + 1) * 7 : 0);
		}
	image_free(&image);
	buffer_free(&chunks);
	put_chunk(&chunks, "ANIM", "\xff\xff\xff\xff\0\0", 6);
	put_frame(&chunks, &first, 4, 2, 2, 2); /* reaches over the edge */
	buffer_free(&file);
	file = webp_wrap(2, 5, 3, &chunks);
	assert_int_equal(image_decode((uint8_t *)file.text, file.length, "x.webp", NULL, &image, &info, &err), -1);
	assert_int_equal(err.code, E_FORMAT);
	buffer_free(&file);
	buffer_free(&chunks);
	buffer_free(&first);
	buffer_free(&second);
}

/* Wherever it is cut, it is refused; and a canvas is judged before anything is decoded. */
static void test_webp_damaged(void **state)
{
	static const char *const names[] = {"lossy.webp", "alpha.webp", "alpha_lossy.webp", "moving.webp", "exif6.webp"};
	struct buffer small = webp_encode(5, 3, 3), chunks = {0}, huge;
	struct image image;
	struct error err;

	for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
		struct buffer file = read_picture(names[k]);

		for (size_t size = 12; size < file.length; size += size < 60 ? 1 : 37) {
			err = (struct error){0};
			assert_int_equal(image_decode((uint8_t *)file.text, size, "x.webp", NULL, &image, NULL, &err), -1);
			if (err.code != E_FORMAT || !strstr(err.text, "x.webp is damaged: "))
				fail_msg("%s cut to %zu: %s", names[k], size, err.text);
			assert_null(image.rgb);
		}
		buffer_free(&file);
	}
	buffer_add(&chunks, small.text + 12, small.length - 12);
	huge = webp_wrap(2, 16384, 16384, &chunks);
	check_refused(huge.text, huge.length, E_LIMIT, "16384×16384 pixels exceed the limit of 100 MP");
	buffer_free(&huge);
	huge = webp_wrap(0, 6, 3, &chunks);
	check_refused(huge.text, huge.length, E_FORMAT, "is damaged");
	buffer_free(&huge);
	buffer_free(&chunks);
	buffer_free(&small);
}
#endif

static void test_system_errors(void **state)
{
	char *dir = data_dir(), *missing = xasprintf("%s/no\x1bsuch", dir), *locked = xasprintf("%s/locked", dir), *pipe = xasprintf("%s/pipe", dir);
	struct image image;
	struct error err = {0};

	assert_int_equal(image_load(dir, NULL, &image, NULL, &err), -1);
	assert_non_null(strstr(err.text, "is a directory"));
	assert_int_equal(image_load(missing, NULL, &image, NULL, &err), -1);
	assert_non_null(strstr(err.text, "no\\x1Bsuch: No such file"));
	assert_int_equal(err.code, E_IO);
	assert_int_equal(mkfifo(pipe, 0600), 0);
	assert_int_equal(image_load(pipe, NULL, &image, NULL, &err), -1);
	assert_non_null(strstr(err.text, "not a regular file"));
	data_put(dir, "locked", "x", 1);
	chmod(locked, 0);
	if (geteuid() != 0) {
		assert_int_equal(image_load(locked, NULL, &image, NULL, &err), -1);
		assert_non_null(strstr(err.text, "Permission denied"));
	}
	free(missing);
	free(locked);
	free(pipe);
	data_remove_dir(dir);
}

static bool stop_at(void *ctx)
{
	return --*(int *)ctx == 0;
}

static void test_limits(void **state)
{
	struct buffer png = encode("png", 50, 40, 3);
	char *path = data_file(png.text, png.length);
	struct image_limits few = {.pixels = 1999}, enough = {.pixels = 2000}, small = {.bytes = (int64_t)png.length - 1};
	struct image image;
	struct error err;

	assert_int_equal(image_load(path, &few, &image, NULL, &err), -1);
	assert_int_equal(err.code, E_LIMIT);
	assert_int_equal(image_load(path, &small, &image, NULL, &err), -1);
	assert_int_equal(err.code, E_LIMIT);
	assert_int_equal(image_load(path, &enough, &image, NULL, &err), 0);
	image_free(&image);
	for (int when = 1; when <= 3; when++) {
		int left = when;
		struct image_limits stop = {.cancelled = stop_at, .ctx = &left};

		assert_int_equal(image_load(path, &stop, &image, NULL, &err), -1);
		assert_int_equal(err.code, E_CANCELLED);
		assert_null(image.rgb);
	}
	data_remove(path);
	buffer_free(&png);
}

/* The size of a JPEG can stand behind the head that a probe reads at first, or the head can end within any of the segments before it. */
static void test_probe_far(void **state)
{
	struct buffer jpeg = read_picture("baseline420.jpg");
	char *comment = xcalloc(1, 65533);

	for (int length = 64700; length <= 65533; length += 7) {
		char head[4] = {(char)0xff, (char)0xfe, (char)((length + 2) >> 8), (char)(length + 2)};
		struct buffer far = {0};
		struct image_info info;
		struct error err;
		char *path;

		buffer_add(&far, jpeg.text, 2);
		buffer_add(&far, head, 4);
		buffer_add(&far, comment, length);
		buffer_add(&far, jpeg.text + 2, jpeg.length - 2);
		path = data_file(far.text, far.length);
		if (image_probe(path, NULL, &info, &err) < 0)
			fail_msg("%d: %s", length, err.text);
		assert_true(info.width == 56 && info.height == 40 && info.channels == 3);
		assert_string_equal(info.format, "jpeg");
		data_remove(path);
		buffer_free(&far);
	}
	buffer_free(&jpeg);
	free(comment);
}

static void test_scale(void **state)
{
	uint8_t rgb[4 * 2 * 3] = {0, 0, 0, 100, 0, 0, 20, 0, 0, 40, 0, 0, 200, 0, 0, 100, 0, 0, 60, 0, 0, 80, 0, 255};
	struct image image = {4, 2, rgb}, out = image_scale(&image, 2, 9);

	assert_true(out.width == 2 && out.height == 1);
	assert_int_equal(out.rgb[0], 100);
	assert_int_equal(out.rgb[3], 50);
	assert_in_range(out.rgb[5], 63, 64);
	image_free(&out);
	out = image_scale(&image, 100, 100);
	assert_true(out.width == 4 && out.height == 2);
	assert_memory_equal(out.rgb, rgb, sizeof rgb);
	image_free(&out);
	out = image_fit(&image, 3, RESAMPLE_LANCZOS);
	assert_true(out.width == 3 && out.height == 2);
	image_free(&out);
	image_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_lossless),
		cmocka_unit_test(test_other_formats),
		cmocka_unit_test(test_16_bits),
		cmocka_unit_test(test_orientation),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_system_errors),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_probe_far),
		cmocka_unit_test(test_scale),
#if VRAMBLE_WEBP
		cmocka_unit_test(test_webp),
		cmocka_unit_test(test_webp_orientation),
		cmocka_unit_test(test_webp_animation),
		cmocka_unit_test(test_webp_damaged),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
