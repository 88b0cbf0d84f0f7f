/* test_ofa_net.c - OFA's network in all its variants: decoding with caches against the whole prefix, folded norms against their statistics, padding, limits,
 * training. */
#include "tests/torch/small_ofa.h"

enum { PICTURES = 3, BEAMS = 2, STEPS = 9, PROMPT = 5 };

static const int64_t prompts[PICTURES * PROMPT] = {0, 9, 12, 5, 2, 0, 20, 2, 1, 1, 0, 7, 7, 2, 1};

static const char *const variants[] = {
	NULL,
	"{\"encoder_normalize_before\":false}",
	"{\"decoder_normalize_before\":false}",
	"{\"normformer\":false}",
	"{\"normformer\":false,\"encoder_normalize_before\":false,\"decoder_normalize_before\":false}",
	"{\"scale_embedding\":true}",
	"{\"share_attn_bias\":true}",
	"{\"share_decoder_input_output_embed\":false}",
	"{\"add_type_embedding\":false,\"layernorm_embedding\":false,\"patch_layernorm_embedding\":false}",
	"{\"attn_scale_factor\":1.0,\"activation_function\":\"relu\"}",
};

static tt_tensor *make_pixels(tt_pool *p, int n, int height, int width)
{
	size_t count = (size_t)n * 3 * (size_t)height * (size_t)width;
	float *values = xmalloc(count * sizeof *values);
	tt_tensor *x;

	near_fill(values, count, 1, 5);
	x = tt_from_f32(p, values, TT_SHAPE(n, 3, height, width));
	free(values);
	return x;
}

static void encode(const struct ofa_net *net, tt_pool *p, int height, int width, struct ofa_memory *m)
{
	tt_tensor *ids = tt_from_i64(p, prompts, TT_SHAPE(PICTURES, PROMPT));

	if (ofa_encode(net, p, make_pixels(p, PICTURES, height, width), ids, true, m) < 0)
		fail_msg("%s", tt_message(p));
}

/* A net read back from a checkpoint, as inference has it. */
struct opened {
	struct ofa_net *net;
	struct nn_source source;
	struct checkpoint *file;
	char *dir;
};

static struct opened save_and_open(const struct ofa_config *config, const struct nn_source *made, bool vary, enum tt_dtype compute)
{
	struct opened o = {.dir = data_dir()};
	struct error err = {0};

	small_ofa_save(o.dir, made, vary, NULL, NULL);
	o.file = checkpoint_open(o.dir, &err);
	o.source = (struct nn_source){.pool = tt_pool_create(TT_INFER), .compute = compute, .device = TT_CPU, .file = o.file};
	o.net = ofa_net_create(config, &o.source);
	if (nn_finish(&o.source, "OFA", &err) < 0)
		fail_msg("%s", err.text);
	return o;
}

static struct opened open_variant(const char *changes, enum tt_dtype compute)
{
	struct ofa_config config = small_ofa_config(changes);
	struct nn_source made;
	struct ofa_net *net = small_ofa_make(&config, TT_F32, &made);
	struct opened o = save_and_open(&config, &made, true, compute);

	small_ofa_free(net, &made);
	return o;
}

static void close_opened(struct opened *o)
{
	small_ofa_free(o->net, &o->source);
	checkpoint_close(o->file);
	data_remove_dir(o->dir);
}

/* ---- caches ---- */

/* What the rows of the pictures that are still searched for have said; the middle picture leaves half way. */
struct rows {
	int64_t said[PICTURES * BEAMS][STEPS];
	int item[PICTURES * BEAMS], parent[PICTURES * BEAMS], n;
	int32_t token[PICTURES * BEAMS];
};

