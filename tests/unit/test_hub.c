/* test_hub.c - models pulled from a server of ours, with everything that may go wrong on the way, and verified. No test touches the network. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/hub.h"
#include "core/locate.h"
#include "core/mem.h"
#include "tests/support/data.h"
#include "tests/support/http_hub.h"

#include <cmocka.h> /* last: it has a macro called fail */

enum { WEIGHTS = 300000 };

static struct http_hub hub;
static char *home;
static char weights[WEIGHTS];

static int setup(void **state)
{
	static const char *const removed[] = {"HF_HOME",
					      "HUGGINGFACE_HUB_CACHE",
					      "XDG_CACHE_HOME",
					      "HF_HUB_OFFLINE",
					      "HF_TOKEN",
					      "HF_TOKEN_PATH",
					      "MODELSCOPE_CACHE",
					      "TRANSFORMERS_CACHE",
					      "http_proxy",
					      "all_proxy",
					      "HTTP_PROXY",
					      "ALL_PROXY",
					      "HUGGING_FACE_HUB_TOKEN"};
	uint32_t x = 1;

	for (size_t i = 0; i < sizeof removed / sizeof *removed; i++)
		unsetenv(removed[i]);
	for (int i = 0; i < WEIGHTS; i++) {
		x = x * 1664525 + 1013904223;
		weights[i] = (char)(x >> 24);
	}
	home = data_dir();
	setenv("HOME", home, 1);
	return 0;
}

static int teardown(void **state)
{
	data_shell("rm -rf '%s'", home);
	free(home);
	return 0;
}

/* Each test begins with an empty cache and a hub that has a whole model, of which not all is wanted. */
static int begin(void **state)
{
	data_shell("rm -rf '%s'/* '%s'/.cache", home, home);
	setenv("HF_HUB_CACHE", home, 1);
	http_hub_start(&hub);
	http_hub_add(&hub, "config.json", "{\"model_type\": \"clip\"}", 22, false);
	http_hub_add(&hub, "merges.txt", "", 0, false);
	http_hub_add(&hub, "model.safetensors", weights, WEIGHTS, true);
	http_hub_add(&hub, "pytorch_model.bin", weights, WEIGHTS / 2, true);
	http_hub_add(&hub, "README.md", "# hello", 7, false);
	http_hub_add(&hub, "onnx/config.json", "{}", 2, false);
	return 0;
}

static int finish(void **state)
{
	http_hub_stop(&hub);
	return 0;
}

/* ---------------------------------------------------------------- pulling */

struct told {
	int steps[HUB_NOTE + 1];
	int64_t done, total;
	char notes[2000];
};

static void on_tell(void *ctx, const struct hub_progress *at)
{
	struct told *t = ctx;

	t->steps[at->step]++;
	t->done = at->done;
	t->total = at->total;
	if (at->note)
		snprintf(t->notes + strlen(t->notes), sizeof t->notes - strlen(t->notes), "%s\n", at->note);
}

static int pull_from(const char *name, enum hub_source source, struct told *told, char **folder, struct error *err)
{
	struct hub_pull pull = {.name = name, .source = source, .stop_fd = -1, .retry_ms = 1, .tell = told ? on_tell : NULL, .ctx = told};

	*err = (struct error){0};
	if (told)
		*told = (struct told){0};
	return hub_pull(&pull, folder, err);
}

