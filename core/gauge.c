/* gauge.c - see gauge.h. */
#include "core/gauge.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/model.h"

/* NVML's own types and names, as far as they are used; all functions return 0 when they worked (NVML API reference). */
typedef void *nvml_device;
struct nvml_memory {
	unsigned long long total, free, used;
};
struct nvml_utilization {
	unsigned gpu, memory;
};

struct nvml {
	void *library;
	int (*init)(void);
	int (*shutdown)(void);
	int (*by_index)(unsigned, nvml_device *);
	int (*by_uuid)(const char *, nvml_device *);
	int (*name)(nvml_device, char *, unsigned);
	int (*uuid)(nvml_device, char *, unsigned);
	int (*memory)(nvml_device, struct nvml_memory *);
	int (*utilization)(nvml_device, struct nvml_utilization *);
	int (*temperature)(nvml_device, int sensor, unsigned *); /* may be missing; sensor 0: of the GPU */
	int (*power)(nvml_device, unsigned *);                   /* milliwatts; may be missing */
	nvml_device device;
	char device_name[96], device_uuid[96];
};

struct gauge {
	pthread_t thread;
	pthread_mutex_t lock; /* held for copies only, never while something is read */
	pthread_cond_t ended;
	bool stop, left; /* left: by gauge_stop; the thread frees it when it ever comes back */
	double period;
	int device; /* under the lock */
	struct gauge_sample history[GAUGE_HISTORY];
	int count, head;
	double cpu_seconds; /* of the sample before; the thread's */
};

/* ---------------------------------------------------------------- NVML */

static bool is_uuid(const char *entry)
{
	return !strncmp(entry, "GPU-", 4) || !strncmp(entry, "MIG-", 4);
}

int gauge_visible(const char *visible, int device, int *index, char *uuid, int size)
{
	*index = device;
	if (device < 0)
		return 0;
	for (int i = 0; visible && i <= device; i++) {
		const char *entry = visible + strspn(visible, " "), *comma = strchr(entry, ',');
		char *end;

		*index = (int)strtol(entry, &end, 10);
		/* CUDA sees nothing from the first entry on that is not a device. */
		if (!is_uuid(entry) && (end == entry || *index < 0))
			return 0;
		if (i == device && is_uuid(entry)) {
			snprintf(uuid, (size_t)size, "%.*s", (int)strcspn(entry, ", "), entry);
			return 2;
		}
		if (i < device && !comma)
			return 0;
		visible = comma ? comma + 1 : entry;
	}
	return 1;
}

/* Finds each function; false when one is missing that is needed. */
static bool nvml_symbols(struct nvml *n)
{
	struct {
		void *slot;
		const char *name;
		bool optional;
	} const wanted[] = {
		{&n->init, "nvmlInit_v2"},
		{&n->shutdown, "nvmlShutdown"},
		{&n->by_index, "nvmlDeviceGetHandleByIndex_v2"},
		{&n->by_uuid, "nvmlDeviceGetHandleByUUID"},
		{&n->name, "nvmlDeviceGetName"},
		{&n->uuid, "nvmlDeviceGetUUID"},
		{&n->memory, "nvmlDeviceGetMemoryInfo"},
		{&n->utilization, "nvmlDeviceGetUtilizationRates"},
		{&n->temperature, "nvmlDeviceGetTemperature", true},
		{&n->power, "nvmlDeviceGetPowerUsage", true},
	};

	for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
		void *symbol = dlsym(n->library, wanted[i].name);

		if (!symbol && !wanted[i].optional)
			return false;
		/* POSIX lets a function pointer travel in a void *, ISO C does not let it be cast. */
		memcpy(wanted[i].slot, &symbol, sizeof symbol);
	}
	return true;
}

static void nvml_close(struct nvml *n)
{
	if (n->device)
		n->shutdown();
	if (n->library)
		dlclose(n->library);
	*n = (struct nvml){0};
}

static bool nvml_find(struct nvml *n, int device)
{
	char uuid[96];
	int index;

	switch (gauge_visible(getenv("CUDA_VISIBLE_DEVICES"), device, &index, uuid, sizeof uuid)) {
	case 1:
		return !n->by_index((unsigned)index, &n->device);
	case 2:
		return !n->by_uuid(uuid, &n->device);
	default:
		return false;
	}
}

static void nvml_open(struct nvml *n, int device)
{
	*n = (struct nvml){0};
	if (device < 0 || !(n->library = dlopen("libnvidia-ml.so.1", RTLD_LAZY | RTLD_LOCAL)))
		return;
	if (!nvml_symbols(n) || n->init()) {
		nvml_close(n);
		return;
	}
	if (!nvml_find(n, device)) {
		n->shutdown();
		n->device = NULL;
		nvml_close(n);
		return;
	}
	if (n->name(n->device, n->device_name, sizeof n->device_name))
		strcpy(n->device_name, "GPU");
	if (n->uuid(n->device, n->device_uuid, sizeof n->device_uuid))
		n->device_uuid[0] = '\0';
}

static void read_gpu(struct nvml *n, struct gauge_sample *s)
{
	struct nvml_memory memory;
	struct nvml_utilization busy;
	unsigned value;

	if (!n->device || n->memory(n->device, &memory))
		return;
	s->gpu = true;
	memcpy(s->gpu_name, n->device_name, sizeof s->gpu_name);
	memcpy(s->gpu_id, n->device_uuid, sizeof s->gpu_id);
	s->gpu_total = (int64_t)memory.total;
	s->gpu_free = (int64_t)memory.free;
	s->gpu_busy = n->utilization(n->device, &busy) ? -1 : (int)busy.gpu;
	s->gpu_celsius = n->temperature && !n->temperature(n->device, 0, &value) ? (int)value : -1;
	s->gpu_watts = n->power && !n->power(n->device, &value) ? value / 1000.0 : -1;
}

