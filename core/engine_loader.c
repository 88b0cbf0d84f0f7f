/* engine_loader.c - the loaders: a file to the screen's preview and to what the models take. See engine_private.h.
 *
 * A decode is dear, so one serves all who want the picture and have room. When the captioner's line is full and CLIP's is not, CLIP goes ahead and
 * the picture is decoded again later: CLIP's answers do not wait behind captions.
 */
#include "core/engine_private.h"

#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

/* What a loader does for one picture; tickets are 0 where that line is not served. */
struct job {
	struct engine *engine;
	uint32_t id;
	char *path;
	uint64_t ticket[LINE_LOAD_CAPTION + 1];
	int image_size, preview_width, preview_height;
	double began, deadline; /* seconds; 0: none */
	bool late;
};

struct target {
	enum line_name from, to;
	enum model_kind kind;
};

static const struct target targets[] = {
	{LINE_LOAD_SCORES, LINE_IMAGE, MODEL_SCORES},
	{LINE_LOAD_CAPTION, LINE_CAPTION, MODEL_CAPTION},
};
enum { TARGETS = sizeof targets / sizeof targets[0] };

static int supply(const struct engine *e, const struct target *t)
{
	return e->line[t->to].count + e->lane[t->kind].reserved;
}

/* How many pictures may stand prepared: a batch for when the running one is done, and what the loaders are at meanwhile, at most another one. A prepared
 * picture is 0.6 MB or more, so going further ahead costs memory and gains nothing. */
static int room(const struct engine *e)
{
	return e->settings.batch + (e->loaders < e->settings.batch ? e->loaders : e->settings.batch);
}

static bool has_room(struct engine *e, const struct target *t, enum engine_priority priority)
{
	const struct lane *l = &e->lane[t->kind];

	if (!l->ready || l->swap || e->trial)
		return false;
	/* The selected picture never waits behind a full line; see evict. */
	if (priority == ENGINE_SELECTED)
		return true;
	/* Who holds an embedding and is not answered yet waits for captions and verdicts, never for this: so there will be room. */
	if (t->kind == MODEL_SCORES && e->embeddings + supply(e, t) >= e->remember)
		return false;
	return supply(e, t) < room(e);
}

/* What is next among the pictures of one priority: a preview before answers (in the background after them), then whatever lane has less to do. */
static struct picture *next_of(struct engine *e, int priority)
{
	struct picture *preview = e->line[LINE_PREVIEW].first[priority], *best = NULL;
	int least = 0;

	if (preview && priority > ENGINE_BACKGROUND)
		return preview;
	for (int i = 0; i < TARGETS; i++) {
		struct picture *p = e->line[targets[i].from].first[priority];

		if (!p || !has_room(e, &targets[i], (enum engine_priority)priority) || (best && supply(e, &targets[i]) >= least))
			continue;
		best = p;
		least = supply(e, &targets[i]);
	}
	return best ? best : preview;
}

/* A background picture goes along only where it is next anyway: captions come in the order of the folder, too. */
static bool goes_along(struct engine *e, const struct picture *p, const struct target *t)
{
	return p->standing & 1u << t->from && has_room(e, t, p->priority) && (p->priority > ENGINE_BACKGROUND || line_head(&e->line[t->from]) == p);
}

static bool take_job(struct engine *e, int least, struct job *job)
{
	struct picture *p = NULL;

	pictures_trim(e);
	for (int k = PRIORITIES - 1; k >= least && !p; k--)
		p = next_of(e, k);
	if (!p)
		return false;
	*job = (struct job){.engine = e, .id = p->id, .path = xstrdup(p->path)};
	job->image_size = settings_image_size(e);
	job->deadline = e->settings.deadline;
	job->preview_width = e->preview_width;
	job->preview_height = e->preview_height;
	if (p->standing & 1u << LINE_PREVIEW)
		job->ticket[LINE_PREVIEW] = picture_take(e, p, LINE_PREVIEW);
	for (int i = 0; i < TARGETS; i++) {
		if (!goes_along(e, p, &targets[i]))
			continue;
		job->ticket[targets[i].from] = picture_take(e, p, targets[i].from);
		e->lane[targets[i].kind].reserved++;
	}
	return true;
}

