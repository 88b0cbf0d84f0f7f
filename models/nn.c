/* nn.c - see nn.h. */
#include "models/nn.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/tally.h"

enum { PROBLEMS_SHOWN = 12 };

/* ---- where weights come from */

static void shape_print(struct buffer *b, const int64_t *shape, int ndim)
{
	buffer_puts(b, "[");
	for (int i = 0; i < ndim; i++)
		buffer_printf(b, "%s%" PRId64, i > 0 ? "," : "", shape[i]);
	buffer_puts(b, "]");
}

/* Counts a problem; true when it is among those to be spelled out. */
static bool problem(struct nn_source *s, const char *name)
{
	if (s->n_problems++ >= PROBLEMS_SHOWN)
		return false;
	buffer_printf(&s->problems, "%s%s: ", s->problems.length > 0 ? "; " : "", name);
	return true;
}

static int float_dtype(enum checkpoint_dtype dtype)
{
	switch (dtype) {
	case CKPT_F32:
		return TT_F32;
	case CKPT_F16:
		return TT_F16;
	case CKPT_BF16:
		return TT_BF16;
	case CKPT_F64:
		return TT_F64;
	default:
		return -1;
	}
}

static bool shape_equal(const struct checkpoint_tensor *t, const int64_t *shape, int ndim)
{
	return t->ndim == ndim && (ndim == 0 || memcmp(t->shape, shape, (size_t)ndim * sizeof *shape) == 0);
}

/* The file's tensor, or NULL with the reason noted. */
static const struct checkpoint_tensor *wanted(struct nn_source *s, const char *name, const int64_t *shape, int ndim)
{
	const struct checkpoint_tensor *t = checkpoint_find(s->file, name);

	if (!t) {
		if (problem(s, name))
			buffer_puts(&s->problems, "missing");
		return NULL;
	}
	if (!shape_equal(t, shape, ndim)) {
		if (problem(s, name)) {
			shape_print(&s->problems, t->shape, t->ndim);
			buffer_puts(&s->problems, " instead of ");
			shape_print(&s->problems, shape, ndim);
		}
		return NULL;
	}
	if (float_dtype(t->dtype) < 0) {
		if (problem(s, name))
			buffer_printf(&s->problems, "dtype %s instead of a floating one", checkpoint_dtype_name(t->dtype));
		return NULL;
	}
	return t;
}

/* The values of one that will do; NULL with the reason noted when the file is damaged there. */
static const void *values_of(struct nn_source *s, const struct checkpoint_tensor *t)
{
	struct error err;
	const void *data = checkpoint_data(s->file, t, &err);

	if (!data && problem(s, t->name))
		buffer_puts(&s->problems, err.text);
	return data;
}

/* Used in place where nothing changes; converted or copied to the device once otherwise. */
static tt_tensor *read_tensor(struct nn_source *s, enum tt_dtype dtype, const int64_t *shape, int ndim, const char *name)
{
	const struct checkpoint_tensor *t = wanted(s, name, shape, ndim);
	tt_mark before = tt_here(s->pool);
	const void *data = t ? values_of(s, t) : NULL;
	tt_tensor *mapped, *x;

	if (!data)
		return NULL;
	mapped = tt_borrow(s->pool, data, (enum tt_dtype)float_dtype(t->dtype), shape, ndim);
	x = tt_to(s->pool, mapped, dtype, s->device);
	tt_keep(s->pool, before, &x, 1);
	if (x != mapped)
		checkpoint_forget(s->file, t);
	s->done += t->bytes;
	if (s->progress)
		s->progress(s->ctx, s->done, checkpoint_bytes(s->file));
	return x;
}

static tt_tensor *initial(struct nn_source *s, enum nn_init init, const int64_t *shape, int ndim)
{
	switch (init) {
	case NN_NORMAL:
		return tt_randn(s->pool, s->std, shape, ndim);
	case NN_FAN_OUT:
		return tt_randn(s->pool, sqrt(2.0 / (double)(shape[0] * shape[2] * shape[3])), shape, ndim);
	case NN_TEMPERATURE:
		return tt_full(s->pool, log(1 / 0.07), TT_F32, TT_CPU, shape, ndim);
	default:
		return tt_full(s->pool, init == NN_ONES, TT_F32, TT_CPU, shape, ndim);
	}
}

/* A copy of what training starts from, or NULL. */
static tt_tensor *earlier(struct nn_source *s, const int64_t *shape, int ndim, const char *name)
{
	const struct checkpoint_tensor *t = s->start ? checkpoint_find(s->start, name) : NULL;
	const void *data = t && shape_equal(t, shape, ndim) && float_dtype(t->dtype) >= 0 ? checkpoint_data(s->start, t, NULL) : NULL;

	if (!data)
		return NULL;
	return tt_add_scalar(s->pool, tt_cast(s->pool, tt_borrow(s->pool, data, (enum tt_dtype)float_dtype(t->dtype), shape, ndim), TT_F32), 0);
}

