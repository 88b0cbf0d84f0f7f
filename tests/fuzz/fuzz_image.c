/* fuzz_image.c - picture files of any content. */
#include "core/image.h"
#include "core/mem.h"
#include "tests/support/fuzz.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>

enum { SEEDS_MAX = 64 };

/* One picture of every kind that is read. */
static size_t read_seeds(struct fuzz_seed seeds[SEEDS_MAX])
{
	glob_t found = {0};
	size_t n = 0;

	if (glob("tests/golden/pictures/*", 0, NULL, &found) != 0)
		return 0;
	for (; n < found.gl_pathc && n < SEEDS_MAX; n++) {
		FILE *f = fopen(found.gl_pathv[n], "rb");
		struct buffer b = {0};
		char block[4096];
		size_t got;

		while (f && (got = fread(block, 1, sizeof block, f)) > 0)
			buffer_add(&b, block, got);
		if (f)
			fclose(f);
		seeds[n] = (struct fuzz_seed){b.text, b.length};
	}
	globfree(&found);
	return n;
}

static void run(const uint8_t *bytes, size_t size)
{
	struct image_limits limits = {.pixels = 1000 * 1000};
	struct image image;
	struct image_info head, info;
	struct error err = {0};
	int probed;

	fuzz_limit((size_t)limits.pixels * 32); /* a picture may be far larger than its file, but not than this */
	probed = image_probe(fuzz_file("picture", bytes, size), &limits, &head, &err);

	if (image_decode(bytes, size, "picture", &limits, &image, &info, &err) < 0) {
		if (image.rgb || err.code == E_NONE)
			abort();
		return;
	}
	/* What decodes must have been found by the probe, with the same size. */
	if (probed < 0 || image.width != head.width || image.height != head.height || info.width != head.width || image.width < 1 || image.height < 1)
		abort();
	for (size_t i = 0; i < (size_t)image.width * image.height * 3; i += 97) {
		volatile uint8_t touched = image.rgb[i];

		(void)touched;
	}
	image_free(&image);
}

int main(int argc, char **argv)
{
	struct fuzz_seed seeds[SEEDS_MAX];
	size_t n = read_seeds(seeds);
	int result;

	if (n == 0) {
		fprintf(stderr, "tests/golden/pictures is missing; run in the repository's root\n");
		return 1;
	}
	result = fuzz_main(argc, argv, seeds, n, run);
	while (n > 0)
		free((void *)seeds[--n].bytes);
	return result;
}
