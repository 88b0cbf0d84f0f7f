/* captioner.h - what the tests of captioners share: pictures to caption, captions in batches, and a watch over what is streamed. Header only. */
#ifndef TESTS_TORCH_CAPTIONER_H
#define TESTS_TORCH_CAPTIONER_H

#include "core/image.h"
#include "core/mem.h"
#include "core/utf8.h"
#include "tests/torch/row.h"

enum { CAPTIONER_PICTURES = 4 };

/* A picture by its seed, another size for each, prepared at `size` (0: the model's own). The caller frees its data. */
static inline struct pixels captioner_picture(struct model *m, int seed, int size)
{
	struct image image = {40 + seed, 50, xmalloc(3 * 50 * (40 + (size_t)seed))};
	struct pixels out = {0};
	struct error err = {0};

	for (int i = 0; i < image.width * image.height * 3; i++)
		image.rgb[i] = (uint8_t)(i * (7 + seed) + i / 97 * seed);
	if (vramble_models.prepare(m, &image, size, &out, &err) < 0)
		fail_msg("%s", err.text);
	image_free(&image);
	return out;
}

static inline struct caption_options captioner_options(int beams)
{
	return (struct caption_options){.beams = beams, .no_repeat_ngram = -1, .length_penalty = -1};
}

/* Captions of the pictures, at_once of them in a batch; frees the pictures' data. */
static inline void captioner_run(struct model *m, struct pixels pictures[CAPTIONER_PICTURES], struct caption out[CAPTIONER_PICTURES], int at_once,
				 const struct caption_options *options)
{
	const struct pixels *list[CAPTIONER_PICTURES];
	struct error err = {0};

	for (int i = 0; i < CAPTIONER_PICTURES; i++)
		list[i] = &pictures[i];
	for (int i = 0; i < CAPTIONER_PICTURES; i += at_once)
		if (vramble_models.caption(m, list + i, at_once, options, out + i, NULL, &err) < 0)
			fail_msg("%s", err.text);
	for (int i = 0; i < CAPTIONER_PICTURES; i++)
		free(pictures[i].data);
}

struct captioner_stream {
	char text[CAPTIONER_PICTURES][512];
	int calls[CAPTIONER_PICTURES], tokens[CAPTIONER_PICTURES];
};

/* caption_options.on_text, ctx a struct captioner_stream: what was shown only grows and is whole characters. */
static inline void captioner_on_text(void *ctx, int row, const char *text, int tokens)
{
	struct captioner_stream *s = ctx;

	assert_in_range(row, 0, CAPTIONER_PICTURES - 1);
	assert_true(utf8_valid(text, strlen(text)));
	assert_true(tokens >= s->tokens[row]);
	assert_memory_equal(text, s->text[row], strlen(s->text[row]));
	snprintf(s->text[row], sizeof s->text[row], "%s", text);
	s->tokens[row] = tokens;
	s->calls[row]++;
}

#endif
