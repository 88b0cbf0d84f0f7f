/* hub_list.c - the lists of files that the hubs give, and which of those a model here is made of. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "core/hub_private.h"
#include "core/utf8.h"

enum { FILES_MOST = 65536, PATH_MOST = 255 };
static const json_int_t SIZE_MOST = (json_int_t)1 << 46, SMALL_MOST = (json_int_t)64 << 20;

/* ---- reading */

bool hub_is_sum(const char *text)
{
	size_t n = strspn(text, "0123456789abcdefABCDEF");

	return !text[n] && (n == 40 || n == 64);
}

/* Whether a file of that name stays below the folder that it is put in, and can be shown. */
static bool is_safe(const char *path)
{
	size_t n = strlen(path);

	if (n == 0 || n > PATH_MOST || !utf8_valid(path, n) || strchr(path, '\\'))
		return false;
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)path[i] < 0x20 || path[i] == 0x7f)
			return false;
	for (const char *part = path;; part += strcspn(part, "/") + 1) {
		size_t length = strcspn(part, "/");

		if (length == 0 || (length == 1 && part[0] == '.') || (length == 2 && part[0] == '.' && part[1] == '.'))
			return false;
		if (!part[length])
			return true;
	}
}

static int add_file(struct hub_listing *l, json_t *path, json_t *size, json_t *sum, struct error *err)
{
	struct hub_file *file;
	const char *name = json_string_value(path), *digits = json_string_value(sum);
	json_int_t bytes = json_is_integer(size) ? json_integer_value(size) : -1;

	if (!name)
		return fail(err, E_FORMAT, "the list of files has an entry without a name");
	if (!is_safe(name))
		return fail(err, E_FORMAT, "the list of files names \"%s\", which no model's file is called; nothing was fetched", name);
	if (bytes < 0 || bytes > SIZE_MOST)
		return fail(err, E_FORMAT, "the list of files gives no size for %s, or none that can be", name);
	if (digits && *digits && !hub_is_sum(digits))
		return fail(err, E_FORMAT, "the list of files gives a checksum for %s that is none", name);
	if (l->n == FILES_MOST)
		return fail(err, E_LIMIT, "the list of files has more than %d entries", FILES_MOST);
	if ((l->n & (l->n - 1)) == 0)
		l->files = xrealloc(l->files, l->n ? (size_t)l->n * 2 : 1, sizeof *l->files);
	file = &l->files[l->n++];
	*file = (struct hub_file){.path = xstrdup(name), .size = bytes};
	if (digits)
		memcpy(file->sum, digits, strlen(digits));
	return 0;
}

static json_t *parse(const char *json, size_t size, struct error *err)
{
	json_t *root = json_loadb(json ? json : "", size, 0, NULL);

	if (root && json_is_object(root))
		return root;
	json_decref(root);
	return fail_null(err, E_FORMAT,
			 "what came is not a list of files: a page of the network that wants a login, or an endpoint that is not a model hub");
}

static int read_siblings(json_t *siblings, struct hub_listing *out, struct error *err)
{
	json_t *entry;
	size_t i;

	json_array_foreach(siblings, i, entry) {
		json_t *lfs = json_object_get(entry, "lfs"), *sum = json_object_get(lfs, "sha256");

		if (!sum)
			sum = json_object_get(entry, "blobId");
		if (add_file(out, json_object_get(entry, "rfilename"), json_object_get(entry, "size"), sum, err) < 0)
			return -1;
		if (!out->files[out->n - 1].sum[0])
			return fail(err, E_FORMAT,
				    "the list of files has no checksum for %s: this endpoint does not tell all that the hub does; try another",
				    out->files[out->n - 1].path);
	}
	return 0;
}

int hub_list_hugging_face(const char *json, size_t size, struct hub_listing *out, struct error *err)
{
	json_t *root = parse(json, size, err);
	const char *commit = json_string_value(json_object_get(root, "sha"));
	int rc = -1;

	*out = (struct hub_listing){0};
	if (root && (!commit || !hub_is_sum(commit)))
		fail(err, E_FORMAT, "the list of files does not say which commit it is of");
	else if (root)
		rc = read_siblings(json_object_get(root, "siblings"), out, err);
	if (rc == 0)
		out->commit = xstrdup(commit);
	json_decref(root);
	return rc;
}

