/* test_checkpoint_saved.c - what torch.save writes, made by hand: good files, and every way in which one can be broken or hostile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/mem.h"
#include "models/checkpoint.h"
#include "tests/support/saved.h"

#include <cmocka.h> /* last: it has a macro called fail */

static char folder[] = "/tmp/test_saved.XXXXXX";
static char path[64];
static const float values[12] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};

static int setup(void **state)
{
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof path, "%s/pytorch_model.bin", folder);
	return 0;
}

static int teardown(void **state)
{
	unlink(path);
	return rmdir(folder);
}

static void write_bytes(const void *data, size_t size)
{
	FILE *f;

	unlink(path); /* some file systems wait for the disk when a file is written over */
	f = fopen(path, "wb");
	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, size, f), size);
	assert_int_equal(fclose(f), 0);
}

static struct checkpoint *opens(void)
{
	struct error err = {0};
	struct checkpoint *c = checkpoint_open(folder, &err);

	if (!c)
		print_error("%s\n", err.text);
	assert_non_null(c);
	return c;
}

static void refuses(enum error_code code, const char *says)
{
	struct error err = {0};
	struct checkpoint *c = checkpoint_open(folder, &err);

	if (c || !strstr(err.text, says) || err.code != code)
		print_error("wanted %d \"%s\", got %s %d \"%s\"\n", code, says, c ? "a checkpoint" : "NULL", err.code, err.text);
	assert_null(c);
	assert_non_null(strstr(err.text, says));
	assert_non_null(strstr(err.text, path));
	assert_int_equal(err.code, code);
}

/* A zip archive of that pickle and one storage, "0", of the values. */
static void write_zip(const struct buffer *pickle)
{
	struct saved_zip zip = {0};

	saved_zip_add(&zip, "archive/data.pkl", pickle->text, pickle->length);
	saved_zip_add(&zip, "archive/data/0", values, sizeof values);
	saved_zip_add(&zip, "archive/version", "3\n", 2);
	saved_zip_finish(&zip, 0);
	write_bytes(zip.file.text, zip.file.length);
	saved_zip_free(&zip);
}

static void write_pickle(const char *bytes, size_t size)
{
	struct buffer pickle = {0};

	buffer_add(&pickle, bytes, size);
	write_zip(&pickle);
	buffer_free(&pickle);
}

static void write_tensor(struct saved_tensor t)
{
	struct buffer pickle = {0};

	saved_pickle(&pickle, &t, 1, SAVED_ZIP);
	write_zip(&pickle);
	buffer_free(&pickle);
}

static const struct saved_tensor three[] = {
	{"whole", "FloatStorage", "0", 12, 0, 2, {3, 4}, {4, 1}},
	{"turned", "FloatStorage", "0", 12, 0, 2, {4, 3}, {1, 4}},
	{"rows", "FloatStorage", "0", 12, 4, 2, {2, 4}, {4, 1}},
};

static const float *floats(const struct checkpoint *c, const char *name)
{
	const struct checkpoint_tensor *t = checkpoint_find(c, name);
	struct error err = {0};
	const float *data;

	assert_non_null(t);
	data = checkpoint_data(c, t, &err);
	if (!data)
		print_error("%s\n", err.text);
	assert_non_null(data);
	return data;
}

static void check_three(void)
{
	static const float turned[] = {0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11};
	struct checkpoint *c = opens();

	assert_int_equal(checkpoint_size(c), 3);
	assert_string_equal(checkpoint_at(c, 0)->name, "whole");
	assert_memory_equal(floats(c, "whole"), values, sizeof values);
	assert_memory_equal(floats(c, "turned"), turned, sizeof turned);
	assert_memory_equal(floats(c, "rows"), values + 4, 32);
	assert_int_equal(checkpoint_find(c, "rows")->shape[0], 2);
	checkpoint_close(c);
}

/* ---- good files */

static void test_zip(void **state)
{
	struct buffer pickle = {0};

	saved_pickle(&pickle, three, 3, SAVED_ZIP);
	write_zip(&pickle);
	buffer_free(&pickle);
	check_three();
}

static void test_zip64(void **state)
{
	struct buffer pickle = {0};
	struct saved_zip zip = {0};

	saved_pickle(&pickle, three, 3, SAVED_ZIP);
	saved_zip_add_wide(&zip, "x/data.pkl", pickle.text, pickle.length);
	saved_zip_add_wide(&zip, "x/data/0", values, sizeof values);
	saved_zip_finish(&zip, SAVED_WIDE);
	write_bytes(zip.file.text, zip.file.length);
	saved_zip_free(&zip);
	buffer_free(&pickle);
	check_three();
}

