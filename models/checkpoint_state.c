/* checkpoint_state.c - from what a pickle says to tensors: which of its dictionaries is the state_dict, and where each tensor lies. */
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "models/checkpoint_pickle.h"
#include "models/checkpoint_private.h"

enum { DEEPEST = 64, NAME_MOST = 500, KEYS_SHOWN = 8, FIELD_COST = 16 };

struct state {
	struct checkpoint *c;
	int file;
	pickle_place *place;
	void *ctx;
	struct buffer prefix; /* of names: "visual.conv1." */
	size_t room;          /* for what a hostile tree makes of little: parts that are shared again and again */
	int depth;
};

static const char *file_of(const struct state *s)
{
	return s->c->files[s->file].path;
}

static int charge(struct state *s, size_t size, struct error *err)
{
	if (size > s->room)
		return fail(err, E_LIMIT, "%s: its modules share their parts more often than weights ever do", file_of(s));
	s->room -= size;
	return 0;
}

/* ---- one tensor */

/* Whether the elements lie one behind the other. */
static bool row_major(const struct pickle_tensor *t)
{
	int64_t step = 1;

	for (int i = t->ndim - 1; i >= 0; i--) {
		if (t->shape[i].as.integer != 1 && t->stride[i].as.integer != step)
			return false;
		step *= t->shape[i].as.integer;
	}
	return true;
}

static int place_tensor(const struct state *s, struct checkpoint_entry *e, const struct pickle_tensor *t, struct error *err)
{
	int64_t begin, bytes, size = checkpoint_dtype_size(t->storage->dtype);

	if (s->place(s->ctx, t->storage, &begin, &bytes, &e->record, err) < 0)
		return -1;
	if (bytes / size < t->storage->offset + t->storage->count)
		return fail(err, E_FORMAT, "%s: %s: its storage has %jd bytes, %jd were promised; download the file again", file_of(s),
			    e->tensor.name, (intmax_t)bytes, (intmax_t)((t->storage->offset + t->storage->count) * size));
	e->file = s->file;
	e->begin = begin + (e->tensor.count > 0 ? (t->storage->offset + t->offset) * size : 0);
	return 0;
}

static int add_tensor(struct state *s, const struct pickle_tensor *t, struct error *err)
{
	struct checkpoint_entry *e;

	if (charge(s, sizeof *e + s->prefix.length, err) < 0)
		return -1;
	e = checkpoint_add(s->c, s->prefix.text);
	e->tensor.dtype = t->storage->dtype;
	e->tensor.ndim = t->ndim;
	for (int i = 0; i < t->ndim; i++)
		e->tensor.shape[i] = t->shape[i].as.integer;
	if (checkpoint_measure(file_of(s), &e->tensor, err) < 0 || place_tensor(s, e, t, err) < 0)
		return -1;
	if (e->tensor.count > 0 && !row_major(t)) {
		e->stride = xcalloc((size_t)t->ndim, sizeof *e->stride);
		for (int i = 0; i < t->ndim; i++)
			e->stride[i] = t->stride[i].as.integer;
	}
	return 0;
}

/* ---- the tree */

static int extend_name(struct state *s, const struct pickle_value *key, struct error *err)
{
	if (key->kind != PICKLE_TEXT || memchr(key->as.text, '\0', key->length))
		return fail(err, E_FORMAT, "%s: a tensor whose name is no text", file_of(s));
	if (s->prefix.length + key->length > NAME_MOST)
		return fail(err, E_FORMAT, "%s: a tensor whose name is longer than %d bytes", file_of(s), NAME_MOST);
	buffer_add(&s->prefix, key->as.text, key->length);
	return 0;
}

static int add_fields(struct state *s, const struct pickle_value *dict, struct error *err);

