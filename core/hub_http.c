/* hub_http.c - one request over libcurl: into memory, or into a file from where that ends. What may be tried again is told apart from what may not.
 *
 * The token is given to libcurl as such, not as a header: after a redirect it goes to the same host alone.
 */
#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/hub_private.h"

enum { BODY_MOST = 64 << 20, CONNECT_SECONDS = 20, SILENT_SECONDS = 60, REDIRECTS_MOST = 10 };

struct hub_http {
	CURL *curl;
	char reason[CURL_ERROR_SIZE];
	struct hub_transfer *now;
	struct error *err; /* of the callbacks: what ended the transfer */
	bool checked;      /* the answer's length was compared with what is wanted */
	bool again;        /* what the callbacks found may go away */
};

static void start_curl(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
}

struct hub_http *hub_http_open(struct error *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct hub_http *http = xcalloc(1, sizeof *http);

	pthread_once(&once, start_curl);
	http->curl = curl_easy_init();
	if (http->curl)
		return http;
	free(http);
	return fail_null(err, E_IO, "libcurl cannot be started");
}

void hub_http_close(struct hub_http *http)
{
	if (!http)
		return;
	curl_easy_cleanup(http->curl);
	free(http);
}

/* ---- the answer */

static long status_of(struct hub_http *http)
{
	long status = 0;

	curl_easy_getinfo(http->curl, CURLINFO_RESPONSE_CODE, &status);
	return status;
}

static const char *header(struct hub_http *http, const char *name)
{
	struct curl_header *found;

	return curl_easy_header(http->curl, name, 0, CURLH_HEADER, -1, &found) == CURLHE_OK ? found->value : NULL;
}

static int wrong_size(struct hub_http *http, int64_t bytes)
{
	return fail(http->err, E_FORMAT, "the server has %lld bytes of it where the list of files says %lld", (long long)bytes,
		    (long long)http->now->size);
}

/* Of a part: begins where the file ends, and is of a file as long as the one wanted. */
static int check_part(struct hub_http *http)
{
	struct hub_transfer *t = http->now;
	const char *range = header(http, "Content-Range");
	long long first, last, total;

	if (!range || sscanf(range, "bytes %lld-%lld/%lld", &first, &last, &total) != 3 || first != t->have) {
		t->from_start = http->again = true;
		return fail(http->err, E_FORMAT, "the server sent another part than the one asked for");
	}
	return total == t->size ? 0 : wrong_size(http, total);
}

/* Of a whole file: what there is already is overwritten. */
static int check_whole(struct hub_http *http)
{
	struct hub_transfer *t = http->now;
	curl_off_t length = -1;

	curl_easy_getinfo(http->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
	if (length >= 0 && length != t->size)
		return wrong_size(http, length);
	if (t->have > 0 && (ftruncate(t->fd, 0) < 0 || lseek(t->fd, 0, SEEK_SET) < 0))
		return fail(http->err, E_IO, "%s", strerror(errno));
	t->have = 0;
	return 0;
}

static int check_answer(struct hub_http *http)
{
	if (http->checked || !http->now || http->now->body)
		return 0;
	http->checked = true;
	return status_of(http) == 206 ? check_part(http) : check_whole(http);
}

static int write_all(struct hub_http *http, const char *data, size_t size)
{
	struct hub_transfer *t = http->now;

	while (size) {
		ssize_t n = write(t->fd, data, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			t->write_error = errno;
			return fail(http->err, E_IO, "%s", strerror(errno));
		}
		data += n;
		size -= (size_t)n;
		t->have += n;
	}
	return 0;
}

static size_t on_data(char *data, size_t one, size_t size, void *ctx)
{
	struct hub_http *http = ctx;
	struct hub_transfer *t = http->now;

	if (status_of(http) >= 400)
		return size; /* what is said of the failure; its status tells enough */
	if (t->body) {
		if (t->body->length + size > BODY_MOST) {
			fail(http->err, E_LIMIT, "the list of files is longer than %d bytes", BODY_MOST);
			return CURL_WRITEFUNC_ERROR;
		}
		buffer_add(t->body, data, size);
		return size;
	}
	if (check_answer(http) < 0)
		return CURL_WRITEFUNC_ERROR;
	if (t->have + (int64_t)size > t->size) {
		wrong_size(http, t->have + (int64_t)size);
		return CURL_WRITEFUNC_ERROR;
	}
	if (write_all(http, data, size) < 0)
		return CURL_WRITEFUNC_ERROR;
	if (t->moved)
		t->moved(t->ctx, t->have);
	return size;
}

static int on_progress(void *ctx, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
	struct hub_http *http = ctx;

	return hub_stopped(http->now->stop_fd, 0);
}

/* ---- the request */

static void prepare(struct hub_http *http, char range[32])
{
	struct hub_transfer *t = http->now;
	CURL *curl = http->curl;

	curl_easy_reset(curl);
	curl_easy_setopt(curl, CURLOPT_URL, t->url);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	/* What was asked for securely is not fetched otherwise. */
	curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, strncmp(t->url, "https:", 6) == 0 ? "https" : "http,https");
	curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
	curl_easy_setopt(curl, CURLOPT_MAXREDIRS, (long)REDIRECTS_MOST);
	curl_easy_setopt(curl, CURLOPT_UNRESTRICTED_AUTH, 0L);
	curl_easy_setopt(curl, CURLOPT_USERAGENT, "vramble/" VRAMBLE_VERSION);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS);
	curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)SILENT_SECONDS);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, http->reason);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, http);
	curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(curl, CURLOPT_XFERINFODATA, http);
	curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
	if (t->token) {
		curl_easy_setopt(curl, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
		curl_easy_setopt(curl, CURLOPT_XOAUTH2_BEARER, t->token);
	}
	if (!t->body && t->have > 0) {
		snprintf(range, 32, "%lld-", (long long)t->have);
		curl_easy_setopt(curl, CURLOPT_RANGE, range);
	}
}

