/* fuzz.h - the loop around a parser that must survive any bytes.
 *
 *	fuzz_x FILE...                    runs the parser on each file
 *	fuzz_x [-runs N] [-seed S]        runs it on N mutations of the built-in seeds; the same numbers give the same bytes
 *	        [-dump FILE]              … and writes each input to FILE before it runs, so that the one that crashed is there
 *
 * A parser that hangs or crashes fails the run; build with SANITIZE=address for what does not crash by itself. One thread.
 */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

struct fuzz_seed {
	const void *bytes;
	size_t size;
};

/* A string literal as a seed. */
#define FUZZ_TEXT(text)                \
	{                              \
		text, sizeof(text) - 1 \
	}

/* What main returns. run gets bytes that it may read but not keep. */
int fuzz_main(int argc, char **argv, const struct fuzz_seed *seeds, size_t n, void (*run)(const uint8_t *bytes, size_t size));

/* Writes a file of the given name into a temporary folder, which is deleted when fuzz_main returns. Returns its path, valid until the next call. */
const char *fuzz_file(const char *name, const void *bytes, size_t size);
/* That folder. */
const char *fuzz_dir(void);
void fuzz_remove(const char *name);

#endif