/* Invents the next step: each row continues some row of its picture. */
static void next_rows(struct rows *r, int step)
{
	struct rows old = *r;
	int gone = step >= STEPS / 2 ? 1 : -1;

	r->n = 0;
	for (int item = 0; item < PICTURES; item++) {
		int from = 0;

		while (from < old.n && old.item[from] != item)
			from++;
		for (int k = 0; k < (step > 0 ? BEAMS : 1) && item != gone; k++, r->n++) {
			r->item[r->n] = item;
			r->parent[r->n] = from + (step > 1 ? (step + k + item) / 2 % BEAMS : 0);
			r->token[r->n] = step > 0 ? 4 + (step * 7 + k * 5 + item) % 30 : 0;
			memcpy(r->said[r->n], old.said[step > 0 ? r->parent[r->n] : 0], sizeof old.said[0]);
			r->said[r->n][step] = r->token[r->n];
		}
	}
}

/* The last logits of all rows, computed from their whole prefixes. */
static void whole_logits(const struct ofa_net *net, tt_pool *p, const struct ofa_memory *m, const struct rows *r, int step, float *out)
{
	int64_t ids[PICTURES * BEAMS * STEPS], items[PICTURES * BEAMS];
	struct ofa_memory each = *m;
	tt_tensor *index, *logits;

	for (int i = 0; i < r->n; i++) {
		items[i] = r->item[i];
		memcpy(ids + i * (step + 1), r->said[i], (size_t)(step + 1) * sizeof *ids);
	}
	index = tt_from_i64(p, items, TT_SHAPE(r->n));
	each.output = tt_index_select(p, m->output, 0, index);
	each.key_bias = tt_index_select(p, m->key_bias, 0, index);
	logits = tt_select(p, ofa_decode(net, p, &each, tt_from_i64(p, ids, TT_SHAPE(r->n, step + 1))), 1, step);
	if (tt_to_f32(p, logits, out, (size_t)(r->n * SMALL_WORDS)) < 0)
		fail_msg("%s", tt_message(p));
}

static void compare_caches(const struct ofa_net *net, double tolerance)
{
	tt_pool *p = tt_pool_create(TT_INFER), *q = tt_pool_create(TT_INFER);
	float got[PICTURES * BEAMS * SMALL_WORDS], want[PICTURES * BEAMS * SMALL_WORDS];
	struct rows rows = {0};
	struct ofa_decoding *d;
	struct ofa_memory m;
	struct error err = {0};

	encode(net, p, 40, 56, &m);
	assert_non_null(m.key_bias);
	d = ofa_decoding_create(net, p, &m, STEPS);
	for (int step = 0; step < STEPS; step++) {
		next_rows(&rows, step);
		if (ofa_decoding_step(d, &(struct beam_step){step, rows.n, rows.item, step > 0 ? rows.parent : NULL, rows.token, got}, &err) < 0)
			fail_msg("%s", err.text);
		whole_logits(net, q, &m, &rows, step, want);
		near_compare("logits with caches", got, want, (size_t)(rows.n * SMALL_WORDS), tolerance);
		tt_clear(q);
	}
	ofa_decoding_destroy(d);
	tt_pool_destroy(p);
	tt_pool_destroy(q);
}

static void test_caches(void **state)
{
	for (size_t i = 0; i < COUNT(variants); i++) {
		struct opened o = open_variant(variants[i], TT_F32);

		compare_caches(o.net, 2e-5);
		close_opened(&o);
	}
}

static void test_caches_bf16(void **state)
{
	struct opened o;

	if (!tt_cpu_has_bf16())
		skip();
	o = open_variant(NULL, TT_BF16);
	compare_caches(o.net, 0.15);
	close_opened(&o);
}

/* ---- rows, padding, limits ---- */

