/* preprocess.c - see preprocess.h. */
#include "models/preprocess.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/mem.h"
#include "models/json.h"

#define CLIP_MEAN                                    \
	{                                            \
		0.48145466f, 0.4578275f, 0.40821073f \
	}
#define CLIP_DEVIATION                                \
	{                                             \
		0.26862954f, 0.26130258f, 0.27577711f \
	}
#define HALF                     \
	{                        \
		0.5f, 0.5f, 0.5f \
	}
#define IMAGENET_MEAN                  \
	{                              \
		0.485f, 0.456f, 0.406f \
	}
#define IMAGENET_DEVIATION             \
	{                              \
		0.229f, 0.224f, 0.225f \
	}

static const struct preprocess defaults[] = {
	[PREPROCESS_CLIP] =
		{.resize = true, .crop = true, .edge = 224, .crop_width = 224, .crop_height = 224, .mean = CLIP_MEAN, .deviation = CLIP_DEVIATION},
	[PREPROCESS_OFA] = {.resize = true, .squash = true, .width = 480, .height = 480, .mean = HALF, .deviation = HALF},
	[PREPROCESS_BLIP] = {.resize = true, .squash = true, .width = 384, .height = 384, .mean = CLIP_MEAN, .deviation = CLIP_DEVIATION},
	[PREPROCESS_VIT] = {.resize = true, .squash = true, .width = 224, .height = 224, .mean = HALF, .deviation = HALF},
	[PREPROCESS_SIGLIP] = {.resize = true, .squash = true, .width = 224, .height = 224, .mean = HALF, .deviation = HALF},
};

struct preprocess preprocess_default(enum preprocess_kind kind)
{
	struct preprocess p = defaults[kind];

	p.filter = kind == PREPROCESS_VIT ? RESAMPLE_BILINEAR : RESAMPLE_BICUBIC;
	p.scale = 1.0 / 255;
	return p;
}

/* Whose processor a file is for, by the class that it names; those in the classes' names stand for one computing in tensors, or in pictures. */
static int read_class(struct json_reader *r, const json_t *root, enum preprocess_kind *kind)
{
	static const struct {
		const char *name;
		enum preprocess_kind kind;
	} classes[] = {
		{"CLIPImageProcessor", PREPROCESS_CLIP},     {"CLIPFeatureExtractor", PREPROCESS_CLIP}, {"BlipImageProcessor", PREPROCESS_BLIP},
		{"SiglipImageProcessor", PREPROCESS_SIGLIP}, {"ViTImageProcessor", PREPROCESS_VIT},     {"ViTFeatureExtractor", PREPROCESS_VIT},
	};
	const char *key = json_find(root, "image_processor_type") ? "image_processor_type" : "feature_extractor_type";
	const char *name = json_text(r, root, key, NULL);

	if (!name)
		return r->failed ? -1 : 0;
	for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++) {
		size_t n = strlen(classes[i].name);
		const char *rest = name + n;

		if (strncmp(name, classes[i].name, n) == 0 && (*rest == '\0' || strcmp(rest, "Fast") == 0 || strcmp(rest, "Pil") == 0)) {
			*kind = classes[i].kind;
			return 0;
		}
	}
	return fail(r->err, E_FORMAT, "%s: \"%s\": \"%s\" is not supported; the processors of CLIP, BLIP, SigLIP and ViT are", r->file, key, name);
}

static int size_at(struct json_reader *r, const json_t *root, const char *key, int fallback)
{
	return (int)json_int(r, root, key, fallback, 1, PREPROCESS_MAX_SIZE);
}

