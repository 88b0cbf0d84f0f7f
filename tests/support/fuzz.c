/* fuzz.c - see fuzz.h. */
#include "tests/support/fuzz.h"

#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "core/mem.h"
#include "tests/support/fuzz_json.h"

enum { SIZE_LIMIT = 1 << 16, MUTATIONS = 6, SECONDS = 2 };
enum { ALLOCATION_FLOOR = 64 * 1024, ALLOCATION_FACTOR = 16 };

static char folder[] = "/tmp/vramble-fuzz-XXXXXX";
static uint64_t state;
static const char *kind, *dump;
static const struct fuzz_seed *all_seeds;
static size_t n_seeds;
static bool is_seed;
static __thread size_t most; /* bytes of one allocation; 0: any number */

/* splitmix64 */
static uint64_t next(void)
{
	uint64_t z = state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static size_t below(size_t n)
{
	return n ? next() % n : 0;
}

/* Inserts n bytes of from at `at`. */
static void insert(struct buffer *b, size_t at, const void *from, size_t n)
{
	char *copy = xmemdup(from, n);

	buffer_add(b, copy, n);
	memmove(b->text + at + n, b->text + at, b->length - n - at);
	memcpy(b->text + at, copy, n);
	free(copy);
}

static void erase(struct buffer *b, size_t at, size_t n)
{
	memmove(b->text + at, b->text + at + n, b->length - at - n);
	b->length -= n;
}

static void mutate(struct buffer *b, const struct fuzz_seed *other)
{
	static const char *const tokens[] = {
		"\xff",  "\0\0\0\0",    "\xff\xff\xff\xff", "\x7f\xff\xff\xff", "{\"a\":",  "[[[[[[[[",      "-1",    "99999999999",
		"1e309", "\"\\u0000\"", "\xed\xa0\x80",     "\xe2\x80\xa8",     "\xcc\x81", "<|endoftext|>", "[SEP]", "&#x110000;"};
	size_t at = below(b->length), n = below(b->length - at < 32 ? b->length - at + 1 : 32);
	const char *token = tokens[below(sizeof tokens / sizeof *tokens)];

	switch (below(7)) {
	case 0:
		if (b->length)
			b->text[at] ^= (char)(1 << below(8));
		break;
	case 1:
		if (b->length)
			b->text[at] = (char)next();
		break;
	case 2:
		erase(b, at, n);
		break;
	case 3:
		insert(b, at, b->text + below(b->length - n), n);
		break;
	case 4:
		insert(b, at, token, strlen(token) ? strlen(token) : 4);
		break;
	case 5:
		n = below(other->size);
		insert(b, at, (const char *)other->bytes + n, below(other->size - n));
		break;
	default:
		b->length = at;
	}
	if (b->length > SIZE_LIMIT)
		b->length = SIZE_LIMIT;
}

static bool write_file(const char *path, const void *bytes, size_t size)
{
	FILE *f = fopen(path, "wb");
	bool written = f && fwrite(bytes, 1, size, f) == size;

	if (f && fclose(f) != 0)
		written = false;
	if (!written)
		perror(path);
	return written;
}

const char *fuzz_dir(void)
{
	return folder;
}

const char *fuzz_file(const char *name, const void *bytes, size_t size)
{
	static char *path;

	free(path);
	path = xasprintf("%s/%s", folder, name);
	if (strchr(name, '/')) {
		char *below = xasprintf("%s/%.*s", folder, (int)strcspn(name, "/"), name);

		mkdir(below, 0777);
		free(below);
	}
	if (!write_file(path, bytes, size))
		exit(1);
	return path;
}

void fuzz_remove(const char *name)
{
	char *path = xasprintf("%s/%s", folder, name);

	unlink(path);
	free(path);
}

static int remove_entry(const char *path, const struct stat *about, int type, struct FTW *where)
{
	return remove(path);
}

static void remove_folder(void)
{
	nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

/* ---- what an input may take ---- */

#ifdef __SANITIZE_ADDRESS__
/* of sanitizer/allocator_interface.h, which not every compiler brings along */
int __sanitizer_install_malloc_and_free_hooks(void (*made)(const volatile void *at, size_t size), void (*freed)(const volatile void *at));

static void check_allocation(const volatile void *made, size_t size)
{
	if (most == 0 || size <= most)
		return;
	fprintf(stderr, "%zu bytes allocated at once; %zu are the most for this input\n", size, most);
	abort();
}

static void pass_over(const volatile void *freed)
{
}

/* Without the second hook the first is not taken either. */
static void check_allocations(void)
{
	if (!__sanitizer_install_malloc_and_free_hooks(check_allocation, pass_over))
		abort();
}
#else
static void check_allocations(void)
{
}
#endif

void fuzz_limit(size_t bytes)
{
	most = bytes;
}

const char *fuzz_kind(void)
{
	return kind;
}

/* Counts CPU time, so that other programs do not matter. Its signal ends the process. */
static void limit_time(int seconds)
{
	const struct itimerval limit = {.it_value.tv_sec = seconds};

	setitimer(ITIMER_PROF, &limit, NULL);
}

typedef void run_function(const uint8_t *bytes, size_t size);

bool fuzz_is_seed(void)
{
	return is_seed;
}

static void run_one(const struct buffer *b, run_function *run)
{
	is_seed = false;
	for (size_t i = 0; i < n_seeds; i++)
		if (all_seeds[i].size == b->length && (!kind || strcmp(kind, all_seeds[i].kind) == 0))
			is_seed = is_seed || memcmp(all_seeds[i].bytes, b->text, b->length) == 0;
	limit_time(SECONDS);
	fuzz_limit(ALLOCATION_FLOOR + ALLOCATION_FACTOR * b->length);
	run((const uint8_t *)b->text, b->length);
	fuzz_limit(0);
	limit_time(0);
}

/* ---- inputs ---- */

static int run_file(const char *path, run_function *run)
{
	FILE *f = fopen(path, "rb");
	struct buffer b = {0};
	char block[4096];
	size_t n;

	if (!f) {
		perror(path);
		return 1;
	}
	buffer_puts(&b, "");
	while ((n = fread(block, 1, sizeof block, f)) > 0)
		buffer_add(&b, block, n);
	fclose(f);
	run_one(&b, run);
	buffer_free(&b);
	return 0;
}

/* The seeds themselves come first. */
static void make_input(struct buffer *b, long i, const struct fuzz_seed *seeds, size_t n)
{
	const struct fuzz_seed *seed = &seeds[(size_t)i < n ? (size_t)i : below(n)];

	buffer_add(b, seed->bytes, seed->size);
	for (size_t k = (size_t)i < n ? 0 : 1 + below(MUTATIONS); k > 0; k--)
		if (below(2) == 0 || !fuzz_json_mutate(b, next))
			mutate(b, &seeds[below(n)]);
}

/* n seeds of one kind. */
static void run_mutations(long runs, const struct fuzz_seed *seeds, size_t n, run_function *run)
{
	for (long i = 0; i < runs; i++) {
		struct buffer b = {0};

		make_input(&b, i, seeds, n);
		if (!dump || write_file(dump, b.text, b.length))
			run_one(&b, run);
		buffer_free(&b);
	}
	if (kind)
		printf("%s: %ld\n", kind, runs);
}

/* How many of each kind make `all`. */
static long share(long all, const struct fuzz_seed *seeds, size_t n)
{
	long kinds = 0;

	for (size_t i = 0; i < n; i++)
		kinds += i == 0 || seeds[i].kind != seeds[i - 1].kind;
	return all / kinds;
}

static void run_kinds(long runs, const char *only, const struct fuzz_seed *seeds, size_t n, run_function *run)
{
	long sum = 0;

	for (size_t from = 0, to; from < n; from = to) {
		kind = seeds[from].kind;
		for (to = from + 1; to < n && seeds[to].kind == kind;)
			to++;
		if (only && (!kind || strcmp(kind, only) != 0))
			continue;
		run_mutations(runs, seeds + from, to - from, run);
		sum += runs;
	}
	printf("%ld runs\n", sum);
}

int fuzz_main(int argc, char **argv, const struct fuzz_seed *seeds, size_t n, run_function *run)
{
	const char *only = NULL;
	long runs = 1000;
	int failed = 0, files = 0;

	if (!mkdtemp(folder)) {
		perror(folder);
		return 1;
	}
	check_allocations();
	all_seeds = seeds;
	n_seeds = n;
	for (int i = 1; i < argc; i++) {
		bool more = i + 1 < argc;

		if (strcmp(argv[i], "-runs") == 0 && more)
			runs = strtol(argv[++i], NULL, 10);
		else if (strcmp(argv[i], "-all") == 0 && more)
			runs = share(strtol(argv[++i], NULL, 10), seeds, n);
		else if (strcmp(argv[i], "-seed") == 0 && more)
			state = strtoull(argv[++i], NULL, 10);
		else if (strcmp(argv[i], "-dump") == 0 && more)
			dump = argv[++i];
		else if (strcmp(argv[i], "-kind") == 0 && more)
			kind = only = argv[++i];
		else if (files++, run_file(argv[i], run))
			failed = 1;
	}
	if (files == 0)
		run_kinds(runs, only, seeds, n, run);
	remove_folder();
	return failed;
}
