/* bench_clip.c - CLIP's image tower: the whole way of a folder through the engine, and the tower alone against the machine's own rate of products.
 *
 *	bench_clip folder --clip DIR --pictures DIR --batch N --precision P [--device D] [--threads N] [--tries N]
 *	bench_clip tower  … [--vectors FILE]     the vectors of the first batch, as raw fp32, for the peer to compare with
 */
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/engine.h"
#include "core/mem.h"
#include "core/runtime.h"
#include "models/models.h"
#include "models/torch_shim.h"
#include "tests/bench/measure.h"

enum { TRIES = 3, TOWER_TRIES = 12, WARM_BATCHES = 2 };

/* ---- the folder */

static const struct model_library *linked_library(void *ctx, struct error *err)
{
	return &vramble_models;
}

static struct engine *start_engine(const struct bench_arguments *args)
{
	struct engine_options options = {.open_library = linked_library};
	struct engine *e;
	struct error err;

	options.model_dir[MODEL_SCORES] = (char *)args->clip;
	options.settings = engine_settings_default(args->device);
	options.settings.batch = args->batch;
	options.settings.precision[MODEL_SCORES] = args->precision;
	options.settings.threads = args->threads;
	e = engine_create(&options, &err);
	if (!e)
		bench_stop("%s", err.text);
	engine_start(e);
	return e;
}

/* Until `n` events of the kind came. */
static void await(struct engine *e, enum event_kind kind, int n)
{
	struct pollfd fd = {engine_fd(e), POLLIN, 0};
	struct event event;

	while (n > 0) {
		if (!engine_next(e, &event)) {
			poll(&fd, 1, -1);
			continue;
		}
		if (event.err)
			bench_stop("%s", event.err->text);
		n -= event.kind == kind;
		event_clear(&event);
	}
}

static double run_folder(struct engine *e, char **files, int n)
{
	double begin = clock_now();

	for (int i = 0; i < n; i++)
		engine_submit(e, (uint32_t)i, files[i], ENGINE_BACKGROUND, ENGINE_ANSWERS);
	await(e, EV_RANKING, n);
	return clock_now() - begin;
}

static void bench_folder(const struct bench_arguments *args)
{
	int n, tries = args->tries ? args->tries : TRIES;
	char **files = bench_files(args->pictures, &n);
	struct engine *e = start_engine(args);
	struct series rates = {0};

	await(e, EV_READY, 1);
	run_folder(e, files, WARM_BATCHES * args->batch < n ? WARM_BATCHES * args->batch : n);
	for (int i = 0; i < tries; i++)
		series_add(&rates, n / run_folder(e, files, n));
	bench_tell("images_per_s", series_quantile(&rates, 0.5));
	bench_tell("peak_mb", (double)bench_peak_bytes() / 1e6);
	engine_destroy(e);
	series_free(&rates);
	for (int i = 0; i < n; i++)
		free(files[i]);
	free(files);
}

/* ---- the tower */

struct prepared {
	struct pixels *pixels;
	const struct pixels **list;
	int n;
};

static struct prepared prepare(const struct model *model, const struct bench_arguments *args)
{
	struct prepared out = {xcalloc((size_t)args->batch, sizeof *out.pixels), xcalloc((size_t)args->batch, sizeof *out.list), args->batch};
	int n;
	char **files = bench_files(args->pictures, &n);

	for (int i = 0; i < out.n; i++) {
		struct image image;
		struct error err;

		if (image_load(files[i % n], NULL, &image, NULL, &err) < 0 || vramble_models.prepare(model, &image, 0, &out.pixels[i], &err) < 0)
			bench_stop("%s", err.text);
		image_free(&image);
		out.list[i] = &out.pixels[i];
	}
	for (int i = 0; i < n; i++)
		free(files[i]);
	free(files);
	return out;
}

static void prepared_free(struct prepared *p)
{
	for (int i = 0; i < p->n; i++)
		free(p->pixels[i].data);
	free(p->pixels);
	free(p->list);
}

/* Of ViT-B/32 at 224 pixels, counting a multiplication and its addition as two: patches, 12 layers over 50 rows, projection. In the last layer only the class
 * row goes on, and only what is really computed is counted. */
