/* checkpoint_pickle.c - see checkpoint_pickle.h. The machine and its opcodes: https://docs.python.org/3/library/pickletools.html. */
#include "models/checkpoint_pickle.h"

#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

enum { CHUNK = 16 * 1024, STACK_START = 64, MEMO_GAP = 1024, LIST_START = 4 };

struct chunk {
	struct chunk *next;
	size_t used, size;
	_Alignas(16) unsigned char bytes[];
};

struct values {
	struct pickle_value *at;
	size_t n, capacity;
};

struct pickle {
	const char *file;
	const unsigned char *bytes;
	size_t size, at;
	size_t begin; /* of the pickle that is being read */
	size_t budget;
	struct chunk *chunks;
	struct pickle_list storages;
	struct values stack, memo;
	size_t *marks;
	size_t n_marks, marks_capacity;
	bool stopped;
};

/* ---- memory */

static int charge(struct pickle *p, size_t size, struct error *err)
{
	if (size > p->budget)
		return fail(err, E_LIMIT, "%s: its pickle asks for more memory than weights ever do", p->file);
	p->budget -= size;
	return 0;
}

void *pickle_take(struct pickle *p, size_t size, struct error *err)
{
	size_t need = (size + 15) / 16 * 16;
	void *memory;

	if (charge(p, need, err) < 0)
		return NULL;
	if (!p->chunks || p->chunks->size - p->chunks->used < need) {
		size_t room = need > CHUNK ? need : CHUNK;
		struct chunk *fresh = xcalloc(1, sizeof *fresh + room);

		fresh->size = room;
		fresh->next = p->chunks;
		p->chunks = fresh;
	}
	memory = p->chunks->bytes + p->chunks->used;
	p->chunks->used += need;
	return memory;
}

/* Room for one more of `size` bytes each, by doubling. */
static int grow(struct pickle *p, void **items, size_t n, size_t *capacity, size_t size, struct error *err)
{
	size_t more = *capacity ? *capacity : STACK_START;

	if (n < *capacity)
		return 0;
	if (charge(p, more * size, err) < 0)
		return -1;
	*items = xrealloc(*items, *capacity + more, size);
	memset((char *)*items + *capacity * size, 0, more * size);
	*capacity += more;
	return 0;
}

int pickle_append(struct pickle *p, struct pickle_list *list, const struct pickle_value *v, struct error *err)
{
	if (list->n == list->capacity) {
		size_t capacity = list->capacity ? 2 * list->capacity : LIST_START;
		struct pickle_value *items = pickle_take(p, capacity * sizeof *items, err);

		if (!items)
			return -1;
		if (list->n > 0)
			memcpy(items, list->items, list->n * sizeof *items);
		list->items = items;
		list->capacity = capacity;
	}
	list->items[list->n++] = *v;
	return 0;
}

/* ---- the bytes and the stack */

int pickle_fail(const struct pickle *p, struct error *err, const char *fmt, ...)
{
	va_list ap;
	char *text;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	fail(err, E_FORMAT, "%s: broken pickle at its byte %zu: %s", p->file, p->at - p->begin, text);
	free(text);
	return -1;
}

const char *pickle_file(const struct pickle *p)
{
	return p->file;
}

static const unsigned char *read_bytes(struct pickle *p, uint64_t n, struct error *err)
{
	const unsigned char *bytes = p->bytes + p->at;

	if (n > p->size - p->at) {
		pickle_fail(p, err, "truncated, it ends too early; download the file again");
		return NULL;
	}
	p->at += (size_t)n;
	return bytes;
}

static int read_unsigned(struct pickle *p, int size, uint64_t *out, struct error *err)
{
	const unsigned char *bytes = read_bytes(p, (uint64_t)size, err);

	if (!bytes)
		return -1;
	*out = 0;
	for (int i = size - 1; i >= 0; i--)
		*out = *out << 8 | bytes[i];
	return 0;
}

static int push(struct pickle *p, const struct pickle_value *v, struct error *err)
{
	if (grow(p, (void **)&p->stack.at, p->stack.n, &p->stack.capacity, sizeof *v, err) < 0)
		return -1;
	p->stack.at[p->stack.n++] = *v;
	return 0;
}

