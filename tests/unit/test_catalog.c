/* The catalog: scanning, names of any bytes, order, filter, and what events make of it. */
#include "core/catalog.h"
#include "core/image_format.h"
#include "core/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char dir[64];

static int setup(void **state)
{
	/* In memory where possible: a hundred thousand files are made. */
	snprintf(dir, sizeof dir, "%s/vramble-catalog-XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	char command[256];

	snprintf(command, sizeof command, "chmod -R u+rwx '%s'; rm -rf '%s'", dir, dir);
	return system(command);
}

static void touch(const char *name)
{
	char path[256];
	int fd;

	snprintf(path, sizeof path, "%s/%s", dir, name);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	assert_true(fd >= 0);
	close(fd);
}

static void take_all(struct catalog *c)
{
	while (catalog_scanning(c)) {
		struct pollfd fd = {catalog_fd(c), POLLIN, 0};

		assert_true(poll(&fd, 1, 20000) > 0);
		catalog_take(c);
	}
}

static struct catalog *open_all(const char *path)
{
	struct error err;
	struct catalog *c = catalog_open(&path, 1, &err);

	if (!c)
		fail_msg("%s", err.text);
	take_all(c);
	return c;
}

static void check_rows(const struct catalog *c, const char *const *names, int n)
{
	assert_int_equal(catalog_rows(c), n);
	for (int i = 0; i < n; i++) {
		assert_string_equal(catalog_at(c, i)->name, names[i]);
		assert_int_equal(catalog_at(c, i)->row, i);
	}
}

/* The time this thread computed: other programs do not count. */
static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void test_names_compare_naturally(void **state)
{
	static const char *const order[] = {"1.png",  "2.png",     "10.png",     "a.png", "a1.png", "a01.png",
					    "a2.png", "a10b2.png", "a10b10.png", "B.png", "b.png"};

	for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
		assert_int_equal(catalog_compare_names(order[i], order[i]), 0);
		for (size_t k = i + 1; k < sizeof order / sizeof *order; k++) {
			int a = catalog_compare_names(order[i], order[k]), b = catalog_compare_names(order[k], order[i]);

			/* Leading zeros and case only break ties; which way is fixed by the bytes. */
			if ((i == 4 && k == 5) || (i == 9 && k == 10))
				assert_true(a && b && (a < 0) != (b < 0));
			else if (a >= 0 || b <= 0)
				fail_msg("%s, %s: %d, %d", order[i], order[k], a, b);
		}
	}
	assert_true(catalog_compare_names("x99999999999999999999999.png", "x100000000000000000000000.png") < 0);
}

static void test_a_folder(void **state)
{
	static const char *const names[] = {"b.JPG", "c1.gif", "c10.bmp", "x.heic"};
	static const char *const others[] = {"c10.bmp", "b.JPG", ".hidden.jpg", "notes.txt", "c1.gif", "x.heic", "noextension", ".jpg"};
	char sub[128];
	struct catalog *c;
	char *path;

	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		touch(others[i]);
	snprintf(sub, sizeof sub, "%s/folder.jpg", dir);
	mkdir(sub, 0700);
	c = open_all(dir);
	check_rows(c, names, 4);
	assert_int_equal(catalog_count(c, PICTURE_UNSUPPORTED), 1);
	assert_int_equal(catalog_count(c, PICTURE_NEW), 3);
	assert_int_equal(catalog_at(c, 3)->status, PICTURE_UNSUPPORTED);
	path = catalog_path(c, catalog_id(c, 0));
	assert_int_equal(access(path, R_OK), 0);
	free(path);
	assert_int_equal(catalog_selected(c), -1);
	catalog_close(c);
}

static void test_kinds_of_names(void **state)
{
	static const char *const read[] = {"a.jpg", "a.JPEG", "a.jpe", "a.png", "a.bmp", "a.b.gif", VRAMBLE_WEBP ? "a.WebP" : "a.png"};
	static const char *const listed[] = {"a.avif", "a.HEIC", "a.heif", "a.jxl", "a.tif", "a.tiff", "a.psd", "a.ppm", "a.svg"};
	static const char *const others[] = {"a.txt", "jpg", "a.", "a.jp", "a.jpgg", "a.jpg peg", ".png", "a.pdf"};

	for (size_t i = 0; i < sizeof read / sizeof *read; i++)
		assert_int_equal(catalog_kind(read[i]), 1);
	for (size_t i = 0; i < sizeof listed / sizeof *listed; i++) {
		assert_int_equal(catalog_kind(listed[i]), 0);
		assert_non_null(strstr(image_format_of_name(listed[i])->hint, " is not read; convert it"));
	}
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		assert_int_equal(catalog_kind(others[i]), -1);
}

