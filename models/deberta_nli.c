/* deberta_nli.c - a DeBERTa model directory as a judge of premise and hypothesis: a row of the table in models.c. The network is deberta.c's. */
#include "models/deberta.h"
#include "models/forecast.h"
#include "models/nli.h"

struct deberta_model {
	struct nli_model judge;
	struct deberta_config config;
	struct deberta_net *net;
};

static struct deberta_model *deberta_of(struct model *m)
{
	return (struct deberta_model *)m;
}

static tt_tensor *logits(const struct nli_model *m, tt_pool *p, tt_tensor *ids, tt_tensor *types, tt_tensor *mask)
{
	return deberta_logits(((const struct deberta_model *)m)->net, p, ids, types, mask);
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

static int count(const struct model *m, struct nn_source *source, struct error *err)
{
	const struct deberta_model *b = (const struct deberta_model *)m;

	deberta_net_destroy(deberta_net_create(&b->config, source));
	return nn_finish(source, "DeBERTa", err);
}

static int load(struct model *m, const struct model_control *control, struct error *err)
{
	struct deberta_model *b = deberta_of(m);
	struct nn_source source = model_source(m, control);
	struct deberta_net *net = deberta_net_create(&b->config, &source);
	int rc = nn_finish(&source, "DeBERTa", err);

	nn_source_free(&source);
	if (rc < 0) {
		deberta_net_destroy(net);
		return -1;
	}
	deberta_net_destroy(b->net);
	b->net = net;
	return 0;
}

static void finish(struct model *m)
{
	deberta_net_destroy(deberta_of(m)->net);
	nli_finish(&deberta_of(m)->judge);
}

static void forecast(const struct model *m, const struct forecast_request *request, struct forecast *out)
{
	const struct deberta_model *b = (const struct deberta_model *)m;
	struct forecast_request r = *request;

	if (r.tokens <= 0 || r.tokens > b->judge.longest)
		r.tokens = b->judge.longest;
	forecast_deberta(&b->config, &r, out);
}

const struct model_ops deberta_ops = {
	.architecture = "deberta-v2", /* version 3 too */
	.kind = MODEL_NLI,
	.size = sizeof(struct deberta_model),
	.configure = configure,
	.count = count,
	.load = load,
	.finish = finish,
	.classify = nli_classify,
	.forecast = forecast,
};
