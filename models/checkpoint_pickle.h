/* checkpoint_pickle.h - what a pickle of torch.save says, as a tree of values. Inside models/checkpoint_*.c; one thread.
 *
 * A pickle is a program for a small stack machine. This one builds dictionaries, lists and descriptions of tensors; functions and classes that a
 * pickle names are looked up in a list (checkpoint_globals.c) and stand for one of a few harmless steps. Nothing is imported, nothing is called, and
 * a name that is not on the list ends the reading with an error that says it.
 *
 *	struct pickle *p = pickle_create("model.bin", bytes, size, pickle_budget(file_size));
 *	struct pickle_value top;
 *	if (pickle_next(p, &top, &err) < 0)
 *		…
 *	pickle_free(p);
 *
 * Values live as long as the pickle; texts are borrowed from the bytes. Their memory together is bounded by the budget.
 */
#ifndef MODELS_CHECKPOINT_PICKLE_H
#define MODELS_CHECKPOINT_PICKLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "models/checkpoint.h"

enum pickle_kind {
	PICKLE_NOTHING, /* not a value: an unused place */
	PICKLE_NONE,
	PICKLE_BOOL,
	PICKLE_INT,
	PICKLE_LONG, /* an integer beyond 64 bits, as little-endian bytes */
	PICKLE_FLOAT,
	PICKLE_TEXT,
	PICKLE_BYTES,
	PICKLE_TUPLE,
	PICKLE_LIST, /* sets too */
	PICKLE_DICT,
	PICKLE_OBJECT, /* of a TorchScript class: its fields, as a dictionary's */
	PICKLE_GLOBAL,
	PICKLE_STORAGE,
	PICKLE_TENSOR,
	PICKLE_OPAQUE, /* something harmless that holds no weights */
};

/* What naming a global comes to. */
enum pickle_role {
	ROLE_DICT,    /* called: an empty dictionary, or one of the pairs given */
	ROLE_CLASS,   /* made: an object without fields */
	ROLE_STORAGE, /* only named: says a storage's dtype */
	ROLE_TENSOR,  /* called: a tensor over a storage */
	ROLE_FIRST,   /* called: its first argument */
	ROLE_OPAQUE,  /* named, called or made: PICKLE_OPAQUE */
};

struct pickle_global {
	const char *module, *name;
	enum pickle_role role;
	enum checkpoint_dtype dtype; /* ROLE_STORAGE */
};

struct pickle_value {
	enum pickle_kind kind;
	uint32_t length; /* bytes of TEXT, BYTES, LONG; items of a TUPLE */
	union {
		int64_t integer;
		double number;
		const char *text; /* no NUL at its end */
		const struct pickle_value *items;
		struct pickle_list *list; /* LIST, DICT, OBJECT */
		const struct pickle_global *global;
		const struct pickle_storage *storage;
		const struct pickle_tensor *tensor;
	} as;
};

/* A dictionary holds key, value, key, value … */
struct pickle_list {
	struct pickle_value *items;
	size_t n, capacity;
	bool open; /* for who walks the tree: is within this one */
};

struct pickle_storage {
	struct pickle_value key; /* TEXT */
	enum checkpoint_dtype dtype;
	int64_t count;  /* elements */
	int64_t offset; /* in elements: of a view into the storage of that key (files of 2017) */
};

/* offset, shape and strides were checked against the storage's count. */
struct pickle_tensor {
	const struct pickle_storage *storage;
	int64_t offset; /* in elements */
	const struct pickle_value *shape, *stride;
	int ndim;
};

struct pickle;

/* What a file of so many bytes may need: a few MB, and twice its size. */
size_t pickle_budget(size_t file_size);
/* bytes: one or several pickles in a row. budget: how much memory values may take. file is for messages, borrowed. */
struct pickle *pickle_create(const char *file, const unsigned char *bytes, size_t size, size_t budget);
void pickle_free(struct pickle *p); /* NULL is fine */
/* Reads the next pickle. E_FORMAT: broken, or not what torch.save writes; E_MODEL: a global not on the list; E_LIMIT: more than the budget. */
int pickle_next(struct pickle *p, struct pickle_value *top, struct error *err);
size_t pickle_at(const struct pickle *p); /* the byte behind the last pickle read */
/* All storages named so far, whether a tensor that is left uses them or not. */
struct pickle_list *pickle_storages(struct pickle *p);

bool pickle_is_text(const struct pickle_value *v, const char *text);
/* The value of a text key in a DICT or OBJECT; NULL. */
const struct pickle_value *pickle_field(const struct pickle_value *dict, const char *key);

/* Where a storage lies: its first byte and how many there are in c->files[file]; *record: its checksum's index, or -1. */
typedef int pickle_place(void *ctx, const struct pickle_storage *s, int64_t *begin, int64_t *bytes, int *record, struct error *err);
/* Adds the tensors of the state_dict that top is, or holds, to c; place is asked for each. */
int state_read(struct checkpoint *c, int file, const struct pickle_value *top, pickle_place *place, void *ctx, struct error *err);

/* ---- between checkpoint_pickle.c and checkpoint_globals.c */

/* Zeroed memory that lives as long as p; NULL with E_LIMIT beyond the budget. */
void *pickle_take(struct pickle *p, size_t size, struct error *err);
int pickle_append(struct pickle *p, struct pickle_list *list, const struct pickle_value *v, struct error *err);
int pickle_fail(const struct pickle *p, struct error *err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
const char *pickle_file(const struct pickle *p);

/* What "module name" stands for; NULL with E_MODEL. */
const struct pickle_global *global_find(struct pickle *p, const char *module, size_t module_length, const char *name, size_t name_length,
					struct error *err);
/* Calls it with a tuple of arguments. */
int global_call(struct pickle *p, const struct pickle_value *global, const struct pickle_value *arguments, struct pickle_value *out,
		struct error *err);
/* Makes an object of it (what __new__ would). */
int global_make(struct pickle *p, const struct pickle_value *global, struct pickle_value *out, struct error *err);
/* Gives an object its state. */
int global_build(struct pickle *p, const struct pickle_value *object, const struct pickle_value *state, struct error *err);
/* What a persistent id stands for: a storage. */
int global_storage(struct pickle *p, const struct pickle_value *id, struct pickle_value *out, struct error *err);

#endif
