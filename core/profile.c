/* profile.c - see profile.h. */
#include "core/profile.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/config_private.h"
#include "core/mem.h"
#include "core/save.h"

static const char suffix[] = ".profile";

/* Each sets the same keys, so that switching from one to another leaves nothing of the first behind. */
static const struct {
	const char *name, *summary, *text;
} builtin[] = {
	{"personal", "one's own machine: stable, one picture at a time",
	 "device = auto\nbatch = 1\nslice = all\nimage-size = 512\nprecision = fp32\nseed = 42\n"
	 "retries = 3\nretry-delay = 1\ndeadline = 30\nqueue = 10\n"
	 "alert-memory = none\nalert-success = none\nalert-stall = none\n"},
	{"production", "a server: larger batches, autocast, short deadlines, monitoring",
	 "device = auto\nbatch = 4\nslice = all\nimage-size = 768\nprecision = autocast\nseed = clock\n"
	 "retries = 2\nretry-delay = 1\ndeadline = 10\nqueue = 20\n"
	 "alert-memory = 90\nalert-success = 95\nalert-stall = 30\n"},
	{"limited", "little memory: small pictures, one after the other, patient",
	 "device = auto\nbatch = 1\nslice = 1\nimage-size = 384\nprecision = autocast\nseed = 42\n"
	 "retries = 5\nretry-delay = 1\ndeadline = 60\nqueue = 10\n"
	 "alert-memory = none\nalert-success = none\nalert-stall = none\n"},
};
enum { BUILTIN = sizeof builtin / sizeof *builtin };

static int builtin_row(const char *name)
{
	for (int i = 0; i < BUILTIN; i++)
		if (!strcmp(builtin[i].name, name))
			return i;
	return -1;
}

int profile_check_name(const char *name, struct error *err)
{
	static const char accepted[] = "letters, digits, '-', '_' and '.', at most 64 bytes, no dot first";
	size_t n = strlen(name);

	if (strchr(name, '/'))
		return fail(err, E_USAGE, "\"%s\" is not a profile's name: a name, not a path; %s", name, accepted);
	for (size_t i = 0; i < n; i++)
		if (!isascii((unsigned char)name[i]) || (!isalnum((unsigned char)name[i]) && !strchr("-_.", name[i])))
			return fail(err, E_USAGE, "\"%s\" is not a profile's name: %s", name, accepted);
	if (!n || n > PROFILE_NAME_MOST || name[0] == '.')
		return fail(err, E_USAGE, "\"%.80s\" is not a profile's name: %s", name, accepted);
	return 0;
}

/* ---------------------------------------------------------------- the list */

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct profile_info *)a)->name, ((const struct profile_info *)b)->name);
}

/* The name of a profile whose file is called so; false when it is none. */
static bool name_of(const char *file, char name[PROFILE_NAME_MOST + 1])
{
	size_t n = strlen(file), tail = sizeof suffix - 1;

	if (n <= tail || n - tail > PROFILE_NAME_MOST || strcmp(file + n - tail, suffix))
		return false;
	snprintf(name, PROFILE_NAME_MOST + 1, "%.*s", (int)(n - tail), file);
	return profile_check_name(name, NULL) == 0 && builtin_row(name) < 0;
}

int profile_list(const char *dir, struct profile_info **list)
{
	DIR *d = dir ? opendir(dir) : NULL;
	struct profile_info *all = xcalloc(BUILTIN, sizeof *all);
	int n = BUILTIN;

	for (int i = 0; i < BUILTIN; i++) {
		all[i] = (struct profile_info){.builtin = true, .summary = builtin[i].summary};
		strcpy(all[i].name, builtin[i].name);
	}
	for (struct dirent *entry; d && (entry = readdir(d));) {
		struct profile_info own = {.builtin = false};

		if (!name_of(entry->d_name, own.name))
			continue;
		all = xrealloc(all, (size_t)n + 1, sizeof *all);
		all[n++] = own;
	}
	if (d)
		closedir(d);
	qsort(all + BUILTIN, (size_t)(n - BUILTIN), sizeof *all, compare);
	*list = all;
	return n;
}

/* There is no such profile: which ones there are, and the nearest. */
static int unknown(const struct config *c, const char *name, struct error *err)
{
	struct profile_info *list;
	struct buffer known = {0};
	int n = profile_list(c->profile_dir, &list), best = 3;
	const char *nearest = NULL;

	for (int i = 0; i < n; i++) {
		int d = config_distance(name, list[i].name);

		buffer_printf(&known, "%s%s", i ? ", " : "", list[i].name);
		if (d < best) {
			best = d;
			nearest = list[i].name;
		}
	}
	if (nearest)
		fail(err, E_USAGE, "there is no profile \"%s\"; did you mean \"%s\"?", name, nearest);
	else
		fail(err, E_USAGE, "there is no profile \"%s\"; these are: %s", name, known.text);
	buffer_free(&known);
	free(list);
	return -1;
}

/* ---------------------------------------------------------------- reading */

