/* fake_models.c - see fake_models.h. */
#include "tests/support/fake_models.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/image.h"
#include "core/mem.h"

struct model {
	struct model_info info;
	enum precision precision;
	int device;
	bool resident;
	bool configured; /* no more than that */
};

enum { FAKE_DEVICES = 9 }; /* the CPU, then CUDA devices */

struct account {
	int64_t used, cached, cap, refused, peak[PEAKS], weights[MODEL_OWNERS];
};

struct fake fake = {.bad_blue = -1, .slow_blue = -1, .steps = 1};
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
/* A model whose name has "large" in it weighs twice as much. */
static bool is_large(const struct model_info *info)
{
	return strstr(info->name, "large");
}

static const char *const colours[3] = {"red", "green", "blue"};
static struct account accounts[FAKE_DEVICES]; /* [device + 1] */

void fake_lock(void)
{
	pthread_mutex_lock(&lock);
}

void fake_unlock(void)
{
	pthread_mutex_unlock(&lock);
}

void fake_look(struct fake *out)
{
	fake_lock();
	*out = fake;
	fake_unlock();
}

void fake_reset(void)
{
	fake_lock();
	fake = (struct fake){.bad_blue = -1, .slow_blue = -1, .steps = 1};
	memset(accounts, 0, sizeof accounts);
	fake_unlock();
}

void fake_hold(enum model_kind kind, bool hold)
{
	fake_lock();
	fake.hold[kind] = hold;
	pthread_cond_broadcast(&changed);
	fake_unlock();
}

void fake_hold_open(enum model_kind kind, bool hold)
{
	fake_lock();
	fake.hold_open[kind] = hold;
	pthread_cond_broadcast(&changed);
	fake_unlock();
}

void fake_await_opening(void)
{
	fake_lock();
	while (!fake.holding_open)
		pthread_cond_wait(&changed, &lock);
	fake_unlock();
}

void fake_hold_configure(bool hold)
{
	fake_lock();
	fake.hold_configure = hold;
	pthread_cond_broadcast(&changed);
	while (hold ? !fake.holding_configure : fake.holding_configure)
		pthread_cond_wait(&changed, &lock);
	fake_unlock();
}

void fake_await_held(enum model_kind kind)
{
	fake_lock();
	while (!fake.holding[kind])
		pthread_cond_wait(&changed, &lock);
	fake_unlock();
}

void fake_hold_library(bool hold)
{
	fake_lock();
	fake.hold_library = hold;
	pthread_cond_broadcast(&changed);
	while (hold ? !fake.opening : fake.opening)
		pthread_cond_wait(&changed, &lock);
	fake_unlock();
}

const struct model_library *fake_open(void *ctx, struct error *err)
{
	bool failing;

	fake_lock();
	fake.opening++;
	pthread_cond_broadcast(&changed);
	while (fake.hold_library)
		pthread_cond_wait(&changed, &lock);
	fake.opening--;
	fake.opened_library++;
	pthread_cond_broadcast(&changed);
	failing = fake.fail_library;
	fake_unlock();
	return failing ? fail_null(err, E_MODEL, "the fake library was told to fail") : &fake_library;
}

/* ---------------------------------------------------------------- memory, under the lock where not said otherwise */

static int64_t device_bytes(int number)
{
	if (number != DEVICE_CPU && fake.cuda_bytes)
		return fake.cuda_bytes;
	return fake.device_bytes ? fake.device_bytes : 16LL << 30;
}

static int account_take(int number, int owner, int64_t bytes, struct error *err)
{
	struct account *a = &accounts[number + 1];
	int64_t limit = a->cap && a->cap < device_bytes(number) ? a->cap : device_bytes(number);

	if (a->used + bytes > limit) {
		a->refused++;
		fake.refused++;
		return fail(err, E_MEMORY, "fake: %lld bytes asked, %lld in use, the limit is %lld", (long long)bytes, (long long)a->used,
			    (long long)limit);
	}
	a->used += bytes;
	a->weights[owner] += owner ? bytes : 0;
	a->cached = a->cached > bytes ? a->cached - bytes : 0;
	for (int i = 0; i < PEAKS; i++)
		if (a->peak[i] < a->used)
			a->peak[i] = a->used;
	return 0;
}

