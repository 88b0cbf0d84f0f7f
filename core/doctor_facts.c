/* doctor_facts.c - see doctor.h: what must be asked of the machine. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/doctor.h"

/* ---------------------------------------------------------------- the driver */

/* NVML's functions return 0 when they worked (NVML API reference). */
struct nvml {
	int (*init)(void);
	const char *(*error)(int);
	int (*version)(char *, unsigned);
	int (*count)(unsigned *);
	int (*by_index)(unsigned, void **);
	int (*name)(void *, char *, unsigned);
};

static bool find(void *library, const char *name, void *slot)
{
	void *symbol = dlsym(library, name);

	/* POSIX lets a function pointer travel in a void *, ISO C does not let it be cast. */
	memcpy(slot, &symbol, sizeof symbol);
	return symbol;
}

static void ask_nvml(struct driver_facts *out)
{
	void *library = dlopen("libnvidia-ml.so.1", RTLD_LAZY | RTLD_LOCAL), *first;
	struct nvml n;
	unsigned count = 0;
	int code;

	if (!library)
		return;
	out->state = DRIVER_FAILS;
	if (!find(library, "nvmlInit_v2", &n.init) || !find(library, "nvmlErrorString", &n.error) ||
	    !find(library, "nvmlSystemGetDriverVersion", &n.version) || !find(library, "nvmlDeviceGetCount_v2", &n.count) ||
	    !find(library, "nvmlDeviceGetHandleByIndex_v2", &n.by_index) || !find(library, "nvmlDeviceGetName", &n.name)) {
		snprintf(out->text, sizeof out->text, "libnvidia-ml.so.1 lacks functions; is it too old?");
		return;
	}
	code = n.init();
	if (!code)
		code = n.version(out->text, sizeof out->text);
	if (!code)
		code = n.count(&count);
	if (code) {
		snprintf(out->text, sizeof out->text, "%s", n.error(code));
		return;
	}
	out->state = DRIVER_WORKS;
	out->devices = (int)count;
	if (!count || n.by_index(0, &first) || n.name(first, out->device, sizeof out->device))
		snprintf(out->device, sizeof out->device, "unnamed");
}

/* What the child wrote; nothing within the time: it hangs, or died in the driver. */
static struct driver_facts hear(int fd, double seconds)
{
	struct driver_facts facts = {.state = DRIVER_HANGS};
	struct pollfd ready = {.fd = fd, .events = POLLIN};
	int n;

	do
		n = poll(&ready, 1, (int)(1000 * seconds));
	while (n < 0 && errno == EINTR);
	/* It is written at once, being smaller than a pipe takes whole (PIPE_BUF). */
	if (n > 0 && read(fd, &facts, sizeof facts) != (ssize_t)sizeof facts)
		facts = (struct driver_facts){.state = DRIVER_FAILS, .text = "the process that asked it died"};
	return facts;
}

/* Holds none of our output open: whoever reads it should not wait for a child that hangs. */
static void be_silent(void)
{
	int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int fd = 0; fd < 3; fd++)
		dup2(nowhere, fd);
}

struct driver_facts driver_probe(double seconds)
{
	struct driver_facts facts = {.state = DRIVER_MISSING};
	int ends[2];
	pid_t child;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return facts;
	child = fork();
	if (!child) {
		be_silent();
		ask_nvml(&facts);
		_exit(write(ends[1], &facts, sizeof facts) != (ssize_t)sizeof facts);
	}
	close(ends[1]);
	if (child > 0) {
		facts = hear(ends[0], seconds);
		/* One that sleeps within the kernel does not die before it wakes, and is not waited for. */
		kill(child, SIGKILL);
		waitpid(child, NULL, facts.state == DRIVER_HANGS ? WNOHANG : 0);
	}
	close(ends[0]);
	return facts;
}

/* ---------------------------------------------------------------- the CPU */

bool doctor_blas_file(char *out, size_t size)
{
	/* Several may be loaded. Debian's libtorch calls the one named libblas, whichever that is; LAPACK may bring another. */
	static const char *const names[] = {"libmkl", "libblas", "libopenblas", "libblis"};
	FILE *f = fopen("/proc/self/maps", "re");
	char line[4500];
	size_t best = sizeof names / sizeof *names;

	while (f && fgets(line, sizeof line, f)) {
		const char *path = strchr(line, '/'), *file = path ? strrchr(path, '/') : NULL;

		for (size_t i = 0; file && i < best; i++)
			if (!strncmp(file + 1, names[i], strlen(names[i]))) {
				snprintf(out, size, "%.*s", (int)strcspn(path, "\n"), path);
				best = i;
			}
	}
	if (f)
		fclose(f);
	return best < sizeof names / sizeof *names;
}

double doctor_cpu_quota(void)
{
	FILE *f = fopen("/sys/fs/cgroup/cpu.max", "re"); /* "200000 100000", or "max 100000" */
	double quota = 0, period = 0;

	if (f) {
		if (fscanf(f, "%lf %lf", &quota, &period) != 2)
			quota = 0;
		fclose(f);
		return quota > 0 && period > 0 ? quota / period : 0;
	}
	f = fopen("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "re"); /* the first version of control groups */
	if (f) {
		if (fscanf(f, "%lf", &quota) != 1)
			quota = 0;
		fclose(f);
	}
	f = fopen("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "re");
	if (f) {
		if (fscanf(f, "%lf", &period) != 1)
			period = 0;
		fclose(f);
	}
	return quota > 0 && period > 0 ? quota / period : 0;
}
