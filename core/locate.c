/* locate.c - see locate.h. */
#include "core/locate.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"

enum { NAME_MOST = 200, COMMIT_MOST = 100, ROOTS = 4 };

/* ---- where the caches are */

/* A path from the environment, with ~ and $NAME at its beginning spelled out, as the tools themselves do. NULL if unset or empty. */
static char *from_environment(const char *variable)
{
	const char *value = getenv(variable), *rest, *begin = NULL;
	char *name;

	if (!value || !*value)
		return NULL;
	if (value[0] == '~' && (value[1] == '/' || value[1] == '\0')) {
		begin = getenv("HOME");
		rest = value + 1;
	} else if (value[0] == '$') {
		size_t brace = value[1] == '{', n = strcspn(value + 1 + brace, brace ? "}" : "/");

		name = xstrndup(value + 1 + brace, n);
		begin = getenv(name);
		free(name);
		rest = value + 1 + brace + n + (brace && value[1 + brace + n] == '}');
	}
	return begin ? xasprintf("%s%s", begin, rest) : xstrdup(value);
}

static char *below(char *folder, const char *rest)
{
	char *path = folder ? xasprintf("%s/%s", folder, rest) : NULL;

	free(folder);
	return path;
}

static char *hugging_face_home(void)
{
	char *home = from_environment("HF_HOME");

	if (!home)
		home = below(from_environment("XDG_CACHE_HOME"), "huggingface");
	return home ? home : below(from_environment("HOME"), ".cache/huggingface");
}

char *locate_hugging_face_file(const char *file)
{
	return below(hugging_face_home(), file);
}

char *locate_hugging_face(void)
{
	char *root = from_environment("HF_HUB_CACHE");

	if (!root)
		root = from_environment("HUGGINGFACE_HUB_CACHE");
	return root ? root : below(hugging_face_home(), "hub");
}

static void free_roots(char **roots)
{
	for (int i = 0; i < ROOTS; i++)
		free(roots[i]);
}

/* roots[ROOTS]: those there are, NULL behind. free_roots. */
static void hugging_face_roots(char **roots)
{
	int n = 0;

	memset(roots, 0, ROOTS * sizeof *roots);
	if ((roots[n] = locate_hugging_face()))
		n++;
	roots[n] = from_environment("TRANSFORMERS_CACHE");
}

/* Older and newer versions of its tools disagree on what stands between the root and the owners. */
static void modelscope_roots(char **roots)
{
	char *root = from_environment("MODELSCOPE_CACHE");

	memset(roots, 0, ROOTS * sizeof *roots);
	if (!root && !(root = below(from_environment("HOME"), ".cache/modelscope/hub")))
		return;
	roots[0] = xasprintf("%s/models", root);
	roots[1] = xasprintf("%s/hub/models", root);
	roots[2] = xasprintf("%s/hub", root);
	roots[3] = root;
}

char *locate_modelscope(void)
{
	char *roots[ROOTS], *first;

	modelscope_roots(roots);
	first = roots[0] ? xstrdup(roots[0]) : NULL;
	free_roots(roots);
	return first;
}

static void openai_roots(char **roots)
{
	memset(roots, 0, ROOTS * sizeof *roots);
	roots[0] = below(from_environment("HOME"), ".cache/clip");
}

/* ---- names */

static bool is_folder(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* A part of a name as both hubs allow it: cannot lead out of a folder. */
static bool is_part(const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)text[i]) && !strchr("-_.", text[i]))
			return false;
	return n > 0 && text[0] != '.' && text[0] != '-';
}

bool locate_is_name(const char *name)
{
	const char *slash = strchr(name, '/');

	if (strlen(name) > NAME_MOST)
		return false;
	if (!slash)
		return is_part(name, strlen(name));
	return is_part(name, (size_t)(slash - name)) && is_part(slash + 1, strlen(slash + 1));
}

bool locate_split(const char *name, char **plain, const char **revision)
{
	const char *at = strchr(name, '@');

	*revision = at ? at + 1 : NULL;
	*plain = at ? xstrndup(name, (size_t)(at - name)) : xstrdup(name);
	if (locate_is_name(*plain) && (!at || (strlen(at + 1) <= NAME_MOST && is_part(at + 1, strlen(at + 1)))))
		return true;
	free(*plain);
	*plain = NULL;
	return false;
}

