/* command_doctor.c - `vramble doctor`: the check-list before a demo. Gathers the facts; core/doctor.c judges them. */
#include <jansson.h>
#include <langinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if VRAMBLE_SCREEN
#include <curses.h>
#include <term.h>
#endif

#include "core/doctor.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/runtime.h"
#include "core/utf8.h"
#include "tui/command.h"
#include "tui/library.h"

enum { DRIVER_SECONDS = 5 };

/* ---------------------------------------------------------------- libtorch, the device, the models */

static enum cuda_need need_of(const struct config *c)
{
	enum cuda_need need = c->force_cuda ? CUDA_NEEDED : CUDA_UNWANTED;

	for (int kind = 0; kind < MODEL_KINDS; kind++) {
		int wish = c->settings.device[kind];
		enum cuda_need here = wish >= 0 ? CUDA_NEEDED : wish == DEVICE_AUTO ? CUDA_WELCOME : CUDA_UNWANTED;

		if (here > need)
			need = here;
	}
	return need;
}

/* The wish that most speaks for CUDA, for the one device that is looked at. */
static int boldest_wish(const struct config *c)
{
	int wish = DEVICE_CPU;

	for (int kind = 0; kind < MODEL_KINDS; kind++) {
		int here = c->settings.device[kind];

		if (wish < 0 && (here >= 0 || here == DEVICE_AUTO))
			wish = here;
	}
	return wish;
}

static int inspect(const struct model_library *library, const char *dir, enum model_kind kind, struct model_info *out, struct error *err)
{
	if (!dir)
		return fail(err, E_MODEL, "the bundled model is not there");
	if (!library)
		return fail(err, E_MODEL, "%s: cannot be read without libtorch", dir);
	if (library->inspect(dir, out, err) < 0)
		return -1;
	return out->kind == kind ? 0 : fail(err, E_MODEL, "%s: another kind of model (%s)", dir, out->architecture);
}

static void ask_models(const struct config *c, const struct model_library *library, struct doctor_facts *f)
{
	for (int kind = 0; kind < MODEL_KINDS; kind++) {
		struct model_facts *m = &f->model[kind];
		char *dir = library_model_dir(c, (enum model_kind)kind);
		struct error err;

		m->used = dir || !c->model_dir[kind];
		if (dir)
			utf8_escape(dir, strlen(dir), m->dir, sizeof m->dir);
		if (m->used && inspect(library, dir, (enum model_kind)kind, &m->info, &err) < 0)
			snprintf(m->error, sizeof m->error, "%s", err.text);
		m->weights = library_weights(&m->info, c->settings.precision[kind]);
		free(dir);
	}
}

static void ask_device(const struct config *c, const struct model_library *library, struct doctor_facts *f)
{
	struct device_choice choice = {.device = DEVICE_CPU};
	struct memory_reading memory = {0};
	struct device_info info = {0};
	struct error err;
	int wish = boldest_wish(c);

	f->devices = library->devices();
	if (device_choose(wish, f->devices, library->usable, c->force_cuda, &choice, &err) < 0)
		snprintf(f->unusable, sizeof f->unusable, "%s", err.text);
	else
		snprintf(f->unusable, sizeof f->unusable, "%.999s", choice.note);
	if (library->device(DEVICE_CPU, &info) == 0) {
		f->gflops = info.blas_gflops;
		f->bf16 = info.bf16;
	}
	if (choice.device == DEVICE_CPU || library->device(choice.device, &info) == 0)
		snprintf(f->device, sizeof f->device, "%s", info.name);
	library->memory(choice.device, &memory);
	f->memory_total = memory.device_total;
	f->memory_free = memory.device_free;
}

static void ask_library(const struct config *c, struct doctor_facts *f)
{
	const struct model_library *library;
	struct error err;

	/* What hangs NVML hangs CUDA, too, and that for ever. */
	if (f->driver.state == DRIVER_HANGS)
		setenv("CUDA_VISIBLE_DEVICES", "", 1);
	runtime_prepare(c->settings.threads);
	library = library_open(NULL, &err);
	if (library && library->start(c->settings.threads, &err) < 0)
		library = NULL;
	if (library)
		snprintf(f->torch, sizeof f->torch, "%s", library->version());
	else
		snprintf(f->torch_error, sizeof f->torch_error, "%s", err.text);
	ask_models(c, library, f);
	if (library)
		ask_device(c, library, f);
	doctor_blas_file(f->blas, sizeof f->blas);
}

