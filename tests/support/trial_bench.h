/* trial_bench.h - what tests of trials share: an engine over the fake models with eight pictures, and trials in it. One thread; see engine_bench.h. */
#ifndef TESTS_SUPPORT_TRIAL_BENCH_H
#define TESTS_SUPPORT_TRIAL_BENCH_H

#include "tests/support/engine_bench.h"
#include "tests/support/fake_models.h"

enum { TRIAL_PICTURES = 8 };
#define MIB ((int64_t)1 << 20)

extern const int64_t trial_weights; /* of all three fake models */
extern struct bench bench;
extern char *trial_paths[TRIAL_PICTURES]; /* odd ones are red, the others blue */

int trial_setup(void **state);
int trial_teardown(void **state);
void trial_start(void); /* all models, three labels; waits until they are ready */
/* The engine's settings with another batch; one timed pass. */
struct engine_trial trial_of(int batch);
void trial_begin(const struct engine_trial *t);
void trial_run(const struct engine_trial *t); /* to its end: bench.trial */
/* All pictures are answered right, the models are where they belong, and no byte more is in use than their weights. */
void trial_check_ordinary(void);

#endif