/* text with each `from` turned into `to`. */
static char *replaced(const char *text, const char *from, const char *to)
{
	struct buffer b = {0};
	const char *next;

	for (; (next = strstr(text, from)); text = next + strlen(from)) {
		buffer_add(&b, text, (size_t)(next - text));
		buffer_puts(&b, to);
	}
	buffer_puts(&b, text);
	return b.text;
}

char *locate_hugging_face_folder(const char *name)
{
	char *dashed = replaced(name, "/", "--"), *folder = xasprintf("models--%s", dashed);

	free(dashed);
	return folder;
}

char *locate_modelscope_folder(const char *name)
{
	return replaced(name, ".", "___");
}

/* ---- a repository in Hugging Face's cache */

/* The first line of refs/REVISION; NULL if there is none. */
static char *read_commit(const char *repository, const char *revision)
{
	char *path = xasprintf("%s/refs/%s", repository, revision), line[COMMIT_MOST + 2] = "";
	FILE *f = fopen(path, "re");
	bool read = f && fgets(line, sizeof line, f);
	size_t n;

	if (f)
		fclose(f);
	free(path);
	n = strcspn(line, "\r\n \t");
	return read && n <= COMMIT_MOST && is_part(line, n) ? xstrndup(line, n) : NULL;
}

/* The only folder in snapshots; NULL if there are none or several. */
static char *only_snapshot(const char *repository)
{
	char *path = xasprintf("%s/snapshots", repository), *found = NULL;
	DIR *d = opendir(path);
	struct dirent *entry;
	int n = 0;

	while (d && (entry = readdir(d))) {
		if (entry->d_name[0] == '.')
			continue;
		free(found);
		found = xstrdup(entry->d_name);
		n++;
	}
	if (d)
		closedir(d);
	free(path);
	if (n == 1)
		return found;
	free(found);
	return NULL;
}

static bool matters(const char *file)
{
	static const char *const endings[] = {".json", ".txt", ".safetensors", ".bin", ".pt", ".pth", ".model", ".gz"};
	size_t n = strlen(file);

	for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
		size_t m = strlen(endings[i]);

		if (n > m && strcmp(file + n - m, endings[i]) == 0)
			return true;
	}
	return false;
}

/* A link to nothing among the files that a model is made of. */
static int check_links(const char *folder, struct error *err)
{
	DIR *d = opendir(folder);
	struct dirent *entry;
	int rc = 0;

	while (d && rc == 0 && (entry = readdir(d))) {
		char *path = xasprintf("%s/%s", folder, entry->d_name), target[PATH_MAX];
		struct stat st;
		ssize_t n;

		if (matters(entry->d_name) && stat(path, &st) != 0 && (n = readlink(path, target, sizeof target - 1)) > 0) {
			target[n] = '\0';
			rc = fail(err, E_MODEL,
				  "%s: a link to %s, which is not there: a download that was interrupted or cleaned up; download the file again",
				  path, target);
		}
		free(path);
	}
	if (d)
		closedir(d);
	return rc;
}

/* The commit that a revision is (NULL: the one that is meant where none is named); NULL with err. */
static char *find_commit(const char *repository, const char *revision, struct error *err)
{
	char *commit = read_commit(repository, revision ? revision : "main"), *folder;

	if (!commit && revision) {
		folder = xasprintf("%s/snapshots/%s", repository, revision);
		commit = is_folder(folder) ? xstrdup(revision) : NULL;
		free(folder);
	} else if (!commit) {
		commit = only_snapshot(repository);
	}
	if (!commit && revision)
		fail(err, E_MODEL, "%s: has no revision %s: vramble models pull fetches it", repository, revision);
	else if (!commit)
		fail(err, E_MODEL, "%s: neither refs/main nor a single snapshot says which version is meant; download the model again", repository);
	return commit;
}

static int open_repository(const char *repository, const char *revision, bool whole, char **path, struct error *err)
{
	char *commit = find_commit(repository, revision, err);
	int rc = -1;

	*path = commit ? xasprintf("%s/snapshots/%s", repository, commit) : NULL;
	if (commit && !is_folder(*path))
		fail(err, E_MODEL, "%s: refs/%s names version %s, which is not there: a download that was interrupted; download the model again",
		     repository, revision ? revision : "main", commit);
	else if (commit)
		rc = whole ? check_links(*path, err) : 0;
	free(commit);
	if (rc < 0) {
		free(*path);
		*path = NULL;
	}
	return rc;
}