/* ---------------------------------------------------------------- the rest */

/* Colours of the terminal's entry; -1: there is none. */
static int terminal_colours(void)
{
#if VRAMBLE_SCREEN
	int status;

	if (setupterm(NULL, STDOUT_FILENO, &status) == ERR)
		return -1;
	return tigetnum("colors");
#else
	return 0;
#endif
}

static void ask_terminal(struct doctor_facts *f)
{
	static const char *const variables[] = {"LC_ALL", "LC_CTYPE", "LANG"};

	f->screen = VRAMBLE_SCREEN;
	f->tty = isatty(STDOUT_FILENO);
	f->term = getenv("TERM");
	f->colorterm = getenv("COLORTERM");
	f->multiplexer = getenv("TMUX") ? "tmux" : getenv("STY") ? "screen" : NULL;
	f->colours = f->tty ? terminal_colours() : 0;
	f->codeset = nl_langinfo(CODESET);
	for (int i = 0; i < 3 && !f->locale; i++)
		f->locale = getenv(variables[i]) && *getenv(variables[i]) ? getenv(variables[i]) : NULL;
}

static void ask_log(const struct config *c, struct doctor_facts *f)
{
	struct error err;

	if (log_open(c->log, &err) == 0)
		f->log_path = log_path();
	else
		snprintf(f->log_error, sizeof f->log_error, "%s", err.text);
}

static void gather(const struct invocation *in, struct doctor_facts *f)
{
	const struct config *c = &in->config;

	*f = (struct doctor_facts){.need = need_of(c),
				   .visible = getenv("CUDA_VISIBLE_DEVICES"),
				   .threads = c->settings.threads,
				   .cpus = runtime_cpus(),
				   .cpus_online = (int)sysconf(_SC_NPROCESSORS_ONLN),
				   .cpu_quota = doctor_cpu_quota(),
				   .reserve = c->settings.reserve,
				   .profile = c->profile,
				   .problems = in->n_problems,
				   .problem = in->n_problems ? in->problems[0] : NULL};
	f->driver = driver_probe(DRIVER_SECONDS);
	ask_library(c, f);
	f->cap = c->settings.cap ? c->settings.cap : f->memory_total / 100 * c->settings.cap_percent;
	ask_terminal(f);
	ask_log(c, f);
}

static void print_text(const struct doctor *d)
{
	for (int i = 0; i < d->n; i++) {
		const struct check *k = &d->check[i];
		char safe[2200];

		utf8_escape(k->text, strlen(k->text), safe, sizeof safe);
		printf("%-4s  %-9s  %s\n", check_verdict_name(k->verdict), k->name, safe);
		if (k->fix)
			printf("      %-9s  -> %s\n", "", k->fix);
	}
	printf("%d ok, %d warning%s, %d failure%s\n", d->count[CHECK_OK], d->count[CHECK_WARN], d->count[CHECK_WARN] == 1 ? "" : "s",
	       d->count[CHECK_FAIL], d->count[CHECK_FAIL] == 1 ? "" : "s");
}

static void print_json(const struct doctor *d)
{
	for (int i = 0; i < d->n; i++) {
		const struct check *k = &d->check[i];
		char safe[2200];

		utf8_escape(k->text, strlen(k->text), safe, sizeof safe);
		command_print_json(
			json_pack("{s:s, s:s, s:s, s:s*}", "check", k->name, "verdict", check_verdict_name(k->verdict), "text", safe, "fix", k->fix));
	}
}

int command_doctor(struct invocation *in)
{
	struct doctor_facts facts;
	struct doctor doctor = {0};
	int code;

	if (in->n_files) {
		complain("doctor takes no arguments: vramble doctor [--json] [option ...]");
		return EXIT_USAGE;
	}
	gather(in, &facts);
	doctor_judge(&facts, &doctor);
	(in->json ? print_json : print_text)(&doctor);
	code = doctor.count[CHECK_FAIL] ? EXIT_SOME_FAILED : EXIT_OK;
	doctor_free(&doctor);
	log_close();
	return code;
}
