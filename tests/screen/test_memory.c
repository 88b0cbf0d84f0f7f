/* test_memory.c - memory by hand on the screen: forecasts, cap and ladder, fit, sweep, profiles, the queue, devices. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/mem.h"
#include "tests/support/browse.h"
#include "tests/support/data.h"

#define ESCAPE "\033"
#define CTRL_U "\025"

enum { ROWS = 36, COLUMNS = 120, MORE = 24 };

/* With more pictures than the three. */
static void start_many(struct browse *b, const char *fake, char *const *extra)
{
	char name[32];

	browse_prepare(b);
	for (int i = 0; i < MORE; i++) {
		snprintf(name, sizeof name, "z%02d.bmp", i);
		pty_put_picture(b->dir, name, 16, 12, 0x800000 + i);
	}
	browse_run(b, ROWS, COLUMNS, fake, extra, NULL, false);
}

static void start(struct browse *b, const char *fake)
{
	browse_start(b, ROWS, COLUMNS, fake, NULL, NULL);
	pty_wait_text(b->pty, "✓ 3 ");
}

static void the_account_is_shown(void **state)
{
	struct browse b;

	start(&b, NULL);
	pty_wait_text(b.pty, "memory of cpu");
	pty_wait_text(b.pty, "of 16.0G");
	pty_wait_text(b.pty, "weights 1.37G act 0B kv 0B cache");
	pty_wait_text(b.pty, "1 clip 300M  2 caption 700M  3 nli 400M");
	pty_wait_both(b.pty, "peak", "start");
	/* The models' parts are marked by their numbers, each in a colour of its own. */
	pty_wait_both(b.pty, "│ 12 3", "┊");
	browse_end(&b);
}

static void forecast_stands_before_the_setting(void **state)
{
	struct browse b;

	start(&b, NULL);
	pty_type(b.pty, "bbbbb");
	pty_wait_text(b.pty, "›32‹");
	pty_wait_text(b.pty, "forecast peak");
	pty_wait_text(b.pty, "does not fit");
	pty_wait_text(b.pty, "╱"); /* on the bar */
	pty_type(b.pty, ESCAPE);
	pty_wait_text(b.pty, "‹ 4 ›");
	assert_false(pty_has_text(b.pty, "forecast peak"));
	assert_non_null(strstr(pty_row(b.pty, 0), "batch 4"));
	pty_type(b.pty, "b");
	pty_wait_text(b.pty, "›8‹");
	pty_wait_text(b.pty, "fits in");
	pty_type(b.pty, "\r"); /* at once */
	pty_wait_row(b.pty, 0, "batch 8");
	pty_type(b.pty, "b"); /* after the pause */
	pty_wait_row(b.pty, 0, "batch 12");
	browse_end(&b);
}

static void settings_are_recommended(void **state)
{
	struct browse b;

	browse_start(&b, ROWS, COLUMNS, "device_mb=8192", NULL, NULL);
	pty_wait_text(b.pty, "R recommends: batch 2");
	pty_wait_text(b.pty, "are usual for 8.00 GiB");
	pty_type(b.pty, "R");
	pty_wait_text(b.pty, "›2‹");
	pty_wait_text(b.pty, "›autocast‹");
	pty_type(b.pty, "\r");
	pty_wait_row(b.pty, 0, "batch 2");
	pty_wait_text(b.pty, "‹ 512 ›");
	browse_end(&b);
}

static void what_does_not_fit_waits(void **state)
{
	struct browse b;

	start(&b, NULL);
	pty_type(b.pty, "bbbbb");
	pty_wait_text(b.pty, "›32‹");
	pty_wait_text(b.pty, "does not fit");
	pty_listen(b.pty, 2000);
	assert_true(pty_has_text(b.pty, "›32‹"));
	assert_non_null(strstr(pty_row(b.pty, 0), "batch 4"));
	pty_type(b.pty, "\r");
	pty_wait_row(b.pty, 0, "batch 32");
	browse_end(&b);
}