static void make_legacy(struct buffer *file)
{
	static const char *const keys[] = {"0"};
	struct buffer pickle = {0};

	saved_pickle(&pickle, three, 3, SAVED_LEGACY);
	saved_legacy(file, &pickle, keys, 1);
	saved_storage(file, 12, values, sizeof values);
	buffer_free(&pickle);
}

/* At every address modulo 4, by the length of a name. */
static void test_legacy(void **state)
{
	struct buffer file = {0};

	make_legacy(&file);
	write_bytes(file.text, file.length);
	check_three();
	buffer_free(&file);
	for (size_t n = 1; n <= 4; n++) {
		static const char *const keys[] = {"0"};
		struct saved_tensor t = three[0];
		struct buffer pickle = {0};
		struct checkpoint *c;

		t.name = &"aaaa"[4 - n];
		saved_pickle(&pickle, &t, 1, SAVED_LEGACY);
		saved_legacy(&file, &pickle, keys, 1);
		saved_storage(&file, 12, values, sizeof values);
		write_bytes(file.text, file.length);
		c = opens();
		assert_int_equal((uintptr_t)floats(c, t.name) % sizeof(float), 0);
		assert_memory_equal(floats(c, t.name), values, sizeof values);
		checkpoint_close(c);
		buffer_free(&pickle);
		buffer_free(&file);
	}
}

/* A copy stays as long as anyone holds it. */
static void test_holds(void **state)
{
	struct buffer file = {0};
	struct checkpoint *c;
	const float *first, *second;

	make_legacy(&file);
	write_bytes(file.text, file.length);
	buffer_free(&file);
	c = opens();
	first = floats(c, "turned");
	second = floats(c, "turned");
	assert_ptr_equal(first, second);
	checkpoint_forget(c, checkpoint_find(c, "turned"));
	assert_true(first[1] == 4);
	checkpoint_forget(c, checkpoint_find(c, "turned"));
	checkpoint_forget(c, checkpoint_find(c, "turned"));
	assert_true(floats(c, "turned")[1] == 4);
	checkpoint_close(c);
}

/* A state_dict in another dictionary, names with "module." before them. */
static void test_wrapped(void **state)
{
	struct saved_tensor t = three[0];
	struct buffer pickle = {0};
	struct checkpoint *c;

	t.name = "module.a";
	buffer_puts(&pickle, "\x80\2}(");
	saved_text(&pickle, "epoch");
	saved_number(&pickle, 3);
	saved_text(&pickle, "model");
	buffer_puts(&pickle, "}");
	saved_text(&pickle, t.name);
	saved_tensor(&pickle, &t, SAVED_ZIP);
	buffer_puts(&pickle, "su.");
	write_zip(&pickle);
	buffer_free(&pickle);
	c = opens();
	assert_memory_equal(floats(c, "a"), values, sizeof values);
	checkpoint_close(c);
}

/* ---- broken archives */

static void make_zip(struct buffer *out)
{
	struct buffer pickle = {0};
	struct saved_zip zip = {0};

	saved_pickle(&pickle, three, 3, SAVED_ZIP);
	saved_zip_add(&zip, "archive/data.pkl", pickle.text, pickle.length);
	saved_zip_add(&zip, "archive/data/0", values, sizeof values);
	saved_zip_finish(&zip, 0);
	*out = zip.file;
	buffer_free(&zip.directory);
	buffer_free(&pickle);
}

static size_t find(const struct buffer *b, const char *what, size_t n, size_t from)
{
	const char *at = memmem(b->text + from, b->length - from, what, n);

	assert_non_null(at);
	return (size_t)(at - b->text);
}

static void test_truncated_zip(void **state)
{
	struct buffer file;

	make_zip(&file);
	for (size_t n = 4; n < file.length; n++) {
		write_bytes(file.text, n);
		refuses(E_FORMAT, n < 10 ? "" : "truncated: the directory at the end");
	}
	buffer_free(&file);
}

