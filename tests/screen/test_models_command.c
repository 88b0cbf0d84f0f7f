/* test_models_command.c - models listed, pulled, verified by the real program, from a server of ours; and killed at any moment of a pull.
 *
 * VRAMBLE_KILLS: how often; 20 without it. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>
#include <jansson.h>

#include "core/clock.h"
#include "core/mem.h"
#include "tests/support/data.h"
#include "tests/support/http_hub.h"
#include "tests/support/pty.h"

enum { WEIGHTS = 400000, MOST = 16, WANTED = 3 };

#define REPOSITORY "models--someone--small-clip"
#define SNAPSHOT   REPOSITORY "/snapshots/" HTTP_HUB_COMMIT

static struct http_hub hub;
static char *cache; /* the folder that is HF_HUB_CACHE */
static char *variables[4];
static char weights[WEIGHTS];

/* Each test begins with an empty cache. */
static int begin(void **state)
{
	uint32_t x = 7;

	for (int i = 0; i < WEIGHTS; i++) {
		x = x * 1664525 + 1013904223;
		weights[i] = (char)(x >> 24);
	}
	cache = data_dir();
	http_hub_start(&hub);
	http_hub_add(&hub, "config.json", "{\"model_type\": \"clip\"}", 22, false);
	http_hub_add(&hub, "vocab.json", weights, 30000, false);
	http_hub_add(&hub, "model.safetensors", weights, WEIGHTS, true);
	http_hub_add(&hub, "README.md", "# hello", 7, false);
	variables[0] = xasprintf("HF_ENDPOINT=%s", http_server_url(hub.server));
	variables[1] = xasprintf("HF_HUB_CACHE=%s", cache);
	variables[2] = xasprintf("MODELSCOPE_ENDPOINT=%s", http_server_url(hub.server));
	return 0;
}

static int finish(void **state)
{
	http_hub_stop(&hub);
	data_shell("rm -rf '%s'", cache);
	free(cache);
	for (int i = 0; i < 3; i++)
		free(variables[i]);
	return 0;
}

/* The hub is set up and read here, and its servers answer another process. */
static void meet_servers(void)
{
	http_server_meet(hub.server);
	http_server_meet(hub.store);
}

static int run(char *const *arguments, const char *variable, int interrupt, char **out, char **err)
{
	const char *env[] = {variables[0], variables[1], variables[2], variable, NULL};
	char *argv[MOST] = {(char *)pty_program(), "models"};
	int n = 2, status;

	while (*arguments && n + 1 < MOST)
		argv[n++] = *arguments++;
	meet_servers();
	status = pty_capture(argv, env, interrupt, out, err);
	meet_servers();
	return status;
}

#define RUN(out, err, ...) run((char *[]){__VA_ARGS__, NULL}, NULL, 0, out, err)

static void has(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("no \"%s\" in:\n%s", part, text);
}

/* ---------------------------------------------------------------- killed */

static pid_t start_pull(void)
{
	char *argv[] = {(char *)pty_program(), "models", "pull", HTTP_HUB_NAME, NULL};
	pid_t pid;

	meet_servers();
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		unsetenv("HF_HUB_OFFLINE");
		setenv("no_proxy", "127.0.0.1", 1);
		for (int i = 0; i < 3; i++)
			putenv(variables[i]);
		if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr))
			_exit(126);
		execv(argv[0], argv);
		_exit(127);
	}
	return pid;
}

struct killer {
	pid_t pid;
	int64_t at; /* bytes sent; -1: never */
};

static void kill_at(void *ctx, int64_t total)
{
	struct killer *k = ctx;

	if (k->at >= 0 && total >= k->at) {
		kill(k->pid, SIGKILL);
		k->at = -1;
	}
}

