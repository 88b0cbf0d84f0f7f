/* bench_screen.c - what a hand at the keyboard feels: the real program in a pseudo-terminal, its screen read back through a terminal emulator.
 *
 *	bench_screen --clip DIR --captioner DIR --pictures DIR [--tries N]
 *
 * First frame, with a small and a huge folder; from a key to its paint while two networks use every core; what an idle screen costs.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/runtime.h"
#include "models/picturebook/scene.h"
#include "tests/bench/measure.h"
#include "tests/support/pty.h"

enum { ROWS = 40, COLUMNS = 120, FRAMES = 20, KEYS = 300, HUGE_FOLDER = 100000, IDLE_SECONDS = 10 };

static char *const no_models[] = {"--clip", "none", "--captioner", "none", "--nli", "none", NULL};

/* The program over a folder, with the real library. */
static struct pty *start(char *const *arguments, const char *folder)
{
	char *argv[32] = {(char *)pty_program(), "--labels", "a picture;something else"}, *library;
	const char *env[2] = {NULL};
	int n = 3;
	struct pty *p;

	library = xasprintf("VRAMBLE_LIBRARY=%s", pty_build_file("libvramble-torch.so"));
	env[0] = library;
	while (*arguments)
		argv[n++] = *arguments++;
	argv[n] = (char *)folder;
	p = pty_start(&(struct pty_options){.argv = argv, .env = env, .rows = ROWS, .columns = COLUMNS});
	free(library);
	return p;
}

static void stop(struct pty *p)
{
	if (pty_finish(p, "q") != 0)
		bench_stop("the program ended with an error");
}

/* ---- the first frame */

/* It is painted from the top to the status line, which comes last; and the list holds names by then. */
static bool is_painted(struct pty *p, const void *ctx)
{
	return pty_row(p, ROWS - 1)[0] && strstr(pty_row(p, 2), ".jpg");
}

static double first_frame_ms(const char *folder, int tries)
{
	struct series times = {0};
	double median;

	for (int i = 0; i < tries; i++) {
		double begin = clock_now();
		struct pty *p = start(no_models, folder);

		pty_wait(p, is_painted, NULL, "the first frame");
		series_add(&times, 1e3 * (clock_now() - begin));
		stop(p);
	}
	median = series_quantile(&times, 0.5);
	series_free(&times);
	return median;
}

static char *make_huge_folder(void)
{
	char *folder = xstrdup("/tmp/vramble-bench-XXXXXX");
	int fd = mkdtemp(folder) ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	for (int i = 0; fd >= 0 && i < HUGE_FOLDER; i++) {
		char name[32];
		int file;

		snprintf(name, sizeof name, "picture%06d.jpg", i);
		file = openat(fd, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0666);
		if (file < 0 || close(file) < 0)
			bench_stop("%s/%s: %s", folder, name, strerror(errno));
	}
	if (fd < 0)
		bench_stop("%s: %s", folder, strerror(errno));
	close(fd);
	return folder;
}

static void remove_folder(char *folder)
{
	char *command = xasprintf("rm -rf '%s'", folder);

	if (system(command))
		fprintf(stderr, "%s is left behind\n", folder);
	free(command);
	free(folder);
}

static void bench_first_frame(const struct bench_arguments *args, int tries)
{
	char *huge = make_huge_folder();

	bench_tell("first_frame_ms", first_frame_ms(args->pictures, tries));
	bench_tell("first_frame_of_100000_ms", first_frame_ms(huge, tries));
	remove_folder(huge);
}

/* ---- keys while networks run */

/* Seconds of all cores that the process used so far. */
static double cpu_seconds(pid_t pid)
{
	char *path = xasprintf("/proc/%d/stat", (int)pid);
	FILE *f = fopen(path, "re");
	unsigned long user = 0, kernel = 0;

	/* behind the name in brackets, the 12th and 13th field (proc(5): utime, stime) */
	if (!f || fscanf(f, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &kernel) != 2)
		bench_stop("%s: cannot be read", path);
	fclose(f);
	free(path);
	return (double)(user + kernel) / (double)sysconf(_SC_CLK_TCK);
}

/* Until the program used `least` (or, idle, at most `most`) cores for a second. */
static void await_load(struct pty *p, double least, double most)
{
	double begin = clock_now(), used;

	do {
		double at = clock_now();

		used = cpu_seconds(pty_pid(p));
		pty_listen(p, 1000);
		used = (cpu_seconds(pty_pid(p)) - used) / (clock_now() - at);
		if (clock_now() - begin > 120)
			bench_stop("the program never used %.1f to %.1f cores", least, most);
	} while (used < least || used > most);
}

static bool title_says(struct pty *p, const void *text)
{
	return strstr(pty_row(p, 0), text);
}

/* From the write of a key to the bytes that show the next picture's number in the title. */
static double press_ms(struct pty *p, const char *key, int expected, int total)
{
	char text[32];
	double begin = clock_now();

	snprintf(text, sizeof text, " %d/%d", expected, total);
	pty_type(p, key);
	pty_wait(p, title_says, text, text);
	return 1e3 * (clock_now() - begin);
}

static void bench_keys(const struct bench_arguments *args)
{
	char *const models[] = {"--clip", (char *)args->clip, "--captioner", (char *)args->captioner, "--nli", "none", NULL};
	struct pty *p = start(models, args->pictures);
	struct series times = {0};
	uint64_t chance = 1;
	double begin, used;
	int total, at = 1, step = 1;
	char **files = bench_files(args->pictures, &total);

	await_load(p, 0.4 * runtime_cpus(), 1e9);
	begin = clock_now();
	used = cpu_seconds(pty_pid(p));
	for (int i = 0; i < KEYS; i++) {
		step = at == total ? -1 : at == 1 ? 1 : step;
		at += step;
		series_add(&times, press_ms(p, step > 0 ? "j" : "k", at, total));
		pty_listen(p, (int)scene_between(&chance, 20, 80));
	}
	used = (cpu_seconds(pty_pid(p)) - used) / (clock_now() - begin);
	bench_tell("key_p50_ms", series_quantile(&times, 0.5));
	bench_tell("key_p99_ms", series_quantile(&times, 0.99));
	bench_tell("key_max_ms", series_quantile(&times, 1));
	bench_tell("key_cores_busy", used);
	stop(p);
	series_free(&times);
	for (int i = 0; i < total; i++)
		free(files[i]);
	free(files);
}

/* ---- idle */

static void bench_idle(const struct bench_arguments *args)
{
	struct pty *p = start(no_models, args->pictures);
	size_t most = 0;
	double begin, used;

	await_load(p, 0, 0.02);
	begin = clock_now();
	used = cpu_seconds(pty_pid(p));
	for (int i = 0; i < IDLE_SECONDS * 10; i++) {
		size_t n = pty_listen(p, 100);

		most = n > most ? n : most;
	}
	bench_tell("idle_cpu_percent", 100 * (cpu_seconds(pty_pid(p)) - used) / (clock_now() - begin));
	bench_tell("idle_bytes_a_tick", (double)most);
	stop(p);
}

int main(int argc, char **argv)
{
	struct bench_arguments args;

	bench_arguments_read(argc, argv, &args);
	bench_needs(args.clip, "--clip DIR is needed");
	bench_needs(args.captioner, "--captioner DIR is needed");
	bench_needs(args.pictures, "--pictures DIR is needed");
	bench_first_frame(&args, args.tries ? args.tries : FRAMES);
	bench_idle(&args);
	bench_keys(&args);
	return 0;
}
