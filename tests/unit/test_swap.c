/* Another model in a lane while the engine runs, and the survey of those at hand. For TSan, too. */
#include "tests/support/engine_bench.h"
#include "tests/support/fake_models.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/device.h"
#include "core/mem.h"

enum { PICTURES = 9, FOUND = 16, SWAPS = 300 };

static struct bench bench;
static struct candidate found[FOUND]; /* names are kept, the rest of what they own is not */
static char found_name[FOUND][128], found_problem[FOUND][256];
static int founds;
static bool surveyed;                   /* the last one came */
static int again;                       /* of the last EV_SWAPPED */
static double likely[BENCH_MAX];        /* sum of a picture's last probabilities */
static char standing[MODEL_KINDS][128]; /* the model that said last that it is ready */

static void keep_candidate(const struct candidate *c)
{
	assert_in_range(founds, 0, FOUND - 1);
	found[founds] = *c;
	snprintf(found_name[founds], sizeof found_name[0], "%s", c->name);
	snprintf(found_problem[founds], sizeof found_problem[0], "%s", c->problem ? c->problem : "");
	founds++;
}

static void check_event(const struct event *e)
{
	if (e->kind == EV_CANDIDATE && e->candidate)
		keep_candidate(e->candidate);
	surveyed = surveyed || (e->kind == EV_CANDIDATE && !e->candidate);
	if (e->kind == EV_SWAPPED && !e->err)
		again = e->swapped.n;
	if (e->kind == EV_READY)
		snprintf(standing[e->model], sizeof standing[0], "%s", e->ready.info->name);
	if (e->kind == EV_SCORES) {
		likely[e->id] = 0;
		for (int i = 0; i < e->scores.n; i++)
			likely[e->id] += (double)e->scores.probability[i];
	}
}

static int setup(void **state)
{
	bench_init(&bench);
	bench.check = check_event;
	founds = again = 0;
	for (int i = 0; i < PICTURES; i++)
		bench_picture(&bench, (uint32_t)i, i % 3 == 0 ? 255 : 0, i % 3 == 1 ? 255 : 0, i % 3 == 2 ? 255 : 0, false);
	return 0;
}

static int teardown(void **state)
{
	bench_free(&bench);
	return 0;
}

/* All models have been opened, or could not be. */
static void start(void)
{
	int used = 0, failing = 0;

	for (int kind = 0; kind < MODEL_KINDS; kind++) {
		used += bench.options.model_dir[kind] != NULL;
		failing += bench.options.model_dir[kind] && strstr(bench.options.model_dir[kind], "unreadable");
	}
	bench_start_labels(&bench);
	bench_await(&bench, EV_READY, used - failing);
	bench_await(&bench, EV_MODEL_FAILED, failing);
}

/* And all pictures are answered. */
static void answer_all(void)
{
	start();
	bench_submit_all(&bench, 0, PICTURES, ENGINE_ANSWERS);
	bench_await(&bench, EV_RANKING, PICTURES);
	bench_await_quiet(&bench);
}

static void swap(enum model_kind kind, const char *dir)
{
	struct error err;

	/* A lane without a model has its turn in opening, too, and nothing tells that it is over. */
	while (engine_swap(bench.engine, kind, dir, &err) < 0)
		if (!strstr(err.text, "models are still being opened"))
			fail_msg("%s", err.text);
}

static void check_answers(const char *size)
{
	for (int i = 0; i < PICTURES; i++) {
		char expected[64];

		snprintf(expected, sizeof expected, "a %spicture that is mostly %s", size, bench_colours[i % 3]);
		assert_string_equal(bench.caption[i], expected);
		assert_int_equal(bench.best[i], i % 3);
	}
	bench_check_sums(&bench);
}

/* ---------------------------------------------------------------- what is answered anew */