static double tower_flops(void)
{
	const double rows = 50, d = 768, wide = 3072, keys_values = 2 * rows * d * d;
	const double of_row = d * d + 2 * rows * d + d * d + 2 * d * wide; /* q, scores and mix, out, mlp */

	return 2 * (49 * 3072 * d + 11 * (keys_values + rows * of_row) + keys_values + of_row + d * 512);
}

/* One large product of the tower's own shape, in seconds. */
static double time_product(tt_pool *pool, tt_tensor *x, tt_tensor *w)
{
	tt_mark m = tt_here(pool);
	double begin = clock_now();
	float one;

	/* reading one value back waits for the device */
	tt_to_f32(pool, tt_slice(pool, tt_slice(pool, tt_linear(pool, x, w, NULL), 0, 0, 1), 1, 0, 1), &one, 1);
	begin = clock_now() - begin;
	tt_keep(pool, m, NULL, 0);
	return begin;
}

static void measure_tower(struct model *model, const struct prepared *p, const struct bench_arguments *args, float *vectors)
{
	enum { ROWS = 1600, IN = 768, OUT = 3072 };
	static const enum tt_dtype dtypes[PRECISIONS] = {[PRECISION_FP32] = TT_F32, [PRECISION_BF16] = TT_BF16, [PRECISION_FP16] = TT_F16};
	int tries = args->tries ? args->tries : TOWER_TRIES;
	tt_pool *pool = tt_pool_create(TT_INFER);
	tt_tensor *x = tt_to(pool, tt_randn(pool, 1, TT_SHAPE(ROWS, IN)), dtypes[args->precision], args->device);
	tt_tensor *w = tt_to(pool, tt_randn(pool, 0.03, TT_SHAPE(OUT, IN)), dtypes[args->precision], args->device);
	struct series towers = {0}, products = {0};
	struct error err;

	for (int i = -2; i < tries; i++) { /* the first two warm up */
		double begin = clock_now(), seconds;

		if (vramble_models.embed_images(model, p->list, p->n, vectors, NULL, &err) < 0)
			bench_stop("%s", err.text);
		seconds = clock_now() - begin;
		if (i >= 0)
			series_add(&towers, seconds);
		for (int k = 0; k < 3; k++)
			series_add(&products, time_product(pool, x, w));
	}
	if (tt_status_of(pool) != TT_OK)
		bench_stop("%s", tt_message(pool));
	bench_tell("tower_gflops", p->n * tower_flops() / series_quantile(&towers, 0.5) / 1e9);
	bench_tell("product_gflops", 2.0 * ROWS * IN * OUT / series_quantile(&products, 0.5) / 1e9);
	series_free(&towers);
	series_free(&products);
	tt_pool_destroy(pool);
}

static void write_vectors(const char *path, const float *vectors, size_t n)
{
	FILE *f = fopen(path, "wbe");

	if (!f || fwrite(vectors, sizeof *vectors, n, f) != n || fclose(f) != 0)
		bench_stop("%s: cannot be written", path);
}

static void bench_tower(const struct bench_arguments *args)
{
	struct error err;
	struct model *model;
	struct prepared pictures;
	float *vectors;
	size_t n;

	if (vramble_models.start(args->threads, &err) < 0)
		bench_stop("%s", err.text);
	model = vramble_models.open(args->clip, args->device, args->precision, 1, NULL, &err);
	if (!model)
		bench_stop("%s", err.text);
	if (vramble_models.precision(model) != args->precision)
		bench_stop("this precision is not offered on this device");
	n = (size_t)args->batch * (size_t)vramble_models.info(model)->embed_size;
	vectors = xcalloc(n, sizeof *vectors);
	pictures = prepare(model, args);
	measure_tower(model, &pictures, args, vectors);
	if (args->vectors)
		write_vectors(args->vectors, vectors, n);
	prepared_free(&pictures);
	free(vectors);
	vramble_models.close(model);
}

int main(int argc, char **argv)
{
	struct bench_arguments args;
	bool tower;

	bench_arguments_read(argc, argv, &args);
	tower = args.mode && args.mode[0] == 't';
	bench_needs(args.clip, "--clip DIR is needed");
	bench_needs(args.pictures, "--pictures DIR is needed");
	if (runtime_prepare(args.threads))
		execv("/proc/self/exe", argv);
	if (tower)
		bench_tower(&args);
	else
		bench_folder(&args);
	fflush(stdout);
	_exit(0); /* as the program does: libtorch takes its time to leave */
}
