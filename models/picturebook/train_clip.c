#include "models/picturebook/train.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/clip.h"

enum { TOKENS_MAX = 32, IMAGE_SIZE = 96, PATCH = 12, GRID = IMAGE_SIZE / PATCH, STRANGERS = 8 };
static const float excluded = -10000; /* a logit that no softmax notices */

static const char preprocessor[] = "{\n"
				   "  \"image_processor_type\": \"CLIPImageProcessor\",\n"
				   "  \"do_resize\": true,\n"
				   "  \"size\": {\"height\": %d, \"width\": %d},\n"
				   "  \"resample\": 3,\n"
				   "  \"do_center_crop\": false,\n"
				   "  \"do_rescale\": true,\n"
				   "  \"rescale_factor\": 0.00392156862745098,\n"
				   "  \"do_normalize\": true,\n"
				   "  \"image_mean\": [0.5, 0.5, 0.5],\n"
				   "  \"image_std\": [0.5, 0.5, 0.5],\n"
				   "  \"do_convert_rgb\": true\n"
				   "}\n";

static const char config[] = "{\n"
			     "  \"architectures\": [\"CLIPModel\"],\n"
			     "  \"model_type\": \"clip\",\n"
			     "  \"projection_dim\": 128,\n"
			     "  \"logit_scale_init_value\": 2.6592,\n"
			     "  \"vision_config\": {\n"
			     "    \"image_size\": %d,\n"
			     "    \"patch_size\": %d,\n"
			     "    \"num_channels\": 3,\n"
			     "    \"hidden_size\": 128,\n"
			     "    \"intermediate_size\": 512,\n"
			     "    \"num_hidden_layers\": 6,\n"
			     "    \"num_attention_heads\": 4,\n"
			     "    \"hidden_act\": \"gelu\",\n"
			     "    \"layer_norm_eps\": 1e-05,\n"
			     "    \"projection_dim\": 128\n"
			     "  },\n"
			     "  \"text_config\": {\n"
			     "    \"vocab_size\": %d,\n"
			     "    \"max_position_embeddings\": 32,\n"
			     "    \"hidden_size\": 128,\n"
			     "    \"intermediate_size\": 256,\n"
			     "    \"num_hidden_layers\": 3,\n"
			     "    \"num_attention_heads\": 4,\n"
			     "    \"hidden_act\": \"gelu\",\n"
			     "    \"layer_norm_eps\": 1e-05,\n"
			     "    \"projection_dim\": 128,\n"
			     "    \"bos_token_id\": %d,\n"
			     "    \"eos_token_id\": %d,\n"
			     "    \"pad_token_id\": %d\n"
			     "  }\n"
			     "}\n";

/* Things that no picture of the book shows: with them as wrong answers a word outside the book becomes a bad match instead of a random one. */
static const char *const strangers[] = {
	"zebra", "elephant", "horse",  "person",   "man",      "woman", "child",  "guitar", "bottle",   "truck",
	"train", "bicycle",  "bridge", "mountain", "computer", "phone", "sofa",   "pizza",  "sandwich", "giraffe",
	"lion",  "spoon",    "knife",  "shoe",     "window",   "door",  "street", "bear",   "sheep",    "cow",
	"robot", "dragon",   "ship",   "plane",    "lamp",     "table", "bed",    "rabbit", "frog",     "pencil",
};

/* More general words for single things. */
static const struct group {
	const char *noun;
	uint64_t kinds;
} groups[] = {
	{"animal", 1ull << KIND_BIRD | 1ull << KIND_BUTTERFLY | 1ull << KIND_CAT | 1ull << KIND_DOG | 1ull << KIND_DUCK | 1ull << KIND_FISH |
			   1ull << KIND_SNAIL},
	{"vehicle", 1ull << KIND_BOAT | 1ull << KIND_CAR | 1ull << KIND_ROCKET},
	{"building", 1ull << KIND_CASTLE | 1ull << KIND_HOUSE},
	{"plant", 1ull << KIND_FLOWER | 1ull << KIND_TREE},
	{"fruit", 1ull << KIND_APPLE},
};

struct matcher {
	struct bpe *bpe;
	struct clip_net *net;
	struct nn_linear patch_kinds; /* see train_patch_loss */
	int64_t end;
};

static int write_files(const char *dir, struct error *err)
{
	int vocabulary;
	if (train_write_clip_bpe(dir, &vocabulary, err) < 0)
		return -1;
	char *text = xasprintf(config, IMAGE_SIZE, PATCH, vocabulary, vocabulary - 2, vocabulary - 1, vocabulary - 1);
	int status = train_write_text(dir, "config.json", text, err);
	free(text);
	if (status < 0)
		return -1;
	text = xasprintf(preprocessor, IMAGE_SIZE, IMAGE_SIZE);
	status = train_write_text(dir, "preprocessor_config.json", text, err);
	free(text);
	return status;
}

static void close_net(void *net)
{
	struct matcher *m = net;
	clip_net_destroy(m->net);
	bpe_free(m->bpe);
	free(m);
}

