/* SPDX-License-Identifier: BSD-2-Clause */
/* Who keeps what: the displaced versions of this node and of all connected members, in one list. */
#ifndef MIMEO_AGENT_KEEPERS_H
#define MIMEO_AGENT_KEEPERS_H

#include "agent/exchange.h"

/*
 * Every member answers the question ASK_KEPT (proto/PROTOCOL.md) from its own store, a page at a
 * time and without remembering the asker. A version that several keep is one version: its dot says
 * so. What a member tells that was not asked for, or that does not decode, makes it one that did
 * not answer.
 */
/* A member that lets us wait longer for a page is left out. One whose session ended a moment ago
 * (EXCHANGE_LOST_MS) may be back at once, and is given that time, too. */
#define KEEPERS_ANSWER_MS 3000
#define KEEPERS_ALL_MS 30000 /* all pages together */
#define KEEPERS_PAGE_BYTES (128u * 1024)
#define KEEPERS_LOOK_MAX 20000 /* kept versions that are looked at for one page */
/* One list; what is more is left out, and keepers_cut says so. */
#define KEEPERS_FOUND_MAX 100000
#define KEEPERS_FOUND_BYTES_MAX (64u * 1024 * 1024)

/* Which versions; values of the wire. */
enum keepers_kind { KEEPERS_TRASH = 1, KEEPERS_CONFLICTS = 2 }; /* bits */
enum keepers_how { KEEPERS_BELOW = 0, KEEPERS_AT = 1, KEEPERS_DOT = 2 };

struct keepers_want {
	uint8_t kinds; /* enum keepers_kind, or-ed; conflicts include rescued content */
	uint8_t how;   /* BELOW: path and below it, all if it is empty; AT: exactly path */
	struct dot dot;
	const char *path; /* borrowed while keepers_new runs */
	size_t len;
};

struct keepers_found {
	struct kept kept; /* as its keepers say; since_ms the earliest of them; not in any list */
	uint64_t time_ms; /* when it was displaced; a conflict: when it was written */
	uint64_t expires; /* wall ms when the last of its keepers lets go; 0: never */
	char node[MEMBER_NAME_BYTES_MAX + 1]; /* who wrote it; empty: unknown */
	uint64_t on[MEMBERS_MAX / 64];        /* keepers.c's */
};

struct keepers;

/* This node answers members that ask, from now on. */
void keepers_listen(struct node *n);
/* Asks. A version of KEEPERS_CONFLICTS or KEEPERS_DOT that is only recorded here, and kept by
 * nobody yet, is found too. -EINVAL: not a path; -ENOMEM. */
NODISCARD int keepers_new(struct node *n, const struct keepers_want *want, struct keepers **out);
void keepers_free(struct keepers *k); /* NULL is fine */
/* Has everybody answered, or had the time to? Looks at the clock: to be asked every turn. */
bool keepers_done(struct keepers *k);
/* Once done: the versions, oldest first. NULL: no more. */
const struct keepers_found *keepers_at(const struct keepers *k, size_t i);
bool keepers_cut(const struct keepers *k);
bool keepers_here(const struct keepers_found *f);
bool keepers_by(const struct keepers *k, const struct keepers_found *f, const struct peer *p);
/* The members that keep it: the name of the first at or after *i, which moves behind it. */
const char *keepers_name(const struct keepers *k, const struct keepers_found *f, size_t *i);
/* The members that were not connected or did not answer, in the same way. */
const char *keepers_silent(const struct keepers *k, size_t *i);

#endif
