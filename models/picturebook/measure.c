#include "models/picturebook/measure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/image.h"
#include "core/mem.h"
#include "models/picturebook/grammar.h"
#include "models/picturebook/nli.h"
#include "models/picturebook/scene.h"

enum { WIDTH = 320, HEIGHT = 240, GROUP = 64, BATCH = 16, TEXT_MAX = CAPTION_MAX + 32 };
static const uint64_t seed_base = 0x7465737400000000u; /* far from the trainer's, which are mixed */

/* ---- pictures */

/* Paints and prepares n scenes and hands them over as one tensor in the work pool, which is cleared first. NULL with err. */
static tt_tensor *prepare(struct model *m, const struct scene *scenes, int n, struct error *err)
{
	struct image image = {WIDTH, HEIGHT, xmalloc(WIDTH * HEIGHT * 3)};
	struct pixels one = {0};
	float *all = NULL;
	size_t size = 0;
	int status = 0;
	for (int i = 0; i < n && status == 0; i++) {
		scene_paint(&scenes[i], WIDTH, HEIGHT, image.rgb);
		status = m->ops->prepare(m, &image, 0, &one, err);
		if (status < 0)
			break;
		size = (size_t)one.channels * (size_t)one.height * (size_t)one.width;
		all = all ? all : xmalloc((size_t)n * size * sizeof *all);
		memcpy(all + (size_t)i * size, one.data, size * sizeof *all);
		free(one.data);
	}
	tt_clear(m->work);
	tt_tensor *pixels = status < 0 ? NULL : tt_from_f32(m->work, all, TT_SHAPE(n, one.channels, one.height, one.width));
	free(all);
	free(image.rgb);
	return pixels;
}

/* n held-out scenes, no two with the same caption. */
static void pick_scenes(struct scene *scenes, int n, uint64_t *seed)
{
	static const struct scene_split split = {.part = SCENE_TEST};
	for (int i = 0; i < n; i++) {
		bool again;
		do {
			scene_random(&scenes[i], (*seed)++, &split);
			again = false;
			for (int j = 0; j < i; j++)
				again = again || caption_same(&scenes[i], &scenes[j]);
		} while (again);
	}
}

/* ---- CLIP */

static int embed_pictures(struct model *m, const struct scene *scenes, int n, float *out, struct error *err)
{
	int width = m->info.embed_size;
	for (int i = 0; i < n; i += BATCH) {
		int here = n - i < BATCH ? n - i : BATCH;
		tt_tensor *pixels = prepare(m, scenes + i, here, err);
		if (!pixels || m->ops->embed_images(m, &pixels, 1, out + (size_t)i * (size_t)width, err) < 0)
			return -1;
	}
	return 0;
}

static int embed_captions(struct model *m, const struct scene *scenes, int n, const char *lead, float *out, struct error *err)
{
	char(*text)[TEXT_MAX] = xcalloc((size_t)n, sizeof *text);
	const char **list = xcalloc((size_t)n, sizeof *list);
	for (int i = 0; i < n; i++) {
		char caption[CAPTION_MAX];
		caption_write(&scenes[i], caption);
		snprintf(text[i], TEXT_MAX, "%s%s", lead, caption);
		list[i] = text[i];
	}
	tt_clear(m->work);
	int status = m->ops->embed_texts(m, list, n, out, err);
	free(list);
	free(text);
	return status;
}

static float dot(const float *a, const float *b, int n)
{
	float sum = 0;
	for (int i = 0; i < n; i++)
		sum += a[i] * b[i];
	return sum;
}

static int best(const float *picture, const float *texts, int n, int width)
{
	int winner = 0;
	for (int i = 1; i < n; i++) {
		if (dot(picture, texts + (size_t)i * (size_t)width, width) > dot(picture, texts + (size_t)winner * (size_t)width, width))
			winner = i;
	}
	return winner;
}

/* Counts of one measurement under way. */
struct clip_counts {
	int scenes, retrieved, colours, with_relation, relations, kinds, kinds_seen;
	double cosine, foil_cosine;
	float *pictures, *texts, *foils; /* [GROUP][embed_size] */
};

