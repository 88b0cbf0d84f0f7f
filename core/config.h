/* config.h - every setting, from one table: defaults < config file < profile < environment < flags < by hand.
 *
 * A setting is a row: key, what it means, how it is read and written. The file holds `key = value` lines (# starts a comment), the environment VRAMBLE_KEY
 * with dashes turned into underscores, a flag --key VALUE. One struct holds the result, and where each value came from; the order in which the layers
 * are read does not matter, a weaker one never replaces a stronger one. The controlling thread only.
 *
 *	config_init(&c);
 *	config_read(&c, path, warn, NULL, &err);
 *	config_read_environment(&c, warn, NULL);
 *	config_set_from(&c, "batch", "8", CONFIG_FLAG, "--batch", &err);
 *	profile_begin(&c, warn, NULL, &err);              (core/profile.h)
 *	config_set(&c, "batch", "16", &err);              by hand, while it runs
 */
#ifndef CORE_CONFIG_H
#define CORE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "core/alerts.h"
#include "core/device.h"
#include "core/engine.h"

/* Weakest first. CONFIG_HAND: while the program runs. */
enum config_source { CONFIG_DEFAULT, CONFIG_FILE, CONFIG_PROFILE, CONFIG_ENVIRONMENT, CONFIG_FLAG, CONFIG_HAND };
enum { CONFIG_ROWS_MOST = 64 };

/* Where a value came from. where (owned by the config): "path:line", the profile's name, the variable, the flag; NULL for defaults and by hand. */
struct config_origin {
	enum config_source source;
	char *where;
};

struct config {
	char *model_dir[MODEL_KINDS]; /* owned; NULL: the bundled one; "none": do without */
	char *labels;                 /* owned; "a;b;c", or NULL */
	char *hypothesis;             /* owned; NULL: "This example is {}." */
	char *theme;                  /* owned; name or file; NULL: chosen from the terminal */
	char *log;                    /* owned; file; NULL: the state folder */
	char *colour;                 /* owned; "auto", "direct", "256", "16", "8", "mono" */
	char *profile;                /* owned; the name of the one in use, or NULL */
	char *profile_dir;            /* owned; folder of own profiles; NULL: there are none. Set by whoever calls config_init */
	int loaders;
	double cell_aspect;              /* width / height of a character cell; 0: ask the terminal */
	struct engine_settings settings; /* device[] holds wishes: also DEVICE_AUTO (core/device.h) */
	bool seed_from_clock;            /* settings.seed was drawn from the clock */
	bool force_cuda;                 /* a run refuses to fall back to the CPU */
	struct alert_thresholds alerts;
	struct image_limits limits;
	struct config_origin origin[CONFIG_ROWS_MOST]; /* by row */
};

struct config_row {
	const char *key;
	const char *argument; /* "MODEL", "N", … for --help */
	const char *help;     /* one line */
};

void config_init(struct config *c); /* defaults */
void config_free(struct config *c);
/* Sets one key from text, by hand: replaces whatever is there; "profile" applies it (profile_apply). An error (E_USAGE) names key, value and what is accepted,
 * or the nearest known key, and leaves c as it was. "max-memory" is another name of "cap". */
int config_set(struct config *c, const char *key, const char *value, struct error *err);
/* The same as part of a layer: a value that is right is taken only where the present one comes from no stronger source. `precision` and `device` are for all
 * models; what the same layer says of one model (clip-precision) stays, in whichever order they come. where is copied, may be NULL. */
int config_set_from(struct config *c, const char *key, const char *value, enum config_source source, const char *where, struct error *err);
/* The present value as text that config_set takes (malloc'd); "mixed" for `precision` and `device` where the models differ; in parentheses what stands for a
 * text that is not set. NULL: unknown key. */
char *config_get(const struct config *c, const char *key);
/* Where it came from; borrowed until the key is set again. NULL: unknown key. */
const struct config_origin *config_origin(const struct config *c, const char *key);
/* "default", "file PATH:LINE", "profile NAME", "environment VARIABLE", "flag --KEY", "by hand"; malloc'd. */
char *config_origin_text(const struct config_origin *origin);
/* True for keys that are on or off, whose flag needs no value (and then means on). */
bool config_is_switch(const char *key);
/* True for what a switch may be set to: on, off, yes, no, true, false, 1, 0. */
bool config_is_switch_value(const char *value);

/* Reads a file of `key = value` lines as CONFIG_FILE; every bad line is an error "path:line: …", told to `warn` one by one (at most 20), and the rest is still
 * read. A file that is not there is fine. Returns -1 with err, which names the fix, when the file itself cannot be read: a folder, no permission, not text. */
int config_read(struct config *c, const char *path, void (*warn)(void *ctx, const char *text), void *ctx, struct error *err);
/* VRAMBLE_* variables of the environment, and FORCE_CUDA; bad ones, and such that are a slip away from a known one, are told to warn. */
void config_read_environment(struct config *c, void (*warn)(void *ctx, const char *text), void *ctx);
const struct config_row *config_rows(size_t *n);
/* "512M", "16G", "1.5GiB", "1000000" to bytes. */
int config_bytes(const char *text, int64_t *out, struct error *err);
/* "fp32", "bf16", "fp16", "autocast", "auto" and back. */
int precision_parse(const char *text, enum precision *out);
const char *precision_name(enum precision p);

#endif
