/* preview.h - pictures as character cells.
 *
 * A thread of its own turns RGB into cells (about 10 ms a picture); the UI thread paints them. The old picture stays until the new one is ready, and
 * nothing at all is written while the picture does not change. Keeps the last pictures (64 MB of RGB) and the last cells (32). UI thread only.
 *
 *	preview_put(p, id, image);
 *	preview_request(p, id, columns, rows);
 *	poll(preview_fd(p)) → if (preview_collect(p)) repaint;
 *	preview_draw(p, stdscr, top, left, columns, rows);
 */
#ifndef TUI_PREVIEW_H
#define TUI_PREVIEW_H

#include <ncurses.h>
#include <stdbool.h>

#include "core/image.h"
#include "tui/terminal.h"

struct preview;

struct preview *preview_create(const struct terminal *terminal, struct error *err);
void preview_destroy(struct preview *p); /* joins the thread; NULL is fine */

/* Hands over a decoded picture (takes image.rgb). */
void preview_put(struct preview *p, uint32_t id, struct image image);
bool preview_has(const struct preview *p, uint32_t id);

/* Asks for picture id in a box of columns x rows. Cheap to call each frame; a newer request replaces an older one that has not begun. */
void preview_request(struct preview *p, uint32_t id, int columns, int rows);
int preview_fd(const struct preview *p); /* readable when cells are ready; preview_collect drains it */
bool preview_collect(struct preview *p); /* true: what preview_draw would paint has changed */

/* Paints the cells asked for last, or those painted before while these are not ready, centred in the box of w at (top, left) and blank around in w's
 * attributes. Returns the id that is shown, or -1 when there is nothing yet (then the box is left alone). */
int64_t preview_draw(struct preview *p, WINDOW *w, int top, int left, int columns, int rows);

#endif
