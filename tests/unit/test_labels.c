/* test_labels.c - label orders and verdicts of models/labels.h. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"
#include "models/labels.h"

#include <cmocka.h> /* last: its fail() is a macro */

#define NUMBERED "{\"id2label\": {\"0\": \"LABEL_0\", \"1\": \"LABEL_1\", \"2\": \"LABEL_2\"}}"

static int find(const char *config, const char *dir, int labels, const char *chosen, struct label_order *out, struct error *err)
{
	json_t *root = json_loads(config, 0, NULL);
	int rc = label_order_find(root, dir, labels, chosen, out, err);

	assert_non_null(root);
	json_decref(root);
	return rc;
}

/* The order as one number: entailment, neutral, contradiction; -1 prints as 9. */
static int digits(const struct label_order *o)
{
	return o->entailment * 100 + (o->neutral < 0 ? 9 : o->neutral) * 10 + o->contradiction;
}

static int order_in(const char *config, const char *dir, int labels)
{
	struct label_order order;
	struct error err = {0};

	return find(config, dir, labels, NULL, &order, &err) < 0 ? -1 : digits(&order);
}

static void names_decide(void **state)
{
	assert_int_equal(order_in("{\"id2label\": {\"0\": \"entailment\", \"1\": \"neutral\", \"2\": \"contradiction\"}}", "/m", 3), 12);
	assert_int_equal(order_in("{\"id2label\": {\"0\": \"CONTRADICTION\", \"1\": \"Entail\", \"2\": \"NEUTRAL\"}}", "/m", 3), 120);
	assert_int_equal(order_in("{\"id2label\": {\"0\": \"entailment\", \"1\": \"not_entailment\"}}", "/m", 2), 91);
	assert_int_equal(order_in("{\"id2label\": {\"0\": \"not_entailment\", \"1\": \"entailment\"}}", "/m", 2), 190);
	/* names win over the table */
	assert_int_equal(order_in("{\"id2label\": {\"0\": \"entailment\", \"1\": \"neutral\", \"2\": \"contradiction\"}}",
				  "/x/textattack/bert-base-uncased-MNLI", 3),
			 12);
}

#define BOTH(a, b, c, x, y, z) \
	"{\"id2label\": {\"0\": \"" a "\", \"1\": \"" b "\", \"2\": \"" c "\"}, \"label2id\": {\"" x "\": 0, \"" y "\": 1, \"" z "\": 2}}"

static void ids_decide_where_names_do_not(void **state)
{
	struct label_order order;
	struct error err = {0};

	assert_int_equal(order_in("{\"label2id\": {\"neutral\": 2, \"contradiction\": 1, \"entailment\": 0}}", "/m", 3), 21);
	assert_int_equal(order_in(BOTH("LABEL_0", "LABEL_1", "LABEL_2", "contradiction", "neutral", "entailment"), "/m", 3), 210);
	assert_int_equal(order_in(BOTH("contradiction", "neutral", "entailment", "LABEL_0", "LABEL_1", "LABEL_2"), "/m", 3), 210);
	assert_int_equal(order_in("{\"label2id\": {\"neutral\": 2, \"contradiction\": 2, \"entailment\": 0}}", "/m", 3), -1);
	assert_int_equal(order_in("{\"label2id\": {\"neutral\": 3, \"contradiction\": -1, \"entailment\": 0}}", "/m", 3), -1);
	assert_int_equal(order_in("{\"label2id\": {\"neutral\": \"2\", \"contradiction\": 1, \"entailment\": 0}}", "/m", 3), -1);
	assert_int_equal(find(BOTH("contradiction", "neutral", "entailment", "entailment", "neutral", "contradiction"), "/m", 3, NULL, &order, &err),
			 -1);
	assert_int_equal(err.code, E_MODEL);
	assert_non_null(strstr(err.text, "label2id"));
	assert_int_equal(find(BOTH("contradiction", "neutral", "entailment", "entailment", "neutral", "contradiction"), "/m", 3,
			      "contradiction,neutral,entailment", &order, &err),
			 0);
}

static void names_that_decide_nothing(void **state)
{
	assert_int_equal(order_in("{\"id2label\": {\"0\": \"entailment\", \"1\": \"entailment\", \"2\": \"neutral\"}}", "/m", 3), -1);
	assert_int_equal(order_in("{\"id2label\": {\"0\": \"entailment\", \"1\": \"neutral\"}}", "/m", 2), -1);
	assert_int_equal(order_in("{\"id2label\": {\"0\": \"entailment\", \"1\": \"neutral\", \"2\": \"contradiction\"}}", "/m", 2), -1);
	assert_int_equal(order_in("{\"id2label\": {\"0\": 7, \"1\": \"neutral\", \"2\": \"contradiction\"}}", "/m", 3), -1);
	assert_int_equal(order_in("{\"id2label\": [\"entailment\", \"neutral\", \"contradiction\"]}", "/m", 3), -1);
	assert_int_equal(order_in("{}", "/m", 4), -1);
	assert_int_equal(order_in("{}", "/m", 1), -1);
}

