/* The account of memory: counting, peaks, whose it is, the cap, what the cache keeps, and that a refused forward pass leaves nothing behind. */
#include "tests/torch/near.h"

#include <pthread.h>
#include <string.h>

static tt_pool *p;

static int setup(void **state)
{
	(void)state;
	p = tt_pool_create(TT_INFER);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	tt_pool_destroy(p);
	tt_memory_set_cap(TT_CPU, 0);
	tt_memory_refuse(0);
	tt_memory_trim(TT_CPU);
	return 0;
}

static struct tt_memory memory(void)
{
	struct tt_memory m;
	tt_memory_read(TT_CPU, &m);
	return m;
}

static tt_tensor *block(int64_t bytes)
{
	return tt_full(p, 1, TT_U8, TT_CPU, TT_SHAPE(bytes));
}

static void blocks_are_counted(void **state)
{
	(void)state;
	struct tt_memory before = memory();
	tt_memory_reset_peak(TT_CPU, 0);
	assert_non_null(block(3 << 20));
	assert_non_null(block(1000));
	struct tt_memory now = memory();
	assert_true(now.used - before.used >= (3 << 20) + 1000);
	assert_true(now.used - before.used <= ((3 << 20) + 1000) * 9 / 8);
	assert_true(now.peak[0] == now.used);
	tt_clear(p);
	struct tt_memory after = memory();
	assert_true(after.used == before.used && after.peak[0] == now.peak[0]);
	assert_true(after.cached - before.cached == now.used - before.used);
	tt_memory_reset_peak(TT_CPU, 0);
	assert_true(memory().peak[0] == after.used);
	assert_true(now.device_total > now.device_free && now.device_free > 0);
}

/* Each peak is the most since its own beginning; they are independent of each other. */
static void peaks_are_apart(void **state)
{
	(void)state;
	int64_t base = memory().used, mib = 1 << 20;
	for (int i = 0; i < TT_PEAKS; i++)
		tt_memory_reset_peak(TT_CPU, i);
	assert_non_null(block(8 * mib));
	tt_clear(p);
	tt_memory_reset_peak(TT_CPU, 1);
	assert_non_null(block(4 * mib));
	tt_clear(p);
	tt_memory_reset_peak(TT_CPU, 2);
	struct tt_memory now = memory();
	assert_true(now.peak[0] == base + 8 * mib && now.peak[1] == base + 4 * mib && now.peak[2] == base);
	assert_non_null(block(6 * mib));
	tt_clear(p);
	now = memory();
	assert_true(now.peak[0] == base + 8 * mib && now.peak[1] == base + 6 * mib && now.peak[2] == base + 6 * mib);
	assert_non_null(block(2 * mib));
	tt_memory_reset_peak(TT_CPU, 0); /* to what is held, not to nothing */
	tt_clear(p);
	now = memory();
	assert_true(now.peak[0] == base + 2 * mib && now.peak[1] == base + 6 * mib);
}

static void freed_blocks_are_reused_and_trimmed(void **state)
{
	(void)state;
	tt_memory_trim(TT_CPU);
	assert_true(memory().cached == 0);
	for (int i = 0; i < 10; i++) {
		assert_non_null(block((5 << 20) + 1 + i * 4096));
		tt_clear(p);
	}
	struct tt_memory now = memory();
	assert_true(now.cached >= 5 << 20 && now.cached < 7 << 20); /* one block, not ten */
	tt_memory_trim(TT_CPU);
	assert_true(memory().cached == 0);
}

/* A larger block is reused, but used is what it would be with one of its own: what is forecast must not depend on what ran before. */
static void reused_blocks_count_what_was_asked(void **state)
{
	(void)state;
	tt_memory_trim(TT_CPU);
	struct tt_memory before = memory();
	assert_non_null(block(10 << 20));
	tt_clear(p);
	assert_non_null(block(9 << 20));
	struct tt_memory now = memory();
	assert_true(now.used - before.used == 9 << 20);
	assert_true(now.cached == 1 << 20);
	tt_clear(p);
	assert_true(memory().used == before.used && memory().cached == 10 << 20);
	assert_non_null(block(9 << 20));
	tt_memory_set_cap(TT_CPU, memory().used + (2 << 20));
	assert_null(block((1 << 20) + (1 << 19))); /* the rest of the block is held all the same */
	tt_clear(p);
	tt_memory_trim(TT_CPU);
	assert_true(memory().used == before.used && memory().cached == 0);
}

