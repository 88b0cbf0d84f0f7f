/* fuzz_network.c - as fuzz_config, and what the program accepts then runs with libtorch: loaded, asked for vectors, captions or verdicts. Sanitizers' libraries
 * let libtorch's protobuf and that of SentencePiece meet, so under them the networks that need both are left out. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/image.h"
#include "models/models.h"
#include "tests/support/model_folders.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { PIECES = 0 };
#else
enum { PIECES = 1 };
#endif

enum { OWNER = 1, WIDTH = 21, HEIGHT = 17, MOST = 4096 };

static const struct model_library *lib = &vramble_models;

/* Only another file may end in an error, and the error must say something. */
static void check(int rc, const struct error *err)
{
	if (rc == 0 || (!fuzz_is_seed() && err->code != E_NONE && err->text[0] != '\0'))
		return;
	fprintf(stderr, "%s: \"%s\"\n", fuzz_kind(), err->text);
	abort();
}

static void see(struct model *m)
{
	static uint8_t rgb[WIDTH * HEIGHT * 3];
	const struct image image = {WIDTH, HEIGHT, rgb};
	const struct caption_options options = {.no_repeat_ngram = -1, .length_penalty = -1};
	const struct pixels *list[2];
	static float vectors[2 * MOST];
	struct caption captions[2];
	struct error err = {0};
	struct pixels in;
	int rc = lib->prepare(m, &image, 0, &in, &err);

	check(rc, &err);
	if (rc < 0)
		return;
	list[0] = list[1] = &in;
	if (lib->info(m)->kind == MODEL_CAPTION)
		check(lib->caption(m, list, 2, &options, captions, NULL, &err), &err);
	else
		check(lib->embed_images(m, list, 2, vectors, NULL, &err), &err);
	free(in.data);
}

static void read_texts(struct model *m)
{
	static const char *const texts[] = {"a cat", "", "a dog on a cat and a dog and a cat and a dog that is too long for it"};
	static const struct text_pair pairs[] = {{"a dog", "a dog."}, {"", ""}, {"a dog on a dog on a dog on a dog on a dog", "dog"}};
	static float vectors[3 * MOST];
	struct verdict verdicts[3];
	struct error err = {0};

	if (lib->info(m)->kind == MODEL_NLI)
		check(lib->classify(m, pairs, 3, verdicts, NULL, &err), &err);
	else if (lib->info(m)->kind == MODEL_SCORES)
		check(lib->embed_texts(m, texts, 3, vectors, NULL, &err), &err);
}

static void run(const uint8_t *bytes, size_t size)
{
	char *dir = xasprintf("%s/%.*s", fuzz_dir(), (int)strcspn(fuzz_kind(), "/"), fuzz_kind());
	struct error err = {0};
	struct model *m;

	fuzz_limit(0);
	model_folders_make(fuzz_kind());
	fuzz_file(fuzz_kind(), bytes, size);
	m = lib->open(dir, DEVICE_CPU, PRECISION_FP32, OWNER, NULL, &err);
	check(m ? 0 : -1, &err);
	if (m && lib->info(m)->kind != MODEL_NLI)
		see(m);
	if (m)
		read_texts(m);
	lib->close(m);
	free(dir);
}

int main(int argc, char **argv)
{
	struct fuzz_seed seeds[MODEL_FOLDERS];
	struct error err;
	int rc, n = 0;

	if (model_folders_seeds(seeds) < 0 || lib->start(1, &err) < 0)
		return 1;
	for (int i = 0; i < MODEL_FOLDERS; i++)
		if (PIECES || (!strstr(seeds[i].kind, "deberta") && !strstr(seeds[i].kind, "siglip")))
			seeds[n++] = seeds[i];
	rc = fuzz_main(argc, argv, seeds, (size_t)n, run);
	model_folders_end();
	return rc;
}
