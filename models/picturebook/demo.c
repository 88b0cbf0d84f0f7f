/* demo.c - demo-scenes OUTDIR: draws the demo's pictures into a folder, always the same ones, over those of an earlier run. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STBI_WRITE_NO_STDIO
#include <stb/stb_image_write.h>

#include "models/picturebook/grammar.h"

#define COUNT(a)     ((int)(sizeof(a) / sizeof(a)[0]))
#define JPEG_QUALITY 92
#define BROKEN_BYTES 400 /* ends within the tables: the size can be read, the pixels cannot */

static const char *const captions[] = {
	"a red ball left of a blue cat on grass",
	"a yellow star under a night sky",
	"a white boat by the sea",
	"a brown dog beside an orange cat in a room",
	"a green tree right of a red apple on grass",
	"a pink umbrella in the snow",
	"a purple butterfly above a yellow flower on grass",
	"a white moon above a red house and a black cat under a night sky",
	"a blue car left of a green tree and a yellow duck on grass",
	"a red mushroom below a brown snail on grass",
	"an orange fish by the sea",
	"a black hat on sand",
	"a purple kite above a red boat by the sea",
	"a white rocket under a night sky",
	"a green book beside a blue cup in a room",
	"a yellow duck right of an orange fish by the sea",
	"a brown castle on sand",
	"a red balloon above a white dog in the snow",
	"an orange balloon beside a blue kite",
	"a pink cake in a room",
	"a yellow sun above a green mushroom and a pink flower on grass",
	"a red heart",
	"a black bird right of a yellow key in the snow",
	"a blue clock left of a white book in a room",
	"a green chair beside a purple bell and a red cup",
	"a yellow bell",
	"an orange umbrella left of a purple snail on sand",
	"a brown bird below a white moon under a night sky",
	"a blue house in the snow",
	"a green apple beside a red mushroom",
	"a pink duck beside a white snail",
	"a red rocket right of a yellow moon and a blue star under a night sky",
	"a white cat below a purple balloon in a room",
	"an orange kite",
	"a black car beside a red boat",
	"a brown chair left of a green clock in a room",
	"a blue butterfly beside a pink flower",
	"a purple castle below an orange sun on sand",
	"a yellow hat above a green snail in the snow",
	"a white flower on grass",
	"a red fish left of a yellow boat and a black bird by the sea",
	"a brown book",
	"a green kite beside a red balloon and a yellow star",
	"a purple apple below a white butterfly and a brown bird in a room",
	"an orange cat in the snow",
	"a blue key above a pink heart",
};

static const struct {
	int width, height;
} sizes[] = {{640, 480}, {480, 640}, {800, 600}, {240, 180}, {1600, 900}, {512, 512}, {600, 800}, {320, 240}, {1024, 768}, {720, 1080}, {1280, 720}};

static int write_file(const char *folder, const char *name, const struct buffer *bytes, struct error *err)
{
	char *path = xasprintf("%s/%s", folder, name);
	FILE *f = fopen(path, "wb");
	bool written = f && fwrite(bytes->text, 1, bytes->length, f) == bytes->length;
	written = f && fclose(f) == 0 && written;
	int rc = written ? 0 : fail(err, E_IO, "%s: %s", path, strerror(errno));
	free(path);
	return rc;
}

static void collect(void *context, void *data, int size)
{
	buffer_add(context, data, (size_t)size);
}

static void encode(struct buffer *out, bool png, int width, int height, const uint8_t *rgb)
{
	if (png)
		stbi_write_png_to_func(collect, out, width, height, 3, rgb, width * 3);
	else
		stbi_write_jpg_to_func(collect, out, width, height, 3, rgb, JPEG_QUALITY);
}

/* "a red ball left of a blue cat" -> "red-ball-left-of-blue-cat" */
static char *file_stem(const char *caption)
{
	struct buffer b = {0};
	char copy[CAPTION_MAX], *rest = copy;
	snprintf(copy, sizeof copy, "%s", caption);
	for (char *word; (word = strtok_r(rest, " ", &rest));)
		if (strcmp(word, "a") != 0 && strcmp(word, "an") != 0)
			buffer_printf(&b, "%s%s", b.length ? "-" : "", word);
	return b.text;
}

static int read_caption(const char *caption, uint64_t seed, struct scene *scene, struct error *err)
{
	if (caption_parse(caption, scene, err) < 0)
		return -1;
	scene_arrange(scene, seed);
	return 0;
}

