/* golden.c - runs fixtures: our numbers against a reference's, on weights that need no download. See golden.h.
 *
 *	golden [--device cpu|cuda:N] [--precision fp32|bf16|fp16|autocast] [--data DIR] [--folders DIR [--layouts NAME,…]] FILE.json…
 *
 * --folders keeps the model directory of each fixture in DIR; with --layouts they are read from there again, from what was made of each in each layout.
 * Prints one line per case and a count at the end; leaves with 1 when anything missed or could not be read, 2 for wrong arguments.
 */
#include "tests/golden/golden.h"

#include <ctype.h>
#include <getopt.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/runtime.h"
#include "models/json.h"

static const struct golden_kind *const kinds[] = {
	&golden_synth,           &golden_clip,           &golden_bert,           &golden_bart,
	&golden_siglip,          &golden_deberta,        &golden_blip,           &golden_ofa,
	&golden_ofa_search,      &golden_bert_tokenizer, &golden_clip_tokenizer, &golden_ofa_tokenizer,
	&golden_clip_preprocess, &golden_ofa_preprocess,
};

/* ---- files ---- */

char *golden_file(const struct golden *g, const char *name)
{
	return *name == '/' ? xstrdup(name) : xasprintf("%s/%s", g->folder, name);
}

/* "<base>/<name>" if it can be read, else NULL */
static char *readable(const char *base, const char *name)
{
	char *path = base && *base ? xasprintf("%s/%s", base, name) : NULL;

	if (path && access(path, R_OK) == 0)
		return path;
	free(path);
	return NULL;
}

char *golden_data(const struct golden *g, const char *name)
{
	char *path = readable(g->data, name), *near, *pattern;
	glob_t beside;

	if (path || g->data)
		return path;
	if ((path = readable(getenv("VRAMBLE_DATA"), name)))
		return path;
	near = xasprintf("%s/../../data", g->folder);
	path = readable(near, name);
	free(near);
	if (path)
		return path;
	pattern = xasprintf("../*/data/%s", name);
	if (glob(pattern, 0, NULL, &beside) == 0) {
		path = xstrdup(beside.gl_pathv[0]);
		globfree(&beside);
	}
	free(pattern);
	return path;
}

/* The length of what stands at text: a string, a number's digits, or one byte. */
static size_t token_length(const char *text, size_t size)
{
	size_t n = 1;

	if (*text == '"') {
		while (n < size && text[n] != '"')
			n += text[n] == '\\' ? 2 : 1;
		return n < size ? n + 1 : size;
	}
	while (isdigit((unsigned char)*text) && n < size && (isalnum((unsigned char)text[n]) || strchr(".+-", text[n])))
		n++;
	return n;
}

/* Puts quotes around whole numbers of more than 18 digits: seeds go up to 2^64-1, which JSON allows and the parser's integers do not hold. */
static char *quote_large(const char *text, size_t size, size_t *length)
{
	struct buffer out = {0};
	size_t n;

	for (size_t i = 0; i < size; i += n) {
		n = token_length(text + i, size - i);
		if (n > 18 && strspn(text + i, "0123456789") == n)
			buffer_printf(&out, "\"%.*s\"", (int)n, text + i);
		else
			buffer_add(&out, text + i, n);
	}
	*length = out.length;
	return out.text;
}

static json_t *fixture_read(const char *path, struct error *err)
{
	size_t size, length;
	char *raw = json_read_bytes(path, JSON_LIMIT, &size, err), *text;
	json_error_t why;
	json_t *root;

	if (!raw)
		return NULL;
	text = quote_large(raw, size, &length);
	free(raw);
	root = json_loadb(text ? text : "", length, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &why);
	free(text);
	return root ? root : fail_null(err, E_FORMAT, "%s: line %d: %s", path, why.line, why.text);
}

/* ---- running ---- */

static int run_kind(struct golden *g, struct error *err)
{
	const char *architecture = golden_architecture(g->root);

	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
		if (kinds[i]->claims(g->root))
			return kinds[i]->run(g, err) < 0 ? fail_prefix(err, "%s", kinds[i]->what) : 0;
	if (*architecture)
		return fail(err, E_FORMAT, "architecture \"%s\" is unknown here, or its fixture has none of the known members", architecture);
	return fail(err, E_FORMAT, "not a fixture of a known kind");
}

