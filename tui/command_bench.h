/* command_bench.h - what `vramble bench` found, for whoever prints it. One thread. */
#ifndef TUI_COMMAND_BENCH_H
#define TUI_COMMAND_BENCH_H

#include "core/fit.h"
#include "core/sweep.h"
#include "tui/command.h"

/* A row's search for the largest batch. */
struct bench_fit {
	struct fit fit;
	int guess; /* the forecast's */
};

struct bench {
	struct invocation *in;
	unsigned kinds; /* models that run, 1 << kind */
	char **paths;   /* owned, as each path */
	int n_paths, passes;
	bool from_folder; /* the paths are those of in->files[0] or of the demo */
	struct sweep sweep;
	struct bench_fit *fits; /* owned; by row of the sweep, which then has one column: the most that is asked about. NULL: a sweep */
	char version[64], device[96];
	int64_t limit; /* bytes that cap and reserve leave; 0: not known */
	bool interrupted;
};

/* The table, or what fits, with the command line to take; lines of text, or with in->json one object a line. Standard output. */
void bench_print(const struct bench *b);

/* A line on standard error that the next one overwrites; nothing where that is no terminal. bench_progress_end wipes it away. */
void bench_progress(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void bench_progress_end(void);

#endif