/* The profile's lines into c. */
static int read_profile(struct config *c, struct config_layer *layer, const char *name, struct error *err)
{
	int row = builtin_row(name), result = 1;
	char *path, *text;

	if (profile_check_name(name, err) < 0)
		return -1;
	if (row >= 0) {
		layer->path = builtin[row].name;
		text = xstrdup(builtin[row].text);
		config_read_lines(c, layer, text, strlen(text));
		free(text);
		return 0;
	}
	path = c->profile_dir ? xasprintf("%s/%s%s", c->profile_dir, name, suffix) : NULL;
	if (path) {
		layer->path = path;
		result = config_read_file(c, layer, err);
	}
	free(path);
	return result > 0 ? unknown(c, name, err) : result;
}

int profile_begin(struct config *c, void (*warn)(void *ctx, const char *text), void *ctx, struct error *err)
{
	struct config_layer layer = {.source = CONFIG_PROFILE, .where = c->profile, .warn = warn, .ctx = ctx};

	return c->profile ? read_profile(c, &layer, c->profile, err) : 0;
}

/* Keeps the first bad line. */
static void keep_first(void *ctx, const char *text)
{
	struct error *first = ctx;

	if (first->code == E_NONE)
		fail(first, E_USAGE, "%s", text);
}

/* Forgets where the values came from that the other one's profile sets, so that a layer may replace them. */
static void yield_to(struct config *c, const struct config *other)
{
	for (int i = 0; i < config_table_rows; i++)
		if (other->origin[i].source == CONFIG_PROFILE) {
			config_set_origin(c, i, CONFIG_DEFAULT, NULL);
			for (int kind = 0; kind < MODEL_KINDS && config_special(i, kind) >= 0; kind++)
				config_set_origin(c, config_special(i, kind), CONFIG_DEFAULT, NULL);
			if (config_general(i) >= 0)
				config_set_origin(c, config_general(i), CONFIG_DEFAULT, NULL);
		}
}

int profile_apply(struct config *c, const char *name, struct error *err)
{
	struct error first = {.code = E_NONE};
	struct config_layer trial = {.source = CONFIG_PROFILE, .where = name, .warn = keep_first, .ctx = &first}, layer = trial;
	struct config scratch;
	int result;

	config_init(&scratch);
	scratch.profile_dir = c->profile_dir ? xstrdup(c->profile_dir) : NULL;
	result = read_profile(&scratch, &trial, name, err);
	if (result == 0 && trial.bad)
		result = fail(err, first.code, "%s; the profile is left alone", first.text);
	if (result == 0) {
		yield_to(c, &scratch);
		result = read_profile(c, &layer, name, err);
	}
	config_free(&scratch);
	return result < 0 ? -1 : config_set_from(c, "profile", name, CONFIG_HAND, NULL, err);
}

/* ---------------------------------------------------------------- writing */

/* The settings that are a profile's, as a file of them reads. */
static void write_settings(const struct config *c, struct buffer *out)
{
	buffer_puts(out, "# A profile of vramble: `vramble --profile NAME`, or p on the screen.\n");
	for (int i = 0; i < config_table_rows; i++) {
		const struct setting *s = &config_table[i];
		int general = config_general(i);
		char *value = s->tuning ? s->write(c, s) : NULL, *all = general >= 0 ? config_table[general].write(c, &config_table[general]) : NULL;
		bool said = all && strcmp(all, "mixed") != 0; /* by the row for all models */

		if (value && !said && strcmp(value, "mixed") != 0)
			buffer_printf(out, "%s = %s\n", s->row.key, value);
		free(value);
		free(all);
	}
}

/* The path of an own profile, malloc'd; NULL for a name that cannot be one. */
static char *own_path(const struct config *c, const char *name, const char *verb, struct error *err)
{
	if (profile_check_name(name, err) < 0)
		return NULL;
	if (builtin_row(name) >= 0)
		return fail_null(err, E_USAGE, "\"%s\" is built in and cannot be %s; choose another name", name, verb);
	if (!c->profile_dir)
		return fail_null(err, E_IO, "no place for profiles: neither XDG_CONFIG_HOME nor HOME is set");
	return xasprintf("%s/%s%s", c->profile_dir, name, suffix);
}

int profile_save(struct config *c, const char *name, struct error *err)
{
	char *path = own_path(c, name, "replaced", err);
	struct buffer text = {0};
	int result;

	if (!path)
		return -1;
	write_settings(c, &text);
	result = save_make_parents(path, err) < 0 ? -1 : save_whole(path, text.text, text.length, err);
	if (result == 0)
		chmod(path, 0600); /* a courtesy: it holds no secret */
	buffer_free(&text);
	free(path);
	return result < 0 ? -1 : config_set_from(c, "profile", name, CONFIG_HAND, NULL, err);
}

int profile_delete(struct config *c, const char *name, struct error *err)
{
	char *path = own_path(c, name, "deleted", err);
	int result = 0;

	if (!path)
		return -1;
	if (unlink(path) < 0)
		result = errno == ENOENT ? unknown(c, name, err) : fail(err, E_IO, "%s: cannot be deleted: %s", path, strerror(errno));
	free(path);
	return result;
}
