/* test_sweep.c - the grid: its order, what is skipped, the best and the Pareto front, the CSV file and the command line. */
#include "core/config.h"
#include "core/sweep.h"
#include "tests/support/data.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static struct sweep s;
static const struct sweep_axes grid = {
	.batch = {4, 1, 2, 4}, .batches = 4, .precision = {PRECISION_FP32, PRECISION_BF16, PRECISION_FP32}, .precisions = 3};

static int begin(void **state)
{
	struct error err;

	assert_int_equal(sweep_begin(&s, &grid, &err), 0);
	return 0;
}

static int end(void **state)
{
	sweep_free(&s);
	return 0;
}

static void fits(int cell, double images_per_s, int64_t peak)
{
	struct event e = {.kind = EV_TRIAL};

	e.trial.images_per_s = images_per_s;
	e.trial.peak = peak;
	e.trial.held = peak / 2;
	e.trial.image_size = 480;
	for (int i = 0; i < MODEL_KINDS; i++) {
		e.trial.ms[i] = 1.5 * (i + 1);
		e.trial.precision[i] = PRECISION_BF16;
	}
	e.trial.ms[MODEL_NLI] = 0; /* not tried */
	sweep_answer(&s, cell, &e);
}

static void fails_with(int cell, enum error_code code, const char *text)
{
	struct error err = {.code = code};
	struct event e = {.kind = EV_TRIAL, .err = &err};

	snprintf(err.text, sizeof err.text, "%s", text);
	sweep_answer(&s, cell, &e);
}

/* ---------------------------------------------------------------- the grid */

static void axes_are_sorted_and_single(void **state)
{
	char name[32];

	assert_int_equal(s.rows, 2);
	assert_int_equal(s.columns, 3);
	assert_int_equal(s.cells, 6);
	assert_int_equal(sweep_at(&s, 0, 0)->batch, 1);
	assert_int_equal(sweep_at(&s, 1, 2)->batch, 4);
	assert_int_equal(sweep_at(&s, 0, 2)->precision, PRECISION_FP32);
	assert_int_equal(sweep_at(&s, 1, 0)->precision, PRECISION_BF16);
	assert_int_equal(sweep_at(&s, 1, 0)->image_size, -1);
	assert_string_equal(sweep_row_name(&s, 1, name), "bf16");
}

static void image_sizes_make_rows_of_their_own(void **state)
{
	struct sweep_axes axes = grid;
	struct error err;
	char name[32];

	axes.image_size[0] = 384;
	axes.image_size[1] = 0;
	axes.images = 2;
	sweep_free(&s);
	assert_int_equal(sweep_begin(&s, &axes, &err), 0);
	assert_int_equal(s.rows, 4);
	assert_string_equal(sweep_row_name(&s, 0, name), "fp32 own size");
	assert_string_equal(sweep_row_name(&s, 3, name), "bf16 384px");
	axes.precisions = axes.images = 0;
	sweep_free(&s);
	assert_int_equal(sweep_begin(&s, &axes, &err), 0);
	assert_int_equal(s.rows, 1);
	assert_string_equal(sweep_row_name(&s, 0, name), "as set");
}

static void refuse(struct sweep_axes axes, const char *text)
{
	struct error err;

	sweep_free(&s);
	assert_int_equal(sweep_begin(&s, &axes, &err), -1);
	assert_int_equal(err.code, E_USAGE);
	assert_non_null(strstr(err.text, text));
	assert_int_equal(s.cells, 0);
	assert_int_equal(sweep_next(&s), -1);
}

static void bad_axes(void **state)
{
	struct sweep_axes axes = grid;

	axes.batch[1] = 0;
	refuse(axes, "batch 0: 1 to 256");
	axes.batch[1] = 1000000000;
	refuse(axes, "batch 1000000000");
	axes = grid;
	axes.batches = 0;
	refuse(axes, "needs 1 to 12 batches");
	axes = grid;
	axes.batches = SWEEP_BATCHES + 1;
	refuse(axes, "not 13");
	axes = grid;
	axes.precision[0] = (enum precision)17;
	refuse(axes, "precision 17");
	axes = grid;
	axes.image_size[0] = -5;
	axes.images = 1;
	refuse(axes, "image size -5");
}