static void pulls_as(const char *name, struct told *told)
{
	struct error err;
	char *folder, *found;

	if (pull_from(name, HUB_HUGGING_FACE, told, &folder, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(locate_model(name, &found, &err), 0);
	assert_string_equal(folder, found);
	free(found);
	free(folder);
}

static void refuses_as(const char *name, enum error_code code, const char *says)
{
	struct error err;
	char *folder;

	assert_int_equal(pull_from(name, HUB_HUGGING_FACE, NULL, &folder, &err), -1);
	assert_null(folder);
	if (!strstr(err.text, says))
		print_error("wanted \"%s\", got \"%s\"\n", says, err.text);
	assert_non_null(strstr(err.text, says));
	assert_int_equal(err.code, code);
}

#define REPOSITORY "models--someone--small-clip"
#define SNAPSHOT   REPOSITORY "/snapshots/" HTTP_HUB_COMMIT

static bool has(const char *path)
{
	char *whole = xasprintf("%s/%s", home, path);
	bool there = access(whole, F_OK) == 0;

	free(whole);
	return there;
}

/* The file in the snapshot is a link to the blob of its sum, with its bytes. */
static void holds(const struct http_hub_file *file)
{
	char *path = xasprintf("%s/" SNAPSHOT "/%s", home, file->path), *wanted = xasprintf("../../blobs/%s", file->sum), target[200] = "";
	char *bytes = xmalloc(file->size + 1);
	FILE *f = fopen(path, "re");

	assert_true(readlink(path, target, sizeof target - 1) > 0);
	assert_string_equal(target, wanted);
	assert_non_null(f);
	assert_int_equal(fread(bytes, 1, file->size + 1, f), file->size);
	assert_memory_equal(bytes, file->bytes, file->size);
	fclose(f);
	free(bytes);
	free(wanted);
	free(path);
}

static void holds_the_model(void)
{
	for (int i = 0; i < 3; i++)
		holds(&hub.files[i]);
	data_shell("test -z \"$(find '%s' -name '*.incomplete')\"", home);
}

static void test_layout(void **state)
{
	struct told told;

	pulls_as(HTTP_HUB_NAME, &told);
	holds_the_model();
	data_shell("test \"$(cat '%s/" REPOSITORY "/refs/main')\" = " HTTP_HUB_COMMIT, home);
	data_shell("test $(ls '%s/" REPOSITORY "/blobs' | wc -l) = 3 && test $(ls '%s/" SNAPSHOT "' | wc -l) = 3", home, home);
	assert_int_equal(told.steps[HUB_FILE], 3);
	assert_int_equal(told.total, WEIGHTS + 22);
	assert_int_equal(told.done, told.total);
	assert_int_equal(hub.requests, 3); /* an empty file need not be asked for */
	assert_int_equal(hub.missed, 0);
	pulls_as(HTTP_HUB_NAME, NULL); /* all is there */
	assert_int_equal(hub.requests, 4);
}

static void test_revisions(void **state)
{
	pulls_as(HTTP_HUB_NAME "@v1", NULL);
	assert_true(has(REPOSITORY "/refs/v1"));
	assert_false(has(REPOSITORY "/refs/main"));
	pulls_as(HTTP_HUB_NAME "@" HTTP_HUB_COMMIT, NULL);
	assert_false(has(REPOSITORY "/refs/" HTTP_HUB_COMMIT));
	hub.list_status = 404;
	hub.headers = "X-Error-Code: RevisionNotFound\r\n";
	refuses_as(HTTP_HUB_NAME "@v2", E_MODEL, "has no revision v2");
}

static void test_redirects_keep_the_token(void **state)
{
	hub.redirect = true;
	setenv("HF_TOKEN", "hf_secret", 1);
	pulls_as(HTTP_HUB_NAME, NULL);
	unsetenv("HF_TOKEN");
	holds_the_model();
	assert_int_equal(hub.token_at_hub, 3);
	assert_int_equal(hub.token_at_store, 0);
	assert_int_equal(hub.files[2].sent, 1);
}

static void test_gated(void **state)
{
	char *path = xasprintf("%s/.cache/huggingface/token", home);

	hub.token = "Bearer hf_secret";
	refuses_as(HTTP_HUB_NAME, E_MODEL, "/someone/small-clip, then give a token: HF_TOKEN=hf_");
	setenv("HF_TOKEN", "hf_other", 1);
	refuses_as(HTTP_HUB_NAME, E_MODEL, "the owner of the token may not have it");
	unsetenv("HF_TOKEN");
	data_shell("mkdir -p '%s/.cache/huggingface' && echo hf_secret > '%s'", home, path);
	pulls_as(HTTP_HUB_NAME, NULL);
	holds_the_model();
	free(path);
}

static void test_refusals(void **state)
{
	hub.list_status = 401;
	refuses_as(HTTP_HUB_NAME, E_MODEL, "has no model of that name, or it is a private one");
	setenv("HF_TOKEN", "hf_old", 1);
	refuses_as(HTTP_HUB_NAME, E_MODEL, "refused the token");
	unsetenv("HF_TOKEN");
	hub.list_status = 404;
	refuses_as(HTTP_HUB_NAME, E_MODEL, "has no model of that name");
	hub.list_status = 403;
	refuses_as(HTTP_HUB_NAME, E_MODEL, "accepted its terms");
	hub.list_status = 418;
	refuses_as(HTTP_HUB_NAME, E_IO, "answered 418");
	http_hub_reset(&hub);
	hub.file_status = 404;
	hub.file_failures = -1;
	refuses_as(HTTP_HUB_NAME, E_MODEL, "config.json is in the list of files, but");
	assert_false(has(SNAPSHOT));
}

/* ---------------------------------------------------------------- trouble on the way */

static void test_cut_connections(void **state)
{
	struct told told;

	hub.cut = 70000;
	pulls_as(HTTP_HUB_NAME, &told);
	holds_the_model();
	assert_int_equal(hub.ranges, 4); /* 300000 in pieces of 70000 */
	assert_int_equal(hub.files[2].sent, 5);
	assert_non_null(strstr(told.notes, "cut"));
}

static void test_cut_without_a_length(void **state)
{
	hub.cut = 70000;
	hub.no_length = true;
	pulls_as(HTTP_HUB_NAME, NULL);
	holds_the_model();
}

static void test_a_server_without_ranges(void **state)
{
	char *partial = xasprintf("%s/" REPOSITORY "/blobs/%s.incomplete", home, hub.files[2].sum);

	data_shell("mkdir -p '%s/" REPOSITORY "/blobs' && printf 'other bytes' > '%s'", home, partial);
	hub.whole = true;
	pulls_as(HTTP_HUB_NAME, NULL);
	holds_the_model();
	hub.cut = 70000;
	data_shell("rm -rf '%s/" REPOSITORY "'", home);
	refuses_as(HTTP_HUB_NAME, E_IO, "model.safetensors: ");
	free(partial);
}

static void test_damaged_partial_files(void **state)
{
	char *partial = xasprintf("%s/" REPOSITORY "/blobs/%s.incomplete", home, hub.files[2].sum);
	struct told told;

	for (int size = 1; size <= WEIGHTS + 1; size += WEIGHTS / 2) {
		data_shell("rm -rf '%s/" REPOSITORY "' && mkdir -p '%s/" REPOSITORY "/blobs' && head -c %d /dev/zero > '%s'", home, home, size,
			   partial);
		pulls_as(HTTP_HUB_NAME, &told);
		holds_the_model();
		if (size <= WEIGHTS)
			assert_non_null(strstr(told.notes, "what had arrived earlier is damaged"));
	}
	free(partial);
}

static void test_wrong_sizes(void **state)
{
	hub.files[2].listed_size = WEIGHTS + 1;
	refuses_as(HTTP_HUB_NAME, E_FORMAT, "the server has 300000 bytes of it where the list of files says 300001");
	hub.files[2].listed_size = WEIGHTS - 1;
	refuses_as(HTTP_HUB_NAME, E_FORMAT, "the server has 300000 bytes of it where the list of files says 299999");
	hub.no_length = true;
	refuses_as(HTTP_HUB_NAME, E_FORMAT, "where the list of files says 299999");
	assert_false(has(SNAPSHOT));
	assert_false(has(REPOSITORY "/refs"));
}

static void test_wrong_sums(void **state)
{
	char *blob;

	for (int i = 0; i < 3; i += 2) {
		http_hub_reset(&hub);
		memset(hub.files[i].listed_sum, 'a', hub.files[i].lfs ? 64 : 40);
		blob = xasprintf(REPOSITORY "/blobs/%s", hub.files[i].listed_sum);
		refuses_as(HTTP_HUB_NAME, E_FORMAT, "arrived with another sum");
		assert_false(has(blob));
		assert_false(has(SNAPSHOT));
		data_shell("test -z \"$(find '%s' -name '*.incomplete')\"", home);
		free(blob);
	}
}

static void test_retries(void **state)
{
	struct told told;
	double start = clock_now();

	hub.file_status = 429;
	hub.file_failures = 1;
	hub.headers = "Retry-After: 1\r\n";
	pulls_as(HTTP_HUB_NAME, &told);
	holds_the_model();
	assert_true(clock_now() - start >= 1);
	assert_non_null(strstr(told.notes, "the server answered 429; again in 1 s"));

	data_shell("rm -rf '%s/" REPOSITORY "'", home);
	hub.headers = NULL;
	hub.file_status = 503;
	hub.file_failures = 5;
	pulls_as(HTTP_HUB_NAME, NULL);
	holds_the_model();

	data_shell("rm -rf '%s/" REPOSITORY "'", home);
	hub.file_failures = -1;
	hub.downloads = 0;
	refuses_as(HTTP_HUB_NAME, E_IO, "answered 503 again and again");
	assert_int_equal(hub.downloads, 6);
	hub.file_status = 429;
	hub.headers = "Retry-After: 86400\r\n";
	start = clock_now();
	refuses_as(HTTP_HUB_NAME, E_IO, "answered 429");
	assert_true(clock_now() - start < 60);
}

static void test_no_network(void **state)
{
	char *mirror = xstrdup(getenv("HF_ENDPOINT"));

	setenv("HF_ENDPOINT", "http://127.0.0.1:1", 1);
	refuses_as(HTTP_HUB_NAME, E_IO, "http://127.0.0.1:1: cannot be reached (see the network, a proxy in https_proxy, HF_ENDPOINT)");
	setenv("HF_ENDPOINT", "mirror.example", 1);
	refuses_as(HTTP_HUB_NAME, E_USAGE, "begins with https://");
	setenv("HF_ENDPOINT", mirror, 1);
	setenv("HF_HUB_OFFLINE", "1", 1);
	refuses_as(HTTP_HUB_NAME, E_USAGE, "HF_HUB_OFFLINE=1 forbids it");
	assert_int_equal(hub.requests, 0);
	setenv("HF_HUB_OFFLINE", "0", 1);
	pulls_as(HTTP_HUB_NAME, NULL);
	unsetenv("HF_HUB_OFFLINE");
	free(mirror);
}

static void test_disks(void **state)
{
	char *file = xasprintf("%s/file", home), *cache = xasprintf("%s/file/hub", home);

	hub.files[2].listed_size = (int64_t)1 << 45;
	refuses_as(HTTP_HUB_NAME, E_IO, "35184.4 GB are to be fetched, and ");
	assert_int_equal(hub.downloads, 0);
	data_shell("touch '%s'", file);
	setenv("HF_HUB_CACHE", cache, 1);
	refuses_as(HTTP_HUB_NAME, E_IO, "name a folder that can in HF_HUB_CACHE");
	setenv("HF_HUB_CACHE", home, 1);
	http_hub_reset(&hub);
	data_shell("mkdir -p '%s/" REPOSITORY "/blobs' && ln -s /dev/full '%s/" REPOSITORY "/blobs/%s.incomplete'", home, home, hub.files[2].sum);
	refuses_as(HTTP_HUB_NAME, E_IO, "cannot be written"); /* nothing is written through a link */
	free(file);
	free(cache);
}

/* A disk that is full after so many bytes more of any file; -1: it never is. This write takes the place of libc's. */
static _Atomic int64_t room = -1;

ssize_t write(int fd, const void *data, size_t size)
{
	struct stat st;

	if (room >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		if (room == 0) {
			errno = ENOSPC;
			return -1;
		}
		size = size < (size_t)room ? size : (size_t)room;
		room -= (int64_t)size;
	}
	return syscall(SYS_write, fd, data, size);
}

/* What had arrived is still there, and the next pull asks for the rest only. */
static void goes_on_from(int64_t bytes)
{
	char *partial = xasprintf("%s/" REPOSITORY "/blobs/%s.incomplete", home, hub.files[2].sum);
	struct stat st;

	assert_int_equal(stat(partial, &st), 0);
	assert_int_equal(st.st_size, bytes);
	assert_false(has(SNAPSHOT));
	hub.ranges = 0;
	pulls_as(HTTP_HUB_NAME, NULL);
	assert_int_equal(hub.ranges, 1);
	holds_the_model();
	free(partial);
}

static void test_full_disk(void **state)
{
	room = 22 + 123456; /* config.json, and a part of the weights */
	refuses_as(HTTP_HUB_NAME, E_IO, "model.safetensors cannot be written: the disk is full; 0.2 MB are still to come, and ");
	assert_int_equal(room, 0);
	room = -1;
	goes_on_from(123456);
}

static void test_limited_files(void **state)
{
	struct rlimit before, less;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	less = (struct rlimit){200000, before.rlim_max};
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &less), 0);
	refuses_as(HTTP_HUB_NAME, E_IO, "model.safetensors cannot be written: no file may be so large here (ulimit -f, or the file system); 0.1 MB");
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	signal(SIGXFSZ, SIG_DFL);
	goes_on_from(200000);
}

