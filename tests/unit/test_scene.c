#include "core/mem.h"
#include "models/picturebook/grammar.h"
#include "models/picturebook/nli.h"
#include "models/picturebook/scene.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define SIDE 64

static const struct scene_split train = {.part = SCENE_TRAIN}, test = {.part = SCENE_TEST};

static uint8_t *painted(const struct scene *scene, int width, int height)
{
	uint8_t *rgb = xmalloc((size_t)width * (size_t)height * 3);
	scene_paint(scene, width, height, rgb);
	return rgb;
}

static void same_seed_same_scene_and_pixels(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 50; seed++) {
		struct scene a, b, other;
		scene_random(&a, seed, &train);
		scene_random(&b, seed, &train);
		scene_random(&other, seed + 1000, &train);
		uint8_t *x = painted(&a, SIDE, SIDE), *y = painted(&b, SIDE, SIDE), *z = painted(&other, SIDE, SIDE);
		assert_memory_equal(x, y, SIDE * SIDE * 3);
		assert_true(memcmp(x, z, SIDE * SIDE * 3) != 0);
		free(x);
		free(y);
		free(z);
	}
}

/* Counts the words, and checks the article before each. */
static int count_words(const char *caption)
{
	char copy[CAPTION_MAX], *rest = copy, *word, *before = NULL;
	int n = 0;
	snprintf(copy, sizeof copy, "%s", caption);
	for (; (word = strtok_r(rest, " ", &rest)); before = word, n++) {
		bool vowel = strchr("aeiou", *word) != NULL;
		if (before && (strcmp(before, "a") == 0 || strcmp(before, "an") == 0))
			assert_int_equal(vowel, strcmp(before, "an") == 0);
	}
	return n;
}

static void captions_are_read_back(void **state)
{
	(void)state;
	int seen[RELATION_COUNT] = {0};
	for (uint64_t seed = 0; seed < 10000; seed++) {
		struct scene scene, said;
		struct error err;
		char caption[CAPTION_MAX], again[CAPTION_MAX];
		scene_random(&scene, seed, NULL);
		caption_write(&scene, caption);
		assert_int_equal(caption_parse(caption, &said, &err), 0);
		assert_true(caption_same(&scene, &said));
		caption_write(&said, again);
		assert_string_equal(caption, again);
		assert_in_range(count_words(caption), 2, 24);
		seen[scene.relation]++;
	}
	for (int r = 0; r < RELATION_COUNT; r++)
		assert_true(seen[r] > 800);
}

static void looser_captions_are_understood(void **state)
{
	(void)state;
	struct scene said;
	assert_int_equal(caption_parse("there is the cat left of an orange ball in a room.", &said, NULL), 0);
	assert_int_equal(said.n_things, 2);
	assert_int_equal(said.things[0].kind, KIND_CAT);
	assert_int_equal(said.things[0].colour, COLOUR_NONE);
	assert_int_equal(said.things[1].colour, COLOUR_ORANGE);
	assert_int_equal(said.relation, RELATION_LEFT);
	assert_int_equal(said.background, BACKGROUND_ROOM);
}

static void broken_captions_are_refused(void **state)
{
	(void)state;
	static const char *const broken[] = {
		"", "a", "a red", "a cat left of", "a cat grass", "a caterpillar", "a cat left of a dog and a ball and a key", "a cat\n"};
	for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
		struct scene said;
		struct error err = {0};
		assert_int_equal(caption_parse(broken[i], &said, &err), -1);
		assert_int_equal(err.code, E_FORMAT);
	}
}

static void mutilated_captions_do_no_harm(void **state)
{
	(void)state;
	uint64_t rng = 5;
	for (uint64_t seed = 0; seed < 20000; seed++) {
		struct scene scene, said;
		char caption[CAPTION_MAX], again[CAPTION_MAX];
		scene_random(&scene, seed, NULL);
		caption_write(&scene, caption);
		size_t n = strlen(caption);
		caption[scene_below(&rng, (unsigned)n)] = (char)scene_below(&rng, 256);
		memmove(caption, caption + scene_below(&rng, 9), n - 8);
		if (caption_parse(caption, &said, NULL) < 0)
			continue;
		assert_in_range(said.n_things, 1, SCENE_MAX_THINGS);
		caption_write(&said, again);
		assert_int_equal(caption_parse(again, &scene, NULL), 0);
		assert_true(caption_same(&said, &scene));
	}
}

