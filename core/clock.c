/* clock.c - see clock.h. */
#include "core/clock.h"

static struct timespec read_clock(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t;
}

double clock_now(void)
{
	struct timespec t = read_clock();

	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int64_t clock_now_ms(void)
{
	struct timespec t = read_clock();

	return t.tv_sec * (int64_t)1000 + t.tv_nsec / 1000000;
}

struct timespec clock_after(double seconds)
{
	struct timespec t = read_clock();

	t.tv_nsec += (long)(1e9 * seconds);
	t.tv_sec += t.tv_nsec / 1000000000L;
	t.tv_nsec %= 1000000000L;
	return t;
}