/* ---------------------------------------------------------------- lists */

static void test_hostile_names(void **state)
{
	static const char *const names[] = {"../evil.json", "/etc/evil.json", "a/../../evil.json", "a//b.json", "./a.json", "a\\..\\b.json", "",
					    "a\n.json",     "\x1b[31m.json"};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		http_hub_reset(&hub);
		free(hub.files[0].listed_path);
		hub.files[0].listed_path = xstrdup(names[i]);
		refuses_as(HTTP_HUB_NAME, E_FORMAT, "which no model's file is called");
		assert_int_equal(hub.downloads, 0);
	}
	http_hub_reset(&hub);
	memcpy(hub.files[0].listed_sum, "../../../../evil", 17);
	refuses_as(HTTP_HUB_NAME, E_FORMAT, "a checksum for config.json that is none");
	http_hub_reset(&hub);
	hub.files[0].listed_size = -5;
	refuses_as(HTTP_HUB_NAME, E_FORMAT, "gives no size for config.json");
}

static void test_other_answers(void **state)
{
	static const char *const texts[] = {"<html>Log in</html>", "", "[1, 2]", "{", "{\"a\": \"\xff\"}"};

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		hub.list_text = texts[i];
		refuses_as(HTTP_HUB_NAME, E_FORMAT, "what came is not a list of files");
	}
	hub.list_text = "{\"sha\": \"../x\", \"siblings\": []}";
	refuses_as(HTTP_HUB_NAME, E_FORMAT, "which commit");
	hub.list_text = "{\"sha\": \"" HTTP_HUB_COMMIT "\", \"siblings\": [{\"rfilename\": \"config.json\", \"size\": 1}]}";
	refuses_as(HTTP_HUB_NAME, E_FORMAT, "no checksum for config.json");
	hub.list_text = "{\"sha\": \"" HTTP_HUB_COMMIT "\", \"siblings\": 7}";
	refuses_as(HTTP_HUB_NAME, E_MODEL, "has no weights that are read here");
}

