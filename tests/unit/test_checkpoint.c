/* test_checkpoint.c - safetensors files: good ones, and every way in which one can be broken. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"
#include "models/checkpoint.h"

#include <cmocka.h> /* last: it has a macro called fail */

enum { NOBODY = 65534 };

static char folder[] = "/tmp/test_checkpoint.XXXXXX";
static char path[64];

static int setup(void **state)
{
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof path, "%s/model.safetensors", folder);
	return 0;
}

static int teardown(void **state)
{
	unlink(path);
	return rmdir(folder);
}

static void write_bytes(const void *data, size_t size)
{
	FILE *f = fopen(path, "wb");

	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, size, f), size);
	assert_int_equal(fclose(f), 0);
}

/* A file of the given header text and data_size bytes 0, 1, 2 …; promised: the header length to write, -1 = the true one. */
static void write_file(const char *header, size_t data_size, int64_t promised)
{
	size_t length = strlen(header), size = 8 + length + data_size;
	unsigned char *bytes = xmalloc(size);
	uint64_t written = promised < 0 ? length : (uint64_t)promised;

	for (int i = 0; i < 8; i++)
		bytes[i] = (unsigned char)(written >> (8 * i));
	memcpy(bytes + 8, header, length);
	for (size_t i = 0; i < data_size; i++)
		bytes[8 + length + i] = (unsigned char)i;
	write_bytes(bytes, size);
	free(bytes);
}

static void refuses_path(const char *where, enum error_code code, const char *says)
{
	struct error err = {0};
	struct checkpoint *c = checkpoint_open(where, &err);

	if (c || !strstr(err.text, says) || !strstr(err.text, folder) || err.code != code)
		print_error("wanted %d \"%s\", got %s %d \"%s\"\n", code, says, c ? "a checkpoint" : "NULL", err.code, err.text);
	assert_null(c);
	assert_int_equal(err.code, code);
	assert_non_null(strstr(err.text, says));
	assert_non_null(strstr(err.text, folder));
}

static void refuses(const char *header, size_t data_size, const char *says)
{
	write_file(header, data_size, -1);
	refuses_path(folder, E_FORMAT, says);
}

static const void *data_of(const struct checkpoint *c, const struct checkpoint_tensor *t)
{
	struct error err;
	const void *data = checkpoint_data(c, t, &err);

	assert_non_null(data);
	return data;
}

static void test_good(void **state)
{
	static const float a[6] = {1, 2, 3, 4, 5, 6};
	static const uint16_t h[3] = {0x3c00, 0, 0xbc00};
	static const float s = 2.5f;
	const struct checkpoint_tensor list[] = {
		{"z.weight", CKPT_F32, 2, {2, 3}, 6, 24, a},
		{"scale", CKPT_F32, 0, {0}, 1, 4, &s},
		{"empty", CKPT_F32, 2, {0, 7}, 0, 0, a},
		{"a \"half\"", CKPT_F16, 1, {3}, 3, 6, h},
	};
	struct error err;
	struct checkpoint *c;
	const struct checkpoint_tensor *t;

	assert_int_equal(checkpoint_write(path, list, 4, &err), 0);
	c = checkpoint_open(folder, &err);
	assert_non_null(c);
	assert_string_equal(checkpoint_path(c), path);
	assert_int_equal(checkpoint_size(c), 4);
	assert_int_equal(checkpoint_bytes(c), 34);
	for (int i = 0; i < 4; i++) {
		t = checkpoint_find(c, list[i].name);
		assert_non_null(t);
		assert_string_equal(t->name, list[i].name);
		assert_int_equal(t->dtype, list[i].dtype);
		assert_int_equal(t->ndim, list[i].ndim);
		assert_memory_equal(t->shape, list[i].shape, (size_t)t->ndim * sizeof *t->shape);
		assert_int_equal(t->count, list[i].count);
		assert_int_equal(t->bytes, list[i].bytes);
		assert_memory_equal(data_of(c, t), list[i].data, (size_t)t->bytes);
	}
	assert_null(checkpoint_find(c, "y"));
	assert_null(checkpoint_find(c, ""));
	t = checkpoint_at(c, 0);
	assert_string_equal(t->name, "z.weight");
	assert_int_equal((uintptr_t)data_of(c, t) % 64, 0);
	checkpoint_forget(c, t);
	assert_memory_equal(data_of(c, t), a, sizeof a);
	checkpoint_close(c);
	c = checkpoint_open(path, &err); /* the file itself */
	assert_non_null(c);
	checkpoint_close(c);
}

static void test_no_tensors(void **state)
{
	struct error err;
	struct checkpoint *c;

	write_file("{\"__metadata__\":{\"format\":\"pt\"}}   ", 0, -1);
	c = checkpoint_open(path, &err);
	assert_non_null(c);
	assert_int_equal(checkpoint_size(c), 0);
	assert_null(checkpoint_find(c, "__metadata__"));
	checkpoint_close(c);
}

