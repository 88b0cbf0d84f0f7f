/* tally.c - see tally.h. The numbers of torch_memory.cpp (rounding), torch_layers.cpp (what an op makes) and of libtorch's CUDA allocator. */
#include "models/tally.h"

#include "core/runtime.h"

/* ---- sizes */

enum tt_dtype tally_compute(enum precision precision)
{
	switch (precision) {
	case PRECISION_BF16:
		return TT_BF16;
	case PRECISION_FP16:
		return TT_F16;
	default:
		return TT_F32;
	}
}

enum tt_dtype tally_product(int device, enum precision precision)
{
	if (precision != PRECISION_AUTOCAST)
		return tally_compute(precision);
	return device == DEVICE_CPU ? TT_BF16 : TT_F16;
}

int64_t tally_size(enum tt_dtype dtype)
{
	switch (dtype) {
	case TT_F16:
	case TT_BF16:
		return 2;
	case TT_I64:
	case TT_F64:
		return 8;
	case TT_U8:
	case TT_BOOL:
		return 1;
	default:
		return 4;
	}
}

static int64_t round_up(int64_t n, int64_t step)
{
	return (n + step - 1) / step * step;
}

static int64_t least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* As round_size in torch_memory.cpp: eight sizes to a doubling. */
static int64_t cpu_block(int64_t bytes)
{
	int top;

	if (bytes <= 512)
		return round_up(bytes, 64);
	top = 63 - __builtin_clzll((unsigned long long)bytes - 1);
	return round_up(bytes, (int64_t)1 << (top - 3));
}

/* As c10/cuda/CUDACachingAllocator: steps of 512; from 10 MiB on a segment of its own, in steps of 2 MiB, from which up to 1 MiB is not split off. */
static int64_t cuda_block(int64_t bytes)
{
	int64_t block = round_up(bytes, 512), segment = round_up(block, (int64_t)2 << 20);

	return block >= (int64_t)10 << 20 && segment - block <= (int64_t)1 << 20 ? segment : block;
}

int64_t tally_block(int device, int64_t bytes)
{
	if (bytes <= 0)
		return 0;
	return device == DEVICE_CPU ? cpu_block(bytes) : cuda_block(bytes);
}

/* How far oneDNN 2.6.3 pads the outputs of a bf16 weight, as measured: to blocks of 64, or of 48 where two, three or six of these are enough. */
static int64_t packed_outputs(int64_t out)
{
	int64_t three_quarters = round_up(out, 48);

	if (out <= 64)
		return round_up(out, 16);
	if (three_quarters == 96 || three_quarters == 144 || three_quarters == 288)
		return least(three_quarters, round_up(out, 64));
	return round_up(out, 64);
}

/* oneDNN pads channels to the lanes of a vector: fp32 both ways; bf16 to tiles, or to pairs of few inputs. */
int64_t tally_packed(int device, enum tt_dtype dtype, int64_t out, int64_t in)
{
	int64_t lanes = 8;

#if defined(__x86_64__)
	lanes = __builtin_cpu_supports("avx512f") ? 16 : 8;
#endif
	if (device != DEVICE_CPU || (dtype != TT_F32 && (dtype != TT_BF16 || !tt_cpu_has_bf16())))
		return 0;
	if (dtype == TT_F32)
		return tally_block(device, 4 * round_up(out, lanes) * round_up(in, lanes));
	return tally_block(device, 2 * packed_outputs(out) * round_up(in, in > 32 ? 32 : 2));
}

/* ---- holding */

void tally_begin(struct tally *t, int device, enum precision precision)
{
	*t = (struct tally){
		.device = device,
		.threads = runtime_cpus(),
		.compute = tally_compute(precision),
		.product = tally_product(device, precision),
	};
}

void tally_end(const struct tally *t, struct forecast *out)
{
	out->activations = t->most;
	out->kv = t->kv;
	out->together = t->together;
}

static void note(struct tally *t, int64_t more)
{
	if (t->alive + more > t->most)
		t->most = t->alive + more;
	if (t->alive + more + t->kv > t->together)
		t->together = t->alive + more + t->kv;
}

int64_t tally_hold(struct tally *t, int64_t count, enum tt_dtype dtype)
{
	int64_t block = tally_block(t->device, count * tally_size(dtype));

	t->alive += block;
	note(t, 0);
	return block;
}

void tally_drop(struct tally *t, int64_t block)
{
	t->alive -= block;
}

void tally_brief(struct tally *t, int64_t bytes)
{
	note(t, tally_block(t->device, bytes));
}

void tally_cache(struct tally *t, int64_t count, enum tt_dtype dtype)
{
	t->kv += tally_block(t->device, count * tally_size(dtype));
	note(t, 0);
}

