/* vectors.h - inside models/: what the models that score pictures against texts hand out: unit vectors and stored scalars. Thread: the lane's. */
#ifndef MODELS_VECTORS_H
#define MODELS_VECTORS_H

#include "models/models.h"

/* Features [n,d] of m's work pool to unit vectors out[count]. E_MODEL when one is no number, as fp16 may give. */
int vectors_take(struct model *m, tt_tensor *features, const char *what, float *out, size_t count, struct error *err);
/* A stored scalar, [] or [1]. */
int vectors_scalar(tt_tensor *stored, const char *what, float *out, struct error *err);
/* exp of a stored logit_scale; E_MODEL when that is no usable temperature. */
int vectors_scale(const struct model *m, tt_tensor *stored, float *out, struct error *err);

#endif
