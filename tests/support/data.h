/* data.h - test data: recorded reference numbers in tests/golden, and published vocabularies that are not part of the project. Tests run in the root. */
#ifndef TESTS_DATA_H
#define TESTS_DATA_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* tests/golden/NAME parsed; a test without it fails. The caller calls json_decref. */
json_t *data_golden(const char *name);

/* The path of NAME among the vocabularies in $VRAMBLE_DATA, or else in the data folder next to the repository. NULL, after saying so, when it is
 * missing: the test should then skip(). The caller frees it. */
char *data_vocabulary(const char *name);

/* Writes text to a new temporary file (size bytes; its folder is $TMPDIR or /tmp) and returns its path; data_remove deletes and frees it. */
char *data_file(const void *bytes, size_t size);
void data_remove(char *path);

/* A new temporary folder; data_put writes a file into it; data_remove_dir deletes it with all that is in it. */
char *data_dir(void);
void data_put(const char *dir, const char *name, const void *bytes, size_t size);
void data_remove_dir(char *dir);

/* Runs a command, written as by printf, in the shell. data_shell fails the test unless it ends with 0. */
bool data_runs(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void data_shell(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* A Python with torch and numpy: $PYTHON, python3 or /usr/bin/python3. NULL: none. Tests of what it made skip, and say why, when it was not made. */
const char *data_python(void);
void data_needs_python(bool made);

uint32_t data_crc32(const void *bytes, size_t size); /* as zlib's */
uint64_t data_fnv1a64(const void *bytes, size_t size);

#endif
