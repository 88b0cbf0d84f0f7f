/* Why CUDA cannot be used, what an exception's text means, and settings that take hold. Everything but the GPU itself. */
#include "tests/torch/near.h"

#include <string.h>

#include "core/runtime.h"
#include "models/models.h"

static const struct model_library *lib = &vramble_models;

/* ---- what a text means ---------------------------------------------------------------------------------------------------------------------- */

static void texts_are_told_apart(void **state)
{
	static const struct {
		enum tt_status status;
		const char *text;
	} cases[] = {
		{TT_OUT_OF_MEMORY, "CUDA out of memory. Tried to allocate 2.00 GiB (GPU 0; 15.78 GiB total capacity; 14.3 GiB already allocated)"},
		{TT_OUT_OF_MEMORY, "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported at some other API call"},
		{TT_OUT_OF_MEMORY, "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"},
		{TT_OUT_OF_MEMORY, "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"},
		{TT_OUT_OF_MEMORY, "cuDNN error: CUDNN_STATUS_ALLOC_FAILED"},
		{TT_OUT_OF_MEMORY,
		 "DefaultCPUAllocator: can't allocate memory: you tried to allocate 123 bytes. Error code 12 (Cannot allocate memory)"},
		{TT_DEVICE, "CUDA error: an illegal memory access was encountered\nCompile with `TORCH_USE_CUDA_DSA`"},
		{TT_DEVICE, "CUDA error: device-side assert triggered"},
		{TT_DEVICE, "CUDA error: unspecified launch failure"},
		{TT_DEVICE, "CUDA error: uncorrectable ECC error encountered"},
		{TT_DEVICE, "CUDA error: misaligned address"},
		{TT_DEVICE, "CUDA error: all CUDA-capable devices are busy or unavailable"},
		{TT_DEVICE, "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm( handle, opa, opb)`"},
		{TT_DEVICE, "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"},
		{TT_DEVICE, "CUDA error: unknown error"},
		{TT_ERROR, "CUDA error: invalid argument"},
		{TT_ERROR, "CUDA error: no kernel image is available for execution on the device"},
		{TT_ERROR, "misaligned address"},
		{TT_ERROR, "mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)"},
		{TT_ERROR, ""},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		if (tt_status_of_text(cases[i].text) != cases[i].status)
			fail_msg("\"%s\" is taken as %d", cases[i].text, (int)tt_status_of_text(cases[i].text));
	}
}

/* ---- why not CUDA --------------------------------------------------------------------------------------------------------------------------- */

static const struct tt_cuda_facts fine = {"2.6.0", true, true, 0, 12040, 12010, 2, NULL};

static void refused(const struct tt_cuda_facts *facts, int device, const char *reason, const char *fix)
{
	char message[600] = "";
	assert_int_equal(tt_cuda_judge(facts, device, message, sizeof message), -1);
	if (!strstr(message, reason) || !strstr(message, fix))
		fail_msg("\"%s\" should say \"%s\" and \"%s\"", message, reason, fix);
}

static void each_reason_has_its_fix(void **state)
{
	struct tt_cuda_facts f = fine;
	char message[600];
	(void)state;
	assert_int_equal(tt_cuda_judge(&fine, 1, message, sizeof message), 0);
	f.driver_version = 12000; /* older, but of the same major version */
	assert_int_equal(tt_cuda_judge(&f, 0, message, sizeof message), 0);
	f = fine, f.built = false;
	refused(&f, 0, "libtorch 2.6.0 was built without CUDA", "TORCH_DIR");
	f = fine, f.driver = false, f.devices = 0;
	refused(&f, 0, "no NVIDIA driver", "install it");
	f = fine, f.driver_version = 11040, f.devices = 0;
	refused(&f, 0, "too old: it serves CUDA up to 11.4, this libtorch needs 12.1", "update the driver");
	f = fine, f.init = 100, f.devices = 0;
	refused(&f, 0, "finds no GPU", "nvidia-smi");
	f.visible = "7";
	refused(&f, 0, "CUDA_VISIBLE_DEVICES=7 shows none", "unset it");
	f.visible = "\x1b[2J";
	refused(&f, 0, "CUDA_VISIBLE_DEVICES=\\x1B[2J", "unset it");
	f = fine, f.init = 803, f.devices = 0;
	refused(&f, 0, "different versions", "restart");
	f = fine, f.init = 802;
	refused(&f, 0, "not ready", "fabric manager");
	f = fine, f.init = 999;
	refused(&f, 0, "cuInit: 999", "dmesg");
	f = fine, f.devices = 0;
	refused(&f, 0, "finds no GPU", "nvidia-smi");
	refused(&fine, 2, "there is no cuda:2: 2 CUDA devices are visible", "cuda:0");
	f = fine, f.devices = 1, f.visible = "3";
	refused(&f, 1, "1 CUDA device is visible, CUDA_VISIBLE_DEVICES=3", "cuda:0");
	refused(&fine, -5, "there is no cuda:-5", "cuda:0");
}