int hub_list_modelscope(const char *json, size_t size, struct hub_listing *out, struct error *err)
{
	json_t *root = parse(json, size, err), *files = json_object_get(json_object_get(root, "Data"), "Files"), *entry;
	int rc = root ? 0 : -1;
	size_t i;

	*out = (struct hub_listing){0};
	if (root && !json_is_array(files))
		rc = fail(err, E_FORMAT, "what came is not a list of files");
	json_array_foreach(files, i, entry) {
		const char *type = json_string_value(json_object_get(entry, "Type"));

		if (rc == 0 && !(type && strcmp(type, "tree") == 0))
			rc = add_file(out, json_object_get(entry, "Path"), json_object_get(entry, "Size"), json_object_get(entry, "Sha256"), err);
	}
	json_decref(root);
	return rc;
}

void hub_listing_free(struct hub_listing *l)
{
	for (int i = 0; i < l->n; i++)
		free(l->files[i].path);
	free(l->files);
	free(l->commit);
	*l = (struct hub_listing){0};
}

/* ---- choosing */

static bool ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	return n >= m && strcmp(text + n - m, end) == 0;
}

static struct hub_file *find(struct hub_listing *l, const char *path)
{
	for (int i = 0; i < l->n; i++)
		if (strcmp(l->files[i].path, path) == 0)
			return &l->files[i];
	return NULL;
}

/* Configuration, tokenizer, preprocessor: small files at the top. */
static bool is_setting(const struct hub_file *file)
{
	static const char *const endings[] = {".json", ".txt", ".model", ".gz"};

	if (strchr(file->path, '/') || file->path[0] == '.' || ends_with(file->path, ".index.json") || file->size > SMALL_MOST)
		return false;
	for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
		if (ends_with(file->path, endings[i]))
			return true;
	return false;
}

/* The only one at the top that ends so. */
static struct hub_file *find_only(struct hub_listing *l, const char *end)
{
	struct hub_file *found = NULL;

	for (int i = 0; i < l->n; i++)
		if (!strchr(l->files[i].path, '/') && ends_with(l->files[i].path, end)) {
			if (found)
				return NULL;
			found = &l->files[i];
		}
	return found;
}

/* In the order in which the reader of weights takes them from a folder. */
static struct hub_file *choose_weights(struct hub_listing *l)
{
	static const char *const names[] = {"model.safetensors",           "model.safetensors.index.json",
					    "pytorch_model.bin",           "pytorch_model.bin.index.json",
					    "open_clip_model.safetensors", "open_clip_pytorch_model.bin"};
	struct hub_file *found = NULL;

	for (size_t i = 0; i < sizeof names / sizeof *names && !found; i++)
		found = find(l, names[i]);
	if (!found)
		found = find_only(l, ".pt");
	return found ? found : find_only(l, ".pth");
}

int hub_choose(struct hub_listing *l, struct hub_file **index, struct error *err)
{
	struct hub_file *weights = choose_weights(l);

	*index = NULL;
	if (!weights)
		return fail(err, E_MODEL, "has no weights that are read here (model.safetensors, pytorch_model.bin, an index of either, or a .pt)");
	for (int i = 0; i < l->n; i++)
		l->files[i].wanted = is_setting(&l->files[i]);
	weights->wanted = true;
	if (ends_with(weights->path, ".index.json"))
		*index = weights;
	return 0;
}

static int mark_shard(struct hub_listing *l, const char *path, const char *index, struct error *err)
{
	struct hub_file *file = path ? find(l, path) : NULL;

	if (!file)
		return fail(err, E_FORMAT, "%s names %s, which the hub does not have", index, path ? path : "no file");
	file->wanted = true;
	return 0;
}

int hub_choose_shards(struct hub_listing *l, const char *path, struct error *err)
{
	json_error_t where;
	json_t *root = json_load_file(path, 0, &where), *map = json_object_get(root, "weight_map"), *value;
	const char *key;
	int rc = 0;

	if (!json_is_object(map))
		rc = fail(err, E_FORMAT, "%s: does not say which files the weights are in", path);
	json_object_foreach(map, key, value)
		if (rc == 0)
			rc = mark_shard(l, json_string_value(value), path, err);
	json_decref(root);
	return rc;
}
