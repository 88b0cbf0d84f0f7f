/* pty.c - see pty.h. */
#include "tests/support/pty_private.h"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <utmp.h>
#include <vterm.h>

#include "core/clock.h"
#include "core/mem.h"
#include "core/utf8.h"

struct pty {
	pid_t pid; /* the program, or the small shell */
	pid_t program;
	int master, slave; /* slave is kept open, to look at its settings after the program's end */
	int jobs;          /* from the small shell: what became of its job; -1 */
	struct termios before;
	VTerm *vt;
	VTermScreen *screen;
	int rows, columns;
	bool alternate, cursor;
	int mouse;
	struct buffer output;
	char row[8192];
};

/* ---------------------------------------------------------------- the terminal */

static int on_property(VTermProp property, VTermValue *value, void *user)
{
	struct pty *p = user;

	if (property == VTERM_PROP_ALTSCREEN)
		p->alternate = value->boolean;
	else if (property == VTERM_PROP_MOUSE)
		p->mouse = value->number;
	return 1;
}

static void answer(const char *bytes, size_t n, void *user)
{
	struct pty *p = user;

	/* A program that has gone reads no answers. */
	if (write(p->master, bytes, n) < 0)
		return;
}

static void open_screen(struct pty *p)
{
	static const VTermScreenCallbacks callbacks = {.settermprop = on_property};

	p->vt = vterm_new(p->rows, p->columns);
	vterm_set_utf8(p->vt, 1);
	vterm_output_set_callback(p->vt, answer, p);
	p->screen = vterm_obtain_screen(p->vt);
	vterm_screen_set_callbacks(p->screen, &callbacks, p);
	vterm_screen_enable_altscreen(p->screen, 1);
	vterm_screen_reset(p->screen, 1);
	p->cursor = true;
}

/* ---------------------------------------------------------------- starting */

static void run_child(const struct pty_options *options, int slave)
{
	login_tty(slave);
	pty_clean_environment(options->env);
	execv(options->argv[0], options->argv);
	perror(options->argv[0]);
	_exit(127);
}

/* A shell of one job: 's' for stopped and 'c' after it was continued go up the pipe; SIGUSR1 is its fg. */
static void on_continue(int number)
{
}

