/* test_layouts.c - weights in every layout that tools leave. The reference networks run through the golden runner in each; the bundled CLIP, in three
 * precisions, is opened by the table of models and must give the very same vectors. Needs a Python with torch.
 */
#include <limits.h>
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
#include "tests/support/data.h"

#include <cmocka.h> /* last: it has a macro called fail */

#define BUNDLED  "models/picturebook/clip"
#define FIXTURES "tests/golden/*/small*.json"

enum { TEXTS = 3, WIDTH_MOST = 2048, LAYOUTS = 12, KINDS = 8 };

static const struct model_library *const lib = &vramble_models;
/* The first KINDS are the formats and the ways to wrap them; the others hold the same objects of Python's in other classes. */
static const char *const layouts[LAYOUTS] = {"safetensors", "shards",   "bins",  "zip",      "legacy",     "script",
					     "training",    "envelope", "state", "oldstate", "parameters", "protocol4"};
static char *folder;
static float expected[TEXTS * WIDTH_MOST], got[TEXTS * WIDTH_MOST];
static int fixture_cases; /* that pass with the weights as they are made */
static bool made;

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

/* Runs the golden runner of the same build, on one thread, as small networks only wait for more. How many cases passed; -1 when any failed or was
 * skipped. */
static int golden(const char *arguments)
{
	char self[PATH_MAX] = "", *command, line[500], shown[500] = "";
	int passed = -1, failed = -1, skipped = -1;
	FILE *out;

	assert_in_range(readlink("/proc/self/exe", self, sizeof self - 1), 1, sizeof self - 1);
	for (int i = 0; i < 3; i++) /* tests/torch/test_layouts */
		*strrchr(self, '/') = '\0';
	command = xasprintf("OMP_THREAD_LIMIT=1 %s/golden --folders %s/%s", self, folder, arguments);
	out = popen(command, "re");
	while (out && fgets(line, sizeof line, out)) {
		if (strstr(line, "FAIL"))
			print_error("%s", line);
		snprintf(shown, sizeof shown, "%s", line);
	}
	if (out && pclose(out) == 0)
		sscanf(shown, "%d passed, %d failed, %d skipped", &passed, &failed, &skipped);
	free(command);
	return failed == 0 && skipped == 0 ? passed : -1;
}

static int setup(void **state)
{
	const char *python = data_python();
	struct error err;

	folder = data_dir();
	if (lib->start(1, &err) < 0 || !data_runs("mkdir %s/fixtures", folder))
		return -1;
	if (!python)
		return 0;
	fixture_cases = golden("fixtures " FIXTURES);
	made = fixture_cases > 0 && data_runs("OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=1 %s tests/unit/layouts.py %s %s/fixtures/* " BUNDLED
					      " " BUNDLED ":float16 " BUNDLED ":bfloat16",
					      python, folder, folder);
	return made ? 0 : -1;
}

static int teardown(void **state)
{
	data_remove_dir(folder);
	return 0;
}

/* ---- the reference networks */

static void test_fixtures(void **state)
{
	struct buffer arguments = {0};

	data_needs_python(made);
	buffer_puts(&arguments, " --layouts ");
	for (int i = 0; i < KINDS; i++)
		buffer_printf(&arguments, "%s%s", i > 0 ? "," : "", layouts[i]);
	buffer_puts(&arguments, " " FIXTURES);
	assert_int_equal(golden(arguments.text), KINDS * fixture_cases);
	buffer_free(&arguments);
}

/* As their authors' own code leaves some. */
static void test_families(void **state)
{
	data_needs_python(made);
	assert_in_range(golden(" --layouts openclip,openclipsafe,openclipcustom tests/golden/clip/small-openai.json"), 3, 1000);
	assert_in_range(golden(" --layouts salesforce tests/golden/blip/small.json"), 1, 1000);
	assert_in_range(golden(" --layouts fairseq tests/golden/ofa/small.json"), 1, 1000);
}

/* ---- a bundled network */

static void check_set(const char *set)
{
	char *path = xasprintf("%s/%s-%s", folder, set, layouts[0]);
	size_t count = embed(path, expected);

	for (int i = 1; i < LAYOUTS; i++) {
		free(path);
		path = xasprintf("%s/%s-%s", folder, set, layouts[i]);
		assert_int_equal(embed(path, got), count);
		assert_memory_equal(got, expected, count * sizeof *got);
	}
	free(path);
}

static void check_precision(const char *set, const char *precision)
{
	char *path = xasprintf("%s/%s-script", folder, set);
	struct model_info info;
	struct error err;

	assert_int_equal(lib->inspect(path, &info, &err), 0);
	assert_string_equal(info.precision, precision);
	free(path);
}

static void test_same_vectors(void **state)
{
	data_needs_python(made);
	check_set("clip");
	assert_memory_equal(got, expected, embed(BUNDLED, got) * sizeof *got);
}

static void test_half(void **state)
{
	data_needs_python(made);
	check_precision("clip-float16", "fp16");
	check_set("clip-float16");
	check_precision("clip-bfloat16", "bf16");
	check_set("clip-bfloat16");
}

/* By one file, and by a name in a cache. */
static void test_names(void **state)
{
	char *file = xasprintf("%s/clip-script/weights.pt", folder);
	size_t count;

	data_needs_python(made);
	count = embed(BUNDLED, expected);
	assert_int_equal(embed(file, got), count);
	assert_memory_equal(got, expected, count * sizeof *got);
	data_shell("mkdir -p %s/models--some--clip/snapshots && cp -r %s/clip-zip %s/models--some--clip/snapshots/1234", folder, folder, folder);
	setenv("HF_HUB_CACHE", folder, 1);
	assert_int_equal(embed("some/clip", got), count);
	assert_memory_equal(got, expected, count * sizeof *got);
	free(file);
}

/* A flipped bit of a weight: opening names the record. */
static void test_damaged(void **state)
{
	char *file = xasprintf("%s/clip-state/pytorch_model.bin", folder);
	struct error err = {0};

	data_needs_python(made);
	data_shell("printf '\\001\\002\\003' | dd of=%s bs=1 seek=100000 conv=notrunc 2>/dev/null", file);
	*strrchr(file, '/') = '\0';
	assert_null(lib->open(file, DEVICE_CPU, PRECISION_FP32, 0, NULL, &err));
	assert_non_null(strstr(err.text, "is damaged: its checksum"));
	free(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fixtures), cmocka_unit_test(test_families), cmocka_unit_test(test_same_vectors),
		cmocka_unit_test(test_half),     cmocka_unit_test(test_names),    cmocka_unit_test(test_damaged),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