/* ---- looking a name up: 1 found, 0 not there, -1 there but broken */

static int look_in_hugging_face(const char *name, const char *revision, bool whole, char **path, struct buffer *looked, struct error *err)
{
	char *roots[ROOTS], *folder = locate_hugging_face_folder(name);
	int rc = 0;

	hugging_face_roots(roots);
	for (int i = 0; i < ROOTS && roots[i] && rc == 0; i++) {
		char *repository = xasprintf("%s/%s", roots[i], folder);

		if (is_folder(repository))
			rc = open_repository(repository, revision, whole, path, err) < 0 ? -1 : 1;
		buffer_printf(looked, "%s%s", looked->length ? ", " : "", repository);
		free(repository);
	}
	free_roots(roots);
	free(folder);
	return rc;
}

static int look_in_modelscope(const char *name, char **path, struct buffer *looked)
{
	char *roots[ROOTS], *folder = locate_modelscope_folder(name);
	const char *spellings[] = {folder, name};
	int rc = 0;

	modelscope_roots(roots);
	for (int i = 0; i < ROOTS && roots[i] && rc == 0; i++)
		for (size_t k = 0; k < 2 && rc == 0; k++) {
			*path = xasprintf("%s/%s", roots[i], spellings[k]);
			rc = strchr(name, '/') && is_folder(*path);
			if (rc)
				continue;
			free(*path);
			*path = NULL;
		}
	if (roots[3])
		buffer_printf(looked, "%s%s/[models/]%s", looked->length ? ", " : "", roots[3], folder);
	free_roots(roots);
	free(folder);
	return rc;
}

static int look_in_openai(const char *name, char **path, struct buffer *looked)
{
	char *roots[ROOTS], *dashed = replaced(name, "/", "-");
	int rc = 0;

	openai_roots(roots);
	if (roots[0]) {
		*path = xasprintf("%s/%s.pt", roots[0], dashed);
		rc = access(*path, F_OK) == 0;
		if (!rc) {
			buffer_printf(looked, "%s%s", looked->length ? ", " : "", *path);
			free(*path);
			*path = NULL;
		}
	}
	free_roots(roots);
	free(dashed);
	return rc;
}

/* A name that is no path: the text says why it was not found. */
static int look_in_caches(const char *name, const char *revision, bool whole, char **path, struct error *err)
{
	struct buffer looked = {0};
	int rc = look_in_hugging_face(name, revision, whole, path, &looked, err);

	if (rc == 0 && !revision)
		rc = look_in_modelscope(name, path, &looked);
	if (rc == 0 && !revision)
		rc = look_in_openai(name, path, &looked);
	if (rc == 0)
		fail(err, E_MODEL, "%s: neither a folder or file here nor a model in a cache; looked at %s", name,
		     looked.length ? looked.text : "nothing, as HOME is not set");
	buffer_free(&looked);
	return rc > 0 ? 0 : -1;
}

static int locate_there(const char *name, bool whole, char **path, struct error *err)
{
	struct stat st;
	char target[PATH_MAX], *plain;
	const char *revision;
	int why, rc;
	ssize_t n;

	*path = NULL;
	if (stat(name, &st) == 0) {
		*path = xstrdup(name);
		return 0;
	}
	why = errno;
	if ((n = readlink(name, target, sizeof target - 1)) > 0) {
		target[n] = '\0';
		return fail(err, E_IO, "%s: a link to %s, which is not there", name, target);
	}
	if (!locate_split(name, &plain, &revision))
		return fail(err, E_IO, "%s: %s", name, strerror(why));
	rc = look_in_caches(plain, revision, whole, path, err);
	free(plain);
	return rc;
}

/* whole: a snapshot in which links lead nowhere is refused. "~/": no shell reads a line of the configuration, or what is typed on the screen. */
static int locate(const char *name, bool whole, char **path, struct error *err)
{
	const char *home = strncmp(name, "~/", 2) == 0 ? getenv("HOME") : NULL;
	char *full = home && *home ? xasprintf("%s/%s", home, name + 2) : xstrdup(name);
	int rc = locate_there(full, whole, path, err);

	free(full);
	return rc;
}

int locate_model(const char *name, char **path, struct error *err)
{
	return locate(name, true, path, err);
}

int locate_parts(const char *name, char **path, struct error *err)
{
	return locate(name, false, path, err);
}

