/* browse.h - the program's screen over a folder of plain pictures, with the fake models. For the tests in tests/screen. */
#ifndef TESTS_BROWSE_H
#define TESTS_BROWSE_H

#include "tests/support/pty.h"

struct browse {
	char *dir; /* the folder; holds blue.bmp, green.bmp, red.bmp and what the test put there */
	struct pty *pty;
};

/* Starts the program over three pictures, so many rows and columns; fake: VRAMBLE_FAKE's value, or NULL. extra: more arguments before the folder, and
 * env: more of the environment; both NULL-terminated or NULL. */
void browse_start(struct browse *b, int rows, int columns, const char *fake, char *const *extra, const char *const *env);
/* The same in two steps, for tests that put more into the folder. */
void browse_prepare(struct browse *b);
void browse_run(struct browse *b, int rows, int columns, const char *fake, char *const *extra, const char *const *env, bool job_control);
/* Types q, expects exit code 0, removes the folder. */
void browse_end(struct browse *b);

#define BROWSE_LABELS "a red thing;a green field;something blue"

#endif
