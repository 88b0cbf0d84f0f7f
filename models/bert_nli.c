/* bert_nli.c - BERT and RoBERTa model directories as judges of premise and hypothesis: rows of the table in models.c. The network is bert.c's. */
#include "models/bert.h"
#include "models/forecast.h"
#include "models/nli.h"

struct bert_model {
	struct nli_model judge;
	struct bert_config config;
};

static struct bert_model *bert_of(struct model *m)
{
	return (struct bert_model *)m;
}

static tt_tensor *logits(const struct nli_model *m, tt_pool *p, tt_tensor *ids, tt_tensor *types, tt_tensor *mask)
{
	return bert_logits(m->base.net, p, ids, types, mask);
}

static int configure(struct model *m, const json_t *config, struct error *err)
{
	struct bert_model *b = bert_of(m);
	struct bert_config *c = &b->config;

	if (bert_config_read(config, m->dir, c, err) < 0)
		return -1;
	bert_config_adopt(c, m->file);
	b->judge.labels = c->labels;
	b->judge.vocabulary = c->vocabulary;
	b->judge.longest = bert_longest(c);
	b->judge.types = c->roberta ? 1 : c->types;
	b->judge.layers = c->layers;
	b->judge.width = c->hidden;
	b->judge.logits = logits;
	return nli_configure(&b->judge, c->roberta ? NLI_BYTES : NLI_WORDPIECE, config, err);
}

static void *create(const struct model *m, struct nn_source *source)
{
	return bert_net_create(&((const struct bert_model *)m)->config, source);
}

static void destroy(void *net)
{
	bert_net_destroy(net);
}

static void forecast(const struct model *m, const struct forecast_request *request, struct forecast *out)
{
	const struct bert_model *b = (const struct bert_model *)m;
	struct forecast_request r = nli_request(&b->judge, request);

	forecast_bert(&b->config, &r, out);
}

const struct model_ops bert_ops = {
	.architecture = "bert",
	.title = "BERT",
	.kind = MODEL_NLI,
	.size = sizeof(struct bert_model),
	.configure = configure,
	.create = create,
	.destroy = destroy,
	.finish = nli_finish,
	.classify = nli_classify,
	.forecast = forecast,
};

const struct model_ops roberta_ops = {
	.architecture = "roberta",
	.title = "RoBERTa",
	.kind = MODEL_NLI,
	.size = sizeof(struct bert_model),
	.configure = configure,
	.create = create,
	.destroy = destroy,
	.finish = nli_finish,
	.classify = nli_classify,
	.forecast = forecast,
};
