/* config.c - see config.h. */
#include "core/config.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

static const char *const precision_names[PRECISIONS] = {"auto", "fp32", "bf16", "fp16", "autocast"};

const char *precision_name(enum precision p)
{
	return precision_names[p];
}

int precision_parse(const char *text, enum precision *out)
{
	for (int i = 0; i < PRECISIONS; i++)
		if (!strcasecmp(text, precision_names[i])) {
			*out = (enum precision)i;
			return 0;
		}
	return -1;
}

int config_bytes(const char *text, int64_t *out, struct error *err)
{
	static const char units[] = "kmgt";
	char *end;
	double value = strtod(text, &end);

	if (end == text || !isfinite(value) || value < 0)
		return fail(err, E_USAGE, "\"%s\" is not a size: write bytes, or 512M, 16G", text);
	if (*end) {
		const char *unit = strchr(units, tolower((unsigned char)*end));

		if (!unit)
			return fail(err, E_USAGE, "\"%s\" is not a size: the unit is K, M, G or T", text);
		value = ldexp(value, 10 * (int)(unit - units + 1));
		end++;
	}
	if (*end && strcasecmp(end, "b") && strcasecmp(end, "ib"))
		return fail(err, E_USAGE, "\"%s\" is not a size: write bytes, or 512M, 16G", text);
	if (value > 9e18)
		return fail(err, E_USAGE, "\"%s\" is more than any device has", text);
	*out = (int64_t)value;
	return 0;
}

/* One row's reader: value into c; detail is the row's number (a model kind) where several rows share a reader. */
typedef int reader(struct config *c, int detail, const char *value, struct error *err);

static int read_int(const char *value, int low, int high, int *out, struct error *err)
{
	char *end;
	long n;

	errno = 0;
	n = strtol(value, &end, 10);
	if (end == value || *end || errno)
		return fail(err, E_USAGE, "\"%s\" is not a whole number", value);
	if (n < low || n > high)
		return fail(err, E_USAGE, "%ld is outside %d to %d", n, low, high);
	*out = (int)n;
	return 0;
}

static int set_text(char **slot, const char *value)
{
	free(*slot);
	*slot = xstrdup(value);
	return 0;
}

static int read_model(struct config *c, int kind, const char *value, struct error *err)
{
	if (!*value)
		return fail(err, E_USAGE, "needs a model directory, or \"none\"");
	return set_text(&c->model_dir[kind], value);
}

static int read_labels(struct config *c, int detail, const char *value, struct error *err)
{
	return set_text(&c->labels, value);
}

static int read_hypothesis(struct config *c, int detail, const char *value, struct error *err)
{
	const char *slot = strstr(value, "{}");

	if (!slot || strstr(slot + 2, "{}"))
		return fail(err, E_USAGE, "\"%s\" needs exactly one {} for the label", value);
	return set_text(&c->hypothesis, value);
}

static int read_theme(struct config *c, int detail, const char *value, struct error *err)
{
	return set_text(&c->theme, value);
}

static int read_log(struct config *c, int detail, const char *value, struct error *err)
{
	return set_text(&c->log, value);
}

static int read_colour(struct config *c, int detail, const char *value, struct error *err)
{
	static const char *const known[] = {"auto", "direct", "256", "16", "8", "mono"};

	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (!strcmp(value, known[i]))
			return set_text(&c->colour, value);
	return fail(err, E_USAGE, "\"%s\" is not one of auto, direct, 256, 16, 8, mono", value);
}

static int set_device(struct config *c, int device)
{
	for (int i = 0; i < MODEL_KINDS; i++)
		c->settings.device[i] = device;
	return 0;
}

static int read_device(struct config *c, int detail, const char *value, struct error *err)
{
	char *end;
	long n;

	if (!strcmp(value, "cpu")) {
		return set_device(c, DEVICE_CPU);
	}
	if (!strcmp(value, "cuda")) {
		return set_device(c, 0);
	}
	if (!strncmp(value, "cuda:", 5) && isdigit((unsigned char)value[5])) {
		n = strtol(value + 5, &end, 10);
		if (!*end && n < 128) {
			return set_device(c, (int)n);
		}
	}
	return fail(err, E_USAGE, "\"%s\" is not a device: cpu, cuda or cuda:N", value);
}