static void test_names(void **state)
{
	static const char *const names[] = {"", "a/b/c", "../x", "a b", "a/b@", "a/b@../c", "-x/y", "https://huggingface.co/a/b"};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		refuses_as(names[i], E_USAGE, "is not a model's name");
	assert_int_equal(hub.requests, 0);
}

static void test_shards(void **state)
{
	static const char index[] = "{\"weight_map\": {\"a\": \"model-00001-of-00002.safetensors\", \"b\": \"model-00002-of-00002.safetensors\", "
				    "\"c\": \"model-00001-of-00002.safetensors\"}}";

	http_hub_stop(&hub);
	http_hub_start(&hub);
	http_hub_add(&hub, "model.safetensors.index.json", index, sizeof index - 1, false);
	http_hub_add(&hub, "model-00001-of-00002.safetensors", weights, 1000, true);
	http_hub_add(&hub, "model-00002-of-00002.safetensors", weights, 2000, true);
	http_hub_add(&hub, "model-00001-of-00003.safetensors", weights, 3000, true);
	pulls_as(HTTP_HUB_NAME, NULL);
	for (int i = 0; i < 3; i++)
		holds(&hub.files[i]);
	assert_int_equal(hub.files[3].sent, 0);
	data_shell("rm -rf '%s/" REPOSITORY "'", home);
	free(hub.files[2].listed_path);
	hub.files[2].listed_path = xstrdup("other.safetensors");
	refuses_as(HTTP_HUB_NAME, E_FORMAT, "names model-00002-of-00002.safetensors, which the hub does not have");
}

