/* SPDX-License-Identifier: BSD-2-Clause */
/* A batch of names is looked at in a worker: what is there, its hash, and all of it made durable.
 */
#ifndef MIMEO_WATCHER_TAKE_H
#define MIMEO_WATCHER_TAKE_H

#include "conf/tree.h"
#include "conf/work.h"
#include "watcher/author.h"
#include "watcher/dirty.h"

#define TAKE_BATCH_MAX 256          /* names in one batch */
#define TAKE_LARGE_BYTES (8u << 20) /* a larger file is a batch of its own, on the other lane */
#define TAKE_EACH_MAX                                                                              \
	4 /* up to so many files are synced one by one; above it one syncfs does all */
/* A file changed so shortly before it was hashed may change again under the same timestamps: a tick
 * of the kernel's clock is 10 ms at most, a file system that has no fractions has whole seconds,
 * FAT two. */
#define TAKE_GRAIN_NS 20000000ll
#define TAKE_COARSE_NS 2100000000ll
#define TAKE_FUTURE_NS                                                                             \
	10000000000ll /* one changed so long after the batch began was changed before a clock was  \
			 set back: nothing to check again and again until that time comes */

struct take_item {
	struct dirty_name *name;
	bool logged; /* decided, and in the batch that is to be appended */
	struct found found;
	bool trusted; /* `hash` is known: a renamed file that nobody wrote since it was hashed */
	struct sig renamed; /* trusted: only of what still has this inode, size and mtime */
	uint8_t hash[RECORD_HASH_BYTES];
	struct sig known; /* what the index says is shown; kind ABSENT if nothing */
	bool owners;      /* fill in owner and group names */
	uint32_t nlink;   /* names that the file has */
	int error;        /* -EAGAIN: a writer has it open, or it changed meanwhile */
	bool unchanged;   /* just as the index knows it: nothing was read */
	char owner[RECORD_OWNER_BYTES_MAX], group[RECORD_OWNER_BYTES_MAX];
	uint8_t *target; /* symlink: malloc'ed */
};

struct take_batch {
	struct work_job job; /* first: submitted by the caller; done is the caller's */
	struct tree *tree;
	int64_t wall_ns; /* now, for provisional signatures */
	size_t n;
	uint64_t hashed_bytes; /* result */
	int sync_error;        /* a failed sync: nothing of this batch may be logged */
	struct take_item item[TAKE_BATCH_MAX];
};

/* The worker's side: fills in every item. */
void take_run(struct work_job *job);
/* Frees what the items own. */
void take_clear(struct take_batch *b);

#endif
