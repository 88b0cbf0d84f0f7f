/* test_preprocess.c - preprocessing against recorded Pillow results; every configuration form. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "models/preprocess.h"
#include "tests/support/data.h"

#include <cmocka.h> /* last: it defines fail() */

static struct image load(const char *folder, const char *file)
{
	char *path = xasprintf("tests/golden/%s/%s", folder, file);
	struct image_limits limits = {.as_stored = strcmp(folder, "clip") == 0}; /* CLIP's reference ignores EXIF */
	struct image image;
	struct error err;

	if (image_load(path, &limits, &image, NULL, &err) < 0)
		fail_msg("%s", err.text);
	free(path);
	return image;
}

static long integer(const json_t *object, const char *key)
{
	return (long)json_integer_value(json_object_get(object, key));
}

static size_t bytes_of(const struct image *image)
{
	return (size_t)image->width * image->height * 3;
}

/* Largest distance to the recorded values, which stand for every stride-th value. */
static double distance(const json_t *record, const float *data, size_t n)
{
	const json_t *values = json_object_get(record, "values");
	size_t stride = integer(record, "stride");
	double worst = 0;

	assert_true(json_array_size(values) > 10);
	for (size_t i = 0; i < json_array_size(values); i++) {
		assert_true(i * stride < n);
		worst = fmax(worst, fabs(data[i * stride] - json_number_value(json_array_get(values, i))));
	}
	return worst;
}

static void check_float(const struct preprocess *p, const struct image *image, const json_t *record, double tolerance)
{
	struct pixels out;
	struct error err;
	double worst;

	assert_int_equal(preprocess_run(p, image, &out, &err), 0);
	assert_int_equal(out.height, json_integer_value(json_array_get(json_object_get(record, "shape"), 1)));
	assert_int_equal(out.width, json_integer_value(json_array_get(json_object_get(record, "shape"), 2)));
	worst = distance(record, out.data, (size_t)out.width * out.height * 3);
	if (worst > tolerance)
		fail_msg("off by %g", worst);
	free(out.data);
}

static void check_plan(const struct preprocess *p, const struct image *image, const json_t *c, const char *crop_key)
{
	const json_t *resized = json_object_get(c, "resized_wh"), *crop = json_object_get(c, crop_key);
	struct preprocess_plan plan;
	struct error err;

	assert_int_equal(preprocess_plan(p, image->width, image->height, &plan, &err), 0);
	assert_int_equal(plan.width, json_integer_value(json_array_get(resized, 0)));
	assert_int_equal(plan.height, json_integer_value(json_array_get(resized, 1)));
	assert_int_equal(plan.window.left, json_integer_value(json_array_get(crop, 0)));
	assert_int_equal(plan.window.top, json_integer_value(json_array_get(crop, 1)));
}

/* exact: the bytes must agree; otherwise (JPEG decoders differ by a few levels) the floats must be near. */
static void check_clip(const struct preprocess *p, const struct image *image, const json_t *record, bool exact)
{
	struct image out;
	struct error err;

	assert_int_equal(preprocess_pixels(p, image, &out, &err), 0);
	if (exact)
		assert_int_equal(data_crc32(out.rgb, bytes_of(&out)), integer(json_object_get(record, "u8_hwc"), "crc32"));
	image_free(&out);
	/* One level is about 0.015. */
	check_float(p, image, record, exact ? 2e-6 : 0.1);
}