static void *open_net(const char *dir, struct nn_source *source, struct error *err)
{
	struct matcher *m = xcalloc(1, sizeof *m);
	struct clip_config parsed;
	json_t *json = train_read_json(dir, err);
	int status = json ? clip_config_read(json, dir, &parsed, err) : -1;
	json_decref(json);
	if (status == 0)
		m->bpe = bpe_load_clip(dir, err);
	if (!m->bpe) {
		free(m);
		return NULL;
	}
	m->end = parsed.vocabulary - 1;
	m->net = clip_net_create(&parsed, source);
	m->patch_kinds = nn_linear_open(source, TRAIN_AID "patch_kinds", parsed.vision.hidden, TRAIN_PATCH_CLASSES, true);
	if (nn_finish(source, "CLIP", err) < 0) {
		close_net(m);
		return NULL;
	}
	return m;
}

/* ---- what texts claim
 *
 * A claim is a scene of which some things, colours, the relation or the place may be left out. A text that is true of another picture of the batch
 * too must not count as a wrong answer for it. */

struct claim {
	struct scene scene;
	const struct group *group; /* stands for the only thing's kind, or NULL */
};

/* What a picture shows. */
struct sight {
	struct scene scene;
	bool washed; /* its colours were changed: no text's colours are wrong for it */
};

static bool shows(const struct sight *sight, const struct scene_thing *claimed)
{
	const struct scene *scene = &sight->scene;
	for (int i = 0; i < scene->n_things; i++) {
		const struct scene_thing *t = &scene->things[i];
		if (t->kind == claimed->kind && (sight->washed || claimed->colour == COLOUR_NONE || t->colour == claimed->colour))
			return true;
	}
	return false;
}

static bool shows_group(const struct scene *scene, const struct group *group)
{
	for (int i = 0; i < scene->n_things; i++) {
		if (group->kinds >> scene->things[i].kind & 1)
			return true;
	}
	return false;
}

static bool holds(const struct claim *c, const struct sight *sight)
{
	const struct scene *claim = &c->scene, *scene = &sight->scene;
	if (c->group)
		return shows_group(scene, c->group);
	for (int i = 0; i < claim->n_things; i++) {
		if (!shows(sight, &claim->things[i]))
			return false;
	}
	if (claim->background != BACKGROUND_PLAIN && claim->background != scene->background)
		return false;
	return claim->relation == RELATION_NONE || (claim->relation == scene->relation && claim->things[0].kind == scene->things[0].kind);
}

/* What one text leaves out of a scene and how it begins; the foil's text does the same. */
struct manner {
	const char *lead;
	bool no_place, no_colours, general;
};

static struct manner pick_manner(uint64_t *rng, bool single)
{
	static const char *const leads[] = {"", "", "", "A photo depicts ", "A photo depicts ", "a photo of ", "a photo of ", "a picture of "};
	return (struct manner){
		.lead = leads[scene_below(rng, sizeof leads / sizeof *leads)],
		.no_place = scene_below(rng, 100) < (single ? 70 : 25),
		.no_colours = scene_below(rng, 100) < (single ? 60 : 20),
		.general = single && scene_below(rng, 100) < 8,
	};
}

static struct claim claim_of(const struct scene *scene, const struct manner *manner)
{
	struct claim claim = {*scene, NULL};
	if (manner->no_place)
		claim.scene.background = BACKGROUND_PLAIN;
	for (int i = 0; manner->no_colours && i < scene->n_things; i++)
		claim.scene.things[i].colour = COLOUR_NONE;
	for (size_t i = 0; manner->general && i < sizeof groups / sizeof *groups; i++) {
		if (shows_group(scene, &groups[i]))
			claim.group = &groups[i];
	}
	return claim;
}

static void put_text(const struct matcher *m, const char *text, struct train_batch *b, int row)
{
	int64_t *ids = b->ids + (size_t)row * TOKENS_MAX;
	int n = train_tokens(m->bpe, text, ids, TOKENS_MAX);
	for (int i = n; i < TOKENS_MAX; i++)
		ids[i] = m->end;
	b->longest = n > b->longest ? n : b->longest;
}

static void put_claim(const struct matcher *m, const struct claim *claim, const struct manner *manner, struct train_batch *b, int row)
{
	char caption[CAPTION_MAX];
	if (claim->group)
		snprintf(caption, sizeof caption, "%s %s", word_article(claim->group->noun), claim->group->noun);
	else
		caption_write(&claim->scene, caption);
	char *text = xasprintf("%s%s", manner->lead, caption);
	put_text(m, text, b, row);
	free(text);
}

/* The same scene with one kind of mistake. */
static struct scene pick_foil(const struct scene *scene, uint64_t *rng)
{
	struct scene foil;
	unsigned kind = scene_below(rng, 10); /* what sets kinds apart takes longest to learn: colours would do for most of the rest */
	uint64_t seed = scene_next(rng);
	if (kind < 2 && scene_foil_relation(scene, seed, SCENE_TRAIN, &foil))
		return foil;
	if (kind < 6)
		scene_foil_colours(scene, seed, SCENE_TRAIN, &foil);
	else
		scene_foil_kind(scene, seed, SCENE_TRAIN, &foil);
	return foil;
}