/* A flipped bit in a storage is found before its values are used, one in the pickle at once. */
static void test_checksums(void **state)
{
	struct buffer file;
	struct error err = {0};
	struct checkpoint *c;

	make_zip(&file);
	file.text[find(&file, (const char *)values, sizeof values, 0) + 21] ^= 1;
	write_bytes(file.text, file.length);
	c = opens();
	assert_null(checkpoint_data(c, checkpoint_find(c, "rows"), &err));
	assert_int_equal(err.code, E_FORMAT);
	assert_non_null(strstr(err.text, "archive/data/0 is damaged"));
	checkpoint_close(c);
	file.text[find(&file, "whole", 5, 0)] = 'W';
	write_bytes(file.text, file.length);
	refuses(E_FORMAT, "data.pkl is damaged");
	buffer_free(&file);
}

/* One field of data.pkl's entry in the directory is changed. */
static void patched(size_t field, int value, enum error_code code, const char *says)
{
	struct buffer file;

	make_zip(&file);
	file.text[find(&file, "PK\1\2", 4, 0) + field] = (char)value;
	write_bytes(file.text, file.length);
	refuses(code, says);
	buffer_free(&file);
}

static void test_members(void **state)
{
	patched(8, 1, E_MODEL, "archive/data.pkl is encrypted");
	patched(10, 8, E_MODEL, "archive/data.pkl is compressed");
	patched(20, 0x77, E_FORMAT, "reaches beyond the file");
	patched(42, 3, E_FORMAT, "not where the directory says");
	patched(45, 0x7f, E_FORMAT, "not where the directory says");
	patched(46, 'b', E_FORMAT, "another name");
	patched(28, 0x77, E_FORMAT, "");
	patched(3, 9, E_FORMAT, "its directory is damaged");
}

static void test_other_archives(void **state)
{
	struct saved_zip zip = {0};
	struct buffer pickle = {0};

	saved_zip_add(&zip, "word/document.xml", "<a/>", 4);
	saved_zip_finish(&zip, 0);
	write_bytes(zip.file.text, zip.file.length);
	refuses(E_FORMAT, "not one that torch.save wrote");
	saved_zip_free(&zip);
	saved_pickle(&pickle, three, 3, SAVED_ZIP);
	saved_zip_add(&zip, "a/data.pkl", pickle.text, pickle.length);
	saved_zip_finish(&zip, 0);
	write_bytes(zip.file.text, zip.file.length);
	refuses(E_FORMAT, "no data/0");
	saved_zip_free(&zip);
	saved_zip_add(&zip, "a/data.pkl", pickle.text, pickle.length);
	saved_zip_add(&zip, "a/data/0", values, sizeof values - 4);
	saved_zip_finish(&zip, 0);
	write_bytes(zip.file.text, zip.file.length);
	refuses(E_FORMAT, "has 44 bytes, 48 were promised");
	saved_zip_free(&zip);
	saved_zip_add(&zip, "a/data.pkl", pickle.text, pickle.length);
	saved_zip_add(&zip, "a/byteorder", "big", 3);
	saved_zip_finish(&zip, 0);
	write_bytes(zip.file.text, zip.file.length);
	refuses(E_MODEL, "big-endian");
	saved_zip_free(&zip);
	buffer_free(&pickle);
}

/* ---- hostile pickles */

static void test_bounds(void **state)
{
	const struct saved_tensor t = three[0];
	struct saved_tensor x;

#define REFUSES(says, ...)                   \
	x = t, __VA_ARGS__, write_tensor(x); \
	refuses(E_FORMAT, says)
	REFUSES("reaches to element 12 of a storage of 12", x.offset = 1);
	REFUSES("reaches to element 15 of", x.shape[0] = 4);
	REFUSES("reaches to element 111 of", x.stride[0] = 54);
	REFUSES("of 40 elements over a storage of 12", x.shape[0] = 10, x.stride[0] = 0);
	REFUSES("not a number of elements", x.shape[0] = -3);
	REFUSES("not a number of elements", x.stride[1] = -1);
	REFUSES("not a number of elements", x.offset = -1);
	REFUSES("impossible size", x.shape[0] = x.shape[1] = INT64_MAX / 2);
	REFUSES("impossible size", x.stride[0] = INT64_MAX);
	REFUSES("9 dimensions", x.ndim = 9);
	REFUSES("storage of impossible size", x.stored = INT64_MAX / 2);
	REFUSES("storage of impossible size", x.stored = -12);
	REFUSES("has 48 bytes, 8000 were promised", x.stored = 2000);
	REFUSES("has 48 bytes, 96 were promised", x.storage = "DoubleStorage");
	REFUSES("no data/1", x.key = "1");
	REFUSES("no data/../0", x.key = "../0");
#undef REFUSES
}

