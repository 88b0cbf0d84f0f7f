/* http_server.h - a small HTTP/1.1 server on 127.0.0.1, for tests of what fetches: a thread for each connection, connections kept, ranges, and faults.
 *
 *	static void answer(void *ctx, const struct http_request *request, struct http_reply *reply)
 *	{
 *		reply->body = "hello";
 *		reply->size = 5;
 *	}
 *	struct http_server *server = http_server_start(answer, NULL);
 *	…                       http_server_url(server): "http://127.0.0.1:40123"
 *	http_server_stop(server);
 */
#ifndef TESTS_HTTP_SERVER_H
#define TESTS_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_request {
	const char *target;        /* path and query, as they came */
	const char *authorization; /* NULL: no such header */
	int64_t from;              /* of Range: bytes=FROM-; -1: no such header */
};

/* Zeroed but for status 200 and cut -1 when it is handed to be filled. */
struct http_reply {
	int status;
	char headers[1000]; /* further ones, each ending in \r\n */
	const void *body;   /* borrowed until the connection is done with it */
	size_t size;
	void *owned;    /* freed when the reply was sent; may be the body. NULL: nothing */
	bool whole;     /* takes no notice of ranges */
	int64_t cut;    /* closes the connection after so many bytes of the body; -1: never */
	int pause_us;   /* after each 4096 bytes */
	bool no_length; /* without Content-Length: the end of the connection is the end of the body */
};

/* Calls of it do not overlap, whichever the connection. */
typedef void http_answer(void *ctx, const struct http_request *request, struct http_reply *reply);

struct http_server;

struct http_server *http_server_start(http_answer *answer, void *ctx);
const char *http_server_url(const struct http_server *server); /* borrowed */
/* Called with each piece of a body that was sent, and the sum of all; NULL: no more. Not while requests are being answered. */
void http_server_watch(struct http_server *server, void (*sent)(void *ctx, int64_t total), void *ctx);
/* What the caller wrote before is seen by answers after it, and the other way round; for tests whose client is another process, through which no
 * sanitizer sees that order. */
void http_server_meet(struct http_server *server);
/* Ends all connections and frees it. */
void http_server_stop(struct http_server *server);

#endif
