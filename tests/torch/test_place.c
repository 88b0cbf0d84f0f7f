/* test_place.c - a model's weights on the move, on a small captioner made here: placing, evicting, coming back, what is counted meanwhile, and that nothing
 * stays behind when memory is refused or the work is stopped at any point. */
#include "core/image.h"
#include "models/models.h"
#include "tests/torch/small_ofa.h"

enum { PICTURES = 2, BEAMS = 3, TOKENS = 6, OWNER = 4, WIDTH = 32, LAYERS = 2 };

static const struct model_library *lib = &vramble_models;
static char *dir;
static struct model *m;
static struct memory_reading closed; /* before the model was opened */
static struct pixels pictures[PICTURES];

static struct memory_reading memory(void)
{
	struct memory_reading r;

	lib->memory(DEVICE_CPU, &r);
	return r;
}

static struct pixels make_picture(int seed)
{
	struct image image = {40 + seed, 50, xmalloc(3 * 50 * (40 + (size_t)seed))};
	struct pixels out = {0};
	struct error err = {0};

	for (int i = 0; i < image.width * image.height * 3; i++)
		image.rgb[i] = (uint8_t)(i * (7 + seed) + i / 97 * seed);
	if (lib->prepare(m, &image, 0, &out, &err) < 0)
		fail_msg("%s", err.text);
	image_free(&image);
	return out;
}

static int run(struct caption out[PICTURES], const struct model_control *control, struct error *err)
{
	const struct caption_options options = {
		.beams = BEAMS, .min_length = TOKENS, .max_length = TOKENS, .no_repeat_ngram = -1, .length_penalty = -1};
	const struct pixels *list[PICTURES];

	for (int i = 0; i < PICTURES; i++)
		list[i] = &pictures[i];
	return lib->caption(m, list, PICTURES, &options, out, control, err);
}

static void same_captions(const struct caption a[PICTURES], const struct caption b[PICTURES])
{
	for (int i = 0; i < PICTURES; i++) {
		assert_string_equal(a[i].text, b[i].text);
		assert_int_equal(a[i].tokens, b[i].tokens);
		assert_float_equal(a[i].score, b[i].score, 0);
	}
}

static void must(int rc, const struct error *err)
{
	if (rc < 0)
		fail_msg("%s", err->text);
}

static void place(enum precision precision)
{
	struct error err = {0};

	must(lib->place(m, DEVICE_CPU, precision, NULL, &err), &err);
	assert_true(lib->resident(m));
}

static int group_setup(void **state)
{
	struct caption out[PICTURES];
	struct error err = {0};

	dir = small_ofa_dir();
	lib->memory(DEVICE_CPU, &closed);
	m = lib->open(dir, DEVICE_CPU, PRECISION_FP32, OWNER, NULL, &err);
	if (!m)
		fail_msg("%s", err.text);
	for (int i = 0; i < PICTURES; i++)
		pictures[i] = make_picture(i);
	must(run(out, NULL, &err), &err); /* what libtorch and oneDNN set up once */
	return 0;
}

static int group_teardown(void **state)
{
	lib->close(m);
	for (int i = 0; i < PICTURES; i++)
		free(pictures[i].data);
	data_remove_dir(dir);
	assert_int_equal(memory().used, closed.used);
	assert_int_equal(memory().weights[OWNER], 0);
	return 0;
}

static int setup(void **state)
{
	place(PRECISION_FP32);
	return 0;
}

static int teardown(void **state)
{
	tt_memory_refuse(0);
	lib->memory_set_cap(DEVICE_CPU, 0);
	assert_int_equal(memory().kv[OWNER], 0);
	return 0;
}

/* All that is used is the weights, and as much as should be. */
static void only_weights(int64_t weights)
{
	struct memory_reading now = memory();

	assert_int_equal(now.weights[OWNER], weights);
	assert_int_equal(now.used - closed.used, weights);
	assert_int_equal(now.kv[OWNER], 0);
}

/* ---- placing ---- */

