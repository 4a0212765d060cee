/* SPDX-License-Identifier: BSD-2-Clause */
/* Group commit: WAL entries go in, callbacks come when they are durable; and work that must run
 * under the WAL's lock. */
#ifndef MIMEO_AGENT_COMMIT_H
#define MIMEO_AGENT_COMMIT_H

#include "proto/entry.h"
#include "proto/wal.h"

struct work;

/*
 * IDLE -> LOCKING (a worker waits for the lock) -> in the loop thread: catch up, run the locked
 * jobs, append everything that was put -> SYNCING (a worker) -> unlock, call the done callbacks ->
 * IDLE or again, or COMPACTING. What is put while a round is under way waits for the next: batches
 * are of one entry when idle and of hundreds when flooded, by themselves. A failed catch-up, append
 * or sync is fatal (fail stop): `fatal` is called once, nothing is called after it. -ENOSPC on
 * append is not fatal: the round is put off and tried again (commit_tick).
 */
struct commit;

struct commit_done {
	void (*done)(struct commit_done *d); /* everything put before commit_then is durable */
	struct commit_done *next;
};
struct commit_locked {
	void (*run)(struct commit_locked *j); /* the lock is held, the index is caught up; may put
						 entries, which join this round */
	struct commit_locked *next;
};
struct commit_owner {
	void *arg;
	void (*durable)(void *arg, uint64_t lsn); /* after each round: everything in the index is
						     durable at this moment */
	void (*fatal)(void *arg, const char *what, int error);
	uint64_t (*index_lsn)(void *arg);
	void (*full)(void *arg,
		     int error); /* no room to append: the round is put off; may be NULL */
};

struct commit *commit_new(struct wal *wal, struct work *work, const struct commit_owner *owner);
void commit_free(struct commit *c);
/* Frames an entry into the next round. */
void commit_put(struct commit *c, const struct entry *e);
/* d->done is called when all that was put so far is durable (at once in the next round if nothing
 * was put). */
void commit_then(struct commit *c, struct commit_done *d);
void commit_under_lock(struct commit *c, struct commit_locked *j);
/* Somebody else appended to the WAL: catch up soon. */
void commit_poke(struct commit *c);
bool commit_idle(const struct commit *c);
/* Bytes of entries that were put and are not durable yet. */
size_t commit_bytes(const struct commit *c);
/* Time for a retry after -ENOSPC, and for compaction when it is due. */
void commit_tick(struct commit *c, uint64_t now_ms);
uint64_t commit_deadline(const struct commit *c);
/*
 * After a round that leaves the file over twice its live size and over COMMIT_COMPACT_BYTES_MIN it
 * is compacted: rounds stand still, so that the index does; its state is written without the lock,
 * which the watcher goes on using; then the lock is taken for what was appended meanwhile and the
 * rename. snapshot gives the next piece; first: from the beginning; leaves it empty at the end.
 */
#define COMMIT_COMPACT_BYTES_MIN (16u * 1024 * 1024)
/* At the end of the next round, whatever the size. */
void commit_compact_soon(struct commit *c);
void commit_compaction(struct commit *c, int (*snapshot)(void *arg, bool first, struct buf *out),
		       void *arg, uint64_t (*wall_ms)(void *arg));

#endif