/* A row of a batch, and the same with its padding cut off. */
static void test_rows_and_padding(void **state)
{
	struct opened o = open_variant(NULL, TT_F32);
	tt_pool *p = tt_pool_create(TT_INFER);
	tt_tensor *pixels = make_pixels(p, PICTURES, 33, 47), *ids = tt_from_i64(p, prompts, TT_SHAPE(PICTURES, PROMPT));
	int lengths[PICTURES] = {5, 3, 4};
	struct ofa_memory all, one;
	float want[64 * 32];

	assert_int_equal(ofa_encode(o.net, p, pixels, ids, false, &all), 0);
	assert_int_equal(tt_size(all.output, 1), 9 + PROMPT);
	for (int i = 0; i < PICTURES; i++) {
		tt_tensor *row = tt_slice(p, tt_slice(p, ids, 0, i, i + 1), 1, 0, lengths[i]);
		int64_t n = 9 + lengths[i];

		assert_int_equal(ofa_encode(o.net, p, tt_slice(p, pixels, 0, i, i + 1), row, false, &one), 0);
		assert_null(one.key_bias);
		assert_int_equal(tt_to_f32(p, one.output, want, (size_t)n * 32), 0);
		near_check(p, "row", tt_slice(p, tt_select(p, all.output, 0, i), 0, 0, n), want, (size_t)n * 32, 2e-5);
	}
	tt_pool_destroy(p);
	close_opened(&o);
}

static void expect_failure(tt_pool *p, const char *says)
{
	assert_int_equal(tt_status_of(p), TT_ERROR);
	if (!strstr(tt_message(p), says))
		fail_msg("\"%s\" does not say \"%s\"", tt_message(p), says);
	tt_clear(p);
}

static void test_limits(void **state)
{
	static const int64_t zeros[64];
	struct opened o = open_variant(NULL, TT_F32);
	tt_pool *p = tt_pool_create(TT_INFER);
	struct ofa_memory m;
	struct ofa_decoding *d;
	struct beam_step first = {0, 1, (const int[]){0}, NULL, (const int32_t[]){0}, (float[SMALL_WORDS]){0}};
	struct error err = {0};

	assert_int_equal(ofa_encode(o.net, p, make_pixels(p, 1, 64, 64), tt_from_i64(p, zeros, TT_SHAPE(1, 30)), false, &m), 0);
	assert_null(ofa_decode(o.net, p, &m, tt_from_i64(p, zeros, TT_SHAPE(1, 31))));
	expect_failure(p, "31 tokens where the model takes 1 to 30");
	assert_int_equal(ofa_encode(o.net, p, make_pixels(p, 1, 65, 64), tt_from_i64(p, zeros, TT_SHAPE(1, 5)), false, &m), -1);
	expect_failure(p, "use an image size up to 64");
	assert_int_equal(ofa_encode(o.net, p, make_pixels(p, 1, 16, 16), tt_from_i64(p, zeros, TT_SHAPE(1, 31)), false, &m), -1);
	expect_failure(p, "31 tokens");
	assert_int_equal(ofa_encode(o.net, p, make_pixels(p, 1, 16, 16), tt_from_i64(p, zeros, TT_SHAPE(1, 5)), false, &m), 0);
	d = ofa_decoding_create(o.net, p, &m, 30);
	assert_int_equal(ofa_decoding_step(d, &first, &err), -1);
	assert_non_null(strstr(err.text, "31 tokens"));
	ofa_decoding_destroy(d);
	tt_pool_destroy(p);
	close_opened(&o);
}

/* The stem halves four times, rounding up: 1x1 pixels are a patch. */
static void test_grid(void **state)
{
	static const int sizes[][4] = {{1, 1, 1, 1}, {16, 17, 1, 2}, {33, 47, 3, 3}, {64, 49, 4, 4}};
	struct opened o = open_variant(NULL, TT_F32);
	tt_pool *p = tt_pool_create(TT_INFER);

	for (size_t i = 0; i < COUNT(sizes); i++) {
		struct ofa_memory m;

		encode(o.net, p, sizes[i][0], sizes[i][1], &m);
		assert_int_equal(tt_size(m.features, 2), sizes[i][2]);
		assert_int_equal(tt_size(m.features, 3), sizes[i][3]);
		tt_clear(p);
	}
	tt_pool_destroy(p);
	close_opened(&o);
}

/* ---- training ---- */

static const int64_t captions[PICTURES * 6] = {0, 8, 9, 10, 2, 1, 0, 12, 8, 2, 1, 1, 0, 20, 21, 22, 23, 2};

