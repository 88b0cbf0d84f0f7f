/* test_checkpoint_layouts.c - the same weights in every layout, as PyTorch itself writes them: each must give the same bytes. Needs a Python with
 * torch. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "models/checkpoint.h"
#include "tests/support/data.h"

#include <cmocka.h> /* last: it has a macro called fail */

static char *folder;
static bool made;

static int setup(void **state)
{
	const char *python = data_python();

	folder = data_dir();
	made = python && data_runs("OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=1 %s tests/unit/layouts.py %s", python, folder);
	return 0;
}

static int teardown(void **state)
{
	data_remove_dir(folder);
	return 0;
}

static struct checkpoint *open_layout(const char *set, const char *layout)
{
	char *path = xasprintf("%s/%s-%s", folder, set, layout);
	struct error err = {0};
	struct checkpoint *c = checkpoint_open(path, &err);

	if (!c)
		print_error("%s-%s: %s\n", set, layout, err.text);
	assert_non_null(c);
	free(path);
	return c;
}

static void check_tensor(const struct checkpoint *c, const struct checkpoint *expected, const struct checkpoint_tensor *e)
{
	const struct checkpoint_tensor *t = checkpoint_find(c, e->name);
	struct error err = {0};
	const void *data;

	if (!t)
		print_error("%s: no %s\n", checkpoint_path(c), e->name);
	assert_non_null(t);
	assert_int_equal(t->dtype, e->dtype);
	assert_int_equal(t->ndim, e->ndim);
	assert_memory_equal(t->shape, e->shape, (size_t)e->ndim * sizeof *e->shape);
	assert_int_equal(t->bytes, e->bytes);
	data = checkpoint_data(c, t, &err);
	if (!data)
		print_error("%s\n", err.text);
	assert_non_null(data);
	if (t->count > 0) {
		assert_int_equal((uintptr_t)data % (uintptr_t)(t->bytes / t->count), 0);
		assert_memory_equal(data, checkpoint_data(expected, e, NULL), (size_t)e->bytes);
	}
}

/* Twice, the second time after all was given back. */
static void check_layout(const char *set, const char *layout)
{
	struct checkpoint *expected = open_layout(set, "expected"), *c = open_layout(set, layout);

	assert_int_equal(checkpoint_size(c), checkpoint_size(expected));
	assert_int_equal(checkpoint_bytes(c), checkpoint_bytes(expected));
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < checkpoint_size(expected); i++)
			check_tensor(c, expected, checkpoint_at(expected, i));
		for (int i = 0; i < checkpoint_size(c); i++)
			checkpoint_forget(c, checkpoint_at(c, i));
	}
	checkpoint_close(c);
	checkpoint_close(expected);
}

static const char *const layouts[] = {"safetensors", "shards", "bins",     "zip",        "state",    "legacy",
				      "oldstate",    "script", "training", "parameters", "protocol4"};
enum { LAYOUTS = sizeof layouts / sizeof layouts[0] };

static void test_plain(void **state)
{
	data_needs_python(made);
	for (int i = 0; i < LAYOUTS; i++)
		check_layout("plain", layouts[i]);
}

static void test_openai(void **state)
{
	data_needs_python(made);
	for (int i = 0; i < LAYOUTS; i++)
		check_layout("openai", layouts[i]);
}

static void test_naming(void **state)
{
	struct checkpoint *c;

	data_needs_python(made);
	c = open_layout("plain", "zip");
	assert_int_equal(checkpoint_naming(c), CKPT_NAMED_PLAIN);
	checkpoint_close(c);
	c = open_layout("openai", "script");
	assert_int_equal(checkpoint_naming(c), CKPT_NAMED_OPENAI);
	checkpoint_close(c);
	c = open_layout("openai", "training");
	assert_int_equal(checkpoint_naming(c), CKPT_NAMED_TRAINING);
	checkpoint_close(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_openai),
		cmocka_unit_test(test_naming),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