static void splits_are_disjoint(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 4000; seed++) {
		struct scene scene;
		scene_random(&scene, seed, &train);
		assert_false(scene_held_out(&scene));
		scene_random(&scene, seed, &test);
		assert_true(scene_held_out(&scene));
	}
}

static void a_tenth_is_held_out(void **state)
{
	(void)state;
	int pairs = 0, triples = 0;
	for (int a = 0; a < KIND_COUNT; a++) {
		int left = 0;
		for (int c = 0; c < COLOUR_COUNT; c++)
			left += !scene_pair_held_out((enum scene_kind)a, (enum scene_colour)c);
		assert_true(left >= COLOUR_COUNT / 2);
		pairs += COLOUR_COUNT - left;
		for (int b = 0; b < KIND_COUNT; b++) {
			enum scene_kind x = (enum scene_kind)a, y = (enum scene_kind)b;
			assert_int_equal(scene_triple_held_out(x, RELATION_LEFT, y), scene_triple_held_out(y, RELATION_RIGHT, x));
			assert_int_equal(scene_triple_held_out(x, RELATION_ABOVE, y), scene_triple_held_out(y, RELATION_BELOW, x));
			assert_int_equal(scene_triple_held_out(x, RELATION_BESIDE, y), scene_triple_held_out(y, RELATION_BESIDE, x));
			triples += scene_triple_held_out(x, RELATION_LEFT, y);
		}
	}
	assert_in_range(pairs, KIND_COUNT * COLOUR_COUNT * 6 / 100, KIND_COUNT * COLOUR_COUNT * 14 / 100);
	assert_in_range(triples, KIND_COUNT * KIND_COUNT * 7 / 100, KIND_COUNT * KIND_COUNT * 13 / 100);
}

/* The relation as the eye finds it: who is bigger, and where the others lie. */
static enum scene_relation seen_relation(const struct scene *s)
{
	const struct scene_thing *a = &s->things[0], *b = &s->things[1];
	if (s->n_things == 1)
		return RELATION_NONE;
	if (fabsf(a->size - b->size) < 1e-6f)
		return RELATION_BESIDE;
	if (fabsf(a->x - b->x) > fabsf(a->y - b->y))
		return a->x < b->x ? RELATION_LEFT : RELATION_RIGHT;
	return a->y < b->y ? RELATION_ABOVE : RELATION_BELOW;
}

static void check_third(const struct scene *s)
{
	const struct scene_thing *b = &s->things[1], *c = &s->things[2];
	bool column = s->relation == RELATION_LEFT || s->relation == RELATION_RIGHT;
	assert_true(column ? b->y < c->y : b->x < c->x);
	assert_true(column ? b->x == c->x : b->y == c->y);
	assert_true(b->size == c->size);
}

static void geometry_shows_the_relation(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 5000; seed++) {
		struct scene s;
		scene_random(&s, seed, NULL);
		assert_int_equal(seen_relation(&s), s.relation);
		for (int i = 0; i < s.n_things; i++) {
			const struct scene_thing *t = &s.things[i];
			assert_true(fabsf(t->x) + t->size / 2 <= 0.501f && fabsf(t->y) + t->size / 2 <= 0.501f);
			for (int j = 0; j < i; j++) {
				float gap = fmaxf(fabsf(t->x - s.things[j].x), fabsf(t->y - s.things[j].y)) - (t->size + s.things[j].size) / 2;
				assert_true(gap > 0);
				assert_true(t->kind != s.things[j].kind);
			}
		}
		if (s.n_things > 1 && s.relation != RELATION_BESIDE)
			assert_true(s.things[0].size > 1.5f * s.things[1].size);
		if (s.n_things == 3)
			check_third(&s);
	}
}

static void foils_say_something_else(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 3000; seed++) {
		struct scene s, foil;
		scene_random(&s, seed, &train);
		scene_foil_colours(&s, seed, SCENE_TRAIN, &foil);
		assert_false(caption_same(&s, &foil));
		assert_false(scene_held_out(&foil));
		for (int i = 0; i < s.n_things; i++)
			assert_int_equal(s.things[i].kind, foil.things[i].kind);
		scene_foil_kind(&s, seed, SCENE_TRAIN, &foil);
		assert_false(caption_same(&s, &foil));
		assert_false(scene_held_out(&foil));
		bool changed = scene_foil_relation(&s, seed, SCENE_TRAIN, &foil);
		assert_int_equal(changed, !caption_same(&s, &foil));
		assert_false(s.n_things == 1 && changed);
		assert_false(scene_held_out(&foil));
		if (changed)
			assert_int_equal(seen_relation(&foil), foil.relation);
	}
}

