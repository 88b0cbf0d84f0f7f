/* golden_case.c - one case: arrays against expected arrays, and the printed line. See golden.h. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "models/json.h"
#include "tests/golden/golden.h"

#define TOLERANCE 1e-4
#define COSINE    0.999

/* ---- the line ---- */

struct golden_case golden_begin(struct golden *g, const char *name)
{
	struct golden_case c = {.g = g, .cosine = INFINITY};

	snprintf(c.name, sizeof c.name, "%s", name);
	return c;
}

/* The fixture's last two path parts: enough to know it by. */
static const char *short_path(const char *path)
{
	const char *slash = strrchr(path, '/');

	while (slash && slash > path && slash[-1] != '/')
		slash--;
	return slash ? slash : path;
}

void golden_end(struct golden_case *c)
{
	const char *layout = c->g->layout;
	char *label = xasprintf("%s %s%s%s", short_path(c->g->path), c->name, layout ? " as " : "", layout ? layout : "");

	if (c->compared == 0)
		golden_miss(c, "nothing was compared");
	printf("%-44s dev %.1e", label, c->worst);
	if (*c->worst_of)
		printf(" (%s)", c->worst_of);
	if (isfinite(c->cosine))
		printf(" cos %.6f", c->cosine);
	printf("  %s", c->failed ? "FAIL" : "pass");
	if (c->failed)
		printf(": %s", c->why);
	if (*c->note)
		printf("  [%s]", c->note);
	putchar('\n');
	fflush(stdout);
	if (c->failed)
		c->g->failed++;
	else
		c->g->passed++;
	free(label);
}

void golden_skip(struct golden *g, const char *name, const char *why)
{
	char *label = xasprintf("%s %s", short_path(g->path), name);

	printf("%-44s skipped: %s\n", label, why);
	g->skipped++;
	free(label);
}

void golden_miss(struct golden_case *c, const char *fmt, ...)
{
	va_list ap;

	if (c->failed)
		return;
	va_start(ap, fmt);
	vsnprintf(c->why, sizeof c->why, fmt, ap);
	va_end(ap);
	c->failed = true;
}

void golden_note(struct golden_case *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(c->note, sizeof c->note, fmt, ap);
	va_end(ap);
}

/* ---- arrays ---- */

/* Expected values and where they stand in the whole: value i is element i * stride. */
struct expected {
	double *values;
	size_t n, room;
	size_t stride, count; /* count: elements of the whole */
	size_t rows;          /* of the outermost list; 1 for a flat or sampled array */
	bool fine;
};

static void flatten(const json_t *node, struct expected *e)
{
	const json_t *part;
	size_t i;

	if (json_is_array(node)) {
		json_array_foreach(node, i, part)
			flatten(part, e);
		return;
	}
	if (!json_is_number(node)) {
		e->fine = false;
		return;
	}
	if (e->n == e->room) {
		e->room = e->room ? 2 * e->room : 256;
		e->values = xrealloc(e->values, e->room, sizeof *e->values);
	}
	e->values[e->n++] = json_number_value(node);
}

static struct expected expected_read(const json_t *node)
{
	struct expected e = {.stride = 1, .rows = 1, .fine = true};
	const json_t *stride = json_object_get(node, "stride");
	int64_t shape[TT_MAX_DIMS], count;
	int ndim;

	if (!json_is_object(node)) {
		flatten(node, &e);
		e.count = e.n;
		if (json_is_array(json_array_get(node, 0)))
			e.rows = json_array_size(node);
		return e;
	}
	flatten(json_object_get(node, "values"), &e);
	e.fine = e.fine && golden_shape(node, shape, &ndim, &count, NULL) == 0 && (!stride || json_integer_value(stride) > 0);
	if (!e.fine)
		return e;
	e.count = (size_t)count;
	e.stride = stride ? (size_t)json_integer_value(stride) : 1;
	e.fine = e.n == (e.count + e.stride - 1) / e.stride;
	return e;
}

