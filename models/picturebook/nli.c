#include "models/picturebook/nli.h"

#include <stdio.h>
#include <string.h>

#include "models/picturebook/grammar.h"

#define COUNT(a) ((int)(sizeof(a) / sizeof(a)[0]))
#define K(kind)  (1ull << KIND_##kind)
#define B(place) (1u << BACKGROUND_##place)
#define OUTSIDE  (B(GRASS) | B(SAND) | B(SNOW) | B(NIGHT) | B(SEA))

/* What a caption says about a claim; DISPUTED pairs are thrown away. */
enum answer { NO, OPEN, DISPUTED, YES };

/* More general words. A kind in neither set is none. */
struct group {
	const char *noun;
	bool mass; /* without article */
	uint64_t yes, disputed;
};

static const struct group groups[] = {
	{"animal", false, K(BIRD) | K(BUTTERFLY) | K(CAT) | K(DOG) | K(DUCK) | K(FISH) | K(SNAIL), 0},
	{"toy", false, K(BALL) | K(BALLOON) | K(KITE), K(BOAT) | K(CAR) | K(CASTLE) | K(DUCK) | K(HOUSE) | K(ROCKET) | K(DOG) | K(CAT) | K(BELL)},
	{"vehicle", false, K(BOAT) | K(CAR) | K(ROCKET), K(BALLOON)},
	{"food", true, K(APPLE) | K(CAKE), K(CUP) | K(DUCK) | K(FISH) | K(MUSHROOM) | K(SNAIL)},
	{"fruit", false, K(APPLE), 0},
	{"plant", false, K(FLOWER) | K(TREE), K(APPLE) | K(MUSHROOM)},
	{"building", false, K(CASTLE) | K(HOUSE), 0},
	{"pet", false, K(CAT) | K(DOG), K(BIRD) | K(DUCK) | K(FISH) | K(SNAIL) | K(BUTTERFLY)},
	{"furniture", true, K(CHAIR), K(CLOCK)},
};

enum place_form { NOUN, WHERE, SENTENCE };

/* What the named background says about a phrase; the backgrounds in no set exclude it. */
struct place {
	const char *phrase;
	enum place_form form;
	unsigned yes, open, disputed;
};

static const struct place places[] = {
	{"grass", NOUN, B(GRASS), 0, 0},
	{"a meadow", NOUN, B(GRASS), 0, 0},
	{"on grass", WHERE, B(GRASS), 0, 0},
	{"sand", NOUN, B(SAND), 0, 0},
	{"a beach", NOUN, B(SAND), 0, B(SEA)},
	{"on sand", WHERE, B(SAND), 0, 0},
	{"snow", NOUN, B(SNOW), 0, 0},
	{"a snowy scene", NOUN, B(SNOW), 0, 0},
	{"a winter scene", NOUN, B(SNOW), 0, 0},
	{"in the snow", WHERE, B(SNOW), 0, 0},
	{"a night sky", NOUN, B(NIGHT), 0, 0},
	{"a night scene", NOUN, B(NIGHT), 0, 0},
	{"under a night sky", WHERE, B(NIGHT), 0, 0},
	{"it is night", SENTENCE, B(NIGHT), 0, B(ROOM)},
	{"a room", NOUN, B(ROOM), 0, 0},
	{"an indoor scene", NOUN, B(ROOM), 0, 0},
	{"an outdoor scene", NOUN, OUTSIDE, 0, 0},
	{"in a room", WHERE, B(ROOM), 0, 0},
	{"the sea", NOUN, B(SEA), 0, 0},
	{"water", NOUN, B(SEA), 0, B(SNOW)},
	{"by the sea", WHERE, B(SEA), 0, 0},
	{"it is morning", SENTENCE, 0, (OUTSIDE & ~B(NIGHT)) | B(ROOM), 0},
	{"it is windy", SENTENCE, 0, OUTSIDE, B(ROOM)},
	{"it is a holiday", SENTENCE, 0, OUTSIDE | B(ROOM), 0},
};

static const char *const leads[] = {
	"",
	"",
	"",
	"a photo of",
	"a picture of",
	"a drawing of",
	"an image of",
	"this is",
	"this is a photo of",
	"this is a picture of",
	"this example is",
	"this example is",
	"this example is a photo of",
	"this example is a drawing of",
	"the picture shows",
	"this picture shows",
	"there is",
	"we see",
};
static const char *const where_leads[] = {"", "this is", "this example is", "the picture is", "everything is"};
static const char *const relation_words[RELATION_COUNT][3] = {
	[RELATION_NONE] = {"and", "and", "and"},
	[RELATION_LEFT] = {"left of", "to the left of", "on the left of"},
	[RELATION_RIGHT] = {"right of", "to the right of", "on the right of"},
	[RELATION_ABOVE] = {"above", "above", "over"},
	[RELATION_BELOW] = {"below", "below", "under"},
	[RELATION_BESIDE] = {"beside", "next to", "beside"},
};
static const char *const moods[] = {"happy", "sad",   "new",    "old",  "heavy", "expensive", "cheap", "broken", "clean",
				    "dirty", "quiet", "famous", "soft", "tiny",  "big",       "small", "pretty", "magic"};
