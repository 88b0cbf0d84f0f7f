/* json.c - see json.h. */
#include "models/json.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"

enum json_impostor json_impostor(const void *bytes, size_t size)
{
	static const char *const pages[] = {"<!doctype", "<html", "<?xml"};
	static const char pointer[] = "version https://git-lfs";
	const char *at = bytes, *end = at + size;

	if (size >= sizeof pointer && memcmp(at, pointer, sizeof pointer - 1) == 0)
		return JSON_POINTER;
	if (size >= 3 && memcmp(at, "\xef\xbb\xbf", 3) == 0)
		at += 3;
	while (at < end && isspace((unsigned char)*at))
		at++;
	for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++)
		if ((size_t)(end - at) > strlen(pages[i]) && strncasecmp(at, pages[i], strlen(pages[i])) == 0)
			return JSON_PAGE;
	return JSON_GENUINE;
}

int json_fail_open(const char *path, int number, struct error *err)
{
	char target[PATH_MAX];
	ssize_t n = number == ENOENT ? readlink(path, target, sizeof target - 1) : -1;

	if (number == EACCES)
		return fail(err, E_IO, "%s: %s: this user may not read it; ask whose it is, or change its mode with chmod", path, strerror(number));
	if (n < 0)
		return fail(err, E_IO, "%s: %s", path, strerror(number));
	target[n] = '\0';
	return fail(err, E_IO, "%s: a link to %s, which is not there: a download that was interrupted or cleaned up; download the file again", path,
		    target);
}

static int open_file(const char *path, size_t limit, size_t *size, struct error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0)
		return json_fail_open(path, errno, err);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return fail(err, E_IO, "%s is not a regular file", path);
	}
	if ((uint64_t)st.st_size > limit) {
		close(fd);
		return fail(err, E_LIMIT, "%s: %.1f MB exceed the limit of %.0f MB", path, st.st_size / 1e6, limit / 1e6);
	}
	*size = st.st_size;
	return fd;
}

static int refuse_impostor(const char *path, const char *data, size_t size, struct error *err)
{
	switch (json_impostor(data, size)) {
	case JSON_POINTER:
		return fail(err, E_FORMAT, "%s: a Git LFS pointer, not the file itself; fetch it with `git lfs pull`", path);
	case JSON_PAGE:
		return fail(err, E_FORMAT, "%s: a web page, as a server sends instead of a file (an error, a login): download it again", path);
	default:
		return 0;
	}
}

char *json_read_bytes(const char *path, size_t limit, size_t *size, struct error *err)
{
	size_t want = 0, have = 0;
	int fd = open_file(path, limit, &want, err);
	char *data;

	if (fd < 0)
		return NULL;
	data = xmalloc(want + 1);
	while (have < want) {
		ssize_t n = read(fd, data + have, want - have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			fail(err, E_IO, "%s: %s", path, strerror(errno));
			close(fd);
			free(data);
			return NULL;
		}
		if (n == 0)
			break;
		have += n;
	}
	close(fd);
	data[have] = '\0';
	*size = have;
	if (refuse_impostor(path, data, have, err) == 0)
		return data;
	free(data);
	return NULL;
}

/* The integer that a real one is, or NULL. */
static json_t *whole(const json_t *value)
{
	const double most = 9007199254740992.0; /* 2^53: beyond it not every whole number is a double */
	double number = json_is_real(value) ? json_real_value(value) : NAN;

	return fabs(number) <= most && number == floor(number) ? json_integer((json_int_t)number) : NULL;
}

static void make_whole(json_t *value)
{
	json_t *item, *other;
	size_t i;

	for (void *it = json_object_iter(value); it; it = json_object_iter_next(value, it)) {
		make_whole(json_object_iter_value(it));
		if ((other = whole(json_object_iter_value(it))))
			json_object_iter_set_new(value, it, other);
	}
	json_array_foreach(value, i, item) {
		make_whole(item);
		if ((other = whole(item)))
			json_array_set_new(value, i, other);
	}
}

/* Tokenizers say so that a text may be of any length ("model_max_length"): with a number that no integer holds. It alone stays a real one. */
static json_t *load_large(const char *text, size_t size, json_error_t *where)
{
	json_t *root = json_loadb(text, size, JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, where);

	make_whole(root);
	return root;
}

json_t *json_read(const char *path, size_t limit, struct error *err)
{
	json_error_t where;
	size_t size;
	char *data = json_read_bytes(path, limit, &size, err);
	json_t *root;

	if (!data)
		return NULL;
	if (size == 0) {
		free(data);
		return fail_null(err, E_FORMAT, "%s: the file is empty; download it again", path);
	}
	root = json_loadb(data, size, JSON_ALLOW_NUL, &where);
	if (!root && json_error_code(&where) == json_error_numeric_overflow)
		root = load_large(data, size, &where);
	free(data);
	if (!root)
		return fail_null(err, E_FORMAT, "%s: line %d, column %d: %s", path, where.line, where.column, where.text);
	return root;
}

