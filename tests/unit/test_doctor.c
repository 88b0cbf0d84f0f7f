/* The doctor's judgements: a machine where all is well, and one thing wrong at a time. */
#include "core/doctor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

static struct doctor doctor;

static struct doctor_facts healthy(void)
{
	struct doctor_facts f = {.driver = {.state = DRIVER_WORKS, .text = "535.1", .device = "H200", .devices = 1},
				 .torch = "libtorch 2.1.0+cu121",
				 .devices = 1,
				 .need = CUDA_WELCOME,
				 .device = "cuda:0 H200",
				 .gflops = 180,
				 .blas = "/usr/lib/openblas-pthread/libblas.so.3",
				 .bf16 = true,
				 .cpus = 8,
				 .cpus_online = 16,
				 .memory_total = 100LL << 30,
				 .memory_free = 90LL << 30,
				 .reserve = 15,
				 .screen = true,
				 .tty = true,
				 .term = "xterm-256color",
				 .colorterm = "truecolor",
				 .colours = 256,
				 .codeset = "UTF-8",
				 .locale = "C.UTF-8",
				 .log_path = "/tmp/x.log"};

	for (int kind = 0; kind < MODEL_KINDS; kind++) {
		f.model[kind] = (struct model_facts){.used = true, .weights = 1LL << 30};
		strcpy(f.model[kind].dir, "/m");
		strcpy(f.model[kind].info.architecture, "clip");
	}
	return f;
}

static void judge(const struct doctor_facts *f)
{
	doctor_free(&doctor);
	doctor_judge(f, &doctor);
}

static const struct check *find(const char *name)
{
	for (int i = 0; i < doctor.n; i++)
		if (!strcmp(doctor.check[i].name, name))
			return &doctor.check[i];
	fail_msg("no check called %s", name);
	return NULL;
}

/* The one check that is not ok. */
static void only(const char *name, enum check_verdict verdict, const char *text, const char *fix)
{
	const struct check *k = find(name);

	if (k->verdict != verdict || !strstr(k->text, text) || (fix ? !k->fix || !strstr(k->fix, fix) : k->fix != NULL))
		fail_msg("%s %s: \"%s\" -> \"%s\"", check_verdict_name(k->verdict), name, k->text, k->fix ? k->fix : "nothing");
	assert_int_equal(doctor.count[CHECK_OK], doctor.n - (verdict != CHECK_OK));
	assert_int_equal(doctor.count[verdict], verdict == CHECK_OK ? doctor.n : 1);
	for (int i = 0; i < doctor.n; i++)
		assert_true(doctor.check[i].verdict == CHECK_OK || doctor.check[i].fix);
}

static void all_is_well(void **state)
{
	struct doctor_facts f = healthy();

	judge(&f);
	only("driver", CHECK_OK, "NVIDIA 535.1, 1 device: H200", NULL);
	only("terminal", CHECK_OK, "xterm-256color, true colour", NULL);
	only("threads", CHECK_OK, "8 per run on 8 of 16 CPUs", NULL);
	only("memory", CHECK_OK, "weights 3.00 GiB; free 90.00 GiB of 100.00 GiB, reserve 15 %, cap none", NULL);
}

static void drivers(void **state)
{
	struct doctor_facts f = healthy();

	f.driver.state = DRIVER_HANGS;
	judge(&f);
	only("driver", CHECK_WARN, "does not answer", "nvidia-smi hangs");
	f.need = CUDA_NEEDED;
	judge(&f);
	only("driver", CHECK_FAIL, "does not answer", "nvidia-smi hangs");
	f.driver = (struct driver_facts){.state = DRIVER_FAILS, .text = "Driver/library version mismatch"};
	judge(&f);
	only("driver", CHECK_FAIL, "version mismatch", "restart");
	f.need = CUDA_WELCOME;
	f.driver = (struct driver_facts){.state = DRIVER_WORKS, .text = "535.1"};
	judge(&f);
	only("driver", CHECK_WARN, "no device", "--gpus all");
	/* ROCm has no NVML. */
	f.driver = (struct driver_facts){.state = DRIVER_MISSING};
	judge(&f);
	only("driver", CHECK_OK, "no NVML, but libtorch has its device", NULL);
	/* Who wants the CPU needs no driver. */
	f.devices = 0;
	f.need = CUDA_UNWANTED;
	strcpy(f.torch, "libtorch 1.13.1");
	strcpy(f.device, "CPU, 8 threads");
	judge(&f);
	only("driver", CHECK_OK, "no NVIDIA driver", NULL);
	only("device", CHECK_OK, "CPU, 8 threads, as asked for", NULL);
}

static void libraries_and_devices(void **state)
{
	struct doctor_facts f = healthy();

	strcpy(f.torch, "libtorch 1.13.1");
	judge(&f);
	only("libtorch", CHECK_WARN, "1.13.1, a CPU build", "TORCH_DIR");
	f.need = CUDA_NEEDED;
	judge(&f);
	only("libtorch", CHECK_FAIL, "a CPU build", "TORCH_DIR");
	f = healthy();
	strcpy(f.unusable, "auto: going on with the CPU: no CUDA device is visible");
	f.devices = 0;
	judge(&f);
	only("device", CHECK_WARN, "no CUDA device is visible", "--device cpu");
	f.visible = "7";
	judge(&f);
	only("device", CHECK_WARN, "(CUDA_VISIBLE_DEVICES=7)", "unset CUDA_VISIBLE_DEVICES");
	f = healthy();
	f.torch[0] = '\0';
	strcpy(f.torch_error, "cannot load the model library: x.so");
	judge(&f);
	assert_int_equal(find("libtorch")->verdict, CHECK_FAIL);
	assert_string_equal(find("libtorch")->text, "cannot load the model library: x.so");
}

