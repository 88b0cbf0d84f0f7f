/* http_hub.c - see http_hub.h. */
#include "tests/support/http_hub.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "tests/support/data.h"

/* ---- lists */

static char *list_hugging_face(const struct http_hub *hub)
{
	json_t *siblings = json_array(), *root;
	char *text;

	for (int i = 0; i < hub->n; i++) {
		const struct http_hub_file *f = &hub->files[i];
		json_t *entry = json_pack("{s:s, s:I, s:s}", "rfilename", f->listed_path, "size", (json_int_t)f->listed_size, "blobId",
					  f->lfs ? HTTP_HUB_COMMIT : f->listed_sum);

		if (f->lfs)
			json_object_set_new(
				entry, "lfs",
				json_pack("{s:s, s:I, s:i}", "sha256", f->listed_sum, "size", (json_int_t)f->listed_size, "pointerSize", 134));
		json_array_append_new(siblings, entry);
	}
	root = json_pack("{s:s, s:s, s:b, s:o}", "id", HTTP_HUB_NAME, "sha", HTTP_HUB_COMMIT, "gated", hub->token != NULL, "siblings", siblings);
	text = json_dumps(root, 0);
	json_decref(root);
	return text;
}

static char *list_modelscope(const struct http_hub *hub)
{
	json_t *files = json_array(), *root;
	char *text;

	json_array_append_new(files, json_pack("{s:s, s:s, s:i}", "Path", "onnx", "Type", "tree", "Size", 0));
	for (int i = 0; i < hub->n; i++) {
		const struct http_hub_file *f = &hub->files[i];

		json_array_append_new(files, json_pack("{s:s, s:s, s:s, s:I}", "Path", f->listed_path, "Type", "blob", "Sha256",
						       f->lfs ? f->listed_sum : "", "Size", (json_int_t)f->listed_size));
	}
	root = json_pack("{s:i, s:{s:o}, s:b}", "Code", 200, "Data", "Files", files, "Success", 1);
	text = json_dumps(root, 0);
	json_decref(root);
	return text;
}

/* ---- answers */

static void refuse(struct http_hub *hub, struct http_reply *reply, int status)
{
	static const char page[] = "<html>no</html>";

	reply->status = status;
	reply->body = page;
	reply->size = sizeof page - 1;
	snprintf(reply->headers, sizeof reply->headers, "%s", hub->headers ? hub->headers : "");
}

static struct http_hub_file *file_of(struct http_hub *hub, const char *path)
{
	for (int i = 0; i < hub->n; i++)
		if (strcmp(hub->files[i].path, path) == 0)
			return &hub->files[i];
	return NULL;
}

static void send_file(struct http_hub *hub, const struct http_request *request, struct http_hub_file *file, struct http_reply *reply)
{
	file->sent++;
	hub->ranges += request->from > 0;
	reply->body = file->bytes;
	reply->size = file->size;
	reply->cut = hub->cut;
	reply->whole = hub->whole;
	reply->no_length = hub->no_length;
	reply->pause_us = hub->pause_us;
}

static void answer_file(struct http_hub *hub, const struct http_request *request, const char *path, struct http_reply *reply)
{
	struct http_hub_file *file = file_of(hub, path);

	hub->downloads++;
	if (hub->file_failures) {
		hub->file_failures -= hub->file_failures > 0;
		refuse(hub, reply, hub->file_status);
	} else if (!file) {
		hub->missed++;
		refuse(hub, reply, 404);
	} else if (hub->token && (!request->authorization || strcmp(request->authorization, hub->token) != 0)) {
		snprintf(reply->headers, sizeof reply->headers, "X-Error-Code: GatedRepo\r\n");
		reply->status = 401;
	} else if (hub->redirect) {
		reply->status = 302;
		snprintf(reply->headers, sizeof reply->headers, "Location: %s/store/%s\r\n", http_server_url(hub->store), path);
	} else {
		send_file(hub, request, file, reply);
	}
}

static void answer_list(struct http_hub *hub, char *list, struct http_reply *reply)
{
	char *text = hub->list_text ? xstrdup(hub->list_text) : list;

	if (text != list)
		free(list);
	if (hub->list_status)
		refuse(hub, reply, hub->list_status);
	reply->body = reply->owned = text;
	reply->size = strlen(text);
}