static void cache_stays_near_what_was_needed(void **state)
{
	(void)state;
	tt_memory_reset_peak(TT_CPU, 0);
	for (int i = 1; i <= 160; i++) {
		assert_non_null(block((int64_t)i << 20)); /* 160 sizes, 13 GiB in all */
		tt_clear(p);
		struct tt_memory now = memory();
		assert_true(now.cached <= (int64_t)(2 * 190 + 64) << 20);
	}
}

static void borrowed_memory_is_not_counted(void **state)
{
	(void)state;
	static float data[1 << 18];
	int64_t before = memory().used;
	tt_tensor *x = tt_borrow(p, data, TT_F32, TT_SHAPE(1 << 18));
	assert_non_null(tt_reshape(p, x, TT_SHAPE(512, 512)));
	assert_true(memory().used == before);
}

/* ---- the cap -------------------------------------------------------------------------------------------------------------------------------- */

static void cap_refuses(void **state)
{
	(void)state;
	struct tt_memory before = memory();
	tt_memory_set_cap(TT_CPU, before.used + (8 << 20));
	assert_non_null(block(5 << 20));
	assert_null(block(5 << 20));
	assert_int_equal(tt_status_of(p), TT_OUT_OF_MEMORY);
	assert_int_equal(tt_error_code(p), E_MEMORY);
	assert_non_null(strstr(tt_message(p), "full: out of memory: "));
	assert_true(memory().refused == before.refused + 1);
	tt_clear(p);
	assert_true(memory().used == before.used);
	assert_non_null(block(7 << 20)); /* room again; the cached block must give way */
	struct tt_memory now = memory();
	assert_true(now.used + now.cached <= now.cap);
	tt_memory_set_cap(TT_CPU, 0);
	assert_non_null(block(64 << 20));
}

static void host_exhaustion_is_out_of_memory_too(void **state)
{
	(void)state;
	int64_t before = memory().used;
	assert_null(block((int64_t)1 << 60));
	assert_int_equal(tt_status_of(p), TT_OUT_OF_MEMORY);
	assert_true(memory().used == before);
	tt_reset(p);
	assert_null(block(INT64_MAX - 4096));
	assert_int_equal(tt_status_of(p), TT_OUT_OF_MEMORY);
}

/* A block with every kind of layer; its size follows n. */
static tt_tensor *forward(int64_t n, enum tt_dtype dtype, tt_tensor *w, tt_tensor *packed, tt_tensor *kernel, tt_tensor *norm)
{
	enum { D = 64, H = 4 };
	tt_mark m = tt_here(p);
	tt_tensor *x = tt_conv2d(p, tt_full(p, 0.5, dtype, TT_CPU, TT_SHAPE(n, 3, 32, 32)), kernel, NULL, 1, 1);
	x = tt_max_pool2d(p, x, 3, 4, 1);
	x = tt_transpose(p, tt_reshape(p, x, TT_SHAPE(n, D, -1)), 1, 2);
	tt_keep(p, m, &x, 1);
	for (int layer = 0; layer < 3; layer++) {
		tt_tensor *y = tt_linear(p, tt_layer_norm(p, x, norm, norm, 1e-5, dtype), w, NULL);
		tt_tensor *q = tt_transpose(p, tt_reshape(p, y, TT_SHAPE(n, -1, H, D / H)), 1, 2);
		y = tt_attention(p, q, q, q, 0.25, NULL, layer == 1, NULL);
		y = tt_linear_packed(p, tt_activate_(p, y, TT_QUICK_GELU), packed, NULL, D);
		x = tt_add(p, x, tt_softmax(p, y, -1));
		tt_keep(p, m, &x, 1);
	}
	return x;
}

