/* theme.c - see theme.h. */
#include "tui/theme.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "tui/colour.h"
#include "tui/paths.h"

struct theme {
	char *name;
	attr_t attr[ROLES];
	int pair[ROLES], pair_over[ROLES]; /* the latter for use over an overlay */
	bool over;
	int foreground[ROLES], background[ROLES]; /* 0xRRGGBB or DEFAULT_COLOUR */
	bool mentioned[ROLES];                    /* by the file */
};

enum { DEFAULT_COLOUR = -1 };

static const char *const role_names[ROLES] = {
	"text",    "dim",           "title",       "border",  "border-focus", "heading",   "selection", "mark",        "done",
	"pending", "failed",        "unsupported", "caption", "bar",          "bar-back",  "entail",    "neutral",     "contradict",
	"weights", "activations",   "cache",       "others",  "free",         "graph",     "value",     "value-focus", "key",
	"status",  "warning",       "error",       "overlay", "weights-2",    "weights-3", "kv",        "ghost",       "limit",
	"alert",   "pending-value", "heat-1",      "heat-2",  "heat-3",       "heat-4",    "heat-5",
};

/* Where a theme does not mention the first, it looks like the second. */
static const enum theme_role likeness[][2] = {
	{ROLE_WEIGHTS_2, ROLE_WEIGHTS}, {ROLE_WEIGHTS_3, ROLE_WEIGHTS}, {ROLE_KV, ROLE_ACTIVATIONS},    {ROLE_GHOST, ROLE_DIM},
	{ROLE_LIMIT, ROLE_WARNING},     {ROLE_ALERT, ROLE_ERROR},       {ROLE_PENDING_VALUE, ROLE_KEY}, {ROLE_HEAT_1, ROLE_DIM},
	{ROLE_HEAT_2, ROLE_TEXT},       {ROLE_HEAT_3, ROLE_TEXT},       {ROLE_HEAT_4, ROLE_VALUE},      {ROLE_HEAT_5, ROLE_DONE},
};

static const char *const colour_names[16] = {
	"black",        "red",        "green",        "yellow",        "blue",        "magenta",        "cyan",        "white",
	"bright-black", "bright-red", "bright-green", "bright-yellow", "bright-blue", "bright-magenta", "bright-cyan", "bright-white"};

/* ---- files --------------------------------------------------------------------------------------------------------------------------------- */

static int parse_colour(const char *word, int *rgb)
{
	char *end;

	if (!strcmp(word, "default")) {
		*rgb = DEFAULT_COLOUR;
		return 0;
	}
	if (word[0] == '#' && strlen(word) == 7) {
		*rgb = (int)strtol(word + 1, &end, 16);
		return *end ? -1 : 0;
	}
	for (int i = 0; i < 16; i++)
		if (!strcmp(word, colour_names[i])) {
			*rgb = colour_palette[i];
			return 0;
		}
	return -1;
}

static int parse_attribute(const char *word, attr_t *attr)
{
	static const struct {
		const char *name;
		attr_t attr;
	} known[] = {{"bold", A_BOLD}, {"dim", A_DIM}, {"reverse", A_REVERSE}, {"underline", A_UNDERLINE}, {"italic", A_ITALIC}};

	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (!strcmp(word, known[i].name)) {
			*attr |= known[i].attr;
			return 0;
		}
	return -1;
}

/* "foreground [on background] [attribute]…" */
static int parse_style(char *text, int *foreground, int *background, attr_t *attr, struct error *err)
{
	char *save, *word = strtok_r(text, " \t", &save);
	bool on = false, first = true;

	*foreground = *background = DEFAULT_COLOUR;
	*attr = A_NORMAL;
	for (; word; word = strtok_r(NULL, " \t", &save)) {
		int *slot = on ? background : foreground;

		if (!strcmp(word, "on"))
			on = true;
		else if ((first || on) && parse_colour(word, slot) == 0)
			on = first = false;
		else if (parse_attribute(word, attr) < 0)
			return fail(err, E_USAGE,
				    "\"%s\" is neither a colour (#rrggbb, red, default, …) nor an attribute (bold, dim, reverse, underline, italic)",
				    word);
	}
	return 0;
}

static int parse_line(struct theme *t, char *line, struct error *err)
{
	char *equals, *key = line + strspn(line, " \t"), *end;

	line[strcspn(line, "\r\n")] = '\0';
	if (!*key || *key == '#')
		return 0;
	equals = strchr(key, '=');
	if (!equals)
		return fail(err, E_USAGE, "\"%s\" is not \"role = colour\"", key);
	for (end = equals; end > key && isspace((unsigned char)end[-1]); end--)
		;
	*end = '\0';
	for (int role = 0; role < ROLES; role++)
		if (!strcmp(key, role_names[role])) {
			t->mentioned[role] = true;
			return parse_style(equals + 1, &t->foreground[role], &t->background[role], &t->attr[role], err);
		}
	return fail(err, E_USAGE, "unknown role \"%s\"", key);
}

static void fill_gaps(struct theme *t)
{
	for (size_t i = 0; i < sizeof likeness / sizeof *likeness; i++) {
		enum theme_role role = likeness[i][0], like = likeness[i][1];

		if (t->mentioned[role])
			continue;
		t->attr[role] = t->attr[like];
		t->foreground[role] = t->foreground[like];
		t->background[role] = t->background[like];
	}
}