static void test_modelscope(void **state)
{
	static const char below[] = ".cache/modelscope/hub/models/someone/small-clip";
	char *folder, *wanted = xasprintf("%s/%s", home, below), *found;
	struct error err;

	hub.cut = 200000;
	setenv("HF_TOKEN", "hf_secret", 1);
	assert_int_equal(pull_from(HTTP_HUB_NAME, HUB_MODELSCOPE, NULL, &folder, &err), 0);
	assert_string_equal(folder, wanted);
	assert_int_equal(hub.token_at_hub, 0);
	assert_int_equal(locate_model(HTTP_HUB_NAME, &found, &err), 0);
	assert_string_equal(found, wanted);
	free(found);
	data_shell("test \"$(ls '%s' | tr '\\n' ' ')\" = 'config.json merges.txt model.safetensors '", folder);
	data_shell("sha256sum '%s/model.safetensors' | grep -q '^%s '", folder, hub.files[2].sum);
	free(folder);
	/* Damaged since: the same size, another sum. */
	data_shell("printf x | dd of='%s/model.safetensors' conv=notrunc status=none", wanted);
	assert_int_equal(pull_from(HTTP_HUB_NAME, HUB_MODELSCOPE, NULL, &folder, &err), 0);
	data_shell("sha256sum '%s/model.safetensors' | grep -q '^%s '", folder, hub.files[2].sum);
	assert_int_equal(pull_from("someone", HUB_MODELSCOPE, NULL, &found, &err), -1);
	assert_int_equal(err.code, E_USAGE);
	unsetenv("HF_TOKEN");
	free(folder);
	free(wanted);
}

