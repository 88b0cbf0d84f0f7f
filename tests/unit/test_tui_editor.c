/* test_tui_editor.c - the text editor: typing, moving, joining and splitting lines, with characters of several bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/utf8.h"
#include "tui/editor.h"
#include "tui/library.h"

#include <cmocka.h>

static void type(struct editor *e, const char *text)
{
	size_t n = strlen(text), length;
	uint32_t code;

	for (size_t i = 0; i < n; i += length) {
		length = utf8_decode(text + i, n - i, &code);
		assert_true(length > 0);
		editor_insert(e, code);
	}
}

static void typing_and_erasing(void **state)
{
	struct editor e = {0};

	editor_begin(&e);
	type(&e, "a caf\xc3\xa9");
	assert_string_equal(e.line[0], "a caf\xc3\xa9");
	editor_backspace(&e);
	assert_string_equal(e.line[0], "a caf");
	editor_move(&e, 0, -3);
	type(&e, "\xe7\x8c\xab");
	assert_string_equal(e.line[0], "a \xe7\x8c\xab"
				       "caf");
	editor_move(&e, 0, -1);
	editor_delete(&e);
	assert_string_equal(e.line[0], "a caf");
	editor_end(&e);
	editor_delete_word(&e);
	assert_string_equal(e.line[0], "a ");
	editor_clear(&e);
	assert_string_equal(e.line[0], "");
	editor_backspace(&e); /* at the very start: nothing */
	editor_delete(&e);
	assert_int_equal(e.n, 1);
	editor_free(&e);
}

static void control_characters_are_not_typed(void **state)
{
	struct editor e = {0};

	editor_begin(&e);
	editor_insert(&e, 27);
	editor_insert(&e, 127);
	editor_insert(&e, 0x9b);
	editor_insert(&e, 0x202e);
	assert_string_equal(e.line[0], "");
	for (int i = 0; i < 2 * EDITOR_LINE_BYTES; i++)
		editor_insert(&e, 'x');
	assert_int_equal(strlen(e.line[0]), EDITOR_LINE_BYTES);
	editor_free(&e);
}

static void lines_split_and_join(void **state)
{
	struct editor e = {0};

	editor_begin(&e);
	type(&e, "one two");
	editor_move(&e, 0, -3);
	editor_newline(&e);
	assert_int_equal(e.n, 2);
	assert_string_equal(e.line[0], "one ");
	assert_string_equal(e.line[1], "two");
	assert_int_equal(e.at, 0);
	editor_backspace(&e);
	assert_int_equal(e.n, 1);
	assert_string_equal(e.line[0], "one two");
	assert_int_equal(e.at, 4);
	editor_newline(&e);
	editor_move(&e, -1, 0);
	editor_end(&e);
	editor_delete(&e); /* at a line's end joins as well */
	assert_string_equal(e.line[0], "one two");
	editor_delete_line(&e);
	assert_int_equal(e.n, 1);
	assert_string_equal(e.line[0], "");
	editor_free(&e);
}

static void moving_stays_inside(void **state)
{
	char *lines[] = {"\xe7\x8c\xab\xe7\x8c\xab", "ab", "abcdef"};
	struct editor e = {0};

	editor_begin_lines(&e, lines, 3);
	assert_int_equal(e.row, 2);
	assert_int_equal(e.at, 6);
	editor_move(&e, -1, 0);
	assert_int_equal(e.at, 2);
	editor_move(&e, -1, 0);
	assert_int_equal(e.at, 0); /* byte 2 is inside the first character */
	editor_move(&e, 0, 1);
	assert_int_equal(e.at, 3);
	editor_move(&e, -5, 99);
	assert_int_equal(e.row, 0);
	assert_int_equal(e.at, 6);
	editor_move(&e, 99, -99);
	assert_int_equal(e.row, 2);
	assert_int_equal(e.at, 0);
	editor_end(&e);
	assert_int_equal(e.at, 6);
	editor_home(&e);
	assert_int_equal(e.at, 0);
	editor_free(&e);
}

static void labels_are_trimmed(void **state)
{
	char *lines[] = {"  a cat ", "", "   ", "a dog"}, **labels;
	struct editor e = {0};
	int n;

	editor_begin_lines(&e, lines, 4);
	labels = editor_labels(&e, &n);
	assert_int_equal(n, 2);
	assert_string_equal(labels[0], "a cat");
	assert_string_equal(labels[1], "a dog");
	library_free_labels(labels, n);
	editor_free(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(typing_and_erasing),   cmocka_unit_test(control_characters_are_not_typed),
		cmocka_unit_test(lines_split_and_join), cmocka_unit_test(moving_stays_inside),
		cmocka_unit_test(labels_are_trimmed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