static void test_clip(void **state)
{
	json_t *golden = data_golden("clip/preprocess.json"), *c;
	struct preprocess hf = preprocess_default(PREPROCESS_CLIP), openai = hf;
	size_t i;
	int exact = 0, both = 0;

	openai.openai_crop = true;
	json_array_foreach(json_object_get(golden, "images"), i, c) {
		const char *file = json_string_value(json_object_get(c, "file")), *mode = json_string_value(json_object_get(c, "pil_mode"));
		bool jpeg = strstr(file, ".jpg");
		struct image image;

		if (strcmp(mode, "I") == 0)
			continue; /* 16-bit grey: Pillow 9 turns it white, we keep the high byte */
		image = load("clip", file);
		if (!jpeg)
			assert_int_equal(data_crc32(image.rgb, bytes_of(&image)), integer(c, "decoded_rgb_crc32"));
		check_plan(&hf, &image, c, "crop_left_top_hf");
		check_plan(&openai, &image, c, "crop_left_top_openai");
		check_clip(&hf, &image, json_object_get(c, "hf"), !jpeg);
		exact += !jpeg;
		/* OpenAI resizes before dropping alpha or the palette; we drop first, as Hugging Face does. */
		if (strcmp(mode, "RGB") == 0 || strcmp(mode, "L") == 0) {
			check_clip(&openai, &image, json_object_get(c, "openai"), !jpeg);
			both++;
		}
		image_free(&image);
	}
	assert_int_equal(exact, 12);
	assert_int_equal(both, 11);
	json_decref(golden);
}

static void test_blip(void **state)
{
	json_t *golden = data_golden("blip/preprocess.json"), *c;
	struct preprocess p = preprocess_default(PREPROCESS_BLIP);
	size_t i;

	json_array_foreach(json_object_get(golden, "images"), i, c) {
		const char *file = json_string_value(json_object_get(c, "file"));
		struct image image;

		if (strstr(file, "gray16"))
			continue;
		image = load("clip", strstr(file, "images/"));
		check_clip(&p, &image, json_object_get(c, "salesforce"), !strstr(file, ".jpg"));
		image_free(&image);
	}
	assert_int_equal(i, 15);
	json_decref(golden);
}

static uint64_t recorded_hash(const json_t *object, const char *key)
{
	return strtoull(json_string_value(json_object_get(object, key)), NULL, 16);
}

static void test_ofa(void **state)
{
	json_t *golden = data_golden("ofa/preprocess.json"), *c;
	size_t i;

	json_array_foreach(json_object_get(golden, "cases"), i, c) {
		struct image image = load("ofa", json_string_value(json_object_get(c, "image"))), out;
		struct preprocess p = preprocess_default(PREPROCESS_OFA);
		struct error err;

		preprocess_set_size(&p, (int)integer(c, "size"));
		for (int k = 0; k < 3; k++) {
			p.mean[k] = (float)json_number_value(json_array_get(json_object_get(c, "mean"), k));
			p.deviation[k] = (float)json_number_value(json_array_get(json_object_get(c, "std"), k));
		}
		assert_true(data_fnv1a64(image.rgb, bytes_of(&image)) == recorded_hash(c, "decoded_rgb_fnv1a64"));
		assert_int_equal(preprocess_pixels(&p, &image, &out, &err), 0);
		assert_true(data_fnv1a64(out.rgb, bytes_of(&out)) == recorded_hash(json_object_get(c, "resized_rgb_u8"), "fnv1a64"));
		check_float(&p, &image, json_object_get(c, "patch_image"), 2e-6);
		image_free(&out);
		image_free(&image);
	}
	assert_int_equal(i, 8);
	json_decref(golden);
}

static struct preprocess read_config(enum preprocess_kind kind, const char *name, const char *text)
{
	char *dir = data_dir();
	struct preprocess p;
	struct error err = {0};

	if (name)
		data_put(dir, name, text, strlen(text));
	if (preprocess_load(dir, kind, &p, &err) < 0)
		fail_msg("%s", err.text);
	data_remove_dir(dir);
	return p;
}

