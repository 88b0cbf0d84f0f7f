/* terminal.c - see terminal.h.
 *
 * Order of starting: decide the colour mode from the environment; only where that is silent (an SSH session rarely forwards COLORTERM) ask the terminal, all
 * questions in one write with DA1 last as the sentinel, 300 ms at most. Then curses. An answer that comes late is swallowed by the key reader.
 */
#include "tui/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <langinfo.h>
#include <ncurses.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <term.h>
#include <termios.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/mem.h"
#include "tui/colour.h"
#include "tui/direct.h"

enum { PROBE_MS = 300 };

static struct termios before; /* what the terminal was set to; read by the crash handler */
static volatile sig_atomic_t taken;
static int signal_pipe[2] = {-1, -1};

/* ---- signals -------------------------------------------------------------------------------------------------------------------------------- */

static void on_signal(int number)
{
	int saved = errno;
	char byte = (char)number;

	if (write(signal_pipe[1], &byte, 1) < 0) /* full: the reader is about to look anyway */
		errno = saved;
	errno = saved;
}

/* Only write and tcsetattr: both may be called from a signal handler. */
static void give_back_raw(void)
{
	static const char reset[] = "\033[?1006l\033[?1002l\033[?1000l\033[0m\033[?25h\033[?1l\033>\033[?1049l";

	if (!taken)
		return;
	taken = 0;
	if (write(STDOUT_FILENO, reset, sizeof reset - 1) < 0)
		return;
	tcsetattr(STDIN_FILENO, TCSANOW, &before);
}

static void on_crash(int number)
{
	give_back_raw();
	signal(number, SIG_DFL);
	raise(number);
}

static void catch (int number, void (*handler)(int), int flags)
{
	struct sigaction action = {.sa_handler = handler, .sa_flags = flags};

	sigaction(number, &action, NULL);
}

static void catch_signals(void)
{
	static const int crashes[] = {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL};
	static const int events[] = {SIGWINCH, SIGCONT, SIGINT, SIGTERM, SIGHUP, SIGTSTP};

	for (size_t i = 0; i < sizeof crashes / sizeof *crashes; i++)
		catch (crashes[i], on_crash, (int)SA_RESETHAND);
	for (size_t i = 0; i < sizeof events / sizeof *events; i++)
		catch (events[i], on_signal, SA_RESTART);
	catch (SIGPIPE, SIG_IGN, 0);
}

int terminal_signal_fd(void)
{
	return signal_pipe[0];
}

int terminal_next_signal(void)
{
	char byte;

	return read(signal_pipe[0], &byte, 1) == 1 ? byte : 0;
}

/* ---- asking the terminal -------------------------------------------------------------------------------------------------------------------- */

/* A primary device attributes answer, ESC [ ? … c, stands in text. */
static bool has_sentinel(const char *text)
{
	for (const char *s = text; (s = strstr(s, "\033[?")); s += 3)
		if (s[3 + strspn(s + 3, "0123456789;")] == 'c')
			return true;
	return false;
}

static void read_answers(char *text, size_t size)
{
	int64_t deadline = clock_now_ms() + PROBE_MS;
	size_t used = 0;

	text[0] = '\0';
	while (!has_sentinel(text) && used + 1 < size) {
		struct pollfd fd = {STDIN_FILENO, POLLIN, 0};
		int64_t left = deadline - clock_now_ms();
		ssize_t got;

		if (left <= 0 || poll(&fd, 1, (int)left) <= 0 || (got = read(STDIN_FILENO, text + used, size - 1 - used)) <= 0)
			return;
		used += (size_t)got;
		text[used] = '\0';
	}
}

/* 0xRRGGBB from the answer to OSC 11, "rgb:RRRR/GGGG/BBBB" with one to four digits each; -1 if there is none. */
static int parse_background(const char *text)
{
	const char *s = strstr(text, "]11;rgb:");
	int colour = 0;

	if (!s)
		return -1;
	s += 8;
	for (int i = 0; i < 3; i++) {
		char *end;
		unsigned long v = strtoul(s, &end, 16), most = (1ul << 4 * (end - s)) - 1;

		if (end == s || end - s > 4)
			return -1;
		colour = colour << 8 | (int)(v * 255 / most);
		s = *end == '/' ? end + 1 : end;
	}
	return colour;
}

