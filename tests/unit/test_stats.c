/* Statistics and alerts: plain arithmetic over a status and events. */
#include "core/alerts.h"
#include "core/stats.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

static const int64_t GIB = 1 << 30;

static void derives_from_the_status(void **state)
{
	struct engine_status status = {.answered = 118,
				       .failed = 2,
				       .cancelled = 3,
				       .retried = 1,
				       .pending = 5,
				       .images_per_s = 41.25,
				       .images_per_s_overall = 38,
				       .decode = {120, 5, 9, 12},
				       .prepare = {120, 1, 2, 3}};
	struct stats s;
	char line[400];
	int n;

	status.lane[MODEL_SCORES] = (struct lane_status){.used = true, .done = 119, .p50_ms = 11, .p95_ms = 20, .p99_ms = 30};
	status.lane[MODEL_CAPTION] = (struct lane_status){.used = true, .done = 118, .p50_ms = 50, .p95_ms = 70, .p99_ms = 90, .tokens_per_s = 310};
	status.lane[MODEL_NLI] = (struct lane_status){.used = false, .done = 7};
	s = stats_of(&status);
	assert_true(s.success > 0.98333 && s.success < 0.98334);
	assert_int_equal(s.stage[STAGE_DECODE].done, 120);
	assert_true(s.stage[STAGE_CAPTION].p99_ms == 90);
	assert_int_equal(s.stage[STAGE_NLI].done, 0);
	assert_true(s.tokens_per_s == 310);
	n = stats_line(&s, line, sizeof line);
	assert_int_equal(n, strlen(line));
	assert_string_equal(line,
			    "118 ok, 2 failed, 3 cancelled, 1 retried (98.3 %); 41.2 images/s, 38.0 overall; 310 tokens/s; decode 5.0/9.0/12.0 ms; "
			    "prepare 1.0/2.0/3.0 ms; CLIP 11.0/20.0/30.0 ms; caption 50.0/70.0/90.0 ms");
	for (size_t size = 1; size < 40; size++) {
		memset(line, 'x', sizeof line);
		assert_int_equal(stats_line(&s, line, size), size - 1);
		assert_int_equal(strlen(line), size - 1);
	}
}

static void nothing_yet(void **state)
{
	struct engine_status status = {0};
	struct stats s = stats_of(&status);
	char line[100];

	assert_true(s.success == -1);
	stats_line(&s, line, sizeof line);
	assert_string_equal(line, "0 ok, 0 failed");
	status.answered = 4;
	status.images_per_s_overall = 2;
	s = stats_of(&status);
	stats_line(&s, line, sizeof line);
	assert_string_equal(line, "4 ok, 0 failed (100.0 %); 2.0 images/s overall");
}

static void take(struct stats_recent *r, enum event_kind kind, int times)
{
	for (int i = 0; i < times; i++)
		stats_take(r, &(struct event){.kind = kind});
}

static void keeps_the_last_hundred(void **state)
{
	struct stats_recent r = {0};

	assert_true(stats_recent_success(&r) == 1);
	take(&r, EV_CAPTION, 5);
	take(&r, EV_CANCELLED, 5);
	assert_int_equal(r.count, 0);
	take(&r, EV_FAILED, 50);
	assert_true(stats_recent_success(&r) == 0);
	take(&r, EV_RANKING, 50);
	assert_true(stats_recent_success(&r) == 0.5);
	take(&r, EV_RANKING, 25);
	assert_true(stats_recent_success(&r) == 0.75);
	assert_int_equal(r.count, STATS_RECENT);
	take(&r, EV_FAILED, 1000);
	assert_true(stats_recent_success(&r) == 0);
	take(&r, EV_RANKING, 1001);
	assert_true(stats_recent_success(&r) == 1);
	assert_int_equal(r.good, STATS_RECENT);
}

static struct alert_change change[ALERTS];

static int memory_at(struct alerts *a, int64_t used, int64_t cap, int64_t free_bytes)
{
	struct engine_status s = {.devices = 2};
	struct stats_recent none = {0};

	strcpy(s.device[0].name, "CPU");
	s.device[0].memory = (struct memory_reading){.device_total = 100 * GIB, .device_free = 60 * GIB};
	strcpy(s.device[1].name, "cuda:0");
	s.device[1].memory = (struct memory_reading){.used = used, .cap = cap, .device_total = 100 * GIB, .device_free = free_bytes};
	return alerts_update(a, &(struct alert_thresholds){.memory = 90}, &s, &none, change);
}