static bool still_wanted(struct job *job)
{
	bool wanted = !job->engine->stop;

	if (wanted) {
		wanted = false;
		for (int i = 0; i <= LINE_LOAD_CAPTION; i++)
			wanted = wanted || picture_wanted(job->engine, job->id, (enum line_name)i, job->ticket[i]);
	}
	return wanted;
}

static bool is_cancelled(void *ctx)
{
	struct job *job = ctx;
	bool wanted;

	job->late = job->deadline > 0 && clock_now() - job->began > job->deadline;
	if (job->late)
		return true;
	pthread_mutex_lock(&job->engine->lock);
	wanted = still_wanted(job);
	pthread_mutex_unlock(&job->engine->lock);
	return !wanted;
}

static void tell_info(struct job *job, const struct image_info *info)
{
	struct event event = {.kind = EV_INFO, .id = job->id, .info = *info};

	pthread_mutex_lock(&job->engine->lock);
	event.epoch = job->engine->epoch;
	if (still_wanted(job))
		engine_emit(job->engine, &event);
	pthread_mutex_unlock(&job->engine->lock);
}

static void make_preview(struct job *job, const struct image *image, double decode_ms)
{
	struct event event = {.kind = EV_PREVIEW, .id = job->id};
	struct engine *e = job->engine;
	struct picture *p;

	event.preview.image = image_scale(image, job->preview_width, job->preview_height);
	event.preview.decode_ms = decode_ms;
	pthread_mutex_lock(&e->lock);
	event.epoch = e->epoch;
	if ((p = picture_return(e, job->id, LINE_PREVIEW, job->ticket[LINE_PREVIEW]))) {
		engine_emit(e, &event);
		picture_release(e, p);
	} else {
		event_clear(&event);
	}
	job->ticket[LINE_PREVIEW] = 0;
	pthread_mutex_unlock(&e->lock);
}

/* A selected picture came on top of a full line: the last one is prepared again later. */
static void evict(struct engine *e, const struct target *t)
{
	struct picture *last = line_tail(&e->line[t->to]);

	if (e->line[t->to].count <= room(e) || last->priority == ENGINE_SELECTED)
		return;
	picture_drop(e, last, t->to);
	line_join(e, last, t->from, true);
}

static void hand_over(struct job *job, const struct target *t, struct pixels *pixels)
{
	struct engine *e = job->engine;
	struct picture *p = picture_return(e, job->id, t->from, job->ticket[t->from]);

	if (!p) {
		free(pixels->data);
	} else {
		*(t->kind == MODEL_SCORES ? &p->for_scores : &p->for_caption) = *pixels;
		line_join(e, p, t->to, false);
		evict(e, t);
	}
}

static void prepare(struct job *job, const struct target *t, const struct image *image)
{
	struct engine *e = job->engine;
	struct lane *l = &e->lane[t->kind];
	struct pixels pixels = {0};
	struct error err;
	struct picture *p;
	double begin = clock_now();
	int failed;

	if (!job->ticket[t->from])
		return;
	failed = e->library->prepare(l->model, image, t->kind == MODEL_CAPTION ? job->image_size : 0, &pixels, &err);
	pthread_mutex_lock(&e->lock);
	while (!failed && t->kind == MODEL_CAPTION && job->image_size != settings_image_size(e)) {
		/* The setting changed meanwhile. */
		job->image_size = settings_image_size(e);
		pthread_mutex_unlock(&e->lock);
		free(pixels.data);
		failed = e->library->prepare(l->model, image, job->image_size, &pixels, &err);
		pthread_mutex_lock(&e->lock);
	}
	times_add(&e->prepare, 1e3 * (clock_now() - begin));
	l->reserved--;
	if (!failed)
		hand_over(job, t, &pixels);
	else if ((p = picture_return(e, job->id, t->from, job->ticket[t->from])))
		picture_lose(e, p, t->kind, answers_of(t->kind), &err);
	job->ticket[t->from] = 0;
	pthread_cond_broadcast(&e->load);
	/* The lane may be gathering, and this was the last that it waited for. */
	pthread_cond_signal(&l->wake);
	pthread_mutex_unlock(&e->lock);
}

