/* command_models.h - between the parts of `vramble models`. */
#ifndef TUI_COMMAND_MODELS_H
#define TUI_COMMAND_MODELS_H

#include <stddef.h>
#include <stdint.h>

#include "tui/command.h"

/* Each returns an exit code; in->files are what follows their word. */
int models_list(struct invocation *in);
int models_pull(struct invocation *in);
int models_verify(struct invocation *in);

/* "12.3 MB" into out; returns out. */
const char *models_size(int64_t bytes, char out[16]);

/* A name as it is safe to show: escaped into out, cut to its size. Returns out. */
const char *models_shown(const char *name, char *out, size_t size);

#endif
