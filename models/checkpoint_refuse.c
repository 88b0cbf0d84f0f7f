/* checkpoint_refuse.c - what is wrong with files and folders that are not weights a network here can use, and what to do about it. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/mem.h"
#include "models/checkpoint_private.h"
#include "models/json.h"

enum { TEXT_MOST = 4096, TEXT_SHOWN = 80, OTHERS_SHOWN = 4 };

/* ---- what is no weights */

int refuse_kind(const char *path, mode_t mode, struct error *err)
{
	if (S_ISDIR(mode))
		return fail(err, E_FORMAT, "%s: a folder where a file of weights should be; move it away and download the file", path);
	return fail(err, E_FORMAT, "%s: not a regular file", path);
}

static bool is_text(const unsigned char *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (bytes[i] < ' ' && !isspace(bytes[i]))
			return false;
	return size > 0;
}

/* What servers and tools leave where weights should be. */
int refuse_text(const struct checkpoint_file *f, struct error *err)
{
	const unsigned char *bytes = f->map, *end = f->map + f->size;
	enum json_impostor what = json_impostor(f->map, f->size);

	if (what == JSON_POINTER)
		return fail(err, E_FORMAT, "%s: a Git LFS pointer, not the weights; fetch them with `git lfs pull`", f->path);
	if (what == JSON_PAGE)
		return fail(err, E_FORMAT,
			    "%s: a web page saved as weights, as a server sends instead of a file (an error, a login): download it again", f->path);
	while (bytes < end && isspace(*bytes))
		bytes++;
	if (f->size <= TEXT_MOST && is_text(f->map, f->size) && !checkpoint_ends_with(f->path, ".json"))
		return fail(err, E_FORMAT, "%s: a text, not weights; download it again. It begins: \"%.*s\"", f->path,
			    (int)(end - bytes < TEXT_SHOWN ? end - bytes : TEXT_SHOWN), (const char *)bytes);
	return 0;
}

/* Of other tools, by their first bytes or, where these say nothing, by the file's name. */
static const char *foreign_format(const struct checkpoint_file *f)
{
	static const struct {
		const char *begins, *ends, *what;
		size_t n;
	} known[] = {
		{"GGUF", "", "a GGUF file, as llama.cpp reads", 4},
		{"\x89HDF\r\n\x1a\n", "", "an HDF5 file, as TensorFlow writes", 8},
		{"\x1f\x8b", "", "compressed by gzip: unpack it", 2},
		{"\3757zXZ", "", "compressed by xz: unpack it", 5},
		{"\x28\xb5\x2f\xfd", "", "compressed by zstd: unpack it", 4},
		{"", ".onnx", "an ONNX network", 0},
		{"", ".msgpack", "weights of Flax", 0},
		{"", ".gguf", "a GGUF file that is damaged", 0},
		{"", ".h5", "an HDF5 file that is damaged", 0},
	};

	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
		if (f->size >= known[i].n && memcmp(f->map, known[i].begins, known[i].n) == 0 && checkpoint_ends_with(f->path, known[i].ends))
			return known[i].what;
	return NULL;
}

int refuse_format(const struct checkpoint_file *f, struct error *err)
{
	const char *what = foreign_format(f);

	if (checkpoint_ends_with(f->path, ".safetensors")) {
		if (f->size < 10)
			return fail(err, E_FORMAT, "%s: %zu bytes are too few for a safetensors file; download it again", f->path, f->size);
		return fail(err, E_FORMAT, "%s: not a safetensors file: no JSON header at byte 8; download it again", f->path);
	}
	if (f->size > 262 && memcmp(f->map + 257, "ustar", 5) == 0)
		return fail(err, E_FORMAT, "%s: a tar archive, as PyTorch wrote before 0.2; load and save the weights with a newer one", f->path);
	if (what)
		return fail(err, E_FORMAT, "%s: %s; weights are read as safetensors or as torch.save writes them", f->path, what);
	return fail(err, E_FORMAT, "%s: not weights of a format that is known here (safetensors, or what torch.save writes); download it again",
		    f->path);
}

/* ---- a folder without weights */

struct foreign {
	const char *ends, *of;
};

static const struct foreign foreign[] = {
	{"tf_model.h5", "TensorFlow"},
	{"tf_model.h5.index.json", "TensorFlow"},
	{".ckpt.index", "TensorFlow"},
	{"flax_model.msgpack", "Flax"},
	{"flax_model.msgpack.index.json", "Flax"},
	{".onnx", "ONNX"},
	{"onnx", "ONNX"}, /* a folder of them */
	{".gguf", "llama.cpp"},
	{".tflite", "TensorFlow Lite"},
	{"openvino_model.xml", "OpenVINO"},
	{"rust_model.ot", "Rust"},
};
enum { FOREIGN = sizeof foreign / sizeof foreign[0] };

static const char *const unfinished[] = {".incomplete", ".part", ".crdownload", ".aria2", ".download", ".tmp"};
enum { UNFINISHED = sizeof unfinished / sizeof unfinished[0] };

/* What a folder holds instead of weights. */
struct instead {
	struct buffer whose, files; /* "TensorFlow, ONNX"; "tf_model.h5, onnx" */
	int n;
	char *unfinished; /* a download's name; NULL: there is none */
	bool repository;  /* the root of one in Hugging Face's cache */
};

static void look_at(struct instead *found, const char *name)
{
	for (int i = 0; i < UNFINISHED; i++)
		if (!found->unfinished && checkpoint_ends_with(name, unfinished[i]))
			found->unfinished = xstrdup(name);
	found->repository |= strcmp(name, "snapshots") == 0;
	for (int i = 0; i < FOREIGN; i++) {
		if (!checkpoint_ends_with(name, foreign[i].ends))
			continue;
		if (found->n++ < OTHERS_SHOWN)
			buffer_printf(&found->files, "%s%s", found->n > 1 ? ", " : "", name);
		if (!found->whose.text || !strstr(found->whose.text, foreign[i].of))
			buffer_printf(&found->whose, "%s%s", found->whose.length ? " and " : "", foreign[i].of);
		return;
	}
}

static int refuse_instead(const char *dir, const struct instead *found, struct error *err)
{
	if (found->unfinished)
		return fail(err, E_MODEL, "%s: no weights in this folder, only %s: a download that was interrupted; let it go on, or begin it again",
			    dir, found->unfinished);
	if (found->n > 0)
		return fail(
			err, E_MODEL,
			"%s: weights for %s only (%s); PyTorch's are needed: model.safetensors or pytorch_model.bin. Most models have these, too: "
			"`vramble models pull NAME` fetches them; or let transformers' save_pretrained write them",
			dir, found->whose.text, found->files.text);
	if (found->repository)
		return fail(err, E_MODEL,
			    "%s: a repository of a cache: give its name, OWNER/NAME, or the path of one of the folders in its snapshots", dir);
	return fail(err, E_MODEL, "%s: no model.safetensors in this folder, nor pytorch_model.bin, an index of either, open_clip's, or a .pt", dir);
}

int refuse_folder(const char *dir, struct error *err)
{
	struct instead found = {0};
	struct dirent **entries;
	int n = scandir(dir, &entries, NULL, alphasort);

	if (n < 0)
		return json_fail_open(dir, errno, err);
	for (int i = 0; i < n; i++) {
		look_at(&found, entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	refuse_instead(dir, &found, err);
	buffer_free(&found.whose);
	buffer_free(&found.files);
	free(found.unfinished);
	return -1;
}