/* ---------------------------------------------------------------- more than one, and stopping */

static void *pull_beside(void *ctx)
{
	struct hub_pull pull = {.name = HTTP_HUB_NAME, .stop_fd = -1, .retry_ms = 1};
	struct error err;
	char *folder;

	*(int *)ctx = hub_pull(&pull, &folder, &err);
	free(folder);
	return NULL;
}

static void test_two_at_once(void **state)
{
	pthread_t threads[4];
	int results[4];

	hub.pause_us = 1000;
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, pull_beside, &results[i]), 0);
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(results[i], 0);
	}
	holds_the_model();
	assert_int_equal(hub.files[0].sent, 1);
	assert_int_equal(hub.files[2].sent, 1);
}

struct stopper {
	int fd;
	int64_t at;
};

static void stop_at(void *ctx, const struct hub_progress *at)
{
	struct stopper *s = ctx;

	if (at->done >= s->at && s->at >= 0) {
		s->at = -1;
		assert_int_equal(write(s->fd, "", 1), 1);
	}
}

static void test_stopping_and_going_on(void **state)
{
	int ends[2];
	struct stopper stopper;
	struct hub_pull pull = {.name = HTTP_HUB_NAME, .tell = stop_at, .ctx = &stopper};
	struct error err;
	char *folder, *partial = xasprintf(REPOSITORY "/blobs/%s.incomplete", hub.files[2].sum);

	assert_int_equal(pipe(ends), 0);
	stopper = (struct stopper){ends[1], 100000};
	pull.stop_fd = ends[0];
	hub.pause_us = 2000;
	assert_int_equal(hub_pull(&pull, &folder, &err), -1);
	assert_int_equal(err.code, E_CANCELLED);
	assert_true(has(partial));
	assert_false(has(SNAPSHOT));
	http_hub_reset(&hub);
	pulls_as(HTTP_HUB_NAME, NULL);
	holds_the_model();
	assert_int_equal(hub.ranges, 1);
	close(ends[0]);
	close(ends[1]);
	free(partial);
}