/* What follows prefix in the target; NULL if that begins otherwise. */
static const char *after(const char *target, const char *prefix)
{
	size_t n = strlen(prefix);

	return strncmp(target, prefix, n) == 0 ? target + n : NULL;
}

static void answer_hub(void *ctx, const struct http_request *request, struct http_reply *reply)
{
	struct http_hub *hub = ctx;
	const char *path;

	hub->requests++;
	hub->token_at_hub += request->authorization != NULL;
	if ((path = after(request->target, "/api/models/" HTTP_HUB_NAME "/revision/")) && strstr(path, "?blobs=true"))
		answer_list(hub, list_hugging_face(hub), reply);
	else if (after(request->target, "/api/v1/models/" HTTP_HUB_NAME "/repo/files?Recursive=true&Revision=master"))
		answer_list(hub, list_modelscope(hub), reply);
	else if ((path = after(request->target, "/" HTTP_HUB_NAME "/resolve/" HTTP_HUB_COMMIT "/")) ||
		 (path = after(request->target, "/api/v1/models/" HTTP_HUB_NAME "/repo?Revision=master&FilePath=")))
		answer_file(hub, request, path, reply);
	else {
		hub->missed++;
		refuse(hub, reply, 404);
	}
}

static void answer_store(void *ctx, const struct http_request *request, struct http_reply *reply)
{
	struct http_hub *hub = ctx;
	const char *path = after(request->target, "/store/");
	struct http_hub_file *file = path ? file_of(hub, path) : NULL;

	hub->token_at_store += request->authorization != NULL;
	if (file)
		send_file(hub, request, file, reply);
	else
		refuse(hub, reply, 404);
}

/* ---- setting up */

void http_hub_start(struct http_hub *hub)
{
	memset(hub, 0, sizeof *hub);
	http_hub_reset(hub);
	hub->server = http_server_start(answer_hub, hub);
	hub->store = http_server_start(answer_store, hub);
	setenv("HF_ENDPOINT", http_server_url(hub->server), 1);
	setenv("MODELSCOPE_ENDPOINT", http_server_url(hub->server), 1);
}

/* By the system's own tools, for ours are what is tested. */
static void sum_of(const void *bytes, size_t size, bool lfs, char out[65])
{
	char *path, *command;
	struct buffer blob = {0};
	FILE *f;

	if (!lfs) {
		buffer_printf(&blob, "blob %zu", size);
		buffer_add(&blob, "", 1);
	}
	buffer_add(&blob, bytes, size);
	path = data_file(blob.text ? blob.text : "", blob.length);
	command = xasprintf("%s '%s'", lfs ? "sha256sum" : "sha1sum", path);
	f = popen(command, "r");
	if (!f || fscanf(f, "%64[0-9a-f]", out) != 1)
		abort();
	pclose(f);
	free(command);
	data_remove(path);
	buffer_free(&blob);
}

void http_hub_add(struct http_hub *hub, const char *path, const void *bytes, size_t size, bool lfs)
{
	struct http_hub_file *f = &hub->files[hub->n];

	if (hub->n++ == HTTP_HUB_FILES)
		abort();
	*f = (struct http_hub_file){.path = xstrdup(path), .bytes = xmalloc(size + 1), .size = size, .lfs = lfs};
	memcpy(f->bytes, bytes, size);
	sum_of(bytes, size, lfs, f->sum);
	f->listed_path = xstrdup(path);
	http_hub_reset(hub);
}

void http_hub_reset(struct http_hub *hub)
{
	struct http_hub plain = {.server = hub->server, .store = hub->store, .n = hub->n, .cut = -1};

	memcpy(plain.files, hub->files, sizeof plain.files);
	*hub = plain;
	for (int i = 0; i < hub->n; i++) {
		struct http_hub_file *f = &hub->files[i];

		f->sent = 0;
		f->listed_size = (int64_t)f->size;
		memcpy(f->listed_sum, f->sum, sizeof f->sum);
		free(f->listed_path);
		f->listed_path = xstrdup(f->path);
	}
}

void http_hub_stop(struct http_hub *hub)
{
	http_server_stop(hub->server);
	http_server_stop(hub->store);
	for (int i = 0; i < hub->n; i++) {
		free(hub->files[i].path);
		free(hub->files[i].bytes);
		free(hub->files[i].listed_path);
	}
}
