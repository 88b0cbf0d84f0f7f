/* fuzz_json.c - JSON configuration files of any content: parsing, typed getters, preprocessing settings. */
#include "core/mem.h"
#include "models/json.h"
#include "models/preprocess.h"
#include "tests/support/fuzz.h"

#include <stdlib.h>

static const struct fuzz_seed seeds[] = {
	FUZZ_TEXT("{\"size\": {\"shortest_edge\": 224}, \"crop_size\": {\"height\": 224, \"width\": 224}, \"resample\": 3, \"do_normalize\": true,"
		  " \"rescale_factor\": 0.00392156862745098, \"image_mean\": [0.5, 0.5, 0.5], \"image_std\": [0.5, 0.25, 1e-3]}"),
	FUZZ_TEXT("{\"model\": {\"patch_image_size\": 480, \"imagenet_default_mean_and_std\": false}, \"task\": \"image-captioning\"}"),
	FUZZ_TEXT("{\"model_cfg\": {\"vision_cfg\": {\"image_size\": 32}}, \"preprocess_cfg\": {\"resize_mode\": \"shortest\", \"std\": [1, 2, 3]}}"),
	FUZZ_TEXT("{\"a\": [1, -2.5e3, null, true], \"b\": {\"c\": \"\\u00e9\\u0000\"}, \"size\": 30, \"crop_size\": 20}"),
};

static void check_preprocess(const char *path, enum preprocess_kind kind)
{
	uint8_t rgb[7 * 5 * 3] = {1, 2, 3};
	struct image image = {7, 5, rgb};
	struct preprocess p;
	struct pixels out;
	struct error err;

	if (preprocess_read(path, kind, &p, &err) < 0)
		return;
	/* Whatever was accepted must work; large sizes only take time and memory. */
	fuzz_limit(0);
	if (p.crop_width <= 512 && p.crop_height <= 512 && p.width <= 512 && p.height <= 512 && p.edge <= 512 &&
	    preprocess_run(&p, &image, &out, &err) == 0)
		free(out.data);
}

static void run(const uint8_t *bytes, size_t size)
{
	const char *path = fuzz_file("config.json", bytes, size);
	struct error err;
	json_t *root = json_read(path, JSON_LIMIT, &err);
	struct json_reader r = {.file = path, .err = &err};
	float three[3];

	json_int(&r, root, "size", JSON_NEEDED, 0, 10);
	json_int(&r, root, "b.c", 3, -5, 5);
	json_number(&r, root, "a", 0);
	json_flag(&r, root, "b.c.d", false);
	json_text(&r, root, "b.c", NULL);
	json_floats(&r, root, "image_mean", three, 3);
	json_decref(root);
	for (int kind = PREPROCESS_CLIP; kind <= PREPROCESS_SIGLIP; kind++)
		check_preprocess(path, kind);
}

int main(int argc, char **argv)
{
	return fuzz_main(argc, argv, seeds, sizeof seeds / sizeof *seeds, run);
}
