/* deberta_config.c - DeBERTa's config.json, and the places of distances; see deberta.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "models/deberta.h"
#include "models/json.h"

enum { MAX_LAYERS = 256, MAX_WIDTH = 1 << 16, MAX_ROWS = 1 << 24, MAX_LABELS = 1024, MAX_KERNEL = 255, MAX_LENGTH = 1 << 16 };

static int read_activation(struct json_reader *r, const json_t *config, const char *key, const char *usual, enum tt_activation *out)
{
	const char *name = json_text(r, config, key, usual);
	int kind = nn_activation(name);

	if (kind < 0)
		return fail(r->err, E_MODEL, "%s: \"%s\" is \"%s\", which is not an activation known here", r->file, key, name);
	*out = (enum tt_activation)kind;
	return 0;
}

/* Takes the next of the words that stand between '|' and blanks, as the published code splits them; false at the end. */
static bool next_word(const char **at, char *out, size_t size)
{
	size_t n;

	*at += strspn(*at, "| \t");
	n = strcspn(*at, "| \t");
	snprintf(out, size, "%.*s", (int)n, *at);
	*at += n;
	return n > 0;
}

static int add_score(struct json_reader *r, const char *name, struct deberta_config *out)
{
	if (strcasecmp(name, "c2p") == 0)
		out->to_places = true;
	else if (strcasecmp(name, "p2c") == 0)
		out->from_places = true;
	else
		return fail(r->err, E_MODEL, "%s: \"pos_att_type\" names \"%s\"; \"c2p\" and \"p2c\" are known", r->file, name);
	return 0;
}

/* "p2c|c2p" or a list, of one, both or none */
static int read_scores(struct json_reader *r, const json_t *config, struct deberta_config *out)
{
	const json_t *kinds = json_find(config, "pos_att_type"), *kind;
	const char *at = json_string_value(kinds);
	char word[32];
	size_t i;

	if (kinds && !at && !json_is_array(kinds))
		return fail(r->err, E_MODEL, "%s: \"pos_att_type\" is neither a text nor a list", r->file);
	while (at && next_word(&at, word, sizeof word))
		if (add_score(r, word, out) < 0)
			return -1;
	json_array_foreach((json_t *)kinds, i, kind)
		if (add_score(r, json_string_value(kind) ? json_string_value(kind) : "?", out) < 0)
			return -1;
	return 0;
}

/* "none" or "layer_norm" */
static int read_place_norm(struct json_reader *r, const json_t *config, struct deberta_config *out)
{
	const char *at = json_text(r, config, "norm_rel_ebd", "none");
	char word[32];

	while (next_word(&at, word, sizeof word)) {
		if (strcasecmp(word, "layer_norm") == 0)
			out->norm_places = true;
		else if (strcasecmp(word, "none") != 0)
			return fail(r->err, E_MODEL, "%s: \"norm_rel_ebd\" names \"%s\"; \"layer_norm\" and \"none\" are known", r->file, word);
	}
	return 0;
}

static int read_places(struct json_reader *r, const json_t *config, struct deberta_config *out)
{
	int reach = (int)json_int(r, config, "max_relative_positions", -1, -1, MAX_ROWS);
	int buckets = (int)json_int(r, config, "position_buckets", -1, -1, MAX_WIDTH);

	out->relative = json_flag(r, config, "relative_attention", false);
	out->share_keys = json_flag(r, config, "share_att_key", false);
	out->reach = reach >= 1 ? reach : out->positions;
	out->buckets = buckets > 0 ? buckets : 0;
	if (read_scores(r, config, out) < 0 || read_place_norm(r, config, out) < 0)
		return -1;
	if (!out->relative || out->buckets == 0)
		return 0;
	if (out->buckets < 2)
		return fail(r->err, E_MODEL, "%s: \"position_buckets\" is %d; at least 2 are needed", r->file, out->buckets);
	if (out->reach - 1 <= out->buckets / 2 && out->positions - 1 > out->buckets / 2)
		return fail(
			r->err, E_MODEL,
			"%s: \"position_buckets\" %d are too many for distances up to %d, \"max_relative_positions\" or \"max_position_embeddings\"",
			r->file, out->buckets, out->reach);
	return 0;
}

/* The convolution beside the first layer, as large models of version 2 have it. */
static int read_kernel(struct json_reader *r, const json_t *config, struct deberta_config *out)
{
	out->kernel = (int)json_int(r, config, "conv_kernel_size", 0, 0, MAX_KERNEL);
	if (out->kernel == 0)
		return 0;
	if (out->kernel % 2 == 0)
		return fail(r->err, E_MODEL, "%s: \"conv_kernel_size\" is %d; only odd ones leave a text as long as it is", r->file, out->kernel);
	if (json_int(r, config, "conv_groups", 1, 1, MAX_WIDTH) != 1)
		return fail(r->err, E_MODEL, "%s: \"conv_groups\" is %ld; only 1 is supported", r->file,
			    json_int(r, config, "conv_groups", 1, 1, MAX_WIDTH));
	return read_activation(r, config, "conv_act", "tanh", &out->kernel_activation);
}

