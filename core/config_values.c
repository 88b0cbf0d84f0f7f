/* config_values.c - how values are read from text and written back. See config_private.h. */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/config_private.h"
#include "core/hypothesis.h"
#include "core/mem.h"
#include "core/profile.h"

/* The row's value in c, which is of that type. */
#define SLOT(type, c, s)  ((type *)(void *)((char *)(c) + (s)->offset))
#define VALUE(type, c, s) (*(const type *)(const void *)((const char *)(c) + (s)->offset))

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

/* ---------------------------------------------------------------- numbers */

/* ", or none" where the row has a word for 0. */
static const char *or_word(const struct setting *s, char out[32])
{
	snprintf(out, 32, s->word ? ", or %s" : "%.0s", s->word ? s->word : "");
	return out;
}

static int parse_int(const struct setting *s, const char *value, int *out, struct error *err)
{
	char *end, word[32];
	long n;

	if (s->word && !strcmp(value, s->word)) {
		*out = 0;
		return 0;
	}
	errno = 0;
	n = strtol(value, &end, 10);
	if (end == value || *end)
		return fail(err, E_USAGE, "\"%s\" is not a whole number: %.0f to %.0f%s", value, s->low, s->high, or_word(s, word));
	if (errno || (double)n < s->low || (double)n > s->high)
		return fail(err, E_USAGE, "%s is outside %.0f to %.0f%s", value, s->low, s->high, or_word(s, word));
	*out = (int)n;
	return 0;
}

int config_read_int(struct config *c, const struct setting *s, const char *value, struct error *err)
{
	return parse_int(s, value, SLOT(int, c, s), err);
}

char *config_write_int(const struct config *c, const struct setting *s)
{
	int n = VALUE(int, c, s);

	return !n && s->word ? xstrdup(s->word) : xasprintf("%d", n);
}

int config_read_seconds(struct config *c, const struct setting *s, const char *value, struct error *err)
{
	char *end, word[32];
	double n;

	if (s->word && !strcmp(value, s->word)) {
		*SLOT(double, c, s) = 0;
		return 0;
	}
	n = strtod(value, &end);
	if (end == value || (*end && strcmp(end, "s")) || !isfinite(n))
		return fail(err, E_USAGE, "\"%s\" is not a time: seconds, %g to %g%s", value, s->low, s->high, or_word(s, word));
	if (n < s->low || n > s->high)
		return fail(err, E_USAGE, "%s is outside %g to %g seconds%s", value, s->low, s->high, or_word(s, word));
	*SLOT(double, c, s) = n;
	return 0;
}

char *config_write_seconds(const struct config *c, const struct setting *s)
{
	double n = VALUE(double, c, s);

	return n == 0 && s->word ? xstrdup(s->word) : xasprintf("%.10g", n);
}

int config_read_pixels(struct config *c, const struct setting *s, const char *value, struct error *err)
{
	int megapixels;

	if (parse_int(s, value, &megapixels, err) < 0)
		return -1;
	*SLOT(int64_t, c, s) = (int64_t)megapixels * 1000000;
	return 0;
}

char *config_write_pixels(const struct config *c, const struct setting *s)
{
	int64_t pixels = VALUE(int64_t, c, s);

	return xasprintf("%lld", (long long)((pixels ? pixels : IMAGE_MAX_PIXELS) / 1000000));
}

static const char *const on[] = {"on", "yes", "true", "1"}, *const off[] = {"off", "no", "false", "0"};
enum { WORDS = sizeof on / sizeof *on };

/* 1, 0, or -1 for what is neither. */
static int switch_value(const char *value)
{
	for (int i = 0; i < WORDS; i++) {
		if (!strcasecmp(value, on[i]))
			return 1;
		if (!strcasecmp(value, off[i]))
			return 0;
	}
	return -1;
}

bool config_is_switch_value(const char *value)
{
	return switch_value(value) >= 0;
}

int config_read_switch(struct config *c, const struct setting *s, const char *value, struct error *err)
{
	int n = switch_value(value);

	if (n < 0)
		return fail(err, E_USAGE, "\"%s\" is not on or off", value);
	*SLOT(bool, c, s) = n;
	return 0;
}

char *config_write_switch(const struct config *c, const struct setting *s)
{
	return xstrdup(VALUE(bool, c, s) ? "on" : "off");
}

/* ---------------------------------------------------------------- bytes */

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

/* "80%" to 80. */
static int read_percent(const char *value, int *out, struct error *err)
{
	char *end;
	double n = strtod(value, &end);

	if (end == value || strcmp(end, "%") || !(n >= 1 && n <= 100))
		return fail(err, E_USAGE, "\"%s\" is not a share of the device: 1%% to 100%%", value);
	*out = (int)n;
	return 0;
}

int config_read_cap(struct config *c, const struct setting *s, const char *value, struct error *err)
{
	int percent = 0;
	int64_t bytes = 0;

	if (!strcmp(value, s->word))
		bytes = 0;
	else if (strchr(value, '%') ? read_percent(value, &percent, err) < 0 : config_bytes(value, &bytes, err) < 0)
		return -1;
	else if (!percent && bytes < 1)
		return fail(err, E_USAGE, "%s bytes would hold nothing: write a size such as 16G, a share such as 80%%, or none", value);
	c->settings.cap = bytes;
	c->settings.cap_percent = percent;
	return 0;
}