static void account_give(int number, int owner, int64_t bytes)
{
	accounts[number + 1].used -= bytes;
	accounts[number + 1].weights[owner] -= owner ? bytes : 0;
	accounts[number + 1].cached += bytes;
}

/* With or without the lock: it is ordered before the engine starts. */
static int64_t weights_of(enum model_kind kind)
{
	static const int64_t usual[MODEL_KINDS] = {300 << 20, 700 << 20, 400 << 20};

	return fake.weights[kind] ? fake.weights[kind] : usual[kind];
}

static int64_t weights_in(const struct model_info *info, enum precision precision)
{
	int64_t bytes = is_large(info) ? 2 * weights_of(info->kind) : weights_of(info->kind);

	return precision == PRECISION_BF16 || precision == PRECISION_FP16 ? bytes / 2 : bytes;
}

/* What a run of n holds: activations and, for captions, caches. */
static void run_bytes(const struct model_info *info, enum precision precision, int n, int image_size, int beams, struct forecast *out)
{
	static const int64_t usual[MODEL_KINDS] = {150 << 20, 400 << 20, 2 << 20};
	int64_t each = fake.activation[info->kind] ? fake.activation[info->kind] : usual[info->kind];

	if (precision != PRECISION_FP32)
		each /= 2;
	if (image_size && info->image_step)
		each = each * image_size / info->image_size * image_size / info->image_size;
	out->activations = each * n;
	out->kv = info->kind == MODEL_CAPTION ? (int64_t)n * beams * (4 << 20) : 0;
}

/* ---------------------------------------------------------------- running */

static int ask(const struct model_control *control)
{
	return control && control->check ? control->check(control->ctx) : 0;
}

static void wait_us(long us)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += us * 1000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_cond_timedwait(&changed, &lock, &until);
}

static bool is_held(enum model_kind kind, bool texts)
{
	return fake.hold[kind] || (texts && fake.hold_texts);
}

static int stopped(struct error *err)
{
	fake_lock();
	fake.cancelled++;
	fake_unlock();
	return fail(err, E_CANCELLED, "stopped");
}

/* A held run goes on asking check, as a real one does at every half layer. */
static int stay_held(enum model_kind kind, bool texts, const struct model_control *control, struct error *err)
{
	fake_lock();
	while (is_held(kind, texts)) {
		int stop;

		fake.holding[kind]++;
		pthread_cond_broadcast(&changed);
		wait_us(500);
		fake_unlock();
		stop = ask(control);
		fake_lock();
		fake.holding[kind]--;
		if (stop) {
			fake_unlock();
			return stopped(err);
		}
	}
	fake_unlock();
	return 0;
}

static int run_steps(enum model_kind kind, int steps, const struct model_control *control, struct error *err)
{
	for (int i = 0; i < steps; i++) {
		if (ask(control))
			return stopped(err);
		fake_lock();
		fake.running++;
		if (fake.running > fake.most_running)
			fake.most_running = fake.running;
		if (fake.step_us)
			wait_us(fake.step_us);
		fake.running--;
		fake_unlock();
	}
	return 0;
}

static bool bad_luck(enum model_kind kind, struct error *err)
{
	bool failing = true;

	fake_lock();
	if (fake.no_memory[kind] > 0) {
		fake.no_memory[kind]--;
		fake.provoked++;
		fail(err, E_MEMORY, "fake: provoked");
	} else if (fake.no_luck[kind] > 0) {
		fake.no_luck[kind]--;
		fail(err, E_MODEL, "fake: no luck");
	} else {
		failing = false;
	}
	fake_unlock();
	return failing;
}