/* Both captioners together do not fit into the device: the old one has to be gone first, and nobody has to make room. */
static void test_captioner(void **state)
{
	struct fake before, after;

	fake.device_bytes = 2700LL << 20;
	fake.activation[MODEL_SCORES] = fake.activation[MODEL_CAPTION] = 1 << 20;
	answer_all();
	fake_look(&before);
	swap(MODEL_CAPTION, "models/ofa-large");
	bench_await(&bench, EV_SWAPPED, 1);
	bench_await_quiet(&bench);
	fake_look(&after);
	check_answers("large ");
	assert_int_equal(again, PICTURES);
	assert_int_equal(bench.count[EV_RANKING], 2 * PICTURES);
	assert_int_equal(bench.of[4][EV_CLIPSCORE], 2);
	assert_int_equal(bench.of[4][EV_VERDICTS], 2);
	assert_int_equal(after.images, before.images); /* CLIP's */
	assert_int_equal(after.captions - before.captions, PICTURES);
	assert_int_equal(after.refused, 0);
	assert_int_equal(after.evictions - before.evictions, 1); /* when it was closed */
	assert_int_equal(bench.count[EV_LADDER], 0);
	assert_int_equal(after.opened[MODEL_CAPTION], 2);
	assert_int_equal(after.closed[MODEL_CAPTION], 1);
	assert_int_equal(bench_status(&bench).lane[MODEL_CAPTION].weight_bytes, 1400LL << 20);
}

static void test_scores(void **state)
{
	struct fake before, after;

	answer_all();
	assert_true(fabs(likely[0] - 1) < 1e-5);
	fake_look(&before);
	swap(MODEL_SCORES, "models/siglip");
	bench_await(&bench, EV_SWAPPED, 1);
	bench_await_quiet(&bench);
	fake_look(&after);
	check_answers("");
	assert_int_equal(after.captions, before.captions);
	assert_int_equal(after.images - before.images, PICTURES);
	/* Labels and captions for CLIPScore. */
	assert_int_equal(after.texts - before.texts, 3 + PICTURES);
	/* No longer a softmax: a label's probability is its own, so they need not sum to 1. */
	assert_true(fabs(likely[0] - 0.5) < 0.05);
	assert_int_equal(bench.of[4][EV_SCORES], 2);
	assert_int_equal(bench.of[4][EV_CAPTION], 1);
}

static void test_verdicts(void **state)
{
	struct fake before, after;

	answer_all();
	fake_look(&before);
	swap(MODEL_NLI, "models/bert-large");
	bench_await(&bench, EV_SWAPPED, 1);
	bench_await_quiet(&bench);
	fake_look(&after);
	check_answers("");
	assert_int_equal(after.pairs - before.pairs, 3 * PICTURES);
	assert_int_equal(after.images, before.images);
	assert_int_equal(after.captions, before.captions);
	assert_int_equal(after.texts, before.texts);
}

/* What others are at, or have in line, is no business of the model that goes. */
static void test_others_go_on(void **state)
{
	struct fake look = {0};

	start();
	bench_submit(&bench, 0, ENGINE_BACKGROUND, ENGINE_ANSWERS); /* and the labels are embedded */
	bench_await(&bench, EV_RANKING, 1);
	fake_lock();
	fake.hold_texts = true;
	fake_unlock();
	bench_submit_all(&bench, 1, PICTURES - 1, ENGINE_ANSWERS);
	bench_await(&bench, EV_CAPTION, PICTURES);
	swap(MODEL_NLI, "models/bert-large");
	bench_await(&bench, EV_SWAPPED, 1);
	assert_int_equal(bench.count[EV_CLIPSCORE], 1);
	fake_lock();
	fake.hold_texts = false;
	fake_unlock();
	bench_await_quiet(&bench);
	fake_look(&look);
	assert_int_equal(bench.count[EV_CLIPSCORE], PICTURES);
	assert_int_equal(look.captions, PICTURES);
	check_answers("");
}

/* What ran is stopped: it would be void. */
static void test_stops_a_batch(void **state)
{
	fake.hold[MODEL_CAPTION] = true;
	start();
	bench_submit_all(&bench, 0, PICTURES, ENGINE_ANSWERS);
	fake_await_held(MODEL_CAPTION);
	swap(MODEL_CAPTION, "models/ofa-large");
	bench_await(&bench, EV_SWAPPED, 1);
	assert_int_equal(bench.count[EV_CAPTION], 0);
	fake_hold(MODEL_CAPTION, false);
	bench_await(&bench, EV_RANKING, PICTURES);
	bench_await_quiet(&bench);
	check_answers("large ");
	assert_int_equal(bench.count[EV_RANKING], PICTURES);
}

static void test_into_an_empty_place(void **state)
{
	bench.options.model_dir[MODEL_CAPTION] = NULL;
	answer_all();
	assert_int_equal(bench.count[EV_CAPTION], 0);
	swap(MODEL_CAPTION, "models/ofa-large");
	bench_await(&bench, EV_SWAPPED, 1);
	bench_await_quiet(&bench);
	check_answers("large ");
	assert_int_equal(bench.of[0][EV_VERDICTS], 1);
	assert_int_equal(bench.of[0][EV_CLIPSCORE], 1);
}

