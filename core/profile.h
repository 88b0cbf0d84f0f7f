/* profile.h - settings by name: three built in, and one's own as files.
 *
 * An own profile is a file NAME.profile of `key = value` lines in c->profile_dir ($XDG_CONFIG_HOME/vramble/profiles). It holds the settings that decide memory
 * and speed, not which models, labels or theme. The controlling thread only; reading and writing wait for the disk.
 *
 *	profile_begin(&c, warn, NULL, &err);             at the start: the profile that file, environment or flag named, as a layer below those two
 *	n = profile_list(c.profile_dir, &list);          ... free(list);
 *	profile_apply(&c, "limited", &err);              live: replaces what is there
 *	profile_save(&c, "my-card", &err);               c->settings as they are now
 */
#ifndef CORE_PROFILE_H
#define CORE_PROFILE_H

#include "core/config.h"

enum { PROFILE_NAME_MOST = 64 }; /* bytes */

struct profile_info {
	char name[PROFILE_NAME_MOST + 1];
	bool builtin;
	const char *summary; /* of a built-in one, one line; else NULL */
};

/* Letters, digits, '-', '_' and '.', not a dot first, at most PROFILE_NAME_MOST bytes; else -1 with E_USAGE. */
int profile_check_name(const char *name, struct error *err);
/* The built-in ones, then those in dir by name (a file that has a built-in one's name is none). dir may be NULL or missing. Returns how many; *list is
 * malloc'd: free it. */
int profile_list(const char *dir, struct profile_info **list);
/* Takes the profile that c->profile names as the layer CONFIG_PROFILE: below environment and flags, above the file. Nothing named: nothing happens. Bad lines
 * are told to warn and left out. -1 with err when there is no such profile or it cannot be read; c is as it was. */
int profile_begin(struct config *c, void (*warn)(void *ctx, const char *text), void *ctx, struct error *err);
/* Switches live: what the profile names is replaced wherever it came from, the rest stays. All or nothing: -1 with err (unknown name, the first bad
 * line), and c is as it was. */
int profile_apply(struct config *c, const char *name, struct error *err);
/* Writes what c holds now to NAME.profile, whole or not at all (core/save.h), readable by its owner only. c->profile becomes name. -1: a built-in name, no
 * folder, a full disk. */
int profile_save(struct config *c, const char *name, struct error *err);
/* Deletes NAME.profile. The settings stay as they are. */
int profile_delete(struct config *c, const char *name, struct error *err);

#endif