char *locate_folder(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (is_folder(path))
		return xstrdup(path);
	return !slash ? xstrdup(".") : slash == path ? xstrdup("/") : xstrndup(path, (size_t)(slash - path));
}

/* ---- all there is */

struct listing {
	struct located *at;
	int n;
};

int64_t locate_bytes(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *entry;
	struct stat st;
	int64_t bytes = !d && stat(path, &st) == 0 && S_ISREG(st.st_mode) ? st.st_size : 0;

	while (d && (entry = readdir(d))) {
		char *file = xasprintf("%s/%s", path, entry->d_name);

		if (stat(file, &st) == 0 && S_ISREG(st.st_mode))
			bytes += st.st_size;
		free(file);
	}
	if (d)
		closedir(d);
	return bytes;
}

/* Takes name over, and looks it up as a user would. Passes over what is no name, and names that stand there already. */
static void add_found(struct listing *l, char *name, const char *source)
{
	struct located found = {.name = name, .source = source};
	struct error err = {0};
	bool known = !locate_is_name(name);

	for (int i = 0; i < l->n; i++)
		known |= strcmp(l->at[i].name, name) == 0;
	if (known) {
		free(name);
		return;
	}
	if (look_in_caches(name, NULL, true, &found.path, &err) < 0)
		found.problem = xstrdup(err.text);
	else
		found.bytes = locate_bytes(found.path);
	l->at = xrealloc(l->at, (size_t)l->n + 1, sizeof *l->at);
	l->at[l->n++] = found;
}

static void each_entry(const char *folder, void (*take)(struct listing *l, const char *folder, const char *entry), struct listing *l)
{
	DIR *d = opendir(folder);
	struct dirent *entry;

	while (d && (entry = readdir(d)))
		if (entry->d_name[0] != '.')
			take(l, folder, entry->d_name);
	if (d)
		closedir(d);
}

static void take_repository(struct listing *l, const char *folder, const char *entry)
{
	const char *dashes;

	if (strncmp(entry, "models--", 8) != 0)
		return;
	entry += 8;
	dashes = strstr(entry, "--");
	add_found(l, dashes ? xasprintf("%.*s/%s", (int)(dashes - entry), entry, dashes + 2) : xstrdup(entry), "Hugging Face");
}

/* A folder below an owner's that holds a model. */
static void take_named(struct listing *l, const char *folder, const char *entry)
{
	char *config = xasprintf("%s/%s/config.json", folder, entry), *other = xasprintf("%s/%s/configuration.json", folder, entry);
	char *whole = xasprintf("%s/%s", strrchr(folder, '/') + 1, entry);

	if (access(config, F_OK) == 0 || access(other, F_OK) == 0)
		add_found(l, replaced(whole, "___", "."), "ModelScope");
	free(whole);
	free(other);
	free(config);
}

static void take_owner(struct listing *l, const char *folder, const char *entry)
{
	char *path = xasprintf("%s/%s", folder, entry);

	each_entry(path, take_named, l);
	free(path);
}

static void take_saved(struct listing *l, const char *folder, const char *entry)
{
	size_t n = strlen(entry);

	if (n > 3 && strcmp(entry + n - 3, ".pt") == 0)
		add_found(l, xstrndup(entry, n - 3), "OpenAI");
}

static int compare_located(const void *a, const void *b)
{
	return strcmp(((const struct located *)a)->name, ((const struct located *)b)->name);
}

int locate_list(struct located **list)
{
	static const struct {
		void (*roots)(char **roots);
		void (*take)(struct listing *l, const char *folder, const char *entry);
	} caches[] = {{hugging_face_roots, take_repository}, {modelscope_roots, take_owner}, {openai_roots, take_saved}};
	struct listing l = {0};

	for (size_t i = 0; i < sizeof caches / sizeof caches[0]; i++) {
		char *roots[ROOTS];

		caches[i].roots(roots);
		for (int k = 0; k < ROOTS && roots[k]; k++)
			each_entry(roots[k], caches[i].take, &l);
		free_roots(roots);
	}
	if (l.n > 0)
		qsort(l.at, (size_t)l.n, sizeof *l.at, compare_located);
	*list = l.at;
	return l.n;
}

void locate_free(struct located *list, int n)
{
	for (int i = 0; i < n; i++) {
		free(list[i].name);
		free(list[i].path);
		free(list[i].problem);
	}
	free(list);
}
