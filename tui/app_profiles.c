/* app_profiles.c - settings by name: listed, switched live, saved, deleted. See app.h. */
#include <stdlib.h>
#include <string.h>

#include "tui/app.h"

static void read_list(struct app *a)
{
	struct profiles *p = &a->profiles;

	free(p->list);
	p->n = profile_list(a->config->profile_dir, &p->list);
	p->row = p->row < p->n ? p->row : p->n - 1;
}

void app_profiles_open(struct app *a)
{
	struct profiles *p = &a->profiles;

	app_drop_pending(a);
	*p = (struct profiles){.list = p->list};
	read_list(a);
	for (int i = 0; i < p->n; i++)
		if (a->config->profile && !strcmp(p->list[i].name, a->config->profile))
			p->row = i;
	keys_open(a, MODE_PROFILES);
}

void app_profile_apply(struct app *a)
{
	const struct profiles *p = &a->profiles;
	struct error err;

	if (profile_apply(a->config, p->list[p->row].name, &err) < 0)
		app_say(a, ROLE_ERROR, "%s", err.text);
	else if (app_apply_config(a))
		app_say(a, ROLE_DONE, "profile %s holds from the next batch on", p->list[p->row].name);
}

void app_profile_save(struct app *a, const char *name)
{
	struct profiles *p = &a->profiles;
	struct error err;

	if (profile_save(a->config, name, &err) < 0) {
		app_say(a, ROLE_ERROR, "%s", err.text);
		return;
	}
	app_say(a, ROLE_DONE, "profile %s is saved", name);
	read_list(a);
	for (int i = 0; i < p->n; i++)
		if (!strcmp(p->list[i].name, name))
			p->row = i;
}

void app_profile_delete(struct app *a)
{
	struct profiles *p = &a->profiles;
	struct error err;

	if (profile_delete(a->config, p->list[p->row].name, &err) < 0)
		app_say(a, ROLE_ERROR, "%s", err.text);
	else
		app_say(a, ROLE_STATUS, "profile %s is deleted; the settings stay", p->list[p->row].name);
	read_list(a);
}

void app_profiles_free(struct app *a)
{
	free(a->profiles.list);
}
