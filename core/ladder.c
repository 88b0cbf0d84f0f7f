/* ladder.c - see ladder.h. */
#include "core/ladder.h"

#include "core/mem.h"
#include "core/memory.h"

int ladder_image(int size, int own, int step)
{
	int least, next;

	if (step <= 0 || own <= 0)
		return 0;
	size = size > 0 ? size : own;
	least = (own / 2 + step - 1) / step * step;
	next = (size - own / LADDER_PARTS) / step * step;
	/* A quarter may be less than a step, and half of the own size no multiple of a quarter. */
	if (next >= size)
		next = (size - 1) / step * step;
	if (next < least)
		next = least;
	return next < size ? next : 0;
}

enum precision ladder_precision(enum precision now, bool bf16, bool fp16)
{
	if (now == PRECISION_BF16 || now == PRECISION_FP16)
		return PRECISION_AUTO;
	return bf16 ? PRECISION_BF16 : fp16 ? PRECISION_FP16 : PRECISION_AUTO;
}

bool ladder_next(const struct ladder_state *s, struct ladder_move *out)
{
	*out = (struct ladder_move){.step = LADDER_TRIM};
	if (s->cached > 0)
		return true;
	out->step = LADDER_BATCH;
	out->batch = (s->batch + 1) / 2;
	if (s->batch > 1)
		return true;
	out->step = LADDER_IMAGE;
	out->image_size = s->batch ? ladder_image(s->image_size, s->image_own, s->image_step) : 0;
	if (out->image_size)
		return true;
	out->step = LADDER_PRECISION;
	out->precision = s->lower;
	if (s->lower != PRECISION_AUTO)
		return true;
	out->step = LADDER_EVICT;
	if (s->can_evict)
		return true;
	out->step = LADDER_CPU;
	return s->can_cpu;
}

static void add_reading(struct buffer *text, const struct memory_reading *reading)
{
	char used[24], cached[24];

	buffer_printf(text, "%s in use, %s cached", memory_text(reading->used, used), memory_text(reading->cached, cached));
}

char *ladder_text(const struct ladder_line *line)
{
	static const char *const gives_up[] = {[LADDER_TRIM] = "the cache is emptied", [LADDER_BATCH] = "batch",   [LADDER_IMAGE] = "image size",
					       [LADDER_PRECISION] = "precision",       [LADDER_EVICT] = "evicted", [LADDER_CPU] = "device"};
	struct buffer text = {0};
	char cap[24];

	buffer_printf(&text, "%s: ", line->who);
	if (line->batch)
		buffer_printf(&text, "out of memory with %d %s: ", line->batch, line->items);
	buffer_puts(&text, gives_up[line->step]);
	if (line->from)
		buffer_printf(&text, " %s", line->from);
	if (line->to)
		buffer_printf(&text, " to %s", line->to);
	buffer_puts(&text, " (");
	add_reading(&text, &line->before);
	if (line->before.cap)
		buffer_printf(&text, ", cap %s", memory_text(line->before.cap, cap));
	buffer_puts(&text, "; then ");
	add_reading(&text, &line->after);
	buffer_puts(&text, ")");
	return text.text;
}
