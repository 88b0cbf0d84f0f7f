/* test_checkpoint_faults.c - what goes wrong with files on disk, for the files of each layout: each fault has its own words, which name the file. */
#include <fcntl.h>
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
#include "models/json.h"
#include "tests/support/data.h"

#include <cmocka.h> /* last: it has a macro called fail */

enum { NOBODY = 65534 };

static char *folder;
static bool made;

static int setup(void **state)
{
	const char *python = data_python();

	folder = data_dir();
	data_shell("chmod 755 '%s'", folder); /* for nobody, who is to be refused by the file alone */
	made = python && data_runs("OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=1 %s tests/unit/layouts.py %s", python, folder);
	return 0;
}

static int teardown(void **state)
{
	data_remove_dir(folder);
	return 0;
}

/* ---- faults of a file */

static void put(const char *file, const char *text)
{
	FILE *f = fopen(file, "we");

	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

static void make_pointer(const char *file)
{
	put(file,
	    "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 9\n");
}

static void make_page(const char *file)
{
	put(file, "<!DOCTYPE html>\n<html lang=\"en\"><head><title>502 Bad Gateway</title></head><body>nginx</body></html>\n");
}

static void make_answer(const char *file)
{
	put(file, "{\"error\":\"Access to model meta/x is restricted.\"}");
}

static void make_empty(const char *file)
{
	put(file, "");
}

/* What is left when a download ends early. */
static void cut(const char *file, off_t off)
{
	struct stat st;

	assert_int_equal(stat(file, &st), 0);
	assert_true(st.st_size > off);
	assert_int_equal(truncate(file, off > 0 ? st.st_size - off : st.st_size / 2), 0);
}

static void cut_half(const char *file)
{
	cut(file, 0);
}

static void cut_one(const char *file)
{
	cut(file, 1);
}

static void make_folder(const char *file)
{
	data_shell("rm '%s' && mkdir '%s'", file, file);
}

static void make_dangling(const char *file)
{
	data_shell("rm '%s' && ln -s ../../blobs/0123456789 '%s'", file, file);
}

static void make_private(const char *file)
{
	assert_int_equal(chmod(file, 0), 0);
}

static const struct fault {
	void (*make)(const char *file);
	enum error_code code;
	const char *says;
} faults[] = {
	{make_pointer, E_FORMAT, "a Git LFS pointer, not the weights; fetch them with `git lfs pull`"},
	{make_page, E_FORMAT, "a web page saved as weights"},
	{make_answer, E_FORMAT, "a text, not weights; download it again. It begins: \"{\"error\":\"Access to model"},
	{make_empty, E_FORMAT, "the file is empty; download it again"},
	{cut_half, E_FORMAT, "truncated"},
	{cut_one, E_FORMAT, "truncated"},
	{make_folder, E_FORMAT, "a folder where a file of weights should be"},
	{make_dangling, E_IO, "a link to ../../blobs/0123456789, which is not there"},
	{make_private, E_IO, "Permission denied: this user may not read it"},
};

/* Opened as nobody where root could read what is forbidden. */
static void refuses(const char *path, enum error_code code, const char *says, const char *names)
{
	uid_t user = geteuid();
	struct error err = {0};
	struct checkpoint *c;

	if (user == 0)
		assert_int_equal(seteuid(NOBODY), 0);
	c = checkpoint_open(path, &err);
	if (user == 0)
		assert_int_equal(seteuid(user), 0);
	if (c || err.code != code || !strstr(err.text, says) || !strstr(err.text, names))
		print_error("wanted %d \"%s\" of %s, got %s %d \"%s\"\n", code, says, names, c ? "a checkpoint" : "NULL", err.code, err.text);
	assert_null(c);
	assert_int_equal(err.code, code);
	assert_non_null(strstr(err.text, says));
	assert_non_null(strstr(err.text, names));
}

static const struct layout {
	const char *name, *file; /* of several: one in the middle */
	bool split;
} layouts[] = {
	{"safetensors", "model.safetensors", false}, {"shards", "model-00002-of-00003.safetensors", true},
	{"zip", "pytorch_model.bin", false},         {"bins", "pytorch_model-00002-of-00003.bin", true},
	{"legacy", "pytorch_model.bin", false},      {"script", "weights.pt", false},
	{"training", "epoch_3.pt", false},           {"parameters", "weights.pth", false},
};
enum { LAYOUTS = sizeof layouts / sizeof layouts[0], FAULTS = sizeof faults / sizeof faults[0] };

/* A copy of the layout's folder, to be spoiled; the caller frees both paths. */
static char *copy_layout(const struct layout *l, char **file)
{
	char *copy = xasprintf("%s/spoiled", folder);

	data_shell("rm -rf '%s' && cp -r '%s/plain-%s' '%s'", copy, folder, l->name, copy);
	*file = xasprintf("%s/%s", copy, l->file);
	return copy;
}

static void test_files(void **state)
{
	data_needs_python(made);
	for (int i = 0; i < LAYOUTS; i++) {
		for (int k = 0; k < FAULTS; k++) {
			char *file, *copy = copy_layout(&layouts[i], &file);

			faults[k].make(file);
			refuses(copy, faults[k].code, faults[k].says, file);
			free(copy);
			free(file);
		}
	}
}

static void test_missing(void **state)
{
	data_needs_python(made);
	for (int i = 0; i < LAYOUTS; i++) {
		char *file, *copy = copy_layout(&layouts[i], &file);

		unlink(file);
		refuses(copy, E_MODEL,
			layouts[i].split ? "missing: one of the files that the weights are split over" : "no model.safetensors in this folder",
			layouts[i].split ? file : copy);
		free(copy);
		free(file);
	}
}

/* ---- folders that hold something else */

static const struct {
	const char *files; /* for touch */
	const char *says;
} others[] = {
	{"config.json tf_model.h5", "weights for TensorFlow only (tf_model.h5); PyTorch's are needed: model.safetensors or pytorch_model.bin"},
	{"config.json flax_model.msgpack tf_model.h5 tf_model.h5.index.json",
	 "weights for Flax and TensorFlow only (flax_model.msgpack, tf_model.h5, "},
	{"onnx model_quantized.onnx", "weights for ONNX only (model_quantized.onnx, onnx)"},
	{"mmproj.gguf ggml-model-q4.gguf", "weights for llama.cpp only (ggml-model-q4.gguf, mmproj.gguf)"},
	{"config.json model.safetensors.part", "only model.safetensors.part: a download that was interrupted"},
	{"blobs refs snapshots", "a repository of a cache: give its name"},
	{"config.json vocab.txt", "no model.safetensors in this folder, nor pytorch_model.bin"},
};

static void test_folders(void **state)
{
	for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
		char *path = xasprintf("%s/other-%zu", folder, i);

		data_shell("mkdir '%s' && cd '%s' && touch %s", path, path, others[i].files);
		refuses(path, E_MODEL, others[i].says, path);
		free(path);
	}
}

