/* measure.c - see measure.h. */
#include "tests/bench/measure.h"

#include <dirent.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/config.h"
#include "core/mem.h"

void bench_stop(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

/* ---- arguments */

static _Noreturn void usage(const char *what)
{
	fprintf(stderr,
		"%s\nusage: [MODE] [--clip DIR] [--captioner DIR] [--nli DIR] [--pictures DIR] [--program FILE] [--vectors FILE]\n"
		"       [--device cpu|cuda:N] [--batch N] [--threads N] [--tries N] [--precision fp32|bf16|fp16|autocast]\n",
		what);
	exit(2);
}

static int number(const char *key, const char *value)
{
	char *end;
	long n = strtol(value, &end, 10);

	if (*end || n < 1 || n > 1000000)
		usage(key);
	return (int)n;
}

static int device_number(const char *value)
{
	char *end;
	long n;

	if (strcmp(value, "cpu") == 0)
		return DEVICE_CPU;
	if (strncmp(value, "cuda", 4) != 0 || (value[4] && value[4] != ':'))
		usage("--device");
	n = value[4] ? strtol(value + 5, &end, 10) : 0;
	if (value[4] && (!value[5] || *end || n < 0 || n > 63))
		usage("--device");
	return (int)n;
}

static void read_one(struct bench_arguments *out, const char *key, const char *value)
{
	const struct {
		const char *key;
		const char **text;
		int *number;
	} rows[] = {
		{"--clip", &out->clip, NULL},   {"--captioner", &out->captioner, NULL}, {"--pictures", &out->pictures, NULL},
		{"--nli", &out->nli, NULL},     {"--program", &out->program, NULL},     {"--vectors", &out->vectors, NULL},
		{"--batch", NULL, &out->batch}, {"--threads", NULL, &out->threads},     {"--tries", NULL, &out->tries},
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		if (strcmp(key, rows[i].key) != 0)
			continue;
		if (rows[i].text)
			*rows[i].text = value;
		else
			*rows[i].number = number(key, value);
		return;
	}
	if (strcmp(key, "--device") == 0)
		out->device = device_number(value);
	else if (strcmp(key, "--precision") != 0 || precision_parse(value, &out->precision) < 0)
		usage(key);
}

void bench_arguments_read(int argc, char **argv, struct bench_arguments *out)
{
	int i = 1;

	*out = (struct bench_arguments){.device = DEVICE_CPU, .batch = 1, .precision = PRECISION_FP32};
	if (i < argc && argv[i][0] != '-')
		out->mode = argv[i++];
	for (; i < argc; i += 2) {
		if (i + 1 == argc)
			usage(argv[i]);
		read_one(out, argv[i], argv[i + 1]);
	}
}

const char *bench_needs(const char *value, const char *flag)
{
	if (!value)
		usage(flag);
	return value;
}

/* ---- readings */

int64_t bench_peak_bytes(void)
{
	FILE *f = fopen("/proc/self/status", "re");
	char line[256];
	long long kilobytes = 0;

	while (f && fgets(line, sizeof line, f))
		if (sscanf(line, "VmHWM: %lld", &kilobytes) == 1)
			break;
	if (f)
		fclose(f);
	return kilobytes * 1024;
}

void bench_tell(const char *name, double value)
{
	printf("%s %.6g\n", name, value);
	fflush(stdout);
}

static int visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

char **bench_files(const char *folder, int *n)
{
	struct dirent **entries;
	char **paths;

	*n = scandir(folder, &entries, visible, alphasort);
	if (*n <= 0)
		bench_stop("%s: no pictures", folder);
	paths = xcalloc((size_t)*n, sizeof *paths);
	for (int i = 0; i < *n; i++) {
		paths[i] = xasprintf("%s/%s", folder, entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	return paths;
}

/* ---- series */

void series_add(struct series *s, double value)
{
	if (s->n == s->capacity) {
		s->capacity = s->capacity ? 2 * s->capacity : 64;
		s->values = xrealloc(s->values, (size_t)s->capacity, sizeof *s->values);
	}
	s->values[s->n++] = value;
}

static int compare(const void *pa, const void *pb)
{
	double a = *(const double *)pa, b = *(const double *)pb;

	return (a > b) - (a < b);
}

double series_quantile(struct series *s, double q)
{
	int rank = (int)ceil(q * s->n);

	if (!s->n)
		return NAN;
	qsort(s->values, (size_t)s->n, sizeof *s->values, compare);
	return s->values[rank < 1 ? 0 : rank - 1];
}

void series_free(struct series *s)
{
	free(s->values);
	*s = (struct series){0};
}
