/* fuzz_zip.c - the bytes are taken as a file that torch.save wrote. */
#include "tests/support/fuzz.h"
#include "tests/support/saved.h"
#include "tests/support/weights_fuzz.h"

static const float values[12] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
static const struct saved_tensor tensors[] = {
	{"module.a", "FloatStorage", "0", 12, 0, 2, {3, 4}, {4, 1}},
	{"module.b", "FloatStorage", "0", 12, 2, 2, {4, 2}, {1, 4}},
	{"module.c", "LongStorage", "1", 3, 0, 0, {0}, {0}},
};

static void make_seed(struct saved_zip *zip, void (*put)(struct saved_zip *z, const char *name, const void *data, size_t size), unsigned flags)
{
	struct buffer pickle = {0};

	saved_pickle(&pickle, tensors, 3, SAVED_ZIP);
	put(zip, "archive/data.pkl", pickle.text, pickle.length);
	put(zip, "archive/byteorder", "little", 6);
	put(zip, "archive/data/0", values, sizeof values);
	put(zip, "archive/data/1", values, 24);
	put(zip, "archive/version", "3\n", 2);
	saved_zip_finish(zip, flags);
	buffer_free(&pickle);
}

static void run(const uint8_t *bytes, size_t size)
{
	weights_fuzz("pytorch_model.bin", bytes, size);
}

int main(int argc, char **argv)
{
	struct saved_zip narrow = {0}, wide = {0};
	int result;

	make_seed(&narrow, saved_zip_add, 0);
	make_seed(&wide, saved_zip_add_wide, SAVED_WIDE);
	result = fuzz_main(argc, argv, (struct fuzz_seed[]){{narrow.file.text, narrow.file.length}, {wide.file.text, wide.file.length}}, 2, run);
	saved_zip_free(&narrow);
	saved_zip_free(&wide);
	return result;
}