/* ---------------------------------------------------------------- the run */

static void small_ones_run_first(void **state)
{
	static const int order[] = {0, 3, 1, 4, 2, 5};

	for (int i = 0; i < 6; i++) {
		int cell = sweep_next(&s);

		assert_int_equal(cell, order[i]);
		assert_int_equal(sweep_next(&s), cell);
		assert_int_equal(s.cell[cell].state, SWEEP_RUNNING);
		assert_int_equal(sweep_finished(&s), i);
		fits(cell, 10, 100);
	}
	assert_int_equal(sweep_next(&s), -1);
	assert_int_equal(sweep_finished(&s), 6);
}

static void larger_ones_are_skipped(void **state)
{
	fails_with(sweep_next(&s), E_MEMORY, "no room: 5 MB asked");
	assert_string_equal(s.cell[0].why, "no room: 5 MB asked");
	assert_false(s.cell[0].skipped);
	for (int i = 1; i < 3; i++) {
		assert_int_equal(s.cell[i].state, SWEEP_NO_FIT);
		assert_true(s.cell[i].skipped);
		assert_string_equal(s.cell[i].why, "");
	}
	assert_int_equal(sweep_finished(&s), 3);
	assert_int_equal(sweep_next(&s), 3);
	fits(3, 1, 1);
	assert_int_equal(sweep_next(&s), 4);
	fails_with(4, E_MEMORY, "no");
	assert_int_equal(sweep_next(&s), -1);
	assert_true(s.cell[5].skipped);
}

static void another_failure_skips_nothing(void **state)
{
	fails_with(sweep_next(&s), E_MODEL, "a kernel\nfailed");
	assert_int_equal(s.cell[0].state, SWEEP_FAILED);
	assert_string_equal(s.cell[0].why, "a kernel\\x0Afailed");
	assert_int_equal(s.cell[1].state, SWEEP_WAITING);
}

static void cancelling_keeps_what_ran(void **state)
{
	fits(sweep_next(&s), 5, 50);
	fails_with(sweep_next(&s), E_CANCELLED, "cancelled");
	assert_true(s.cancelled);
	assert_int_equal(s.cell[0].state, SWEEP_FITS);
	for (int i = 1; i < 6; i++)
		assert_int_equal(s.cell[i].state, SWEEP_CANCELLED);
	assert_int_equal(sweep_next(&s), -1);
	assert_int_equal(sweep_best(&s, 0), 0);
}

static void late_answers_change_nothing(void **state)
{
	int cell = sweep_next(&s);

	sweep_cancel(&s);
	fits(cell, 5, 50);
	assert_int_equal(s.cell[cell].state, SWEEP_CANCELLED);
	fits(99, 5, 50);
	fits(-1, 5, 50);
}

static void settings_of_a_cell(void **state)
{
	struct engine_settings base = engine_settings_default(DEVICE_CPU), got;

	base.image_size = 224;
	base.beams = 3;
	got = sweep_settings(&s, 5, &base);
	assert_int_equal(got.batch, 4);
	assert_int_equal(got.image_size, 224);
	assert_int_equal(got.beams, 3);
	for (int i = 0; i < MODEL_KINDS; i++)
		assert_int_equal(got.precision[i], PRECISION_BF16);
}

/* ---------------------------------------------------------------- what it says */

static void run_all(const double *images_per_s, const int64_t *peak)
{
	for (int cell; (cell = sweep_next(&s)) >= 0;)
		if (images_per_s[cell] > 0)
			fits(cell, images_per_s[cell], peak[cell]);
		else
			fails_with(cell, E_MODEL, "no");
}

static void best_is_fastest_then_smallest(void **state)
{
	run_all((const double[]){10, 20, 30, 12, 30, 30}, (const int64_t[]){100, 200, 400, 90, 300, 300});
	assert_int_equal(sweep_best(&s, 0), 4); /* as fast as 2 and 5, holds less than 2, a smaller batch than 5 */
	assert_int_equal(sweep_best(&s, 299), 1);
	assert_int_equal(sweep_best(&s, 300), 4);
	assert_int_equal(sweep_best(&s, 95), 3);
	assert_int_equal(sweep_best(&s, 89), -1);
}