static void run_file(struct golden *g, const char *path)
{
	const char *slash = strrchr(path, '/');
	struct error err = {0};
	json_t *root = fixture_read(path, &err);

	g->path = path;
	g->folder = slash ? xstrndup(path, (size_t)(slash - path)) : xstrdup(".");
	g->root = root;
	if (!root || run_kind(g, &err) < 0) {
		printf("%s: FAIL: %s\n", path, err.text);
		g->failed++;
	}
	json_decref(root);
	free(g->folder);
}

/* ---- arguments ---- */

static int usage(void)
{
	fputs("usage: golden [--device cpu|cuda:N] [--precision fp32|bf16|fp16|autocast] [--data DIR] [--folders DIR [--layouts NAME,...]] "
	      "FILE.json...\n",
	      stderr);
	return -1;
}

static int read_device(const char *text, int *device)
{
	char *end;

	if (strcmp(text, "cpu") == 0) {
		*device = TT_CPU;
		return 0;
	}
	if (strncmp(text, "cuda:", 5) != 0 || !isdigit((unsigned char)text[5]))
		return usage();
	*device = (int)strtol(text + 5, &end, 10);
	return *end ? usage() : 0;
}

static int read_precision(const char *text, enum precision *precision)
{
	static const char *const names[] = {
		[PRECISION_FP32] = "fp32", [PRECISION_BF16] = "bf16", [PRECISION_FP16] = "fp16", [PRECISION_AUTOCAST] = "autocast"};

	for (int i = PRECISION_FP32; i <= PRECISION_AUTOCAST; i++) {
		if (strcmp(text, names[i]) == 0) {
			*precision = (enum precision)i;
			return 0;
		}
	}
	return usage();
}

static int read_arguments(int argc, char **argv, struct golden *g, char **layouts)
{
	static const struct option options[] = {
		{"device", required_argument, NULL, 'd'},  {"precision", required_argument, NULL, 'p'}, {"data", required_argument, NULL, 'D'},
		{"folders", required_argument, NULL, 'F'}, {"layouts", required_argument, NULL, 'l'},   {0},
	};
	int option, rc = 0;

	while (rc == 0 && (option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'd')
			rc = read_device(optarg, &g->device);
		else if (option == 'p')
			rc = read_precision(optarg, &g->precision);
		else if (option == 'D')
			g->data = optarg;
		else if (option == 'F')
			g->folders = optarg;
		else if (option == 'l')
			*layouts = optarg;
		else
			rc = usage();
	}
	return rc == 0 && (optind == argc || (*layouts && !g->folders)) ? usage() : rc;
}

/* What this machine cannot do is said once, before any weights are made. */
static int start(const struct golden *g)
{
	char message[256];

	if (tt_start(0, message, sizeof message) < 0) {
		fprintf(stderr, "golden: %s\n", message);
		return -1;
	}
	if (g->device >= tt_cuda_devices()) {
		fprintf(stderr, "golden: cuda:%d: there are %d usable CUDA devices\n", g->device, tt_cuda_devices());
		return -1;
	}
	if (g->device == TT_CPU && g->precision == PRECISION_FP16) {
		fputs("golden: fp16 does not compute on a CPU; use --precision bf16, or --device cuda:0\n", stderr);
		return -1;
	}
	return 0;
}

static void on_signal(int number)
{
	golden_weights_remove();
	signal(number, SIG_DFL);
	raise(number);
}

int main(int argc, char **argv)
{
	static const int deadly[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGSEGV, SIGBUS, SIGFPE, SIGABRT};
	struct golden g = {.device = TT_CPU, .precision = PRECISION_FP32};
	char *layouts = NULL, *rest;

	if (runtime_prepare(0))
		execv("/proc/self/exe", argv);
	if (read_arguments(argc, argv, &g, &layouts) < 0 || start(&g) < 0)
		return 2;
	if (g.device == TT_CPU && g.precision != PRECISION_FP32 && !tt_cpu_has_bf16()) {
		puts("skipped: this CPU has no bf16 instructions");
		return 0;
	}
	for (size_t i = 0; i < sizeof deadly / sizeof deadly[0]; i++)
		signal(deadly[i], on_signal);
	mem_exhausted = golden_weights_remove;
	g.layout = layouts ? strtok_r(layouts, ",", &rest) : NULL;
	do {
		for (int i = optind; i < argc; i++)
			run_file(&g, argv[i]);
	} while (g.layout && (g.layout = strtok_r(NULL, ",", &rest)));
	printf("%d passed, %d failed, %d skipped\n", g.passed, g.failed, g.skipped);
	fflush(stdout);
	_exit(g.failed > 0); /* libtorch's destructors are slow and free nothing that matters */
}