/* True colour is proven when the terminal repeats the colour that it was just told (DECRQSS). */
static void ask(struct terminal *t)
{
	static const char questions[] = "\033[38;2;1;2;3m\033P$qm\033\\\033[0m\033]11;?\033\\\033[c";
	struct termios quiet = before;
	char text[1024];

	cfmakeraw(&quiet);
	tcsetattr(STDIN_FILENO, TCSANOW, &quiet);
	if (write(STDOUT_FILENO, questions, sizeof questions - 1) > 0) {
		read_answers(text, sizeof text);
		if (strstr(text, "38:2:1:2:3") || strstr(text, "38:2::1:2:3") || strstr(text, "38;2;1;2;3"))
			t->colour = COLOUR_DIRECT;
		t->background = parse_background(text);
	}
	tcsetattr(STDIN_FILENO, TCSANOW, &before);
}

/* ---- deciding ------------------------------------------------------------------------------------------------------------------------------- */

static bool name_begins(const char *term, const char *const *names)
{
	while (*names && strncmp(term, *names, strlen(*names)))
		names++;
	return *names;
}

/* Terminals whose name alone says that they take 24-bit colour. */
static bool name_is_direct(const char *term)
{
	static const char *const names[] = {"xterm-kitty", "alacritty", "foot", "wezterm", "xterm-ghostty", "contour", NULL};

	return name_begins(term, names) || strstr(term, "-direct");
}

static bool name_has_sextants(const char *term)
{
	static const char *const names[] = {"xterm-kitty", "foot", "wezterm", "xterm-ghostty", "contour", NULL};

	return name_begins(term, names);
}

static bool is_xterm_family(const char *term)
{
	static const char *const names[] = {"xterm", "tmux", "screen", "rxvt", "st-", "konsole", "vte", "gnome", NULL};

	return name_begins(term, names) || name_is_direct(term);
}

static bool mode_from_name(const char *name, enum colour_mode *mode)
{
	static const char *const names[] = {"mono", "8", "16", "256", "direct"};

	for (int i = COLOUR_MONO; i <= COLOUR_DIRECT; i++)
		if (!strcmp(name, names[i])) {
			*mode = (enum colour_mode)i;
			return true;
		}
	return false;
}

static void decide(const char *colour, const char *term, struct terminal *t)
{
	const char *colorterm = getenv("COLORTERM"), *no_color = getenv("NO_COLOR");

	t->tmux = getenv("TMUX") != NULL || !strncmp(term, "tmux", 4);
	t->console = !strncmp(term, "linux", 5);
	t->sextants = name_has_sextants(term);
	t->utf8 = !strcmp(nl_langinfo(CODESET), "UTF-8");
	t->background = -1;
	t->colour = COLOUR_256; /* lowered by what terminfo says, once curses runs */
	if (mode_from_name(colour, &t->colour))
		return;
	if (no_color && *no_color)
		t->colour = COLOUR_MONO;
	else if (name_is_direct(term) || (colorterm && (!strcmp(colorterm, "truecolor") || !strcmp(colorterm, "24bit")) && is_xterm_family(term)))
		t->colour = COLOUR_DIRECT;
	else if (is_xterm_family(term) && !t->tmux) /* tmux answers no such question */
		ask(t);
}

static double cell_aspect(void)
{
	struct winsize size;

	/* The pixel size, where given, includes the window's border in some terminals: near enough for a ratio. */
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || !size.ws_xpixel || !size.ws_ypixel || !size.ws_col || !size.ws_row)
		return 0.5;
	return (double)size.ws_xpixel / size.ws_col / ((double)size.ws_ypixel / size.ws_row);
}

/* ---- curses --------------------------------------------------------------------------------------------------------------------------------- */

/* Our entry spells keys xterm's way; multiplexers and older terminals spell some differently. */
static void define_other_keys(void)
{
	static const struct {
		const char *text;
		int key;
	} keys[] = {{"\033[A", KEY_UP},    {"\033[B", KEY_DOWN}, {"\033[C", KEY_RIGHT}, {"\033[D", KEY_LEFT},
		    {"\033[H", KEY_HOME},  {"\033[F", KEY_END},  {"\033[1~", KEY_HOME}, {"\033[4~", KEY_END},
		    {"\033[7~", KEY_HOME}, {"\033[8~", KEY_END}, {"\033OM", KEY_ENTER}, {"\033[Z", KEY_BTAB}};

	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
		if (!key_defined(keys[i].text))
			define_key(keys[i].text, keys[i].key);
}

