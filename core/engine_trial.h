/* engine_trial.h - a trial as its two files share it: engine_trial.c conducts, engine_trial_run.c does what is to be done. Nobody else includes it.
 *
 * What has no other word is the conductor's, or that of the lane that does the task: never both at once.
 */
#ifndef CORE_ENGINE_TRIAL_H
#define CORE_ENGINE_TRIAL_H

#include "core/engine_private.h"

struct trial;
/* What a lane does for a trial. */
typedef int trial_task(struct trial *t, struct lane *l, struct error *err);

struct trial {
	struct engine *engine;
	struct engine_settings settings;
	unsigned models;
	int passes;
	char **paths;
	int n;
	bool cancelled;         /* under the engine's mutex, as the next six */
	bool capped;            /* the caps are the trial's */
	pthread_cond_t changed; /* a lane parked, a task is done, cancelled */
	struct lane *lane;      /* is to do the task, or does it; NULL: none */
	trial_task *task;
	struct error *err; /* of the task */
	int rc;

	int device[MODEL_KINDS];            /* known once the lanes are parked */
	struct pixels *pictures[MODEL_NLI]; /* owned; [distinct], for CLIP and the captioner */
	int distinct;
	struct caption *captions; /* [batch] */
	char **hypotheses;        /* owned; [labels] */
	int labels;
	const struct model_library *library;
	struct event event;                           /* the result */
	double *seconds[MODEL_KINDS];                 /* owned; [passes], of each timed one */
	int pass;                                     /* that runs; -1: the first, which tells whether it fits */
	int64_t held[MODEL_KINDS], peak[MODEL_KINDS]; /* of the model's device before and during its run */
	int64_t cap[MODEL_KINDS], limit[MODEL_KINDS]; /* of the model's device; limit: what cap and reserve leave there */
};

static inline bool trial_has(const struct trial *t, int kind)
{
	return t->models >> kind & 1;
}

int trial_cancelled(struct error *err); /* -1 with E_CANCELLED */
/* Pictures, labels and room for the results; cancellable, -1 when no picture can be read. On the conductor's thread, as the next four. */
int trial_prepare(struct trial *t, struct error *err);
void trial_forget(struct trial *t); /* frees what trial_prepare made */
/* What is held before the runs, and what may be; nothing cached, so that no trial finds what another left. */
void trial_weigh(struct trial *t);
/* -1 with E_MEMORY when what ran so far took more than cap and reserve leave. */
int trial_check(const struct trial *t, struct error *err);
void trial_judge(struct trial *t); /* the event */

/* Tasks: on the lane's thread, without the mutex. */
int trial_place(struct trial *t, struct lane *l, struct error *err);     /* the model as the settings say */
int trial_run_batch(struct trial *t, struct lane *l, struct error *err); /* a batch */
void trial_tune(const struct model_library *library, const struct engine_settings *s);

#endif
