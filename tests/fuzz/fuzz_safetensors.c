/* fuzz_safetensors.c - the bytes are taken as a whole file, and as the JSON header of one whose length field and data are right. */
#include "core/mem.h"
#include "tests/support/fuzz.h"
#include "tests/support/weights_fuzz.h"

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

static void run(const uint8_t *bytes, size_t size)
{
	uint8_t *file = xcalloc(8 + size + DATA, 1);

	weights_fuzz("model.safetensors", bytes, size);
	for (int i = 0; i < 8; i++)
		file[i] = (uint8_t)(size >> (8 * i));
	if (size > 0)
		memcpy(file + 8, bytes, size);
	weights_fuzz("model.safetensors", file, 8 + size + DATA);
	free(file);
}

int main(int argc, char **argv)
{
	return fuzz_main(argc, argv, seeds, sizeof seeds / sizeof seeds[0], run);
}
