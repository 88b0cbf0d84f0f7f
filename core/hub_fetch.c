/* hub_fetch.c - requests to a hub: their addresses, retries with growing pauses, and what a refusal means for the user. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/hub_private.h"

enum { TRIES = 6, PAUSE_MS = 1000, PAUSE_MOST_MS = 30 * 1000, WAIT_MOST_S = 300 };

void hub_tell(struct hub *h, enum hub_step step, const struct hub_file *file)
{
	h->progress.step = step;
	h->progress.file = file ? file->path : NULL;
	if (h->pull->tell)
		h->pull->tell(h->pull->ctx, &h->progress);
}

void hub_note(struct hub *h, const struct hub_file *file, const char *fmt, ...)
{
	va_list ap;
	char *text;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	h->progress.note = text;
	hub_tell(h, HUB_NOTE, file);
	h->progress.note = NULL;
	free(text);
}

/* ---- what a refusal means */

static int refuse_name(const struct hub *h, struct error *err)
{
	return fail(err, E_MODEL, "%s: %s has no model of that name, or it is a private one: check the spelling%s", h->name, h->endpoint,
		    h->pull->source == HUB_MODELSCOPE ? ""
		    : h->token                        ? "; the token may not be of who sees it"
						      : "; for a private one set HF_TOKEN");
}

static int refuse_access(const struct hub *h, struct error *err)
{
	if (h->pull->source == HUB_MODELSCOPE)
		return fail(err, E_MODEL, "%s: %s gives it to those who are logged in only; fetch it with ModelScope's own tool", h->name,
			    h->endpoint);
	if (h->token)
		return fail(err, E_MODEL,
			    "%s: the owner of the token may not have it: accept the model's terms at %s/%s, and see that the token may read it",
			    h->name, h->endpoint, h->name);
	return fail(err, E_MODEL,
		    "%s: is given to those who accepted its terms: do so at %s/%s, then give a token: HF_TOKEN=hf_… (made at %s/settings/tokens)",
		    h->name, h->endpoint, h->name, h->endpoint);
}

static int refuse_missing(const struct hub *h, const struct hub_file *file, const char *code, struct error *err)
{
	if (file)
		return fail(err, E_MODEL, "%s: %s is in the list of files, but %s does not have it: try again later, or another endpoint", h->name,
			    file->path, h->endpoint);
	if (strcmp(code, "RevisionNotFound") == 0)
		return fail(err, E_MODEL, "%s: %s has no revision %s of it", h->name, h->endpoint, h->revision);
	return refuse_name(h, err);
}

static int refuse_token(const struct hub *h, struct error *err)
{
	return fail(err, E_MODEL,
		    "%s: %s refused the token (HF_TOKEN, or the file token in ~/.cache/huggingface): make a new one at %s/settings/tokens", h->name,
		    h->endpoint, h->endpoint);
}

/* Replaces the plain error of a transfer that is given up. */
static int refuse(const struct hub *h, const struct hub_file *file, const struct hub_transfer *t, struct error *err)
{
	const char *code = t->error_code;

	if (err->code == E_CANCELLED)
		return -1;
	if (t->write_error)
		return hub_fail_write(h, file, t->have, t->write_error, err);
	if (strcmp(code, "RepoNotFound") == 0)
		return refuse_name(h, err);
	if (t->status == 403 || strcmp(code, "GatedRepo") == 0)
		return refuse_access(h, err);
	if (t->status == 401)
		return h->token ? refuse_token(h, err) : file ? refuse_access(h, err) : refuse_name(h, err);
	if (t->status == 404)
		return refuse_missing(h, file, code, err);
	if (t->unreachable)
		return fail_prefix(err, "%s: cannot be reached (see the network, a proxy in https_proxy, %s)", h->endpoint,
				   h->pull->source == HUB_MODELSCOPE ? "MODELSCOPE_ENDPOINT" : "HF_ENDPOINT");
	if (t->status == 429 || t->status >= 500)
		return fail(err, E_IO, "%s: %s answered %ld again and again: try later; what has arrived is kept", h->name, h->endpoint, t->status);
	return file ? fail_prefix(err, "%s: %s", h->name, file->path) : fail_prefix(err, "%s: %s", h->name, h->endpoint);
}