char *config_write_cap(const struct config *c, const struct setting *s)
{
	static const char units[] = "KMGT";
	int64_t bytes = c->settings.cap;
	int unit = -1;

	if (!bytes)
		return c->settings.cap_percent ? xasprintf("%d%%", c->settings.cap_percent) : xstrdup(s->word);
	while (unit < 3 && bytes % 1024 == 0) {
		bytes /= 1024;
		unit++;
	}
	return unit < 0 ? xasprintf("%lld", (long long)bytes) : xasprintf("%lld%c", (long long)bytes, units[unit]);
}

/* ---------------------------------------------------------------- words */

static int set_text(char **slot, const char *value)
{
	char *copy = xstrdup(value); /* value may be what the slot holds */

	free(*slot);
	*slot = copy;
	return 0;
}

int config_read_text(struct config *c, const struct setting *s, const char *value, struct error *err)
{
	return set_text(SLOT(char *, c, s), value);
}

char *config_write_text(const struct config *c, const struct setting *s)
{
	const char *text = VALUE(char *, c, s);

	return xstrdup(text ? text : s->word);
}

int config_read_dir(struct config *c, const struct setting *s, const char *value, struct error *err)
{
	if (!*value)
		return fail(err, E_USAGE, "needs a model directory, or \"none\"");
	return config_read_text(c, s, value, err);
}

int config_read_hypothesis(struct config *c, const struct setting *s, const char *value, struct error *err)
{
	return hypothesis_check(value, err) < 0 ? -1 : config_read_text(c, s, value, err);
}

int config_read_colour(struct config *c, const struct setting *s, const char *value, struct error *err)
{
	static const char *const known[] = {"auto", "direct", "256", "16", "8", "mono"};

	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (!strcmp(value, known[i]))
			return config_read_text(c, s, value, err);
	return fail(err, E_USAGE, "\"%s\" is not one of auto, direct, 256, 16, 8, mono", value);
}

int config_read_profile(struct config *c, const struct setting *s, const char *value, struct error *err)
{
	return profile_check_name(value, err) < 0 ? -1 : config_read_text(c, s, value, err);
}

int config_read_device(struct config *c, const struct setting *s, const char *value, struct error *err)
{
	return device_parse(value, SLOT(int, c, s), err);
}

char *config_write_device(const struct config *c, const struct setting *s)
{
	char name[16];

	return xstrdup(device_name(VALUE(int, c, s), name));
}

int config_read_precision(struct config *c, const struct setting *s, const char *value, struct error *err)
{
	if (precision_parse(value, SLOT(enum precision, c, s)) < 0)
		return fail(err, E_USAGE, "\"%s\" is not one of auto, fp32, bf16, fp16, autocast", value);
	return 0;
}

char *config_write_precision(const struct config *c, const struct setting *s)
{
	return xstrdup(precision_name(VALUE(enum precision, c, s)));
}

/* ---------------------------------------------------------------- the odd ones */

int config_read_seed(struct config *c, const struct setting *s, const char *value, struct error *err)
{
	unsigned long long n;
	struct timespec now;
	char *end;

	if (!strcmp(value, "clock")) {
		clock_gettime(CLOCK_REALTIME, &now);
		/* Few digits, so that a person can write it down and give it back. */
		c->settings.seed = ((uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000) % 1000000000;
		c->seed_from_clock = true;
		return 0;
	}
	errno = 0;
	n = strtoull(value, &end, 10);
	if (!isdigit((unsigned char)*value) || *end || errno)
		return fail(err, E_USAGE, "\"%s\" is not a seed: a whole number from 0 to %llu, or clock", value, (unsigned long long)UINT64_MAX);
	c->settings.seed = n;
	c->seed_from_clock = false;
	return 0;
}

char *config_write_seed(const struct config *c, const struct setting *s)
{
	return c->seed_from_clock ? xstrdup("clock") : xasprintf("%llu", (unsigned long long)c->settings.seed);
}

int config_read_cell(struct config *c, const struct setting *s, const char *value, struct error *err)
{
	int width, height, used = 0;

	if (!strcmp(value, s->word)) {
		c->cell_aspect = 0;
		return 0;
	}
	if (sscanf(value, "%4dx%4d%n", &width, &height, &used) != 2 || value[used] || width < 1 || height < 1)
		return fail(err, E_USAGE, "\"%s\" is not a cell size: write WIDTHxHEIGHT in pixels, such as 10x20, or auto", value);
	c->cell_aspect = (double)width / height;
	return 0;
}

char *config_write_cell(const struct config *c, const struct setting *s)
{
	/* Only the ratio is kept, and only it matters. */
	return c->cell_aspect > 0 ? xasprintf("%.0fx1000", 1000 * c->cell_aspect) : xstrdup(s->word);
}

/* ---------------------------------------------------------------- one for all models */

/* A row for all models has no place of its own; config_set_from hands the value to the models' rows. This only judges it. */
int config_read_general(struct config *c, const struct setting *s, const char *value, struct error *err)
{
	const struct setting *first = &config_table[config_special((int)(s - config_table), 0)];
	struct config scratch = {0};

	return first->read(&scratch, first, value, err);
}

char *config_write_general(const struct config *c, const struct setting *s)
{
	char *all = NULL;

	for (int kind = 0; kind < MODEL_KINDS; kind++) {
		const struct setting *special = &config_table[config_special((int)(s - config_table), kind)];
		char *one = special->write(c, special);
		bool same = !all || !strcmp(all, one);

		free(same ? all : one);
		if (!same) {
			free(all);
			return xstrdup("mixed");
		}
		all = one;
	}
	return all;
}