static void pareto_front(void **state)
{
	static const double speed[] = {10, 20, 25, 12, 30, 30};
	static const int64_t peak[] = {100, 200, 400, 90, 300, 300};
	static const bool front[] = {false, true, false, true, true, true};

	run_all(speed, peak);
	for (int i = 0; i < 6; i++)
		assert_int_equal(sweep_is_pareto(&s, i), front[i]);
}

static void pareto_by_definition(void **state)
{
	unsigned seed = 7;

	for (int round = 0; round < 500; round++) {
		double speed[6];
		int64_t peak[6];

		for (int i = 0; i < 6; i++) {
			speed[i] = (double)(rand_r(&seed) % 4);
			peak[i] = rand_r(&seed) % 4 + 1;
		}
		sweep_free(&s);
		begin(NULL);
		run_all(speed, peak);
		for (int i = 0; i < 6; i++) {
			bool dominated = false;

			for (int k = 0; k < 6; k++)
				dominated |=
					speed[k] > 0 && ((speed[k] > speed[i] && peak[k] <= peak[i]) || (speed[k] >= speed[i] && peak[k] < peak[i]));
			assert_int_equal(sweep_is_pareto(&s, i), speed[i] > 0 && !dominated);
		}
		/* The best is on the front. */
		assert_true(sweep_best(&s, 0) < 0 || sweep_is_pareto(&s, sweep_best(&s, 0)));
	}
}

static void command_lines(void **state)
{
	struct sweep_axes axes = {.batch = {8}, .batches = 1, .image_size = {0, 384}, .images = 2};
	struct error err;
	char *text = sweep_command(&s, 5, "caption", "--beams 3 FILE…");

	assert_string_equal(text, "vramble caption --batch 4 --precision bf16 --beams 3 FILE…");
	free(text);
	sweep_free(&s);
	assert_int_equal(sweep_begin(&s, &axes, &err), 0);
	text = sweep_command(&s, 0, NULL, NULL);
	assert_string_equal(text, "vramble --batch 8 --image-size auto");
	free(text);
	text = sweep_command(&s, 1, "score", NULL);
	assert_string_equal(text, "vramble score --batch 8 --image-size 384");
	free(text);
}

/* ---------------------------------------------------------------- CSV */

static int count(const char *text, char c)
{
	int n = 0;

	for (; *text; text++)
		n += *text == c;
	return n;
}

static void csv_rows(void **state)
{
	struct buffer out = {0};
	char *line, *save;
	int lines = 0, commas;

	fits(sweep_next(&s), 12.5, 1000);
	fails_with(sweep_next(&s), E_MEMORY, "3, \"four\"");
	sweep_csv(&s, 0, &out);
	assert_non_null(strstr(out.text, "1,fp32,,fits,no,12.5000,1000,500,1.5000,3.0000,,bf16,bf16,,480,yes,yes,\r\n"));
	assert_non_null(strstr(out.text, "1,bf16,,does not fit,no,,,,,,,,,,,no,no,\"3, \"\"four\"\"\"\r\n"));
	assert_non_null(strstr(out.text, "2,bf16,,does not fit,yes,,,,,,,,,,,no,no,\r\n"));
	assert_non_null(strstr(out.text, "2,fp32,,waiting,no,,"));
	commas = count(strtok_r(out.text, "\r\n", &save), ',');
	while ((line = strtok_r(NULL, "\r\n", &save))) {
		lines++;
		assert_int_equal(count(line, ',') - (strchr(line, '"') ? 1 : 0), commas);
	}
	assert_int_equal(lines, 6);
	buffer_free(&out);
}

