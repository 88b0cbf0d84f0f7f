/* command_config.c - `vramble config`: every setting and where it comes from; with --profiles the profiles there are. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/profile.h"
#include "core/utf8.h"
#include "tui/command.h"

enum { VALUE_WIDEST = 40 }; /* columns; longer values push their origin aside */

/* A value as a person reads it: printable, a seed from the clock with its number. */
static char *shown_value(const struct config *c, const char *key)
{
	char *raw = config_get(c, key), *safe = xmalloc(4 * strlen(raw) + 1);

	utf8_escape(raw, strlen(raw), safe, 4 * strlen(raw) + 1);
	free(raw);
	if (!strcmp(key, "seed") && c->seed_from_clock) {
		free(safe);
		safe = xasprintf("clock (%llu)", (unsigned long long)c->settings.seed);
	}
	return safe;
}

static void print_text(const struct config *c)
{
	size_t n;
	const struct config_row *rows = config_rows(&n);
	int widest = 0;

	for (size_t i = 0; i < n; i++) {
		char *value = shown_value(c, rows[i].key);
		int width = (int)strlen(value);

		if (width > widest && width <= VALUE_WIDEST)
			widest = width;
		free(value);
	}
	for (size_t i = 0; i < n; i++) {
		char *value = shown_value(c, rows[i].key), *origin = config_origin_text(config_origin(c, rows[i].key)), safe[4200];

		utf8_escape(origin, strlen(origin), safe, sizeof safe);
		printf("%-19s  %-*s  %s\n", rows[i].key, widest, value, safe);
		free(value);
		free(origin);
	}
}

/* As it is, or escaped where it is not UTF-8 (paths need not be). */
static json_t *json_text(const char *text)
{
	size_t n = strlen(text);
	char *safe;
	json_t *string;

	if (utf8_valid(text, n))
		return json_string(text);
	safe = xmalloc(4 * n + 1);
	utf8_escape(text, n, safe, 4 * n + 1);
	string = json_string(safe);
	free(safe);
	return string;
}

static void print_json(const struct config *c)
{
	static const char *const sources[] = {"default", "file", "profile", "environment", "flag", "hand"};
	size_t n;
	const struct config_row *rows = config_rows(&n);

	for (size_t i = 0; i < n; i++) {
		const struct config_origin *origin = config_origin(c, rows[i].key);
		char *value = config_get(c, rows[i].key);
		json_t *object = json_pack("{s:s, s:o, s:s}", "key", rows[i].key, "value", json_text(value), "source", sources[origin->source]);

		if (origin->where)
			json_object_set_new(object, "where", json_text(origin->where));
		if (!strcmp(rows[i].key, "seed"))
			json_object_set_new(object, "seed", json_sprintf("%llu", (unsigned long long)c->settings.seed));
		command_print_json(object);
		free(value);
	}
}

static void print_profiles(const struct invocation *in)
{
	struct profile_info *list;
	int n = profile_list(in->config.profile_dir, &list);

	for (int i = 0; i < n; i++) {
		bool chosen = in->config.profile && !strcmp(in->config.profile, list[i].name);

		if (in->json)
			command_print_json(json_pack("{s:s, s:b, s:b}", "name", list[i].name, "builtin", list[i].builtin, "chosen", chosen));
		else
			printf("%c %-16s  %s\n", chosen ? '*' : ' ', list[i].name, list[i].builtin ? list[i].summary : "own");
	}
	free(list);
}

int command_config(struct invocation *in)
{
	if (in->n_files) {
		complain("config takes no arguments: vramble config [--profiles] [--json] [option ...]");
		return EXIT_USAGE;
	}
	if (in->profiles)
		print_profiles(in);
	else
		(in->json ? print_json : print_text)(&in->config);
	return in->n_problems ? EXIT_USAGE : EXIT_OK;
}
