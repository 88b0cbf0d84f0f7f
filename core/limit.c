/* limit.c - see limit.h. */
#include "core/limit.h"

int64_t limit_cap(const struct engine_settings *settings, int64_t device_total)
{
	return settings->cap ? settings->cap : device_total * settings->cap_percent / 100;
}

int64_t limit_used(const struct memory_reading *reading, int64_t cap, int reserve)
{
	int64_t limit = cap ? cap : INT64_MAX, left;

	if (reading->device_total <= 0)
		return limit;
	/* What is free now, and what is ours already. */
	left = reading->used + reading->cached + reading->device_free - reading->device_total * reserve / 100;
	if (left < 0)
		left = 0;
	return left < limit ? left : limit;
}
