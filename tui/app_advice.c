/* app_advice.c - what batch, image size and precision to begin with on this device, and why: told once the models are open, taken with a key. See app.h. */
#include <stdio.h>

#include "core/forecast.h"
#include "core/log.h"
#include "tui/app.h"

static int64_t used_by(void *ctx, const struct forecast_setting *setting)
{
	struct app *a = ctx;
	struct engine_settings s = a->config->settings;
	struct engine_forecast forecast;

	s.batch = setting->batch;
	s.image_size = setting->image_size;
	for (int i = 0; i < MODEL_KINDS; i++)
		s.precision[i] = setting->precision;
	return engine_forecast(a->engine, &s, &forecast) ? forecast.used : 0;
}

/* False before a model is open. */
static bool advise(struct app *a, struct forecast_advice *out)
{
	const struct model_info *info = &a->model[MODEL_CAPTION].info;
	struct forecast_wish wish = {.device_total = app_total_memory(a),
				     .bf16 = a->device.bf16,
				     .fp16 = a->device.fp16,
				     .image_own = info->image_size,
				     .image_step = info->image_step,
				     .image_max = info->image_max,
				     .used = used_by,
				     .ctx = a};
	struct engine_forecast forecast;

	if (!wish.device_total || !engine_forecast(a->engine, &a->config->settings, &forecast))
		return false;
	wish.limit = forecast.limit;
	*out = forecast_advise(&wish);
	return true;
}

void app_advise_once(struct app *a)
{
	struct forecast_advice advice;
	bool ready = false;

	for (int i = 0; i < MODEL_KINDS; i++) {
		if (app_can(a, (enum model_kind)i) && !a->model[i].ready)
			return;
		ready |= a->model[i].ready;
	}
	if (a->advised || !ready || !advise(a, &advice))
		return;
	a->advised = true;
	log_write(LOG_INFO, "recommended here: %s", advice.why);
	if (!a->message[0])
		app_say(a, advice.fits ? ROLE_STATUS : ROLE_WARNING, advice.fits ? "R recommends: %s" : "%s", advice.why);
}

void app_take_advice(struct app *a)
{
	struct forecast_advice advice;
	char text[16];

	if (!advise(a, &advice)) {
		app_say(a, ROLE_STATUS, "no recommendation before a model is open");
		return;
	}
	snprintf(text, sizeof text, "%d", advice.setting.batch);
	app_type_control(a, CONTROL_BATCH, text);
	app_type_control(a, CONTROL_PRECISION, precision_name(advice.setting.precision));
	snprintf(text, sizeof text, "%d", advice.setting.image_size);
	app_type_control(a, CONTROL_IMAGE_SIZE, advice.setting.image_size ? text : "auto");
	app_say(a, advice.fits ? ROLE_STATUS : ROLE_WARNING, "%s", advice.why);
}
