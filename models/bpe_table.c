/* bpe_table.c - the one file in which OpenAI's CLIP keeps its tokenizer: bpe_simple_vocab_16e6.txt, mostly packed by gzip. */
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include "models/bpe_private.h"
#include "models/json.h"
#include "models/text.h"

/* The file lists far more merges than CLIP was trained with: what the letters, those that end words, the start and the end token leave open. */
enum { MERGES = BPE_TABLE_TOKENS - 2 * 256 - 2 };

static void *unpack_alloc(void *ctx, unsigned n, unsigned size)
{
	return xmalloc((size_t)n * size);
}

static void unpack_free(void *ctx, void *old)
{
	free(old);
}

static int unpack(const char *path, const char *packed, size_t size, struct buffer *out, struct error *err)
{
	unsigned char part[16 * 1024];
	z_stream z = {.next_in = (Bytef *)packed, .avail_in = (uInt)size, .zalloc = unpack_alloc, .zfree = unpack_free};
	int status = inflateInit2(&z, MAX_WBITS + 16); /* 16: gzip's header and checksum */

	while (status == Z_OK && out->length <= JSON_LIMIT) {
		z.next_out = part;
		z.avail_out = sizeof part;
		status = inflate(&z, Z_NO_FLUSH);
		buffer_add(out, part, sizeof part - z.avail_out);
	}
	inflateEnd(&z);
	if (out->length > JSON_LIMIT)
		return fail(err, E_LIMIT, "%s: unpacked it exceeds the limit of %.0f MB", path, JSON_LIMIT / 1e6);
	if (status != Z_STREAM_END || z.avail_in > 0)
		return fail(err, E_FORMAT, "%s: this is no whole gzip file (%s); download it again", path,
			    z.msg                    ? z.msg
			    : status == Z_STREAM_END ? "something follows its end"
						     : "it ends too early");
	return 0;
}

static int read_text(const char *path, struct buffer *out, struct error *err)
{
	size_t size, length = strlen(path);
	char *data = json_read_bytes(path, JSON_LIMIT, &size, err);
	int result = 0;

	if (!data)
		return -1;
	if (length > 3 && strcmp(path + length - 3, ".gz") == 0)
		result = unpack(path, data, size, out, err);
	else
		buffer_add(out, data, size);
	free(data);
	return result;
}

/* As the next id: a piece that is there already would shift all that follow, and is refused. */
static int add_piece(struct vocab *vocab, const struct buffer *piece, const char *path, struct error *err)
{
	return vocab_add(vocab, piece->text, piece->length, (int64_t)vocab_size(vocab), path, err) < 0 ? -1 : 0;
}

/* The byte alphabet, each letter with an ending: letters that are their own byte first, which is the order of their code points. */
static int add_letters(struct vocab *vocab, const char *ending, const char *path, struct error *err)
{
	for (uint32_t letter = 0; letter < 0x100 + 68; letter++) {
		struct buffer piece = {0};
		int result = 0;

		if (letter < 0x100 && bpe_letter((int)letter) != letter)
			continue;
		text_put_codes(&piece, &letter, 1);
		buffer_puts(&piece, ending);
		result = add_piece(vocab, &piece, path, err);
		buffer_free(&piece);
		if (result < 0)
			return -1;
	}
	return 0;
}

/* What a line of two pieces merges to: the line without its blank. */
static int add_merged(struct vocab *vocab, const char *line, size_t length, const char *path, struct error *err)
{
	const char *blank = memchr(line, ' ', length);
	struct buffer piece = {0};
	int result;

	if (!blank)
		return fail(err, E_FORMAT, "%s: \"%.*s\" is not two pieces", path, (int)length, line);
	buffer_add(&piece, line, (size_t)(blank - line));
	buffer_add(&piece, blank + 1, length - (size_t)(blank - line) - 1);
	result = add_piece(vocab, &piece, path, err);
	buffer_free(&piece);
	return result;
}

/* Lines 2 to 48895, or as many as there are; each is also left in *merges. */
static int add_merges(struct vocab *vocab, const struct buffer *text, struct buffer *merges, const char *path, struct error *err)
{
	const char *at = text->text, *end = at + text->length, *line;
	size_t length;

	bpe_next_line(&at, end, &line, &length); /* a title */
	for (int i = 0; i < MERGES && bpe_next_line(&at, end, &line, &length); i++) {
		if (add_merged(vocab, line, length, path, err) < 0)
			return -1;
		buffer_add(merges, line, length);
		buffer_puts(merges, "\n");
	}
	return 0;
}

int bpe_read_table(const char *path, struct vocab *vocab, struct buffer *merges, struct error *err)
{
	struct buffer text = {0};
	int result = -1;

	buffer_puts(merges, "");
	buffer_puts(&text, "");
	if (read_text(path, &text, err) == 0 && add_letters(vocab, "", path, err) == 0 && add_letters(vocab, "</w>", path, err) == 0 &&
	    add_merges(vocab, &text, merges, path, err) == 0 &&
	    add_piece(vocab, &(struct buffer){.text = "<|startoftext|>", .length = 15}, path, err) == 0)
		result = add_piece(vocab, &(struct buffer){.text = "<|endoftext|>", .length = 13}, path, err);
	buffer_free(&text);
	return result;
}
