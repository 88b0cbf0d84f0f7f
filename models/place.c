/* place.c - where a model's weights stand: opening them on a device in a precision, moving, freeing and bringing them back. See place in core/model.h. */
#include "models/models.h"

#include <stdio.h>
#include <string.h>

#include "core/config.h"

enum precision model_precision_for(int device, enum precision wanted)
{
	if (device != DEVICE_CPU)
		return wanted == PRECISION_AUTO ? PRECISION_FP16 : wanted;
	if (wanted == PRECISION_FP32 || !tt_cpu_has_bf16())
		return PRECISION_FP32;
	return wanted == PRECISION_AUTOCAST ? PRECISION_AUTOCAST : PRECISION_BF16;
}

/* Only while opening: later any thread may be reading the notes. */
static void note_precision(struct model *m, enum precision wanted)
{
	size_t used = strlen(m->info.notes);

	if (wanted == PRECISION_AUTO || wanted == m->precision)
		return;
	snprintf(m->info.notes + used, sizeof m->info.notes - used, "%s%s is not for this CPU: %s is used", used ? "; " : "", precision_name(wanted),
		 precision_name(m->precision));
}

/* ---- what any thread reads */

enum precision model_precision(const struct model *m)
{
	return __atomic_load_n(&m->precision, __ATOMIC_RELAXED);
}

bool model_resident(const struct model *m)
{
	return __atomic_load_n(&m->resident, __ATOMIC_RELAXED);
}

/* ---- loading */

static struct nn_source source_of(const struct model *m, const struct model_control *control)
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

/* Opens the net in m->weights (empty) from m->file at m->precision on m->device; it takes the old one's place only when all went well. The old one's tensors
 * may be gone already. */
static int load(struct model *m, const struct model_control *control, struct error *err)
{
	struct nn_source source = source_of(m, control);
	void *net = m->ops->create(m, &source);
	int rc = nn_finish(&source, m->ops->title, err);

	nn_source_free(&source);
	if (rc == 0 && m->ops->adopt)
		rc = m->ops->adopt(m, net, err);
	m->ops->destroy(rc < 0 ? net : m->net);
	if (rc == 0)
		m->net = net;
	return rc;
}

static int check_device(const struct model *m, int device, struct error *err)
{
	if (device == DEVICE_CPU || (device >= 0 && device < tt_cuda_devices()))
		return 0;
	return fail(err, E_USAGE, "%s: no CUDA device %d; there are %d", m->info.name, device, tt_cuda_devices());
}

/* A model's weights, or that there are none. */
struct stand {
	tt_pool *weights;
	int device;
	enum precision precision;
};

static struct stand stand_of(const struct model *m)
{
	return (struct stand){m->weights, m->device, m->precision};
}

static void take_stand(struct model *m, const struct stand *s)
{
	enum tt_dtype product = s->device == DEVICE_CPU ? TT_BF16 : TT_F16;

	m->weights = s->weights;
	m->device = s->device;
	__atomic_store_n(&m->precision, s->precision, __ATOMIC_RELAXED);
	__atomic_store_n(&m->resident, s->weights != NULL, __ATOMIC_RELAXED);
	tt_set_autocast(m->work, s->precision == PRECISION_AUTOCAST ? product : TT_F32);
	if (m->weights)
		tt_set_autocast(m->weights, s->precision == PRECISION_AUTOCAST ? product : TT_F32);
}

/* Reads the weights into a pool of their own. On failure nothing of them is left and m is as it was; the net of the old weights stays in place. */
static int load_beside(struct model *m, int device, enum precision precision, const struct model_control *control, struct error *err)
{
	struct stand before = stand_of(m), fresh = {tt_pool_create(TT_INFER | TT_WEIGHTS), device, precision};
	int rc;

	tt_set_owner(fresh.weights, m->owner);
	tt_set_check(fresh.weights, control ? control->check : NULL, control ? control->ctx : NULL);
	take_stand(m, &fresh);
	rc = load(m, control, err);
	tt_set_check(fresh.weights, NULL, NULL);
	if (rc < 0) {
		take_stand(m, &before);
		tt_pool_destroy(fresh.weights);
	}
	return rc;
}

int model_load(struct model *m, int device, enum precision precision, int owner, const struct model_control *control, struct error *err)
{
	if (check_device(m, device, err) < 0)
		return -1;
	if (owner < 0 || owner >= MODEL_OWNERS)
		return fail(err, E_USAGE, "%s: owner %d is out of range", m->info.name, owner);
	m->owner = owner;
	m->work = tt_pool_create(TT_INFER);
	tt_set_owner(m->work, owner);
	if (load_beside(m, device, model_precision_for(device, precision), control, err) < 0)
		return -1;
	note_precision(m, precision);
	return 0;
}

/* ---- moving */

void model_evict(struct model *m)
{
	struct stand none = stand_of(m);

	tt_clear(m->work);
	tt_pool_destroy(none.weights);
	none.weights = NULL;
	take_stand(m, &none);
	tt_memory_trim(m->device);
}

/* No room for old and new side by side: the old ones go first. Should the new ones still not fit, the old ones are read again. */
static int load_instead(struct model *m, enum precision precision, const struct model_control *control, struct error *err)
{
	enum precision before = m->precision;

	model_evict(m);
	if (load_beside(m, m->device, precision, control, err) == 0)
		return 0;
	load_beside(m, m->device, before, NULL, NULL);
	return -1;
}

int model_place(struct model *m, int device, enum precision precision, const struct model_control *control, struct error *err)
{
	struct stand before = stand_of(m);
	enum precision wanted = model_precision_for(device, precision);
	struct error first = {0};

	if (check_device(m, device, err) < 0)
		return -1;
	if (before.weights && device == before.device && wanted == before.precision)
		return 0;
	tt_clear(m->work);
	if (load_beside(m, device, wanted, control, &first) == 0) {
		tt_pool_destroy(before.weights);
		tt_memory_trim(before.device);
		return 0;
	}
	if (first.code == E_MEMORY && before.weights && device == before.device)
		return load_instead(m, wanted, control, err);
	if (err)
		*err = first;
	return -1;
}