#define PICKLE(text) write_pickle(text, sizeof(text) - 1)

static void test_globals(void **state)
{
	PICKLE("\x80\2cposix\nsystem\nX\4\0\0\0echo\x85R.");
	refuses(E_MODEL, "names posix.system");
	PICKLE("\x80\4\x8c\5posix\x8c\6system\x93.");
	refuses(E_MODEL, "names posix.system");
	PICKLE("\x80\2cbuiltins\ngetattr\n.");
	refuses(E_MODEL, "names builtins.getattr");
	PICKLE("\x80\2ctorch.nn.modules.linear\nLinear\n)\x81.");
	refuses(E_MODEL, "torch.nn.modules.linear.Linear");
	PICKLE("\x80\2ctorch._utils\n_rebuild_qtensor\n.");
	refuses(E_MODEL, "_rebuild_qtensor");
	PICKLE("\x80\2ctorch\nComplexFloatStorage\n.");
	refuses(E_MODEL, "torch.ComplexFloatStorage");
	PICKLE("\x80\2c__torch__x\nM\n.");
	refuses(E_MODEL, "__torch__x.M");
	PICKLE("\x80\2ctorch\nevil\x1b[31m\n.");
	refuses(E_MODEL, "torch.evil\\x1B[31m");
}

static void test_machine(void **state)
{
	PICKLE("");
	refuses(E_FORMAT, "ends too early");
	PICKLE("\x80\2}");
	refuses(E_FORMAT, "ends too early");
	PICKLE("\x80\2.");
	refuses(E_FORMAT, "ends with 0 values");
	PICKLE("\x80\2NN.");
	refuses(E_FORMAT, "ends with 2 values");
	PICKLE("\x80\2(N.");
	refuses(E_FORMAT, "ends with 1 values");
	PICKLE("\x80\2(tR.");
	refuses(E_FORMAT, "stack is empty");
	PICKLE("\x80\2)R.");
	refuses(E_FORMAT, "stack is empty");
	PICKLE("\x80\2N(s.");
	refuses(E_FORMAT, "stack is empty");
	PICKLE("\x80\2t.");
	refuses(E_FORMAT, "a mark is missing");
	PICKLE("\x80\2}(Nu.");
	refuses(E_FORMAT, "a key without a value");
	PICKLE("\x80\2](NNu.");
	refuses(E_FORMAT, "no dictionary");
	PICKLE("\x80\2}Na.");
	refuses(E_FORMAT, "no list");
	PICKLE("\x80\2h\5.");
	refuses(E_FORMAT, "holds nothing");
	PICKLE("\x80\2Nr\xff\xff\xff\x7f.");
	refuses(E_FORMAT, "far behind");
	PICKLE("\x80\2X\xff\xff\xff\xffhello.");
	refuses(E_FORMAT, "ends too early");
	PICKLE("\x80\2\x8d\xff\xff\xff\xff\xff\xff\xff\xffhello.");
	refuses(E_FORMAT, "ends too early");
	PICKLE("\x80\2icollections\nOrderedDict\n.");
	refuses(E_FORMAT, "opcode 0x69");
	PICKLE("\x80\2NQ.");
	refuses(E_FORMAT, "no storage");
	PICKLE("\x80\2ccollections");
	refuses(E_FORMAT, "does not end");
	PICKLE("\x80\2NNR.");
	refuses(E_FORMAT, "no function");
	PICKLE("\x80\2ctorch\nFloatStorage\n)R.");
	refuses(E_FORMAT, "no function");
	PICKLE("\x80\2N)\x81.");
	refuses(E_FORMAT, "no class");
	PICKLE("\x80\2N}b.");
	refuses(E_FORMAT, "state");
}

static void test_contents(void **state)
{
	PICKLE("\x80\2N.");
	refuses(E_MODEL, "no dictionary of tensors");
	PICKLE("\x80\2}.");
	refuses(E_MODEL, "without tensors (it is empty)");
	PICKLE("\x80\2}(X\5\0\0\0epochK\3X\2\0\0\0lrNu.");
	refuses(E_MODEL, "without tensors (epoch, lr)");
	PICKLE("\x80\2c__torch__\nM\n)\x81}b.");
	refuses(E_MODEL, "a module without tensors");
	PICKLE("\x80\2}q\0X\5\0\0\0modelh\0s."); /* holds itself */
	refuses(E_MODEL, "without tensors (model)");
	PICKLE("\x80\2c__torch__\nM\n)\x81q\0}X\1\0\0\0ah\0sb."); /* so does a module */
	refuses(E_MODEL, "a module without tensors");
}