static void csv_is_written_whole(void **state)
{
	char *dir = data_dir(), *path = xasprintf("%s/sweep.csv", dir), *link = xasprintf("%s/link.csv", dir);
	struct buffer out = {0};
	struct error err;
	struct stat st;
	char got[4096] = "";
	FILE *f;

	fits(sweep_next(&s), 12.5, 1000);
	data_put(dir, "sweep.csv", "old", 3);
	assert_int_equal(chmod(path, 0640), 0);
	assert_int_equal(symlink("sweep.csv", link), 0);
	assert_int_equal(sweep_write_csv(&s, 0, link, &err), 0);
	sweep_csv(&s, 0, &out);
	f = fopen(path, "r");
	assert_non_null(f);
	assert_int_equal(fread(got, 1, sizeof got - 1, f), out.length);
	fclose(f);
	assert_string_equal(got, out.text);
	assert_int_equal(lstat(link, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	buffer_free(&out);
	free(path);
	free(link);
	data_remove_dir(dir);
}

/* /dev/full is a disk that is always full; it is no regular file, so it is written in place. */
static void csv_that_cannot_be_written(void **state)
{
	char *dir = data_dir(), *inside = xasprintf("%s/no/sweep.csv", dir), *file = xasprintf("%s/file/sweep.csv", dir);
	struct error err;

	data_put(dir, "file", "", 0);
	assert_int_equal(sweep_write_csv(&s, 0, "/dev/full", &err), -1);
	assert_int_equal(err.code, E_IO);
	assert_non_null(strstr(err.text, "/dev/full: cannot be written: No space left on device"));
	assert_int_equal(sweep_write_csv(&s, 0, inside, &err), -1);
	assert_non_null(strstr(err.text, "No such file or directory"));
	assert_int_equal(sweep_write_csv(&s, 0, file, &err), -1);
	assert_non_null(strstr(err.text, "Not a directory"));
	assert_int_equal(sweep_write_csv(&s, 0, dir, &err), -1);
	assert_non_null(strstr(err.text, "Is a directory"));
	assert_int_equal(sweep_write_csv(&s, 0, "/dev/null", &err), 0);
	assert_int_equal(s.cells, 6);
	free(inside);
	free(file);
	data_remove_dir(dir);
}

/* A file that may not grow stands for a disk that fills up half-way: the old file is still whole, and nothing lies beside it. */
static void csv_over_a_full_disk(void **state)
{
	char *dir = data_dir(), *command = xasprintf("ls -A '%s' | wc -l", dir), *path = xasprintf("%s/sweep.csv", dir);
	struct rlimit old, small;
	struct error err;
	char got[16] = "";
	FILE *f;
	int rc;

	data_put(dir, "sweep.csv", "old", 3);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = (struct rlimit){100, old.rlim_max};
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	rc = sweep_write_csv(&s, 0, path, &err);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(rc, -1);
	assert_non_null(strstr(err.text, "File too large; what was there stays"));
	f = fopen(path, "r");
	assert_int_equal(fread(got, 1, sizeof got - 1, f), 3);
	fclose(f);
	assert_string_equal(got, "old");
	f = popen(command, "r");
	assert_non_null(fgets(got, sizeof got, f));
	pclose(f);
	assert_int_equal(atoi(got), 1);
	free(path);
	free(command);
	data_remove_dir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(axes_are_sorted_and_single, begin, end),
		cmocka_unit_test_setup_teardown(image_sizes_make_rows_of_their_own, begin, end),
		cmocka_unit_test_setup_teardown(bad_axes, begin, end),
		cmocka_unit_test_setup_teardown(small_ones_run_first, begin, end),
		cmocka_unit_test_setup_teardown(larger_ones_are_skipped, begin, end),
		cmocka_unit_test_setup_teardown(another_failure_skips_nothing, begin, end),
		cmocka_unit_test_setup_teardown(cancelling_keeps_what_ran, begin, end),
		cmocka_unit_test_setup_teardown(late_answers_change_nothing, begin, end),
		cmocka_unit_test_setup_teardown(settings_of_a_cell, begin, end),
		cmocka_unit_test_setup_teardown(best_is_fastest_then_smallest, begin, end),
		cmocka_unit_test_setup_teardown(pareto_front, begin, end),
		cmocka_unit_test_setup_teardown(pareto_by_definition, begin, end),
		cmocka_unit_test_setup_teardown(command_lines, begin, end),
		cmocka_unit_test_setup_teardown(csv_rows, begin, end),
		cmocka_unit_test_setup_teardown(csv_is_written_whole, begin, end),
		cmocka_unit_test_setup_teardown(csv_that_cannot_be_written, begin, end),
		cmocka_unit_test_setup_teardown(csv_over_a_full_disk, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