static void memory_with_hysteresis(void **state)
{
	struct alerts a = {0};
	char line[200];

	assert_int_equal(memory_at(&a, 0, 0, 11 * GIB), 0);
	assert_int_equal(alerts_line(&a, line, sizeof line), 0);
	assert_string_equal(line, "");
	assert_int_equal(memory_at(&a, 0, 0, 10 * GIB), 1);
	assert_true(change[0].raised);
	assert_int_equal(change[0].alert, ALERT_MEMORY);
	assert_string_equal(change[0].text, "memory 90 % of the device in use (cuda:0), alert at 90 %");
	/* Neither raised again nor over while it stays near. */
	assert_int_equal(memory_at(&a, 0, 0, 14 * GIB), 0);
	assert_int_equal(alerts_line(&a, line, sizeof line), 1);
	assert_string_equal(line, "memory 86 % of the device in use (cuda:0), alert at 90 %");
	assert_int_equal(memory_at(&a, 0, 0, 16 * GIB), 1);
	assert_false(change[0].raised);
	assert_int_equal(alerts_line(&a, line, sizeof line), 0);
	/* A cap that is nearly reached counts however large the device is. */
	assert_int_equal(memory_at(&a, 19 * GIB, 20 * GIB, 80 * GIB), 1);
	assert_string_equal(change[0].text, "memory 95 % of the cap in use (cuda:0), alert at 90 %");
}

static int success_at(struct alerts *a, int threshold, int good, int bad)
{
	struct engine_status s = {0};
	struct stats_recent r = {0};

	take(&r, EV_RANKING, good);
	take(&r, EV_FAILED, bad);
	return alerts_update(a, &(struct alert_thresholds){.success = threshold}, &s, &r, change);
}

static void success_with_hysteresis(void **state)
{
	struct alerts a = {0};

	assert_int_equal(success_at(&a, 95, 0, ALERT_LEAST - 1), 0);
	assert_int_equal(success_at(&a, 95, 95, 5), 0);
	assert_int_equal(success_at(&a, 95, 94, 6), 1);
	assert_string_equal(change[0].text, "only 94 % of the last 100 pictures were answered, alert below 95 %");
	assert_int_equal(success_at(&a, 95, 96, 4), 0);
	assert_int_equal(success_at(&a, 95, 97, 3), 1);
	assert_false(change[0].raised);
	/* A threshold at the very top can be left again. */
	assert_int_equal(success_at(&a, 100, 99, 1), 1);
	assert_int_equal(success_at(&a, 100, 100, 0), 1);
	assert_false(a.active[ALERT_SUCCESS]);
}

static int stall_at(struct alerts *a, double threshold, double clip, double nli)
{
	struct engine_status s = {0};
	struct stats_recent none = {0};

	s.lane[MODEL_SCORES] = (struct lane_status){.used = true, .stalled_s = clip};
	s.lane[MODEL_NLI] = (struct lane_status){.used = true, .stalled_s = nli};
	return alerts_update(a, &(struct alert_thresholds){.stall = threshold}, &s, &none, change);
}

static void stalls_per_lane(void **state)
{
	struct alerts a = {0};
	char line[400];

	assert_int_equal(stall_at(&a, 30, 29, 0), 0);
	assert_int_equal(stall_at(&a, 30, 31, 40), 2);
	assert_int_equal(change[0].alert, ALERT_STALL + MODEL_SCORES);
	assert_int_equal(change[1].alert, ALERT_STALL + MODEL_NLI);
	assert_int_equal(alerts_line(&a, line, sizeof line), 2);
	assert_string_equal(line, "CLIP has shown no progress for 31 s; NLI has shown no progress for 40 s");
	assert_int_equal(stall_at(&a, 30, 2, 45), 0);
	assert_int_equal(stall_at(&a, 30, 0, 46), 1);
	assert_false(change[0].raised);
	/* Switched off while it holds: it is over. */
	assert_int_equal(stall_at(&a, 0, 0, 47), 1);
	assert_int_equal(alerts_line(&a, line, sizeof line), 0);
}

static void a_short_line_is_cut(void **state)
{
	struct alerts a = {0};
	char line[24];

	stall_at(&a, 30, 31, 40);
	assert_int_equal(alerts_line(&a, line, sizeof line), 2);
	assert_int_equal(strlen(line), sizeof line - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(derives_from_the_status), cmocka_unit_test(nothing_yet),
		cmocka_unit_test(keeps_the_last_hundred),  cmocka_unit_test(memory_with_hysteresis),
		cmocka_unit_test(success_with_hysteresis), cmocka_unit_test(stalls_per_lane),
		cmocka_unit_test(a_short_line_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