int64_t tally_here(const struct tally *t)
{
	return t->alive;
}

void tally_keep(struct tally *t, int64_t mark, int64_t kept)
{
	t->alive = mark + kept;
}

/* ---- ops */

static bool on_cpu(const struct tally *t)
{
	return t->device == DEVICE_CPU;
}

int64_t tally_cast(struct tally *t, int64_t count, enum tt_dtype from, enum tt_dtype to)
{
	return from == to ? 0 : tally_hold(t, count, to);
}

int64_t tally_pixels(struct tally *t, int64_t n, int64_t height, int64_t width)
{
	return on_cpu(t) && n > 1 ? tally_hold(t, n * 3 * height * width, TT_F32) : 0;
}

int64_t tally_pixels_in(struct tally *t, int64_t n, int64_t height, int64_t width)
{
	return on_cpu(t) && t->compute == TT_F32 ? 0 : tally_hold(t, n * 3 * height * width, t->compute);
}

/* oneDNN's bf16 products copy a strip of the second factor per thread, and where the depth fills no tile, rows of the first: as measured with oneDNN 2.6.3.
 * OpenBLAS has room of its own, outside of the account. */
static int64_t product_scratch(const struct tally *t, int64_t rows, int64_t depth)
{
	bool ragged = depth > 64 && depth % 64;
	int64_t strip = 128 * round_up(depth, 32), first = ragged ? 2 * least(rows, 320) * round_up(depth, 32) + 8768 : 0;

	return on_cpu(t) && t->product == TT_BF16 ? (strip + first) * t->threads + 9600 : 0;
}

/* Under autocast the operands of a product are cast for it, and its result back. */
int64_t tally_linear(struct tally *t, int64_t rows, int64_t in, int64_t out)
{
	int64_t start = tally_here(t), weight, y;

	tally_cast(t, rows * in, t->compute, t->product);
	weight = tally_cast(t, out * in, t->compute, t->product);
	y = tally_hold(t, rows * out, t->product);
	tally_brief(t, product_scratch(t, rows, in));
	tally_drop(t, weight);
	if (t->product != t->compute)
		y = tally_hold(t, rows * out, t->compute);
	tally_keep(t, start, y);
	return y;
}

/* On a CPU in fp32 the product goes straight into the sum. */
void tally_linear_add(struct tally *t, int64_t rows, int64_t in, int64_t out)
{
	int64_t start = tally_here(t);

	if (on_cpu(t) && t->product == TT_F32)
		return;
	tally_linear(t, rows, in, out);
	if (t->product != t->compute)
		tally_add_over(t, rows * out);
	tally_keep(t, start, 0);
}

/* The 1x1 convolution behind it wants its input laid out anew, and so is its output. */
int64_t tally_linear_packed(struct tally *t, int64_t rows, int64_t in, int64_t out)
{
	int64_t start = tally_here(t), size = tally_size(t->product), y;

	if (tally_packed(t->device, t->product, out, in) == 0)
		return tally_linear(t, rows, in, out);
	tally_cast(t, rows * in, t->compute, t->product);
	y = tally_hold(t, rows * out, t->product);
	tally_brief(t, rows * in * size + (t->product == TT_BF16 ? 2 : 1) * rows * out * size);
	if (t->product != t->compute)
		y = tally_hold(t, rows * out, t->compute);
	tally_keep(t, start, y);
	return y;
}

/* Our kernel writes the result at once; libtorch's runs in fp32 and casts. */
int64_t tally_norm(struct tally *t, int64_t rows, int64_t d, enum tt_dtype dtype)
{
	int64_t y;

	if (on_cpu(t))
		return tally_hold(t, rows * d, dtype);
	y = tally_hold(t, rows * d, TT_F32);
	tally_brief(t, 2 * rows * 4);
	if (dtype == TT_F32)
		return y;
	tally_drop(t, y);
	tally_brief(t, rows * d * (4 + tally_size(dtype)));
	return tally_hold(t, rows * d, dtype);
}

/* Mixed dtypes: a CPU casts the narrow one first. */
int64_t tally_add(struct tally *t, int64_t count)
{
	int64_t sum = tally_hold(t, count, TT_F32);

	tally_add_over(t, count);
	return sum;
}

void tally_add_over(struct tally *t, int64_t count)
{
	if (on_cpu(t) && t->compute != TT_F32)
		tally_brief(t, 4 * count);
}

