/* command_start.c - what the subcommands that run models begin with: an engine over the chosen models, and a descriptor that tells of ^C. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "core/log.h"
#include "tui/command.h"
#include "tui/library.h"

static int interrupt_pipe[2] = {-1, -1};

static void on_signal(int number)
{
	int saved = errno;

	if (write(interrupt_pipe[1], "", 1) < 0) /* a full pipe already says it */
		errno = saved;
	errno = saved;
}

int command_interrupts(struct error *err)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

	if (pipe2(interrupt_pipe, O_CLOEXEC | O_NONBLOCK) < 0)
		return fail(err, E_IO, "cannot make a pipe: %s", strerror(errno));
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	return interrupt_pipe[0];
}

void command_log(const struct config *config)
{
	struct error err;

	if (log_open(config->log, &err) < 0)
		complain("%s; going on without a log", err.text);
	else if (config->seed_from_clock)
		log_write(LOG_INFO, "seed %llu, from the clock", (unsigned long long)config->settings.seed);
}

struct engine *command_engine(struct invocation *in, int kinds, int *models, struct error *err)
{
	struct engine_options options;
	struct engine *engine = NULL;

	library_options(&in->config, kinds, &options);
	*models = 0;
	for (int kind = 0; kind < MODEL_KINDS; kind++)
		*models += options.model_dir[kind] != NULL;
	if (*models)
		engine = engine_create(&options, err);
	else
		fail(err, E_MODEL, "no model: give its directory with --clip, --captioner or --nli");
	library_options_free(&options);
	return engine;
}