static void test_precisions(void **state)
{
	static const enum precision tour[] = {PRECISION_BF16, PRECISION_AUTOCAST, PRECISION_FP32, PRECISION_AUTOCAST, PRECISION_BF16, PRECISION_FP32};
	struct caption first[PICTURES], now[PICTURES];
	struct error err = {0};
	int64_t held[PRECISIONS] = {0};

	must(run(first, NULL, &err), &err);
	held[PRECISION_FP32] = memory().weights[OWNER];
	for (size_t i = 0; i < COUNT(tour); i++) {
		enum precision wanted = tt_cpu_has_bf16() ? tour[i] : PRECISION_FP32;

		place(tour[i]);
		assert_int_equal(lib->precision(m), wanted);
		must(run(now, NULL, &err), &err);
		for (int k = 0; k < PICTURES; k++)
			assert_true(isfinite(now[k].score));
		if (wanted == PRECISION_FP32)
			same_captions(now, first);
		if (held[wanted] == 0)
			held[wanted] = memory().weights[OWNER];
		only_weights(held[wanted]); /* the same each time */
	}
	if (tt_cpu_has_bf16())
		assert_true(held[PRECISION_AUTOCAST] < held[PRECISION_FP32]); /* the decoder's are laid out in bf16 */
}

static void test_nothing_to_do(void **state)
{
	struct error err = {0};

	tt_memory_refuse(1);
	must(lib->place(m, DEVICE_CPU, PRECISION_FP32, NULL, &err), &err);
	assert_int_equal(tt_memory_refuse(0), 1); /* nothing was asked for */
	assert_int_equal(lib->place(m, 77, PRECISION_FP32, NULL, &err), -1);
	assert_int_equal(err.code, E_USAGE);
	assert_true(lib->resident(m));
}

static void test_evict(void **state)
{
	struct caption before[PICTURES], after[PICTURES];
	struct pixels again;
	struct error err = {0};
	int64_t held = memory().weights[OWNER];

	must(run(before, NULL, &err), &err);
	assert_true(held > 0);
	lib->evict(m);
	assert_false(lib->resident(m));
	only_weights(0);
	assert_int_equal(memory().cached, 0);
	assert_int_equal(run(after, NULL, &err), -1);
	assert_int_equal(err.code, E_MEMORY);
	again = make_picture(0);
	assert_memory_equal(again.data, pictures[0].data, sizeof(float) * 3 * SMALL_SIZE * SMALL_SIZE);
	free(again.data);
	assert_string_equal(lib->info(m)->architecture, "ofa");
	lib->evict(m);
	place(PRECISION_FP32);
	only_weights(held);
	must(run(after, NULL, &err), &err);
	same_captions(before, after);
}

static void test_forecast(void **state)
{
	struct forecast_request request = {.precision = PRECISION_AUTO, .device = DEVICE_CPU, .batch = PICTURES, .beams = BEAMS};
	struct forecast here, away;

	lib->forecast(m, &request, &here);
	lib->evict(m);
	lib->forecast(m, &request, &away);
	assert_memory_equal(&here, &away, sizeof here);
	request.image_size = SMALL_SIZE + 5; /* comes to the model's own */
	lib->forecast(m, &request, &away);
	assert_memory_equal(&here, &away, sizeof here);
}

/* ---- caches of keys and values ---- */

struct watch {
	int calls, stop_at, failed;
	int64_t first, last; /* of the readings that were not 0 */
};

static int watch(void *ctx)
{
	struct watch *w = ctx;
	struct memory_reading now = memory();

	if (now.kv[OWNER] > 0 && w->first == 0)
		w->first = now.kv[OWNER];
	w->last = now.kv[OWNER];
	if (now.kv[OWNER] + now.weights[OWNER] > now.used - closed.used)
		w->failed++;
	return ++w->calls == w->stop_at;
}

static void near_bytes(int64_t got, int64_t want)
{
	if (got < want || got > want * 9 / 8 + LAYERS * 4 * 64)
		fail_msg("%lld bytes, expected %lld", (long long)got, (long long)want);
}

