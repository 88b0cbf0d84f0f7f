/* command_models_pull.c - `vramble models pull NAME…`: a bar on a terminal, a line for each file elsewhere; the folder on standard output. */
#include "tui/command_models.h"

#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/hub.h"
#include "core/mem.h"

enum { BAR_MOST = 40, NAME_MOST = 40, COLUMNS_ELSE = 80 };

static const double SHOW_SECONDS = 0.1, RATE_SECONDS = 3;

struct pulling {
	const char *name;
	bool terminal;
	double shown, sampled; /* when; 0: never */
	int64_t sample;        /* done, then */
	double rate;           /* bytes a second, of the last few */
	int files;
	int64_t total;
};

/* ---------------------------------------------------------------- the bar */

/* An average that forgets; what fell (a file begun anew) begins it anew. */
static void measure(struct pulling *p, int64_t done, double at)
{
	double elapsed = at - p->sampled;

	if (p->sampled > 0 && done >= p->sample) {
		double here = (double)(done - p->sample) / elapsed, share = elapsed < RATE_SECONDS ? elapsed / RATE_SECONDS : 1;

		p->rate = p->rate > 0 ? p->rate + (here - p->rate) * share : here;
	}
	p->sampled = at;
	p->sample = done;
}

static int columns(void)
{
	struct winsize size;

	return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : COLUMNS_ELSE;
}

static void add_remaining(struct buffer *line, double seconds)
{
	long s = (long)(seconds + 0.5);

	if (s >= 3600)
		buffer_printf(line, "  %ld:%02ld:%02ld left", s / 3600, s / 60 % 60, s % 60);
	else
		buffer_printf(line, "  %ld:%02ld left", s / 60, s % 60);
}

static void add_bar(struct buffer *line, int width, double share)
{
	buffer_puts(line, "  [");
	for (int i = 0; i < width; i++)
		buffer_puts(line, i < (int)(share * width) ? "=" : " ");
	buffer_puts(line, "]");
}

/* file, bar, bytes, rate, remaining; the bar takes what is left, and may be nothing. */
static void draw(const struct pulling *p, const struct hub_progress *at)
{
	struct buffer head = {0}, tail = {0};
	char name[NAME_MOST], done[16], total[16], rate[16];
	double share = at->total > 0 ? (double)at->done / (double)at->total : 1;
	int room;

	buffer_puts(&head, at->step == HUB_CHECK ? "checking " : "");
	buffer_puts(&head, models_shown(at->file, name, sizeof name));
	buffer_printf(&tail, "  %3.0f %%  %s of %s", 100 * share, models_size(at->done, done), models_size(at->total, total));
	if (p->rate > 0) {
		buffer_printf(&tail, "  %s/s", models_size((int64_t)p->rate, rate));
		add_remaining(&tail, (double)(at->total - at->done) / p->rate);
	}
	room = columns() - 5 - (int)(head.length + tail.length);
	if (room > 4)
		add_bar(&head, room < BAR_MOST ? room : BAR_MOST, share);
	buffer_puts(&head, tail.text);
	fprintf(stderr, "\r\033[K%.*s", columns() - 1, head.text);
	fflush(stderr);
	buffer_free(&head);
	buffer_free(&tail);
}

static void clear(const struct pulling *p)
{
	if (p->terminal)
		fputs("\r\033[K", stderr);
}

/* ---------------------------------------------------------------- what is told */

static void tell_plan(struct pulling *p, const struct hub_progress *at)
{
	char left[16], total[16];

	p->files = at->files;
	p->total = at->total;
	if (at->done == at->total)
		return;
	clear(p);
	fprintf(stderr, "%s: %d files, %s", p->name, at->files, models_size(at->total, total));
	if (at->done)
		fprintf(stderr, ", of which %s are to come", models_size(at->total - at->done, left));
	fputc('\n', stderr);
}

static void on_progress(void *ctx, const struct hub_progress *at)
{
	struct pulling *p = ctx;
	char name[256];
	double t = clock_now();

	switch (at->step) {
	case HUB_PLAN:
		tell_plan(p, at);
		break;
	case HUB_NOTE:
		clear(p);
		fprintf(stderr, "%s: %s\n", models_shown(at->file ? at->file : p->name, name, sizeof name), at->note);
		break;
	case HUB_FILE:
		if (!p->terminal)
			fprintf(stderr, "%s: there and right\n", models_shown(at->file, name, sizeof name));
		break;
	case HUB_BYTES:
	case HUB_CHECK:
		if (!p->terminal || t - p->shown < SHOW_SECONDS)
			break;
		measure(p, at->done, t);
		draw(p, at);
		p->shown = t;
		break;
	}
	fflush(stderr);
}

static int pull(struct invocation *in, const char *name, enum hub_source source, int stop_fd)
{
	struct pulling p = {.name = name, .terminal = isatty(STDERR_FILENO)};
	struct hub_pull order = {.name = name, .source = source, .stop_fd = stop_fd, .tell = on_progress, .ctx = &p};
	struct error err;
	char *folder;
	int rc = hub_pull(&order, &folder, &err);

	clear(&p);
	if (rc < 0) {
		if (err.code != E_CANCELLED) {
			complain("%s", err.text);
			return exit_code_for(&err);
		}
		complain("%s: interrupted; what has arrived is kept, and the same command goes on with it", name);
		return EXIT_INTERRUPTED;
	}
	if (in->json)
		command_print_json(json_pack("{s:s, s:s, s:i, s:I}", "name", name, "path", folder, "files", p.files, "bytes", (json_int_t)p.total));
	else
		puts(folder);
	free(folder);
	return EXIT_OK;
}

int models_pull(struct invocation *in)
{
	const char *from = command_flag(in, "from=");
	bool scope = from && strcmp(from, "modelscope") == 0;
	struct error err;
	int code = EXIT_OK, stop_fd;

	if (from && !scope && strcmp(from, "huggingface") != 0) {
		complain("command line: --from %s: huggingface or modelscope", from);
		return EXIT_USAGE;
	}
	stop_fd = command_interrupts(&err);
	if (stop_fd < 0) {
		complain("%s", err.text);
		return EXIT_SOME_FAILED;
	}
	signal(SIGXFSZ, SIG_IGN); /* the write that fails at a limit says more than an end by it */
	for (int i = 0; i < in->n_files && code != EXIT_INTERRUPTED; i++) {
		int here = pull(in, in->files[i], scope ? HUB_MODELSCOPE : HUB_HUGGING_FACE, stop_fd);

		if (here != EXIT_OK)
			code = here;
	}
	return code;
}