static int measure_group(struct model *m, struct clip_counts *c, uint64_t *seed, struct error *err)
{
	struct scene scenes[GROUP], foils[GROUP];
	bool changed[GROUP];
	int width = m->info.embed_size;
	pick_scenes(scenes, GROUP, seed);
	if (embed_pictures(m, scenes, GROUP, c->pictures, err) < 0 || embed_captions(m, scenes, GROUP, "", c->texts, err) < 0)
		return -1;
	for (int i = 0; i < GROUP; i++)
		scene_foil_colours(&scenes[i], *seed + (uint64_t)i, SCENE_ALL, &foils[i]);
	if (embed_captions(m, foils, GROUP, "", c->foils, err) < 0)
		return -1;
	for (int i = 0; i < GROUP; i++) {
		size_t at = (size_t)i * (size_t)width;
		c->retrieved += best(c->pictures + at, c->texts, GROUP, width) == i;
		c->colours += dot(c->pictures + at, c->texts + at, width) > dot(c->pictures + at, c->foils + at, width);
	}
	for (int i = 0; i < GROUP; i++)
		changed[i] = scene_foil_relation(&scenes[i], *seed + (uint64_t)i, SCENE_ALL, &foils[i]);
	if (embed_captions(m, foils, GROUP, "", c->foils, err) < 0)
		return -1;
	for (int i = 0; i < GROUP; i++) {
		size_t at = (size_t)i * (size_t)width;
		c->with_relation += changed[i];
		c->relations += changed[i] && dot(c->pictures + at, c->texts + at, width) > dot(c->pictures + at, c->foils + at, width);
	}
	c->scenes += GROUP;
	return 0;
}

/* The similarities that CLIPScore is made of: with the right caption, and with swapped colours. */
static int measure_cosines(struct model *m, struct clip_counts *c, uint64_t *seed, struct error *err)
{
	struct scene scenes[GROUP], foils[GROUP];
	int width = m->info.embed_size;
	pick_scenes(scenes, GROUP, seed);
	for (int i = 0; i < GROUP; i++)
		scene_foil_colours(&scenes[i], *seed + (uint64_t)i, SCENE_ALL, &foils[i]);
	if (embed_pictures(m, scenes, GROUP, c->pictures, err) < 0 || embed_captions(m, scenes, GROUP, "A photo depicts ", c->texts, err) < 0 ||
	    embed_captions(m, foils, GROUP, "A photo depicts ", c->foils, err) < 0)
		return -1;
	for (int i = 0; i < GROUP; i++) {
		size_t at = (size_t)i * (size_t)width;
		c->cosine += dot(c->pictures + at, c->texts + at, width) / GROUP;
		c->foil_cosine += dot(c->pictures + at, c->foils + at, width) / GROUP;
	}
	return 0;
}

/* Of GROUP single things of the part, adds those whose kind is named to *right. */
static int measure_kinds(struct model *m, struct clip_counts *c, enum scene_part part, int *right, uint64_t *seed, struct error *err)
{
	const struct scene_split split = {.part = part, .weight = {1, 0, 0}};
	struct scene scenes[GROUP], names[KIND_COUNT];
	int width = m->info.embed_size;
	for (int i = 0; i < GROUP; i++)
		scene_random(&scenes[i], (*seed)++, &split);
	memset(names, 0, sizeof names);
	for (int i = 0; i < KIND_COUNT; i++) {
		names[i].n_things = 1;
		names[i].things[0] = (struct scene_thing){.kind = (enum scene_kind)i, .colour = COLOUR_NONE};
	}
	if (embed_pictures(m, scenes, GROUP, c->pictures, err) < 0 || embed_captions(m, names, KIND_COUNT, "a photo of ", c->texts, err) < 0)
		return -1;
	for (int i = 0; i < GROUP; i++)
		*right += best(c->pictures + (size_t)i * (size_t)width, c->texts, KIND_COUNT, width) == (int)scenes[i].things[0].kind;
	return 0;
}

int measure_clip(struct model *m, int groups, struct measure_clip *out, struct error *err)
{
	struct clip_counts c = {0};
	size_t bytes = GROUP * (size_t)m->info.embed_size * sizeof(float);
	uint64_t seed = seed_base;
	int status = 0;
	c.pictures = xmalloc(bytes);
	c.texts = xmalloc(bytes);
	c.foils = xmalloc(bytes);
	for (int i = 0; i < groups && status == 0; i++) {
		status = measure_group(m, &c, &seed, err);
		if (status == 0)
			status = measure_kinds(m, &c, SCENE_TEST, &c.kinds, &seed, err);
		if (status == 0)
			status = measure_kinds(m, &c, SCENE_TRAIN, &c.kinds_seen, &seed, err);
	}
	if (status == 0)
		status = measure_cosines(m, &c, &seed, err);
	free(c.pictures);
	free(c.texts);
	free(c.foils);
	if (status < 0)
		return -1;
	*out = (struct measure_clip){
		.retrieval = (float)c.retrieved / (float)c.scenes,
		.colours = (float)c.colours / (float)c.scenes,
		.kinds = (float)c.kinds / (float)c.scenes,
		.kinds_seen = (float)c.kinds_seen / (float)c.scenes,
		.relations = (float)c.relations / (float)c.with_relation,
		.cosine = (float)c.cosine,
		.foil_cosine = (float)c.foil_cosine,
	};
	return 0;
}

