/* SPDX-License-Identifier: BSD-2-Clause */
/* From dirty names to durable records: batches are looked at in workers, then logged under the
 * WAL's lock. */
#ifndef MIMEO_WATCHER_ROUNDS_H
#define MIMEO_WATCHER_ROUNDS_H

#include "conf/settings.h"
#include "conf/work.h"
#include "proto/wal.h"
#include "watcher/author.h"
#include "watcher/dirty.h"
#include "watcher/moves.h"

/*
 * Two lanes, one for small files and one for a large one at a time, so that hashing 4 GiB holds up
 * no thumbnail: lane: IDLE -> TAKING (worker) -> READY -> (logged by a commit) -> IDLE and one
 * committer: IDLE -> LOCKING (worker) -> decide and append -> SYNCING (worker) -> IDLE A failed
 * sync or an unreadable WAL is fatal (fail stop). No room to append: names stay dirty and are tried
 * again.
 */
struct rounds;

struct rounds_opts {
	const struct settings *conf;
	struct tree *tree;
	struct index *index;
	struct wal *wal;
	struct work *work;
	struct dirty *dirty;
	struct moves *moves;
	struct log *log;
	struct author *author;
	void *arg;
	void (*fatal)(void *arg, const char *what, int error);
	bool (*may_log)(
		void *arg); /* the root guard: asked under the lock before anything is decided;
			   false: nothing is logged now, it is asked again a second later */
	bool (*may_start)(void *arg); /* is it time to log at all (a first scan may have to wait for
					 a peer)? */
};

struct rounds *rounds_new(const struct rounds_opts *o);
void rounds_free(struct rounds *r);
void rounds_conf(struct rounds *r, const struct settings *conf);
/* Once a turn: takes what is due, commits what is ready. */
void rounds_turn(struct rounds *r, uint64_t now_ms, uint64_t wall_ms, int64_t wall_ns);
/* The WAL grew: catch up. */
void rounds_poke(struct rounds *r);
/* The index folded a barrier. */
void rounds_barrier(struct rounds *r, uint64_t n);
/* Are there changes that no event has told? No barrier is answered then; and when it is over, only
 * once what was found meanwhile is logged or has a reason. */
void rounds_blind(struct rounds *r, bool blind);
/* A full scan ended; it is logged once all it found has been. */
void rounds_scanned(struct rounds *r, uint64_t files);
/* The same after every file was hashed again: this one is logged in any case. */
void rounds_rehashed(struct rounds *r, uint64_t files);
/* The log says before anything else that the next scan to end is a first one. */
void rounds_anew(struct rounds *r);
/* Has a full scan begun that is not logged yet? */
bool rounds_scan_open(const struct rounds *r);
/* Is a full scan running? What it finds to have gone back to older versions waits for its end: more
 * of those than guard.max_delete are held until somebody agrees. */
void rounds_scanning(struct rounds *r, bool scanning);
uint64_t rounds_held(const struct rounds *r);
/* Asks the agent to say when it knows what the peers hold; true once the question is in the WAL. */
bool rounds_await(struct rounds *r);
bool rounds_idle(const struct rounds *r);
uint64_t rounds_deadline(const struct rounds *r);
uint64_t rounds_hashed_bytes(const struct rounds *r);

#endif
