/* SPDX-License-Identifier: BSD-2-Clause */
/* What a peer says about members: taken, already known, or refused. A pure function. */
#ifndef MIMEO_PROTO_ADMIT_H
#define MIMEO_PROTO_ADMIT_H

#include "proto/member.h"

/*
 * Whoever has a session is a member, and what a member may do every member may do: let others in,
 * remove them. What nobody may do by an entry:
 * - let itself in, or bring itself back after it was removed: only others raise `admitted`;
 * - give a name another key without a new admission, nor with one while a session that the old key
 *   opened stands;
 * - use one key for two names;
 * - date an entry further ahead than ADMIT_AHEAD_MS, from where nothing could ever replace it.
 */
#define ADMIT_AHEAD_MS (24ull * 3600 * 1000)
/* Names that a table may have, removed ones included: they keep their place. */
#define ADMIT_NAMES_MAX (4u * MEMBERS_MAX)

enum admit_verdict {
	ADMIT_KNOWN, /* nothing new */
	ADMIT_TAKE,  /* replaces what is there */
	/* It is about this node, newer than its own entry and not the same: this node says again
	 * what it is, above that incarnation, with the admission that the entry has. */
	ADMIT_REFUTE,
	ADMIT_REFUSE, /* *why: a line for people */
};

struct admit_table {
	const struct member *members;
	size_t n;
	const char *self; /* this node's name */
	size_t coming;    /* more members and names are on their way into it */
};

/*
 * from: the peer that said it. proven: a session with the member that m names is open now.
 * Addresses are not looked at. *why is a static text when the verdict is ADMIT_REFUSE.
 */
enum admit_verdict admit_judge(const struct admit_table *t, const char *from, bool proven,
			       uint64_t wall_ms, const struct member *m, const char **why);

/*
 * May a node with this entry join by an invitation that it holds? NULL, or why not: as above, and
 * its name may not belong to a member with another key.
 */
const char *admit_join(const struct admit_table *t, const struct member *m);

/* The member of that name; NULL if there is none. */
const struct member *admit_find(const struct admit_table *t, const char *name);
size_t admit_live(const struct admit_table *t); /* members that are not removed */

#endif