/* ---------------------------------------------------------------- verifying */

static void on_check(void *ctx, const struct hub_check *check)
{
	buffer_printf(ctx, "%s %d %d %s\n", check->file, (int)check->bytes, check->summed, check->reason ? check->reason : "ok");
}

static void verifies_as(int wrong, const char *says)
{
	char *folder = xasprintf("%s/" SNAPSHOT, home);
	struct buffer text = {0};
	struct error err;

	assert_int_equal(hub_verify(folder, -1, on_check, &text, &err), wrong);
	if (!strstr(text.text, says))
		print_error("wanted \"%s\" in:\n%s", says, text.text);
	assert_non_null(strstr(text.text, says));
	buffer_free(&text);
	free(folder);
}

static void test_verify(void **state)
{
	struct error err;

	pulls_as(HTTP_HUB_NAME, NULL);
	verifies_as(0, "config.json 22 1 ok\nmerges.txt 0 1 ok\nmodel.safetensors 300000 1 ok\n");
	data_shell("printf x | dd of='%s/" SNAPSHOT "/model.safetensors' conv=notrunc status=none", home);
	verifies_as(1, "model.safetensors 300000 1 its sum is ");
	data_shell("rm '%s/" REPOSITORY "/blobs/%s' && echo own > '%s/" SNAPSHOT "/notes.txt'", home, hub.files[0].sum, home);
	verifies_as(2, "config.json 0 1 a link to a file that is not there");
	verifies_as(2, "notes.txt 4 0 ok");
	assert_int_equal(hub_verify("/no/such/folder", -1, on_check, NULL, &err), -1);
	assert_int_equal(err.code, E_IO);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, finish)
	const struct CMUnitTest tests[] = {
		TEST(test_layout),
		TEST(test_revisions),
		TEST(test_redirects_keep_the_token),
		TEST(test_gated),
		TEST(test_refusals),
		TEST(test_cut_connections),
		TEST(test_cut_without_a_length),
		TEST(test_a_server_without_ranges),
		TEST(test_damaged_partial_files),
		TEST(test_wrong_sizes),
		TEST(test_wrong_sums),
		TEST(test_retries),
		TEST(test_no_network),
		TEST(test_disks),
		TEST(test_full_disk),
		TEST(test_limited_files),
		TEST(test_hostile_names),
		TEST(test_other_answers),
		TEST(test_names),
		TEST(test_shards),
		TEST(test_modelscope),
		TEST(test_two_at_once),
		TEST(test_stopping_and_going_on),
		TEST(test_verify),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