/* ---- retries */

static int64_t pause_ms(const struct hub *h, const struct hub_transfer *t, int tries)
{
	int64_t ms = (int64_t)(h->pull->retry_ms ? h->pull->retry_ms : PAUSE_MS) << tries;

	if (ms > PAUSE_MOST_MS)
		ms = PAUSE_MOST_MS;
	return t->wait_s * 1000 > ms ? t->wait_s * 1000 : ms;
}

/* False once it is interrupted. */
static bool wait_before_retry(struct hub *h, const struct hub_file *file, const struct hub_transfer *t, int tries, struct error *err)
{
	int64_t ms = pause_ms(h, t, tries);

	hub_note(h, file, "%s; again in %.*f s", err->text, ms < 1000, (double)ms / 1000);
	if (!hub_stopped(h->pull->stop_fd, (int)ms))
		return true;
	fail(err, E_CANCELLED, "interrupted");
	return false;
}

static int rewind_file(struct hub_transfer *t, struct error *err)
{
	t->have = 0;
	if (ftruncate(t->fd, 0) < 0 || lseek(t->fd, 0, SEEK_SET) < 0)
		return fail(err, E_IO, "%s", strerror(errno));
	return 0;
}

/* The count of tries begins anew when more of the file has come than ever. */
static int transfer(struct hub *h, const struct hub_file *file, struct hub_transfer *t, struct error *err)
{
	int64_t most = t->have;

	t->token = h->token;
	t->stop_fd = h->pull->stop_fd;
	for (int tries = 0;; tries++) {
		enum hub_outcome outcome = hub_http_run(h->http, t, err);

		h->reached |= t->status != 0;
		if (outcome == HUB_DONE)
			return 0;
		if (t->have > most) {
			most = t->have;
			tries = 0;
		}
		if (outcome == HUB_FAILED || tries + 1 >= TRIES || (t->unreachable && !h->reached) || t->wait_s > WAIT_MOST_S ||
		    !wait_before_retry(h, file, t, tries, err) || (t->from_start && t->fd >= 0 && rewind_file(t, err) < 0))
			return refuse(h, file, t, err);
	}
}

/* ---- addresses */

static void add_escaped(struct buffer *url, const char *text)
{
	for (; *text; text++)
		if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/", *text))
			buffer_add(url, text, 1);
		else
			buffer_printf(url, "%%%02X", (unsigned char)*text);
}

int hub_fetch_list(struct hub *h, struct buffer *out, struct error *err)
{
	struct buffer url = {0};
	struct hub_transfer t = {.body = out, .fd = -1};
	int rc;

	buffer_printf(&url,
		      h->pull->source == HUB_MODELSCOPE ? "%s/api/v1/models/%s/repo/files?Recursive=true&Revision=%s"
							: "%s/api/models/%s/revision/%s?blobs=true",
		      h->endpoint, h->name, h->revision);
	t.url = url.text;
	rc = transfer(h, NULL, &t, err);
	buffer_free(&url);
	return rc;
}

struct moving {
	struct hub *h;
	struct hub_file *file;
};

static void on_moved(void *ctx, int64_t have)
{
	struct moving *m = ctx;

	m->h->progress.done += have - m->file->counted;
	m->file->counted = have;
	hub_tell(m->h, HUB_BYTES, m->file);
}

int hub_fetch_file(struct hub *h, struct hub_file *file, int fd, int64_t have, struct error *err)
{
	struct buffer url = {0};
	struct moving moving = {h, file};
	struct hub_transfer t = {.fd = fd, .have = have, .size = file->size, .moved = on_moved, .ctx = &moving};
	int rc;

	if (h->pull->source == HUB_MODELSCOPE)
		buffer_printf(&url, "%s/api/v1/models/%s/repo?Revision=%s&FilePath=", h->endpoint, h->name, h->revision);
	else
		buffer_printf(&url, "%s/%s/resolve/%s/", h->endpoint, h->name, h->listing.commit);
	add_escaped(&url, file->path);
	t.url = url.text;
	rc = transfer(h, file, &t, err);
	buffer_free(&url);
	return rc;
}
