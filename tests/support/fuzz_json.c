/* fuzz_json.c - see fuzz_json.h. */
#include "tests/support/fuzz_json.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define HOLE "<:hole:>" /* stands where a text that jansson cannot write is to come */

enum { DEEP = 3000, LONG = 200, CHAIN = 400 };

/* A value, by where it hangs. */
struct place {
	json_t *parent;
	const char *key; /* in an object */
	size_t index;    /* in a list */
	json_t *value;
};

struct walk {
	size_t left; /* values to pass until `found` */
	struct place found;
};

static void walk(struct walk *w, json_t *parent)
{
	const char *key;
	json_t *value;
	size_t i;

	json_object_foreach(parent, key, value) {
		if (w->left-- == 1)
			w->found = (struct place){parent, key, 0, value};
		walk(w, value);
	}
	json_array_foreach(parent, i, value) {
		if (w->left-- == 1)
			w->found = (struct place){parent, NULL, i, value};
		walk(w, value);
	}
}

static bool choose(json_t *root, uint64_t random, struct place *out)
{
	struct walk count = {.left = 0}, w = {0};
	size_t values;

	walk(&count, root);
	values = (size_t)0 - count.left;
	w.left = values ? 1 + random % values : 0;
	if (values)
		walk(&w, root);
	*out = w.found;
	return values > 0;
}

static void set(const struct place *p, json_t *value)
{
	if (p->key)
		json_object_set_new(p->parent, p->key, value);
	else
		json_array_set_new(p->parent, p->index, value);
}

static void put_repeated(struct buffer *out, const char *text, int n)
{
	for (int i = 0; i < n; i++)
		buffer_puts(out, text);
}

/* What is written into the hole. */
static void put_value(struct buffer *out, uint64_t random)
{
	static const char *const values[] = {"0",
					     "-1",
					     "1",
					     "2",
					     "3",
					     "7",
					     "255",
					     "65535",
					     "65536",
					     "65537",
					     "1000000000",
					     "2147483647",
					     "2147483648",
					     "4294967295",
					     "4294967296",
					     "4294967297",
					     "4611686018427387904",
					     "9223372036854775807",
					     "-9223372036854775808",
					     "9223372036854775808",
					     "1e18",
					     "1e300",
					     "-1e300",
					     "1e-320",
					     "1e999",
					     "0.5",
					     "-0.0",
					     "2.5",
					     "NaN",
					     "-Infinity",
					     "null",
					     "true",
					     "false",
					     "\"\"",
					     "\"x\"",
					     "\"gelu\"",
					     "\"\\u0000\"",
					     "[]",
					     "{}",
					     "[[1]]",
					     "[1,2,3]",
					     "{\"a\":{\"a\":1}}",
					     "[null]",
					     "{\"\":0}"};
	size_t which = random % (sizeof values / sizeof *values + 4);

	if (which < sizeof values / sizeof *values) {
		buffer_puts(out, values[which]);
	} else if (which % 4 == 0) {
		put_repeated(out, "[", DEEP);
	} else if (which % 4 == 1) {
		put_repeated(out, "{\"a\":", CHAIN);
		buffer_puts(out, "1");
		put_repeated(out, "}", CHAIN);
	} else if (which % 4 == 2) {
		buffer_puts(out, "\"");
		put_repeated(out, "\xc3\xa9", LONG);
		buffer_puts(out, "\"");
	} else {
		buffer_puts(out, "[0");
		put_repeated(out, ",1", LONG);
		buffer_puts(out, "]");
	}
}

/* A number beside the one that is there, where checks have their edges. */
static json_t *near(const json_t *value, uint64_t random)
{
	json_int_t n = json_integer_value(value);
	/* as unsigned ones, which wrap */
	uint64_t u = (uint64_t)n, others[] = {u + 1, u - 1, 2 * u, u / 2, u * 3, 0 - u, u + 100, 1};

	return json_is_integer(value) ? json_integer((json_int_t)others[random % 8]) : json_real(json_number_value(value) * (random % 2 ? -1 : 1e6));
}

static void change(const struct place *p, json_t *root, uint64_t random, uint64_t (*more)(void))
{
	struct place other;

	switch (random % 6) {
	case 0:
		if (p->key)
			json_object_del(p->parent, p->key);
		else
			json_array_remove(p->parent, p->index);
		break;
	case 1:
		if (json_is_number(p->value)) {
			set(p, near(p->value, more()));
			break;
		} /* fall through */
	case 2:   /* what stands elsewhere */
		if (choose(root, more(), &other))
			set(p, json_deep_copy(other.value));
		break;
	default:
		set(p, json_string(HOLE));
	}
}

/* Puts a value where HOLE stands. */
static void fill(struct buffer *out, const char *text, uint64_t (*random)(void))
{
	const char *hole = strstr(text, "\"" HOLE "\"");

	buffer_add(out, text, hole ? (size_t)(hole - text) : strlen(text));
	if (!hole)
		return;
	put_value(out, random());
	buffer_puts(out, hole + strlen("\"" HOLE "\""));
}

/* The first object's first member again, with another value. */
static void repeat(struct buffer *text, uint64_t (*random)(void))
{
	const char *key = strchr(text->text, '"'), *end = key ? strchr(key + 1, '"') : NULL;
	struct buffer out = {0};

	if (!end)
		return;
	buffer_add(&out, text->text, (size_t)(end + 1 - text->text));
	buffer_puts(&out, ":");
	put_value(&out, random());
	buffer_puts(&out, ",");
	buffer_puts(&out, key);
	buffer_free(text);
	*text = out;
}

bool fuzz_json_mutate(struct buffer *text, uint64_t (*random)(void))
{
	json_t *root = text->length > 0 && strchr("{[", text->text[0]) ? json_loadb(text->text, text->length, JSON_ALLOW_NUL, NULL) : NULL;
	struct place place;
	char *dumped;

	if (!root || !choose(root, random(), &place)) {
		json_decref(root);
		return false;
	}
	change(&place, root, random(), random);
	dumped = json_dumps(root, JSON_COMPACT);
	json_decref(root);
	text->length = 0;
	fill(text, dumped, random);
	free(dumped);
	if (random() % 16 == 0)
		repeat(text, random);
	return true;
}