/* The whole's mean and mean magnitude, which sampled arrays carry, catch what the samples step over. */
static double judge_mean(const json_t *node, const char *key, const float *got, size_t count, double largest)
{
	const json_t *expected = json_object_get(node, key);
	bool magnitude = strcmp(key, "mean_abs") == 0;
	double sum = 0;

	if (!json_is_number(expected))
		return 0;
	for (size_t i = 0; i < count; i++)
		sum += magnitude ? fabs((double)got[i]) : got[i];
	return fabs(sum / (double)count - json_number_value(expected)) / largest;
}

static void judge_values(struct golden_case *c, const json_t *node, const char *what, const struct expected *e, const float *got)
{
	double largest = 0, worst = 0, means;
	size_t at = 0;

	for (size_t i = 0; i < e->n; i++)
		largest = fmax(largest, fabs(e->values[i]));
	if (largest == 0)
		largest = 1;
	for (size_t i = 0; i < e->n; i++) {
		double off = fabs(got[i * e->stride] - e->values[i]) / largest;

		if (off > worst) {
			worst = off;
			at = i;
		}
	}
	means = fmax(judge_mean(node, "mean", got, e->count, largest), judge_mean(node, "mean_abs", got, e->count, largest));
	if (fmax(worst, means) > c->worst) {
		c->worst = fmax(worst, means);
		snprintf(c->worst_of, sizeof c->worst_of, "%s", what);
	}
	if (c->g->precision != PRECISION_FP32)
		return;
	if (worst > TOLERANCE)
		golden_miss(c, "%s: element %zu is %.7g, expected %.7g", what, at * e->stride, got[at * e->stride], e->values[at]);
	if (means > TOLERANCE)
		golden_miss(c, "%s: mean or mean magnitude is off by %.1e of the largest value", what, means);
}

/* Row by row where rows are long enough to have a direction, else over the whole. */
static void judge_cosine(struct golden_case *c, const char *what, const struct expected *e, const float *got)
{
	size_t rows = e->n / e->rows >= 8 ? e->rows : 1, width = e->n / rows;

	for (size_t r = 0; r < rows; r++) {
		double ab = 0, aa = 0, bb = 0, cosine;

		for (size_t i = r * width; i < (r + 1) * width; i++) {
			double a = got[i * e->stride], b = e->values[i];

			ab += a * b;
			aa += a * a;
			bb += b * b;
		}
		cosine = aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : aa == bb;
		c->cosine = fmin(c->cosine, cosine);
		if (!(cosine >= COSINE))
			golden_miss(c, "%s: row %zu has cosine %.6f to the expected, at least %.3f is wanted", what, r, cosine, COSINE);
	}
}

void golden_compare(struct golden_case *c, enum golden_judge judge, const json_t *expected, const char *what, const float *got, size_t count)
{
	struct expected e;

	if (!expected || json_is_null(expected))
		return;
	e = expected_read(expected);
	c->compared++;
	if (!e.fine || e.n == 0)
		golden_miss(c, "%s: the fixture's expected array is malformed", what);
	else if (e.count != count)
		golden_miss(c, "%s: %zu values, expected %zu", what, count, e.count);
	for (size_t i = 0; i < count && !c->failed; i++)
		if (!isfinite(got[i]))
			golden_miss(c, "%s: element %zu is not finite", what, i);
	if (e.fine && e.n > 0 && e.count == count) {
		judge_values(c, expected, what, &e, got);
		if (judge == GOLDEN_FEATURES && c->g->precision != PRECISION_FP32)
			judge_cosine(c, what, &e, got);
	}
	free(e.values);
}

void golden_compare_tensor(struct golden_case *c, enum golden_judge judge, const json_t *expected, const char *what, tt_pool *p, tt_tensor *x)
{
	size_t count = (size_t)tt_count(x);
	float *got;

	if (!expected || json_is_null(expected))
		return;
	got = xmalloc((count + 1) * sizeof *got);
	if (tt_to_f32(p, x, got, count) < 0) {
		c->compared++;
		golden_miss(c, "%s: %s", what, tt_message(p));
	} else {
		golden_compare(c, judge, expected, what, got, count);
	}
	free(got);
}

