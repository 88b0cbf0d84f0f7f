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
#include "tui/command.h"
#include "tui/paths.h"
#include "tui/print.h"

static const struct command commands[] = {
	{"caption", "FILE…", "print a caption for each picture", command_caption},
	{"score", "[--labels \"A;B\"] [--verify] FILE…", "print how well each label fits each picture", command_score},
	{"info", "MODEL_DIR…", "print what a model directory holds", command_info},
};
enum { N_COMMANDS = sizeof commands / sizeof *commands };

/* Of the leak sanitizer, where the program is built with it: it looks at exit, which is left out below. */
extern void __lsan_do_leak_check(void) __attribute__((weak));

static void warn(void *ctx, const char *text)
{
	complain("%s; the setting is left as it was", text);
}

static int read_settings(struct config *config)
{
	char *path = paths_config("config");
	struct error err;
	int result = 0;

	if (path && config_read(config, path, warn, NULL, &err) < 0) {
		complain("%s; going on without it", err.text);
		result = -1;
	}
	free(path);
	config_read_environment(config, warn, NULL);
	return result;
}

/* --key value or --key=value. Returns how many arguments were used, or -1. */
static int read_flag(struct config *config, char **argv, struct error *err)
{
	const char *flag = argv[0] + 2, *equals = strchr(flag, '=');
	char *key = equals ? xstrndup(flag, (size_t)(equals - flag)) : xstrdup(flag);
	const char *value = equals ? equals + 1 : argv[1];
	int used = equals ? 1 : 2;

	if (!value)
		used = fail(err, E_USAGE, "--%s needs a value", key);
	else if (config_set(config, key, value, err) < 0)
		used = -1;
	if (used < 0)
		fail_prefix(err, "command line");
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
		else if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
			return print_help(commands, N_COMMANDS), EXIT_OK + 1;
		else if (!strcmp(argv[i], "--version"))
			return print_version(), EXIT_OK + 1;
		else if (argv[i][1] != '-')
			used = fail(&err, E_USAGE, "unknown option \"%s\"; vramble --help lists them", argv[i]);
		else
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
	read_settings(&in.config);
	code = read_arguments(&in, argc - 1, argv + 1) - 1;
	if (code < 0) {
		command = take_command(&in);
		code = command ? command->run(&in) : command_browse(&in);
	}
	config_free(&in.config);
	fflush(stdout);
	if (__lsan_do_leak_check)
		__lsan_do_leak_check();
	/* libtorch's 287 shared objects take a tenth of a second to tear down, and nothing of ours is left to do. */
	_exit(ferror(stdout) ? EXIT_SOME_FAILED : code);
}
