/* fit.h - finds the largest batch that really ran: a bisection over 1..max that begins at what the forecast says. Pure; one thread at a time.
 *
 * No size is returned that was not tried and ran. The answer is found in at most floor(log2(max)) + 1 tries, wherever it lies and however wrong the
 * guess was: where a wrong guess would cost a step too many, the next best size is tried in its stead.
 *
 *	struct fit fit = fit_begin(max, fit_guess(max, says_forecast, ctx));
 *	while ((trial.settings.batch = fit_next(&fit))) {
 *		if (engine_try(engine, &trial, paths, n, &err) < 0) { fit_cancel(&fit); break; }
 *		... event = the EV_TRIAL that comes; fit_tries_done(&fit) of fit_tries_most(&fit)
 *		if (!event.err) fit_answer(&fit, true);
 *		else if (event.err->code == E_MEMORY) fit_answer(&fit, false);
 *		else fit_cancel(&fit);
 *	}
 *	settings.batch = fit_setting(&fit, settings.batch);
 */
#ifndef CORE_FIT_H
#define CORE_FIT_H

#include <stdbool.h>

enum fit_state { FIT_TRYING, FIT_DONE, FIT_CANCELLED };

struct fit {
	enum fit_state state;
	int max;   /* the largest size asked about */
	int ran;   /* the largest that ran; 0: none yet */
	int fails; /* the smallest that did not; max + 1: none yet */
	int next;  /* to be tried; 0: none */
	int tried; /* answers so far */
	int most;  /* tries that it may take in all */
};

/* max is at least 1 (less is taken as 1); guess (any number) is where to begin. */
struct fit fit_begin(int max, int guess);
/* The batch to try now; the same until it is answered. 0: done or cancelled. */
int fit_next(const struct fit *f);
/* What became of fit_next(f): it ran, or it did not fit. Nothing happens when there is nothing to try. */
void fit_answer(struct fit *f, bool ran);
/* Gives up: fit_setting then keeps the old setting. Nothing happens to a fit that is done. */
void fit_cancel(struct fit *f);

/* The largest batch that ran, of a fit in any state; 0: none did, and when done: not even 1 fits. */
int fit_batch(const struct fit *f);
/* The batch to set: what was found, or `old` when cancelled, not yet done, or when not even 1 fits. */
int fit_setting(const struct fit *f, int old);
/* For a line of progress; done <= most, and most never changes. */
int fit_tries_done(const struct fit *f);
int fit_tries_most(const struct fit *f);

/* The largest of 1..max that fits() calls true (which is to be true up to some size and false beyond), asked at most floor(log2(max)) + 1 times; 0 when
 * not even 1. For the first guess: fits asks engine_forecast, which runs nothing. */
int fit_guess(int max, bool (*fits)(void *ctx, int batch), void *ctx);

#endif
