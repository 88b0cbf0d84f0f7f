/* device.h - where a model is to stand: what was asked for, and what that comes to here. Pure; any thread.
 *
 * A wish is kept in settings.device[]: DEVICE_CPU, a CUDA ordinal, or DEVICE_AUTO (the first CUDA device that works, else the CPU). What it comes to is
 * known only when the model library is open, so device_choose is given the library's two functions by whoever opened it.
 *
 *	struct device_choice choice;
 *	if (device_choose(settings->device[kind], library->devices(), library->usable, force_cuda, &choice, err) < 0)
 *		return -1;
 *	if (choice.note[0])
 *		... tell it; choice.device is where the model goes
 */
#ifndef CORE_DEVICE_H
#define CORE_DEVICE_H

#include <stdbool.h>

#include "core/error.h"

enum { DEVICE_AUTO = -2, DEVICE_MOST = 128 }; /* beside DEVICE_CPU and ordinals 0 .. DEVICE_MOST - 1 */

/* Reads "auto", "cpu", "cuda" (cuda:0) or "cuda:N" into *wish. E_USAGE says what is accepted. */
int device_parse(const char *text, int *wish, struct error *err);
/* The same text back into out[16]; returns out. */
const char *device_name(int wish, char out[16]);

struct device_choice {
	int device;      /* DEVICE_CPU or an ordinal */
	bool expected;   /* the note surprises nobody: no device was named, and there is no CUDA device at all */
	bool fell_back;  /* CUDA was asked for by name, and the CPU is what there is */
	char note[1040]; /* one line about why it is not CUDA; empty when the wish was met as it stands */
};

/* What wish comes to. devices: CUDA devices that are visible; usable (see struct model_library) tells with an error why nothing can stand on one, is asked
 * about device 0 also when there are none, and may take long. Without force_cuda everything falls back to the CPU with a note. With it -1 and E_DEVICE
 * (E_USAGE where the CPU was asked for by name): the reason and the fix. */
int device_choose(int wish, int devices, int (*usable)(int device, struct error *err), bool force_cuda, struct device_choice *out, struct error *err);

#endif
