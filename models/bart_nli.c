/* bart_nli.c - a BART model directory as a judge of premise and hypothesis: a row of the table in models.c. The network is bart.c's. */
#include "models/bart.h"
#include "models/forecast.h"
#include "models/nli.h"

struct bart_model {
	struct nli_model judge;
	struct bart_config config;
	struct bart_net *net;
};

static struct bart_model *bart_of(struct model *m)
{
	return (struct bart_model *)m;
}

static tt_tensor *logits(const struct nli_model *m, tt_pool *p, tt_tensor *ids, tt_tensor *types, tt_tensor *mask)
{
	return bart_logits(((const struct bart_model *)m)->net, p, ids, mask);
}

static int configure(struct model *m, const json_t *config, struct error *err)
{
	struct bart_model *b = bart_of(m);
	struct bart_config *c = &b->config;

	if (bart_config_read(config, m->dir, c, err) < 0)
		return -1;
	bart_config_adopt(c, m->file);
	b->judge.labels = c->labels;
	b->judge.vocabulary = c->vocabulary;
	b->judge.longest = c->positions;
	b->judge.layers = c->decoder.layers;
	b->judge.width = c->width;
	b->judge.logits = logits;
	m->info.layers[0] = c->encoder.layers;
	m->info.width[0] = c->width;
	if (nli_configure(&b->judge, NLI_BYTES, config, err) < 0)
		return -1;
	if (b->judge.text.end != c->end)
		return fail(err, E_MODEL, "%s: texts end with token %d, config.json's eos_token_id is %d: they belong to different models", m->dir,
			    (int)b->judge.text.end, c->end);
	return 0;
}

static int count(const struct model *m, struct nn_source *source, struct error *err)
{
	const struct bart_model *b = (const struct bart_model *)m;

	bart_net_destroy(bart_net_create(&b->config, source));
	return nn_finish(source, "BART", err);
}

static int load(struct model *m, const struct model_control *control, struct error *err)
{
	struct bart_model *b = bart_of(m);
	struct nn_source source = model_source(m, control);
	struct bart_net *net = bart_net_create(&b->config, &source);
	int rc = nn_finish(&source, "BART", err);

	nn_source_free(&source);
	if (rc < 0) {
		bart_net_destroy(net);
		return -1;
	}
	bart_net_destroy(b->net);
	b->net = net;
	return 0;
}

static void finish(struct model *m)
{
	bart_net_destroy(bart_of(m)->net);
	nli_finish(&bart_of(m)->judge);
}

static void forecast(const struct model *m, const struct forecast_request *request, struct forecast *out)
{
	const struct bart_model *b = (const struct bart_model *)m;
	struct forecast_request r = *request;

	if (r.tokens <= 0 || r.tokens > b->judge.longest)
		r.tokens = b->judge.longest;
	forecast_bart(&b->config, &r, out);
}

const struct model_ops bart_ops = {
	.architecture = "bart",
	.kind = MODEL_NLI,
	.size = sizeof(struct bart_model),
	.configure = configure,
	.count = count,
	.load = load,
	.finish = finish,
	.classify = nli_classify,
	.forecast = forecast,
};
