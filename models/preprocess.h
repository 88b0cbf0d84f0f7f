/* preprocess.h - a picture to what a model wants to see: resized, cropped, normalised, byte for byte as the reference does with Pillow.
 *
 * A struct preprocess is a value: read it once from the model's folder, then any thread may use it.
 *
 *	struct preprocess p;
 *	struct pixels in;
 *	if (preprocess_load(dir, PREPROCESS_CLIP, &p, &err) < 0 || preprocess_run(&p, &image, &in, &err) < 0)
 *		return -1;
 *	… in.data: float[3][in.height][in.width] …
 *	free(in.data);
 */
#ifndef MODELS_PREPROCESS_H
#define MODELS_PREPROCESS_H

#include <stdbool.h>

#include "core/error.h"
#include "core/image.h"
#include "core/model.h"
#include "core/resample.h"

/* Whose defaults count for what the files do not say. */
enum preprocess_kind {
	PREPROCESS_CLIP,  /* shorter side to 224, centre crop */
	PREPROCESS_OFA,   /* both sides to 480, mean and deviation 0.5 */
	PREPROCESS_BLIP,  /* both sides to 384, CLIP's mean and deviation */
	PREPROCESS_VIT,   /* both sides to 224 by bilinear interpolation, mean and deviation 0.5; some folders of the others name its processor */
	PREPROCESS_SIGLIP /* both sides to 224, mean and deviation 0.5 */
};

enum { PREPROCESS_MAX_SIZE = 8192 };

struct preprocess {
	bool resize, crop;
	bool sized;       /* the file says how large pictures become */
	bool squash;      /* both sides straight to width x height; else the shorter side to `edge`, aspect kept */
	bool openai_crop; /* an odd margin is halved to the even side (torchvision); else rounded down (Hugging Face) */
	int edge, width, height;
	int crop_width, crop_height;
	enum resample_filter filter;
	double scale; /* factor on 0..255, 1/255 as a rule */
	float mean[3], deviation[3];
};

/* How a picture of a given size goes through. */
struct preprocess_plan {
	int width, height;             /* of the resized picture */
	struct resample_window window; /* the part of it that is used */
	int left, top;                 /* where that part lies in the output; black around it, if the crop is larger than the picture */
	int out_width, out_height;
};

struct preprocess preprocess_default(enum preprocess_kind kind);

/* Reads dir/preprocessor_config.json, else dir/processor_config.json, else (PREPROCESS_OFA) dir/configuration.json, else (PREPROCESS_CLIP)
 * dir/open_clip_config.json: 1; the defaults if none is there: 0. -1 with E_FORMAT names file and key of what is wrong or cannot be done. */
int preprocess_load(const char *dir, enum preprocess_kind kind, struct preprocess *out, struct error *err);
/* One of these files, told apart by its content: keys "preprocess_cfg" (open_clip), "model" (ModelScope), otherwise Hugging Face, whose processor_config.json
 * has it under "image_processor". A processor's class that the file names has the say over kind's defaults. */
int preprocess_read(const char *path, enum preprocess_kind kind, struct preprocess *out, struct error *err);

/* Makes the output size x size, size in 1..PREPROCESS_MAX_SIZE; the crop keeps its share. */
void preprocess_set_size(struct preprocess *p, int size);

/* For a network that takes size x size only: as preprocess_set_size where no file says how large pictures become; E_MODEL when one says another size. */
int preprocess_fit(struct preprocess *p, const char *dir, int size, struct error *err);

/* E_LIMIT for pictures so elongated that the resized one is beyond RESAMPLE_MAX_SIDE. */
int preprocess_plan(const struct preprocess *p, int width, int height, struct preprocess_plan *out, struct error *err);

/* The 8-bit picture before normalising; the caller frees it by image_free. */
int preprocess_pixels(const struct preprocess *p, const struct image *image, struct image *out, struct error *err);

/* out->data: malloc'd float[3][height][width], ((value * scale) - mean) / deviation, each step in float32. The caller frees it. */
int preprocess_run(const struct preprocess *p, const struct image *image, struct pixels *out, struct error *err);

#endif
