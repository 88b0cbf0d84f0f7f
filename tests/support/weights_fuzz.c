/* weights_fuzz.c - see weights_fuzz.h. */
#include "tests/support/weights_fuzz.h"

#include <stdlib.h>

#include "models/checkpoint.h"
#include "tests/support/fuzz.h"

enum { FLOOR = 64 * 1024 };

/* The sum of all values, so that every byte is read. */
static unsigned read_tensor(const struct checkpoint *c, const struct checkpoint_tensor *t)
{
	struct error err = {0};
	const unsigned char *data = checkpoint_data(c, t, &err);
	unsigned sum = 0;
	int64_t count = 1;

	for (int d = 0; d < t->ndim; d++)
		count *= t->shape[d];
	if (count != t->count || checkpoint_find(c, t->name) != t || (!data && err.text[0] == '\0'))
		abort();
	if (data && t->count > 0 && (uintptr_t)data % (uintptr_t)(t->bytes / t->count) != 0)
		abort();
	for (int64_t i = 0; data && i < t->bytes; i++)
		sum += data[i];
	checkpoint_forget(c, t);
	return sum;
}

static void read_all(const struct checkpoint *c)
{
	volatile unsigned sum = 0;
	int64_t bytes = 0;

	for (int i = 0; i < checkpoint_size(c); i++) {
		sum += read_tensor(c, checkpoint_at(c, i));
		bytes += checkpoint_at(c, i)->bytes;
	}
	(void)sum;
	if (bytes != checkpoint_bytes(c))
		abort();
}

void weights_fuzz(const char *name, const uint8_t *bytes, size_t size)
{
	const char *path = fuzz_file(name, bytes, size);
	struct error err = {0};
	struct checkpoint *c;

	fuzz_limit(FLOOR + 2 * size);
	c = checkpoint_open(path, &err);
	if (c)
		read_all(c);
	else if (err.text[0] == '\0' || err.code == E_NONE)
		abort();
	checkpoint_close(c);
	fuzz_remove(name); /* some file systems wait for the disk when a file is written over */
}
