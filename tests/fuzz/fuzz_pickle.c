/* fuzz_pickle.c - the bytes are taken as the pickle within a zip archive whose directory and checksums are right. */
#include "tests/support/fuzz.h"
#include "tests/support/saved.h"
#include "tests/support/weights_fuzz.h"

static const float values[96];
static const struct saved_tensor tensors[] = {
	{"a", "FloatStorage", "0", 96, 0, 2, {3, 4}, {4, 1}},
	{"b.weight", "HalfStorage", "1", 192, 2, 3, {4, 2, 2}, {1, 40, 4}},
	{"b.bias", "DoubleStorage", "1", 48, 0, 0, {0}, {0}},
	{"empty", "BoolStorage", "0", 384, 0, 2, {0, 5}, {5, 1}},
};
static const struct saved_tensor openai[] = {
	{"visual.conv1.weight", "FloatStorage", "0", 96, 0, 4, {2, 3, 2, 2}, {12, 4, 2, 1}},
	{"visual.transformer.resblocks.0.attn.in_proj_weight", "FloatStorage", "0", 96, 0, 2, {6, 2}, {2, 1}},
	{"visual.transformer.resblocks.0.attn.in_proj_bias", "FloatStorage", "1", 96, 5, 1, {6}, {2}},
	{"text_projection", "FloatStorage", "1", 96, 0, 2, {6, 2}, {2, 1}},
};

static void run(const uint8_t *bytes, size_t size)
{
	struct saved_zip zip = {0};

	saved_zip_add(&zip, "archive/data.pkl", bytes, size);
	saved_zip_add(&zip, "archive/data/0", values, sizeof values);
	saved_zip_add(&zip, "archive/data/1", values, sizeof values);
	saved_zip_finish(&zip, 0);
	weights_fuzz("pytorch_model.bin", (const uint8_t *)zip.file.text, zip.file.length);
	saved_zip_free(&zip);
}

/* A module within a module, as TorchScript has them, with lists, numbers and a tuple beside. */
static void make_script(struct buffer *out)
{
	buffer_puts(out, "\x80\2c__torch__.nn\nTop\nq");
	buffer_add(out, "\0)\x81q\1}(", 7);
	saved_text(out, "inner");
	buffer_puts(out, "c__torch__.nn\nInner\n)\x81}(");
	saved_text(out, "weight");
	saved_tensor(out, &tensors[0], SAVED_ZIP);
	saved_text(out, "training");
	buffer_puts(out, "\x88ub");
	saved_text(out, "list");
	buffer_puts(out, "ctorch.jit._pickle\nbuild_intlist\n](K\1K\2e\x85R");
	saved_text(out, "self");
	buffer_puts(out, "h\1");
	saved_text(out, "scale");
	buffer_add(out, "G?\xf0\0\0\0\0\0\0NN\x86N\x87ub.", 17);
}

int main(int argc, char **argv)
{
	struct buffer seeds[4] = {0};
	struct fuzz_seed list[4];
	int result;

	saved_pickle(&seeds[0], tensors, 4, SAVED_ZIP);
	saved_pickle(&seeds[1], openai, 4, SAVED_ZIP);
	make_script(&seeds[2]);
	buffer_puts(&seeds[3], "\x80\4\x8c\13collections\x8c\13OrderedDict\x93\x94)R\x94(\x8c\5model\x94}\x94\x8c\1x\x94");
	saved_tensor(&seeds[3], &tensors[1], SAVED_ZIP);
	buffer_puts(&seeds[3], "s\x8c\1y\x94\x8fu.");
	for (int i = 0; i < 4; i++)
		list[i] = (struct fuzz_seed){seeds[i].text, seeds[i].length};
	result = fuzz_main(argc, argv, list, 4, run);
	for (int i = 0; i < 4; i++)
		buffer_free(&seeds[i]);
	return result;
}
