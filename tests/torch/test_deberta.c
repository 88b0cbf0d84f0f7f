/* test_deberta.c - DeBERTa as a judge, on a small one made here: what pairs become, batches, cutting, buckets, switches, forecasts. What needs a tokenizer
 * skips without SentencePiece; where it is there, it runs beside libtorch, which is half the point. */
#include "models/deberta.h"
#include "tests/torch/judge.h"

enum { LONGEST = 40, CLS = 1, SEP = 2, UNK = 3, A = 4, DOG = 31 };

#define BLANK "\xe2\x96\x81"
#define SHAPE_OF_NET                                                                                                                     \
	"\"model_type\": \"deberta-v2\", \"vocab_size\": 36, \"hidden_size\": 72, \"num_hidden_layers\": 2, \"num_attention_heads\": 3," \
	" \"intermediate_size\": 250, \"max_position_embeddings\": 40, \"position_buckets\": 8, \"relative_attention\": true,"           \
	" \"norm_rel_ebd\": \"layer_norm\", \"share_att_key\": true, \"pos_att_type\": \"p2c|c2p\", \"position_biased_input\": false,"   \
	" \"type_vocab_size\": 0, \"id2label\": {\"0\": \"entailment\", \"1\": \"neutral\", \"2\": \"contradiction\"}"
static const char config_text[] = "{" SHAPE_OF_NET "}";

static char *dir;

static void create(const json_t *json, struct nn_source *source)
{
	struct deberta_config config;
	struct error err = {0};

	if (deberta_config_read(json, dir, &config, &err) < 0)
		fail_msg("%s", err.text);
	deberta_net_destroy(deberta_net_create(&config, source));
}

/* [PAD], [CLS], [SEP], [UNK], a..z, a blank, " dog". */
static void put_tokenizer(void)
{
	struct buffer text = {0};

	buffer_puts(&text, "{\"added_tokens\": [{\"content\": \"[SEP]\", \"special\": true}, {\"content\": \"[CLS]\", \"special\": true}], \"model\":"
			   " {\"type\": \"Unigram\", \"unk_id\": 3, \"vocab\": [[\"[PAD]\", 0], [\"[CLS]\", 0], [\"[SEP]\", 0], [\"[UNK]\", 0]");
	for (char c = 'a'; c <= 'z'; c++)
		buffer_printf(&text, ", [\"%c\", -4]", c);
	buffer_puts(&text, ", [\"" BLANK "\", -3], [\"" BLANK "dog\", -5]]}}");
	data_put(dir, "tokenizer.json", text.text, text.length);
	buffer_free(&text);
}

static int setup(void **state)
{
	dir = data_dir();
	judge_put(dir, config_text, create);
	put_tokenizer();
	return 0;
}

static int teardown(void **state)
{
	data_remove_dir(dir);
	return 0;
}

static struct model *open_model(void)
{
	return row_open_unigram(dir, PRECISION_FP32, JUDGE_OWNER);
}

static void info_tells_the_order(void **state)
{
	struct model *m = open_model();
	const struct model_info *info = judge_library->info(m);

	assert_int_equal(info->kind, MODEL_NLI);
	assert_int_equal(info->context, LONGEST);
	assert_string_equal(info->notes, "0 entailment, 1 neutral, 2 contradiction (id2label)");
	judge_library->close(m);
}

/* Each text begins with a blank of its own, and a separator that is written is text. */
static void pairs_become_ids(void **state)
{
	static const int64_t plain[] = {CLS, 30, A, DOG, SEP, DOG, SEP};
	static const int64_t marked[] = {CLS, DOG, SEP, 30, UNK, SEP};
	struct model *m = open_model();

	judge_reads(m, "a dog", " dog ", plain, COUNT(plain));
	judge_reads(m, "dog", "[SEP]", marked, COUNT(marked));
	judge_library->close(m);
}

/* Also that what fills up a row is neither seen nor does it see. */
static void batch_equals_singles(void **state)
{
	struct model *m = open_model();

	judge_batches(m);
	judge_library->close(m);
}

/* 40 tokens: 3 of the frame, 33 of the premise with its blank, 4 of the hypothesis with its. */
static void a_long_premise_loses_its_end(void **state)
{
	static const char text[] = "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz";
	const struct text_pair too_long = {"a", text};
	struct model *m = open_model();
	char cut[34] = "";
	struct verdict whole = judge_pair(m, text, "xyz"), v;
	struct error err = {0};

	memcpy(cut, text, 32);
	judge_same(whole, judge_pair(m, cut, "xyz"));
	cut[31] = '\0';
	assert_true(judge_differ(whole, judge_pair(m, cut, "xyz")));
	assert_int_equal(judge_library->classify(m, &too_long, 1, &v, NULL, &err), -1);
	assert_int_equal(err.code, E_LIMIT);
	judge_library->close(m);
}

