/* train.h - what the parts of the trainer share; build/train makes the three networks of this folder from nothing but scene.h and grammar.h.
 *
 * A task is one network: it writes its folder (config and tokenizer), builds its net, turns seeds into batches and batches into a loss. train_loop.c
 * runs any task: loader threads draw batches ahead while libtorch computes on the calling thread; AdamW over fp32 weights with products in bf16
 * where the CPU has it; a moving average of the weights is what gets saved. How long a run takes is given in samples, so a seed gives the same run
 * on every machine as far as libtorch's sums allow.
 */
#ifndef MODELS_PICTUREBOOK_TRAIN_H
#define MODELS_PICTUREBOOK_TRAIN_H

#include <jansson.h>

#include "core/error.h"
#include "models/bpe.h"
#include "models/nn.h"
#include "models/picturebook/grammar.h"
#include "models/picturebook/scene.h"

/* Options of one run. */
struct train_options {
	uint64_t seed;
	int threads;     /* of libtorch; 0 = the CPUs */
	int loaders;     /* threads that draw; 1 keeps two cores busy */
	double share;    /* of every phase's samples; 1 is the real run */
	bool resume;     /* go on where the weights in `out` were saved; the optimiser starts afresh */
	const char *out; /* the folder of this network */
};

/* A stretch of a run with batches of one shape. */
struct train_phase {
	int64_t samples;
	int batch;
	int size;                               /* of the pictures, pixels; 0 for texts */
	unsigned char things[SCENE_MAX_THINGS]; /* see scene_split */
};

enum { TRAIN_MAX_PHASES = 4 };

struct train_plan {
	double rate; /* the highest learning rate, reached after warmup steps; a cosine leads from there to 0 */
	double weight_decay;
	double average; /* how much of the averaged weights a step keeps */
	int warmup;
	struct train_phase phases[TRAIN_MAX_PHASES]; /* ends at the first without samples */
};

/* One batch on its way from a loader to the loss. Which members are used, and what ids and target mean, is the task's affair. */
struct train_batch {
	int n, size;      /* pictures and their side */
	float *pixels;    /* [n,3,size,size], normalised */
	int rows, length; /* of ids */
	int longest;      /* tokens in the longest row */
	int64_t *ids, *mask, *types, *target;
	float *bias;
	int64_t *patches; /* [n, patches]: set by tasks that want it */
};

struct train_batch *train_batch_create(int n, int size, int rows, int length);
void train_batch_free(struct train_batch *b); /* NULL is fine */

struct train_task {
	const char *name;
	struct train_plan plan;
	/* Writes config.json and the tokenizer's and preprocessor's files into dir. */
	int (*write_files)(const char *dir, struct error *err);
	/* Reads these files back the way vramble does and builds the net from source. */
	void *(*open)(const char *dir, struct nn_source *source, struct error *err);
	void (*close)(void *net);
	/* Any thread: a pure function of its arguments. */
	struct train_batch *(*draw)(const void *net, const struct train_phase *phase, uint64_t seed);
	tt_tensor *(*loss)(void *net, tt_pool *p, const struct train_batch *batch);
};

/* Tensors of this prefix only help training; they are not saved. */
#define TRAIN_AID "training."

extern const struct train_task train_clip, train_ofa, train_bert;

/* ---- train_loop.c */

/* Trains task into options->out: its files, then model.safetensors every few minutes and at the end. Prints its progress. */
int train_run(const struct train_task *task, const struct train_options *options, struct error *err);

/* ---- train_apart.c */

/* Runs this program n times side by side, once with each NULL-ended argument list, and waits for all. When one fails the others are stopped and err says
 * which (by its first argument); when we end, however, they end. */
int train_apart(char *const *const *argv, int n, struct error *err);

/* ---- train_loader.c */

/* Draws batches 0, 1, 2 … in the background, a few ahead; they come out in order whatever the number of threads. */
struct train_loader;
typedef struct train_batch *train_draw_function(void *ctx, int64_t index); /* on the loader's threads */
struct train_loader *train_loader_start(int threads, int64_t batches, train_draw_function *draw, void *ctx);
struct train_batch *train_loader_next(struct train_loader *l); /* waits; the caller frees it; NULL after the last */
void train_loader_stop(struct train_loader *l);

/* ---- train_picture.c */

/* Paints the scene as a size x size network sees a picture of some aspect and resolution: pixels [3,size,size] in -1..1. Returns the aspect. */
float train_picture(const struct scene *scene, uint64_t *rng, int size, float *pixels);

/* Changes the picture's colours at random, for texts that name none: a kind must be known by its shape in colours it never had, too. */
void train_wash(uint64_t *rng, int size, float *pixels);
/* What each patch of the picture shows, of grid x grid: the kind of the thing that covers its middle, TRAIN_NOTHING, or TRAIN_UNSURE near a thing's
 * edge. */
enum { TRAIN_NOTHING = KIND_COUNT, TRAIN_PATCH_CLASSES, TRAIN_UNSURE = -100 };
void train_patch_kinds(const struct scene *scene, float aspect, int grid, int64_t *out);
/* How badly a linear head tells these kinds from the patches' vectors, rows [..., width]. From captions alone, one hint per picture instead of one
 * per patch, shapes would take many times longer to learn. */
tt_tensor *train_patch_loss(tt_pool *p, const struct nn_linear *head, tt_tensor *rows, const int64_t *kinds);

/* ---- train_words.c: tokenizer files whose vocabulary holds every word of the grammar as one token and any other text as bytes or letters */

int train_write_text(const char *dir, const char *name, const char *text, struct error *err);
/* The start token, the text, the end token; a longer text loses its end. Returns how many of max. */
int train_tokens(const struct bpe *b, const char *text, int64_t *ids, int max);
/* dir's config.json, parsed; the caller calls json_decref. */
json_t *train_read_json(const char *dir, struct error *err);
/* vocab.json and merges.txt of a GPT-2 style byte-level BPE with BART's special tokens; *n: its entries. */
int train_write_gpt2(const char *dir, int *n, struct error *err);
/* vocab.json and merges.txt of CLIP's BPE. The last two ids are the start and the end token. */
int train_write_clip_bpe(const char *dir, int *n, struct error *err);
/* vocab.txt of a WordPiece tokenizer. */
int train_write_wordpiece(const char *dir, int *n, struct error *err);

/* ---- train_evaluate.c */

/* Opens the three folders under dir, or only one ("ofa"; NULL: all), as vramble does and prints the table of the model card. */
int train_evaluate(const char *dir, const char *only, struct error *err);

#endif
