/* shelf.h - the models at hand: where they are and what they are called. No libtorch, no network; what a folder holds is for the library to say. One thread
 * at a time.
 *
 *	struct shelf shelf = {0};
 *	shelf_bundled(&shelf, "/usr/share/vramble/picturebook");
 *	shelf_cached(&shelf);
 *	for (int i = 0; i < shelf.n; i++) show(&shelf.list[i]);
 *	shelf_free(&shelf);
 */
#ifndef CORE_SHELF_H
#define CORE_SHELF_H

#include "core/locate.h"

/* Zero-initialise. What is added twice, by whatever name, is there once. */
struct shelf {
	struct located *list; /* owned */
	int n;
};

void shelf_bundled(struct shelf *s, const char *book); /* the folder of the models that come with vramble, which need not be there */
void shelf_cached(struct shelf *s);                    /* those that other tools have fetched, see locate_list */
/* The folder itself where it is a model's, else those right in it. -1: it cannot be read. */
int shelf_folder(struct shelf *s, const char *folder);
/* Whatever a user calls a model, see locate_model; with a problem where it is not there. */
void shelf_name(struct shelf *s, const char *name);
void shelf_free(struct shelf *s);

#endif