static void refused_forward_leaves_nothing(void **state)
{
	(void)state;
	for (enum tt_dtype d = TT_F32; d <= TT_BF16; d += TT_BF16 - TT_F32) {
		if (d == TT_BF16 && !tt_cpu_has_bf16())
			continue;
		tt_pool *weights = tt_pool_create(TT_INFER);
		tt_tensor *w = tt_full(weights, 0.1, d, TT_CPU, TT_SHAPE(64, 64)), *packed = tt_pack_linear(weights, w);
		tt_tensor *kernel = tt_full(weights, 0.1, d, TT_CPU, TT_SHAPE(64, 3, 3, 3)),
			  *norm = tt_full(weights, 1, TT_F32, TT_CPU, TT_SHAPE(64));
		assert_non_null(forward(1, d, w, packed, kernel, norm)); /* what libtorch and oneDNN set up once */
		tt_clear(p);
		struct tt_memory before = memory();
		tt_memory_reset_peak(TT_CPU, 0);
		assert_non_null(forward(8, d, w, packed, kernel, norm));
		tt_clear(p);
		int64_t needed = memory().peak[0] - before.used;
		int refused = 0;
		/* each cap stops the pass at another allocation */
		for (int64_t cap = 1 << 12; cap < needed; cap += needed / 40) {
			tt_memory_set_cap(TT_CPU, before.used + cap);
			if (!forward(8, d, w, packed, kernel, norm)) {
				refused++;
				assert_int_equal(tt_status_of(p), TT_OUT_OF_MEMORY);
			}
			tt_clear(p);
			assert_true(memory().used == before.used);
		}
		assert_true(refused >= 20);
		tt_memory_set_cap(TT_CPU, 0);
		assert_non_null(forward(8, d, w, packed, kernel, norm));
		tt_clear(p);
		tt_pool_destroy(weights);
	}
}

/* Every allocation of a pass in turn is refused: an error each time, and nothing stays. */
static void refusals_leave_nothing(void **state)
{
	(void)state;
	tt_pool *weights = tt_pool_create(TT_INFER);
	tt_tensor *w = tt_full(weights, 0.1, TT_F32, TT_CPU, TT_SHAPE(64, 64)), *packed = tt_pack_linear(weights, w);
	tt_tensor *kernel = tt_full(weights, 0.1, TT_F32, TT_CPU, TT_SHAPE(64, 3, 3, 3)), *norm = tt_full(weights, 1, TT_F32, TT_CPU, TT_SHAPE(64));
	assert_non_null(forward(2, TT_F32, w, packed, kernel, norm));
	tt_clear(p);
	struct tt_memory before = memory();
	int n = 0;
	for (bool ran = false; !ran; n++) {
		tt_memory_refuse(n + 1);
		ran = forward(2, TT_F32, w, packed, kernel, norm) != NULL;
		assert_int_equal(tt_status_of(p), ran ? TT_OK : TT_OUT_OF_MEMORY);
		tt_clear(p);
		assert_true((tt_memory_refuse(0) > 0) == ran);
		assert_true(memory().used == before.used);
	}
	assert_true(n > 20);
	assert_true(memory().refused == before.refused + n - 1);
	tt_pool_destroy(weights);
}

/* ---- whose it is ---------------------------------------------------------------------------------------------------------------------------- */

static void weights_are_counted_once(void **state)
{
	(void)state;
	static const float data[1000];
	struct tt_memory before = memory();
	tt_pool *weights = tt_pool_create(TT_INFER | TT_WEIGHTS);
	tt_set_owner(weights, 2);
	tt_tensor *mapped = tt_borrow(weights, data, TT_F32, TT_SHAPE(10, 100));
	assert_non_null(tt_transpose(weights, mapped, 0, 1));
	assert_true(memory().weights[2] == before.weights[2]);
	tt_tensor *own = tt_add_scalar(weights, mapped, 1), *view = tt_reshape(weights, own, TT_SHAPE(-1));
	struct tt_memory now = memory();
	assert_true(now.weights[2] - before.weights[2] == now.used - before.used && now.used > before.used);
	tt_keep(weights, 0, &view, 1); /* the memory stays with its last tensor */
	assert_true(memory().weights[2] == now.weights[2]);
	tt_tensor *packed = tt_pack_linear(weights, tt_full(weights, 1, TT_F32, TT_CPU, TT_SHAPE(70, 30)));
	tt_keep(weights, 0, &packed, 1);
	now = memory();
	assert_true(now.weights[2] - before.weights[2] == now.used - before.used && now.used > before.used);
	assert_non_null(tt_share(weights, packed));
	assert_true(memory().weights[2] == now.weights[2]);
	tt_pool_destroy(weights);
	assert_memory_equal(memory().weights, before.weights, sizeof before.weights);
	assert_true(memory().used == before.used);
}

