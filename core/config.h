/* config.h - every setting, from one table: defaults < config file < environment < flags.
 *
 * A setting is a row: key, what it means, how it is read. The file holds `key = value` lines (# starts a comment), the environment VRAMBLE_KEY with
 * dashes turned into underscores, a flag --key VALUE. One struct holds the result, and where each value came from. The controlling thread only.
 */
#ifndef CORE_CONFIG_H
#define CORE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "core/engine.h"

enum config_source { CONFIG_DEFAULT, CONFIG_FILE, CONFIG_ENVIRONMENT, CONFIG_FLAG };

struct config {
	char *model_dir[MODEL_KINDS]; /* owned; NULL: the bundled one; "none": do without */
	char *labels;                 /* owned; "a;b;c", or NULL */
	char *hypothesis;             /* owned; NULL: "This example is {}." */
	char *theme;                  /* owned; name or file; NULL: chosen from the terminal */
	char *log;                    /* owned; file; NULL: the state folder */
	char *colour;                 /* owned; "auto", "direct", "256", "16", "8", "mono" */
	int loaders;
	double cell_aspect; /* width / height of a character cell; 0: ask the terminal */
	struct engine_settings settings;
	struct image_limits limits;
};

struct config_row {
	const char *key;
	const char *argument; /* "DIR", "N", … for --help */
	const char *help;     /* one line */
};

void config_init(struct config *c); /* defaults */
void config_free(struct config *c);
/* Sets one key from text; an error names key, value and what is accepted, or the nearest known key. */
int config_set(struct config *c, const char *key, const char *value, struct error *err);
/* Reads a file of `key = value` lines; every bad line is an error "path:line: …", told to `warn` one by one, and the rest is still read. A file that is not
 * there is fine. Returns -1 when the file itself cannot be read. */
int config_read(struct config *c, const char *path, void (*warn)(void *ctx, const char *text), void *ctx, struct error *err);
/* VRAMBLE_* variables of the environment; bad ones are told to warn. */
void config_read_environment(struct config *c, void (*warn)(void *ctx, const char *text), void *ctx);
const struct config_row *config_rows(size_t *n);
/* "512M", "16G", "1.5GiB", "1000000" to bytes. */
int config_bytes(const char *text, int64_t *out, struct error *err);
/* "fp32", "bf16", "fp16", "auto" and back. */
int precision_parse(const char *text, enum precision *out);
const char *precision_name(enum precision p);

#endif
