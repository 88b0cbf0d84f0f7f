/* test_bert.c - the NLI model on a small BERT made here: pairs to verdicts, cutting, label orders, old names, training. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include "core/mem.h"
#include "models/bert.h"
#include "models/checkpoint.h"
#include "models/models.h"
#include "tests/support/data.h"
#include "tests/torch/near.h"
#include "tests/torch/row.h"

enum { POSITIONS = 16 };

static const char vocabulary[] =
	"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\ndog\ncat\nsits\non\nmat\nthe\nred\nno\nthis\nis\nof\nphoto\n[\n]\nsep\n##s\n";
enum { CLS = 2, SEP = 3, A = 5, DOG = 6, CAT = 7, SITS = 8, ON = 9, OPEN = 18, CLOSE = 19, WORD_SEP = 20, TOKENS = 22 };

#define SHAPE_OF_NET                                                                                                               \
	"\"model_type\": \"bert\", \"vocab_size\": 24, \"hidden_size\": 24, \"num_hidden_layers\": 2, \"num_attention_heads\": 3," \
	" \"intermediate_size\": 37, \"hidden_act\": \"gelu\", \"max_position_embeddings\": 16, \"type_vocab_size\": 2"
#define NAMED(a, b, c) "{" SHAPE_OF_NET ", \"id2label\": {\"0\": \"" a "\", \"1\": \"" b "\", \"2\": \"" c "\"}}"
#define CEN            NAMED("contradiction", "entailment", "neutral")
#define TWO_WAY        "{" SHAPE_OF_NET ", \"id2label\": {\"0\": \"entailment\", \"1\": \"not_entailment\"}}"

static const struct model_library *lib = &vramble_models;
static char *dir;

/* ---- the model ---- */

static void put_config(const char *text)
{
	data_put(dir, "config.json", text, strlen(text));
}

/* The name under which a tensor is written, malloc'd: old files say gamma and beta and leave "bert." away. */
static char *written_name(const char *name, bool old)
{
	const char *norm = strstr(name, "LayerNorm."), *start = old && strncmp(name, "bert.", 5) == 0 ? name + 5 : name;

	if (!old || !norm)
		return xstrdup(start);
	return xasprintf("%.*sLayerNorm.%s", (int)(norm - start), start, strcmp(norm, "LayerNorm.weight") == 0 ? "gamma" : "beta");
}

static void put_weights(const struct nn_source *made, bool old)
{
	struct checkpoint_tensor *list = xcalloc((size_t)made->n_made, sizeof *list);
	char *path = xasprintf("%s/model.safetensors", dir);
	struct error err = {0};

	for (int i = 0; i < made->n_made; i++) {
		tt_tensor *x = made->made[i].tensor;
		struct checkpoint_tensor *t = &list[i];

		*t = (struct checkpoint_tensor){written_name(made->made[i].name, old), CKPT_F32, tt_ndim(x), {0}, tt_count(x), tt_bytes(x), NULL};
		for (int d = 0; d < t->ndim; d++)
			t->shape[d] = tt_size(x, d);
		t->data = xmalloc((size_t)t->bytes);
		assert_int_equal(tt_to_f32(made->pool, x, (float *)t->data, (size_t)t->count), 0);
	}
	if (checkpoint_write(path, list, made->n_made, &err) < 0)
		fail_msg("%s", err.text);
	for (int i = 0; i < made->n_made; i++) {
		free((void *)list[i].data);
		free((void *)list[i].name);
	}
	free(list);
	free(path);
}

/* A net with new weights, as a trainer makes it. */
static struct bert_net *make_net(const char *config, enum tt_dtype compute, struct nn_source *source)
{
	json_t *json = json_loads(config, 0, NULL);
	struct bert_config parsed;
	struct bert_net *net;
	struct error err = {0};

	*source = (struct nn_source){.pool = tt_pool_create(TT_TRAIN), .compute = compute, .device = TT_CPU, .std = 0.3};
	if (bert_config_read(json, dir, &parsed, &err) < 0)
		fail_msg("%s", err.text);
	net = bert_net_create(&parsed, source);
	assert_int_equal(nn_finish(source, "BERT", &err), 0);
	json_decref(json);
	return net;
}

static void put_model(const char *config, bool old)
{
	struct nn_source source;

	tt_seed(11);
	bert_net_destroy(make_net(config, TT_F32, &source));
	put_weights(&source, old);
	nn_source_free(&source);
	tt_pool_destroy(source.pool);
	put_config(config);
	data_put(dir, "vocab.txt", vocabulary, sizeof vocabulary - 1);
}

