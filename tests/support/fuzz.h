/* fuzz.h - the loop around a parser that must survive any bytes.
 *
 *	fuzz_x [-runs N] [-seed S]        runs the parser on N mutations of the built-in seeds of each kind; the same numbers give the same bytes
 *	        [-all N]                  … on N in all, as many of each kind
 *	        [-kind K]                 … of those of one kind only
 *	        [-dump FILE]              … and writes each input to FILE before it runs, so that the one that crashed is there
 *	fuzz_x [-kind K] FILE...          runs it on each file, as one of that kind
 *
 * Half of the mutations of what is JSON change one value of it: another number or type, a key gone or there twice, deep lists; the others change bytes.
 *
 * A parser that crashes, or takes more than 2 s of CPU time for one input, fails the run. With SANITIZE=address also one that allocates by what a file
 * promises instead of what it holds: see fuzz_limit. One thread.
 */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fuzz_seed {
	const void *bytes;
	size_t size;
	const char *kind; /* what the bytes are taken for, mostly a file's name; NULL: all seeds of the fuzzer are of one kind */
};

/* A string literal as a seed. */
#define FUZZ_TEXT(text) FUZZ_KIND(NULL, text)
#define FUZZ_KIND(kind, text)                \
	{                                    \
		text, sizeof(text) - 1, kind \
	}

/* What main returns. run gets bytes that it may read but not keep. Seeds of one kind stand together. */
int fuzz_main(int argc, char **argv, const struct fuzz_seed *seeds, size_t n, void (*run)(const uint8_t *bytes, size_t size));
/* The kind of what runs. */
const char *fuzz_kind(void);

/* Is what runs a seed as it is? Most parsers must take those. */
bool fuzz_is_seed(void);

/* No allocation of this thread may be larger than `bytes` until the input has run; 0: any. When an input begins it is 64 KB + 16 times its size: what is
 * made of a file may take more room than the file, but by a factor. */
void fuzz_limit(size_t bytes);

/* Writes a file of the given name, which may be in one folder below, into a temporary folder, which is deleted when fuzz_main returns. Returns its path, valid until the next call. */
const char *fuzz_file(const char *name, const void *bytes, size_t size);
/* That folder. */
const char *fuzz_dir(void);
void fuzz_remove(const char *name);

#endif
