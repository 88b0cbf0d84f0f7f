/* doctor.c - see doctor.h: the judgements. */
#include "core/doctor.h"

#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/memory.h"

enum { GFLOPS_SLOW = 15 }; /* one core's reference BLAS does about 5, OpenBLAS a hundred and more */

const char *check_verdict_name(enum check_verdict verdict)
{
	static const char *const names[] = {"ok", "warn", "fail"};

	return names[verdict];
}

void doctor_add(struct doctor *d, enum check_verdict verdict, const char *name, char *text, char *fix)
{
	d->check = xrealloc(d->check, (size_t)d->n + 1, sizeof *d->check);
	d->check[d->n++] = (struct check){verdict, name, text, fix};
	d->count[verdict]++;
}

void doctor_free(struct doctor *d)
{
	for (int i = 0; i < d->n; i++) {
		free(d->check[i].text);
		free(d->check[i].fix);
	}
	free(d->check);
	*d = (struct doctor){0};
}

/* How bad it is that there is no CUDA. */
static enum check_verdict without_cuda(enum cuda_need need)
{
	return need == CUDA_NEEDED ? CHECK_FAIL : need == CUDA_WELCOME ? CHECK_WARN : CHECK_OK;
}

/* ---------------------------------------------------------------- the GPU */

static void judge_driver(const struct doctor_facts *f, struct doctor *d)
{
	enum check_verdict bad = without_cuda(f->need);

	switch (f->driver.state) {
	case DRIVER_WORKS:
		if (f->driver.devices > 0)
			doctor_add(d, CHECK_OK, "driver",
				   xasprintf("NVIDIA %s, %d device%s: %s", f->driver.text, f->driver.devices, f->driver.devices == 1 ? "" : "s",
					     f->driver.device),
				   NULL);
		else
			doctor_add(d, bad, "driver", xasprintf("NVIDIA %s, but no device", f->driver.text),
				   xstrdup("look at nvidia-smi; in a container start it with its GPUs (--gpus all)"));
		break;
	case DRIVER_MISSING:
		if (f->devices > 0 && !f->unusable[0]) { /* ROCm, or a container without NVML */
			doctor_add(d, CHECK_OK, "driver",
				   xstrdup("no NVML, but libtorch has its device; no temperature, power and load on the screen"), NULL);
			break;
		}
		doctor_add(d, bad, "driver", xstrdup("no NVIDIA driver (libnvidia-ml.so.1 is not there)"),
			   bad == CHECK_OK ? NULL : xstrdup("install the driver, or start the container with its GPUs; or say --device cpu"));
		break;
	case DRIVER_HANGS:
		doctor_add(d, f->need == CUDA_NEEDED ? CHECK_FAIL : CHECK_WARN, "driver",
			   xstrdup("the NVIDIA driver does not answer; CUDA was not tried"),
			   xstrdup("see whether nvidia-smi hangs, too; look at dmesg for Xid errors, reset the GPU or restart the machine"));
		break;
	case DRIVER_FAILS:
		doctor_add(d, bad, "driver", xasprintf("the NVIDIA driver fails: %s", f->driver.text),
			   xstrdup("see what nvidia-smi says; after an update of the driver restart the machine"));
	}
}

static void judge_torch(const struct doctor_facts *f, struct doctor *d)
{
	bool cuda = strstr(f->torch, "+cu") || strstr(f->torch, "+rocm");

	if (!f->torch[0]) {
		doctor_add(d, CHECK_FAIL, "libtorch", xstrdup(f->torch_error),
			   xstrdup("run make; VRAMBLE_LIBRARY may name another libvramble-torch.so"));
		return;
	}
	doctor_add(d, cuda ? CHECK_OK : without_cuda(f->need), "libtorch", xasprintf("%s, %s", f->torch, cuda ? "a CUDA build" : "a CPU build"),
		   cuda || f->need == CUDA_UNWANTED ? NULL : xstrdup("make TORCH_DIR=…/site-packages/torch builds against a CUDA wheel of torch"));
}

static void judge_device(const struct doctor_facts *f, struct doctor *d)
{
	char *visible = f->visible ? xasprintf(" (CUDA_VISIBLE_DEVICES=%s)", f->visible) : xstrdup("");

	if (!f->torch[0])
		doctor_add(d, CHECK_FAIL, "device", xstrdup("unknown without libtorch"), NULL);
	else if (f->need == CUDA_UNWANTED)
		doctor_add(d, CHECK_OK, "device", xasprintf("%s, as asked for", f->device), NULL);
	else if (f->unusable[0])
		doctor_add(d, without_cuda(f->need), "device", xasprintf("%s%s", f->unusable, visible),
			   f->visible && f->driver.devices > f->devices ? xstrdup("set or unset CUDA_VISIBLE_DEVICES so that the device is seen")
									: xstrdup("mend what it says, or say --device cpu"));
	else
		doctor_add(d, CHECK_OK, "device", xasprintf("%s%s, %d visible", f->device, visible, f->devices), NULL);
	free(visible);
}

