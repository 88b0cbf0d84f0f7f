#include "models/picturebook/train.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "models/checkpoint.h"
#include "models/json.h"

enum { AVERAGE_EVERY = 8, REPORT_SECONDS = 15, SAVE_SECONDS = 180, RESUME_WARMUP = 100 };
static const double gradient_limit = 1.0;
static const char record_name[] = "training.json"; /* how far the weights beside it got */

/* One run under way. */
struct run {
	const struct train_task *task;
	const struct train_options *options;
	struct nn_source source;
	void *net;
	tt_pool *work;
	struct tt_adamw *optimiser;
	float **average;                     /* by source.made */
	int64_t steps, step, first;          /* first: where a resumed run began */
	int64_t phase_end[TRAIN_MAX_PHASES]; /* in steps */
	double loss, reported, saved, started;
	int64_t samples, reported_samples;
};

static const struct train_phase *phase_of(const struct run *r, int64_t step)
{
	int i = 0;
	while (i < TRAIN_MAX_PHASES - 1 && step >= r->phase_end[i])
		i++;
	return &r->task->plan.phases[i];
}

static void plan_steps(struct run *r)
{
	for (int i = 0; i < TRAIN_MAX_PHASES; i++) {
		const struct train_phase *phase = &r->task->plan.phases[i];
		if (phase->samples > 0)
			r->steps += (int64_t)((double)phase->samples * r->options->share / phase->batch) + 1;
		r->phase_end[i] = r->steps;
	}
}

static struct train_batch *draw(void *ctx, int64_t index)
{
	const struct run *r = ctx;
	index += r->first;
	uint64_t seed = r->options->seed * 0x9e3779b97f4a7c15u + (uint64_t)index;
	return r->task->draw(r->net, phase_of(r, index), scene_next(&seed));
}

/* ---- averaging and saving */

static size_t count_of(const struct nn_made *m)
{
	return (size_t)tt_count(m->tensor);
}

/* Moves the average towards the weights as AVERAGE_EVERY single steps would; its memory grows with the run so that the start is forgotten. */
static int average_weights(struct run *r, struct error *err)
{
	double keep = fmin(r->task->plan.average, (1.0 + (double)r->step) / (20.0 + (double)r->step));
	float k = (float)pow(keep, AVERAGE_EVERY);
	for (int i = 0; i < r->source.n_made; i++) {
		const struct nn_made *m = &r->source.made[i];
		float *now = xmalloc(count_of(m) * sizeof *now);
		if (tt_to_f32(r->work, m->tensor, now, count_of(m)) < 0) {
			free(now);
			return fail(err, E_MODEL, "%s: %s", m->name, tt_message(r->work));
		}
		for (size_t j = 0; j < count_of(m); j++)
			r->average[i][j] = k * r->average[i][j] + (1 - k) * now[j];
		free(now);
	}
	return 0;
}

/* IEEE 754 binary16, rounded to nearest even; what is too large becomes infinite. */
static uint16_t half_of(float value)
{
	uint32_t bits;
	memcpy(&bits, &value, sizeof bits);
	uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
	float size = fabsf(value);
	if (!(size < 65520.0f))
		return (uint16_t)(sign | (size == size ? 0x7c00 : 0x7e00));
	if (size < 0x1p-14f)
		return (uint16_t)(sign | (uint16_t)lrintf(size * 0x1p24f));
	memcpy(&bits, &size, sizeof bits);
	bits += 0xfff + (bits >> 13 & 1);
	return (uint16_t)(sign | (uint16_t)((bits - (112u << 23)) >> 13));
}

static int save(struct run *r, struct error *err)
{
	int n = 0;
	struct checkpoint_tensor *tensors = xcalloc((size_t)r->source.n_made, sizeof *tensors);
	for (int i = 0; i < r->source.n_made; i++) {
		const struct nn_made *m = &r->source.made[i];
		struct checkpoint_tensor *t = &tensors[n];
		if (strncmp(m->name, TRAIN_AID, strlen(TRAIN_AID)) == 0)
			continue;
		n++;
		uint16_t *half = xmalloc(count_of(m) * sizeof *half);
		for (size_t j = 0; j < count_of(m); j++)
			half[j] = half_of(r->average[i][j]);
		t->name = m->name;
		t->dtype = CKPT_F16;
		t->ndim = tt_ndim(m->tensor);
		for (int d = 0; d < t->ndim; d++)
			t->shape[d] = tt_size(m->tensor, d);
		t->count = (int64_t)count_of(m);
		t->bytes = t->count * 2;
		t->data = half;
	}
	char *path = xasprintf("%s/model.safetensors", r->options->out);
	char *record = xasprintf("{\"seed\": %llu, \"step\": %lld, \"steps\": %lld, \"samples\": %lld}\n", (unsigned long long)r->options->seed,
				 (long long)r->step, (long long)r->steps, (long long)r->samples);
	int status = checkpoint_write(path, tensors, n, err);
	if (status == 0)
		status = train_write_text(r->options->out, record_name, record, err);
	free(record);
	free(path);
	for (int i = 0; i < n; i++)
		free((void *)tensors[i].data);
	free(tensors);
	return status;
}

/* ---- the loop */

static double learning_rate(const struct run *r)
{
	const struct train_plan *plan = &r->task->plan;
	if (r->step < plan->warmup)
		return plan->rate * (double)(r->step + 1) / plan->warmup;
	double done = (double)(r->step - plan->warmup) / (double)(r->steps - plan->warmup);
	double again = r->first > 0 ? fmin((double)(r->step - r->first + 1) / RESUME_WARMUP, 1) : 1; /* a resumed run's optimiser is new */
	return again * plan->rate * 0.5 * (1 + cos(3.14159265358979 * fmin(fmax(done, 0), 1)));
}