static void test_config_huggingface(void **state)
{
	struct preprocess p = read_config(PREPROCESS_CLIP, "preprocessor_config.json", "{\"size\": 336, \"crop_size\": 300, \"resample\": 2}");

	assert_true(p.crop && !p.squash && !p.openai_crop);
	assert_int_equal(p.edge, 336);
	assert_int_equal(p.crop_height, 300);
	assert_int_equal(p.filter, RESAMPLE_BILINEAR);
	preprocess_set_size(&p, 150);
	assert_int_equal(p.edge, 168);
	p = read_config(PREPROCESS_CLIP, "preprocessor_config.json",
			"{\"size\": {\"shortest_edge\": 240}, \"crop_size\": {\"height\": 230, \"width\": 220}, \"do_normalize\": false, "
			"\"do_rescale\": false}");
	assert_int_equal(p.edge, 240);
	assert_int_equal(p.crop_height, 230);
	assert_int_equal(p.crop_width, 220);
	assert_true(p.scale == 1.0 && p.deviation[1] == 1.0f && p.mean[2] == 0.0f);
	p = read_config(PREPROCESS_BLIP, "preprocessor_config.json", "{\"size\": {\"height\": 30, \"width\": 20}, \"image_mean\": [0.1, 0.2, 0.3]}");
	assert_true(p.squash && p.width == 20 && p.height == 30 && p.mean[2] == 0.3f);
	p = read_config(PREPROCESS_CLIP, NULL, NULL);
	assert_int_equal(p.edge, 224);
}

static void test_config_others(void **state)
{
	struct preprocess p =
		read_config(PREPROCESS_OFA, "configuration.json",
			    "{\"task\": \"image-captioning\", \"model\": {\"patch_image_size\": 384, \"imagenet_default_mean_and_std\": true}}");

	assert_true(p.squash && p.width == 384 && p.height == 384 && p.mean[0] == 0.485f);
	p = read_config(PREPROCESS_OFA, NULL, NULL);
	assert_true(p.width == 480 && p.mean[0] == 0.5f);
	p = read_config(
		PREPROCESS_CLIP, "open_clip_config.json",
		"{\"model_cfg\": {\"vision_cfg\": {\"image_size\": 256}}, \"preprocess_cfg\": {\"mean\": [0, 0, 0], \"resize_mode\": \"squash\"}}");
	assert_true(p.squash && p.width == 256 && p.openai_crop && p.mean[0] == 0.0f);
}

/* The class that a file names has the say over the model's own, and newer folders hold all of a processor in one file. */
static void test_config_class(void **state)
{
	struct error err = {0};
	struct preprocess p =
		read_config(PREPROCESS_CLIP, "preprocessor_config.json", "{\"feature_extractor_type\": \"ViTFeatureExtractor\", \"size\": 30}");

	assert_true(p.squash && !p.crop && p.width == 30 && p.height == 30 && p.mean[0] == 0.5f);
	assert_int_equal(p.filter, RESAMPLE_BILINEAR);
	p = read_config(
		PREPROCESS_SIGLIP, "processor_config.json",
		"{\"image_processor\": {\"image_processor_type\": \"CLIPImageProcessorFast\", \"crop_size\": 36, \"size\": {\"shortest_edge\": 40}, "
		"\"image_std\": 0.25}, \"processor_class\": \"SiglipProcessor\"}");
	assert_true(p.crop && !p.squash && p.edge == 40 && p.crop_width == 36 && p.deviation[2] == 0.25f);
	assert_int_equal(preprocess_fit(&p, "folder", 36, &err), 0);
	assert_int_equal(p.edge, 40);
	assert_int_equal(preprocess_fit(&p, "folder", 40, &err), -1);
	assert_non_null(strstr(err.text, "36x36 pixels, config.json's image_size is 40"));
	p = read_config(PREPROCESS_SIGLIP, "processor_config.json", "{\"processor_class\": \"SiglipProcessor\"}");
	assert_int_equal(preprocess_fit(&p, "folder", 40, &err), 0);
	assert_true(p.width == 40 && p.height == 40);
	/* What its class does not read a file may say all the same. */
	p = read_config(PREPROCESS_BLIP, "preprocessor_config.json",
			"{\"image_processor_type\": \"BlipImageProcessor\", \"do_pad\": true, \"size_divisor\": 32, \"do_center_crop\": true, "
			"\"crop_size\": 30, \"size\": {\"height\": 384, \"width\": 384}}");
	assert_true(p.squash && !p.crop && p.width == 384 && p.height == 384);
	assert_int_equal(preprocess_fit(&p, "folder", 384, &err), 0);
}