/* The topmost n values, which must lie above the last mark; they stay on the stack. */
static struct pickle_value *need(struct pickle *p, size_t n, struct error *err)
{
	size_t floor = p->n_marks ? p->marks[p->n_marks - 1] : 0;

	if (p->stack.n - floor < n) {
		pickle_fail(p, err, "its stack is empty");
		return NULL;
	}
	return p->stack.at + p->stack.n - n;
}

/* Those above the last mark, which is taken away; they stay. */
static struct pickle_value *above_mark(struct pickle *p, size_t *n, struct error *err)
{
	size_t floor;

	if (p->n_marks == 0) {
		pickle_fail(p, err, "a mark is missing");
		return NULL;
	}
	floor = p->marks[--p->n_marks];
	*n = p->stack.n - floor;
	return p->stack.at + floor;
}

/* Puts v in the place of the topmost n values. */
static int replace(struct pickle *p, size_t n, const struct pickle_value *v, struct error *err)
{
	p->stack.n -= n;
	return push(p, v, err);
}

/* ---- opcodes; what `how` means stands in the table below */

static int op_skip(struct pickle *p, int how, struct error *err)
{
	return read_bytes(p, (uint64_t)how, err) ? 0 : -1;
}

static int op_none(struct pickle *p, int how, struct error *err)
{
	return push(p, &(struct pickle_value){.kind = PICKLE_NONE}, err);
}

static int op_bool(struct pickle *p, int how, struct error *err)
{
	return push(p, &(struct pickle_value){.kind = PICKLE_BOOL, .as.integer = how}, err);
}

static int op_int(struct pickle *p, int how, struct error *err)
{
	uint64_t bits;

	if (read_unsigned(p, how, &bits, err) < 0)
		return -1;
	return push(p, &(struct pickle_value){.kind = PICKLE_INT, .as.integer = how == 4 ? (int32_t)(uint32_t)bits : (int64_t)bits}, err);
}

static int op_long(struct pickle *p, int how, struct error *err)
{
	struct pickle_value v = {.kind = PICKLE_INT};
	const unsigned char *bytes;
	uint64_t n, bits = 0;

	if (read_unsigned(p, how, &n, err) < 0 || !(bytes = read_bytes(p, n, err)))
		return -1;
	if (n > 8) {
		v = (struct pickle_value){.kind = PICKLE_LONG, .length = (uint32_t)n, .as.text = (const char *)bytes};
	} else if (n > 0) {
		bits = bytes[n - 1] & 0x80 ? UINT64_MAX : 0;
		for (size_t i = (size_t)n; i > 0; i--)
			bits = bits << 8 | bytes[i - 1];
		v.as.integer = (int64_t)bits;
	}
	return push(p, &v, err);
}

static int op_float(struct pickle *p, int how, struct error *err)
{
	const unsigned char *bytes = read_bytes(p, 8, err);
	struct pickle_value v = {.kind = PICKLE_FLOAT};
	uint64_t bits = 0;

	if (!bytes)
		return -1;
	for (int i = 0; i < 8; i++)
		bits = bits << 8 | bytes[i];
	memcpy(&v.as.number, &bits, sizeof bits);
	return push(p, &v, err);
}

static int push_text(struct pickle *p, enum pickle_kind kind, int size, struct error *err)
{
	const unsigned char *bytes;
	uint64_t n;

	if (read_unsigned(p, size, &n, err) < 0 || !(bytes = read_bytes(p, n, err)))
		return -1;
	if (n > UINT32_MAX)
		return pickle_fail(p, err, "a text of 4 GB");
	return push(p, &(struct pickle_value){.kind = kind, .length = (uint32_t)n, .as.text = (const char *)bytes}, err);
}

static int op_text(struct pickle *p, int how, struct error *err)
{
	return push_text(p, PICKLE_TEXT, how, err);
}

static int op_bytes(struct pickle *p, int how, struct error *err)
{
	return push_text(p, PICKLE_BYTES, how, err);
}

static int op_empty(struct pickle *p, int how, struct error *err)
{
	struct pickle_value v = {.kind = (enum pickle_kind)how};

	if (how != PICKLE_TUPLE && !(v.as.list = pickle_take(p, sizeof *v.as.list, err)))
		return -1;
	return push(p, &v, err);
}