/* What libcurl could not do. */
static enum hub_outcome explain(struct hub_http *http, CURLcode code, struct error *err)
{
	const char *why = http->reason[0] ? http->reason : curl_easy_strerror(code);

	switch (code) {
	case CURLE_ABORTED_BY_CALLBACK:
		fail(err, E_CANCELLED, "interrupted");
		return HUB_FAILED;
	case CURLE_WRITE_ERROR: /* on_data said why */
		return http->again ? HUB_AGAIN : HUB_FAILED;
	case CURLE_COULDNT_RESOLVE_PROXY:
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_CONNECT:
		http->now->unreachable = true;
		fail(err, E_IO, "%s", why);
		return HUB_AGAIN;
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_CONNECT_ERROR:
		fail(err, E_IO, "no secure connection: %s; see that ca-certificates is installed, the clock is right, and no proxy stands between",
		     why);
		return HUB_FAILED;
	case CURLE_TOO_MANY_REDIRECTS:
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_URL_MALFORMAT:
		fail(err, E_IO, "redirected to where it is not followed: %s", why);
		return HUB_FAILED;
	default:
		fail(err, E_IO, "the connection was cut: %s", why);
		return HUB_AGAIN;
	}
}

static enum hub_outcome judge_status(struct hub_http *http, struct error *err)
{
	struct hub_transfer *t = http->now;
	const char *code = header(http, "X-Error-Code");
	curl_off_t wait_s = 0;

	curl_easy_getinfo(http->curl, CURLINFO_RETRY_AFTER, &wait_s);
	t->wait_s = wait_s;
	snprintf(t->error_code, sizeof t->error_code, "%s", code ? code : "");
	fail(err, E_IO, "the server answered %ld", t->status);
	t->from_start = t->status == 416;
	return t->status == 408 || t->status == 416 || t->status == 429 || t->status >= 500 ? HUB_AGAIN : HUB_FAILED;
}

enum hub_outcome hub_http_run(struct hub_http *http, struct hub_transfer *t, struct error *err)
{
	char range[32];
	CURLcode code;

	http->now = t;
	http->err = err;
	http->checked = http->again = false;
	http->reason[0] = '\0';
	t->status = t->wait_s = 0;
	t->unreachable = t->from_start = false;
	t->error_code[0] = '\0';
	if (t->body)
		t->body->length = 0;
	prepare(http, range);
	code = curl_easy_perform(http->curl);
	t->status = status_of(http);
	if (code != CURLE_OK)
		return explain(http, code, err);
	if (t->status >= 400)
		return judge_status(http, err);
	if (t->body)
		return HUB_DONE;
	if (check_answer(http) < 0)
		return http->again ? HUB_AGAIN : HUB_FAILED;
	if (t->have == t->size)
		return HUB_DONE;
	fail(err, E_IO, "the answer ended early");
	return HUB_AGAIN;
}
