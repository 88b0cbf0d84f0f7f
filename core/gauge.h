/* gauge.h - device readings for the memory panel, sampled by a thread of its own.
 *
 * The process and the machine from /proc, the GPU from NVML, which is opened with dlopen where it exists and needs no CUDA context; a driver that is
 * missing, fails or hangs only leaves the GPU's part empty or old (see time). No function here waits for a file or a driver; any thread may call them.
 *
 *	struct gauge *g = gauge_start(options.device, 4.0);
 *	gauge_read(g, &sample);
 *	gauge_watch(g, 1);              the models have moved to cuda:1
 *	gauge_stop(g);
 */
#ifndef CORE_GAUGE_H
#define CORE_GAUGE_H

#include <stdbool.h>
#include <stdint.h>

enum { GAUGE_HISTORY = 256 };

struct gauge_sample {
	double time;                        /* CLOCK_MONOTONIC, seconds; 0: nothing sampled yet */
	int64_t rss;                        /* of this process, bytes */
	int64_t host_total, host_available; /* MemTotal, MemAvailable, bytes */
	double cpu;                         /* of this process since the sample before, in CPUs (1.0 = one core) */
	bool gpu;                           /* the members below were read */
	char gpu_name[96];
	char gpu_id[96];             /* UUID */
	int gpu_busy;                /* percent; -1: not told (MIG) */
	int gpu_celsius;             /* -1: not told */
	double gpu_watts;            /* -1: not told */
	int64_t gpu_total, gpu_free; /* bytes, all processes */
};

struct gauge;

/* Starts sampling. device: DEVICE_CPU asks NVML for nothing, else a CUDA ordinal, looked up through CUDA_VISIBLE_DEVICES. hz: samples per
 * second, 1..10. */
struct gauge *gauge_start(int device, double hz);
void gauge_watch(struct gauge *g, int device); /* from the next sample on; as in gauge_start */
/* Ends the thread. One that hangs in a driver is left behind with what it holds. NULL is fine. */
void gauge_stop(struct gauge *g);
void gauge_read(struct gauge *g, struct gauge_sample *out);
/* Copies up to n of the last samples, oldest first, and returns how many (at most GAUGE_HISTORY). */
int gauge_history(struct gauge *g, struct gauge_sample *out, int n);

/* Which NVML device CUDA ordinal `device` is, by the value of CUDA_VISIBLE_DEVICES (NULL: unset): 1 and *index for a number, 2 and uuid[size] for a
 * "GPU-" or "MIG-" name, 0 when it is not visible. Pure; exposed for tests. */
int gauge_visible(const char *visible, int device, int *index, char *uuid, int size);

#endif
