/* test_locate.c - caches as other tools leave them, made on disk: names to folders, and what is said of one that is broken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/locate.h"
#include "tests/support/data.h"

#include <cmocka.h> /* last: it has a macro called fail */

#define COMMIT "3d74acf9a28c67741b2f4f2ea7635f0aaf6f0268"

static char home[] = "/tmp/test_locate.XXXXXX";

static void clear_environment(void)
{
	static const char *const names[] = {"HF_HUB_CACHE",   "HUGGINGFACE_HUB_CACHE", "HF_HOME",
					    "XDG_CACHE_HOME", "TRANSFORMERS_CACHE",    "MODELSCOPE_CACHE"};

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		unsetenv(names[i]);
	setenv("HOME", home, 1);
}

static int setup(void **state)
{
	return mkdtemp(home) ? 0 : -1;
}

static int teardown(void **state)
{
	data_shell("rm -rf %s", home);
	return 0;
}

/* Each test begins with an empty home. */
static int begin(void **state)
{
	data_shell("rm -rf %s/* %s/.cache", home, home);
	clear_environment();
	return 0;
}

/* A repository as huggingface_hub downloads it into hub, all below home. */
static void put_repository(const char *hub, const char *folder)
{
	data_shell("cd %s && mkdir -p %s/%s && cd %s/%s && mkdir -p blobs refs snapshots/" COMMIT " && printf " COMMIT
		   " > refs/main && cd blobs && printf '{}' > "
		   "aa && printf weights > bb && cd ../snapshots/" COMMIT
		   " && ln -s ../../blobs/aa config.json && ln -s ../../blobs/bb model.safetensors",
		   home, hub, folder, hub, folder);
}

static void finds(const char *name, const char *below)
{
	char *path, *wanted = xasprintf("%s/%s", home, below);
	struct error err = {0};
	int rc = locate_model(name, &path, &err);

	if (rc < 0)
		print_error("%s: %s\n", name, err.text);
	assert_int_equal(rc, 0);
	assert_string_equal(path, wanted);
	free(path);
	free(wanted);
}

static void refuses(const char *name, enum error_code code, const char *says)
{
	char *path = (char *)1;
	struct error err = {0};

	assert_int_equal(locate_model(name, &path, &err), -1);
	if (!strstr(err.text, says))
		print_error("wanted \"%s\", got \"%s\"\n", says, err.text);
	assert_non_null(strstr(err.text, says));
	assert_int_equal(err.code, code);
	assert_null(path);
}

static void test_paths(void **state)
{
	char *here = xasprintf("%s/here", home), *file = xasprintf("%s/here/ViT.pt", home), *link = xasprintf("%s/here/link", home);

	data_shell("mkdir %s && touch %s && ln -s there %s", here, file, link);
	finds(here, "here");
	finds(file, "here/ViT.pt");
	finds("~/here", "here");
	refuses("~/nowhere", E_IO, "/nowhere: No such file or directory");
	refuses(link, E_IO, "here/link: a link to there, which is not there");
	free(here);
	free(file);
	free(link);
}

