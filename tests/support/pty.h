/* pty.h - runs a program in a pseudo-terminal and reads its screen back through a terminal emulator (libvterm). For tests; one thread.
 *
 * Waiting is always for something to be seen, with a deadline; when the deadline passes the screen is printed and the test fails. The program gets a clean
 * environment: a home folder of its own with empty XDG folders, UTF-8, xterm-256color.
 *
 *	struct pty *p = pty_start(&(struct pty_options){.argv = argv, .rows = 24, .columns = 80});
 *	pty_wait_text(p, "beach.jpg");
 *	pty_type(p, "j");
 *	assert_int_equal(pty_finish(p, "q"), 0);
 */
#ifndef TESTS_PTY_H
#define TESTS_PTY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { PTY_SECONDS = 120 }; /* the deadline of every wait: only against hanging, for a busy machine may take its time */

struct pty_options {
	char *const *argv;
	const char *const *env; /* "NAME=value", over the clean environment; "NAME=" removes; NULL ends. NULL: none */
	int rows, columns;
	bool job_control; /* under a small shell of ours, so that ^Z can stop it; see pty_wait_stopped */
};

struct pty;

struct pty *pty_start(const struct pty_options *options);
/* Types `keys` (NULL: nothing), waits for the end, checks that the terminal was given back whole (main screen, cursor shown, no mouse, the settings from
 * before), and frees p. Returns the exit code, or 128 + signal. */
int pty_finish(struct pty *p, const char *keys);

pid_t pty_pid(const struct pty *p); /* the program's */
void pty_type(struct pty *p, const char *keys);
void pty_resize(struct pty *p, int rows, int columns);
void pty_signal(struct pty *p, int number);

/* Each waits until it is so. */
void pty_wait(struct pty *p, bool (*seen)(struct pty *p, const void *ctx), const void *ctx, const char *what);
void pty_wait_text(struct pty *p, const char *text); /* anywhere on the screen, within one row */
void pty_wait_no_text(struct pty *p, const char *text);
void pty_wait_row(struct pty *p, int row, const char *text);
void pty_wait_both(struct pty *p, const char *text, const char *more); /* in one row, in this order */
void pty_wait_stopped(struct pty *p);                                  /* by ^Z; the terminal is checked as in pty_finish. Only with job_control */
void pty_continue(struct pty *p);                                      /* as the shell's fg does */
/* Reads what comes during so many milliseconds; returns how many bytes. The only wait for time: to see that nothing happens. */
size_t pty_listen(struct pty *p, int ms);

bool pty_has_text(struct pty *p, const char *text);
const char *pty_row(struct pty *p, int row);       /* UTF-8 without trailing blanks; until the next call */
int pty_find_row(struct pty *p, const char *text); /* -1 */
bool pty_cursor_visible(const struct pty *p);
bool pty_cell_is_coloured(struct pty *p, int row, int column); /* a background other than the default */
bool pty_cell_is(struct pty *p, int row, int column, const char *character);
bool pty_has_colour(struct pty *p);    /* any cell that is not in the default colours */
size_t pty_bytes(const struct pty *p); /* written by the program since its start */
/* All bytes that the program wrote, for output that is not a screen; NUL-terminated, borrowed. */
const char *pty_output(const struct pty *p);

/* The program beside the tests, the fake models' library, and a file of the build folder; borrowed, for ever. */
const char *pty_program(void);
const char *pty_fake_library(void);
const char *pty_build_file(const char *name);

/* Runs argv without a terminal until it ends, in the same clean environment with env on top. *out (malloced) is what it wrote to standard output, *err what
 * it wrote to standard error; either may be NULL. interrupt: a signal for it once it has written its first byte to standard error; 0 = none. */
int pty_capture(char *const *argv, const char *const *env, int interrupt, char **out, char **err);

/* A BMP picture of one colour (0xRRGGBB) in a folder. */
void pty_put_picture(const char *dir, const char *name, int width, int height, int colour);

#endif
