/* golden_ofa.h - what OFA's two kinds of fixture share: generator settings and hypotheses. See golden.h. */
#ifndef TESTS_GOLDEN_OFA_H
#define TESTS_GOLDEN_OFA_H

#include "models/beam.h"
#include "tests/golden/golden.h"

/* The reference generator's arguments; settings may be NULL (its captioner's own). Ids of special tokens are those of every fixture: 0, 1, 2, 3. */
struct beam_options golden_beam_options(const json_t *settings, int vocabulary);
/* One hypothesis {"ids", "score", "positional_scores"} (the last two may be absent). */
void golden_compare_hypothesis(struct golden_case *c, const json_t *expected, const char *what, const struct beam_hypothesis *got);
/* A list of hypotheses; exact: got has no more than these. */
void golden_compare_hypotheses(struct golden_case *c, const json_t *expected, const char *what, const struct beam_result *got, bool exact);

#endif
