/* build/train - makes the weights of this folder, or measures them.
 *
 *	build/train all --out models/picturebook      the three networks in two processes, then the table
 *	build/train ofa --share 0.05 --out /tmp/ofa   a trial: a twentieth of the samples
 *	build/train --evaluate --out models/picturebook
 */
#include "models/picturebook/train.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/runtime.h"

static const struct train_task *const tasks[] = {&train_bert, &train_clip, &train_ofa};
enum { TASKS = sizeof tasks / sizeof *tasks };

/* What `all` does at the same time. Half of the CPUs for each: such small networks gain little from more, and clip takes as long as the other two. */
static const char *const groups[][TASKS + 1] = {{"clip"}, {"bert", "ofa"}};
enum { GROUPS = sizeof groups / sizeof *groups };

static const char usage[] = "usage: train all|clip|ofa|bert… [options]  train into FOLDER/clip, FOLDER/ofa, FOLDER/bert: all in two\n"
			    "                                           processes, others one after the other\n"
			    "       train --evaluate[=N] [options]         measure what is there\n"
			    "  --out FOLDER    default models/picturebook\n"
			    "  --seed N        default 1\n"
			    "  --threads N     of libtorch, default the CPUs; all divides them\n"
			    "  --loaders N     threads that draw, default 1\n"
			    "  --share F       of the samples, default 1: smaller for a trial\n"
			    "  --resume        go on from the last weights saved by a run with the same options\n"
			    "  --evaluate[=N]  print the table (after training), or network N's part of it\n";

struct command {
	struct train_options options;
	char *const *names; /* of the networks to train, or all */
	int n_names;
	bool evaluate;
	const char *measured; /* the only network to measure; NULL: all */
};

/* 0, or -1 after a message. */
static int parse(int argc, char **argv, struct command *c)
{
	static const struct option known[] = {{"out", 1, NULL, 'o'},      {"seed", 1, NULL, 's'},  {"threads", 1, NULL, 't'},
					      {"loaders", 1, NULL, 'l'},  {"share", 1, NULL, 'f'}, {"resume", 0, NULL, 'r'},
					      {"evaluate", 2, NULL, 'e'}, {"help", 0, NULL, 'h'},  {0}};
	*c = (struct command){.options = {.seed = 1, .loaders = 1, .share = 1, .out = "models/picturebook"}};
	for (int o; (o = getopt_long(argc, argv, "", known, NULL)) != -1;) {
		switch (o) {
		case 'o':
			c->options.out = optarg;
			break;
		case 's':
			c->options.seed = strtoull(optarg, NULL, 10);
			break;
		case 't':
			c->options.threads = atoi(optarg);
			break;
		case 'l':
			c->options.loaders = atoi(optarg);
			break;
		case 'f':
			c->options.share = atof(optarg);
			break;
		case 'r':
			c->options.resume = true;
			break;
		case 'e':
			c->evaluate = true;
			c->measured = optarg;
			break;
		default:
			fputs(usage, o == 'h' ? stdout : stderr);
			return -1;
		}
	}
	c->names = argv + optind;
	c->n_names = argc - optind;
	if (c->n_names ? c->options.share <= 0 || c->options.share > 1 : !c->evaluate) {
		fputs(usage, stderr);
		return -1;
	}
	return 0;
}

static int make_folder(const char *path, struct error *err)
{
	if (mkdir(path, 0777) == 0 || errno == EEXIST)
		return 0;
	return fail(err, E_IO, "%s: %s", path, strerror(errno));
}

static int train_one(const struct train_task *task, const struct command *c, struct error *err)
{
	struct train_options options = c->options;
	char *folder = xasprintf("%s/%s", c->options.out, task->name);
	options.out = folder;
	int status = make_folder(folder, err);
	if (status == 0)
		status = train_run(task, &options, err);
	free(folder);
	return status;
}

static const struct train_task *task_called(const char *name)
{
	for (int i = 0; i < TASKS; i++) {
		if (strcmp(tasks[i]->name, name) == 0)
			return tasks[i];
	}
	return NULL;
}

static bool is_all(const struct command *c)
{
	return c->n_names == 1 && strcmp(c->names[0], "all") == 0;
}

/* train NAMES… with these options and so many threads, NULL-ended; free_arguments frees it. */
static char **arguments(const struct command *c, const char *const *names, int threads)
{
	const struct train_options *o = &c->options;
	char *const flags[] = {
		xasprintf("--out=%s", o->out),        xasprintf("--seed=%llu", (unsigned long long)o->seed),
		xasprintf("--threads=%d", threads),   xasprintf("--loaders=%d", o->loaders),
		xasprintf("--share=%.17g", o->share), o->resume ? xstrdup("--resume") : NULL,
	};
	char **argv = xcalloc(TASKS + sizeof flags / sizeof *flags + 2, sizeof *argv);
	int n = 0;
	argv[n++] = xstrdup("train");
	for (int i = 0; names[i]; i++)
		argv[n++] = xstrdup(names[i]);
	for (size_t i = 0; i < sizeof flags / sizeof *flags && flags[i]; i++)
		argv[n++] = flags[i];
	return argv;
}

static void free_arguments(char **argv)
{
	for (int i = 0; argv[i]; i++)
		free(argv[i]);
	free(argv);
}

static int train_groups(const struct command *c, int threads, struct error *err)
{
	char **argv[GROUPS];
	for (int i = 0; i < GROUPS; i++)
		argv[i] = arguments(c, groups[i], threads / GROUPS);
	int status = train_apart((char *const *const *)argv, GROUPS, err);
	for (int i = 0; i < GROUPS; i++)
		free_arguments(argv[i]);
	return status;
}

static int train_all(const struct command *c, struct error *err)
{
	int threads = c->options.threads > 0 ? c->options.threads : runtime_cpus(), status = 0;
	if (threads >= GROUPS)
		return train_groups(c, threads, err);
	for (int i = 0; i < TASKS && status == 0; i++)
		status = train_one(tasks[i], c, err);
	return status;
}

static int train_named(const struct command *c, struct error *err)
{
	int status = 0;
	for (int i = 0; i < c->n_names && status == 0; i++) {
		const struct train_task *task = task_called(c->names[i]);
		if (!task)
			return fail(err, E_USAGE, "no network is called \"%s\"; there are clip, ofa, bert, and all for the three", c->names[i]);
		status = train_one(task, c, err);
	}
	return status;
}

static int run(const struct command *c, struct error *err)
{
	char message[256] = "";
	if (tt_start(c->options.threads, message, sizeof message) < 0)
		return fail(err, E_MODEL, "%s", message);
	if (c->n_names > 0 && make_folder(c->options.out, err) < 0)
		return -1;
	if ((is_all(c) ? train_all(c, err) : train_named(c, err)) < 0)
		return -1;
	return c->evaluate || is_all(c) ? train_evaluate(c->options.out, c->measured, err) : 0;
}

int main(int argc, char **argv)
{
	struct command c;
	struct error err = {0};
	if (runtime_prepare(0))
		execv("/proc/self/exe", argv);
	if (parse(argc, argv, &c) < 0)
		return 2;
	if (run(&c, &err) < 0) {
		fprintf(stderr, "train: %s\n", err.text);
		return 1;
	}
	return 0;
}
