/* checkpoint_legacy.c - what torch.save wrote before 1.6, and still does when told to: five pickles in a row (a magic number, a version, the
 * machine, the object, the storages' keys), then for each key the count of elements in 8 bytes and the raw data. There are no checksums.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "models/checkpoint_pickle.h"
#include "models/checkpoint_private.h"

enum { VERSION = 1001, COUNT_BYTES = 8 };

static const unsigned char magic[] = {0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19};

struct place {
	const struct pickle_value *key;
	int size;      /* of an element */
	int64_t begin; /* of its data in the file; -1: not met yet */
	int64_t count; /* elements there */
};

struct legacy {
	struct checkpoint *c;
	int file;
	struct pickle *pickle;
	struct place *places; /* sorted by key */
	size_t n;
};

bool legacy_claims(const unsigned char *bytes, size_t size)
{
	return size >= 2 && bytes[0] == 0x80 && bytes[1] <= 5;
}

static const char *path_of(const struct legacy *l)
{
	return l->c->files[l->file].path;
}

/* ---- the first three pickles */

static int read_head(struct legacy *l, struct error *err)
{
	struct pickle_value v, machine;
	const struct pickle_value *little;

	if (pickle_next(l->pickle, &v, err) < 0)
		return -1;
	if (v.kind != PICKLE_LONG || v.length != sizeof magic || memcmp(v.as.text, magic, sizeof magic) != 0)
		return fail(err, E_FORMAT, "%s: a pickle, but not one that torch.save wrote; save the weights with torch.save or as safetensors",
			    path_of(l));
	if (pickle_next(l->pickle, &v, err) < 0 || pickle_next(l->pickle, &machine, err) < 0)
		return -1;
	if (v.kind != PICKLE_INT || v.as.integer != VERSION)
		return fail(err, E_MODEL, "%s: a version of torch.save's format that is not known here", path_of(l));
	little = pickle_field(&machine, "little_endian");
	if (!little || little->kind != PICKLE_BOOL || !little->as.integer)
		return fail(err, E_MODEL, "%s: saved on a big-endian machine; load and save it on a little-endian one", path_of(l));
	return 0;
}

/* ---- the storages */

static int compare_key(const struct pickle_value *a, const struct pickle_value *b)
{
	uint32_t n = a->length < b->length ? a->length : b->length;
	int order = memcmp(a->as.text, b->as.text, n);

	return order ? order : a->length < b->length ? -1 : a->length > b->length;
}

static int compare_place(const void *a, const void *b)
{
	return compare_key(((const struct place *)a)->key, ((const struct place *)b)->key);
}

static struct place *find_place(const struct legacy *l, const struct pickle_value *key)
{
	const struct place wanted = {.key = key};

	return l->n ? bsearch(&wanted, l->places, l->n, sizeof *l->places, compare_place) : NULL;
}

/* One place for each storage that the object has named, however often. */
static int list_places(struct legacy *l, struct error *err)
{
	const struct pickle_list *storages = pickle_storages(l->pickle);
	size_t kept = 0;

	l->places = xcalloc(storages->n + 1, sizeof *l->places);
	for (size_t i = 0; i < storages->n; i++) {
		const struct pickle_storage *s = storages->items[i].as.storage;

		l->places[i] = (struct place){.key = &s->key, .size = checkpoint_dtype_size(s->dtype), .begin = -1};
	}
	qsort(l->places, storages->n, sizeof *l->places, compare_place);
	for (size_t i = 0; i < storages->n; i++) {
		if (kept == 0 || compare_key(l->places[kept - 1].key, l->places[i].key) != 0)
			l->places[kept++] = l->places[i];
		else if (l->places[kept - 1].size != l->places[i].size)
			return fail(err, E_FORMAT, "%s: a storage has two types", path_of(l));
	}
	l->n = kept;
	return 0;
}

static int read_place(struct legacy *l, const struct pickle_value *key, size_t *at, struct error *err)
{
	const struct checkpoint_file *f = &l->c->files[l->file];
	struct place *place = key->kind == PICKLE_TEXT ? find_place(l, key) : NULL;
	uint64_t count = 0;

	if (!place || place->begin >= 0)
		return fail(err, E_FORMAT, "%s: broken: its list of storages is not that of its tensors; download it again", f->path);
	if (f->size - *at < COUNT_BYTES)
		return fail(err, E_FORMAT, "%s: truncated: it ends before the last tensors; download it again", f->path);
	for (int i = COUNT_BYTES - 1; i >= 0; i--)
		count = count << 8 | f->map[*at + (size_t)i];
	*at += COUNT_BYTES;
	if (count > (f->size - *at) / (size_t)place->size)
		return fail(err, E_FORMAT, "%s: truncated: a storage of %" PRIu64 " elements reaches beyond the file; download it again", f->path,
			    count);
	place->begin = (int64_t)*at;
	place->count = (int64_t)count;
	*at += (size_t)count * (size_t)place->size;
	return 0;
}

static int read_places(struct legacy *l, const struct pickle_value *keys, struct error *err)
{
	size_t at = pickle_at(l->pickle);

	if (keys->kind != PICKLE_LIST)
		return fail(err, E_FORMAT, "%s: broken: no list of storages; download it again", path_of(l));
	if (list_places(l, err) < 0)
		return -1;
	for (size_t i = 0; i < keys->as.list->n; i++)
		if (read_place(l, &keys->as.list->items[i], &at, err) < 0)
			return -1;
	return 0;
}

static int place_storage(void *ctx, const struct pickle_storage *s, int64_t *begin, int64_t *bytes, int *record, struct error *err)
{
	const struct legacy *l = ctx;
	const struct place *place = find_place(l, &s->key);

	if (!place || place->begin < 0)
		return fail(err, E_FORMAT, "%s: broken: a tensor's storage is not in its list; download it again", path_of(l));
	*begin = place->begin;
	*bytes = place->count * place->size;
	*record = -1;
	return 0;
}

/* ---- the whole */

static int read_all(struct legacy *l, struct error *err)
{
	struct pickle_value top, keys;

	if (read_head(l, err) < 0 || pickle_next(l->pickle, &top, err) < 0 || pickle_next(l->pickle, &keys, err) < 0 ||
	    read_places(l, &keys, err) < 0)
		return -1;
	return state_read(l->c, l->file, &top, place_storage, l, err);
}

int legacy_read(struct checkpoint *c, int file, struct error *err)
{
	const struct checkpoint_file *f = &c->files[file];
	struct legacy l = {.c = c, .file = file, .pickle = pickle_create(f->path, f->map, f->size, pickle_budget(f->size))};
	int rc = read_all(&l, err);

	pickle_free(l.pickle);
	free(l.places);
	return rc;
}
