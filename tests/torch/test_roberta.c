/* test_roberta.c - RoBERTa as a judge, on a small one made here: what pairs become, batches, cutting, names, forecasts. */
#include "models/bert.h"
#include "tests/torch/judge.h"

enum { LONGEST = 40 };

#define SHAPE_OF_NET                                                                                                                  \
	"\"model_type\": \"roberta\", \"vocab_size\": 36, \"hidden_size\": 72, \"num_hidden_layers\": 2, \"num_attention_heads\": 3," \
	" \"intermediate_size\": 250, \"max_position_embeddings\": 42, \"type_vocab_size\": 1, \"layer_norm_eps\": 1e-5, \"pad_token_id\": 1"
static const char config_text[] = "{" SHAPE_OF_NET ", \"id2label\": {\"0\": \"CONTRADICTION\", \"1\": \"NEUTRAL\", \"2\": \"ENTAILMENT\"}}";

static char *dir;

static void create(const json_t *json, struct nn_source *source)
{
	struct bert_config config;
	struct error err = {0};

	if (bert_config_read(json, dir, &config, &err) < 0)
		fail_msg("%s", err.text);
	bert_net_destroy(bert_net_create(&config, source));
}

static int setup(void **state)
{
	dir = data_dir();
	judge_put(dir, config_text, create);
	judge_put_bytes(dir);
	return 0;
}

static int teardown(void **state)
{
	data_remove_dir(dir);
	return 0;
}

static void info_tells_the_order(void **state)
{
	struct model_info info;
	struct error err = {0};

	assert_int_equal(judge_library->inspect(dir, &info, &err), 0);
	assert_int_equal(info.kind, MODEL_NLI);
	assert_string_equal(info.architecture, "roberta");
	assert_int_equal(info.context, LONGEST);
	assert_string_equal(info.notes, "0 contradiction, 1 neutral, 2 entailment (id2label)");
}

/* Both texts begin without a blank, two ends lie between them, and an end that is written is spelled out. */
static void pairs_become_ids(void **state)
{
	static const int64_t plain[] = {JUDGE_BOS, JUDGE_A, JUDGE_A_DOG, JUDGE_EOS, JUDGE_EOS, JUDGE_DOG, JUDGE_EOS};
	static const int64_t marked[] = {JUDGE_BOS, JUDGE_DOG, JUDGE_EOS, JUDGE_EOS, JUDGE_UNK, JUDGE_UNK, JUDGE_A + 's' - 'a', JUDGE_UNK, JUDGE_EOS};
	struct model *m = judge_open(dir);

	judge_reads(m, "a dog", "dog", plain, COUNT(plain));
	judge_reads(m, "dog", "</s>", marked, COUNT(marked));
	judge_library->close(m);
}

static void batch_equals_singles(void **state)
{
	struct model *m = judge_open(dir);

	judge_batches(m);
	judge_library->close(m);
}

/* 40 tokens: 4 of the frame, 33 of the premise, 3 of the hypothesis. */
static void a_long_premise_loses_its_end(void **state)
{
	static const char text[] = "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz";
	const struct text_pair too_long = {"a", text};
	struct model *m = judge_open(dir);
	char cut[34] = "";
	struct verdict whole = judge_pair(m, text, "xyz"), v;
	struct error err = {0};

	memcpy(cut, text, 33);
	judge_same(whole, judge_pair(m, cut, "xyz"));
	cut[32] = '\0';
	assert_true(judge_differ(whole, judge_pair(m, cut, "xyz")));
	assert_int_equal(judge_library->classify(m, &too_long, 1, &v, NULL, &err), -1);
	assert_int_equal(err.code, E_LIMIT);
	judge_library->close(m);
}

static void what_does_not_fit_is_refused(void **state)
{
	static const char *const others[][2] = {
		{"is_decoder", "true"},
		{"add_cross_attention", "true"},
		{"pruned_heads", "{\"0\": [1]}"},
		{"quantization_config", "{\"bits\": 4}"},
		{"auto_map", "{\"AutoModel\": \"own.Net\"}"},
		{"hidden_act", "\"gelu_10\""},
	};

	judge_config(dir, "{" SHAPE_OF_NET ", \"position_embedding_type\": \"relative_key\"}");
	judge_refuses(dir, "relative_key");
	for (size_t i = 0; i < COUNT(others); i++) {
		char *config = xasprintf("{%s, \"%s\": %s}", SHAPE_OF_NET, others[i][0], others[i][1]);

		judge_config(dir, config);
		judge_refuses(dir, others[i][0]);
		free(config);
	}
	judge_config(dir,
		     "{\"model_type\": \"roberta\", \"vocab_size\": 36, \"hidden_size\": 72, \"num_hidden_layers\": 2, \"num_attention_heads\": 3,"
		     " \"intermediate_size\": 250, \"max_position_embeddings\": 2}");
	judge_refuses(dir, "no place for a text");
}

static void forecasts_are_near(void **state)
{
	judge_forecasts(dir, 5);
}

int main(int argc, char **argv)
{
	near_start(argv);
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(info_tells_the_order),         T(pairs_become_ids),   T(batch_equals_singles), T(a_long_premise_loses_its_end),
		T(what_does_not_fit_is_refused), T(forecasts_are_near),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
