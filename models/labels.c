/* labels.c - see labels.h. */
#include "models/labels.h"

#include <ctype.h>
#include <fnmatch.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/mem.h"

enum meaning { ENTAILMENT, NEUTRAL, CONTRADICTION, UNKNOWN };
enum { MOST_LABELS = 3 };

/* ---- names ---- */

/* By the beginning of the name, as published configs write them: "ENTAILMENT", "entail", "not_entailment". */
static enum meaning meaning_of(const char *name)
{
	static const struct {
		const char *prefix;
		enum meaning meaning;
	} known[] = {
		{"entail", ENTAILMENT},        {"neutral", NEUTRAL},          {"contradict", CONTRADICTION}, {"not_entail", CONTRADICTION},
		{"not-entail", CONTRADICTION}, {"not entail", CONTRADICTION}, {"non_entail", CONTRADICTION}, {"non-entail", CONTRADICTION},
	};

	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
		if (strncasecmp(name, known[i].prefix, strlen(known[i].prefix)) == 0)
			return known[i].meaning;
	return UNKNOWN;
}

/* Are these outputs a whole order: each meaning once, neutral only among three? Then out has it. */
static bool order_of(const enum meaning *outputs, int labels, struct label_order *out)
{
	int place[UNKNOWN] = {-1, -1, -1};

	for (int i = 0; i < labels; i++) {
		if (outputs[i] == UNKNOWN || place[outputs[i]] >= 0)
			return false;
		place[outputs[i]] = i;
	}
	if (place[ENTAILMENT] < 0 || place[CONTRADICTION] < 0)
		return false;
	*out = (struct label_order){
		.labels = labels, .entailment = place[ENTAILMENT], .neutral = place[NEUTRAL], .contradiction = place[CONTRADICTION]};
	return true;
}

/* ---- an explicit setting ---- */

static int order_from_setting(const char *chosen, int labels, struct label_order *out, struct error *err)
{
	enum meaning outputs[MOST_LABELS];
	char *copy = xstrdup(chosen), *rest = copy, *part;
	bool fine = true;
	int n = 0;

	while (fine && (part = strsep(&rest, ","))) {
		while (isspace((unsigned char)*part))
			part++;
		fine = n < labels;
		if (fine)
			outputs[n++] = meaning_of(part);
	}
	free(copy);
	if (!fine || n != labels || !order_of(outputs, labels, out))
		return fail(err, E_USAGE, "label order \"%s\": expected the %d names of the model's outputs, each once, e.g. \"%s\"", chosen, labels,
			    labels == 2 ? "entailment,not_entailment" : "contradiction,entailment,neutral");
	snprintf(out->source, sizeof out->source, "vramble_label_order");
	return 0;
}

/* ---- id2label, label2id ---- */

static bool order_from_names(const json_t *config, int labels, struct label_order *out)
{
	const json_t *names = json_object_get(config, "id2label");
	enum meaning outputs[MOST_LABELS];

	if (json_object_size(names) != (size_t)labels)
		return false;
	for (int i = 0; i < labels; i++) {
		char key[16];
		const char *name;

		snprintf(key, sizeof key, "%d", i);
		name = json_string_value(json_object_get(names, key));
		outputs[i] = name ? meaning_of(name) : UNKNOWN;
	}
	if (!order_of(outputs, labels, out))
		return false;
	snprintf(out->source, sizeof out->source, "id2label");
	return true;
}

static bool order_from_ids(const json_t *config, int labels, struct label_order *out)
{
	const json_t *ids = json_object_get(config, "label2id"), *id;
	enum meaning outputs[MOST_LABELS] = {UNKNOWN, UNKNOWN, UNKNOWN};
	const char *name;

	if (json_object_size(ids) != (size_t)labels)
		return false;
	json_object_foreach((json_t *)ids, name, id) {
		if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) >= labels)
			return false;
		outputs[json_integer_value(id)] = meaning_of(name);
	}
	if (!order_of(outputs, labels, out))
		return false;
	snprintf(out->source, sizeof out->source, "label2id");
	return true;
}

/* Do they tell two different orders? The published code takes the names of its answers from one and the zero-shot pipeline asks the other. */
static bool names_disagree(const json_t *config, int labels)
{
	struct label_order names, ids;

	return order_from_names(config, labels, &names) && order_from_ids(config, labels, &ids) &&
	       (names.entailment != ids.entailment || names.contradiction != ids.contradiction);
}

/* ---- known models ---- */

/* Checkpoints whose names do not say their order (or once did not). TextAttack's: its data-set table maps GLUE's (entailment, neutral, contradiction) to outputs
 * 1, 2, 0. The order of the others is that of their model cards. Later rows are looked at only when no earlier one matched. */
static const struct known_order {
	const char *repository; /* owner/name; * stands for anything */
	int labels;
	enum meaning outputs[MOST_LABELS];
} known_orders[] = {
	{"textattack/bert-base-uncased-MNLI", 3, {CONTRADICTION, ENTAILMENT, NEUTRAL}},
	{"textattack/bert-base-uncased-snli", 3, {CONTRADICTION, ENTAILMENT, NEUTRAL}},
	{"textattack/*-MNLI", 3, {CONTRADICTION, ENTAILMENT, NEUTRAL}},
	{"textattack/*-mnli", 3, {CONTRADICTION, ENTAILMENT, NEUTRAL}},
	{"textattack/*-snli", 3, {CONTRADICTION, ENTAILMENT, NEUTRAL}},
	{"cross-encoder/nli-*", 3, {CONTRADICTION, ENTAILMENT, NEUTRAL}},
	{"facebook/bart-large-mnli", 3, {CONTRADICTION, NEUTRAL, ENTAILMENT}},
	{"FacebookAI/roberta-large-mnli", 3, {CONTRADICTION, NEUTRAL, ENTAILMENT}},
	{"roberta-large-mnli", 3, {CONTRADICTION, NEUTRAL, ENTAILMENT}},
	{"microsoft/deberta-*-mnli", 3, {CONTRADICTION, NEUTRAL, ENTAILMENT}},
	{"MoritzLaurer/*-binary", 2, {ENTAILMENT, CONTRADICTION}},
	{"MoritzLaurer/*-zeroshot-v*", 2, {ENTAILMENT, CONTRADICTION}},
	{"MoritzLaurer/DeBERTa-v3-*-mnli-*", 3, {ENTAILMENT, NEUTRAL, CONTRADICTION}},
};

