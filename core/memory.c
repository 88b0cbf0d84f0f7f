/* memory.c - see memory.h. */
#include "core/memory.h"

static int64_t between(int64_t value, int64_t least, int64_t most)
{
	return value < least ? least : value > most ? most : value;
}

struct memory_rows memory_rows(const struct memory_reading *reading, const struct model_weights weights[MODEL_KINDS])
{
	struct memory_rows rows = {.peak = reading->peak[PEAK_CHANGE], .cap = reading->cap};
	int64_t left = reading->device_total > 0 ? reading->device_total : 0;

	for (int i = 0; i < MODEL_KINDS; i++) {
		rows.weights += weights[i].held;
		rows.mapped += between(weights[i].bytes - weights[i].held, 0, INT64_MAX);
	}
	/* The numbers are read one after the other while tensors come and go; cutting each to what is left keeps the sum true. */
	rows.total = left;
	rows.weights = between(rows.weights, 0, between(reading->used, 0, left));
	rows.activations = between(reading->used - rows.weights, 0, left - rows.weights);
	left -= rows.weights + rows.activations;
	rows.cached = between(reading->cached, 0, left);
	left -= rows.cached;
	rows.free = between(reading->device_free, 0, left);
	rows.others = left - rows.free;
	rows.ours = rows.weights + rows.activations + rows.cached;
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
