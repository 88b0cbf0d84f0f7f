/* command.h - the subcommands: each a row of the table in main.c, each in its own command_*.c. Headless; they print, and exit with documented codes. */
#ifndef TUI_COMMAND_H
#define TUI_COMMAND_H

#include <stdbool.h>

#include "core/catalog.h"
#include "core/config.h"

enum exit_code { EXIT_OK = 0, EXIT_SOME_FAILED = 1, EXIT_USAGE = 2, EXIT_NO_MODEL = 3, EXIT_NO_MEMORY = 4, EXIT_INTERRUPTED = 130 };

/* What main made of the command line. */
struct invocation {
	struct config config;
	bool json;     /* --json: one JSON object a line */
	bool verify;   /* --verify: score also captions the picture and checks the labels against it */
	bool profiles; /* --profiles: config lists them */
	char **files;  /* borrowed from argv */
	int n_files;
	struct own_flag *flags; /* owned; those of the command alone, see command_flag */
	int n_flags;
	char **problems; /* owned; what was wrong with the settings of file, profile and environment, one line each */
	int n_problems;
};

struct command {
	const char *name;
	const char *arguments;
	const char *summary;
	int (*run)(struct invocation *in); /* returns an exit code */
	const char *const *flags;          /* that only it has, "fit", or "csv=" where a value follows; NULL ends. NULL: none */
};

struct own_flag {
	const char *name;  /* as in command.flags */
	const char *value; /* borrowed from argv; "" where none follows */
};

int command_caption(struct invocation *in);
int command_score(struct invocation *in);
int command_info(struct invocation *in);
int command_config(struct invocation *in);
int command_bench(struct invocation *in);
extern const char *const command_bench_flags[];
int command_models(struct invocation *in);
extern const char *const command_models_flags[];
int command_doctor(struct invocation *in);
int command_browse(struct invocation *in); /* the screen; without SCREEN it says so */

/* The value of one of the command's own flags, the last where it was given twice; NULL: it was not. */
const char *command_flag(const struct invocation *in, const char *name);

/* "vramble: text" on standard error. */
void complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
enum exit_code exit_code_for(const struct error *err);
enum exit_code exit_code_for_model(const struct error *err); /* of an error that keeps a model from being used */

/* ---- what runs models begins with (command_start.c) ---- */

/* A descriptor that becomes readable with ^C, a hang-up or a request to end, instead of being ended by it. Called once; -1 with E_IO. */
int command_interrupts(struct error *err);
/* Opens the log, or says why there is none; log_close it. */
void command_log(const struct config *config);
/* The engine over the models of the invocation that kinds (bits 1 << MODEL_*) names, not yet started; *models becomes how many. NULL with err. */
struct engine *command_engine(struct invocation *in, int kinds, int *models, struct error *err);

/* ---- running pictures through the engine without a screen (command_run.c) ---- */

/* One picture of a run. */
struct outcome {
	const char *path;
	struct answers *answers; /* with failure set, it failed */
	bool finished;
};

/* Answers every file, in the order given, with the models in kinds (bits 1 << MODEL_*), and tells `done` about each, which borrows it. Failures are complained
 * about here. Returns an exit code. */
int command_run(struct invocation *in, int kinds, char *const *labels, int n_labels, void (*done)(void *ctx, const struct outcome *o), void *ctx);

/* JSON helpers over jansson: {"path": …} with "path_b64" added when the bytes are not valid UTF-8. Adds size or error where there
 * are answers. The caller owns the object. */
typedef struct json_t json_t; /* jansson's */
struct json_t *command_json(const struct outcome *o);
void command_print_json(struct json_t *object); /* one line to standard output; takes the object */

#endif
