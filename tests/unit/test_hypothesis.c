/* test_hypothesis.c - labels to sentences (core/hypothesis.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "core/hypothesis.h"

#include <cmocka.h> /* last: its fail() is a macro */

static void becomes(const char *template, const char *label, const char *wanted)
{
	struct error err = {0};
	char *got;

	assert_int_equal(hypothesis_check(template, &err), 0);
	got = hypothesis_make(template, label);
	assert_string_equal(got, wanted);
	free(got);
}

static void refused(const char *template)
{
	struct error err = {0};

	assert_int_equal(hypothesis_check(template, &err), -1);
	assert_int_equal(err.code, E_USAGE);
}

static void templates(void **state)
{
	becomes(HYPOTHESIS_TEMPLATE, "dog", "This example is dog.");
	becomes("{}", "", "");
	becomes("{}", "{}", "{}");
	becomes("a {{b}} {}%s", "c%d", "a {b} c%d%s");
	becomes("{{{}}}", "x", "{x}");
}

static void no_templates(void **state)
{
	refused("no slot");
	refused("{{}}");
	refused("{} and {}");
	refused("{0}");
	refused("half {");
	refused("half }");
	refused("");
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(templates), cmocka_unit_test(no_templates)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