/* "size": 224 in old files, else {"shortest_edge": 224} or {"height": 384, "width": 384}. Only CLIP's processor keeps the aspect. */
static void read_size(struct json_reader *r, const json_t *root, enum preprocess_kind kind, struct preprocess *p)
{
	const json_t *size = json_find(root, "size");

	if (json_is_object(size) && kind == PREPROCESS_CLIP && json_find(size, "shortest_edge")) {
		p->squash = false;
		p->edge = size_at(r, root, "size.shortest_edge", 1);
	} else if (json_is_object(size)) {
		p->squash = true;
		p->width = (int)json_int(r, root, "size.width", JSON_NEEDED, 1, PREPROCESS_MAX_SIZE);
		p->height = (int)json_int(r, root, "size.height", JSON_NEEDED, 1, PREPROCESS_MAX_SIZE);
	} else if (p->squash) {
		p->width = p->height = size_at(r, root, "size", p->width);
	} else {
		p->edge = size_at(r, root, "size", p->edge);
	}
}

static void read_crop(struct json_reader *r, const json_t *root, struct preprocess *p)
{
	bool dict = json_is_object(json_find(root, "crop_size"));

	p->crop_width = (int)json_int(r, root, dict ? "crop_size.width" : "crop_size", dict ? JSON_NEEDED : p->crop_width, 1, PREPROCESS_MAX_SIZE);
	p->crop_height = (int)json_int(r, root, dict ? "crop_size.height" : "crop_size", dict ? JSON_NEEDED : p->crop_height, 1, PREPROCESS_MAX_SIZE);
}

/* Three numbers, or one for all three. */
static void read_channels(struct json_reader *r, const json_t *root, const char *key, float out[3])
{
	const json_t *value = json_find(root, key);

	if (json_is_number(value))
		out[0] = out[1] = out[2] = (float)json_number_value(value);
	else
		json_floats(r, root, key, out, 3);
}

/* kind: of the processor. */
static void read_huggingface(struct json_reader *r, const json_t *root, enum preprocess_kind kind, struct preprocess *p)
{
	p->resize = json_flag(r, root, "do_resize", p->resize);
	/* Other processors than CLIP's pass over a crop that their file speaks of, and none of them pads to anything but the size that it makes anyway. */
	p->crop = kind == PREPROCESS_CLIP && json_flag(r, root, "do_center_crop", p->crop);
	p->sized = json_find(root, "size") || (p->crop && json_find(root, "crop_size"));
	read_size(r, root, kind, p);
	if (p->crop)
		read_crop(r, root, p);
	p->filter = (enum resample_filter)json_int(r, root, "resample", p->filter, 0, RESAMPLE_FILTERS - 1);
	p->scale = json_flag(r, root, "do_rescale", true) ? json_number(r, root, "rescale_factor", p->scale) : 1.0;
	read_channels(r, root, "image_mean", p->mean);
	read_channels(r, root, "image_std", p->deviation);
	if (!json_flag(r, root, "do_normalize", true))
		for (int i = 0; i < 3; i++) {
			p->mean[i] = 0;
			p->deviation[i] = 1;
		}
}

/* ModelScope's configuration.json of an OFA captioner. */
static void read_modelscope(struct json_reader *r, const json_t *root, struct preprocess *p)
{
	static const float mean[3] = IMAGENET_MEAN, deviation[3] = IMAGENET_DEVIATION;

	p->width = p->height = size_at(r, root, "model.patch_image_size", p->width);
	if (json_flag(r, root, "model.imagenet_default_mean_and_std", false)) {
		memcpy(p->mean, mean, sizeof mean);
		memcpy(p->deviation, deviation, sizeof deviation);
	}
}

