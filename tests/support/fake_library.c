/* fake_library.c - the fake models as a shared object, so that the real program can be run without libtorch:
 *
 *	VRAMBLE_LIBRARY=build/tests/libfake-models.so VRAMBLE_FAKE="steps=20 step_us=5000" build/vramble folder
 *
 * VRAMBLE_FAKE holds key=number pairs: steps and step_us (how long a run takes), fits (a larger batch runs out of memory), bad_blue (a picture whose
 * mean blue is this fails), cuda (how many such devices there are), device_mb (memory of each device), mb_clip, mb_ofa, mb_bert (what a run holds per
 * picture), break_device (1 = runs on a CUDA device fail), fail_library, fail_clip, fail_ofa, fail_bert, fail_place (1 = do), hold_clip, hold_ofa, hold_bert (1 = never finish).
 */
#include <stdlib.h>
#include <string.h>

#include "tests/support/fake_models.h"

extern struct model_library vramble_models;
__attribute__((visibility("default"))) struct model_library vramble_models;

static int library_fails(int threads, struct error *err)
{
	return fail(err, E_MODEL, "the fake library was told to fail");
}

static void order(const char *key, int value)
{
	static const char *const kinds[MODEL_KINDS] = {"clip", "ofa", "bert"};

	if (!strcmp(key, "steps"))
		fake.steps = value;
	else if (!strcmp(key, "step_us"))
		fake.step_us = value;
	else if (!strcmp(key, "bad_blue"))
		fake.bad_blue = value;
	else if (!strcmp(key, "cuda"))
		fake.cuda_devices = value;
	else if (!strcmp(key, "break_device"))
		fake.break_device = value;
	else if (!strcmp(key, "device_mb"))
		fake.device_bytes = (int64_t)value << 20;
	else if (!strcmp(key, "fail_library") && value)
		vramble_models.start = library_fails;
	for (int i = 0; i < MODEL_KINDS; i++) {
		if (!strcmp(key, "fits"))
			fake.fits[i] = value;
		if (!strcmp(key, "fail_place"))
			fake.fail_place[i] = value;
		if (!strncmp(key, "mb_", 3) && !strcmp(key + 3, kinds[i]))
			fake.activation[i] = (int64_t)value << 20;
		if (!strncmp(key, "fail_", 5) && !strcmp(key + 5, kinds[i]))
			fake.fail_open[i] = value;
		if (!strncmp(key, "hold_", 5) && !strcmp(key + 5, kinds[i]))
			fake.hold[i] = value;
	}
}

__attribute__((constructor)) static void take_orders(void)
{
	const char *text = getenv("VRAMBLE_FAKE");
	char *copy = text ? strdup(text) : NULL, *save = NULL;

	vramble_models = fake_library;
	for (char *word = copy ? strtok_r(copy, " ,", &save) : NULL; word; word = strtok_r(NULL, " ,", &save)) {
		char *equals = strchr(word, '=');

		if (!equals)
			continue;
		*equals = '\0';
		order(word, atoi(equals + 1));
	}
	free(copy);
}
