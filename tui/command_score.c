/* command_score.c - `vramble score --labels "a;b" FILE…`: CLIP's probability for each label; with --verify also the caption and its verdict on each. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/scores.h"
#include "core/utf8.h"
#include "tui/command.h"
#include "tui/library.h"

struct scoring {
	struct invocation *in;
	char **labels;
	int n;
};

static const char *verdict_word(const struct verdict *v)
{
	if (v->entailment >= v->neutral && v->entailment >= v->contradiction)
		return "entailed";
	return v->contradiction >= v->neutral ? "contradicted" : "open";
}

static float verdict_probability(const struct verdict *v)
{
	float best = v->entailment > v->neutral ? v->entailment : v->neutral;

	return best > v->contradiction ? best : v->contradiction;
}

static void print_label(const struct answers *a, const char *label, int i)
{
	char safe[512];

	utf8_escape(label, strlen(label), safe, sizeof safe);
	if (a->probability)
		printf("  %5.1f %%  %6.3f  ", 100.0 * (double)a->probability[i], (double)a->cosine[i]);
	if (a->verdicts)
		printf("%-12s %.2f  ", verdict_word(&a->verdicts[i]), (double)verdict_probability(&a->verdicts[i]));
	printf("%s\n", safe);
}

static void print_text(const struct scoring *s, const struct outcome *o)
{
	const struct answers *a = o->answers;
	char path[4096];

	if (a->failure)
		return;
	utf8_escape(o->path, strlen(o->path), path, sizeof path);
	puts(path);
	if (a->caption)
		printf("  caption: %s\n", a->caption);
	if (!isnan(a->clipscore))
		printf("  CLIPScore: %.3f\n", (double)a->clipscore);
	for (int i = 0; i < a->ranking_n; i++)
		print_label(a, s->labels[a->order[i]], a->order[i]);
	fflush(stdout);
}

/* What the transformers pipeline scores: one of the labels holds (single), or each for itself may (multi). */
struct zero_shot {
	float *single, *multi; /* [n]; NULL without verdicts */
};

static struct zero_shot zero_shot_of(const struct answers *a, int n)
{
	struct zero_shot z = {0};

	if (a->verdicts) {
		z.single = xcalloc((size_t)n, sizeof *z.single);
		z.multi = xcalloc((size_t)n, sizeof *z.multi);
		scores_zero_shot(a->verdicts, n, false, z.single);
		scores_zero_shot(a->verdicts, n, true, z.multi);
	}
	return z;
}

static json_t *label_json(const struct answers *a, const struct zero_shot *z, const char *label, int i)
{
	json_t *row = json_pack("{s:s}", "label", label);

	if (a->probability)
		json_object_update_new(row, json_pack("{s:f, s:f}", "probability", (double)a->probability[i], "cosine", (double)a->cosine[i]));
	if (a->verdicts) {
		json_object_set_new(row, "nli",
				    json_pack("{s:f, s:f, s:f}", "entailment", (double)a->verdicts[i].entailment, "neutral",
					      (double)a->verdicts[i].neutral, "contradiction", (double)a->verdicts[i].contradiction));
		json_object_set_new(row, "zero_shot", json_pack("{s:f, s:f}", "single", (double)z->single[i], "multi", (double)z->multi[i]));
	}
	if (a->combined)
		json_object_set_new(row, "combined", json_real((double)a->combined[i]));
	return row;
}

static void print_json(const struct scoring *s, const struct outcome *o)
{
	const struct answers *a = o->answers;
	json_t *object = command_json(o), *labels = json_array();
	struct zero_shot z = zero_shot_of(a, s->n);

	if (a->caption)
		json_object_set_new(object, "caption", json_string(a->caption));
	if (!isnan(a->clipscore))
		json_object_set_new(object, "clipscore", json_real((double)a->clipscore));
	for (int i = 0; i < a->ranking_n; i++)
		json_array_append_new(labels, label_json(a, &z, s->labels[a->order[i]], a->order[i]));
	if (!a->failure)
		json_object_set(object, "labels", labels);
	json_decref(labels);
	free(z.single);
	free(z.multi);
	command_print_json(object);
}

static void done(void *ctx, const struct outcome *o)
{
	const struct scoring *s = ctx;

	(s->in->json ? print_json : print_text)(s, o);
}

int command_score(struct invocation *in)
{
	struct scoring s = {.in = in};
	int code, kinds = in->verify ? (1 << MODEL_KINDS) - 1 : 1 << MODEL_SCORES;

	if (!in->n_files) {
		complain("score needs pictures: vramble score --labels \"a cat;a dog\" FILE…");
		return EXIT_USAGE;
	}
	s.n = library_labels(&in->config, &s.labels);
	if (s.n)
		code = command_run(in, kinds, s.labels, s.n, done, &s);
	else {
		complain("score needs labels: --labels \"a cat;a dog\"");
		code = EXIT_USAGE;
	}
	library_free_labels(s.labels, s.n);
	return code;
}