/* A model that could not be opened is followed by one that can. */
static void test_after_a_failure(void **state)
{
	bench.options.model_dir[MODEL_SCORES] = "models/clip-unreadable";
	answer_all();
	assert_int_equal(bench.count[EV_MODEL_FAILED], 1);
	assert_int_equal(bench.count[EV_SCORES], 0);
	swap(MODEL_SCORES, "models/clip");
	bench_await(&bench, EV_SWAPPED, 1);
	bench_await_quiet(&bench);
	check_answers("");
	assert_int_equal(bench.of[0][EV_SCORES], 1);
}

/* ---------------------------------------------------------------- what is refused */

static void expect_refusal(enum model_kind kind, const char *dir, const char *reason)
{
	int before = bench.count[EV_SWAPPED];

	swap(kind, dir);
	bench_await(&bench, EV_SWAPPED, before + 1);
	if (!strstr(bench.last_error, reason))
		fail_msg("\"%s\" is not in: %s", reason, bench.last_error);
}

static void test_refused(void **state)
{
	struct fake before, after;

	answer_all();
	fake_look(&before);
	expect_refusal(MODEL_CAPTION, "models/ofa-broken", "config.json is broken");
	expect_refusal(MODEL_CAPTION, "models/clip", "models/clip is a model that scores labels, not one that writes captions");
	fake_look(&after);
	assert_int_equal(after.closed[MODEL_CAPTION], 0);
	assert_int_equal(after.opened[MODEL_CAPTION], before.opened[MODEL_CAPTION]);
	assert_true(bench_status(&bench).lane[MODEL_CAPTION].ready);
	assert_int_equal(bench.count[EV_RANKING], PICTURES);
	/* And it goes on working. */
	bench_submit(&bench, 0, ENGINE_SELECTED, ENGINE_ANSWERS);
	bench_await(&bench, EV_RANKING, PICTURES + 1);
	check_answers("");
}

static void test_old_one_comes_back(void **state)
{
	struct fake look;

	answer_all();
	expect_refusal(MODEL_CAPTION, "models/ofa-unreadable", "the former model is opened again: models/ofa-unreadable");
	bench_await(&bench, EV_READY, MODEL_KINDS + 1);
	assert_string_equal(standing[MODEL_CAPTION], "ofa");
	fake_look(&look);
	assert_int_equal(look.opened[MODEL_CAPTION], 3);
	assert_int_equal(bench.count[EV_RANKING], PICTURES);
	bench_submit(&bench, 1, ENGINE_SELECTED, ENGINE_ANSWERS);
	bench_await(&bench, EV_RANKING, PICTURES + 1);
	check_answers("");
}

static void test_empty_place_stays_empty(void **state)
{
	bench.options.model_dir[MODEL_NLI] = NULL;
	answer_all();
	expect_refusal(MODEL_NLI, "models/nli-unreadable", "models/nli-unreadable: the fake model was told to fail");
	assert_false(bench_status(&bench).lane[MODEL_NLI].used);
	bench_submit(&bench, 1, ENGINE_SELECTED, ENGINE_ANSWERS);
	bench_await(&bench, EV_RANKING, PICTURES + 1);
	assert_int_equal(bench.count[EV_FAILED], 0);
	assert_int_equal(bench.count[EV_VERDICTS], 0);
}

static void expect_not_now(enum model_kind kind, const char *reason)
{
	struct error err;

	assert_int_equal(engine_swap(bench.engine, kind, "models/clip", &err), -1);
	if (!strstr(err.text, reason))
		fail_msg("\"%s\" is not in: %s", reason, err.text);
}

static void test_not_before_the_library(void **state)
{
	struct error err;

	fake.hold_library = true;
	bench_start(&bench);
	expect_not_now(MODEL_SCORES, "models are still being opened");
	assert_int_equal(engine_survey(bench.engine, NULL, NULL, &err), -1);
	fake_hold_library(false);
	bench_await(&bench, EV_READY, MODEL_KINDS);
}

