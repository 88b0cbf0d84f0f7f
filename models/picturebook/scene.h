/* scene.h - picture-book scenes: what is in one, how to draw one at random, how to paint it.
 *
 * A scene holds one to three things ("a red ball left of a blue cat") on a background ("on grass"). Every scene has exactly one right caption
 * (grammar.h), because the order of mention and the relation can be read off the picture:
 *
 *   one thing       it is named.
 *   left of, right of, above, below   one thing is clearly bigger (about twice as wide); the bigger one is named first and the relation says where it
 *                   lies, seen from the smaller one. With three things the two small ones share a column (left/right: upper named first) or a row
 *                   (above/below: left named first) and the relation holds for both.
 *   beside          all things have the same size and stand at one height with almost no gap; they are named from left to right.
 *
 * No scene holds a kind twice. All functions are pure: no global state, no allocation except scene_paint's scratch memory, any thread; the same
 * arguments give the same scene and the same pixels.
 *
 *	struct scene s;
 *	scene_random(&s, seed, NULL);
 *	uint8_t *rgb = xmalloc(96 * 96 * 3);
 *	scene_paint(&s, 96, 96, rgb);
 */
#ifndef MODELS_PICTUREBOOK_SCENE_H
#define MODELS_PICTUREBOOK_SCENE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCENE_MAX_THINGS 3

enum scene_kind {
	KIND_APPLE,
	KIND_BALL,
	KIND_BALLOON,
	KIND_BELL,
	KIND_BIRD,
	KIND_BOAT,
	KIND_BOOK,
	KIND_BUTTERFLY,
	KIND_CAKE,
	KIND_CAR,
	KIND_CASTLE,
	KIND_CAT,
	KIND_CHAIR,
	KIND_CLOCK,
	KIND_CUP,
	KIND_DOG,
	KIND_DUCK,
	KIND_FISH,
	KIND_FLOWER,
	KIND_HAT,
	KIND_HEART,
	KIND_HOUSE,
	KIND_KEY,
	KIND_KITE,
	KIND_MOON,
	KIND_MUSHROOM,
	KIND_ROCKET,
	KIND_SNAIL,
	KIND_STAR,
	KIND_SUN,
	KIND_TREE,
	KIND_UMBRELLA,
	KIND_COUNT
};

enum scene_colour {
	COLOUR_NONE = -1, /* not named: only in parsed captions */
	COLOUR_RED,
	COLOUR_ORANGE,
	COLOUR_YELLOW,
	COLOUR_GREEN,
	COLOUR_BLUE,
	COLOUR_PURPLE,
	COLOUR_PINK,
	COLOUR_BROWN,
	COLOUR_BLACK,
	COLOUR_WHITE,
	COLOUR_COUNT
};

enum scene_relation {
	RELATION_NONE, /* a single thing */
	RELATION_LEFT,
	RELATION_RIGHT,
	RELATION_ABOVE,
	RELATION_BELOW,
	RELATION_BESIDE,
	RELATION_COUNT
};

enum scene_background {
	BACKGROUND_PLAIN, /* coloured paper; captions do not mention it */
	BACKGROUND_GRASS,
	BACKGROUND_SAND,
	BACKGROUND_SNOW,
	BACKGROUND_NIGHT,
	BACKGROUND_ROOM,
	BACKGROUND_SEA,
	BACKGROUND_COUNT
};

/* Lengths are in units of the picture's shorter side and positions count from its centre (x right, y down), so that everything lies within the
 * central square of a picture of any aspect ratio: a square centre crop never cuts a thing off. */
struct scene_thing {
	enum scene_kind kind;
	enum scene_colour colour;
	float x, y;     /* centre, -0.5 .. 0.5 */
	float size;     /* width of the box the thing is drawn into */
	float tilt;     /* radians */
	bool flip;      /* mirrored left to right */
	uint8_t rgb[3]; /* the colour with this thing's own jitter */
};

struct scene {
	struct scene_thing things[SCENE_MAX_THINGS]; /* in the order of mention */
	int n_things;
	enum scene_relation relation; /* of things[0] to every other thing */
	enum scene_background background;
	uint64_t look; /* seeds the background's details */
};

/* About a tenth of all (kind, colour) pairs and of all (kind, relation, kind) triples are held out, by a fixed hash. Triples are compared by meaning:
 * "cat left of ball" and "ball right of cat" are held out together. */
enum scene_part {
	SCENE_ALL,   /* anything */
	SCENE_TRAIN, /* no held-out combination occurs */
	SCENE_TEST,  /* at least one held-out combination occurs */
};

struct scene_split {
	enum scene_part part;
	unsigned char weight[SCENE_MAX_THINGS]; /* how often one, two, three things are drawn, relative to each other; all 0: 4, 4, 2 */
};

/* Fills *scene from the seed. split may be NULL: SCENE_ALL with the default weights. */
void scene_random(struct scene *scene, uint64_t seed, const struct scene_split *split);

/* As scene_random for a given content: reads n_things, relation, background and each thing's kind and colour (no COLOUR_NONE), and fills in the rest
 * (places, sizes, tilts, shades). n_things > 1 needs a relation. */
void scene_arrange(struct scene *scene, uint64_t seed);

/* Whether the split withholds this pair, this triple (direction of mention does not matter), or anything in the scene. */
bool scene_pair_held_out(enum scene_kind kind, enum scene_colour colour);
bool scene_triple_held_out(enum scene_kind first, enum scene_relation relation, enum scene_kind second);
bool scene_held_out(const struct scene *scene);

/* Writes to *foil a scene that is like *scene but for the colours: two things swap theirs; a single thing (or things of one colour, or when the swap
 * would leave the part) gets another one. With SCENE_TRAIN as part and as the scene's own part, the foil too is free of held-out combinations. */
void scene_foil_colours(const struct scene *scene, uint64_t seed, enum scene_part part, struct scene *foil);

/* Writes to *foil the same things in another, clearly wrong relation (never "beside"), arranged anew. Returns false, with *foil a copy, for a single
 * thing, or when SCENE_TRAIN leaves no relation. */
bool scene_foil_relation(const struct scene *scene, uint64_t seed, enum scene_part part, struct scene *foil);

/* As above, but things[0] becomes another kind that does not occur in the scene. */
void scene_foil_kind(const struct scene *scene, uint64_t seed, enum scene_part part, struct scene *foil);

/* Paints the scene into rgb: height rows of width RGB8 pixels, without padding, owned by the caller. Any size from 1x1. */
void scene_paint(const struct scene *scene, int width, int height, uint8_t *rgb);

/* As scene_paint, of a picture whose width is aspect times its height, squeezed into width x height: what a model sees that scales without keeping
 * the aspect ratio. */
void scene_paint_squeezed(const struct scene *scene, float aspect, int width, int height, uint8_t *rgb);

/* The next number of a splitmix64 sequence (Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014), one below n > 0, and
 * one in [low, high). */
uint64_t scene_next(uint64_t *state);
unsigned scene_below(uint64_t *state, unsigned n);
float scene_between(uint64_t *state, float low, float high);

#endif
