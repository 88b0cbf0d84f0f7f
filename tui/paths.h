/* paths.h - where things are: beside the program in a build tree, under the install prefix, or in the user's XDG folders. UI thread. */
#ifndef TUI_PATHS_H
#define TUI_PATHS_H

/* All results are malloc'd; NULL when the thing is not there. */
char *paths_beside(const char *name); /* <folder of the program>/<name>, if it exists */
char *paths_library(void);            /* VRAMBLE_LIBRARY, beside the program, ../lib/vramble, or LIBDIR */
char *paths_data(const char *name);   /* "picturebook…" or "themes…": next to a build folder, ../share/vramble, or DATADIR */
char *paths_config(const char *name); /* $XDG_CONFIG_HOME/vramble/<name>, whether or not it exists */

#endif
