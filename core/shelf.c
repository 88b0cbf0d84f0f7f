/* shelf.c - see shelf.h. */
#include "core/shelf.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/mem.h"

static bool is_same_place(const char *a, const char *b)
{
	char *real_a = realpath(a, NULL), *real_b = realpath(b, NULL);
	bool same = real_a && real_b && !strcmp(real_a, real_b);

	free(real_a);
	free(real_b);
	return same;
}

/* Takes name, path and problem over; path NULL where there is a problem. */
static void add(struct shelf *s, char *name, char *path, char *problem, const char *source)
{
	for (int i = 0; i < s->n && path; i++) {
		if (!s->list[i].path || !is_same_place(s->list[i].path, path))
			continue;
		free(name);
		free(path);
		free(problem);
		return;
	}
	s->list = xrealloc(s->list, (size_t)s->n + 1, sizeof *s->list);
	s->list[s->n++] = (struct located){name, path, problem, source, path ? locate_bytes(path) : 0};
}

void shelf_bundled(struct shelf *s, const char *book)
{
	static const char *const names[] = {"clip", "ofa", "bert"};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		char *path = xasprintf("%s/%s", book, names[i]), *real = realpath(path, NULL);

		if (real)
			add(s, xasprintf("picturebook/%s", names[i]), real, NULL, "bundled");
		free(path);
	}
}

void shelf_cached(struct shelf *s)
{
	struct located *list;
	int n = locate_list(&list);

	for (int i = 0; i < n; i++)
		add(s, xstrdup(list[i].name), list[i].path ? xstrdup(list[i].path) : NULL, list[i].problem ? xstrdup(list[i].problem) : NULL,
		    list[i].source);
	locate_free(list, n);
}

/* Whether the folder is a model's, or says that it is one. */
static bool holds_model(const char *folder)
{
	static const char *const signs[] = {"config.json",       "configuration.json",   "model.safetensors", "model.safetensors.index.json",
					    "pytorch_model.bin", "open_clip_config.json"};
	bool found = false;

	for (size_t i = 0; i < sizeof signs / sizeof *signs && !found; i++) {
		char *path = xasprintf("%s/%s", folder, signs[i]);

		found = access(path, F_OK) == 0;
		free(path);
	}
	return found;
}

int shelf_folder(struct shelf *s, const char *folder)
{
	struct dirent **entries;
	int n;

	if (holds_model(folder)) {
		add(s, xstrdup(folder), xstrdup(folder), NULL, "folder");
		return 0;
	}
	n = scandir(folder, &entries, NULL, alphasort);
	for (int i = 0; i < n; i++) {
		char *path = xasprintf("%s/%s", folder, entries[i]->d_name);

		if (entries[i]->d_name[0] != '.' && holds_model(path))
			add(s, xstrdup(path), xstrdup(path), NULL, "folder");
		free(path);
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
	return n < 0 ? -1 : 0;
}

void shelf_name(struct shelf *s, const char *name)
{
	struct error err;
	char *path;

	if (locate_model(name, &path, &err) == 0)
		add(s, xstrdup(name), path, NULL, "folder");
	else
		add(s, xstrdup(name), NULL, xstrdup(err.text), "folder");
}

void shelf_free(struct shelf *s)
{
	locate_free(s->list, s->n);
	*s = (struct shelf){0};
}
