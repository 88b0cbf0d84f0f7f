#include "models/picturebook/train.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/utf8.h"
#include "models/json.h"

/* The merges of a byte-pair vocabulary that make every word of the grammar one token.
 *
 * A word's merges grow from one end: in the GPT-2 way each left part begins with the blank in front of the word, in the CLIP way each right part
 * ends with the "</w>" behind it. So no merge can apply inside a word, whatever the ranks, and a word that is not known falls apart into its bytes
 * but for one end. */
struct merges {
	json_t *vocabulary;
	struct buffer text; /* of merges.txt */
	int n;              /* entries of the vocabulary so far */
};

/* The words of captions and of what is asked about them, and those of prompts; each once. Free with free_words. */
struct words {
	char *text;
	char **word;
	int n;
};

static const char prompt_words[] = "a\nphoto\nof\nwhat\ndoes\nthe\nimage\ndescribe\ndepicts\nexample\nis\n";

static bool holds(const struct words *w, const char *word)
{
	for (int i = 0; i < w->n; i++) {
		if (strcmp(w->word[i], word) == 0)
			return true;
	}
	return false;
}

static struct words read_words(void)
{
	struct words w = {0};
	struct buffer text = {0};
	scene_words(&text);
	buffer_puts(&text, prompt_words);
	w.text = text.text;
	w.word = xcalloc(text.length, sizeof *w.word);
	char *rest = text.text;
	for (char *word; (word = strtok_r(rest, "\n", &rest));) {
		if (!holds(&w, word))
			w.word[w.n++] = word;
	}
	return w;
}

static void free_words(struct words *w)
{
	free(w->word);
	free(w->text);
}

int train_write_text(const char *dir, const char *name, const char *text, struct error *err)
{
	char *path = xasprintf("%s/%s", dir, name);
	FILE *f = fopen(path, "w");
	bool written = f && fputs(text, f) != EOF;
	if (f && fclose(f) != 0)
		written = false;
	int status = written ? 0 : fail(err, E_IO, "%s: writing failed: %s", path, strerror(errno));
	free(path);
	return status;
}

static void add(struct merges *m, const char *token)
{
	if (!json_object_get(m->vocabulary, token))
		json_object_set_new(m->vocabulary, token, json_integer(m->n++));
}

static void add_merge(struct merges *m, const char *left, const char *right)
{
	char *token = xasprintf("%s%s", left, right);
	if (!json_object_get(m->vocabulary, token)) {
		buffer_printf(&m->text, "%s %s\n", left, right);
		add(m, token);
	}
	free(token);
}

/* The printable character that stands for a byte in both byte-level alphabets: itself where it is printable in Latin-1, else one from U+0100 up. */
static bool stands_for_itself(int byte)
{
	return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

static void byte_character(int byte, char out[8])
{
	uint32_t code = (uint32_t)byte;
	if (!stands_for_itself(byte)) {
		code = 0x100;
		for (int b = 0; b < byte; b++)
			code += !stands_for_itself(b);
	}
	out[utf8_encode(code, out)] = '\0';
}

/* All 256, first those that stand for themselves: CLIP's order of ids. */
static void add_alphabet(struct merges *m, const char *suffix)
{
	for (int pass = 0; pass < 2; pass++) {
		for (int byte = 0; byte < 256; byte++) {
			if (stands_for_itself(byte) != (pass == 0))
				continue;
			char text[8];
			byte_character(byte, text);
			char *token = xasprintf("%s%s", text, suffix);
			add(m, token);
			free(token);
		}
	}
}

static void add_word_from_front(struct merges *m, const char *word)
{
	char blank[8], *done;
	byte_character(' ', blank);
	done = xstrdup(blank);
	for (const char *c = word; *c; c++) {
		char next[2] = {*c, '\0'};
		add_merge(m, done, next);
		char *longer = xasprintf("%s%s", done, next);
		free(done);
		done = longer;
	}
	free(done);
}

static void add_word_from_back(struct merges *m, const char *word)
{
	size_t n = strlen(word);
	for (size_t i = n - 1; i-- > 0;) {
		char previous[2] = {word[i], '\0'};
		char *done = xasprintf("%s</w>", word + i + 1);
		add_merge(m, previous, done);
		free(done);
	}
}

static int write_merges(struct merges *m, const char *dir, int *n, struct error *err)
{
	char *vocabulary = json_dumps(m->vocabulary, JSON_ENSURE_ASCII | JSON_INDENT(0));
	int status = train_write_text(dir, "vocab.json", vocabulary, err);
	if (status == 0)
		status = train_write_text(dir, "merges.txt", m->text.text, err);
	*n = m->n;
	free(vocabulary);
	json_decref(m->vocabulary);
	buffer_free(&m->text);
	return status;
}

int train_write_gpt2(const char *dir, int *n, struct error *err)
{
	static const char *const special[] = {"<s>", "<pad>", "</s>", "<unk>"};
	struct merges m = {.vocabulary = json_object()};
	buffer_puts(&m.text, "#version: 0.2\n");
	for (size_t i = 0; i < sizeof special / sizeof *special; i++)
		add(&m, special[i]);
	add_alphabet(&m, "");
	struct words words = read_words();
	for (int i = 0; i < words.n; i++)
		add_word_from_front(&m, words.word[i]);
	free_words(&words);
	add(&m, "<mask>");
	return write_merges(&m, dir, n, err);
}

int train_write_clip_bpe(const char *dir, int *n, struct error *err)
{
	struct merges m = {.vocabulary = json_object()};
	buffer_puts(&m.text, "#version: 0.2\n");
	add_alphabet(&m, "");
	add_alphabet(&m, "</w>");
	struct words words = read_words();
	for (int i = 0; i < words.n; i++)
		add_word_from_back(&m, words.word[i]);
	free_words(&words);
	add(&m, "<|startoftext|>");
	add(&m, "<|endoftext|>");
	return write_merges(&m, dir, n, err);
}

static bool line_known(const struct buffer *lines, const char *word)
{
	char *line = xasprintf("\n%s\n", word);
	bool known = strstr(lines->text, line);
	free(line);
	return known;
}

int train_write_wordpiece(const char *dir, int *n, struct error *err)
{
	struct buffer lines = {0};
	buffer_puts(&lines, "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n");
	for (int c = 0x21; c < 0x7f; c++) {
		if (c >= 'A' && c <= 'Z')
			continue;
		buffer_printf(&lines, "%c\n", c);
		if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
			buffer_printf(&lines, "##%c\n", c);
	}
	struct words words = read_words();
	for (int i = 0; i < words.n; i++) {
		if (!line_known(&lines, words.word[i]))
			buffer_printf(&lines, "%s\n", words.word[i]);
	}
	free_words(&words);
	*n = 0;
	for (size_t i = 0; i < lines.length; i++)
		*n += lines.text[i] == '\n';
	int status = train_write_text(dir, "vocab.txt", lines.text, err);
	buffer_free(&lines);
	return status;
}

int train_tokens(const struct bpe *b, const char *text, int64_t *ids, int max)
{
	int32_t *narrow = xcalloc((size_t)max, sizeof *narrow);
	int n = bpe_encode(b, text, strlen(text), 0, narrow, max, NULL, NULL);
	for (int i = 0; i < n; i++)
		ids[i] = narrow[i];
	free(narrow);
	return n;
}

json_t *train_read_json(const char *dir, struct error *err)
{
	char *path = xasprintf("%s/config.json", dir);
	json_t *json = json_read(path, JSON_LIMIT, err);
	free(path);
	return json;
}