static tt_tensor *make_tensor(struct nn_source *s, enum nn_init init, const int64_t *shape, int ndim, const char *name, bool trained)
{
	tt_mark before = tt_here(s->pool);
	tt_tensor *begin = earlier(s, shape, ndim, name);
	tt_tensor *x = tt_to(s->pool, begin ? begin : initial(s, init, shape, ndim), TT_F32, s->device);

	if (trained)
		x = tt_parameter(s->pool, x);
	tt_keep(s->pool, before, &x, 1);
	s->made = xrealloc(s->made, (size_t)s->n_made + 1, sizeof *s->made);
	s->made[s->n_made++] = (struct nn_made){xstrdup(name), x, trained};
	return x;
}

void nn_count_made(const struct nn_source *s, enum tt_dtype dtype, int64_t count)
{
	s->count->held += tally_block(s->device, count * tally_size(dtype));
}

void nn_count_read(struct nn_source *s, const int64_t *shape, int ndim, const char *fmt, ...)
{
	va_list ap;
	char *name;

	va_start(ap, fmt);
	name = xvasprintf(fmt, ap);
	va_end(ap);
	wanted(s, name, shape, ndim);
	free(name);
}

bool nn_count_packed(const struct nn_source *s, int64_t out, int64_t in)
{
	int64_t bytes = tally_packed(s->device, s->count->packing, out, in);

	s->count->held += bytes;
	return bytes > 0;
}

/* As read_tensor, whose result stays in the file where nothing changes. t: the file's, or NULL. */
static void count_tensor(struct nn_source *s, enum tt_dtype dtype, int64_t count, const struct checkpoint_tensor *t)
{
	if (t && s->device == TT_CPU && float_dtype(t->dtype) == (int)dtype)
		s->count->mapped += t->bytes;
	else
		nn_count_made(s, dtype, count);
}

static tt_tensor *take(struct nn_source *s, enum nn_init init, enum tt_dtype dtype, const int64_t *shape, int ndim, char *name, bool trained)
{
	tt_tensor *x = NULL;
	int64_t count = 1;

	for (int i = 0; i < ndim; i++)
		count *= shape[i];
	s->values += count;
	if (s->count)
		count_tensor(s, dtype, count, wanted(s, name, shape, ndim));
	else
		x = s->file ? read_tensor(s, dtype, shape, ndim, name) : make_tensor(s, init, shape, ndim, name, trained);
	free(name);
	return x;
}

tt_tensor *nn_weight(struct nn_source *s, enum nn_init init, const int64_t *shape, int ndim, const char *fmt, ...)
{
	va_list ap;
	char *name;

	va_start(ap, fmt);
	name = xvasprintf(fmt, ap);
	va_end(ap);
	return take(s, init, s->compute, shape, ndim, name, true);
}

tt_tensor *nn_weight_f32(struct nn_source *s, enum nn_init init, const int64_t *shape, int ndim, const char *fmt, ...)
{
	va_list ap;
	char *name;

	va_start(ap, fmt);
	name = xvasprintf(fmt, ap);
	va_end(ap);
	return take(s, init, TT_F32, shape, ndim, name, true);
}

tt_tensor *nn_statistic(struct nn_source *s, enum nn_init init, const int64_t *shape, int ndim, const char *fmt, ...)
{
	va_list ap;
	char *name;

	va_start(ap, fmt);
	name = xvasprintf(fmt, ap);
	va_end(ap);
	return take(s, init, TT_F32, shape, ndim, name, false);
}

bool nn_has(const struct nn_source *s, const char *fmt, ...)
{
	va_list ap;
	char *name;
	bool yes;

	if (!s->file)
		return false;
	va_start(ap, fmt);
	name = xvasprintf(fmt, ap);
	va_end(ap);
	yes = checkpoint_find(s->file, name) != NULL;
	free(name);
	return yes;
}

int nn_finish(struct nn_source *s, const char *what, struct error *err)
{
	int rc = 0;

	if (s->n_problems > PROBLEMS_SHOWN)
		buffer_printf(&s->problems, "; and %d more", s->n_problems - PROBLEMS_SHOWN);
	if (s->n_problems > 0)
		rc = fail(err, E_MODEL, "%s: %d of the tensors that config.json asks for do not fit %s: %s", checkpoint_path(s->file), s->n_problems,
			  what, s->problems.text);
	else if (tt_status_of(s->pool) != TT_OK)
		rc = fail(err, (enum error_code)tt_error_code(s->pool), "%s: loading the weights: %s", what, tt_message(s->pool));
	buffer_free(&s->problems);
	s->problems = (struct buffer){0};
	s->n_problems = 0;
	return rc;
}