static int draw_one(const char *folder, int i, struct error *err)
{
	struct scene scene;
	struct buffer bytes = {0};
	int width = sizes[i % COUNT(sizes)].width, height = sizes[i % COUNT(sizes)].height;
	bool png = i % 3 == 0;
	if (read_caption(captions[i], (uint64_t)i + 1, &scene, err) < 0)
		return -1;
	uint8_t *rgb = xmalloc((size_t)width * (size_t)height * 3);
	scene_paint(&scene, width, height, rgb);
	encode(&bytes, png, width, height, rgb);
	char *stem = file_stem(captions[i]), *name = xasprintf("%s.%s", stem, png ? "png" : "jpg");
	int rc = write_file(folder, name, &bytes, err);
	free(name);
	free(stem);
	free(rgb);
	buffer_free(&bytes);
	return rc;
}

/* A quarter turn to the left, which orientation 6 ("turn right to view") undoes. */
static void turn_left(const uint8_t *upright, int width, int height, uint8_t *turned)
{
	for (int y = 0; y < width; y++)
		for (int x = 0; x < height; x++)
			memcpy(turned + ((size_t)y * (size_t)height + (size_t)x) * 3,
			       upright + ((size_t)x * (size_t)width + (size_t)(width - 1 - y)) * 3, 3);
}

/* A picture as phones store it: pixels lying on their side, and an Exif block (Exif 2.32, 4.5.4: a TIFF header and one IFD) that says so. */
static int draw_turned(const char *folder, struct error *err)
{
	static const uint8_t exif[] = {
		0xff, 0xe1, 0, 34, 'E', 'x', 'i', 'f', 0, 0,             /* APP1, its length */
		'M',  'M',  0, 42, 0,   0,   0,   8,                     /* big-endian TIFF, first IFD at 8 */
		0,    1,    1, 18, 0,   3,   0,   0,   0, 1, 0, 6, 0, 0, /* one entry: Orientation, SHORT, one value, 6 */
		0,    0,    0, 0,                                        /* no further IFD */
	};
	enum { WIDTH = 600, HEIGHT = 800 };
	struct scene scene;
	struct buffer jpeg = {0}, bytes = {0};
	if (read_caption("a blue bird above a brown castle on grass", 77, &scene, err) < 0)
		return -1;
	uint8_t *upright = xmalloc(WIDTH * HEIGHT * 3), *turned = xmalloc(WIDTH * HEIGHT * 3);
	scene_paint(&scene, WIDTH, HEIGHT, upright);
	turn_left(upright, WIDTH, HEIGHT, turned);
	encode(&jpeg, false, HEIGHT, WIDTH, turned);
	buffer_add(&bytes, jpeg.text, 2);
	buffer_add(&bytes, exif, sizeof exif);
	buffer_add(&bytes, jpeg.text + 2, jpeg.length - 2);
	int rc = write_file(folder, "blue-bird-above-brown-castle-on-grass.jpg", &bytes, err);
	buffer_free(&jpeg);
	buffer_free(&bytes);
	free(upright);
	free(turned);
	return rc;
}

static int draw_broken(const char *folder, struct error *err)
{
	enum { SIDE = 64 };
	struct scene scene;
	struct buffer bytes = {0};
	uint8_t rgb[SIDE * SIDE * 3];
	scene_random(&scene, 1, NULL);
	scene_paint(&scene, SIDE, SIDE, rgb);
	encode(&bytes, false, SIDE, SIDE, rgb);
	bytes.length = BROKEN_BYTES;
	int rc = write_file(folder, "broken.jpg", &bytes, err);
	buffer_free(&bytes);
	return rc;
}

static int draw_all(const char *folder, struct error *err)
{
	if (mkdir(folder, 0777) < 0 && errno != EEXIST)
		return fail(err, E_IO, "%s: %s", folder, strerror(errno));
	for (int i = 0; i < COUNT(captions); i++)
		if (draw_one(folder, i, err) < 0)
			return -1;
	return draw_turned(folder, err) < 0 || draw_broken(folder, err) < 0 ? -1 : 0;
}

int main(int argc, char **argv)
{
	struct error err = {0};
	if (argc != 2 || argv[1][0] == '-') {
		fprintf(stderr, "usage: demo-scenes OUTDIR\n");
		return 2;
	}
	if (draw_all(argv[1], &err) < 0) {
		fprintf(stderr, "demo-scenes: %s\n", err.text);
		return 1;
	}
	printf("%s: %d scenes, one of them lying on its side (Exif), and broken.jpg\n", argv[1], COUNT(captions) + 1);
	return 0;
}
