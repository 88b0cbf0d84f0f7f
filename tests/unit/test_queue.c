/* The queue between the threads and the screen. */
#include "core/queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>

enum { WRITERS = 4, EACH = 20000 };

struct value {
	int writer, number;
};

static bool readable(const struct queue *q)
{
	struct pollfd fd = {queue_fd(q), POLLIN, 0};

	return poll(&fd, 1, 0) == 1;
}

static void test_order_and_wakeup(void **state)
{
	struct queue q;
	int value;

	assert_int_equal(queue_init(&q, sizeof value, NULL), 0);
	assert_false(readable(&q));
	assert_false(queue_take(&q, &value));
	for (int round = 0; round < 3; round++) {
		for (value = 0; value < 1000; value++)
			queue_put(&q, &value);
		assert_int_equal(queue_count(&q), 1000);
		for (int i = 0; i < 1000; i++) {
			assert_true(readable(&q));
			assert_true(queue_take(&q, &value));
			assert_int_equal(value, i);
		}
		assert_false(readable(&q));
	}
	queue_free(&q);
	queue_free(&q);
}

static bool is_odd(void *ctx, void *value)
{
	return *(int *)value % 2;
}

static bool is_none(void *ctx, void *value)
{
	return false;
}

static void test_filter(void **state)
{
	struct queue q;
	int value;

	assert_int_equal(queue_init(&q, sizeof value, NULL), 0);
	/* The ring is made to wrap. */
	for (value = 0; value < 50; value++)
		queue_put(&q, &value);
	for (int i = 0; i < 40; i++)
		queue_take(&q, &value);
	for (value = 50; value < 100; value++)
		queue_put(&q, &value);
	queue_filter(&q, is_odd, NULL);
	for (int i = 41; i < 100; i += 2) {
		assert_true(queue_take(&q, &value));
		assert_int_equal(value, i);
	}
	assert_false(readable(&q));
	queue_put(&q, &value);
	queue_filter(&q, is_none, NULL);
	assert_false(readable(&q));
	assert_false(queue_take(&q, &value));
	queue_free(&q);
}

struct writer {
	pthread_t thread;
	struct queue *queue;
	int number;
};

static void *write_all(void *arg)
{
	struct writer *w = arg;

	for (int i = 0; i < EACH; i++) {
		struct value value = {w->number, i};

		queue_put(w->queue, &value);
	}
	return NULL;
}

static void test_many_writers(void **state)
{
	struct queue q;
	struct writer writer[WRITERS];
	struct value value;
	int next[WRITERS] = {0}, got = 0;

	assert_int_equal(queue_init(&q, sizeof value, NULL), 0);
	for (int i = 0; i < WRITERS; i++) {
		writer[i] = (struct writer){.queue = &q, .number = i};
		assert_int_equal(pthread_create(&writer[i].thread, NULL, write_all, &writer[i]), 0);
	}
	while (got < WRITERS * EACH) {
		struct pollfd fd = {queue_fd(&q), POLLIN, 0};

		assert_int_equal(poll(&fd, 1, 20000), 1);
		for (; queue_take(&q, &value); got++)
			assert_int_equal(value.number, next[value.writer]++);
	}
	for (int i = 0; i < WRITERS; i++)
		pthread_join(writer[i].thread, NULL);
	assert_false(readable(&q));
	queue_free(&q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order_and_wakeup),
		cmocka_unit_test(test_filter),
		cmocka_unit_test(test_many_writers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
