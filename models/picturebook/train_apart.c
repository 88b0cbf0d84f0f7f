#include "models/picturebook/train.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* In the child: becomes this program again, and dies with its parent however that ends. */
static _Noreturn void become(char *const *argv, pid_t parent)
{
	static const char message[] = "train: /proc/self/exe does not start\n";
	if (prctl(PR_SET_PDEATHSIG, SIGTERM) == 0 && getppid() == parent)
		execv("/proc/self/exe", argv);
	if (write(STDERR_FILENO, message, sizeof message - 1) < 0)
		_exit(1);
	_exit(1);
}

/* What the child's end says, in words; empty when all is well. */
static const char *ended(int status, char *text, size_t size)
{
	text[0] = '\0';
	if (WIFSIGNALED(status))
		snprintf(text, size, "was ended by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
	else if (WEXITSTATUS(status) != 0)
		snprintf(text, size, "ended with exit status %d", WEXITSTATUS(status));
	return text;
}

static void stop(const pid_t *child, int n)
{
	for (int i = 0; i < n; i++) {
		if (child[i] > 0)
			kill(child[i], SIGTERM);
	}
}

/* Waits for all that were started; the first failure stops the others. */
static int wait_for(pid_t *child, char *const *const *argv, int n, struct error *err)
{
	int failed = 0;
	for (int running = n; running > 0;) {
		int status;
		char text[96];
		pid_t pid = waitpid(-1, &status, 0);
		if (pid < 0 && errno == EINTR)
			continue;
		if (pid < 0)
			return fail(err, E_IO, "waiting for the trainers: %s", strerror(errno));
		for (int i = 0; i < n; i++) {
			if (child[i] != pid)
				continue;
			child[i] = 0;
			running--;
			if (ended(status, text, sizeof text)[0] && !failed) {
				failed = fail(err, E_MODEL, "the process that trains %s %s", argv[i][1], text);
				stop(child, n);
			}
		}
	}
	return failed;
}

int train_apart(char *const *const *argv, int n, struct error *err)
{
	pid_t *child = xcalloc((size_t)n, sizeof *child), self = getpid();
	int started = 0, failed = 0;
	while (started < n && !failed) {
		pid_t pid = fork();
		if (pid == 0)
			become(argv[started], self);
		if (pid > 0)
			child[started++] = pid;
		else
			failed = fail(err, E_IO, "a process for training: %s", strerror(errno));
	}
	if (failed) {
		stop(child, started);
		wait_for(child, argv, started, NULL);
	} else {
		failed = wait_for(child, argv, n, err);
	}
	free(child);
	return failed;
}
