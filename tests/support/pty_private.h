/* pty_private.h - what pty.c and pty_run.c share. */
#ifndef TESTS_PTY_PRIVATE_H
#define TESTS_PTY_PRIVATE_H

#include "tests/support/pty.h"

/* The home folder of all programs that a test runs; removed at its exit. */
const char *pty_home(void);
/* For a child before exec: what the user has set must not change a test. */
void pty_clean_environment(const char *const *extra);

#endif
