/* hypothesis.c - see hypothesis.h. */
#include "core/hypothesis.h"

#include "core/mem.h"

/* Appends template to out with label at each {}; the number of {}, or -1 for a brace that is neither {} nor doubled. */
static int expand(const char *template, const char *label, struct buffer *out)
{
	int slots = 0;

	for (const char *t = template; *t; t++) {
		if (*t != '{' && *t != '}') {
			buffer_add(out, t, 1);
		} else if (t[1] == *t) {
			buffer_add(out, t++, 1);
		} else if (t[0] == '{' && t[1] == '}') {
			buffer_puts(out, label);
			slots++;
			t++;
		} else {
			return -1;
		}
	}
	return slots;
}

int hypothesis_check(const char *template, struct error *err)
{
	struct buffer out = {0};
	int slots = expand(template, "", &out);

	buffer_free(&out);
	if (slots == 1)
		return 0;
	if (slots < 0)
		return fail(err, E_USAGE, "\"%s\": write {} for the label, and {{ or }} for a brace", template);
	return fail(err, E_USAGE, "\"%s\" needs exactly one {} for the label", template);
}

char *hypothesis_make(const char *template, const char *label)
{
	struct buffer out = {0};

	buffer_puts(&out, "");
	expand(template, label, &out);
	return out.text;
}
