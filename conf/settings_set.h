/* SPDX-License-Identifier: BSD-2-Clause */
/* One value of the configuration, checked and put into its field. Private to settings_*.c. */
#ifndef MIMEO_CONF_SETTINGS_SET_H
#define MIMEO_CONF_SETTINGS_SET_H

#include "conf/ini.h"
#include "conf/settings.h"

/*
 * Checks a value by its key's type and limits and puts it into the field in the struct at base (of
 * settings, or of a peer), whose old value is freed. Patterns of `ignore` are added to those there
 * are. 0; -ENOMEM; -EINVAL: problem->text says what is wrong and what is allowed (its line stays).
 * value has at most INI_LINE_BYTES_MAX bytes.
 */
NODISCARD int settings_set(const struct settings_key *k, void *base, const char *value,
			   struct ini_problem *problem);
/* Frees what the list owns and leaves it empty. */
void settings_set_addresses_free(struct settings_addresses *list);

#endif
