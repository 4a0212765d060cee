/* SPDX-License-Identifier: BSD-2-Clause */
/* Invitations that were given out and not used yet: STATE/invites. */
#ifndef MIMEO_AGENT_INVITES_H
#define MIMEO_AGENT_INVITES_H

#include "proto/member.h"

#define INVITES_MAX 64 /* open at once; one more is refused */
#define INVITES_TTL_MS_MIN (60ull * 1000)
#define INVITES_TTL_MS_MAX (7ull * 24 * 3600 * 1000)
#define INVITES_ID_BYTES 16 /* hex digits */

/* Whoever proves to sshd that he has the private half of `key` may join, once, until then. */
struct invite {
	char id[INVITES_ID_BYTES + 1];
	uint64_t expires_ms; /* wall clock */
	char key[MEMBER_KEY_BYTES_MAX + 1];
};
struct invites {
	struct invite v[INVITES_MAX];
	size_t n;
};

bool invites_id_ok(const char *id, size_t len);
/* Those that have not expired. A file that is missing is empty; a line that is not one is skipped.
 * -errno of reading. */
NODISCARD int invites_read(const char *state, uint64_t wall_ms, struct invites *out);
/* Adds one. -ENOSPC: too many are open; -errno of reading or writing. */
NODISCARD int invites_add(const char *state, uint64_t wall_ms, const struct invite *i);
/* Uses one up: it is gone from the file, durably, before this returns 0. -ENOENT: there is none of
 * that id, it was used, or it has expired; -errno. */
NODISCARD int invites_take(const char *state, uint64_t wall_ms, const char *id);

#endif