/* ---------------------------------------------------------------- the CPU */

static void judge_blas(const struct doctor_facts *f, struct doctor *d)
{
	const char *from = f->blas[0] ? f->blas : "an unknown BLAS";

	if (f->gflops <= 0) {
		doctor_add(d, CHECK_OK, "blas", xasprintf("not measured (%s)", from), NULL);
		return;
	}
	if (f->gflops >= GFLOPS_SLOW) {
		doctor_add(d, CHECK_OK, "blas", xasprintf("%.0f GFLOP/s with %s", f->gflops, from), NULL);
		return;
	}
	doctor_add(d, CHECK_WARN, "blas", xasprintf("only %.1f GFLOP/s with %s; everything on the CPU is slow", f->gflops, from),
		   strstr(from, "openblas") || strstr(from, "mkl")
			   ? xstrdup("the machine is busy, or has few instructions for vectors; see what else runs")
			   : xstrdup("this is libblas3, the reference BLAS: apt-get install libopenblas0-pthread, which takes its place"));
}

static void judge_cpu(const struct doctor_facts *f, struct doctor *d)
{
	int threads = f->threads ? f->threads : f->cpus;
	double most = f->cpu_quota > 0 && f->cpu_quota < f->cpus ? f->cpu_quota : f->cpus;
	char *text = xasprintf("%d per run on %d of %d CPUs", threads, f->cpus, f->cpus_online);

	doctor_add(d, CHECK_OK, "bf16", xstrdup(f->bf16 ? "has instructions of its own" : "without instructions of its own; auto means fp32 here"),
		   NULL);
	if (threads <= most + 0.5)
		doctor_add(d, CHECK_OK, "threads", text, NULL);
	else if (f->cpu_quota > 0)
		doctor_add(d, CHECK_WARN, "threads", xasprintf("%s, but the container is given the time of %.1f", text, f->cpu_quota),
			   xasprintf("say --threads %d, or give the container more", most < 1 ? 1 : (int)most));
	else
		doctor_add(d, CHECK_WARN, "threads", xasprintf("%s: they get in each other's way", text), xstrdup("say --threads 0"));
	if (d->check[d->n - 1].text != text)
		free(text);
}

/* ---------------------------------------------------------------- models and memory */

static void judge_models(const struct doctor_facts *f, struct doctor *d)
{
	static const char *const names[MODEL_KINDS] = {"clip", "captioner", "nli"};
	int used = 0;

	for (int kind = 0; kind < MODEL_KINDS; kind++) {
		const struct model_facts *m = &f->model[kind];

		used += m->used;
		if (!m->used)
			doctor_add(d, CHECK_OK, names[kind], xstrdup("not used"), NULL);
		else if (m->error[0])
			doctor_add(d, CHECK_FAIL, names[kind], xstrdup(m->error),
				   xasprintf("give --%s DIR a directory that vramble info can read, or none", names[kind]));
		else
			doctor_add(d, CHECK_OK, names[kind],
				   xasprintf("%s, %.1f M parameters, %s (%s)", m->info.architecture, (double)m->info.parameters / 1e6,
					     m->info.precision, m->dir),
				   NULL);
	}
	if (!used)
		doctor_add(d, CHECK_FAIL, "models", xstrdup("every model is switched off"),
			   xstrdup("give at least one of --clip, --captioner, --nli"));
}

static char *gib(int64_t bytes)
{
	char text[24];

	return xstrdup(memory_text(bytes, text));
}