int64_t tally_matmul(struct tally *t, int64_t batch, int64_t rows, int64_t depth, int64_t columns)
{
	int64_t start = tally_here(t), y;

	tally_cast(t, batch * rows * depth, t->compute, t->product);
	tally_cast(t, batch * depth * columns, t->compute, t->product);
	y = tally_hold(t, batch * rows * columns, t->product);
	if (on_cpu(t) && t->product == TT_BF16)
		tally_brief(t, 2 * batch * depth * (rows + columns) + product_scratch(t, rows, depth));
	if (t->product != t->compute)
		y = tally_hold(t, batch * rows * columns, t->compute);
	tally_keep(t, start, y);
	return y;
}

/* attention_lean of torch_layers.cpp: each thread has room for the scores of a few heads. bf16 products copy what they read. */
static void attend_lean(struct tally *t, const struct tally_attention *a)
{
	const int64_t scores_max = (int64_t)8 << 20, small = (int64_t)1 << 16;
	int64_t start = tally_here(t), scores = a->rows * a->keys, bytes = scores * tally_size(t->product);
	int64_t unit = scores <= small ? a->heads : 1, units = a->batch * a->heads / unit, shares = least(t->threads, units);
	int64_t group = least(a->heads, (units + shares - 1) / shares * unit), fits = scores_max / (bytes > 0 ? bytes : 1);

	group = least(group, fits < 1 ? 1 : fits);
	tally_hold(t, shares * group * scores, t->product);
	tally_hold(t, shares * group * a->rows * a->depth, t->product);
	if (t->product == TT_BF16)
		tally_brief(t, shares * 2 * group * a->depth * (a->rows + a->keys) + product_scratch(t, a->rows, a->keys));
	tally_keep(t, start, 0);
}

/* libtorch's fused kernels: a scaled q and the bias in q's dtype; where no kernel serves, the scores as well, which is left to what is measured. */
static void attend_fused(struct tally *t, const struct tally_attention *a)
{
	int64_t size = tally_size(t->product);

	tally_brief(t, size * (a->batch * a->heads * a->rows * a->depth + a->bias));
}

int64_t tally_attend(struct tally *t, const struct tally_attention *a)
{
	int64_t start = tally_here(t), width = a->heads * a->depth, out;

	tally_cast(t, a->batch * a->rows * width, t->compute, t->product);
	tally_cast(t, a->batch * a->keys * width, t->compute, t->product);
	tally_cast(t, a->batch * a->keys * width, t->compute, t->product);
	out = tally_hold(t, a->batch * a->rows * width, t->product);
	on_cpu(t) ? attend_lean(t, a) : attend_fused(t, a);
	if (t->product != t->compute)
		out = tally_hold(t, a->batch * a->rows * width, t->compute);
	tally_keep(t, start, out);
	return out;
}

int64_t tally_attention_layers(struct tally *t, const struct tally_attention *a)
{
	int64_t start = tally_here(t), width = a->heads * a->depth, out;

	tally_linear(t, a->batch * a->rows, width, width);
	tally_linear(t, a->batch * a->keys, width, width);
	tally_linear(t, a->batch * a->keys, width, width);
	out = tally_attend(t, a);
	tally_keep(t, start, out);
	return out;
}

/* oneDNN lays the weight out anew each time; a single small fp32 picture goes to libtorch's own kernel, which makes columns of what each value sees. */
static int64_t convolution_scratch(const struct tally *t, const struct tally_conv *c, int64_t seen, int64_t places)
{
	int64_t taps = c->in * c->kernel * c->kernel;

	if (!on_cpu(t))
		return 0;
	return tally_size(t->product) * taps * (t->product == TT_F32 && seen <= 20480 ? places : c->out);
}

/* A 1x1 one of stride 1 is a product over rows that lie there already. */
int64_t tally_convolve(struct tally *t, const struct tally_conv *c, int64_t n, int64_t *height, int64_t *width)
{
	int64_t start = tally_here(t), weight = c->out * c->in * c->kernel * c->kernel, seen = n > 1 ? INT64_MAX : c->in * *height * *width, cast, y;

	*height = (*height + c->stride - 1) / c->stride;
	*width = (*width + c->stride - 1) / c->stride;
	if (c->kernel == 1 && c->stride == 1)
		return tally_linear(t, n * *height * *width, c->in, c->out);
	tally_cast(t, n * c->in * *height * *width * c->stride * c->stride, t->compute, t->product);
	cast = tally_cast(t, weight, t->compute, t->product);
	y = tally_hold(t, n * c->out * *height * *width, t->product);
	tally_brief(t, convolution_scratch(t, c, seen, *height * *width));
	tally_drop(t, cast);
	if (t->product != t->compute)
		y = tally_hold(t, n * c->out * *height * *width, t->compute);
	tally_keep(t, start, y);
	return y;
}
