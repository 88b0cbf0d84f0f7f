/* config_rows.c - the table of settings, and finding a row in it. See config_private.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/config_private.h"
#include "core/hypothesis.h"

#define INT(field, low, high, word)     config_read_int, config_write_int, offsetof(struct config, field), low, high, word
#define SECONDS(field, low, high, word) config_read_seconds, config_write_seconds, offsetof(struct config, field), low, high, word
#define SWITCH(field)                   config_read_switch, config_write_switch, offsetof(struct config, field), 0, 1, NULL
#define TEXT(read, field, word)         read, config_write_text, offsetof(struct config, field), 0, 0, word
#define DEVICE(kind)                    config_read_device, config_write_device, offsetof(struct config, settings.device[kind]), 0, 0, NULL
#define PRECISION(kind)                 config_read_precision, config_write_precision, offsetof(struct config, settings.precision[kind]), 0, 0, NULL
#define GENERAL                         config_read_general, config_write_general, 0, 0, 0, NULL
#define TUNING                          NULL, true

const struct setting config_table[] = {
	{{"clip", "MODEL", "CLIP or SigLIP model that scores the labels (\"none\": do without)"},
	 TEXT(config_read_dir, model_dir[MODEL_SCORES], "(bundled)")},
	{{"captioner", "MODEL", "OFA or BLIP model that writes the caption (\"none\": do without)"},
	 TEXT(config_read_dir, model_dir[MODEL_CAPTION], "(bundled)")},
	{{"nli", "MODEL", "NLI model that checks labels against the caption (\"none\": do without)"},
	 TEXT(config_read_dir, model_dir[MODEL_NLI], "(bundled)")},
	{{"labels", "\"A;B;C\"", "labels to score, separated by semicolons"}, TEXT(config_read_text, labels, "(the models' own)")},
	{{"hypothesis", "TEXT", "NLI sentence with one {} for the label (\"This example is {}.\")"},
	 TEXT(config_read_hypothesis, hypothesis, HYPOTHESIS_TEMPLATE)},
	{{"profile", "NAME", "settings by name: personal, production, limited, or one of your own"}, TEXT(config_read_profile, profile, "(none)")},
	{{"device", "DEV", "auto, cpu, cuda or cuda:N, for all models (auto)"}, GENERAL, TUNING},
	{{"clip-device", "DEV", "the same for one model"}, DEVICE(MODEL_SCORES), TUNING},
	{{"captioner-device", "DEV", "the same for one model"}, DEVICE(MODEL_CAPTION), TUNING},
	{{"nli-device", "DEV", "the same for one model"}, DEVICE(MODEL_NLI), TUNING},
	{{"force-cuda", "on|off", "refuse to fall back to the CPU; also FORCE_CUDA=1 (off)"}, SWITCH(force_cuda), "FORCE_CUDA", true},
	{{"batch", "N", "pictures gathered for a run, 1 to 256 (4)"}, INT(settings.batch, 1, ENGINE_MAX_BATCH, NULL), TUNING},
	{{"slice", "N", "pictures per forward pass within a batch; all = at once (all)"}, INT(settings.slice, 1, ENGINE_MAX_BATCH, "all"), TUNING},
	{{"precision", "P", "auto, fp32, bf16, fp16 or autocast, for all models (auto)"}, GENERAL, TUNING},
	{{"clip-precision", "P", "the same for one model"}, PRECISION(MODEL_SCORES), TUNING},
	{{"captioner-precision", "P", "the same for one model"}, PRECISION(MODEL_CAPTION), TUNING},
	{{"nli-precision", "P", "the same for one model"}, PRECISION(MODEL_NLI), TUNING},
	{{"image-size", "PX", "captioner's input in pixels, auto = the model's own (auto)"},
	 INT(settings.image_size, 16, ENGINE_MAX_IMAGE, "auto"),
	 TUNING},
	{{"beams", "N", "beams of the caption search, 1 = greedy (5)"}, INT(settings.beams, 1, ENGINE_MAX_BEAMS, NULL), TUNING},
	{{"cap", "SIZE", "memory that tensors may hold: 16G, 80%, none; also max-memory (none)"},
	 config_read_cap,
	 config_write_cap,
	 0,
	 0,
	 0,
	 "none",
	 TUNING},
	{{"reserve", "PERCENT", "of the device, kept free by fit and recommendations (15)"}, INT(settings.reserve, 0, 90, NULL), TUNING},
	{{"empty-cache", "on|off", "give cached memory back after each batch (off)"}, SWITCH(settings.empty_cache), TUNING},
	{{"threads", "N", "threads per model run, 0 = every CPU we may use (0)"}, INT(settings.threads, 0, 1024, NULL), TUNING},
	{{"loaders", "N", "threads that decode pictures, 0 = choose (0)"}, INT(loaders, 0, 64, NULL)},
	{{"seed", "N", "of what is random; clock = another each time, and shown (42)"}, config_read_seed, config_write_seed, 0, 0, 0, NULL, TUNING},
	{{"deterministic", "on|off", "only kernels that give the same bits each time (off)"}, SWITCH(settings.deterministic), TUNING},
	{{"benchmark", "on|off", "cuDNN tries kernels and keeps the fastest (off)"}, SWITCH(settings.benchmark), TUNING},
	{{"retries", "N", "of a picture that failed for another reason than itself (0)"}, INT(settings.retries, 0, 100, NULL), TUNING},
	{{"retry-delay", "SECONDS", "before each retry (0)"}, SECONDS(settings.retry_delay, 0, 3600, NULL), TUNING},
	{{"deadline", "SECONDS", "a picture's decoding or one model's answer may take; none (none)"},
	 SECONDS(settings.deadline, 0.001, 86400, "none"),
	 TUNING},
	{{"queue", "N", "pictures that may wait for answers; none = any number (none)"}, INT(settings.queue, 1, 1000000, "none"), TUNING},
	{{"alert-memory", "PERCENT", "tell when so much of the cap or device is in use; none (95)"}, INT(alerts.memory, 1, 100, "none"), TUNING},
	{{"alert-success", "PERCENT", "tell when fewer of the last 100 pictures were answered; none (80)"},
	 INT(alerts.success, 1, 100, "none"),
	 TUNING},
	{{"alert-stall", "SECONDS", "tell when a model shows no progress for so long; none (60)"}, SECONDS(alerts.stall, 0.1, 86400, "none"), TUNING},
	{{"max-pixels", "MP", "largest picture that is decoded, in megapixels (100)"},
	 config_read_pixels,
	 config_write_pixels,
	 offsetof(struct config, limits.pixels),
	 1,
	 2000,
	 NULL},
	{{"theme", "NAME", "dark, light, mono, … or a .theme file"}, TEXT(config_read_text, theme, "(by the terminal)")},
	{{"colour", "MODE", "auto, direct, 256, 16, 8 or mono (auto)"}, TEXT(config_read_colour, colour, "auto")},
	{{"cell-size", "WxH", "pixels of one character cell, when the terminal does not say (auto)"},
	 config_read_cell,
	 config_write_cell,
	 0,
	 0,
	 0,
	 "auto"},
	{{"log", "FILE", "log file (one a day in the state folder's vramble/log)"}, TEXT(config_read_text, log, "(a file a day)")},
};
enum { ROWS = sizeof config_table / sizeof *config_table };
const int config_table_rows = ROWS;
_Static_assert((int)ROWS <= (int)CONFIG_ROWS_MOST, "struct config keeps an origin for each row");

static const struct {
	const char *name, *key;
} others[] = {{"max-memory", "cap"}};

const struct config_row *config_rows(size_t *n)
{
	static struct config_row rows[ROWS];

	for (size_t i = 0; i < ROWS; i++)
		rows[i] = config_table[i].row;
	*n = ROWS;
	return rows;
}

/* Levenshtein distance. */
int config_distance(const char *a, const char *b)
{
	int row[32], n = (int)strnlen(b, 31);

	for (int j = 0; j <= n; j++)
		row[j] = j;
	for (int i = 0; i < 31 && a[i]; i++) {
		int diagonal = row[0];

		row[0] = i + 1;
		for (int j = 0; j < n; j++) {
			int change = diagonal + (a[i] != b[j]), least = row[j] < row[j + 1] ? row[j] + 1 : row[j + 1] + 1;

			diagonal = row[j + 1];
			row[j + 1] = change < least ? change : least;
		}
	}
	return row[n];
}