/* What the published code has a key for, but can only be one value. */
static int check_width(struct json_reader *r, const json_t *config, const char *key, int wanted)
{
	int width = (int)json_int(r, config, key, wanted, 1, MAX_WIDTH);

	if (!r->failed && width != wanted)
		return fail(r->err, E_MODEL, "%s: \"%s\" is %d, which does not fit; it would have to be %d", r->file, key, width, wanted);
	return r->failed ? -1 : 0;
}

static int check(struct json_reader *r, const json_t *config, const struct deberta_config *out)
{
	if (!(out->eps >= 0 && out->eps < 1))
		return fail(r->err, E_MODEL, "%s: \"layer_norm_eps\" is %g; it must be from 0 to 1", r->file, out->eps);
	if (out->hidden % out->heads != 0)
		return fail(r->err, E_MODEL, "%s: hidden_size %d does not divide by num_attention_heads %d", r->file, out->hidden, out->heads);
	if (check_width(r, config, "pooler_hidden_size", out->hidden) < 0)
		return -1;
	return check_width(r, config, "attention_head_size", out->hidden / out->heads);
}

static int read_fields(struct json_reader *r, const json_t *config, struct deberta_config *out)
{
	size_t named = json_object_size(json_find(config, "id2label"));

	*out = (struct deberta_config){
		.vocabulary = (int)json_int(r, config, "vocab_size", JSON_NEEDED, 1, MAX_ROWS),
		.hidden = (int)json_int(r, config, "hidden_size", JSON_NEEDED, 1, MAX_WIDTH),
		.layers = (int)json_int(r, config, "num_hidden_layers", JSON_NEEDED, 1, MAX_LAYERS),
		.heads = (int)json_int(r, config, "num_attention_heads", JSON_NEEDED, 1, MAX_WIDTH),
		.intermediate = (int)json_int(r, config, "intermediate_size", JSON_NEEDED, 1, MAX_WIDTH),
		.positions = (int)json_int(r, config, "max_position_embeddings", 512, 1, MAX_LENGTH),
		.types = (int)json_int(r, config, "type_vocab_size", 0, 0, MAX_WIDTH),
		.biased = json_flag(r, config, "position_biased_input", true),
		.labels = (int)json_int(r, config, "num_labels", named > 0 && named <= MAX_LABELS ? (long)named : 2, 1, MAX_LABELS),
		.eps = json_number(r, config, "layer_norm_eps", 1e-7),
	};
	out->embedding = (int)json_int(r, config, "embedding_size", out->hidden, 1, MAX_WIDTH);
	if (read_places(r, config, out) < 0 || read_kernel(r, config, out) < 0 ||
	    read_activation(r, config, "hidden_act", "gelu", &out->activation) < 0 ||
	    read_activation(r, config, "pooler_hidden_act", "gelu", &out->pooler_activation) < 0)
		return -1;
	return r->failed ? -1 : check(r, config, out);
}

int deberta_config_read(const json_t *config, const char *dir, struct deberta_config *out, struct error *err)
{
	char *file = xasprintf("%s/config.json", dir);
	struct json_reader reader = {.file = file, .err = err};
	int rc = read_fields(&reader, config, out);

	free(file);
	return rc;
}

void deberta_config_adopt(struct deberta_config *config, const struct checkpoint *file)
{
	const struct checkpoint_tensor *rows = checkpoint_find(file, "classifier.weight");

	if (rows && rows->ndim == 2 && rows->shape[0] > 0 && rows->shape[0] <= MAX_LABELS)
		config->labels = (int)rows->shape[0];
}

int deberta_span(const struct deberta_config *config)
{
	return config->buckets > 0 ? config->buckets : config->reach;
}

/* In single precision, as the published code computes it: where the quotient is near a whole number, double precision comes to another bucket. */
int deberta_bucket(const struct deberta_config *config, int64_t distance)
{
	int64_t far = distance < 0 ? -distance : distance;
	int middle = config->buckets / 2, bucket;
	float end, steps;

	if (config->buckets == 0 || far <= middle || config->reach - 1 <= middle)
		return (int)distance;
	end = logf((float)((double)(config->reach - 1) / middle));
	steps = ceilf(logf((float)far / (float)middle) / end * (float)(middle - 1));
	bucket = middle + (int)fminf(steps, (float)config->buckets * 2); /* what is beyond the table is one place */
	return distance < 0 ? -bucket : bucket;
}

int deberta_place(const struct deberta_config *config, int64_t distance)
{
	int row = deberta_bucket(config, distance) + deberta_span(config), last = 2 * deberta_span(config) - 1;

	return row < 0 ? 0 : row > last ? last : row;
}
