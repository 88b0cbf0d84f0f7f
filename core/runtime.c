#include "core/runtime.h"

#include <malloc.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int runtime_cpus(void)
{
	/* a machine may have more CPUs than one cpu_set_t holds */
	for (int room = CPU_SETSIZE; room <= (1 << 20); room *= 4) {
		cpu_set_t *set = CPU_ALLOC(room);
		if (!set)
			break;
		size_t size = CPU_ALLOC_SIZE(room);
		int rc = sched_getaffinity(0, size, set);
		int count = rc == 0 ? CPU_COUNT_S(size, set) : 0;
		CPU_FREE(set);
		if (count > 0)
			return count;
	}
	long online = sysconf(_SC_NPROCESSORS_ONLN);
	return online > 0 ? (int)online : 1;
}

static int set_default(const char *name, const char *value)
{
	if (getenv(name))
		return 0;
	return setenv(name, value, 0) == 0;
}

/* Decoded and prepared pictures are as large as this or larger, and many threads make and free them. */
enum { PICTURE_BYTES = 256 * 1024 };

int runtime_prepare(int threads)
{
	char count[16];
	mallopt(M_MMAP_THRESHOLD, PICTURE_BYTES);
	mallopt(M_ARENA_MAX, 2);
	snprintf(count, sizeof count, "%d", threads > 0 ? threads : runtime_cpus());
	int changed = set_default("OMP_WAIT_POLICY", "PASSIVE");
	changed = set_default("GOMP_SPINCOUNT", "20000") || changed;
	changed = set_default("CUBLAS_WORKSPACE_CONFIG", ":4096:8") || changed;
	return set_default("OMP_NUM_THREADS", count) || changed;
}