/* 60 modules, each with the next one twice: 2^60 paths lead to the tensor. */
static void test_shared_modules(void **state)
{
	struct buffer pickle = {0};

	buffer_puts(&pickle, "\x80\2");
	for (int i = 0; i < 60; i++) {
		buffer_puts(&pickle, "c__torch__\nM\n)\x81}(");
		saved_text(&pickle, "a");
	}
	saved_tensor(&pickle, three, SAVED_ZIP);
	for (int i = 0; i < 60; i++) {
		buffer_printf(&pickle, "q%c", 'A' + i);
		saved_text(&pickle, "b");
		buffer_printf(&pickle, "h%cub", 'A' + i);
	}
	buffer_puts(&pickle, ".");
	write_zip(&pickle);
	buffer_free(&pickle);
	refuses(E_LIMIT, "share their parts");
}

static void test_budget(void **state)
{
	enum { MANY = 4000000 };
	struct buffer pickle = {0};
	char *dicts = xmalloc(MANY);

	memset(dicts, '}', MANY);
	buffer_puts(&pickle, "\x80\2");
	buffer_add(&pickle, dicts, MANY);
	write_zip(&pickle);
	refuses(E_LIMIT, "more memory than weights ever do");
	buffer_free(&pickle);
	free(dicts);
}

static void test_duplicate(void **state)
{
	const struct saved_tensor twice[] = {three[0], three[0]};
	struct buffer pickle = {0};

	saved_pickle(&pickle, twice, 2, SAVED_ZIP);
	write_zip(&pickle);
	buffer_free(&pickle);
	refuses(E_FORMAT, "holds whole twice");
}

/* ---- the older format */

static void test_truncated_legacy(void **state)
{
	struct buffer file = {0};

	make_legacy(&file);
	for (size_t n = 2; n < file.length; n++) {
		write_bytes(file.text, n);
		refuses(E_FORMAT, n + 1 + sizeof values < file.length ? "" : "truncated");
	}
	buffer_free(&file);
}

static void test_broken_legacy(void **state)
{
	static const char *const other[] = {"1"}, *const twice[] = {"0", "0"};
	struct buffer pickle = {0}, file = {0};

	saved_pickle(&pickle, three, 3, SAVED_LEGACY);
	saved_legacy(&file, &pickle, other, 1);
	saved_storage(&file, 12, values, sizeof values);
	write_bytes(file.text, file.length);
	refuses(E_FORMAT, "not that of its tensors");
	buffer_free(&file);
	saved_legacy(&file, &pickle, twice, 2);
	saved_storage(&file, 12, values, sizeof values);
	saved_storage(&file, 12, values, sizeof values);
	write_bytes(file.text, file.length);
	refuses(E_FORMAT, "not that of its tensors");
	buffer_free(&file);
	saved_legacy(&file, &pickle, twice, 0);
	write_bytes(file.text, file.length);
	refuses(E_FORMAT, "not in its list");
	buffer_free(&file);
	saved_legacy(&file, &pickle, twice, 1);
	saved_storage(&file, INT64_MAX, values, sizeof values);
	write_bytes(file.text, file.length);
	refuses(E_FORMAT, "truncated: a storage of 9223372036854775807 elements");
	buffer_free(&file);
	buffer_free(&pickle);
	write_bytes("\x80\2}.", 4);
	refuses(E_FORMAT, "a pickle, but not one that torch.save wrote");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_zip),
		cmocka_unit_test(test_zip64),
		cmocka_unit_test(test_legacy),
		cmocka_unit_test(test_holds),
		cmocka_unit_test(test_wrapped),
		cmocka_unit_test(test_truncated_zip),
		cmocka_unit_test(test_checksums),
		cmocka_unit_test(test_members),
		cmocka_unit_test(test_other_archives),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_globals),
		cmocka_unit_test(test_machine),
		cmocka_unit_test(test_contents),
		cmocka_unit_test(test_shared_modules),
		cmocka_unit_test(test_budget),
		cmocka_unit_test(test_duplicate),
		cmocka_unit_test(test_truncated_legacy),
		cmocka_unit_test(test_broken_legacy),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