/* A trial and a swap keep out of each other's way, and a lane takes one wish at a time. */
static void test_not_now(void **state)
{
	struct engine_trial trial = {.settings = bench.options.settings};
	const char *path = bench_path(&bench, 0);
	struct error err;

	start();
	fake_hold(MODEL_SCORES, true);
	assert_int_equal(engine_try(bench.engine, &trial, &path, 1, &err), 0);
	expect_not_now(MODEL_SCORES, "a trial is running");
	fake_hold(MODEL_SCORES, false);
	bench_await(&bench, EV_TRIAL, 1);
	fake_hold_open(MODEL_SCORES, true);
	swap(MODEL_SCORES, "models/clip-large");
	fake_await_opening();
	expect_not_now(MODEL_SCORES, "models/clip-large is still being opened");
	assert_int_equal(engine_try(bench.engine, &trial, &path, 1, &err), -1);
	assert_non_null(strstr(err.text, "models are still being opened"));
	/* What is asked for meanwhile waits for it. */
	engine_set_labels(bench.engine, bench_labels, 3, 0);
	bench_submit_all(&bench, 0, PICTURES, ENGINE_ANSWERS);
	fake_hold_open(MODEL_SCORES, false);
	bench_await(&bench, EV_RANKING, PICTURES);
	bench_await_quiet(&bench);
	check_answers("");
	assert_int_equal(bench.count[EV_SCORES], PICTURES);
}

/* ---------------------------------------------------------------- at random */

static const char *const names[MODEL_KINDS][5] = {
	{"m/clip", "m/clip-large", "m/siglip", "m/clip-broken", "m/clip-unreadable"},
	{"m/ofa", "m/ofa-large", "m/blip-large", "m/ofa-unreadable", "m/bert"},
	{"m/bert", "m/bert-large", "m/nli", "m/nli-broken", "m/nli-unreadable"},
};

static void disturb(unsigned *seed)
{
	struct engine_settings settings = engine_get_settings(bench.engine);

	switch (rand_r(seed) % 6) {
	case 0:
		engine_cancel(bench.engine, (uint32_t)(rand_r(seed) % PICTURES));
		break;
	case 1:
		engine_set_labels(bench.engine, bench_labels, 1 + rand_r(seed) % 3, 0);
		break;
	case 2:
		settings.batch = 1 + rand_r(seed) % 6;
		settings.precision[rand_r(seed) % MODEL_KINDS] = (enum precision)(rand_r(seed) % PRECISIONS);
		assert_int_equal(engine_set_settings(bench.engine, &settings, NULL), 0);
		break;
	case 3:
		engine_undo_ladder(bench.engine);
		break;
	default:
		bench_submit(&bench, (uint32_t)(rand_r(seed) % PICTURES), (enum engine_priority)(rand_r(seed) % (ENGINE_SELECTED + 1)),
			     ENGINE_ANSWERS);
	}
}

static void test_at_random(void **state)
{
	unsigned seed = 7;
	int asked = 0;
	struct error err;

	fake.device_bytes = 2700LL << 20; /* two large ones do not fit beside each other: the ladder has a part in it */
	fake.steps = 3;
	start();
	for (int i = 0; i < SWAPS; i++) {
		enum model_kind kind = (enum model_kind)(rand_r(&seed) % MODEL_KINDS);

		asked += engine_swap(bench.engine, kind, names[kind][rand_r(&seed) % 5], &err) == 0;
		for (int k = rand_r(&seed) % 6; k > 0; k--)
			disturb(&seed);
		bench_take(&bench);
	}
	bench_await(&bench, EV_SWAPPED, asked);
	/* Whatever was asked for is answered, or told not to be. */
	bench_await_quiet(&bench);
	bench_check_sums(&bench);
	fake_lock();
	fake.device_bytes = 0;
	fake_unlock();
	/* From whatever stands now back to what is known, one after the other. */
	for (int kind = 0; kind < MODEL_KINDS; kind++) {
		while (engine_swap(bench.engine, (enum model_kind)kind, names[kind][0], &err) < 0)
			bench_take(&bench);
		bench_await(&bench, EV_SWAPPED, ++asked);
	}
	engine_set_labels(bench.engine, bench_labels, 3, 0);
	bench_submit_all(&bench, 0, PICTURES, ENGINE_ANSWERS);
	bench_await_quiet(&bench);
	check_answers("");
	for (int kind = 0; kind < MODEL_KINDS; kind++)
		assert_true(bench_status(&bench).lane[kind].ready);
}

/* Left in the middle of it. */
static void test_left(void **state)
{
	fake.step_us = 200;
	start();
	bench_submit_all(&bench, 0, PICTURES, ENGINE_ANSWERS);
	for (int kind = 0; kind < MODEL_KINDS; kind++)
		swap((enum model_kind)kind, names[kind][1]);
}

