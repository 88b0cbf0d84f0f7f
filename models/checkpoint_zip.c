/* checkpoint_zip.c - what torch.save (1.6 and later) and TorchScript write: a zip archive of stored records. The format of zip:
 * https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT, named below by its sections.
 *
 * In the archive stands one folder of any name, with data.pkl (the pickle) and data/KEY (a storage each, raw). All else (code/, constants/, version
 * …) is passed over. Sizes and checksums are taken from the directory at the archive's end: a writer that streams leaves them out before the data.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include "core/mem.h"
#include "models/checkpoint_pickle.h"
#include "models/checkpoint_private.h"

enum { LOCAL = 30, CENTRAL = 46, END = 22, LOCATOR = 20, END64 = 56, COMMENT_MOST = 65535 }; /* sizes of the fixed parts */
enum { KEY_MOST = 200 };

struct member {
	const char *name; /* borrowed from the map, no NUL at its end */
	uint16_t length;
	uint16_t method, flags;
	uint32_t crc;
	uint64_t packed, size, local; /* bytes there, bytes unpacked, where its local header is */
	int record;                   /* -1: no tensor has asked for it yet */
};

struct zip {
	struct checkpoint *c;
	int file;
	const unsigned char *map;
	uint64_t size;
	uint64_t directory; /* where it begins: all data lie before */
	struct member *members;
	size_t n;
	const char *folder; /* "archive/", borrowed */
	int folder_length;
};

bool zip_claims(const unsigned char *bytes, size_t size)
{
	return size >= 4 && memcmp(bytes, "PK\3\4", 4) == 0;
}

static uint64_t le(const unsigned char *bytes, int n)
{
	uint64_t v = 0;

	while (n > 0)
		v = v << 8 | bytes[--n];
	return v;
}

static int broken(const struct zip *z, const char *what, struct error *err)
{
	return fail(err, E_FORMAT, "%s: broken zip archive: %s; download it again", z->c->files[z->file].path, what);
}

/* ---- the directory (4.3.12 to 4.3.16) */

/* The end record, searched for from behind; 0: none. */
static uint64_t find_end(const struct zip *z)
{
	uint64_t most = z->size < END ? 0 : z->size - END;

	for (uint64_t at = most; at > 0 && most - at <= COMMENT_MOST; at--)
		if (memcmp(z->map + at, "PK\5\6", 4) == 0 && at + END + le(z->map + at + 20, 2) == z->size)
			return at;
	return 0;
}

static int find_directory(struct zip *z, uint64_t *count, uint64_t *bytes, struct error *err)
{
	uint64_t end = find_end(z), at;

	if (end == 0)
		return fail(err, E_FORMAT, "%s: truncated: the directory at the end of the archive is missing; download it again",
			    z->c->files[z->file].path);
	*count = le(z->map + end + 10, 2);
	*bytes = le(z->map + end + 12, 4);
	z->directory = le(z->map + end + 16, 4);
	if (end >= LOCATOR && memcmp(z->map + end - LOCATOR, "PK\6\7", 4) == 0) {
		at = le(z->map + end - LOCATOR + 8, 8);
		if (at > z->size - END || z->size - at < END64 || memcmp(z->map + at, "PK\6\6", 4) != 0)
			return broken(z, "its 64-bit end record is not where it should be", err);
		*count = le(z->map + at + 32, 8);
		*bytes = le(z->map + at + 40, 8);
		z->directory = le(z->map + at + 48, 8);
		end = at;
	}
	if (z->directory > end || *bytes > end - z->directory || *count > *bytes / CENTRAL)
		return broken(z, "its directory lies outside of the file", err);
	return 0;
}

/* The 64-bit sizes of 4.5.3, in the order in which their 32-bit places are all ones. */
static int read_wide(const struct zip *z, struct member *m, const unsigned char *extra, size_t length, struct error *err)
{
	uint64_t *places[] = {&m->size, &m->packed, &m->local};

	while (length >= 4) {
		size_t n = (size_t)le(extra + 2, 2), at = 0;

		if (n > length - 4)
			return broken(z, "an extra field that does not fit", err);
		for (int i = 0; le(extra, 2) == 1 && i < 3; i++) {
			if (*places[i] != UINT32_MAX)
				continue;
			if (n - at < 8)
				return broken(z, "a 64-bit size is missing", err);
			*places[i] = le(extra + 4 + at, 8);
			at += 8;
		}
		extra += 4 + n;
		length -= 4 + n;
	}
	return 0;
}

