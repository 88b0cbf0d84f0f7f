/* error.h - how a function says what went wrong.
 *
 * A fallible function takes `struct error *err` last and returns 0/-1 or a pointer/NULL. The text names what failed, where (the file) and what to do,
 * in one line of printable UTF-8 without a final newline. Errors travel by value inside events. Any thread.
 *
 *	if (fd < 0)
 *		return fail(err, E_IO, "%s: %s", path, strerror(errno));
 */
#ifndef CORE_ERROR_H
#define CORE_ERROR_H

enum error_code {
	E_NONE = 0,
	E_USAGE,     /* a wrong argument, setting or config value */
	E_IO,        /* the operating system refused: open, read, permission */
	E_FORMAT,    /* a file is not what it claims: broken picture, truncated weights */
	E_LIMIT,     /* refused by one of our limits: pixels, bytes */
	E_MODEL,     /* a model cannot be used: missing tensor, unknown architecture; also a failing op */
	E_MEMORY,    /* out of memory on the device, or the cap refused */
	E_DEVICE,    /* the device broke down (a failed CUDA context); nothing on it can be used any more */
	E_DEADLINE,  /* took longer than allowed */
	E_CANCELLED, /* stopped on request; nothing is wrong */
};

struct error {
	enum error_code code;
	char text[1000];
};

/* Fills err (may be NULL) and returns -1. Control characters and broken UTF-8 that the arguments carry (file names!) are escaped as \xHH. */
int fail(struct error *err, enum error_code code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* As fail, for functions that return a pointer. */
#define fail_null(...) (fail(__VA_ARGS__), NULL)

/* Puts "prefix: " before err's text, keeping its code; returns -1. */
int fail_prefix(struct error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
