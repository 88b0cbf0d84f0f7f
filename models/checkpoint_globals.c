/* checkpoint_globals.c - what the names in a pickle stand for: the list of those that are allowed, and the harmless step that each comes to. */
#include <string.h>

#include "models/checkpoint_pickle.h"
#include "models/checkpoint_private.h"

static const struct pickle_global globals[] = {
	{"collections", "OrderedDict", ROLE_DICT, 0},
	{"collections", "defaultdict", ROLE_DICT, 0},
	{"collections", "Counter", ROLE_DICT, 0},
	{"builtins", "dict", ROLE_DICT, 0},
	{"__builtin__", "dict", ROLE_DICT, 0},
	{"torch", "FloatStorage", ROLE_STORAGE, CKPT_F32},
	{"torch", "HalfStorage", ROLE_STORAGE, CKPT_F16},
	{"torch", "BFloat16Storage", ROLE_STORAGE, CKPT_BF16},
	{"torch", "DoubleStorage", ROLE_STORAGE, CKPT_F64},
	{"torch", "LongStorage", ROLE_STORAGE, CKPT_I64},
	{"torch", "IntStorage", ROLE_STORAGE, CKPT_I32},
	{"torch", "ShortStorage", ROLE_STORAGE, CKPT_I16},
	{"torch", "CharStorage", ROLE_STORAGE, CKPT_I8},
	{"torch", "ByteStorage", ROLE_STORAGE, CKPT_U8},
	{"torch", "BoolStorage", ROLE_STORAGE, CKPT_BOOL},
	{"torch._utils", "_rebuild_tensor", ROLE_TENSOR, 0},
	{"torch._utils", "_rebuild_tensor_v2", ROLE_TENSOR, 0},
	{"torch._utils", "_rebuild_parameter", ROLE_FIRST, 0},
	{"torch._utils", "_rebuild_parameter_with_state", ROLE_FIRST, 0},
	{"torch", "Size", ROLE_FIRST, 0},
	{"torch.jit._pickle", "build_intlist", ROLE_FIRST, 0},
	{"torch.jit._pickle", "build_tensorlist", ROLE_FIRST, 0},
	{"torch.jit._pickle", "build_doublelist", ROLE_FIRST, 0},
	{"torch.jit._pickle", "build_boollist", ROLE_FIRST, 0},
	{"torch.jit._pickle", "restore_type_tag", ROLE_FIRST, 0},
	/* what training programs keep beside the weights */
	{"torch", "device", ROLE_OPAQUE, 0},
	{"torch", "float32", ROLE_OPAQUE, 0},
	{"torch", "float16", ROLE_OPAQUE, 0},
	{"torch", "bfloat16", ROLE_OPAQUE, 0},
	{"torch", "float64", ROLE_OPAQUE, 0},
	{"torch", "int64", ROLE_OPAQUE, 0},
	{"torch", "int32", ROLE_OPAQUE, 0},
	{"torch", "int16", ROLE_OPAQUE, 0},
	{"torch", "int8", ROLE_OPAQUE, 0},
	{"torch", "uint8", ROLE_OPAQUE, 0},
	{"torch", "bool", ROLE_OPAQUE, 0},
	{"builtins", "set", ROLE_OPAQUE, 0},
	{"__builtin__", "set", ROLE_OPAQUE, 0},
	{"builtins", "list", ROLE_OPAQUE, 0},
	{"builtins", "int", ROLE_OPAQUE, 0},
	{"builtins", "float", ROLE_OPAQUE, 0},
	{"_codecs", "encode", ROLE_OPAQUE, 0},
	{"argparse", "Namespace", ROLE_OPAQUE, 0},
	{"numpy", "dtype", ROLE_OPAQUE, 0},
	{"numpy", "ndarray", ROLE_OPAQUE, 0},
	{"numpy.core.multiarray", "scalar", ROLE_OPAQUE, 0},
	{"numpy.core.multiarray", "_reconstruct", ROLE_OPAQUE, 0},
	{"numpy._core.multiarray", "scalar", ROLE_OPAQUE, 0},
	{"numpy._core.multiarray", "_reconstruct", ROLE_OPAQUE, 0},
};
enum { GLOBALS = sizeof globals / sizeof globals[0] };

static const struct pickle_global script_class = {"__torch__", "", ROLE_CLASS, 0};

static bool same(const char *text, const char *other, size_t length)
{
	return strlen(text) == length && memcmp(text, other, length) == 0;
}