/* One entry of *at bytes' place, which moves on to the next. */
static int read_member(const struct zip *z, uint64_t *at, uint64_t end, struct member *m, struct error *err)
{
	const unsigned char *b = z->map + *at;
	size_t name, extra, comment;

	if (end - *at < CENTRAL || memcmp(b, "PK\1\2", 4) != 0)
		return broken(z, "its directory is damaged", err);
	name = (size_t)le(b + 28, 2), extra = (size_t)le(b + 30, 2), comment = (size_t)le(b + 32, 2);
	if (end - *at - CENTRAL < name + extra + comment)
		return broken(z, "its directory is damaged", err);
	*m = (struct member){
		.name = (const char *)b + CENTRAL,
		.length = (uint16_t)name,
		.flags = (uint16_t)le(b + 8, 2),
		.method = (uint16_t)le(b + 10, 2),
		.crc = (uint32_t)le(b + 16, 4),
		.packed = le(b + 20, 4),
		.size = le(b + 24, 4),
		.local = le(b + 42, 4),
		.record = -1,
	};
	*at += CENTRAL + name + extra + comment;
	return read_wide(z, m, b + CENTRAL + name, extra, err);
}

static int compare_text(const char *a, size_t n, const char *b, size_t m)
{
	int order = memcmp(a, b, n < m ? n : m);

	return order ? order : n < m ? -1 : n > m;
}

static int compare_member(const void *a, const void *b)
{
	const struct member *x = a, *y = b;

	return compare_text(x->name, x->length, y->name, y->length);
}

static int read_directory(struct zip *z, struct error *err)
{
	uint64_t count = 0, bytes = 0, at, end;

	if (find_directory(z, &count, &bytes, err) < 0)
		return -1;
	z->members = xcalloc((size_t)count + 1, sizeof *z->members);
	at = z->directory;
	end = at + bytes;
	for (; z->n < count; z->n++)
		if (read_member(z, &at, end, &z->members[z->n], err) < 0)
			return -1;
	qsort(z->members, z->n, sizeof *z->members, compare_member);
	for (size_t i = 1; i < z->n; i++)
		if (compare_member(&z->members[i - 1], &z->members[i]) == 0)
			return broken(z, "a name stands in it twice", err);
	return 0;
}

static struct member *find_member(const struct zip *z, const char *name, size_t length)
{
	size_t low = 0, high = z->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = compare_text(name, length, z->members[middle].name, z->members[middle].length);

		if (order == 0)
			return &z->members[middle];
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

/* ---- members */

/* Where the bytes of a stored member begin. */
static int locate_member(const struct zip *z, const struct member *m, uint64_t *begin, struct error *err)
{
	const char *path = z->c->files[z->file].path;

	if (m->flags & 1)
		return fail(err, E_MODEL, "%s: %.*s is encrypted", path, m->length, m->name);
	if (m->method != 0)
		return fail(err, E_MODEL, "%s: %.*s is compressed, as torch.save never does; it was packed by another program: save it anew", path,
			    m->length, m->name);
	if (m->local > z->directory || z->directory - m->local < LOCAL || memcmp(z->map + m->local, "PK\3\4", 4) != 0)
		return broken(z, "a member is not where the directory says", err);
	*begin = m->local + LOCAL + le(z->map + m->local + 26, 2) + le(z->map + m->local + 28, 2);
	if (m->packed != m->size || *begin > z->directory || m->size > z->directory - *begin)
		return broken(z, "a member reaches beyond the file", err);
	if (le(z->map + m->local + 26, 2) != m->length || memcmp(z->map + m->local + LOCAL, m->name, m->length) != 0)
		return broken(z, "a member has another name than the directory says", err);
	return 0;
}

/* The folder that all stands in: what is before "data.pkl". */
static struct member *find_pickle(struct zip *z)
{
	static const char wanted[] = "data.pkl";
	size_t n = sizeof wanted - 1;

