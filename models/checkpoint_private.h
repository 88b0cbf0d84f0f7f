/* checkpoint_private.h - what the readers of models/checkpoint_*.c share: the table that they fill. One thread, while a checkpoint is being opened.
 */
#ifndef MODELS_CHECKPOINT_PRIVATE_H
#define MODELS_CHECKPOINT_PRIVATE_H

#include <pthread.h>
#include <stddef.h>
#include <sys/types.h>

#include "models/checkpoint.h"

struct checkpoint_file {
	char *path;
	unsigned char *map;
	size_t size;
};

/* A part of a file with a checksum. */
struct checkpoint_record {
	int file;
	int64_t begin, bytes;
	uint32_t crc;
	bool sound; /* compared; under the checkpoint's mutex */
	char *name; /* for messages */
};

struct checkpoint_entry {
	struct checkpoint_tensor tensor; /* the first member: a tensor that was handed out is its entry. The name is owned */
	int file;
	int record;      /* index into records; -1: has no checksum */
	int64_t begin;   /* of the first value, in the file */
	int64_t *stride; /* in elements, one for each dimension; NULL: row-major. Checked against the file. Owned */
	void *copy;      /* of what cannot be used in place; this and holds under the mutex */
	int holds;
};

struct checkpoint {
	char *path;
	struct checkpoint_file *files;
	struct checkpoint_record *records;
	struct checkpoint_entry *entries; /* in file order */
	int n_files, n_records, n;
	int capacity; /* of entries */
	int *by_name;
	int64_t bytes;
	bool wrapped; /* the tensors stood in a dictionary within another, as training programs write them */
	enum checkpoint_naming naming;
	pthread_mutex_t mutex;
};

int checkpoint_dtype_size(enum checkpoint_dtype dtype); /* bytes */

/* Maps a file and says what is wrong with one that is not weights at all. Returns its index in c->files, or -1. */
int checkpoint_map(struct checkpoint *c, const char *path, struct error *err);
/* Maps it and reads its tensors with the reader that knows it. */
int checkpoint_read_file(struct checkpoint *c, const char *path, struct error *err);

/* A new entry at the end, without a record; the name is copied. The pointer is good until the next one is added. */
struct checkpoint_entry *checkpoint_add(struct checkpoint *c, const char *name);
void checkpoint_entry_free(struct checkpoint_entry *e); /* what it owns */
/* Sets count and bytes from dtype, ndim and shape; E_FORMAT for negative sizes and products that overflow. */
int checkpoint_measure(const char *path, struct checkpoint_tensor *t, struct error *err);

bool checkpoint_ends_with(const char *text, const char *end);

/* What is no weights: -1 with words about what it is and what to do. refuse_text: 0 for what is no text. */
int refuse_kind(const char *path, mode_t mode, struct error *err);
int refuse_text(const struct checkpoint_file *f, struct error *err);
int refuse_format(const struct checkpoint_file *f, struct error *err);
int refuse_folder(const char *dir, struct error *err);

/* The readers: tensors of c->files[file] are added to c. */
bool safetensors_claims(const unsigned char *bytes, size_t size);
int safetensors_read(struct checkpoint *c, int file, struct error *err);
bool zip_claims(const unsigned char *bytes, size_t size);
int zip_read(struct checkpoint *c, int file, struct error *err);
bool legacy_claims(const unsigned char *bytes, size_t size);
int legacy_read(struct checkpoint *c, int file, struct error *err);
/* path: an index of several files. */
int shards_read(struct checkpoint *c, const char *path, struct error *err);

/* Takes off what all names begin with ("module."), and gives OpenAI's, Salesforce's and fairseq's their Hugging Face names. E_MODEL for what no network
 * here is. */
int names_settle(struct checkpoint *c, struct error *err);
/* Of names_settle, for tensors that are of such a network: gives them their names. */
void families_blip(struct checkpoint *c);
void families_ofa(struct checkpoint *c);

#endif