const struct pickle_global *global_find(struct pickle *p, const char *module, size_t module_length, const char *name, size_t name_length,
					struct error *err)
{
	enum { SHOWN = 200 };
	static const char scripted[] = "__torch__";
	size_t n = sizeof scripted - 1;

	for (int i = 0; i < GLOBALS; i++)
		if (same(globals[i].module, module, module_length) && same(globals[i].name, name, name_length))
			return &globals[i];
	if (module_length >= n && memcmp(module, scripted, n) == 0 && (module_length == n || module[n] == '.'))
		return &script_class;
	return fail_null(
		err, E_MODEL, "%s: names %.*s.%.*s, which weights do not need; nothing of it was run. Save the state_dict alone, best as safetensors",
		pickle_file(p), (int)(module_length < SHOWN ? module_length : SHOWN), module, (int)(name_length < SHOWN ? name_length : SHOWN), name);
}

/* ---- tensors */

static bool integer_in(const struct pickle_value *v, int64_t *out)
{
	*out = v->as.integer;
	return v->kind == PICKLE_INT && *out >= 0;
}

/* ('storage', class, key, location, count), in files of before 1.6 with a sixth: None, or (key, offset, count) of a view. */
int global_storage(struct pickle *p, const struct pickle_value *id, struct pickle_value *out, struct error *err)
{
	const struct pickle_value *v = id->as.items, *view;
	struct pickle_storage *s;

	if (id->kind != PICKLE_TUPLE || id->length < 5 || !pickle_is_text(&v[0], "storage") || v[1].kind != PICKLE_GLOBAL ||
	    v[1].as.global->role != ROLE_STORAGE || v[2].kind != PICKLE_TEXT)
		return pickle_fail(p, err, "a persistent id that is no storage");
	s = pickle_take(p, sizeof *s, err);
	if (!s)
		return -1;
	s->key = v[2];
	s->dtype = v[1].as.global->dtype;
	if (!integer_in(&v[4], &s->count) || s->count > INT64_MAX / 8)
		return pickle_fail(p, err, "a storage of impossible size");
	view = id->length > 5 && v[5].kind == PICKLE_TUPLE ? v[5].as.items : NULL;
	if (view) {
		int64_t count;

		if (v[5].length != 3 || !integer_in(&view[1], &s->offset) || !integer_in(&view[2], &count) || s->offset > s->count ||
		    count > s->count - s->offset)
			return pickle_fail(p, err, "a view outside of its storage");
		s->count = count;
	}
	*out = (struct pickle_value){.kind = PICKLE_STORAGE, .as.storage = s};
	return pickle_append(p, pickle_storages(p), out, err);
}

/* The last element must lie in the storage, and there must not be more elements than it has (as an expanded tensor has). */
static int tensor_check(struct pickle *p, const struct pickle_tensor *t, struct error *err)
{
	int64_t count = 1, last = t->offset;
	bool over = false;

	for (int i = 0; i < t->ndim; i++) {
		int64_t size, stride, reach;

		if (!integer_in(&t->shape[i], &size) || !integer_in(&t->stride[i], &stride))
			return pickle_fail(p, err, "a tensor's size or stride is not a number of elements");
		over |= __builtin_mul_overflow(count, size, &count);
		over |= __builtin_mul_overflow(size > 0 ? size - 1 : 0, stride, &reach);
		over |= __builtin_add_overflow(last, reach, &last);
	}
	if (over)
		return pickle_fail(p, err, "a tensor of impossible size");
	if (count > 0 && last >= t->storage->count)
		return pickle_fail(p, err, "a tensor reaches to element %jd of a storage of %jd", (intmax_t)last, (intmax_t)t->storage->count);
	if (count > t->storage->count)
		return pickle_fail(p, err, "a tensor of %jd elements over a storage of %jd", (intmax_t)count, (intmax_t)t->storage->count);
	return 0;
}

/* (storage, offset, shape, strides, …) */
static int tensor_make(struct pickle *p, const struct pickle_value *arguments, struct pickle_value *out, struct error *err)
{
	const struct pickle_value *v = arguments->as.items;
	struct pickle_tensor *t;

	if (arguments->length < 4 || v[0].kind != PICKLE_STORAGE || v[2].kind != PICKLE_TUPLE || v[3].kind != PICKLE_TUPLE ||
	    v[2].length != v[3].length)
		return pickle_fail(p, err, "a tensor without storage, shape or strides");
	if (v[2].length > CKPT_MAX_DIMS)
		return pickle_fail(p, err, "a tensor of %u dimensions; at most %d are supported", (unsigned)v[2].length, CKPT_MAX_DIMS);
	t = pickle_take(p, sizeof *t, err);
	if (!t)
		return -1;
	*t = (struct pickle_tensor){.storage = v[0].as.storage, .shape = v[2].as.items, .stride = v[3].as.items, .ndim = (int)v[2].length};
	if (!integer_in(&v[1], &t->offset))
		return pickle_fail(p, err, "a tensor's offset is not a number of elements");
	*out = (struct pickle_value){.kind = PICKLE_TENSOR, .as.tensor = t};
	return tensor_check(p, t, err);
}

