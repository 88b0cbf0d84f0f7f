/* test_limit.c - what cap and reserve leave on a device. */
#include "core/limit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void caps(void **state)
{
	struct engine_settings s = engine_settings_default(DEVICE_CPU);

	assert_int_equal(limit_cap(&s, 1000), 0);
	s.cap_percent = 80;
	assert_int_equal(limit_cap(&s, 1000), 800);
	s.cap_percent = 100;
	assert_int_equal(limit_cap(&s, 150754820097), 150754820097);
	s.cap = 300;
	assert_int_equal(limit_cap(&s, 1000), 300);
}

static void reserves(void **state)
{
	/* 300 ours, of which 100 in use; others hold 200. */
	const struct memory_reading reading = {.used = 100, .cached = 200, .device_total = 1000, .device_free = 500};

	assert_int_equal(limit_used(&reading, 0, 0), 800);
	assert_int_equal(limit_used(&reading, 0, 15), 650);
	assert_int_equal(limit_used(&reading, 700, 15), 650);
	assert_int_equal(limit_used(&reading, 600, 15), 600);
	assert_int_equal(limit_used(&reading, 0, 90), 0);
}

static void an_unknown_device(void **state)
{
	const struct memory_reading reading = {.used = 100};

	assert_true(limit_used(&reading, 0, 15) == INT64_MAX);
	assert_int_equal(limit_used(&reading, 70, 15), 70);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(caps), cmocka_unit_test(reserves), cmocka_unit_test(an_unknown_device)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
