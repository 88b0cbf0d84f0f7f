/* error.c - see error.h. */
#include "core/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/utf8.h"

static void set_text(struct error *err, char *raw)
{
	utf8_escape(raw, strlen(raw), err->text, sizeof err->text);
	free(raw);
}

int fail(struct error *err, enum error_code code, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return -1;
	err->code = code;
	va_start(ap, fmt);
	set_text(err, xvasprintf(fmt, ap));
	va_end(ap);
	return -1;
}

int fail_prefix(struct error *err, const char *fmt, ...)
{
	va_list ap;
	char *prefix;

	if (!err)
		return -1;
	va_start(ap, fmt);
	prefix = xvasprintf(fmt, ap);
	va_end(ap);
	set_text(err, xasprintf("%s: %s", prefix, err->text));
	free(prefix);
	return -1;
}