static int op_mark(struct pickle *p, int how, struct error *err)
{
	if (grow(p, (void **)&p->marks, p->n_marks, &p->marks_capacity, sizeof *p->marks, err) < 0)
		return -1;
	p->marks[p->n_marks++] = p->stack.n;
	return 0;
}

static int op_pop(struct pickle *p, int how, struct error *err)
{
	size_t n;

	if (how || (p->n_marks && p->marks[p->n_marks - 1] == p->stack.n)) { /* a plain POP takes a mark too */
		if (!above_mark(p, &n, err))
			return -1;
		p->stack.n -= n;
		return 0;
	}
	if (!need(p, 1, err))
		return -1;
	p->stack.n--;
	return 0;
}

static int op_dup(struct pickle *p, int how, struct error *err)
{
	const struct pickle_value *top = need(p, 1, err);
	struct pickle_value copy;

	if (!top)
		return -1;
	copy = *top;
	return push(p, &copy, err);
}

static int op_tuple(struct pickle *p, int how, struct error *err)
{
	size_t n = (size_t)how;
	struct pickle_value *items = how < 0 ? above_mark(p, &n, err) : need(p, n, err), *kept = NULL;
	struct pickle_value v = {.kind = PICKLE_TUPLE, .length = (uint32_t)n};

	if (!items || (n > 0 && !(kept = pickle_take(p, n * sizeof *kept, err))))
		return -1;
	if (n > 0)
		memcpy(kept, items, n * sizeof *kept);
	v.as.items = kept;
	return replace(p, n, &v, err);
}

/* n values into a list, or as keys and values into a dictionary. */
static int extend(struct pickle *p, const struct pickle_value *into, const struct pickle_value *items, size_t n, bool pairs, struct error *err)
{
	if (into->kind == PICKLE_OPAQUE)
		return 0;
	if (into->kind != (pairs ? PICKLE_DICT : PICKLE_LIST))
		return pickle_fail(p, err, pairs ? "a key is set in something that is no dictionary" : "something is appended to what is no list");
	if (pairs && n % 2 != 0)
		return pickle_fail(p, err, "a key without a value");
	for (size_t i = 0; i < n; i++)
		if (pickle_append(p, into->as.list, &items[i], err) < 0)
			return -1;
	return 0;
}

static int op_collect(struct pickle *p, int how, struct error *err)
{
	size_t n;
	struct pickle_value *items = above_mark(p, &n, err), v = {.kind = (enum pickle_kind)how};

	if (!items || !(v.as.list = pickle_take(p, sizeof *v.as.list, err)) || extend(p, &v, items, n, how == PICKLE_DICT, err) < 0)
		return -1;
	return replace(p, n, &v, err);
}

static int op_append(struct pickle *p, int how, struct error *err)
{
	size_t n = 1;
	const struct pickle_value *items = how ? above_mark(p, &n, err) : need(p, n, err);

	if (!items || !need(p, n + 1, err) || extend(p, &items[-1], items, n, false, err) < 0)
		return -1;
	p->stack.n -= n;
	return 0;
}

static int op_set(struct pickle *p, int how, struct error *err)
{
	size_t n = 2;
	const struct pickle_value *items = how ? above_mark(p, &n, err) : need(p, n, err);

	if (!items || !need(p, n + 1, err) || extend(p, &items[-1], items, n, true, err) < 0)
		return -1;
	p->stack.n -= n;
	return 0;
}

static int op_put(struct pickle *p, int how, struct error *err)
{
	const struct pickle_value *top = need(p, 1, err);
	uint64_t index = p->memo.n;

	if (!top || (how && read_unsigned(p, how, &index, err) < 0))
		return -1;
	if (index > p->memo.n + MEMO_GAP) /* picklers count up */
		return pickle_fail(p, err, "a memory place far behind the last");
	while (p->memo.n <= index) {
		if (grow(p, (void **)&p->memo.at, p->memo.n, &p->memo.capacity, sizeof *p->memo.at, err) < 0)
			return -1;
		p->memo.n++;
	}
	p->memo.at[index] = *top;
	return 0;
}