static const char *const tales[] = {"was a gift", "belongs to a child", "is for sale", "has a name", "is my favourite", "came yesterday"};
static const char *const asides[] = {"a child drew this picture", "the picture is old", "somebody is watching", "the picture is famous",
				     "the paper is soft"};
static const char *const amounts[SCENE_MAX_THINGS] = {"only one thing", "exactly two things", "exactly three things"};
static const char *const joints[] = {"something", "thing", "is", "the", "there is", "there are", "no", "more than one thing"};

/* A description that things may fit. kind -1, group NULL, COLOUR_NONE: any. */
struct query {
	int kind;
	const struct group *group;
	enum scene_colour colour;
};

/* A hypothesis under way. */
struct draft {
	const struct scene *said; /* the premise's content */
	uint64_t rng;
	char *text;
};

static void say(struct draft *d, const char *words)
{
	size_t n = strlen(d->text);
	if (*words)
		snprintf(d->text + n, NLI_TEXT_MAX - n, "%s%s", n ? " " : "", words);
}

static bool chance(struct draft *d, unsigned percent)
{
	return scene_below(&d->rng, 100) < percent;
}

static const char *one_of(struct draft *d, const char *const *phrases, int n)
{
	return phrases[scene_below(&d->rng, (unsigned)n)];
}

static enum answer both(enum answer a, enum answer b)
{
	if (a == NO || b == NO)
		return NO;
	if (a == DISPUTED || b == DISPUTED)
		return DISPUTED;
	return a < b ? a : b;
}

static enum answer thing_fits(const struct scene_thing *t, const struct query *q)
{
	if ((q->kind >= 0 && q->kind != (int)t->kind) || (q->group && !((q->group->yes | q->group->disputed) >> t->kind & 1)))
		return NO;
	bool open = q->colour != COLOUR_NONE && t->colour == COLOUR_NONE;
	if (q->colour != COLOUR_NONE && !open && q->colour != t->colour)
		return NO;
	if (q->group && q->group->disputed >> t->kind & 1)
		return DISPUTED;
	return open ? OPEN : YES;
}

static enum answer any_fits(const struct scene *said, const struct query *q)
{
	enum answer best = NO;
	for (int i = 0; i < said->n_things; i++) {
		enum answer a = thing_fits(&said->things[i], q);
		best = a > best ? a : best;
	}
	return best;
}

static void say_query(struct draft *d, const struct query *q, bool definite)
{
	const char *noun = q->kind >= 0 ? kind_name((enum scene_kind)q->kind) : q->group ? q->group->noun : "thing";
	if (q->kind < 0 && !q->group && chance(d, 50)) {
		say(d, "something");
		say(d, colour_name(q->colour));
		return;
	}
	const char *colour = colour_name(q->colour);
	if (definite)
		say(d, "the");
	else if (!q->group || !q->group->mass)
		say(d, word_article(*colour ? colour : noun));
	say(d, colour);
	say(d, noun);
}

/* Mostly something the premise names, or next to it; else anything. */
static enum scene_colour pick_colour(struct draft *d, const struct scene_thing *near)
{
	if (chance(d, 45) && near->colour != COLOUR_NONE)
		return near->colour;
	if (chance(d, 30))
		return d->said->things[scene_below(&d->rng, (unsigned)d->said->n_things)].colour;
	return (enum scene_colour)scene_below(&d->rng, COLOUR_COUNT);
}

static struct query pick_kind(struct draft *d, unsigned percent_coloured)
{
	const struct scene_thing *near = &d->said->things[scene_below(&d->rng, (unsigned)d->said->n_things)];
	struct query q = {.kind = (int)near->kind, .colour = COLOUR_NONE};
	if (chance(d, 35))
		q.kind = (int)scene_below(&d->rng, KIND_COUNT);
	if (chance(d, percent_coloured))
		q.colour = pick_colour(d, near);
	return q;
}

static struct query pick_query(struct draft *d)
{
	struct query q = pick_kind(d, 50);
	unsigned roll = scene_below(&d->rng, 100);
	if (roll < 25) {
		q.kind = -1;
		q.group = &groups[scene_below(&d->rng, (unsigned)COUNT(groups))];
		if (chance(d, 60))
			q.colour = COLOUR_NONE;
	} else if (roll < 40 && q.colour != COLOUR_NONE) {
		q.kind = -1;
	}
	return q;
}

