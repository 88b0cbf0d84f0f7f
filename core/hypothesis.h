/* hypothesis.h - the sentence that a label becomes before it is held against a caption. Pure; any thread.
 *
 *	if (hypothesis_check(template, &err) < 0)
 *		return -1;
 *	char *text = hypothesis_make(template, "dog");   // "This example is dog."
 */
#ifndef CORE_HYPOTHESIS_H
#define CORE_HYPOTHESIS_H

#include "core/error.h"

#define HYPOTHESIS_TEMPLATE "This example is {}." /* as the transformers pipeline has it */

/* A template holds {} once, where the label goes, and {{ and }} for braces, as Python's str.format reads it. E_USAGE when it does not. */
int hypothesis_check(const char *template, struct error *err);
/* A checked template with the label, which is taken as it is. malloc'd. */
char *hypothesis_make(const char *template, const char *label);

#endif
