/* test_picturebook.c - the bundled networks do what their card says, on scenes they never saw. The bounds lie a little below the card's numbers,
 * because fewer scenes are tried here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include "models/picturebook/measure.h"
#include "models/picturebook/nli.h"
#include "tests/torch/near.h"

enum { GROUPS = 2, CAPTIONS = 96, PAIRS = 512 };

static const char folder[] = "models/picturebook";

static struct model *open_network(const char *name)
{
	static const struct model_control nothing;
	struct error err = {0};
	char path[256];
	snprintf(path, sizeof path, "%s/%s/model.safetensors", folder, name);
	if (access(path, R_OK) < 0) {
		print_message("%s is missing: make train makes it\n", path);
		skip();
	}
	snprintf(path, sizeof path, "%s/%s", folder, name);
	struct model *m = model_configure(path, &err);
	if (!m || model_load(m, DEVICE_CPU, PRECISION_FP32, 0, &nothing, &err) < 0)
		fail_msg("%s", err.text);
	return m;
}

static void at_least(const char *what, float share, float bound)
{
	if (share < bound)
		fail_msg("%s: %.3f, expected at least %.3f", what, (double)share, (double)bound);
}

static void clip_tells_scenes_apart(void **state)
{
	struct model *m = open_network("clip");
	struct measure_clip r;
	struct error err = {0};
	if (measure_clip(m, GROUPS, &r, &err) < 0)
		fail_msg("%s", err.text);
	at_least("the right caption of 64", r.retrieval, 0.95f);
	at_least("the caption against swapped colours", r.colours, 0.90f);
	at_least("the kind of a single thing", r.kinds, 0.95f);
	at_least("the kind, in a colour it had", r.kinds_seen, 0.95f);
	at_least("the caption against another relation", r.relations, 0.88f);
	at_least("cosine of a picture and its caption", r.cosine, r.foil_cosine + 0.1f);
	model_close(m);
}

static void ofa_describes_scenes(void **state)
{
	struct model *m = open_network("ofa");
	struct measure_captions r;
	struct error err = {0};
	if (measure_captions(m, CAPTIONS, &r, &err) < 0)
		fail_msg("%s", err.text);
	at_least("every thing with its colour", r.things, 0.93f);
	at_least("things and relation", r.relations, 0.90f);
	model_close(m);
}

static void bert_verifies_labels(void **state)
{
	struct model *m = open_network("bert");
	struct measure_nli r;
	struct error err = {0};
	if (measure_nli(m, PAIRS, &r, &err) < 0)
		fail_msg("%s", err.text);
	at_least("verdicts", r.right, 0.95f);
	at_least("entailed", r.verdict[NLI_ENTAILMENT], 0.93f);
	at_least("contradicted", r.verdict[NLI_CONTRADICTION], 0.93f);
	model_close(m);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clip_tells_scenes_apart),
		cmocka_unit_test(ofa_describes_scenes),
		cmocka_unit_test(bert_verifies_labels),
	};
	near_start(argv);
	return cmocka_run_group_tests_name("picturebook", tests, NULL, NULL);
}
