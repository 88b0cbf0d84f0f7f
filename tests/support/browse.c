/* browse.c - see browse.h. */
#include "tests/support/browse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "core/mem.h"
#include "tests/support/data.h"

enum { MOST_ARGUMENTS = 32 };

void browse_prepare(struct browse *b)
{
	b->dir = data_dir();
	pty_put_picture(b->dir, "blue.bmp", 64, 48, 0x1020c0);
	pty_put_picture(b->dir, "green.bmp", 64, 48, 0x10a020);
	pty_put_picture(b->dir, "red.bmp", 48, 64, 0xc02010);
}

void browse_run(struct browse *b, int rows, int columns, const char *fake, char *const *extra, const char *const *env, bool job_control)
{
	char *argv[MOST_ARGUMENTS] = {(char *)pty_program(), "--labels",  BROWSE_LABELS, "--clip",    "/none/clip",
				      "--captioner",         "/none/ofa", "--nli",       "/none/bert"};
	const char *full[MOST_ARGUMENTS] = {0};
	char *orders = xasprintf("VRAMBLE_FAKE=%s", fake ? fake : "");
	int n = 9, k = 0;

	for (; extra && *extra; extra++)
		argv[n++] = *extra;
	argv[n++] = b->dir;
	assert_true(n < MOST_ARGUMENTS);
	full[k++] = orders;
	for (; env && *env && k + 1 < MOST_ARGUMENTS; env++)
		full[k++] = *env;
	b->pty = pty_start(&(struct pty_options){.argv = argv, .env = full, .rows = rows, .columns = columns, .job_control = job_control});
	free(orders);
}

void browse_start(struct browse *b, int rows, int columns, const char *fake, char *const *extra, const char *const *env)
{
	browse_prepare(b);
	browse_run(b, rows, columns, fake, extra, env, false);
}

void browse_end(struct browse *b)
{
	assert_int_equal(pty_finish(b->pty, "q"), 0);
	data_remove_dir(b->dir);
}