/* ---- the steps */

/* A dictionary, of the pairs in the first argument if it is a list (Python 2 wrote them so). */
static int dict_make(struct pickle *p, const struct pickle_value *arguments, struct pickle_value *out, struct error *err)
{
	const struct pickle_value *first = arguments->length > 0 ? &arguments->as.items[0] : NULL;

	*out = (struct pickle_value){.kind = PICKLE_DICT};
	if (!(out->as.list = pickle_take(p, sizeof *out->as.list, err)))
		return -1;
	for (size_t i = 0; first && first->kind == PICKLE_LIST && i < first->as.list->n; i++) {
		const struct pickle_value *pair = &first->as.list->items[i];
		const struct pickle_value *two = pair->kind == PICKLE_TUPLE ? pair->as.items : NULL;
		size_t n = pair->length;

		if (pair->kind == PICKLE_LIST) {
			two = pair->as.list->items;
			n = pair->as.list->n;
		}
		if (!two || n != 2)
			return pickle_fail(p, err, "a dictionary of something else than pairs");
		if (pickle_append(p, out->as.list, &two[0], err) < 0 || pickle_append(p, out->as.list, &two[1], err) < 0)
			return -1;
	}
	return 0;
}

int global_call(struct pickle *p, const struct pickle_value *global, const struct pickle_value *arguments, struct pickle_value *out,
		struct error *err)
{
	if (global->kind == PICKLE_OPAQUE || (global->kind == PICKLE_GLOBAL && global->as.global->role == ROLE_OPAQUE)) {
		*out = (struct pickle_value){.kind = PICKLE_OPAQUE};
		return 0;
	}
	if (global->kind != PICKLE_GLOBAL || arguments->kind != PICKLE_TUPLE)
		return pickle_fail(p, err, "a call of something that is no function");
	switch (global->as.global->role) {
	case ROLE_DICT:
		return dict_make(p, arguments, out, err);
	case ROLE_TENSOR:
		return tensor_make(p, arguments, out, err);
	case ROLE_FIRST:
		if (arguments->length == 0)
			return pickle_fail(p, err, "%s without an argument", global->as.global->name);
		*out = arguments->as.items[0];
		return 0;
	case ROLE_CLASS: /* a named tuple or the like */
		*out = (struct pickle_value){.kind = PICKLE_OPAQUE};
		return 0;
	default:
		return pickle_fail(p, err, "a call of %s, which is no function", global->as.global->name);
	}
}

int global_make(struct pickle *p, const struct pickle_value *global, struct pickle_value *out, struct error *err)
{
	enum pickle_role role = global->kind == PICKLE_GLOBAL ? global->as.global->role : ROLE_STORAGE;

	if (role == ROLE_OPAQUE) {
		*out = (struct pickle_value){.kind = PICKLE_OPAQUE};
		return 0;
	}
	if (role != ROLE_CLASS && role != ROLE_DICT)
		return pickle_fail(p, err, "an object of something that is no class");
	*out = (struct pickle_value){.kind = role == ROLE_CLASS ? PICKLE_OBJECT : PICKLE_DICT};
	out->as.list = pickle_take(p, sizeof *out->as.list, err);
	return out->as.list ? 0 : -1;
}

int global_build(struct pickle *p, const struct pickle_value *object, const struct pickle_value *state, struct error *err)
{
	switch (object->kind) {
	case PICKLE_OBJECT:
		break;
	case PICKLE_DICT: /* _metadata of a state_dict */
	case PICKLE_TENSOR:
	case PICKLE_OPAQUE:
		return 0;
	default:
		return pickle_fail(p, err, "a state for something that has none");
	}
	for (size_t i = 0; state->kind == PICKLE_DICT && i < state->as.list->n; i++)
		if (pickle_append(p, object->as.list, &state->as.list->items[i], err) < 0)
			return -1;
	return 0;
}
