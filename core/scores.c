/* scores.c - see scores.h. */
#include "core/scores.h"

#include <math.h>
#include <stdlib.h>

#include "core/mem.h"

void scores_cosines(const float *image, const float *const *labels, int n, int dim, float *out)
{
	for (int i = 0; i < n; i++) {
		double sum = 0;

		for (int k = 0; labels[i] && k < dim; k++)
			sum += (double)image[k] * labels[i][k];
		out[i] = labels[i] ? (float)sum : -1.0f;
	}
}

void scores_softmax(const float *cosine, int n, float scale, float *out)
{
	float most = -INFINITY;
	double sum = 0;

	for (int i = 0; i < n; i++)
		most = fmaxf(most, cosine[i]);
	for (int i = 0; i < n; i++) {
		/* The largest is taken off first: exp of scale * cosine alone may overflow. */
		out[i] = expf(scale * (cosine[i] - most));
		sum += out[i];
	}
	for (int i = 0; i < n; i++)
		out[i] = (float)(out[i] / sum);
}

void scores_sigmoid(const float *cosine, int n, float scale, float bias, float *out)
{
	for (int i = 0; i < n; i++)
		out[i] = (float)(1 / (1 + exp(-((double)scale * cosine[i] + bias))));
}

float scores_clipscore(float cosine)
{
	return 2.5f * fmaxf(cosine, 0.0f);
}

void scores_combine(const float *probability, const struct verdict *verdicts, int n, float *out)
{
	for (int i = 0; i < n; i++) {
		float support = verdicts ? verdicts[i].entailment + 0.5f * verdicts[i].neutral : 0.0f;

		if (probability && verdicts)
			out[i] = sqrtf(probability[i] * support);
		else
			out[i] = probability ? probability[i] : support;
	}
}

void scores_zero_shot(const struct verdict *verdicts, int n, bool multi, float *out)
{
	bool one = !multi && n > 1;

	for (int i = 0; i < n; i++) {
		float pro = verdicts[i].entailment, both = pro + verdicts[i].contradiction;

		out[i] = one ? verdicts[i].logit : both > 0 ? pro / both : 0.5f;
	}
	if (one)
		scores_softmax(out, n, 1, out);
}

struct ranked {
	float value;
	int index;
};

static int compare_ranked(const void *pa, const void *pb)
{
	const struct ranked *a = pa, *b = pb;

	if (isnan(a->value) != isnan(b->value))
		return isnan(a->value) ? 1 : -1;
	if (a->value != b->value && !isnan(a->value))
		return a->value < b->value ? 1 : -1;
	return a->index - b->index;
}

void scores_rank(const float *value, int n, int *order)
{
	struct ranked *items = xcalloc((size_t)n, sizeof *items);

	for (int i = 0; i < n; i++)
		items[i] = (struct ranked){value[i], i};
	qsort(items, (size_t)n, sizeof *items, compare_ranked);
	for (int i = 0; i < n; i++)
		order[i] = items[i].index;
	free(items);
}

float scores_margin(const float *probability, int n)
{
	float best = 0, second = 0;

	for (int i = 0; i < n; i++) {
		if (probability[i] > best) {
			second = best;
			best = probability[i];
		} else if (probability[i] > second) {
			second = probability[i];
		}
	}
	return best - second;
}

float scores_disagreement(const float *probability, const struct verdict *verdicts, int n)
{
	float worst = 0;

	if (!probability || !verdicts)
		return 0;
	for (int i = 0; i < n; i++)
		worst = fmaxf(worst, probability[i] * verdicts[i].contradiction);
	return worst;
}
