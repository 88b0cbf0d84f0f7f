#include "models/picturebook/grammar.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/picturebook/nli.h"

static const char *const kinds[KIND_COUNT] = {
	[KIND_APPLE] = "apple", [KIND_BALL] = "ball",         [KIND_BALLOON] = "balloon", [KIND_BELL] = "bell",
	[KIND_BIRD] = "bird",   [KIND_BOAT] = "boat",         [KIND_BOOK] = "book",       [KIND_BUTTERFLY] = "butterfly",
	[KIND_CAKE] = "cake",   [KIND_CAR] = "car",           [KIND_CASTLE] = "castle",   [KIND_CAT] = "cat",
	[KIND_CHAIR] = "chair", [KIND_CLOCK] = "clock",       [KIND_CUP] = "cup",         [KIND_DOG] = "dog",
	[KIND_DUCK] = "duck",   [KIND_FISH] = "fish",         [KIND_FLOWER] = "flower",   [KIND_HAT] = "hat",
	[KIND_HEART] = "heart", [KIND_HOUSE] = "house",       [KIND_KEY] = "key",         [KIND_KITE] = "kite",
	[KIND_MOON] = "moon",   [KIND_MUSHROOM] = "mushroom", [KIND_ROCKET] = "rocket",   [KIND_SNAIL] = "snail",
	[KIND_STAR] = "star",   [KIND_SUN] = "sun",           [KIND_TREE] = "tree",       [KIND_UMBRELLA] = "umbrella",
};
static const char *const colours[COLOUR_COUNT] = {"red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white"};
static const char *const relations[RELATION_COUNT] = {"", "left of", "right of", "above", "below", "beside"};
static const char *const backgrounds[BACKGROUND_COUNT] = {"", "on grass", "on sand", "in the snow", "under a night sky", "in a room", "by the sea"};
static const char *const articles[] = {"a", "an", "the"};
const char *const caption_leads[CAPTION_LEADS] = {"a picture of", "a picture with", "there is", "this is", "we see"};

#define COUNT(a) ((int)(sizeof(a) / sizeof(a)[0]))

const char *kind_name(enum scene_kind kind)
{
	return kinds[kind];
}

const char *colour_name(enum scene_colour colour)
{
	return colour == COLOUR_NONE ? "" : colours[colour];
}

const char *relation_text(enum scene_relation relation)
{
	return relations[relation];
}

const char *background_text(enum scene_background background)
{
	return backgrounds[background];
}

const char *word_article(const char *word)
{
	return *word && strchr("aeiou", *word) ? "an" : "a";
}

static size_t add(char *out, size_t at, const char *word)
{
	int n = *word ? snprintf(out + at, CAPTION_MAX - at, "%s%s", at ? " " : "", word) : 0;
	return at + (size_t)n;
}

void caption_write(const struct scene *scene, char out[CAPTION_MAX])
{
	size_t at = 0;
	for (int i = 0; i < scene->n_things; i++) {
		const struct scene_thing *t = &scene->things[i];
		const char *colour = colour_name(t->colour), *kind = kind_name(t->kind);
		if (i > 0)
			at = add(out, at, i == 1 && scene->relation != RELATION_NONE ? relation_text(scene->relation) : "and");
		at = add(out, at, word_article(*colour ? colour : kind));
		at = add(out, at, colour);
		at = add(out, at, kind);
	}
	add(out, at, background_text(scene->background));
}

/* If the words of `phrase` come next, moves *at behind them. */
static bool take(const char **at, const char *phrase)
{
	const char *p = *at;
	while (*p == ' ')
		p++;
	size_t n = strlen(phrase);
	if (n == 0 || strncmp(p, phrase, n) != 0 || (p[n] != ' ' && p[n] != '.' && p[n] != '\0'))
		return false;
	*at = p + n;
	return true;
}

/* The index of the phrase that comes next, or -1. */
static int take_one(const char **at, const char *const *phrases, int n)
{
	for (int i = 0; i < n; i++)
		if (take(at, phrases[i]))
			return i;
	return -1;
}

static int refuse(const char *at, const char *wanted, struct error *err)
{
	while (*at == ' ')
		at++;
	int n = (int)strcspn(at, " ");
	return fail(err, E_FORMAT, "not a picture-book caption: %s expected, found \"%.*s\"", wanted, n < 40 ? n : 40, at);
}

static int parse_thing(const char **at, struct scene_thing *t, struct error *err)
{
	take_one(at, articles, COUNT(articles));
	t->colour = (enum scene_colour)take_one(at, colours, COLOUR_COUNT);
	int kind = take_one(at, kinds, KIND_COUNT);
	if (kind < 0)
		return refuse(*at, "a thing", err);
	t->kind = (enum scene_kind)kind;
	return 0;
}

int caption_parse(const char *text, struct scene *out, struct error *err)
{
	const char *at = text;
	memset(out, 0, sizeof *out);
	take_one(&at, caption_leads, CAPTION_LEADS);
	do {
		if (parse_thing(&at, &out->things[out->n_things++], err) < 0)
			return -1;
		if (out->n_things == 1) {
			int relation = take_one(&at, relations, RELATION_COUNT);
			out->relation = relation < 0 ? RELATION_NONE : (enum scene_relation)relation;
		}
	} while ((out->n_things == 1 && out->relation != RELATION_NONE) || (out->n_things < SCENE_MAX_THINGS && take(&at, "and")));
	int background = take_one(&at, backgrounds, BACKGROUND_COUNT);
	out->background = background < 0 ? BACKGROUND_PLAIN : (enum scene_background)background;
	while (*at == ' ' || *at == '.')
		at++;
	return *at ? refuse(at, "the end", err) : 0;
}

bool caption_same(const struct scene *a, const struct scene *b)
{
	bool same = a->n_things == b->n_things && a->relation == b->relation && a->background == b->background;
	for (int i = 0; same && i < a->n_things; i++)
		same = a->things[i].kind == b->things[i].kind && a->things[i].colour == b->things[i].colour;
	return same;
}

static int compare_words(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void add_lines(struct buffer *text, const char *const *phrases, int n)
{
	for (int i = 0; i < n; i++)
		buffer_printf(text, "%s ", phrases[i]);
}

void scene_words(struct buffer *out)
{
	struct buffer text = {0};
	add_lines(&text, kinds, KIND_COUNT);
	add_lines(&text, colours, COLOUR_COUNT);
	add_lines(&text, relations, RELATION_COUNT);
	add_lines(&text, backgrounds, BACKGROUND_COUNT);
	add_lines(&text, articles, COUNT(articles));
	add_lines(&text, caption_leads, CAPTION_LEADS);
	buffer_puts(&text, "and ");
	nli_phrases(&text);
	char **words = xcalloc(text.length / 2 + 1, sizeof *words), *rest = text.text;
	size_t n = 0;
	for (char *word; (word = strtok_r(rest, " ", &rest));)
		words[n++] = word;
	qsort(words, n, sizeof *words, compare_words);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || strcmp(words[i], words[i - 1]) != 0)
			buffer_printf(out, "%s\n", words[i]);
	free(words);
	buffer_free(&text);
}
