/* models.c - see models.h: opening a model directory, the precision it runs in, and the one exported table of core/model.h. */
#include "models/models.h"

#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/mem.h"
#include "core/runtime.h"
#include "models/checkpoint.h"
#include "models/checkpoint_config.h"
#include "models/json.h"
#include "models/locate.h"

_Static_assert((int)TT_OWNERS == (int)MODEL_OWNERS && TT_CPU == DEVICE_CPU, "core and the shim count alike");

static const struct model_ops *const networks[] = {&clip_ops, &ofa_ops, &bert_ops};
enum { NETWORKS = sizeof networks / sizeof networks[0] };

static const char *const precision_names[PRECISIONS] = {"auto", "fp32", "bf16", "fp16", "autocast"};

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

/* The directory's last part; in a download cache (models--owner--name/snapshots/<commit>) the repository's. */
static void name_of(const char *dir, char *out, size_t size)
{
	char *path = realpath(dir, NULL), *whole = path ? path : xstrdup(dir), *snapshots = strstr(whole, "/snapshots/"), *last;

	if (snapshots)
		*snapshots = '\0';
	last = strrchr(whole, '/');
	last = last && last[1] ? last + 1 : whole;
	if (snapshots && strncmp(last, "models--", 8) == 0) {
		char *dashes = strstr(last + 8, "--");

		last = dashes ? dashes + 2 : last + 8;
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
		if (ops->configure(m, config, err) < 0) {
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

/* ---- load */

/* What runs for what was asked. On a CPU fp16 has no kernels, and bf16 without instructions for it is slower than fp32. */
static enum precision precision_for(int device, enum precision wanted)
{
	if (device != DEVICE_CPU)
		return wanted == PRECISION_AUTO ? PRECISION_FP16 : wanted;
	if (wanted == PRECISION_FP32)
		return PRECISION_FP32;
	return tt_cpu_has_bf16() ? PRECISION_BF16 : PRECISION_FP32;
}

static void note_precision(struct model *m, enum precision wanted)
{
	size_t used = strlen(m->info.notes);

	if (wanted == PRECISION_AUTO || wanted == m->precision)
		return;
	snprintf(m->info.notes + used, sizeof m->info.notes - used, "%s%s is not for this CPU: %s is used", used ? "; " : "", precision_names[wanted],
		 precision_names[m->precision]);
}

struct nn_source model_source(const struct model *m, const struct model_control *control)
{
	static const enum tt_dtype compute[PRECISIONS] = {TT_F32, TT_F32, TT_BF16, TT_F16, TT_F32};

	return (struct nn_source){
		.pool = m->weights,
		.compute = compute[m->precision],
		.device = m->device,
		.file = m->file,
		.progress = control ? control->progress : NULL,
		.ctx = control ? control->ctx : NULL,
	};
}

static int load_weights(struct model *m, const struct model_control *control, struct error *err)
{
	int rc;

	tt_set_owner(m->owner);
	tt_set_check(m->weights, control ? control->check : NULL, control ? control->ctx : NULL);
	rc = m->ops->load(m, control, err);
	tt_set_check(m->weights, NULL, NULL);
	return rc;
}

int model_load(struct model *m, int device, enum precision precision, int owner, const struct model_control *control, struct error *err)
{
	if (device != DEVICE_CPU && (device < 0 || device >= tt_cuda_devices()))
		return fail(err, E_USAGE, "%s: no CUDA device %d; there are %d", m->info.name, device, tt_cuda_devices());
	if (owner < 0 || owner >= MODEL_OWNERS)
		return fail(err, E_USAGE, "%s: owner %d is out of range", m->info.name, owner);
	m->device = device;
	m->owner = owner;
	m->precision = precision_for(device, precision);
	note_precision(m, precision);
	m->weights = tt_pool_create(TT_INFER);
	m->work = tt_pool_create(TT_INFER);
	return load_weights(m, control, err);
}

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

/* ---- a change of precision. The field is read by any thread. */

static enum precision model_precision(const struct model *m)
{
	return __atomic_load_n(&m->precision, __ATOMIC_RELAXED);
}

static int load_as(struct model *m, tt_pool *weights, enum precision precision, struct error *err)
{
	m->weights = weights;
	__atomic_store_n(&m->precision, precision, __ATOMIC_RELAXED);
	return load_weights(m, NULL, err);
}

/* No room for old and new side by side: the old ones go first. Should the new ones still not fit, the old ones are read again. */
static int swap_weights(struct model *m, enum precision wanted, enum precision before, struct error *err)
{
	tt_clear(m->weights);
	tt_memory_trim(m->device);
	if (load_as(m, m->weights, wanted, err) == 0)
		return 0;
	tt_clear(m->weights);
	m->lost = load_as(m, m->weights, before, NULL) < 0;
	return -1;
}

static int model_place(struct model *m, int device, enum precision precision, const struct model_control *control, struct error *err)
{
	enum precision before = m->precision, wanted = precision_for(m->device, precision);
	tt_pool *old = m->weights, *fresh;
	struct error first = {0};

	if (wanted == before && !m->lost)
		return 0;
	fresh = tt_pool_create(TT_INFER);
	if (!m->lost && load_as(m, fresh, wanted, &first) == 0) {
		tt_pool_destroy(old);
		return 0;
	}
	tt_pool_destroy(fresh);
	m->weights = old;
	__atomic_store_n(&m->precision, before, __ATOMIC_RELAXED);
	if (m->lost || first.code == E_MEMORY) {
		m->lost = false;
		return swap_weights(m, wanted, before, err);
	}
	if (err)
		*err = first;
	return -1;
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
	if (m->lost)
		return fail(err, E_MEMORY, "%s: its weights found no memory after a change of precision; free some and set the precision again",
			    m->info.name);
	tt_set_owner(m->owner);
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

/* [n,C,H,W]; a single picture is used where it lies. */
static tt_tensor *pixels_tensor(struct model *m, const struct pixels *const *pictures, int n, struct error *err)
{
	tt_tensor **each = xcalloc((size_t)n, sizeof *each), *all;

	for (int i = 0; i < n; i++) {
		const struct pixels *x = pictures[i];

		if (x->channels != pictures[0]->channels || x->height != pictures[0]->height || x->width != pictures[0]->width) {
			free(each);
			return fail_null(err, E_USAGE, "%s: pictures of different sizes in one batch", m->info.name);
		}
		each[i] = tt_borrow(m->work, x->data, TT_F32, TT_SHAPE(1, x->channels, x->height, x->width));
	}
	all = n == 1 ? each[0] : tt_cat(m->work, each, n, 0);
	free(each);
	if (!all)
		model_check(m, "pictures", err);
	return all;
}

static int embed_images(struct model *m, const struct pixels *const *pictures, int n, float *out, const struct model_control *control,
			struct error *err)
{
	tt_tensor *pixels;

	if (call_begin(m, m->ops->embed_images, "embed pictures", control, err) < 0)
		return -1;
	if (n <= 0)
		return call_end(m, 0);
	pixels = pixels_tensor(m, pictures, n, err);
	return call_end(m, pixels ? m->ops->embed_images(m, pixels, out, err) : -1);
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

static int caption(struct model *m, const struct pixels *const *pictures, int n, const struct caption_options *options, struct caption *out,
		   const struct model_control *control, struct error *err)
{
	tt_tensor *pixels;

	if (call_begin(m, m->ops->caption, "caption pictures", control, err) < 0)
		return -1;
	if (n <= 0)
		return call_end(m, 0);
	pixels = pixels_tensor(m, pictures, n, err);
	return call_end(m, pixels ? m->ops->caption(m, pixels, options, out, err) : -1);
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

static int threads;

static int start(int wanted, struct error *err)
{
	char message[200];

	threads = wanted > 0 ? wanted : runtime_cpus();
	if (tt_start(threads, message, sizeof message) < 0)
		return fail(err, E_MODEL, "%s", message);
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
	*out = (struct device_info){.bf16 = true, .fp16 = true};
	if (device >= 0) {
		snprintf(out->name, sizeof out->name, "cuda:%d", device);
		return device < tt_cuda_devices() ? 0 : -1;
	}
	out->bf16 = tt_cpu_has_bf16();
	out->fp16 = false;
	out->blas_gflops = tt_blas_gflops();
	snprintf(out->name, sizeof out->name, "CPU, %d threads", threads);
	return 0;
}

static void read_memory(int device, struct memory_reading *out)
{
	struct tt_memory m;

	tt_memory_read(device, &m);
	*out = (struct memory_reading){
		.used = m.used,
		.peak = {m.peak, m.peak, m.peak},
		.cached = m.cached,
		.cap = m.cap,
		.device_total = m.device_total,
		.device_free = m.device_free,
		.refused = m.refused,
	};
	for (int i = 0; i < MODEL_OWNERS; i++)
		out->weights[i] = m.owner[i];
}

static void reset_peak(int device, enum memory_peak which)
{
	tt_memory_reset_peak(device);
}

__attribute__((visibility("default"))) const struct model_library vramble_models = {
	.abi = MODEL_LIBRARY_ABI,
	.start = start,
	.version = version,
	.devices = tt_cuda_devices,
	.device = describe_device,
	.inspect = model_inspect,
	.open = model_open,
	.close = model_close,
	.info = model_info,
	.precision = model_precision,
	.place = model_place,
	.prepare = prepare,
	.embed_images = embed_images,
	.embed_texts = embed_texts,
	.logit_scale = logit_scale,
	.caption = caption,
	.classify = classify,
	.memory = read_memory,
	.memory_reset_peak = reset_peak,
	.memory_set_cap = tt_memory_set_cap,
	.memory_trim = tt_memory_trim,
};
