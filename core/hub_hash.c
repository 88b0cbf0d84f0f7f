/* hub_hash.c - the sums by which the hubs name their files, from nettle. */
#include <errno.h>
#include <fcntl.h>
#include <nettle/sha1.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/hub_private.h"

enum { CHUNK = 1 << 20 };

struct sum {
	size_t digits;
	union {
		struct sha1_ctx sha1;
		struct sha256_ctx sha256;
	} is;
};

static void begin(struct sum *s, size_t digits, int64_t size)
{
	char head[40];

	s->digits = digits;
	if (digits == 64) {
		sha256_init(&s->is.sha256);
		return;
	}
	/* git hashes a blob behind its kind, its size and a NUL. */
	sha1_init(&s->is.sha1);
	sha1_update(&s->is.sha1, (size_t)snprintf(head, sizeof head, "blob %lld", (long long)size) + 1, (const uint8_t *)head);
}

static void take(struct sum *s, const uint8_t *bytes, size_t n)
{
	if (s->digits == 64)
		sha256_update(&s->is.sha256, n, bytes);
	else
		sha1_update(&s->is.sha1, n, bytes);
}

static void finish(struct sum *s, char out[HUB_SUM])
{
	uint8_t digest[SHA256_DIGEST_SIZE];

	if (s->digits == 64)
		sha256_digest(&s->is.sha256, SHA256_DIGEST_SIZE, digest);
	else
		sha1_digest(&s->is.sha1, SHA1_DIGEST_SIZE, digest);
	for (size_t i = 0; i < s->digits / 2; i++)
		snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

static int read_all(const char *path, int fd, struct sum *s, int stop_fd, struct error *err)
{
	uint8_t *chunk = xmalloc(CHUNK);
	ssize_t n = 0;
	bool stop = false;

	while (!stop && ((n = read(fd, chunk, CHUNK)) > 0 || (n < 0 && errno == EINTR))) {
		if (n > 0)
			take(s, chunk, (size_t)n);
		stop = hub_stopped(stop_fd, 0);
	}
	free(chunk);
	if (stop)
		return fail(err, E_CANCELLED, "interrupted");
	return n < 0 ? fail(err, E_IO, "%s: cannot be read: %s", path, strerror(errno)) : 0;
}

int hub_hash(const char *path, size_t digits, int stop_fd, char out[HUB_SUM], struct error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY), rc = -1;
	struct stat st;
	struct sum s;

	if (fd < 0 || fstat(fd, &st) < 0)
		fail(err, E_IO, "%s: cannot be read: %s", path, strerror(errno));
	else if (!S_ISREG(st.st_mode))
		fail(err, E_IO, "%s: is no regular file", path);
	else {
		posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
		begin(&s, digits, st.st_size);
		rc = read_all(path, fd, &s, stop_fd, err);
	}
	if (rc == 0)
		finish(&s, out);
	if (fd >= 0)
		close(fd);
	return rc;
}
