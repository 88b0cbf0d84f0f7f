/* golden_synth.c - weights out of nothing: the rule that fixtures state for a tensor, and a model directory filled by it. See golden.h. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"
#include "models/checkpoint_config.h"
#include "models/json.h"
#include "tests/golden/golden.h"

#define MOST_ELEMENTS ((int64_t)1 << 31)

/* ---- the rule ---- */

uint64_t synth_hash_bytes(const void *data, size_t size)
{
	const unsigned char *byte = data;
	uint64_t hash = 0xCBF29CE484222325u;

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ byte[i]) * 0x100000001B3u;
	return hash;
}

uint64_t synth_hash(const char *name)
{
	return synth_hash_bytes(name, strlen(name));
}

void synth_fill(float *out, int64_t count, const char *name, uint64_t seed, float scale, float offset)
{
	uint64_t h = synth_hash(name) ^ seed;

	for (int64_t i = 0; i < count; i++) {
		uint64_t z = h + (uint64_t)(i + 1) * 0x9E3779B97F4A7C15u;
		float u;

		z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
		z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
		u = (float)((z ^ (z >> 31)) >> 40) * 0x1p-24f;
		/* a statement of its own: fused with the sum it would be rounded once instead of twice */
		u = (2 * u - 1) * scale;
		out[i] = u + offset;
	}
}

/* ---- specs ---- */

static int read_seed(const json_t *node, uint64_t *out, struct error *err)
{
	const json_t *seed = json_find(node, "seed");
	const char *text = json_string_value(seed);
	char *end;

	if (json_is_integer(seed) && json_integer_value(seed) >= 0) {
		*out = (uint64_t)json_integer_value(seed);
		return 0;
	}
	errno = 0;
	*out = text ? strtoull(text, &end, 10) : 0;
	if (!text || !*text || *end || errno)
		return fail(err, E_FORMAT, "\"seed\" is missing or not a whole number from 0 to 2^64-1");
	return 0;
}

int golden_shape(const json_t *node, int64_t shape[TT_MAX_DIMS], int *ndim, int64_t *count, struct error *err)
{
	const json_t *list = json_find(node, "shape");

	if (!json_is_array(list) || json_array_size(list) > TT_MAX_DIMS)
		return fail(err, E_FORMAT, "\"shape\" is missing, not a list, or has more than %d sizes", TT_MAX_DIMS);
	*ndim = (int)json_array_size(list);
	*count = 1;
	for (int i = 0; i < *ndim; i++) {
		const json_t *size = json_array_get(list, (size_t)i);

		shape[i] = json_integer_value(size);
		if (!json_is_integer(size) || shape[i] < 1 || shape[i] > MOST_ELEMENTS / *count)
			return fail(err, E_FORMAT, "\"shape\" holds something that is not a size, or makes more than 2^31 elements");
		*count *= shape[i];
	}
	return 0;
}

struct spec {
	const char *name;
	enum checkpoint_dtype dtype;
	float scale, offset;
	int64_t shape[TT_MAX_DIMS];
	int ndim;
	int64_t count;
};

static int spec_dtype(const json_t *node, enum checkpoint_dtype *out)
{
	static const struct {
		const char *name;
		enum checkpoint_dtype dtype;
	} known[] = {{"float32", CKPT_F32}, {"float16", CKPT_F16}, {"bfloat16", CKPT_BF16}};
	const json_t *value = json_find(node, "dtype");
	const char *name = value ? json_string_value(value) : "float32";

	for (size_t i = 0; name && i < sizeof known / sizeof known[0]; i++) {
		if (strcmp(name, known[i].name) == 0) {
			*out = known[i].dtype;
			return 0;
		}
	}
	return -1;
}

