/* fuzz_safetensors.c - the bytes are taken as a whole file, and as the JSON header of one whose length field and data are right. */
#include "core/mem.h"
#include "models/checkpoint.h"
#include "tests/support/fuzz.h"

#include <stdlib.h>
#include <string.h>

enum { DATA = 64 };

#define TENSOR(name, dtype, shape, from, to) "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" from "," to "]}"

static const char small_file[] = "\x40\0\0\0\0\0\0\0{" TENSOR("a", "F32", "[2]", "0", "8") "}          ABCDEFGH";

static const struct fuzz_seed seeds[] = {
	{small_file, sizeof small_file - 1},
	FUZZ_TEXT("{" TENSOR("x.weight", "F32", "[4,2]", "0", "32") "," TENSOR("x.bias", "F16", "[16]", "32", "64") "}"),
	FUZZ_TEXT("{\"__metadata__\":{\"format\":\"pt\"}," TENSOR("s", "F64", "[]", "0", "8") "," TENSOR(
		"none", "BF16", "[0,3]", "8", "8") "," TENSOR("ids", "I64", "[1,7]", "8", "64") "}"),
	FUZZ_TEXT("{" TENSOR("odd", "U8", "[1]", "0", "1") "," TENSOR("moved", "I16", "[31]", "1", "63") "," TENSOR("b", "BOOL", "[1]", "63",
														    "64") "}"),
};

/* Every byte that a view promises is read. */
static void use(const struct checkpoint *c)
{
	unsigned sum = 0;
	int64_t bytes = 0;

	for (int i = 0; i < checkpoint_size(c); i++) {
		const struct checkpoint_tensor *t = checkpoint_at(c, i);
		const unsigned char *data = checkpoint_data(c, t, NULL);
		int64_t count = 1;

		if (!data)
			abort();
		for (int64_t k = 0; k < t->bytes; k++)
			sum += data[k];
		for (int d = 0; d < t->ndim; d++)
			count *= t->shape[d];
		bytes += t->bytes;
		if (checkpoint_find(c, t->name) != t || count != t->count ||
		    (t->count > 0 && (uintptr_t)data % (uintptr_t)(t->bytes / t->count) != 0))
			abort();
		checkpoint_forget(c, t);
	}
	if (bytes != checkpoint_bytes(c) || sum == 0xffffffff)
		abort();
}

static void open_bytes(const uint8_t *bytes, size_t size)
{
	struct error err = {0};
	struct checkpoint *c = checkpoint_open(fuzz_file("model.safetensors", bytes, size), &err);

	if (c)
		use(c);
	else if (err.text[0] == '\0')
		abort();
	checkpoint_close(c);
}

static void run(const uint8_t *bytes, size_t size)
{
	uint8_t *file = xcalloc(8 + size + DATA, 1);

	open_bytes(bytes, size);
	for (int i = 0; i < 8; i++)
		file[i] = (uint8_t)(size >> (8 * i));
	if (size > 0)
		memcpy(file + 8, bytes, size);
	open_bytes(file, 8 + size + DATA);
	free(file);
}

int main(int argc, char **argv)
{
	return fuzz_main(argc, argv, seeds, sizeof seeds / sizeof seeds[0], run);
}
