/* deberta_nli.c - a DeBERTa model directory as a judge of premise and hypothesis: a row of the table in models.c. The network is deberta.c's. */
#include "models/deberta.h"
#include "models/forecast.h"
#include "models/nli.h"

struct deberta_model {
	struct nli_model judge;
	struct deberta_config config;
};

static struct deberta_model *deberta_of(struct model *m)
{
	return (struct deberta_model *)m;
}

static tt_tensor *logits(const struct nli_model *m, tt_pool *p, tt_tensor *ids, tt_tensor *types, tt_tensor *mask)
{
	return deberta_logits(m->base.net, p, ids, types, mask);
}

static int configure(struct model *m, const json_t *config, struct error *err)
{
	struct deberta_model *b = deberta_of(m);
	struct deberta_config *c = &b->config;

	if (deberta_config_read(config, m->dir, c, err) < 0)
		return -1;
	deberta_config_adopt(c, m->file);
	b->judge.labels = c->labels;
	b->judge.vocabulary = c->vocabulary;
	b->judge.longest = c->positions;
	b->judge.types = c->types;
	b->judge.layers = c->layers;
	b->judge.width = c->hidden;
	b->judge.logits = logits;
	return nli_configure(&b->judge, NLI_UNIGRAM, config, err);
}

static void *create(const struct model *m, struct nn_source *source)
{
	return deberta_net_create(&((const struct deberta_model *)m)->config, source);
}

static void destroy(void *net)
{
	deberta_net_destroy(net);
}

static void forecast(const struct model *m, const struct forecast_request *request, struct forecast *out)
{
	const struct deberta_model *b = (const struct deberta_model *)m;
	struct forecast_request r = nli_request(&b->judge, request);

	forecast_deberta(&b->config, &r, out);
}

const struct model_ops deberta_ops = {
	.architecture = "deberta-v2", /* version 3 too */
	.title = "DeBERTa",
	.kind = MODEL_NLI,
	.size = sizeof(struct deberta_model),
	.configure = configure,
	.create = create,
	.destroy = destroy,
	.finish = nli_finish,
	.classify = nli_classify,
	.forecast = forecast,
};