static enum answer place_fits(const struct scene *said, const struct place *p)
{
	unsigned here = 1u << said->background;
	if (said->background == BACKGROUND_PLAIN || p->open & here)
		return OPEN;
	return p->yes & here ? YES : p->disputed & here ? DISPUTED : NO;
}

static const struct place *pick_where(struct draft *d)
{
	const struct place *p;
	do
		p = &places[scene_below(&d->rng, (unsigned)COUNT(places))];
	while (p->form != WHERE);
	return p;
}

/* "in the snow", behind other words. */
static enum answer add_where(struct draft *d)
{
	const struct place *p = pick_where(d);
	say(d, p->phrase);
	return place_fits(d->said, p);
}

static enum answer claim_thing(struct draft *d)
{
	struct query q = pick_query(d);
	say(d, one_of(d, leads, COUNT(leads)));
	say_query(d, &q, false);
	enum answer a = any_fits(d->said, &q);
	return chance(d, 12) ? both(a, add_where(d)) : a;
}

static enum answer claim_place(struct draft *d)
{
	const struct place *p = &places[scene_below(&d->rng, (unsigned)COUNT(places))];
	if (p->form != SENTENCE)
		say(d, p->form == NOUN ? one_of(d, leads, COUNT(leads)) : one_of(d, where_leads, COUNT(where_leads)));
	say(d, p->phrase);
	return place_fits(d->said, p);
}

static enum scene_relation turned(enum scene_relation r)
{
	static const enum scene_relation turn[RELATION_COUNT] = {
		RELATION_NONE, RELATION_RIGHT, RELATION_LEFT, RELATION_BELOW, RELATION_ABOVE, RELATION_BESIDE,
	};
	return turn[r];
}

static int find_kind(const struct scene *said, int kind)
{
	for (int i = 0; i < said->n_things; i++)
		if ((int)said->things[i].kind == kind)
			return i;
	return -1;
}

/* Whether thing i lies so to thing j. The caption relates its first thing to the others, and those not to each other. "beside" leaves left and right
 * open; whether things left of each other are also beside each other, it does not settle. */
static enum answer relation_fits(const struct scene *said, int i, enum scene_relation claimed, int j)
{
	if (i < 0 || j < 0 || i == j)
		return NO;
	if (i > 0 && j > 0)
		return OPEN;
	enum scene_relation is = i == 0 ? said->relation : turned(said->relation);
	bool sideways = claimed == RELATION_LEFT || claimed == RELATION_RIGHT, is_sideways = is == RELATION_LEFT || is == RELATION_RIGHT;
	if (is == claimed)
		return YES;
	if (is == RELATION_BESIDE && sideways)
		return OPEN;
	return claimed == RELATION_BESIDE && is_sideways ? DISPUTED : NO;
}

/* "a cat left of a ball", "the red cat is next to the ball", "a cat and a ball". */
static enum answer claim_relation(struct draft *d)
{
	unsigned coloured = chance(d, 50) ? 0 : 60;
	struct query a = pick_kind(d, coloured), b = pick_kind(d, coloured);
	if (a.kind == b.kind)
		return DISPUTED;
	enum scene_relation relation = chance(d, 15)   ? RELATION_NONE
				       : chance(d, 40) ? d->said->relation
						       : (enum scene_relation)(RELATION_LEFT + scene_below(&d->rng, 5));
	bool sentence = relation != RELATION_NONE && chance(d, 50), definite = sentence && chance(d, 60);
	if (!sentence)
		say(d, one_of(d, leads, COUNT(leads)));
	say_query(d, &a, definite);
	if (sentence)
		say(d, "is");
	say(d, one_of(d, relation_words[relation], 3));
	say_query(d, &b, definite);
	enum answer answer = both(any_fits(d->said, &a), any_fits(d->said, &b));
	if (relation != RELATION_NONE)
		answer = both(answer, relation_fits(d->said, find_kind(d->said, a.kind), relation, find_kind(d->said, b.kind)));
	return !sentence && chance(d, 15) ? both(answer, add_where(d)) : answer;
}

static enum answer claim_none(struct draft *d)
{
	static const enum answer not [] = {[NO] = YES, [OPEN] = OPEN, [DISPUTED] = DISPUTED, [YES] = NO};
	struct query q = pick_query(d);
	say(d, chance(d, 70) ? "there is no" : "no");
	say(d, colour_name(q.colour));
	say(d, q.kind >= 0 ? kind_name((enum scene_kind)q.kind) : q.group ? q.group->noun : "thing");
	return not [any_fits(d->said, &q)];
}

