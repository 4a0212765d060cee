/* SPDX-License-Identifier: BSD-2-Clause */
/* Do this node and the members that it has a session with show the same, path by path? */
#ifndef MIMEO_AGENT_COMPARE_H
#define MIMEO_AGENT_COMPARE_H

#include "agent/exchange.h"

/*
 * Each side sums up what its index shows (files and symlinks: kind, size, mode, mtime, content) in
 * COMPARE_BUCKETS sums, a path's bucket being its checksum's. Where sums differ the rows of that
 * bucket are asked for and compared (ASK_SHOWN, proto/PROTOCOL.md). What is under way just then
 * shows as a difference, too: `mimeo wait` comes before.
 */
#define COMPARE_BUCKETS 1024u
#define COMPARE_ROWS_BYTES (240u * 1024) /* of one bucket; a larger one is named as such */
#define COMPARE_ASK_BUCKETS 64u          /* at most so many of one member; then it is cut */
#define COMPARE_FOUND_MAX 10000u         /* differences in all; then it is cut */
#define COMPARE_AWAIT_MS 3000            /* one that was connected a moment ago: be back */
#define COMPARE_ANSWER_MS 5000           /* a member that lets us wait longer is left out */

struct compare_row {
	const char *member;
	const char *what; /* "missing here", "missing there", "other content", "other metadata" */
	size_t len;
	uint8_t path[];
};

struct compare;

/* This node answers members that ask, from now on. */
void compare_listen(struct node *n);
/* Asks all members that are connected, or are again in a moment, one after the other. rehash: each
 * is also to read all its files again, at its own pace (scrub.h). NULL: out of memory. */
struct compare *compare_new(struct node *n, bool rehash);
void compare_free(struct compare *c); /* NULL is fine */
/* Is it over? Asks what is to be asked next; looks at the clock: to be asked every turn. */
bool compare_done(struct compare *c);
/* Once done: the differences. NULL: no more. */
const struct compare_row *compare_at(const struct compare *c, size_t i);
bool compare_cut(const struct compare *c);       /* there are more */
size_t compare_members(const struct compare *c); /* that answered to the end */
/* Members that did not: the name of the first at or after *i, which moves behind it. NULL: none. */
const char *compare_silent(const struct compare *c, size_t *i);

#endif