/* ---- captions */

static bool same_things(const struct scene *said, const struct scene *scene)
{
	bool same = said->n_things == scene->n_things;
	for (int i = 0; same && i < scene->n_things; i++) {
		bool found = false;
		for (int j = 0; j < said->n_things; j++)
			found = found || (said->things[j].kind == scene->things[i].kind && said->things[j].colour == scene->things[i].colour);
		same = found;
	}
	return same;
}

/* Things in the order of mention and the relation between them. */
static bool same_relation(const struct scene *said, const struct scene *scene)
{
	struct scene copy = *said;
	copy.background = scene->background;
	return caption_same(&copy, scene);
}

int measure_captions(struct model *m, int scenes, struct measure_captions *out, struct error *err)
{
	const struct caption_options options = {.beams = 3, .no_repeat_ngram = -1, .length_penalty = -1};
	int things = 0, many = 0, relations = 0, backgrounds = 0, exact = 0;
	uint64_t seed = seed_base;
	for (int i = 0; i < scenes; i += BATCH) {
		struct scene scene[BATCH], said;
		struct caption captions[BATCH];
		int n = scenes - i < BATCH ? scenes - i : BATCH;
		pick_scenes(scene, n, &seed);
		tt_tensor *pixels = prepare(m, scene, n, err);
		if (!pixels || m->ops->caption(m, pixels, &options, captions, err) < 0)
			return -1;
		for (int k = 0; k < n; k++) {
			bool parsed = caption_parse(captions[k].text, &said, NULL) == 0;
			many += scene[k].n_things > 1;
			things += parsed && same_things(&said, &scene[k]);
			relations += parsed && scene[k].n_things > 1 && same_relation(&said, &scene[k]);
			backgrounds += parsed && said.background == scene[k].background;
			exact += parsed && caption_same(&said, &scene[k]);
		}
	}
	*out = (struct measure_captions){
		.things = (float)things / (float)scenes,
		.relations = (float)relations / (float)many,
		.backgrounds = (float)backgrounds / (float)scenes,
		.exact = (float)exact / (float)scenes,
	};
	return 0;
}

/* ---- NLI */

int measure_nli(struct model *m, int pairs, struct measure_nli *out, struct error *err)
{
	static const struct scene_split split = {.part = SCENE_TEST};
	int right[3] = {0}, count[3] = {0};
	for (int i = 0; i < pairs; i += BATCH) {
		char premise[BATCH][NLI_TEXT_MAX], hypothesis[BATCH][NLI_TEXT_MAX];
		enum nli_label label[BATCH] = {0};
		struct text_pair list[BATCH];
		struct verdict verdicts[BATCH];
		int n = pairs - i < BATCH ? pairs - i : BATCH;
		for (int k = 0; k < n; k++) {
			nli_pair(seed_base + (uint64_t)(i + k), &split, premise[k], hypothesis[k], &label[k]);
			list[k] = (struct text_pair){premise[k], hypothesis[k]};
		}
		tt_clear(m->work);
		if (m->ops->classify(m, list, n, verdicts, err) < 0)
			return -1;
		for (int k = 0; k < n; k++) {
			const float p[3] = {[NLI_ENTAILMENT] = verdicts[k].entailment,
					    [NLI_NEUTRAL] = verdicts[k].neutral,
					    [NLI_CONTRADICTION] = verdicts[k].contradiction};
			bool wins = p[label[k]] > p[(label[k] + 1) % 3] && p[label[k]] > p[(label[k] + 2) % 3];
			right[label[k]] += wins;
			count[label[k]]++;
		}
	}
	out->right = (float)(right[0] + right[1] + right[2]) / (float)pairs;
	for (int k = 0; k < 3; k++)
		out->verdict[k] = count[k] > 0 ? (float)right[k] / (float)count[k] : 1;
	return 0;
}
