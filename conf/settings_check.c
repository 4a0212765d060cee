/* SPDX-License-Identifier: BSD-2-Clause */
/* Which of the configured places may lie in which other. */
#include "config.h"

#include "conf/settings_check.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const char *const names[SETTINGS_PLACES] = {
	"node.root",     "node.state",         "node.work",           "node.run",
	"ssh.key",       "ssh.known_hosts",    "ssh.authorized_keys", "hook.applied",
	"the account's", "this configuration",
};

void
settings_note(struct ini_problem *first, uint32_t line, const char *fmt, ...)
{
	va_list ap;

	if (first->line != 0 && first->line <= line)
		return;
	va_start(ap, fmt);
	vsnprintf(first->text, sizeof(first->text), fmt, ap);
	va_end(ap);
	first->line = line;
}

/* Is `path` that directory, or below it? */
static bool
lies_in(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	return strncmp(path, dir, len) == 0 && (path[len] == '\0' || path[len] == '/');
}

static uint32_t
later_line(const struct settings_place *a, const struct settings_place *b)
{
	return a->line > b->line ? a->line : b->line;
}

/* ROOT/.mimeo: the one name below the root that is never mirrored. */
static bool
is_reserved_work(const char *work, const char *root)
{
	return lies_in(work, root) && strcmp(work + strlen(root), "/.mimeo") == 0;
}

static void
check_apart(const struct settings_place *places, enum settings_place_id a, enum settings_place_id b,
	    struct ini_problem *first)
{
	const struct settings_place *pa = &places[a], *pb = &places[b];
	bool root_work = a == SETTINGS_ROOT && b == SETTINGS_WORK;

	if (!pa->path || !pb->path || (root_work && is_reserved_work(pb->path, pa->path)))
		return;
	if (lies_in(pa->path, pb->path) || lies_in(pb->path, pa->path))
		settings_note(first, later_line(pa, pb),
			      "%s '%s' and %s '%s' overlap, allowed are directories apart%s",
			      names[b], pb->path, names[a], pa->path,
			      root_work ? " or work = ROOT/.mimeo" : "");
}

static void
check_outside(const struct settings_place *places, enum settings_place_id a,
	      enum settings_place_id dir, struct ini_problem *first)
{
	const struct settings_place *pa = &places[a], *pd = &places[dir];

	if (pa->path && pd->path && lies_in(pa->path, pd->path))
		settings_note(first, later_line(pa, pd),
			      "%s '%s' lies in %s '%s', allowed is a place outside", names[a],
			      pa->path, names[dir], pd->path);
}

void
settings_check(const struct settings_place places[SETTINGS_PLACES], struct ini_problem *first)
{
	check_apart(places, SETTINGS_ROOT, SETTINGS_STATE, first);
	check_apart(places, SETTINGS_ROOT, SETTINGS_WORK, first);
	check_apart(places, SETTINGS_STATE, SETTINGS_WORK, first);
	/* A peer decides what is written below these two: nothing may be trusted or run from there.
	 */
	for (int i = SETTINGS_RUN; i < SETTINGS_PLACES; i++) {
		check_outside(places, (enum settings_place_id)i, SETTINGS_ROOT, first);
		check_outside(places, (enum settings_place_id)i, SETTINGS_WORK, first);
	}
}
