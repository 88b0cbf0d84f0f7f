/* unigram_spm.h - the table that the shared object around the sentencepiece library exports: inside unigram.c and unigram_spm.cpp. */
#ifndef MODELS_UNIGRAM_SPM_H
#define MODELS_UNIGRAM_SPM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { UNIGRAM_LIBRARY_ABI = 1 };

struct unigram_library {
	int abi; /* UNIGRAM_LIBRARY_ABI */
	/* A serialised model, copied; NULL with a message. */
	void *(*load)(const char *bytes, size_t size, char *message, size_t room);
	void (*free)(void *processor);
	int (*size)(const void *processor);
	int32_t (*find)(const void *processor, const char *piece); /* the unknown piece's id for what is none */
	int32_t (*unknown)(const void *processor);
	/* Calls put for each id in order; 0/-1 with a message. */
	int (*encode)(const void *processor, const char *text, size_t length, void (*put)(void *ctx, int32_t id), void *ctx, char *message,
		      size_t room);
};

extern const struct unigram_library vramble_unigram __attribute__((visibility("default"))); /* the one symbol that it exports */

#ifdef __cplusplus
}
#endif
#endif
