/* golden_preprocess.c - pictures to tensors against what Pillow made of them. See golden.h.
 *
 * A picture that was decoded to the recorded bytes must come out as the recorded bytes. Only JPEGs may be decoded to other bytes (decoders round differently);
 * then the outcome is judged with a tolerance, which the line says.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/image.h"
#include "core/mem.h"
#include "models/json.h"
#include "models/preprocess.h"
#include "tests/golden/golden.h"

enum { JPEG_LEVELS = 4 };            /* a value of a JPEG may be off by so many of 255 levels */
static const double jpeg_mean = 0.5; /* … and all values by this much on average */

struct picture {
	struct image image;
	struct image_info info;
	bool jpeg, exact; /* exact: decoded to the recorded bytes; when none are recorded, no JPEG */
};

/* CRC-32 as zlib and PNG have it (reflected, polynomial 0xEDB88320) */
static uint32_t crc32_of(const uint8_t *data, size_t size)
{
	uint32_t crc = 0xffffffff;

	for (size_t i = 0; i < size; i++) {
		crc ^= data[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320 : 0);
	}
	return ~crc;
}

static size_t image_bytes(const struct image *image)
{
	return (size_t)image->width * (size_t)image->height * 3;
}

/* Does the image have the recorded "…crc32" or "…fnv1a64" under one of these keys? True when neither is there. */
static bool bytes_match(const struct image *image, const json_t *node, const char *crc_key, const char *fnv_key)
{
	const json_t *crc = json_object_get(node, crc_key);
	const char *fnv = json_string_value(json_object_get(node, fnv_key));

	if (json_is_integer(crc))
		return json_integer_value(crc) == crc32_of(image->rgb, image_bytes(image));
	return !fnv || strtoull(fnv, NULL, 16) == synth_hash_bytes(image->rgb, image_bytes(image));
}

static int picture_load(struct golden *g, const json_t *node, const char *file, struct picture *out, struct error *err)
{
	const struct image_limits as_stored = {.as_stored = true}; /* the references ignore EXIF orientation */
	char *path = golden_file(g, file);
	int rc = image_load(path, &as_stored, &out->image, &out->info, err);
	bool recorded;

	free(path);
	if (rc < 0)
		return -1;
	out->jpeg = strcmp(out->info.format, "jpeg") == 0;
	recorded = json_object_get(node, "decoded_rgb_crc32") || json_object_get(node, "decoded_rgb_fnv1a64");
	out->exact = (recorded || !out->jpeg) && bytes_match(&out->image, node, "decoded_rgb_crc32", "decoded_rgb_fnv1a64");
	return 0;
}

/* values[k] is value k * stride of a recorded list; how far ours are off in 255ths, at most and on average; NAN when the list does not fit. */
struct distance {
	double most, mean;
};

static struct distance distance_of(const json_t *node, const struct pixels *got, const float *deviation)
{
	const json_t *values = json_object_get(node, "values"), *value;
	size_t stride = (size_t)json_integer_value(json_object_get(node, "stride")), plane = (size_t)got->height * (size_t)got->width, i;
	struct distance d = {0};

	if (json_array_size(values) == 0 || (json_array_size(values) - 1) * stride >= 3 * plane)
		return (struct distance){NAN, NAN};
	json_array_foreach(values, i, value) {
		size_t at = i * stride;
		double off = fabs(got->data[at] - json_number_value(value)) * deviation[at / plane] * 255;

		d.most = fmax(d.most, off);
		d.mean += off / (double)json_array_size(values);
	}
	return d;
}

static void judge_jpeg(struct golden_case *c, const json_t *expected, const struct pixels *got, const struct preprocess *p)
{
	struct distance d = distance_of(expected, got, p->deviation);

	c->compared++;
	c->worst = d.most / 255;
	golden_note(c, "JPEG: decoders differ, off by at most %.0f levels, %.2f on average", d.most, d.mean);
	if (!(d.most <= JPEG_LEVELS && d.mean <= jpeg_mean))
		golden_miss(c, "off by %.1f of 255 levels (%.2f on average); %d (%.1f) are allowed for a JPEG", d.most, d.mean, JPEG_LEVELS,
			    jpeg_mean);
}

/* expected: the tensor; u8: what is recorded of the 8-bit picture before it. */
static void judge(struct golden_case *c, const struct picture *picture, const struct preprocess *p, const json_t *expected, const json_t *u8)
{
	struct image pixels = {0};
	struct pixels tensor = {0};
	struct error err = {0};

	if (preprocess_pixels(p, &picture->image, &pixels, &err) < 0 || preprocess_run(p, &picture->image, &tensor, &err) < 0) {
		golden_miss(c, "%s", err.text);
	} else if (picture->jpeg && !picture->exact) {
		judge_jpeg(c, expected, &tensor, p);
	} else {
		if (!picture->exact)
			golden_miss(c, "the file is decoded to other bytes than recorded");
		if (!bytes_match(&pixels, u8, "crc32", "fnv1a64"))
			golden_miss(c, "the 8-bit picture is not the recorded one, byte for byte");
		golden_compare(c, GOLDEN_VALUES, expected, "values", tensor.data, 3 * (size_t)tensor.height * (size_t)tensor.width);
	}
	image_free(&pixels);
	free(tensor.data);
}

/* The recorded tensor's side, if it is [3, side, side]; else -1. */
static int side_of(const json_t *expected)
{
	int64_t shape[TT_MAX_DIMS], count;
	int ndim;

	if (golden_shape(expected, shape, &ndim, &count, NULL) < 0 || ndim != 3 || shape[0] != 3 || shape[1] != shape[2] ||
	    shape[1] > PREPROCESS_MAX_SIZE)
		return -1;
	return (int)shape[1];
}