static void holds_the_model(void)
{
	for (int i = 0; i < WANTED; i++)
		data_shell("test \"$(readlink '%s/" SNAPSHOT "/%s')\" = ../../blobs/%s", cache, hub.files[i].path, hub.files[i].sum);
	data_shell("cd '%s/" REPOSITORY "/blobs' && echo '%s  %s' | sha256sum -c --quiet", cache, hub.files[2].sum, hub.files[2].sum);
	data_shell("cd '%s/" REPOSITORY
		   "' && cmp -n 30000 blobs/%s blobs/%s && test $(stat -c %%s blobs/%s) = 30000 && test \"$(cat refs/main)\" = " HTTP_HUB_COMMIT
		   " && test -z \"$(ls blobs | grep incomplete)\"",
		   cache, hub.files[1].sum, hub.files[2].sum, hub.files[1].sum);
}

/* Whatever a killed pull leaves: by name there is a whole model or none. */
static void is_whole_or_not_there(void)
{
	char *reference = xasprintf("%s/" REPOSITORY "/refs/main", cache);

	if (access(reference, F_OK) == 0)
		for (int i = 0; i < WANTED; i++)
			data_shell("test $(stat -L -c %%s '%s/" SNAPSHOT "/%s') = %zu", cache, hub.files[i].path, hub.files[i].size);
	free(reference);
}

/* Of the moments half are counted in bytes that were sent, which lie within a transfer; half in time, which lie anywhere. */
static int killed_once(unsigned *seed, bool by_bytes, double whole_s)
{
	struct killer killer = {.at = by_bytes ? rand_r(seed) % (WEIGHTS + 30000) : -1};
	struct timespec pause = {.tv_nsec = (long)(whole_s * 1.2e9 * (rand_r(seed) / (RAND_MAX + 1.0)))};
	int status;

	pause.tv_sec = pause.tv_nsec / 1000000000;
	pause.tv_nsec %= 1000000000;
	http_server_watch(hub.server, NULL, NULL);
	killer.pid = start_pull();
	if (by_bytes) {
		http_server_watch(hub.server, kill_at, &killer);
	} else {
		nanosleep(&pause, NULL);
		kill(killer.pid, SIGKILL);
	}
	assert_int_equal(waitpid(killer.pid, &status, 0), killer.pid);
	http_server_watch(hub.server, NULL, NULL);
	return WIFSIGNALED(status);
}

static void a_killed_pull_completes(void **state)
{
	const char *wish = getenv("VRAMBLE_KILLS");
	int kills = wish ? atoi(wish) : 20, killed = 0, status;
	unsigned seed = 42;
	double whole_s, begun;

	hub.pause_us = 300;
	begun = clock_now();
	waitpid(start_pull(), &status, 0);
	whole_s = clock_now() - begun;
	assert_int_equal(status, 0);
	for (int i = 0; i < kills; i++) {
		data_shell("rm -rf '%s'/*", cache);
		for (int k = 0; k <= i % 3; k++) { /* some more than once */
			killed += killed_once(&seed, i % 2, whole_s);
			is_whole_or_not_there();
		}
		waitpid(start_pull(), &status, 0);
		assert_int_equal(status, 0);
		holds_the_model();
	}
	meet_servers();
	print_message("killed %d times in %d pulls\n", killed, kills);
	assert_true(killed >= kills / 2);
	assert_true(hub.ranges > 0);
}

/* ---------------------------------------------------------------- pull */

static void pull_prints_the_folder(void **state)
{
	char *out, *err, *wanted = xasprintf("%s/" SNAPSHOT "\n", cache);

	assert_int_equal(RUN(&out, &err, "pull", HTTP_HUB_NAME), 0);
	assert_string_equal(out, wanted);
	has(err, HTTP_HUB_NAME ": 3 files, 430.0 kB\n");
	has(err, "model.safetensors: there and right\n");
	assert_null(strchr(err, '\r'));
	free(out);
	free(err);
	assert_int_equal(RUN(&out, &err, "pull", "--json", HTTP_HUB_NAME), 0);
	has(out, "\"files\":3");
	has(out, SNAPSHOT);
	free(out);
	free(err);
	free(wanted);
	holds_the_model();
}

