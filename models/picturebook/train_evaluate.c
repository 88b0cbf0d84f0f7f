#include "models/picturebook/train.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/picturebook/measure.h"
#include "models/picturebook/nli.h"

enum { CLIP_GROUPS = 8, CAPTIONS = 512, PAIRS = 2048 };

static struct model *open_model(const char *dir, const char *name, struct error *err)
{
	static const struct model_control nothing;
	char *folder = xasprintf("%s/%s", dir, name);
	struct model *m = model_configure(folder, err);
	free(folder);
	if (m && model_load(m, DEVICE_CPU, PRECISION_FP32, 0, &nothing, err) < 0) {
		model_close(m);
		return NULL;
	}
	return m;
}

static void row(const char *what, float share)
{
	printf("| %-64s | %5.1f %% |\n", what, 100 * (double)share);
	fflush(stdout);
}

static int clip_rows(struct model *m, struct error *err)
{
	struct measure_clip r;
	if (measure_clip(m, CLIP_GROUPS, &r, err) < 0)
		return -1;
	row("CLIP: the right caption among those of 64 scenes", r.retrieval);
	row("CLIP: the caption beats the one with swapped colours", r.colours);
	row("CLIP: names the kind of a single thing, of 32", r.kinds);
	row("CLIP: the same in a colour that training had for it", r.kinds_seen);
	row("CLIP: the caption beats the one with another relation", r.relations);
	printf("CLIP: mean cosine with \"A photo depicts\" and the caption %.3f, with swapped colours %.3f\n", (double)r.cosine,
	       (double)r.foil_cosine);
	return 0;
}

static int caption_rows(struct model *m, struct error *err)
{
	struct measure_captions r;
	if (measure_captions(m, CAPTIONS, &r, err) < 0)
		return -1;
	row("OFA: every thing with its colour", r.things);
	row("OFA: and the relation, of scenes with two or three things", r.relations);
	row("OFA: the place", r.backgrounds);
	row("OFA: the caption word for word", r.exact);
	return 0;
}

static int nli_rows(struct model *m, struct error *err)
{
	struct measure_nli r;
	if (measure_nli(m, PAIRS, &r, err) < 0)
		return -1;
	row("BERT: verdicts", r.right);
	row("BERT: of entailed hypotheses", r.verdict[NLI_ENTAILMENT]);
	row("BERT: of neutral hypotheses", r.verdict[NLI_NEUTRAL]);
	row("BERT: of contradicted hypotheses", r.verdict[NLI_CONTRADICTION]);
	return 0;
}

int train_evaluate(const char *dir, const char *only, struct error *err)
{
	static const struct {
		const char *name;
		int (*rows)(struct model *m, struct error *err);
	} parts[] = {{"clip", clip_rows}, {"ofa", caption_rows}, {"bert", nli_rows}};
	printf("| held-out scenes and pairs, weights as stored | right |\n|---|---|\n");
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
		if (only && strcmp(only, parts[i].name) != 0)
			continue;
		struct model *m = open_model(dir, parts[i].name, err);
		int status = m ? parts[i].rows(m, err) : -1;
		model_close(m);
		if (status < 0)
			return -1;
	}
	return 0;
}
