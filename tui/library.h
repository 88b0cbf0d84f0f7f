/* library.h - opens libvramble-torch.so, the one place where the program meets the models. */
#ifndef TUI_LIBRARY_H
#define TUI_LIBRARY_H

#include "core/config.h"

/* Looks for the library and dlopens it; matches engine_options.open_library (ctx: unused). Half a second of work: not for the UI thread. Loaded once, never
 * unloaded (libtorch cannot be). runtime_prepare must have been called before. */
const struct model_library *library_open(void *ctx, struct error *err);

/* The directory of the model that config chooses for kind, malloc'd: the configured one, else the bundled demo model; NULL when the user said "none" or
 * when there is no bundled one. */
char *library_model_dir(const struct config *config, enum model_kind kind);

/* Bytes of the model's weights in that precision; AUTO: as on disk. */
int64_t library_weights(const struct model_info *info, enum precision precision);

/* Fills what engine_options takes from config. kinds: bits 1 << MODEL_*; others are left out. options->model_dir is malloc'd: library_options_free. */
void library_options(const struct config *config, int kinds, struct engine_options *options);
void library_options_free(struct engine_options *options);

/* The labels that config asks for, or those of the bundled models' labels.txt, or a general set; *labels is malloc'd with its strings. Returns how many. */
int library_labels(const struct config *config, char ***labels);
/* Splits "a; b;c" into trimmed, non-empty labels, at most ENGINE_MAX_LABELS. Returns how many; *labels as in library_labels. */
int library_split_labels(const char *text, char ***labels);
void library_free_labels(char **labels, int n);

#endif
