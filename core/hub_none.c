/* hub_none.c - in place of hub_http.c and hub_hash.c where the program is built without libcurl and nettle: says so. */
#include "core/hub_private.h"

static const char without[] = "this vramble was built without libcurl and nettle: install libcurl4-openssl-dev and nettle-dev, then make clean all";

struct hub_http *hub_http_open(struct error *err)
{
	return fail_null(err, E_USAGE, "%s", without);
}

void hub_http_close(struct hub_http *http)
{
}

enum hub_outcome hub_http_run(struct hub_http *http, struct hub_transfer *t, struct error *err)
{
	fail(err, E_USAGE, "%s", without);
	return HUB_FAILED;
}

int hub_hash(const char *path, size_t digits, int stop_fd, char out[HUB_SUM], struct error *err)
{
	return fail(err, E_USAGE, "%s", without);
}