static void a_lowered_cap_steps_down(void **state)
{
	struct browse b;

	start_many(&b, "steps=10 step_us=4000", NULL);
	pty_wait_text(b.pty, "waiting");
	pty_type(b.pty, ":cap 2G\r");
	pty_wait_text(b.pty, "down: u undoes");
	pty_wait_text(b.pty, "✓ 27");
	pty_wait_text(b.pty, "✗ 0");
	pty_wait_text(b.pty, "cap 2.00G");
	pty_type(b.pty, ":cap none\ru");
	pty_wait_no_text(b.pty, "down: u undoes");
	pty_type(b.pty, "u");
	pty_wait_text(b.pty, "nothing to undo");
	browse_end(&b);
}

static void fit_finds_the_largest(void **state)
{
	struct browse b;

	start(&b, NULL);
	pty_type(b.pty, "a");
	pty_wait_text(b.pty, "fit: the largest batch that runs");
	pty_wait_text(b.pty, "is the largest that ran under cap and reserve (was 4)");
	assert_true(pty_has_text(b.pty, "ran, peak"));
	pty_type(b.pty, " ");
	pty_wait_no_text(b.pty, "fit: the largest");
	assert_null(strstr(pty_row(b.pty, 0), "batch 4 "));
	browse_end(&b);
}

static void fit_is_cancelled(void **state)
{
	struct browse b;

	start(&b, "steps=40 step_us=5000");
	pty_type(b.pty, "a");
	pty_wait_text(b.pty, "Esc cancels and puts batch 4 back");
	pty_type(b.pty, ESCAPE);
	pty_wait_text(b.pty, "cancelled; batch 4 stays");
	pty_type(b.pty, ESCAPE);
	pty_wait_no_text(b.pty, "fit: the largest");
	pty_wait_row(b.pty, 0, "batch 4");
	browse_end(&b);
}

static void sweep_is_taken(void **state)
{
	struct browse b;

	start(&b, NULL);
	pty_type(b.pty, "s");
	pty_wait_text(b.pty, "sweep: images/s over peak memory");
	pty_wait_text(b.pty, "Esc closes  Enter takes");
	pty_wait_text(b.pty, "full"); /* batch 64 does not fit */
	assert_true(pty_has_text(b.pty, "*"));
	pty_type(b.pty, "hhhhhhhkkkll"); /* from wherever the best is to the corner, then batch 4 in fp32 */
	pty_wait_text(b.pty, "batch 4  fp32");
	pty_type(b.pty, "l");
	pty_wait_text(b.pty, "batch 8  fp32");
	pty_type(b.pty, "\r");
	pty_wait_text(b.pty, "taken: batch 8, fp32");
	pty_wait_row(b.pty, 0, "batch 8");
	pty_wait_text(b.pty, "‹ fp32 ›");
	/* What was found stays to be looked at. */
	pty_type(b.pty, "s");
	pty_wait_text(b.pty, "Esc closes  Enter takes");
	pty_type(b.pty, ESCAPE);
	pty_wait_no_text(b.pty, "sweep:");
	browse_end(&b);
}

static void sweep_is_written(void **state)
{
	struct browse b;
	char here[4096];
	glob_t found;

	browse_prepare(&b);
	assert_non_null(getcwd(here, sizeof here));
	assert_int_equal(chdir(b.dir), 0);
	browse_run(&b, ROWS, COLUMNS, NULL, NULL, NULL, false);
	assert_int_equal(chdir(here), 0);
	pty_wait_text(b.pty, "✓ 3 ");
	pty_type(b.pty, "s");
	pty_wait_text(b.pty, "Esc closes  Enter takes");
	pty_type(b.pty, "w");
	pty_wait_text(b.pty, "written: vramble-sweep-");
	pty_wait_text(b.pty, "vramble --batch");
	pty_type(b.pty, ESCAPE);
	assert_int_equal(pty_finish(b.pty, "q"), 0);
	char *pattern = xasprintf("%s/vramble-sweep-*.csv", b.dir);
	assert_int_equal(glob(pattern, 0, NULL, &found), 0);
	assert_int_equal(found.gl_pathc, 1);
	globfree(&found);
	free(pattern);
	data_remove_dir(b.dir);
}