static int read_open_clip(struct json_reader *r, const json_t *root, struct preprocess *p, struct error *err)
{
	const char *mode = json_text(r, root, "preprocess_cfg.resize_mode", "shortest");
	const char *filter = json_text(r, root, "preprocess_cfg.interpolation", "bicubic"),
		   *colours = json_text(r, root, "preprocess_cfg.mode", "RGB");
	int size = size_at(r, root, "model_cfg.vision_cfg.image_size", p->edge);

	p->openai_crop = true;
	p->squash = strcmp(mode, "squash") == 0;
	p->crop = !p->squash;
	p->edge = p->width = p->height = p->crop_width = p->crop_height = size;
	read_channels(r, root, "preprocess_cfg.mean", p->mean);
	read_channels(r, root, "preprocess_cfg.std", p->deviation);
	if (strcmp(colours, "RGB") != 0)
		return fail(err, E_FORMAT, "%s: mode \"%s\" is not supported; RGB is", r->file, colours);
	if (strcmp(filter, "bilinear") == 0)
		p->filter = RESAMPLE_BILINEAR;
	else if (strcmp(filter, "bicubic") != 0 && strcmp(filter, "random") != 0) /* random: in training only */
		return fail(err, E_FORMAT, "%s: interpolation \"%s\" is not known; bicubic and bilinear are", r->file, filter);
	if (!p->squash && strcmp(mode, "shortest") != 0)
		return fail(err, E_FORMAT, "%s: resize_mode \"%s\" is not supported; shortest and squash are", r->file, mode);
	return 0;
}

static int check(const struct preprocess *p, const char *path, struct error *err)
{
	for (int i = 0; i < 3; i++)
		if (!(p->deviation[i] != 0) || !isfinite(p->deviation[i]) || !isfinite(p->mean[i]) || !isfinite(p->scale))
			return fail(err, E_FORMAT, "%s: image_mean, image_std and rescale_factor must be finite, image_std not 0", path);
	if (!p->crop && !(p->resize && p->squash))
		return fail(err, E_FORMAT, "%s: pictures would keep different shapes; a crop or a fixed width and height is needed", path);
	if (p->crop && (p->crop_width < 1 || p->crop_height < 1))
		return fail(err, E_FORMAT, "%s: \"crop_size\" is missing", path);
	return 0;
}

int preprocess_read(const char *path, enum preprocess_kind kind, struct preprocess *out, struct error *err)
{
	json_t *root = json_read(path, JSON_LIMIT, err);
	const json_t *inner = json_find(root, "image_processor"), *part = json_is_object(inner) ? inner : root;
	struct json_reader r = {.file = path, .err = err};
	int result = 0;

	*out = preprocess_default(kind);
	if (!root)
		return -1;
	if (json_find(root, "preprocess_cfg")) {
		result = read_open_clip(&r, root, out, err);
	} else if (json_is_object(json_find(root, "model"))) {
		read_modelscope(&r, root, out);
	} else if ((result = read_class(&r, part, &kind)) == 0) {
		*out = preprocess_default(kind);
		read_huggingface(&r, part, kind, out);
	}
	if (result == 0)
		result = r.failed ? -1 : check(out, path, err);
	json_decref(root);
	return result;
}

int preprocess_load(const char *dir, enum preprocess_kind kind, struct preprocess *out, struct error *err)
{
	const char *const names[] = {"preprocessor_config.json", "processor_config.json",
				     kind == PREPROCESS_OFA    ? "configuration.json"
				     : kind == PREPROCESS_CLIP ? "open_clip_config.json"
							       : NULL};

	for (size_t i = 0; i < sizeof names / sizeof names[0] && names[i]; i++) {
		char *path = xasprintf("%s/%s", dir, names[i]);
		int result = access(path, F_OK) == 0 ? preprocess_read(path, kind, out, err) : 1;

		free(path);
		if (result <= 0)
			return result < 0 ? -1 : 1;
	}
	*out = preprocess_default(kind);
	return 0;
}

void preprocess_set_size(struct preprocess *p, int size)
{
	if (p->crop) {
		p->edge = (int)(((int64_t)p->edge * size + p->crop_width / 2) / p->crop_width);
		p->width = (int)(((int64_t)p->width * size + p->crop_width / 2) / p->crop_width);
		p->height = (int)(((int64_t)p->height * size + p->crop_height / 2) / p->crop_height);
		p->crop_width = p->crop_height = size;
	} else {
		p->width = p->height = size;
	}
}

int preprocess_fit(struct preprocess *p, const char *dir, int size, struct error *err)
{
	int width = p->crop ? p->crop_width : p->width, height = p->crop ? p->crop_height : p->height;

	if (p->sized && (width != size || height != size))
		return fail(err, E_MODEL,
			    "%s: its processor makes pictures of %dx%d pixels, config.json's image_size is %d; they do not belong together", dir,
			    width, height, size);
	preprocess_set_size(p, size);
	return 0;
}