static int spec_read(const json_t *node, struct spec *out, struct error *err)
{
	const json_t *scale = json_find(node, "scale"), *offset = json_find(node, "offset");

	out->name = json_string_value(json_find(node, "name"));
	if (!out->name)
		return fail(err, E_FORMAT, "a tensor has no \"name\"");
	if (!json_is_number(scale) || !json_is_number(offset))
		return fail(err, E_FORMAT, "tensor %s: \"scale\" or \"offset\" is missing or not a number", out->name);
	if (spec_dtype(node, &out->dtype) < 0)
		return fail(err, E_FORMAT, "tensor %s: \"dtype\" is not float32, float16 or bfloat16", out->name);
	if (golden_shape(node, out->shape, &out->ndim, &out->count, err) < 0)
		return fail_prefix(err, "tensor %s", out->name);
	out->scale = (float)json_number_value(scale);
	out->offset = (float)json_number_value(offset);
	return 0;
}

static float *spec_fill(const struct spec *spec, uint64_t seed)
{
	float *values = xmalloc((size_t)spec->count * sizeof *values);

	synth_fill(values, spec->count, spec->name, seed, spec->scale, spec->offset);
	return values;
}

tt_tensor *golden_input(const struct golden *g, tt_pool *p, const json_t *node, struct error *err)
{
	struct spec spec;
	uint64_t seed;
	tt_tensor *x;
	float *values;

	if (read_seed(g->root, &seed, err) < 0 || spec_read(node, &spec, err) < 0)
		return NULL;
	values = spec_fill(&spec, seed);
	x = tt_from_f32(p, values, spec.shape, spec.ndim);
	free(values);
	return x ? x : fail_null(err, E_MODEL, "%s: %s", spec.name, tt_message(p));
}

/* ---- half precision, as a file holds it ---- */

/* IEEE half, to nearest, ties to even */
static uint16_t half_of(float value)
{
	uint32_t bits, magnitude;
	uint16_t sign;

	memcpy(&bits, &value, sizeof bits);
	sign = (uint16_t)(bits >> 16 & 0x8000);
	magnitude = bits & 0x7fffffff;
	if (magnitude >= 0x47800000) /* 65536 and above */
		return (uint16_t)(sign | 0x7c00 | (magnitude > 0x7f800000 ? 0x200 : 0));
	if (magnitude < 0x38800000) /* below 2^-14, where the spacing stays 2^-24 */
		return (uint16_t)(sign | (uint16_t)lrintf(fabsf(value) * 0x1p24f));
	magnitude += 0xfff + (magnitude >> 13 & 1);
	return (uint16_t)(sign | (uint16_t)((magnitude - 0x38000000) >> 13));
}

