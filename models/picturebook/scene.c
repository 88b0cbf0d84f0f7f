#include "models/picturebook/scene.h"

#include <math.h>
#include <string.h>

#define HELD_OUT_PERMILLE 100

static const uint8_t base_rgb[COLOUR_COUNT][3] = {
	[COLOUR_RED] = {216, 38, 38},  [COLOUR_ORANGE] = {245, 136, 28}, [COLOUR_YELLOW] = {250, 216, 50}, [COLOUR_GREEN] = {56, 158, 66},
	[COLOUR_BLUE] = {44, 98, 208}, [COLOUR_PURPLE] = {128, 58, 172}, [COLOUR_PINK] = {248, 146, 192},  [COLOUR_BROWN] = {124, 78, 44},
	[COLOUR_BLACK] = {42, 42, 46}, [COLOUR_WHITE] = {246, 246, 243},
};

uint64_t scene_next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

unsigned scene_below(uint64_t *state, unsigned n)
{
	return (unsigned)((scene_next(state) >> 32) * n >> 32);
}

float scene_between(uint64_t *state, float low, float high)
{
	return low + (high - low) * (float)(scene_next(state) >> 40) * 0x1p-24f;
}

static bool hash_held_out(uint64_t combination)
{
	return scene_below(&combination, 1000) < HELD_OUT_PERMILLE;
}

bool scene_pair_held_out(enum scene_kind kind, enum scene_colour colour)
{
	return hash_held_out(0x70616972u * 65536ull + (uint64_t)kind * 64 + (uint64_t)colour);
}

/* "right of" and "below" are read backwards, and "beside" in the order of the enum, so that one meaning has one hash. */
bool scene_triple_held_out(enum scene_kind first, enum scene_relation relation, enum scene_kind second)
{
	bool backwards = relation == RELATION_RIGHT || relation == RELATION_BELOW || (relation == RELATION_BESIDE && first > second);
	if (relation == RELATION_RIGHT)
		relation = RELATION_LEFT;
	if (relation == RELATION_BELOW)
		relation = RELATION_ABOVE;
	uint64_t a = backwards ? second : first, b = backwards ? first : second;
	return hash_held_out(0x74726970u * 65536ull + (a * 8 + (uint64_t)relation) * 64 + b);
}

bool scene_held_out(const struct scene *scene)
{
	for (int i = 0; i < scene->n_things; i++) {
		const struct scene_thing *t = &scene->things[i];
		if (scene_pair_held_out(t->kind, t->colour))
			return true;
		if (i > 0 && scene_triple_held_out(scene->things[0].kind, scene->relation, t->kind))
			return true;
	}
	return false;
}

static bool in_part(const struct scene *scene, enum scene_part part)
{
	return part == SCENE_ALL || scene_held_out(scene) == (part == SCENE_TEST);
}

/* Somewhat more or less light, and some levels per channel: colours of one name differ, colours of two names stay apart. Black and white vary less,
 * or they would turn into tints. */
static void pick_shade(struct scene_thing *t, uint64_t *rng)
{
	bool grey = t->colour == COLOUR_BLACK || t->colour == COLOUR_WHITE;
	float light = grey ? 1 : scene_between(rng, 0.92f, 1.06f), reach = grey ? 4 : 8, all = scene_between(rng, -6, 6);
	for (int c = 0; c < 3; c++) {
		float v = (float)base_rgb[t->colour][c] * light + all + scene_between(rng, -reach, reach);
		t->rgb[c] = (uint8_t)fminf(fmaxf(v, 0), 255);
	}
}

static void put(struct scene_thing *t, float x, float y, float size)
{
	t->x = x;
	t->y = y;
	t->size = size;
}

static void arrange_row(struct scene *s, uint64_t *rng)
{
	float size = s->n_things == 2 ? scene_between(rng, 0.36f, 0.43f) : scene_between(rng, 0.27f, 0.3f);
	float step = size * scene_between(rng, 1.03f, 1.09f), y = scene_between(rng, -0.22f, 0.22f);
	float x = scene_between(rng, -0.02f, 0.02f) - step * (float)(s->n_things - 1) / 2;
	for (int i = 0; i < s->n_things; i++)
		put(&s->things[i], x + step * (float)i, y, size);
}

/* The big thing on one side (along), the small ones on the other; `across` is the other axis. Worked out for "left of", then turned. */
static void arrange_sides(struct scene *s, uint64_t *rng)
{
	float size[SCENE_MAX_THINGS], along[SCENE_MAX_THINGS], across[SCENE_MAX_THINGS];
	float shift = scene_between(rng, -0.12f, 0.12f), small = scene_between(rng, 0.21f, 0.26f);
	float spread = scene_between(rng, 0.15f, 0.2f), far = scene_between(rng, 0.26f, 0.33f);
	size[0] = scene_between(rng, 0.42f, 0.5f);
	along[0] = scene_between(rng, -0.23f, -0.18f);
	across[0] = shift;
	for (int i = 1; i < s->n_things; i++) {
		size[i] = small;
		along[i] = far;
		across[i] = shift + (s->n_things == 3 ? (i == 1 ? -spread : spread) : scene_between(rng, -0.09f, 0.09f));
	}
	bool mirrored = s->relation == RELATION_RIGHT || s->relation == RELATION_BELOW;
	bool upright = s->relation == RELATION_ABOVE || s->relation == RELATION_BELOW;
	for (int i = 0; i < s->n_things; i++) {
		float a = mirrored ? -along[i] : along[i];
		put(&s->things[i], upright ? across[i] : a, upright ? a : across[i], size[i]);
	}
}