static void put_stranger(const struct matcher *m, uint64_t *rng, struct train_batch *b, int row)
{
	const char *what = strangers[scene_below(rng, sizeof strangers / sizeof *strangers)];
	const char *colour = scene_below(rng, 2) ? colour_name((enum scene_colour)scene_below(rng, COLOUR_COUNT)) : "";
	struct manner manner = pick_manner(rng, true);
	char *text = xasprintf("%s%s %s%s%s", manner.lead, word_article(*colour ? colour : what), colour, *colour ? " " : "", what);
	put_text(m, text, b, row);
	free(text);
}

/* Rows: the n true texts, their n foils, strangers. bias: `excluded` where a text of another picture holds for this one. */
static struct train_batch *draw(const void *net, const struct train_phase *phase, uint64_t seed)
{
	const struct matcher *m = net;
	int n = phase->batch;
	struct train_batch *b = train_batch_create(n, phase->size, 2 * n + STRANGERS, TOKENS_MAX);
	struct sight *sights = xcalloc((size_t)n, sizeof *sights);
	b->patches = xcalloc((size_t)n * GRID * GRID, sizeof *b->patches);
	struct claim *claims = xcalloc((size_t)n * 2, sizeof *claims);
	struct scene_split split = {.part = SCENE_TRAIN};
	memcpy(split.weight, phase->things, sizeof split.weight);
	for (int i = 0; i < n; i++) {
		struct scene *scene = &sights[i].scene;
		float *pixels = b->pixels + (size_t)i * 3 * (size_t)b->size * (size_t)b->size;
		scene_random(scene, scene_next(&seed), &split);
		float aspect = train_picture(scene, &seed, b->size, pixels);
		train_patch_kinds(scene, aspect, GRID, b->patches + i * GRID * GRID);
		struct manner manner = pick_manner(&seed, scene->n_things == 1);
		struct scene foil = pick_foil(scene, &seed);
		sights[i].washed = manner.no_colours && manner.no_place && scene_below(&seed, 5) > 0;
		if (sights[i].washed)
			train_wash(&seed, b->size, pixels);
		claims[i] = claim_of(scene, &manner);
		claims[n + i] = claim_of(&foil, &manner);
		put_claim(m, &claims[i], &manner, b, i);
		put_claim(m, &claims[n + i], &manner, b, n + i);
	}
	for (int i = 0; i < STRANGERS; i++)
		put_stranger(m, &seed, b, 2 * n + i);
	for (int i = 0; i < n; i++) {
		for (int j = 0; j < 2 * n; j++)
			b->bias[(size_t)i * (size_t)b->rows + (size_t)j] = j != i && holds(&claims[j], &sights[i]) ? excluded : 0;
	}
	free(sights);
	free(claims);
	return b;
}

/* The symmetric loss of CLIP; foils and strangers are wrong answers for pictures only. */
static tt_tensor *loss(void *net, tt_pool *p, const struct train_batch *b)
{
	struct matcher *m = net;
	tt_tensor *pixels = tt_from_f32(p, b->pixels, TT_SHAPE(b->n, 3, b->size, b->size));
	tt_tensor *ids = tt_slice(p, tt_from_i64(p, b->ids, TT_SHAPE(b->rows, b->length)), 1, 0, b->longest);
	tt_tensor *bias = tt_from_f32(p, b->bias, TT_SHAPE(b->n, b->rows));
	tt_tensor *rows = NULL;
	tt_tensor *image = tt_normalize(p, clip_image_features_rows(m->net, p, pixels, &rows));
	tt_tensor *text = tt_normalize(p, clip_text_features(m->net, p, ids, NULL));
	tt_tensor *scale = tt_exp(p, tt_clamp(p, clip_logit_scale(m->net), 0, 3.6));
	tt_tensor *logits = tt_add(p, tt_mul(p, tt_matmul(p, image, tt_transpose(p, text, 0, 1)), scale), bias);
	tt_tensor *right = tt_arange(p, b->n, TT_CPU);
	tt_tensor *by_picture = tt_cross_entropy(p, logits, right, -100, 0);
	tt_tensor *by_text = tt_cross_entropy(p, tt_transpose(p, tt_slice(p, logits, 1, 0, b->n), 0, 1), right, -100, 0);
	return tt_add(p, tt_scale(p, tt_add(p, by_picture, by_text), 0.5),
		      train_patch_loss(p, &m->patch_kinds, tt_slice(p, rows, 1, 1, 1 + GRID * GRID), b->patches));
}

const struct train_task train_clip = {
	.name = "clip",
	.plan = {.rate = 1.2e-3,
		 .weight_decay = 0.05,
		 .average = 0.999,
		 .warmup = 300,
		 .phases = {{64000, 64, IMAGE_SIZE, {1, 0, 0}}, {670000, 64, IMAGE_SIZE, {4, 3, 2}}}},
	.write_files = write_files,
	.open = open_net,
	.close = close_net,
	.draw = draw,
	.loss = loss,
};