static void test_a_file_opens_its_folder(void **state)
{
	static const char *const names[] = {"1.png", "2.png", "3.png"};
	char file[128];
	struct catalog *c;

	for (int i = 0; i < 3; i++)
		touch(names[i]);
	snprintf(file, sizeof file, "%s/2.png", dir);
	c = open_all(file);
	check_rows(c, names, 3);
	assert_int_equal(catalog_selected(c), 0);
	assert_string_equal(catalog_picture(c, 0)->name, "2.png");
	assert_int_equal(catalog_picture(c, 0)->row, 1);
	catalog_close(c);
}

static void test_a_list_of_files(void **state)
{
	char a[128], b[128];
	const char *paths[] = {b, a, dir};
	struct error err;
	struct catalog *c;
	char *path;

	touch("a.png");
	touch("b.bin");
	snprintf(a, sizeof a, "%s/a.png", dir);
	snprintf(b, sizeof b, "%s/b.bin", dir);
	c = catalog_open(paths, 2, &err);
	assert_non_null(c);
	assert_false(catalog_scanning(c));
	assert_int_equal(catalog_rows(c), 2);
	path = catalog_path(c, 0);
	assert_string_equal(path, b);
	free(path);
	catalog_close(c);
	assert_null(catalog_open(paths, 3, &err));
	assert_non_null(strstr(err.text, "is a folder"));
	assert_null(catalog_open(paths, 0, &err));
	assert_int_equal(err.code, E_USAGE);
}

static void test_names_are_bytes(void **state)
{
	static const char *const names[] = {"\x1b[31mred.png", "new\nline.jpg", "\xff\xfe.png", "caf\xc3\xa9.png", "\xe2\x80\xae_gpj.png"};
	struct catalog *c;

	for (int i = 0; i < 5; i++)
		touch(names[i]);
	c = open_all(dir);
	assert_int_equal(catalog_rows(c), 5);
	for (int i = 0; i < 5; i++) {
		char *path = catalog_path(c, (uint32_t)i);

		assert_int_equal(access(path, R_OK), 0);
		free(path);
	}
	catalog_filter(c, "\xff");
	assert_int_equal(catalog_rows(c), 1);
	catalog_close(c);
}

static void test_what_cannot_be_opened(void **state)
{
	const char *paths[] = {"/nonexistent/folder"};
	struct error err;
	struct catalog *c;

	assert_null(catalog_open(paths, 1, &err));
	assert_int_equal(err.code, E_IO);
	assert_non_null(strstr(err.text, "/nonexistent/folder: No such file"));
	paths[0] = dir;
	assert_int_equal(chmod(dir, 0), 0);
	c = catalog_open(paths, 1, &err);
	if (geteuid() == 0) {
		print_message("root may read everything: permission is not tried\n");
		catalog_close(c);
		return;
	}
	assert_null(c);
	assert_non_null(strstr(err.text, "Permission denied"));
}

static void test_a_hundred_thousand_files(void **state)
{
	enum { N = 100000 };
	const char *path = dir;
	struct error err;
	struct catalog *c;
	double begin, slowest = 0, whole;
	int folder = open(dir, O_DIRECTORY);

	for (int i = 0; i < N; i++) {
		char name[32];
		int fd;

		snprintf(name, sizeof name, "IMG_%d.jpg", i);
		fd = openat(folder, name, O_CREAT | O_WRONLY, 0600);
		assert_true(fd >= 0);
		close(fd);
	}
	close(folder);
	begin = now();
	c = catalog_open(&path, 1, &err);
	assert_non_null(c);
	while (catalog_scanning(c)) {
		struct pollfd fd = {catalog_fd(c), POLLIN, 0};
		double at;

		assert_true(poll(&fd, 1, 20000) > 0);
		at = now();
		catalog_take(c);
		slowest = fmax(slowest, now() - at);
	}
	whole = now() - begin;
	print_message("100,000 names in %.0f ms, the slowest slice %.1f ms\n", 1e3 * whole, 1e3 * slowest);
	assert_int_equal(catalog_rows(c), N);
	for (int i = 0; i < N; i += 997) {
		char name[32];

		snprintf(name, sizeof name, "IMG_%d.jpg", i);
		assert_string_equal(catalog_at(c, i)->name, name);
	}
	catalog_filter(c, "9999");
	assert_in_range(catalog_rows(c), 10, 100);
	begin = now();
	catalog_filter(c, NULL);
	print_message("sorted anew in %.0f ms\n", 1e3 * (now() - begin));
	catalog_close(c);
}

