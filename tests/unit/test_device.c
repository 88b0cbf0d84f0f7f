/* Device wishes: how they are written, and what they come to on machines of every kind. */
#include "core/device.h"
#include "core/model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

static int asked[8], n_asked;
static unsigned works; /* bits by ordinal */

static int usable(int device, struct error *err)
{
	asked[n_asked++] = device;
	return works & 1u << device ? 0 : (fail)(err, E_DEVICE, "device %d is broken: mend it", device);
}

static int choose(int wish, int devices, unsigned working, bool force, struct device_choice *out, struct error *err)
{
	works = working;
	n_asked = 0;
	return device_choose(wish, devices, usable, force, out, err);
}

static void names(void **state)
{
	static const struct {
		const char *text;
		int wish;
	} good[] = {{"auto", DEVICE_AUTO}, {"cpu", DEVICE_CPU}, {"cuda", 0}, {"cuda:0", 0}, {"cuda:17", 17}};
	static const char *const bad[] = {"", "gpu", "CPU", "cuda:", "cuda:-1", "cuda: 1", "cuda:1x", "cuda:128", "cuda:99999999999999999999", "0"};
	char name[16];
	struct error err;
	int wish;

	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		assert_int_equal(device_parse(good[i].text, &wish, &err), 0);
		assert_int_equal(wish, good[i].wish);
		assert_string_equal(device_name(wish, name), !strcmp(good[i].text, "cuda") ? "cuda:0" : good[i].text);
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		assert_int_equal(device_parse(bad[i], &wish, &err), -1);
		assert_int_equal(err.code, E_USAGE);
		assert_non_null(strstr(err.text, "auto, cpu, cuda or cuda:N"));
	}
}

static void auto_takes_the_first_that_works(void **state)
{
	struct device_choice c;

	assert_int_equal(choose(DEVICE_AUTO, 4, 1u << 2 | 1u << 3, false, &c, NULL), 0);
	assert_int_equal(c.device, 2);
	assert_false(c.fell_back);
	assert_string_equal(c.note, "");
	assert_int_equal(n_asked, 3);
	assert_int_equal(choose(DEVICE_AUTO, 1, 1, true, &c, NULL), 0);
	assert_int_equal(c.device, 0);
}

static void auto_falls_back_and_says_why(void **state)
{
	struct device_choice c;

	assert_int_equal(choose(DEVICE_AUTO, 0, 0, false, &c, NULL), 0);
	assert_int_equal(c.device, DEVICE_CPU);
	assert_false(c.fell_back);
	assert_string_equal(c.note, "auto: going on with the CPU: device 0 is broken: mend it");
	assert_true(c.expected);
	/* With several, the first one's reason is told. */
	assert_int_equal(choose(DEVICE_AUTO, 3, 0, false, &c, NULL), 0);
	assert_non_null(strstr(c.note, "device 0 is broken"));
	assert_false(c.expected);
	/* A library that finds nothing wrong and yet sees no device. */
	assert_int_equal(choose(DEVICE_AUTO, 0, 1, false, &c, NULL), 0);
	assert_int_equal(c.device, DEVICE_CPU);
	assert_non_null(strstr(c.note, "no CUDA device is visible"));
}

static void a_named_device_is_taken_or_missed(void **state)
{
	struct device_choice c;

	assert_int_equal(choose(1, 2, 3, false, &c, NULL), 0);
	assert_int_equal(c.device, 1);
	assert_int_equal(n_asked, 1);
	assert_int_equal(choose(1, 2, 1, false, &c, NULL), 0);
	assert_int_equal(c.device, DEVICE_CPU);
	assert_true(c.fell_back);
	assert_string_equal(c.note, "cuda:1: going on with the CPU: device 1 is broken: mend it");
	assert_int_equal(choose(5, 2, 3, false, &c, NULL), 0);
	assert_true(c.fell_back);
	assert_non_null(strstr(c.note, "there is no cuda:5: 2 CUDA devices are visible"));
	assert_int_equal(n_asked, 0);
	assert_int_equal(choose(3, 1, 1, false, &c, NULL), 0);
	assert_non_null(strstr(c.note, "1 CUDA device is visible"));
	assert_int_equal(choose(DEVICE_CPU, 2, 3, false, &c, NULL), 0);
	assert_int_equal(c.device, DEVICE_CPU);
	assert_int_equal(n_asked, 0);
}

static void force_refuses_the_cpu(void **state)
{
	struct device_choice c;
	struct error err;

	assert_int_equal(choose(DEVICE_AUTO, 0, 0, true, &c, &err), -1);
	assert_int_equal(err.code, E_DEVICE);
	assert_non_null(strstr(err.text, "force-cuda forbids the CPU: device 0 is broken: mend it"));
	assert_int_equal(choose(4, 2, 3, true, &c, &err), -1);
	assert_non_null(strstr(err.text, "there is no cuda:4"));
	assert_int_equal(choose(DEVICE_CPU, 2, 3, true, &c, &err), -1);
	assert_int_equal(err.code, E_USAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),
		cmocka_unit_test(auto_takes_the_first_that_works),
		cmocka_unit_test(auto_falls_back_and_says_why),
		cmocka_unit_test(a_named_device_is_taken_or_missed),
		cmocka_unit_test(force_refuses_the_cpu),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