static int setup(void **state)
{
	dir = data_dir();
	put_model(CEN, false);
	return 0;
}

static int teardown(void **state)
{
	data_remove_dir(dir);
	return 0;
}

static struct model *open_model(void)
{
	return row_open(dir, PRECISION_FP32, 1);
}

static void refuses(const char *says)
{
	row_refuses(dir, 1, E_MODEL, says);
}

static struct verdict judge(struct model *m, const char *premise, const char *hypothesis)
{
	const struct text_pair pair = {premise, hypothesis};
	struct verdict v = {-1, -1, -1, 0};
	struct error err = {0};

	if (lib->classify(m, &pair, 1, &v, NULL, &err) < 0)
		fail_msg("%s", err.text);
	return v;
}

static void same(struct verdict a, struct verdict b)
{
	const float x[] = {a.entailment, a.neutral, a.contradiction}, y[] = {b.entailment, b.neutral, b.contradiction};

	near_compare("verdict", x, y, 3, 1e-5);
}

static bool differ(struct verdict a, struct verdict b)
{
	return fabsf(a.entailment - b.entailment) > 1e-4f;
}

/* ---- tests ---- */

static void info_tells_the_order(void **state)
{
	struct model_info info;
	struct error err = {0};

	assert_int_equal(lib->inspect(dir, &info, &err), 0);
	assert_int_equal(info.kind, MODEL_NLI);
	assert_int_equal(info.context, POSITIONS);
	assert_int_equal(info.tensors, 41);
	assert_string_equal(info.notes, "0 contradiction, 1 entailment, 2 neutral (id2label)");
}

/* The model's answer from ids spelled out here, run through the bare network: what the texts become is thereby checked too. */
static void verdict_is_the_softmax_of_the_network(void **state)
{
	static const int64_t ids[] = {CLS, A, DOG, SITS, SEP, OPEN, WORD_SEP, CLOSE, CAT, SEP}, types[] = {0, 0, 0, 0, 0, 1, 1, 1, 1, 1};
	struct model *m = open_model();
	struct verdict v = judge(m, "A dog sits", "[SEP] cat"), wanted;
	struct nn_source source = {.pool = tt_pool_create(TT_INFER), .compute = TT_F32, .device = TT_CPU, .file = m->file};
	tt_pool *p = tt_pool_create(TT_INFER);
	json_t *json = json_loads(CEN, 0, NULL);
	struct bert_config config;
	struct bert_net *net;
	struct error err = {0};
	float probabilities[3];
	tt_tensor *logits;

	assert_int_equal(bert_config_read(json, dir, &config, &err), 0);
	net = bert_net_create(&config, &source);
	assert_int_equal(nn_finish(&source, "BERT", &err), 0);
	logits = bert_logits(net, p, tt_from_i64(p, ids, TT_SHAPE(1, 10)), tt_from_i64(p, types, TT_SHAPE(1, 10)), NULL);
	assert_int_equal(tt_to_f32(p, tt_softmax(p, logits, -1), probabilities, 3), 0);
	wanted = (struct verdict){probabilities[1], probabilities[2], probabilities[0], 0};
	same(v, wanted);
	bert_net_destroy(net);
	nn_source_free(&source);
	tt_pool_destroy(p);
	tt_pool_destroy(source.pool);
	json_decref(json);
	lib->close(m);
}

static void batch_equals_singles(void **state)
{
	static const struct text_pair pairs[] = {
		{"a dog sits on the mat", "a cat"},
		{"a dog", "the red cat sits"},
		{"", "no"},
		{"a dog sits on the mat", "a dog"},
		{"red", "red"},
		{"the photo of a cat on the red mat", "this is a dog"},
	};
	struct model *m = open_model();
	struct verdict v[COUNT(pairs)];
	struct error err = {0};

	assert_int_equal(lib->classify(m, pairs, COUNT(pairs), v, NULL, &err), 0);
	for (size_t i = 0; i < COUNT(pairs); i++) {
		same(v[i], judge(m, pairs[i].premise, pairs[i].hypothesis));
		assert_true(fabsf(v[i].entailment + v[i].neutral + v[i].contradiction - 1) < 1e-5f);
	}
	assert_true(differ(v[0], v[3]) && differ(v[1], v[2]) && differ(v[4], v[5]));
	lib->close(m);
}

