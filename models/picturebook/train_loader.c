#include "models/picturebook/train.h"

#include <pthread.h>
#include <stdlib.h>

enum { SLOTS = 6, MAX_THREADS = 8 };

struct train_loader {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct train_batch *slot[SLOTS]; /* batch i waits in slot i % SLOTS */
	int64_t batches, started, taken; /* indices: next to draw, next to hand out */
	bool stop;
	train_draw_function *draw;
	void *ctx;
	pthread_t threads[MAX_THREADS];
	int n_threads;
};

/* The next index to draw, or -1 when there is nothing more to do. */
static int64_t claim(struct train_loader *l)
{
	pthread_mutex_lock(&l->lock);
	while (!l->stop && l->started < l->batches && l->started >= l->taken + SLOTS)
		pthread_cond_wait(&l->changed, &l->lock);
	int64_t index = l->stop || l->started >= l->batches ? -1 : l->started++;
	pthread_mutex_unlock(&l->lock);
	return index;
}

static void *work(void *arg)
{
	struct train_loader *l = arg;
	for (int64_t index = claim(l); index >= 0; index = claim(l)) {
		struct train_batch *b = l->draw(l->ctx, index);
		pthread_mutex_lock(&l->lock);
		l->slot[index % SLOTS] = b;
		pthread_cond_broadcast(&l->changed);
		pthread_mutex_unlock(&l->lock);
	}
	return NULL;
}

struct train_loader *train_loader_start(int threads, int64_t batches, train_draw_function *draw, void *ctx)
{
	struct train_loader *l = xcalloc(1, sizeof *l);
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->changed, NULL);
	l->batches = batches;
	l->draw = draw;
	l->ctx = ctx;
	for (int i = 0; i < threads && i < MAX_THREADS; i++) {
		if (pthread_create(&l->threads[l->n_threads], NULL, work, l) == 0)
			l->n_threads++;
	}
	return l;
}

/* Draws on the calling thread when no thread could be started. */
struct train_batch *train_loader_next(struct train_loader *l)
{
	if (l->taken >= l->batches)
		return NULL;
	if (l->n_threads == 0)
		return l->draw(l->ctx, l->taken++);
	pthread_mutex_lock(&l->lock);
	struct train_batch **slot = &l->slot[l->taken % SLOTS];
	while (!*slot)
		pthread_cond_wait(&l->changed, &l->lock);
	struct train_batch *b = *slot;
	*slot = NULL;
	l->taken++;
	pthread_cond_broadcast(&l->changed);
	pthread_mutex_unlock(&l->lock);
	return b;
}

void train_loader_stop(struct train_loader *l)
{
	pthread_mutex_lock(&l->lock);
	l->stop = true;
	pthread_cond_broadcast(&l->changed);
	pthread_mutex_unlock(&l->lock);
	for (int i = 0; i < l->n_threads; i++)
		pthread_join(l->threads[i], NULL);
	for (int i = 0; i < SLOTS; i++)
		train_batch_free(l->slot[i]);
	pthread_cond_destroy(&l->changed);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

struct train_batch *train_batch_create(int n, int size, int rows, int length)
{
	struct train_batch *b = xcalloc(1, sizeof *b);
	size_t tokens = (size_t)rows * (size_t)length;
	*b = (struct train_batch){.n = n, .size = size, .rows = rows, .length = length};
	b->pixels = xcalloc((size_t)n * 3 * (size_t)size * (size_t)size + 1, sizeof *b->pixels);
	b->ids = xcalloc(tokens, sizeof *b->ids);
	b->mask = xcalloc(tokens, sizeof *b->mask);
	b->types = xcalloc(tokens, sizeof *b->types);
	b->target = xcalloc(tokens, sizeof *b->target);
	b->bias = xcalloc((size_t)n * (size_t)rows, sizeof *b->bias);
	return b;
}

void train_batch_free(struct train_batch *b)
{
	if (!b)
		return;
	free(b->pixels);
	free(b->ids);
	free(b->mask);
	free(b->types);
	free(b->target);
	free(b->bias);
	free(b->patches);
	free(b);
}