json_t *json_find(const json_t *object, const char *key)
{
	const char *dot;
	json_t *value;

	while ((dot = strchr(key, '.')) && object) {
		object = json_object_getn(object, key, dot - key);
		key = dot + 1;
	}
	value = json_object_get(object, key);
	return json_is_null(value) ? NULL : value;
}

static const char *type_name(const json_t *value)
{
	static const char *const names[] = {
		[JSON_OBJECT] = "an object", [JSON_ARRAY] = "a list", [JSON_STRING] = "a text", [JSON_INTEGER] = "a number",
		[JSON_REAL] = "a number",    [JSON_TRUE] = "true",    [JSON_FALSE] = "false",   [JSON_NULL] = "null",
	};

	return names[json_typeof(value)];
}

static void refuse(struct json_reader *r, const char *key, const json_t *value, const char *needed)
{
	if (!r->failed)
		fail(r->err, E_FORMAT, "%s: \"%s\" is %s; %s is needed", r->file, key, type_name(value), needed);
	r->failed = true;
}

long json_int(struct json_reader *r, const json_t *object, const char *key, long fallback, long min, long max)
{
	const json_t *value = json_find(object, key);
	double number;

	if (!value) {
		if (fallback == JSON_NEEDED && !r->failed) {
			fail(r->err, E_FORMAT, "%s: \"%s\" is missing", r->file, key);
			r->failed = true;
		}
		return fallback == JSON_NEEDED ? min : fallback;
	}
	number = json_number_value(value);
	if (!json_is_number(value) || number != floor(number)) {
		refuse(r, key, value, "a whole number");
		return fallback == JSON_NEEDED ? min : fallback;
	}
	if (number < (double)min || number > (double)max) {
		if (!r->failed)
			fail(r->err, E_FORMAT, "%s: \"%s\" is %.17g; it must lie in %ld..%ld", r->file, key, number, min, max);
		r->failed = true;
		return fallback == JSON_NEEDED ? min : fallback;
	}
	return json_is_integer(value) ? (long)json_integer_value(value) : (long)number;
}

double json_number(struct json_reader *r, const json_t *object, const char *key, double fallback)
{
	const json_t *value = json_find(object, key);

	if (value && !json_is_number(value))
		refuse(r, key, value, "a number");
	return json_is_number(value) ? json_number_value(value) : fallback;
}

bool json_flag(struct json_reader *r, const json_t *object, const char *key, bool fallback)
{
	const json_t *value = json_find(object, key);

	if (value && !json_is_boolean(value))
		refuse(r, key, value, "true or false");
	return json_is_boolean(value) ? json_is_true(value) : fallback;
}

const char *json_text(struct json_reader *r, const json_t *object, const char *key, const char *fallback)
{
	const json_t *value = json_find(object, key);

	if (value && !json_is_string(value))
		refuse(r, key, value, "a text");
	return json_is_string(value) ? json_string_value(value) : fallback;
}

/* 1.0 and 1 are the same. */
static bool same_value(const json_t *value, const char *plain)
{
	char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT), *end;
	double number = strtod(plain, &end);
	bool same = strcmp(text, plain) == 0 || (json_is_number(value) && end != plain && *end == '\0' && json_number_value(value) == number);

	free(text);
	return same;
}

static bool says_nothing(const json_t *value, const char *plain)
{
	if (json_is_array(value))
		return json_array_size(value) == 0;
	return json_is_false(value) && (!plain || strcmp(plain, "true") != 0);
}

int json_refuse_others(struct json_reader *r, const json_t *object, const struct json_plain *keys, size_t n)
{
	for (size_t i = 0; i < n && !r->failed; i++) {
		const json_t *value = json_find(object, keys[i].key);
		char *text;

		if (!value || says_nothing(value, keys[i].value) || (keys[i].value && same_value(value, keys[i].value)))
			continue;
		text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
		fail(r->err, E_MODEL, "%s: \"%s\": %.80s is not supported%s%s%s", r->file, keys[i].key, text, keys[i].value ? "; only " : "",
		     keys[i].value ? keys[i].value : "", keys[i].value ? " is" : "");
		free(text);
		r->failed = true;
	}
	return r->failed ? -1 : 0;
}

void json_floats(struct json_reader *r, const json_t *object, const char *key, float *out, size_t n)
{
	const json_t *value = json_find(object, key);

	if (!value)
		return;
	if (json_array_size(value) != n) {
		if (!r->failed)
			fail(r->err, E_FORMAT, "%s: \"%s\" must be a list of %zu numbers", r->file, key, n);
		r->failed = true;
		return;
	}
	for (size_t i = 0; i < n; i++) {
		const json_t *item = json_array_get(value, i);

		if (!json_is_number(item))
			refuse(r, key, item, "a number");
		else
			out[i] = (float)json_number_value(item);
	}
}
