/* memory.c - see memory.h. */
#include "core/memory.h"

#include <stdio.h>

static int64_t between(int64_t value, int64_t least, int64_t most)
{
	return value < least ? least : value > most ? most : value;
}

/* The most of `wanted` that *left still holds; takes it away. */
static int64_t take(int64_t *left, int64_t wanted)
{
	int64_t taken = between(wanted, 0, *left);

	*left -= taken;
	return taken;
}

struct memory_rows memory_rows(const struct memory_reading *reading, const int64_t bytes[MODEL_KINDS])
{
	struct memory_rows rows = {.total = between(reading->device_total, 0, INT64_MAX)};
	int64_t left = rows.total, used = between(reading->used, 0, rows.total), before = used;

	/* The numbers are read one after the other while tensors come and go; cutting each to what is left keeps the sum true. */
	for (int i = 0; i < MODEL_KINDS; i++) {
		rows.model[i] = take(&used, reading->weights[i + 1]);
		rows.weights += rows.model[i];
		rows.mapped += between(bytes[i] - rows.model[i], 0, INT64_MAX);
	}
	for (int i = 0; i < MODEL_OWNERS; i++)
		rows.kv += take(&used, reading->kv[i]);
	rows.activations = used;
	left -= before;
	rows.cached = take(&left, reading->cached);
	rows.free = take(&left, reading->device_free);
	rows.others = left;
	rows.ours = rows.weights + rows.activations + rows.kv + rows.cached;
	return rows;
}

void memory_history_add(struct memory_history *h, int64_t bytes)
{
	h->value[(h->head + h->count) % MEMORY_HISTORY] = bytes;
	if (h->count < MEMORY_HISTORY)
		h->count++;
	else
		h->head = (h->head + 1) % MEMORY_HISTORY;
	if (bytes > h->peak)
		h->peak = bytes;
}

int64_t memory_history_at(const struct memory_history *h, int i)
{
	return h->value[(h->head + i) % MEMORY_HISTORY];
}

void memory_history_reset_peak(struct memory_history *h)
{
	h->peak = h->count ? memory_history_at(h, h->count - 1) : 0;
}

const char *memory_text(int64_t bytes, char out[24])
{
	double mib = (double)bytes / 1048576;

	if (mib < 1023.95) /* below that it does not round to 1024.0 */
		snprintf(out, 24, "%.1f MiB", mib);
	else
		snprintf(out, 24, "%.2f GiB", mib / 1024);
	return out;
}