static int add_value(struct state *s, const struct pickle_value *value, struct error *err)
{
	int rc;

	if (value->kind == PICKLE_TENSOR)
		return add_tensor(s, value->as.tensor, err);
	buffer_puts(&s->prefix, ".");
	value->as.list->open = true;
	rc = s->depth++ < DEEPEST ? add_fields(s, value, err) : fail(err, E_FORMAT, "%s: modules nested too deeply", file_of(s));
	s->depth--;
	value->as.list->open = false;
	return rc;
}

/* The tensors of a dictionary; of a module, those of its parts too. All else there is no weight. A module that holds itself adds nothing new. */
static int add_fields(struct state *s, const struct pickle_value *dict, struct error *err)
{
	const struct pickle_list *list = dict->as.list;
	size_t length = s->prefix.length;
	int rc = charge(s, (list->n + 1) * FIELD_COST, err);

	for (size_t i = 0; i + 1 < list->n && rc == 0; i += 2) {
		const struct pickle_value *value = &list->items[i + 1];

		if (value->kind != PICKLE_TENSOR && (value->kind != PICKLE_OBJECT || value->as.list->open))
			continue;
		rc = extend_name(s, &list->items[i], err);
		if (rc == 0)
			rc = add_value(s, value, err);
		s->prefix.length = length;
		s->prefix.text[length] = '\0';
	}
	return rc;
}

/* ---- the state_dict */

static bool has_tensors(const struct pickle_value *dict)
{
	for (size_t i = 1; i < dict->as.list->n; i += 2)
		if (dict->as.list->items[i].kind == PICKLE_TENSOR)
			return true;
	return false;
}

/* The dictionary of tensors: v itself, or what a training program's checkpoint has under one of the usual names. */
static const struct pickle_value *find_state(const struct pickle_value *v, int depth)
{
	static const char *const usual[] = {"state_dict", "model_state_dict", "model", "module"};

	if (v->kind == PICKLE_OBJECT || (v->kind == PICKLE_DICT && has_tensors(v)))
		return v;
	for (size_t i = 0; v->kind == PICKLE_DICT && depth < 3 && i < sizeof usual / sizeof usual[0]; i++) {
		const struct pickle_value *inner = pickle_field(v, usual[i]);
		const struct pickle_value *found = inner ? find_state(inner, depth + 1) : NULL;

		if (found)
			return found;
	}
	return NULL;
}

static int refuse_top(const char *file, const struct pickle_value *top, struct error *err)
{
	struct buffer keys = {0};
	int shown = 0;

	if (top->kind != PICKLE_DICT)
		return fail(err, E_MODEL, "%s: holds no dictionary of tensors; save a model's state_dict", file);
	for (size_t i = 0; i < top->as.list->n; i += 2) {
		const struct pickle_value *key = &top->as.list->items[i];

		if (key->kind == PICKLE_TEXT && shown++ < KEYS_SHOWN)
			buffer_printf(&keys, "%s%.*s", shown > 1 ? ", " : "", (int)(key->length < 40 ? key->length : 40), key->as.text);
	}
	fail(err, E_MODEL, "%s: holds a dictionary without tensors (%s); save a model's state_dict", file, keys.text ? keys.text : "it is empty");
	buffer_free(&keys);
	return -1;
}

int state_read(struct checkpoint *c, int file, const struct pickle_value *top, pickle_place *place, void *ctx, struct error *err)
{
	struct state s = {.c = c, .file = file, .place = place, .ctx = ctx, .room = pickle_budget(c->files[file].size)};
	const struct pickle_value *state = find_state(top, 0);
	int first = c->n, rc;

	if (!state)
		return refuse_top(c->files[file].path, top, err);
	c->wrapped = state != top;
	state->as.list->open = true;
	buffer_puts(&s.prefix, "");
	rc = add_fields(&s, state, err);
	buffer_free(&s.prefix);
	if (rc == 0 && c->n == first)
		return fail(err, E_MODEL, "%s: holds a module without tensors", c->files[file].path);
	return rc;
}
