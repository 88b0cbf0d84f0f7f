/* fake_nvml.c - a libnvidia-ml.so.1 as troublesome as it is told to be, for programs started with LD_LIBRARY_PATH=build/tests/nvml.
 *
 * FAKE_NVML: "hang" (nvmlInit never returns), "fail" (nvmlInit fails), "none" (no device); anything else: two devices that work.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

enum { WORKS, NOT_FOUND = 6, DRIVER_NOT_LOADED = 9 };

static int devices[2];

static int told(const char *order)
{
	const char *orders = getenv("FAKE_NVML");

	return orders && !strcmp(orders, order);
}

EXPORT int nvmlInit_v2(void);
int nvmlInit_v2(void)
{
	while (told("hang"))
		pause();
	return told("fail") ? DRIVER_NOT_LOADED : WORKS;
}

EXPORT int nvmlShutdown(void);
int nvmlShutdown(void)
{
	return WORKS;
}

EXPORT const char *nvmlErrorString(int code);
const char *nvmlErrorString(int code)
{
	return code == DRIVER_NOT_LOADED ? "Driver Not Loaded" : "Unknown Error";
}

EXPORT int nvmlSystemGetDriverVersion(char *out, unsigned size);
int nvmlSystemGetDriverVersion(char *out, unsigned size)
{
	snprintf(out, size, "999.01");
	return WORKS;
}

EXPORT int nvmlDeviceGetCount_v2(unsigned *count);
int nvmlDeviceGetCount_v2(unsigned *count)
{
	*count = told("none") ? 0 : 2;
	return WORKS;
}

EXPORT int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device);
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device)
{
	if (index > 1 || told("none"))
		return NOT_FOUND;
	*device = &devices[index];
	return WORKS;
}

EXPORT int nvmlDeviceGetHandleByUUID(const char *uuid, void **device);
int nvmlDeviceGetHandleByUUID(const char *uuid, void **device)
{
	return strcmp(uuid, "GPU-fake-1") ? NOT_FOUND : nvmlDeviceGetHandleByIndex_v2(1, device);
}

EXPORT int nvmlDeviceGetName(const int *device, char *out, unsigned size);
int nvmlDeviceGetName(const int *device, char *out, unsigned size)
{
	snprintf(out, size, "Fake GPU %d", (int)(device - devices));
	return WORKS;
}

EXPORT int nvmlDeviceGetUUID(const int *device, char *out, unsigned size);
int nvmlDeviceGetUUID(const int *device, char *out, unsigned size)
{
	snprintf(out, size, "GPU-fake-%d", (int)(device - devices));
	return WORKS;
}

/* total, free, used */
EXPORT int nvmlDeviceGetMemoryInfo(const void *device, unsigned long long out[3]);
int nvmlDeviceGetMemoryInfo(const void *device, unsigned long long out[3])
{
	out[0] = 16ULL << 30;
	out[1] = 12ULL << 30;
	out[2] = 4ULL << 30;
	return WORKS;
}

/* busy with kernels, with memory; percent */
EXPORT int nvmlDeviceGetUtilizationRates(const void *device, unsigned out[2]);
int nvmlDeviceGetUtilizationRates(const void *device, unsigned out[2])
{
	out[0] = 37;
	out[1] = 11;
	return WORKS;
}

EXPORT int nvmlDeviceGetTemperature(const void *device, int sensor, unsigned *celsius);
int nvmlDeviceGetTemperature(const void *device, int sensor, unsigned *celsius)
{
	*celsius = 55;
	return WORKS;
}

EXPORT int nvmlDeviceGetPowerUsage(const void *device, unsigned *milliwatts);
int nvmlDeviceGetPowerUsage(const void *device, unsigned *milliwatts)
{
	*milliwatts = 123000;
	return WORKS;
}
