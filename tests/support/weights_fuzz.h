/* weights_fuzz.h - what the fuzzers of weights share: opening, reading every byte that a tensor promises, and limits on time and memory. One thread. */
#ifndef TESTS_WEIGHTS_FUZZ_H
#define TESTS_WEIGHTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* Writes the bytes as a file of that name and opens it as weights. Aborts when a tensor cannot be found by its name, is misaligned, when an error says
 * nothing, and (as fuzz_limit does) at an allocation of more than twice the file's size and 64 KB. */
void weights_fuzz(const char *name, const uint8_t *bytes, size_t size);

#endif
