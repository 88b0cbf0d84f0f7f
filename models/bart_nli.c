/* bart_nli.c - a BART model directory as a judge of premise and hypothesis: a row of the table in models.c. The network is bart.c's. */
#include "models/bart.h"
#include "models/forecast.h"
#include "models/nli.h"

struct bart_model {
	struct nli_model judge;
	struct bart_config config;
};

static struct bart_model *bart_of(struct model *m)
{
	return (struct bart_model *)m;
}

static tt_tensor *logits(const struct nli_model *m, tt_pool *p, tt_tensor *ids, tt_tensor *types, tt_tensor *mask)
{
	return bart_logits(m->base.net, p, ids, mask);
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

static void *create(const struct model *m, struct nn_source *source)
{
	return bart_net_create(&((const struct bart_model *)m)->config, source);
}

static void destroy(void *net)
{
	bart_net_destroy(net);
}

static void forecast(const struct model *m, const struct forecast_request *request, struct forecast *out)
{
	const struct bart_model *b = (const struct bart_model *)m;
	struct forecast_request r = nli_request(&b->judge, request);

	forecast_bart(&b->config, &r, out);
}

const struct model_ops bart_ops = {
	.architecture = "bart",
	.title = "BART",
	.kind = MODEL_NLI,
	.size = sizeof(struct bart_model),
	.configure = configure,
	.create = create,
	.destroy = destroy,
	.finish = nli_finish,
	.classify = nli_classify,
	.forecast = forecast,
};
