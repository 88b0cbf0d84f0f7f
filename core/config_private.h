/* config_private.h - what the files of config share: the table's rows, their readers and writers, and one layer being read. */
#ifndef CORE_CONFIG_PRIVATE_H
#define CORE_CONFIG_PRIVATE_H

#include "core/config.h"

struct setting;

/* Reads value into the row's place in c; the error does not name the key. */
typedef int config_reader(struct config *c, const struct setting *s, const char *value, struct error *err);
/* The value as text, malloc'd. */
typedef char *config_writer(const struct config *c, const struct setting *s);

struct setting {
	struct config_row row;
	config_reader *read;
	config_writer *write;
	size_t offset;        /* of the value in struct config */
	double low, high;     /* of numbers */
	const char *word;     /* for a number's 0 ("none", "auto"), and what stands for a text that is not set */
	const char *variable; /* a second name in the environment; NULL: none */
	bool tuning;          /* part of a profile */
};

extern const struct setting config_table[];
extern const int config_table_rows;
/* The row of key, or -1 with an error that names the nearest known key. */
int config_find(const char *key, struct error *err);
/* The row that sets what row `general` sets, for one model; -1 where the row has no such relatives. */
int config_special(int general, int kind);
/* The row that sets what `special` sets, for all models; -1. */
int config_general(int special);
/* How many letters must change to make b of a; keys only. */
int config_distance(const char *a, const char *b);
void config_set_origin(struct config *c, int row, enum config_source source, const char *where);

config_reader config_read_int, config_read_switch, config_read_seconds, config_read_text, config_read_dir, config_read_hypothesis, config_read_colour,
	config_read_device, config_read_precision, config_read_image_size, config_read_cap, config_read_seed, config_read_pixels, config_read_cell,
	config_read_profile, config_read_general;
config_writer config_write_int, config_write_switch, config_write_seconds, config_write_text, config_write_device, config_write_precision,
	config_write_cap, config_write_seed, config_write_pixels, config_write_cell, config_write_general;

/* One layer: a file or a profile. Zero-initialise the rest. */
struct config_layer {
	enum config_source source;
	const char *path;  /* for messages, which begin with path:line */
	const char *where; /* of every value; NULL: path:line */
	void (*warn)(void *ctx, const char *text);
	void *ctx;
	int bad; /* lines told to warn, or that would have been */
};
/* Reads `key = value` lines; text is changed. */
void config_read_lines(struct config *c, struct config_layer *layer, char *text, size_t size);
/* The file at layer->path. 1: there is none; -1: cannot be read. */
int config_read_file(struct config *c, struct config_layer *layer, struct error *err);

#endif
