/* memory.h - what is held, by whom: one reading to the rows of the memory panel, its history, and the words for it. Pure; any thread.
 *
 *	struct memory_rows rows = memory_rows(&status.device[0].memory, bytes);
 *	memory_history_add(&history, rows.weights + rows.activations);
 */
#ifndef CORE_MEMORY_H
#define CORE_MEMORY_H

#include <stdbool.h>

#include "core/model.h"

/* weights + activations + kv + cached + others + free = total, each at least 0; weights = the sum of model[]. */
struct memory_rows {
	int64_t model[MODEL_KINDS]; /* a model's weights, as far as tensors hold them */
	int64_t weights;
	int64_t activations; /* held by tensors, neither weights nor caches of keys and values */
	int64_t kv;
	int64_t cached; /* kept by our allocator for the next batch */
	int64_t others; /* other processes, and what of this one is not tensors */
	int64_t free, total;
	int64_t mapped; /* weights used from the file in place: in the page cache, beside the sum */
	int64_t ours;   /* weights + activations + kv + cached */
};

/* bytes: of all weights of each model that stands on the device read (0: it stands elsewhere), for what is mapped. */
struct memory_rows memory_rows(const struct memory_reading *reading, const int64_t bytes[MODEL_KINDS]);

enum { MEMORY_HISTORY = 256 };

/* The last MEMORY_HISTORY values, oldest first. Zero-initialise. */
struct memory_history {
	int64_t value[MEMORY_HISTORY];
	int count, head;
	int64_t peak; /* of all values since the last reset, also of those that left the ring */
};

void memory_history_add(struct memory_history *h, int64_t bytes);
int64_t memory_history_at(const struct memory_history *h, int i); /* 0 = oldest kept, count - 1 = newest */
void memory_history_reset_peak(struct memory_history *h);         /* to the newest value */

/* "12.5 MiB" or "1.23 GiB", for messages; as a cap of 16G is read. Returns out. */
const char *memory_text(int64_t bytes, char out[24]);

#endif
