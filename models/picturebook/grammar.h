/* grammar.h - the language of the picture book: one caption per scene, and captions read back.
 *
 *   caption  = thing [ relation thing [ "and" thing ] ] [ place ]        "a red ball left of an orange cat and a blue key in the snow"
 *   thing    = ( "a" | "an" ) [ colour ] kind
 *   relation = "left of" | "right of" | "above" | "below" | "beside"
 *   place    = "on grass" | "on sand" | "in the snow" | "under a night sky" | "in a room" | "by the sea"
 *
 * All words are lower case. scene.h says which thing is named first, so a scene has exactly one caption. Pure functions, any thread.
 *
 *	char caption[CAPTION_MAX];
 *	caption_write(&scene, caption);
 *	if (caption_parse(from_a_model, &said, &err) == 0 && caption_same(&said, &scene)) ...
 */
#ifndef MODELS_PICTUREBOOK_GRAMMAR_H
#define MODELS_PICTUREBOOK_GRAMMAR_H

#include "core/error.h"
#include "core/mem.h"
#include "models/picturebook/scene.h"

#define CAPTION_MAX 160 /* bytes that hold any caption with its final NUL */

/* Constant words: "cat", "red", "left of", "on grass"; "" for RELATION_NONE, BACKGROUND_PLAIN and COLOUR_NONE. */
const char *kind_name(enum scene_kind kind);
const char *colour_name(enum scene_colour colour);
const char *relation_text(enum scene_relation relation);
const char *background_text(enum scene_background background);

/* "an" before a vowel, else "a": right for every word of this grammar. */
const char *word_article(const char *word);

/* What may stand before a caption: "a picture of", "there is"... */
#define CAPTION_LEADS 5
extern const char *const caption_leads[CAPTION_LEADS];

/* Writes the one caption of the scene, without a final period. COLOUR_NONE leaves the colour out, RELATION_NONE joins things by "and". */
void caption_write(const struct scene *scene, char out[CAPTION_MAX]);

/* Reads a caption into *out: n_things, relation, background and each thing's kind and colour (COLOUR_NONE when not named); the rest is 0. "the"
 * serves as an article, a lead such as "a picture of" and a final period are skipped. Returns -1 with E_FORMAT and the first word
 * that does not fit. */
int caption_parse(const char *text, struct scene *out, struct error *err);

/* Whether two scenes have the same caption. */
bool caption_same(const struct scene *a, const struct scene *b);

/* Adds to *out every word that captions and the sentences of nli.h can hold, one per line, sorted, each once; without the period. */
void scene_words(struct buffer *out);

#endif
