/* models.c - see models.h: opening a model directory, the precision it runs in, and the one exported table of core/model.h. */
#include "models/models.h"

#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/locate.h"
#include "core/mem.h"
#include "core/runtime.h"
#include "models/checkpoint.h"
#include "models/checkpoint_config.h"
#include "models/forecast.h"
#include "models/json.h"

_Static_assert((int)TT_OWNERS == (int)MODEL_OWNERS && (int)TT_PEAKS == (int)PEAKS && TT_CPU == DEVICE_CPU, "core and the shim count alike");

static const struct model_ops *const networks[] = {&clip_ops, &ofa_ops, &blip_ops, &bert_ops, &roberta_ops, &bart_ops, &deberta_ops, &siglip_ops};
enum { NETWORKS = sizeof networks / sizeof networks[0] };

/* ---- configure: what a directory holds, without libtorch */

static const struct model_ops *network_of(const char *dir, const json_t *config, struct error *err)
{
	const char *type = json_string_value(json_object_get(config, "model_type"));
	struct buffer known = {0};

	for (int i = 0; type && i < NETWORKS; i++)
		if (strcmp(networks[i]->architecture, type) == 0)
			return networks[i];
	for (int i = 0; i < NETWORKS; i++)
		buffer_printf(&known, "%s%s", i > 0 ? ", " : "", networks[i]->architecture);
	if (type)
		fail(err, E_MODEL, "%s/config.json: model_type \"%s\" is not supported; these are: %s", dir, type, known.text);
	else
		fail(err, E_MODEL, "%s/config.json: model_type is missing; it must be one of: %s", dir, known.text);
	buffer_free(&known);
	return NULL;
}

/* config.json; for CLIP weights that came without one, or with one of another kind, what their shapes say. */
static json_t *config_read(const char *weights, const char *dir, struct error *err)
{
	char *path = xasprintf("%s/config.json", dir);
	struct stat st;
	json_t *config = NULL, *made = NULL;

	if (lstat(path, &st) != 0)
		config = checkpoint_config(weights, NULL, err);
	else if ((config = json_read(path, JSON_LIMIT, err)) && !json_is_object(config))
		fail(err, E_FORMAT, "%s: not a JSON object", path);
	else if (config && !json_object_get(config, "model_type") && (made = checkpoint_config(weights, config, NULL))) {
		json_decref(config);
		config = made;
	}
	free(path);
	if (!json_is_object(config)) {
		json_decref(config);
		return NULL;
	}
	return config;
}

/* The directory's last part; in a download cache (models--owner--name/snapshots/<commit>) the repository's; dots, where ModelScope writes "___". */
static void name_of(const char *dir, char *out, size_t size)
{
	char *path = realpath(dir, NULL), *whole = path ? path : xstrdup(dir), *snapshots = strstr(whole, "/snapshots/"), *last, *dots;

	if (snapshots)
		*snapshots = '\0';
	last = strrchr(whole, '/');
	last = last && last[1] ? last + 1 : whole;
	if (snapshots && strncmp(last, "models--", 8) == 0) {
		char *dashes = strstr(last + 8, "--");

		last = dashes ? dashes + 2 : last + 8;
	}
	while (!snapshots && (dots = strstr(last, "___"))) {
		*dots = '.';
		memmove(dots + 1, dots + 3, strlen(dots + 3) + 1);
	}
	snprintf(out, size, "%s", last);
	free(whole);
}

static const char *dtype_word(enum checkpoint_dtype dtype)
{
	switch (dtype) {
	case CKPT_F32:
		return "fp32";
	case CKPT_F16:
		return "fp16";
	case CKPT_BF16:
		return "bf16";
	case CKPT_F64:
		return "fp64";
	default:
		return NULL; /* indices and the like are no parameters */
	}
}

static void describe_weights(const struct checkpoint *file, struct model_info *info)
{
	for (int i = 0; i < checkpoint_size(file); i++) {
		const struct checkpoint_tensor *t = checkpoint_at(file, i);
		const char *word = dtype_word(t->dtype);

		if (!word)
			continue;
		info->tensors++;
		info->parameters += t->count;
		info->weight_bytes += t->bytes;
		if (!info->precision[0])
			snprintf(info->precision, sizeof info->precision, "%s", word);
		else if (strcmp(info->precision, word) != 0)
			snprintf(info->precision, sizeof info->precision, "mixed");
	}
}

/* weights: a folder, or one file in dir. */
static struct model *configure(const char *weights, const char *dir, struct error *err)
{
	json_t *config = config_read(weights, dir, err);
	const struct model_ops *ops = config ? network_of(dir, config, err) : NULL;
	struct checkpoint *file = ops ? checkpoint_open(weights, err) : NULL;
	struct model *m = NULL;

	if (file) {
		m = xcalloc(1, ops->size);
		m->ops = ops;
		m->dir = xstrdup(dir);
		m->file = file;
		m->device = DEVICE_CPU;
		m->info.kind = ops->kind;
		snprintf(m->info.architecture, sizeof m->info.architecture, "%s", ops->architecture);
		name_of(weights, m->info.name, sizeof m->info.name);
		describe_weights(file, &m->info);
		if (ops->configure(m, config, err) < 0 || forecast_check(m, err) < 0) {
			model_close(m);
			m = NULL;
		}
	}
	json_decref(config);
	return m;
}