static int step(struct run *r, const struct train_batch *batch, struct error *err)
{
	float loss = 0;
	char message[256] = "";
	tt_tensor *value = r->task->loss(r->net, r->work, batch);
	if (tt_to_f32(r->work, value, &loss, 1) < 0 || tt_backward(r->work, value) < 0)
		return fail(err, tt_error_code(r->work), "%s: %s", r->task->name, tt_message(r->work));
	tt_clear(r->work);
	if (!isfinite(loss))
		return fail(err, E_MODEL, "%s: the loss of step %lld is not a number", r->task->name, (long long)r->step);
	if (tt_adamw_step(r->optimiser, learning_rate(r), gradient_limit, message, sizeof message) < 0)
		return fail(err, E_MODEL, "%s: %s", r->task->name, message);
	r->loss += ((double)loss - r->loss) * (r->step == r->first ? 1 : 0.02);
	r->samples += batch->n;
	r->step++;
	return r->step % AVERAGE_EVERY == 0 ? average_weights(r, err) : 0;
}

static void report(struct run *r, bool last)
{
	double now = clock_now();
	if (!last && now - r->reported < REPORT_SECONDS)
		return;
	double rate = (double)(r->samples - r->reported_samples) / (now - r->reported);
	printf("%-4s %5.1f min  step %lld/%lld  %lld samples  %.0f/s  loss %.4f  rate %.2e\n", r->task->name, (now - r->started) / 60,
	       (long long)r->step, (long long)r->steps, (long long)r->samples, rate, r->loss, learning_rate(r));
	fflush(stdout);
	r->reported = now;
	r->reported_samples = r->samples;
}

static int loop(struct run *r, struct error *err)
{
	int status = 0;
	struct train_loader *loader = train_loader_start(r->options->loaders, r->steps - r->first, draw, r);
	struct train_batch *batch;
	r->started = r->reported = r->saved = clock_now();
	r->reported_samples = r->samples;
	while (status == 0 && (batch = train_loader_next(loader))) {
		status = step(r, batch, err);
		train_batch_free(batch);
		report(r, false);
		if (status == 0 && clock_now() - r->saved > SAVE_SECONDS) {
			status = save(r, err);
			r->saved = clock_now();
		}
	}
	train_loader_stop(loader);
	if (status == 0)
		status = save(r, err);
	report(r, true);
	return status;
}

/* Takes the weights of an earlier run as the start of this one. */
static struct checkpoint *resume(struct run *r, struct error *err)
{
	char *path = xasprintf("%s/%s", r->options->out, record_name);
	json_t *record = json_read(path, JSON_LIMIT, err);
	struct checkpoint *weights = record ? checkpoint_open(r->options->out, err) : NULL;
	r->first = r->step = (int64_t)json_integer_value(json_object_get(record, "step"));
	r->samples = (int64_t)json_integer_value(json_object_get(record, "samples"));
	if (weights && (r->step < 0 || r->step > r->steps)) {
		fail(err, E_FORMAT, "%s: step %lld of a run of %lld; the run was another one", path, (long long)r->step, (long long)r->steps);
		checkpoint_close(weights);
		weights = NULL;
	}
	json_decref(record);
	free(path);
	return weights;
}

static int build(struct run *r, struct error *err)
{
	struct checkpoint *earlier = r->options->resume ? resume(r, err) : NULL;
	if (r->options->resume && !earlier)
		return -1;
	if (r->task->write_files(r->options->out, err) < 0)
		return -1;
	r->source.start = earlier;
	r->net = r->task->open(r->options->out, &r->source, err);
	r->source.start = NULL;
	checkpoint_close(earlier);
	return r->net ? 0 : -1;
}

static int open_run(struct run *r, struct error *err)
{
	r->source.pool = tt_pool_create(TT_TRAIN);
	r->source.compute = tt_cpu_has_bf16() ? TT_BF16 : TT_F32;
	r->source.device = TT_CPU;
	r->source.std = 0.04; /* about half of 1 / sqrt(width) for these widths */
	r->work = tt_pool_create(TT_TRAIN);
	tt_seed(r->options->seed);
	if (build(r, err) < 0)
		return -1;
	int64_t values = 0;
	int n = 0;
	tt_tensor **trained = xcalloc((size_t)r->source.n_made, sizeof(tt_tensor *));
	r->average = xcalloc((size_t)r->source.n_made, sizeof *r->average);
	for (int i = 0; i < r->source.n_made; i++) {
		const struct nn_made *m = &r->source.made[i];
		r->average[i] = xcalloc(count_of(m), sizeof **r->average);
		tt_to_f32(r->work, m->tensor, r->average[i], count_of(m));
		values += (int64_t)count_of(m);
		if (m->trained)
			trained[n++] = m->tensor;
	}
	r->optimiser = tt_adamw_create(trained, n, 0.9, 0.98, 1e-8, r->task->plan.weight_decay);
	free(trained);
	printf("%-4s %lld parameters in %d tensors, %lld steps\n", r->task->name, (long long)values, r->source.n_made, (long long)r->steps);
	return 0;
}

int train_run(const struct train_task *task, const struct train_options *options, struct error *err)
{
	struct run r = {.task = task, .options = options};
	plan_steps(&r);
	int status = open_run(&r, err);
	if (status == 0)
		status = loop(&r, err);
	for (int i = 0; r.average && i < r.source.n_made; i++)
		free(r.average[i]);
	free(r.average);
	tt_adamw_destroy(r.optimiser);
	if (r.net)
		task->close(r.net);
	tt_pool_destroy(r.work);
	tt_pool_destroy(r.source.pool);
	nn_source_free(&r.source);
	return status;
}