void golden_compare_ids(struct golden_case *c, const json_t *expected, const char *what, const int64_t *got, size_t count)
{
	struct expected e;

	if (!expected || json_is_null(expected))
		return;
	e = expected_read(expected);
	c->compared++;
	if (!e.fine)
		golden_miss(c, "%s: the fixture's expected ids are malformed", what);
	for (size_t i = 0; i < e.n && i < count; i++)
		if ((double)got[i] != e.values[i])
			golden_miss(c, "%s: id %zu is %lld, expected %.0f", what, i, (long long)got[i], e.values[i]);
	if (e.n != count)
		golden_miss(c, "%s: %zu ids, expected %zu", what, count, e.n);
	free(e.values);
}

/* ---- reading ---- */

const char *golden_name(const json_t *node)
{
	const char *name = json_string_value(json_object_get(node, "name"));

	return name ? name : "?";
}

const json_t *golden_array(const struct golden *g, const char *key, struct error *err)
{
	const json_t *list = json_object_get(g->root, key);

	if (!json_is_array(list) || json_array_size(list) == 0)
		return fail_null(err, E_FORMAT, "\"%s\" is missing, empty or not a list", key);
	return list;
}

void golden_compare_norms(struct golden_case *c, const json_t *expected, const char *what, tt_pool *p, tt_tensor *vectors)
{
	int64_t rows = tt_size(vectors, 0), width = tt_size(vectors, 1);
	float *values = xcalloc((size_t)(rows * width) + 1, sizeof *values), *norms = xcalloc((size_t)rows + 1, sizeof *norms);

	if (tt_to_f32(p, vectors, values, (size_t)(rows * width)) < 0)
		golden_miss(c, "%s: %s", what, tt_message(p));
	for (int64_t r = 0; r < rows; r++) {
		double sum = 0;

		for (int64_t i = 0; i < width; i++)
			sum += (double)values[r * width + i] * values[r * width + i];
		norms[r] = (float)sqrt(sum);
	}
	golden_compare(c, GOLDEN_VALUES, expected, what, norms, (size_t)rows);
	free(values);
	free(norms);
}

const char *golden_architecture(const json_t *root)
{
	const char *name = json_string_value(json_object_get(root, "architecture"));

	return name ? name : "";
}

bool golden_is_network(const json_t *root, const char *architecture)
{
	return json_object_get(root, "tensors") && strcmp(golden_architecture(root), architecture) == 0;
}

static int ids_row(const json_t *row, const char *what, int64_t below, int64_t columns, int64_t *out, struct error *err)
{
	const json_t *id;
	size_t i;

	if (!json_is_array(row) || (int64_t)json_array_size(row) != columns)
		return fail(err, E_FORMAT, "\"%s\": the rows are not lists of one length", what);
	json_array_foreach(row, i, id) {
		if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) >= below)
			return fail(err, E_FORMAT, "\"%s\": a value is not a whole number from 0 to %lld", what, (long long)below - 1);
		out[i] = json_integer_value(id);
	}
	return 0;
}

int golden_ids_read(const json_t *node, const char *what, int64_t below, struct golden_ids *out, struct error *err)
{
	*out = (struct golden_ids){0};
	if (!node || json_is_null(node))
		return 0;
	if (!json_is_array(node) || json_array_size(json_array_get(node, 0)) == 0)
		return fail(err, E_FORMAT, "\"%s\" is not a list of rows of ids", what);
	out->rows = (int64_t)json_array_size(node);
	out->columns = (int64_t)json_array_size(json_array_get(node, 0));
	out->values = xcalloc((size_t)out->rows * (size_t)out->columns, sizeof *out->values);
	for (int64_t r = 0; r < out->rows; r++) {
		if (ids_row(json_array_get(node, (size_t)r), what, below, out->columns, out->values + r * out->columns, err) < 0) {
			golden_ids_free(out);
			return -1;
		}
	}
	return 0;
}

void golden_ids_free(struct golden_ids *ids)
{
	free(ids->values);
	*ids = (struct golden_ids){0};
}

tt_tensor *golden_ids_tensor(tt_pool *p, const struct golden_ids *ids)
{
	return ids->values ? tt_from_i64(p, ids->values, TT_SHAPE(ids->rows, ids->columns)) : NULL;
}