static void test_closed_folder(void **state)
{
	char *path = xasprintf("%s/closed", folder);

	data_shell("mkdir '%s' && touch '%s/model.safetensors' && chmod 0 '%s'", path, path, path);
	refuses(path, E_IO, "Permission denied: this user may not read it", path);
	assert_int_equal(chmod(path, 0700), 0);
	free(path);
}

/* ---- files of other tools, given as weights */

static const struct {
	const char *name, *bytes;
	const char *says;
} foreign[] = {
	{"model.gguf", "GGUF\3\1\2\3\4\5\6\7", "a GGUF file, as llama.cpp reads"},
	{"model.h5", "\x89HDF\r\n\x1a\n\2\3\4\5", "an HDF5 file, as TensorFlow writes"},
	{"pytorch_model.bin", "\x1f\x8b\x8\1\1\1\1\1\1\1", "compressed by gzip: unpack it"},
	{"model.pth", "\3757zXZ\1\2\3\4\5\6", "compressed by xz: unpack it"},
	{"model.pt", "\x28\xb5\x2f\xfd\4\1\2\3\4\5", "compressed by zstd: unpack it"},
	{"decoder_model.onnx", "\x8\7\x12\7pytorch\x1a", "an ONNX network"},
	{"flax_model.msgpack", "\x83\xa5params\x81\1\2", "weights of Flax"},
	{"weights.bin", "\1\2\3\4\5\6\7\x8\x9\xa\xb", "not weights of a format that is known here"},
};

static void test_foreign(void **state)
{
	for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++) {
		char *path = xasprintf("%s/%s", folder, foreign[i].name);

		put(path, foreign[i].bytes);
		refuses(path, E_FORMAT, foreign[i].says, path);
		free(path);
	}
}

/* ---- the files beside the weights: configuration and vocabularies */

static void test_beside(void **state)
{
	static const struct fault beside[] = {
		{make_pointer, E_FORMAT, "a Git LFS pointer, not the file itself; fetch it with `git lfs pull`"},
		{make_page, E_FORMAT, "a web page, as a server sends instead of a file"},
		{make_empty, E_FORMAT, "the file is empty; download it again"},
		{make_dangling, E_IO, "a link to ../../blobs/0123456789, which is not there"},
	};
	char *path = xasprintf("%s/config.json", folder);

	for (size_t i = 0; i < sizeof beside / sizeof beside[0]; i++) {
		struct error err = {0};

		put(path, "{}");
		beside[i].make(path);
		assert_null(json_read(path, JSON_LIMIT, &err));
		if (!strstr(err.text, beside[i].says))
			print_error("wanted \"%s\", got \"%s\"\n", beside[i].says, err.text);
		assert_non_null(strstr(err.text, beside[i].says));
		assert_non_null(strstr(err.text, path));
		assert_int_equal(err.code, beside[i].code);
	}
	unlink(path);
	free(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_files),         cmocka_unit_test(test_missing), cmocka_unit_test(test_folders),
		cmocka_unit_test(test_closed_folder), cmocka_unit_test(test_foreign), cmocka_unit_test(test_beside),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