/* image_size: of the pictures, as prepared. */
static int take_steps(struct model *m, bool texts, int n, int image_size, const struct model_control *control, struct error *err)
{
	enum model_kind kind = m->info.kind;
	struct forecast need;
	int steps, fits, rc;

	if (!m->resident)
		return fail(err, E_MEMORY, "fake: the model is evicted");
	fake_lock();
	if (fake.break_device && m->device != DEVICE_CPU) {
		fake_unlock();
		return fail(err, E_DEVICE, "fake: the device broke down");
	}
	steps = fake.steps;
	fits = fake.fits[kind];
	if (n > fake.largest[kind])
		fake.largest[kind] = n;
	fake_unlock();
	if (stay_held(kind, texts, control, err) < 0 || bad_luck(kind, err))
		return -1;
	if (fits && n > fits) {
		fake_lock();
		if (!fake.smallest_failed[kind] || n < fake.smallest_failed[kind])
			fake.smallest_failed[kind] = n;
		fake_unlock();
		return fail(err, E_MEMORY, "fake: %d is more than %d", n, fits);
	}
	fake_lock();
	run_bytes(&m->info, m->precision, n, image_size, fake.beams, &need);
	rc = account_take(m->device, 0, need.activations + need.kv, err);
	fake_unlock();
	if (rc < 0)
		return -1;
	rc = run_steps(kind, steps, control, err);
	fake_lock();
	account_give(m->device, 0, need.activations + need.kv);
	fake_unlock();
	return rc;
}

/* prepare leaves the size that was asked for in the width. */
static int size_of(const struct pixels *const *pictures)
{
	return pictures[0]->width - 2;
}

static void unit(float *v)
{
	double sum = 0;

	for (int i = 0; i < FAKE_DIM; i++)
		sum += (double)v[i] * v[i];
	for (int i = 0; i < FAKE_DIM; i++)
		v[i] = (float)(v[i] / sqrt(sum));
}

static int look_at(const struct pixels *const *pictures, int n, const struct model_control *control, struct error *err)
{
	int bad, slow;

	fake_lock();
	bad = fake.bad_blue;
	slow = fake.slow_blue;
	for (int i = 0; i < n; i++)
		if (fake.seen_n < FAKE_SEEN)
			fake.seen[fake.seen_n++] = (int)pictures[i]->data[FAKE_BLUE];
	fake_unlock();
	for (int i = 0; i < n; i++)
		while ((int)pictures[i]->data[FAKE_BLUE] == slow) {
			if (ask(control))
				return stopped(err);
			fake_lock();
			wait_us(500);
			fake_unlock();
		}
	for (int i = 0; i < n; i++) {
		if (pictures[i]->width != pictures[0]->width || pictures[i]->height != pictures[0]->height)
			return fail(err, E_MODEL, "fake: a batch of different shapes");
		if ((int)pictures[i]->data[FAKE_BLUE] == bad)
			return fail(err, E_MODEL, "fake: cannot look at this picture");
	}
	return 0;
}

static int embed_images(struct model *m, const struct pixels *const *pictures, int n, float *out, const struct model_control *control,
			struct error *err)
{
	fake_lock();
	fake.image_calls++;
	fake.images += n;
	fake_unlock();
	if (take_steps(m, false, n, size_of(pictures), control, err) < 0 || look_at(pictures, n, control, err) < 0)
		return -1;
	for (int i = 0; i < n; i++) {
		float *v = out + (size_t)i * FAKE_DIM;

		for (int k = 0; k < FAKE_DIM; k++)
			v[k] = k < 3 ? pictures[i]->data[k] / 255 : k == 3 ? 0.1f : 0;
		unit(v);
	}
	return 0;
}

static int embed_texts(struct model *m, const char *const *texts, int n, float *out, const struct model_control *control, struct error *err)
{
	fake_lock();
	fake.text_calls++;
	fake.texts += n;
	fake_unlock();
	if (take_steps(m, true, n, 0, control, err) < 0)
		return -1;
	for (int i = 0; i < n; i++) {
		float *v = out + (size_t)i * FAKE_DIM;

		for (int k = 0; k < FAKE_DIM; k++)
			v[k] = k < 3 && strstr(texts[i], colours[k]) ? 1.0f : 0;
		v[4 + strlen(texts[i]) % 4] = 0.2f;
		unit(v);
	}
	return 0;
}

