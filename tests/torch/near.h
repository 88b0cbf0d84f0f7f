/* near.h - what the tensor tests share: numbers from a fixed sequence, comparison with an expected array, the start of main. Header only. */
#ifndef TESTS_TORCH_NEAR_H
#define TESTS_TORCH_NEAR_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/error.h" /* before cmocka, which makes fail a macro */
#include "core/runtime.h"
#include "models/torch_shim.h"

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* n numbers in [-scale, scale) */
static inline void near_fill(float *out, size_t n, float scale, uint32_t seed)
{
	uint32_t state = seed * 2654435761u + 12345u;
	for (size_t i = 0; i < n; i++) {
		state ^= state << 13;
		state ^= state >> 17;
		state ^= state << 5;
		out[i] = ((float)(state >> 8) / 8388608.0f - 1.0f) * scale;
	}
}

static inline void near_compare(const char *what, const float *got, const float *want, size_t n, double tolerance)
{
	for (size_t i = 0; i < n; i++) {
		if (!(fabs((double)got[i] - want[i]) <= tolerance * (1 + fabs((double)want[i]))))
			fail_msg("%s: value %zu of %zu is %g, expected %g", what, i, n, (double)got[i], (double)want[i]);
	}
}

/* x holds want, within tolerance * (1 + |want|) */
static inline void near_check(tt_pool *p, const char *what, tt_tensor *x, const float *want, size_t n, double tolerance)
{
	float *got = malloc((n + 1) * sizeof *got);
	if (tt_to_f32(p, x, got, n) < 0)
		fail_msg("%s: %s", what, tt_message(p));
	near_compare(what, got, want, n, tolerance);
	free(got);
}

/* Begins every main: the environment, then libtorch. */
static inline void near_start(char **argv)
{
	char message[200];
	if (runtime_prepare(0))
		execv("/proc/self/exe", argv);
	if (tt_start(0, message, sizeof message) < 0) {
		fprintf(stderr, "%s\n", message);
		exit(1);
	}
	tt_seed(1);
}

#endif