static void test_caches(void **state)
{
	struct caption out[PICTURES];
	struct watch w = {0};
	const struct model_control control = {watch, NULL, &w};
	struct error err = {0};
	int64_t scene = SMALL_SIZE / 16 * SMALL_SIZE / 16 + 13 /* the prompt */, sides = 2 * LAYERS, value = sizeof(float);

	must(run(out, &control, &err), &err);
	assert_int_equal(w.failed, 0);
	near_bytes(w.first, PICTURES * scene * WIDTH * sides * value);
	near_bytes(w.last - w.first, (int64_t)PICTURES * BEAMS * (TOKENS + 1) * WIDTH * sides * value); /* and the end */
	assert_int_equal(memory().kv[OWNER], 0);
}

static void test_stopped_runs(void **state)
{
	struct caption out[PICTURES];
	struct watch w = {0};
	const struct model_control control = {watch, NULL, &w};
	struct error err = {0};
	int64_t held = memory().weights[OWNER];
	int calls;

	must(run(out, &control, &err), &err);
	calls = w.calls;
	assert_true(calls > 10);
	for (int at = 1; at < calls; at++) {
		w = (struct watch){.stop_at = at};
		assert_int_equal(run(out, &control, &err), -1);
		assert_int_equal(err.code, E_CANCELLED);
		only_weights(held);
	}
}

/* ---- refused ---- */

static void test_refused_runs(void **state)
{
	struct caption want[PICTURES], out[PICTURES];
	struct error err = {0};
	int64_t held = memory().weights[OWNER];
	int refusals = 0;

	must(run(want, NULL, &err), &err);
	for (int64_t at = 1;; at += 1 + at / 12) {
		int rc;

		tt_memory_refuse(at);
		rc = run(out, NULL, &err);
		if (tt_memory_refuse(0) > 0) {
			must(rc, &err);
			break;
		}
		assert_int_equal(rc, -1);
		assert_int_equal(err.code, E_MEMORY);
		only_weights(held);
		refusals++;
	}
	assert_true(refusals > 30);
	same_captions(out, want);
	only_weights(held);
}

/* Opening another one, and bringing this one back: refused at each allocation in turn. */
static void test_refused_loads(void **state)
{
	int64_t held = memory().weights[OWNER];
	struct error err = {0};
	int refusals = 0;

	lib->evict(m);
	for (int64_t at = 1;; at++, refusals++) {
		int rc;

		tt_memory_refuse(at);
		rc = lib->place(m, DEVICE_CPU, PRECISION_FP32, NULL, &err);
		if (tt_memory_refuse(0) > 0) {
			must(rc, &err);
			break;
		}
		assert_int_equal(rc, -1);
		assert_int_equal(err.code, E_MEMORY);
		assert_false(lib->resident(m));
		only_weights(0);
		tt_memory_refuse(at);
		assert_null(lib->open(dir, DEVICE_CPU, PRECISION_FP32, OWNER + 1, NULL, &err));
		assert_int_equal(err.code, E_MEMORY);
		only_weights(0);
		assert_int_equal(memory().weights[OWNER + 1], 0);
	}
	assert_true(refusals > 20);
	only_weights(held);
}

/* Refused beside the old weights: these go first, and the new ones find room. */
static void test_refused_moves(void **state)
{
	struct error err = {0};
	int64_t held;

	if (!tt_cpu_has_bf16()) {
		print_message("no bf16 on this CPU: skipped\n");
		skip();
	}
	place(PRECISION_BF16);
	held = memory().weights[OWNER];
	for (int64_t at = 1, left = 0; left == 0; at += 3) {
		place(PRECISION_FP32);
		tt_memory_refuse(at);
		must(lib->place(m, DEVICE_CPU, PRECISION_BF16, NULL, &err), &err);
		left = tt_memory_refuse(0);
		assert_int_equal(lib->precision(m), PRECISION_BF16);
		only_weights(held);
	}
}