static void caches_are_counted_while_they_live(void **state)
{
	(void)state;
	struct tt_memory before = memory();
	tt_set_owner(p, 5);
	tt_tensor *x = block(1 << 20), *cache = tt_kv(p, tt_reshape(p, block(2 << 20), TT_SHAPE(2, -1)));
	assert_non_null(tt_kv(p, tt_select(p, cache, 0, 1))); /* of the same memory */
	assert_ptr_equal(tt_kv(p, cache), cache);
	assert_null(tt_kv(p, NULL));
	assert_true(memory().kv[5] - before.kv[5] == 2 << 20);
	tt_tensor *longer = tt_kv(p, tt_cat(p, (tt_tensor *[]){tt_reshape(p, cache, TT_SHAPE(-1)), x}, 2, 0));
	assert_true(memory().kv[5] - before.kv[5] == 5 << 20);
	tt_keep(p, 0, &longer, 1);
	assert_true(memory().kv[5] - before.kv[5] == 3 << 20);
	assert_null(tt_select(p, longer, 0, -99999999)); /* an error changes nothing */
	tt_clear(p);
	assert_memory_equal(memory().kv, before.kv, sizeof before.kv);
	tt_set_owner(p, 99); /* nobody */
	tt_kv(p, block(1 << 20));
	assert_true(memory().kv[0] - before.kv[0] == 1 << 20);
}

/* ---- threads -------------------------------------------------------------------------------------------------------------------------------- */

static void *allocate_often(void *seed)
{
	tt_pool *pool = tt_pool_create(TT_INFER);
	uint32_t state = (uint32_t)(uintptr_t)seed;
	for (int i = 0; i < 2000; i++) {
		state = state * 1664525u + 1013904223u;
		if (!tt_full(pool, 1, TT_U8, TT_CPU, TT_SHAPE(state >> 12)) || state >> 28 < 2)
			tt_clear(pool);
	}
	tt_pool_destroy(pool);
	return NULL;
}

static void threads_allocate_together(void **state)
{
	(void)state;
	int64_t before = memory().used;
	tt_memory_set_cap(TT_CPU, before + (32 << 20));
	pthread_t threads[3];
	for (uintptr_t i = 0; i < COUNT(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, allocate_often, (void *)(i + 1)), 0);
	for (int i = 0; i < 200; i++) {
		struct tt_memory now = memory();
		assert_true(now.used >= before && now.used <= now.cap);
	}
	for (size_t i = 0; i < COUNT(threads); i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_true(memory().used == before);
}

static void unknown_devices_are_empty(void **state)
{
	(void)state;
	struct tt_memory m, none = {0};
	memset(&m, 0xff, sizeof m);
	tt_memory_read(63, &m);
	assert_memory_equal(&m, &none, sizeof m);
	tt_memory_set_cap(63, 1);
	tt_memory_reset_peak(63, 0);
	tt_memory_reset_peak(TT_CPU, TT_PEAKS);
	tt_memory_reset_peak(TT_CPU, -1);
	tt_memory_trim(63);
}

int main(int argc, char **argv)
{
	(void)argc;
	near_start(argv);
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(blocks_are_counted),
		T(peaks_are_apart),
		T(freed_blocks_are_reused_and_trimmed),
		T(reused_blocks_count_what_was_asked),
		T(cache_stays_near_what_was_needed),
		T(borrowed_memory_is_not_counted),
		T(cap_refuses),
		T(host_exhaustion_is_out_of_memory_too),
		T(refused_forward_leaves_nothing),
		T(refusals_leave_nothing),
		T(weights_are_counted_once),
		T(caches_are_counted_while_they_live),
		T(threads_allocate_together),
		T(unknown_devices_are_empty),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