static void fit_colour_to_curses(struct terminal *t)
{
	static const int numbers[] = {0, 8, 16, 256, 1 << 24};

	if (!has_colors() || t->colour == COLOUR_MONO) {
		t->colour = COLOUR_MONO;
		return;
	}
	start_color();
	use_default_colors();
	if (t->colour != COLOUR_DIRECT && COLORS < 256 && t->colour > COLOUR_16)
		t->colour = COLORS >= 16 ? COLOUR_16 : COLOUR_8;
	if (t->colour != COLOUR_DIRECT && COLORS < 16 && t->colour > COLOUR_8)
		t->colour = COLOUR_8;
	colour_set_range(numbers[t->colour]);
}

/* ncurses takes a whole compiled entry from TERMINFO; children must not inherit it. */
static SCREEN *start_direct(const char *term)
{
	char *users = getenv("TERMINFO") ? xstrdup(getenv("TERMINFO")) : NULL;
	SCREEN *screen;

	setenv("TERMINFO", "b64:" DIRECT_TERMINFO, 1);
	screen = newterm("xterm-direct2", stdout, stdin);
	if (users)
		setenv("TERMINFO", users, 1);
	else
		unsetenv("TERMINFO");
	free(users);
	return screen;
}

static SCREEN *start_curses(struct terminal *t, const char *term)
{
	SCREEN *screen = t->colour == COLOUR_DIRECT ? start_direct(term) : NULL;
	int known;

	if (screen)
		return screen;
	if (t->colour == COLOUR_DIRECT)
		t->colour = COLOUR_256;
	/* newterm alone would end the program when there is no such entry. */
	if (setupterm(term, STDOUT_FILENO, &known) == ERR)
		return NULL;
	del_curterm(cur_term);
	return newterm(term, stdout, stdin);
}

static void configure_curses(void)
{
	set_escdelay(25);
	raw();
	noecho();
	nonl();
	keypad(stdscr, TRUE);
	nodelay(stdscr, TRUE);
	curs_set(0);
	leaveok(stdscr, TRUE);
	define_other_keys();
	mousemask(BUTTON1_PRESSED | BUTTON1_CLICKED | BUTTON1_DOUBLE_CLICKED | BUTTON4_PRESSED | BUTTON5_PRESSED, NULL);
	mouseinterval(0);
	typeahead(-1); /* whole frames only: keys are drained before each anyway */
	/* In its first state ncurses 6.4 writes at every cursor movement; in the state after a suspension, which the first refresh ends, a frame at a time. */
	endwin();
}

static void describe(struct terminal *t, const char *term)
{
	static const char *const names[] = {"no colour", "8 colours", "16 colours", "256 colours", "true colour"};

	snprintf(t->description, sizeof t->description, "%s, %s%s%s", term, names[t->colour], t->utf8 ? "" : ", ASCII", t->tmux ? ", in tmux" : "");
}

int terminal_start(const char *colour, double aspect, struct terminal *out, struct error *err)
{
	const char *term = getenv("TERM");

	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
		return fail(err, E_USAGE, "the screen needs a terminal; without one use \"vramble caption FILE…\" or \"vramble score FILE…\"");
	if (!term || !*term || !strcmp(term, "dumb"))
		return fail(err, E_USAGE, "TERM=%s cannot show a screen; set TERM (such as xterm-256color), or use \"vramble caption FILE…\"",
			    term ? term : "");
	if (tcgetattr(STDIN_FILENO, &before) < 0 || (signal_pipe[0] < 0 && pipe2(signal_pipe, O_CLOEXEC | O_NONBLOCK) < 0))
		return fail(err, E_IO, "cannot use the terminal: %s", strerror(errno));
	*out = (struct terminal){0};
	decide(colour, term, out);
	/* Before curses, which would put its own handlers in their place, and ignore SIGTSTP while it draws. */
	catch_signals();
	taken = 1;
	if (!start_curses(out, term)) {
		taken = 0;
		return fail(err, E_USAGE, "TERM=%s is not known on this machine; install its terminfo entry, or set TERM=xterm-256color", term);
	}
	configure_curses();
	fit_colour_to_curses(out);
	out->cell_aspect = aspect > 0 ? aspect : cell_aspect();
	describe(out, term);
	return 0;
}

void terminal_stop(void)
{
	if (!taken)
		return;
	endwin();
	taken = 0;
	tcsetattr(STDIN_FILENO, TCSANOW, &before);
}

void terminal_suspend(void)
{
	endwin();
	catch (SIGTSTP, SIG_DFL, 0);
	kill(0, SIGTSTP);
	/* Stopped here until SIGCONT. */
	catch (SIGTSTP, on_signal, SA_RESTART);
	clearok(stdscr, TRUE);
	refresh();
}
