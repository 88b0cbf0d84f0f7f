/* test_bart.c - BART as a judge, on a small one made here: what pairs become, batches, cutting, the token table's names, forecasts. */
#include "models/bart.h"
#include "tests/torch/judge.h"

enum { LONGEST = 40 };

#define SHAPE_OF_NET                                                                                                            \
	"\"model_type\": \"bart\", \"vocab_size\": 36, \"d_model\": 72, \"encoder_layers\": 2, \"encoder_attention_heads\": 3," \
	" \"encoder_ffn_dim\": 250, \"decoder_layers\": 3, \"decoder_attention_heads\": 2, \"decoder_ffn_dim\": 190,"           \
	" \"max_position_embeddings\": 40, \"eos_token_id\": 2, \"decoder_start_token_id\": 2"
static const char config_text[] = "{" SHAPE_OF_NET ", \"id2label\": {\"0\": \"contradiction\", \"1\": \"neutral\", \"2\": \"entailment\"}}";

static char *dir;

static void create(const json_t *json, struct nn_source *source)
{
	struct bart_config config;
	struct error err = {0};

	if (bart_config_read(json, dir, &config, &err) < 0)
		fail_msg("%s", err.text);
	bart_net_destroy(bart_net_create(&config, source));
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

static void info_tells_both_stacks(void **state)
{
	struct model_info info;
	struct error err = {0};

	assert_int_equal(judge_library->inspect(dir, &info, &err), 0);
	assert_int_equal(info.kind, MODEL_NLI);
	assert_int_equal(info.context, LONGEST);
	assert_int_equal(info.layers[0], 2);
	assert_int_equal(info.layers[1], 3);
	assert_string_equal(info.notes, "0 contradiction, 1 neutral, 2 entailment (id2label)");
}

static void pairs_become_ids(void **state)
{
	static const int64_t ids[] = {JUDGE_BOS, JUDGE_A, JUDGE_A_DOG, JUDGE_EOS, JUDGE_EOS, JUDGE_DOG, JUDGE_EOS};
	struct model *m = judge_open(dir);

	judge_reads(m, "a dog", "dog", ids, COUNT(ids));
	judge_library->close(m);
}

/* Also that the last end of a padded row is the one that is read. */
static void batch_equals_singles(void **state)
{
	struct model *m = judge_open(dir);

	judge_batches(m);
	judge_library->close(m);
}

/* The final end stays: 4 tokens of the frame, 33 of the premise, 3 of the hypothesis. */
static void a_long_premise_loses_its_end(void **state)
{
	static const char text[] = "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz";
	struct model *m = judge_open(dir);
	char cut[34] = "";

	memcpy(cut, text, 33);
	judge_same(judge_pair(m, text, "xyz"), judge_pair(m, cut, "xyz"));
	judge_library->close(m);
}

/* Files hold the one token table under any of three names. */
static void put_renamed(const char *name)
{
	struct nn_source source = {.pool = tt_pool_create(TT_TRAIN), .compute = TT_F32, .device = TT_CPU, .std = 0.3};
	json_t *json = json_loads(config_text, 0, NULL);
	struct error err = {0};

	tt_seed(11);
	create(json, &source);
	assert_int_equal(nn_finish(&source, "test", &err), 0);
	small_ofa_save(dir, &source, true, "model.shared.weight", name);
	nn_source_free(&source);
	tt_pool_destroy(source.pool);
	json_decref(json);
}

static void the_table_has_three_names(void **state)
{
	struct model *m = judge_open(dir);
	struct verdict wanted = judge_pair(m, "a dog", "a cat");

	judge_library->close(m);
	for (int i = 0; i < 2; i++) {
		put_renamed(i == 0 ? "model.encoder.embed_tokens.weight" : "model.decoder.embed_tokens.weight");
		m = judge_open(dir);
		judge_same(judge_pair(m, "a dog", "a cat"), wanted);
		judge_library->close(m);
	}
	put_renamed(NULL);
	judge_refuses(dir, "model.shared.weight: missing");
}

static void texts_without_an_end_fail(void **state)
{
	static const int64_t ids[] = {JUDGE_BOS, JUDGE_A, JUDGE_EOS, JUDGE_BOS, JUDGE_A, JUDGE_A};
	struct model *m = judge_open(dir);
	const struct nli_model *judge = (const struct nli_model *)m;
	tt_pool *p = tt_pool_create(TT_INFER);

	assert_null(judge->logits(judge, p, tt_from_i64(p, ids, TT_SHAPE(2, 3)), NULL, NULL));
	assert_non_null(strstr(tt_message(p), "no end token"));
	tt_pool_destroy(p);
	judge_library->close(m);
}

static void what_does_not_fit_is_refused(void **state)
{
	judge_config(dir, "{" SHAPE_OF_NET ", \"normalize_before\": true}");
	judge_refuses(dir, "normalize_before");
	judge_config(dir, "{" SHAPE_OF_NET ", \"normalize_embedding\": false}");
	judge_refuses(dir, "normalize_embedding");
	judge_config(dir, "{" SHAPE_OF_NET ", \"static_position_embeddings\": true}");
	judge_refuses(dir, "static_position_embeddings");
	judge_config(dir, "{" SHAPE_OF_NET ", \"eos_token_id\": 5, \"vramble_label_order\": \"contradiction,neutral,entailment\"}");
	judge_refuses(dir, "eos_token_id is 5");
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
		T(info_tells_both_stacks),    T(pairs_become_ids),          T(batch_equals_singles),         T(a_long_premise_loses_its_end),
		T(the_table_has_three_names), T(texts_without_an_end_fail), T(what_does_not_fit_is_refused), T(forecasts_are_near),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
