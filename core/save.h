/* save.h - a file written whole or not at all. Any thread.
 *
 *	if (save_whole("sweep.csv", out.text, out.length, err) < 0)
 *		...                     what was there before still is
 */
#ifndef CORE_SAVE_H
#define CORE_SAVE_H

#include <stddef.h>
#include <sys/types.h>

#include "core/error.h"

/* Writes beside the file, flushes to the disk, then renames: whoever reads sees the old content or the new. Through a symbolic link the file it points to is
 * replaced; what is no regular file (a pipe, a terminal) is written in place. A new file is as readable as the umask lets it be, an old one keeps its
 * permissions. -1 with E_IO that names the file, after which everything is as before. */
int save_whole(const char *path, const void *data, size_t size, struct error *err);
/* Makes the folders above path, as far as they are missing, with the mode the umask leaves of `mode`. NULL, or the folder that cannot be made (the caller
 * frees) with errno saying why. */
char *save_make_folders(const char *path, mode_t mode);
/* The same for their owner only (0700). -1 with E_IO that names the folder. */
int save_make_parents(const char *path, struct error *err);

#endif