struct model *model_configure(const char *name, struct error *err)
{
	char *weights, *dir;
	struct model *m;

	if (locate_model(name, &weights, err) < 0)
		return NULL;
	dir = locate_folder(weights);
	m = configure(weights, dir, err);
	free(dir);
	free(weights);
	return m;
}

void model_close(struct model *m)
{
	if (!m)
		return;
	m->ops->destroy(m->net);
	m->ops->finish(m);
	tt_pool_destroy(m->work);
	tt_pool_destroy(m->weights);
	checkpoint_close(m->file);
	free(m->dir);
	free(m);
}

static int model_inspect(const char *dir, struct model_info *out, struct error *err)
{
	struct model *m = model_configure(dir, err);

	if (!m)
		return -1;
	*out = m->info;
	model_close(m);
	return 0;
}

/* ---- open */

static struct model *model_open(const char *dir, int device, enum precision precision, int owner, const struct model_control *control,
				struct error *err)
{
	struct model *m = model_configure(dir, err);

	if (m && model_load(m, device, precision, owner, control, err) < 0) {
		model_close(m);
		return NULL;
	}
	return m;
}

static const struct model_info *model_info(const struct model *m)
{
	return &m->info;
}

/* ---- what a run would hold */

/* The size that prepare comes to; 0 is the model's own. */
static int image_size_for(const struct model_info *info, int wanted)
{
	int most, steps;

	if (wanted <= 0 || info->image_step <= 0 || wanted == info->image_size)
		return 0;
	most = info->image_max / info->image_step;
	steps = (wanted + info->image_step / 2) / info->image_step;
	return info->image_step * (steps < 1 ? 1 : steps > most ? most : steps);
}

static void model_forecast(const struct model *m, const struct forecast_request *request, struct forecast *out)
{
	struct forecast_request r = *request;

	r.precision = model_precision_for(r.device, r.precision);
	r.image_size = image_size_for(&m->info, r.image_size);
	r.batch = r.batch < 1 ? 1 : r.batch;
	forecast_weights(m, &r, out);
	m->ops->forecast(m, &r, out);
}

/* ---- calls: each begins with an empty work pool and leaves it so */

int model_check(const struct model *m, const char *what, struct error *err)
{
	if (tt_status_of(m->work) == TT_OK)
		return 0;
	return fail(err, (enum error_code)tt_error_code(m->work), "%s: %s: %s", m->info.name, what, tt_message(m->work));
}

static int call_begin(struct model *m, bool able, const char *what, const struct model_control *control, struct error *err)
{
	if (!able)
		return fail(err, E_USAGE, "%s: a %s model cannot %s", m->info.name, m->info.architecture, what);
	if (!model_resident(m))
		return fail(err, E_MEMORY, "%s: its weights were freed and must be placed again before it runs", m->info.name);
	tt_clear(m->work);
	tt_set_check(m->work, control ? control->check : NULL, control ? control->ctx : NULL);
	return 0;
}

static int call_end(struct model *m, int rc)
{
	tt_set_check(m->work, NULL, NULL);
	tt_clear(m->work);
	return rc;
}

/* n times [1,C,H,W], used where they lie. The caller frees the list. */
static tt_tensor **each_picture(struct model *m, const struct pixels *const *pictures, int n, struct error *err)
{
	tt_tensor **each = xcalloc((size_t)n, sizeof *each);

	for (int i = 0; i < n; i++) {
		const struct pixels *x = pictures[i];

		if (x->channels != pictures[0]->channels || x->height != pictures[0]->height || x->width != pictures[0]->width) {
			free(each);
			return fail_null(err, E_USAGE, "%s: pictures of different sizes in one batch", m->info.name);
		}
		each[i] = tt_borrow(m->work, x->data, TT_F32, TT_SHAPE(1, x->channels, x->height, x->width));
	}
	return each;
}

static int embed_images(struct model *m, const struct pixels *const *pictures, int n, float *out, const struct model_control *control,
			struct error *err)
{
	tt_tensor **each;
	int rc;

	if (call_begin(m, m->ops->embed_images, "embed pictures", control, err) < 0)
		return -1;
	each = n > 0 ? each_picture(m, pictures, n, err) : NULL;
	rc = n > 0 && !each ? -1 : n > 0 ? m->ops->embed_images(m, each, n, out, err) : 0;
	free(each);
	return call_end(m, rc);
}

static int embed_texts(struct model *m, const char *const *texts, int n, float *out, const struct model_control *control, struct error *err)
{
	if (call_begin(m, m->ops->embed_texts, "embed texts", control, err) < 0)
		return -1;
	return call_end(m, n > 0 ? m->ops->embed_texts(m, texts, n, out, err) : 0);
}

static float logit_scale(const struct model *m)
{
	return m->ops->logit_scale ? m->ops->logit_scale(m) : 1;
}

