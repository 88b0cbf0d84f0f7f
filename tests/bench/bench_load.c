/* bench_load.c - weights from the page cache: how long until every page of them has been touched, and what that makes resident, against reading the same
 * file once. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"
#include "models/checkpoint.h"
#include "tests/bench/measure.h"

enum { BLOCK = 1 << 20, ROUNDS = 9 };

static double read_once(const char *path, char *block)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	double begin = clock_now();
	ssize_t n;

	if (fd < 0)
		bench_stop("%s: %s", path, strerror(errno));
	while ((n = read(fd, block, BLOCK)) > 0)
		;
	close(fd);
	return clock_now() - begin;
}

static int64_t resident(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	long size, pages;

	if (!f || fscanf(f, "%ld %ld", &size, &pages) != 2)
		bench_stop("/proc/self/statm cannot be read");
	fclose(f);
	return (int64_t)pages * sysconf(_SC_PAGESIZE);
}

/* Opens, finds every tensor by its name, and touches its pages. */
static double load_once(const char *dir, int64_t *held, int64_t *bytes)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	int64_t before = resident();
	double begin = clock_now(), end;
	struct error err;
	struct checkpoint *c = checkpoint_open(dir, &err);
	volatile unsigned sum = 0;

	if (!c)
		bench_stop("%s", err.text);
	for (int i = 0; i < checkpoint_size(c); i++) {
		const struct checkpoint_tensor *t = checkpoint_find(c, checkpoint_at(c, i)->name);
		const unsigned char *data = checkpoint_data(c, t, &err);

		if (!data)
			bench_stop("%s", err.text);
		for (size_t at = 0; at < (size_t)t->bytes; at += page)
			sum += data[at];
	}
	(void)sum;
	end = clock_now();
	*held = resident() - before;
	*bytes = checkpoint_bytes(c);
	checkpoint_close(c);
	return end - begin;
}

int main(int argc, char **argv)
{
	struct series reading = {0}, loading = {0};
	struct bench_arguments args;
	int64_t held = 0, bytes = 1;
	char *path, *block = xmalloc(BLOCK);

	bench_arguments_read(argc, argv, &args);
	path = xasprintf("%s/model.safetensors", bench_needs(args.clip, "--clip"));
	read_once(path, block); /* into the cache */
	for (int i = 0; i < ROUNDS; i++) {
		series_add(&reading, read_once(path, block));
		series_add(&loading, load_once(args.clip, &held, &bytes));
	}
	bench_tell("read_ms", 1e3 * series_quantile(&reading, 0.5));
	bench_tell("load_ms", 1e3 * series_quantile(&loading, 0.5));
	bench_tell("load_ratio", series_quantile(&loading, 0.5) / series_quantile(&reading, 0.5));
	bench_tell("weights_mb", (double)bytes / 1e6);
	bench_tell("resident_mb", (double)held / 1e6);
	series_free(&reading);
	series_free(&loading);
	free(path);
	free(block);
	return 0;
}