static float logit_scale(const struct model *m)
{
	return 100;
}

/* A label that names the picture's colour, at a cosine of 0.976, is about half likely. */
static float logit_bias(const struct model *m)
{
	return m->info.sigmoid ? -97.6f : 0;
}

static void say(const struct model *m, const struct pixels *picture, const struct caption_options *options, int row, struct caption *out)
{
	const float *mean = picture->data;
	int most = mean[1] > mean[0] ? 1 : 0;
	size_t end = 0;

	if (mean[2] > mean[most])
		most = 2;
	*out = (struct caption){.score = -0.5f};
	snprintf(out->text, sizeof out->text, "a %spicture that is mostly %s", is_large(&m->info) ? "large " : "", colours[most]);
	for (const char *s = out->text; *s; s++) {
		char part[sizeof out->text];

		if (s[1] && s[1] != ' ')
			continue;
		end = (size_t)(s - out->text) + 1;
		snprintf(part, sizeof part, "%.*s", (int)end, out->text);
		out->tokens++;
		if (options->on_text)
			options->on_text(options->ctx, row, part, out->tokens);
	}
}

static int caption(struct model *m, const struct pixels *const *pictures, int n, const struct caption_options *options, struct caption *out,
		   const struct model_control *control, struct error *err)
{
	fake_lock();
	fake.caption_calls++;
	fake.captions += n;
	fake.beams = options->beams;
	fake_unlock();
	if (take_steps(m, false, n, size_of(pictures), control, err) < 0 || look_at(pictures, n, control, err) < 0)
		return -1;
	for (int i = 0; i < n; i++)
		say(m, pictures[i], options, i, &out[i]);
	return 0;
}

static int classify(struct model *m, const struct text_pair *pairs, int n, struct verdict *out, const struct model_control *control,
		    struct error *err)
{
	fake_lock();
	fake.nli_calls++;
	fake.pairs += n;
	fake_unlock();
	if (take_steps(m, false, n, 0, control, err) < 0)
		return -1;
	for (int i = 0; i < n; i++) {
		out[i] = (struct verdict){0.05f, 0.9f, 0.05f, -1};
		for (int k = 0; k < 3; k++)
			if (strstr(pairs[i].hypothesis, colours[k]))
				out[i] = strstr(pairs[i].premise, colours[k]) ? (struct verdict){0.9f, 0.08f, 0.02f, 2}
									      : (struct verdict){0.02f, 0.08f, 0.9f, -2};
	}
	return 0;
}

/* ---------------------------------------------------------------- opening */

static int start(int threads, struct error *err)
{
	return 0;
}

static const char *version(void)
{
	return "fake 1.0";
}

static int devices(void)
{
	int n;

	fake_lock();
	n = fake.cuda_devices;
	fake_unlock();
	return n;
}

static int device(int number, struct device_info *out)
{
	int n = devices();

	*out = (struct device_info){.name = "CPU, fake", .bf16 = true, .fp16 = number >= 0};
	fake_lock();
	out->total = device_bytes(number);
	fake_unlock();
	if (number >= 0)
		snprintf(out->name, sizeof out->name, "cuda:%d fake", number);
	return number < n ? 0 : -1;
}

static int usable(int number, struct error *err)
{
	if (number < devices())
		return 0;
	return fail(err, E_DEVICE, "fake: no CUDA device %d; there are %d", number, devices());
}

static int tune(const struct model_tuning *tuning, struct error *err)
{
	fake_lock();
	fake.tuning = *tuning;
	fake.tunes++;
	fake_unlock();
	return 0;
}

static enum model_kind kind_of(const char *name)
{
	return strstr(name, "clip") || strstr(name, "siglip") ? MODEL_SCORES
	       : strstr(name, "bert") || strstr(name, "nli")  ? MODEL_NLI
							      : MODEL_CAPTION;
}

