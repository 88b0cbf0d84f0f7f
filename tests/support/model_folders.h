/* model_folders.h - small model folders for fuzzers, a network each: weights of the shapes that a reference file in tests/golden lists, its config.json, and
 * a tokenizer. One thread; runs in the root of the project. */
#ifndef TESTS_MODEL_FOLDERS_H
#define TESTS_MODEL_FOLDERS_H

#include <stddef.h>

#include "tests/support/fuzz.h"

enum { MODEL_FOLDERS = 11 };

/* A seed each, of the kind "folder/file": that file as the folder has it. Called once; the texts are freed by model_folders_end. Returns 0; -1 after saying what is missing. */
int model_folders_seeds(struct fuzz_seed out[MODEL_FOLDERS]);
/* Writes the folder of a kind below fuzz_dir, once. */
void model_folders_make(const char *kind);

void model_folders_end(void);

#endif
