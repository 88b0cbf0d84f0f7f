/* hub.c - see hub.h. A pull from its name to the folder: list, choose, fetch file by file, publish. */
#include "core/hub.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/hub_private.h"
#include "core/locate.h"

enum { TOKEN_MOST = 1000 };

bool hub_stopped(int stop_fd, int wait_ms)
{
	struct pollfd p = {.fd = stop_fd, .events = POLLIN};

	return poll(&p, 1, wait_ms) > 0;
}

/* ---- what the environment says */

static int check_online(const struct hub *h, struct error *err)
{
	static const char *const yes[] = {"1", "on", "yes", "true"};
	const char *value = getenv("HF_HUB_OFFLINE");

	for (size_t i = 0; value && i < sizeof yes / sizeof *yes; i++)
		if (strcasecmp(value, yes[i]) == 0)
			return fail(err, E_USAGE, "%s: not fetched, as HF_HUB_OFFLINE=%s forbids it", h->name, value);
	return 0;
}

static int read_endpoint(struct hub *h, struct error *err)
{
	bool scope = h->pull->source == HUB_MODELSCOPE;
	const char *variable = scope ? "MODELSCOPE_ENDPOINT" : "HF_ENDPOINT", *value = getenv(variable);
	size_t n;

	if (!value || !*value)
		value = scope ? "https://modelscope.cn" : "https://huggingface.co";
	else if (strncmp(value, "http://", 7) != 0 && strncmp(value, "https://", 8) != 0)
		return fail(err, E_USAGE, "%s=%s: an address that begins with https:// belongs there", variable, value);
	for (n = strlen(value); n > 0 && value[n - 1] == '/';)
		n--;
	h->endpoint = xstrndup(value, n);
	return 0;
}

/* The first word; NULL if there is none. */
static char *first_word(const char *text)
{
	size_t begin = strspn(text, " \t\r\n"), n = 0;

	while ((unsigned char)text[begin + n] > ' ' && (unsigned char)text[begin + n] < 0x7f)
		n++;
	return n ? xstrndup(text + begin, n) : NULL;
}

static char *read_token_file(void)
{
	const char *named = getenv("HF_TOKEN_PATH");
	char *path = named && *named ? xstrdup(named) : locate_hugging_face_file("token"), line[TOKEN_MOST] = "", *token = NULL;
	FILE *f = path ? fopen(path, "re") : NULL;

	if (f) {
		if (fgets(line, sizeof line, f))
			token = first_word(line);
		fclose(f);
	}
	free(path);
	return token;
}

static char *read_token(void)
{
	static const char *const names[] = {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		const char *value = getenv(names[i]);
		char *token = value ? first_word(value) : NULL;

		if (token)
			return token;
	}
	return read_token_file();
}

static int begin(struct hub *h, struct error *err)
{
	bool scope = h->pull->source == HUB_MODELSCOPE;
	char *folder;

	if (!locate_split(h->pull->name, &h->name, &h->revision) || (scope && !strchr(h->name, '/')))
		return fail(err, E_USAGE, "%s: is not a model's name: OWNER/NAME, such as openai/clip-vit-base-patch32, with @REVISION if need be",
			    h->pull->name);
	if (!h->revision)
		h->revision = scope ? "master" : "main";
	if (check_online(h, err) < 0 || read_endpoint(h, err) < 0)
		return -1;
	h->token = scope ? NULL : read_token();
	h->root = scope ? locate_modelscope() : locate_hugging_face();
	if (!h->root)
		return fail(err, E_USAGE, "nothing says where models are kept, as HOME is not set: set HF_HUB_CACHE");
	folder = scope ? locate_modelscope_folder(h->name) : locate_hugging_face_folder(h->name);
	h->folder = xasprintf("%s/%s", h->root, folder);
	free(folder);
	h->http = hub_http_open(err);
	return h->http ? 0 : -1;
}

static void end(struct hub *h)
{
	hub_http_close(h->http);
	hub_listing_free(&h->listing);
	free(h->folder);
	free(h->root);
	free(h->token);
	free(h->endpoint);
	free(h->name);
}

/* ---- one file */

static int64_t size_of(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) ? st.st_size : -1;
}

/* 1: as it should be, 0: not, -1: err. */
static int compare(struct hub *h, const struct hub_file *file, const char *path, struct error *err)
{
	char sum[HUB_SUM];

	if (!file->sum[0])
		return 1;
	hub_tell(h, HUB_CHECK, file);
	if (hub_hash(path, strlen(file->sum), h->pull->stop_fd, sum, err) < 0)
		return -1;
	return strcasecmp(sum, file->sum) == 0;
}

/* A blob has its name only when it was right; a file in ModelScope's cache may be of an older revision. */
static int is_there(struct hub *h, const struct hub_file *file, const struct hub_place *place, struct error *err)
{
	if (size_of(place->path) != file->size)
		return 0;
	return h->pull->source == HUB_MODELSCOPE ? compare(h, file, place->path, err) : 1;
}

