/* unigram.c - see unigram.h: the shared object, and the files of a folder. */
#include "models/unigram.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/mem.h"
#include "models/json.h"
#include "models/text.h"
#include "models/unigram_spm.h"

/* Its own symbols first, or libtorch's protobuf would stand in for the one it was built with. Sanitizers cannot have that, nor do their tests have
 * libtorch beside it. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OWN_SYMBOLS_FIRST 0
#else
#define OWN_SYMBOLS_FIRST RTLD_DEEPBIND
#endif

#define LIBRARY_NAME "libvramble-unigram.so"

struct unigram {
	const struct unigram_library *library;
	void *processor;
};

/* ---- the shared object ---- */

static const struct unigram_library *library; /* set once */

static const struct unigram_library *open_at(const char *folder)
{
	char *path = xasprintf("%s/" LIBRARY_NAME, folder);
	void *handle = access(path, R_OK) == 0 ? dlopen(path, RTLD_NOW | RTLD_LOCAL | OWN_SYMBOLS_FIRST) : NULL;
	const struct unigram_library *found = handle ? dlsym(handle, "vramble_unigram") : NULL;

	free(path);
	return found && found->abi == UNIGRAM_LIBRARY_ABI ? found : NULL;
}

/* Beside the object that holds this code; for tests, which are programs in folders below, above it; or where it is installed. */
static void library_open(void)
{
	Dl_info self;
	char *folder = dladdr((void *)&library, &self) ? realpath(self.dli_fname, NULL) : NULL, *slash;

	for (int above = 0; folder && above < 3 && !library && (slash = strrchr(folder, '/')); above++) {
		*slash = '\0';
		library = open_at(folder);
	}
	free(folder);
	if (!library)
		library = open_at(VRAMBLE_LIBDIR);
}

static const struct unigram_library *library_find(struct error *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, library_open);
	if (!library)
		fail(err, E_MODEL,
		     "this model's tokenizer needs SentencePiece, which vramble was built without: install libsentencepiece-dev and build again");
	return library;
}

/* ---- a tokenizer ---- */

/* The bytes of the model's file; *file is its path, malloc'd. */
static char *read_model(const char *dir, char **file, size_t *size, struct error *err)
{
	static const char *const names[] = {"spm.model", "spiece.model", "sentencepiece.bpe.model"};
	char *bytes = NULL;
	json_t *root;

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		*file = xasprintf("%s/%s", dir, names[i]);
		if (access(*file, F_OK) == 0)
			return json_read_bytes(*file, JSON_LIMIT, size, err);
		free(*file);
	}
	*file = xasprintf("%s/tokenizer.json", dir);
	if (access(*file, F_OK) != 0)
		return fail_null(err, E_IO, "%s has no tokenizer: spm.model, spiece.model or tokenizer.json is needed", dir);
	root = json_read(*file, JSON_LIMIT, err);
	if (root)
		bytes = unigram_file_make(root, *file, size, err);
	json_decref(root);
	return bytes;
}

static struct unigram *load(const struct unigram_library *from, const char *bytes, size_t size, const char *file, struct error *err)
{
	char message[200] = "";
	struct unigram *u;
	void *processor;

	if (unigram_file_check(bytes, size, file, err) < 0)
		return NULL;
	processor = from->load(bytes, size, message, sizeof message);
	if (!processor)
		return fail_null(err, E_FORMAT, "%s: not a SentencePiece model: %s", file, message);
	u = xcalloc(1, sizeof *u);
	*u = (struct unigram){from, processor};
	return u;
}

struct unigram *unigram_load(const char *dir, struct error *err)
{
	const struct unigram_library *from = library_find(err);
	struct unigram *u = NULL;
	char *file = NULL, *bytes;
	size_t size = 0;

	if (!from)
		return NULL;
	bytes = read_model(dir, &file, &size, err);
	if (bytes)
		u = load(from, bytes, size, file, err);
	free(bytes);
	free(file);
	return u;
}

void unigram_free(struct unigram *u)
{
	if (!u)
		return;
	u->library->free(u->processor);
	free(u);
}

size_t unigram_size(const struct unigram *u)
{
	return (size_t)u->library->size(u->processor);
}

int32_t unigram_find(const struct unigram *u, const char *piece)
{
	int32_t id = u->library->find(u->processor, piece);

	if (id == u->library->unknown(u->processor) && strcmp(piece, "<unk>") != 0 && strcmp(piece, "[UNK]") != 0)
		return -1;
	return id;
}

static void put_id(void *ctx, int32_t id)
{
	ids_add(ctx, id);
}

int unigram_pieces(const struct unigram *u, const char *text, size_t length, struct ids *out, struct error *err)
{
	struct buffer repaired = {0};
	char message[200] = "";
	int rc;

	if (length > UNIGRAM_TEXT_MAX)
		return fail(err, E_LIMIT, "a text of %zu bytes is too long; at most %d are taken", length, UNIGRAM_TEXT_MAX);
	text_put_repaired(&repaired, text, length);
	rc = u->library->encode(u->processor, repaired.text ? repaired.text : "", repaired.length, put_id, out, message, sizeof message);
	buffer_free(&repaired);
	return rc == 0 ? 0 : fail(err, E_MODEL, "SentencePiece: %s", message);
}
