/* engine_survey.c - the models at hand, each with what it would hold in its lane. See engine.h and engine_private.h.
 *
 * A thread of its own looks at one after the other: caches lie on slow disks, and a tokenizer takes its time. Nothing is loaded.
 */
#include "core/engine_private.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/locate.h"
#include "core/mem.h"
#include "core/shelf.h"

struct survey {
	struct engine *engine;
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
static bool inspect(const struct survey *s, struct candidate *c)
{
	struct engine *e = s->engine;
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
	pthread_mutex_lock(&e->lock);
	forecast_candidate(e, m, c);
	pthread_mutex_unlock(&e->lock);
	s->library->close(m);
	return true;
}

static struct candidate *candidate_of(const struct survey *s, const struct located *at)
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
	free(s);
}

static bool is_over(struct engine *e)
{
	bool over;

	pthread_mutex_lock(&e->lock);
	over = e->stop;
	pthread_mutex_unlock(&e->lock);
	return over;
}

static void *surveyor_main(void *arg)
{
	struct survey *s = arg;
	struct engine *e = s->engine;
	struct event event = {.kind = EV_CANDIDATE};
	struct shelf shelf = gather(s);

	for (int i = 0; i < shelf.n && !is_over(e); i++) {
		event.candidate = candidate_of(s, &shelf.list[i]);
		engine_emit(e, &event);
	}
	shelf_free(&shelf);
	survey_free(s);
	event.candidate = NULL;
	pthread_mutex_lock(&e->lock);
	e->surveys = false;
	engine_emit(e, &event);
	pthread_mutex_unlock(&e->lock);
	return NULL;
}

int engine_survey(struct engine *e, const char *bundled, const char *name, struct error *err)
{
	struct survey *s = xcalloc(1, sizeof *s);
	int rc = 0;

	pthread_mutex_lock(&e->lock);
	if (!e->library)
		rc = fail(err, E_USAGE, "libtorch is not loaded yet: try again when it is");
	else if (e->surveys)
		rc = fail(err, E_USAGE, "the models are being looked at already");
	*s = (struct survey){.engine = e, .library = e->library};
	for (int i = 0; i < MODEL_KINDS && !rc; i++)
		s->used[i] = e->lane[i].dir ? xstrdup(e->lane[i].dir) : NULL;
	e->surveys = e->surveys || !rc;
	pthread_mutex_unlock(&e->lock);
	if (rc < 0) {
		survey_free(s);
		return rc;
	}
	s->bundled = bundled ? xstrdup(bundled) : NULL;
	s->name = name ? xstrdup(name) : NULL;
	survey_join(e);
	engine_thread(&e->surveyor, surveyor_main, s);
	e->surveyor_joinable = true;
	return 0;
}

void survey_join(struct engine *e)
{
	if (e->surveyor_joinable)
		pthread_join(e->surveyor, NULL);
	e->surveyor_joinable = false;
}
