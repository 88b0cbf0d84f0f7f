/* log.h - the log file: one line per event, dated, printable. It also takes what others print on stderr while curses has the screen.
 *
 * One log per process. Any thread may write; opening, holding and closing are for the controlling thread. Without an open log lines are dropped, so
 * that nothing depends on it, and neither does a full disk stop anything. A file that reaches LOG_BYTES becomes FILE.1, that one FILE.2, up to
 * LOG_FILES files in all; several programs may write to the same one.
 *
 *	log_open(NULL, &err);            (~/.local/state/vramble/log/2026-03-01.log)
 *	log_hold_stderr();
 *	log_write(LOG_WARNING, "%s: batch %d does not fit", name, n);
 *	if (log_trouble(&err)) ...       now and then
 */
#ifndef CORE_LOG_H
#define CORE_LOG_H

#include <stdbool.h>

#include "core/error.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR };
enum { LOG_BYTES = 10 * 1000 * 1000, LOG_FILES = 5 };

/* Opens path for appending; NULL: $XDG_STATE_HOME/vramble/log/<date>.log (folders are made, mode 0700). -1 with err when that cannot be: carry on
 * without. */
int log_open(const char *path, struct error *err);
void log_close(void);                     /* gives stderr back, too */
const char *log_path(void);               /* of the open log, else NULL */
void log_set_level(enum log_level least); /* lines below are dropped; LOG_INFO at first */
void log_write(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* True once after lines began to be lost (a full disk): err says so. Again only when lines were written in between. Any thread. */
bool log_trouble(struct error *err);

/* File descriptor 2 goes to the log (to /dev/null without one) until released. Twice is fine. -1 when the descriptors cannot be moved. */
int log_hold_stderr(struct error *err);
void log_release_stderr(void);

#endif
