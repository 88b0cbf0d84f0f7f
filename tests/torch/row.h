/* row.h - what the tests of rows of the table of models share: opening a model directory on the CPU, or being refused it. Header only. */
#ifndef TESTS_TORCH_ROW_H
#define TESTS_TORCH_ROW_H

#include <string.h>

#include "models/models.h"
#include "tests/torch/near.h"

static inline struct model *row_open(const char *dir, enum precision precision, int owner)
{
	struct error err = {0};
	struct model *m = vramble_models.open(dir, DEVICE_CPU, precision, owner, NULL, &err);

	if (!m)
		fail_msg("%s", err.text);
	return m;
}

/* NULL where this CPU does not run that precision. */
static inline struct model *row_open_in(const char *dir, enum precision precision, int owner)
{
	struct model *m = row_open(dir, precision, owner);

	if (vramble_models.precision(m) == precision)
		return m;
	vramble_models.close(m);
	return NULL;
}

/* Skips where SentencePiece is missing. */
static inline struct model *row_open_unigram(const char *dir, enum precision precision, int owner)
{
	struct error err = {0};
	struct model *m = vramble_models.open(dir, DEVICE_CPU, precision, owner, NULL, &err);

	if (!m && strstr(err.text, "libsentencepiece-dev")) {
		print_message("%s\n", err.text);
		skip();
	}
	if (!m)
		fail_msg("%s", err.text);
	return m;
}

static inline void row_refuses(const char *dir, int owner, enum error_code code, const char *says)
{
	struct error err = {0};

	assert_null(vramble_models.open(dir, DEVICE_CPU, PRECISION_FP32, owner, NULL, &err));
	if (err.code != code || !strstr(err.text, says))
		fail_msg("wanted %d \"%s\", got %d \"%s\"", (int)code, says, (int)err.code, err.text);
}

#endif
