/* fit.c - see fit.h. */
#include "core/fit.h"

/* floor(log2(n)) + 1, n at least 1: that many yes-or-no answers tell 0..n apart. */
static int tries_for(int n)
{
	int tries = 0;

	for (; n; n >>= 1)
		tries++;
	return tries;
}

static int between(int low, int n, int high)
{
	return n < low ? low : n > high ? high : n;
}

/* What is still possible lies in ran .. fails - 1. A try leaves one side of it, and k tries tell 2^k sizes apart: so each side must hold no more than the
 * tries after this one can tell. Within that, as near to `aim` as can be. The middle always is within, so there always is a size. */
static void choose(struct fit *f, int aim)
{
	int left = f->most - f->tried, tell;

	f->next = 0;
	if (f->fails - f->ran <= 1) {
		f->state = FIT_DONE;
		return;
	}
	tell = 1 << (left - 1);
	f->next = between(between(f->ran + 1, f->fails - tell, f->fails - 1), aim, between(f->ran + 1, f->ran + tell, f->fails - 1));
}

struct fit fit_begin(int max, int guess)
{
	struct fit f = {.state = FIT_TRYING, .max = max < 1 ? 1 : max};

	f.fails = f.max + 1;
	f.most = tries_for(f.max);
	choose(&f, guess);
	return f;
}

int fit_next(const struct fit *f)
{
	return f->state == FIT_TRYING ? f->next : 0;
}

void fit_answer(struct fit *f, bool ran)
{
	if (f->state != FIT_TRYING)
		return;
	f->tried++;
	/* Forecasts are off by a few percent rather than by a factor: the truth is sought near what was just tried. */
	if (ran) {
		f->ran = f->next;
		choose(f, f->ran + f->ran / 16 + 1);
	} else {
		f->fails = f->next;
		choose(f, f->fails - f->fails / 16 - 1);
	}
}

void fit_cancel(struct fit *f)
{
	if (f->state == FIT_TRYING)
		f->state = FIT_CANCELLED;
	f->next = 0;
}

int fit_batch(const struct fit *f)
{
	return f->ran;
}

int fit_setting(const struct fit *f, int old)
{
	return f->state == FIT_DONE && f->ran ? f->ran : old;
}

int fit_tries_done(const struct fit *f)
{
	return f->tried;
}

int fit_tries_most(const struct fit *f)
{
	return f->most;
}

int fit_guess(int max, bool (*fits)(void *ctx, int batch), void *ctx)
{
	int low = 0, high = max < 1 ? 2 : max + 1;

	while (high - low > 1) {
		int middle = low + (high - low) / 2;

		if (fits(ctx, middle))
			low = middle;
		else
			high = middle;
	}
	return low;
}