static void the_table_knows_folders(void **state)
{
	static const char *const textattack[] = {
		"/cache/hub/models--textattack--bert-base-uncased-MNLI/snapshots/0a1b2c",
		"/models/textattack/bert-base-uncased-MNLI",
		"/models/textattack/bert-base-uncased-MNLI/",
		"/models/bert-base-uncased-MNLI",
		"textattack--bert-base-uncased-MNLI",
		"textattack/distilbert-base-uncased-MNLI",
	};

	for (size_t i = 0; i < sizeof textattack / sizeof textattack[0]; i++)
		assert_int_equal(order_in(NUMBERED, textattack[i], 3), 120);
	assert_int_equal(order_in(NUMBERED, "/m/facebook/bart-large-mnli", 3), 210);
	assert_int_equal(order_in("{}", "/m/roberta-large-mnli", 3), 210);
	assert_int_equal(order_in("{\"_name_or_path\": \"textattack/bert-base-uncased-MNLI\"}", "/m/mine", 3), 120);
	assert_int_equal(order_in("{}", "/m/MoritzLaurer/DeBERTa-v3-base-mnli-fever-anli", 3), 12);
	assert_int_equal(order_in("{}", "/m/MoritzLaurer/DeBERTa-v3-base-mnli-fever-anli-ling-wanli-binary", 2), 91);
}

static void the_table_does_not_guess(void **state)
{
	struct label_order order;
	struct error err = {0};

	assert_int_equal(order_in(NUMBERED, "/m/my-MNLI", 3), -1);
	assert_int_equal(order_in(NUMBERED, "/m/other/bert-base-uncased-MNLI-2", 3), -1);
	assert_int_equal(order_in(NUMBERED, "/textattack/bert-base-uncased-MNLI/elsewhere", 3), -1);
	assert_int_equal(order_in(NUMBERED, "/m/textattack/bert-base-uncased-MNLI", 2), -1);
	assert_int_equal(find(NUMBERED, "/m/mine", 3, NULL, &order, &err), -1);
	assert_int_equal(err.code, E_MODEL);
	assert_non_null(strstr(err.text, "/m/mine/config.json"));
	assert_non_null(strstr(err.text, "id2label"));
	assert_non_null(strstr(err.text, "vramble_label_order"));
}

static void a_link_is_followed(void **state)
{
	char base[] = "/tmp/vramble-labels-XXXXXX";
	char *owner, *real, *link;

	assert_non_null(mkdtemp(base));
	owner = xasprintf("%s/textattack", base);
	real = xasprintf("%s/bert-base-uncased-MNLI", owner);
	link = xasprintf("%s/nli", base);
	assert_int_equal(mkdir(owner, 0700), 0);
	assert_int_equal(mkdir(real, 0700), 0);
	assert_int_equal(symlink(real, link), 0);
	assert_int_equal(order_in(NUMBERED, link, 3), 120);
	unlink(link);
	rmdir(real);
	rmdir(owner);
	rmdir(base);
	free(owner);
	free(real);
	free(link);
}

static void a_setting_wins(void **state)
{
	struct label_order order;
	struct error err = {0};

	assert_int_equal(find(NUMBERED, "/m/textattack/bert-base-uncased-MNLI", 3, "entailment, neutral ,contradiction", &order, &err), 0);
	assert_int_equal(digits(&order), 12);
	assert_int_equal(find("{}", "/m", 2, "not_entailment,entailment", &order, &err), 0);
	assert_int_equal(digits(&order), 190);
	assert_int_equal(find("{}", "/m", 3, "entailment,neutral", &order, &err), -1);
	assert_int_equal(err.code, E_USAGE);
	assert_int_equal(find("{}", "/m", 3, "entailment,neutral,neutral", &order, &err), -1);
	assert_int_equal(find("{}", "/m", 3, "entailment,neutral,contradiction,entailment", &order, &err), -1);
	assert_int_equal(find("{}", "/m", 3, "", &order, &err), -1);
	assert_int_equal(find("{}", "/m", 2, "entailment,neutral", &order, &err), -1);
}

static void an_order_describes_itself(void **state)
{
	struct label_order order;
	struct error err = {0};
	char text[200], cut[12];

	assert_int_equal(find(NUMBERED, "textattack/bert-base-uncased-MNLI", 3, NULL, &order, &err), 0);
	label_order_describe(&order, text, sizeof text);
	assert_string_equal(text, "0 contradiction, 1 entailment, 2 neutral (known order of textattack/bert-base-uncased-MNLI)");
	label_order_describe(&order, cut, sizeof cut);
	assert_string_equal(cut, "0 contradic");
	assert_int_equal(find("{}", "m", 2, "entailment,not_entailment", &order, &err), 0);
	label_order_describe(&order, text, sizeof text);
	assert_string_equal(text, "0 entailment, 1 not entailment (vramble_label_order)");
}

/* Logits and results of a reference run (order contradiction, entailment, neutral). */
static const float logits[3] = {-3.720445f, 0.3456225f, -1.578214f};
static const struct label_order cen = {.labels = 3, .entailment = 1, .neutral = 2, .contradiction = 0};

static void near(float got, double expected)
{
	if (!(fabs(got - expected) < 1e-6))
		fail_msg("%.8g instead of %.8g", got, expected);
}

static void verdicts(void **state)
{
	struct label_order two = {.labels = 2, .entailment = 0, .neutral = -1, .contradiction = 1};
	const float far[2] = {1000, -1000};
	struct verdict v;

	label_verdict(&cen, logits, &v);
	near(v.contradiction, 0.01473935);
	near(v.entailment, 0.8597045);
	near(v.neutral, 0.1255561);
	near(v.logit, 0.3456225);
	label_verdict(&two, far, &v);
	near(v.entailment, 1);
	near(v.neutral, 0);
	near(v.contradiction, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_decide),
		cmocka_unit_test(ids_decide_where_names_do_not),
		cmocka_unit_test(names_that_decide_nothing),
		cmocka_unit_test(the_table_knows_folders),
		cmocka_unit_test(the_table_does_not_guess),
		cmocka_unit_test(a_link_is_followed),
		cmocka_unit_test(a_setting_wins),
		cmocka_unit_test(an_order_describes_itself),
		cmocka_unit_test(verdicts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