static void name_case(char *name, size_t size, const char *file, const char *way)
{
	const char *slash = strrchr(file, '/');

	snprintf(name, size, "%s %s", slash ? slash + 1 : file, way);
}

/* ---- CLIP and BLIP: a list of images, each through one or more ways ---- */

static const struct way {
	const char *key;
	enum preprocess_kind kind;
	bool openai;
} ways[] = {
	{"hf", PREPROCESS_CLIP, false},
	{"openai", PREPROCESS_CLIP, true},
	{"salesforce", PREPROCESS_BLIP, false},
};

static bool images_claim(const json_t *root)
{
	const json_t *first = json_array_get(json_object_get(root, "images"), 0);

	for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++)
		if (json_is_object(json_object_get(first, ways[i].key)))
			return true;
	return false;
}

/* Why a recorded result is not ours to equal, or NULL. */
static const char *excuse(const json_t *node, const struct picture *picture, const struct way *way)
{
	const char *mode = json_string_value(json_object_get(node, "pil_mode"));

	if (picture->info.bits == 16 && picture->info.channels == 1)
		return "the reference clips 16-bit grey to white; the high byte is kept here";
	if (way->openai && mode && strcmp(mode, "RGB") != 0 && strcmp(mode, "L") != 0)
		return "OpenAI's order resizes palette and alpha before it makes RGB; here RGB comes first";
	return NULL;
}

static int run_way(struct golden *g, const json_t *node, const char *file, const struct picture *picture, const struct way *way, struct error *err)
{
	const json_t *expected = json_object_get(node, way->key);
	const char *why = excuse(node, picture, way);
	struct preprocess p = preprocess_default(way->kind);
	int side = side_of(expected);
	struct golden_case c;
	char name[96];

	if (side < 0)
		return fail(err, E_FORMAT, "%s %s: \"shape\" is not [3, n, n]", file, way->key);
	name_case(name, sizeof name, file, way->key);
	if (why) {
		golden_skip(g, name, why);
		return 0;
	}
	preprocess_set_size(&p, side);
	p.openai_crop = way->openai;
	c = golden_begin(g, name);
	judge(&c, picture, &p, expected, json_object_get(expected, "u8_hwc"));
	golden_end(&c);
	return 0;
}

static int run_image(struct golden *g, const json_t *node, struct error *err)
{
	const char *file = json_string_value(json_object_get(node, "file"));
	struct picture picture = {0};
	int rc = 0;

	if (!file)
		return fail(err, E_FORMAT, "an image has no \"file\"");
	if (picture_load(g, node, file, &picture, err) < 0)
		return -1;
	for (size_t i = 0; rc == 0 && i < sizeof ways / sizeof ways[0]; i++)
		if (json_object_get(node, ways[i].key))
			rc = run_way(g, node, file, &picture, &ways[i], err);
	image_free(&picture.image);
	return rc;
}

static int images_run(struct golden *g, struct error *err)
{
	const json_t *images = golden_array(g, "images", err), *node;
	int rc = images ? 0 : -1;
	size_t i;

	json_array_foreach(images, i, node)
		if (rc == 0)
			rc = run_image(g, node, err);
	return rc;
}

const struct golden_kind golden_clip_preprocess = {"CLIP and BLIP preprocessing", images_claim, images_run};

/* ---- OFA: a list of cases, each with its own size, mean and deviation ---- */

static bool ofa_claims(const json_t *root)
{
	return json_is_object(json_object_get(json_array_get(json_object_get(root, "cases"), 0), "patch_image"));
}

static int read_three(const json_t *node, const char *key, float out[3], struct error *err)
{
	const json_t *list = json_object_get(node, key);

	for (size_t i = 0; i < 3; i++) {
		if (!json_is_number(json_array_get(list, i)))
			return fail(err, E_FORMAT, "\"%s\" is not a list of three numbers", key);
		out[i] = (float)json_number_value(json_array_get(list, i));
	}
	return 0;
}

static int ofa_case(struct golden *g, const json_t *node, struct error *err)
{
	const json_t *expected = json_object_get(node, "patch_image");
	const char *file = json_string_value(json_object_get(node, "image"));
	struct preprocess p = preprocess_default(PREPROCESS_OFA);
	struct picture picture = {0};
	struct golden_case c;
	char name[96], way[16];
	int side = side_of(expected);

	if (!file || side < 0)
		return fail(err, E_FORMAT, "a case has no \"image\", or no \"patch_image\" of shape [3, n, n]");
	if (read_three(node, "mean", p.mean, err) < 0 || read_three(node, "std", p.deviation, err) < 0 ||
	    picture_load(g, node, file, &picture, err) < 0)
		return -1;
	preprocess_set_size(&p, side);
	snprintf(way, sizeof way, "%d", side);
	name_case(name, sizeof name, file, way);
	c = golden_begin(g, name);
	judge(&c, &picture, &p, expected, json_object_get(node, "resized_rgb_u8"));
	golden_end(&c);
	image_free(&picture.image);
	return 0;
}

static int ofa_run(struct golden *g, struct error *err)
{
	const json_t *cases = golden_array(g, "cases", err), *node;
	int rc = cases ? 0 : -1;
	size_t i;

	json_array_foreach(cases, i, node)
		if (rc == 0)
			rc = ofa_case(g, node, err);
	return rc;
}

const struct golden_kind golden_ofa_preprocess = {"OFA preprocessing", ofa_claims, ofa_run};