	for (size_t i = 0; i < z->n; i++) {
		struct member *m = &z->members[i];
		const char *slash = memchr(m->name, '/', m->length);
		size_t folder = slash ? (size_t)(slash + 1 - m->name) : 0;

		if (m->length - folder == n && memcmp(m->name + folder, wanted, n) == 0) {
			z->folder = m->name;
			z->folder_length = (int)folder;
			return m;
		}
	}
	return NULL;
}

static struct member *find_in_folder(const struct zip *z, const char *name, const struct pickle_value *key)
{
	char whole[KEY_MOST + UINT16_MAX + 16];
	int n = snprintf(whole, sizeof whole, "%.*s%s", z->folder_length, z->folder, name);

	if (key) {
		if (key->length > KEY_MOST)
			return NULL;
		memcpy(whole + n, key->as.text, key->length);
		n += (int)key->length;
	}
	return find_member(z, whole, (size_t)n);
}

static int add_record(struct zip *z, struct member *m, struct error *err)
{
	struct checkpoint *c = z->c;
	uint64_t begin;

	if (locate_member(z, m, &begin, err) < 0)
		return -1;
	c->records = xrealloc(c->records, (size_t)c->n_records + 1, sizeof *c->records);
	c->records[c->n_records] = (struct checkpoint_record){
		.file = z->file,
		.begin = (int64_t)begin,
		.bytes = (int64_t)m->size,
		.crc = m->crc,
		.name = xstrndup(m->name, m->length),
	};
	m->record = c->n_records++;
	return 0;
}

static int place_storage(void *ctx, const struct pickle_storage *s, int64_t *begin, int64_t *bytes, int *record, struct error *err)
{
	struct zip *z = ctx;
	struct member *m = find_in_folder(z, "data/", &s->key);

	if (!m)
		return fail(err, E_FORMAT, "%s: the archive has no data/%.*s, which a tensor needs; download it again", z->c->files[z->file].path,
			    (int)(s->key.length < KEY_MOST ? s->key.length : KEY_MOST), s->key.as.text);
	if (m->record < 0 && add_record(z, m, err) < 0)
		return -1;
	*record = m->record;
	*begin = z->c->records[m->record].begin;
	*bytes = z->c->records[m->record].bytes;
	return 0;
}

/* ---- the whole */

static int check_order(const struct zip *z, struct error *err)
{
	struct member *m = find_in_folder(z, "byteorder", NULL);
	uint64_t begin;

	if (!m)
		return 0;
	if (locate_member(z, m, &begin, err) < 0)
		return -1;
	if (m->size < 6 || memcmp(z->map + begin, "little", 6) != 0)
		return fail(err, E_MODEL, "%s: saved on a big-endian machine; load and save it on a little-endian one", z->c->files[z->file].path);
	return 0;
}

static int read_pickle(struct zip *z, const struct member *m, struct error *err)
{
	const char *path = z->c->files[z->file].path;
	struct pickle_value top;
	struct pickle *p;
	uint64_t begin;
	int rc;

	if (locate_member(z, m, &begin, err) < 0 || check_order(z, err) < 0)
		return -1;
	if (crc32_z(0, z->map + begin, (size_t)m->size) != m->crc)
		return fail(err, E_FORMAT, "%s: data.pkl is damaged: its checksum is not the one that was saved with it; download the file again",
			    path);
	p = pickle_create(path, z->map + begin, (size_t)m->size, pickle_budget((size_t)z->size));
	rc = pickle_next(p, &top, err);
	if (rc == 0)
		rc = state_read(z->c, z->file, &top, place_storage, z, err);
	pickle_free(p);
	return rc;
}

int zip_read(struct checkpoint *c, int file, struct error *err)
{
	struct zip z = {.c = c, .file = file, .map = c->files[file].map, .size = c->files[file].size};
	int rc = read_directory(&z, err);

	if (rc == 0) {
		const struct member *m = find_pickle(&z);

		rc = m ? read_pickle(&z, m, err)
		       : fail(err, E_FORMAT, "%s: a zip archive, but not one that torch.save wrote: no data.pkl in it", c->files[file].path);
	}
	free(z.members);
	return rc;
}
