/* queue.h - a growing first-in first-out of values of one size, with a descriptor that wakes a poll loop.
 *
 * Any thread may put, one thread takes. Putting never waits: whoever must be held back is held back where the work is handed out. The pipe holds at
 * most one byte, however many values wait. What values point to belongs to the caller: take all before queue_free, or filter them away.
 *
 *	struct queue q;
 *	queue_init(&q, sizeof(struct event), &err);
 *	queue_put(&q, &event);
 *	poll(queue_fd(&q)); while (queue_take(&q, &event)) ...
 */
#ifndef CORE_QUEUE_H
#define CORE_QUEUE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/error.h"

struct queue {
	pthread_mutex_t lock;
	char *values; /* ring of `capacity` values */
	size_t size;  /* of one value, bytes */
	size_t capacity, head, count;
	int pipe[2];
	bool woken; /* a byte is in the pipe */
};

/* -1 with E_IO when no pipe can be made. */
int queue_init(struct queue *q, size_t value_size, struct error *err);
void queue_free(struct queue *q);                   /* a zeroed queue is fine */
void queue_put(struct queue *q, const void *value); /* copies the value */
bool queue_take(struct queue *q, void *value);      /* false when empty; the descriptor is then no longer readable */
size_t queue_count(struct queue *q);
int queue_fd(const struct queue *q); /* readable while values wait */
/* Asks keep about each waiting value, oldest first; where it says false the value is gone (keep frees what it points to). */
void queue_filter(struct queue *q, bool (*keep)(void *ctx, void *value), void *ctx);

#endif
