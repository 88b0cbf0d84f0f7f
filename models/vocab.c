/* vocab.c - see vocab.h. A table by id, and an open-addressing hash of ids by text. */
#include "models/vocab.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/mem.h"
#include "models/json.h"

enum { MATCH_MAX = 64 }; /* bytes; longer special tokens are not looked for in text */
enum { GAPS = 1024 };    /* ids that any vocabulary may leave unused */

struct token {
	char *text; /* NULL: no such id */
	uint32_t length;
	uint32_t marks;
};

struct vocab {
	struct token *token;
	size_t size, capacity;
	int32_t *slot; /* id + 1, 0 = free; a power of two of them */
	size_t slots, used;
	bool starts[256]; /* first bytes of the tokens that vocab_match looks for */
	size_t longest;   /* of those */
};

struct vocab *vocab_create(void)
{
	return xcalloc(1, sizeof(struct vocab));
}

void vocab_free(struct vocab *v)
{
	if (!v)
		return;
	for (size_t i = 0; i < v->size; i++)
		free(v->token[i].text);
	free(v->token);
	free(v->slot);
	free(v);
}

size_t vocab_size(const struct vocab *v)
{
	return v->size;
}

/* FNV-1a */
static size_t hash(const char *text, size_t length)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < length; i++)
		h = (h ^ (unsigned char)text[i]) * 0x100000001b3u;
	return (size_t)(h ^ h >> 32);
}

/* The slot that holds the text, or the free one where it belongs. */
static int32_t *find_slot(const struct vocab *v, const char *text, size_t length)
{
	for (size_t i = hash(text, length);; i++) {
		int32_t *slot = &v->slot[i & (v->slots - 1)];

		if (*slot == 0)
			return slot;
		if (v->token[*slot - 1].length == length && memcmp(v->token[*slot - 1].text, text, length) == 0)
			return slot;
	}
}

int32_t vocab_find(const struct vocab *v, const char *text, size_t length)
{
	return v->slots ? *find_slot(v, text, length) - 1 : -1;
}

const char *vocab_text(const struct vocab *v, int32_t id, size_t *length)
{
	if (id < 0 || (size_t)id >= v->size || !v->token[id].text)
		return NULL;
	if (length)
		*length = v->token[id].length;
	return v->token[id].text;
}

unsigned vocab_marks(const struct vocab *v, int32_t id)
{
	return id < 0 || (size_t)id >= v->size ? 0 : v->token[id].marks;
}

void vocab_mark(struct vocab *v, int32_t id, unsigned marks)
{
	struct token *t;

	if (!vocab_text(v, id, NULL))
		return;
	t = &v->token[id];
	t->marks |= marks;
	if (!(t->marks & (VOCAB_SPECIAL | VOCAB_ADDED)) || t->length == 0 || t->length > MATCH_MAX)
		return;
	v->starts[(unsigned char)t->text[0]] = true;
	if (t->length > v->longest)
		v->longest = t->length;
}

static void grow_hash(struct vocab *v)
{
	v->slots = v->slots ? v->slots * 2 : 1024;
	free(v->slot);
	v->slot = xcalloc(v->slots, sizeof *v->slot);
	for (size_t i = 0; i < v->size; i++)
		if (v->token[i].text)
			*find_slot(v, v->token[i].text, v->token[i].length) = (int32_t)i + 1;
}

static void grow_tokens(struct vocab *v, size_t size)
{
	if (size > v->capacity) {
		size_t capacity = v->capacity * 2 > size ? v->capacity * 2 : size + 256;

		v->token = xrealloc(v->token, capacity, sizeof *v->token);
		memset(v->token + v->capacity, 0, (capacity - v->capacity) * sizeof *v->token);
		v->capacity = capacity;
	}
	if (size > v->size)
		v->size = size;
}

