/* paths.c - see paths.h. */
#include "tui/paths.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/mem.h"

static char *existing(char *path)
{
	if (path && access(path, F_OK) == 0)
		return path;
	free(path);
	return NULL;
}

char *paths_beside(const char *name)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	char *slash;

	if (n <= 0)
		return NULL;
	self[n] = '\0';
	slash = strrchr(self, '/');
	if (!slash)
		return NULL;
	*slash = '\0';
	return existing(xasprintf("%s/%s", self, name));
}

/* An installed program finds its files from where it stands, so that a tree may be moved, or installed under another prefix than it was built for. */
static char *installed(const char *folder, const char *name, const char *built_for)
{
	char *relative = xasprintf("../%s/vramble/%s", folder, name), *path = paths_beside(relative);

	free(relative);
	return path ? path : existing(xasprintf("%s/%s", built_for, name));
}

char *paths_library(void)
{
	const char *chosen = getenv("VRAMBLE_LIBRARY");
	char *path;

	if (chosen && *chosen)
		return xstrdup(chosen);
	path = paths_beside("libvramble-torch.so");
	return path ? path : installed("lib", "libvramble-torch.so", VRAMBLE_LIBDIR);
}

char *paths_data(const char *name)
{
	char *source = xasprintf("../%s%s", strncmp(name, "picturebook", 11) ? "" : "models/", name);
	char *path = paths_beside(source);

	free(source);
	return path ? path : installed("share", name, VRAMBLE_DATADIR);
}

/* The XDG base directory rule: the variable if it is set to an absolute path, else $HOME and the usual folder. */
static char *xdg(const char *variable, const char *fallback, const char *name)
{
	const char *base = getenv(variable), *home = getenv("HOME");

	if (base && base[0] == '/')
		return xasprintf("%s/vramble/%s", base, name);
	if (home && home[0] == '/')
		return xasprintf("%s/%s/vramble/%s", home, fallback, name);
	return NULL;
}

char *paths_config(const char *name)
{
	return xdg("XDG_CONFIG_HOME", ".config", name);
}
