/* image_format.c - see image_format.h. */
#include "core/image_format.h"

#include <string.h>
#include <strings.h>

enum { JPEG, PNG, BMP, GIF, WEBP, AVIF, HEIC, HEIF, JXL, TIFF, JP2, PHOTOSHOP, RADIANCE, PNM, TGA, SVG, PDF };

#define BY_HAND " is not read; convert it to JPEG or PNG, for example with: "

static const struct image_format formats[] = {
	[JPEG] = {"jpg jpeg jpe", "jpeg", NULL},
	[PNG] = {"png", "png", NULL},
	[BMP] = {"bmp", "bmp", NULL},
	[GIF] = {"gif", "gif", NULL},
#if VRAMBLE_WEBP
	[WEBP] = {"webp", "webp", NULL},
#else
	[WEBP] = {"webp", NULL, "WebP is not read: this program was built without libwebp; convert it, for example with: dwebp a.webp -o a.png"},
#endif
	[AVIF] = {"avif avifs", NULL, "AVIF" BY_HAND "avifdec a.avif a.png (libavif-bin)"},
	[HEIC] = {"heic heics", NULL, "HEIC" BY_HAND "heif-convert a.heic a.jpg (libheif-examples)"},
	[HEIF] = {"heif hif", NULL, "HEIF" BY_HAND "heif-convert a.heif a.jpg (libheif-examples)"},
	[JXL] = {"jxl", NULL, "JPEG XL" BY_HAND "djxl a.jxl a.png (libjxl-tools)"},
	[TIFF] = {"tif tiff", NULL, "TIFF" BY_HAND "convert a.tif a.png (imagemagick)"},
	[JP2] = {"jp2", NULL, "JPEG 2000" BY_HAND "opj_decompress -i a.jp2 -o a.png (libopenjp2-tools)"},
	[PHOTOSHOP] = {"psd", NULL, "Photoshop" BY_HAND "convert 'a.psd[0]' a.png (imagemagick)"},
	[RADIANCE] = {"hdr pic", NULL, "Radiance HDR" BY_HAND "convert a.hdr a.png (imagemagick)"},
	[PNM] = {"pbm pgm ppm pnm", NULL, "PNM" BY_HAND "pnmtopng a.ppm > a.png (netpbm)"},
	[TGA] = {"tga", NULL, "TGA" BY_HAND "convert a.tga a.png (imagemagick)"},
	[SVG] = {"svg", NULL, "SVG" BY_HAND "rsvg-convert a.svg -o a.png (librsvg2-bin)"},
	[PDF] = {"", NULL, "PDF" BY_HAND "pdftoppm -png a.pdf a (poppler-utils)"},
};

static const struct {
	const char *magic;
	int at, length, format;
} beginnings[] = {
	{"\xff\xd8\xff", 0, 3, JPEG},
	{"\x89PNG\r\n\x1a\n", 0, 8, PNG},
	{"BM", 0, 2, BMP},
	{"GIF8", 0, 4, GIF},
	{"WEBP", 8, 4, WEBP},
	{"II*\0", 0, 4, TIFF},
	{"MM\0*", 0, 4, TIFF},
	{"ftypavi", 4, 7, AVIF}, /* avif, avis */
	{"ftyphei", 4, 7, HEIC}, /* heic, heix, heim, heis */
	{"ftyphev", 4, 7, HEIC},
	{"ftypmif1", 4, 8, HEIF},
	{"ftypmsf1", 4, 8, HEIF},
	{"\xff\x0a", 0, 2, JXL},
	{"\0\0\0\x0cJXL \r\n", 0, 10, JXL},
	{"\0\0\0\x0cjP  \r\n", 0, 10, JP2},
	{"8BPS", 0, 4, PHOTOSHOP},
	{"#?RADIANCE", 0, 10, RADIANCE},
	{"P5", 0, 2, PNM},
	{"P6", 0, 2, PNM},
	{"<svg", 0, 4, SVG},
	{"%PDF", 0, 4, PDF},
};

/* Is the word of that length among those in list? */
static int listed(const char *list, const char *word, size_t length)
{
	while (*list) {
		size_t n = strcspn(list, " ");

		if (n == length && strncasecmp(list, word, n) == 0)
			return 1;
		list += n + (list[n] == ' ');
	}
	return 0;
}

const struct image_format *image_format_of_name(const char *name)
{
	const char *dot = strrchr(name, '.');

	if (!dot || dot == name)
		return NULL;
	for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
		if (listed(formats[i].extensions, dot + 1, strlen(dot + 1)))
			return &formats[i];
	return NULL;
}

const struct image_format *image_format_of_bytes(const uint8_t *data, size_t size)
{
	for (size_t i = 0; i < sizeof beginnings / sizeof *beginnings; i++)
		if (size >= (size_t)(beginnings[i].at + beginnings[i].length) &&
		    memcmp(data + beginnings[i].at, beginnings[i].magic, (size_t)beginnings[i].length) == 0)
			return &formats[beginnings[i].format];
	return NULL;
}
