/* json.h - JSON files of model directories: read with a size limit, taken apart with messages that name the file, the line or the key.
 *
 * The getters share one json_reader. A wrong value is remembered in it (the first one counts) and the getter returns its fallback, so that a whole
 * configuration reads as a list and is checked once:
 *
 *	json_t *root = json_read(path, JSON_LIMIT, &err);
 *	struct json_reader r = {.file = path, .err = &err};
 *	c->layers = json_int(&r, root, "num_hidden_layers", JSON_NEEDED, 1, 1000);
 *	c->eps = json_number(&r, root, "layer_norm_eps", 1e-12);
 *	json_decref(root);
 *	return r.failed ? -1 : 0;
 *
 * Any thread; a json_t that is only read may be shared. A key that is absent or null gives the fallback. Keys may be paths: "vision_config.hidden_size".
 */
#ifndef MODELS_JSON_H
#define MODELS_JSON_H

#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/error.h"

enum { JSON_LIMIT = 64 * 1000 * 1000 }; /* bytes; the largest tokenizer.json are around 30 MB */

#define JSON_NEEDED LONG_MIN /* as json_int's fallback: an absent key is an error */

struct json_reader {
	const char *file;  /* for messages, borrowed */
	struct error *err; /* filled with the first failure; may be NULL */
	bool failed;
};

/* What Git and servers leave in a file's place, by its first bytes: a pointer of Git LFS; a web page or an XML document that tells of an error. */
enum json_impostor { JSON_GENUINE, JSON_POINTER, JSON_PAGE };
enum json_impostor json_impostor(const void *bytes, size_t size);
/* -1 with E_IO: why the file cannot be opened, and what to do about it. number: errno. */
int json_fail_open(const char *path, int number, struct error *err);

/* The file's bytes, followed by a NUL that is not counted in *size; NULL with E_IO, E_LIMIT when there are more than limit, or E_FORMAT when they are
 * such as json_impostor knows. The caller frees them. */
char *json_read_bytes(const char *path, size_t limit, size_t *size, struct error *err);

/* Parses the file; whole numbers beyond 64 bits become real ones. The caller calls json_decref. NULL with E_IO, E_LIMIT, or E_FORMAT naming line and column. */
json_t *json_read(const char *path, size_t limit, struct error *err);

/* The value at a key path, NULL if absent or null. object may be NULL. Borrowed. */
json_t *json_find(const json_t *object, const char *key);

/* An integer in min..max (a number like 8.0 counts). */
long json_int(struct json_reader *r, const json_t *object, const char *key, long fallback, long min, long max);
double json_number(struct json_reader *r, const json_t *object, const char *key, double fallback);
bool json_flag(struct json_reader *r, const json_t *object, const char *key, bool fallback);
/* Borrowed from the object. */
const char *json_text(struct json_reader *r, const json_t *object, const char *key, const char *fallback);
/* A key that changes what is computed, and the one value (as JSON; NULL: none) with which it does not. */
struct json_plain {
	const char *key, *value;
};
/* E_MODEL naming the first of n keys, with its value, that says something else than its plain one; absent, null, [] and (unless true is the plain one) false say nothing. */
int json_refuse_others(struct json_reader *r, const json_t *object, const struct json_plain *keys, size_t n);
/* n numbers into out, which keeps its contents when the key is absent. */
void json_floats(struct json_reader *r, const json_t *object, const char *key, float *out, size_t n);

#endif