static enum answer claim_count(struct draft *d)
{
	if (chance(d, 25)) {
		say(d, chance(d, 50) ? "there is" : "");
		say(d, "more than one thing");
		return d->said->n_things > 1 ? YES : NO;
	}
	int n = (int)scene_below(&d->rng, SCENE_MAX_THINGS) + 1;
	if (chance(d, 50))
		say(d, n == 1 ? "there is" : "there are");
	say(d, amounts[n - 1]);
	return n == d->said->n_things ? YES : NO;
}

/* What captions never speak of: "a happy cat", "the ball was a gift". */
static enum answer claim_aside(struct draft *d)
{
	struct query q = pick_kind(d, 0);
	const char *noun = kind_name((enum scene_kind)q.kind), *mood = one_of(d, moods, COUNT(moods));
	unsigned roll = scene_below(&d->rng, 100);
	if (roll < 10) {
		say(d, one_of(d, asides, COUNT(asides)));
		return OPEN;
	}
	if (roll < 40) {
		say(d, one_of(d, leads, COUNT(leads)));
		say(d, word_article(mood));
		say(d, mood);
		say(d, noun);
	} else {
		say_query(d, &q, true);
		if (roll < 80)
			say(d, "is");
		say(d, roll < 80 ? mood : one_of(d, tales, COUNT(tales)));
	}
	return any_fits(d->said, &q) == NO ? NO : OPEN;
}

static enum answer claim(struct draft *d)
{
	static const struct {
		unsigned percent;
		enum answer (*write)(struct draft *);
	} claims[] = {{48, claim_thing}, {20, claim_relation}, {15, claim_place}, {9, claim_aside}, {5, claim_none}, {3, claim_count}};
	unsigned roll = scene_below(&d->rng, 100);
	int i = 0;
	for (; roll >= claims[i].percent; i++)
		roll -= claims[i].percent;
	return claims[i].write(d);
}

/* Leaves out some colours in a third of the premises, the place in a third, and now and then puts words in front. */
static void write_premise(struct scene *said, uint64_t *rng, char *out)
{
	char caption[CAPTION_MAX];
	bool colourless = scene_below(rng, 100) < 33;
	for (int i = 0; i < said->n_things; i++)
		if (colourless && scene_below(rng, 100) < 65)
			said->things[i].colour = COLOUR_NONE;
	if (scene_below(rng, 100) < 30)
		said->background = BACKGROUND_PLAIN;
	caption_write(said, caption);
	const char *lead = scene_below(rng, 100) < 15 ? caption_leads[scene_below(rng, CAPTION_LEADS)] : "";
	snprintf(out, NLI_TEXT_MAX, "%s%s%s%s", lead, *lead ? " " : "", caption, scene_below(rng, 100) < 30 ? "." : "");
}

void nli_pair(uint64_t seed, const struct scene_split *split, char premise[NLI_TEXT_MAX], char hypothesis[NLI_TEXT_MAX], enum nli_label *label)
{
	static const enum nli_label labels[] = {[NO] = NLI_CONTRADICTION, [OPEN] = NLI_NEUTRAL, [YES] = NLI_ENTAILMENT};
	static const enum answer wishes[] = {NO, OPEN, YES};
	uint64_t rng = seed;
	struct scene said;
	scene_random(&said, scene_next(&rng), split);
	write_premise(&said, &rng, premise);
	enum answer wish = wishes[scene_below(&rng, 3)], answer;
	struct draft d = {.said = &said, .rng = scene_next(&rng), .text = hypothesis};
	do {
		*hypothesis = '\0';
		answer = claim(&d);
	} while (answer != wish);
	if (chance(&d, 50))
		strcat(hypothesis, ".");
	*label = labels[answer];
}

static void add_lines(struct buffer *out, const char *const *phrases, int n)
{
	for (int i = 0; i < n; i++)
		buffer_printf(out, "%s ", phrases[i]);
}

void nli_phrases(struct buffer *out)
{
	for (int i = 0; i < COUNT(groups); i++)
		buffer_printf(out, "%s ", groups[i].noun);
	for (int i = 0; i < COUNT(places); i++)
		buffer_printf(out, "%s ", places[i].phrase);
	for (int i = 0; i < RELATION_COUNT; i++)
		add_lines(out, relation_words[i], 3);
	add_lines(out, leads, COUNT(leads));
	add_lines(out, where_leads, COUNT(where_leads));
	add_lines(out, moods, COUNT(moods));
	add_lines(out, tales, COUNT(tales));
	add_lines(out, asides, COUNT(asides));
	add_lines(out, amounts, COUNT(amounts));
	add_lines(out, joints, COUNT(joints));
}