/* A role without a background of its own stands on that of the text. */
static void make_pairs(struct theme *t)
{
	int over = t->background[ROLE_OVERLAY];

	for (int role = 0; role < ROLES; role++) {
		bool own = t->background[role] != DEFAULT_COLOUR;

		if (!own)
			t->background[role] = t->background[ROLE_TEXT];
		t->pair[role] = colour_pair(t->foreground[role], t->background[role]);
		t->pair_over[role] = colour_pair(t->foreground[role], own || over == DEFAULT_COLOUR ? t->background[role] : over);
	}
}

static int read_theme(struct theme *t, FILE *f, const char *path, struct error *err)
{
	char *line = NULL;
	size_t size = 0;
	int result = 0;

	for (int number = 1; result == 0 && getline(&line, &size, f) >= 0; number++)
		if (parse_line(t, line, err) < 0)
			result = fail_prefix(err, "%s:%d", path, number);
	free(line);
	return result;
}

/* What a theme does not mention, and all of it without colours: plain, with what must stand out reversed or bold. */
static void set_plain(struct theme *t)
{
	static const enum theme_role bold[] = {ROLE_TITLE, ROLE_HEADING, ROLE_CAPTION, ROLE_KEY, ROLE_VALUE, ROLE_WARNING, ROLE_MARK};
	static const enum theme_role reverse[] = {ROLE_SELECTION, ROLE_VALUE_FOCUS, ROLE_ERROR};

	for (int role = 0; role < ROLES; role++)
		t->foreground[role] = t->background[role] = DEFAULT_COLOUR;
	for (size_t i = 0; i < sizeof bold / sizeof *bold; i++)
		t->attr[bold[i]] = A_BOLD;
	for (size_t i = 0; i < sizeof reverse / sizeof *reverse; i++)
		t->attr[reverse[i]] = A_REVERSE;
	t->attr[ROLE_BORDER_FOCUS] = A_BOLD;
	t->attr[ROLE_DIM] = A_DIM;
}

/* The path of a theme: the argument itself when it has a slash, else in the user's folder, else in ours. */
static char *find_theme(const char *name)
{
	char *file, *path;
	FILE *f;

	if (strchr(name, '/'))
		return xstrdup(name);
	file = xasprintf("themes/%s.theme", name);
	path = paths_config(file);
	if (path && (f = fopen(path, "re"))) {
		fclose(f);
	} else {
		free(path);
		path = paths_data(file);
	}
	free(file);
	return path;
}

struct theme *theme_load(const char *name, struct error *err)
{
	char *path = find_theme(name);
	struct theme *t;
	FILE *f;
	int result;

	if (!path)
		return fail_null(err, E_USAGE, "no theme \"%s\": it is neither in ~/.config/vramble/themes nor among the installed ones", name);
	f = fopen(path, "re");
	if (!f) {
		fail(err, E_IO, "%s: %s", path, strerror(errno));
		free(path);
		return NULL;
	}
	t = xcalloc(1, sizeof *t);
	t->name = xstrdup(name);
	set_plain(t);
	/* Without colours a theme's attributes would lean on colours that are not there. */
	result = colour_any() ? read_theme(t, f, path, err) : 0;
	fclose(f);
	free(path);
	if (result < 0) {
		theme_free(t);
		return NULL;
	}
	fill_gaps(t);
	make_pairs(t);
	return t;
}

struct theme *theme_plain(void)
{
	struct theme *t = xcalloc(1, sizeof *t);

	t->name = xstrdup("plain");
	set_plain(t);
	fill_gaps(t);
	return t;
}

void theme_free(struct theme *t)
{
	if (!t)
		return;
	for (int role = 0; role < ROLES; role++) {
		colour_free(t->pair[role]);
		colour_free(t->pair_over[role]);
	}
	free(t->name);
	free(t);
}

const char *theme_name(const struct theme *t)
{
	return t->name;
}

static void add_themes(const char *folder, char ***names, int *n)
{
	DIR *dir = folder ? opendir(folder) : NULL;
	struct dirent *entry;

	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		const char *dot = strrchr(entry->d_name, '.');
		bool known = false;

		if (!dot || dot == entry->d_name || strcmp(dot, ".theme"))
			continue;
		for (int i = 0; i < *n; i++)
			known |= strlen((*names)[i]) == (size_t)(dot - entry->d_name) &&
				 !strncmp((*names)[i], entry->d_name, (size_t)(dot - entry->d_name));
		if (known)
			continue;
		*names = xrealloc(*names, (size_t)*n + 1, sizeof **names);
		(*names)[(*n)++] = xstrndup(entry->d_name, (size_t)(dot - entry->d_name));
	}
	closedir(dir);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int theme_list(char ***names)
{
	char *own = paths_config("themes"), *ours = paths_data("themes");
	int n = 0;

	*names = NULL;
	add_themes(own, names, &n);
	add_themes(ours, names, &n);
	free(own);
	free(ours);
	if (n)
		qsort(*names, (size_t)n, sizeof **names, by_name);
	return n;
}

void theme_free_list(char **names, int n)
{
	for (int i = 0; i < n; i++)
		free(names[i]);
	free(names);
}

/* ---- use ----------------------------------------------------------------------------------------------------------------------------------- */

void theme_set(const struct theme *t, WINDOW *w, enum theme_role role)
{
	int pair = t->over ? t->pair_over[role] : t->pair[role];

	wattr_set(w, t->attr[role], (short)pair, &pair);
}

void theme_over(struct theme *t, bool on)
{
	t->over = on;
}