static void test_rows_agree_with_the_comparison(void **state)
{
	static const char alphabet[] = "aAbB0019-_ .";
	unsigned seed = 4;
	struct catalog *c;

	for (int i = 0; i < 3000; i++) {
		char name[64] = "x";
		int n = 1 + rand_r(&seed) % 24;

		for (int k = 1; k < n; k++)
			name[k] = alphabet[(size_t)rand_r(&seed) % (sizeof alphabet - 1)];
		strcpy(name + n, ".png");
		touch(name);
	}
	c = open_all(dir);
	assert_true(catalog_rows(c) > 2000);
	for (int i = 1; i < catalog_rows(c); i++)
		if (catalog_compare_names(catalog_at(c, i - 1)->name, catalog_at(c, i)->name) >= 0)
			fail_msg("%s stands before %s", catalog_at(c, i - 1)->name, catalog_at(c, i)->name);
	catalog_close(c);
}

static void test_closing_while_scanning(void **state)
{
	const char *path = dir;

	for (int i = 0; i < 3000; i++) {
		char name[32];

		snprintf(name, sizeof name, "%d.jpg", i);
		touch(name);
	}
	for (int i = 0; i < 20; i++) {
		struct catalog *c = catalog_open(&path, 1, NULL);

		assert_non_null(c);
		if (i % 2)
			catalog_take(c);
		catalog_close(c);
	}
	catalog_close(NULL);
}

/* ---------------------------------------------------------------- events */

static struct catalog *four_pictures(void)
{
	static const char *const names[] = {"a.png", "b.png", "c.png", "d.png"};
	struct catalog *c;

	for (int i = 0; i < 4; i++)
		touch(names[i]);
	c = open_all(dir);
	assert_int_equal(catalog_rows(c), 4);
	return c;
}

static bool apply_scores(struct catalog *c, uint32_t id, uint32_t epoch, float first)
{
	struct event e = {.kind = EV_SCORES, .id = id, .epoch = epoch};
	bool changed;

	e.scores.n = 2;
	e.scores.probability = xcalloc(2, sizeof(float));
	e.scores.cosine = xcalloc(2, sizeof(float));
	e.scores.probability[0] = first;
	e.scores.probability[1] = 1 - first;
	changed = catalog_apply(c, &e, NULL);
	event_clear(&e);
	return changed;
}

static void apply_verdicts(struct catalog *c, uint32_t id, uint32_t epoch, float contradiction)
{
	struct event e = {.kind = EV_VERDICTS, .id = id, .epoch = epoch};

	e.verdicts.n = 2;
	e.verdicts.verdicts = xcalloc(2, sizeof *e.verdicts.verdicts);
	e.verdicts.verdicts[0].contradiction = contradiction;
	assert_true(catalog_apply(c, &e, NULL));
	event_clear(&e);
}

static void apply_caption(struct catalog *c, uint32_t id, const char *text)
{
	struct event e = {.kind = EV_CAPTION, .id = id};

	snprintf(e.caption.caption.text, sizeof e.caption.caption.text, "%s", text);
	assert_true(catalog_apply(c, &e, NULL));
	event_clear(&e);
}

static uint32_t id_of(const struct catalog *c, const char *name)
{
	for (int i = 0; i < catalog_total(c); i++)
		if (!strcmp(catalog_picture(c, (uint32_t)i)->name, name))
			return (uint32_t)i;
	fail_msg("no %s", name);
	return 0;
}

static void test_events_change_status(void **state)
{
	struct catalog *c = four_pictures();
	uint32_t id = id_of(c, "c.png");
	struct event e = {.kind = EV_TOKENS, .id = id};
	int row;

	catalog_set_status(c, id, PICTURE_QUEUED);
	assert_int_equal(catalog_count(c, PICTURE_QUEUED), 1);
	e.tokens.text = xstrdup("a bo");
	assert_true(catalog_apply(c, &e, &row));
	event_clear(&e);
	assert_int_equal(row, 2);
	assert_int_equal(catalog_picture(c, id)->status, PICTURE_WORKING);
	assert_string_equal(catalog_picture(c, id)->answers->caption, "a bo");
	assert_false(catalog_picture(c, id)->answers->settled);
	assert_true(isnan(catalog_picture(c, id)->answers->clipscore));
	apply_caption(c, id, "a boat");
	assert_true(catalog_picture(c, id)->answers->settled);
	e = (struct event){.kind = EV_RANKING, .id = id};
	assert_true(catalog_apply(c, &e, &row));
	assert_int_equal(catalog_count(c, PICTURE_DONE), 1);
	apply_scores(c, id, 5, 0.5f);
	assert_int_equal(catalog_picture(c, id)->status, PICTURE_DONE);
	e = (struct event){.kind = EV_CANCELLED, .id = id};
	assert_true(catalog_apply(c, &e, &row));
	assert_int_equal(catalog_picture(c, id)->status, PICTURE_DONE);
	e = (struct event){.kind = EV_FAILED, .id = id, .err = xcalloc(1, sizeof *e.err)};
	strcpy(e.err->text, "c.png is damaged");
	assert_true(catalog_apply(c, &e, &row));
	event_clear(&e);
	assert_int_equal(catalog_count(c, PICTURE_FAILED), 1);
	assert_string_equal(catalog_picture(c, id)->answers->failure, "c.png is damaged");
	e = (struct event){.kind = EV_CANCELLED, .id = 99};
	assert_false(catalog_apply(c, &e, &row));
	catalog_close(c);
}