static int op_get(struct pickle *p, int how, struct error *err)
{
	uint64_t index;

	if (read_unsigned(p, how, &index, err) < 0)
		return -1;
	if (index >= p->memo.n || p->memo.at[index].kind == PICKLE_NOTHING)
		return pickle_fail(p, err, "a memory place that holds nothing");
	return push(p, &p->memo.at[index], err);
}

/* A line, without its end. */
static const char *read_line(struct pickle *p, size_t *length, struct error *err)
{
	const char *from = (const char *)p->bytes + p->at, *end = memchr(from, '\n', p->size - p->at);

	if (!end) {
		pickle_fail(p, err, "a name that does not end");
		return NULL;
	}
	*length = (size_t)(end - from);
	p->at += *length + 1;
	return from;
}

static int op_global(struct pickle *p, int how, struct error *err)
{
	struct pickle_value v = {.kind = PICKLE_GLOBAL};
	const char *module, *name;
	size_t m, n;

	if (how) { /* both are on the stack */
		const struct pickle_value *texts = need(p, 2, err);

		if (!texts)
			return -1;
		if (texts[0].kind != PICKLE_TEXT || texts[1].kind != PICKLE_TEXT)
			return pickle_fail(p, err, "a global whose name is no text");
		module = texts[0].as.text, m = texts[0].length;
		name = texts[1].as.text, n = texts[1].length;
	} else if (!(module = read_line(p, &m, err)) || !(name = read_line(p, &n, err))) {
		return -1;
	}
	v.as.global = global_find(p, module, m, name, n, err);
	return v.as.global ? replace(p, how ? 2 : 0, &v, err) : -1;
}

static int op_persistent(struct pickle *p, int how, struct error *err)
{
	const struct pickle_value *id = need(p, 1, err);
	struct pickle_value v;

	if (!id || global_storage(p, id, &v, err) < 0)
		return -1;
	return replace(p, 1, &v, err);
}

static int op_reduce(struct pickle *p, int how, struct error *err)
{
	const struct pickle_value *two = need(p, 2, err);
	struct pickle_value v;

	if (!two || global_call(p, &two[0], &two[1], &v, err) < 0)
		return -1;
	return replace(p, 2, &v, err);
}

static int op_make(struct pickle *p, int how, struct error *err)
{
	const struct pickle_value *parts = need(p, (size_t)how, err);
	struct pickle_value v;

	if (!parts || global_make(p, &parts[0], &v, err) < 0)
		return -1;
	return replace(p, (size_t)how, &v, err);
}

static int op_build(struct pickle *p, int how, struct error *err)
{
	const struct pickle_value *two = need(p, 2, err);

	if (!two || global_build(p, &two[0], &two[1], err) < 0)
		return -1;
	p->stack.n--;
	return 0;
}

static int op_stop(struct pickle *p, int how, struct error *err)
{
	if (p->stack.n != 1 || p->n_marks != 0)
		return pickle_fail(p, err, "it ends with %zu values instead of one", p->stack.n);
	p->stopped = true;
	return 0;
}