/* Teacher forcing: every token after bos is to be said. Returns the loss of this step. */
static float train_step(const struct ofa_net *net, struct tt_adamw *optimiser)
{
	tt_pool *p = tt_pool_create(TT_TRAIN);
	tt_tensor *ids = tt_from_i64(p, captions, TT_SHAPE(PICTURES, 6)), *logits, *loss;
	struct ofa_memory m;
	char message[200] = "";
	float value;

	encode(net, p, 48, 48, &m);
	logits = tt_reshape(p, ofa_decode(net, p, &m, tt_slice(p, ids, 1, 0, 5)), TT_SHAPE(PICTURES * 5, SMALL_WORDS));
	loss = tt_cross_entropy(p, logits, tt_reshape(p, tt_slice(p, ids, 1, 1, 6), TT_SHAPE(PICTURES * 5)), 1, 0);
	if (tt_to_f32(p, loss, &value, 1) < 0 || tt_backward(p, loss) < 0)
		fail_msg("%s", tt_message(p));
	if (tt_adamw_step(optimiser, 3e-3, 1, message, sizeof message) < 0)
		fail_msg("%s", message);
	tt_pool_destroy(p);
	return value;
}

/* Some steps; the loss must fall. */
static void train(const struct ofa_net *net, const struct nn_source *made)
{
	tt_tensor **parameters = xcalloc((size_t)made->n_made, sizeof *parameters);
	struct tt_adamw *optimiser;
	float first, last = 0;
	int n = 0;

	for (int i = 0; i < made->n_made; i++) {
		if (made->made[i].trained)
			parameters[n++] = made->made[i].tensor;
	}
	optimiser = tt_adamw_create(parameters, n, 0.9, 0.98, 1e-8, 0.01);
	assert_non_null(optimiser);
	first = train_step(net, optimiser);
	for (int i = 0; i < 12; i++)
		last = train_step(net, optimiser);
	if (!(last < first / 2))
		fail_msg("the loss went from %g to %g", (double)first, (double)last);
	tt_adamw_destroy(optimiser);
	free(parameters);
}

/* After training, and with its norms folded into the convolutions, the net read back from its file says the same. */
static void test_training_to_inference(void **state)
{
	struct ofa_config config = small_ofa_config(NULL);
	struct nn_source made;
	struct ofa_net *net = small_ofa_make(&config, TT_F32, &made);
	tt_pool *p = tt_pool_create(TT_INFER);
	struct ofa_memory trained, folded;
	struct opened o;
	size_t count;
	float *want;

	train(net, &made);
	o = save_and_open(&config, &made, false, TT_F32);
	encode(net, p, 40, 56, &trained);
	encode(o.net, p, 40, 56, &folded);
	count = (size_t)tt_count(trained.output);
	want = xmalloc(count * sizeof *want);
	assert_int_equal(tt_to_f32(p, trained.output, want, count), 0);
	near_check(p, "encoder output with folded norms", folded.output, want, count, 5e-5);
	free(want);
	tt_pool_destroy(p);
	close_opened(&o);
	small_ofa_free(net, &made);
}

/* bf16 products over fp32 masters */
static void test_training_bf16(void **state)
{
	struct ofa_config config = small_ofa_config(NULL);
	struct nn_source made;
	struct ofa_net *net;

	if (!tt_cpu_has_bf16())
		skip();
	net = small_ofa_make(&config, TT_BF16, &made);
	train(net, &made);
	for (int i = 0; i < made.n_made; i++)
		assert_int_equal(tt_dtype_of(made.made[i].tensor), TT_F32);
	small_ofa_free(net, &made);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_caches),        cmocka_unit_test(test_caches_bf16), cmocka_unit_test(test_rows_and_padding),
		cmocka_unit_test(test_limits),        cmocka_unit_test(test_grid),        cmocka_unit_test(test_training_to_inference),
		cmocka_unit_test(test_training_bf16),
	};

	near_start(argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
