/* test_layouts.c - the bundled CLIP in every layout, opened by the table of models: all must give the very same vectors. Needs a Python with torch.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/mem.h"
#include "models/models.h"

#include <cmocka.h> /* last: it has a macro called fail */

#define BUNDLED "models/picturebook/clip"

enum { TEXTS = 3, WIDTH_MOST = 2048 };

static const struct model_library *const lib = &vramble_models;
static char folder[] = "/tmp/test_layouts.XXXXXX";
static float expected[TEXTS * WIDTH_MOST], got[TEXTS * WIDTH_MOST];
static bool made;

static bool shell(char *command)
{
	bool ok = system(command) == 0;

	free(command);
	return ok;
}

static struct model *opens(const char *name)
{
	struct error err = {0};
	struct model *m = lib->open(name, DEVICE_CPU, PRECISION_FP32, 0, NULL, &err);

	if (!m)
		print_error("%s\n", err.text);
	assert_non_null(m);
	return m;
}

/* How many values. */
static size_t embed(const char *name, float *out)
{
	static const char *const texts[TEXTS] = {"a red house", "two trees and a dog", ""};
	struct model *m = opens(name);
	size_t count = TEXTS * (size_t)lib->info(m)->embed_size;
	struct error err = {0};

	assert_in_range(count, 1, TEXTS * WIDTH_MOST);
	assert_int_equal(lib->embed_texts(m, texts, TEXTS, out, NULL, &err), 0);
	lib->close(m);
	return count;
}

static int setup(void **state)
{
	const char *pythons[] = {getenv("PYTHON"), "python3", "/usr/bin/python3"};
	struct error err;

	if (!mkdtemp(folder) || lib->start(1, &err) < 0)
		return -1;
	for (size_t i = 0; i < sizeof pythons / sizeof pythons[0] && !made; i++)
		if (pythons[i] && shell(xasprintf("%s -c 'import torch, numpy' 2>/dev/null", pythons[i])))
			made = shell(
				xasprintf("OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=1 %s tests/unit/layouts.py %s " BUNDLED, pythons[i], folder));
	return 0;
}

static int teardown(void **state)
{
	return shell(xasprintf("rm -rf %s", folder)) ? 0 : -1;
}

static void needs_python(void)
{
	if (!made) {
		print_message("no Python with torch and numpy (python3-torch, python3-numpy; or set PYTHON): skipped\n");
		skip();
	}
}

static void test_same_vectors(void **state)
{
	static const char *const layouts[] = {"safetensors", "shards", "bins",     "zip",        "state",    "legacy",
					      "oldstate",    "script", "training", "parameters", "protocol4"};
	size_t count;

	needs_python();
	count = embed(BUNDLED, expected);
	for (size_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++) {
		char *path = xasprintf("%s/model-%s", folder, layouts[i]);

		assert_int_equal(embed(path, got), count);
		assert_memory_equal(got, expected, count * sizeof *got);
		free(path);
	}
}

/* By one file, and by a name in a cache. */
static void test_names(void **state)
{
	char *file = xasprintf("%s/model-script/weights.pt", folder);
	size_t count;

	needs_python();
	count = embed(BUNDLED, expected);
	assert_int_equal(embed(file, got), count);
	assert_memory_equal(got, expected, count * sizeof *got);
	assert_true(shell(xasprintf("mkdir -p %s/models--some--clip/snapshots && cp -r %s/model-zip %s/models--some--clip/snapshots/1234", folder,
				    folder, folder)));
	setenv("HF_HUB_CACHE", folder, 1);
	assert_int_equal(embed("some/clip", got), count);
	assert_memory_equal(got, expected, count * sizeof *got);
	free(file);
}

/* A flipped bit of a weight: opening names the record. */
static void test_damaged(void **state)
{
	char *file = xasprintf("%s/model-state/pytorch_model.bin", folder);
	struct error err = {0};

	needs_python();
	assert_true(shell(xasprintf("printf '\\001\\002\\003' | dd of=%s bs=1 seek=100000 conv=notrunc 2>/dev/null", file)));
	*strrchr(file, '/') = '\0';
	assert_null(lib->open(file, DEVICE_CPU, PRECISION_FP32, 0, NULL, &err));
	assert_non_null(strstr(err.text, "is damaged: its checksum"));
	free(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_vectors),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_damaged),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
