/* vectors.c - see vectors.h. */
#include "models/vectors.h"

#include <math.h>

#include "models/checkpoint.h"

int vectors_take(struct model *m, tt_tensor *features, const char *what, float *out, size_t count, struct error *err)
{
	tt_to_f32(m->work, tt_normalize(m->work, features), out, count);
	if (model_check(m, what, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		if (!isfinite(out[i]))
			return fail(err, E_MODEL, "%s: %s: the result is not a number; try another precision", m->info.name, what);
	return 0;
}

int vectors_scalar(tt_tensor *stored, const char *what, float *out, struct error *err)
{
	tt_pool *pool = tt_pool_create(TT_INFER);
	int rc = tt_to_f32(pool, tt_share(pool, stored), out, 1);

	if (rc < 0)
		fail(err, (enum error_code)tt_error_code(pool), "%s: %s", what, tt_message(pool));
	tt_pool_destroy(pool);
	return rc;
}

int vectors_scale(const struct model *m, tt_tensor *stored, float *out, struct error *err)
{
	float value;

	if (vectors_scalar(stored, "logit_scale", &value, err) < 0)
		return -1;
	if (!isfinite(expf(value)))
		return fail(err, E_MODEL, "%s: logit_scale %g is no usable temperature", checkpoint_path(m->file), (double)value);
	*out = expf(value);
	return 0;
}
