/* model.h - the one small table of functions by which core and tui know models. Header only.
 *
 * The table (`vramble_models`) is the only symbol exported by libvramble-torch.so, which a background thread opens after the first frame; tests hand the
 * engine a fake one. Threads: `start`, `open`, `close` and everything that takes a model runs on the lane that owns the model, except where a function
 * says "any thread". Memory readings are for any thread and never wait for a lane.
 */
#ifndef CORE_MODEL_H
#define CORE_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/error.h"

struct image;

enum model_kind {
	MODEL_SCORES,  /* CLIP: pictures and texts to one space */
	MODEL_CAPTION, /* OFA, BLIP: picture to sentence */
	MODEL_NLI,     /* BERT: premise and hypothesis to verdict */
	MODEL_KINDS
};

/* AUTOCAST: weights in fp32, products in bf16 (CPU) or fp16 (CUDA), all else in fp32. */
enum precision { PRECISION_AUTO, PRECISION_FP32, PRECISION_BF16, PRECISION_FP16, PRECISION_AUTOCAST, PRECISIONS };

/* Owners of memory are 1 .. MODEL_OWNERS - 1 (the engine gives a lane kind + 1); 0 is what belongs to no model. */
enum { DEVICE_CPU = -1, MODEL_OWNERS = 8 };

/* How a running model is stopped and takes turns. check is called on the lane's thread at every half layer and decode step; non-zero stops the call,
 * which then fails with E_CANCELLED. It may block (a lane that waits for its turn). All members may be NULL. */
struct model_control {
	int (*check)(void *ctx);
	void (*progress)(void *ctx, int64_t done, int64_t total); /* bytes of weights while opening */
	void *ctx;
};

struct model_info {
	enum model_kind kind;
	char architecture[32]; /* "clip", "ofa", "blip", … */
	char name[128];        /* the directory's last part */
	char precision[16];    /* dtype of the weights on disk: "fp32", "fp16", "bf16", "mixed" */
	int64_t parameters;    /* unique values */
	int64_t weight_bytes;  /* of those values on disk */
	int tensors;
	int image_size; /* the model's own, pixels; 0 for text models */
	int image_step; /* image_size may be changed in steps of this; 0: fixed */
	int image_max;  /* largest image size the position table allows */
	int embed_size; /* of the shared space (MODEL_SCORES) */
	bool sigmoid;   /* MODEL_SCORES: each label has a probability of its own, sigmoid(scale * cosine + bias), and they need not sum to 1 */
	int context;    /* longest text in tokens */
	int vocabulary;
	int layers[2]; /* image/encoder, text/decoder */
	int width[2];
	char notes[256]; /* e.g. the label order and where it comes from */
};

/* A prepared picture: CHW fp32, owned by whoever holds it; free(pixels). */
struct pixels {
	float *data;
	int channels, height, width;
};

struct caption_options {
	int beams;             /* 1 = greedy */
	int max_length;        /* tokens without bos; 0 = the model's own */
	int min_length;        /* 0 = the model's own */
	int no_repeat_ngram;   /* -1 = the model's own */
	double length_penalty; /* < 0 = the model's own */
	/* Called on the lane as tokens settle (are shared by all live beams): the caption so far for picture `row` of the batch. May be NULL. */
	void (*on_text)(void *ctx, int row, const char *text, int tokens);
	void *ctx;
};

struct caption {
	char text[512]; /* post-processed, UTF-8 */
	int tokens;     /* generated, with eos */
	float score;    /* mean log-probability per token */
};

struct text_pair {
	const char *premise, *hypothesis;
};

struct verdict {
	float entailment, neutral, contradiction; /* sum to 1; neutral is 0 for two-way models */
	float logit;                              /* of entailment, as the network gave it: comparable between the labels of one premise */
};

/* Since when the most is kept. */
enum memory_peak { PEAK_START, PEAK_CHANGE, PEAK_BATCH, PEAKS };

/* What tensors hold, in bytes. On a CPU from our counting allocator, under CUDA from the caching allocator and the device. */
struct memory_reading {
	int64_t used, cached, cap;
	int64_t peak[PEAKS];               /* most of `used` since the start, the last change of settings, the last batch's begin */
	int64_t weights[MODEL_OWNERS];     /* of used: a model's weights, but for those that are mapped from their file */
	int64_t kv[MODEL_OWNERS];          /* of used: a decoder's key and value caches */
	int64_t device_total, device_free; /* the device, 0 before this process used it; on a CPU MemTotal and MemAvailable */
	int64_t refused;                   /* allocations that the cap refused */
};

struct device_info {
	char name[96];      /* "CPU, 2 threads", "cuda:0 NVIDIA H200" */
	char id[64];        /* under CUDA the PCI address or UUID, else empty */
	bool bf16, fp16;    /* worth offering here */
	double blas_gflops; /* measured on a CPU; 0 unknown */
	int64_t total;      /* bytes of memory */
};

