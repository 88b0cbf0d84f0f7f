/* data.c - see data.h. */
#include "tests/support/data.h"

#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/mem.h"

json_t *data_golden(const char *name)
{
	char *path = xasprintf("tests/golden/%s", name);
	json_error_t where;
	json_t *root = json_load_file(path, JSON_ALLOW_NUL, &where);

	if (!root)
		fail_msg("%s: %s (tests run in the repository's root)", path, where.text);
	free(path);
	return root;
}

char *data_vocabulary(const char *name)
{
	const char *dir = getenv("VRAMBLE_DATA");
	char *path = dir ? xasprintf("%s/%s", dir, name) : xasprintf("../*/data/%s", name);
	glob_t found = {0};
	char *result = NULL;

	if (dir && access(path, R_OK) == 0)
		result = xstrdup(path);
	else if (!dir && glob(path, 0, NULL, &found) == 0)
		result = xstrdup(found.gl_pathv[0]);
	globfree(&found);
	free(path);
	if (!result)
		print_message("skipped: %s is missing; set VRAMBLE_DATA to a folder that holds it\n", name);
	return result;
}

static char *temporary(void)
{
	const char *dir = getenv("TMPDIR");

	return xasprintf("%s/vramble-test-XXXXXX", dir ? dir : "/tmp");
}

static void write_all(FILE *f, const void *bytes, size_t size)
{
	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, size, f), size);
	assert_int_equal(fclose(f), 0);
}

char *data_file(const void *bytes, size_t size)
{
	char *path = temporary();

	write_all(fdopen(mkstemp(path), "wb"), bytes, size);
	return path;
}

void data_remove(char *path)
{
	unlink(path);
	free(path);
}

char *data_dir(void)
{
	char *dir = temporary();

	assert_non_null(mkdtemp(dir));
	return dir;
}

void data_put(const char *dir, const char *name, const void *bytes, size_t size)
{
	char *path = xasprintf("%s/%s", dir, name);

	write_all(fopen(path, "wb"), bytes, size);
	free(path);
}

void data_remove_dir(char *dir)
{
	data_shell("rm -rf '%s'", dir);
	free(dir);
}

static int run(const char *fmt, va_list ap)
{
	char *command = xvasprintf(fmt, ap);
	int status = system(command);

	free(command);
	return status;
}

bool data_runs(const char *fmt, ...)
{
	va_list ap;
	int status;

	va_start(ap, fmt);
	status = run(fmt, ap);
	va_end(ap);
	return status == 0;
}

void data_shell(const char *fmt, ...)
{
	va_list ap;
	int status;

	va_start(ap, fmt);
	status = run(fmt, ap);
	va_end(ap);
	assert_int_equal(status, 0);
}

const char *data_python(void)
{
	const char *pythons[] = {getenv("PYTHON"), "python3", "/usr/bin/python3"};

	for (size_t i = 0; i < sizeof pythons / sizeof pythons[0]; i++)
		if (pythons[i] && data_runs("%s -c 'import torch, numpy' 2>/dev/null", pythons[i]))
			return pythons[i];
	return NULL;
}

void data_needs_python(bool made)
{
	if (!made) {
		print_message("no Python with torch and numpy (python3-torch, python3-numpy; or set PYTHON): skipped\n");
		skip();
	}
}

uint32_t data_crc32(const void *bytes, size_t size)
{
	const uint8_t *p = bytes;
	uint32_t crc = 0xffffffff;

	for (size_t i = 0; i < size; i++) {
		crc ^= p[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
	}
	return ~crc;
}

uint64_t data_fnv1a64(const void *bytes, size_t size)
{
	const uint8_t *p = bytes;
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < size; i++)
		h = (h ^ p[i]) * 0x100000001b3u;
	return h;
}
