/* catalog_private.h - what the files of the catalog share. Nobody else includes it. */
#ifndef CORE_CATALOG_PRIVATE_H
#define CORE_CATALOG_PRIVATE_H

#include "core/catalog.h"

struct catalog_scan;

/* The beginning of a name in a form whose order as a number is that of catalog_compare_names. */
struct name_prefix {
	uint64_t high, low;
};

struct catalog {
	char *folder;                     /* "" for a list of files */
	struct catalog_picture *pictures; /* [total], by id */
	struct name_prefix *prefix;       /* [total], by id: sorting looks at little else */
	int total, capacity;
	uint32_t *rows; /* [shown] ids in the order shown */
	int shown;
	int64_t selected;
	int count[PICTURE_STATUSES], marked;
	enum catalog_order order;
	bool reverse;
	char *filter;              /* NULL: all */
	uint32_t epoch;            /* the newest seen in an event */
	struct catalog_scan *scan; /* NULL for a list of files */
};

/* catalog.c: adds a picture without showing it; the name is taken over. Returns its id. */
uint32_t catalog_add(struct catalog *c, char *name);

/* catalog_order.c */
struct name_prefix catalog_prefix(const char *name);
/* Shows the pictures first .. total - 1 as well, where they belong. */
void catalog_show_new(struct catalog *c, uint32_t first);

/* catalog_scan.c: a thread that reads names. */
enum { CATALOG_PARCEL = 512 };
struct catalog_scan *catalog_scan_start(const char *folder, struct error *err);
void catalog_scan_stop(struct catalog_scan *s);
int catalog_scan_fd(const struct catalog_scan *s);
/* The next names found, which the caller then owns; returns how many, or -1 when none wait now. */
int catalog_scan_take(struct catalog_scan *s, char *names[CATALOG_PARCEL]);
bool catalog_scan_running(const struct catalog_scan *s);
const char *catalog_scan_problem(const struct catalog_scan *s);

#endif