/* More tokens than one slice holds. */
static void many_pairs_are_cut_into_slices(void **state)
{
	enum { N = 700 };
	struct model *m = open_model();
	struct text_pair *pairs = xcalloc(N, sizeof *pairs);
	struct verdict *v = xcalloc(N, sizeof *v), even, odd;
	struct error err = {0};

	for (int i = 0; i < N; i++)
		pairs[i] = i % 2 ? (struct text_pair){"a dog sits on the mat", "a cat"} : (struct text_pair){"red", "no"};
	assert_int_equal(lib->classify(m, pairs, N, v, NULL, &err), 0);
	even = judge(m, "red", "no");
	odd = judge(m, "a dog sits on the mat", "a cat");
	for (int i = 0; i < N; i++)
		same(v[i], i % 2 ? odd : even);
	free(pairs);
	free(v);
	lib->close(m);
}

static void a_long_premise_loses_its_end(void **state)
{
	struct model *m = open_model();
	/* 16 tokens: [CLS], 9 of the premise, [SEP], 4 of the hypothesis, [SEP] */
	struct verdict cut = judge(m, "a dog sits on the mat the red cat no no no no no no no no no", "this is a cat");
	const struct text_pair too_long = {"a", "a a a a a a a a a a a a a a a a a a a a"};
	struct verdict v;
	struct error err = {0};

	same(cut, judge(m, "a dog sits on the mat the red cat", "this is a cat"));
	assert_true(differ(cut, judge(m, "a dog sits on the mat the red", "this is a cat")));
	assert_true(differ(cut, judge(m, "a dog sits on the mat the red cat no no no no no no no no no", "this is a dog")));
	assert_int_equal(lib->classify(m, &too_long, 1, &v, NULL, &err), -1);
	assert_int_equal(err.code, E_LIMIT);
	lib->close(m);
}

static struct verdict judge_under(const char *config)
{
	struct model *m;
	struct verdict v;

	put_config(config);
	m = open_model();
	v = judge(m, "a dog sits", "a cat");
	lib->close(m);
	return v;
}

static void the_order_is_obeyed(void **state)
{
	struct verdict cen = judge_under(CEN), enc = judge_under(NAMED("ENTAILMENT", "NEUTRAL", "CONTRADICTION")), moved, set;

	moved = (struct verdict){cen.contradiction, cen.entailment, cen.neutral, 0};
	same(enc, moved);
	set = judge_under("{" SHAPE_OF_NET ", \"num_labels\": 3, \"vramble_label_order\": \"contradiction,entailment,neutral\"}");
	same(set, cen);
	put_config(NAMED("LABEL_0", "LABEL_1", "LABEL_2"));
	refuses("vramble_label_order");
}

static void two_ways(void **state)
{
	struct model *m;
	struct verdict v;

	put_model(TWO_WAY, false);
	m = open_model();
	v = judge(m, "a dog sits", "a cat");
	assert_true(v.neutral == 0);
	assert_true(fabsf(v.entailment + v.contradiction - 1) < 1e-5f);
	assert_true(v.entailment > 0 && v.contradiction > 0);
	lib->close(m);
}

/* The classifier's rows are the truth, whatever config.json says. */
static void the_classifier_counts_the_labels(void **state)
{
	put_model(TWO_WAY, false);
	put_config(CEN);
	refuses("2 outputs");
}

static void old_names_are_read(void **state)
{
	struct model *m = open_model();
	struct verdict wanted = judge(m, "a dog sits", "a cat");

	lib->close(m);
	put_model(CEN, true);
	m = open_model();
	same(judge(m, "a dog sits", "a cat"), wanted);
	lib->close(m);
}

