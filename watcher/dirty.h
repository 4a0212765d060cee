/* SPDX-License-Identifier: BSD-2-Clause */
/* The set of names to look at, and when. */
#ifndef MIMEO_WATCHER_DIRTY_H
#define MIMEO_WATCHER_DIRTY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/attr.h"

/*
 * A name is due at once; one that changes again within `settle` of having been taken is due when it
 * was quiet that long. Bounded: at DIRTY_MAX names dirty_add says -ENOBUFS, and the caller scans
 * instead.
 */
#define DIRTY_MAX 500000
/* A reason that is looked at again within this time is of the moment, such as that somebody has the
 * file open: it was true then, and says nothing about now. */
#define DIRTY_SOON_MS 1000

struct dirty;

struct dirty_name {
	/* A first scan left it to the agent as it was then: the file's ctime; 0: it did not. */
	int64_t import_ctime_ns;
	uint64_t due_ms;
	uint64_t since;    /* stamp of the first event: dirty_stamp */
	uint64_t tried;    /* stamp of when the last try began */
	uint64_t taken_ms; /* when it was last dealt with; 0: not yet */
	unsigned tries;
	const char *reason; /* why it could not be logged at the last try; NULL */
	bool soon;          /* of the moment: DIRTY_SOON_MS */
	bool waiting; /* in the set as something to look at (else only remembered for settle) */
	bool in_hand; /* taken by a batch */
	bool again;   /* changed while it was in hand */
	bool revert;  /* counted as one that went back to an older version */
	bool below;   /* what the index shows in it is dirty too */
	bool force;   /* hash it, whatever its signature says */
	bool touched; /* and not only renamed, as far as events tell; until it was dealt with */
	struct dirty_name *prev, *next;
	uint16_t len;
	char path[];
};

struct dirty *dirty_new(uint64_t settle_ms, uint64_t seed);
void dirty_free(struct dirty *d);
void dirty_set_settle(struct dirty *d, uint64_t settle_ms);
/* An event on the name. -ENOBUFS, -ENOMEM: not taken. */
NODISCARD int dirty_add(struct dirty *d, const void *path, size_t len, uint64_t now_ms);
/* The same for a name that changed before now, by what is only known now: it holds up barriers that
 * are open. */
NODISCARD int dirty_add_late(struct dirty *d, const void *path, size_t len, uint64_t now_ms);
/* The same, and what is there is hashed even if its signature is the known one. */
NODISCARD int dirty_force(struct dirty *d, const void *path, size_t len, uint64_t now_ms);
/* The event was no rename: of what is in the set. */
void dirty_touched(struct dirty *d, const void *path, size_t len);
bool dirty_has(const struct dirty *d, const void *path, size_t len);
/* Does it wait for its first look, or has it changed since it was taken? */
bool dirty_unseen(const struct dirty *d, const void *path, size_t len);
/* Is any name at or below the path waiting? */
bool dirty_below(const struct dirty *d, const void *path, size_t len);
/* The next name that is due, marked as in hand; NULL: none. Order of arrival. */
struct dirty_name *dirty_take(struct dirty *d, uint64_t now_ms);
/* The batch is done with it. reason NULL: settled. Otherwise it is looked at again after retry_ms.
 */
void dirty_done(struct dirty *d, struct dirty_name *n, uint64_t now_ms, const char *reason,
		uint64_t retry_ms);
uint64_t dirty_deadline(const struct dirty *d); /* when the next one is due; UINT64_MAX */
size_t dirty_count(const struct dirty *d);
/* Stamps: all names that are dirty now have one that is lower than the next stamp. */
uint64_t dirty_stamp(struct dirty *d);
/* The same, for a question that is to be answered by how things are now: names whose reason is of
 * the moment are tried again at once. */
uint64_t dirty_ask(struct dirty *d, uint64_t now_ms);
/* Have all names with a stamp below this been dealt with, or have a reason: one that lasts, or one
 * found by a try that began after the stamp? */
bool dirty_clean_before(const struct dirty *d, uint64_t stamp);
/* Names with a reason: calls f until it returns false. */
void dirty_each_reason(const struct dirty *d, bool (*f)(void *arg, const struct dirty_name *n),
		       void *arg);

#endif
