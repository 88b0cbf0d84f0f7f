/* tokenizer_json.c - see tokenizer_json.h. */
#include "models/tokenizer_json.h"

#include <stdbool.h>
#include <string.h>

#include "models/json.h"

static const char *type_of(const json_t *step)
{
	const char *type = json_string_value(json_object_get(step, "type"));

	return type ? type : "";
}

static bool among(const char *type, const char *const *types)
{
	for (; *types; types++)
		if (strcmp(type, *types) == 0)
			return true;
	return false;
}

static int refuse(const char *key, const char *type, const char *file, struct error *err)
{
	return fail(err, E_MODEL, "%s: \"%s\" of type \"%s\" is not supported for this model", file, key, *type ? type : "null");
}

int tokenizer_json_step(const json_t *root, const char *key, const char *const *types, const char *file, struct error *err)
{
	const json_t *step = json_object_get(root, key);

	return !step || among(type_of(step), types) ? 0 : refuse(key, type_of(step), file, err);
}

/* A step that may be a sequence of several, under the name `list`. The steps of a type that does nothing to ids are passed over. */
static const json_t *only_step(const json_t *step, const char *list, const char *idle)
{
	const json_t *found = NULL, *item;
	size_t i;

	if (strcmp(type_of(step), "Sequence") != 0)
		return step;
	json_array_foreach(json_object_get(step, list), i, item) {
		if (strcmp(type_of(item), idle) == 0)
			continue;
		if (found)
			return step;
		found = item;
	}
	return found ? found : step;
}

/* "SASBS": a special token, the first text, ... */
static void template_shape(const json_t *pair, char *out, size_t size)
{
	const json_t *item;
	size_t i, n = 0;

	json_array_foreach((json_t *)pair, i, item) {
		const char *text = json_string_value(json_find(item, "Sequence.id"));

		if (n + 1 < size)
			out[n++] = json_object_get(item, "SpecialToken") ? 'S' : text && strlen(text) == 1 ? *text : '?';
	}
	out[n] = '\0';
}

int tokenizer_json_frame(const json_t *root, enum tokenizer_frame frame, const char *file, struct error *err)
{
	static const char *const types[] = {[TOKENIZER_ONE_END] = "BertProcessing", [TOKENIZER_TWO_ENDS] = "RobertaProcessing"};
	static const char *const shapes[] = {[TOKENIZER_ONE_END] = "SASBS", [TOKENIZER_TWO_ENDS] = "SASSBS"};
	const json_t *step = json_object_get(root, "post_processor");
	char shape[16];

	if (!step)
		return 0;
	step = only_step(step, "processors", "ByteLevel");
	if (strcmp(type_of(step), types[frame]) == 0)
		return 0;
	if (strcmp(type_of(step), "TemplateProcessing") != 0)
		return refuse("post_processor", type_of(step), file, err);
	template_shape(json_object_get(step, "pair"), shape, sizeof shape);
	if (strcmp(shape, shapes[frame]) == 0)
		return 0;
	return fail(err, E_MODEL, "%s: \"post_processor\" puts two texts (A, B) and special tokens (S) together as %s; this model needs %s", file,
		    shape, shapes[frame]);
}

/* ---- SentencePiece ---- */

static bool collapses_blanks(const json_t *step)
{
	const char *pattern = json_string_value(json_find(step, "pattern.Regex")), *with = json_string_value(json_object_get(step, "content"));

	return pattern && with && strcmp(pattern, " {2,}") == 0 && (strcmp(with, " ") == 0 || strcmp(with, "\xe2\x96\x81") == 0);
}

static int check_normalizer(const json_t *step, const char *file, struct error *err)
{
	static const char *const known[] = {"Precompiled", "Strip", NULL};
	const json_t *list = json_object_get(step, "normalizers"), *item;
	size_t i;

	if (strcmp(type_of(step), "Sequence") != 0)
		return json_is_null(step) || among(type_of(step), known) ? 0 : refuse("normalizer", type_of(step), file, err);
	json_array_foreach((json_t *)list, i, item)
		if (!among(type_of(item), known) && !collapses_blanks(item))
			return refuse("normalizer", type_of(item), file, err);
	return 0;
}

int tokenizer_json_unigram(const json_t *root, const char *file, struct error *err)
{
	static const struct json_plain others[] = {{"model.byte_fallback", "false"}};
	const json_t *normalizer = json_object_get(root, "normalizer"), *split = json_object_get(root, "pre_tokenizer");
	struct json_reader r = {.file = file, .err = err};
	const char *when;

	if (json_refuse_others(&r, root, others, sizeof others / sizeof others[0]) < 0)
		return -1;

	if (normalizer && check_normalizer(normalizer, file, err) < 0)
		return -1;
	if (!split)
		return 0;
	split = only_step(split, "pretokenizers", "WhitespaceSplit");
	if (strcmp(type_of(split), "Metaspace") != 0)
		return refuse("pre_tokenizer", type_of(split), file, err);
	when = json_string_value(json_object_get(split, "prepend_scheme"));
	if (json_is_false(json_object_get(split, "add_prefix_space")) || (when && strcmp(when, "never") == 0))
		return fail(err, E_MODEL, "%s: \"pre_tokenizer\" puts no blank before the first word; this is not supported", file);
	return 0;
}