static void paint_stays_inside(void **state)
{
	(void)state;
	static const int sizes[][2] = {{1, 1}, {3, 500}, {500, 3}, {2, 2}, {97, 31}, {1, 90}, {240, 180}};
	enum { GUARD = 64 };
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		size_t bytes = (size_t)sizes[i][0] * (size_t)sizes[i][1] * 3;
		uint8_t *block = xmalloc(bytes + 2 * GUARD);
		for (uint64_t seed = 0; seed < 60; seed++) {
			struct scene s;
			scene_random(&s, seed, NULL);
			memset(block, 0xa5, bytes + 2 * GUARD);
			scene_paint(&s, sizes[i][0], sizes[i][1], block + GUARD);
			for (size_t k = 0; k < GUARD; k++) {
				assert_int_equal(block[k], 0xa5);
				assert_int_equal(block[GUARD + bytes + k], 0xa5);
			}
		}
		free(block);
	}
}

static struct scene single(int kind, int colour, int background)
{
	struct scene s = {.n_things = 1, .background = (enum scene_background)background};
	s.things[0].kind = (enum scene_kind)kind;
	s.things[0].colour = (enum scene_colour)colour;
	scene_arrange(&s, (uint64_t)(kind * 1000 + colour * 10 + background));
	s.things[0].x = s.things[0].y = 0;
	s.things[0].size = 0.8f;
	return s;
}

static int difference(const uint8_t *a, const uint8_t *b)
{
	int most = 0;
	for (int c = 0; c < 3; c++)
		most = abs(a[c] - b[c]) > most ? abs(a[c] - b[c]) : most;
	return most;
}

/* A thing differs clearly from the picture without it, and a good part of it has exactly the named colour. */
static void check_visible(int kind, int colour, int background)
{
	struct scene with = single(kind, colour, background), without = with;
	without.n_things = 0;
	uint8_t *a = painted(&with, SIDE, SIDE), *b = painted(&without, SIDE, SIDE);
	int clear = 0, named = 0, changed = 0;
	for (int i = 0; i < SIDE * SIDE; i++) {
		clear += difference(a + 3 * i, b + 3 * i) >= 50;
		changed += difference(a + 3 * i, b + 3 * i) > 0;
		named += difference(a + 3 * i, with.things[0].rgb) == 0;
	}
	free(a);
	free(b);
	if (clear * 100 < SIDE * SIDE * 5 || named * 100 < changed * 25)
		fail_msg("a %s %s %s: %d pixels seen, %d of %d in its colour", colour_name((enum scene_colour)colour),
			 kind_name((enum scene_kind)kind), background_text((enum scene_background)background), clear, named, changed);
}

static void everything_is_visible_everywhere(void **state)
{
	(void)state;
	for (int kind = 0; kind < KIND_COUNT; kind++)
		for (int colour = 0; colour < COLOUR_COUNT; colour++)
			for (int background = 0; background < BACKGROUND_COUNT; background++)
				check_visible(kind, colour, background);
}

/* Where a thing of 20 pixels is, seen or not. */
static void silhouette(int kind, bool *mask)
{
	enum { SMALL = 24 };
	struct scene with = single(kind, COLOUR_RED, BACKGROUND_PLAIN), without = with;
	with.things[0].tilt = 0;
	with.things[0].flip = false;
	without.n_things = 0;
	uint8_t *a = painted(&with, SMALL, SMALL), *b = painted(&without, SMALL, SMALL);
	for (int i = 0; i < SMALL * SMALL; i++)
		mask[i] = difference(a + 3 * i, b + 3 * i) > 60;
	free(a);
	free(b);
}

static void silhouettes_differ(void **state)
{
	(void)state;
	static bool masks[KIND_COUNT][24 * 24];
	for (int k = 0; k < KIND_COUNT; k++)
		silhouette(k, masks[k]);
	for (int k = 0; k < KIND_COUNT; k++) {
		for (int j = 0; j < k; j++) {
			int either = 0, one = 0;
			for (int i = 0; i < 24 * 24; i++) {
				either += masks[k][i] || masks[j][i];
				one += masks[k][i] != masks[j][i];
			}
			if (one * 100 < either * 14)
				fail_msg("%s and %s look alike: %d of %d pixels differ", kind_name((enum scene_kind)k), kind_name((enum scene_kind)j),
					 one, either);
		}
	}
}

