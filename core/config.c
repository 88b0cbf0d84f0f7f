/* config.c - see config.h: layers of settings, one over the other. */
#include "core/config.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/config_private.h"
#include "core/mem.h"
#include "core/profile.h"
#include "core/utf8.h"

enum { FILE_MOST = 1 << 20, TOLD_MOST = 20 }; /* bytes of a file of settings; bad lines told one by one */

void config_init(struct config *c)
{
	*c = (struct config){.settings = engine_settings_default(DEVICE_AUTO), .alerts = {.memory = 95, .success = 80, .stall = 60}};
	c->colour = xstrdup("auto");
}

void config_free(struct config *c)
{
	for (int i = 0; i < MODEL_KINDS; i++)
		free(c->model_dir[i]);
	for (int i = 0; i < CONFIG_ROWS_MOST; i++)
		free(c->origin[i].where);
	free(c->labels);
	free(c->hypothesis);
	free(c->theme);
	free(c->log);
	free(c->colour);
	free(c->profile);
	free(c->profile_dir);
	*c = (struct config){0};
}

/* ---------------------------------------------------------------- one value */

void config_set_origin(struct config *c, int row, enum config_source source, const char *where)
{
	char *copy = where ? xstrdup(where) : NULL;

	free(c->origin[row].where);
	c->origin[row] = (struct config_origin){source, copy};
}

/* A stronger layer has set it, for this model or for all. */
static bool outranked(const struct config *c, int row, enum config_source source)
{
	int general = config_general(row);

	return c->origin[row].source > source || (general >= 0 && c->origin[general].source > source);
}

/* Hands the value for all models to each model's row, but where this layer or a stronger one speaks of that model alone. */
static int set_all_models(struct config *c, int general, const char *value, enum config_source source, const char *where, struct error *err)
{
	for (int kind = 0; kind < MODEL_KINDS; kind++) {
		int row = config_special(general, kind);
		const struct setting *s = &config_table[row];

		if (c->origin[row].source >= source && source != CONFIG_HAND)
			continue;
		if (s->read(c, s, value, err) < 0)
			return -1;
		/* Not this row's own word: a weaker layer's about this model stays outranked by the row for all. */
		config_set_origin(c, row, CONFIG_DEFAULT, NULL);
	}
	config_set_origin(c, general, source, where);
	return 0;
}

int config_set_from(struct config *c, const char *key, const char *value, enum config_source source, const char *where, struct error *err)
{
	int row = config_find(key, err), result;
	const struct setting *s = &config_table[row < 0 ? 0 : row];
	struct config scratch = {0};

	if (row < 0)
		return -1;
	/* A value that does not count must still be right. */
	result = s->read(&scratch, s, value, err);
	config_free(&scratch);
	if (result < 0)
		return fail_prefix(err, "%s", key);
	if (outranked(c, row, source))
		return 0;
	if (config_special(row, 0) >= 0)
		return set_all_models(c, row, value, source, where, err);
	config_set_origin(c, row, source, where);
	return s->read(c, s, value, err);
}

int config_set(struct config *c, const char *key, const char *value, struct error *err)
{
	if (!strcmp(key, "profile"))
		return profile_apply(c, value, err);
	return config_set_from(c, key, value, CONFIG_HAND, NULL, err);
}

char *config_get(const struct config *c, const char *key)
{
	int row = config_find(key, NULL);

	return row < 0 ? NULL : config_table[row].write(c, &config_table[row]);
}

const struct config_origin *config_origin(const struct config *c, const char *key)
{
	int row = config_find(key, NULL), general;

	if (row < 0)
		return NULL;
	general = config_general(row);
	/* What nobody said of this model was said of all. */
	return &c->origin[general >= 0 && !c->origin[row].source ? general : row];
}

char *config_origin_text(const struct config_origin *origin)
{
	static const char *const names[] = {"default", "file", "profile", "environment", "flag", "by hand"};

	return origin->where ? xasprintf("%s %s", names[origin->source], origin->where) : xstrdup(names[origin->source]);
}

/* ---------------------------------------------------------------- lines */

static char *trim(char *s)
{
	char *end;

	while (isspace((unsigned char)*s))
		s++;
	end = s + strlen(s);
	while (end > s && isspace((unsigned char)end[-1]))
		*--end = '\0';
	return s;
}

static int read_line(struct config *c, const struct config_layer *layer, char *line, const char *here, struct error *err)
{
	char *value, *key = trim(line);

	if (!*key || *key == '#')
		return 0;
	if (!utf8_valid(key, strlen(key)))
		return fail(err, E_FORMAT, "is not UTF-8: save the file as UTF-8");
	value = strchr(key, '=');
	if (!value)
		return fail(err, E_USAGE, "\"%s\" is not \"key = value\"", key);
	*value++ = '\0';
	key = trim(key);
	if (layer->source == CONFIG_PROFILE && !strcmp(key, "profile"))
		return fail(err, E_USAGE, "a profile cannot choose a profile");
	return config_set_from(c, key, trim(value), layer->source, layer->where ? layer->where : here, err);
}

static void tell(struct config_layer *layer, struct error *bad, const char *here)
{
	fail_prefix(bad, "%s", here);
	if (layer->warn && layer->bad < TOLD_MOST)
		layer->warn(layer->ctx, bad->text);
	layer->bad++;
}