void nn_source_free(struct nn_source *s)
{
	for (int i = 0; i < s->n_made; i++)
		free(s->made[i].name);
	free(s->made);
	s->made = NULL;
	s->n_made = 0;
	buffer_free(&s->problems);
	s->problems = (struct buffer){0};
}

/* ---- layers */

struct nn_linear nn_linear_open(struct nn_source *s, const char *prefix, int64_t in, int64_t out, bool bias)
{
	struct nn_linear l = {.out = out};

	l.w = nn_weight(s, NN_NORMAL, TT_SHAPE(out, in), "%s.weight", prefix);
	if (bias)
		l.b = nn_weight(s, NN_ZEROS, TT_SHAPE(out), "%s.bias", prefix);
	return l;
}

struct nn_linear nn_linear_open_packed(struct nn_source *s, const char *prefix, int64_t in, int64_t out, bool bias)
{
	tt_mark m = tt_here(s->pool);
	struct nn_linear l;

	if (s->count && nn_count_packed(s, out, in)) {
		nn_count_read(s, TT_SHAPE(out, in), "%s.weight", prefix);
		if (bias)
			nn_weight(s, NN_ZEROS, TT_SHAPE(out), "%s.bias", prefix);
		return (struct nn_linear){.out = out};
	}
	l = nn_linear_open(s, prefix, in, out, bias);
	if (s->file && l.w) {
		nn_pack(s->pool, &l);
		l.w = NULL;
		tt_keep(s->pool, m, (tt_tensor *[]){l.packed, l.b}, 2);
	}
	return l;
}

struct nn_norm nn_norm_open(struct nn_source *s, const char *prefix, int64_t d, double eps)
{
	struct nn_norm n = {.eps = eps};

	n.w = nn_weight_f32(s, NN_ONES, TT_SHAPE(d), "%s.weight", prefix);
	n.b = nn_weight_f32(s, NN_ZEROS, TT_SHAPE(d), "%s.bias", prefix);
	return n;
}

void nn_pack(tt_pool *pool, struct nn_linear *l)
{
	l->packed = tt_pack_linear(pool, l->w);
}

tt_tensor *nn_linear(tt_pool *p, const struct nn_linear *l, tt_tensor *x)
{
	return l->packed ? tt_linear_packed(p, x, l->packed, l->b, l->out) : tt_linear(p, x, l->w, l->b);
}

tt_tensor *nn_linear_add_(tt_pool *p, const struct nn_linear *l, tt_tensor *x, tt_tensor *sum)
{
	return l->packed ? tt_add_(p, sum, nn_linear(p, l, x)) : tt_linear_add_(p, sum, x, l->w, l->b);
}

tt_tensor *nn_norm(tt_pool *p, const struct nn_norm *n, tt_tensor *x, enum tt_dtype out)
{
	return tt_layer_norm(p, x, n->w, n->b, n->eps, out);
}

tt_tensor *nn_heads(tt_pool *p, tt_tensor *x, int heads)
{
	int64_t d = tt_size(x, -1);

	return tt_transpose(p, tt_reshape(p, x, TT_SHAPE(tt_size(x, 0), tt_size(x, 1), heads, d / heads)), 1, 2);
}

tt_tensor *nn_attention(tt_pool *p, const struct nn_linear *q, const struct nn_linear *k, const struct nn_linear *v, tt_tensor *x, tt_tensor *y,
			int heads, double scale, tt_tensor *bias, bool causal, tt_tensor *head_scale)
{
	tt_mark before = tt_here(p);
	tt_tensor *query = nn_heads(p, nn_linear(p, q, x), heads);
	tt_tensor *key = nn_heads(p, nn_linear(p, k, y), heads);
	tt_tensor *value = nn_heads(p, nn_linear(p, v, y), heads);
	tt_tensor *out = tt_attention(p, query, key, value, scale, bias, causal, head_scale);

	tt_keep(p, before, &out, 1);
	return out;
}

int nn_activation(const char *name)
{
	static const struct {
		const char *name;
		enum tt_activation kind;
	} names[] = {
		{"gelu", TT_GELU},
		{"gelu_python", TT_GELU},
		{"gelu_new", TT_GELU_TANH},
		{"gelu_fast", TT_GELU_TANH},
		{"gelu_accurate", TT_GELU_TANH},
		{"gelu_pytorch_tanh", TT_GELU_TANH},
		{"quick_gelu", TT_QUICK_GELU},
		{"relu", TT_RELU},
		{"silu", TT_SILU},
		{"swish", TT_SILU},
		{"tanh", TT_TANH},
		{"sigmoid", TT_SIGMOID},
	};

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (strcmp(names[i].name, name) == 0)
			return (int)names[i].kind;
	return -1;
}
