/* main.c - the front door: arguments, settings, and one row of the command table.
 *
 * Settings come from core/config's table, so every setting is a flag here, a line in the config file and a variable in the environment alike.
 */
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/profile.h"
#include "tui/command.h"
#include "tui/paths.h"
#include "tui/print.h"

static const struct command commands[] = {
	{"caption", "FILE…", "print a caption for each picture", command_caption, NULL},
	{"score", "[--labels \"A;B\"] [--verify] FILE…", "print how well each label fits each picture", command_score, NULL},
	{"info", "MODEL…", "print what a model holds", command_info, NULL},
	{"models", "list | info | pull | verify [NAME…]", "list, fetch and check models", command_models, command_models_flags},
	{"bench", "[--fit] [--csv FILE] [FOLDER | FILE…]", "measure what fits and how fast it is", command_bench, command_bench_flags},
	{"config", "[--profiles]", "print every setting and where it comes from", command_config, NULL},
	{"doctor", "", "check what a demo needs: driver, libraries, models, memory, terminal", command_doctor, NULL},
};
enum { N_COMMANDS = sizeof commands / sizeof *commands };

/* Of the leak sanitizer, where the program is built with it: it looks at exit, which is left out below. */
extern void __lsan_do_leak_check(void) __attribute__((weak));

static void keep_problem(struct invocation *in, const char *text)
{
	in->problems = xrealloc(in->problems, (size_t)in->n_problems + 1, sizeof *in->problems);
	in->problems[in->n_problems++] = xstrdup(text);
}

static void warn(void *ctx, const char *text)
{
	complain("%s; the setting is left as it was", text);
	keep_problem(ctx, text);
}

/* What stands outside the command line. A bad line, file or variable costs nothing but itself. */
static void read_settings(struct invocation *in)
{
	char *path = paths_config("config");
	struct error err;

	in->config.profile_dir = paths_config("profiles");
	if (path && config_read(&in->config, path, warn, in, &err) < 0) {
		complain("%s; going on without it", err.text);
		keep_problem(in, err.text);
	}
	free(path);
	config_read_environment(&in->config, warn, in);
}

/* The profile that file, environment or flag named. Only the flag's must be there. */
static int read_profile(struct invocation *in)
{
	struct error err;

	if (profile_begin(&in->config, warn, in, &err) == 0)
		return 0;
	if (config_origin(&in->config, "profile")->source == CONFIG_FLAG) {
		complain("command line: profile: %s", err.text);
		return EXIT_USAGE + 1;
	}
	complain("%s; going on without it", err.text);
	keep_problem(in, err.text);
	free(in->config.profile);
	in->config.profile = NULL;
	return 0;
}

/* A flag that one command has for itself. Returns how many arguments were used, 0 when it is none of them, or -1. */
static int read_own_flag(struct invocation *in, char **argv, struct error *err)
{
	const char *flag = argv[0] + 2;
	size_t n = strcspn(flag, "=");

	for (int i = 0; i < N_COMMANDS; i++)
		for (const char *const *own = commands[i].flags; own && *own; own++) {
			bool takes = (*own)[strcspn(*own, "=")] == '=';
			const char *value = !takes ? "" : flag[n] ? flag + n + 1 : argv[1];

			if (strcspn(*own, "=") != n || strncmp(*own, flag, n) != 0)
				continue;
			if (!takes && flag[n])
				return fail(err, E_USAGE, "command line: --%s takes no value", *own);
			if (!value)
				return fail(err, E_USAGE, "command line: --%.*s needs a value", (int)n, flag);
			in->flags = xrealloc(in->flags, (size_t)in->n_flags + 1, sizeof *in->flags);
			in->flags[in->n_flags++] = (struct own_flag){*own, value};
			return takes && !flag[n] ? 2 : 1;
		}
	return 0;
}