void config_read_lines(struct config *c, struct config_layer *layer, char *text, size_t size)
{
	char *end = text + size;
	int number = 1;

	if (size >= 3 && !memcmp(text, "\xef\xbb\xbf", 3))
		text += 3;
	for (char *next; text < end; text = next, number++) {
		char *stop = memchr(text, '\n', (size_t)(end - text)), *here = xasprintf("%s:%d", layer->path, number);
		struct error bad;
		bool text_file = !memchr(text, '\0', (size_t)((stop ? stop : end) - text));

		next = stop ? stop + 1 : end;
		if (stop)
			*stop = '\0';
		if (!text_file) {
			fail(&bad, E_FORMAT, "holds a zero byte: not a text file (save it as UTF-8); the rest of it is left out");
			next = end;
		}
		if (!text_file || read_line(c, layer, text, here, &bad) < 0)
			tell(layer, &bad, here);
		free(here);
	}
	if (layer->bad > TOLD_MOST && layer->warn) {
		char *more = xasprintf("%s: %d more bad lines", layer->path, layer->bad - TOLD_MOST);

		layer->warn(layer->ctx, more);
		free(more);
	}
}

/* ---------------------------------------------------------------- files */

/* The whole open file, NUL-terminated behind *size bytes; NULL with err. */
static char *slurp(int fd, const char *path, size_t *size, struct error *err)
{
	struct stat st;
	char *text;
	ssize_t n;

	if (fstat(fd, &st) < 0)
		return fail_null(err, E_IO, "%s: %s", path, strerror(errno));
	if (S_ISDIR(st.st_mode))
		return fail_null(err, E_IO, "%s is a folder: a text file of \"key = value\" lines belongs there; move the folder away", path);
	if (!S_ISREG(st.st_mode))
		return fail_null(err, E_IO, "%s is no regular file: a text file of \"key = value\" lines belongs there", path);
	if (st.st_size > FILE_MOST)
		return fail_null(err, E_LIMIT, "%s: %lld bytes are too many for settings (%d at most); is it the right file?", path,
				 (long long)st.st_size, FILE_MOST);
	text = xmalloc((size_t)st.st_size + 1);
	*size = 0;
	while (*size < (size_t)st.st_size && (n = read(fd, text + *size, (size_t)st.st_size - *size)) != 0) {
		if (n < 0 && errno != EINTR) {
			fail(err, E_IO, "%s: %s", path, strerror(errno));
			free(text);
			return NULL;
		}
		*size += n > 0 ? (size_t)n : 0;
	}
	text[*size] = '\0';
	return text;
}

int config_read_file(struct config *c, struct config_layer *layer, struct error *err)
{
	int fd = open(layer->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	size_t size;
	char *text;

	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return 1;
	if (fd < 0)
		return fail(err, E_IO, "%s: %s%s", layer->path, strerror(errno), errno == EACCES ? "; make it readable: chmod u+r" : "");
	text = slurp(fd, layer->path, &size, err);
	close(fd);
	if (!text)
		return -1;
	config_read_lines(c, layer, text, size);
	free(text);
	return 0;
}

int config_read(struct config *c, const char *path, void (*warn)(void *ctx, const char *text), void *ctx, struct error *err)
{
	struct config_layer layer = {.source = CONFIG_FILE, .path = path, .warn = warn, .ctx = ctx};

	return config_read_file(c, &layer, err) < 0 ? -1 : 0;
}

/* ---------------------------------------------------------------- environment */

/* "image-size" to "VRAMBLE_IMAGE_SIZE". */
static const char *variable_name(const char *key, char out[64])
{
	size_t n = (size_t)snprintf(out, 64, "VRAMBLE_");

	for (; *key && n + 1 < 64; key++)
		out[n++] = *key == '-' ? '_' : (char)toupper((unsigned char)*key);
	out[n] = '\0';
	return out;
}

static void take_variable(struct config *c, const char *key, const char *name, void (*warn)(void *ctx, const char *text), void *ctx)
{
	const char *value = getenv(name);
	struct error bad;

	if (!value || config_set_from(c, key, value, CONFIG_ENVIRONMENT, name, &bad) == 0)
		return;
	fail_prefix(&bad, "environment %s", name);
	warn(ctx, bad.text);
}

/* A variable that is nobody's, but one or two letters away from a setting's. */
static void find_slip(const char *name, void (*warn)(void *ctx, const char *text), void *ctx)
{
	char known[64], *text;

	for (int i = 0; i < config_table_rows; i++)
		if (!strcmp(name, variable_name(config_table[i].row.key, known)))
			return;
	for (int i = 0; i < config_table_rows; i++) {
		variable_name(config_table[i].row.key, known);
		if (config_distance(name, known) > 2)
			continue;
		text = xasprintf("environment %s: unknown setting; did you mean %s?", name, known);
		warn(ctx, text);
		free(text);
		return;
	}
}

void config_read_environment(struct config *c, void (*warn)(void *ctx, const char *text), void *ctx)
{
	char name[64];

	take_variable(c, "cap", "VRAMBLE_MAX_MEMORY", warn, ctx);
	for (int i = 0; i < config_table_rows; i++) {
		const struct setting *s = &config_table[i];
		const char *value = s->variable ? getenv(s->variable) : NULL;

		if (value && *value)
			take_variable(c, s->row.key, s->variable, warn, ctx);
		take_variable(c, s->row.key, variable_name(s->row.key, name), warn, ctx);
	}
	for (char **e = environ; *e; e++) {
		size_t n = strcspn(*e, "=");

		if (strncmp(*e, "VRAMBLE_", 8) || n >= sizeof name)
			continue;
		snprintf(name, sizeof name, "%.*s", (int)n, *e);
		find_slip(name, warn, ctx);
	}
}