void scene_arrange(struct scene *scene, uint64_t seed)
{
	uint64_t rng = seed;
	if (scene->n_things == 1) {
		float size = scene_between(&rng, 0.4f, 0.8f), room = 0.5f - size * 0.56f;
		float x = scene_between(&rng, -room, room), y = scene_between(&rng, -room, room);
		put(&scene->things[0], x, y, size);
		scene->relation = RELATION_NONE;
	} else if (scene->relation == RELATION_BESIDE) {
		arrange_row(scene, &rng);
	} else {
		arrange_sides(scene, &rng);
	}
	for (int i = 0; i < scene->n_things; i++) {
		scene->things[i].tilt = scene_between(&rng, -0.14f, 0.14f);
		scene->things[i].flip = scene_below(&rng, 2);
		pick_shade(&scene->things[i], &rng);
	}
	scene->look = scene_next(&rng);
}

static bool kind_taken(const struct scene *s, int n, enum scene_kind kind)
{
	for (int i = 0; i < n; i++)
		if (s->things[i].kind == kind)
			return true;
	return false;
}

static bool colour_taken(const struct scene *s, int n, enum scene_colour colour)
{
	for (int i = 0; i < n; i++)
		if (s->things[i].colour == colour)
			return true;
	return false;
}

static int pick_count(const struct scene_split *split, uint64_t *rng)
{
	static const unsigned char usual[SCENE_MAX_THINGS] = {4, 4, 2};
	const unsigned char *w = split && split->weight[0] + split->weight[1] + split->weight[2] ? split->weight : usual;
	int roll = (int)scene_below(rng, (unsigned)(w[0] + w[1] + w[2]));
	return roll < w[0] ? 1 : roll < w[0] + w[1] ? 2 : 3;
}

/* Colours differ within a scene nine times out of ten, so that a swap of colours is a different picture. */
static void pick_content(struct scene *s, uint64_t *rng)
{
	bool mixed = scene_below(rng, 10) > 0;
	for (int i = 0; i < s->n_things; i++) {
		struct scene_thing *t = &s->things[i];
		do
			t->kind = (enum scene_kind)scene_below(rng, KIND_COUNT);
		while (kind_taken(s, i, t->kind));
		do
			t->colour = (enum scene_colour)scene_below(rng, COLOUR_COUNT);
		while (mixed && colour_taken(s, i, t->colour));
	}
	s->relation = s->n_things == 1 ? RELATION_NONE : (enum scene_relation)(RELATION_LEFT + scene_below(rng, 5));
	s->background = (enum scene_background)scene_below(rng, BACKGROUND_COUNT);
}

void scene_random(struct scene *scene, uint64_t seed, const struct scene_split *split)
{
	uint64_t rng = seed;
	memset(scene, 0, sizeof *scene);
	scene->n_things = pick_count(split, &rng);
	do
		pick_content(scene, &rng);
	while (split && !in_part(scene, split->part));
	scene_arrange(scene, scene_next(&rng));
}

static bool allowed_foil(const struct scene *foil, enum scene_part part)
{
	return part != SCENE_TRAIN || !scene_held_out(foil);
}

void scene_foil_colours(const struct scene *scene, uint64_t seed, enum scene_part part, struct scene *foil)
{
	uint64_t rng = seed;
	*foil = *scene;
	struct scene_thing *a = &foil->things[0];
	if (foil->n_things > 1) {
		struct scene_thing *b = &foil->things[1 + scene_below(&rng, (unsigned)foil->n_things - 1)];
		enum scene_colour colour = a->colour;
		a->colour = b->colour;
		b->colour = colour;
		pick_shade(a, &rng);
		pick_shade(b, &rng);
		if (a->colour != colour && allowed_foil(foil, part))
			return;
		*foil = *scene;
		a = &foil->things[scene_below(&rng, (unsigned)foil->n_things)];
	}
	const enum scene_colour old = a->colour;
	do
		a->colour = (enum scene_colour)scene_below(&rng, COLOUR_COUNT);
	while (a->colour == old || (part == SCENE_TRAIN && scene_pair_held_out(a->kind, a->colour)));
	pick_shade(a, &rng);
}

/* "beside" things also lie left and right of each other, so only the other axis is clearly wrong for them. */
static bool clearly_wrong(enum scene_relation was, enum scene_relation now)
{
	return now != was && (was != RELATION_BESIDE || now == RELATION_ABOVE || now == RELATION_BELOW);
}

bool scene_foil_relation(const struct scene *scene, uint64_t seed, enum scene_part part, struct scene *foil)
{
	uint64_t rng = seed;
	unsigned start = scene_below(&rng, 4);
	for (unsigned i = 0; i < 4 && scene->n_things > 1; i++) {
		*foil = *scene;
		foil->relation = (enum scene_relation)(RELATION_LEFT + (start + i) % 4);
		if (!clearly_wrong(scene->relation, foil->relation) || !allowed_foil(foil, part))
			continue;
		scene_arrange(foil, scene_next(&rng));
		return true;
	}
	*foil = *scene;
	return false;
}

void scene_foil_kind(const struct scene *scene, uint64_t seed, enum scene_part part, struct scene *foil)
{
	uint64_t rng = seed;
	bool held_out;
	*foil = *scene;
	struct scene_thing *t = &foil->things[0];
	do {
		t->kind = (enum scene_kind)scene_below(&rng, KIND_COUNT);
		held_out = scene_pair_held_out(t->kind, t->colour);
		for (int i = 1; i < foil->n_things; i++)
			held_out |= scene_triple_held_out(t->kind, foil->relation, foil->things[i].kind);
	} while (kind_taken(scene, scene->n_things, t->kind) || (part == SCENE_TRAIN && held_out));
}
