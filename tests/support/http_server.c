/* http_server.c - see http_server.h. */
#include "tests/support/http_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/mem.h"

enum { CONNECTIONS = 64, REQUEST_MOST = 16384, PIECE = 4096 };

struct http_server {
	int listener;
	char *url;
	http_answer *answer;
	void *ctx;
	void (*sent)(void *ctx, int64_t total);
	void *sent_ctx;
	int64_t total;
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t ended;
	int open[CONNECTIONS]; /* descriptors; -1: free */
	int n_open;
	bool stopping;
};

struct connection {
	struct http_server *server;
	int fd;
};

/* ---- sending */

static bool send_all(int fd, const char *data, size_t size)
{
	while (size) {
		ssize_t n = send(fd, data, size, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		data += n;
		size -= (size_t)n;
	}
	return true;
}

static void count_sent(struct http_server *s, size_t n)
{
	pthread_mutex_lock(&s->mutex);
	s->total += (int64_t)n;
	if (s->sent)
		s->sent(s->sent_ctx, s->total);
	pthread_mutex_unlock(&s->mutex);
}

static bool send_body(struct http_server *s, int fd, const struct http_reply *reply, size_t from)
{
	const char *body = (const char *)reply->body + from;
	size_t left = reply->size - from;
	bool cut = reply->cut >= 0 && (size_t)reply->cut < left;

	if (cut)
		left = (size_t)reply->cut;
	while (left) {
		size_t n = left < PIECE ? left : PIECE;

		if (!send_all(fd, body, n))
			return false;
		count_sent(s, n);
		body += n;
		left -= n;
		if (reply->pause_us)
			usleep((useconds_t)reply->pause_us);
	}
	return !cut && !reply->no_length;
}

/* False: the connection is to be closed. */
static bool send_reply(struct http_server *s, int fd, const struct http_request *request, struct http_reply *reply)
{
	bool part = request->from >= 0 && !reply->whole && reply->status == 200, beyond = part && (size_t)request->from >= reply->size;
	struct buffer head = {0};
	size_t from = part && !beyond ? (size_t)request->from : 0;
	bool kept;

	if (beyond)
		reply->size = 0;
	buffer_printf(&head, "HTTP/1.1 %d -\r\n%s", beyond ? 416 : part ? 206 : reply->status, reply->headers);
	if (part && !beyond)
		buffer_printf(&head, "Content-Range: bytes %zu-%zu/%zu\r\n", from, reply->size - 1, reply->size);
	if (!reply->no_length)
		buffer_printf(&head, "Content-Length: %zu\r\n", reply->size - from);
	buffer_puts(&head, "\r\n");
	kept = send_all(fd, head.text, head.length) && send_body(s, fd, reply, from);
	buffer_free(&head);
	return kept;
}

/* ---- requests */

/* The value of a header within text, malloc'd; NULL if there is none. */
static char *header(const char *text, const char *name)
{
	size_t n = strlen(name);

	for (const char *line = strstr(text, "\r\n"); line; line = strstr(line, "\r\n")) {
		line += 2;
		if (strncasecmp(line, name, n) == 0 && line[n] == ':') {
			line += n + 1;
			line += strspn(line, " ");
			return xstrndup(line, strcspn(line, "\r"));
		}
	}
	return NULL;
}

static bool answer(struct http_server *s, int fd, const char *text)
{
	char *target = strchr(text, ' '), *authorization = header(text, "Authorization"), *range = header(text, "Range");
	struct http_request request = {.authorization = authorization, .from = -1};
	struct http_reply reply = {.status = 200, .cut = -1};
	long long from;
	bool kept;

	if (range && sscanf(range, "bytes=%lld-", &from) == 1)
		request.from = from;
	target = target ? xstrndup(target + 1, strcspn(target + 1, " \r\n")) : xstrdup("");
	request.target = target;
	pthread_mutex_lock(&s->mutex);
	s->answer(s->ctx, &request, &reply);
	pthread_mutex_unlock(&s->mutex);
	kept = send_reply(s, fd, &request, &reply);
	free(reply.owned);
	free(target);
	free(authorization);
	free(range);
	return kept;
}

/* Reads up to the empty line that ends a request; only GET is understood, which has no body. */
static bool read_request(int fd, char text[REQUEST_MOST])
{
	size_t n = 0;

	while (n + 1 < REQUEST_MOST) {
		ssize_t got = recv(fd, text + n, 1, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		text[++n] = '\0';
		if (n >= 4 && memcmp(text + n - 4, "\r\n\r\n", 4) == 0)
			return strncmp(text, "GET ", 4) == 0;
	}
	return false;
}

static void forget(struct http_server *s, int fd)
{
	pthread_mutex_lock(&s->mutex);
	for (int i = 0; i < CONNECTIONS; i++)
		if (s->open[i] == fd)
			s->open[i] = -1;
	close(fd);
	s->n_open--;
	pthread_cond_broadcast(&s->ended);
	pthread_mutex_unlock(&s->mutex);
}

static void *serve(void *ctx)
{
	struct connection *c = ctx;
	char *text = xmalloc(REQUEST_MOST);

	while (read_request(c->fd, text) && answer(c->server, c->fd, text))
		;
	free(text);
	forget(c->server, c->fd);
	free(c);
	return NULL;
}

/* ---- connections */

/* Waits for a free place; false once the server is stopping. */
static bool remember(struct http_server *s, int fd)
{
	bool taken = false;

	pthread_mutex_lock(&s->mutex);
	while (!s->stopping && s->n_open == CONNECTIONS)
		pthread_cond_wait(&s->ended, &s->mutex);
	for (int i = 0; i < CONNECTIONS && !s->stopping && !taken; i++)
		if (s->open[i] < 0) {
			s->open[i] = fd;
			s->n_open++;
			taken = true;
		}
	pthread_mutex_unlock(&s->mutex);
	return taken;
}

static void *accept_all(void *ctx)
{
	struct http_server *s = ctx;
	pthread_attr_t detached;
	int fd;

	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	while ((fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		struct connection *c = xmalloc(sizeof *c);
		pthread_t thread;

		*c = (struct connection){s, fd};
		if (!remember(s, fd)) {
			close(fd);
			free(c);
		} else if (pthread_create(&thread, &detached, serve, c) != 0) {
			forget(s, fd);
			free(c);
		}
	}
	pthread_attr_destroy(&detached);
	return NULL;
}

struct http_server *http_server_start(http_answer *handler, void *ctx)
{
	struct http_server *s = xcalloc(1, sizeof *s);
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof address;

	s->answer = handler;
	s->ctx = ctx;
	pthread_mutex_init(&s->mutex, NULL);
	pthread_cond_init(&s->ended, NULL);
	for (int i = 0; i < CONNECTIONS; i++)
		s->open[i] = -1;
	s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (s->listener < 0 || bind(s->listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(s->listener, 64) < 0 ||
	    getsockname(s->listener, (struct sockaddr *)&address, &size) < 0 || pthread_create(&s->thread, NULL, accept_all, s) != 0) {
		perror("http_server");
		abort();
	}
	s->url = xasprintf("http://127.0.0.1:%d", ntohs(address.sin_port));
	return s;
}

const char *http_server_url(const struct http_server *s)
{
	return s->url;
}

void http_server_watch(struct http_server *s, void (*sent)(void *ctx, int64_t total), void *ctx)
{
	pthread_mutex_lock(&s->mutex);
	s->sent = sent;
	s->sent_ctx = ctx;
	s->total = 0;
	pthread_mutex_unlock(&s->mutex);
}

void http_server_meet(struct http_server *s)
{
	pthread_mutex_lock(&s->mutex);
	pthread_mutex_unlock(&s->mutex);
}

void http_server_stop(struct http_server *s)
{
	pthread_mutex_lock(&s->mutex);
	s->stopping = true;
	shutdown(s->listener, SHUT_RDWR);
	for (int i = 0; i < CONNECTIONS; i++)
		if (s->open[i] >= 0)
			shutdown(s->open[i], SHUT_RDWR);
	pthread_cond_broadcast(&s->ended);
	while (s->n_open)
		pthread_cond_wait(&s->ended, &s->mutex);
	pthread_mutex_unlock(&s->mutex);
	pthread_join(s->thread, NULL);
	close(s->listener);
	pthread_cond_destroy(&s->ended);
	pthread_mutex_destroy(&s->mutex);
	free(s->url);
	free(s);
}