static void test_old_labels_are_dropped(void **state)
{
	struct catalog *c = four_pictures();

	assert_true(apply_scores(c, 0, 3, 0.9f));
	assert_false(apply_scores(c, 0, 2, 0.1f));
	assert_true(catalog_picture(c, 0)->answers->probability[0] > 0.8f);
	assert_int_equal(catalog_picture(c, 0)->answers->scores_epoch, 3);
	catalog_close(c);
}

static void test_orders(void **state)
{
	static const char *const by_name[] = {"a.png", "b.png", "c.png", "d.png"}, *const reverse[] = {"d.png", "c.png", "b.png", "a.png"};
	static const char *const by_caption[] = {"c.png", "a.png", "b.png", "d.png"};
	static const char *const by_margin[] = {"b.png", "a.png", "c.png", "d.png"}, *const by_quarrel[] = {"c.png", "a.png", "b.png", "d.png"};
	struct catalog *c = four_pictures();

	apply_caption(c, id_of(c, "a.png"), "a house");
	apply_caption(c, id_of(c, "c.png"), "A boat");
	apply_scores(c, id_of(c, "a.png"), 1, 0.7f);
	apply_scores(c, id_of(c, "b.png"), 1, 0.6f);
	apply_scores(c, id_of(c, "c.png"), 1, 0.99f);
	apply_verdicts(c, id_of(c, "a.png"), 1, 0.1f);
	apply_verdicts(c, id_of(c, "c.png"), 1, 0.8f);
	check_rows(c, by_name, 4);
	catalog_sort(c, CATALOG_BY_NAME, true);
	check_rows(c, reverse, 4);
	catalog_sort(c, CATALOG_BY_CAPTION, false);
	check_rows(c, by_caption, 4);
	catalog_sort(c, CATALOG_BY_MARGIN, false);
	check_rows(c, by_margin, 4);
	catalog_sort(c, CATALOG_BY_DISAGREEMENT, false);
	check_rows(c, by_quarrel, 4);
	catalog_sort(c, CATALOG_BY_MARGIN, true);
	assert_string_equal(catalog_at(c, 0)->name, "c.png");
	assert_string_equal(catalog_at(c, 3)->name, "d.png");
	catalog_close(c);
}

static void test_filter_and_marks(void **state)
{
	struct catalog *c = four_pictures();

	apply_caption(c, id_of(c, "b.png"), "a red Boat");
	catalog_filter(c, "boat");
	assert_int_equal(catalog_rows(c), 1);
	assert_int_equal(catalog_picture(c, id_of(c, "a.png"))->row, -1);
	catalog_filter(c, "BOAT");
	assert_int_equal(catalog_rows(c), 0);
	assert_int_equal(catalog_next_marked(c, 0, 1), -1);
	catalog_filter(c, "");
	assert_int_equal(catalog_rows(c), 4);
	catalog_mark(c, id_of(c, "b.png"), true);
	catalog_mark(c, id_of(c, "d.png"), true);
	catalog_mark(c, id_of(c, "d.png"), true);
	assert_int_equal(catalog_marked(c), 2);
	assert_int_equal(catalog_next_marked(c, 1, 1), 3);
	assert_int_equal(catalog_next_marked(c, 3, 1), 1);
	assert_int_equal(catalog_next_marked(c, 1, -1), 3);
	catalog_mark(c, id_of(c, "b.png"), false);
	assert_int_equal(catalog_marked(c), 1);
	catalog_close(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_compare_naturally),
		cmocka_unit_test(test_kinds_of_names),
		cmocka_unit_test_setup_teardown(test_a_folder, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_file_opens_its_folder, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_list_of_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_names_are_bytes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_cannot_be_opened, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_hundred_thousand_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rows_agree_with_the_comparison, setup, teardown),
		cmocka_unit_test_setup_teardown(test_closing_while_scanning, setup, teardown),
		cmocka_unit_test_setup_teardown(test_events_change_status, setup, teardown),
		cmocka_unit_test_setup_teardown(test_old_labels_are_dropped, setup, teardown),
		cmocka_unit_test_setup_teardown(test_orders, setup, teardown),
		cmocka_unit_test_setup_teardown(test_filter_and_marks, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