/* bfloat16, to nearest, ties to even; finite values only */
static uint16_t bfloat_of(float value)
{
	uint32_t bits;

	memcpy(&bits, &value, sizeof bits);
	return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* Takes values over; returns them in dtype. */
static void *narrow(float *values, int64_t count, enum checkpoint_dtype dtype)
{
	uint16_t *out;

	if (dtype == CKPT_F32)
		return values;
	out = xmalloc((size_t)count * sizeof *out);
	for (int64_t i = 0; i < count; i++)
		out[i] = dtype == CKPT_F16 ? half_of(values[i]) : bfloat_of(values[i]);
	free(values);
	return out;
}

/* ---- the model directory ---- */

/* The one that stands now; a signal handler reads it, so it is filled before `standing` is set. */
static struct {
	char dir[512], config[560], weights[560], unfinished[600]; /* the last: while checkpoint_write is at work */
	volatile sig_atomic_t standing;
} place;

void golden_weights_remove(void)
{
	if (!place.standing)
		return;
	unlink(place.config);
	unlink(place.weights);
	unlink(place.unfinished);
	rmdir(place.dir);
	place.standing = 0;
}

static int directory_passing(struct error *err)
{
	const char *base = getenv("TMPDIR");

	if (snprintf(place.dir, sizeof place.dir, "%s/vramble-golden-XXXXXX", base && *base ? base : "/tmp") >= (int)sizeof place.dir)
		return fail(err, E_USAGE, "TMPDIR is too long");
	return mkdtemp(place.dir) ? 0 : fail(err, E_IO, "%s: %s", place.dir, strerror(errno));
}

/* Below g->folders, called after the fixture's last two path parts. */
static int directory_kept(const struct golden *g, bool own_dtypes, struct error *err)
{
	const char *parent = strrchr(g->folder, '/'), *file = strrchr(g->path, '/');
	int length;

	parent = parent ? parent + 1 : g->folder;
	file = file ? file + 1 : g->path;
	length = snprintf(place.dir, sizeof place.dir, "%s/%s-%.*s%s%s%s", g->folders, parent, (int)strcspn(file, "."), file,
			  own_dtypes ? "" : "-fp32", g->layout ? "-" : "", g->layout ? g->layout : "");
	if (length >= (int)sizeof place.dir)
		return fail(err, E_USAGE, "%s: too long", g->folders);
	if (!g->layout && mkdir(place.dir, 0777) < 0)
		return fail(err, E_IO, "%s: %s", place.dir, strerror(errno));
	return 0;
}

static int directory_make(const struct golden *g, bool own_dtypes, struct error *err)
{
	if ((g->folders ? directory_kept(g, own_dtypes, err) : directory_passing(err)) < 0)
		return -1;
	snprintf(place.config, sizeof place.config, "%s/config.json", place.dir);
	snprintf(place.weights, sizeof place.weights, "%s/model.safetensors", place.dir);
	snprintf(place.unfinished, sizeof place.unfinished, "%s.new-%ld", place.weights, (long)getpid());
	place.standing = !g->folders;
	return 0;
}

static int make_tensors(const struct golden *g, bool own_dtypes, struct checkpoint_tensor *out, int *n, struct error *err)
{
	const json_t *list = json_object_get(g->root, "tensors"), *node;
	int64_t total = 0;
	uint64_t seed;
	size_t i;

	if (read_seed(g->root, &seed, err) < 0)
		return -1;
	json_array_foreach(list, i, node) {
		struct checkpoint_tensor *t = &out[*n];
		struct spec spec;

		if (spec_read(node, &spec, err) < 0)
			return -1;
		total += spec.count;
		if (total > 2 * MOST_ELEMENTS)
			return fail(err, E_LIMIT, "the tensors make more than 2^32 elements");
		*t = (struct checkpoint_tensor){
			.name = spec.name, .dtype = own_dtypes ? spec.dtype : CKPT_F32, .ndim = spec.ndim, .count = spec.count};
		memcpy(t->shape, spec.shape, sizeof t->shape);
		t->bytes = spec.count * (t->dtype == CKPT_F32 ? 4 : 2);
		t->data = narrow(spec_fill(&spec, seed), spec.count, t->dtype);
		(*n)++;
	}
	return 0;
}

/* Tied tensors stand in a published file under each of their names. */
static int add_aliases(const json_t *root, struct checkpoint_tensor *out, int made, int *n, struct error *err)
{
	const json_t *aliases = json_object_get(root, "aliases"), *value;
	const char *name;

	json_object_foreach((json_t *)aliases, name, value) {
		const char *of = json_string_value(value);
		int i = 0;

		while (i < made && (!of || strcmp(out[i].name, of) != 0))
			i++;
		if (i == made)
			return fail(err, E_FORMAT, "alias %s: \"%s\" is not one of the tensors", name, of ? of : "(not a text)");
		out[*n] = out[i];
		out[(*n)++].name = name;
	}
	return 0;
}

static int directory_fill(const struct golden *g, bool own_dtypes, struct error *err)
{
	const json_t *list = golden_array(g, "tensors", err);
	struct checkpoint_tensor *tensors;
	int made = 0, n, rc;

	if (!list)
		return -1;
	tensors = xcalloc(json_array_size(list) + json_object_size(json_object_get(g->root, "aliases")), sizeof *tensors);
	rc = make_tensors(g, own_dtypes, tensors, &made, err);
	n = made;
	if (rc == 0)
		rc = add_aliases(g->root, tensors, made, &n, err);
	if (rc == 0)
		rc = checkpoint_write(place.weights, tensors, n, err);
	for (int i = 0; i < made; i++)
		free((void *)tensors[i].data);
	free(tensors);
	if (rc == 0 && json_dump_file(json_object_get(g->root, "config"), place.config, 0) < 0)
		rc = fail(err, E_IO, "%s: cannot be written", place.config);
	return rc;
}

static enum tt_dtype compute_of(enum precision precision)
{
	return precision == PRECISION_BF16 ? TT_BF16 : precision == PRECISION_FP16 ? TT_F16 : TT_F32;
}

/* As the program reads it: where the layout has no config.json of Hugging Face's, one is made of the weights. */
static json_t *read_config(const struct golden *g, struct error *err)
{
	const char *layout = json_string_value(json_object_get(g->root, "layout"));
	json_t *config, *made;

	if (g->layout && access(place.config, F_OK) < 0)
		return checkpoint_config(place.dir, NULL, err);
	config = json_read(place.config, JSON_LIMIT, err);
	if (!config || !layout || strcmp(layout, "openai") != 0)
		return config;
	made = checkpoint_config(place.dir, config, err);
	json_decref(config);
	return made;
}

int golden_weights_open(const struct golden *g, bool own_dtypes, struct golden_weights *out, struct error *err)
{
	*out = (struct golden_weights){0};
	if (!json_is_object(json_object_get(g->root, "config")))
		return fail(err, E_FORMAT, "\"config\" is missing or not an object");
	if (directory_make(g, own_dtypes, err) < 0)
		return -1;
	if ((g->layout || directory_fill(g, own_dtypes, err) == 0) && (out->config = read_config(g, err)))
		out->file = checkpoint_open(place.dir, err);
	golden_weights_remove(); /* what is mapped stays readable */
	if (!out->file)
		return -1;
	out->pool = tt_pool_create(TT_INFER);
	out->work = tt_pool_create(TT_INFER);
	if (g->precision == PRECISION_AUTOCAST) {
		tt_set_autocast(out->pool, g->device == TT_CPU ? TT_BF16 : TT_F16);
		tt_set_autocast(out->work, g->device == TT_CPU ? TT_BF16 : TT_F16);
	}
	out->source = (struct nn_source){.pool = out->pool, .compute = compute_of(g->precision), .device = g->device, .file = out->file};
	return 0;
}

void golden_weights_close(struct golden_weights *w)
{
	nn_source_free(&w->source);
	tt_pool_destroy(w->work);
	tt_pool_destroy(w->pool); /* before the file that it borrows from */
	checkpoint_close(w->file);
	json_decref(w->config);
	*w = (struct golden_weights){0};
}

/* ---- the known answers of the rule itself ---- */

static bool claims(const json_t *root)
{
	return json_is_array(root) && json_is_string(json_object_get(json_array_get(root, 0), "fnv1a64"));
}

static int run_answer(struct golden *g, const json_t *node, struct error *err)
{
	const json_t *expected = json_object_get(node, "values"), *value;
	const char *name = golden_name(node), *hash = json_string_value(json_object_get(node, "fnv1a64"));
	struct golden_case c = golden_begin(g, name);
	float got[16];
	uint64_t seed;
	size_t i;

	if (!hash || read_seed(node, &seed, err) < 0 || json_array_size(expected) < 1 || json_array_size(expected) > 16)
		return fail(err, E_FORMAT, "%s: \"seed\", \"fnv1a64\" or \"values\" is missing or malformed", name);
	if (strtoull(hash, NULL, 16) != synth_hash(name))
		golden_miss(&c, "hash is 0x%016" PRIx64 ", expected %s", synth_hash(name), hash);
	synth_fill(got, (int64_t)json_array_size(expected), name, seed, 1, 0);
	json_array_foreach(expected, i, value)
		if (got[i] != (float)json_number_value(value))
			golden_miss(&c, "value %zu is %.9g, expected exactly %.9g", i, got[i], json_number_value(value));
	golden_compare(&c, GOLDEN_VALUES, expected, "values", got, json_array_size(expected));
	golden_end(&c);
	return 0;
}

static int run(struct golden *g, struct error *err)
{
	const json_t *node;
	size_t i;

	json_array_foreach(g->root, i, node)
		if (run_answer(g, node, err) < 0)
			return -1;
	return 0;
}

const struct golden_kind golden_synth = {"rule for tensors", claims, run};