/* Fetches what the open partial file lacks, and compares. *resumed: it had something. */
static int fill(struct hub *h, struct hub_file *file, const char *partial, int fd, bool *resumed, struct error *err)
{
	int64_t have = size_of(partial);

	if (have < 0 || have > file->size)
		have = 0;
	*resumed = have > 0;
	if (ftruncate(fd, have) < 0 || lseek(fd, have, SEEK_SET) < 0)
		return hub_fail_path(h, partial, err);
	h->progress.done += have - file->counted;
	file->counted = have;
	if (have < file->size && hub_fetch_file(h, file, fd, have, err) < 0)
		return -1;
	return compare(h, file, partial, err);
}

/* What an earlier pull left may be damaged: from the start then, once. */
static int fill_right(struct hub *h, struct hub_file *file, const char *partial, int fd, struct error *err)
{
	bool resumed;
	int right = fill(h, file, partial, fd, &resumed, err);

	if (right == 0 && resumed) {
		hub_note(h, file, "what had arrived earlier is damaged; from the start");
		if (ftruncate(fd, 0) < 0)
			return hub_fail_path(h, partial, err);
		right = fill(h, file, partial, fd, &resumed, err);
	}
	if (right != 0)
		return right < 0 ? -1 : 0;
	unlink(partial);
	return fail(err, E_FORMAT,
		    "%s: %s arrived with another sum than the one that is listed: damaged on its way, or %s serves another file; try again", h->name,
		    file->path, h->endpoint);
}

static int complete(struct hub *h, struct hub_file *file, const struct hub_place *place, struct error *err)
{
	int fd, rc;

	if (hub_make_parents(h, place->partial, err) < 0 || hub_make_parents(h, place->path, err) < 0)
		return -1;
	fd = open(place->partial, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
	if (fd < 0)
		return hub_fail_path(h, place->partial, err);
	rc = fill_right(h, file, place->partial, fd, err);
	if (rc == 0 && (fsync(fd) < 0 || rename(place->partial, place->path) < 0))
		rc = hub_fail_path(h, place->path, err);
	close(fd);
	return rc;
}

static int fetch(struct hub *h, struct hub_file *file, struct error *err)
{
	struct hub_place place;
	int lock = -1, there, rc = 0;

	hub_place(h, file, &place);
	there = is_there(h, file, &place, err);
	if (there == 0) {
		lock = hub_lock(h, file, place.lock, err);
		there = lock < 0 ? -1 : is_there(h, file, &place, err);
	}
	if (there == 0)
		rc = complete(h, file, &place, err);
	if (lock >= 0)
		close(lock);
	hub_place_free(&place);
	if (there < 0 || rc < 0)
		return -1;
	h->progress.done += file->size - file->counted;
	file->counted = file->size;
	hub_tell(h, HUB_FILE, file);
	return 0;
}

/* ---- the whole */

static int list(struct hub *h, struct error *err)
{
	struct buffer json = {0};
	int rc = hub_fetch_list(h, &json, err);

	if (rc == 0) {
		rc = (h->pull->source == HUB_MODELSCOPE ? hub_list_modelscope : hub_list_hugging_face)(json.text, json.length, &h->listing, err);
		if (rc < 0)
			fail_prefix(err, "%s: %s", h->name, h->endpoint);
	}
	buffer_free(&json);
	return rc;
}

/* Which files are wanted is known only after the index of several files of weights is there. */
static int choose(struct hub *h, struct error *err)
{
	struct hub_file *index;
	struct hub_place place;
	int rc = hub_choose(&h->listing, &index, err);

	if (rc < 0)
		return fail_prefix(err, "%s", h->name);
	if (!index)
		return 0;
	if (fetch(h, index, err) < 0)
		return -1;
	hub_place(h, index, &place);
	rc = hub_choose_shards(&h->listing, place.path, err);
	hub_place_free(&place);
	return rc;
}

static void plan(struct hub *h)
{
	h->progress = (struct hub_progress){0};
	for (int i = 0; i < h->listing.n; i++) {
		struct hub_file *file = &h->listing.files[i];
		struct hub_place place;
		int64_t partial;

		if (!file->wanted)
			continue;
		hub_place(h, file, &place);
		partial = size_of(place.partial);
		file->counted = size_of(place.path) == file->size ? file->size : partial > 0 && partial <= file->size ? partial : 0;
		h->progress.files++;
		h->progress.total += file->size;
		h->progress.done += file->counted;
		hub_place_free(&place);
	}
	hub_tell(h, HUB_PLAN, NULL);
}

static int pull_all(struct hub *h, struct error *err)
{
	if (list(h, err) < 0 || choose(h, err) < 0)
		return -1;
	plan(h);
	if (hub_make_parents(h, h->folder, err) < 0 || hub_check_room(h, h->progress.total - h->progress.done, err) < 0)
		return -1;
	for (int i = 0; i < h->listing.n; i++)
		if (h->listing.files[i].wanted && fetch(h, &h->listing.files[i], err) < 0)
			return -1;
	return 0;
}

int hub_pull(const struct hub_pull *pull, char **folder, struct error *err)
{
	struct hub h = {.pull = pull};

	*folder = NULL;
	if (begin(&h, err) == 0 && pull_all(&h, err) == 0)
		*folder = hub_publish(&h, err);
	end(&h);
	return *folder ? 0 : -1;
}