static int read_threads(struct config *c, int detail, const char *value, struct error *err)
{
	return read_int(value, 0, 1024, &c->settings.threads, err);
}

static int read_loaders(struct config *c, int detail, const char *value, struct error *err)
{
	return read_int(value, 0, 64, &c->loaders, err);
}

static int read_batch(struct config *c, int detail, const char *value, struct error *err)
{
	return read_int(value, 1, ENGINE_MAX_BATCH, &c->settings.batch, err);
}

static int read_beams(struct config *c, int detail, const char *value, struct error *err)
{
	return read_int(value, 1, 16, &c->settings.beams, err);
}

static int read_precision(struct config *c, int detail, const char *value, struct error *err)
{
	enum precision precision;

	if (precision_parse(value, &precision) < 0)
		return fail(err, E_USAGE, "\"%s\" is not one of auto, fp32, bf16, fp16, autocast", value);
	for (int i = 0; i < MODEL_KINDS; i++)
		c->settings.precision[i] = precision;
	return 0;
}

static int read_image_size(struct config *c, int detail, const char *value, struct error *err)
{
	if (!strcmp(value, "auto")) {
		c->settings.image_size = 0;
		return 0;
	}
	return read_int(value, 16, 4096, &c->settings.image_size, err);
}

static int read_cap(struct config *c, int detail, const char *value, struct error *err)
{
	if (!strcmp(value, "none")) {
		c->settings.cap = 0;
		return 0;
	}
	return config_bytes(value, &c->settings.cap, err);
}

static int read_max_pixels(struct config *c, int detail, const char *value, struct error *err)
{
	int megapixels;

	if (read_int(value, 1, 2000, &megapixels, err) < 0)
		return -1;
	c->limits.pixels = (int64_t)megapixels * 1000000;
	return 0;
}

static int read_cell_aspect(struct config *c, int detail, const char *value, struct error *err)
{
	int width, height, used = 0;

	if (!strcmp(value, "auto")) {
		c->cell_aspect = 0;
		return 0;
	}
	if (sscanf(value, "%4dx%4d%n", &width, &height, &used) != 2 || value[used] || width < 1 || height < 1)
		return fail(err, E_USAGE, "\"%s\" is not a cell size: write WIDTHxHEIGHT in pixels, such as 10x20, or auto", value);
	c->cell_aspect = (double)width / height;
	return 0;
}

struct setting {
	struct config_row row;
	reader *read;
	int detail;
};

static const struct setting settings[] = {
	{{"clip", "DIR", "CLIP model that scores the labels (\"none\": do without)"}, read_model, MODEL_SCORES},
	{{"captioner", "DIR", "OFA model that writes the caption (\"none\": do without)"}, read_model, MODEL_CAPTION},
	{{"nli", "DIR", "BERT model that checks labels against the caption (\"none\": do without)"}, read_model, MODEL_NLI},
	{{"labels", "\"A;B;C\"", "labels to score, separated by semicolons"}, read_labels, 0},
	{{"hypothesis", "TEXT", "NLI sentence with one {} for the label (\"This example is {}.\")"}, read_hypothesis, 0},
	{{"device", "DEV", "cpu, cuda or cuda:N (cpu)"}, read_device, 0},
	{{"threads", "N", "threads per model run, 0 = every CPU we may use (0)"}, read_threads, 0},
	{{"loaders", "N", "threads that decode pictures, 0 = choose (0)"}, read_loaders, 0},
	{{"batch", "N", "pictures per forward pass, 1 to 256 (4)"}, read_batch, 0},
	{{"precision", "P", "auto, fp32, bf16 or fp16 (auto)"}, read_precision, 0},
	{{"image-size", "PX", "captioner's input in pixels, auto = the model's own (auto)"}, read_image_size, 0},
	{{"beams", "N", "beams of the caption search, 1 = greedy (5)"}, read_beams, 0},
	{{"cap", "SIZE", "memory that tensors may hold, such as 16G; none (none)"}, read_cap, 0},
	{{"max-pixels", "MP", "largest picture that is decoded, in megapixels (100)"}, read_max_pixels, 0},
	{{"theme", "NAME", "dark, light, mono, … or a .theme file"}, read_theme, 0},
	{{"colour", "MODE", "auto, direct, 256, 16, 8 or mono (auto)"}, read_colour, 0},
	{{"cell-size", "WxH", "pixels of one character cell, when the terminal does not say (auto)"}, read_cell_aspect, 0},
	{{"log", "FILE", "log file (one a day in the state folder's vramble/log)"}, read_log, 0},
};
enum { N_SETTINGS = sizeof settings / sizeof *settings };

