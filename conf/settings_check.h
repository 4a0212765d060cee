/* SPDX-License-Identifier: BSD-2-Clause */
/* Which of the configured places may lie in which other. Private to settings_*.c. */
#ifndef MIMEO_CONF_SETTINGS_CHECK_H
#define MIMEO_CONF_SETTINGS_CHECK_H

#include <stdint.h>

#include "conf/ini.h"
#include "proto/attr.h"

enum settings_place_id {
	SETTINGS_ROOT,
	SETTINGS_STATE,
	SETTINGS_WORK,
	SETTINGS_RUN,
	SETTINGS_KEY,
	SETTINGS_KNOWN_HOSTS,
	SETTINGS_AUTHORIZED_KEYS,
	SETTINGS_HOOK,
	SETTINGS_SSH_HOME, /* .ssh in the home of the user that this runs as */
	SETTINGS_FILE,     /* the configuration itself */
	SETTINGS_PLACES
};

/* A path and the line it comes from (0: from no line). path NULL: not known, not checked. */
struct settings_place {
	const char *path;
	uint32_t line;
};

/* Notes a problem unless one is noted that comes before it or in the same line. first->line 0: none
 * is noted. */
void settings_note(struct ini_problem *first, uint32_t line, const char *fmt, ...) PRINTF(3, 4);

/*
 * Notes the first problem with places that lie where they must not. A problem is in the later line
 * of the two places it is about.
 */
void settings_check(const struct settings_place places[SETTINGS_PLACES], struct ini_problem *first);

#endif