/* ---------------------------------------------------------------- survey */

static void make_model(const char *name)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof path, "%s/%s", bench.dir, name);
	assert_int_equal(mkdir(path, 0777), 0);
	strcat(path, "/config.json");
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fputs("{}", f) < 0 || fclose(f), 0);
}

static const struct candidate *candidate(const char *name)
{
	for (int i = 0; i < founds; i++) {
		size_t n = strlen(found_name[i]), m = strlen(name);

		if (n >= m && !strcmp(found_name[i] + n - m, name))
			return &found[i];
	}
	fail_msg("%s was not found", name);
	return NULL;
}

static void survey(const char *name)
{
	struct error err;
	int before = bench.count[EV_CANDIDATE];

	founds = 0;
	surveyed = false;
	if (engine_survey(bench.engine, NULL, name, &err) < 0)
		fail_msg("%s", err.text);
	while (!surveyed)
		bench_await(&bench, EV_CANDIDATE, ++before);
}

static void test_survey(void **state)
{
	static const char *const models[] = {"clip", "clip-large", "ofa", "ofa-large", "nli-broken"};
	char *dir[MODEL_KINDS] = {xasprintf("%s/clip", bench.dir), xasprintf("%s/ofa", bench.dir), NULL};
	const struct candidate *c;

	for (int i = 0; i < 5; i++)
		make_model(models[i]);
	setenv("HF_HUB_CACHE", bench.dir, 1);
	setenv("MODELSCOPE_CACHE", bench.dir, 1);
	setenv("HOME", bench.dir, 1);
	for (int i = 0; i < MODEL_KINDS; i++)
		bench.options.model_dir[i] = dir[i];
	/* With the large captioner in place of the small one a run does not fit any more. */
	fake.device_bytes = 4200LL << 20;
	start();
	survey(NULL);
	assert_int_equal(founds, 5);
	c = candidate("/ofa");
	assert_true(c->in_use && c->known && c->fits);
	assert_int_equal(c->info.kind, MODEL_CAPTION);
	assert_int_equal(c->forecast.weights, 700LL << 20);
	c = candidate("/ofa-large");
	assert_true(!c->in_use && c->known && !c->fits);
	assert_int_equal(c->forecast.weights, 1400LL << 20);
	assert_int_equal(c->used - candidate("/ofa")->used, 700LL << 20);
	assert_true(c->limit > 0 && c->used > c->limit);
	c = candidate("/nli-broken");
	assert_true(!c->known && !c->path);
	survey(dir[1]);
	assert_int_equal(founds, 1);
	assert_true(found[0].in_use);
	survey("no/such-model");
	assert_int_equal(founds, 1);
	assert_null(found[0].path);
	assert_non_null(strstr(found_problem[0], "no/such-model"));
	for (int i = 0; i < MODEL_KINDS; i++)
		free(dir[i]);
}

/* Nothing can stop a look at a slow disk: the engine ends without it. */
static void test_survey_is_left(void **state)
{
	struct error err;
	int before;

	start();
	fake_lock();
	fake.hold_configure = true;
	fake_unlock();
	assert_int_equal(engine_survey(bench.engine, NULL, bench.dir, &err), 0);
	fake_hold_configure(true);
	assert_int_equal(engine_survey(bench.engine, NULL, NULL, &err), -1);
	assert_non_null(strstr(err.text, "looked at already"));
	bench_take(&bench);
	before = bench.count[EV_CANDIDATE];
	engine_destroy(bench.engine);
	bench.engine = NULL;
	assert_int_equal(before, 0);
	fake_hold_configure(false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_captioner, setup, teardown),
		cmocka_unit_test_setup_teardown(test_scores, setup, teardown),
		cmocka_unit_test_setup_teardown(test_verdicts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_others_go_on, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stops_a_batch, setup, teardown),
		cmocka_unit_test_setup_teardown(test_into_an_empty_place, setup, teardown),
		cmocka_unit_test_setup_teardown(test_after_a_failure, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_old_one_comes_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_empty_place_stays_empty, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_before_the_library, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_now, setup, teardown),
		cmocka_unit_test_setup_teardown(test_at_random, setup, teardown),
		cmocka_unit_test_setup_teardown(test_left, setup, teardown),
		cmocka_unit_test_setup_teardown(test_survey, setup, teardown),
		cmocka_unit_test_setup_teardown(test_survey_is_left, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
