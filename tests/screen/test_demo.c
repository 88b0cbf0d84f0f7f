/* test_demo.c - the demo as `make demo` starts it: the real model library, the bundled weights, the drawn scenes. Skips where the weights are not there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/mem.h"
#include "tests/support/pty.h"

/* Without these in the environment the program looks beside itself, as a user's does. */
static const char *const real_library[] = {"VRAMBLE_LIBRARY=", NULL};

static void need(const char *path)
{
	if (access(path, R_OK) == 0)
		return;
	print_message("skip: %s is not there\n", path);
	skip();
}

static void need_demo(void)
{
	static const char *const models[] = {"clip", "ofa", "bert"};

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
	print_message("skip: libtorch's own threads and leaks are not looked at through the screen\n");
	skip();
#endif
	need(pty_build_file("libvramble-torch.so"));
	need(pty_build_file("demo/brown-book.jpg"));
	for (int i = 0; i < 3; i++) {
		char *path = xasprintf("models/picturebook/%s/model.safetensors", models[i]);

		need(path);
		free(path);
	}
}

static void pictures_are_described(void **state)
{
	char *argv[] = {(char *)pty_program(), (char *)pty_build_file("demo/brown-book.jpg"), NULL};
	struct pty *p;

	need_demo();
	p = pty_start(&(struct pty_options){.argv = argv, .env = real_library, .rows = 36, .columns = 120});
	pty_wait_text(p, "brown-book.jpg");
	pty_wait_text(p, "a brown book");
	pty_wait_text(p, "CLIPScore");
	assert_int_equal(pty_finish(p, "q"), 0);
}

static void labels_are_judged(void **state)
{
	char *argv[] = {(char *)pty_program(), "--labels", "a brown book;a red boat", (char *)pty_build_file("demo/brown-book.jpg"), NULL};
	struct pty *p;

	need_demo();
	p = pty_start(&(struct pty_options){.argv = argv, .env = real_library, .rows = 36, .columns = 120});
	pty_wait_both(p, "a brown book", "✓");
	pty_wait_both(p, "a red boat", "✗");
	assert_true(pty_find_row(p, "a brown book") < pty_find_row(p, "a red boat"));
	/* Another label is scored on the spot. */
	pty_type(p, "e;a green tree\r");
	pty_wait_both(p, "a green tree", "✗");
	assert_int_equal(pty_finish(p, "q"), 0);
}

static void captions_without_a_screen(void **state)
{
	char *argv[] = {(char *)pty_program(),
			"score",
			"--verify",
			"--json",
			"--labels",
			"a brown book;a red boat",
			(char *)pty_build_file("demo/brown-book.jpg"),
			NULL};
	char *out;
	json_t *object, *label;

	need_demo();
	assert_int_equal(pty_capture(argv, real_library, 0, &out, NULL), 0);
	object = json_loads(out, 0, NULL);
	assert_non_null(object);
	assert_non_null(strstr(json_string_value(json_object_get(object, "caption")), "brown book"));
	label = json_array_get(json_object_get(object, "labels"), 0);
	assert_string_equal(json_string_value(json_object_get(label, "label")), "a brown book");
	assert_true(json_real_value(json_object_get(json_object_get(label, "nli"), "entailment")) > 0.5);
	json_decref(object);
	free(out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pictures_are_described),
		cmocka_unit_test(labels_are_judged),
		cmocka_unit_test(captions_without_a_screen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