/* What only one command has is not silently dropped by another. */
static int check_own_flags(const struct invocation *in, const struct command *command)
{
	for (int i = 0; i < in->n_flags; i++) {
		const char *const *own = command ? command->flags : NULL;

		while (own && *own && *own != in->flags[i].name)
			own++;
		if (own && *own)
			continue;
		complain("command line: --%.*s is not for %s", (int)strcspn(in->flags[i].name, "="), in->flags[i].name,
			 command ? command->name : "the screen");
		return -1;
	}
	return 0;
}

/* --key value or --key=value; a switch needs no value. Returns how many arguments were used, or -1. */
static int read_flag(struct config *config, char **argv, struct error *err)
{
	const char *flag = argv[0] + 2, *equals = strchr(flag, '=');
	char *key = equals ? xstrndup(flag, (size_t)(equals - flag)) : xstrdup(flag), *where = xasprintf("--%s", key);
	const char *value = equals ? equals + 1 : argv[1];
	int used = equals ? 1 : 2;

	if (!equals && config_is_switch(key) && !(value && config_is_switch_value(value))) {
		value = "on";
		used = 1;
	}
	if (!value)
		used = fail(err, E_USAGE, "--%s needs a value", key);
	else if (config_set_from(config, key, value, CONFIG_FLAG, where, err) < 0)
		used = -1;
	if (used < 0)
		fail_prefix(err, "command line");
	free(where);
	free(key);
	return used;
}

/* Sorts argv into settings, switches and files (kept in argv[0..n_files)). Returns 0, or an exit code + 1 for what ends the program here. */
static int read_arguments(struct invocation *in, int argc, char **argv)
{
	struct error err;
	bool only_files = false;

	in->files = argv;
	for (int i = 0; i < argc;) {
		int used = 1;

		if (only_files || argv[i][0] != '-' || !argv[i][1])
			in->files[in->n_files++] = argv[i];
		else if (!strcmp(argv[i], "--"))
			only_files = true;
		else if (!strcmp(argv[i], "--json"))
			in->json = true;
		else if (!strcmp(argv[i], "--verify"))
			in->verify = true;
		else if (!strcmp(argv[i], "--profiles"))
			in->profiles = true;
		else if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
			return print_help(commands, N_COMMANDS), EXIT_OK + 1;
		else if (!strcmp(argv[i], "--version"))
			return print_version(), EXIT_OK + 1;
		else if (argv[i][1] != '-')
			used = fail(&err, E_USAGE, "unknown option \"%s\"; vramble --help lists them", argv[i]);
		else if ((used = read_own_flag(in, argv + i, &err)) == 0)
			used = read_flag(&in->config, argv + i, &err);
		if (used < 0) {
			complain("%s", err.text);
			return EXIT_USAGE + 1;
		}
		i += used;
	}
	return 0;
}

/* The first argument that is no option may name a command; a folder of that name is opened as ./NAME. */
static const struct command *take_command(struct invocation *in)
{
	for (int i = 0; in->n_files && i < N_COMMANDS; i++)
		if (!strcmp(in->files[0], commands[i].name)) {
			in->files++;
			in->n_files--;
			return &commands[i];
		}
	return NULL;
}

int main(int argc, char **argv)
{
	struct invocation in = {0};
	const struct command *command;
	int code;

	setlocale(LC_ALL, "");
	setlocale(LC_NUMERIC, "C");
	config_init(&in.config);
	read_settings(&in);
	code = read_arguments(&in, argc - 1, argv + 1);
	code = (code ? code : read_profile(&in)) - 1;
	if (code < 0) {
		command = take_command(&in);
		if (check_own_flags(&in, command) < 0)
			code = EXIT_USAGE;
		else
			code = command ? command->run(&in) : command_browse(&in);
	}
	config_free(&in.config);
	free(in.flags);
	for (int i = 0; i < in.n_problems; i++)
		free(in.problems[i]);
	free(in.problems);
	fflush(stdout);
	if (__lsan_do_leak_check)
		__lsan_do_leak_check();
	/* libtorch's 287 shared objects take a tenth of a second to tear down, and nothing of ours is left to do. */
	_exit(ferror(stdout) ? EXIT_SOME_FAILED : code);
}