/* Where a text is put twice, the last id is found. */
static void put(struct vocab *v, const char *text, size_t length, int32_t id)
{
	grow_tokens(v, (size_t)id + 1);
	v->token[id].text = xmalloc(length + 1);
	memcpy(v->token[id].text, text, length);
	v->token[id].text[length] = '\0';
	v->token[id].length = (uint32_t)length;
	if (++v->used * 2 > v->slots)
		grow_hash(v);
	else
		*find_slot(v, text, length) = id + 1;
}

int32_t vocab_add(struct vocab *v, const char *text, size_t length, int64_t id, const char *file, struct error *err)
{
	int32_t known = vocab_find(v, text, length);

	if (known >= 0 && (id < 0 || id == known))
		return known;
	if (known >= 0)
		return fail(err, E_FORMAT, "%s: token \"%.*s\" has two ids, %d and %lld", file, (int)length, text, known, (long long)id);
	if (id < 0)
		id = (int64_t)v->size;
	if (id >= VOCAB_MAX || length > INT32_MAX)
		return fail(err, E_FORMAT, "%s: token \"%.*s\" has id %lld; ids must be below %d", file, (int)length, text, (long long)id, VOCAB_MAX);
	if (vocab_text(v, (int32_t)id, NULL))
		return fail(err, E_FORMAT, "%s: tokens \"%s\" and \"%.*s\" share id %lld", file, v->token[id].text, (int)length, text, (long long)id);
	put(v, text, length, (int32_t)id);
	return (int32_t)id;
}

/* One far-off id would take the memory of all before it. May a token of n have this one? */
static int check_id(const char *text, int64_t id, size_t n, const char *file, struct error *err)
{
	size_t most = 2 * n + GAPS;

	if (id < (int64_t)most)
		return 0;
	return fail(err, E_FORMAT, "%s: token \"%s\" has id %lld; where there are %zu tokens, ids must be below %zu", file, text, (long long)id, n,
		    most);
}

int vocab_add_object(struct vocab *v, const json_t *object, const char *file, struct error *err)
{
	size_t n = v->used + json_object_size(object);
	void *it;

	if (!json_is_object(object) || json_object_size(object) == 0)
		return fail(err, E_FORMAT, "%s: an object of tokens and ids is needed", file);
	for (it = json_object_iter((json_t *)object); it; it = json_object_iter_next((json_t *)object, it)) {
		const char *key = json_object_iter_key(it);
		const json_t *id = json_object_iter_value(it);

		if (!json_is_integer(id) || json_integer_value(id) < 0)
			return fail(err, E_FORMAT, "%s: the id of \"%s\" must be a whole number from 0", file, key);
		if (check_id(key, json_integer_value(id), n, file, err) < 0 ||
		    vocab_add(v, key, json_object_iter_key_len(it), json_integer_value(id), file, err) < 0)
			return -1;
	}
	return 0;
}

int vocab_add_lines(struct vocab *v, const char *path, struct error *err)
{
	size_t size;
	char *data = json_read_bytes(path, JSON_LIMIT, &size, err);
	int32_t id = 0;
	int result = 0;

	if (!data)
		return -1;
	for (size_t at = 0; at < size && result == 0; id++) {
		char *end = memchr(data + at, '\n', size - at);
		size_t length = end ? (size_t)(end - data) - at : size - at, kept = length;

		if (kept > 0 && data[at + kept - 1] == '\r')
			kept--;
		if (id == VOCAB_MAX)
			result = fail(err, E_FORMAT, "%s has more than %d lines", path, VOCAB_MAX);
		else
			put(v, data + at, kept, id);
		at += length + 1;
	}
	free(data);
	if (result == 0 && id == 0)
		result = fail(err, E_FORMAT, "%s is empty; one token a line is needed", path);
	return result;
}