static void pull_from_modelscope(void **state)
{
	char *out, *err, *scope = xasprintf("MODELSCOPE_CACHE=%s/scope", cache);

	assert_int_equal(run((char *[]){"pull", "--from", "modelscope", HTTP_HUB_NAME, NULL}, scope, 0, &out, &err), 0);
	has(out, "/scope/models/someone/small-clip\n");
	free(out);
	free(err);
	assert_int_equal(RUN(&out, &err, "pull", "--from", "elsewhere", HTTP_HUB_NAME), 2);
	has(err, "--from elsewhere: huggingface or modelscope");
	free(out);
	free(err);
	free(scope);
}

static void pull_says_what_is_wrong(void **state)
{
	char *out, *err;

	hub.token = "Bearer hf_secret";
	assert_int_equal(RUN(&out, &err, "pull", HTTP_HUB_NAME), 3);
	has(err, "HF_TOKEN=hf_");
	assert_string_equal(out, "");
	free(out);
	free(err);
	assert_int_equal(run((char *[]){"pull", HTTP_HUB_NAME, NULL}, "HF_TOKEN=hf_secret", 0, &out, &err), 0);
	free(out);
	free(err);
	assert_int_equal(run((char *[]){"pull", HTTP_HUB_NAME, NULL}, "HF_HUB_OFFLINE=1", 0, NULL, &err), 2);
	has(err, "forbids it");
	free(err);
	assert_int_equal(RUN(NULL, &err, "pull", "someone/unknown"), 3);
	has(err, "has no model of that name");
	free(err);
}

static void an_interrupted_pull_is_kept(void **state)
{
	char *out, *err;

	hub.pause_us = 20000; /* two seconds in all */
	assert_int_equal(run((char *[]){"pull", HTTP_HUB_NAME, NULL}, NULL, SIGINT, &out, &err), 130);
	has(err, "interrupted; what has arrived is kept");
	assert_string_equal(out, "");
	free(out);
	free(err);
	hub.pause_us = 0;
	assert_int_equal(RUN(NULL, NULL, "pull", HTTP_HUB_NAME), 0);
	holds_the_model();
}

static void pull_draws_a_bar_on_a_terminal(void **state)
{
	char *argv[] = {(char *)pty_program(), "models", "pull", HTTP_HUB_NAME, NULL};
	const char *env[] = {variables[0], variables[1], NULL};
	struct pty *p;

	hub.pause_us = 10000;
	meet_servers();
	p = pty_start(&(struct pty_options){.argv = argv, .env = env, .rows = 24, .columns = 100});
	pty_wait_both(p, "model.safetensors", "[=");
	pty_wait_both(p, "of 430.0 kB", "kB/s");
	pty_wait_text(p, "left");
	pty_wait_text(p, "/" REPOSITORY "/snapshots/");
	pty_wait_no_text(p, "[=");
	assert_int_equal(pty_finish(p, NULL), 0);
}

/* ---------------------------------------------------------------- list, info, verify */

static void list_tells_what_is_there(void **state)
{
	char *out, *err, *line;
	bool seen = false;

	assert_int_equal(RUN(NULL, NULL, "pull", HTTP_HUB_NAME), 0);
	data_shell("mkdir -p '%s/models--a--broken/refs' && echo gone > '%s/models--a--broken/refs/main'", cache, cache);
	data_shell("mkdir -p '%s/own/my-bert' && echo '{}' > '%s/own/my-bert/config.json'", cache, cache);
	line = xasprintf("%s/own", cache);
	assert_int_equal(RUN(&out, &err, "list", "--dir", line), 0);
	free(line);
	assert_string_equal(err, "");
	has(out, "picturebook/clip");
	has(out, HTTP_HUB_NAME);
	has(out, "430.0 kB");
	has(out, "/own/my-bert");
	has(out, "a/broken");
	has(out, "cannot be used: ");
	free(out);
	free(err);
	assert_int_equal(RUN(&out, NULL, "list", "--json", "--precision", "bf16"), 0);
	for (char *rest = out; (line = strsep(&rest, "\n")) && *line;) {
		json_t *object = json_loads(line, 0, NULL);

		assert_non_null(object);
		if (!strcmp(json_string_value(json_object_get(object, "name")), HTTP_HUB_NAME)) {
			seen = true;
			assert_int_equal(json_integer_value(json_object_get(object, "bytes")), WEIGHTS + 30022);
			assert_string_equal(json_string_value(json_object_get(object, "source")), "Hugging Face");
			assert_true(json_integer_value(json_object_get(object, "memory")) > 0);
		}
		json_decref(object);
	}
	assert_true(seen);
	free(out);
}