static void what_does_not_fit_is_refused(void **state)
{
	static const char more[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n13\n14\n15\n16\n17\n18\n19\n20\n";

	put_config("{" SHAPE_OF_NET ", \"position_embedding_type\": \"relative_key\"}");
	refuses("relative_key");
	put_config("{\"model_type\": \"bert\", \"vocab_size\": 24, \"hidden_size\": 24, \"num_hidden_layers\": 2, \"num_attention_heads\": 5,"
		   " \"intermediate_size\": 37, \"max_position_embeddings\": 16}");
	refuses("does not divide");
	put_config(CEN);
	data_put(dir, "vocab.txt", more, sizeof more - 1);
	refuses("25 tokens");
}

static int always(void *ctx)
{
	return 1;
}

static void classify_can_be_stopped(void **state)
{
	struct model *m = open_model();
	const struct model_control control = {.check = always};
	const struct text_pair pair = {"a dog", "a cat"};
	struct verdict v;
	struct error err = {0};

	assert_int_equal(lib->classify(m, &pair, 1, &v, &control, &err), -1);
	assert_int_equal(err.code, E_CANCELLED);
	judge(m, "a dog", "a cat");
	lib->close(m);
}

/* ---- the network while it is trained ---- */

static tt_tensor *logits_of(const struct bert_net *net, tt_pool *p)
{
	static const int64_t ids[] = {CLS, A, DOG, SEP, A, DOG, SEP, CLS, A, DOG, SEP, CAT, SEP, 0};
	static const int64_t types[] = {0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 1, 1, 0}, mask[] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0};

	return bert_logits(net, p, tt_from_i64(p, ids, TT_SHAPE(2, 7)), tt_from_i64(p, types, TT_SHAPE(2, 7)), tt_from_i64(p, mask, TT_SHAPE(2, 7)));
}

static double loss_step(const struct bert_net *net, tt_pool *p, struct tt_adamw *adam)
{
	static const int64_t answers[] = {1, 0};
	char message[200];
	tt_tensor *loss = tt_cross_entropy(p, logits_of(net, p), tt_from_i64(p, answers, TT_SHAPE(2)), -100, 0);
	float value = 0;

	if (tt_backward(p, loss) < 0 || tt_to_f32(p, loss, &value, 1) < 0)
		fail_msg("%s", tt_message(p));
	assert_true(tt_adamw_step(adam, 3e-3, 1, message, sizeof message) >= 0);
	tt_clear(p);
	return value;
}

/* fp32 masters, products in bf16 where the CPU has it. */
static void two_pairs_are_learned(void **state)
{
	enum tt_dtype compute = tt_cpu_has_bf16() ? TT_BF16 : TT_F32;
	struct nn_source source;
	struct bert_net *net = make_net(CEN, compute, &source);
	tt_tensor **parameters = xcalloc((size_t)source.n_made, sizeof *parameters);
	tt_pool *p = tt_pool_create(TT_TRAIN);
	struct tt_adamw *adam;
	double first, last = 0;

	for (int i = 0; i < source.n_made; i++) {
		assert_int_equal(tt_dtype_of(source.made[i].tensor), TT_F32);
		parameters[i] = source.made[i].tensor;
	}
	adam = tt_adamw_create(parameters, source.n_made, 0.9, 0.999, 1e-8, 0.01);
	first = loss_step(net, p, adam);
	for (int i = 0; i < 40; i++)
		last = loss_step(net, p, adam);
	assert_true(first > 0.5 && last < 0.1);
	tt_adamw_destroy(adam);
	tt_pool_destroy(p);
	bert_net_destroy(net);
	nn_source_free(&source);
	tt_pool_destroy(source.pool);
	free(parameters);
}

static void more_tokens_than_positions_fail(void **state)
{
	int64_t ids[POSITIONS + 1] = {CLS};
	struct nn_source source;
	struct bert_net *net = make_net(CEN, TT_F32, &source);
	tt_pool *p = tt_pool_create(TT_INFER);

	assert_null(bert_logits(net, p, tt_from_i64(p, ids, TT_SHAPE(1, POSITIONS + 1)), NULL, NULL));
	assert_non_null(strstr(tt_message(p), "17 tokens"));
	tt_clear(p);
	assert_non_null(bert_logits(net, p, tt_from_i64(p, ids, TT_SHAPE(1, POSITIONS)), NULL, NULL));
	bert_net_destroy(net);
	nn_source_free(&source);
	tt_pool_destroy(p);
	tt_pool_destroy(source.pool);
}

int main(int argc, char **argv)
{
	near_start(argv);
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(info_tells_the_order),
		T(verdict_is_the_softmax_of_the_network),
		T(batch_equals_singles),
		T(many_pairs_are_cut_into_slices),
		T(a_long_premise_loses_its_end),
		T(the_order_is_obeyed),
		T(two_ways),
		T(the_classifier_counts_the_labels),
		T(old_names_are_read),
		T(what_does_not_fit_is_refused),
		T(classify_can_be_stopped),
		T(two_pairs_are_learned),
		T(more_tokens_than_positions_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