static void sweep_stands_small_sizes_and_no_colours(void **state)
{
	static const char *const env[] = {"NO_COLOR=1", NULL};
	struct browse b;

	browse_start(&b, 24, 80, "steps=4 step_us=2000", NULL, env);
	pty_wait_text(b.pty, "✓ 3 ");
	pty_type(b.pty, "s");
	pty_wait_text(b.pty, "sweep:");
	pty_resize(b.pty, 50, 200);
	pty_wait_text(b.pty, "sweep:");
	pty_resize(b.pty, 16, 60);
	pty_wait_text(b.pty, "sweep:");
	pty_resize(b.pty, 24, 80);
	pty_wait_text(b.pty, "Esc closes  Enter takes");
	pty_wait_text(b.pty, "full");
	assert_false(pty_has_colour(b.pty));
	pty_type(b.pty, ESCAPE);
	browse_end(&b);
}

static void sweep_is_suspended_and_cancelled(void **state)
{
	struct browse b;

	browse_prepare(&b);
	browse_run(&b, ROWS, COLUMNS, "steps=40 step_us=5000", NULL, NULL, true);
	pty_wait_text(b.pty, "✓ 3 ");
	pty_type(b.pty, "s");
	pty_wait_text(b.pty, "Esc cancels");
	pty_type(b.pty, "\032");
	pty_wait_stopped(b.pty);
	pty_continue(b.pty);
	pty_wait_text(b.pty, "sweep:");
	pty_type(b.pty, ESCAPE);
	pty_wait_text(b.pty, "cancelled; what ran stays");
	pty_type(b.pty, ESCAPE);
	pty_wait_no_text(b.pty, "sweep:");
	pty_wait_row(b.pty, 0, "batch 4");
	browse_end(&b);
}

static void settings_are_typed(void **state)
{
	struct browse b;

	start(&b, NULL);
	pty_type(b.pty, "o");
	pty_wait_text(b.pty, "settings, live");
	pty_wait_both(b.pty, "labels", ""); /* the panels stay behind it */
	pty_wait_both(b.pty, "beams", "default");
	pty_type(b.pty, "Gk"); /* alert-success */
	pty_wait_text(b.pty, "tell when fewer of the last");
	pty_type(b.pty, "gjjjjj\r" CTRL_U "95\r");
	pty_wait_text(b.pty, "95 is outside 0 to 90");
	pty_type(b.pty, CTRL_U "20\r");
	pty_wait_text(b.pty, "›20‹");
	pty_type(b.pty, "\r");
	pty_wait_both(b.pty, "reserve", "20");
	pty_wait_both(b.pty, "reserve", "by hand");
	pty_type(b.pty, "jl"); /* the seed, from 42 to nothing further up */
	pty_type(b.pty, "h");
	pty_wait_both(b.pty, "seed", "clock");
	pty_type(b.pty, ESCAPE);
	pty_wait_no_text(b.pty, "settings, live");
	browse_end(&b);
}

static void profiles_are_switched_saved_and_deleted(void **state)
{
	struct browse b;

	start(&b, NULL);
	pty_type(b.pty, "p");
	pty_wait_text(b.pty, "production");
	pty_type(b.pty, "jj");
	pty_wait_both(b.pty, "image-size", "→ 384");
	pty_type(b.pty, "\r");
	pty_wait_text(b.pty, "profile limited holds");
	pty_wait_row(b.pty, 0, "batch 1 ");
	pty_wait_text(b.pty, "‹ 384 ›");
	pty_type(b.pty, "pw");
	pty_wait_text(b.pty, "save as:");
	pty_type(b.pty, "my/card\r");
	pty_wait_text(b.pty, "not a profile's name");
	pty_type(b.pty, "wmine\r");
	pty_wait_text(b.pty, "profile mine is saved");
	pty_type(b.pty, "k\r"); /* production's neighbour above: limited */
	pty_wait_text(b.pty, "profile limited holds");
	pty_type(b.pty, "pjdn");
	pty_wait_text(b.pty, "mine");
	pty_type(b.pty, "dy");
	pty_wait_text(b.pty, "profile mine is deleted");
	pty_type(b.pty, "d");
	pty_wait_text(b.pty, "is built in and stays");
	pty_type(b.pty, ESCAPE);
	browse_end(&b);
}

static void the_queue_fills_and_empties(void **state)
{
	struct browse b;

	start_many(&b, "steps=10 step_us=6000", (char *[]){"--queue", "5", NULL});
	pty_wait_text(b.pty, "queue full");
	pty_wait_text(b.pty, "✓ 27");
	pty_wait_no_text(b.pty, "queue full");
	browse_end(&b);
}