int vocab_add_added(struct vocab *v, const json_t *list, const char *file, struct error *err)
{
	static const struct {
		const char *key;
		enum vocab_mark mark;
	} flags[] = {{"special", VOCAB_SPECIAL}, {"lstrip", VOCAB_LSTRIP}, {"rstrip", VOCAB_RSTRIP}, {"normalized", VOCAB_NORMALIZED}};
	struct json_reader r = {.file = file, .err = err};
	size_t n = v->used + json_array_size(list);

	for (size_t i = 0; i < json_array_size(list) && !r.failed; i++) {
		const json_t *entry = json_array_get(list, i);
		const char *text = json_text(&r, entry, "content", "");
		long id = json_int(&r, entry, "id", JSON_NEEDED, 0, VOCAB_MAX - 1);
		bool base = vocab_find(v, text, strlen(text)) >= 0;
		unsigned marks = base ? 0 : VOCAB_ADDED;

		for (size_t k = 0; k < sizeof flags / sizeof *flags; k++)
			marks |= json_flag(&r, entry, flags[k].key, false) ? flags[k].mark : 0u;
		if (r.failed || check_id(text, id, n, file, err) < 0 || vocab_add(v, text, strlen(text), id, file, err) < 0)
			return -1;
		vocab_mark(v, (int32_t)id, marks);
	}
	return r.failed ? -1 : 0;
}

/* The token that a special tokens map names: a text, or an object that holds it as "content". */
static void read_role(struct vocab *v, const json_t *map, const char *key, int32_t *role)
{
	const json_t *value = json_find(map, key), *content = json_is_object(value) ? json_find(value, "content") : value;

	if (*role >= 0 || !json_is_string(content))
		return;
	*role = vocab_find(v, json_string_value(content), json_string_length(content));
	if (json_is_object(value) && json_is_true(json_find(value, "lstrip")))
		vocab_mark(v, *role, VOCAB_LSTRIP);
	if (json_is_object(value) && json_is_true(json_find(value, "rstrip")))
		vocab_mark(v, *role, VOCAB_RSTRIP);
}

static int read_role_file(struct vocab *v, const char *dir, const char *name, int32_t roles[VOCAB_ROLES], struct error *err)
{
	static const char *const keys[VOCAB_ROLES] = {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"};
	char *path = xasprintf("%s/%s", dir, name);
	json_t *map = NULL;
	bool there = access(path, F_OK) == 0;

	if (there)
		map = json_read(path, JSON_LIMIT, err);
	free(path);
	if (there && !map)
		return -1;
	for (int i = 0; i < VOCAB_ROLES; i++)
		read_role(v, map, keys[i], &roles[i]);
	json_decref(map);
	return 0;
}

int vocab_find_roles(struct vocab *v, const char *dir, const char *const names[VOCAB_ROLES][2], int32_t roles[VOCAB_ROLES], struct error *err)
{
	for (int i = 0; i < VOCAB_ROLES; i++)
		roles[i] = -1;
	if (dir &&
	    (read_role_file(v, dir, "special_tokens_map.json", roles, err) < 0 || read_role_file(v, dir, "tokenizer_config.json", roles, err) < 0))
		return -1;
	for (int i = 0; i < VOCAB_ROLES; i++) {
		for (int k = 0; k < 2 && roles[i] < 0 && names[i][k]; k++)
			roles[i] = vocab_find(v, names[i][k], strlen(names[i][k]));
		vocab_mark(v, roles[i], VOCAB_SPECIAL);
	}
	return 0;
}

bool vocab_match(const struct vocab *v, const char *text, size_t length, size_t from, bool normalized, struct vocab_match *out)
{
	for (size_t at = from; at < length; at++) {
		if (!v->starts[(unsigned char)text[at]])
			continue;
		for (size_t n = length - at < v->longest ? length - at : v->longest; n > 0; n--) {
			int32_t id = vocab_find(v, text + at, n);
			unsigned marks = vocab_marks(v, id);

			if (!(marks & (VOCAB_SPECIAL | VOCAB_ADDED)) || !(marks & VOCAB_NORMALIZED) != !normalized)
				continue;
			*out = (struct vocab_match){at, n, id};
			return true;
		}
	}
	return false;
}

void ids_add(struct ids *ids, int32_t id)
{
	if (ids->n == ids->capacity) {
		ids->capacity = ids->capacity ? ids->capacity * 2 : 64;
		ids->id = xrealloc(ids->id, ids->capacity, sizeof *ids->id);
	}
	ids->id[ids->n++] = id;
}