/* Every misalignment of the buffer; values must come out aligned and unchanged. */
static void test_misaligned(void **state)
{
	for (int pad = 0; pad < 8; pad++) {
		char header[200];
		struct error err;
		struct checkpoint *c;
		const struct checkpoint_tensor *t;
		float expected;

		snprintf(header, sizeof header,
			 "{\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[1,9]},\"a\":{\"dtype\":\"U8\",\"shape\":[1],"
			 "\"data_offsets\":[0,1]}}%*s",
			 pad, "");
		write_file(header, 9, -1);
		c = checkpoint_open(path, &err);
		assert_non_null(c);
		t = checkpoint_find(c, "b");
		assert_int_equal((uintptr_t)data_of(c, t) % sizeof(float), 0);
		memcpy(&expected, (const unsigned char[]){5, 6, 7, 8}, 4);
		assert_true(((const float *)data_of(c, t))[1] == expected);
		assert_string_equal(checkpoint_at(c, 0)->name, "a");
		checkpoint_forget(c, t);
		assert_true(((const float *)data_of(c, t))[1] == expected);
		checkpoint_close(c);
	}
}

static void test_size(void **state)
{
	write_bytes("", 0);
	refuses_path(folder, E_FORMAT, "the file is empty");
	write_bytes("\1\2\3\4\5\6\7", 7);
	refuses_path(folder, E_FORMAT, "7 bytes are too few");
	write_bytes("\2\0\0\0\0\0\0\0{", 9);
	refuses_path(folder, E_FORMAT, "9 bytes are too few");
	write_bytes("GGUF\3\0\0\0 something else", 23);
	refuses_path(folder, E_FORMAT, "not a safetensors file");
	write_bytes("version https://git-lfs.github.com/spec/v1\noid sha256:1234\n", 59);
	refuses_path(folder, E_FORMAT, "Git LFS");
}

#define ONE(name, dtype, shape, offsets) "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static void test_truncated(void **state)
{
	static const char header[] = "{" ONE("a", "F32", "[4]", "[0,16]") "}";
	char says[120];

	for (size_t have = 0; have < 16; have++) {
		snprintf(says, sizeof says, "truncated: the header promises %zu bytes, the file has %zu", 8 + sizeof header - 1 + 16,
			 8 + sizeof header - 1 + have);
		refuses(header, have, says);
	}
	refuses(header, 17, "1 bytes after the last tensor");
	write_file(header, 16, 1 << 20);
	refuses_path(folder, E_FORMAT, "truncated: the header promises 1048576 bytes of JSON");
	write_file(header, 16, INT64_MAX);
	refuses_path(folder, E_FORMAT, "truncated");
	write_file(header, 16, 20);
	refuses_path(folder, E_FORMAT, "broken header");
}

