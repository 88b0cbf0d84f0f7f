/* nli.h - sentence pairs with a label that follows from the caption's words, to train and test the verifier.
 *
 * The premise is a caption, sometimes without a colour or the place; the hypothesis is what users type as a label ("a photo of a cat", "something
 * blue", "an animal", "a snowy scene") or a sentence about the picture ("the cat is left of the ball", "there is no dog"). The label:
 *
 *   entailment      the caption says so, also through a more general word (a cat is an animal) or a turned relation.
 *   contradiction   the caption excludes it. It names every thing in the picture, so a kind it does not name is not there; a named colour, place or
 *                   relation excludes the others.
 *   neutral         the caption leaves it open: a colour or place it does not name, or something captions never speak of (mood, age, price).
 *
 * Pairs that people would quarrel about (is a mushroom a plant? are left and beside different?) are not produced. Pure functions, any thread.
 *
 *	char premise[NLI_TEXT_MAX], hypothesis[NLI_TEXT_MAX];
 *	enum nli_label label;
 *	nli_pair(seed, NULL, premise, hypothesis, &label);
 */
#ifndef MODELS_PICTUREBOOK_NLI_H
#define MODELS_PICTUREBOOK_NLI_H

#include "core/mem.h"
#include "models/picturebook/scene.h"

#define NLI_TEXT_MAX 256 /* bytes that hold any premise or hypothesis with its final NUL */

/* In the order of outputs that BERT models fine-tuned on MNLI have. */
enum nli_label {
	NLI_CONTRADICTION,
	NLI_ENTAILMENT,
	NLI_NEUTRAL,
};

/* Writes the pair of this seed; labels are about equally frequent. split (NULL: everything) chooses the premise's scene. */
void nli_pair(uint64_t seed, const struct scene_split *split, char premise[NLI_TEXT_MAX], char hypothesis[NLI_TEXT_MAX], enum nli_label *label);

/* Adds every phrase that the sentences are made of, separated by spaces. For scene_words. */
void nli_phrases(struct buffer *out);

#endif
