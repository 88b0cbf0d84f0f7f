/* clock.h - the time that only goes forward, whoever sets the date: for what lasts, is due or stops waiting. Any thread.
 *
 *	double begin = clock_now();
 *	...
 *	took = clock_now() - begin;
 */
#ifndef CORE_CLOCK_H
#define CORE_CLOCK_H

#include <stdint.h>
#include <time.h>

double clock_now(void);     /* CLOCK_MONOTONIC, seconds */
int64_t clock_now_ms(void); /* the same in whole milliseconds */

/* The moment so many seconds from now (below 1e9), for pthread_cond_timedwait on a condition of that clock. */
struct timespec clock_after(double seconds);

#endif