/* The file may be readable another time; false: the picture fails. */
static bool try_again(struct job *job, struct picture *p, const struct error *err)
{
	bool any = false;

	for (int i = 0; i < TARGETS; i++)
		if (job->ticket[targets[i].from] && picture_wanted(job->engine, job->id, targets[i].from, job->ticket[targets[i].from]))
			any = picture_retry(job->engine, p, targets[i].from, err) || any;
	return any;
}

/* Gives back what the job holds; with err the picture fails. */
static void give_up(struct job *job, const struct error *err)
{
	struct engine *e = job->engine;
	bool wanted, again;
	struct picture *p;

	pthread_mutex_lock(&e->lock);
	wanted = still_wanted(job);
	for (int i = 0; i < TARGETS; i++)
		if (job->ticket[targets[i].from]) {
			e->lane[targets[i].kind].reserved--;
			pthread_cond_signal(&e->lane[targets[i].kind].wake);
		}
	p = wanted ? picture_find(e, job->id) : NULL;
	again = p && try_again(job, p, err);
	for (int i = 0; p && i <= LINE_LOAD_CAPTION; i++)
		if (picture_wanted(e, job->id, (enum line_name)i, job->ticket[i]))
			p->ticket[i] = 0;
	if (p) {
		/* What cannot be decoded can neither be shown. */
		picture_drop(e, p, LINE_PREVIEW);
		if (!again)
			picture_fail(e, p, err);
	}
	pthread_cond_broadcast(&e->load);
	pthread_mutex_unlock(&e->lock);
}

static int load(struct job *job, struct image *image, struct image_info *info, struct error *err)
{
	struct image_limits limits = job->engine->limits;
	int rc;

	limits.cancelled = is_cancelled;
	limits.ctx = job;
	rc = image_load(job->path, &limits, image, info, err);
	if (rc < 0 && job->late && err->code == E_CANCELLED)
		return fail(err, E_DEADLINE, "%s: decoding was stopped after %.2f s, the deadline is %g s", job->path, clock_now() - job->began,
			    job->deadline);
	return rc;
}

static void do_job(struct job *job)
{
	struct engine *e = job->engine;
	struct image image = {0};
	struct image_info info = {0};
	struct error err;

	job->began = clock_now();
	if (load(job, &image, &info, &err) < 0) {
		give_up(job, &err);
	} else {
		double decode_ms = 1e3 * (clock_now() - job->began);

		pthread_mutex_lock(&e->lock);
		times_add(&e->decode, decode_ms);
		pthread_mutex_unlock(&e->lock);
		tell_info(job, &info);
		if (job->ticket[LINE_PREVIEW])
			make_preview(job, &image, decode_ms);
		for (int i = 0; i < TARGETS; i++)
			prepare(job, &targets[i], &image);
	}
	image_free(&image);
	free(job->path);
}

static void run(struct engine *e, int least)
{
	struct job job;

	pthread_mutex_lock(&e->lock);
	while (!e->stop) {
		if (!take_job(e, least, &job)) {
			pthread_cond_wait(&e->load, &e->lock);
			continue;
		}
		pthread_mutex_unlock(&e->lock);
		do_job(&job);
		pthread_mutex_lock(&e->lock);
	}
	e->loaders_running--;
	/* Lanes close their models when nobody prepares for them any more. */
	pthread_cond_broadcast(&e->opened);
	pthread_mutex_unlock(&e->lock);
}

void *loader_main(void *engine)
{
	run(engine, ENGINE_BACKGROUND);
	return NULL;
}

void *loader_express_main(void *engine)
{
	run(engine, ENGINE_NEAR);
	return NULL;
}
