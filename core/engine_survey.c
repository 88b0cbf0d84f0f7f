/* engine_survey.c - the models at hand, each with what it would hold in its lane. See engine.h and engine_private.h.
 *
 * A thread of its own looks at one after the other: caches lie on slow disks, and a tokenizer takes its time. Nothing is loaded. Nothing can stop a read
 * either, so the thread owns all that it works with, and an engine that ends leaves it to itself.
 */
#include "core/engine_private.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/locate.h"
#include "core/mem.h"
#include "core/shelf.h"

struct survey {
	pthread_mutex_t lock;  /* guards engine and done; taken before the engine's own */
	struct engine *engine; /* NULL: it is gone */
	bool done;
	pthread_t thread;
	const struct model_library *library;
	char *bundled, *name; /* either may be NULL */
	char *used[MODEL_KINDS];
};

/* ---------------------------------------------------------------- what there is */

/* A folder that was named by its path has its like beside it, more often than not. */
static void add_neighbours(struct shelf *shelf, const char *dir)
{
	bool is_path = dir && (dir[0] == '~' || access(dir, F_OK) == 0);
	char *there = NULL, *path, *slash;
	struct error err;

	if (!is_path || locate_model(dir, &there, &err) < 0)
		return;
	path = realpath(there, NULL);
	slash = path ? strrchr(path, '/') : NULL;
	if (slash && slash > path) {
		*slash = '\0';
		shelf_folder(shelf, path);
		*slash = '/';
	}
	if (path)
		shelf_name(shelf, path);
	free(path);
	free(there);
}

static struct shelf gather(const struct survey *s)
{
	struct shelf shelf = {0};

	if (s->name) {
		shelf_name(&shelf, s->name);
		return shelf;
	}
	if (s->bundled)
		shelf_bundled(&shelf, s->bundled);
	shelf_cached(&shelf);
	for (int i = 0; i < MODEL_KINDS; i++)
		add_neighbours(&shelf, s->used[i]);
	return shelf;
}

/* ---------------------------------------------------------------- what it is */

static bool is_same(const char *name, const char *path)
{
	char *there = NULL, *a = NULL, *b = NULL;
	struct error err;
	bool same;

	if (name && locate_model(name, &there, &err) == 0) {
		a = realpath(there, NULL);
		b = realpath(path, NULL);
	}
	same = a && b && !strcmp(a, b);
	free(there);
	free(a);
	free(b);
	return same;
}

/* Sees what the model is; false: it is none, problem says why. */
static bool inspect(struct survey *s, struct candidate *c)
{
	struct error err;
	struct model *m = s->library->configure(c->path, &err);

	if (!m) {
		free(c->problem);
		c->problem = xstrdup(err.text);
		return false;
	}
	c->info = *s->library->info(m);
	c->known = true;
	c->in_use = is_same(s->used[c->info.kind], c->path);
	pthread_mutex_lock(&s->lock);
	if (s->engine) {
		pthread_mutex_lock(&s->engine->lock);
		forecast_candidate(s->engine, m, c);
		pthread_mutex_unlock(&s->engine->lock);
	}
	pthread_mutex_unlock(&s->lock);
	s->library->close(m);
	return true;
}

static struct candidate *candidate_of(struct survey *s, const struct located *at)
{
	struct candidate *c = xcalloc(1, sizeof *c);

	c->name = xstrdup(at->name);
	c->path = at->path ? xstrdup(at->path) : NULL;
	c->problem = at->problem ? xstrdup(at->problem) : NULL;
	c->source = at->source;
	c->bytes = at->bytes;
	if (c->path && !inspect(s, c)) {
		free(c->path);
		c->path = NULL;
	}
	return c;
}

/* ---------------------------------------------------------------- thread */

static void survey_free(struct survey *s)
{
	for (int i = 0; i < MODEL_KINDS; i++)
		free(s->used[i]);
	free(s->bundled);
	free(s->name);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

/* Takes c over; NULL: there are no more. False: nobody wants to know any more. */
static bool tell(struct survey *s, struct candidate *c)
{
	struct event event = {.kind = EV_CANDIDATE, .candidate = c};
	bool wanted;

	pthread_mutex_lock(&s->lock);
	wanted = s->engine;
	s->done = !c;
	if (wanted)
		engine_emit(s->engine, &event);
	pthread_mutex_unlock(&s->lock);
	if (!wanted)
		event_clear(&event);
	return wanted;
}

static void *surveyor_main(void *arg)
{
	struct survey *s = arg;
	struct shelf shelf = gather(s);
	bool wanted = true;

	for (int i = 0; i < shelf.n && wanted; i++)
		wanted = tell(s, candidate_of(s, &shelf.list[i]));
	shelf_free(&shelf);
	if (!tell(s, NULL))
		survey_free(s);
	return NULL;
}

/* False: it goes on. */
static bool is_done(struct survey *s)
{
	bool done;

	pthread_mutex_lock(&s->lock);
	done = s->done;
	pthread_mutex_unlock(&s->lock);
	return done;
}

void survey_leave(struct engine *e)
{
	struct survey *s = e->survey;
	bool done;

	e->survey = NULL;
	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	done = s->done;
	s->engine = NULL;
	if (!done)
		pthread_detach(s->thread);
	pthread_mutex_unlock(&s->lock);
	if (!done)
		return;
	pthread_join(s->thread, NULL);
	survey_free(s);
}

int engine_survey(struct engine *e, const char *bundled, const char *name, struct error *err)
{
	const struct model_library *library = engine_library(e);
	struct survey *s;

	if (!library)
		return fail(err, E_USAGE, "libtorch is not loaded yet: try again when it is");
	if (e->survey && !is_done(e->survey))
		return fail(err, E_USAGE, "the models are being looked at already");
	survey_leave(e);
	s = xcalloc(1, sizeof *s);
	*s = (struct survey){.engine = e, .library = library};
	pthread_mutex_init(&s->lock, NULL);
	s->bundled = bundled ? xstrdup(bundled) : NULL;
	s->name = name ? xstrdup(name) : NULL;
	pthread_mutex_lock(&e->lock);
	for (int i = 0; i < MODEL_KINDS; i++)
		s->used[i] = e->lane[i].dir ? xstrdup(e->lane[i].dir) : NULL;
	pthread_mutex_unlock(&e->lock);
	e->survey = s;
	engine_thread(&s->thread, surveyor_main, s);
	return 0;
}