static void test_hugging_face(void **state)
{
	static const char snapshot[] = "hub/models--openai--clip-vit-base-patch32/snapshots/" COMMIT;
	static const char *const variables[] = {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"};
	char *path;

	put_repository(".cache/huggingface/hub", "models--bert-base-uncased");
	finds("bert-base-uncased", ".cache/huggingface/hub/models--bert-base-uncased/snapshots/" COMMIT);
	put_repository("hub", "models--openai--clip-vit-base-patch32");
	refuses("openai/clip-vit-base-patch32", E_MODEL, ".cache/huggingface/hub/models--openai--clip-vit-base-patch32");
	for (size_t i = 0; i < 2; i++) {
		path = xasprintf("%s/hub", home);
		setenv(variables[i], path, 1);
		finds("openai/clip-vit-base-patch32", snapshot);
		refuses("bert-base-uncased", E_MODEL, "models--bert-base-uncased");
		unsetenv(variables[i]);
		free(path);
	}
	setenv("HF_HOME", home, 1);
	finds("openai/clip-vit-base-patch32", snapshot);
	setenv("HF_HOME", "~", 1);
	finds("openai/clip-vit-base-patch32", snapshot);
	setenv("HF_HOME", "$HOME", 1);
	finds("openai/clip-vit-base-patch32", snapshot);
	setenv("HF_HUB_CACHE", "${HOME}/hub", 1);
	finds("openai/clip-vit-base-patch32", snapshot);
	clear_environment();
	data_shell("mkdir -p %s/x/huggingface && mv %s/hub %s/x/huggingface/", home, home, home);
	path = xasprintf("%s/x", home);
	setenv("XDG_CACHE_HOME", path, 1);
	finds("openai/clip-vit-base-patch32", "x/huggingface/hub/models--openai--clip-vit-base-patch32/snapshots/" COMMIT);
	free(path);
}

static void test_broken_repository(void **state)
{
	static const char repository[] = ".cache/huggingface/hub/models--a--b", snapshot[] = ".cache/huggingface/hub/models--a--b/snapshots/" COMMIT;

	put_repository(".cache/huggingface/hub", "models--a--b");
	finds("a/b", snapshot);
	data_shell("rm %s/%s/blobs/bb", home, repository);
	refuses("a/b", E_MODEL, "model.safetensors: a link to ../../blobs/bb, which is not there");
	data_shell("rm %s/%s/model.safetensors && ln -s ../../blobs/cc %s/%s/README.md", home, snapshot, home, snapshot);
	finds("a/b", snapshot); /* a page about it is no part of the model */
	data_shell("rm %s/%s/refs/main", home, repository);
	finds("a/b", snapshot);
	data_shell("mkdir %s/%s/snapshots/another", home, repository);
	refuses("a/b", E_MODEL, "neither refs/main nor a single snapshot");
	data_shell("echo another > %s/%s/refs/main", home, repository);
	finds("a/b", ".cache/huggingface/hub/models--a--b/snapshots/another");
	data_shell("echo elsewhere > %s/%s/refs/main", home, repository);
	refuses("a/b", E_MODEL, "names version elsewhere, which is not there");
	data_shell("echo ../../../evil > %s/%s/refs/main", home, repository);
	refuses("a/b", E_MODEL, "neither refs/main");
}

static void test_revisions(void **state)
{
	static const char repository[] = ".cache/huggingface/hub/models--a--b", snapshot[] = ".cache/huggingface/hub/models--a--b/snapshots/" COMMIT;

	put_repository(".cache/huggingface/hub", "models--a--b");
	data_shell("cd %s/%s && mkdir snapshots/old && printf old > refs/v1", home, repository);
	finds("a/b", snapshot);
	finds("a/b@main", snapshot);
	finds("a/b@" COMMIT, snapshot);
	finds("a/b@v1", ".cache/huggingface/hub/models--a--b/snapshots/old");
	refuses("a/b@v2", E_MODEL, "has no revision v2: vramble models pull");
	refuses("a/b@", E_IO, "No such file");
	refuses("a/b@../x", E_IO, "No such file");
}

static void test_modelscope(void **state)
{
	static const char name[] = "damo/ofa_image-caption_coco_distilled_en";
	char *path = xasprintf("%s/scope", home);

	data_shell("mkdir -p %s/.cache/modelscope/hub/%s %s/.cache/modelscope/hub/models/iic/v1___5", home, name, home);
	finds(name, ".cache/modelscope/hub/damo/ofa_image-caption_coco_distilled_en");
	finds("iic/v1.5", ".cache/modelscope/hub/models/iic/v1___5");
	refuses("ofa_image-caption_coco_distilled_en", E_MODEL, "in a cache");
	setenv("MODELSCOPE_CACHE", path, 1);
	refuses(name, E_MODEL, "scope/[models/]damo/ofa_image-caption");
	data_shell("mkdir -p %s/hub/%s", path, name);
	finds(name, "scope/hub/damo/ofa_image-caption_coco_distilled_en");
	data_shell("mkdir -p %s/models/%s", path, name);
	finds(name, "scope/models/damo/ofa_image-caption_coco_distilled_en");
	free(path);
}

static void test_openai(void **state)
{
	data_shell("mkdir -p %s/.cache/clip && touch %s/.cache/clip/ViT-B-32.pt", home, home);
	finds("ViT-B/32", ".cache/clip/ViT-B-32.pt");
	finds("ViT-B-32", ".cache/clip/ViT-B-32.pt");
	refuses("RN50", E_MODEL, ".cache/clip/RN50.pt");
}

static void test_names(void **state)
{
	refuses("../evil", E_IO, "No such file");
	refuses("a/b/c", E_IO, "No such file");
	refuses("/no/such/folder", E_IO, "No such file");
	refuses("a/..", E_IO, "");
	refuses("-x", E_IO, "No such file");
	refuses("", E_IO, "No such file");
	refuses("a/b\x1b[31m", E_IO, "\\x1B");
}

static void test_list(void **state)
{
	struct located *list;

	assert_int_equal(locate_list(&list), 0);
	locate_free(list, 0);
	put_repository(".cache/huggingface/hub", "models--openai--clip-vit-base-patch32");
	put_repository(".cache/huggingface/hub", "models--a--broken");
	put_repository(".cache/huggingface/hub", "datasets--a--data");
	data_shell(
		"cd %s/.cache && rm huggingface/hub/models--a--broken/blobs/bb && mkdir -p modelscope/hub/models/iic/v1___5 modelscope/hub/damo/ofa "
		"clip && "
		"ln -s v1___5 modelscope/hub/models/iic/v1.5 && echo 1234 > modelscope/hub/models/iic/v1___5/config.json && echo 12 > "
		"modelscope/hub/damo/ofa/configuration.json && echo 123456 > clip/ViT-B-32.pt",
		home);
	assert_int_equal(locate_list(&list), 5);
	assert_string_equal(list[0].name, "ViT-B-32");
	assert_string_equal(list[0].source, "OpenAI");
	assert_int_equal(list[0].bytes, 7);
	assert_string_equal(list[1].name, "a/broken");
	assert_null(list[1].path);
	assert_non_null(strstr(list[1].problem, "blobs/bb"));
	assert_string_equal(list[2].name, "damo/ofa");
	assert_string_equal(list[3].name, "iic/v1.5");
	assert_int_equal(list[3].bytes, 5);
	assert_null(list[3].problem);
	assert_string_equal(list[4].name, "openai/clip-vit-base-patch32");
	assert_string_equal(list[4].source, "Hugging Face");
	assert_int_equal(list[4].bytes, 9);
	assert_non_null(list[4].path);
	locate_free(list, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_paths, begin),
		cmocka_unit_test_setup(test_hugging_face, begin),
		cmocka_unit_test_setup(test_broken_repository, begin),
		cmocka_unit_test_setup(test_revisions, begin),
		cmocka_unit_test_setup(test_modelscope, begin),
		cmocka_unit_test_setup(test_openai, begin),
		cmocka_unit_test_setup(test_names, begin),
		cmocka_unit_test_setup(test_list, begin),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
