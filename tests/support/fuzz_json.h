/* fuzz_json.h - mutations of JSON that know what JSON is. One thread. */
#ifndef TESTS_FUZZ_JSON_H
#define TESTS_FUZZ_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "core/mem.h"

/* Changes one value of a JSON text: another number, another type, a key gone, there twice or named as another one, a list longer, nested deep. The result
 * need not be JSON any more. False, and nothing changed, for what is no object or list. random: any 64 bits. */
bool fuzz_json_mutate(struct buffer *text, uint64_t (*random)(void));

#endif
