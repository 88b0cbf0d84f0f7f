/* fuzz_legacy.c - the bytes are taken as a file that torch.save wrote before 1.6. */
#include "tests/support/fuzz.h"
#include "tests/support/saved.h"
#include "tests/support/weights_fuzz.h"

static const float values[12] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
static const struct saved_tensor tensors[] = {
	{"a", "FloatStorage", "0", 12, 0, 2, {3, 4}, {4, 1}},
	{"b", "FloatStorage", "0", 12, 2, 2, {4, 2}, {1, 4}},
	{"c", "LongStorage", "1", 3, 0, 0, {0}, {0}},
};

static void run(const uint8_t *bytes, size_t size)
{
	weights_fuzz("pytorch_model.bin", bytes, size);
}

int main(int argc, char **argv)
{
	static const char *const keys[] = {"0", "1"};
	struct buffer pickle = {0}, file = {0};
	int result;

	saved_pickle(&pickle, tensors, 3, SAVED_LEGACY);
	saved_legacy(&file, &pickle, keys, 2);
	saved_storage(&file, 12, values, sizeof values);
	saved_storage(&file, 3, values, 24);
	result = fuzz_main(argc, argv, &(struct fuzz_seed){file.text, file.length}, 1, run);
	buffer_free(&pickle);
	buffer_free(&file);
	return result;
}
