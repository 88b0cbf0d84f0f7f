/* http_hub.h - a model hub as Hugging Face's and ModelScope's answer, over http_server, with the faults that a test orders. For tests; set it up before
 * requests come, and look at what it counted after them.
 *
 *	struct http_hub hub;
 *	http_hub_start(&hub);                       sets HF_ENDPOINT and MODELSCOPE_ENDPOINT
 *	http_hub_add(&hub, "config.json", "{}", 2, false);
 *	http_hub_add(&hub, "model.safetensors", bytes, size, true);
 *	…
 *	http_hub_stop(&hub);
 */
#ifndef TESTS_HTTP_HUB_H
#define TESTS_HTTP_HUB_H

#include "tests/support/http_server.h"

#define HTTP_HUB_NAME   "someone/small-clip"
#define HTTP_HUB_COMMIT "3d74acf9a28c67741b2f4f2ea7635f0aaf6f0268"

enum { HTTP_HUB_FILES = 16 };

struct http_hub_file {
	char *path, *bytes;
	size_t size;
	bool lfs;
	char sum[65];        /* by sha256sum, or by sha1sum of git's blob */
	int64_t listed_size; /* may be changed to lie */
	char listed_sum[65]; /* likewise */
	char *listed_path;   /* likewise */
	int sent;            /* requests for it that were answered */
};

struct http_hub {
	struct http_server *server, *store; /* store: where downloads are redirected to, if redirect is set */
	struct http_hub_file files[HTTP_HUB_FILES];
	int n;

	/* orders */
	bool redirect;
	const char *token;     /* downloads want it; NULL: anybody may */
	int list_status;       /* of the list of files; 0: 200 */
	int file_status;       /* of so many first downloads, */
	int file_failures;     /* -1: of all */
	const char *headers;   /* with either of these */
	const char *list_text; /* instead of the list */
	int64_t cut;           /* each download ends after so many bytes; -1: none does */
	bool whole, no_length; /* as in struct http_reply */
	int pause_us;

	/* counted */
	int requests, downloads, ranges;
	int token_at_hub, token_at_store; /* requests that carried one */
	int missed;                       /* requests for nothing there is */
};

void http_hub_start(struct http_hub *hub);
void http_hub_add(struct http_hub *hub, const char *path, const void *bytes, size_t size, bool lfs);
/* Withdraws all orders and counts. */
void http_hub_reset(struct http_hub *hub);
void http_hub_stop(struct http_hub *hub);

#endif