const struct config_row *config_rows(size_t *n)
{
	static struct config_row rows[N_SETTINGS];

	for (size_t i = 0; i < N_SETTINGS; i++)
		rows[i] = settings[i].row;
	*n = N_SETTINGS;
	return rows;
}

void config_init(struct config *c)
{
	*c = (struct config){.settings = engine_settings_default(DEVICE_CPU)};
	c->colour = xstrdup("auto");
}

void config_free(struct config *c)
{
	for (int i = 0; i < MODEL_KINDS; i++)
		free(c->model_dir[i]);
	free(c->labels);
	free(c->hypothesis);
	free(c->theme);
	free(c->log);
	free(c->colour);
	*c = (struct config){0};
}

/* Levenshtein distance of short keys, for "did you mean". */
static int distance(const char *a, const char *b)
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

static const struct setting *find(const char *key, struct error *err)
{
	const struct setting *nearest = NULL;
	int best = 4;

	for (int i = 0; i < N_SETTINGS; i++) {
		int d;

		if (!strcmp(settings[i].row.key, key))
			return &settings[i];
		d = distance(key, settings[i].row.key);
		if (d < best) {
			best = d;
			nearest = &settings[i];
		}
	}
	if (nearest)
		return fail_null(err, E_USAGE, "unknown setting \"%s\"; did you mean \"%s\"?", key, nearest->row.key);
	return fail_null(err, E_USAGE, "unknown setting \"%s\"; vramble --help lists them", key);
}

int config_set(struct config *c, const char *key, const char *value, struct error *err)
{
	const struct setting *s = find(key, err);

	if (!s)
		return -1;
	if (s->read(c, s->detail, value, err) < 0)
		return fail_prefix(err, "%s", key);
	return 0;
}

static char *trim(char *s)
{
	char *end;

	while (isspace((unsigned char)*s))
		s++;
	end = s + strlen(s);
	while (end > s && isspace((unsigned char)end[-1]))
		*--end = '\0';
	return s;
}

static int read_line(struct config *c, char *line, struct error *err)
{
	char *value, *key = trim(line);

	if (!*key || *key == '#')
		return 0;
	value = strchr(key, '=');
	if (!value)
		return fail(err, E_USAGE, "\"%s\" is not \"key = value\"", key);
	*value++ = '\0';
	return config_set(c, trim(key), trim(value), err);
}

int config_read(struct config *c, const char *path, void (*warn)(void *ctx, const char *text), void *ctx, struct error *err)
{
	FILE *f = fopen(path, "re");
	char *line = NULL;
	size_t size = 0;
	ssize_t length;
	int result = 0;

	if (!f)
		return errno == ENOENT || errno == ENOTDIR ? 0 : fail(err, E_IO, "%s: %s", path, strerror(errno));
	for (int number = 1; errno = 0, (length = getline(&line, &size, f)) >= 0; number++) {
		struct error bad;

		if (memchr(line, '\0', (size_t)length) ? fail(&bad, E_USAGE, "holds a zero byte: not a text file") < 0
						       : read_line(c, line, &bad) < 0) {
			fail_prefix(&bad, "%s:%d", path, number);
			warn(ctx, bad.text);
		}
	}
	if (ferror(f))
		result = fail(err, E_IO, "%s: %s", path, strerror(errno));
	free(line);
	fclose(f);
	return result;
}

void config_read_environment(struct config *c, void (*warn)(void *ctx, const char *text), void *ctx)
{
	for (int i = 0; i < N_SETTINGS; i++) {
		char name[64] = "VRAMBLE_";
		const char *value;
		struct error bad;
		size_t n = strlen(name);

		for (const char *k = settings[i].row.key; *k && n + 1 < sizeof name; k++)
			name[n++] = *k == '-' ? '_' : (char)toupper((unsigned char)*k);
		name[n] = '\0';
		value = getenv(name);
		if (value && config_set(c, settings[i].row.key, value, &bad) < 0) {
			fail_prefix(&bad, "environment %s", name);
			warn(ctx, bad.text);
		}
	}
}
