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
		{"baseline420.jpg", 56, 40, {121.89, 127.52, 129.20}}, {"bits.bmp", 56, 40, {125.68, 125.68, 125.68}},
		{"bits.png", 56, 40, {125.68, 125.68, 125.68}},        {"cmyk.jpg", 56, 40, {121.75, 127.53, 129.01}},
		{"exif6_444.jpg", 40, 56, {121.64, 127.74, 129.12}},   {"grey.jpg", 56, 40, {126.08, 126.08, 126.08}},
		{"grey16.png", 56, 40, {121.73, 121.73, 121.73}},      {"palette.bmp", 56, 40, {120.82, 127.51, 128.82}},
		{"palette.gif", 56, 40, {120.82, 127.51, 128.82}},     {"palette.png", 56, 40, {120.82, 127.51, 128.82}},
		{"progressive.jpg", 56, 40, {121.54, 127.72, 128.99}}, {"rgb.bmp", 56, 40, {121.73, 127.58, 129.04}},
		{"rgba.png", 56, 40, {121.73, 127.58, 129.04}},        {"transparent.png", 56, 40, {120.82, 127.51, 128.82}},
	};

	for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
		struct buffer file = read_picture(kinds[k].name);
		double tolerance = strstr(kinds[k].name, ".jpg") ? 1.0 : 0.006;
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
	check_refused("RIFF\0\0\0\0WEBPVP8 ", 16, E_FORMAT, "WebP");
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
		cmocka_unit_test(test_kinds),         cmocka_unit_test(test_lossless),    cmocka_unit_test(test_other_formats),
		cmocka_unit_test(test_16_bits),       cmocka_unit_test(test_orientation), cmocka_unit_test(test_refused),
		cmocka_unit_test(test_system_errors), cmocka_unit_test(test_limits),      cmocka_unit_test(test_probe_far),
		cmocka_unit_test(test_scale),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