static void processors(void **state)
{
	struct doctor_facts f = healthy();

	f.gflops = 4.9;
	strcpy(f.blas, "/usr/lib/x86_64-linux-gnu/blas/libblas.so.3.11.0");
	judge(&f);
	only("blas", CHECK_WARN, "only 4.9 GFLOP/s with /usr/lib/x86_64-linux-gnu/blas/libblas.so.3.11.0", "libopenblas0-pthread");
	assert_non_null(strstr(find("blas")->fix, "libblas3"));
	strcpy(f.blas, "/usr/lib/openblas-pthread/libblas.so.3");
	judge(&f);
	only("blas", CHECK_WARN, "4.9", "busy");
	f.gflops = 0;
	judge(&f);
	only("blas", CHECK_OK, "not measured", NULL);
	f = healthy();
	f.threads = 12;
	judge(&f);
	only("threads", CHECK_WARN, "12 per run on 8 of 16 CPUs", "--threads 0");
	f.threads = 0;
	f.cpu_quota = 2;
	judge(&f);
	only("threads", CHECK_WARN, "the time of 2.0", "--threads 2");
	f.cpu_quota = 32;
	judge(&f);
	only("threads", CHECK_OK, "8 per run", NULL);
}

static void models_and_memory(void **state)
{
	struct doctor_facts f = healthy();

	strcpy(f.model[MODEL_NLI].error, "/m/config.json: not there");
	judge(&f);
	only("nli", CHECK_FAIL, "/m/config.json: not there", "--nli DIR");
	f.model[MODEL_NLI].used = false;
	judge(&f);
	only("nli", CHECK_OK, "not used", NULL);
	assert_non_null(strstr(find("memory")->text, "weights 2.00 GiB"));
	f = healthy();
	f.cap = 2LL << 30;
	judge(&f);
	only("memory", CHECK_FAIL, "cap 2.00 GiB", "below the weights: --cap more than 3.00 GiB");
	f.cap = 0;
	f.memory_free = 17LL << 30;
	f.profile = "limited";
	judge(&f);
	only("memory", CHECK_WARN, "profile limited", "reserve");
	f.memory_free = 2LL << 30;
	judge(&f);
	only("memory", CHECK_FAIL, "free 2.00 GiB", "free memory");
	f = healthy();
	for (int kind = 0; kind < MODEL_KINDS; kind++)
		f.model[kind].used = false;
	judge(&f);
	only("models", CHECK_FAIL, "every model is switched off", "--clip");
}

static void terminals_and_files(void **state)
{
	struct doctor_facts f = healthy();

	f.colorterm = NULL;
	f.multiplexer = "tmux";
	judge(&f);
	only("terminal", CHECK_OK, "xterm-256color in tmux, 256 colours", NULL);
	f.colours = 2;
	judge(&f);
	only("terminal", CHECK_WARN, "no colours", "xterm-256color");
	f.colours = -1;
	f.term = "weird";
	judge(&f);
	only("terminal", CHECK_FAIL, "TERM=weird is not known", "ncurses-term");
	f.tty = false;
	judge(&f);
	only("terminal", CHECK_WARN, "no terminal", "in the terminal");
	f.screen = false;
	judge(&f);
	only("terminal", CHECK_OK, "without a screen", NULL);
	f = healthy();
	f.codeset = "ANSI_X3.4-1968";
	f.locale = NULL;
	judge(&f);
	only("locale", CHECK_FAIL, "none set: ANSI_X3.4-1968, not UTF-8", "C.UTF-8");
	f = healthy();
	f.problems = 2;
	f.problem = "/c:3: unknown setting";
	judge(&f);
	only("settings", CHECK_FAIL, "2 problems: /c:3: unknown setting", "vramble config");
	f = healthy();
	f.log_path = NULL;
	strcpy(f.log_error, "/x: cannot be written as a log");
	judge(&f);
	only("log", CHECK_WARN, "cannot be written", "--log FILE");
}

static void what_this_process_has_loaded(void **state)
{
	void *blas = dlopen("libblas.so.3", RTLD_LAZY | RTLD_LOCAL);
	char file[256] = "";

	assert_true(doctor_cpu_quota() >= 0);
	if (!blas) {
		print_message("there is no libblas.so.3 here\n");
		skip();
	}
	assert_true(doctor_blas_file(file, sizeof file));
	assert_int_equal(file[0], '/');
	assert_non_null(strstr(file, "/libblas.so"));
	dlclose(blas);
}

static int forget(void **state)
{
	doctor_free(&doctor);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_is_well),
		cmocka_unit_test(drivers),
		cmocka_unit_test(libraries_and_devices),
		cmocka_unit_test(what_this_process_has_loaded),
		cmocka_unit_test(processors),
		cmocka_unit_test(models_and_memory),
		cmocka_unit_test(terminals_and_files),
	};

	return cmocka_run_group_tests(tests, NULL, forget);
}
