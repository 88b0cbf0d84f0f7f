/* build/train - makes the weights of this folder, or measures them.
 *
 *	build/train all --out models/picturebook      the three networks, then the table
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

static const char usage[] = "usage: train all|clip|ofa|bert [options]   train into FOLDER/clip, FOLDER/ofa, FOLDER/bert\n"
			    "       train --evaluate[=N] [options]         measure what is there\n"
			    "  --out FOLDER    default models/picturebook\n"
			    "  --seed N        default 1\n"
			    "  --threads N     of libtorch, default the CPUs\n"
			    "  --loaders N     threads that draw, default 1\n"
			    "  --share F       of the samples, default 1: smaller for a trial\n"
			    "  --resume        go on from the last weights saved by a run with the same options\n"
			    "  --evaluate[=N]  print the table (after training), or network N's part of it\n";

struct command {
	struct train_options options;
	const char *task; /* NULL: none */
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
	c->task = optind < argc ? argv[optind] : NULL;
	if (c->task ? optind + 1 < argc || c->options.share <= 0 || c->options.share > 1 : !c->evaluate) {
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

static int run(const struct command *c, struct error *err)
{
	char message[256] = "";
	bool found = !c->task;
	if (tt_start(c->options.threads, message, sizeof message) < 0)
		return fail(err, E_MODEL, "%s", message);
	if (c->task && make_folder(c->options.out, err) < 0)
		return -1;
	for (int i = 0; c->task && i < TASKS; i++) {
		if (strcmp(c->task, "all") != 0 && strcmp(c->task, tasks[i]->name) != 0)
			continue;
		found = true;
		if (train_one(tasks[i], c, err) < 0)
			return -1;
	}
	if (!found)
		return fail(err, E_USAGE, "no network is called \"%s\"; there are clip, ofa, bert and all", c->task);
	return c->evaluate || (c->task && strcmp(c->task, "all") == 0) ? train_evaluate(c->options.out, c->measured, err) : 0;
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
