/* doctor.h - the check-list before a demo: facts about this machine, and what to say of them. doctor_judge is pure; the gathering functions read /proc and
 * ask the driver. One thread.
 *
 *	struct doctor_facts facts = {…};
 *	struct doctor doctor = {0};
 *	facts.driver = driver_probe(5);
 *	doctor_judge(&facts, &doctor);
 *	for (int i = 0; i < doctor.n; i++) ... doctor.check[i]
 *	doctor_free(&doctor);
 */
#ifndef CORE_DOCTOR_H
#define CORE_DOCTOR_H

#include <stdbool.h>
#include <stdint.h>

#include "core/model.h"

enum check_verdict { CHECK_OK, CHECK_WARN, CHECK_FAIL };

struct check {
	enum check_verdict verdict;
	const char *name; /* static; one word */
	char *text;       /* owned; what was found */
	char *fix;        /* owned; what to do, one line; NULL where there is nothing to do */
};

/* Zero-initialise. */
struct doctor {
	struct check *check; /* owned */
	int n;
	int count[CHECK_FAIL + 1]; /* by verdict */
};

/* What NVML says. */
enum driver_state { DRIVER_MISSING, DRIVER_HANGS, DRIVER_FAILS, DRIVER_WORKS };
struct driver_facts {
	enum driver_state state;
	char text[128];  /* works: the version; fails: NVML's words or number */
	char device[96]; /* the first one's name */
	int devices;
};

/* How much a CUDA device is wanted. */
enum cuda_need { CUDA_UNWANTED, CUDA_WELCOME, CUDA_NEEDED };

struct model_facts {
	bool used;
	char dir[512], error[1000]; /* error is empty: it can be opened */
	struct model_info info;
	int64_t weights; /* bytes, in the precision asked for */
};

struct doctor_facts {
	struct driver_facts driver;
	char torch[64], torch_error[1000]; /* the version, or why there is none */
	int devices;                       /* that libtorch sees */
	char unusable[1000];               /* why no CUDA device can be used; empty: one can */
	const char *visible;               /* CUDA_VISIBLE_DEVICES; NULL: unset */
	enum cuda_need need;
	char device[96]; /* on which the models will stand, by name */
	double gflops;   /* of the CPU's BLAS; 0 unknown */
	char blas[256];  /* the file it comes from; empty: unknown */
	bool bf16;
	int cpus, cpus_online, threads; /* we may use; there are; asked for (0: all we may use) */
	double cpu_quota;               /* of the container, in CPUs; 0: none */
	struct model_facts model[MODEL_KINDS];
	int64_t memory_total, memory_free; /* of that device, bytes */
	int64_t cap;                       /* bytes; 0: none */
	int reserve;                       /* percent */
	const char *profile;               /* NULL: none */
	bool screen;                       /* built with one; else the terminal does not matter */
	bool tty;
	const char *term, *colorterm, *multiplexer; /* NULL: unset; "tmux", "screen" or NULL */
	int colours;                                /* terminfo's; -1: no such entry */
	const char *codeset, *locale;               /* nl_langinfo(CODESET); the LANG or LC_ALL that asks for it, or NULL */
	int problems;                               /* with settings */
	const char *problem;                        /* the first; NULL: none */
	const char *log_path;                       /* NULL: cannot be written */
	char log_error[1000];
};

/* Adds a check for each topic, in a fixed order. */
void doctor_judge(const struct doctor_facts *facts, struct doctor *out);
/* Adds one check; text and fix (may be NULL) are taken over. */
void doctor_add(struct doctor *d, enum check_verdict verdict, const char *name, char *text, char *fix);
void doctor_free(struct doctor *d);
const char *check_verdict_name(enum check_verdict verdict); /* "ok", "warn", "fail" */

/* Asks NVML in a process of its own, so that a driver that hangs holds up nothing: after `seconds` it is left behind. To be called before other threads run and
 * before libtorch is loaded. */
struct driver_facts driver_probe(double seconds);
/* The file of the BLAS that this process has loaded, into out; false when none is found. */
bool doctor_blas_file(char *out, size_t size);
/* The container's limit in CPUs; 0: none or unknown. */
double doctor_cpu_quota(void);

#endif
