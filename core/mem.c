/* mem.c - see mem.h. */
#include "core/mem.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void (*mem_exhausted)(void);

static void *checked(void *p)
{
	static const char message[] = "vramble: out of memory\n";

	if (p)
		return p;
	if (mem_exhausted)
		mem_exhausted();
	/* stdio may need memory; write(2) does not. */
	if (write(STDERR_FILENO, message, sizeof message - 1) < 0)
		_exit(4);
	_exit(4);
}

void *xmalloc(size_t size)
{
	return checked(malloc(size ? size : 1));
}

void *xcalloc(size_t count, size_t size)
{
	return checked(calloc(count ? count : 1, size ? size : 1));
}

void *xrealloc(void *old, size_t count, size_t size)
{
	if (size && count > SIZE_MAX / size)
		return checked(NULL);
	return checked(realloc(old, count && size ? count * size : 1));
}

void *xmemdup(const void *data, size_t size)
{
	void *copy = xmalloc(size);

	if (size)
		memcpy(copy, data, size);
	return copy;
}

char *xstrdup(const char *text)
{
	return xmemdup(text, strlen(text) + 1);
}

char *xstrndup(const char *text, size_t max)
{
	size_t n = strnlen(text, max);
	char *copy = xmalloc(n + 1);

	memcpy(copy, text, n);
	copy[n] = '\0';
	return copy;
}

char *xvasprintf(const char *fmt, va_list ap)
{
	char *text = NULL;

	if (vasprintf(&text, fmt, ap) < 0)
		checked(NULL);
	return text;
}

char *xasprintf(const char *fmt, ...)
{
	va_list ap;
	char *text;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	return text;
}

void buffer_add(struct buffer *b, const void *data, size_t size)
{
	if (b->length + size + 1 > b->capacity) {
		size_t grown = b->capacity ? b->capacity * 2 : 64;

		if (grown < b->length + size + 1)
			grown = b->length + size + 1;
		b->text = xrealloc(b->text, grown, 1);
		b->capacity = grown;
	}
	if (size)
		memcpy(b->text + b->length, data, size);
	b->length += size;
	b->text[b->length] = '\0';
}

void buffer_puts(struct buffer *b, const char *text)
{
	buffer_add(b, text, strlen(text));
}

void buffer_printf(struct buffer *b, const char *fmt, ...)
{
	va_list ap;
	char *text;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	buffer_puts(b, text);
	free(text);
}

void buffer_free(struct buffer *b)
{
	free(b->text);
	*b = (struct buffer){0};
}