static const struct {
	int (*run)(struct pickle *p, int how, struct error *err);
	int how;
} opcodes[256] = {
	/* how: bytes to pass over */
	[0x80] = {op_skip, 1}, /* PROTO */
	[0x95] = {op_skip, 8}, /* FRAME */
	['N'] = {op_none, 0},
	[0x88] = {op_bool, 1},
	[0x89] = {op_bool, 0},
	/* how: bytes of the number */
	['J'] = {op_int, 4},
	['K'] = {op_int, 1},
	['M'] = {op_int, 2},
	['G'] = {op_float, 8},
	/* how: bytes of the length before it */
	[0x8a] = {op_long, 1},
	[0x8b] = {op_long, 4},
	['X'] = {op_text, 4},
	[0x8c] = {op_text, 1},
	[0x8d] = {op_text, 8},
	['T'] = {op_text, 4}, /* the texts of Python 2 */
	['U'] = {op_text, 1},
	['B'] = {op_bytes, 4},
	['C'] = {op_bytes, 1},
	[0x8e] = {op_bytes, 8},
	/* how: the kind */
	[')'] = {op_empty, PICKLE_TUPLE},
	[']'] = {op_empty, PICKLE_LIST},
	['}'] = {op_empty, PICKLE_DICT},
	[0x8f] = {op_empty, PICKLE_LIST}, /* a set */
	['l'] = {op_collect, PICKLE_LIST},
	['d'] = {op_collect, PICKLE_DICT},
	[0x91] = {op_collect, PICKLE_LIST}, /* a frozen set */
	['('] = {op_mark, 0},
	['2'] = {op_dup, 0},
	/* how: how many values; -1: those above the mark */
	['t'] = {op_tuple, -1},
	[0x85] = {op_tuple, 1},
	[0x86] = {op_tuple, 2},
	[0x87] = {op_tuple, 3},
	/* how: 1: all above the mark */
	['0'] = {op_pop, 0},
	['1'] = {op_pop, 1},
	['a'] = {op_append, 0},
	['e'] = {op_append, 1},
	[0x90] = {op_append, 1}, /* ADDITEMS */
	['s'] = {op_set, 0},
	['u'] = {op_set, 1},
	/* how: bytes of the index; 0: the next one */
	['q'] = {op_put, 1},
	['r'] = {op_put, 4},
	[0x94] = {op_put, 0},
	['h'] = {op_get, 1},
	['j'] = {op_get, 4},
	/* how: 1: named by the stack */
	['c'] = {op_global, 0},
	[0x93] = {op_global, 1},
	['Q'] = {op_persistent, 0},
	['R'] = {op_reduce, 0},
	/* how: the class and its arguments */
	[0x81] = {op_make, 2},
	[0x92] = {op_make, 3},
	['b'] = {op_build, 0},
	['.'] = {op_stop, 0},
};

/* ---- the whole */

size_t pickle_budget(size_t file_size)
{
	return 4 * 1024 * 1024 + 2 * file_size;
}

struct pickle *pickle_create(const char *file, const unsigned char *bytes, size_t size, size_t budget)
{
	struct pickle *p = xcalloc(1, sizeof *p);

	*p = (struct pickle){.file = file, .bytes = bytes, .size = size, .budget = budget};
	p->stack = (struct values){.at = xcalloc(STACK_START, sizeof *p->stack.at), .capacity = STACK_START};
	return p;
}

void pickle_free(struct pickle *p)
{
	if (!p)
		return;
	while (p->chunks) {
		struct chunk *next = p->chunks->next;

		free(p->chunks);
		p->chunks = next;
	}
	free(p->stack.at);
	free(p->memo.at);
	free(p->marks);
	free(p);
}

size_t pickle_at(const struct pickle *p)
{
	return p->at;
}

struct pickle_list *pickle_storages(struct pickle *p)
{
	return &p->storages;
}

int pickle_next(struct pickle *p, struct pickle_value *top, struct error *err)
{
	p->begin = p->at;
	p->stack.n = p->memo.n = p->n_marks = 0;
	if (p->memo.capacity > 0)
		memset(p->memo.at, 0, p->memo.capacity * sizeof *p->memo.at);
	p->stopped = false;
	while (!p->stopped) {
		const unsigned char *code = read_bytes(p, 1, err);

		if (!code)
			return -1;
		if (!opcodes[*code].run)
			return pickle_fail(p, err, "opcode 0x%02x is none that weights need", *code);
		if (opcodes[*code].run(p, opcodes[*code].how, err) < 0)
			return -1;
	}
	*top = p->stack.at[0];
	return 0;
}

bool pickle_is_text(const struct pickle_value *v, const char *text)
{
	return v->kind == PICKLE_TEXT && strlen(text) == v->length && memcmp(v->as.text, text, v->length) == 0;
}

const struct pickle_value *pickle_field(const struct pickle_value *dict, const char *key)
{
	const struct pickle_list *list = dict->kind == PICKLE_DICT || dict->kind == PICKLE_OBJECT ? dict->as.list : NULL;

	for (size_t i = 0; list && i + 1 < list->n; i += 2)
		if (pickle_is_text(&list->items[i], key))
			return &list->items[i + 1];
	return NULL;
}
