/* small_ofa.h - a captioner small enough to be made anew in every test: its config, random weights, vocabulary and model directory. Header only. */
#ifndef TESTS_TORCH_SMALL_OFA_H
#define TESTS_TORCH_SMALL_OFA_H

#include <string.h>

#include "core/mem.h"
#include "models/checkpoint.h"
#include "models/ofa.h"
#include "tests/support/data.h"
#include "tests/torch/near.h"

enum { SMALL_WORDS = 36, SMALL_SIZE = 48 }; /* tokens; pixels a side */

static const char small_config[] =
	"{\"model_type\":\"ofa\",\"d_model\":32,\"vocab_size\":36,\"encoder_layers\":2,\"decoder_layers\":2,\"encoder_attention_heads\":4,"
	"\"decoder_attention_heads\":2,\"encoder_ffn_dim\":48,\"decoder_ffn_dim\":40,\"max_position_embeddings\":30,\"token_bucket_size\":8,"
	"\"image_bucket_size\":4,\"resnet_type\":\"resnet18\"}";

static const char small_task[] = "{\"task\":\"image-captioning\",\"model\":{\"type\":\"ofa\",\"prompt\":\" what is it?\",\"patch_image_size\":48,"
				 "\"beam_search\":{\"beam_size\":3,\"max_len_b\":12,\"min_len\":2,\"no_repeat_ngram_size\":1}}}";

/* small_config with the members of changes (a JSON object, or NULL) put over it. */
static inline json_t *small_ofa_json(const char *changes)
{
	json_t *config = json_loads(small_config, 0, NULL), *over = changes ? json_loads(changes, 0, NULL) : NULL;

	assert_non_null(config);
	if (changes)
		assert_int_equal(json_object_update(config, over), 0);
	json_decref(over);
	return config;
}

static inline struct ofa_config small_ofa_config(const char *changes)
{
	json_t *json = small_ofa_json(changes);
	struct ofa_config config;
	struct error err = {0};

	if (ofa_config_read(json, "small", &config, &err) < 0)
		fail_msg("%s", err.text);
	json_decref(json);
	return config;
}

/* A net of random weights; *source keeps its tensors until small_ofa_free. */
static inline struct ofa_net *small_ofa_make(const struct ofa_config *config, enum tt_dtype compute, struct nn_source *source)
{
	struct ofa_net *net;
	struct error err = {0};

	tt_seed(11);
	*source = (struct nn_source){.pool = tt_pool_create(TT_TRAIN), .compute = compute, .device = TT_CPU, .std = 0.6};
	net = ofa_net_create(config, source);
	if (nn_finish(source, "OFA", &err) < 0)
		fail_msg("%s", err.text);
	return net;
}

static inline void small_ofa_free(struct ofa_net *net, struct nn_source *source)
{
	ofa_net_destroy(net);
	nn_source_free(source);
	tt_pool_destroy(source->pool);
}

/* vary: adds random values to what starts as zeros or ones (tables, norms, statistics), so that leaving one of them out shows. */
static inline float *small_ofa_values(const struct nn_source *source, int i, bool vary)
{
	const struct nn_made *made = &source->made[i];
	size_t count = (size_t)tt_count(made->tensor);
	float *values = xmalloc(count * sizeof *values), *noise = xmalloc(count * sizeof *noise);
	bool constant = vary;

	assert_int_equal(tt_to_f32(source->pool, made->tensor, values, count), 0);
	for (size_t k = 1; k < count; k++)
		constant = constant && values[k] == values[0];
	near_fill(noise, count, 0.3f, (uint32_t)i + 1);
	for (size_t k = 0; constant && k < count; k++)
		values[k] += noise[k];
	free(noise);
	return values;
}

/* Writes the weights as dir/model.safetensors; what is called `from` is called `to` there (left out when to is NULL). */
static inline void small_ofa_save(const char *dir, const struct nn_source *source, bool vary, const char *from, const char *to)
{
	struct checkpoint_tensor *list = xcalloc((size_t)source->n_made, sizeof *list);
	char *path = xasprintf("%s/model.safetensors", dir);
	struct error err = {0};
	int n = 0;

	for (int i = 0; i < source->n_made; i++) {
		bool named = from && strcmp(source->made[i].name, from) == 0;
		tt_tensor *x = source->made[i].tensor;
		struct checkpoint_tensor *t = &list[n];

		if (named && !to)
			continue;
		*t = (struct checkpoint_tensor){named ? to : source->made[i].name, CKPT_F32, tt_ndim(x), {0}, tt_count(x), 4 * tt_count(x),
						small_ofa_values(source, i, vary)};
		for (int d = 0; d < t->ndim; d++)
			t->shape[d] = tt_size(x, d);
		n++;
	}
	if (checkpoint_write(path, list, n, &err) < 0)
		fail_msg("%s", err.text);
	for (int i = 0; i < n; i++)
		free((void *)list[i].data);
	free(list);
	free(path);
}

/* <s> <pad> </s> <unk>, a … z, the blank, the two bytes of "é", a full stop, a question mark, an apostrophe: 0 … 35 */
static inline void small_ofa_vocabulary(const char *dir)
{
	struct buffer vocab = {0};

	buffer_puts(&vocab, "{\"<s>\":0,\"<pad>\":1,\"</s>\":2,\"<unk>\":3,");
	for (int i = 0; i < 26; i++)
		buffer_printf(&vocab, "\"%c\":%d,", 'a' + i, 4 + i);
	buffer_puts(&vocab, "\"\xc4\xa0\":30,\"\xc3\x83\":31,\"\xc2\xa9\":32,\".\":33,\"?\":34,\"'\":35}");
	data_put(dir, "vocab.json", vocab.text, vocab.length);
	data_put(dir, "merges.txt", "#version: 0.2\n", 14);
	buffer_free(&vocab);
}

static inline void small_ofa_put_config(const char *dir, const char *changes)
{
	json_t *json = small_ofa_json(changes);
	char *text = json_dumps(json, 0);

	data_put(dir, "config.json", text, strlen(text));
	free(text);
	json_decref(json);
}

/* A whole model directory; the caller calls data_remove_dir. */
static inline char *small_ofa_dir(void)
{
	struct ofa_config config = small_ofa_config(NULL);
	char *dir = data_dir();
	struct nn_source source;
	struct ofa_net *net = small_ofa_make(&config, TT_F32, &source);

	small_ofa_save(dir, &source, true, NULL, NULL);
	small_ofa_free(net, &source);
	small_ofa_put_config(dir, NULL);
	small_ofa_vocabulary(dir);
	data_put(dir, "configuration.json", small_task, sizeof small_task - 1);
	return dir;
}

#endif