static float logit_bias(const struct model *m)
{
	return m->ops->logit_bias ? m->ops->logit_bias(m) : 0;
}

static int caption(struct model *m, const struct pixels *const *pictures, int n, const struct caption_options *options, struct caption *out,
		   const struct model_control *control, struct error *err)
{
	tt_tensor **each, *pixels;

	if (call_begin(m, m->ops->caption, "caption pictures", control, err) < 0)
		return -1;
	if (n <= 0)
		return call_end(m, 0);
	each = each_picture(m, pictures, n, err);
	if (!each)
		return call_end(m, -1);
	pixels = n == 1 ? each[0] : tt_cat(m->work, each, n, 0);
	free(each);
	if (!pixels)
		return call_end(m, model_check(m, "pictures", err));
	return call_end(m, m->ops->caption(m, pixels, options, out, err));
}

static int classify(struct model *m, const struct text_pair *pairs, int n, struct verdict *out, const struct model_control *control,
		    struct error *err)
{
	if (call_begin(m, m->ops->classify, "judge pairs of texts", control, err) < 0)
		return -1;
	return call_end(m, n > 0 ? m->ops->classify(m, pairs, n, out, err) : 0);
}

static int prepare(const struct model *m, const struct image *image, int image_size, struct pixels *out, struct error *err)
{
	if (!m->ops->prepare)
		return fail(err, E_USAGE, "%s: a %s model sees no pictures", m->info.name, m->info.architecture);
	return m->ops->prepare(m, image, image_size, out, err);
}

/* ---- the library as a whole */

static int threads; /* intra-op, as last set; any thread reads it */

static void set_threads(int wanted)
{
	__atomic_store_n(&threads, wanted > 0 ? wanted : runtime_cpus(), __ATOMIC_RELAXED);
}

static int start(int wanted, struct error *err)
{
	char message[200];

	set_threads(wanted);
	if (tt_start(threads, message, sizeof message) < 0)
		return fail(err, E_MODEL, "%s", message);
	return 0;
}

static int tune(const struct model_tuning *tuning, struct error *err)
{
	const struct tt_tuning t = {tuning->seed, tuning->deterministic, tuning->benchmark, tuning->threads};
	char message[500];

	set_threads(tuning->threads);
	if (tt_tune(&t, message, sizeof message) < 0)
		return fail(err, E_MODEL, "%s", message);
	return 0;
}

static int usable(int device, struct error *err)
{
	char message[900];

	if (tt_usable(device, message, sizeof message) < 0)
		return fail(err, E_DEVICE, "%s", message);
	return 0;
}

static char version_text[48];

static void version_make(void)
{
	snprintf(version_text, sizeof version_text, "libtorch %s", tt_version());
}

static const char *version(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, version_make);
	return version_text;
}

static int describe_device(int device, struct device_info *out)
{
	struct tt_device about;

	*out = (struct device_info){0};
	if (tt_device_describe(device, &about) < 0)
		return -1;
	out->bf16 = about.bf16;
	out->fp16 = about.fp16;
	out->total = about.total;
	snprintf(out->id, sizeof out->id, "%s", about.id);
	if (device == DEVICE_CPU) {
		out->blas_gflops = tt_blas_gflops();
		snprintf(out->name, sizeof out->name, "CPU, %d threads", __atomic_load_n(&threads, __ATOMIC_RELAXED));
	} else {
		snprintf(out->name, sizeof out->name, "cuda:%d%s%s", device, about.name[0] ? " " : "", about.name);
	}
	return 0;
}

static void read_memory(int device, struct memory_reading *out)
{
	struct tt_memory m;

	tt_memory_read(device, &m);
	*out = (struct memory_reading){
		.used = m.used,
		.cached = m.cached,
		.cap = m.cap,
		.device_total = m.device_total,
		.device_free = m.device_free,
		.refused = m.refused,
	};
	memcpy(out->peak, m.peak, sizeof out->peak);
	memcpy(out->weights, m.weights, sizeof out->weights);
	memcpy(out->kv, m.kv, sizeof out->kv);
}

static void reset_peak(int device, enum memory_peak which)
{
	tt_memory_reset_peak(device, (int)which);
}

__attribute__((visibility("default"))) const struct model_library vramble_models = {
	.abi = MODEL_LIBRARY_ABI,
	.start = start,
	.version = version,
	.devices = tt_cuda_devices,
	.device = describe_device,
	.usable = usable,
	.tune = tune,
	.inspect = model_inspect,
	.configure = model_configure,
	.open = model_open,
	.close = model_close,
	.info = model_info,
	.precision = model_precision,
	.place = model_place,
	.evict = model_evict,
	.resident = model_resident,
	.forecast = model_forecast,
	.prepare = prepare,
	.embed_images = embed_images,
	.embed_texts = embed_texts,
	.logit_scale = logit_scale,
	.logit_bias = logit_bias,
	.caption = caption,
	.classify = classify,
	.memory = read_memory,
	.memory_reset_peak = reset_peak,
	.memory_set_cap = tt_memory_set_cap,
	.memory_trim = tt_memory_trim,
};