/* A limit of the shell that is less than the weights: what has arrived is kept, and no signal ends the program. */
static void pull_tells_of_a_limit(void **state)
{
	struct rlimit before, less;
	char *err;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	less = (struct rlimit){WEIGHTS / 2, before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &less), 0);
	assert_int_equal(RUN(NULL, &err, "pull", HTTP_HUB_NAME), 1);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	has(err, "model.safetensors cannot be written: no file may be so large here (ulimit -f");
	has(err, "0.2 MB are still to come");
	free(err);
	hub.ranges = 0;
	assert_int_equal(RUN(NULL, NULL, "pull", HTTP_HUB_NAME), 0);
	assert_int_equal(hub.ranges, 1);
}

static void verify_reads_everything_again(void **state)
{
	char *out, *err;

	assert_int_equal(RUN(NULL, NULL, "pull", HTTP_HUB_NAME), 0);
	assert_int_equal(RUN(&out, &err, "verify", HTTP_HUB_NAME), 0);
	has(out, "ok    model.safetensors\n");
	has(out, "ok    vocab.json\n");
	has(out, "ok    headers: ");
	free(out);
	free(err);
	data_shell("printf x | dd of='%s/" SNAPSHOT "/model.safetensors' bs=1 seek=9999 conv=notrunc status=none", cache);
	assert_int_equal(RUN(&out, NULL, "verify", HTTP_HUB_NAME), 1);
	has(out, "fail  model.safetensors: its sum is ");
	has(out, hub.files[2].sum);
	has(out, "ok    vocab.json\n");
	free(out);
	assert_int_equal(RUN(&out, NULL, "verify", "--json", HTTP_HUB_NAME), 1);
	has(out, "\"verdict\":\"fail\"");
	free(out);
	data_shell("rm '%s/" REPOSITORY "/blobs/%s'", cache, hub.files[2].sum); /* as it advises */
	assert_int_equal(RUN(&out, NULL, "verify", HTTP_HUB_NAME), 1);
	has(out, "fail  model.safetensors: a link to a file that is not there; pull the model again");
	has(out, "ok    vocab.json\n");
	free(out);
	assert_int_equal(RUN(NULL, NULL, "pull", HTTP_HUB_NAME), 0);
	assert_int_equal(RUN(NULL, NULL, "verify", HTTP_HUB_NAME), 0);
	assert_int_equal(RUN(NULL, &err, "verify", "nobody/nothing"), 3);
	has(err, "nor a model in a cache");
	free(err);
}

static void wrong_usage(void **state)
{
	char *err;

	assert_int_equal(RUN(&err, NULL, "info", "picturebook-clip"), 0); /* as vramble info: the fake library knows all */
	free(err);
	assert_int_equal(RUN(NULL, &err, "pull"), 2);
	has(err, "models pull needs a name");
	free(err);
	assert_int_equal(RUN(NULL, &err, "list", "x"), 2);
	free(err);
	assert_int_equal(RUN(NULL, &err, "fetch"), 2);
	has(err, "list, info NAME, pull NAME or verify NAME");
	free(err);
	assert_int_equal(RUN(NULL, &err, "verify", "--from", "modelscope", HTTP_HUB_NAME), 2);
	has(err, "--from is not for models verify");
	free(err);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, finish)
	const struct CMUnitTest tests[] = {
		TEST(pull_prints_the_folder),      TEST(pull_from_modelscope),           TEST(pull_says_what_is_wrong),
		TEST(an_interrupted_pull_is_kept), TEST(pull_draws_a_bar_on_a_terminal), TEST(list_tells_what_is_there),
		TEST(pull_tells_of_a_limit),       TEST(verify_reads_everything_again),  TEST(wrong_usage),
		TEST(a_killed_pull_completes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
