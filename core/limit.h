/* limit.h - how much tensors may hold on a device: the cap, and what the reserve leaves. Pure; any thread.
 *
 *	int64_t cap = limit_cap(&settings, reading.device_total);
 *	bool fits = peak <= limit_used(&reading, cap, settings.reserve);
 */
#ifndef CORE_LIMIT_H
#define CORE_LIMIT_H

#include "core/engine.h"

/* settings.cap, or else cap_percent of device_total, in bytes; 0: no cap. */
int64_t limit_cap(const struct engine_settings *settings, int64_t device_total);

/* The most that reading->used may become, bytes: no more than cap (0: none), and so that `reserve` percent of the device stay free, beside what others
 * hold there. INT64_MAX where neither bounds it (a device that does not tell its size). At least 0. */
int64_t limit_used(const struct memory_reading *reading, int64_t cap, int reserve);

#endif
