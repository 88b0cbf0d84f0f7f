/* The memory panel's arithmetic, its history, and the gauge that feeds it. */
#include "core/gauge.h"
#include "core/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

static int64_t sum(const struct memory_rows *r)
{
	return r->weights + r->activations + r->kv + r->cached + r->others + r->free;
}

static void test_rows_of_a_gpu(void **state)
{
	const struct memory_reading reading = {.used = 3000,
					       .cached = 500,
					       .cap = 8000,
					       .weights = {[1] = 600, [2] = 1400},
					       .kv = {[2] = 300},
					       .device_total = 16000,
					       .device_free = 10000};
	const int64_t bytes[MODEL_KINDS] = {600, 1400, 0};
	struct memory_rows rows = memory_rows(&reading, bytes);

	assert_int_equal(rows.model[0], 600);
	assert_int_equal(rows.model[1], 1400);
	assert_int_equal(rows.kv, 300);
	assert_int_equal(rows.weights, 2000);
	assert_int_equal(rows.activations, 700);
	assert_int_equal(rows.cached, 500);
	assert_int_equal(rows.free, 10000);
	assert_int_equal(rows.others, 2500);
	assert_int_equal(rows.ours, 3500);
	assert_int_equal(rows.mapped, 0);
	assert_int_equal(sum(&rows), rows.total);
}

static void test_mapped_weights_stand_beside(void **state)
{
	const struct memory_reading reading = {.used = 100, .weights = {[1] = 50}, .device_total = 1000, .device_free = 800};
	const int64_t bytes[MODEL_KINDS] = {300, 200, 0};
	struct memory_rows rows = memory_rows(&reading, bytes);

	assert_int_equal(rows.mapped, 450);
	assert_int_equal(rows.weights, 50);
	assert_int_equal(rows.activations, 50);
	assert_int_equal(rows.others, 100);
	assert_int_equal(sum(&rows), 1000);
}

static void test_readings_that_do_not_fit_together(void **state)
{
	srand(7);
	for (int i = 0; i < 5000; i++) {
		struct memory_reading reading = {.used = rand() % 2000 - 100, .cached = rand() % 2000 - 100, .device_total = rand() % 3000 - 100};
		int64_t bytes[MODEL_KINDS];
		struct memory_rows rows;

		reading.device_free = rand() % 4000 - 100;
		for (int k = 0; k < MODEL_KINDS; k++)
			bytes[k] = rand() % 900;
		for (int k = 0; k < MODEL_OWNERS; k++) {
			reading.weights[k] = rand() % 900 - 50;
			reading.kv[k] = rand() % 300 - 50;
		}
		rows = memory_rows(&reading, bytes);
		assert_true(rows.weights >= 0 && rows.kv >= 0 && rows.activations >= 0 && rows.cached >= 0 && rows.others >= 0 && rows.free >= 0 &&
			    rows.mapped >= 0);
		assert_int_equal(sum(&rows), rows.total);
	}
}

static void test_history(void **state)
{
	struct memory_history h = {0};

	memory_history_reset_peak(&h);
	for (int i = 1; i <= MEMORY_HISTORY + 10; i++)
		memory_history_add(&h, i == 5 ? 100000 : i);
	assert_int_equal(h.count, MEMORY_HISTORY);
	assert_int_equal(memory_history_at(&h, 0), 11);
	assert_int_equal(memory_history_at(&h, MEMORY_HISTORY - 1), MEMORY_HISTORY + 10);
	assert_int_equal(h.peak, 100000);
	memory_history_reset_peak(&h);
	assert_int_equal(h.peak, MEMORY_HISTORY + 10);
}

static void test_visible_devices(void **state)
{
	char uuid[96];
	int index;

	assert_int_equal(gauge_visible(NULL, 2, &index, uuid, sizeof uuid), 1);
	assert_int_equal(index, 2);
	assert_int_equal(gauge_visible("3, 1", 1, &index, uuid, sizeof uuid), 1);
	assert_int_equal(index, 1);
	assert_int_equal(gauge_visible("3", 1, &index, uuid, sizeof uuid), 0);
	assert_int_equal(gauge_visible("", 0, &index, uuid, sizeof uuid), 0);
	assert_int_equal(gauge_visible("0,-1,2", 2, &index, uuid, sizeof uuid), 0);
	assert_int_equal(gauge_visible("GPU-aa,MIG-bb ,4", 1, &index, uuid, sizeof uuid), 2);
	assert_string_equal(uuid, "MIG-bb");
	assert_int_equal(gauge_visible("GPU-aa,MIG-bb ,4", 2, &index, uuid, sizeof uuid), 1);
	assert_int_equal(index, 4);
	assert_int_equal(gauge_visible("0", -1, &index, uuid, sizeof uuid), 0);
}

static void test_the_gauge_samples(void **state)
{
	struct gauge_sample sample, history[GAUGE_HISTORY];
	/* Device 0 asks for NVML, which may or may not be here; both must work. */
	struct gauge *g = gauge_start(0, 10);
	const struct timespec pause = {0, 20000000};
	int n = 0;

	for (int i = 0; i < 500 && n < 3; i++) {
		nanosleep(&pause, NULL);
		n = gauge_history(g, history, GAUGE_HISTORY);
	}
	assert_true(n >= 3);
	gauge_read(g, &sample);
	gauge_stop(g);
	gauge_stop(NULL);
	assert_true(history[0].time < history[1].time && history[1].time < history[2].time);
	assert_true(sample.rss > 1 << 20 && sample.rss < sample.host_total);
	assert_true(sample.host_available > 0 && sample.host_available <= sample.host_total);
	assert_true(sample.cpu >= 0);
	if (sample.gpu)
		print_message("%s %s: %lld of %lld bytes free, %d %% busy\n", sample.gpu_name, sample.gpu_id, (long long)sample.gpu_free,
			      (long long)sample.gpu_total, sample.gpu_busy);
	else
		print_message("no NVML here\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows_of_a_gpu),
		cmocka_unit_test(test_mapped_weights_stand_beside),
		cmocka_unit_test(test_readings_that_do_not_fit_together),
		cmocka_unit_test(test_history),
		cmocka_unit_test(test_visible_devices),
		cmocka_unit_test(test_the_gauge_samples),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