static bool has_word(const char *text, const char *word)
{
	size_t n = strlen(word);
	for (const char *p = text; (p = strstr(p, word)); p++)
		if ((p == text || p[-1] == ' ' || p[-1] == '\n') && (p[n] == ' ' || p[n] == '\0' || p[n] == '\n'))
			return true;
	return false;
}

static void check_words(const char *vocabulary, char *text)
{
	char *rest = text;
	for (char *word; (word = strtok_r(rest, " .", &rest));)
		if (!has_word(vocabulary, word))
			fail_msg("\"%s\" is not among the words", word);
}

static void words_cover_all_sentences(void **state)
{
	(void)state;
	struct buffer words = {0};
	scene_words(&words);
	for (uint64_t seed = 0; seed < 20000; seed++) {
		char premise[NLI_TEXT_MAX], hypothesis[NLI_TEXT_MAX];
		enum nli_label label;
		nli_pair(seed, NULL, premise, hypothesis, &label);
		check_words(words.text, premise);
		check_words(words.text, hypothesis);
	}
	buffer_free(&words);
}

/* A second, simpler reader of hypotheses: it knows kinds, colours, relations, places and "no", and judges what it fully understands. */
struct reading {
	int n, kind[2], colour[2];
	enum scene_relation relation;
	int background; /* -1: not named */
	bool no, understood;
};

static int find(const char *word, int n, const char *(*name)(int))
{
	for (int i = 0; i < n; i++)
		if (strcmp(word, name(i)) == 0)
			return i;
	return -1;
}

static const char *kind_at(int i)
{
	return kind_name((enum scene_kind)i);
}

static const char *colour_at(int i)
{
	return colour_name((enum scene_colour)i);
}

static enum scene_relation relation_of(const char *word)
{
	static const char *const words[][2] = {{"left", "left"}, {"right", "right"}, {"above", "over"}, {"below", "under"}, {"beside", "next"}};
	for (int i = 0; i < 5; i++)
		if (strcmp(word, words[i][0]) == 0 || strcmp(word, words[i][1]) == 0)
			return (enum scene_relation)(RELATION_LEFT + i);
	return RELATION_NONE;
}

static void read_word(struct reading *r, const char *word, int *colour)
{
	int kind = find(word, KIND_COUNT, kind_at), named = find(word, COLOUR_COUNT, colour_at);
	if (relation_of(word) != RELATION_NONE)
		r->relation = relation_of(word);
	else if (strcmp(word, "no") == 0)
		r->no = true;
	else if (named >= 0)
		*colour = named;
	else if (kind >= 0 && r->n < 2) {
		r->kind[r->n] = kind;
		r->colour[r->n++] = *colour;
		*colour = -1;
	} else if (!has_word("a an the this is there example picture shows we see photo drawing image of to on and", word))
		r->understood = false;
}

static struct reading read_hypothesis(const char *hypothesis)
{
	struct reading r = {.background = -1, .understood = true};
	char text[NLI_TEXT_MAX], *rest = text;
	int colour = -1;
	snprintf(text, sizeof text, "%s", hypothesis);
	text[strcspn(text, ".")] = '\0';
	for (int b = 1; b < BACKGROUND_COUNT; b++) {
		char *at = strstr(text, background_text((enum scene_background)b));
		if (!at)
			continue;
		*at = '\0';
		r.background = b;
	}
	for (char *word; (word = strtok_r(rest, " ", &rest));)
		read_word(&r, word, &colour);
	r.understood = r.understood && colour < 0 && (r.n > 0 || (r.background > 0 && !r.no));
	return r;
}

/* NLI_CONTRADICTION, NLI_NEUTRAL or NLI_ENTAILMENT for "there is such a thing". */
static enum nli_label judge_thing(const struct scene *said, int kind, int colour)
{
	for (int i = 0; i < said->n_things; i++) {
		const struct scene_thing *t = &said->things[i];
		if ((int)t->kind != kind)
			continue;
		if (colour < 0 || (int)t->colour == colour)
			return NLI_ENTAILMENT;
		return t->colour == COLOUR_NONE ? NLI_NEUTRAL : NLI_CONTRADICTION;
	}
	return NLI_CONTRADICTION;
}

