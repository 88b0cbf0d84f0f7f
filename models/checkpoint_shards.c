/* checkpoint_shards.c - weights split over several files, and the index that says which tensor is in which: {"metadata": {"total_size": bytes},
 * "weight_map": {tensor: file}}, as Hugging Face's save_pretrained writes it. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/mem.h"
#include "models/checkpoint_private.h"
#include "models/json.h"

/* The folder that the index is in, with a slash at its end. */
static char *folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? xstrndup(path, (size_t)(slash + 1 - path)) : xstrdup("");
}

static json_t *read_index(struct checkpoint *c, const char *path, struct error *err)
{
	int file = checkpoint_map(c, path, err); /* says what is wrong with one that is no JSON at all */
	json_t *index = file < 0 ? NULL : json_read(path, JSON_LIMIT, err), *map = json_object_get(index, "weight_map"), *value;
	const char *name;

	if (!index)
		return NULL;
	if (json_object_size(map) == 0)
		fail(err, E_FORMAT, "%s: no \"weight_map\" that says which tensor is in which file", path);
	json_object_foreach(map, name, value) {
		if (json_is_string(value) && json_string_value(value)[0] != '\0' && !strchr(json_string_value(value), '/'))
			continue;
		fail(err, E_FORMAT, "%s: weight_map says of %s no file of the same folder", path, name);
		map = NULL;
		break;
	}
	if (json_object_size(map) > 0)
		return index;
	json_decref(index);
	return NULL;
}

/* Reads a file of the index; what the index does not look for there is left out. */
static int read_shard(struct checkpoint *c, const char *folder, const char *name, const json_t *map, struct error *err)
{
	char *path = xasprintf("%s%s", folder, name);
	int first = c->n, rc, kept;

	if (access(path, F_OK) != 0 && readlink(path, (char[1]){0}, 1) < 0)
		rc = fail(err, E_MODEL, "%s: missing: one of the files that the weights are split over (%s); download it too", path, c->path);
	else
		rc = checkpoint_read_file(c, path, err);
	free(path);
	if (rc < 0)
		return -1;
	kept = first;
	for (int i = first; i < c->n; i++) {
		const char *in = json_string_value(json_object_get(map, c->entries[i].tensor.name));

		if (in && strcmp(in, name) == 0)
			c->entries[kept++] = c->entries[i];
		else
			checkpoint_entry_free(&c->entries[i]);
	}
	c->n = kept;
	return 0;
}

/* Each file once, in the order in which the index first names them. */
static int read_shards(struct checkpoint *c, const char *folder, const json_t *map, struct error *err)
{
	json_t *seen = json_object(), *value;
	const char *name;
	int rc = 0;

	json_object_foreach((json_t *)map, name, value) {
		if (rc < 0 || json_object_get(seen, json_string_value(value)))
			continue;
		json_object_set(seen, json_string_value(value), value);
		rc = read_shard(c, folder, json_string_value(value), map, err);
	}
	json_decref(seen);
	return rc;
}

static int compare_entry(const void *a, const void *b)
{
	const struct checkpoint_entry *x = *(const struct checkpoint_entry *const *)a, *y = *(const struct checkpoint_entry *const *)b;

	if (x->file != y->file)
		return x->file < y->file ? -1 : 1;
	return x->begin < y->begin ? -1 : x->begin > y->begin;
}

/* Bytes of all tensors, *once those of tensors that share their place counted once. */
static int64_t add_sizes(const struct checkpoint *c, int64_t *once)
{
	const struct checkpoint_entry **sorted = xcalloc((size_t)c->n + 1, sizeof *sorted);
	int64_t all = 0;

	*once = 0;
	for (int i = 0; i < c->n; i++)
		sorted[i] = &c->entries[i];
	qsort(sorted, (size_t)c->n, sizeof *sorted, compare_entry);
	for (int i = 0; i < c->n; i++) {
		all += sorted[i]->tensor.bytes;
		if (i == 0 || compare_entry(&sorted[i - 1], &sorted[i]) != 0)
			*once += sorted[i]->tensor.bytes;
	}
	free(sorted);
	return all;
}

/* Every tensor that the index names must have been found, and their size be what it says: tied tensors are counted once or each, as the writer
 * liked. */
static int check_whole(const struct checkpoint *c, const json_t *index, const json_t *map, struct error *err)
{
	const json_t *total = json_find(index, "metadata.total_size");
	json_t *found = json_object(), *value;
	int64_t once, all = add_sizes(c, &once);
	const char *name;
	int rc = 0;

	for (int i = 0; i < c->n; i++)
		json_object_set_new(found, c->entries[i].tensor.name, json_true());
	json_object_foreach((json_t *)map, name, value)
		if (rc == 0 && !json_object_get(found, name))
			rc = fail(err, E_FORMAT, "%s: %s should be in %s and is not; the files are not of one download", c->path, name,
				  json_string_value(value));
	json_decref(found);
	if (rc == 0 && json_is_number(total) && json_number_value(total) != (double)all && json_number_value(total) != (double)once)
		return fail(err, E_FORMAT, "%s: promises %.0f bytes of tensors, the files hold %jd; they are not of one download", c->path,
			    json_number_value(total), (intmax_t)all);
	return rc;
}

int shards_read(struct checkpoint *c, const char *path, struct error *err)
{
	json_t *index = read_index(c, path, err);
	const json_t *map = json_object_get(index, "weight_map");
	char *folder = folder_of(path);
	int rc = -1;

	if (index && read_shards(c, folder, map, err) == 0)
		rc = check_whole(c, index, map, err);
	json_decref(index);
	free(folder);
	return rc;
}
