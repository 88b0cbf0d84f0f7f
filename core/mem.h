/* mem.h - allocation that never fails to its caller: exhaustion ends the program in one place. Any thread. */
#ifndef CORE_MEM_H
#define CORE_MEM_H

#include <stdarg.h>
#include <stddef.h>

void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size); /* zeroed; the product is checked for overflow */
void *xrealloc(void *old, size_t count, size_t size);
char *xstrdup(const char *text);
char *xstrndup(const char *text, size_t max);
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
char *xvasprintf(const char *fmt, va_list ap);
void *xmemdup(const void *data, size_t size);

/* Called once before exit when memory is gone, e.g. to give the terminal back. Set by main. */
extern void (*mem_exhausted)(void);

/* A growing byte string. Zero-initialise; text is always NUL-terminated once anything was added; free with buffer_free. */
struct buffer {
	char *text;
	size_t length, capacity;
};
void buffer_add(struct buffer *b, const void *data, size_t size);
void buffer_puts(struct buffer *b, const char *text);
void buffer_printf(struct buffer *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buffer_free(struct buffer *b);

#endif
