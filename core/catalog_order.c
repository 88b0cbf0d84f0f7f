/* catalog_order.c - which pictures are shown, and in which order. See catalog.h. */
#include "core/catalog_private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/scores.h"

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static int fold(char c)
{
	return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : (unsigned char)c;
}

/* Compares the numbers at *a and *b by value and steps over them. */
static int compare_numbers(const char **a, const char **b)
{
	const char *p, *q;
	int order;

	while (**a == '0')
		++*a;
	while (**b == '0')
		++*b;
	for (p = *a; is_digit(*p); p++)
		;
	for (q = *b; is_digit(*q); q++)
		;
	if (p - *a != q - *b)
		order = p - *a < q - *b ? -1 : 1;
	else
		order = memcmp(*a, *b, (size_t)(p - *a));
	*a = p;
	*b = q;
	return order;
}

int catalog_compare_names(const char *a, const char *b)
{
	const char *s = a, *t = b;
	int order;

	while (*s && *t) {
		if (is_digit(*s) && is_digit(*t)) {
			if ((order = compare_numbers(&s, &t)))
				return order;
		} else {
			if (fold(*s) != fold(*t))
				return fold(*s) - fold(*t);
			s++;
			t++;
		}
	}
	if (*s || *t)
		return *s ? 1 : -1;
	/* Equal but for case and leading zeros: bytes decide, so that the order is the same every time. */
	return strcmp(a, b);
}

struct name_prefix catalog_prefix(const char *name)
{
	unsigned char bytes[16] = {0};
	struct name_prefix prefix = {0, 0};
	size_t n = 0;

	while (*name && n < sizeof bytes) {
		const char *end = name;

		if (!is_digit(*name)) {
			bytes[n++] = (unsigned char)fold(*name++);
			continue;
		}
		/* A number: the place of digits among the bytes, then its length, then itself, so that longer numbers are larger. */
		name += strspn(name, "0");
		for (end = name; is_digit(*end); end++)
			;
		bytes[n++] = '0';
		if (n < sizeof bytes)
			bytes[n++] = (unsigned char)(end - name > 255 ? 255 : end - name);
		for (; name < end; name++)
			if (n < sizeof bytes)
				bytes[n++] = (unsigned char)*name;
	}
	for (int i = 0; i < 8; i++) {
		prefix.high = prefix.high << 8 | bytes[i];
		prefix.low = prefix.low << 8 | bytes[i + 8];
	}
	return prefix;
}

static int compare_by_name(const struct catalog *c, uint32_t a, uint32_t b)
{
	const struct name_prefix *p = &c->prefix[a], *q = &c->prefix[b];

	if (p->high != q->high)
		return p->high < q->high ? -1 : 1;
	if (p->low != q->low)
		return p->low < q->low ? -1 : 1;
	return catalog_compare_names(c->pictures[a].name, c->pictures[b].name);
}

/* What a picture is sorted by, worked out once per sort; answered is false where the order has nothing to say. */
struct key {
	uint32_t id;
	bool answered;
	double number;
	const char *text;
};

static struct key key_of(const struct catalog *c, uint32_t id)
{
	const struct answers *a = c->pictures[id].answers;
	struct key key = {.id = id};

	if (!a || c->order == CATALOG_BY_NAME)
		return key;
	if (c->order == CATALOG_BY_CAPTION) {
		key.answered = a->caption && a->settled;
		key.text = a->caption;
	} else if (c->order == CATALOG_BY_MARGIN) {
		key.answered = a->scores_n > 0;
		key.number = scores_margin(a->probability, a->scores_n);
	} else if (a->scores_n > 0 && a->scores_n == a->verdicts_n) {
		key.answered = true;
		key.number = -scores_disagreement(a->probability, a->verdicts, a->scores_n);
	}
	return key;
}

static int compare_keys(const void *pa, const void *pb, void *arg)
{
	const struct key *a = pa, *b = pb;
	const struct catalog *c = arg;
	int order = 0, turn = c->reverse ? -1 : 1;

	if (a->answered != b->answered)
		return a->answered ? -1 : 1;
	if (a->answered && a->text)
		order = strcasecmp(a->text, b->text);
	else if (a->answered)
		order = (a->number > b->number) - (a->number < b->number);
	if (order)
		return turn * order;
	order = compare_by_name(c, a->id, b->id);
	return c->order == CATALOG_BY_NAME ? turn * order : order;
}

/* As strstr, ASCII case aside. */
static bool contains(const char *text, const char *part, bool exact)
{
	return exact ? strstr(text, part) : strcasestr(text, part);
}

static bool passes(const struct catalog *c, const struct catalog_picture *p)
{
	bool exact = false;

	if (!c->filter)
		return true;
	for (const char *s = c->filter; *s; s++)
		exact = exact || (*s >= 'A' && *s <= 'Z');
	return contains(p->name, c->filter, exact) || (p->answers && p->answers->caption && contains(p->answers->caption, c->filter, exact));
}

/* The pictures from .. total - 1 that pass, sorted. The caller frees them. */
static struct key *sorted_keys(struct catalog *c, uint32_t from, int *n)
{
	struct key *keys = xcalloc((size_t)(c->total - (int)from), sizeof *keys);

	*n = 0;
	for (int id = (int)from; id < c->total; id++) {
		c->pictures[id].row = -1;
		if (passes(c, &c->pictures[id]))
			keys[(*n)++] = key_of(c, (uint32_t)id);
	}
	qsort_r(keys, (size_t)*n, sizeof *keys, compare_keys, c);
	return keys;
}

static void number_rows(struct catalog *c)
{
	for (int row = 0; row < c->shown; row++)
		c->pictures[c->rows[row]].row = row;
}

static void show_all_anew(struct catalog *c)
{
	int n;
	struct key *keys = sorted_keys(c, 0, &n);

	c->rows = xrealloc(c->rows, (size_t)n, sizeof *c->rows);
	for (int i = 0; i < n; i++)
		c->rows[i] = keys[i].id;
	c->shown = n;
	free(keys);
	number_rows(c);
}

/* How many of the first `end` rows come before key. */
static int place_of(struct catalog *c, const struct key *key, int end)
{
	int least = 0;

	while (least < end) {
		int middle = least + (end - least) / 2;
		struct key other = key_of(c, c->rows[middle]);

		if (compare_keys(&other, key, c) < 0)
			least = middle + 1;
		else
			end = middle;
	}
	return least;
}

void catalog_show_new(struct catalog *c, uint32_t first)
{
	int n, end = c->shown;
	struct key *keys = sorted_keys(c, first, &n);

	c->rows = xrealloc(c->rows, (size_t)(c->shown + n), sizeof *c->rows);
	/* From the end, so that each shown row moves once. */
	for (int i = n - 1; i >= 0; i--) {
		int place = place_of(c, &keys[i], end);

		memmove(c->rows + place + i + 1, c->rows + place, (size_t)(end - place) * sizeof *c->rows);
		c->rows[place + i] = keys[i].id;
		end = place;
	}
	c->shown += n;
	free(keys);
	number_rows(c);
}

void catalog_sort(struct catalog *c, enum catalog_order order, bool reverse)
{
	c->order = order;
	c->reverse = reverse;
	show_all_anew(c);
}

void catalog_filter(struct catalog *c, const char *text)
{
	free(c->filter);
	c->filter = text && *text ? xstrdup(text) : NULL;
	show_all_anew(c);
}