static void check_refused(enum preprocess_kind kind, const char *text, const char *complaint)
{
	char *path = data_file(text, strlen(text));
	struct preprocess p;
	struct error err = {0};

	assert_int_equal(preprocess_read(path, kind, &p, &err), -1);
	if (!strstr(err.text, complaint))
		fail_msg("\"%s\" does not say \"%s\"", err.text, complaint);
	data_remove(path);
}

static void test_config_refused(void **state)
{
	check_refused(PREPROCESS_CLIP, "{\"size\": 0}", "\"size\" is 0");
	check_refused(PREPROCESS_CLIP, "{\"size\": \"224\"}", "\"size\" is a text");
	check_refused(PREPROCESS_CLIP, "{\"size\": {\"height\": 224}}", "\"size.width\" is missing");
	check_refused(PREPROCESS_CLIP, "{\"image_std\": [1, 0, 1]}", "image_std");
	check_refused(PREPROCESS_CLIP, "{\"image_std\": [1, 1]}", "3 numbers");
	check_refused(PREPROCESS_CLIP, "{\"do_center_crop\": false}", "different shapes");
	check_refused(PREPROCESS_CLIP, "{\"preprocess_cfg\": {\"resize_mode\": \"longest\"}}", "longest");
	check_refused(PREPROCESS_CLIP, "{\"preprocess_cfg\": {\"mode\": \"L\"}}", "mode \"L\"");
	check_refused(PREPROCESS_CLIP, "{\"crop_size\": {\"shortest_edge\": 224}}", "\"crop_size.width\" is missing");
	check_refused(PREPROCESS_CLIP, "{\"image_processor_type\": \"DonutImageProcessor\"}", "\"image_processor_type\": \"DonutImageProcessor\"");
	check_refused(PREPROCESS_BLIP, "{\"size\": {\"shortest_edge\": 384}}", "\"size.width\" is missing");
	check_refused(PREPROCESS_CLIP, "{", "line 1");
}

/* A crop larger than the picture lies on black, in the middle: at 12 of 23 spare rows for Hugging Face, at 11 for torchvision. */
static void test_padding(void **state)
{
	struct preprocess p = preprocess_default(PREPROCESS_CLIP);
	struct image grey = {201, 201, xmalloc(201 * 201 * 3)}, out;
	struct error err;

	memset(grey.rgb, 77, 201 * 201 * 3);
	p.edge = 201;
	for (int openai = 0; openai < 2; openai++) {
		int first = openai ? 11 : 12;

		p.openai_crop = openai;
		assert_int_equal(preprocess_pixels(&p, &grey, &out, &err), 0);
		assert_int_equal(out.width, 224);
		assert_int_equal(out.rgb[((first - 1) * 224 + 100) * 3], 0);
		assert_int_equal(out.rgb[(first * 224 + first) * 3], 77);
		assert_int_equal(out.rgb[((first + 200) * 224 + first + 200) * 3], 77);
		assert_int_equal(out.rgb[((first + 201) * 224 + 100) * 3], 0);
		image_free(&out);
	}
	image_free(&grey);
}

static void test_elongated(void **state)
{
	struct preprocess p = preprocess_default(PREPROCESS_CLIP);
	struct preprocess_plan plan;
	struct error err;

	assert_int_equal(preprocess_plan(&p, 100000000, 1, &plan, &err), -1);
	assert_int_equal(err.code, E_LIMIT);
	assert_int_equal(preprocess_plan(&p, 70000, 1, &plan, &err), 0);
	assert_int_equal(plan.width, 70000 * 224);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clip),
		cmocka_unit_test(test_blip),
		cmocka_unit_test(test_ofa),
		cmocka_unit_test(test_config_huggingface),
		cmocka_unit_test(test_config_others),
		cmocka_unit_test(test_config_class),
		cmocka_unit_test(test_config_refused),
		cmocka_unit_test(test_padding),
		cmocka_unit_test(test_elongated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