static int inspect(const char *dir, struct model_info *out, struct error *err)
{
	static const char *const architecture[MODEL_KINDS] = {"clip", "ofa", "bert"};
	const char *slash = strrchr(dir, '/'), *name = slash ? slash + 1 : dir;

	*out = (struct model_info){.kind = kind_of(name), .precision = "fp32", .tensors = 100, .context = 77, .vocabulary = 1000};
	snprintf(out->architecture, sizeof out->architecture, "%s", architecture[out->kind]);
	snprintf(out->name, sizeof out->name, "%s", name);
	if (strstr(name, "broken"))
		return fail(err, E_MODEL, "%s: config.json is broken", dir);
	out->weight_bytes = weights_in(out, PRECISION_FP32);
	out->parameters = out->weight_bytes / 4;
	out->image_size = out->kind == MODEL_NLI ? 0 : out->kind == MODEL_SCORES ? 224 : 480;
	out->image_step = out->kind == MODEL_CAPTION ? 16 : 0;
	out->image_max = out->kind == MODEL_CAPTION ? 672 : out->image_size;
	out->embed_size = out->kind == MODEL_SCORES ? FAKE_DIM : 0;
	out->sigmoid = strstr(name, "siglip");
	return 0;
}

/* The weights into memory that is free by now. */
static int put(struct model *m, int number, enum precision precision, struct error *err)
{
	int rc;

	if (usable(number, err) < 0)
		return -1;
	precision = precision == PRECISION_AUTO ? PRECISION_FP32 : precision;
	fake_lock();
	rc = account_take(number, (int)m->info.kind + 1, weights_in(&m->info, precision), err);
	if (!rc) {
		m->precision = fake.precision[m->info.kind] = precision;
		m->device = fake.device[m->info.kind] = number;
		m->resident = true;
	}
	fake_unlock();
	return rc;
}

static void evict(struct model *m)
{
	if (!m->resident)
		return;
	fake_lock();
	account_give(m->device, (int)m->info.kind + 1, weights_in(&m->info, m->precision));
	m->resident = false;
	fake.evictions++;
	fake_unlock();
}

static bool resident(const struct model *m)
{
	return m->resident;
}

static struct model *open_model(const char *dir, int number, enum precision precision, int owner, const struct model_control *control,
				struct error *err)
{
	struct model *m = xcalloc(1, sizeof *m);
	bool failing;

	if (inspect(dir, &m->info, err) < 0) {
		free(m);
		return NULL;
	}
	fake_lock();
	failing = fake.fail_open[m->info.kind] || strstr(m->info.name, "unreadable");
	fake.opened[m->info.kind]++;
	fake.holding_open++;
	pthread_cond_broadcast(&changed);
	while (fake.hold_open[m->info.kind])
		pthread_cond_wait(&changed, &lock);
	fake.holding_open--;
	fake_unlock();
	if (failing)
		fail(err, E_MODEL, "%s: the fake model was told to fail", dir);
	if (failing || put(m, number, precision, err) < 0) {
		free(m);
		return NULL;
	}
	for (int i = 0; i <= 4; i++)
		if (control && control->progress)
			control->progress(control->ctx, m->info.weight_bytes * i / 4, m->info.weight_bytes);
	return m;
}

static struct model *configure(const char *dir, struct error *err)
{
	struct model *m = xcalloc(1, sizeof *m);

	m->configured = true;
	fake_lock();
	fake.holding_configure++;
	pthread_cond_broadcast(&changed);
	while (fake.hold_configure)
		pthread_cond_wait(&changed, &lock);
	fake.holding_configure--;
	pthread_cond_broadcast(&changed);
	fake_unlock();
	if (inspect(dir, &m->info, err) == 0)
		return m;
	free(m);
	return NULL;
}

static void close_model(struct model *m)
{
	if (!m)
		return;
	evict(m);
	fake_lock();
	fake.closed[m->info.kind] += !m->configured;
	fake_unlock();
	free(m);
}

static const struct model_info *info(const struct model *m)
{
	return &m->info;
}

static enum precision precision_of(const struct model *m)
{
	return m->precision;
}