/* ---------------------------------------------------------------- /proc */

static void read_meminfo(struct gauge_sample *s)
{
	FILE *f = fopen("/proc/meminfo", "re");
	char line[128];
	long long kb;

	while (f && fgets(line, sizeof line, f)) {
		if (sscanf(line, "MemTotal: %lld", &kb) == 1)
			s->host_total = kb * 1024;
		else if (sscanf(line, "MemAvailable: %lld", &kb) == 1)
			s->host_available = kb * 1024;
	}
	if (f)
		fclose(f);
}

static void read_process(struct gauge_sample *s)
{
	FILE *f = fopen("/proc/self/statm", "re");
	long long size, resident;

	if (f && fscanf(f, "%lld %lld", &size, &resident) == 2)
		s->rss = resident * sysconf(_SC_PAGESIZE);
	if (f)
		fclose(f);
}

static double seconds(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---------------------------------------------------------------- thread */

static void keep(struct gauge *g, const struct gauge_sample *s)
{
	g->history[(g->head + g->count) % GAUGE_HISTORY] = *s;
	if (g->count < GAUGE_HISTORY)
		g->count++;
	else
		g->head = (g->head + 1) % GAUGE_HISTORY;
}

static void sample(struct gauge *g, struct nvml *nvml, double before)
{
	struct gauge_sample s = {.time = seconds(CLOCK_MONOTONIC)};
	double cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);

	read_process(&s);
	read_meminfo(&s);
	read_gpu(nvml, &s);
	s.cpu = before > 0 && s.time > before ? (cpu - g->cpu_seconds) / (s.time - before) : 0;
	g->cpu_seconds = cpu;
	pthread_mutex_lock(&g->lock);
	keep(g, &s);
	pthread_mutex_unlock(&g->lock);
}

static struct timespec timespec_of(double t)
{
	struct timespec at = {(time_t)t, (long)(1e9 * (t - (double)(time_t)t))};

	return at;
}

/* Waits out the period. Returns the device to read next; *stop says to end. */
static int rest(struct gauge *g, double from, bool *stop)
{
	struct timespec until = timespec_of(from + g->period);
	int device;

	pthread_mutex_lock(&g->lock);
	while (!g->stop && pthread_cond_timedwait(&g->ended, &g->lock, &until) != ETIMEDOUT)
		;
	*stop = g->stop;
	device = g->device;
	pthread_mutex_unlock(&g->lock);
	return device;
}

static void gauge_free(struct gauge *g)
{
	pthread_cond_destroy(&g->ended);
	pthread_mutex_destroy(&g->lock);
	free(g);
}

static void *gauge_main(void *arg)
{
	struct gauge *g = arg;
	struct nvml nvml = {0};
	int opened = DEVICE_CPU, device;
	double before = 0, now;
	bool stop = false, left;

	pthread_mutex_lock(&g->lock);
	device = g->device;
	pthread_mutex_unlock(&g->lock);
	while (!stop) {
		now = seconds(CLOCK_MONOTONIC);
		sample(g, &nvml, before);
		before = now;
		if (device != opened) { /* after a sample: opening may hang */
			nvml_close(&nvml);
			nvml_open(&nvml, device);
			opened = device;
			continue;
		}
		device = rest(g, now, &stop);
	}
	nvml_close(&nvml);
	pthread_mutex_lock(&g->lock);
	left = g->left;
	pthread_mutex_unlock(&g->lock);
	if (left)
		gauge_free(g);
	return NULL;
}

struct gauge *gauge_start(int device, double hz)
{
	struct gauge *g = xcalloc(1, sizeof *g);
	pthread_condattr_t monotonic;
	sigset_t all, old;

	g->device = device;
	g->period = 1.0 / (hz < 1 ? 1 : hz > 10 ? 10 : hz);
	pthread_mutex_init(&g->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&g->ended, &monotonic);
	pthread_condattr_destroy(&monotonic);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	if (pthread_create(&g->thread, NULL, gauge_main, g))
		abort();
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return g;
}

void gauge_watch(struct gauge *g, int device)
{
	pthread_mutex_lock(&g->lock);
	g->device = device;
	pthread_mutex_unlock(&g->lock);
}

void gauge_stop(struct gauge *g)
{
	struct timespec patience;

	if (!g)
		return;
	pthread_mutex_lock(&g->lock);
	g->stop = true;
	pthread_cond_signal(&g->ended);
	pthread_mutex_unlock(&g->lock);
	clock_gettime(CLOCK_REALTIME, &patience);
	patience.tv_nsec += 250000000;
	patience.tv_sec += patience.tv_nsec / 1000000000;
	patience.tv_nsec %= 1000000000;
	if (!pthread_timedjoin_np(g->thread, NULL, &patience)) {
		gauge_free(g);
		return;
	}
	/* Detached first: once left is set, the thread may end and free g at any time. */
	pthread_detach(g->thread);
	pthread_mutex_lock(&g->lock);
	g->left = true;
	pthread_mutex_unlock(&g->lock);
}

void gauge_read(struct gauge *g, struct gauge_sample *out)
{
	pthread_mutex_lock(&g->lock);
	*out = g->count ? g->history[(g->head + g->count - 1) % GAUGE_HISTORY] : (struct gauge_sample){0};
	pthread_mutex_unlock(&g->lock);
}

int gauge_history(struct gauge *g, struct gauge_sample *out, int n)
{
	pthread_mutex_lock(&g->lock);
	n = n < g->count ? n : g->count;
	for (int i = 0; i < n; i++)
		out[i] = g->history[(g->head + g->count - n + i) % GAUGE_HISTORY];
	pthread_mutex_unlock(&g->lock);
	return n;
}