static void run_shell(const struct pty_options *options, int slave, int up)
{
	struct sigaction action = {.sa_handler = on_continue};
	sigset_t usr1, before;
	int status;
	pid_t job;

	login_tty(slave);
	sigaction(SIGUSR1, &action, NULL);
	signal(SIGTTOU, SIG_IGN);
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	sigprocmask(SIG_BLOCK, &usr1, &before);
	job = fork();
	if (!job) {
		setpgid(0, 0);
		tcsetpgrp(0, getpid());
		signal(SIGTTOU, SIG_DFL);
		sigprocmask(SIG_SETMASK, &before, NULL);
		pty_clean_environment(options->env);
		execv(options->argv[0], options->argv);
		_exit(127);
	}
	setpgid(job, job);
	tcsetpgrp(0, job);
	if (write(up, &job, sizeof job) != sizeof job)
		_exit(126);
	while (waitpid(job, &status, WUNTRACED) == job && WIFSTOPPED(status)) {
		tcsetpgrp(0, getpgrp());
		if (write(up, "s", 1) != 1)
			_exit(126);
		sigsuspend(&before);
		tcsetpgrp(0, job);
		kill(-job, SIGCONT);
	}
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

struct pty *pty_start(const struct pty_options *options)
{
	struct pty *p = xcalloc(1, sizeof *p);
	struct winsize size = {.ws_row = (unsigned short)options->rows, .ws_col = (unsigned short)options->columns};
	int up[2] = {-1, -1};

	p->rows = options->rows;
	p->columns = options->columns;
	pty_home();
	assert_int_equal(openpty(&p->master, &p->slave, NULL, NULL, &size), 0);
	fcntl(p->master, F_SETFD, FD_CLOEXEC);
	fcntl(p->master, F_SETFL, O_NONBLOCK);
	assert_int_equal(tcgetattr(p->slave, &p->before), 0);
	open_screen(p);
	if (options->job_control)
		assert_int_equal(pipe2(up, O_CLOEXEC), 0);
	p->pid = fork();
	assert_true(p->pid >= 0);
	if (!p->pid) {
		if (options->job_control)
			run_shell(options, p->slave, up[1]);
		run_child(options, p->slave);
	}
	p->program = p->pid;
	p->jobs = up[0];
	if (options->job_control) {
		close(up[1]);
		assert_int_equal(read(p->jobs, &p->program, sizeof p->program), sizeof p->program);
	}
	return p;
}

pid_t pty_pid(const struct pty *p)
{
	return p->program;
}

/* ---------------------------------------------------------------- reading */

/* Shown or hidden by the last n bytes, as the program wrote it. libvterm itself takes the cursor's visibility for a part of what ESC 7 saves, which it is in
 * no terminal, and so would have it hidden again at the program's end. */
static void look_for_cursor(struct pty *p, size_t n)
{
	enum { LENGTH = 6 };
	size_t at = p->output.length - n;

	for (at = at > LENGTH - 1 ? at - (LENGTH - 1) : 0; at + LENGTH <= p->output.length; at++) {
		if (!memcmp(p->output.text + at, "\033[?25h", LENGTH))
			p->cursor = true;
		else if (!memcmp(p->output.text + at, "\033[?25l", LENGTH))
			p->cursor = false;
	}
}

/* Takes what the program wrote, waiting at most so many ms for the first of it. False when nothing came. */
static bool take_output(struct pty *p, int ms)
{
	struct pollfd fd = {p->master, POLLIN, 0};
	char bytes[65536];
	ssize_t n;

	if (poll(&fd, 1, ms) <= 0 || (n = read(p->master, bytes, sizeof bytes)) <= 0)
		return false;
	buffer_add(&p->output, bytes, (size_t)n);
	look_for_cursor(p, (size_t)n);
	vterm_input_write(p->vt, bytes, (size_t)n);
	return true;
}

const char *pty_row(struct pty *p, int row)
{
	size_t n = 0, end = 0;

	for (int column = 0; column < p->columns && n + 32 < sizeof p->row;) {
		VTermScreenCell cell;

		vterm_screen_get_cell(p->screen, (VTermPos){row, column}, &cell);
		if (!cell.chars[0])
			p->row[n++] = ' ';
		for (int i = 0; i < VTERM_MAX_CHARS_PER_CELL && cell.chars[i] && n + 8 < sizeof p->row; i++)
			n += utf8_encode(cell.chars[i], p->row + n);
		if (n && p->row[n - 1] != ' ')
			end = n;
		column += cell.width > 0 ? cell.width : 1;
	}
	p->row[end] = '\0';
	return p->row;
}

static void print_screen(struct pty *p)
{
	fprintf(stderr, "the screen, %dx%d:\n", p->columns, p->rows);
	for (int row = 0; row < p->rows; row++)
		fprintf(stderr, "|%s\n", pty_row(p, row));
}

void pty_wait(struct pty *p, bool (*seen)(struct pty *p, const void *ctx), const void *ctx, const char *what)
{
	int64_t deadline = clock_now_ms() + PTY_SECONDS * 1000;

	while (!seen(p, ctx)) {
		if (clock_now_ms() > deadline) {
			print_screen(p);
			fail_msg("waited %d s in vain for: %s", PTY_SECONDS, what);
		}
		take_output(p, 50);
	}
}

size_t pty_listen(struct pty *p, int ms)
{
	int64_t end = clock_now_ms() + ms;
	size_t before = p->output.length;

	while (clock_now_ms() < end)
		take_output(p, (int)(end - clock_now_ms() > 0 ? end - clock_now_ms() : 0));
	return p->output.length - before;
}

int pty_find_row(struct pty *p, const char *text)
{
	for (int row = 0; row < p->rows; row++)
		if (strstr(pty_row(p, row), text))
			return row;
	return -1;
}

bool pty_has_text(struct pty *p, const char *text)
{
	return pty_find_row(p, text) >= 0;
}

static bool sees_text(struct pty *p, const void *text)
{
	return pty_has_text(p, text);
}

static bool sees_no_text(struct pty *p, const void *text)
{
	return !pty_has_text(p, text);
}

void pty_wait_text(struct pty *p, const char *text)
{
	pty_wait(p, sees_text, text, text);
}

void pty_wait_no_text(struct pty *p, const char *text)
{
	pty_wait(p, sees_no_text, text, text);
}

struct two_texts {
	const char *text, *more;
};

static bool sees_both(struct pty *p, const void *ctx)
{
	const struct two_texts *wanted = ctx;

	for (int row = 0; row < p->rows; row++) {
		const char *found = strstr(pty_row(p, row), wanted->text);

		if (found && strstr(found, wanted->more))
			return true;
	}
	return false;
}

void pty_wait_both(struct pty *p, const char *text, const char *more)
{
	pty_wait(p, sees_both, &(struct two_texts){text, more}, more);
}

struct row_text {
	int row;
	const char *text;
};

static bool sees_row(struct pty *p, const void *ctx)
{
	const struct row_text *wanted = ctx;

	return strstr(pty_row(p, wanted->row), wanted->text);
}

void pty_wait_row(struct pty *p, int row, const char *text)
{
	pty_wait(p, sees_row, &(struct row_text){row, text}, text);
}

bool pty_cursor_visible(const struct pty *p)
{
	return p->cursor;
}

bool pty_cell_is_coloured(struct pty *p, int row, int column)
{
	VTermScreenCell cell;

	vterm_screen_get_cell(p->screen, (VTermPos){row, column}, &cell);
	return !VTERM_COLOR_IS_DEFAULT_BG(&cell.bg);
}

bool pty_cell_is(struct pty *p, int row, int column, const char *character)
{
	VTermScreenCell cell;
	char bytes[8] = "";

	vterm_screen_get_cell(p->screen, (VTermPos){row, column}, &cell);
	utf8_encode(cell.chars[0], bytes);
	return !strcmp(bytes, character);
}

bool pty_has_colour(struct pty *p)
{
	for (int i = 0; i < p->rows * p->columns; i++) {
		VTermScreenCell cell;

		vterm_screen_get_cell(p->screen, (VTermPos){i / p->columns, i % p->columns}, &cell);
		if (!VTERM_COLOR_IS_DEFAULT_BG(&cell.bg) || !VTERM_COLOR_IS_DEFAULT_FG(&cell.fg))
			return true;
	}
	return false;
}

size_t pty_bytes(const struct pty *p)
{
	return p->output.length;
}

const char *pty_output(const struct pty *p)
{
	return p->output.text ? p->output.text : "";
}

/* ---------------------------------------------------------------- doing */

void pty_type(struct pty *p, const char *keys)
{
	size_t n = strlen(keys);

	assert_int_equal(write(p->master, keys, n), (ssize_t)n);
}

void pty_resize(struct pty *p, int rows, int columns)
{
	struct winsize size = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns};

	p->rows = rows;
	p->columns = columns;
	vterm_set_size(p->vt, rows, columns);
	assert_int_equal(ioctl(p->master, TIOCSWINSZ, &size), 0);
}

