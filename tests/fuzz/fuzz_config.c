/* fuzz_config.c - the bytes are taken as the config.json, open_clip_config.json, configuration.json or preprocessor_config.json of a folder whose other
 * files are right: what the program says of it, and what it would take. Links without libtorch, which this must not need. */
#include "models/models.h"
#include "tests/support/model_folders.h"

#include <stdlib.h>
#include <string.h>

enum { MOST = 1024 * 1024 }; /* of one allocation: weights are mapped, and all else in the folder is smaller */

/* What stands for each function of torch_shim.h: see the Makefile. */
void *no_torch(void);
void *no_torch(void)
{
	return NULL;
}

/* What is accepted has sizes that are those of its weights, so that nothing of this can be out of all bounds. */
static void check_forecast(const struct model *m)
{
	static const struct forecast_request requests[] = {
		{.device = DEVICE_CPU, .precision = PRECISION_FP32, .batch = 1},
		{.device = DEVICE_CPU, .precision = PRECISION_BF16, .batch = 64, .image_size = 4096, .beams = 64, .tokens = 1000},
	};

	for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
		struct forecast out;

		vramble_models.forecast(m, &requests[i], &out);
		if (out.weights < 0 || out.weights + out.mapped > 3 * m->info.weight_bytes || out.activations < 0 || out.kv < 0 || out.together < 0)
			abort();
	}
}

static void run(const uint8_t *bytes, size_t size)
{
	char *dir = xasprintf("%s/%.*s", fuzz_dir(), (int)strcspn(fuzz_kind(), "/"), fuzz_kind());
	struct error err = {0};
	struct model *m;

	fuzz_limit(0);
	model_folders_make(fuzz_kind());
	fuzz_file(fuzz_kind(), bytes, size);
	fuzz_limit(MOST);
	m = model_configure(dir, &err);
	if (m)
		check_forecast(m);
	else if (err.text[0] == '\0' || err.code == E_NONE || fuzz_is_seed())
		abort();
	model_close(m);
	free(dir);
}

int main(int argc, char **argv)
{
	struct fuzz_seed seeds[MODEL_FOLDERS];
	int rc = 1;

	if (model_folders_seeds(seeds) == 0)
		rc = fuzz_main(argc, argv, seeds, MODEL_FOLDERS, run);
	model_folders_end();
	return rc;
}
