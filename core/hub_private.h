/* hub_private.h - what the files of core/hub*.c share: one pull, the list of files, one transfer. One thread. */
#ifndef CORE_HUB_PRIVATE_H
#define CORE_HUB_PRIVATE_H

#include <stddef.h>

#include "core/hub.h"
#include "core/mem.h"

enum { HUB_SUM = 65 }; /* a SHA-256 in hexadecimal with its NUL; a SHA-1 has 40 digits */

/* ---- the list of files (hub_list.c) */

struct hub_file {
	char *path;
	int64_t size;
	char sum[HUB_SUM]; /* "": the hub tells none */
	bool wanted;
	int64_t counted; /* its part of progress.done */
};

struct hub_listing {
	char *commit; /* NULL for ModelScope */
	struct hub_file *files;
	int n;
};

/* Reads a hub's answer. E_FORMAT when it is not such a list, or names a file that could leave the folder. Free with hub_listing_free, also after failure. */
int hub_list_hugging_face(const char *json, size_t size, struct hub_listing *out, struct error *err);
int hub_list_modelscope(const char *json, size_t size, struct hub_listing *out, struct error *err);
void hub_listing_free(struct hub_listing *l);

/* Marks as wanted what a model here is made of. *index: the file that lists the weights, where there are several; else NULL. E_MODEL without weights. */
int hub_choose(struct hub_listing *l, struct hub_file **index, struct error *err);
/* Marks the files that the index, which is at path, names. */
int hub_choose_shards(struct hub_listing *l, const char *path, struct error *err);

bool hub_is_sum(const char *text); /* 40 or 64 hexadecimal digits */

/* ---- sums (hub_hash.c; hub_none.c where the program is built without nettle) */

/* The file's sum into out, of that many digits: 64 the SHA-256, 40 git's SHA-1 of it as a blob. E_IO, E_CANCELLED; E_USAGE without nettle. */
int hub_hash(const char *path, size_t digits, int stop_fd, char out[HUB_SUM], struct error *err);

/* ---- one transfer (hub_http.c; hub_none.c where the program is built without libcurl) */

struct hub_http; /* a connection that is kept */
struct hub_http *hub_http_open(struct error *err);
void hub_http_close(struct hub_http *http); /* NULL is fine */

enum hub_outcome { HUB_DONE, HUB_AGAIN, HUB_FAILED };

struct hub_transfer {
	const char *url, *token; /* token: NULL for none */
	struct buffer *body;     /* to memory; NULL: to fd */
	int fd;                  /* a file that is to have size bytes and has the first `have` of them */
	int64_t have, size;
	int stop_fd;
	void (*moved)(void *ctx, int64_t have); /* may be NULL */
	void *ctx;

	long status;         /* the last answer's; 0: none came */
	bool unreachable;    /* no connection was made */
	int write_error;     /* errno of what was not written to fd; 0: none */
	bool from_start;     /* the answer does not continue the file: what it has is of no use */
	int64_t wait_s;      /* the server's wish before a retry; 0: none */
	char error_code[40]; /* X-Error-Code, "" without */
};

/* One request, redirects followed. HUB_AGAIN: the same later may succeed. err is filled unless HUB_DONE; for a status of 400 and more it is a plain one, that
 * the caller may replace. */
enum hub_outcome hub_http_run(struct hub_http *http, struct hub_transfer *t, struct error *err);

/* ---- a pull */

/* Waits up to so long; true once stop_fd (-1: never) is readable. */
bool hub_stopped(int stop_fd, int wait_ms);

struct hub {
	const struct hub_pull *pull;
	char *name; /* without a revision */
	const char *revision;
	char *endpoint; /* without a slash at its end */
	char *token;    /* NULL: none */
	char *root;     /* the cache */
	char *folder;   /* of the model, in root */
	bool reached;   /* the endpoint has answered */
	struct hub_http *http;
	struct hub_listing listing;
	struct hub_progress progress;
};

/* hub_fetch.c: requests with retries, and what refusals mean. file: NULL for the list. */
void hub_tell(struct hub *h, enum hub_step step, const struct hub_file *file);
void hub_note(struct hub *h, const struct hub_file *file, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int hub_fetch_list(struct hub *h, struct buffer *out, struct error *err);
/* Fetches what the open file still lacks. Keeps progress.done. */
int hub_fetch_file(struct hub *h, struct hub_file *file, int fd, int64_t have, struct error *err);

/* hub_place.c: the files in the cache. */
struct hub_place {
	char *path, *partial, *lock;
};
void hub_place(const struct hub *h, const struct hub_file *file, struct hub_place *out); /* hub_place_free */
void hub_place_free(struct hub_place *place);
int hub_make_parents(const struct hub *h, const char *path, struct error *err); /* for all whom the umask lets */
/* E_IO about file, of which have bytes are in its place and more could not be written: in the words of errno number, with what is missing and the fix. */
int hub_fail_write(const struct hub *h, const struct hub_file *file, int64_t have, int number, struct error *err);
/* E_IO about path in the words of errno, with the fix. */
int hub_fail_path(const struct hub *h, const char *path, struct error *err);
int hub_lock(struct hub *h, const struct hub_file *file, const char *lock, struct error *err); /* a descriptor, which holds it; or -1 */
/* -1 with E_IO when root has fewer bytes free. */
int hub_check_room(const struct hub *h, int64_t bytes, struct error *err);
/* All wanted files are there: makes them one model. The folder to open, malloc'd; NULL with err. */
char *hub_publish(struct hub *h, struct error *err);

#endif
