/* queue.c - see queue.h. */
#include "core/queue.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/mem.h"

int queue_init(struct queue *q, size_t value_size, struct error *err)
{
	*q = (struct queue){.size = value_size};
	if (pipe2(q->pipe, O_NONBLOCK | O_CLOEXEC) < 0) {
		q->size = 0;
		return fail(err, E_IO, "no pipe for events: %s", strerror(errno));
	}
	pthread_mutex_init(&q->lock, NULL);
	return 0;
}

void queue_free(struct queue *q)
{
	if (!q->size)
		return;
	close(q->pipe[0]);
	close(q->pipe[1]);
	pthread_mutex_destroy(&q->lock);
	free(q->values);
	*q = (struct queue){0};
}

static char *value_at(const struct queue *q, size_t i)
{
	return q->values + (q->head + i) % q->capacity * q->size;
}

static void grow(struct queue *q)
{
	size_t capacity = q->capacity ? q->capacity * 2 : 64;
	char *values = xmalloc(capacity * q->size);

	for (size_t i = 0; i < q->count; i++)
		memcpy(values + i * q->size, value_at(q, i), q->size);
	free(q->values);
	q->values = values;
	q->capacity = capacity;
	q->head = 0;
}

static void wake(struct queue *q)
{
	if (q->woken)
		return;
	/* At most one byte is ever in the pipe, so the write cannot find it full; a signal may interrupt it. */
	while (write(q->pipe[1], "", 1) < 0 && errno == EINTR)
		;
	q->woken = true;
}

static void settle(struct queue *q)
{
	char byte;

	if (!q->woken || q->count)
		return;
	while (read(q->pipe[0], &byte, 1) < 0 && errno == EINTR)
		;
	q->woken = false;
}

void queue_put(struct queue *q, const void *value)
{
	pthread_mutex_lock(&q->lock);
	if (q->count == q->capacity)
		grow(q);
	memcpy(value_at(q, q->count++), value, q->size);
	wake(q);
	pthread_mutex_unlock(&q->lock);
}

bool queue_take(struct queue *q, void *value)
{
	bool taken = false;

	pthread_mutex_lock(&q->lock);
	if (q->count) {
		memcpy(value, value_at(q, 0), q->size);
		q->head = (q->head + 1) % q->capacity;
		q->count--;
		taken = true;
	}
	settle(q);
	pthread_mutex_unlock(&q->lock);
	return taken;
}

size_t queue_count(struct queue *q)
{
	size_t count;

	pthread_mutex_lock(&q->lock);
	count = q->count;
	pthread_mutex_unlock(&q->lock);
	return count;
}

int queue_fd(const struct queue *q)
{
	return q->pipe[0];
}

void queue_filter(struct queue *q, bool (*keep)(void *ctx, void *value), void *ctx)
{
	size_t kept = 0;

	pthread_mutex_lock(&q->lock);
	for (size_t i = 0; i < q->count; i++) {
		if (!keep(ctx, value_at(q, i)))
			continue;
		if (kept != i)
			memcpy(value_at(q, kept), value_at(q, i), q->size);
		kept++;
	}
	q->count = kept;
	settle(q);
	pthread_mutex_unlock(&q->lock);
}
