/* SPDX-License-Identifier: BSD-2-Clause */
/* Fuzz target: any text is a configuration that keeps its promises, or is refused in one line. */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "conf/settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A broken promise ends the run, which is how a fuzzer learns of it. */
static void
check(bool held)
{
	if (!held)
		abort();
}

/* What the contract promises of settings that were handed out. */
static void
check_promises(const struct settings *s)
{
	check(value_name_ok(s->name) && value_user_ok(s->ssh_user) && s->ignore);
	check(value_path_ok(s->root) && value_path_ok(s->state) && value_path_ok(s->work));
	check(value_path_ok(s->run) && strlen(s->run) <= SETTINGS_RUN_BYTES_MAX);
	check(value_path_ok(s->ssh_key) && value_path_ok(s->ssh_known_hosts));
	check(value_path_ok(s->ssh_authorized_keys));
	check(!s->hook_applied || value_path_ok(s->hook_applied));
	check(strcmp(s->root, s->state) != 0 && strcmp(s->root, s->work) != 0);
	check(s->ping_ms < s->timeout_ms && s->max_delete_percent <= 100);
	check((s->owner_mode == OWNER_FIXED) == (s->owner_user && s->owner_group));
	check(s->address.count <= SETTINGS_ADDRESSES_MAX && s->peer_count <= SETTINGS_PEERS_MAX);
	for (size_t i = 0; i < s->address.count; i++)
		check(s->address.items[i].port > 0 && s->address.items[i].host[0] != '-');
	for (size_t i = 0; i < s->peer_count; i++)
		check(value_name_ok(s->peers[i].name) && strcmp(s->peers[i].name, s->name) != 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char err[SETTINGS_ERROR_BYTES_MAX] = "";
	struct settings *s;
	int rc = settings_parse("fuzz", (const char *)data, size, &s, err, sizeof(err));

	if (rc == 0) {
		check(s && err[0] == '\0');
		check_promises(s);
	} else {
		check(rc == -EINVAL && !s);
		check(strncmp(err, "fuzz:", 5) == 0 && err[5] >= '1' && err[5] <= '9');
		check(!strchr(err, '\n') && !strchr(err, '\r') && !strchr(err, '\x1b'));
	}
	settings_free(s);
	return 0;
}
