/* engine_opener.c - the model library is loaded on a thread of its own. See engine_private.h.
 *
 * Loading libtorch takes from half a second to many, and nothing can stop it. So that the program can be left meanwhile, the thread owns all that it works
 * with: an engine that ends lets go of it, and the thread clears up after itself, or ends with the process.
 */
#include "core/engine_private.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/mem.h"

struct opener {
	pthread_mutex_t lock;  /* guards engine and done; taken before the engine's own */
	struct engine *engine; /* NULL: it is gone */
	bool started, done;
	pthread_t thread;
	const struct model_library *(*open_library)(void *ctx, struct error *err);
	void *ctx;
	int threads, wish; /* the device of the first model */
	bool force_cuda;
};

void opener_create(struct engine *e, const struct engine_options *options)
{
	struct opener *o = xcalloc(1, sizeof *o);

	pthread_mutex_init(&o->lock, NULL);
	o->engine = e;
	o->open_library = options->open_library;
	o->ctx = options->ctx;
	o->threads = options->settings.threads;
	o->wish = options->settings.device[0];
	for (int i = MODEL_KINDS - 1; i >= 0; i--)
		if (options->model_dir[i])
			o->wish = options->settings.device[i];
	o->force_cuda = options->force_cuda;
	e->opener = o;
}

static void opener_free(struct opener *o)
{
	pthread_mutex_destroy(&o->lock);
	free(o);
}

static const struct model_library *load(const struct opener *o, struct event *event, int *device, struct error *err)
{
	const struct model_library *library = o->open_library(o->ctx, err);
	struct device_choice choice;

	if (!library)
		return NULL;
	if (library->abi != MODEL_LIBRARY_ABI)
		return fail_null(err, E_MODEL, "the model library has version %d of the table, this program needs %d: build both anew", library->abi,
				 MODEL_LIBRARY_ABI);
	if (library->start(o->threads, err) < 0)
		return NULL;
	/* Whether a model may stand there is for its lane to say; this is what the title shows. */
	if (device_choose(o->wish, library->devices(), library->usable, o->force_cuda, &choice, NULL) < 0)
		choice.device = DEVICE_CPU;
	*device = choice.device;
	if (library->device(choice.device, &event->library.device) < 0)
		snprintf(event->library.device.name, sizeof event->library.device.name, "unknown device");
	snprintf(event->library.version, sizeof event->library.version, "%s", library->version());
	return library;
}

static void hand_over(struct engine *e, const struct model_library *library, int device, struct event *event)
{
	pthread_mutex_lock(&e->lock);
	e->library = library;
	pthread_mutex_unlock(&e->lock);
	if (library)
		status_watch(e, device);
	pthread_mutex_lock(&e->lock);
	engine_emit(e, event);
	e->opening = 0;
	pthread_cond_broadcast(&e->opened);
	pthread_cond_signal(&e->keep);
	pthread_mutex_unlock(&e->lock);
}

static void *opener_main(void *arg)
{
	struct opener *o = arg;
	struct event event = {.kind = EV_LIBRARY};
	struct error err = {0};
	int device = DEVICE_CPU;
	const struct model_library *library = load(o, &event, &device, &err);
	bool left;

	if (!library)
		event.err = xmemdup(&err, sizeof err);
	pthread_mutex_lock(&o->lock);
	left = !o->engine;
	if (o->engine)
		hand_over(o->engine, library, device, &event);
	o->done = true;
	pthread_mutex_unlock(&o->lock);
	if (left) {
		event_clear(&event);
		opener_free(o);
	}
	return NULL;
}

void opener_start(struct engine *e)
{
	e->opener->started = true;
	engine_thread(&e->opener->thread, opener_main, e->opener);
}

void opener_leave(struct engine *e)
{
	struct opener *o = e->opener;
	bool done;

	e->opener = NULL;
	pthread_mutex_lock(&o->lock);
	done = o->done || !o->started;
	o->engine = NULL;
	if (!done)
		pthread_detach(o->thread);
	pthread_mutex_unlock(&o->lock);
	if (!done)
		return;
	if (o->started)
		pthread_join(o->thread, NULL);
	opener_free(o);
}
