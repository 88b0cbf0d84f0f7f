/* saved.c - see saved.h. */
#include "tests/support/saved.h"

#include <string.h>

#include <zlib.h>

enum { ALIGN = 64, LOCAL = 30 };

static void byte(struct buffer *out, int value)
{
	buffer_add(out, &(unsigned char){(unsigned char)value}, 1);
}

static void le(struct buffer *out, uint64_t value, int size)
{
	for (int i = 0; i < size; i++)
		byte(out, i < 8 ? (int)(value >> (8 * i) & 0xff) : 0);
}

/* ---- pickles */

void saved_text(struct buffer *out, const char *text)
{
	byte(out, 'X');
	le(out, strlen(text), 4);
	buffer_puts(out, text);
}

void saved_number(struct buffer *out, int64_t value)
{
	if (value >= INT32_MIN && value <= INT32_MAX) {
		byte(out, 'J');
		le(out, (uint64_t)value, 4);
	} else {
		byte(out, 0x8a);
		byte(out, 8);
		le(out, (uint64_t)value, 8);
	}
}

static void numbers(struct buffer *out, const int64_t *values, int n)
{
	byte(out, '(');
	for (int i = 0; i < n; i++)
		saved_number(out, values[i]);
	byte(out, 't');
}

static void global(struct buffer *out, const char *module, const char *name)
{
	buffer_printf(out, "c%s\n%s\n", module, name);
}

static void empty_ordered(struct buffer *out)
{
	global(out, "collections", "OrderedDict");
	buffer_puts(out, ")R");
}

void saved_tensor(struct buffer *out, const struct saved_tensor *t, enum saved_format format)
{
	global(out, "torch._utils", "_rebuild_tensor_v2");
	buffer_puts(out, "((");
	saved_text(out, "storage");
	global(out, "torch", t->storage);
	saved_text(out, t->key);
	saved_text(out, "cpu");
	saved_number(out, t->stored);
	buffer_puts(out, format == SAVED_LEGACY ? "NtQ" : "tQ");
	saved_number(out, t->offset);
	numbers(out, t->shape, t->ndim);
	numbers(out, t->stride, t->ndim);
	byte(out, 0x89); /* False */
	empty_ordered(out);
	buffer_puts(out, "tR");
}

void saved_pickle(struct buffer *out, const struct saved_tensor *tensors, int n, enum saved_format format)
{
	buffer_puts(out, "\x80\2");
	empty_ordered(out);
	buffer_puts(out, "q");
	byte(out, 0);
	byte(out, '(');
	for (int i = 0; i < n; i++) {
		saved_text(out, tensors[i].name);
		saved_tensor(out, &tensors[i], format);
	}
	buffer_puts(out, "u}");
	saved_text(out, "_metadata");
	empty_ordered(out);
	buffer_puts(out, "sb.");
}

/* ---- zip */

static void add(struct saved_zip *z, const char *name, const void *data, size_t size, bool wide)
{
	size_t at = z->file.length, length = strlen(name), pad = (ALIGN - (at + LOCAL + length + 4) % ALIGN) % ALIGN + 4;
	uint32_t crc = (uint32_t)crc32_z(0, data, size);

	buffer_add(&z->file, "PK\3\4\0\0\x8\x8\0\0\0\0\0\0", 14);
	le(&z->file, 0, 12); /* checksum and sizes: in the directory */
	le(&z->file, length, 2);
	le(&z->file, pad, 2);
	buffer_puts(&z->file, name);
	le(&z->file, 0x4246 | (uint64_t)(pad - 4) << 16, 4);
	for (size_t i = 4; i < pad; i++)
		byte(&z->file, 'Z');
	buffer_add(&z->file, data, size);
	buffer_add(&z->directory, "PK\1\2\0\0\0\0\x8\x8\0\0\0\0\0\0", 16);
	le(&z->directory, crc, 4);
	le(&z->directory, wide ? UINT32_MAX : size, 4);
	le(&z->directory, wide ? UINT32_MAX : size, 4);
	le(&z->directory, length, 2);
	le(&z->directory, wide ? 28 : 0, 2);
	le(&z->directory, 0, 10);
	le(&z->directory, wide ? UINT32_MAX : at, 4);
	buffer_puts(&z->directory, name);
	if (wide) {
		le(&z->directory, 1 | 24 << 16, 4);
		le(&z->directory, size, 8);
		le(&z->directory, size, 8);
		le(&z->directory, at, 8);
	}
	z->n++;
}

void saved_zip_add(struct saved_zip *z, const char *name, const void *data, size_t size)
{
	add(z, name, data, size, false);
}

void saved_zip_add_wide(struct saved_zip *z, const char *name, const void *data, size_t size)
{
	add(z, name, data, size, true);
}

void saved_zip_finish(struct saved_zip *z, unsigned flags)
{
	size_t at = z->file.length, end = at + z->directory.length;
	bool wide = flags & SAVED_WIDE;

	buffer_add(&z->file, z->directory.text, z->directory.length);
	if (wide) {
		buffer_puts(&z->file, "PK\6\6");
		le(&z->file, 44, 8);
		le(&z->file, 0, 12);
		le(&z->file, (uint64_t)z->n, 8);
		le(&z->file, (uint64_t)z->n, 8);
		le(&z->file, z->directory.length, 8);
		le(&z->file, at, 8);
		buffer_puts(&z->file, "PK\6\7");
		le(&z->file, 0, 4);
		le(&z->file, end, 8);
		le(&z->file, 1, 4);
	}
	buffer_puts(&z->file, "PK\5\6");
	le(&z->file, 0, 4);
	le(&z->file, wide ? UINT16_MAX : (uint64_t)z->n, 2);
	le(&z->file, wide ? UINT16_MAX : (uint64_t)z->n, 2);
	le(&z->file, wide ? UINT32_MAX : z->directory.length, 4);
	le(&z->file, wide ? UINT32_MAX : at, 4);
	le(&z->file, 0, 2);
}

void saved_zip_free(struct saved_zip *z)
{
	buffer_free(&z->file);
	buffer_free(&z->directory);
	z->n = 0;
}

/* ---- the older format */

void saved_legacy(struct buffer *out, const struct buffer *pickle, const char *const *keys, int n)
{
	buffer_puts(out, "\x80\2\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.");
	buffer_add(out, "\x80\2M\xe9\3.\x80\2}", 9);
	saved_text(out, "little_endian");
	buffer_puts(out, "\x88s.");
	buffer_add(out, pickle->text, pickle->length);
	buffer_puts(out, "\x80\2](");
	for (int i = 0; i < n; i++)
		saved_text(out, keys[i]);
	buffer_puts(out, "e.");
}

void saved_storage(struct buffer *out, int64_t count, const void *data, size_t size)
{
	le(out, (uint64_t)count, 8);
	buffer_add(out, data, size);
}