void pty_signal(struct pty *p, int number)
{
	assert_int_equal(kill(p->program, number), 0);
}

/* The terminal as it was before the program began. */
static void check_terminal(struct pty *p)
{
	struct termios after;

	while (take_output(p, 0))
		;
	assert_int_equal(tcgetattr(p->slave, &after), 0);
	if (p->alternate || !p->cursor || p->mouse || after.c_lflag != p->before.c_lflag || after.c_iflag != p->before.c_iflag ||
	    after.c_oflag != p->before.c_oflag) {
		print_screen(p);
		fail_msg("the terminal was not given back: alternate screen %d, cursor %d, mouse %d, lflag %x (was %x), iflag %x (was %x)",
			 p->alternate, p->cursor, p->mouse, after.c_lflag, p->before.c_lflag, after.c_iflag, p->before.c_iflag);
	}
}

void pty_wait_stopped(struct pty *p)
{
	int64_t deadline = clock_now_ms() + PTY_SECONDS * 1000;
	struct pollfd fd = {p->jobs, POLLIN, 0};
	char letter;

	while (poll(&fd, 1, 0) == 0) {
		if (clock_now_ms() > deadline)
			fail_msg("the program did not stop");
		take_output(p, 20);
	}
	assert_int_equal(read(p->jobs, &letter, 1), 1);
	assert_int_equal(letter, 's');
	check_terminal(p);
}

void pty_continue(struct pty *p)
{
	assert_int_equal(kill(p->pid, SIGUSR1), 0);
}

static int wait_exit(struct pty *p)
{
	int64_t deadline = clock_now_ms() + PTY_SECONDS * 1000;
	int status = 0;

	while (waitpid(p->pid, &status, WNOHANG) == 0) {
		if (clock_now_ms() > deadline) {
			print_screen(p);
			kill(p->program, SIGKILL);
			fail_msg("the program did not end within %d s", PTY_SECONDS);
		}
		take_output(p, 10);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int pty_finish(struct pty *p, const char *keys)
{
	int code;

	if (keys)
		pty_type(p, keys);
	code = wait_exit(p);
	check_terminal(p);
	vterm_free(p->vt);
	close(p->master);
	close(p->slave);
	if (p->jobs >= 0)
		close(p->jobs);
	buffer_free(&p->output);
	free(p);
	return code;
}
