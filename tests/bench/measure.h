/* measure.h - what the benches share: their arguments, series of times, and how a value is told.
 *
 * A bench prints "name value" lines; tests/bench/run makes rows of them, with limits, peers and targets. It ends with code 1 when it could not measure.
 * One thread.
 *
 *	struct bench_arguments args;
 *	struct series times = {0};
 *	bench_arguments_read(argc, argv, &args);
 *	series_add(&times, clock_now() - begin);
 *	bench_tell("first_frame_ms", 1e3 * series_quantile(&times, 0.5));
 */
#ifndef TESTS_BENCH_MEASURE_H
#define TESTS_BENCH_MEASURE_H

#include <stdint.h>

#include "core/clock.h"
#include "core/model.h"

struct bench_arguments {
	const char *mode; /* the first argument, when it is no flag; else NULL */
	const char *clip, *captioner, *nli, *pictures, *program, *vectors;
	int device; /* DEVICE_CPU or a CUDA ordinal */
	int batch, threads, tries;
	enum precision precision;
};

/* `[MODE] --key value …`. Ends the program with usage (code 2) on anything else. Strings are borrowed from argv. */
void bench_arguments_read(int argc, char **argv, struct bench_arguments *out);
/* The value of a flag that this bench cannot do without; ends the program when it is NULL. */
const char *bench_needs(const char *value, const char *flag);

int64_t bench_peak_bytes(void); /* most memory this process ever had resident: VmHWM */
void bench_tell(const char *name, double value);
_Noreturn void bench_stop(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* says why and ends with code 1 */

/* Regular files of a folder, sorted by name. paths[0..n) and the list are malloc'd; ends the program when there are none. */
char **bench_files(const char *folder, int *n);

/* Zero-initialise; series_free. */
struct series {
	double *values;
	int n, capacity;
};
void series_add(struct series *s, double value);
/* The q-quantile by nearest rank, 0 < q <= 1 (1: the largest); sorts the values. NAN when there are none. */
double series_quantile(struct series *s, double q);
void series_free(struct series *s);

#endif