static int place(struct model *m, int number, enum precision precision, const struct model_control *control, struct error *err)
{
	enum precision old = m->precision;
	int was = m->device;
	bool failing, back = m->resident;

	fake_lock();
	failing = fake.fail_place[m->info.kind];
	fake.places++;
	fake_unlock();
	if (failing)
		return fail(err, E_MODEL, "fake: no");
	if (usable(number, err) < 0)
		return -1;
	evict(m);
	if (!put(m, number, precision, err))
		return 0;
	if (back)
		put(m, was, old, NULL);
	return -1;
}

static void forecast(const struct model *m, const struct forecast_request *request, struct forecast *out)
{
	enum precision precision = request->precision == PRECISION_AUTO ? PRECISION_FP32 : request->precision;

	*out = (struct forecast){.weights = weights_in(&m->info, precision)};
	fake_lock();
	run_bytes(&m->info, precision, request->batch, request->image_size, request->beams, out);
	if (fake.overestimate) {
		out->activations *= fake.overestimate;
		out->kv *= fake.overestimate;
	}
	fake_unlock();
}

static int prepare(const struct model *m, const struct image *image, int image_size, struct pixels *out, struct error *err)
{
	size_t count = (size_t)image->width * (size_t)image->height;

	fake_lock();
	fake.prepares++;
	if (m->info.kind == MODEL_CAPTION)
		fake.image_size = image_size;
	fake_unlock();
	/* Tall pictures and wide ones differ in shape, so that they cannot share a batch; the mean colour stands in the first three values. */
	*out = (struct pixels){.channels = 3, .height = image->height > image->width ? 2 : 1, .width = 2 + image_size};
	out->data = xcalloc((size_t)(out->channels * out->height * out->width), sizeof *out->data);
	for (int k = 0; k < 3; k++) {
		double sum = 0;

		for (size_t i = 0; i < count; i++)
			sum += image->rgb[i * 3 + (size_t)k];
		out->data[k] = (float)(sum / (double)count);
	}
	return 0;
}

/* ---------------------------------------------------------------- the account's face */

static void memory(int number, struct memory_reading *out)
{
	const struct account *a = &accounts[number + 1];

	fake_lock();
	*out = (struct memory_reading){.used = a->used, .cached = a->cached, .cap = a->cap, .refused = a->refused};
	memcpy(out->peak, a->peak, sizeof out->peak);
	memcpy(out->weights, a->weights, sizeof out->weights);
	out->device_total = device_bytes(number);
	/* A fifth of the device is others'. */
	out->device_free = device_bytes(number) / 5 * 4 - a->used - a->cached;
	fake_unlock();
}

static void memory_reset_peak(int number, enum memory_peak which)
{
	fake_lock();
	accounts[number + 1].peak[which] = accounts[number + 1].used;
	fake_unlock();
}

static void memory_set_cap(int number, int64_t bytes)
{
	fake_lock();
	accounts[number + 1].cap = bytes;
	if (number == DEVICE_CPU)
		fake.cap = bytes;
	fake_unlock();
}

static void memory_trim(int number)
{
	fake_lock();
	accounts[number + 1].cached = 0;
	fake.trims++;
	fake_unlock();
}

const struct model_library fake_library = {
	.abi = MODEL_LIBRARY_ABI,
	.start = start,
	.version = version,
	.devices = devices,
	.device = device,
	.usable = usable,
	.tune = tune,
	.inspect = inspect,
	.configure = configure,
	.open = open_model,
	.close = close_model,
	.info = info,
	.precision = precision_of,
	.place = place,
	.evict = evict,
	.resident = resident,
	.forecast = forecast,
	.prepare = prepare,
	.embed_images = embed_images,
	.embed_texts = embed_texts,
	.logit_scale = logit_scale,
	.logit_bias = logit_bias,
	.caption = caption,
	.classify = classify,
	.memory = memory,
	.memory_reset_peak = memory_reset_peak,
	.memory_set_cap = memory_set_cap,
	.memory_trim = memory_trim,
};