/* This machine's own devices: each works, or the reason is one of those. */
static void this_machine(void **state)
{
	struct error err = {0};
	struct device_info about;
	(void)state;
	assert_int_equal(lib->usable(DEVICE_CPU, &err), 0);
	if (lib->usable(0, &err) < 0) {
		assert_int_equal(err.code, E_DEVICE);
		assert_true(strlen(err.text) > 20);
		print_message("cuda:0: %s\n", err.text);
	} else {
		assert_int_equal(lib->device(0, &about), 0);
		assert_memory_equal(about.name, "cuda:0 ", 7);
		assert_true(about.total > 0 && about.id[0]);
	}
	assert_int_equal(lib->usable(63, &err), -1);
	assert_int_equal(lib->device(63, &about), -1);
	assert_int_equal(lib->device(DEVICE_CPU, &about), 0);
	assert_memory_equal(about.name, "CPU, ", 5);
	assert_true(about.total > (int64_t)64 << 20 && about.blas_gflops > 0 && !about.fp16);
}

/* ---- settings ------------------------------------------------------------------------------------------------------------------------------- */

static void tuned(uint64_t seed, bool deterministic, int threads, float *out, size_t n)
{
	const struct model_tuning t = {seed, deterministic, false, threads};
	struct error err = {0};
	tt_pool *p = tt_pool_create(TT_INFER);
	if (lib->tune(&t, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(tt_to_f32(p, tt_randn(p, 1, TT_SHAPE((int64_t)n)), out, n), 0);
	tt_pool_destroy(p);
}

static void tuning_takes_hold(void **state)
{
	float first[16], again[16], other[16];
	struct device_info about;
	(void)state;
	tuned(42, false, 1, first, COUNT(first));
	assert_int_equal(lib->device(DEVICE_CPU, &about), 0);
	assert_string_equal(about.name, "CPU, 1 threads");
	tuned(43, true, 2, other, COUNT(other));
	tuned(42, true, 0, again, COUNT(again));
	assert_memory_equal(first, again, sizeof first);
	assert_memory_not_equal(first, other, sizeof first);
	assert_int_equal(lib->device(DEVICE_CPU, &about), 0);
	assert_int_equal(atoi(about.name + 5), runtime_cpus());
}

/* ---- autocast ------------------------------------------------------------------------------------------------------------------------------- */

enum { N = 4, D = 32, H = 2, CELLS = 8 };

/* Every op that multiplies, one after the other. */
static tt_tensor *products(tt_pool *p, tt_pool *weights, bool packed)
{
	tt_tensor *w = tt_scale(weights, tt_randn(weights, 1, TT_SHAPE(D, D)), 0.2), *b = tt_randn(weights, 1, TT_SHAPE(D));
	tt_tensor *kernel = tt_randn(weights, 0.3, TT_SHAPE(D, 3, 3, 3)), *tall = tt_randn(weights, 0.2, TT_SHAPE(D, D, 2, 2));
	tt_tensor *x = tt_conv2d(p, tt_randn(p, 1, TT_SHAPE(N, 3, CELLS, CELLS)), kernel, b, 1, 1), *q;
	x = tt_conv2d(p, x, tall, b, 2, 0);
	x = tt_transpose(p, tt_reshape(p, x, TT_SHAPE(N, D, -1)), 1, 2);
	x = packed ? tt_linear_packed(p, x, tt_pack_linear(weights, w), b, D) : tt_linear(p, x, w, b);
	q = nn_heads(p, x, H);
	x = tt_attention(p, q, q, q, 0.25, NULL, false, NULL);
	return tt_matmul(p, x, tt_transpose(p, x, 1, 2));
}

static void products_run_in_half(void **state)
{
	enum { COUNT_OUT = N * 16 * 16 };
	static float want[COUNT_OUT], got[COUNT_OUT];
	(void)state;
	if (!tt_cpu_has_bf16()) {
		print_message("no bf16 on this CPU: skipped\n");
		skip();
	}
	for (int packed = 0; packed < 2; packed++) {
		for (int half = 0; half < 2; half++) {
			tt_pool *p = tt_pool_create(TT_INFER), *weights = tt_pool_create(TT_INFER);
			if (half) {
				tt_set_autocast(p, TT_BF16);
				tt_set_autocast(weights, TT_BF16);
			}
			tt_seed(3);
			tt_tensor *x = products(p, weights, packed);
			if (tt_to_f32(p, x, half ? got : want, COUNT_OUT) < 0)
				fail_msg("%s", tt_message(p));
			assert_int_equal(tt_dtype_of(x), TT_F32);
			tt_pool_destroy(p);
			tt_pool_destroy(weights);
		}
		double ab = 0, aa = 0, bb = 0;
		for (int i = 0; i < COUNT_OUT; i++) {
			ab += (double)want[i] * got[i];
			aa += (double)want[i] * want[i];
			bb += (double)got[i] * got[i];
		}
		assert_true(ab / sqrt(aa * bb) > 0.9995);
		assert_memory_not_equal(want, got, sizeof want);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts_are_told_apart), cmocka_unit_test(each_reason_has_its_fix), cmocka_unit_test(this_machine),
		cmocka_unit_test(tuning_takes_hold),    cmocka_unit_test(products_run_in_half),
	};
	(void)argc;
	near_start(argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