/* No room for anything: the old ones are gone, and come back when there is room. */
static void test_no_room(void **state)
{
	struct caption out[PICTURES];
	struct error err = {0};
	int64_t held = memory().weights[OWNER];

	if (!tt_cpu_has_bf16()) {
		print_message("no bf16 on this CPU: skipped\n");
		skip();
	}
	lib->memory_set_cap(DEVICE_CPU, closed.used + 4096);
	assert_int_equal(lib->place(m, DEVICE_CPU, PRECISION_BF16, NULL, &err), -1);
	assert_int_equal(err.code, E_MEMORY);
	assert_false(lib->resident(m));
	only_weights(0);
	assert_int_equal(run(out, NULL, &err), -1);
	assert_int_equal(err.code, E_MEMORY);
	lib->memory_set_cap(DEVICE_CPU, 0);
	place(PRECISION_FP32);
	only_weights(held);
	must(run(out, NULL, &err), &err);
}

/* ---- stopped on the way ---- */

struct way {
	int calls, stop_at;
	int64_t done, total;
};

static int way_check(void *ctx)
{
	struct way *w = ctx;

	return ++w->calls == w->stop_at;
}

static void way_progress(void *ctx, int64_t done, int64_t total)
{
	struct way *w = ctx;

	w->done = done;
	w->total = total;
}

static void test_stopped_moves(void **state)
{
	struct way w = {0};
	const struct model_control control = {way_check, way_progress, &w};
	struct error err = {0};
	int64_t held = memory().weights[OWNER];
	int calls;

	lib->evict(m);
	must(lib->place(m, DEVICE_CPU, PRECISION_FP32, &control, &err), &err);
	assert_true(w.total > 0 && w.done == w.total);
	calls = w.calls;
	lib->evict(m);
	for (int at = 1; at < calls; at += 5) {
		w = (struct way){.stop_at = at};
		assert_int_equal(lib->place(m, DEVICE_CPU, PRECISION_FP32, &control, &err), -1);
		assert_int_equal(err.code, E_CANCELLED);
		assert_false(lib->resident(m));
		only_weights(0);
	}
	place(PRECISION_FP32);
	if (!tt_cpu_has_bf16())
		return;
	w = (struct way){.stop_at = calls / 2};
	assert_int_equal(lib->place(m, DEVICE_CPU, PRECISION_BF16, &control, &err), -1);
	assert_int_equal(err.code, E_CANCELLED);
	assert_int_equal(lib->precision(m), PRECISION_FP32);
	only_weights(held);
}

/* ---- settings ---- */

/* Only kernels that give the same bits: all that a captioner needs are there. */
static void test_deterministic(void **state)
{
	struct model_tuning tuning = {.seed = 1, .deterministic = true};
	struct caption first[PICTURES], again[PICTURES];
	struct error err = {0};

	must(lib->tune(&tuning, &err), &err);
	must(run(first, NULL, &err), &err);
	must(run(again, NULL, &err), &err);
	tuning.deterministic = false;
	must(lib->tune(&tuning, &err), &err);
	same_captions(first, again);
}

/* ---- peaks ---- */

static void test_peaks(void **state)
{
	struct caption out[PICTURES];
	struct memory_reading now;
	struct error err = {0};
	int64_t most;

	lib->memory_reset_peak(DEVICE_CPU, PEAK_CHANGE);
	must(run(out, NULL, &err), &err);
	lib->memory_reset_peak(DEVICE_CPU, PEAK_BATCH);
	now = memory();
	most = now.peak[PEAK_CHANGE];
	assert_true(most > now.used && now.peak[PEAK_START] >= most);
	assert_int_equal(now.peak[PEAK_BATCH], now.used);
	must(run(out, NULL, &err), &err);
	now = memory();
	assert_int_equal(now.peak[PEAK_BATCH], most); /* the same run, the same peak */
	assert_int_equal(now.peak[PEAK_CHANGE], most);
}

int main(int argc, char **argv)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_precisions),    T(test_nothing_to_do), T(test_evict),         T(test_forecast),      T(test_caches),
		T(test_stopped_runs),  T(test_refused_runs),  T(test_refused_loads), T(test_refused_moves), T(test_no_room),
		T(test_stopped_moves), T(test_deterministic), T(test_peaks),
	};

	near_start(argv);
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
