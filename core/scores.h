/* scores.h - the arithmetic of answers: cosines to probabilities, CLIPScore, the combined order of labels. Pure; any thread.
 *
 *	scores_cosines(image, labels, n, dim, cosine);
 *	scores_softmax(cosine, n, model->logit_scale, probability);
 *	scores_combine(probability, verdicts, n, combined);
 *	scores_rank(combined, n, order);
 */
#ifndef CORE_SCORES_H
#define CORE_SCORES_H

#include <stdbool.h>

#include "core/model.h"

/* out[n]: dot products of the unit vector image[dim] with the unit vectors labels[n][dim]. A label that is NULL (it could not be embedded) gets -1,
 * the least a cosine can be. */
void scores_cosines(const float *image, const float *const *labels, int n, int dim, float *out);

/* out[n] = softmax(scale * cosine[n]) (Radford et al. 2021, fig. 3). out may be cosine. */
void scores_softmax(const float *cosine, int n, float scale, float *out);

/* out[n] = sigmoid(scale * cosine[n] + bias), each for itself (Zhai et al. 2023, algorithm 1). out may be cosine. */
void scores_sigmoid(const float *cosine, int n, float scale, float bias, float *out);

/* 2.5 * max(cosine, 0) of an image and "A photo depicts " + caption (Hessel et al. 2021, eq. 1, w = 2.5). */
float scores_clipscore(float cosine);

/* out[n] in 0..1, how much speaks for each label: sqrt(p * s), the geometric mean of CLIP's probability p and the caption's support
 * s = entailment + neutral / 2. A caption that entails the label leaves p its weight, one that is silent about it (neutral) dampens it by sqrt(1/2),
 * one that contradicts takes it away, however sure CLIP is. Without verdicts out = p, without probabilities out = s, without both 0. */
void scores_combine(const float *probability, const struct verdict *verdicts, int n, float *out);

/* Zero-shot classification of a premise by the labels whose hypotheses have these verdicts, as the transformers pipeline does it (Yin et al. 2019,
 * arXiv:1909.00161). multi false and n > 1: one of the labels holds, softmax over their entailment logits. Otherwise each may hold: entailment against
 * contradiction alone, 0.5 where neither is anything. out[n] in 0..1. */
void scores_zero_shot(const struct verdict *verdicts, int n, bool multi, float *out);

/* order[n]: indices by falling value; equal values keep the order of the labels; NaN comes last. */
void scores_rank(const float *value, int n, int *order);

/* The best minus the second best probability: 1 with one label, 0 with none. */
float scores_margin(const float *probability, int n);

/* 0..1, how much the two disagree: the largest p * contradiction over the labels. 0 where either is NULL. */
float scores_disagreement(const float *probability, const struct verdict *verdicts, int n);

#endif