static void test_header(void **state)
{
	refuses("[1,2,3]  ", 0, "no JSON header");
	refuses("{\"a\":}", 0, "broken header");
	refuses("{\"a\":1}", 0, "not an object");
	refuses("{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "dtype (missing)");
	refuses("{" ONE("a", "F8_E4M3", "[4]", "[0,4]") "}", 4, "dtype F8_E4M3");
	refuses("{" ONE("a", "F32", "[1]", "[0,4]") "," ONE("a", "F32", "[1]", "[4,8]") "}", 8, "duplicate");
	refuses("{\"__metadata__\":3}", 0, "__metadata__");
	refuses("{\"__metadata__\":{\"a\":3}}", 0, "__metadata__.a");
}

static void test_shape(void **state)
{
	refuses("{" ONE("a", "F32", "4", "[0,16]") "}", 16, "shape is not a list");
	refuses("{" ONE("a", "F32", "[-4]", "[0,16]") "}", 16, "not a size");
	refuses("{" ONE("a", "F32", "[4.0]", "[0,16]") "}", 16, "not a size");
	refuses("{" ONE("a", "F32", "[\"4\"]", "[0,16]") "}", 16, "not a size");
	refuses("{" ONE("a", "F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]") "}", 4, "9 dimensions");
	refuses("{" ONE("a", "F32", "[4294967296,4294967296]", "[0,16]") "}", 16, "product overflows");
	refuses("{" ONE("a", "F32", "[4611686018427387904]", "[0,16]") "}", 16, "size overflows");
	refuses("{" ONE("a", "F32", "[99999999999999999999]", "[0,16]") "}", 16, "broken header");
}

static void test_offsets(void **state)
{
	refuses("{" ONE("a", "F32", "[4]", "[0]") "}", 16, "pair of integers");
	refuses("{" ONE("a", "F32", "[4]", "[0,\"16\"]") "}", 16, "pair of integers");
	refuses("{" ONE("a", "F32", "[4]", "{}") "}", 16, "pair of integers");
	refuses("{" ONE("a", "F32", "[4]", "[-16,0]") "}", 16, "make no sense");
	refuses("{" ONE("a", "F32", "[4]", "[16,0]") "}", 16, "make no sense");
	refuses("{" ONE("a", "F32", "[4]", "[0,12]") "}", 16, "span 12 bytes, dtype and shape make 16");
	refuses("{" ONE("a", "F16", "[4]", "[0,16]") "}", 16, "span 16 bytes, dtype and shape make 8");
	refuses("{" ONE("a", "F32", "[1]", "[9223372036854775803,9223372036854775807]") "}", 16, "make no sense");
	refuses("{" ONE("a", "F32", "[1]", "[0,4]") "," ONE("b", "F32", "[1]", "[8,12]") "}", 12, "a hole of 4 bytes before b");
	refuses("{" ONE("a", "F32", "[1]", "[4,8]") "}", 8, "a hole of 4 bytes before a");
	refuses("{" ONE("a", "F32", "[2]", "[0,8]") "," ONE("b", "F32", "[2]", "[4,12]") "}", 12, "b overlaps a");
	refuses("{" ONE("a", "F32", "[2]", "[0,8]") "," ONE("b", "F32", "[2]", "[0,8]") "}", 8, "overlaps");
}

/* Names from the file end in messages: nothing in them may reach a terminal. */
static void test_hostile_name(void **state)
{
	struct error err = {0};

	write_file("{" ONE("\\u001b[31mred", "X", "[4]", "[0,16]") "}", 16, -1);
	assert_null(checkpoint_open(path, &err));
	assert_null(strchr(err.text, 27));
	assert_non_null(strstr(err.text, "\\x1B[31mred"));
}

static void touch(const char *name)
{
	char *file = xasprintf("%s/%s", folder, name);
	FILE *f = fopen(file, "w");

	assert_non_null(f);
	fclose(f);
	free(file);
}

static void forget(const char *name)
{
	char *file = xasprintf("%s/%s", folder, name);

	unlink(file);
	free(file);
}

static void test_folder(void **state)
{
	unlink(path);
	refuses_path(folder, E_MODEL, "no model.safetensors in this folder");
	refuses_path(path, E_IO, strerror(ENOENT));
	touch("x.pt");
	touch("open_clip_pytorch_model.bin");
	refuses_path(folder, E_FORMAT, "/open_clip_pytorch_model.bin: the file is empty");
	touch("pytorch_model.bin");
	refuses_path(folder, E_FORMAT, "/pytorch_model.bin: the file is empty");
	touch("model.safetensors.index.json");
	refuses_path(folder, E_FORMAT, "/model.safetensors.index.json: the file is empty");
	touch("model.safetensors");
	refuses_path(folder, E_FORMAT, "/model.safetensors: the file is empty");
	forget("model.safetensors");
	forget("model.safetensors.index.json");
	forget("pytorch_model.bin");
	forget("open_clip_pytorch_model.bin");
	refuses_path(folder, E_FORMAT, "/x.pt: the file is empty");
	touch("y.pth");
	refuses_path(folder, E_MODEL, "several files of weights");
	forget("x.pt");
	forget("y.pth");
	assert_int_equal(mkfifo(path, 0600), 0);
	refuses_path(folder, E_FORMAT, "not a regular file");
	unlink(path);
}

static void test_permission(void **state)
{
	uid_t user = geteuid();

	write_file("{}", 0, -1);
	assert_int_equal(chmod(folder, 0755), 0);
	assert_int_equal(chmod(path, 0), 0);
	if (user == 0) /* who may read everything */
		assert_int_equal(seteuid(NOBODY), 0);
	refuses_path(folder, E_IO, strerror(EACCES));
	if (user == 0)
		assert_int_equal(seteuid(user), 0);
	assert_int_equal(chmod(path, 0600), 0);
}

static void test_write_refuses(void **state)
{
	static const float v = 1;
	const struct checkpoint_tensor twice[] = {{"a", CKPT_F32, 1, {1}, 1, 4, &v}, {"a", CKPT_F32, 1, {1}, 1, 4, &v}};
	const struct checkpoint_tensor broken[] = {{"a\xff", CKPT_F32, 1, {1}, 1, 4, &v}};
	struct error err;
	char *nowhere = xasprintf("%s/no/such/file", folder);

	assert_int_equal(checkpoint_write(path, twice, 2, &err), -1);
	assert_int_equal(err.code, E_USAGE);
	assert_int_equal(checkpoint_write(path, broken, 1, &err), -1);
	assert_int_equal(err.code, E_USAGE);
	assert_int_equal(checkpoint_write(nowhere, twice, 1, &err), -1);
	assert_int_equal(err.code, E_IO);
	free(nowhere);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),   cmocka_unit_test(test_no_tensors), cmocka_unit_test(test_misaligned),
		cmocka_unit_test(test_size),   cmocka_unit_test(test_truncated),  cmocka_unit_test(test_header),
		cmocka_unit_test(test_shape),  cmocka_unit_test(test_offsets),    cmocka_unit_test(test_hostile_name),
		cmocka_unit_test(test_folder), cmocka_unit_test(test_permission), cmocka_unit_test(test_write_refuses),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