/* Of the published sizes: 256 buckets, 512 positions. */
static void buckets_grow_with_distance(void **state)
{
	const struct deberta_config c = {.buckets = 256, .reach = 512};

	assert_int_equal(deberta_bucket(&c, 0), 0);
	assert_int_equal(deberta_bucket(&c, -128), -128);
	assert_int_equal(deberta_bucket(&c, 129), 129);
	assert_int_equal(deberta_bucket(&c, 511), 255);
	assert_int_equal(deberta_bucket(&c, -511), -255);
	assert_int_equal(deberta_place(&c, 0), 256);
	assert_int_equal(deberta_place(&c, 5000), 511);
	assert_int_equal(deberta_place(&c, -5000), 0);
	for (int64_t d = 1; d < 1000; d++)
		assert_true(deberta_bucket(&c, d) >= deberta_bucket(&c, d - 1) && deberta_bucket(&c, d) == -deberta_bucket(&c, -d));
}

static void refuses_switch(const char *key, const char *value)
{
	json_t *json = json_loads(config_text, 0, NULL), *other = json_loads(value, JSON_DECODE_ANY, NULL);
	struct deberta_config config;
	struct error err = {0};

	if (other)
		json_object_set_new(json, key, other);
	else
		json_object_del(json, key);
	assert_int_equal(deberta_config_read(json, dir, &config, &err), -1);
	if (err.code != E_MODEL || !strstr(err.text, key))
		fail_msg("%s: got %d \"%s\"", key, err.code, err.text);
	json_decref(json);
}

static void what_is_no_deberta_is_refused(void **state)
{
	refuses_switch("norm_rel_ebd", "\"batch_norm\"");
	refuses_switch("pos_att_type", "[\"p2c\", \"c2p\", \"p2p\"]");
	refuses_switch("pos_att_type", "3");
	refuses_switch("conv_kernel_size", "4");
	refuses_switch("attention_head_size", "20");
	refuses_switch("pooler_hidden_size", "36");
	refuses_switch("position_buckets", "1");
	refuses_switch("max_relative_positions", "4");
	refuses_switch("hidden_act", "\"gelu_10\"");
}

static void the_kinds_of_scores_may_be_a_list(void **state)
{
	struct model *m = open_model();
	struct verdict wanted = judge_pair(m, "a dog", "a cat");

	judge_library->close(m);
	judge_config(dir, "{" SHAPE_OF_NET ", \"pos_att_type\": [\"c2p\", \"p2c\"]}");
	m = open_model();
	judge_same(judge_pair(m, "a dog", "a cat"), wanted);
	judge_library->close(m);
}

static void forecasts_are_near(void **state)
{
	judge_library->close(open_model());
	judge_forecasts(dir, 4);
}

/* Version 2's convolution, tables of positions and types in another width, places with layers of their own, without buckets. */
static void other_kinds_run_too(void **state)
{
	static const char other[] = "{\"model_type\": \"deberta-v2\", \"vocab_size\": 36, \"hidden_size\": 72, \"num_hidden_layers\": 2,"
				    " \"num_attention_heads\": 3, \"intermediate_size\": 250, \"max_position_embeddings\": 40,"
				    " \"relative_attention\": true, \"pos_att_type\": \"C2P\", \"type_vocab_size\": 2, \"embedding_size\": 30,"
				    " \"conv_kernel_size\": 5, \"conv_act\": \"silu\", \"max_relative_positions\": 12,"
				    " \"id2label\": {\"0\": \"contradiction\", \"1\": \"neutral\", \"2\": \"entailment\"}}";
	struct model *m;

	judge_put(dir, other, create);
	m = open_model();
	judge_batches(m);
	judge_library->close(m);
	judge_forecasts(dir, 4);
}

int main(int argc, char **argv)
{
	near_start(argv);
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(info_tells_the_order),
		T(pairs_become_ids),
		T(batch_equals_singles),
		T(a_long_premise_loses_its_end),
		T(buckets_grow_with_distance),
		T(what_is_no_deberta_is_refused),
		T(the_kinds_of_scores_may_be_a_list),
		T(forecasts_are_near),
		T(other_kinds_run_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