static int row_of(const char *key)
{
	for (int i = 0; i < ROWS; i++)
		if (!strcmp(config_table[i].row.key, key))
			return i;
	return -1;
}

int config_find(const char *key, struct error *err)
{
	const char *nearest = NULL;
	int row = row_of(key), best = 4;

	if (row >= 0)
		return row;
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		if (!strcmp(others[i].name, key))
			return row_of(others[i].key);
	for (int i = 0; i < ROWS; i++) {
		int d = config_distance(key, config_table[i].row.key);

		if (d < best) {
			best = d;
			nearest = config_table[i].row.key;
		}
	}
	if (nearest)
		return fail(err, E_USAGE, "unknown setting \"%s\"; did you mean \"%s\"?", key, nearest);
	return fail(err, E_USAGE, "unknown setting \"%s\"; vramble --help lists them", key);
}

int config_special(int general, int kind)
{
	/* The models' rows follow the one for all. */
	return config_table[general].read == config_read_general ? general + 1 + kind : -1;
}

int config_general(int special)
{
	for (int row = special - 1; row >= 0 && row >= special - MODEL_KINDS; row--)
		if (config_table[row].read == config_read_general)
			return row;
	return -1;
}

bool config_is_switch(const char *key)
{
	int row = config_find(key, NULL);

	return row >= 0 && config_table[row].read == config_read_switch;
}