/* What a run will hold, before it runs: bytes on the device, beside what is there already. */
struct forecast_request {
	enum precision precision; /* AUTO: what it comes to on that device */
	int device;
	int batch;      /* pictures, or pairs of texts */
	int image_size; /* pixels; 0 = the model's own */
	int beams;      /* captioners */
	int tokens;     /* of texts or captions; 0 = the longest possible; MODEL_SCORES: of texts that may be more than the pictures; 0 = none */
};
struct forecast {
	int64_t weights;     /* exactly, where they stand on the device */
	int64_t mapped;      /* of the model's weights, bytes used from the file in place; not in weights */
	int64_t activations; /* most at any moment of a run, key and value caches left out */
	int64_t kv;          /* the caches when they are largest, at the end of a run */
	int64_t together;    /* most of both at any one moment; they need not be largest at the same time. 0: their sum */
};

/* How numbers come about; applied on the lane's thread. */
struct model_tuning {
	uint64_t seed;
	bool deterministic; /* only kernels that give the same bits each time */
	bool benchmark;     /* cuDNN tries kernels and keeps the fastest */
	int threads;        /* intra-op; 0 = CPUs we may use */
};

enum { MODEL_LIBRARY_ABI = 4 };

struct model;

struct model_library {
	int abi; /* MODEL_LIBRARY_ABI */

	/* Once, first of all, on any one thread. threads: intra-op, 0 = CPUs we may use. */
	int (*start)(int threads, struct error *err);
	const char *(*version)(void);                       /* "libtorch 1.13.1"; any thread */
	int (*devices)(void);                               /* CUDA devices; any thread after start */
	int (*device)(int device, struct device_info *out); /* any thread after start */
	/* 0 when a model can stand there; else the reason and the fix: "libtorch was built without CUDA: …". Any thread after start; may take long. */
	int (*usable)(int device, struct error *err);
	/* Takes effect on the calling lane's next run. */
	int (*tune)(const struct model_tuning *tuning, struct error *err);

	/* Reads config.json and the headers of the weights, loads nothing. Any thread, also before start. */
	int (*inspect)(const char *dir, struct model_info *out, struct error *err);
	/* The model without weights, which it never gets: for info and forecast, then close. Reads what inspect reads, loads nothing. Any thread. */
	struct model *(*configure)(const char *dir, struct error *err);

	/* Opens the model directory dir (Hugging Face layout). owner: this model's line in memory_reading. The error names everything that is missing. */
	struct model *(*open)(const char *dir, int device, enum precision precision, int owner, const struct model_control *control,
			      struct error *err);
	void (*close)(struct model *m);                          /* NULL is fine */
	const struct model_info *(*info)(const struct model *m); /* borrowed; any thread */
	/* The precision in use after AUTO and what the device can do were weighed; any thread. */
	enum precision (*precision)(const struct model *m);
	/* Moves the weights to that device and precision (reads them anew where that is needed); also brings an evicted model back. Where old and new do not
	 * fit side by side the old ones go first. On failure the model stays as it was, or, when even that finds no room, is left evicted. */
	int (*place)(struct model *m, int device, enum precision precision, const struct model_control *control, struct error *err);
	void (*evict)(struct model *m);          /* frees the weights; info, prepare and forecast go on working. Running it fails with E_MEMORY */
	bool (*resident)(const struct model *m); /* any thread */
	/* What running it so would hold; from the architecture alone, also while evicted. Any thread. */
	void (*forecast)(const struct model *m, const struct forecast_request *request, struct forecast *out);

	/* Upright RGB8 to the model's input. No libtorch, any thread. image_size 0 = the model's own; otherwise rounded to what the model can do. */
	int (*prepare)(const struct model *m, const struct image *image, int image_size, struct pixels *out, struct error *err);

	/* MODEL_SCORES: n prepared pictures of equal shape, or n texts, to unit vectors out[n][embed_size]. */
	int (*embed_images)(struct model *m, const struct pixels *const *pictures, int n, float *out, const struct model_control *control,
			    struct error *err);
	int (*embed_texts)(struct model *m, const char *const *texts, int n, float *out, const struct model_control *control, struct error *err);
	float (*logit_scale)(const struct model *m); /* exp of the stored value; any thread */
	float (*logit_bias)(const struct model *m);  /* 0 unless info->sigmoid; any thread */

	/* MODEL_CAPTION: n prepared pictures of equal shape to out[n]. */
	int (*caption)(struct model *m, const struct pixels *const *pictures, int n, const struct caption_options *options, struct caption *out,
		       const struct model_control *control, struct error *err);

	/* MODEL_NLI: n pairs to out[n]. Texts are taken literally: "[SEP]" in a label is text. */
	int (*classify)(struct model *m, const struct text_pair *pairs, int n, struct verdict *out, const struct model_control *control,
			struct error *err);

	/* Any thread; never waits for a lane. */
	void (*memory)(int device, struct memory_reading *out);
	void (*memory_reset_peak)(int device, enum memory_peak which);
	void (*memory_set_cap)(int device, int64_t bytes); /* 0 lifts it; refuses further allocations, which fail with E_MEMORY */
	void (*memory_trim)(int device);                   /* gives cached blocks back */
};

#endif