/* One axis of the centre crop: where it starts in the resized picture, how much is used, where that lies in the output. */
static void crop_axis(bool openai, int have, int want, int *from, int *used, int *at)
{
	int margin = have - want;

	*used = have < want ? have : want;
	*from = 0;
	*at = 0;
	if (margin < 0)
		*at = openai ? -margin / 2 : (1 - margin) / 2;
	else if (openai) /* Python's round(margin / 2): half to even */
		*from = margin / 2 + (margin % 4 == 3);
	else
		*from = margin / 2;
}

int preprocess_plan(const struct preprocess *p, int width, int height, struct preprocess_plan *out, struct error *err)
{
	int64_t w = width, h = height;

	if (p->resize && p->squash) {
		w = p->width;
		h = p->height;
	} else if (p->resize && w <= h) {
		h = h * p->edge / w;
		w = p->edge;
	} else if (p->resize) {
		w = w * p->edge / h;
		h = p->edge;
	}
	if (w > RESAMPLE_MAX_SIDE || h > RESAMPLE_MAX_SIDE)
		return fail(err, E_LIMIT, "a picture of %d×%d pixels is too elongated", width, height);
	*out = (struct preprocess_plan){
		.width = (int)w, .height = (int)h, .window = {0, 0, (int)w, (int)h}, .out_width = (int)w, .out_height = (int)h};
	if (!p->crop)
		return 0;
	out->out_width = p->crop_width;
	out->out_height = p->crop_height;
	crop_axis(p->openai_crop, out->width, p->crop_width, &out->window.left, &out->window.width, &out->left);
	crop_axis(p->openai_crop, out->height, p->crop_height, &out->window.top, &out->window.height, &out->top);
	return 0;
}

/* Puts a smaller picture into a black one; takes `part` over. */
static struct image pad(const struct preprocess_plan *plan, struct image *part)
{
	struct image whole = {plan->out_width, plan->out_height, xcalloc((size_t)plan->out_width * plan->out_height, 3)};

	for (int y = 0; y < part->height; y++)
		memcpy(whole.rgb + ((size_t)(plan->top + y) * whole.width + plan->left) * 3, part->rgb + (size_t)y * part->width * 3,
		       (size_t)part->width * 3);
	image_free(part);
	return whole;
}

int preprocess_pixels(const struct preprocess *p, const struct image *image, struct image *out, struct error *err)
{
	struct resample_job job = {.rgb = image->rgb, .width = image->width, .height = image->height, .filter = p->filter};
	struct preprocess_plan plan;

	*out = (struct image){0};
	if (preprocess_plan(p, image->width, image->height, &plan, err) < 0)
		return -1;
	job.out_width = plan.width;
	job.out_height = plan.height;
	job.window = plan.window;
	*out = (struct image){plan.window.width, plan.window.height, xmalloc((size_t)plan.window.width * plan.window.height * 3)};
	resample_rgb(&job, out->rgb);
	if (out->width != plan.out_width || out->height != plan.out_height)
		*out = pad(&plan, out);
	return 0;
}

int preprocess_run(const struct preprocess *p, const struct image *image, struct pixels *out, struct error *err)
{
	struct image small;
	size_t n;

	*out = (struct pixels){0};
	if (preprocess_pixels(p, image, &small, err) < 0)
		return -1;
	n = (size_t)small.width * small.height;
	*out = (struct pixels){xmalloc(n * 3 * sizeof *out->data), 3, small.height, small.width};
	for (int c = 0; c < 3; c++) {
		float table[256];

		for (int v = 0; v < 256; v++)
			table[v] = ((float)(v * p->scale) - p->mean[c]) / p->deviation[c];
		for (size_t i = 0; i < n; i++)
			out->data[c * n + i] = table[small.rgb[i * 3 + c]];
	}
	image_free(&small);
	return 0;
}