/* Puts the things on a grid as the caption says and looks where they lie: a step apart, "beside" is an unknown step sideways. */
static enum nli_label judge_relation(const struct scene *said, const struct reading *r)
{
	static const int step_x[] = {0, 1, -1, 0, 0, 0}, step_y[] = {0, 0, 0, 1, -1, 0};
	bool first = (int)said->things[0].kind == r->kind[0], second = (int)said->things[0].kind == r->kind[1];
	if (!first && !second)
		return NLI_NEUTRAL;
	bool beside = said->relation == RELATION_BESIDE, claims_beside = r->relation == RELATION_BESIDE;
	int dx = step_x[said->relation] * (first ? 1 : -1), dy = step_y[said->relation] * (first ? 1 : -1);
	if (beside)
		return claims_beside ? NLI_ENTAILMENT : step_x[r->relation] ? NLI_NEUTRAL : NLI_CONTRADICTION;
	return !claims_beside && dx == step_x[r->relation] && dy == step_y[r->relation] ? NLI_ENTAILMENT : NLI_CONTRADICTION;
}

static enum nli_label all_of(enum nli_label a, enum nli_label b)
{
	if (a == NLI_CONTRADICTION || b == NLI_CONTRADICTION)
		return NLI_CONTRADICTION;
	return a == NLI_NEUTRAL ? a : b;
}

static enum nli_label judge(const struct scene *said, const struct reading *r)
{
	enum nli_label label = NLI_ENTAILMENT;
	for (int i = 0; i < r->n; i++)
		label = all_of(label, judge_thing(said, r->kind[i], r->colour[i]));
	if (r->relation != RELATION_NONE && judge_thing(said, r->kind[0], -1) == NLI_ENTAILMENT &&
	    judge_thing(said, r->kind[1], -1) == NLI_ENTAILMENT)
		label = all_of(label, judge_relation(said, r));
	if (r->background >= 0 && said->background == BACKGROUND_PLAIN)
		label = all_of(label, NLI_NEUTRAL);
	else if (r->background >= 0)
		label = all_of(label, (int)said->background == r->background ? NLI_ENTAILMENT : NLI_CONTRADICTION);
	if (r->no && label != NLI_NEUTRAL)
		label = label == NLI_ENTAILMENT ? NLI_CONTRADICTION : NLI_ENTAILMENT;
	return label;
}

static void labels_follow_from_the_captions(void **state)
{
	(void)state;
	enum { PAIRS = 30000 };
	int seen[3] = {0}, judged = 0;
	for (uint64_t seed = 0; seed < PAIRS; seed++) {
		char premise[NLI_TEXT_MAX], hypothesis[NLI_TEXT_MAX];
		struct scene said;
		enum nli_label label;
		nli_pair(seed, &train, premise, hypothesis, &label);
		seen[label]++;
		assert_int_equal(caption_parse(premise, &said, NULL), 0);
		struct reading r = read_hypothesis(hypothesis);
		if (!r.understood)
			continue;
		judged++;
		if (judge(&said, &r) != label)
			fail_msg("\"%s\" / \"%s\": label %d, judged %d", premise, hypothesis, (int)label, (int)judge(&said, &r));
	}
	assert_true(judged > PAIRS * 4 / 10);
	for (int l = 0; l < 3; l++)
		assert_in_range(seen[l], PAIRS * 30 / 100, PAIRS * 37 / 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_seed_same_scene_and_pixels),
		cmocka_unit_test(captions_are_read_back),
		cmocka_unit_test(looser_captions_are_understood),
		cmocka_unit_test(broken_captions_are_refused),
		cmocka_unit_test(mutilated_captions_do_no_harm),
		cmocka_unit_test(splits_are_disjoint),
		cmocka_unit_test(a_tenth_is_held_out),
		cmocka_unit_test(geometry_shows_the_relation),
		cmocka_unit_test(foils_say_something_else),
		cmocka_unit_test(paint_stays_inside),
		cmocka_unit_test(everything_is_visible_everywhere),
		cmocka_unit_test(silhouettes_differ),
		cmocka_unit_test(words_cover_all_sentences),
		cmocka_unit_test(labels_follow_from_the_captions),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