static void statistics_are_told(void **state)
{
	struct browse b;

	start_many(&b, "steps=2 step_us=1000", NULL);
	pty_wait_text(b.pty, "✓ 27");
	pty_type(b.pty, "i");
	pty_wait_text(b.pty, "27 ok  0 failed");
	pty_wait_text(b.pty, "100.0 % success");
	pty_wait_both(b.pty, "caption", "27");
	pty_type(b.pty, ESCAPE);
	pty_wait_no_text(b.pty, "statistics ─");
	browse_end(&b);
}

static void devices_are_named(void **state)
{
	struct browse b;

	browse_start(&b, ROWS, COLUMNS, "cuda=2 device_mb=8192", (char *[]){"--device", "cuda:1", NULL}, NULL);
	pty_wait_text(b.pty, "✓ 3 ");
	pty_wait_text(b.pty, "memory of cuda:1");
	pty_wait_text(b.pty, "of 8.00G");
	/* One model moves; its device has a line of its own. */
	pty_type(b.pty, ":nli-device cuda:0\r");
	pty_wait_text(b.pty, "3 nli 400M cuda:0");
	pty_wait_both(b.pty, "cuda:0", "of 8.00G");
	browse_end(&b);
}

static void evicted_models_are_named(void **state)
{
	struct browse b;

	start_many(&b, "steps=10 step_us=4000", (char *[]){"--cap", "800M", NULL});
	pty_wait_text(b.pty, "evicted");
	pty_wait_text(b.pty, "steps down: u undoes");
	pty_wait_text(b.pty, "✓ 27");
	pty_wait_text(b.pty, "✗ 0");
	browse_end(&b);
}

static void a_broken_device_is_reported(void **state)
{
	struct browse b;

	browse_start(&b, ROWS, COLUMNS, "cuda=1 break_device=1", (char *[]){"--device", "cuda:0", NULL}, NULL);
	pty_wait_text(b.pty, "CUDA failed: on the CPU");
	pty_wait_text(b.pty, "✓ 3 ");
	pty_wait_text(b.pty, "memory of cpu");
	browse_end(&b);
}

static void the_driver_tells_or_hangs(void **state)
{
	char *path = xasprintf("LD_LIBRARY_PATH=%s", pty_build_file("tests/nvml"));
	const char *const works[] = {path, NULL}, *const hangs[] = {path, "FAKE_NVML=hang", NULL};
	char *const device[] = {"--device", "cuda:0", NULL};
	struct browse b;

	browse_start(&b, ROWS, COLUMNS, "cuda=1", device, works);
	pty_wait_text(b.pty, "gpu 37%  55°C  123 W");
	pty_wait_text(b.pty, "Fake GPU 0");
	browse_end(&b);
	browse_start(&b, ROWS, COLUMNS, "cuda=1", device, hangs);
	pty_wait_text(b.pty, "✓ 3 ");
	pty_wait_text(b.pty, "the driver does not answer");
	pty_type(b.pty, "b\r");
	pty_wait_row(b.pty, 0, "batch 8");
	browse_end(&b);
	free(path);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_account_is_shown),
		cmocka_unit_test(forecast_stands_before_the_setting),
		cmocka_unit_test(settings_are_recommended),
		cmocka_unit_test(what_does_not_fit_waits),
		cmocka_unit_test(a_lowered_cap_steps_down),
		cmocka_unit_test(fit_finds_the_largest),
		cmocka_unit_test(fit_is_cancelled),
		cmocka_unit_test(sweep_is_taken),
		cmocka_unit_test(sweep_is_written),
		cmocka_unit_test(sweep_stands_small_sizes_and_no_colours),
		cmocka_unit_test(sweep_is_suspended_and_cancelled),
		cmocka_unit_test(settings_are_typed),
		cmocka_unit_test(profiles_are_switched_saved_and_deleted),
		cmocka_unit_test(the_queue_fills_and_empties),
		cmocka_unit_test(statistics_are_told),
		cmocka_unit_test(devices_are_named),
		cmocka_unit_test(evicted_models_are_named),
		cmocka_unit_test(a_broken_device_is_reported),
		cmocka_unit_test(the_driver_tells_or_hangs),
	};

	if (argc > 1) /* by name, with * */
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