static void judge_memory(const struct doctor_facts *f, struct doctor *d)
{
	int64_t need = 0, kept = f->memory_total / 100 * f->reserve;
	char *needs, *has = gib(f->memory_free), *total = gib(f->memory_total), *cap = gib(f->cap), *text;

	for (int kind = 0; kind < MODEL_KINDS; kind++)
		need += f->model[kind].used && !f->model[kind].error[0] ? f->model[kind].weights : 0;
	needs = gib(need);
	text = xasprintf("weights %s; free %s of %s, reserve %d %%, cap %s%s%s", needs, has, total, f->reserve, f->cap ? cap : "none",
			 f->profile ? ", profile " : "", f->profile ? f->profile : "");
	if (!f->memory_total)
		doctor_add(d, CHECK_WARN, "memory", xstrdup("unknown without libtorch"), NULL);
	else if (f->cap && f->cap < need)
		doctor_add(d, CHECK_FAIL, "memory", xstrdup(text),
			   xasprintf("the cap is below the weights: --cap more than %s, a lower precision, or a model less", needs));
	else if (f->memory_free < need)
		doctor_add(d, CHECK_FAIL, "memory", xstrdup(text),
			   xstrdup("free memory (nvidia-smi or top shows who holds it), a lower precision, or a model less"));
	else if (f->memory_free - need < kept)
		doctor_add(d, CHECK_WARN, "memory", xstrdup(text),
			   xstrdup("the weights leave less than the reserve: the profile limited, a lower precision, or a smaller reserve"));
	else
		doctor_add(d, CHECK_OK, "memory", xstrdup(text), NULL);
	free(text);
	free(needs);
	free(has);
	free(total);
	free(cap);
}

/* ---------------------------------------------------------------- the terminal, the files */

static const char *colours(const struct doctor_facts *f)
{
	if (f->colorterm && (!strcmp(f->colorterm, "truecolor") || !strcmp(f->colorterm, "24bit")))
		return "true colour";
	return f->colours >= 256  ? "256 colours, more if it answers when asked"
	       : f->colours >= 16 ? "16 colours"
	       : f->colours >= 8  ? "8 colours"
				  : "no colours";
}

static void judge_terminal(const struct doctor_facts *f, struct doctor *d)
{
	char *text = xasprintf("%s%s%s, %s; pictures as character cells", f->term ? f->term : "TERM is not set", f->multiplexer ? " in " : "",
			       f->multiplexer ? f->multiplexer : "", colours(f));

	if (!f->screen)
		doctor_add(d, CHECK_OK, "terminal", xstrdup("not needed: built without a screen"), NULL);
	else if (!f->tty)
		doctor_add(d, CHECK_WARN, "terminal", xstrdup("the output is no terminal: the screen cannot be judged"),
			   xstrdup("run vramble doctor in the terminal of the demo"));
	else if (!f->term || !*f->term || f->colours == -1)
		doctor_add(d, CHECK_FAIL, "terminal", xasprintf("TERM=%s is not known on this machine", f->term ? f->term : ""),
			   xstrdup("TERM=xterm-256color, or install the terminal's entry (ncurses-term)"));
	else if (f->colours < 8)
		doctor_add(d, CHECK_WARN, "terminal", xstrdup(text), xstrdup("TERM=xterm-256color where the terminal can do it"));
	else
		doctor_add(d, CHECK_OK, "terminal", xstrdup(text), NULL);
	free(text);
}

static void judge_locale(const struct doctor_facts *f, struct doctor *d)
{
	const char *locale = f->locale ? f->locale : "none set";

	if (!strcmp(f->codeset, "UTF-8"))
		doctor_add(d, CHECK_OK, "locale", xasprintf("%s, UTF-8", locale), NULL);
	else
		doctor_add(d, f->screen ? CHECK_FAIL : CHECK_WARN, "locale", xasprintf("%s: %s, not UTF-8", locale, f->codeset),
			   xstrdup("export LC_ALL=C.UTF-8, or a locale that locale -a lists"));
}

static void judge_files(const struct doctor_facts *f, struct doctor *d)
{
	if (f->problems)
		doctor_add(d, CHECK_FAIL, "settings", xasprintf("%d problem%s: %s", f->problems, f->problems == 1 ? "" : "s", f->problem),
			   xstrdup("mend it there; vramble config shows what holds"));
	else
		doctor_add(d, CHECK_OK, "settings", xasprintf("all right%s%s", f->profile ? ", profile " : "", f->profile ? f->profile : ""), NULL);
	if (f->log_path)
		doctor_add(d, CHECK_OK, "log", xstrdup(f->log_path), NULL);
	else
		doctor_add(d, CHECK_WARN, "log", xstrdup(f->log_error), xstrdup("give --log FILE a place that can be written, or free the disk"));
}

void doctor_judge(const struct doctor_facts *facts, struct doctor *out)
{
	judge_driver(facts, out);
	judge_torch(facts, out);
	judge_device(facts, out);
	judge_blas(facts, out);
	judge_cpu(facts, out);
	judge_models(facts, out);
	judge_memory(facts, out);
	judge_terminal(facts, out);
	judge_locale(facts, out);
	judge_files(facts, out);
}
