/* device.c - see device.h. */
#include "core/device.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/model.h"

int device_parse(const char *text, int *wish, struct error *err)
{
	const char *digits = text + 5;
	char *end;
	long n;

	if (!strcmp(text, "auto"))
		return *wish = DEVICE_AUTO, 0;
	if (!strcmp(text, "cpu"))
		return *wish = DEVICE_CPU, 0;
	if (!strcmp(text, "cuda"))
		return *wish = 0, 0;
	if (!strncmp(text, "cuda:", 5) && isdigit((unsigned char)*digits)) {
		n = strtol(digits, &end, 10);
		if (!*end && n < DEVICE_MOST)
			return *wish = (int)n, 0;
	}
	return fail(err, E_USAGE, "\"%s\" is not a device: auto, cpu, cuda or cuda:N", text);
}

const char *device_name(int wish, char out[16])
{
	if (wish >= 0)
		snprintf(out, 16, "cuda:%d", wish);
	else
		strcpy(out, wish == DEVICE_CPU ? "cpu" : "auto");
	return out;
}

/* Device `wish`, or with DEVICE_AUTO the first that works. -1 with the reason when there is none. */
static int find_cuda(int wish, int devices, int (*usable)(int device, struct error *err), int *found, struct error *why)
{
	struct error other;

	if (wish >= 0 && wish >= devices && devices > 0)
		return fail(why, E_DEVICE, "there is no cuda:%d: %d CUDA device%s visible, cuda:0%s; look at CUDA_VISIBLE_DEVICES", wish, devices,
			    devices == 1 ? " is" : "s are", devices == 1 ? "" : " and on");
	if (wish >= 0 || devices < 1) {
		*found = wish >= 0 ? wish : 0;
		if (usable(*found, why) < 0)
			return -1;
		return devices > 0 ? 0 : fail(why, E_DEVICE, "no CUDA device is visible; look at nvidia-smi and CUDA_VISIBLE_DEVICES");
	}
	for (int i = 0; i < devices; i++) {
		if (usable(i, i ? &other : why) < 0)
			continue;
		*found = i;
		return 0;
	}
	return -1;
}

int device_choose(int wish, int devices, int (*usable)(int device, struct error *err), bool force_cuda, struct device_choice *out, struct error *err)
{
	struct error why;
	char name[16];

	*out = (struct device_choice){.device = DEVICE_CPU};
	if (wish == DEVICE_CPU) {
		if (force_cuda)
			return fail(err, E_USAGE, "the CPU was asked for while force-cuda forbids it: give --device cuda, or take force-cuda away");
		return 0;
	}
	if (find_cuda(wish, devices, usable, &out->device, &why) == 0)
		return 0;
	if (force_cuda)
		return fail(err, E_DEVICE, "CUDA cannot be used, and force-cuda forbids the CPU: %s", why.text);
	out->device = DEVICE_CPU;
	out->fell_back = wish >= 0;
	out->expected = wish == DEVICE_AUTO && devices < 1;
	snprintf(out->note, sizeof out->note, "%s: going on with the CPU: %s", device_name(wish, name), why.text);
	return 0;
}