/* pattern against "owner/name", or a literal pattern's name alone against a folder that somebody made for it. */
static bool repository_matches(const char *pattern, const char *repository)
{
	const char *name = strrchr(pattern, '/');

	if (fnmatch(pattern, repository, FNM_PATHNAME) == 0)
		return true;
	return name && !strchr(pattern, '*') && !strchr(repository, '/') && strcmp(name + 1, repository) == 0;
}

static const struct known_order *known_find(const char *repository, int labels)
{
	for (size_t i = 0; i < sizeof known_orders / sizeof known_orders[0]; i++)
		if (known_orders[i].labels == labels && repository_matches(known_orders[i].repository, repository))
			return &known_orders[i];
	return NULL;
}

/* "models--owner--name" -> "owner/name"; a folder without the prefix is taken as "owner--name". malloc'd. */
static char *repository_of_folder(const char *folder)
{
	const char *start = strncmp(folder, "models--", 8) == 0 ? folder + 8 : folder, *gap = strstr(start, "--");

	return gap ? xasprintf("%.*s/%s", (int)(gap - start), start, gap + 2) : xstrdup(start);
}

/* Looks at a path's last folder, at its last two as owner/name, and at every folder that a cache named after a repository. */
static const struct known_order *known_find_path(const char *path, int labels)
{
	const struct known_order *found = NULL;
	char *copy = xstrdup(path), *rest = copy, *part, *owner = NULL, *last = NULL, *pair;

	while (!found && (part = strsep(&rest, "/"))) {
		char *repository = repository_of_folder(part);

		if (strncmp(part, "models--", 8) == 0)
			found = known_find(repository, labels);
		free(repository);
		if (*part && strcmp(part, ".") != 0) {
			owner = last;
			last = part;
		}
	}
	if (!found && last) {
		char *repository = repository_of_folder(last);

		pair = xasprintf("%s/%s", owner ? owner : "", last);
		found = known_find(repository, labels);
		if (!found)
			found = known_find(pair, labels);
		free(repository);
		free(pair);
	}
	free(copy);
	return found;
}

static bool order_from_table(const json_t *config, const char *dir, int labels, struct label_order *out)
{
	const char *origin = json_string_value(json_object_get(config, "_name_or_path"));
	char *real = realpath(dir, NULL);
	const struct known_order *known = known_find_path(dir, labels);

	if (!known && real)
		known = known_find_path(real, labels);
	if (!known && origin)
		known = known_find_path(origin, labels);
	free(real);
	if (!known || !order_of(known->outputs, labels, out))
		return false;
	snprintf(out->source, sizeof out->source, "known order of %s", known->repository);
	return true;
}

int label_order_find(const json_t *config, const char *dir, int labels, const char *chosen, struct label_order *out, struct error *err)
{
	if (labels != 2 && labels != 3)
		return fail(err, E_MODEL, "%s: the classifier has %d outputs; an NLI model has 3 (or 2: entailment or not)", dir, labels);
	if (chosen)
		return order_from_setting(chosen, labels, out, err);
	if (names_disagree(config, labels))
		return fail(
			err, E_MODEL,
			"%s/config.json: \"id2label\" and \"label2id\" name different outputs; add \"vramble_label_order\": \"%s\" in the order of "
			"the model's outputs",
			dir, labels == 2 ? "entailment,not_entailment" : "contradiction,entailment,neutral");
	if (order_from_names(config, labels, out) || order_from_ids(config, labels, out) || order_from_table(config, dir, labels, out))
		return 0;
	return fail(err, E_MODEL,
		    "%s/config.json: nothing says which of the %d outputs is entailment; name them in \"id2label\", or add \"vramble_label_order\": "
		    "\"%s\" in the order of the model's outputs",
		    dir, labels, labels == 2 ? "entailment,not_entailment" : "contradiction,entailment,neutral");
}

void label_order_describe(const struct label_order *order, char *out, size_t size)
{
	struct buffer text = {0};

	for (int i = 0; i < order->labels; i++)
		buffer_printf(&text, "%s%d %s", i > 0 ? ", " : "", i,
			      i == order->entailment ? "entailment"
			      : i == order->neutral  ? "neutral"
			      : order->labels == 2   ? "not entailment"
						     : "contradiction");
	buffer_printf(&text, " (%s)", order->source);
	snprintf(out, size, "%s", text.text);
	buffer_free(&text);
}

/* ---- arithmetic ---- */

void label_verdict(const struct label_order *order, const float *logits, struct verdict *out)
{
	double most = logits[0], sum = 0;
	float p[MOST_LABELS] = {0};

	for (int i = 1; i < order->labels; i++)
		most = fmax(most, logits[i]);
	for (int i = 0; i < order->labels; i++)
		sum += exp(logits[i] - most);
	for (int i = 0; i < order->labels; i++)
		p[i] = (float)(exp(logits[i] - most) / sum);
	out->entailment = p[order->entailment];
	out->neutral = order->neutral < 0 ? 0 : p[order->neutral];
	out->contradiction = p[order->contradiction];
	out->logit = logits[order->entailment];
}
